//! `parse_number(x, locale)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, plan_err};

use crate::arrays::{is_number, is_text};
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "parse_number",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "The number a text shows, as DOUBLE; NULL where it shows none.",
    params: &[
        Param::data(
            "x",
            "text: one number with, if need be, a sign (also Unicode's minus), a currency sign or code, \
             thousands separators where they belong, an exponent, '%' or '‰', or parentheses for a negative \
             one. Numbers pass. A text of NaN or infinity is no number",
        ),
        Param::option(
            "locale",
            "'en'",
            "which separators are used: 'en' 1,234.5; 'in' 12,34,567.8; 'de' 1.234,5 (also 'es', 'it', 'nl', \
             'pt', 'da', 'tr', 'id'); 'fr' 1 234,5 (also 'ru', 'pl', 'cs', 'sv', 'nb', 'fi'); 'ch' 1'234.5",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT parse_number('$1,234.50'), parse_number('(12)'), parse_number('12%'), parse_number('12 apples')",
            result: "1234.5,-12.0,0.12,",
        },
        Example {
            sql: "SELECT parse_number('1.234,5 €', locale => 'de'), parse_number('1,23')",
            result: "1234.5,",
        },
    ],
    source: "number formats of Unicode CLDR",
    also: &[
        "readr::parse_number",
        "pandas.to_numeric(errors='coerce')",
        "SAFE_CAST(x AS FLOAT64)",
    ],
};

/// How a locale writes numbers.
#[derive(Debug, Clone, Copy)]
struct Format {
    decimal: char,
    group: &'static [char],
    /// Whether groups above the last have two digits, as in lakhs and crores.
    pairs: bool,
}

const SPACES: &[char] = &[' ', '\u{a0}', '\u{202f}', '\u{2009}'];

const LOCALES: &[(&str, Format)] = &[
    (
        "en",
        Format {
            decimal: '.',
            group: &[','],
            pairs: false,
        },
    ),
    (
        "in",
        Format {
            decimal: '.',
            group: &[','],
            pairs: true,
        },
    ),
    ("de", COMMA),
    ("es", COMMA),
    ("it", COMMA),
    ("nl", COMMA),
    ("pt", COMMA),
    ("da", COMMA),
    ("tr", COMMA),
    ("id", COMMA),
    ("fr", SPACED),
    ("ru", SPACED),
    ("pl", SPACED),
    ("cs", SPACED),
    ("sv", SPACED),
    ("nb", SPACED),
    ("fi", SPACED),
    (
        "ch",
        Format {
            decimal: '.',
            group: &['\'', '’'],
            pairs: false,
        },
    ),
];
const COMMA: Format = Format {
    decimal: ',',
    group: &['.'],
    pairs: false,
};
const SPACED: Format = Format {
    decimal: ',',
    group: SPACES,
    pairs: false,
};

impl Format {
    fn new(options: &Options) -> Result<Self> {
        let names: Vec<_> = LOCALES.iter().map(|(name, _)| *name).collect();
        let name = options.choice("locale", &names)?;
        match LOCALES.iter().find(|(n, _)| *n == name) {
            Some((_, format)) => Ok(*format),
            None => options.wrong("locale", "a locale"),
        }
    }
}

#[derive(Debug)]
pub struct ParseNumber;

