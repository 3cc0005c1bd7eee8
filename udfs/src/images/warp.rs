//! Affine maps: every pixel of the result is looked up in the image, between pixels by bilinear interpolation.
//!
//! Coordinates run along a row in fixed point. Where all four neighbours are inside the image, which is found
//! for a whole row at once, nothing is checked pixel by pixel.

use datafusion_common::Result;

use super::value::{Image, Shape};
use crate::options::Options;

/// What is beyond the image's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// One colour.
    Constant(u8),
    /// The nearest pixel: `aaaa|abcd|dddd`.
    Nearest,
    /// The image mirrored: `dcba|abcd|dcba`.
    Reflect,
    /// The image again: `abcd|abcd|abcd`.
    Wrap,
}

impl Edge {
    /// The names of the modes.
    pub const MODES: [&'static str; 4] = ["constant", "nearest", "reflect", "wrap"];

    /// Reads the options `mode` and `fill`.
    pub fn new(options: &Options) -> Result<Self> {
        let fill = match options.integer("fill", 0)? {
            fill @ 0..=255 => fill as u8,
            _ => return options.wrong("fill", "a whole number from 0 to 255"),
        };
        Ok(match options.choice("mode", &Self::MODES)? {
            "nearest" => Self::Nearest,
            "reflect" => Self::Reflect,
            "wrap" => Self::Wrap,
            _ => Self::Constant(fill),
        })
    }

    /// The place along one side that stands for one beyond it; None for a constant.
    #[inline]
    pub fn place(self, at: i64, side: i64) -> Option<i64> {
        if (0..side).contains(&at) {
            return Some(at);
        }
        match self {
            Self::Constant(_) => None,
            Self::Nearest => Some(at.clamp(0, side - 1)),
            Self::Reflect => {
                let at = at.rem_euclid(2 * side);
                Some(at.min(2 * side - 1 - at))
            }
            Self::Wrap => Some(at.rem_euclid(side)),
        }
    }
}

/// From a pixel of the result to one of the image: `x = a x' + b y' + c`, `y = d x' + e y' + f`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [f64; 6]);

impl Affine {
    /// Where a place comes from.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let [a, b, c, d, e, f] = self.0;
        (a * x + b * y + c, d * x + e * y + f)
    }

    /// First the other, then this.
    pub fn after(&self, other: &Self) -> Self {
        let [a, b, c, d, e, f] = self.0;
        let [u, v, w, x, y, z] = other.0;
        Self([
            a * u + b * x,
            a * v + b * y,
            a * w + b * z + c,
            d * u + e * x,
            d * v + e * y,
            d * w + e * z + f,
        ])
    }

    /// The map around a point: a centre that stays where it is.
    pub fn around(&self, x: f64, y: f64) -> Self {
        let back = Self([1.0, 0.0, -x, 0.0, 1.0, -y]);
        Self([1.0, 0.0, x, 0.0, 1.0, y]).after(&self.after(&back))
    }

    /// Turns the image counterclockwise. Quarters are exact.
    pub fn turn(degrees: f64) -> Self {
        let angle = -(degrees % 360.0).to_radians();
        let round = |v: f64| (v * 1e15).round() / 1e15;
        let (sin, cos) = (round(angle.sin()), round(angle.cos()));
        Self([cos, sin, 0.0, -sin, cos, 0.0])
    }

    /// Moves the image by pixels.
    pub fn shift(x: f64, y: f64) -> Self {
        Self([1.0, 0.0, -x, 0.0, 1.0, -y])
    }

    /// torchvision's map: turned counterclockwise, sheared, made larger, then moved.
    pub fn composed(degrees: f64, scale: f64, shear: (f64, f64), shift: (f64, f64)) -> Self {
        let turn = -degrees.to_radians();
        let (sx, sy) = (shear.0.to_radians(), shear.1.to_radians());
        let a = (turn - sy).cos() / sy.cos();
        let b = -(turn - sy).cos() * sx.tan() / sy.cos() - turn.sin();
        let c = (turn - sy).sin() / sy.cos();
        let d = -(turn - sy).sin() * sx.tan() / sy.cos() + turn.cos();
        let inverse = Self([d, -b, 0.0, -c, a, 0.0].map(|v| v / scale));
        inverse.after(&Self::shift(shift.0, shift.1))
    }
}

