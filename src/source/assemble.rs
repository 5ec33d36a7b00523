//! Records → events: what is an execution, what belongs to it, and what is a fact of the session.
//!
//! Some executions take several records: `statement:` and a bare `duration:`; a plan and the execution that it explains; parse, bind
//! and execute. Those of one session are joined by small state per session ([`Session`]). A chunk starts without the state of the chunk
//! before: each session notes what its first records would have ended, and [`Stitcher`](super::stitch::Stitcher) joins the two when the
//! chunks are put together.

use super::{
    Options, facts,
    held::{Held, HeldKind},
    localised,
    message::{self, Message, Step, Told, name_hash},
    plans::{self, EarlyPlan, Found},
    record::{Receiver, Record, Severity},
    session::{Bares, Next, Planned, Session},
    sessions::Sessions,
};
use crate::workload::{
    Escape, Event, Fact, FactKind, Origin, Outcome, Protocol, Sink, Statement, Text,
};

/// Reason that stands beside what is read of a log in another language.
const LOCALISED: &str = "statements logged in another language than English (lc_messages): they are read, but not what the log has beside them (connections, locks, temporary files)";
/// Reason for bare durations that nothing can be said of.
pub(super) const LONE_DURATION: &str =
    "durations without a statement (of statements that log_statement leaves out)";

/// Reason for bare durations in a log that does not tell sessions apart.
const NO_SESSION: &str =
    "durations on lines of their own, with neither %p nor %c in log_line_prefix";

/// What a chunk was found to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) n_records: u64,
}

