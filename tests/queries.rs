//! The saved queries, run as a person runs them: by the binary, on files.

use std::fs;
use std::path::Path;
use std::process::Command;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Runs the binary in the project's folder; its standard output, or what it complained of.
fn seedbed(args: &[&str]) -> Outcome<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_seedbed"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

fn csv(sql: &str) -> Outcome<String> {
    seedbed(&["--format", "csv", "-c", sql])
}

/// Runs the Adult pipeline with a short training into a folder.
fn adult(out: &Path, threads: &str) -> Outcome {
    let out = format!("out={}", out.display());
    let args = ["run", "queries/adult.sql", "-D", &out, "-D", "epochs=2"];
    seedbed(&[&args[..], &["--threads", threads, "--quiet"]].concat())?;
    Ok(())
}

const FILES: [&str; 3] = ["train.parquet", "validation.parquet", "test.parquet"];

#[test]
fn adult_is_the_same_to_the_byte_on_any_number_of_threads() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut first: Option<Vec<Vec<u8>>> = None;
    // 2 twice: a second run gives the same, too
    for (run, threads) in ["1", "2", "2", "8"].iter().enumerate() {
        let out = folder.path().join(run.to_string());
        adult(&out, threads)?;
        let files = FILES
            .iter()
            .map(|f| fs::read(out.join(f)))
            .collect::<Result<Vec<_>, _>>()?;
        match &first {
            None => first = Some(files),
            Some(first) => assert!(*first == files, "{threads} threads give other bytes"),
        }
    }
    Ok(())
}

#[test]
fn adult_is_clean_balanced_and_of_one_schema() -> Outcome {
    let folder = tempfile::tempdir()?;
    adult(folder.path(), "2")?;
    let describe = |file: &str| {
        let path = folder.path().join(file);
        csv(&format!("DESCRIBE SELECT * FROM '{}'", path.display()))
    };
    let schema = describe(FILES[0])?;
    assert!(schema.contains("workclass_private"), "{schema}");
    for file in FILES {
        assert_eq!(describe(file)?, schema, "{file}");
        let path = folder.path().join(file);
        let columns: Vec<&str> = schema
            .lines()
            .skip(1)
            .filter_map(|l| l.split(',').next())
            .collect();
        let counts: Vec<String> = columns
            .iter()
            .map(|c| format!("count(*) - count(\"{c}\")"))
            .collect();
        let sql = format!("SELECT {} FROM '{}'", counts.join(" + "), path.display());
        assert_eq!(csv(&sql)?.lines().nth(1), Some("0"), "{file} has NULLs");
    }
    let train = folder.path().join("train.parquet");
    let classes = csv(&format!(
        "SELECT count(DISTINCT n) FROM (SELECT income, count(*) AS n FROM '{}' GROUP BY income)",
        train.display()
    ))?;
    assert_eq!(classes.lines().nth(1), Some("1"), "the classes differ");
    Ok(())
}

#[test]
fn quickstart_gives_ten_rows() -> Outcome {
    let rows = seedbed(&["run", "queries/quickstart.sql", "--format", "csv"])?;
    assert_eq!(rows.lines().count(), 11, "{rows}");
    Ok(())
}
