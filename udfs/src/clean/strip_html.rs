//! `strip_html(x)`.

use std::collections::HashMap;
use std::sync::LazyLock;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};

use super::text::change_texts;
use crate::arrays::text_type;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "strip_html",
    stage: Stage::Clean,
    kind: Kind::RowWise,
    summary: "The text of a piece of HTML: without tags, comments, scripts and styles, character references decoded.",
    params: &[Param::data(
        "x",
        "text. Between blocks (paragraphs, headings, list items, cells, <br>) comes one line break; a '<' that begins no tag stays",
    )],
    variadic: false,
    examples: &[Example {
        sql: "SELECT strip_html('<b>Fish</b> &amp; chips'), strip_html('1 < 2'), \
              strip_html('<p>one</p><p title=\">\">two<!-- x --></p>') = E'one\\ntwo'",
        result: "Fish & chips,1 < 2,true",
    }],
    source: "tokenization and named character references of the HTML Standard",
    also: &["html.parser.HTMLParser", "bs4.BeautifulSoup.get_text"],
};

/// Elements before and after which a line ends.
const BLOCKS: [&str; 51] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hgroup",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "search",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "title",
    "tr",
    "ul",
];

/// What the references of U+0080 to U+009F mean: the characters of Windows-1252.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The longest name of a reference, without its semicolon.
const LONGEST: usize = 31;

/// Named references, some without the semicolon: a name and its code points in each line of the file.
static NAMED: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let code = |hex| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
    include_str!("entities.txt")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, codes)| (name, codes.split(' ').filter_map(code).collect()))
        .collect()
});

#[derive(Debug)]
pub struct StripHtml;

impl RowWise for StripHtml {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![text_type(&SPEC, "x", &types[0])?])
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let plain = |text: &str| !text.bytes().any(|b| b == b'<' || b == b'&');
        change_texts(args, plain, strip)
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }
}

/// The text that is gathered, and whether a line is to end before what comes next.
struct Lines<'a> {
    out: &'a mut String,
    ended: bool,
}

impl Lines<'_> {
    fn push(&mut self, text: &str) {
        if !self.ended {
            return decode(text, self.out);
        }
        let text = text.trim_start_matches(is_blank);
        if !text.is_empty() {
            if !self.out.is_empty() {
                self.out.push('\n');
            }
            self.ended = false;
            decode(text, self.out);
        }
    }

    fn end(&mut self) {
        let kept = self.out.trim_end_matches(is_blank).len();
        self.out.truncate(kept);
        self.ended = true;
    }
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

fn strip(html: &str, out: &mut String) {
    let mut lines = Lines { out, ended: false };
    let mut rest = html;
    while let Some(at) = next_markup(rest) {
        lines.push(&rest[..at]);
        let markup = &rest[at + 1..];
        let name = tag_name(markup);
        rest = match markup.as_bytes().first() {
            Some(b'!' | b'?') => after_comment(markup),
            Some(b'/') if name.is_empty() => after(markup, ">"),
            _ => after_tag(markup),
        };
        if BLOCKS.iter().any(|block| block.eq_ignore_ascii_case(name)) {
            lines.end();
        }
        if markup.starts_with('/') {
            continue;
        }
        let is = |element: &str| element.eq_ignore_ascii_case(name);
        if is("script") || is("style") {
            rest = &rest[closing(rest, name)..];
        } else if is("title") || is("textarea") {
            let (text, tail) = rest.split_at(closing(rest, name));
            lines.push(text);
            rest = tail;
        }
    }
    lines.push(rest);
}

/// Where the next tag or comment begins: at a `<` before a letter, `/` and a letter or anything but the end,
/// `!` or `?`.
fn next_markup(html: &str) -> Option<usize> {
    let bytes = html.as_bytes();
    let mut from = 0;
    while let Some(at) = html[from..].find('<') {
        let at = from + at;
        match (bytes.get(at + 1), bytes.get(at + 2)) {
            (Some(b'!' | b'?'), _) | (Some(b'/'), Some(_)) => return Some(at),
            (Some(c), _) if c.is_ascii_alphabetic() => return Some(at),
            _ => from = at + 1,
        }
    }
    None
}

