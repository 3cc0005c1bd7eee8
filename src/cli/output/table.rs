//! Tables for people, fitted to the terminal: columns are shortened, then those in the middle left
//! out; of a long result the first and the last rows are shown. Only these rows are kept in memory.

use std::collections::VecDeque;
use std::io::Write;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};
use datafusion::common::Result;

use super::values::{NULL, cell, count, counted, is_number, plain, type_name};
use super::{View, Writer};
use crate::cli::width;

/// Rounded corners, one line under the header.
const BORDERS: &str = "││──├─┼┤│    ┬┴╭╮╰╯";
/// Stands in a row or a column for those left out.
const ROWS_LEFT_OUT: &str = "⋮";
/// A text is never cut below this while columns can be left out instead.
const NARROWEST: usize = 12;
/// What one value may take where no terminal limits it.
const WIDEST: usize = 1000;
/// Two spaces and a border.
const AROUND: usize = 3;

/// Keeps the rows to be shown, then draws them.
pub struct TableWriter {
    schema: SchemaRef,
    view: View,
    head: Vec<RecordBatch>,
    head_rows: usize,
    tail: VecDeque<RecordBatch>,
    tail_rows: usize,
    total: u64,
}

impl TableWriter {
    pub fn new(schema: SchemaRef, view: View) -> Self {
        Self {
            schema,
            view,
            head: Vec::new(),
            head_rows: 0,
            tail: VecDeque::new(),
            tail_rows: 0,
            total: 0,
        }
    }

    /// Rows of the end that are shown when there are too many.
    fn last(&self) -> usize {
        self.view.rows / 2
    }

    /// The rows to be shown: a batch and a row in it.
    fn rows(&self) -> Vec<(&RecordBatch, usize)> {
        let mut rows: Vec<_> = self
            .head
            .iter()
            .chain(&self.tail)
            .flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)))
            .collect();
        if rows.len() > self.view.rows {
            let first = self.view.rows - self.last();
            rows.drain(first..rows.len() - self.last());
        }
        rows
    }
}

