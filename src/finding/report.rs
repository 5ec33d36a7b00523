//! The report: findings with totals, where the time goes, what was left alone and what could not be judged.

use serde::{Deserialize, Serialize};

use super::{Finding, Location, Severity, Standing};
use crate::{plan::WhatIfKind, sql::Fingerprint};

/// Everything that an output shows. Outputs derive from this and from nothing else.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The audited server, if one was reached.
    pub server: Option<ServerSummary>,
    /// What the run cost: the only part that may differ between two runs on the same input.
    pub run: RunCost,
    /// How long was observed, and by what: one line an input.
    pub observations: Vec<Observation>,
    /// Rules with what became of them.
    pub rules: Vec<RuleOutcome>,
    /// Heaviest statements by total time.
    pub top_queries: Vec<TopQuery>,
    /// What no finding was made about.
    pub left_alone: LeftAlone,
    /// Totals.
    pub summary: Summary,
    /// Findings, most time saved per day first.
    pub findings: Vec<Finding>,
    /// Where outputs that need a place in the repository put findings without one.
    pub anchor: Location,
    /// How the findings stand against a baseline, where there is one.
    pub standing: Option<Standing>,
    /// Findings that were left out because the user said so.
    pub ignored: Vec<Ignored>,
    /// For statements worth an index that got none: what was tried, and why not.
    pub why_not: Vec<WhyNotEntry>,
    /// Plain remarks for the reader: nothing could be priced, thresholds that hide statements, …
    pub notes: Vec<String>,
}

impl Report {
    /// The gravest severity among the findings.
    #[must_use]
    pub fn max_severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Is it in the baseline, and no worse than there?
    #[must_use]
    pub fn is_known(&self, finding: &Finding) -> bool {
        let standing = self.standing.as_ref();
        standing.is_some_and(|standing| standing.known.contains(&finding.id()))
    }

    /// Findings at or above a severity that are not known.
    #[must_use]
    pub fn n_failing(&self, threshold: Severity) -> usize {
        let failing = self.findings.iter();
        failing
            .filter(|finding| finding.severity >= threshold && !self.is_known(finding))
            .count()
    }
}

/// A finding that the user wants left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    /// The finding's id.
    pub id: String,
    /// Its rule.
    pub rule: String,
    /// What it is about, in words.
    pub subject: String,
    /// The reason that the user gave.
    pub reason: String,
}

/// Why a statement got no index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhyNotEntry {
    /// The statement.
    pub fingerprint: Fingerprint,
    /// Its normalised text.
    pub query: String,
    /// Indexes tried, as SQL.
    pub tried: Vec<String>,
    /// Lowest cost reached, as a share of the cost without.
    pub best_ratio: Option<f64>,
    /// In words.
    pub reason: String,
}

/// The audited server in a line.
#[derive(Debug, Clone, Default)]
pub struct ServerSummary {
    /// `server_version_num`
    pub version_num: u32,
    /// Database name.
    pub database: String,
    /// In recovery.
    pub is_standby: bool,
    /// Who priced.
    pub what_if: WhatIfKind,
}

/// What the run cost.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunCost {
    /// Wall time of the run, seconds.
    pub wall_s: f64,
    /// Statements sent to the audited server.
    pub n_server_statements: u64,
    /// Time that they took as seen from here, ms: an upper bound of the server's CPU time.
    pub server_time_ms: f64,
    /// Statements planned to price what might be changed, by whoever prices.
    #[serde(default)]
    pub n_planner_calls: u64,
}

/// One input and the window it covers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Observation {
    /// `log` or `pg_stat_statements` or `catalog`.
    pub source: String,
    /// File name or server in words, without secrets.
    pub name: String,
    /// RFC 3339; empty when unknown.
    pub from: String,
    /// RFC 3339; empty when unknown.
    pub to: String,
    /// Seconds.
    pub window_s: f64,
    /// Executions seen.
    pub n_statements: u64,
    /// Their database time, ms.
    pub total_time_ms: f64,
}

/// Static facts about a rule that outputs show.
#[derive(Debug, Clone, Copy)]
pub struct RuleMeta {
    /// Kebab-case id.
    pub id: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Default severity.
    pub severity: Severity,
    /// Full documentation, Markdown.
    pub docs: &'static str,
}

/// What became of a rule in this run.
#[derive(Debug, Clone)]
pub struct RuleOutcome {
    /// The rule.
    pub meta: RuleMeta,
    /// Ran, in part, or not at all.
    pub status: RuleStatus,
    /// What lacked, in plain words: `log threshold 250 ms`.
    pub lacked: Vec<String>,
}

/// Whether a rule saw what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleStatus {
    /// Had all its inputs.
    Ran,
    /// Had some; "0 findings" is not "none there".
    Partial,
    /// Could not judge at all.
    LackedInput,
}

/// One heavy statement.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TopQuery {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Normalised text.
    pub query: String,
    /// Share of all database time seen, 0–1.
    pub share: f64,
    /// Executions; an estimate where `n_logged` is given.
    pub n_calls: u64,
    /// Executions that a log holds which is a sample of what ran: calls, times and percentiles are estimates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_logged: Option<u64>,
    /// Standard error of that estimate of `n_calls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_calls_error: Option<u64>,
    /// Total time, ms.
    pub total_ms: f64,
    /// Mean time, ms.
    pub mean_ms: f64,
    /// 95th percentile, ms; logs only.
    pub p95_ms: Option<f64>,
    /// Rows per call; `pg_stat_statements` only.
    pub rows_per_call: Option<f64>,
    /// Shared buffer hit ratio, 0–1.
    pub hit_ratio: Option<f64>,
    /// I/O time, ms, when `track_io_timing` is on.
    pub io_ms: Option<f64>,
    /// Temporary blocks written.
    pub temp_blks: Option<u64>,
    /// WAL bytes written.
    pub wal_bytes: Option<u64>,
}

/// Statements that no finding is about.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LeftAlone {
    /// How many fingerprints.
    pub n_fingerprints: u64,
    /// Their share of all database time, 0–1.
    pub share: f64,
}

/// Totals of the run.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Executions seen.
    pub n_statements: u64,
    /// Distinct fingerprints.
    pub n_fingerprints: u64,
    /// Longest observation window, seconds.
    pub window_s: f64,
    /// What was skipped and why.
    pub skipped: Vec<Skipped>,
}

/// Something that could not be used, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Reason in plain words; the key under which counts add up.
    pub reason: String,
    /// How many.
    pub n: u64,
    /// First example, with file and line where it has one; literals redacted.
    pub example: String,
}
