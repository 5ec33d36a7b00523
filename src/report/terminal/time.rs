//! Where the time goes: the heaviest statements, their numbers in a table and the text of each below its row.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{
    super::{View, escape::terminal_line, words::calls},
    layout::{Page, cut},
};
use crate::finding::{Report, TopQuery, figures};

/// Shown where an input does not tell.
const UNKNOWN: &str = "–";

/// A column: its heading and its figure. Columns that no statement has a figure for are left out.
struct Column {
    heading: &'static str,
    figure: fn(&TopQuery) -> Option<String>,
}

/// In order; the last ones go first where the terminal is narrow.
const COLUMNS: [Column; 9] = [
    Column {
        heading: "share",
        figure: |query| Some(figures::share(query.share)),
    },
    Column {
        heading: "calls",
        figure: |query| Some(calls(query)),
    },
    Column {
        heading: "mean",
        figure: |query| Some(figures::milliseconds(query.mean_ms)),
    },
    Column {
        heading: "p95",
        figure: |query| query.p95_ms.map(figures::milliseconds),
    },
    Column {
        heading: "rows/call",
        figure: |query| query.rows_per_call.map(figures::number),
    },
    Column {
        heading: "hit",
        figure: |query| query.hit_ratio.map(figures::share),
    },
    Column {
        heading: "I/O",
        figure: |query| query.io_ms.map(figures::milliseconds),
    },
    Column {
        heading: "temp",
        figure: |query| blocks(query.temp_blks),
    },
    Column {
        heading: "WAL",
        figure: |query| query.wal_bytes.filter(|&n| n > 0).map(figures::bytes),
    },
];

/// Bytes of a Postgres block as built by default; servers with another size are rare enough to be shown in units of 8 kB.
const BLOCK_BYTES: u64 = 8_192;

fn blocks(n: Option<u64>) -> Option<String> {
    n.filter(|&n| n > 0)
        .map(|n| figures::bytes(n * BLOCK_BYTES))
}

pub(super) fn section(report: &Report, view: &View, page: &mut Page) {
    let queries = &report.top_queries[..report.top_queries.len().min(view.top)];
    if queries.is_empty() {
        return;
    }
    page.heading("Where the time goes");
    let lines = table_lines(queries, page.width());
    let mut lines = lines.into_iter();
    if let Some(headings) = lines.next() {
        let headings = page.paint.dim(headings.trim_end());
        page.line(&headings);
    }
    for (row, query) in lines.zip(queries) {
        page.line(&row);
        let room = page.width().saturating_sub(5);
        let text = format!("     {}", cut(&terminal_line(&query.query), room));
        let text = page.paint.green(&text);
        page.line(&text);
    }
}

/// The heading and one line a statement, with as many columns as fit.
fn table_lines(queries: &[TopQuery], width: usize) -> Vec<String> {
    let mut columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| queries.iter().any(|query| (column.figure)(query).is_some()))
        .collect();
    loop {
        let lines: Vec<String> = table(queries, &columns).lines().collect();
        let fits = lines.iter().all(|line| line.chars().count() <= width);
        if fits || columns.len() == 1 {
            return lines;
        }
        columns.pop();
    }
}

fn table(queries: &[TopQuery], columns: &[&Column]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let headings = columns
        .iter()
        .map(|column| right(column.heading.to_owned()));
    table.set_header(std::iter::once(right("#".to_owned())).chain(headings));
    for (at, query) in queries.iter().enumerate() {
        let figures = columns
            .iter()
            .map(|column| right((column.figure)(query).unwrap_or_else(|| UNKNOWN.to_owned())));
        table.add_row(std::iter::once(right((at + 1).to_string())).chain(figures));
    }
    table
}
