//! Pictures to look at: images out of a column, for programs that show them.

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::Result;

use super::color::{Mode, convert};
use super::grid::{Layout, composed};
use super::resize::Sizer;
use super::value::{Image, Images, Shape, is_image};
use crate::spec::{Kind, Spec, Stage};

/// What errors of a column call who reads it.
const READER: Spec = Spec {
    name: "pictures",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "",
    params: &[],
    variadic: false,
    examples: &[],
    source: "",
    also: &[],
};

/// Whether a column of a type may hold images.
pub fn may_hold(t: &DataType) -> bool {
    is_image(t)
        || matches!(
            t,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView
        )
}

/// An image of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    shape: Shape,
    pixels: Vec<u8>,
}

impl Picture {
    /// Of rows of pixels of so many channels.
    pub fn new(width: usize, channels: usize, pixels: Vec<u8>) -> Self {
        let height = pixels.len() / (width * channels).max(1);
        let shape = Shape {
            height,
            width,
            channels,
        };
        Self { shape, pixels }
    }

    /// The images of a column, a row each; `None` where there is none.
    pub fn of(column: &ArrayRef) -> Result<Vec<Option<Self>>> {
        let column = match column.data_type() {
            DataType::Binary | DataType::LargeBinary => cast(column, &DataType::BinaryView)?,
            _ => ArrayRef::clone(column),
        };
        let images = Images::new(&READER, &column)?;
        let mut room = Vec::new();
        (0..column.len())
            .map(|row| {
                if images.nulls().is_some_and(|n| n.is_null(row)) {
                    return Ok(None);
                }
                let image = images.get(&READER, row, &mut room)?;
                Ok(image.map(|image| Self {
                    shape: image.shape,
                    pixels: image.pixels.to_vec(),
                }))
            })
            .collect()
    }

    /// One picture of several, about as many beside as below each other.
    pub fn grid(pictures: &[Self]) -> Result<Self> {
        let images: Vec<Image<'_>> = pictures.iter().map(Self::image).collect();
        let layout = Layout {
            columns: (1..).find(|n| n * n >= images.len()).unwrap_or(1),
            padding: 2,
            fill: 128,
        };
        let (shape, pixels) = composed(&images, layout)?;
        Ok(Self { shape, pixels })
    }

    fn image(&self) -> Image<'_> {
        Image {
            shape: self.shape,
            pixels: &self.pixels,
        }
    }

    /// How many pixels are beside each other.
    pub fn width(&self) -> usize {
        self.shape.width
    }

    /// How many pixels are below each other.
    pub fn height(&self) -> usize {
        self.shape.height
    }

    /// In colours without alpha, in its proportions: not larger than `most`, width and height, and each pixel a square
    /// of several where it is smaller than `least`.
    pub fn shown(&self, most: (usize, usize), least: usize) -> Result<Self> {
        let shape = Shape {
            channels: 3,
            ..self.shape
        };
        let mut pixels = vec![0; shape.bytes()];
        convert(self.image(), Mode::Rgb, &mut pixels);
        let colored = Self { shape, pixels };
        let (width, height) = (shape.width, shape.height);
        let room = (most.0 as f64 / width as f64).min(most.1 as f64 / height as f64);
        let times = (least / width.max(height)).min(room as usize);
        let (sized, filter) = if room < 1.0 {
            let side = |side: usize| ((side as f64 * room) as usize).max(1);
            (shape.sized(side(width), side(height)), "bilinear")
        } else if times > 1 {
            (shape.sized(width * times, height * times), "nearest")
        } else {
            return Ok(colored);
        };
        let mut pixels = vec![0; sized.bytes()];
        Sizer::new(filter).stretch(colored.image(), sized, &mut pixels)?;
        Ok(Self {
            shape: sized,
            pixels,
        })
    }

    /// The channels of its pixels, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// As a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        super::decode::png(self.image())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_within_bounds() {
        let grey = Picture::new(4, 1, (0..8).collect());
        assert_eq!((grey.width(), grey.height()), (4, 2));
        let plain = grey.shown((100, 100), 0).unwrap();
        assert_eq!(plain.pixels()[..6], [0, 0, 0, 1, 1, 1]);
        let large = grey.shown((100, 100), 12).unwrap();
        assert_eq!((large.width(), large.height()), (12, 6));
        assert_eq!(large.pixels()[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
        let narrow = grey.shown((9, 100), 12).unwrap();
        assert_eq!((narrow.width(), narrow.height()), (8, 4));
        let small = grey.shown((2, 100), 12).unwrap();
        assert_eq!((small.width(), small.height()), (2, 1));
    }

    #[test]
    fn several_are_one() {
        let one = Picture::new(2, 1, vec![7; 4]);
        let grid = Picture::grid(&vec![one; 5]).unwrap();
        assert_eq!((grid.width(), grid.height()), (3 * 2 + 4, 2 * 2 + 2));
        assert_eq!(grid.pixels()[..4], [7, 7, 128, 128]);
    }
}
