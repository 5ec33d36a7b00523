//! What a log tells of the server beside statements: refused clients, cancelled statements, waits, temporary files, checkpoints, autovacuum.
//! Counts that add up, so that parts of a log may be counted apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Fact, FactKind, PoolerSide, SlowPlans};
use crate::sql::{Fingerprint, Normaliser};

/// Reasons for cancelling that are told apart: the server knows about a dozen.
const MAX_REASONS: usize = 32;
/// Statements told apart by kind of incident; later ones count as one without text.
const MAX_STATEMENTS: usize = 1024;
/// Relations that autovacuum is told apart by; later ones count as one without a name.
const MAX_RELATIONS: usize = 4096;
/// Longest name or reason kept, bytes.
const MAX_NAME_BYTES: usize = 200;

/// What a log tells of the server beside statements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incidents {
    /// Clients that were refused because all connection slots were taken.
    pub too_many_clients: Times,
    /// Statements or sessions that were ended by someone or by a timeout, by reason.
    pub cancelled: BTreeMap<String, Times>,
    /// `deadlock detected`
    pub deadlocks: Times,
    /// Waits for a lock beyond `deadlock_timeout` that were reported, by waiting statement.
    pub lock_waits: BTreeMap<Fingerprint, Measured>,
    /// Temporary files in bytes, by statement.
    pub temp_files: BTreeMap<Fingerprint, Measured>,
    /// Checkpoints, in microseconds.
    pub checkpoints: Measured,
    /// Buffers that checkpoints wrote.
    pub n_checkpoint_buffers: u64,
    /// Autovacuum's VACUUM by relation, in microseconds.
    pub vacuums: BTreeMap<String, Measured>,
    /// Autovacuum's ANALYZE by relation, in microseconds.
    pub analyzes: BTreeMap<String, Measured>,
    /// Plans of `auto_explain`.
    pub n_plans: u64,
    /// The slowest of them. They hold values of statements: never written to a file.
    #[serde(skip)]
    pub slow_plans: SlowPlans,
    /// What a pooler's own log tells.
    #[serde(default)]
    pub pooler: PoolerFacts,
}

/// What pgbouncer's log tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolerFacts {
    /// Clients that logged in, or tried to.
    pub n_clients: u64,
    /// Connections opened to the server.
    pub n_server_connections: u64,
    /// Clients' connections closed, by reason.
    pub clients_closed: BTreeMap<String, Times>,
    /// The server's connections closed, by reason.
    pub servers_closed: BTreeMap<String, Times>,
    /// Intervals with queries.
    pub n_intervals: u64,
    /// Those in which clients waited 50 ms and more on average.
    pub n_waiting: u64,
    /// Mean wait of the worst of them, microseconds.
    pub max_wait_us: u64,
    /// Sum over the waiting intervals of the mean wait, microseconds.
    pub waiting_us: u64,
    /// Sum over the waiting intervals of a transaction's mean time, microseconds.
    pub waiting_transaction_us: u64,
}

/// Mean wait for a server connection that users feel, microseconds. A new server connection costs some ms, so a wait of that length is no queue.
const LONG_WAIT_US: u64 = 50_000;

impl PoolerFacts {
    fn stats(&mut self, wait_us: u64, transaction_us: u64) {
        self.n_intervals += 1;
        if wait_us >= LONG_WAIT_US {
            self.n_waiting += 1;
            self.max_wait_us = self.max_wait_us.max(wait_us);
            self.waiting_us = self.waiting_us.saturating_add(wait_us);
            self.waiting_transaction_us =
                self.waiting_transaction_us.saturating_add(transaction_us);
        }
    }

    fn add(&mut self, other: Self) {
        self.n_clients += other.n_clients;
        self.n_server_connections += other.n_server_connections;
        add_times(&mut self.clients_closed, other.clients_closed);
        add_times(&mut self.servers_closed, other.servers_closed);
        self.n_intervals += other.n_intervals;
        self.n_waiting += other.n_waiting;
        self.max_wait_us = self.max_wait_us.max(other.max_wait_us);
        self.waiting_us = self.waiting_us.saturating_add(other.waiting_us);
        self.waiting_transaction_us = self
            .waiting_transaction_us
            .saturating_add(other.waiting_transaction_us);
    }
}

fn at_reason(all: &mut BTreeMap<String, Times>, reason: &[u8], time_us: i64) {
    let full = all.len() >= MAX_REASONS;
    let reason = named(reason, full, |reason| all.contains_key(reason));
    all.entry(reason).or_default().at(time_us);
}

fn add_times(mine: &mut BTreeMap<String, Times>, theirs: BTreeMap<String, Times>) {
    for (reason, times) in theirs {
        let full = mine.len() >= MAX_REASONS;
        let reason = named(reason.as_bytes(), full, |r| mine.contains_key(r));
        mine.entry(reason).or_default().add(times);
    }
}

/// How often, and when first and last, microseconds since the epoch (0: unknown).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// How often.
    pub n: u64,
    /// First.
    pub first_us: i64,
    /// Last.
    pub last_us: i64,
}

