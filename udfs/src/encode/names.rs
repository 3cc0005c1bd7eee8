//! Names of columns made from texts.

use std::collections::HashSet;

/// Letters and digits of any script, in lower case, all else `_`; empty where there are none.
pub fn clean(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join("_")
}

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
