//! Colours: grey, saturation, hue, and images of other channels.

use datafusion_common::Result;

use super::function::{OfImage, Row};
use super::point::{Table, look_up};
use super::value::{Image, Output, Shape};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

/// The grey of a colour: ITU-R 601, as Pillow computes it.
#[inline]
pub fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// Writes the greys of an image, one a pixel.
pub fn gray(image: Image<'_>, to: &mut [u8]) {
    match image.shape.channels {
        1 => to.copy_from_slice(image.pixels),
        3 => {
            for (to, p) in to.iter_mut().zip(image.pixels.chunks_exact(3)) {
                *to = luma(p[0], p[1], p[2]);
            }
        }
        _ => {
            for (to, p) in to.iter_mut().zip(image.pixels.chunks_exact(4)) {
                *to = luma(p[0], p[1], p[2]);
            }
        }
    }
}

/// The mean grey.
pub fn mean_luma(image: Image<'_>) -> f64 {
    fn sum<const N: usize>(pixels: &[u8]) -> u64 {
        let pixels = pixels.as_chunks::<N>().0.iter();
        pixels.map(|p| u64::from(luma(p[0], p[1], p[2]))).sum()
    }
    let sum: u64 = match image.shape.channels {
        1 => image.pixels.iter().map(|v| u64::from(*v)).sum(),
        3 => sum::<3>(image.pixels),
        _ => sum::<4>(image.pixels),
    };
    sum as f64 / (image.shape.width * image.shape.height) as f64
}

/// Moves colours away from their greys by a factor; grey images stay.
pub fn saturate(pixels: &mut [u8], channels: usize, factor: f32) {
    fn each<const N: usize>(pixels: &mut [u8], factor: f32) {
        let (pixels, _) = pixels.as_chunks_mut::<N>();
        for p in pixels {
            let gray = f32::from(luma(p[0], p[1], p[2]));
            for v in &mut p[..3] {
                *v = (gray + factor * (f32::from(*v) - gray)) as u8;
            }
        }
    }
    match channels {
        3 => each::<3>(pixels, factor),
        4 => each::<4>(pixels, factor),
        _ => {}
    }
}

/// A colour as hue, saturation and value, each of 256 steps, as Pillow computes them.
#[inline]
fn to_hsv(r: u8, g: u8, b: u8) -> [u8; 3] {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    if max == min {
        return [0, 0, max];
    }
    let range = f32::from(max - min);
    let s = range / f32::from(max);
    let part = |v: u8| f32::from(max - v) / range;
    // Pillow computes in doubles and keeps floats
    let wide = |v: u8| f64::from(part(v));
    let h = if r == max {
        part(b) - part(g)
    } else if g == max {
        (2.0 + wide(r) - wide(b)) as f32
    } else {
        (4.0 + wide(g) - wide(r)) as f32
    };
    // from 5/6 to below 2: taking off 1 is the remainder, without the call that computes one
    let turned = f64::from(h) / 6.0 + 1.0;
    let h = f64::from((if turned >= 1.0 { turned - 1.0 } else { turned }) as f32);
    [(h * 255.0) as u8, (f64::from(s) * 255.0) as u8, max]
}

#[inline]
fn from_hsv(h: u8, s: u8, v: u8) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let h = f32::from(h) * 6.0 / 255.0;
    let sector = h as u8;
    let f = h - f32::from(sector);
    let s = f32::from(s) / 255.0;
    let value = f32::from(v);
    let round = |x: f32| (x + 0.5) as u8;
    let p = round(value * (1.0 - s));
    let q = round(value * (1.0 - s * f));
    let t = round(value * (1.0 - s * (1.0 - f)));
    match sector % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

/// Turns hues, by a part of the circle; grey images stay.
pub fn turn_hue(pixels: &mut [u8], channels: usize, turn: f64) {
    fn each<const N: usize>(pixels: &mut [u8], steps: u8) {
        for p in pixels.as_chunks_mut::<N>().0 {
            let [h, s, v] = to_hsv(p[0], p[1], p[2]);
            p[..3].copy_from_slice(&from_hsv(h.wrapping_add(steps), s, v));
        }
    }
    // whole steps, and round the circle
    let steps = (turn.fract() * 255.0) as i32 as u8;
    match channels {
        3 => each::<3>(pixels, steps),
        4 => each::<4>(pixels, steps),
        _ => {}
    }
}

