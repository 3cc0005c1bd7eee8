//! What a transform has learnt, for people and as a table.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use futures::FutureExt;
use futures::future::BoxFuture;
use seedbed_udfs::fitted::group_keys;
use seedbed_udfs::row_wise::function_of;
use seedbed_udfs::spec::{Kind, Param, Spec, Stage};

use super::Transform;
use super::outputs::{Fitted, Output, fitted, indicator, outputs, part, siblings, texts, uncast};
use crate::session::Env;
use crate::sql::relation::{Call, Expansion, Relation};

/// What DESCRIBE TRANSFORM shows: a row an output.
pub fn describe<'a>(env: &'a Env, transform: &'a Transform) -> BoxFuture<'a, Result<RecordBatch>> {
    async move {
        let outputs = outputs(&transform.planned(env).await?)?;
        let rows: Vec<Row> = outputs
            .iter()
            .map(|output| row(transform, &outputs, output))
            .collect::<Result<_>>()?;
        let text = |of: fn(&Row) -> &str| -> ArrayRef {
            Arc::new(rows.iter().map(|r| Some(of(r))).collect::<StringArray>())
        };
        let number = |of: fn(&Row) -> Option<u64>| -> ArrayRef {
            let numbers = rows.iter().map(of);
            Arc::new(
                numbers
                    .map(|n| n.and_then(|n| i64::try_from(n).ok()))
                    .collect::<Int64Array>(),
            )
        };
        Ok(RecordBatch::try_from_iter_with_nullable([
            ("column", text(|r| &r.column), false),
            ("type", text(|r| &r.data_type), false),
            ("inputs", text(|r| &r.inputs), false),
            ("function", text(|r| &r.function), false),
            ("parameters", text(|r| &r.parameters), false),
            ("rows", number(|r| Some(r.rows)), true),
            ("missing", number(|r| r.missing), true),
            ("categories", number(|r| r.categories), true),
            ("other", number(|r| r.other), true),
        ])?)
    }
    .boxed()
}

struct Row {
    column: String,
    data_type: String,
    inputs: String,
    function: String,
    parameters: String,
    rows: u64,
    missing: Option<u64>,
    categories: Option<u64>,
    other: Option<u64>,
}

fn row(transform: &Transform, outputs: &[Output], output: &Output) -> Result<Row> {
    let fact = transform
        .about
        .facts
        .iter()
        .find(|fact| fact.output == output.name);
    let calls = output.calls();
    let mut parameters = Vec::new();
    let mut categories = None;
    for call in &calls {
        let (name, shown, count) = if let Some(found) = fitted(call) {
            let name = found.apply.bound().spec().name;
            (name, fit(&found)?, count(&found)?)
        } else if let Some((function, _, options)) = indicator(call) {
            let (shown, count) = one_hot(transform, outputs, output, function, options);
            ("one_hot", shown, Some(count))
        } else {
            continue;
        };
        categories = categories.or(count);
        parameters.push(if calls.len() > 1 {
            format!("{name}: {shown}")
        } else {
            shown
        });
    }
    let mut inputs = output.inputs();
    inputs.extend(output.joined().iter().map(|c| source_name(transform, c)));
    Ok(Row {
        column: output.name.clone(),
        data_type: output.data_type.to_string(),
        inputs: inputs.join(", "),
        function: match &output.expr {
            Some(Expr::Column(_)) => String::new(),
            Some(expr) => written(transform, expr)?,
            None => String::new(),
        },
        parameters: parameters.join("; "),
        rows: transform.about.rows,
        missing: fact.filter(|_| output.expr.is_some()).map(|f| f.missing),
        categories,
        other: fact.and_then(|f| f.other),
    })
}

/// A column as one would name it: that of a joined table with the table's name.
fn source_name(transform: &Transform, column: &Column) -> String {
    let table = column.relation.as_ref().and_then(|table| {
        let names = transform.about.joined.iter().enumerate();
        let mut names = names.filter(|(i, _)| super::joined(*i) == table.table());
        names.next().map(|(_, name)| name)
    });
    match table {
        Some(table) => format!("{table}.{}", column.name),
        None => column.name.clone(),
    }
}

