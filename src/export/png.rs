//! `png`: the one image of a query's one row.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::{Result, exec_err, plan_err};
use seedbed_udfs::images::png;
use seedbed_udfs::images::value::{Image, decode};

use super::pictures::{self, Pictures};
use super::sink::Format;
use super::staging::{Staging, refused};

/// The format.
#[derive(Debug)]
pub struct Png {
    column: String,
}

impl Png {
    pub fn new(schema: &Schema) -> Result<Self> {
        let place = pictures::only(Self::NAME, schema)?;
        if let Some(other) = schema
            .fields()
            .iter()
            .enumerate()
            .find(|(i, _)| *i != place)
        {
            return plan_err!(
                "png: the file holds an image and nothing else, but the query has a column {}. Select the image alone",
                other.1.name()
            );
        }
        Ok(Self {
            column: schema.field(place).name().clone(),
        })
    }
}

impl Format for Png {
    const NAME: &'static str = "png";
    /// The number of rows, and the first one's image if it is that of the query.
    type Part = (usize, Option<Vec<u8>>);
    type Files = (usize, Option<Vec<u8>>);

    fn encode(&self, batch: &RecordBatch, first: u64) -> Result<Self::Part> {
        let rows = batch.num_rows();
        if rows == 0 || first > 0 {
            return Ok((rows, None));
        }
        let pictures = Pictures::new(Self::NAME, &self.column, batch.column(0), first)?;
        let (file, ending) = pictures.file(0)?;
        if ending == "png" {
            return Ok((rows, Some(file.into_owned())));
        }
        let mut pixels = Vec::new();
        match decode(&file, &mut pixels) {
            Ok(shape) => {
                let pixels = &pixels;
                Ok((rows, Some(png(Image { shape, pixels })?)))
            }
            Err(why) => exec_err!(
                "png: the bytes of column {} are no image: {why}",
                self.column
            ),
        }
    }

    fn create(&self, _: &Staging) -> Result<Self::Files> {
        Ok((0, None))
    }

    fn write(&self, (rows, file): &mut Self::Files, part: Self::Part) -> Result<()> {
        *rows += part.0;
        *file = file.take().or(part.1);
        Ok(())
    }

    fn finish(&self, (rows, file): Self::Files, staging: &mut Staging) -> Result<()> {
        let (1, Some(file)) = (rows, file) else {
            return exec_err!(
                "png: the file holds the image of one row, but the query has {rows}. Write image_grid(image, id) for many \
                 in one, LIMIT 1, or STORED AS images for a file each"
            );
        };
        let path = staging.path();
        std::fs::write(&path, file).map_err(refused(staging.target()))
    }
}
