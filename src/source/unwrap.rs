//! Logs inside of other logs: shippers, containers and clouds put the server's lines into lines or objects of their own. They are taken out
//! as a stream, ahead of the reader of whatever format is inside; wrappings may be nested. One wrapping a file.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Options, prefix::find_severity};

/// One wrapping.
pub struct Wrapping {
    /// Value of `--log-format`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// What its pieces are.
    pub(super) pieces: Pieces,
    /// Whether a piece is wrapped so.
    pub(super) is_one: fn(&[u8]) -> bool,
    pub(super) unwrap: fn(&Options) -> Box<dyn Unwrap>,
}

impl std::fmt::Debug for Wrapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wrapping")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What the pieces of a wrapped log are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    Lines,
    /// JSON objects: one a line, or printed over many lines, in an array or behind each other.
    Objects,
}

/// Takes out what was wrapped.
pub(super) trait Unwrap: Send {
    /// Appends what one piece holds, as whole lines unless the next piece goes on with it. False when it is another program's: what it
    /// appends otherwise is for the reader of what is inside to judge.
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool;

    /// Appends what was held back.
    fn finish(&mut self, _out: &mut Vec<u8>) {}

    /// The `log_line_prefix` that was put ahead of the server's own.
    fn prefix(&self) -> &'static str {
        ""
    }
}

/// Bytes read at once.
const BLOCK_BYTES: usize = 256 << 10;
/// A longer piece is taken as it is: more than any record that is used.
const MAX_PIECE_BYTES: usize = 16 << 20;
/// Pieces of the start by which a wrapping is recognised; other programs may write in between.
const MAX_SNIFFED: usize = 200;

/// The wrapping of an input that starts so.
pub(super) fn wrapping_of(
    sample: &[u8],
    wrappings: &[&'static Wrapping],
) -> Option<&'static Wrapping> {
    let is_so = |wrapping: &Wrapping| match wrapping.pieces {
        Pieces::Lines => sample
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .take(MAX_SNIFFED)
            .any(wrapping.is_one),
        Pieces::Objects => {
            let start = sample.trim_ascii_start().first();
            matches!(start, Some(b'{' | b'['))
                && objects(sample).take(MAX_SNIFFED).any(wrapping.is_one)
        }
    };
    wrappings.iter().find(|wrapping| is_so(wrapping)).copied()
}

/// Whole JSON objects of a text.
fn objects(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut scanner = Scanner::default();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let end = scanner.end_of_piece(text, at)?;
            let piece = text[at..end].trim_ascii();
            at = end;
            if piece.first() == Some(&b'{') {
                return Some(piece);
            }
        }
    })
}

/// Finds where pieces end, block by block.
#[derive(Debug, Default)]
struct Scanner {
    /// Bytes of the current piece that were looked at.
    n_seen: usize,
    depth: usize,
    in_string: bool,
    is_object: bool,
}

impl Scanner {
    fn end_of_line(&mut self, text: &[u8], start: usize) -> Option<usize> {
        let found = memchr::memchr(b'\n', &text[start + self.n_seen..]);
        let end = found.map(|len| start + self.n_seen + len + 1);
        self.n_seen = if end.is_some() { 0 } else { text.len() - start };
        end
    }

    /// Where the object that starts at or behind `start` ends; text between objects ends with its line.
    fn end_of_piece(&mut self, text: &[u8], start: usize) -> Option<usize> {
        let mut at = start + self.n_seen;
        while at < text.len() {
            if self.in_string {
                at = self.string(text, at);
                continue;
            }
            match text[at] {
                b'"' if self.is_object => self.in_string = true,
                b'{' | b'[' if self.is_object => self.depth += 1,
                b'{' => (self.is_object, self.depth) = (true, 1),
                b'}' | b']' if self.is_object => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        *self = Self::default();
                        return Some(at + 1);
                    }
                }
                b'\n' | b'[' | b']' | b',' if !self.is_object => {
                    *self = Self::default();
                    return Some(at + 1);
                }
                _ => {}
            }
            at += 1;
        }
        self.n_seen = at - start;
        None
    }

    /// Goes on in a string; may step over the end of `text` by one byte that is escaped.
    fn string(&mut self, text: &[u8], at: usize) -> usize {
        match memchr::memchr2(b'"', b'\\', &text[at..]) {
            None => text.len(),
            Some(len) if text[at + len] == b'"' => {
                self.in_string = false;
                at + len + 1
            }
            Some(len) => at + len + 2,
        }
    }
}

/// What other programs wrote among the pieces of a wrapped log.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    pub(super) n: u64,
    /// The first one: its line, 0 where pieces are no lines, and its text.
    pub(super) first: Option<(u64, Vec<u8>)>,
}

/// Bytes kept of a foreign piece.
const MAX_FOREIGN_BYTES: usize = 256;