/// An expression as one would write it.
fn written(transform: &Transform, expr: &Expr) -> Result<String> {
    let columns = |args: &[Expr]| -> Result<Vec<String>> {
        args.iter()
            .map(|arg| written(transform, uncast(arg)))
            .collect()
    };
    let named = |name: String| {
        let column = Expr::Column(Column::from_name(name));
        Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
    };
    let shown = expr
        .clone()
        .transform_down(|e| {
            if let Some(found) = fitted(&e) {
                let call = found
                    .apply
                    .written(&columns(found.args)?, &columns(found.keys)?);
                return named(call);
            }
            if let Some((_, x, _)) = indicator(&e) {
                return named(format!("one_hot({})", written(transform, uncast(x))?));
            }
            let call = match (&e, part(&e)) {
                (_, Some((inner, _))) if function_of(&inner.func).is_some() => Some(inner),
                (Expr::ScalarFunction(call), _) => Some(call),
                _ => None,
            };
            if let Some(call) = call
                && let Some(function) = function_of(&call.func)
            {
                let spec = function.spec();
                let options = spec.params.iter().filter(|p| p.option).rev();
                let mut args = columns(&call.args)?;
                // options that were left out
                for option in options {
                    if args.last().map(String::as_str) != option.default {
                        break;
                    }
                    args.pop();
                }
                return named(format!("{}({})", spec.name, args.join(", ")));
            }
            match e {
                Expr::Column(column) => named(source_name(transform, &column)),
                e => Ok(Transformed::no(e)),
            }
        })
        .data()?;
    Ok(shown.human_display().to_string())
}

/// The most items, or groups, that are shown of many.
const SHOWN: usize = 5;

fn some(items: impl ExactSizeIterator<Item = String>, separator: &str) -> String {
    let n = items.len();
    let mut shown: Vec<String> = items.take(SHOWN).collect();
    if n > SHOWN {
        shown.push(format!("... {} more", n - SHOWN));
    }
    shown.join(separator)
}

/// The parameters of a fitted call.
fn fit(found: &Fitted<'_>) -> Result<String> {
    let params = found.apply.params(&found.fits)?;
    let Some(keys) = group_keys(&found.fits) else {
        return one_fit(&params, 0);
    };
    let names = groups(&keys)?;
    let rows = names
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(row, name)| Ok(format!("{name}: {}", one_fit(&params, row)?)))
        .collect::<Result<Vec<_>>>()?;
    let more = names.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("... {more} more groups"));
    let rows: Vec<String> = rows.into_iter().chain(more).collect();
    Ok(format!("[{}]", rows.join("; ")))
}

/// The names of groups: their keys.
fn groups(keys: &StructArray) -> Result<Vec<String>> {
    (0..keys.len())
        .map(|row| {
            let parts = keys.columns().iter().map(|column| shown(column, row));
            Ok(parts.collect::<Result<Vec<_>>>()?.join(", "))
        })
        .collect()
}

fn one_fit(params: &StructArray, row: usize) -> Result<String> {
    let named = params.fields().iter().zip(params.columns());
    let shown = named.map(|(field, column)| {
        let value = match column.as_list_opt::<i32>() {
            Some(list) if list.is_valid(row) && params.is_valid(row) => {
                let items = list.value(row);
                let items = (0..items.len())
                    .take(SHOWN)
                    .map(|i| shown(&items, i))
                    .chain(
                        (items.len() > SHOWN)
                            .then(|| Ok(format!("... {} more", items.len() - SHOWN))),
                    );
                format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(", "))
            }
            _ if params.is_null(row) => "NULL".to_string(),
            _ => shown(column, row)?,
        };
        Ok(format!("{} {value}", field.name()))
    });
    Ok(shown.collect::<Result<Vec<_>>>()?.join(", "))
}

/// A value, with no more digits than tell something.
fn shown(column: &ArrayRef, row: usize) -> Result<String> {
    if column.is_null(row) {
        return Ok("NULL".to_string());
    }
    if column.data_type().is_floating() {
        let x = cast(&column.slice(row, 1), &DataType::Float64)?;
        let x = x.as_primitive::<Float64Type>().value(0);
        let rounded: f64 = format!("{x:.5e}").parse().unwrap_or(x);
        return Ok(rounded.to_string());
    }
    Ok(array_value_to_string(column, row)?)
}

