//! Lives of sessions: how long, how busy, what stood idle in a transaction, who left a connection behind. Fed in the order of the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    histogram::Histogram,
    sweep::Sweep,
    symbols::Symbols,
    transaction::TransactionStep,
    window::{Place, Step},
};
use crate::sql::Fingerprint;

/// Shortest pause within a transaction that is looked at, microseconds: below, it is the client's own work between two statements.
const MIN_PAUSE_US: i64 = 100_000;
/// From here on a pause within a transaction is long, microseconds: no local work takes that, a call to another service or a person does.
const LONG_PAUSE_US: u64 = 5_000_000;
/// A session shorter than this is short, microseconds.
const SHORT_SESSION_US: u64 = 1_000_000;
/// Statements after which pauses are counted by their last statement; later ones count as unknown.
const MAX_PAUSED: usize = 4096;
/// Sessions still open at the end that are told one by one, the longest idle ones.
const MAX_OPEN: usize = 512;
const MINUTE_US: i64 = 60_000_000;

/// What is known of sessions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SessionFacts {
    /// By client, those with most sessions first.
    pub clients: Vec<ClientSessions>,
    /// Pauses within transactions, by the statement before them; longest first.
    pub pauses: Vec<Pauses>,
    /// Median pause within a transaction, microseconds: the norm.
    pub pause_p50_us: u64,
    /// 95th percentile.
    pub pause_p95_us: u64,
    /// Pauses within transactions.
    pub n_pauses: u64,
    /// Sessions that had not ended by the end of the log, longest idle first; at most 512.
    pub open: Vec<OpenSession>,
    /// When the log ends, microseconds since the epoch.
    pub end_us: i64,
}

/// Sessions of one (user, database, application).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSessions {
    /// User name.
    pub user: String,
    /// Database name.
    pub database: String,
    /// `application_name`
    pub application: String,
    /// Sessions that were seen to start.
    pub n_opened: u64,
    /// Sessions that were seen to end.
    pub n_closed: u64,
    /// Of those, how many within a second.
    pub n_short: u64,
    /// Median session time, microseconds.
    pub session_p50_us: u64,
    /// 95th percentile of session time, microseconds.
    pub session_p95_us: u64,
    /// Sessions of which start and end were seen.
    pub n_whole: u64,
    /// Median number of statements of those.
    pub statements_p50: u64,
    /// 95th percentile of the number of statements of those.
    pub statements_p95: u64,
    /// Most sessions that started within one minute of the clock.
    pub opened_in_busiest_minute: u64,
    /// Minutes of the clock in which sessions started.
    pub n_minutes: u64,
    /// Median time from `connection received` to `connection authorized`, microseconds; 0 when unknown.
    pub setup_p50_us: u64,
    /// Sum of those times, microseconds.
    pub setup_total_us: u64,
    /// How many of them are known.
    pub n_setups: u64,
    /// Statements of these sessions.
    pub n_statements: u64,
    /// Their time, microseconds.
    pub busy_us: u64,
    /// First and last start of a session, microseconds since the epoch.
    pub first_opened_us: i64,
    /// See `first_opened_us`.
    pub last_opened_us: i64,
}

/// Pauses within transactions behind one statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    /// The statement before the pause.
    pub fingerprint: Fingerprint,
    /// `application_name`s concerned, the first four.
    pub applications: Vec<String>,
    /// Pauses of at least 100 ms.
    pub n: u64,
    /// Pauses of at least 5 s.
    pub n_long: u64,
    /// Of all these pauses, how many ended with the session.
    pub n_ended_with_session: u64,
    /// Of all these pauses, how many the log's end cut short.
    pub n_unended: u64,
    /// Their sum, microseconds.
    pub total_us: u64,
    /// The longest, microseconds.
    pub max_us: u64,
    /// Session of the longest.
    pub session: String,
    /// File and line of the statement before the longest.
    pub origin: (u32, u64),
}

/// A session that had not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSession {
    /// As the log names it.
    pub session: String,
    /// Position in [`SessionFacts::clients`].
    pub client: usize,
    /// When it was opened, if seen.
    pub opened_us: Option<i64>,
    /// When its last statement ended, microseconds since the epoch.
    pub idle_since_us: i64,
    /// Its last statement; `None` when it ran none.
    pub last: Option<Fingerprint>,
    /// Statements it ran.
    pub n_statements: u64,
    /// It stands within a transaction.
    pub in_transaction: bool,
}

