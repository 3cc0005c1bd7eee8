//! `complete('model', (q))` and `impute_model('model', (q))`: rows continued and filled by a trained model.

use std::sync::Arc;

use datafusion::common::{Column, ExprSchema, Result, plan_err};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::functions::math::expr_fn::isnan;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF, cast, when,
};
use seedbed_udfs::spec::{Kind, Param, Spec, Stage};
use seedbed_udfs::synthesize::{CompleteUdf, Fill, Model};

use super::super::relation::{Call, Expansion, Relation};
use super::{free, shuffled};

const MODEL: Param = Param::required(
    "model",
    "the model's name, as SHOW MODELS lists it; one of kind circuit",
);
const SEED: Param = Param::option(
    "seed",
    "NULL",
    "another seed draws other values; seedbed.seed if left out",
);

const COMPLETE: Spec = Spec {
    name: "complete",
    stage: Stage::Synthesize,
    kind: Kind::Relation,
    summary: "The rows with the model's columns that they lack: drawn, all together, given what the row holds of the others. A \
        NULL counts as what it is, a value the model has never seen as unknown.",
    params: &[
        MODEL,
        Param::data(
            "query",
            "the rows; columns are the model's by their names, others stay as they are",
        ),
        SEED,
    ],
    variadic: false,
    examples: &[],
    source: "exact conditional sampling in the circuit, by passing messages up the tree and drawing down",
    also: &["conditional sampling of partial rows: SDV's sample_remaining_columns"],
};

const IMPUTE: Spec = Spec {
    name: "impute_model",
    stage: Stage::Synthesize,
    kind: Kind::Relation,
    summary: "The rows with NULL and NaN in columns that the model knows replaced: drawn, all of a row together, given what the \
        row holds.",
    params: &[
        MODEL,
        Param::data(
            "query",
            "the rows; columns are the model's by their names, others stay as they are",
        ),
        SEED,
    ],
    variadic: false,
    examples: &[],
    source: "exact conditional sampling in the circuit: what is not known is summed out, and values are drawn, not means, so that \
        a column keeps its spread",
    also: &[
        "sklearn.impute.IterativeImputer(sample_posterior=True)",
        "MICE",
    ],
};

/// The relation, in one of its two forms.
#[derive(Debug)]
pub struct Complete {
    spec: &'static Spec,
    fill: Fill,
}

impl Complete {
    /// Both forms.
    pub fn both() -> [Arc<dyn Relation>; 2] {
        let form = |spec, fill| Arc::new(Self { spec, fill }) as Arc<dyn Relation>;
        [form(&COMPLETE, Fill::Absent), form(&IMPUTE, Fill::Nulls)]
    }
}

impl Relation for Complete {
    fn spec(&self) -> &'static Spec {
        self.spec
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let name = options.text("model")?;
        let model = call.env().store()?.model(&name)?;
        if !model.completes() {
            return plan_err!(
                "{}: {name} is a model of kind {}, which cannot continue rows; one of kind circuit can. \
                 Write CREATE OR REPLACE MODEL {name} USING circuit AS SELECT ...",
                self.spec.name,
                model.kind()
            );
        }
        let fields = call.schema(0).fields();
        let learnt = model.schema();
        let given: Vec<usize> = fields
            .iter()
            .filter_map(|field| learnt.index_of(field.name()).ok())
            .collect();
        if given.is_empty() {
            let names: Vec<&str> = learnt.fields().iter().map(|f| f.name().as_str()).collect();
            return plan_err!(
                "{}: the rows have no column of model {name}, which has {}",
                self.spec.name,
                names.join(", ")
            );
        }
        let wanted = match self.fill {
            Fill::Nulls => given.clone(),
            Fill::Absent => {
                let absent = |column: &usize| !given.contains(column);
                (0..learnt.fields().len()).filter(absent).collect()
            }
        };
        let seed = call.seed()?;
        let rows = shuffled(call, seed as i64);
        let columns = call.columns(0);
        let [key] = free(&columns, ["key"]);
        let node = call.node();
        let sql = format!(
            "SELECT * FROM {node}((SELECT {}, {} AS {key} FROM ({})))",
            columns.join(", "),
            rows.key,
            rows.query
        );
        let work = Work {
            fill: self.fill,
            name,
            model,
            given,
            wanted,
        };
        Ok(Expansion::Around(
            node,
            sql,
            Box::new(move |plans| work.plan(plans)),
        ))
    }
}

/// What is done to the rows and their keys.
struct Work {
    fill: Fill,
    name: String,
    model: Arc<dyn Model>,
    given: Vec<usize>,
    wanted: Vec<usize>,
}

impl Work {
    /// The last column of the input is the key.
    fn plan(self, inputs: Vec<LogicalPlan>) -> Result<LogicalPlan> {
        let Some(input) = inputs.into_iter().next() else {
            return plan_err!("there are no rows to continue");
        };
        let schema = Arc::clone(input.schema());
        let mut columns = schema.columns();
        let Some(key) = columns.pop() else {
            return plan_err!("there are no rows to continue");
        };
        let learnt = Arc::clone(self.model.schema());
        let mut arguments = vec![Expr::Column(key.clone())];
        for column in &columns {
            if let Ok(at) = learnt.index_of(&column.name) {
                let wanted = learnt.field(at).data_type();
                arguments.push(Expr::Column(column.clone()).cast_to(wanted, schema.as_ref())?);
            }
        }
        let udf = CompleteUdf::new(
            self.name,
            Arc::clone(&self.model),
            self.fill,
            self.given,
            self.wanted.clone(),
        );
        let row = ScalarUDF::from(udf).call(arguments).alias(&key.name);
        let mut first: Vec<Expr> = columns.iter().cloned().map(Expr::Column).collect();
        first.push(row);
        let drawn = |name: &str| get_field(Expr::Column(Column::new_unqualified(&key.name)), name);
        let mut last = Vec::with_capacity(columns.len() + self.wanted.len());
        for column in &columns {
            let own = Expr::Column(column.clone());
            let known = learnt.index_of(&column.name).is_ok();
            if self.fill == Fill::Absent || !known {
                last.push(own);
                continue;
            }
            let data_type = schema.field_from_column(column)?.data_type().clone();
            let missing = match data_type.is_floating() {
                true => own.clone().is_null().or(isnan(own.clone())),
                false => own.clone().is_null(),
            };
            let filled = cast(drawn(&column.name), data_type);
            last.push(when(missing, filled).otherwise(own)?.alias(&column.name));
        }
        if self.fill == Fill::Absent {
            for &column in &self.wanted {
                let name = learnt.field(column).name();
                last.push(drawn(name).alias(name));
            }
        }
        LogicalPlanBuilder::from(input)
            .project(first)?
            .project(last)?
            .build()
    }
}
