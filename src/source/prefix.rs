//! `log_line_prefix` as a little program that reads a log line up to its message.

mod heads;
mod infer;
mod layout;

pub(super) use heads::{Heads, Lead, Who};
pub(super) use infer::{find_severity, infer, shape};
use layout::{Hole, Layout, MAX_HOLES, read_hole};

use super::{localised, record::Severity, time::Clock};

/// Steps of a prefix that are taken; longer ones are refused as not being one.
const MAX_STEPS: usize = 64;
/// Ends that are tried for fields of free text before a line counts as not matching.
const MAX_ATTEMPTS: u32 = 64;

/// What a field of the prefix holds, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    Time = 0,
    Process,
    Session,
    User,
    Database,
    Application,
    Transaction,
    QueryId,
    SqlState,
    /// Anything else.
    Ignored,
}

const N_FIELDS: usize = 10;

/// Which bytes a field can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// `2026-11-22 20:36:03.041 UTC`
    Timestamp,
    /// `1795379763.041`
    Epoch,
    Digits,
    /// Digits with a sign.
    Signed,
    /// `6738f3a1.2005`
    Hex,
    /// `3/1130`, may be empty.
    Virtual,
    /// Anything up to what follows, may be empty.
    Free,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Literal(Vec<u8>),
    Field {
        field: Field,
        syntax: Syntax,
        /// Columns that the field fills at least, with spaces behind (negative) or before it.
        width: i16,
        /// Its number among the fields that differ within a session, if it is one.
        hole: Option<u8>,
    },
    /// `%q`: processes without a session end here.
    SessionOnly,
}

/// A compiled `log_line_prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix {
    text: String,
    steps: Vec<Step>,
    layout: Layout,
    /// Bit by field.
    has: u16,
}

/// What a line says before its message; fields as ranges of the line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    /// Small, as heads are copied for every line.
    fields: [(u16, u16); N_FIELDS],
    /// Log time, microseconds since the epoch.
    pub(super) time_us: i64,
    /// What kind of line it is.
    pub(super) level: Level,
    /// Where the prefix ends and the level starts.
    pub(super) prefix_len: usize,
    /// Where the message starts.
    pub(super) message: usize,
    /// Where the fields stand that differ within a session, in order.
    holes: [(u16, u16); MAX_HOLES],
    /// How many of them: a process without a session may have fewer.
    n_holes: usize,
    /// Bit by field: the prefix has it, also where it is empty.
    has: u16,
}

impl Head {
    /// Where a field stands in the line.
    fn range(&self, field: Field) -> (u16, u16) {
        self.fields[field as usize]
    }

    /// Whether the prefix has that field.
    fn has(&self, field: Field) -> bool {
        self.has & (1 << field as u16) != 0
    }

    /// The bytes of a field in the line that this head was read from.
    pub(super) fn get<'a>(&self, line: &'a [u8], field: Field) -> &'a [u8] {
        let (start, end) = self.fields[field as usize];
        line.get(usize::from(start)..usize::from(end))
            .unwrap_or_default()
    }
}

/// What follows the prefix: a message's severity, or the name of what belongs to the message before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Level {
    /// A message.
    #[default]
    Log,
    /// A message of that severity.
    Primary(Severity),
    Detail,
    Context,
    Statement,
    /// HINT, QUERY, LOCATION, BACKTRACE.
    OtherSecondary,
}

impl Level {
    /// The severity, if this starts a message of its own.
    pub(super) fn severity(self) -> Option<Severity> {
        match self {
            Self::Log => Some(Severity::Log),
            Self::Primary(severity) => Some(severity),
            _ => None,
        }
    }
}

impl Prefix {
    /// Compiles a prefix as `log_line_prefix` has it; `None` when it has no time, process, session or other field at all.
    pub(super) fn compile(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut literal = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                literal.push(byte);
                continue;
            }
            let mut width = String::new();
            while let Some(byte) = bytes.next_if(|b| *b == b'-' || b.is_ascii_digit()) {
                width.push(char::from(byte));
            }
            let width = match width.as_str() {
                "" => 0,
                width => width.parse().ok()?,
            };
            let escape = bytes.next()?;
            if escape == b'%' {
                literal.push(b'%');
                continue;
            }
            if !literal.is_empty() {
                steps.push(Step::Literal(std::mem::take(&mut literal)));
            }
            steps.push(step(escape, width)?);
        }
        if !literal.is_empty() {
            steps.push(Step::Literal(literal));
        }
        (steps.len() <= MAX_STEPS).then(|| Self {
            text: text.to_owned(),
            layout: Layout::of(&mut steps),
            has: fields(&steps),
            steps,
        })
    }

    /// As it would stand in `postgresql.conf`.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Reads a line up to its message; `None` when this is not the line's prefix.
    pub(super) fn read(&self, line: &[u8], clock: &mut Clock) -> Option<Head> {
        let line = &line[..line.len().min(MAX_PREFIX_BYTES)];
        let mut run = Run {
            line,
            clock,
            head: Head {
                has: self.has,
                ..Head::default()
            },
            n_attempts: 0,
            n_holes: self.layout.holes.len(),
        };
        run.steps(&self.steps, 0).then_some(run.head)
    }
}

