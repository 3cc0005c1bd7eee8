//! The one way of looking at arguments of many Arrow types: numbers as `Float64`, texts as `Utf8View`.

use arrow::datatypes::DataType;
use datafusion_common::{Result, plan_err};

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
