//! Random turns, shifts, shears and zooms, one by one and together, and `augment_image`.

use datafusion_common::Result;

use super::color::Change;
use super::draw::{Draw, KEY};
use super::flip::{horizontal, vertical};
use super::function::{OfImage, Row};
use super::value::{Image, Output, Shape};
use super::warp::{Affine, Edge, Filter, warp};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");
const FILTER: Param = Param::option(
    "filter",
    "'bilinear'",
    "'bilinear', or 'nearest' to keep the values of the image",
);
const MODE: Param = Param::option(
    "mode",
    "'nearest'",
    "what is beyond the edge: 'constant', the 'nearest' pixel, 'reflect' or 'wrap'",
);
const FILL: Param = Param::option("fill", "0", "the constant, from 0 to 255");
const DEGREES: (f64, f64) = (0.0, f64::INFINITY);
const SHIFT: (f64, f64) = (0.0, f64::INFINITY);
const SHEAR: (f64, f64) = (0.0, 89.0);
const ZOOM: (f64, f64) = (0.0, 0.999);

/// How far an image may be moved.
#[derive(Debug, Clone, Copy, Default)]
struct Ranges {
    degrees: f64,
    shift: (f64, f64),
    shear: f64,
    zoom: (f64, f64),
}

/// Below 1 a share of the side, else pixels.
fn pixels(shift: f64, side: usize) -> f64 {
    if shift < 1.0 {
        shift * side as f64
    } else {
        shift
    }
}

/// Draws a map as Keras does: a turn, a shift, a shear and a zoom of each side, around the centre. All are drawn,
/// whether they have a range or not.
fn draw_map(shape: Shape, ranges: &Ranges, draw: &mut Draw) -> Affine {
    let degrees = draw.around(ranges.degrees);
    let y = draw.around(pixels(ranges.shift.1, shape.height));
    let x = draw.around(pixels(ranges.shift.0, shape.width));
    let (sin, cos) = draw.around(ranges.shear).to_radians().sin_cos();
    let zoom_y = draw.uniform(1.0 - ranges.zoom.1, 1.0 + ranges.zoom.1);
    let zoom_x = draw.uniform(1.0 - ranges.zoom.0, 1.0 + ranges.zoom.0);
    let shear = Affine([cos, 0.0, 0.0, -sin, 1.0, 0.0]);
    let zoom = Affine([zoom_x, 0.0, 0.0, 0.0, zoom_y, 0.0]);
    Affine::turn(-degrees)
        .after(&Affine::shift(-x, -y))
        .after(&shear)
        .after(&zoom)
        .around(shape.width as f64 / 2.0, shape.height as f64 / 2.0)
}

/// An example: without a range nothing moves.
macro_rules! still {
    ($call:literal) => {
        &[Example {
            sql: concat!(
                "SELECT image_tensor(",
                $call,
                ", scale => 1) FROM (SELECT image_from_pixels([1, 2, 3, 4], width => 2, height => 2) AS i)"
            ),
            result: "\"[1.0, 2.0, 3.0, 4.0]\"",
        }]
    };
}

macro_rules! moving {
    ($(#[$doc:meta])* $function:ident, $spec:ident, $ranges:expr, |$numbers:ident| $value:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $function;

        impl OfImage for $function {
            type Plan = (Filter, Edge);
            type Out = Output;

            fn spec() -> &'static Spec {
                &$spec
            }

            fn ranges() -> &'static [(f64, f64)] {
                $ranges
            }

            fn plan(options: &Options) -> Result<Self::Plan> {
                Ok((Filter::new(options)?, Edge::new(options)?))
            }

            fn apply(
                (filter, edge): &mut Self::Plan,
                image: Image<'_>,
                row: Row<'_>,
                out: &mut Output,
            ) -> Result<()> {
                let $numbers = row.numbers;
                let ranges: Ranges = $value;
                let map = draw_map(image.shape, &ranges, &mut Draw::new(row.hash));
                warp(image, &map, *edge, *filter, image.shape, out.push(image.shape)?);
                Ok(())
            }
        }
    };
}

