//! `log_destination = stderr`: lines with any `log_line_prefix`, continued on lines that start with a tab.

use super::{
    Format,
    framing::{
        CUT_RECORD, Framing, Head, MAX_RECORD_BYTES, NO_END, line_end, line_starts,
        line_starts_from_end,
    },
    prefix::{self, Field, Heads, Level, Prefix, find_severity, infer},
    record::{Receiver, Record, Severity},
    time::Clock,
};
use crate::workload::Escape;

pub(super) static FORMAT: Format = Format {
    name: "stderr",
    summary: "text with any log_line_prefix",
    open,
};

/// Reason for a DETAIL or the like without its message.
const NO_START: &str = "parts of a message whose start is not in the log";
/// Reason for text that the server did not write.
const FOREIGN: &str = "lines that are no log lines";
/// Prefixes found anew within one chunk: a restart changes the prefix, foreign text does not need one each.
const MAX_NEW_PREFIXES: usize = 4;
/// Bytes from which a changed prefix is found.
const REINFER_BYTES: usize = 64 << 10;

struct Stderr {
    prefix: Prefix,
    /// Continuation lines start with a tab, as Postgres writes them; some shippers strip it.
    tabbed: bool,
    unknown_zone_minutes: i64,
}

fn open(head: &Head<'_>) -> Option<Box<dyn Framing>> {
    let prefix = match &head.options.log_line_prefix {
        Some(text) => Prefix::compile(text)?,
        None => infer(head.sample)?,
    };
    let mut clock = Clock::new(0);
    let lines = || {
        head.sample
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
    };
    if !lines().any(|line| prefix.read(line, &mut clock).is_some()) {
        return None;
    }
    let n_tabbed = lines().filter(|line| line.starts_with(b"\t")).count();
    let n_bare = lines()
        .filter(|line| !line.starts_with(b"\t") && find_severity(line).is_none())
        .count();
    Some(Box::new(Stderr {
        prefix,
        tabbed: n_tabbed > 0 || n_bare == 0,
        unknown_zone_minutes: head.options.unknown_zone_minutes,
    }))
}

impl Stderr {
    /// Whether a line starts a message of its own: by the prefix, or by its level where the prefix has changed.
    fn starts_message(&self, line: &[u8], clock: &mut Clock) -> bool {
        if line.first() == Some(&b'\t') && self.tabbed {
            return false;
        }
        let level = match self.prefix.read(line, clock) {
            Some(head) => Some(head.level),
            None if self.tabbed => find_severity(line).map(|(level, _, _)| level),
            None => None,
        };
        level.is_some_and(|level| level.severity().is_some())
    }
}

impl Framing for Stderr {
    fn last_start(&self, block: &[u8]) -> Option<usize> {
        let mut clock = Clock::new(0);
        line_starts_from_end(block).find(|start| {
            self.starts_message(&block[*start..line_end(block, *start).0], &mut clock)
        })
    }

    fn first_start(&self, block: &[u8]) -> Option<usize> {
        let mut clock = Clock::new(0);
        line_starts(block).find(|start| {
            self.starts_message(&block[*start..line_end(block, *start).0], &mut clock)
        })
    }

    fn read(&self, chunk: &[u8], receiver: &mut dyn Receiver) {
        let mut reader = Reader {
            stderr: self,
            chunk,
            new_prefixes: Vec::new(),
            clock: Clock::new(self.unknown_zone_minutes),
            group: None,
            previous: None,
            heads: Heads::new(self.prefix.time_place()),
            receiver,
        };
        reader.run();
    }

    fn prefix(&self) -> Option<String> {
        Some(self.prefix.text().to_owned())
    }
}

/// Where a text stands in the chunk.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: usize,
    end: usize,
}

/// A message and what belongs to it.
#[derive(Debug, Clone, Copy)]
struct Group {
    line: u64,
    /// Where its first line starts.
    at: usize,
    head: prefix::Head,
    severity: Severity,
    message: Span,
    detail: Span,
    context: Span,
    statement: Span,
    last: Level,
}

