//! Text to statements: ours, and DataFusion's.

use std::ops::Range;

use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::sql::parser::{DFParser, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{Query, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer, Word};
use std::ops::ControlFlow;

use super::relation::quoted;

/// A parsed statement.
#[derive(Debug)]
pub enum Parsed {
    DataFusion(Box<DfStatement>),
    CreateTransform(Create),
    CreateModel {
        create: CreateModel,
        explain: bool,
    },
    Drop {
        object: Object,
        name: String,
        if_exists: bool,
    },
    /// All of a kind, or one by name.
    Show {
        object: Object,
        name: Option<String>,
    },
    /// A transform as plain SQL.
    ShowSql {
        name: String,
    },
    Describe {
        object: Object,
        name: String,
    },
    /// A transform or a model to a file.
    Export {
        object: Object,
        name: String,
        path: String,
    },
    /// The losses of a model's training as a picture.
    ExportHistory {
        name: String,
        path: String,
    },
    Import(Import),
    Summarize(Box<Query>),
}

/// A transform or a model from a file.
#[derive(Debug)]
pub struct Import {
    pub object: Object,
    /// Instead of the one it was exported under.
    pub name: Option<String>,
    pub path: String,
    pub or_replace: bool,
    pub if_not_exists: bool,
}

/// `CREATE TRANSFORM`.
#[derive(Debug)]
pub struct Create {
    pub name: String,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub query: Box<Query>,
}

/// `CREATE MODEL`: `USING kind`, `FROM model` to go on with its training, or both to take it to another table.
#[derive(Debug)]
pub struct CreateModel {
    pub name: String,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub kind: Option<String>,
    /// The trained model to start from.
    pub base: Option<String>,
    pub options: Vec<(String, String)>,
    /// Left out where a training goes on with the rows it began with.
    pub query: Option<Box<Query>>,
}

/// The named objects that are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    Transform,
    Model,
}

/// The places of the statements in a text, without their semicolons; empty ones are dropped.
///
/// # Errors
/// If the text has no end of a quote or comment, say.
pub fn split(text: &str) -> Result<Vec<Range<usize>>> {
    let lines: Vec<usize> = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(i, _)| i + 1))
        .collect();
    let offset = |at: Location| {
        let line = usize::try_from(at.line).unwrap_or(1).max(1) - 1;
        let start = lines.get(line).copied().unwrap_or(text.len());
        let column = usize::try_from(at.column).unwrap_or(1).max(1) - 1;
        text[start..]
            .char_indices()
            .nth(column)
            .map_or(text.len(), |(i, _)| start + i)
    };
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|e| DataFusionError::from(ParserError::from(e)))?;
    let mut spans = Vec::new();
    let mut current: Option<Range<usize>> = None;
    for token in tokens {
        match token.token {
            Token::Whitespace(_) | Token::EOF => {}
            Token::SemiColon => spans.extend(current.take()),
            _ => {
                let start = offset(token.span.start);
                let end = offset(token.span.end).max(start + 1);
                current = Some(current.map_or(start, |c| c.start)..end);
            }
        }
    }
    spans.extend(current);
    Ok(spans)
}

/// Parses one statement.
pub fn parse(text: &str) -> Result<Parsed> {
    let text = table_arguments(text)?;
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(&text)?;
    if let Some(ours) = ours(&mut parser)? {
        match parser.peek_token().token {
            Token::EOF => return Ok(ours),
            other => return plan_err!("{other} is one word too many at the end of the statement"),
        }
    }
    let mut statements = DFParser::parse_sql(&text)?;
    match (statements.pop_front(), statements.pop_front()) {
        (Some(one), None) => Ok(Parsed::DataFusion(Box::new(one))),
        (None, _) => plan_err!("there is no statement"),
        _ => plan_err!("more than one statement; end each with a semicolon"),
    }
}

/// Visits the queries of a statement.
pub fn visit<V: VisitorMut>(statement: &mut DfStatement, visitor: &mut V) -> ControlFlow<V::Break> {
    use datafusion::sql::parser::CopyToSource;
    match statement {
        DfStatement::Statement(statement) => statement.visit(visitor),
        DfStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(visitor),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        DfStatement::Explain(explain) => visit(&mut explain.statement, visitor),
        DfStatement::CreateExternalTable(_) | DfStatement::Reset(_) => ControlFlow::Continue(()),
    }
}

