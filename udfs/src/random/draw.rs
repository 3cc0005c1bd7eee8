//! What functions that draw one number a row share: two parameters, then the key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::{Result, exec_err};

use super::key;
use crate::arrays::float_type;
use crate::row_wise::Args;
use crate::spec::Spec;

/// The types of the two parameters and the key.
pub fn coerce(spec: &Spec, types: &[DataType]) -> Result<Vec<DataType>> {
    spec.params
        .iter()
        .zip(types)
        .enumerate()
        .map(|(i, (param, t))| match i {
            2 => key::check_type(spec, param.name, t).map(|()| t.clone()),
            _ => float_type(spec, param.name, t),
        })
        .collect()
}

/// The type of the drawn number: Float32 where both parameters are.
pub fn return_type(types: &[DataType]) -> Result<DataType> {
    let float32 = types.iter().take(2).all(|t| t == &DataType::Float32);
    Ok(if float32 {
        DataType::Float32
    } else {
        DataType::Float64
    })
}

/// Draws in each row: `f` gets the parameters and the hash of the key.
pub fn each(
    spec: &Spec,
    args: &Args<'_>,
    f: impl Fn(f64, f64, u64) -> Result<f64>,
) -> Result<ArrayRef> {
    let a = cast(&args.array(0)?, &DataType::Float64)?;
    let b = cast(&args.array(1)?, &DataType::Float64)?;
    let keys = args.array(2)?;
    let hashes = key::hashes(spec.name, &keys)?;
    let nulls = NullBuffer::union(a.nulls(), b.nulls());
    let nulls = NullBuffer::union(nulls.as_ref(), keys.logical_nulls().as_ref());
    let a = a.as_primitive::<Float64Type>().values();
    let b = b.as_primitive::<Float64Type>().values();
    let values = (0..args.rows())
        .map(|i| {
            if nulls.as_ref().is_some_and(|n| n.is_null(i)) {
                Ok(0.0)
            } else {
                f(a[i], b[i], hashes[i])
            }
        })
        .collect::<Result<Vec<_>>>()?;
    let drawn = Float64Array::new(values.into(), nulls);
    Ok(cast(&(Arc::new(drawn) as ArrayRef), args.return_type())?)
}

/// Numbers that are probabilities.
///
/// # Errors
/// If one is not from 0 to 1.
pub fn probabilities(spec: &Spec, array: &ArrayRef) -> Result<Float64Array> {
    let p = cast(array, &DataType::Float64)?;
    let p: &Float64Array = p.as_primitive();
    match p.iter().flatten().find(|p| !(0.0..=1.0).contains(p)) {
        Some(wrong) => exec_err!("{}: p must be between 0 and 1, but is {wrong}", spec.name),
        None => Ok(p.clone()),
    }
}
