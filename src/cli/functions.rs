//! `seedbed functions` and `.functions`: the reference, from the functions' own declarations.

use std::fmt::Write as _;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::Documentation;
use seedbed::sql::bigquery::{self, Name};
use seedbed_udfs::spec::{Kind, Spec};

use super::nearest::nearest;
use super::output::terminal_width;
use super::{names, style, width};

/// Where no terminal says how wide a line may be.
const LINE: usize = 100;

/// All functions by stage, or all about one; the error names the nearest.
pub fn reference(ctx: &SessionContext, name: Option<&str>, color: bool) -> Result<String, String> {
    match name {
        None => Ok(list(ctx, color)),
        Some(name) => explain(ctx, name.trim().trim_end_matches("()"), color),
    }
}

fn list(ctx: &SessionContext, color: bool) -> String {
    let specs = names::specs();
    let line = terminal_width().unwrap_or(LINE);
    let longest = specs.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    let mut stage = None;
    for spec in &specs {
        if stage != Some(spec.stage) {
            if stage.is_some() {
                out.push('\n');
            }
            stage = Some(spec.stage);
            let _ = writeln!(
                out,
                "{}",
                style::paint(color, style::strong(), &spec.stage.to_string())
            );
        }
        let text = format!("  {:<longest$}  {}", spec.name, spec.summary);
        let _ = writeln!(out, "{}", width::cut(&text, line));
    }
    let _ = writeln!(
        out,
        "\n{}",
        style::paint(color, style::strong(), "BigQuery ML")
    );
    let longest = bigquery::NAMES.iter().map(|n| n.name.len()).max();
    for name in bigquery::NAMES {
        let (longest, called) = (longest.unwrap_or(0), name.name);
        let text = format!("  ML.{called:<longest$}  {}", name.summary);
        let _ = writeln!(out, "{}", width::cut(&text, line));
    }
    let others = names::functions(ctx).len().saturating_sub(specs.len());
    let _ = writeln!(
        out,
        "\n{others} more come with DataFusion. `seedbed functions NAME` explains any of them, and finds a \
         function by its name in scikit-learn or pandas."
    );
    out
}

fn explain(ctx: &SessionContext, name: &str, color: bool) -> Result<String, String> {
    let specs = names::specs();
    if let Some(spec) = specs.iter().find(|s| s.name.eq_ignore_ascii_case(name)) {
        return Ok(own(spec, color));
    }
    if let Some(found) = bigquery::find(name) {
        return Ok(of_bigquery(found, color));
    }
    let elsewhere: Vec<_> = specs.iter().filter(|s| is_called(s, name)).collect();
    if !elsewhere.is_empty() {
        let texts: Vec<String> = elsewhere.iter().map(|s| own(s, color)).collect();
        return Ok(texts.join("\n"));
    }
    let lower = name.to_lowercase();
    if let Some(text) = builtin(ctx, &lower, color) {
        return Ok(text);
    }
    let functions = names::functions(ctx);
    let ml: Vec<String> = bigquery::NAMES
        .iter()
        .map(|n| format!("ML.{}", n.name))
        .collect();
    let mut candidates: Vec<&str> = functions.iter().chain(&ml).map(String::as_str).collect();
    candidates.extend(
        specs
            .iter()
            .flat_map(|s| s.also.iter().map(|a| last_part(a))),
    );
    Err(match nearest(name, candidates) {
        Some(near) => format!("there is no function {name}; did you mean {near}?"),
        None => format!("there is no function {name}; `seedbed functions` lists them"),
    })
}

/// The reference of all our functions, in Markdown: `docs/functions.md`.
pub fn markdown() -> String {
    let specs = names::specs();
    let mut out = String::from(
        "# Functions\n\n\
         By stage of a preparation. Row-wise functions look at one row. Fitted functions learn from all rows first and are\n\
         called with `OVER ()`, or `OVER (PARTITION BY ...)` to learn from each group. Ordered functions look at\n\
         a row's neighbours and are called with `OVER (ORDER BY ...)`. Relations take tables and stand where a\n\
         table can. Selectors stand for columns in a SELECT list.\n\n\
         Written by `seedbed functions --markdown`; the examples run as tests.\n",
    );
    let mut stage = None;
    for spec in &specs {
        if stage != Some(spec.stage) {
            stage = Some(spec.stage);
            let links = specs.iter().filter(|s| s.stage == spec.stage);
            let links: Vec<String> = links.map(|s| format!("[{0}](#{0})", s.name)).collect();
            let mut title = spec.stage.to_string();
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            let _ = writeln!(out, "\n## {title}\n\n{}", links.join(" · "));
        }
        section(spec, &mut out);
    }
    out.push_str(
        "\n## BigQuery ML\n\n\
         BigQuery ML's preprocessing functions by their own names, with its defaults: a query with them runs as it is. So does\n\
         `STRUCT(a AS b)`, and `UNNEST([1, 2]) AS x` in FROM.\n\n\
         | function | meaning | what of ours it is |\n|---|---|---|\n",
    );
    for name in bigquery::NAMES {
        let ours = match name.ours.split_once(", ") {
            _ if name.ours.is_empty() => String::new(),
            Some((call, rest)) if !call.contains('(') => format!("`{call}`, {rest}"),
            _ => format!("`{}`", name.ours),
        };
        let _ = writeln!(
            out,
            "| `{}` | {} | {ours} |",
            name.syntax(),
            escaped(name.summary)
        );
    }
    out
}

