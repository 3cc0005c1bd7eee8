//! Column selectors in a SELECT list: `columns('cat_.*')`, `numeric_columns(exclude => ['id'])`.
//!
//! An item with a selector is written out once for each column it selects, and is named after the column.
//! Directly in a call that takes any number of arguments, or in a list, a selector stands for all its columns.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::sql::sqlparser::ast::{
    Array, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, Ident, Query, Select, SelectItem, Visit,
};
use regex::Regex;
use seedbed_udfs::arrays::{is_number, is_text};
use seedbed_udfs::options::{Options, nearest};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::calls::registered;
use super::relation::parse_expr;
use super::walk::{arguments, expressions, expressions_mut};

const EXCLUDE: Param = Param::option(
    "exclude",
    "NULL",
    "the names of columns that are not meant, as in ['id', 'label']",
);

const SOURCE: &str = "the column selectors of scikit-learn and Polars; DuckDB's COLUMNS expression";

const COLUMNS: Spec = Spec {
    name: "columns",
    stage: Stage::Select,
    kind: Kind::Selector,
    summary: "The columns whose names fit a pattern: the item of the SELECT list is written out for each of them, and named \
        after it. An alias may hold {column} for the name.",
    params: &[
        Param::option(
            "pattern",
            "'.*'",
            "a regular expression that is found somewhere in the name (^ and $ bind it to the ends), or a list of names",
        ),
        EXCLUDE,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT columns('^x') FROM (VALUES (1, 2, 3)) AS t(id, x1, x2)",
            result: "2,3",
        },
        Example {
            sql: "SELECT min_max_scale(columns(exclude => ['id'])) OVER () AS \"{column}_scaled\" FROM (VALUES (1, 2, 30), (2, 4, 10)) AS t(id, x1, x2)",
            result: "0.0,1.0\n1.0,0.0",
        },
    ],
    source: SOURCE,
    also: &[
        "sklearn.compose.make_column_selector",
        "polars.selectors.matches",
        "COLUMNS (DuckDB)",
        "pandas.DataFrame.filter",
    ],
};

/// A selector of the columns of some types.
const fn by_type(
    name: &'static str,
    summary: &'static str,
    examples: &'static [Example],
    also: &'static [&'static str],
) -> Spec {
    Spec {
        name,
        stage: Stage::Select,
        kind: Kind::Selector,
        summary,
        params: &[EXCLUDE],
        variadic: false,
        examples,
        source: SOURCE,
        also,
    }
}

const NUMERIC: Spec = by_type(
    "numeric_columns",
    "The columns of numbers: integers, floats and decimals. Booleans are not among them.",
    &[
        Example {
            sql: "SELECT standard_scale(numeric_columns()) OVER () FROM (VALUES (1, 'a', 2.5), (3, 'b', 4.5)) AS t(n, s, x)",
            result: "-1.0,-1.0\n1.0,1.0",
        },
        Example {
            sql: "SELECT vectorize(numeric_columns(exclude => ['y'])) AS v, y FROM (VALUES (1, 2.5, 0)) AS t(n, x, y)",
            result: "\"[1.0, 2.5]\",0",
        },
    ],
    &[
        "sklearn.compose.make_column_selector",
        "polars.selectors.numeric",
        "pandas.DataFrame.select_dtypes",
    ],
);

const TEXT: Spec = by_type(
    "text_columns",
    "The columns of texts, dictionaries of texts among them.",
    &[Example {
        sql: "SELECT null_if(text_columns(), ['?']) FROM (VALUES (1, 'a', '?')) AS t(n, s, z)",
        result: "a,",
    }],
    &["polars.selectors.string", "pandas.DataFrame.select_dtypes"],
);

const BOOLEAN: Spec = by_type(
    "boolean_columns",
    "The columns of truth values.",
    &[Example {
        sql: "SELECT CAST(boolean_columns() AS INT) FROM (VALUES (7, true, false)) AS t(n, a, b)",
        result: "1,0",
    }],
    &["polars.selectors.boolean", "pandas.DataFrame.select_dtypes"],
);

