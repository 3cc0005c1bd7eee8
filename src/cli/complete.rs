//! Completion at the prompt: keywords, functions, tables, columns with those of the statement's tables
//! first, models and transforms by name, and paths inside quotes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use arrow::array::Array;
use arrow::util::display::array_value_to_string;
use rustyline::completion::{FilenameCompleter, Pair};
use seedbed::sql::bigquery;
use seedbed::{Answer, Seedbed, Statement};
use tokio::runtime::Handle;

use super::dot;
use super::errors::written;
use super::highlight::{KEYWORDS, is_keyword};
use super::lexer::{Kind, Token, tokens};
use super::looking;
use super::{names, session};

/// A key press does not wait longer for the columns of a file.
const PATIENCE: Duration = Duration::from_millis(400);

/// Knows what can stand at a place of a line.
pub struct Completer {
    seedbed: Seedbed,
    runtime: Handle,
    paths: FilenameCompleter,
    /// Columns by what stands in FROM, until the next statement changes them.
    columns: RefCell<HashMap<String, Vec<String>>>,
}

/// A table of the statement: what stands in FROM, and what it is called there.
#[derive(Debug, PartialEq)]
struct Scanned {
    relation: String,
    name: String,
}

impl Completer {
    pub fn new(seedbed: Seedbed, runtime: Handle) -> Self {
        Self {
            seedbed,
            runtime,
            paths: FilenameCompleter::new(),
            columns: RefCell::default(),
        }
    }

    /// Forgets what a statement may have changed.
    pub fn refresh(&self) {
        self.columns.borrow_mut().clear();
    }

    /// Where the word at `pos` begins, and what can stand for it.
    pub fn complete(&self, line: &str, pos: usize) -> (usize, Vec<Pair>) {
        if line.starts_with('.') {
            return self.dot(line, pos);
        }
        let before = &line[..pos];
        let typed = tokens(before);
        let begin = typed
            .iter()
            .rposition(|t| t.text == ";")
            .map_or(0, |at| at + 1);
        let typed = &typed[begin..];
        match typed.last() {
            Some(last) if last.open && last.kind == Kind::Text => self.text(typed, last, pos),
            Some(last) if last.kind == Kind::Comment => (pos, Vec::new()),
            Some(last) if last.kind == Kind::Word || last.open => {
                let prefix = last.name().unwrap_or_default();
                let head = &typed[..typed.len() - 1];
                (last.start, self.word(line, pos, head, &prefix))
            }
            _ => (pos, self.word(line, pos, typed, "")),
        }
    }

