//! `evaluate_synthesis((real), (synthetic))`: how good synthetic rows are.

use std::sync::Arc;

use datafusion::common::{Result, plan_err};
use seedbed_udfs::evaluate::{Detail, EvaluatePictures, EvaluateSynthesis as Kernel, Metric, Plan};
use seedbed_udfs::images::value::{is_image, is_picture};
use seedbed_udfs::options::nearest;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation, quoted};
use super::compared::{Compared, over};

const SPEC: Spec = Spec {
    name: "evaluate_synthesis",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "A row a metric: how like real rows synthetic ones are, what a model learnt from them is worth, and whether they give \
        real rows away. Tables of a column of pictures and their label, the target, are judged by a small network that learns \
        the label from the real pictures: the Fréchet distance of its features, their precision and recall, the accuracy of a \
        network that learnt synthetic pictures alone, and copies; each beside what the holdout has.",
    params: &[
        Param::data(
            "real",
            "the rows that the synthetic ones were learnt from: (SELECT ...) or TABLE t",
        ),
        Param::data(
            "synthetic",
            "the synthetic rows; columns go together by name",
        ),
        Param::optional_data(
            "holdout",
            "NULL",
            "real rows that were not learnt from: holdout => (SELECT ...). Models are tested on them, and nearness is judged by them",
        ),
        Param::option(
            "target",
            "NULL",
            "the column that models predict in tstr and trtr",
        ),
        Param::option(
            "metrics",
            "NULL",
            "some of [shape, trend, wnmis, c2st, tstr, privacy, coverage]; all by default",
        ),
        Param::option(
            "detail",
            "'columns'",
            "'summary' for the tables as wholes, 'columns' for each column too, 'pairs' for each pair of columns too",
        ),
        Param::option(
            "controls",
            "false",
            "true adds what the same metrics give of the real columns each drawn for itself (independent), of the real table \
             (copied) and of the holdout (held_out), between which the synthetic rows should be found",
        ),
        Param::option(
            "categorical",
            "NULL",
            "numbers that are codes of categories, as [a, b]",
        ),
        Param::option(
            "rows",
            "50000",
            "of so many rows of a table, at least 10, c2st, tstr and the distances of privacy are told; of more a sample is drawn",
        ),
        Param::option(
            "seed",
            "0",
            "another seed draws other samples, folds and controls",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT metric, column, value FROM evaluate_synthesis((SELECT value AS x, value % 2 = 0 AS even FROM generate_series(1, 10)), (SELECT value + 1 AS x, value % 2 = 1 AS even FROM generate_series(1, 10)), metrics => [shape])",
            result: "shape,,0.95\nks_complement,x,0.9\ntv_complement,even,1.0",
        },
        Example {
            sql: "SELECT metric, value FROM evaluate_synthesis((SELECT value AS x FROM generate_series(1, 100, 2)), (SELECT value AS x FROM generate_series(1, 100, 4)), holdout => (SELECT value AS x FROM generate_series(2, 100, 2)), metrics => [privacy]) WHERE metric IN ('dcr_share', 'copies')",
            result: "dcr_share,1.0\ncopies,1.0",
        },
    ],
    source: "SDMetrics' KSComplement, TVComplement, CorrelationSimilarity (Pearson; a pair with a constant has none), \
        ContingencySimilarity (10 bins of the real table's range), RangeCoverage, BoundaryAdherence, CategoryCoverage, \
        CategoryAdherence and MissingValueSimilarity. wnmis is the sum of |a - b| (a + b) over that of a + b, where a and b are the \
        normalised mutual information (scikit-learn's) of a pair of columns in both tables. c2st is 1 - (2 max(0.5, AUC) - 1), tstr \
        trains on the synthetic rows and trtr on the real ones, all by trees boosted as XGBoost's hist does by default (100 rounds, \
        depth 6, rate 0.3). dcr_share compares with as many real rows as the holdout has; the distance of rows is the sum over \
        columns of the difference of numbers over their range, at most 1, and 2 for categories that differ, as if one-hot. A whole \
        number of at most 20 values is a target of classes. Of pictures: Heusel et al. (2017) and Kynkäänniemi et al. (2019), with the 84 \
        features of a LeNet instead of Inception's. NULL where a metric has no value: meaning says why",
    also: &[
        "sdmetrics.reports.single_table.QualityReport",
        "sdmetrics.single_table.LogisticDetection",
        "synthcity.metrics.Metrics",
    ],
};

#[derive(Debug)]
pub struct EvaluateSynthesis;

