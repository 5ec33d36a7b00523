//! Records → events: what is an execution, what belongs to it, and what is a fact of the session.
//!
//! Some executions take several records: `statement:` and a bare `duration:`; a plan and the execution that it explains; parse, bind
//! and execute. Those of one session are joined by small state per session. A chunk starts without the state of the chunk before: each
//! session notes what its first record would have ended ([`First`]), and [`Stitcher`] joins the two when the chunks are put together.

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Options, facts,
    held::{Held, HeldKind},
    message::{self, Message, Step},
    record::{Receiver, Record, Severity},
};
use crate::workload::{
    Escape, Event, Fact, FactKind, Origin, Outcome, Protocol, Sink, Statement, Text,
};

/// Reason for bare durations that nothing can be said of.
pub(super) const LONE_DURATION: &str = "durations without a statement (parse and bind steps, or statements that log_statement leaves out)";

/// What a session's first telling record in a chunk says about a statement held by an earlier chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// A bare duration: the held statement's own.
    Duration {
        duration_us: u64,
        time_us: i64,
        origin: Origin,
    },
    /// An execution of the text with this hash.
    Execution(u64),
    /// A plan of the text with this hash.
    Plan(u64),
    /// A failure of the text with this hash.
    Failure(u64),
    /// Nothing about it: it is over.
    Other,
}

/// What is known of one session.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) first: Option<First>,
    pub(super) held: Option<Held>,
    /// Parse and bind time that waits for its execution.
    planning: Option<(Held, u64)>,
    /// The record after which something was held; without session ids only the next record can belong to it.
    held_after: u64,
}

pub(super) type Sessions = HashMap<Vec<u8>, Session, foldhash::fast::FixedState>;

/// What a chunk was found to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) n_records: u64,
    pub(super) n_statements: u64,
}

/// Turns one chunk's records into events for its sink.
pub(super) struct Assembler<'o, S> {
    pub(super) sink: S,
    options: &'o Options,
    file: u32,
    first_line: u64,
    pub(super) sessions: Sessions,
    pub(super) tally: Tally,
    scratch: Vec<u8>,
    parameters: Vec<u8>,
    /// Take texts that had to be unescaped.
    texts: [Vec<u8>; 4],
}

impl<'o, S: Sink> Assembler<'o, S> {
    pub(super) fn new(sink: S, options: &'o Options, file: u32, first_line: u64) -> Self {
        Self {
            sink,
            options,
            file,
            first_line,
            sessions: Sessions::default(),
            tally: Tally::default(),
            scratch: Vec::new(),
            parameters: Vec::new(),
            texts: Default::default(),
        }
    }

    /// Ends the chunk: parse and bind times whose execution did not come are told by themselves.
    pub(super) fn finish(&mut self) {
        let mut open: Vec<(Held, u64)> = self
            .sessions
            .values_mut()
            .filter_map(|session| session.planning.take())
            .collect();
        open.sort_by_key(|(held, _)| held.origin().line);
        for (held, plan_us) in open {
            more_time(&mut self.sink, &held, plan_us);
        }
    }

    fn origin(&self, line: u64) -> Origin {
        Origin {
            file: self.file,
            line: self.first_line + line,
        }
    }

