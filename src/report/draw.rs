//! Plots as SVG without colours of their own: the page's style gives them, for light and for dark.

use std::fmt::Write as _;

use chrono::DateTime;
use datafusion::arrow::datatypes::DataType;

use super::page::escape;
use super::{Bin, Column};

/// Width and height of a histogram.
const WIDTH: f64 = 260.0;
const HEIGHT: f64 = 96.0;
/// Shades on either side of none in a map.
const SHADES: usize = 9;
/// Letters of a label.
const LABEL: usize = 22;

/// Both distributions of a column over each other.
pub fn histogram(column: &Column) -> String {
    let numbers: Vec<&Bin> = column.bins.iter().filter(|b| b.kind == "number").collect();
    if numbers.is_empty() {
        return bars(&column.bins.iter().collect::<Vec<_>>());
    }
    let rest: Vec<&Bin> = column.bins.iter().filter(|b| b.kind != "number").collect();
    let most = numbers.iter().flat_map(|b| b.shares).fold(0.0, f64::max);
    let step = WIDTH / numbers.len() as f64;
    let mut bodies = [String::new(), String::new()];
    for (at, bin) in numbers.iter().enumerate() {
        for (body, share) in bodies.iter_mut().zip(bin.shares) {
            let height = if most > 0.0 {
                share / most * HEIGHT
            } else {
                0.0
            };
            let _ = write!(
                body,
                "<rect x='{:.1}' y='{:.1}' width='{:.1}' height='{height:.1}'/>",
                at as f64 * step,
                HEIGHT - height,
                (step - 0.6).max(0.4)
            );
        }
    }
    let bound = |bin: Option<&&Bin>, end: usize| {
        bin.and_then(|b| b.range)
            .map_or_else(String::new, |r| value(&column.data_type, r[end]))
    };
    let [real, synthetic] = bodies;
    let mut out = format!(
        "<svg viewBox='0 0 {WIDTH} {}' role='img'><g class='r'>{real}</g><g class='s'>{synthetic}</g>\
         <text x='0' y='{1}'>{2}</text><text x='{WIDTH}' y='{1}' text-anchor='end'>{3}</text></svg>",
        HEIGHT + 16.0,
        HEIGHT + 13.0,
        escape(&bound(numbers.first(), 0)),
        escape(&bound(numbers.last(), 1)),
    );
    if !rest.is_empty() {
        out += &bars(&rest);
    }
    out
}

/// A bar a category, that of the synthetic rows within that of the real ones.
fn bars(bins: &[&Bin]) -> String {
    if bins.is_empty() {
        return "<p class='faint'>no values</p>".to_string();
    }
    const ROW: f64 = 15.0;
    const LEFT: f64 = 112.0;
    let most = bins.iter().flat_map(|b| b.shares).fold(0.0, f64::max);
    let mut out = format!(
        "<svg viewBox='0 0 {WIDTH} {:.0}' role='img'>",
        ROW * bins.len() as f64 + 2.0
    );
    for (at, bin) in bins.iter().enumerate() {
        let y = at as f64 * ROW;
        let name = match (bin.kind.as_str(), &bin.category) {
            ("category", Some(text)) => shortened(text),
            (kind, _) => format!("({kind})"),
        };
        let [real, synthetic] = bin.shares.map(|s| {
            if most > 0.0 {
                s / most * (WIDTH - LEFT - 36.0)
            } else {
                0.0
            }
        });
        let _ = write!(
            out,
            "<text x='{:.0}' y='{:.1}' text-anchor='end'>{}</text>\
             <rect class='r' x='{LEFT}' y='{:.1}' width='{real:.1}' height='11'/>\
             <rect class='s' x='{LEFT}' y='{:.1}' width='{synthetic:.1}' height='5'/>\
             <text x='{:.1}' y='{:.1}'>{:.1}%</text>",
            LEFT - 5.0,
            y + 10.5,
            escape(&name),
            y + 1.5,
            y + 4.5,
            LEFT + real.max(synthetic) + 4.0,
            y + 10.5,
            bin.shares[0] * 100.0,
        );
    }
    out + "</svg>"
}

