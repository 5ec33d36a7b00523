//! Everything that a log tells of sessions, load and time, beside the statements themselves: fed in the order of the log, in one pass.
//!
//! A fold of a later chunk keeps its facts until the leading fold replays them between the executions, as it does with those.

use serde::{Deserialize, Serialize};

use super::{
    Fact, FactKind,
    incidents::{Counter, Incidents},
    prepared::{PlanPhases, Prepared},
    sessions::{SessionFacts, Sessions},
    sweep::{Concurrency, Sweep},
    symbols::Symbols,
    transaction::TransactionStep,
    value::Value,
    window::{Place, Step},
};
use crate::sql::Fingerprint;

/// Slices of time kept for one statement; beyond, they double in length.
const MAX_SLICES: usize = 120;
/// The shortest slice of a statement's series, microseconds: a minute.
const MINUTE_US: i64 = 60_000_000;

/// What a log tells of sessions and load.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ActivityFacts {
    /// Sessions: how long, how busy, idle within transactions, left open.
    pub sessions: SessionFacts,
    /// Statements that ran at once, where the log has durations.
    pub running: Option<Concurrency>,
    /// Connections in use at once: within a transaction, or running a statement.
    pub in_use: Option<Concurrency>,
    /// Sessions that existed at once.
    pub connected: Option<Concurrency>,
    /// Refused clients, cancelled statements, waits, temporary files, checkpoints, autovacuum.
    pub incidents: Incidents,
}

/// Executions of one statement in one slice of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Start, minutes since the epoch.
    pub minute: i64,
    /// Executions.
    pub n_calls: u64,
    /// Their time, microseconds.
    pub total_us: u64,
}

/// A statement over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSeries {
    /// Length of a slice, minutes.
    pub minutes: i64,
    /// Slices in which it ran, in order; at most 120.
    pub slices: Vec<Slice>,
}

impl TimeSeries {
    fn add(&mut self, time_us: i64, duration_us: u64) {
        if time_us <= 0 {
            return;
        }
        self.minutes = self.minutes.max(1);
        let minute = self.start_of(time_us / MINUTE_US);
        let at = match self.slices.last() {
            Some(last) if last.minute == minute => self.slices.len() - 1,
            Some(last) if last.minute < minute => self.insert(self.slices.len(), minute),
            _ => match self.slices.binary_search_by_key(&minute, |s| s.minute) {
                Ok(at) => at,
                Err(at) => self.insert(at, minute),
            },
        };
        let slice = &mut self.slices[at];
        slice.n_calls += 1;
        slice.total_us += duration_us;
        while self.slices.len() > MAX_SLICES {
            self.coarsen();
        }
    }

    fn start_of(&self, minute: i64) -> i64 {
        minute.div_euclid(self.minutes) * self.minutes
    }

    fn insert(&mut self, at: usize, minute: i64) -> usize {
        self.slices.insert(
            at,
            Slice {
                minute,
                ..Slice::default()
            },
        );
        at
    }

    fn coarsen(&mut self) {
        self.minutes *= 2;
        let mut wider: Vec<Slice> = Vec::with_capacity(self.slices.len());
        for slice in std::mem::take(&mut self.slices) {
            let minute = self.start_of(slice.minute);
            match wider.last_mut().filter(|last| last.minute == minute) {
                Some(last) => {
                    last.n_calls += slice.n_calls;
                    last.total_us += slice.total_us;
                }
                None => wider.push(Slice { minute, ..slice }),
            }
        }
        self.slices = wider;
    }
}

/// A fact of a session that waits for the leading fold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Later {
    /// Executions that come before it.
    pub(super) after: usize,
    pub(super) session: u32,
    pub(super) moment: Moment,
}

/// What happens to a session.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    Received {
        time_us: i64,
    },
    Opened {
        time_us: i64,
        client: u32,
    },
    Closed {
        time_us: i64,
        session_us: u64,
        client: u32,
    },
    Parsed {
        name: u32,
        query: u32,
        plan_us: u32,
    },
}

impl Moment {
    /// The moment in a fact, if it is one of a session's. `client` is who the fact is about.
    pub(super) fn of(fact: &Fact<'_>, client: u32) -> Option<Self> {
        let time_us = fact.time_us;
        match fact.kind {
            FactKind::Received => Some(Self::Received { time_us }),
            FactKind::Connected { .. } => Some(Self::Opened { time_us, client }),
            FactKind::Disconnected { session_us, .. } => Some(Self::Closed {
                time_us,
                session_us,
                client,
            }),
            _ => None,
        }
    }