/// How many categories a fitted call knows; `None` if it knows none.
fn count(found: &Fitted<'_>) -> Result<Option<u64>> {
    let params = found.apply.params(&found.fits)?;
    let lists = ["categories", "infrequent", "terms"]
        .iter()
        .filter_map(|name| params.column_by_name(name)?.as_list_opt::<i32>());
    let mut known = None;
    for list in lists {
        let n: usize = match group_keys(&found.fits) {
            None if list.is_valid(0) => list.value(0).len(),
            None => 0,
            Some(_) => return Ok(None),
        };
        *known.get_or_insert(0) += n as u64;
    }
    Ok(known)
}

/// What a column of `one_hot` is of, and how many categories there are.
fn one_hot(
    transform: &Transform,
    outputs: &[Output],
    output: &Output,
    function: &str,
    options: &[Expr],
) -> (String, u64) {
    let listed = options.first().map(texts).unwrap_or_default();
    let quoted = |items: &[String]| some(items.iter().cloned(), ", ");
    let rare = options.get(1).map(texts).unwrap_or_default();
    if function == "one_hot_vector" {
        let others = if rare.is_empty() {
            String::new()
        } else {
            format!(", infrequent [{}]", quoted(&rare))
        };
        let n = listed.len() + rare.len();
        return (
            format!("categories [{}]{others}", quoted(&listed)),
            n as u64,
        );
    }
    let mut n = 0;
    let mut columns = Vec::new();
    for sibling in siblings(outputs, output) {
        columns.push(sibling.name.clone());
        if let Some((name, _, options)) = sibling.expr.as_ref().and_then(indicator)
            && name != "one_hot_other"
        {
            n += options.first().map(texts).unwrap_or_default().len() as u64;
        }
    }
    let dropped = &transform.about.dropped;
    n += dropped.iter().filter(|d| d.columns == columns).count() as u64;
    let shown = match function {
        "one_hot_is" => format!("category {}", quoted(&listed)),
        "one_hot_any" => format!("infrequent [{}]", quoted(&listed)),
        _ => format!("none of [{}]", quoted(&listed)),
    };
    (shown, n)
}

/// `transform_parameters('name')`.
#[derive(Debug)]
pub struct Parameters;

const SPEC: Spec = Spec {
    name: "transform_parameters",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "What a fitted transform has learnt, as a table: a row a parameter, and a row an item of parameters that are \
        lists (categories, quantiles, edges).",
    params: &[Param::required(
        "name",
        "the transform's name, as SHOW TRANSFORMS lists it",
    )],
    variadic: false,
    examples: &[],
    source: "the columns: output, function, parameter; group_key, the keys of its PARTITION BY; position, an item's place from 0; \
        key, the category it is of; value, as a number; text, as a text. The fitted attributes of scikit-learn's estimators \
        (mean_, scale_, categories_)",
    also: &["ML.FEATURE_INFO (BigQuery)"],
};

impl Relation for Parameters {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let env = call.env().clone();
        let transform = Transform::load(&env, &call.options().text("name")?)?;
        let sql = transform.sql(&env)?;
        Ok(Expansion::Then(
            sql,
            Box::new(move |template| {
                let outputs = outputs(&transform.learnt(&env, template)?)?;
                table(parameters(&outputs)?)
            }),
        ))
    }
}

fn table(batch: RecordBatch) -> Result<LogicalPlan> {
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    LogicalPlanBuilder::scan(SPEC.name, provider_as_source(Arc::new(table)), None)?.build()
}

#[derive(Default)]
struct Rows {
    outputs: Vec<String>,
    functions: Vec<&'static str>,
    parameters: Vec<String>,
    groups: Vec<Option<String>>,
    positions: Vec<Option<i64>>,
    keys: Vec<Option<String>>,
    values: Vec<Option<f64>>,
    texts: Vec<Option<String>>,
}

/// Where a parameter is.
#[derive(Clone)]
struct At<'a> {
    output: &'a str,
    function: &'static str,
    parameter: &'a str,
    group: Option<String>,
}

impl Rows {
    fn push(
        &mut self,
        at: &At<'_>,
        position: Option<usize>,
        key: Option<String>,
        value: Option<f64>,
        text: Option<String>,
    ) {
        self.outputs.push(at.output.to_string());
        self.functions.push(at.function);
        self.parameters.push(at.parameter.to_string());
        self.groups.push(at.group.clone());
        self.positions
            .push(position.and_then(|p| i64::try_from(p).ok()));
        self.keys.push(key);
        self.values.push(value);
        self.texts.push(text);
    }

