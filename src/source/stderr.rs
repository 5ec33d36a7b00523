//! `log_destination = stderr`: lines with any `log_line_prefix`, continued on lines that start with a tab.

use super::{
    Format,
    bodies::Bodies,
    framing::{
        CUT_RECORD, Framing, Head, MAX_RECORD_BYTES, NO_END, line_end, line_starts,
        line_starts_from_end,
    },
    message::{self, Told},
    prefix::{self, Heads, Lead, Level, Prefix, Who, find_severity, infer, shape},
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
/// Prefixes that a log's start may have beside its own: a restart changes the prefix.
const MAX_OTHER_PREFIXES: usize = 4;
/// Lines at least by which another prefix is found: foreign text does not need one each.
const MIN_OTHER_LINES: usize = 3;
/// Prefixes of single lines that are remembered while a chunk is read.
const MAX_OWN_PREFIXES: usize = 64;

struct Stderr {
    prefix: Prefix,
    /// What else the start was written with.
    others: Vec<Prefix>,
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
    let tabbed = n_tabbed > 0 || n_bare == 0;
    Some(Box::new(Stderr {
        others: if tabbed {
            other_prefixes(&prefix, lines())
        } else {
            Vec::new()
        },
        prefix,
        tabbed,
        unknown_zone_minutes: head.options.unknown_zone_minutes,
    }))
}

/// Prefixes of the lines that do not read under the log's own.
fn other_prefixes<'a>(own: &Prefix, lines: impl Iterator<Item = &'a [u8]>) -> Vec<Prefix> {
    let mut clock = Clock::new(0);
    let mut reads = |prefix: &Prefix, line: &[u8]| prefix.read(line, &mut clock).is_some();
    let mut rest: Vec<&[u8]> = lines
        .filter(|line| !line.starts_with(b"\t") && !reads(own, line))
        .filter(|line| find_severity(line).is_some())
        .collect();
    let mut others = Vec::new();
    while rest.len() >= MIN_OTHER_LINES
        && others.len() < MAX_OTHER_PREFIXES
        && let Some(prefix) = infer(&rest.join(&b'\n'))
    {
        rest.retain(|line| !reads(&prefix, line));
        others.push(prefix);
    }
    others
}

/// The head of a line, and whether it has the input's own prefix. Depends on the line and the input's start alone, so that it is the same wherever
/// chunks end.
type Found = (prefix::Head, bool);

impl Stderr {
    /// The head of a line: by the input's prefix, by one that its start has beside it, or by one that a restart brought later.
    fn head(&self, line: &[u8], clock: &mut Clock, own: &mut OwnPrefixes) -> Option<Found> {
        if let Some(head) = self.prefix.read(line, clock) {
            return Some((head, true));
        }
        for prefix in &self.others {
            if let Some(head) = prefix.read(line, clock) {
                return Some((head, false));
            }
        }
        if self.tabbed {
            own.head(line, clock)
        } else {
            None
        }
    }

    /// Where in `starts` a line starts a message of its own.
    fn find_start(&self, block: &[u8], mut starts: impl Iterator<Item = usize>) -> Option<usize> {
        let mut clock = Clock::new(0);
        let mut own = OwnPrefixes::default();
        starts.find(|start| {
            let (end, next) = line_end(block, *start);
            let line = &block[*start..end];
            let is_whole = next > end;
            if line.first() == Some(&b'\t') && self.tabbed {
                return false;
            }
            // of a line that is not all there yet, an empty message may be more than that
            (is_whole || line.last() != Some(&b':'))
                && self
                    .head(line, &mut clock, &mut own)
                    .is_some_and(|(head, _)| head.level.severity().is_some())
        })
    }
}

/// Prefixes that single lines were found to have.
#[derive(Default)]
struct OwnPrefixes {
    by_shape: Vec<(String, Prefix)>,
}

impl OwnPrefixes {
    fn head(&mut self, line: &[u8], clock: &mut Clock) -> Option<Found> {
        let shape = shape(line)?;
        if let Some((_, prefix)) = self.by_shape.iter().find(|(known, _)| *known == shape) {
            return Some((prefix.read(line, clock)?, false));
        }
        let prefix = Prefix::compile(&shape)?;
        let head = prefix.read(line, clock);
        if self.by_shape.len() < MAX_OWN_PREFIXES {
            self.by_shape.push((shape, prefix));
        }
        Some((head?, false))
    }
}

