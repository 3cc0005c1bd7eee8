//! `SHOW TRANSFORM name AS SQL`: a fitted transform as plain SQL, for engines that have none of our functions.
//!
//! What a call is written as may name its arguments more than once, so arguments that are more than a column
//! become columns of their own in a step below.

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::CustomDialectBuilder;
use futures::FutureExt;
use futures::future::BoxFuture;
use seedbed_udfs::options::Options;
use seedbed_udfs::row_wise::function_of;
use seedbed_udfs::sql::{Arg, literal, type_name};

use super::Transform;
use super::outputs::{Output, fitted, outputs, part};
use crate::session::Env;
use crate::sql::relation::quoted;

/// The transform as one SELECT.
pub fn as_sql<'a>(env: &'a Env, transform: &'a Transform) -> BoxFuture<'a, Result<String>> {
    async move {
        let outputs = outputs(&transform.planned(env).await?)?;
        let mut writer = Writer::new(transform)?;
        let columns = outputs
            .iter()
            .map(|output| writer.output(output))
            .collect::<Result<Vec<_>>>()?;
        Ok(writer.select(&columns))
    }
    .boxed()
}

/// A text and the step whose columns it names.
struct Text {
    sql: String,
    step: usize,
}

struct Writer<'a> {
    transform: &'a Transform,
    schema: DFSchema,
    /// The columns that each step adds to those of the step before.
    steps: Vec<Vec<(String, String)>>,
    /// What stands in the place of calls while the expressions around them are written.
    calls: Vec<Text>,
    /// What the names of added columns begin with: no input's name does.
    prefix: String,
    /// The step of each added column.
    places: Vec<usize>,
}

/// The name that stands for a call.
fn stand_in(i: usize) -> String {
    format!("__seedbed_call_{i}_")
}

impl<'a> Writer<'a> {
    fn new(transform: &'a Transform) -> Result<Self> {
        let schema = Schema::new(transform.inputs.clone());
        let mut prefix = "__".to_string();
        while transform
            .inputs
            .iter()
            .any(|f| f.name().starts_with(&prefix))
        {
            prefix.push('_');
        }
        Ok(Self {
            transform,
            schema: DFSchema::try_from(schema)?,
            steps: Vec::new(),
            calls: Vec::new(),
            prefix,
            places: Vec::new(),
        })
    }

    fn output(&mut self, output: &Output) -> Result<(String, String)> {
        let refused = |what: &str| {
            plan_err!(
                "SHOW TRANSFORM {} AS SQL: column {}: {what}. Leave it out, or use EXPORT TRANSFORM",
                self.transform.name,
                output.name
            )
        };
        if output.joins() {
            return refused("it is computed of a joined table, which is not written out");
        }
        let Some(expr) = &output.expr else {
            return refused("it is more than an expression of the row");
        };
        let text = match self.text(expr) {
            Ok(text) => text,
            Err(error) => {
                return plan_err!(
                    "SHOW TRANSFORM {} AS SQL: column {}: {}",
                    self.transform.name,
                    output.name,
                    error.message()
                );
            }
        };
        while self.steps.len() < text.step {
            self.steps.push(Vec::new());
        }
        Ok((output.name.clone(), text.sql))
    }

    fn select(&self, columns: &[(String, String)]) -> String {
        let from = self.transform.about.source.clone();
        let from = from.unwrap_or_else(|| "input".to_string());
        let list = |columns: &[(String, String)]| {
            let columns = columns.iter().map(|(name, sql)| {
                let name = quoted(name);
                if *sql == name {
                    format!("  {name}")
                } else {
                    format!("  {sql} AS {name}")
                }
            });
            columns.collect::<Vec<_>>().join(",\n")
        };
        let mut with = Vec::new();
        let mut below = from;
        for (i, step) in self.steps.iter().enumerate() {
            let name = format!("step_{}", i + 1);
            with.push(format!(
                "{name} AS (\nSELECT\n  *,\n{}\nFROM {below}\n)",
                list(step)
            ));
            below = name;
        }
        let with = if with.is_empty() {
            String::new()
        } else {
            format!("WITH {}\n", with.join(",\n"))
        };
        format!("{with}SELECT\n{}\nFROM {below}", list(columns))
    }

