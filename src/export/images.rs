//! `images`: a folder with a file an image, in folders by their labels: what `read_images` reads.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result, exec_err, plan_err};

use super::options::Options;
use super::pictures::{self, Names, Pictures};
use super::sink::Format;
use super::staging::{Staging, refused};

/// The format.
#[derive(Debug)]
pub struct Folder {
    schema: SchemaRef,
    image: usize,
    label: Option<usize>,
    /// The column of names, and whether their folders stay.
    key: Option<(usize, bool)>,
    overwrite: bool,
}

impl Folder {
    pub fn new(schema: &SchemaRef, options: &Options) -> Result<Self> {
        let image = pictures::only(Self::NAME, schema)?;
        let usual = |name: &str| schema.fields().iter().position(|f| f.name() == name);
        let label = options.column("label", schema)?.or_else(|| usual("label"));
        let key = match options.column("key", schema)? {
            Some(key) => Some((key, true)),
            None => usual("path").map(|path| (path, false)),
        };
        let used = [Some(image), label, key.map(|key| key.0)];
        let lost = |place: usize| !used.contains(&Some(place));
        if let Some(place) = (0..schema.fields().len()).find(|place| lost(*place)) {
            return plan_err!(
                "images: column {} would be lost: files hold the image, their names the label and the path. Select \
                 those alone, or name others with OPTIONS (label column, key column)",
                schema.field(place).name()
            );
        }
        Ok(Self {
            schema: SchemaRef::clone(schema),
            image,
            label,
            key,
            overwrite: options.boolean("overwrite")?,
        })
    }

    fn names<'a>(&'a self, place: usize, batch: &RecordBatch, first: u64) -> Result<Names<'a>> {
        let name = Schema::field(&self.schema, place).name();
        Names::new(Self::NAME, name, batch.column(place), first)
    }
}

impl Format for Folder {
    const NAME: &'static str = "images";
    /// Paths and what the files hold.
    type Part = Vec<(String, Vec<u8>)>;
    type Files = PathBuf;

    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Self::Part> {
        let name = self.schema.field(self.image).name();
        let images = Pictures::new(Self::NAME, name, batch.column(self.image), first)?;
        let labels = match self.label {
            Some(label) => Some(self.names(label, batch, first)?),
            None => None,
        };
        let keys = match self.key {
            Some((key, whole)) => Some((self.names(key, batch, first)?, whole)),
            None => None,
        };
        let mut files = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let (file, ending) = images.file(row)?;
            let key = match &keys {
                Some((keys, true)) => keys.path(row)?,
                Some((keys, false)) => keys.last(row)?,
                None => format!("{:08}", first + row as u64),
            };
            let path = match &labels {
                Some(labels) => format!("{}/{key}.{ending}", labels.part(row)?),
                None => format!("{key}.{ending}"),
            };
            files.push((path, file.into_owned()));
        }
        Ok(files)
    }

    fn create(&self, staging: &Staging) -> Result<PathBuf> {
        staging.free(Self::NAME, self.overwrite)?;
        let folder = staging.path();
        fs::create_dir(&folder).map_err(refused(staging.target()))?;
        Ok(folder)
    }

    fn write(&self, folder: &mut PathBuf, part: Self::Part) -> Result<()> {
        for (name, bytes) in part {
            let path = folder.join(&name);
            let made = match path.parent() {
                Some(parent) => fs::create_dir_all(parent),
                None => Ok(()),
            };
            let file = made.and_then(|()| File::create_new(&path));
            match file.and_then(|mut file| file.write_all(&bytes)) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    return exec_err!(
                        "images: two rows would be '{name}'. Write OPTIONS (key column) with a column that is different \
                         in each row"
                    );
                }
                Err(e) => return Err(refused(&path)(e)),
            }
        }
        Ok(())
    }

    fn finish(&self, _: PathBuf, _: &mut Staging) -> Result<()> {
        Ok(())
    }
}
