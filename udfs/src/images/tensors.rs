//! Lists of numbers made of images, as models are trained on them: how every function that gives them writes them.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, exec_err};

use super::value::{MOST_BYTES, Shape};
use crate::options::Options;
use crate::spec::Param;

pub const WIDTH: Param = Param::option(
    "width",
    "NULL",
    "the width of all images; with height and channels the list has a fixed size",
);
pub const HEIGHT: Param = Param::option("height", "NULL", "the height of all images");
pub const CHANNELS: Param = Param::option("channels", "NULL", "the channels of all images");

/// The options that say what shape all images have.
pub const SIDES: [&str; 3] = ["width", "height", "channels"];

/// What the options say of the shape of all images.
///
/// # Errors
/// If some of them are given and others not, or the shape is too large.
pub fn shape(options: &Options) -> Result<Option<Shape>> {
    let given = SIDES.map(|name| !options.is_null(name));
    if given == [false; 3] {
        return Ok(None);
    }
    if let Some((name, _)) = SIDES.iter().zip(given).find(|(_, given)| !given) {
        return options.wrong(name, "given too: width, height and channels go together");
    }
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
    Ok(Some(shape))
}

/// The type of lists of so many numbers, or of any.
pub fn list_type(size: Option<i32>) -> DataType {
    match size {
        Some(size) => DataType::FixedSizeList(item(), size),
        None => DataType::List(item()),
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float32, true))
}

/// Lists that are being made.
pub struct Tensors {
    name: &'static str,
    shape: Option<Shape>,
    values: Vec<f32>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Tensors {
    /// Room for so many rows, whose images have so many bytes together if that is known. All have `shape`, if given.
    pub fn new(name: &'static str, shape: Option<Shape>, rows: usize, bytes: usize) -> Self {
        let values = match shape {
            Some(shape) => shape.bytes().saturating_mul(rows).min(MOST_BYTES),
            None => bytes,
        };
        Self {
            name,
            shape,
            values: Vec::with_capacity(values),
            lengths: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
        }
    }

    /// Adds the numbers of an image; `write` appends as many as its shape has bytes.
    ///
    /// # Errors
    /// If the image has another shape than all are to have.
    pub fn push(&mut self, shape: Shape, write: impl FnOnce(&mut Vec<f32>)) -> Result<()> {
        if let Some(wanted) = self.shape
            && wanted != shape
        {
            return exec_err!(
                "{}: an image of {} x {} pixels of {} channels is there, where all are to have \
                 {} x {} of {}. Write image_resize(image, {}, {}) and image_convert first",
                self.name,
                shape.width,
                shape.height,
                shape.channels,
                wanted.width,
                wanted.height,
                wanted.channels,
                wanted.width,
                wanted.height
            );
        }
        let before = self.values.len();
        write(&mut self.values);
        self.end(before, true)
    }

    /// Adds a row without an image.
    pub fn null(&mut self) -> Result<()> {
        let before = self.values.len();
        let size = self.shape.map_or(0, Shape::bytes);
        self.values.resize(before + size, 0.0);
        self.end(before, false)
    }

    fn end(&mut self, before: usize, valid: bool) -> Result<()> {
        if self.values.len() > i32::MAX as usize {
            return exec_err!(
                "{}: the images of one batch have more than 2^31 values. \
                 Write SET datafusion.execution.batch_size = 256",
                self.name
            );
        }
        self.lengths.push(self.values.len() - before);
        self.valid.push(valid);
        Ok(())
    }

    /// The column, of the type that was promised.
    pub fn finish(self, promised: &DataType) -> Result<ArrayRef> {
        let rows = self.valid.len();
        let nulls = self
            .valid
            .contains(&false)
            .then(|| NullBuffer::from(self.valid));
        let values: ArrayRef = Arc::new(Float32Array::from(self.values));
        Ok(match promised {
            DataType::FixedSizeList(item, size) => {
                let item = Arc::clone(item);
                Arc::new(FixedSizeListArray::try_new_with_length(
                    item, *size, values, nulls, rows,
                )?)
            }
            _ => {
                let offsets = OffsetBuffer::from_lengths(self.lengths);
                Arc::new(ListArray::try_new(item(), offsets, values, nulls)?)
            }
        })
    }
}
