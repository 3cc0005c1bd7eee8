//! All functions, by name.

use std::sync::Arc;

use datafusion_expr::{AggregateUDF, ScalarUDF};

use crate::fitted::{Fitted, FittedUdf};
use crate::row_wise::{RowWise, row_wise};
use crate::series::{Ordered, OrderedUdf};
use crate::spec::Spec;
use crate::{bigquery, clean, encode, images, normalize, random, series, split};

/// A function and how the engine calls it.
#[derive(Debug, Clone)]
pub enum Function {
    /// Called on rows as they pass.
    RowWise(&'static Spec, Arc<ScalarUDF>),
    /// Learns from all rows first.
    Fitted(&'static Spec, FittedUdf),
    /// Looks at neighbouring rows.
    Ordered(&'static Spec, OrderedUdf),
    /// Makes one value of all rows, or of those of a group.
    Aggregate(&'static Spec, Arc<AggregateUDF>),
    /// Is written out as calls of other functions before planning.
    Expanding(&'static Spec),
}

impl Function {
    /// Takes in a row-wise function.
    pub fn row_wise<F: RowWise>(function: F) -> Self {
        let spec = function.spec();
        Self::RowWise(spec, Arc::new(row_wise(function)))
    }

    /// Takes in a fitted function.
    pub fn fitted<F: Fitted>() -> Self {
        Self::Fitted(F::spec(), FittedUdf::of::<F>())
    }

    /// Takes in a function of ordered rows.
    pub fn ordered<F: Ordered>() -> Self {
        Self::Ordered(F::spec(), OrderedUdf::of::<F>())
    }

    /// Takes in an aggregate function.
    pub fn aggregate(spec: &'static Spec, udf: AggregateUDF) -> Self {
        Self::Aggregate(spec, Arc::new(udf))
    }

    /// The function's declaration.
    pub fn spec(&self) -> &'static Spec {
        match self {
            Self::RowWise(spec, _)
            | Self::Fitted(spec, _)
            | Self::Ordered(spec, _)
            | Self::Aggregate(spec, _)
            | Self::Expanding(spec) => spec,
        }
    }
}

/// Every function, stage by stage.
pub fn functions() -> Vec<Function> {
    [
        clean::functions(),
        normalize::functions(),
        encode::functions(),
        series::functions(),
        split::functions(),
        random::functions(),
        images::functions(),
        bigquery::functions(),
    ]
    .concat()
}
