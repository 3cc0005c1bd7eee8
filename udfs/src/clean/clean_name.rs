//! `clean_name(x)`, and the names made of categories.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use unicode_normalization::char::is_combining_mark;

use super::text::change_texts;
use crate::arrays::text_type;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "clean_name",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "A name as an identifier in snake_case: words of letters and digits in lower case, joined by '_'.",
    params: &[Param::data(
        "x",
        "text. Letters of all scripts stay; a capital after a small letter begins a word; '_' comes before a digit at the start, and stands for a text without letters and digits",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT clean_name(x) FROM (VALUES ('Total Price (USD)'), ('PassengerId'), ('HTTPStatus'), ('2nd Année')) AS t(x)",
        result: "total_price_usd\npassenger_id\nhttp_status\n_2nd_année",
    }],
    source: "the snake case of janitor's clean_names, without transliteration",
    also: &["janitor.clean_names", "normalize_names"],
};

#[derive(Debug)]
pub struct CleanName;

impl RowWise for CleanName {
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
        change_texts(args, |_| false, clean_name)
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

/// The identifier of a name.
pub fn clean_name(name: &str, out: &mut String) {
    let start = out.len();
    for word in words(name) {
        let mut rest = word;
        while let Some(at) = capital(rest) {
            push_word(&rest[..at], start, out);
            rest = &rest[at..];
        }
        push_word(rest, start, out);
    }
    if out[start..].chars().next().is_none_or(char::is_numeric) {
        out.insert(start, '_');
    }
}

/// The words of a category, as part of a name: in lower case, joined by `_`; `empty` if there are none.
pub fn category_name(category: &str) -> String {
    let mut out = String::new();
    for word in words(category) {
        push_word(word, 0, &mut out);
    }
    if out.is_empty() {
        out.push_str("empty");
    }
    out
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && !is_combining_mark(c))
        .filter(|word| !word.is_empty())
}

fn push_word(word: &str, start: usize, out: &mut String) {
    if out.len() > start {
        out.push('_');
    }
    if word.is_ascii() {
        out.extend(word.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        out.push_str(&word.to_lowercase());
    }
}

/// Where the next word begins in letters without blanks: at a capital after a small letter, and at the last of
/// several capitals where a small letter follows.
fn capital(word: &str) -> Option<usize> {
    let mut chars = word.char_indices().peekable();
    let (_, mut before) = chars.next()?;
    while let Some((at, c)) = chars.next() {
        let small_follows = chars.peek().is_some_and(|(_, next)| next.is_lowercase());
        let within = before.is_uppercase() || before.is_numeric();
        if c.is_uppercase() && (before.is_lowercase() || within && small_follows) {
            return Some(at);
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;
    use crate::testing::{call, constant, empty, error, null, text_forms};

    #[test]
    fn cases() {
        for (name, expected) in [
            ("", "_"),
            (" -- ", "_"),
            ("a", "a"),
            ("already_clean_1", "already_clean_1"),
            ("Sepal.Length (cm)", "sepal_length_cm"),
            ("hours-per-week", "hours_per_week"),
            ("SibSp", "sib_sp"),
            ("camelCase", "camel_case"),
            ("HTTPServer", "http_server"),
            ("parseHTTP", "parse_http"),
            ("ISO8601Date", "iso8601_date"),
            ("Q1Sales", "q1_sales"),
            ("A1B2", "a1b2"),
            ("ALL CAPS", "all_caps"),
            ("__init__", "init"),
            ("1st", "_1st"),
            ("²x", "_²x"),
            ("ÉcoleÉlémentaire", "école_élémentaire"),
            ("cafe\u{301}", "cafe\u{301}"),
            ("İstanbul", "i\u{307}stanbul"),
            ("हिन्दी भाषा", "हिन्दी_भाषा"),
            ("年 齢", "年_齢"),
            ("a\0b🚀c", "a_b_c"),
        ] {
            let mut out = String::new();
            clean_name(name, &mut out);
            assert_eq!(out, expected, "{name:?}");
            let mut twice = String::new();
            clean_name(&out, &mut twice);
            assert_eq!(twice, out, "{name:?} twice");
        }
    }

    #[test]
    fn categories_keep_their_words() {
        for (category, expected) in [("Self-emp-not-inc", "self_emp_not_inc"), ("?", "empty")] {
            assert_eq!(category_name(category), expected);
        }
        assert_eq!(category_name("PhD 2"), "phd_2");
    }

    #[test]
    fn all_forms_of_text_agree() -> Result<()> {
        for form in text_forms(&[Some("A b"), None, Some("Ça va")]) {
            let result = call(CleanName, &[form])?;
            let result: Vec<_> = result.as_string_view().iter().collect();
            assert_eq!(result, [Some("a_b"), None, Some("ça_va")]);
        }
        assert!(call(CleanName, &[empty(&DataType::Utf8)])?.is_empty());
        assert_eq!(call(CleanName, &[null()])?.null_count(), 1);
        let message = error(call(CleanName, &[constant(1)]));
        assert!(message.contains("x must be text"), "{message}");
        Ok(())
    }
}