    fn statement<'a>(&self, record: &Record<'a>) -> Statement<'a> {
        Statement {
            origin: self.origin(record.line),
            time_us: record.time_us,
            session: record.session,
            transaction: record.transaction,
            user: record.user,
            database: record.database,
            application: record.application,
            query_id: record.query_id,
            ..Statement::default()
        }
    }

    fn session(&mut self, name: &[u8]) -> &mut Session {
        self.sessions.entry_ref(name).or_default()
    }

    /// A statement that starts: held until its duration comes or something else of its session.
    fn started(&mut self, statement: &Statement<'_>, step: Step) {
        self.end_held(statement.session, First::Other);
        let n_records = self.tally.n_records;
        let session = self.session(statement.session);
        let kind = match step {
            Step::Fetch => HeldKind::Fetch,
            _ => HeldKind::Started,
        };
        session.held = Some(Held::new(statement, kind));
        session.held_after = n_records;
    }

    /// A statement that ended, with everything about it on one record.
    fn finished(&mut self, mut statement: Statement<'_>, duration_us: u64, step: Step) {
        match step {
            Step::Parse | Step::Bind => {
                self.end_held(statement.session, First::Other);
                self.plan_step(&statement, duration_us);
            }
            Step::Simple | Step::Execute => {
                self.end_held(
                    statement.session,
                    First::Execution(xxh3_64(statement.text.raw())),
                );
                statement.duration_us = Some(duration_us);
                statement.plan_us = self.take_planning(&statement);
                self.emit(&statement);
            }
            Step::Fetch => {
                self.end_held(statement.session, First::Other);
                statement.duration_us = Some(duration_us);
                self.sink.event(&Event::MoreTime(statement));
            }
        }
    }

    fn emit(&mut self, statement: &Statement<'_>) {
        self.tally.n_statements += 1;
        self.sink.event(&Event::Statement(*statement));
    }

    /// Adds the time of a parse or bind to what waits for the execution of the same text.
    fn plan_step(&mut self, statement: &Statement<'_>, duration_us: u64) {
        let session = self.sessions.entry_ref(statement.session).or_default();
        match &mut session.planning {
            Some((held, plan_us)) if held.text() == statement.text => *plan_us += duration_us,
            planning => {
                let next = Held::new(statement, HeldKind::Started);
                if let Some((held, plan_us)) = planning.replace((next, duration_us)) {
                    more_time(&mut self.sink, &held, plan_us);
                }
            }
        }
    }

    /// Parse and bind time of this execution.
    fn take_planning(&mut self, statement: &Statement<'_>) -> u64 {
        let session = self.sessions.entry_ref(statement.session).or_default();
        match session.planning.take() {
            Some((held, plan_us)) if held.text() == statement.text => plan_us,
            Some((held, plan_us)) => {
                more_time(&mut self.sink, &held, plan_us);
                0
            }
            None => 0,
        }
    }

    /// A bare `duration:` line: that of the session's held statement.
    fn bare_duration(&mut self, record: &Record<'_>, duration_us: u64) {
        let origin = self.origin(record.line);
        let n_records = self.tally.n_records;
        let session = self.sessions.entry_ref(record.session).or_default();
        let adjacent = !record.session.is_empty() || session.held_after + 1 == n_records;
        if let Some(held) = session.held.take_if(|_| adjacent) {
            self.tally.n_statements += 1;
            with_duration(&mut self.sink, &held, duration_us, record.time_us);
        } else if session.first.is_none() {
            session.first = Some(First::Duration {
                duration_us,
                time_us: record.time_us,
                origin,
            });
        } else {
            self.sink.skipped(LONE_DURATION, origin, record.message);
        }
    }

    /// Ends the wait of the session's held statement: `next` says what came instead of its duration.
    fn end_held(&mut self, session: &[u8], next: First) {
        let session = self.sessions.entry_ref(session).or_default();
        session.first.get_or_insert(next);
        if let Some(held) = session.held.take() {
            self.tally.n_statements += u64::from(give_up(&mut self.sink, &held, next));
        }
    }

    /// A plan of `auto_explain`: a fact by itself, and an execution unless that is logged too.
    fn plan(&mut self, record: &Record<'_>, duration_us: u64, body: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        message::plan_text(body, &mut scratch);
        let text = message::behind_prepare(&scratch).unwrap_or(&scratch);
        self.fact(
            record,
            FactKind::Plan {
                text,
                plan: body,
                duration_us,
            },
        );
        let nested = !record.context.is_empty();
        if !text.is_empty() && !nested {
            self.end_held(record.session, First::Plan(xxh3_64(text)));
            let statement = Statement {
                text: text.into(),
                duration_us: Some(duration_us),
                parameters: message::plan_parameters(body),
                ..self.statement(record)
            };
            let n_records = self.tally.n_records;
            let session = self.session(record.session);
            session.held = Some(Held::new(&statement, HeldKind::Plan));
            session.held_after = n_records;
        }
        self.scratch = scratch;
    }

    /// An error: the statement that it names has failed.
    fn failed(&mut self, record: &Record<'_>) {
        if let Some(kind) = facts::of_error(record) {
            self.fact(record, kind);
        }
        if record.statement.is_empty() {
            return;
        }
        self.end_held(record.session, First::Failure(xxh3_64(record.statement)));
        let parameters = message::context_parameters(record.context);
        let protocol = match parameters {
            b"" => Protocol::Simple,
            _ if record.context.starts_with(b"unnamed") => Protocol::Unnamed,
            _ => Protocol::Named,
        };
        let statement = Statement {
            text: record.statement.into(),
            parameters,
            protocol,
            outcome: Outcome::Failed(record.sqlstate),
            ..self.statement(record)
        };
        self.emit(&statement);
    }

    fn fact(&mut self, record: &Record<'_>, kind: FactKind<'_>) {
        let fact = Fact {
            origin: self.origin(record.line),
            time_us: record.time_us,
            session: record.session,
            user: record.user,
            database: record.database,
            application: record.application,
            kind,
        };
        self.sink.event(&Event::Fact(fact));
    }

    /// A message of severity LOG.
    fn log(&mut self, record: &Record<'_>) {
        match message::parse(record.message) {
            Message::Started { step, name, text } => {
                let mut parameters = std::mem::take(&mut self.parameters);
                let statement = self.understood(record, step, name, text, &mut parameters);
                self.started(&statement, step);
                self.parameters = parameters;
            }
            Message::Finished {
                duration_us,
                step,
                name,
                text,
            } => {
                let mut parameters = std::mem::take(&mut self.parameters);
                let statement = self.understood(record, step, name, text, &mut parameters);
                self.finished(statement, duration_us, step);
                self.parameters = parameters;
            }
            Message::Duration(duration_us) => self.bare_duration(record, duration_us),
            Message::Plan { duration_us, body } => self.plan(record, duration_us, body),
            Message::Other => {
                if let Some(kind) = facts::of_log(record) {
                    self.fact(record, kind);
                    if matches!(kind, FactKind::Disconnected { .. }) {
                        self.end_held(record.session, First::Other);
                    }
                }
            }
        }
    }

    /// The statement of a message; SQL EXECUTE becomes the statement that was prepared.
    fn understood<'a>(
        &self,
        record: &Record<'a>,
        step: Step,
        name: &[u8],
        text: &'a [u8],
        arguments: &'a mut Vec<u8>,
    ) -> Statement<'a> {
        let prepared = match step {
            Step::Simple if !record.detail.is_empty() => message::prepared_text(record.detail),
            _ => None,
        };
        let base = self.statement(record);
        if let Some(prepared) = prepared {
            arguments.clear();
            message::execute_arguments(text, arguments);
            return Statement {
                text: prepared.into(),
                parameters: arguments,
                protocol: Protocol::Named,
                ..base
            };
        }
        Statement {
            text: text.into(),
            parameters: message::parameters(record.detail),
            protocol: match step {
                Step::Simple => Protocol::Simple,
                _ if name.is_empty() || name.starts_with(b"<unnamed>") => Protocol::Unnamed,
                _ => Protocol::Named,
            },
            ..base
        }
    }

    /// Reads a record again, without its format's escaping.
    fn unescaped(&mut self, record: &Record<'_>) {
        let mut texts = std::mem::take(&mut self.texts);
        let [message, detail, context, statement] = &mut texts;
        let plain = Record {
            message: Text::new(record.message, record.escape).decode(message),
            detail: Text::new(record.detail, record.escape).decode(detail),
            context: Text::new(record.context, record.escape).decode(context),
            statement: Text::new(record.statement, record.escape).decode(statement),
            escape: Escape::None,
            ..*record
        };
        self.record(&plain);
        self.texts = texts;
    }

    fn weighted(&mut self, record: &Record<'_>, n_calls: u64, mean_us: Option<u64>) {
        self.tally.n_statements += 1;
        let statement = Statement {
            text: record.statement.into(),
            duration_us: mean_us,
            ..self.statement(record)
        };
        self.sink.event(&Event::Weighted { statement, n_calls });
    }
}

