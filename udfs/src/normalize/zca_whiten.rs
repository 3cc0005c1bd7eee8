//! `zca_whiten(x, epsilon) OVER (...)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion_common::{Result, exec_err, internal_err, plan_err};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::arrays::{only, vector_type, vectors};
use crate::fitted::numbers::{Reader, Runs, list_field, read_list, write_lists};
use crate::fitted::scatter::{Covariance, Scatter};
use crate::fitted::vectors::{Input, Sides, check, length, written};
use crate::fitted::{Fitted, Groups, State};
use crate::images::value::image_type;
use crate::options::Options;
use crate::spec::{Example, Kind, Param, Spec, Stage};

const SPEC: Spec = Spec {
    name: "zca_whiten",
    stage: Stage::Normalize,
    kind: Kind::Fitted,
    summary: "Vectors or images turned so that their numbers have mean 0, deviation 1 and no correlation, and stay as near to what \
        they were as that allows. A row with a missing or infinite number takes no part in the statistics and gives NULL.",
    params: &[
        Param::data(
            "x",
            "a list of numbers, all of one length: FLOAT items stay FLOAT, all else become DOUBLE. Or an image, or the bytes of \
             one, all of one shape: a list of FLOAT is made of it, its values from 0 to 1 before. 3072 numbers at most, as a \
             coloured image of 32 x 32 has",
        ),
        Param::option(
            "epsilon",
            "0.000001",
            "what is added to the variances: more of it leaves directions of little variance, which are mostly noise, small",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT zca_whiten([a, b], epsilon => 0) OVER () FROM (VALUES (0, 0), (0, 6), (2, 0), (2, 6)) AS t(a, b)",
        result: "\"[-1.0, -1.0]\"\n\"[-1.0, 1.0]\"\n\"[1.0, -1.0]\"\n\"[1.0, 1.0]\"",
    }],
    source: "(x - mean) U (L + epsilon)^(-1/2) U', where U L U' is the covariance, with the count as divisor, of exact sums: Bell and \
        Sejnowski (1997), as Keras' ImageDataGenerator, but that each number has a mean of its own. Directions in which rows do \
        not differ by more than rounding are left out",
    also: &[
        "ImageDataGenerator(zca_whitening)",
        "sklearn.decomposition.PCA(whiten=True), turned back",
    ],
};

/// The longest vectors: the covariance of longer ones has more than ten million numbers.
const LONGEST: usize = 3072;
/// Numbers of rows that are added at a time.
const AT_ONCE: usize = 1 << 21;
/// Rows that are multiplied at a time; always so many, so that a row's result does not depend on those beside it.
const BLOCK: usize = 64;

/// `zca_whiten(x, epsilon => 1e-6) OVER (...)`.
#[derive(Debug, Clone)]
pub struct ZcaWhiten {
    epsilon: f64,
}

/// What is gathered of the rows.
#[derive(Debug, Default)]
pub struct Gathered {
    sides: Option<Sides>,
    scatter: Scatter,
}

impl Gathered {
    fn open(&mut self, sides: Sides) -> Result<()> {
        if let Some(seen) = self.sides {
            return check(&SPEC, seen, sides);
        }
        if length(sides) > LONGEST {
            return exec_err!(
                "zca_whiten: {} are too many: a row may have {LONGEST} in all, since each is compared with each. \
                 Write zca_whiten(image_resize(image, 32, 32)), or image_grayscale(image), for images",
                written(sides)
            );
        }
        self.sides = Some(sides);
        self.scatter.open(length(sides));
        Ok(())
    }
}

