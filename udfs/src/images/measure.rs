//! `image_mean(image)`, `image_std(image)` and `image_sharpness(image)`.

use datafusion_common::Result;

use super::color::gray;
use super::function::{Numbers, OfImage, Row};
use super::value::Image;
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");

/// How many colours there are, their sum and the sum of their squares.
pub fn sums(image: Image<'_>) -> (u64, u64, u64) {
    let all = |part: &[u8]| {
        let (mut sum, mut squares) = (0_u64, 0_u64);
        // 4096 squares have room in 32 bits
        for part in part.chunks(4096) {
            sum += u64::from(part.iter().map(|v| u32::from(*v)).sum::<u32>());
            squares += u64::from(
                part.iter()
                    .map(|v| u32::from(*v) * u32::from(*v))
                    .sum::<u32>(),
            );
        }
        (part.len() as u64, sum, squares)
    };
    if image.shape.channels < 4 {
        return all(image.pixels);
    }
    image
        .pixels
        .chunks_exact(4)
        .fold((0, 0, 0), |(n, sum, squares), p| {
            let (more, s, q) = all(&p[..3]);
            (n + more, sum + s, squares + q)
        })
}

/// The standard deviation of whole numbers, from their sums; exact but for the last step.
pub fn deviation(n: u64, sum: i128, squares: i128) -> f64 {
    let n = i128::from(n);
    ((n * squares - sum * sum) as f64).sqrt() / n as f64
}

const MEAN: Spec = Spec {
    name: "image_mean",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The mean of all colours of the image, from 0 to 255; alpha does not count.",
    params: &[IMAGE],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_mean(image_from_pixels([10, 20, 30, 40], width => 2, height => 2))",
        result: "25.0",
    }],
    source: "the mean",
    also: &["numpy.mean", "PIL.ImageStat.Stat.mean"],
};

const STD: Spec = Spec {
    name: "image_std",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The standard deviation of all colours of the image: 0 where it is of one colour.",
    params: &[IMAGE],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_std(image_from_pixels([10, 30, 10, 30], width => 2, height => 2))",
        result: "10.0",
    }],
    source: "the population standard deviation",
    also: &["numpy.std", "PIL.ImageStat.Stat.stddev"],
};

const SHARPNESS: Spec = Spec {
    name: "image_sharpness",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "How sharp the image is: the variance of the Laplacian of its greys. Blurred images have little.",
    params: &[IMAGE],
    variadic: false,
    examples: &[Example {
        sql: "SELECT image_sharpness(i) > image_sharpness(image_blur(i)) FROM (SELECT \
              image_from_pixels([0, 0, 0, 0, 200, 0, 0, 0, 0], width => 3, height => 3) AS i)",
        result: "true",
    }],
    source: "Pech-Pacheco et al. 2000; the kernel 0 1 0, 1 -4 1, 0 1 0, the image mirrored at its edge's pixels, as OpenCV",
    also: &["cv2.Laplacian"],
};

macro_rules! measure {
    ($(#[$doc:meta])* $function:ident, $spec:ident, $plan:ty, |$room:ident, $image:ident| $value:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $function;

        impl OfImage for $function {
            type Plan = $plan;
            type Out = Numbers;

            fn spec() -> &'static Spec {
                &$spec
            }

            fn plan(_: &Options) -> Result<$plan> {
                Ok(<$plan>::default())
            }

            fn apply($room: &mut $plan, $image: Image<'_>, _: Row<'_>, out: &mut Numbers) -> Result<()> {
                out.push($value);
                Ok(())
            }
        }
    };
}

measure!(
    /// `image_mean(image)`.
    Mean,
    MEAN,
    (),
    |_room, image| {
        let (n, sum, _) = sums(image);
        sum as f64 / n as f64
    }
);

measure!(
    /// `image_std(image)`.
    Std,
    STD,
    (),
    |_room, image| {
        let (n, sum, squares) = sums(image);
        deviation(n, sum.into(), squares.into())
    }
);

measure!(
    /// `image_sharpness(image)`.
    Sharpness,
    SHARPNESS,
    Vec<u8>,
    |room, image| {
        room.resize(image.shape.width * image.shape.height, 0);
        gray(image, room);
        let spread = laplacian(room, image.shape.width, image.shape.height);
        spread * spread
    }
);

/// The standard deviation of the Laplacian of greys.
fn laplacian(greys: &[u8], width: usize, height: usize) -> f64 {
    let at = |row: usize, column: usize| i64::from(greys[row * width + column]);
    // beyond the first is the second
    let before = |i: usize, side: usize| if i == 0 { 1.min(side - 1) } else { i - 1 };
    let after = |i: usize, side: usize| {
        if i + 1 == side {
            side.saturating_sub(2)
        } else {
            i + 1
        }
    };
    let (mut sum, mut squares) = (0_i64, 0_i64);
    for row in 0..height {
        let (up, down) = (before(row, height), after(row, height));
        for column in 0..width {
            let (left, right) = (before(column, width), after(column, width));
            let value = at(up, column) + at(down, column) + at(row, left) + at(row, right)
                - 4 * at(row, column);
            sum += value;
            squares += value * value;
        }
    }
    deviation(greys.len() as u64, sum.into(), squares.into())
}
