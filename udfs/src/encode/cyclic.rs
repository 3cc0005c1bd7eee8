//! `cyclic(x, period)`.

use std::f64::consts::FRAC_PI_2;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion_common::{Result, ScalarValue};

use crate::arrays::float_type;
use crate::options::Options;
use crate::row_wise::{Args, RowWise};
use crate::spec::{Example, Kind, Param, Spec, Stage};
use crate::sql::{Arg, number};

const SPEC: Spec = Spec {
    name: "cyclic",
    stage: Stage::Encode,
    kind: Kind::RowWise,
    summary: "Sine and cosine of a value that goes round: hour, weekday, month, angle. Two columns in a SELECT list.",
    params: &[
        Param::data("x", "a number"),
        Param::required(
            "period",
            "the number at which x is where it began: 24, 7, 12, 360",
        ),
    ],
    variadic: false,
    examples: &[Example {
        sql: "SELECT cyclic(month, 12) AS c FROM (VALUES (3), (12), (NULL)) AS t(month)",
        result: "1.0,0.0\n0.0,1.0\n,",
    }],
    source: "sin and cos of 2 pi x / period",
    also: &["feature_engine.creation.CyclicalFeatures", "numpy.sin"],
};

#[derive(Debug)]
pub struct Cyclic;

fn period(options: &Options) -> Result<f64> {
    match options.float("period")? {
        period if period > 0.0 => Ok(period),
        _ => options.wrong("period", "a number above 0"),
    }
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("sin", DataType::Float64, true),
        Field::new("cos", DataType::Float64, true),
    ])
}

impl RowWise for Cyclic {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = types.to_vec();
        float_type(&SPEC, "x", &types[0])?;
        coerced[0] = DataType::Float64;
        Ok(coerced)
    }

    fn return_type(&self, _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn check(&self, options: &Options) -> Result<()> {
        period(options).map(|_| ())
    }

    fn invoke(&self, args: &Args<'_>) -> Result<ArrayRef> {
        let period = period(&args.options()?)?;
        let x = args.array(0)?;
        let x = x.as_primitive::<Float64Type>();
        let (mut sin, mut cos) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len()));
        for x in x.values() {
            let (s, c) = sin_cos(*x, period);
            sin.push(s);
            cos.push(c);
        }
        let nulls = x.nulls().cloned();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::new(sin.into(), nulls.clone())),
            Arc::new(Float64Array::new(cos.into(), nulls.clone())),
        ];
        Ok(Arc::new(StructArray::try_new_with_length(
            fields(),
            columns,
            nulls,
            x.len(),
        )?))
    }

    fn by_dictionary_values(&self) -> bool {
        true
    }

    fn sql(&self, args: &[Arg], options: &Options, part: Option<&str>) -> Result<Option<String>> {
        let (x, period) = (&args[0].sql, number(period(options)?));
        let angle = format!("{x} / {period} * {}", number(std::f64::consts::TAU));
        Ok(match part {
            Some("sin") => Some(format!("SIN({angle})")),
            Some("cos") => Some(format!("COS({angle})")),
            _ => None,
        })
    }
}

/// Turns by quarters first: the quarters are exact (June's sine is 0, not 1e-16), and large x lose nothing.
fn sin_cos(x: f64, period: f64) -> (f64, f64) {
    let turns = x.rem_euclid(period) / period * 4.0;
    let quarter = turns.round();
    let (sin, cos) = ((turns - quarter) * FRAC_PI_2).sin_cos();
    let (sin, cos) = match quarter as i64 % 4 {
        1 => (cos, -sin),
        2 => (-sin, -cos),
        3 => (-cos, sin),
        _ => (sin, cos),
    };
    // no -0
    (sin + 0.0, cos + 0.0)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use arrow::array::Int32Array;
    use datafusion_expr::ColumnarValue;

    use super::*;
    use crate::testing::{call, column, constant, empty, error, null, texts};

    fn cyclic(x: ColumnarValue, period: f64) -> Result<(Float64Array, Float64Array)> {
        let result = call(Cyclic, &[x, constant(period)])?;
        let result = result.as_struct();
        Ok((
            result.column(0).as_primitive().clone(),
            result.column(1).as_primitive().clone(),
        ))
    }

    #[test]
    fn quarters_are_exact() -> Result<()> {
        let x = Int32Array::from(vec![0, 3, 6, 9, 12, -3, 1_200_000_003]);
        let (sin, cos) = cyclic(column(x), 12.0)?;
        assert_eq!(sin.values(), &[0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 1.0]);
        assert_eq!(cos.values(), &[1.0, 0.0, -1.0, 0.0, 1.0, 0.0, 0.0]);
        assert!(
            sin.values()
                .iter()
                .chain(cos.values())
                .all(|v| v.to_bits() != (-0.0f64).to_bits())
        );
        Ok(())
    }

    #[test]
    fn agrees_with_sin_and_cos() {
        for i in -500..500 {
            let x = f64::from(i) * 0.37;
            let (sin, cos) = sin_cos(x, 24.0);
            let angle = TAU * x / 24.0;
            assert!((sin - angle.sin()).abs() < 1e-13 && (cos - angle.cos()).abs() < 1e-13);
        }
    }

    #[test]
    fn missing_and_infinite() -> Result<()> {
        let x = Float64Array::from(vec![None, Some(f64::NAN), Some(f64::INFINITY)]);
        let (sin, cos) = cyclic(column(x), 7.0)?;
        assert!(sin.is_null(0) && cos.is_null(0));
        assert!(sin.value(1).is_nan() && cos.value(2).is_nan());
        assert!(cyclic(empty(&DataType::Int8), 7.0)?.0.is_empty());
        assert!(cyclic(null(), 7.0)?.0.is_null(0));
        Ok(())
    }

    #[test]
    fn wrong_arguments() {
        let message = error(call(Cyclic, &[constant(1), constant(0)]));
        assert!(
            message.contains("period must be a number above 0, not 0"),
            "{message}"
        );
        let message = error(call(Cyclic, &[texts([Some("a")]), constant(1)]));
        assert!(message.contains("x must be a number"), "{message}");
    }
}
