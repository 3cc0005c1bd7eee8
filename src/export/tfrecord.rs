//! `tfrecord`: a `tf.train.Example` a row, in files as TensorFlow reads them.
//!
//! An example is a message of protocol buffers, a map of features by name: a list of bytes, of floats of 32 bits or of
//! integers of 64. A file has each with its length and the checksums of both.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int64Array, LargeBinaryArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use crc::{CRC_32_ISCSI, Crc, Table};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use seedbed_udfs::images::value::is_image;

use super::options::Options;
use super::pictures::{Pictures, is_picture};
use super::shards::{Records, ShardFiles, Shards};
use super::sink::Format;
use super::staging::Staging;

/// The checksum of Castagnoli's polynomial.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A checksum as it is stored, so that a checksum of data with checksums in it is none of all zeros.
fn masked(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// Fields of messages that are bytes or messages have this kind.
const fn tag(field: u8) -> u8 {
    field << 3 | 2
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a number of that kind takes.
fn varint_len(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(tag(number));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The lists a feature can be; the numbers are those of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Bytes = 1,
    Floats = 2,
    Integers = 3,
}

/// A column.
#[derive(Debug)]
struct Feature {
    name: String,
    index: usize,
    of: Of,
    /// Decoded images are to be encoded.
    image: bool,
    list: bool,
}

impl Feature {
    fn new(index: usize, field: &Field) -> Result<Self> {
        let name = field.name().clone();
        let (list, item) = match field.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                (true, item.data_type())
            }
            other => (false, other),
        };
        let item = match item {
            DataType::Dictionary(_, value) => value.as_ref(),
            item => item,
        };
        let image = is_image(item);
        let of = match item {
            DataType::Boolean => Of::Integers,
            item if item.is_integer() => Of::Integers,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Of::Floats,
            item if item.is_string() || is_picture(item) && !(image && list) => Of::Bytes,
            item if item.is_list() => {
                return plan_err!(
                    "tfrecord: column {name} has lists within lists, but a feature is one list. Write flatten({name})"
                );
            }
            item => {
                return plan_err!(
                    "tfrecord: column {name} is {item}, but features are bytes, floats and integers. Write \
                     CAST({name} AS VARCHAR), CAST({name} AS DOUBLE) or {name}['part']"
                );
            }
        };
        Ok(Self {
            name,
            index,
            of,
            image,
            list,
        })
    }

    fn values(&self, batch: &RecordBatch, first: u64) -> Result<Values> {
        let array = batch.column(self.index);
        if self.image {
            return self.images(array, first);
        }
        let item = match self.of {
            Of::Bytes => DataType::LargeBinary,
            Of::Floats => DataType::Float32,
            Of::Integers => DataType::Int64,
        };
        let of = match self.list {
            true => DataType::LargeList(Arc::new(Field::new_list_field(item, true))),
            false => item,
        };
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        // what can fail are integers without a sign
        let cast = cast_with_options(array, &of, &strict).map_err(|e| {
            exec_datafusion_err!(
                "tfrecord: column {0}: {e}. Features have integers of 64 bits with a sign: write CAST({0} AS VARCHAR)",
                self.name
            )
        })?;
        let nulls = cast.logical_nulls();
        let (offsets, items) = items(&cast);
        if let Some(offsets) = &offsets
            && let Some(row) = has_null(offsets, nulls.as_ref(), &items)
        {
            return exec_err!(
                "tfrecord: column {0} has a list with NULL in it in row {1} (from 0), and a feature has no place for it. \
                 Write array_remove_all({0}, NULL)",
                self.name,
                first + row as u64
            );
        }
        let items = match self.of {
            Of::Bytes => Items::Bytes(items.as_binary::<i64>().clone()),
            Of::Floats => {
                self.finite(array, &items)?;
                Items::Floats(items.as_primitive::<Float32Type>().clone())
            }
            Of::Integers => Items::Integers(items.as_primitive::<Int64Type>().clone()),
        };
        Ok(Values {
            nulls,
            offsets,
            items,
        })
    }

    fn images(&self, array: &ArrayRef, first: u64) -> Result<Values> {
        let nulls = array.logical_nulls();
        let pictures = Pictures::new(TfRecord::NAME, &self.name, array, first)?;
        let mut files = Vec::with_capacity(array.len());
        for row in 0..array.len() {
            files.push(match array.is_valid(row) {
                true => Some(pictures.file(row)?.0),
                false => None,
            });
        }
        Ok(Values {
            nulls,
            offsets: None,
            items: Items::Bytes(LargeBinaryArray::from_iter(files)),
        })
    }

    /// An error if a finite number is none any more.
    fn finite(&self, array: &ArrayRef, floats: &ArrayRef) -> Result<()> {
        let floats = floats.as_primitive::<Float32Type>();
        if !floats.values().iter().any(|v| v.is_infinite()) {
            return Ok(());
        }
        let double = match self.list {
            true => DataType::LargeList(Arc::new(Field::new_list_field(DataType::Float64, true))),
            false => DataType::Float64,
        };
        let wide = cast(array, &double)?;
        let (_, wide) = items(&wide);
        let wide = wide.as_primitive::<Float64Type>().iter().flatten();
        match wide
            .zip(floats.iter().flatten())
            .find(|(w, f)| w.is_finite() && f.is_infinite())
        {
            Some((lost, _)) => exec_err!(
                "tfrecord: column {0} has {lost:e}, which a float of 32 bits cannot be. Write standard_scale({0}) OVER (), \
                 or CAST({0} AS VARCHAR)",
                self.name
            ),
            None => Ok(()),
        }
    }
}

