//! `profile((q))`: what is in each column.

use datafusion::common::{Result, plan_err};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::{Column, Values, around, between, literal, running, unnest, with_names};

const SPEC: Spec = Spec {
    name: "profile",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "A row a column: how many values it has, which, how they are distributed, and what is odd about it.",
    params: &[Param::data(
        "query",
        "the rows: (SELECT ...) or TABLE t. NULL and NaN are missing; all statistics are exact",
    )],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT column_name, rows, missing, \"distinct\", min, max, mean, std, median FROM profile((SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL), (4, 'a')) AS t(x, y))) ORDER BY column_name",
            result: "x,4,0,4,1,4,2.5,1.118033988749895,2.5\ny,4,1,2,a,b,,,",
        },
        Example {
            sql: "SELECT column_name, most_frequent, frequency, histogram, warning FROM profile((SELECT value AS id, value * value AS x, CASE WHEN value < 3 THEN 'a' END AS y, 1 AS z FROM generate_series(1, 20))) ORDER BY column_name",
            result: "id,1,1,██████████,identifier\nx,1,1,█▃▃▃▃▂▂▂▂▃,identifier\ny,a,2,,\"constant, mostly missing\"\nz,1,20,,constant",
        },
    ],
    source: "definitions as of pandas and numpy: quartiles by linear interpolation, std of the population (ddof 0), the smallest \
        of the most frequent values. Booleans are numbers, 0 and 1. histogram: ten bins of the same width from min to max, as \
        heights. warning: empty (no rows), constant (one value), identifier (every row another text or whole number, from two \
        rows on), mostly missing (more than half of the rows), all missing",
    also: &[
        "pandas.DataFrame.describe",
        "SUMMARIZE (DuckDB)",
        "ML.DESCRIBE_DATA (BigQuery ML)",
        "ydata_profiling.ProfileReport",
    ],
};

/// Bins of a histogram.
const BINS: usize = 10;

#[derive(Debug)]
pub struct Profile;

impl Relation for Profile {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let columns = Column::of(call, 0);
        if columns.is_empty() {
            return plan_err!("profile: the table has no columns");
        }
        Ok(Expansion::Sql(sql(call, &columns)))
    }
}

/// The smallest or largest value of a column, as text.
fn extreme(column: &Column, function: &str) -> String {
    match column.values {
        Values::Opaque => "CAST(NULL AS VARCHAR)".to_string(),
        Values::Category => format!("{function}({})", column.text()),
        Values::Number | Values::Time => {
            format!("CAST({function}({}) AS VARCHAR)", column.present())
        }
    }
}

