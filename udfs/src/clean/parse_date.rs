//! `parse_date(x, formats)`, and how [`super::parse_timestamp`] and it read dates and times.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use chrono::format::{Item, Numeric, Pad, Parsed, StrftimeItems, parse, parse_and_remainder};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::arrays::is_text;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

/// What both functions say of their formats.
pub(super) const FORMATS_HELP: &str = "one format or a list, as in strftime ('%d/%m/%Y'); the first that fits the whole \
    text counts. Left out: 2021-03-04, 2021/03/04, 2021.03.04, 20210304; 04.03.2021 (with points, the day comes \
    first); 4 March 2021, 4-Mar-21, March 4, 2021, with or without a weekday; after each a time may stand. \
    03/04/2021 is March for some and April for others, so it fits none of them: give '%m/%d/%Y' or '%d/%m/%Y'";

const SPEC: Spec = Spec {
    name: "parse_date",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "The date a text shows; NULL where no format fits. A time after it is left off: parse_timestamp keeps it.",
    params: &[
        Param::data("x", "text, a number like 20210304, a date or a timestamp"),
        Param::option("formats", "NULL", FORMATS_HELP),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT parse_date('2021-03-04'), parse_date('March 4, 2021'), parse_date('4.3.2021'), parse_date('03/04/2021')",
            result: "2021-03-04,2021-03-04,2021-03-04,",
        },
        Example {
            sql: "SELECT parse_date('03/04/2021', formats => ['%Y-%m-%d', '%d/%m/%Y']), parse_date('2021-02-30')",
            result: "2021-04-03,",
        },
    ],
    source: "ISO 8601; RFC 2822; the directives of strftime",
    also: &[
        "pandas.to_datetime(errors='coerce')",
        "SAFE.PARSE_DATE",
        "try_to_date",
    ],
};

#[derive(Debug)]
pub struct ParseDate;

