//! `image_grid(image, position, columns, padding, fill)`: many images as one.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion_common::utils::SingleRowListArrayBuilder;
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::color::{Mode, convert};
use super::decode::png;
use super::value::{Image, Images, MOST_BYTES, Shape, image_type};
use crate::arrays::float_type;
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

pub const SPEC: Spec = Spec {
    name: "image_grid",
    stage: Stage::Images,
    kind: Kind::Aggregate,
    summary: "All images beside and below each other in one, as the bytes of a PNG file: to look at them.",
    params: &[
        Param::data("image", "an image, or the bytes of one; NULL has no place"),
        Param::data(
            "position",
            "a number by which the images are put in order, row by row, such as row_id; NULL comes last, equals go by what they show",
        ),
        Param::option("columns", "10", "how many images a row has, up to 1000"),
        Param::option(
            "padding",
            "2",
            "how many pixels are between them, up to 1000",
        ),
        Param::option("fill", "255", "the colour between them, from 0 to 255"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_grid(image_from_pixels([x], width => 1, height => 1), x, columns => 2, padding => 1), scale => 1) \
              FROM (VALUES (30), (10), (20)) AS t(x)",
        result: "\"[10.0, 255.0, 20.0, 255.0, 255.0, 255.0, 30.0, 255.0, 255.0]\"",
    }],
    source: "torchvision's make_grid; images smaller than the largest are in the middle of their places",
    also: &["torchvision.utils.make_grid"],
};

/// The aggregate function.
pub fn udf() -> AggregateUDF {
    AggregateUDF::from(Grid {
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Grid {
    signature: Signature,
}

/// How images are laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub columns: usize,
    pub padding: usize,
    pub fill: u8,
}

impl Layout {
    fn new(values: Vec<ScalarValue>) -> Result<Self> {
        let options = Options::new(&SPEC, values)?;
        let whole = |name: &str, least: i64, most: i64| match options.integer(name, least)? {
            value if value <= most => Ok(value as usize),
            _ => options.wrong(name, format!("a whole number from {least} to {most}")),
        };
        Ok(Self {
            columns: whole("columns", 1, 1000)?,
            padding: whole("padding", 0, 1000)?,
            fill: whole("fill", 0, 255)? as u8,
        })
    }
}

impl AggregateUDFImpl for Grid {
    fn name(&self) -> &str {
        SPEC.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [image, position, options @ ..] = types else {
            return plan_err!(
                "image_grid: an image and a position are expected. Write {}",
                SPEC.syntax()
            );
        };
        float_type(&SPEC, "position", position)?;
        let mut coerced = vec![image_type(&SPEC, "image", image)?, DataType::Float64];
        coerced.extend_from_slice(options);
        Ok(coerced)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Collected {
            layout: None,
            images: Vec::new(),
            bytes: 0,
        }))
    }

    fn state_fields(&self, _: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let item = Arc::new(Field::new_list_field(DataType::Binary, true));
        Ok(vec![
            Arc::new(Field::new(
                "images",
                DataType::List(Arc::clone(&item)),
                true,
            )),
            Arc::new(Field::new("layout", DataType::List(item), true)),
        ])
    }
}

/// An image and its place among the others.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    /// The position, as a number that is in the same order.
    position: u64,
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<u8>,
}

impl Placed {
    /// As bytes, for the state.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.pixels.len() + 32);
        for number in [
            self.position,
            self.height as u64,
            self.width as u64,
            self.channels as u64,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.pixels);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, _) = bytes.as_chunks::<8>();
        let number = |i: usize| numbers.get(i).map(|b| u64::from_le_bytes(*b));
        Some(Self {
            position: number(0)?,
            height: number(1)? as usize,
            width: number(2)? as usize,
            channels: number(3)? as usize,
            pixels: bytes.get(32..)?.to_vec(),
        })
    }

    fn image(&self) -> Image<'_> {
        Image {
            shape: Shape {
                height: self.height,
                width: self.width,
                channels: self.channels,
            },
            pixels: &self.pixels,
        }
    }
}

#[derive(Debug)]
struct Collected {
    layout: Option<Layout>,
    images: Vec<Placed>,
    bytes: usize,
}

impl Collected {
    fn add(&mut self, placed: Placed) -> Result<()> {
        self.bytes += placed.pixels.len() + size_of::<Placed>();
        if self.bytes > MOST_BYTES {
            return exec_err!(
                "image_grid: the images have more than {MOST_BYTES} bytes. Write ... FROM (SELECT * FROM t LIMIT 100), \
                 or make them smaller with image_resize"
            );
        }
        self.images.push(placed);
        Ok(())
    }
}

