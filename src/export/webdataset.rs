//! `webdataset`: archives in which files of one name, but for its ending, are a sample.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::{Result, exec_err, plan_err};
use tar::{Builder, Header};

use super::array::Column;
use super::json::as_json;
use super::options::Options;
use super::pictures::{Names, Pictures, is_picture};
use super::shards::{Records, ShardFiles, Shards};
use super::sink::Format;
use super::staging::{Staging, refused};

/// What an archive ends with.
const END: [u8; 1024] = [0; 1024];

/// A file of each sample.
#[derive(Debug)]
struct Member {
    /// What comes before the ending of its own, if others have the same: `mask.`.
    prefix: String,
    place: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// `png`, or what the bytes are.
    Picture,
    /// `npy`
    Vector(Box<Column>),
    /// `cls`
    Class,
    /// `txt`
    Text,
}

/// Whether a type is one of images, or has them within it.
fn has_pictures(of: &DataType) -> bool {
    match of {
        of if is_picture(of) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_pictures(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|f| has_pictures(f.data_type())),
        _ => false,
    }
}

/// The format.
#[derive(Debug)]
pub struct WebDataset {
    schema: SchemaRef,
    members: Vec<Member>,
    /// The columns of `json`.
    rest: Vec<usize>,
    key: Option<usize>,
    shards: Shards,
}

impl WebDataset {
    pub fn new(schema: &SchemaRef, options: &Options) -> Result<Self> {
        let key = options.column("key", schema)?;
        let label = options.column("label", schema)?;
        let class = label.or_else(|| {
            let place = schema.fields().iter().position(|f| f.name() == "label")?;
            schema
                .field(place)
                .data_type()
                .is_integer()
                .then_some(place)
        });
        if let Some(place) = class
            && !schema.field(place).data_type().is_integer()
        {
            return plan_err!(
                "webdataset: the label {0} is {1}, but a class is a whole number. Write ordinal_encode({0}) OVER ()",
                schema.field(place).name(),
                schema.field(place).data_type()
            );
        }
        let mut members = Vec::new();
        let mut rest = Vec::new();
        for (place, field) in schema.fields().iter().enumerate() {
            if Some(place) == key {
                continue;
            }
            let vector = || Column::new(Self::NAME, place, field).ok();
            let kind = if Some(place) == class {
                Kind::Class
            } else if is_picture(field.data_type()) {
                Kind::Picture
            } else if field.name() == "txt" && field.data_type().is_string() {
                Kind::Text
            } else if let Some(column) = vector().filter(Column::is_vector) {
                Kind::Vector(Box::new(column))
            } else if has_pictures(field.data_type()) {
                return plan_err!(
                    "webdataset: column {0} has images within it. Write unnest({0}), for an image a row, or {0}[1] AS one, \
                     {0}[2] AS other",
                    field.name()
                );
            } else {
                rest.push(place);
                continue;
            };
            members.push(Member {
                prefix: String::new(),
                place,
                kind,
            });
        }
        let many = |same: fn(&Kind) -> bool| members.iter().filter(|m| same(&m.kind)).count() > 1;
        let pictures = many(|kind| matches!(kind, Kind::Picture));
        let vectors = many(|kind| matches!(kind, Kind::Vector(_)));
        for member in &mut members {
            let alone = match member.kind {
                Kind::Picture => !pictures,
                Kind::Vector(_) => !vectors,
                Kind::Class | Kind::Text => true,
            };
            if !alone {
                let name = schema.field(member.place).name();
                if name.contains(['/', '.']) || name.is_empty() {
                    return plan_err!(
                        "webdataset: column {name} would be part of a file's name. Give it one of letters, with AS"
                    );
                }
                member.prefix = format!("{name}.");
            }
        }
        Ok(Self {
            schema: SchemaRef::clone(schema),
            members,
            rest,
            key,
            shards: Shards::new(options)?,
        })
    }

    fn keys(&self, batch: &RecordBatch, first: u64) -> Result<Vec<String>> {
        let rows = 0..batch.num_rows();
        let Some(place) = self.key else {
            let numbers = rows.map(|row| format!("{:08}", first + row as u64));
            return Ok(numbers.collect());
        };
        let column = Schema::field(&self.schema, place).name();
        let names = Names::new(Self::NAME, column, batch.column(place), first)?;
        rows.map(|row| {
            let key = names.path(row)?;
            let name = key.rsplit_once('/').map_or(key.as_str(), |(_, name)| name);
            if name.contains('.') {
                return exec_err!(
                    "webdataset: the key '{key}' has a point, from which on a name tells what the file is. Write \
                     replace({column}, '.', '_')"
                );
            }
            Ok(key)
        })
        .collect()
    }

