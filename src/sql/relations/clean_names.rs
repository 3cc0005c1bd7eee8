//! `clean_names((q))`: columns under names that need no quotes.

use datafusion::common::Result;
use seedbed_udfs::clean::clean_name::clean_name;
use seedbed_udfs::encode::names::numbered;
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
            sql: "SELECT first_name, first_name_2, _2024 FROM clean_names((SELECT 'a' AS \"First name\", 'b' AS \"first-name\", 'c' AS \"2024\"))",
            result: "a,b,c",
        },
        Example {
            sql: "SELECT customer_id, http_status FROM clean_names((SELECT 7 AS \"customerID\", 200 AS \"HTTPStatus\"))",
            result: "7,200",
        },
    ],
    source: "janitor's clean_names; each name is what clean_name makes of it, and what would be the same name twice is \
        numbered, `x`, `x_2`",
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
        let cleaned = numbered(fields.map(|field| {
            let mut name = String::new();
            clean_name(field.name(), &mut name);
            name
        }));
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
