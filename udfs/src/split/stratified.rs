//! `stratified_split` and `stratified_fold`: parts that each have their share of every class.
//!
//! Within a class rows are ranked by the hash of their key, and cut where the wanted number of rows is
//! reached. So the hashes of a class are gathered, and what is kept of them are the hashes at the cuts.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, UInt64Type};
use datafusion_common::{Result, ScalarValue, internal_err, plan_err};

use super::split::{named, shares};
use crate::fitted::numbers::{Reader, of_group, present_in};
use crate::fitted::table::FastState;
use crate::fitted::{Fitted, Groups, State};
use crate::options::Options;
use crate::random::key;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const LABEL: Param = Param::data("label", "the class of a row; NULL gives NULL");
const KEY: Param = Param::data(
    "key",
    "what identifies a row, of any type; rows of one class and one key stay together. NULL gives NULL: write \
     random_key(0, a, b) for several columns or where keys are missing",
);

const SPLIT: Spec = Spec {
    name: "stratified_split",
    stage: Stage::Split,
    kind: Kind::Fitted,
    summary: "'train', 'test' or 'validation', by the rank of a key's hash within its class: each class is divided as \
        asked, exact to one row.",
    params: &[
        LABEL,
        KEY,
        Param::option("test", "0.2", "the fraction of each class in 'test'"),
        Param::option(
            "validation",
            "0",
            "the fraction of each class in 'validation'; it is taken from 'train', 'test' does not change",
        ),
        Param::option("seed", "0", "another seed gives another split"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT label, part, count(*) FROM (SELECT label, stratified_split(label, i) OVER () AS part \
              FROM (SELECT i, CASE WHEN i <= 10 THEN 'rare' ELSE 'common' END AS label FROM generate_series(1, 100) AS t(i))) \
              GROUP BY label, part ORDER BY label, part",
        result: "common,test,18\ncommon,train,72\nrare,test,2\nrare,train,8",
    }],
    source: "scikit-learn's stratify=y, by the rank of XXH64 of the key in place of a shuffle",
    also: &[
        "sklearn.model_selection.train_test_split(stratify=y)",
        "StratifiedShuffleSplit",
        "sampleBy (Spark)",
    ],
};

const FOLD: Spec = Spec {
    name: "stratified_fold",
    stage: Stage::Split,
    kind: Kind::Fitted,
    summary: "The number of the row's fold, from 0 to k - 1, as BIGINT, by the rank of a key's hash within its class: \
        each class is divided evenly, exact to one row.",
    params: &[
        LABEL,
        KEY,
        Param::option("k", "5", "the number of folds"),
        Param::option("seed", "0", "another seed gives other folds"),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT fold, count(*), sum(CASE WHEN label = 'rare' THEN 1 ELSE 0 END) \
              FROM (SELECT label, stratified_fold(label, i, k => 2) OVER () AS fold \
              FROM (SELECT i, CASE WHEN i <= 10 THEN 'rare' ELSE 'common' END AS label FROM generate_series(1, 100) AS t(i))) \
              GROUP BY fold ORDER BY fold",
        result: "0,50,5\n1,50,5",
    }],
    source: "scikit-learn's StratifiedKFold, by the rank of XXH64 of the key in place of a shuffle",
    also: &["sklearn.model_selection.StratifiedKFold"],
};

type Classes<V> = HashMap<u64, V, FastState>;

/// The hashes of the keys of each class; a class is its own hash.
#[derive(Debug)]
pub struct Strata {
    spec: &'static Spec,
    seed: i64,
    classes: Classes<Vec<u64>>,
    /// Bytes of the hashes.
    bytes: usize,
}

impl Strata {
    fn new(spec: &'static Spec, seed: i64) -> Self {
        Self {
            spec,
            seed,
            classes: Classes::default(),
            bytes: 0,
        }
    }

