//! Colour, where the reader can see it: on a terminal, unless NO_COLOR is set or it is a dumb one.

use std::io::{self, IsTerminal};

use nu_ansi_term::{Color, Style};

fn wanted() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !no_color && !dumb
}

pub fn on_stdout() -> bool {
    wanted() && io::stdout().is_terminal()
}

pub fn on_stderr() -> bool {
    wanted() && io::stderr().is_terminal()
}

pub fn error() -> Style {
    Color::Red.bold()
}

pub fn help() -> Style {
    Color::Cyan.bold()
}

pub fn faint() -> Style {
    Style::new().dimmed()
}

pub fn strong() -> Style {
    Style::new().bold()
}

/// The text in a style, or plain.
pub fn paint(color: bool, style: Style, text: &str) -> String {
    if color {
        style.paint(text).to_string()
    } else {
        text.to_string()
    }
}
