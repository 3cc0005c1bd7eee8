//! States over the numbers of one column, and kernels that map numbers to numbers.
//!
//! NULL and NaN are missing. An infinity, which would make every mean infinite and every scaled value NaN, takes
//! no part in means, deviations and extents; to quantiles it is a number beyond all others.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Float64Builder, ListBuilder,
    PrimitiveArray, StructArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float16Type, Float32Type, Float64Type,
};
use datafusion_common::{Result, exec_err, internal_err};

use super::{Groups, State};
use crate::sql::{self, Arg};

/// A state over the numbers of one column of `Float64` or `Float32`.
pub trait Numbers: Debug + Default + Send + Sync + 'static {
    /// Takes numbers; NaN is to be passed over.
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
        with_runs(&runs, &values[0], |group, floats| {
            states[group].add(floats);
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

/// Hands on each group that occurs and its numbers that are not NULL.
pub fn with_runs(
    runs: &Runs,
    array: &ArrayRef,
    f: impl FnMut(usize, &[f64]) -> Result<()>,
) -> Result<()> {
    match array.data_type() {
        DataType::Float64 => floats_of_runs::<Float64Type>(runs, array, f),
        DataType::Float32 => floats_of_runs::<Float32Type>(runs, array, f),
        other => internal_err!("numbers are gathered of floats, not of {other}"),
    }
}

fn floats_of_runs<T>(
    runs: &Runs,
    array: &ArrayRef,
    mut f: impl FnMut(usize, &[f64]) -> Result<()>,
) -> Result<()>
where
    T: ArrowPrimitiveType<Native: Into<f64>>,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    let values = array.values();
    let nulls = array.nulls().filter(|n| n.null_count() > 0);
    let mut of_group: Vec<f64> = Vec::new();
    for (group, rows) in &runs.runs {
        of_group.clear();
        let rows = runs.order[rows.clone()].iter().map(|i| *i as usize);
        match nulls {
            None => of_group.extend(rows.map(|i| -> f64 { values[i].into() })),
            Some(nulls) => {
                let rows = rows.filter(|i| nulls.is_valid(*i));
                of_group.extend(rows.map(|i| -> f64 { values[i].into() }));
            }
        }
        f(*group, &of_group)?;
    }
    Ok(())
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
        let mut runs = Vec::new();
        if total <= 4 * groups.len() {
            let mut next = vec![0u32; total];
            for group in groups {
                next[*group] += 1;
            }
            let mut start = 0;
            for (group, n) in next.iter_mut().enumerate() {
                let rows = *n as usize;
                *n = start as u32;
                if rows > 0 {
                    runs.push((group, start..start + rows));
                    start += rows;
                }
            }
            let mut order = vec![0; groups.len()];
            for (row, group) in (0..rows).zip(groups) {
                let at = &mut next[*group];
                order[*at as usize] = row;
                *at += 1;
            }
            return Self { order, runs };
        }
        let mut order: Vec<u32> = (0..rows).collect();
        if !groups.is_sorted() {
            order.sort_by_key(|i| groups[*i as usize]);
        }
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

    /// The next 4 bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
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

/// The field of a parameter that is a list of numbers.
pub fn list_field(name: &str) -> Field {
    let item = Field::new_list_field(DataType::Float64, true);
    Field::new(name, DataType::List(Arc::new(item)), true)
}

/// A column of parameters: a list of numbers a group, NULL for a group that has none.
pub fn write_lists(rows: impl IntoIterator<Item = Option<Vec<f64>>>) -> ArrayRef {
    let mut lists = ListBuilder::new(Float64Builder::new());
    for row in rows {
        if let Some(list) = &row {
            lists.values().append_slice(list);
        }
        lists.append(row.is_some());
    }
    Arc::new(lists.finish())
}

/// Reads parameters of which the first is a list of numbers, a row a group; a group that lacks it is `None`.
pub fn read_lists(params: &StructArray) -> Result<Vec<Option<Vec<f64>>>> {
    read_list(params, 0)
}

/// Reads the parameter at a place, a list of numbers a group; a group that lacks it is `None`.
pub fn read_list(params: &StructArray, at: usize) -> Result<Vec<Option<Vec<f64>>>> {
    let lists = params.columns().get(at).map(|c| {
        let DataType::List(item) = c.data_type() else {
            return None;
        };
        (item.data_type() == &DataType::Float64).then(|| c.as_list::<i32>())
    });
    let Some(Some(lists)) = lists else {
        return internal_err!("a list of numbers expected");
    };
    Ok((0..params.len())
        .map(|row| {
            let present = params.is_valid(row) && lists.is_valid(row);
            present.then(|| {
                let list = lists.value(row);
                list.as_primitive::<Float64Type>().values().to_vec()
            })
        })
        .collect())
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

/// Maps numbers by the parameters of their group, in `f64`; `Float32` stays. What is missing, NULL or NaN,
/// becomes NULL, and all is NULL where the parameters are missing.
pub fn map_floats<P>(
    array: &ArrayRef,
    prepared: &[Option<P>],
    groups: Groups<'_>,
    f: impl Fn(f64, &P) -> f64,
) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Float64 => map::<_, Float64Type, Float64Type>(array, prepared, groups, f),
        // rounded once, at the end
        DataType::Float32 => {
            map::<_, Float32Type, Float32Type>(array, prepared, groups, |x, p| f(x, p) as f32)
        }
        other => internal_err!("floats are expected, not {other}"),
    }
}

/// Plain SQL of `(x - shift) / scale`, which NULL parameters make NULL.
pub fn scaled_sql(x: &Arg, fit: &StructArray) -> Result<Option<String>> {
    let [Some([shift, scale])] = read_params::<2>(fit)?[..] else {
        return Ok(Some(sql::null(&x.data_type)));
    };
    let scaled = format!(
        "({} - {}) / {}",
        x.number(),
        sql::number(shift),
        sql::number(scale)
    );
    Ok(Some(sql::rounded(scaled, &x.data_type)))
}

/// Plain SQL of a number brought into the bounds that are the parameters.
pub fn clamped_sql(x: &Arg, fit: &StructArray) -> Result<Option<String>> {
    let [Some([lower, upper])] = read_params::<2>(fit)?[..] else {
        return Ok(Some(sql::null(&x.data_type)));
    };
    let clamped = sql::clamp(&x.number(), lower, upper);
    Ok(Some(sql::rounded(clamped, &x.data_type)))
}

/// Maps numbers to values of another type: otherwise as [`map_floats`].
pub fn map_numbers<P, O: ArrowPrimitiveType>(
    array: &ArrayRef,
    prepared: &[Option<P>],
    groups: Groups<'_>,
    f: impl Fn(f64, &P) -> O::Native,
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
    f: impl Fn(f64, &P) -> O::Native,
) -> Result<ArrayRef>
where
    I: ArrowPrimitiveType<Native: Into<f64>>,
    O: ArrowPrimitiveType,
{
    let array: &PrimitiveArray<I> = array.as_primitive();
    let numbers = array.values().iter().map(|x| -> f64 { (*x).into() });
    let mut nulls = present(array);
    let values: Vec<O::Native> = match groups {
        Groups::One if array.is_empty() => Vec::new(),
        Groups::One => match of_group(prepared, groups, 0)? {
            None => return Ok(new_null_array(&O::DATA_TYPE, array.len())),
            Some(params) => numbers.map(|x| f(x, params)).collect(),
        },
        Groups::Each(index) => {
            if let Some(beyond) = index.iter().find(|i| **i as usize >= prepared.len()) {
                return exec_err!("the fits have no group {beyond}");
            }
            if prepared.iter().any(Option::is_none) {
                let fitted = BooleanBuffer::collect_bool(index.len(), |i| {
                    prepared[index[i] as usize].is_some()
                });
                nulls = NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::new(fitted)));
            }
            numbers
                .zip(index)
                .map(|(x, group)| {
                    prepared[*group as usize]
                        .as_ref()
                        .map_or_else(Default::default, |params| f(x, params))
                })
                .collect()
        }
    };
    let mapped = PrimitiveArray::<O>::try_new(values.into(), nulls)?;
    Ok(Arc::new(mapped))
}