/// Rewrites `f(TABLE t, ...)`, which the parser does not know, to `f((SELECT * FROM t), ...)`.
fn table_arguments(text: &str) -> Result<String> {
    // doubled quotes stay doubled: tokens are written as they were read
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .with_unescape(false)
        .tokenize()
        .map_err(|e| DataFusionError::from(ParserError::from(e)))?;
    let mut out = String::with_capacity(text.len());
    let mut last = Token::EOF;
    let mut i = 0;
    let mut changed = false;
    while i < tokens.len() {
        let argument = matches!(last, Token::LParen | Token::Comma | Token::RArrow);
        if argument && word(&tokens[i], "TABLE") {
            let mut end = i + 1;
            while matches!(tokens.get(end), Some(Token::Whitespace(_))) {
                end += 1;
            }
            let start = end;
            while matches!(tokens.get(end), Some(Token::Word(_) | Token::Period)) {
                end += 1;
            }
            if end > start {
                out.push_str("(SELECT * FROM ");
                tokens[start..end]
                    .iter()
                    .for_each(|t| out.push_str(&t.to_string()));
                out.push(')');
                last = Token::RParen;
                i = end;
                changed = true;
                continue;
            }
        }
        out.push_str(&tokens[i].to_string());
        if !matches!(tokens[i], Token::Whitespace(_)) {
            last = tokens[i].clone();
        }
        i += 1;
    }
    // unchanged text keeps its places for error messages
    Ok(if changed { out } else { text.to_string() })
}

fn word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(wanted))
}

fn take(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let found = word(&parser.peek_token().token, wanted);
    if found {
        parser.next_token();
    }
    found
}

fn take_all(parser: &mut Parser<'_>, wanted: &[&str]) -> bool {
    let found = wanted
        .iter()
        .enumerate()
        .all(|(i, w)| word(&parser.peek_nth_token(i).token, w));
    if found {
        wanted.iter().for_each(|_| {
            parser.next_token();
        });
    }
    found
}

fn object(parser: &mut Parser<'_>) -> Option<Object> {
    if take(parser, "TRANSFORM") {
        Some(Object::Transform)
    } else if take(parser, "MODEL") {
        Some(Object::Model)
    } else {
        None
    }
}

/// Our statements are known by their first words.
fn ours(parser: &mut Parser<'_>) -> Result<Option<Parsed>> {
    let explain = word(&parser.peek_token().token, "EXPLAIN");
    let first = usize::from(explain);
    let at = |parser: &Parser<'_>, n: usize, wanted: &str| {
        word(&parser.peek_nth_token(first + n).token, wanted)
    };
    let is_object =
        |parser: &Parser<'_>, n: usize| at(parser, n, "TRANSFORM") || at(parser, n, "MODEL");
    if at(parser, 0, "CREATE") {
        let replace = at(parser, 1, "OR") && at(parser, 2, "REPLACE");
        if !is_object(parser, if replace { 3 } else { 1 }) {
            return Ok(None);
        }
        take(parser, "EXPLAIN");
        take(parser, "CREATE");
        take_all(parser, &["OR", "REPLACE"]);
        return create(parser, replace, explain).map(Some);
    }
    if explain {
        return Ok(None);
    }
    if at(parser, 0, "DROP") && is_object(parser, 1) {
        parser.next_token();
        let Some(object) = object(parser) else {
            return Ok(None);
        };
        let if_exists = take_all(parser, &["IF", "EXISTS"]);
        let name = name(parser)?;
        return Ok(Some(Parsed::Drop {
            object,
            name,
            if_exists,
        }));
    }
    if at(parser, 0, "SHOW") {
        for (plural, object) in [("TRANSFORMS", Object::Transform), ("MODELS", Object::Model)] {
            if at(parser, 1, plural) {
                take_all(parser, &["SHOW", plural]);
                return Ok(Some(Parsed::Show { object, name: None }));
            }
        }
        if is_object(parser, 1) {
            parser.next_token();
            let Some(object) = object(parser) else {
                return Ok(None);
            };
            let name = name(parser)?;
            if object == Object::Transform && take_all(parser, &["AS", "SQL"]) {
                return Ok(Some(Parsed::ShowSql { name }));
            }
            let name = Some(name);
            return Ok(Some(Parsed::Show { object, name }));
        }
    }
    if (at(parser, 0, "DESCRIBE") || at(parser, 0, "DESC")) && is_object(parser, 1) {
        parser.next_token();
        let Some(object) = object(parser) else {
            return Ok(None);
        };
        let name = name(parser)?;
        return Ok(Some(Parsed::Describe { object, name }));
    }
    if at(parser, 0, "EXPORT") {
        return export(parser).map(Some);
    }
    if at(parser, 0, "IMPORT") {
        return import(parser).map(|import| Some(Parsed::Import(import)));
    }
    if take(parser, "SUMMARIZE") {
        let query = if word(&parser.peek_token().token, "SELECT")
            || word(&parser.peek_token().token, "WITH")
            || parser.peek_token().token == Token::LParen
        {
            parser.parse_query()?
        } else {
            let table = parser.parse_object_name(false)?;
            Box::new(super::relation::parse_query(&format!(
                "SELECT * FROM {table}"
            ))?)
        };
        return Ok(Some(Parsed::Summarize(query)));
    }
    Ok(None)
}

