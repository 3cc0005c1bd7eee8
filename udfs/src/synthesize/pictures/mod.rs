//! Generators of pictures: a column of images, and the class that each is of.
//!
//! What stands around every kind is here: its columns ([`data`]), the model that draws ([`Painter`]), its
//! file, going on with a training and taking a model to other pictures. A kind ([`PictureKind`]) says how its
//! networks learn.

mod autoencoder;
mod conv_gan;
mod conv_vae;
mod data;
mod diff_augment;
mod discriminator;
mod game;
mod generator;
mod judge;
mod pixels;
#[cfg(test)]
mod tests;
mod trunk;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::{Result, plan_err};
use rayon::prelude::*;

use self::data::{Format, Places};
use self::generator::{Generator, Tape};
use self::pixels::{Pictures, Shares};
use super::layers::{Mapping, Network, Statistics};
use super::options::column;
use super::trained::{self, Record, Start, Trained};
use super::training::{Common, History};
use super::{Condition, Data, Draw, Kind, Model, ModelFile, OptionSpec, Options, Watch};

/// Pictures that a network makes at a time: always so many, whatever is asked for.
const TOGETHER: usize = 32;

/// Every kind of generator of pictures.
pub fn kinds() -> [Arc<dyn Kind>; 2] {
    [
        Arc::new(OfPictures(conv_gan::ConvGan)),
        Arc::new(OfPictures(conv_vae::ConvVae)),
    ]
}

/// A way to learn a network that makes pictures from noise.
trait PictureKind: Debug + Send + Sync + 'static {
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Options that a model must share with the one it is started from.
    const ARCHITECTURE: &'static [&'static str];

    /// The options beside the label.
    fn options(&self) -> Vec<OptionSpec>;

    /// The network that pictures are drawn with.
    fn generator(&self, options: &Options, format: &Format) -> Result<Generator>;

    fn fit(&self, task: &Task<'_>) -> Result<Trained>;
}

/// What a training is given.
struct Task<'a> {
    options: &'a Options,
    common: &'a Common,
    format: &'a Format,
    pictures: &'a Pictures,
    start: Start<'a>,
    watch: &'a dyn Watch,
}

impl Task<'_> {
    /// Makes sure that the networks fit into memory, before there are any.
    fn check_size(&self, parameters: usize) -> Result<()> {
        let advice = "write a smaller width, or image_resize the pictures";
        trained::check_size(parameters, self.watch, advice)
    }
}

/// A kind of pictures as a kind of model.
#[derive(Debug)]
struct OfPictures<K>(K);

impl<K: PictureKind> OfPictures<K> {
    fn run<'a>(
        &self,
        data: &Data,
        options: &Options,
        watch: &dyn Watch,
        known: Option<&Format>,
        start: impl FnOnce(&Format) -> Result<Start<'a>>,
        before: Option<History>,
    ) -> Result<Arc<dyn Model>> {
        let (format, pictures) = Format::read(K::NAME, data, options.text("label"), known)?;
        watch.reserve(pictures.pixels.len())?;
        let common = Common::new(options)?;
        let trained = self.0.fit(&Task {
            options,
            common: &common,
            start: start(&format)?,
            format: &format,
            pictures: &pictures,
            watch,
        })?;
        let (mut file, seconds) = trained.recorded(self, data, options, before)?;
        format.save(&mut file)?;
        // The same way as from a file, so a saved model cannot differ from a fresh one.
        let mut model = Painter::new(self, file)?;
        model.record.history.seconds = seconds;
        Ok(Arc::new(model))
    }
}

impl<K: PictureKind> Kind for OfPictures<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn summary(&self) -> &'static str {
        K::SUMMARY
    }

    fn options(&self) -> Vec<OptionSpec> {
        let help = "the column of classes; by default the one beside the pictures";
        let mut specs = vec![column("label", help)];
        specs.extend(self.0.options());
        specs
    }

    fn check(&self, options: &Options, schema: &Schema) -> Result<()> {
        Places::find(K::NAME, schema, options.text("label")).map(|_| ())
    }

    fn train(&self, data: &Data, options: &Options, watch: &dyn Watch) -> Result<Arc<dyn Model>> {
        trained::check_fresh(self, options)?;
        self.run(data, options, watch, None, |_| Ok(Start::Fresh), None)
    }

    fn resume(
        &self,
        base: &dyn Model,
        data: &Data,
        options: &Options,
        watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        let file = ModelFile::from_bytes(&base.to_bytes()?)?;
        let known = Format::load(&file)?;
        let start = |format: &Format| {
            format.check_same(&known, K::NAME)?;
            Ok(Start::Resume {
                file: &file,
                done: file.json("done")?,
            })
        };
        let before = Some(base.history().clone());
        self.run(data, options, watch, Some(&known), start, before)
    }

    fn transfer(
        &self,
        base: &dyn Model,
        data: &Data,
        options: &Options,
        watch: &dyn Watch,
    ) -> Result<Arc<dyn Model>> {
        trained::check_base(self, base, options)?;
        let file = ModelFile::from_bytes(&base.to_bytes()?)?;
        let old = Format::load(&file)?;
        let start = |format: &Format| {
            if format.frame != old.frame {
                return plan_err!(
                    "the model to start from draws pictures of {0} x {1} pixels of {2} channels; write \
                     image_resize(image, {0}, {1}), and image_convert for the colours",
                    old.frame.width,
                    old.frame.height,
                    old.frame.channels
                );
            }
            if (format.count() == 0) != (old.count() == 0) {
                return plan_err!(
                    "of the model to start from and the query, one has a label and the other none; give both one, or \
                     neither"
                );
            }
            let mapping = Mapping {
                conditions: format.mapping(&old),
                old_conditions: old.count(),
                ..Mapping::default()
            };
            Ok(Start::Transfer {
                file: &file,
                mapping,
            })
        };
        self.run(data, options, watch, None, start, None)
    }

    fn load(&self, file: &ModelFile) -> Result<Arc<dyn Model>> {
        Ok(Arc::new(Painter::new(self, file.clone())?))
    }
}

