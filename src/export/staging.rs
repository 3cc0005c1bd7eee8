//! Files in the making: in a folder beside their target, from where they move when they are complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use tempfile::TempDir;

/// A folder of its own for what is being written. Dropped, it is gone with all that is in it.
#[derive(Debug)]
pub struct Staging {
    target: PathBuf,
    folder: TempDir,
    outdated: Vec<PathBuf>,
}

impl Staging {
    /// Makes the folder, and those above the target that are missing.
    pub fn beside(target: &Path) -> Result<Self> {
        let strange = |of: fs::Metadata| !of.is_file() && !of.is_dir();
        if fs::metadata(target).is_ok_and(strange) {
            return exec_err!(
                "'{}' is a pipe or a device. Write to a file",
                target.display()
            );
        }
        let above = above(target);
        fs::create_dir_all(above).map_err(refused(target))?;
        let folder = tempfile::Builder::new()
            .prefix(".seedbed-")
            .tempdir_in(above);
        Ok(Self {
            target: target.to_path_buf(),
            folder: folder.map_err(refused(target))?,
            outdated: Vec::new(),
        })
    }

    /// What the files are to be in the end.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where to write the target itself.
    pub fn path(&self) -> PathBuf {
        self.named(self.target.file_name().unwrap_or_default())
    }

    /// Where to write a file that is to be beside the target, or a passing one.
    pub fn named(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has a file removed when the new ones have their places, unless it is one of them.
    pub fn outdate(&mut self, path: PathBuf) {
        self.outdated.push(path);
    }

    /// Gives all that is in the folder its place. What has the name already is replaced.
    pub fn publish(self) -> Result<()> {
        self.moved().map_err(refused(&self.target))
    }

    fn moved(&self) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder.path())? {
            names.push(entry?.file_name());
        }
        names.sort();
        for name in &names {
            let (from, to) = (self.named(name), above(&self.target).join(name));
            if !from.is_dir() || !to.exists() {
                fs::rename(from, to)?;
                continue;
            }
            // a folder cannot be renamed over another: that one goes with the folder of what was being written
            let old = self.named(".old");
            fs::rename(&to, &old)?;
            if let Err(error) = fs::rename(from, &to) {
                fs::rename(&old, &to)?;
                return Err(error);
            }
        }
        for path in &self.outdated {
            if !names.iter().any(|name| path.ends_with(name)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// An error if the target is a folder with something in it that nobody said could go.
    pub fn free(&self, format: &str, overwrite: bool) -> Result<()> {
        let target = self.target.display();
        if self.target.is_file() {
            return exec_err!(
                "{format}: '{target}' is a file. Write to a folder that is not there"
            );
        }
        let full = fs::read_dir(&self.target).is_ok_and(|mut entries| entries.next().is_some());
        if full && !overwrite {
            return exec_err!(
                "{format}: the folder '{target}' is there already. Write to another one, or add OPTIONS (overwrite \
                 true) to replace it with all that is in it"
            );
        }
        Ok(())
    }
}

/// The folder a path is in.
pub fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The error of a path that cannot be written.
pub fn refused(target: &Path) -> impl Fn(io::Error) -> DataFusionError + '_ {
    move |error| {
        let target = target.display();
        exec_datafusion_err!("{target} cannot be written: {error}. Write to another folder")
    }
}
