//! BigQuery ML's preprocessing functions: calls of `ML.NAME(...)` are written as calls of ours, with the options
//! that give what BigQuery gives.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Array, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Query, Select, SelectItem, TableAliasColumnDef, TableFactor, Value,
    Visit, VisitMut, Visitor, VisitorMut,
};
use seedbed_udfs::options::nearest;

use super::relation::parse_expr;

/// A function of BigQuery ML.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// Without `ML.`.
    pub name: &'static str,
    /// The arguments that must be given, and those that may be.
    pub arguments: (&'static [&'static str], &'static [&'static str]),
    /// Whether it is called with `OVER ()`.
    pub fitted: bool,
    /// One sentence.
    pub summary: &'static str,
    /// What of ours it is; empty where it has no other name.
    pub ours: &'static str,
}

const ENCODING: &[&str] = &["top_k", "frequency_threshold"];

/// Those there are, in alphabetical order.
pub const NAMES: [Name; 17] = [
    Name {
        name: "BAG_OF_WORDS",
        arguments: (&["tokens"], ENCODING),
        fitted: true,
        summary: "how often each term of the vocabulary is in a list, as a list of (index, value)",
        ours: "bag_of_words, as a list that leaves out zeros",
    },
    Name {
        name: "BUCKETIZE",
        arguments: (
            &["x", "array_split_points"],
            &["exclude_boundaries", "output_format"],
        ),
        fitted: false,
        summary: "the bucket of a number between given splits: 'bin_1', ..., or its ends",
        ours: "bucketize(x, splits, 'label')",
    },
    Name {
        name: "FEATURE_CROSS",
        arguments: (&["STRUCT(a, b, ...)"], &["degree"]),
        fitted: false,
        summary: "each combination of 2 to degree texts, joined by '_', as fields of a structure",
        ours: "",
    },
    Name {
        name: "HASH_BUCKETIZE",
        arguments: (&["x", "hash_bucket_size"], &[]),
        fitted: false,
        summary: "the remainder of a text's fingerprint, the same as in BigQuery",
        ours: "farm_fingerprint, the remainder of its unsigned value",
    },
    Name {
        name: "IMPUTER",
        arguments: (&["x", "strategy"], &[]),
        fitted: true,
        summary: "fills NULL with the 'mean', the 'median' or the 'most_frequent' value",
        ours: "impute(x, strategy)",
    },
    Name {
        name: "LABEL_ENCODER",
        arguments: (&["x"], ENCODING),
        fitted: true,
        summary: "the number of a category in the vocabulary, from 1; 0 for NULL and unknown ones",
        ours: "ordinal_encode, from 1 and with rare ones at 0",
    },
    Name {
        name: "MAX_ABS_SCALER",
        arguments: (&["x"], &[]),
        fitted: true,
        summary: "divides by the largest absolute value",
        ours: "max_abs_scale(x)",
    },
    Name {
        name: "MIN_MAX_SCALER",
        arguments: (&["x"], &[]),
        fitted: true,
        summary: "brings the fitted range to 0..1, and what is beyond it to 0 or 1",
        ours: "min_max_scale(x, clip => true)",
    },
    Name {
        name: "MULTI_HOT_ENCODER",
        arguments: (&["list"], ENCODING),
        fitted: true,
        summary: "the numbers of a list's items in the vocabulary, as a list of (index, value)",
        ours: "multi_hot, as a list that leaves out zeros",
    },
    Name {
        name: "NGRAMS",
        arguments: (&["tokens", "range"], &["separator"]),
        fitted: false,
        summary: "the sequences of words of a list, those of the first word first",
        ours: "ngrams(tokens, lo, hi, separator, 'position')",
    },
    Name {
        name: "NORMALIZER",
        arguments: (&["list"], &["p"]),
        fitted: false,
        summary: "divides a list of numbers by its p-norm, p being 2 if not given",
        ours: "",
    },
    Name {
        name: "ONE_HOT_ENCODER",
        arguments: (&["x"], &["drop", "top_k", "frequency_threshold"]),
        fitted: true,
        summary: "the number of a category in the vocabulary, as a list of one (index, value)",
        ours: "one_hot, as a list that leaves out zeros",
    },
    Name {
        name: "POLYNOMIAL_EXPAND",
        arguments: (&["STRUCT(a, b, ...)"], &["degree"]),
        fitted: false,
        summary: "each product of 1 to degree numbers, as fields of a structure",
        ours: "",
    },
    Name {
        name: "QUANTILE_BUCKETIZE",
        arguments: (&["x", "num_buckets"], &["output_format"]),
        fitted: true,
        summary: "the bucket of a number among those of equally many rows: 'bin_1', ..., or its ends",
        ours: "quantile_bucketize(x, n, 'label', 'inverted_cdf')",
    },
    Name {
        name: "ROBUST_SCALER",
        arguments: (
            &["x"],
            &["quantile_range", "with_median", "with_quantile_range"],
        ),
        fitted: true,
        summary: "subtracts the median and divides by the distance of two percentiles, [25, 75] if not given",
        ours: "robust_scale(x, quantile_method => 'inverted_cdf')",
    },
    Name {
        name: "STANDARD_SCALER",
        arguments: (&["x"], &[]),
        fitted: true,
        summary: "subtracts the mean and divides by the standard deviation of a sample",
        ours: "standard_scale(x, ddof => 1)",
    },
    Name {
        name: "TF_IDF",
        arguments: (&["tokens"], ENCODING),
        fitted: true,
        summary: "the share of each term in a list, weighted by how few lists have it, as a list of (index, value)",
        ours: "tf_idf, by BigQuery's formula and as a list that leaves out zeros",
    },
];

