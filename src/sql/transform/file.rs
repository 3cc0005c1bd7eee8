//! Transforms as JSON files, for version control and other programs.
//!
//! Floats are texts, which every reader takes to the bit; so are NaN and the infinities, which JSON lacks.
//! Dates, times and timestamps are the whole numbers they are kept as.

use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array,
    Float64Array, Int64Array, LargeListArray, ListArray, StringArray, StructArray, UInt64Array,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Fields, Float32Type, Float64Type,
    Int64Type, UInt64Type, i256,
};
use datafusion::common::{
    DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err, plan_err,
};
use serde_json::{Map, Value, json};

use super::Transform;
use crate::store::replace_file;

/// What marks a file as one of ours.
const FORMAT: &str = "seedbed transform";

/// The version that is written, and the newest that is read.
const VERSION: u64 = 1;

/// Writes a transform to a file: the whole or nothing.
pub fn export(transform: &Transform, path: &str) -> Result<()> {
    let mut text = serde_json::to_string_pretty(&written(transform)?)
        .map_err(|e| DataFusionError::External(Box::new(e)))?;
    text.push('\n');
    write_file(path, text.as_bytes())
}

/// Writes a file: the whole or nothing.
pub fn write_file(path: &str, bytes: &[u8]) -> Result<()> {
    let refused = |error: std::io::Error| {
        exec_datafusion_err!("{path} cannot be written: {error}. Write to another folder")
    };
    let target = Path::new(path);
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(refused)?;
    replace_file(folder, target, bytes).map_err(refused)
}

/// Reads a transform from a file, under its own name or another.
pub fn import(path: &str, name: Option<&str>) -> Result<Transform> {
    let text = fs::read_to_string(path)
        .map_err(|error| exec_datafusion_err!("{path} cannot be read: {error}"))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        exec_datafusion_err!(
            "{path} is no transform: {error}. It may be cut off; EXPORT TRANSFORM writes it anew"
        )
    })?;
    if value["format"] != FORMAT {
        return exec_err!(
            "{path} is no transform: it has no \"format\": \"{FORMAT}\". EXPORT TRANSFORM t TO '{path}' writes one"
        );
    }
    match value["version"].as_u64() {
        Some(version) if version <= VERSION => {}
        _ => {
            return exec_err!(
                "{path}: it is of version {}, and this program reads versions up to {VERSION}. Read it with the program that wrote it, or a newer one",
                value["version"]
            );
        }
    }
    read(&value, name)
        .map_err(|error| exec_datafusion_err!("{path} is damaged: {}", error.message()))
}

fn written(transform: &Transform) -> Result<Value> {
    let about = serde_json::to_value(&transform.about)
        .map_err(|e| DataFusionError::External(Box::new(e)))?;
    let values = |values: &[ScalarValue]| -> Result<Vec<Value>> {
        values
            .iter()
            .map(|value| {
                let array = value.to_array()?;
                let kind = type_of(array.data_type())?;
                Ok(json!({"type": kind, "value": value_at(&array, 0)?}))
            })
            .collect()
    };
    Ok(json!({
        "format": FORMAT,
        "version": VERSION,
        "name": transform.name,
        "about": about,
        "inputs": fields_of(&transform.inputs)?,
        "fits": values(&transform.fits)?,
        "tables": values(&transform.tables)?,
    }))
}

fn read(value: &Value, name: Option<&str>) -> Result<Transform> {
    let values = |what: &str| -> Result<Vec<ScalarValue>> {
        list(value, what)?
            .iter()
            .map(|item| {
                let array = array(&read_type(&item["type"])?, &[&item["value"]])?;
                ScalarValue::try_from_array(&array, 0)
            })
            .collect()
    };
    let about = serde_json::from_value(value["about"].clone())
        .map_err(|e| exec_datafusion_err!("about: {e}"))?;
    let name = match name {
        Some(name) => name,
        None => text(value, "name")?,
    };
    Ok(Transform {
        name: name.to_string(),
        about,
        inputs: read_fields(&value["inputs"])?,
        fits: values("fits")?,
        tables: values("tables")?,
    })
}

fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str> {
    match value[what].as_str() {
        Some(text) => Ok(text),
        None => exec_err!("{what} is missing"),
    }
}

fn list<'a>(value: &'a Value, what: &str) -> Result<&'a [Value]> {
    match value[what].as_array() {
        Some(list) => Ok(list),
        None => exec_err!("{what} is missing"),
    }
}

fn field_of(field: &FieldRef) -> Result<Value> {
    Ok(json!({
        "name": field.name(),
        "type": type_of(field.data_type())?,
        "nullable": field.is_nullable(),
    }))
}

fn fields_of(fields: &Fields) -> Result<Value> {
    let fields = fields.iter().map(field_of);
    Ok(Value::Array(fields.collect::<Result<_>>()?))
}

/// A type: a name, or an object for what has types in it.
fn type_of(t: &DataType) -> Result<Value> {
    Ok(match t {
        DataType::List(item) => json!({"list": field_of(item)?}),
        DataType::LargeList(item) => json!({"large_list": field_of(item)?}),
        DataType::FixedSizeList(item, n) => {
            json!({"fixed_size_list": field_of(item)?, "size": n})
        }
        DataType::Struct(fields) => json!({"struct": fields_of(fields)?}),
        DataType::Dictionary(key, value) => {
            json!({"dictionary": [type_of(key)?, type_of(value)?]})
        }
        plain => {
            let name = plain.to_string();
            if DataType::from_str(&name).ok().as_ref() != Some(plain) {
                return plan_err!("EXPORT TRANSFORM: the type {plain} has no name in a file");
            }
            Value::String(name)
        }
    })
}

fn read_field(value: &Value) -> Result<FieldRef> {
    let nullable = value["nullable"].as_bool().unwrap_or(true);
    let t = read_type(&value["type"])?;
    Ok(Arc::new(Field::new(text(value, "name")?, t, nullable)))
}

fn read_fields(value: &Value) -> Result<Fields> {
    match value.as_array() {
        Some(fields) => fields.iter().map(read_field).collect(),
        None => exec_err!("fields are missing"),
    }
}

fn read_type(value: &Value) -> Result<DataType> {
    if let Some(name) = value.as_str() {
        return match DataType::from_str(name) {
            Ok(t) => Ok(t),
            Err(_) => exec_err!("there is no type {name}"),
        };
    }
    let part = |name: &str| value.get(name);
    if let Some(item) = part("list") {
        return Ok(DataType::List(read_field(item)?));
    }
    if let Some(item) = part("large_list") {
        return Ok(DataType::LargeList(read_field(item)?));
    }
    if let (Some(item), Some(n)) = (
        part("fixed_size_list"),
        part("size")
            .and_then(Value::as_i64)
            .and_then(|n| i32::try_from(n).ok()),
    ) {
        return Ok(DataType::FixedSizeList(read_field(item)?, n));
    }
    if let Some(fields) = part("struct") {
        return Ok(DataType::Struct(read_fields(fields)?));
    }
    if let Some([key, value]) = part("dictionary")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        return Ok(DataType::Dictionary(
            Box::new(read_type(key)?),
            Box::new(read_type(value)?),
        ));
    }
    exec_err!("a type is missing")
}

fn float(x: f64, bits: u64, canonical: u64) -> Value {
    Value::String(if x.is_nan() && bits != canonical {
        format!("NaN:{bits:x}")
    } else {
        format!("{x:?}")
    })
}

