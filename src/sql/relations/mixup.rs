//! `mixup((q), label)`: convex combinations of pairs of rows.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use seedbed_udfs::augment::mixup::{Mix, Mixup as Kernel, Wanted};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};
use seedbed_udfs::table::Whole;

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::{Column, Values};
use super::check_added;
use crate::plan::TableNode;

pub const LABEL: Param = Param::option(
    "label",
    "NULL",
    "the column that is learnt. A float, decimal or boolean is combined like other numbers (a boolean becomes the \
     share of true); of classes, in text or whole numbers, both are given, as label_a, with the weight lambda, and \
     label_b, with 1 - lambda",
);

pub const N: Param = Param::option("n", "NULL", "how many rows are made; ratio if left out");

pub const RATIO: Param = Param::option(
    "ratio",
    "1.0",
    "how many rows are made for each of the table",
);

pub const SEED: Param = Param::option(
    "seed",
    "0",
    "another seed makes other rows; the same seed makes the same, whatever the order and number of partitions",
);

const SPEC: Spec = Spec {
    name: "mixup",
    stage: Stage::Random,
    kind: Kind::Relation,
    summary: "New rows, each between two rows of a table: lambda of the one and 1 - lambda of the other.",
    params: &[
        Param::data(
            "query",
            "the rows: (SELECT ...) or TABLE t. Numbers and booleans are combined, as DOUBLE or REAL, NULL where one of the \
             two is; of other columns the value of the row with the larger share is taken",
        ),
        LABEL,
        Param::option(
            "alpha",
            "0.2",
            "lambda is drawn from Beta(alpha, alpha), above 0: small values stay near one of the two rows, 1 is uniform",
        ),
        N,
        RATIO,
        SEED,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT count(*), min(x) >= 1, max(x) <= 100, max(abs(y - 2 * x)) < 1e-9 FROM mixup((SELECT value AS x, value * 2.0 AS y FROM generate_series(1, 100)), label => y, ratio => 3)",
            result: "300,true,true,true",
        },
        Example {
            sql: "SELECT round(x, 3), kind_a, kind_b, round(lambda, 3) FROM mixup((SELECT * FROM (VALUES (1.0, 'a'), (2.0, 'b')) AS t(x, kind)), label => kind, alpha => 1, n => 2, seed => 1) ORDER BY lambda",
            result: "1.45,b,a,0.45\n1.23,a,b,0.77",
        },
    ],
    source: "Zhang et al. (2018), mixup: Beyond Empirical Risk Minimization: each round pairs all rows with a permutation of \
        them. Train on label_a and label_b as sum of losses, lambda * loss(label_a) + (1 - lambda) * loss(label_b), which is the \
        paper's one-hot target",
    also: &[
        "torchvision.transforms.v2.MixUp",
        "timm.data.Mixup",
        "keras_cv.layers.MixUp",
    ],
};

#[derive(Debug)]
pub struct Mixup;

impl Relation for Mixup {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        made(call, &SPEC, |column| {
            let number = column.values == Values::Number || column.data_type == DataType::Null;
            if number { Mix::Combined } else { Mix::Larger }
        })
    }
}

/// Rows made of pairs of rows; `mix` says what becomes of a column that is not the label.
pub fn made(
    call: &Call<'_>,
    spec: &'static Spec,
    mix: impl Fn(&Column) -> Mix,
) -> Result<Expansion> {
    let options = call.options();
    let label = match options.is_null("label") {
        true => None,
        false => Some(call.column(0, "label")?),
    };
    let alpha = options.float("alpha")?;
    if !(alpha > 0.0 && alpha <= 1e6) {
        return options.wrong("alpha", "above 0 and at most 1000000");
    }
    let wanted = if options.is_null("n") {
        Wanted::Ratio(options.float_in("ratio", 0.0, 1e6)?)
    } else {
        Wanted::Rows(options.integer("n", 0)?.unsigned_abs())
    };
    let seed = options.integer("seed", 0)?;
    let mut columns = Vec::new();
    for column in Column::of(call, 0) {
        Whole::check_type(spec, &column.name, &column.data_type)?;
        let is_label = label.as_ref() == Some(&column.quoted);
        let mix = match is_label {
            true if soft(&column.data_type) => Mix::Combined,
            true => Mix::Both,
            false => mix(&column),
        };
        if mix == Mix::Both {
            let added = ["a", "b"].map(|side| format!("{}_{side}", column.name));
            check_added(call, &[&added[0], &added[1]])?;
        }
        columns.push((column.name, column.data_type, mix));
    }
    check_added(call, &["lambda"])?;
    let kernel = Arc::new(Kernel::new(spec, &columns, alpha, wanted, seed));
    Ok(Expansion::Plan(TableNode::over(
        kernel,
        call.input(0)?.clone(),
    )?))
}

/// Whether a label is a number that may be any between two others.
fn soft(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => soft(values),
        DataType::Boolean => true,
        other => other.is_numeric() && !other.is_integer(),
    }
}
