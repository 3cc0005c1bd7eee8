//! `read_csv`: text with delimiters, as it is found in the world.

mod column;
mod exec;
mod infer;
mod input;
mod tokenize;
mod value;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::args::{Args, Param, did_you_mean};
use super::hive::Hive;
use super::path::Reader;
use super::source::{Encoding, Source};
use super::{LoadEnv, OnError, Rejects, types};
use crate::session::Progress;

use column::Reading;
use exec::CsvExec;
use infer::{Kinds, Sampled};
use tokenize::Dialect;
use value::Nulls;

const FUNCTION: &str = "read_csv";

/// What `read_csv` takes beside the path.
pub const CSV_PARAMS: &[Param] = &[
    (
        "delimiter",
        "found out",
        "the character between fields; `,` `;` tab and `|` are recognised",
    ),
    ("quote", "'\"'", "the character around fields; '' for none"),
    (
        "escape",
        "the quote, doubled",
        "what makes the next character of a quoted field literal, as '\\'",
    ),
    (
        "header",
        "found out",
        "whether the first record names the columns",
    ),
    (
        "names",
        "the header, or column_1, column_2, ...",
        "the names of the columns, in order",
    ),
    (
        "types",
        "inferred from the sample",
        "types by name, {'zip': 'VARCHAR'}, or of all columns, ['BIGINT', ...]",
    ),
    (
        "nulls",
        "['', '?', 'NA', 'N/A', 'NaN', 'null', 'none', '-', '.']",
        "what stands for a missing value, in any case and without blanks around it",
    ),
    (
        "quoted_nulls",
        "true",
        "whether a quoted text can stand for a missing value; with false, \"\" is an empty text",
    ),
    (
        "trim",
        "true",
        "drop blanks around fields that are not quoted",
    ),
    (
        "skip_rows",
        "0",
        "lines to skip at the beginning of each file",
    ),
    (
        "comment",
        "none",
        "lines that begin with this character are skipped",
    ),
    (
        "sample_rows",
        "20000",
        "rows, spread over all of the files, that types are inferred from; -1 for every row, up to 512 MiB of text a file",
    ),
    (
        "on_error",
        "'fail'",
        "what a bad row does: 'fail'; 'null', its bad cells are NULL; 'skip', it is left out; rejected rows are in the table `rejects`",
    ),
    (
        "encoding",
        "'utf-8'",
        "'utf-8', 'latin1' or 'utf-16'; a byte order mark goes before it",
    ),
    (
        "hive",
        "found out",
        "whether directories named key=value are columns",
    ),
    (
        "row_id",
        "false",
        "add the column `row_id`: records counted from 0 over all files in path order, rejected ones too",
    ),
    ("filename", "false", "add the column `filename`"),
];

/// What stands for a missing value where nothing else is said; the same list as `null_if`'s.
pub const NULL_TEXTS: [&str; 9] = ["", "?", "NA", "N/A", "NaN", "null", "none", "-", "."];

/// How a file is to be read. What is `None` is found out.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    pub delimiter: Option<u8>,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    pub header: Option<bool>,
    pub names: Option<Vec<String>>,
    /// Types by column name; with empty names, of all columns in order.
    pub types: Vec<(String, DataType)>,
    pub nulls: Vec<String>,
    pub quoted_nulls: bool,
    pub trim: bool,
    pub skip_rows: u64,
    pub comment: Option<u8>,
    /// Rows to infer from; every one if `None`.
    pub sample_rows: Option<u64>,
    pub on_error: OnError,
    pub encoding: Option<Encoding>,
    pub hive: Option<bool>,
    pub row_id: bool,
    pub filename: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: None,
            quote: Some(b'"'),
            escape: None,
            header: None,
            names: None,
            types: Vec::new(),
            nulls: NULL_TEXTS.iter().map(ToString::to_string).collect(),
            quoted_nulls: true,
            trim: true,
            skip_rows: 0,
            comment: None,
            sample_rows: Some(20_000),
            on_error: OnError::Fail,
            encoding: None,
            hive: None,
            row_id: false,
            filename: false,
        }
    }
}

