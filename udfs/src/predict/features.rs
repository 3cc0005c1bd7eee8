//! A table's columns as the features of a model: what is learnt of each, and how other rows are seen by it.
//!
//! Numbers, dates and times become standardised numbers; where a column sometimes has none an indicator says so, and
//! the number is the mean. Of texts and booleans each of the most frequent values is a feature that is 1 or 0, the
//! others together are one more, and so is NULL if there are any. A constant is no feature. A value that was not
//! there when the model learnt counts as one of the others if there are any, and is none of the features if not.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::{Result, exec_err};

use crate::arrays::is_text;
use crate::fitted::State;
use crate::fitted::counts::{Counts, Lookup, MISSING, UNKNOWN};
use crate::fitted::moments::Moments;
use crate::fitted::numbers::Numbers;
use crate::learn::boosting::Column;
use crate::learn::logistic::{Design, NO_FEATURE};
use crate::synthesize::ModelFile;

/// Categories of a column that are features of their own; the others together are one more.
pub const MOST_CATEGORIES: usize = 100;

/// Deviations from the mean beyond which a number is as far as can be: products of farther ones are no numbers.
const FARTHEST: f64 = 1e15;

/// How a column is taken as a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feature {
    /// Cast to DOUBLE by way of another type, if there is none directly.
    Number(Option<DataType>),
    /// Cast to a type that can be counted.
    Category(DataType),
}

impl Feature {
    /// How a column of a type is taken; none of lists, structs and bytes.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Dictionary(_, values) if is_text(values) => {
                Some(Self::Category(data_type.clone()))
            }
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Boolean => Some(Self::Category(DataType::Boolean)),
            DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(_, _)
            | DataType::Time64(_)
            | DataType::Duration(_) => Some(Self::Number(Some(DataType::Int64))),
            DataType::Time32(_) => Some(Self::Number(Some(DataType::Int32))),
            other if other.is_numeric() || other.is_null() => Some(Self::Number(None)),
            other if is_text(other) => Some(Self::Category(DataType::Utf8View)),
            _ => None,
        }
    }

    fn numbers(array: &ArrayRef, by: Option<&DataType>) -> Result<Vec<f64>> {
        let array = match by {
            Some(by) => cast(array, by)?,
            None => array.clone(),
        };
        let floats = cast(&array, &DataType::Float64)?;
        let floats = floats.as_primitive::<Float64Type>();
        // there is one zero
        let value = |x: Option<f64>| x.unwrap_or(f64::NAN) + 0.0;
        Ok(floats.iter().map(value).collect())
    }
}

/// What was learnt of the columns.
#[derive(Debug, Clone)]
pub struct Features {
    coders: Vec<Coder>,
}

/// What was learnt of a column.
#[derive(Debug, Clone)]
enum Coder {
    Number {
        by: Option<DataType>,
        /// Whether it was missing in some rows; an infinity is missing.
        indicator: bool,
        /// The mean and the deviation; none of a constant.
        scale: Option<[f64; 2]>,
    },
    Category {
        by: DataType,
        /// Those that are features, from the most frequent on.
        values: ArrayRef,
        lookup: Lookup,
        /// Whether there were more.
        others: bool,
        /// Whether some rows had none.
        missing: bool,
    },
}

