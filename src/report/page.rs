//! The page.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::draw::{histogram, map, number};
use super::{Findings, Metric};

const STYLE: &str = include_str!("style.css");
/// Pairs of columns that are listed.
const MOST_PAIRS: usize = 20;

/// A text as HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// All of it.
pub fn page(findings: &Findings) -> String {
    let title = format!(
        "{} beside {}",
        findings.request.synthetic, findings.request.real
    );
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>\
         <meta name='viewport' content='width=device-width,initial-scale=1'>\
         <title>{}</title>\n<style>\n{STYLE}</style></head>\n<body>\n",
        escape(&title)
    );
    head(findings, &mut out);
    summary(findings, &mut out);
    distributions(findings, &mut out);
    relations(findings, &mut out);
    section(
        findings,
        "Privacy",
        &["dcr_share", "copies", "distance_"],
        &mut out,
    );
    section(
        findings,
        "Coverage",
        &["range_", "boundary_", "category_", "missing_"],
        &mut out,
    );
    all(findings, &mut out);
    out + "</body></html>\n"
}

fn head(findings: &Findings, out: &mut String) {
    let _ = write!(
        out,
        "<h1>Synthetic rows beside real ones</h1><table class='plain'>"
    );
    let request = &findings.request;
    let names = [
        ("real", 'r', Some(&request.real)),
        ("synthetic", 's', Some(&request.synthetic)),
        ("held out", ' ', request.holdout.as_ref()),
    ];
    let given = names
        .iter()
        .filter_map(|(what, class, name)| name.map(|n| (what, class, n)));
    for ((what, class, name), rows) in given.zip(&findings.rows) {
        let _ = write!(
            out,
            "<tr><td><span class='key {class}'></span>{what}</td><td>{}</td><td class='n'>{rows} rows</td></tr>",
            escape(name)
        );
    }
    let _ = write!(
        out,
        "</table><p class='faint'>{} columns",
        findings.columns.len()
    );
    if let Some(target) = &request.target {
        let _ = write!(out, ", target {}", escape(target));
    }
    out.push_str("</p>\n");
}

/// The metrics of the tables as wholes, each with a sentence.
fn summary(findings: &Findings, out: &mut String) {
    out.push_str("<h2>In short</h2><div class='tiles'>");
    let wholes = ["shape", "trend", "wnmis", "c2st", "dcr_share", "copies"];
    let shown = findings.metrics.iter().filter(|m| {
        let whole = m.column.is_none() && wholes.contains(&m.name.as_str());
        whole || m.name.starts_with("tstr") || m.name.starts_with("trtr")
    });
    for metric in shown {
        let _ = write!(
            out,
            "<div><b>{}</b><i>{}</i><p>{}</p></div>",
            shown_value(metric),
            escape(&metric.name),
            escape(&metric.meaning)
        );
    }
    out.push_str("</div>\n");
}

fn shown_value(metric: &Metric) -> String {
    metric.value.map_or("–".to_string(), number)
}

fn distributions(findings: &Findings, out: &mut String) {
    let shapes: HashMap<&str, &Metric> = findings
        .metrics
        .iter()
        .filter(|m| m.name == "ks_complement" || m.name == "tv_complement")
        .filter_map(|m| Some((m.column.as_deref()?, m)))
        .collect();
    out.push_str(
        "<h2>Columns</h2><p>Shares of the rows, <span class='key r'></span>real and <span class='key s'></span>synthetic; \
         beside the name how alike they are, 1 being the same.</p><div class='plots'>",
    );
    for column in &findings.columns {
        let shape = shapes.get(column.name.as_str());
        let poor = shape.and_then(|m| m.value).is_some_and(|v| v < 0.9);
        let _ = write!(
            out,
            "<figure><figcaption><b>{}</b> <span class='{}' title='{}'>{}</span></figcaption>{}</figure>",
            escape(&column.name),
            if poor { "poor" } else { "faint" },
            shape.map_or_else(String::new, |m| escape(&m.meaning)),
            shape.map_or_else(String::new, |m| shown_value(m)),
            histogram(column)
        );
    }
    out.push_str("</div>\n");
}

