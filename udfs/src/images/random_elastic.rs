//! `random_elastic`.

use datafusion_common::Result;

use super::draw::{Draw, KEY};
use super::function::{OfImage, Row};
use super::value::{Image, Output, Shape};
use super::warp::{Edge, sample};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "random_elastic",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image distorted as if it were drawn on rubber: every pixel moved by smooth random distances.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::optional_data(
            "alpha",
            "8",
            "how strong: what the smoothed distances, from -1 to 1 before, are multiplied by",
        ),
        Param::optional_data(
            "sigma",
            "4",
            "how smooth: the Gaussian's standard deviation, in pixels, up to 100",
        ),
        KEY,
        Param::option(
            "mode",
            "'nearest'",
            "what is beyond the edge: 'constant', the 'nearest' pixel, 'reflect' or 'wrap'",
        ),
        Param::option("fill", "0", "the constant, from 0 to 255"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT random_elastic(i, 0) = i, random_elastic(i, 8, key => 7) = random_elastic(i, 8, key => 7) \
              FROM (SELECT image_from_pixels(range(0, 64), width => 8, height => 8) AS i)",
        result: "true,true",
    }],
    source: "Simard et al. 2003; the Gaussian is made of three box filters",
    also: &[
        "albumentations.ElasticTransform",
        "torchvision.transforms.ElasticTransform",
    ],
};

/// `random_elastic(image, alpha, sigma, key, mode, fill)`.
#[derive(Debug)]
pub struct RandomElastic;

pub struct Plan {
    edge: Edge,
    x: Vec<f32>,
    y: Vec<f32>,
    room: Vec<f32>,
    sums: Vec<f32>,
}

impl OfImage for RandomElastic {
    type Plan = Plan;
    type Out = Output;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, 1e6), (0.0, 100.0)]
    }

    fn plan(options: &Options) -> Result<Plan> {
        Ok(Plan {
            edge: Edge::new(options)?,
            x: Vec::new(),
            y: Vec::new(),
            room: Vec::new(),
            sums: Vec::new(),
        })
    }

    fn apply(plan: &mut Plan, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = image.shape;
        let mut draw = Draw::new(row.hash);
        let (x, y) = (&mut plan.x, &mut plan.y);
        x.resize(shape.width * shape.height, 0.0);
        y.resize(shape.width * shape.height, 0.0);
        // two numbers of 24 bits a draw
        for (x, y) in x.iter_mut().zip(y.iter_mut()) {
            let bits = draw.bits();
            let unit = |bits: u64| (bits >> 40) as f32 * (2.0 / (1 << 24) as f32) - 1.0;
            (*x, *y) = (unit(bits), unit(bits << 32));
        }
        let alpha = row.numbers[0] as f32;
        for field in [&mut *x, &mut *y] {
            smooth(field, &mut plan.room, &mut plan.sums, shape, row.numbers[1]);
            field.iter_mut().for_each(|v| *v *= alpha);
        }
        sample(image, x, y, plan.edge, out.push(shape)?);
        Ok(())
    }
}

/// Three box filters, whose variances together are the Gaussian's; at the edge the edge's value goes on.
fn smooth(field: &mut [f32], room: &mut Vec<f32>, sums: &mut Vec<f32>, shape: Shape, sigma: f64) {
    // the variance of a box of 2 r + 1 is ((2 r + 1)^2 - 1) / 12; the largest radius of each that is not too wide
    let radius = (((4.0 * sigma * sigma + 1.0).sqrt() - 1.0) / 2.0).round() as usize;
    if radius == 0 {
        return;
    }
    room.resize(field.len(), 0.0);
    sums.resize(shape.width, 0.0);
    for _ in 0..3 {
        along_rows(field, room, shape, radius);
        along_columns(room, field, sums, shape, radius);
    }
}

fn along_rows(from: &[f32], to: &mut [f32], shape: Shape, radius: usize) {
    let width = shape.width;
    let part = 1.0 / (2 * radius + 1) as f32;
    for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
        let last = width - 1;
        let mut sum = from[0] * radius as f32;
        for i in 0..=radius {
            sum += from[i.min(last)];
        }
        for (i, to) in to.iter_mut().enumerate() {
            *to = sum * part;
            sum += from[(i + radius + 1).min(last)] - from[i.saturating_sub(radius)];
        }
    }
}

fn along_columns(from: &[f32], to: &mut [f32], sums: &mut [f32], shape: Shape, radius: usize) {
    let width = shape.width;
    let last = shape.height - 1;
    let part = 1.0 / (2 * radius + 1) as f32;
    let row = |i: usize| &from[i * width..(i + 1) * width];
    for (sum, v) in sums.iter_mut().zip(row(0)) {
        *sum = v * radius as f32;
    }
    for i in 0..=radius {
        for (sum, v) in sums.iter_mut().zip(row(i.min(last))) {
            *sum += v;
        }
    }
    for (i, to) in to.chunks_exact_mut(width).enumerate() {
        let (more, less) = (
            row((i + radius + 1).min(last)),
            row(i.saturating_sub(radius)),
        );
        for (((to, sum), more), less) in to.iter_mut().zip(sums.iter_mut()).zip(more).zip(less) {
            *to = *sum * part;
            *sum += more - less;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_boxes_have_the_variance() {
        let shape = Shape {
            height: 101,
            width: 101,
            channels: 1,
        };
        let mut field = vec![0.0; 101 * 101];
        field[50 * 101 + 50] = 1.0;
        smooth(&mut field, &mut Vec::new(), &mut Vec::new(), shape, 4.0);
        let sum: f32 = field.iter().sum();
        let variance: f32 = field
            .iter()
            .enumerate()
            .map(|(i, v)| v * ((i % 101) as f32 - 50.0).powi(2))
            .sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        assert!((variance.sqrt() - 4.0).abs() < 0.5, "{variance}");
    }
}