/// Bits of a coordinate's fraction.
const FRACTION: u32 = 32;
/// Bits of a weight.
const WEIGHT: u32 = 11;
const ONE: u32 = 1 << WEIGHT;

/// A coordinate in fixed point; what is too far away to matter stops there.
fn fixed(v: f64) -> i64 {
    (v.clamp(-1e9, 1e9) * f64::from(1u32 << 31) * 2.0) as i64
}

/// The steps `x` from `from` to below `to` at which `start + x * step` is within `0..end`.
fn inside(start: i64, step: i64, end: i64, (from, to): (i64, i64)) -> (i64, i64) {
    let (start, step, end) = (i128::from(start), i128::from(step), i128::from(end));
    let ceil = |a: i128, b: i128| a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0);
    let (lo, hi) = match step {
        0 if (0..end).contains(&start) => return (from, to),
        0 => return (from, from),
        s if s > 0 => (ceil(-start, s), ceil(end - start, s)),
        s => ((start - end).div_euclid(-s) + 1, start.div_euclid(-s) + 1),
    };
    let clamp = |v: i128| v.clamp(i128::from(from), i128::from(to)) as i64;
    let lo = clamp(lo);
    (lo, clamp(hi).max(lo))
}

/// Between pixels, or the nearest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    Bilinear,
    Nearest,
}

impl Filter {
    /// Reads the option `filter`.
    pub fn new(options: &Options) -> Result<Self> {
        Ok(match options.choice("filter", &["bilinear", "nearest"])? {
            "nearest" => Self::Nearest,
            _ => Self::Bilinear,
        })
    }
}

/// Writes the image that a map makes.
pub fn warp(
    image: Image<'_>,
    map: &Affine,
    edge: Edge,
    filter: Filter,
    shape: Shape,
    to: &mut [u8],
) {
    match (image.shape.channels, filter) {
        (1, Filter::Bilinear) => rows::<1, true>(image, map, edge, shape, to),
        (3, Filter::Bilinear) => rows::<3, true>(image, map, edge, shape, to),
        (4, Filter::Bilinear) => rows::<4, true>(image, map, edge, shape, to),
        (1, Filter::Nearest) => rows::<1, false>(image, map, edge, shape, to),
        (3, Filter::Nearest) => rows::<3, false>(image, map, edge, shape, to),
        (4, Filter::Nearest) => rows::<4, false>(image, map, edge, shape, to),
        _ => {}
    }
}

fn rows<const N: usize, const BETWEEN: bool>(
    image: Image<'_>,
    map: &Affine,
    edge: Edge,
    shape: Shape,
    to: &mut [u8],
) {
    if shape.bytes() == 0 {
        return;
    }
    let (height, width) = (image.shape.height as i64, image.shape.width as i64);
    let (step_x, step_y) = (fixed(map.0[0]), fixed(map.0[3]));
    // the neighbour to the right and below is needed too
    let (end_x, end_y) = if BETWEEN {
        (width - 1, height - 1)
    } else {
        (width, height)
    };
    // pixels are looked up from their centres
    let half = if BETWEEN { 0.5 } else { 0.0 };
    for (row, line) in to.chunks_exact_mut(shape.stride()).enumerate() {
        let (x, y) = map.at(0.5, row as f64 + 0.5);
        let (x, y) = (fixed(x - half), fixed(y - half));
        let all = (0, shape.width as i64);
        let (from, until) = inside(x, step_x, end_x << FRACTION, all);
        let (from, until) = inside(y, step_y, end_y << FRACTION, (from, until));
        let at = |i: i64| {
            (
                x.wrapping_add(i.wrapping_mul(step_x)),
                y.wrapping_add(i.wrapping_mul(step_y)),
            )
        };
        let (before, rest) = line.split_at_mut(from as usize * N);
        let (within, after) = rest.split_at_mut((until - from) as usize * N);
        let outside = |first: i64, part: &mut [u8]| {
            for (i, pixel) in part.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                let (x, y) = at(first + i as i64);
                *pixel = if BETWEEN {
                    between_edges::<N>(image, edge, x, y)
                } else {
                    nearest::<N>(image, edge, x >> FRACTION, y >> FRACTION)
                };
            }
        };
        outside(0, before);
        outside(until, after);
        let (mut x, mut y) = at(from);
        for pixel in within.as_chunks_mut::<N>().0 {
            *pixel = if BETWEEN {
                between::<N>(image, x, y)
            } else {
                nearest::<N>(image, edge, x >> FRACTION, y >> FRACTION)
            };
            x = x.wrapping_add(step_x);
            y = y.wrapping_add(step_y);
        }
    }
}

