//! `rand_augment` and `trivial_augment`: a few operations drawn from one set, which `auto_augment` shares.

use datafusion_common::Result;

use super::blur::sharpen;
use super::color::Change;
use super::draw::{Draw, KEY};
use super::function::{OfImage, Row};
use super::point::{autocontrast, equalize, look_up, posterize, solarize, table};
use super::value::{Image, Output, Shape};
use super::warp::{Affine, Edge, Filter, warp};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

pub const IMAGE: Param = Param::data("image", "an image, or the bytes of one");
pub const MODE: Param = Param::option(
    "mode",
    "'constant'",
    "what is beyond the edge: 'constant', the 'nearest' pixel, 'reflect' or 'wrap'",
);
pub const FILL: Param = Param::option("fill", "0", "the constant, from 0 to 255");

/// What can be done to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

/// What is drawn from.
const ALL: [Operation; 14] = [
    Operation::Identity,
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
    Operation::Rotate,
    Operation::Brightness,
    Operation::Color,
    Operation::Contrast,
    Operation::Sharpness,
    Operation::Posterize,
    Operation::Solarize,
    Operation::AutoContrast,
    Operation::Equalize,
];

/// How strong operations are at their strongest.
struct Strengths {
    shear: f64,
    /// Pixels to the right and down.
    shift: (f64, f64),
    degrees: f64,
    factor: f64,
    /// Bits that are lost.
    bits: f64,
}

impl Strengths {
    /// Those of RandAugment and AutoAugment for an image of a shape. The farthest shift is 150 of the 331 pixels
    /// that their authors' images have.
    fn usual(shape: Shape) -> Self {
        let share = 150.0 / 331.0;
        Self {
            shear: 0.3,
            shift: (share * shape.width as f64, share * shape.height as f64),
            degrees: 30.0,
            factor: 0.9,
            bits: 4.0,
        }
    }
}

/// Does an operation, at a strength from 0 to 1.
fn operate(
    operation: Operation,
    image: Image<'_>,
    strengths: &Strengths,
    strength: f64,
    draw: &mut Draw,
    edge: Edge,
    to: &mut [u8],
) {
    let shape = image.shape;
    let sign = if draw.chance(0.5) { -1.0 } else { 1.0 };
    let factor = (1.0 + sign * strength * strengths.factor) as f32;
    let map = |map: Affine, to: &mut [u8]| warp(image, &map, edge, Filter::Bilinear, shape, to);
    let change = |change: Change, to: &mut [u8]| {
        to.copy_from_slice(image.pixels);
        change.apply(shape, to);
    };
    // shears are around the corner, as torchvision's
    let shear = -sign * strength * strengths.shear;
    match operation {
        Operation::Identity => to.copy_from_slice(image.pixels),
        Operation::ShearX => map(Affine([1.0, shear, 0.0, 0.0, 1.0, 0.0]), to),
        Operation::ShearY => map(Affine([1.0, 0.0, 0.0, shear, 1.0, 0.0]), to),
        Operation::TranslateX => map(
            Affine::shift((sign * strength * strengths.shift.0).trunc(), 0.0),
            to,
        ),
        Operation::TranslateY => map(
            Affine::shift(0.0, (sign * strength * strengths.shift.1).trunc()),
            to,
        ),
        Operation::Rotate => {
            let (x, y) = (shape.width as f64 / 2.0, shape.height as f64 / 2.0);
            map(
                Affine::turn(sign * strength * strengths.degrees).around(x, y),
                to,
            );
        }
        Operation::Brightness => change(Change::Brightness(factor), to),
        Operation::Color => change(Change::Saturation(factor), to),
        Operation::Contrast => change(Change::Contrast(factor), to),
        Operation::Sharpness => sharpen(image, factor, to),
        Operation::Posterize => {
            to.copy_from_slice(image.pixels);
            let bits = 8.0 - (strength * strengths.bits).round_ties_even();
            look_up(to, shape.channels, &posterize(bits as u32));
        }
        Operation::Solarize => {
            to.copy_from_slice(image.pixels);
            let threshold = 255.0 * (1.0 - strength);
            look_up(to, shape.channels, &solarize(threshold as f32));
        }
        Operation::AutoContrast => {
            to.copy_from_slice(image.pixels);
            autocontrast(image, to);
        }
        Operation::Equalize => {
            to.copy_from_slice(image.pixels);
            equalize(image, to);
        }
        Operation::Invert => {
            to.copy_from_slice(image.pixels);
            look_up(to, shape.channels, &table(|v| 255.0 - v));
        }
    }
}

fn drawn(draw: &mut Draw) -> Operation {
    ALL[draw.up_to(ALL.len() - 1)]
}

const RAND: Spec = Spec {
    name: "rand_augment",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image after a few operations drawn at random, all of one strength: of 14, such as turns, shears, \
              shifts, changes of colour, contrast and sharpness.",
    params: &[
        IMAGE,
        Param::optional_data("operations", "2", "how many, one after another, up to 100"),
        Param::optional_data("magnitude", "9", "how strong they are, from 0 to bins - 1"),
        KEY,
        Param::option("bins", "31", "how many strengths there are"),
        MODE,
        FILL,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT rand_augment(i, 0) = i, rand_augment(i, key => 7) = rand_augment(i, key => 7) \
              FROM (SELECT image_from_pixels(range(0, 64), width => 8, height => 8) AS i)",
        result: "true,true",
    }],
    source: "Cubuk et al. 2020, the operations and strengths of torchvision's RandAugment; interpolation is bilinear",
    also: &[
        "torchvision.transforms.RandAugment",
        "tf.keras.layers.RandAugment",
    ],
};

