//! `correlations((q))`: how columns go together, pair by pair.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::{Column, Values, literal, running, unnest, with_names};

const SPEC: Spec = Spec {
    name: "correlations",
    stage: Stage::Inspect,
    kind: Kind::Relation,
    summary: "A row a pair of columns: how strongly they go together.",
    params: &[Param::data(
        "query",
        "the rows: (SELECT ...) or TABLE t. Rows where one of a pair is NULL or NaN do not count for it. Each pair is \
         looked at by itself: choose columns where there are many",
    )],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT column_a, column_b, rows, round(pearson, 6), spearman, cramers_v FROM correlations((SELECT value AS x, value * value AS y FROM generate_series(1, 10)))",
            result: "x,y,10,0.974559,1.0,",
        },
        Example {
            sql: "SELECT column_a, column_b, pearson, cramers_v FROM correlations((SELECT * FROM (VALUES (1, 'a', 'u'), (2, 'a', 'u'), (3, 'b', 'v'), (4, NULL, 'v')) AS t(x, y, z))) ORDER BY column_a, column_b",
            result: "x,y,,\nx,z,,\ny,z,,1.0",
        },
    ],
    source: "pearson and spearman (of average ranks) for numbers and booleans; cramers_v, not corrected for bias, for texts and \
        booleans, as of scipy.stats.contingency.association. NULL where a pair has none, or a column is constant",
    also: &[
        "pandas.DataFrame.corr",
        "scipy.stats.spearmanr",
        "scipy.stats.contingency.association",
        "pyspark.ml.stat.Correlation",
    ],
};

#[derive(Debug)]
pub struct Correlations;

impl Relation for Correlations {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let columns = Column::of(call, 0);
        let pairs: Vec<(&Column, &Column)> = columns
            .iter()
            .enumerate()
            .flat_map(|(i, a)| columns.iter().skip(i + 1).map(move |b| (a, b)))
            .collect();
        if pairs.is_empty() {
            return plan_err!("correlations: the table must have two columns or more");
        }
        Ok(Expansion::Sql(sql(call, &pairs)))
    }
}

fn number(column: &Column) -> bool {
    column.values == Values::Number
}

fn category(column: &Column) -> bool {
    column.values == Values::Category || column.data_type == DataType::Boolean
}

/// Pairs whose columns are both of a kind, as rows of a place and two values.
fn unpivoted(
    pairs: &[(&Column, &Column)],
    of: fn(&Column) -> bool,
    value: fn(&Column) -> String,
    table: &str,
) -> Option<String> {
    let chosen: Vec<_> = pairs
        .iter()
        .enumerate()
        .filter(|(_, (a, b))| of(a) && of(b))
        .collect();
    if chosen.is_empty() {
        return None;
    }
    let places = unnest(chosen.iter().map(|(at, _)| at));
    let x = unnest(chosen.iter().map(|(_, (a, _))| value(a)));
    let y = unnest(chosen.iter().map(|(_, (_, b))| value(b)));
    Some(format!(
        "SELECT at, x, y, count(*) AS c
         FROM (SELECT {places} AS at, {x} AS x, {y} AS y FROM {table})
         WHERE x IS NOT NULL AND y IS NOT NULL
         GROUP BY at, x, y"
    ))
}

fn sql(call: &Call<'_>, pairs: &[(&Column, &Column)]) -> String {
    let table = call.table(0);
    let [named, complete, numbers, categories] =
        with_names(call, ["named", "complete", "numbers", "categories"]);
    let places = unnest(0..pairs.len());
    let a = unnest(pairs.iter().map(|(a, _)| literal(&a.name)));
    let b = unnest(pairs.iter().map(|(_, b)| literal(&b.name)));
    let both = unnest(pairs.iter().map(|(a, b)| {
        format!(
            "CASE WHEN {} IS NOT NULL AND {} IS NOT NULL THEN 1 ELSE 0 END",
            a.present(),
            b.present()
        )
    }));
    let numbers_of = unpivoted(pairs, number, Column::number, table).map_or_else(
        || {
            "SELECT 0 AS at, CAST(NULL AS DOUBLE) AS pearson, CAST(NULL AS DOUBLE) AS spearman"
                .to_string()
        },
        |counted| of_numbers(call, &counted),
    );
    let categories_of = unpivoted(pairs, category, Column::text, table).map_or_else(
        || "SELECT 0 AS at, CAST(NULL AS DOUBLE) AS cramers_v".to_string(),
        |counted| of_categories(call, &counted),
    );
    format!(
        "WITH {named} AS (SELECT {places} AS at, {a} AS column_a, {b} AS column_b),
         {complete} AS (SELECT at, sum(both) AS rows FROM (SELECT {places} AS at, {both} AS both FROM {table}) GROUP BY at),
         {numbers} AS ({numbers_of}),
         {categories} AS ({categories_of})
         SELECT column_a, column_b, coalesce(rows, 0) AS rows, pearson, spearman, cramers_v
         FROM {named} AS p
         LEFT JOIN {complete} AS k ON p.at = k.at
         LEFT JOIN {numbers} AS n ON p.at = n.at
         LEFT JOIN {categories} AS c ON p.at = c.at
         ORDER BY p.at"
    )
}

