//! Columns of images as files: decoded images become PNG, bytes stay the files they are.

use std::borrow::Cow;
use std::path::{Component, Path};

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, exec_err, plan_err};
use seedbed_udfs::images::value::{self, Images, is_image};
use seedbed_udfs::images::{ENCODE, png};

use crate::load::Reader;

/// Whether a type is that of images, or of bytes.
pub fn is_picture(of: &DataType) -> bool {
    let bytes = matches!(
        of,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    );
    bytes || is_image(of)
}

/// The place of the one column of images.
pub fn only(format: &str, schema: &Schema) -> Result<usize> {
    let fields = schema.fields().iter().enumerate();
    let mut found = fields.filter(|(_, f)| is_picture(f.data_type()));
    match (found.next(), found.next()) {
        (Some((place, _)), None) => Ok(place),
        (Some((_, one)), Some((_, other))) => plan_err!(
            "{format}: columns {} and {} both have images. Select one of them",
            one.name(),
            other.name()
        ),
        (None, _) => plan_err!(
            "{format}: no column of the query has images. Write SELECT bytes FROM read_images('folder'), or \
             image_from_pixels(pixels, width => 28, height => 28) AS image"
        ),
    }
}

/// Some rows of a column of images.
pub struct Pictures<'a> {
    format: &'static str,
    name: &'a str,
    first: u64,
    images: Images,
}

impl<'a> Pictures<'a> {
    pub fn new(format: &'static str, name: &'a str, array: &ArrayRef, first: u64) -> Result<Self> {
        let of = match is_image(array.data_type()) {
            true => value::data_type(),
            false => DataType::BinaryView,
        };
        let images = Images::new(&ENCODE, &cast(array, &of)?)?;
        Ok(Self {
            format,
            name,
            first,
            images,
        })
    }

    /// A row's file and the ending of its name.
    pub fn file(&self, row: usize) -> Result<(Cow<'_, [u8]>, &'static str)> {
        let Self { format, name, .. } = self;
        if self.images.nulls().is_some_and(|n| n.is_null(row)) {
            let row = self.first + row as u64;
            return exec_err!(
                "{format}: column {name} is NULL in row {row} (from 0), where an image is wanted. Write WHERE {name} IS \
                 NOT NULL"
            );
        }
        if let Some(bytes) = self.images.encoded(row) {
            let Some(ending) = value::ending(bytes) else {
                let row = self.first + row as u64;
                return exec_err!(
                    "{format}: the bytes of column {name} are no image in row {row} (from 0). Write WHERE \
                     image_decode({name}) IS NOT NULL"
                );
            };
            return Ok((Cow::Borrowed(bytes), ending));
        }
        match self.images.get(&ENCODE, row, &mut Vec::new())? {
            Some(image) => Ok((Cow::Owned(png(image)?), "png")),
            None => exec_err!("{format}: column {name} has an image without pixels"),
        }
    }
}

/// A column of names of files: texts of which none leads out of the folder they are in.
pub struct Names<'a> {
    format: &'static str,
    name: &'a str,
    first: u64,
    texts: StringArray,
}

impl<'a> Names<'a> {
    pub fn new(format: &'static str, name: &'a str, array: &ArrayRef, first: u64) -> Result<Self> {
        let texts = cast(array, &DataType::Utf8)?;
        Ok(Self {
            format,
            name,
            first,
            texts: StringArray::from(texts.to_data()),
        })
    }

    fn text(&self, row: usize) -> Result<&str> {
        if self.texts.is_null(row) {
            return self.wrong(row, "NULL");
        }
        Ok(self.texts.value(row))
    }

    fn wrong<T>(&self, row: usize, what: &str) -> Result<T> {
        exec_err!(
            "{}: column {} is {what} in row {} (from 0), which cannot be part of a file's name. Write \
             coalesce({1}, 'none'), or another column",
            self.format,
            self.name,
            self.first + row as u64
        )
    }

    /// The name of a folder, say: with nothing in it that parts a path.
    pub fn part(&self, row: usize) -> Result<&str> {
        let text = self.text(row)?;
        let mut parts = Path::new(text).components();
        let plain =
            matches!((parts.next(), parts.next()), (Some(Component::Normal(p)), None) if p == text);
        // what begins with a point is hidden, and would not be read again
        if !plain || text.starts_with('.') || text.contains(['/', '\\', '\0']) {
            return self.wrong(row, &format!("'{text}'"));
        }
        Ok(text)
    }

    /// The last part of a path, without the ending of a picture's file.
    pub fn last(&self, row: usize) -> Result<String> {
        let path = self.path(row)?;
        Ok(match path.rsplit_once('/') {
            Some((_, last)) => last.to_string(),
            None => path,
        })
    }

    /// A path without the ending of a picture's file.
    pub fn path(&self, row: usize) -> Result<String> {
        let text = self.text(row)?;
        let path = Path::new(text);
        let path = match Reader::Images.reads(path) {
            true => path.with_extension(""),
            false => path.to_path_buf(),
        };
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => parts.push(part.to_string_lossy()),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return self.wrong(row, &format!("'{text}'"));
                }
            }
        }
        if parts.is_empty() || text.contains('\0') {
            return self.wrong(row, &format!("'{text}'"));
        }
        Ok(parts.join("/"))
    }
}
