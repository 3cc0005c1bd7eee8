//! What the unit tests of functions share: calling a function as DataFusion does.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, StringViewArray, new_empty_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use crate::row_wise::{RowWise, row_wise};

/// Calls a function: coerces the types, asks for the type of the result, invokes. Checks that the result has
/// the type and the rows that were promised.
pub fn call(function: impl RowWise, args: &[ColumnarValue]) -> Result<ArrayRef> {
    let rows = args
        .iter()
        .find_map(|a| match a {
            ColumnarValue::Array(array) => Some(array.len()),
            ColumnarValue::Scalar(_) => None,
        })
        .unwrap_or(1);
    call_rows(function, args, rows)
}

/// [`call`] on a batch of so many rows, where all arguments may be constants.
pub fn call_rows(function: impl RowWise, args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let udf = row_wise(function);
    let types: Vec<_> = args.iter().map(ColumnarValue::data_type).collect();
    let types = udf.coerce_types(&types)?;
    let args = args
        .iter()
        .zip(&types)
        .map(|(arg, t)| arg.cast_to(t, None))
        .collect::<Result<Vec<_>>>()?;
    let arg_fields: Vec<_> = types
        .iter()
        .map(|t| Arc::new(Field::new("x", t.clone(), true)))
        .collect();
    let literals: Vec<_> = args
        .iter()
        .map(|a| match a {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        })
        .collect();
    let return_field = udf.return_field_from_args(ReturnFieldArgs {
        arg_fields: &arg_fields,
        scalar_arguments: &literals,
    })?;
    let result = udf.invoke_with_args(ScalarFunctionArgs {
        args: args.clone(),
        arg_fields,
        number_rows: rows,
        return_field: Arc::clone(&return_field),
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    let result = result.to_array(rows)?;
    assert_eq!(result.data_type(), return_field.data_type());
    assert_eq!(result.len(), rows);
    Ok(result)
}

/// The error's message, or a failed test.
pub fn error(result: Result<ArrayRef>) -> String {
    match result {
        Ok(array) => panic!("an error was expected, not {array:?}"),
        Err(error) => error.strip_backtrace(),
    }
}

/// An argument that is a column.
pub fn column(array: impl arrow::array::Array + 'static) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(array))
}

/// A column of texts.
pub fn texts<const N: usize>(values: [Option<&str>; N]) -> ColumnarValue {
    column(StringViewArray::from_iter(values))
}

/// An argument that is a constant.
pub fn constant(value: impl Into<ScalarValue>) -> ColumnarValue {
    ColumnarValue::Scalar(value.into())
}

/// An argument that is NULL.
pub fn null() -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::Null)
}

/// An argument that is a constant list.
pub fn list(array: impl arrow::array::Array + 'static) -> ColumnarValue {
    let items: ArrayRef = Arc::new(array);
    let list = datafusion_common::utils::SingleRowListArrayBuilder::new(items).build_list_scalar();
    ColumnarValue::Scalar(list)
}

/// The forms in which a column of texts may come: all text types, and a dictionary.
pub fn text_forms(values: &[Option<&str>]) -> Vec<ColumnarValue> {
    let view: ArrayRef = Arc::new(StringViewArray::from_iter(values.iter().copied()));
    let dictionary: DictionaryArray<Int32Type> = values.iter().copied().collect();
    let forms = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View].map(|t| {
        cast(&view, &t)
            .map(ColumnarValue::Array)
            .unwrap_or_else(|e| panic!("{e}"))
    });
    forms.into_iter().chain([column(dictionary)]).collect()
}

/// A column without rows.
pub fn empty(t: &DataType) -> ColumnarValue {
    ColumnarValue::Array(new_empty_array(t))
}