/// One value of an array.
fn value_at(array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let one = array.slice(row, 1);
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Float64 => {
            let x = array.as_primitive::<Float64Type>().value(row);
            float(x, x.to_bits(), f64::NAN.to_bits())
        }
        DataType::Float32 => {
            let x = array.as_primitive::<Float32Type>().value(row);
            if x.is_nan() {
                float(f64::NAN, x.to_bits().into(), f32::NAN.to_bits().into())
            } else {
                Value::String(format!("{x:?}"))
            }
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            let x = cast(&one, &DataType::UInt64)?;
            Value::from(x.as_primitive::<UInt64Type>().value(0))
        }
        t if t.is_integer() || is_counted(t) => {
            let x = cast(&narrow(&one)?, &DataType::Int64)?;
            Value::from(x.as_primitive::<Int64Type>().value(0))
        }
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => {
            let DataType::Decimal128(..) = array.data_type() else {
                return value_at(&cast(array, &wide(array.data_type()))?, row);
            };
            Value::String(
                array
                    .as_primitive::<Decimal128Type>()
                    .value(row)
                    .to_string(),
            )
        }
        DataType::Decimal256(..) => Value::String(
            array
                .as_primitive::<Decimal256Type>()
                .value(row)
                .to_string(),
        ),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let x = cast(&one, &DataType::Utf8)?;
            Value::String(x.as_string::<i32>().value(0).to_string())
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let x = cast(&one, &DataType::Binary)?;
            let bytes = x.as_binary::<i32>().value(0);
            Value::String(bytes.iter().map(|b| format!("{b:02x}")).collect())
        }
        DataType::Dictionary(_, of) => value_at(&cast(&one, of)?, 0)?,
        DataType::List(_) => values(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => values(&array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => values(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let mut object = Map::new();
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                if object.contains_key(field.name()) {
                    return plan_err!("EXPORT TRANSFORM: two columns are called {}", field.name());
                }
                object.insert(field.name().clone(), value_at(column, row)?);
            }
            Value::Object(object)
        }
        other => return plan_err!("EXPORT TRANSFORM: values of type {other} cannot be written"),
    })
}

fn values(array: &ArrayRef) -> Result<Value> {
    let values = (0..array.len()).map(|row| value_at(array, row));
    Ok(Value::Array(values.collect::<Result<_>>()?))
}

/// Whether values are whole numbers of days, seconds or their parts.
fn is_counted(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_)
    )
}

/// Days and times of 32 bits as whole numbers of 32 bits; others as they are.
fn narrow(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(array, &DataType::Int32)?,
        _ => ArrayRef::clone(array),
    })
}

fn wide(t: &DataType) -> DataType {
    match t {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        other => other.clone(),
    }
}

fn items<T>(
    t: &DataType,
    values: &[&Value],
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    values
        .iter()
        .map(|value| match (value, read(value)) {
            (Value::Null, _) => Ok(None),
            (_, Some(item)) => Ok(Some(item)),
            (value, None) => exec_err!("{value} is no {t}"),
        })
        .collect()
}

fn read_float<T: FromStr>(value: &Value, of_bits: impl Fn(u64) -> Option<T>) -> Option<T> {
    let text = value.as_str()?;
    match text.strip_prefix("NaN:") {
        Some(bits) => of_bits(u64::from_str_radix(bits, 16).ok()?),
        None => text.parse().ok(),
    }
}

