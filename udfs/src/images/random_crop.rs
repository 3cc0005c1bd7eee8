//! `random_crop`, `random_resized_crop` and `random_flip`.

use datafusion_common::Result;

use super::crop::window;
use super::draw::{Draw, KEY};
use super::flip::{horizontal, vertical};
use super::function::{OfImage, Row};
use super::resize::{Sizer, covering};
use super::value::{Image, Output, Shape};
use super::warp::Edge;
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");
const SIDE: (f64, f64) = (1.0, f64::INFINITY);

const CROP: Spec = Spec {
    name: "random_crop",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "A part of the image at a random place.",
    params: &[
        IMAGE,
        Param::data("width", "how many columns"),
        Param::data("height", "how many rows"),
        Param::optional_data(
            "padding",
            "0",
            "how many pixels are added at each edge first",
        ),
        KEY,
        Param::option(
            "mode",
            "'constant'",
            "what is added: 'constant', the 'nearest' pixel, 'reflect' or 'wrap'",
        ),
        Param::option("fill", "0", "the constant, from 0 to 255"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_mean(random_crop(image_from_pixels([7, 7, 7, 7, 7, 7, 7, 7, 7], width => 3, height => 3), 2, 2))",
        result: "7.0",
    }],
    source: "torchvision's RandomCrop: all places are equally likely; an image that is too small is in the middle",
    also: &[
        "torchvision.transforms.RandomCrop",
        "tf.image.random_crop",
        "tf.keras.layers.RandomCrop",
        "albumentations.RandomCrop",
    ],
};

/// `random_crop(image, width, height, padding, key, mode, fill)`.
#[derive(Debug)]
pub struct RandomCrop;

impl OfImage for RandomCrop {
    type Plan = Edge;
    type Out = Output;

    fn spec() -> &'static Spec {
        &CROP
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[SIDE, SIDE, (0.0, 1e6)]
    }

    fn plan(options: &Options) -> Result<Edge> {
        Edge::new(options)
    }

    fn apply(edge: &mut Edge, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = image.shape.sized(row.whole(0), row.whole(1));
        let padding = row.whole(2);
        let mut draw = Draw::new(row.hash);
        let mut start = |side: usize, part: usize| {
            let side = side + 2 * padding;
            let place = match side.checked_sub(part) {
                Some(free) => draw.up_to(free) as i64,
                None => -(((part - side) / 2) as i64),
            };
            place - padding as i64
        };
        let to = out.push(shape)?;
        let y = start(image.shape.height, shape.height);
        let x = start(image.shape.width, shape.width);
        window(image, (x, y), shape.width, *edge, to);
        Ok(())
    }
}

const RESIZED: Spec = Spec {
    name: "random_resized_crop",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "A part of the image of random size, proportions and place, made as large as is wanted.",
    params: &[
        IMAGE,
        Param::data("width", "how many columns"),
        Param::data("height", "how many rows"),
        KEY,
        Param::option(
            "scale",
            "[0.08, 1.0]",
            "the least and the greatest share of the image's area",
        ),
        Param::option(
            "ratio",
            "[0.75, 1.3333333333333333]",
            "the least and the greatest ratio of width to height",
        ),
        Param::option(
            "filter",
            "'bilinear'",
            "'nearest', 'box', 'bilinear', 'hamming', 'bicubic' or 'lanczos'",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_mean(random_resized_crop(image_from_pixels([7, 7, 7, 7], width => 2, height => 2), 5, 5))",
        result: "7.0",
    }],
    source: "torchvision's RandomResizedCrop, of the Inception networks (Szegedy et al. 2015)",
    also: &[
        "torchvision.transforms.RandomResizedCrop",
        "albumentations.RandomResizedCrop",
        "tf.image.sample_distorted_bounding_box",
    ],
};

/// Two numbers of an option, the first not above the second.
pub fn range(options: &Options, name: &str, lo: f64, hi: f64) -> Result<(f64, f64)> {
    match options.floats(name)?.as_slice() {
        [a, b] if lo <= *a && a <= b && *b <= hi => Ok((*a, *b)),
        _ => options.wrong(
            name,
            format!("two numbers from {lo} to {hi}, the smaller first, as in [{lo}, {hi}]"),
        ),
    }
}

/// `random_resized_crop(image, width, height, key, scale, ratio, filter)`.
#[derive(Debug)]
pub struct RandomResizedCrop;

pub struct Resized {
    sizer: Sizer,
    scale: (f64, f64),
    ratio: (f64, f64),
}

