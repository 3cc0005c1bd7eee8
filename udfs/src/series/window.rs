//! The adapter from functions of ordered rows to DataFusion's window functions.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};

use crate::options::Options;
use crate::spec::Spec;

/// What the names of the window functions begin with: a call is rewritten to one of them once its order is
/// made complete.
pub const PREFIX: &str = "__";

/// A function of rows in an order.
pub trait Ordered: Debug + Send + Sync + 'static {
    /// Its declaration.
    fn spec() -> &'static Spec
    where
        Self: Sized;

    /// Reads the options; a wrong one is an error that says what would be right.
    fn new(options: &Options) -> Result<Self>
    where
        Self: Sized;

    /// The types the data arguments are cast to, or an error that says which types would be right.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>>;

    /// The type of the result, from the coerced types.
    fn output(&self, types: &[DataType]) -> Result<DataType>;

    /// What walks over the rows.
    fn walk(&self, types: &[DataType]) -> Result<Box<dyn Walk>>;
}

/// A walk over the rows of one group after another, in their order, batch by batch. It holds what it needs
/// of the rows before.
pub trait Walk: Debug + Send {
    /// The results of a batch's rows, from its columns of data. `groups` are its ranges of rows of one group,
    /// in their order and without gaps; `goes_on` says that the first group is the one the last batch ended with.
    fn next(
        &mut self,
        values: &[ArrayRef],
        groups: &[Range<usize>],
        goes_on: bool,
    ) -> Result<ArrayRef>;
}

/// A walk row by row, for windows that hold functions of other kinds too.
#[derive(Debug)]
struct RowByRow {
    walk: Box<dyn Walk>,
    begun: bool,
}

impl PartitionEvaluator for RowByRow {
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let row: Vec<ArrayRef> = values.iter().map(|v| v.slice(range.start, 1)).collect();
        let goes_on = std::mem::replace(&mut self.begun, true);
        let result = self
            .walk
            .next(&row, &[Range { start: 0, end: 1 }], goes_on)?;
        ScalarValue::try_from_array(&result, 0)
    }

    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn is_causal(&self) -> bool {
        true
    }
}

/// A function of ordered rows before its options are known.
#[derive(Debug, Clone)]
pub struct OrderedUdf {
    spec: &'static Spec,
    bind: fn(&Options) -> Result<Arc<dyn Ordered>>,
}

impl OrderedUdf {
    /// Erases the type of a function.
    pub fn of<F: Ordered>() -> Self {
        Self {
            spec: F::spec(),
            bind: |options| Ok(Arc::new(F::new(options)?)),
        }
    }

    /// The window function by which SQL finds the name; [`OrderedWindow::bind`] makes it ready.
    pub fn window_udf(&self) -> WindowUDF {
        WindowUDF::from(OrderedWindow {
            name: format!("{PREFIX}{}", self.spec.name),
            function: self.clone(),
            bound: None,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    }
}

/// The window function of a function of ordered rows.
#[derive(Debug, Clone)]
pub struct OrderedWindow {
    name: String,
    function: OrderedUdf,
    bound: Option<(Options, Arc<dyn Ordered>)>,
    signature: Signature,
}

impl OrderedWindow {
    /// The function's declaration.
    pub fn spec(&self) -> &'static Spec {
        self.function.spec
    }

    /// The window function with its options, given in the order of the spec.
    pub fn bind(&self, options: Vec<ScalarValue>) -> Result<WindowUDF> {
        let options = Options::new(self.spec(), options)?;
        let ordered = (self.function.bind)(&options)?;
        Ok(WindowUDF::from(Self {
            bound: Some((options, ordered)),
            ..self.clone()
        }))
    }

    fn ordered(&self) -> Result<&dyn Ordered> {
        match &self.bound {
            Some((_, ordered)) => Ok(ordered.as_ref()),
            None => plan_err!(
                "{}: its options are not constants. Write {}",
                self.spec().name,
                self.spec().syntax()
            ),
        }
    }

    /// What walks over rows whose arguments, options included, have these types; and how many of the arguments
    /// are data.
    pub fn walk(&self, types: &[DataType]) -> Result<(Box<dyn Walk>, usize)> {
        let data = self.data(types.len());
        let ordered = self.ordered()?;
        Ok((ordered.walk(&ordered.coerce(&types[..data])?)?, data))
    }

    fn data(&self, all: usize) -> usize {
        all.saturating_sub(self.spec().params.iter().filter(|p| p.option).count())
    }

    fn types(&self, fields: &[FieldRef]) -> Result<Vec<DataType>> {
        let data = &fields[..self.data(fields.len())];
        let types: Vec<DataType> = data.iter().map(|f| f.data_type().clone()).collect();
        self.ordered()?.coerce(&types)
    }
}

impl PartialEq for OrderedWindow {
    fn eq(&self, other: &Self) -> bool {
        let options = |w: &Self| w.bound.as_ref().map(|(options, _)| options.clone());
        self.name == other.name && options(self) == options(other)
    }
}

impl Eq for OrderedWindow {}

impl Hash for OrderedWindow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.bound.as_ref().map(|(options, _)| options).hash(state);
    }
}

impl WindowUDFImpl for OrderedWindow {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let data = self.data(types.len());
        let mut coerced = self.ordered()?.coerce(&types[..data])?;
        coerced.extend_from_slice(&types[data..]);
        Ok(coerced)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let output = self.ordered()?.output(&self.types(args.input_fields())?)?;
        Ok(Arc::new(Field::new(args.name(), output, true)))
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let walk = self.ordered()?.walk(&self.types(args.input_fields())?)?;
        Ok(Box::new(RowByRow { walk, begun: false }))
    }
}
