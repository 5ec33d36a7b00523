//! `log_destination = jsonlog` (15+): one object a line.

use super::{
    Format,
    csvlog::severity,
    framing::{
        CUT_RECORD, Framing, Head, MAX_RECORD_BYTES, NO_END, line_end, line_starts,
        line_starts_from_end,
    },
    record::{Receiver, Record},
    stderr::number,
    time::Clock,
};
use crate::workload::{Escape, json_string};

pub(super) static FORMAT: Format = Format {
    name: "jsonlog",
    summary: "jsonlog (15 and later)",
    open,
};

/// Reason for lines that are not such an object.
const BROKEN: &str = "lines that are not jsonlog objects";

struct Json {
    unknown_zone_minutes: i64,
}

fn open(head: &Head<'_>) -> Option<Box<dyn Framing>> {
    let is_ours = |line: &[u8]| {
        let mut object = Object::default();
        object.read(line) && object.has(Key::Severity) && object.has(Key::Message)
    };
    head.sample
        .split(|byte| *byte == b'\n')
        .any(is_ours)
        .then(|| {
            Box::new(Json {
                unknown_zone_minutes: head.options.unknown_zone_minutes,
            }) as Box<dyn Framing>
        })
}

impl Framing for Json {
    fn last_start(&self, block: &[u8]) -> Option<usize> {
        line_starts_from_end(block).next()
    }

    fn first_start(&self, block: &[u8]) -> Option<usize> {
        line_starts(block).find(|start| block[*start] == b'{')
    }

    fn read(&self, chunk: &[u8], receiver: &mut dyn Receiver) {
        let mut clock = Clock::new(self.unknown_zone_minutes);
        let mut object = Object::default();
        let (mut at, mut line) = (0, 0);
        while at < chunk.len() {
            let (end, next) = line_end(chunk, at);
            let text = &chunk[at..end];
            if object.read(text) && object.has(Key::Message) {
                if text.len() > MAX_RECORD_BYTES {
                    receiver.skipped(CUT_RECORD, line, text);
                }
                object.record(text, line, &mut clock, receiver);
            } else if end == chunk.len() {
                receiver.skipped(NO_END, line, text);
            } else if !text.trim_ascii().is_empty() {
                receiver.skipped(BROKEN, line, text);
            }
            at = next;
            line += 1;
        }
    }
}

/// Keys whose values matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Time = 0,
    User,
    Database,
    Session,
    Process,
    Transaction,
    Severity,
    SqlState,
    Message,
    Detail,
    Context,
    Statement,
    Application,
    QueryId,
}

const N_KEYS: usize = 14;

fn key(name: &[u8]) -> Option<Key> {
    Some(match name {
        b"timestamp" => Key::Time,
        b"user" => Key::User,
        b"dbname" => Key::Database,
        b"session_id" => Key::Session,
        b"pid" => Key::Process,
        b"vxid" => Key::Transaction,
        b"error_severity" => Key::Severity,
        b"state_code" => Key::SqlState,
        b"message" => Key::Message,
        b"detail" => Key::Detail,
        b"context" => Key::Context,
        b"statement" => Key::Statement,
        b"application_name" => Key::Application,
        b"query_id" => Key::QueryId,
        _ => return None,
    })
}

/// A value's place in the line, or in the scratch buffer where escapes had to go.
#[derive(Debug, Clone, Copy, Default)]
struct Value {
    start: usize,
    end: usize,
    in_scratch: bool,
    present: bool,
}

#[derive(Default)]
struct Object {
    values: [Value; N_KEYS],
    scratch: Vec<u8>,
}

impl Object {
    /// Reads a flat object; values that are objects or arrays are passed over. False when the line is none.
    fn read(&mut self, line: &[u8]) -> bool {
        self.values = [Value::default(); N_KEYS];
        self.scratch.clear();
        let Some(mut at) = skip_blank(line, 0).filter(|at| line[*at] == b'{') else {
            return false;
        };
        loop {
            let Some(start) = skip_blank(line, at + 1) else {
                return false;
            };
            if line[start] == b'}' {
                return true;
            }
            let Some(next) = self.member(line, start) else {
                return false;
            };
            match line.get(next) {
                Some(b',') => at = next,
                Some(b'}') => return true,
                _ => return false,
            }
        }
    }

