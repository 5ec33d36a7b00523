//! What the fold yields: queries with weights, what each input covered, and what it could not tell.

use serde::{Deserialize, Serialize};

use super::{
    ActivityFacts, Coverage, Estimate, Pace, PlanPhases, Repetition, SampleFacts, TimeSeries,
    Watched,
};
use crate::sql::{Fingerprint, QueryShape, ShapeError, StatementKind};

/// What ran, frozen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Workload {
    /// One entry per fingerprint, sorted by fingerprint.
    pub queries: Vec<Query>,
    /// What each input covered, in the order given.
    pub inputs: Vec<InputFacts>,
    /// What could not be used, counted by reason.
    pub skipped: Vec<SkipCount>,
    /// Statements that came again and again within one window, sorted by child.
    #[serde(default)]
    pub repetitions: Vec<Repetition>,
    /// What logs tell of sessions and load.
    #[serde(default)]
    pub activity: Box<ActivityFacts>,
    /// How units of work spend their time.
    #[serde(default)]
    pub pace: Pace,
    /// What the queries took that are not among `queries`, because there were too many.
    #[serde(default)]
    pub let_go: LetGo,
    /// What was made of logs that hold a sample of what ran.
    #[serde(default)]
    pub sampled: Option<SampleFacts>,
    /// What samples of `pg_stat_activity` showed, where they were taken.
    #[serde(default)]
    pub watched: Option<Box<Watched>>,
}

/// Executions of queries of which nothing else is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetGo {
    /// How many.
    pub n_calls: u64,
    /// Their time, microseconds.
    pub total_us: u64,
    /// The same of all that ran, where the log holds a sample.
    #[serde(default)]
    pub estimate: Option<Estimate>,
}

impl LetGo {
    pub(super) fn add(&mut self, n_calls: u64, total_us: u64) {
        self.n_calls += n_calls;
        self.total_us = self.total_us.saturating_add(total_us);
    }

    fn total_ms(self) -> f64 {
        let total_us = self.estimate.map_or(self.total_us, |all| all.total_us);
        total_us as f64 / 1e3
    }
}

impl Workload {
    /// The query of that fingerprint.
    #[must_use]
    pub fn query(&self, fingerprint: Fingerprint) -> Option<&Query> {
        self.queries
            .binary_search_by_key(&fingerprint, |query| query.fingerprint)
            .ok()
            .map(|at| &self.queries[at])
    }

    /// All database time seen, ms, each query from its own preferred source.
    #[must_use]
    pub fn total_time_ms(&self) -> f64 {
        let known: f64 = self.queries.iter().map(Query::total_ms).sum();
        known + self.let_go_ms()
    }

    /// Time of log queries that are not among `queries`, ms. Where `pg_stat_statements` was read, it tells of most of them.
    pub(super) fn let_go_ms(&self) -> f64 {
        match self.input(InputKind::PgStatStatements) {
            Some(_) => 0.0,
            None => self.let_go.total_ms(),
        }
    }

    /// The input that query statistics of this kind came from.
    #[must_use]
    pub fn input(&self, kind: InputKind) -> Option<&InputFacts> {
        self.inputs.iter().find(|input| input.kind == kind)
    }
}

/// One fingerprint with its statistics. Log and `pg_stat_statements` are never summed: calls and time come from
/// `pg_stat_statements` where both have it, bursts, parameters and percentiles from the log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Query {
    /// Its identity.
    pub fingerprint: Fingerprint,
    /// Normalised text: no literals.
    pub text: String,
    /// What it does.
    pub kind: StatementKind,
    /// A real text to plan with: from `pg_stat_statements` (with `$n`) or the first logged one. May hold literals: never printed.
    pub sample: String,
    /// Its shape; `None` with a reason in `shape_error`.
    pub shape: Option<Box<QueryShape>>,
    /// Why there is no shape.
    #[serde(skip)]
    pub shape_error: Option<ShapeError>,
    /// From logs.
    pub log: Option<LogStats>,
    /// From `pg_stat_statements`.
    pub pgss: Option<PgssStats>,
}

impl Query {
    /// Executions, from the preferred source; an estimate where that is a log that holds a sample.
    #[must_use]
    pub fn n_calls(&self) -> u64 {
        match self.estimate() {
            Some(estimate) => estimate.n_calls,
            None => self.n_seen(),
        }
    }

