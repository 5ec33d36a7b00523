//! `log_destination = syslog`: lines of a syslog daemon (RFC 3164, RFC 5424, rsyslog's file formats). Postgres cuts long and multi-line
//! messages into chunks, numbered `[n-m]`, which are put together here.

use std::collections::BTreeMap;

use super::{
    Options,
    prefix::find_severity,
    time::looks_like_time,
    unwrap::{Pieces, Unwrap, Wrapping},
};

pub(super) static WRAPPING: Wrapping = Wrapping {
    name: "syslog",
    summary: "syslog files, RFC 3164 and RFC 5424",
    pieces: Pieces::Lines,
    is_one: |line| line_of(line).is_some_and(|line| is_ours(&line)),
    unwrap: |options| Box::new(Syslog::new(options)),
};

/// A syslog line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// As written.
    pub(super) time: &'a [u8],
    /// What tells servers apart.
    pub(super) host: &'a [u8],
    /// Digits.
    pub(super) process: &'a [u8],
    pub(super) text: &'a [u8],
}

/// Reads `[<pri>]Nov 22 20:36:03 host postgres[8197]: text` with times of both kinds, and `<pri>1 time host postgres 8197 - - text`.
pub(super) fn line_of(line: &[u8]) -> Option<Line<'_>> {
    let line = behind_count(line);
    let behind_priority = match line.strip_prefix(b"<") {
        Some(rest) => &rest[memchr::memchr(b'>', &rest[..rest.len().min(4)])? + 1..],
        None => line,
    };
    match behind_priority.strip_prefix(b"1 ") {
        Some(rest) => rfc_5424(rest),
        None => rfc_3164(behind_priority),
    }
}

/// Drains of logplex put the length of each line ahead of it (RFC 6587).
fn behind_count(line: &[u8]) -> &[u8] {
    let n_digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match line.get(n_digits..n_digits + 2) {
        Some(b" <") if n_digits > 0 => &line[n_digits + 1..],
        _ => line,
    }
}

fn rfc_5424(rest: &[u8]) -> Option<Line<'_>> {
    // RFC 5424 allows "-" for a time that is not known: nothing could be put in order by it
    let (time, rest) = word(rest).filter(|(time, _)| looks_like_time(time))?;
    let (host, rest) = word(rest)?;
    let (_name, rest) = word(rest)?;
    let (process, rest) = word(rest)?;
    let (_message_id, mut rest) = word(rest)?;
    if let Some(behind) = rest.strip_prefix(b"-") {
        rest = behind;
    } else {
        while rest.first() == Some(&b'[') && rest.get(1).is_some_and(u8::is_ascii_alphabetic) {
            rest = &rest[element_end(rest)?..];
        }
    }
    // rsyslog keeps the space that the older format has behind its tag
    let text = rest.strip_prefix(b"  [").map_or(rest, |_| &rest[1..]);
    let text = text.strip_prefix(b" ").unwrap_or(text);
    Some(Line {
        time,
        host,
        process: digits(process)?,
        text: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
    })
}

/// Where a structured data element ends; values are quoted, and within them `\\` escapes.
fn element_end(rest: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut at = 1;
    loop {
        at += memchr::memchr3(b']', b'\\', b'"', rest.get(at..)?)?;
        match rest[at] {
            b']' if !quoted => return Some(at + 1),
            b'\\' => at += 2,
            b'"' => {
                quoted = !quoted;
                at += 1;
            }
            _ => at += 1,
        }
    }
}

fn rfc_3164(line: &[u8]) -> Option<Line<'_>> {
    let len = if looks_like_time(line) && line[10] == b'T' {
        memchr::memchr(b' ', line)?
    } else {
        b"Nov 22 20:36:03".len()
    };
    let (time, rest) = (line.get(..len)?, line.get(len..)?.strip_prefix(b" ")?);
    if len == 15 && month(time).is_none() {
        return None;
    }
    let (first, behind) = word(rest)?;
    // logplex's own files have no host
    let (host, tag, text) = if first.ends_with(b"]:") {
        (&b""[..], first, behind)
    } else {
        let end = memchr::memmem::find(behind, b": ")?;
        (first, &behind[..=end], &behind[end + 2..])
    };
    let open = memchr::memchr(b'[', tag)?;
    let process = tag[open + 1..].strip_suffix(b"]:")?;
    Some(Line {
        time,
        host,
        process: digits(process)?,
        text,
    })
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = memchr::memchr(b' ', text).filter(|len| *len > 0)?;
    Some((&text[..len], &text[len + 1..]))
}