impl CsvOptions {
    /// From the named arguments of `read_csv`.
    pub fn from_args(values: &[(String, ScalarValue)]) -> Result<Self> {
        let args = Args::new(FUNCTION, CSV_PARAMS, values)?;
        let default = Self::default();
        let delimiter = match args.byte("delimiter")? {
            Some(None) => return plan_err!("{FUNCTION}: the delimiter cannot be empty"),
            given => given.flatten(),
        };
        let options = Self {
            delimiter,
            quote: args.byte("quote")?.unwrap_or(default.quote),
            escape: args.byte("escape")?.flatten(),
            header: args.boolean("header")?,
            names: args.texts("names")?,
            types: column_types(FUNCTION, &args)?,
            nulls: args.texts("nulls")?.unwrap_or(default.nulls),
            quoted_nulls: args.boolean("quoted_nulls")?.unwrap_or(true),
            trim: args.boolean("trim")?.unwrap_or(true),
            skip_rows: args.count("skip_rows")?.unwrap_or(0),
            comment: args.byte("comment")?.flatten(),
            sample_rows: match args.integer("sample_rows")? {
                None => default.sample_rows,
                Some(-1) => None,
                Some(n) if n > 0 => Some(n.unsigned_abs()),
                Some(n) => {
                    return plan_err!(
                        "{FUNCTION}: sample_rows is {n}; write a number of rows, or -1 for all"
                    );
                }
            },
            on_error: OnError::from_args(&args)?,
            encoding: match args.choice("encoding", &["utf-8", "utf8", "latin1", "utf-16"])? {
                Some("latin1") => Some(Encoding::Latin1),
                Some("utf-16") => Some(Encoding::Utf16Le),
                Some(_) => Some(Encoding::Utf8),
                None => None,
            },
            hive: args.boolean("hive")?,
            row_id: args.boolean("row_id")?.unwrap_or(false),
            filename: args.boolean("filename")?.unwrap_or(false),
        };
        if options.delimiter.is_some() && options.delimiter == options.quote {
            return plan_err!("{FUNCTION}: delimiter and quote are the same character");
        }
        Ok(options)
    }
}

/// The argument `types` of a reader.
pub(super) fn column_types(function: &str, args: &Args) -> Result<Vec<(String, DataType)>> {
    let mut types = Vec::new();
    for (name, text) in args.pairs("types")?.unwrap_or_default() {
        match types::parse(&text) {
            Ok(data_type) => types.push((name, data_type)),
            Err(problem) => return plan_err!("{function}: argument 'types': {problem}"),
        }
    }
    Ok(types)
}

/// Whether a text is a date as the reader reads dates.
pub(super) fn is_date(text: &str) -> bool {
    value::date(text.as_bytes()).is_some()
}

/// A file of the table.
#[derive(Debug)]
struct CsvFile {
    source: Source,
    /// The record that names the columns, which is no row.
    header: Option<u64>,
    /// Fields a record.
    width: usize,
    /// Which field each column of the table is.
    fields: Vec<Option<usize>>,
    partition: Vec<ScalarValue>,
}

/// A column the scan can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// A column of the files.
    Column(usize),
    /// A Hive partition.
    Partition(usize),
    RowId,
    Filename,
}

/// All a scan needs to know; shared by its partitions.
#[derive(Debug)]
struct Scan {
    files: Vec<CsvFile>,
    schema: SchemaRef,
    outputs: Vec<Output>,
    dialect: Dialect,
    reading: Reading,
    skip_rows: u64,
    on_error: OnError,
    nulls: Vec<String>,
    /// Tells this way of reading apart from others, for the rejects.
    rules: u64,
    rejects: Rejects,
    progress: Progress,
    record_bytes: f64,
}

/// Delimited text as a table.
#[derive(Debug, Clone)]
pub struct CsvTable {
    scan: Arc<Scan>,
}

