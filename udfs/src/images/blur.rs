//! `image_blur(image, sigma)` and `image_sharpen(image, factor)`.

use datafusion_common::Result;

use super::function::{OfImage, Row};
use super::value::{Image, Output};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const BLUR: Spec = Spec {
    name: "image_blur",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image blurred by a Gaussian.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::optional_data(
            "sigma",
            "1",
            "the Gaussian's standard deviation, in pixels, up to 100",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_blur(i, 0.5), scale => 1) \
              FROM (SELECT image_from_pixels([0, 0, 200, 0, 0], width => 5, height => 1) AS i)",
        result: "\"[0.0, 21.0, 157.0, 21.0, 0.0]\"",
    }],
    source: "a Gaussian cut off at three standard deviations, the image mirrored at its edge's pixels: scipy's \
             gaussian_filter with truncate=3 and mode='mirror'",
    also: &[
        "scipy.ndimage.gaussian_filter",
        "cv2.GaussianBlur",
        "torchvision.transforms.GaussianBlur",
        "PIL.ImageFilter.GaussianBlur",
    ],
};

/// Up to this many neighbours a side, sums have room in 16 bits; the rounding of more would show.
const FEW: usize = 8;

/// Blurs images; keeps its buffers from one to the next.
#[derive(Default)]
pub struct Blur {
    sigma: f64,
    /// Of the pixel, then of its neighbours on either side, in parts of 65536.
    weights: Vec<u16>,
    line: Vec<u16>,
    padded: Vec<u16>,
    exact: Vec<u32>,
}

/// The place of a mirrored side: `dcb|abcd|cba`.
#[inline]
fn mirrored(at: i64, side: i64) -> usize {
    if (0..side).contains(&at) {
        return at as usize;
    }
    let period = 2 * (side - 1);
    if period == 0 {
        return 0;
    }
    let at = at.rem_euclid(period);
    at.min(period - at) as usize
}

