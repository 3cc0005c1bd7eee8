//! `ngrams(tokens, lo, hi)`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, AsArray, ListArray, StringViewArray, StringViewBuilder,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, plan_err};

use super::tokenize::{offset, word};
use crate::arrays::is_text;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "ngrams",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "The sequences of lo to hi words that follow one another in a list of words: a list of texts.",
    params: &[
        Param::data(
            "tokens",
            "a list of texts, as of tokenize. No sequence goes across a NULL in it",
        ),
        Param::required("lo", "how many words the shortest sequences have"),
        Param::required("hi", "how many words the longest sequences have"),
        Param::option("separator", "' '", "what stands between words"),
        Param::option(
            "order",
            "'length'",
            "'length': the short ones first, as in scikit-learn; 'position': those of the first word first, as in BigQuery",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT ngrams(tokenize('to be or not'), 1, 2), ngrams(['a', 'b', 'c'], 2, 3, separator => '#')",
        result: "\"[to, be, or, not, to be, be or, or not]\",\"[a#b, b#c, a#b#c]\"",
    }],
    source: "scikit-learn's ngram_range; BigQuery's ML.NGRAMS",
    also: &[
        "ML.NGRAMS",
        "sklearn.feature_extraction.text.CountVectorizer",
        "pyspark.ml.feature.NGram",
    ],
};

#[derive(Debug)]
pub struct Ngrams;

/// Whether the sequences of the first word come first.
fn by_position(options: &Options) -> Result<bool> {
    Ok(options.choice("order", &["length", "position"])? == "position")
}

fn range(options: &Options) -> Result<(usize, usize)> {
    let lo = options.integer("lo", 1)?;
    let hi = options.integer("hi", lo)?;
    let size = |n| usize::try_from(n).unwrap_or(usize::MAX);
    Ok((size(lo), size(hi)))
}

