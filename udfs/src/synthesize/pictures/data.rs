//! The rows of a training query as pictures and their classes, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::{Result, exec_datafusion_err, exec_err, plan_err};
use serde::{Deserialize, Serialize};

use super::pixels::{Pictures, Shares, to_byte};
use crate::images::value::{Collect, Images, Output, Shape, field, image_type, is_picture};
use crate::spec::{Kind, Spec, Stage};
use crate::synthesize::layers::Frame;
use crate::synthesize::{Condition, Data, ModelFile, nearest};

/// The sides that pictures may have.
const LEAST_SIDE: usize = 4;
const MOST_SIDE: usize = 256;

/// The most classes of a label.
const MOST_CLASSES: usize = 1000;

/// Classes that DESCRIBE MODEL names.
const SHOWN: usize = 20;

/// Where the columns of a query of pictures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    picture: usize,
    label: Option<usize>,
}

impl Places {
    /// One column of pictures, and at most one label; `label` is its name, or empty.
    pub fn find(kind: &str, schema: &Schema, label: &str) -> Result<Self> {
        let fields = schema.fields();
        let pictures: Vec<usize> = (0..fields.len())
            .filter(|&i| is_picture(fields[i].data_type()))
            .collect();
        let named = |places: &[usize]| {
            let names = places.iter().map(|&i| fields[i].name().as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let picture = match pictures[..] {
            [picture] => picture,
            [] => {
                return plan_err!(
                    "a {kind} learns pictures, and the query has no column of them. Write image_from_pixels(pixels, \
                     width => 28, height => 28) AS image of numbers, or SELECT bytes, label FROM read_images('folder')"
                );
            }
            _ => {
                return plan_err!(
                    "a {kind} learns one column of pictures, and the query has {}; leave all but one out",
                    named(&pictures)
                );
            }
        };
        let others: Vec<usize> = (0..fields.len()).filter(|&i| i != picture).collect();
        let names = || others.iter().map(|&i| fields[i].name().as_str());
        let chosen = match (label, &others[..]) {
            ("", []) => None,
            ("", [label]) => Some(*label),
            ("", _) => {
                return plan_err!(
                    "a {kind} learns pictures and at most one label, and the query has {} beside the pictures. Write \
                     SELECT {}, {} FROM ... with the one that is the label",
                    named(&others),
                    fields[picture].name(),
                    names().next().unwrap_or("label")
                );
            }
            (name, _) => match names().position(|other| other.eq_ignore_ascii_case(name)) {
                Some(at) => Some(others[at]),
                None => {
                    return plan_err!(
                        "the query has no column {name} that could be the label{}",
                        nearest(name, names())
                    );
                }
            },
        };
        let rest: Vec<usize> = others.into_iter().filter(|i| Some(*i) != chosen).collect();
        if let Some(&first) = rest.first() {
            return plan_err!(
                "a {kind} learns pictures and at most one label; leave {} out of the query: SELECT * EXCEPT ({}) FROM ...",
                named(&rest),
                fields[first].name()
            );
        }
        if let Some(label) = chosen.map(|label| &fields[label])
            && !is_label(label.data_type())
        {
            return plan_err!(
                "label {} has type {}, and classes are text, integers or booleans. Write CAST({} AS INT) AS {0}, or \
                 bucketize it",
                label.name(),
                label.data_type(),
                label.name()
            );
        }
        Ok(Self {
            picture,
            label: chosen,
        })
    }
}

fn is_label(t: &DataType) -> bool {
    match t {
        DataType::Dictionary(_, value) => is_label(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => true,
        t => t.is_integer(),
    }
}

/// What the rows of a model of pictures are: their columns, the pictures' size, the classes.
#[derive(Debug, Clone)]
pub struct Format {
    pub schema: SchemaRef,
    pub frame: Frame,
    places: Places,
    classes: Option<Classes>,
}

/// The classes of a label in their order.
#[derive(Debug, Clone)]
struct Classes {
    values: ArrayRef,
    /// How they are written.
    names: Vec<String>,
    /// How many rows had each.
    counts: Vec<u64>,
}

impl Classes {
    fn new(values: ArrayRef, counts: Vec<u64>) -> Result<Self> {
        let options = FormatOptions::default().with_null("NULL");
        let texts = ArrayFormatter::try_new(values.as_ref(), &options)?;
        let names = (0..values.len()).map(|i| Ok(texts.value(i).try_to_string()?));
        let names = names.collect::<Result<_>>()?;
        drop(texts);
        Ok(Self {
            names,
            values,
            counts,
        })
    }
}

impl Format {
    /// Reads the rows. `known` is the format of the model that the training goes on with.
    pub fn read(
        kind: &'static str,
        data: &Data,
        label: &str,
        known: Option<&Self>,
    ) -> Result<(Self, Pictures)> {
        let schema = data.schema();
        let places = Places::find(kind, &schema, label)?;
        let rows = data.rows();
        if rows.num_rows() == 0 {
            return exec_err!("the training query gave no rows: there is nothing to learn");
        }
        let column = schema.field(places.picture).name();
        let (frame, pixels) = read_pixels(kind, column, rows.column(places.picture))?;
        let (found, codes) = match places.label {
            None => (None, Vec::new()),
            Some(label) => {
                let name = schema.field(label).name();
                let known = known.and_then(|known| known.classes.as_ref());
                let known = known.map(|known| &known.values);
                let (values, codes) = read_classes(name, rows.column(label), known)?;
                let mut counts = vec![0; values.len()];
                for &code in &codes {
                    counts[code as usize] += 1;
                }
                (Some(Classes::new(values, counts)?), codes)
            }
        };
        let fields = schema.fields().iter().enumerate().map(|(i, known)| {
            let own = match (i == places.picture, &found) {
                (false, Some(Classes { values, .. })) => {
                    let nullable = values.null_count() > 0;
                    Field::new(known.name(), values.data_type().clone(), nullable)
                }
                _ => field(known.name()),
            };
            Arc::new(own)
        });
        let format = Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            frame,
            places,
            classes: found,
        };
        let pictures = Pictures {
            frame,
            pixels,
            classes: codes,
        };
        Ok((format, pictures))
    }

    /// How many classes there are; 0 without a label.
    pub fn count(&self) -> usize {
        self.names().len()
    }

    /// How the classes are written.
    pub fn names(&self) -> &[String] {
        self.classes.as_ref().map_or(&[], |classes| &classes.names)
    }

    /// How often each class comes.
    pub fn shares(&self) -> Shares {
        let counts = self.classes.iter().flat_map(|classes| &classes.counts);
        Shares::new(counts.copied())
    }

    /// How often each class comes that passes conditions on the label; nothing if none is on it.
    ///
    /// # Errors
    /// If no class passes.
    pub fn shares_given(&self, conditions: &[Condition]) -> Result<Option<Shares>> {
        let (Some(classes), Some(label)) = (&self.classes, self.places.label) else {
            return Ok(None);
        };
        let own: Vec<&Condition> = conditions.iter().filter(|c| c.column == label).collect();
        if own.is_empty() {
            return Ok(None);
        }
        let mut left = classes.counts.clone();
        for condition in &own {
            for (left, holds) in left
                .iter_mut()
                .zip(condition.holds(&classes.values)?.values().iter())
            {
                *left *= u64::from(holds);
            }
        }
        if left.iter().all(|&count| count == 0) {
            let name = self.schema.field(label).name();
            let said: Vec<String> = own.iter().map(|c| format!("{name} {}", c.test)).collect();
            return plan_err!(
                "the model never draws {}: it learnt no picture of such a class",
                said.join(" AND ")
            );
        }
        Ok(Some(Shares::new(left)))
    }

    /// Which of another format's classes each class is.
    pub fn mapping(&self, other: &Self) -> Vec<Option<usize>> {
        let of_type = |format: &Self| Some(format.classes.as_ref()?.values.data_type().clone());
        if of_type(self) != of_type(other) {
            return vec![None; self.count()];
        }
        let places: BTreeMap<&String, usize> = other.names().iter().zip(0..).collect();
        let own = self.names().iter();
        own.map(|name| places.get(name).copied()).collect()
    }

    /// An error if another query's rows are not of the columns and the size of these.
    pub fn check_same(&self, known: &Self, kind: &str) -> Result<()> {
        if self.schema == known.schema && self.frame == known.frame {
            return Ok(());
        }
        let names: Vec<&str> = known
            .schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect();
        plan_err!(
            "a training goes on with the columns it began with, {}, and pictures of {}; for others write CREATE MODEL ... \
             USING {kind} FROM model",
            names.join(", "),
            known.size()
        )
    }

    /// How large pictures are, in words.
    fn size(&self) -> String {
        sized(Shape {
            height: self.frame.height,
            width: self.frame.width,
            channels: self.frame.channels,
        })
    }

    /// Whether the columns that are asked for hold the picture.
    pub fn paints(&self, columns: Option<&[usize]>) -> bool {
        columns.is_none_or(|columns| columns.contains(&self.places.picture))
    }

    /// Rows of pictures in -1 to 1 and their classes.
    pub fn rows(
        &self,
        pictures: &[f32],
        classes: &[u32],
        rows: usize,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let column = |i: usize| -> Result<ArrayRef> {
            match &self.classes {
                Some(known) if Some(i) == self.places.label => Ok(take(
                    &known.values,
                    &UInt32Array::from(classes.to_vec()),
                    None,
                )?),
                _ => {
                    let shape = Shape {
                        height: self.frame.height,
                        width: self.frame.width,
                        channels: self.frame.channels,
                    };
                    let mut images = Output::new(rows, pictures.len());
                    for picture in pictures.chunks_exact(self.frame.cells()).take(rows) {
                        let out = images.push(shape)?;
                        for (byte, &pixel) in out.iter_mut().zip(picture) {
                            *byte = to_byte(pixel);
                        }
                    }
                    images.finish()
                }
            }
        };
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = columns.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(columns)?);
        let arrays = columns.iter().map(|&i| column(i)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    /// What DESCRIBE MODEL shows of the columns.
    pub fn describe(&self) -> Vec<(String, String)> {
        let name = |i: usize| format!("column {}", self.schema.field(i).name());
        let picture = format!("picture, {}", self.size());
        let mut items = vec![(name(self.places.picture), picture)];
        if let Some(label) = self.places.label {
            let names = self.names();
            let mut shown = names[..names.len().min(SHOWN)].join(", ");
            if names.len() > SHOWN {
                shown += ", ...";
            }
            let what = format!("label of {} classes: {shown}", names.len());
            items.push((name(label), what));
        }
        items
    }

    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        let Frame {
            height,
            width,
            channels,
        } = self.frame;
        let json = serde_json::to_string(&([height, width, channels], self.places))
            .map_err(|error| exec_datafusion_err!("the format cannot be written: {error}"))?;
        file.set_text("pictures", json);
        file.set_schema("schema", &self.schema)?;
        if let Some(classes) = &self.classes {
            file.set_column("classes", &classes.values)?;
            let counts: Vec<f64> = classes.counts.iter().map(|&count| count as f64).collect();
            file.set_numbers("class_counts", &counts)?;
        }
        Ok(())
    }

    pub fn load(file: &ModelFile) -> Result<Self> {
        let ([height, width, channels], places): ([usize; 3], Places) = file.json("pictures")?;
        let schema = file.schema("schema")?;
        let sides = LEAST_SIDE..=MOST_SIDE;
        let known = sides.contains(&height) && sides.contains(&width) && matches!(channels, 1 | 3);
        let columns = schema.fields().len();
        let within = places.picture < columns && places.label.is_none_or(|at| at < columns);
        if !known || !within {
            return exec_err!("the model file is damaged: its pictures are of no known size");
        }
        let classes = match places.label {
            None => None,
            Some(_) => {
                let counts = file.numbers("class_counts")?;
                let counts: Vec<u64> = counts.iter().map(|&count| count as u64).collect();
                let classes = file.column("classes")?;
                if counts.len() != classes.len() {
                    return exec_err!("the model file is damaged: its classes are not all there");
                }
                Some(Classes::new(classes, counts)?)
            }
        };
        Ok(Self {
            schema,
            frame: Frame {
                height,
                width,
                channels,
            },
            places,
            classes,
        })
    }
}

/// The pixels of all pictures, which are to be there and of one size.
fn read_pixels(kind: &'static str, column: &str, array: &ArrayRef) -> Result<(Frame, Vec<u8>)> {
    // What messages about a picture begin with.
    let spec = Spec {
        name: kind,
        stage: Stage::Images,
        kind: Kind::Relation,
        summary: "",
        params: &[],
        variadic: false,
        examples: &[],
        source: "",
        also: &[],
    };
    let array = cast(array, &image_type(&spec, column, array.data_type())?)?;
    let images = Images::new(&spec, &array)?;
    let (mut room, mut pixels) = (Vec::new(), Vec::with_capacity(images.bytes()));
    let mut first: Option<Shape> = None;
    let mut missing = 0;
    for row in 0..array.len() {
        let null = images.nulls().is_some_and(|nulls| nulls.is_null(row));
        let image = match null {
            true => None,
            false => images.get(&spec, row, &mut room)?,
        };
        let Some(image) = image else {
            missing += 1;
            continue;
        };
        let shape = *first.get_or_insert(image.shape);
        if image.shape != shape {
            return exec_err!(
                "a {kind} learns pictures of one size, and {column} has {} and {}. Write image_resize(image_convert({column}, \
                 '{}'), {}, {}) AS {column}",
                sized(shape),
                sized(image.shape),
                if shape.channels == 1 { "gray" } else { "rgb" },
                shape.width,
                shape.height
            );
        }
        pixels.extend_from_slice(image.pixels);
    }
    if missing > 0 {
        return exec_err!(
            "{missing} of {} rows have no picture in {column}: it is NULL, or its bytes are none. Write WHERE \
             image_decode({column}) IS NOT NULL to leave them out",
            array.len()
        );
    }
    let Some(shape) = first else {
        return exec_err!("the training query gave no pictures: there is nothing to learn");
    };
    if shape.channels == 4 {
        return exec_err!(
            "a {kind} learns grey and RGB pictures, and those of {column} have an alpha channel. Write \
             image_convert({column}, 'rgb') AS {column}"
        );
    }
    let sides = LEAST_SIDE..=MOST_SIDE;
    if !sides.contains(&shape.width) || !sides.contains(&shape.height) {
        return exec_err!(
            "a {kind} learns pictures of {LEAST_SIDE} to {MOST_SIDE} pixels a side, and those of {column} are {}. Write \
             image_resize({column}, 32, 32) AS {column}",
            sized(shape)
        );
    }
    let frame = Frame {
        height: shape.height,
        width: shape.width,
        channels: shape.channels,
    };
    Ok((frame, pixels))
}

fn sized(shape: Shape) -> String {
    let colours = match shape.channels {
        1 => "grey",
        3 => "RGB",
        _ => "RGBA",
    };
    format!("{} x {} {colours}", shape.width, shape.height)
}

/// The classes of a label in their order, NULL among them, and the place of each row's; or the place among those
/// that are known.
fn read_classes(
    name: &str,
    array: &ArrayRef,
    known: Option<&ArrayRef>,
) -> Result<(ArrayRef, Vec<u32>)> {
    let array = match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value)?,
        _ => Arc::clone(array),
    };
    let converter = RowConverter::new(vec![SortField::new(array.data_type().clone())])?;
    let rows = converter.convert_columns(&[Arc::clone(&array)])?;
    let of_known = match known {
        Some(classes) => converter.convert_columns(&[Arc::clone(classes)])?,
        None => converter.empty_rows(0, 0),
    };
    let mut places: BTreeMap<&[u8], u32> = BTreeMap::new();
    match known {
        Some(_) => {
            for (row, place) in of_known.iter().zip(0..) {
                places.insert(row.data(), place);
            }
        }
        None => {
            for row in rows.iter() {
                places.insert(row.data(), 0);
            }
            for (place, next) in places.values_mut().zip(0..) {
                *place = next;
            }
        }
    }
    if places.len() > MOST_CLASSES {
        return exec_err!(
            "{name} has {} values, and a label has at most {MOST_CLASSES} classes; leave it out of the query, or bucketize it",
            places.len()
        );
    }
    let mut firsts = vec![0u32; places.len()];
    let mut codes = Vec::with_capacity(array.len());
    for (i, row) in rows.iter().enumerate().rev() {
        let Some(&place) = places.get(row.data()) else {
            return exec_err!(
                "{name} has a class that the model did not learn; a training goes on with the classes it began with. For \
                 others write CREATE MODEL ... USING kind FROM model AS SELECT ..."
            );
        };
        firsts[place as usize] = i as u32;
        codes.push(place);
    }
    codes.reverse();
    let classes = match known {
        Some(classes) => Arc::clone(classes),
        None => take(&array, &UInt32Array::from(firsts), None)?,
    };
    Ok((classes, codes))
}