impl Blur {
    fn prepare(&mut self, sigma: f64) {
        if sigma == self.sigma && !self.weights.is_empty() {
            return;
        }
        self.sigma = sigma;
        let radius = (3.0 * sigma + 0.5) as usize;
        let gauss: Vec<f64> = (0..=radius)
            .map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp())
            .collect();
        let sum = 2.0 * gauss.iter().sum::<f64>() - 1.0;
        self.weights.clear();
        self.weights
            .extend(gauss.iter().map(|g| (g / sum * 65536.0).round() as u16));
        // together they are 1
        let others: u32 = self.weights[1..].iter().map(|w| 2 * u32::from(*w)).sum();
        self.weights[0] = u16::try_from(65536_u32.saturating_sub(others)).unwrap_or(u16::MAX);
    }

    /// Writes the blurred image.
    pub fn blur(&mut self, image: Image<'_>, sigma: f64, to: &mut [u8]) {
        if sigma < 1.0 / 6.0 {
            // not even the neighbours count
            return to.copy_from_slice(image.pixels);
        }
        self.prepare(sigma);
        let shape = image.shape;
        let (n, stride) = (shape.channels, shape.stride());
        let radius = self.weights.len() - 1;
        let line_of = |row: i64| {
            let start = mirrored(row, shape.height as i64) * stride;
            &image.pixels[start..start + stride]
        };
        self.line.resize(stride, 0);
        self.exact.resize(stride, 0);
        self.padded.resize(stride + 2 * radius * n, 0);
        for (row, to) in to.chunks_exact_mut(stride).enumerate() {
            let row = row as i64;
            // values are times 128 from here on
            let widen = |v: u8| u16::from(v) << 7;
            let pair = |a: u8, b: u8| (u16::from(a) + u16::from(b)) << 7;
            let middle = &mut self.padded[radius * n..radius * n + stride];
            if radius <= FEW {
                first(&mut self.line, line_of(row), self.weights[0], radius, widen);
                for (k, w) in self.weights.iter().enumerate().skip(1) {
                    let (a, b) = (line_of(row - k as i64), line_of(row + k as i64));
                    add(&mut self.line, a, b, *w, pair);
                }
                middle.copy_from_slice(&self.line);
            } else {
                first_exactly(&mut self.exact, line_of(row), self.weights[0], widen);
                for (k, w) in self.weights.iter().enumerate().skip(1) {
                    let (a, b) = (line_of(row - k as i64), line_of(row + k as i64));
                    add_exactly(&mut self.exact, a, b, *w, pair);
                }
                for (to, sum) in middle.iter_mut().zip(&self.exact) {
                    *to = (sum >> 16) as u16;
                }
            }
            for i in 1..=radius {
                let (left, right) = (
                    mirrored(-(i as i64), shape.width as i64),
                    mirrored((shape.width - 1 + i) as i64, shape.width as i64),
                );
                for c in 0..n {
                    self.padded[(radius - i) * n + c] = self.padded[(radius + left) * n + c];
                    self.padded[(radius + shape.width - 1 + i) * n + c] =
                        self.padded[(radius + right) * n + c];
                }
            }
            let part = |k: usize| &self.padded[k * n..k * n + stride];
            let same = |v: u16| v;
            let pair = |a: u16, b: u16| a + b;
            if radius <= FEW {
                first(&mut self.line, part(radius), self.weights[0], radius, same);
                for (k, w) in self.weights.iter().enumerate().skip(1) {
                    add(&mut self.line, part(radius - k), part(radius + k), *w, pair);
                }
                for (to, sum) in to.iter_mut().zip(&self.line) {
                    *to = ((sum + 64) >> 7).min(255) as u8;
                }
            } else {
                first_exactly(&mut self.exact, part(radius), self.weights[0], same);
                for (k, w) in self.weights.iter().enumerate().skip(1) {
                    add_exactly(
                        &mut self.exact,
                        part(radius - k),
                        part(radius + k),
                        *w,
                        pair,
                    );
                }
                for (to, sum) in to.iter_mut().zip(&self.exact) {
                    *to = ((sum + (1 << 22)) >> 23).min(255) as u8;
                }
            }
        }
    }
}

/// The upper half of a product.
#[inline]
fn part_of(v: u16, weight: u16) -> u16 {
    ((u32::from(v) * u32::from(weight)) >> 16) as u16
}

/// Begins sums with the pixel itself, and with half of what the products of its neighbours lose.
fn first<T: Copy>(
    sums: &mut [u16],
    from: &[T],
    weight: u16,
    radius: usize,
    widen: impl Fn(T) -> u16,
) {
    let lost = (radius as u16).div_ceil(2);
    for (sum, v) in sums.iter_mut().zip(from) {
        *sum = part_of(widen(*v), weight) + lost;
    }
}

fn add<T: Copy>(sums: &mut [u16], a: &[T], b: &[T], weight: u16, pair: impl Fn(T, T) -> u16) {
    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
        *sum += part_of(pair(*a, *b), weight);
    }
}

fn first_exactly<T: Copy>(sums: &mut [u32], from: &[T], weight: u16, widen: impl Fn(T) -> u16) {
    for (sum, v) in sums.iter_mut().zip(from) {
        *sum = u32::from(widen(*v)) * u32::from(weight);
    }
}

fn add_exactly<T: Copy>(
    sums: &mut [u32],
    a: &[T],
    b: &[T],
    weight: u16,
    pair: impl Fn(T, T) -> u16,
) {
    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
        *sum += u32::from(pair(*a, *b)) * u32::from(weight);
    }
}

/// `image_blur(image, sigma)`.
#[derive(Debug)]
pub struct BlurOf;

impl OfImage for BlurOf {
    type Plan = Blur;
    type Out = Output;

    fn spec() -> &'static Spec {
        &BLUR
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, 100.0)]
    }

    fn plan(_: &Options) -> Result<Blur> {
        Ok(Blur::default())
    }

    fn apply(blur: &mut Blur, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        blur.blur(image, row.numbers[0], out.push(image.shape)?);
        Ok(())
    }
}

