//! `read_json`: one object a line, or an array of objects, or objects one after the other.
//!
//! Objects are found by a scan for their ends and handed to Arrow's decoder in bulk; only where that
//! fails are they taken one by one, to find the one that is wrong.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatchOptions, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{
    DataFusionError, Result, ScalarValue, exec_datafusion_err, internal_err, plan_err,
};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use super::args::{Args, Param};
use super::csv::{column_types, declare};
use super::hive::Hive;
use super::leaf;
use super::path::Reader;
use super::rejects::{Writer, shortened};
use super::shown::Shown;
use super::source::{Encoding, Source, read_full};
use super::{LoadEnv, OnError, Rejects, types};
use crate::session::Progress;

const FUNCTION: &str = "read_json";

/// What `read_json` takes beside the path.
pub const JSON_PARAMS: &[Param] = &[
    (
        "format",
        "found out",
        "'lines', an object a line; 'array', one array of objects; 'objects', one after the other in any layout",
    ),
    (
        "types",
        "inferred from the sample",
        "types by name, {'zip': 'VARCHAR'}",
    ),
    (
        "sample_rows",
        "20000",
        "objects, from the beginning of each file, that types are inferred from; -1 for all",
    ),
    (
        "on_error",
        "'fail'",
        "what a bad object does: 'fail'; 'null', its bad values are NULL; 'skip', it is left out; rejected ones are in the table `rejects`",
    ),
    (
        "hive",
        "found out",
        "whether directories named key=value are columns",
    ),
    (
        "row_id",
        "false",
        "add the column `row_id`: objects counted from 0 over all files in path order, rejected ones too",
    ),
    ("filename", "false", "add the column `filename`"),
];

/// How the objects stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    Lines,
    Array,
    Objects,
}

/// How a file is to be read. What is `None` is found out.
#[derive(Debug, Clone)]
pub struct JsonOptions {
    pub layout: Option<Layout>,
    pub types: Vec<(String, DataType)>,
    pub sample_rows: Option<u64>,
    pub on_error: OnError,
    pub hive: Option<bool>,
    pub row_id: bool,
    pub filename: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            layout: None,
            types: Vec::new(),
            sample_rows: Some(20_000),
            on_error: OnError::Fail,
            hive: None,
            row_id: false,
            filename: false,
        }
    }
}

impl JsonOptions {
    /// From the named arguments of `read_json`.
    pub fn from_args(values: &[(String, ScalarValue)]) -> Result<Self> {
        let args = Args::new(FUNCTION, JSON_PARAMS, values)?;
        Ok(Self {
            layout: match args.choice("format", &["lines", "array", "objects"])? {
                Some("lines") => Some(Layout::Lines),
                Some("array") => Some(Layout::Array),
                Some(_) => Some(Layout::Objects),
                None => None,
            },
            types: column_types(FUNCTION, &args)?,
            sample_rows: match args.integer("sample_rows")? {
                None => Self::default().sample_rows,
                Some(-1) => None,
                Some(n) if n > 0 => Some(n.unsigned_abs()),
                Some(n) => {
                    return plan_err!(
                        "{FUNCTION}: sample_rows is {n}; write a number of rows, or -1 for all"
                    );
                }
            },
            on_error: OnError::from_args(&args)?,
            hive: args.boolean("hive")?,
            row_id: args.boolean("row_id")?.unwrap_or(false),
            filename: args.boolean("filename")?.unwrap_or(false),
        })
    }
}

/// The type of a value, and of many values together.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Null,
    Boolean,
    Integer,
    Float,
    Text,
    List(Box<Shape>),
    Struct(Vec<(String, Shape)>),
}

impl Shape {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(n) if n.is_i64() => Self::Integer,
            Value::Number(_) => Self::Float,
            Value::String(_) => Self::Text,
            Value::Array(items) => Self::List(Box::new(
                items
                    .iter()
                    .map(Self::of)
                    .fold(Self::Null, |all, item| all.with(item)),
            )),
            Value::Object(fields) => Self::Struct(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::of(value)))
                    .collect(),
            ),
        }
    }

    /// The narrowest shape for both; text where they have nothing in common.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Null, other) | (other, Self::Null) => other,
            (Self::Integer | Self::Float, Self::Integer | Self::Float) => Self::Float,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.with(*b))),
            (Self::Struct(mut a), Self::Struct(b)) => {
                for (name, shape) in b {
                    match a.iter_mut().find(|(n, _)| *n == name) {
                        Some((_, mine)) => {
                            *mine = std::mem::replace(mine, Self::Null).with(shape);
                        }
                        None => a.push((name, shape)),
                    }
                }
                Self::Struct(a)
            }
            _ => Self::Text,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Null | Self::Text => DataType::Utf8View,
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::List(item) => DataType::new_list(item.data_type(), true),
            Self::Struct(fields) => DataType::Struct(
                fields
                    .iter()
                    .map(|(name, shape)| Field::new(name, shape.data_type(), true))
                    .collect(),
            ),
        }
    }
}

