//! `image_tensor(image, layout, scale, mean, std, ...)` and `image_normalize(image, mean, std, layout, ...)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, exec_err};

use super::measure::{deviation, sums};
use super::tensors::{self, CHANNELS, HEIGHT, SIDES, Tensors, WIDTH};
use super::value::{Image, Images, Shape, image_type};
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");
pub const LAYOUT: Param = Param::option(
    "layout",
    "'hwc'",
    "'hwc': row by row, the channels of a pixel beside each other (TensorFlow); 'chw': channel by channel (PyTorch)",
);

const TENSOR: Spec = Spec {
    name: "image_tensor",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The numbers of an image, as a model is trained on them: a list of FLOAT, from 0 to 1 by default.",
    params: &[
        IMAGE,
        LAYOUT,
        Param::option("scale", "255", "what the values are divided by"),
        Param::option(
            "mean",
            "0",
            "what is subtracted after that: a number, or a list with one a channel",
        ),
        Param::option("std", "1", "what is divided by after that, likewise"),
        WIDTH,
        HEIGHT,
        CHANNELS,
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
        "tf.image.convert_image_dtype",
        "keras.layers.Rescaling",
    ],
};

const NORMALIZE: Spec = Spec {
    name: "image_normalize",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The numbers of an image less a mean and divided by a deviation, its own or given ones: a list of FLOAT.",
    params: &[
        IMAGE,
        Param::option(
            "mean",
            "'image'",
            "what is subtracted of values from 0 to 1: 'image' for the mean of all the image's colours, 'channel' for \
             that of each of its channels; or a number, or a list with one a channel, as [0.485, 0.456, 0.406] of ImageNet. \
             The mean of a whole data set: image_standardize(image) OVER ()",
        ),
        Param::option(
            "std",
            "'image'",
            "what is divided by after that, likewise: ImageNet's is [0.229, 0.224, 0.225]. One colour becomes 0",
        ),
        LAYOUT,
        WIDTH,
        HEIGHT,
        CHANNELS,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT image_normalize(image_from_pixels([10, 30, 10, 30], width => 2, height => 2))",
            result: "\"[-1.0, 1.0, -1.0, 1.0]\"",
        },
        Example {
            sql: "SELECT image_normalize(image_from_pixels([0, 51, 255], width => 1, height => 1, channels => 3), \
                  mean => [0, 0.2, 0.5], std => [1, 1, 0.5])",
            result: "\"[0.0, 0.0, 1.0]\"",
        },
    ],
    source: "(value / 255 - mean) / std; of the image itself, its mean and population standard deviation, exact until they are \
             divided. torchvision's with numbers, TensorFlow's per_image_standardization with 'image', but for the least \
             deviation it divides by",
    also: &[
        "torchvision.transforms.Normalize",
        "albumentations.Normalize",
        "tf.image.per_image_standardization",
        "ImageDataGenerator(samplewise_center, samplewise_std_normalization)",
    ],
};

