//! Row-wise functions: one way of writing them, and the adapter that makes scalar UDFs of them.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::images;
use crate::options::Options;
use crate::spec::Spec;
use crate::sql::Arg;

/// A function of one row.
pub trait RowWise: Debug + Send + Sync + 'static {
    /// Its declaration.
    fn spec(&self) -> &'static Spec;

    /// Whether the same arguments always give the same result.
    fn volatility(&self) -> Volatility {
        Volatility::Immutable
    }

    /// The types the arguments are cast to, or an error that says which types would be right.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    /// The type of the result. `literals` holds those arguments that are constants.
    fn return_type(
        &self,
        types: &[DataType],
        literals: &[Option<&ScalarValue>],
    ) -> Result<DataType>;

    /// An error if an option has a wrong value. Called while planning, as soon as all options are known.
    fn check(&self, _options: &Options) -> Result<()> {
        Ok(())
    }

    /// The result, an array of [`Args::rows`] rows.
    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef>;

    /// Whether the function works on the distinct values of a dictionary-encoded first argument
    /// (it is pure, and all other arguments are constants), so that the dictionary is not decoded.
    fn by_dictionary_values(&self) -> bool {
        false
    }

    /// What the call means in plain SQL, or the field `part` of what it gives; `None` where that has no words for it.
    fn sql(
        &self,
        _args: &[Arg],
        _options: &Options,
        _part: Option<&str>,
    ) -> Result<Option<String>> {
        Ok(None)
    }

    /// What undoes it, for a function of one number.
    fn inverse(&self) -> Option<fn(f64) -> f64> {
        None
    }
}

/// The row-wise function that a scalar UDF was made of, if it was.
pub fn function_of(udf: &ScalarUDF) -> Option<&dyn RowWise> {
    let adapter = udf.inner().downcast_ref::<RowWiseUdf>()?;
    Some(adapter.function.as_ref())
}

/// A call's arguments for one batch.
pub struct Args<'a> {
    spec: &'static Spec,
    values: &'a [ColumnarValue],
    rows: usize,
    return_type: &'a DataType,
}

impl Args<'_> {
    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many arguments were given.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no argument was given.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The leading arguments that are data, as arrays.
    pub fn data(&self) -> Result<Vec<ArrayRef>> {
        let options = self.spec.params.iter().filter(|p| p.option).count();
        (0..self.values.len().saturating_sub(options))
            .map(|i| self.array(i))
            .collect()
    }

    /// The type [`RowWise::return_type`] promised.
    pub fn return_type(&self) -> &DataType {
        self.return_type
    }

    /// An argument as an array of [`Self::rows`] rows; constants are repeated.
    pub fn array(&self, i: usize) -> Result<ArrayRef> {
        match self.values.get(i) {
            Some(value) => value.to_array(self.rows),
            None => exec_err!("{}: argument {} is missing", self.spec.name, i + 1),
        }
    }

    /// An argument as it came: constants stay constants.
    pub fn value(&self, i: usize) -> Result<&ColumnarValue> {
        match self.values.get(i) {
            Some(value) => Ok(value),
            None => exec_err!("{}: argument {} is missing", self.spec.name, i + 1),
        }
    }

    /// The constant arguments after the data; an error if one of them is a column.
    pub fn options(&self) -> Result<Options> {
        let options = self.spec.params.iter().filter(|p| p.option).count();
        let first = self.values.len().saturating_sub(options);
        let values = self.values[first..]
            .iter()
            .zip(self.spec.params.iter().filter(|p| p.option))
            .map(|(value, param)| match value {
                ColumnarValue::Scalar(value) => Ok(value.clone()),
                // a batch of one row may have made an array of a constant
                ColumnarValue::Array(array) if array.len() == 1 => {
                    ScalarValue::try_from_array(array, 0)
                }
                ColumnarValue::Array(_) => exec_err!(
                    "{}: {} must be a constant, not a column",
                    self.spec.name,
                    param.name
                ),
            })
            .collect::<Result<Vec<_>>>()?;
        Options::new(self.spec, values)
    }
}

