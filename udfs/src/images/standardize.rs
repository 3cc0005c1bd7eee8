//! `image_standardize(image, per, ...) OVER (...)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Fields, UInt32Type};
use datafusion_common::{Result, exec_err, internal_err};

use super::measure::deviation;
use super::tensor::{self, LAYOUT};
use super::tensors::{self, CHANNELS, HEIGHT, Tensors, WIDTH};
use super::value::{Image, Images, Shape, image_type};
use crate::arrays::only;
use crate::fitted::numbers::{Reader, list_field, of_group, read_list, write_lists};
use crate::fitted::{Fitted, Groups, State};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "image_standardize",
    stage: Stage::Images,
    kind: Kind::Fitted,
    summary: "The numbers of an image less the mean of all images and divided by their deviation: a list of FLOAT. What is \
              NULL, or no image, takes no part in the statistics and gives NULL.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::option(
            "per",
            "'channel'",
            "'channel': a mean and a deviation of each channel; 'pixel': of each value at its place, of images of one shape",
        ),
        Param::option("with_mean", "true", "whether the mean is subtracted"),
        Param::option("with_std", "true", "whether to divide by the deviation"),
        Param::option(
            "epsilon",
            "0.000001",
            "what is added to a deviation, of values from 0 to 255, before it divides",
        ),
        LAYOUT,
        WIDTH,
        HEIGHT,
        CHANNELS,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT image_standardize(i, epsilon => 0) OVER () FROM (SELECT image_from_pixels([v, v + 2], width => 2, height => 1) AS i \
                  FROM (VALUES (1), (5)) AS t(v)) ORDER BY 1",
            result: "\"[-1.3416408, -0.4472136]\"\n\"[0.4472136, 1.3416408]\"",
        },
        Example {
            sql: "SELECT image_standardize(i, 'pixel', with_std => false) OVER () FROM (SELECT image_from_pixels([v, 2 * v], width => 2, height => 1) AS i \
                  FROM (VALUES (1), (5)) AS t(v)) ORDER BY 1",
            result: "\"[-2.0, -4.0]\"\n\"[2.0, 4.0]\"",
        },
    ],
    source: "Keras' ImageDataGenerator, featurewise: (value - mean) / (std + epsilon); sums are exact. Where all values are the \
             same it divides by 1, not by epsilon",
    also: &[
        "ImageDataGenerator(featurewise_center, featurewise_std_normalization)",
        "keras.layers.Normalization",
    ],
};

/// `image_standardize(image, per, with_mean, with_std, epsilon, layout, width, height, channels) OVER (...)`.
#[derive(Debug, Clone)]
pub struct Standardize {
    per: Per,
    with_mean: bool,
    with_std: bool,
    epsilon: f64,
    planar: bool,
    shape: Option<Shape>,
}

/// What has a mean of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Channel,
    Pixel,
}

impl Per {
    /// How many means images of a shape have.
    fn means(self, shape: Shape) -> usize {
        match self {
            Self::Channel => shape.channels,
            Self::Pixel => shape.bytes(),
        }
    }

    /// An error unless images of both shapes have the same means.
    fn check(self, seen: Shape, shape: Shape) -> Result<()> {
        match self {
            Self::Channel if seen.channels != shape.channels => exec_err!(
                "image_standardize: an image of {} channels is there beside one of {}. \
                 Write image_convert(image, 'rgb') for images that differ",
                shape.channels,
                seen.channels
            ),
            Self::Pixel if seen != shape => exec_err!(
                "image_standardize: an image of {} x {} pixels of {} channels is there beside one of {} x {} of {}, where each \
                 pixel is to have a mean. Write image_resize(image, {}, {}) first, or per => 'channel'",
                shape.width,
                shape.height,
                shape.channels,
                seen.width,
                seen.height,
                seen.channels,
                seen.width,
                seen.height
            ),
            _ => Ok(()),
        }
    }
}

/// Exact sums of values, and of their squares.
#[derive(Debug)]
pub struct Sums {
    per: Per,
    shape: Option<Shape>,
    /// How many values each mean is of.
    count: u64,
    sums: Vec<u64>,
    squares: Vec<u64>,
}

