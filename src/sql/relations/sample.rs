//! `sample('model', n)` and `gan_sample('model', n)`: rows drawn from a trained model.

use std::sync::Arc;

use datafusion::common::Result;
use seedbed_udfs::spec::{Kind, Param, Spec, Stage};
use seedbed_udfs::synthesize::check_draws;

use crate::plan::SampleTable;
use crate::sql::relation::{Call, Expansion, Relation};

const PARAMS: &[Param] = &[
    Param::required("model", "the model's name, as SHOW MODELS lists it"),
    Param::option(
        "n",
        "NULL",
        "how many rows; as many as it was trained on if left out",
    ),
    Param::option(
        "seed",
        "NULL",
        "another seed gives other rows; seedbed.seed if left out",
    ),
];

const fn spec(name: &'static str) -> Spec {
    Spec {
        name,
        stage: Stage::Synthesize,
        kind: Kind::Relation,
        summary: "Rows drawn from a trained model. Row i depends on the seed and i alone, so the same rows come at any \
            parallelism; columns that are not asked for are not decoded, rows past a LIMIT not drawn. A WHERE that compares columns with \
            constants (=, <>, IN, <, <=, >, >=, BETWEEN, IS NULL, joined by AND) steers: the n rows are drawn from the \
            model's distribution given it, directly by circuit and copula, by ctgan from the categories of a column, by \
            drawing until a row passes elsewhere. Anything else filters the n rows.",
        params: PARAMS,
        variadic: false,
        examples: &[],
        source: "the model's kind; see SHOW MODELS",
        also: &["sample (SDV, CTGAN)"],
    }
}

const SAMPLE: Spec = spec("sample");
const GAN_SAMPLE: Spec = spec("gan_sample");

/// The relation, under one of its two names.
#[derive(Debug)]
pub struct Sample {
    spec: &'static Spec,
}

impl Sample {
    /// Both names.
    pub fn both() -> [Arc<dyn Relation>; 2] {
        [
            Arc::new(Self { spec: &SAMPLE }),
            Arc::new(Self { spec: &GAN_SAMPLE }),
        ]
    }
}

impl Relation for Sample {
    fn spec(&self) -> &'static Spec {
        self.spec
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let name = options.text("model")?;
        let model = call.env().store()?.model(&name)?;
        check_draws(self.spec.name, &name, model.as_ref())?;
        let rows = if options.is_null("n") {
            model.trained_on()
        } else {
            options.integer("n", 0)?.unsigned_abs()
        };
        let seed = call.seed()?;
        Ok(Expansion::Table(Arc::new(SampleTable::new(
            name, model, rows, seed,
        ))))
    }
}
