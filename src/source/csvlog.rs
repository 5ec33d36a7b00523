//! `log_destination = csvlog`: 23 columns up to 12, 24 in 13, 26 from 14 on.

use super::{
    Format,
    framing::{
        CUT_RECORD, Framing, Head, MAX_RECORD_BYTES, NO_END, line_starts, line_starts_from_end,
    },
    localised,
    record::{Receiver, Record, Severity},
    stderr::number,
    time::{Clock, looks_like_time},
};
use crate::workload::Escape;

pub(super) static FORMAT: Format = Format {
    name: "csvlog",
    summary: "csvlog of any version",
    open,
};

/// Numbers of columns that Postgres has written.
const WIDTHS: [usize; 3] = [23, 24, 26];
const MAX_WIDTH: usize = 26;
/// Reason for records of another width.
const BROKEN: &str = "csv records that are broken or not of a server's log";

struct Csv {
    unknown_zone_minutes: i64,
}

fn open(head: &Head<'_>) -> Option<Box<dyn Framing>> {
    let csv = Csv {
        unknown_zone_minutes: head.options.unknown_zone_minutes,
    };
    csv.first_start(head.sample)?;
    Some(Box::new(csv))
}

/// Whether a record of a known width seems to start here.
fn starts_record(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if !looks_like_time(text) {
        return false;
    }
    match Fields::read(text) {
        Some(fields) => WIDTHS.contains(&fields.n) && fields.fit(text),
        None => false,
    }
}

/// Whether a record starts here however broken the log is before: whoever reads on from there gets to this place. In a quoted field, the
/// first quote of this record would be followed by what follows no quote there, so no record that goes on beyond this place is whole.
fn starts_record_surely(text: &[u8]) -> bool {
    let opens = memchr::memchr(b'"', text).and_then(|quote| text.get(quote + 1));
    starts_record(text) && opens.is_some_and(|byte| !b"\",\r\n".contains(byte))
}

impl Framing for Csv {
    fn last_start(&self, block: &[u8]) -> Option<usize> {
        line_starts_from_end(block).find(|start| starts_record_surely(&block[*start..]))
    }

    fn first_start(&self, block: &[u8]) -> Option<usize> {
        line_starts(block).find(|start| starts_record(&block[*start..]))
    }

    fn read(&self, chunk: &[u8], receiver: &mut dyn Receiver) {
        let mut clock = Clock::new(self.unknown_zone_minutes);
        let (mut at, mut line) = (0, 0);
        while at < chunk.len() {
            let next = match Fields::read(&chunk[at..]) {
                Some(fields) if WIDTHS.contains(&fields.n) && looks_like_time(&chunk[at..]) => {
                    record(&chunk[at..], &fields, line, &mut clock, receiver);
                    at + fields.len
                }
                _ => broken(self, chunk, at, line, receiver),
            };
            line += memchr::memchr_iter(b'\n', &chunk[at..next]).count() as u64;
            at = next;
        }
    }
}

/// Counts what is no record; gives where the next one starts.
fn broken(csv: &Csv, chunk: &[u8], at: usize, line: u64, receiver: &mut dyn Receiver) -> usize {
    let first_line = chunk[at..].iter().position(|byte| *byte == b'\n');
    let next_line = first_line.map_or(chunk.len(), |len| at + len + 1);
    let next = csv
        .first_start(&chunk[next_line..])
        .map(|start| next_line + start);
    let cut_off = next.is_none() && chunk.last() != Some(&b'\n');
    let excerpt = &chunk[at..next_line];
    if !excerpt.trim_ascii().is_empty() {
        receiver.skipped(if cut_off { NO_END } else { BROKEN }, line, excerpt);
    }
    next.unwrap_or(chunk.len())
}

/// Longest time with milliseconds and a zone's name or offset, bytes: `2026-11-22 23:54:59.118 America/Argentina/ComodRivadavia` is 58.
const MAX_TIME_BYTES: usize = 64;

