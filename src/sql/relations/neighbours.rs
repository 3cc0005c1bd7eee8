//! What the functions of nearest neighbours share: which columns they look at, and the queries around them.

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, plan_err};
use seedbed_udfs::arrays::is_number;
use seedbed_udfs::neighbours::{
    Classes, Editing, Method, Oversampling, Rule, Shape, can_tell_apart,
};
use seedbed_udfs::random::key;
use seedbed_udfs::spec::Param;

use super::super::relation::{Call, Expansion};
use super::{check_added, free};
use crate::plan::{Neighbours, Role, Search, Task};

pub const QUERY: Param = Param::data("query", "the rows: (SELECT ...) or TABLE t");

pub const LABEL: Param = Param::required(
    "label",
    "the column of the class. NULL is a class of its own",
);

pub const STRATEGY: Param = Param::option(
    "strategy",
    "'auto'",
    "'auto' for as many rows as the most frequent class has, or how many rows a class shall have; a class \
     that has more keeps them all",
);

pub const COLUMNS: Param = Param::option(
    "columns",
    "NULL",
    "the numbers that say how near rows are to each other, as [a, b]; all columns but the label by default. \
     Columns left out are NULL in synthetic rows. Scale them first: the widest counts for most. A missing \
     number takes no part in distances",
);

pub const SEED: Param = Param::option(
    "seed",
    "0",
    "another seed draws other rows; the same seed draws the same, whatever the order and number of partitions",
);

pub const NEAR: Param = Param::option(
    "columns",
    "NULL",
    "the numbers that say how near rows are to each other, as [a, b]; all columns but the label by default. \
     Scale them first: the widest counts for most. A missing number takes no part in distances",
);

pub const EDITED: Param = Param::option(
    "strategy",
    "'auto'",
    "from which classes rows are taken: 'auto' for all but the rarest, 'majority' for the most frequent, 'all'",
);

/// The columns of the first table that are looked at, by their places.
pub struct Columns {
    pub label: usize,
    pub numbers: Vec<usize>,
    pub categories: Vec<usize>,
}

impl Columns {
    /// Those that the options `label` and `columns` name; all must be numbers.
    pub fn of(call: &Call<'_>) -> Result<Self> {
        let (label, named) = named(call)?;
        for column in &named {
            let field = call.schema(0).field(*column);
            if !is_number(field.data_type()) {
                let name = call.options().spec().name;
                let mixed = match name {
                    "smote" => " Write smote_nc(...) to take such columns for categories.",
                    _ => "",
                };
                return plan_err!(
                    "{name}: {} must be a number, not {}.{mixed} Write columns => [...] to name the numbers to look at, or make it one \
                     with ordinal_encode or one_hot",
                    field.name(),
                    field.data_type()
                );
            }
        }
        if named.is_empty() {
            return plan_err!(
                "{}: the table has no columns of numbers but the label",
                call.options().spec().name
            );
        }
        Ok(Self {
            label,
            numbers: named,
            categories: Vec::new(),
        })
    }

    /// The same, where what is no number, or named by the option `categorical`, is a category.
    pub fn mixed(call: &Call<'_>) -> Result<Self> {
        let options = call.options();
        let name = options.spec().name;
        let (label, named) = named(call)?;
        let listed = match options.is_null("categorical") {
            true => Vec::new(),
            false => places(call, &call.column_list(0, "categorical")?),
        };
        if let Some(other) = listed.iter().find(|c| !named.contains(c)) {
            return plan_err!(
                "{name}: categorical names {}, which is not among the columns looked at",
                call.schema(0).field(*other).name()
            );
        }
        let type_of = |column: usize| call.schema(0).field(column).data_type();
        let (categories, numbers): (Vec<_>, Vec<_>) = named
            .into_iter()
            .partition(|c| listed.contains(c) || !is_number(type_of(*c)));
        if let Some(column) = categories.iter().find(|c| !can_tell_apart(type_of(**c))) {
            return plan_err!(
                "{name}: {} cannot be a category: it is {}. Write columns => [...] without it",
                call.schema(0).field(*column).name(),
                type_of(*column)
            );
        }
        if numbers.is_empty() {
            return plan_err!("{name}: at least one of the columns must be a number");
        }
        if categories.is_empty() {
            return plan_err!(
                "{name}: none of the columns is a category. Write smote(...), or categorical => [...]"
            );
        }
        Ok(Self {
            label,
            numbers,
            categories,
        })
    }

    fn shape(&self, wanted: bool) -> Shape {
        Shape {
            numbers: self.numbers.len(),
            categories: self.categories.len(),
            label: true,
            wanted,
        }
    }

    /// As SQL, in the order in which they are gathered.
    fn listed(&self, call: &Call<'_>) -> String {
        let columns = call.columns(0);
        let places = self.numbers.iter().chain(&self.categories);
        let listed = places.chain([&self.label]);
        let listed: Vec<String> = listed.map(|c| format!("r.{}", columns[*c])).collect();
        listed.join(", ")
    }
}