fn of_bigquery(name: &Name, color: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}\n\n  BigQuery ML: {}.",
        style::paint(color, style::strong(), &name.syntax()),
        name.summary
    );
    if !name.ours.is_empty() {
        let _ = writeln!(out, "  here {}", name.ours);
    }
    out
}

fn section(spec: &Spec, out: &mut String) {
    let kind = match spec.kind {
        Kind::RowWise => "Row-wise",
        Kind::Fitted => "Fitted",
        Kind::Ordered => "Ordered",
        Kind::Aggregate => "Aggregate",
        Kind::Relation => "Relation",
        Kind::Selector => "Selector",
    };
    let _ = writeln!(
        out,
        "\n### {}\n\n{}\n\n```\n{}\n```\n\n{kind}.",
        spec.name,
        escaped(spec.summary),
        spec.syntax()
    );
    if !spec.params.is_empty() {
        out.push_str("\n| argument | default | meaning |\n|---|---|---|\n");
        for param in spec.params {
            let default = match (param.default, param.option) {
                (Some(default), true) => format!("`{}`", default.replace('|', "\\|")),
                (Some(_), false) => "may be left out".to_string(),
                (None, _) => String::new(),
            };
            let help = escaped(param.help).replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {default} | {help} |", param.name);
        }
    }
    for example in spec.examples {
        let _ = writeln!(out, "\n```sql\n{}\n```\n", example.sql);
        let _ = writeln!(out, "```\n{}\n```", example.result);
    }
    if !spec.also.is_empty() {
        let _ = writeln!(out, "\nComing from: {}.", spec.also.join(", "));
    }
    if !spec.source.is_empty() {
        let _ = writeln!(
            out,
            "\nSource: {}.",
            escaped(spec.source.trim_end_matches('.'))
        );
    }
}

/// Text in which Markdown finds no marks of its own.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '<' | '>' | '_' | '[' | ']' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `sklearn.preprocessing.StandardScaler` is found by its last part too.
fn is_called(spec: &Spec, name: &str) -> bool {
    spec.also
        .iter()
        .any(|also| also.eq_ignore_ascii_case(name) || last_part(also).eq_ignore_ascii_case(name))
}

fn last_part(name: &str) -> &str {
    let name = name.trim_end_matches("()");
    name.rsplit(['.', ' ']).next().unwrap_or(name)
}

fn own(spec: &Spec, color: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}\n\n  {}",
        style::paint(color, style::strong(), &spec.syntax()),
        spec.summary
    );
    if spec.kind == Kind::Fitted {
        out.push_str("  Learns from all rows; with PARTITION BY from those of each group.\n");
    }
    if !spec.params.is_empty() {
        out.push('\n');
        let longest = spec.params.iter().map(|p| p.name.len()).max().unwrap_or(0);
        for param in spec.params {
            let default = match (param.default, param.option) {
                (Some(default), true) => format!(" [default: {default}]"),
                (Some(_), false) => " [optional]".to_string(),
                (None, _) => String::new(),
            };
            let _ = writeln!(out, "  {:<longest$}  {}{default}", param.name, param.help);
        }
    }
    for example in spec.examples {
        let _ = writeln!(
            out,
            "\n  {}",
            style::paint(color, style::faint(), "example")
        );
        for line in example.sql.lines() {
            let _ = writeln!(out, "    {line}");
        }
        for line in example.result.lines() {
            let _ = writeln!(
                out,
                "    {}",
                style::paint(color, style::faint(), &format!("-> {line}"))
            );
        }
    }
    if !spec.also.is_empty() {
        let _ = writeln!(out, "\n  also known as {}", spec.also.join(", "));
    }
    if !spec.source.is_empty() {
        let _ = writeln!(out, "  source: {}", spec.source);
    }
    out
}

fn builtin(ctx: &SessionContext, name: &str, color: bool) -> Option<String> {
    let state = ctx.state_ref();
    let state = state.read();
    let about = |documentation: Option<&Documentation>| match documentation {
        Some(documentation) => documented(documentation, color),
        None => format!("{name}(...)\n\n  A function of DataFusion without documentation.\n"),
    };
    if let Some(function) = state.scalar_functions().get(name) {
        return Some(about(function.documentation()));
    }
    if let Some(function) = state.aggregate_functions().get(name) {
        return Some(about(function.documentation()));
    }
    if let Some(function) = state.window_functions().get(name) {
        return Some(about(function.documentation()));
    }
    state.table_functions().get(name).map(|_| about(None))
}

fn documented(documentation: &Documentation, color: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}\n\n  {}",
        style::paint(color, style::strong(), &documentation.syntax_example),
        documentation.description.trim().replace('\n', "\n  ")
    );
    if let Some(arguments) = documentation.arguments.as_ref().filter(|a| !a.is_empty()) {
        out.push('\n');
        for (name, help) in arguments {
            let _ = writeln!(out, "  {name}  {help}");
        }
    }
    if let Some(example) = &documentation.sql_example {
        out.push('\n');
        for line in example
            .lines()
            .filter(|line| !line.trim().starts_with("```"))
        {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}
