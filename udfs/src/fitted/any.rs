//! The state of a function whose options decide what it gathers.

use arrow::array::ArrayRef;
use datafusion_common::{Result, internal_err};

use super::counts::Counts;
use super::extreme::Extreme;
use super::moments::Moments;
use super::numbers::{Numbers, Runs, with_runs};
use super::quantiles::Quantiles;
use super::{State, update_runs};

/// One of the states.
#[derive(Debug)]
pub enum AnyState {
    /// For what needs no fitting: a constant.
    Nothing,
    Moments(Moments),
    Quantiles(Quantiles),
    Counts(Counts),
    Extreme(Extreme),
}

/// Does the same with whichever state it is.
macro_rules! each {
    ($state:expr, $inner:ident => $then:expr, $nothing:expr) => {
        match $state {
            AnyState::Nothing => $nothing,
            AnyState::Moments($inner) => $then,
            AnyState::Quantiles($inner) => $then,
            AnyState::Counts($inner) => $then,
            AnyState::Extreme($inner) => $then,
        }
    };
}

impl State for AnyState {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        each!(self, state => state.update(values), Ok(()))
    }

    fn update_groups(states: &mut [Self], groups: &[usize], values: &[ArrayRef]) -> Result<()> {
        let runs = Runs::of(groups, states.len());
        match states.first() {
            None | Some(Self::Nothing) => Ok(()),
            Some(Self::Moments(_) | Self::Quantiles(_)) => {
                with_runs(&runs, &values[0], |group, floats| {
                    match &mut states[group] {
                        Self::Moments(state) => state.add(floats),
                        Self::Quantiles(state) => state.add(floats),
                        _ => return internal_err!("groups have states of different functions"),
                    }
                    Ok(())
                })
            }
            Some(Self::Counts(_) | Self::Extreme(_)) => update_runs(states, runs, values),
        }
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => Ok(()),
            (Self::Moments(a), Self::Moments(b)) => a.merge(b),
            (Self::Quantiles(a), Self::Quantiles(b)) => a.merge(b),
            (Self::Counts(a), Self::Counts(b)) => a.merge(b),
            (Self::Extreme(a), Self::Extreme(b)) => a.merge(b),
            _ => internal_err!("states of different functions are merged"),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        each!(self, state => state.encode(out), Ok(()))
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        each!(self, state => state.decode(bytes), Ok(()))
    }

    fn size(&self) -> usize {
        // what is beyond the state itself, which lies in this one
        size_of::<Self>() + each!(self, state => state.size() - size_of_val(state), 0)
    }
}
