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

/// Runs a pipeline with one and with several threads; its train and test files, which are the same to the byte.
fn train_and_test(query: &str, folder: &Path) -> Outcome<[String; 2]> {
    let files = ["train.parquet", "test.parquet"];
    let mut first: Option<Vec<Vec<u8>>> = None;
    for threads in ["1", "2", "8"] {
        let out = format!("out={}", folder.display());
        let args = ["run", query, "-D", &out, "--threads", threads, "--quiet"];
        seedbed(&args)?;
        let bytes = files
            .iter()
            .map(|f| fs::read(folder.join(f)))
            .collect::<Result<Vec<_>, _>>()?;
        match &first {
            None => first = Some(bytes),
            Some(first) => assert!(
                *first == bytes,
                "{query}: {threads} threads give other bytes"
            ),
        }
    }
    let [train, test] = files.map(|f| folder.join(f).display().to_string());
    let columns = |file: &str| csv(&format!("DESCRIBE SELECT * FROM '{file}'"));
    let (of_train, of_test) = (columns(&train)?, columns(&test)?);
    assert_eq!(of_train, of_test, "{query}");
    let names = of_train.lines().skip(1).filter_map(|l| l.split(',').next());
    let present: Vec<String> = names.map(|n| format!("\"{n}\" IS NOT NULL")).collect();
    for file in [&train, &test] {
        let whole = present.join(" AND ");
        let sql = format!("SELECT count(*) FROM '{file}' WHERE NOT ({whole})");
        assert_eq!(csv(&sql)?.lines().nth(1), Some("0"), "{file} has NULLs");
    }
    Ok([train, test])
}

/// The one row that a query gives.
fn row(sql: &str) -> Outcome<String> {
    Ok(csv(sql)?.lines().nth(1).unwrap_or_default().to_string())
}

#[test]
fn titanic_keeps_the_share_of_survivors() -> Outcome {
    let folder = tempfile::tempdir()?;
    let [train, test] = train_and_test("queries/titanic.sql", folder.path())?;
    let counts = "SELECT count(*), sum(survived), sum(age_missing) FROM";
    assert_eq!(row(&format!("{counts} '{train}'"))?, "1050,360,435");
    assert_eq!(row(&format!("{counts} '{test}'"))?, "263,90,122");
    let scaled = "SELECT abs(avg(age)) < 1e-9, abs(stddev_pop(age) - 1) < 1e-9 FROM";
    assert_eq!(row(&format!("{scaled} '{train}'"))?, "true,true");
    Ok(())
}

#[test]
fn flights_are_split_by_time() -> Outcome {
    let folder = tempfile::tempdir()?;
    let [train, test] = train_and_test("queries/flights.sql", folder.path())?;
    // the file goes from January on to October: its order is not that of time
    let counts = "SELECT count(*), sum(late) FROM";
    assert_eq!(row(&format!("{counts} '{train}'"))?, "6106,1437");
    assert_eq!(row(&format!("{counts} '{test}'"))?, "2068,467");
    let one = "SELECT count(*) FROM";
    let carriers = "WHERE carrier_ua + carrier_b6 + carrier_ev + carrier_dl + carrier_aa > 1";
    assert_eq!(row(&format!("{one} '{train}' {carriers}"))?, "0");
    Ok(())
}

#[test]
fn photos_are_told_apart_and_augmented() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("photos.parquet");
    let mut first: Option<Vec<u8>> = None;
    for threads in ["1", "2", "8"] {
        let out = format!("out={}", folder.path().display());
        let args = ["run", "queries/photos.sql", "-D", &out, "--format", "csv"];
        let printed = seedbed(&[&args[..], &["--threads", threads, "--quiet"]].concat())?;
        let expected = "files,photos,broken\n15,14,1\n\n\
            label,photos,rows\nanimals,1,5\npeople,2,10\ntextures,3,15\nthings,4,20\n";
        assert_eq!(printed, expected);
        let bytes = fs::read(&file)?;
        match &first {
            None => first = Some(bytes),
            Some(first) => assert!(*first == bytes, "{threads} threads give other bytes"),
        }
    }
    let of = format!("FROM '{}'", file.display());
    let sizes =
        "SELECT count(*), count(pixels), min(array_length(pixels)), max(array_length(pixels))";
    assert_eq!(row(&format!("{sizes} {of}"))?, "50,50,12288,12288");
    // no copy is like another or like the photograph
    assert_eq!(
        row(&format!("SELECT count(DISTINCT pixels) > 45 {of}"))?,
        "true"
    );
    let alike = format!("SELECT count(*) {of} WHERE file LIKE '%brighter%' OR file LIKE '%small%'");
    assert_eq!(row(&alike)?, "0");
    Ok(())
}

/// Runs the digits with few of them and a short training into a folder; what it prints.
fn digits(out: &Path, threads: &str) -> Outcome<String> {
    let out = format!("out={}", out.display());
    let mut args = vec!["run", "queries/digits.sql", "--format", "csv", "--quiet"];
    for small in [&out, "digits=320", "each=32", "epochs=1", "judged=100"] {
        args.extend(["-D", small]);
    }
    args.extend(["--threads", threads]);
    seedbed(&args)
}

#[test]
fn digits_are_drawn_and_written_the_same_on_any_number_of_threads() -> Outcome {
    let files = [
        "digits_real.png",
        "digits_augmented.png",
        "digits_generated.png",
        "digits.parquet",
        "digits.npy",
    ];
    let folder = tempfile::tempdir()?;
    let mut first: Option<Vec<Vec<u8>>> = None;
    for threads in ["1", "3"] {
        let said = digits(folder.path(), threads)?;
        for line in [
            "read,320",
            "batches of 32,10",
            "digits.parquet,320",
            "generated,100",
        ] {
            assert!(said.lines().any(|said| said == line), "{line}: {said}");
        }
        assert!(said.contains("\ntstr_accuracy,0."), "{said}");
        let bytes = files
            .iter()
            .map(|f| fs::read(folder.path().join(f)))
            .collect::<Result<Vec<_>, _>>()?;
        match &first {
            None => first = Some(bytes),
            Some(first) => assert!(*first == bytes, "{threads} threads give other bytes"),
        }
    }
    // ten digits of 28 pixels beside each other, with 2 between them
    for file in &files[..3] {
        let path = folder.path().join(file);
        let size = format!(
            "SELECT width, height FROM read_images('{}')",
            path.display()
        );
        assert_eq!(row(&size)?, "298,298", "{file}");
    }
    let training = folder.path().join("digits.parquet");
    let counts = format!(
        "SELECT count(DISTINCT n) FROM (SELECT label, count(*) AS n FROM '{}' GROUP BY label)",
        training.display()
    );
    assert_eq!(row(&counts)?, "1", "the digits are not balanced");
    Ok(())
}
