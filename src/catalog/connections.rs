//! Who is connected, and what became of sessions: `pg_stat_activity` at one moment, `pg_stat_database` since its reset.

use serde::{Deserialize, Serialize};

use crate::sql::Fingerprint;

/// Connections of the server and of the audited database. pgassay's own are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// `max_connections`
    pub max: u64,
    /// `superuser_reserved_connections` and (16 and newer) `reserved_connections`.
    pub reserved: u64,
    /// Client backends of all databases.
    pub n_backends: u64,
    /// Client backends of this database, by who they are and what they do; most first.
    pub groups: Vec<BackendGroup>,
    /// Backends of this database that stand idle, longest first; at most 200.
    pub idle: Vec<IdleBackend>,
    /// `pg_stat_database` of this database, 14 and newer.
    pub sessions: Option<DatabaseSessions>,
}

impl Connections {
    /// Slots that the application can have.
    #[must_use]
    pub fn usable(&self) -> u64 {
        self.max.saturating_sub(self.reserved)
    }
}

/// Backends that have all this in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendGroup {
    /// `usename`
    pub user: String,
    /// `application_name`
    pub application: String,
    /// `state`; empty where it may not be seen.
    pub state: String,
    /// How many.
    pub n: u64,
}

/// A backend that waits for its client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdleBackend {
    /// `usename`
    pub user: String,
    /// `application_name`
    pub application: String,
    /// `client_addr`; empty for a socket.
    pub address: String,
    /// It stands within a transaction.
    pub in_transaction: bool,
    /// For how long, microseconds.
    pub idle_us: i64,
    /// Since it was started, microseconds.
    pub age_us: i64,
    /// Fingerprint of its last statement; `None` where its text may not be seen.
    pub fingerprint: Option<Fingerprint>,
    /// Normalised text of its last statement.
    pub query: String,
}

/// `pg_stat_database` on sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct DatabaseSessions {
    /// `sessions`
    pub n_sessions: u64,
    /// `sessions_abandoned`
    pub n_abandoned: u64,
    /// `sessions_fatal`
    pub n_fatal: u64,
    /// `sessions_killed`
    pub n_killed: u64,
    /// `session_time`, ms
    pub session_ms: f64,
    /// `active_time`, ms
    pub active_ms: f64,
    /// `idle_in_transaction_time`, ms
    pub idle_in_transaction_ms: f64,
    /// `xact_commit` + `xact_rollback`
    pub n_transactions: u64,
    /// Seconds since the counters' reset, or the server's start where they never were.
    pub window_s: f64,
}
