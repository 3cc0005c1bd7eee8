//! `tokenize(x)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, ListArray, StringViewBuilder};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err};
use unicode_normalization::char::is_combining_mark;

use crate::arrays::text_type;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "tokenize",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "The words of a text, in order: a list of texts.",
    params: &[
        Param::data(
            "x",
            "text. A word is what stands together of letters, digits and '_' of any script, with the marks that combine with them",
        ),
        Param::option("lower", "true", "whether words are put in lower case"),
        Param::option(
            "min_length",
            "2",
            "how many characters a word has at least; shorter ones are left out",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT tokenize('The cat''s out: I saw 2 cats!'), tokenize('A b', lower => false, min_length => 1)",
        result: "\"[the, cat, out, saw, cats]\",\"[A, b]\"",
    }],
    source: "scikit-learn's CountVectorizer, token_pattern \\w\\w+ (min_length => 1: \\w+)",
    also: &[
        "sklearn.feature_extraction.text.CountVectorizer",
        "TEXT_ANALYZE",
        "pyspark.ml.feature.Tokenizer",
    ],
};

#[derive(Debug)]
pub struct Tokenize;

fn min_length(options: &Options) -> Result<usize> {
    Ok(usize::try_from(options.integer("min_length", 1)?).unwrap_or(usize::MAX))
}

/// The items of a list of words.
pub fn word() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Utf8View, true))
}

/// Where the list of the next row begins, after so many words.
pub fn offset(spec: &Spec, words: usize) -> Result<i32> {
    match i32::try_from(words) {
        Ok(words) => Ok(words),
        Err(_) => exec_err!("{}: more than {} words in one batch", spec.name, i32::MAX),
    }
}

impl RowWise for Tokenize {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = text_type(&SPEC, "x", &types[0])?;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::List(word()))
    }

    fn check(&self, options: &Options) -> Result<()> {
        options.bool("lower")?;
        min_length(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let options = args.options()?;
        let (lower, least) = (options.bool("lower")?, min_length(&options)?);
        let x = args.array(0)?;
        let texts = x.as_string_view();
        let mut words = StringViewBuilder::new();
        let mut offsets = Vec::with_capacity(texts.len() + 1);
        offsets.push(0);
        let mut buffer = String::new();
        for text in texts {
            let text = match text {
                Some(text) if lower && text.is_ascii() => {
                    buffer.clear();
                    buffer.push_str(text);
                    buffer.make_ascii_lowercase();
                    buffer.as_str()
                }
                Some(text) if lower => {
                    // as a whole: how a sigma is written depends on what follows
                    buffer = text.to_lowercase();
                    buffer.as_str()
                }
                text => text.unwrap_or(""),
            };
            for word in text.split(|c| !is_of_word(c)) {
                if !word.is_empty() && has_chars(word, least) {
                    words.try_append_value(word)?;
                }
            }
            offsets.push(offset(&SPEC, words.len())?);
        }
        Ok(Arc::new(ListArray::try_new(
            word(),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Arc::new(words.finish()),
            texts.nulls().cloned(),
        )?))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_combining_mark(c)
}

fn has_chars(word: &str, least: usize) -> bool {
    word.len() >= least && (word.is_ascii() || word.chars().nth(least - 1).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, constant, empty, error, null, text_forms, texts};

    fn tokens(text: &str, lower: bool, least: i64) -> Result<Vec<String>> {
        let args = [texts([Some(text)]), constant(lower), constant(least)];
        let result = call(Tokenize, &args)?;
        let words = result.as_list::<i32>().value(0);
        let words = words.as_string_view().iter().flatten();
        Ok(words.map(str::to_string).collect())
    }

    #[test]
    fn words() -> Result<()> {
        for (text, lower, least, expected) in [
            ("", true, 1, vec![]),
            (" .,! ", true, 1, vec![]),
            ("Don't panic!", true, 2, vec!["don", "panic"]),
            ("Don't panic!", false, 1, vec!["Don", "t", "panic"]),
            ("a_b 3.14 x", true, 2, vec!["a_b", "14"]),
            ("a_b 3.14 x", true, 3, vec!["a_b"]),
            ("É é ÉÉ 年", true, 2, vec!["éé"]),
            ("ΟΔΟΣ ΟΔΟΣ.", true, 1, vec!["οδος", "οδος"]),
            ("cafe\u{301} हिन्दी", true, 1, vec!["cafe\u{301}", "हिन्दी"]),
            ("a\0b🚀cd", true, 1, vec!["a", "b", "cd"]),
            ("word", true, i64::MAX, vec![]),
        ] {
            assert_eq!(tokens(text, lower, least)?, expected, "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn all_forms_of_text_agree() -> Result<()> {
        for form in text_forms(&[Some("An Apple"), None, Some(""), Some("Über uns")]) {
            let result = call(Tokenize, &[form, constant(true), constant(2)])?;
            let result = result.as_list::<i32>();
            let words: Vec<_> = result.values().as_string_view().iter().flatten().collect();
            assert_eq!(words, ["an", "apple", "über", "uns"]);
            assert_eq!(result.value_offsets(), [0, 2, 2, 2, 4]);
            assert!(result.is_null(1) && result.is_valid(2));
        }
        Ok(())
    }

    #[test]
    fn nothing_and_wrong_arguments() -> Result<()> {
        let none = empty(&DataType::Utf8);
        assert!(call(Tokenize, &[none, constant(true), constant(2)])?.is_empty());
        let nulls = call(Tokenize, &[null(), constant(true), constant(2)])?;
        assert_eq!(nulls.null_count(), 1);
        let message = error(call(
            Tokenize,
            &[texts([Some("a")]), constant(true), constant(0)],
        ));
        assert!(
            message.contains("min_length must be a whole number of at least 1"),
            "{message}"
        );
        let message = error(call(
            Tokenize,
            &[texts([Some("a")]), constant("no"), constant(1)],
        ));
        assert!(message.contains("lower must be true or false"), "{message}");
        let message = error(call(Tokenize, &[constant(1), constant(true), constant(1)]));
        assert!(message.contains("x must be text"), "{message}");
        Ok(())
    }
}
