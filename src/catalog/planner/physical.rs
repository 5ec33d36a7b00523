//! Sizes and index metadata: what the planner learns from files rather than from catalogs.

use serde::{Deserialize, Serialize};

use crate::catalog::RelationName;

/// What a relation with pages is to the twin's file writer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhysicalKind {
    /// A table or materialised view.
    #[default]
    Heap,
    /// B-tree: height in the metapage.
    Btree,
    /// GIN: page and entry counts in the metapage.
    Gin,
    /// BRIN: last page of the range map in the metapage.
    Brin,
    /// GiST, SP-GiST, hash and others: the size alone.
    Other,
    /// No pages of its own (partitioned table or index, foreign table).
    None,
}

/// One relation's size and metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PhysicalState {
    /// Schema and name.
    pub name: RelationName,
    /// What it is.
    pub kind: PhysicalKind,
    /// Blocks now (`pg_relation_size`), not `relpages`.
    pub n_blocks: u64,
    /// `relpages`
    pub relpages: i64,
    /// `reltuples`; -1 when never analysed (0 before 14).
    pub reltuples: f64,
    /// `relallvisible`
    pub relallvisible: i64,
    /// `relallfrozen` (18+).
    pub relallfrozen: Option<i64>,
    /// Levels below the root of a b-tree.
    pub height: Option<u32>,
    /// Where `height` is from.
    pub height_source: HeightSource,
    /// The b-tree has no root page yet.
    pub no_root: bool,
    /// GIN metadata.
    pub gin: Option<GinMeta>,
    /// BRIN metadata.
    pub brin: Option<BrinMeta>,
}

/// How the height of a b-tree was learnt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeightSource {
    /// No b-tree.
    #[default]
    None,
    /// The metapage, by pageinspect.
    Metapage,
    /// Worked out of an EXPLAIN's start-up cost.
    Explain,
    /// Estimated from the number of pages and the width of the keys.
    Estimate,
}

/// Counters of a GIN metapage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GinMeta {
    /// `n_pending_pages`
    pub n_pending_pages: u32,
    /// `n_pending_tuples`
    pub n_pending_tuples: i64,
    /// `n_total_pages`
    pub n_total_pages: u32,
    /// `n_entry_pages`
    pub n_entry_pages: u32,
    /// `n_data_pages`
    pub n_data_pages: u32,
    /// `n_entries`
    pub n_entries: i64,
}

/// What the planner reads of a BRIN metapage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrinMeta {
    /// `lastrevmappage`
    pub last_revmap_page: u32,
}

/// Smallest and largest value of a column, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Table.
    pub table: RelationName,
    /// Column.
    pub column: String,
    /// Type without modifier; of a domain its base type.
    pub type_name: String,
    /// `min(column)`
    pub min: String,
    /// `max(column)`
    pub max: String,
}