impl Name {
    /// How a call is written: `ML.NGRAMS(tokens, range [, separator])`.
    pub fn syntax(&self) -> String {
        let (required, optional) = self.arguments;
        let optional: String = optional.iter().map(|a| format!(" [, {a}]")).collect();
        let over = if self.fitted { " OVER ()" } else { "" };
        format!("ML.{}({}{optional}){over}", self.name, required.join(", "))
    }
}

/// The function of a name, which may begin with `ML.`.
pub fn find(name: &str) -> Option<&'static Name> {
    let name = match name.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("ml.") => &name[3..],
        _ => return None,
    };
    NAMES.iter().find(|n| n.name.eq_ignore_ascii_case(name))
}

/// Writes the calls of a query as calls of ours.
pub fn rewrite(query: &mut Query) -> ControlFlow<DataFusionError> {
    query.visit(&mut Rewrite)
}

/// What follows `ML.` in the name of a call.
fn called(call: &Function) -> Option<&str> {
    let [ml, name] = call.name.0.as_slice() else {
        return None;
    };
    let (ml, name) = (ml.as_ident()?, name.as_ident()?);
    ml.value
        .eq_ignore_ascii_case("ml")
        .then_some(name.value.as_str())
}

/// Stops at a call.
struct Find;

impl Visitor for Find {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(call) if called(call).is_some() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = DataFusionError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        for item in &mut select.projection {
            // an output without an alias is named as it was written
            if let SelectItem::UnnamedExpr(expr) = item
                && Visit::visit(&*expr, &mut Find).is_break()
            {
                let alias = Ident::with_quote('"', expr.to_string());
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias,
                };
            }
        }
        ControlFlow::Continue(())
    }

    /// `UNNEST([1, 2]) AS f` has a column `f`.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        if let TableFactor::UNNEST {
            alias: Some(alias),
            array_exprs,
            ..
        } = factor
            && alias.columns.is_empty()
            && array_exprs.len() == 1
        {
            alias.columns = vec![TableAliasColumnDef::from_name(alias.name.value.clone())];
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        match expr {
            Expr::Function(call) => {
                if let Some(name) = called(call) {
                    match of_ours(name, call) {
                        Ok(ours) => *expr = ours,
                        Err(error) => return ControlFlow::Break(error),
                    }
                }
            }
            Expr::Cast { data_type, .. } => match data_type {
                DataType::Float64 => *data_type = DataType::Double(ExactNumberInfo::None),
                DataType::Int64 => *data_type = DataType::BigInt(None),
                _ => {}
            },
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// What a call stands for.
fn of_ours(name: &str, call: &Function) -> Result<Expr> {
    let Some(name) = NAMES.iter().find(|n| n.name.eq_ignore_ascii_case(name)) else {
        let near = nearest(name, NAMES.iter().map(|n| n.name))
            .map(|n| format!(" Did you mean ML.{n}?"))
            .unwrap_or_default();
        let names: Vec<String> = NAMES.iter().map(|n| format!("ML.{}", n.name)).collect();
        return plan_err!(
            "ML.{name}: there is no such function here.{near} There are {}",
            names.join(", ")
        );
    };
    let given = arguments(name, call)?;
    let mut call = call.clone();
    match (name.fitted, &call.over) {
        (true, None) => {
            return plan_err!(
                "ML.{}: it learns from all rows first, so it needs a window. Write {call} OVER ()",
                name.name
            );
        }
        (false, Some(_)) => {
            call.over = None;
            return plan_err!(
                "ML.{}: it looks at one row and takes no OVER. Write {call}",
                name.name
            );
        }
        _ => {}
    }
    let args = Arguments { name, given };
    let (ours, args) = match name.name {
        "STANDARD_SCALER" => ("standard_scale", vec![args.expr(0), number(1)]),
        "MIN_MAX_SCALER" => (
            "min_max_scale",
            vec![args.expr(0), number(0), number(1), bool(true)],
        ),
        "MAX_ABS_SCALER" => ("max_abs_scale", vec![args.expr(0)]),
        "ROBUST_SCALER" => {
            let (lo, hi) = args.percentiles(1)?;
            (
                "robust_scale",
                vec![
                    args.expr(0),
                    number(lo / 100.0),
                    number(hi / 100.0),
                    args.or(2, bool(true)),
                    args.or(3, bool(true)),
                    text("inverted_cdf"),
                ],
            )
        }
        "IMPUTER" => {
            let strategy = args.word(1, &["mean", "median", "most_frequent"])?;
            ("impute", vec![args.expr(0), text(strategy)])
        }
        "BUCKETIZE" => {
            let splits = args.splits(1, 2)?;
            let output = args.output(3)?;
            ("bucketize", vec![args.expr(0), splits, output])
        }
        "QUANTILE_BUCKETIZE" => {
            let output = args.output(2)?;
            let inverted = text("inverted_cdf");
            (
                "quantile_bucketize",
                vec![args.expr(0), args.expr(1), output, inverted],
            )
        }
        "NGRAMS" => {
            let (lo, hi) = args.sizes(1)?;
            let separator = args.or(2, text(" "));
            (
                "ngrams",
                vec![args.expr(0), lo, hi, separator, text("position")],
            )
        }
        "FEATURE_CROSS" => return args.cross(),
        "POLYNOMIAL_EXPAND" => return args.expand(),
        "HASH_BUCKETIZE" => ("ml_hash_bucketize", args.given),
        "NORMALIZER" => ("ml_normalizer", args.given),
        "ONE_HOT_ENCODER" => ("ml_one_hot_encoder", args.given),
        "LABEL_ENCODER" => ("ml_label_encoder", args.given),
        "MULTI_HOT_ENCODER" => ("ml_multi_hot_encoder", args.given),
        "BAG_OF_WORDS" => ("ml_bag_of_words", args.given),
        _ => ("ml_tf_idf", args.given),
    };
    call.name = Ident::new(ours).into();
    if let FunctionArguments::List(list) = &mut call.args {
        list.args = args
            .into_iter()
            .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
            .collect();
    }
    Ok(Expr::Function(call))
}

/// The arguments of a call, in number as the function takes them.
fn arguments(name: &Name, call: &Function) -> Result<Vec<Expr>> {
    let (required, optional) = name.arguments;
    let given = match &call.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    let args: Option<Vec<Expr>> = given
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(literal(expr)),
            _ => None,
        })
        .collect();
    match args {
        Some(args) if (required.len()..=required.len() + optional.len()).contains(&args.len()) => {
            Ok(args)
        }
        Some(args) => plan_err!(
            "ML.{}: {} arguments given. Write {}",
            name.name,
            args.len(),
            name.syntax()
        ),
        None => plan_err!(
            "ML.{}: its arguments have no names. Write {}",
            name.name,
            name.syntax()
        ),
    }
}