/// The channels an image may be turned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Gray,
    Rgb,
    Rgba,
    Hsv,
}

impl Mode {
    fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb | Self::Hsv => 3,
            Self::Rgba => 4,
        }
    }
}

/// Writes an image with other channels.
pub fn convert(image: Image<'_>, mode: Mode, to: &mut [u8]) {
    let from = image.shape.channels;
    if mode == Mode::Gray {
        return gray(image, to);
    }
    if from == mode.channels() && mode != Mode::Hsv {
        return to.copy_from_slice(image.pixels);
    }
    let pixels = image.pixels.chunks_exact(from);
    for (to, p) in to.chunks_exact_mut(mode.channels()).zip(pixels) {
        let rgb = match p {
            [v] => [*v; 3],
            p => [p[0], p[1], p[2]],
        };
        match mode {
            Mode::Hsv => to.copy_from_slice(&to_hsv(rgb[0], rgb[1], rgb[2])),
            _ => to[..3].copy_from_slice(&rgb),
        }
        if mode == Mode::Rgba {
            to[3] = p.get(3).copied().unwrap_or(255);
        }
    }
}

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");

/// An example's image: one colour.
macro_rules! orange {
    ($call:literal) => {
        concat!(
            "SELECT image_tensor(",
            $call,
            ", scale => 1) FROM (SELECT image_from_pixels([200, 100, 50], width => 1, height => 1, channels => 3) AS i)"
        )
    };
}

const SATURATION: Spec = Spec {
    name: "image_saturation",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with stronger or weaker colours: their distances from grey, times a factor.",
    params: &[
        IMAGE,
        Param::data(
            "factor",
            "0 is grey, 1 the image as it is, 2 twice the colour",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: orange!("image_saturation(i, 0.5)"),
        result: "\"[162.0, 112.0, 87.0]\"",
    }],
    source: "Pillow's ImageEnhance.Color",
    also: &[
        "PIL.ImageEnhance.Color",
        "torchvision.transforms.functional.adjust_saturation",
    ],
};

/// `image_saturation(image, factor)`.
#[derive(Debug)]
pub struct Saturation;

impl OfImage for Saturation {
    type Plan = ();
    type Out = Output;

    fn spec() -> &'static Spec {
        &SATURATION
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, f64::INFINITY)]
    }

    fn plan(_: &Options) -> Result<()> {
        Ok(())
    }

    fn apply(_: &mut (), image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        saturate(
            out.copy(image)?,
            image.shape.channels,
            row.numbers[0] as f32,
        );
        Ok(())
    }
}

const HUE: Spec = Spec {
    name: "image_hue",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with its hues turned round the circle of colours.",
    params: &[
        IMAGE,
        Param::data(
            "turn",
            "how far, in parts of the circle: from -0.5 to 0.5; 0 is the image as it is",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: orange!("image_hue(i, 0.5)"),
        result: "\"[50.0, 152.0, 200.0]\"",
    }],
    source: "hue, saturation and value of 256 steps each, as Pillow's mode HSV and torchvision's adjust_hue",
    also: &["torchvision.transforms.functional.adjust_hue"],
};

/// `image_hue(image, turn)`.
#[derive(Debug)]
pub struct Hue;

impl OfImage for Hue {
    type Plan = ();
    type Out = Output;

    fn spec() -> &'static Spec {
        &HUE
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(-0.5, 0.5)]
    }

    fn plan(_: &Options) -> Result<()> {
        Ok(())
    }

    fn apply(_: &mut (), image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        turn_hue(out.copy(image)?, image.shape.channels, row.numbers[0]);
        Ok(())
    }
}

const GRAYSCALE: Spec = Spec {
    name: "image_grayscale",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image in shades of grey, of one channel or of as many equal ones as are wanted.",
    params: &[
        IMAGE,
        Param::option("channels", "1", "1, or 3 for a model that takes colours"),
    ],
    variadic: false,
    examples: &[Example {
        sql: orange!("image_grayscale(i)"),
        result: "[124.0]",
    }],
    source: "ITU-R 601: 0.299 R + 0.587 G + 0.114 B, as Pillow's mode L",
    also: &[
        "PIL.ImageOps.grayscale",
        "torchvision.transforms.Grayscale",
        "tf.image.rgb_to_grayscale",
    ],
};