/// The name of a tag, from what follows its `<`; empty if this is none.
fn tag_name(markup: &str) -> &str {
    let name = markup.strip_prefix('/').unwrap_or(markup);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return "";
    }
    let end = name.find(|c: char| is_blank(c) || c == '/' || c == '>');
    &name[..end.unwrap_or(name.len())]
}

/// What follows the first `end`; nothing if there is none.
fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// What follows a comment, from what follows its `<`.
fn after_comment(markup: &str) -> &str {
    let Some(comment) = markup.strip_prefix("!--") else {
        return after(markup, ">");
    };
    for empty in [">", "->"] {
        if let Some(rest) = comment.strip_prefix(empty) {
            return rest;
        }
    }
    let ends = ["-->", "--!>"].map(|end| comment.find(end).map(|at| at + end.len()));
    match ends.into_iter().flatten().min() {
        Some(end) => &comment[end..],
        None => "",
    }
}

/// What follows a tag, from what follows its `<`: a `>` in a quoted value does not end it.
fn after_tag(markup: &str) -> &str {
    let mut rest = &markup[markup.starts_with('/').into()..];
    rest = &rest[tag_name(rest).len()..];
    loop {
        rest = rest.trim_start_matches(|c: char| is_blank(c) || c == '/');
        let mut chars = rest.chars();
        match chars.next() {
            None => return "",
            Some('>') => return chars.as_str(),
            Some(_) => {}
        }
        // a '=' here begins the name of an attribute
        let end = chars
            .as_str()
            .find(|c: char| is_blank(c) || matches!(c, '/' | '>' | '='));
        rest = end.map_or("", |end| &chars.as_str()[end..]);
        let Some(value) = rest.trim_start_matches(is_blank).strip_prefix('=') else {
            continue;
        };
        let value = value.trim_start_matches(is_blank);
        rest = match value.chars().next() {
            Some('"') => after(&value[1..], "\""),
            Some('\'') => after(&value[1..], "'"),
            _ => {
                let end = value.find(|c: char| is_blank(c) || c == '>');
                end.map_or("", |end| &value[end..])
            }
        };
    }
}

/// Where the tag begins that closes an element without elements in it, or the end.
fn closing(html: &str, name: &str) -> usize {
    let mut from = 0;
    while let Some(at) = html[from..].find("</") {
        let at = from + at;
        let tag = &html[at + 1..];
        if tag_name(tag).eq_ignore_ascii_case(name) {
            return at;
        }
        from = at + 2;
    }
    html.len()
}

/// Text with its character references decoded.
fn decode(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once('&') {
        out.push_str(before);
        let taken = match reference.strip_prefix('#') {
            Some(number) => numbered(number, out).map(|taken| taken + 1),
            None => named(reference, out),
        };
        if taken.is_none() {
            out.push('&');
        }
        rest = &reference[taken.unwrap_or(0)..];
    }
    out.push_str(rest);
}