const ROTATE: Spec = Spec {
    name: "random_rotate",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image turned around its centre by a random angle.",
    params: &[
        IMAGE,
        Param::optional_data("degrees", "10", "the greatest angle, either way"),
        KEY,
        FILTER,
        MODE,
        FILL,
    ],
    variadic: false,
    examples: still!("random_rotate(i, 0)"),
    source: "Keras' ImageDataGenerator, rotation_range",
    also: &[
        "torchvision.transforms.RandomRotation",
        "tf.keras.layers.RandomRotation",
        "albumentations.Rotate",
    ],
};

moving!(
    /// `random_rotate(image, degrees, key, filter, mode, fill)`.
    RandomRotate,
    ROTATE,
    &[DEGREES],
    |numbers| Ranges {
        degrees: numbers[0],
        ..Ranges::default()
    }
);

const SHIFTED: Spec = Spec {
    name: "random_shift",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image moved by a random distance.",
    params: &[
        IMAGE,
        Param::optional_data(
            "x",
            "0.1",
            "the farthest to the left or right; below 1 a share of the width, else pixels",
        ),
        Param::optional_data(
            "y",
            "0.1",
            "the farthest up or down; below 1 a share of the height, else pixels",
        ),
        KEY,
        FILTER,
        MODE,
        FILL,
    ],
    variadic: false,
    examples: still!("random_shift(i, 0, 0)"),
    source: "Keras' ImageDataGenerator, width_shift_range and height_shift_range",
    also: &[
        "tf.keras.layers.RandomTranslation",
        "albumentations.ShiftScaleRotate",
    ],
};

moving!(
    /// `random_shift(image, x, y, key, filter, mode, fill)`.
    RandomShift,
    SHIFTED,
    &[SHIFT, SHIFT],
    |numbers| Ranges {
        shift: (numbers[0], numbers[1]),
        ..Ranges::default()
    }
);

const SHEARED: Spec = Spec {
    name: "random_shear",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image sheared by a random angle.",
    params: &[
        IMAGE,
        Param::optional_data("degrees", "10", "the greatest angle, either way"),
        KEY,
        FILTER,
        MODE,
        FILL,
    ],
    variadic: false,
    examples: still!("random_shear(i, 0)"),
    source: "Keras' ImageDataGenerator, shear_range",
    also: &[
        "tf.keras.layers.RandomShear",
        "torchvision.transforms.RandomAffine",
    ],
};

moving!(
    /// `random_shear(image, degrees, key, filter, mode, fill)`.
    RandomShear,
    SHEARED,
    &[SHEAR],
    |numbers| Ranges {
        shear: numbers[0],
        ..Ranges::default()
    }
);

const ZOOMED: Spec = Spec {
    name: "random_zoom",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image made larger or smaller around its centre by random factors, one for each side.",
    params: &[
        IMAGE,
        Param::optional_data(
            "zoom",
            "0.2",
            "z: what is shown of each side is from 1 - z to 1 + z of it",
        ),
        KEY,
        FILTER,
        MODE,
        FILL,
    ],
    variadic: false,
    examples: still!("random_zoom(i, 0)"),
    source: "Keras' ImageDataGenerator, zoom_range",
    also: &["tf.keras.layers.RandomZoom", "albumentations.RandomScale"],
};

moving!(
    /// `random_zoom(image, zoom, key, filter, mode, fill)`.
    RandomZoom,
    ZOOMED,
    &[ZOOM],
    |numbers| Ranges {
        zoom: (numbers[0], numbers[0]),
        ..Ranges::default()
    }
);