fn relations(findings: &Findings, out: &mut String) {
    let names: Vec<String> = findings.columns.iter().map(|c| c.name.clone()).collect();
    let of = |metric: &str| -> HashMap<&str, f64> {
        let metrics = findings.metrics.iter().filter(|m| m.name == metric);
        metrics
            .filter_map(|m| Some((m.column.as_deref()?, m.value?)))
            .collect()
    };
    let (real, synthetic) = (of("association_real"), of("association_synthetic"));
    out.push_str(
        "<h2>Pairs of columns</h2><p>How strongly columns go together: Pearson's correlation of two numbers, \
         <span class='key plus'></span>above and <span class='key minus'></span>below 0, Cramér's V of other pairs.</p>\
         <div class='maps'>",
    );
    for (title, table) in [("real", &real), ("synthetic", &synthetic)] {
        let value = |a: usize, b: usize| {
            table
                .get(format!("{}, {}", names[a], names[b]).as_str())
                .copied()
        };
        let _ = write!(
            out,
            "<figure><figcaption>{title}</figcaption>{}</figure>",
            map(&names, value)
        );
    }
    out.push_str("</div>\n");
    let mut pairs: Vec<&Metric> = (findings.metrics.iter())
        .filter(|m| m.name == "correlation_similarity" || m.name == "contingency_similarity")
        .filter(|m| m.value.is_some_and(|v| v < 1.0))
        .collect();
    pairs.sort_by(|a, b| a.value.unwrap_or(1.0).total_cmp(&b.value.unwrap_or(1.0)));
    if pairs.is_empty() {
        return;
    }
    out.push_str("<details><summary>The pairs that are least alike</summary><table><tr><th>pair</th><th>metric</th><th class='n'>value</th><th class='n'>real</th><th class='n'>synthetic</th></tr>");
    for metric in pairs.iter().take(MOST_PAIRS) {
        let pair = metric.column.as_deref().unwrap_or_default();
        let strength =
            |table: &HashMap<&str, f64>| table.get(pair).map_or("–".to_string(), |v| number(*v));
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td class='n'>{}</td><td class='n'>{}</td><td class='n'>{}</td></tr>",
            escape(pair),
            metric.name,
            shown_value(metric),
            strength(&real),
            strength(&synthetic)
        );
    }
    out.push_str("</table></details>\n");
}

/// A table of the metrics of the tables as wholes whose names begin in one of some ways.
fn section(findings: &Findings, title: &str, beginnings: &[&str], out: &mut String) {
    let metrics = (findings.metrics.iter())
        .filter(|m| m.column.is_none() && beginnings.iter().any(|b| m.name.starts_with(b)));
    let _ = write!(out, "<h2>{title}</h2>");
    rows(metrics, out);
}

fn all(findings: &Findings, out: &mut String) {
    out.push_str("<details><summary>The metrics of each column</summary>");
    let of_pairs = [
        "correlation_similarity",
        "contingency_similarity",
        "association_real",
        "association_synthetic",
    ];
    let metrics = (findings.metrics.iter())
        .filter(|m| m.column.is_some() && !of_pairs.contains(&m.name.as_str()));
    rows(metrics, out);
    out.push_str("</details>\n");
}

fn rows<'a>(metrics: impl Iterator<Item = &'a Metric>, out: &mut String) {
    out.push_str("<table>");
    for metric in metrics {
        let column = metric.column.as_deref().unwrap_or_default();
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td class='n'>{}</td><td>{}</td></tr>",
            escape(&metric.name),
            escape(column),
            shown_value(metric),
            escape(&metric.meaning)
        );
    }
    out.push_str("</table>\n");
}