/// Writes the image with each pixel taken from so many pixels to the right and below.
pub fn sample(image: Image<'_>, right: &[f32], below: &[f32], edge: Edge, to: &mut [u8]) {
    match image.shape.channels {
        1 => samples::<1>(image, right, below, edge, to),
        3 => samples::<3>(image, right, below, edge, to),
        4 => samples::<4>(image, right, below, edge, to),
        _ => {}
    }
}

fn samples<const N: usize>(
    image: Image<'_>,
    right: &[f32],
    below: &[f32],
    edge: Edge,
    to: &mut [u8],
) {
    let shape = image.shape;
    // a cast from float to whole number stops at the ends of its range
    let fixed = |v: f32| i64::from((v * (1 << 16) as f32) as i32) << (FRACTION - 16);
    let (end_x, end_y) = (
        (shape.width as i64 - 1) << FRACTION,
        (shape.height as i64 - 1) << FRACTION,
    );
    let moves = right.iter().zip(below);
    for (i, (pixel, (right, below))) in to.as_chunks_mut::<N>().0.iter_mut().zip(moves).enumerate()
    {
        let x = ((i % shape.width) as i64) << FRACTION;
        let y = ((i / shape.width) as i64) << FRACTION;
        let (x, y) = (x + fixed(*right), y + fixed(*below));
        *pixel = if (0..end_x).contains(&x) && (0..end_y).contains(&y) {
            between::<N>(image, x, y)
        } else {
            between_edges::<N>(image, edge, x, y)
        };
    }
}

/// The colour at a place whose four neighbours are all in the image.
#[inline]
fn between<const N: usize>(image: Image<'_>, x: i64, y: i64) -> [u8; N] {
    let stride = image.shape.stride();
    let start = (y >> FRACTION) as usize * stride + (x >> FRACTION) as usize * N;
    let fx = (x >> (FRACTION - WEIGHT)) as u32 & (ONE - 1);
    let fy = (y >> (FRACTION - WEIGHT)) as u32 & (ONE - 1);
    let weights = [
        (ONE - fx) * (ONE - fy),
        fx * (ONE - fy),
        (ONE - fx) * fy,
        fx * fy,
    ];
    let above = &image.pixels[start..start + 2 * N];
    let below = &image.pixels[start + stride..start + stride + 2 * N];
    let mut pixel = [0; N];
    for (c, to) in pixel.iter_mut().enumerate() {
        let sum = u32::from(above[c]) * weights[0]
            + u32::from(above[N + c]) * weights[1]
            + u32::from(below[c]) * weights[2]
            + u32::from(below[N + c]) * weights[3];
        *to = ((sum + (1 << (2 * WEIGHT - 1))) >> (2 * WEIGHT)) as u8;
    }
    pixel
}

#[inline]
fn nearest<const N: usize>(image: Image<'_>, edge: Edge, x: i64, y: i64) -> [u8; N] {
    let shape = image.shape;
    let place = (
        edge.place(x, shape.width as i64),
        edge.place(y, shape.height as i64),
    );
    match (place, edge) {
        ((Some(x), Some(y)), _) => {
            let start = y as usize * shape.stride() + x as usize * N;
            let mut pixel = [0; N];
            pixel.copy_from_slice(&image.pixels[start..start + N]);
            pixel
        }
        (_, Edge::Constant(fill)) => [fill; N],
        _ => [0; N],
    }
}

