//! A kind's options: what it declares, what the user wrote, and the errors between the two.

use std::fmt;
use std::ops::RangeInclusive;

use datafusion_common::{Result, internal_err, plan_err};

use super::nearest;

/// One option a kind accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionSpec {
    pub name: &'static str,
    pub accepts: Accepts,
    pub help: &'static str,
}

/// An option's type with its default and what is allowed; ranges include both ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepts {
    Integer {
        default: i64,
        min: i64,
        max: i64,
    },
    Number {
        default: f64,
        min: f64,
        max: f64,
    },
    Choice {
        default: &'static str,
        among: &'static [&'static str],
    },
    /// A list of integers, such as the widths of layers.
    Integers {
        default: &'static [i64],
        min: i64,
        max: i64,
    },
    /// A list of column names; none by default.
    Columns,
    /// A column's name; none by default.
    Column,
    /// A text that its reader takes apart itself; empty by default.
    Text,
}

/// An integer option of a range.
pub fn integer(
    name: &'static str,
    default: i64,
    range: RangeInclusive<i64>,
    help: &'static str,
) -> OptionSpec {
    let (min, max) = range.into_inner();
    OptionSpec {
        name,
        accepts: Accepts::Integer { default, min, max },
        help,
    }
}

/// A number of a range.
pub fn number(
    name: &'static str,
    default: f64,
    range: RangeInclusive<f64>,
    help: &'static str,
) -> OptionSpec {
    let (min, max) = range.into_inner();
    OptionSpec {
        name,
        accepts: Accepts::Number { default, min, max },
        help,
    }
}

/// A column of the training query.
pub fn column(name: &'static str, help: &'static str) -> OptionSpec {
    let accepts = Accepts::Column;
    OptionSpec {
        name,
        accepts,
        help,
    }
}

/// The widths of a network's hidden layers.
pub fn widths(name: &'static str, default: &'static [i64], help: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        accepts: Accepts::Integers {
            default,
            min: 1,
            max: 8192,
        },
        help,
    }
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Integer(i64),
    Number(f64),
    Choice(&'static str),
    Integers(Vec<i64>),
    Columns(Vec<String>),
    Text(String),
}

