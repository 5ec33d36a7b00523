//! The JSON report: a contract. Its structs are its own, so that internal types may change while the keys stay; `docs/report.schema.json` describes it.

mod change;
mod read;

pub use read::{ReadError, ReportedFinding, read};

use serde::Serialize;

use super::{Output, View, escape};
use crate::{
    finding::{
        Confidence, Evidence, Finding, Ignored, ImpactBasis, ImpactSource, LeftAlone, Location,
        Observation, RemedyKind, Report, RuleOutcome, RuleStatus, RunCost, ServerSummary, Severity,
        Skipped, Standing, TopQuery, WhyNotEntry,
    },
    plan::WhatIfKind,
};
use change::Change;

/// Raised when a key changes its meaning or goes away; new optional keys do not raise it.
pub const SCHEMA_VERSION: u32 = 1;

pub(super) static OUTPUT: Output = Output {
    name: "json",
    summary: "the whole report for programs; a stable contract with a schema",
    extension: "json",
    render,
};

/// The report as one JSON document.
#[must_use]
pub fn render(report: &Report, _view: &View) -> String {
    let document = Document::from(report);
    let json = serde_json::to_string_pretty(&document)
        .expect("keys are strings, and serde_json writes non-finite numbers as null");
    escape::json_text(&json) + "\n"
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    tool: Tool,
    server: Option<Server<'a>>,
    run: &'a RunCost,
    observations: &'a [Observation],
    rules: Vec<RuleEntry<'a>>,
    top_queries: &'a [TopQuery],
    left_alone: &'a LeftAlone,
    summary: SummaryEntry<'a>,
    findings: Vec<FindingEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<BaselineEntry<'a>>,
    #[serde(skip_serializing_if = "<[Ignored]>::is_empty")]
    ignored: &'a [Ignored],
    #[serde(skip_serializing_if = "<[WhyNotEntry]>::is_empty")]
    why_not: &'a [WhyNotEntry],
    notes: &'a [String],
}

/// How the findings stand against a baseline.
#[derive(Debug, Serialize)]
struct BaselineEntry<'a> {
    known: Vec<&'a str>,
    worse: Vec<WorseEntry<'a>>,
    fixed: Vec<FixedEntry<'a>>,
}

#[derive(Debug, Serialize)]
struct WorseEntry<'a> {
    id: &'a str,
    how: &'a str,
}

#[derive(Debug, Serialize)]
struct FixedEntry<'a> {
    id: &'a str,
    rule: &'a str,
    subject: &'a str,
}

#[derive(Debug, Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Server<'a> {
    version_num: u32,
    database: &'a str,
    role: &'static str,
    what_if: WhatIfKind,
}

#[derive(Debug, Serialize)]
struct RuleEntry<'a> {
    id: &'static str,
    status: RuleStatus,
    lacked: &'a [String],
}

#[derive(Debug, Serialize)]
struct SummaryEntry<'a> {
    n_statements: u64,
    n_fingerprints: u64,
    window_s: f64,
    skipped: &'a [Skipped],
    n_findings: FindingCounts,
}

#[derive(Debug, Default, Serialize)]
struct FindingCounts {
    error: u64,
    warning: u64,
    info: u64,
}

#[derive(Debug, Serialize)]
struct FindingEntry<'a> {
    id: String,
    rule: &'static str,
    severity: Severity,
    confidence: Confidence,
    subject: SubjectEntry<'a>,
    message: &'a str,
    impact: ImpactEntry,
    evidence: &'a Evidence,
    locations: &'a [Location],
    remedy: RemedyEntry<'a>,
}

#[derive(Debug, Serialize)]
struct SubjectEntry<'a> {
    relation: Option<String>,
    columns: &'a [String],
    index: Option<&'a str>,
    fingerprint: Option<String>,
    query: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ImpactEntry {
    n_calls: u64,
    total_time_ms: f64,
    saved_time_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_interval_ms: Option<(f64, f64)>,
    saved_ms_per_day: f64,
    saved_share: f64,
    basis: ImpactBasis,
    source: ImpactSource,
    window_s: f64,
}

