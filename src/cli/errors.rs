//! Errors for the person who wrote the statement: the line, a caret under the place, what is wrong, the
//! nearest name that exists and what to write instead.

use std::fmt::Write as _;
use std::ops::Range;

use datafusion::common::{Column, DataFusionError, SchemaError, Span};
use datafusion::execution::context::SessionContext;
use sqlparser::parser::ParserError;

use super::lexer::{Kind, Token, tokens};
use super::nearest::nearest;
use super::{names, style, width};

/// Columns listed when none is like the one asked for.
const COLUMNS_LISTED: usize = 12;
/// Reports of one statement; DataFusion can find several errors at once.
const REPORTS: usize = 5;
/// Columns of a source line where no terminal says how many there are.
const LINE_WIDTH: usize = 100;

/// Where statements come from.
pub struct Source<'a> {
    /// The file; none at the prompt.
    pub name: Option<&'a str>,
    pub text: &'a str,
    /// The line of the file, from 1, that a byte of the text comes from.
    pub line: Box<dyn Fn(usize) -> usize + 'a>,
}

impl<'a> Source<'a> {
    pub fn new(name: Option<&'a str>, text: &'a str) -> Self {
        Self {
            name,
            text,
            line: Box::new(move |at| 1 + text[..at].matches('\n').count()),
        }
    }
}

/// One error, ready to be shown.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    pub message: String,
    /// In bytes of the source.
    pub place: Option<Range<usize>>,
    pub helps: Vec<String>,
}

/// The reports of an error in the part `span` of the source.
pub fn reports(
    error: &DataFusionError,
    source: &str,
    span: Range<usize>,
    ctx: &SessionContext,
) -> Vec<Report> {
    let statement = source.get(span.clone()).unwrap_or(source);
    let mut reports: Vec<Report> = Vec::new();
    for error in error.iter() {
        let mut report = report(error, statement, ctx);
        if let Some(place) = &mut report.place {
            *place = place.start + span.start..place.end + span.start;
        }
        if !reports.contains(&report) {
            reports.push(report);
        }
    }
    reports.truncate(REPORTS);
    reports
}

fn report(error: &DataFusionError, statement: &str, ctx: &SessionContext) -> Report {
    let root = error.find_root();
    let mut report = match root {
        DataFusionError::SQL(error, _) => syntax_error(error, statement),
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => unknown_column(field, valid_fields, statement),
            other => plain(&other.to_string()),
        },
        DataFusionError::ResourcesExhausted(message) => Report {
            message: message.clone(),
            place: None,
            helps: vec![
                "give more with --memory-limit or SET seedbed.memory_limit, or run fewer partitions at once with --threads"
                    .to_string(),
            ],
        },
        DataFusionError::Internal(message) => Report {
            message: format!("internal error: {message}"),
            place: None,
            helps: vec!["this is a fault of the program, not of your statement".to_string()],
        },
        other => plain(&other.message()),
    };
    improve(&mut report, ctx);
    if report.place.is_none() {
        report.place = error
            .diagnostic()
            .and_then(|diagnostic| diagnostic.span)
            .and_then(|span| place_of(span, statement));
    }
    if report.place.is_none() {
        report.place = mentioned(&report.message, statement);
    }
    report
}

/// The first line says what is wrong, the others what to do.
fn plain(message: &str) -> Report {
    let message = message
        .split(DataFusionError::BACK_TRACE_SEP)
        .next()
        .unwrap_or_default();
    let mut lines = message.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = lines.next().unwrap_or("unknown error").to_string();
    let helps = lines
        .map(|line| line.strip_prefix("help: ").unwrap_or(line).to_string())
        .collect();
    Report {
        message: first,
        place: None,
        helps,
    }
}

fn syntax_error(error: &ParserError, statement: &str) -> Report {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return plain("the statement is nested too deeply");
        }
    };
    let mut report = plain(message);
    // `Expected: an expression, found: FROM at Line: 1, Column: 8`
    if let Some((text, line, column)) = location(&report.message) {
        report.message = text.trim_end_matches([',', ' ']).to_string();
        report.place = byte_at(statement, line, column).map(|at| token_at(statement, at));
    } else if report.message.contains("EOF") {
        let end = statement.trim_end().len();
        report.place = Some(end..end);
    }
    report.message = report
        .message
        .replace("found: EOF", "found the end of the statement");
    report
}

