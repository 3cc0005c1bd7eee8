//! `${name}` and `${name:-default}` in files of SQL. `$${` stands for a plain `${`.
//!
//! A value is put in as it is written, inside quotes too, so that it can be a path, a number or a
//! list of columns. Comments are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::lexer::comment;
use super::nearest::nearest;

/// A text with its variables replaced.
#[derive(Debug, Default, PartialEq)]
pub struct Expanded {
    pub text: String,
    /// The names the text mentions.
    pub used: BTreeSet<String>,
    /// Where each value stands in `text`, and where its variable stood in the file.
    replaced: Vec<(Range<usize>, Range<usize>)>,
}

impl Expanded {
    /// A text in which `${` is nothing special.
    pub fn plain(text: &str) -> Self {
        Self {
            text: text.to_string(),
            ..Self::default()
        }
    }

    /// The line of the file, from 1, that the byte `at` of the expanded text comes from.
    pub fn line_in_file(&self, file: &str, at: usize) -> usize {
        let mut origin = at;
        for (value, variable) in &self.replaced {
            if at < value.start {
                break;
            }
            origin = if at < value.end {
                variable.start
            } else {
                variable.end + (at - value.end)
            };
        }
        let origin = origin.min(file.len());
        file.as_bytes()[..origin]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1
    }
}

/// What is wrong, and where in the file it stands.
#[derive(Debug, PartialEq)]
pub struct VariableError {
    pub message: String,
    pub help: String,
    pub place: Range<usize>,
}

pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub fn expand(file: &str, values: &BTreeMap<String, String>) -> Result<Expanded, VariableError> {
    let mut expanded = Expanded::default();
    let mut at = 0;
    let mut quote: Option<char> = None;
    while let Some(c) = file[at..].chars().next() {
        let rest = &file[at..];
        if rest.starts_with("$${") {
            let start = expanded.text.len();
            expanded.text.push_str("${");
            expanded
                .replaced
                .push((start..expanded.text.len(), at..at + 3));
            at += 3;
        } else if rest.starts_with("${") {
            let (name, default, length) = variable(rest, at)?;
            let Some(value) = values.get(name).map(String::as_str).or(default) else {
                return Err(undefined(name, values, at..at + length));
            };
            let start = expanded.text.len();
            expanded.text.push_str(value);
            expanded
                .replaced
                .push((start..expanded.text.len(), at..at + length));
            expanded.used.insert(name.to_string());
            at += length;
        } else {
            let length = match quote {
                None => comment(rest).map_or(c.len_utf8(), |(length, _)| length),
                Some(_) => c.len_utf8(),
            };
            // A doubled quote closes and opens again, which comes to the same.
            if matches!(c, '\'' | '"') {
                match quote {
                    None => quote = Some(c),
                    Some(open) if open == c => quote = None,
                    Some(_) => {}
                }
            }
            expanded.text.push_str(&rest[..length]);
            at += length;
        }
    }
    Ok(expanded)
}

/// Name, default and length of the variable that `rest` begins with.
fn variable(rest: &str, at: usize) -> Result<(&str, Option<&str>, usize), VariableError> {
    let wrong = |message: String, length: usize| VariableError {
        message,
        help: "write ${name} or ${name:-default}; $${ is a plain ${".to_string(),
        place: at..at + length,
    };
    let line = rest.find('\n').unwrap_or(rest.len());
    let Some(close) = rest.find('}') else {
        return Err(wrong("a variable is not closed with }".to_string(), line));
    };
    let inside = &rest[2..close];
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        let length = (close + 1).min(line);
        return Err(wrong(
            format!("'{name}' is not a name of a variable"),
            length,
        ));
    }
    Ok((name, default, close + 1))
}

fn undefined(name: &str, values: &BTreeMap<String, String>, place: Range<usize>) -> VariableError {
    let mut help = format!("give it with -D {name}=VALUE, or a default: ${{{name}:-VALUE}}");
    if let Some(near) = nearest(name, values.keys().map(String::as_str)) {
        help = format!("-D {near}=... is given; or {help}");
    }
    VariableError {
        message: format!("the variable {name} has no value"),
        help,
        place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    fn text(file: &str, pairs: &[(&str, &str)]) -> String {
        expand(file, &values(pairs)).unwrap().text
    }

    #[test]
    fn values_and_defaults() {
        assert_eq!(text("select ${x}", &[("x", "1")]), "select 1");
        assert_eq!(text("select ${x:-2}", &[("x", "1")]), "select 1");
        assert_eq!(text("select ${x:-2}", &[]), "select 2");
        assert_eq!(text("select '${x:-}'", &[]), "select ''");
        assert_eq!(
            text("from '${dir}/a b.csv'", &[("dir", "/t")]),
            "from '/t/a b.csv'"
        );
    }

    #[test]
    fn what_stays_as_it_is() {
        assert_eq!(text("select '$${x}'", &[]), "select '${x}'");
        assert_eq!(
            text("-- ${x}\n/* ${y} */ $1 {}", &[]),
            "-- ${x}\n/* ${y} */ $1 {}"
        );
        // A quote in a comment opens nothing, a comment in a quote neither.
        assert_eq!(text("-- it's\n${x}", &[("x", "1")]), "-- it's\n1");
        assert_eq!(text("'-- ${x}'", &[("x", "1")]), "'-- 1'");
        assert_eq!(text("'a''-- ${x}'", &[("x", "1")]), "'a''-- 1'");
        // A value is not looked into again.
        assert_eq!(text("${x}", &[("x", "${x}")]), "${x}");
    }

    #[test]
    fn undefined_names_the_nearest() {
        let error = expand("select ${sede}", &values(&[("seed", "1")])).unwrap_err();
        assert_eq!(error.place, 7..14);
        assert!(error.message.contains("sede"));
        assert!(error.help.contains("-D seed="), "{}", error.help);
    }

    #[test]
    fn malformed() {
        assert!(expand("${", &values(&[])).is_err());
        assert!(expand("${1x}", &values(&[])).is_err());
        assert!(expand("${a b}", &values(&[])).is_err());
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let file = "select ${x},\n  ${y},\n  z";
        let expanded = expand(file, &values(&[("x", "1\n2\n3"), ("y", "")])).unwrap();
        let z = expanded.text.find('z').unwrap();
        assert_eq!(expanded.line_in_file(file, z), 3);
        let three = expanded.text.find('3').unwrap();
        assert_eq!(expanded.line_in_file(file, three), 1);
        assert_eq!(expanded.line_in_file(file, 0), 1);
    }
}
