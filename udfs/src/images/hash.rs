//! `image_hash(image, method)` and `hamming_distance(a, b)`.

use std::f64::consts::PI;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion_common::{Result, ScalarValue, plan_err};

use super::color::gray;
use super::function::{OfImage, Row};
use super::resize::Sizer;
use super::value::{Collect, Image, Shape};
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const HASH: Spec = Spec {
    name: "image_hash",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "A perceptual hash of 64 bits: images that look alike have hashes of which few bits differ.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::option(
            "method",
            "'dhash'",
            "'dhash' compares neighbours, 'ahash' pixels with their mean, 'phash' frequencies with their median",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT hamming_distance(image_hash(i, 'ahash'), image_hash(image_brightness(i, 0.9), 'ahash')) < 5 \
              FROM (SELECT image_from_pixels(range(0, 1024), width => 32, height => 32, scale => 0.2) AS i)",
        result: "true",
    }],
    source: "the Python package imagehash (average_hash, dhash, phash); its text is the hash's hexadecimal digits",
    also: &[
        "imagehash.average_hash",
        "imagehash.dhash",
        "imagehash.phash",
    ],
};

#[derive(Debug, Clone, Copy)]
enum Method {
    Average,
    Difference,
    Frequency,
}

/// Hashes that are being made.
pub struct Hashes(Vec<Option<u64>>);

impl Collect for Hashes {
    fn data_type() -> DataType {
        DataType::UInt64
    }

    fn new(rows: usize, _: usize) -> Self {
        Self(Vec::with_capacity(rows))
    }

    fn null(&mut self) {
        self.0.push(None);
    }

    fn finish(self) -> Result<ArrayRef> {
        Ok(Arc::new(UInt64Array::from(self.0)))
    }
}

/// `image_hash(image, method)`.
#[derive(Debug)]
pub struct Hash;

pub struct Plan {
    method: Method,
    sizer: Sizer,
    greys: Vec<u8>,
    small: Vec<u8>,
}

/// Rows and columns of the frequencies that count.
const SIDE: usize = 8;
/// Rows and columns of the image whose frequencies are computed.
const LARGE: usize = 32;

/// Bits, the first the highest.
fn bits(bits: impl Iterator<Item = bool>) -> u64 {
    bits.fold(0, |hash, bit| hash << 1 | u64::from(bit))
}

impl OfImage for Hash {
    type Plan = Plan;
    type Out = Hashes;

    fn spec() -> &'static Spec {
        &HASH
    }

    fn plan(options: &Options) -> Result<Plan> {
        Ok(Plan {
            method: match options.choice("method", &["ahash", "dhash", "phash"])? {
                "ahash" => Method::Average,
                "phash" => Method::Frequency,
                _ => Method::Difference,
            },
            sizer: Sizer::new("lanczos"),
            greys: Vec::new(),
            small: Vec::new(),
        })
    }

    fn apply(plan: &mut Plan, image: Image<'_>, _: Row<'_>, out: &mut Hashes) -> Result<()> {
        let shape = Shape {
            channels: 1,
            ..image.shape
        };
        plan.greys.resize(shape.bytes(), 0);
        gray(image, &mut plan.greys);
        let greys = Image {
            shape,
            pixels: &plan.greys,
        };
        let (width, height) = match plan.method {
            Method::Average => (SIDE, SIDE),
            Method::Difference => (SIDE + 1, SIDE),
            Method::Frequency => (LARGE, LARGE),
        };
        let small = shape.sized(width, height);
        plan.small.resize(small.bytes(), 0);
        plan.sizer.stretch(greys, small, &mut plan.small)?;
        let pixels = &plan.small;
        let hash = match plan.method {
            Method::Average => {
                let mean = pixels.iter().map(|v| f64::from(*v)).sum::<f64>() / pixels.len() as f64;
                bits(pixels.iter().map(|v| f64::from(*v) > mean))
            }
            Method::Difference => bits(
                pixels
                    .chunks_exact(SIDE + 1)
                    .flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0])),
            ),
            Method::Frequency => frequencies(pixels),
        };
        out.0.push(Some(hash));
        Ok(())
    }
}

/// Which of the lowest frequencies of the cosine transform are above their median.
fn frequencies(pixels: &[u8]) -> u64 {
    let wave = |k: usize, i: usize| (PI * k as f64 * (2 * i + 1) as f64 / (2 * LARGE) as f64).cos();
    // along the columns, then along the rows
    let mut columns = [[0.0; LARGE]; SIDE];
    for (k, row) in columns.iter_mut().enumerate() {
        for i in 0..LARGE {
            let wave = wave(k, i);
            for (sum, v) in row.iter_mut().zip(&pixels[i * LARGE..]) {
                *sum += wave * f64::from(*v);
            }
        }
    }
    let mut low = [0.0; SIDE * SIDE];
    for (i, to) in low.iter_mut().enumerate() {
        let row = &columns[i / SIDE];
        *to = row
            .iter()
            .enumerate()
            .map(|(at, v)| v * wave(i % SIDE, at))
            .sum();
    }
    let mut sorted = low;
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[SIDE * SIDE / 2 - 1] + sorted[SIDE * SIDE / 2]) / 2.0;
    bits(low.iter().map(|v| *v > median))
}

const HAMMING: Spec = Spec {
    name: "hamming_distance",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "How many bits of two whole numbers differ: how unlike two hashes are.",
    params: &[
        Param::data("a", "a whole number, such as image_hash gives"),
        Param::data("b", "another"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT hamming_distance(12, 10), hamming_distance(0, -1), hamming_distance(1, NULL)",
        result: "2,64,",
    }],
    source: "Hamming 1950, of 64 bits",
    also: &["hamming (DuckDB)", "bit_count(a XOR b) (MySQL)"],
};

/// `hamming_distance(a, b)`.
#[derive(Debug)]
pub struct HammingDistance;

impl RowWise for HammingDistance {
    fn spec(&self) -> &'static Spec {
        &HAMMING
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        HAMMING
            .params
            .iter()
            .zip(types)
            .map(|(param, t)| match t {
                DataType::UInt64 => Ok(DataType::UInt64),
                t if t.is_integer() || t == &DataType::Null => Ok(DataType::Int64),
                DataType::Dictionary(_, value) if value.is_integer() => Ok(DataType::Int64),
                _ => plan_err!(
                    "hamming_distance: {} must be a whole number, not {t}. Write hamming_distance(image_hash(a), image_hash(b))",
                    param.name
                ),
            })
            .collect()
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let bits = |i: usize| -> Result<UInt64Array> {
            let array = args.array(i)?;
            if array.data_type() == &DataType::UInt64 {
                return Ok(array.as_primitive::<UInt64Type>().clone());
            }
            let whole = cast(&array, &DataType::Int64)?;
            let whole = whole.as_primitive::<Int64Type>();
            Ok(whole.unary(|v| v as u64))
        };
        let (a, b) = (bits(0)?, bits(1)?);
        let nulls = NullBuffer::union(a.nulls(), b.nulls());
        let distances = a.values().iter().zip(b.values());
        let distances = distances.map(|(a, b)| i64::from((a ^ b).count_ones()));
        Ok(Arc::new(Int64Array::new(distances.collect(), nulls)))
    }
}