impl Writer for TableWriter {
    fn write(&mut self, batch: &RecordBatch, _out: &mut dyn Write) -> Result<()> {
        self.total += batch.num_rows() as u64;
        let begin = (self.view.rows - self.head_rows).min(batch.num_rows());
        if begin > 0 {
            self.head.push(batch.slice(0, begin));
            self.head_rows += begin;
        }
        let rest = batch.num_rows() - begin;
        let last = self.last();
        if rest == 0 || last == 0 {
            return Ok(());
        }
        let kept = rest.min(last);
        self.tail
            .push_back(batch.slice(batch.num_rows() - kept, kept));
        self.tail_rows += kept;
        while let Some(oldest) = self.tail.front() {
            if self.tail_rows - oldest.num_rows() < last {
                break;
            }
            self.tail_rows -= oldest.num_rows();
            self.tail.pop_front();
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        if is_plan(&self.schema) {
            return plan(&self.rows(), out);
        }
        if self.schema.fields().is_empty() {
            if self.total > 0 {
                writeln!(out, "{}", counted(self.total, "row"))?;
            }
            return Ok(());
        }
        let rows = self.rows();
        let cut = self.total > rows.len() as u64;
        let layout = layout(&self.schema, &rows, self.view.width);
        let drawn = draw(
            &layout,
            rows.len(),
            cut.then(|| self.view.rows - self.last()),
            self.view,
        );
        writeln!(out, "{drawn}")?;
        let mut note = Vec::new();
        if cut {
            note.push(format!(
                "{} rows, {} shown",
                count(self.total),
                count(rows.len() as u64)
            ));
        }
        if layout.left_out > 0 {
            let columns = self.schema.fields().len();
            note.push(format!(
                "{} columns, {} shown",
                count(columns as u64),
                count((columns - layout.left_out) as u64)
            ));
        }
        if self.total == 0 {
            note.push("no rows".to_string());
        }
        if !note.is_empty() {
            writeln!(out, "{}", note.join("; "))?;
        }
        Ok(())
    }
}

/// One batch as a table.
pub fn render(batch: &RecordBatch, view: View) -> Result<String> {
    let mut writer = TableWriter::new(batch.schema(), view);
    let mut out = Vec::new();
    writer.write(batch, &mut out)?;
    writer.finish(&mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// EXPLAIN's answer: text of many lines, which a box would only cut.
fn is_plan(schema: &SchemaRef) -> bool {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names == ["plan_type", "plan"]
}

fn plan(rows: &[(&RecordBatch, usize)], out: &mut dyn Write) -> Result<()> {
    for (batch, row) in rows {
        let title = cell(batch.column(0), *row, WIDEST).unwrap_or_default();
        writeln!(out, "{title}")?;
        let text = cell(batch.column(1), *row, usize::MAX).unwrap_or_default();
        for line in text.trim_end().lines() {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

/// A column as it is shown.
struct Shown {
    name: String,
    type_name: String,
    number: bool,
    /// `None` is NULL.
    cells: Vec<Option<String>>,
    width: usize,
}

impl Shown {
    fn new(schema: &SchemaRef, index: usize, rows: &[(&RecordBatch, usize)], lines: bool) -> Self {
        let field = schema.field(index);
        let mut cells = Vec::with_capacity(rows.len());
        // The rows of a batch stand together, so a dictionary is looked up once a batch.
        let mut column: Option<(*const RecordBatch, ArrayRef)> = None;
        for (batch, row) in rows {
            let at = std::ptr::from_ref(*batch);
            if column.as_ref().is_none_or(|(seen, _)| *seen != at) {
                let array = batch.column(index);
                let array = plain(array).unwrap_or_else(|_| ArrayRef::clone(array));
                column = Some((at, array));
            }
            cells.push(column.as_ref().and_then(|(_, array)| {
                cell(array.as_ref() as &dyn Array, *row, WIDEST).map(|text| {
                    if lines {
                        text.lines()
                            .map(width::visible)
                            .collect::<Vec<_>>()
                            .join("\n")
                    } else {
                        width::visible(&text)
                    }
                })
            }));
        }
        Self {
            name: width::visible(field.name()),
            type_name: width::visible(&type_name(field.data_type())),
            number: is_number(field.data_type()),
            cells,
            width: 0,
        }
    }

    fn need(&self) -> Need {
        let widest = self
            .cells
            .iter()
            .map(|c| c.as_deref().map_or(NULL.len(), lines_width))
            .max()
            .unwrap_or(0)
            .min(WIDEST);
        let header = width::of(&self.name).max(width::of(&self.type_name));
        let want = widest.max(header).max(1);
        // A number that is cut is another number; its header may be cut.
        let least = if self.number {
            widest.max(header.min(NARROWEST))
        } else {
            want.min(NARROWEST)
        };
        Need {
            least: least.max(1),
            want,
        }
    }
}

fn lines_width(text: &str) -> usize {
    text.lines().map(width::of).max().unwrap_or(0)
}

/// The width a column must and would like to have.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Need {
    least: usize,
    want: usize,
}

struct Layout {
    columns: Vec<Shown>,
    /// How many columns stand before those left out.
    before: usize,
    left_out: usize,
}

fn layout(schema: &SchemaRef, rows: &[(&RecordBatch, usize)], available: Option<usize>) -> Layout {
    let columns = schema.fields().len();
    // The one row of SHOW and the like is often a text of several lines, to be read as such.
    let lines = rows.len() == 1;
    let show = |index| Shown::new(schema, index, rows, lines);
    let Some(available) = available else {
        let mut all: Vec<Shown> = (0..columns).map(show).collect();
        for column in &mut all {
            column.width = column.need().want;
        }
        return Layout {
            before: all.len(),
            columns: all,
            left_out: 0,
        };
    };

    // Columns are looked at from both ends, as far as they can fit: of ten thousand a few.
    let mut left: Vec<(Shown, Need)> = Vec::new();
    let mut right: Vec<(Shown, Need)> = Vec::new();
    let mut used = 1;
    let gap = AROUND + 1;
    let mut fits_without_gap = true;
    let mut kept_with_gap = (0, 0);
    while left.len() + right.len() < columns {
        let from_left = left.len() <= right.len();
        let index = if from_left {
            left.len()
        } else {
            columns - 1 - right.len()
        };
        let shown = show(index);
        let need = shown.need();
        used += need.least + AROUND;
        if from_left {
            left.push((shown, need));
        } else {
            right.push((shown, need));
        }
        if used + gap <= available {
            kept_with_gap = (left.len(), right.len());
        }
        if used > available {
            fits_without_gap = false;
            break;
        }
    }
    let mut left_out = 0;
    let mut room = available;
    if !fits_without_gap {
        // One column is shown whatever it takes.
        left.truncate(kept_with_gap.0.max(1));
        right.truncate(kept_with_gap.1);
        left_out = columns - left.len() - right.len();
        if left_out > 0 {
            room = room.saturating_sub(gap);
        }
    }
    let before = left.len();
    let (mut shown, needs): (Vec<Shown>, Vec<Need>) =
        left.into_iter().chain(right.into_iter().rev()).unzip();
    for (column, width) in shown.iter_mut().zip(widths(&needs, room)) {
        column.width = width;
    }
    Layout {
        columns: shown,
        before,
        left_out,
    }
}

/// The widths within `available`: all get what they must have, then the narrow ones what they want,
/// and the wide ones share what is left.
fn widths(needs: &[Need], available: usize) -> Vec<usize> {
    let room = available.saturating_sub(1 + AROUND * needs.len());
    let capped = |cap: usize| needs.iter().map(move |n| n.want.min(cap).max(n.least));
    let widest = needs.iter().map(|n| n.want).max().unwrap_or(0);
    // The largest cap that fits.
    let (mut low, mut high) = (0, widest);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if capped(middle).sum::<usize>() <= room {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let mut widths: Vec<usize> = capped(low).collect();
    let mut spare = room.saturating_sub(widths.iter().sum());
    for (width, need) in widths.iter_mut().zip(needs) {
        if spare > 0 && *width < need.want {
            *width += 1;
            spare -= 1;
        }
    }
    // A single column that must have more than there is.
    if let ([width], true) = (widths.as_mut_slice(), room > 0) {
        *width = (*width).min(room);
    }
    widths
}

fn draw(layout: &Layout, rows: usize, cut_after: Option<usize>, view: View) -> Table {
    let mut table = Table::new();
    table
        .load_preset(BORDERS)
        .set_content_arrangement(ContentArrangement::Disabled)
        .force_no_tty();
    if view.color {
        table.enforce_styling();
    }
    let gap = (layout.left_out > 0).then_some(layout.before);
    let line = |cells: Vec<Cell>, filler: &str| {
        let mut cells = cells;
        if let Some(at) = gap {
            cells.insert(at, Cell::new(filler).add_attribute(Attribute::Dim));
        }
        cells
    };
    let header = layout.columns.iter().map(|column| {
        Cell::new(format!(
            "{}\n{}",
            width::cut(&column.name, column.width),
            width::cut(&column.type_name, column.width)
        ))
    });
    table.set_header(line(header.collect(), width::CUT));
    for row in 0..rows {
        if cut_after == Some(row) {
            let dots = layout
                .columns
                .iter()
                .map(|_| Cell::new(ROWS_LEFT_OUT).add_attribute(Attribute::Dim));
            table.add_row(line(dots.collect(), ROWS_LEFT_OUT));
        }
        let cells = layout
            .columns
            .iter()
            .map(|column| match &column.cells[row] {
                Some(text) => Cell::new(
                    text.lines()
                        .map(|part| width::cut(part, column.width))
                        .collect::<Vec<_>>()
                        .join("\n"),
                ),
                None => Cell::new(width::cut(NULL, column.width)).add_attribute(Attribute::Dim),
            });
        table.add_row(line(cells.collect(), width::CUT));
    }
    let numbers = layout.columns.iter().enumerate().filter(|(_, c)| c.number);
    for (index, _) in numbers {
        let index = match gap {
            Some(at) if index >= at => index + 1,
            _ => index,
        };
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn render(batches: &[RecordBatch], width: Option<usize>, rows: usize) -> String {
        let view = View {
            width,
            color: false,
            rows,
        };
        let mut writer = TableWriter::new(batches[0].schema(), view);
        let mut out = Vec::new();
        for batch in batches {
            writer.write(batch, &mut out).unwrap();
        }
        writer.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn wide(columns: usize, text: &str) -> RecordBatch {
        let fields: Vec<Field> = (0..columns)
            .map(|i| Field::new(format!("c{i}"), DataType::Utf8, true))
            .collect();
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some(text), None]));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![column; columns]).unwrap()
    }

    #[test]
    fn a_small_table() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a\nb"), None]));
        let ages: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(100)]));
        let batch = RecordBatch::try_from_iter([("name", names), ("age", ages)]).unwrap();
        assert_eq!(
            render(&[batch], None, 40),
            "\
╭──────┬───────╮
│ name │   age │
│ text │ int64 │
├──────┼───────┤
│ a\\nb │     7 │
│ NULL │   100 │
╰──────┴───────╯
"
        );
    }

