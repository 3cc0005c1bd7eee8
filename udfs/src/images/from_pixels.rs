//! `image_from_pixels(pixels, ..., width, height, channels, scale)`.

use arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use std::sync::Arc;

use super::value::{Collect, MOST_BYTES, Output, Shape, data_type};
use crate::arrays::is_number;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "image_from_pixels",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "An image of numbers: a list, or a column a pixel, as tables of MNIST have them.",
    params: &[
        Param::data(
            "pixels",
            "a list of numbers, or as many numbers as the image has values: row by row, the channels of a pixel \
             beside each other. Below 0 is 0, above 255 is 255, fractions are rounded; with one that is NULL or NaN \
             the image is NULL",
        ),
        Param::required("width", "how many columns"),
        Param::required("height", "how many rows"),
        Param::option("channels", "1", "1 grey, 3 RGB, 4 RGBA"),
        Param::option(
            "scale",
            "1",
            "a factor for the numbers: 255 if they are from 0 to 1",
        ),
    ],
    variadic: true,
    examples: &[
        Example {
            sql: "SELECT image_tensor(image_from_pixels([0, 0.5, 1, 2], width => 2, height => 2, scale => 255), scale => 1)",
            result: "\"[0.0, 128.0, 255.0, 255.0]\"",
        },
        Example {
            sql: "SELECT image_mean(image_from_pixels(1, 3, width => 2, height => 1))",
            result: "2.0",
        },
    ],
    source: "numpy.reshape and a rounding to 8 bits",
    also: &["PIL.Image.fromarray", "tf.reshape"],
};

/// `image_from_pixels(pixels, ..., width, height, channels, scale)`.
#[derive(Debug)]
pub struct FromPixels;

fn shape(options: &Options) -> Result<(Shape, f32)> {
    let side = |name| -> Result<usize> {
        Ok(usize::try_from(options.integer(name, 1)?).unwrap_or(usize::MAX))
    };
    let shape = Shape {
        height: side("height")?,
        width: side("width")?,
        channels: side("channels")?,
    };
    if !matches!(shape.channels, 1 | 3 | 4) {
        return options.wrong("channels", "1, 3 or 4");
    }
    if shape.bytes() > MOST_BYTES {
        return options.wrong(
            "height",
            format!("such that the image has at most {MOST_BYTES} bytes"),
        );
    }
    Ok((shape, options.float("scale")? as f32))
}

/// The value of a pixel.
#[inline]
fn byte(v: f32, scale: f32) -> u8 {
    // a cast from float to whole number stops at the ends of its range
    (v * scale + 0.5) as u8
}

impl RowWise for FromPixels {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        let Some(values) = types.len().checked_sub(4).filter(|n| *n > 0) else {
            return plan_err!(
                "image_from_pixels: no pixels given. Write {}",
                SPEC.syntax()
            );
        };
        let item = || Arc::new(Field::new_list_field(DataType::Float32, true));
        for (i, t) in coerced[..values].iter_mut().enumerate() {
            *t = match &*t {
                DataType::List(f) if values == 1 && is_number(f.data_type()) => {
                    DataType::List(item())
                }
                DataType::LargeList(f) if values == 1 && is_number(f.data_type()) => {
                    DataType::LargeList(item())
                }
                DataType::FixedSizeList(f, n) if values == 1 && is_number(f.data_type()) => {
                    DataType::FixedSizeList(item(), *n)
                }
                t if is_number(t) => DataType::Float32,
                t => {
                    return plan_err!(
                        "image_from_pixels: argument {} must be a list of numbers, or a number for each value, not {t}. \
                         Write image_from_pixels(vectorize(...), width => 28, height => 28)",
                        i + 1
                    );
                }
            };
        }
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(data_type())
    }

    fn check(&self, options: &Options) -> Result<()> {
        shape(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let (shape, scale) = shape(&args.options()?)?;
        let data = args.data()?;
        match data.as_slice() {
            [one] if !one.data_type().is_numeric() => of_lists(one, shape, scale),
            _ => of_columns(&data, shape, scale, args.rows()),
        }
    }
}

