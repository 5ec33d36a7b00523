//! What a log tells of the server beside statements: refused clients, cancelled statements, waits, temporary files, checkpoints, autovacuum.
//! Counts that add up, so that parts of a log may be counted apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Fact, FactKind};
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
                let reason = named(reason, found.cancelled.len() >= MAX_REASONS, |reason| {
                    found.cancelled.contains_key(reason)
                });
                found.cancelled.entry(reason).or_default().at(fact.time_us);
            }
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
            FactKind::Plan { .. } => found.n_plans += 1,
            _ => {}
        }
    }

    /// Adds what was counted elsewhere.
    pub(super) fn add(&mut self, other: Incidents) {
        let mine = &mut self.incidents;
        mine.too_many_clients.add(other.too_many_clients);
        mine.deadlocks.add(other.deadlocks);
        for (reason, times) in other.cancelled {
            let full = mine.cancelled.len() >= MAX_REASONS;
            let reason = named(reason.as_bytes(), full, |r| mine.cancelled.contains_key(r));
            mine.cancelled.entry(reason).or_default().add(times);
        }
        add_all(&mut mine.lock_waits, other.lock_waits, MAX_STATEMENTS);
        add_all(&mut mine.temp_files, other.temp_files, MAX_STATEMENTS);
        add_all(&mut mine.vacuums, other.vacuums, MAX_RELATIONS);
        add_all(&mut mine.analyzes, other.analyzes, MAX_RELATIONS);
        let checkpoints = other.checkpoints;
        mine.checkpoints
            .add(checkpoints.n, checkpoints.total, checkpoints.max);
        mine.n_checkpoint_buffers += other.n_checkpoint_buffers;
        mine.n_plans += other.n_plans;
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