impl Framing for Stderr {
    fn last_start(&self, block: &[u8]) -> Option<usize> {
        self.find_start(block, line_starts_from_end(block))
    }

    fn first_start(&self, block: &[u8]) -> Option<usize> {
        self.find_start(block, line_starts(block))
    }

    fn read(&self, chunk: &[u8], receiver: &mut dyn Receiver) {
        let mut reader = Reader {
            stderr: self,
            chunk,
            own: OwnPrefixes::default(),
            clock: Clock::new(self.unknown_zone_minutes),
            group: None,
            previous: None,
            heads: Heads::new(&self.prefix),
            bodies: Bodies::default(),
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

impl Span {
    /// A part of the line that starts at `at`.
    fn within(at: usize, (start, end): (u16, u16)) -> Self {
        Self {
            start: at + usize::from(start),
            end: at + usize::from(end),
        }
    }
}

/// A message and what belongs to it.
#[derive(Debug, Clone, Copy)]
struct Group<'a> {
    line: u64,
    who: u32,
    time_us: i64,
    transaction: Span,
    query_id: Span,
    severity: Severity,
    message: Span,
    /// What the message says, if it says it as most do.
    told: Option<Told<'a>>,
    detail: Span,
    context: Span,
    statement: Span,
    last: Level,
}

struct Reader<'a> {
    stderr: &'a Stderr,
    chunk: &'a [u8],
    own: OwnPrefixes,
    clock: Clock,
    group: Option<Group<'a>>,
    /// The last line's start and head: the parts of a message start alike to the last byte.
    previous: Option<(usize, Lead)>,
    /// Heads of earlier lines: one session's lines start alike, but for the time.
    heads: Heads<'a>,
    /// Messages that come again and again.
    bodies: Bodies<'a>,
    receiver: &'a mut dyn Receiver,
}

impl<'a> Reader<'a> {
    fn run(&mut self) {
        let (mut at, mut line) = (0, 0);
        while at < self.chunk.len() {
            let lead = self.known_lead(at);
            if let Some(lead) = lead
                && let Some((end, n_lines)) = self.known_message(at, &lead, line)
            {
                at = end + 1;
                line += n_lines;
                continue;
            }
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
                self.line(at, first_end, end, line, lead);
            }
            at = next;
            line += n_lines;
        }
        self.finish_group();
    }

    /// A line with its continuation lines, up to `end`.
    fn line(&mut self, at: usize, first_end: usize, end: usize, line: u64, known: Option<Lead>) {
        let Some(lead) = known.or_else(|| self.lead(at, first_end)) else {
            return self.foreign(at, end, line);
        };
        let previous = self.previous.replace((at, lead));
        match lead.level.severity() {
            Some(severity) => {
                self.finish_group();
                let message = self.span(at + lead.message, end, line);
                let told = self.understand(&lead, severity, message, end);
                self.start_group(at, &lead, severity, line, message, told);
            }
            None if self.is_of_group(&lead) => self.secondary(&lead, at, end, line),
            None => {
                self.previous = previous;
                self.receiver.skipped(NO_START, line, &self.chunk[at..end]);
            }
        }
    }

    fn start_group(
        &mut self,
        at: usize,
        lead: &Lead,
        severity: Severity,
        line: u64,
        message: Span,
        told: Option<Told<'a>>,
    ) {
        self.group = Some(Group {
            line,
            who: lead.who,
            time_us: lead.time_us,
            transaction: Span::within(at, lead.transaction),
            query_id: Span::within(at, lead.query_id),
            severity,
            message,
            told,
            detail: Span::default(),
            context: Span::default(),
            statement: Span::default(),
            last: lead.level,
        });
    }

    /// Whether a line is the same session's as the group.
    fn is_of_group(&self, lead: &Lead) -> bool {
        let session = |number: u32| self.heads.who(number).session;
        self.group
            .as_ref()
            .is_some_and(|group| group.who == lead.who || session(group.who) == session(lead.who))
    }