/// The items of lists, and where each row's end; of other columns the values.
fn items(array: &ArrayRef) -> (Option<OffsetBuffer<i64>>, ArrayRef) {
    let Some(list) = array.as_list_opt::<i64>() else {
        return (None, Arc::clone(array));
    };
    // a part of an array may have all items of the whole
    let offsets = list.value_offsets();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let items = list.values().slice(first as usize, (last - first) as usize);
    let offsets: Vec<i64> = offsets.iter().map(|offset| offset - first).collect();
    (Some(OffsetBuffer::new(offsets.into())), items)
}

/// The first row whose list has NULL in it.
fn has_null(
    offsets: &OffsetBuffer<i64>,
    nulls: Option<&NullBuffer>,
    items: &ArrayRef,
) -> Option<usize> {
    if items.null_count() == 0 {
        return None;
    }
    let mut rows = offsets.windows(2).enumerate();
    rows.find_map(|(row, ends)| {
        let valid = nulls.is_none_or(|n| n.is_valid(row));
        let mut within = ends[0] as usize..ends[1] as usize;
        (valid && within.any(|i| items.is_null(i))).then_some(row)
    })
}

/// Values of a column's rows.
struct Values {
    nulls: Option<NullBuffer>,
    /// Of lists.
    offsets: Option<OffsetBuffer<i64>>,
    items: Items,
}

enum Items {
    Bytes(LargeBinaryArray),
    Floats(Float32Array),
    Integers(Int64Array),
}

impl Values {
    /// The list message of a row. False if it is NULL.
    fn list(&self, row: usize, packed: &mut Vec<u8>, list: &mut Vec<u8>) -> bool {
        if self.nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            return false;
        }
        let items = match &self.offsets {
            Some(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            None => row..row + 1,
        };
        packed.clear();
        list.clear();
        match &self.items {
            Items::Bytes(bytes) => items.for_each(|i| field(list, 1, bytes.value(i))),
            Items::Floats(floats) => {
                for value in &floats.values()[items] {
                    packed.extend_from_slice(&value.to_le_bytes());
                }
            }
            Items::Integers(integers) => {
                for value in &integers.values()[items] {
                    varint(packed, value.cast_unsigned());
                }
            }
        }
        if !packed.is_empty() {
            field(list, 1, packed);
        }
        true
    }
}

/// The format.
#[derive(Debug)]
pub struct TfRecord {
    /// In the order of their names, as deterministic protocol buffers have them.
    features: Vec<Feature>,
    shards: Shards,
}

impl TfRecord {
    pub fn new(schema: &Schema, options: &Options) -> Result<Self> {
        let fields = schema.fields().iter().enumerate();
        let features = fields.map(|(i, field)| Feature::new(i, field));
        let mut features = features.collect::<Result<Vec<_>>>()?;
        features.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = features
            .windows(2)
            .find(|pair| pair[0].name == pair[1].name)
        {
            return plan_err!(
                "tfrecord: two columns are called {0}, and features are found by their names. Write {0} AS another",
                pair[0].name
            );
        }
        Ok(Self {
            features,
            shards: Shards::new(options)?,
        })
    }
}

impl Format for TfRecord {
    const NAME: &'static str = "tfrecord";
    type Part = Records;
    type Files = ShardFiles;

    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Records> {
        let columns = self.features.iter().map(|f| f.values(batch, first));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut records = Records {
            first,
            ..Records::default()
        };
        let (mut packed, mut list, mut features) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            features.clear();
            for (feature, values) in self.features.iter().zip(&columns) {
                // a feature that is not there stands for NULL
                if !values.list(row, &mut packed, &mut list) {
                    continue;
                }
                let value = 1 + varint_len(list.len()) + list.len();
                let name = feature.name.as_bytes();
                let key = 1 + varint_len(name.len()) + name.len();
                features.push(tag(1));
                varint(&mut features, (key + 1 + varint_len(value) + value) as u64);
                field(&mut features, 1, name);
                features.push(tag(2));
                varint(&mut features, value as u64);
                field(&mut features, feature.of as u8, &list);
            }
            let example = 1 + varint_len(features.len()) + features.len();
            let length = (example as u64).to_le_bytes();
            let out = &mut records.bytes;
            out.extend_from_slice(&length);
            out.extend_from_slice(&masked(&length).to_le_bytes());
            let begin = out.len();
            field(out, 1, &features);
            let checksum = masked(&out[begin..]);
            out.extend_from_slice(&checksum.to_le_bytes());
            records.ends.push(out.len());
        }
        Ok(records)
    }

    fn create(&self, staging: &Staging) -> Result<ShardFiles> {
        Ok(ShardFiles::create(self.shards, staging))
    }

    fn write(&self, files: &mut ShardFiles, records: Records) -> Result<()> {
        files.write(&records)
    }

    fn finish(&self, files: ShardFiles, staging: &mut Staging) -> Result<()> {
        files.finish(&[], |i, all| format!("{i:05}-of-{all:05}"), staging)
    }
}
