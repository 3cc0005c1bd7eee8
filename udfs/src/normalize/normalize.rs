//! `normalize(vector, norm)`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait, PrimitiveArray,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, FieldRef, Float32Type, Float64Type};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};

use crate::arrays::vector_type;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "normalize",
    stage: Stage::Normalize,
    kind: Kind::RowWise,
    summary: "A vector divided by its norm: a list of the same kind, of norm 1. A vector of zeros stays one. NULL and \
        NaN items stay and are left out of the norm; beside an infinite item, which becomes NaN, the others become 0.",
    params: &[
        Param::data(
            "vector",
            "a list of numbers: FLOAT items stay FLOAT, all else become DOUBLE. vectorize(a, b, ...) makes one of columns",
        ),
        Param::option(
            "norm",
            "'l2'",
            "what it is divided by: 'l2' (the root of the sum of squares), 'l1' (the sum of the magnitudes) or 'max' \
             (the greatest magnitude)",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT normalize([3, 4]), normalize([1, -3], norm => 'l1'), normalize([2, -4, NULL], 'max'), normalize([0, 0])",
        result: "\"[0.6, 0.8]\",\"[0.25, -0.75]\",\"[0.5, -1.0, ]\",\"[0.0, 0.0]\"",
    }],
    source: "scikit-learn's Normalizer; norms beyond the range of floats are worked out by the greatest item first",
    also: &[
        "sklearn.preprocessing.Normalizer",
        "pyspark.ml.feature.Normalizer",
        "ML.NORMALIZER",
        "torch.nn.functional.normalize",
    ],
};

#[derive(Debug)]
pub struct Normalize;

#[derive(Debug, Clone, Copy)]
enum Norm {
    L1,
    L2,
    Max,
}

impl Norm {
    fn new(options: &Options) -> Result<Self> {
        Ok(match options.choice("norm", &["l2", "l1", "max"])? {
            "l1" => Self::L1,
            "max" => Self::Max,
            _ => Self::L2,
        })
    }

    /// The norm of the numbers that are not NaN.
    fn of(self, items: impl Iterator<Item = f64>) -> f64 {
        let sizes = items.map(|x| if x.is_nan() { 0.0 } else { x.abs() });
        match self {
            Self::L1 => sizes.sum(),
            Self::L2 => sizes.map(|x| x * x).sum::<f64>().sqrt(),
            Self::Max => sizes.fold(0.0, f64::max),
        }
    }
}

impl RowWise for Normalize {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        match vector_type(&types[0]) {
            Some(t) => coerced[0] = t,
            None => {
                return plan_err!(
                    "normalize: vector must be a list of numbers, not {}. Write normalize(vectorize(a, b, ...)) for columns",
                    types[0]
                );
            }
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn check(&self, options: &Options) -> Result<()> {
        Norm::new(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let norm = Norm::new(&args.options()?)?;
        let array = args.array(0)?;
        match array.data_type() {
            DataType::List(item) => of_lists(array.as_list::<i32>(), item, norm),
            DataType::LargeList(item) => of_lists(array.as_list::<i64>(), item, norm),
            DataType::FixedSizeList(item, n) => {
                let lists = array.as_fixed_size_list();
                let width = usize::try_from(*n).unwrap_or(0);
                let rows = (0..lists.len())
                    .filter(|row| lists.is_valid(*row))
                    .map(|row| row * width..(row + 1) * width);
                let values = scaled(lists.values(), rows, norm)?;
                Ok(Arc::new(FixedSizeListArray::try_new_with_length(
                    Arc::clone(item),
                    *n,
                    values,
                    lists.nulls().cloned(),
                    lists.len(),
                )?))
            }
            other => exec_err!("normalize: vector must be a list, not {other}"),
        }
    }
}

fn of_lists<O: OffsetSizeTrait>(
    lists: &GenericListArray<O>,
    item: &FieldRef,
    norm: Norm,
) -> Result<ArrayRef> {
    let offsets = lists.value_offsets();
    let rows = (0..lists.len())
        .filter(|row| lists.is_valid(*row))
        .map(|row| offsets[row].as_usize()..offsets[row + 1].as_usize());
    let values = scaled(lists.values(), rows, norm)?;
    Ok(Arc::new(GenericListArray::try_new(
        Arc::clone(item),
        lists.offsets().clone(),
        values,
        lists.nulls().cloned(),
    )?))
}

/// The items of all lists, those of each of `rows` divided by their norm.
fn scaled(
    values: &ArrayRef,
    rows: impl Iterator<Item = Range<usize>>,
    norm: Norm,
) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Float64 => Ok(scaled_as::<Float64Type>(values, rows, norm, |x| x)),
        DataType::Float32 => Ok(scaled_as::<Float32Type>(values, rows, norm, |x| x as f32)),
        other => exec_err!("normalize: items must be floats, not {other}"),
    }
}