struct Reader<'a> {
    stderr: &'a Stderr,
    chunk: &'a [u8],
    /// Prefixes that this chunk was found to have beside the input's own.
    new_prefixes: Vec<Prefix>,
    clock: Clock,
    group: Option<Group>,
    /// The last line's start and head: the parts of a message start alike to the last byte.
    previous: Option<(usize, prefix::Head)>,
    /// Heads of earlier lines: one session's lines start alike, but for the time.
    heads: Heads<'a>,
    receiver: &'a mut dyn Receiver,
}

impl Reader<'_> {
    fn run(&mut self) {
        let (mut at, mut line) = (0, 0);
        while at < self.chunk.len() {
            let (first_end, mut next) = line_end(self.chunk, at);
            let (mut end, mut n_lines) = (first_end, 1);
            while self.stderr.tabbed && self.chunk.get(next) == Some(&b'\t') {
                (end, next) = line_end(self.chunk, next);
                n_lines += 1;
            }
            if end == self.chunk.len() {
                // Postgres ends every line: this one is not all there
                self.receiver
                    .skipped(NO_END, line, &self.chunk[at..first_end]);
            } else {
                self.line(at, first_end, end, line);
            }
            at = next;
            line += n_lines;
        }
        self.finish_group();
    }

    /// A line with its continuation lines, up to `end`.
    fn line(&mut self, at: usize, first_end: usize, end: usize, line: u64) {
        let same = self.same_head(at, first_end);
        let is_same = same.is_some();
        let Some(head) = same.or_else(|| self.head(at, first_end)) else {
            return self.foreign(at, end, line);
        };
        self.previous = Some((at, head));
        match head.level.severity() {
            Some(severity) => {
                self.finish_group();
                let message = self.span(at + head.message, end, line);
                self.group = Some(Group {
                    line,
                    at,
                    head,
                    severity,
                    message,
                    detail: Span::default(),
                    context: Span::default(),
                    statement: Span::default(),
                    last: head.level,
                });
            }
            None if is_same && self.group.is_some() || self.is_of_group(&head, at) => {
                self.secondary(&head, at, end, line);
            }
            None => {
                self.previous = None;
                self.receiver.skipped(NO_START, line, &self.chunk[at..end]);
            }
        }
    }

    /// Whether a line is the same session's as the group.
    fn is_of_group(&self, head: &prefix::Head, at: usize) -> bool {
        self.group.as_ref().is_some_and(|group| {
            session(&self.chunk[group.at..], &group.head) == session(&self.chunk[at..], head)
        })
    }

    /// A part of the group's message.
    fn secondary(&mut self, head: &prefix::Head, at: usize, end: usize, line: u64) {
        if head.level == Level::OtherSecondary {
            return;
        }
        let span = self.span(at + head.message, end, line);
        if let Some(group) = &mut self.group {
            group.last = head.level;
            match head.level {
                Level::Detail => group.detail = span,
                Level::Context => group.context = span,
                Level::Statement => group.statement = span,
                _ => {}
            }
        }
    }

    /// A line without the prefix: the message goes on where shippers strip tabs, else somebody else wrote it.
    fn foreign(&mut self, at: usize, end: usize, line: u64) {
        match &mut self.group {
            Some(group) if !self.stderr.tabbed => {
                let span = match group.last {
                    Level::Detail => &mut group.detail,
                    Level::Context => &mut group.context,
                    Level::Statement => &mut group.statement,
                    _ => &mut group.message,
                };
                // adjacent lines: the text grows, newline included
                if span.end + 1 == at {
                    span.end = end;
                }
            }
            _ if self.chunk[at..end].trim_ascii().is_empty() => {}
            _ => self.receiver.skipped(FOREIGN, line, &self.chunk[at..end]),
        }
    }

    /// The prefix of the line at `at..end`, if it is the last line's.
    fn same_head(&self, at: usize, end: usize) -> Option<prefix::Head> {
        let (previous, head) = self.previous.as_ref()?;
        let line = &self.chunk[at..end];
        let same = &self.chunk[*previous..previous + head.prefix_len];
        if same.is_empty() || !line.starts_with(same) {
            return None;
        }
        let (level, len) = prefix::level(&line[same.len()..])?;
        let mut next = *head;
        next.level = level;
        next.message = same.len() + len;
        Some(next)
    }

    /// The prefix of the line at `at..end`: one seen before, the input's, or one that a restart brought.
    fn head(&mut self, at: usize, end: usize) -> Option<prefix::Head> {
        let line = &self.chunk[at..end];
        if let Some(head) = self.heads.find(line, &mut self.clock) {
            return Some(head);
        }
        if let Some(head) = self.stderr.prefix.read(line, &mut self.clock) {
            self.heads.keep(line, &head);
            return Some(head);
        }
        for prefix in &self.new_prefixes {
            if let Some(head) = prefix.read(line, &mut self.clock) {
                return Some(head);
            }
        }
        self.changed_prefix(at, end)
    }

    fn changed_prefix(&mut self, at: usize, end: usize) -> Option<prefix::Head> {
        let line = &self.chunk[at..end];
        if self.new_prefixes.len() >= MAX_NEW_PREFIXES || !self.stderr.tabbed {
            return None;
        }
        find_severity(line)?;
        let sample = &self.chunk[at..self.chunk.len().min(at + REINFER_BYTES)];
        let prefix = [infer(sample), infer(line)]
            .into_iter()
            .flatten()
            .find(|prefix| prefix.read(line, &mut self.clock).is_some())?;
        let head = prefix.read(line, &mut self.clock);
        self.new_prefixes.push(prefix);
        head
    }

    /// The text at `start..end`, cut to what is used of it.
    fn span(&mut self, start: usize, mut end: usize, line: u64) -> Span {
        if end - start > MAX_RECORD_BYTES {
            self.receiver
                .skipped(CUT_RECORD, line, &self.chunk[start..end]);
            end = start + MAX_RECORD_BYTES;
        }
        if end > start && self.chunk[end - 1] == b'\r' {
            end -= 1;
        }
        Span { start, end }
    }

    fn finish_group(&mut self) {
        let Some(group) = self.group.take() else {
            return;
        };
        let line = &self.chunk[group.at..];
        let get = |field| group.head.get(line, field);
        let text = |span: &Span| &self.chunk[span.start..span.end];
        let (state, message) = sqlstate(text(&group.message));
        let record = Record {
            line: group.line,
            time_us: group.head.time_us,
            session: session(line, &group.head),
            transaction: get(Field::Transaction),
            user: get(Field::User),
            database: get(Field::Database),
            application: get(Field::Application),
            query_id: number(get(Field::QueryId)),
            severity: group.severity,
            sqlstate: state.unwrap_or(get(Field::SqlState)),
            message,
            detail: text(&group.detail),
            context: text(&group.context),
            statement: text(&group.statement),
            escape: if self.stderr.tabbed {
                Escape::Tabs
            } else {
                Escape::None
            },
            weight: None,
        };
        self.receiver.record(&record);
    }
}

/// What tells sessions apart: `%c`, else the process id.
fn session<'a>(line: &'a [u8], head: &prefix::Head) -> &'a [u8] {
    match head.get(line, Field::Session) {
        b"" => head.get(line, Field::Process),
        session => session,
    }
}

/// With `log_error_verbosity = verbose` the SQLSTATE stands before the message.
fn sqlstate(message: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match message.split_first_chunk::<5>() {
        Some((state, rest))
            if rest.starts_with(b": ")
                && state
                    .iter()
                    .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
                && state.iter().any(u8::is_ascii_digit) =>
        {
            (Some(&message[..5]), &message[7..])
        }
        _ => (None, message),
    }
}

/// A decimal number, 0 when it is none.
pub(super) fn number(text: &[u8]) -> i64 {
    if text.is_empty() {
        return 0;
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
