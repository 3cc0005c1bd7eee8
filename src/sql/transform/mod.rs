//! Fitted transforms: a SELECT with each fitted call replaced by what it learnt.
//!
//! A transform is kept as its SQL over a placeholder in the place of its source, the source's schema, the
//! rows of the tables it joins, and the values of its fits in the order in which the lowering asks for them.
//! Applying it plans the SQL over the placeholder, lowers it, puts the values in the place of the
//! subqueries, and puts the new table in the place of the placeholder: nothing is fitted again. All else
//! (describing, undoing, writing as plain SQL) looks at what each output computes of the inputs, see
//! [`outputs`].

mod apply;
mod as_sql;
mod create;
mod describe;
mod file;
mod inverse;
mod outputs;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::catalog::MemTable;
use datafusion::catalog::empty::EmptyTable;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::relation::{parse_query, plan_query};
use crate::plan::{FITS, LowerFits, substitute};
use crate::session::Env;

pub use apply::{TransformRelation, compatible};
pub use as_sql::as_sql;
pub use create::create;
pub use describe::{Parameters, describe};
pub use file::{export, import, write_file};
pub use inverse::InverseTransform;

/// The name that stands for the source in a transform's SQL.
const INPUT: &str = "__seedbed_input";

/// The name that stands for a joined table.
fn joined(i: usize) -> String {
    format!("__seedbed_joined_{i}_")
}

/// A fitted transform.
#[derive(Debug, Clone)]
pub struct Transform {
    pub name: String,
    pub about: About,
    /// The source's columns.
    pub inputs: Fields,
    /// The fits, in the order of the lowering.
    pub fits: Vec<ScalarValue>,
    /// The rows of the joined tables: a list of structs each.
    pub tables: Vec<ScalarValue>,
}

/// The texts of a transform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// The SELECT as it was written.
    pub written: String,
    /// The SELECT over the placeholder, with columns expanded.
    pub sql: String,
    /// How many rows it was fitted on.
    pub rows: u64,
    /// What its source is called.
    #[serde(default)]
    pub source: Option<String>,
    /// What the joined tables are called.
    #[serde(default)]
    pub joined: Vec<String>,
    /// What was counted of each output when fitting.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// The categories that have no column, since `one_hot` dropped it.
    #[serde(default)]
    pub dropped: Vec<Dropped>,
}

/// What was counted of an output when fitting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fact {
    pub output: String,
    /// Rows in which one of its inputs was NULL or NaN.
    pub missing: u64,
    /// Rows of categories so rare that they share a code or a column.
    #[serde(default)]
    pub other: Option<u64>,
}

/// A category without a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The columns of the other categories.
    pub columns: Vec<String>,
    pub category: String,
}

impl Transform {
    /// The transform of a name.
    pub fn load(env: &Env, name: &str) -> Result<Self> {
        Self::from_bytes(name, &env.store()?.transform(name)?)
    }

