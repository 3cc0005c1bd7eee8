//! Two rows made one: the kernel of `mixup`, `mixup_images` and `cutmix_images`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion_common::{Result, internal_err};
use rand_distr::{Beta, Distribution};

use super::pictures::Pictures;
use crate::images::value::field;
use crate::random::key;
use crate::spec::Spec;
use crate::table::{Host, Rows, TableFunction, TableKernel, Whole};

/// Rows that are made at a time.
const BATCH: u64 = 8192;

/// What becomes of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// The combination of both rows' numbers.
    Combined,
    /// The value of the row with the larger share.
    Larger,
    /// Both rows' values, in two columns.
    Both,
    /// The combination of both rows' images.
    Blended,
    /// The first row's image with a rectangle of the second's; the share of the first is what is left of it.
    Cut,
}

impl Mix {
    fn is_of_images(self) -> bool {
        matches!(self, Self::Blended | Self::Cut)
    }
}

/// How many rows are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    Rows(u64),
    /// In terms of the table's rows, rounded.
    Ratio(f64),
}

/// Rows made of pairs of rows that a seed chooses.
#[derive(Debug, Clone)]
pub struct Mixup {
    spec: &'static Spec,
    mixes: Arc<[Mix]>,
    alpha: f64,
    wanted: Wanted,
    seed: i64,
    schema: SchemaRef,
}

impl Mixup {
    /// Of the columns of the input, of which one at most is of images; the last column given is `lambda`, the share of
    /// the first row. The name of `spec` is part of what the seed draws.
    pub fn new(
        spec: &'static Spec,
        input: &[(String, DataType, Mix)],
        alpha: f64,
        wanted: Wanted,
        seed: i64,
    ) -> Self {
        let mut fields = Vec::with_capacity(input.len() + 2);
        for (name, data_type, mix) in input {
            match mix {
                Mix::Combined => fields.push(Field::new(name, combined_type(data_type), true)),
                Mix::Larger => fields.push(Field::new(name, data_type.clone(), true)),
                Mix::Blended | Mix::Cut => fields.push(field(name)),
                Mix::Both => {
                    for side in ["a", "b"] {
                        fields.push(Field::new(
                            format!("{name}_{side}"),
                            data_type.clone(),
                            true,
                        ));
                    }
                }
            }
        }
        fields.push(Field::new("lambda", DataType::Float64, true));
        Self {
            spec,
            mixes: input.iter().map(|(_, _, mix)| *mix).collect(),
            alpha,
            wanted,
            seed,
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

/// The type numbers of a type are combined in.
fn combined_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        _ => DataType::Float64,
    }
}

impl TableFunction for Mixup {
    fn name(&self) -> &'static str {
        self.spec.name
    }

    fn describe(&self) -> String {
        format!(
            "alpha={}, wanted={:?}, seed={}, columns={:?}",
            self.alpha, self.wanted, self.seed, self.mixes
        )
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn kernel(&self) -> Result<Box<dyn TableKernel>> {
        Ok(Box::new(Kernel {
            function: self.clone(),
            rows: Whole::default(),
        }))
    }
}

struct Kernel {
    function: Mixup,
    rows: Whole,
}

impl TableKernel for Kernel {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows.push(batch);
        Ok(())
    }

    fn size(&self) -> usize {
        self.rows.size()
    }

    fn finish(self: Box<Self>, host: &mut dyn Host) -> Result<Rows> {
        let Self { function, rows } = *self;
        let Some(table) = rows.in_order(host)? else {
            return Ok(Box::new(std::iter::empty()));
        };
        let n = table.num_rows();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a number of rows; beyond the range it is the largest there is"
        )]
        let wanted = match function.wanted {
            Wanted::Rows(rows) => rows,
            Wanted::Ratio(ratio) => (ratio * n as f64).round() as u64,
        };
        let mixes = function.mixes.iter();
        let images = mixes
            .zip(table.columns())
            .find(|(mix, _)| mix.is_of_images());
        let images = images.map(|(_, column)| Pictures::new(function.spec, column));
        let images = images.transpose()?;
        let of_images = images.as_ref().map_or(0, Pictures::size);
        // two permutations of the rows
        host.resize(table.get_array_memory_size() + 32 * n + of_images)?;
        let mut made = Made {
            images,
            pairs: [Vec::new(), Vec::new()],
            round: None,
            next: 0,
            wanted,
            table,
            function,
        };
        Ok(Box::new(std::iter::from_fn(move || {
            made.batch().transpose()
        })))
    }
}

