//! The one way functions of an image are written: what they need of a row, and the loop over a column.

use std::fmt::Debug;
use std::marker::PhantomData;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::{Result, ScalarValue, exec_err};

use super::value::{Collect, Image, Images, image_type};
use crate::arrays::float_type;
use crate::options::Options;
use crate::random::key;
use crate::row_wise::{Args, RowWise};
use crate::spec::Spec;

/// A function whose first argument is an image. The other data are numbers, and `key` last where it draws.
pub trait OfImage: Debug + Send + Sync + 'static {
    /// What the options say, and room that is used again from image to image.
    type Plan;
    /// What is made of the images.
    type Out: Collect;

    /// Its declaration.
    fn spec() -> &'static Spec;

    /// The least and the greatest value of each number, in order; those not listed may be any.
    fn ranges() -> &'static [(f64, f64)] {
        &[]
    }

    /// Reads the options.
    fn plan(options: &Options) -> Result<Self::Plan>;

    /// Adds exactly one row to `out`.
    fn apply(
        plan: &mut Self::Plan,
        image: Image<'_>,
        row: Row<'_>,
        out: &mut Self::Out,
    ) -> Result<()>;
}

/// What a row has beside its image.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The numbers, in the order of the parameters; all finite.
    pub numbers: &'a [f64],
    /// The hash of the key, of a function that draws.
    pub hash: u64,
}

impl Row<'_> {
    /// A number as a side or a count: what is below 0 is 0.
    pub fn whole(&self, i: usize) -> usize {
        // a cast from float to whole number stops at the ends of its range
        (self.numbers[i] + 0.5) as usize
    }
}

/// An [`OfImage`] as a row-wise function.
#[derive(Debug)]
pub struct Of<F>(PhantomData<fn() -> F>);

impl<F: OfImage> Of<F> {
    /// The function.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

const KEY: &str = "key";

/// The number of a call, if it is within what the function takes.
fn within<F: OfImage>(i: usize, value: f64) -> Result<()> {
    match F::ranges().get(i) {
        Some((lo, hi)) if value < *lo || value > *hi => {
            let spec = F::spec();
            let most = if hi.is_finite() {
                format!("from {lo} to {hi}")
            } else {
                format!("at least {lo}")
            };
            let name = spec.params[i + 1].name;
            exec_err!("{}: {name} must be {most}, but is {value}", spec.name)
        }
        _ => Ok(()),
    }
}

impl<F: OfImage> RowWise for Of<F> {
    fn spec(&self) -> &'static Spec {
        F::spec()
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let spec = F::spec();
        spec.params
            .iter()
            .zip(types)
            .enumerate()
            .map(|(i, (param, t))| {
                if i == 0 {
                    image_type(spec, param.name, t)
                } else if param.option {
                    Ok(t.clone())
                } else if param.name == KEY {
                    key::check_type(spec, param.name, t).map(|()| t.clone())
                } else {
                    float_type(spec, param.name, t).map(|_| DataType::Float64)
                }
            })
            .collect()
    }

    fn return_type(&self, _: &[DataType], literals: &[Option<&ScalarValue>]) -> Result<DataType> {
        let numbers = F::spec().params.iter().skip(1).take_while(|p| !p.option);
        for (i, (_, literal)) in numbers.zip(literals.iter().skip(1)).enumerate() {
            if let Some(ScalarValue::Float64(Some(value))) = literal {
                within::<F>(i, *value)?;
            }
        }
        Ok(F::Out::data_type())
    }

    fn check(&self, options: &Options) -> Result<()> {
        F::plan(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let spec = F::spec();
        let mut plan = F::plan(&args.options()?)?;
        let data = args.data()?;
        let Some((first, rest)) = data.split_first() else {
            return exec_err!("{}: the image is missing", spec.name);
        };
        let images = Images::new(spec, first)?;
        let mut nulls = images.nulls().cloned();
        let mut columns: Vec<Float64Array> = Vec::with_capacity(rest.len());
        let mut hashes = None;
        for (param, array) in spec.params[1..].iter().zip(rest) {
            nulls = NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref());
            if param.name == KEY {
                hashes = Some(key::hashes(spec.name, array)?);
            } else {
                let numbers = cast(array, &DataType::Float64)?;
                columns.push(numbers.as_primitive::<Float64Type>().clone());
            }
        }
        let rows = args.rows();
        let mut out = F::Out::new(rows, images.bytes());
        let mut room = Vec::new();
        let mut numbers = vec![0.0; columns.len()];
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                out.null();
                continue;
            }
            for (number, column) in numbers.iter_mut().zip(&columns) {
                *number = column.value(row);
            }
            if numbers.iter().any(|x| !x.is_finite()) {
                out.null();
                continue;
            }
            for (i, number) in numbers.iter().enumerate() {
                within::<F>(i, *number)?;
            }
            match images.get(spec, row, &mut room)? {
                Some(image) => {
                    let hash = hashes.as_ref().map_or(0, |h| h[row]);
                    let numbers = &numbers;
                    F::apply(&mut plan, image, Row { numbers, hash }, &mut out)?;
                }
                None => out.null(),
            }
        }
        out.finish()
    }
}

/// Numbers that are being made.
pub struct Numbers(Vec<Option<f64>>);

impl Numbers {
    /// Adds a number.
    pub fn push(&mut self, value: f64) {
        self.0.push(Some(value));
    }
}

impl Collect for Numbers {
    fn data_type() -> DataType {
        DataType::Float64
    }

    fn new(rows: usize, _: usize) -> Self {
        Self(Vec::with_capacity(rows))
    }

    fn null(&mut self) {
        self.0.push(None);
    }

    fn finish(self) -> Result<ArrayRef> {
        Ok(std::sync::Arc::new(Float64Array::from(self.0)))
    }
}