const TEMPORAL: Spec = by_type(
    "temporal_columns",
    "The columns of dates, times, timestamps and intervals.",
    &[Example {
        sql: "SELECT date_parts(temporal_columns()) FROM (VALUES (1, TIMESTAMP '2024-02-29 13:00:00')) AS t(n, at)",
        result: "2024,2,29,3,13,false",
    }],
    &[
        "polars.selectors.temporal",
        "pandas.DataFrame.select_dtypes",
    ],
);

/// The declarations of the selectors.
pub const SPECS: [&Spec; 5] = [&COLUMNS, &NUMERIC, &TEXT, &BOOLEAN, &TEMPORAL];

/// DataFusion's functions that take any number of like arguments.
const SPREADING: [&str; 6] = [
    "coalesce",
    "concat",
    "greatest",
    "least",
    "make_array",
    "struct",
];

/// The selector that is called, if it is one.
pub fn selector(call: &Function) -> Option<&'static Spec> {
    match call.name.0.as_slice() {
        [part] => {
            let name = &part.as_ident()?.value;
            SPECS
                .into_iter()
                .find(|s| s.name.eq_ignore_ascii_case(name))
        }
        _ => None,
    }
}

/// Writes `columns(* EXCLUDE (a, b))` as `columns(exclude => ['a', 'b'])`.
pub fn plain_form(call: &mut Function) -> Result<()> {
    let FunctionArguments::List(list) = &mut call.args else {
        return Ok(());
    };
    let excluded = match list.args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Wildcard)) => Vec::new(),
        Some(FunctionArg::Unnamed(FunctionArgExpr::WildcardWithOptions(options))) => {
            let excluded = match &options.opt_exclude {
                Some(ExcludeSelectItem::Single(name)) => vec![name.to_string()],
                Some(ExcludeSelectItem::Multiple(names)) => {
                    names.iter().map(ToString::to_string).collect()
                }
                None => Vec::new(),
            };
            let excepted = options.opt_except.iter().flat_map(|except| {
                let first = std::iter::once(&except.first_element);
                first
                    .chain(&except.additional_elements)
                    .map(ToString::to_string)
            });
            excluded.into_iter().chain(excepted).collect()
        }
        _ => return Ok(()),
    };
    let excluded: Vec<String> = excluded
        .iter()
        .map(|name| format!("'{}'", name.trim_matches('"').replace('\'', "''")))
        .collect();
    list.args.remove(0);
    if !excluded.is_empty()
        && let Expr::Function(written) =
            parse_expr(&format!("f(exclude => [{}])", excluded.join(", ")))?
        && let FunctionArguments::List(written) = written.args
    {
        list.args.extend(written.args);
    }
    Ok(())
}

/// Whether an item of a SELECT list becomes an item for each column that a selector in it selects.
pub fn multiplies(expr: &Expr) -> bool {
    let mut expr = expr.clone();
    // what is spread stays one item, whatever is selected
    let _ = spread(&mut expr, &mut |_| Ok(Vec::new()));
    first(&expr).is_some()
}

/// Whether an expression has a selector anywhere.
pub fn has<T: Visit>(ast: &T) -> bool {
    first(ast).is_some()
}

