//! `cutmix_images((q), label)`: pairs of images, one with a rectangle of the other.

use datafusion::common::Result;
use seedbed_udfs::augment::mixup::Mix;
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::mixup::{LABEL, N, RATIO, SEED};
use super::mixup_images::{IMAGE, QUERY, of_images};

const SPEC: Spec = Spec {
    name: "cutmix_images",
    stage: Stage::Images,
    kind: Kind::Relation,
    summary: "New rows, each of two rows of a table: the image of the one with a rectangle of that of the other. lambda is \
              the part of the first that is left.",
    params: &[
        QUERY,
        LABEL,
        Param::option(
            "alpha",
            "1",
            "a share is drawn from Beta(alpha, alpha), above 0, and a rectangle of the rest of the image's area around a \
             pixel that is drawn; what is beyond the edge is cut off",
        ),
        IMAGE,
        N,
        RATIO,
        SEED,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT kind_a, kind_b, lambda, image_mean(image) FROM cutmix_images((SELECT kind, image_from_pixels(array_repeat(v, 16), \
              width => 4, height => 4) AS image FROM (VALUES ('a', 0), ('b', 16)) AS t(kind, v)), label => kind, seed => 1) ORDER BY kind_a",
        result: "a,b,0.75,4.0\nb,a,1.0,16.0",
    }],
    source: "Yun et al. (2019), CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, as \
             torchvision's CutMix, but with a rectangle a pair; pairs and labels as those of mixup",
    also: &[
        "torchvision.transforms.v2.CutMix",
        "timm.data.Mixup",
        "keras_cv.layers.CutMix",
    ],
};

#[derive(Debug)]
pub struct CutmixImages;

impl Relation for CutmixImages {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        of_images(call, &SPEC, Mix::Cut)
    }
}