/// `image_grayscale(image, channels)`.
#[derive(Debug)]
pub struct Grayscale;

impl OfImage for Grayscale {
    type Plan = usize;
    type Out = Output;

    fn spec() -> &'static Spec {
        &GRAYSCALE
    }

    fn plan(options: &Options) -> Result<usize> {
        match options.integer("channels", 1)? {
            1 => Ok(1),
            3 => Ok(3),
            _ => options.wrong("channels", "1 or 3"),
        }
    }

    fn apply(channels: &mut usize, image: Image<'_>, _: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = Shape {
            channels: *channels,
            ..image.shape
        };
        let to = out.push(shape)?;
        if *channels == 1 {
            gray(image, to);
            return Ok(());
        }
        let pixels = image.pixels.chunks_exact(image.shape.channels);
        for (to, p) in to.chunks_exact_mut(3).zip(pixels) {
            to.fill(match p {
                [v] => *v,
                p => luma(p[0], p[1], p[2]),
            });
        }
        Ok(())
    }
}

const CONVERT: Spec = Spec {
    name: "image_convert",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with the channels that are wanted.",
    params: &[
        IMAGE,
        Param::required(
            "mode",
            "'gray', 'rgb', 'rgba', or 'hsv' (hue, saturation and value as three channels). Alpha is left out, \
             or 255 where there was none",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: orange!("image_convert(i, 'hsv')"),
        result: "\"[14.0, 191.0, 200.0]\"",
    }],
    source: "Pillow's Image.convert",
    also: &["PIL.Image.Image.convert", "cv2.cvtColor"],
};

/// `image_convert(image, mode)`.
#[derive(Debug)]
pub struct Convert;

impl OfImage for Convert {
    type Plan = Mode;
    type Out = Output;

    fn spec() -> &'static Spec {
        &CONVERT
    }

    fn plan(options: &Options) -> Result<Mode> {
        Ok(
            match options.choice("mode", &["gray", "rgb", "rgba", "hsv"])? {
                "gray" => Mode::Gray,
                "rgba" => Mode::Rgba,
                "hsv" => Mode::Hsv,
                _ => Mode::Rgb,
            },
        )
    }

    fn apply(mode: &mut Mode, image: Image<'_>, _: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = Shape {
            channels: mode.channels(),
            ..image.shape
        };
        convert(image, *mode, out.push(shape)?);
        Ok(())
    }
}

/// Changes of colour that follow each other: brightness, contrast, saturation, hue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f64),
}

impl Change {
    /// Makes the change in place.
    pub fn apply(self, shape: Shape, pixels: &mut [u8]) {
        let look = |pixels: &mut [u8], table: Table| look_up(pixels, shape.channels, &table);
        match self {
            Self::Brightness(factor) => look(pixels, super::point::blend(0.0, factor)),
            Self::Contrast(factor) => {
                let table = super::point::contrast(Image { shape, pixels }, factor);
                look(pixels, table);
            }
            Self::Saturation(factor) => saturate(pixels, shape.channels, factor),
            Self::Hue(turn) => turn_hue(pixels, shape.channels, turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_of_pure_colours() {
        assert_eq!(to_hsv(255, 0, 0), [0, 255, 255]);
        assert_eq!(to_hsv(0, 255, 0), [85, 255, 255]);
        assert_eq!(to_hsv(0, 0, 255), [170, 255, 255]);
        assert_eq!(to_hsv(9, 9, 9), [0, 0, 9]);
        assert_eq!(from_hsv(0, 255, 255), [255, 0, 0]);
        assert_eq!(from_hsv(85, 255, 200), [0, 200, 0]);
    }

    #[test]
    fn grey_has_no_colour() {
        let mut pixels = [3, 200];
        saturate(&mut pixels, 1, 9.0);
        turn_hue(&mut pixels, 1, 0.3);
        assert_eq!(pixels, [3, 200]);
    }
}