/// The process id, behind what logplex puts ahead of it (`postgres.8197`).
fn digits(process: &[u8]) -> Option<&[u8]> {
    let start = memchr::memrchr(b'.', process).map_or(0, |dot| dot + 1);
    let digits = &process[start..];
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then_some(digits)
}

/// Month of `Nov 22 20:36:03`, from 1.
fn month(time: &[u8]) -> Option<u8> {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let shape =
        time.get(3) == Some(&b' ') && time.get(9) == Some(&b':') && time.get(12) == Some(&b':');
    let at = MONTHS.chunks(3).position(|month| time.starts_with(month))?;
    shape.then_some(at as u8 + 1)
}

/// What stands ahead of a chunk's text: `[n-m] `, or `[n] ` where there is one chunk or no sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    message: u64,
    chunk: Option<u64>,
}

fn number(text: &[u8]) -> Option<(Number, &[u8])> {
    let inner = text.strip_prefix(b"[")?;
    let close = memchr::memchr(b']', &inner[..inner.len().min(24)])?;
    let rest = inner[close + 1..].strip_prefix(b" ")?;
    let digits = std::str::from_utf8(&inner[..close]).ok()?;
    let (message, chunk) = match digits.split_once('-') {
        Some((message, chunk)) => (message.parse().ok()?, Some(chunk.parse().ok()?)),
        None => (digits.parse().ok()?, None),
    };
    Some((Number { message, chunk }, rest))
}

/// A line of the server: numbered, or with a level.
fn is_ours(line: &Line<'_>) -> bool {
    let text = behind_colour(line.text);
    match number(text) {
        Some((Number { chunk: Some(_), .. }, _)) => true,
        Some((_, text)) => find_severity(text).is_some(),
        None => find_severity(text).is_some(),
    }
}

/// Heroku puts the database's name in brackets ahead of each line: `[DATABASE] `, `[HEROKU_POSTGRESQL_RED] `.
fn behind_colour(text: &[u8]) -> &[u8] {
    let name = text.strip_prefix(b"[").and_then(|rest| {
        let close = memchr::memchr(b']', &rest[..rest.len().min(64)])?;
        let is_name = rest[..close].first()?.is_ascii_uppercase();
        is_name.then(|| rest[close + 1..].strip_prefix(b" "))?
    });
    name.unwrap_or(text)
}

/// Lines after which a message is taken to be complete: a backend writes its chunks at once.
const MAX_OPEN_LINES: u64 = 1_000;

struct Syslog {
    /// Year and month of the reading: times of RFC 3164 have no year.
    this_month: (i16, u8),
    /// The server's own prefix tells neither time nor process: syslog's do, in a prefix that is put ahead.
    adds_prefix: Option<bool>,
    /// Messages that may go on, by host and process.
    open: BTreeMap<Vec<u8>, Open>,
    n_lines: u64,
}

struct Open {
    number: Option<Number>,
    prefix: Vec<u8>,
    text: Vec<u8>,
    last_line: u64,
}

impl Syslog {
    fn new(options: &Options) -> Self {
        Self {
            this_month: options.this_month,
            adds_prefix: None,
            open: BTreeMap::new(),
            n_lines: 0,
        }
    }

    /// Syslog's own time and process as a `log_line_prefix` would have them.
    fn prefix_of(&mut self, line: &Line<'_>, text: &[u8]) -> Vec<u8> {
        let adds = *self.adds_prefix.get_or_insert_with(|| {
            let own = find_severity(text).map_or(text, |(_, end, _)| &text[..end]);
            !tells_process(own, line.process)
        });
        if !adds {
            return Vec::new();
        }
        let mut prefix = time(line.time, self.this_month);
        prefix.extend_from_slice(b" [");
        prefix.extend_from_slice(line.process);
        prefix.extend_from_slice(b"] ");
        prefix
    }

    /// Gives out messages that no chunk can follow any more.
    fn give_out(&mut self, out: &mut Vec<u8>, min_line: u64) {
        self.open.retain(|_, open| {
            let stays = open.last_line >= min_line;
            if !stays {
                open.write(out);
            }
            stays
        });
    }
}

