//! `expect((q), rule)`: rows that a rule holds for.

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_datafusion_err};
use datafusion::logical_expr::expr_fn::is_true;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, lit, when,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::{Column, Values, literal};
use super::{check_added, free, sort_keys};
use crate::plan::{Check, Rule};

const SPEC: Spec = Spec {
    name: "expect",
    stage: Stage::Clean,
    kind: Kind::Relation,
    summary: "The rows that a rule holds for; where it does not hold, an error, fewer rows, or a reason beside the row.",
    params: &[
        Param::data("query", "the rows: (SELECT ...) or TABLE t"),
        Param::required(
            "rule",
            "an SQL condition as text: 'age BETWEEN 0 AND 120'. A row where it is NULL violates it",
        ),
        Param::option(
            "on_violation",
            "'fail'",
            "'fail': an error that counts the rows and shows one; 'drop': such rows are left out; 'keep': all rows stay, and \
             a column violation says the rule, or NULL where it holds. For both, a note counts the rows that violate it",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT * FROM expect((SELECT * FROM (VALUES (1), (2)) AS t(x)), rule => 'x > 0') ORDER BY x",
            result: "1\n2",
        },
        Example {
            sql: "SELECT * FROM expect((SELECT * FROM (VALUES (1), (-2), (NULL)) AS t(x)), rule => 'x > 0', on_violation => 'drop')",
            result: "1",
        },
        Example {
            sql: "SELECT * FROM expect((SELECT * FROM (VALUES (1), (-2), (NULL)) AS t(x)), rule => 'x > 0', on_violation => 'keep') ORDER BY x",
            result: "-2,x > 0\n1,\n,x > 0",
        },
    ],
    source: "expectations of pipelines: a condition a row and what to do where it fails",
    also: &[
        "dlt.expect_or_fail, expect_or_drop (Databricks)",
        "great_expectations.expect_column_values_to_be_between",
        "pandera.Check",
    ],
};

#[derive(Debug)]
pub struct Expect;

impl Relation for Expect {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        let options = call.options();
        let written = options.text("rule")?;
        let rule = condition(&written)?;
        let table = call.table(0);
        let choice = options.choice("on_violation", &["fail", "drop", "keep"])?;
        if choice != "fail" {
            return counted(call, &written, &rule, choice == "drop");
        }
        let columns = Column::of(call, 0);
        let row: Vec<String> = columns
            .iter()
            .map(|c| {
                let value = match c.values {
                    // it may have no text, or a long one
                    Values::Opaque => {
                        format!("CASE WHEN {} IS NULL THEN 'NULL' ELSE '...' END", c.quoted)
                    }
                    _ => format!("coalesce(CAST({} AS VARCHAR), 'NULL')", c.quoted),
                };
                format!("{} || {value}", literal(&format!("{} = ", c.name)))
            })
            .collect();
        let row = format!("concat_ws(', ', {})", row.join(", "));
        let order = sort_keys(call, &call.columns(0)).join(", ");
        let rule_text = literal(&written);
        Ok(Expansion::Sql(format!(
            "SELECT {table}.*
             FROM {table}
             CROSS JOIN (
                 SELECT {CHECK}({rule_text}, count(*), first_value({row} ORDER BY {order})) AS holds
                 FROM {table}
                 WHERE ({rule}) IS NOT TRUE
             ) AS {CHECK}
             WHERE {CHECK}.holds"
        )))
    }
}

/// The rows, held against the rule as they pass, so that a notice can say how many violate it.
fn counted(call: &Call<'_>, written: &str, rule: &str, drops: bool) -> Result<Expansion> {
    if !drops {
        check_added(call, &["violation"])?;
    }
    let table = call.table(0);
    let [holds] = free(&call.columns(0), ["holds"]);
    let input = call.planned(call.input(0)?.clone());
    let sql = format!("SELECT *, ({rule}) IS TRUE AS {holds} FROM {input} AS {table}");
    let rule = Rule {
        text: written.to_string(),
        holds: holds.trim_matches('"').to_string(),
        drops,
    };
    let notices = call.env().load_notices().clone();
    Ok(Expansion::Then(
        sql,
        Box::new(move |plan| {
            let mut columns: Vec<Expr> = plan
                .schema()
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect();
            let Some(holds) = columns.pop() else {
                return internal_err!("expect: there is no column that says where the rule holds");
            };
            if !drops {
                let violation = when(is_true(holds), lit(ScalarValue::Utf8(None)))
                    .otherwise(lit(rule.text.clone()))?;
                columns.push(violation.alias("violation"));
            }
            LogicalPlanBuilder::from(Check::over(rule, plan, notices))
                .project(columns)?
                .build()
        }),
    ))
}

