//! Which of a table's indexes nothing would miss, as far as definitions and counters tell.

use std::cmp::Reverse;

use super::{Index, KeyTarget, Relation};

/// A covering index larger by this factor is no replacement: scans of the short one read that many times fewer pages.
pub const MAX_SIZE_FACTOR: u64 = 4;

/// Size from which an unused index is worth a finding, bytes: below it, dropping changes nothing that anybody would notice.
const MIN_UNUSED_BYTES: u64 = 1 << 20;

/// Why an index is superfluous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supersedes {
    /// The other index is the same.
    Duplicate,
    /// The other index begins with its keys.
    Prefix,
}

impl Relation {
    /// The index that makes `index` superfluous, and whether it is the same thing under another name. Both are valid, `index` carries no
    /// constraint; of two equal ones the one that is used more stays, then the one with the lesser name.
    #[must_use]
    pub fn superseded_by(&self, index: &Index) -> Option<(&Index, Supersedes)> {
        if !index.valid || index.is_load_bearing() {
            return None;
        }
        let others = || {
            self.indexes
                .iter()
                .filter(|other| other.valid && other.def.name != index.def.name)
        };
        let twin = others().find(|other| {
            let stays = other.is_load_bearing()
                || (other.usage.n_scans, Reverse(&other.def.name))
                    > (index.usage.n_scans, Reverse(&index.def.name));
            stays && other.def.covers(&index.def) && index.def.covers(&other.def)
        });
        let wider =
            || others().find(|other| other.def.covers(&index.def) && !index.def.covers(&other.def));
        twin.map(|other| (other, Supersedes::Duplicate))
            .or_else(|| wider().map(|other| (other, Supersedes::Prefix)))
    }

    /// No scan was counted, nothing but speed depends on it, and it is large enough to matter. Whether the counters saw enough is another question.
    #[must_use]
    pub fn is_unused(&self, index: &Index) -> bool {
        index.valid
            && index.usage.n_scans == 0
            && index.size_bytes >= MIN_UNUSED_BYTES
            && !index.is_load_bearing()
            && self.partition_leaves.is_empty()
            && self.superseded_by(index).is_none()
            && !self.serves_foreign_key(index)
    }

    /// Its first keys are a foreign key's columns: the parent's DELETE looks rows up through it.
    fn serves_foreign_key(&self, index: &Index) -> bool {
        let keys = index.def.key_columns();
        self.foreign_keys.iter().any(|key| {
            keys.len() >= key.columns.len()
                && key
                    .columns
                    .iter()
                    .all(|column| keys[..key.columns.len()].contains(&column.as_str()))
        })
    }
}

impl Index {
    /// `schema.name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.def.table.schema, self.def.name)
    }

    /// Is it so much larger than `other`, which it covers, that scans of `other` are worth keeping it?
    #[must_use]
    pub fn is_much_larger_than(&self, other: &Self) -> bool {
        self.size_bytes > other.size_bytes.saturating_mul(MAX_SIZE_FACTOR)
    }

    /// Does ANALYZE keep statistics for one of its keys, which the planner may use without ever scanning the index?
    #[must_use]
    pub fn feeds_statistics(&self) -> bool {
        let keys = &self.def.keys;
        keys.iter()
            .any(|key| matches!(key.target, KeyTarget::Expression(_)))
    }
}
