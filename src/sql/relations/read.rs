//! The declarations of the readers, `read_csv` and the others; the planner gives them their arguments as they
//! are written, since their defaults depend on the file.

use std::sync::LazyLock;

use seedbed_udfs::spec::{Kind, Param, Spec, Stage};

use crate::load::{Reader, params};

static SPECS: LazyLock<Vec<Spec>> = LazyLock::new(|| Reader::ALL.into_iter().map(spec).collect());

/// A declaration a reader.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    SPECS.iter()
}

fn spec(reader: Reader) -> Spec {
    let path = Param::required(
        "path",
        "a file, a glob (`dir/**/*.csv`), a folder, or a list of them",
    );
    let options = params(reader)
        .iter()
        .map(|(name, default, help)| Param::option(name, default, help));
    let params: Vec<Param> = std::iter::once(path).chain(options).collect();
    Spec {
        name: reader.function(),
        stage: Stage::Load,
        kind: Kind::Relation,
        summary: match reader {
            Reader::Csv => {
                "Rows of CSV files, compressed or not; dialect, header and types are found in a sample of all of the \
                 file. Refused rows are kept in the table `rejects`."
            }
            Reader::Json => "Rows of JSON files: an object a line, or one array of objects.",
            Reader::Parquet => "Rows of Parquet files.",
            Reader::Arrow => "Rows of Arrow IPC files.",
            Reader::Avro => "Rows of Avro files.",
            Reader::Images => {
                "Pictures of folders, and of ZIP and TAR archives: path, label (the name of the folder), bytes, width, \
                 height and channels. No more than a file's header is decoded."
            }
            Reader::Idx => {
                "Rows of IDX files, the format of MNIST, compressed or not: row_id, and image, value or vector."
            }
            Reader::Npy => {
                "Rows of NumPy's arrays, along their first axis: row_id, and image (8 bits, of three axes, or of four \
                 with 1, 3 or 4 channels last), value or vector."
            }
            Reader::Npz => "Rows of NumPy's archives: row_id, and a column an array.",
        },
        // the declarations live as long as the program
        params: Box::leak(params.into_boxed_slice()),
        variadic: false,
        examples: &[],
        source: match reader {
            Reader::Csv => "RFC 4180, and what files are like in practice",
            Reader::Json => "RFC 8259, and JSON Lines",
            Reader::Parquet => "Apache Parquet",
            Reader::Arrow => "Apache Arrow",
            Reader::Avro => "Apache Avro",
            Reader::Images => "the formats' standards",
            Reader::Idx => "LeCun, the MNIST database",
            Reader::Npy | Reader::Npz => "NumPy's NEP 1",
        },
        also: match reader {
            Reader::Csv => &["pandas.read_csv", "read_csv (DuckDB)"],
            Reader::Json => &["pandas.read_json", "read_json (DuckDB)"],
            Reader::Parquet => &["pandas.read_parquet", "read_parquet (DuckDB)"],
            Reader::Arrow => &["pandas.read_feather"],
            Reader::Avro => &["read_avro (DuckDB)"],
            Reader::Images => &[
                "torchvision.datasets.ImageFolder",
                "tf.keras.utils.image_dataset_from_directory",
            ],
            Reader::Idx => &["torchvision.datasets.MNIST"],
            Reader::Npy | Reader::Npz => &["numpy.load"],
        },
    }
}
