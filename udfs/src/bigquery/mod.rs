//! What calls of BigQuery ML's names stand for, where no other function gives what BigQuery gives.

mod encoders;
mod hash_bucketize;
mod normalizer;

use crate::registry::Function;

/// The functions of BigQuery ML.
pub fn functions() -> Vec<Function> {
    vec![
        Function::fitted::<encoders::OneHotEncoder>(),
        Function::fitted::<encoders::LabelEncoder>(),
        Function::fitted::<encoders::MultiHotEncoder>(),
        Function::fitted::<encoders::BagOfWords>(),
        Function::fitted::<encoders::TfIdf>(),
        Function::row_wise(hash_bucketize::HashBucketize),
        Function::row_wise(normalizer::Normalizer),
    ]
}
