//! Functions of single pixels: a table of 256 values made once an image, and looked up for every pixel.

use datafusion_common::Result;

use super::color::mean_luma;
use super::function::{OfImage, Row};
use super::value::{Image, Output};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

/// What becomes of each value.
pub type Table = [u8; 256];

/// A table of a function; what is beyond 0 and 255 stops there, fractions are cut off.
pub fn table(f: impl Fn(f32) -> f32) -> Table {
    let mut table = [0; 256];
    for (v, to) in table.iter_mut().enumerate() {
        *to = f(v as f32) as u8;
    }
    table
}

/// Looks up every colour; alpha stays.
pub fn look_up(pixels: &mut [u8], channels: usize, table: &Table) {
    if channels == 4 {
        for pixel in pixels.chunks_exact_mut(4) {
            for v in &mut pixel[..3] {
                *v = table[usize::from(*v)];
            }
        }
        return;
    }
    for v in pixels {
        *v = table[usize::from(*v)];
    }
}

/// The value between `from` (0) and the pixel (1), and beyond: how Pillow enhances.
pub fn blend(from: f32, factor: f32) -> Table {
    table(|v| from + factor * (v - from))
}

/// The table that spreads an image's contrast by a factor around its mean.
pub fn contrast(image: Image<'_>, factor: f32) -> Table {
    blend((mean_luma(image) + 0.5).floor() as f32, factor)
}

/// A channel's values, counted.
pub fn counts(image: Image<'_>, channel: usize) -> [u64; 256] {
    let mut counts = [0; 256];
    for v in image.pixels[channel..].iter().step_by(image.shape.channels) {
        counts[usize::from(*v)] += 1;
    }
    counts
}

/// Looks up each channel in a table of its own, made of its histogram.
fn by_histogram(image: Image<'_>, pixels: &mut [u8], f: impl Fn(&[u64; 256]) -> Option<Table>) {
    let channels = image.shape.channels;
    for channel in 0..image.shape.colors() {
        if let Some(table) = f(&counts(image, channel)) {
            for v in pixels[channel..].iter_mut().step_by(channels) {
                *v = table[usize::from(*v)];
            }
        }
    }
}

/// Makes all values about equally frequent, channel by channel. `pixels` are the image's.
pub fn equalize(image: Image<'_>, pixels: &mut [u8]) {
    by_histogram(image, pixels, |counts| {
        let last = *counts.iter().rev().find(|n| **n > 0)?;
        let step = (counts.iter().sum::<u64>() - last) / 255;
        if step == 0 {
            return None;
        }
        let mut below = step / 2;
        let mut table = [0; 256];
        for (to, n) in table.iter_mut().zip(counts) {
            *to = (below / step).min(255) as u8;
            below += n;
        }
        Some(table)
    });
}

/// Stretches each channel so that its least value is 0 and its greatest 255. `pixels` are the image's.
pub fn autocontrast(image: Image<'_>, pixels: &mut [u8]) {
    by_histogram(image, pixels, |counts| {
        let lo = counts.iter().position(|n| *n > 0)? as f64;
        let hi = counts.iter().rposition(|n| *n > 0)? as f64;
        if hi <= lo {
            return None;
        }
        let scale = 255.0 / (hi - lo);
        let offset = -lo * scale;
        let mut table = [0; 256];
        for (v, to) in table.iter_mut().enumerate() {
            *to = (v as f64 * scale + offset) as u8;
        }
        Some(table)
    });
}

/// Keeps the highest bits of each value.
pub fn posterize(bits: u32) -> Table {
    let mask = !(0xff_u32 >> bits.min(8)) as u8;
    let mut table = [0; 256];
    for (v, to) in table.iter_mut().enumerate() {
        *to = v as u8 & mask;
    }
    table
}

/// Inverts values from a threshold on.
pub fn solarize(threshold: f32) -> Table {
    table(|v| if v < threshold { v } else { 255.0 - v })
}

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");

/// An example's image: four grey pixels.
macro_rules! four {
    ($call:literal) => {
        concat!(
            "SELECT image_tensor(",
            $call,
            ", scale => 1) FROM (SELECT image_from_pixels([0, 50, 100, 200], width => 2, height => 2) AS i)"
        )
    };
}