impl Relation for EvaluateSynthesis {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let holdout = call.input(2).is_ok();
        let target = match options.is_null("target") {
            true => None,
            false => Some(call.column(0, "target")?),
        };
        let categorical = match options.is_null("categorical") {
            true => Vec::new(),
            false => call.column_list(0, "categorical")?,
        };
        if let Some(pictures) = pictures(call, target.as_deref())? {
            return Ok(pictures);
        }
        let metrics = metrics(call)?;
        if target.is_none() && !options.is_null("metrics") && metrics.contains(&Metric::Tstr) {
            return options.wrong("metrics", "without tstr, or with target => 'column'");
        }
        let detail = match options.choice("detail", &["summary", "columns", "pairs"])? {
            "summary" => Detail::Summary,
            "pairs" => Detail::Pairs,
            _ => Detail::Columns,
        };
        let controls = options.bool("controls")?;
        if controls && !holdout {
            return plan_err!(
                "{}: controls are judged by a holdout. Write holdout => (SELECT ...), real rows that were not learnt from",
                SPEC.name
            );
        }
        let rows = options.integer("rows", 10)?;
        let Compared { columns, query } =
            Compared::of(call, &["real", "synthetic", "holdout"], &categorical)?;
        let place = |t: String| columns.iter().position(|c| quoted(&c.name) == t);
        let plan = Plan {
            holdout,
            target: target.and_then(place),
            metrics,
            detail,
            controls,
            rows: usize::try_from(rows).unwrap_or(usize::MAX),
            seed: options.integer("seed", i64::MIN)?,
            columns,
        };
        let function = Arc::new(Kernel::new(plan));
        Ok(over(call, query, function))
    }
}

/// The evaluation of tables of pictures and labels, if the real table has a column of pictures.
fn pictures(call: &Call<'_>, target: Option<&str>) -> Result<Option<Expansion>> {
    let fields = call.schema(0).fields();
    let Some(picture) = fields.iter().find(|f| is_picture(f.data_type())) else {
        return Ok(None);
    };
    let picture = quoted(picture.name());
    let Some(target) = target else {
        return plan_err!(
            "{}: pictures are judged by a network that learns a label. Write target => 'label', the column that says what is \
             in {picture}",
            SPEC.name
        );
    };
    let options = call.options();
    if options.bool("controls")? || !options.is_null("metrics") {
        return plan_err!(
            "{}: of pictures all metrics are told, beside those of the pictures held out. Leave metrics and controls out",
            SPEC.name
        );
    }
    let mut parts = Vec::new();
    for (part, name) in ["real", "synthetic", "holdout"].into_iter().enumerate() {
        let Ok(input) = call.input(part) else {
            continue;
        };
        let mut columns = call.columns(part);
        columns.retain(|column| *column != picture && column != target);
        let lacks = call.columns(part).len() != columns.len() + 2;
        if lacks || !columns.is_empty() {
            return plan_err!(
                "{}: of pictures only themselves and their label are looked at, and {name} has other columns than {picture} and \
                 {target}. Write (SELECT {picture}, {target} FROM ...)",
                SPEC.name
            );
        }
        let field = input
            .schema()
            .field_with_unqualified_name(picture.trim_matches('"'))?;
        let decoded = match is_image(field.data_type()) {
            true => picture.clone(),
            false => format!("image_decode({picture})"),
        };
        parts.push(format!(
            "SELECT {part} AS part, {decoded} AS picture, CAST({target} AS VARCHAR) AS label FROM {}",
            call.table(part)
        ));
    }
    let function = EvaluatePictures {
        target: target.trim_matches('"').to_string(),
        holdout: call.input(2).is_ok(),
        rows: usize::try_from(options.integer("rows", 10)?).unwrap_or(usize::MAX),
        seed: options.integer("seed", i64::MIN)?,
    };
    Ok(Some(over(
        call,
        parts.join(" UNION ALL "),
        Arc::new(function),
    )))
}

/// The metrics that are asked for.
fn metrics(call: &Call<'_>) -> Result<Vec<Metric>> {
    let options = call.options();
    if options.is_null("metrics") {
        return Ok(Metric::ALL.map(|(_, metric)| metric).to_vec());
    }
    let names = match options.text("metrics") {
        Ok(one) => vec![one],
        Err(_) => options.texts("metrics")?,
    };
    names
        .iter()
        .map(|name| {
            let found = Metric::ALL
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name));
            if let Some((_, metric)) = found {
                return Ok(*metric);
            }
            let known = Metric::ALL.map(|(n, _)| n);
            let near = nearest(name, known).map(|n| format!(" Did you mean {n}?"));
            plan_err!(
                "{}: metrics has no {name}.{} Write some of [{}]",
                SPEC.name,
                near.unwrap_or_default(),
                known.join(", ")
            )
        })
        .collect()
}