/// The rows that are made, one batch after another.
struct Made {
    function: Mixup,
    table: RecordBatch,
    images: Option<Pictures>,
    /// Two permutations of the table's rows: pair `i` of a round is of the rows at place `i` of each.
    pairs: [Vec<u32>; 2],
    round: Option<u64>,
    next: u64,
    wanted: u64,
}

impl Made {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.next >= self.wanted {
            return Ok(None);
        }
        let n = self.table.num_rows() as u64;
        let round = self.next / n;
        if self.round != Some(round) {
            for (side, pairs) in (0..).zip(&mut self.pairs) {
                *pairs = self.function.permutation(round, side, n)?;
            }
            self.round = Some(round);
        }
        // a batch is of one round
        let batch = self
            .images
            .as_ref()
            .map_or(BATCH, |i| i.rows_at_once(BATCH));
        let end = self.wanted.min((round + 1) * n).min(self.next + batch);
        let places = (self.next % n) as usize..(self.next % n + end - self.next) as usize;
        let [a, b] =
            [0, 1].map(|side| -> UInt32Array { self.pairs[side][places.clone()].to_vec().into() });
        let pairs = self.next..end;
        let mut shares = self.shares(pairs.clone())?;
        let mut mixed = None;
        if let Some(images) = &self.images {
            let keys = match self.function.mixes.contains(&Mix::Cut) {
                true => Some(self.function.keys(&[CUTS], pairs)?),
                false => None,
            };
            mixed = Some(images.mixed(a.values(), b.values(), &mut shares, keys.as_deref())?);
        }
        self.next = end;
        let mut columns = Vec::with_capacity(self.function.schema.fields().len());
        for (column, mix) in self.table.columns().iter().zip(self.function.mixes.iter()) {
            match mix {
                Mix::Both => columns.extend([take(column, &a, None)?, take(column, &b, None)?]),
                Mix::Larger => columns.push(larger(column, &a, &b, &shares)?),
                Mix::Combined => columns.push(combined(column, &a, &b, &shares)?),
                Mix::Blended | Mix::Cut => columns.extend(mixed.take()),
            }
        }
        columns.push(Arc::new(Float64Array::from(shares)));
        Ok(Some(RecordBatch::try_new(
            Arc::clone(&self.function.schema),
            columns,
        )?))
    }

    /// The share of the first row of each pair.
    fn shares(&self, pairs: std::ops::Range<u64>) -> Result<Vec<f64>> {
        let Ok(beta) = Beta::new(self.function.alpha, self.function.alpha) else {
            return internal_err!("{}: alpha is {}", self.function.name(), self.function.alpha);
        };
        let keys = self.function.keys(&[SHARES], pairs)?;
        Ok(keys
            .into_iter()
            .map(|hash| {
                let share = beta.sample(&mut key::rng(hash));
                // an alpha so small that there is only the one row or the other
                if share.is_finite() {
                    share.clamp(0.0, 1.0)
                } else {
                    f64::from(hash as u32 & 1)
                }
            })
            .collect())
    }
}

/// What keys are of, beside the two permutations.
const SHARES: i64 = 2;
const CUTS: i64 = 3;

impl Mixup {
    /// The key of a number of a range, of the seed and of what is drawn by it.
    fn keys(&self, of: &[i64], numbers: std::ops::Range<u64>) -> Result<Vec<u64>> {
        let mut hash = [key::start(self.name())];
        for value in std::iter::once(&self.seed).chain(of) {
            let value = Int64Array::from(vec![*value]);
            key::fold(&mut hash, &(Arc::new(value) as ArrayRef))?;
        }
        let numbers: Int64Array = numbers.map(|n| Some(n.cast_signed())).collect();
        let mut keys = vec![hash[0]; numbers.len()];
        key::fold(&mut keys, &(Arc::new(numbers) as ArrayRef))?;
        Ok(keys)
    }

