//! The binary as people use it: exit codes, formats, variables, errors, pipes, Ctrl-C.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn seedbed() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
    command
        .env_remove("COLUMNS")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    seedbed().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The standard output of a run that goes well and says nothing else.
fn result(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(stderr(&output), "", "{args:?}");
    assert_eq!(output.status.code(), Some(0), "{args:?}");
    stdout(&output)
}

/// Exit code and standard error of a run that fails.
fn failure(args: &[&str]) -> (i32, String) {
    let output = run(args);
    assert_eq!(stdout(&output), "", "{args:?}");
    (output.status.code().unwrap(), stderr(&output))
}

const ROWS: &str = "SELECT * FROM (VALUES (1, 'a', 0.5), (22, 'b|c', NULL)) AS t(n, s, x)";

fn formatted(format: &str) -> String {
    result(&["-c", ROWS, "--format", format])
}

#[test]
fn formats() {
    assert_eq!(
        formatted("table"),
        "\
╭───────┬──────┬────────╮
│     n │ s    │      x │
│ int64 │ text │ double │
├───────┼──────┼────────┤
│     1 │ a    │    0.5 │
│    22 │ b|c  │   NULL │
╰───────┴──────┴────────╯
"
    );
    assert_eq!(formatted("csv"), "n,s,x\n1,a,0.5\n22,b|c,\n");
    assert_eq!(formatted("tsv"), "n\ts\tx\n1\ta\t0.5\n22\tb|c\t\n");
    assert_eq!(
        formatted("json"),
        "[{\"n\":1,\"s\":\"a\",\"x\":0.5},\n{\"n\":22,\"s\":\"b|c\",\"x\":null}]\n"
    );
    assert_eq!(
        formatted("ndjson"),
        "{\"n\":1,\"s\":\"a\",\"x\":0.5}\n{\"n\":22,\"s\":\"b|c\",\"x\":null}\n"
    );
    assert_eq!(
        formatted("markdown"),
        "| n | s | x |\n|---:|---|---:|\n| 1 | a | 0.5 |\n| 22 | b\\|c | NULL |\n\n"
    );
}

#[test]
fn formats_of_no_rows() {
    let none = |format| result(&["-c", "SELECT 1 AS n WHERE false", "--format", format]);
    assert_eq!(none("csv"), "n\n");
    assert_eq!(none("json"), "[]\n");
    assert_eq!(none("ndjson"), "");
    assert_eq!(none("markdown"), "| n |\n|---:|\n\n");
    assert!(none("table").ends_with("no rows\n"));
}

#[test]
fn nested_values_in_csv_are_json() {
    let sql = "SELECT [1, 2] AS l, named_struct('a', 1, 'b', 'x') AS s";
    assert_eq!(
        result(&["-c", sql, "--format", "tsv"]),
        "l\ts\n[1,2]\t\"{\"\"a\"\":1,\"\"b\"\":\"\"x\"\"}\"\n"
    );
}

#[test]
fn parquet_is_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a b.parquet");
    let name = path.to_str().unwrap();
    assert_eq!(result(&["-c", ROWS, "-o", name]), "");
    let mut magic = [0; 4];
    std::fs::File::open(&path)
        .unwrap()
        .read_exact(&mut magic)
        .unwrap();
    assert_eq!(&magic, b"PAR1");
    let table = format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{name}'");
    let select = "SELECT s FROM t ORDER BY n";
    let read = run(&["-c", &table, "-c", select, "--format", "csv"]);
    assert!(stdout(&read).ends_with("s\na\nb|c\n"), "{}", stderr(&read));
    // Nothing is left of the name it had until it was complete.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_result_too_many_for_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let name = path.to_str().unwrap();
    let two = ["-c", "SELECT 1 AS a", "-c", "SELECT 2 AS a", "-o", name];
    let (code, error) = failure(&two);
    assert_eq!(code, 1);
    assert!(error.contains("holds one result"), "{error}");
    assert!(!path.exists());
    // Formats that can be appended to take all.
    result(&[&two[..], &["--format", "ndjson"]].concat());
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "{\"a\":1}\n{\"a\":2}\n"
    );
}

#[test]
fn a_failed_result_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.ndjson");
    let name = path.to_str().unwrap();
    let bad = "SELECT CAST(CASE WHEN value = 90000 THEN 'x' ELSE '1' END AS INT) AS a FROM \
               generate_series(1, 100000)";
    let (code, _) = failure(&["-c", bad, "-o", name]);
    assert_eq!(code, 1);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // With --keep-going the other results are kept, and nothing of the failed one.
    let (code, _) = failure(&["-c", "SELECT 1 AS a", "-c", bad, "-o", name, "--keep-going"]);
    assert_eq!(code, 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n");
}

