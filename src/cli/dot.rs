//! The prompt's own commands, which begin with a dot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use clap::ValueEnum;
use datafusion::common::Result;
use datafusion::logical_expr::TableType;

use super::errors::{Source, written};
use super::nearest::nearest;
use super::output::values::type_name;
use super::output::{Format, Output};
use super::session::{Session, tell};
use super::{functions, looking, names, run, style};

pub struct Command {
    pub name: &'static str,
    argument: &'static str,
    help: &'static str,
}

pub const COMMANDS: &[Command] = &[
    command(".help", "", "this list"),
    command(
        ".tables",
        "[WORD]",
        "the tables and views, or those with WORD in their name",
    ),
    command(".schema", "[TABLE]", "the columns of a table, or of all"),
    command(".functions", "[NAME]", "the functions, or what one does"),
    command(".models", "", "the models and transforms"),
    command(".read", "FILE", "runs the statements of a file"),
    command(
        ".mode",
        "[FORMAT]",
        "how results are written; .mode alone says how now",
    ),
    command(
        ".output",
        "[FILE]",
        "writes each result to a file; without FILE back to the screen",
    ),
    command(
        ".rows",
        "[N]",
        "rows of a table shown before its middle is cut",
    ),
    command(
        ".show",
        "[N]",
        "shows the pictures of the last result, or the first N",
    ),
    command(
        ".save",
        "FILE.png",
        "writes the pictures of the last result to a file, several as a grid",
    ),
    command(
        ".pictures",
        "[HOW]",
        "how pictures are shown; .pictures alone says how now",
    ),
    command(".timer", "on|off", "rows and time after each statement"),
    command(".quit", "", "ends; so does Ctrl-D"),
];

const fn command(name: &'static str, argument: &'static str, help: &'static str) -> Command {
    Command {
        name,
        argument,
        help,
    }
}

const NO_TABLES: &str = "there are no tables yet; a file is read by its name: FROM 'data.csv'\n";

/// What people of other shells type.
const ALIASES: &[(&str, &str)] = &[
    ("help", ".help"),
    ("help;", ".help"),
    ("quit", ".quit"),
    ("quit;", ".quit"),
    ("exit", ".quit"),
    ("exit;", ".quit"),
    (".exit", ".quit"),
    ("\\q", ".quit"),
    ("\\?", ".help"),
    ("\\h", ".help"),
    ("\\d", ".schema"),
    ("\\dt", ".tables"),
    ("\\df", ".functions"),
    ("\\i", ".read"),
    ("\\o", ".output"),
    ("\\timing", ".timer"),
];

/// What the prompt keeps between statements.
pub struct Settings {
    pub output: Option<PathBuf>,
}

#[derive(Debug, PartialEq)]
pub enum Next {
    Go,
    Quit,
}

pub fn formats() -> Vec<String> {
    Format::value_variants()
        .iter()
        .map(|format| format.name().to_string())
        .collect()
}

/// The words that are a command by themselves, without a dot.
pub fn is_command(line: &str) -> bool {
    let line = line.trim();
    line.starts_with(['.', '\\'])
        || ALIASES
            .iter()
            .any(|(alias, _)| line.eq_ignore_ascii_case(alias))
}

/// Runs a command; errors are shown.
pub fn run(line: &str, session: &mut Session, settings: &mut Settings) -> Next {
    // A semicolon is a habit, not a part of the command.
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, argument) = match line.split_once(char::is_whitespace) {
        Some((name, argument)) => (name, argument.trim()),
        None => (line, ""),
    };
    let name = ALIASES
        .iter()
        .find(|(alias, _)| name.eq_ignore_ascii_case(alias))
        .map_or(name, |(_, name)| name);
    let argument = argument
        .strip_prefix('\'')
        .and_then(|a| a.strip_suffix('\''))
        .unwrap_or(argument);
    if name == ".quit" {
        return Next::Quit;
    }
    if let Err(message) = command_run(name, argument, session, settings) {
        tell(&format!(
            "{} {message}",
            style::paint(style::on_stderr(), style::error(), "error:")
        ));
    }
    Next::Go
}

