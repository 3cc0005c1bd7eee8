//! Pictures on a terminal: by the protocol it understands, or as coloured half blocks.
//!
//! What a terminal understands is told by the environment it sets, never asked of it: an answer that does not come
//! would block the prompt.

mod base64;
mod blocks;
mod iterm;
mod kept;
mod kitty;
mod sixel;

use clap::ValueEnum;
use datafusion::common::Result;
use seedbed_udfs::images::picture::Picture;

pub use kept::Kept;

/// How pictures are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum How {
    /// As the terminal can.
    #[default]
    Auto,
    Kitty,
    Iterm,
    Sixel,
    /// Two pixels a character, in 24-bit colours.
    Blocks,
    Off,
}

impl How {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kitty => "kitty",
            Self::Iterm => "iterm",
            Self::Sixel => "sixel",
            Self::Blocks => "blocks",
            Self::Off => "off",
        }
    }

    /// What is done on a terminal whose environment `variable` looks up.
    pub fn on_terminal(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        match self {
            Self::Auto => detected(&variable),
            chosen => chosen,
        }
    }
}

fn detected(variable: &dyn Fn(&str) -> Option<String>) -> How {
    let set = |name| variable(name).is_some_and(|value| !value.is_empty());
    let of = |name| variable(name).unwrap_or_default();
    let (term, program) = (of("TERM"), of("TERM_PROGRAM"));
    // of characters colours alone make a picture
    let blocks = if set("NO_COLOR") {
        How::Off
    } else {
        How::Blocks
    };
    if term == "dumb" {
        return How::Off;
    }
    // a multiplexer keeps protocols from the terminal behind it
    if set("TMUX") || set("STY") || term.starts_with("tmux") || term.starts_with("screen") {
        return blocks;
    }
    let konsole = of("KONSOLE_VERSION").parse::<u32>().unwrap_or(0);
    let kitty = set("KITTY_WINDOW_ID") || term == "xterm-kitty" || konsole >= 220_400;
    if kitty || term == "xterm-ghostty" || program == "ghostty" {
        return How::Kitty;
    }
    let iterm = ["iTerm.app", "WezTerm", "mintty", "rio"].contains(&program.as_str());
    if iterm || of("LC_TERMINAL") == "iTerm2" {
        return How::Iterm;
    }
    let sixel = ["foot", "mlterm", "yaft", "contour"];
    if sixel.iter().any(|name| term.starts_with(name)) || term.ends_with("-sixel") {
        return How::Sixel;
    }
    blocks
}

/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;
/// The usual width of a character, in pixels.
const CELL: usize = 8;
/// The most pixels below each other, so that a picture and the prompt below it are seen together.
const HEIGHT: usize = 480;
/// The most half blocks below each other.
const BLOCKS: usize = 60;
/// Smaller pictures are enlarged.
const LEAST: usize = 160;

/// What to write to show a picture on a terminal of so many columns; nothing for those that show none.
pub fn drawn(how: How, picture: &Picture, columns: Option<usize>) -> Result<Vec<u8>> {
    let columns = columns.unwrap_or(COLUMNS);
    let pixels = (columns * CELL, HEIGHT);
    Ok(match how {
        How::Auto | How::Off => Vec::new(),
        How::Kitty => kitty::drawn(&picture.shown(pixels, LEAST)?.png()?),
        How::Iterm => iterm::drawn(&picture.shown(pixels, LEAST)?.png()?),
        How::Sixel => sixel::drawn(&picture.shown(pixels, LEAST)?),
        How::Blocks => blocks::drawn(&picture.shown((columns, BLOCKS), 0)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(variables: &[(&str, &str)]) -> How {
        let found = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| value.to_string())
        };
        assert_eq!(How::Sixel.on_terminal(found), How::Sixel);
        How::Auto.on_terminal(found)
    }

    #[test]
    fn terminals_are_known_by_their_variables() {
        assert_eq!(on(&[]), How::Blocks);
        assert_eq!(on(&[("TERM", "xterm-256color")]), How::Blocks);
        assert_eq!(on(&[("TERM", "dumb"), ("KITTY_WINDOW_ID", "1")]), How::Off);
        assert_eq!(on(&[("NO_COLOR", "1"), ("TERM", "xterm")]), How::Off);
        assert_eq!(on(&[("NO_COLOR", ""), ("TERM", "xterm")]), How::Blocks);
        assert_eq!(on(&[("NO_COLOR", "1"), ("TERM", "foot")]), How::Sixel);
        assert_eq!(on(&[("TERM", "xterm-kitty")]), How::Kitty);
        assert_eq!(on(&[("TERM_PROGRAM", "ghostty")]), How::Kitty);
        assert_eq!(on(&[("KONSOLE_VERSION", "220401")]), How::Kitty);
        assert_eq!(on(&[("KONSOLE_VERSION", "200000")]), How::Blocks);
        assert_eq!(on(&[("TERM_PROGRAM", "iTerm.app")]), How::Iterm);
        assert_eq!(on(&[("LC_TERMINAL", "iTerm2")]), How::Iterm);
        assert_eq!(
            on(&[("TERM", "tmux-256color"), ("LC_TERMINAL", "iTerm2")]),
            How::Blocks
        );
        assert_eq!(
            on(&[("TMUX", "/tmp/x"), ("KITTY_WINDOW_ID", "1")]),
            How::Blocks
        );
    }

    #[test]
    fn nothing_but_what_was_asked_for() {
        let picture = Picture::new(1, 1, vec![9]);
        assert_eq!(drawn(How::Off, &picture, None).unwrap(), b"");
        let shown = drawn(How::Blocks, &picture, Some(10)).unwrap();
        assert_eq!(shown, "\x1b[38;2;9;9;9m▀\x1b[0m\n".as_bytes());
        // small pictures are made larger
        let sixels = drawn(How::Sixel, &picture, Some(30)).unwrap();
        assert!(sixels.starts_with(b"\x1bPq\"1;1;160;160"));
        let narrow = drawn(How::Sixel, &picture, Some(5)).unwrap();
        assert!(narrow.starts_with(b"\x1bPq\"1;1;40;40"));
    }
}