impl CsvTable {
    /// Looks at the files and settles dialect, names and types.
    pub fn open(files: &[PathBuf], options: &CsvOptions, env: &LoadEnv) -> Result<Self> {
        let mut sources = Vec::with_capacity(files.len());
        for file in files {
            match Reader::by_content(file)? {
                Some(Reader::Csv | Reader::Json) | None => {}
                Some(other) => {
                    return plan_err!(
                        "{FUNCTION}: '{0}' is not text; write {1}('{0}')",
                        file.display(),
                        other.function()
                    );
                }
            }
            sources.push(Source::open(
                file,
                options.encoding.unwrap_or(Encoding::Utf8),
            )?);
        }
        let share = options
            .sample_rows
            .map(|rows| (rows / sources.len().max(1) as u64).max(100));
        let mut samples = Vec::with_capacity(sources.len());
        for source in &sources {
            samples.push(infer::sample(source, share)?);
        }
        let mut dialect = Dialect {
            delimiter: options.delimiter.unwrap_or(b','),
            quote: options.quote,
            escape: options.escape.filter(|e| Some(*e) != options.quote),
            terminator: b'\n',
            comment: options.comment,
            trim: options.trim,
        };
        let filled = samples
            .iter()
            .position(|sample| sample.pieces.first().is_some_and(|p| !p.is_empty()));
        if let Some(first) = filled {
            let sample = &samples[first];
            let text = &sample.pieces[0];
            if text.contains(&0) {
                return plan_err!(
                    "{FUNCTION}: '{}' is not text: it has zero bytes; if it is UTF-16 without a byte order mark, write encoding => 'utf-16'",
                    sources[first].name
                );
            }
            if !text.contains(&b'\n') && text.contains(&b'\r') {
                dialect.terminator = b'\r';
            }
            if options.delimiter.is_none() {
                dialect.delimiter =
                    infer::delimiter(sample, &sources[first], dialect, options.skip_rows)?;
            }
        }
        let reading = Reading {
            nulls: Nulls::new(
                options.nulls.iter().map(String::as_str),
                options.quoted_nulls,
            ),
            trim: options.trim,
            quote: options.quote,
            escape: dialect.escape,
        };

        let mut names: Vec<String> = Vec::new();
        let mut kinds: Vec<Kinds> = Vec::new();
        let mut csv_files: Vec<CsvFile> = Vec::new();
        let mut kept = Vec::new();
        let mut record_bytes = 0.0_f64;
        for (i, (source, sample)) in sources.into_iter().zip(samples).enumerate() {
            let sampled = Sampled::new(&sample, &source, &dialect, options.skip_rows)?;
            drop(sample);
            if sampled.head().is_empty() {
                if files.len() > 1 {
                    env.notices
                        .push(format!("'{}' is empty and left out", source.name));
                    continue;
                }
                if options.names.is_none() {
                    return plan_err!(
                        "{FUNCTION}: '{}' has no record{}, so there is nothing to take columns from; to read it as a table without rows, write names => ['a', 'b']",
                        source.name,
                        if sampled.skipped > 0 {
                            " after the skipped lines"
                        } else {
                            ""
                        }
                    );
                }
            }
            record_bytes = record_bytes.max(sampled.record_bytes());
            let modal = sampled.width();
            let header = match options.header {
                Some(true) if sampled.head().is_empty() => None,
                Some(true) => Some(0),
                Some(false) => None,
                None => sampled.header(modal, options.names.as_deref(), &reading),
            };
            let own: Vec<String> = match header {
                Some(record) => sampled.texts(record, &reading),
                None => Vec::new(),
            };
            let by_name = header.is_some() && options.names.is_none();
            let width = match (&options.names, header) {
                (Some(names), _) => names.len(),
                (None, Some(_)) => own.len(),
                (None, None) => modal,
            };
            if let Some(given) = &options.names
                && modal > 0
                && modal != given.len()
            {
                return plan_err!(
                    "{FUNCTION}: names has {} names, but most records of '{}' have {modal} fields; give as many names as fields",
                    given.len(),
                    source.name
                );
            }
            let own = if by_name {
                unique(own, |notice| {
                    if csv_files.is_empty() {
                        env.notices.push(format!("'{}': {notice}", source.name));
                    }
                })
            } else {
                match &options.names {
                    Some(names) => unique(names.clone(), |n| env.notices.push(n)),
                    None => (1..=width).map(|i| format!("column_{i}")).collect(),
                }
            };
            let skip = header.map_or(0, |h| h + 1);
            let own_kinds = sampled.kinds(width, skip, &reading);
            let first = csv_files.is_empty();
            let mut fields: Vec<Option<usize>> = vec![None; names.len()];
            for (field, name) in own.iter().enumerate() {
                let column = names.iter().position(|n| n == name);
                let column = column.unwrap_or_else(|| {
                    if !first {
                        env.notices.push(format!(
                            "'{}' has a column '{name}' that '{}' does not have; it is NULL there",
                            source.name,
                            csv_files.first().map_or("", |f: &CsvFile| &f.source.name)
                        ));
                    }
                    names.push(name.clone());
                    kinds.push(Kinds::default());
                    fields.push(None);
                    names.len() - 1
                });
                fields[column] = Some(field);
                if let Some(kind) = own_kinds.get(field) {
                    kinds[column].merge(*kind);
                }
            }
            if !first && let Some(absent) = fields.iter().position(Option::is_none) {
                env.notices.push(format!(
                    "'{}' has no column '{}'; it is NULL there",
                    source.name, names[absent]
                ));
            }
            csv_files.push(CsvFile {
                source,
                header: header.map(|h| h as u64),
                width,
                fields,
                partition: Vec::new(),
            });
            kept.push(files[i].clone());
        }
        if csv_files.is_empty() {
            return plan_err!("{FUNCTION}: none of the {} files has a record", files.len());
        }

        let mut data_types: Vec<DataType> = kinds.iter().map(|k| k.data_type()).collect();
        declare(FUNCTION, &names, &mut data_types, &options.types)?;
        let mut schema_fields: Vec<Field> = names
            .iter()
            .zip(&data_types)
            .map(|(name, data_type)| Field::new(name, data_type.clone(), true))
            .collect();
        let mut outputs: Vec<Output> = (0..names.len()).map(Output::Column).collect();
        let hive = Hive::find(FUNCTION, options.hive, &kept, |key| {
            names.iter().any(|name| name == key)
        })?;
        for (i, (name, data_type)) in hive.columns.iter().enumerate() {
            schema_fields.push(Field::new(name, data_type.clone(), true));
            outputs.push(Output::Partition(i));
        }
        for (file, partition) in csv_files.iter_mut().zip(hive.values) {
            file.partition = partition;
            file.fields.resize(names.len(), None);
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
                if schema_fields.iter().any(|f| f.name() == name) {
                    return plan_err!(
                        "{FUNCTION}: there is a column '{name}' already; leave out {name} => true, or rename the column with names => [...]"
                    );
                }
                schema_fields.push(Field::new(name, data_type, false));
                outputs.push(output);
            }
        }
        Ok(Self {
            scan: Arc::new(Scan {
                files: csv_files,
                schema: Arc::new(Schema::new(schema_fields)),
                outputs,
                dialect,
                reading,
                skip_rows: options.skip_rows,
                on_error: options.on_error,
                nulls: options.nulls.clone(),
                rules: super::rules(&format!("{options:?} {dialect:?} {data_types:?}")),
                rejects: env.rejects.clone(),
                progress: env.progress.clone(),
                record_bytes,
            }),
        })
    }
}