/// Finds the objects of a text.
struct Objects {
    reader: Box<dyn std::io::Read + Send>,
    name: Arc<str>,
    layout: Layout,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    last: bool,
    /// The line that comes next, from 0.
    line: u64,
    /// Whether the bracket of an array has been passed.
    opened: bool,
}

/// One object, by its place in the buffer.
#[derive(Debug, Clone, Copy)]
struct Object {
    start: usize,
    end: usize,
    line: u64,
}

/// Objects larger than this are no rows.
const LARGEST: usize = 256 << 20;

impl Objects {
    fn open(source: &Source, layout: Layout, progress: Option<Progress>) -> Result<Self> {
        Ok(Self {
            reader: source.read(0, progress)?,
            name: Arc::clone(&source.name),
            layout,
            buffer: vec![0; 1 << 20],
            at: 0,
            end: 0,
            last: false,
            line: 0,
            opened: false,
        })
    }

    /// Up to `limit` objects that are in the buffer together; empty at the end of the text.
    fn next(&mut self, limit: usize, found: &mut Vec<Object>) -> Result<()> {
        found.clear();
        loop {
            while found.len() < limit {
                match self.scan() {
                    Some(object) => found.push(object),
                    None => break,
                }
            }
            if !found.is_empty() || (self.last && self.at >= self.end) {
                return Ok(());
            }
            if self.last {
                // What is left is no complete object; it is handed on to be rejected.
                found.push(Object {
                    start: self.at,
                    end: self.end,
                    line: self.line,
                });
                self.at = self.end;
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.at = 0;
        if self.end * 2 > self.buffer.len() {
            if self.end > LARGEST {
                return Err(exec_datafusion_err!(
                    "'{}', line {}: an object of more than {} MiB",
                    self.name,
                    self.line + 1,
                    LARGEST >> 20
                ));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let n = read_full(&mut self.reader, &mut self.buffer[self.end..])
            .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", self.name))?;
        self.last = self.end + n < self.buffer.len();
        self.end += n;
        Ok(())
    }

    /// The next object in the buffer, if all of it is there.
    fn scan(&mut self) -> Option<Object> {
        self.skip_blank();
        let line = self.line;
        let start = self.at;
        let text = &self.buffer[self.at..self.end];
        let length = match self.layout {
            Layout::Lines => match text.iter().position(|b| *b == b'\n') {
                Some(n) => n,
                None if self.last && !text.is_empty() => text.len(),
                None => return None,
            },
            Layout::Array | Layout::Objects => object_length(text)?,
        };
        self.line += text[..length].iter().filter(|b| **b == b'\n').count() as u64;
        self.at += length;
        Some(Object {
            start,
            end: self.at,
            line,
        })
    }

    /// Passes blanks, and the punctuation of an array between its objects.
    fn skip_blank(&mut self) {
        while let Some(byte) = self.buffer[self.at..self.end].first() {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                0xef if self.buffer[self.at..self.end].starts_with("\u{feff}".as_bytes()) => {
                    self.at += 2;
                }
                b'[' if self.layout == Layout::Array && !self.opened => self.opened = true,
                b',' | b']' if self.layout == Layout::Array => {}
                _ => break,
            }
            self.at += 1;
        }
    }
}

/// The bytes of the value a text begins with; `None` where it does not end.
fn object_length(text: &[u8]) -> Option<usize> {
    let (mut depth, mut string, mut escaped) = (0_usize, false, false);
    for (i, byte) in text.iter().enumerate() {
        if string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(i + usize::from(depth == 1)),
            b'}' | b']' => depth -= 1,
            // A bare value between the objects ends where the next thing begins.
            b',' | b'\n' if depth == 0 && i > 0 => return Some(i),
            _ => {}
        }
    }
    None
}

#[derive(Debug)]
struct JsonFile {
    source: Source,
    layout: Layout,
    partition: Vec<ScalarValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Column(usize),
    Partition(usize),
    RowId,
    Filename,
}

#[derive(Debug)]
struct Scan {
    files: Vec<JsonFile>,
    schema: SchemaRef,
    outputs: Vec<Output>,
    on_error: OnError,
    rules: u64,
    rejects: Rejects,
    progress: Progress,
}

/// JSON objects as a table.
#[derive(Debug, Clone)]
pub struct JsonTable {
    scan: Arc<Scan>,
}

impl JsonTable {
    /// Looks at the files and settles names and types.
    pub fn open(files: &[PathBuf], options: &JsonOptions, env: &LoadEnv) -> Result<Self> {
        let mut json_files = Vec::with_capacity(files.len());
        let mut all = Shape::Null;
        for path in files {
            if let Some(other @ (Reader::Parquet | Reader::Arrow | Reader::Avro)) =
                Reader::by_content(path)?
            {
                return plan_err!(
                    "{FUNCTION}: '{0}' is not JSON; write {1}('{0}')",
                    path.display(),
                    other.function()
                );
            }
            let source = Source::open(path, Encoding::Utf8)?;
            let layout = match options.layout {
                Some(layout) => layout,
                None => layout(&source)?,
            };
            let shape = sample(&source, layout, options.sample_rows, options.on_error)?;
            all = all.with(shape);
            json_files.push(JsonFile {
                source,
                layout,
                partition: Vec::new(),
            });
        }
        let Shape::Struct(columns) = all else {
            if options.types.is_empty() {
                return plan_err!(
                    "{FUNCTION}: '{}' has no objects, so there is nothing to take columns from; to read it all the same, write types => {{'a': 'VARCHAR'}}",
                    files
                        .first()
                        .map(|f| f.display().to_string())
                        .unwrap_or_default()
                );
            }
            return Self::build(json_files, Vec::new(), files, options, env);
        };
        Self::build(json_files, columns, files, options, env)
    }

    fn build(
        mut files: Vec<JsonFile>,
        mut columns: Vec<(String, Shape)>,
        paths: &[PathBuf],
        options: &JsonOptions,
        env: &LoadEnv,
    ) -> Result<Self> {
        // A declared column need not be in the sample: objects leave fields out.
        for (name, _) in &options.types {
            if !name.is_empty() && !columns.iter().any(|(n, _)| n == name) {
                if !columns.is_empty() {
                    env.notices.push(format!(
                        "{FUNCTION}: no object of the sample has the column '{name}' that types declares"
                    ));
                }
                columns.push((name.clone(), Shape::Null));
            }
        }
        let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
        let mut data_types: Vec<DataType> = columns.iter().map(|(_, s)| s.data_type()).collect();
        declare(FUNCTION, &names, &mut data_types, &options.types)?;
        let mut fields: Vec<FieldRef> = names
            .iter()
            .zip(data_types)
            .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
            .collect();
        let mut outputs: Vec<Output> = (0..names.len()).map(Output::Column).collect();
        let hive = Hive::find(FUNCTION, options.hive, paths, |key| {
            names.iter().any(|name| name == key)
        })?;
        for (i, (name, data_type)) in hive.columns.iter().enumerate() {
            fields.push(Arc::new(Field::new(name, data_type.clone(), true)));
            outputs.push(Output::Partition(i));
        }
        for (file, partition) in files.iter_mut().zip(hive.values) {
            file.partition = partition;
        }
        for (wanted, name, data_type, output) in [
            (options.row_id, "row_id", DataType::Int64, Output::RowId),
            (
                options.filename,
                "filename",
                DataType::Utf8View,
                Output::Filename,
            ),
        ] {
            if wanted {
                if fields.iter().any(|f| f.name() == name) {
                    return plan_err!(
                        "{FUNCTION}: there is a column '{name}' already; leave out {name} => true"
                    );
                }
                fields.push(Arc::new(Field::new(name, data_type, false)));
                outputs.push(output);
            }
        }
        Ok(Self {
            scan: Arc::new(Scan {
                rules: super::rules(&format!("{options:?}")),
                files,
                schema: Arc::new(Schema::new(fields)),
                outputs,
                on_error: options.on_error,
                rejects: env.rejects.clone(),
                progress: env.progress.clone(),
            }),
        })
    }
}

/// How the objects stand in a file: by its first lines.
fn layout(source: &Source) -> Result<Layout> {
    let failed = |e: std::io::Error| exec_datafusion_err!("cannot read '{}': {e}", source.name);
    let mut head = vec![0; 1 << 16];
    let n = read_full(&mut source.peek()?, &mut head).map_err(failed)?;
    let text = head[..n].trim_ascii_start();
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    if text.first() == Some(&b'[') {
        return Ok(Layout::Array);
    }
    let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
    // A line that is cut off by the end of the look counts as one.
    let whole = first.len() < text.len() || n < head.len();
    if whole && serde_json::from_slice::<Value>(first).is_err() && object_length(text).is_some() {
        return Ok(Layout::Objects);
    }
    Ok(Layout::Lines)
}

/// The shape of a file's first objects.
fn sample(source: &Source, layout: Layout, rows: Option<u64>, on_error: OnError) -> Result<Shape> {
    let mut objects = Objects::open(source, layout, None)?;
    let mut shape = Shape::Null;
    let mut found = Vec::new();
    let mut left = rows.unwrap_or(u64::MAX);
    loop {
        let limit = usize::try_from(left.min(1024)).unwrap_or(1024);
        objects.next(limit, &mut found)?;
        if found.is_empty() || left == 0 {
            return Ok(shape);
        }
        left -= found.len() as u64;
        for object in &found {
            let text = &objects.buffer[object.start..object.end];
            match serde_json::from_slice::<Value>(text) {
                Ok(value @ Value::Object(_)) => shape = shape.with(Shape::of(&value)),
                other if on_error == OnError::Fail => {
                    let problem = match other {
                        Err(e) => e.to_string(),
                        Ok(_) => "not an object".to_string(),
                    };
                    return Err(failure(&source.name, object.line, None, text, &problem));
                }
                _ => {}
            }
        }
    }
}

fn failure(
    name: &str,
    line: u64,
    column: Option<(&str, &DataType)>,
    text: &[u8],
    problem: &str,
) -> DataFusionError {
    let text = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
    match column {
        Some((column, data_type)) => exec_datafusion_err!(
            "'{name}', line {}, column '{column}': '{text}' is not {}. Write on_error => 'null' to read it as NULL, or types => {{'{column}': 'VARCHAR'}} to read the column as text",
            line + 1,
            types::name(data_type)
        ),
        None => exec_datafusion_err!(
            "'{name}', line {}: {problem}: '{text}'. Write on_error => 'skip' to leave such objects out",
            line + 1
        ),
    }
}

#[async_trait]
impl TableProvider for JsonTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.scan.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (schema, outputs) = match projection {
            Some(projection) => (
                Arc::new(self.scan.schema.project(projection)?),
                projection.iter().map(|i| self.scan.outputs[*i]).collect(),
            ),
            None => (Arc::clone(&self.scan.schema), self.scan.outputs.clone()),
        };
        // Files go to partitions in order, with about as many bytes each.
        let partitions = state.config().target_partitions().max(1);
        let total: u64 = self.scan.files.iter().map(|f| f.source.size).sum();
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); partitions];
        let mut before = 0_u64;
        for (i, file) in self.scan.files.iter().enumerate() {
            let group = u128::from(before) * partitions as u128 / u128::from(total.max(1));
            let group = usize::try_from(group).unwrap_or(0).min(partitions - 1);
            groups[group].push(i);
            before += file.source.size;
        }
        groups.retain(|group| !group.is_empty());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(groups.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(JsonExec {
            scan: Arc::clone(&self.scan),
            outputs,
            groups,
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            running: Arc::default(),
        }))
    }
}