    /// Executions that the preferred source counted one by one.
    #[must_use]
    pub fn n_seen(&self) -> u64 {
        match (&self.pgss, &self.log) {
            (Some(pgss), _) => pgss.n_calls,
            (None, Some(log)) => log.n_calls,
            (None, None) => 0,
        }
    }

    /// What the log's executions stand for, where calls and time are an estimate.
    #[must_use]
    pub fn estimate(&self) -> Option<&Estimate> {
        match &self.pgss {
            Some(_) => None,
            None => self.log.as_ref()?.estimate.as_ref(),
        }
    }

    /// Total execution time, ms, from the preferred source.
    #[must_use]
    pub fn total_ms(&self) -> f64 {
        match (&self.pgss, &self.log) {
            (Some(pgss), _) => pgss.total_ms,
            (None, Some(log)) => {
                let total_us = log.estimate.map_or(log.total_us, |all| all.total_us);
                total_us as f64 / 1e3
            }
            (None, None) => 0.0,
        }
    }

    /// Mean execution time, ms; 0 without calls.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        match self.n_calls() {
            0 => 0.0,
            n => self.total_ms() / n as f64,
        }
    }

    /// Rows per call, where `pg_stat_statements` tells.
    #[must_use]
    pub fn rows_per_call(&self) -> Option<f64> {
        let pgss = self.pgss.as_ref().filter(|pgss| pgss.n_calls > 0)?;
        Some(pgss.n_rows as f64 / pgss.n_calls as f64)
    }
}

/// Statistics of one fingerprint from logs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LogStats {
    /// Executions (parse and bind records not counted).
    pub n_calls: u64,
    /// What they stand for, where the log holds a sample; the percentiles are then those of all executions.
    #[serde(default)]
    pub estimate: Option<Estimate>,
    /// Executions whose duration is known.
    pub n_timed: u64,
    /// Sum of known durations, microseconds.
    pub total_us: u64,
    /// Shortest, microseconds.
    pub min_us: u64,
    /// Longest, microseconds.
    pub max_us: u64,
    /// Median, microseconds.
    pub p50_us: u64,
    /// 95th percentile, microseconds.
    pub p95_us: u64,
    /// 99th percentile, microseconds.
    pub p99_us: u64,
    /// Failed executions.
    pub n_errors: u64,
    /// Parse and bind time, microseconds.
    pub plan_us: u64,
    /// Parse messages of the extended protocol.
    #[serde(default)]
    pub n_parses: u64,
    /// Estimated number of distinct sets of values, literals and parameters together.
    #[serde(default)]
    pub n_value_sets: u64,
    /// As a named prepared statement: before and after the planner may have changed to one plan for all values.
    #[serde(default)]
    pub phases: Option<PlanPhases>,
    /// Over time, in slices of a minute or more.
    #[serde(default)]
    pub series: TimeSeries,
    /// Postgres's `queryid` where the log has it.
    pub query_id: Option<i64>,
    /// Per placeholder of the normalised text, in order: literal or parameter, constant or varying.
    pub placeholders: Vec<PlaceholderFacts>,
    /// File (position in the run's inputs) and 1-based line of the first execution.
    pub first_origin: (u32, u64),
    /// How it was sent.
    #[serde(default)]
    pub protocol: ProtocolCounts,
    /// Users, most frequent first (at most 32 are told apart).
    #[serde(default)]
    pub users: Vec<Share>,
    /// Applications, most frequent first (at most 32 are told apart).
    #[serde(default)]
    pub applications: Vec<Share>,
    /// Routes, controllers, jobs … of the statements' comments, as `key=value key=value`, most frequent first (at most 32 are told apart).
    #[serde(default)]
    pub routes: Vec<Share>,
    /// The slowest executions. Hold literals: never printed.
    #[serde(default)]
    pub samples: Vec<ParameterSample>,
    /// First and last time seen, microseconds since the epoch.
    #[serde(default)]
    pub first_us: Option<i64>,
    /// See `first_us`.
    #[serde(default)]
    pub last_us: Option<i64>,
}

/// Executions by the way they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolCounts {
    /// Simple query protocol.
    pub n_simple: u64,
    /// Extended protocol, unnamed statement.
    pub n_unnamed: u64,
    /// Named prepared statement.
    pub n_named: u64,
}

/// A name with its count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The name.
    pub name: String,
    /// How often.
    pub n: u64,
}

/// One real execution with its values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterSample {
    /// Its duration, microseconds; 0 when unknown.
    pub duration_us: u64,
    /// Its text, at most 4 KiB.
    pub text: String,
    /// Its parameters as logged, at most 4 KiB.
    pub parameters: String,
}

