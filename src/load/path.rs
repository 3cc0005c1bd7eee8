//! From what a query names to files: globs, directories, Hive partitions, and which reader reads them.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use datafusion::common::{Result, plan_datafusion_err, plan_err};

use super::args::nearest;
use super::source::read_full;

/// The readers, by the name of their SQL function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Csv,
    Json,
    Parquet,
    Arrow,
    Avro,
    Images,
    Idx,
    Npy,
    Npz,
}

impl Reader {
    pub const ALL: [Self; 9] = [
        Self::Csv,
        Self::Json,
        Self::Parquet,
        Self::Arrow,
        Self::Avro,
        Self::Images,
        Self::Idx,
        Self::Npy,
        Self::Npz,
    ];

    /// The SQL function.
    pub fn function(self) -> &'static str {
        match self {
            Self::Csv => "read_csv",
            Self::Json => "read_json",
            Self::Parquet => "read_parquet",
            Self::Arrow => "read_arrow",
            Self::Avro => "read_avro",
            Self::Images => "read_images",
            Self::Idx => "read_idx",
            Self::Npy => "read_npy",
            Self::Npz => "read_npz",
        }
    }

    /// The extensions of its files, without what compression adds.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Csv => &["csv", "tsv", "tab", "psv"],
            Self::Json => &["json", "ndjson", "jsonl"],
            Self::Parquet => &["parquet", "pq"],
            Self::Arrow => &["arrow", "feather", "ipc"],
            Self::Avro => &["avro"],
            Self::Images => &[
                "png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp", "ppm", "pgm", "pbm",
                "pnm", "zip", "tar", "tgz",
            ],
            Self::Idx => &["idx", "idx1-ubyte", "idx3-ubyte"],
            Self::Npy => &["npy"],
            Self::Npz => &["npz"],
        }
    }

    /// Whether a file's extension is one of the reader's.
    pub fn reads(self, path: &Path) -> bool {
        Self::by_extension(path) == Some(self)
    }

    /// The reader of an extension.
    fn by_extension(path: &Path) -> Option<Self> {
        let extension = extension(path)?;
        Self::ALL
            .into_iter()
            .find(|reader| reader.extensions().contains(&extension.as_str()))
    }

    /// The reader for a file: by its extension, else by its first bytes.
    pub fn of(path: &Path) -> Result<Self> {
        if let Some(reader) = Self::by_extension(path) {
            return Ok(reader);
        }
        Ok(Self::by_content(path)?.unwrap_or(Self::Csv))
    }

    /// The reader a file's first bytes call for, where they do.
    pub fn by_content(path: &Path) -> Result<Option<Self>> {
        let failed =
            |e: std::io::Error| plan_datafusion_err!("cannot read '{}': {e}", path.display());
        let mut head = [0; 64];
        let mut file = File::open(path).map_err(failed)?;
        let n = read_full(&mut file, &mut head).map_err(failed)?;
        let head = &head[..n];
        Ok(match head {
            [b'P', b'A', b'R', b'1', ..] => Some(Self::Parquet),
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Some(Self::Arrow),
            [b'O', b'b', b'j', 1, ..] => Some(Self::Avro),
            _ => match head.trim_ascii_start() {
                [b'{', rest @ ..] if rest.trim_ascii_start().starts_with(b"\"") => Some(Self::Json),
                [b'[', rest @ ..] if rest.trim_ascii_start().starts_with(b"{") => Some(Self::Json),
                _ => None,
            },
        })
    }
}

/// A path's extension in lower case, seen through `.gz` and the like.
pub(super) fn extension(path: &Path) -> Option<String> {
    let lower = |path: &Path| Some(path.extension()?.to_str()?.to_lowercase());
    let outer = lower(path)?;
    match outer.as_str() {
        "gz" | "gzip" | "bz2" | "xz" | "zst" | "zstd" => lower(Path::new(path.file_stem()?)),
        _ => Some(outer),
    }
}

/// Whether a text names a file rather than a table: it has a separator, a wildcard or an extension we read.
pub fn looks_like_path(text: &str) -> bool {
    text.contains(['/', '\\', '*']) || Reader::by_extension(Path::new(text)).is_some()
}