    /// Keeps a text as a column of the step after those it names.
    fn bind(&mut self, text: Text) -> Text {
        for (i, step) in self.steps.iter().enumerate() {
            if let Some((name, _)) = step.iter().find(|(_, sql)| *sql == text.sql) {
                return Text {
                    sql: quoted(name),
                    step: i + 1,
                };
            }
        }
        while self.steps.len() <= text.step {
            self.steps.push(Vec::new());
        }
        let name = format!("{}{}", self.prefix, self.places.len());
        self.places.push(text.step);
        self.steps[text.step].push((name.clone(), text.sql));
        Text {
            sql: quoted(&name),
            step: text.step + 1,
        }
    }

    /// The step whose columns a text names, of which `least` is known.
    fn step_of(&self, sql: &str, least: usize) -> usize {
        let mark = format!("\"{}", self.prefix);
        let named = sql.match_indices(&mark).filter_map(|(at, _)| {
            let (number, _) = sql[at + mark.len()..].split_once('"')?;
            let place = self.places.get(number.parse::<usize>().ok()?)?;
            Some(place + 1)
        });
        named.fold(least, usize::max)
    }

    fn text(&mut self, expr: &Expr) -> Result<Text> {
        let first = self.calls.len();
        let around = expr
            .clone()
            .transform_down(|e| {
                let Some(text) = self.call(&e)? else {
                    return Ok(Transformed::no(e));
                };
                self.calls.push(text);
                let name = stand_in(self.calls.len() - 1);
                Ok(Transformed::new(
                    Expr::Column(Column::from_name(name)),
                    true,
                    TreeNodeRecursion::Jump,
                ))
            })
            .data()?;
        let mut sql = unparse(&around)?;
        let mut step = 0;
        let alone = matches!(around, Expr::Column(_));
        for (i, call) in self.calls.drain(first..).enumerate() {
            let name = quoted(&stand_in(first + i));
            let inner = if alone { call.sql } else { atom(&call.sql) };
            sql = sql.replace(&name, &inner);
            step = step.max(call.step);
        }
        Ok(Text { sql, step })
    }

