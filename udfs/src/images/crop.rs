//! `image_crop(image, x, y, width, height)`, `image_center_crop(image, width, height)` and `image_pad(...)`.

use datafusion_common::Result;

use super::function::{OfImage, Row};
use super::value::{Image, Output};
use super::warp::Edge;
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");

/// Writes the part of an image that begins at (x, y) and is as large as `to` has room for rows of `width` pixels.
pub fn window(image: Image<'_>, (x, y): (i64, i64), width: usize, edge: Edge, to: &mut [u8]) {
    let shape = image.shape;
    let n = shape.channels;
    let (w, h) = (shape.width as i64, shape.height as i64);
    // the columns of the window that are in the image
    let left = (-x).clamp(0, width as i64) as usize;
    let right = (w - x).clamp(left as i64, width as i64) as usize;
    for (row, line) in to.chunks_exact_mut((width * n).max(1)).enumerate() {
        let Some(source) = edge.place(y.saturating_add(row as i64), h) else {
            if let Edge::Constant(fill) = edge {
                line.fill(fill);
            }
            continue;
        };
        let source = &image.pixels[source as usize * shape.stride()..][..shape.stride()];
        if left < right {
            let start = (x + left as i64) as usize * n;
            line[left * n..right * n].copy_from_slice(&source[start..start + (right - left) * n]);
        }
        for column in (0..left).chain(right..width) {
            let to = &mut line[column * n..(column + 1) * n];
            match (edge.place(x.saturating_add(column as i64), w), edge) {
                (Some(at), _) => to.copy_from_slice(&source[at as usize * n..][..n]),
                (None, Edge::Constant(fill)) => to.fill(fill),
                (None, _) => {}
            }
        }
    }
}

/// A number as a whole one, halves upwards.
fn whole(v: f64) -> i64 {
    // a cast from float to whole number stops at the ends of its range
    ((v + 0.5).floor() as i64).clamp(-(1 << 40), 1 << 40)
}

const CROP: Spec = Spec {
    name: "image_crop",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "A part of the image; what is beyond its edge is 0.",
    params: &[
        IMAGE,
        Param::data("x", "the first column, from 0"),
        Param::data("y", "the first row, from 0"),
        Param::data("width", "how many columns"),
        Param::data("height", "how many rows"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_crop(i, 1, 0, 2, 2), scale => 1) \
              FROM (SELECT image_from_pixels([1, 2, 3, 4], width => 2, height => 2) AS i)",
        result: "\"[2.0, 0.0, 4.0, 0.0]\"",
    }],
    source: "Pillow's Image.crop",
    also: &[
        "PIL.Image.Image.crop",
        "torchvision.transforms.functional.crop",
    ],
};

/// `image_crop(image, x, y, width, height)`.
#[derive(Debug)]
pub struct Crop;

/// What a side may be.
const SIDE: (f64, f64) = (1.0, f64::INFINITY);
const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

impl OfImage for Crop {
    type Plan = ();
    type Out = Output;

    fn spec() -> &'static Spec {
        &CROP
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[ANY, ANY, SIDE, SIDE]
    }

    fn plan(_: &Options) -> Result<()> {
        Ok(())
    }

    fn apply(_: &mut (), image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = image.shape.sized(row.whole(2), row.whole(3));
        let start = (whole(row.numbers[0]), whole(row.numbers[1]));
        let to = out.push(shape)?;
        window(image, start, shape.width, Edge::Constant(0), to);
        Ok(())
    }
}

const CENTER_CROP: Spec = Spec {
    name: "image_center_crop",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The middle of the image; what is beyond its edge is 0.",
    params: &[
        IMAGE,
        Param::data("width", "how many columns"),
        Param::data("height", "how many rows"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_center_crop(i, 1, 1), scale => 1) \
              FROM (SELECT image_from_pixels(range(1, 10), width => 3, height => 3) AS i)",
        result: "[5.0]",
    }],
    source: "torchvision's CenterCrop; where the middle is between pixels, half of a whole number is rounded to an even one",
    also: &[
        "torchvision.transforms.CenterCrop",
        "tf.keras.layers.CenterCrop",
    ],
};

/// Where a window of a side begins in the middle of another, as torchvision.
pub fn middle(whole: usize, part: usize) -> i64 {
    if part <= whole {
        ((whole - part) as f64 / 2.0).round_ties_even() as i64
    } else {
        -(((part - whole) / 2) as i64)
    }
}

/// `image_center_crop(image, width, height)`.
#[derive(Debug)]
pub struct CenterCrop;

impl OfImage for CenterCrop {
    type Plan = ();
    type Out = Output;

    fn spec() -> &'static Spec {
        &CENTER_CROP
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[SIDE, SIDE]
    }

    fn plan(_: &Options) -> Result<()> {
        Ok(())
    }

    fn apply(_: &mut (), image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = image.shape.sized(row.whole(0), row.whole(1));
        let start = (
            middle(image.shape.width, shape.width),
            middle(image.shape.height, shape.height),
        );
        let to = out.push(shape)?;
        window(image, start, shape.width, Edge::Constant(0), to);
        Ok(())
    }
}

const PAD: Spec = Spec {
    name: "image_pad",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with pixels added at its edges.",
    params: &[
        IMAGE,
        Param::data("left", "how many columns on the left"),
        Param::optional_data("top", "0", "how many rows above"),
        Param::optional_data("right", "0", "how many columns on the right"),
        Param::optional_data("bottom", "0", "how many rows below"),
        Param::option(
            "mode",
            "'constant'",
            "what is added: 'constant', the 'nearest' pixel, 'reflect' (the image mirrored) or 'wrap'",
        ),
        Param::option("fill", "0", "the constant, from 0 to 255"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_pad(i, 1, right => 1, mode => 'nearest'), scale => 1) \
              FROM (SELECT image_from_pixels([1, 2], width => 2, height => 1) AS i)",
        result: "\"[1.0, 1.0, 2.0, 2.0]\"",
    }],
    source: "numpy.pad; its modes 'edge' and 'symmetric' are 'nearest' and 'reflect' here",
    also: &[
        "numpy.pad",
        "torchvision.transforms.Pad",
        "PIL.ImageOps.expand",
    ],
};

/// `image_pad(image, left, top, right, bottom, mode, fill)`.
#[derive(Debug)]
pub struct Pad;

impl OfImage for Pad {
    type Plan = Edge;
    type Out = Output;

    fn spec() -> &'static Spec {
        &PAD
    }

    fn ranges() -> &'static [(f64, f64)] {
        const COUNT: (f64, f64) = (0.0, f64::INFINITY);
        &[COUNT; 4]
    }

    fn plan(options: &Options) -> Result<Edge> {
        Edge::new(options)
    }

    fn apply(edge: &mut Edge, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let (left, top) = (whole(row.numbers[0]), whole(row.numbers[1]));
        let more = |a: usize, b: usize, side: usize| {
            side.saturating_add(row.whole(a))
                .saturating_add(row.whole(b))
        };
        let shape = image.shape.sized(
            more(0, 2, image.shape.width),
            more(1, 3, image.shape.height),
        );
        let to = out.push(shape)?;
        window(image, (-left, -top), shape.width, *edge, to);
        Ok(())
    }
}
