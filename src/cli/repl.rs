//! The prompt.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;

use etcetera::BaseStrategy;
use rustyline::completion::Pair;
use rustyline::config::{Behavior, CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper, Hinter};

use super::complete::Completer;
use super::dot::{self, Next, Settings};
use super::errors::Source;
use super::output::{Format, Output};
use super::session::{Session, tell};
use super::{highlight, lexer, names, style};

const PROMPT: &str = "❯ ";
const HISTORY: usize = 10_000;

/// What the line editor asks while a line is typed.
#[derive(Helper, Hinter)]
struct Assistant {
    completer: Completer,
    functions: HashSet<String>,
    color: bool,
}

impl rustyline::completion::Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(self.completer.complete(line, pos))
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.color {
            Cow::Owned(highlight::highlight(line, &self.functions))
        } else {
            Cow::Borrowed(line)
        }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.color && kind != CmdKind::MoveCursor
    }
}

impl Validator for Assistant {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = ctx.input();
        Ok(if dot::is_command(input) || lexer::is_complete(input) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

/// Reads and runs until Ctrl-D.
pub fn run(mut session: Session) -> Result<u8, u8> {
    let mut editor = editor(&session).map_err(|error| {
        tell(&format!("error: the prompt cannot start: {error}"));
        super::FAILED
    })?;
    let history = history_file();
    if let Some(path) = &history {
        // A first start has none.
        let _ = editor.load_history(path);
    }
    let mut settings = Settings {
        output: session.output.path().map(PathBuf::from),
    };
    session.pictures = Some(Default::default());
    back_to_screen(&mut session);
    session.say(&welcome());
    let styled = style::paint(
        style::on_stdout(),
        nu_ansi_term::Color::Green.bold(),
        PROMPT,
    );
    loop {
        match editor.readline(&(PROMPT, styled.as_str())) {
            Ok(line) => {
                if line.trim().is_empty() {
                    continue;
                }
                remember(&mut editor, line.trim_end(), history.as_ref());
                session.forget_interrupts();
                if run_line(&line, &mut session, &mut settings) == Next::Quit {
                    break;
                }
                if let Some(helper) = editor.helper() {
                    helper.completer.refresh();
                }
            }
            // Ctrl-C leaves the line, Ctrl-D the prompt.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => {
                tell(&format!("error: the prompt ended: {error}"));
                return Err(super::FAILED);
            }
        }
    }
    session.close(true).map_err(|error| {
        tell(&format!("error: {}", error.message()));
        super::FAILED
    })?;
    Ok(0)
}

fn run_line(line: &str, session: &mut Session, settings: &mut Settings) -> Next {
    if dot::is_command(line) && !line.trim_start().starts_with(".read") {
        return dot::run(line, session, settings);
    }
    session.output.restart();
    let format = session.output.format;
    if let Some(path) = &settings.output {
        // `.output t.csv` asks for CSV as `-o t.csv` does; what `.mode` says stays.
        let named = Format::of_file(path).unwrap_or(format);
        let opened = Output::file(named, session.output.rows, path)
            .and_then(|output| session.redirect(output));
        if let Err(error) = opened {
            tell(&format!("error: {}", error.message()));
            return Next::Go;
        }
    }
    let next = if dot::is_command(line) {
        dot::run(line, session, settings)
    } else {
        // What failed or was cancelled has been shown.
        let _ = session.run_text(&Source::new(None, line), false);
        Next::Go
    };
    if settings.output.is_some() {
        back_to_screen(session);
        session.output.format = format;
    }
    next
}

/// Completes the file of results, if they went to one.
fn back_to_screen(session: &mut Session) {
    let screen = Output::stdout(session.output.format, session.output.rows);
    if let Err(error) = session.redirect(screen) {
        tell(&format!("error: {}", error.message()));
    }
}

fn editor(session: &Session) -> rustyline::Result<Editor<Assistant, FileHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_space(true)
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        // `seedbed > file` still asks on the terminal.
        .behavior(Behavior::PreferTerm)
        .build();
    let mut editor = Editor::with_config(config)?;
    let seedbed = session.seedbed.clone();
    let functions = names::functions(seedbed.context()).into_iter().collect();
    editor.set_helper(Some(Assistant {
        completer: Completer::new(seedbed, session.handle()),
        functions,
        color: style::on_stdout(),
    }));
    Ok(editor)
}

/// Each statement is kept at once: a prompt that is killed loses nothing.
fn remember(editor: &mut Editor<Assistant, FileHistory>, line: &str, file: Option<&PathBuf>) {
    let added = editor.add_history_entry(line).unwrap_or(false);
    if let Some(path) = file.filter(|_| added) {
        // Without a place for it the history lives as long as the prompt.
        let _ = editor.append_history(path);
    }
}

fn history_file() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    let directory = strategy
        .state_dir()
        .unwrap_or_else(|| strategy.data_dir())
        .join("seedbed");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}

fn welcome() -> String {
    format!(
        "Seedbed {}. End a statement with ; and see .help",
        env!("CARGO_PKG_VERSION")
    )
}