fn fields(steps: &[Step]) -> u16 {
    let bit = |step: &Step| match step {
        Step::Field { field, .. } => 1 << *field as u16,
        _ => 0,
    };
    steps.iter().map(bit).fold(0, |all, bit| all | bit)
}

fn step(escape: u8, width: i16) -> Option<Step> {
    let (field, syntax) = match escape {
        b't' | b'm' => (Field::Time, Syntax::Timestamp),
        b'n' => (Field::Time, Syntax::Epoch),
        b's' => (Field::Ignored, Syntax::Timestamp),
        b'p' => (Field::Process, Syntax::Digits),
        b'l' | b'x' => (Field::Ignored, Syntax::Digits),
        // the leader of a parallel worker; nothing for others
        b'P' => (Field::Ignored, Syntax::Virtual),
        b'c' => (Field::Session, Syntax::Hex),
        b'v' => (Field::Transaction, Syntax::Virtual),
        b'Q' => (Field::QueryId, Syntax::Signed),
        b'u' => (Field::User, Syntax::Free),
        b'd' => (Field::Database, Syntax::Free),
        b'a' => (Field::Application, Syntax::Free),
        b'e' => (Field::SqlState, Syntax::Free),
        b'r' | b'h' | b'i' | b'b' | b'L' => (Field::Ignored, Syntax::Free),
        b'q' => return Some(Step::SessionOnly),
        _ => return None,
    };
    Some(Step::Field {
        field,
        syntax,
        width,
        hole: None,
    })
}

/// One attempt to read a line.
struct Run<'a> {
    line: &'a [u8],
    clock: &'a mut Clock,
    head: Head,
    n_attempts: u32,
    /// Holes of the whole prefix.
    n_holes: usize,
}

