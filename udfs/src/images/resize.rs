//! `image_resize(image, width, height, filter, fit, fill)`.

use datafusion_common::{Result, exec_datafusion_err};
use fast_image_resize::images::{Image as Target, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::crop::window;
use super::function::{OfImage, Row};
use super::value::{Image, Output, Shape};
use super::warp::Edge;
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "image_resize",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image made as large as is wanted.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::data("width", "how many columns"),
        Param::data("height", "how many rows"),
        Param::option(
            "filter",
            "'bilinear'",
            "'nearest', 'box', 'bilinear', 'hamming', 'bicubic' or 'lanczos'; all but 'nearest' take in every \
             pixel when the image becomes smaller",
        ),
        Param::option(
            "fit",
            "'stretch'",
            "'stretch'; 'contain': as large as fits, in the image's proportions; 'pad': the same in the middle of \
             fill; 'cover': the largest part in the middle that has the wanted proportions",
        ),
        Param::option("fill", "0", "what 'pad' adds, from 0 to 255"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_resize(i, 1, 1, 'box'), scale => 1) \
              FROM (SELECT image_from_pixels([10, 20, 30, 40], width => 2, height => 2) AS i)",
        result: "[25.0]",
    }],
    source: "Pillow's Image.resize, and its ImageOps.contain, pad and fit",
    also: &[
        "PIL.Image.Image.resize",
        "PIL.ImageOps.fit",
        "torchvision.transforms.Resize",
        "tf.image.resize",
        "cv2.resize",
    ],
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Stretch,
    Contain,
    Pad,
    Cover,
}

/// Makes images larger and smaller; keeps its buffers from one to the next.
pub struct Sizer {
    resizer: Resizer,
    algorithm: ResizeAlg,
}

impl Sizer {
    /// By the name of a filter, of those the option `filter` takes.
    pub fn new(filter: &str) -> Self {
        let algorithm = match filter {
            "nearest" => ResizeAlg::Nearest,
            "box" => ResizeAlg::Convolution(FilterType::Box),
            "hamming" => ResizeAlg::Convolution(FilterType::Hamming),
            "bicubic" => ResizeAlg::Convolution(FilterType::CatmullRom),
            "lanczos" => ResizeAlg::Convolution(FilterType::Lanczos3),
            _ => ResizeAlg::Convolution(FilterType::Bilinear),
        };
        Self {
            resizer: Resizer::new(),
            algorithm,
        }
    }

    /// Writes a part of an image, `(x, y, width, height)`, in another size.
    pub fn resize(
        &mut self,
        image: Image<'_>,
        part: (f64, f64, f64, f64),
        shape: Shape,
        to: &mut [u8],
    ) -> Result<()> {
        let failed =
            |e: &dyn std::fmt::Display| exec_datafusion_err!("an image cannot be resized: {e}");
        let kind = match image.shape.channels {
            1 => PixelType::U8,
            3 => PixelType::U8x3,
            _ => PixelType::U8x4,
        };
        // sides of images are below 2^28
        let side = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        let from = ImageRef::new(
            side(image.shape.width),
            side(image.shape.height),
            image.pixels,
            kind,
        )
        .map_err(|e| failed(&e))?;
        let mut to = Target::from_slice_u8(side(shape.width), side(shape.height), to, kind)
            .map_err(|e| failed(&e))?;
        let options = ResizeOptions::new()
            .resize_alg(self.algorithm)
            .crop(part.0, part.1, part.2, part.3);
        self.resizer
            .resize(&from, &mut to, Some(&options))
            .map_err(|e| failed(&e))
    }

    /// Writes a whole image in another size.
    pub fn stretch(&mut self, image: Image<'_>, shape: Shape, to: &mut [u8]) -> Result<()> {
        let (w, h) = (image.shape.width as f64, image.shape.height as f64);
        self.resize(image, (0.0, 0.0, w, h), shape, to)
    }
}

/// The largest size in the image's proportions that fits.
fn contained(image: Shape, wanted: Shape) -> Shape {
    let (w, h) = (image.width as f64, image.height as f64);
    let (wide, high) = (wanted.width as f64, wanted.height as f64);
    let side = |v: f64| (v.round_ties_even() as usize).max(1);
    match (w / h).total_cmp(&(wide / high)) {
        std::cmp::Ordering::Equal => wanted,
        std::cmp::Ordering::Greater => wanted.sized(wanted.width, side(h / w * wide)),
        std::cmp::Ordering::Less => wanted.sized(side(w / h * high), wanted.height),
    }
}

/// The largest part in the middle of an image that has the wanted proportions.
pub fn covering(image: Shape, wanted: Shape) -> (f64, f64, f64, f64) {
    let (w, h) = (image.width as f64, image.height as f64);
    let ratio = wanted.width as f64 / wanted.height as f64;
    let (wide, high) = if w / h >= ratio {
        ((ratio * h).min(w), h)
    } else {
        (w, (w / ratio).min(h))
    };
    ((w - wide) * 0.5, (h - high) * 0.5, wide, high)
}

/// `image_resize(image, width, height, filter, fit, fill)`.
#[derive(Debug)]
pub struct Resize;

pub struct Plan {
    sizer: Sizer,
    fit: Fit,
    fill: u8,
    room: Vec<u8>,
}

impl OfImage for Resize {
    type Plan = Plan;
    type Out = Output;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn ranges() -> &'static [(f64, f64)] {
        const SIDE: (f64, f64) = (1.0, f64::INFINITY);
        &[SIDE, SIDE]
    }

    fn plan(options: &Options) -> Result<Plan> {
        let filters = [
            "nearest", "box", "bilinear", "hamming", "bicubic", "lanczos",
        ];
        let fill = match options.integer("fill", 0)? {
            fill @ 0..=255 => fill as u8,
            _ => return options.wrong("fill", "a whole number from 0 to 255"),
        };
        Ok(Plan {
            sizer: Sizer::new(options.choice("filter", &filters)?),
            fit: match options.choice("fit", &["stretch", "contain", "pad", "cover"])? {
                "contain" => Fit::Contain,
                "pad" => Fit::Pad,
                "cover" => Fit::Cover,
                _ => Fit::Stretch,
            },
            fill,
            room: Vec::new(),
        })
    }

    fn apply(plan: &mut Plan, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let wanted = image.shape.sized(row.whole(0), row.whole(1));
        match plan.fit {
            Fit::Stretch => plan.sizer.stretch(image, wanted, out.push(wanted)?),
            Fit::Contain => {
                let shape = contained(image.shape, wanted);
                plan.sizer.stretch(image, shape, out.push(shape)?)
            }
            Fit::Cover => {
                let part = covering(image.shape, wanted);
                plan.sizer.resize(image, part, wanted, out.push(wanted)?)
            }
            Fit::Pad => {
                let shape = contained(image.shape, wanted);
                let to = out.push(wanted)?;
                plan.room.resize(shape.bytes(), 0);
                plan.sizer.stretch(image, shape, &mut plan.room)?;
                let middle =
                    |all: usize, part: usize| ((all - part) as f64 / 2.0).round_ties_even() as i64;
                let start = (
                    -middle(wanted.width, shape.width),
                    -middle(wanted.height, shape.height),
                );
                let image = Image {
                    shape,
                    pixels: &plan.room,
                };
                window(image, start, wanted.width, Edge::Constant(plan.fill), to);
                Ok(())
            }
        }
    }
}