/// Pearson's coefficient of the values and of their ranks.
fn of_numbers(call: &Call<'_>, counted: &str) -> String {
    let [ranked, means, sums] = with_names(call, ["ranked", "means", "sums"]);
    let [sum_x, sum_y] = ["x * c", "y * c"].map(|s| running(s, "at", "x, y"));
    let products = [
        ("xx", "dx * dx * c"),
        ("yy", "dy * dy * c"),
        ("xy", "dx * dy * c"),
        ("rr", "rx * rx * c"),
        ("ss", "ry * ry * c"),
        ("rs", "rx * ry * c"),
    ];
    let running_products: Vec<String> = products
        .iter()
        .map(|(name, product)| format!("{} AS {name}", running(product, "at", "x, y")))
        .collect();
    let running_products = running_products.join(", ");
    let last: Vec<String> = products
        .iter()
        .map(|(name, _)| format!("max({name}) FILTER (WHERE is_last) AS {name}"))
        .collect();
    let last = last.join(", ");
    let seen = running("c", "at", "x, y");
    let coefficient = |xy: &str, xx: &str, yy: &str, root: &str| {
        let value = format!("{xy} / {root}");
        format!(
            "CASE WHEN {xx} > 0 AND {yy} > 0 AND NOT isnan({value}) THEN greatest(-1.0, least(1.0, {value})) END"
        )
    };
    // a product of squares may be too large for a DOUBLE, one of ranks' squares is not
    let pearson = coefficient("xy", "xx", "yy", "(sqrt(xx) * sqrt(yy))");
    let spearman = coefficient("rs", "rr", "ss", "sqrt(rr * ss)");
    // the values up to and with one's equals, less half of the equals: the mean of their ranks
    let rank = |x: &str| {
        format!(
            "sum(c) OVER (PARTITION BY at ORDER BY {x}) - (sum(c) OVER (PARTITION BY at, {x}) - 1) / 2.0"
        )
    };
    let (rank_x, rank_y) = (rank("x"), rank("y"));
    format!(
        "WITH {ranked} AS (
             SELECT *, sum(c) OVER (PARTITION BY at) AS n, {seen} AS seen, {rank_x} AS rank_x, {rank_y} AS rank_y,
                    {sum_x} AS sum_x, {sum_y} AS sum_y
             FROM ({counted})
         ),
         {means} AS (
             SELECT at, max(sum_x) FILTER (WHERE seen = n) / max(n) AS mean_x, max(sum_y) FILTER (WHERE seen = n) / max(n) AS mean_y
             FROM {ranked}
             GROUP BY at
         ),
         {sums} AS (
             SELECT at, is_last, {running_products}
             FROM (
                 SELECT r.at, x, y, c, seen = n AS is_last, x - mean_x AS dx, y - mean_y AS dy,
                        rank_x - (n + 1) / 2.0 AS rx, rank_y - (n + 1) / 2.0 AS ry
                 FROM {ranked} AS r JOIN {means} AS m ON r.at = m.at
             )
         )
         SELECT at, {pearson} AS pearson, {spearman} AS spearman
         FROM (SELECT at, {last} FROM {sums} GROUP BY at)"
    )
}

/// Cramér's V of the table of counts: the root of chi square over its largest value.
fn of_categories(call: &Call<'_>, counted: &str) -> String {
    let [cells, shares] = with_names(call, ["cells", "shares"]);
    let squares = running("square", "at", "x, y");
    format!(
        "WITH {cells} AS (
             SELECT at, x, y,
                    CAST(c AS DOUBLE) * c / (CAST(sum(c) OVER (PARTITION BY at, x) AS DOUBLE) * sum(c) OVER (PARTITION BY at, y)) AS square
             FROM ({counted})
         ),
         {shares} AS (
             SELECT at, max(squares) - 1 AS phi_squared, least(count(DISTINCT x), count(DISTINCT y)) - 1 AS freedom
             FROM (SELECT at, x, y, {squares} AS squares FROM {cells})
             GROUP BY at
         )
         SELECT at, CASE WHEN freedom > 0 THEN sqrt(greatest(0.0, least(1.0, phi_squared / freedom))) END AS cramers_v
         FROM {shares}"
    )
}
