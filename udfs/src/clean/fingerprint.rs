//! `fingerprint(x)` and `ngram_fingerprint(x, n)`: texts that mean the same have the same key.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use unicode_normalization::UnicodeNormalization;

use super::categories::{is_modifier, is_punctuation};
use super::text::change_texts;
use crate::arrays::text_type;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const WORDS: Spec = Spec {
    name: "fingerprint",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "A key that is the same for texts of the same words: in lower case, without accents and punctuation, each word once, in order.",
    params: &[Param::data("x", "text")],
    variadic: false,
    examples: &[Example {
        sql: "SELECT fingerprint(x) FROM (VALUES ('Acme, Inc.'), ('inc ACME'), ('Gödel, Kurt'), ('Kurt Godel')) AS t(x)",
        result: "acme inc\nacme inc\ngodel kurt\ngodel kurt",
    }],
    source: "OpenRefine's key collision method fingerprint",
    also: &["FingerprintKeyer", "refinr.key_collision_merge"],
};

const NGRAMS: Spec = Spec {
    name: "ngram_fingerprint",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "A key that is the same for texts of the same groups of characters: forgives blanks and, with n => 1, swapped letters.",
    params: &[
        Param::data("x", "text; one of fewer than n characters has the key ''"),
        Param::option("n", "2", "how many characters a group has"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ngram_fingerprint(x), ngram_fingerprint(x, n => 1) FROM (VALUES ('Paris'), ('P. aris'), ('Pariss')) AS t(x)",
        result: "arispari,aiprs\narispari,aiprs\narispariss,aiprs",
    }],
    source: "OpenRefine's key collision method n-gram fingerprint",
    also: &["NGramFingerprintKeyer", "refinr.n_gram_merge"],
};

#[derive(Debug)]
pub struct Fingerprint;

impl RowWise for Fingerprint {
    fn spec(&self) -> &'static Spec {
        &WORDS
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![text_type(&WORDS, "x", &types[0])?])
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let mut folded = String::new();
        change_texts(
            args,
            |_| false,
            |text, out| {
                fold(text, &mut folded);
                let mut words: Vec<&str> = folded.split_whitespace().collect();
                words.sort_unstable();
                words.dedup();
                for (i, word) in words.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    out.push_str(word);
                }
            },
        )
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

#[derive(Debug)]
pub struct NgramFingerprint;

fn size(options: &Options) -> Result<usize> {
    Ok(usize::try_from(options.integer("n", 1)?).unwrap_or(usize::MAX))
}

