//! The distributions of two tables' columns in bins that both share: the kernel of `compare_histograms`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::Result;

use super::shape::{counts, extent};
use super::tables::{Shared, Tables};
use crate::fitted::quantiles::{of_order_key, order_key};
use crate::learn::boosting::Column;
use crate::table::{Host, Rows, TableFunction, TableKernel, Whole};

/// A row a column and bin.
#[derive(Debug, Clone)]
pub struct Histograms {
    columns: Arc<[Shared]>,
    bins: usize,
    categories: usize,
    schema: SchemaRef,
}

impl Histograms {
    /// Of tables of these columns, in so many bins, or the most frequent categories.
    pub fn new(columns: Vec<Shared>, bins: usize, categories: usize) -> Self {
        let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
        let number = |name: &str, nullable| Field::new(name, DataType::Float64, nullable);
        Self {
            columns: columns.into(),
            bins,
            categories,
            schema: Arc::new(Schema::new(vec![
                text("column_name", false),
                text("kind", false),
                number("low", true),
                number("high", true),
                text("category", true),
                number("reference", true),
                number("current", true),
            ])),
        }
    }
}

impl TableFunction for Histograms {
    fn name(&self) -> &'static str {
        "compare_histograms"
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        format!(
            "{}; bins={}, categories={}",
            names.join(", "),
            self.bins,
            self.categories
        )
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn kernel(&self) -> Result<Box<dyn TableKernel>> {
        Ok(Box::new(Kernel {
            function: self.clone(),
            rows: Whole::default(),
        }))
    }
}

struct Kernel {
    function: Histograms,
    rows: Whole,
}

/// A row of the answer.
#[derive(Debug, Default)]
struct Bin {
    column: String,
    kind: &'static str,
    range: Option<[f64; 2]>,
    category: Option<String>,
    /// Rows of both tables.
    counts: [u64; 2],
}

