//! A plain SQL file: one statement each, `-- calls: N[, mean_time_ms: X]` on a line before a statement gives its weight.

use super::{
    Format,
    framing::{Framing, Head},
    message::{milliseconds, starts_statement},
    prefix::find_severity,
    record::{Receiver, Record},
};
use crate::sql::{Lexer, TokenKind};

pub(super) static FORMAT: Format = Format {
    name: "sql",
    summary: "plain SQL, weights in comments",
    open,
};

struct SqlFile;

fn open(head: &Head<'_>) -> Option<Box<dyn Framing>> {
    let first = head.sample.trim_ascii_start();
    let is_log = || {
        head.sample
            .split(|byte| *byte == b'\n')
            .any(|line| find_severity(line).is_some())
    };
    let asked_for = head.options.format.is_some();
    let is_text = std::str::from_utf8(head.sample).is_ok() || asked_for;
    (!first.is_empty() && starts_statement(first) && is_text && !is_log())
        .then(|| Box::new(SqlFile) as Box<dyn Framing>)
}

impl Framing for SqlFile {
    fn last_start(&self, _block: &[u8]) -> Option<usize> {
        None
    }

    fn first_start(&self, _block: &[u8]) -> Option<usize> {
        None
    }

    fn reads_whole(&self) -> bool {
        true
    }

    fn read(&self, chunk: &[u8], receiver: &mut dyn Receiver) {
        let mut start = None;
        let mut behind = 0;
        let mut line = Line::default();
        for token in Lexer::new(chunk) {
            if token.kind == TokenKind::Semicolon {
                if let Some(start) = start.take() {
                    statement(chunk, (behind, start, token.start), &mut line, receiver);
                }
                behind = token.end;
            } else if start.is_none() {
                start = Some(token.start);
            }
        }
        if let Some(start) = start {
            let end = chunk.len();
            statement(chunk, (behind, start, end), &mut line, receiver);
        }
    }
}

/// Counts lines as positions only grow.
#[derive(Default)]
struct Line {
    at: usize,
    n: u64,
}

impl Line {
    fn of(&mut self, chunk: &[u8], at: usize) -> u64 {
        self.n += memchr::memchr_iter(b'\n', &chunk[self.at..at]).count() as u64;
        self.at = at;
        self.n
    }
}

/// A statement at `start..end`, with the comments before it from `behind` on.
fn statement(
    chunk: &[u8],
    (behind, start, end): (usize, usize, usize),
    line: &mut Line,
    receiver: &mut dyn Receiver,
) {
    let weight = chunk[behind..start]
        .split(|byte| *byte == b'\n')
        .rev()
        .find_map(weight);
    receiver.record(&Record {
        line: line.of(chunk, start),
        statement: chunk[start..end].trim_ascii_end(),
        weight: Some(weight.unwrap_or((1, None))),
        ..Record::default()
    });
}

/// Reads `-- calls: N, mean_time_ms: X`: calls, and microseconds each.
fn weight(line: &[u8]) -> Option<(u64, Option<u64>)> {
    let comment = line.trim_ascii().strip_prefix(b"--")?.trim_ascii();
    let rest = comment.strip_prefix(b"calls:")?.trim_ascii_start();
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let n_calls = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
    let mean_us = rest[len..]
        .trim_ascii_start()
        .strip_prefix(b",")
        .and_then(|rest| rest.trim_ascii_start().strip_prefix(b"mean_time_ms:"))
        .and_then(|rest| milliseconds(rest.trim_ascii_start()))
        .map(|(us, _)| us);
    Some((n_calls, mean_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        assert_eq!(weight(b"-- calls: 12"), Some((12, None)));
        assert_eq!(
            weight(b"  --calls:12, mean_time_ms: 0.5"),
            Some((12, Some(500)))
        );
        assert_eq!(weight(b"-- a comment"), None);
        assert_eq!(weight(b"-- calls: many"), None);
    }
}