/// The first selector in an expression; those of subqueries in it are theirs.
fn first<T: Visit>(ast: &T) -> Option<Function> {
    // boxed: the walk has room for what it gives at each depth
    let found = expressions(ast, |expr| match expr {
        Expr::Function(call) if selector(call).is_some() => {
            ControlFlow::Break(Box::new(call.clone()))
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value().map(|call| *call)
}

/// An error for a selector that does not stand in a SELECT list.
pub fn places(select: &Select) -> Result<()> {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(keys, _) => first(keys),
        GroupByExpr::All(_) => None,
    };
    let found = [
        ("WHERE", first(&select.selection)),
        ("GROUP BY", grouped),
        ("HAVING", first(&select.having)),
        ("QUALIFY", first(&select.qualify)),
        ("FROM", first(&select.from)),
    ];
    for (clause, call) in found {
        if let Some(call) = call {
            return misplaced(&call, clause);
        }
    }
    Ok(())
}

/// An error for a selector in a query's ORDER BY.
pub fn order_places(query: &Query) -> Result<()> {
    match query.order_by.as_ref().and_then(first) {
        Some(call) => misplaced(&call, "ORDER BY"),
        None => Ok(()),
    }
}

fn misplaced(call: &Function, clause: &str) -> Result<()> {
    plan_err!(
        "{}: a selector stands in the SELECT list, not in {clause}. Name the columns there",
        call.name
    )
}

/// Whether a column of a name and a type is meant.
type Wanted = Box<dyn Fn(&str, &DataType) -> bool>;

/// What a SELECT can choose from, in order.
#[derive(Debug, Clone)]
pub struct Columns {
    columns: Vec<(Expr, String, DataType)>,
}

impl Columns {
    /// The columns of a plan's schema.
    pub fn of(schema: &DFSchema) -> Self {
        let columns = schema
            .iter()
            .map(|(qualifier, field)| {
                let quoted = |name: &str| Ident::with_quote('"', name);
                let name = quoted(field.name());
                let others = schema.fields_with_unqualified_name(field.name()).len();
                let expr = match qualifier {
                    Some(table) if others > 1 => {
                        Expr::CompoundIdentifier(vec![quoted(table.table()), name])
                    }
                    _ => Expr::Identifier(name),
                };
                (expr, field.name().clone(), field.data_type().clone())
            })
            .collect();
        Self { columns }
    }

    /// The columns that a selector's call means, with their names.
    fn selected(
        &self,
        call: &Function,
        constants: &dyn Fn(&[Expr]) -> Result<Vec<ScalarValue>>,
    ) -> Result<Vec<(Expr, String)>> {
        let Some(spec) = selector(call) else {
            return plan_err!("{} selects no columns", call.name);
        };
        let options = Options::new(spec, constants(&arguments(call))?)?;
        let excluded = match options.is_null("exclude") {
            true => Vec::new(),
            false => self.named(&options, "exclude", &options.texts("exclude")?)?,
        };
        let wanted: Wanted = match spec.name {
            "numeric_columns" => Box::new(|_, of| is_number(of) && *of != DataType::Boolean),
            "text_columns" => Box::new(|_, of| match of {
                DataType::Dictionary(_, values) => is_text(values),
                of => is_text(of),
            }),
            "boolean_columns" => Box::new(|_, of| *of == DataType::Boolean),
            "temporal_columns" => Box::new(|_, of| of.is_temporal()),
            _ => match options.text("pattern") {
                Ok(pattern) => {
                    let Ok(pattern) = Regex::new(&pattern) else {
                        return options.wrong("pattern", "a regular expression, as in '^cat_.*'");
                    };
                    Box::new(move |name, _| pattern.is_match(name))
                }
                Err(_) => {
                    let named = self.named(&options, "pattern", &options.texts("pattern")?)?;
                    Box::new(move |name, _| named.iter().any(|n| n == name))
                }
            },
        };
        let selected: Vec<(Expr, String)> = self
            .columns
            .iter()
            .filter(|(_, name, of)| wanted(name, of) && !excluded.contains(name))
            .map(|(expr, name, _)| (expr.clone(), name.clone()))
            .collect();
        if selected.is_empty() {
            let have: Vec<String> = self
                .columns
                .iter()
                .map(|(_, name, of)| format!("{name} {of}"))
                .collect();
            return plan_err!(
                "{}: it selects none of the columns, which are {}",
                call.name,
                have.join(", ")
            );
        }
        Ok(selected)
    }

    /// Names as the table has them.
    fn named(&self, options: &Options, option: &str, names: &[String]) -> Result<Vec<String>> {
        let have = || self.columns.iter().map(|(_, name, _)| name.as_str());
        names
            .iter()
            .map(|name| {
                let found = have()
                    .find(|n| n == name)
                    .or_else(|| have().find(|n| n.eq_ignore_ascii_case(name)));
                match found {
                    Some(found) => Ok(found.to_string()),
                    None => {
                        let near = nearest(name, have())
                            .map(|n| format!(" Did you mean {n}?"))
                            .unwrap_or_default();
                        plan_err!(
                            "{}: {option} names a column {name}, which there is not.{near}",
                            options.spec().name
                        )
                    }
                }
            })
            .collect()
    }

    /// The items that an item of a SELECT list with selectors stands for.
    pub fn items(
        &self,
        item: &SelectItem,
        constants: &dyn Fn(&[Expr]) -> Result<Vec<ScalarValue>>,
    ) -> Result<Vec<SelectItem>> {
        let (mut expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.clone(), None),
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), Some(alias.clone())),
            other => return Ok(vec![other.clone()]),
        };
        spread(&mut expr, &mut |call| self.selected(call, constants))?;
        let mut calls = Vec::new();
        let _ = expressions(&expr, |e| {
            if let Expr::Function(call) = e
                && selector(call).is_some()
            {
                calls.push(call.clone());
            }
            ControlFlow::<()>::Continue(())
        });
        let Some(one) = calls.first() else {
            return Ok(vec![match alias {
                Some(alias) => SelectItem::ExprWithAlias { expr, alias },
                None => SelectItem::UnnamedExpr(expr),
            }]);
        };
        if let Some(other) = calls.iter().find(|c| *c != one) {
            return plan_err!(
                "{one} and {other} stand in one item of the SELECT list: which of their columns belong together is not said. \
                 Use the same selector twice, or name the columns"
            );
        }
        let selected = self.selected(one, constants)?;
        if let Some(alias) = &alias
            && selected.len() > 1
            && !alias.value.contains("{column}")
        {
            return plan_err!(
                "{}: it selects {} columns, and all would be named {}. Write AS \"{{column}}_{}\"",
                one.name,
                selected.len(),
                alias.value,
                alias.value
            );
        }
        Ok(selected
            .into_iter()
            .map(|(column, name)| {
                let mut expr = expr.clone();
                let _ = expressions_mut(&mut expr, |e| {
                    if let Expr::Function(call) = e
                        && selector(call).is_some()
                    {
                        *e = column.clone();
                    }
                    ControlFlow::<()>::Continue(())
                });
                let named = match &alias {
                    Some(alias) => alias.value.replace("{column}", &name),
                    // what stands for several columns names them itself, after its argument
                    None if super::calls::expands(&expr).is_some() => {
                        return SelectItem::UnnamedExpr(expr);
                    }
                    None => name,
                };
                SelectItem::ExprWithAlias {
                    expr,
                    alias: Ident::with_quote('"', named),
                }
            })
            .collect())
    }
}