impl RowWise for Ngrams {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = match &types[0] {
            DataType::Null => DataType::List(word()),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
                if is_text(item.data_type()) =>
            {
                DataType::List(word())
            }
            t if is_text(t) => {
                return plan_err!(
                    "ngrams: tokens must be a list of texts, not text. Write ngrams(tokenize(x), lo, hi)"
                );
            }
            t => return plan_err!("ngrams: tokens must be a list of texts, not {t}"),
        };
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::List(word()))
    }

    fn check(&self, options: &Options) -> Result<()> {
        options.text("separator")?;
        by_position(options)?;
        range(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let options = args.options()?;
        let (lo, hi) = range(&options)?;
        let separator = options.text("separator")?;
        let push = match by_position(&options)? {
            true => push_by_position,
            false => push_by_length,
        };
        let tokens = args.array(0)?;
        let lists = tokens.as_list::<i32>();
        let words = lists.values().as_string_view();
        let mut out = StringViewBuilder::new();
        let mut offsets = Vec::with_capacity(lists.len() + 1);
        offsets.push(0);
        for row in 0..lists.len() {
            if lists.is_valid(row) {
                let ends = &lists.value_offsets()[row..row + 2];
                let words = words.slice(ends[0] as usize, (ends[1] - ends[0]) as usize);
                push(&words, lo..=hi, &separator, &mut out)?;
            }
            offsets.push(offset(&SPEC, out.len())?);
        }
        Ok(Arc::new(ListArray::try_new(
            word(),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Arc::new(out.finish()),
            lists.nulls().cloned(),
        )?))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

fn push_by_length(
    words: &StringViewArray,
    lengths: RangeInclusive<usize>,
    separator: &str,
    out: &mut StringViewBuilder,
) -> Result<()> {
    let mut ngram = String::new();
    for n in *lengths.start()..=(*lengths.end()).min(words.len()) {
        for first in 0..=words.len() - n {
            let range = first..first + n;
            if range.clone().any(|i| words.is_null(i)) {
                continue;
            }
            ngram.clear();
            for i in range {
                if i > first {
                    ngram.push_str(separator);
                }
                ngram.push_str(words.value(i));
            }
            out.try_append_value(&ngram)?;
        }
    }
    Ok(())
}

fn push_by_position(
    words: &StringViewArray,
    lengths: RangeInclusive<usize>,
    separator: &str,
    out: &mut StringViewBuilder,
) -> Result<()> {
    let mut ngram = String::new();
    for first in 0..words.len() {
        ngram.clear();
        let most = (*lengths.end()).min(words.len() - first);
        for (i, n) in (first..).zip(1..=most) {
            if words.is_null(i) {
                break;
            }
            if i > first {
                ngram.push_str(separator);
            }
            ngram.push_str(words.value(i));
            if lengths.contains(&n) {
                out.try_append_value(&ngram)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{FixedSizeListArray, LargeListArray, StringArray};
    use arrow::datatypes::Field;
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, list, null, texts};

    fn of(tokens: ColumnarValue, lo: i64, hi: i64) -> Result<Vec<Option<String>>> {
        ordered(tokens, lo, hi, "length")
    }

    fn ordered(
        tokens: ColumnarValue,
        lo: i64,
        hi: i64,
        order: &str,
    ) -> Result<Vec<Option<String>>> {
        let args = [
            tokens,
            constant(lo),
            constant(hi),
            constant("-"),
            constant(order),
        ];
        let result = call(Ngrams, &args)?;
        let lists = result.as_list::<i32>().iter();
        Ok(lists
            .map(|list| {
                let list = list?;
                let items: Vec<_> = list.as_string_view().iter().flatten().collect();
                Some(items.join(" "))
            })
            .collect())
    }

    fn words<const N: usize>(words: [Option<&str>; N]) -> ColumnarValue {
        list(StringArray::from_iter(words))
    }

    #[test]
    fn sequences() -> Result<()> {
        let abcd = [Some("a"), Some("b"), Some("c"), Some("d")];
        for (lo, hi, expected) in [
            (1, 1, "a b c d"),
            (2, 2, "a-b b-c c-d"),
            (1, 3, "a b c d a-b b-c c-d a-b-c b-c-d"),
            (4, i64::MAX, "a-b-c-d"),
            (5, 9, ""),
        ] {
            assert_eq!(of(words(abcd), lo, hi)?, [Some(expected.to_string())]);
        }
        let gap = words([Some("a"), Some("b"), None, Some("c")]);
        assert_eq!(of(gap, 1, 2)?, [Some("a b c a-b".to_string())]);
        assert_eq!(of(words([]), 1, 2)?, [Some(String::new())]);
        Ok(())
    }

    #[test]
    fn sequences_by_position() -> Result<()> {
        let abcd = [Some("a"), Some("b"), Some("c"), Some("d")];
        for (lo, hi, expected) in [
            (1, 1, "a b c d"),
            (2, 3, "a-b a-b-c b-c b-c-d c-d"),
            (4, i64::MAX, "a-b-c-d"),
            (5, 9, ""),
        ] {
            let expected = [Some(expected.to_string())];
            assert_eq!(ordered(words(abcd), lo, hi, "position")?, expected);
        }
        let gap = words([Some("a"), Some("b"), None, Some("c")]);
        let expected = [Some("a a-b b c".to_string())];
        assert_eq!(ordered(gap, 1, 2, "position")?, expected);
        Ok(())
    }

    #[test]
    fn all_kinds_of_lists() -> Result<()> {
        let rows = vec![
            Some(vec![Some("é"), Some("b")]),
            None,
            Some(vec![]),
            Some(vec![Some("c"), Some("a long word to be kept elsewhere")]),
        ];
        let expected = [
            Some("é-b".to_string()),
            None,
            Some(String::new()),
            Some("c-a long word to be kept elsewhere".to_string()),
        ];
        let mut small = arrow::array::ListBuilder::new(StringViewBuilder::new());
        for row in &rows {
            match row {
                Some(row) => small.append_value(row.iter().copied()),
                None => small.append_null(),
            }
        }
        let small = small.finish();
        let large = arrow::compute::cast(
            &small,
            &DataType::LargeList(Arc::new(Field::new_list_field(DataType::LargeUtf8, true))),
        )?;
        let large: LargeListArray = large.as_list::<i64>().clone();
        assert_eq!(of(column(small.slice(1, 3)), 2, 2)?, expected[1..]);
        assert_eq!(of(column(small), 2, 2)?, expected);
        assert_eq!(of(column(large), 2, 2)?, expected);
        let pairs = FixedSizeListArray::try_new(
            Arc::new(Field::new_list_field(DataType::Utf8, true)),
            2,
            Arc::new(StringArray::from(vec!["a", "b", "c", "d"])),
            None,
        )?;
        let expected = ["a-b", "c-d"].map(|s| Some(s.to_string()));
        assert_eq!(of(column(pairs), 2, 2)?, expected);
        Ok(())
    }

    #[test]
    fn nothing_and_wrong_arguments() -> Result<()> {
        assert!(of(empty(&DataType::List(word())), 1, 2)?.is_empty());
        assert_eq!(of(null(), 1, 2)?, [None]);
        let failed = |tokens, lo: i64, hi: i64| {
            error(call(
                Ngrams,
                &[
                    tokens,
                    constant(lo),
                    constant(hi),
                    constant(" "),
                    constant("length"),
                ],
            ))
        };
        for (message, expected) in [
            (
                failed(words([]), 0, 1),
                "lo must be a whole number of at least 1",
            ),
            (
                failed(words([]), 3, 2),
                "hi must be a whole number of at least 3",
            ),
            (
                failed(texts([Some("a")]), 1, 1),
                "Write ngrams(tokenize(x), lo, hi)",
            ),
            (
                failed(constant(1), 1, 1),
                "tokens must be a list of texts, not Int32",
            ),
        ] {
            assert!(message.contains(expected), "{message}");
        }
        Ok(())
    }
}
