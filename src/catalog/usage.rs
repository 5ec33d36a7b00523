//! Cumulative counters and the window they were counted over.

use serde::{Deserialize, Serialize};

/// One row of `pg_stat_user_tables` and `pg_statio_user_tables`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TableUsage {
    /// `seq_scan`
    pub n_seq_scans: u64,
    /// `seq_tup_read`
    pub n_seq_rows_read: u64,
    /// `idx_scan`
    pub n_index_scans: u64,
    /// `n_tup_ins`
    pub n_inserts: u64,
    /// `n_tup_upd`
    pub n_updates: u64,
    /// `n_tup_hot_upd`
    pub n_hot_updates: u64,
    /// `n_tup_del`
    pub n_deletes: u64,
    /// `n_live_tup`
    pub n_live_rows: u64,
    /// `n_dead_tup`
    pub n_dead_rows: u64,
    /// `n_mod_since_analyze`
    pub n_modified_since_analyze: u64,
    /// Newest of `last_analyze` and `last_autoanalyze`, microseconds since the epoch.
    pub last_analyze_us: Option<i64>,
}

/// One row of `pg_stat_user_indexes`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct IndexUsage {
    /// `idx_scan`
    pub n_scans: u64,
    /// `idx_tup_read`
    pub n_entries_read: u64,
    /// `idx_tup_fetch`
    pub n_rows_fetched: u64,
    /// `last_idx_scan` (16+), microseconds since the epoch.
    pub last_scan_us: Option<i64>,
}

impl IndexUsage {
    /// Adds what another server counted.
    pub fn add(&mut self, other: &Self) {
        self.n_scans += other.n_scans;
        self.n_entries_read += other.n_entries_read;
        self.n_rows_fetched += other.n_rows_fetched;
        self.last_scan_us = self.last_scan_us.max(other.last_scan_us);
    }
}

/// How long the usage counters have been counting.
///
/// The newest of the resets of `pg_stat_database`, `pg_stat_bgwriter`, `pg_stat_wal` and the postmaster's start bounds the
/// window from below: a NULL reset is not "forever" (after a crash the counters are zero and `pg_stat_database.stats_reset` is NULL).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct StatsWindow {
    /// Start of the window, microseconds since the epoch; `None` when it could not be read.
    pub since_us: Option<i64>,
    /// When the counters were read (the server's clock), microseconds since the epoch.
    pub read_at_us: i64,
}

impl StatsWindow {
    /// Length in seconds; 0 when the start is unknown.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.since_us
            .map_or(0.0, |since| (self.read_at_us - since).max(0) as f64 / 1e6)
    }

    /// The one that covers less time; an unknown start covers none.
    #[must_use]
    pub fn shorter(self, other: Self) -> Self {
        if other.seconds() < self.seconds() {
            other
        } else {
            self
        }
    }

    /// Length in days; 0 when the start is unknown.
    #[must_use]
    pub fn days(&self) -> f64 {
        self.seconds() / 86_400.0
    }
}
