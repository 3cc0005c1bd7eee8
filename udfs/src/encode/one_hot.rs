//! `one_hot`: a column a category.
//!
//! How many columns there are depends on the rows, so a call in a SELECT list is replaced before planning:
//! the fit is run, and its parameters say which calls of the row-wise `one_hot_...` functions here stand
//! in its place.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, Float32Array, Int8Array, ListArray,
    StringArray, StructArray,
};
use arrow::compute::{cast, filter, is_not_null};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, ScalarValue, exec_err, internal_err, plan_err};

use super::names::numbered;
use super::ordinal_encode::{list_of, lists, min_frequency, unknown};
use crate::arrays::only;
use crate::clean::clean_name::category_name;
use crate::fitted::counts::{Counts, Lookup, MISSING, UNKNOWN, category_type, rare};
use crate::fitted::{Fitted, Groups};
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, literal};

const SPEC: Spec = Spec {
    name: "one_hot",
    stage: Stage::Encode,
    kind: Kind::Fitted,
    summary: "In a SELECT list becomes one column a category, TINYINT, 1 where the row has it and 0 elsewhere; named \
        after the column and the category (`workclass_private`). NULL and NaN give 0 in all of them.",
    params: &[
        Param::data("x", "a text, number, boolean, date or time"),
        Param::option(
            "handle_unknown",
            "'ignore'",
            "what a category that was not there when fitting becomes: 'ignore': 0 in all columns; 'infrequent': the \
             column of the rare ones, if there is one; 'error'",
        ),
        Param::option(
            "drop",
            "NULL",
            "'first': no column for the first category; 'if_binary': none for the first of two",
        ),
        Param::option(
            "min_frequency",
            "NULL",
            "categories of fewer rows (or, below 1, of a smaller fraction of the rows that are not NULL) share the \
             column `_other`, the last",
        ),
        Param::option(
            "max_categories",
            "NULL",
            "at most so many columns, that of the rare ones included; the least frequent are the rare ones",
        ),
        Param::option(
            "output",
            "'columns'",
            "'columns', or 'vector' for one FixedSizeList of FLOAT",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT one_hot(x) OVER () FROM (VALUES ('b'), ('a'), (NULL)) AS t(x)",
            result: "0,1\n1,0\n0,0",
        },
        Example {
            sql: "SELECT one_hot(x, min_frequency => 2) OVER () FROM (VALUES ('b'), ('a'), ('a'), ('c')) AS t(x)",
            result: "0,1\n1,0\n1,0\n0,1",
        },
    ],
    source: "scikit-learn's OneHotEncoder",
    also: &[
        "sklearn.preprocessing.OneHotEncoder",
        "pandas.get_dummies",
        "ML.ONE_HOT_ENCODER (BigQuery)",
        "OneHotEncoder (Spark ML)",
    ],
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandleUnknown {
    Ignore,
    Infrequent,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drop {
    None,
    First,
    IfBinary,
}

/// `one_hot(x, handle_unknown => 'ignore', drop => NULL, min_frequency => NULL, max_categories => NULL,
/// output => 'columns') OVER (...)`.
#[derive(Debug, Clone)]
pub struct OneHot {
    unknown: HandleUnknown,
    drop: Drop,
    min_frequency: Option<f64>,
    max_categories: Option<usize>,
    vector: bool,
}

impl Fitted for OneHot {
    type State = Counts;
    type Prepared = ();

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let choices = ["ignore", "infrequent", "infrequent_if_exist", "error"];
        let unknown = match options.choice("handle_unknown", &choices)? {
            "error" => HandleUnknown::Error,
            "ignore" => HandleUnknown::Ignore,
            _ => HandleUnknown::Infrequent,
        };
        let drop = if options.is_null("drop") {
            Drop::None
        } else if options.choice("drop", &["first", "if_binary"])? == "first" {
            Drop::First
        } else {
            Drop::IfBinary
        };
        let max_categories = if options.is_null("max_categories") {
            None
        } else {
            usize::try_from(options.integer("max_categories", 1)?).ok()
        };
        Ok(Self {
            unknown,
            drop,
            min_frequency: min_frequency(options)?,
            max_categories,
            vector: options.choice("output", &["columns", "vector"])? == "vector",
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![category_type(&SPEC, "x", only(&SPEC, types)?)?])
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(list_of(&DataType::Float32))
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![
            Field::new("categories", list_of(&DataType::Utf8), true),
            Field::new("infrequent", list_of(&DataType::Utf8), true),
            Field::new("dropped", DataType::Utf8, true),
            Field::new("other", DataType::Boolean, true),
        ]))
    }

    fn state(&self, types: &[DataType]) -> Result<Counts> {
        Counts::new(&types[0])
    }

    fn finish(&self, _types: &[DataType], states: Vec<Counts>) -> Result<Vec<ArrayRef>> {
        let mut kept = Vec::with_capacity(states.len());
        let mut infrequent = Vec::with_capacity(states.len());
        let mut dropped = Vec::with_capacity(states.len());
        let mut other = Vec::with_capacity(states.len());
        for state in states {
            let (values, counts) = state.sorted()?;
            let texts = cast(&values, &DataType::Utf8)?;
            let rare = rare(&counts, self.min_frequency, self.max_categories);
            let mut keep: Vec<bool> = rare.iter().map(|r| !r).collect();
            let mut has_other = rare.contains(&true);
            let columns = keep.iter().filter(|k| **k).count() + usize::from(has_other);
            let drop_first = match self.drop {
                Drop::None => false,
                Drop::First => columns > 0,
                Drop::IfBinary => columns == 2,
            };
            let mut drop = None;
            if drop_first {
                match keep.iter().position(|k| *k) {
                    Some(first) => {
                        keep[first] = false;
                        drop = Some(texts.as_string::<i32>().value(first).to_string());
                    }
                    // all are rare: theirs is the first column
                    None => has_other = false,
                }
            }
            kept.push(filter(&texts, &BooleanArray::from(keep))?);
            infrequent.push(filter(&texts, &BooleanArray::from(rare))?);
            dropped.push(drop);
            other.push(Some(has_other));
        }
        Ok(vec![
            lists(&DataType::Utf8, &kept)?,
            lists(&DataType::Utf8, &infrequent)?,
            Arc::new(StringArray::from(dropped)),
            Arc::new(BooleanArray::from(other)),
        ])
    }

    fn prepare(&self, _types: &[DataType], _params: &StructArray) -> Result<()> {
        Ok(())
    }

    fn apply(&self, _args: &[ArrayRef], _prepared: &(), _groups: Groups<'_>) -> Result<ArrayRef> {
        plan_err!(
            "one_hot: it becomes several columns, so it must stand by itself in a SELECT list, with OVER () and nothing around it. Write SELECT one_hot(x) OVER () AS x, ... FROM t"
        )
    }
}

