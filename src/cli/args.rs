//! The flags and subcommands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::output::Format;

const EXAMPLES: &str = "\
Examples:
  seedbed                                      the prompt
  seedbed -c \"SELECT * FROM 'train.csv'\"       one statement
  seedbed run prepare.sql -D seed=7            a saved pipeline, with ${seed} in it
  seedbed run prepare.sql --db work            what it makes stays in the directory work
  seedbed -c \"FROM t\" --format csv -o t.csv    a result as a file
  seedbed functions standard_scale             what a function does
  seedbed report train.parquet synthetic.parquet -o report.html
                                               how good synthetic rows are, to look at

Exit codes: 0 all went well, 1 a statement failed, 2 wrong usage, 130 cancelled.";

/// Prepares training data in SQL.
#[derive(Debug, Parser)]
#[command(
    name = "seedbed",
    version,
    about = "Prepares training data in SQL: load, clean, encode, split, balance, synthesise.",
    after_help = EXAMPLES,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Runs SQL and ends; may be given several times
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub commands: Vec<String>,

    #[command(flatten)]
    pub flags: Flags,

    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What every way of running takes.
#[derive(Debug, Args)]
pub struct Flags {
    /// Keeps tables, views, transforms and models in this directory
    #[arg(long, global = true, value_name = "DIR")]
    pub db: Option<PathBuf>,

    /// Partitions run at once [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,

    /// Memory for queries, as 4GB or 512MiB [default: 80 % of the machine's]
    #[arg(long, global = true, value_name = "SIZE", value_parser = seedbed::session::parse_size)]
    pub memory_limit: Option<usize>,

    /// Seed of every function and model that is given none [default: 0]
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,

    /// How results are written [default: table, or what the name given to -o ends in]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Writes results to a file, which appears under its name only when complete
    #[arg(short = 'o', long, global = true, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Rows of a table shown before its middle is cut
    #[arg(long, global = true, value_name = "N", default_value_t = 40)]
    pub rows: usize,

    /// Goes on after a statement that fails
    #[arg(long, global = true)]
    pub keep_going: bool,

    /// Prints nothing but results and errors
    #[arg(short = 'q', long, global = true)]
    pub quiet: bool,

    /// Prints rows, time and peak memory of each statement
    #[arg(long, global = true)]
    pub timing: bool,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Runs files of SQL
    Run {
        /// The files, in order; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,

        /// Gives `${NAME}` in the files a value
        #[arg(short = 'D', long = "define", value_name = "NAME=VALUE", value_parser = parse_define)]
        define: Vec<(String, String)>,
    },
    /// Lists the functions, or explains one
    Functions {
        /// A function, or its name in scikit-learn, pandas and others
        name: Option<String>,

        /// Prints the reference of all of Seedbed's functions in Markdown
        #[arg(long, conflicts_with = "name")]
        markdown: bool,
    },
    /// Writes a page on how good synthetic rows are, to the file that -o names
    Report {
        /// The rows that were learnt from: a file, or a table of --db
        #[arg(value_name = "REAL")]
        real: String,

        /// The synthetic rows
        #[arg(value_name = "SYNTHETIC")]
        synthetic: String,

        /// Real rows that were not learnt from, to judge models and privacy by
        #[arg(long, value_name = "FILE")]
        holdout: Option<String>,

        /// The column that models are to predict
        #[arg(long, value_name = "COLUMN")]
        target: Option<String>,
    },
}

fn parse_define(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("write it as {text}=VALUE"))?;
    if !super::variables::is_name(name) {
        return Err(format!(
            "'{name}' is not a name: use letters, digits and underscores"
        ));
    }
    Ok((name.to_string(), value.to_string()))
}

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_string()),
        Ok(threads) => Ok(threads),
        Err(_) => Err("write a whole number".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_before_and_after_the_subcommand() {
        let cli = Cli::parse_from([
            "seedbed", "--seed", "7", "run", "a.sql", "-D", "x=1=2", "--format", "csv",
        ]);
        assert_eq!(cli.flags.seed, Some(7));
        assert_eq!(cli.flags.format, Some(Format::Csv));
        let Some(Action::Run { define, .. }) = cli.action else {
            panic!("not run");
        };
        assert_eq!(define, vec![("x".to_string(), "1=2".to_string())]);
    }
}
