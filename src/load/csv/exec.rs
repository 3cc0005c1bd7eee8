//! The scan of delimited text: files cut into partitions, each parsed on a thread of its own into a
//! short queue of batches.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatchOptions, StringViewArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, exec_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use tokio::sync::mpsc::Sender;

use super::column::{BadCell, Block, Column, column};
use super::input::{Input, Parts};
use super::tokenize::{Fault, Odd, Records, Row, Want};
use super::{CsvFile, Output, Scan};
use crate::load::leaf;
use crate::load::rejects::{Writer, shortened};
use crate::load::shown::Shown;
use crate::load::source::Source;
use crate::load::{OnError, types};
use crate::session::Progress;

/// Fields cut at once: few enough to stay in a core's cache until they are parsed.
const FIELDS_AT_ONCE: usize = 1 << 15;
/// Cells a batch has at most, for tables with very many columns.
const CELLS_A_BATCH: usize = 1 << 22;
/// How much larger text is than its compressed form, for estimates.
const EXPANSION: u64 = 5;

/// A part of a file.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: usize,
    part: usize,
}

/// Reads delimited text.
#[derive(Debug)]
pub struct CsvExec {
    scan: Arc<Scan>,
    outputs: Vec<Output>,
    /// Which parts each partition reads, in order.
    partitions: Vec<Vec<Place>>,
    parts: Arc<Vec<Parts>>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    running: Arc<AtomicUsize>,
}

impl CsvExec {
    pub fn new(
        scan: Arc<Scan>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        partitions: usize,
        least_bytes: u64,
    ) -> Result<Self> {
        let (schema, outputs): (SchemaRef, Vec<Output>) = match projection {
            Some(projection) => (
                Arc::new(scan.schema.project(projection)?),
                projection.iter().map(|i| scan.outputs[*i]).collect(),
            ),
            None => (Arc::clone(&scan.schema), scan.outputs.clone()),
        };
        let (parts, places) = divide(&scan, partitions, least_bytes);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(places.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            scan,
            outputs,
            partitions: places,
            parts: Arc::new(parts),
            limit,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            running: Arc::default(),
        })
    }
}

/// Cuts the files, laid end to end, into pieces of equal size. What cannot be read from its middle
/// goes to the partition it starts in.
fn divide(scan: &Scan, partitions: usize, least_bytes: u64) -> (Vec<Parts>, Vec<Vec<Place>>) {
    let weight = |file: &CsvFile| {
        if file.source.seekable() {
            file.source.size
        } else {
            file.source.size * EXPANSION
        }
    };
    let total: u64 = scan.files.iter().map(weight).sum();
    let partitions = if total < least_bytes {
        1
    } else {
        partitions.max(1) as u64
    };
    let mut places = vec![Vec::new(); usize::try_from(partitions).unwrap_or(1)];
    let mut parts = Vec::with_capacity(scan.files.len());
    let mut before = 0;
    for (file, csv) in scan.files.iter().enumerate() {
        let size = weight(csv);
        let owner = |at: u64| {
            let at = u128::from(at) * u128::from(partitions) / u128::from(total.max(1));
            usize::try_from(at).unwrap_or(0).min(places.len() - 1)
        };
        let mut bounds = vec![0];
        let mut owners = vec![owner(before)];
        if csv.source.seekable() {
            for partition in owners[0] as u64 + 1..partitions {
                // The first byte that belongs to this partition.
                let cut =
                    (u128::from(total) * u128::from(partition)).div_ceil(u128::from(partitions));
                let cut = u64::try_from(cut).unwrap_or(u64::MAX);
                if cut <= before || cut >= before + size {
                    continue;
                }
                bounds.push(cut - before);
                owners.push(usize::try_from(partition).unwrap_or(0));
            }
        }
        for (part, owner) in owners.into_iter().enumerate() {
            places[owner].push(Place { file, part });
        }
        parts.push(Parts::new(
            csv.source.clone(),
            scan.dialect,
            scan.skip_rows,
            bounds,
        ));
        before += size;
    }
    places.retain(|places| !places.is_empty());
    (parts, places)
}

