//! Pictures turned, stretched and moved a little, anew in every training step: a network that sees few learns more.

use datafusion_common::Result;

use super::pictures::Scale;
use crate::synthesize::layers::Frame;
use crate::synthesize::{OptionSpec, Options, integer, number, rng};

/// How far a picture is changed at most.
#[derive(Debug, Clone, Copy)]
pub struct Augment {
    /// Radians.
    rotate: f32,
    zoom: f32,
    /// Pixels.
    shift: f32,
}

/// Where a changed picture's pixels are from: about its centre, how much of its own row and column, and how far away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    row: [f32; 3],
    column: [f32; 3],
}

impl Augment {
    pub fn options() -> Vec<OptionSpec> {
        vec![
            number(
                "rotate",
                10.0,
                0.0..=45.0,
                "each picture is turned by up to so many degrees either way, anew in every step",
            ),
            number(
                "zoom",
                0.1,
                0.0..=0.9,
                "and stretched by up to such a share, rows and columns each for itself",
            ),
            integer(
                "shift",
                2,
                0..=64,
                "and moved by up to so many pixels; all three 0 leave pictures as they are",
            ),
        ]
    }

    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            rotate: options.number("rotate")?.to_radians() as f32,
            zoom: options.number("zoom")? as f32,
            shift: options.integer("shift")? as f32,
        })
    }

    /// A picture's change in a step; none if there is none to be.
    pub fn draw(&self, key: u64, picture: usize) -> Option<Change> {
        if [self.rotate, self.zoom, self.shift] == [0.0; 3] {
            return None;
        }
        let mut stream = rng::stream(key, "augment", picture as u64);
        let mut within = |most: f32| most * (2.0 * rng::uniform(&mut stream) - 1.0);
        // by the tangent of half the angle sine and cosine need no functions of the system's, whose bits differ
        let half = within(self.rotate) / 2.0;
        let (sine, cosine) = (
            2.0 * half / (1.0 + half * half),
            (1.0 - half * half) / (1.0 + half * half),
        );
        let [rows, columns] = [(); 2].map(|()| 1.0 / (1.0 + within(self.zoom)));
        let [down, right] = [(); 2].map(|()| within(self.shift));
        Some(Change {
            row: [cosine * rows, -sine * columns, down],
            column: [sine * rows, cosine * columns, right],
        })
    }
}

impl Change {
    /// Writes a picture changed and standardised: between pixels by their distance, beyond the edge as the edge is.
    pub fn write(&self, scale: &Scale, frame: Frame, pixels: &[u8], out: &mut [f32]) {
        let centre = [frame.height, frame.width].map(|side| (side as f32 - 1.0) / 2.0);
        // the pixel before, the one after, and how much of that
        let between = |at: f32, side: usize| {
            let at = at.clamp(0.0, side as f32 - 1.0);
            let before = at as usize;
            (before, (before + 1).min(side - 1), at - before as f32)
        };
        for (pixel, out) in out.chunks_exact_mut(frame.channels).enumerate() {
            let y = (pixel / frame.width) as f32 - centre[0];
            let x = (pixel % frame.width) as f32 - centre[1];
            let from = |by: &[f32; 3]| by[0] * y + by[1] * x + by[2];
            let (top, bottom, low) = between(from(&self.row) + centre[0], frame.height);
            let (left, right, far) = between(from(&self.column) + centre[1], frame.width);
            let at = |row: usize, column: usize, channel: usize| {
                f32::from(pixels[(row * frame.width + column) * frame.channels + channel])
            };
            for (channel, (out, [mean, deviation])) in out.iter_mut().zip(&scale.0).enumerate() {
                let row =
                    |row| (1.0 - far) * at(row, left, channel) + far * at(row, right, channel);
                let value = (1.0 - low) * row(top) + low * row(bottom);
                *out = (value - *mean as f32) / *deviation as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        height: 3,
        width: 3,
        channels: 1,
    };

    fn changed(row: [f32; 3], column: [f32; 3]) -> Vec<f32> {
        let mut out = vec![0.0; 9];
        let scale = Scale(vec![[0.0, 1.0]]);
        let pixels = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        Change { row, column }.write(&scale, FRAME, &pixels, &mut out);
        out
    }

    #[test]
    fn a_picture_is_moved_turned_and_stretched_about_its_centre() {
        let (row, column) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        assert_eq!(
            changed(row, column),
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
        );
        let down = changed([1.0, 0.0, 1.0], column);
        assert_eq!(down, [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 7.0, 8.0, 9.0]);
        let half = changed(row, [0.0, 1.0, 0.5]);
        assert_eq!(half, [1.5, 2.5, 3.0, 4.5, 5.5, 6.0, 7.5, 8.5, 9.0]);
        let turned = changed([0.0, -1.0, 0.0], [1.0, 0.0, 0.0]);
        assert_eq!(turned, [7.0, 4.0, 1.0, 8.0, 5.0, 2.0, 9.0, 6.0, 3.0]);
        let far = changed([1.0, 0.0, 99.0], [0.0, 1.0, 99.0]);
        assert_eq!(far, [9.0; 9]);
    }

    #[test]
    fn changes_are_the_key_s_and_within_their_bounds() {
        let augment = Augment {
            rotate: 0.0,
            zoom: 0.0,
            shift: 2.0,
        };
        let drawn: Vec<Change> = (0..200).filter_map(|i| augment.draw(7, i)).collect();
        assert!(
            drawn
                .iter()
                .all(|c| c.row[2].abs() <= 2.0 && c.row[0] == 1.0)
        );
        assert!(drawn.iter().any(|c| c.row[2] < -1.0) && drawn.iter().any(|c| c.row[2] > 1.0));
        assert_eq!(augment.draw(7, 3), augment.draw(7, 3));
        assert_ne!(augment.draw(7, 3), augment.draw(8, 3));
        let none = Augment {
            shift: 0.0,
            ..augment
        };
        assert_eq!(none.draw(7, 3), None);
    }
}