/// Makes a scalar UDF of a row-wise function.
pub fn row_wise(function: impl RowWise) -> ScalarUDF {
    let signature = Signature::user_defined(function.volatility());
    ScalarUDF::from(RowWiseUdf {
        function: Arc::new(function),
        signature,
    })
}

#[derive(Debug)]
struct RowWiseUdf {
    function: Arc<dyn RowWise>,
    signature: Signature,
}

impl PartialEq for RowWiseUdf {
    fn eq(&self, other: &Self) -> bool {
        self.function.spec().name == other.function.spec().name
    }
}

impl Eq for RowWiseUdf {}

impl Hash for RowWiseUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.spec().name.hash(state);
    }
}

impl ScalarUDFImpl for RowWiseUdf {
    fn name(&self) -> &str {
        self.function.spec().name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let spec = self.function.spec();
        let required = spec.params.iter().filter(|p| p.default.is_none()).count();
        let too_many = !spec.variadic && types.len() > spec.params.len();
        if types.len() < required || too_many {
            return plan_err!(
                "{}: {} arguments given. Write {}",
                spec.name,
                types.len(),
                spec.syntax()
            );
        }
        let mut types = types.to_vec();
        // dictionaries stay as they are where the function works on their values
        let first = match types.first() {
            Some(DataType::Dictionary(key, value)) => Some((key.clone(), value.as_ref().clone())),
            _ => None,
        };
        if let Some((_, value)) = &first {
            types[0] = value.clone();
        }
        let mut coerced = self.function.coerce(&types)?;
        if let Some((key, _)) = first
            && self.function.by_dictionary_values()
        {
            coerced[0] = DataType::Dictionary(key, Box::new(coerced[0].clone()));
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        plan_err!(
            "{} of {types:?}: the type depends on its arguments",
            self.name()
        )
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let mut types: Vec<_> = args
            .arg_fields
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        if let Some(DataType::Dictionary(_, value)) = types.first() {
            types[0] = value.as_ref().clone();
        }
        let data_type = self.function.return_type(&types, args.scalar_arguments)?;
        let spec = self.function.spec();
        let options = spec.params.iter().filter(|p| p.option).count();
        let first = types.len().saturating_sub(options);
        // a constant that is not yet folded is checked when it is
        let constants: Option<Vec<_>> = args.scalar_arguments[first..]
            .iter()
            .map(|value| value.cloned())
            .collect();
        if let Some(constants) = constants {
            self.function.check(&Options::new(spec, constants)?)?;
        }
        let field = if images::value::is_image(&data_type) {
            images::value::field(self.name())
        } else {
            Field::new(self.name(), data_type, true)
        };
        Ok(Arc::new(field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let spec = self.function.spec();
        let return_type = args.return_field.data_type();
        let call = |values: &[ColumnarValue], rows: usize| {
            self.function.invoke(&Args {
                spec,
                values,
                rows,
                return_type,
            })
        };
        if let Some(ColumnarValue::Array(first)) = args.args.first()
            && let Some(dictionary) = first.as_any_dictionary_opt()
        {
            let mut values = args.args.clone();
            let constants = values[1..]
                .iter()
                .all(|v| matches!(v, ColumnarValue::Scalar(_)));
            if constants && self.function.by_dictionary_values() {
                let distinct = Arc::clone(dictionary.values());
                let rows = distinct.len();
                values[0] = ColumnarValue::Array(distinct);
                let done = call(&values, rows)?;
                let taken = arrow::compute::take(&done, dictionary.keys(), None)?;
                return Ok(ColumnarValue::Array(taken));
            }
            let decoded = arrow::compute::cast(first, dictionary.values().data_type())?;
            values[0] = ColumnarValue::Array(decoded);
            return Ok(ColumnarValue::Array(call(&values, args.number_rows)?));
        }
        let constant = args
            .args
            .iter()
            .all(|v| matches!(v, ColumnarValue::Scalar(_)));
        if constant && self.signature.volatility != Volatility::Volatile {
            let array = call(&args.args, 1)?;
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(ColumnarValue::Array(call(&args.args, args.number_rows)?))
    }
}
