//! The adapters from [`Fitted`] to DataFusion's window, aggregate and scalar functions.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, LargeBinaryArray, ListArray, StructArray, UInt32Array,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat, filter, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion_common::utils::proxy::VecAllocExt;
use datafusion_common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion_expr::function::{
    AccumulatorArgs, PartitionEvaluatorArgs, StateFieldsArgs, WindowUDFFieldArgs,
};
use datafusion_expr::utils::AggregateOrderSensitivity;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, Expr, GroupsAccumulator,
    PartitionEvaluator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, WindowUDF, WindowUDFImpl,
};

use super::counts::{Lookup, MISSING, UNKNOWN};
use super::{Fitted, Groups, State};
use crate::arrays::is_text;
use crate::options::{Options, display};
use crate::spec::Spec;
use crate::sql::{Arg, Bind, case, literal, null};

/// A fitted function before its options are known.
#[derive(Debug, Clone)]
pub struct FittedUdf {
    spec: &'static Spec,
    bind: fn(Options) -> Result<Bound>,
}

impl FittedUdf {
    /// Erases the type of a fitted function.
    pub fn of<F: Fitted>() -> Self {
        Self {
            spec: F::spec(),
            bind: |options| {
                let fitted = F::new(&options)?;
                Ok(Bound {
                    options,
                    fitted: Arc::new(Typed(fitted)),
                })
            },
        }
    }

    /// The function's declaration.
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    /// Reads the options, given in the order of the spec.
    pub fn bind(&self, options: Vec<ScalarValue>) -> Result<Bound> {
        (self.bind)(Options::new(self.spec, options)?)
    }

    /// The window function by which SQL finds the name; [`Bound::window_udf`] replaces it.
    pub fn window_udf(&self) -> WindowUDF {
        WindowUDF::from(FittedWindow {
            function: self.clone(),
            bound: None,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    }
}

/// A fitted function and its options.
#[derive(Debug, Clone)]
pub struct Bound {
    options: Options,
    fitted: Arc<dyn Erased>,
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.options.hash(state);
    }
}

impl Bound {
    /// The function's declaration.
    pub fn spec(&self) -> &'static Spec {
        self.options.spec()
    }

    /// The options it was bound to.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How many of a call's leading arguments are data; the rest are options.
    pub fn data_args(&self, args: usize) -> usize {
        args.saturating_sub(self.options.iter().count())
    }

    /// The types the data arguments are cast to.
    pub fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.fitted.coerce(types)
    }

    /// The type of the result, from the coerced types of the data arguments.
    pub fn output(&self, types: &[DataType]) -> Result<DataType> {
        self.fitted.output(types)
    }

    /// The fields of the parameters, from the coerced types of the data arguments.
    pub fn params(&self, types: &[DataType]) -> Result<Fields> {
        self.fitted.params(types)
    }

    /// The window function: fits on all rows of a partition, then applies.
    pub fn window_udf(&self) -> WindowUDF {
        WindowUDF::from(FittedWindow {
            function: FittedUdf {
                spec: self.spec(),
                bind: |_| internal_err!("a bound function was bound again"),
            },
            bound: Some(self.clone()),
            signature: Signature::user_defined(Volatility::Immutable),
        })
    }

    /// The aggregate that fits: data arguments of these types to a struct of parameters.
    pub fn fit_udaf(&self, types: Vec<DataType>) -> AggregateUDF {
        AggregateUDF::from(Fit {
            name: format!("{}_fit", self.spec().name),
            bound: self.clone(),
            signature: Signature::exact(types.clone(), Volatility::Immutable),
            types,
            handed: Arc::default(),
        })
    }

    /// The scalar function that applies the parameters in field `f{field}` of a struct of fits.
    ///
    /// Its arguments are the data arguments, the struct, and, if `grouped`, the row's group as UInt32
    /// (then the fields are lists, an entry a group; see [`collect_groups`]).
    pub fn apply_udf(&self, types: Vec<DataType>, field: usize, grouped: bool) -> ScalarUDF {
        ScalarUDF::from(Apply {
            name: format!("{}_apply", self.spec().name),
            bound: self.clone(),
            signature: Signature::any(
                types.len() + 1 + usize::from(grouped),
                Volatility::Immutable,
            ),
            types,
            field,
            grouped,
            prepared: Mutex::new(None),
            inverted: false,
        })
    }
}

