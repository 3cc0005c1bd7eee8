//! What a function declares about itself: the one source of its signature, defaults and documentation.

use std::fmt;

/// A stage of a preparation pipeline; functions are grouped by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    Load,
    Select,
    Clean,
    Normalize,
    Encode,
    Series,
    Split,
    Random,
    Synthesize,
    Predict,
    Images,
    Inspect,
    /// What calls of BigQuery ML's names stand for, where nothing else does.
    BigQuery,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Load => "load",
            Self::Select => "select",
            Self::Clean => "clean",
            Self::Normalize => "normalize",
            Self::Encode => "encode",
            Self::Series => "series",
            Self::Split => "split",
            Self::Random => "random",
            Self::Synthesize => "synthesize",
            Self::Predict => "predict",
            Self::Images => "images",
            Self::Inspect => "inspect",
            Self::BigQuery => "BigQuery ML",
        })
    }
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `f(x)`: looks at one row.
    RowWise,
    /// `f(x) OVER ()`: learns from all rows, or from those of a group, first.
    Fitted,
    /// `f(x) OVER (ORDER BY t)`: looks at a row's neighbours in an order.
    Ordered,
    /// `f(x)` of all rows, or of those of a group.
    Aggregate,
    /// `FROM f((SELECT ...))`: takes tables, gives a table.
    Relation,
    /// `SELECT f()`: stands for columns.
    Selector,
}

/// One parameter, in the order of positional arguments.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    pub name: &'static str,
    /// SQL text of the value when the argument is left out; `None`: it must be given.
    pub default: Option<&'static str>,
    /// Whether it is an option (a constant) rather than data (a column, a table).
    pub option: bool,
    pub help: &'static str,
}

impl Param {
    /// Data that must be given: a column, or a table of a relation function.
    pub const fn data(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: None,
            option: false,
            help,
        }
    }

    /// Data that may be left out.
    pub const fn optional_data(
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            default: Some(default),
            option: false,
            help,
        }
    }

    /// A constant that must be given.
    pub const fn required(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: None,
            option: true,
            help,
        }
    }

    /// A constant with a default, written as SQL.
    pub const fn option(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self {
            name,
            default: Some(default),
            option: true,
            help,
        }
    }
}

/// A statement and what it prints, run as a test.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    pub sql: &'static str,
    /// The rows as CSV without a header, lines separated by `\n`; NULL is an empty field.
    pub result: &'static str,
}

/// A function's declaration.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub name: &'static str,
    pub stage: Stage,
    pub kind: Kind,
    /// One sentence.
    pub summary: &'static str,
    pub params: &'static [Param],
    /// Whether the last data parameter before the options may be repeated: `vectorize(a, b, c)`.
    pub variadic: bool,
    pub examples: &'static [Example],
    /// Where the meaning comes from: a paper, a library's estimator, a standard.
    pub source: &'static str,
    /// What it is called elsewhere: `sklearn.preprocessing.StandardScaler`.
    pub also: &'static [&'static str],
}

impl Spec {
    /// How a call is written, with defaults: `standard_scale(x, ddof => 0) OVER (...)`.
    pub fn syntax(&self) -> String {
        let mut args = Vec::with_capacity(self.params.len() + 1);
        for (i, param) in self.params.iter().enumerate() {
            let table = self.kind == Kind::Relation && !param.option;
            args.push(match (param.default, param.option) {
                (Some(default), true) => format!("{} => {default}", param.name),
                (Some(_), false) => format!("[{}]", param.name),
                (None, _) if table => format!("({})", param.name),
                (None, _) => param.name.to_string(),
            });
            let last_data = self.params.get(i + 1).is_none_or(|next| next.option);
            if self.variadic && !param.option && last_data {
                args.push("...".to_string());
            }
        }
        let call = format!("{}({})", self.name, args.join(", "));
        match self.kind {
            Kind::Fitted => format!("{call} OVER ([PARTITION BY ...])"),
            Kind::Ordered => format!("{call} OVER ([PARTITION BY ...] ORDER BY ...)"),
            Kind::RowWise | Kind::Aggregate | Kind::Relation | Kind::Selector => call,
        }
    }

    /// How many leading parameters are data.
    pub fn data_params(&self) -> usize {
        self.params.iter().take_while(|p| !p.option).count()
    }
}
