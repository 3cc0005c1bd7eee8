//! Splits SQL into tokens, as much as the prompt needs: it never fails, whatever has been typed so
//! far, and every byte of the text belongs to one token.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Space,
    Comment,
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes or backticks.
    QuotedName,
    Text,
    Number,
    Symbol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// In bytes from the beginning of the text.
    pub start: usize,
    /// A quote or a comment that is still open.
    pub open: bool,
}

impl Token<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment)
    }

    /// The name this token stands for, without its quotes.
    pub fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_string()),
            Kind::QuotedName => {
                let quote = self.text.get(..1)?;
                let inner = self.text.get(1..)?;
                let inner = inner.strip_suffix(quote).unwrap_or(inner);
                Some(inner.replace(&quote.repeat(2), quote))
            }
            _ => None,
        }
    }
}

pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        // E'it\'s' is the one kind of text where a backslash escapes a quote.
        let escapes = tokens
            .last()
            .is_some_and(|t| t.kind == Kind::Word && t.text.eq_ignore_ascii_case("e"));
        let (kind, length, open) = scan(rest, first, escapes);
        tokens.push(Token {
            kind,
            text: &rest[..length],
            start,
            open,
        });
        start += length;
    }
    tokens
}

/// True when Enter should run the text: its last statement has ended, or it is no SQL at all.
pub fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with(['.', '\\']) {
        return true;
    }
    let tokens = tokens(text);
    if tokens.last().is_some_and(|t| t.open) {
        return false;
    }
    match tokens.iter().rev().find(|t| !t.is_blank()) {
        Some(last) => last.text == ";",
        None => true,
    }
}

/// The first token of `rest`: its kind, its length in bytes and whether it is still open.
fn scan(rest: &str, first: char, escapes: bool) -> (Kind, usize, bool) {
    if let Some((length, open)) = comment(rest) {
        return (Kind::Comment, length, open);
    }
    match first {
        c if c.is_whitespace() => (Kind::Space, run(rest, char::is_whitespace), false),
        '\'' => {
            let (length, open) = quoted(rest, b'\'', escapes);
            (Kind::Text, length, open)
        }
        '"' | '`' => {
            let (length, open) = quoted(rest, rest.as_bytes()[0], false);
            (Kind::QuotedName, length, open)
        }
        '$' => match dollar_quoted(rest) {
            Some((length, open)) => (Kind::Text, length, open),
            None => (Kind::Symbol, 1, false),
        },
        c if c.is_ascii_digit() => (Kind::Number, number(rest), false),
        '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            (Kind::Number, number(rest), false)
        }
        c if c.is_alphabetic() || c == '_' => {
            let length = run(rest, |c| c.is_alphanumeric() || c == '_' || c == '$');
            (Kind::Word, length, false)
        }
        c => (Kind::Symbol, c.len_utf8(), false),
    }
}

fn run(rest: &str, belongs: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !belongs(c)).unwrap_or(rest.len())
}

fn number(rest: &str) -> usize {
    let mut previous = ' ';
    rest.find(|c: char| {
        let exponent_sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E');
        previous = c;
        !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || exponent_sign)
    })
    .unwrap_or(rest.len())
}

/// Quotes are ASCII, so bytes can be compared: no byte of another character equals one.
fn quoted(rest: &str, quote: u8, escapes: bool) -> (usize, bool) {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return (at + 1, false);
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    (bytes.len(), true)
}

/// The length of the comment that `rest` begins with, if it does, and whether it is still open.
pub fn comment(rest: &str) -> Option<(usize, bool)> {
    if rest.starts_with("--") {
        return Some((rest.find('\n').unwrap_or(rest.len()), false));
    }
    rest.starts_with("/*").then(|| block_comment(rest))
}

fn block_comment(rest: &str) -> (usize, bool) {
    let bytes = rest.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return (at, false);
            }
        } else {
            at += 1;
        }
    }
    (bytes.len(), true)
}

/// `$$ ... $$` and `$tag$ ... $tag$`.
fn dollar_quoted(rest: &str) -> Option<(usize, bool)> {
    let tag = run(&rest[1..], |c| c.is_alphanumeric() || c == '_');
    let opening = rest.get(..tag + 2)?;
    if !opening.ends_with('$') {
        return None;
    }
    match rest[opening.len()..].find(opening) {
        Some(at) => Some((opening.len() * 2 + at, false)),
        None => Some((rest.len(), true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        tokens(text)
            .into_iter()
            .filter(|t| t.kind != Kind::Space)
            .map(|t| (t.kind, t.text))
            .collect()
    }

    #[test]
    fn every_byte_belongs_to_a_token() {
        for text in [
            "select 'a''b', \"c\"\"d\", 1.5e-3, .5 -- x\n/* a /* b */ c */ é$1 $$ ; $$ ;",
            "'open",
            "/* open /* */",
            "$x$ open",
            "E'\\",
            "$",
        ] {
            let joined: String = tokens(text).iter().map(|t| t.text).collect();
            assert_eq!(joined, text);
        }
    }

    #[test]
    fn kinds_of_tokens() {
        assert_eq!(
            kinds("f(x_1, 1e-3)-'it''s'"),
            vec![
                (Kind::Word, "f"),
                (Kind::Symbol, "("),
                (Kind::Word, "x_1"),
                (Kind::Symbol, ","),
                (Kind::Number, "1e-3"),
                (Kind::Symbol, ")"),
                (Kind::Symbol, "-"),
                (Kind::Text, "'it''s'"),
            ]
        );
        assert_eq!(tokens("\"a\"\"b\"")[0].name().as_deref(), Some("a\"b"));
    }

    #[test]
    fn completeness() {
        for complete in [
            "",
            "  ",
            ".tables",
            "select 1;",
            "select 1; -- done",
            "select ';' ;",
            "-- only a remark",
            "select $$ ; $$;",
        ] {
            assert!(is_complete(complete), "{complete}");
        }
        for incomplete in [
            "select 1",
            "select ';",
            "select 1 -- ;",
            "select 1; /* ",
            "select 1; select 2",
            "select $$ ;",
            "select E'\\';",
        ] {
            assert!(!is_complete(incomplete), "{incomplete}");
        }
    }
}