impl Open {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
        out.push(b'\n');
    }

    fn goes_on_with(&self, number: Option<Number>, text: &[u8]) -> bool {
        match (self.number, number) {
            (
                Some(Number {
                    message,
                    chunk: Some(_),
                }),
                Some(Number {
                    message: next,
                    chunk: Some(chunk),
                }),
            ) => message == next && chunk > 1,
            // without sequence numbers, the number is that of the chunk
            (
                Some(Number {
                    message: last,
                    chunk: None,
                }),
                Some(Number {
                    message,
                    chunk: None,
                }),
            ) => message == last + 1 && message > 1 && starts_no_message(text),
            _ => false,
        }
    }

    /// Adds a chunk: it is cut off at a newline, or within a line that is too long.
    fn push(&mut self, text: &[u8]) {
        let is_line = find_severity(text).is_some();
        if text.first() == Some(&b'\t') {
            self.text.push(b'\n');
        } else if is_line {
            self.text.push(b'\n');
            self.text.extend_from_slice(&self.prefix);
        }
        self.text.extend_from_slice(text);
    }
}

fn starts_no_message(text: &[u8]) -> bool {
    find_severity(text).is_none_or(|(level, _, _)| level.severity().is_none())
}

/// Whether a prefix has the process id, as `%p` or in `%c`.
fn tells_process(prefix: &[u8], process: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(prefix, needle).is_some();
    let number = std::str::from_utf8(process)
        .ok()
        .and_then(|text| text.parse::<u32>().ok());
    has(process) || number.is_some_and(|number| has(format!(".{number:x}").as_bytes()))
}

/// A time of syslog as `%m` writes it. RFC 3164 has the server's own time zone and no year.
fn time(time: &[u8], this_month: (i16, u8)) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(month) = month(time) {
        let year = this_month.0 - i16::from(month > this_month.1);
        let day = String::from_utf8_lossy(&time[4..6]).replace(' ', "0");
        out.extend_from_slice(format!("{year}-{month:02}-{day} ").as_bytes());
        out.extend_from_slice(&time[7..15]);
        out.extend_from_slice(b".000 UTC");
    } else {
        let zone = time
            .iter()
            .skip(19)
            .position(|byte| matches!(byte, b'Z' | b'+' | b'-'));
        let (local, zone) = time.split_at(zone.map_or(time.len(), |at| at + 19));
        out.extend_from_slice(&local[..local.len().min(19)]);
        out[10] = b' ';
        let fraction = local.get(19..23).filter(|text| text[0] == b'.');
        out.extend_from_slice(fraction.unwrap_or(b".000"));
        out.push(b' ');
        match zone {
            b"Z" | b"+00:00" | b"" => out.extend_from_slice(b"UTC"),
            zone => out.extend(zone.iter().filter(|byte| **byte != b':')),
        }
    }
    out
}

/// Undoes the escapes of control characters by which daemons keep a message on its line: `#011` is a tab.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(len) = memchr::memchr(b'#', &text[at..]) {
        out.extend_from_slice(&text[at..at + len]);
        at += len;
        match text.get(at..at + 4) {
            Some(b"#011") => out.push(b'\t'),
            Some(b"#015") => {}
            _ => {
                out.push(b'#');
                at += 1;
                continue;
            }
        }
        at += 4;
    }
    out.extend_from_slice(&text[at..]);
    out
}

impl Unwrap for Syslog {
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool {
        self.n_lines += 1;
        let Some(line) = line_of(piece) else {
            return false;
        };
        let mut is_ours = true;
        let text = behind_colour(line.text);
        let (number, text) = match number(text) {
            Some((number, text)) => (Some(number), unescaped(text)),
            None => (None, unescaped(text)),
        };
        let key = [line.host, b" ", line.process].concat();
        let last_line = self.n_lines;
        match self.open.get_mut(&key) {
            Some(open) if open.goes_on_with(number, &text) => {
                open.push(&text);
                open.number = number;
                open.last_line = last_line;
            }
            _ => {
                if let Some(open) = self.open.remove(&key) {
                    open.write(out);
                }
                if number.is_some() || find_severity(&text).is_some() {
                    let prefix = self.prefix_of(&line, &text);
                    let text = [prefix.as_slice(), text.as_slice()].concat();
                    self.open.insert(
                        key,
                        Open {
                            number,
                            prefix,
                            text,
                            last_line,
                        },
                    );
                } else {
                    is_ours = false;
                }
            }
        }
        if self.n_lines.is_multiple_of(MAX_OPEN_LINES) {
            self.give_out(out, self.n_lines.saturating_sub(MAX_OPEN_LINES));
        }
        is_ours
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.give_out(out, u64::MAX);
    }