/// Decodes a numeric reference; how long it was after `#`.
fn numbered(number: &str, out: &mut String) -> Option<usize> {
    let hex = number.starts_with(['x', 'X']);
    let (radix, digits) = if hex {
        (16, &number[1..])
    } else {
        (10, number)
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    if end == 0 {
        return None;
    }
    let code = digits[..end].chars().fold(0u32, |code, digit| {
        let digit = digit.to_digit(radix).unwrap_or(0);
        code.saturating_mul(radix).saturating_add(digit)
    });
    out.push(match code {
        0 => char::REPLACEMENT_CHARACTER,
        0x80..=0x9f => WINDOWS[(code - 0x80) as usize],
        code => char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
    });
    let semicolon = digits[end..].starts_with(';');
    Some(usize::from(hex) + end + usize::from(semicolon))
}

/// Decodes the longest name that a text begins with; how long it was.
fn named(text: &str, out: &mut String) -> Option<usize> {
    let bytes = text.as_bytes();
    let name = bytes
        .iter()
        .take(LONGEST)
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    let semicolon = bytes.get(name) == Some(&b';');
    let longest = name + usize::from(semicolon);
    let (length, decoded) = (2..=longest)
        .rev()
        .find_map(|length| NAMED.get(&text[..length]).map(|found| (length, found)))?;
    out.push_str(decoded);
    Some(length)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;
    use crate::testing::{call, constant, empty, error, null, text_forms};

    #[test]
    fn markup() {
        for (html, expected) in [
            ("<b>bold</b> and <i>it</i>", "bold and it"),
            ("a <br> b<br/>c<BR>", "a\nb\nc"),
            ("<p>one</p>\n\n<p>two</p>", "one\ntwo"),
            ("<ul><li>a</li><li>b</li></ul>c", "a\nb\nc"),
            ("<table><tr><td>1</td><td>2</td></tr></table>", "1\n2"),
            ("a<!-- <b> -- > -->b<!-->c<!--->d<!-- x --!>e", "abcde"),
            ("<!DOCTYPE html>x<?php echo ?>y</>z</ b>", "xyz"),
            ("<a title=\"a > b\" href='>' x=>link</a>", "link"),
            ("<a =\">b", "b"),
            ("<a title = '>' >b", "b"),
            ("1 < 2 <3 <", "1 < 2 <3 <"),
            ("a </", "a </"),
            ("x <a href", "x "),
            ("a<!-- open", "a"),
            ("a<script>if (a<b) { '</p>' }</Script >b", "ab"),
            ("<style>p > b {}</style>x<script>open", "x"),
            ("<title>a <b> &amp; c</title>d", "a <b> & c\nd"),
            ("<my-tag é='ü'>ö</my-tag>", "ö"),
            ("<é>", "<é>"),
            ("  kept  <i> </i> ", "  kept    "),
        ] {
            let mut out = String::new();
            strip(html, &mut out);
            assert_eq!(out, expected, "{html:?}");
        }
    }

    #[test]
    fn references() {
        for (text, expected) in [
            ("&lt;b&gt; &quot;&apos;&nbsp;", "<b> \"'\u{a0}"),
            ("&amp &ampx; &am; &", "& &x; &am; &"),
            ("&notit; &notin; &copy2", "¬it; ∉ ©2"),
            ("&amp;lt;", "&lt;"),
            ("&#65;&#x41;&#X41;&#65 &#x41g", "AAAA Ag"),
            ("&#; &#x; &#xg;", "&#; &#x; &#xg;"),
            ("&#0;&#xD800;&#99999999999;", "\u{fffd}\u{fffd}\u{fffd}"),
            ("&#150;&#x80;", "–€"),
            ("&CounterClockwiseContourIntegral;", "∳"),
            ("&NotEqualTilde;", "≂\u{338}"),
            ("&é &&amp;", "&é &&"),
        ] {
            let mut out = String::new();
            decode(text, &mut out);
            assert_eq!(out, expected, "{text:?}");
        }
        assert_eq!(NAMED.len(), 2231);
        assert!(NAMED.values().all(|v| (1..=2).contains(&v.chars().count())));
    }

    #[test]
    fn any_piece_of_html_will_do() {
        let html = "<p a='b'>é&amp;<!-- x --></p><script>ß</script><title>t</title>&#x41;";
        for (from, _) in html.char_indices() {
            for (to, _) in html.char_indices().filter(|(to, _)| *to >= from) {
                let mut out = String::new();
                strip(&html[from..to], &mut out);
                assert!(out.len() <= to - from);
            }
        }
    }

    #[test]
    fn all_forms_of_text_agree() -> Result<()> {
        for form in text_forms(&[Some("<b>a</b>"), None, Some("plain"), Some("")]) {
            let result = call(StripHtml, &[form])?;
            let result: Vec<_> = result.as_string_view().iter().collect();
            assert_eq!(result, [Some("a"), None, Some("plain"), Some("")]);
        }
        assert!(call(StripHtml, &[empty(&DataType::Utf8)])?.is_empty());
        assert_eq!(call(StripHtml, &[null()])?.null_count(), 1);
        let message = error(call(StripHtml, &[constant(1)]));
        assert!(message.contains("x must be text"), "{message}");
        Ok(())
    }
}