impl RowWise for ParseNumber {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = match &types[0] {
            t if is_text(t) => DataType::Utf8View,
            t if is_number(t) => DataType::Float64,
            t => return plan_err!("parse_number: x must be text or a number, not {t}"),
        };
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn check(&self, options: &Options) -> Result<()> {
        Format::new(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let format = Format::new(&args.options()?)?;
        let x = args.array(0)?;
        if x.data_type() == &DataType::Float64 {
            return Ok(x);
        }
        let mut buffer = String::new();
        let parsed: Float64Array = x
            .as_string_view()
            .iter()
            .map(|text| text.and_then(|text| parse(text, format, &mut buffer)))
            .collect();
        Ok(Arc::new(parsed))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

fn parse(text: &str, format: Format, buffer: &mut String) -> Option<f64> {
    let text = text.trim();
    let plain = |b: u8| b.is_ascii_digit() || b == b'-' || b == b'.' && format.decimal == '.';
    if text.bytes().all(plain)
        && let Some(number) = finite(text)
    {
        return Some(number);
    }
    buffer.clear();
    let (text, negative) = strip_signs(text)?;
    let (text, per) = match text.strip_suffix(['%', '‰']) {
        Some(rest) if text.ends_with('%') => (rest.trim_end(), "e-2"),
        Some(rest) => (rest.trim_end(), "e-3"),
        None => (text, ""),
    };
    if negative {
        buffer.push('-');
    }
    push_digits(text, format, buffer)?;
    if !per.is_empty() {
        if buffer.contains('e') {
            return None;
        }
        // the exponent rather than a division: 12% is the double nearest to 0.12
        buffer.push_str(per);
    }
    finite(buffer)
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Takes off the parentheses, one sign and one currency, in any order: `-$5`, `$-5`, `($5)`, `5-`, `5 EUR`.
fn strip_signs(mut text: &str) -> Option<(&str, bool)> {
    const MINUS: [char; 4] = ['-', '\u{2212}', '\u{2013}', '\u{fe63}'];
    let (mut sign, mut currency, mut parentheses) = (None, false, false);
    loop {
        let before = text;
        if !parentheses && text.starts_with('(') {
            text = text.strip_prefix('(')?.strip_suffix(')')?.trim();
            parentheses = true;
        }
        if sign.is_none() {
            if let Some(rest) = text
                .strip_prefix(MINUS)
                .or_else(|| text.strip_suffix(MINUS))
            {
                (text, sign) = (rest.trim(), Some(true));
            } else if let Some(rest) = text.strip_prefix('+') {
                (text, sign) = (rest.trim(), Some(false));
            }
        }
        if !currency && let Some(rest) = strip_currency(text) {
            (text, currency) = (rest.trim(), true);
        }
        if text == before {
            break;
        }
    }
    match (sign, parentheses) {
        (Some(_), true) => None,
        (sign, parentheses) => Some((text, parentheses || sign == Some(true))),
    }
}

/// Signs of currencies and the codes of the much used ones, longest first where one begins another.
const CURRENCIES: &[&str] = &[
    "US$", "R$", "A$", "C$", "$", "€", "£", "¥", "￥", "₹", "₽", "₩", "₪", "₫", "₴", "₦", "₱", "₺",
    "₸", "฿", "zł", "Kč", "kr.", "kr", "Fr.", "Rs.", "Rs", "USD", "EUR", "GBP", "JPY", "CHF",
    "CNY", "INR", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "RUB", "TRY",
    "BRL", "MXN", "ZAR", "KRW", "SGD", "HKD", "ILS", "THB", "IDR", "AED", "SAR",
];

fn strip_currency(text: &str) -> Option<&str> {
    // most texts have none: look at the ends only
    let at_end = |c: Option<char>| c.is_some_and(|c| !c.is_ascii_digit());
    if !at_end(text.chars().next()) && !at_end(text.chars().next_back()) {
        return None;
    }
    CURRENCIES
        .iter()
        .find_map(|c| text.strip_prefix(c).or_else(|| text.strip_suffix(c)))
}

/// Appends the number as Rust reads it: digits, a point, an exponent. None if a separator is out of place.
fn push_digits(text: &str, format: Format, out: &mut String) -> Option<()> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match number.split_once(format.decimal) {
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(fraction) {
        return None;
    }
    if digits(whole) {
        out.push_str(whole);
    } else {
        // one separator throughout: 1 234 567, not a mixture
        let separator = whole.chars().find(|c| format.group.contains(c))?;
        let groups = whole.split(separator).count();
        for (i, group) in whole.split(separator).enumerate() {
            let size = match i + 1 == groups {
                true => 3,
                false if format.pairs => 2,
                false => 3,
            };
            let fits = if i == 0 {
                (1..=size).contains(&group.len())
            } else {
                group.len() == size
            };
            if !fits || !digits(group) {
                return None;
            }
            out.push_str(group);
        }
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if unsigned.is_empty() || !digits(unsigned) {
            return None;
        }
        out.push('e');
        out.push_str(exponent);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Decimal128Array, Float32Array};
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, text_forms, texts};

    fn all(locale: &str, cases: &[(&str, Option<f64>)]) -> Result<()> {
        let values: Vec<_> = cases.iter().map(|(text, _)| Some(*text)).collect();
        for form in text_forms(&values) {
            let result = call(ParseNumber, &[form, constant(locale)])?;
            let result = result.as_primitive::<Float64Type>();
            for ((text, expected), actual) in cases.iter().zip(result) {
                assert_eq!(actual, *expected, "{text:?} in {locale}");
            }
        }
        Ok(())
    }

    #[test]
    fn english() -> Result<()> {
        all(
            "en",
            &[
                ("12", Some(12.0)),
                (" -12.5 ", Some(-12.5)),
                ("+7", Some(7.0)),
                (".5", Some(0.5)),
                ("5.", Some(5.0)),
                ("1e5", Some(1e5)),
                ("1.5E-3", Some(0.0015)),
                ("$1,234.50", Some(1234.5)),
                ("-$1,234", Some(-1234.0)),
                ("$-5", Some(-5.0)),
                ("($1,234.50)", Some(-1234.5)),
                ("$(5)", Some(-5.0)),
                ("(12)", Some(-12.0)),
                ("12-", Some(-12.0)),
                ("\u{2212}3", Some(-3.0)),
                ("€ 5", Some(5.0)),
                ("5 EUR", Some(5.0)),
                ("USD 1,000,000", Some(1e6)),
                ("12%", Some(0.12)),
                ("(7.5 %)", Some(-0.075)),
                ("5‰", Some(0.005)),
                ("9007199254740993", Some(9007199254740992.0)),
                ("0.1", Some(0.1)),
                // no numbers
                ("", None),
                (" ", None),
                ("-", None),
                (".", None),
                ("$", None),
                ("()", None),
                ("abc", None),
                ("12 apples", None),
                ("1,23", None),
                ("1,2345", None),
                ("1234,567", None),
                (",123", None),
                ("1,,234", None),
                ("1.234,5", None),
                ("1.2.3", None),
                ("1 234", None),
                ("(-5)", None),
                ("--5", None),
                ("5-5", None),
                ("(5", None),
                ("$$5", None),
                ("1e", None),
                ("1e5%", None),
                ("e5", None),
                ("NaN", None),
                ("inf", None),
                ("-Infinity", None),
                ("1e999", None),
                ("0x10", None),
                ("1_000", None),
                ("١٢", None),
                ("2021-03-04", None),
            ],
        )
    }

    #[test]
    fn other_locales() -> Result<()> {
        all(
            "de",
            &[
                ("1.234,5", Some(1234.5)),
                ("1,5", Some(1.5)),
                ("1.5", None),
                ("1.234", Some(1234.0)),
                ("12 %", Some(0.12)),
            ],
        )?;
        all(
            "fr",
            &[
                ("1 234,5", Some(1234.5)),
                ("1\u{202f}234\u{202f}567", Some(1_234_567.0)),
                ("1 234\u{a0}567", None),
                ("1\u{a0}234,50 €", Some(1234.5)),
                ("1.5", None),
            ],
        )?;
        all(
            "ch",
            &[("1'234.5", Some(1234.5)), ("CHF 1’000", Some(1000.0))],
        )?;
        all(
            "in",
            &[
                ("₹12,34,567.89", Some(1_234_567.89)),
                ("1,234", Some(1234.0)),
                ("123,456", None),
            ],
        )
    }

    #[test]
    fn numbers_pass() -> Result<()> {
        let x = Float32Array::from(vec![Some(1.5), None, Some(f32::INFINITY)]);
        let result = call(ParseNumber, &[column(x), constant("en")])?;
        let expected = Float64Array::from(vec![Some(1.5), None, Some(f64::INFINITY)]);
        assert_eq!(result.as_ref(), &expected as &dyn Array);
        let x = Decimal128Array::from(vec![150]).with_precision_and_scale(10, 2)?;
        let result = call(ParseNumber, &[column(x), constant("en")])?;
        assert_eq!(result.as_primitive::<Float64Type>().value(0), 1.5);
        assert_eq!(
            call(ParseNumber, &[null(), constant("en")])?.null_count(),
            1
        );
        assert!(call(ParseNumber, &[empty(&DataType::Utf8), constant("en")])?.is_empty());
        Ok(())
    }

    #[test]
    fn a_wrong_locale_names_the_right_ones() {
        let message = error(call(
            ParseNumber,
            &[texts([Some("1")]), constant("english")],
        ));
        assert!(
            message.contains("locale must be one of 'en', 'in'"),
            "{message}"
        );
    }
}