/// Reads JSON objects.
#[derive(Debug)]
struct JsonExec {
    scan: Arc<Scan>,
    outputs: Vec<Output>,
    groups: Vec<Vec<usize>>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    running: Arc<std::sync::atomic::AtomicUsize>,
}

impl DisplayAs for JsonExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let files = &self.scan.files;
        let files = leaf::first_files(files.len(), |i| files[i].source.name.to_string());
        let partitions = self.groups.len();
        leaf::explain(
            f,
            "JsonExec: ",
            &files,
            partitions,
            &self.schema(),
            self.limit,
        )
    }
}

impl ExecutionPlan for JsonExec {
    fn name(&self) -> &str {
        "JsonExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() {
            Ok(self)
        } else {
            internal_err!("JsonExec has no children")
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(files) = self.groups.get(partition) else {
            return internal_err!("JsonExec has no partition {partition}");
        };
        let schema = self.schema();
        let reading = Reading {
            scan: Arc::clone(&self.scan),
            outputs: self.outputs.clone(),
            schema: Arc::clone(&schema),
            files: files.clone(),
            limit: self.limit.unwrap_or(usize::MAX),
            batch_rows: context.session_config().batch_size().max(1),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            running: Arc::clone(&self.running),
        };
        Ok(leaf::on_a_thread(schema, move |send| reading.run(&send)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One partition's work.
struct Reading {
    scan: Arc<Scan>,
    outputs: Vec<Output>,
    schema: SchemaRef,
    files: Vec<usize>,
    limit: usize,
    batch_rows: usize,
    metrics: BaselineMetrics,
    running: Arc<std::sync::atomic::AtomicUsize>,
}

impl Reading {
    fn run(self, send: &Sender<Result<RecordBatch>>) -> Result<()> {
        let sources: Vec<&Source> = self.scan.files.iter().map(|f| &f.source).collect();
        let shown = Shown::begin(&self.scan.progress, &sources, &self.running);
        let mut left = self.limit;
        for file in &self.files {
            if left == 0 || !self.read(*file, &mut left, shown.progress(), send)? {
                break;
            }
        }
        self.metrics.done();
        Ok(())
    }

    /// The columns that are decoded: those asked for; all of them where a bad value drops its row.
    fn columns(&self) -> Result<(Vec<usize>, SchemaRef)> {
        let from = if self.scan.on_error == OnError::Skip {
            &self.scan.outputs
        } else {
            &self.outputs
        };
        let mut columns: Vec<usize> = from
            .iter()
            .filter_map(|output| match output {
                Output::Column(i) => Some(*i),
                _ => None,
            })
            .collect();
        columns.sort_unstable();
        columns.dedup();
        let schema = Arc::new(self.scan.schema.project(&columns)?);
        Ok((columns, schema))
    }

    fn read(
        &self,
        at: usize,
        left: &mut usize,
        progress: Option<Progress>,
        send: &Sender<Result<RecordBatch>>,
    ) -> Result<bool> {
        let file = &self.scan.files[at];
        let (columns, schema) = self.columns()?;
        let mut first_id = 0;
        if self.outputs.contains(&Output::RowId) {
            for earlier in &self.scan.files[..at] {
                first_id += count(earlier)?;
            }
        }
        let mut writer =
            self.scan
                .rejects
                .writer(Arc::clone(&file.source.name), self.scan.rules, 0);
        let mut objects = Objects::open(&file.source, file.layout, progress)?;
        let mut found = Vec::new();
        let mut ids = Vec::new();
        while *left > 0 {
            objects.next(self.batch_rows, &mut found)?;
            if found.is_empty() {
                return Ok(true);
            }
            let timer = self.metrics.elapsed_compute().timer();
            ids.clear();
            let batch = self.decode(
                file,
                &objects.buffer,
                &found,
                &schema,
                &mut ids,
                &mut writer,
            )?;
            let ids: Vec<i64> = ids.iter().map(|id| first_id + *id).collect();
            first_id += i64::try_from(found.len()).unwrap_or(i64::MAX);
            let batch = self.output(file, &columns, batch, ids)?;
            drop(timer);
            let batch = batch.slice(0, batch.num_rows().min(*left));
            *left -= batch.num_rows();
            if batch.num_rows() == 0 {
                if send.is_closed() {
                    return Ok(false);
                }
                continue;
            }
            self.metrics.record_output(batch.num_rows());
            if send.blocking_send(Ok(batch)).is_err() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Decodes objects; `ids` are the places of those that are kept.
    fn decode(
        &self,
        file: &JsonFile,
        buffer: &[u8],
        found: &[Object],
        schema: &SchemaRef,
        ids: &mut Vec<i64>,
        writer: &mut Writer,
    ) -> Result<RecordBatch> {
        let all = found.iter().map(|o| &buffer[o.start..o.end]);
        if let Ok(batch) = rows(schema, all)
            && batch.num_rows() == found.len()
        {
            ids.extend(0..i64::try_from(found.len()).unwrap_or(i64::MAX));
            return Ok(batch);
        }
        let mut batches = Vec::new();
        for (i, object) in found.iter().enumerate() {
            let text = &buffer[object.start..object.end];
            let kept = match rows(schema, std::iter::once(text)) {
                Ok(batch) if batch.num_rows() == 1 => Some(batch),
                _ => self.mend(file, object, text, schema, writer)?,
            };
            if let Some(batch) = kept {
                batches.push(batch);
                ids.push(i64::try_from(i).unwrap_or(i64::MAX));
            }
        }
        Ok(concat_batches(schema, &batches)?)
    }

    /// What is left of an object that does not decode, by `on_error`.
    #[cold]
    fn mend(
        &self,
        file: &JsonFile,
        object: &Object,
        text: &[u8],
        schema: &SchemaRef,
        writer: &mut Writer,
    ) -> Result<Option<RecordBatch>> {
        let name = &file.source.name;
        let value = match serde_json::from_slice::<Value>(text) {
            Ok(Value::Object(fields)) => fields,
            other => {
                let problem = match other {
                    Err(e) => e.to_string(),
                    Ok(_) => "not an object".to_string(),
                };
                if self.scan.on_error == OnError::Fail {
                    return Err(failure(name, object.line, None, text, &problem));
                }
                writer.add(object.line + 1, None, &problem.into(), || {
                    shortened(String::from_utf8_lossy(text).into_owned())
                });
                return Ok(None);
            }
        };
        let mut arrays = Vec::with_capacity(schema.fields().len());
        let mut bad = false;
        for field in schema.fields() {
            let one = Arc::new(Schema::new(vec![Arc::clone(field)]));
            let cell = value.get(field.name()).cloned().unwrap_or(Value::Null);
            let shown = match &cell {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let wrapped =
                Value::Object([(field.name().clone(), cell)].into_iter().collect()).to_string();
            match rows(&one, std::iter::once(wrapped.as_bytes())) {
                Ok(batch) if batch.num_rows() == 1 => arrays.push(Arc::clone(batch.column(0))),
                _ => {
                    if self.scan.on_error == OnError::Fail {
                        return Err(failure(
                            name,
                            object.line,
                            Some((field.name(), field.data_type())),
                            shown.as_bytes(),
                            "",
                        ));
                    }
                    bad = true;
                    let column: Arc<str> = field.name().as_str().into();
                    let reason: Arc<str> = format!("not {}", types::name(field.data_type())).into();
                    writer.add(object.line + 1, Some(&column), &reason, || shown);
                    arrays.push(arrow::array::new_null_array(field.data_type(), 1));
                }
            }
        }
        if bad && self.scan.on_error == OnError::Skip {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        Ok(Some(RecordBatch::try_new_with_options(
            Arc::clone(schema),
            arrays,
            &options,
        )?))
    }

    fn output(
        &self,
        file: &JsonFile,
        columns: &[usize],
        batch: RecordBatch,
        ids: Vec<i64>,
    ) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            arrays.push(match output {
                Output::Column(i) => match columns.binary_search(i) {
                    Ok(at) => Arc::clone(batch.column(at)),
                    Err(_) => return internal_err!("column {i} was not read"),
                },
                Output::Partition(i) => file.partition[*i].to_array_of_size(rows)?,
                Output::RowId => Arc::new(Int64Array::from(ids.clone())),
                Output::Filename => {
                    let name: &str = &file.source.name;
                    Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(
                        name, rows,
                    )))
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            arrays,
            &options,
        )?)
    }
}

/// The objects of a file.
fn count(file: &JsonFile) -> Result<i64> {
    let mut objects = Objects::open(&file.source, file.layout, None)?;
    let (mut total, mut found) = (0, Vec::new());
    loop {
        objects.next(8192, &mut found)?;
        if found.is_empty() {
            return Ok(total);
        }
        total += i64::try_from(found.len()).unwrap_or(i64::MAX);
    }
}

/// Decodes some objects with Arrow's decoder.
fn rows<'a>(
    schema: &SchemaRef,
    texts: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Result<RecordBatch> {
    let mut decoder: Decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(texts.len() + 1)
        .with_coerce_primitive(true)
        .build_decoder()?;
    for text in texts {
        let mut rest = text;
        while !rest.is_empty() {
            let used = decoder.decode(rest)?;
            if used == 0 {
                break;
            }
            rest = &rest[used..];
        }
        decoder.decode(b"\n")?;
        if decoder.has_partial_record() {
            return Err(exec_datafusion_err!("an object is not complete"));
        }
    }
    match decoder.flush()? {
        Some(batch) => Ok(batch),
        None => Ok(RecordBatch::new_empty(Arc::clone(schema))),
    }
}
