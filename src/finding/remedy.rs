//! Remedies: what to do about a finding, down to the index changes that `migration` renders.

use serde::{Deserialize, Serialize};

use crate::catalog::{IndexDef, KeyTarget, RelationName};

/// What kind of thing to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyKind {
    /// Rewrite the query or the loop around it.
    Rewrite,
    /// Create an index.
    CreateIndex,
    /// Drop an index.
    DropIndex,
    /// Create one index, then drop another.
    ReplaceIndex,
    /// `CREATE STATISTICS`
    CreateStatistics,
    /// Change a setting.
    Setting,
    /// `ANALYZE`
    Analyze,
    /// See the hint.
    #[default]
    Other,
}

/// What to do about a finding.
#[derive(Debug, Clone, Default)]
pub struct Remedy {
    /// Kind of remedy.
    pub kind: RemedyKind,
    /// SQL to run or to send instead; `None` where it can't be given safely (the hint says why).
    pub sql: Option<String>,
    /// The same in words, the ORM's own where it is known.
    pub hint: String,
    /// Schema changes, which `migration` turns into files.
    pub changes: Vec<IndexChange>,
    /// The changes hold a literal of the workload that is no plain category, and `--show-literals` was not given: outputs show
    /// neither `sql` nor `changes`. Set by `rules::judge`; ids stay the same either way.
    pub withheld: bool,
}

/// Create or drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeAction {
    /// CREATE INDEX
    Create,
    /// DROP INDEX
    Drop,
}

/// One index to create or drop: intent, which a framework's renderer turns into files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexChange {
    /// Create or drop.
    pub action: ChangeAction,
    /// The index.
    pub def: IndexDef,
    /// Leaves of a partitioned table, each of which needs its own concurrent build.
    pub partition_leaves: Vec<RelationName>,
    /// Constraint that owns the index, if any.
    pub constraint: Option<String>,
    /// Extension that the access method or operator class needs, e.g. `pg_trgm`.
    pub extension: Option<String>,
    /// For a drop: full old definition (`pg_get_indexdef`), so that down restores exactly what was there.
    pub before: Option<String>,
    /// Estimated (or, for a drop, real) size in bytes, for the preflight comment.
    pub size_bytes: Option<u64>,
}

impl IndexChange {
    /// A change that creates `def`.
    #[must_use]
    pub fn create(def: IndexDef) -> Self {
        Self {
            action: ChangeAction::Create,
            def,
            partition_leaves: Vec::new(),
            constraint: None,
            extension: None,
            before: None,
            size_bytes: None,
        }
    }

    /// A change that drops `def`, whose full definition is `before`.
    #[must_use]
    pub fn drop(def: IndexDef, before: String) -> Self {
        Self {
            action: ChangeAction::Drop,
            before: Some(before),
            ..Self::create(def)
        }
    }

    /// Normalised identity (method, keys, include, predicate; never the name): equal for equal intents.
    #[must_use]
    pub fn identity(&self) -> String {
        let def = &self.def;
        let keys: Vec<String> = def
            .keys
            .iter()
            .map(|key| {
                let target = match &key.target {
                    KeyTarget::Column(name) => name.clone(),
                    KeyTarget::Expression(text) => format!("({text})"),
                };
                let opclass = key.opclass.as_deref().unwrap_or("");
                let collation = key.collation.as_deref().unwrap_or("");
                format!(
                    "{target} {opclass} {collation} {:?} {:?}",
                    key.direction, key.nulls
                )
            })
            .collect();
        format!(
            "{:?} {} {} ({}) include ({}) where {}",
            self.action,
            def.table,
            def.method,
            keys.join(", "),
            def.include.join(", "),
            def.predicate.as_deref().unwrap_or("")
        )
    }
}