/// A call of a row-wise function that stands in the place of a `one_hot`: `function(x, arguments...)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The column's name.
    pub name: String,
    pub function: &'static str,
    pub arguments: Vec<ScalarValue>,
}

impl OneHot {
    /// The category that has no column, if one was dropped.
    pub fn dropped(params: &StructArray) -> Option<String> {
        Categories::read(params).ok()?.dropped
    }

    /// The calls a fit stands for: a column each, or one vector.
    ///
    /// `params` are the parameters of one fit; columns are named after `prefix`. If there is `known`, `x` is
    /// to be wrapped in it first: `one_hot_known(x, known)`.
    pub fn expand(
        options: &Options,
        params: &StructArray,
        prefix: &str,
    ) -> Result<(Vec<Call>, Option<Call>)> {
        let one_hot = Self::new(options)?;
        let fitted = Categories::read(params)?;
        let known = (one_hot.unknown == HandleUnknown::Error).then(|| Call {
            name: prefix.to_string(),
            function: KNOWN.name,
            arguments: vec![texts(&fitted.all())],
        });
        let catch_all = one_hot.unknown == HandleUnknown::Infrequent;
        if one_hot.vector {
            let infrequent = if fitted.other {
                texts(&fitted.infrequent)
            } else {
                ScalarValue::Null
            };
            let vector = Call {
                name: prefix.to_string(),
                function: VECTOR.name,
                arguments: vec![texts(&fitted.kept), infrequent, catch_all.into()],
            };
            return Ok((vec![vector], known));
        }
        let mut labels = fitted.kept.clone();
        if fitted.other {
            labels.push("other".to_string());
        }
        let mut calls: Vec<Call> = column_names(prefix, &labels)
            .into_iter()
            .zip(&labels)
            .map(|(name, category)| Call {
                name,
                function: IS.name,
                arguments: vec![category.as_str().into()],
            })
            .collect();
        if fitted.other
            && let Some(other) = calls.last_mut()
        {
            (other.function, other.arguments) = if catch_all {
                (OTHER.name, vec![texts(&fitted.frequent())])
            } else {
                (ANY.name, vec![texts(&fitted.infrequent)])
            };
        }
        Ok((calls, known))
    }
}