fn sql(call: &Call<'_>, columns: &[Column]) -> String {
    let table = call.table(0);
    let [
        whole,
        named,
        values,
        counted,
        ordered,
        first,
        deviations,
        second,
    ] = with_names(
        call,
        [
            "whole",
            "named",
            "values",
            "counted",
            "ordered",
            "first",
            "deviations",
            "second",
        ],
    );
    let places = unnest(0..columns.len());
    let extremes: Vec<String> = columns
        .iter()
        .enumerate()
        .flat_map(|(i, c)| ["min", "max"].map(|f| format!("{} AS {f}_{i}", extreme(c, f))))
        .collect();
    let extremes = extremes.join(", ");
    let names = unnest(columns.iter().map(|c| literal(&c.name)));
    let types = unnest(columns.iter().map(|c| literal(&c.data_type.to_string())));
    // a float may be different in each row and name none
    let names_rows = unnest(
        columns
            .iter()
            .map(|c| c.values == Values::Category || c.data_type.is_integer()),
    );
    let opaque = unnest(columns.iter().map(|c| c.values == Values::Opaque));
    let smallest = unnest((0..columns.len()).map(|i| format!("min_{i}")));
    let largest = unnest((0..columns.len()).map(|i| format!("max_{i}")));
    // times are profiled by their extremes and counts alone
    let numbers = unnest(columns.iter().map(|c| match c.values {
        Values::Number => c.number(),
        _ => "CAST(NULL AS DOUBLE)".to_string(),
    }));
    let texts = unnest(columns.iter().map(Column::text));
    let up_to = running("c", "at", "v, t");
    let sums = running("v * c", "at", "v, t");
    let squares = running("(v - mean) * (v - mean) * c", "o.at", "v, t");
    let mut quantiles = String::new();
    let mut quartiles = String::new();
    for (name, q) in [("q25", 0.25), ("median", 0.5), ("q75", 0.75)] {
        let [low, high] = around("up_to", "n", q);
        quantiles += &format!(", {low} AS {name}_low, {high} AS {name}_high");
        let value = between(&format!("{name}_low"), &format!("{name}_high"), "f.n", q);
        quartiles += &format!(", {value} AS {name}");
    }
    let mut bins = String::new();
    let heights: Vec<String> = (0..BINS).map(|bin| format!("bin_{bin}")).collect();
    for bin in 0..BINS {
        bins += &format!(", coalesce(sum(c) FILTER (WHERE bin = {bin}), 0) AS bin_{bin}");
    }
    let highest = format!("greatest({})", heights.join(", "));
    let bars: Vec<String> = heights
        .iter()
        .map(|height| format!("substr('▁▂▃▄▅▆▇█', CAST(greatest(ceil(8.0 * {height} / {highest}), 1) AS BIGINT), 1)"))
        .collect();
    let bars = bars.join(" || ");
    format!(
        "WITH {whole} AS (SELECT count(*) AS n, {extremes} FROM {table}),
         {named} AS (
             SELECT {places} AS at, {names} AS name, {types} AS type, {names_rows} AS names_rows, {opaque} AS opaque,
                    {smallest} AS smallest, {largest} AS largest, n
             FROM {whole}
         ),
         {values} AS (SELECT {places} AS at, {numbers} AS v, {texts} AS t FROM {table}),
         {counted} AS (SELECT at, v, t, count(*) AS c FROM {values} WHERE t IS NOT NULL GROUP BY at, v, t),
         {ordered} AS (
             SELECT *, sum(c) OVER (PARTITION BY at) AS n, {up_to} AS up_to, {sums} AS sums,
                    row_number() OVER (PARTITION BY at ORDER BY c DESC, v, t) AS place
             FROM {counted}
         ),
         {first} AS (
             SELECT at, max(n) AS n, count(*) AS different, min(v) AS lo, max(v) AS hi,
                    max(sums) FILTER (WHERE up_to = n) / max(n) AS mean,
                    max(t) FILTER (WHERE place = 1) AS mode, max(c) FILTER (WHERE place = 1) AS frequency
                    {quantiles}
             FROM {ordered}
             GROUP BY at
         ),
         {deviations} AS (
             SELECT o.at, o.c, o.up_to = o.n AS is_last, {squares} AS squares,
                    CASE WHEN hi > lo AND hi - lo < CAST('inf' AS DOUBLE)
                         THEN least(CAST(floor((v - lo) / (hi - lo) * {BINS}) AS BIGINT), {BINS} - 1)
                    END AS bin
             FROM {ordered} AS o JOIN {first} AS f ON o.at = f.at
         ),
         {second} AS (
             SELECT at, max(squares) FILTER (WHERE is_last) AS squares, count(bin) AS binned {bins}
             FROM {deviations}
             GROUP BY at
         )
         SELECT name AS column_name, type, k.n AS rows, k.n - coalesce(f.n, 0) AS missing,
                coalesce(different, 0) AS \"distinct\", smallest AS min, largest AS max,
                CASE WHEN NOT isnan(mean) THEN mean END AS mean,
                CASE WHEN NOT isnan(squares) THEN sqrt(squares / f.n) END AS std
                {quartiles},
                CASE WHEN NOT opaque THEN mode END AS most_frequent, frequency,
                CASE WHEN binned > 0 THEN {bars} END AS histogram,
                nullif(concat_ws(', ',
                    CASE WHEN k.n = 0 THEN 'empty' END,
                    CASE WHEN different = 1 THEN 'constant' END,
                    CASE WHEN different = k.n AND k.n > 1 AND names_rows THEN 'identifier' END,
                    CASE WHEN k.n > 0 AND f.n IS NULL THEN 'all missing'
                         WHEN (k.n - f.n) * 2 > k.n THEN 'mostly missing' END
                ), '') AS warning
         FROM {named} AS k
         LEFT JOIN {first} AS f ON k.at = f.at
         LEFT JOIN {second} AS s ON k.at = s.at
         ORDER BY k.at"
    )
}
