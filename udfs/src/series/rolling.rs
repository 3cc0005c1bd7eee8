//! `rolling(x, window, stat) OVER (ORDER BY t)`: a statistic of a row and those right before it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Builder};
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::Result;

use super::window::{Ordered, Walk};
use crate::arrays::{float_type, only};
use crate::fitted::numbers::present_in;
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const STATS: [&str; 8] = ["mean", "sum", "min", "max", "std", "var", "median", "count"];

const SPEC: Spec = Spec {
    name: "rolling",
    stage: Stage::Series,
    kind: Kind::Ordered,
    summary: "A statistic of the values of the last rows in the order, the row itself among them: a feature that knows nothing \
        of later rows. Each window is computed anew, so one infinite or huge value spoils no window it is not in.",
    params: &[
        Param::data("x", "a number; NULL and NaN count as missing"),
        Param::required("window", "how many rows, the row itself among them"),
        Param::option(
            "stat",
            "'mean'",
            "'mean', 'sum', 'min', 'max', 'std', 'var', 'median' or 'count' (of values that are not missing)",
        ),
        Param::option(
            "min_periods",
            "NULL",
            "how many values there must be, or the result is NULL (a count is always there); NULL for as many as `window`",
        ),
        Param::option(
            "ddof",
            "1",
            "std and var divide by the number of values less this",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT t, rolling(x, 2) OVER (ORDER BY t) AS m FROM (VALUES (1, 1.0), (2, 3.0), (3, 8.0)) AS s(t, x) ORDER BY t",
            result: "1,\n2,2.0\n3,5.5",
        },
        Example {
            sql: "SELECT t, rolling(x, 3, 'max', min_periods => 1) OVER (PARTITION BY k ORDER BY t) AS m FROM (VALUES ('a', 1, 5), ('a', 2, NULL), ('b', 3, 2)) AS s(k, t, x) ORDER BY t",
            result: "1,5.0\n2,5.0\n3,2.0",
        },
    ],
    source: "pandas' rolling windows",
    also: &[
        "pandas.DataFrame.rolling",
        "polars.Expr.rolling_mean",
        "polars.Expr.rolling_std",
    ],
};

#[derive(Debug, Clone, Copy)]
enum Stat {
    Mean,
    Sum,
    Min,
    Max,
    Std,
    Var,
    Median,
    Count,
}

/// `rolling`.
#[derive(Debug, Clone, Copy)]
pub struct Rolling {
    window: usize,
    stat: Stat,
    min_periods: usize,
    ddof: usize,
}

impl Ordered for Rolling {
    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        let whole = |name, min| {
            let n = options.integer(name, min)?;
            Ok::<_, datafusion_common::DataFusionError>(usize::try_from(n).unwrap_or(usize::MAX))
        };
        let window = whole("window", 1)?;
        let min_periods = match options.is_null("min_periods") {
            true => window,
            false => whole("min_periods", 0)?,
        };
        if min_periods > window {
            return options.wrong(
                "min_periods",
                format!("at most the window of {window} rows"),
            );
        }
        let stat = match options.choice("stat", &STATS)? {
            "sum" => Stat::Sum,
            "min" => Stat::Min,
            "max" => Stat::Max,
            "std" => Stat::Std,
            "var" => Stat::Var,
            "median" => Stat::Median,
            "count" => Stat::Count,
            _ => Stat::Mean,
        };
        Ok(Self {
            window,
            stat,
            min_periods,
            ddof: whole("ddof", 0)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        float_type(&SPEC, "x", only(&SPEC, types)?)?;
        Ok(vec![DataType::Float64])
    }

    fn output(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn walk(&self, _: &[DataType]) -> Result<Box<dyn Walk>> {
        Ok(Box::new(Window {
            rolling: *self,
            rows: Vec::new(),
            values: Vec::new(),
            sorted: Vec::new(),
        }))
    }
}

#[derive(Debug)]
struct Window {
    rolling: Rolling,
    /// The last rows of the group that lie in windows to come, then those of the batch; NaN where missing.
    rows: Vec<f64>,
    /// The values of the current window that are not missing, where some are.
    values: Vec<f64>,
    /// Room to look for a median.
    sorted: Vec<f64>,
}

impl Walk for Window {
    fn next(
        &mut self,
        values: &[ArrayRef],
        groups: &[Range<usize>],
        goes_on: bool,
    ) -> Result<ArrayRef> {
        let size = self.rolling.window;
        let present = present_in(&values[0]);
        let all = values[0].as_primitive::<Float64Type>().values();
        let mut results = Float64Builder::with_capacity(all.len());
        for (i, group) in groups.iter().enumerate() {
            if i > 0 || !goes_on {
                self.rows.clear();
            }
            let before = self.rows.len();
            match &present {
                None => self.rows.extend_from_slice(&all[group.clone()]),
                Some(present) => self.rows.extend(group.clone().map(|row| {
                    if present.is_valid(row) {
                        all[row]
                    } else {
                        f64::NAN
                    }
                })),
            }
            for end in before + 1..=self.rows.len() {
                let window = &self.rows[end.saturating_sub(size)..end];
                let values = match &present {
                    None if before == 0 => window,
                    _ => {
                        self.values.clear();
                        self.values.extend(window.iter().filter(|v| !v.is_nan()));
                        &self.values
                    }
                };
                results.append_option(self.rolling.of(values, &mut self.sorted));
            }
            let kept = self.rows.len().min(size - 1);
            self.rows.drain(..self.rows.len() - kept);
        }
        Ok(Arc::new(results.finish()))
    }
}

impl Rolling {
    /// The statistic of the values of a window; NULL where they are too few.
    fn of(&self, values: &[f64], sorted: &mut Vec<f64>) -> Option<f64> {
        let count = values.len();
        let size = count as f64;
        let sum = |values: &[f64]| values.iter().sum::<f64>();
        match self.stat {
            Stat::Count => Some(size),
            _ if count < self.min_periods => None,
            Stat::Sum => Some(sum(values)),
            _ if count == 0 => None,
            Stat::Mean => Some(sum(values) / size),
            Stat::Min => values.iter().copied().reduce(f64::min),
            Stat::Max => values.iter().copied().reduce(f64::max),
            Stat::Var | Stat::Std => {
                let degrees = count.checked_sub(self.ddof).filter(|d| *d > 0)?;
                let mean = sum(values) / size;
                let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
                let variance = squares / degrees as f64;
                Some(match self.stat {
                    Stat::Std => variance.sqrt(),
                    _ => variance,
                })
            }
            Stat::Median => {
                sorted.clear();
                sorted.extend_from_slice(values);
                let (below, middle, _) = sorted.select_nth_unstable_by(count / 2, f64::total_cmp);
                let middle = *middle;
                match count % 2 {
                    1 => Some(middle),
                    _ => {
                        let lower = below.iter().copied().reduce(f64::max)?;
                        Some(lower + (middle - lower) / 2.0)
                    }
                }
            }
        }
    }
}