/// Puts declared types in the place of inferred ones.
pub(super) fn declare(
    function: &str,
    names: &[String],
    inferred: &mut [DataType],
    declared: &[(String, DataType)],
) -> Result<()> {
    if !declared.is_empty() && declared.iter().all(|(name, _)| name.is_empty()) {
        if declared.len() != inferred.len() {
            return plan_err!(
                "{function}: types has {} types for {} columns; name the columns, as types => {{'{}': 'VARCHAR'}}",
                declared.len(),
                inferred.len(),
                names.first().map_or("a", String::as_str)
            );
        }
        for (to, (_, data_type)) in inferred.iter_mut().zip(declared) {
            *to = data_type.clone();
        }
        return Ok(());
    }
    for (name, data_type) in declared {
        let exact = names.iter().position(|n| n == name);
        match exact.or_else(|| names.iter().position(|n| n.eq_ignore_ascii_case(name))) {
            Some(column) => inferred[column] = data_type.clone(),
            None => {
                return plan_err!(
                    "{function}: types names '{name}', which is no column{} The columns are {}",
                    did_you_mean(name, names.iter().map(String::as_str)),
                    names
                        .iter()
                        .take(20)
                        .map(String::as_str)
                        .collect::<Vec<_>>()
                        .join(", ")
                );
            }
        }
    }
    Ok(())
}

/// Names made different: blank ones get a number, repeated ones a suffix.
fn unique(names: Vec<String>, mut notice: impl FnMut(String)) -> Vec<String> {
    let given: HashSet<String> = names.iter().cloned().collect();
    let mut used = HashSet::new();
    let mut changed = 0;
    let mut unique = Vec::with_capacity(names.len());
    for (i, name) in names.into_iter().enumerate() {
        let mut new = if name.is_empty() {
            format!("column_{}", i + 1)
        } else {
            name.clone()
        };
        let base = new.clone();
        let mut n = 1;
        // A name that is there as written keeps its own.
        while used.contains(&new) || (new != name && given.contains(&new)) {
            n += 1;
            new = format!("{base}_{n}");
        }
        if new != name {
            changed += 1;
            if changed <= 5 {
                notice(if name.is_empty() {
                    format!("column {} has no name; it is called '{new}'", i + 1)
                } else {
                    format!("there are two columns '{name}'; one is called '{new}'")
                });
            }
        }
        used.insert(new.clone());
        unique.push(new);
    }
    if changed > 5 {
        notice(format!(
            "{} more columns are renamed like that",
            changed - 5
        ));
    }
    unique
}

#[async_trait]
impl TableProvider for CsvTable {
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
        let config = state.config();
        let partitions = config.target_partitions();
        let least = config.options().optimizer.repartition_file_min_size;
        Ok(Arc::new(CsvExec::new(
            Arc::clone(&self.scan),
            projection,
            limit,
            partitions,
            least as u64,
        )?))
    }
}
