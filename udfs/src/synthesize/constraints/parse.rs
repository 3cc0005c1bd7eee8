//! The text of the option `constraints`: `(a <= b, combination (a, b), unique (a), pattern (a, 'C-#####'))`.

use std::iter::Peekable;
use std::vec::IntoIter;

use arrow::datatypes::Schema;
use datafusion_common::{Result, plan_err};

use crate::synthesize::nearest;

/// What holds in every row; columns by their index.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// `low <= high`, or `low < high`.
    AtMost {
        low: usize,
        high: usize,
        strict: bool,
    },
    /// Only combinations that the training rows have.
    Combination(Vec<usize>),
    /// No two rows have the same value.
    Unique(usize),
    /// A key of this form, no two the same.
    Pattern { column: usize, pattern: String },
}

const FORMS: &str = "write (a <= b, a < b, combination (a, b), unique (a), pattern (a, 'C-#####'))";

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name; whether it was quoted.
    Name(String, bool),
    Text(String),
    Symbol(&'static str),
}

/// Reads the constraints, whose columns must be in the schema.
pub fn parse(text: &str, schema: &Schema) -> Result<Vec<Constraint>> {
    let mut reader = Reader {
        tokens: tokens(text)?.into_iter().peekable(),
        schema,
    };
    let mut constraints = Vec::new();
    let bracketed = reader.take("(");
    while reader.tokens.peek().is_some() {
        if bracketed && reader.take(")") {
            break;
        }
        constraints.push(reader.constraint()?);
        if !reader.take(",") && reader.tokens.peek() != Some(&Token::Symbol(")")) {
            break;
        }
    }
    match reader.tokens.next() {
        None => Ok(constraints),
        Some(token) => plan_err!(
            "option constraints: {} is not expected; {FORMS}",
            shown(&token)
        ),
    }
}

struct Reader<'a> {
    tokens: Peekable<IntoIter<Token>>,
    schema: &'a Schema,
}

impl Reader<'_> {
    fn take(&mut self, symbol: &'static str) -> bool {
        self.tokens
            .next_if(|token| *token == Token::Symbol(symbol))
            .is_some()
    }

    fn constraint(&mut self) -> Result<Constraint> {
        let (name, quoted) = self.name()?;
        if !quoted && self.take("(") {
            return self.call(&name.to_lowercase());
        }
        let operator = match self.tokens.next() {
            Some(Token::Symbol(operator)) => operator,
            _ => "",
        };
        let first = self.column(&name, quoted)?;
        let (name, quoted) = match operator {
            "<=" | "<" | ">=" | ">" => self.name()?,
            _ => return plan_err!("option constraints: what holds for {name} is missing; {FORMS}"),
        };
        let second = self.column(&name, quoted)?;
        let (low, high) = match operator {
            "<=" | "<" => (first, second),
            _ => (second, first),
        };
        if low == high {
            return plan_err!("option constraints: column {name} is compared with itself");
        }
        Ok(Constraint::AtMost {
            low,
            high,
            strict: operator == "<" || operator == ">",
        })
    }

    /// What follows `name (`.
    fn call(&mut self, function: &str) -> Result<Constraint> {
        let (name, quoted) = self.name()?;
        let first = self.column(&name, quoted)?;
        let constraint = match function {
            "unique" => Constraint::Unique(first),
            "combination" => {
                let mut columns = vec![first];
                while self.take(",") {
                    let (name, quoted) = self.name()?;
                    let column = self.column(&name, quoted)?;
                    if columns.contains(&column) {
                        return plan_err!(
                            "option constraints: combination names column {name} twice"
                        );
                    }
                    columns.push(column);
                }
                if columns.len() < 2 {
                    return plan_err!(
                        "option constraints: a combination is of two columns or more; write combination ({name}, other)"
                    );
                }
                Constraint::Combination(columns)
            }
            "pattern" => {
                let pattern = match (self.take(","), self.tokens.next()) {
                    (true, Some(Token::Text(pattern))) => pattern,
                    _ => {
                        return plan_err!("option constraints: write pattern ({name}, 'C-#####')");
                    }
                };
                Constraint::Pattern {
                    column: first,
                    pattern,
                }
            }
            other => {
                let known = ["combination", "unique", "pattern"];
                return plan_err!(
                    "option constraints: there is no constraint {other}{}; {FORMS}",
                    nearest(other, known.into_iter())
                );
            }
        };
        if !self.take(")") {
            return plan_err!("option constraints: {function} (... is not closed; {FORMS}");
        }
        Ok(constraint)
    }

    fn name(&mut self) -> Result<(String, bool)> {
        match self.tokens.next() {
            Some(Token::Name(name, quoted)) => Ok((name, quoted)),
            Some(Token::Text(text)) => Ok((text, true)),
            Some(Token::Symbol(symbol)) => {
                plan_err!("option constraints: a column is expected, not {symbol}; {FORMS}")
            }
            None => plan_err!("option constraints: a column is missing; {FORMS}"),
        }
    }

    fn column(&self, name: &str, quoted: bool) -> Result<usize> {
        let fields = self.schema.fields();
        let exact = fields.iter().position(|field| field.name() == name);
        let found = exact.or_else(|| {
            let same = |known: &str| !quoted && known.eq_ignore_ascii_case(name);
            fields.iter().position(|field| same(field.name()))
        });
        match found {
            Some(column) => Ok(column),
            None => {
                let names = fields.iter().map(|field| field.name().as_str());
                plan_err!(
                    "option constraints: the training query has no column {name}{}",
                    nearest(name, names)
                )
            }
        }
    }
}