impl DisplayAs for CsvExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let files = &self.scan.files;
        let files = leaf::first_files(files.len(), |i| files[i].source.name.to_string());
        match t {
            DisplayFormatType::TreeRender => write!(f, "files={files}"),
            _ => {
                let partitions = self.partitions.len();
                leaf::explain(
                    f,
                    "CsvExec: ",
                    &files,
                    partitions,
                    &self.schema(),
                    self.limit,
                )
            }
        }
    }
}

impl ExecutionPlan for CsvExec {
    fn name(&self) -> &str {
        "CsvExec"
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
            internal_err!("CsvExec has no children")
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(places) = self.partitions.get(partition) else {
            return internal_err!("CsvExec has no partition {partition}");
        };
        let schema = self.schema();
        let rows = context
            .session_config()
            .batch_size()
            .min(CELLS_A_BATCH / self.outputs.len().max(1))
            .max(1);
        let reader = Reading {
            scan: Arc::clone(&self.scan),
            outputs: self.outputs.clone(),
            schema: Arc::clone(&schema),
            parts: Arc::clone(&self.parts),
            places: places.clone(),
            limit: self.limit.unwrap_or(usize::MAX),
            batch_rows: rows,
            metrics: BaselineMetrics::new(&self.metrics, partition),
            rejected: MetricBuilder::new(&self.metrics).counter("rejected", partition),
            running: Arc::clone(&self.running),
        };
        Ok(leaf::on_a_thread(schema, move |send| reader.run(&send)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _input_stats: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let schema = self.schema();
        let mut statistics = Statistics::new_unknown(&schema);
        let bytes: u64 = self
            .scan
            .files
            .iter()
            .map(|file| {
                if file.source.compression.is_compressed() {
                    file.source.size * EXPANSION
                } else {
                    file.source.size
                }
            })
            .sum();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let rows = (bytes as f64 / self.scan.record_bytes.max(1.0)) as usize;
        let share = match args.partition() {
            Some(_) => self.partitions.len().max(1),
            None => 1,
        };
        let rows = (rows / share).min(self.limit.unwrap_or(usize::MAX));
        statistics.num_rows = Precision::Inexact(rows);
        Ok(Arc::new(statistics))
    }
}

/// One partition's work.
struct Reading {
    scan: Arc<Scan>,
    outputs: Vec<Output>,
    schema: SchemaRef,
    parts: Arc<Vec<Parts>>,
    places: Vec<Place>,
    limit: usize,
    batch_rows: usize,
    metrics: BaselineMetrics,
    rejected: datafusion::physical_plan::metrics::Count,
    running: Arc<AtomicUsize>,
}

/// A batch that grows.
struct Batch {
    columns: Vec<(usize, Box<dyn Column>)>,
    rows: usize,
    row_ids: Vec<i64>,
    /// Which rows stay; looked at only when one does not.
    keep: Vec<bool>,
    dropped: usize,
}

impl Reading {
    fn run(self, send: &Sender<Result<RecordBatch>>) -> Result<()> {
        let sources: Vec<&Source> = self.scan.files.iter().map(|f| &f.source).collect();
        let shown = Shown::begin(&self.scan.progress, &sources, &self.running);
        let mut left = self.limit;
        for place in &self.places {
            if left == 0 {
                break;
            }
            match self.read(*place, &mut left, shown.progress(), send) {
                Ok(true) => {}
                // Nobody wants more.
                Ok(false) => break,
                Err(e) => return Err(e),
            }
        }
        self.metrics.done();
        Ok(())
    }

    /// The columns that are parsed: those asked for; all of them where a bad cell drops its row,
    /// so that the rows do not depend on the columns asked for.
    fn batch(&self) -> Batch {
        let mut wanted: Vec<usize> = self
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Column(i) => Some(*i),
                _ => None,
            })
            .collect();
        if self.scan.on_error == OnError::Skip {
            let columns = self.scan.outputs.iter().filter_map(|output| match output {
                Output::Column(i) => Some(*i),
                _ => None,
            });
            wanted = columns.collect();
        }
        wanted.sort_unstable();
        wanted.dedup();
        Batch {
            columns: wanted
                .into_iter()
                .map(|i| (i, column(self.scan.schema.field(i).data_type())))
                .collect(),
            rows: 0,
            row_ids: Vec::new(),
            keep: Vec::new(),
            dropped: 0,
        }
    }