impl Sums {
    fn new(per: Per) -> Self {
        Self {
            per,
            shape: None,
            count: 0,
            sums: Vec::new(),
            squares: Vec::new(),
        }
    }

    /// Makes room for images of a shape.
    fn open(&mut self, shape: Shape) -> Result<()> {
        if let Some(seen) = self.shape {
            return self.per.check(seen, shape);
        }
        self.shape = Some(shape);
        self.sums = vec![0; self.per.means(shape)];
        self.squares = vec![0; self.per.means(shape)];
        Ok(())
    }

    fn add(&mut self, image: Image<'_>) -> Result<()> {
        self.open(image.shape)?;
        let means = self.sums.len();
        for values in image.pixels.chunks_exact(means) {
            let sums = self.sums.iter_mut().zip(&mut self.squares);
            for ((sum, squares), v) in sums.zip(values) {
                *sum += u64::from(*v);
                *squares += u64::from(*v) * u64::from(*v);
            }
        }
        self.count += (image.pixels.len() / means) as u64;
        Ok(())
    }
}

impl State for Sums {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let images = Images::new(&SPEC, &values[0])?;
        let mut room = Vec::new();
        for row in 0..values[0].len() {
            if images.nulls().is_none_or(|n| n.is_valid(row))
                && let Some(image) = images.get(&SPEC, row, &mut room)?
            {
                self.add(image)?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        let Some(shape) = other.shape else {
            return Ok(());
        };
        self.open(shape)?;
        self.count += other.count;
        for (sums, more) in [
            (&mut self.sums, &other.sums),
            (&mut self.squares, &other.squares),
        ] {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum += more;
            }
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let Some(shape) = self.shape else {
            return Ok(());
        };
        let sides = [shape.height, shape.width, shape.channels].map(|side| side as u64);
        for number in sides
            .iter()
            .chain([&self.count])
            .chain(&self.sums)
            .chain(&self.squares)
        {
            out.extend(number.to_le_bytes());
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut reader = Reader(bytes);
        let mut read = || -> Option<()> {
            let shape = Shape {
                height: reader.length()?,
                width: reader.length()?,
                channels: reader.length()?,
            };
            self.open(shape).ok()?;
            self.count = reader.u64()?;
            for sum in self.sums.iter_mut().chain(&mut self.squares) {
                *sum = reader.u64()?;
            }
            Some(())
        };
        match read() {
            Some(()) => Ok(()),
            None => internal_err!("sums of images of {} bytes cannot be read", bytes.len()),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + 8 * (self.sums.capacity() + self.squares.capacity())
    }
}

/// What a group's images are standardised by.
pub struct Scales {
    shape: Shape,
    mean: Vec<f64>,
    scale: Vec<f64>,
    /// What becomes of each value, a table a channel.
    tables: Vec<[f32; 256]>,
}

impl Scales {
    fn new(per: Per, shape: Shape, mean: Vec<f64>, scale: Vec<f64>) -> Result<Self> {
        if mean.len() != per.means(shape) || scale.len() != mean.len() {
            return internal_err!("{} means of images of {shape:?}", mean.len());
        }
        let table = |(mean, scale): (&f64, &f64)| {
            let mut table = [0.0; 256];
            for (v, to) in table.iter_mut().enumerate() {
                *to = ((v as f64 - mean) / scale) as f32;
            }
            table
        };
        let tables = match per {
            Per::Channel => mean.iter().zip(&scale).map(table).collect(),
            Per::Pixel => Vec::new(),
        };
        Ok(Self {
            shape,
            mean,
            scale,
            tables,
        })
    }

    fn write(&self, image: Image<'_>, planar: bool, to: &mut Vec<f32>) {
        if !self.tables.is_empty() {
            return tensor::write(image, planar, &self.tables, to);
        }
        let each = image.pixels.iter().zip(self.mean.iter().zip(&self.scale));
        let each = each.map(|(v, (mean, scale))| ((f64::from(*v) - mean) / scale) as f32);
        if planar {
            let channels = image.shape.channels;
            for channel in 0..channels {
                to.extend(each.clone().skip(channel).step_by(channels));
            }
        } else {
            to.extend(each);
        }
    }
}

impl Fitted for Standardize {
    type State = Sums;
    type Prepared = Vec<Option<Scales>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            per: match options.choice("per", &["channel", "pixel"])? {
                "pixel" => Per::Pixel,
                _ => Per::Channel,
            },
            with_mean: options.bool("with_mean")?,
            with_std: options.bool("with_std")?,
            epsilon: options.float_in("epsilon", 0.0, f64::MAX)?,
            planar: options.choice("layout", &["hwc", "chw"])? == "chw",
            shape: tensors::shape(options)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![image_type(&SPEC, "image", only(&SPEC, types)?)?])
    }

    fn output(&self, _: &[DataType]) -> Result<DataType> {
        // no image has more than 2^28 bytes
        let size = self
            .shape
            .map(|shape| i32::try_from(shape.bytes()).unwrap_or(i32::MAX));
        Ok(tensors::list_type(size))
    }

    fn params(&self, _: &[DataType]) -> Result<Fields> {
        let side = |name| Field::new(name, DataType::UInt32, true);
        Ok(Fields::from(vec![
            list_field("mean"),
            list_field("scale"),
            side("height"),
            side("width"),
            side("channels"),
        ]))
    }

    fn state(&self, _: &[DataType]) -> Result<Sums> {
        Ok(Sums::new(self.per))
    }

    fn finish(&self, _: &[DataType], states: Vec<Sums>) -> Result<Vec<ArrayRef>> {
        let lists = |of: &dyn Fn(u64, u64, u64) -> f64| {
            write_lists(states.iter().map(|state| {
                state.shape?;
                let sums = state.sums.iter().zip(&state.squares);
                Some(
                    sums.map(|(sum, squares)| of(state.count, *sum, *squares))
                        .collect(),
                )
            }))
        };
        let mean = lists(&|n, sum, _| match self.with_mean {
            true => sum as f64 / n as f64,
            false => 0.0,
        });
        let scale = lists(&|n, sum, squares| {
            let deviation = deviation(n, sum.into(), squares.into());
            match self.with_std && deviation > 0.0 {
                true => deviation + self.epsilon,
                false => 1.0,
            }
        });
        let side = |f: fn(Shape) -> usize| -> ArrayRef {
            let sides = states.iter().map(|state| state.shape.map(|s| f(s) as u32));
            Arc::new(sides.collect::<UInt32Array>())
        };
        Ok(vec![
            mean,
            scale,
            side(|s| s.height),
            side(|s| s.width),
            side(|s| s.channels),
        ])
    }

    fn prepare(&self, _: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        let (means, scales) = (read_list(params, 0)?, read_list(params, 1)?);
        let sides = params.columns()[2..].iter();
        let sides: Vec<&UInt32Array> = sides.map(|c| c.as_primitive::<UInt32Type>()).collect();
        let [height, width, channels] = sides[..] else {
            return internal_err!("{} sides of images", sides.len());
        };
        means
            .into_iter()
            .zip(scales)
            .enumerate()
            .map(|(row, (mean, scale))| {
                let (Some(mean), Some(scale)) = (mean, scale) else {
                    return Ok(None);
                };
                let shape = Shape {
                    height: height.value(row) as usize,
                    width: width.value(row) as usize,
                    channels: channels.value(row) as usize,
                };
                Scales::new(self.per, shape, mean, scale).map(Some)
            })
            .collect()
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let images = Images::new(&SPEC, &args[0])?;
        let rows = args[0].len();
        let mut out = Tensors::new(SPEC.name, self.shape, rows, images.bytes());
        let mut room = Vec::new();
        for row in 0..rows {
            let image = match images.nulls().is_some_and(|n| n.is_null(row)) {
                true => None,
                false => images.get(&SPEC, row, &mut room)?,
            };
            match (image, of_group(prepared, groups, row)?) {
                (Some(image), Some(scales)) => {
                    self.per.check(scales.shape, image.shape)?;
                    out.push(image.shape, |to| scales.write(image, self.planar, to))?;
                }
                _ => out.null()?,
            }
        }
        out.finish(&self.output(&[])?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::{Collect, Output};
    use super::*;
    use crate::fitted::testing::{bind_error, fit_apply, grouped, try_apply_to};
    use arrow::datatypes::Float32Type;

    fn images(shape: Shape, rows: usize) -> ArrayRef {
        let mut out = Output::new(rows, 0);
        for row in 0..rows {
            if row % 5 == 4 {
                out.null();
                continue;
            }
            let pixels = out.push(shape).unwrap();
            for (i, v) in pixels.iter_mut().enumerate() {
                *v = (row * 37 + i * (row + 11)) as u8;
            }
        }
        out.finish().unwrap()
    }

    const SMALL: Shape = Shape {
        height: 2,
        width: 3,
        channels: 3,
    };

    fn rows(lists: &ArrayRef) -> Vec<Option<Vec<f32>>> {
        let lists = lists.as_list::<i32>().iter();
        lists
            .map(|l| Some(l?.as_primitive::<Float32Type>().values().to_vec()))
            .collect()
    }

    #[test]
    fn each_mean_becomes_0_and_each_deviation_1() {
        for (per, means) in [("channel", 3), ("pixel", 18)] {
            let given = [("per", per.into()), ("epsilon", 0.into())];
            let found = rows(&fit_apply::<Standardize>(&given, &[images(SMALL, 50)]));
            assert!(
                found
                    .iter()
                    .enumerate()
                    .all(|(i, r)| r.is_none() == (i % 5 == 4))
            );
            for mean in 0..means {
                let values = found.iter().flatten();
                let values: Vec<f64> = values
                    .flat_map(|r| r.iter().skip(mean).step_by(means))
                    .map(|v| f64::from(*v))
                    .collect();
                let n = values.len() as f64;
                let mean = values.iter().sum::<f64>() / n;
                let variance = values.iter().map(|v| v * v).sum::<f64>() / n - mean * mean;
                assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "{per}");
            }
            let planar = [
                ("per", per.into()),
                ("epsilon", 0.into()),
                ("layout", "chw".into()),
            ];
            let planar = rows(&fit_apply::<Standardize>(&planar, &[images(SMALL, 50)]));
            let (one, other) = (found[0].as_ref().unwrap(), planar[0].as_ref().unwrap());
            assert!((0..18).all(|i| one[i] == other[i % 3 * 6 + i / 3]));
            grouped::<Standardize>(&given, &[images(SMALL, 20)], &[0, 1, 1, 2].repeat(5));
        }
    }

    #[test]
    fn constants_nothing_and_other_shapes() {
        let mut one = Output::new(1, 0);
        one.push(SMALL).unwrap().fill(9);
        let one = one.finish().unwrap();
        let found = rows(&fit_apply::<Standardize>(&[], &[Arc::clone(&one)]));
        assert_eq!(found, [Some(vec![0.0; 18])]);
        assert_eq!(rows(&fit_apply::<Standardize>(&[], &[one.slice(0, 0)])), []);
        let none = images(SMALL, 5).slice(4, 1);
        assert_eq!(rows(&fit_apply::<Standardize>(&[], &[none])), [None]);
        let wide = Shape { width: 4, ..SMALL };
        let pixel = [("per", "pixel".into())];
        let error = try_apply_to::<Standardize>(&pixel, &[Arc::clone(&one)], &[images(wide, 1)]);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("4 x 2 pixels of 3 channels is there beside one of 3 x 2"),
            "{error}"
        );
        try_apply_to::<Standardize>(&[], &[one], &[images(wide, 1)]).unwrap();
        let error = bind_error::<Standardize>(&[("per", "row".into())]);
        assert!(
            error.contains("per must be one of 'channel', 'pixel'"),
            "{error}"
        );
    }
}
