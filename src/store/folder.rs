//! Named bytes: one file each in a directory, or in memory. The rules for names and for safe writing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use parking_lot::RwLock;
use tempfile::NamedTempFile;

/// The ending of what is being written; names never contain a dot, so nothing else ends so.
pub(super) const TEMPORARY: &str = "tmp";

/// The longest file name common file systems take, less room for a temporary's ending.
const LONGEST_NAME: usize = 255 - 24;

/// The directory of a store, in use as long as this lives.
#[derive(Debug)]
pub(super) struct Root {
    dir: PathBuf,
    /// Locked while in use; None where the file system has no locks.
    lock: Option<File>,
    /// Whether nobody else has the directory open while it is being opened.
    alone: bool,
}

impl Root {
    pub(super) fn open(dir: PathBuf) -> Result<Self> {
        make_directory(&dir)?;
        // absolute, so that a later change of the working directory does not move the store
        let dir = dir
            .canonicalize()
            .map_err(|error| cannot("open", &dir, &error))?;
        let path = dir.join("lock");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| cannot("write", &path, &error))?;
        let (lock, alone) = match file.try_lock() {
            Ok(()) => (Some(file), true),
            Err(TryLockError::WouldBlock) => (Some(file), false),
            // without locks: what looks left behind may be in use, so it is left alone
            Err(TryLockError::Error(_)) => (None, false),
        };
        Ok(Self { dir, lock, alone })
    }

    /// Lets others in, when all leftovers are cleared away.
    pub(super) fn share(mut self) -> Self {
        self.lock = self.lock.take().filter(|lock| {
            // waits for one who is clearing away
            (!self.alone || lock.unlock().is_ok()) && lock.lock_shared().is_ok()
        });
        self
    }

    /// A directory inside, made if it is not there, without what a crash may have left in it.
    pub(super) fn directory(&self, name: &str) -> Result<Directory> {
        let path = self.dir.join(name);
        make_directory(&path)?;
        if self.alone {
            clear_temporaries(&path)?;
        }
        Ok(Directory {
            path,
            alone: self.alone,
        })
    }

    /// A directory inside with one file a name.
    pub(super) fn folder(&self, name: &str, extension: &'static str) -> Result<Folder> {
        Ok(Folder::Disk {
            dir: self.directory(name)?.path,
            extension,
        })
    }
}

/// A directory of the store.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// Whether nobody else has the store open while it is being opened.
    pub(super) alone: bool,
}

/// Bytes by name.
#[derive(Debug)]
pub(super) enum Folder {
    Memory(RwLock<BTreeMap<String, Arc<Vec<u8>>>>),
    Disk {
        dir: PathBuf,
        extension: &'static str,
    },
}

impl Default for Folder {
    fn default() -> Self {
        Self::Memory(RwLock::default())
    }
}