/// Lives of sessions while the log is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    lives: Vec<Life>,
    clients: BTreeMap<u32, Client>,
    /// By query.
    pauses: BTreeMap<u32, Paused>,
    norm: Histogram,
    n_pauses: u64,
    /// Intervals in which a connection is in use: transactions, and statements outside of them.
    pub(super) held: Sweep,
    /// Intervals in which sessions existed.
    pub(super) open: Sweep,
    end_us: i64,
    n_lives: u32,
}

/// One session so far.
#[derive(Debug, Clone, Default)]
struct Life {
    /// A number of its own, from 1; 0 when there is no such session.
    number: u32,
    client: u32,
    received_us: i64,
    opened_us: i64,
    first_us: i64,
    idle_since_us: i64,
    n_statements: u64,
    busy_us: u64,
    last_query: u32,
    last_origin: (u32, u64),
    /// Hash of the last statement's virtual transaction id.
    transaction: u64,
    /// BEGIN was seen then, and no end since.
    began_us: i64,
}

#[derive(Debug, Clone, Default)]
struct Client {
    n_opened: u64,
    n_closed: u64,
    n_short: u64,
    session_times: Histogram,
    n_whole: u64,
    statements: Histogram,
    minute: i64,
    in_minute: u64,
    busiest: u64,
    n_minutes: u64,
    setups: Histogram,
    setup_total_us: u64,
    n_setups: u64,
    n_statements: u64,
    busy_us: u64,
    first_opened_us: i64,
    last_opened_us: i64,
}

#[derive(Debug, Clone, Default)]
struct Paused {
    applications: Vec<u32>,
    n: u64,
    n_long: u64,
    n_ended_with_session: u64,
    n_unended: u64,
    total_us: u64,
    max_us: u64,
    session: String,
    origin: (u32, u64),
}

/// How a pause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Statement,
    Session,
    Log,
}

impl Sessions {
    fn life(&mut self, session: u32) -> &mut Life {
        let at = session as usize;
        if self.lives.len() <= at {
            self.lives.resize_with(at + 1, Life::default);
        }
        let life = &mut self.lives[at];
        if life.number == 0 {
            self.n_lives = self.n_lives.wrapping_add(1).max(1);
            life.number = self.n_lives;
        }
        life
    }

    fn tick(&mut self, time_us: i64) {
        self.end_us = self.end_us.max(time_us);
    }

    /// The number of the session's life: another one when its id is used again.
    pub(super) fn life_of(&mut self, session: u32) -> u32 {
        self.life(session).number
    }

    /// An execution. `known` says how it changes its transaction.
    pub(super) fn statement(
        &mut self,
        step: &Step,
        place: Place,
        known: TransactionStep,
        symbols: &Symbols,
    ) {
        self.tick(step.end_us);
        let before = self.life(step.session).clone();
        if before.n_statements > 0 && step.start_us > before.idle_since_us {
            let within = match (before.transaction, place.transaction) {
                (0, _) | (_, 0) => before.began_us != 0,
                (a, b) => a == b,
            };
            if within {
                self.pause(
                    &before,
                    step.start_us,
                    Ending::Statement,
                    step.session,
                    symbols,
                );
            }
        }
        let life = &mut self.lives[step.session as usize];
        life.n_statements += 1;
        life.busy_us += step.duration_us.unwrap_or(0);
        if life.first_us == 0 {
            life.first_us = step.start_us;
        }
        // names come with the first statement where `connection authorized` had none
        if life.client == 0 || symbols.application(life.client).is_empty() {
            life.client = step.client;
        }
        life.idle_since_us = life.idle_since_us.max(step.end_us);
        life.last_query = step.query;
        life.last_origin = (step.origin.file, step.origin.line);
        life.transaction = place.transaction;
        match known {
            TransactionStep::Begins if life.began_us == 0 => life.began_us = step.start_us,
            TransactionStep::Ends => {
                let began_us = std::mem::take(&mut life.began_us);
                life.transaction = 0;
                let from = if began_us == 0 {
                    step.start_us
                } else {
                    began_us
                };
                self.held.add(from, step.end_us);
            }
            _ if life.began_us == 0 => self.held.add(step.start_us, step.end_us),
            _ => {}
        }
    }