macro_rules! point_function {
    ($(#[$doc:meta])* $function:ident, $spec:ident, $ranges:expr, |$image:ident, $row:ident, $pixels:ident| $body:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $function;

        impl OfImage for $function {
            type Plan = ();
            type Out = Output;

            fn spec() -> &'static Spec {
                &$spec
            }

            fn ranges() -> &'static [(f64, f64)] {
                $ranges
            }

            fn plan(_: &Options) -> Result<()> {
                Ok(())
            }

            fn apply(_: &mut (), $image: Image<'_>, $row: Row<'_>, out: &mut Output) -> Result<()> {
                let $pixels = out.copy($image)?;
                $body;
                Ok(())
            }
        }
    };
}

const BRIGHTNESS: Spec = Spec {
    name: "image_brightness",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image brighter or darker: every colour times a factor.",
    params: &[
        IMAGE,
        Param::data(
            "factor",
            "0 is black, 1 the image as it is, 2 twice as bright",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: four!("image_brightness(i, 1.5)"),
        result: "\"[0.0, 75.0, 150.0, 255.0]\"",
    }],
    source: "Pillow's ImageEnhance.Brightness",
    also: &[
        "PIL.ImageEnhance.Brightness",
        "torchvision.transforms.functional.adjust_brightness",
    ],
};

point_function!(
    /// `image_brightness(image, factor)`.
    Brightness,
    BRIGHTNESS,
    &[(0.0, f64::INFINITY)],
    |image, row, pixels| look_up(
        pixels,
        image.shape.channels,
        &blend(0.0, row.numbers[0] as f32)
    )
);

const CONTRAST: Spec = Spec {
    name: "image_contrast",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with more or less contrast: distances from its mean grey, times a factor.",
    params: &[
        IMAGE,
        Param::data(
            "factor",
            "0 is grey, 1 the image as it is, 2 twice the contrast",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: four!("image_contrast(i, 0.5)"),
        result: "\"[44.0, 69.0, 94.0, 144.0]\"",
    }],
    source: "Pillow's ImageEnhance.Contrast",
    also: &[
        "PIL.ImageEnhance.Contrast",
        "torchvision.transforms.functional.adjust_contrast",
    ],
};

point_function!(
    /// `image_contrast(image, factor)`.
    Contrast,
    CONTRAST,
    &[(0.0, f64::INFINITY)],
    |image, row, pixels| look_up(
        pixels,
        image.shape.channels,
        &contrast(image, row.numbers[0] as f32)
    )
);

const GAMMA: Spec = Spec {
    name: "image_gamma",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with its colours raised to a power: below 1 shadows become lighter, above 1 darker.",
    params: &[
        IMAGE,
        Param::data("gamma", "the exponent, of colours from 0 to 1"),
        Param::optional_data("gain", "1", "a factor for the result"),
    ],
    variadic: false,
    examples: &[Example {
        sql: four!("image_gamma(i, 2)"),
        result: "\"[0.0, 9.0, 39.0, 157.0]\"",
    }],
    source: "255 * gain * (v / 255) ^ gamma, fractions cut off, as torchvision",
    also: &["torchvision.transforms.functional.adjust_gamma"],
};

point_function!(
    /// `image_gamma(image, gamma, gain)`.
    Gamma,
    GAMMA,
    &[(0.0, f64::INFINITY), (0.0, f64::INFINITY)],
    |image, row, pixels| {
        let (gamma, gain) = (row.numbers[0], row.numbers[1]);
        // a little below 256, so that 255 stays 255 and nothing else is rounded up
        let table = table(|v| {
            ((255.0 + 1.0 - 1e-3) * gain * (f64::from(v) / 255.0).powf(gamma)).min(255.0) as f32
        });
        look_up(pixels, image.shape.channels, &table)
    }
);

const INVERT: Spec = Spec {
    name: "image_invert",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image's negative; alpha stays.",
    params: &[IMAGE],
    variadic: false,
    examples: &[Example {
        sql: four!("image_invert(i)"),
        result: "\"[255.0, 205.0, 155.0, 55.0]\"",
    }],
    source: "255 - v",
    also: &[
        "PIL.ImageOps.invert",
        "torchvision.transforms.functional.invert",
    ],
};