#[test]
fn files_that_cannot_be_written() {
    let (code, error) = failure(&["-c", "SELECT 1", "-o", "/no/such/dir/t.csv"]);
    assert_eq!(code, 1);
    assert!(error.contains("/no/such/dir does not exist"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let (code, error) = failure(&["-c", "SELECT 1", "-o", dir.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(error.contains("it is a directory"), "{error}");
}

#[cfg(unix)]
#[test]
fn devices_are_written_to_and_stay() {
    use std::os::unix::fs::FileTypeExt;
    result(&["-c", "SELECT 1 AS a", "--format", "csv", "-o", "/dev/null"]);
    let kind = std::fs::metadata("/dev/null").unwrap().file_type();
    assert!(kind.is_char_device());
}

#[test]
fn exit_codes() {
    assert_eq!(run(&["-c", "SELECT 1"]).status.code(), Some(0));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    assert_eq!(failure(&["-c", "SELECT x"]).0, 1);
    assert_eq!(failure(&["--no-such-flag"]).0, 2);
    assert_eq!(failure(&["--threads", "0", "-c", "SELECT 1"]).0, 2);
    assert_eq!(failure(&["--memory-limit", "4 parsecs"]).0, 2);
    assert_eq!(failure(&["-c", "SELECT 1", "-o", "t.csv.gz"]).0, 2);
    assert_eq!(failure(&["run"]).0, 2);
    assert_eq!(failure(&["run", "/no/such/file.sql"]).0, 2);
    assert_eq!(failure(&["-c", "SELECT 1", "run", "a.sql"]).0, 2);
}

#[test]
fn the_first_error_ends_a_script_unless_told_otherwise() {
    let input = b"SELECT 1 AS a; SELECT x; SELECT 2 AS b;";
    let stopped = with_stdin(&["--format", "csv"], input);
    assert_eq!(stopped.status.code(), Some(1));
    assert_eq!(stdout(&stopped), "a\n1\n");
    let went_on = with_stdin(&["--format", "csv", "--keep-going"], input);
    assert_eq!(went_on.status.code(), Some(1));
    assert_eq!(stdout(&went_on), "a\n1\n\nb\n2\n");
}

#[test]
fn errors_point_at_the_place() {
    let (_, error) = failure(&["-c", "SELECT agee\nFROM (SELECT 1 AS age)"]);
    assert_eq!(
        error,
        "\
error: there is no column agee
   1 │ SELECT agee
     │        ^^^^
help: did you mean age?
"
    );
    let (_, error) = failure(&["-c", "SELECT 1,\n  flor(2.5)"]);
    assert!(
        error.contains("   2 │   flor(2.5)\n     │   ^^^^\n"),
        "{error}"
    );
    assert!(error.contains("did you mean floor?"), "{error}");
    let (_, error) = failure(&["-c", "SELECT * FROM nowhere"]);
    assert!(error.contains("there is no table nowhere"), "{error}");
    assert!(error.contains("              ^^^^^^^\n"), "{error}");
    let (_, error) = failure(&["-c", "SELECT 'it"]);
    assert!(error.contains('^'), "{error}");
}

#[test]
fn errors_of_files_name_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.sql");
    std::fs::write(&path, "-- a remark\n\nSELECT ${col}\n  FROM t;\n").unwrap();
    let name = path.to_str().unwrap();
    let (code, error) = failure(&["run", name, "-D", "col=1\n, 2"]);
    assert_eq!(code, 1);
    assert!(error.contains(&format!("at {name}:4:8\n")), "{error}");
    assert!(error.contains("   4 │   FROM t"), "{error}");
}

#[test]
fn variables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v.sql");
    std::fs::write(&path, "SELECT '${who:-nobody}' AS who, '$${x}' AS plain").unwrap();
    let name = path.to_str().unwrap();
    assert_eq!(
        result(&["run", name, "--format", "csv"]),
        "who,plain\nnobody,${x}\n"
    );
    assert_eq!(
        result(&["run", name, "-D", "who=me", "--format", "csv"]),
        "who,plain\nme,${x}\n"
    );
    let misspelt = run(&["run", name, "-D", "hwo=me", "--format", "csv"]);
    assert!(stderr(&misspelt).contains("no file uses ${hwo}"));

    std::fs::write(&path, "SELECT 1;\nSELECT ${seed}").unwrap();
    let (code, error) = failure(&["run", name, "-D", "sede=1"]);
    assert_eq!(code, 2);
    assert!(error.contains("the variable seed has no value"), "{error}");
    assert!(error.contains(":2:8\n"), "{error}");
    assert!(error.contains("-D sede=... is given"), "{error}");
}

fn with_stdin(args: &[&str], input: &[u8]) -> Output {
    let mut child = piped(args, Stdio::piped());
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn piped(args: &[&str], stdin: Stdio) -> Child {
    seedbed()
        .args(args)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn standard_input() {
    let output = with_stdin(&["--format", "csv"], b"\xef\xbb\xbfSELECT 1 AS a;\r\n");
    assert_eq!(stdout(&output), "a\n1\n", "{}", stderr(&output));
    let define = ["run", "-", "-D", "x=3", "--format", "csv"];
    let output = with_stdin(&define, b"SELECT ${x} AS a");
    assert_eq!(stdout(&output), "a\n3\n", "{}", stderr(&output));
    let output = with_stdin(&[], b"");
    assert_eq!(output.status.code(), Some(0));
    let output = with_stdin(&[], b"SELECT\n'\xff'");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not UTF-8: line 2"));
}

#[test]
fn several_statements() {
    let input = b"SELECT 1 AS a; SELECT ';' AS b; -- end\n;";
    let output = with_stdin(&["--format", "csv"], input);
    assert_eq!(stdout(&output), "a\n1\n\nb\n;\n", "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let sql = "SELECT value FROM generate_series(1, 100000000)";
    let mut child = piped(&["-c", sql, "--format", "csv"], Stdio::null());
    let mut first = [0; 6];
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut first).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(&first, b"value\n");
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn ctrl_c_cancels_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let sql = "SELECT value FROM generate_series(1, 1000000000000)";
    let args = ["-c", sql, "-o", path.to_str().unwrap()];
    let child = piped(&args, Stdio::null());
    std::thread::sleep(Duration::from_millis(500));
    assert!(holds_files(dir.path()), "not yet writing");
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(stderr(&output), "cancelled\n");
    assert!(!holds_files(dir.path()));
}

fn holds_files(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_some()
}

#[test]
fn long_and_wide_results_are_cut() {
    let sql = "SELECT value FROM generate_series(1, 1000) ORDER BY value";
    let text = result(&["-c", sql, "--rows", "4"]);
    assert!(text.contains("│     2 │\n│     ⋮ │\n│   999 │\n"), "{text}");
    assert!(text.ends_with("1,000 rows, 4 shown\n"), "{text}");

    let columns: Vec<String> = (0..500).map(|i| format!("{i} AS column_{i}")).collect();
    let output = seedbed()
        .env("COLUMNS", "80")
        .args(["-c", &format!("SELECT {}", columns.join(", "))])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(text.contains("column_0 "), "{text}");
    assert!(text.contains("column_499"), "{text}");
    assert!(text.contains("500 columns, "), "{text}");
}

#[test]
fn timing_and_quiet() {
    let timed = run(&["-c", "SELECT 1 AS a", "--timing", "--format", "csv"]);
    assert_eq!(stdout(&timed), "a\n1\n");
    assert!(stderr(&timed).starts_with("1 row, "), "{}", stderr(&timed));
    let create = run(&["-c", "CREATE TABLE t AS SELECT 1 AS a", "--quiet"]);
    assert_eq!(stdout(&create), "");
    assert_eq!(stderr(&create), "");
}

#[test]
fn functions() {
    let all = result(&["functions"]);
    assert!(all.contains("come with DataFusion"), "{all}");
    let one = result(&["functions", "round"]);
    assert!(one.starts_with("round("), "{one}");
    let (code, error) = failure(&["functions", "rond"]);
    assert_eq!(code, 1);
    assert!(error.contains("did you mean round?"), "{error}");
}

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (real, drawn, page) = (path("real.csv"), path("drawn.csv"), path("report.html"));
    let table = |shift: u8| {
        format!(
            "SELECT value AS \"x<y\", DATE '2020-01-01' + CAST(value % 50 AS INT) AS day, \
             CASE WHEN value % 9 = 0 THEN NULL ELSE 'k' || (value % 5 + {shift}) END AS kind FROM generate_series(1, 60)"
        )
    };
    result(&["-c", &table(0), "-o", &real]);
    result(&["-c", &table(1), "-o", &drawn]);
    let args = [
        "report",
        &real,
        &drawn,
        "--holdout",
        &drawn,
        "--target",
        "kind",
        "-q",
        "-o",
        &page,
    ];
    assert_eq!(result(&args), "");
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
    for there in [
        "x&lt;y",
        "2020-02-19",
        "(missing)",
        "tstr_auc",
        "dcr_share",
        "prefers-color-scheme: dark",
    ] {
        assert!(html.contains(there), "{there}");
    }
    for gone in ["<script", "http:", "https:", "x<y", "NaN"] {
        assert!(!html.contains(gone), "{gone}");
    }
    result(&[&args[..], &["--threads", "1"]].concat());
    assert!(std::fs::read_to_string(&page).unwrap() == html);
    let (code, error) = failure(&["report", &real, &drawn]);
    assert_eq!(code, 2);
    assert!(error.contains("-o report.html"), "{error}");
    let (code, error) = failure(&["report", &real, "drawn.txt", "-o", &page]);
    assert_eq!(code, 1);
    assert!(error.contains("drawn"), "{error}");
}

#[test]
fn the_reference_is_as_the_functions_say() {
    let said = result(&["functions", "--markdown"]);
    let written = std::fs::read_to_string("docs/functions.md").unwrap();
    assert!(
        said == written,
        "docs/functions.md is not up to date: cargo run --release -- functions --markdown > docs/functions.md"
    );
}