/// `EXPORT TRANSFORM t TO 'file.json'`, `EXPORT MODEL m TO 'file'`, `EXPORT MODEL HISTORY m TO 'loss.svg'`.
fn export(parser: &mut Parser<'_>) -> Result<Parsed> {
    take(parser, "EXPORT");
    let Some(object) = object(parser) else {
        return plan_err!(
            "EXPORT is for transforms and models. Write EXPORT TRANSFORM t TO 'file.json', EXPORT MODEL m TO \
             'file.safetensors', or COPY (SELECT ...) TO 'file'"
        );
    };
    // a model may be called history
    let next_is_name = !word(&parser.peek_nth_token(1).token, "TO");
    let history = object == Object::Model && next_is_name && take(parser, "HISTORY");
    let name = name(parser)?;
    let (what, file) = match (object, history) {
        (Object::Transform, _) => ("TRANSFORM", "file.json"),
        (Object::Model, false) => ("MODEL", "file.safetensors"),
        (Object::Model, true) => ("MODEL HISTORY", "loss.svg"),
    };
    if !take(parser, "TO") {
        return plan_err!("EXPORT {what} {name}: write EXPORT {what} {name} TO '{file}'");
    }
    let path = parser.parse_literal_string()?;
    Ok(match history {
        true => Parsed::ExportHistory { name, path },
        false => Parsed::Export { object, name, path },
    })
}

/// `IMPORT [OR REPLACE] TRANSFORM | MODEL [IF NOT EXISTS] [name] FROM 'file'`.
fn import(parser: &mut Parser<'_>) -> Result<Import> {
    take(parser, "IMPORT");
    let or_replace = take_all(parser, &["OR", "REPLACE"]);
    let Some(object) = object(parser) else {
        return plan_err!(
            "IMPORT is for transforms and models. Write IMPORT TRANSFORM t FROM 'file.json', IMPORT MODEL m FROM \
             'file.safetensors', or CREATE TABLE t AS SELECT * FROM 'file'"
        );
    };
    let if_not_exists = take_all(parser, &["IF", "NOT", "EXISTS"]);
    let name = if word(&parser.peek_token().token, "FROM") {
        None
    } else {
        Some(name(parser)?)
    };
    if !take(parser, "FROM") {
        return match object {
            Object::Transform => {
                plan_err!("IMPORT TRANSFORM: write IMPORT TRANSFORM t FROM 'file.json'")
            }
            Object::Model => {
                plan_err!("IMPORT MODEL: write IMPORT MODEL m FROM 'file.safetensors'")
            }
        };
    }
    Ok(Import {
        object,
        name,
        path: parser.parse_literal_string()?,
        or_replace,
        if_not_exists,
    })
}

fn name(parser: &mut Parser<'_>) -> Result<String> {
    let ident = parser.parse_identifier()?;
    Ok(if ident.quote_style.is_some() {
        ident.value
    } else {
        ident.value.to_ascii_lowercase()
    })
}