/// The parameters of one fit.
struct Categories {
    kept: Vec<String>,
    infrequent: Vec<String>,
    dropped: Option<String>,
    other: bool,
}

impl Categories {
    fn read(params: &StructArray) -> Result<Self> {
        let [kept, infrequent, dropped, other] = params.columns() else {
            return internal_err!("one_hot: no categories");
        };
        if params.len() != 1 || params.is_null(0) {
            return internal_err!("one_hot: {} fits instead of one", params.len());
        }
        let items = |list: &ArrayRef| -> Result<Vec<String>> {
            let list: &ListArray = list.as_list();
            let items = cast(&list.value(0), &DataType::Utf8)?;
            let items = items.as_string::<i32>();
            Ok(items.iter().flatten().map(str::to_string).collect())
        };
        let dropped = cast(dropped, &DataType::Utf8)?;
        let dropped = dropped.as_string::<i32>();
        Ok(Self {
            kept: items(kept)?,
            infrequent: items(infrequent)?,
            dropped: dropped.is_valid(0).then(|| dropped.value(0).to_string()),
            other: other.as_boolean().value(0),
        })
    }

    fn frequent(&self) -> Vec<String> {
        self.dropped.iter().chain(&self.kept).cloned().collect()
    }

    fn all(&self) -> Vec<String> {
        let mut all = self.frequent();
        all.extend_from_slice(&self.infrequent);
        all
    }
}

fn texts(items: &[String]) -> ScalarValue {
    let items: Vec<_> = items
        .iter()
        .map(|i| ScalarValue::from(i.as_str()))
        .collect();
    ScalarValue::List(ScalarValue::new_list(&items, &DataType::Utf8, true))
}

/// The names of a column's indicators: `workclass_private`. Letters and digits of any script are kept, in lower
/// case, all else becomes `_`; what would be the same name twice is numbered.
pub fn column_names(prefix: &str, categories: &[String]) -> Vec<String> {
    let names = categories
        .iter()
        .map(|c| format!("{prefix}_{}", category_name(c)));
    numbered(names)
}

const X: Param = Param::data("x", "a text, number, boolean, date or time");

const IS: Spec = Spec {
    name: "one_hot_is",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "1 where a value is one category, else 0, also for NULL: a column of one_hot, as TINYINT.",
    params: &[X, Param::required("category", "the category, as text")],
    variadic: false,
    examples: &[Example {
        sql: "SELECT one_hot_is(x, 'a') FROM (VALUES ('a'), ('b'), (NULL)) AS t(x)",
        result: "1\n0\n0",
    }],
    source: "a column of one_hot",
    also: &[],
};

const ANY: Spec = Spec {
    name: "one_hot_any",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "1 where a value is one of some categories, else 0, also for NULL: the column one_hot makes of rare \
        ones, as TINYINT.",
    params: &[X, Param::required("categories", "the categories, as texts")],
    variadic: false,
    examples: &[Example {
        sql: "SELECT one_hot_any(x, ['a', 'c']) FROM (VALUES ('a'), ('b'), (NULL)) AS t(x)",
        result: "1\n0\n0",
    }],
    source: "a column of one_hot",
    also: &[],
};

