//! `clean_names((q))`: columns under names that need no quotes.

use datafusion::common::Result;
use seedbed_udfs::encode::names::{clean, numbered};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation, quoted};

const SPEC: Spec = Spec {
    name: "clean_names",
    stage: Stage::Clean,
    kind: Kind::Relation,
    summary: "All columns under snake_case names: letters and digits of any script in lower case, all else becomes `_`.",
    params: &[Param::data("query", "the rows: (SELECT ...) or TABLE t")],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT first_name, first_name_2, column_2024 FROM clean_names((SELECT 'a' AS \"First name\", 'b' AS \"first-name\", 'c' AS \"2024\"))",
            result: "a,b,c",
        },
        Example {
            sql: "SELECT customer_id, http_status FROM clean_names((SELECT 7 AS \"customerID\", 200 AS \"HTTPStatus\"))",
            result: "7,200",
        },
    ],
    source: "janitor's clean_names: `customerID` becomes `customer_id`; a name that begins with a digit, or has neither \
        letters nor digits, begins with `column`; what would be the same name twice is numbered, `x`, `x_2`",
    also: &["janitor::clean_names", "pyjanitor.clean_names"],
};

#[derive(Debug)]
pub struct CleanNames;

impl Relation for CleanNames {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let fields = call.schema(0).fields().iter();
        let cleaned = numbered(fields.map(|f| identifier(f.name())));
        let columns: Vec<String> = call
            .columns(0)
            .iter()
            .zip(&cleaned)
            .map(|(column, name)| format!("{column} AS {}", quoted(name)))
            .collect();
        let (columns, table) = (columns.join(", "), call.table(0));
        Ok(Expansion::Sql(format!("SELECT {columns} FROM {table}")))
    }
}

/// A name as an identifier.
fn identifier(name: &str) -> String {
    let cleaned = clean(&words(name));
    match cleaned.chars().next() {
        None => "column".to_string(),
        Some(c) if c.is_numeric() => format!("column_{cleaned}"),
        Some(_) => cleaned,
    }
}

/// Sets the words of camel case apart: `customerID` is `customer ID`, `HTTPStatus` is `HTTP Status`.
fn words(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut words = String::with_capacity(name.len() + 8);
    for (i, &c) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| letters[i]);
        let after = letters.get(i + 1).copied();
        let begins = match before {
            Some(before) if c.is_uppercase() => {
                before.is_lowercase()
                    || (before.is_uppercase() && after.is_some_and(char::is_lowercase))
            }
            _ => false,
        };
        if begins {
            words.push(' ');
        }
        words.push(c);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        for (name, expected) in [
            ("Age", "age"),
            ("education-num", "education_num"),
            ("  % of Total ", "of_total"),
            ("customerID", "customer_id"),
            ("HTTPStatusCode", "http_status_code"),
            ("PM2.5", "pm2_5"),
            ("x1", "x1"),
            ("2024 sales", "column_2024_sales"),
            ("Größe", "größe"),
            ("年齢", "年齢"),
            ("%", "column"),
            ("", "column"),
            ("ALLCAPS", "allcaps"),
        ] {
            assert_eq!(identifier(name), expected, "{name}");
        }
    }
}