/// Turns one chunk's records into events for its sink.
pub(super) struct Assembler<'o, S> {
    pub(super) sink: S,
    options: &'o Options,
    file: u32,
    first_line: u64,
    /// Nothing stands ahead of this chunk.
    is_first: bool,
    pub(super) sessions: Sessions,
    pub(super) tally: Tally,
    scratch: Vec<u8>,
    parameters: Vec<u8>,
    hashes: Hashes,
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
            is_first: file == 0 && first_line == 1,
            sessions: Sessions::default(),
            tally: Tally::default(),
            scratch: Vec::new(),
            parameters: Vec::new(),
            hashes: Hashes::default(),
            texts: Default::default(),
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
            who: record.who,
            session: record.session,
            transaction: record.transaction,
            user: record.user,
            database: record.database,
            application: record.application,
            query_id: record.query_id,
            ..Statement::default()
        }
    }

    /// A statement that starts: held until its duration comes or something else of its session.
    fn started(&mut self, statement: &Statement<'_>, step: Step) {
        let (sink, hashes) = (&mut self.sink, &mut self.hashes);
        let session = self.sessions.of(statement.who, statement.session);
        let is_first = session.first.is_none() && !self.is_first;
        session.goes_on(sink, || Next::Other);
        let (plan_us, n_parses) = if step == Step::Execute {
            let (us, n_parses) = session.executed(sink, statement);
            (us + session.take_bares(sink), n_parses)
        } else {
            session.drop_bares(sink);
            (0, 0)
        };
        let statement = Statement {
            plan_us,
            n_parses,
            ..*statement
        };
        let kind = match step {
            Step::Fetch => HeldKind::Fetch,
            _ => HeldKind::Started,
        };
        if is_first && step == Step::Execute {
            session.leading_to = Some(Held::new(&statement, kind));
        }
        if kind == HeldKind::Started {
            let hash = hashes.of(statement.text);
            session.recent.push(statement.text.raw(), hash);
        }
        session.started = Some(Held::new(&statement, kind));
    }

    /// A statement that ended, with everything about it on one record.
    fn finished(&mut self, statement: &mut Statement<'_>, duration_us: u64, step: Step) {
        let (sink, hashes) = (&mut self.sink, &mut self.hashes);
        let session = self.sessions.of(statement.who, statement.session);
        match step {
            Step::Parse | Step::Bind => {
                session.goes_on(sink, || Next::Other);
                session.drop_bares(sink);
                statement.n_parses = u32::from(step == Step::Parse);
                statement.text = statement.text.hashed();
                session.plan(sink, statement, duration_us);
            }
            Step::Simple | Step::Execute => {
                statement.text = statement.text.hashed();
                let hash = hashes.of(statement.text);
                session.goes_on(sink, || Next::Execution(hash));
                session.drop_bares(sink);
                statement.duration_us = Some(duration_us);
                (statement.plan_us, statement.n_parses) = session.executed(sink, statement);
                session.recent.push(statement.text.raw(), hash);
                sink.event(&Event::Statement(*statement));
            }
            Step::Fetch => {
                session.goes_on(sink, || Next::Other);
                session.drop_bares(sink);
                statement.duration_us = Some(duration_us);
                sink.event(&Event::MoreTime(*statement));
            }
        }
    }

    /// A bare `duration:` line: that of the session's started statement, else of the parse or bind of what follows.
    fn bare_duration(&mut self, record: &Record<'_>, duration_us: u64) {
        let origin = self.origin(record.line);
        if record.session.is_empty() {
            return self.sink.skipped(NO_SESSION, origin, record.message);
        }
        let session = self.sessions.of(record.who, record.session);
        session.opening.get_or_insert(Next::Other);
        end_planned(&mut self.sink, session, Next::Other);
        if let Some(held) = session.started.take() {
            return with_duration(&mut self.sink, &held, duration_us, record.time_us);
        }
        let bares = match session.first {
            None if !self.is_first => &mut session.leading,
            _ => &mut session.bares,
        };
        if !bares.push(origin, duration_us, record.time_us) {
            self.sink.skipped(LONE_DURATION, origin, record.message);
        }
    }

    /// Something new of a session, no plan and no bare duration. Says whether an earlier chunk may have its parse and bind.
    fn goes_on(&mut self, record: &Record<'_>, next: Next) -> bool {
        let session = self.sessions.of(record.who, record.session);
        let is_first = session.first.is_none() && !self.is_first;
        session.goes_on(&mut self.sink, || next);
        is_first
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
            let mut parameters = std::mem::take(&mut self.parameters);
            message::plan_parameters(body, &mut parameters);
            let statement = Statement {
                text: text.into(),
                duration_us: Some(duration_us),
                parameters: &parameters,
                ..self.statement(record)
            };
            self.planned(&statement, duration_us);
            self.parameters = parameters;
        }
        self.scratch = scratch;
    }

    /// A plan at the top level: of the statement that runs, of one before, of one that follows, or an execution by itself.
    fn planned(&mut self, statement: &Statement<'_>, duration_us: u64) {
        let hash = plans::hash(statement.text);
        let session = self.sessions.of(statement.who, statement.session);
        session.opening.get_or_insert(Next::Plan(hash));
        end_planned(&mut self.sink, session, Next::Plan(hash));
        let found = match session.recent.plan(hash) {
            Found::MayBeBehind(_) if self.is_first => Found::Nowhere,
            found => found,
        };
        if let Some(started) = &mut session.started {
            started.explained(hash, duration_us);
        }
        let held = match found {
            Found::Here => return,
            _ => Held::new(statement, HeldKind::Plan),
        };
        session.planned = Some(match found {
            Found::MayBeBehind(n_before) => {
                session.early.push(EarlyPlan {
                    hash,
                    n_before,
                    leads: session.first.is_none(),
                    duration_us,
                    held: Some(held),
                });
                Planned::Early(session.early.len() - 1)
            }
            _ => Planned::Held(held),
        });
    }

    /// An error: the statement that it names has failed.
    fn failed(&mut self, record: &Record<'_>) {
        if let Some(kind) = facts::of_error(record) {
            self.fact(record, kind);
        }
        if record.statement.is_empty() {
            return;
        }
        let hash = plans::hash(record.statement.into());
        let is_first = self.goes_on(record, Next::Failure(hash));
        let session = self.sessions.of(record.who, record.session);
        let plan_us = session.take_bares(&mut self.sink);
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
            plan_us,
            ..self.statement(record)
        };
        if is_first {
            let session = self.sessions.of(record.who, record.session);
            session.leading_to = Some(Held::new(&statement, HeldKind::Started));
        }
        self.sink.event(&Event::Statement(statement));
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
                let mut statement = self.understood(record, step, name, text, &mut parameters);
                self.finished(&mut statement, duration_us, step);
                self.parameters = parameters;
            }
            Message::Duration(duration_us) => self.bare_duration(record, duration_us),
            Message::Plan { duration_us, body } => self.plan(record, duration_us, body),
            Message::Other => {
                if self.localised(record) {
                    return;
                }
                if let Some(kind) = facts::of_log(record) {
                    self.fact(record, kind);
                    if matches!(kind, FactKind::Disconnected { .. }) {
                        self.goes_on(record, Next::Other);
                        let session = self.sessions.of(record.who, record.session);
                        session.drop_bares(&mut self.sink);
                    }
                }
            }
        }
    }

    /// A message that carries a statement in another language than English.
    fn localised(&mut self, record: &Record<'_>) -> bool {
        let Some(message) = localised::english(record.message) else {
            return false;
        };
        let detail = localised::english_detail(record.detail);
        self.skipped(LOCALISED, record.line, record.message);
        self.log(&Record {
            message: &message,
            detail: detail.as_deref().unwrap_or(record.detail),
            ..*record
        });
        true
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
        let told = Told {
            duration_us: 0,
            step,
            name: name_hash(name),
            text: Text::new(text, record.escape),
        };
        self.logged(record, &told, message::parameters(record.detail))
    }

    /// Hands a record on without its format's escaping.
    fn plain(&mut self, record: &Record<'_>, read: fn(&mut Self, &Record<'_>)) {
        if record.escape == Escape::None {
            return read(self, record);
        }
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
        read(self, &plain);
        self.texts = texts;
    }

    /// A message of a statement as most are, its text still escaped. False when it is not: then nothing was done.
    fn usual(&mut self, record: &Record<'_>, message: &Message<'_>) -> bool {
        match *message {
            Message::Duration(duration_us) => {
                self.bare_duration(record, duration_us);
                true
            }
            Message::Started { step, name, text } => {
                let mut scratch = std::mem::take(&mut self.parameters);
                let told = Told {
                    duration_us: 0,
                    step,
                    name: name_hash(name),
                    text: Text::new(text, record.escape),
                };
                let is_usual = sent_parameters(record, &mut scratch)
                    .map(|sent| self.started(&self.logged(record, &told, sent), step))
                    .is_some();
                self.parameters = scratch;
                is_usual
            }
            Message::Finished {
                duration_us,
                step,
                name,
                text,
            } => {
                let told = Told {
                    duration_us,
                    step,
                    name: name_hash(name),
                    text: Text::new(text, record.escape),
                };
                self.told(record, &told)
            }
            Message::Plan { .. } | Message::Other => false,
        }
    }

    /// A statement that ended, its text still escaped. False when the record is not as most are.
    fn told(&mut self, record: &Record<'_>, told: &Told<'_>) -> bool {
        if matches!(told.step, Step::Parse | Step::Bind) {
            // its execution tells the parameters again
            let mut statement = self.logged(record, told, b"");
            self.finished(&mut statement, told.duration_us, told.step);
            return true;
        }
        let mut scratch = std::mem::take(&mut self.parameters);
        let sent = sent_parameters(record, &mut scratch);
        let is_usual = sent.is_some();
        if let Some(sent) = sent {
            let mut statement = self.logged(record, told, sent);
            self.finished(&mut statement, told.duration_us, told.step);
        }
        self.parameters = scratch;
        is_usual
    }

    /// The statement of a message, as the client sent it.
    fn logged<'a>(
        &self,
        record: &Record<'a>,
        told: &Told<'a>,
        parameters: &'a [u8],
    ) -> Statement<'a> {
        Statement {
            text: told.text,
            parameters,
            protocol: match (told.step, told.name) {
                (Step::Simple, _) => Protocol::Simple,
                (_, 0) => Protocol::Unnamed,
                _ => Protocol::Named,
            },
            name: match told.step {
                Step::Simple => 0,
                _ => told.name,
            },
            ..self.statement(record)
        }
    }

    fn weighted(&mut self, record: &Record<'_>, n_calls: u64, mean_us: Option<u64>) {
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
        self.tally.n_records += 1;
        if let Some((n_calls, mean_us)) = record.weight {
            return self.weighted(record, n_calls, mean_us);
        }
        if !self.options.covers(record.time_us) {
            return;
        }
        match record.severity {
            Severity::Log => {
                if let Some(told) = &record.told
                    && self.told(record, told)
                {
                    return;
                }
                if let Some(message) = message::parse_escaped(record.message)
                    && self.usual(record, &message)
                {
                    return;
                }
                self.plain(record, Self::log);
            }
            Severity::Error => self.plain(record, Self::failed),
            Severity::Notice => {}
        }
    }

    fn skipped(&mut self, reason: &'static str, line: u64, example: &[u8]) {
        let origin = self.origin(line);
        self.sink.skipped(reason, origin, example);
    }
}

