//! What the functions about outliers share: where the middle of a column is, how far it spreads, and how far
//! is too far.

use datafusion_common::Result;

use crate::fitted::any::AnyState;
use crate::fitted::moments::Moments;
use crate::fitted::quantiles::Quantiles;
use crate::options::Options;

/// What the option `method` means.
pub(super) const METHOD: &str = "'iqr': more than k interquartile ranges below the lower or above the upper quartile; \
     'zscore': more than k standard deviations from the mean; \
     'mad': a modified z-score, 0.6745 * |x - median| / MAD, of more than k";

/// What the option `k` means.
pub(super) const K: &str =
    "how far is too far; by default 1.5 for 'iqr', 3 for 'zscore', 3.5 for 'mad'";

/// 0.6745 makes the MAD of a normal distribution its standard deviation.
pub(super) const MAD_FACTOR: f64 = 0.6745;

/// What outliers are far from, and in what that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    ZScore,
    Iqr,
    Mad,
}

/// Reads the options `method` and `k`.
pub(super) fn method(options: &Options) -> Result<(Method, f64)> {
    let (method, default) = match options.choice("method", &["iqr", "zscore", "mad"])? {
        "zscore" => (Method::ZScore, 3.0),
        "mad" => (Method::Mad, 3.5),
        _ => (Method::Iqr, 1.5),
    };
    let k = if options.is_null("k") {
        default
    } else {
        options.float("k")?
    };
    if k < 0.0 {
        return options.wrong("k", "a number of at least 0");
    }
    Ok((method, k))
}

impl Method {
    /// A state that has seen nothing.
    pub(super) fn state(self) -> AnyState {
        match self {
            Self::ZScore => AnyState::Moments(Moments::default()),
            Self::Iqr | Self::Mad => AnyState::Quantiles(Quantiles::default()),
        }
    }

    /// Mean and deviation, lower and upper quartile, median and MAD; `None` if all is missing.
    pub(super) fn measure(self, state: AnyState) -> Option<[f64; 2]> {
        match state {
            AnyState::Moments(moments) => Some([moments.mean()?, moments.deviation(0)?]),
            AnyState::Quantiles(mut state) if self == Self::Iqr => {
                <[f64; 2]>::try_from(state.quantiles(&[0.25, 0.75])?).ok()
            }
            AnyState::Quantiles(mut state) => {
                let median = *state.quantiles(&[0.5])?.first()?;
                Some([median, state.median_distance(median)?])
            }
            _ => None,
        }
    }

    /// The numbers beyond which outliers are. What infinities leave without an answer is NaN: no fence.
    pub(super) fn fences(self, [a, b]: [f64; 2], k: f64) -> [f64; 2] {
        match self {
            Self::Iqr => {
                let reach = k * (b - a);
                [a - reach, b + reach]
            }
            Self::ZScore => [a - k * b, a + k * b],
            Self::Mad => {
                let reach = k * b / MAD_FACTOR;
                [a - reach, a + reach]
            }
        }
    }
}

/// The modified z-score: 0 at the median; infinite beside it where the MAD is 0.
#[inline]
pub(super) fn modified_z(x: f64, [median, mad]: [f64; 2]) -> f64 {
    if x == median {
        return 0.0;
    }
    let distance = x - median;
    let z = MAD_FACTOR * distance / mad;
    // an infinity is beyond any MAD
    if z.is_nan() { distance } else { z }
}