impl OfImage for RandomResizedCrop {
    type Plan = Resized;
    type Out = Output;

    fn spec() -> &'static Spec {
        &RESIZED
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[SIDE, SIDE]
    }

    fn plan(options: &Options) -> Result<Resized> {
        let filters = [
            "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos",
        ];
        Ok(Resized {
            sizer: Sizer::new(options.choice("filter", &filters)?),
            scale: range(options, "scale", 0.0, 1.0)?,
            ratio: range(options, "ratio", 0.01, 100.0)?,
        })
    }

    fn apply(plan: &mut Resized, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = image.shape.sized(row.whole(0), row.whole(1));
        let mut draw = Draw::new(row.hash);
        let part = part(image.shape, plan.scale, plan.ratio, &mut draw).unwrap_or_else(|| {
            // the middle, of proportions that are allowed
            let (w, h) = (image.shape.width as f64, image.shape.height as f64);
            let ratio = (w / h).clamp(plan.ratio.0, plan.ratio.1);
            let side = 1 << 20;
            covering(
                image.shape,
                shape.sized((ratio * f64::from(side)) as usize, side as usize),
            )
        });
        plan.sizer.resize(image, part, shape, out.push(shape)?)
    }
}

/// A random part of an image; None if ten did not fit.
pub fn part(
    image: Shape,
    scale: (f64, f64),
    ratio: (f64, f64),
    draw: &mut Draw,
) -> Option<(f64, f64, f64, f64)> {
    let area = (image.width * image.height) as f64;
    for _ in 0..10 {
        let area = area * draw.uniform(scale.0, scale.1);
        let ratio = draw.ratio(ratio.0, ratio.1);
        let side = |v: f64| v.sqrt().round_ties_even() as usize;
        let (width, height) = (side(area * ratio), side(area / ratio));
        if (1..=image.width).contains(&width) && (1..=image.height).contains(&height) {
            let y = draw.up_to(image.height - height);
            let x = draw.up_to(image.width - width);
            return Some((x as f64, y as f64, width as f64, height as f64));
        }
    }
    None
}

const FLIP: Spec = Spec {
    name: "random_flip",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image, mirrored in a part of all cases.",
    params: &[
        IMAGE,
        Param::optional_data("p", "0.5", "how likely it is mirrored"),
        KEY,
        Param::option(
            "direction",
            "'horizontal'",
            "'horizontal' (or 'h'), 'vertical' (or 'v'), or 'both': each as likely, independently",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(random_flip(i, 1), scale => 1), image_tensor(random_flip(i, 0), scale => 1) \
              FROM (SELECT image_from_pixels([1, 2], width => 2, height => 1) AS i)",
        result: "\"[2.0, 1.0]\",\"[1.0, 2.0]\"",
    }],
    source: "torchvision's RandomHorizontalFlip and RandomVerticalFlip",
    also: &[
        "torchvision.transforms.RandomHorizontalFlip",
        "tf.image.random_flip_left_right",
        "tf.keras.layers.RandomFlip",
        "albumentations.HorizontalFlip",
    ],
};

/// `random_flip(image, p, key, direction)`.
#[derive(Debug)]
pub struct RandomFlip;

pub struct Directions {
    sideways: bool,
    upright: bool,
    room: Vec<u8>,
}

impl OfImage for RandomFlip {
    type Plan = Directions;
    type Out = Output;

    fn spec() -> &'static Spec {
        &FLIP
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, 1.0)]
    }

    fn plan(options: &Options) -> Result<Directions> {
        let choices = ["horizontal", "vertical", "both", "h", "v"];
        let direction = options.choice("direction", &choices)?;
        Ok(Directions {
            sideways: !direction.starts_with('v'),
            upright: !direction.starts_with('h'),
            room: Vec::new(),
        })
    }

    fn apply(
        plan: &mut Directions,
        image: Image<'_>,
        row: Row<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let mut draw = Draw::new(row.hash);
        let sideways = plan.sideways && draw.chance(row.numbers[0]);
        let upright = plan.upright && draw.chance(row.numbers[0]);
        match (sideways, upright) {
            (false, false) => {
                out.copy(image)?;
            }
            (true, false) => horizontal(image, out.push(image.shape)?),
            (false, true) => vertical(image, out.push(image.shape)?),
            (true, true) => {
                plan.room.resize(image.pixels.len(), 0);
                horizontal(image, &mut plan.room);
                let pixels = plan.room.as_slice();
                vertical(Image { pixels, ..image }, out.push(image.shape)?);
            }
        }
        Ok(())
    }
}
