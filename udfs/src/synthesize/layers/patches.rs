//! Windows of pictures as the rows of a matrix, which makes a convolution a product of matrices.
//!
//! A pixel is a row and its channels are the columns, the pictures of a batch one below the other: then a
//! window is a few runs of memory, what a product gives is a picture again, and batch normalisation over
//! channels is that over columns. Windows are laid out for a few pictures at a time, so that they are
//! multiplied while they are in the cache, and again in the backward pass: that costs less than memory
//! for all of them. How pictures are grouped depends on the shapes alone.

use std::cell::RefCell;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatRef, Par};
use rayon::prelude::*;

use super::matrix::{add_to, view, view_mut};

/// Cells of windows that are laid out at a time: half of a core's second cache.
const ROOM: usize = 1 << 18;

/// Parts of a batch whose sums of products are added in their order.
const PARTS: usize = 8;

/// What the pictures of a batch look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Frame {
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// How many numbers a picture is.
    pub fn cells(self) -> usize {
        self.pixels() * self.channels
    }

    /// The same pixels with other channels.
    pub fn of(self, channels: usize) -> Self {
        Self { channels, ..self }
    }
}

/// A square that moves over a picture, which is continued by so many zeros on every side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub side: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Window {
    /// How often it finds a place along so many pixels.
    pub fn places(self, pixels: usize) -> usize {
        match (pixels + 2 * self.padding).checked_sub(self.side) {
            Some(rest) => rest / self.stride.max(1) + 1,
            None => 0,
        }
    }
}

/// The windows of wide pictures, each a pixel of narrow ones.
#[derive(Debug, Clone, Copy)]
pub struct Patches {
    window: Window,
    wide: Frame,
    narrow: Frame,
}

