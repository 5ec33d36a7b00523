//! For runners that send a file statement by statement without a transaction, and cannot ask before they act: left-overs go in a DO block.

use super::{
    Step,
    host::Host,
    preflight::{self, Direction},
    script::{self, Op},
};

/// A statement of a file, without its semicolon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Statement(String),
    /// Has semicolons inside.
    Block(String),
    /// A comment line, with its newline.
    Comment(String),
}

/// All of a direction. Timeouts are reset at the end: the connection may serve other migrations.
pub(super) fn pieces(ops: &[Op]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = ops.iter().flat_map(of_op).collect();
    if ops.iter().any(|op| matches!(op, Op::Timeouts(_))) {
        pieces.push(Piece::Statement("RESET lock_timeout".to_owned()));
        pieces.push(Piece::Statement("RESET statement_timeout".to_owned()));
    }
    if !script::does_something(ops) {
        pieces.push(Piece::Statement("SELECT 1".to_owned()));
    }
    pieces
}

fn of_op(op: &Op) -> Vec<Piece> {
    match op {
        Op::Timeouts(timeouts) => super::code::timeout_statements(*timeouts)
            .into_iter()
            .map(Piece::Statement)
            .collect(),
        Op::Run(sql) if sql.starts_with("DO ") => vec![Piece::Block(sql.clone())],
        Op::Run(sql) | Op::Concurrently(sql) => vec![Piece::Statement(sql.clone())],
        Op::DropInvalid(target) => vec![Piece::Block(target.drop_left_over_block())],
        Op::AssertValid(target) => vec![Piece::Block(target.assert_block())],
        Op::Remark(text) => vec![Piece::Comment(Host::Sql.comment(text))],
    }
}

/// Statements with semicolons; blocks stand between `open` and `close`, lines of the runner's own.
pub(super) fn text(ops: &[Op], open: &str, close: &str) -> String {
    pieces(ops)
        .into_iter()
        .map(|piece| match piece {
            Piece::Statement(sql) => format!("{sql};\n"),
            Piece::Block(sql) => format!("{open}{sql};\n{close}"),
            Piece::Comment(line) => line,
        })
        .collect()
}

/// The comment lines of a step.
pub(super) fn header(step: &Step, extra: &[impl AsRef<str>]) -> String {
    let mut lines = preflight::lines(step, Direction::Up);
    lines.extend(extra.iter().map(|line| line.as_ref().to_owned()));
    lines.iter().map(|line| Host::Sql.comment(line)).collect()
}

/// A way back for runners that know none: a script for psql, under a name that they do not read.
pub(super) fn undo_script(step: &Step, base: &str) -> super::MigrationFile {
    let mut lines = preflight::lines(step, Direction::Down);
    let name = format!("{base}.undo.psql");
    lines.push(format!("run: psql -X -v ON_ERROR_STOP=1 -f {name}"));
    let header: String = lines.iter().map(|line| Host::Sql.comment(line)).collect();
    let body = super::sql::body(&script::down(step));
    super::MigrationFile::new(format!("undo/{name}"), format!("{header}\n{body}"))
}