    /// Inside a text: a model, a transform or a path.
    fn text(&self, typed: &[Token<'_>], text: &Token<'_>, pos: usize) -> (usize, Vec<Pair>) {
        let start = text.start + 1;
        let prefix = &text.text[1..];
        let mut before = typed[..typed.len() - 1]
            .iter()
            .rev()
            .filter(|t| !t.is_blank());
        if before.next().is_some_and(|t| t.text == "(")
            && let Some(function) = before.next()
        {
            let list = match function.text.to_ascii_lowercase().as_str() {
                "sample" | "gan_sample" => Some("SHOW MODELS"),
                "transform" | "inverse_transform" | "transform_parameters" => {
                    Some("SHOW TRANSFORMS")
                }
                _ => None,
            };
            if let Some(list) = list {
                let names = self.listed(list);
                let pairs = matching(names.iter().map(String::as_str), prefix)
                    .map(|name| pair(name, &format!("{name}'")))
                    .collect();
                return (start, pairs);
            }
        }
        // The path completer gets the open quote alone: what stands before it is SQL, not a shell's.
        let quoted = format!("'{prefix}");
        match self.paths.complete_path(&quoted, quoted.len()) {
            Ok((at, pairs)) => (start + at.saturating_sub(1), pairs),
            Err(_) => (pos, Vec::new()),
        }
    }

    fn word(&self, line: &str, pos: usize, head: &[Token<'_>], prefix: &str) -> Vec<Pair> {
        let before: Vec<&Token<'_>> = head.iter().filter(|t| !t.is_blank()).collect();
        let statement = statement_around(line, pos);
        let scanned = scanned(&tokens(statement));

        if let [.., qualifier, dot] = before.as_slice()
            && dot.text == "."
            && let Some(qualifier) = qualifier.name()
        {
            if qualifier.eq_ignore_ascii_case("ml") {
                let names = bigquery::NAMES.iter().map(|n| n.name);
                return calls(names, prefix).collect();
            }
            let relation = scanned
                .iter()
                .find(|s| s.name.eq_ignore_ascii_case(&qualifier))
                .map_or_else(|| written(&qualifier), |s| s.relation.clone());
            return named(&self.columns(&relation), prefix);
        }

        let previous = before.last().map(|t| t.text.to_ascii_lowercase());
        match previous.as_deref() {
            Some("model") => return named(&self.listed("SHOW MODELS"), prefix),
            Some("transform") => return named(&self.listed("SHOW TRANSFORMS"), prefix),
            Some(word) if is_before_table(word) || in_from_list(&before) => {
                let ctx = self.seedbed.context();
                let mut pairs = named(&names::tables(ctx), prefix);
                pairs.extend(named(&with_names(&tokens(statement)), prefix));
                if !matches!(word, "table" | "describe" | "into" | "update") && !prefix.is_empty() {
                    let relations = names::relations(ctx);
                    pairs.extend(calls(relations.iter().map(String::as_str), prefix));
                }
                return unique(pairs);
            }
            _ => {}
        }

        let mut pairs = Vec::new();
        for table in &scanned {
            pairs.extend(named(&self.columns(&table.relation), prefix));
        }
        if prefix.is_empty() {
            return unique(pairs);
        }
        for table in &scanned {
            pairs.extend(named(std::slice::from_ref(&table.name), prefix));
        }
        let functions = names::functions(self.seedbed.context());
        let upper = prefix.starts_with(|c: char| c.is_ascii_uppercase());
        pairs.extend(matching(KEYWORDS.iter().copied(), prefix).map(|keyword| {
            let keyword = if upper {
                keyword.to_ascii_uppercase()
            } else {
                keyword.to_string()
            };
            pair(&keyword, &keyword)
        }));
        pairs.extend(calls(functions.iter().map(String::as_str), prefix));
        if scanned.is_empty() {
            // SELECT is written before FROM: any table's columns may be meant.
            let tables = names::tables(self.seedbed.context());
            for table in &tables {
                pairs.extend(named(&self.columns(&written(table)), prefix));
            }
        }
        unique(pairs)
    }

    /// The argument of one of the prompt's own commands, or its name.
    fn dot(&self, line: &str, pos: usize) -> (usize, Vec<Pair>) {
        let Some(space) = line[..pos].find(' ') else {
            let names = dot::COMMANDS.iter().map(|c| c.name);
            let pairs = matching(names, &line[..pos]).map(|n| pair(n, n)).collect();
            return (0, pairs);
        };
        let start =
            space + 1 + line[space + 1..pos].len() - line[space + 1..pos].trim_start().len();
        let prefix = &line[start..pos];
        let ctx = self.seedbed.context();
        let words: Vec<String> = match &line[..space] {
            ".mode" => dot::formats(),
            ".pictures" => looking::ways(),
            ".timer" => vec!["on".to_string(), "off".to_string()],
            ".functions" => names::functions(ctx),
            ".tables" | ".schema" => names::tables(ctx),
            ".help" => dot::COMMANDS.iter().map(|c| c.name.to_string()).collect(),
            ".read" | ".output" | ".save" => {
                return self
                    .paths
                    .complete_path(line, pos)
                    .unwrap_or((pos, Vec::new()));
            }
            _ => Vec::new(),
        };
        let pairs = matching(words.iter().map(String::as_str), prefix)
            .map(|word| pair(word, word))
            .collect();
        (start, pairs)
    }

    /// The columns of what stands in FROM: planning a query of it says them without running it.
    fn columns(&self, relation: &str) -> Vec<String> {
        if let Some(columns) = self.columns.borrow().get(relation) {
            return columns.clone();
        }
        let text = format!("SELECT * FROM {relation}");
        let statement = Statement {
            span: 0..text.len(),
            text,
        };
        let seedbed = self.seedbed.clone();
        let found = self.runtime.block_on(async {
            let answer = tokio::time::timeout(PATIENCE, seedbed.run(&statement)).await;
            match answer {
                Ok(Ok(Answer::Rows { schema, .. })) => {
                    schema.fields().iter().map(|f| f.name().clone()).collect()
                }
                _ => Vec::new(),
            }
        });
        // What planning had to say about it is nothing the user has asked.
        let _ = self.seedbed.take_notices();
        self.columns
            .borrow_mut()
            .insert(relation.to_string(), found);
        self.columns
            .borrow()
            .get(relation)
            .cloned()
            .unwrap_or_default()
    }

    /// The first column of a list.
    fn listed(&self, sql: &str) -> Vec<String> {
        let Ok(batches) = session::query(&self.seedbed, &self.runtime, sql) else {
            return Vec::new();
        };
        batches
            .iter()
            .filter(|batch| batch.num_columns() > 0)
            .flat_map(|batch| {
                let column = batch.column(0);
                (0..column.len()).filter_map(|row| array_value_to_string(column, row).ok())
            })
            .collect()
    }
}

fn pair(display: &str, replacement: &str) -> Pair {
    Pair {
        display: display.to_string(),
        replacement: replacement.to_string(),
    }
}

fn matching<'a>(
    names: impl Iterator<Item = &'a str> + 'a,
    prefix: &'a str,
) -> impl Iterator<Item = &'a str> + 'a {
    names.filter(move |name| {
        name.get(..prefix.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    })
}

/// Names of things, in quotes where they need them.
fn named(names: &[String], prefix: &str) -> Vec<Pair> {
    matching(names.iter().map(String::as_str), prefix)
        .map(|name| pair(name, &written(name)))
        .collect()
}

fn calls<'a>(
    names: impl Iterator<Item = &'a str> + 'a,
    prefix: &'a str,
) -> impl Iterator<Item = Pair> + 'a {
    matching(names, prefix).map(|name| pair(&format!("{name}("), &format!("{name}(")))
}