fn shown(token: &Token) -> &str {
    match token {
        Token::Name(text, _) | Token::Text(text) => text,
        Token::Symbol(symbol) => symbol,
    }
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let token = match letter {
            _ if letter.is_whitespace() => continue,
            '(' | '[' => Token::Symbol("("),
            ')' | ']' => Token::Symbol(")"),
            ',' => Token::Symbol(","),
            '<' if letters.next_if_eq(&'=').is_some() => Token::Symbol("<="),
            '<' => Token::Symbol("<"),
            '>' if letters.next_if_eq(&'=').is_some() => Token::Symbol(">="),
            '>' => Token::Symbol(">"),
            '\'' | '"' => {
                let mut inner = String::new();
                loop {
                    match letters.next() {
                        // A doubled quote stands for itself.
                        Some(next) if next == letter => match letters.next_if_eq(&letter) {
                            Some(_) => inner.push(letter),
                            None => break,
                        },
                        Some(next) => inner.push(next),
                        None => {
                            return plan_err!("option constraints: a quote is not closed; {FORMS}");
                        }
                    }
                }
                match letter {
                    '"' => Token::Name(inner, true),
                    _ => Token::Text(inner),
                }
            }
            _ if is_name(letter) => {
                let mut name = String::from(letter);
                while let Some(next) = letters.next_if(|next| is_name(*next)) {
                    name.push(next);
                }
                Token::Name(name, false)
            }
            other => return plan_err!("option constraints: {other} is not expected; {FORMS}"),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn schema() -> Schema {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        Schema::new(vec![field("a"), field("b"), field("C d"), field("unique")])
    }

    #[test]
    fn every_form_is_read() {
        let read = |text: &str| parse(text, &schema()).unwrap();
        let at_most = |low, high, strict| Constraint::AtMost { low, high, strict };
        assert_eq!(read(""), []);
        assert_eq!(read("()"), []);
        assert_eq!(read("A<=b"), [at_most(0, 1, false)]);
        assert_eq!(
            read("(a > \"C d\", unique (b))"),
            [at_most(2, 0, true), Constraint::Unique(1)]
        );
        assert_eq!(
            read("combination(a, 'C d'), pattern(b,'C-''#')"),
            [
                Constraint::Combination(vec![0, 2]),
                Constraint::Pattern {
                    column: 1,
                    pattern: "C-'#".to_string()
                }
            ]
        );
        assert_eq!(read("unique <= a"), [at_most(3, 0, false)]);
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, says) in [
            ("a <= bb", "no column bb"),
            ("a", "what holds for a is missing"),
            ("a <= 3x", "no column 3x"),
            ("a <= a", "with itself"),
            ("uniq (a)", "did you mean unique?"),
            ("combination (a)", "two columns or more"),
            ("combination (a, a)", "twice"),
            ("pattern (a)", "write pattern (a, 'C-#####')"),
            ("pattern (a, 'x'", "not closed"),
            ("unique (a) b", "b is not expected"),
            ("a ! b", "! is not expected"),
            ("'a", "a quote is not closed"),
            ("(a <= b", ""),
        ] {
            match parse(text, &schema()) {
                Err(error) => assert!(error.to_string().contains(says), "{text}: {error}"),
                Ok(read) => assert!(says.is_empty(), "{text}: {read:?}"),
            }
        }
    }
}
