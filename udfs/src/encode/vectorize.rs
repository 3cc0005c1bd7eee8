//! `vectorize(a, b, ..., missing)`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, GenericListArray, ListArray,
    OffsetSizeTrait,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};

use crate::arrays::is_number;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "vectorize",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "The feature vector of a row: its arguments, one after another, as a fixed-size list of FLOAT.",
    params: &[
        Param::data(
            "feature",
            "a number, a boolean, or a list or struct of them, which is laid out in place. With a list of \
             any length among them the result is a list of any length",
        ),
        Param::option(
            "missing",
            "'error'",
            "what becomes of NULL: 'error', 'nan', or 'null' to keep it; NaN is kept",
        ),
    ],
    variadic: true,
    examples: &[
        Example {
            sql: "SELECT vectorize(1, 2.5, true), vectorize(1, NULL, missing => 'nan')",
            result: "\"[1.0, 2.5, 1.0]\",\"[1.0, NaN]\"",
        },
        Example {
            sql: "SELECT vectorize(5, cyclic(3, 12), [7, 8])",
            result: "\"[5.0, 1.0, 0.0, 7.0, 8.0]\"",
        },
    ],
    source: "Spark ML's VectorAssembler; missing is its handleInvalid",
    also: &["pyspark.ml.feature.VectorAssembler", "numpy.column_stack"],
};

#[derive(Debug)]
pub struct Vectorize;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Error,
    Nan,
    Null,
}

impl Missing {
    fn new(options: &Options) -> Result<Self> {
        match options.choice("missing", &["error", "nan", "null"])? {
            "nan" => Ok(Self::Nan),
            "null" => Ok(Self::Null),
            _ => Ok(Self::Error),
        }
    }
}

/// How many numbers an argument gives: None if its rows differ.
enum Width {
    Fixed(usize),
    Any,
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float32, true))
}

/// The type an argument is cast to, all of its numbers Float32; None if it has others.
fn float32(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Dictionary(_, value) => float32(value),
        DataType::List(f) | DataType::ListView(f) if is_number(f.data_type()) => {
            Some(DataType::List(item()))
        }
        DataType::LargeList(f) | DataType::LargeListView(f) if is_number(f.data_type()) => {
            Some(DataType::LargeList(item()))
        }
        DataType::FixedSizeList(f, n) if is_number(f.data_type()) => {
            Some(DataType::FixedSizeList(item(), *n))
        }
        DataType::Struct(fields) => fields
            .iter()
            .map(|f| Some(f.as_ref().clone().with_data_type(float32(f.data_type())?)))
            .collect::<Option<Vec<_>>>()
            .map(|fields| DataType::Struct(fields.into())),
        t if is_number(t) => Some(DataType::Float32),
        _ => None,
    }
}

fn width(t: &DataType) -> Width {
    match t {
        DataType::FixedSizeList(_, n) => Width::Fixed(usize::try_from(*n).unwrap_or(0)),
        DataType::Struct(fields) => fields
            .iter()
            .try_fold(0, |sum, f| match width(f.data_type()) {
                Width::Fixed(n) => Some(sum + n),
                Width::Any => None,
            })
            .map_or(Width::Any, Width::Fixed),
        DataType::List(_) | DataType::LargeList(_) => Width::Any,
        _ => Width::Fixed(1),
    }
}

impl RowWise for Vectorize {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        let features = types.len() - 1;
        if features == 0 {
            return plan_err!("vectorize: no feature given. Write {}", SPEC.syntax());
        }
        for (i, t) in coerced[..features].iter_mut().enumerate() {
            *t = match float32(t) {
                Some(t) => t,
                None => {
                    return plan_err!(
                        "vectorize: argument {} must be a number, a boolean, or a list or struct of them, not {t}. \
                         Make numbers of text with parse_number, of categories with one_hot or ordinal_encode",
                        i + 1
                    );
                }
            };
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        let features = types.len().saturating_sub(1);
        let mut sum = 0;
        for t in &types[..features] {
            match width(t) {
                Width::Fixed(n) => sum += n,
                Width::Any => return Ok(DataType::List(item())),
            }
        }
        match i32::try_from(sum) {
            Ok(n) => Ok(DataType::FixedSizeList(item(), n)),
            Err(_) => plan_err!("vectorize: {sum} numbers do not fit into one vector"),
        }
    }