/// The parameters in the DETAIL of a record that may still be escaped; `None` when it holds something else.
fn sent_parameters<'b>(record: &Record<'b>, scratch: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    if record.detail.is_empty() {
        return Some(b"");
    }
    let sent = message::parameters(record.detail);
    (!sent.is_empty()).then(|| Text::new(sent, record.escape).decode(scratch))
}

impl Session {
    /// Something new of the session, no plan and no bare duration: ends what waits.
    fn goes_on<S: Sink>(&mut self, sink: &mut S, next: impl FnOnce() -> Next) {
        if self.first.is_some() && self.planned.is_none() && self.started.is_none() {
            return;
        }
        let next = next();
        self.note(next);
        end_planned(sink, self, next);
        if let Some(held) = self.started.take() {
            give_up(sink, &held, next);
        }
    }

    /// Parse and bind time that the bare durations ahead of an execution tell.
    fn take_bares<S: Sink>(&mut self, sink: &mut S) -> u64 {
        let bares = std::mem::take(&mut self.bares);
        bares.planning_us().unwrap_or_else(|| {
            lone(sink, &bares);
            0
        })
    }

    /// The session's bare durations belong to nothing that follows.
    fn drop_bares<S: Sink>(&mut self, sink: &mut S) {
        if !self.bares.is_empty() {
            let bares = std::mem::take(&mut self.bares);
            lone(sink, &bares);
        }
    }
}

