//! What the functions that cut numbers into bins share: the bins between fitted edges, and how they are named.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StructArray};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Int64Type, UInt32Type};
use datafusion_common::Result;

use crate::fitted::Groups;
use crate::fitted::numbers::{map_numbers, read_lists};
use crate::options::Options;
use crate::sql::{Arg, bins, null, text};

/// What the option `output` means.
pub(super) const OUTPUT: &str = "'index': the bin's number from 0, a BIGINT; 'label': 'bin_1', 'bin_2', ...; \
     'range': '(-inf, 2)', '[2, 5)', '[5, +inf)'; 'json': '{\"start\": \"-Infinity\", \"end\": \"2\"}'";

/// The most bins whose edges are worked out.
const MOST: i64 = 100_000;

/// Reads the option `n`.
pub(super) fn count(options: &Options) -> Result<u32> {
    match options.integer("n", 2)? {
        n if n <= MOST => Ok(u32::try_from(n).unwrap_or_default()),
        _ => options.wrong("n", format!("a whole number from 2 to {MOST}")),
    }
}

/// How a bin is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Its number, from 0.
    Index,
    /// `bin_1`, `bin_2`, ...
    Label,
    /// `(-inf, 2)`, `[2, 5)`, `[5, +inf)`.
    Range,
    /// `{"start": "-Infinity", "end": "2"}`.
    Json,
}

impl Output {
    /// The words of the option `output`.
    pub(super) const CHOICES: [&'static str; 4] = ["index", "label", "range", "json"];

    /// The output of one of [`Self::CHOICES`].
    pub(super) fn of(choice: &str) -> Self {
        match choice {
            "label" => Self::Label,
            "range" => Self::Range,
            "json" => Self::Json,
            _ => Self::Index,
        }
    }

    /// The type of a bin.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Index => DataType::Int64,
            Self::Label | Self::Range | Self::Json => DataType::Utf8View,
        }
    }

    /// The names of the bins between ascending edges: below the first, between each two, from the last on.
    pub(super) fn names(self, edges: &[f64]) -> StringViewArray {
        (0..=edges.len())
            .map(|bin| {
                Some(match self {
                    Self::Index => bin.to_string(),
                    Self::Label => format!("bin_{}", bin + 1),
                    Self::Range => {
                        let from = bin.checked_sub(1).and_then(|i| edges.get(i));
                        let from = from.map_or("(-inf".to_string(), |e| format!("[{e}"));
                        let to = edges.get(bin).map_or("+inf".to_string(), f64::to_string);
                        format!("{from}, {to})")
                    }
                    Self::Json => {
                        let from = bin.checked_sub(1).and_then(|i| edges.get(i));
                        let from = from.map_or("-Infinity".to_string(), f64::to_string);
                        let to = edges
                            .get(bin)
                            .map_or("Infinity".to_string(), f64::to_string);
                        format!(r#"{{"start": "{from}", "end": "{to}"}}"#)
                    }
                })
            })
            .collect()
    }
}

/// The bins of a group.
#[derive(Debug)]
pub struct Bins {
    /// The edges between bins.
    inner: Vec<f64>,
    /// Where the names begin among those of all groups.
    first: u32,
    names: StringViewArray,
}

impl Bins {
    #[inline]
    fn of(&self, x: f64) -> u32 {
        if self.inner.len() <= 16 {
            self.inner.iter().map(|edge| u32::from(x >= *edge)).sum()
        } else {
            self.inner.partition_point(|edge| x >= *edge) as u32
        }
    }
}

/// Reads the edges of each group, the outer ones among them.
pub(super) fn read(params: &StructArray, output: Output) -> Result<Vec<Option<Bins>>> {
    let mut first = 0;
    let mut bins = |edges: Vec<f64>| {
        // values beyond the outer edges belong to the outer bins
        let inner = edges.get(1..edges.len().saturating_sub(1)).unwrap_or(&[]);
        let bins = Bins {
            inner: inner.to_vec(),
            first,
            names: output.names(inner),
        };
        first += bins.names.len() as u32;
        bins
    };
    Ok(read_lists(params)?
        .into_iter()
        .map(|e| e.map(&mut bins))
        .collect())
}

impl Output {
    /// Plain SQL of the bin of a number between ascending edges.
    pub(super) fn sql(self, x: &str, edges: &[f64]) -> String {
        let names = self.names(edges);
        let names: Vec<String> = names
            .iter()
            .flatten()
            .map(|name| match self {
                Self::Index => name.to_string(),
                Self::Label | Self::Range | Self::Json => text(name),
            })
            .collect();
        bins(x, edges, &names)
    }
}

/// Plain SQL of the bin of a number, from the edges of a fit.
pub(super) fn sql(x: &Arg, fit: &StructArray, output: Output) -> Result<Option<String>> {
    let Some(Some(edges)) = read_lists(fit)?.pop() else {
        return Ok(Some(null(&output.data_type())));
    };
    let inner = edges.get(1..edges.len().saturating_sub(1)).unwrap_or(&[]);
    Ok(Some(output.sql(&x.number(), inner)))
}

/// The bin of each number.
pub(super) fn cut(
    numbers: &ArrayRef,
    bins: &[Option<Bins>],
    groups: Groups<'_>,
    output: Output,
) -> Result<ArrayRef> {
    if output == Output::Index {
        return map_numbers::<_, Int64Type>(numbers, bins, groups, |x, bins| i64::from(bins.of(x)));
    }
    let index =
        map_numbers::<_, UInt32Type>(numbers, bins, groups, |x, bins| bins.first + bins.of(x))?;
    let names: Vec<&dyn Array> = bins
        .iter()
        .flatten()
        .map(|bins| &bins.names as &dyn Array)
        .collect();
    if names.is_empty() {
        return Ok(Arc::new(StringViewArray::new_null(index.len())));
    }
    Ok(take(
        &concat(&names)?,
        index.as_primitive::<UInt32Type>(),
        None,
    )?)
}

/// The edges of `n` intervals of one width from `lo` to `hi`, to the bit as numpy.linspace has them.
pub(super) fn evenly(lo: f64, hi: f64, n: u32) -> Vec<f64> {
    let parts = f64::from(n);
    let range = hi - lo;
    let step = range / parts;
    let mut edges: Vec<f64> = (0..n)
        .map(f64::from)
        .map(|i| {
            if range.is_infinite() {
                lo * (1.0 - i / parts) + hi * (i / parts)
            } else if step == 0.0 {
                i / parts * range + lo
            } else {
                i * step + lo
            }
        })
        .collect();
    edges.push(hi);
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_edges() {
        // numpy.linspace(0, 1, 11)[3] is 0.30000000000000004
        assert_eq!(evenly(0.0, 1.0, 10)[3], 0.1 * 3.0);
        assert_eq!(evenly(-1.0, 2.0, 3), [-1.0, 0.0, 1.0, 2.0]);
        assert_eq!(evenly(-f64::MAX, f64::MAX, 2), [-f64::MAX, 0.0, f64::MAX]);
        let least = f64::from_bits(1);
        assert_eq!(evenly(0.0, least, 4), [0.0, 0.0, 0.0, least, least]);
    }
}
