//! Images of two rows made one.

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use datafusion_common::{Result, exec_err};

use crate::images::draw::Draw;
use crate::images::mix::{Rectangle, blend};
use crate::images::value::{Collect, Image, Images, Output, image_type};
use crate::spec::Spec;

/// Bytes of images that are made at a time.
const AT_ONCE: usize = 1 << 26;

/// The column of images that are mixed.
pub struct Pictures {
    spec: &'static Spec,
    images: Images,
    /// The bytes of the first image; all that are mixed are of one shape.
    bytes: usize,
}

impl Pictures {
    pub fn new(spec: &'static Spec, column: &ArrayRef) -> Result<Self> {
        let wanted = image_type(spec, "image", column.data_type())?;
        let rows = column.len();
        let mut pictures = Self {
            spec,
            images: Images::new(spec, &cast(column, &wanted)?)?,
            bytes: 0,
        };
        let mut room = Vec::new();
        for row in 0..rows {
            if let Some(image) = pictures.get(row, &mut room)? {
                pictures.bytes = image.shape.bytes();
                break;
            }
        }
        Ok(pictures)
    }

    /// How many rows are to be made at a time, of `most`.
    pub fn rows_at_once(&self, most: u64) -> u64 {
        let rows = AT_ONCE.checked_div(self.bytes).map(|rows| rows as u64);
        rows.map_or(most, |rows| rows.clamp(1, most))
    }

    /// Bytes held while images are made.
    pub fn size(&self) -> usize {
        2 * AT_ONCE.max(self.bytes)
    }

    fn get<'a>(&'a self, row: usize, room: &'a mut Vec<u8>) -> Result<Option<Image<'a>>> {
        if self.images.nulls().is_some_and(|n| n.is_null(row)) {
            return Ok(None);
        }
        self.images.get(self.spec, row, room)
    }

    /// An image of each pair: mixed by the pair's share, or, with a key a pair, cut, which changes the share. NULL where
    /// one of the two is.
    pub fn mixed(
        &self,
        a: &[u32],
        b: &[u32],
        shares: &mut [f64],
        cuts: Option<&[u64]>,
    ) -> Result<ArrayRef> {
        let mut out = Output::new(a.len(), 0);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for (i, share) in shares.iter_mut().enumerate() {
            let a = self.get(a[i] as usize, &mut one)?;
            let b = self.get(b[i] as usize, &mut other)?;
            let (Some(a), Some(b)) = (a, b) else {
                out.null();
                continue;
            };
            let shape = a.shape;
            if shape != b.shape {
                return exec_err!(
                    "{}: an image of {} x {} pixels of {} channels and one of {} x {} of {} cannot be mixed. \
                     Write image_resize(image, {}, {}) and image_convert first",
                    self.spec.name,
                    shape.width,
                    shape.height,
                    shape.channels,
                    b.shape.width,
                    b.shape.height,
                    b.shape.channels,
                    shape.width,
                    shape.height
                );
            }
            match cuts {
                None => blend(a.pixels, b.pixels, *share, out.push(shape)?),
                Some(keys) => {
                    let cut = Rectangle::drawn(*share, shape, &mut Draw::new(keys[i]));
                    cut.copy(shape, b.pixels, out.copy(a)?);
                    *share = cut.share_around(shape);
                }
            }
        }
        out.finish()
    }
}
