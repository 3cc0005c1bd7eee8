//! Images as values of a column: the decoded type, how functions read it and how they write it.
//!
//! A decoded image is a struct of its height, width, number of channels (1 grey, 3 RGB, 4 RGBA) and its pixels,
//! 8 bits each, row by row, the channels of a pixel beside each other. A column of encoded bytes (PNG, JPEG, ...)
//! is taken wherever an image is: bytes that are no image are NULL.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, StructArray, UInt8Array, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, UInt8Type, UInt32Type};
use datafusion_common::{Result, exec_err, plan_err};
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::spec::Spec;

/// The Arrow extension type of decoded images.
pub const EXTENSION: &str = "seedbed.image";

/// Under which the name of an extension type stands in a field's metadata.
const EXTENSION_KEY: &str = "ARROW:extension:name";

/// The largest decoded image: beyond it, an image is a mistake or an attack.
pub const MOST_BYTES: usize = 1 << 28;

/// The fields of a decoded image.
pub fn fields() -> Fields {
    Fields::from(vec![
        Field::new("height", DataType::UInt32, true),
        Field::new("width", DataType::UInt32, true),
        Field::new("channels", DataType::UInt8, true),
        Field::new("pixels", DataType::Binary, true),
    ])
}

/// The type of decoded images.
pub fn data_type() -> DataType {
    DataType::Struct(fields())
}

/// A column of decoded images.
pub fn field(name: &str) -> Field {
    let extension = [(EXTENSION_KEY.to_string(), EXTENSION.to_string())];
    Field::new(name, data_type(), true).with_metadata(extension.into())
}

/// Whether a type is that of decoded images.
pub fn is_image(t: &DataType) -> bool {
    matches!(t, DataType::Struct(f) if *f == fields())
}

/// Whether a column of a type may hold images: decoded ones, or bytes.
pub fn is_picture(t: &DataType) -> bool {
    match t {
        DataType::Dictionary(_, value) => is_picture(value),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => true,
        t => is_image(t),
    }
}

/// The type an argument that is an image is cast to: images stay images, bytes stay bytes.
///
/// # Errors
/// If it is neither: says what makes images.
pub fn image_type(spec: &Spec, param: &str, t: &DataType) -> Result<DataType> {
    match t {
        DataType::Null => Ok(data_type()),
        DataType::Dictionary(_, value) => image_type(spec, param, value),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Ok(DataType::BinaryView),
        DataType::Struct(f)
            if f.len() == 4 && f.iter().zip(&fields()).all(|(a, b)| a.name() == b.name()) =>
        {
            Ok(data_type())
        }
        _ => plan_err!(
            "{0}: {param} must be an image or the bytes of one, not {t}. Write {0}(bytes, ...) with the bytes of \
             read_images('folder'), or {0}(image_from_pixels(pixels, width => 28, height => 28), ...)",
            spec.name
        ),
    }
}

/// Height, width and channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Shape {
    /// How many bytes its pixels take; `usize::MAX` where they are too many to count.
    pub fn bytes(self) -> usize {
        self.height
            .saturating_mul(self.width)
            .saturating_mul(self.channels)
    }

    /// The bytes of a row.
    pub fn stride(self) -> usize {
        self.width * self.channels
    }

    /// The channels that are colours, without alpha.
    pub fn colors(self) -> usize {
        if self.channels == 4 { 3 } else { self.channels }
    }

    /// The same with other sides.
    pub fn sized(self, width: usize, height: usize) -> Self {
        Self {
            height,
            width,
            ..self
        }
    }
}

/// One decoded image.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    pub shape: Shape,
    pub pixels: &'a [u8],
}

/// A column of images.
pub struct Images {
    rows: Rows,
    nulls: Option<NullBuffer>,
}

enum Rows {
    Decoded(Box<Parts>),
    Encoded(BinaryViewArray),
}

struct Parts {
    height: UInt32Array,
    width: UInt32Array,
    channels: UInt8Array,
    pixels: BinaryArray,
}

impl Images {
    /// Looks at a column of the type [`image_type`] gives.
    pub fn new(spec: &Spec, array: &ArrayRef) -> Result<Self> {
        let nulls = array.logical_nulls();
        if array.data_type() == &DataType::BinaryView {
            let rows = Rows::Encoded(array.as_binary_view().clone());
            return Ok(Self { rows, nulls });
        }
        let array = cast(array, &data_type())?;
        let Some(parts) = array.as_struct_opt() else {
            return exec_err!("{}: {} is no image", spec.name, array.data_type());
        };
        // a struct with a part missing is no image
        let nulls = parts.columns().iter().fold(nulls, |all, part| {
            NullBuffer::union(all.as_ref(), part.nulls())
        });
        let rows = Rows::Decoded(Box::new(Parts {
            height: parts.column(0).as_primitive::<UInt32Type>().clone(),
            width: parts.column(1).as_primitive::<UInt32Type>().clone(),
            channels: parts.column(2).as_primitive::<UInt8Type>().clone(),
            pixels: parts.column(3).as_binary::<i32>().clone(),
        }));
        Ok(Self { rows, nulls })
    }