    /// The columns of a batch, ready to be asked for rows.
    fn readers<'a>(&'a self, batch: &'a RecordBatch, first: u64) -> Result<Vec<Reader<'a>>> {
        let readers = self.members.iter().map(|member| {
            let array = batch.column(member.place);
            let name = Schema::field(&self.schema, member.place).name();
            Ok(match &member.kind {
                Kind::Picture => Reader::Pictures(Pictures::new(Self::NAME, name, array, first)?),
                Kind::Vector(column) => Reader::Vectors(column, array),
                Kind::Class => Reader::Texts(cast(array, &DataType::Utf8)?, "cls"),
                Kind::Text => Reader::Texts(cast(array, &DataType::Utf8)?, "txt"),
            })
        });
        readers.collect()
    }

    /// The other columns as an object a row.
    fn objects(&self, batch: &RecordBatch) -> Result<Option<ArrayRef>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let fields: Fields = self
            .rest
            .iter()
            .map(|i| Arc::clone(&self.schema.fields()[*i]))
            .collect();
        let columns = self
            .rest
            .iter()
            .map(|i| Arc::clone(batch.column(*i)))
            .collect();
        let rows = StructArray::try_new(fields.clone(), columns, None)?;
        let field = Arc::new(Field::new_struct("json", fields, false));
        let rows: ArrayRef = Arc::new(rows);
        Ok(Some(as_json(&field, &rows)?))
    }

    fn missing<T>(&self, member: &Member, row: u64) -> Result<T> {
        let name = self.schema.field(member.place).name();
        exec_err!(
            "webdataset: column {name} is NULL in row {row} (from 0), and a sample without the file breaks a loop. Write \
             WHERE {name} IS NOT NULL"
        )
    }
}

/// A column of a batch.
enum Reader<'a> {
    Pictures(Pictures<'a>),
    Vectors(&'a Column, &'a ArrayRef),
    /// With the ending of their files.
    Texts(ArrayRef, &'static str),
}

impl Reader<'_> {
    /// A row's file and its ending; None for NULL.
    fn file(&self, row: usize, first: u64) -> Result<Option<(Vec<u8>, &'static str)>> {
        Ok(match self {
            Self::Pictures(pictures) => {
                let (file, ending) = pictures.file(row)?;
                Some((file.into_owned(), ending))
            }
            Self::Vectors(column, array) => {
                let part = column.rows(&array.slice(row, 1), first + row as u64)?;
                (part.missing == 0).then(|| (column.one(&part), "npy"))
            }
            Self::Texts(array, ending) if array.is_valid(row) => {
                let text = array.as_string::<i32>().value(row);
                Some((text.as_bytes().to_vec(), ending))
            }
            Self::Texts(..) => None,
        })
    }
}

/// Samples of a batch.
pub struct Samples {
    records: Records,
    keys: Vec<String>,
}

/// The archives, and the key of each one's last sample.
pub struct Archives {
    files: ShardFiles,
    last: Vec<String>,
}

impl Format for WebDataset {
    const NAME: &'static str = "webdataset";
    type Part = Samples;
    type Files = Archives;

    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Samples> {
        let keys = self.keys(batch, first)?;
        let readers = self.readers(batch, first)?;
        let objects = self.objects(batch)?;
        let mut archive = Builder::new(Vec::new());
        let add = |archive: &mut Builder<Vec<u8>>, name: &str, file: &[u8]| {
            // nothing of the time and the person: the same rows have the same bytes
            let mut header = Header::new_gnu();
            header.set_size(file.len() as u64);
            header.set_mode(0o644);
            archive
                .append_data(&mut header, name, file)
                .map_err(refused(name.as_ref()))
        };
        let mut ends = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            for (member, reader) in self.members.iter().zip(&readers) {
                let Some((file, ending)) = reader.file(row, first)? else {
                    return self.missing(member, first + row as u64);
                };
                add(
                    &mut archive,
                    &format!("{key}.{}{ending}", member.prefix),
                    &file,
                )?;
            }
            if let Some(objects) = &objects {
                let object = objects.as_string::<i32>().value(row);
                add(&mut archive, &format!("{key}.json"), object.as_bytes())?;
            }
            ends.push(archive.get_ref().len());
        }
        let bytes = archive.into_inner().map_err(refused(Self::NAME.as_ref()))?;
        let records = Records { first, bytes, ends };
        Ok(Samples { records, keys })
    }

    fn create(&self, staging: &Staging) -> Result<Archives> {
        Ok(Archives {
            files: ShardFiles::create(self.shards, staging),
            last: Vec::new(),
        })
    }

    fn write(&self, archives: &mut Archives, samples: Samples) -> Result<()> {
        for (row, key) in (samples.records.first..).zip(samples.keys) {
            let shard = self.shards.of(row);
            if shard >= archives.last.len() {
                archives.last.resize(shard + 1, String::new());
            }
            if archives.last[shard] == key {
                return exec_err!(
                    "webdataset: two rows, one after the other, have the key '{key}', and would be one sample. Name a \
                     column that is different in each row with OPTIONS (key column)"
                );
            }
            archives.last[shard] = key;
        }
        archives.files.write(&samples.records)
    }

    fn finish(&self, archives: Archives, staging: &mut Staging) -> Result<()> {
        archives
            .files
            .finish(&END, |i, _| format!("{i:06}"), staging)
    }
}