/// The files a path, a glob or a directory stands for, in path order.
///
/// A directory stands for all files below it that `reader` reads. A path that exists is taken as it
/// is, so that `data[1].csv` can be read.
pub fn expand(pattern: &str, reader: Option<Reader>) -> Result<Vec<PathBuf>> {
    if pattern.trim().is_empty() {
        return plan_err!("a path is wanted where an empty text is given");
    }
    let local = pattern.strip_prefix("file://").unwrap_or(pattern);
    if let Some((scheme, _)) = local.split_once("://") {
        return plan_err!(
            "'{pattern}' is not a local file; '{scheme}://' cannot be read here: fetch it and give its path"
        );
    }
    let path = home(local);
    if path.is_file() {
        return Ok(vec![path]);
    }
    if path.is_dir() {
        return directory(&path, reader);
    }
    if !is_glob(local) {
        if path.exists() {
            return plan_err!(
                "'{pattern}' is a pipe or a device; a file is read more than once: write it to one first"
            );
        }
        return Err(missing(&path));
    }
    let mut files = Vec::new();
    let (base, parts) = split_glob(&path);
    if !base.as_os_str().is_empty() && !base.exists() {
        return Err(missing(&base));
    }
    walk(&base, &parts, &mut files)?;
    files.sort();
    files.dedup();
    if files.is_empty() {
        let shown = if base.as_os_str().is_empty() {
            Path::new(".")
        } else {
            base.as_path()
        };
        return plan_err!("no file matches '{pattern}'; {}", contents(shown));
    }
    Ok(files)
}

/// `~/x` in the user's home directory.
fn home(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => match std::env::home_dir() {
            Some(home) => home.join(rest),
            None => PathBuf::from(path),
        },
        None => PathBuf::from(path),
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn directory(path: &Path, reader: Option<Reader>) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    walk(path, &["**".to_string(), "*".to_string()], &mut files)?;
    files.retain(|file| match (reader, Reader::by_extension(file)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(wanted), Some(found)) => wanted == found,
    });
    files.sort();
    if files.is_empty() {
        let wanted = match reader {
            Some(reader) => format!(".{}", reader.extensions().join(" or .")),
            None => "data".to_string(),
        };
        return plan_err!(
            "'{}' is a directory without {wanted} files; {}",
            path.display(),
            contents(path)
        );
    }
    Ok(files)
}

/// The part of a path before its first wildcard, and the components from there on.
fn split_glob(path: &Path) -> (PathBuf, Vec<String>) {
    let mut base = PathBuf::new();
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        let text = component.as_os_str().to_string_lossy();
        if parts.is_empty() && !is_glob(&text) {
            base.push(component);
        } else {
            parts.push(text.into_owned());
        }
    }
    (base, parts)
}

fn walk(base: &Path, parts: &[String], files: &mut Vec<PathBuf>) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        if base.is_file() {
            files.push(base.to_path_buf());
        }
        return Ok(());
    };
    if part == "**" {
        // No directory at all, or one more.
        walk(base, rest, files)?;
        for entry in entries(base)? {
            if entry.is_dir() && !entry.is_symlink() && !hidden(&entry) {
                walk(&entry, parts, files)?;
            }
        }
        return Ok(());
    }
    if !is_glob(part) {
        return walk(&base.join(part), rest, files);
    }
    let patterns: Vec<Vec<char>> = braces(part).iter().map(|p| p.chars().collect()).collect();
    for entry in entries(base)? {
        let Some(name) = entry.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        if hidden(&entry) && !part.starts_with('.') {
            continue;
        }
        let name: Vec<char> = name.chars().collect();
        if !patterns.iter().any(|pattern| matches(pattern, &name)) {
            continue;
        }
        if rest.is_empty() && entry.is_file() {
            files.push(entry);
        } else if !rest.is_empty() && entry.is_dir() {
            walk(&entry, rest, files)?;
        }
    }
    Ok(())
}

