//! How values and types are written for people.

use std::fmt::{self, Write};

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

pub const NULL: &str = "NULL";
pub const TIMESTAMP: &str = "%Y-%m-%d %H:%M:%S%.f";
pub const TIMESTAMP_TZ: &str = "%Y-%m-%d %H:%M:%S%.f%:z";

/// Bytes of a binary value that are shown.
const BYTES_SHOWN: usize = 16;

pub fn format_options() -> FormatOptions<'static> {
    FormatOptions::new()
        .with_display_error(true)
        .with_null(NULL)
        .with_timestamp_format(Some(TIMESTAMP))
        .with_timestamp_tz_format(Some(TIMESTAMP_TZ))
        .with_datetime_format(Some(TIMESTAMP))
}

/// True for types that are read by their last digit, and so stand at the right.
pub fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        other => other.is_numeric(),
    }
}

/// The type in the words of SQL.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".to_string(),
        DataType::Boolean => "boolean".to_string(),
        DataType::Int8 => "int8".to_string(),
        DataType::Int16 => "int16".to_string(),
        DataType::Int32 => "int32".to_string(),
        DataType::Int64 => "int64".to_string(),
        DataType::UInt8 => "uint8".to_string(),
        DataType::UInt16 => "uint16".to_string(),
        DataType::UInt32 => "uint32".to_string(),
        DataType::UInt64 => "uint64".to_string(),
        DataType::Float16 => "half".to_string(),
        DataType::Float32 => "float".to_string(),
        DataType::Float64 => "double".to_string(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_string(),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "binary".to_string(),
        DataType::Date32 | DataType::Date64 => "date".to_string(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_string(),
        DataType::Timestamp(TimeUnit::Nanosecond | TimeUnit::Microsecond, None) => {
            "timestamp".to_string()
        }
        DataType::Timestamp(_, None) => "timestamp".to_string(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_string(),
        DataType::Duration(_) => "duration".to_string(),
        DataType::Interval(_) => "interval".to_string(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => format!("{}[]", type_name(item.data_type())),
        DataType::FixedSizeList(item, length) => {
            format!("{}[{length}]", type_name(item.data_type()))
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|f| format!("{} {}", f.name(), type_name(f.data_type())))
                .collect();
            format!("struct({})", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => format!(
                "map({}, {})",
                type_name(fields[0].data_type()),
                type_name(fields[1].data_type())
            ),
            _ => "map".to_string(),
        },
        // How values are stored is nothing a reader of a result needs to know.
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
        other => other.to_string().to_lowercase(),
    }
}

/// One value, at most about `limit` bytes of it; `None` for NULL.
///
/// A picture or a vector of thousands of numbers is written no further than it can be shown.
pub fn cell(array: &dyn Array, row: usize, limit: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    if let Some(bytes) = bytes(array, row) {
        return Some(bytes);
    }
    let mut text = Limited {
        text: String::new(),
        limit,
    };
    let options = format_options();
    match ArrayFormatter::try_new(array, &options) {
        // The only error is that the limit was reached.
        Ok(formatter) => {
            let _ = formatter.value(row).write(&mut text);
        }
        Err(error) => text.text = error.to_string(),
    }
    Some(text.text)
}

/// The first bytes in hexadecimal, and how many there are.
fn bytes(array: &dyn Array, row: usize) -> Option<String> {
    use arrow::array::AsArray;
    let value: &[u8] = match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::BinaryView => array.as_binary_view().value(row),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(row),
        _ => return None,
    };
    let mut text = String::with_capacity(2 * BYTES_SHOWN + 24);
    for byte in value.iter().take(BYTES_SHOWN) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if value.len() > BYTES_SHOWN {
        let _ = write!(text, "… {} bytes", count(value.len() as u64));
    }
    Some(text)
}

/// Stops the formatter once there is enough.
struct Limited {
    text: String,
    limit: usize,
}

impl Write for Limited {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.text.len() > self.limit {
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}

/// A dictionary as its values, so that every formatter below sees plain arrays.
pub fn plain(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values),
        _ => Ok(ArrayRef::clone(array)),
    }
}

/// `1234567` as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2,000 rows`.
pub fn counted(n: u64, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(n))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Float64Array, ListArray};
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    #[test]
    fn counts() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(0, "row"), "0 rows");
    }

    #[test]
    fn types() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Float32, true)));
        assert_eq!(type_name(&list), "float[]");
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert_eq!(type_name(&dictionary), "text");
        assert!(!is_number(&dictionary));
        assert_eq!(type_name(&DataType::Decimal128(10, 2)), "decimal(10,2)");
    }

    #[test]
    fn long_values_are_not_written_out() {
        let long = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(
            (0..1_000_000).map(Some).collect::<Vec<_>>(),
        )]);
        let text = cell(&long, 0, 100).unwrap();
        assert!(text.len() < 200, "{}", text.len());
        let image = BinaryArray::from_vec(vec![&[255_u8; 5000]]);
        assert_eq!(
            cell(&image, 0, 100).unwrap(),
            format!("{}… 5,000 bytes", "ff".repeat(16))
        );
    }

    #[test]
    fn null_is_not_text() {
        let array = Float64Array::from(vec![None, Some(0.1)]);
        assert_eq!(cell(&array, 0, 100), None);
        assert_eq!(cell(&array, 1, 100).as_deref(), Some("0.1"));
    }
}
