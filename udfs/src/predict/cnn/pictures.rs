//! A column of pictures as a network reads them.

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use datafusion_common::{Result, exec_err};

use crate::images::value::{Image, Images, Shape, image_type};
use crate::spec::{Kind, Spec, Stage};
use crate::synthesize::layers::Frame;

/// What messages about a picture begin with.
const SPEC: Spec = Spec {
    name: "cnn",
    stage: Stage::Predict,
    kind: Kind::Relation,
    summary: "",
    params: &[],
    variadic: false,
    examples: &[],
    source: "",
    also: &[],
};

/// The pictures of a column, one at a time.
pub struct Column(Images);

impl Column {
    pub fn new(array: &ArrayRef) -> Result<Self> {
        let data_type = image_type(&SPEC, "the picture", array.data_type())?;
        Ok(Self(Images::new(&SPEC, &cast(array, &data_type)?)?))
    }

    /// The picture of a row; none if it is NULL, or its bytes are no picture.
    pub fn get<'a>(&'a self, row: usize, room: &'a mut Vec<u8>) -> Result<Option<Image<'a>>> {
        match self.0.nulls().is_some_and(|nulls| nulls.is_null(row)) {
            true => Ok(None),
            false => self.0.get(&SPEC, row, room),
        }
    }
}

/// The frame of pictures of a shape.
pub fn frame(shape: Shape) -> Frame {
    Frame {
        height: shape.height,
        width: shape.width,
        channels: shape.channels,
    }
}

/// An error if a picture is not of the size that a network takes.
pub fn check(shape: Shape, wanted: Frame) -> Result<()> {
    if frame(shape) == wanted {
        return Ok(());
    }
    let channels = |channels: usize| match channels {
        1 => "grey",
        3 => "RGB",
        _ => "RGBA",
    };
    exec_err!(
        "a picture of {} x {} pixels, {}, stands among those of {} x {}, {}. Write image_resize(image_convert(image, '{}'), \
         {}, {}) for the picture column",
        shape.width,
        shape.height,
        channels(shape.channels),
        wanted.width,
        wanted.height,
        channels(wanted.channels),
        if wanted.channels == 1 { "gray" } else { "rgb" },
        wanted.width,
        wanted.height
    )
}

/// Pictures that a network learns from: bytes of one size.
#[derive(Debug)]
pub struct Pictures {
    pub frame: Frame,
    pixels: Vec<u8>,
}

impl Pictures {
    /// The pictures of a column, and which of its rows have one. All are to be of one size: `wanted`, or that of the
    /// first.
    pub fn read(array: &ArrayRef, wanted: Option<Frame>) -> Result<(Self, Vec<u32>)> {
        let column = Column::new(array)?;
        let (mut room, mut pixels, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut wanted = wanted;
        for row in 0..array.len() {
            let Some(picture) = column.get(row, &mut room)? else {
                continue;
            };
            check(picture.shape, *wanted.get_or_insert(frame(picture.shape)))?;
            pixels.extend_from_slice(picture.pixels);
            rows.push(row as u32);
        }
        match wanted {
            Some(frame) if !rows.is_empty() => Ok((Self { frame, pixels }, rows)),
            _ => {
                exec_err!("no row has a picture: the column is NULL, or its bytes are no pictures")
            }
        }
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.frame.cells().max(1)
    }

    /// The bytes of a picture.
    pub fn get(&self, picture: usize) -> &[u8] {
        let cells = self.frame.cells();
        &self.pixels[picture * cells..][..cells]
    }

    /// The bytes of all pictures.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.pixels.capacity()
    }

    /// The mean and the deviation of each channel, in 0 to 255.
    pub fn scale(&self) -> Scale {
        let channels = self.frame.channels.max(1);
        let (mut sums, mut squares) = (vec![0u64; channels], vec![0u64; channels]);
        for pixel in self.pixels.chunks_exact(channels) {
            for (i, byte) in pixel.iter().enumerate() {
                let byte = u64::from(*byte);
                sums[i] += byte;
                squares[i] += byte * byte;
            }
        }
        let count = (self.pixels.len() / channels).max(1) as f64;
        let means = sums.iter().map(|sum| *sum as f64 / count);
        let scales = means.zip(&squares).map(|(mean, squares)| {
            let variance = (*squares as f64 / count - mean * mean).max(0.0);
            // a constant is only centred
            [
                mean,
                if variance > 1e-6 {
                    variance.sqrt()
                } else {
                    1.0
                },
            ]
        });
        Scale(scales.collect())
    }
}

/// What a channel's mean and deviation were where a network learnt.
#[derive(Debug, Clone)]
pub struct Scale(pub Vec<[f64; 2]>);

impl Scale {
    /// Writes a picture standardised.
    pub fn write(&self, pixels: &[u8], out: &mut [f32]) {
        let channels = self.0.len().max(1);
        let pixels = pixels.chunks_exact(channels);
        for (out, bytes) in out.chunks_exact_mut(channels).zip(pixels) {
            for ((out, byte), [mean, deviation]) in out.iter_mut().zip(bytes).zip(&self.0) {
                *out = ((f64::from(*byte) - mean) / deviation) as f32;
            }
        }
    }
}
