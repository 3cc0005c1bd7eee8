//! The bar of a statement that takes longer than a second. It stands on standard error, and only if
//! that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use comfy_table::Table;
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use seedbed::session::{Progress, Snapshot, Unit};

use super::output::values::count;
use super::width;

/// A statement that is done sooner shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// An estimate from less than this is a guess.
const KNOWN_SHARE: f64 = 0.01;

const WITH_TOTAL: &str = "{prefix} {bar:24.green/black.bright} {msg}";
const WITHOUT_TOTAL: &str = "{spinner:.green} {prefix} {msg}";
/// What the templates take beside prefix and message.
const BESIDE: usize = 24 + 2;
/// Room for the terminal's echo of Ctrl-C: on a full line it would move the cursor to the next one, and
/// the bar could not be taken away.
const ECHO: u16 = 3;

pub struct Bar {
    started: Instant,
    /// When the task at hand began: the time left is that of the task.
    task_started: Instant,
    task: String,
    bar: Option<ProgressBar>,
    with_total: bool,
    enabled: bool,
}

impl Bar {
    pub fn new(quiet: bool) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            task_started: now,
            task: String::new(),
            bar: None,
            with_total: false,
            enabled: !quiet && io::stderr().is_terminal(),
        }
    }

    /// Draws where things stand; to be called a few times a second.
    pub fn tick(&mut self, progress: &Progress) {
        if !self.enabled {
            return;
        }
        let snapshot = progress.snapshot();
        if snapshot.task != self.task {
            self.task.clone_from(&snapshot.task);
            self.task_started = Instant::now();
        }
        if self.started.elapsed() < PATIENCE {
            return;
        }
        let total = snapshot.total.filter(|total| *total > 0);
        let bar = self.bar.get_or_insert_with(|| {
            ProgressBar::with_draw_target(None, target()).with_style(style(WITHOUT_TOTAL))
        });
        if total.is_some() != self.with_total {
            self.with_total = total.is_some();
            bar.set_style(style(if self.with_total {
                WITH_TOTAL
            } else {
                WITHOUT_TOTAL
            }));
        }
        let task = if snapshot.task.is_empty() {
            "running"
        } else {
            &snapshot.task
        };
        let room = usize::from(line_width()).saturating_sub(BESIDE);
        let task = width::cut(&width::visible(task), room / 2);
        let message = message(
            &snapshot,
            self.started.elapsed(),
            self.task_started.elapsed(),
        );
        bar.set_message(width::cut(&message, room - width::of(&task)));
        bar.set_prefix(task);
        if let Some(total) = total {
            bar.set_length(total);
            bar.set_position(snapshot.done.min(total));
        }
        bar.tick();
    }

    /// Takes the bar away: something else is to be written.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.with_total = false;
    }

    /// Shows nothing from now on.
    pub fn end(&mut self) {
        self.clear();
        self.enabled = false;
    }
}

/// The columns of the terminal that the bar may take.
fn line_width() -> u16 {
    let width = Table::new().use_stderr().width().filter(|w| *w > 0);
    width.unwrap_or(80).saturating_sub(ECHO)
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::term_like_with_hz(Box::new(Terminal), 10)
}

/// Standard error, a little narrower than it is.
#[derive(Debug)]
struct Terminal;

impl Terminal {
    fn put(text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }

    /// Moves the cursor; by 0 the terminal would move it by 1.
    fn go(n: usize, direction: char) -> io::Result<()> {
        if n == 0 {
            return Ok(());
        }
        Self::put(&format!("\u{1b}[{n}{direction}"))
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        line_width()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        Self::go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        Self::go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        Self::go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        Self::go(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        Self::put(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        Self::put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        Self::put("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━╌")
}

/// What stands beside the bar.
fn message(snapshot: &Snapshot, elapsed: Duration, task_elapsed: Duration) -> String {
    let amount = |n: u64| match snapshot.unit {
        Unit::Bytes => DecimalBytes(n).to_string(),
        Unit::Rows | Unit::Epochs => count(n),
    };
    let unit = match snapshot.unit {
        Unit::Rows => " rows",
        Unit::Bytes => "",
        Unit::Epochs => " epochs",
    };
    let mut parts = Vec::new();
    match snapshot.total.filter(|total| *total > 0) {
        Some(total) => {
            let share = (snapshot.done as f64 / total as f64).min(1.0);
            parts.push(format!("{:.0} %", share * 100.0));
            parts.push(format!(
                "{} of {}{unit}",
                amount(snapshot.done),
                amount(total)
            ));
            match time_left(share, task_elapsed) {
                Some(left) => parts.push(format!("{} left", duration(left))),
                None => parts.push(duration(elapsed)),
            }
        }
        None => {
            if snapshot.done > 0 {
                parts.push(format!("{}{unit}", amount(snapshot.done)));
            }
            parts.push(duration(elapsed));
        }
    }
    if !snapshot.detail.is_empty() {
        parts.push(snapshot.detail.clone());
    }
    parts.join("  ")
}

fn time_left(share: f64, elapsed: Duration) -> Option<Duration> {
    (share >= KNOWN_SHARE).then(|| elapsed.mul_f64((1.0 - share) / share))
}

/// `42 ms`, `1.5 s`, `12 s`, `3 min 5 s`, `2 h 10 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds == 0 {
        format!("{} ms", time.as_millis())
    } else if seconds < 10 {
        format!("{:.1} s", time.as_secs_f64())
    } else if seconds < 60 {
        format!("{seconds} s")
    } else if seconds < 3600 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {} min", seconds / 3600, seconds % 3600 / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration(Duration::from_millis(42)), "42 ms");
        assert_eq!(duration(Duration::from_millis(1549)), "1.5 s");
        assert_eq!(duration(Duration::from_secs(12)), "12 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 5 s");
        assert_eq!(duration(Duration::from_secs(7800)), "2 h 10 min");
    }

    #[test]
    fn messages() {
        let snapshot = Snapshot {
            task: "training people".to_string(),
            unit: Unit::Epochs,
            done: 25,
            total: Some(100),
            detail: "loss 0.30 / 0.71".to_string(),
        };
        let second = Duration::from_secs(1);
        assert_eq!(
            message(&snapshot, 20 * second, 10 * second),
            "25 %  25 of 100 epochs  30 s left  loss 0.30 / 0.71"
        );
        let unknown = Snapshot {
            done: 12_345,
            ..Snapshot::default()
        };
        assert_eq!(message(&unknown, 12 * second, second), "12,345 rows  12 s");
    }
}
