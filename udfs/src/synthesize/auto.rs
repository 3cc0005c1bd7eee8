//! `USING auto`: the kind that suits the data, and why.

use std::sync::Arc;

use datafusion_common::{Result, exec_err, plan_err};

use super::wrapped::Wrapped;
use super::{
    Accepts, Data, Kind, Model, ModelFile, OptionSpec, Options, Watch, codec, kinds, parse_options,
};

/// Fewer rows than this are too few for a model with many parameters.
const FEW_ROWS: usize = 500;

/// Cells beyond which a model that is trained in passes over the rows takes long.
const MANY_CELLS: usize = 100_000_000;

/// Columns beyond which a model of all pairs of columns takes long.
const MANY_COLUMNS: usize = 500;

/// The kind `auto`: another one.
#[derive(Debug, Clone, Copy)]
pub struct Auto;

impl Kind for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn summary(&self) -> &'static str {
        "the kind that suits the number of rows and columns; DESCRIBE MODEL says which and why"
    }

    /// What every kind of table model has: the others' own are left at their defaults.
    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = vec![OptionSpec {
            name: "seed",
            accepts: Accepts::Integer {
                default: 0,
                min: 0,
                max: i64::MAX,
            },
            help: "same seed, same data: same model",
        }];
        specs.extend(codec::options());
        specs
    }

    fn train(&self, data: &Data, options: &Options, watch: &dyn Watch) -> Result<Arc<dyn Model>> {
        let (kind, reason) = choose(data)?;
        let given = options.changed(&self.options());
        let options = parse_options(kind.as_ref(), &given)?;
        let model = kind.train(data, &options, watch)?;
        Ok(Arc::new(Wrapped::chosen(model, reason)))
    }

    fn load(&self, _: &ModelFile) -> Result<Arc<dyn Model>> {
        exec_err!("the model file is damaged: no model is of the kind auto itself")
    }
}

/// The kind that suits some data, and the reason in words.
fn choose(data: &Data) -> Result<(Arc<dyn Kind>, String)> {
    let (rows, columns) = (data.num_rows(), data.schema().fields().len());
    let (order, reason) = preferred(rows, columns);
    let kinds = kinds();
    let found = order
        .iter()
        .find_map(|name| kinds.iter().find(|kind| kind.name() == *name));
    match found {
        Some(kind) => Ok((Arc::clone(kind), format!("{}: {reason}", kind.name()))),
        None => plan_err!("USING auto found no kind of model for tables"),
    }
}

/// Kinds from the most suitable on, and what decides.
fn preferred(rows: usize, columns: usize) -> (&'static [&'static str], String) {
    if rows < FEW_ROWS {
        let reason = format!(
            "{rows} rows are fewer than {FEW_ROWS}, too few for a model of many parameters"
        );
        (&["copula", "circuit", "tvae", "gan"], reason)
    } else if columns > MANY_COLUMNS {
        let reason = format!(
            "{columns} columns are more than {MANY_COLUMNS}, too many to look at all pairs of them"
        );
        (&["tvae", "ctgan", "gan", "circuit"], reason)
    } else if rows.saturating_mul(columns) > MANY_CELLS {
        let reason = format!("{rows} rows of {columns} columns are much to pass over many times");
        (&["copula", "circuit", "tvae", "gan"], reason)
    } else {
        let reason = format!(
            "{rows} rows of {columns} columns are enough for the most exact kind, and not too many for it"
        );
        (&["circuit", "ctgan", "tvae", "gan"], reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_looks_at_rows_and_columns() {
        let first = |rows, columns| preferred(rows, columns).0[0];
        assert_eq!(first(100, 5), "copula");
        assert_eq!(first(30_000, 15), "circuit");
        assert_eq!(first(10_000, 2000), "tvae");
        assert_eq!(first(20_000_000, 30), "copula");
        for (rows, columns) in [(0, 0), (1, 1), (usize::MAX, 1000), (10_000, usize::MAX)] {
            // Whatever is registered, one of every list is.
            assert!(preferred(rows, columns).0.contains(&"gan"));
        }
    }
}
