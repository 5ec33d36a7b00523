//! What advice consists of: candidates, recommendations, and why not.

use serde::{Deserialize, Serialize};

use crate::{
    catalog::{IndexDef, RelationName},
    plan::WhatIfKind,
    sql::Fingerprint,
};

/// What makes a candidate the kind it is. The most specific kind names the rule that reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Plain key columns for conditions, joins or order: `missing-index`.
    Plain,
    /// Has a predicate: `missing-partial-index`.
    Partial,
    /// Has INCLUDE columns for an index-only scan: `missing-covering-index`.
    Covering,
    /// Indexes an expression: `missing-expression-index`.
    Expression,
    /// Text search or LIKE: `missing-text-search-index`.
    TextSearch,
    /// jsonb or array containment: `missing-json-index`.
    Json,
    /// A foreign key's referencing columns: `unindexed-foreign-key`.
    ForeignKey,
}

/// An index worth pricing, with the queries it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The index; its name is provisional and unique within the run.
    pub def: IndexDef,
    /// What kind it is.
    pub reason: Reason,
    /// Queries that it was proposed for, sorted.
    pub for_queries: Vec<Fingerprint>,
    /// The extension it needs, e.g. `pg_trgm`.
    pub extension: Option<String>,
}

/// One query's price without and with the chosen set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PricedQuery {
    /// The query.
    pub fingerprint: Fingerprint,
    /// Planner cost as things are.
    pub cost_before: f64,
    /// Planner cost with the recommendation's index.
    pub cost_after: f64,
    /// The plan uses that index.
    pub uses_index: bool,
    /// One line about the plan before.
    pub plan_before: String,
    /// One line about the plan after.
    pub plan_after: String,
    /// Share of the query's time that this index saves, 0–1: the planner's cost ratio, shared out where the plan uses several new indexes.
    pub saved_fraction: f64,
}

/// An index to create, with its proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The index, under its final name.
    pub def: IndexDef,
    /// Kind, which names the rule.
    pub reason: Reason,
    /// Queries served, most time saved first. When no planner priced them, the costs are of our own scan model.
    pub queries: Vec<PricedQuery>,
    /// Estimated size in bytes.
    pub size_bytes: u64,
    /// Price of maintaining it in the window, planner units.
    pub write_cost: f64,
    /// Existing indexes (`schema.name`) that it makes redundant.
    pub replaces: Vec<String>,
    /// Extension needed and not installed.
    pub extension: Option<String>,
    /// The predicate (or another part) stands on a value that reached the server as `$n`: it only helps when the application sends it as a
    /// literal. Says so in words; confidence drops to low.
    pub condition: Option<String>,
    /// True when a planner priced it; false when it rests on structure alone.
    pub priced: bool,
}

/// Why a query got no index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyNot {
    /// The query.
    pub fingerprint: Fingerprint,
    /// Candidates tried, as SQL.
    pub tried: Vec<String>,
    /// Best cost ratio reached (after / before), if any was priced.
    pub best_ratio: Option<f64>,
    /// The reason in words.
    pub reason: String,
}

/// A loop's single calls against the one statement for all keys, in planner units. Round trips are in neither.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PricedRewrite {
    /// The looped statement.
    pub fingerprint: Fingerprint,
    /// The batch.
    pub sql: String,
    /// Keys that both were priced with.
    pub n_keys: u64,
    /// Planner cost of the single call, times the keys.
    pub cost_singles: f64,
    /// Planner cost of the batch.
    pub cost_batch: f64,
    /// The single call's plan in a line.
    pub plan_single: String,
    /// The batch's plan in a line.
    pub plan_batch: String,
}

/// A statement whose conditions compute something of a column, priced against the same on the plain column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PricedCondition {
    /// The statement.
    pub fingerprint: Fingerprint,
    /// The table that the first condition is about.
    pub relation: RelationName,
    /// What to write instead.
    pub conditions: Vec<RewrittenCondition>,
    /// Planner cost as things are.
    pub cost_before: f64,
    /// Planner cost of the rewritten statement.
    pub cost_after: f64,
    /// One line about the plan before.
    pub plan_before: String,
    /// One line about the plan after.
    pub plan_after: String,
    /// The index that the rewritten statement needs, where none exists yet.
    pub index: Option<IndexDef>,
    /// Its estimated size.
    pub size_bytes: Option<u64>,
}

