//! `inverse_transform('name', (SELECT ...))`: what a fitted transform gave, as it was before.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast as cast_array;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator,
    ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
    lit, when,
};
use seedbed_udfs::arrays::{is_number, is_text};
use seedbed_udfs::fitted::GroupIndex;
use seedbed_udfs::options::nearest;
use seedbed_udfs::row_wise::function_of;
use seedbed_udfs::spec::{Kind, Param, Spec, Stage};

use super::Transform;
use super::outputs::{Output, fitted, indicator, map_columns, outputs, siblings, texts, uncast};
use crate::session::Env;
use crate::sql::relation::{Call, Expansion, Relation};

/// `inverse_transform('name', (SELECT ...))`.
#[derive(Debug)]
pub struct InverseTransform;

const SPEC: Spec = Spec {
    name: "inverse_transform",
    stage: Stage::Normalize,
    kind: Kind::Relation,
    summary: "Undoes a fitted transform: from the columns that it gave, or predictions that are like them, those that it was \
        given. Scales, powers, quantiles, logarithms, codes and one-hot columns are undone; columns that cannot be are left \
        out, and a notice names them.",
    params: &[
        Param::required("name", "the transform's name, as SHOW TRANSFORMS lists it"),
        Param::data(
            "input",
            "a table with columns that the transform gave; some may be absent",
        ),
    ],
    variadic: false,
    examples: &[],
    source: "scikit-learn's inverse_transform. Numbers come back as floats. What impute filled in, and what winsorize and \
        clip_outliers cut off, stays as it is. A column that categories share gives NULL, but where it is of one; so does a \
        row that one_hot gave no 1",
    also: &[
        "Pipeline.inverse_transform (scikit-learn)",
        "StandardScaler.inverse_transform",
        "OneHotEncoder.inverse_transform",
    ],
};

impl Relation for InverseTransform {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let env = call.env().clone();
        let transform = Transform::load(&env, &call.options().text("name")?)?;
        let sql = transform.sql(&env)?;
        let input = call.input(0)?.clone();
        Ok(Expansion::Then(
            sql,
            Box::new(move |template| {
                let outputs = outputs(&transform.learnt(&env, template)?)?;
                undo(&env, &transform, &outputs, &input)
            }),
        ))
    }
}

fn undo(
    env: &Env,
    transform: &Transform,
    outputs: &[Output],
    input: &LogicalPlan,
) -> Result<LogicalPlan> {
    let undoing = Undo::new(transform, outputs, input)?;
    let mut found: HashMap<String, (u8, Expr)> = HashMap::new();
    for output in outputs {
        if let Some((name, value)) = undoing.output(output)? {
            // what was passed on is surest, what rare categories share least sure
            let doubt = match &output.expr {
                Some(Expr::Column(_)) => 0,
                _ if siblings(outputs, output)
                    .iter()
                    .any(|o| matches!(o.other(env), Ok(Some(_)))) =>
                {
                    2
                }
                _ => 1,
            };
            if found.get(&name).is_none_or(|(than, _)| doubt < *than) {
                found.insert(name, (doubt, value));
            }
        }
    }
    let mut columns = Vec::new();
    for field in &transform.inputs {
        let name = field.name();
        if let Some((_, value)) = found.remove(name) {
            columns.push(value.alias(name));
            continue;
        }
        let of: Vec<&Output> = outputs
            .iter()
            .filter(|output| output.inputs().contains(name))
            .collect();
        if of.is_empty() {
            continue;
        }
        let absent = of.iter().find(|o| !undoing.has(&o.name));
        env.notice(match absent {
            Some(absent) => format!(
                "inverse_transform {}: {name} was left out: the table has no column {}",
                transform.name, absent.name
            ),
            None => {
                let of: Vec<&str> = of.iter().map(|o| o.name.as_str()).collect();
                format!(
                    "inverse_transform {}: {name} was left out: what was made of it, {}, cannot be undone",
                    transform.name,
                    of.join(", ")
                )
            }
        });
    }
    if columns.is_empty() {
        let have = input.schema().fields().iter().map(|f| f.name().as_str());
        let have: Vec<&str> = have.collect();
        let absent = outputs.iter().find(|o| !undoing.has(&o.name));
        let near = absent.and_then(|o| {
            let near = nearest(&o.name, have.iter().copied())?;
            Some(format!(
                " The nearest to {} is {near}: write SELECT {near} AS {}, ... FROM ...",
                o.name, o.name
            ))
        });
        return plan_err!(
            "inverse_transform {}: no column of the table can be undone.{}",
            transform.name,
            near.unwrap_or_default()
        );
    }
    LogicalPlanBuilder::from(input.clone())
        .project(columns)?
        .build()
}

struct Undo<'a> {
    transform: &'a Transform,
    outputs: &'a [Output],
    /// The columns of the transform's inputs.
    inputs: DFSchema,
    table: &'a LogicalPlan,
    /// The inputs that are there as they were.
    passed: HashMap<String, Expr>,
}

