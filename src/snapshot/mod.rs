//! Everything known, frozen, before anything is judged: catalog, planner state and workload of one database.
//!
//! A snapshot is savable and replayable: offline mode, CI input, bug report and test fixture are one thing. The file format stands in
//! `docs/snapshot.md`.

mod check;
mod file;
mod literal;
mod redact;
mod stand_in;

pub use check::CheckError;
pub use file::{FORMAT_VERSION, SnapshotError, is_snapshot, read, write};
pub use literal::{ClassedLiteral, LiteralClass, StatementLiterals, Unknowns, put_back};
pub use redact::redact;

use serde::{Deserialize, Serialize};

use crate::{
    catalog::{Catalog, planner::PlannerState},
    workload::Workload,
};

/// All inputs of an audit. The same snapshot gives the same report.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// When and how it was captured; `None` for what a run gathers for itself.
    #[serde(default)]
    pub capture: Option<CaptureFacts>,
    /// What exists; `None` when only logs were given.
    pub catalog: Option<Catalog>,
    /// What a twin is built from.
    #[serde(default)]
    pub planner: Option<PlannerState>,
    /// What ran.
    pub workload: Workload,
    /// Production's plans of some statements, for the twin's self-check.
    #[serde(default)]
    pub samples: Vec<SamplePlan>,
    /// Classes of the workload's literals, where their values did not stay.
    #[serde(default)]
    pub literals: Vec<StatementLiterals>,
}

/// How much of the data's values a snapshot keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redaction {
    /// Keeps no value at all.
    All,
    /// Keeps times, keys, codes, enum labels and what SQL itself names; the rest is dropped or faked.
    #[default]
    Default,
    /// Keeps everything that the planner's statistics hold.
    None,
}

/// When and how a snapshot was captured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CaptureFacts {
    /// pgassay's version.
    pub tool: String,
    /// RFC 3339, UTC.
    pub at: String,
    /// What was done to values.
    pub redaction: Redaction,
    /// What values the file holds, in plain words, one kind a line.
    pub holds: Vec<String>,
}

/// What production's planner said of a statement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SamplePlan {
    /// The statement, with `$n` where there were parameters.
    pub sql: String,
    /// `search_path` under which it was planned; empty: the role's own.
    #[serde(default)]
    pub search_path: Vec<String>,
    /// Node types and the relations and indexes they read, parents first: the plan's shape.
    pub shape: Vec<String>,
    /// Total cost.
    pub total_cost: f64,
    /// Every node's start-up cost, total cost, rows and width, parents first.
    pub numbers: Vec<[f64; 4]>,
    /// Classes of the literals that did not stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub literals: Vec<ClassedLiteral>,
}
