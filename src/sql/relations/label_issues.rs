//! `label_issues((q), label)`: rows whose label is likely wrong.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, plan_err};
use seedbed_udfs::fitted::counts::category_type;
use seedbed_udfs::learn::label_issues::{FilterBy, LabelIssues as Kernel, Source};
use seedbed_udfs::predict::features::Feature;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};
use seedbed_udfs::table::Whole;

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::{Column, Values};
use super::check_added;
use crate::plan::TableNode;

const SPEC: Spec = Spec {
    name: "label_issues",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "The rows, and which of their labels are likely wrong, by confident learning.",
    params: &[
        Param::data(
            "query",
            "the rows: (SELECT ...) or TABLE t. Columns label_quality (the probability of the row's own label), \
             suggested_label (the most probable one) and is_issue are added, NULL where the label is",
        ),
        Param::required(
            "label",
            "the column of classes: text, whole numbers, true and false",
        ),
        Param::option(
            "features",
            "NULL",
            "the columns the label is predicted by, as [a, b]; all others by default, but lists and structs. Numbers and \
             dates are standardised, missing ones the mean and an indicator; of texts the 100 most frequent count each for \
             itself, the others as one",
        ),
        Param::option(
            "folds",
            "5",
            "a row's probabilities are those of a model of the rows of the other folds, at least 2; each class is spread \
             evenly over them, by a hash of the rows",
        ),
        Param::option("seed", "0", "another seed makes other folds"),
        Param::option(
            "c",
            "1.0",
            "the inverse of the penalty of the logistic regression, above 0: small values keep it simple",
        ),
        Param::option(
            "probabilities",
            "NULL",
            "columns with probabilities of a model of your own, as ['p_a', 'p_b']: one a class, in the order of the labels, \
             each for rows that the model has not seen",
        ),
        Param::option(
            "filter_by",
            "'prune_by_noise_rate'",
            "which rows are issues: 'prune_by_noise_rate', 'prune_by_class', 'both' of them, 'confident_learning' or \
             'predicted_neq_given'",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT x, label, suggested_label FROM label_issues((SELECT value AS x, CASE WHEN value = 3 OR value > 10 THEN 'high' ELSE 'low' END AS label FROM generate_series(1, 20)), label => label) WHERE is_issue",
            result: "3,high,low",
        },
        Example {
            sql: "SELECT id, label, label_quality, suggested_label, is_issue FROM label_issues((SELECT * FROM (VALUES (1, 'a', 0.9, 0.1), (2, 'a', 0.8, 0.2), (3, 'a', 0.1, 0.9), (4, 'b', 0.2, 0.8), (5, 'b', 0.3, 0.7)) AS t(id, label, p_a, p_b)), label => label, probabilities => ['p_a', 'p_b']) ORDER BY id",
            result: "1,a,0.9,a,false\n2,a,0.8,a,false\n3,a,0.1,b,true\n4,b,0.8,b,false\n5,b,0.7,b,false",
        },
    ],
    source: "Northcutt, Jiang and Chuang (2021), Confident Learning, as cleanlab's find_label_issues computes it; label_quality is \
        cleanlab's self_confidence. The model is multinomial logistic regression with an L2 penalty, as scikit-learn's \
        LogisticRegression",
    also: &[
        "cleanlab.filter.find_label_issues",
        "cleanlab.rank.get_label_quality_scores",
    ],
};

#[derive(Debug)]
pub struct LabelIssues;

impl Relation for LabelIssues {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let columns = Column::of(call, 0);
        let place = |quoted: &String| columns.iter().position(|c| c.quoted == *quoted);
        let Some(label) = place(&call.column(0, "label")?) else {
            return options.wrong("label", "a column of the table");
        };
        let data_type = &columns[label].data_type;
        if data_type.is_floating() {
            return plan_err!(
                "{0}: label must have classes, not {data_type}. Write bucketize(...) to make classes of numbers, or CAST({1} AS BIGINT)",
                SPEC.name,
                columns[label].quoted
            );
        }
        let label_type = category_type(&SPEC, "label", data_type)?;
        check_added(call, &["label_quality", "suggested_label", "is_issue"])?;
        for column in &columns {
            Whole::check_type(&SPEC, &column.name, &column.data_type)?;
        }
        let filter_by = match options.choice(
            "filter_by",
            &[
                "prune_by_noise_rate",
                "prune_by_class",
                "both",
                "confident_learning",
                "predicted_neq_given",
            ],
        )? {
            "prune_by_class" => FilterBy::Class,
            "both" => FilterBy::Both,
            "confident_learning" => FilterBy::ConfidentLearning,
            "predicted_neq_given" => FilterBy::Predicted,
            _ => FilterBy::NoiseRate,
        };
        let source = if options.is_null("probabilities") {
            let features = if options.is_null("features") {
                (0..columns.len())
                    .filter(|i| *i != label && columns[*i].values != Values::Opaque)
                    .collect()
            } else {
                let chosen = call.column_list(0, "features")?;
                chosen.iter().filter_map(place).collect::<Vec<_>>()
            };
            if features.is_empty() || features.contains(&label) {
                return options.wrong("features", "columns other than the label, as in [a, b]");
            }
            let folds = options.integer("folds", 2)?;
            if folds > 1000 {
                return options.wrong("folds", "a whole number from 2 to 1000");
            }
            let c = options.float("c")?;
            if !(c > 0.0 && c <= 1e9) {
                return options.wrong("c", "above 0");
            }
            Source::Model {
                features: features
                    .into_iter()
                    .map(|i| Ok((i, feature(&columns[i])?)))
                    .collect::<Result<_>>()?,
                folds: folds.unsigned_abs() as usize,
                seed: options.integer("seed", 0)?,
                c,
            }
        } else {
            let chosen = call.column_list(0, "probabilities")?;
            let chosen: Vec<usize> = chosen.iter().filter_map(place).collect();
            if let Some(i) = chosen
                .iter()
                .find(|i| columns[**i].values != Values::Number)
            {
                return options.wrong(
                    "probabilities",
                    format!("columns of numbers: {} is none", columns[*i].name),
                );
            }
            Source::Columns(chosen)
        };
        let fields: Vec<Field> = columns
            .iter()
            .map(|c| Field::new(&c.name, c.data_type.clone(), true))
            .collect();
        let kernel = Arc::new(Kernel::new(&fields, (label, label_type), source, filter_by));
        Ok(Expansion::Plan(TableNode::over(
            kernel,
            call.input(0)?.clone(),
        )?))
    }
}

/// How a column is a feature.
fn feature(column: &Column) -> Result<Feature> {
    Ok(match column.values {
        Values::Number => Feature::Number(None),
        Values::Time => Feature::Number(Some(DataType::Int64)),
        Values::Category => Feature::Category(category_type(&SPEC, "features", &column.data_type)?),
        Values::Opaque => {
            return plan_err!(
                "{}: features cannot have {}, which is a {}",
                SPEC.name,
                column.name,
                column.data_type
            );
        }
    })
}
