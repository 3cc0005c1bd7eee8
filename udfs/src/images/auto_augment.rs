//! `auto_augment(image, key, policy, mode, fill)`.

use datafusion_common::Result;

use super::draw::{Draw, KEY};
use super::function::{OfImage, Row};
use super::policies::Operation::{
    self, AutoContrast, Brightness, Color, Contrast, Equalize, Invert, Posterize, Rotate,
    Sharpness, ShearX, ShearY, Solarize, TranslateX, TranslateY,
};
use super::policies::{FILL, IMAGE, MODE, Steps};
use super::value::{Image, Output};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const AUTO: Spec = Spec {
    name: "auto_augment",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "The image after one of 25 pairs of operations that were found to help on a data set: the pair is drawn, each of \
              its two is done with a chance and at a strength of its own.",
    params: &[
        IMAGE,
        KEY,
        Param::option(
            "policy",
            "'imagenet'",
            "the data set: 'imagenet', 'cifar10' (small photographs) or 'svhn' (digits)",
        ),
        MODE,
        FILL,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT auto_augment(i, 7) = auto_augment(i, 7), auto_augment(i, 7, 'svhn') = i \
              FROM (SELECT image_from_pixels(range(0, 64), width => 8, height => 8) AS i)",
        result: "true,false",
    }],
    source: "Cubuk et al. 2019, pairs and strengths of torchvision's AutoAugment; interpolation is bilinear",
    also: &["torchvision.transforms.AutoAugment"],
};

/// An operation, its chance in tenths, and its strength from 0 to 9, where it has one.
type Step = (Operation, u8, u8);

#[rustfmt::skip]
const IMAGENET: [[Step; 2]; 25] = [
    [(Posterize, 4, 8), (Rotate, 6, 9)],
    [(Solarize, 6, 5), (AutoContrast, 6, 0)],
    [(Equalize, 8, 0), (Equalize, 6, 0)],
    [(Posterize, 6, 7), (Posterize, 6, 6)],
    [(Equalize, 4, 0), (Solarize, 2, 4)],
    [(Equalize, 4, 0), (Rotate, 8, 8)],
    [(Solarize, 6, 3), (Equalize, 6, 0)],
    [(Posterize, 8, 5), (Equalize, 10, 0)],
    [(Rotate, 2, 3), (Solarize, 6, 8)],
    [(Equalize, 6, 0), (Posterize, 4, 6)],
    [(Rotate, 8, 8), (Color, 4, 0)],
    [(Rotate, 4, 9), (Equalize, 6, 0)],
    [(Equalize, 0, 0), (Equalize, 8, 0)],
    [(Invert, 6, 0), (Equalize, 10, 0)],
    [(Color, 6, 4), (Contrast, 10, 8)],
    [(Rotate, 8, 8), (Color, 10, 2)],
    [(Color, 8, 8), (Solarize, 8, 7)],
    [(Sharpness, 4, 7), (Invert, 6, 0)],
    [(ShearX, 6, 5), (Equalize, 10, 0)],
    [(Color, 4, 0), (Equalize, 6, 0)],
    [(Equalize, 4, 0), (Solarize, 2, 4)],
    [(Solarize, 6, 5), (AutoContrast, 6, 0)],
    [(Invert, 6, 0), (Equalize, 10, 0)],
    [(Color, 6, 4), (Contrast, 10, 8)],
    [(Equalize, 8, 0), (Equalize, 6, 0)],
];