fn create(parser: &mut Parser<'_>, or_replace: bool, explain: bool) -> Result<Parsed> {
    let Some(object) = object(parser) else {
        return plan_err!("CREATE TRANSFORM or CREATE MODEL expected");
    };
    let if_not_exists = take_all(parser, &["IF", "NOT", "EXISTS"]);
    let name = name(parser)?;
    if object == Object::Model {
        let create = create_model(parser, name, or_replace, if_not_exists)?;
        return Ok(Parsed::CreateModel { create, explain });
    }
    if !take(parser, "AS") {
        return plan_err!(
            "{} is not expected here. Write CREATE TRANSFORM {name} AS SELECT ...",
            parser.peek_token().token
        );
    }
    Ok(Parsed::CreateTransform(Create {
        name,
        or_replace,
        if_not_exists,
        query: parser.parse_query()?,
    }))
}

/// `[USING kind] [FROM model] [OPTIONS (...)] [AS query]`, the rest of a CREATE MODEL.
fn create_model(
    parser: &mut Parser<'_>,
    name: String,
    or_replace: bool,
    if_not_exists: bool,
) -> Result<CreateModel> {
    let kind = match take(parser, "USING") {
        true => Some(self::name(parser)?),
        false => None,
    };
    let base = match take(parser, "FROM") {
        true => Some(self::name(parser)?),
        false => None,
    };
    if kind.is_none() && base.is_none() {
        return plan_err!(
            "CREATE MODEL {name}: its kind is missing. Write CREATE MODEL {name} USING gan AS SELECT ..."
        );
    }
    let options = match take(parser, "OPTIONS") {
        true => self::options(parser, &name)?,
        false => Vec::new(),
    };
    let at_end = matches!(parser.peek_token().token, Token::EOF | Token::SemiColon);
    let query = if take(parser, "AS") {
        Some(parser.parse_query()?)
    } else if at_end && kind.is_none() {
        None
    } else {
        let begun = match (&kind, &base) {
            (Some(kind), Some(base)) => format!("USING {kind} FROM {base}"),
            (Some(kind), None) => format!("USING {kind}"),
            (None, base) => format!("FROM {}", base.as_deref().unwrap_or_default()),
        };
        return plan_err!(
            "{} is not expected here. Write CREATE MODEL {name} {begun} OPTIONS (...) AS SELECT ...",
            parser.peek_token().token
        );
    };
    Ok(CreateModel {
        name,
        or_replace,
        if_not_exists,
        kind,
        base,
        options,
        query,
    })
}

/// `(epochs 100, loss 'minimax', categorical ['a', 'b'])`: names and values as text.
fn options(parser: &mut Parser<'_>, model: &str) -> Result<Vec<(String, String)>> {
    let mut options = Vec::new();
    if parser.next_token().token != Token::LParen {
        return plan_err!("CREATE MODEL {model}: write OPTIONS (name value, ...)");
    }
    loop {
        match parser.peek_token().token {
            Token::RParen => {
                parser.next_token();
                return Ok(options);
            }
            Token::Comma => {
                parser.next_token();
                continue;
            }
            Token::EOF => {
                return plan_err!("CREATE MODEL {model}: OPTIONS ( is not closed");
            }
            _ => {}
        }
        let key = name(parser)?;
        if matches!(parser.peek_token().token, Token::Eq | Token::RArrow) {
            parser.next_token();
        }
        let mut depth = 0usize;
        let mut value = String::new();
        loop {
            match parser.peek_token().token {
                Token::EOF => break,
                Token::Comma | Token::RParen if depth == 0 => break,
                Token::LBracket | Token::LParen => depth += 1,
                Token::RBracket | Token::RParen => depth -= 1,
                _ => {}
            }
            match parser.next_token().token {
                Token::SingleQuotedString(text) if depth == 0 => value.push_str(&text),
                Token::Word(w) if w.quote_style.is_some() => value.push_str(&quoted(&w.value)),
                other => value.push_str(&other.to_string()),
            }
        }
        if value.is_empty() {
            return plan_err!("CREATE MODEL {model}: option {key} has no value");
        }
        options.push((key, value));
    }
}