impl Features {
    /// Learns from columns; at most so many categories of each are told apart.
    pub fn fit<'a>(
        columns: impl IntoIterator<Item = (&'a ArrayRef, &'a Feature)>,
        most_categories: usize,
    ) -> Result<Self> {
        let fit = |(array, feature): (&ArrayRef, &Feature)| match feature {
            Feature::Number(by) => Coder::of_numbers(array, by.as_ref()),
            Feature::Category(by) => Coder::of_categories(array, by, most_categories),
        };
        let coders = columns.into_iter().map(fit).collect::<Result<_>>()?;
        Ok(Self { coders })
    }

    /// Rows of the same columns as a linear model and a network see them.
    pub fn design(&self, columns: &[ArrayRef]) -> Result<Design> {
        let rows = columns.first().map_or(0, |column| column.len());
        let mut numbers: Vec<Vec<f64>> = Vec::new();
        let mut codes: Vec<(Vec<u32>, u32)> = Vec::new();
        for (coder, array) in self.coders.iter().zip(columns) {
            match coder {
                Coder::Number {
                    by,
                    indicator,
                    scale,
                } => {
                    let mut values = Feature::numbers(array, by.as_ref())?;
                    if *indicator {
                        let missing = values.iter().map(|x| f64::from(u8::from(!x.is_finite())));
                        numbers.push(missing.collect());
                    }
                    if let Some([mean, scale]) = scale {
                        for x in &mut values {
                            *x = if x.is_finite() {
                                ((*x - mean) / scale).clamp(-FARTHEST, FARTHEST)
                            } else {
                                0.0
                            };
                        }
                        numbers.push(values);
                    }
                }
                Coder::Category { .. } => {
                    let many = coder.width();
                    if many > 0 {
                        codes.push((coder.codes(array)?, many as u32));
                    }
                }
            }
        }
        let (width, categorical) = (numbers.len(), codes.len());
        let mut design = Design {
            rows,
            numbers: vec![0.0; rows * width],
            width,
            codes: vec![NO_FEATURE; rows * categorical],
            categorical,
            features: width,
        };
        for (at, column) in numbers.into_iter().enumerate() {
            for (row, x) in column.into_iter().enumerate() {
                design.numbers[row * width + at] = x;
            }
        }
        let mut first = 0;
        for (at, (column, many)) in codes.into_iter().enumerate() {
            for (row, code) in column.into_iter().enumerate() {
                if code != MISSING {
                    design.codes[row * categorical + at] = first + code;
                }
            }
            first += many;
        }
        design.features += first as usize;
        Ok(design)
    }

    /// How many features a row has.
    pub fn width(&self) -> usize {
        self.coders.iter().map(Coder::width).sum()
    }

    /// Rows of the same columns as trees see them: numbers as they are.
    pub fn columns(&self, columns: &[ArrayRef]) -> Result<Vec<Column>> {
        let see = |(coder, array): (&Coder, &ArrayRef)| match coder {
            Coder::Number { by, .. } => Ok(Column::Numbers(Feature::numbers(array, by.as_ref())?)),
            Coder::Category { .. } => Ok(Column::Categories(coder.codes(array)?)),
        };
        self.coders.iter().zip(columns).map(see).collect()
    }

    /// What each column, of these names, is to the model: items and values.
    pub fn describe(&self, names: &[String]) -> Result<Vec<(String, String)>> {
        let describe =
            |(name, coder): (&String, &Coder)| Ok((format!("column {name}"), coder.describe()?));
        names.iter().zip(&self.coders).map(describe).collect()
    }

    /// Writes what was learnt into a model's file.
    pub fn save(&self, file: &mut ModelFile) -> Result<()> {
        let flag = |flag: bool| f64::from(u8::from(flag));
        for (i, coder) in self.coders.iter().enumerate() {
            match coder {
                Coder::Number {
                    indicator, scale, ..
                } => {
                    let scale = scale.map(Vec::from).unwrap_or_default();
                    file.set_numbers(format!("feature.{i}.scale"), &scale)?;
                    file.set_numbers(format!("feature.{i}.flags"), &[flag(*indicator)])?;
                }
                Coder::Category {
                    values,
                    others,
                    missing,
                    ..
                } => {
                    file.set_column(format!("feature.{i}.values"), values)?;
                    let flags = [flag(*others), flag(*missing)];
                    file.set_numbers(format!("feature.{i}.flags"), &flags)?;
                }
            }
        }
        Ok(())
    }

    /// Reads back what [`Self::save`] wrote, of columns that are taken like this.
    pub fn load(features: &[Feature], file: &ModelFile) -> Result<Self> {
        let load = |(i, feature): (usize, &Feature)| {
            let flags = file.numbers(&format!("feature.{i}.flags"))?;
            match (feature, &flags[..]) {
                (Feature::Number(by), [indicator]) => {
                    let scale = file.numbers(&format!("feature.{i}.scale"))?;
                    let scale = match scale[..] {
                        [] => None,
                        [mean, scale] if mean.is_finite() && scale > 0.0 => Some([mean, scale]),
                        _ => return exec_err!("the model file is damaged: feature.{i}.scale"),
                    };
                    Ok(Coder::Number {
                        by: by.clone(),
                        indicator: *indicator > 0.0,
                        scale,
                    })
                }
                (Feature::Category(by), [others, missing]) => {
                    let values = file.column(&format!("feature.{i}.values"))?;
                    Coder::category(by, values, *others > 0.0, *missing > 0.0)
                }
                _ => exec_err!("the model file is damaged: feature.{i}.flags"),
            }
        };
        let coders = features
            .iter()
            .enumerate()
            .map(load)
            .collect::<Result<_>>()?;
        Ok(Self { coders })
    }
}