impl<S: Sink> Receiver for Assembler<'_, S> {
    fn record(&mut self, record: &Record<'_>) {
        if record.escape != Escape::None {
            return self.unescaped(record);
        }
        self.tally.n_records += 1;
        if let Some((n_calls, mean_us)) = record.weight {
            return self.weighted(record, n_calls, mean_us);
        }
        if !self.options.covers(record.time_us) {
            return;
        }
        match record.severity {
            Severity::Log => self.log(record),
            Severity::Error => self.failed(record),
            Severity::Notice => {}
        }
    }

    fn skipped(&mut self, reason: &'static str, line: u64, example: &[u8]) {
        let origin = self.origin(line);
        self.sink.skipped(reason, origin, example);
    }
}

fn more_time<S: Sink>(sink: &mut S, held: &Held, plan_us: u64) {
    let statement = Statement {
        plan_us,
        duration_us: None,
        ..held.statement()
    };
    sink.event(&Event::MoreTime(statement));
}

/// Tells a held statement whose duration has come.
fn with_duration<S: Sink>(sink: &mut S, held: &Held, duration_us: u64, time_us: i64) {
    let statement = Statement {
        duration_us: Some(duration_us),
        time_us,
        ..held.statement()
    };
    sink.event(&match held.kind {
        HeldKind::Started | HeldKind::Plan => Event::Statement(statement),
        HeldKind::Fetch => Event::MoreTime(statement),
    });
}