const OTHER: Spec = Spec {
    name: "one_hot_other",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "1 where a value is none of some categories, else 0, also for NULL: the column one_hot makes of rare \
        and unknown ones, as TINYINT.",
    params: &[X, Param::required("categories", "the categories, as texts")],
    variadic: false,
    examples: &[Example {
        sql: "SELECT one_hot_other(x, ['a', 'c']) FROM (VALUES ('a'), ('b'), (NULL)) AS t(x)",
        result: "0\n1\n0",
    }],
    source: "a column of one_hot",
    also: &[],
};

const KNOWN: Spec = Spec {
    name: "one_hot_known",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "The value itself; an error if it is none of some categories.",
    params: &[X, Param::required("categories", "the categories, as texts")],
    variadic: false,
    examples: &[Example {
        sql: "SELECT one_hot_known(x, ['a', 'b']) FROM (VALUES ('a'), (NULL)) AS t(x)",
        result: "a\n",
    }],
    source: "one_hot with handle_unknown => 'error'",
    also: &[],
};

const VECTOR: Spec = Spec {
    name: "one_hot_vector",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "A vector with a 1 at the place of the value's category and 0 elsewhere, all 0 for NULL, as a \
        FixedSizeList of FLOAT.",
    params: &[
        X,
        Param::required("categories", "the categories, as texts"),
        Param::option(
            "infrequent",
            "NULL",
            "categories that share one more place, the last",
        ),
        Param::option(
            "catch_all",
            "false",
            "whether all other values have that place too",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT one_hot_vector(x, ['a', 'b']) FROM (VALUES ('a'), ('b'), (NULL)) AS t(x)",
        result: "\"[1.0, 0.0]\"\n\"[0.0, 1.0]\"\n\"[0.0, 0.0]\"",
    }],
    source: "one_hot with output => 'vector'",
    also: &[],
};

/// Categories that were written as text in the type of the column; what cannot be read as one is left out,
/// since no value equals it. With them the number of each.
fn categories_of(t: &DataType, items: &[String]) -> Result<(ArrayRef, Vec<u32>)> {
    let items: ArrayRef = Arc::new(StringArray::from_iter_values(items));
    let values = match t {
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 => items,
        _ => cast(&items, t)?,
    };
    let codes = (0u32..)
        .take(values.len())
        .filter(|i| values.is_valid(*i as usize))
        .collect();
    let present = is_not_null(&values)?;
    Ok((filter(&values, &present)?, codes))
}

/// Plain SQL of an indicator of categories, or of all others.
fn indicator_sql(x: &Arg, items: &[String], others: bool) -> Result<Option<String>> {
    let (values, _) = categories_of(&x.data_type, items)?;
    let present = x.present();
    let mut listed = Vec::with_capacity(values.len());
    for i in 0..values.len() {
        match literal(&ScalarValue::try_from_array(&values, i)?)? {
            Some(value) => listed.push(value),
            None => return Ok(None),
        }
    }
    let when = match (listed.as_slice(), others) {
        ([], false) => return Ok(Some("0".to_string())),
        ([], true) => format!("{present} IS NOT NULL"),
        ([one], false) => format!("{present} = {one}"),
        (_, false) => format!("{present} IN ({})", listed.join(", ")),
        (_, true) => format!("{present} NOT IN ({})", listed.join(", ")),
    };
    Ok(Some(format!("CASE WHEN {when} THEN 1 ELSE 0 END")))
}

/// The number of each row's category.
fn codes_of(array: &ArrayRef, items: &[String]) -> Result<Vec<u32>> {
    let (values, codes) = categories_of(array.data_type(), items)?;
    Lookup::new(&values, &codes)?.codes(array)
}

fn category_types(spec: &Spec, types: &[DataType]) -> Result<Vec<DataType>> {
    let mut types = types.to_vec();
    if let Some(x) = types.first_mut() {
        *x = category_type(spec, "x", x)?;
    }
    Ok(types)
}