/// As Pillow: beyond the edge a constant begins at once; within half a pixel of it the edge's pixel counts alone.
#[cold]
fn between_edges<const N: usize>(image: Image<'_>, edge: Edge, x: i64, y: i64) -> [u8; N] {
    let shape = image.shape;
    let half = 1 << (FRACTION - 1);
    let edge = match edge {
        Edge::Constant(fill) => {
            let beyond = |v: i64, side: usize| {
                let v = v.saturating_add(half);
                v < 0 || v >= (side as i64) << FRACTION
            };
            if beyond(x, shape.width) || beyond(y, shape.height) {
                return [fill; N];
            }
            Edge::Nearest
        }
        other => other,
    };
    let fx = (x >> (FRACTION - WEIGHT)) as u32 & (ONE - 1);
    let fy = (y >> (FRACTION - WEIGHT)) as u32 & (ONE - 1);
    let (x, y) = (x >> FRACTION, y >> FRACTION);
    let corners = [
        (nearest::<N>(image, edge, x, y), (ONE - fx) * (ONE - fy)),
        (nearest::<N>(image, edge, x + 1, y), fx * (ONE - fy)),
        (nearest::<N>(image, edge, x, y + 1), (ONE - fx) * fy),
        (nearest::<N>(image, edge, x + 1, y + 1), fx * fy),
    ];
    let mut pixel = [0; N];
    for (c, to) in pixel.iter_mut().enumerate() {
        let sum: u32 = corners.iter().map(|(p, w)| u32::from(p[c]) * w).sum();
        *to = ((sum + (1 << (2 * WEIGHT - 1))) >> (2 * WEIGHT)) as u8;
    }
    pixel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warped(pixels: &[u8], width: usize, map: &Affine, edge: Edge) -> Vec<u8> {
        let shape = Shape {
            height: pixels.len() / width,
            width,
            channels: 1,
        };
        let mut to = vec![0; pixels.len()];
        warp(
            Image { shape, pixels },
            map,
            edge,
            Filter::Bilinear,
            shape,
            &mut to,
        );
        to
    }

    #[test]
    fn what_is_inside_is_found_for_a_row() {
        for start in -40..40i64 {
            for step in -7..8i64 {
                for end in [0, 1, 5, 30] {
                    let found = inside(start, step, end, (0, 12));
                    let wanted: Vec<i64> = (0..12)
                        .filter(|x| (0..end).contains(&(start + x * step)))
                        .collect();
                    let found: Vec<i64> = (found.0..found.1).collect();
                    assert_eq!(found, wanted, "{start} {step} {end}");
                }
            }
        }
    }

    #[test]
    fn nothing_changes_nothing() {
        let pixels: Vec<u8> = (0..12).map(|i| i * 20).collect();
        for edge in [Edge::Constant(0), Edge::Nearest, Edge::Reflect, Edge::Wrap] {
            assert_eq!(warped(&pixels, 4, &Affine::shift(0.0, 0.0), edge), pixels);
        }
    }

    #[test]
    fn edges() {
        let left = |edge| warped(&[10, 20, 30, 40], 4, &Affine::shift(2.0, 0.0), edge);
        assert_eq!(left(Edge::Constant(7)), [7, 7, 10, 20]);
        assert_eq!(left(Edge::Nearest), [10, 10, 10, 20]);
        assert_eq!(left(Edge::Reflect), [20, 10, 10, 20]);
        assert_eq!(left(Edge::Wrap), [30, 40, 10, 20]);
    }

    #[test]
    fn quarters_are_exact() {
        let quarter = Affine::turn(90.0).around(1.0, 1.0);
        let turned = warped(&[1, 2, 3, 4], 2, &quarter, Edge::Constant(0));
        assert_eq!(turned, [2, 4, 1, 3]);
    }

    #[test]
    fn maps_of_any_numbers_do_no_harm() {
        for v in [f64::NAN, f64::INFINITY, -1e300, 1e300, 1e-300, 0.0] {
            for edge in [Edge::Constant(0), Edge::Nearest, Edge::Reflect, Edge::Wrap] {
                warped(&[1, 2, 3, 4], 2, &Affine([v; 6]), edge);
            }
        }
    }
}
