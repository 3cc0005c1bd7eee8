//! What COPY writes for training loops: the files that `golden/export.py` has checked, whatever the session, and all
//! of them or none.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use seedbed::{Answer, Options, Seedbed};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// All files below a folder: what they hold, by their paths.
fn files(folder: &Path) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder)?.to_path_buf(), fs::read(path)?);
            }
        }
    }
    Ok(found)
}

/// The same of an archive.
fn unzipped(path: &Path) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
    let mut archive = zip::ZipArchive::new(fs::File::open(path)?)?;
    let mut found = BTreeMap::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        found.insert(PathBuf::from(file.name()?.into_owned()), bytes);
    }
    Ok(found)
}

fn names(folder: &Path) -> Outcome<Vec<String>> {
    let files = files(folder)?;
    Ok(files.keys().map(|p| p.display().to_string()).collect())
}

fn open(threads: usize, batch_size: usize) -> Outcome<Seedbed> {
    Ok(Seedbed::open(Options {
        threads: Some(threads),
        batch_size: Some(batch_size),
        ..Default::default()
    })?)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_those_that_were_checked() -> Outcome {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let expected = unzipped(&golden.join("export.zip"))?;
    let sql = fs::read_to_string(golden.join("export.sql"))?;
    for (threads, batch_size) in [(1, 8192), (1, 1), (2, 7), (8, 3), (8, 8192)] {
        let folder = tempfile::tempdir()?;
        let out = folder.path().display().to_string();
        open(threads, batch_size)?
            .sql(&sql.replace("${out}", &out))
            .await?;
        let written = files(folder.path())?;
        let same: Vec<&PathBuf> = expected
            .keys()
            .filter(|p| !written.contains_key(*p))
            .collect();
        assert!(same.is_empty(), "{same:?} are missing");
        for (path, bytes) in &written {
            assert!(
                expected.get(path) == Some(bytes),
                "{} has other bytes with {threads} threads and batches of {batch_size}",
                path.display()
            );
        }
    }
    Ok(())
}

/// Runs statements; the error of the last.
async fn error(session: &Seedbed, sql: &str) -> String {
    match session.sql(sql).await {
        Ok(_) => "no error".to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_leaves_what_was_there() -> Outcome {
    let folder = tempfile::tempdir()?;
    let out = folder.path().display();
    let session = open(2, 4)?;
    session
        .sql(&format!("COPY (SELECT 1 AS x) TO '{out}/x.npy'"))
        .await?;
    let before = files(folder.path())?;
    let image = "image_from_pixels([id, 2], width => 2, height => 1) AS image";
    // the last of the rows is one that cannot be written
    let cases = [
        ("x.npy", "nullif(id, 99)", ""),
        ("x.npz", "nullif(id, 99) AS x", ""),
        ("x.npy", "range(0, 1 + id / 99)", ""),
        ("x.npy", "10 / (99 - id)", ""),
        ("x.tfrecord", "10 / (99 - id)", "OPTIONS (shards 3)"),
        (
            "x.tfrecord",
            "CASE id WHEN 99 THEN 1e300 ELSE 0 END AS x",
            "",
        ),
        ("x.tar", &format!("{image}, nullif(id, 99) AS label"), ""),
        (
            "x.tar",
            &format!("{image}, id / 98 * 98 AS k, least(id, 98) AS key"),
            "OPTIONS (key key)",
        ),
        (
            "x",
            &format!("{image}, least(id, 98) AS key"),
            "STORED AS images OPTIONS (key key)",
        ),
        ("x.png", image, ""),
    ];
    for (file, columns, options) in cases {
        let sql = format!(
            "COPY (SELECT {columns} FROM (SELECT value AS id FROM generate_series(0, 99)) ORDER BY id) TO '{out}/{file}' {options}"
        );
        assert_ne!(error(&session, &sql).await, "no error", "{sql}");
        assert_eq!(files(folder.path())?, before, "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_writes_nothing_and_a_query_that_is_dropped_leaves_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let out = folder.path().display();
    let session = open(2, 64)?;
    let rows = session
        .sql(&format!("EXPLAIN COPY (SELECT 1 AS x) TO '{out}/x.npy'"))
        .await?;
    let plan = arrow::util::pretty::pretty_format_batches(&rows)?.to_string();
    assert!(plan.contains("ExportSink(format=npy"), "{plan}");
    assert!(names(folder.path())?.is_empty());
    let sql = format!(
        "EXPLAIN ANALYZE COPY (SELECT a.value FROM generate_series(0, 100000) AS a, generate_series(0, 100000)) TO '{out}/x.npy'"
    );
    let statement = session.split(&sql)?.remove(0);
    if let Answer::Rows { mut rows, .. } = session.run(&statement).await? {
        let waited = tokio::time::timeout(std::time::Duration::from_millis(300), rows.next());
        assert!(waited.await.is_err(), "it has ended");
    }
    // the thread that writes sees that no one waits
    for _ in 0..100 {
        if fs::read_dir(folder.path())?.next().is_none() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(format!("{:?} are left", names(folder.path())?).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_shards_are_replaced_and_folders_on_request() -> Outcome {
    let folder = tempfile::tempdir()?;
    let out = folder.path().display();
    let session = open(2, 4)?;
    fs::write(folder.path().join("t-notes.tfrecord"), "mine")?;
    fs::write(folder.path().join("t-1-of-2.tfrecord"), "mine")?;
    for (shards, expected) in [(3, 3), (2, 2)] {
        let sql = format!(
            "COPY (SELECT value AS id FROM generate_series(0, 9)) TO '{out}/t.tfrecord' OPTIONS (shards {shards})"
        );
        session.sql(&sql).await?;
        let mut all = vec!["t-1-of-2.tfrecord".to_string()];
        all.splice(
            0..0,
            (0..expected).map(|i| format!("t-{i:05}-of-{expected:05}.tfrecord")),
        );
        all.push("t-notes.tfrecord".to_string());
        assert_eq!(names(folder.path())?, all);
    }
    let copy = |n: i32, options: &str| {
        format!(
            "COPY (SELECT image_from_pixels([1, 2], width => 2, height => 1) AS image FROM generate_series(1, {n})) \
             TO '{out}/d' STORED AS images {options}"
        )
    };
    session.sql(&copy(2, "")).await?;
    let message = error(&session, &copy(1, "")).await;
    assert!(message.contains("OPTIONS (overwrite true)"), "{message}");
    assert_eq!(names(&folder.path().join("d"))?.len(), 2);
    session.sql(&copy(1, "OPTIONS (overwrite true)")).await?;
    assert_eq!(names(&folder.path().join("d"))?, ["00000000.png"]);
    assert_eq!(fs::read_dir(folder.path())?.count(), 5);
    Ok(())
}

/// What is written is read as what it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_back() -> Outcome {
    let folder = tempfile::tempdir()?;
    let out = folder.path().display();
    let session = open(2, 5)?;
    session
        .sql(
            "CREATE TABLE t AS SELECT id, id / 8.0 AS x, id % 2 = 0 AS even, vectorize(id, 1) AS v,
               image_from_pixels(range(id * 7, id * 7 + 12), width => 2, height => 2, channels => 3) AS image,
               concat('c', id % 3) AS label
             FROM (SELECT value AS id FROM generate_series(0, 19))",
        )
        .await?;
    let cases = [
        (
            "SELECT id, x, even, v, image FROM t ORDER BY id",
            "a.npz",
            "SELECT id, x, even, v, image FROM read_npz('{}') ORDER BY row_id",
        ),
        (
            "SELECT x FROM t ORDER BY id",
            "x.npy",
            "SELECT value FROM read_npy('{}') ORDER BY row_id",
        ),
        (
            "SELECT image FROM t ORDER BY id",
            "image.npy",
            "SELECT image FROM read_npy('{}') ORDER BY row_id",
        ),
        (
            "SELECT image, label FROM t ORDER BY label, id",
            "images",
            "SELECT image_decode(bytes), label FROM read_images('{}') ORDER BY path",
        ),
        (
            "SELECT image FROM t ORDER BY id",
            "all.tar",
            "SELECT image_decode(bytes) FROM read_images('{}') ORDER BY path",
        ),
    ];
    for (query, file, read) in cases {
        let stored = if file == "images" {
            "STORED AS images"
        } else {
            ""
        };
        session
            .sql(&format!("COPY ({query}) TO '{out}/{file}' {stored}"))
            .await?;
        let written = session.sql(query).await?;
        let read = session
            .sql(&read.replace("{}", &format!("{out}/{file}")))
            .await?;
        let text = |rows: &[arrow::array::RecordBatch]| -> Outcome<Vec<String>> {
            let table = arrow::util::pretty::pretty_format_batches(rows)?.to_string();
            Ok(table.lines().skip(3).map(str::to_string).collect())
        };
        assert_eq!(text(&read)?, text(&written)?, "{file}");
    }
    Ok(())
}