thread_local! {
    /// Where windows are laid out.
    static LAID_OUT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

fn with_room<T>(cells: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    LAID_OUT.with_borrow_mut(|room| {
        if room.len() < cells {
            room.resize(cells, 0.0);
        }
        f(&mut room[..cells])
    })
}

impl Patches {
    /// The windows over wide pictures; the narrow ones have so many channels.
    pub fn new(window: Window, wide: Frame, channels: usize) -> Self {
        let narrow = Frame {
            height: window.places(wide.height),
            width: window.places(wide.width),
            channels,
        };
        Self {
            window,
            wide,
            narrow,
        }
    }

    pub fn wide(&self) -> Frame {
        self.wide
    }

    pub fn narrow(&self) -> Frame {
        self.narrow
    }

    /// The cells of a window.
    pub fn depth(&self) -> usize {
        self.window.side * self.window.side * self.wide.channels
    }

    /// Whether no window has a place, or none a cell.
    fn empty(&self) -> bool {
        self.narrow.cells() == 0 || self.depth() == 0
    }

    /// Pictures whose windows are laid out at a time.
    fn group(&self) -> usize {
        (ROOM / (self.narrow.pixels() * self.depth()).max(1)).max(1)
    }

    /// Every window's product with the weight, and the bias.
    pub fn gather(
        &self,
        wide: &[f32],
        weight: MatRef<'_, f32>,
        bias: Option<&[f32]>,
        narrow: &mut [f32],
    ) {
        if self.empty() {
            begin(narrow, bias);
            return;
        }
        let group = self.group();
        let (from, to) = (self.wide.cells(), self.narrow.cells());
        narrow
            .par_chunks_mut(group * to)
            .zip(wide.par_chunks(group * from))
            .for_each(|(narrow, wide)| {
                let rows = narrow.len() / self.narrow.channels;
                with_room(rows * self.depth(), |windows| {
                    self.lay_out(wide, windows);
                    let accum = begin(narrow, bias);
                    let out = view_mut(narrow, rows, self.narrow.channels);
                    let windows = view(windows, rows, self.depth());
                    matmul(out, accum, windows, weight, 1.0, Par::Seq);
                });
            });
    }

    /// The same backwards: every narrow pixel's product with the weight is added to its window.
    pub fn scatter(
        &self,
        narrow: &[f32],
        weight: MatRef<'_, f32>,
        bias: Option<&[f32]>,
        wide: &mut [f32],
    ) {
        if self.empty() {
            wide.fill(0.0);
            begin(wide, bias);
            return;
        }
        let group = self.group();
        let (from, to) = (self.narrow.cells(), self.wide.cells());
        wide.par_chunks_mut(group * to)
            .zip(narrow.par_chunks(group * from))
            .for_each(|(wide, narrow)| {
                let rows = narrow.len() / self.narrow.channels;
                with_room(rows * self.depth(), |windows| {
                    let narrow = view(narrow, rows, self.narrow.channels);
                    let out = view_mut(windows, rows, self.depth());
                    matmul(
                        out,
                        Accum::Replace,
                        narrow,
                        weight.transpose(),
                        1.0,
                        Par::Seq,
                    );
                    if let Accum::Replace = begin(wide, bias) {
                        wide.fill(0.0);
                    }
                    self.add_up(windows, wide);
                });
            });
    }

    /// The sum over all windows of each of their cells times each of the narrow pixel's channels: what the
    /// weight's gradient is.
    pub fn outer(&self, wide: &[f32], narrow: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        if self.empty() {
            return;
        }
        let group = self.group();
        let (of_wide, of_narrow) = (self.wide.cells(), self.narrow.cells());
        let (depth, channels) = (self.depth(), self.narrow.channels);
        let part = (wide.len() / of_wide.max(1)).div_ceil(PARTS).max(1);
        let parts: Vec<Vec<f32>> = wide
            .par_chunks(part * of_wide)
            .zip(narrow.par_chunks(part * of_narrow))
            .map(|(wide, narrow)| {
                let mut sum = vec![0.0; depth * channels];
                let groups = wide.chunks(group * of_wide);
                for (wide, narrow) in groups.zip(narrow.chunks(group * of_narrow)) {
                    let rows = narrow.len() / channels;
                    with_room(rows * depth, |windows| {
                        self.lay_out(wide, windows);
                        let sum = view_mut(&mut sum, depth, channels);
                        let windows = view(windows, rows, depth).transpose();
                        let narrow = view(narrow, rows, channels);
                        matmul(sum, Accum::Add, windows, narrow, 1.0, Par::Seq);
                    });
                }
                sum
            })
            .collect();
        for part in parts {
            add_to(out, &part);
        }
    }

    /// Windows of several pictures, one a row.
    fn lay_out(&self, wide: &[f32], windows: &mut [f32]) {
        let channels = self.wide.channels;
        let whole = self.window.side * channels;
        self.runs(windows.len() / self.depth(), |window, picture, run| {
            let at = window * self.depth() + run.place * whole;
            let row = &mut windows[at..at + whole];
            let (begin, end) = (run.begin * channels, run.end * channels);
            row[..begin].fill(0.0);
            row[end..].fill(0.0);
            if begin < end {
                let from = picture * self.wide.cells() + run.pixel * channels;
                row[begin..end].copy_from_slice(&wide[from..from + end - begin]);
            }
        });
    }

    /// Adds windows to the pictures that they are of.
    fn add_up(&self, windows: &[f32], wide: &mut [f32]) {
        let channels = self.wide.channels;
        let whole = self.window.side * channels;
        self.runs(windows.len() / self.depth(), |window, picture, run| {
            if run.begin < run.end {
                let at = window * self.depth() + run.place * whole;
                let (begin, end) = (at + run.begin * channels, at + run.end * channels);
                let to = picture * self.wide.cells() + run.pixel * channels;
                add_to(&mut wide[to..to + end - begin], &windows[begin..end]);
            }
        });
    }

    /// Every row of every window: the window's number, the picture's, and which pixels it holds.
    fn runs(&self, windows: usize, mut f: impl FnMut(usize, usize, Run)) {
        let Window {
            side,
            stride,
            padding,
        } = self.window;
        let pictures = windows / self.narrow.pixels().max(1);
        let mut window = 0;
        for picture in 0..pictures {
            for y in 0..self.narrow.height {
                for x in 0..self.narrow.width {
                    // Places of the window's row that are within the picture.
                    let left = x * stride;
                    let begin = padding.saturating_sub(left).min(side);
                    let end = (self.wide.width + padding).saturating_sub(left).min(side);
                    for place in 0..side {
                        let row = (y * stride + place).wrapping_sub(padding);
                        let within = row < self.wide.height && begin < end;
                        let run = match within {
                            true => Run {
                                place,
                                begin,
                                end,
                                pixel: row * self.wide.width + left + begin - padding,
                            },
                            false => Run {
                                place,
                                begin: 0,
                                end: 0,
                                pixel: 0,
                            },
                        };
                        f(window, picture, run);
                    }
                    window += 1;
                }
            }
        }
    }
}

/// The part of a window's row that is within the picture.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Which of the window's rows.
    place: usize,
    begin: usize,
    end: usize,
    /// The picture's pixel that stands at `begin`.
    pixel: usize,
}

/// Puts the bias into every pixel; without one, what is there is to be replaced.
fn begin(out: &mut [f32], bias: Option<&[f32]>) -> Accum {
    let Some(bias) = bias else {
        return Accum::Replace;
    };
    for pixel in out.chunks_exact_mut(bias.len().max(1)) {
        pixel.copy_from_slice(bias);
    }
    Accum::Add
}
