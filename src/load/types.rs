//! SQL's names for types, both ways.

use std::str::FromStr;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::args::did_you_mean;

/// The names one can write; several for one type.
const NAMES: &[(&str, DataType)] = &[
    ("VARCHAR", DataType::Utf8View),
    ("TEXT", DataType::Utf8View),
    ("STRING", DataType::Utf8View),
    ("CHAR", DataType::Utf8View),
    ("BIGINT", DataType::Int64),
    ("INT8", DataType::Int64),
    ("LONG", DataType::Int64),
    ("INTEGER", DataType::Int32),
    ("INT", DataType::Int32),
    ("INT4", DataType::Int32),
    ("SMALLINT", DataType::Int16),
    ("INT2", DataType::Int16),
    ("TINYINT", DataType::Int8),
    ("BIGINT UNSIGNED", DataType::UInt64),
    ("UBIGINT", DataType::UInt64),
    ("INT UNSIGNED", DataType::UInt32),
    ("INTEGER UNSIGNED", DataType::UInt32),
    ("UINTEGER", DataType::UInt32),
    ("SMALLINT UNSIGNED", DataType::UInt16),
    ("USMALLINT", DataType::UInt16),
    ("TINYINT UNSIGNED", DataType::UInt8),
    ("UTINYINT", DataType::UInt8),
    ("DOUBLE", DataType::Float64),
    ("DOUBLE PRECISION", DataType::Float64),
    ("FLOAT8", DataType::Float64),
    ("FLOAT64", DataType::Float64),
    ("REAL", DataType::Float32),
    ("FLOAT", DataType::Float32),
    ("FLOAT4", DataType::Float32),
    ("FLOAT32", DataType::Float32),
    ("BOOLEAN", DataType::Boolean),
    ("BOOL", DataType::Boolean),
    ("DATE", DataType::Date32),
    (
        "TIMESTAMP",
        DataType::Timestamp(TimeUnit::Microsecond, None),
    ),
    ("DATETIME", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ("TIME", DataType::Time64(TimeUnit::Microsecond)),
    ("BYTEA", DataType::BinaryView),
    ("INTERVAL", DataType::Interval(IntervalUnit::MonthDayNano)),
];

/// The type a name stands for, or what is wrong with the name.
pub fn parse(text: &str) -> Result<DataType, String> {
    let name = text
        .to_uppercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if let Some((_, data_type)) = NAMES.iter().find(|(n, _)| *n == name) {
        return Ok(data_type.clone());
    }
    if name == "TIMESTAMPTZ" || name == "TIMESTAMP WITH TIME ZONE" {
        return Ok(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("+00:00".into()),
        ));
    }
    if let Some((base, rest)) = name.split_once('(') {
        let numbers: Option<Vec<u8>> = rest
            .strip_suffix(')')
            .map(|list| list.split(',').map(|n| n.trim().parse().ok()).collect())
            .unwrap_or_default();
        match (base.trim(), numbers.as_deref()) {
            ("VARCHAR" | "CHAR" | "STRING" | "TEXT", _) if rest.ends_with(')') => {
                return Ok(DataType::Utf8View);
            }
            ("DECIMAL" | "NUMERIC", Some([precision @ 1..=38])) => {
                return Ok(DataType::Decimal128(*precision, 0));
            }
            ("DECIMAL" | "NUMERIC", Some([precision @ 1..=38, scale])) if scale <= precision => {
                return Ok(DataType::Decimal128(*precision, scale.cast_signed()));
            }
            _ => {}
        }
    }
    if name == "DECIMAL" || name == "NUMERIC" {
        return Ok(DataType::Decimal128(38, 10));
    }
    DataType::from_str(text).map_err(|_| {
        format!(
            "'{text}' is no type{} Types are VARCHAR, BIGINT, INTEGER, DOUBLE, REAL, BOOLEAN, DATE, TIMESTAMP, TIME, DECIMAL(p, s)",
            did_you_mean(&name, NAMES.iter().map(|(n, _)| *n))
        )
    })
}

/// SQL's name for a type.
pub fn name(data_type: &DataType) -> String {
    if let DataType::Decimal128(precision, scale) = data_type {
        return format!("DECIMAL({precision}, {scale})");
    }
    NAMES
        .iter()
        .find(|(_, t)| t == data_type)
        .map_or_else(|| data_type.to_string(), |(name, _)| (*name).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(parse("varchar(20)"), Ok(DataType::Utf8View));
        assert_eq!(parse("decimal(10, 2)"), Ok(DataType::Decimal128(10, 2)));
        assert_eq!(parse("double  precision"), Ok(DataType::Float64));
        assert_eq!(parse("Int16"), Ok(DataType::Int16));
        assert_eq!(name(&DataType::Float32), "REAL");
        let error = parse("VARCAR").unwrap_err();
        assert!(error.contains("did you mean 'VARCHAR'?"), "{error}");
    }
}
