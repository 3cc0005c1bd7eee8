//! Statements from `-c`, files and standard input.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::errors::{self, Report, Source};
use super::session::{Session, Stop, tell};
use super::style;
use super::variables::{self, Expanded};

/// A text to run, read and with its variables replaced.
pub struct Script {
    name: Option<String>,
    /// As it stands in the file.
    file: String,
    expanded: Expanded,
}

impl Script {
    /// The text of `-c` or standard input, where `${` is nothing special.
    fn plain(name: Option<&str>, text: String) -> Self {
        Self {
            name: name.map(str::to_string),
            expanded: Expanded::plain(&text),
            file: text,
        }
    }

    fn source(&self) -> Source<'_> {
        Source {
            name: self.name.as_deref(),
            text: &self.expanded.text,
            line: Box::new(|at| self.expanded.line_in_file(&self.file, at)),
        }
    }
}

pub fn commands(commands: Vec<String>) -> Vec<Script> {
    commands
        .into_iter()
        .map(|sql| Script::plain(None, sql))
        .collect()
}

pub fn stdin() -> Result<Vec<Script>, String> {
    let text = read(Path::new("-"))?;
    Ok(vec![Script::plain(Some("standard input"), text)])
}

/// Reads all files before the first statement runs: a variable without a value in the last file is
/// known at once.
pub fn files(files: &[PathBuf], define: Vec<(String, String)>) -> Result<Vec<Script>, String> {
    let values: BTreeMap<String, String> = define.into_iter().collect();
    let mut scripts = Vec::with_capacity(files.len());
    for path in files {
        let file = read(path)?;
        let name = if path == Path::new("-") {
            "standard input".to_string()
        } else {
            path.display().to_string()
        };
        let expanded = variables::expand(&file, &values).map_err(|error| {
            let report = Report {
                message: error.message,
                place: Some(error.place),
                helps: vec![error.help],
            };
            let source = Source::new(Some(&name), &file);
            let text = errors::render(&report, &source, 0, style::on_stderr());
            text.trim_end().to_string()
        })?;
        scripts.push(Script {
            name: Some(name),
            file,
            expanded,
        });
    }
    for name in values.keys() {
        if !scripts.iter().any(|s| s.expanded.used.contains(name)) {
            tell(&format!("note: no file uses ${{{name}}}, given with -D"));
        }
    }
    Ok(scripts)
}

pub fn scripts(session: &mut Session, scripts: &[Script], keep_going: bool) -> Result<(), Stop> {
    let mut failed = false;
    for script in scripts {
        match session.run_text(&script.source(), keep_going) {
            Ok(()) => {}
            Err(Stop::Failed) if keep_going => failed = true,
            Err(stop) => return Err(stop),
        }
    }
    if failed { Err(Stop::Failed) } else { Ok(()) }
}

/// The text of a file, without a byte order mark.
pub fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("error: cannot read {}: {error}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        format!(
            "error: {} is not UTF-8: line {line} has another encoding",
            path.display()
        )
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_string(),
        None => text,
    })
}