/// An array of a type of the values that [`value_at`] gave.
fn array(t: &DataType, values: &[&Value]) -> Result<ArrayRef> {
    let nulls = || {
        let nulls = NullBuffer::from_iter(values.iter().map(|v| !v.is_null()));
        Some(nulls).filter(|n| n.null_count() > 0)
    };
    let lists = || -> Result<(Vec<usize>, Vec<&Value>)> {
        let lists = items(t, values, |v| v.as_array().cloned().map(|_| ()))?;
        let mut all: Vec<&Value> = Vec::new();
        let mut lengths = Vec::with_capacity(lists.len());
        for value in values {
            let items = value.as_array().map_or(&[][..], Vec::as_slice);
            lengths.push(items.len());
            all.extend(items);
        }
        Ok((lengths, all))
    };
    Ok(match t {
        DataType::Null => new_null_array(t, values.len()),
        DataType::Boolean => Arc::new(BooleanArray::from(items(t, values, Value::as_bool)?)),
        DataType::Float64 => {
            let read = |v: &Value| read_float(v, |bits| Some(f64::from_bits(bits)));
            Arc::new(Float64Array::from(items(t, values, read)?))
        }
        DataType::Float32 => {
            let of_bits = |bits| Some(f32::from_bits(u32::try_from(bits).ok()?));
            let read = |v: &Value| read_float(v, of_bits);
            Arc::new(Float32Array::from(items(t, values, read)?))
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            let numbers = UInt64Array::from(items(t, values, Value::as_u64)?);
            cast_all(&(Arc::new(numbers) as ArrayRef), t)?
        }
        t if t.is_integer() || is_counted(t) => {
            let numbers: ArrayRef = Arc::new(Int64Array::from(items(t, values, Value::as_i64)?));
            match t {
                DataType::Date32 | DataType::Time32(_) => {
                    cast_all(&cast_all(&numbers, &DataType::Int32)?, t)?
                }
                _ => cast_all(&numbers, t)?,
            }
        }
        DataType::Decimal32(..) | DataType::Decimal64(..) => {
            cast_all(&array(&wide(t), values)?, t)?
        }
        DataType::Decimal128(p, s) => {
            let read = |v: &Value| v.as_str()?.parse().ok();
            let numbers = arrow::array::Decimal128Array::from(items(t, values, read)?);
            Arc::new(numbers.with_precision_and_scale(*p, *s)?)
        }
        DataType::Decimal256(p, s) => {
            let read = |v: &Value| i256::from_string(v.as_str()?);
            let numbers = arrow::array::Decimal256Array::from(items(t, values, read)?);
            Arc::new(numbers.with_precision_and_scale(*p, *s)?)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let read = |v: &Value| v.as_str().map(str::to_string);
            let texts: ArrayRef = Arc::new(StringArray::from(items(t, values, read)?));
            cast_all(&texts, t)?
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let read = |v: &Value| bytes(v.as_str()?);
            let items = items(t, values, read)?;
            let bytes: BinaryArray = items.iter().map(Option::as_deref).collect();
            cast_all(&(Arc::new(bytes) as ArrayRef), t)?
        }
        DataType::Dictionary(_, of) => cast_all(&array(of, values)?, t)?,
        DataType::List(item) => {
            let (lengths, all) = lists()?;
            let items = array(item.data_type(), &all)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            let list = ListArray::try_new(Arc::clone(item), offsets, items, nulls())?;
            Arc::new(list)
        }
        DataType::LargeList(item) => {
            let (lengths, all) = lists()?;
            let items = array(item.data_type(), &all)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            let list = LargeListArray::try_new(Arc::clone(item), offsets, items, nulls())?;
            Arc::new(list)
        }
        DataType::FixedSizeList(item, n) => {
            let missing = vec![Value::Null; usize::try_from(*n).unwrap_or(0)];
            let mut all: Vec<&Value> = Vec::new();
            for value in values {
                let items = match value.as_array() {
                    Some(items) if items.len() == missing.len() => items,
                    None if value.is_null() => &missing,
                    _ => return exec_err!("{value} is no {t}"),
                };
                all.extend(items);
            }
            let items = array(item.data_type(), &all)?;
            let item = Arc::clone(item);
            Arc::new(FixedSizeListArray::try_new(item, *n, items, nulls())?)
        }
        DataType::Struct(fields) => {
            items(t, values, |v| v.is_object().then_some(()))?;
            let columns = fields
                .iter()
                .map(|field| {
                    let values: Vec<&Value> = values.iter().map(|v| &v[field.name()]).collect();
                    array(field.data_type(), &values)
                })
                .collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls(),
                values.len(),
            )?)
        }
        other => return exec_err!("there are no values of type {other}"),
    })
}