/// Tells a held statement whose duration will not come; false when `next` tells the same execution.
fn give_up<S: Sink>(sink: &mut S, held: &Held, next: First) -> bool {
    let same = |hash: u64| hash == xxh3_64(held.text().raw());
    let told = match (held.kind, next) {
        (HeldKind::Plan, First::Execution(hash))
        | (HeldKind::Started, First::Plan(hash))
        | (_, First::Failure(hash)) => same(hash),
        (HeldKind::Fetch, _) => true,
        _ => false,
    };
    if !told {
        sink.event(&Event::Statement(held.statement()));
    }
    !told
}

/// Statement text that is held from one chunk to the next, bytes; beyond that the oldest is told without waiting any longer.
const MAX_CARRIED_BYTES: usize = 16 << 20;

/// Joins chunks in order: statements held at the end of one with what later ones say about them.
#[derive(Debug, Default)]
pub(super) struct Stitcher {
    carried: std::collections::BTreeMap<Vec<u8>, Held>,
}

impl Stitcher {
    /// Settles what earlier chunks held, by the first records of the chunk that follows; then takes over what that chunk holds.
    /// Events go to `sink`, which has everything up to that chunk.
    pub(super) fn next_chunk<S: Sink>(&mut self, sink: &mut S, mut sessions: Sessions) {
        self.carried.retain(|name, held| {
            let Some(first) = sessions
                .get_mut(name)
                .and_then(|session| session.first.take())
            else {
                return true;
            };
            if let First::Duration {
                duration_us,
                time_us,
                ..
            } = first
            {
                with_duration(sink, held, duration_us, time_us);
            } else {
                give_up(sink, held, first);
            }
            false
        });
        let mut lone: Vec<Origin> = sessions
            .values()
            .filter_map(|session| match session.first {
                Some(First::Duration { origin, .. }) => Some(origin),
                _ => None,
            })
            .collect();
        lone.sort_by_key(|origin| (origin.file, origin.line));
        for origin in lone {
            sink.skipped(LONE_DURATION, origin, b"");
        }
        let held = sessions
            .into_iter()
            .filter_map(|(name, session)| Some((name, session.held?)));
        self.carried.extend(held);
        self.bound(sink);
    }

    fn bound<S: Sink>(&mut self, sink: &mut S) {
        let n_bytes: usize = self.carried.values().map(Held::n_bytes).sum();
        if n_bytes > MAX_CARRIED_BYTES {
            self.finish(sink);
        }
    }

    /// Tells what is still held.
    pub(super) fn finish<S: Sink>(&mut self, sink: &mut S) {
        let mut held: Vec<Held> = std::mem::take(&mut self.carried).into_values().collect();
        held.sort_by_key(|held| (held.origin().file, held.origin().line));
        for held in held {
            give_up(sink, &held, First::Other);
        }
    }
}