type AnyPrepared = Arc<dyn Any + Send + Sync>;

/// [`Fitted`] with its types erased.
trait Erased: Debug + Send + Sync {
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>>;
    fn output(&self, types: &[DataType]) -> Result<DataType>;
    fn params(&self, types: &[DataType]) -> Result<Fields>;
    fn fit_args(&self) -> &'static [usize];
    fn states(&self, types: &[DataType]) -> Result<Box<dyn States>>;
    fn prepare(&self, types: &[DataType], params: &StructArray) -> Result<AnyPrepared>;
    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &AnyPrepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef>;
    fn sql(&self, args: &[Arg], fit: &StructArray, bind: &mut Bind<'_>) -> Result<Option<String>>;
    fn inverse(&self, types: &[DataType]) -> Option<DataType>;
    fn invert(
        &self,
        values: &ArrayRef,
        params: &StructArray,
        prepared: &AnyPrepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef>;
}

#[derive(Debug)]
struct Typed<F>(F);

impl<F: Fitted> Erased for Typed<F> {
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.0.coerce(types)
    }

    fn output(&self, types: &[DataType]) -> Result<DataType> {
        self.0.output(types)
    }

    fn params(&self, types: &[DataType]) -> Result<Fields> {
        self.0.params(types)
    }

    fn fit_args(&self) -> &'static [usize] {
        F::fit_args()
    }

    fn states(&self, types: &[DataType]) -> Result<Box<dyn States>> {
        Ok(Box::new(TypedStates {
            fitted: self.0.clone(),
            types: types.to_vec(),
            states: Vec::new(),
            bytes: 0,
        }))
    }

    fn prepare(&self, types: &[DataType], params: &StructArray) -> Result<AnyPrepared> {
        Ok(Arc::new(self.0.prepare(types, params)?))
    }

    fn apply(
        &self,
        args: &[ArrayRef],
        prepared: &AnyPrepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        match prepared.downcast_ref::<F::Prepared>() {
            Some(prepared) => self.0.apply(args, prepared, groups),
            None => internal_err!("{}: parameters of another function", F::spec().name),
        }
    }

    fn sql(&self, args: &[Arg], fit: &StructArray, bind: &mut Bind<'_>) -> Result<Option<String>> {
        self.0.sql(args, fit, bind)
    }

    fn inverse(&self, types: &[DataType]) -> Option<DataType> {
        self.0.inverse(types)
    }

    fn invert(
        &self,
        values: &ArrayRef,
        params: &StructArray,
        prepared: &AnyPrepared,
        groups: Groups<'_>,
    ) -> Result<ArrayRef> {
        match prepared.downcast_ref::<F::Prepared>() {
            Some(prepared) => self.0.invert(values, params, prepared, groups),
            None => internal_err!("{}: parameters of another function", F::spec().name),
        }
    }
}

/// The states of many groups.
trait States: Debug + Send + Sync {
    fn update(&mut self, values: &[ArrayRef], groups: Option<&[usize]>, total: usize)
    -> Result<()>;
    fn merge(&mut self, encoded: &ArrayRef, groups: Option<&[usize]>, total: usize) -> Result<()>;
    fn encode(&mut self, emit: EmitTo) -> Result<ArrayRef>;
    fn absorb(&mut self, other: Box<dyn States>) -> Result<()>;
    fn any(self: Box<Self>) -> Box<dyn Any>;
    fn finish(&mut self, emit: EmitTo) -> Result<StructArray>;
    fn size(&self) -> usize;
    fn fresh(&self) -> Box<dyn States>;
}

#[derive(Debug)]
struct TypedStates<F: Fitted> {
    fitted: F,
    types: Vec<DataType>,
    states: Vec<F::State>,
    /// What the states hold; kept for many groups, where asking each of them each time is dear.
    bytes: usize,
}