/// A cast that loses nothing: what does not fit is an error.
fn cast_all(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let done = cast(array, to)?;
    if done.null_count() != array.null_count() {
        return exec_err!("a value is no {to}");
    }
    Ok(done)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.is_ascii() || !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Decimal128Array, DictionaryArray, Float32Array, Int8Array, StringViewArray,
        TimestampNanosecondArray,
    };
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::sql::transform::About;

    fn back(array: &ArrayRef) -> ArrayRef {
        let kind = serde_json::to_string(&type_of(array.data_type()).unwrap()).unwrap();
        let text = serde_json::to_string(&values(array).unwrap()).unwrap();
        let kind = read_type(&serde_json::from_str(&kind).unwrap()).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        let items: Vec<&Value> = read.as_array().unwrap().iter().collect();
        super::array(&kind, &items).unwrap()
    }

    #[test]
    fn values_come_back_to_the_bit() {
        let odd = f64::from_bits(0x7ff8_0000_0000_0001);
        let floats = [
            0.1,
            -0.0,
            5e-324,
            f64::MAX,
            f64::NEG_INFINITY,
            f64::NAN,
            -f64::NAN,
            odd,
            1.0 / 3.0,
            38.643_385_438_761_72,
        ];
        let array: ArrayRef = Arc::new(Float64Array::from(floats.to_vec()));
        let read = back(&array);
        for (a, b) in floats
            .iter()
            .zip(read.as_primitive::<Float64Type>().values())
        {
            assert_eq!(a.to_bits(), b.to_bits());
        }
        let narrow = [0.1f32, f32::NAN, f32::MIN_POSITIVE, -0.0];
        let array: ArrayRef = Arc::new(Float32Array::from(narrow.to_vec()));
        let read = back(&array);
        for (a, b) in narrow
            .iter()
            .zip(read.as_primitive::<Float32Type>().values())
        {
            assert_eq!(a.to_bits(), b.to_bits());
        }
    }

    #[test]
    fn all_types_come_back() {
        let texts = StringArray::from(vec![Some("a\"\n"), None, Some("é🦀")]);
        let list = {
            let items = Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]);
            let field = Arc::new(Field::new_list_field(DataType::Int64, true));
            let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
            let nulls = NullBuffer::from(vec![true, false, true]);
            ListArray::new(field, offsets, Arc::new(items), Some(nulls))
        };
        let dictionary: DictionaryArray<Int32Type> =
            vec![Some("x"), None, Some("x")].into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "bool",
                Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            ),
            ("byte", Arc::new(Int8Array::from(vec![i8::MIN, 0, 1]))),
            ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
            ("text", Arc::new(texts.clone())),
            ("view", Arc::new(texts.iter().collect::<StringViewArray>())),
            (
                "bytes",
                Arc::new(BinaryArray::from(vec![
                    Some(&b"\x00\xff"[..]),
                    None,
                    Some(b""),
                ])),
            ),
            (
                "day",
                Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)])),
            ),
            (
                "time",
                Arc::new(
                    TimestampNanosecondArray::from(vec![Some(i64::MAX), None, Some(-1)])
                        .with_timezone("UTC"),
                ),
            ),
            (
                "money",
                Arc::new(
                    Decimal128Array::from(vec![Some(i128::MAX / 10), None, Some(-125)])
                        .with_precision_and_scale(38, 2)
                        .unwrap(),
                ),
            ),
            ("list", Arc::new(list)),
            ("dictionary", Arc::new(dictionary)),
        ];
        let whole: ArrayRef = Arc::new(StructArray::try_from(columns).unwrap());
        assert_eq!(back(&whole).as_ref(), whole.as_ref());
    }

    #[test]
    fn what_is_no_transform_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        let path = path.to_str().unwrap();
        let transform = Transform {
            name: "t".into(),
            about: About {
                written: String::new(),
                sql: String::new(),
                rows: 3,
                source: None,
                joined: Vec::new(),
                facts: Vec::new(),
                dropped: Vec::new(),
            },
            inputs: Fields::from(vec![Field::new("x", DataType::Int64, true)]),
            fits: vec![ScalarValue::from(1.5)],
            tables: Vec::new(),
        };
        export(&transform, path).unwrap();
        let read = import(path, Some("u")).unwrap();
        assert_eq!((read.name.as_str(), read.fits.len()), ("u", 1));
        assert_eq!(read.inputs, transform.inputs);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let whole = fs::read_to_string(path).unwrap();
        let refused = |text: &str| {
            fs::write(path, text).unwrap();
            import(path, None).unwrap_err().to_string()
        };
        let error = refused(&whole[..whole.len() / 2]);
        assert!(error.contains("may be cut off"), "{error}");
        let error = refused("{\"a\": 1}");
        assert!(error.contains("is no transform"), "{error}");
        let error = refused(&whole.replace("\"version\": 1", "\"version\": 99"));
        assert!(error.contains("version 99"), "{error}");
        let error = refused(&whole.replace("\"1.5\"", "\"one\""));
        assert!(error.contains("is no Float64"), "{error}");
        let error = import("no/such/file.json", None).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