type Selected<'a> = dyn FnMut(&Function) -> Result<Vec<(Expr, String)>> + 'a;

/// Writes out the selectors that are arguments where any number of them is taken.
fn spread(expr: &mut Expr, selected: &mut Selected<'_>) -> Result<()> {
    let walked = expressions_mut(expr, |e| match spread_one(e, selected) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    });
    walked.break_value().map_or(Ok(()), Err)
}

/// The columns of an expression that is a selector.
fn columns(expr: &Expr, selected: &mut Selected<'_>) -> Result<Option<Vec<Expr>>> {
    match expr {
        Expr::Function(call) if selector(call).is_some() => {
            let selected = selected(call)?;
            Ok(Some(
                selected.into_iter().map(|(column, _)| column).collect(),
            ))
        }
        _ => Ok(None),
    }
}

fn spread_one(expr: &mut Expr, selected: &mut Selected<'_>) -> Result<()> {
    match expr {
        Expr::Array(Array { elem, .. }) => {
            let mut all = Vec::with_capacity(elem.len());
            for item in elem.drain(..) {
                match columns(&item, selected)? {
                    Some(columns) => all.extend(columns),
                    None => all.push(item),
                }
            }
            *elem = all;
        }
        Expr::Function(call) if takes_any_number(call) => {
            let FunctionArguments::List(list) = &mut call.args else {
                return Ok(());
            };
            let mut all = Vec::with_capacity(list.args.len());
            for arg in list.args.drain(..) {
                let columns = match &arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(item)) => columns(item, selected)?,
                    _ => None,
                };
                match columns {
                    Some(columns) => all.extend(
                        columns
                            .into_iter()
                            .map(|c| FunctionArg::Unnamed(FunctionArgExpr::Expr(c))),
                    ),
                    None => all.push(arg),
                }
            }
            list.args = all;
        }
        _ => {}
    }
    Ok(())
}

fn takes_any_number(call: &Function) -> bool {
    match registered(call) {
        Some(function) => function.spec().variadic,
        None => {
            let name = call.name.to_string();
            SPREADING.iter().any(|s| s.eq_ignore_ascii_case(&name))
        }
    }
}