    fn add(&mut self, class: u64, hashes: &[u64]) {
        let of_class = self.classes.entry(class).or_default();
        let before = of_class.capacity();
        of_class.extend_from_slice(hashes);
        self.bytes += (of_class.capacity() - before) * size_of::<u64>();
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Option<()> {
        for _ in 0..input.u64()? {
            let class = input.u64()?;
            let n = input.length()?.checked_mul(size_of::<u64>())?;
            let mut hashes = Reader(input.bytes(n)?);
            let hashes: Vec<u64> = std::iter::from_fn(|| hashes.u64()).collect();
            self.add(class, &hashes);
        }
        Some(())
    }
}

impl State for Strata {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = Rows::new(self.spec, self.seed, values)?;
        for row in 0..rows.classes.len() {
            if rows.valid(row) {
                self.add(rows.classes[row], &rows.hashes[row..=row]);
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        for (class, hashes) in other.classes {
            self.add(class, &hashes);
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend((self.classes.len() as u64).to_le_bytes());
        for (class, hashes) in &self.classes {
            out.extend(class.to_le_bytes());
            out.extend((hashes.len() as u64).to_le_bytes());
            out.extend(hashes.iter().flat_map(|h| h.to_le_bytes()));
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        match self.read(&mut Reader(bytes)) {
            Some(()) => Ok(()),
            None => internal_err!("strata of {} bytes cannot be read", bytes.len()),
        }
    }

    fn size(&self) -> usize {
        // an entry and its control byte; tables are at most 7/8 full
        let entry = size_of::<(u64, Vec<u64>)>() + 1;
        size_of::<Self>() + self.classes.capacity() * 8 / 7 * entry + self.bytes
    }
}

/// The class and the hash of each row of a batch.
struct Rows {
    classes: Vec<u64>,
    hashes: Vec<u64>,
    nulls: Option<NullBuffer>,
}

impl Rows {
    fn new(spec: &Spec, seed: i64, values: &[ArrayRef]) -> Result<Self> {
        let [label, keys] = values else {
            return internal_err!("{}: {} columns", spec.name, values.len());
        };
        let classes = key::hashes(spec.name, label)?;
        let mut start = [key::start(spec.name)];
        key::fold(&mut start, &ScalarValue::from(seed).to_array()?)?;
        let mut hashes = vec![start[0]; keys.len()];
        key::fold(&mut hashes, keys)?;
        let present = present_in(label);
        Ok(Self {
            classes,
            hashes,
            nulls: NullBuffer::union(present.as_ref(), keys.logical_nulls().as_ref()),
        })
    }

    fn valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|n| n.is_valid(row))
    }
}

/// The last hash of a part and of those before it; `None`: there is no row in them.
type Cut = Option<u64>;

/// The cuts of each class of a group, side by side.
#[derive(Debug)]
pub struct Cuts {
    /// Which of the classes a class is.
    classes: Classes<usize>,
    cuts: Vec<Cut>,
}

impl Cuts {
    fn of(&self, class: u64, each: usize) -> Option<&[Cut]> {
        let start = self.classes.get(&class)? * each;
        self.cuts.get(start..start + each)
    }

    fn params() -> Fields {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::UInt64, true)));
        Fields::from(vec![
            Field::new("classes", list.clone(), true),
            Field::new("cuts", list, true),
        ])
    }

    /// Cuts the classes; `ends` gives, of the number of rows of a class, how many each part and those before it have.
    fn finish(states: Vec<Strata>, ends: impl Fn(usize) -> Vec<usize>) -> Result<Vec<ArrayRef>> {
        let (mut classes, mut cuts): (Vec<u64>, Vec<Cut>) = (Vec::new(), Vec::new());
        let (mut class_lengths, mut cut_lengths) = (Vec::new(), Vec::new());
        for state in states {
            let before = (classes.len(), cuts.len());
            let mut of_state: Vec<_> = state.classes.into_iter().collect();
            of_state.sort_unstable_by_key(|(class, _)| *class);
            for (class, mut hashes) in of_state {
                hashes.sort_unstable();
                classes.push(class);
                let ends = ends(hashes.len());
                cuts.extend(ends.iter().map(|end| {
                    let last = end.checked_sub(1)?;
                    hashes.get(last).copied()
                }));
            }
            class_lengths.push(classes.len() - before.0);
            cut_lengths.push(cuts.len() - before.1);
        }
        Ok(vec![
            list(UInt64Array::from(classes), class_lengths)?,
            list(UInt64Array::from(cuts), cut_lengths)?,
        ])
    }

    fn prepare(spec: &Spec, params: &StructArray) -> Result<Vec<Option<Self>>> {
        let columns: Option<Vec<&ListArray>> = params
            .columns()
            .iter()
            .map(|c| c.as_list_opt::<i32>())
            .collect();
        let Some([classes, cuts]) = columns.as_deref() else {
            return internal_err!("{}: no classes", spec.name);
        };
        (0..params.len())
            .map(|row| {
                if params.is_null(row) || classes.is_null(row) {
                    return Ok(None);
                }
                let (classes, cuts) = (classes.value(row), cuts.value(row));
                let (classes, cuts) = (
                    classes.as_primitive_opt::<UInt64Type>(),
                    cuts.as_primitive_opt::<UInt64Type>(),
                );
                let (Some(classes), Some(cuts)) = (classes, cuts) else {
                    return internal_err!("{}: classes of another type", spec.name);
                };
                Ok(Some(Self {
                    classes: classes.values().iter().copied().zip(0..).collect(),
                    cuts: cuts.iter().collect(),
                }))
            })
            .collect()
    }
}