    /// Rows that are NULL; those whose bytes are no image are not among them.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    /// The bytes of the rows' pixels together, if they are known.
    pub fn bytes(&self) -> usize {
        match &self.rows {
            Rows::Decoded(parts) => {
                let offsets = parts.pixels.value_offsets();
                match (offsets.first(), offsets.last()) {
                    (Some(first), Some(last)) => usize::try_from(last - first).unwrap_or(0),
                    _ => 0,
                }
            }
            Rows::Encoded(_) => 0,
        }
    }

    /// The image of a row that is not NULL; None if its bytes are no image. `room` is for decoding.
    pub fn get<'a>(
        &'a self,
        spec: &Spec,
        row: usize,
        room: &'a mut Vec<u8>,
    ) -> Result<Option<Image<'a>>> {
        match &self.rows {
            Rows::Decoded(parts) => {
                let shape = Shape {
                    height: parts.height.value(row) as usize,
                    width: parts.width.value(row) as usize,
                    channels: usize::from(parts.channels.value(row)),
                };
                let pixels = parts.pixels.value(row);
                let known = matches!(shape.channels, 1 | 3 | 4);
                if !known || shape.bytes() != pixels.len() || pixels.is_empty() {
                    return exec_err!(
                        "{}: an image of {} x {} pixels of {} channels (1, 3 or 4 are known) cannot have {} bytes. \
                         Make images with image_decode or image_from_pixels",
                        spec.name,
                        shape.width,
                        shape.height,
                        shape.channels,
                        pixels.len()
                    );
                }
                Ok(Some(Image { shape, pixels }))
            }
            Rows::Encoded(bytes) => {
                room.clear();
                Ok(match decode(bytes.value(row), room) {
                    Ok(shape) => Some(Image {
                        shape,
                        pixels: room,
                    }),
                    Err(_) => None,
                })
            }
        }
    }

    /// The bytes of a row, if it is encoded.
    pub fn encoded(&self, row: usize) -> Option<&[u8]> {
        match &self.rows {
            Rows::Encoded(bytes) => Some(bytes.value(row)),
            Rows::Decoded(_) => None,
        }
    }
}

/// Decodes an image behind what is in `pixels`; of an animation the first picture. What is not 8 bits a channel
/// becomes so, what has other channels becomes RGB or RGBA.
///
/// # Errors
/// If the bytes are no image, or one that is too large: why.
pub fn decode(bytes: &[u8], pixels: &mut Vec<u8>) -> std::result::Result<Shape, String> {
    let start = pixels.len();
    // the bytes come from anywhere, and decoders have had bugs
    let decoded = catch_unwind(AssertUnwindSafe(|| decoded(bytes, pixels)));
    let decoded = decoded.unwrap_or_else(|_| Err("its decoder failed".to_string()));
    if decoded.is_err() {
        pixels.truncate(start);
    }
    decoded
}

fn decoded(bytes: &[u8], pixels: &mut Vec<u8>) -> std::result::Result<Shape, String> {
    let text = |e: image::ImageError| e.to_string();
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| e.to_string())?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(2 * MOST_BYTES as u64);
    reader.limits(limits);
    if reader.format() == Some(ImageFormat::Jpeg) && !is_whole_jpeg(bytes) {
        return Err("its end is missing".to_string());
    }
    let decoder = reader.into_decoder().map_err(text)?;
    let (width, height) = decoder.dimensions();
    let channels = match decoder.color_type() {
        ColorType::L8 | ColorType::L16 => 1,
        ColorType::La8 | ColorType::La16 => 4,
        other if other.has_alpha() => 4,
        _ => 3,
    };
    let shape = Shape {
        height: height as usize,
        width: width as usize,
        channels,
    };
    if shape.bytes() == 0 || decoder.total_bytes() > 2 * MOST_BYTES as u64 {
        return Err(format!("it has {width} x {height} pixels"));
    }
    let start = pixels.len();
    match decoder.color_type() {
        ColorType::L8 | ColorType::Rgb8 | ColorType::Rgba8 => {
            pixels.resize(start + shape.bytes(), 0);
            decoder.read_image(&mut pixels[start..]).map_err(text)?;
        }
        _ => {
            let image = DynamicImage::from_decoder(decoder).map_err(text)?;
            pixels.extend_from_slice(&match channels {
                1 => image.into_luma8().into_raw(),
                3 => image.into_rgb8().into_raw(),
                _ => image.into_rgba8().into_raw(),
            });
        }
    }
    if pixels.len() - start == shape.bytes() {
        Ok(shape)
    } else {
        Err("its pixels are not all there".to_string())
    }
}