impl State for Gathered {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let input = Input::new(&SPEC, &values[0])?;
        let (mut room, mut rows) = (Vec::new(), Vec::new());
        for row in 0..values[0].len() {
            if let Some(sides) = input.read(row, &mut room, &mut rows)? {
                self.open(sides)?;
            }
            if rows.len() >= AT_ONCE {
                self.scatter.add(&rows);
                rows.clear();
            }
        }
        self.scatter.add(&rows);
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if let Some(sides) = other.sides {
            self.open(sides)?;
            self.scatter.absorb(other.scatter);
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        if let Some(sides) = self.sides {
            for side in sides {
                out.extend((side as u64).to_le_bytes());
            }
            self.scatter.write(out);
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut reader = Reader(bytes);
        let mut read = || {
            self.sides = Some([reader.length()?, reader.length()?, reader.length()?]);
            self.scatter = Scatter::read(&mut reader)?;
            Some(())
        };
        match read() {
            Some(()) => Ok(()),
            None => internal_err!("sums of vectors of {} bytes cannot be read", bytes.len()),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.scatter.bytes()
    }
}

/// The matrix that whitens: U (L + epsilon)^(-1/2) U'.
fn whitening(covariance: &Mat<f64>, epsilon: f64) -> Result<Mat<f64>> {
    let n = covariance.nrows();
    let finite = (0..n).all(|j| covariance.col_as_slice(j).iter().all(|x| x.is_finite()));
    let mut values = Diag::<f64>::zeros(n);
    let mut vectors = Mat::<f64>::zeros(n, n);
    let yes = ComputeEigenvectors::Yes;
    let request = self_adjoint_evd_scratch::<f64>(n, yes, Par::Seq, Default::default());
    let found = finite.then(|| {
        self_adjoint_evd(
            covariance.as_ref(),
            values.as_mut(),
            Some(vectors.as_mut()),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(request)),
            Default::default(),
        )
    });
    if !matches!(found, Some(Ok(()))) {
        return exec_err!(
            "zca_whiten: the numbers are too large to be multiplied with each other. Write standard_scale(x) OVER () for \
             each column first"
        );
    }
    let values = values.column_vector();
    let largest = values.iter().fold(0.0, |largest: f64, v| largest.max(*v));
    // what rounding leaves of a direction in which nothing differs
    let nothing = largest * f64::EPSILON * n as f64;
    let mut scaled = vectors.clone();
    for (j, value) in values.iter().enumerate() {
        let variance = value.max(0.0) + epsilon;
        let factor = if variance > nothing {
            variance.sqrt().recip()
        } else {
            0.0
        };
        scaled
            .col_as_slice_mut(j)
            .iter_mut()
            .for_each(|x| *x *= factor);
    }
    let mut whitening = Mat::zeros(n, n);
    let turned = vectors.transpose();
    matmul(
        whitening.as_mut(),
        Accum::Replace,
        scaled.as_ref(),
        turned,
        1.0,
        Par::Seq,
    );
    Ok(whitening)
}

/// What a group's rows are whitened by.
pub struct Whitening {
    sides: Sides,
    mean: Vec<f64>,
    matrix: Vec<f64>,
}

impl Whitening {
    /// Whitens [`BLOCK`] rows, one after another.
    fn whiten(&self, rows: &[f64], to: &mut [f64]) {
        let n = self.mean.len();
        matmul(
            MatMut::from_row_major_slice_mut(to, BLOCK, n),
            Accum::Replace,
            MatRef::from_row_major_slice(rows, BLOCK, n),
            MatRef::from_row_major_slice(&self.matrix, n, n),
            1.0,
            Par::Seq,
        );
    }
}

/// What the values of an image are divided by.
fn scale(t: &DataType) -> f64 {
    if is_vector(t) { 1.0 } else { 255.0 }
}

fn is_vector(t: &DataType) -> bool {
    matches!(
        t,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
    )
}

impl Fitted for ZcaWhiten {
    type State = Gathered;
    type Prepared = Vec<Option<Whitening>>;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            epsilon: options.float_in("epsilon", 0.0, f64::MAX)?,
        })
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let t = only(&SPEC, types)?;
        if let Some(vector) = vector_type(t) {
            return Ok(vec![vector]);
        }
        match image_type(&SPEC, "x", t) {
            Ok(image) => Ok(vec![image]),
            Err(_) => plan_err!(
                "zca_whiten: x must be a list of numbers or an image, not {t}. Write zca_whiten(vectorize(a, b, ...)) OVER () \
                 for columns"
            ),
        }
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        if is_vector(&types[0]) {
            return Ok(types[0].clone());
        }
        let item: FieldRef = Arc::new(Field::new_list_field(DataType::Float32, true));
        Ok(DataType::List(item))
    }

    fn params(&self, _types: &[DataType]) -> Result<Fields> {
        Ok(Fields::from(vec![
            list_field("mean"),
            list_field("matrix"),
            list_field("sides"),
        ]))
    }

    fn state(&self, _types: &[DataType]) -> Result<Gathered> {
        Ok(Gathered::default())
    }

    fn finish(&self, types: &[DataType], states: Vec<Gathered>) -> Result<Vec<ArrayRef>> {
        let scale = scale(&types[0]);
        let (mut means, mut matrices, mut sides) = (Vec::new(), Vec::new(), Vec::new());
        for state in states {
            let Some(Covariance {
                mut mean,
                mut matrix,
            }) = state.scatter.covariance()
            else {
                means.push(None);
                matrices.push(None);
                sides.push(None);
                continue;
            };
            let n = mean.len();
            mean.iter_mut().for_each(|x| *x /= scale);
            for j in 0..n {
                let column = matrix.col_as_slice_mut(j);
                column.iter_mut().for_each(|x| *x /= scale * scale);
            }
            let whitening = whitening(&matrix, self.epsilon)?;
            // it is symmetric
            let matrix = (0..n).flat_map(|j| whitening.col_as_slice(j));
            means.push(Some(mean));
            matrices.push(Some(matrix.copied().collect()));
            sides.push(state.sides.map(|s| s.map(|side| side as f64).to_vec()));
        }
        Ok(vec![
            write_lists(means),
            write_lists(matrices),
            write_lists(sides),
        ])
    }

    fn prepare(&self, _types: &[DataType], params: &StructArray) -> Result<Self::Prepared> {
        let means = read_list(params, 0)?.into_iter();
        let all = means.zip(read_list(params, 1)?).zip(read_list(params, 2)?);
        all.map(|group| {
            let ((Some(mean), Some(matrix)), Some(sides)) = group else {
                return Ok(None);
            };
            let sides: Vec<usize> = sides.iter().map(|side| *side as usize).collect();
            let Ok(sides) = Sides::try_from(sides) else {
                return internal_err!("zca_whiten: three sides expected");
            };
            if mean.len() != length(sides) || matrix.len() != mean.len() * mean.len() {
                return internal_err!("zca_whiten: {} means of {sides:?}", mean.len());
            }
            Ok(Some(Whitening {
                sides,
                mean,
                matrix,
            }))
        })
        .collect()
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &Self::Prepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        let array = &args[0];
        let scale = scale(array.data_type());
        let input = Input::new(&SPEC, array)?;
        let index: Vec<usize> = (0..array.len()).map(|row| groups.of(row)).collect();
        let Runs { order, runs } = Runs::of(&index, prepared.len());
        let (mut room, mut block, mut out) = (Vec::new(), Vec::new(), Vec::new());
        let mut done: Vec<f64> = Vec::new();
        let mut places: Vec<Option<std::ops::Range<usize>>> = vec![None; array.len()];
        for (group, rows) in runs {
            let Some(Some(whitening)) = prepared.get(group) else {
                continue;
            };
            let n = whitening.mean.len();
            out.resize(BLOCK * n, 0.0);
            for rows in order[rows].chunks(BLOCK) {
                block.clear();
                for row in rows {
                    let before = block.len();
                    let Some(sides) = input.read(*row as usize, &mut room, &mut block)? else {
                        continue;
                    };
                    check(&SPEC, whitening.sides, sides)?;
                    for (x, mean) in block[before..].iter_mut().zip(&whitening.mean) {
                        *x = *x / scale - mean;
                    }
                    let start = done.len() + before;
                    places[*row as usize] = Some(start..start + n);
                }
                let used = block.len();
                block.resize(BLOCK * n, 0.0);
                whitening.whiten(&block, &mut out);
                done.extend_from_slice(&out[..used]);
            }
        }
        let rows = places.into_iter().map(|place| Some(&done[place?]));
        vectors(&self.output(&[array.data_type().clone()])?, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitted::testing::{bind_error, coerce_error, fit, fit_apply, grouped, try_apply_to};
    use arrow::array::{AsArray, FixedSizeListArray, Float32Array};
    use arrow::datatypes::Float64Type;

    fn lists(rows: Vec<Option<Vec<f64>>>) -> ArrayRef {
        write_lists(rows)
    }

    fn waves(n: usize, length: usize) -> Vec<Option<Vec<f64>>> {
        let row =
            |i: usize| (0..length).map(move |j| ((i * (j + 2)) as f64).sin() * (j + 1) as f64);
        (0..n).map(|i| Some(row(i).collect())).collect()
    }

    fn columns(whitened: &ArrayRef) -> Vec<Vec<f64>> {
        let rows = whitened.as_list::<i32>().iter().flatten();
        let rows: Vec<_> = rows
            .map(|r| r.as_primitive::<Float64Type>().values().to_vec())
            .collect();
        (0..rows[0].len())
            .map(|j| rows.iter().map(|r| r[j]).collect())
            .collect()
    }

    #[test]
    fn columns_are_uncorrelated_and_like_what_they_were() {
        for length in [1, 2, 5, 70] {
            let given = waves(400, length);
            let before = columns(&lists(given.clone()));
            let after = columns(&fit_apply::<ZcaWhiten>(
                &[("epsilon", 0.into())],
                &[lists(given)],
            ));
            let mean =
                |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / 400.0;
            for (i, x) in after.iter().enumerate() {
                assert!(x.iter().sum::<f64>().abs() < 1e-9);
                for (j, y) in after.iter().enumerate() {
                    let expected = f64::from(u8::from(i == j));
                    assert!((mean(x, y) - expected).abs() < 1e-9, "{length} {i} {j}");
                }
                assert!(mean(x, &before[i]) > 0.0);
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_those_beside_it() {
        let given = waves(333, 37);
        let whole = fit_apply::<ZcaWhiten>(&[], &[lists(given.clone())]);
        for from in [0, 1, 7, 63, 64, 200] {
            let part = lists(given[from..from + 130.min(333 - from)].to_vec());
            let part = try_apply_to::<ZcaWhiten>(&[], &[lists(given.clone())], &[part]).unwrap();
            assert_eq!(&part, &whole.slice(from, part.len()));
        }
        let given = lists(waves(30, 3));
        grouped::<ZcaWhiten>(&[], &[given], &[0, 2, 1].repeat(10));
    }

    #[test]
    fn missing_constant_and_no_rows() {
        let row = |x: f64| Some(vec![x, 7.0]);
        let given = vec![row(1.0), None, row(3.0), row(f64::NAN), row(f64::INFINITY)];
        let found = fit_apply::<ZcaWhiten>(&[("epsilon", 0.into())], &[lists(given)]);
        let found: Vec<_> = found.as_list::<i32>().iter().map(|r| r.is_some()).collect();
        assert_eq!(found, [true, false, true, false, false]);
        let constant = fit_apply::<ZcaWhiten>(&[], &[lists(vec![row(2.0), row(2.0)])]);
        assert_eq!(columns(&constant), [[0.0, 0.0], [0.0, 0.0]]);
        assert_eq!(fit_apply::<ZcaWhiten>(&[], &[lists(Vec::new())]).len(), 0);
        assert_eq!(
            fit_apply::<ZcaWhiten>(&[], &[lists(vec![None])]).null_count(),
            1
        );
        assert_eq!(
            fit_apply::<ZcaWhiten>(&[], &[lists(vec![Some(vec![])])]).null_count(),
            1
        );
    }

    #[test]
    fn lists_of_a_fixed_size_stay_and_floats_too() {
        let values = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 5.0, 9.0, 2.0]));
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let given: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, values, None));
        let found = fit_apply::<ZcaWhiten>(&[], &[Arc::clone(&given)]);
        assert_eq!(found.data_type(), given.data_type());
        let params = fit::<ZcaWhiten>(&[], &[given]);
        assert_eq!(params.column(1).as_list::<i32>().value(0).len(), 4);
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let three = lists(vec![Some(vec![1.0, 2.0, 3.0])]);
        let two = lists(vec![Some(vec![1.0, 2.0])]);
        let error = try_apply_to::<ZcaWhiten>(&[], &[three], &[two]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("2 numbers are there beside 3 numbers"),
            "{error}"
        );
        let error = coerce_error::<ZcaWhiten>(&[], &[DataType::Float64]);
        assert!(
            error.contains("zca_whiten(vectorize(a, b, ...)) OVER ()"),
            "{error}"
        );
        let error = bind_error::<ZcaWhiten>(&[("epsilon", (-1).into())]);
        assert!(error.contains("epsilon must be between 0"), "{error}");
        let mut state = Gathered::default();
        let long = lists(vec![Some(vec![0.5; LONGEST + 1])]);
        let error = state.update(&[long]).unwrap_err().to_string();
        assert!(error.contains("3073 numbers are too many"), "{error}");
        let huge = lists(vec![Some(vec![1e300]), Some(vec![-1e300])]);
        let mut state = Gathered::default();
        state.update(&[huge]).unwrap();
        let whitened = ZcaWhiten { epsilon: 0.0 }.finish(&[DataType::Null], vec![state]);
        assert!(whitened.unwrap_err().to_string().contains("too large"));
    }
}
