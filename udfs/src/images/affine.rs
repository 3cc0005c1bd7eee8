//! `image_rotate(image, degrees, expand, filter, mode, fill)` and `image_affine(image, ...)`.

use datafusion_common::Result;

use super::function::{OfImage, Row};
use super::value::{Collect, Image, Output, Shape};
use super::warp::{Affine, Edge, Filter, warp};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const FILTER: Param = Param::option(
    "filter",
    "'bilinear'",
    "'bilinear', or 'nearest' to keep the values of the image",
);
const MODE: Param = Param::option(
    "mode",
    "'constant'",
    "what is beyond the edge: 'constant', 'nearest' pixel, 'reflect' or 'wrap'",
);
const FILL: Param = Param::option("fill", "0", "the constant, from 0 to 255");

const ROTATE: Spec = Spec {
    name: "image_rotate",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image turned counterclockwise around its centre.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::data("degrees", "how far; negative turns clockwise"),
        Param::option(
            "expand",
            "false",
            "whether the result is as large as the turned image is; else it keeps the image's size",
        ),
        FILTER,
        MODE,
        FILL,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_rotate(i, 90), scale => 1) \
              FROM (SELECT image_from_pixels([1, 2, 3, 4], width => 2, height => 2) AS i)",
        result: "\"[2.0, 4.0, 1.0, 3.0]\"",
    }],
    source: "Pillow's Image.rotate, with bilinear interpolation",
    also: &[
        "PIL.Image.Image.rotate",
        "torchvision.transforms.functional.rotate",
        "scipy.ndimage.rotate",
    ],
};

/// `image_rotate(image, degrees, expand, filter, mode, fill)`.
#[derive(Debug)]
pub struct Rotate;

impl OfImage for Rotate {
    type Plan = (bool, Filter, Edge);
    type Out = Output;

    fn spec() -> &'static Spec {
        &ROTATE
    }

    fn plan(options: &Options) -> Result<Self::Plan> {
        Ok((
            options.bool("expand")?,
            Filter::new(options)?,
            Edge::new(options)?,
        ))
    }

    fn apply(
        (expand, filter, edge): &mut Self::Plan,
        image: Image<'_>,
        row: Row<'_>,
        out: &mut Output,
    ) -> Result<()> {
        let (w, h) = (image.shape.width as f64, image.shape.height as f64);
        let mut map = Affine::turn(row.numbers[0]).around(w / 2.0, h / 2.0);
        let mut shape = image.shape;
        if *expand {
            // a quarter turn needs no room beyond the image's own sides
            let quarter = row.numbers[0] % 90.0 == 0.0;
            let corners = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)].map(|(x, y)| map.at(x, y));
            let side = |f: fn(&(f64, f64)) -> f64| -> f64 {
                let lo = corners.iter().map(f).fold(f64::INFINITY, f64::min);
                let hi = corners.iter().map(f).fold(f64::NEG_INFINITY, f64::max);
                if quarter {
                    hi - lo
                } else {
                    hi.ceil() - lo.floor()
                }
            };
            let (wide, high) = (side(|c| c.0), side(|c| c.1));
            map = map.after(&Affine::shift((wide - w) / 2.0, (high - h) / 2.0));
            shape = Shape {
                width: wide as usize,
                height: high as usize,
                ..shape
            };
        }
        warp(image, &map, *edge, *filter, shape, out.push(shape)?);
        Ok(())
    }
}

const AFFINE: Spec = Spec {
    name: "image_affine",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image turned, sheared, made larger and moved, in one step around its centre.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::optional_data("degrees", "0", "how far it is turned, counterclockwise"),
        Param::optional_data("x", "0", "how many pixels it is moved to the right"),
        Param::optional_data("y", "0", "how many pixels it is moved down"),
        Param::optional_data("scale", "1", "how many times it is larger"),
        Param::optional_data(
            "shear_x",
            "0",
            "how many degrees it is sheared along its rows",
        ),
        Param::optional_data(
            "shear_y",
            "0",
            "how many degrees it is sheared along its columns",
        ),
        FILTER,
        MODE,
        FILL,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_affine(i, x => 1), scale => 1) \
              FROM (SELECT image_from_pixels([1, 2, 3, 4], width => 2, height => 2) AS i)",
        result: "\"[0.0, 1.0, 0.0, 3.0]\"",
    }],
    source: "torchvision's affine, whose angle runs the other way",
    also: &[
        "torchvision.transforms.functional.affine",
        "PIL.Image.Image.transform",
    ],
};

/// `image_affine(image, degrees, x, y, scale, shear_x, shear_y, filter, mode, fill)`.
#[derive(Debug)]
pub struct AffineOf;

impl OfImage for AffineOf {
    type Plan = (Filter, Edge);
    type Out = Output;

    fn spec() -> &'static Spec {
        &AFFINE
    }

    fn ranges() -> &'static [(f64, f64)] {
        const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
        &[ANY, ANY, ANY, (1e-6, 1e6), (-89.0, 89.0), (-89.0, 89.0)]
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
        let shape = image.shape;
        let [degrees, x, y, scale, shear_x, shear_y] = *row.numbers else {
            out.null();
            return Ok(());
        };
        let map = Affine::composed(degrees, scale, (shear_x, shear_y), (x, y));
        let map = map.around(shape.width as f64 / 2.0, shape.height as f64 / 2.0);
        warp(image, &map, *edge, *filter, shape, out.push(shape)?);
        Ok(())
    }
}
