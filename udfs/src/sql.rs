//! What functions mean in plain SQL, in the words that DuckDB, PostgreSQL and DataFusion share.

use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::{Result, ScalarValue};

/// Keeps an expression as a column of its own, and gives that column's name: what is written more than once is
/// to be computed once.
pub type Bind<'a> = dyn FnMut(String) -> String + 'a;

/// An argument: a column, or what is as short.
#[derive(Debug, Clone)]
pub struct Arg {
    pub sql: String,
    pub data_type: DataType,
    /// Whether it may be NaN.
    pub nan: bool,
}

impl Arg {
    /// The value, NULL where it is missing.
    pub fn present(&self) -> String {
        if self.nan {
            let of = if self.data_type == DataType::Float32 {
                "REAL"
            } else {
                "DOUBLE PRECISION"
            };
            format!("NULLIF({}, CAST('NaN' AS {of}))", self.sql)
        } else {
            self.sql.clone()
        }
    }

    /// The value in double precision, NULL where it is missing.
    pub fn number(&self) -> String {
        match self.data_type {
            DataType::Float32 => format!("CAST({} AS DOUBLE PRECISION)", self.present()),
            _ => self.present(),
        }
    }
}

/// A number that was computed in double precision, in the type it is given back in.
pub fn rounded(sql: String, t: &DataType) -> String {
    match t {
        DataType::Float32 => format!("CAST({sql} AS REAL)"),
        _ => sql,
    }
}

/// A float. With an exponent it is a float everywhere, not a decimal.
pub fn number(x: f64) -> String {
    if x.is_nan() {
        "CAST('NaN' AS DOUBLE PRECISION)".to_string()
    } else if x.is_infinite() {
        let sign = if x < 0.0 { "-" } else { "" };
        format!("CAST('{sign}Infinity' AS DOUBLE PRECISION)")
    } else if x.is_sign_negative() {
        format!("({x:e})")
    } else {
        format!("{x:e}")
    }
}

/// A text.
pub fn text(x: &str) -> String {
    format!("'{}'", x.replace('\'', "''"))
}

/// NULL of a type.
pub fn null(t: &DataType) -> String {
    match type_name(t) {
        Some(name) => format!("CAST(NULL AS {name})"),
        None => "NULL".to_string(),
    }
}

