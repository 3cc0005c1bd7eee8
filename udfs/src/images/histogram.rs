//! `image_histogram(image, bins)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, ListBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion_common::Result;

use super::function::{OfImage, Row};
use super::point::counts;
use super::value::{Collect, Image};
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const HISTOGRAM: Spec = Spec {
    name: "image_histogram",
    stage: Stage::Images,
    kind: Kind::RowWise,
    summary: "How many pixels have which value: a list a channel, of the counts of its values from 0 to 255.",
    params: &[
        Param::data("image", "an image, or the bytes of one"),
        Param::option(
            "bins",
            "256",
            "how many counts a channel has, each of 256 / bins values: a power of two up to 256",
        ),
    ],
    variadic: false,
    examples: &[
        Example {
            sql: "SELECT image_histogram(image_from_pixels([0, 70, 80, 255], width => 2, height => 2), bins => 4)",
            result: "\"[[1, 2, 0, 1]]\"",
        },
        Example {
            sql: "SELECT image_histogram(i)[3][251] FROM (SELECT image_from_pixels([1, 2, 250, 3, 4, 250], width => 2, height => 1, channels => 3) AS i)",
            result: "2",
        },
    ],
    source: "Pillow's Image.histogram, a list a band",
    also: &[
        "PIL.Image.Image.histogram",
        "numpy.histogram",
        "cv2.calcHist",
        "skimage.exposure.histogram",
    ],
};

/// `image_histogram(image, bins)`.
#[derive(Debug)]
pub struct Histogram;

/// Counts that are being made.
pub struct Counts(ListBuilder<ListBuilder<Int64Builder>>);

impl Collect for Counts {
    fn data_type() -> DataType {
        let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
        list(list(DataType::Int64))
    }

    fn new(rows: usize, _: usize) -> Self {
        let channel = ListBuilder::new(Int64Builder::new());
        Self(ListBuilder::with_capacity(channel, rows))
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(mut self) -> Result<ArrayRef> {
        Ok(Arc::new(self.0.finish()))
    }
}

impl OfImage for Histogram {
    /// How many values a count is of.
    type Plan = usize;
    type Out = Counts;

    fn spec() -> &'static Spec {
        &HISTOGRAM
    }

    fn plan(options: &Options) -> Result<usize> {
        match usize::try_from(options.integer("bins", 1)?) {
            Ok(bins) if bins <= 256 && bins.is_power_of_two() => Ok(256 / bins),
            _ => options.wrong("bins", "a power of two from 1 to 256"),
        }
    }

    fn apply(width: &mut usize, image: Image<'_>, _: Row<'_>, out: &mut Counts) -> Result<()> {
        for channel in 0..image.shape.channels {
            let counts = counts(image, channel);
            let bins = counts.chunks(*width).map(|bin| bin.iter().sum::<u64>());
            // an image has fewer than 2^28 pixels
            let bins = bins.map(u64::cast_signed);
            out.0.values().values().extend(bins.map(Some));
            out.0.values().append(true);
        }
        out.0.append(true);
        Ok(())
    }
}