    /// With the numbers of another table of names.
    pub(super) fn renumbered(self, clients: &[u32], queries: &[u32]) -> Self {
        match self {
            Self::Received { .. } => self,
            Self::Opened { time_us, client } => Self::Opened {
                time_us,
                client: clients[client as usize],
            },
            Self::Closed {
                time_us,
                session_us,
                client,
            } => Self::Closed {
                time_us,
                session_us,
                client: clients[client as usize],
            },
            Self::Parsed {
                name,
                query,
                plan_us,
            } => Self::Parsed {
                name,
                query: queries[query as usize],
                plan_us,
            },
        }
    }
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Activity {
    pub(super) counter: Counter,
    pub(super) later: Vec<Later>,
    sessions: Sessions,
    running: Sweep,
    prepared: Prepared,
    series: Vec<TimeSeries>,
}

impl Activity {
    /// An execution, in the order of the log.
    pub(super) fn statement(
        &mut self,
        step: &Step,
        place: Place,
        known: TransactionStep,
        values: &[Value],
        symbols: &Symbols,
    ) {
        self.sessions.statement(step, place, known, symbols);
        self.running.add(step.start_us, step.end_us);
        let at = step.query as usize;
        if self.series.len() <= at {
            self.series.resize_with(at + 1, TimeSeries::default);
        }
        self.series[at].add(step.end_us, step.duration_us.unwrap_or(0));
        if step.named.name != 0 {
            let life = self.sessions.life_of(step.session);
            self.prepared.statement(step, life, hash_of(values));
        }
    }

    /// Something that happens to a session, in the order of the log.
    pub(super) fn moment(&mut self, session: u32, moment: Moment, symbols: &Symbols) {
        match moment {
            Moment::Received { time_us } => self.sessions.received(session, time_us, symbols),
            Moment::Opened { time_us, client } => {
                self.sessions.opened(session, time_us, client, symbols);
            }
            Moment::Closed {
                time_us,
                session_us,
                client,
            } => {
                self.sessions
                    .closed(session, time_us, session_us, client, symbols);
            }
            Moment::Parsed {
                name,
                query,
                plan_us,
            } => {
                let life = self.sessions.life_of(session);
                self.prepared.parsed(life, name, query, plan_us);
            }
        }
    }

    /// A query that was let go of.
    pub(super) fn forget_query(&mut self, query: u32) {
        if let Some(series) = self.series.get_mut(query as usize) {
            *series = TimeSeries::default();
        }
    }

    /// Numbers of sessions that will be given to others.
    pub(super) fn forget(&mut self, sessions: &[u32], symbols: &Symbols) {
        self.sessions.forget(sessions, symbols);
    }

    /// Ends all: facts, and by query its phases and its series.
    pub(super) fn finish(
        mut self,
        symbols: &Symbols,
        fingerprint: impl Fn(u32) -> Fingerprint,
    ) -> (
        ActivityFacts,
        std::collections::BTreeMap<u32, PlanPhases>,
        Vec<TimeSeries>,
    ) {
        let sessions = self.sessions.finish(symbols, fingerprint);
        let facts = ActivityFacts {
            sessions,
            running: self.running.finish(),
            in_use: self.sessions.held.finish(),
            connected: self.sessions.open.finish(),
            incidents: self.counter.incidents,
        };
        (facts, self.prepared.finish(), self.series)
    }
}

/// All values of an execution together.
pub(super) fn hash_of(values: &[Value]) -> u64 {
    values.iter().fold(values.len() as u64, |hash, value| {
        (hash.rotate_left(23) ^ value.bits).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_doubles_its_slices_and_loses_nothing() {
        let mut series = TimeSeries::default();
        for minute in 0..1000_i64 {
            series.add((28_000_000 + minute) * MINUTE_US, 5);
        }
        assert_eq!(series.minutes, 16);
        assert!(series.slices.len() <= MAX_SLICES);
        assert_eq!(series.slices.iter().map(|s| s.n_calls).sum::<u64>(), 1000);
        // a straggler goes where it belongs
        series.add(28_000_000 * MINUTE_US, 5);
        assert_eq!(series.slices[0].minute, 28_000_000);
    }
}
