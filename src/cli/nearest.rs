//! The nearest existing name to one that does not exist.

/// The name most like `wanted`, if any is like enough to be what was meant.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    names
        .into_iter()
        .map(|name| (likeness(&wanted, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, name)| name)
}

/// Letters swapped count once; a beginning that is right counts for the rest: `stand` is like
/// `standard_scale`.
fn likeness(wanted: &str, name: &str) -> f64 {
    let edits = strsim::normalized_damerau_levenshtein(wanted, name);
    if wanted.len() >= 3 && name.starts_with(wanted) {
        edits.max(0.8)
    } else {
        edits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_enough_or_none() {
        let names = ["age", "workclass", "standard_scale", "sex"];
        assert_eq!(nearest("agee", names), Some("age"));
        assert_eq!(nearest("AGE", names), Some("age"));
        assert_eq!(nearest("wrokclass", names), Some("workclass"));
        assert_eq!(nearest("stand", names), Some("standard_scale"));
        assert_eq!(nearest("zzz", names), None);
    }
}
