//! Reads a JSON report back, as far as `pgassay migrate --from` and `pgassay diff` need it.

use serde::Deserialize;

use super::{Change, SCHEMA_VERSION};
use crate::finding::{IndexChange, RemedyKind, Severity};

/// A finding of a report that was read back.
#[derive(Debug, Clone)]
pub struct ReportedFinding {
    /// Its stable id.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// What it is about, in words.
    pub subject: String,
    /// One sentence.
    pub message: String,
    /// Database time of the statements concerned, ms a day.
    pub ms_per_day: f64,
    /// Longest burst; loops only.
    pub n_repeats_max: Option<u64>,
    /// It has changes, but they were left out for the literals in them.
    pub withheld: bool,
    /// Kind of remedy.
    pub kind: RemedyKind,
    /// The remedy's SQL.
    pub sql: Option<String>,
    /// Schema changes.
    pub changes: Vec<IndexChange>,
    /// Other indexes that an index finding names: those that a drop leaves in its place, or that a new one covers.
    pub others: Vec<String>,
}

/// Why a report can't be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not a report.
    #[error("not a pgassay report: {0}")]
    NotAReport(#[from] serde_json::Error),
    /// Written by another generation of pgassay.
    #[error("the report has schema version {0}, this pgassay reads version {SCHEMA_VERSION}")]
    Version(u64),
    /// A finding's change contradicts itself.
    #[error("finding {id}: {reason}")]
    Change {
        /// The finding.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
struct Versioned {
    schema_version: u64,
}

#[derive(Debug, Deserialize)]
struct Document {
    findings: Vec<FindingEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubjectEntry {
    relation: Option<String>,
    columns: Vec<String>,
    index: Option<String>,
    fingerprint: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImpactEntry {
    total_time_ms: f64,
    window_s: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EvidenceEntry {
    n_repeats_max: Option<u64>,
    replaces: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct FindingEntry {
    id: String,
    rule: String,
    #[serde(default)]
    severity: Option<Severity>,
    message: String,
    remedy: RemedyEntry,
    #[serde(default)]
    subject: SubjectEntry,
    #[serde(default)]
    impact: ImpactEntry,
    #[serde(default)]
    evidence: Option<EvidenceEntry>,
}

#[derive(Debug, Deserialize)]
struct RemedyEntry {
    #[serde(default)]
    kind: RemedyKind,
    #[serde(default)]
    sql: Option<String>,
    #[serde(default)]
    withheld: bool,
    #[serde(default)]
    changes: Vec<Change>,
}

impl SubjectEntry {
    fn in_words(self) -> String {
        let Self {
            relation,
            columns,
            index,
            fingerprint,
        } = self;
        match (index, relation) {
            (Some(index), Some(relation)) => format!("{index} on {relation}"),
            (Some(index), None) => index,
            (None, Some(relation)) if columns.is_empty() => relation,
            (None, Some(relation)) => format!("{relation} ({})", columns.join(", ")),
            (None, None) => {
                fingerprint.map_or("the database".to_owned(), |f| format!("statement {f}"))
            }
        }
    }
}

impl ImpactEntry {
    fn ms_per_day(&self) -> f64 {
        if self.window_s > 0.0 {
            self.total_time_ms * 86_400.0 / self.window_s
        } else {
            0.0
        }
    }
}

/// Reads the findings of a report, in its order.
///
/// # Errors
/// When it is no report of this schema version, or a change in it contradicts itself.
pub fn read(json: &[u8]) -> Result<Vec<ReportedFinding>, ReadError> {
    let Versioned { schema_version } = serde_json::from_slice(json)?;
    if schema_version != u64::from(SCHEMA_VERSION) {
        return Err(ReadError::Version(schema_version));
    }
    let document: Document = serde_json::from_slice(json)?;
    document.findings.into_iter().map(finding).collect()
}

fn finding(entry: FindingEntry) -> Result<ReportedFinding, ReadError> {
    let changes: Result<Vec<IndexChange>, String> = entry
        .remedy
        .changes
        .into_iter()
        .map(IndexChange::try_from)
        .collect();
    let evidence = entry.evidence.unwrap_or_default();
    match changes {
        Ok(changes) => Ok(ReportedFinding {
            id: entry.id,
            rule: entry.rule,
            severity: entry.severity.unwrap_or(Severity::Info),
            subject: entry.subject.in_words(),
            message: entry.message,
            ms_per_day: entry.impact.ms_per_day(),
            n_repeats_max: evidence.n_repeats_max,
            withheld: entry.remedy.withheld,
            kind: entry.remedy.kind,
            sql: entry.remedy.sql,
            changes,
            others: evidence.replaces,
        }),
        Err(reason) => Err(ReadError::Change {
            id: entry.id,
            reason,
        }),
    }
}