impl<'a> Undo<'a> {
    fn new(
        transform: &'a Transform,
        outputs: &'a [Output],
        table: &'a LogicalPlan,
    ) -> Result<Self> {
        let mut undo = Self {
            transform,
            outputs,
            inputs: DFSchema::try_from(Schema::new(transform.inputs.clone()))?,
            table,
            passed: HashMap::new(),
        };
        for output in outputs {
            if let Some(Expr::Column(column)) = &output.expr
                && column.relation.is_none()
                && let Some(value) = undo.column(&output.name)
            {
                undo.passed.insert(column.name.clone(), value);
            }
        }
        Ok(undo)
    }

    fn has(&self, name: &str) -> bool {
        self.column(name).is_some()
    }

    fn column(&self, name: &str) -> Option<Expr> {
        let found = self
            .table
            .schema()
            .qualified_field_with_unqualified_name(name);
        found.ok().map(|found| Expr::Column(Column::from(found)))
    }

    /// The input that an output was made of, and how it comes back.
    fn output(&self, output: &Output) -> Result<Option<(String, Expr)>> {
        let Some(expr) = &output.expr else {
            return Ok(None);
        };
        if let Some((name, x, _)) = indicator(expr) {
            if name == "one_hot_vector" {
                return Ok(None);
            }
            return match self.category(output, x)? {
                Some(category) => self.undo(uncast(x), category),
                None => Ok(None),
            };
        }
        match self.column(&output.name) {
            Some(value) => self.undo(expr, value),
            None => Ok(None),
        }
    }

    /// The category that the indicators of `x` beside `one` say.
    fn category(&self, one: &Output, x: &Expr) -> Result<Option<Expr>> {
        let of = x.get_type(&self.inputs)?;
        let literal = |category: &str| -> Result<Expr> {
            let category: ArrayRef = Arc::new(StringArray::from(vec![category]));
            let category = match &of {
                t if is_text(t) => category,
                t => cast_array(&category, t)?,
            };
            Ok(lit(ScalarValue::try_from_array(&category, 0)?))
        };
        let mut branches = Vec::new();
        let mut columns = Vec::new();
        for output in siblings(self.outputs, one) {
            let Some((name, _, options)) = output.expr.as_ref().and_then(indicator) else {
                return Ok(None);
            };
            columns.push(output.name.clone());
            let Some(column) = self.column(&output.name) else {
                return Ok(None);
            };
            let listed = options.first().map(texts).unwrap_or_default();
            // predictions may be anything: the nearer to 1 it is
            let one = cast(column, DataType::Float64).gt(lit(0.5));
            match (name, listed.as_slice()) {
                ("one_hot_is" | "one_hot_any", [category]) => {
                    branches.push((one, literal(category)?));
                }
                ("one_hot_any" | "one_hot_other", _) => {
                    branches.push((one, lit(ScalarValue::try_from(&plain(&of))?)));
                }
                _ => return Ok(None),
            }
        }
        let dropped = &self.transform.about.dropped;
        let dropped = dropped.iter().find(|d| d.columns == columns);
        let dropped = dropped.map(|d| literal(&d.category)).transpose()?;
        let mut branches = branches.into_iter();
        let Some((first, category)) = branches.next() else {
            return Ok(None);
        };
        let mut of_row = when(first, category);
        for (one, category) in branches {
            of_row = of_row.when(one, category);
        }
        Ok(Some(match dropped {
            Some(dropped) => of_row.otherwise(dropped)?,
            None => of_row.end()?,
        }))
    }

    /// Undoes an expression that gave `value`, from the outside in, down to an input.
    fn undo(&self, expr: &Expr, value: Expr) -> Result<Option<(String, Expr)>> {
        if let Some(found) = fitted(expr) {
            let Some((from, _)) = found.apply.inverse()? else {
                return Ok(None);
            };
            let mut args = vec![cast(value, from)];
            args.extend(found.rest.first().cloned());
            if let Some(group) = found.rest.get(1) {
                let Some(group) = self.group(group)? else {
                    return Ok(None);
                };
                args.push(group);
            }
            let back = found.apply.inverse_udf().call(args);
            return self.undo(uncast(&found.args[0]), back);
        }
        match expr {
            Expr::Column(column) if column.relation.is_none() => {
                Ok(Some((column.name.clone(), value)))
            }
            Expr::Cast(inner) => {
                let from = inner.expr.get_type(&self.inputs)?;
                let to = inner.field.data_type();
                let same = is_number(&from) && is_number(to) || is_text(&from) && is_text(to);
                if same || from == *to {
                    self.undo(&inner.expr, value)
                } else {
                    Ok(None)
                }
            }
            Expr::Negative(inner) => self.undo(inner, Expr::Negative(Box::new(value))),
            Expr::BinaryExpr(binary) => self.arithmetic(binary, value),
            Expr::ScalarFunction(call) => self.function(call, value),
            _ => Ok(None),
        }
    }

