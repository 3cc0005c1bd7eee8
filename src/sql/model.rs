//! Models to and from files, and the picture of a training.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use plotters::prelude::{
    ChartBuilder, IntoDrawingArea, LineSeries, PathElement, SVGBackend, WHITE,
};
use plotters::style::{Color, Palette, Palette99};
use seedbed_udfs::synthesize::{self, History, Model};

use super::transform::write_file;

/// Writes a model to a file: the whole or nothing.
pub fn export(model: &dyn Model, path: &str) -> Result<()> {
    write_file(path, &model.to_bytes()?)
}

/// Reads a model from a file; its name is the file's if none is given.
pub fn import(path: &str, name: Option<&str>) -> Result<(String, Arc<dyn Model>)> {
    let bytes =
        fs::read(path).map_err(|error| exec_datafusion_err!("{path} cannot be read: {error}"))?;
    let model = synthesize::load(&bytes).map_err(|error| {
        exec_datafusion_err!(
            "{path}: {}. EXPORT MODEL m TO '{path}' writes one",
            error.message()
        )
    })?;
    let name = match name {
        Some(name) => name.to_string(),
        None => {
            let stem = Path::new(path)
                .file_stem()
                .map(|stem| stem.to_string_lossy());
            stem.unwrap_or_default().to_lowercase()
        }
    };
    Ok((name, model))
}

/// Draws the losses over the epochs as an SVG file.
pub fn plot_history(name: &str, history: &History, path: &str) -> Result<()> {
    let is_svg = Path::new(path)
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("svg"));
    if !is_svg {
        return plan_err!(
            "EXPORT MODEL HISTORY draws SVG. Write EXPORT MODEL HISTORY {name} TO 'loss.svg', or COPY (SELECT * \
             FROM model_history('{name}')) TO '{path}' for the numbers"
        );
    }
    if history.epochs.is_empty() {
        return exec_err!("model {name} was not trained in epochs, so it has no history to draw");
    }
    let mut picture = String::new();
    draw(name, history, &mut picture).map_err(|error| {
        exec_datafusion_err!("the history of model {name} cannot be drawn: {error}")
    })?;
    write_file(path, picture.as_bytes())
}

fn draw(
    name: &str,
    history: &History,
    picture: &mut String,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let values = || history.epochs.iter().flatten().map(|loss| f64::from(*loss));
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.05).max(1e-6);
    let area = SVGBackend::with_string(picture, (800, 500)).into_drawing_area();
    area.fill(&WHITE)?;
    let epochs = history.epochs.len().max(2) as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("Losses of model {name}"), ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(45)
        .y_label_area_size(65)
        .build_cartesian_2d(1.0..epochs, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc("loss")
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .draw()?;
    for (i, loss) in history.names.iter().enumerate() {
        let style = Palette99::pick(i).stroke_width(2);
        let points = history
            .epochs
            .iter()
            .zip(1u32..)
            .filter_map(|(losses, epoch)| Some((f64::from(epoch), f64::from(*losses.get(i)?))));
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(loss)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(Palette99::pick(7))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_holds_the_model_and_damaged_ones_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("People.safetensors");
        let shown = path.to_str().unwrap();
        let seedbed = crate::Seedbed::open(crate::Options::default()).unwrap();
        let query = "SELECT value AS id, value % 7 AS x, value * 37 % 100 AS y FROM generate_series(1, 200)";
        let sql = format!(
            "CREATE MODEL m USING gan OPTIONS (epochs 1, constraints (unique (id))) AS {query}; \
             EXPORT MODEL m TO '{shown}'; IMPORT MODEL FROM '{shown}'; IMPORT MODEL copy FROM '{shown}'"
        );
        seedbed.sql(&sql).await.unwrap();
        let rows = |name: &str| format!("SELECT * FROM sample('{name}', 300, seed => 4)");
        let of = |name: &'static str| {
            let sql = rows(name);
            let seedbed = &seedbed;
            async move { seedbed.sql(&sql).await.unwrap() }
        };
        assert_eq!(of("m").await, of("people").await);
        assert_eq!(of("m").await, of("copy").await);
        let error = |sql: String| {
            let seedbed = &seedbed;
            async move { seedbed.sql(&sql).await.unwrap_err().to_string() }
        };
        let twice = error(format!("IMPORT MODEL copy FROM '{shown}'")).await;
        assert!(twice.contains("IMPORT OR REPLACE MODEL copy"), "{twice}");
        let lenient = format!("IMPORT MODEL IF NOT EXISTS copy FROM '{shown}'");
        seedbed.sql(&lenient).await.unwrap();
        let replace = format!("IMPORT OR REPLACE MODEL copy FROM '{shown}'");
        seedbed.sql(&replace).await.unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
        let cut = error(replace.clone()).await;
        assert!(cut.contains("the model file is damaged"), "{cut}");
        fs::write(&path, "PAR1").unwrap();
        let foreign = error(replace).await;
        assert!(
            foreign.contains("not a model file") && foreign.contains("EXPORT MODEL m TO"),
            "{foreign}"
        );
        let none = error("IMPORT MODEL x FROM 'nowhere/x'".to_string()).await;
        assert!(none.contains("cannot be read"), "{none}");
    }

    #[test]
    fn a_history_becomes_a_picture_with_a_line_a_loss() {
        let history = History {
            names: vec!["generator".to_string(), "discriminator".to_string()],
            epochs: (0..30)
                .map(|i| vec![i as f32, 1.0 / (i + 1) as f32])
                .collect(),
            ..History::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.svg");
        let path = path.to_str().unwrap();
        plot_history("m", &history, path).unwrap();
        let picture = fs::read_to_string(path).unwrap();
        assert!(picture.starts_with("<svg") && picture.contains("generator"));
        // two lines with a point an epoch
        let lines = picture.split("<polyline").filter(|line| {
            line.split("points=\"")
                .nth(1)
                .is_some_and(|p| p.split(' ').count() >= 30)
        });
        assert_eq!(lines.count(), 2, "{picture}");
        let error = plot_history("m", &history, "loss.png").unwrap_err();
        assert!(error.to_string().contains("'loss.svg'"), "{error}");
        let none = plot_history("m", &History::default(), path).unwrap_err();
        assert!(none.to_string().contains("not trained in epochs"), "{none}");
        let one = History {
            names: vec!["loss".to_string()],
            epochs: vec![vec![0.5]],
            ..History::default()
        };
        plot_history("m", &one, path).unwrap();
    }
}
