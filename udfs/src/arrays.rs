//! The one way of looking at arguments of many Arrow types: numbers as `Float64`, texts as `Utf8View`.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float64Array, LargeListArray, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, exec_err, internal_err, plan_err};

use crate::spec::Spec;

/// Whether a type counts as a number: integers, floats, decimals and booleans do.
pub fn is_number(t: &DataType) -> bool {
    match t {
        DataType::Dictionary(_, value) => is_number(value),
        _ => t.is_numeric() || matches!(t, DataType::Boolean | DataType::Null),
    }
}

/// Whether a type is a text, dictionary-encoded or not.
pub fn is_text(t: &DataType) -> bool {
    match t {
        DataType::Dictionary(_, value) => is_text(value),
        _ => matches!(
            t,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null
        ),
    }
}

/// The float type a number is computed in: `Float32` stays, all others become `Float64`.
///
/// # Errors
/// If the type is not a number: names the function, the parameter, and the cast or cleaning to write.
pub fn float_type(spec: &Spec, param: &str, t: &DataType) -> Result<DataType> {
    match t {
        DataType::Float16 | DataType::Float32 => Ok(DataType::Float32),
        DataType::Dictionary(_, value) => float_type(spec, param, value),
        _ if is_number(t) => Ok(DataType::Float64),
        _ if is_text(t) => plan_err!(
            "{}: {param} must be a number, not text. Write {}(parse_number({param}), ...) to read numbers out of text",
            spec.name,
            spec.name
        ),
        _ => plan_err!("{}: {param} must be a number, not {t}", spec.name),
    }
}

/// `Utf8View`, if the type is a text or can be shown as one without loss.
///
/// # Errors
/// If the type is not a text: names the function, the parameter and the cast to write.
pub fn text_type(spec: &Spec, param: &str, t: &DataType) -> Result<DataType> {
    if is_text(t) {
        Ok(DataType::Utf8View)
    } else {
        plan_err!(
            "{}: {param} must be text, not {t}. Write {}(CAST({param} AS VARCHAR), ...)",
            spec.name,
            spec.name
        )
    }
}

/// The type of the only data argument.
///
/// # Errors
/// If there are none or several: names the function and how it is written.
pub fn only<'a>(spec: &Spec, types: &'a [DataType]) -> Result<&'a DataType> {
    match types {
        [one] => Ok(one),
        _ => plan_err!(
            "{}: one column expected, {} given. Write {}",
            spec.name,
            types.len(),
            spec.syntax()
        ),
    }
}

/// The type with float items of a list of numbers.
pub fn vector_type(t: &DataType) -> Option<DataType> {
    let item = |field: &FieldRef| {
        let float = match field.data_type() {
            DataType::Float16 | DataType::Float32 => DataType::Float32,
            t if is_number(t) => DataType::Float64,
            _ => return None,
        };
        Some(Arc::new(field.as_ref().clone().with_data_type(float)))
    };
    match t {
        DataType::Null => {
            let item = Field::new_list_field(DataType::Float64, true);
            Some(DataType::List(Arc::new(item)))
        }
        DataType::List(field) | DataType::ListView(field) => item(field).map(DataType::List),
        DataType::LargeList(field) | DataType::LargeListView(field) => {
            item(field).map(DataType::LargeList)
        }
        DataType::FixedSizeList(field, n) => {
            item(field).map(|field| DataType::FixedSizeList(field, *n))
        }
        _ => None,
    }
}

/// Lists of floats, of a type that [`vector_type`] gives.
pub fn vectors<'a>(
    of: &DataType,
    rows: impl IntoIterator<Item = Option<&'a [f64]>>,
) -> Result<ArrayRef> {
    let (item, size) = match of {
        DataType::List(item) | DataType::LargeList(item) => (item, 0),
        DataType::FixedSizeList(item, n) => (item, usize::try_from(*n).unwrap_or(0)),
        other => return internal_err!("{other} is no type of vectors"),
    };
    let (mut values, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let before = values.len();
        match row {
            Some(numbers) => values.extend_from_slice(numbers),
            None => values.resize(before + size, 0.0),
        }
        lengths.push(values.len() - before);
        valid.push(row.is_some());
    }
    let rows = valid.len();
    let few = i32::try_from(values.len()).is_ok();
    let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
    let values = cast(&Float64Array::from(values), item.data_type())?;
    let item = Arc::clone(item);
    Ok(match of {
        DataType::FixedSizeList(_, n) => Arc::new(FixedSizeListArray::try_new_with_length(
            item, *n, values, nulls, rows,
        )?),
        DataType::LargeList(_) => {
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(LargeListArray::try_new(item, offsets, values, nulls)?)
        }
        _ if few => {
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::try_new(item, offsets, values, nulls)?)
        }
        _ => {
            return exec_err!(
                "the vectors of one batch have more than 2^31 numbers. Write SET datafusion.execution.batch_size = 256"
            );
        }
    })
}