    fn check(&self, options: &Options) -> Result<()> {
        Missing::new(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let missing = Missing::new(&args.options()?)?;
        let rows = args.rows();
        let mut parts = Vec::with_capacity(args.len());
        for (i, feature) in args.data()?.iter().enumerate() {
            let before = parts.len();
            lay_out(feature, None, &mut parts)?;
            if missing == Missing::Error && parts[before..].iter().any(Part::has_missing) {
                return exec_err!(
                    "vectorize: argument {} is NULL in some row. Fill it first, as in impute(x, 'median') OVER (), \
                     or write missing => 'nan' or missing => 'null'",
                    i + 1
                );
            }
        }
        // NULL items of the result, as NaN unless they are to be kept
        let fill = |value: Option<f32>| match (value, missing) {
            (None, Missing::Nan) => Some(f32::NAN),
            (value, _) => value,
        };
        match args.return_type() {
            DataType::FixedSizeList(item, n) => {
                let width = usize::try_from(*n).unwrap_or(0);
                let mut values = vec![0f32; rows * width];
                let mut valid = None;
                let mut at = 0;
                // of no width are only empty lists, and without rows nothing is to be done
                for part in parts.iter().filter(|_| width > 0) {
                    let taken = part.width(0);
                    let columns = values.chunks_exact_mut(width).enumerate();
                    if part.has_missing() {
                        let valid = valid.get_or_insert_with(|| vec![true; rows * width]);
                        for (row, vector) in columns {
                            for i in 0..taken {
                                match fill(part.get(row, i)) {
                                    Some(value) => vector[at + i] = value,
                                    None => valid[row * width + at + i] = false,
                                }
                            }
                        }
                    } else {
                        let part = part.values.values();
                        for (row, vector) in columns {
                            vector[at..at + taken]
                                .copy_from_slice(&part[row * taken..(row + 1) * taken]);
                        }
                    }
                    at += taken;
                }
                let items = Float32Array::new(values.into(), valid.map(NullBuffer::from));
                Ok(Arc::new(FixedSizeListArray::try_new_with_length(
                    Arc::clone(item),
                    *n,
                    Arc::new(items),
                    None,
                    rows,
                )?))
            }
            _ => {
                let lengths = (0..rows).map(|row| parts.iter().map(|p| p.width(row)).sum());
                let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
                let items: Float32Array = (0..rows)
                    .flat_map(|row| {
                        parts
                            .iter()
                            .flat_map(move |p| (0..p.width(row)).map(move |i| p.get(row, i)))
                    })
                    .map(fill)
                    .collect();
                Ok(Arc::new(ListArray::try_new(
                    item(),
                    offsets,
                    Arc::new(items),
                    None,
                )?))
            }
        }
    }
}

/// A column of numbers, or of lists of them, that stand beside each other in the result.
struct Part {
    values: Float32Array,
    shape: Shape,
    /// Rows that are NULL as a whole: the lists, or the structs around them.
    nulls: Option<NullBuffer>,
}

enum Shape {
    /// So many numbers a row; a row that is NULL has as many NULLs.
    Fixed(usize),
    /// Row `i` has those between offsets `i` and `i + 1`; a row that is NULL counts as one NULL.
    Offsets(Vec<usize>),
}

impl Part {
    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|n| n.is_null(row))
    }

    fn width(&self, row: usize) -> usize {
        match &self.shape {
            Shape::Fixed(n) => *n,
            Shape::Offsets(_) if self.is_null(row) => 1,
            Shape::Offsets(offsets) => offsets[row + 1] - offsets[row],
        }
    }

    #[inline]
    fn get(&self, row: usize, i: usize) -> Option<f32> {
        if self.is_null(row) {
            return None;
        }
        let at = match &self.shape {
            Shape::Fixed(n) => row * n + i,
            Shape::Offsets(offsets) => offsets[row] + i,
        };
        self.values.is_valid(at).then(|| self.values.value(at))
    }

    fn has_missing(&self) -> bool {
        let whole = self.nulls.as_ref().is_some_and(|n| n.null_count() > 0);
        whole || self.values.null_count() > 0
    }
}

/// Splits an argument into parts, in the order of its numbers. `outside` says which rows are NULL because a
/// struct around them is.
fn lay_out(array: &ArrayRef, outside: Option<&NullBuffer>, parts: &mut Vec<Part>) -> Result<()> {
    let nulls = NullBuffer::union(outside, array.nulls());
    let floats = |values: &ArrayRef| -> Result<Float32Array> {
        Ok(cast(values, &DataType::Float32)?
            .as_primitive::<Float32Type>()
            .clone())
    };
    let (values, shape) = match array.data_type() {
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                lay_out(column, nulls.as_ref(), parts)?;
            }
            return Ok(());
        }
        DataType::FixedSizeList(_, n) => (
            floats(array.as_fixed_size_list().values())?,
            Shape::Fixed(usize::try_from(*n).unwrap_or(0)),
        ),
        DataType::List(_) => of_list(array.as_list::<i32>(), floats)?,
        DataType::LargeList(_) => of_list(array.as_list::<i64>(), floats)?,
        _ => (floats(array)?, Shape::Fixed(1)),
    };
    parts.push(Part {
        values,
        shape,
        nulls,
    });
    Ok(())
}