/// `image_tensor` and `image_normalize`, which have options of the same meaning and other defaults.
#[derive(Debug)]
pub struct Tensor(&'static Spec);

impl Tensor {
    /// `image_tensor(image, layout, scale, mean, std, width, height, channels)`.
    pub fn plain() -> Self {
        Self(&TENSOR)
    }

    /// `image_normalize(image, mean, std, layout, width, height, channels)`.
    pub fn normalized() -> Self {
        Self(&NORMALIZE)
    }
}

/// A mean or a deviation.
enum Figure {
    /// One for all, or one a channel.
    Given(Vec<f64>),
    /// That of the image.
    OfImage,
    /// That of each channel.
    OfChannels,
}

impl Figure {
    fn new(options: &Options, name: &str, no_zero: bool) -> Result<Self> {
        if options.spec().name == NORMALIZE.name
            && let Some(Some(_)) = options.get(name).try_as_str()
        {
            return Ok(match options.choice(name, &["image", "channel"])? {
                "channel" => Self::OfChannels,
                _ => Self::OfImage,
            });
        }
        let numbers = options.floats(name)?;
        let right = |x: &f64| x.is_finite() && !(no_zero && *x == 0.0);
        if numbers.is_empty() || !numbers.iter().all(right) {
            let must = if no_zero {
                "a number other than 0, or a list of such, one a channel"
            } else {
                "a number or a list of numbers, one a channel"
            };
            return options.wrong(name, must);
        }
        Ok(Self::Given(numbers))
    }

    fn is_own(&self) -> bool {
        !matches!(self, Self::Given(_))
    }

    /// That of each channel of an image; `of` says what it is of a part of its values.
    fn of(
        &self,
        spec: &Spec,
        name: &str,
        image: Image<'_>,
        of: fn(Sums) -> f64,
    ) -> Result<Vec<f64>> {
        let channels = image.shape.channels;
        match self {
            Self::Given(list) => match list.as_slice() {
                [one] => Ok(vec![*one; channels]),
                list if list.len() == channels => Ok(list.to_vec()),
                list => exec_err!(
                    "{}: {name} has {} numbers, but an image has {channels} channels. \
                     Write image_convert(image, 'rgb') for images that differ",
                    spec.name,
                    list.len()
                ),
            },
            Self::OfImage => Ok(vec![of(sums(image)); channels]),
            Self::OfChannels => Ok((0..channels).map(|c| of(of_channel(image, c))).collect()),
        }
    }
}

/// How many values, their sum, and the sum of their squares.
type Sums = (u64, u64, u64);

fn of_channel(image: Image<'_>, channel: usize) -> Sums {
    let values = image.pixels[channel..].iter().step_by(image.shape.channels);
    values.fold((0, 0, 0), |(n, sum, squares), v| {
        let v = u64::from(*v);
        (n + 1, sum + v, squares + v * v)
    })
}

fn mean((n, sum, _): Sums) -> f64 {
    sum as f64 / n as f64 / 255.0
}

/// The deviation, or 1 of a constant.
fn std((n, sum, squares): Sums) -> f64 {
    let deviation = deviation(n, sum.into(), squares.into());
    if deviation > 0.0 {
        deviation / 255.0
    } else {
        1.0
    }
}

struct Plan {
    spec: &'static Spec,
    planar: bool,
    scale: f64,
    mean: Figure,
    std: Figure,
    shape: Option<Shape>,
    /// What becomes of each value, a table a channel.
    tables: Vec<[f32; 256]>,
}

impl Plan {
    fn new(spec: &'static Spec, options: &Options) -> Result<Self> {
        let scale = match spec.name == TENSOR.name {
            true => options.float("scale")?,
            false => 255.0,
        };
        if scale == 0.0 {
            return options.wrong("scale", "a number other than 0");
        }
        Ok(Self {
            spec,
            planar: options.choice("layout", &["hwc", "chw"])? == "chw",
            scale,
            mean: Figure::new(options, "mean", false)?,
            std: Figure::new(options, "std", true)?,
            shape: tensors::shape(options)?,
            tables: Vec::new(),
        })
    }

    /// Makes the tables for an image.
    fn prepare(&mut self, image: Image<'_>) -> Result<()> {
        let own = self.mean.is_own() || self.std.is_own();
        if self.tables.len() == image.shape.channels && !own {
            return Ok(());
        }
        let means = self.mean.of(self.spec, "mean", image, mean)?;
        let stds = self.std.of(self.spec, "std", image, std)?;
        let table = |(mean, std): (f64, f64)| {
            let mut table = [0.0; 256];
            for (v, to) in table.iter_mut().enumerate() {
                *to = ((v as f64 / self.scale - mean) / std) as f32;
            }
            table
        };
        self.tables = means.into_iter().zip(stds).map(table).collect();
        Ok(())
    }
}

/// Adds an image's numbers, by a table a channel.
pub fn write(image: Image<'_>, planar: bool, tables: &[[f32; 256]], to: &mut Vec<f32>) {
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

impl RowWise for Tensor {
    fn spec(&self) -> &'static Spec {
        self.0
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = image_type(self.0, "image", &types[0])?;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], literals: &[Option<&ScalarValue>]) -> Result<DataType> {
        let sides = SIDES.map(|name| {
            let at = self.0.params.iter().position(|p| p.name == name)?;
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
                _ => return Ok(tensors::list_type(None)),
            }
        }
        // none is an option that is wrong; the check says so
        Ok(tensors::list_type(product))
    }

    fn check(&self, options: &Options) -> Result<()> {
        Plan::new(self.0, options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let mut plan = Plan::new(self.0, &args.options()?)?;
        let images = Images::new(self.0, &args.array(0)?)?;
        let rows = args.rows();
        let mut out = Tensors::new(self.0.name, plan.shape, rows, images.bytes());
        let mut room = Vec::new();
        for row in 0..rows {
            let missing = images.nulls().is_some_and(|n| n.is_null(row));
            let image = match missing {
                true => None,
                false => images.get(self.0, row, &mut room)?,
            };
            match image {
                Some(image) => {
                    plan.prepare(image)?;
                    out.push(image.shape, |to| {
                        write(image, plan.planar, &plan.tables, to)
                    })?;
                }
                None => out.null()?,
            }
        }
        out.finish(args.return_type())
    }
}