/// A square a pair of columns: above none in one colour, below in another, the stronger the farther from 0.
pub fn map(names: &[String], value: impl Fn(usize, usize) -> Option<f64>) -> String {
    let n = names.len();
    // names fit beside few columns only; the order is that of the table
    let named = n <= 40;
    let margin = if named { 9.0 } else { 0.0 };
    let mut shades = vec![String::new(); 2 * SHADES + 1];
    for a in 0..n {
        for b in 0..n {
            let strength = if a == b {
                Some(1.0)
            } else {
                value(a.min(b), a.max(b))
            };
            if let Some(strength) = strength {
                let shade = (strength.clamp(-1.0, 1.0) * SHADES as f64).round() + SHADES as f64;
                let _ = write!(shades[shade as usize], "M{a} {b}h1v1h-1z");
            }
        }
    }
    let mut out = format!(
        "<svg class='map' viewBox='{:.1} 0 {:.1} {n}' role='img'><rect class='none' width='{n}' height='{n}'/>",
        -margin,
        n as f64 + margin
    );
    for (shade, path) in shades
        .iter()
        .enumerate()
        .filter(|(_, path)| !path.is_empty())
    {
        let strength = (shade as f64 - SHADES as f64) / SHADES as f64;
        let class = if strength < 0.0 { "minus" } else { "plus" };
        let _ = write!(
            out,
            "<path class='{class}' opacity='{:.2}' d='{path}'/>",
            strength.abs()
        );
    }
    if named {
        for (at, name) in names.iter().enumerate() {
            let _ = write!(
                out,
                "<text x='-0.3' y='{:.1}' text-anchor='end' style='font-size:.62px'>{}</text>",
                at as f64 + 0.7,
                escape(&shortened(name))
            );
        }
    }
    out + "</svg>"
}

/// A text that fits beside a plot.
fn shortened(text: &str) -> String {
    match text.chars().count() > LABEL {
        true => text.chars().take(LABEL - 1).chain(['…']).collect(),
        false => text.to_string(),
    }
}

/// A number of an axis, or the time that it stands for.
fn value(data_type: &DataType, x: f64) -> String {
    let time = match data_type {
        DataType::Date32 | DataType::Date64 => Some("%Y-%m-%d"),
        DataType::Timestamp(..) => Some("%Y-%m-%d %H:%M"),
        _ => None,
    };
    let shown = time.and_then(|format| {
        let time = DateTime::from_timestamp(x as i64, 0)?;
        Some(time.format(format).to_string())
    });
    shown.unwrap_or_else(|| number(x))
}

/// A number with as many digits as tell something.
pub fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_string(),
        size if !(1e-4..1e15).contains(&size) => format!("{x:.3e}"),
        _ if x.fract() == 0.0 => format!("{x}"),
        size if size >= 1000.0 => format!("{x:.0}"),
        _ => format!("{x:.4}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times() {
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(12345.678), "12346");
        assert_eq!(number(1e300), "1.000e300");
        assert_eq!(number(-3.0), "-3");
        assert_eq!(value(&DataType::Date32, 86_400.0), "1970-01-02");
        assert_eq!(value(&DataType::Date32, f64::MAX), "1.798e308");
        assert_eq!(shortened("ä".repeat(30).as_str()).chars().count(), LABEL);
    }

    #[test]
    fn a_map_has_a_square_a_pair() {
        let names = ["a<b".to_string(), "c".to_string()];
        let svg = map(&names, |_, _| Some(-0.5));
        assert_eq!(svg.matches("h1v1").count(), 4);
        assert!(svg.contains("a&lt;b") && svg.contains("minus"));
        assert!(map(&[], |_, _| None).contains("<svg"));
    }

    #[test]
    fn columns_of_nothing() {
        let column = |bins| Column {
            name: "x".into(),
            data_type: DataType::Utf8,
            bins,
        };
        assert!(histogram(&column(Vec::new())).contains("no values"));
        let missing = Bin {
            kind: "missing".into(),
            range: None,
            category: None,
            shares: [1.0, 0.0],
        };
        assert!(histogram(&column(vec![missing])).contains("(missing)"));
    }
}