/// The items that lists use, without those before the first and after the last, and where each list begins.
fn of_list<O: OffsetSizeTrait>(
    lists: &GenericListArray<O>,
    floats: impl Fn(&ArrayRef) -> Result<Float32Array>,
) -> Result<(Float32Array, Shape)> {
    let offsets = lists.value_offsets();
    let (first, last) = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (first.as_usize(), last.as_usize()),
        _ => (0, 0),
    };
    let used = lists.values().slice(first, last - first);
    let offsets = offsets.iter().map(|o| o.as_usize() - first).collect();
    Ok((floats(&used)?, Shape::Offsets(offsets)))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BooleanArray, Decimal128Array, DictionaryArray, Int32Array, Int64Array, StructArray,
        new_empty_array,
    };
    use arrow::datatypes::Int32Type;
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, error, list, null, texts};

    fn vectors(features: &[ColumnarValue], missing: &str) -> Result<Vec<Vec<Option<f32>>>> {
        let result = call(Vectorize, &[features, &[constant(missing)]].concat())?;
        let rows = match result.data_type() {
            DataType::List(_) => result.as_list::<i32>().iter().collect::<Vec<_>>(),
            _ => result.as_fixed_size_list().iter().collect(),
        };
        Ok(rows
            .into_iter()
            .flatten()
            .map(|row| row.as_primitive::<Float32Type>().iter().collect())
            .collect())
    }

    #[test]
    fn numbers_of_all_types() -> Result<()> {
        let keys = Int32Array::from(vec![0, 0]);
        let dictionary =
            DictionaryArray::<Int32Type>::try_new(keys, Arc::new(Int64Array::from(vec![7])))?;
        let result = vectors(
            &[
                column(Int64Array::from(vec![1, 2])),
                constant(0.5),
                column(BooleanArray::from(vec![true, false])),
                column(Decimal128Array::from(vec![150, 250]).with_precision_and_scale(5, 2)?),
                column(dictionary),
            ],
            "error",
        )?;
        let some = |v: [f32; 5]| v.map(Some).to_vec();
        assert_eq!(
            result,
            [
                some([1.0, 0.5, 1.0, 1.5, 7.0]),
                some([2.0, 0.5, 0.0, 2.5, 7.0])
            ]
        );
        Ok(())
    }

    #[test]
    fn fixed_size_lists_and_structs_are_laid_out() -> Result<()> {
        let pairs = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
            [
                Some(vec![Some(1), Some(2)]),
                Some(vec![Some(3), Some(4)]),
                Some(vec![Some(5), Some(6)]),
            ],
            2,
        );
        let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
        let structs = StructArray::from(vec![
            (
                field("a"),
                Arc::new(Int64Array::from(vec![7, 8, 9])) as ArrayRef,
            ),
            (
                field("b"),
                Arc::new(Int64Array::from(vec![70, 80, 90])) as ArrayRef,
            ),
        ]);
        // slices begin in the middle of their values
        let result = vectors(
            &[column(pairs.slice(1, 2)), column(structs.slice(1, 2))],
            "error",
        )?;
        let some = |v: [f32; 4]| v.map(Some).to_vec();
        assert_eq!(
            result,
            [some([3.0, 4.0, 8.0, 80.0]), some([5.0, 6.0, 9.0, 90.0])]
        );
        Ok(())
    }

    #[test]
    fn lists_of_any_length() -> Result<()> {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(9)]),
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ]);
        let ids = column(Int64Array::from(vec![10, 20, 30]));
        let result = vectors(&[column(lists.slice(1, 3)), ids], "null")?;
        assert_eq!(
            result,
            [
                vec![Some(1.0), None, Some(10.0)],
                vec![None, Some(20.0)],
                vec![Some(30.0)]
            ]
        );
        let result = vectors(&[list(Int64Array::from(vec![1, 2]))], "error")?;
        assert_eq!(result, [[Some(1.0), Some(2.0)]]);
        Ok(())
    }

    #[test]
    fn missing() -> Result<()> {
        let x = Int64Array::from(vec![Some(1), None]);
        let features = [constant(0), column(x)];
        let message = error(call(
            Vectorize,
            &[&features[..], &[constant("error")]].concat(),
        ));
        assert!(
            message.contains("argument 2 is NULL in some row"),
            "{message}"
        );
        assert_eq!(vectors(&features, "null")?[1], [Some(0.0), None]);
        assert!(vectors(&features, "nan")?[1][1].is_some_and(f32::is_nan));
        assert_eq!(vectors(&[null()], "null")?, [[None]]);
        Ok(())
    }

    #[test]
    fn no_rows_and_wrong_arguments() -> Result<()> {
        let none = ColumnarValue::Array(new_empty_array(&DataType::Float64));
        assert!(vectors(&[none.clone(), none], "error")?.is_empty());
        let message = error(call(
            Vectorize,
            &[constant(1), texts([Some("a")]), constant("error")],
        ));
        assert!(message.contains("argument 2 must be a number"), "{message}");
        let message = error(call(Vectorize, &[constant(1), constant("skip")]));
        assert!(message.contains("missing must be one of"), "{message}");
        Ok(())
    }
}
