//! Filters over a model's rows as conditions on its columns.

use arrow::array::ArrayRef;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use seedbed_udfs::synthesize::{Condition, Test};

/// The conditions that a filter is; nothing where it is more than tests of one column against constants.
pub fn of_filter(filter: &Expr, schema: &Schema) -> Option<Vec<Condition>> {
    let test = |expr: &Expr, test: &dyn Fn(&DataType) -> Option<Test>| {
        let (column, compared_as) = column(expr, schema)?;
        let compared = compared_as
            .as_ref()
            .unwrap_or(schema.field(column).data_type());
        Some(vec![Condition {
            column,
            test: test(compared)?,
            compared_as,
        }])
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => {
            let mut both = of_filter(left, schema)?;
            both.extend(of_filter(right, schema)?);
            Some(both)
        }
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => either(of_filter(left, schema)?, of_filter(right, schema)?),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
            (value, Expr::Literal(constant, _)) => {
                test(value, &|data_type| comparison(*op, constant, data_type))
            }
            (Expr::Literal(constant, _), value) => {
                let op = op.swap()?;
                test(value, &|data_type| comparison(op, constant, data_type))
            }
            _ => None,
        },
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => test(expr, &|data_type| among(list, *negated, data_type)),
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (&**low, &**high) else {
                return None;
            };
            let mut both = test(expr, &|t| comparison(Operator::GtEq, low, t))?;
            both.extend(test(expr, &|t| comparison(Operator::LtEq, high, t))?);
            Some(both)
        }
        Expr::IsNull(expr) => test(expr, &|_| Some(Test::Null)),
        Expr::IsNotNull(expr) => test(expr, &|_| Some(Test::NotNull)),
        Expr::Column(_) => test(filter, &|t| comparison(Operator::Eq, &true.into(), t)),
        Expr::Not(expr) if matches!(**expr, Expr::Column(_)) => {
            test(expr, &|t| comparison(Operator::Eq, &false.into(), t))
        }
        _ => None,
    }
}

/// Equality with one of two lists: short lists of IN reach us as comparisons joined by OR.
fn either(left: Vec<Condition>, right: Vec<Condition>) -> Option<Vec<Condition>> {
    let ([left], [right]) = (&left[..], &right[..]) else {
        return None;
    };
    let (Test::In(a), Test::In(b)) = (&left.test, &right.test) else {
        return None;
    };
    if (left.column, &left.compared_as) != (right.column, &right.compared_as) {
        return None;
    }
    Some(vec![Condition {
        test: Test::In(concat(&[a, b]).ok()?),
        ..left.clone()
    }])
}

/// The column that an expression is, and the type that it is compared in where that is not its own.
fn column(expr: &Expr, schema: &Schema) -> Option<(usize, Option<DataType>)> {
    match expr {
        Expr::Column(column) => {
            let index = schema.index_of(&column.name).ok()?;
            match schema.field(index).data_type() {
                DataType::Dictionary(_, values) => Some((index, Some(values.as_ref().clone()))),
                _ => Some((index, None)),
            }
        }
        Expr::Cast(cast) => {
            let (index, _) = column(&cast.expr, schema)?;
            let (from, to) = (schema.field(index).data_type(), cast.field.data_type());
            // Only casts that keep the order.
            let numbers = from.is_numeric() && to.is_numeric() && !to.is_integer();
            let texts = [from, to].iter().all(|t| is_text(t));
            (numbers || texts).then(|| (index, Some(to.clone())))
        }
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn comparison(op: Operator, constant: &ScalarValue, data_type: &DataType) -> Option<Test> {
    let item = array(constant, data_type)?;
    Some(match op {
        Operator::Eq => Test::In(item),
        Operator::NotEq => Test::NotIn(item),
        Operator::Gt => Test::AtLeast(item, false),
        Operator::GtEq => Test::AtLeast(item, true),
        Operator::Lt => Test::AtMost(item, false),
        Operator::LtEq => Test::AtMost(item, true),
        _ => return None,
    })
}

fn among(list: &[Expr], negated: bool, data_type: &DataType) -> Option<Test> {
    let items: Vec<ScalarValue> = list
        .iter()
        .map(|item| match item {
            Expr::Literal(constant, _) if constant.data_type() == *data_type => {
                Some(constant.clone())
            }
            _ => None,
        })
        .collect::<Option<_>>()?;
    // No value is other than NULL, and none is NULL: such lists are left alone.
    if items.is_empty() || items.iter().any(ScalarValue::is_null) {
        return None;
    }
    let items = ScalarValue::iter_to_array(items).ok()?;
    Some(match negated {
        true => Test::NotIn(items),
        false => Test::In(items),
    })
}

/// A constant of the type itself: any other comparison would be of cast columns.
fn array(constant: &ScalarValue, data_type: &DataType) -> Option<ArrayRef> {
    match constant.is_null() || constant.data_type() != *data_type {
        true => None,
        false => constant.to_array().ok(),
    }
}