fn indicator(codes: &[u32], is: impl Fn(u32) -> bool) -> ArrayRef {
    let values: Vec<i8> = codes.iter().map(|c| i8::from(is(*c))).collect();
    Arc::new(Int8Array::from(values))
}

/// `one_hot_is(x, category)`.
#[derive(Debug)]
pub struct OneHotIs;

impl RowWise for OneHotIs {
    fn spec(&self) -> &'static Spec {
        &IS
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        category_types(&IS, types)
    }

    fn return_type(
        &self,
        _types: &[DataType],
        _literals: &[Option<&ScalarValue>],
    ) -> Result<DataType> {
        Ok(DataType::Int8)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let category = args.options()?.text("category")?;
        let array = args.array(0)?;
        // a short text is its view
        if let Some(texts) = array.as_string_view_opt()
            && category.len() <= 12
        {
            let mut view = [0u8; 16];
            view[0] = category.len() as u8;
            view[4..4 + category.len()].copy_from_slice(category.as_bytes());
            let view = u128::from_le_bytes(view);
            let views = texts.views().iter();
            let values: Vec<i8> = match texts.nulls().filter(|n| n.null_count() > 0) {
                None => views.map(|v| i8::from(*v == view)).collect(),
                Some(nulls) => views
                    .zip(nulls.iter())
                    .map(|(v, valid)| i8::from(valid & (*v == view)))
                    .collect(),
            };
            return Ok(Arc::new(Int8Array::from(values)));
        }
        Ok(indicator(&codes_of(&array, &[category])?, |c| c == 0))
    }

    fn sql(&self, args: &[Arg], options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        let category = options.text("category")?;
        indicator_sql(&args[0], &[category], false)
    }
}

/// `one_hot_any(x, categories)`.
#[derive(Debug)]
pub struct OneHotAny;

impl RowWise for OneHotAny {
    fn spec(&self) -> &'static Spec {
        &ANY
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        category_types(&ANY, types)
    }

    fn return_type(
        &self,
        _types: &[DataType],
        _literals: &[Option<&ScalarValue>],
    ) -> Result<DataType> {
        Ok(DataType::Int8)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let categories = args.options()?.texts("categories")?;
        let codes = codes_of(&args.array(0)?, &categories)?;
        Ok(indicator(&codes, |c| c < UNKNOWN))
    }

    fn sql(&self, args: &[Arg], options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        indicator_sql(&args[0], &options.texts("categories")?, false)
    }
}

/// `one_hot_other(x, categories)`.
#[derive(Debug)]
pub struct OneHotOther;

impl RowWise for OneHotOther {
    fn spec(&self) -> &'static Spec {
        &OTHER
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        category_types(&OTHER, types)
    }

    fn return_type(
        &self,
        _types: &[DataType],
        _literals: &[Option<&ScalarValue>],
    ) -> Result<DataType> {
        Ok(DataType::Int8)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let categories = args.options()?.texts("categories")?;
        let codes = codes_of(&args.array(0)?, &categories)?;
        Ok(indicator(&codes, |c| c == UNKNOWN))
    }

    fn sql(&self, args: &[Arg], options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        indicator_sql(&args[0], &options.texts("categories")?, true)
    }
}

/// `one_hot_known(x, categories)`.
#[derive(Debug)]
pub struct OneHotKnown;

impl RowWise for OneHotKnown {
    fn spec(&self) -> &'static Spec {
        &KNOWN
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        category_types(&KNOWN, types)
    }

    fn return_type(
        &self,
        types: &[DataType],
        _literals: &[Option<&ScalarValue>],
    ) -> Result<DataType> {
        match types.first() {
            Some(x) => Ok(x.clone()),
            None => plan_err!("one_hot_known: x is missing. Write {}", KNOWN.syntax()),
        }
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let categories = args.options()?.texts("categories")?;
        let array = args.array(0)?;
        let codes = codes_of(&array, &categories)?;
        match codes.iter().position(|c| *c == UNKNOWN) {
            Some(row) => unknown(&SPEC, &array, row, "handle_unknown => 'ignore'"),
            None => Ok(array),
        }
    }

    fn sql(&self, args: &[Arg], _options: &Options, _part: Option<&str>) -> Result<Option<String>> {
        // what is no category is no error there
        Ok(Some(args[0].sql.clone()))
    }
}