    fn read(
        &self,
        place: Place,
        left: &mut usize,
        progress: Option<Progress>,
        send: &Sender<Result<RecordBatch>>,
    ) -> Result<bool> {
        let file = &self.scan.files[place.file];
        let parts = &self.parts[place.file];
        let start = parts.start(place.part)?;
        let mut input = Input::open(&file.source, start.offset, progress)?;
        let (mut lines, mut records) = (start.lines, start.records);
        if place.part == 0 {
            lines += input.skip(self.scan.skip_rows, self.scan.dialect.terminator)?;
        }
        let row_ids = self.outputs.contains(&Output::RowId);
        let mut first_id = 0;
        if row_ids {
            for (file, parts) in self.scan.files[..place.file].iter().zip(self.parts.iter()) {
                first_id += parts
                    .total()?
                    .saturating_sub(u64::from(file.header.is_some()));
            }
        }
        let want = match self.scan.on_error {
            OnError::Skip => Want::Exactly(file.width),
            _ => Want::Width(file.width),
        };
        let mut writer =
            self.scan
                .rejects
                .writer(Arc::clone(&file.source.name), self.scan.rules, start.offset);
        let at_once = (FIELDS_AT_ONCE / file.width.max(1)).max(1);
        let mut batch = self.batch();
        let mut out = Records::default();
        let mut bad: Vec<(usize, BadCell)> = Vec::new();
        loop {
            let kept = batch.rows - batch.dropped;
            let mut limit = at_once
                .min(self.batch_rows - batch.rows)
                .min(*left - kept.min(*left));
            let mut want = want;
            let mut header = false;
            if let Some(at) = file.header.filter(|_| place.part == 0)
                && records <= at
            {
                header = records == at;
                let ahead = usize::try_from(at - records).unwrap_or(usize::MAX);
                limit = if header { 1 } else { limit.min(ahead) };
                if header {
                    want = Want::Counts;
                }
            }
            let timer = self.metrics.elapsed_compute().timer();
            let more = input.records(
                &self.scan.dialect,
                want,
                parts.stop(place.part),
                limit,
                &mut out,
            )?;
            if !more {
                break;
            }
            if !header {
                let block = Block {
                    buffer: &input.buffer,
                    records: &out,
                    width: file.width,
                    reading: &self.scan.reading,
                };
                bad.clear();
                self.parse(&block, file, lines, &mut batch, &mut bad, &mut writer)?;
                if row_ids {
                    let header = file.header;
                    batch.row_ids.extend(out.rows.iter().map(|row| {
                        let record = records + u64::from(row.record);
                        let id = first_id + record - u64::from(header.is_some_and(|h| record > h));
                        i64::try_from(id).unwrap_or(i64::MAX)
                    }));
                }
            }
            drop(timer);
            lines += u64::from(out.lines);
            records += u64::from(out.records);
            let kept = batch.rows - batch.dropped;
            if batch.rows >= self.batch_rows || kept >= *left {
                if !self.send(file, &mut batch, left, send)? {
                    return Ok(false);
                }
                if *left == 0 {
                    return Ok(false);
                }
            }
        }
        self.send(file, &mut batch, left, send)
    }