const AFFINE: Spec = Spec {
    name: "random_affine",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image turned, moved, sheared and zoomed at random, in one step around its centre.",
    params: &[
        IMAGE,
        Param::optional_data("degrees", "10", "the greatest turn, either way"),
        Param::optional_data(
            "shift",
            "0.1",
            "the farthest shift of each side; below 1 a share of it, else pixels",
        ),
        Param::optional_data("shear", "5", "the greatest shear, in degrees, either way"),
        Param::optional_data(
            "zoom",
            "0.1",
            "z: what is shown of each side is from 1 - z to 1 + z of it",
        ),
        KEY,
        FILTER,
        MODE,
        FILL,
    ],
    variadic: false,
    examples: still!("random_affine(i, 0, 0, 0, 0)"),
    source: "Keras' ImageDataGenerator: a turn, a shift, a shear and a zoom of each side, multiplied in this order",
    also: &[
        "torchvision.transforms.RandomAffine",
        "albumentations.Affine",
    ],
};

moving!(
    /// `random_affine(image, degrees, shift, shear, zoom, key, filter, mode, fill)`.
    RandomAffine,
    AFFINE,
    &[DEGREES, SHIFT, SHEAR, ZOOM],
    |numbers| Ranges {
        degrees: numbers[0],
        shift: (numbers[1], numbers[1]),
        shear: numbers[2],
        zoom: (numbers[3], numbers[3]),
    }
);

const AUGMENT: Spec = Spec {
    name: "augment_image",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "Keras' ImageDataGenerator in one call: the image turned, moved, sheared, zoomed, its values shifted, \
              mirrored and its brightness changed, all at random. What is not asked for does not happen.",
    params: &[
        IMAGE,
        Param::optional_data("rotation", "0", "the greatest turn in degrees, either way"),
        Param::optional_data(
            "width_shift",
            "0",
            "the farthest to the left or right; below 1 a share of the width, else pixels",
        ),
        Param::optional_data(
            "height_shift",
            "0",
            "the farthest up or down; below 1 a share of the height, else pixels",
        ),
        Param::optional_data("shear", "0", "the greatest shear in degrees, either way"),
        Param::optional_data(
            "zoom",
            "0",
            "z: what is shown of each side is from 1 - z to 1 + z of it",
        ),
        Param::optional_data(
            "channel_shift",
            "0",
            "the most that is added to or taken from all values; they stay between the image's least and greatest",
        ),
        Param::optional_data("brightness_lo", "1", "the least factor of brightness"),
        Param::optional_data("brightness_hi", "1", "the greatest factor of brightness"),
        KEY,
        Param::option(
            "horizontal_flip",
            "false",
            "whether half of the images are mirrored, left to right",
        ),
        Param::option(
            "vertical_flip",
            "false",
            "whether half of the images are mirrored, top to bottom",
        ),
        MODE,
        FILL,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT image_tensor(augment_image(i), scale => 1) \
                  FROM (SELECT image_from_pixels([1, 2, 3, 4], width => 2, height => 2) AS i)",
            result: "\"[1.0, 2.0, 3.0, 4.0]\"",
        },
        Example {
            sql: "SELECT augment_image(i, rotation => 15, zoom => 0.1, key => 7) = augment_image(i, rotation => 15, zoom => 0.1, key => 7) \
                  FROM (SELECT image_from_pixels([1, 2, 3, 4], width => 2, height => 2) AS i)",
            result: "true",
        },
    ],
    source: "Keras' ImageDataGenerator, its parameters and their meaning; interpolation is bilinear",
    also: &["tf.keras.preprocessing.image.ImageDataGenerator"],
};

/// `augment_image(image, ..., key, horizontal_flip, vertical_flip, mode, fill)`.
#[derive(Debug)]
pub struct AugmentImage;

pub struct Plan {
    sideways: bool,
    upright: bool,
    edge: Edge,
    room: Vec<u8>,
}

impl OfImage for AugmentImage {
    type Plan = Plan;
    type Out = Output;