    /// Reads `"key": value` at `at`; gives where the `,` or `}` behind it stands.
    fn member(&mut self, line: &[u8], at: usize) -> Option<usize> {
        let (name_start, name_end, after) = string(line, at)?;
        let colon = skip_blank(line, after).filter(|at| line[*at] == b':')?;
        let start = skip_blank(line, colon + 1)?;
        let key = key(&line[name_start..name_end]);
        let (value, after) = match line[start] {
            b'"' => {
                let (inner, end, after) = string(line, start)?;
                let value = match key {
                    Some(_) => self.unescaped(line, inner, end),
                    None => Value::default(),
                };
                (value, after)
            }
            b'{' | b'[' => (Value::default(), nested_end(line, start)?),
            _ => {
                let end = start + memchr::memchr2(b',', b'}', &line[start..])?;
                let len = line[start..end].trim_ascii_end().len();
                let value = Value {
                    start,
                    end: start + len,
                    in_scratch: false,
                    present: true,
                };
                (value, end)
            }
        };
        if let Some(key) = key {
            self.values[key as usize] = value;
        }
        skip_blank(line, after)
    }

    fn unescaped(&mut self, line: &[u8], start: usize, end: usize) -> Value {
        if memchr::memchr(b'\\', &line[start..end]).is_none() {
            return Value {
                start,
                end,
                in_scratch: false,
                present: true,
            };
        }
        let from = self.scratch.len();
        json_string(&line[start..end], &mut self.scratch);
        Value {
            start: from,
            end: self.scratch.len(),
            in_scratch: true,
            present: true,
        }
    }

    fn has(&self, key: Key) -> bool {
        self.values[key as usize].present
    }

    fn get<'a>(&'a self, line: &'a [u8], key: Key) -> &'a [u8] {
        let value = self.values[key as usize];
        let source = if value.in_scratch {
            &self.scratch
        } else {
            line
        };
        let end = value.end.min(value.start + MAX_RECORD_BYTES);
        &source[value.start..end]
    }

    fn record(&self, text: &[u8], line: u64, clock: &mut Clock, receiver: &mut dyn Receiver) {
        let get = |key| self.get(text, key);
        let session = match get(Key::Session) {
            b"" => get(Key::Process),
            session => session,
        };
        receiver.record(&Record {
            line,
            time_us: clock.read(get(Key::Time)).map_or(0, |(us, _)| us),
            session,
            transaction: get(Key::Transaction),
            user: get(Key::User),
            database: get(Key::Database),
            application: get(Key::Application),
            query_id: number(get(Key::QueryId)),
            severity: severity(get(Key::Severity)),
            sqlstate: get(Key::SqlState),
            message: get(Key::Message),
            detail: get(Key::Detail),
            context: get(Key::Context),
            statement: get(Key::Statement),
            escape: Escape::None,
            weight: None,
            who: 0,
            told: None,
        });
    }
}

fn skip_blank(line: &[u8], at: usize) -> Option<usize> {
    let rest = line.get(at..)?;
    let blank = rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    (blank < rest.len()).then_some(at + blank)
}

/// A string at `at`: where its content starts and ends, and where what follows starts.
fn string(line: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    if line.get(at) != Some(&b'"') {
        return None;
    }
    let mut end = at + 1;
    loop {
        end += memchr::memchr2(b'"', b'\\', line.get(end..)?)?;
        if line[end] == b'"' {
            return Some((at + 1, end, end + 1));
        }
        end += 2;
    }
}

/// Where a nested object or array ends; strings in it may hold brackets.
fn nested_end(line: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = start;
    while at < line.len() {
        match line[at] {
            b'"' => {
                at = string(line, at)?.2;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
