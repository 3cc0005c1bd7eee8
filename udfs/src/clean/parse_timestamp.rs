//! `parse_timestamp(x, formats)`: [`super::parse_date`] with the time.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{Result, ScalarValue};

use super::parse_date::{FORMATS_HELP, Formats, coerce, format_texts};
use crate::arrays::is_text;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "parse_timestamp",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "The date and time a text shows, in UTC where it names an offset; NULL where no format fits.",
    params: &[
        Param::data(
            "x",
            "text, a number like 20210304, a date or a timestamp; midnight where no time is shown",
        ),
        Param::option("formats", "NULL", FORMATS_HELP),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT parse_timestamp('2021-03-04 12:30'), parse_timestamp('Thu, 4 Mar 2021 12:30:00 +0200')",
            result: "2021-03-04T12:30:00,2021-03-04T10:30:00",
        },
        Example {
            sql: "SELECT parse_timestamp('03/04/2021 1:05 PM', formats => '%m/%d/%Y %I:%M %p'), parse_timestamp('soon')",
            result: "2021-03-04T13:05:00,",
        },
    ],
    source: "ISO 8601; RFC 2822; the directives of strftime",
    also: &[
        "pandas.to_datetime(errors='coerce', utc=True)",
        "SAFE.PARSE_TIMESTAMP",
        "try_to_timestamp",
    ],
};

const TYPE: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

#[derive(Debug)]
pub struct ParseTimestamp;

impl RowWise for ParseTimestamp {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&SPEC, types, TYPE)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(TYPE)
    }

    fn check(&self, options: &Options) -> Result<()> {
        format_texts(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let x = args.array(0)?;
        if !is_text(x.data_type()) {
            return Ok(x);
        }
        let texts = format_texts(&args.options()?)?;
        let formats = Formats::new(texts.as_deref());
        let moments: TimestampMicrosecondArray = x
            .as_string_view()
            .iter()
            .map(|text| Some(formats.parse(text?)?.utc()?.and_utc().timestamp_micros()))
            .collect();
        Ok(Arc::new(moments))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Date32Array};

    use super::*;
    use crate::testing::{call, column, constant, empty, null, text_forms, texts};

    #[test]
    fn times_and_offsets() -> Result<()> {
        let values = [
            Some("2021-03-04"),
            Some("2021-03-04T00:00:01.5"),
            Some("2021-03-04 02:00:00+02:00"),
            None,
            Some("no"),
            Some("1969-12-31 23:59:59.999999"),
        ];
        let day = 1_614_816_000_000_000;
        let expected = TimestampMicrosecondArray::from(vec![
            Some(day),
            Some(day + 1_500_000),
            Some(day),
            None,
            None,
            Some(-1),
        ]);
        for form in text_forms(&values) {
            let result = call(ParseTimestamp, &[form, null()])?;
            assert_eq!(result.as_ref(), &expected as &dyn Array);
        }
        Ok(())
    }

    #[test]
    fn formats_and_dates() -> Result<()> {
        let x = texts([Some("04/03/21 13h"), Some("04/03/21 13h05")]);
        let result = call(ParseTimestamp, &[x, constant("%d/%m/%y %Hh")])?;
        let expected = TimestampMicrosecondArray::from(vec![Some(1_614_862_800_000_000), None]);
        assert_eq!(result.as_ref(), &expected as &dyn Array);
        let result = call(
            ParseTimestamp,
            &[column(Date32Array::from(vec![1])), null()],
        )?;
        let expected = TimestampMicrosecondArray::from(vec![86_400_000_000]);
        assert_eq!(result.as_ref(), &expected as &dyn Array);
        assert!(call(ParseTimestamp, &[empty(&DataType::Utf8), null()])?.is_empty());
        Ok(())
    }
}