    /// Appends a block's rows to the batch.
    fn parse(
        &self,
        block: &Block,
        file: &CsvFile,
        lines: u64,
        batch: &mut Batch,
        bad: &mut Vec<(usize, BadCell)>,
        writer: &mut Writer,
    ) -> Result<()> {
        let mut cells = Vec::new();
        for (i, column) in &mut batch.columns {
            column.append(block, file.fields[*i], &mut cells)?;
            bad.extend(cells.drain(..).map(|cell| (*i, cell)));
        }
        let rows = block.records.rows.len();
        batch.rows += rows;
        if self.scan.on_error == OnError::Skip {
            batch.keep.resize(batch.rows, true);
        }
        if bad.is_empty() && block.records.odd.is_empty() {
            return Ok(());
        }
        self.reject(block, file, lines, batch, bad, writer)
    }

    #[cold]
    fn reject(
        &self,
        block: &Block,
        file: &CsvFile,
        lines: u64,
        batch: &mut Batch,
        bad: &mut [(usize, BadCell)],
        writer: &mut Writer,
    ) -> Result<()> {
        let line = |row: &Row| lines + u64::from(row.line) + 1;
        bad.sort_by_key(|(column, cell)| (cell.row, *column));
        if self.scan.on_error == OnError::Fail {
            let cell = bad.first().map(|b| (b, &block.records.rows[b.1.row]));
            let odd = block.records.odd.first();
            return Err(match (cell, odd) {
                (Some(((_, _), row)), Some(odd)) if odd.row.record <= row.record => {
                    self.odd_error(block, file, odd, line(&odd.row))
                }
                (Some(((column, cell), row)), _) => {
                    self.cell_error(block, file, *column, *cell, line(row))
                }
                (None, Some(odd)) => self.odd_error(block, file, odd, line(&odd.row)),
                (None, None) => exec_datafusion_err!("'{}' cannot be read", file.source.name),
            });
        }
        for odd in &block.records.odd {
            let reason: Arc<str> = fault(odd, file).into();
            let fields = odd.row.fields as usize;
            let short = odd.fault == Fault::Ragged && fields < file.width;
            // A short row is rejected at the first cell it does not have.
            let missing = file
                .fields
                .iter()
                .position(|field| *field == Some(fields))
                .filter(|_| short)
                .map(|i| self.column_name(i));
            writer.add(line(&odd.row), missing.as_ref(), &reason, || {
                line_text(block, &odd.row)
            });
            self.rejected.add(1);
        }
        let first = batch.rows - block.records.rows.len();
        for (column, cell) in bad.iter() {
            let row = &block.records.rows[cell.row];
            let name = self.column_name(*column);
            let reason: Arc<str> = self.reason(*column, *cell).into();
            writer.add(line(row), Some(&name), &reason, || {
                self.cell_text(block, file, *column, *cell)
            });
            self.rejected.add(1);
            if self.scan.on_error == OnError::Skip
                && std::mem::replace(&mut batch.keep[first + cell.row], false)
            {
                batch.dropped += 1;
            }
        }
        Ok(())
    }

    fn column_name(&self, column: usize) -> Arc<str> {
        self.scan.schema.field(column).name().as_str().into()
    }

    fn reason(&self, column: usize, cell: BadCell) -> String {
        if cell.not_utf8 {
            "not UTF-8".to_string()
        } else {
            format!(
                "not {}",
                types::name(self.scan.schema.field(column).data_type())
            )
        }
    }

    fn cell_text(&self, block: &Block, file: &CsvFile, column: usize, cell: BadCell) -> String {
        let field = file.fields[column].and_then(|at| {
            block
                .records
                .fields
                .get(cell.row * block.width + at)
                .copied()
        });
        let mut scratch = Vec::new();
        let text = field.and_then(|field| block.text(field, &mut scratch));
        String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
    }

    fn cell_error(
        &self,
        block: &Block,
        file: &CsvFile,
        column: usize,
        cell: BadCell,
        line: u64,
    ) -> DataFusionError {
        let name = self.column_name(column);
        let text = brief(self.cell_text(block, file, column, cell));
        let place = format!("'{}', line {line}, column '{name}'", file.source.name);
        if cell.not_utf8 {
            return exec_datafusion_err!(
                "{place}: '{text}' is not UTF-8. Write encoding => 'latin1' if that is what the file is, or on_error => 'null' to read it as NULL"
            );
        }
        let mut nulls: Vec<String> = self
            .scan
            .nulls
            .iter()
            .map(|n| format!("'{}'", n.replace('\'', "''")))
            .collect();
        nulls.push(format!("'{}'", text.trim().replace('\'', "''")));
        exec_datafusion_err!(
            "{place}: '{text}' is {}. Write on_error => 'null' to read it as NULL, types => {{'{name}': 'VARCHAR'}} to read the column as text, or nulls => [{}] if it stands for a missing value",
            self.reason(column, cell),
            nulls.join(", ")
        )
    }