impl TableKernel for Kernel {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows.push(batch);
        Ok(())
    }

    fn size(&self) -> usize {
        self.rows.size()
    }

    fn finish(self: Box<Self>, host: &mut dyn Host) -> Result<Rows> {
        let Self { function, rows } = *self;
        let Some(batch) = rows.in_order(host)? else {
            return Ok(Box::new(std::iter::empty()));
        };
        let held = batch.get_array_memory_size();
        host.resize(2 * held + batch.num_rows() * 8 * (function.columns.len() + 2))?;
        let tables = Tables::read(&function.columns, &batch, false)?;
        drop(batch);
        let mut bins = Vec::new();
        for at in 0..function.columns.len() {
            function.column(&tables, at, &mut bins);
        }
        let rows = [tables.real.rows, tables.synthetic.rows];
        let share = |table: usize| -> ArrayRef {
            let n = rows[table] as f64;
            let shares = bins
                .iter()
                .map(|b| (n > 0.0).then(|| b.counts[table] as f64 / n));
            Arc::new(shares.collect::<Float64Array>())
        };
        let bound = |end: usize| -> ArrayRef {
            Arc::new(
                bins.iter()
                    .map(|b| b.range.map(|r| r[end]))
                    .collect::<Float64Array>(),
            )
        };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(
                bins.iter()
                    .map(|b| Some(b.column.as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(bins.iter().map(|b| Some(b.kind)).collect::<StringArray>()),
            bound(0),
            bound(1),
            Arc::new(
                bins.iter()
                    .map(|b| b.category.as_deref())
                    .collect::<StringArray>(),
            ),
            share(0),
            share(1),
        ];
        let batch = RecordBatch::try_new(function.schema(), arrays)?;
        Ok(Box::new(std::iter::once(Ok(batch))))
    }
}

impl Histograms {
    fn column(&self, tables: &Tables, at: usize, bins: &mut Vec<Bin>) {
        let name = &self.columns[at].name;
        let bin = |kind, counts| Bin {
            column: name.clone(),
            kind,
            counts,
            ..Bin::default()
        };
        let rows = [tables.real.rows as u64, tables.synthetic.rows as u64];
        let mut missing = rows;
        match [&tables.real, &tables.synthetic].map(|t| &t.columns[at]) {
            [Column::Numbers(a), Column::Numbers(b)] => {
                for (range, counts) in self.numbers([a, b]) {
                    for (missing, n) in missing.iter_mut().zip(counts) {
                        *missing -= n;
                    }
                    bins.push(Bin {
                        range: Some(range),
                        ..bin("number", counts)
                    });
                }
            }
            columns => {
                let counted = columns.map(|column| match column {
                    Column::Categories(codes) => counts(codes, tables.many(at)),
                    Column::Numbers(_) => (vec![0; tables.many(at)], 0),
                });
                let of = |code: usize| [counted[0].0[code], counted[1].0[code]];
                let share = |code: usize| {
                    let [a, b] = of(code).map(|n| n as f64);
                    a / rows[0].max(1) as f64 + b / rows[1].max(1) as f64
                };
                let mut order: Vec<usize> =
                    (0..tables.many(at)).filter(|c| of(*c) != [0, 0]).collect();
                order.sort_by(|a, b| share(*b).total_cmp(&share(*a)).then(a.cmp(b)));
                let kept = order.len().min(self.categories);
                for code in &order[..kept] {
                    let values = tables.categories[at].as_ref();
                    bins.push(Bin {
                        category: values.map(|v| v.value(*code).to_string()),
                        ..bin("category", of(*code))
                    });
                }
                let rest = order[kept..].iter().fold([0, 0], |[a, b], code| {
                    let [x, y] = of(*code);
                    [a + x, b + y]
                });
                if rest != [0, 0] {
                    bins.push(bin("other", rest));
                }
                missing = [0, 1].map(|t| rows[t] - counted[t].1);
            }
        }
        if missing != [0, 0] {
            bins.push(bin("missing", missing));
        }
    }

    /// A bin a value where there are few, bins of the same width else; infinities are in the outermost.
    fn numbers(&self, columns: [&Vec<f64>; 2]) -> Vec<([f64; 2], [u64; 2])> {
        let mut distinct: Vec<i64> = Vec::new();
        let finite = || columns.into_iter().flatten().filter(|x| x.is_finite());
        for x in finite() {
            if let Err(at) = distinct.binary_search(&order_key(*x)) {
                distinct.insert(at, order_key(*x));
                if distinct.len() > self.bins {
                    break;
                }
            }
        }
        let mut bins: Vec<([f64; 2], [u64; 2])> = if distinct.len() <= self.bins {
            let value = |key: &i64| ([of_order_key(*key); 2], [0, 0]);
            distinct.iter().map(value).collect()
        } else {
            let all: Vec<f64> = finite().copied().collect();
            let [low, high] = extent(&all).unwrap_or_default();
            let edge = |i: usize| {
                let t = i as f64 / self.bins as f64;
                low * (1.0 - t) + high * t
            };
            (0..self.bins)
                .map(|i| ([edge(i), edge(i + 1)], [0, 0]))
                .collect()
        };
        if bins.is_empty() {
            return bins;
        }
        for (table, column) in columns.into_iter().enumerate() {
            for x in column.iter().filter(|x| !x.is_nan()) {
                let at = bins.partition_point(|([low, _], _)| low <= x);
                bins[at.saturating_sub(1)].1[table] += 1;
            }
        }
        bins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::{run_any_way, sorted};
    use arrow::array::Int64Array;

    #[test]
    fn bins_of_both() {
        let part: Int64Array = [0, 0, 0, 0, 1, 1].into_iter().map(Some).collect();
        let x: Float64Array = [
            Some(0.0),
            Some(1.0),
            None,
            Some(10.0),
            Some(f64::INFINITY),
            Some(4.0),
        ]
        .into_iter()
        .collect();
        let kind: StringArray = [Some("a"), Some("a"), Some("b"), None, Some("c"), Some("a")]
            .into_iter()
            .collect();
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("part", Arc::new(part) as ArrayRef, true),
            ("x", Arc::new(x) as ArrayRef, true),
            ("kind", Arc::new(kind) as ArrayRef, true),
        ])
        .unwrap();
        let column = |name: &str, is_number| Shared {
            name: name.to_string(),
            is_number,
        };
        let columns = vec![column("x", true), column("kind", false)];
        let told = run_any_way(&Histograms::new(columns.clone(), 2, 1), &batch);
        assert_eq!(
            sorted(&told),
            [
                "kind|category|NULL|NULL|a|0.5|0.5",
                "kind|missing|NULL|NULL|NULL|0.25|0.0",
                "kind|other|NULL|NULL|NULL|0.25|0.5",
                "x|missing|NULL|NULL|NULL|0.25|0.0",
                "x|number|0.0|5.0|NULL|0.5|0.5",
                "x|number|5.0|10.0|NULL|0.25|0.5",
            ]
        );
        let told = run_any_way(&Histograms::new(columns, 9, 9), &batch);
        assert!(sorted(&told).contains(&"x|number|10.0|10.0|NULL|0.25|0.5".to_string()));
    }
}