fn command_run(
    name: &str,
    argument: &str,
    session: &mut Session,
    settings: &mut Settings,
) -> Result<(), String> {
    match name {
        ".help" => put(session, &help()),
        ".tables" => tables(session, argument),
        ".schema" => schema(session, argument),
        ".functions" => {
            let wanted = (!argument.is_empty()).then_some(argument);
            let color = session.output.view().color;
            let text = functions::reference(session.seedbed.context(), wanted, color)?;
            put(session, &text)
        }
        ".models" => models(session),
        ".read" => read(session, argument),
        ".mode" => mode(session, argument),
        ".output" => {
            if argument.is_empty() {
                settings.output = None;
            } else {
                let path = PathBuf::from(argument);
                // Opened and dropped: what cannot be written is known now.
                Output::file(session.output.format, session.output.rows, &path)
                    .map_err(|error| error.message().to_string())?;
                settings.output = Some(path);
            }
            Ok(())
        }
        ".rows" => {
            if argument.is_empty() {
                return put(session, &format!("{}\n", session.output.rows));
            }
            session.output.rows = argument
                .parse()
                .map_err(|_| format!("'{argument}' is not a number of rows"))?;
            Ok(())
        }
        ".show" => looking::show(session, argument),
        ".save" => looking::save(session, argument),
        ".pictures" => looking::pictures(session, argument),
        ".timer" => {
            session.talk.timing = match argument {
                "" => !session.talk.timing,
                "on" => true,
                "off" => false,
                other => return Err(format!("'{other}': write .timer on or .timer off")),
            };
            Ok(())
        }
        other => Err(unknown(other)),
    }
}

fn unknown(name: &str) -> String {
    match nearest(name, COMMANDS.iter().map(|c| c.name)) {
        Some(near) => format!("there is no command {name}; did you mean {near}?"),
        None => format!("there is no command {name}; .help lists them"),
    }
}

fn help() -> String {
    let mut text = String::new();
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.argument);
        text.push_str(&format!("{call:<20}{}\n", command.help));
    }
    text.push_str(
        "\nA statement ends with ; and may take several lines. Tab completes, Ctrl-R searches the\n\
         history, Ctrl-C cancels what is running.\n",
    );
    text
}

pub fn put(session: &mut Session, text: &str) -> Result<(), String> {
    session
        .output
        .put(text.as_bytes())
        .map_err(|error| error.message().to_string())
}

/// A list in a box, whatever the format of results is.
fn show(session: &mut Session, columns: Vec<(&str, ArrayRef)>) -> Result<(), String> {
    let batch = RecordBatch::try_from_iter(columns).map_err(|error| error.to_string())?;
    let mut view = session.output.view();
    view.rows = usize::MAX;
    let text =
        super::output::table::render(&batch, view).map_err(|error| error.message().to_string())?;
    put(session, &text)
}

