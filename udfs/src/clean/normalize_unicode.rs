//! `normalize_unicode(x, form)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use unicode_normalization::{
    IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

use super::text::change_texts;
use crate::arrays::text_type;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "normalize_unicode",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "Text in a Unicode normalization form, so that what is written the same is the same.",
    params: &[
        Param::data("x", "text"),
        Param::option(
            "form",
            "'NFKC'",
            "'NFC' (composed), 'NFD' (decomposed), 'NFKC' or 'NFKD' (the same of compatible forms: 'ﬁ' is 'fi')",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT normalize_unicode('\u{ff21}\u{fb01}'), normalize_unicode('e\u{301}', 'NFC') = '\u{e9}', \
              length(normalize_unicode('\u{e9}', form => 'NFD'))",
        result: "Afi,true,2",
    }],
    source: "Unicode Standard Annex 15",
    also: &[
        "unicodedata.normalize",
        "NORMALIZE",
        "pandas.Series.str.normalize",
    ],
};

#[derive(Debug)]
pub struct NormalizeUnicode;

fn form(options: &Options) -> Result<&'static str> {
    options.choice("form", &["NFC", "NFD", "NFKC", "NFKD"])
}

impl RowWise for NormalizeUnicode {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        coerced[0] = text_type(&SPEC, "x", &types[0])?;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn check(&self, options: &Options) -> Result<()> {
        form(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let form = form(&args.options()?)?;
        let is_done = |text: &str| {
            let quick = match form {
                "NFC" => is_nfc_quick(text.chars()),
                "NFD" => is_nfd_quick(text.chars()),
                "NFKD" => is_nfkd_quick(text.chars()),
                _ => is_nfkc_quick(text.chars()),
            };
            text.is_ascii() || quick == IsNormalized::Yes
        };
        change_texts(args, is_done, |text, out| match form {
            "NFC" => out.extend(text.nfc()),
            "NFD" => out.extend(text.nfd()),
            "NFKD" => out.extend(text.nfkd()),
            _ => out.extend(text.nfkc()),
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
    use crate::testing::{call, constant, empty, error, null, text_forms, texts};

    #[test]
    fn forms() -> Result<()> {
        let values = [Some("ﬁ é"), None, Some("ascii"), Some("e\u{301}"), Some("")];
        for (name, expected) in [
            ("NFC", ["ﬁ é", "é"]),
            ("nfd", ["ﬁ e\u{301}", "e\u{301}"]),
            ("NFKC", ["fi é", "é"]),
            ("NFKD", ["fi e\u{301}", "e\u{301}"]),
        ] {
            for x in text_forms(&values) {
                let result = call(NormalizeUnicode, &[x, constant(name)])?;
                let result: Vec<_> = result.as_string_view().iter().collect();
                let expected = [
                    Some(expected[0]),
                    None,
                    Some("ascii"),
                    Some(expected[1]),
                    Some(""),
                ];
                assert_eq!(result, expected, "{name}");
            }
        }
        Ok(())
    }

    #[test]
    fn nothing_and_wrong_arguments() -> Result<()> {
        let nothing = call(NormalizeUnicode, &[empty(&DataType::Utf8), constant("NFC")])?;
        assert!(nothing.is_empty());
        let nulls = call(NormalizeUnicode, &[null(), constant("NFC")])?;
        assert_eq!(nulls.null_count(), 1);
        let message = error(call(
            NormalizeUnicode,
            &[texts([Some("a")]), constant("NFCK")],
        ));
        assert!(
            message.contains("form must be one of 'NFC', 'NFD', 'NFKC', 'NFKD'"),
            "{message}"
        );
        let message = error(call(NormalizeUnicode, &[constant(1), constant("NFC")]));
        assert!(message.contains("x must be text"), "{message}");
        Ok(())
    }
}
