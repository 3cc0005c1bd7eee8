//! `deduplicate((q), by => [...])`: one row of those that agree.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result, plan_datafusion_err, plan_err};
use datafusion::sql::sqlparser::ast::{Expr, Ident, OrderByExpr, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use seedbed_udfs::options::nearest;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::{free, sort_keys};

const SPEC: Spec = Spec {
    name: "deduplicate",
    stage: Stage::Clean,
    kind: Kind::Relation,
    summary: "One row of those that agree in some columns, or in all.",
    params: &[
        Param::data("query", "the rows: (SELECT ...) or TABLE t"),
        Param::option(
            "by",
            "NULL",
            "the columns to agree in, as [a, b]; all of them by default. NULLs agree",
        ),
        Param::option(
            "keep",
            "'first'",
            "which row survives: 'first' or 'last' in the order of order_by",
        ),
        Param::option(
            "order_by",
            "NULL",
            "what puts rows that agree in order: a column, or a text as after ORDER BY: 'updated DESC, version'. \
             A row with a value goes before one with NULL, first or last, unless NULLS FIRST or NULLS LAST is \
             written. Rows it leaves tied, and all where it is left out, go by their other columns, smallest \
             value first. A table has no row order of its own to go by",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT * FROM deduplicate((SELECT * FROM (VALUES (1, 'a'), (1, 'a'), (2, NULL), (2, NULL)) AS t(id, x))) ORDER BY id",
            result: "1,a\n2,",
        },
        Example {
            sql: "SELECT * FROM deduplicate((SELECT * FROM (VALUES (1, 'new', 8), (1, 'old', 5), (2, 'x', NULL), (2, 'y', 3)) AS t(id, x, day)), by => [id], keep => 'last', order_by => day) ORDER BY id",
            result: "1,new,8\n2,y,3",
        },
    ],
    source: "SQL's DISTINCT; ROW_NUMBER() = 1 within the columns to agree in",
    also: &[
        "pandas.DataFrame.drop_duplicates",
        "polars.DataFrame.unique",
        "SELECT DISTINCT ON",
    ],
};

#[derive(Debug)]
pub struct Deduplicate;

impl Relation for Deduplicate {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let table = call.table(0);
        let columns = call.columns(0);
        let by = if options.is_null("by") {
            columns.clone()
        } else {
            call.column_list(0, "by")?
        };
        if by.is_empty() {
            return options.wrong("by", "a list of columns, as in [a, b]");
        }
        let last = options.choice("keep", &["first", "last"])? == "last";
        let mut order = if options.is_null("order_by") {
            vec![]
        } else {
            written_order(call, last)?
        };
        let rest: Vec<_> = columns
            .iter()
            .filter(|c| !by.contains(c))
            .cloned()
            .collect();
        // rows that agree in all columns are one another's equals: any may survive
        if rest.is_empty() {
            return Ok(Expansion::Sql(format!("SELECT DISTINCT * FROM {table}")));
        }
        let direction = if last { "DESC" } else { "ASC" };
        let rest = sort_keys(call, &rest);
        order.extend(rest.iter().map(|c| format!("{c} {direction} NULLS LAST")));
        let [rank] = free(&columns, ["rank"]);
        let (columns, by, order) = (columns.join(", "), by.join(", "), order.join(", "));
        Ok(Expansion::Sql(format!(
            "SELECT {columns}
             FROM (
                 SELECT *, row_number() OVER (PARTITION BY {by} ORDER BY {order}) AS {rank}
                 FROM {table}
             )
             WHERE {rank} = 1"
        )))
    }
}

/// The keys of `order_by`, turned round where the last row is kept.
fn written_order(call: &Call<'_>, last: bool) -> Result<Vec<String>> {
    let fields = call.schema(0).fields().iter();
    let columns: Vec<&str> = fields.map(|f| f.name().as_str()).collect();
    let mut keys = vec![];
    for text in call.options().texts("order_by")? {
        for mut key in parse(&text)? {
            let mut resolve = Resolve { columns: &columns };
            if let ControlFlow::Break(error) = key.expr.visit(&mut resolve) {
                return Err(error);
            }
            let ascending = key.options.asc.unwrap_or(true) != last;
            let nulls_first = key.options.nulls_first.is_some_and(|first| first != last);
            keys.push(format!(
                "{} {} NULLS {}",
                key.expr,
                if ascending { "ASC" } else { "DESC" },
                if nulls_first { "FIRST" } else { "LAST" }
            ));
        }
    }
    Ok(keys)
}

fn parse(text: &str) -> Result<Vec<OrderByExpr>> {
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| {
            let keys = parser.parse_comma_separated(Parser::parse_order_by_expr)?;
            parser.expect_token(&Token::EOF)?;
            Ok(keys)
        });
    parsed.map_err(|e| {
        plan_datafusion_err!(
            "{}: order_by must be as after ORDER BY, as in 'a DESC, b', not '{text}' ({e})",
            SPEC.name
        )
    })
}

/// Quotes the columns that an expression names.
struct Resolve<'a> {
    columns: &'a [&'a str],
}

impl VisitorMut for Resolve<'_> {
    type Break = DataFusionError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        let Expr::Identifier(ident) = expr else {
            return ControlFlow::Continue(());
        };
        match self.column(ident) {
            Ok(name) => {
                *ident = Ident::with_quote('"', name);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Resolve<'_> {
    fn column(&self, ident: &Ident) -> Result<&str> {
        let columns = || self.columns.iter().copied();
        let exact = columns().find(|c| *c == ident.value);
        let found = match ident.quote_style {
            Some(_) => exact,
            None => exact.or_else(|| columns().find(|c| c.eq_ignore_ascii_case(&ident.value))),
        };
        match found {
            Some(column) => Ok(column),
            None => {
                let near = nearest(&ident.value, columns())
                    .map(|n| format!(" Did you mean {n}?"))
                    .unwrap_or_default();
                plan_err!(
                    "{}: order_by names a column {}, which the table does not have.{near} It has {}",
                    SPEC.name,
                    ident.value,
                    self.columns.join(", ")
                )
            }
        }
    }
}
