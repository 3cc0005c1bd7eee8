//! The names there are in a session: tables, their columns, functions.

use std::collections::BTreeSet;

use datafusion::execution::context::SessionContext;
use seedbed_udfs::spec::{Kind, Spec, Stage};

/// The tables and views, without those of information_schema.
pub fn tables(ctx: &SessionContext) -> Vec<String> {
    let mut names = BTreeSet::new();
    for catalog in ctx.catalog_names() {
        let Some(catalog) = ctx.catalog(&catalog) else {
            continue;
        };
        for schema in catalog.schema_names() {
            if schema != "information_schema" {
                names.extend(
                    catalog
                        .schema(&schema)
                        .into_iter()
                        .flat_map(|s| s.table_names()),
                );
            }
        }
    }
    names.into_iter().collect()
}

/// The declarations of Seedbed's own functions.
pub fn specs() -> Vec<&'static Spec> {
    let mut specs: Vec<_> = seedbed_udfs::registry::functions()
        .iter()
        .map(|f| f.spec())
        .chain(seedbed::sql::relations::specs())
        .chain(seedbed::sql::selectors::SPECS)
        // called by their names in BigQuery, under which they are explained
        .filter(|spec| spec.stage != Stage::BigQuery)
        .collect();
    specs.sort_by_key(|spec| (spec.stage, spec.name));
    specs
}

/// All functions, Seedbed's and DataFusion's.
pub fn functions(ctx: &SessionContext) -> Vec<String> {
    let mut names: BTreeSet<String> = specs().iter().map(|s| s.name.to_string()).collect();
    let state = ctx.state_ref();
    let state = state.read();
    names.extend(state.scalar_functions().keys().cloned());
    names.extend(state.aggregate_functions().keys().cloned());
    names.extend(state.window_functions().keys().cloned());
    names.extend(state.table_functions().keys().cloned());
    // What begins with an underscore is called by rewrites, not by people.
    let hidden = |n: &String| n.starts_with('_') || n.starts_with("ml_");
    names.into_iter().filter(|n| !hidden(n)).collect()
}

/// The functions that stand in FROM.
pub fn relations(ctx: &SessionContext) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = specs()
        .iter()
        .filter(|s| s.kind == Kind::Relation)
        .map(|s| s.name.to_string())
        .collect();
    names.extend(ctx.state_ref().read().table_functions().keys().cloned());
    names
}