impl<F: Fitted> TypedStates<F> {
    fn grow(&mut self, total: usize) -> Result<()> {
        while self.states.len() < total {
            let state = self.fitted.state(&self.types)?;
            self.bytes += state.size();
            self.states.push(state);
        }
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> Vec<F::State> {
        let taken = emit.take_needed(&mut self.states);
        self.bytes = self.states.iter().map(State::size).sum();
        taken
    }

    fn touched(&self, groups: &[usize]) -> usize {
        let mut touched: Vec<usize> = groups.to_vec();
        touched.sort_unstable();
        touched.dedup();
        touched.iter().map(|g| self.states[*g].size()).sum()
    }
}

impl<F: Fitted> States for TypedStates<F> {
    fn update(
        &mut self,
        values: &[ArrayRef],
        groups: Option<&[usize]>,
        total: usize,
    ) -> Result<()> {
        self.grow(total)?;
        match groups {
            None => {
                self.states[0].update(values)?;
                self.bytes = self.states[0].size();
            }
            Some(groups) => {
                if groups.len() < self.states.len() {
                    let before = self.touched(groups);
                    F::State::update_groups(&mut self.states, groups, values)?;
                    self.bytes = (self.bytes + self.touched(groups)).saturating_sub(before);
                } else {
                    F::State::update_groups(&mut self.states, groups, values)?;
                    self.bytes = self.states.iter().map(State::size).sum();
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, encoded: &ArrayRef, groups: Option<&[usize]>, total: usize) -> Result<()> {
        self.grow(total)?;
        let encoded: &LargeBinaryArray = encoded.as_binary();
        for (i, bytes) in encoded.iter().enumerate() {
            let Some(bytes) = bytes else { continue };
            let group = groups.map_or(0, |g| g[i]);
            self.bytes = self.bytes.saturating_sub(self.states[group].size());
            let empty = || self.fitted.state(&self.types);
            self.states[group].merge_encoded(bytes, empty)?;
            self.bytes += self.states[group].size();
        }
        Ok(())
    }

    fn encode(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let states = self.take(emit);
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(states.len() + 1);
        ends.push(0);
        for state in states {
            state.encode(&mut bytes)?;
            ends.push(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        }
        let offsets = OffsetBuffer::new(ends.into());
        Ok(Arc::new(LargeBinaryArray::try_new(
            offsets,
            bytes.into(),
            None,
        )?))
    }

    /// Takes the states of other rows of the same groups.
    fn absorb(&mut self, other: Box<dyn States>) -> Result<()> {
        let Ok(other) = other.any().downcast::<Self>() else {
            return internal_err!("states of different functions are merged");
        };
        self.grow(other.states.len())?;
        for (state, other) in self.states.iter_mut().zip(other.states) {
            state.merge(other)?;
        }
        self.bytes = self.states.iter().map(State::size).sum();
        Ok(())
    }

    fn any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn finish(&mut self, emit: EmitTo) -> Result<StructArray> {
        let states = self.take(emit);
        let rows = states.len();
        let columns = self.fitted.finish(&self.types, states)?;
        let fields = self.fitted.params(&self.types)?;
        Ok(StructArray::try_new_with_length(
            fields, columns, None, rows,
        )?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }

    fn fresh(&self) -> Box<dyn States> {
        Box::new(Self {
            fitted: self.fitted.clone(),
            types: self.types.clone(),
            states: Vec::new(),
            bytes: 0,
        })
    }
}

/// The window function `f(x) OVER (...)`.
#[derive(Debug)]
pub struct FittedWindow {
    function: FittedUdf,
    bound: Option<Bound>,
    signature: Signature,
}

impl PartialEq for FittedWindow {
    fn eq(&self, other: &Self) -> bool {
        self.function.spec.name == other.function.spec.name && self.bound == other.bound
    }
}

impl Eq for FittedWindow {}

impl Hash for FittedWindow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.spec.name.hash(state);
        self.bound.hash(state);
    }
}

impl FittedWindow {
    /// The function as SQL found it.
    pub fn function(&self) -> &FittedUdf {
        &self.function
    }

    /// The function with its options, once they are read.
    pub fn bound(&self) -> Result<&Bound> {
        match &self.bound {
            Some(bound) => Ok(bound),
            None => plan_err!(
                "{}: its options are not constants. Write {}",
                self.function.spec.name,
                self.function.spec.syntax()
            ),
        }
    }

    fn types(&self, fields: &[FieldRef]) -> Result<Vec<DataType>> {
        let data = self.bound()?.data_args(fields.len());
        Ok(fields[..data]
            .iter()
            .map(|f| f.data_type().clone())
            .collect())
    }
}

impl WindowUDFImpl for FittedWindow {
    fn name(&self) -> &str {
        self.function.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let bound = self.bound()?;
        let data = bound.data_args(types.len());
        let mut coerced = bound.fitted.coerce(&types[..data])?;
        coerced.extend_from_slice(&types[data..]);
        Ok(coerced)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let types = self.types(args.input_fields())?;
        let coerced = self.bound()?.fitted.coerce(&types)?;
        let output = self.bound()?.fitted.output(&coerced)?;
        Ok(Arc::new(Field::new(args.name(), output, true)))
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            types: self.types(args.input_fields())?,
            bound: self.bound()?.clone(),
        }))
    }
}

#[derive(Debug)]
struct Evaluator {
    bound: Bound,
    types: Vec<DataType>,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let data = &values[..self.types.len()];
        let fitted = &self.bound.fitted;
        let mut states = fitted.states(&self.types)?;
        states.update(data, None, 1)?;
        let params = states.finish(EmitTo::All)?;
        let prepared = fitted.prepare(&self.types, &params)?;
        fitted.apply(data, &prepared, Groups::One)
    }
}