fn wrong<T>(found: usize, shape: Shape) -> Result<T> {
    exec_err!(
        "image_from_pixels: {found} numbers are given, but width {} x height {} x channels {} are {}",
        shape.width,
        shape.height,
        shape.channels,
        shape.bytes()
    )
}

fn of_lists(lists: &ArrayRef, shape: Shape, scale: f32) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let lists = cast(lists, &DataType::LargeList(item))?;
    let Some(lists) = lists.as_list_opt::<i64>() else {
        return exec_err!("image_from_pixels: {} is no list", lists.data_type());
    };
    let items = lists.values().as_primitive::<Float32Type>();
    let offsets = lists.value_offsets();
    let mut out = Output::new(
        lists.len(),
        lists.len().saturating_mul(shape.bytes()).min(MOST_BYTES),
    );
    for (row, ends) in offsets.windows(2).enumerate() {
        let (from, to) = (ends[0] as usize, ends[1] as usize);
        if lists.is_null(row) {
            out.null();
            continue;
        }
        if to - from != shape.bytes() {
            return wrong(to - from, shape);
        }
        let values = &items.values()[from..to];
        let missing = items
            .nulls()
            .is_some_and(|n| n.slice(from, to - from).null_count() > 0);
        if missing || values.iter().any(|v| v.is_nan()) {
            out.null();
            continue;
        }
        for (to, v) in out.push(shape)?.iter_mut().zip(values) {
            *to = byte(*v, scale);
        }
    }
    out.finish()
}

fn of_columns(data: &[ArrayRef], shape: Shape, scale: f32, rows: usize) -> Result<ArrayRef> {
    if data.len() != shape.bytes() {
        return wrong(data.len(), shape);
    }
    let columns = data
        .iter()
        .map(|array| {
            Ok(cast(array, &DataType::Float32)?
                .as_primitive::<Float32Type>()
                .clone())
        })
        .collect::<Result<Vec<Float32Array>>>()?;
    let nulls = columns
        .iter()
        .fold(None, |all: Option<NullBuffer>, column| {
            NullBuffer::union(all.as_ref(), column.nulls())
        });
    let mut out = Output::new(rows, rows.saturating_mul(shape.bytes()).min(MOST_BYTES));
    for row in 0..rows {
        let missing = nulls.as_ref().is_some_and(|n| n.is_null(row));
        if missing || columns.iter().any(|column| column.value(row).is_nan()) {
            out.null();
            continue;
        }
        for (to, column) in out.push(shape)?.iter_mut().zip(&columns) {
            *to = byte(column.value(row), scale);
        }
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;
    use crate::testing::{call, column, constant, error, list, null};

    #[test]
    fn missing_and_wrong() -> Result<()> {
        let sides = [constant(2), constant(1), constant(1), constant(1)];
        let of = |first| call(FromPixels, &[&[first], &sides[..]].concat());
        let hole = list(Float64Array::from(vec![Some(1.0), None]));
        assert!(of(hole)?.is_null(0));
        assert!(of(list(Float64Array::from(vec![1.0, f64::NAN])))?.is_null(0));
        let ends = of(list(Float64Array::from(vec![f64::NEG_INFINITY, 1e30])))?;
        assert_eq!(
            ends.as_struct().column(3).as_binary::<i32>().value(0),
            [0, 255]
        );
        let message = error(of(list(Float64Array::from(vec![1.0]))));
        assert!(
            message.contains("1 numbers are given, but width 2 x height 1"),
            "{message}"
        );
        let two = [
            column(Float64Array::from(vec![Some(1.0), None])),
            constant(3),
        ];
        let two = call(FromPixels, &[&two[..], &sides[..]].concat())?;
        assert!(two.is_valid(0) && two.is_null(1));
        let nothing = call(
            FromPixels,
            &[null(), constant(1), constant(1), constant(1), constant(1)],
        )?;
        assert!(nothing.is_null(0));
        let message = error(call(
            FromPixels,
            &[
                constant(1),
                constant(1),
                constant(1),
                constant(2),
                constant(1),
            ],
        ));
        assert!(
            message.contains("channels must be 1, 3 or 4, not 2"),
            "{message}"
        );
        Ok(())
    }
}
