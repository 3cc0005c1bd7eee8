//! The least or the greatest value of a column of any ordered type.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, internal_err};

use super::State;
use super::counts::{BatchKeys, for_each_valid, listed_type, of_small_keys, of_wide_key};
use super::numbers::Reader;
use super::quantiles::order_key;

/// The least or the greatest value seen; floats that are not finite are passed over.
#[derive(Debug, Clone)]
pub struct Extreme {
    data_type: DataType,
    greatest: bool,
    best: Option<Value>,
}

/// A value in its order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Small(i64),
    Wide(i128),
    Text(Box<str>),
}

impl Extreme {
    /// Nothing yet; the type is one that [`super::counts::category_type`] gave.
    pub fn new(t: &DataType, greatest: bool) -> Self {
        Self {
            data_type: listed_type(t),
            greatest,
            best: None,
        }
    }

    /// The value, NULL if nothing was seen; its type is [`listed_type`].
    pub fn value(&self) -> Result<ScalarValue> {
        match &self.best {
            None => ScalarValue::try_new_null(&self.data_type),
            Some(Value::Small(key)) => {
                ScalarValue::try_from_array(&of_small_keys(&self.data_type, &[*key])?, 0)
            }
            Some(Value::Wide(value)) => match self.data_type {
                DataType::Decimal128(p, s) => Ok(ScalarValue::Decimal128(Some(*value), p, s)),
                ref other => internal_err!("a decimal is no {other}"),
            },
            Some(Value::Text(text)) => Ok(ScalarValue::Utf8(Some(text.to_string()))),
        }
    }

    fn take(&mut self, value: Value) {
        let better = match &self.best {
            None => true,
            Some(best) if self.greatest => value > *best,
            Some(best) => value < *best,
        };
        if better {
            self.best = Some(value);
        }
    }

    fn best_of<T: Ord>(&self, values: impl Iterator<Item = T>) -> Option<T> {
        if self.greatest {
            values.max()
        } else {
            values.min()
        }
    }
}

impl State for Extreme {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        let keys = BatchKeys::of(&values[0])?;
        let mut valid = Vec::with_capacity(values[0].len());
        for_each_valid(values[0].len(), keys.nulls(), |i| valid.push(i));
        let best = match &keys {
            BatchKeys::Small(keys, _) => {
                let range = if self.data_type.is_floating() {
                    order_key(f64::MIN)..=order_key(f64::MAX)
                } else {
                    i64::MIN..=i64::MAX
                };
                let keys = valid.iter().map(|i| keys[*i]).filter(|k| range.contains(k));
                self.best_of(keys).map(Value::Small)
            }
            BatchKeys::Wide(keys, _) => self
                .best_of(valid.iter().map(|i| of_wide_key(keys[*i])))
                .map(Value::Wide),
            BatchKeys::Text(texts) => self
                .best_of(valid.iter().map(|i| texts.value(*i)))
                .map(|text| Value::Text(text.into())),
        };
        if let Some(best) = best {
            self.take(best);
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if let Some(best) = other.best {
            self.take(best);
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        match &self.best {
            None => out.push(0),
            Some(Value::Small(key)) => {
                out.push(1);
                out.extend(key.to_le_bytes());
            }
            Some(Value::Wide(value)) => {
                out.push(2);
                out.extend(value.to_le_bytes());
            }
            Some(Value::Text(text)) => {
                out.push(3);
                out.extend(text.as_bytes());
            }
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        let mut input = Reader(bytes);
        let value = match input.u8() {
            Some(0) => {
                self.best = None;
                return Ok(());
            }
            Some(1) => input.u64().map(|key| Value::Small(key.cast_signed())),
            Some(2) => input.u128().map(|value| Value::Wide(value.cast_signed())),
            Some(3) => std::str::from_utf8(input.0)
                .ok()
                .map(|text| Value::Text(text.into())),
            _ => None,
        };
        if value.is_none() {
            return internal_err!("an extreme of {} bytes cannot be read", bytes.len());
        }
        self.best = value;
        Ok(())
    }

    fn size(&self) -> usize {
        let text = match &self.best {
            Some(Value::Text(text)) => text.len(),
            _ => 0,
        };
        size_of::<Self>() + text
    }
}