fn list(values: Vec<Vec<u8>>) -> ScalarValue {
    let items = BinaryArray::from_iter_values(values);
    SingleRowListArrayBuilder::new(Arc::new(items) as ArrayRef).build_list_scalar()
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [images, positions, options @ ..] = values else {
            return exec_err!("image_grid: arguments are missing");
        };
        if images.is_empty() {
            return Ok(());
        }
        let options = options.iter().map(|o| ScalarValue::try_from_array(o, 0));
        self.layout = Some(Layout::new(options.collect::<Result<_>>()?)?);
        let positions = cast(positions, &DataType::Float64)?;
        let positions = positions.as_primitive::<Float64Type>();
        let images = Images::new(&SPEC, images)?;
        let mut room = Vec::new();
        for row in 0..positions.len() {
            if images.nulls().is_some_and(|n| n.is_null(row)) {
                continue;
            }
            if let Some(image) = images.get(&SPEC, row, &mut room)? {
                let position = if positions.is_null(row) {
                    u64::MAX
                } else {
                    ordered(positions.value(row))
                };
                self.add(Placed {
                    position,
                    height: image.shape.height,
                    width: image.shape.width,
                    channels: image.shape.channels,
                    pixels: image.pixels.to_vec(),
                })?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(layout) = self.layout.filter(|_| !self.images.is_empty()) else {
            return Ok(ScalarValue::Binary(None));
        };
        self.images.sort_unstable();
        let images: Vec<Image<'_>> = self.images.iter().map(Placed::image).collect();
        let (shape, pixels) = composed(&images, layout)?;
        let pixels = pixels.as_slice();
        Ok(ScalarValue::Binary(Some(png(Image { shape, pixels })?)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let images = self.images.iter().map(Placed::encode).collect();
        let layout = self.layout.map(|l| {
            let numbers = [l.columns as u64, l.padding as u64, l.fill.into()];
            numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
        });
        Ok(vec![list(images), list(layout.into_iter().collect())])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [images, layouts] = states else {
            return exec_err!("image_grid: a state has two parts");
        };
        for layout in layouts.as_list::<i32>().iter().flatten() {
            if let Some(bytes) = layout.as_binary::<i32>().iter().flatten().next()
                && let [columns, padding, fill] = bytes.as_chunks::<8>().0
            {
                self.layout = Some(Layout {
                    columns: u64::from_le_bytes(*columns) as usize,
                    padding: u64::from_le_bytes(*padding) as usize,
                    fill: fill[0],
                });
            }
        }
        for images in images.as_list::<i32>().iter().flatten() {
            for bytes in images.as_binary::<i32>().iter().flatten() {
                match Placed::decode(bytes) {
                    Some(placed) => self.add(placed)?,
                    None => return exec_err!("image_grid: a state is cut off"),
                }
            }
        }
        Ok(())
    }
}

/// A number as a whole one that is in the same order; NaN is above all.
fn ordered(v: f64) -> u64 {
    if v.is_nan() {
        return u64::MAX;
    }
    let bits = (v + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// One image of others, in order.
pub fn composed(images: &[Image<'_>], layout: Layout) -> Result<(Shape, Vec<u8>)> {
    let most = |f: fn(Shape) -> usize| images.iter().map(|i| f(i.shape)).max().unwrap_or(1);
    let (height, width) = (most(|i| i.height), most(|i| i.width));
    // alpha is not shown
    let (channels, mode) = if most(|i| i.channels) == 1 {
        (1, Mode::Gray)
    } else {
        (3, Mode::Rgb)
    };
    let columns = layout.columns.clamp(1, images.len().max(1));
    let rows = images.len().div_ceil(columns).max(1);
    let side = |n: usize, side: usize| {
        n.saturating_mul(side)
            .saturating_add((n - 1) * layout.padding)
    };
    let shape = Shape {
        height: side(rows, height),
        width: side(columns, width),
        channels,
    };
    if shape.bytes() > MOST_BYTES {
        return exec_err!(
            "image_grid: {} images of up to {width} x {height} pixels are too many for one. \
             Write ... FROM (SELECT * FROM t LIMIT 100), or make them smaller with image_resize",
            images.len()
        );
    }
    let mut canvas = vec![layout.fill; shape.bytes()];
    let mut room = Vec::new();
    for (i, image) in images.iter().enumerate() {
        let top = i / columns * (height + layout.padding) + (height - image.shape.height) / 2;
        let left = i % columns * (width + layout.padding) + (width - image.shape.width) / 2;
        room.resize(image.shape.height * image.shape.width * channels, 0);
        convert(*image, mode, &mut room);
        let line = image.shape.width * channels;
        for (row, pixels) in room.chunks_exact(line).enumerate() {
            let start = (top + row) * shape.stride() + left * channels;
            canvas[start..start + line].copy_from_slice(pixels);
        }
    }
    Ok((shape, canvas))
}
