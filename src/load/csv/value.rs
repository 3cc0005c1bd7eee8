//! Text to values: numbers, truth values, dates and times, from bytes and without allocation.

/// A whole number with an optional sign.
#[inline]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= 18 {
        let mut value = 0_i64;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    // Counted downwards, where the range is one wider.
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A decimal number: the nearest double. Also `inf` and `nan`.
pub fn float(text: &[u8]) -> Option<f64> {
    short_float(text).or_else(|| std::str::from_utf8(text).ok()?.parse().ok())
}

/// The common case: digits and a point whose value one exact division gives, correctly rounded.
fn short_float(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 17 {
        return None;
    }
    let mut mantissa = 0_u64;
    let mut point = None;
    for (i, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if *byte == b'.' && point.is_none() && digits.len() > 1 {
            point = Some(digits.len() - 1 - i);
        } else {
            return None;
        }
    }
    if mantissa >= 1 << 53 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let value = mantissa as f64 / POWERS[point.unwrap_or(0)];
    Some(if negative { -value } else { value })
}

/// The spellings of true and false, in any case.
pub fn boolean(text: &[u8]) -> Option<bool> {
    const TRUE: [&[u8]; 6] = [b"true", b"t", b"yes", b"y", b"1", b"on"];
    const FALSE: [&[u8]; 6] = [b"false", b"f", b"no", b"n", b"0", b"off"];
    if TRUE.iter().any(|t| t.eq_ignore_ascii_case(text)) {
        Some(true)
    } else if FALSE.iter().any(|f| f.eq_ignore_ascii_case(text)) {
        Some(false)
    } else {
        None
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    let mut value = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

/// `2013-01-31` as days since 1970-01-01.
pub fn date(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else {
        return None;
    };
    let year = number(&[y0, y1, y2, y3])?;
    let month = number(&[m0, m1])?;
    let day = number(&[d0, d1])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    // Years that begin in March put the leap day last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (m * 153 + 2) / 5 + day
            - 1
            - 719_468;
    i32::try_from(days).ok()
}

const SECOND: i64 = 1_000_000;

/// `2013-01-31T10:00:00.5Z` and its shorter forms as microseconds since 1970, in UTC; a time without
/// a zone is taken as it stands.
pub fn timestamp(text: &[u8]) -> Option<i64> {
    let (day, rest) = text.split_at_checked(10)?;
    let day = i64::from(date(day)?) * 86_400 * SECOND;
    let [b' ' | b'T' | b't', rest @ ..] = rest else {
        return rest.is_empty().then_some(day);
    };
    let [h0, h1, b':', m0, m1, rest @ ..] = rest else {
        return None;
    };
    let (hour, minute) = (number(&[*h0, *h1])?, number(&[*m0, *m1])?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let mut time = (hour * 60 + minute) * 60 * SECOND;
    let mut rest = rest;
    if let [b':', s0, s1, after @ ..] = rest {
        let second = number(&[*s0, *s1])?;
        if second > 59 {
            return None;
        }
        time += second * SECOND;
        rest = after;
        if let [b'.' | b',', after @ ..] = rest {
            let length = after.iter().take_while(|b| b.is_ascii_digit()).count();
            if length == 0 || length > 9 {
                return None;
            }
            let kept = length.min(6);
            let fraction = number(&after[..kept])?;
            time += (kept..6).fold(fraction, |f, _| f * 10);
            rest = &after[length..];
        }
    }
    let offset = match rest {
        [] | [b'Z' | b'z'] | b" UTC" => 0,
        [sign @ (b'+' | b'-'), h0, h1, rest @ ..] => {
            let minutes = match rest {
                [] => 0,
                [m0, m1] | [b':', m0, m1] => number(&[*m0, *m1])?,
                _ => return None,
            };
            let offset = (number(&[*h0, *h1])? * 60 + minutes) * 60 * SECOND;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    Some(day + time - offset)
}

/// What stands for a missing value.
#[derive(Debug, Clone)]
pub struct Nulls {
    texts: Vec<Vec<u8>>,
    longest: usize,
    /// Which first bytes any of them has, in either case.
    first: [bool; 256],
    empty: bool,
    /// Whether one of them is also a number or a date, so that it has to be looked for first.
    pub any_value: bool,
    /// Whether a quoted text can be one.
    pub quoted: bool,
}

impl Nulls {
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>, quoted: bool) -> Self {
        let texts: Vec<Vec<u8>> = texts
            .into_iter()
            .map(|t| t.trim().to_ascii_lowercase().into_bytes())
            .collect();
        let mut first = [false; 256];
        for byte in texts.iter().filter_map(|t| t.first()) {
            first[usize::from(*byte)] = true;
            first[usize::from(byte.to_ascii_uppercase())] = true;
        }
        Self {
            longest: texts.iter().map(Vec::len).max().unwrap_or(0),
            first,
            empty: texts.iter().any(Vec::is_empty),
            any_value: texts.iter().any(|t| {
                t != b"nan"
                    && (float(t).is_some() || boolean(t).is_some() || timestamp(t).is_some())
            }),
            texts,
            quoted,
        }
    }

    /// Whether a trimmed text is one.
    #[inline]
    pub fn contains(&self, text: &[u8]) -> bool {
        match text.first() {
            None => self.empty,
            Some(byte) => {
                self.first[usize::from(*byte)]
                    && text.len() <= self.longest
                    && self.texts.iter().any(|t| t.eq_ignore_ascii_case(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"9223372036854775808"), None);
        assert_eq!(integer(b"+12"), Some(12));
        for bad in ["", "-", "1 2", "1.0", "x"] {
            assert_eq!(integer(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn floats_are_the_nearest() {
        for text in [
            "0",
            "-0.0",
            ".5",
            "5.",
            "1e300",
            "0.1",
            "3.14159265358979",
            "123456789.123456789",
            "9007199254740993",
            "1e-400",
            "inf",
            "-1.7976931348623157e308",
            "4.35",
        ] {
            let expected: f64 = text.parse().unwrap();
            let got = float(text.as_bytes()).unwrap();
            assert_eq!(got.to_bits(), expected.to_bits(), "{text}");
        }
        for bad in ["", ".", "-", "1.2.3", "1,5", "e5"] {
            assert_eq!(float(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(date(b"2000-02-29"), Some(11_016));
        assert_eq!(date(b"1900-02-29"), None);
        assert_eq!(date(b"0000-03-01"), Some(-719_468));
        assert_eq!(timestamp(b"1970-01-02"), Some(86_400 * SECOND));
        assert_eq!(timestamp(b"1970-01-01T00:00:01.5Z"), Some(1_500_000));
        assert_eq!(timestamp(b"1970-01-01 02:00+02:00"), Some(0));
        assert_eq!(timestamp(b"1970-01-01 24:00"), None);
    }
}