fn texts(values: Vec<String>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

/// A table's name, kind and columns.
type Table = (String, TableType, Vec<(String, String)>);

fn all_tables(session: &Session) -> Result<Vec<Table>, String> {
    let ctx = session.seedbed.context();
    let mut found = Vec::new();
    for name in names::tables(ctx) {
        let provider = session
            .handle()
            .block_on(seedbed_boundary::table_provider(
                ctx.clone(),
                datafusion::common::TableReference::bare(name.clone()),
            ))
            .map_err(|error| error.message().to_string())?;
        let columns = provider
            .schema()
            .fields()
            .iter()
            .map(|f| (f.name().clone(), type_name(f.data_type())))
            .collect();
        found.push((name, provider.table_type(), columns));
    }
    Ok(found)
}

fn tables(session: &mut Session, word: &str) -> Result<(), String> {
    let tables: Vec<Table> = all_tables(session)?
        .into_iter()
        .filter(|(name, ..)| name.to_lowercase().contains(&word.to_lowercase()))
        .collect();
    if tables.is_empty() {
        if word.is_empty() {
            return put(session, NO_TABLES);
        }
        return put(session, &format!("no table has '{word}' in its name\n"));
    }
    let kinds = tables
        .iter()
        .map(|(_, kind, _)| match kind {
            TableType::Base => "table".to_string(),
            TableType::View => "view".to_string(),
            TableType::Temporary => "temporary".to_string(),
        })
        .collect();
    let columns = UInt64Array::from_iter_values(tables.iter().map(|(_, _, c)| c.len() as u64));
    let names = tables.into_iter().map(|(name, ..)| name).collect();
    show(
        session,
        vec![
            ("name", texts(names)),
            ("kind", texts(kinds)),
            ("columns", Arc::new(columns)),
        ],
    )
}

fn schema(session: &mut Session, wanted: &str) -> Result<(), String> {
    let mut tables = all_tables(session)?;
    if tables.is_empty() && wanted.is_empty() {
        return put(session, NO_TABLES);
    }
    if !wanted.is_empty() {
        let name = wanted.trim_matches('"');
        let known: Vec<String> = tables.iter().map(|(name, ..)| name.clone()).collect();
        tables.retain(|(table, ..)| table == name || table.eq_ignore_ascii_case(wanted));
        if tables.is_empty() {
            return Err(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => {
                    format!("there is no table {name}; did you mean {}?", written(near))
                }
                None => format!("there is no table {name}; .tables lists them"),
            });
        }
    }
    let mut rows: [Vec<String>; 3] = Default::default();
    for (table, _, columns) in tables {
        for (column, type_name) in columns {
            rows[0].push(table.clone());
            rows[1].push(column);
            rows[2].push(type_name);
        }
    }
    let [table, column, types] = rows;
    let mut columns = vec![("column", texts(column)), ("type", texts(types))];
    if wanted.is_empty() {
        columns.insert(0, ("table", texts(table)));
    }
    show(session, columns)
}

fn models(session: &mut Session) -> Result<(), String> {
    for (title, sql) in [("models", "SHOW MODELS"), ("transforms", "SHOW TRANSFORMS")] {
        let batches = session
            .query(sql)
            .map_err(|error| error.find_root().message().to_string())?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows == 0 {
            put(session, &format!("no {title}\n"))?;
            continue;
        }
        put(session, &format!("{title}\n"))?;
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let view = session.output.view();
            let text = super::output::table::render(batch, view)
                .map_err(|error| error.message().to_string())?;
            put(session, &text)?;
        }
    }
    Ok(())
}

fn read(session: &mut Session, file: &str) -> Result<(), String> {
    if file.is_empty() {
        return Err("name a file: .read prepare.sql".to_string());
    }
    let text = run::read(Path::new(file))?;
    // What failed has been shown.
    let _ = session.run_text(&Source::new(Some(file), &text), false);
    Ok(())
}

fn mode(session: &mut Session, name: &str) -> Result<(), String> {
    if name.is_empty() {
        let name = session.output.format.name();
        return put(session, &format!("{name}\n"));
    }
    let formats = formats();
    match Format::from_str(name, true) {
        Ok(format) => {
            session.output.format = format;
            Ok(())
        }
        Err(_) => Err(match nearest(name, formats.iter().map(String::as_str)) {
            Some(near) => format!("there is no format {name}; did you mean {near}?"),
            None => format!(
                "there is no format {name}; use one of {}",
                formats.join(", ")
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_aliases() {
        assert!(is_command(".tables"));
        assert!(is_command("\\d people"));
        assert!(is_command(" EXIT "));
        assert!(!is_command("select 1;"));
        assert!(
            ALIASES
                .iter()
                .all(|(_, name)| COMMANDS.iter().any(|c| c.name == *name))
        );
        assert!(unknown(".tabels").contains(".tables"));
    }
}
