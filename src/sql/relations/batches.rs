//! `batches((q), size)`: the batches of one epoch.

use datafusion::common::Result;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::{check_added, free, shuffled, sort_keys};

const SPEC: Spec = Spec {
    name: "batches",
    stage: Stage::Split,
    kind: Kind::Relation,
    summary: "The rows dealt into batches of one size, for one epoch: adds the columns batch and position, both from 0.",
    params: &[
        Param::data("query", "the rows: (SELECT ...) or TABLE t"),
        Param::required("size", "rows a batch, at least 1"),
        Param::option(
            "shuffle",
            "true",
            "whether rows go in a random order. Otherwise they go by their columns, the first column first: a table \
             has no row order of its own",
        ),
        Param::option(
            "balance",
            "NULL",
            "the column of a class: every batch then has the same number of rows of each class, give or take one. \
             The rows of smaller classes repeat, in turn, until all rows of the largest have been used. NULL is a \
             class of its own",
        ),
        Param::option(
            "drop_last",
            "false",
            "whether to leave out the last batch if it is not full",
        ),
        Param::option(
            "seed",
            "0",
            "another seed gives another order, as each epoch may want; the same seed gives the same, whatever the order and \
             number of partitions",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT batch, position, x FROM batches((SELECT * FROM (VALUES (30), (10), (50), (20), (40)) AS t(x)), size => 2, shuffle => false) ORDER BY batch, position",
            result: "0,0,10\n0,1,20\n1,0,30\n1,1,40\n2,0,50",
        },
        Example {
            sql: "SELECT batch, count(*) FROM batches((SELECT value FROM generate_series(1, 10)), size => 4, drop_last => true) GROUP BY batch ORDER BY batch",
            result: "0,4\n1,4",
        },
        Example {
            sql: "SELECT batch, y, count(*), count(DISTINCT x) FROM batches((SELECT * FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'a'), (5, 'b')) AS t(x, y)), size => 4, balance => y) GROUP BY batch, y ORDER BY batch, y",
            result: "0,a,2,2\n0,b,2,1\n1,a,2,2\n1,b,2,1",
        },
    ],
    source: "mini-batches without replacement, reshuffled by seed; with balance, classes take turns",
    also: &[
        "torch.utils.data.DataLoader",
        "tf.data.Dataset.batch",
        "imblearn.keras.BalancedBatchGenerator",
    ],
};

#[derive(Debug)]
pub struct Batches;

impl Relation for Batches {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        check_added(call, &["batch", "position"])?;
        let size = options.integer("size", 1)?;
        let seed = options.integer("seed", 0)?;
        let drop_last = options.bool("drop_last")?;
        let (query, order) = if options.bool("shuffle")? {
            let shuffled = shuffled(call, seed);
            (format!("({})", shuffled.query), shuffled.order)
        } else {
            let order = sort_keys(call, &call.columns(0)).join(", ");
            (call.table(0).to_string(), order)
        };
        let columns = call.columns(0);
        let [number, total] = free(&columns, ["number", "total"]);
        let dealt = if options.is_null("balance") {
            in_order(call, &query, &order, &number, &total)
        } else {
            let label = call.column(0, "balance")?;
            in_turns(call, &query, &order, &label, &number, &total)
        };
        let columns = columns.join(", ");
        let full = if drop_last {
            format!("WHERE {number} < {total} / {size} * {size}")
        } else {
            String::new()
        };
        Ok(Expansion::Sql(format!(
            "SELECT {columns}, {number} / {size} AS batch, {number} % {size} AS position
             FROM ({dealt}) {full}"
        )))
    }
}

/// Numbers the rows, from 0, in an order.
fn in_order(call: &Call<'_>, query: &str, order: &str, number: &str, total: &str) -> String {
    let table = call.table(0);
    let columns = call.columns(0).join(", ");
    format!(
        "SELECT {columns}, CAST(row_number() OVER (ORDER BY {order}) AS BIGINT) - 1 AS {number},
             (SELECT count(*) FROM {table}) AS {total}
         FROM {query}"
    )
}

/// Numbers the rows, from 0, so that the classes take turns. A row of rank r in a class of m rows has the
/// turns r, r + m, r + 2m and so on, up to the number of rows of the largest class.
fn in_turns(
    call: &Call<'_>,
    query: &str,
    order: &str,
    label: &str,
    number: &str,
    total: &str,
) -> String {
    let table = call.table(0);
    let columns = call.columns(0);
    let [rank, turn, class, among] = free(&columns, ["rank", "turn", "class", "among"]);
    let of_ranked: Vec<_> = columns.iter().map(|c| format!("ranked.{c}")).collect();
    let (columns, of_ranked) = (columns.join(", "), of_ranked.join(", "));
    format!(
        "SELECT {columns}, {turn} * {among} + {class} AS {number}, {total}
         FROM (
             SELECT {of_ranked}, classes.class AS {class}, classes.among AS {among},
                 classes.most * classes.among AS {total},
                 unnest(range(ranked.{rank}, classes.most, classes.members)) AS {turn}
             FROM (
                 SELECT *, CAST(row_number() OVER (PARTITION BY {label} ORDER BY {order}) AS BIGINT) - 1 AS {rank}
                 FROM {query}
             ) AS ranked
             JOIN (
                 SELECT label, members, max(members) OVER () AS most, count(*) OVER () AS among,
                     CAST(row_number() OVER (ORDER BY label) AS BIGINT) - 1 AS class
                 FROM (SELECT {label} AS label, count(*) AS members FROM {table} GROUP BY {label})
             ) AS classes
             ON ranked.{label} IS NOT DISTINCT FROM classes.label
         )"
    )
}