fn location(message: &str) -> Option<(&str, usize, usize)> {
    let at = message
        .rfind("at Line: ")
        .or_else(|| message.rfind("Line: "))?;
    let (text, place) = message.split_at(at);
    let mut numbers = place
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(str::parse);
    let line = numbers.next()?.ok()?;
    let column = numbers.next()?.ok()?;
    Some((text, line, column))
}

fn unknown_column(field: &Column, valid: &[Column], statement: &str) -> Report {
    let name = &field.name;
    let mut helps = Vec::new();
    let same = valid
        .iter()
        .find(|c| c.name != *name && c.name.eq_ignore_ascii_case(name));
    let near = nearest(name, valid.iter().map(|c| c.name.as_str()));
    if let Some(same) = same {
        helps.push(format!(
            "names in quotes keep their case: write \"{}\"",
            same.name
        ));
    } else if let Some(near) = near {
        helps.push(format!("did you mean {}?", written(near)));
    } else if valid.is_empty() {
        helps.push(format!(
            "there is no table to take a column from; a text is written '{name}'"
        ));
    } else {
        helps.push(listed(valid));
    }
    Report {
        message: match &field.relation {
            Some(table) => format!("there is no column {} in {table}", written(name)),
            None => format!("there is no column {}", written(name)),
        },
        place: find_name(statement, name),
        helps,
    }
}

/// The columns there are, as far as a line holds them.
fn listed(valid: &[Column]) -> String {
    let mut text = String::from("the columns are ");
    let names: Vec<String> = valid
        .iter()
        .take(COLUMNS_LISTED)
        .map(|c| written(&c.name))
        .collect();
    text.push_str(&names.join(", "));
    if valid.len() > COLUMNS_LISTED {
        let _ = write!(text, " and {} more", valid.len() - COLUMNS_LISTED);
    }
    text
}

/// A name as it is written in SQL: in quotes where it needs them.
pub fn written(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_string()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// DataFusion's words for what people meet most, in ours, with the nearest name there is.
fn improve(report: &mut Report, ctx: &SessionContext) {
    let message = report.message.clone();
    if let Some(name) = between(&message, "Invalid function '", "'") {
        report.message = format!("there is no function {name}");
        report.helps = vec![near_function(name, names::functions(ctx).iter())];
    } else if let Some(name) = between(&message, "able function '", "' not found") {
        report.message = format!("there is no table function {name}");
        report.helps = vec![near_function(name, names::relations(ctx).iter())];
    } else if let Some(name) = between(&message, "table '", "' not found") {
        let table = name.rsplit('.').next().unwrap_or(name);
        report.message = format!("there is no table {}", written(table));
        let tables = names::tables(ctx);
        report.helps = if looks_like_a_file(name) {
            vec!["a file is read by its name in single quotes: FROM 'data.csv'".to_string()]
        } else if let Some(near) = nearest(table, tables.iter().map(String::as_str)) {
            vec![format!("did you mean {}?", written(near))]
        } else if tables.is_empty() {
            vec!["there are no tables yet; a file is read by its name: FROM 'data.csv'".to_string()]
        } else {
            vec![format!("the tables are {}", listing(&tables))]
        };
    }
}

fn near_function<'a>(name: &str, functions: impl Iterator<Item = &'a String>) -> String {
    match nearest(name, functions.map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "`seedbed functions` lists them, .functions at the prompt".to_string(),
    }
}

fn listing(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(COLUMNS_LISTED)
        .map(|n| written(n))
        .collect();
    let mut text = shown.join(", ");
    if names.len() > COLUMNS_LISTED {
        let _ = write!(text, " and {} more", names.len() - COLUMNS_LISTED);
    }
    text
}

fn looks_like_a_file(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains('/')
        || [
            ".csv", ".tsv", ".json", ".parquet", ".gz", ".zst", ".arrow", ".avro",
        ]
        .iter()
        .any(|end| name.ends_with(end))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

/// DataFusion counts lines and columns from 1; 0 stands for an unknown place.
fn place_of(span: Span, statement: &str) -> Option<Range<usize>> {
    let number = |n: u64| usize::try_from(n).ok().filter(|n| *n > 0);
    let start = byte_at(
        statement,
        number(span.start.line)?,
        number(span.start.column)?,
    )?;
    let end = number(span.end.line)
        .zip(number(span.end.column))
        .and_then(|(line, column)| byte_at(statement, line, column))
        .filter(|end| *end > start);
    Some(match end {
        Some(end) => start..end,
        None => token_at(statement, start),
    })
}

/// The byte of a line and a column, both from 1, columns in characters.
fn byte_at(text: &str, line: usize, column: usize) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text[start..].find('\n')? + 1;
    }
    let rest = &text[start..];
    let within = rest
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(rest.len(), |(at, _)| at);
    Some(start + within)
}