impl Run<'_> {
    /// Runs the steps from `at` on. Recursion is as deep as the prefix has free fields.
    fn steps(&mut self, steps: &[Step], mut at: usize) -> bool {
        for (n, step) in steps.iter().enumerate() {
            match step {
                Step::Literal(literal) => {
                    if !self.line[at..].starts_with(literal) {
                        return false;
                    }
                    at += literal.len();
                }
                Step::Field {
                    field,
                    syntax: Syntax::Free,
                    ..
                } => return self.free(*field, &steps[n + 1..], at),
                Step::Field {
                    field,
                    syntax,
                    width,
                    hole,
                } => match self.fixed((*field, *syntax, *width), *hole, at) {
                    Some(end) => at = end,
                    None => return false,
                },
                Step::SessionOnly => {
                    if self.level(at) {
                        if !self.is_named_as_a_level(&steps[n + 1..], at) {
                            self.ends_before(&steps[n..]);
                        }
                        return true;
                    }
                }
            }
        }
        let ends = self.level(at);
        if ends {
            self.ends_before(&[]);
        }
        ends
    }

    /// Whether what looks like the level of a process without a session is the start of a name: an application may be called `LOG:  x`. Such processes
    /// run no client's statements, so where one stands behind a second level, the first belongs to a name.
    fn is_named_as_a_level(&mut self, rest: &[Step], at: usize) -> bool {
        const OF_CLIENTS: [&[u8]; 4] = [
            b"LOG:  duration: ",
            b"DETAIL:  Parameters: ",
            // until 15
            b"DETAIL:  parameters: ",
            b"STATEMENT:  ",
        ];
        let line = self.line;
        let without_session = self.head;
        let message = &line[without_session.message..];
        let window = &message[..message.len().min(MAX_FREE_BYTES)];
        let is_there = |mark: &&[u8]| memchr::memmem::find(window, mark).is_some();
        if !OF_CLIENTS.iter().any(is_there) {
            return false;
        }
        let is_named = self.steps(rest, at)
            && self.head.message != without_session.message
            && OF_CLIENTS
                .iter()
                .any(|mark| line[self.head.prefix_len..].starts_with(mark));
        if !is_named {
            self.head = without_session;
        }
        is_named
    }

    /// The head ends where these steps are left.
    fn ends_before(&mut self, left: &[Step]) {
        let is_hole = |step: &&Step| matches!(step, Step::Field { hole: Some(_), .. });
        self.head.n_holes = self.n_holes - left.iter().filter(is_hole).count();
    }

    /// Reads the level and the start of the message at `at`.
    fn level(&mut self, at: usize) -> bool {
        let Some((level, len)) = level(&self.line[at..]) else {
            return false;
        };
        self.head.level = level;
        self.head.prefix_len = at;
        self.head.message = at + len;
        true
    }

    fn set(&mut self, field: Field, start: usize, end: usize) {
        self.head.fields[field as usize] = (start as u16, end as u16);
    }

    /// A field whose end its own syntax tells.
    fn fixed(
        &mut self,
        (field, syntax, width): (Field, Syntax, i16),
        hole: Option<u8>,
        at: usize,
    ) -> Option<usize> {
        let is_padding = |byte: &&u8| **byte == b' ';
        let n_before = match width {
            1.. => self.line[at..].iter().take_while(is_padding).count(),
            _ => 0,
        };
        let start = at + n_before;
        let rest = &self.line[start..];
        let hole_read = Hole {
            syntax,
            field,
            may_be_empty: width != 0,
        };
        let (time_us, len) = read_hole(hole_read, rest, self.clock)?;
        if let Some(time_us) = time_us {
            self.head.time_us = time_us;
        }
        let end = start + len;
        self.set(field, start, end);
        if let Some(hole) = hole {
            self.head.holes[usize::from(hole)] = (start as u16, end as u16);
        }
        let columns = usize::from(width.min(0).unsigned_abs());
        let behind = &self.line[end..self.line.len().min(end.max(at + columns))];
        Some(end + behind.iter().take_while(is_padding).count())
    }

    /// A field that ends where the rest of the prefix matches: the nearest such place is taken.
    fn free(&mut self, field: Field, rest: &[Step], at: usize) -> bool {
        let line = self.line;
        let window = &line[at..line.len().min(at + MAX_FREE_BYTES)];
        let next = match rest.iter().find(|step| **step != Step::SessionOnly) {
            Some(Step::Literal(literal)) => Some(literal.as_slice()),
            _ => None,
        };
        let mut from = 0;
        while self.n_attempts < MAX_ATTEMPTS {
            self.n_attempts += 1;
            let end = match next {
                Some(literal) => match memchr::memmem::find(&window[from..], literal) {
                    Some(found) => from + found,
                    None => return false,
                },
                None if from <= window.len() => from,
                None => return false,
            };
            let text = window[..end].trim_ascii();
            let start = at + (window[..end].len() - window[..end].trim_ascii_start().len());
            self.set(field, start, start + text.len());
            if self.steps(rest, at + end) {
                return true;
            }
            from = end + 1;
            if from > window.len() {
                return false;
            }
        }
        false
    }
}

/// Bytes of a line in which its prefix ends: fields are at most some hundred bytes each.
const MAX_PREFIX_BYTES: usize = u16::MAX as usize;

/// Bytes in which the end of a free field is looked for: application names and the like are at most 64 bytes each.
const MAX_FREE_BYTES: usize = 512;