/// Whether a JPEG file's last scan has an end. Its decoder fills what is missing with grey.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    // of the markers of a scan's begin and of the end the last; neither is among the bytes of a scan
    let last = bytes.windows(2).rev();
    let mut last = last.filter(|two| two[0] == 0xff && (two[1] == 0xd9 || two[1] == 0xda));
    last.next().is_some_and(|two| two[1] == 0xd9)
}

/// What images say about themselves in their first bytes: nothing is decoded.
pub fn header(bytes: &[u8]) -> Option<Shape> {
    let read = || {
        let reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .ok()?;
        let decoder = reader.into_decoder().ok()?;
        let (width, height) = decoder.dimensions();
        Some(Shape {
            height: height as usize,
            width: width as usize,
            channels: usize::from(decoder.color_type().channel_count()),
        })
    };
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

/// What the name of a file that holds these bytes ends with, as `png`; None if they are no image.
pub fn ending(bytes: &[u8]) -> Option<&'static str> {
    let format = image::guess_format(bytes).ok()?;
    header(bytes)?;
    format.extensions_str().first().copied()
}

/// A column of results, row after row.
pub trait Collect {
    /// The column's type.
    fn data_type() -> DataType;
    /// Room for so many rows whose images have so many bytes together.
    fn new(rows: usize, bytes: usize) -> Self;
    /// A row without a result.
    fn null(&mut self);
    /// The column.
    fn finish(self) -> Result<ArrayRef>;
}

/// An error if an image has no room behind so many bytes.
fn fits(before: usize, shape: Shape) -> Result<()> {
    if shape.bytes() > MOST_BYTES {
        return exec_err!(
            "an image of {} x {} pixels is too large: {MOST_BYTES} bytes are the most",
            shape.width,
            shape.height
        );
    }
    if before + shape.bytes() > i32::MAX as usize {
        return exec_err!(
            "the images of one batch have more than 2 GiB. Write SET datafusion.execution.batch_size = 256"
        );
    }
    Ok(())
}

/// Images that are being made.
pub struct Output {
    shapes: Vec<Shape>,
    valid: Vec<bool>,
    offsets: Vec<i32>,
    pixels: Vec<u8>,
}

impl Output {
    /// Begins an image: room for its pixels, all 0.
    pub fn push(&mut self, shape: Shape) -> Result<&mut [u8]> {
        fits(self.pixels.len(), shape)?;
        let start = self.pixels.len();
        self.pixels.resize(start + shape.bytes(), 0);
        self.end(shape);
        Ok(&mut self.pixels[start..])
    }

    /// An image as it is, to be changed in place.
    pub fn copy(&mut self, image: Image<'_>) -> Result<&mut [u8]> {
        fits(self.pixels.len(), image.shape)?;
        let start = self.pixels.len();
        self.pixels.extend_from_slice(image.pixels);
        self.end(image.shape);
        Ok(&mut self.pixels[start..])
    }

    /// Decodes an image behind the others.
    ///
    /// # Errors
    /// The inner one if the bytes are no image.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<std::result::Result<(), String>> {
        let start = self.pixels.len();
        match decode(bytes, &mut self.pixels) {
            Ok(shape) => {
                fits(start, shape)?;
                self.end(shape);
                Ok(Ok(()))
            }
            Err(why) => Ok(Err(why)),
        }
    }

    fn end(&mut self, shape: Shape) {
        self.shapes.push(shape);
        self.valid.push(true);
        // it has been seen that it fits
        self.offsets
            .push(i32::try_from(self.pixels.len()).unwrap_or(i32::MAX));
    }
}

impl Collect for Output {
    fn data_type() -> DataType {
        data_type()
    }

    fn new(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            shapes: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
            offsets,
            pixels: Vec::with_capacity(bytes),
        }
    }

    fn null(&mut self) {
        self.shapes.push(Shape {
            height: 0,
            width: 0,
            channels: 0,
        });
        self.valid.push(false);
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
    }

    fn finish(self) -> Result<ArrayRef> {
        let rows = self.valid.len();
        let nulls = self
            .valid
            .contains(&false)
            .then(|| NullBuffer::from(self.valid));
        let side = |f: fn(&Shape) -> usize| -> ArrayRef {
            let sides = self.shapes.iter().map(|s| f(s) as u32);
            Arc::new(UInt32Array::new(sides.collect(), nulls.clone()))
        };
        let channels = self.shapes.iter().map(|s| s.channels as u8).collect();
        let offsets = OffsetBuffer::new(self.offsets.into());
        let columns: Vec<ArrayRef> = vec![
            side(|s| s.height),
            side(|s| s.width),
            Arc::new(UInt8Array::new(channels, nulls.clone())),
            Arc::new(BinaryArray::try_new(
                offsets,
                self.pixels.into(),
                nulls.clone(),
            )?),
        ];
        Ok(Arc::new(StructArray::try_new_with_length(
            fields(),
            columns,
            nulls,
            rows,
        )?))
    }
}