/// The token that begins at or holds the byte `at`.
fn token_at(text: &str, at: usize) -> Range<usize> {
    tokens(text)
        .into_iter()
        .find(|t| t.start <= at && at < t.end())
        .map_or(at..at, |t| t.start..t.end())
}

/// Where the statement has a name.
fn find_name(statement: &str, name: &str) -> Option<Range<usize>> {
    let tokens = tokens(statement);
    let same = |t: &&Token<'_>| t.name().is_some_and(|n| n == name);
    let like = |t: &&Token<'_>| t.name().is_some_and(|n| n.eq_ignore_ascii_case(name));
    tokens
        .iter()
        .find(same)
        .or_else(|| tokens.iter().find(like))
        .map(|t| t.start..t.end())
}

/// Where the statement has the first of the names and texts that the message quotes.
fn mentioned(message: &str, statement: &str) -> Option<Range<usize>> {
    let tokens = tokens(statement);
    let quoted = message.split(['\'', '"', '`']).skip(1).step_by(2).chain(
        message
            .strip_prefix("there is no ")
            .and_then(|rest| rest.split(' ').nth(1)),
    );
    for text in quoted.filter(|text| !text.is_empty()) {
        let last = text.rsplit('.').next().unwrap_or(text);
        let found = tokens.iter().find(|t| match t.kind {
            Kind::Text => t.text.trim_matches('\'') == text,
            _ => t.name().is_some_and(|name| {
                name.eq_ignore_ascii_case(text) || name.eq_ignore_ascii_case(last)
            }),
        });
        if let Some(token) = found {
            return Some(token.start..token.end());
        }
    }
    // `standard_scale: ...` begins with what it is about.
    let (subject, _) = message.split_once(':')?;
    let subject = subject.trim_end_matches("()");
    tokens
        .iter()
        .find(|t| t.kind == Kind::Word && t.text.eq_ignore_ascii_case(subject))
        .map(|t| t.start..t.end())
}

/// The report as it is printed. `statement` is where the statement begins: in a file its line is
/// named even if the place of the error in it is not known.
pub fn render(report: &Report, source: &Source<'_>, statement: usize, color: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} {}",
        style::paint(color, style::error(), "error:"),
        style::paint(color, style::strong(), &report.message)
    );
    let at = report
        .place
        .as_ref()
        .map_or(statement, |place| place.start)
        .min(source.text.len());
    let number = (source.line)(at);
    let place = report.place.clone().or_else(|| {
        // At the prompt the statement stands right above.
        source.name.map(|_| at..at)
    });
    if let Some(name) = source.name {
        let _ = match &report.place {
            Some(place) => {
                let begin = line_begin(source.text, place.start);
                let column = 1 + source.text[begin..place.start].chars().count();
                writeln!(out, "  at {name}:{number}:{column}")
            }
            None => writeln!(out, "  in the statement at {name}:{number}"),
        };
    }
    if let Some(place) = place {
        let (line, indent, carets) = excerpt(source.text, &place);
        let gutter = format!("{number:>4} │ ");
        let _ = writeln!(
            out,
            "{}{line}",
            style::paint(color, style::faint(), &gutter)
        );
        if report.place.is_some() {
            let under = format!("{}│ ", " ".repeat(width::of(&gutter) - 2));
            let _ = writeln!(
                out,
                "{}{}{}",
                style::paint(color, style::faint(), &under),
                " ".repeat(indent),
                style::paint(color, style::error(), &"^".repeat(carets))
            );
        }
    }
    for help in &report.helps {
        let _ = writeln!(
            out,
            "{} {help}",
            style::paint(color, style::help(), "help:")
        );
    }
    out
}