/// What was seen at one placeholder of a fingerprint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PlaceholderFacts {
    /// How often a literal stood there.
    pub n_literal: u64,
    /// How often a parameter stood there.
    pub n_parameter: u64,
    /// The value, as SQL text, while every execution had the same and it is at most 64 bytes. A literal of the workload: redacted on output.
    pub constant: Option<String>,
    /// Estimated number of distinct values.
    pub n_distinct: u64,
}

/// Statistics of one fingerprint from `pg_stat_statements`: entries of the same fingerprint added up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PgssStats {
    /// `queryid`s of the entries added up.
    pub query_ids: Vec<i64>,
    /// `calls`
    pub n_calls: u64,
    /// `total_exec_time`, ms
    pub total_ms: f64,
    /// `min_exec_time`, ms
    pub min_ms: f64,
    /// `max_exec_time`, ms
    pub max_ms: f64,
    /// `rows`
    pub n_rows: u64,
    /// `shared_blks_hit`
    pub shared_blks_hit: u64,
    /// `shared_blks_read`
    pub shared_blks_read: u64,
    /// `shared_blks_dirtied`
    pub shared_blks_dirtied: u64,
    /// `temp_blks_read` + `temp_blks_written`
    pub temp_blks: u64,
    /// Read and write time of shared blocks, ms; 0 without `track_io_timing`.
    pub io_ms: f64,
    /// `wal_bytes`
    pub wal_bytes: u64,
    /// `total_plan_time`, ms, with `track_planning`.
    pub plan_ms: f64,
    /// Role names that ran it, sorted.
    pub users: Vec<String>,
}

/// Kind of input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// A query log.
    #[default]
    Log,
    /// A plain SQL file with weights.
    SqlFile,
    /// `pg_stat_statements`
    PgStatStatements,
    /// A pooler's own log: no statements.
    PoolerLog,
}

/// What one input covered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InputFacts {
    /// Log, SQL file or `pg_stat_statements`.
    pub kind: InputKind,
    /// File name as given, or the database in words; no secrets.
    pub name: String,
    /// Log format by its registry name; empty for `pg_stat_statements`.
    pub format: String,
    /// The `log_line_prefix` it was read by, given or inferred; `None` where the format has none.
    #[serde(default)]
    pub log_line_prefix: Option<String>,
    /// First and last time seen, microseconds since the epoch; `None` when the input has no times.
    pub from_us: Option<i64>,
    /// See `from_us`.
    pub to_us: Option<i64>,
    /// Executions.
    pub n_statements: u64,
    /// Bytes read (uncompressed).
    pub n_bytes: u64,
    /// What `pg_stat_statements` cannot tell, in plain words; what a log cannot tell follows from `coverage`.
    pub blind_spots: Vec<String>,
    /// What a log showed of itself; empty for other kinds.
    #[serde(default)]
    pub coverage: Coverage,
    /// Facts of `pg_stat_statements` itself.
    pub pgss: Option<PgssFacts>,
}

impl InputFacts {
    /// Length of the window, seconds; 0 when unknown.
    #[must_use]
    pub fn window_s(&self) -> f64 {
        match (self.from_us, self.to_us) {
            (Some(from), Some(to)) => (to - from).max(0) as f64 / 1e6,
            _ => 0.0,
        }
    }
}

/// State of the `pg_stat_statements` extension when it was read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PgssFacts {
    /// `extversion`
    pub version: String,
    /// Entries read.
    pub n_entries: u64,
    /// Entries of other roles whose text we may not see.
    pub n_hidden: u64,
    /// Calls of those hidden entries.
    pub n_hidden_calls: u64,
    /// `pg_stat_statements_info.dealloc` (14+): evicted entries; totals are a lower bound when above 0.
    pub n_evicted: Option<u64>,
}

/// A reason for which something was skipped, with its count and first example.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipCount {
    /// Reason in plain words.
    pub reason: String,
    /// How often.
    pub n: u64,
    /// First example: `file:line` and a redacted excerpt.
    pub example: String,
}

/// One row of `pg_stat_statements` as `db` read it.
#[derive(Debug, Clone, Default)]
pub struct PgssEntry {
    /// `query`
    pub text: String,
    /// Its numbers, with `query_ids` and `users` of this one entry.
    pub stats: PgssStats,
    /// `stats_since`, microseconds since the epoch; 17 and newer.
    pub since_us: Option<i64>,
}