/// A type's name; `None` where the engines have no name in common.
pub fn type_name(t: &DataType) -> Option<String> {
    Some(match t {
        DataType::Boolean => "BOOLEAN".to_string(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "SMALLINT".to_string(),
        DataType::Int32 | DataType::UInt16 => "INTEGER".to_string(),
        DataType::Int64 | DataType::UInt32 => "BIGINT".to_string(),
        DataType::UInt64 => "DECIMAL(20, 0)".to_string(),
        DataType::Float16 | DataType::Float32 => "REAL".to_string(),
        DataType::Float64 => "DOUBLE PRECISION".to_string(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_string(),
        DataType::Date32 | DataType::Date64 => "DATE".to_string(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_string(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_string(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".to_string(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
            if *s >= 0 =>
        {
            format!("DECIMAL({p}, {s})")
        }
        DataType::Dictionary(_, value) => type_name(value)?,
        _ => return None,
    })
}

/// A constant; `None` where the engines have no common way of writing it.
pub fn literal(value: &ScalarValue) -> Result<Option<String>> {
    Ok(Some(match value {
        ScalarValue::Dictionary(_, value) => return literal(value),
        value if value.is_null() => null(&value.data_type()),
        ScalarValue::Boolean(Some(x)) => (if *x { "TRUE" } else { "FALSE" }).to_string(),
        ScalarValue::Float64(Some(x)) => number(*x),
        ScalarValue::Float32(Some(x)) => format!("CAST({} AS REAL)", number(f64::from(*x))),
        ScalarValue::Int64(Some(i64::MIN)) => format!("CAST('{}' AS BIGINT)", i64::MIN),
        value if value.data_type().is_integer() => {
            let digits = value.to_string();
            if digits.starts_with('-') {
                format!("({digits})")
            } else {
                digits
            }
        }
        value => match value.try_as_str() {
            Some(Some(x)) => text(x),
            _ => {
                let Some(name) = type_name(&value.data_type()) else {
                    return Ok(None);
                };
                let array = value.to_array()?;
                let options = FormatOptions::new();
                let shown = ArrayFormatter::try_new(&array, &options)?
                    .value(0)
                    .try_to_string()?;
                format!("CAST({} AS {name})", text(&shown))
            }
        },
    }))
}

/// `CASE WHEN ... THEN ... END` of conditions and values, with what is in their place elsewhere.
pub fn case(
    branches: impl IntoIterator<Item = (String, String)>,
    otherwise: Option<&str>,
) -> String {
    let mut out = "CASE".to_string();
    for (when, then) in branches {
        out += &format!(" WHEN {when} THEN {then}");
    }
    if out == "CASE" {
        return otherwise.unwrap_or("NULL").to_string();
    }
    if let Some(otherwise) = otherwise {
        out += &format!(" ELSE {otherwise}");
    }
    out + " END"
}

/// A number brought into bounds; a bound that is NaN is none.
pub fn clamp(x: &str, lower: f64, upper: f64) -> String {
    let mut branches = Vec::new();
    if !lower.is_nan() {
        branches.push((format!("{x} < {}", number(lower)), number(lower)));
    }
    if !upper.is_nan() {
        branches.push((format!("{x} > {}", number(upper)), number(upper)));
    }
    case(branches, Some(x))
}

/// Where a number belongs among ascending edges, named: below the first, between each two, from the last on.
pub fn bins(x: &str, edges: &[f64], names: &[String]) -> String {
    let Some((last, names)) = names.split_last() else {
        return "NULL".to_string();
    };
    let below = edges.iter().zip(names);
    let below = below.map(|(edge, name)| (format!("{x} < {}", number(*edge)), name.clone()));
    case(
        below.chain([(format!("{x} IS NOT NULL"), last.clone())]),
        None,
    )
}

/// A polynomial, by Horner's rule.
pub fn polynomial(x: &str, coefficients: impl IntoIterator<Item = f64>) -> String {
    let mut out = String::new();
    for c in coefficients {
        out = if out.is_empty() {
            number(c)
        } else {
            format!("({out} * {x} + {})", number(c))
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_written_to_the_bit() -> Result<()> {
        for x in [
            0.1,
            1.0,
            -38.643,
            5e-324,
            f64::MAX,
            123_456_789_012_345_680.0,
        ] {
            let written = number(x);
            let read: f64 = written.trim_matches(['(', ')']).parse().unwrap_or(f64::NAN);
            assert_eq!(read.to_bits(), x.to_bits(), "{written}");
            assert!(written.contains('e'));
        }
        assert_eq!(
            number(f64::NEG_INFINITY),
            "CAST('-Infinity' AS DOUBLE PRECISION)"
        );
        assert_eq!(
            literal(&ScalarValue::from("it's"))?.as_deref(),
            Some("'it''s'")
        );
        assert_eq!(literal(&ScalarValue::from(-3i32))?.as_deref(), Some("(-3)"));
        assert_eq!(
            literal(&ScalarValue::Date32(Some(0)))?.as_deref(),
            Some("CAST('1970-01-01' AS DATE)")
        );
        assert_eq!(
            literal(&ScalarValue::Decimal128(Some(-125), 5, 2))?.as_deref(),
            Some("CAST('-1.25' AS DECIMAL(5, 2))")
        );
        Ok(())
    }

    #[test]
    fn bins_and_bounds() {
        let names = ["0", "1"].map(str::to_string);
        assert_eq!(
            bins("x", &[2.5], &names),
            "CASE WHEN x < 2.5e0 THEN 0 WHEN x IS NOT NULL THEN 1 END"
        );
        assert_eq!(
            clamp("x", f64::NAN, 1.0),
            "CASE WHEN x > 1e0 THEN 1e0 ELSE x END"
        );
        assert_eq!(clamp("x", f64::NAN, f64::NAN), "x");
        assert_eq!(polynomial("r", [1.0, 2.0]), "(1e0 * r + 2e0)");
    }
}
