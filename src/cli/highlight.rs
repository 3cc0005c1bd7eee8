//! Colours of the line being typed.

use std::collections::HashSet;

use nu_ansi_term::{Color, Style};

use super::lexer::{Kind, tokens};

/// The words of SQL that people type: those completed and coloured. sqlparser knows a thousand more.
pub const KEYWORDS: &[&str] = &[
    "all",
    "analyze",
    "and",
    "anti",
    "any",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "copy",
    "create",
    "cross",
    "current",
    "date",
    "delete",
    "desc",
    "describe",
    "distinct",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exclude",
    "exists",
    "explain",
    "export",
    "external",
    "extract",
    "false",
    "fetch",
    "filter",
    "first",
    "following",
    "format",
    "from",
    "full",
    "group",
    "having",
    "if",
    "ilike",
    "import",
    "in",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "last",
    "lateral",
    "left",
    "like",
    "limit",
    "location",
    "materialized",
    "model",
    "models",
    "natural",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "options",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "partitioned",
    "preceding",
    "qualify",
    "range",
    "recursive",
    "replace",
    "reset",
    "right",
    "rows",
    "select",
    "semi",
    "set",
    "show",
    "similar",
    "stored",
    "summarize",
    "table",
    "tables",
    "temporary",
    "then",
    "timestamp",
    "to",
    "transform",
    "transforms",
    "true",
    "try_cast",
    "unbounded",
    "union",
    "unnest",
    "update",
    "using",
    "values",
    "view",
    "when",
    "where",
    "window",
    "with",
    "within",
];

pub fn is_keyword(word: &str) -> bool {
    KEYWORDS
        .binary_search(&word.to_ascii_lowercase().as_str())
        .is_ok()
}

/// The line with its colours; its width does not change.
pub fn highlight(line: &str, functions: &HashSet<String>) -> String {
    let mut out = String::with_capacity(2 * line.len());
    if line.starts_with(['.', '\\']) {
        let end = line.find(char::is_whitespace).unwrap_or(line.len());
        out.push_str(&Style::new().bold().paint(&line[..end]).to_string());
        out.push_str(&line[end..]);
        return out;
    }
    let tokens = tokens(line);
    for (i, token) in tokens.iter().enumerate() {
        let called = || {
            tokens[i + 1..]
                .iter()
                .find(|t| !t.is_blank())
                .is_some_and(|t| t.text == "(")
        };
        let style = match token.kind {
            Kind::Comment => Some(Style::new().dimmed()),
            Kind::Text => Some(Color::Green.normal()),
            Kind::Number => Some(Color::Yellow.normal()),
            Kind::Word if functions.contains(&token.text.to_ascii_lowercase()) && called() => {
                Some(Color::Blue.normal())
            }
            Kind::Word if is_keyword(token.text) => Some(Color::Magenta.normal()),
            Kind::Word | Kind::QuotedName | Kind::Space | Kind::Symbol => None,
        };
        match style {
            Some(style) => out.push_str(&style.paint(token.text).to_string()),
            None => out.push_str(token.text),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_in_order() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("SELECT"));
        assert!(!is_keyword("selec"));
    }

    #[test]
    fn only_colours_are_added() {
        let functions = HashSet::from(["abs".to_string()]);
        let line = "select abs(x), 'a' from t -- é";
        let colored = highlight(line, &functions);
        let mut plain = String::new();
        let mut rest = colored.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        assert_eq!(plain, line);
    }
}