    fn spec() -> &'static Spec {
        &AUGMENT
    }

    fn ranges() -> &'static [(f64, f64)] {
        const FACTOR: (f64, f64) = (0.0, f64::INFINITY);
        &[
            DEGREES,
            SHIFT,
            SHIFT,
            SHEAR,
            ZOOM,
            (0.0, 255.0),
            FACTOR,
            FACTOR,
        ]
    }

    fn plan(options: &Options) -> Result<Plan> {
        Ok(Plan {
            sideways: options.bool("horizontal_flip")?,
            upright: options.bool("vertical_flip")?,
            edge: Edge::new(options)?,
            room: Vec::new(),
        })
    }

    fn apply(plan: &mut Plan, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let n = row.numbers;
        let mut draw = Draw::new(row.hash);
        let ranges = Ranges {
            degrees: n[0],
            shift: (n[1], n[2]),
            shear: n[3],
            zoom: (n[4], n[4]),
        };
        let map = draw_map(image.shape, &ranges, &mut draw);
        let amount = draw.around(n[5]);
        let sideways = draw.chance(0.5) && plan.sideways;
        let upright = draw.chance(0.5) && plan.upright;
        let brightness = draw.uniform(n[6].min(n[7]), n[6].max(n[7]));
        let shape = image.shape;
        let to = out.push(shape)?;
        // mirroring is a map too: one pass does both
        let mirror = Affine([
            if sideways { -1.0 } else { 1.0 },
            0.0,
            0.0,
            0.0,
            if upright { -1.0 } else { 1.0 },
            0.0,
        ])
        .around(shape.width as f64 / 2.0, shape.height as f64 / 2.0);
        if n[..5].iter().all(|range| *range == 0.0) {
            match (sideways, upright) {
                (false, false) => to.copy_from_slice(image.pixels),
                (true, false) => horizontal(image, to),
                (false, true) => vertical(image, to),
                (true, true) => {
                    plan.room.resize(image.pixels.len(), 0);
                    horizontal(image, &mut plan.room);
                    let pixels = plan.room.as_slice();
                    vertical(Image { pixels, ..image }, to);
                }
            }
        } else {
            warp(
                image,
                &map.after(&mirror),
                plan.edge,
                Filter::Bilinear,
                shape,
                to,
            );
        }
        if n[5] > 0.0 {
            shift_values(shape, to, amount as f32);
        }
        if brightness != 1.0 {
            Change::Brightness(brightness as f32).apply(shape, to);
        }
        Ok(())
    }
}

/// Adds an amount to all colours, which stay between the image's least and greatest.
fn shift_values(shape: Shape, pixels: &mut [u8], amount: f32) {
    let (mut lo, mut hi) = (u8::MAX, u8::MIN);
    for p in pixels.chunks_exact(shape.channels) {
        for v in &p[..shape.colors()] {
            lo = lo.min(*v);
            hi = hi.max(*v);
        }
    }
    let table = super::point::table(|v| (v + amount).clamp(f32::from(lo), f32::from(hi.max(lo))));
    super::point::look_up(pixels, shape.channels, &table);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_within_their_ranges() {
        let shape = Shape {
            height: 10,
            width: 20,
            channels: 1,
        };
        let ranges = Ranges {
            shift: (0.1, 3.0),
            ..Ranges::default()
        };
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for hash in 0..1000 {
            let map = draw_map(shape, &ranges, &mut Draw::new(hash));
            let (x, y) = map.at(0.0, 0.0);
            assert!(x.abs() <= 2.0 && y.abs() <= 3.0);
            least = least.min(x);
            most = most.max(x);
        }
        assert!(least < -1.9 && most > 1.9);
    }

    #[test]
    fn shifted_values_stay_in_the_image_range() {
        let shape = Shape {
            height: 1,
            width: 3,
            channels: 1,
        };
        let mut pixels = [10, 50, 100];
        shift_values(shape, &mut pixels, 60.0);
        assert_eq!(pixels, [70, 100, 100]);
    }
}
