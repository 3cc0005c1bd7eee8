//! How far drawn pictures are from those that are learnt, class by class, for the looks of a training at
//! itself: the mean picture, and how much every pixel varies around it.

use super::generator::{Generator, Tape};
use super::pixels::{Pictures, Shares};
use crate::synthesize::training::Judge;

/// The most numbers of a sample, and the most and fewest pictures.
const CELLS: usize = 400_000;
const MOST: usize = 500;
const FEWEST: usize = 64;

/// Classes with fewer pictures than this are not looked at.
const FEW: usize = 8;

/// Pictures that vary less than this share of what the real ones do are all the same.
const SAME: f32 = 0.01;

/// Drawn pictures with their classes, all of one where there are none.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub pictures: Vec<f32>,
    pub classes: Vec<u32>,
}

/// Pictures as a generator would draw them, but for the statistics.
pub fn sample(
    generator: &Generator,
    tape: &mut Tape,
    shares: &Shares,
    rows: usize,
    key: u64,
) -> Sample {
    generator.draw(tape, shares, rows, key);
    let mut classes = tape.classes.clone();
    classes.resize(rows, 0);
    Sample {
        pictures: tape.output.cells().to_vec(),
        classes,
    }
}

/// What the real pictures of every class have in common.
#[derive(Debug)]
pub struct Looks {
    cells: usize,
    classes: Vec<Look>,
    names: Vec<String>,
}

/// Mean and deviation of every cell of some pictures.
#[derive(Debug, Clone)]
struct Look {
    pictures: usize,
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Looks {
    /// `names` are those of the classes.
    pub fn new(pictures: &Pictures, names: &[String]) -> Self {
        let mut classes = pictures.classes.clone();
        classes.resize(pictures.count(), 0);
        let mut names: Vec<String> = names
            .iter()
            .map(|name| format!(" of class {name}"))
            .collect();
        if names.is_empty() {
            names.push(String::new());
        }
        let cells = pictures.frame.cells();
        let classes = looks(cells, names.len(), &classes, |i, out| {
            pictures.write(&[i as u32], out);
        });
        Self {
            cells,
            classes,
            names,
        }
    }

    fn of(&self, sample: &Sample) -> Vec<Look> {
        looks(self.cells, self.names.len(), &sample.classes, |i, out| {
            out.copy_from_slice(&sample.pictures[i * self.cells..(i + 1) * self.cells]);
        })
    }
}

fn looks(
    cells: usize,
    names: usize,
    classes: &[u32],
    picture: impl Fn(usize, &mut [f32]),
) -> Vec<Look> {
    let mut sums = vec![(0usize, vec![0f64; 2 * cells]); names];
    let mut room = vec![0.0; cells];
    for (i, &class) in classes.iter().enumerate() {
        picture(i, &mut room);
        if let Some((count, sums)) = sums.get_mut(class as usize) {
            *count += 1;
            let (first, second) = sums.split_at_mut(cells);
            for ((x, first), second) in room.iter().zip(first).zip(second) {
                let x = f64::from(*x);
                *first += x;
                *second += x * x;
            }
        }
    }
    let look = |(count, sums): (usize, Vec<f64>)| {
        let share = 1.0 / count.max(1) as f64;
        let (first, second) = sums.split_at(cells);
        let deviation = |(first, second): (&f64, &f64)| {
            let mean = share * first;
            (share * second - mean * mean).max(0.0).sqrt() as f32
        };
        Look {
            pictures: count,
            mean: first.iter().map(|sum| (share * sum) as f32).collect(),
            deviation: first.iter().zip(second).map(deviation).collect(),
        }
    };
    sums.into_iter().map(look).collect()
}

impl Look {
    fn spread(&self) -> f32 {
        self.deviation.iter().sum()
    }
}

impl Judge for Looks {
    type Sample = Sample;

    fn rows(&self) -> usize {
        (CELLS / self.cells.max(1)).clamp(FEWEST, MOST)
    }

    /// The mean over classes of how far their mean pictures and their pixels' deviations are apart, as a
    /// share of the whole range of pixels, -1 to 1.
    fn difference(&self, sample: &Sample) -> f32 {
        let drawn = self.of(sample);
        let apart = |a: &[f32], b: &[f32]| {
            let sum: f32 = a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
            sum / a.len().max(1) as f32
        };
        let pairs = self.classes.iter().zip(&drawn);
        let each: Vec<f32> = pairs
            .filter(|(real, drawn)| real.pictures > 0 && drawn.pictures > 0)
            .map(|(real, drawn)| {
                (apart(&real.mean, &drawn.mean) + apart(&real.deviation, &drawn.deviation)) / 4.0
            })
            .collect();
        each.iter().sum::<f32>() / each.len().max(1) as f32
    }

    fn collapsed(&self, sample: &Sample) -> Option<String> {
        let drawn = self.of(sample);
        let pairs = self.classes.iter().zip(&drawn);
        let same = pairs.zip(&self.names).find(|((real, drawn), _)| {
            let enough = real.pictures >= FEW && drawn.pictures >= FEW;
            enough && drawn.spread() < SAME * real.spread()
        });
        let (_, name) = same?;
        Some(format!(
            "the pictures{name} came out all the same, though the real ones are not; train for more epochs, with lower \
             rates, or with a larger batch_size"
        ))
    }
}