fn scaled_as<T>(
    values: &ArrayRef,
    rows: impl Iterator<Item = Range<usize>>,
    norm: Norm,
    round: impl Fn(f64) -> T::Native,
) -> ArrayRef
where
    T: ArrowPrimitiveType<Native: Into<f64>>,
{
    let array: &PrimitiveArray<T> = values.as_primitive();
    let mut items = array.values().to_vec();
    if let Some(nulls) = array.nulls().filter(|n| n.null_count() > 0) {
        for (item, valid) in items.iter_mut().zip(nulls) {
            if !valid {
                *item = T::Native::default();
            }
        }
    }
    for row in rows {
        let vector = &mut items[row];
        let float = |x: &T::Native| -> f64 { (*x).into() };
        let length = norm.of(vector.iter().map(float));
        // squares vanish or overflow long before the numbers do
        if length.is_normal() && length > 1e-150 {
            vector
                .iter_mut()
                .for_each(|x| *x = round(float(x) / length));
            continue;
        }
        let greatest = Norm::Max.of(vector.iter().map(float));
        if greatest == 0.0 {
            continue;
        }
        let length = match norm.of(vector.iter().map(|x| float(x) / greatest)) {
            0.0 => 1.0,
            length => length,
        };
        vector
            .iter_mut()
            .for_each(|x| *x = round(float(x) / greatest / length));
    }
    Arc::new(PrimitiveArray::<T>::new(
        items.into(),
        array.nulls().cloned(),
    ))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Float64Array, LargeListArray, ListArray};
    use arrow::datatypes::{Field, Int64Type};
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, list, null, texts};

    fn normalize(vector: ColumnarValue, norm: &str) -> Result<ArrayRef> {
        call(Normalize, &[vector, constant(norm)])
    }

    fn rows(array: &ArrayRef) -> Vec<Option<Vec<Option<f64>>>> {
        let item = Arc::new(Field::new_list_field(DataType::Float64, true));
        let lists = arrow::compute::cast(array, &DataType::List(item)).expect("a list");
        lists
            .as_list::<i32>()
            .iter()
            .map(|l| l.map(|l| l.as_primitive::<Float64Type>().iter().collect()))
            .collect()
    }

    fn floats(values: &[f64]) -> ColumnarValue {
        list(Float64Array::from(values.to_vec()))
    }

    fn one(values: &[f64], norm: &str) -> Result<Vec<f64>> {
        let result = normalize(floats(values), norm)?;
        let row = rows(&result).remove(0).unwrap_or_default();
        Ok(row.into_iter().flatten().collect())
    }

    #[test]
    fn norms() -> Result<()> {
        assert_eq!(one(&[3.0, -4.0], "l2")?, [0.6, -0.8]);
        assert_eq!(one(&[1.0, -3.0], "L1")?, [0.25, -0.75]);
        assert_eq!(one(&[2.0, -4.0], "max")?, [0.5, -1.0]);
        assert_eq!(one(&[0.0, 0.0], "l2")?, [0.0, 0.0]);
        assert!(one(&[], "l2")?.is_empty());
        Ok(())
    }

    #[test]
    fn beyond_the_range_of_floats() -> Result<()> {
        for scale in [1e300, f64::MAX / 4.0, 1e-300, 1e-320, 5e-324] {
            for norm in ["l1", "l2", "max"] {
                let got = one(&[scale, scale], norm)?;
                let expected = match norm {
                    "l1" => 0.5,
                    "l2" => 0.5f64.sqrt(),
                    _ => 1.0,
                };
                assert!(
                    got.iter().all(|x| (x - expected).abs() < 1e-12),
                    "{scale} {norm}: {got:?}"
                );
            }
        }
        let got = one(&[f64::MAX, f64::MAX, f64::MAX], "l1")?;
        assert!(got.iter().all(|x| (x - 1.0 / 3.0).abs() < 1e-15), "{got:?}");
        let got = one(&[f64::INFINITY, 1.0], "l2")?;
        assert!(got[0].is_nan() && got[1] == 0.0);
        let got = one(&[f64::NAN, 3.0, 4.0], "l2")?;
        assert!(got[0].is_nan() && got[1] == 0.6);
        Ok(())
    }

    #[test]
    fn kinds_of_lists() -> Result<()> {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(9)]),
            Some(vec![Some(3), None, Some(4)]),
            None,
            Some(vec![]),
        ]);
        // a slice begins in the middle of its values
        let result = normalize(column(lists.slice(1, 3)), "l2")?;
        let expected = [
            Some(vec![Some(0.6), None, Some(0.8)]),
            None,
            Some(Vec::new()),
        ];
        assert_eq!(rows(&result), expected);
        let large = LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(2)])]);
        let result = normalize(column(large), "l1")?;
        assert!(matches!(result.data_type(), DataType::LargeList(_)));
        assert_eq!(rows(&result), [Some(vec![Some(1.0)])]);
        let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
            [
                Some(vec![Some(1.0), Some(1.0)]),
                None,
                Some(vec![Some(3.0), Some(4.0)]),
            ],
            2,
        );
        let result = normalize(column(fixed.slice(1, 2)), "l2")?;
        let DataType::FixedSizeList(item, 2) = result.data_type() else {
            panic!("{}", result.data_type());
        };
        assert_eq!(item.data_type(), &DataType::Float32);
        let values = result.as_fixed_size_list().value(1);
        assert_eq!(
            values.as_ref(),
            &Float32Array::from(vec![0.6, 0.8]) as &dyn Array
        );
        Ok(())
    }

    #[test]
    fn nothing_and_errors() -> Result<()> {
        assert_eq!(normalize(null(), "l2")?.null_count(), 1);
        let item = Arc::new(Field::new_list_field(DataType::Int8, true));
        assert!(normalize(empty(&DataType::List(item)), "l2")?.is_empty());
        let message = error(normalize(floats(&[1.0]), "l3"));
        assert!(message.contains("norm must be one of"), "{message}");
        for wrong in [
            constant(1),
            list(arrow::array::StringArray::from(vec!["a"])),
        ] {
            let message = error(normalize(wrong, "l2"));
            assert!(message.contains("must be a list of numbers"), "{message}");
        }
        let message = error(normalize(texts([Some("a")]), "l2"));
        assert!(message.contains("vectorize"), "{message}");
        Ok(())
    }
}
