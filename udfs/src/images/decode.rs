//! `image_decode(bytes, on_error)` and `image_encode(image, format, quality)`.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use image::codecs::bmp::BmpEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::tiff::TiffEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::color::{Mode, convert};
use super::function::{OfImage, Row};
use super::value::{Collect, Image, Images, Output, Shape, data_type, image_type};
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

/// `image_decode`.
pub const DECODE: Spec = Spec {
    name: "image_decode",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image that bytes hold, as a struct of height, width, channels (1 grey, 3 RGB, 4 RGBA) and pixels.",
    params: &[
        Param::data(
            "bytes",
            "a PNG, JPEG, GIF (the first picture), BMP, TIFF, WebP or PNM file; 16 bits a channel become 8",
        ),
        Param::option(
            "on_error",
            "'null'",
            "what becomes of bytes that are no image, or one of more than 256 MiB: 'null', or 'error'",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT i.height, i.width, i.channels FROM (SELECT image_decode(image_encode(\
                  image_from_pixels([1, 2, 3, 4, 5, 6], width => 3, height => 2))) AS i)",
            result: "2,3,1",
        },
        Example {
            sql: "SELECT image_decode(decode('00ff', 'hex')) IS NULL",
            result: "true",
        },
    ],
    source: "the formats' standards; the orientation that a camera notes is not applied",
    also: &[
        "PIL.Image.open",
        "tf.io.decode_image",
        "torchvision.io.decode_image",
    ],
};

/// `image_decode(bytes, on_error)`.
#[derive(Debug)]
pub struct Decode;

fn strict(options: &Options) -> Result<bool> {
    Ok(options.choice("on_error", &["null", "error"])? == "error")
}

impl RowWise for Decode {
    fn spec(&self) -> &'static Spec {
        &DECODE
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = image_type(&DECODE, "bytes", &types[0])?;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(data_type())
    }

    fn check(&self, options: &Options) -> Result<()> {
        strict(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let strict = strict(&args.options()?)?;
        let array = args.array(0)?;
        if array.data_type() == &data_type() {
            return Ok(array);
        }
        let images = Images::new(&DECODE, &array)?;
        let mut out = Output::new(array.len(), 0);
        for row in 0..array.len() {
            let missing = images.nulls().is_some_and(|n| n.is_null(row));
            let Some(bytes) = images.encoded(row).filter(|_| !missing) else {
                out.null();
                continue;
            };
            match out.decode(bytes)? {
                Ok(()) => {}
                Err(_) if !strict => out.null(),
                Err(why) => {
                    return exec_err!(
                        "image_decode: {} bytes are no image that can be decoded: {why}. \
                         Write on_error => 'null' to have NULL for them",
                        bytes.len()
                    );
                }
            }
        }
        out.finish()
    }
}

/// `image_encode`.
pub const ENCODE: Spec = Spec {
    name: "image_encode",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The bytes of a file that holds the image.",
    params: &[
        Param::data("image", "an image, or the bytes of one in another format"),
        Param::option(
            "format",
            "'png'",
            "'png', 'jpeg', 'webp' (without loss), 'bmp' or 'tiff'",
        ),
        Param::option("quality", "90", "of JPEG, from 1 to 100; it has no alpha"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_encode(image_from_pixels([1, 2, 3, 4], width => 2, height => 2)), scale => 1)",
        result: "\"[1.0, 2.0, 3.0, 4.0]\"",
    }],
    source: "the formats' standards",
    also: &["PIL.Image.Image.save", "tf.io.encode_png", "cv2.imencode"],
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Jpeg,
    Webp,
    Bmp,
    Tiff,
}

/// Files that are being made.
pub struct Files(BinaryBuilder);

impl Collect for Files {
    fn data_type() -> DataType {
        DataType::Binary
    }

    fn new(rows: usize, bytes: usize) -> Self {
        Self(BinaryBuilder::with_capacity(rows, bytes / 2))
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(mut self) -> Result<ArrayRef> {
        Ok(Arc::new(self.0.finish()))
    }
}

/// An image as the bytes of a PNG file.
pub fn png(image: Image<'_>) -> Result<Vec<u8>> {
    encoded(image, Format::Png, 90)
}

fn encoded(image: Image<'_>, format: Format, quality: u8) -> Result<Vec<u8>> {
    let mut rgb = Vec::new();
    let image = if format == Format::Jpeg && image.shape.channels == 4 {
        let shape = Shape {
            channels: 3,
            ..image.shape
        };
        rgb.resize(shape.bytes(), 0);
        convert(image, Mode::Rgb, &mut rgb);
        Image {
            shape,
            pixels: &rgb,
        }
    } else {
        image
    };
    let kind = match image.shape.channels {
        1 => ExtendedColorType::L8,
        3 => ExtendedColorType::Rgb8,
        _ => ExtendedColorType::Rgba8,
    };
    let (width, height) = (image.shape.width as u32, image.shape.height as u32);
    let mut file = Cursor::new(Vec::with_capacity(image.pixels.len() / 2 + 128));
    let pixels = image.pixels;
    match format {
        Format::Png => PngEncoder::new(&mut file).write_image(pixels, width, height, kind),
        Format::Jpeg => JpegEncoder::new_with_quality(&mut file, quality)
            .write_image(pixels, width, height, kind),
        Format::Webp => {
            WebPEncoder::new_lossless(&mut file).write_image(pixels, width, height, kind)
        }
        Format::Bmp => BmpEncoder::new(&mut file).write_image(pixels, width, height, kind),
        Format::Tiff => TiffEncoder::new(&mut file).write_image(pixels, width, height, kind),
    }
    .map_err(|e| {
        exec_datafusion_err!("image_encode: {width} x {height} pixels do not fit the format: {e}")
    })?;
    Ok(file.into_inner())
}

/// `image_encode(image, format, quality)`.
#[derive(Debug)]
pub struct Encode;

pub struct Plan {
    format: Format,
    quality: u8,
    /// How many bytes there are already.
    sum: usize,
}

impl OfImage for Encode {
    type Plan = Plan;
    type Out = Files;

    fn spec() -> &'static Spec {
        &ENCODE
    }

    fn plan(options: &Options) -> Result<Plan> {
        let quality = match options.integer("quality", 1)? {
            quality @ 1..=100 => quality as u8,
            _ => return options.wrong("quality", "a whole number from 1 to 100"),
        };
        let formats = ["png", "jpeg", "jpg", "webp", "bmp", "tiff"];
        let format = match options.choice("format", &formats)? {
            "jpeg" | "jpg" => Format::Jpeg,
            "webp" => Format::Webp,
            "bmp" => Format::Bmp,
            "tiff" => Format::Tiff,
            _ => Format::Png,
        };
        Ok(Plan {
            format,
            quality,
            sum: 0,
        })
    }

    fn apply(plan: &mut Plan, image: Image<'_>, _: Row<'_>, out: &mut Files) -> Result<()> {
        let file = encoded(image, plan.format, plan.quality)?;
        plan.sum += file.len();
        if plan.sum > i32::MAX as usize {
            return exec_err!(
                "image_encode: the files of one batch have more than 2 GiB. Write SET datafusion.execution.batch_size = 256"
            );
        }
        out.0.append_value(file);
        Ok(())
    }
}
