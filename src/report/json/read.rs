//! Reads a JSON report back, as far as `pgassay migrate --from` needs it.

use serde::Deserialize;

use super::{Change, SCHEMA_VERSION};
use crate::finding::IndexChange;

/// A finding of a report that was read back.
#[derive(Debug, Clone)]
pub struct ReportedFinding {
    /// Its stable id.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// One sentence.
    pub message: String,
    /// It has changes, but they were left out for the literals in them.
    pub withheld: bool,
    /// Schema changes.
    pub changes: Vec<IndexChange>,
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

#[derive(Debug, Deserialize)]
struct FindingEntry {
    id: String,
    rule: String,
    message: String,
    remedy: RemedyEntry,
}

#[derive(Debug, Deserialize)]
struct RemedyEntry {
    #[serde(default)]
    withheld: bool,
    #[serde(default)]
    changes: Vec<Change>,
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
    match changes {
        Ok(changes) => Ok(ReportedFinding {
            id: entry.id,
            rule: entry.rule,
            message: entry.message,
            withheld: entry.remedy.withheld,
            changes,
        }),
        Err(reason) => Err(ReadError::Change {
            id: entry.id,
            reason,
        }),
    }
}