/// Names that begin with a dot or an underscore are nobody's data: `.DS_Store`, `_SUCCESS`.
fn hidden(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(['.', '_']))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let shown = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    if !shown.is_dir() {
        return Ok(Vec::new());
    }
    let listing = fs::read_dir(shown)
        .map_err(|e| plan_datafusion_err!("cannot list '{}': {e}", shown.display()))?;
    let mut entries = Vec::new();
    for entry in listing {
        let entry =
            entry.map_err(|e| plan_datafusion_err!("cannot list '{}': {e}", shown.display()))?;
        entries.push(directory.join(entry.file_name()));
    }
    Ok(entries)
}

/// `{a,b}` written out; nesting is not supported, an unclosed brace is itself.
fn braces(pattern: &str) -> Vec<String> {
    if let Some(open) = pattern.find('{')
        && let Some(length) = pattern[open..].find('}')
    {
        let (before, after) = (&pattern[..open], &pattern[open + length + 1..]);
        return pattern[open + 1..open + length]
            .split(',')
            .flat_map(|choice| braces(&format!("{before}{choice}{after}")))
            .collect();
    }
    vec![pattern.to_string()]
}

/// One component against one pattern: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    match first {
        '*' => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        '?' => !name.is_empty() && matches(rest, &name[1..]),
        '[' => {
            let Some(close) = rest.iter().skip(1).position(|c| *c == ']').map(|i| i + 1) else {
                return name.first() == Some(&'[') && matches(rest, &name[1..]);
            };
            let Some((c, name)) = name.split_first() else {
                return false;
            };
            let (set, negated) = match &rest[..close] {
                ['!' | '^', set @ ..] => (set, true),
                set => (set, false),
            };
            let mut found = false;
            let mut i = 0;
            while i < set.len() {
                if i + 2 < set.len() && set[i + 1] == '-' {
                    found |= (set[i]..=set[i + 2]).contains(c);
                    i += 3;
                } else {
                    found |= set[i] == *c;
                    i += 1;
                }
            }
            found != negated && matches(&rest[close + 1..], name)
        }
        c => name.first() == Some(c) && matches(rest, &name[1..]),
    }
}

/// The error for a path that does not exist: which part of it is missing, and what there is.
fn missing(path: &Path) -> datafusion::error::DataFusionError {
    let mut parent = PathBuf::new();
    for component in path.components() {
        let next = parent.join(component);
        let normal = matches!(component, Component::Normal(_));
        if normal && !next.exists() {
            let name = component.as_os_str().to_string_lossy();
            let shown = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent.as_path()
            };
            let names = names_in(shown);
            let near = match nearest(&name, names.iter().map(String::as_str)) {
                Some(near) => format!("; did you mean '{near}'?"),
                None => format!("; {}", contents(shown)),
            };
            return if next == path {
                plan_datafusion_err!("'{}' does not exist{near}", path.display())
            } else {
                plan_datafusion_err!(
                    "'{}' does not exist: there is no '{name}' in '{}'{near}",
                    path.display(),
                    shown.display()
                )
            };
        }
        parent = next;
    }
    plan_datafusion_err!("'{}' does not exist", path.display())
}

fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .map(|listing| {
            listing
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

/// What a directory has, in a few words.
fn contents(directory: &Path) -> String {
    let names = names_in(directory);
    let shown: Vec<&str> = names
        .iter()
        .filter(|name| !name.starts_with('.'))
        .take(5)
        .map(String::as_str)
        .collect();
    match shown.len() {
        0 => format!("'{}' is empty", directory.display()),
        n if n < names.len() => format!(
            "'{}' has {} and others",
            directory.display(),
            shown.join(", ")
        ),
        _ => format!("'{}' has {}", directory.display(), shown.join(", ")),
    }
}

/// The `key=value` directories of a path, outermost first.
pub fn hive_values(path: &Path) -> Vec<(String, Option<String>)> {
    let Some(parent) = path.parent() else {
        return Vec::new();
    };
    parent
        .components()
        .filter_map(|component| {
            let text = component.as_os_str().to_str()?;
            let (key, value) = text.split_once('=')?;
            let value = match value {
                "__HIVE_DEFAULT_PARTITION__" => None,
                _ => Some(percent_decoded(value)),
            };
            (!key.is_empty()).then(|| (key.to_string(), value))
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let code = bytes
            .get(i + 1..i + 3)
            .filter(|_| bytes[i] == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                decoded.push(byte);
                i += 3;
            }
            None => {
                decoded.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_string())
}