/// Reads `LOG:  ` and the like: the level, and where the message starts.
pub(super) fn level(text: &[u8]) -> Option<(Level, usize)> {
    const LEVELS: [(&[u8], Level); 19] = [
        (b"LOG", Level::Log),
        (b"DETAIL", Level::Detail),
        (b"STATEMENT", Level::Statement),
        (b"ERROR", Level::Primary(Severity::Error)),
        (b"CONTEXT", Level::Context),
        (b"HINT", Level::OtherSecondary),
        (b"WARNING", Level::Primary(Severity::Notice)),
        (b"NOTICE", Level::Primary(Severity::Notice)),
        (b"FATAL", Level::Primary(Severity::Error)),
        (b"PANIC", Level::Primary(Severity::Error)),
        (b"INFO", Level::Primary(Severity::Notice)),
        (b"QUERY", Level::OtherSecondary),
        (b"LOCATION", Level::OtherSecondary),
        (b"BACKTRACE", Level::OtherSecondary),
        (b"DEBUG1", Level::Primary(Severity::Notice)),
        (b"DEBUG2", Level::Primary(Severity::Notice)),
        (b"DEBUG3", Level::Primary(Severity::Notice)),
        (b"DEBUG4", Level::Primary(Severity::Notice)),
        (b"DEBUG5", Level::Primary(Severity::Notice)),
    ];
    let first = text.first()?;
    if !first.is_ascii_uppercase() && first.is_ascii() {
        return None;
    }
    let known = LEVELS.iter().find(|(word, _)| text.starts_with(word));
    match known.and_then(|(word, level)| Some((word, level, text.get(word.len()..)?))) {
        Some((word, level, [b':', b' ', b' ', ..])) => Some((*level, word.len() + 3)),
        // an empty message whose trailing spaces were cut
        Some((word, level, [b':'])) => Some((*level, word.len() + 1)),
        _ => localised::level(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

    fn read<'a>(prefix: &str, line: &'a str) -> Option<Read<'a>> {
        let prefix = Prefix::compile(prefix).unwrap();
        let head = prefix.read(line.as_bytes(), &mut Clock::new(0))?;
        let get = |field| std::str::from_utf8(head.get(line.as_bytes(), field)).unwrap();
        let session = match get(Field::Session) {
            "" => get(Field::Process),
            session => session,
        };
        Some((
            session,
            get(Field::User),
            get(Field::Database),
            get(Field::Application),
            &line[head.message..],
        ))
    }

    #[test]
    fn prefixes_of_all_kinds() {
        for (prefix, line, expected) in [
            (
                "%m [%p] ",
                "2026-11-22 20:36:03.041 UTC [8197] LOG:  x",
                ("8197", "", "", "", "x"),
            ),
            (
                "%t:%r:%u@%d:[%p]:",
                "2026-11-22 20:36:03 UTC:10.0.0.1(5432):u@d:[8197]:LOG:  x",
                ("8197", "u", "d", "", "x"),
            ),
            (
                "%m [%p] %q%u@%d/%a ",
                "2026-11-22 20:36:03.041 UTC [8197] u@d/my app: LOG: x LOG:  m",
                ("8197", "u", "d", "my app: LOG: x", "m"),
            ),
            (
                "%m [%p] %q%u@%d ",
                "2026-11-22 20:36:03.041 UTC [8197] LOG:  x",
                ("8197", "", "", "", "x"),
            ),
            (
                "%m [%p] %q%a ",
                "2026-11-22 20:36:03.041 UTC [8197] LOG:  x LOG:  duration: 1.5 ms  statement: select 1",
                (
                    "8197",
                    "",
                    "",
                    "LOG:  x",
                    "duration: 1.5 ms  statement: select 1",
                ),
            ),
            (
                "%m [%p] %q%u@%d ",
                "2026-11-22 20:36:03.041 UTC [8197] ERROR:  u@d LOG:  duration: 1.5 ms  statement: select 1",
                (
                    "8197",
                    "ERROR:  u",
                    "d",
                    "",
                    "duration: 1.5 ms  statement: select 1",
                ),
            ),
            (
                "%m [%p] %q%a ",
                "2026-11-22 20:36:03.041 UTC [8197] LOG:  x STATEMENT:  select 1/0",
                ("8197", "", "", "LOG:  x", "select 1/0"),
            ),
            // no name of that prefix ends there
            (
                "%m [%p] %q%u@%d ",
                "2026-11-22 20:36:03.041 UTC [8197] LOG:  x LOG:  duration: 1.5 ms",
                ("8197", "", "", "", "x LOG:  duration: 1.5 ms"),
            ),
            (
                "%m [%p] %q%a ",
                "2026-11-22 20:36:03.041 UTC [8197] LOG:  checkpoint complete: LOG:  y",
                ("8197", "", "", "", "checkpoint complete: LOG:  y"),
            ),
            (
                "%n %c %-10u|%10d|%a %v %x %e %Q: ",
                "1795379763.041 6738f3a1.2005 bob       |       shop|psql 3/1130 0 00000 -5: LOG:  x",
                ("6738f3a1.2005", "bob", "shop", "psql", "x"),
            ),
            (
                "%5p %l %i ",
                "  812 7 UPDATE waiting LOG:  x",
                ("812", "", "", "", "x"),
            ),
            (
                "%m [%p/%P] ",
                "2026-11-22 20:36:03.041 UTC [8197/] LOG:  x",
                ("8197", "", "", "", "x"),
            ),
            ("", "LOG:  x", ("", "", "", "", "x")),
            ("[%p]%% ", "[7]% ERROR:  x", ("7", "", "", "", "x")),
        ] {
            assert_eq!(read(prefix, line), Some(expected), "{prefix}");
        }
    }

    #[test]
    fn lines_of_other_prefixes_do_not_match() {
        assert_eq!(
            read("%m [%p] ", "2026-11-22 20:36:03 UTC 8197 LOG:  x"),
            None
        );
        assert_eq!(read("%m [%p] ", ""), None);
        assert_eq!(read("%u", "no level here"), None);
        assert!(Prefix::compile("%z").is_none());
        assert!(Prefix::compile("%").is_none());
    }
}