const SHARPEN: Spec = Spec {
    name: "image_sharpen",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image sharper or softer: its differences from a smoothed one, times a factor.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::optional_data(
            "factor",
            "2",
            "0 is smoothed, 1 the image as it is, 2 twice the differences",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_tensor(image_sharpen(i), scale => 1) FROM (SELECT \
              image_from_pixels([10, 10, 10, 10, 100, 10, 10, 10, 10], width => 3, height => 3) AS i)",
        result: "\"[10.0, 10.0, 10.0, 10.0, 155.0, 10.0, 10.0, 10.0, 10.0]\"",
    }],
    source: "Pillow's ImageEnhance.Sharpness; the pixels of the edge stay",
    also: &[
        "PIL.ImageEnhance.Sharpness",
        "torchvision.transforms.functional.adjust_sharpness",
    ],
};

/// Writes the image with its differences from a smoothed one times a factor.
pub fn sharpen(image: Image<'_>, factor: f32, to: &mut [u8]) {
    to.copy_from_slice(image.pixels);
    let shape = image.shape;
    let (n, stride) = (shape.channels, shape.stride());
    if shape.width < 3 || shape.height < 3 {
        return;
    }
    let inner = stride - 2 * n;
    for row in 1..shape.height - 1 {
        let part = |row: usize, column: usize| &image.pixels[row * stride + column * n..][..inner];
        let [a, b, c] = [0, 1, 2].map(|column| part(row - 1, column));
        let [d, e, f] = [0, 1, 2].map(|column| part(row, column));
        let [g, h, i] = [0, 1, 2].map(|column| part(row + 1, column));
        let to = &mut to[row * stride + n..][..inner];
        for at in 0..inner {
            let sum = u16::from(a[at])
                + u16::from(b[at])
                + u16::from(c[at])
                + u16::from(d[at])
                + 5 * u16::from(e[at])
                + u16::from(f[at])
                + u16::from(g[at])
                + u16::from(h[at])
                + u16::from(i[at]);
            let smooth = f32::from((sum + 6) / 13);
            to[at] = (smooth + factor * (f32::from(e[at]) - smooth)) as u8;
        }
        if n == 4 {
            for (to, from) in to.chunks_exact_mut(4).zip(e.chunks_exact(4)) {
                to[3] = from[3];
            }
        }
    }
}

/// `image_sharpen(image, factor)`.
#[derive(Debug)]
pub struct Sharpen;

impl OfImage for Sharpen {
    type Plan = ();
    type Out = Output;

    fn spec() -> &'static Spec {
        &SHARPEN
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, f64::INFINITY)]
    }

    fn plan(_: &Options) -> Result<()> {
        Ok(())
    }

    fn apply(_: &mut (), image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        sharpen(image, row.numbers[0] as f32, out.push(image.shape)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Shape;
    use super::*;

    #[test]
    fn one_colour_stays() {
        for value in [0, 1, 128, 254, 255] {
            let pixels = vec![value; 30 * 20 * 3];
            let shape = Shape {
                height: 20,
                width: 30,
                channels: 3,
            };
            let mut blur = Blur::default();
            for sigma in [0.1, 0.4, 1.0, 2.7, 3.0, 10.0, 100.0] {
                let mut to = vec![0; pixels.len()];
                blur.blur(
                    Image {
                        shape,
                        pixels: &pixels,
                    },
                    sigma,
                    &mut to,
                );
                assert_eq!(to, pixels, "{sigma}");
            }
        }
    }

    #[test]
    fn one_pixel_stays() {
        let shape = Shape {
            height: 1,
            width: 1,
            channels: 1,
        };
        let mut to = [0];
        let image = Image {
            shape,
            pixels: &[77],
        };
        Blur::default().blur(image, 5.0, &mut to);
        assert_eq!(to, [77]);
        sharpen(image, 3.0, &mut to);
        assert_eq!(to, [77]);
    }
}
