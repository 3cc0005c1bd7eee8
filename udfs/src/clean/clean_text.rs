//! `clean_text(x)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use unicode_normalization::UnicodeNormalization;

use super::text::change_texts;
use crate::arrays::text_type;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "clean_text",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "Text as it looks: blanks trimmed and collapsed to one space, invisible characters dropped, Unicode in its compatible form (NFKC).",
    params: &[Param::data(
        "x",
        "text. Joiners that shape emoji and scripts stay; a text of blanks becomes ''",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT clean_text('  San\t Francisco '), clean_text('\u{ff21}\u{ff22}\u{a0}\u{fb01}t\u{200b}')",
        result: "San Francisco,AB fit",
    }],
    source: "Unicode Standard Annex 15 (NFKC); White_Space of Unicode Standard Annex 44",
    also: &["janitor", "str.strip", "unicodedata.normalize"],
};

#[derive(Debug)]
pub struct CleanText;

impl RowWise for CleanText {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![text_type(&SPEC, "x", &types[0])?])
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        change_texts(args, is_clean, clean)
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

/// Whether a text surely needs nothing: ASCII that is printable, with single spaces inside only.
fn is_clean(text: &str) -> bool {
    let mut before = b' ';
    for byte in text.bytes() {
        if !(b' '..0x7f).contains(&byte) || byte == b' ' && before == b' ' {
            return false;
        }
        before = byte;
    }
    text.is_empty() || before != b' '
}

fn clean(text: &str, out: &mut String) {
    let visible = text.chars().filter(|c| !is_invisible(*c));
    if text.is_ascii() {
        collapse(visible, out);
    } else {
        // dropped before composing, collapsed after: some characters decompose to a space and a mark
        collapse(visible.nfkc(), out);
    }
}

fn collapse(chars: impl Iterator<Item = char>, out: &mut String) {
    let mut blank = false;
    for c in chars {
        if c.is_whitespace() {
            blank = true;
        } else {
            if blank && !out.is_empty() {
                out.push(' ');
            }
            blank = false;
            out.push(c);
        }
    }
}

/// Control characters that are no blanks, and format characters that nothing shows: soft hyphen, zero-width
/// space, direction marks, word joiner, byte order mark. Zero-width joiner and non-joiner change shapes.
fn is_invisible(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
        || matches!(
            c,
            '\u{ad}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;
    use crate::testing::{call, constant, empty, error, null, text_forms};

    fn one(text: &str) -> String {
        let mut out = String::new();
        clean(text, &mut out);
        out
    }

    #[test]
    fn cases() {
        for (text, expected) in [
            ("", ""),
            (" \t\r\n\u{a0}\u{3000}", ""),
            ("a", "a"),
            (" a  b ", "a b"),
            ("a\0b\u{7f}c", "abc"),
            ("a\u{85}b", "a b"),
            ("\u{feff}name", "name"),
            ("e\u{301}", "é"),
            ("e\u{200b}\u{301}", "é"),
            ("Å ½ ①", "Å 1⁄2 1"),
            ("👩\u{200d}🚀", "👩\u{200d}🚀"),
            ("\u{202e}abc\u{202c}", "abc"),
        ] {
            assert_eq!(one(text), expected, "{text:?}");
            assert_eq!(one(expected), expected, "{text:?} twice");
        }
    }

    #[test]
    fn what_needs_nothing_is_found_exactly() {
        for text in ["", "a", "a b", " a", "a ", "a  b", "a\tb", "\u{7f}", "~!"] {
            assert_eq!(is_clean(text), one(text) == text, "{text:?}");
        }
    }

    #[test]
    fn all_forms_of_text_agree() -> Result<()> {
        let long = " x ".repeat(5000);
        let values = [
            Some(" a\t"),
            None,
            Some("fine"),
            Some("ﬁ"),
            Some(long.as_str()),
        ];
        for form in text_forms(&values) {
            let result = call(CleanText, &[form])?;
            let result: Vec<_> = result.as_string_view().iter().collect();
            assert_eq!(result[..4], [Some("a"), None, Some("fine"), Some("fi")]);
            assert_eq!(result[4].map(str::len), Some(9999));
        }
        assert!(call(CleanText, &[empty(&DataType::Utf8)])?.is_empty());
        assert_eq!(call(CleanText, &[null()])?.null_count(), 1);
        let message = error(call(CleanText, &[constant(1)]));
        assert!(message.contains("x must be text"), "{message}");
        Ok(())
    }
}
