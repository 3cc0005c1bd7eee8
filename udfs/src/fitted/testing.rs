//! What the tests of fitted functions share: calls through every adapter, with the same result from each.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListArray, StringViewArray, StructArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Schema};
use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{
    Accumulator, AggregateUDF, ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs,
};

use super::numbers::Numbers;
use super::{Bound, Fitted, FittedUdf, State};

pub type Given<'a> = &'a [(&'static str, ScalarValue)];

pub fn floats(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Float64Array>())
}

pub fn texts(values: impl IntoIterator<Item = Option<&'static str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringViewArray>())
}

/// Equal to 1e-12, relative; NaN is NaN.
pub fn assert_floats(actual: &ArrayRef, expected: &[Option<f64>]) {
    let actual: Vec<_> = actual.as_primitive::<Float64Type>().iter().collect();
    assert_eq!(actual.len(), expected.len(), "{actual:?}");
    let same = actual.iter().zip(expected).all(|(a, e)| match (a, e) {
        (None, None) => true,
        (Some(a), Some(e)) => {
            a == e || (a.is_nan() && e.is_nan()) || (a - e).abs() <= 1e-12 * e.abs()
        }
        _ => false,
    });
    assert!(same, "{actual:?} instead of {expected:?}");
}

pub fn assert_bools(actual: &ArrayRef, expected: &[Option<bool>]) {
    let actual: Vec<_> = actual.as_boolean().iter().collect();
    assert_eq!(actual, expected);
}

fn default_of(sql: &str) -> ScalarValue {
    if let Some(text) = sql.strip_prefix('\'') {
        return ScalarValue::from(text.trim_end_matches('\''));
    }
    match sql {
        "NULL" => ScalarValue::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => sql
            .parse::<i64>()
            .map(ScalarValue::from)
            .unwrap_or_else(|_| ScalarValue::from(sql.parse::<f64>().expect("a number"))),
    }
}

pub fn try_bind<F: Fitted>(given: Given<'_>) -> datafusion_common::Result<Bound> {
    let options = F::spec()
        .params
        .iter()
        .filter(|p| p.option)
        .map(|p| {
            let given = given.iter().find(|(name, _)| *name == p.name);
            given.map_or_else(
                || default_of(p.default.expect("a default")),
                |(_, value)| value.clone(),
            )
        })
        .collect();
    for (name, _) in given {
        assert!(F::spec().params.iter().any(|p| p.name == *name), "{name}");
    }
    FittedUdf::of::<F>().bind(options)
}

pub fn bind_error<F: Fitted>(given: Given<'_>) -> String {
    try_bind::<F>(given).expect_err("an error").to_string()
}

fn coerce(bound: &Bound, types: &[DataType]) -> datafusion_common::Result<Vec<DataType>> {
    let mut all = types.to_vec();
    all.extend(bound.options().iter().map(|(_, v)| v.data_type()));
    let mut coerced = bound.window_udf().coerce_types(&all)?;
    coerced.truncate(types.len());
    Ok(coerced)
}

pub fn coerce_error<F: Fitted>(given: Given<'_>, types: &[DataType]) -> String {
    let bound = try_bind::<F>(given).expect("right options");
    coerce(&bound, types).expect_err("an error").to_string()
}

struct Call {
    bound: Bound,
    types: Vec<DataType>,
    params: Fields,
    udaf: AggregateUDF,
}

impl Call {
    fn new<F: Fitted>(given: Given<'_>, args: &[ArrayRef]) -> (Self, Vec<ArrayRef>) {
        let bound = try_bind::<F>(given).expect("right options");
        let types: Vec<_> = args.iter().map(|a| a.data_type().clone()).collect();
        let types = coerce(&bound, &types).expect("right types");
        let params = bound.params(&types).expect("parameters");
        let udaf = bound.fit_udaf(types.clone());
        let call = Self {
            bound,
            types,
            params,
            udaf,
        };
        let args = call.cast(args);
        (call, args)
    }

    fn cast(&self, args: &[ArrayRef]) -> Vec<ArrayRef> {
        args.iter()
            .zip(&self.types)
            .map(|(a, t)| cast(a, t).expect("a cast"))
            .collect()
    }

    fn with<R>(&self, f: impl FnOnce(AccumulatorArgs<'_>) -> R) -> R {
        f(AccumulatorArgs {
            return_field: Arc::new(Field::new(
                "fit",
                DataType::Struct(self.params.clone()),
                true,
            )),
            schema: &Schema::empty(),
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: "fit",
            is_distinct: false,
            exprs: &[],
            expr_fields: &[],
        })
    }

    fn accumulator(&self) -> Box<dyn Accumulator> {
        self.with(|args| self.udaf.accumulator(args))
            .expect("an accumulator")
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        self.with(|args| self.udaf.create_groups_accumulator(args))
            .expect("an accumulator")
    }

    /// The parameters: the same from one accumulator, from several merged in either order, and by groups.
    fn fit(&self, args: &[ArrayRef]) -> StructArray {
        let of = |scalar: ScalarValue| {
            let array = scalar.to_array().expect("an array");
            array.as_struct().clone()
        };
        let mut whole = self.accumulator();
        whole.update_batch(args).expect("an update");
        assert!(whole.size() > 0);
        let whole = of(whole.evaluate().expect("parameters"));
        let rows = args[0].len();
        for backwards in [false, true] {
            let mut merged = self.accumulator();
            let mut rows: Vec<usize> = (0..rows).collect();
            if backwards {
                rows.reverse();
            }
            for row in rows {
                let mut part = self.accumulator();
                let slice: Vec<_> = args.iter().map(|a| a.slice(row, 1)).collect();
                part.update_batch(&slice).expect("an update");
                let state = part.state().expect("a state");
                let state: Vec<_> = state.iter().map(|s| s.to_array().expect("one")).collect();
                merged.merge_batch(&state).expect("a merge");
            }
            assert_eq!(of(merged.evaluate().expect("parameters")), whole);
        }
        let zeros = vec![0; rows];
        let mut written = self.groups();
        let rows_as_states = written.convert_to_state(args, None).expect("states");
        written
            .merge_batch(&rows_as_states, &zeros, 1)
            .expect("a merge");
        let written = written.evaluate(EmitTo::All).expect("parameters");
        assert!(rows == 0 || written.as_struct() == &whole);
        let mut grouped = self.groups();
        grouped
            .update_batch(args, &zeros, None, 1)
            .expect("an update");
        let grouped = grouped.evaluate(EmitTo::All).expect("parameters");
        assert_eq!(grouped.as_struct(), &whole);
        whole
    }

    fn apply(&self, args: &[ArrayRef], params: &StructArray, groups: Option<&[u32]>) -> ArrayRef {
        self.try_apply(args, params, groups).expect("a result")
    }

    fn try_apply(
        &self,
        args: &[ArrayRef],
        params: &StructArray,
        groups: Option<&[u32]>,
    ) -> datafusion_common::Result<ArrayRef> {
        let rows = args[0].len();
        let of = DataType::Struct(self.params.clone());
        let column: ArrayRef = if groups.is_some() {
            let item = Arc::new(Field::new_list_field(of, true));
            let offsets = OffsetBuffer::from_lengths([params.len()]);
            let values = Arc::new(params.clone());
            Arc::new(ListArray::new(item, offsets, values, None))
        } else {
            Arc::new(params.clone())
        };
        let field = Field::new("f0", column.data_type().clone(), true);
        let fits = StructArray::new(Fields::from(vec![field]), vec![column], None);
        let mut values: Vec<_> = args.iter().cloned().map(ColumnarValue::Array).collect();
        values.push(ColumnarValue::Scalar(ScalarValue::Struct(Arc::new(fits))));
        if let Some(groups) = groups {
            let index = UInt32Array::from(groups.to_vec());
            values.push(ColumnarValue::Array(Arc::new(index)));
        }
        let udf = self
            .bound
            .apply_udf(self.types.clone(), 0, groups.is_some());
        let output = udf.return_type(&self.types).expect("a type");
        let result = udf.invoke_with_args(ScalarFunctionArgs {
            args: values,
            arg_fields: Vec::new(),
            number_rows: rows,
            return_field: Arc::new(Field::new("y", output.clone(), true)),
            config_options: Arc::new(ConfigOptions::default()),
        })?;
        let result = result.to_array(rows)?;
        assert_eq!(result.data_type(), &output);
        assert_eq!(result.len(), rows);
        Ok(result)
    }
}

/// `f(args...) OVER ()`.
pub fn fit_apply<F: Fitted>(given: Given<'_>, args: &[ArrayRef]) -> ArrayRef {
    apply_to::<F>(given, args, args)
}

/// Fits on some rows and applies to others.
pub fn apply_to<F: Fitted>(given: Given<'_>, fit: &[ArrayRef], others: &[ArrayRef]) -> ArrayRef {
    try_apply_to::<F>(given, fit, others).expect("a result")
}

pub fn try_apply_to<F: Fitted>(
    given: Given<'_>,
    fit: &[ArrayRef],
    others: &[ArrayRef],
) -> datafusion_common::Result<ArrayRef> {
    let (call, fit) = Call::new::<F>(given, fit);
    let params = call.fit(&fit);
    call.try_apply(&call.cast(others), &params, None)
}

/// `f(args...) OVER (PARTITION BY groups)`, which is what each group gives by itself.
pub fn grouped<F: Fitted>(given: Given<'_>, args: &[ArrayRef], groups: &[u32]) -> ArrayRef {
    let (call, args) = Call::new::<F>(given, args);
    let index: Vec<usize> = groups.iter().map(|g| *g as usize).collect();
    let total = index.iter().max().map_or(0, |g| g + 1);
    let mut accumulator = call.groups();
    // rows as states of their own, as they are sent on when groups are too many to gather
    let rows = accumulator.convert_to_state(&args, None).expect("states");
    accumulator
        .update_batch(&args, &index, None, total)
        .expect("an update");
    let params = accumulator.evaluate(EmitTo::All).expect("parameters");
    let mut merged = call.groups();
    merged.merge_batch(&rows, &index, total).expect("a merge");
    assert_eq!(&merged.evaluate(EmitTo::All).expect("parameters"), &params);
    let applied = call.apply(&args, params.as_struct(), Some(groups));

    let mut of_group: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (row, group) in (0u32..).zip(groups) {
        of_group.entry(*group).or_default().push(row);
    }
    for rows in of_group.into_values() {
        let rows = UInt32Array::from(rows);
        let pick = |a: &ArrayRef| take(a, &rows, None).expect("rows");
        let alone: Vec<_> = args.iter().map(pick).collect();
        let alone = call.apply(&alone, &call.fit(&alone), None);
        assert_eq!(&pick(&applied), &alone);
    }
    // a group that was not there when fitting
    let unseen = vec![u32::try_from(total).expect("few"); args[0].len()];
    call.apply(&args, params.as_struct(), Some(&unseen));
    applied
}

/// Finite floats of all magnitudes and both signs, many of them twice.
pub fn random_floats(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let x = f64::from_bits(state ^ (state >> 29));
        if x.is_finite() {
            values.push(x);
            if state.is_multiple_of(3) {
                values.push(x);
            }
        }
    }
    values
}

/// Gathers values in several orders and pieces, through encoding and by groups: `read` gives the same.
pub fn order_independent<N: Numbers, R: PartialEq + std::fmt::Debug>(
    values: &[f64],
    mut read: impl FnMut(&mut N) -> R,
) {
    let mut whole = N::default();
    whole.add(values);
    let expected = read(&mut whole);
    let mut orders = vec![values.to_vec(), values.to_vec(), values.to_vec()];
    orders[1].reverse();
    orders[2].sort_by(f64::total_cmp);
    for order in &orders {
        for size in [1, 7, 16, 100, 1500] {
            let mut at_once = N::default();
            let mut merged = N::default();
            let mut left = N::default();
            for piece in order.chunks(size) {
                at_once.add(piece);
                let mut part = N::default();
                part.add(piece);
                let mut bytes = Vec::new();
                part.encode(&mut bytes).expect("an encoding");
                let mut decoded = N::default();
                decoded.decode(&bytes).expect("a decoding");
                merged.merge(decoded).expect("a merge");
                part.merge(left).expect("a merge");
                left = part;
            }
            for mut state in [at_once, merged, left] {
                assert_eq!(read(&mut state), expected, "pieces of {size}");
            }
        }
    }
    let groups: Vec<usize> = (0..values.len()).map(|i| i * i % 5).collect();
    let mut states: Vec<N> = (0..5).map(|_| N::default()).collect();
    N::update_groups(
        &mut states,
        &groups,
        &[floats(values.iter().copied().map(Some))],
    )
    .expect("an update");
    for (group, state) in states.iter_mut().enumerate() {
        let of_group: Vec<f64> = values
            .iter()
            .zip(&groups)
            .filter(|(_, g)| **g == group)
            .map(|(x, _)| *x)
            .collect();
        let mut alone = N::default();
        alone.add(&of_group);
        assert_eq!(read(state), read(&mut alone));
    }
}

/// The parameters fitted on all rows.
pub fn fit<F: Fitted>(given: Given<'_>, args: &[ArrayRef]) -> StructArray {
    let (call, args) = Call::new::<F>(given, args);
    call.fit(&args)
}

/// Fits on some rows and undoes values that are like those that applying gives.
pub fn undo<F: Fitted>(given: Given<'_>, fit: &[ArrayRef], values: &ArrayRef) -> ArrayRef {
    let (call, fit) = Call::new::<F>(given, fit);
    let params = call.fit(&fit);
    let fitted = F::new(call.bound.options()).expect("right options");
    let prepared = fitted.prepare(&call.types, &params).expect("parameters");
    let undone = fitted.invert(values, &params, &prepared, super::Groups::One);
    let undone = undone.expect("an inverse");
    assert_eq!(
        Some(undone.data_type()),
        fitted.inverse(&call.types).as_ref()
    );
    undone
}