    /// The transform as an Arrow IPC stream: a row of fits and tables, with the texts and the inputs in its
    /// schema.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let about = serde_json::to_string(&self.about)
            .map_err(|e| datafusion::common::DataFusionError::External(Box::new(e)))?;
        let mut fields = vec![Field::new(
            "inputs",
            DataType::Struct(self.inputs.clone()),
            true,
        )];
        let mut columns: Vec<ArrayRef> = vec![new_null_array(fields[0].data_type(), 1)];
        for (name, values) in [("fit", &self.fits), (TABLE, &self.tables)] {
            for (i, value) in values.iter().enumerate() {
                fields.push(Field::new(format!("{name}_{i}"), value.data_type(), true));
                columns.push(value.to_array()?);
            }
        }
        let metadata = HashMap::from([("seedbed.transform".to_string(), about)]);
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
        writer.write(&batch)?;
        writer.finish()?;
        drop(writer);
        Ok(bytes)
    }

    /// Reads back what [`Self::to_bytes`] wrote.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let mut reader = StreamReader::try_new(Cursor::new(bytes), None)?;
        let schema = reader.schema();
        let about = schema.metadata().get("seedbed.transform").map(|text| {
            serde_json::from_str(text)
                .map_err(|e| datafusion::common::DataFusionError::External(Box::new(e)))
        });
        let (Some(about), Some(batch)) = (about.transpose()?, reader.next().transpose()?) else {
            return exec_err!("transform {name}: its file is damaged; create it again");
        };
        let DataType::Struct(inputs) = schema.field(0).data_type() else {
            return exec_err!("transform {name}: its file is damaged; create it again");
        };
        let (mut fits, mut tables) = (Vec::new(), Vec::new());
        for (field, column) in schema.fields().iter().zip(batch.columns()).skip(1) {
            let value = ScalarValue::try_from_array(column, 0)?;
            if field.name().starts_with(TABLE) {
                tables.push(value);
            } else {
                fits.push(value);
            }
        }
        Ok(Self {
            name: name.to_string(),
            about,
            inputs: inputs.clone(),
            fits,
            tables,
        })
    }

    /// The SQL, with the placeholder and the joined tables planned: to be planned while `env` keeps plans.
    fn sql(&self, env: &Env) -> Result<String> {
        let key = env.keep_plan(empty(&self.inputs)?);
        let planned = |key| format!("__seedbed_planned({key})");
        let mut sql = self.about.sql.replace(INPUT, &planned(key));
        for (i, table) in self.tables.iter().enumerate() {
            let key = env.keep_plan(scan(i, table)?);
            sql = sql.replace(&joined(i), &planned(key));
        }
        Ok(sql)
    }

    /// What the SQL computes, over the placeholder, with the fits in place.
    fn learnt(&self, env: &Env, template: LogicalPlan) -> Result<LogicalPlan> {
        let mut plan = lower(template, env.state()?.config_options())?;
        let mut fits = self.fits.iter();
        while let Some(next) = innermost(&plan)? {
            let Some(value) = fits.next() else {
                return exec_err!(
                    "transform {}: it was made by another version; create it again",
                    self.name
                );
            };
            plan = substitute(plan, &next, value)?;
        }
        Ok(plan)
    }

    /// What the SQL computes, for statements: relations have it planned for them.
    fn planned<'a>(&'a self, env: &'a Env) -> BoxFuture<'a, Result<LogicalPlan>> {
        async move { self.learnt(env, self.template(env).await?) }.boxed()
    }

    /// The SQL planned over the placeholder.
    fn template<'a>(&'a self, env: &'a Env) -> BoxFuture<'a, Result<LogicalPlan>> {
        async move { plan_query(env, parse_query(&self.sql(env)?)?).await }.boxed()
    }
}

/// What the columns of joined tables begin with.
const TABLE: &str = "table";

fn empty(inputs: &Fields) -> Result<LogicalPlan> {
    let table = EmptyTable::new(Arc::new(Schema::new(inputs.clone())));
    LogicalPlanBuilder::scan(INPUT, provider_as_source(Arc::new(table)), None)?.build()
}

/// The rows of a joined table.
fn scan(i: usize, table: &ScalarValue) -> Result<LogicalPlan> {
    let ScalarValue::List(rows) = table else {
        return exec_err!(
            "a joined table is a list of rows, not {}",
            table.data_type()
        );
    };
    let batch = RecordBatch::from(rows.value(0).as_struct().clone());
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    LogicalPlanBuilder::scan(joined(i), provider_as_source(Arc::new(table)), None)?.build()
}

fn lower(plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
    let plan = TypeCoercion::new().analyze(plan, config)?;
    let mut config = config.clone();
    if let Some(settings) = config.extensions.get_mut::<crate::session::Settings>() {
        settings.fit_strategy = "rescan".to_string();
    }
    LowerFits.analyze(plan, &config)
}

/// The first scalar subquery of fits that has none in it.
fn innermost(plan: &LogicalPlan) -> Result<Option<Subquery>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if let Expr::ScalarSubquery(subquery) = e
                    && found.is_none()
                    && subquery.subquery.schema().field(0).name() == FITS
                    && innermost(&subquery.subquery)?.is_none()
                {
                    found = Some(subquery.clone());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if found.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}