/// Hashes of texts ([`plans::hash`]), remembered for a while: they look through escapes and white space, which takes a while itself.
#[derive(Default)]
struct Hashes {
    /// By hash of the raw text: that hash, and the text's own.
    slots: Vec<(u64, u64)>,
    /// Takes texts that had to be unescaped.
    scratch: Vec<u8>,
}

impl Hashes {
    const SLOT_BITS: u32 = 9;

    fn of(&mut self, text: Text<'_>) -> u64 {
        if self.slots.is_empty() {
            self.slots.resize(1 << Self::SLOT_BITS, (0, 0));
        }
        let raw = text.raw_hash();
        let slot = &mut self.slots[(raw >> (64 - Self::SLOT_BITS)) as usize];
        if slot.0 != raw {
            *slot = (raw, plans::hash_with(text, &mut self.scratch));
        }
        slot.1
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
pub(super) fn with_duration<S: Sink>(sink: &mut S, held: &Held, duration_us: u64, time_us: i64) {
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

/// Tells a held statement whose duration will not come, or a plan, unless `next` tells the same execution or there is nothing to tell.
pub(super) fn give_up<S: Sink>(sink: &mut S, held: &Held, next: Next) {
    let statement = held.statement();
    if !tells_the_same(held, next) {
        sink.event(&Event::Statement(statement));
    } else if statement.plan_us > 0 {
        more_time(sink, held, statement.plan_us);
    }
}

fn tells_the_same(held: &Held, next: Next) -> bool {
    let same = |hash: u64| hash == plans::hash(held.text());
    match (held.kind, next) {
        (HeldKind::Fetch, _) => true,
        (HeldKind::Plan, Next::Plan(hash)) => {
            same(hash) && plans::is_several_statements(held.text().raw())
        }
        (HeldKind::Plan, Next::Execution(hash)) | (_, Next::Failure(hash)) => same(hash),
        _ => false,
    }
}

/// Ends the wait of a plan: it belongs to `next`, else is an execution, which may turn out to be one of an earlier chunk.
fn end_planned<S: Sink>(sink: &mut S, session: &mut Session, next: Next) {
    match session.planned.take() {
        None => {}
        Some(Planned::Held(held)) => give_up(sink, &held, next),
        Some(Planned::Early(at)) => {
            let held = &mut session.early[at].held;
            held.take_if(|held| tells_the_same(held, next));
        }
    }
}

/// Counts durations that belong to nothing.
pub(super) fn lone<S: Sink>(sink: &mut S, bares: &Bares) {
    for (origin, duration_us, _) in bares.iter() {
        let example = format!(
            "duration: {}.{:03} ms",
            duration_us / 1000,
            duration_us % 1000
        );
        sink.skipped(LONE_DURATION, origin, example.as_bytes());
    }
}