    fn pause(
        &mut self,
        life: &Life,
        until_us: i64,
        ending: Ending,
        session: u32,
        symbols: &Symbols,
    ) {
        let us = until_us.saturating_sub(life.idle_since_us);
        if life.idle_since_us <= 0 || us < 0 {
            return;
        }
        self.norm.record_n(us.unsigned_abs(), 1);
        self.n_pauses += 1;
        if us < MIN_PAUSE_US {
            return;
        }
        let us = us.unsigned_abs();
        if self.pauses.len() >= MAX_PAUSED && !self.pauses.contains_key(&life.last_query) {
            return;
        }
        let paused = self.pauses.entry(life.last_query).or_default();
        paused.n += 1;
        paused.n_long += u64::from(us >= LONG_PAUSE_US);
        paused.n_ended_with_session += u64::from(ending == Ending::Session);
        paused.n_unended += u64::from(ending == Ending::Log);
        paused.total_us += us;
        if us > paused.max_us {
            paused.max_us = us;
            symbols.session(session).clone_into(&mut paused.session);
            paused.origin = life.last_origin;
        }
        if paused.applications.len() < 4 && !paused.applications.contains(&life.client) {
            paused.applications.push(life.client);
        }
    }

    /// `connection received`
    pub(super) fn received(&mut self, session: u32, time_us: i64, symbols: &Symbols) {
        self.tick(time_us);
        self.end(session, time_us, Ending::Session, symbols);
        self.life(session).received_us = time_us;
    }

    /// `connection authorized`
    pub(super) fn opened(&mut self, session: u32, time_us: i64, client: u32, symbols: &Symbols) {
        self.tick(time_us);
        let received_us = self
            .lives
            .get(session as usize)
            .map_or(0, |l| l.received_us);
        self.end(session, time_us, Ending::Session, symbols);
        let life = self.life(session);
        life.opened_us = time_us;
        life.idle_since_us = time_us;
        life.client = client;
        let seen = self.clients.entry(client).or_default();
        seen.n_opened += 1;
        if seen.first_opened_us == 0 {
            seen.first_opened_us = time_us;
        }
        seen.last_opened_us = time_us;
        let minute = time_us / MINUTE_US;
        if minute != seen.minute {
            seen.minute = minute;
            seen.in_minute = 0;
            seen.n_minutes += 1;
        }
        seen.in_minute += 1;
        seen.busiest = seen.busiest.max(seen.in_minute);
        if received_us != 0 && time_us >= received_us {
            let us = time_us.abs_diff(received_us);
            seen.setups.record_n(us, 1);
            seen.setup_total_us += us;
            seen.n_setups += 1;
        }
    }

    /// `disconnection`
    pub(super) fn closed(
        &mut self,
        session: u32,
        time_us: i64,
        session_us: u64,
        client: u32,
        symbols: &Symbols,
    ) {
        self.tick(time_us);
        let life = self.life(session);
        if life.client == 0 {
            life.client = client;
        }
        let whole = life.opened_us != 0;
        let (client, n_statements) = (life.client, life.n_statements);
        if life.opened_us == 0 {
            life.opened_us = time_us.saturating_sub(i64::try_from(session_us).unwrap_or(0));
        }
        self.end(session, time_us, Ending::Session, symbols);
        let seen = self.clients.entry(client).or_default();
        seen.n_closed += 1;
        seen.n_short += u64::from(session_us < SHORT_SESSION_US);
        seen.session_times.record_n(session_us, 1);
        if whole {
            seen.n_whole += 1;
            seen.statements.record_n(n_statements, 1);
        }
    }

    /// A session number is given up: to be used for another one.
    pub(super) fn forget(&mut self, sessions: &[u32], symbols: &Symbols) {
        for &session in sessions {
            let idle_since_us = self
                .lives
                .get(session as usize)
                .map_or(0, |l| l.idle_since_us);
            self.end(session, idle_since_us, Ending::Log, symbols);
        }
    }

    /// Ends a life, if there is one.
    fn end(&mut self, session: u32, time_us: i64, ending: Ending, symbols: &Symbols) {
        let Some(life) = self
            .lives
            .get_mut(session as usize)
            .filter(|l| l.number != 0)
        else {
            return;
        };
        let life = std::mem::take(life);
        self.settle(&life, time_us, ending, session, symbols);
    }