    #[test]
    fn a_long_result_keeps_both_ends() {
        let batches: Vec<_> = (0..100).map(|i| numbers(i * 10..i * 10 + 10)).collect();
        let text = render(&batches, None, 4);
        let shown: Vec<&str> = text
            .lines()
            .skip(4)
            .map(|l| l.trim_matches(['│', ' ']))
            .take(5)
            .collect();
        assert_eq!(shown, ["0", "1", "⋮", "998", "999"]);
        assert!(text.ends_with("1,000 rows, 4 shown\n"), "{text}");
    }

    #[test]
    fn the_ends_meet_whatever_the_batches() {
        for size in [1, 2, 3, 7, 41] {
            for total in [3, 4, 5, 6, 41] {
                let batches: Vec<_> = (0..total)
                    .step_by(size)
                    .map(|at| numbers(at as i64..(at + size).min(total) as i64))
                    .collect();
                let text = render(&batches, None, 4);
                assert!(text.contains(&format!(" {} │", total - 1)), "{text}");
                assert_eq!(text.contains("shown"), total > 4, "{text}");
                assert!(!text.contains(" 2 │") || total <= 4, "{text}");
            }
        }
    }

    #[test]
    fn no_rows() {
        assert!(render(&[numbers(0..0)], None, 40).ends_with("no rows\n"));
    }

    #[test]
    fn tables_fit() {
        for columns in [1, 2, 5, 9, 10_000] {
            for text in ["x", "a rather long text that is worth reading to its end"] {
                for available in [20, 40, 80, 133] {
                    let table = render(&[wide(columns, text)], Some(available), 40);
                    for line in table.lines().filter(|l| l.starts_with('│')) {
                        assert!(width::of(line) <= available, "{available}:\n{table}");
                    }
                    assert!(table.contains("c0"), "{table}");
                }
            }
        }
        let table = render(&[wide(10_000, "x")], Some(80), 40);
        assert!(table.contains("c9999"), "{table}");
        assert!(table.contains("10,000 columns, "), "{table}");
    }

    #[test]
    fn widths_are_shared() {
        let need = |least, want| Need { least, want };
        // All fit.
        assert_eq!(widths(&[need(3, 3), need(5, 9)], 80), [3, 9]);
        // The narrow ones keep theirs, the wide ones share the rest.
        assert_eq!(
            widths(&[need(3, 3), need(12, 100), need(12, 50)], 1 + 9 + 43),
            [3, 20, 20]
        );
        assert_eq!(widths(&[need(200, 200)], 40), [36]);
    }
}
