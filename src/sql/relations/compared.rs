//! Tables whose columns go together by name, as the kernels of `seedbed_udfs::evaluate` take them: one table, in which a first
//! column says of which table a row is.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use seedbed_udfs::evaluate::Shared;
use seedbed_udfs::options::nearest;
use seedbed_udfs::table::TableFunction;

use super::super::relation::{Call, Expansion};
use super::by_column::{Column, Values};
use crate::plan::{TableNode, one_input};

/// The columns that all tables have, and the query that gives all their rows.
pub struct Compared {
    pub columns: Vec<Shared>,
    pub query: String,
}

/// What a column is to a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Time,
    Category,
    /// Of type NULL: whatever it is elsewhere.
    Nothing,
}

impl Kind {
    fn of(column: &Column) -> Self {
        let plain = match &column.data_type {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        match (plain, column.values) {
            (DataType::Null, _) => Self::Nothing,
            (DataType::Boolean, _) => Self::Category,
            (_, Values::Number) => Self::Number,
            (_, Values::Time) => Self::Time,
            (_, Values::Category | Values::Opaque) => Self::Category,
        }
    }
}

impl Compared {
    /// Of the tables that are given, by the names of their parameters. Columns whose names `categorical` has, quoted, are
    /// categories though they be numbers.
    pub fn of(call: &Call<'_>, names: &[&str], categorical: &[String]) -> Result<Self> {
        let function = call.options().spec().name;
        let given = names
            .iter()
            .enumerate()
            .filter(|(i, _)| call.input(*i).is_ok());
        let tables: Vec<(&str, Vec<Column>)> = given
            .map(|(i, name)| (*name, Column::of(call, i)))
            .collect();
        let Some((first, rest)) = tables.split_first() else {
            return plan_err!("{function}: a table is missing");
        };
        if first.1.is_empty() {
            return plan_err!("{function}: the tables have no columns");
        }
        for (name, columns) in rest {
            check_names(function, first, (*name, &columns[..]))?;
        }
        let mut shared = Vec::with_capacity(first.1.len());
        let mut values = vec![Vec::with_capacity(first.1.len()); tables.len()];
        for column in &first.1 {
            let all: Vec<&Column> = tables
                .iter()
                .filter_map(|t| find(&t.1, &column.name))
                .collect();
            let mut kinds = all.iter().map(|c| Kind::of(c)).zip(&tables);
            let told = kinds.find(|(kind, _)| *kind != Kind::Nothing);
            let (kind, of) = told.map_or((Kind::Category, first.0), |(kind, t)| (kind, t.0));
            if let Some((other, (table, _))) =
                kinds.find(|(k, _)| *k != kind && *k != Kind::Nothing)
            {
                return plan_err!(
                    "{function}: {} is {} in {of} but {} in {table}. Write CAST({} AS ...) in one of them",
                    column.name,
                    shown(kind),
                    shown(other),
                    column.quoted
                );
            }
            let named = categorical.contains(&column.quoted) && kind != Kind::Category;
            let is_number = kind != Kind::Category && !named;
            for (values, column) in values.iter_mut().zip(all) {
                values.push(match (Kind::of(column), is_number) {
                    (Kind::Nothing, true) => "CAST(NULL AS DOUBLE)".to_string(),
                    (Kind::Nothing, false) => "CAST(NULL AS VARCHAR)".to_string(),
                    (_, true) => column.number(),
                    (_, false) if named => format!("CAST({} AS VARCHAR)", column.number()),
                    (_, false) => column.text(),
                });
            }
            shared.push(Shared {
                name: column.name.clone(),
                is_number,
            });
        }
        let places = (0..names.len()).filter(|i| call.input(*i).is_ok());
        let parts: Vec<String> = places
            .zip(values)
            .map(|(part, values)| {
                let values: Vec<String> = values
                    .iter()
                    .enumerate()
                    .map(|(i, x)| format!("{x} AS c{i}"))
                    .collect();
                format!(
                    "SELECT {part} AS part, {} FROM {}",
                    values.join(", "),
                    call.table(part)
                )
            })
            .collect();
        Ok(Self {
            columns: shared,
            query: parts.join(" UNION ALL "),
        })
    }
}

/// What a kernel makes of the tables.
pub fn over(call: &Call<'_>, query: String, function: Arc<dyn TableFunction>) -> Expansion {
    let node = call.node();
    let sql = format!("SELECT * FROM {node}(({query}))");
    let make =
        move |inputs| TableNode::over(Arc::clone(&function), one_input(function.name(), inputs)?);
    Expansion::Around(node, sql, Box::new(make))
}

fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    let exact = columns.iter().find(|c| c.name == name);
    exact.or_else(|| columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
}

fn shown(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "a number",
        Kind::Time => "a date or time",
        Kind::Category | Kind::Nothing => "a text or boolean",
    }
}

/// An error if the tables do not have the same columns.
fn check_names(function: &str, a: &(&str, Vec<Column>), b: (&str, &[Column])) -> Result<()> {
    for ((has, columns), (lacks, others)) in [((a.0, &a.1[..]), b), (b, (a.0, &a.1[..]))] {
        let Some(column) = columns.iter().find(|c| find(others, &c.name).is_none()) else {
            continue;
        };
        let near = nearest(&column.name, others.iter().map(|c| c.name.as_str()));
        let near = near.map(|n| format!(" Is {n} meant?")).unwrap_or_default();
        return plan_err!(
            "{function}: {has} has a column {}, which {lacks} lacks.{near} Columns go together by name: \
             write (SELECT * EXCEPT ({}) FROM ...) to leave it out",
            column.name,
            column.quoted
        );
    }
    Ok(())
}
