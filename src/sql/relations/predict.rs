//! `predict('model', (q))` and `evaluate('model', (q))`: what a trained model makes of rows, and how well.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, Result, plan_err};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF, cast,
};
use seedbed_udfs::images::value::is_picture;
use seedbed_udfs::options::nearest;
use seedbed_udfs::predict::{Classifier, Evaluate as Kernel, PredictUdf};
use seedbed_udfs::spec::{Kind, Param, Spec, Stage};
use seedbed_udfs::synthesize::Model;

use super::super::relation::{Call, Expansion, Relation, quoted};
use super::super::transform::compatible;
use super::{check_added, free};
use crate::plan::TableNode;

const MODEL: Param = Param::required(
    "model",
    "the model's name, as SHOW MODELS lists it; one of a kind that predicts: logistic, mlp, boosting or cnn",
);

const PREDICT: Spec = Spec {
    name: "predict",
    stage: Stage::Predict,
    kind: Kind::Relation,
    summary: "The rows with what a trained model predicts: prediction (the most probable class), probability (its own) and \
        probabilities (a struct with a field a class, as in probabilities['yes']). The model prepares the columns itself, \
        as it did when it learnt.",
    params: &[
        MODEL,
        Param::data(
            "query",
            "the rows; the model's columns are found by their names, the label may be absent, others stay as they are",
        ),
    ],
    variadic: false,
    examples: &[],
    source: "predict and predict_proba of scikit-learn's classifiers; of equally probable classes the first in order. A \
        category that the model has not seen is none of its features, a missing number is the mean; what is no picture has no \
        prediction",
    also: &[
        "predict, predict_proba (scikit-learn)",
        "ML.PREDICT (BigQuery ML)",
    ],
};

const EVALUATE: Spec = Spec {
    name: "evaluate",
    stage: Stage::Predict,
    kind: Kind::Relation,
    summary: "How well a trained model predicts the label of rows: a row a metric. Accuracy, log_loss, auc and the means of \
        precision, recall and f1 over the classes have no class; precision, recall, f1 and support are told of each class, \
        and confusion counts how often a class was taken for another (predicted).",
    params: &[
        MODEL,
        Param::data(
            "query",
            "the rows, the label among their columns; rows where it is NULL are counted and left out",
        ),
        Param::option(
            "auc",
            "true",
            "false leaves AUC out, the one metric that holds the probabilities of all rows, 8 bytes a row and class",
        ),
    ],
    variadic: false,
    examples: &[],
    source: "scikit-learn's accuracy_score, log_loss (probabilities at least 2.2e-16), roc_auc_score (of two classes that of the \
        second in order, of more the mean of each against the others, multi_class='ovr'; NULL if a class has no row), \
        precision_recall_fscore_support and confusion_matrix. A class that the model does not know has probability 0",
    also: &[
        "classification_report, confusion_matrix (scikit-learn)",
        "ML.EVALUATE, ML.CONFUSION_MATRIX (BigQuery ML)",
    ],
};

/// The model that a call names, if it predicts.
struct Predicting {
    function: &'static str,
    name: String,
    model: Arc<dyn Model>,
}

impl Predicting {
    fn of(call: &Call<'_>) -> Result<Self> {
        let function = call.options().spec().name;
        let name = call.options().text("model")?;
        let model = call.env().store()?.model(&name)?;
        Ok(Self {
            function,
            name,
            model,
        })
    }

    fn classifier(&self) -> Result<&Classifier> {
        match self.model.classifier() {
            Some(classifier) => Ok(classifier),
            None => plan_err!(
                "{}: {} is a model of kind {}, which draws rows and predicts nothing. Write SELECT * FROM sample('{}'), or \
                 CREATE MODEL ... USING logistic OPTIONS (label 'column') AS SELECT ...",
                self.function,
                self.name,
                self.model.kind(),
                self.name
            ),
        }
    }

    /// The table's column of a name and type that the model knows.
    fn column(&self, input: &LogicalPlan, field: &Field) -> Result<Expr> {
        let (function, model, name) = (self.function, &self.name, field.name());
        let schema = input.schema();
        let Ok((qualifier, found)) = schema.qualified_field_with_unqualified_name(name) else {
            let have = schema.fields().iter().map(|f| f.name().as_str());
            let near = nearest(name, have)
                .map(|n| {
                    let (n, name) = (quoted(n), quoted(name));
                    format!(" The nearest is {n}: write SELECT {n} AS {name}, ... FROM ...")
                })
                .unwrap_or_default();
            return plan_err!(
                "{function}: model {model} needs a column {name}, which the table lacks.{near}"
            );
        };
        let (from, to) = (found.data_type(), field.data_type());
        let column = Expr::Column(Column::from((qualifier, found)));
        if from == to || (is_picture(from) && is_picture(to)) {
            return Ok(column);
        }
        if !compatible(from, to) {
            return plan_err!(
                "{function}: column {name} was {to} when model {model} was trained and is {from} now. Write CAST({name} AS \
                 ...), or the cleaning function that makes it {to}"
            );
        }
        column.cast_to(to, schema)
    }

    /// What the model makes of each row, a struct.
    fn row(&self, input: &LogicalPlan) -> Result<Expr> {
        let inputs = self.classifier()?.inputs();
        let arguments = inputs
            .fields()
            .iter()
            .map(|field| self.column(input, field))
            .collect::<Result<_>>()?;
        let udf = PredictUdf::new(&self.name, Arc::clone(&self.model));
        Ok(ScalarUDF::from(udf).call(arguments))
    }
}

#[derive(Debug)]
pub struct Predict;

impl Relation for Predict {
    fn spec(&self) -> &'static Spec {
        &PREDICT
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let predicting = Predicting::of(call)?;
        let outputs = predicting.classifier()?.outputs();
        let added: Vec<&str> = outputs.iter().map(|f| f.name().as_str()).collect();
        check_added(call, &added)?;
        let input = call.input(0)?;
        let [told] =
            free(&call.columns(0), ["told"]).map(|name| name.trim_matches('"').to_string());
        let mut first = call.exprs(0);
        let mut last = first.clone();
        first.push(predicting.row(input)?.alias(&told));
        let told = Expr::Column(Column::new_unqualified(told));
        last.extend(
            added
                .iter()
                .map(|name| get_field(told.clone(), *name).alias(*name)),
        );
        let plan = LogicalPlanBuilder::from(input.clone())
            .project(first)?
            .project(last)?
            .build()?;
        Ok(Expansion::Plan(plan))
    }
}

#[derive(Debug)]
pub struct Evaluate;

impl Relation for Evaluate {
    fn spec(&self) -> &'static Spec {
        &EVALUATE
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let predicting = Predicting::of(call)?;
        let classifier = predicting.classifier()?;
        let input = call.input(0)?;
        let label = predicting.column(input, classifier.label())?;
        let label = cast(label, DataType::Utf8).alias("label");
        let told = get_field(predicting.row(input)?, "probabilities").alias("told");
        let told = LogicalPlanBuilder::from(input.clone())
            .project([label, told])?
            .build()?;
        let auc = call.options().bool("auc")?;
        let kernel = Kernel::new(&predicting.name, classifier.classes(), auc);
        Ok(Expansion::Plan(TableNode::over(Arc::new(kernel), told)?))
    }
}
