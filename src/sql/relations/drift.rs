//! `drift((a), (b))`: how far the values of two tables' columns have moved apart.

use datafusion::common::{Result, plan_err};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::{Column, Values, around, between, literal, running, unnest, with_names};

const SPEC: Spec = Spec {
    name: "drift",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "A row a column: how far the distribution of its values in one table is from that in another.",
    params: &[
        Param::data(
            "reference",
            "the rows to compare with, as those trained on: (SELECT ...) or TABLE t",
        ),
        Param::data(
            "current",
            "the rows to look at; columns go together by name",
        ),
        Param::option(
            "warn",
            "0.1",
            "the psi from which the verdict is 'warn'. A psi below 0.1 is held for no change, one of 0.25 for a large \
             one. Few rows make a psi by chance: of the order of 9 / rows of the smaller table",
        ),
        Param::option("drift", "0.25", "the psi from which the verdict is 'drift'"),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT column_name, round(psi, 4), kolmogorov_smirnov, wasserstein, l_infinity, verdict FROM drift((SELECT value AS x, 1 AS gone FROM generate_series(1, 100)), (SELECT value + 50 AS x FROM generate_series(1, 100))) ORDER BY column_name",
            result: "gone,,,,,removed\nx,4.3463,0.5,50.0,,drift",
        },
        Example {
            sql: "SELECT column_name, round(psi, 4), round(jensen_shannon, 4), l_infinity, verdict FROM drift((SELECT * FROM (VALUES ('a'), ('a'), ('b'), ('b'), (NULL)) AS t(x)), (SELECT * FROM (VALUES ('a'), ('b'), ('b'), ('b')) AS t(x)))",
            result: "x,0.2747,0.0488,0.25,drift",
        },
    ],
    source: "psi: the population stability index, over ten bins that hold a tenth of the reference's values each (numbers and \
        times) or over the categories, with shares of at least 0.0001; jensen_shannon: the divergence, to base 2, over the same; \
        kolmogorov_smirnov and wasserstein as of scipy's ks_2samp and wasserstein_distance, exact, for numbers and times (in \
        seconds); l_infinity: the largest difference of a category's shares. NULL and NaN are left out. verdict goes by psi, and \
        is 'drift' where one table has no values at all; 'removed' and 'added' for columns of one table only",
    also: &[
        "ML.VALIDATE_DATA_DRIFT (BigQuery ML)",
        "scipy.stats.ks_2samp",
        "scipy.stats.wasserstein_distance",
        "evidently.DataDriftPreset",
    ],
};

/// Bins of the reference's values.
const BINS: u8 = 10;

#[derive(Debug)]
pub struct Drift;

/// A column's place among the rows of the answer, and SQL for its values in both tables.
struct Pair {
    at: usize,
    name: String,
    numbers: [String; 2],
    texts: [String; 2],
}

impl Relation for Drift {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let warn = options.float_in("warn", 0.0, 1000.0)?;
        let drift = options.float_in("drift", 0.0, 1000.0)?;
        if warn > drift {
            return options.wrong("warn", format!("at most what drift is, {drift}"));
        }
        let (reference, current) = (Column::of(call, 0), Column::of(call, 1));
        let mut pairs = Vec::new();
        let mut alone = Vec::new();
        for (at, a) in reference.iter().enumerate() {
            match current.iter().find(|b| b.name == a.name) {
                Some(b) => pairs.push(pair(at, a, b)),
                None => alone.push((at, &a.name, "removed")),
            }
        }
        for (i, b) in current.iter().enumerate() {
            if !reference.iter().any(|a| a.name == b.name) {
                alone.push((reference.len() + i, &b.name, "added"));
            }
        }
        let mut parts = Vec::new();
        if !pairs.is_empty() {
            parts.push(compared(call, &pairs, warn, drift));
        }
        if !alone.is_empty() {
            parts.push(format!(
                "SELECT {} AS at, {} AS column_name, CAST(NULL AS DOUBLE) AS psi, CAST(NULL AS DOUBLE) AS jensen_shannon,
                        CAST(NULL AS DOUBLE) AS kolmogorov_smirnov, CAST(NULL AS DOUBLE) AS wasserstein,
                        CAST(NULL AS DOUBLE) AS l_infinity, {} AS verdict",
                unnest(alone.iter().map(|a| a.0)),
                unnest(alone.iter().map(|a| literal(a.1))),
                unnest(alone.iter().map(|a| literal(a.2))),
            ));
        }
        if parts.is_empty() {
            return plan_err!("drift: the tables have no columns");
        }
        let parts: Vec<String> = parts
            .iter()
            .map(|p| format!("SELECT * FROM ({p})"))
            .collect();
        Ok(Expansion::Sql(format!(
            "SELECT column_name, psi, jensen_shannon, kolmogorov_smirnov, wasserstein, l_infinity, verdict
             FROM ({})
             ORDER BY at",
            parts.join(" UNION ALL ")
        )))
    }
}

/// Values are compared as numbers where they are numbers, or times, in both tables.
fn pair(at: usize, a: &Column, b: &Column) -> Pair {
    let (numbers, texts) =
        if a.values == b.values && matches!(a.values, Values::Number | Values::Time) {
            let none = "CAST(NULL AS VARCHAR)".to_string();
            ([a.number(), b.number()], [none.clone(), none])
        } else {
            let none = "CAST(NULL AS DOUBLE)".to_string();
            ([none.clone(), none], [a.text(), b.text()])
        };
    Pair {
        at,
        name: a.name.clone(),
        numbers,
        texts,
    }
}