    fn settle(
        &mut self,
        life: &Life,
        time_us: i64,
        ending: Ending,
        session: u32,
        symbols: &Symbols,
    ) {
        if life.began_us != 0 {
            self.held.add(life.began_us, time_us);
            if life.n_statements > 0 {
                self.pause(life, time_us, ending, session, symbols);
            }
        }
        let from = if life.opened_us == 0 {
            life.first_us
        } else {
            life.opened_us
        };
        self.open.add(from, time_us);
        if life.n_statements > 0 {
            let seen = self.clients.entry(life.client).or_default();
            seen.n_statements += life.n_statements;
            seen.busy_us += life.busy_us;
        }
    }

    /// Ends all. `fingerprint` names queries.
    pub(super) fn finish(
        &mut self,
        symbols: &Symbols,
        fingerprint: impl Fn(u32) -> Fingerprint,
    ) -> SessionFacts {
        let lives = std::mem::take(&mut self.lives);
        let end_us = self.end_us;
        let mut open: Vec<(u32, Life)> = (0..)
            .zip(lives)
            .filter(|(_, life)| life.number != 0)
            .collect();
        for (session, life) in &open {
            self.settle(life, end_us, Ending::Log, *session, symbols);
        }
        open.sort_by_key(|(session, life)| (life.idle_since_us, *session));
        open.truncate(MAX_OPEN);
        let mut clients: Vec<(u32, ClientSessions)> = self
            .clients
            .iter()
            .map(|(at, seen)| (*at, seen.finish(*at, symbols)))
            .collect();
        clients.sort_by(|(_, a), (_, b)| {
            let name =
                |c: &ClientSessions| (c.user.clone(), c.database.clone(), c.application.clone());
            (b.n_opened, b.n_closed, b.n_statements)
                .cmp(&(a.n_opened, a.n_closed, a.n_statements))
                .then_with(|| name(a).cmp(&name(b)))
        });
        let position = |client: u32| clients.iter().position(|(at, _)| *at == client);
        let open = open
            .into_iter()
            .filter_map(|(session, life)| {
                Some(OpenSession {
                    session: symbols.session(session).to_owned(),
                    client: position(life.client)?,
                    opened_us: (life.opened_us != 0).then_some(life.opened_us),
                    idle_since_us: life.idle_since_us,
                    last: (life.n_statements > 0).then(|| fingerprint(life.last_query)),
                    n_statements: life.n_statements,
                    in_transaction: life.began_us != 0,
                })
            })
            .collect();
        let mut pauses: Vec<Pauses> = std::mem::take(&mut self.pauses)
            .into_iter()
            .map(|(query, paused)| paused.finish(fingerprint(query), symbols))
            .collect();
        pauses.sort_by(|a, b| {
            b.max_us
                .cmp(&a.max_us)
                .then(a.fingerprint.cmp(&b.fingerprint))
        });
        SessionFacts {
            clients: clients.into_iter().map(|(_, client)| client).collect(),
            pauses,
            pause_p50_us: self.norm.quantile(0.5),
            pause_p95_us: self.norm.quantile(0.95),
            n_pauses: self.n_pauses,
            open,
            end_us,
        }
    }
}

impl Client {
    fn finish(&self, at: u32, symbols: &Symbols) -> ClientSessions {
        let client = symbols.client(at);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ClientSessions {
            user: text(&client.user),
            database: text(&client.database),
            application: text(&client.application),
            n_opened: self.n_opened,
            n_closed: self.n_closed,
            n_short: self.n_short,
            session_p50_us: self.session_times.quantile(0.5),
            session_p95_us: self.session_times.quantile(0.95),
            n_whole: self.n_whole,
            statements_p50: self.statements.quantile(0.5),
            statements_p95: self.statements.quantile(0.95),
            opened_in_busiest_minute: self.busiest,
            n_minutes: self.n_minutes,
            setup_p50_us: self.setups.quantile(0.5),
            setup_total_us: self.setup_total_us,
            n_setups: self.n_setups,
            n_statements: self.n_statements,
            busy_us: self.busy_us,
            first_opened_us: self.first_opened_us,
            last_opened_us: self.last_opened_us,
        }
    }
}

impl Paused {
    fn finish(self, fingerprint: Fingerprint, symbols: &Symbols) -> Pauses {
        let mut applications: Vec<String> = self
            .applications
            .iter()
            .map(|client| symbols.application(*client).to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        applications.sort();
        applications.dedup();
        Pauses {
            fingerprint,
            applications,
            n: self.n,
            n_long: self.n_long,
            n_ended_with_session: self.n_ended_with_session,
            n_unended: self.n_unended,
            total_us: self.total_us,
            max_us: self.max_us,
            session: self.session,
            origin: self.origin,
        }
    }
}
