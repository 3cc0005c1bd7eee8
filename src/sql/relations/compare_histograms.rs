//! `compare_histograms((a), (b))`: the distributions of two tables' columns, in the same bins.

use std::sync::Arc;

use datafusion::common::Result;
use seedbed_udfs::evaluate::histograms::Histograms;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::compared::{Compared, over};

const SPEC: Spec = Spec {
    name: "compare_histograms",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "A row a column and bin: the shares of two tables' rows in it, to be drawn over each other.",
    params: &[
        Param::data(
            "reference",
            "the rows to compare with: (SELECT ...) or TABLE t",
        ),
        Param::data(
            "current",
            "the rows to look at; columns go together by name",
        ),
        Param::option(
            "bins",
            "30",
            "bins of numbers and times, of the same width over both tables; where there are no more different values, each is \
             a bin",
        ),
        Param::option(
            "categories",
            "20",
            "of texts so many of the most frequent, the others together",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT * FROM compare_histograms((SELECT value AS x FROM generate_series(1, 8)), (SELECT value * 2 AS x FROM generate_series(1, 4)), bins => 2)",
            result: "x,number,1.0,4.5,,0.5,0.5\nx,number,4.5,8.0,,0.5,0.5",
        },
        Example {
            sql: "SELECT kind, category, reference, current FROM compare_histograms((SELECT * FROM (VALUES ('a'), ('a'), ('b'), (NULL)) AS t(x)), (SELECT 'a' AS x), categories => 1)",
            result: "category,a,0.5,1.0\nother,,0.25,0.0\nmissing,,0.25,0.0",
        },
    ],
    source: "shares of all rows of a table. kind is 'number' (low and high are the bin's bounds, of times in seconds since 1970; the \
        last bin has its upper one too), 'category', 'other' or 'missing'",
    also: &[
        "numpy.histogram",
        "seaborn.histplot",
        "evidently.DataDriftPreset",
    ],
};

#[derive(Debug)]
pub struct CompareHistograms;

impl Relation for CompareHistograms {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let count = |name: &str| match usize::try_from(options.integer(name, 1)?) {
            Ok(n) if n <= 10_000 => Ok(n),
            _ => options.wrong(name, "a whole number from 1 to 10000"),
        };
        let (bins, categories) = (count("bins")?, count("categories")?);
        let Compared { columns, query } = Compared::of(call, &["reference", "current"], &[])?;
        let function = Arc::new(Histograms::new(columns, bins, categories));
        Ok(over(call, query, function))
    }
}