    /// All items of an array, a row each; `keys` are what they are of.
    fn items(
        &mut self,
        at: &At<'_>,
        items: &ArrayRef,
        keys: Option<&ArrayRef>,
        listed: bool,
    ) -> Result<()> {
        let number = items.data_type().is_numeric() || items.data_type() == &DataType::Boolean;
        let numbers = number
            .then(|| cast(items, &DataType::Float64))
            .transpose()?;
        for i in 0..items.len() {
            let text = items
                .is_valid(i)
                .then(|| array_value_to_string(items, i))
                .transpose()?;
            let value = numbers.as_ref().and_then(|n| {
                let n = n.as_primitive::<Float64Type>();
                n.is_valid(i).then(|| n.value(i))
            });
            let key = keys
                .filter(|keys| keys.is_valid(i))
                .map(|keys| array_value_to_string(keys, i))
                .transpose()?;
            self.push(at, listed.then_some(i), key, value, text);
        }
        Ok(())
    }

    fn fit(&mut self, at: &At<'_>, params: &StructArray, row: usize) -> Result<()> {
        let items = |column: &ArrayRef| {
            let list = column.as_list_opt::<i32>()?;
            let fitted = list.is_valid(row) && params.is_valid(row);
            Some(if fitted {
                list.value(row)
            } else {
                list.values().slice(0, 0)
            })
        };
        let keys = match params.column_by_name("values") {
            Some(_) => params.column_by_name("categories").and_then(items),
            None => None,
        };
        for (field, column) in params.fields().iter().zip(params.columns()) {
            let at = At {
                parameter: field.name(),
                ..at.clone()
            };
            match items(column) {
                Some(list) if field.name() == "values" => {
                    self.items(&at, &list, keys.as_ref(), true)?;
                }
                // they are the keys of the values
                Some(_) if keys.is_some() => {}
                Some(list) => self.items(&at, &list, None, true)?,
                None if params.is_valid(row) => {
                    self.items(&at, &column.slice(row, 1), None, false)?;
                }
                None => self.push(&at, None, None, None, None),
            }
        }
        Ok(())
    }
}

fn parameters(outputs: &[Output]) -> Result<RecordBatch> {
    let mut rows = Rows::default();
    for output in outputs {
        for call in output.calls() {
            let mut at = At {
                output: &output.name,
                function: "one_hot",
                parameter: "category",
                group: None,
            };
            if let Some((function, _, options)) = indicator(&call) {
                let names = match function {
                    "one_hot_any" => ["infrequent", ""],
                    "one_hot_other" => ["frequent", ""],
                    "one_hot_vector" => ["category", "infrequent"],
                    _ => ["category", ""],
                };
                for (name, option) in names.into_iter().zip(options) {
                    let one = function == "one_hot_is";
                    at.parameter = name;
                    for (i, text) in texts(option).into_iter().enumerate() {
                        rows.push(&at, (!one).then_some(i), None, None, Some(text));
                    }
                }
                continue;
            }
            let Some(found) = fitted(&call) else { continue };
            at.function = found.apply.bound().spec().name;
            let params = found.apply.params(&found.fits)?;
            match group_keys(&found.fits) {
                None => rows.fit(&at, &params, 0)?,
                Some(keys) => {
                    for (row, group) in groups(&keys)?.into_iter().enumerate() {
                        at.group = Some(group);
                        rows.fit(&at, &params, row)?;
                    }
                }
            }
        }
    }
    let fields = [
        ("output", DataType::Utf8, false),
        ("function", DataType::Utf8, false),
        ("parameter", DataType::Utf8, false),
        ("group_key", DataType::Utf8, true),
        ("position", DataType::Int64, true),
        ("key", DataType::Utf8, true),
        ("value", DataType::Float64, true),
        ("text", DataType::Utf8, true),
    ];
    let fields: Vec<Field> = fields
        .into_iter()
        .map(|(name, of, nullable)| Field::new(name, of, nullable))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(rows.outputs)),
        Arc::new(StringArray::from(rows.functions)),
        Arc::new(StringArray::from(rows.parameters)),
        Arc::new(StringArray::from(rows.groups)),
        Arc::new(Int64Array::from(rows.positions)),
        Arc::new(StringArray::from(rows.keys)),
        Arc::new(Float64Array::from(rows.values)),
        Arc::new(StringArray::from(rows.texts)),
    ];
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