fn list(items: UInt64Array, lengths: Vec<usize>) -> Result<ArrayRef> {
    if i32::try_from(items.len()).is_err() {
        return internal_err!("{} cuts are too many", items.len());
    }
    let item = Arc::new(Field::new_list_field(DataType::UInt64, true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(item, offsets, Arc::new(items), None)?;
    Ok(Arc::new(list))
}

/// The part of each row, a number, and its class; `others` are the cuts of classes that were not there when fitting.
fn parts(
    rows: &Rows,
    fits: &[Option<Cuts>],
    groups: Groups<'_>,
    others: &[Cut],
) -> Result<Vec<Option<usize>>> {
    (0..rows.classes.len())
        .map(|row| {
            if !rows.valid(row) {
                return Ok(None);
            }
            let fit = of_group(fits, groups, row)?.as_ref();
            let cuts = fit.and_then(|fit| fit.of(rows.classes[row], others.len()));
            let hash = Some(rows.hashes[row]);
            let cuts = cuts.unwrap_or(others);
            Ok(Some(cuts.partition_point(|last| *last < hash)))
        })
        .collect()
}

fn coerce(spec: &Spec, types: &[DataType]) -> Result<Vec<DataType>> {
    let [label, key] = types else {
        return plan_err!(
            "{}: two columns expected, {} given. Write {}",
            spec.name,
            types.len(),
            spec.syntax()
        );
    };
    key::check_type(spec, "label", label)?;
    key::check_type(spec, "key", key)?;
    Ok(types.to_vec())
}

/// `stratified_split(label, key, test => 0.2, validation => 0, seed => 0) OVER (...)`.
#[derive(Debug, Clone)]
pub struct StratifiedSplit {
    test: f64,
    validation: f64,
    seed: i64,
}

impl StratifiedSplit {
    /// The cuts of a class of which nothing is known: the hashes below which a key is, on average.
    fn others(&self) -> [Cut; 2] {
        // a power of two: the product is exact, and 2^64 itself becomes the last hash
        let cut = |fraction: f64| ((fraction * 2f64.powi(64)) as u128).checked_sub(1);
        [self.test, self.test + self.validation]
            .map(|fraction| cut(fraction).map(|last| u64::try_from(last).unwrap_or(u64::MAX)))
    }
}

impl Fitted for StratifiedSplit {
    type State = Strata;
    type Prepared = Vec<Option<Cuts>>;

    fn spec() -> &'static Spec {
        &SPLIT
    }

    fn new(options: &Options) -> Result<Self> {
        let (test, validation) = shares(options)?;
        Ok(Self {
            test,
            validation,
            seed: options.integer("seed", 0)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&SPLIT, types)
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Cuts::params())
    }

    fn state(&self, _types: &[DataType]) -> Result<Strata> {
        Ok(Strata::new(&SPLIT, self.seed))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "rows of a class times a fraction"
    )]
    fn finish(&self, _types: &[DataType], states: Vec<Strata>) -> Result<Vec<ArrayRef>> {
        Cuts::finish(states, |n| {
            let end = |fraction: f64| ((n as f64 * fraction).round() as usize).min(n);
            vec![end(self.test), end(self.test + self.validation)]
        })
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Cuts::prepare(&SPLIT, params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let rows = Rows::new(&SPLIT, self.seed, args)?;
        let parts: UInt32Array = parts(&rows, prepared, groups, &self.others())?
            .into_iter()
            .map(|part| part.and_then(|p| u32::try_from(p).ok()))
            .collect();
        named(&parts)
    }
}

/// `stratified_fold(label, key, k => 5, seed => 0) OVER (...)`.
#[derive(Debug, Clone)]
pub struct StratifiedFold {
    k: u32,
    seed: i64,
}

impl Fitted for StratifiedFold {
    type State = Strata;
    type Prepared = Vec<Option<Cuts>>;

    fn spec() -> &'static Spec {
        &FOLD
    }

    fn new(options: &Options) -> Result<Self> {
        let k = options.integer("k", 2)?;
        match u32::try_from(k) {
            Ok(k) if k <= 10_000 => Ok(Self {
                k,
                seed: options.integer("seed", 0)?,
            }),
            _ => options.wrong("k", "a whole number from 2 to 10000"),
        }
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(&FOLD, types)
    }

    fn output(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Cuts::params())
    }

    fn state(&self, _types: &[DataType]) -> Result<Strata> {
        Ok(Strata::new(&FOLD, self.seed))
    }

    fn finish(&self, _types: &[DataType], states: Vec<Strata>) -> Result<Vec<ArrayRef>> {
        let k = self.k as usize;
        Cuts::finish(states, |n| {
            (1..k).map(|i| n / k * i + n % k * i / k).collect()
        })
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        Cuts::prepare(&FOLD, params)
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let rows = Rows::new(&FOLD, self.seed, args)?;
        let k = u64::from(self.k);
        let others: Vec<Cut> = (1..k)
            .map(|i| u64::try_from((u128::from(i) << 64) / u128::from(k) - 1).ok())
            .collect();
        // folds start at one of their own for each class: the odd rows of small classes spread over all
        let folds: Int64Array = parts(&rows, prepared, groups, &others)?
            .into_iter()
            .zip(&rows.classes)
            .map(|(part, class)| part.map(|p| ((p as u64 + class % k) % k).cast_signed()))
            .collect();
        Ok(Arc::new(folds))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, new_empty_array};
    use arrow::compute::take;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::fitted::testing::{apply_to, bind_error, fit_apply, grouped, texts};

    fn columns(rows: usize) -> [ArrayRef; 2] {
        // 7 of 10 are a, 3 of 10 are b
        let labels = (0..rows).map(|i| Some(if i % 10 < 7 { "a" } else { "b" }));
        [texts(labels), keys(rows)]
    }

    fn keys(rows: usize) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0i64..).take(rows)))
    }

    fn count(labels: &ArrayRef, parts: &ArrayRef, label: &str, part: &str) -> usize {
        let labels = labels.as_string_view().iter();
        let rows = labels.zip(parts.as_string_view());
        rows.filter(|row| *row == (Some(label), Some(part))).count()
    }

    #[test]
    fn exact_in_each_class() {
        let columns = columns(250);
        let given = [("test", 0.3.into()), ("validation", 0.1.into())];
        let parts = fit_apply::<StratifiedSplit>(&given, &columns);
        for (label, part, n) in [
            // 175 and 75 rows: 52.5 and 22.5 are rounded up, the first 70 and 30 are test or validation
            ("a", "test", 53),
            ("a", "validation", 17),
            ("a", "train", 105),
            ("b", "test", 23),
            ("b", "validation", 7),
            ("b", "train", 45),
        ] {
            let counted = count(&columns[0], &parts, label, part);
            assert!(counted.abs_diff(n) <= 1, "{label} {part}: {counted}");
        }
        let other = fit_apply::<StratifiedSplit>(&[("seed", 1.into())], &columns);
        assert_eq!(count(&columns[0], &other, "a", "test"), 35);
        assert_ne!(&parts, &other);
    }

    #[test]
    fn all_and_none() {
        let columns = columns(20);
        for (test, validation, part) in [
            (0.0, 0.0, "train"),
            (1.0, 0.0, "test"),
            (0.0, 1.0, "validation"),
        ] {
            let given = [("test", test.into()), ("validation", validation.into())];
            let parts = fit_apply::<StratifiedSplit>(&given, &columns);
            assert!(parts.as_string_view().iter().all(|p| p == Some(part)));
            // classes that were not there
            let new = [texts([Some("new")]), keys(1)];
            let parts = apply_to::<StratifiedSplit>(&given, &columns, &new);
            assert_eq!(parts.as_string_view().value(0), part);
        }
        let error = bind_error::<StratifiedSplit>(&[("validation", 0.9.into())]);
        assert!(error.contains("must not be above 1"), "{error}");
    }

    #[test]
    fn missing_and_small() {
        let labels = texts([None, Some("a"), Some("a"), Some("b")]);
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]));
        let given = [("test", 0.5.into())];
        let parts = fit_apply::<StratifiedSplit>(&given, &[labels, Arc::clone(&keys)]);
        let parts: Vec<_> = parts.as_string_view().iter().collect();
        assert_eq!(parts, [None, None, Some("test"), Some("test")]);
        let nan: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN; 4]));
        let folds = fit_apply::<StratifiedFold>(&[], &[nan, keys]);
        assert_eq!(folds.null_count(), 4);
        let none = [
            new_empty_array(&DataType::Utf8View),
            new_empty_array(&DataType::Int64),
        ];
        assert_eq!(fit_apply::<StratifiedFold>(&[], &none).len(), 0);
    }

    fn folds(array: &ArrayRef, k: usize) -> Vec<usize> {
        let mut counts = vec![0; k];
        for fold in array.as_primitive::<Int64Type>().iter().flatten() {
            counts[usize::try_from(fold).expect("a fold")] += 1;
        }
        counts
    }

    #[test]
    fn even_folds() {
        let columns = columns(60);
        for k in [2usize, 3, 5, 7] {
            let given = [("k", ScalarValue::from(k as i64))];
            let all = fit_apply::<StratifiedFold>(&given, &columns);
            for label in ["a", "b"] {
                let rows: UInt32Array = (0u32..)
                    .zip(columns[0].as_string_view())
                    .filter(|(_, l)| *l == Some(label))
                    .map(|(row, _)| Some(row))
                    .collect();
                let of_label = folds(&take(&all, &rows, None).expect("rows"), k);
                let (least, most) = (of_label.iter().min(), of_label.iter().max());
                assert!(most <= least.map(|n| n + 1).as_ref(), "{of_label:?}");
            }
        }
        // a class for each row: no fold has all of them
        let unique = [keys(1000), keys(1000)];
        let counts = folds(&fit_apply::<StratifiedFold>(&[], &unique), 5);
        assert!(counts.iter().all(|n| n.abs_diff(200) < 80), "{counts:?}");
        let error = bind_error::<StratifiedFold>(&[("k", 1.into())]);
        assert!(error.contains("k must be"), "{error}");
    }

    #[test]
    fn by_group_and_a_new_class() {
        let columns = columns(40);
        let groups: Vec<u32> = (0..40).map(|i| i % 2).collect();
        let parts = grouped::<StratifiedSplit>(&[("test", 0.5.into())], &columns, &groups);
        assert_eq!(count(&columns[0], &parts, "a", "test"), 14);
        let new = [texts((0..1000).map(|_| Some("new"))), keys(1000)];
        let all = apply_to::<StratifiedFold>(&[], &columns, &new);
        let counts = folds(&all, 5);
        assert!(counts.iter().all(|n| n.abs_diff(200) < 60), "{counts:?}");
    }

    #[test]
    fn rows_of_one_key_stay_together() {
        let labels = texts((0..40).map(|_| Some("a")));
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..40).map(|i| i / 4)));
        let parts = fit_apply::<StratifiedSplit>(&[("test", 0.3.into())], &[labels, keys]);
        let parts: Vec<_> = parts.as_string_view().iter().collect();
        assert!(
            parts
                .chunks(4)
                .all(|four| four.iter().all(|p| *p == four[0]))
        );
        let test = parts.iter().filter(|p| **p == Some("test")).count();
        assert_eq!(test, 12);
    }
}
