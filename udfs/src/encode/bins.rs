//! What the functions that cut numbers into bins share: how bins are named.

use arrow::array::StringViewArray;

/// How a bin is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Its number, from 0.
    Index,
    /// `bin_1`, `bin_2`, ...
    Label,
    /// `(-inf, 2)`, `[2, 5)`, `[5, +inf)`.
    Range,
}

impl Output {
    /// The words of the option `output`.
    pub(super) const CHOICES: [&'static str; 3] = ["index", "label", "range"];

    /// The output of one of [`Self::CHOICES`].
    pub(super) fn of(choice: &str) -> Self {
        match choice {
            "label" => Self::Label,
            "range" => Self::Range,
            _ => Self::Index,
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
                })
            })
            .collect()
    }
}