    fn prefix(&self) -> &'static str {
        if self.adds_prefix == Some(true) {
            "%m [%p] "
        } else {
            ""
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn unwrapped(log: &str, expected: &str) {
        let options = Options {
            this_month: (2026, 11),
            ..Options::default()
        };
        let mut syslog = Syslog::new(&options);
        let mut out = Vec::new();
        for line in log.lines() {
            assert!(line_of(line.as_bytes()).is_some(), "{line}");
            syslog.piece(line.as_bytes(), &mut out);
        }
        syslog.finish(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_line_without_a_time_is_none_of_ours() {
        for time in ["-", "10:36", "2026-11-22", "2026-11-22T20:36:03Z"] {
            let line =
                format!("<134>1 {time} db1 postgres 8197 - - [5-1] LOG:  statement: select 1");
            let is_ours = line_of(line.as_bytes()).is_some();
            assert_eq!(is_ours, time.ends_with('Z'), "{line}");
        }
    }

    #[test]
    fn chunks_of_a_message_are_put_together() {
        unwrapped(
            "Nov 22 20:36:03 db1 postgres[8197]: [5-1] LOG:  duration: 1 ms  statement: select\n\
             Nov 22 20:36:03 db1 postgres[9000]: [2] LOG:  duration: 2 ms  statement: select 2\n\
             Nov 22 20:36:03 db1 postgres[8197]: [5-2] #011from t\n\
             Nov 22 20:36:03 db1 postgres[8197]: [5-3]  where x\n\
             Dec  1 20:36:04 db1 postgres[8197]: [6-1] ERROR:  x\n\
             Dec  1 20:36:04 db1 postgres[8197]: [6-2] STATEMENT:  select #1\n",
            "2026-11-22 20:36:03.000 UTC [8197] LOG:  duration: 1 ms  statement: select\n\tfrom t where x\n\
             2025-12-01 20:36:04.000 UTC [8197] ERROR:  x\n2025-12-01 20:36:04.000 UTC [8197] STATEMENT:  select #1\n\
             2026-11-22 20:36:03.000 UTC [9000] LOG:  duration: 2 ms  statement: select 2\n",
        );
    }

    #[test]
    fn a_prefix_of_the_server_stays_as_it_is() {
        unwrapped(
            "<134>1 2026-11-22T20:36:03.041123Z db1 postgres 8197 - [x y=\"]\\]\"] [5-1] 2026-11-22 20:36:03.041 UTC [8197] u@d LOG:  statement: select 1\n",
            "2026-11-22 20:36:03.041 UTC [8197] u@d LOG:  statement: select 1\n",
        );
    }

    #[test]
    fn lines_of_logplex() {
        unwrapped(
            "2026-11-22T20:36:03.041123+00:00 app[postgres.8197]: [DATABASE] [5-1] sql_error_code = 00000 LOG:  duration: 3 ms  statement: select 1\n\
             131 <134>1 2026-11-22T20:36:04+00:00 host app postgres.8197 - [DATABASE] [6-1] sql_error_code = 00000 LOG:  duration: 3 ms  statement: select 2\n",
            "2026-11-22 20:36:03.041 UTC [8197] sql_error_code = 00000 LOG:  duration: 3 ms  statement: select 1\n\
             2026-11-22 20:36:04.000 UTC [8197] sql_error_code = 00000 LOG:  duration: 3 ms  statement: select 2\n",
        );
    }

    #[test]
    fn without_sequence_numbers() {
        unwrapped(
            "2026-11-22T20:36:03.041123+05:30 db1 postgres[8197]: [1] LOG:  statement: select\n\
             2026-11-22T20:36:03.041123+05:30 db1 postgres[8197]: [2] #0111\n\
             2026-11-22T20:36:03.041123+05:30 db1 postgres[8197]: LOG:  duration: 1 ms\n",
            "2026-11-22 20:36:03.041 +0530 [8197] LOG:  statement: select\n\t1\n2026-11-22 20:36:03.041 +0530 [8197] LOG:  duration: 1 ms\n",
        );
    }
}
