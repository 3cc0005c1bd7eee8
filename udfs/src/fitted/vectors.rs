//! Rows that are vectors: lists of numbers, or the pixels of images.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err};

use crate::images::value::Images;
use crate::spec::Spec;

/// A column of vectors, or of images.
pub enum Input {
    Images(&'static Spec, Images),
    Vectors(Vec<Option<std::ops::Range<usize>>>, Float64Array),
}

impl Input {
    /// Looks at a column of lists of floats, or of what [`crate::images::value::image_type`] gives.
    pub fn new(spec: &'static Spec, array: &ArrayRef) -> Result<Self> {
        let ranges = |valid: &dyn Fn(usize) -> bool, range: &dyn Fn(usize) -> [usize; 2]| {
            let rows = (0..array.len()).map(|row| valid(row).then(|| range(row)));
            rows.map(|r| r.map(|[from, to]| from..to)).collect()
        };
        let (rows, values) = match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let at = |i: usize| lists.value_offsets()[i] as usize;
                let rows = ranges(&|i| lists.is_valid(i), &|i| [at(i), at(i + 1)]);
                (rows, lists.values())
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                let at = |i: usize| lists.value_offsets()[i] as usize;
                let rows = ranges(&|i| lists.is_valid(i), &|i| [at(i), at(i + 1)]);
                (rows, lists.values())
            }
            DataType::FixedSizeList(_, n) => {
                let lists = array.as_fixed_size_list();
                let n = usize::try_from(*n).unwrap_or(0);
                let rows = ranges(&|i| lists.is_valid(i), &|i| [n * i, n * (i + 1)]);
                (rows, lists.values())
            }
            _ => return Ok(Self::Images(spec, Images::new(spec, array)?)),
        };
        let values = cast(values, &DataType::Float64)?;
        Ok(Self::Vectors(rows, values.as_primitive().clone()))
    }

    /// Appends the numbers of a row; `None`, and nothing is appended, if one is missing or infinite.
    pub fn read(&self, row: usize, room: &mut Vec<u8>, to: &mut Vec<f64>) -> Result<Option<Sides>> {
        match self {
            Self::Images(spec, images) => {
                if images.nulls().is_some_and(|n| n.is_null(row)) {
                    return Ok(None);
                }
                let Some(image) = images.get(spec, row, room)? else {
                    return Ok(None);
                };
                to.extend(image.pixels.iter().map(|v| f64::from(*v)));
                let shape = image.shape;
                Ok(Some([shape.height, shape.width, shape.channels]))
            }
            Self::Vectors(rows, values) => {
                let Some(range) = rows[row].clone() else {
                    return Ok(None);
                };
                let numbers = &values.values()[range.clone()];
                let valid = |n: &arrow::buffer::NullBuffer| range.clone().all(|i| n.is_valid(i));
                if !values.nulls().is_none_or(valid) || !numbers.iter().all(|x| x.is_finite()) {
                    return Ok(None);
                }
                to.extend_from_slice(numbers);
                Ok(Some([1, numbers.len(), 1]))
            }
        }
    }
}

/// Height, width and channels; a vector is one row of one channel.
pub type Sides = [usize; 3];

/// How many numbers a row has.
pub fn length(sides: Sides) -> usize {
    sides.iter().product()
}

/// As one says it.
pub fn written([height, width, channels]: Sides) -> String {
    match (height, channels) {
        (1, 1) => format!("{width} numbers"),
        _ => format!("{width} x {height} pixels of {channels} channels"),
    }
}

/// An error unless all rows have the same sides.
pub fn check(spec: &Spec, seen: Sides, sides: Sides) -> Result<()> {
    if seen == sides {
        return Ok(());
    }
    exec_err!(
        "{}: {} are there beside {}, but all rows must have the same. Write image_resize(image, 32, 32) and \
         image_convert for images that differ",
        spec.name,
        written(sides),
        written(seen)
    )
}
