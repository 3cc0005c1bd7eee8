//! Names of columns made from texts.

use std::collections::HashSet;

/// Numbers what would be the same name twice: `x`, `x_2`.
pub fn numbered(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut taken = HashSet::new();
    names
        .into_iter()
        .map(|base| {
            let mut name = base.clone();
            let mut number = 1;
            while !taken.insert(name.clone()) {
                number += 1;
                name = format!("{base}_{number}");
            }
            name
        })
        .collect()
}