/// What is inside of a wrapped input.
pub(super) struct Unwrapped {
    inner: Box<dyn Read + Send>,
    pieces: Pieces,
    unwrap: Box<dyn Unwrap>,
    scanner: Scanner,
    /// Read, not yet unwrapped.
    raw: Vec<u8>,
    /// Unwrapped, not yet given out from `at` on.
    out: Vec<u8>,
    at: usize,
    ended: bool,
    error: Option<io::Error>,
    n_pieces: u64,
    foreign: Arc<Mutex<Foreign>>,
}

impl Unwrapped {
    pub(super) fn new(
        inner: Box<dyn Read + Send>,
        wrapping: &'static Wrapping,
        options: &Options,
    ) -> Self {
        Self {
            inner,
            pieces: wrapping.pieces,
            unwrap: (wrapping.unwrap)(options),
            scanner: Scanner::default(),
            raw: Vec::new(),
            out: Vec::new(),
            at: 0,
            ended: false,
            error: None,
            n_pieces: 0,
            foreign: Arc::default(),
        }
    }

    /// What other programs wrote, as far as was read.
    pub(super) fn foreign(&self) -> Arc<Mutex<Foreign>> {
        Arc::clone(&self.foreign)
    }

    /// The `log_line_prefix` that was put ahead of the server's own, as far as was read.
    pub(super) fn prefix(&self) -> &'static str {
        self.unwrap.prefix()
    }

    /// Unwraps another block.
    fn refill(&mut self) {
        self.out.clear();
        self.at = 0;
        let start = self.raw.len();
        self.raw.resize(start + BLOCK_BYTES, 0);
        let read = self.inner.read(&mut self.raw[start..]);
        self.raw.truncate(start + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.ended = true;
                self.error = Some(error);
            }
        }
        let mut done = 0;
        while let Some(end) = self.end_of_piece(done) {
            self.piece(done, end);
            done = end;
        }
        if self.ended || self.raw.len() - done > MAX_PIECE_BYTES {
            self.piece(done, self.raw.len());
            done = self.raw.len();
            self.scanner = Scanner::default();
        }
        self.raw.drain(..done);
        if self.ended {
            self.unwrap.finish(&mut self.out);
        }
    }

    fn end_of_piece(&mut self, start: usize) -> Option<usize> {
        match self.pieces {
            Pieces::Lines => self.scanner.end_of_line(&self.raw, start),
            Pieces::Objects => self.scanner.end_of_piece(&self.raw, start),
        }
    }

    fn piece(&mut self, start: usize, end: usize) {
        self.n_pieces += 1;
        let piece = &self.raw[start..end];
        let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
        let piece = piece.strip_suffix(b"\r").unwrap_or(piece);
        let between =
            self.pieces == Pieces::Objects && matches!(piece.trim_ascii(), b"[" | b"]" | b",");
        if piece.trim_ascii().is_empty() || between || self.unwrap.piece(piece, &mut self.out) {
            return;
        }
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.n += 1;
        if foreign.first.is_none() {
            let line = match self.pieces {
                Pieces::Lines => self.n_pieces,
                Pieces::Objects => 0,
            };
            let text = &piece[..piece.len().min(MAX_FOREIGN_BYTES)];
            foreign.first = Some((line, text.to_vec()));
        }
    }
}

impl Read for Unwrapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() && !self.ended {
            self.refill();
        }
        let rest = &self.out[self.at..];
        if rest.is_empty()
            && let Some(error) = self.error.take()
        {
            return Err(error);
        }
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}

/// Reads a JSON object; what is no UTF-8 in it is replaced.
pub(super) fn object(piece: &[u8]) -> Option<serde_json::Map<String, serde_json::Value>> {
    let piece = piece.trim_ascii();
    if piece.first() != Some(&b'{') {
        return None;
    }
    let text = String::from_utf8_lossy(piece);
    serde_json::from_str(&text).ok()
}

/// Appends a text that a shipper kept whole as Postgres would have written it to a file: a tab ahead of each line that goes on.
pub(super) fn push_text(text: &str, out: &mut Vec<u8>) {
    for (n, line) in text.trim_end_matches('\n').split('\n').enumerate() {
        let goes_on = n > 0 && !line.starts_with('\t') && find_severity(line.as_bytes()).is_none();
        if goes_on {
            out.push(b'\t');
        }
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_every_layout() {
        let text = b"[\n  {\n \"a\": \"}\\\"\", \"b\": [{}]\n },\n {\"c\": 1}\n]\n{\"d\":2}{\"e\":{\"f\":[]}}\nplain {text\n";
        let found: Vec<&str> = objects(text)
            .map(|object| std::str::from_utf8(object).unwrap())
            .collect();
        assert_eq!(
            found,
            [
                "{\n \"a\": \"}\\\"\", \"b\": [{}]\n }",
                "{\"c\": 1}",
                "{\"d\":2}",
                "{\"e\":{\"f\":[]}}"
            ]
        );
    }

    #[test]
    fn texts_get_the_tabs_that_postgres_writes() {
        let mut out = Vec::new();
        push_text(
            "x LOG:  statement: select\n 1\n\tfrom t\nx DETAIL:  y\n",
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "x LOG:  statement: select\n\t 1\n\tfrom t\nx DETAIL:  y\n"
        );
    }
}