impl Folder {
    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Memory(_) => "memory".to_string(),
            Self::Disk { dir, .. } => dir.display().to_string(),
        }
    }

    /// All names, sorted. A directory that cannot be read has none.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Memory(items) => items.read().keys().cloned().collect(),
            Self::Disk { dir, extension } => {
                let mut names: Vec<String> = entries(dir)
                    .unwrap_or_default()
                    .iter()
                    .filter(|path| path.extension() == Some(OsStr::new(extension)))
                    .filter_map(|path| decode(path.file_stem()?.to_str()?))
                    .collect();
                names.sort();
                names
            }
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Memory(items) => items.read().contains_key(name),
            Self::Disk { dir, extension } => file(dir, name, extension).is_file(),
        }
    }

    /// When a name was last written, and how long it is; none where there is no such file.
    pub(super) fn stamp(&self, name: &str) -> Option<(std::time::SystemTime, u64)> {
        match self {
            Self::Memory(_) => None,
            Self::Disk { dir, extension } => {
                let about = fs::metadata(file(dir, name, extension)).ok()?;
                Some((about.modified().ok()?, about.len()))
            }
        }
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<Arc<Vec<u8>>>> {
        match self {
            Self::Memory(items) => Ok(items.read().get(name).cloned()),
            Self::Disk { dir, extension } => {
                let path = file(dir, name, extension);
                match fs::read(&path) {
                    Ok(bytes) => Ok(Some(Arc::new(bytes))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(cannot("read", &path, &error)),
                }
            }
        }
    }

    /// Writes the whole or nothing.
    pub(super) fn write(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        match self {
            Self::Memory(items) => {
                items.write().insert(name.to_string(), Arc::new(bytes));
                Ok(())
            }
            Self::Disk { dir, extension } => {
                check_length(name)?;
                let path = file(dir, name, extension);
                replace_file(dir, &path, &bytes).map_err(|error| cannot("write", &path, &error))
            }
        }
    }

    /// Whether there was something to remove.
    pub(super) fn remove(&self, name: &str) -> Result<bool> {
        match self {
            Self::Memory(items) => Ok(items.write().remove(name).is_some()),
            Self::Disk { dir, extension } => {
                let path = file(dir, name, extension);
                match fs::remove_file(&path) {
                    Ok(()) => {
                        sync_directory(dir).map_err(|error| cannot("write", dir, &error))?;
                        Ok(true)
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                    Err(error) => Err(cannot("delete", &path, &error)),
                }
            }
        }
    }
}

fn file(dir: &Path, name: &str, extension: &str) -> PathBuf {
    dir.join(format!("{}.{extension}", encode(name)))
}

/// Writes a file: the whole or nothing.
pub(crate) fn replace_file(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = temporary_file(dir)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    sync_directory(dir)
}

/// A file to be renamed when it is whole; removed when it never is.
pub(super) fn temporary_file(dir: &Path) -> io::Result<NamedTempFile> {
    let ending = format!(".{TEMPORARY}");
    let mut builder = tempfile::Builder::new();
    builder.suffix(&ending);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // as a file made in the ordinary way; temporary ones are private by default
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir)
}

/// Removes what a crash left half written in a directory.
pub(super) fn clear_temporaries(dir: &Path) -> Result<()> {
    for path in entries(dir)? {
        if path.extension() == Some(OsStr::new(TEMPORARY)) {
            remove_any(&path)?;
        }
    }
    Ok(())
}

/// Makes renames and removals in a directory last.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    // elsewhere a directory cannot be opened as a file, and renames need no such help
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// The paths in a directory.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| cannot("read", dir, &error))
}

/// Removes a file, or a directory with all in it.
pub(super) fn remove_any(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(cannot("delete", path, &error))
        }
        _ => Ok(()),
    }
}

fn make_directory(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => Ok(()),
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(cannot("make the directory", dir, &error)),
    }
}

/// What could not be done to a path, and what to do about it.
pub(super) fn cannot(what: &str, path: &Path, error: &io::Error) -> DataFusionError {
    let parent = path.parent().unwrap_or(path).display();
    let advice = match error.kind() {
        io::ErrorKind::NotFound => {
            format!("its parent directory {parent} must be there first: mkdir -p {parent}")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give yourself the right to write there, or open another directory with --db DIR"
                .to_string()
        }
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "a file is in the way: move it, or open another directory with --db DIR".to_string()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space, or open a directory on another disk with --db DIR".to_string()
        }
        _ => "see that the directory given with --db is sound".to_string(),
    };
    exec_datafusion_err!("cannot {what} {}: {error}; {advice}", path.display())
}

/// A name as a file name: what is not a-z, 0-9 or _ is percent-encoded.
pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' => encoded.push(char::from(byte)),
            // writing to a string does not fail
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// The name that [`encode`] made a file name of; none for other files.
pub(super) fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (!name.is_empty() && encode(&name) == encoded).then_some(name)
}

/// Refuses names that no file can have.
pub(super) fn check_length(name: &str) -> Result<()> {
    if name.is_empty() {
        return exec_err!("an empty name cannot be stored");
    }
    let length = encode(name).len();
    if length > LONGEST_NAME {
        return exec_err!(
            "the name {name} is too long to be stored: it takes {length} bytes as a file name, where a-z, 0-9 \
             and _ take one and other bytes three; the most is {LONGEST_NAME}"
        );
    }
    Ok(())
}