fn line_begin(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// The line of the place, the columns before its caret and how many carets.
fn excerpt(text: &str, place: &Range<usize>) -> (String, usize, usize) {
    let begin = line_begin(text, place.start);
    let end = text[place.start..]
        .find('\n')
        .map_or(text.len(), |end| place.start + end);
    let clean = |part: &str| width::visible(&part.replace('\t', " ").replace('\r', ""));
    let before = clean(&text[begin..place.start]);
    let inside = clean(&text[place.start..place.end.clamp(place.start, end)]);
    let after = clean(
        text.get(place.end.min(end).max(place.start)..end)
            .unwrap_or(""),
    );
    let room = super::output::terminal_width()
        .unwrap_or(LINE_WIDTH)
        .saturating_sub(8)
        .max(20);
    // A long line is shown from a little before the place.
    let mut before = before;
    let limit = room / 2;
    if width::of(&before) + width::of(&inside) > room && width::of(&before) > limit {
        let keep: Vec<char> = before.chars().rev().take(limit / 2).collect();
        before = width::CUT.to_string();
        before.extend(keep.iter().rev());
    }
    let indent = width::of(&before);
    let carets = width::of(&inside).clamp(1, room.saturating_sub(indent).max(1));
    let line = width::cut(&format!("{before}{inside}{after}"), room);
    (line.trim_end().to_string(), indent, carets)
}

#[cfg(test)]
mod tests {
    use datafusion::common::{exec_datafusion_err, plan_datafusion_err};

    use super::*;

    fn shown(error: &DataFusionError, text: &str) -> String {
        let ctx = SessionContext::new();
        let source = Source::new(None, text);
        reports(error, text, 0..text.len(), &ctx)
            .iter()
            .map(|r| render(r, &source, 0, false))
            .collect()
    }

    #[test]
    fn a_syntax_error_points_at_its_token() {
        let error = DataFusionError::SQL(
            Box::new(ParserError::ParserError(
                "Expected: an expression, found: FROM at Line: 2, Column: 3".to_string(),
            )),
            None,
        );
        assert_eq!(
            shown(&error, "SELECT\n  FROM t"),
            "\
error: Expected: an expression, found: FROM
   2 │   FROM t
     │   ^^^^
"
        );
    }

    #[test]
    fn an_unknown_column_names_the_nearest() {
        let error = DataFusionError::SchemaError(
            Box::new(SchemaError::FieldNotFound {
                field: Box::new(Column::from_name("agee")),
                valid_fields: vec![Column::from_name("age"), Column::from_name("sex")],
            }),
            Box::new(None),
        );
        assert_eq!(
            shown(&error, "SELECT 'agee', agee FROM t"),
            "\
error: there is no column agee
   1 │ SELECT 'agee', agee FROM t
     │                ^^^^
help: did you mean age?
"
        );
    }

    #[test]
    fn an_unknown_function_and_table() {
        let error = plan_datafusion_err!("table function 'sampel' not found");
        let text = shown(&error, "SELECT * FROM sampel('m')");
        assert!(text.contains("there is no table function sampel"), "{text}");
        assert!(text.contains("did you mean sample?"), "{text}");
        let error = plan_datafusion_err!("Invalid function 'flor'.\nDid you mean 'x'?");
        let text = shown(&error, "SELECT flor(1)");
        assert!(text.contains("       ^^^^\n"), "{text}");
        assert!(text.contains("did you mean floor?"), "{text}");
        let error = plan_datafusion_err!("table 'datafusion.public.t' not found");
        let text = shown(&error, "SELECT 1 FROM t");
        assert!(text.contains("there is no table t\n"), "{text}");
        assert!(text.contains("              ^\n"), "{text}");
    }

    #[test]
    fn a_message_is_placed_by_what_it_quotes() {
        let error = exec_datafusion_err!("standard_scale: unknown option 'ddoff'\nwrite ddof => 1");
        let text = shown(&error, "SELECT standard_scale(x, ddoff => 1) OVER ()");
        assert!(text.contains("^^^^^\n"), "{text}");
        assert!(text.ends_with("help: write ddof => 1\n"), "{text}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("SELECT {} wrong FROM t", "a, ".repeat(200));
        let error = plan_datafusion_err!("'wrong' is wrong");
        let shown = shown(&error, &text);
        assert!(shown.lines().all(|l| width::of(l) < 110), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        let word: String = lines[1].chars().skip(caret).take(5).collect();
        assert_eq!(word, "wrong");
    }

    #[test]
    fn the_end_of_the_statement() {
        let error = DataFusionError::SQL(
            Box::new(ParserError::ParserError(
                "Expected: an expression, found: EOF".to_string(),
            )),
            None,
        );
        let text = shown(&error, "SELECT");
        assert!(text.contains("     │       ^\n"), "{text}");
    }
}