/// The rule as SQL: one whole expression.
fn condition(text: &str) -> Result<String> {
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| {
            let rule = parser.parse_expr()?;
            parser.expect_token(&Token::EOF)?;
            Ok(rule)
        });
    match parsed {
        Ok(rule) => Ok(rule.to_string()),
        Err(e) => Err(plan_datafusion_err!(
            "{}: rule must be a condition as after WHERE, as in 'age >= 0', not '{text}' ({e})",
            SPEC.name
        )),
    }
}

/// The name of [`Holds`], which is no one's to call.
const CHECK: &str = "__seedbed_expect";

/// `true` if no row violates a rule, else the error.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Holds {
    signature: Signature,
}

impl Holds {
    /// The function, for a session.
    pub fn udf() -> ScalarUDF {
        ScalarUDF::from(Self {
            signature: Signature::any(3, Volatility::Volatile),
        })
    }
}

impl ScalarUDFImpl for Holds {
    fn name(&self) -> &str {
        CHECK
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = |i: usize| -> Result<ArrayRef> {
            Ok(cast(
                &args.args[i].to_array(args.number_rows)?,
                &DataType::Utf8,
            )?)
        };
        let (rules, rows) = (texts(0)?, texts(2)?);
        let counts = args.args[1].to_array(args.number_rows)?;
        let counts = cast(&counts, &DataType::Int64)?;
        for (i, count) in counts.as_primitive::<Int64Type>().iter().enumerate() {
            if let Some(count @ 1..) = count {
                return exec_err!(
                    "expect: {count} {} the rule {}, as the row with {}. Write on_violation => 'drop' or 'keep' to go on",
                    if count == 1 {
                        "row violates"
                    } else {
                        "rows violate"
                    },
                    rules.as_string::<i32>().value(i),
                    rows.as_string::<i32>().value(i)
                );
            }
        }
        Ok(ColumnarValue::Scalar(ScalarValue::from(true)))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, Seedbed};

    async fn notices(sql: &str) -> Vec<String> {
        let session = Seedbed::open(Options {
            threads: Some(4),
            batch_size: Some(7),
            ..Default::default()
        })
        .unwrap();
        session.sql(sql).await.unwrap();
        session.take_notices()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn violations_are_counted() {
        let rows = "(SELECT value AS age, value * 2 AS b FROM generate_series(1, 1000))";
        let drop = format!("expect({rows}, rule => 'age > 12', on_violation => 'drop')");
        let dropped = ["expect: 12 of 1000 rows dropped: age > 12"];
        assert_eq!(notices(&format!("SELECT * FROM {drop}")).await, dropped);
        assert_eq!(
            notices(&format!("SELECT count(*) FROM {drop}")).await,
            dropped
        );
        let fitted = format!("SELECT standard_scale(b) OVER () FROM {drop}");
        assert_eq!(notices(&fitted).await, dropped);
        let keep = format!("expect({rows}, rule => 'age > 1', on_violation => 'keep')");
        assert_eq!(
            notices(&format!("SELECT violation FROM {keep} ORDER BY b")).await,
            ["expect: 1 of 1000 rows violates the rule: age > 1"]
        );
        let none =
            format!("SELECT * FROM expect({rows}, rule => 'age > 0', on_violation => 'drop')");
        assert!(notices(&none).await.is_empty());
        let explained = format!("EXPLAIN SELECT * FROM {drop}");
        assert!(notices(&explained).await.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_limit_reads_some() {
        let rows = "(SELECT value AS age FROM generate_series(1, 1000000))";
        let sql = format!(
            "SELECT * FROM expect({rows}, rule => 'age > 3', on_violation => 'drop') LIMIT 5"
        );
        let notices = notices(&sql).await;
        assert!(
            notices
                .iter()
                .all(|n| n.contains(" rows read dropped: age > 3")),
            "{notices:?}"
        );
    }
}