#[derive(Debug, Serialize)]
struct RemedyEntry<'a> {
    kind: RemedyKind,
    sql: Option<&'a str>,
    hint: &'a str,
    withheld: bool,
    changes: Vec<Change>,
}

impl<'a> From<&'a Report> for Document<'a> {
    fn from(report: &'a Report) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool {
                name: "pgassay",
                version: env!("CARGO_PKG_VERSION"),
            },
            server: report.server.as_ref().map(Server::from),
            run: &report.run,
            observations: &report.observations,
            rules: report.rules.iter().map(RuleEntry::from).collect(),
            top_queries: &report.top_queries,
            left_alone: &report.left_alone,
            summary: SummaryEntry {
                n_statements: report.summary.n_statements,
                n_fingerprints: report.summary.n_fingerprints,
                window_s: report.summary.window_s,
                skipped: &report.summary.skipped,
                n_findings: FindingCounts::of(&report.findings),
            },
            findings: report.findings.iter().map(FindingEntry::from).collect(),
            baseline: report.standing.as_ref().map(BaselineEntry::from),
            ignored: &report.ignored,
            why_not: &report.why_not,
            notes: &report.notes,
        }
    }
}

impl<'a> From<&'a Standing> for BaselineEntry<'a> {
    fn from(standing: &'a Standing) -> Self {
        let worse = standing.worse.iter();
        let fixed = standing.fixed.iter();
        Self {
            known: standing.known.iter().map(String::as_str).collect(),
            worse: worse.map(|(id, how)| WorseEntry { id, how }).collect(),
            fixed: fixed
                .map(|(id, known)| FixedEntry {
                    id,
                    rule: &known.rule,
                    subject: &known.subject,
                })
                .collect(),
        }
    }
}

impl<'a> From<&'a ServerSummary> for Server<'a> {
    fn from(server: &'a ServerSummary) -> Self {
        Self {
            version_num: server.version_num,
            database: &server.database,
            role: if server.is_standby {
                "standby"
            } else {
                "primary"
            },
            what_if: server.what_if,
        }
    }
}

impl<'a> From<&'a RuleOutcome> for RuleEntry<'a> {
    fn from(outcome: &'a RuleOutcome) -> Self {
        Self {
            id: outcome.meta.id,
            status: outcome.status,
            lacked: &outcome.lacked,
        }
    }
}

impl FindingCounts {
    fn of(findings: &[Finding]) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            match finding.severity {
                Severity::Error => counts.error += 1,
                Severity::Warning => counts.warning += 1,
                Severity::Info => counts.info += 1,
            }
        }
        counts
    }
}

impl<'a> From<&'a Finding> for FindingEntry<'a> {
    fn from(finding: &'a Finding) -> Self {
        let subject = &finding.subject;
        let impact = &finding.impact;
        let remedy = &finding.remedy;
        Self {
            id: finding.id(),
            rule: finding.rule,
            severity: finding.severity,
            confidence: finding.confidence,
            subject: SubjectEntry {
                relation: subject.relation.as_ref().map(ToString::to_string),
                columns: &subject.columns,
                index: subject.index.as_deref(),
                fingerprint: subject.fingerprint.map(|f| f.to_string()),
                query: subject.query.as_deref(),
                budget: subject.budget.as_deref(),
            },
            message: &finding.message,
            impact: ImpactEntry {
                n_calls: impact.n_calls,
                total_time_ms: impact.total_time_ms,
                saved_time_ms: impact.saved_time_ms,
                saved_interval_ms: impact.saved_interval_ms,
                saved_ms_per_day: impact.saved_ms_per_day(),
                saved_share: impact.saved_share,
                basis: impact.basis,
                source: impact.source,
                window_s: impact.window_s,
            },
            evidence: &finding.evidence,
            locations: &finding.locations,
            remedy: RemedyEntry {
                kind: remedy.kind,
                sql: remedy.sql.as_deref().filter(|_| !remedy.withheld),
                hint: &remedy.hint,
                withheld: remedy.withheld,
                changes: if remedy.withheld {
                    Vec::new()
                } else {
                    remedy.changes.iter().map(Change::from).collect()
                },
            },
        }
    }
}
