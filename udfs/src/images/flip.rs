//! `image_flip(image, direction)`.

use datafusion_common::Result;

use super::function::{OfImage, Row};
use super::value::{Image, Output};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "image_flip",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image mirrored.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::option(
            "direction",
            "'horizontal'",
            "'horizontal' (or 'h'): left becomes right; 'vertical' (or 'v'): top becomes bottom",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_flip(i), scale => 1), image_tensor(image_flip(i, 'v'), scale => 1) \
              FROM (SELECT image_from_pixels([1, 2, 3, 4], width => 2, height => 2) AS i)",
        result: "\"[2.0, 1.0, 4.0, 3.0]\",\"[3.0, 4.0, 1.0, 2.0]\"",
    }],
    source: "pixels in the opposite order of columns, or of rows",
    also: &[
        "PIL.ImageOps.mirror",
        "PIL.ImageOps.flip",
        "numpy.flip",
        "tf.image.flip_left_right",
    ],
};

/// Writes an image with left and right exchanged.
pub fn horizontal(image: Image<'_>, to: &mut [u8]) {
    fn rows<const N: usize>(image: Image<'_>, to: &mut [u8]) {
        let stride = image.shape.stride();
        let lines = image.pixels.chunks_exact(stride);
        for (to, from) in to.chunks_exact_mut(stride).zip(lines) {
            let from = from.as_chunks::<N>().0.iter().rev();
            for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(from) {
                *to = *from;
            }
        }
    }
    match image.shape.channels {
        1 => rows::<1>(image, to),
        3 => rows::<3>(image, to),
        4 => rows::<4>(image, to),
        _ => {}
    }
}

/// Writes an image with top and bottom exchanged.
pub fn vertical(image: Image<'_>, to: &mut [u8]) {
    let stride = image.shape.stride();
    let lines = image.pixels.chunks_exact(stride).rev();
    for (to, from) in to.chunks_exact_mut(stride).zip(lines) {
        to.copy_from_slice(from);
    }
}

/// `image_flip(image, direction)`.
#[derive(Debug)]
pub struct Flip;

impl OfImage for Flip {
    type Plan = bool;
    type Out = Output;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn plan(options: &Options) -> Result<bool> {
        let direction = options.choice("direction", &["horizontal", "vertical", "h", "v"])?;
        Ok(direction.starts_with('h'))
    }

    fn apply(sideways: &mut bool, image: Image<'_>, _: Row<'_>, out: &mut Output) -> Result<()> {
        let to = out.push(image.shape)?;
        if *sideways {
            horizontal(image, to);
        } else {
            vertical(image, to);
        }
        Ok(())
    }
}