/// BigQuery's texts may stand in double quotes; a column is written without any.
fn literal(expr: &Expr) -> Expr {
    match expr {
        Expr::Identifier(Ident {
            value,
            quote_style: Some('"'),
            ..
        }) => text(value),
        other => other.clone(),
    }
}

fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_string()).into())
}

fn number(value: impl std::fmt::Display) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

fn bool(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).into())
}

/// A call's arguments, read with errors that say what to write.
struct Arguments {
    name: &'static Name,
    given: Vec<Expr>,
}

impl Arguments {
    /// An argument that must be given.
    fn expr(&self, i: usize) -> Expr {
        self.or(i, Expr::Value(Value::Null.into()))
    }

    fn or(&self, i: usize, default: Expr) -> Expr {
        self.given.get(i).cloned().unwrap_or(default)
    }

    fn argument(&self, i: usize) -> &'static str {
        let (required, optional) = self.name.arguments;
        required
            .iter()
            .chain(optional)
            .nth(i)
            .copied()
            .unwrap_or_default()
    }

    fn wrong<T>(&self, i: usize, must: &str) -> Result<T> {
        plan_err!(
            "ML.{}: {} must be {must}, not {}. Write {}",
            self.name.name,
            self.argument(i),
            self.expr(i),
            self.name.syntax()
        )
    }

    /// One of a few words.
    fn word(&self, i: usize, words: &[&'static str]) -> Result<&'static str> {
        let found = match self.given.get(i) {
            Some(Expr::Value(value)) => value.value.clone().into_string(),
            _ => None,
        };
        let found = found.and_then(|f| words.iter().find(|w| w.eq_ignore_ascii_case(&f)));
        match found {
            Some(word) => Ok(word),
            None => {
                let quoted: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
                self.wrong(i, &format!("one of {}", quoted.join(", ")))
            }
        }
    }

    /// The output of our bucketize that a format is.
    fn output(&self, i: usize) -> Result<Expr> {
        if i >= self.given.len() {
            return Ok(text("label"));
        }
        let formats = ["bucket_names", "bucket_ranges", "bucket_ranges_json"];
        Ok(text(match self.word(i, &formats)? {
            "bucket_ranges" => "range",
            "bucket_ranges_json" => "json",
            _ => "label",
        }))
    }

    /// The items of a list that is written out.
    fn items(&self, i: usize) -> Option<&[Expr]> {
        match self.given.get(i) {
            Some(Expr::Array(Array { elem, .. })) => Some(elem),
            _ => None,
        }
    }

    fn percentiles(&self, i: usize) -> Result<(f64, f64)> {
        if i >= self.given.len() {
            return Ok((25.0, 75.0));
        }
        let items = self.items(i).unwrap_or_default().iter();
        let numbers: Vec<f64> = items.filter_map(|e| e.to_string().parse().ok()).collect();
        match numbers[..] {
            [lo, hi] if 0.0 < lo && lo < hi && hi < 100.0 => Ok((lo, hi)),
            _ => self.wrong(i, "two percentiles, as in [25, 75]"),
        }
    }

    /// The splits, without the first and the last if the argument `exclude` says so.
    fn splits(&self, i: usize, exclude: usize) -> Result<Expr> {
        match self.given.get(exclude).map(ToString::to_string) {
            None => return Ok(self.expr(i)),
            Some(word) if word.eq_ignore_ascii_case("false") => return Ok(self.expr(i)),
            Some(word) if word.eq_ignore_ascii_case("true") => {}
            Some(_) => return self.wrong(exclude, "TRUE or FALSE"),
        }
        match self.items(i) {
            Some([_, inner @ .., _]) if !inner.is_empty() => Ok(Expr::Array(Array {
                elem: inner.to_vec(),
                named: false,
            })),
            _ => self.wrong(
                i,
                "a list of at least three numbers, written out as in [1, 2, 3], to leave its boundaries out",
            ),
        }
    }

    /// The least and the most words of a sequence.
    fn sizes(&self, i: usize) -> Result<(Expr, Expr)> {
        match (self.given.get(i), self.items(i)) {
            (_, Some([lo, hi])) => Ok((lo.clone(), hi.clone())),
            (Some(one @ Expr::Value(_)), None) => Ok((one.clone(), one.clone())),
            _ => self.wrong(i, "the least and the most words, as in [1, 2]"),
        }
    }

    /// The highest degree of combinations.
    fn degree(&self, least: usize) -> Result<usize> {
        match self.given.get(1).map(|e| e.to_string().parse()) {
            None => Ok(2),
            Some(Ok(degree)) if (least..=4).contains(&degree) => Ok(degree),
            _ => self.wrong(1, &format!("a whole number from {least} to 4")),
        }
    }

    /// The fields of the structure, with their names.
    fn fields(&self) -> Result<Vec<(String, &Expr)>> {
        let must = "a structure of one to ten features with different names, written out as in STRUCT(a, b AS c)";
        let Some(Expr::Struct { values, .. }) = self.given.first() else {
            return self.wrong(0, must);
        };
        let mut fields: Vec<(String, &Expr)> = Vec::new();
        for value in values {
            let field = match value {
                Expr::Named { expr, name } => (name.value.clone(), expr.as_ref()),
                Expr::Identifier(name) => (name.value.clone(), value),
                Expr::CompoundIdentifier(names) => match names.last() {
                    Some(name) => (name.value.clone(), value),
                    None => return self.wrong(0, must),
                },
                _ => return self.wrong(0, must),
            };
            if fields.iter().any(|(name, _)| *name == field.0) {
                return self.wrong(0, must);
            }
            fields.push(field);
        }
        if (1..=10).contains(&fields.len()) {
            Ok(fields)
        } else {
            self.wrong(0, must)
        }
    }

    /// A structure of combinations of fields: each one's name, and its SQL.
    fn structure(
        fields: &[(String, &Expr)],
        combinations: &[Vec<usize>],
        sql: impl Fn(&[String]) -> String,
    ) -> Result<Expr> {
        let members: Vec<String> = combinations
            .iter()
            .map(|places| {
                let names: Vec<&str> = places.iter().map(|i| fields[*i].0.as_str()).collect();
                let exprs: Vec<String> = places.iter().map(|i| fields[*i].1.to_string()).collect();
                format!("{}, {}", text(&names.join("_")), sql(&exprs))
            })
            .collect();
        parse_expr(&format!("named_struct({})", members.join(", ")))
    }

    fn cross(&self) -> Result<Expr> {
        let fields = self.fields()?;
        if fields.len() < 2 {
            return self.wrong(0, "a structure of at least two features");
        }
        let mut all = combinations(fields.len(), self.degree(2)?, false);
        all.retain(|places| places.len() > 1);
        Self::structure(&fields, &all, |exprs| {
            let texts: Vec<String> = exprs
                .iter()
                .map(|e| format!("CAST({e} AS VARCHAR)"))
                .collect();
            texts.join(" || '_' || ")
        })
    }

    fn expand(&self) -> Result<Expr> {
        let fields = self.fields()?;
        let all = combinations(fields.len(), self.degree(1)?, true);
        Self::structure(&fields, &all, |exprs| {
            let numbers: Vec<String> = exprs
                .iter()
                .map(|e| format!("CAST({e} AS DOUBLE)"))
                .collect();
            numbers.join(" * ")
        })
    }
}

/// The combinations of 1 to `degree` of `n` things, in the order of a dictionary.
fn combinations(n: usize, degree: usize, repeated: bool) -> Vec<Vec<usize>> {
    fn extend(
        combination: &[usize],
        first: usize,
        (n, degree, repeated): (usize, usize, bool),
        out: &mut Vec<Vec<usize>>,
    ) {
        if combination.len() == degree {
            return;
        }
        for i in first..n {
            let longer = [combination, &[i]].concat();
            out.push(longer.clone());
            let next = if repeated { i } else { i + 1 };
            extend(&longer, next, (n, degree, repeated), out);
        }
    }
    let mut out = Vec::new();
    extend(&[], 0, (n, degree, repeated), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_in_order() {
        let names = |n, degree, repeated| -> Vec<String> {
            let name = |c: Vec<usize>| c.iter().map(ToString::to_string).collect::<String>();
            combinations(n, degree, repeated)
                .into_iter()
                .map(name)
                .collect()
        };
        assert_eq!(names(2, 2, true), ["0", "00", "01", "1", "11"]);
        assert_eq!(names(3, 3, false), ["0", "01", "012", "02", "1", "12", "2"]);
        assert_eq!(names(2, 1, true), ["0", "1"]);
    }

    #[test]
    fn names_are_found() {
        assert!(NAMES.is_sorted_by(|a, b| a.name < b.name));
        let ngrams = find("ml.ngrams").map(Name::syntax);
        let expected = "ML.NGRAMS(tokens, range [, separator])";
        assert_eq!(ngrams.as_deref(), Some(expected));
        assert!(find("ngrams").is_none() && find("ML.").is_none());
    }
}