    fn odd_error(&self, block: &Block, file: &CsvFile, odd: &Odd, line: u64) -> DataFusionError {
        let text = brief(line_text(block, &odd.row));
        let skip = if line <= 20 && odd.fault == Fault::Ragged {
            format!("skip_rows => {line} if the table begins below it, ")
        } else {
            String::new()
        };
        let quote = if odd.fault == Fault::Ragged {
            ""
        } else {
            ", or quote => '' if quotes are plain characters"
        };
        let keep = if odd.fault == Fault::Ragged {
            "on_error => 'null' to keep what it has, "
        } else {
            ""
        };
        exec_datafusion_err!(
            "'{}', line {line}: {}: '{text}'. Write {skip}{keep}on_error => 'skip' to leave such rows out{quote}",
            file.source.name,
            fault(odd, file)
        )
    }

    /// Sends what has grown. False when nobody takes it.
    fn send(
        &self,
        file: &CsvFile,
        batch: &mut Batch,
        left: &mut usize,
        send: &Sender<Result<RecordBatch>>,
    ) -> Result<bool> {
        if batch.rows == 0 {
            return Ok(true);
        }
        let rows = batch.rows;
        let mut parsed: Vec<(usize, ArrayRef)> = Vec::with_capacity(batch.columns.len());
        for (i, column) in &mut batch.columns {
            parsed.push((*i, column.finish()?));
        }
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            arrays.push(match output {
                Output::Column(i) => match parsed.binary_search_by_key(i, |(at, _)| *at) {
                    Ok(at) => Arc::clone(&parsed[at].1),
                    Err(_) => return internal_err!("column {i} was not read"),
                },
                Output::Partition(i) => file.partition[*i].to_array_of_size(rows)?,
                Output::RowId => Arc::new(Int64Array::from(std::mem::take(&mut batch.row_ids))),
                Output::Filename => {
                    let name: &str = &file.source.name;
                    Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(
                        name, rows,
                    )))
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let mut full =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        let keep = std::mem::take(&mut batch.keep);
        if batch.dropped > 0 {
            full = filter_record_batch(&full, &BooleanArray::from(keep))?;
        }
        batch.rows = 0;
        batch.dropped = 0;
        if full.num_rows() > *left {
            full = full.slice(0, *left);
        }
        *left -= full.num_rows();
        if full.num_rows() == 0 {
            return Ok(!send.is_closed());
        }
        self.metrics.record_output(full.num_rows());
        Ok(send.blocking_send(Ok(full)).is_ok())
    }
}

fn fault(odd: &Odd, file: &CsvFile) -> String {
    match odd.fault {
        Fault::Ragged => format!(
            "{} field{} where {} are expected",
            odd.row.fields,
            if odd.row.fields == 1 { "" } else { "s" },
            file.width
        ),
        Fault::UnclosedQuote => "a quote is opened and never closed".to_string(),
        Fault::TextAfterQuote => "there is text after a closing quote".to_string(),
    }
}

fn line_text(block: &Block, row: &Row) -> String {
    let bytes = block
        .buffer
        .get(row.start as usize..row.end as usize)
        .unwrap_or_default();
    let bytes = &bytes[..bytes.len().min(8192)];
    shortened(String::from_utf8_lossy(bytes).trim_end().to_string())
}

/// A text short enough for a message.
fn brief(text: String) -> String {
    if text.chars().count() <= 80 {
        return text;
    }
    let mut short: String = text.chars().take(77).collect();
    short.push_str("...");
    short
}
