//! `image_tensor(image, layout, scale, mean, std, width, height, channels)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err};

use super::value::{Image, Images, MOST_BYTES, Shape, image_type};
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "image_tensor",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The numbers of an image, as a model is trained on them: a list of FLOAT, from 0 to 1 by default.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::option(
            "layout",
            "'hwc'",
            "'hwc': row by row, the channels of a pixel beside each other (TensorFlow); 'chw': channel by channel (PyTorch)",
        ),
        Param::option("scale", "255", "what the values are divided by"),
        Param::option(
            "mean",
            "0",
            "what is subtracted after that: a number, or a list with one a channel",
        ),
        Param::option("std", "1", "what is divided by after that, likewise"),
        Param::option(
            "width",
            "NULL",
            "the width of all images; with height and channels the list has a fixed size",
        ),
        Param::option("height", "NULL", "the height of all images"),
        Param::option("channels", "NULL", "the channels of all images"),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT image_tensor(image_from_pixels([0, 51, 102, 255], width => 2, height => 2))",
            result: "\"[0.0, 0.2, 0.4, 1.0]\"",
        },
        Example {
            sql: "SELECT image_tensor(image_from_pixels([1, 2, 3, 4, 5, 6], width => 2, height => 1, channels => 3), \
                  'chw', scale => 1, mean => [1, 2, 3], std => [1, 1, 2])",
            result: "\"[0.0, 3.0, 0.0, 3.0, 0.0, 1.5]\"",
        },
    ],
    source: "(value / scale - mean) / std, computed in 64 bits for each of the 256 values",
    also: &[
        "torchvision.transforms.ToTensor",
        "torchvision.transforms.Normalize",
        "albumentations.Normalize",
        "tf.image.convert_image_dtype",
    ],
};

/// `image_tensor(image, layout, scale, mean, std, width, height, channels)`.
#[derive(Debug)]
pub struct Tensor;

struct Plan {
    planar: bool,
    scale: f64,
    mean: Vec<f64>,
    std: Vec<f64>,
    shape: Option<Shape>,
}

impl Plan {
    fn new(options: &Options) -> Result<Self> {
        let scale = options.float("scale")?;
        if scale == 0.0 {
            return options.wrong("scale", "a number other than 0");
        }
        let (mean, std) = (options.floats("mean")?, options.floats("std")?);
        if mean.is_empty() || mean.iter().any(|m| !m.is_finite()) {
            return options.wrong("mean", "a number or a list of numbers, one a channel");
        }
        if std.is_empty() || std.iter().any(|s| !s.is_finite() || *s == 0.0) {
            return options.wrong(
                "std",
                "a number other than 0, or a list of such, one a channel",
            );
        }
        let given = ["width", "height", "channels"].map(|name| !options.is_null(name));
        let shape = if given == [false; 3] {
            None
        } else if given != [true; 3] {
            let missing = ["width", "height", "channels"].into_iter().zip(given);
            let missing = missing
                .filter(|(_, given)| !given)
                .map(|(name, _)| name)
                .next();
            return options.wrong(
                missing.unwrap_or("width"),
                "given too: width, height and channels go together",
            );
        } else {
            let side = |name| -> Result<usize> {
                Ok(usize::try_from(options.integer(name, 1)?).unwrap_or(usize::MAX))
            };
            let shape = Shape {
                height: side("height")?,
                width: side("width")?,
                channels: side("channels")?,
            };
            if shape.bytes() > MOST_BYTES {
                return options.wrong(
                    "height",
                    format!("such that the image has at most {MOST_BYTES} values"),
                );
            }
            Some(shape)
        };
        Ok(Self {
            planar: options.choice("layout", &["hwc", "chw"])? == "chw",
            scale,
            mean,
            std,
            shape,
        })
    }

    /// What becomes of each value, a table a channel.
    fn tables(&self, channels: usize) -> Result<Vec<[f32; 256]>> {
        let of = |name: &str, list: &[f64], channel: usize| match list {
            [one] => Ok(*one),
            list if list.len() == channels => Ok(list[channel]),
            list => exec_err!(
                "image_tensor: {name} has {} numbers, but an image has {channels} channels. \
                 Write image_convert(image, 'rgb') for images that differ",
                list.len()
            ),
        };
        (0..channels)
            .map(|channel| {
                let mean = of("mean", &self.mean, channel)?;
                let std = of("std", &self.std, channel)?;
                let mut table = [0.0; 256];
                for (v, to) in table.iter_mut().enumerate() {
                    *to = ((v as f64 / self.scale - mean) / std) as f32;
                }
                Ok(table)
            })
            .collect()
    }
}

