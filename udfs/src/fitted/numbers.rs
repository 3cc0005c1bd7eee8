//! States over the numbers of one column, and kernels that map numbers to numbers.
//!
//! Statistics are of the *finite* numbers: NULL and NaN are missing, and an infinity, which would make
//! every mean infinite and every scaled value NaN, takes no part in them either.

use std::cell::RefCell;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, PrimitiveArray, StructArray,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion_common::{Result, exec_err, internal_err};

use super::{Groups, State};

/// A state over the finite numbers of one column of `Float64` or `Float32`.
pub trait Numbers: Debug + Default + Send + Sync + 'static {
    /// Takes numbers; those that are not finite are to be passed over.
    fn add(&mut self, values: &[f64]);

    /// Takes what another state has gathered.
    fn absorb(&mut self, other: Self);

    /// Appends the state to `out`.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads what [`Self::write`] wrote; `None` if it is something else.
    fn read(bytes: &mut Reader<'_>) -> Option<Self>;

    /// Bytes held, the state itself included.
    fn bytes(&self) -> usize;
}

impl<N: Numbers> State for N {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        with_floats(&values[0], |floats| self.add(floats))
    }

    fn update_groups(states: &mut [Self], groups: &[usize], values: &[ArrayRef]) -> Result<()> {
        let runs = Runs::of(groups, states.len());
        let array = &values[0];
        GROUPED.with_borrow_mut(|grouped| {
            grouped.clear();
            match array.data_type() {
                DataType::Float64 => gather::<Float64Type>(array, &runs.order, grouped),
                DataType::Float32 => gather::<Float32Type>(array, &runs.order, grouped),
                other => return internal_err!("numbers are gathered of floats, not of {other}"),
            }
            for (group, rows) in &runs.runs {
                states[*group].add(&grouped[rows.clone()]);
            }
            Ok(())
        })
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.absorb(other);
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        self.write(out);
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        match Self::read(&mut Reader(bytes)) {
            Some(state) => {
                *self = state;
                Ok(())
            }
            None => internal_err!("a fitted state of {} bytes cannot be read", bytes.len()),
        }
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

thread_local! {
    /// The rows of a batch, group by group.
    static GROUPED: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

/// The rows in the order of `order`, missing ones as NaN.
fn gather<T>(array: &ArrayRef, order: &[u32], out: &mut Vec<f64>)
where
    T: ArrowPrimitiveType<Native: Into<f64>>,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    let values = array.values();
    match array.nulls().filter(|n| n.null_count() > 0) {
        None => out.extend(order.iter().map(|i| -> f64 { values[*i as usize].into() })),
        Some(nulls) => out.extend(order.iter().map(|i| {
            let i = *i as usize;
            if nulls.is_valid(i) {
                values[i].into()
            } else {
                f64::NAN
            }
        })),
    }
}

/// Hands on the numbers of an array that are not NULL.
pub fn with_floats<R>(array: &ArrayRef, f: impl FnOnce(&[f64]) -> R) -> Result<R> {
    match array.data_type() {
        DataType::Float64 => {
            let array: &Float64Array = array.as_primitive();
            match array.nulls().filter(|n| n.null_count() > 0) {
                None => Ok(f(array.values())),
                Some(nulls) => Ok(f(&valid(array.values(), nulls))),
            }
        }
        DataType::Float32 => {
            let array: &Float32Array = array.as_primitive();
            let floats: Vec<f64> = array.values().iter().map(|v| f64::from(*v)).collect();
            match array.nulls().filter(|n| n.null_count() > 0) {
                None => Ok(f(&floats)),
                Some(nulls) => Ok(f(&valid(&floats, nulls))),
            }
        }
        other => internal_err!("numbers are gathered of floats, not of {other}"),
    }
}

/// The values that are not NULL, side by side.
fn valid(values: &[f64], nulls: &NullBuffer) -> Vec<f64> {
    let mut out = Vec::with_capacity(values.len() - nulls.null_count());
    for (start, end) in nulls.valid_slices() {
        out.extend_from_slice(&values[start..end]);
    }
    out
}

/// The rows of a batch brought together by group.
#[derive(Debug)]
pub struct Runs {
    /// Row numbers, those of one group side by side and ascending.
    pub order: Vec<u32>,
    /// Each group that occurs, and where its rows lie in `order`.
    pub runs: Vec<(usize, Range<usize>)>,
}

impl Runs {
    /// Brings together the rows of each of `total` groups.
    pub fn of(groups: &[usize], total: usize) -> Self {
        let rows = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32>;
        if total <= 4 * groups.len() {
            let mut next = vec![0u32; total + 1];
            for group in groups {
                next[group + 1] += 1;
            }
            for i in 0..total {
                next[i + 1] += next[i];
            }
            order = vec![0; groups.len()];
            for (row, group) in (0..rows).zip(groups) {
                order[next[*group] as usize] = row;
                next[*group] += 1;
            }
        } else {
            order = (0..rows).collect();
            if !groups.is_sorted() {
                order.sort_by_key(|i| groups[*i as usize]);
            }
        }
        let mut runs = Vec::new();
        let mut start = 0;
        for run in order.chunk_by(|a, b| groups[*a as usize] == groups[*b as usize]) {
            runs.push((groups[run[0] as usize], start..start + run.len()));
            start += run.len();
        }
        Self { order, runs }
    }
}

/// Reads the little-endian numbers of an encoded state.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next 2 bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next 8 bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next 8 bytes, as a length.
    pub fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u64()?).ok()
    }

    /// The next 16 bytes.
    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// The next 8 bytes, as a float.
    pub fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }
}