impl Coder {
    fn of_numbers(array: &ArrayRef, by: Option<&DataType>) -> Result<Self> {
        let values = Feature::numbers(array, by)?;
        let mut moments = Moments::default();
        moments.add(&values);
        let missing = values.iter().filter(|x| !x.is_finite()).count();
        Ok(Self::Number {
            by: by.cloned(),
            indicator: missing > 0 && missing < values.len(),
            scale: moments.mean_and_scale(0).filter(|_| !moments.is_constant()),
        })
    }

    fn of_categories(array: &ArrayRef, by: &DataType, most: usize) -> Result<Self> {
        let array = cast(array, by)?;
        let mut counts = Counts::new(by)?;
        counts.update(std::slice::from_ref(&array))?;
        let (values, counts) = counts.sorted()?;
        let mut order: Vec<u32> = (0..counts.len() as u32).collect();
        order.sort_by_key(|i| std::cmp::Reverse(counts[*i as usize]));
        let others = order.len() > most;
        order.truncate(most);
        let values = take(&values, &arrow::array::UInt32Array::from(order), None)?;
        let missing = array.logical_null_count() > 0;
        Self::category(by, values, others, missing)
    }

    fn category(by: &DataType, values: ArrayRef, others: bool, missing: bool) -> Result<Self> {
        Ok(Self::Category {
            by: by.clone(),
            lookup: Lookup::of(&values, |place| place as u32)?,
            values,
            others,
            missing,
        })
    }

    /// How many features it is.
    fn width(&self) -> usize {
        match self {
            Self::Number {
                indicator, scale, ..
            } => usize::from(*indicator) + usize::from(scale.is_some()),
            Self::Category {
                values,
                others,
                missing,
                ..
            } => match values.len() + usize::from(*others) + usize::from(*missing) {
                1 => 0,
                many => many,
            },
        }
    }

    /// The place of each row's category; [`MISSING`] of a row that has no feature.
    fn codes(&self, array: &ArrayRef) -> Result<Vec<u32>> {
        let Self::Category {
            by,
            values,
            lookup,
            others,
            missing,
        } = self
        else {
            return Ok(vec![MISSING; array.len()]);
        };
        let known = values.len() as u32;
        let other = if *others { known } else { MISSING };
        let none = match missing {
            true => known + u32::from(*others),
            false => MISSING,
        };
        let mut codes = lookup.codes(&cast(array, by)?)?;
        for code in &mut codes {
            *code = match *code {
                UNKNOWN => other,
                MISSING => none,
                known => known,
            };
        }
        Ok(codes)
    }

