//! `random_erase` and `cutout`.

use datafusion_common::Result;

use super::draw::{Draw, KEY};
use super::function::{OfImage, Row};
use super::random_crop::{part, range};
use super::value::{Image, Output, Shape};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");

/// Sets the colours of a rectangle.
fn erase(
    pixels: &mut [u8],
    shape: Shape,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
    fill: u8,
) {
    let n = shape.channels;
    for line in pixels.chunks_exact_mut(shape.stride()).skip(y).take(height) {
        let line = &mut line[x * n..(x + width) * n];
        if n == 4 {
            for pixel in line.chunks_exact_mut(4) {
                pixel[..3].fill(fill);
            }
        } else {
            line.fill(fill);
        }
    }
}

fn fill(options: &Options) -> Result<u8> {
    match options.integer("fill", 0)? {
        fill @ 0..=255 => Ok(fill as u8),
        _ => options.wrong("fill", "a whole number from 0 to 255"),
    }
}

const ERASE: Spec = Spec {
    name: "random_erase",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with a random rectangle erased, in a part of all cases.",
    params: &[
        IMAGE,
        Param::optional_data("p", "0.5", "how likely it is"),
        KEY,
        Param::option(
            "scale",
            "[0.02, 0.33]",
            "the least and the greatest share of the image's area",
        ),
        Param::option(
            "ratio",
            "[0.3, 3.3]",
            "the least and the greatest ratio of width to height",
        ),
        Param::option("fill", "0", "what is there instead, from 0 to 255"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT random_erase(i, 0) = i, image_mean(random_erase(i, 1, scale => [0.25, 0.25], ratio => [1.0, 1.0])) \
              FROM (SELECT image_from_pixels([8, 8, 8, 8], width => 2, height => 2) AS i)",
        result: "true,6.0",
    }],
    source: "Zhong et al. 2020, as torchvision's RandomErasing",
    also: &[
        "torchvision.transforms.RandomErasing",
        "tf.keras.layers.RandomErasing",
    ],
};

/// `random_erase(image, p, key, scale, ratio, fill)`.
#[derive(Debug)]
pub struct RandomErase;

pub struct Plan {
    scale: (f64, f64),
    ratio: (f64, f64),
    fill: u8,
}

impl OfImage for RandomErase {
    type Plan = Plan;
    type Out = Output;

    fn spec() -> &'static Spec {
        &ERASE
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, 1.0)]
    }

    fn plan(options: &Options) -> Result<Plan> {
        Ok(Plan {
            scale: range(options, "scale", 0.0, 1.0)?,
            ratio: range(options, "ratio", 0.01, 100.0)?,
            fill: fill(options)?,
        })
    }

    fn apply(plan: &mut Plan, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let mut draw = Draw::new(row.hash);
        let pixels = out.copy(image)?;
        if draw.chance(row.numbers[0])
            && let Some((x, y, width, height)) =
                part(image.shape, plan.scale, plan.ratio, &mut draw)
        {
            let (start, size) = ((x as usize, y as usize), (width as usize, height as usize));
            erase(pixels, image.shape, start, size, plan.fill);
        }
        Ok(())
    }
}

const CUTOUT: Spec = Spec {
    name: "cutout",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with squares cut out around random pixels; a square may reach beyond the edge.",
    params: &[
        IMAGE,
        Param::data("size", "the side of a square, in pixels"),
        Param::optional_data("holes", "1", "how many squares, up to 1000"),
        KEY,
        Param::option("fill", "0", "what is there instead, from 0 to 255"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_mean(cutout(i, 1)), image_mean(cutout(i, 9)) \
              FROM (SELECT image_from_pixels([8, 8, 8, 8], width => 2, height => 2) AS i)",
        result: "6.0,0.0",
    }],
    source: "DeVries and Taylor 2017",
    also: &["albumentations.CoarseDropout"],
};

/// `cutout(image, size, holes, key, fill)`.
#[derive(Debug)]
pub struct Cutout;

impl OfImage for Cutout {
    type Plan = u8;
    type Out = Output;

    fn spec() -> &'static Spec {
        &CUTOUT
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, 1e9), (0.0, 1000.0)]
    }

    fn plan(options: &Options) -> Result<u8> {
        fill(options)
    }

    fn apply(fill: &mut u8, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let mut draw = Draw::new(row.hash);
        let size = row.whole(0);
        let pixels = out.copy(image)?;
        for _ in 0..row.whole(1) {
            let mut ends = |side: usize| {
                let middle = draw.up_to(side - 1);
                let start = middle.saturating_sub(size / 2);
                (start, (middle + size.div_ceil(2)).min(side) - start)
            };
            let (y, height) = ends(image.shape.height);
            let (x, width) = ends(image.shape.width);
            erase(pixels, image.shape, (x, y), (width, height), *fill);
        }
        Ok(())
    }
}