    fn arithmetic(&self, expr: &BinaryExpr, value: Expr) -> Result<Option<(String, Expr)>> {
        let (left, right) = (uncast(&expr.left), uncast(&expr.right));
        let value = cast(value, DataType::Float64);
        let constant = |e: &Expr| cast(e.clone(), DataType::Float64);
        let is_constant =
            |e: &Expr| matches!(e, Expr::Literal(value, _) if is_number(&value.data_type()));
        if !is_number(&left.get_type(&self.inputs)?) || !is_number(&right.get_type(&self.inputs)?) {
            return Ok(None);
        }
        let whole = |e: &Expr| -> Result<bool> { Ok(!e.get_type(&self.inputs)?.is_floating()) };
        match (is_constant(left), expr.op, is_constant(right)) {
            (false, Operator::Plus, true) => self.undo(left, value - constant(right)),
            (true, Operator::Plus, false) => self.undo(right, value - constant(left)),
            (false, Operator::Minus, true) => self.undo(left, value + constant(right)),
            (true, Operator::Minus, false) => self.undo(right, constant(left) - value),
            (false, Operator::Multiply, true) => self.undo(left, value / constant(right)),
            (true, Operator::Multiply, false) => self.undo(right, value / constant(left)),
            // whole numbers lose their remainder
            (false, Operator::Divide, true) if !(whole(&expr.left)? && whole(&expr.right)?) => {
                self.undo(left, value * constant(right))
            }
            _ => Ok(None),
        }
    }

    fn function(&self, call: &ScalarFunction, value: Expr) -> Result<Option<(String, Expr)>> {
        let Some(x) = call.args.first() else {
            return Ok(None);
        };
        if let Some(function) = function_of(&call.func) {
            if let Some(of) = function.inverse() {
                let name = function.spec().name;
                return self.undo(uncast(x), Inverse::udf(name, of).call(vec![value]));
            }
            // what it left alone is as it was
            return match function.spec().name {
                "null_if" => self.undo(x, value),
                _ => Ok(None),
            };
        }
        let of: fn(f64) -> f64 = match call.name() {
            "ln" => f64::exp,
            "exp" => f64::ln,
            "sqrt" => |y| y * y,
            "coalesce" if matches!(&call.args[1..], [Expr::Literal(..)]) => {
                return self.undo(uncast(x), value);
            }
            _ => return Ok(None),
        };
        self.undo(uncast(x), Inverse::udf(call.name(), of).call(vec![value]))
    }

    /// The group of a row, from keys that are there as they were.
    fn group(&self, group: &Expr) -> Result<Option<Expr>> {
        let Expr::ScalarFunction(call) = group else {
            return Ok(None);
        };
        let Some((fits, keys)) = call.args.split_last() else {
            return Ok(None);
        };
        let mut known = true;
        let mut args = keys
            .iter()
            .map(|key| {
                let of = key.get_type(&self.inputs)?;
                let key = map_columns(key.clone(), |column| {
                    Ok(match self.passed.get(&column.name) {
                        Some(passed) => passed.clone(),
                        None => {
                            known = false;
                            Expr::Column(column)
                        }
                    })
                })?;
                Ok(cast(key, of))
            })
            .collect::<Result<Vec<_>>>()?;
        if !known {
            return Ok(None);
        }
        args.push(fits.clone());
        Ok(Some(GroupIndex::udf(keys.len()).call(args)))
    }
}

/// A type without dictionaries.
fn plain(t: &DataType) -> DataType {
    match t {
        DataType::Dictionary(_, value) => plain(value),
        t if is_text(t) => DataType::Utf8,
        t => t.clone(),
    }
}

/// A function of one number that undoes another.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Inverse {
    name: String,
    signature: Signature,
    of: Of,
}

/// Known by what it undoes.
#[derive(Debug, Clone, Copy)]
struct Of(fn(f64) -> f64);

impl PartialEq for Of {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Of {}

impl std::hash::Hash for Of {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Inverse {
    fn udf(name: &str, of: fn(f64) -> f64) -> ScalarUDF {
        ScalarUDF::from(Self {
            name: format!("{name}_invert"),
            signature: Signature::any(1, Volatility::Immutable),
            of: Of(of),
        })
    }
}

fn float(t: &DataType) -> DataType {
    match t {
        DataType::Float32 => DataType::Float32,
        _ => DataType::Float64,
    }
}

impl ScalarUDFImpl for Inverse {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(float(&types[0]))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let of = float(args.arg_fields[0].data_type());
        Ok(Arc::new(Field::new(self.name(), of, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(x) = args.args.first() else {
            return internal_err!("{} has no argument", self.name);
        };
        let x = x.to_array(args.number_rows)?;
        let x = cast_array(&x, &float(x.data_type()))?;
        let of = self.of.0;
        let undone: ArrayRef = match x.data_type() {
            DataType::Float32 => Arc::new(
                x.as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|x| of(f64::from(x)) as f32),
            ),
            _ => Arc::new(x.as_primitive::<Float64Type>().unary::<_, Float64Type>(of)),
        };
        Ok(ColumnarValue::Array(undone))
    }
}