    fn describe(&self) -> Result<String> {
        let constant = "constant, so no feature".to_string();
        Ok(match self {
            Self::Number {
                indicator, scale, ..
            } => {
                let indicator = match indicator {
                    true => "an indicator where it is missing",
                    false => "",
                };
                match (scale, indicator) {
                    (None, "") => constant,
                    (None, indicator) => indicator.to_string(),
                    (Some([mean, deviation]), indicator) => {
                        let and = if indicator.is_empty() { "" } else { ", and " };
                        format!(
                            "a number of mean {mean:.4} and deviation {deviation:.4}{and}{indicator}"
                        )
                    }
                }
            }
            Self::Category { .. } if self.width() == 0 => constant,
            Self::Category {
                values,
                others,
                missing,
                ..
            } => {
                let shown = cast(&values.slice(0, values.len().min(5)), &DataType::Utf8)?;
                let mut shown: Vec<&str> = shown.as_string::<i32>().iter().flatten().collect();
                if values.len() > shown.len() {
                    shown.push("...");
                }
                let others = if *others { ", others together" } else { "" };
                let missing = if *missing { ", NULL" } else { "" };
                let (count, shown) = (values.len(), shown.join(", "));
                format!("{count} categories ({shown}){others}{missing}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Date32Array, Float64Array, NullArray, StringArray};

    use super::*;

    fn learnt(columns: &[ArrayRef], most: usize) -> Features {
        let features: Vec<Feature> = columns
            .iter()
            .map(|c| Feature::of(c.data_type()).unwrap())
            .collect();
        let fitted = Features::fit(columns.iter().zip(&features), most).unwrap();
        let mut file = ModelFile::default();
        fitted.save(&mut file).unwrap();
        Features::load(&features, &file).unwrap()
    }

    fn rows(design: &Design) -> Vec<(Vec<f64>, Vec<u32>)> {
        let row = |i: usize| {
            let numbers = &design.numbers[i * design.width..][..design.width];
            let codes = &design.codes[i * design.categorical..][..design.categorical];
            (numbers.to_vec(), codes.to_vec())
        };
        (0..design.rows).map(row).collect()
    }

    #[test]
    fn numbers_are_standardised_with_the_mean_where_they_are_missing() {
        let x: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(1.0),
            None,
            Some(3.0),
            Some(f64::INFINITY),
        ]));
        let day: ArrayRef = Arc::new(Date32Array::from(vec![10, 20, 10, 20]));
        let fitted = learnt(&[x.clone(), day.clone()], 10);
        assert_eq!(fitted.width(), 3);
        let seen = rows(&fitted.design(&[x, day]).unwrap());
        assert_eq!(seen[0].0, [0.0, -1.0, -1.0]);
        assert_eq!(seen[1].0, [1.0, 0.0, 1.0]);
        assert_eq!(seen[3].0, [1.0, 0.0, 1.0]);
    }

    #[test]
    fn categories_are_features_and_what_is_new_is_none() {
        let color: ArrayRef = Arc::new(StringArray::from(vec!["red", "red", "blue", "red"]));
        let owner: ArrayRef = Arc::new(BooleanArray::from(vec![
            Some(true),
            None,
            Some(false),
            Some(true),
        ]));
        let fitted = learnt(&[color.clone(), owner.clone()], 10);
        let seen = rows(&fitted.design(&[color, owner]).unwrap());
        let codes: Vec<&[u32]> = seen.iter().map(|(_, codes)| &codes[..]).collect();
        assert_eq!(codes, [[0, 2], [0, 4], [1, 3], [0, 2]]);
        let color: ArrayRef = Arc::new(StringArray::from(vec![Some("green"), None]));
        let owner: ArrayRef = Arc::new(BooleanArray::from(vec![false, true]));
        let seen = rows(&fitted.design(&[color, owner]).unwrap());
        assert_eq!(seen[0].1, [NO_FEATURE, 3]);
        assert_eq!(seen[1].1, [NO_FEATURE, 2]);
        // where there were more than are told apart, what is new is one of the others
        let many: ArrayRef = Arc::new(StringArray::from(vec!["a", "a", "b", "c"]));
        let fitted = learnt(std::slice::from_ref(&many), 1);
        let new: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "z"]));
        let seen = rows(&fitted.design(&[new]).unwrap());
        let codes: Vec<u32> = seen.iter().map(|(_, codes)| codes[0]).collect();
        assert_eq!(codes, [0, 1, 1]);
    }

    #[test]
    fn constants_are_no_features() {
        let columns: [ArrayRef; 4] = [
            Arc::new(Float64Array::from(vec![0.1; 3])),
            Arc::new(Float64Array::from(vec![f64::NAN; 3])),
            Arc::new(StringArray::from(vec!["x"; 3])),
            Arc::new(NullArray::new(3)),
        ];
        let fitted = learnt(&columns, 10);
        assert_eq!(fitted.width(), 0);
        let design = fitted.design(&columns).unwrap();
        assert_eq!((design.rows, design.features), (3, 0));
        let names = ["a", "b", "c", "d"].map(str::to_string);
        for (_, what) in fitted.describe(&names).unwrap() {
            assert_eq!(what, "constant, so no feature");
        }
    }
}