/// `one_hot_vector(x, categories, infrequent => NULL, catch_all => false)`.
#[derive(Debug)]
pub struct OneHotVector;

impl RowWise for OneHotVector {
    fn spec(&self) -> &'static Spec {
        &VECTOR
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        category_types(&VECTOR, types)
    }

    fn return_type(
        &self,
        _types: &[DataType],
        literals: &[Option<&ScalarValue>],
    ) -> Result<DataType> {
        let values = literals.iter().skip(1).map(|l| l.cloned());
        let Some(values) = values.collect::<Option<Vec<_>>>() else {
            return plan_err!(
                "one_hot_vector: the categories must be constants. Write {}",
                VECTOR.syntax()
            );
        };
        let options = Options::new(&VECTOR, values)?;
        let places =
            options.texts("categories")?.len() + usize::from(!options.is_null("infrequent"));
        let Ok(places) = i32::try_from(places) else {
            return plan_err!("one_hot_vector: {places} categories are too many for a vector");
        };
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        Ok(DataType::FixedSizeList(item, places))
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let options = args.options()?;
        let DataType::FixedSizeList(item, places) = args.return_type() else {
            return internal_err!("one_hot_vector gives vectors");
        };
        let mut categories = options.texts("categories")?;
        let frequent = categories.len();
        let infrequent = !options.is_null("infrequent");
        if infrequent {
            categories.extend(options.texts("infrequent")?);
        }
        let catch_all = infrequent && options.bool("catch_all")?;
        let codes = codes_of(&args.array(0)?, &categories)?;
        let width = usize::try_from(*places).unwrap_or_default();
        let Some(cells) = width.checked_mul(codes.len()) else {
            return exec_err!("one_hot_vector: {width} categories are too many for a vector");
        };
        let mut values = vec![0f32; cells];
        for (row, code) in codes.iter().enumerate() {
            let place = match *code {
                MISSING => continue,
                UNKNOWN if catch_all => frequent,
                UNKNOWN => continue,
                code => (code as usize).min(frequent),
            };
            values[row * width + place] = 1.0;
        }
        let values = Arc::new(Float32Array::from(values));
        let vectors = FixedSizeListArray::try_new_with_length(
            Arc::clone(item),
            *places,
            values,
            None,
            codes.len(),
        )?;
        Ok(Arc::new(vectors))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Date32Array;
    use arrow::datatypes::{Float32Type, Int8Type};
    use datafusion_common::config::ConfigOptions;
    use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

    use super::*;
    use crate::fitted::testing::{self, Given, bind_error, floats};
    use crate::row_wise::row_wise;

    fn udf(name: &str) -> ScalarUDF {
        [
            row_wise(OneHotIs),
            row_wise(OneHotAny),
            row_wise(OneHotOther),
            row_wise(OneHotKnown),
            row_wise(OneHotVector),
        ]
        .into_iter()
        .find(|f| f.name() == name)
        .expect("a function")
    }

    fn call(call: &Call, x: &ArrayRef) -> Result<ArrayRef> {
        let udf = udf(call.function);
        let literals: Vec<_> = call.arguments.iter().cloned().map(Some).collect();
        let mut types = vec![x.data_type().clone()];
        types.extend(call.arguments.iter().map(|a| a.data_type()));
        let types = udf.coerce_types(&types)?;
        let fields: Vec<_> = types
            .iter()
            .map(|t| Arc::new(Field::new("x", t.clone(), true)))
            .collect();
        let mut scalars = vec![None];
        scalars.extend(literals.iter().map(Option::as_ref));
        let return_field = udf.return_field_from_args(ReturnFieldArgs {
            arg_fields: &fields,
            scalar_arguments: &scalars,
        })?;
        let mut args = vec![ColumnarValue::Array(cast(x, &types[0])?)];
        args.extend(call.arguments.iter().cloned().map(ColumnarValue::Scalar));
        let result = udf.invoke_with_args(ScalarFunctionArgs {
            args,
            arg_fields: fields,
            number_rows: x.len(),
            return_field: Arc::clone(&return_field),
            config_options: Arc::new(ConfigOptions::default()),
        })?;
        let result = result.to_array(x.len())?;
        assert_eq!(result.data_type(), return_field.data_type());
        Ok(result)
    }

    /// Fits, and applies the calls to other rows: names, and each row's indicators as a text.
    fn encode(
        given: Given<'_>,
        fit: &ArrayRef,
        x: &ArrayRef,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let params = testing::fit::<OneHot>(given, &[Arc::clone(fit)]);
        let bound = testing::try_bind::<OneHot>(given)?;
        let (calls, known) = OneHot::expand(bound.options(), &params, "x")?;
        let x = match known {
            Some(known) => call(&known, x)?,
            None => Arc::clone(x),
        };
        let mut rows = vec![String::new(); x.len()];
        for column in &calls {
            let values = call(column, &x)?;
            for (row, text) in rows.iter_mut().enumerate() {
                if let Some(vector) = values.as_fixed_size_list_opt() {
                    assert!(vector.is_valid(row));
                    let vector = vector.value(row);
                    let vector = vector.as_primitive::<Float32Type>().values();
                    text.extend(vector.iter().map(|v| if *v == 1.0 { '1' } else { '0' }));
                } else {
                    let values = values.as_primitive::<Int8Type>();
                    assert!(values.is_valid(row));
                    text.push_str(&values.value(row).to_string());
                }
            }
        }
        Ok((calls.into_iter().map(|c| c.name).collect(), rows))
    }

    fn texts(values: &[&'static str]) -> ArrayRef {
        testing::texts(values.iter().map(|v| (*v != "NULL").then_some(*v)))
    }

    #[test]
    fn a_column_a_category() -> Result<()> {
        let long = "a long category, Indeed";
        let x = texts(&["b", long, "NULL", "b", "A b"]);
        let (names, rows) = encode(&[], &x, &x)?;
        assert_eq!(names, ["x_a_b", "x_a_long_category_indeed", "x_b"]);
        assert_eq!(rows, ["001", "010", "000", "001", "100"]);
        let (names, rows) = encode(&[("output", "vector".into())], &x, &x)?;
        assert_eq!(names, ["x"]);
        assert_eq!(rows, ["001", "010", "000", "001", "100"]);
        Ok(())
    }

    #[test]
    fn other_types() -> Result<()> {
        let x = floats([
            Some(10.0),
            Some(-0.0),
            Some(0.0),
            None,
            Some(2.5),
            Some(f64::NAN),
        ]);
        let (names, rows) = encode(&[], &x, &x)?;
        assert_eq!(names, ["x_0_0", "x_2_5", "x_10_0"]);
        assert_eq!(rows, ["001", "100", "100", "000", "010", "000"]);
        let x: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        let (names, rows) = encode(&[], &x, &x)?;
        assert_eq!(names, ["x_false", "x_true"]);
        assert_eq!(rows, ["01", "00", "10"]);
        let x: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), None, Some(-1)]));
        let (names, rows) = encode(&[], &x, &x)?;
        assert_eq!(names, ["x_1969_12_31", "x_1970_01_01"]);
        assert_eq!(rows, ["01", "00", "10"]);
        let of = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let x = cast(&texts(&["b", "NULL", "a"]), &of)?;
        let (names, rows) = encode(&[], &x, &x)?;
        assert_eq!(names, ["x_a", "x_b"]);
        assert_eq!(rows, ["01", "00", "10"]);
        Ok(())
    }

    #[test]
    fn unknown_categories() -> Result<()> {
        let fit = texts(&["a", "a", "b", "b", "c"]);
        let x = texts(&["a", "b", "c", "new", "NULL"]);
        let rare = ("min_frequency", ScalarValue::from(2));
        let (names, rows) = encode(std::slice::from_ref(&rare), &fit, &x)?;
        assert_eq!(names, ["x_a", "x_b", "x_other"]);
        assert_eq!(rows, ["100", "010", "001", "000", "000"]);
        let infrequent = ("handle_unknown", ScalarValue::from("infrequent"));
        for output in ["columns", "vector"] {
            let output = ("output", ScalarValue::from(output));
            let (_, rows) = encode(&[rare.clone(), output.clone()], &fit, &x)?;
            assert_eq!(rows, ["100", "010", "001", "000", "000"]);
            let (_, rows) = encode(&[rare.clone(), infrequent.clone(), output], &fit, &x)?;
            assert_eq!(rows, ["100", "010", "001", "001", "000"]);
        }
        // without rare ones there is no column to fall into
        let (_, rows) = encode(&[infrequent], &fit, &x)?;
        assert_eq!(rows, ["100", "010", "001", "000", "000"]);
        let strict = ("handle_unknown", ScalarValue::from("error"));
        let error = encode(std::slice::from_ref(&strict), &fit, &x)
            .expect_err("an error")
            .to_string();
        assert!(error.contains("one_hot: unknown category 'new'"), "{error}");
        let (_, rows) = encode(&[strict, rare], &fit, &texts(&["c", "NULL", "a"]))?;
        assert_eq!(rows, ["001", "000", "100"]);
        Ok(())
    }

    #[test]
    fn dropped_columns() -> Result<()> {
        let three = texts(&["a", "b", "c"]);
        let two = texts(&["a", "b"]);
        let first = ("drop", ScalarValue::from("first"));
        let binary = ("drop", ScalarValue::from("if_binary"));
        assert_eq!(
            encode(std::slice::from_ref(&first), &three, &three)?.1,
            ["00", "10", "01"]
        );
        assert_eq!(
            encode(std::slice::from_ref(&binary), &three, &three)?
                .0
                .len(),
            3
        );
        assert_eq!(
            encode(std::slice::from_ref(&binary), &two, &two)?.0,
            ["x_b"]
        );
        let one = texts(&["a", "a"]);
        assert_eq!(encode(std::slice::from_ref(&first), &one, &one)?.0.len(), 0);
        assert_eq!(encode(&[binary], &one, &one)?.0, ["x_a"]);
        // what is dropped is the first column after grouping
        let rare = ("min_frequency", ScalarValue::from(2));
        let fit = texts(&["a", "b", "b", "c", "c"]);
        let (names, rows) = encode(&[first.clone(), rare.clone()], &fit, &three)?;
        assert_eq!(names, ["x_c", "x_other"]);
        assert_eq!(rows, ["01", "00", "10"]);
        assert_eq!(encode(&[first, rare], &three, &three)?.0.len(), 0);
        Ok(())
    }

    #[test]
    fn nothing_to_encode() -> Result<()> {
        let x = texts(&["NULL", "NULL"]);
        assert_eq!(encode(&[], &x, &x)?.0.len(), 0);
        let (_, rows) = encode(&[("output", "vector".into())], &x, &x)?;
        assert_eq!(rows, ["", ""]);
        Ok(())
    }

    #[test]
    fn names_are_clean_and_differ() {
        let categories = [
            "<=50K",
            ">50K",
            "",
            "?",
            "Self-emp-not-inc",
            "Größe Ä",
            "50k_2",
        ];
        let categories = categories.map(str::to_string);
        let expected = [
            "x_50k",
            "x_50k_2",
            "x_empty",
            "x_empty_2",
            "x_self_emp_not_inc",
            "x_größe_ä",
            "x_50k_2_2",
        ];
        assert_eq!(column_names("x", &categories), expected);
    }

    #[test]
    fn by_itself_only() {
        let x = texts(&["a"]);
        let error = testing::try_apply_to::<OneHot>(&[], &[Arc::clone(&x)], &[x]);
        let error = error.expect_err("an error").to_string();
        assert!(error.contains("must stand by itself"), "{error}");
        let error = bind_error::<OneHot>(&[("drop", "frist".into())]);
        assert!(error.contains("did you mean 'first'?"), "{error}");
    }
}
