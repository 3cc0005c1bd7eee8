//! `date_parts(t)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, StructArray};
use arrow::compute::kernels::cmp::gt_eq;
use arrow::compute::{DatePart, date_part};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::arrays::is_text;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::Arg;

const SPEC: Spec = Spec {
    name: "date_parts",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "Year, month, day, weekday, hour and whether it is a weekend. Six columns in a SELECT list.",
    params: &[Param::data(
        "t",
        "a date or timestamp, read in its own time zone. Weekdays count from Monday, 0, to Sunday, 6",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT date_parts(t) FROM (VALUES (TIMESTAMP '2024-02-29 13:45:00'), (TIMESTAMP '2024-03-03 00:00:00'), (NULL)) AS v(t)",
        result: "2024,2,29,3,13,false\n2024,3,3,6,0,true\n,,,,,",
    }],
    source: "pandas' Series.dt; the weekend is Saturday and Sunday",
    also: &[
        "pandas.Series.dt",
        "feature_engine.datetime.DatetimeFeatures",
        "EXTRACT",
    ],
};

/// The fields of the struct, in order.
pub const PARTS: [&str; 6] = ["year", "month", "day", "weekday", "hour", "is_weekend"];

const SATURDAY: i32 = 5;

#[derive(Debug)]
pub struct DateParts;

fn fields() -> Fields {
    PARTS
        .iter()
        .map(|part| match *part {
            "is_weekend" => Field::new(*part, DataType::Boolean, true),
            _ => Field::new(*part, DataType::Int32, true),
        })
        .collect()
}