/// The aggregate that fits.
#[derive(Debug)]
struct Fit {
    name: String,
    bound: Bound,
    signature: Signature,
    types: Vec<DataType>,
    handed: Arc<Handed>,
}

impl PartialEq for Fit {
    fn eq(&self, other: &Self) -> bool {
        self.bound == other.bound && self.types == other.types
    }
}

impl Eq for Fit {}

impl Hash for Fit {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bound.hash(state);
        self.types.hash(state);
    }
}

/// States without groups on their way from the accumulators of parts of the rows to the one of all rows. They are of
/// one process, so that what may be many values is not written out and read again: what goes through the plan is a
/// number.
#[derive(Debug, Default)]
struct Handed {
    states: Mutex<HashMap<i64, Box<dyn States>>>,
    last: AtomicI64,
}

impl Handed {
    fn give(&self, states: Box<dyn States>) -> i64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let mut all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(number, states);
        number
    }

    fn take(&self, number: i64) -> Result<Box<dyn States>> {
        let mut all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match all.remove(&number) {
            Some(states) => Ok(states),
            None => internal_err!("the states of number {number} were taken before"),
        }
    }
}

impl AggregateUDFImpl for Fit {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(self.bound.fitted.params(&self.types)?))
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(FitAccumulator {
            states: self.bound.fitted.states(&self.types)?,
            handed: Arc::clone(&self.handed),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = Field::new(format!("{}[state]", args.name), DataType::LargeBinary, true);
        Ok(vec![Arc::new(field)])
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(FitGroups {
            states: self.bound.fitted.states(&self.types)?,
        }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
struct FitAccumulator {
    states: Box<dyn States>,
    handed: Arc<Handed>,
}

impl Accumulator for FitAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.states.update(values, None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let encoded: &LargeBinaryArray = states[0].as_binary();
        for bytes in encoded.iter().flatten() {
            let Ok(number) = bytes.try_into() else {
                return internal_err!("{} bytes are no number of states", bytes.len());
            };
            let states = self.handed.take(i64::from_le_bytes(number))?;
            self.states.absorb(states)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let fresh = self.states.fresh();
        let number = self.handed.give(std::mem::replace(&mut self.states, fresh));
        let number = number.to_le_bytes().to_vec();
        Ok(vec![ScalarValue::LargeBinary(Some(number))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.states.update_nothing()?;
        let params = self.states.finish(EmitTo::All)?;
        Ok(ScalarValue::Struct(Arc::new(params)))
    }

    fn size(&self) -> usize {
        self.states.size()
    }
}

impl dyn States {
    /// Makes sure that the one state of an aggregate without groups exists: a table may have no rows.
    fn update_nothing(&mut self) -> Result<()> {
        let nothing: ArrayRef = Arc::new(LargeBinaryArray::new_null(0));
        self.merge(&nothing, None, 1)
    }
}

#[derive(Debug)]
struct FitGroups {
    states: Box<dyn States>,
}

impl GroupsAccumulator for FitGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        opt_filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let Some(keep) = opt_filter else {
            return self.states.update(values, Some(groups), total);
        };
        let values = values
            .iter()
            .map(|v| filter(v, keep))
            .collect::<Result<Vec<_>, _>>()?;
        let groups: Vec<usize> = groups
            .iter()
            .zip(keep.iter())
            .filter(|(_, keep)| *keep == Some(true))
            .map(|(group, _)| *group)
            .collect();
        self.states.update(&values, Some(&groups), total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(self.states.finish(emit)?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.states.encode(emit)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.states.merge(&values[0], Some(groups), total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |v| v.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut each = FitGroups {
            states: self.states.fresh(),
        };
        each.update_batch(values, &groups, opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.states.size()
    }
}

/// The scalar function that applies fitted parameters.
#[derive(Debug)]
pub struct Apply {
    name: String,
    bound: Bound,
    signature: Signature,
    types: Vec<DataType>,
    field: usize,
    grouped: bool,
    /// The parameters of the struct seen last, in the kernel's form: the struct is the same for all
    /// batches of a run, and reading it may be dear (a hash table of a million categories).
    prepared: Mutex<Option<(Arc<StructArray>, AnyPrepared)>>,
    /// Whether it undoes what the fits do.
    inverted: bool,
}

impl PartialEq for Apply {
    fn eq(&self, other: &Self) -> bool {
        self.bound == other.bound
            && self.types == other.types
            && self.field == other.field
            && self.grouped == other.grouped
            && self.inverted == other.inverted
    }
}

impl Eq for Apply {}

impl Hash for Apply {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bound.hash(state);
        self.types.hash(state);
        self.field.hash(state);
        self.grouped.hash(state);
        self.inverted.hash(state);
    }
}

impl Apply {
    /// The function and its options.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// How many of a call's leading arguments are data; the struct of fits and, with `PARTITION BY`, the group
    /// follow.
    pub fn data_args(&self) -> usize {
        self.types.len()
    }

    /// The call as one would write it, but for options left at their defaults.
    pub fn written(&self, args: &[String], keys: &[String]) -> String {
        let mut args = args.to_vec();
        let options = self.bound.options.iter();
        let params = self.bound.spec().params.iter().filter(|p| p.option);
        for ((name, value), param) in options.zip(params) {
            let value = display(value);
            if param.default != Some(value.as_str()) {
                args.push(format!("{name} => {value}"));
            }
        }
        let over = if keys.is_empty() {
            String::new()
        } else {
            format!(" OVER (PARTITION BY {})", keys.join(", "))
        };
        format!("{}({}){over}", self.bound.spec().name, args.join(", "))
    }

    /// What the call means in plain SQL; `None` where that has no words for it. `keys` are the columns of its
    /// `PARTITION BY`.
    pub fn sql(
        &self,
        args: &[Arg],
        keys: &[Arg],
        fits: &StructArray,
        bind: &mut Bind<'_>,
    ) -> Result<Option<String>> {
        let fitted = &self.bound.fitted;
        let params = self.params(fits)?;
        let Some(groups) = group_keys(fits) else {
            return fitted.sql(args, &params.slice(0, 1), bind);
        };
        let mut branches = Vec::with_capacity(groups.len());
        for row in 0..groups.len() {
            let mut same = Vec::with_capacity(keys.len());
            for (key, column) in keys.iter().zip(groups.columns()) {
                let Some(value) = literal(&ScalarValue::try_from_array(column, row)?)? else {
                    return Ok(None);
                };
                // in brackets: parsers differ in what they take to belong to it
                same.push(format!("({} IS NOT DISTINCT FROM {value})", key.sql));
            }
            let Some(applied) = fitted.sql(args, &params.slice(row, 1), bind)? else {
                return Ok(None);
            };
            branches.push((same.join(" AND "), applied));
        }
        let Some(unseen) = fitted.sql(args, &params.slice(groups.len(), 1), bind)? else {
            return Ok(None);
        };
        if branches.is_empty() {
            return Ok(Some(null(&fitted.output(&self.types)?)));
        }
        Ok(Some(case(branches, Some(&unseen))))
    }

    /// The type that the values to undo are to have, and the type of what undoing gives; `None` if it cannot be done.
    pub fn inverse(&self) -> Result<Option<(DataType, DataType)>> {
        let Some(back) = self.bound.fitted.inverse(&self.types) else {
            return Ok(None);
        };
        Ok(Some((self.bound.fitted.output(&self.types)?, back)))
    }

    /// The scalar function that undoes this one: of a value, the struct of fits and, with `PARTITION BY`, the group.
    pub fn inverse_udf(&self) -> ScalarUDF {
        ScalarUDF::from(Self {
            name: format!("{}_invert", self.bound.spec().name),
            bound: self.bound.clone(),
            signature: Signature::any(2 + usize::from(self.grouped), Volatility::Immutable),
            types: self.types.clone(),
            field: self.field,
            grouped: self.grouped,
            prepared: Mutex::new(None),
            inverted: true,
        })
    }

    /// The parameters: a row, or a row a group and one more for groups that were not there when fitting.
    pub fn params(&self, fits: &StructArray) -> Result<StructArray> {
        let fields = self.bound.params(&self.types)?;
        let missing = |name: &str| exec_err!("{}: the fits lack {name}", self.name);
        let column = |name: &str| fits.column_by_name(name).map(Arc::clone);
        let name = format!("f{}", self.field);
        let Some(own) = column(&name) else {
            return missing(&name);
        };
        if !self.grouped {
            return Ok(own.as_struct().clone());
        }
        let mut parts: Vec<ArrayRef> = vec![own.as_list::<i32>().value(0)];
        // rows of groups that were not there when fitting use the fit of all rows
        match column(&format!("o{}", self.field)) {
            Some(overall) => parts.push(overall),
            None => parts.push(new_null_array(&DataType::Struct(fields), 1)),
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(concat(&parts)?.as_struct().clone())
    }

    fn prepared(&self, fits: &Arc<StructArray>) -> Result<AnyPrepared> {
        let mut last = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, prepared)) = last.as_ref()
            && Arc::ptr_eq(seen, fits)
        {
            return Ok(Arc::clone(prepared));
        }
        let prepared = self
            .bound
            .fitted
            .prepare(&self.types, &self.params(fits)?)?;
        *last = Some((Arc::clone(fits), Arc::clone(&prepared)));
        Ok(prepared)
    }
}

/// A call that applies a fit, with NULL in the place of the arguments that only a fit needs; `None` for all else.
pub fn without_fit_args(expr: &Expr) -> Result<Option<Expr>> {
    let Expr::ScalarFunction(call) = expr else {
        return Ok(None);
    };
    let Some(apply) = call.func.inner().downcast_ref::<Apply>() else {
        return Ok(None);
    };
    let unneeded = apply.bound.fitted.fit_args();
    if unneeded.is_empty() {
        return Ok(None);
    }
    let mut call = call.clone();
    for i in unneeded {
        let null = ScalarValue::try_from(&apply.types[*i])?;
        call.args[*i] = Expr::Literal(null, None);
    }
    Ok(Some(Expr::ScalarFunction(call)))
}

impl ScalarUDFImpl for Apply {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        if self.inverted {
            return match self.bound.fitted.inverse(&self.types) {
                Some(back) => Ok(back),
                None => internal_err!("{}: there is no inverse", self.name),
            };
        }
        self.bound.fitted.output(&self.types)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        let output = self.return_type(&[])?;
        Ok(Arc::new(Field::new(self.name(), output, true)))
    }

    /// Keeps common-subexpression elimination away from the arguments: it would make a column of the one
    /// struct of fits, a copy a row.
    fn short_circuits(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let data = if self.inverted { 1 } else { self.types.len() };
        let fits = scalar_struct(&args.args[data], &self.name)?;
        let prepared = self.prepared(&fits)?;
        let values = args.args[..data]
            .iter()
            .map(|v| v.to_array(args.number_rows))
            .collect::<Result<Vec<_>>>()?;
        let index = match args.args.get(data + 1) {
            Some(index) if self.grouped => Some(index.to_array(args.number_rows)?),
            _ => None,
        };
        let groups = match &index {
            Some(index) => {
                let index: &UInt32Array = index.as_primitive();
                Groups::Each(index.values())
            }
            None => Groups::One,
        };
        let applied = if self.inverted {
            let params = self.params(&fits)?;
            let fitted = &self.bound.fitted;
            fitted.invert(&values[0], &params, &prepared, groups)?
        } else {
            self.bound.fitted.apply(&values, &prepared, groups)?
        };
        Ok(ColumnarValue::Array(applied))
    }
}

/// The keys of the groups that fits are of, a column a key; `None` without `PARTITION BY`.
pub fn group_keys(fits: &StructArray) -> Option<StructArray> {
    let keys = fits.column_by_name("keys")?;
    let keys = keys.as_list_opt::<i32>()?.value(0);
    keys.as_struct_opt().cloned()
}

fn scalar_struct(value: &ColumnarValue, name: &str) -> Result<Arc<StructArray>> {
    match value {
        ColumnarValue::Scalar(ScalarValue::Struct(fits)) => Ok(Arc::clone(fits)),
        // a join with the one row of fits repeats it
        ColumnarValue::Array(array) if !array.is_empty() && array.as_struct_opt().is_some() => {
            Ok(Arc::new(array.slice(0, 1).as_struct().clone()))
        }
        ColumnarValue::Array(array) if array.is_empty() => {
            exec_err!("{name}: no fits")
        }
        other => internal_err!("{name}: fits are a struct, not {:?}", other.data_type()),
    }
}

/// `group_index(key, ..., fits)`: the row's group as an index into the lists of the fits, UInt32;
/// for a group that was not there when fitting, the index past the last.
#[derive(Debug)]
pub struct GroupIndex {
    signature: Signature,
    seen: Mutex<Option<(Arc<StructArray>, Arc<GroupTable>)>>,
}

#[derive(Debug)]
enum GroupTable {
    /// Of one key whose values are looked up, and the group of NULL.
    Values {
        known: Lookup,
        null: u32,
        unseen: u32,
    },
    Rows {
        converter: Mutex<RowConverter>,
        index: HashMap<Box<[u8]>, u32>,
    },
}

impl GroupTable {
    fn of(keys: &StructArray) -> Result<Self> {
        if let [key] = keys.columns() {
            let key = match key.as_any_dictionary_opt() {
                Some(dictionary) => cast(key, dictionary.values().data_type())?,
                None => Arc::clone(key),
            };
            let text = is_text(key.data_type()) && key.data_type() != &DataType::Null;
            // floats that are the same to the look-up may be different groups
            if text || key.data_type().is_integer() {
                let unseen = u32::try_from(key.len()).unwrap_or(u32::MAX);
                let groups: Vec<u32> = (0..unseen).collect();
                let null = (0..unseen).find(|i| key.is_null(*i as usize));
                return Ok(Self::Values {
                    known: Lookup::new(&key, &groups)?,
                    null: null.unwrap_or(unseen),
                    unseen,
                });
            }
        }
        let fields = keys
            .columns()
            .iter()
            .map(|c| SortField::new(c.data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields)?;
        let rows = converter.convert_columns(keys.columns())?;
        let index = rows
            .iter()
            .zip(0u32..)
            .map(|(row, i)| (row.as_ref().into(), i))
            .collect();
        Ok(Self::Rows {
            converter: Mutex::new(converter),
            index,
        })
    }

    /// The group of each row.
    fn index(&self, keys: &[ArrayRef]) -> Result<UInt32Array> {
        let groups: Vec<u32> = match (self, keys) {
            (
                Self::Values {
                    known,
                    null,
                    unseen,
                },
                [key],
            ) => {
                let mut groups = known.codes(key)?;
                for group in &mut groups {
                    *group = match *group {
                        MISSING => *null,
                        UNKNOWN => *unseen,
                        known => known,
                    };
                }
                groups
            }
            (Self::Rows { converter, index }, keys) => {
                let converter = converter.lock().unwrap_or_else(PoisonError::into_inner);
                let rows = converter.convert_columns(keys)?;
                let unseen = u32::try_from(index.len()).unwrap_or(u32::MAX);
                rows.iter()
                    .map(|row| index.get(row.as_ref()).copied().unwrap_or(unseen))
                    .collect()
            }
            (Self::Values { .. }, _) => return internal_err!("group_index: one key is expected"),
        };
        Ok(groups.into())
    }
}

impl GroupIndex {
    /// The function for `keys` key columns.
    pub fn udf(keys: usize) -> ScalarUDF {
        ScalarUDF::from(Self {
            signature: Signature::any(keys + 1, Volatility::Immutable),
            seen: Mutex::new(None),
        })
    }

    fn table(&self, fits: &Arc<StructArray>) -> Result<Arc<GroupTable>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, table)) = seen.as_ref()
            && Arc::ptr_eq(last, fits)
        {
            return Ok(Arc::clone(table));
        }
        let Some(keys) = group_keys(fits) else {
            return exec_err!("group_index: the fits have no keys");
        };
        let table = Arc::new(GroupTable::of(&keys)?);
        *seen = Some((Arc::clone(fits), Arc::clone(&table)));
        Ok(table)
    }
}

impl PartialEq for GroupIndex {
    fn eq(&self, other: &Self) -> bool {
        self.signature == other.signature
    }
}

impl Eq for GroupIndex {}

impl Hash for GroupIndex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.signature.hash(state);
    }
}

