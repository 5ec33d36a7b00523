//! Findings: one claim each, with its proof and its remedy; and the report that gathers them.

mod baseline;
mod evidence;
pub mod figures;
mod locate;
mod pattern;
mod remedy;
mod report;
mod visible;

pub use baseline::{Baseline, BaselineError, KnownFinding, Standing};
pub use evidence::{
    BatchParameter, BurstFacts, Evidence, IndexEvidence, NPlusOneEvidence, ParentFacts, QueryCost,
    TimelineEntry, Verified,
};
pub use locate::{Locator, caller};
pub use pattern::glob;
pub use remedy::{ChangeAction, IndexChange, Remedy, RemedyKind};
pub use report::{
    Ignored, LeftAlone, Observation, Report, RuleMeta, RuleOutcome, RuleStatus, RunCost,
    ServerSummary, Skipped, Summary, TopQuery, WhyNotEntry,
};
pub use visible::{is_unsafe, visible};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{catalog::RelationName, sql::Fingerprint};

/// How bad it is. Ordered: `Info < Warning < Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; never fails a check by default.
    Info,
    /// Costs real time or round trips.
    Warning,
    /// Broken: an invalid index, an exceeded budget.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// How sure we are. Ordered: `Low < Medium < High`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A hint that needs the reader's knowledge.
    Low,
    /// Probably right.
    Medium,
    /// Of findings marked high, ≥ 99.5 % must be right.
    High,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

/// One claim with its proof.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What it is about; the stable id derives from rule + subject.
    pub subject: Subject,
    /// One sentence for a person, literals redacted.
    pub message: String,
    /// What it costs and what could be saved.
    pub impact: Impact,
    /// What a sceptic would ask to see.
    pub evidence: Evidence,
    /// Where in inputs or in code.
    pub locations: Vec<Location>,
    /// What to do.
    pub remedy: Remedy,
}

impl Finding {
    /// Stable across runs: rule + subject, no numbers. 16 hex digits after the rule's id.
    #[must_use]
    pub fn id(&self) -> String {
        let subject = &self.subject;
        let mut identity = vec![
            self.rule.to_owned(),
            subject
                .relation
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            subject.columns.join(","),
            subject.index.clone().unwrap_or_default(),
        ];
        // a budget is the same one whatever the worst unit's statement is
        match &subject.budget {
            Some(budget) => identity = vec![self.rule.to_owned(), budget.clone()],
            None => identity.extend(subject.fingerprint.map(|f| f.to_string())),
        }
        identity.extend(self.remedy.changes.iter().map(IndexChange::identity));
        let hash = xxhash_rust::xxh3::xxh3_64(identity.join("\u{1f}").as_bytes());
        format!("{}-{hash:016x}", self.rule)
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The relation; for N+1 the child table.
    pub relation: Option<RelationName>,
    /// Columns: for N+1 the repeated key, for an index its keys.
    pub columns: Vec<String>,
    /// An existing index, as `schema.name`.
    pub index: Option<String>,
    /// The query, when the finding is about one.
    pub fingerprint: Option<Fingerprint>,
    /// Normalised text of that query.
    pub query: Option<String>,
    /// A budget as `pgassay.toml` names it, and its limit.
    pub budget: Option<String>,
}

impl Subject {
    /// `public.jobs (country, employment_type)`, or the index's name. Raw text.
    #[must_use]
    pub fn in_words(&self) -> String {
        if let Some(budget) = &self.budget {
            return format!("budget {budget}");
        }
        match (&self.index, &self.relation, self.columns.as_slice()) {
            (Some(index), Some(relation), _) => format!("{index} on {relation}"),
            (Some(index), None, _) => index.clone(),
            (None, Some(relation), []) => relation.to_string(),
            (None, Some(relation), columns) => format!("{relation} ({})", columns.join(", ")),
            (None, None, _) => match self.fingerprint {
                Some(fingerprint) => format!("statement {fingerprint}"),
                None => "the database".to_owned(),
            },
        }
    }
}

/// How the saved time was arrived at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImpactBasis {
    /// Both sides were executed and timed.
    Measured,
    /// The statement's own measured time, scaled by the planner's cost ratio.
    CalibratedEstimate,
    /// Only planner units are known; no milliseconds are claimed.
    PlannerOnly,
    /// Nothing could be estimated.
    #[default]
    None,
}

/// Whose numbers these are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImpactSource {
    /// A query log.
    #[default]
    #[serde(rename = "log")]
    Log,
    /// `pg_stat_statements`.
    #[serde(rename = "pg_stat_statements")]
    PgStatStatements,
    /// Cumulative statistics views of the catalog.
    #[serde(rename = "catalog")]
    Catalog,
}

/// What the problem costs, in the observed window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Impact {
    /// Executions concerned, in the window.
    pub n_calls: u64,
    /// Their database time, ms.
    pub total_time_ms: f64,
    /// Time that the remedy would save in the window, ms; 0 when not estimated.
    pub saved_time_ms: f64,
    /// Bounds between which the time really saved lies in four of five cases, ms; none where nothing was calibrated.
    pub saved_interval_ms: Option<(f64, f64)>,
    /// `saved_time_ms` as a share of all database time seen, 0–1.
    pub saved_share: f64,
    /// How `saved_time_ms` was arrived at.
    pub basis: ImpactBasis,
    /// Whose numbers.
    pub source: ImpactSource,
    /// Length of the observation window, seconds.
    pub window_s: f64,
}

impl Impact {
    /// `saved_time_ms` scaled to a day of the same traffic; 0 when the window is unknown.
    #[must_use]
    pub fn saved_ms_per_day(&self) -> f64 {
        if self.window_s > 0.0 {
            self.saved_time_ms * 86_400.0 / self.window_s
        } else {
            0.0
        }
    }
}

/// A place in an input or in the user's code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// File name as the user gave it; in code relative to the source folder.
    pub file: String,
    /// 1-based line.
    pub line: u64,
    /// What stands there.
    #[serde(default)]
    pub kind: LocationKind,
}

/// What stands at a [`Location`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocationKind {
    /// A line of a query log.
    #[default]
    Log,
    /// The code that sends the statement, as the statement's own comment says.
    Caller,
    /// The statement's text in the code.
    Query,
    /// The migration or model that defines the relation.
    Definition,
}