/// One condition before and after; values are `…`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RewrittenCondition {
    /// The column.
    pub column: String,
    /// As it is written.
    pub before: String,
    /// What means the same.
    pub after: String,
    /// Where the two differ, if they can.
    pub proviso: Option<String>,
}

/// A partial index that serves a statement if a value that the view shows as `$n` is a literal in the application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConditionalIndex {
    /// The statement.
    pub fingerprint: Fingerprint,
    /// The index, without a name: nobody creates it before a log has decided.
    pub def: IndexDef,
    /// The column whose value is not known.
    pub column: String,
    /// Share of rows that have the value tried.
    pub value_share: f64,
    /// Planner cost with that value, as things are or, where a new index is recommended for the statement, with that one.
    pub cost_before: f64,
    /// Planner cost with that value and the index.
    pub cost_after: f64,
    /// Its estimated size.
    pub size_bytes: u64,
    /// Estimated size of the recommended index in whose place it would be.
    #[serde(default)]
    pub instead_of_bytes: Option<u64>,
}

/// Why an existing index was offered for dropping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropCause {
    /// Another one is the same.
    #[default]
    Duplicate,
    /// Another one begins with its keys.
    Prefix,
    /// No scan was counted over a window that is long enough.
    Unused,
    /// A new one covers it.
    Replaced,
}

/// An existing index that might go, with what the workload costs without it and under all other changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PricedDrop {
    /// `schema.name`.
    pub index: String,
    /// Why it was looked at.
    pub cause: DropCause,
    /// The choice goes without it, and no statement costs more than a tenth more.
    pub is_dropped: bool,
    /// Statements on its table that were priced without it.
    pub n_statements: u64,
    /// The statement that suffers most, and its cost without over its cost as things are.
    pub worst: Option<(Fingerprint, f64)>,
    /// Statements whose estimates come from the statistics that ANALYZE keeps for its expressions.
    pub feeds_estimates: Vec<Fingerprint>,
}

/// What all new indexes of one table together do to the statements that write it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WriteEffect {
    /// The table.
    pub relation: RelationName,
    /// Share of its updates that are HOT as things are, by the table's counters; none where it was not updated.
    pub hot_share_before: Option<f64>,
    /// The same with the new indexes, for the workload's own updates.
    pub hot_share_after: Option<f64>,
    /// Time of the statements that write it with the new indexes, over their time as measured; none where no time is known.
    pub slowdown: Option<f64>,
}

/// Everything that advice worked out. Rules turn it into findings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// Indexes to create.
    pub recommendations: Vec<Recommendation>,
    /// Existing indexes that might go, each priced over the whole workload; none where nobody could price it.
    #[serde(default)]
    pub drops: Vec<PricedDrop>,
    /// What only a log can decide.
    #[serde(default)]
    pub conditional: Vec<ConditionalIndex>,
    /// What the new indexes do to statements that write.
    #[serde(default)]
    pub write_effects: Vec<WriteEffect>,
    /// For slow queries without advice.
    pub why_not: Vec<WhyNot>,
    /// Conditions that no index can serve as they are written.
    #[serde(default)]
    pub conditions: Vec<PricedCondition>,
    /// Loops against their batches.
    #[serde(default)]
    pub rewrites: Vec<PricedRewrite>,
    /// Who priced.
    pub what_if: WhatIfKind,
    /// Who priced, in words, or why nobody did.
    pub pricing: String,
    /// Planner calls made.
    pub n_planner_calls: u64,
    /// Statements that could not be planned, counted by reason (reason, count, first example's fingerprint).
    pub skipped: Vec<(String, u64, Fingerprint)>,
}