/// How often and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How often.
    pub n: u64,
    /// In all.
    pub total: u64,
    /// At most at once.
    pub max: u64,
    /// Normalised text, where it is about a statement.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Times {
    fn at(&mut self, time_us: i64) {
        self.add(Self {
            n: 1,
            first_us: time_us,
            last_us: time_us,
        });
    }

    fn add(&mut self, other: Self) {
        self.n += other.n;
        let known = [self.first_us, other.first_us];
        self.first_us = known.into_iter().filter(|us| *us != 0).min().unwrap_or(0);
        self.last_us = self.last_us.max(other.last_us);
    }
}

impl Measured {
    fn add(&mut self, n: u64, total: u64, max: u64) {
        self.n += n;
        self.total = self.total.saturating_add(total);
        self.max = self.max.max(max);
    }
}

/// Counts what is told; keeps the means for that.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) incidents: Incidents,
    normaliser: Normaliser,
}

impl Counter {
    pub(super) fn fact(&mut self, fact: &Fact<'_>) {
        let found = &mut self.incidents;
        match fact.kind {
            FactKind::TooManyClients => found.too_many_clients.at(fact.time_us),
            FactKind::Cancelled { reason, .. } => {
                at_reason(&mut found.cancelled, reason, fact.time_us);
            }
            FactKind::PoolerOpened { side } => match side {
                PoolerSide::Client => found.pooler.n_clients += 1,
                PoolerSide::Server => found.pooler.n_server_connections += 1,
            },
            FactKind::PoolerClosed { side, reason } => {
                let closed = match side {
                    PoolerSide::Client => &mut found.pooler.clients_closed,
                    PoolerSide::Server => &mut found.pooler.servers_closed,
                };
                at_reason(closed, reason, fact.time_us);
            }
            FactKind::PoolerStats {
                queries_per_s,
                transaction_us,
                wait_us,
            } if queries_per_s > 0 || wait_us > 0 => found.pooler.stats(wait_us, transaction_us),
            FactKind::Deadlock { .. } => found.deadlocks.at(fact.time_us),
            // each wait is told as it goes on and as it ends: the end, or else the last look, is what counts
            FactKind::LockWait {
                waited_us,
                acquired: true,
                text,
            } => by_statement(&mut found.lock_waits, &mut self.normaliser, text, waited_us),
            FactKind::TempFile { bytes, text } => {
                by_statement(&mut found.temp_files, &mut self.normaliser, text, bytes);
            }
            FactKind::Checkpoint {
                n_buffers,
                total_us,
            } => {
                found.checkpoints.add(1, total_us, total_us);
                found.n_checkpoint_buffers += n_buffers;
            }
            FactKind::Autovacuum {
                relation,
                analyze,
                elapsed_us,
            } => {
                let runs = if analyze {
                    &mut found.analyzes
                } else {
                    &mut found.vacuums
                };
                let relation = named(relation, runs.len() >= MAX_RELATIONS, |relation| {
                    runs.contains_key(relation)
                });
                runs.entry(relation)
                    .or_default()
                    .add(1, elapsed_us, elapsed_us);
            }
            FactKind::Plan {
                text,
                plan,
                duration_us,
            } => {
                found.n_plans += 1;
                let normaliser = &mut self.normaliser;
                found.slow_plans.see(normaliser, text, plan, duration_us);
            }
            _ => {}
        }
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&mut self, other: Incidents) {
        let mine = &mut self.incidents;
        mine.too_many_clients.add(other.too_many_clients);
        mine.deadlocks.add(other.deadlocks);
        add_times(&mut mine.cancelled, other.cancelled);
        mine.pooler.add(other.pooler);
        add_all(&mut mine.lock_waits, other.lock_waits, MAX_STATEMENTS);
        add_all(&mut mine.temp_files, other.temp_files, MAX_STATEMENTS);
        add_all(&mut mine.vacuums, other.vacuums, MAX_RELATIONS);
        add_all(&mut mine.analyzes, other.analyzes, MAX_RELATIONS);
        let checkpoints = other.checkpoints;
        mine.checkpoints
            .add(checkpoints.n, checkpoints.total, checkpoints.max);
        mine.n_checkpoint_buffers += other.n_checkpoint_buffers;
        mine.n_plans += other.n_plans;
        mine.slow_plans.add(other.slow_plans);
    }
}

/// A name, shortened; the empty one where there is no room for another.
fn named(name: &[u8], full: bool, known: impl Fn(&str) -> bool) -> String {
    let name = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME_BYTES)]);
    if full && !known(&name) {
        String::new()
    } else {
        name.into_owned()
    }
}

fn by_statement(
    all: &mut BTreeMap<Fingerprint, Measured>,
    normaliser: &mut Normaliser,
    text: &[u8],
    value: u64,
) {
    let mut fingerprint = normaliser.run(text);
    if all.len() >= MAX_STATEMENTS && !all.contains_key(&fingerprint) {
        fingerprint = Fingerprint::default();
    }
    let measured = all.entry(fingerprint).or_default();
    if measured.n == 0 && fingerprint != Fingerprint::default() {
        measured.text = normaliser.text();
    }
    measured.add(1, value, value);
}

fn add_all<K: Ord + Clone + Default>(
    mine: &mut BTreeMap<K, Measured>,
    theirs: BTreeMap<K, Measured>,
    max: usize,
) {
    for (key, other) in theirs {
        let known = mine.len() < max || mine.contains_key(&key);
        let key = if known { key } else { K::default() };
        let measured = mine.entry(key).or_default();
        if measured.n == 0 && known {
            measured.text.clone_from(&other.text);
        }
        measured.add(other.n, other.total, other.max);
    }
}