    /// A part of the group's message.
    fn secondary(&mut self, lead: &Lead, at: usize, end: usize, line: u64) {
        if lead.level == Level::OtherSecondary {
            return;
        }
        let span = self.span(at + lead.message, end, line);
        if let Some(group) = &mut self.group {
            group.last = lead.level;
            match lead.level {
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

    /// The head of the line at `at`, if the last line or another one started alike.
    fn known_lead(&mut self, at: usize) -> Option<Lead> {
        let text = &self.chunk[at..];
        if let Some((previous, lead)) = &self.previous
            && lead.prefix_len > 0
            && let same = &self.chunk[*previous..previous + lead.prefix_len]
            && text.starts_with(same)
            && let Some((level, len)) = prefix::level(&text[same.len()..])
        {
            return Some(Lead {
                level,
                message: same.len() + len,
                ..*lead
            });
        }
        self.heads.find(text, &mut self.clock)
    }

    /// The head of the line at `at..end`.
    fn lead(&mut self, at: usize, end: usize) -> Option<Lead> {
        let line = &self.chunk[at..end];
        // the end of the line matters to a message without text
        if let Some(lead) = self.heads.find(line, &mut self.clock) {
            return Some(lead);
        }
        let (head, is_own) = self.stderr.head(line, &mut self.clock, &mut self.own)?;
        Some(self.heads.keep(line, &head, is_own))
    }

    /// Takes the message of the line at `at` if its like was there before. Gives where it ends, and its lines.
    fn known_message(&mut self, at: usize, lead: &Lead, line: u64) -> Option<(usize, u64)> {
        if lead.level != Level::Log {
            return None;
        }
        let start = at + lead.message;
        let (duration_us, len) = message::behind_duration(&self.chunk[start..])?;
        let body = self.bodies.find(lead.who, &self.chunk[start + len..])?;
        let end = start + len + body.len();
        let (n_lines, told) = (body.n_lines, body.told);
        self.previous = Some((at, *lead));
        self.finish_group();
        let told = Told {
            duration_us,
            ..told
        };
        let message = Span { start, end };
        self.start_group(at, lead, Severity::Log, line, message, Some(told));
        Some((end, n_lines))
    }

    /// What a message says, if it says it as most do; remembers it for when it comes again.
    fn understand(
        &mut self,
        lead: &Lead,
        severity: Severity,
        span: Span,
        end: usize,
    ) -> Option<Told<'a>> {
        let message = &self.chunk[span.start..span.end];
        let (_, len) = message::behind_duration(message).filter(|_| severity == Severity::Log)?;
        let mut told = message::told(message, self.escape())?;
        told.text = told.text.hashed();
        // the whole of it, not cut
        if self.stderr.tabbed && span.end == end {
            let bytes = &self.chunk[span.start + len..=end];
            self.bodies.learn(lead.who, bytes, told);
        }
        Some(told)
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
        let text = |span: &Span| &self.chunk[span.start..span.end];
        let (state, message) = match group.told {
            Some(_) => (None, text(&group.message)),
            None => sqlstate(text(&group.message)),
        };
        let who: &Who<'_> = self.heads.who(group.who);
        let record = Record {
            line: group.line,
            time_us: group.time_us,
            who: group.who,
            session: who.session,
            transaction: text(&group.transaction),
            user: who.user,
            database: who.database,
            application: who.application,
            query_id: number(text(&group.query_id)),
            severity: group.severity,
            sqlstate: state.unwrap_or(who.sqlstate),
            message,
            detail: text(&group.detail),
            context: text(&group.context),
            statement: text(&group.statement),
            escape: self.escape(),
            told: group.told,
            weight: None,
        };
        self.receiver.record(&record);
    }

    fn escape(&self) -> Escape {
        if self.stderr.tabbed {
            Escape::Tabs
        } else {
            Escape::None
        }
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
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // as many digits never overflow 64 bits; query ids are read for each message
    if digits.is_empty() || digits.len() > 19 {
        return 0;
    }
    let mut number = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return 0;
        }
        number = number * 10 + u64::from(digit);
    }
    if is_negative {
        0_i64.checked_sub_unsigned(number).unwrap_or(0)
    } else {
        i64::try_from(number).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_those_of_query_ids() {
        for text in [
            "0",
            "-1",
            "42",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "",
            "-",
            "--1",
            "1a",
            " 1",
        ] {
            assert_eq!(number(text.as_bytes()), text.parse().unwrap_or(0), "{text}");
        }
    }
}