impl RowWise for ParseDate {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&SPEC, types, DataType::Date32)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn check(&self, options: &Options) -> Result<()> {
        format_texts(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let x = args.array(0)?;
        if !is_text(x.data_type()) {
            return Ok(cast(&x, &DataType::Date32)?);
        }
        let texts = format_texts(&args.options()?)?;
        let formats = Formats::new(texts.as_deref());
        let dates: Date32Array = x
            .as_string_view()
            .iter()
            .map(|text| {
                let moment = formats.parse(text?)?;
                Some(moment.local.num_days_from_ce() - EPOCH_FROM_CE)
            })
            .collect();
        Ok(Arc::new(dates))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

/// 1970-01-01 in days from 0000-12-31.
const EPOCH_FROM_CE: i32 = 719_163;

/// Texts and whole numbers are read as texts; dates and timestamps pass as `temporal`.
pub(super) fn coerce(spec: &Spec, types: &[DataType], temporal: DataType) -> Result<Vec<DataType>> {
    let mut coerced = types.to_vec();
    coerced[0] = match &types[0] {
        t if is_text(t) || t.is_integer() => DataType::Utf8View,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => temporal,
        t => {
            return plan_err!(
                "{}: x must be text, a whole number like 20210304, a date or a timestamp, not {t}",
                spec.name
            );
        }
    };
    Ok(coerced)
}

/// The formats given, each one that strftime knows; None if left out.
pub(super) fn format_texts(options: &Options) -> Result<Option<Vec<String>>> {
    if options.is_null("formats") {
        return Ok(None);
    }
    let formats = options.texts("formats")?;
    for format in &formats {
        let wrong = StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
        let says_nothing = !StrftimeItems::new(format)
            .any(|item| matches!(item, Item::Numeric(_, _) | Item::Fixed(_)));
        if wrong || says_nothing {
            return plan_err!(
                "{}: '{format}' is not a format of strftime. Write one like '%d/%m/%Y' or '%b %d, %Y %H:%M'",
                options.spec().name
            );
        }
    }
    if formats.is_empty() {
        return options.wrong(
            "formats",
            "a list with at least one format, as in ['%d/%m/%Y']",
        );
    }
    Ok(Some(formats))
}

/// What a text shows: the local date and time, and how far the place's clock is before UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    pub local: NaiveDateTime,
    pub offset_seconds: i32,
}

impl Moment {
    /// The moment on a clock that shows UTC.
    pub fn utc(&self) -> Option<NaiveDateTime> {
        let offset = TimeDelta::seconds(i64::from(self.offset_seconds));
        self.local.checked_sub_signed(offset)
    }
}

/// Formats made ready for many texts.
pub(super) enum Formats<'a> {
    /// The common ones.
    Default(Vec<Vec<Item<'static>>>),
    Given(Vec<Vec<Item<'a>>>),
}

/// The common ones that [`iso`] does not read; a time may follow each.
const COMMON: [&str; 5] = ["%d.%m.%Y", "%d-%b-%Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y"];
/// The same with a year of two digits, where it cannot be taken for a day.
const COMMON_SHORT: [&str; 1] = ["%d-%b-%y"];

impl<'a> Formats<'a> {
    pub fn new(formats: Option<&'a [String]>) -> Self {
        match formats {
            Some(formats) => Self::Given(
                formats
                    .iter()
                    .map(|f| StrftimeItems::new(f).collect())
                    .collect(),
            ),
            None => Self::Default(
                COMMON
                    .iter()
                    .chain(&COMMON_SHORT)
                    .map(|f| StrftimeItems::new(f).collect())
                    .collect(),
            ),
        }
    }

    pub fn parse(&self, text: &str) -> Option<Moment> {
        let text = text.trim();
        match self {
            Self::Given(formats) => formats.iter().find_map(|items| given(text, items)),
            Self::Default(formats) => iso(text).or_else(|| {
                let text = without_weekday(text);
                formats.iter().find_map(|items| {
                    let mut parsed = Parsed::new();
                    let rest = parse_and_remainder(&mut parsed, text, items.iter()).ok()?;
                    at(date(&parsed, text)?, rest)
                })
            }),
        }
    }
}

fn given(text: &str, items: &[Item<'_>]) -> Option<Moment> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, items.iter()).ok()?;
    if parsed.timestamp().is_some() {
        let local = parsed.to_naive_datetime_with_offset(0).ok()?;
        return Some(Moment {
            local,
            offset_seconds: 0,
        });
    }
    let has_time = parsed.hour_mod_12().is_some();
    let time = if has_time {
        // a clock of twelve hours without AM or PM reads as one of the morning
        if parsed.hour_div_12().is_none() {
            parsed.set_ampm(false).ok()?;
        }
        if parsed.minute().is_none() {
            parsed.set_minute(0).ok()?;
        }
        parsed.to_naive_time().ok()?
    } else {
        NaiveTime::MIN
    };
    Some(Moment {
        local: date(&parsed, text)?.and_time(time),
        offset_seconds: parsed.offset().unwrap_or(0),
    })
}

/// The date of what was parsed; a month means its first day, a year its first month.
fn date(parsed: &Parsed, text: &str) -> Option<NaiveDate> {
    // chrono reads the year 21 where %Y meets '21'; '0021' is one
    if let Some(year) = parsed.year()
        && year < 1000
        && !text.contains(&format!("{year:04}"))
    {
        return None;
    }
    let mut parsed = parsed.clone();
    // POSIX puts 69 to 99 in the last century, chrono 70 to 99
    if parsed.year_mod_100() == Some(69)
        && parsed.year().is_none()
        && parsed.year_div_100().is_none()
    {
        parsed.set_year(1969).ok()?;
    }
    let by_month = parsed.ordinal().is_none()
        && parsed.isoweek().is_none()
        && parsed.week_from_sun().is_none()
        && parsed.week_from_mon().is_none();
    if by_month {
        if parsed.month().is_none() && parsed.day().is_none() {
            parsed.set_month(1).ok()?;
        }
        if parsed.day().is_none() {
            parsed.set_day(1).ok()?;
        }
    }
    parsed.to_naive_date().ok()
}

/// `2021-03-04`, with `/` or `.` as well, or `20210304`; a time may follow.
fn iso(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        bytes.get(from..to)?.iter().try_fold(0, |n: u32, b| {
            b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0'))
        })
    };
    let year = number(0, 4)?;
    let separator = *bytes.get(4)?;
    let (month, day, end) = if matches!(separator, b'-' | b'/' | b'.') {
        if bytes.get(7) != Some(&separator) {
            return None;
        }
        (number(5, 7)?, number(8, 10)?, 10)
    } else {
        (number(4, 6)?, number(6, 8)?, 8)
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    at(date, text.get(end..)?)
}

/// A date and the text after it: nothing, or a time.
fn at(date: NaiveDate, rest: &str) -> Option<Moment> {
    if rest.is_empty() {
        return Some(Moment {
            local: date.and_time(NaiveTime::MIN),
            offset_seconds: 0,
        });
    }
    let time = rest.strip_prefix(['T', 't', ' ', ','])?.trim_start();
    let mut parsed = Parsed::new();
    let rest = parse_and_remainder(&mut parsed, time, HOUR_MINUTE.iter()).ok()?;
    let mut rest = rest;
    if let Some(seconds) = rest.strip_prefix(':') {
        rest = parse_and_remainder(&mut parsed, seconds, SECOND.iter()).ok()?;
    }
    let rest = rest.trim_start();
    let (rest, pm) = match rest.get(..2) {
        Some(half) if half.eq_ignore_ascii_case("am") => (rest[2..].trim_start(), Some(false)),
        Some(half) if half.eq_ignore_ascii_case("pm") => (rest[2..].trim_start(), Some(true)),
        _ => (rest, None),
    };
    let hour = parsed.hour_div_12()? * 12 + parsed.hour_mod_12()?;
    let hour = match pm {
        None => hour,
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(pm) => hour % 12 + if pm { 12 } else { 0 },
    };
    let nanos = parsed.nanosecond().unwrap_or(0);
    let (minute, second) = (parsed.minute()?, parsed.second().unwrap_or(0));
    // a leap second is the last of its minute
    let time = NaiveTime::from_hms_nano_opt(hour, minute, second.min(59), nanos)?;
    Some(Moment {
        local: date.and_time(time),
        offset_seconds: offset(rest)?,
    })
}

const HOUR_MINUTE: [Item<'static>; 3] = [
    Item::Numeric(Numeric::Hour, Pad::Zero),
    Item::Literal(":"),
    Item::Numeric(Numeric::Minute, Pad::Zero),
];
const SECOND: [Item<'static>; 2] = [
    Item::Numeric(Numeric::Second, Pad::Zero),
    Item::Fixed(chrono::format::Fixed::Nanosecond),
];

/// Seconds before UTC: of nothing, `Z`, `UTC`, `GMT`, `+02`, `+0200`, `+02:00`.
fn offset(text: &str) -> Option<i32> {
    if ["", "z", "utc", "gmt"]
        .iter()
        .any(|z| z.eq_ignore_ascii_case(text))
    {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text.get(1..)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None => (digits.get(..2)?, digits.get(2..)?),
    };
    let two = |s: &str| match s.as_bytes() {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => {
            Some(i32::from(a - b'0') * 10 + i32::from(b - b'0'))
        }
        _ => None,
    };
    let hours = two(hours)?;
    let minutes = if minutes.is_empty() { 0 } else { two(minutes)? };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Takes off `Thursday, ` or `Thu `.
fn without_weekday(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(0);
    let (word, rest) = text.split_at(end);
    match word.parse::<chrono::Weekday>() {
        Ok(_) => rest.trim_start_matches([',', '.']).trim_start(),
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::testing::{call, column, constant, empty, error, list, null, text_forms, texts};

    fn shown(text: &str) -> Option<String> {
        Formats::new(None).parse(text).map(|m| m.local.to_string())
    }

    #[test]
    fn common_formats() {
        for (text, expected) in [
            ("2021-03-04", "2021-03-04 00:00:00"),
            (" 2021/03/04 ", "2021-03-04 00:00:00"),
            ("2021.03.04", "2021-03-04 00:00:00"),
            ("20210304", "2021-03-04 00:00:00"),
            ("04.03.2021", "2021-03-04 00:00:00"),
            ("4.3.2021", "2021-03-04 00:00:00"),
            ("4 March 2021", "2021-03-04 00:00:00"),
            ("4 mar 2021", "2021-03-04 00:00:00"),
            ("04-Mar-2021", "2021-03-04 00:00:00"),
            ("4-Mar-21", "2021-03-04 00:00:00"),
            ("March 4, 2021", "2021-03-04 00:00:00"),
            ("MAR 4 2021", "2021-03-04 00:00:00"),
            ("Thu, 4 Mar 2021 12:30:00 +0100", "2021-03-04 12:30:00"),
            ("Thursday, March 4, 2021", "2021-03-04 00:00:00"),
            ("2021-03-04T12:30", "2021-03-04 12:30:00"),
            ("2021-03-04 12:30:15.25", "2021-03-04 12:30:15.250"),
            ("2021-03-04T12:30:15.123456Z", "2021-03-04 12:30:15.123456"),
            ("2021-03-04 12:30 PM", "2021-03-04 12:30:00"),
            ("March 4, 2021 12:05 am", "2021-03-04 00:05:00"),
            ("2024-02-29", "2024-02-29 00:00:00"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            " ",
            "-",
            "2021",
            "2021-03",
            "2021-3-4x",
            "2021-02-30",
            "2023-02-29",
            "2021-13-01",
            "2021-03/04",
            "03/04/2021",
            "31/12/2021",
            "March 2021",
            "2021-03-04 25:00",
            "2021-03-04 12:30 lunch",
            "2021-03-04 13:30 PM",
            "NaT",
            "yesterday",
            "数据",
            "2021-03-0é",
            "04.03.21",
            "20210399",
            "123",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn offsets() {
        for (text, seconds) in [
            ("", 0),
            ("Z", 0),
            ("utc", 0),
            ("+02", 7200),
            ("-0530", -19800),
            ("+05:45", 20700),
        ] {
            assert_eq!(offset(text), Some(seconds), "{text}");
        }
        for text in ["+", "+2", "+24:00", "02:00", "+02:0", "+2:00", "EST", "+é"] {
            assert_eq!(offset(text), None, "{text}");
        }
    }

    #[test]
    fn given_formats() -> Result<()> {
        for (text, format, expected) in [
            ("03/04/2021", "%d/%m/%Y", Some("2021-04-03")),
            ("03/04/2021", "%m/%d/%Y", Some("2021-03-04")),
            ("2021-03", "%Y-%m", Some("2021-03-01")),
            ("2021", "%Y", Some("2021-01-01")),
            ("2021-063", "%Y-%j", Some("2021-03-04")),
            ("4/3/69", "%d/%m/%y", Some("1969-03-04")),
            ("4/3/68", "%d/%m/%y", Some("2068-03-04")),
            (
                "03/04/2021 1:30 pm",
                "%m/%d/%Y %I:%M %p",
                Some("2021-03-04"),
            ),
            ("1614816000", "%s", Some("2021-03-04")),
            ("03/04/21", "%m/%d/%Y", None),
            ("03/04/2021 more", "%m/%d/%Y", None),
            ("31/02/2021", "%d/%m/%Y", None),
        ] {
            let result = call(ParseDate, &[texts([Some(text)]), constant(format)])?;
            let shown = cast(&result, &DataType::Utf8View)?;
            assert_eq!(
                shown.as_string_view().iter().next(),
                Some(expected),
                "{text} {format}"
            );
        }
        Ok(())
    }

    #[test]
    fn the_first_format_that_fits() -> Result<()> {
        let formats = list(StringArray::from(vec!["%d/%m/%Y", "%m/%d/%Y"]));
        let values = [Some("03/04/2021"), Some("12/31/2021"), None, Some("")];
        let expected = Date32Array::from(vec![Some(18720), Some(18992), None, None]);
        for form in text_forms(&values) {
            let result = call(ParseDate, &[form, formats.clone()])?;
            assert_eq!(result.as_ref(), &expected as &dyn Array);
        }
        Ok(())
    }

    #[test]
    fn other_types() -> Result<()> {
        let result = call(
            ParseDate,
            &[column(Int64Array::from(vec![20210304, 7])), null()],
        )?;
        let expected = Date32Array::from(vec![Some(18690), None]);
        assert_eq!(result.as_ref(), &expected as &dyn Array);
        let timestamp = TimestampMicrosecondArray::from(vec![-1]);
        let result = call(ParseDate, &[column(timestamp), null()])?;
        assert_eq!(result.as_ref(), &Date32Array::from(vec![-1]) as &dyn Array);
        assert!(call(ParseDate, &[empty(&DataType::Utf8), null()])?.is_empty());
        assert_eq!(call(ParseDate, &[null(), null()])?.null_count(), 1);
        Ok(())
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let x = texts([Some("a")]);
        let message = error(call(ParseDate, &[x.clone(), constant("%Q")]));
        assert!(
            message.contains("'%Q' is not a format of strftime"),
            "{message}"
        );
        let message = error(call(ParseDate, &[x.clone(), constant("dd/mm/yyyy")]));
        assert!(message.contains("Write one like '%d/%m/%Y'"), "{message}");
        let message = error(call(ParseDate, &[x, constant(5)]));
        assert!(
            message.contains("'5' is not a format of strftime"),
            "{message}"
        );
        let message = error(call(ParseDate, &[constant(1.5), null()]));
        assert!(message.contains("x must be text"), "{message}");
    }
}
