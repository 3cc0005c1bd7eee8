//! `lags(x, n) OVER (ORDER BY t)`: the values of earlier rows, a column each.

use crate::spec::{Example, Kind, Param, Spec, Stage};

/// Its declaration; in a SELECT list a call is written out as `lag(x, n)` and `lead(x, n)`.
pub const SPEC: Spec = Spec {
    name: "lags",
    stage: Stage::Series,
    kind: Kind::Ordered,
    summary: "The values of the rows so many places before in the order, as features: a column for each, named x_lag_1, \
        x_lag_7; NULL where there is no such row. A negative number looks ahead, as x_lead_1: that is for labels.",
    params: &[
        Param::data("x", "a column of any type"),
        Param::option("n", "[1]", "how many rows before; a number or a list"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT t, lags(x, [1, 2]) OVER (ORDER BY t) FROM (VALUES (1, 'a'), (2, 'b'), (3, 'c')) AS s(t, x) ORDER BY t",
        result: "1,,\n2,a,\n3,b,a",
    }],
    source: "pandas' shift; SQL's LAG and LEAD",
    also: &["pandas.DataFrame.shift", "polars.Expr.shift"],
};
