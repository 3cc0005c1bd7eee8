//! Fitted functions: one way of writing them.
//!
//! A fitted function has a *state* that takes rows and merges with other states, *parameters* that are
//! made of the finished state, and a kernel that *applies* the parameters to rows. Of one such
//! [`Fitted`] the adapters in [`udf`] make three functions: the window function that is written in SQL,
//! the aggregate that fits, and the scalar function that applies.
//!
//! States must be order-independent to the bit: whatever the order of updates and merges, the
//! parameters are the same.

pub mod any;
pub mod comoments;
pub mod counts;
pub mod extent;
pub mod extreme;
pub mod moments;
pub mod nested;
pub mod numbers;
pub mod quantiles;
pub mod ranks;
pub mod scatter;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod texts;
mod udf;
pub mod vectors;

use std::fmt::Debug;

use arrow::array::{ArrayRef, StructArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Fields};
use datafusion_common::{Result, internal_err};

use crate::options::Options;
use crate::spec::Spec;
use crate::sql::{Arg, Bind};

pub use udf::{
    Apply, Bound, FittedUdf, FittedWindow, GroupIndex, collect_groups, group_keys, without_fit_args,
};

/// What a fitted function gathers of the rows it is fitted on, for one group.
pub trait State: Debug + Send + Sync + Sized + 'static {
    /// Takes rows; `values` are the coerced data arguments.
    fn update(&mut self, values: &[ArrayRef]) -> Result<()>;

    /// Takes rows of many groups: row `i` belongs to `states[groups[i]]`.
    fn update_groups(states: &mut [Self], groups: &[usize], values: &[ArrayRef]) -> Result<()> {
        update_runs(states, numbers::Runs::of(groups, states.len()), values)
    }

    /// Takes what another state has gathered.
    fn merge(&mut self, other: Self) -> Result<()>;

    /// Appends the state to `out`, for [`Self::decode`].
    fn encode(&self, out: &mut Vec<u8>) -> Result<()>;

    /// Takes up in an empty state (of the same function and types) what [`Self::encode`] wrote.
    fn decode(&mut self, bytes: &[u8]) -> Result<()>;

    /// Takes what another state wrote with [`Self::encode`]; `empty` makes one that has seen nothing.
    fn merge_encoded(&mut self, bytes: &[u8], empty: impl FnOnce() -> Result<Self>) -> Result<()> {
        let mut other = empty()?;
        other.decode(bytes)?;
        self.merge(other)
    }

    /// Bytes held, the state itself included.
    fn size(&self) -> usize;
}

/// Takes rows that are brought together by group.
fn update_runs<S: State>(
    states: &mut [S],
    numbers::Runs { order, runs }: numbers::Runs,
    values: &[ArrayRef],
) -> Result<()> {
    let order = UInt32Array::from(order);
    let values = values
        .iter()
        .map(|v| take(v, &order, None))
        .collect::<Result<Vec<_>, _>>()?;
    for (group, rows) in runs {
        let rows: Vec<ArrayRef> = values
            .iter()
            .map(|v| v.slice(rows.start, rows.len()))
            .collect();
        states[group].update(&rows)?;
    }
    Ok(())
}

/// A function that learns from all rows before it is applied to each.
pub trait Fitted: Debug + Clone + Send + Sync + Sized + 'static {
    type State: State;
    /// The parameters of all groups in the form the kernel wants; made once, not once a batch.
    type Prepared: Send + Sync + 'static;

    /// Its declaration.
    fn spec() -> &'static Spec;

    /// Reads the options; a wrong one is an error that says what would be right.
    fn new(options: &Options) -> Result<Self>;

    /// The types the data arguments are cast to, or an error that says which types would be right.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>>;

    /// The type of the result, from the coerced types.
    fn output(&self, types: &[DataType]) -> Result<DataType>;

    /// The fields of the parameters.
    fn params(&self, types: &[DataType]) -> Result<Fields>;

    /// A state that has seen nothing.
    fn state(&self, types: &[DataType]) -> Result<Self::State>;

    /// Which data arguments only rows that are fitted on have, as a target is: where a transform is applied, they
    /// are NULL.
    fn fit_args() -> &'static [usize] {
        &[]
    }

    /// The parameters of finished states, a row a state: columns as [`Self::params`] says.
    fn finish(&self, types: &[DataType], states: Vec<Self::State>) -> Result<Vec<ArrayRef>>;

    /// Reads parameters, a row a group.
    fn prepare(&self, types: &[DataType], params: &StructArray) -> Result<Self::Prepared>;

    /// Applies the parameters to rows.
    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef>;

    /// What applying means in plain SQL; `None` where that has no words for it. `fit` is one row of parameters.
    fn sql(
        &self,
        _args: &[Arg],
        _fit: &StructArray,
        _bind: &mut Bind<'_>,
    ) -> Result<Option<String>> {
        Ok(None)
    }

    /// The type that [`Self::invert`] gives, if what was applied can be undone.
    fn inverse(&self, _types: &[DataType]) -> Option<DataType> {
        None
    }

    /// Undoes [`Self::apply`]: takes what it gave, or what is like it, and gives the first argument.
    fn invert(
        &self,
        _values: &ArrayRef,
        _params: &StructArray,
        _prepared: &Self::Prepared,
        _groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        internal_err!("{} cannot be undone", Self::spec().name)
    }
}

/// Which row of the parameters each row of a batch uses.
#[derive(Debug, Clone, Copy)]
pub enum Groups<'a> {
    /// All rows use the first.
    One,
    /// Row `i` uses row `index[i]`.
    Each(&'a [u32]),
}

impl Groups<'_> {
    /// The parameters' row for a row of the batch.
    #[inline]
    pub fn of(&self, row: usize) -> usize {
        match self {
            Self::One => 0,
            Self::Each(index) => index[row] as usize,
        }
    }
}
