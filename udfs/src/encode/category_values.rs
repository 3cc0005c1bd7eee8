//! What encoders have in common that give each category a number: their parameters and their kernel.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, ListArray, PrimitiveArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, ScalarValue, internal_err};

use super::ordinal_encode::{list_of, lists, unknown};
use crate::fitted::Groups;
use crate::fitted::counts::{Lookup, MISSING, UNKNOWN, listed_type};
use crate::fitted::numbers::of_group;
use crate::options::Options;
use crate::spec::{Param, Spec};
use crate::sql::{Arg, case, literal, null};

/// The option of the encoders that says what a category becomes that was not there when fitting.
pub(super) const fn handle_unknown(help: &'static str) -> Param {
    Param::option("handle_unknown", "'value'", help)
}

/// What becomes of a category that was not there when fitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// 0.
    Zero,
    Null,
    Error,
}

impl Unknown {
    pub(super) fn new(options: &Options) -> Result<Self> {
        Ok(
            match options.choice("handle_unknown", &["value", "null", "error"])? {
                "null" => Self::Null,
                "error" => Self::Error,
                _ => Self::Zero,
            },
        )
    }
}

/// Plain SQL of what stands for each category, with what stands for others.
pub(super) fn category_sql(
    x: &Arg,
    categories: &ArrayRef,
    numbers: Vec<String>,
    unknown: Option<String>,
) -> Result<Option<String>> {
    let present = x.present();
    let mut branches = Vec::with_capacity(numbers.len() + 1);
    for (i, number) in numbers.into_iter().enumerate() {
        let Some(category) = literal(&ScalarValue::try_from_array(categories, i)?)? else {
            return Ok(None);
        };
        branches.push((format!("{present} = {category}"), number));
    }
    if let Some(unknown) = unknown {
        branches.push((format!("{present} IS NOT NULL"), unknown));
    }
    Ok(Some(case(branches, None)))
}

/// The categories of a group and the number of each.
#[derive(Debug)]
pub struct Known<T: ArrowPrimitiveType> {
    lookup: Lookup,
    values: ScalarBuffer<T::Native>,
}

impl<T: ArrowPrimitiveType> Known<T> {
    /// The fields of the parameters, for categories of a type.
    pub(super) fn params(category: &DataType) -> Fields {
        Fields::from(vec![
            Field::new("categories", list_of(&listed_type(category)), true),
            Field::new("values", list_of(&T::DATA_TYPE), true),
        ])
    }

    /// The columns of the parameters: the categories and numbers of each group.
    pub(super) fn finish(
        category: &DataType,
        groups: Vec<(ArrayRef, Vec<T::Native>)>,
    ) -> Result<Vec<ArrayRef>> {
        let (categories, values): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let values: Vec<ArrayRef> = values
            .into_iter()
            .map(|v| Arc::new(PrimitiveArray::<T>::new(v.into(), None)) as ArrayRef)
            .collect();
        Ok(vec![
            lists(&listed_type(category), &categories)?,
            lists(&T::DATA_TYPE, &values)?,
        ])
    }

    /// Reads the parameters; a group that has none is `None`.
    pub(super) fn prepare(spec: &Spec, params: &StructArray) -> Result<Vec<Option<Self>>> {
        let columns: Option<Vec<&ListArray>> = params
            .columns()
            .iter()
            .map(|c| c.as_list_opt::<i32>())
            .collect();
        let Some([categories, values]) = columns.as_deref() else {
            return internal_err!("{}: no categories", spec.name);
        };
        (0..params.len())
            .map(|row| {
                if params.is_null(row) || categories.is_null(row) {
                    return Ok(None);
                }
                let categories = categories.value(row);
                let values = values.value(row);
                let Some(values) = values.as_primitive_opt::<T>() else {
                    return internal_err!("{}: values of another type", spec.name);
                };
                Ok(Some(Self {
                    lookup: Lookup::of(&categories, |i| i as u32)?,
                    values: values.values().clone(),
                }))
            })
            .collect()
    }

    /// Plain SQL of the number of a category. An unknown one is no error there, but NULL.
    pub(super) fn sql(x: &Arg, fit: &StructArray, on_unknown: Unknown) -> Result<Option<String>> {
        let columns: Option<Vec<&ListArray>> = fit
            .columns()
            .iter()
            .map(|c| c.as_list_opt::<i32>())
            .collect();
        let Some([categories, values]) = columns.as_deref() else {
            return internal_err!("there are no categories");
        };
        if fit.is_null(0) || categories.is_null(0) {
            return Ok(Some(null(&T::DATA_TYPE)));
        }
        let values = values.value(0);
        let mut numbers = Vec::with_capacity(values.len());
        for i in 0..values.len() {
            let Some(number) = literal(&ScalarValue::try_from_array(&values, i)?)? else {
                return Ok(None);
            };
            numbers.push(number);
        }
        let unknown = match on_unknown {
            Unknown::Zero => literal(&ScalarValue::new_zero(&T::DATA_TYPE)?)?,
            Unknown::Null | Unknown::Error => None,
        };
        category_sql(x, &categories.value(0), numbers, unknown)
    }

    /// The number of each row's category.
    pub(super) fn apply(
        spec: &Spec,
        array: &ArrayRef,
        known: &[Option<Self>],
        groups: Groups<'_>,
        on_unknown: Unknown,
    ) -> Result<ArrayRef> {
        let lookups: Vec<_> = known
            .iter()
            .map(|k| k.as_ref().map(|k| &k.lookup))
            .collect();
        let codes = Lookup::codes_by_group(&lookups, array, groups)?;
        if on_unknown == Unknown::Error
            && let Some(row) = codes.iter().position(|c| *c == UNKNOWN)
        {
            return unknown(spec, array, row, "handle_unknown => 'null'");
        }
        if let Groups::One = groups {
            let values = match known.first() {
                Some(Some(known)) => known.values.as_ref(),
                _ => &[],
            };
            // what is no category has a code beyond them
            let encoded: Vec<T::Native> = codes
                .iter()
                .map(|code| values.get(*code as usize).copied().unwrap_or_default())
                .collect();
            let least_null = match on_unknown {
                Unknown::Zero => MISSING,
                Unknown::Null | Unknown::Error => UNKNOWN,
            };
            let nulls = codes
                .iter()
                .fold(false, |null, code| null | (*code >= least_null))
                .then(|| {
                    let there = |i: usize| codes[i] < least_null;
                    NullBuffer::new(BooleanBuffer::collect_bool(codes.len(), there))
                });
            let encoded = PrimitiveArray::<T>::try_new(encoded.into(), nulls)?;
            return Ok(Arc::new(encoded));
        }
        let other = (on_unknown == Unknown::Zero).then(T::Native::default);
        let encoded = codes
            .iter()
            .enumerate()
            .map(|(row, code)| match *code {
                MISSING => Ok(None),
                UNKNOWN => Ok(other),
                code => {
                    let of_group = of_group(known, groups, row)?.as_ref();
                    Ok(of_group.and_then(|k| k.values.get(code as usize).copied()))
                }
            })
            .collect::<Result<PrimitiveArray<T>>>()?;
        Ok(Arc::new(encoded))
    }
}
