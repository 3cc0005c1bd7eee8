//! The encode stage.

mod bins;
mod bucketize;
mod category_values;
mod count_encode;
mod cyclic;
pub mod date_parts;
pub(crate) mod farm_fingerprint;
mod farm_hash;
mod feature_cross;
mod hash_bucket;
mod kmeans_bucketize;
pub mod names;
mod ngrams;
pub mod one_hot;
pub(crate) mod ordinal_encode;
mod polynomial_features;
mod quantile_bucketize;
mod spline_features;
mod target_encode;
pub(crate) mod terms;
mod tokenize;
mod uniform_bucketize;
mod vectorize;
mod woe_encode;

use crate::registry::Function;

/// The functions of this stage.
pub fn functions() -> Vec<Function> {
    vec![
        Function::row_wise(bucketize::Bucketize),
        Function::row_wise(cyclic::Cyclic),
        Function::row_wise(feature_cross::FeatureCross),
        Function::row_wise(hash_bucket::HashBucket),
        Function::row_wise(date_parts::DateParts),
        Function::row_wise(farm_fingerprint::FarmFingerprint),
        Function::row_wise(ngrams::Ngrams),
        Function::row_wise(polynomial_features::PolynomialFeatures),
        Function::row_wise(tokenize::Tokenize),
        Function::row_wise(vectorize::Vectorize),
        Function::fitted::<one_hot::OneHot>(),
        Function::row_wise(one_hot::OneHotIs),
        Function::row_wise(one_hot::OneHotAny),
        Function::row_wise(one_hot::OneHotOther),
        Function::row_wise(one_hot::OneHotKnown),
        Function::row_wise(one_hot::OneHotVector),
        Function::fitted::<ordinal_encode::OrdinalEncode>(),
        Function::fitted::<quantile_bucketize::QuantileBucketize>(),
        Function::fitted::<uniform_bucketize::UniformBucketize>(),
        Function::fitted::<kmeans_bucketize::KMeansBucketize>(),
        Function::fitted::<spline_features::SplineFeatures>(),
        Function::fitted::<count_encode::CountEncode>(),
        Function::fitted::<count_encode::FrequencyEncode>(),
        Function::fitted::<target_encode::TargetEncode>(),
        Function::fitted::<woe_encode::WoeEncode>(),
        Function::fitted::<terms::MultiHot>(),
        Function::fitted::<terms::BagOfWords>(),
        Function::fitted::<terms::TfIdf>(),
    ]
}