impl ScalarUDFImpl for GroupIndex {
    fn name(&self) -> &str {
        "group_index"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt32)
    }

    /// Keeps common-subexpression elimination away from the arguments: it would make a column of the one
    /// struct of fits, a copy a row.
    fn short_circuits(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((fits, keys)) = args.args.split_last() else {
            return internal_err!("group_index has no arguments");
        };
        let fits = scalar_struct(fits, self.name())?;
        let table = self.table(&fits)?;
        let keys = keys
            .iter()
            .map(|k| k.to_array(args.number_rows))
            .collect::<Result<Vec<_>>>()?;
        let index = table.index(&keys)?;
        Ok(ColumnarValue::Array(Arc::new(index)))
    }
}

/// The aggregate that packs the fits of all groups into one row: from a struct `{keys, f0, f1, ...}` a
/// group to a struct of lists, in the order of the keys.
pub fn collect_groups(of: Fields) -> AggregateUDF {
    AggregateUDF::from(CollectGroups {
        signature: Signature::exact(vec![DataType::Struct(of.clone())], Volatility::Immutable),
        of,
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CollectGroups {
    signature: Signature,
    of: Fields,
}

impl AggregateUDFImpl for CollectGroups {
    fn name(&self) -> &str {
        "collect_groups"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(lists_of(&self.of)))
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(CollectAccumulator {
            of: self.of.clone(),
            rows: Vec::new(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = args.return_field.as_ref().clone();
        Ok(vec![Arc::new(
            field.with_name(format!("{}[state]", args.name)),
        )])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

fn lists_of(fields: &Fields) -> Fields {
    fields
        .iter()
        .map(|f| {
            let item = Arc::new(Field::new_list_field(f.data_type().clone(), true));
            Field::new(f.name(), DataType::List(item), true)
        })
        .collect()
}

#[derive(Debug)]
struct CollectAccumulator {
    of: Fields,
    rows: Vec<StructArray>,
}

impl CollectAccumulator {
    /// All rows in the order of the keys, each column as a list of one row.
    fn lists(&self) -> Result<StructArray> {
        let all = if self.rows.is_empty() {
            StructArray::new_null(self.of.clone(), 0)
        } else {
            let parts: Vec<&dyn Array> = self.rows.iter().map(|r| r as &dyn Array).collect();
            concat(&parts)?.as_struct().clone()
        };
        let keys = all.column(0).as_struct();
        let fields = keys
            .columns()
            .iter()
            .map(|c| SortField::new(c.data_type().clone()))
            .collect();
        let rows = RowConverter::new(fields)?.convert_columns(keys.columns())?;
        let mut order: Vec<u32> = (0..u32::try_from(all.len()).unwrap_or(u32::MAX)).collect();
        order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
        let order = UInt32Array::from(order);
        let fields = lists_of(&self.of);
        let columns = all
            .columns()
            .iter()
            .zip(fields.iter())
            .map(|(column, field)| {
                let DataType::List(item) = field.data_type() else {
                    return internal_err!("collect_groups gives lists");
                };
                let values = take(column, &order, None)?;
                let offsets = OffsetBuffer::from_lengths([values.len()]);
                let list = ListArray::try_new(Arc::clone(item), offsets, values, None)?;
                Ok(Arc::new(list) as ArrayRef)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(StructArray::try_new(fields, columns, None)?)
    }
}

impl Accumulator for CollectAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows.push(values[0].as_struct().clone());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_struct();
        for row in 0..lists.len() {
            let columns = lists
                .columns()
                .iter()
                .map(|c| c.as_list::<i32>().value(row))
                .collect();
            self.rows
                .push(StructArray::try_new(self.of.clone(), columns, None)?);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Struct(Arc::new(self.lists()?)))
    }

    fn size(&self) -> usize {
        let arrays: usize = self.rows.iter().map(|r| r.get_array_memory_size()).sum();
        size_of_val(self) + self.rows.allocated_size() + arrays
    }
}