    fn permutation(&self, round: u64, side: i64, n: u64) -> Result<Vec<u32>> {
        let keys = self.keys(&[side, round.cast_signed()], 0..n)?;
        let mut order: Vec<(u64, u32)> = keys.into_iter().zip(0..).collect();
        order.sort_unstable();
        Ok(order.into_iter().map(|(_, row)| row).collect())
    }
}

fn larger(column: &ArrayRef, a: &UInt32Array, b: &UInt32Array, shares: &[f64]) -> Result<ArrayRef> {
    let rows: UInt32Array = shares
        .iter()
        .zip(a.values().iter().zip(b.values()))
        .map(|(share, (a, b))| Some(if *share >= 0.5 { *a } else { *b }))
        .collect();
    Ok(take(column, &rows, None)?)
}

fn combined(
    column: &ArrayRef,
    a: &UInt32Array,
    b: &UInt32Array,
    shares: &[f64],
) -> Result<ArrayRef> {
    let target = combined_type(column.data_type());
    if column.data_type() == &DataType::Null {
        return Ok(new_null_array(&target, shares.len()));
    }
    let [a, b] = [a, b].map(|rows| -> Result<ArrayRef> {
        Ok(cast(&take(column, rows, None)?, &DataType::Float64)?)
    });
    let (a, b) = (a?, b?);
    let nulls = NullBuffer::union(a.nulls(), b.nulls());
    let (a, b) = (
        a.as_primitive::<Float64Type>(),
        b.as_primitive::<Float64Type>(),
    );
    let values: Vec<f64> = shares
        .iter()
        .zip(a.values().iter().zip(b.values()))
        .map(|(share, (a, b))| {
            // nothing of an infinity is nothing, and the mean of two equals is no other number
            if *share == 1.0 || a == b {
                *a
            } else if *share == 0.0 {
                *b
            } else {
                share * a + (1.0 - share) * b
            }
        })
        .collect();
    let values: ArrayRef = Arc::new(Float64Array::new(values.into(), nulls));
    Ok(cast(&values, &target)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::value::{Collect, Images, Output, Shape, data_type};
    use crate::spec::{Kind, Stage};
    use crate::table::testing::{run, run_any_way};
    use arrow::array::{Float32Array, StringArray};
    use arrow::datatypes::Int64Type;

    fn table(n: i64) -> RecordBatch {
        let x: Int64Array = (0..n).map(|i| (i != 3).then_some(i)).collect();
        let f: Float32Array = (0..n).map(|i| Some(i as f32 / 2.0)).collect();
        let t: StringArray = (0..n).map(|i| Some(format!("t{}", i % 3))).collect();
        RecordBatch::try_from_iter([
            ("x", Arc::new(x) as ArrayRef),
            ("f", Arc::new(f) as ArrayRef),
            ("t", Arc::new(t) as ArrayRef),
        ])
        .unwrap()
    }

    const SPEC: Spec = Spec {
        name: "mixup",
        stage: Stage::Random,
        kind: Kind::Relation,
        summary: "",
        params: &[],
        variadic: false,
        examples: &[],
        source: "",
        also: &[],
    };

    fn mixup(alpha: f64, wanted: Wanted, seed: i64, t: Mix) -> Mixup {
        let columns = [
            ("x".to_string(), DataType::Int64, Mix::Combined),
            ("f".to_string(), DataType::Float32, Mix::Combined),
            ("t".to_string(), DataType::Utf8, t),
        ];
        Mixup::new(&SPEC, &columns, alpha, wanted, seed)
    }

    #[test]
    fn rows_lie_between_their_pairs() {
        let made = run_any_way(&mixup(0.4, Wanted::Ratio(2.5), 1, Mix::Both), &table(40));
        assert_eq!(made.num_rows(), 100);
        let x = made.column(0).as_primitive::<Float64Type>();
        let f = cast(made.column(1), &DataType::Float64).unwrap();
        let f = f.as_primitive::<Float64Type>();
        assert_eq!(made.column(1).data_type(), &DataType::Float32);
        let share = made.column(4).as_primitive::<Float64Type>();
        let mut nulls = 0;
        for i in 0..100 {
            assert!((0.0..=1.0).contains(&share.value(i)));
            nulls += usize::from(x.is_null(i));
            if x.is_valid(i) {
                assert!((x.value(i) / 2.0 - f.value(i)).abs() < 1e-5);
            }
        }
        // each row is the first of a pair as often as another, and the second
        assert!((4..=6).contains(&nulls), "{nulls}");
    }

    #[test]
    fn seeds_and_shares() {
        let table = table(50);
        let f = |seed| mixup(0.2, Wanted::Rows(2000), seed, Mix::Larger);
        let a = run(&f(1), std::slice::from_ref(&table)).unwrap();
        let b = run(&f(2), std::slice::from_ref(&table)).unwrap();
        assert_ne!(a, b);
        let share = a.column(3).as_primitive::<Float64Type>().values();
        let mean = share.iter().sum::<f64>() / 2000.0;
        // Beta(a, a) has the variance 1 / (4 (2a + 1))
        let variance = share.iter().map(|s| (s - 0.5).powi(2)).sum::<f64>() / 2000.0;
        assert!((mean - 0.5).abs() < 0.03 && (variance - 1.0 / 5.6).abs() < 0.01);
        let one = table.slice(0, 1);
        let made = run(&f(1), &[one]).unwrap();
        assert_eq!(made.column(0).as_primitive::<Float64Type>().value(7), 0.0);
        assert_eq!(run(&f(1), &[]).unwrap().num_rows(), 0);
        let tiny = mixup(1e-300, Wanted::Rows(10), 1, Mix::Larger);
        let made = run(&tiny, &[table]).unwrap();
        let share = made.column(3).as_primitive::<Float64Type>().values();
        assert!(share.iter().all(|s| *s == 0.0 || *s == 1.0));
    }

    /// Grey images of 4 x 4, each of one shade; one is NULL.
    fn shades(n: u8) -> RecordBatch {
        let mut images = Output::new(usize::from(n), 0);
        let shape = Shape {
            height: 4,
            width: 4,
            channels: 1,
        };
        for shade in 0..n {
            match shade {
                5 => images.null(),
                _ => images.push(shape).unwrap().fill(shade),
            }
        }
        let class: Int64Array = (0..n).map(|i| Some(i64::from(i))).collect();
        RecordBatch::try_from_iter([
            ("class", Arc::new(class) as ArrayRef),
            ("image", images.finish().unwrap()),
        ])
        .unwrap()
    }

    #[test]
    fn images_are_mixed_as_their_classes() {
        for mix in [Mix::Blended, Mix::Cut] {
            let columns = [
                ("class".to_string(), DataType::Int64, Mix::Both),
                ("image".to_string(), data_type(), mix),
            ];
            let f = Mixup::new(&SPEC, &columns, 1.0, Wanted::Ratio(3.0), 3);
            let made = run_any_way(&f, &shades(60));
            assert_eq!(made.num_rows(), 180);
            let class = |i| made.column(i).as_primitive::<Int64Type>();
            let share = made.column(3).as_primitive::<Float64Type>();
            let images = Images::new(&SPEC, made.column(2)).unwrap();
            let (mut nulls, mut room) = (0, Vec::new());
            for row in 0..180 {
                let (a, b) = (class(0).value(row), class(1).value(row));
                if images.nulls().unwrap().is_null(row) {
                    assert!(a == 5 || b == 5);
                    nulls += 1;
                    continue;
                }
                let image = images.get(&SPEC, row, &mut room).unwrap().unwrap();
                let sum: f64 = image.pixels.iter().map(|v| f64::from(*v)).sum();
                let expected = share.value(row) * a as f64 + (1.0 - share.value(row)) * b as f64;
                let rounding = if mix == Mix::Cut { 1e-9 } else { 0.5001 };
                assert!((sum / 16.0 - expected).abs() <= rounding, "{mix:?} {row}");
            }
            assert!((3..=6).contains(&nulls), "{nulls}");
        }
    }
}
