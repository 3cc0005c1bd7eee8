//! `mixup_images((q), label)`: pairs of images, one shining through the other.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use seedbed_udfs::augment::mixup::Mix;
use seedbed_udfs::images::value::{image_type, is_image};
use seedbed_udfs::spec::{Example, Kind, Param, Spec, Stage};

use super::super::relation::{Call, Expansion, Relation};
use super::by_column::Column;
use super::mixup::{LABEL, N, RATIO, SEED, made};

pub const QUERY: Param = Param::data(
    "query",
    "the rows: (SELECT ...) or TABLE t. Of columns that are neither image nor label the value of the row with the larger \
     share is taken",
);

pub const IMAGE: Param = Param::option(
    "image",
    "NULL",
    "the column of images, or of the bytes of images, all of one shape; the only one there is if left out. Without an image \
     in one of the two rows there is none in the new one",
);

const SPEC: Spec = Spec {
    name: "mixup_images",
    stage: Stage::Images,
    kind: Kind::Relation,
    summary: "New rows, each of two rows of a table: lambda of the image of the one and 1 - lambda of that of the other, \
              pixel by pixel.",
    params: &[
        QUERY,
        LABEL,
        Param::option(
            "alpha",
            "0.2",
            "lambda is drawn from Beta(alpha, alpha), above 0: small values stay near one of the two images, 1 is uniform",
        ),
        IMAGE,
        N,
        RATIO,
        SEED,
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT kind_a, kind_b, round(lambda, 3), image_mean(image) FROM mixup_images((SELECT kind, image_from_pixels([v, v], \
              width => 2, height => 1) AS image FROM (VALUES ('a', 100), ('b', 200)) AS t(kind, v)), label => kind, alpha => 1, seed => 1) \
              ORDER BY lambda",
        result: "a,b,0.099,190.0\nb,a,0.21,121.0",
    }],
    source: "Zhang et al. (2018), mixup: Beyond Empirical Risk Minimization, as torchvision's MixUp, but with a lambda a pair and \
             pixels rounded; pairs and labels as those of mixup",
    also: &[
        "torchvision.transforms.v2.MixUp",
        "timm.data.Mixup",
        "keras_cv.layers.MixUp",
    ],
};

#[derive(Debug)]
pub struct MixupImages;

impl Relation for MixupImages {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, call: &Call<'_>) -> Result<Expansion> {
        of_images(call, &SPEC, Mix::Blended)
    }
}

/// Rows made of pairs of rows, the images in a way.
pub fn of_images(call: &Call<'_>, spec: &'static Spec, how: Mix) -> Result<Expansion> {
    let image = image_column(call, spec)?;
    made(call, spec, |column| match column.quoted == image {
        true => how,
        false => Mix::Larger,
    })
}

/// The column of images: the one that is named, or the only one there is.
fn image_column(call: &Call<'_>, spec: &Spec) -> Result<String> {
    let columns = Column::of(call, 0);
    if !call.options().is_null("image") {
        let named = call.column(0, "image")?;
        if let Some(column) = columns.iter().find(|c| c.quoted == named) {
            image_type(spec, &column.name, &column.data_type)?;
        }
        return Ok(named);
    }
    let decoded = |c: &&Column| is_image(&c.data_type);
    let encoded =
        |c: &&Column| c.data_type != DataType::Null && image_type(spec, "", &c.data_type).is_ok();
    let mut found: Vec<&Column> = columns.iter().filter(decoded).collect();
    if found.is_empty() {
        found = columns.iter().filter(encoded).collect();
    }
    match found.as_slice() {
        [one] => Ok(one.quoted.clone()),
        [] => plan_err!(
            "{}: the table has no column of images. Write image_decode(bytes) AS image in its SELECT, or \
             image_from_pixels(pixels, width => 28, height => 28) AS image",
            spec.name
        ),
        several => {
            let names: Vec<&str> = several.iter().map(|c| c.name.as_str()).collect();
            plan_err!(
                "{}: the table has several columns of images: {}. Write image => {}",
                spec.name,
                names.join(", "),
                names[0]
            )
        }
    }
}