point_function!(
    /// `image_invert(image)`.
    Invert,
    INVERT,
    &[],
    |image, _row, pixels| {
        if image.shape.channels == 4 {
            look_up(pixels, 4, &table(|v| 255.0 - v));
        } else {
            pixels.iter_mut().for_each(|v| *v = !*v);
        }
    }
);

const EQUALIZE: Spec = Spec {
    name: "image_equalize",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with each channel's values made about equally frequent.",
    params: &[IMAGE],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_mean(image_equalize(i)) FROM (SELECT image_from_pixels(range(0, 1024), \
              width => 32, height => 32, scale => 0.05) AS i)",
        result: "157.255859375",
    }],
    source: "Pillow's ImageOps.equalize",
    also: &[
        "PIL.ImageOps.equalize",
        "torchvision.transforms.functional.equalize",
    ],
};

point_function!(
    /// `image_equalize(image)`.
    Equalize,
    EQUALIZE,
    &[],
    |image, _row, pixels| equalize(image, pixels)
);

const AUTOCONTRAST: Spec = Spec {
    name: "image_autocontrast",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with each channel stretched so that its least value is 0 and its greatest 255.",
    params: &[IMAGE],
    variadic: false,
    examples: &[Example {
        sql: four!("image_autocontrast(i)"),
        result: "\"[0.0, 63.0, 127.0, 254.0]\"",
    }],
    source: "Pillow's ImageOps.autocontrast",
    also: &[
        "PIL.ImageOps.autocontrast",
        "torchvision.transforms.functional.autocontrast",
    ],
};

point_function!(
    /// `image_autocontrast(image)`.
    Autocontrast,
    AUTOCONTRAST,
    &[],
    |image, _row, pixels| autocontrast(image, pixels)
);

const POSTERIZE: Spec = Spec {
    name: "image_posterize",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with fewer shades: the highest bits of each colour.",
    params: &[
        IMAGE,
        Param::data("bits", "how many bits are kept, from 0 to 8"),
    ],
    variadic: false,
    examples: &[Example {
        sql: four!("image_posterize(i, 2)"),
        result: "\"[0.0, 0.0, 64.0, 192.0]\"",
    }],
    source: "Pillow's ImageOps.posterize",
    also: &[
        "PIL.ImageOps.posterize",
        "torchvision.transforms.functional.posterize",
    ],
};

point_function!(
    /// `image_posterize(image, bits)`.
    Posterize,
    POSTERIZE,
    &[(0.0, 8.0)],
    |image, row, pixels| look_up(
        pixels,
        image.shape.channels,
        &posterize(row.whole(0) as u32)
    )
);

const SOLARIZE: Spec = Spec {
    name: "image_solarize",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with its lighter colours, those from a threshold on, inverted.",
    params: &[
        IMAGE,
        Param::optional_data("threshold", "128", "the least colour that is inverted"),
    ],
    variadic: false,
    examples: &[Example {
        sql: four!("image_solarize(i, 100)"),
        result: "\"[0.0, 50.0, 155.0, 55.0]\"",
    }],
    source: "Pillow's ImageOps.solarize",
    also: &[
        "PIL.ImageOps.solarize",
        "torchvision.transforms.functional.solarize",
    ],
};

point_function!(
    /// `image_solarize(image, threshold)`.
    Solarize,
    SOLARIZE,
    &[],
    |image, row, pixels| look_up(
        pixels,
        image.shape.channels,
        &solarize(row.numbers[0] as f32)
    )
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_stays() {
        let mut pixels = [10, 20, 30, 40];
        look_up(&mut pixels, 4, &blend(0.0, 2.0));
        assert_eq!(pixels, [20, 40, 60, 40]);
    }

    #[test]
    fn one_shade_has_nothing_to_spread() {
        use super::super::value::Shape;
        let pixels = [7; 12];
        let shape = Shape {
            height: 2,
            width: 2,
            channels: 3,
        };
        let image = Image {
            shape,
            pixels: &pixels,
        };
        let mut out = pixels;
        equalize(image, &mut out);
        autocontrast(image, &mut out);
        assert_eq!(out, pixels);
    }
}