/// Without repetitions, in order.
fn unique(pairs: Vec<Pair>) -> Vec<Pair> {
    let mut seen = std::collections::HashSet::new();
    pairs
        .into_iter()
        .filter(|pair| seen.insert(pair.replacement.clone()))
        .collect()
}

fn is_before_table(word: &str) -> bool {
    matches!(
        word,
        "from" | "join" | "into" | "update" | "table" | "describe" | "summarize"
    )
}

/// After a comma in FROM: `FROM a, |`.
fn in_from_list(before: &[&Token<'_>]) -> bool {
    if before.last().is_none_or(|t| t.text != ",") {
        return false;
    }
    let mut depth = 0_i32;
    for token in before.iter().rev() {
        match token.text {
            ")" => depth += 1,
            "(" if depth == 0 => return false,
            "(" => depth -= 1,
            word if depth == 0 && token.kind == Kind::Word && is_keyword(word) => {
                return word.eq_ignore_ascii_case("from");
            }
            _ => {}
        }
    }
    false
}

/// The statement the cursor is in.
fn statement_around(line: &str, pos: usize) -> &str {
    let mut start = 0;
    for token in tokens(line) {
        if token.text == ";" && token.kind == Kind::Symbol {
            if token.start >= pos {
                return &line[start..token.start];
            }
            start = token.end();
        }
    }
    &line[start..]
}

/// The tables of a statement.
fn scanned(tokens: &[Token<'_>]) -> Vec<Scanned> {
    let tokens: Vec<&Token<'_>> = tokens.iter().filter(|t| !t.is_blank()).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let word = tokens[at].text.to_ascii_lowercase();
        at += 1;
        if !matches!(word.as_str(), "from" | "join" | "into" | "update") {
            continue;
        }
        // A name of several parts, or a file; a list of them.
        while let Some(table) = relation_at(&tokens, &mut at) {
            found.push(table);
            if tokens.get(at).is_some_and(|t| t.text == ",") {
                at += 1;
            } else {
                break;
            }
        }
    }
    found
}

fn relation_at(tokens: &[&Token<'_>], at: &mut usize) -> Option<Scanned> {
    let first = tokens.get(*at)?;
    let mut relation = first.text.to_string();
    let mut name = match first.kind {
        Kind::Text if !first.open => String::new(),
        Kind::Word if is_keyword(first.text) => return None,
        Kind::Word | Kind::QuotedName => first.name()?,
        _ => return None,
    };
    *at += 1;
    while tokens.get(*at).is_some_and(|t| t.text == ".")
        && let Some(part) = tokens.get(*at + 1).and_then(|t| t.name())
    {
        relation.push('.');
        relation.push_str(tokens[*at + 1].text);
        name = part;
        *at += 2;
    }
    // A call is a relation whose columns are not known before it is complete.
    if tokens.get(*at).is_some_and(|t| t.text == "(") {
        return None;
    }
    if tokens
        .get(*at)
        .is_some_and(|t| t.text.eq_ignore_ascii_case("as"))
    {
        *at += 1;
    }
    if let Some(alias) = tokens.get(*at)
        && let Some(alias_name) = alias.name()
        && !(alias.kind == Kind::Word && is_keyword(alias.text))
    {
        name = alias_name;
        *at += 1;
    }
    Some(Scanned { relation, name })
}

/// The names a WITH defines.
fn with_names(tokens: &[Token<'_>]) -> Vec<String> {
    let tokens: Vec<&Token<'_>> = tokens.iter().filter(|t| !t.is_blank()).collect();
    if tokens
        .first()
        .is_none_or(|t| !t.text.eq_ignore_ascii_case("with"))
    {
        return Vec::new();
    }
    tokens
        .windows(3)
        .filter(|w| w[1].text.eq_ignore_ascii_case("as") && w[2].text == "(")
        .filter_map(|w| w[0].name())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables_of(sql: &str) -> Vec<(String, String)> {
        scanned(&tokens(sql))
            .into_iter()
            .map(|s| (s.relation, s.name))
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .collect()
    }

    #[test]
    fn tables_of_a_statement() {
        assert_eq!(tables_of("select a from t where"), pairs(&[("t", "t")]));
        assert_eq!(
            tables_of("select from s.t as x join \"U v\" y on 1 = 1, "),
            pairs(&[("s.t", "x"), ("\"U v\"", "y")])
        );
        assert_eq!(
            tables_of("from a, b, 'c d.csv' f"),
            pairs(&[("a", "a"), ("b", "b"), ("'c d.csv'", "f")])
        );
        assert_eq!(tables_of("from (select 1) x"), pairs(&[]));
        assert_eq!(tables_of("from read_csv('x')"), pairs(&[]));
    }

    #[test]
    fn the_statement_around_the_cursor() {
        let line = "select 1; select a from t; select 2";
        assert_eq!(statement_around(line, 17), " select a from t");
        assert_eq!(statement_around(line, 3), "select 1");
        assert_eq!(statement_around(line, 33), " select 2");
    }

    #[test]
    fn common_table_expressions() {
        assert_eq!(
            with_names(&tokens(
                "with a as (select 1), b as (select 2) select * from "
            )),
            ["a", "b"]
        );
    }

    #[test]
    fn candidates() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seedbed = {
            let _inside = runtime.enter();
            Seedbed::open(seedbed::Options::default()).unwrap()
        };
        let handle = runtime.handle().clone();
        session::query(
            &seedbed,
            &handle,
            "CREATE TABLE people AS SELECT 1 AS age, 'x' AS \"Work class\"",
        )
        .unwrap();
        let completer = Completer::new(seedbed, handle);
        let candidates = |line: &str| -> Vec<String> {
            let pos = line.find('|').unwrap();
            let line = line.replace('|', "");
            let (_, pairs) = completer.complete(&line, pos);
            pairs.into_iter().map(|p| p.replacement).collect()
        };
        assert_eq!(candidates("SELECT * FROM peo|"), ["people"]);
        assert_eq!(
            candidates("SELECT | FROM people"),
            ["age", "\"Work class\""]
        );
        assert_eq!(candidates("SELECT p.a| FROM people p"), ["age"]);
        assert_eq!(candidates("SELECT ag| FROM people")[0], "age");
        assert_eq!(candidates("SELEC|"), ["SELECT"]);
        assert!(candidates("SELECT rou|").contains(&"round(".to_string()));
        assert_eq!(candidates("SELECT ML.st|"), ["STANDARD_SCALER("]);
        assert_eq!(candidates(".ti|"), [".timer"]);
        assert_eq!(candidates(".mode ta|"), ["table"]);
        assert!(candidates("SELECT 1 -- fro|").is_empty());
        let cargo = candidates("SELECT * FROM 'Cargo.to|");
        assert!(cargo[0].contains("Cargo.toml"), "{cargo:?}");
    }
}