fn compared(call: &Call<'_>, pairs: &[Pair], warn: f64, drift: f64) -> String {
    let [
        named,
        values,
        counted,
        ordered,
        gaps,
        sums,
        cuts,
        shares,
        terms,
        totals,
        moved,
    ] = with_names(
        call,
        [
            "named", "values", "counted", "ordered", "gaps", "sums", "cuts", "shares", "terms",
            "totals", "moved",
        ],
    );
    let places = unnest(pairs.iter().map(|p| p.at));
    let names = unnest(pairs.iter().map(|p| literal(&p.name)));
    let sides = [0, 1].map(|side| {
        format!(
            "SELECT {places} AS at, {} AS v, {} AS t, {} AS a, {side} AS b FROM {}",
            unnest(pairs.iter().map(|p| &p.numbers[side])),
            unnest(pairs.iter().map(|p| &p.texts[side])),
            1 - side,
            call.table(side)
        )
    });
    let [reference, current] = sides;
    let [up_to_a, up_to_b] = ["a", "b"].map(|x| running(x, "at", "v, t"));
    let travelled = running("step", "at", "v");
    let (mut bounds, mut quantiles, mut bin) = (String::new(), String::new(), Vec::new());
    for i in 1..BINS {
        let q = f64::from(i) / f64::from(BINS);
        let [low, high] = around("up_to_a", "all_a", q);
        bounds += &format!(", {low} AS low_{i}, {high} AS high_{i}");
        let cut = between(&format!("low_{i}"), &format!("high_{i}"), "all_a", q);
        quantiles += &format!(", {cut} AS cut_{i}");
        bin.push(format!("CASE WHEN v >= cut_{i} THEN 1 ELSE 0 END"));
    }
    let bin = bin.join(" + ");
    let (psi, jensen_shannon) = (running("psi", "at", "part"), running("js", "at", "part"));
    format!(
        "WITH {named} AS (SELECT {places} AS at, {names} AS name),
         {values} AS ({reference} UNION ALL {current}),
         {counted} AS (
             SELECT at, v, t, sum(a) AS a, sum(b) AS b
             FROM {values}
             WHERE v IS NOT NULL OR t IS NOT NULL
             GROUP BY at, v, t
         ),
         {ordered} AS (
             SELECT *, sum(a) OVER (PARTITION BY at) AS all_a, sum(b) OVER (PARTITION BY at) AS all_b,
                    {up_to_a} AS up_to_a, {up_to_b} AS up_to_b, lead(v) OVER (PARTITION BY at ORDER BY v, t) AS next
             FROM {counted}
         ),
         {gaps} AS (
             SELECT at, v, next,
                    abs(CAST(up_to_a AS DOUBLE) / nullif(all_a, 0) - CAST(up_to_b AS DOUBLE) / nullif(all_b, 0)) AS gap
             FROM {ordered}
             WHERE v IS NOT NULL
         ),
         {moved} AS (
             SELECT at, max(gap) AS gap, max(travelled) AS travelled
             FROM (
                 SELECT at, gap, {travelled} AS travelled
                 FROM (SELECT at, v, gap, CASE WHEN gap = 0 OR next IS NULL THEN gap * 0 ELSE gap * (next - v) END AS step FROM {gaps})
             )
             GROUP BY at
         ),
         {sums} AS (SELECT at, max(all_a) AS all_a, max(all_b) AS all_b {bounds} FROM {ordered} GROUP BY at),
         {cuts} AS (SELECT at, all_a, all_b {quantiles} FROM {sums}),
         {shares} AS (
             SELECT at, t IS NOT NULL AS category, part,
                    CAST(sum(a) AS DOUBLE) / nullif(max(all_a), 0) AS p, CAST(sum(b) AS DOUBLE) / nullif(max(all_b), 0) AS q
             FROM (
                 SELECT o.at, o.t, o.a, o.b, c.all_a, c.all_b, CASE WHEN t IS NULL THEN CAST({bin} AS VARCHAR) ELSE t END AS part
                 FROM {ordered} AS o JOIN {cuts} AS c ON o.at = c.at
             )
             GROUP BY at, t IS NOT NULL, part
         ),
         {terms} AS (
             SELECT at, part, CASE WHEN category THEN abs(p - q) END AS distance,
                    (greatest(q, 0.0001) - greatest(p, 0.0001)) * ln(greatest(q, 0.0001) / greatest(p, 0.0001)) AS psi,
                    greatest(0.0, (CASE WHEN p = 0 THEN 0.0 ELSE p * log2(2 * p / (p + q)) END
                                   + CASE WHEN q = 0 THEN 0.0 ELSE q * log2(2 * q / (p + q)) END) / 2) AS js,
                    p IS NULL OR q IS NULL AS one_sided
             FROM {shares}
         ),
         {totals} AS (
             SELECT at, max(distance) AS distance, bool_or(one_sided) AS one_sided,
                    CASE WHEN NOT bool_or(one_sided) THEN max(psi) END AS psi,
                    CASE WHEN NOT bool_or(one_sided) THEN max(js) END AS js
             FROM (
                 SELECT at, distance, one_sided, {psi} AS psi, {jensen_shannon} AS js FROM {terms}
             )
             GROUP BY at
         )
         SELECT n.at, name AS column_name, psi, js AS jensen_shannon, gap AS kolmogorov_smirnov, travelled AS wasserstein,
                distance AS l_infinity,
                CASE WHEN one_sided OR psi >= {drift:?} THEN 'drift' WHEN psi >= {warn:?} THEN 'warn' ELSE 'ok' END AS verdict
         FROM {named} AS n
         LEFT JOIN {totals} AS k ON n.at = k.at
         LEFT JOIN {moved} AS m ON n.at = m.at"
    )
}