/// Where the columns of one record stand, quotes included.
struct Fields {
    ranges: [(u32, u32); MAX_WIDTH],
    n: usize,
    /// Length of the record with its newline.
    len: usize,
}

impl Fields {
    /// Reads one record; `None` when its end is not there or it is too wide.
    fn read(text: &[u8]) -> Option<Self> {
        let mut fields = Self {
            ranges: [(0, 0); MAX_WIDTH],
            n: 0,
            len: 0,
        };
        let mut at = 0;
        loop {
            let end = field_end(text, at)?;
            *fields.ranges.get_mut(fields.n)? = (at as u32, end as u32);
            fields.n += 1;
            at = end + 1;
            if *text.get(end)? == b'\n' {
                fields.len = at;
                return Some(fields);
            }
        }
    }

    /// The first column is a time and nothing more, the process id a number: a line of a stderr log may have as many commas.
    fn fit(&self, text: &[u8]) -> bool {
        let time = self.raw(text, 0);
        let process = self.raw(text, 3);
        time.len() <= MAX_TIME_BYTES
            && !time.contains(&b'[')
            && process.iter().all(u8::is_ascii_digit)
    }

    fn raw<'a>(&self, text: &'a [u8], column: usize) -> &'a [u8] {
        let (start, end) = self.ranges[column];
        &text[start as usize..end as usize]
    }
}

/// Where the field at `at` ends: at a comma or newline outside quotes.
fn field_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return memchr::memchr2(b',', b'\n', text.get(at..)?).map(|len| at + len);
    }
    let mut end = at + 1;
    loop {
        end += memchr::memchr(b'"', text.get(end..)?)? + 1;
        match text.get(end)? {
            b'"' => end += 1,
            b',' | b'\n' => return Some(end),
            b'\r' if text.get(end + 1) == Some(&b'\n') => return Some(end + 1),
            _ => return None,
        }
    }
}

/// A column without the quotes around it.
fn unquoted(raw: &[u8]) -> &[u8] {
    let Some(inner) = raw.strip_prefix(b"\"") else {
        return raw.trim_ascii_end();
    };
    let inner = inner.strip_suffix(b"\r").unwrap_or(inner);
    inner.strip_suffix(b"\"").unwrap_or(inner)
}

fn record(text: &[u8], fields: &Fields, line: u64, clock: &mut Clock, receiver: &mut dyn Receiver) {
    if fields.len > MAX_RECORD_BYTES {
        receiver.skipped(CUT_RECORD, line, &text[..fields.len]);
    }
    let long = |column: usize| {
        let inner = unquoted(fields.raw(text, column));
        &inner[..inner.len().min(MAX_RECORD_BYTES)]
    };
    let plain = |column: usize| {
        let raw = fields.raw(text, column);
        let inner = raw.strip_prefix(b"\"").unwrap_or(raw);
        inner.strip_suffix(b"\"").unwrap_or(inner)
    };
    let query_id = if fields.n == 26 { plain(25) } else { b"" };
    receiver.record(&Record {
        line,
        time_us: clock.read(plain(0)).map_or(0, |(us, _)| us),
        session: plain(5),
        transaction: plain(9),
        user: plain(1),
        database: plain(2),
        application: plain(22),
        query_id: number(query_id.trim_ascii_end()),
        severity: severity(plain(11)),
        sqlstate: plain(12),
        message: long(13),
        detail: long(14),
        context: long(18),
        statement: long(19),
        escape: Escape::Quotes,
        weight: None,
        who: 0,
        told: None,
    });
}

/// The severity by its name.
pub(super) fn severity(name: &[u8]) -> Severity {
    match name {
        b"LOG" => Severity::Log,
        b"ERROR" | b"FATAL" | b"PANIC" => Severity::Error,
        b"WARNING" | b"NOTICE" | b"INFO" => Severity::Notice,
        name => localised::severity(name).unwrap_or(Severity::Notice),
    }
}
