//! The clean stage.

mod categories;
pub mod clean_name;
mod clean_text;
mod clip_outliers;
mod fingerprint;
pub mod fuzzy_duplicates;
mod impute;
mod is_outlier;
mod isolation_forest;
mod missing_indicator;
mod normalize_unicode;
mod null_if;
mod parse_bool;
mod parse_date;
mod parse_number;
mod parse_timestamp;
mod robust_zscore;
mod spread;
mod strip_accents;
mod strip_html;
mod text;
mod winsorize;
mod zscore;

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::row_wise(clean_name::CleanName),
        Function::row_wise(clean_text::CleanText),
        Function::row_wise(fingerprint::Fingerprint),
        Function::row_wise(fingerprint::NgramFingerprint),
        Function::row_wise(missing_indicator::MissingIndicator),
        Function::row_wise(normalize_unicode::NormalizeUnicode),
        Function::row_wise(null_if::NullIf),
        Function::row_wise(parse_bool::ParseBool),
        Function::row_wise(parse_date::ParseDate),
        Function::row_wise(parse_number::ParseNumber),
        Function::row_wise(parse_timestamp::ParseTimestamp),
        Function::row_wise(strip_accents::StripAccents),
        Function::row_wise(strip_html::StripHtml),
        Function::fitted::<impute::Impute>(),
        Function::fitted::<is_outlier::IsOutlier>(),
        Function::fitted::<isolation_forest::IsolationForest>(),
        Function::fitted::<winsorize::Winsorize>(),
        Function::fitted::<clip_outliers::ClipOutliers>(),
        Function::fitted::<zscore::ZScore>(),
        Function::fitted::<robust_zscore::RobustZScore>(),
    ]
}
