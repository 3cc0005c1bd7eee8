//! `strip_accents(x)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::text::change_texts;
use crate::arrays::text_type;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "strip_accents",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "Text without its accents and other marks that combine: 'Gödel' becomes 'Godel'.",
    params: &[Param::data(
        "x",
        "text. Compatible forms become plain ones ('ﬁ' is 'fi'); letters of their own ('ø', 'ß') stay",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT strip_accents('Kurt Gödel'), strip_accents('Ångström, façade'), strip_accents('Straße')",
        result: "Kurt Godel,\"Angstrom, facade\",Straße",
    }],
    source: "scikit-learn's strip_accents_unicode: NFKD without the characters of a combining class above 0; composed again, so that Hangul stays in syllables",
    also: &[
        "sklearn.feature_extraction.text.strip_accents_unicode",
        "unaccent",
    ],
};

#[derive(Debug)]
pub struct StripAccents;

impl RowWise for StripAccents {
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
        change_texts(args, str::is_ascii, |text, out| {
            let plain = text.nfkd().filter(|c| canonical_combining_class(*c) == 0);
            out.extend(plain.nfc());
        })
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;
    use crate::testing::{call, constant, empty, error, null, text_forms};

    #[test]
    fn all_forms_of_text_agree() -> Result<()> {
        let values = [
            "plain",
            "",
            "Ñandú",
            "e\u{301}\u{327}",
            "\u{301}",
            "ø ß đ",
            "ﬁ ½",
            "한국",
            "Việt Nam",
        ];
        let expected = [
            "plain", "", "Nandu", "e", "", "ø ß đ", "fi 1⁄2", "한국", "Viet Nam",
        ];
        let mut given: Vec<_> = values.into_iter().map(Some).collect();
        given.push(None);
        for form in text_forms(&given) {
            let result = call(StripAccents, &[form])?;
            let result: Vec<_> = result.as_string_view().iter().collect();
            assert_eq!(result[..9], expected.map(Some));
            assert_eq!(result[9], None);
        }
        Ok(())
    }

    #[test]
    fn no_text() -> Result<()> {
        assert!(call(StripAccents, &[empty(&DataType::Utf8)])?.is_empty());
        assert_eq!(call(StripAccents, &[null()])?.null_count(), 1);
        let message = error(call(StripAccents, &[constant(1)]));
        assert!(message.contains("x must be text"), "{message}");
        Ok(())
    }
}