    /// An argument, as what may be written more than once.
    fn arg(&mut self, expr: &Expr) -> Result<(Arg, usize)> {
        let data_type = expr.get_type(&self.schema)?;
        let nan = data_type.is_floating() && may_be_nan(expr, &self.schema)?;
        let mut text = self.text(expr)?;
        let short = match expr {
            Expr::Column(_) | Expr::Literal(..) => true,
            Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Column(_)),
            _ => {
                let name = text.sql.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
                name.is_some_and(|name| !name.contains('"'))
            }
        };
        if !short {
            text = self.bind(text);
        }
        let arg = Arg {
            sql: text.sql,
            data_type,
            nan,
        };
        Ok((arg, text.step))
    }

    fn args(&mut self, exprs: &[Expr]) -> Result<(Vec<Arg>, usize)> {
        let mut step = 0;
        let mut args = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let (arg, needs) = self.arg(expr)?;
            args.push(arg);
            step = step.max(needs);
        }
        Ok((args, step))
    }

    /// A call of one of our functions; `None` if the expression is something else.
    fn call(&mut self, expr: &Expr) -> Result<Option<Text>> {
        let unknown = |name: &str| {
            plan_err!(
                "{name} has no meaning in plain SQL. Leave the column out, or use EXPORT TRANSFORM"
            )
        };
        if let Some(found) = fitted(expr) {
            let (args, step) = self.args(found.args)?;
            let (keys, of_keys) = self.args(found.keys)?;
            let step = step.max(of_keys);
            let mut bind = |sql: String| {
                let step = self.step_of(&sql, step);
                self.bind(Text { sql, step }).sql
            };
            let sql = found.apply.sql(&args, &keys, &found.fits, &mut bind)?;
            return match sql {
                Some(sql) => Ok(Some(Text {
                    step: self.step_of(&sql, step),
                    sql,
                })),
                None => unknown(found.apply.bound().spec().name),
            };
        }
        if let Some((call, part)) = part(expr)
            && function_of(&call.func).is_some()
        {
            return self.row_wise(call, Some(part)).map(Some);
        }
        match expr {
            Expr::ScalarFunction(call) if function_of(&call.func).is_some() => {
                self.row_wise(call, None).map(Some)
            }
            Expr::Literal(value, _) => {
                let sql = literal(value)?;
                Ok(sql.map(|sql| Text { sql, step: 0 }))
            }
            Expr::Cast(cast) => self.cast(&cast.expr, cast.field.data_type()).map(Some),
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Divide,
                right,
            }) if expr.get_type(&self.schema)?.is_integer() => {
                // some engines give fractions
                let (left, right) = (self.text(left)?, self.text(right)?);
                let quotient = format!("{} / {}", atom(&left.sql), atom(&right.sql));
                Ok(Some(Text {
                    sql: format!("CAST(TRUNC({quotient}) AS BIGINT)"),
                    step: left.step.max(right.step),
                }))
            }
            Expr::ScalarFunction(call) if call.name().starts_with("__") => unknown(call.name()),
            _ => Ok(None),
        }
    }

    fn cast(&mut self, expr: &Expr, to: &DataType) -> Result<Text> {
        let from = expr.get_type(&self.schema)?;
        let text = self.text(expr)?;
        // texts of all kinds are one type elsewhere
        if plain(&from) == plain(to) {
            return Ok(text);
        }
        let Some(name) = type_name(to) else {
            return plan_err!("{to} is no type in plain SQL");
        };
        // some engines round
        let sql = if from.is_floating() && to.is_integer() {
            format!("CAST(TRUNC({}) AS {name})", text.sql)
        } else {
            format!("CAST({} AS {name})", text.sql)
        };
        Ok(Text {
            sql,
            step: text.step,
        })
    }

    fn row_wise(&mut self, call: &ScalarFunction, part: Option<&str>) -> Result<Text> {
        let Some(function) = function_of(&call.func) else {
            return plan_err!("{} has no meaning in plain SQL", call.name());
        };
        let spec = function.spec();
        let options = spec.params.iter().filter(|p| p.option).count();
        let (data, options) = call.args.split_at(call.args.len().saturating_sub(options));
        let values = options
            .iter()
            .map(|option| crate::sql::relation::fold(option.clone()))
            .collect::<Result<Vec<_>>>()?;
        let (args, step) = self.args(data)?;
        let sql = if args.is_empty() {
            None
        } else {
            function.sql(&args, &Options::new(spec, values)?, part)?
        };
        match sql {
            Some(sql) => Ok(Text { sql, step }),
            None => plan_err!(
                "{} has no meaning in plain SQL. Leave the column out, or use EXPORT TRANSFORM",
                spec.name
            ),
        }
    }
}

/// A text type without its layout.
fn plain(t: &DataType) -> DataType {
    match t {
        DataType::Dictionary(_, value) => plain(value),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

/// Whether a float may be NaN: what was cast from another type is not, and what was imputed is not.
fn may_be_nan(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    if let Some(found) = fitted(expr) {
        // fitted functions give NULL for NaN
        return Ok(found.apply.bound().spec().name == "vectorize");
    }
    Ok(match expr {
        Expr::Cast(cast) => {
            cast.expr.get_type(schema)?.is_floating() && may_be_nan(&cast.expr, schema)?
        }
        Expr::Literal(value, _) => value.data_type().is_floating(),
        _ => true,
    })
}

fn unparse(expr: &Expr) -> Result<String> {
    let dialect = CustomDialectBuilder::new()
        .with_identifier_quote_style('"')
        .build();
    Ok(Unparser::new(&dialect).expr_to_sql(expr)?.to_string())
}

/// A text that can stand anywhere in an expression.
fn atom(sql: &str) -> String {
    let mut depth = 0;
    let mut quote = None;
    for c in sql.chars() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ' ' | '-') if depth == 0 => return format!("({sql})"),
            _ => {}
        }
    }
    sql.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_need_no_brackets() {
        for atom_of in [
            "\"a b\"",
            "CAST(x AS REAL)",
            "2.5e0",
            "'it''s a'",
            "(a + b)",
        ] {
            assert_eq!(atom(atom_of), atom_of);
        }
        for other in ["a + b", "-a", "CASE WHEN a THEN b END", "(a) + (b)"] {
            assert_eq!(atom(other), format!("({other})"));
        }
    }
}