#[rustfmt::skip]
const CIFAR10: [[Step; 2]; 25] = [
    [(Invert, 1, 0), (Contrast, 2, 6)],
    [(Rotate, 7, 2), (TranslateX, 3, 9)],
    [(Sharpness, 8, 1), (Sharpness, 9, 3)],
    [(ShearY, 5, 8), (TranslateY, 7, 9)],
    [(AutoContrast, 5, 0), (Equalize, 9, 0)],
    [(ShearY, 2, 7), (Posterize, 3, 7)],
    [(Color, 4, 3), (Brightness, 6, 7)],
    [(Sharpness, 3, 9), (Brightness, 7, 9)],
    [(Equalize, 6, 0), (Equalize, 5, 0)],
    [(Contrast, 6, 7), (Sharpness, 6, 5)],
    [(Color, 7, 7), (TranslateX, 5, 8)],
    [(Equalize, 3, 0), (AutoContrast, 4, 0)],
    [(TranslateY, 4, 3), (Sharpness, 2, 6)],
    [(Brightness, 9, 6), (Color, 2, 8)],
    [(Solarize, 5, 2), (Invert, 0, 0)],
    [(Equalize, 2, 0), (AutoContrast, 6, 0)],
    [(Equalize, 2, 0), (Equalize, 6, 0)],
    [(Color, 9, 9), (Equalize, 6, 0)],
    [(AutoContrast, 8, 0), (Solarize, 2, 8)],
    [(Brightness, 1, 3), (Color, 7, 0)],
    [(Solarize, 4, 5), (AutoContrast, 9, 0)],
    [(TranslateY, 9, 9), (TranslateY, 7, 9)],
    [(AutoContrast, 9, 0), (Solarize, 8, 3)],
    [(Equalize, 8, 0), (Invert, 1, 0)],
    [(TranslateY, 7, 9), (AutoContrast, 9, 0)],
];

#[rustfmt::skip]
const SVHN: [[Step; 2]; 25] = [
    [(ShearX, 9, 4), (Invert, 2, 0)],
    [(ShearY, 9, 8), (Invert, 7, 0)],
    [(Equalize, 6, 0), (Solarize, 6, 6)],
    [(Invert, 9, 0), (Equalize, 6, 0)],
    [(Equalize, 6, 0), (Rotate, 9, 3)],
    [(ShearX, 9, 4), (AutoContrast, 8, 0)],
    [(ShearY, 9, 8), (Invert, 4, 0)],
    [(ShearY, 9, 5), (Solarize, 2, 6)],
    [(Invert, 9, 0), (AutoContrast, 8, 0)],
    [(Equalize, 6, 0), (Rotate, 9, 3)],
    [(ShearX, 9, 4), (Solarize, 3, 3)],
    [(ShearY, 8, 8), (Invert, 7, 0)],
    [(Equalize, 9, 0), (TranslateY, 6, 6)],
    [(Invert, 9, 0), (Equalize, 6, 0)],
    [(Contrast, 3, 3), (Rotate, 8, 4)],
    [(Invert, 8, 0), (TranslateY, 0, 2)],
    [(ShearY, 7, 6), (Solarize, 4, 8)],
    [(Invert, 6, 0), (Rotate, 8, 4)],
    [(ShearY, 3, 7), (TranslateX, 9, 3)],
    [(ShearX, 1, 6), (Invert, 6, 0)],
    [(Solarize, 7, 2), (TranslateY, 6, 7)],
    [(ShearY, 8, 4), (Invert, 8, 0)],
    [(ShearX, 7, 9), (TranslateY, 8, 3)],
    [(ShearY, 8, 5), (AutoContrast, 7, 0)],
    [(ShearX, 7, 2), (Invert, 1, 0)],
];

/// `auto_augment(image, key, policy, mode, fill)`.
#[derive(Debug)]
pub struct AutoAugment;

pub struct Plan {
    policy: &'static [[Step; 2]; 25],
    steps: Steps,
}

impl OfImage for AutoAugment {
    type Plan = Plan;
    type Out = Output;

    fn spec() -> &'static Spec {
        &AUTO
    }

    fn plan(options: &Options) -> Result<Plan> {
        Ok(Plan {
            policy: match options.choice("policy", &["imagenet", "cifar10", "svhn"])? {
                "cifar10" => &CIFAR10,
                "svhn" => &SVHN,
                _ => &IMAGENET,
            },
            steps: Steps::new(options)?,
        })
    }

    fn apply(plan: &mut Plan, image: Image<'_>, row: Row<'_>, out: &mut Output) -> Result<()> {
        let shape = image.shape;
        let mut draw = Draw::new(row.hash);
        plan.steps.begin(image);
        for (operation, chance, strength) in plan.policy[draw.up_to(plan.policy.len() - 1)] {
            if draw.chance(f64::from(chance) / 10.0) {
                let strength = f64::from(strength) / 9.0;
                plan.steps.step(operation, shape, strength, &mut draw);
            }
        }
        let pixels = plan.steps.pixels();
        out.copy(Image { shape, pixels })?;
        Ok(())
    }
}