/// Reads parameters that are numbers, a row a group; a group that lacks one of them is `None`.
pub fn read_params<const N: usize>(params: &StructArray) -> Result<Vec<Option<[f64; N]>>> {
    if params.num_columns() < N {
        return internal_err!("{N} parameters expected, {} given", params.num_columns());
    }
    let columns = params.columns()[..N]
        .iter()
        .map(|column| Ok(cast(column, &DataType::Float64)?))
        .collect::<Result<Vec<_>>>()?;
    let columns: Vec<&Float64Array> = columns.iter().map(|c| c.as_primitive()).collect();
    Ok((0..params.len())
        .map(|row| {
            let present = params.is_valid(row) && columns.iter().all(|c| c.is_valid(row));
            present.then(|| std::array::from_fn(|i| columns[i].value(row)))
        })
        .collect())
}

/// Columns of parameters: `N` numbers a group, NULL for a group that has none.
pub fn write_params<const N: usize>(rows: &[Option<[f64; N]>]) -> Vec<ArrayRef> {
    (0..N)
        .map(|i| {
            let column: Float64Array = rows.iter().map(|row| row.map(|r| r[i])).collect();
            Arc::new(column) as ArrayRef
        })
        .collect()
}

/// The parameters of a row's group.
///
/// # Errors
/// If the row's group has no row in the parameters, not even an empty one.
pub fn of_group<'a, P>(prepared: &'a [P], groups: Groups<'_>, row: usize) -> Result<&'a P> {
    match prepared.get(groups.of(row)) {
        Some(params) => Ok(params),
        None => exec_err!("the fits have no group {}", groups.of(row)),
    }
}

/// Maps numbers by the parameters of their group, in `f64`; `Float32` stays. NULL stays NULL, and all is
/// NULL where the parameters are missing.
pub fn map_floats<P>(
    array: &ArrayRef,
    prepared: &[Option<P>],
    groups: Groups<'_>,
    f: impl Fn(f64, &P) -> f64,
) -> Result<ArrayRef> {
    if array.is_empty() {
        return Ok(Arc::clone(array));
    }
    match array.data_type() {
        DataType::Float64 => {
            map::<_, Float64Type, Float64Type>(array, prepared, groups, |x, p| Some(f(x, p)))
        }
        // rounded once, at the end
        DataType::Float32 => map::<_, Float32Type, Float32Type>(array, prepared, groups, |x, p| {
            #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
            let y = f(x, p) as f32;
            Some(y)
        }),
        other => internal_err!("floats are expected, not {other}"),
    }
}

/// Maps numbers to values of another type by the parameters of their group; `None` is NULL.
pub fn map_numbers<P, O: ArrowPrimitiveType>(
    array: &ArrayRef,
    prepared: &[Option<P>],
    groups: Groups<'_>,
    f: impl Fn(f64, &P) -> Option<O::Native>,
) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Float64 => map::<_, Float64Type, O>(array, prepared, groups, f),
        DataType::Float32 => map::<_, Float32Type, O>(array, prepared, groups, f),
        other => internal_err!("floats are expected, not {other}"),
    }
}

fn map<P, I, O>(
    array: &ArrayRef,
    prepared: &[Option<P>],
    groups: Groups<'_>,
    f: impl Fn(f64, &P) -> Option<O::Native>,
) -> Result<ArrayRef>
where
    I: ArrowPrimitiveType<Native: Into<f64>>,
    O: ArrowPrimitiveType,
{
    let array: &PrimitiveArray<I> = array.as_primitive();
    let rows = array.values().iter();
    match groups {
        Groups::One => match of_group(prepared, groups, 0)? {
            None => Ok(new_null_array(&O::DATA_TYPE, array.len())),
            Some(params) => {
                let mut missing = false;
                let values: Vec<O::Native> = rows
                    .map(|x| {
                        f((*x).into(), params).unwrap_or_else(|| {
                            missing = true;
                            O::Native::default()
                        })
                    })
                    .collect();
                if !missing {
                    let mapped =
                        PrimitiveArray::<O>::try_new(values.into(), array.nulls().cloned());
                    return Ok(Arc::new(mapped?));
                }
                let mapped: PrimitiveArray<O> =
                    array.iter().map(|x| f(x?.into(), params)).collect();
                Ok(Arc::new(mapped))
            }
        },
        Groups::Each(index) => {
            if let Some(beyond) = index.iter().find(|i| **i as usize >= prepared.len()) {
                return exec_err!("the fits have no group {beyond}");
            }
            if prepared.iter().all(Option::is_some) {
                let mut missing = false;
                let values: Vec<O::Native> = rows
                    .zip(index)
                    .map(|(x, group)| {
                        prepared[*group as usize]
                            .as_ref()
                            .and_then(|params| f((*x).into(), params))
                            .unwrap_or_else(|| {
                                missing = true;
                                O::Native::default()
                            })
                    })
                    .collect();
                if !missing {
                    let mapped =
                        PrimitiveArray::<O>::try_new(values.into(), array.nulls().cloned());
                    return Ok(Arc::new(mapped?));
                }
            }
            let mapped: PrimitiveArray<O> = array
                .iter()
                .zip(index)
                .map(|(x, group)| f(x?.into(), prepared[*group as usize].as_ref()?))
                .collect();
            Ok(Arc::new(mapped))
        }
    }
}
