//! Two images made one: mixed all over, or the one with a rectangle of the other.

use std::ops::Range;

use super::draw::Draw;
use super::value::Shape;

/// Writes `share` of the one image's pixels and 1 - `share` of the other's, rounded.
pub fn blend(a: &[u8], b: &[u8], share: f64, to: &mut [u8]) {
    let (share, rest) = (share as f32, (1.0 - share) as f32);
    for (to, (a, b)) in to.iter_mut().zip(a.iter().zip(b)) {
        *to = (share * f32::from(*a) + rest * f32::from(*b) + 0.5) as u8;
    }
}

/// A rectangle of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rectangle {
    columns: Range<usize>,
    rows: Range<usize>,
}

impl Rectangle {
    /// One around a pixel that is drawn, of 1 - `share` of the image's area where it does not reach beyond the edge.
    pub fn drawn(share: f64, shape: Shape, draw: &mut Draw) -> Self {
        let radius = 0.5 * (1.0 - share).sqrt();
        let mut range = |side: usize| {
            let middle = draw.up_to(side - 1);
            let half = (radius * side as f64) as usize;
            middle.saturating_sub(half)..(middle + half).min(side)
        };
        Self {
            columns: range(shape.width),
            rows: range(shape.height),
        }
    }

    /// What is left of an image around it, as a part of the whole.
    pub fn share_around(&self, shape: Shape) -> f64 {
        let inside = self.columns.len() * self.rows.len();
        1.0 - inside as f64 / (shape.width * shape.height) as f64
    }

    /// Copies it from one image to another of the same shape.
    pub fn copy(&self, shape: Shape, from: &[u8], to: &mut [u8]) {
        let columns = self.columns.start * shape.channels..self.columns.end * shape.channels;
        for row in self.rows.clone() {
            let start = row * shape.stride();
            let part = start + columns.start..start + columns.end;
            to[part.clone()].copy_from_slice(&from[part]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        height: 40,
        width: 60,
        channels: 3,
    };

    #[test]
    fn blends_stay_between() {
        let mut to = [0; 4];
        blend(&[0, 255, 10, 7], &[255, 0, 11, 7], 0.25, &mut to);
        assert_eq!(to, [191, 64, 11, 7]);
        blend(&[0, 255, 10, 7], &[255, 0, 11, 7], 1.0, &mut to);
        assert_eq!(to, [0, 255, 10, 7]);
    }

    #[test]
    fn rectangles_have_their_area_and_stay_inside() {
        let mut mean = 0.0;
        for hash in 0..1000 {
            let cut = Rectangle::drawn(0.75, SHAPE, &mut Draw::new(hash));
            let share = cut.share_around(SHAPE);
            assert!((0.75..1.0).contains(&share), "{cut:?}");
            assert!(cut.columns.len() <= 30 && cut.rows.len() <= 20);
            let mut to = vec![0; SHAPE.bytes()];
            cut.copy(SHAPE, &vec![1; SHAPE.bytes()], &mut to);
            let pasted = to.iter().map(|v| usize::from(*v)).sum::<usize>();
            let expected = (1.0 - share) * SHAPE.bytes() as f64;
            assert!((pasted as f64 - expected).abs() < 1e-6);
            mean += share / 1000.0;
        }
        // a fourth of the image, of which the edge cuts off a fourth and a fourth
        assert!((mean - (1.0 - 0.25 * 0.875 * 0.875)).abs() < 0.01, "{mean}");
        let none = Rectangle::drawn(1.0, SHAPE, &mut Draw::new(1));
        assert_eq!(none.share_around(SHAPE), 1.0);
    }
}
