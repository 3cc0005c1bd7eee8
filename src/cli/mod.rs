//! The command line: arguments, running, the prompt, printing. It knows the library's public interface
//! and nothing behind it.

mod args;
mod complete;
mod dot;
mod errors;
mod functions;
mod highlight;
mod lexer;
mod looking;
mod names;
mod nearest;
mod output;
mod progress;
mod repl;
mod run;
mod session;
mod style;
mod variables;
mod width;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use seedbed::Options;
use seedbed::report::Request;

use args::{Action, Cli, Flags};
use output::{Format, Output};
use session::{Session, Stop, Talk, tell};

/// A statement failed.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// As a shell reports a program that Ctrl-C ended.
const CANCELLED: u8 = 130;

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    ExitCode::from(match start(cli) {
        Ok(code) | Err(code) => code,
    })
}

fn start(cli: Cli) -> Result<u8, u8> {
    if !cli.commands.is_empty() && cli.action.is_some() {
        return Err(usage("-c SQL runs alone, without a subcommand"));
    }
    let mut flags = cli.flags;
    let talk = Talk {
        quiet: flags.quiet,
        timing: flags.timing,
        memory: flags.timing,
    };
    match cli.action {
        Some(Action::Functions { markdown: true, .. }) => {
            let _ = std::io::stdout().write_all(functions::markdown().as_bytes());
            Ok(0)
        }
        Some(Action::Functions { name, .. }) => {
            let session = open(&flags, talk)?;
            let color = style::on_stdout();
            let text = functions::reference(session.seedbed.context(), name.as_deref(), color);
            match text {
                // A closed pipe has read enough.
                Ok(text) => {
                    let _ = std::io::stdout().write_all(text.as_bytes());
                    Ok(0)
                }
                Err(message) => {
                    tell(&format!("error: {message}"));
                    Err(FAILED)
                }
            }
        }
        Some(Action::Report {
            real,
            synthetic,
            holdout,
            target,
        }) => {
            let Some(path) = flags.output.take() else {
                return Err(usage("a report is a file: name it with -o report.html"));
            };
            let request = Request {
                real,
                synthetic,
                holdout,
                target,
            };
            let mut session = open(&flags, talk)?;
            match session.report(request, &path) {
                Ok(()) => Ok(0),
                Err(Stop::Cancelled) => Err(CANCELLED),
                Err(_) => Err(FAILED),
            }
        }
        Some(Action::Run { files, define }) => {
            let scripts = run::files(&files, define).map_err(|message| {
                tell(&message);
                USAGE
            })?;
            run_all(&flags, talk, &scripts)
        }
        None if !cli.commands.is_empty() => run_all(&flags, talk, &run::commands(cli.commands)),
        None if std::io::stdin().is_terminal() => {
            let session = open(
                &flags,
                Talk {
                    timing: true,
                    ..talk
                },
            )?;
            repl::run(session)
        }
        None => {
            let scripts = run::stdin().map_err(|message| {
                tell(&message);
                USAGE
            })?;
            run_all(&flags, talk, &scripts)
        }
    }
}

fn run_all(flags: &Flags, talk: Talk, scripts: &[run::Script]) -> Result<u8, u8> {
    let mut session = open(flags, talk)?;
    let ended = run::scripts(&mut session, scripts, flags.keep_going);
    // Those results are kept that are whole.
    let complete = ended.is_ok() || flags.keep_going && ended == Err(Stop::Failed);
    let closed = session.close(complete);
    if let Err(error) = closed {
        tell(&format!("error: {}", error.find_root().message()));
        return Err(FAILED);
    }
    match ended {
        Ok(()) | Err(Stop::ClosedPipe) => Ok(0),
        Err(Stop::Failed) => Err(FAILED),
        Err(Stop::Cancelled) => Err(CANCELLED),
    }
}

fn open(flags: &Flags, talk: Talk) -> Result<Session, u8> {
    if let Some(path) = flags
        .output
        .as_deref()
        .filter(|path| output::is_compressed(path))
    {
        return Err(usage(&format!(
            "results are written as they are, not compressed as {} would be: use COPY (SELECT ...) TO '{}'",
            path.display(),
            path.display()
        )));
    }
    let named = flags.output.as_deref().and_then(Format::of_file);
    let format = flags.format.or(named).unwrap_or(Format::Table);
    if format == Format::Parquet && flags.output.is_none() && std::io::stdout().is_terminal() {
        return Err(usage(
            "--format parquet is not for a terminal: name a file with -o FILE",
        ));
    }
    let fail = |error: datafusion::error::DataFusionError| {
        tell(&format!("error: {}", error.find_root().message()));
        FAILED
    };
    let output = match &flags.output {
        Some(path) => Output::file(format, flags.rows, path).map_err(fail)?,
        None => Output::stdout(format, flags.rows),
    };
    let options = Options {
        db: flags.db.clone(),
        threads: flags.threads,
        memory_limit: flags.memory_limit,
        seed: flags.seed,
        ..Options::default()
    };
    Session::open(options, output, talk).map_err(fail)
}

fn usage(message: &str) -> u8 {
    let error = Cli::command().error(clap::error::ErrorKind::ArgumentConflict, message);
    // Standard error may be closed.
    let _ = error.print();
    USAGE
}
