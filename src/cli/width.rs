//! How many columns of a terminal a text takes, and texts cut to fit.

/// What stands for what was cut.
pub const CUT: &str = "…";

/// Columns of a terminal that `c` takes: two for East Asian wide characters and emoji, none for marks
/// that combine with the character before.
fn of_char(c: char) -> usize {
    match u32::from(c) {
        0x20..0x7f => 1,
        0x300..0x370
        | 0x483..0x48a
        | 0x591..0x5be
        | 0x610..0x61b
        | 0x64b..0x660
        | 0x1ab0..0x1b00
        | 0x1dc0..0x1e00
        | 0x200b..0x2010
        | 0x20d0..0x2100
        | 0xfe00..0xfe10
        | 0xfe20..0xfe30
        | 0xe0100..0xe01f0 => 0,
        0x1100..0x1160
        | 0x2e80..0x303f
        | 0x3041..0xa4d0
        | 0xac00..0xd7a4
        | 0xf900..0xfb00
        | 0xfe30..0xfe70
        | 0xff00..0xff61
        | 0xffe0..0xffe7
        | 0x1f300..0x1f650
        | 0x1f680..0x1f700
        | 0x1f900..0x1fa00
        | 0x1fa70..0x1fb00
        | 0x20000..0x3fffe => 2,
        _ => 1,
    }
}

pub fn of(text: &str) -> usize {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.len();
    }
    text.chars().map(of_char).sum()
}

/// The text, or its beginning and `…` when it is wider than `width`.
pub fn cut(text: &str, width: usize) -> String {
    if of(text) <= width {
        return text.to_string();
    }
    let mut left = width.saturating_sub(1);
    let mut short = String::with_capacity(width + CUT.len());
    for c in text.chars() {
        let Some(rest) = left.checked_sub(of_char(c)) else {
            break;
        };
        left = rest;
        short.push(c);
    }
    if width > 0 {
        short.push_str(CUT);
    }
    short
}

/// Control characters as their escapes, so that data can neither break a line nor drive the terminal.
pub fn visible(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_string();
    }
    text.chars()
        .flat_map(|c| {
            let escape: Box<dyn Iterator<Item = char>> = if c.is_control() {
                Box::new(c.escape_default())
            } else {
                Box::new(std::iter::once(c))
            };
            escape
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths() {
        assert_eq!(of("abc"), 3);
        assert_eq!(of("日本"), 4);
        assert_eq!(of("e\u{301}"), 1);
        assert_eq!(of("é…"), 2);
    }

    #[test]
    fn cutting() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 1), "…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn controls_are_shown() {
        assert_eq!(visible("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(visible("plain é"), "plain é");
    }
}