impl RowWise for NgramFingerprint {
    fn spec(&self) -> &'static Spec {
        &NGRAMS
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = text_type(&NGRAMS, "x", &types[0])?;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn check(&self, options: &Options) -> Result<()> {
        size(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let n = size(&args.options()?)?;
        let mut folded = String::new();
        let mut chars = Vec::new();
        change_texts(
            args,
            |_| false,
            |text, out| {
                fold(text, &mut folded);
                chars.clear();
                let kept = |c: &char| !c.is_whitespace() && !c.is_control();
                chars.extend(folded.chars().filter(kept));
                if n > chars.len() {
                    return;
                }
                let mut ngrams: Vec<&[char]> = chars.windows(n).collect();
                ngrams.sort_unstable();
                ngrams.dedup();
                out.extend(ngrams.into_iter().flatten());
            },
        )
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

/// Lower case without accents, modifiers, punctuation and control characters; blanks stay.
fn fold(text: &str, out: &mut String) {
    out.clear();
    if text.is_ascii() {
        let lower = text.chars().map(|c| c.to_ascii_lowercase());
        out.extend(lower.filter(|c| is_kept(*c)));
        return;
    }
    for c in text.to_lowercase().nfkd().filter(|c| !is_mark(*c)) {
        match plain(c) {
            Some(letters) => out.push_str(letters),
            None if is_kept(c) => out.push(c),
            None => {}
        }
    }
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}') || is_modifier(c)
}

fn is_kept(c: char) -> bool {
    if c.is_ascii() {
        let symbol = matches!(c, '$' | '+' | '<' | '=' | '>' | '|' | '~');
        c.is_ascii_alphanumeric() || symbol || c.is_whitespace()
    } else {
        (!c.is_control() || c.is_whitespace()) && !is_punctuation(c)
    }
}

/// Latin letters that do not decompose, as OpenRefine writes them.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'ø' | 'œ' => "oe",
        '©' => "c",
        'ð' | 'đ' | 'ɖ' => "d",
        'þ' => "th",
        'ƿ' => "w",
        'ħ' => "h",
        'ı' => "i",
        'ĸ' => "k",
        'ł' => "l",
        'ŋ' => "n",
        'ŧ' => "t",
        'ẜ' | 'ẝ' => "s",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;
    use crate::testing::{call, constant, empty, error, null, text_forms, texts};

    fn key(text: &str) -> Result<String> {
        let result = call(Fingerprint, &[texts([Some(text)])])?;
        Ok(result.as_string_view().value(0).to_string())
    }

    fn ngrams(text: &str, n: i64) -> Result<String> {
        let result = call(NgramFingerprint, &[texts([Some(text)]), constant(n)])?;
        Ok(result.as_string_view().value(0).to_string())
    }

    #[test]
    fn words() -> Result<()> {
        for (text, expected) in [
            ("", ""),
            (" \t\u{a0} ", ""),
            ("!?", ""),
            ("b a b", "a b"),
            (" ! b", "b"),
            ("a\u{a0}c\u{85}b\td", "a b c d"),
            ("a\0b\u{9f}c", "abc"),
            ("$5+~ ^`", "$5+~"),
            ("Müller-Lüdenscheidt", "mullerludenscheidt"),
            ("Ærøskøbing Łódź", "aeroeskoebing lodz"),
            ("STRASSE Straße", "strasse"),
            ("©ﬁ½", "cfi1⁄2"),
            ("«Ünïcode»、test", "unicodetest"),
            ("Σίσυφος", "σισυφος"),
        ] {
            assert_eq!(key(text)?, expected, "{text:?}");
            assert_eq!(key(expected)?, expected, "{text:?} twice");
        }
        Ok(())
    }

    #[test]
    fn groups_of_characters() -> Result<()> {
        for (text, n, expected) in [
            ("", 2, ""),
            ("a", 2, ""),
            ("ab", 2, "ab"),
            ("hello", 1, "ehlo"),
            ("he!llo,. world", 1, "dehlorw"),
            ("\u{1}a, !b-c_d\u{a0}d\tz\u{3}", 3, "abcbcdcddddz"),
            ("banana", 2, "anbana"),
            ("élément", 2, "elemenlement"),
            ("😀😀x", 2, "😀x😀😀"),
            ("abc", i64::MAX, ""),
        ] {
            assert_eq!(ngrams(text, n)?, expected, "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn all_forms_of_text_agree() -> Result<()> {
        for form in text_forms(&[Some("B. a"), None, Some("É")]) {
            let result = call(Fingerprint, std::slice::from_ref(&form))?;
            let result: Vec<_> = result.as_string_view().iter().collect();
            assert_eq!(result, [Some("a b"), None, Some("e")]);
            let result = call(NgramFingerprint, &[form, constant(1)])?;
            let result: Vec<_> = result.as_string_view().iter().collect();
            assert_eq!(result, [Some("ab"), None, Some("e")]);
        }
        assert!(call(Fingerprint, &[empty(&DataType::Utf8)])?.is_empty());
        assert_eq!(call(Fingerprint, &[null()])?.null_count(), 1);
        Ok(())
    }

    #[test]
    fn wrong_arguments() {
        let message = error(call(Fingerprint, &[constant(1)]));
        assert!(message.contains("fingerprint: x must be text"), "{message}");
        for n in [0.0, 1.5] {
            let message = error(call(NgramFingerprint, &[texts([Some("a")]), constant(n)]));
            assert!(
                message.contains("n must be a whole number of at least 1"),
                "{message}"
            );
        }
    }
}