/// Adds an image's numbers.
fn write(image: Image<'_>, planar: bool, tables: &[[f32; 256]], to: &mut Vec<f32>) {
    let look = |table: &[f32; 256], v: &u8| table[usize::from(*v)];
    match (tables, planar) {
        ([table], _) => to.extend(image.pixels.iter().map(|v| look(table, v))),
        (tables, true) => {
            for (channel, table) in tables.iter().enumerate() {
                let values = image.pixels[channel..].iter().step_by(tables.len());
                to.extend(values.map(|v| look(table, v)));
            }
        }
        ([r, g, b], false) => to.extend(
            image
                .pixels
                .as_chunks::<3>()
                .0
                .iter()
                .flat_map(|p| [look(r, &p[0]), look(g, &p[1]), look(b, &p[2])]),
        ),
        (tables, false) => to.extend(
            image
                .pixels
                .chunks_exact(tables.len())
                .flat_map(|p| p.iter().zip(tables).map(|(v, table)| look(table, v))),
        ),
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float32, true))
}

impl RowWise for Tensor {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = image_type(&SPEC, "image", &types[0])?;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], literals: &[Option<&ScalarValue>]) -> Result<DataType> {
        let sides = ["width", "height", "channels"].map(|name| {
            let at = SPEC.params.iter().position(|p| p.name == name)?;
            literals.get(at).copied().flatten()
        });
        let mut product = Some(1_i32);
        for side in sides {
            match side {
                Some(value) if !value.is_null() => {
                    let side = match value.cast_to(&DataType::Int32) {
                        Ok(ScalarValue::Int32(side)) => side,
                        _ => None,
                    };
                    product = product
                        .zip(side)
                        .and_then(|(a, b)| a.checked_mul(b))
                        .filter(|n| *n > 0);
                }
                _ => return Ok(DataType::List(item())),
            }
        }
        Ok(match product {
            Some(size) => DataType::FixedSizeList(item(), size),
            // an option that is wrong; the check says so
            None => DataType::List(item()),
        })
    }

    fn check(&self, options: &Options) -> Result<()> {
        Plan::new(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let plan = Plan::new(&args.options()?)?;
        let images = Images::new(&SPEC, &args.array(0)?)?;
        let rows = args.rows();
        let size = plan.shape.map(Shape::bytes);
        let mut values: Vec<f32> = Vec::with_capacity(match size {
            Some(size) => size.saturating_mul(rows).min(MOST_BYTES),
            None => images.bytes(),
        });
        let mut lengths = Vec::with_capacity(rows);
        let mut valid = Vec::with_capacity(rows);
        let mut tables: Vec<[f32; 256]> = Vec::new();
        let mut room = Vec::new();
        for row in 0..rows {
            let before = values.len();
            let missing = images.nulls().is_some_and(|n| n.is_null(row));
            let image = if missing {
                None
            } else {
                images.get(&SPEC, row, &mut room)?
            };
            valid.push(image.is_some());
            match image {
                Some(image) => {
                    if let Some(shape) = plan.shape
                        && shape != image.shape
                    {
                        return exec_err!(
                            "image_tensor: an image of {} x {} pixels of {} channels is there, where all are to have \
                             {} x {} of {}. Write image_resize(image, {}, {}) and image_convert first",
                            image.shape.width,
                            image.shape.height,
                            image.shape.channels,
                            shape.width,
                            shape.height,
                            shape.channels,
                            shape.width,
                            shape.height
                        );
                    }
                    if tables.len() != image.shape.channels {
                        tables = plan.tables(image.shape.channels)?;
                    }
                    write(image, plan.planar, &tables, &mut values);
                }
                None => values.resize(before + size.unwrap_or(0), 0.0),
            }
            if values.len() > i32::MAX as usize {
                return exec_err!(
                    "image_tensor: the images of one batch have more than 2^31 values. \
                     Write SET datafusion.execution.batch_size = 256"
                );
            }
            lengths.push(values.len() - before);
        }
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        let values: ArrayRef = Arc::new(Float32Array::from(values));
        match args.return_type() {
            DataType::FixedSizeList(item, size) => {
                Ok(Arc::new(FixedSizeListArray::try_new_with_length(
                    Arc::clone(item),
                    *size,
                    values,
                    nulls,
                    rows,
                )?))
            }
            _ => Ok(Arc::new(ListArray::try_new(
                item(),
                OffsetBuffer::from_lengths(lengths),
                values,
                nulls,
            )?)),
        }
    }
}