/// `rand_augment(image, operations, magnitude, key, bins, mode, fill)`.
#[derive(Debug)]
pub struct RandAugment;

pub struct Plan {
    bins: f64,
    steps: Steps,
}

/// Operations one after another, and room for the images between them.
pub struct Steps {
    edge: Edge,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Steps {
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            edge: Edge::new(options)?,
            before: Vec::new(),
            after: Vec::new(),
        })
    }

    /// Begins at an image.
    pub fn begin(&mut self, image: Image<'_>) {
        self.before.clear();
        self.before.extend_from_slice(image.pixels);
        self.after.resize(image.pixels.len(), 0);
    }

    /// Does an operation, at a strength from 0 to 1.
    pub fn step(&mut self, operation: Operation, shape: Shape, strength: f64, draw: &mut Draw) {
        let pixels = self.before.as_slice();
        let image = Image { shape, pixels };
        let strengths = Strengths::usual(shape);
        let to = &mut self.after;
        operate(operation, image, &strengths, strength, draw, self.edge, to);
        std::mem::swap(&mut self.before, &mut self.after);
    }

    /// The image so far.
    pub fn pixels(&self) -> &[u8] {
        &self.before
    }
}

impl OfImage for RandAugment {
    type Plan = Plan;
    type Out = Output;

    fn spec() -> &'static Spec {
        &RAND
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, 100.0), (0.0, f64::INFINITY)]
    }

    fn plan(options: &Options) -> Result<Plan> {
        Ok(Plan {
            bins: options.integer("bins", 2)? as f64,
            steps: Steps::new(options)?,
        })
    }

    fn apply(plan: &mut Plan, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = image.shape;
        let strength = (row.numbers[1] / (plan.bins - 1.0)).min(1.0);
        let mut draw = Draw::new(row.hash);
        plan.steps.begin(image);
        for _ in 0..row.whole(0) {
            let operation = drawn(&mut draw);
            plan.steps.step(operation, shape, strength, &mut draw);
        }
        let pixels = plan.steps.pixels();
        out.copy(Image { shape, pixels })?;
        Ok(())
    }
}

const TRIVIAL: Spec = Spec {
    name: "trivial_augment",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image after one operation drawn at random, of a strength drawn at random: nothing to choose.",
    params: &[
        IMAGE,
        KEY,
        Param::option("bins", "31", "how many strengths there are"),
        MODE,
        FILL,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT trivial_augment(i, 7) = trivial_augment(i, 7) \
              FROM (SELECT image_from_pixels(range(0, 64), width => 8, height => 8) AS i)",
        result: "true",
    }],
    source: "Müller and Hutter 2021, the operations and strengths of torchvision's TrivialAugmentWide; interpolation is bilinear",
    also: &["torchvision.transforms.TrivialAugmentWide"],
};

/// `trivial_augment(image, key, bins, mode, fill)`.
#[derive(Debug)]
pub struct TrivialAugment;

impl OfImage for TrivialAugment {
    type Plan = (usize, Edge);
    type Out = Output;

    fn spec() -> &'static Spec {
        &TRIVIAL
    }

    fn plan(options: &Options) -> Result<Self::Plan> {
        let bins = usize::try_from(options.integer("bins", 2)?).unwrap_or(usize::MAX);
        Ok((bins, Edge::new(options)?))
    }

    fn apply(
        (bins, edge): &mut Self::Plan,
        image: Image<'_>,
        row: Row<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let strengths = Strengths {
            shear: 0.99,
            shift: (32.0, 32.0),
            degrees: 135.0,
            factor: 0.99,
            bits: 6.0,
        };
        let mut draw = Draw::new(row.hash);
        let operation = drawn(&mut draw);
        let strength = draw.up_to(*bins - 1) as f64 / (*bins - 1) as f64;
        let to = out.push(image.shape)?;
        operate(operation, image, &strengths, strength, &mut draw, *edge, to);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_operations_are_drawn_about_as_often() {
        let mut counts = [0; ALL.len()];
        for hash in 0..14_000 {
            let found = drawn(&mut Draw::new(hash));
            counts[ALL.iter().position(|o| *o == found).unwrap_or(0)] += 1;
        }
        // five standard deviations
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
    }

    #[test]
    fn without_strength_geometry_and_colour_stay() {
        let pixels: Vec<u8> = (0..75).map(|v| v * 3).collect();
        let shape = Shape {
            height: 5,
            width: 5,
            channels: 3,
        };
        let image = Image {
            shape,
            pixels: &pixels,
        };
        let strengths = Strengths::usual(shape);
        for operation in &ALL[..11] {
            let mut to = vec![0; pixels.len()];
            let mut draw = Draw::new(1);
            operate(
                *operation,
                image,
                &strengths,
                0.0,
                &mut draw,
                Edge::Constant(0),
                &mut to,
            );
            assert_eq!(to, pixels, "{operation:?}");
        }
    }
}