impl OptionSpec {
    /// The type as the user knows it.
    pub fn type_name(&self) -> &'static str {
        match self.accepts {
            Accepts::Integer { .. } => "integer",
            Accepts::Number { .. } => "number",
            Accepts::Choice { .. } => "text",
            Accepts::Integers { .. } => "list of integers",
            Accepts::Columns => "list of columns",
            Accepts::Column => "column",
            Accepts::Text => "text",
        }
    }

    /// What is allowed, in words.
    pub fn range(&self) -> String {
        match &self.accepts {
            Accepts::Integer { min, max, .. } => match *max {
                i64::MAX => format!("{min} or more"),
                _ => format!("{min} to {max}"),
            },
            Accepts::Number { min, max, .. } => format!("{min} to {max}"),
            Accepts::Choice { among, .. } => format!("one of {}", among.join(", ")),
            Accepts::Integers { min, max, .. } => format!("each {min} to {max}"),
            Accepts::Columns => "columns of the query".to_string(),
            Accepts::Column => "one of the query".to_string(),
            Accepts::Text => "any".to_string(),
        }
    }

    /// The value when the user gives none.
    pub fn default_value(&self) -> Value {
        match &self.accepts {
            Accepts::Integer { default, .. } => Value::Integer(*default),
            Accepts::Number { default, .. } => Value::Number(*default),
            Accepts::Choice { default, .. } => Value::Choice(default),
            Accepts::Integers { default, .. } => Value::Integers(default.to_vec()),
            Accepts::Columns => Value::Columns(Vec::new()),
            Accepts::Column | Accepts::Text => Value::Text(String::new()),
        }
    }

    fn parse(&self, text: &str) -> Option<Value> {
        let bare = unquote(text);
        match &self.accepts {
            Accepts::Integer { min, max, .. } => bare
                .parse::<i64>()
                .ok()
                .filter(|value| (min..=max).contains(&value))
                .map(Value::Integer),
            Accepts::Number { min, max, .. } => bare
                .parse::<f64>()
                .ok()
                .filter(|value| (min..=max).contains(&value))
                .map(Value::Number),
            Accepts::Choice { among, .. } => among
                .iter()
                .find(|choice| choice.eq_ignore_ascii_case(bare))
                .map(|choice| Value::Choice(choice)),
            Accepts::Integers { min, max, .. } => {
                let values: Option<Vec<i64>> = list(text)
                    .iter()
                    .map(|item| {
                        item.parse::<i64>()
                            .ok()
                            .filter(|value| (min..=max).contains(&value))
                    })
                    .collect();
                values
                    .filter(|values| !values.is_empty())
                    .map(Value::Integers)
            }
            Accepts::Columns => Some(Value::Columns(list(text))),
            Accepts::Column => Some(Value::Text(bare.to_string())),
            Accepts::Text => Some(Value::Text(text.to_string())),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(value) => write!(f, "{value}"),
            Value::Number(value) => write!(f, "{value}"),
            Value::Choice(value) => write!(f, "{value}"),
            Value::Integers(values) => {
                let items: Vec<String> = values.iter().map(i64::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Value::Columns(names) => {
                let items: Vec<String> = names
                    .iter()
                    .map(|name| format!("'{}'", name.replace('\'', "''")))
                    .collect();
                write!(f, "[{}]", items.join(", "))
            }
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// The options of one training: the user's, and the defaults of the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    kind: &'static str,
    values: Vec<(&'static str, Value)>,
}

impl Options {
    /// Checks what the user wrote against what the kind declares.
    pub fn parse(
        kind: &'static str,
        specs: &[OptionSpec],
        given: &[(String, String)],
    ) -> Result<Self> {
        let mut values: Vec<(&'static str, Value)> = specs
            .iter()
            .map(|spec| (spec.name, spec.default_value()))
            .collect();
        for (i, (name, text)) in given.iter().enumerate() {
            let Some(at) = specs
                .iter()
                .position(|spec| spec.name.eq_ignore_ascii_case(name))
            else {
                let names: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
                return plan_err!(
                    "{kind} has no option {name}{}; it has {}",
                    nearest(name, names.iter().copied()),
                    names.join(", ")
                );
            };
            if given[..i]
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
            {
                return plan_err!("option {name} of {kind} is given twice");
            }
            let spec = &specs[at];
            match spec.parse(text) {
                Some(value) => values[at].1 = value,
                None => {
                    let hint = match &spec.accepts {
                        Accepts::Choice { among, .. } => {
                            nearest(unquote(text), among.iter().copied())
                        }
                        _ => String::new(),
                    };
                    return plan_err!(
                        "option {} of {kind} cannot be {text}: it is {}, {}; its default is {}{hint}",
                        spec.name,
                        article(spec.type_name()),
                        spec.range(),
                        spec.default_value()
                    );
                }
            }
        }
        Ok(Self { kind, values })
    }

    /// Every option with its value as text; [`Options::parse`] takes them back.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.values
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    /// The options whose values are not the defaults.
    pub fn changed(&self, specs: &[OptionSpec]) -> Vec<(String, String)> {
        let default = |name: &str| {
            let spec = specs.iter().find(|spec| spec.name == name);
            spec.map(OptionSpec::default_value)
        };
        self.values
            .iter()
            .filter(|(name, value)| default(name).as_ref() != Some(value))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    /// An integer option; the kind must have declared it with a range from 0 on.
    pub fn integer(&self, name: &str) -> Result<usize> {
        match self.get(name) {
            Some(Value::Integer(value)) => usize::try_from(*value).or_else(|_| self.wrong(name)),
            _ => self.wrong(name),
        }
    }

    /// The seed, or any other integer that fills 64 bits.
    pub fn word(&self, name: &str) -> Result<u64> {
        self.integer(name).map(|value| value as u64)
    }

    pub fn number(&self, name: &str) -> Result<f64> {
        match self.get(name) {
            Some(Value::Number(value)) => Ok(*value),
            _ => self.wrong(name),
        }
    }

    pub fn choice(&self, name: &str) -> Result<&'static str> {
        match self.get(name) {
            Some(Value::Choice(value)) => Ok(value),
            _ => self.wrong(name),
        }
    }

    pub fn integers(&self, name: &str) -> Result<Vec<usize>> {
        match self.get(name) {
            Some(Value::Integers(values)) => values
                .iter()
                .map(|value| usize::try_from(*value).or_else(|_| self.wrong(name)))
                .collect(),
            _ => self.wrong(name),
        }
    }

    pub fn columns(&self, name: &str) -> Result<&[String]> {
        match self.get(name) {
            Some(Value::Columns(names)) => Ok(names),
            _ => self.wrong(name),
        }
    }

    /// A text option; empty where it is not given, or where the kind has no such option.
    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether the kind has an option of this name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The same with more columns in an option that lists columns.
    pub fn with_columns(mut self, name: &str, more: impl IntoIterator<Item = String>) -> Self {
        let found = self.values.iter_mut().find(|(option, _)| *option == name);
        if let Some((_, Value::Columns(columns))) = found {
            columns.extend(more);
        }
        self
    }

    /// The same without these columns, in all options that list columns.
    pub fn without_columns(mut self, gone: &[String]) -> Self {
        for (_, value) in &mut self.values {
            if let Value::Columns(columns) = value {
                columns.retain(|column| !gone.contains(column));
            }
        }
        self
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    fn wrong<T>(&self, name: &str) -> Result<T> {
        internal_err!("{} reads an option {name} it did not declare", self.kind)
    }
}

fn article(noun: &str) -> String {
    match noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true => format!("an {noun}"),
        false => format!("a {noun}"),
    }
}

fn unquote(text: &str) -> &str {
    let text = text.trim();
    for quote in ['\'', '"'] {
        if let Some(inner) = text
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    text
}

/// The items of `[a, 'b', "c, d"]`, with or without the brackets.
fn list(text: &str) -> Vec<String> {
    let text = text.trim();
    let inner = [('[', ']'), ('(', ')'), ('{', '}')]
        .iter()
        .find_map(|&(open, close)| text.strip_prefix(open)?.strip_suffix(close))
        .unwrap_or(text);
    let mut items = Vec::new();
    let mut item = String::new();
    let mut quoted = false;
    let mut quote = None;
    let mut letters = inner.chars().peekable();
    while let Some(letter) = letters.next() {
        match quote {
            Some(open) if letter == open => {
                // A doubled quote stands for itself.
                if letters.peek() == Some(&open) {
                    item.push(open);
                    letters.next();
                } else {
                    quote = None;
                }
            }
            Some(_) => item.push(letter),
            None if letter == ',' => {
                push_item(&mut items, &mut item, &mut quoted);
            }
            None if (letter == '\'' || letter == '"') && item.trim().is_empty() => {
                item.clear();
                quote = Some(letter);
                quoted = true;
            }
            None if quoted && letter.is_whitespace() => {}
            None => item.push(letter),
        }
    }
    push_item(&mut items, &mut item, &mut quoted);
    items
}

fn push_item(items: &mut Vec<String>, item: &mut String, quoted: &mut bool) {
    let text = std::mem::take(item);
    if std::mem::take(quoted) {
        items.push(text);
    } else if !text.trim().is_empty() {
        items.push(text.trim().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<OptionSpec> {
        vec![
            OptionSpec {
                name: "epochs",
                accepts: Accepts::Integer {
                    default: 100,
                    min: 1,
                    max: 10_000,
                },
                help: "",
            },
            OptionSpec {
                name: "loss",
                accepts: Accepts::Choice {
                    default: "non_saturating",
                    among: &["minimax", "non_saturating"],
                },
                help: "",
            },
            OptionSpec {
                name: "generator",
                accepts: Accepts::Integers {
                    default: &[128, 128],
                    min: 1,
                    max: 4096,
                },
                help: "",
            },
            OptionSpec {
                name: "categorical",
                accepts: Accepts::Columns,
                help: "",
            },
        ]
    }

    fn parse(given: &[(&str, &str)]) -> Result<Options> {
        let given: Vec<(String, String)> = given
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Options::parse("gan", &specs(), &given)
    }

    #[test]
    fn values_are_read_and_the_rest_keep_their_defaults() {
        let options = parse(&[
            ("EPOCHS", "5"),
            ("generator", "[64, 32]"),
            ("categorical", "['a b', \"c,d\", e]"),
        ])
        .unwrap();
        assert_eq!(options.integer("epochs").unwrap(), 5);
        assert_eq!(options.choice("loss").unwrap(), "non_saturating");
        assert_eq!(options.integers("generator").unwrap(), [64, 32]);
        assert_eq!(options.columns("categorical").unwrap(), ["a b", "c,d", "e"]);
        let pairs = options.pairs();
        assert_eq!(Options::parse("gan", &specs(), &pairs).unwrap(), options);
    }

    #[test]
    fn errors_name_the_option_the_nearest_and_the_range() {
        let message = |given: &[(&str, &str)]| parse(given).unwrap_err().to_string();
        let unknown = message(&[("epoch", "5")]);
        assert!(unknown.contains("no option epoch"), "{unknown}");
        assert!(unknown.contains("did you mean epochs?"), "{unknown}");
        let range = message(&[("epochs", "0")]);
        assert!(range.contains("epochs"), "{range}");
        assert!(range.contains("1 to 10000"), "{range}");
        assert!(message(&[("epochs", "many")]).contains("integer"));
        let choice = message(&[("loss", "mini_max")]);
        assert!(choice.contains("did you mean minimax?"), "{choice}");
        assert!(message(&[("generator", "[]")]).contains("list of integers"));
        assert!(message(&[("epochs", "1"), ("Epochs", "2")]).contains("twice"));
    }
}