impl RowWise for DateParts {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match &types[0] {
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Ok(types.to_vec()),
            DataType::Null => Ok(vec![DataType::Date32]),
            t if is_text(t) => plan_err!(
                "date_parts: t must be a date or timestamp, not text. Write date_parts(parse_timestamp(t)) or date_parts(parse_date(t))"
            ),
            t => plan_err!("date_parts: t must be a date or timestamp, not {t}"),
        }
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let t = args.array(0)?;
        let part = |part| date_part(&t, part);
        let weekday = part(DatePart::DayOfWeekMonday0)?;
        let weekend = gt_eq(&weekday, &Int32Array::new_scalar(SATURDAY))?;
        let columns: Vec<ArrayRef> = vec![
            part(DatePart::Year)?,
            part(DatePart::Month)?,
            part(DatePart::Day)?,
            weekday,
            part(DatePart::Hour)?,
            Arc::new(weekend),
        ];
        Ok(Arc::new(StructArray::try_new_with_length(
            fields(),
            columns,
            t.nulls().cloned(),
            t.len(),
        )?))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }

    fn sql(&self, args: &[Arg], _options: &Options, part: Option<&str>) -> Result<Option<String>> {
        let t = &args[0].sql;
        let extract = |field: &str| format!("CAST(EXTRACT({field} FROM {t}) AS INTEGER)");
        // Monday is 0
        let weekday = format!("({} + 6) % 7", extract("DOW"));
        let hours = !matches!(args[0].data_type, DataType::Date32 | DataType::Date64);
        Ok(match part {
            Some("year") => Some(extract("YEAR")),
            Some("month") => Some(extract("MONTH")),
            Some("day") => Some(extract("DAY")),
            Some("hour") if hours => Some(extract("HOUR")),
            Some("hour") => Some(format!("CASE WHEN {t} IS NOT NULL THEN 0 END")),
            Some("weekday") => Some(weekday),
            Some("is_weekend") => Some(format!("{weekday} >= {SATURDAY}")),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        AsArray, Date32Array, Date64Array, DictionaryArray, Int64Array, TimestampNanosecondArray,
        TimestampSecondArray,
    };
    use arrow::compute::cast;
    use arrow::datatypes::{Int32Type, TimeUnit};
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, texts};

    /// The parts of each row; None where the struct is NULL.
    fn parts(t: ColumnarValue) -> Result<Vec<Option<[Option<i32>; 6]>>> {
        let result = call(DateParts, &[t])?;
        let parts = result.as_struct();
        let columns = parts
            .columns()
            .iter()
            .map(|c| {
                Ok(cast(c, &DataType::Int32)?
                    .as_primitive::<Int32Type>()
                    .clone())
            })
            .collect::<Result<Vec<_>>>()?;
        let value = |row: usize, i: usize| columns[i].is_valid(row).then(|| columns[i].value(row));
        Ok((0..parts.len())
            .map(|row| {
                parts
                    .is_valid(row)
                    .then(|| std::array::from_fn(|i| value(row, i)))
            })
            .collect())
    }

    const LEAP_DAY: i64 = 1_709_213_400; // 2024-02-29 13:30, a Thursday

    #[test]
    fn all_types_agree() -> Result<()> {
        let expected = Some([2024, 2, 29, 3, 13, 0].map(Some));
        let seconds = Int64Array::from(vec![Some(LEAP_DAY), None]);
        for (unit, factor) in [
            (TimeUnit::Second, 1),
            (TimeUnit::Millisecond, 1_000),
            (TimeUnit::Microsecond, 1_000_000),
            (TimeUnit::Nanosecond, 1_000_000_000),
        ] {
            let scaled = seconds.unary::<_, arrow::datatypes::Int64Type>(|s| s * factor);
            let t = cast(&scaled, &DataType::Timestamp(unit, None))?;
            assert_eq!(
                parts(ColumnarValue::Array(t))?,
                [expected, None],
                "{unit:?}"
            );
        }
        let day = Some([2024, 2, 29, 3, 0, 0].map(Some));
        let days = Date32Array::from(vec![Some(19_782), None]);
        assert_eq!(parts(column(days))?, [day, None]);
        let millis = Date64Array::from(vec![Some(19_782 * 86_400_000), None]);
        assert_eq!(parts(column(millis))?, [day, None]);
        let values = TimestampSecondArray::from(vec![LEAP_DAY]);
        let keys = arrow::array::Int32Array::from(vec![Some(0), None, Some(0)]);
        let dictionary = DictionaryArray::try_new(keys, Arc::new(values))?;
        assert_eq!(parts(column(dictionary))?, [expected, None, expected]);
        Ok(())
    }

    #[test]
    fn time_zones() -> Result<()> {
        for (zone, expected) in [
            ("+00:00", [2024, 2, 29, 3, 13, 0]),
            ("Asia/Tokyo", [2024, 2, 29, 3, 22, 0]),
            ("+11:00", [2024, 3, 1, 4, 0, 0]),
            ("America/New_York", [2024, 2, 29, 3, 8, 0]),
        ] {
            let t = TimestampSecondArray::from(vec![LEAP_DAY]).with_timezone(zone);
            assert_eq!(parts(column(t))?, [Some(expected.map(Some))], "{zone}");
        }
        Ok(())
    }

    #[test]
    fn a_week_and_before_1970() -> Result<()> {
        // 1969-12-29 is a Monday
        let days = parts(column(Date32Array::from_iter_values(-3..4)))?;
        let weekdays: Vec<_> = days.iter().flatten().map(|p| (p[3], p[5])).collect();
        let expected: Vec<_> = (0..7).map(|d| (Some(d), Some(i32::from(d >= 5)))).collect();
        assert_eq!(weekdays, expected);
        let t = TimestampNanosecondArray::from(vec![-1]);
        assert_eq!(
            parts(column(t))?,
            [Some([1969, 12, 31, 2, 23, 0].map(Some))]
        );
        Ok(())
    }

    #[test]
    fn beyond_the_calendar() -> Result<()> {
        let t = TimestampSecondArray::from(vec![i64::MAX, i64::MIN, 0]);
        let result = parts(column(t.clone()))?;
        assert_eq!(result[0], Some([None; 6]));
        assert_eq!(result[1], Some([None; 6]));
        assert_eq!(result[2], Some([1970, 1, 1, 3, 0, 0].map(Some)));
        assert_eq!(parts(column(t.with_timezone("Asia/Tokyo")))?.len(), 3);
        parts(column(Date32Array::from(vec![i32::MAX, i32::MIN])))?;
        parts(column(Date64Array::from(vec![i64::MAX, i64::MIN])))?;
        Ok(())
    }

    #[test]
    fn nothing_and_wrong_arguments() -> Result<()> {
        assert!(parts(empty(&DataType::Date32))?.is_empty());
        assert_eq!(parts(null())?, [None]);
        let message = error(call(DateParts, &[texts([Some("2024-01-01")])]));
        assert!(
            message.contains("Write date_parts(parse_timestamp(t))"),
            "{message}"
        );
        let message = error(call(DateParts, &[constant(1)]));
        assert!(
            message.contains("t must be a date or timestamp, not Int32"),
            "{message}"
        );
        Ok(())
    }
}