/// Which rows of an array of any type are there: neither NULL nor NaN. `None`: all are.
pub fn present_in(array: &ArrayRef) -> Option<NullBuffer> {
    match array.data_type() {
        DataType::Float64 => present::<Float64Type>(array.as_primitive()),
        DataType::Float32 => present::<Float32Type>(array.as_primitive()),
        DataType::Float16 => present::<Float16Type>(array.as_primitive()),
        _ => array.logical_nulls().filter(|n| n.null_count() > 0),
    }
}

/// Which rows are there: neither NULL nor NaN. `None`: all are.
pub fn present<I>(array: &PrimitiveArray<I>) -> Option<NullBuffer>
where
    I: ArrowPrimitiveType<Native: Into<f64>>,
{
    let is_nan = |x: I::Native| -> bool {
        let x: f64 = x.into();
        x.is_nan()
    };
    let values = array.values();
    // without a way out in the middle, so that many are looked at at once
    let nan = values.iter().fold(false, |nan, x| nan | is_nan(*x));
    if !nan {
        return array.nulls().filter(|n| n.null_count() > 0).cloned();
    }
    let numbers = BooleanBuffer::collect_bool(values.len(), |i| !is_nan(values[i]));
    NullBuffer::union(array.nulls(), Some(&NullBuffer::new(numbers))).filter(|n| n.null_count() > 0)
}
