//! `color_jitter`, `random_noise` and `random_blur`.

use datafusion_common::Result;
use rand::Rng;
use rand_distr::StandardNormal;

use super::blur::Blur;
use super::color::Change;
use super::draw::{Draw, KEY};
use super::function::{OfImage, Row};
use super::value::{Image, Output};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const IMAGE: Param = Param::data("image", "an image, or the bytes of one");

const JITTER: Spec = Spec {
    name: "color_jitter",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with its brightness, contrast, saturation and hue changed at random, in random order.",
    params: &[
        IMAGE,
        Param::optional_data(
            "brightness",
            "0.2",
            "b: the factor is from 1 - b (at least 0) to 1 + b",
        ),
        Param::optional_data("contrast", "0.2", "likewise"),
        Param::optional_data("saturation", "0.2", "likewise"),
        Param::optional_data(
            "hue",
            "0.05",
            "the greatest turn either way, in parts of the circle, up to 0.5",
        ),
        KEY,
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT image_tensor(color_jitter(i, 0, 0, 0, 0), scale => 1) \
                  FROM (SELECT image_from_pixels([1, 2, 3, 4], width => 2, height => 2) AS i)",
            result: "\"[1.0, 2.0, 3.0, 4.0]\"",
        },
        Example {
            sql: "SELECT color_jitter(i, key => 7) = color_jitter(i, key => 7) \
                  FROM (SELECT image_from_pixels([200, 100, 50], width => 1, height => 1, channels => 3) AS i)",
            result: "true",
        },
    ],
    source: "torchvision's ColorJitter",
    also: &[
        "torchvision.transforms.ColorJitter",
        "albumentations.ColorJitter",
        "tf.image.random_brightness",
    ],
};

/// `color_jitter(image, brightness, contrast, saturation, hue, key)`.
#[derive(Debug)]
pub struct ColorJitter;

impl OfImage for ColorJitter {
    type Plan = ();
    type Out = Output;

    fn spec() -> &'static Spec {
        &JITTER
    }

    fn ranges() -> &'static [(f64, f64)] {
        const FACTOR: (f64, f64) = (0.0, f64::INFINITY);
        &[FACTOR, FACTOR, FACTOR, (0.0, 0.5)]
    }

    fn plan(_: &Options) -> Result<()> {
        Ok(())
    }

    fn apply(_: &mut (), image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let mut draw = Draw::new(row.hash);
        let mut factor = |i: usize| {
            let range = row.numbers[i];
            draw.uniform((1.0 - range).max(0.0), 1.0 + range) as f32
        };
        let mut changes = [
            Change::Brightness(factor(0)),
            Change::Contrast(factor(1)),
            Change::Saturation(factor(2)),
            Change::Hue(draw.around(row.numbers[3])),
        ];
        for last in (1..changes.len()).rev() {
            changes.swap(last, draw.up_to(last));
        }
        let pixels = out.copy(image)?;
        for change in changes {
            if !matches!(
                change,
                Change::Brightness(1.0)
                    | Change::Contrast(1.0)
                    | Change::Saturation(1.0)
                    | Change::Hue(0.0)
            ) {
                change.apply(image.shape, pixels);
            }
        }
        Ok(())
    }
}

const NOISE: Spec = Spec {
    name: "random_noise",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image with normal noise added to each value; alpha stays.",
    params: &[
        IMAGE,
        Param::optional_data(
            "sigma",
            "10",
            "the noise's standard deviation, of values from 0 to 255",
        ),
        KEY,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT random_noise(i, key => 7) = random_noise(i, key => 7), random_noise(i, 0) = i \
              FROM (SELECT image_from_pixels([100, 100, 100, 100], width => 2, height => 2) AS i)",
        result: "true,true",
    }],
    source: "v + sigma * z, z standard normal, rounded and between 0 and 255",
    also: &[
        "albumentations.GaussNoise",
        "torchvision.transforms.v2.GaussianNoise",
        "tf.keras.layers.GaussianNoise",
    ],
};

/// `random_noise(image, sigma, key)`.
#[derive(Debug)]
pub struct RandomNoise;

impl OfImage for RandomNoise {
    type Plan = ();
    type Out = Output;

    fn spec() -> &'static Spec {
        &NOISE
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, f64::INFINITY)]
    }

    fn plan(_: &Options) -> Result<()> {
        Ok(())
    }

    fn apply(_: &mut (), image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let sigma = row.numbers[0] as f32;
        let mut draw = Draw::new(row.hash);
        let generator = draw.generator();
        let colors = image.shape.colors();
        for pixel in out.copy(image)?.chunks_exact_mut(image.shape.channels) {
            for v in &mut pixel[..colors] {
                let z: f32 = generator.sample(StandardNormal);
                *v = (f32::from(*v) + sigma * z + 0.5) as u8;
            }
        }
        Ok(())
    }
}

const BLUR: Spec = Spec {
    name: "random_blur",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image blurred by a Gaussian of random width.",
    params: &[
        IMAGE,
        Param::optional_data("sigma_lo", "0.1", "the least standard deviation, in pixels"),
        Param::optional_data("sigma_hi", "2", "the greatest"),
        KEY,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT random_blur(i, 0, 0) = i, image_mean(random_blur(i)) \
              FROM (SELECT image_from_pixels([9, 9, 9, 9], width => 2, height => 2) AS i)",
        result: "true,9.0",
    }],
    source: "image_blur, its standard deviation uniform: torchvision's GaussianBlur",
    also: &[
        "torchvision.transforms.GaussianBlur",
        "albumentations.GaussianBlur",
    ],
};

/// `random_blur(image, sigma_lo, sigma_hi, key)`.
#[derive(Debug)]
pub struct RandomBlur;

impl OfImage for RandomBlur {
    type Plan = Blur;
    type Out = Output;

    fn spec() -> &'static Spec {
        &BLUR
    }

    fn ranges() -> &'static [(f64, f64)] {
        &[(0.0, 100.0), (0.0, 100.0)]
    }

    fn plan(_: &Options) -> Result<Blur> {
        Ok(Blur::default())
    }

    fn apply(blur: &mut Blur, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let (lo, hi) = (row.numbers[0], row.numbers[1]);
        let sigma = Draw::new(row.hash).uniform(lo.min(hi), lo.max(hi));
        blur.blur(image, sigma, out.push(image.shape)?);
        Ok(())
    }
}
