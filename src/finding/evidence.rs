//! Evidence by rule: the numbers that prove a finding.

use serde::{Deserialize, Serialize};

use crate::sql::{Fingerprint, rewrite::Answer};

/// What a sceptic would ask to see. Serialised untagged: each variant is the documented `evidence` object of its rules.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Evidence {
    /// `n-plus-one`, `n-plus-one-write` and their relatives.
    NPlusOne(Box<NPlusOneEvidence>),
    /// Index recommendations.
    Index(IndexEvidence),
    /// Facts as name and value, for rules with evidence of their own.
    Facts(serde_json::Map<String, serde_json::Value>),
    /// Nothing beyond the message.
    #[default]
    None,
}

/// Evidence of a repeated statement.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NPlusOneEvidence {
    /// `select`, `count`, `exists`, `insert`, `update` or `delete`.
    pub statement_kind: String,
    /// Child executions over all bursts.
    pub n_repeats: u64,
    /// Bursts judged to be a loop.
    pub n_bursts: u64,
    /// The longest burst.
    pub n_repeats_max: u64,
    /// Distinct keys over all bursts.
    pub distinct_keys: u64,
    /// The commonest parent query.
    pub parent: Option<ParentFacts>,
    /// Other parents seen, most frequent first (at most 10).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_parents: Vec<ParentFacts>,
    /// Sessions concerned (at most 100).
    pub sessions: Vec<String>,
    /// Commonest tag values: route, controller, action, job …
    pub tags: std::collections::BTreeMap<String, String>,
    /// Applications seen, most frequent first (at most 10).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<String>,
    /// Units of work (requests, transactions, bursts of a session) in which the child ran at all.
    #[serde(default)]
    pub n_units: u64,
    /// The middle burst's repeats, of the first 100.
    #[serde(default)]
    pub n_repeats_p50: u64,
    /// Round trips that one statement for each burst would spare.
    #[serde(default)]
    pub saved_round_trips: u64,
    /// The round trip that saved time is reckoned with, ms.
    #[serde(default)]
    pub round_trip_ms: f64,
    /// Where that comes from: `given` (`--rtt`) or `assumed`.
    #[serde(default)]
    pub round_trip_basis: String,
    /// The first 100 bursts.
    pub bursts: Vec<BurstFacts>,
    /// One real burst: parent, then first and last repeats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineEntry>,
    /// Client recognised from its SQL, when sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Planner cost of N single calls against one batch, when connected; N is `n_calls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<QueryCost>,
    /// The batch of the remedy: its parameters in order, `$1` first. Absent where there is no batch, or it takes the loop's own, row by row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<BatchParameter>,
    /// How its rows divide by key.
    #[serde(skip)]
    pub answer: Answer,
    /// Why there is no batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_batch: Option<String>,
    /// Both were executed and compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

/// One parameter of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchParameter {
    /// The column it is compared with or written to, or `LIMIT`.
    pub name: String,
    /// Its type as SQL; the server works it out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// An array with one element for each call of the loop; else the one value that all calls had.
    pub is_array: bool,
    /// The looped statement's placeholder that it stands for.
    pub placeholder: u16,
}

/// A loop and its batch, both executed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// Keys that both ran over.
    pub n_keys: u64,
    /// Both gave the same rows.
    pub same_rows: bool,
    /// Time of all single calls, ms, seen by the client.
    pub singles_ms: f64,
    /// Time of the batch, ms, seen by the client.
    pub batch_ms: f64,
}

/// The query whose rows drive the loop.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ParentFacts {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Normalised text.
    pub query: String,
    /// The table it reads, when known.
    pub relation: Option<String>,
}

/// One burst of a loop.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BurstFacts {
    /// Session id as the log names it.
    pub session: String,
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// Repeats in this burst.
    pub n_repeats: u64,
}

/// One line of a burst's timeline.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// Milliseconds since the burst's first statement.
    pub at_ms: f64,
    /// Duration in ms where the log has it.
    pub duration_ms: Option<f64>,
    /// Normalised text, or "… 37 more …".
    pub text: String,
}

/// Evidence of an index recommendation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct IndexEvidence {
    /// Queries served, heaviest first.
    pub queries: Vec<QueryCost>,
    /// Estimated (for an existing index: real) size in bytes.
    pub size_bytes: u64,
    /// Price of maintaining it, planner units per observed window.
    pub write_cost: f64,
    /// Existing indexes it makes redundant.
    pub replaces: Vec<String>,
    /// More facts by name: scans, window in days, lost HOT updates …
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// One query's planner cost before and after a change.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct QueryCost {
    /// The query.
    pub fingerprint: Fingerprint,
    /// Normalised text.
    pub query: String,
    /// Calls in the window.
    pub n_calls: u64,
    /// Total planner cost without the change.
    pub cost_before: f64,
    /// Total planner cost with it.
    pub cost_after: f64,
    /// The plan uses the new index.
    pub uses_index: bool,
    /// Mean ms per call as measured before the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_ms: Option<f64>,
    /// Plan in one line before (`Seq Scan on jobs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_before: Option<String>,
    /// Plan in one line after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_after: Option<String>,
}