/// A trained generator of pictures.
#[derive(Debug)]
struct Painter {
    record: Record,
    sampler: Arc<Sampler>,
}

/// What pictures are drawn with.
#[derive(Debug)]
struct Sampler {
    format: Format,
    generator: Generator,
    shares: Shares,
}

/// Pictures of some of the classes.
#[derive(Debug)]
struct Steered {
    sampler: Arc<Sampler>,
    shares: Shares,
}

impl Painter {
    fn new<K: PictureKind>(kind: &OfPictures<K>, file: ModelFile) -> Result<Self> {
        let record = Record::load(kind, K::ARCHITECTURE, file)?;
        let format = Format::load(&record.file)?;
        let mut generator = kind.0.generator(&record.options, &format)?;
        generator.restore("", &record.file)?;
        let sampler = Sampler {
            shares: format.shares(),
            format,
            generator,
        };
        Ok(Self {
            record,
            sampler: Arc::new(sampler),
        })
    }
}

impl Sampler {
    /// One row a key, of the classes that have a share.
    fn draw(
        &self,
        keys: &[u64],
        columns: Option<&[usize]>,
        shares: &Shares,
    ) -> Result<RecordBatch> {
        let classes: Vec<u32> = keys.iter().filter_map(|&key| shares.draw(key)).collect();
        let mut pictures = Vec::new();
        if self.format.paints(columns) {
            let cells = self.format.frame.cells();
            pictures.resize(keys.len() * cells, 0.0);
            pictures
                .par_chunks_mut(TOGETHER * cells)
                .zip(keys.par_chunks(TOGETHER))
                .enumerate()
                .for_each_init(Tape::default, |tape, (i, (pictures, keys))| {
                    let own = classes.iter().skip(i * TOGETHER).take(keys.len());
                    self.paint(tape, keys, own.copied(), pictures);
                });
        }
        self.format.rows(&pictures, &classes, keys.len(), columns)
    }

    /// Some pictures, computed as many together whatever their number.
    fn paint(
        &self,
        tape: &mut Tape,
        keys: &[u64],
        classes: impl Iterator<Item = u32>,
        out: &mut [f32],
    ) {
        let width = self.generator.inputs();
        tape.input.reshape(TOGETHER, width);
        let rows = tape.input.cells_mut().chunks_exact_mut(width);
        for (i, row) in rows.enumerate() {
            match keys.get(i) {
                Some(&key) => pixels::noise(key, row),
                None => row.fill(0.0),
            }
        }
        tape.classes.clear();
        tape.classes.extend(classes);
        if !tape.classes.is_empty() {
            tape.classes.resize(TOGETHER, 0);
        }
        self.generator.forward(tape, Statistics::Running);
        out.copy_from_slice(&tape.output.cells()[..out.len()]);
    }
}

impl Draw for Steered {
    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        self.sampler.draw(keys, columns, &self.shares)
    }
}

impl Model for Painter {
    fn kind(&self) -> &'static str {
        self.record.kind
    }

    fn schema(&self) -> &SchemaRef {
        &self.sampler.format.schema
    }

    fn trained_on(&self) -> u64 {
        self.record.rows
    }

    fn query(&self) -> Option<&str> {
        self.record.query()
    }

    fn options(&self) -> Vec<(String, String)> {
        self.record.options.pairs()
    }

    fn architecture(&self) -> Vec<(String, String)> {
        self.record.architecture()
    }

    fn draw(&self, keys: &[u64], columns: Option<&[usize]>) -> Result<RecordBatch> {
        self.sampler.draw(keys, columns, &self.sampler.shares)
    }

    /// The label is given to the network; what else is said is left to be checked.
    fn given(&self, conditions: &[Condition]) -> Result<Option<Arc<dyn Draw>>> {
        let shares = self.sampler.format.shares_given(conditions)?;
        Ok(shares.map(|shares| {
            let sampler = Arc::clone(&self.sampler);
            Arc::new(Steered { sampler, shares }) as Arc<dyn Draw>
        }))
    }

    fn describe(&self) -> Vec<(String, String)> {
        let Sampler {
            format, generator, ..
        } = self.sampler.as_ref();
        let columns = format.schema.fields().len();
        let mut items = self.record.describe(columns, generator.count());
        items.extend(format.describe());
        items
    }

    fn history(&self) -> &History {
        &self.record.history
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        self.record.file.to_bytes()
    }
}