/// The label's place, and those of the columns named, or of all others.
fn named(call: &Call<'_>) -> Result<(usize, Vec<usize>)> {
    let options = call.options();
    let name = options.spec().name;
    let label = places(call, &[call.column(0, "label")?]);
    let Some(label) = label.first().copied() else {
        return plan_err!("{name}: the table has no columns");
    };
    let field = call.schema(0).field(label);
    if !can_tell_apart(field.data_type()) {
        return options.wrong(
            "label",
            format!("a column of classes, not of {}", field.data_type()),
        );
    }
    key::check_type(options.spec(), "label", field.data_type())?;
    let columns = match options.is_null("columns") {
        true => (0..call.schema(0).fields().len())
            .filter(|c| *c != label)
            .collect(),
        false => places(call, &call.column_list(0, "columns")?),
    };
    if columns.contains(&label) {
        return options.wrong("columns", format!("without the label {}", field.name()));
    }
    Ok((label, columns))
}

/// The places of columns, each once.
pub fn places(call: &Call<'_>, names: &[String]) -> Vec<usize> {
    let columns = call.columns(0);
    let mut places: Vec<usize> = Vec::with_capacity(names.len());
    for name in names {
        let place = columns.iter().position(|c| c == name);
        places.extend(place.filter(|p| !places.contains(p)));
    }
    places
}

/// All rows, and synthetic ones.
pub fn oversampled(call: &Call<'_>, columns: &Columns, method: Method) -> Result<Expansion> {
    let options = call.options();
    let name = options.spec().name;
    check_added(call, &["is_synthetic"])?;
    let task = Oversampling {
        name,
        method,
        k: count(call, "k")?,
        seed: options.integer("seed", 0)?,
    };
    let wanted = match options.text("strategy") {
        Ok(word) if word.eq_ignore_ascii_case("auto") => "max(members) OVER () - members".into(),
        Ok(_) => return options.wrong("strategy", "'auto' or a number of rows"),
        Err(_) => format!("{} - members", options.integer("strategy", 1)?),
    };
    let mut roles = vec![Role::Null; call.schema(0).fields().len()];
    for (at, column) in columns.numbers.iter().enumerate() {
        roles[*column] = Role::Number(at);
    }
    for (at, column) in columns.categories.iter().enumerate() {
        roles[*column] = Role::Category(at);
    }
    roles[columns.label] = Role::Label;
    let fields = call.schema(0).fields().iter();
    let fields: Vec<Field> = fields
        .map(|f| Field::new(f.name(), f.data_type().clone(), true))
        .collect();
    let search = Search {
        name,
        task: Task::Oversample(task, roles),
        shape: columns.shape(true),
    };
    let table = call.table(0);
    let all = call.columns(0);
    let label = &all[columns.label];
    let [number] = free(&all, ["wanted"]);
    let listed = columns.listed(call);
    let all = all.join(", ");
    // of other classes nothing is held
    let only = match method {
        Method::Smote => "WHERE wanted > 0",
        Method::Borderline { .. } | Method::Adasyn => "",
    };
    let node = call.node();
    // the left side of a join is the one that is held
    let sql = format!(
        "SELECT {all}, false AS is_synthetic FROM {table}
         UNION ALL
         SELECT *, true AS is_synthetic FROM {node}((
             SELECT {listed}, w.wanted AS {number}
             FROM (
                 SELECT class, wanted
                 FROM (
                     SELECT class, {wanted} AS wanted
                     FROM (SELECT {label} AS class, count(*) AS members FROM {table} GROUP BY {label})
                 )
                 {only}
             ) AS w
             JOIN {table} AS r
             ON r.{label} IS NOT DISTINCT FROM w.class
         ))"
    );
    let make = move |inputs| Neighbours::plan(search, inputs, Some(Schema::new(fields)));
    Ok(Expansion::Around(node, sql, Box::new(make)))
}

/// The rows that stay.
pub fn edited(call: &Call<'_>, rule: Rule) -> Result<Expansion> {
    let columns = Columns::of(call)?;
    let strategies = ["auto", "majority", "all"];
    let classes = match call.options().choice("strategy", &strategies)? {
        "majority" => Classes::Majority,
        "all" => Classes::All,
        _ => Classes::NotMinority,
    };
    let editing = Editing { rule, classes };
    let search = Search {
        name: call.options().spec().name,
        shape: columns.shape(false),
        task: Task::Edit(editing, columns.numbers.clone(), columns.label),
    };
    let (node, table, listed) = (call.node(), call.table(0), columns.listed(call));
    let sql = format!(
        "SELECT * FROM {node}((SELECT {listed} FROM {table} AS r), (SELECT * FROM {table}))"
    );
    let make = move |inputs| Neighbours::plan(search, inputs, None);
    Ok(Expansion::Around(node, sql, Box::new(make)))
}

/// A number of neighbours.
pub fn count(call: &Call<'_>, option: &str) -> Result<usize> {
    let k = call.options().integer(option, 1)?;
    Ok(usize::try_from(k).unwrap_or(usize::MAX))
}

/// An error unless a column is a number.
pub fn check_number(call: &Call<'_>, column: usize) -> Result<()> {
    let field = call.schema(0).field(column);
    let name = call.options().spec().name;
    match field.data_type() {
        t if is_number(t) => Ok(()),
        t @ (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => plan_err!(
            "{name}: {} must be a number, not {t}. Write impute({}, 'mode') OVER () for a text",
            field.name(),
            field.name()
        ),
        t => plan_err!("{name}: {} must be a number, not {t}", field.name()),
    }
}
