//! Relations and their columns: `pg_class`, `pg_attribute`, `pg_stats`, and foreign keys.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Index, TableUsage};

/// A schema-qualified name. Ordered by schema, then name; `Display` gives `schema.name` unquoted, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RelationName {
    /// `pg_namespace.nspname`
    pub schema: String,
    /// `pg_class.relname`
    pub name: String,
}

impl RelationName {
    /// The name `schema.name`.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// `pg_class.relkind` of the relations that queries read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationKind {
    /// `r`
    #[default]
    Table,
    /// `p`
    PartitionedTable,
    /// `m`
    MaterializedView,
    /// `v`
    View,
    /// `f`
    ForeignTable,
}

/// `pg_class.relpersistence`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Persistence {
    /// `p`
    #[default]
    Permanent,
    /// `u`
    Unlogged,
    /// `t`
    Temporary,
}

/// One relation with all that hangs on it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Relation {
    /// `pg_class.oid`
    pub oid: u32,
    /// Schema and name.
    pub name: RelationName,
    /// Table, partitioned table, view, …
    pub kind: RelationKind,
    /// Permanent, unlogged or temporary.
    pub persistence: Persistence,
    /// `reltuples`; `None` where the table was never analysed (`-1`, or 0 with 0 pages before 14).
    pub n_rows: Option<f64>,
    /// Pages of 8 KiB that the heap has now.
    pub n_pages: u64,
    /// `relallvisible`, in pages.
    pub n_all_visible_pages: u64,
    /// Size of the heap in bytes (`pg_relation_size`), without indexes and TOAST.
    pub size_bytes: u64,
    /// Columns in `attnum` order, dropped ones left out.
    pub columns: Vec<Column>,
    /// Indexes, sorted by name.
    pub indexes: Vec<Index>,
    /// Foreign keys that this relation holds (it is the referencing side), sorted by name.
    pub foreign_keys: Vec<ForeignKey>,
    /// Columns of each extended statistics object on it, in `attnum` order.
    #[serde(default)]
    pub extended_statistics: Vec<Vec<String>>,
    /// Counters of `pg_stat_user_tables`.
    pub usage: TableUsage,
    /// The partitioned table or inheritance parent this is a child of.
    pub parent: Option<RelationName>,
    /// For a partitioned table: its leaves at any depth, sorted.
    pub partition_leaves: Vec<RelationName>,
    /// Row-level security is enabled.
    pub has_row_security: bool,
    /// Belongs to an extension (`pg_depend` with deptype `e`).
    pub of_extension: bool,
}

impl Relation {
    /// The column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The primary key's index.
    #[must_use]
    pub fn primary_key(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.primary)
    }
}

/// A column with its type and statistics.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Column {
    /// `attname`
    pub name: String,
    /// `format_type(atttypid, atttypmod)`, e.g. `character varying(255)`.
    pub type_name: String,
    /// `pg_type.typcategory`: `S` string, `N` number, `D` date/time, `B` boolean, `A` array, `E` enum, `U` user-defined (json, uuid), `R` range …
    pub type_category: char,
    /// `attnotnull`
    pub not_null: bool,
    /// Collation where it differs from the type's default.
    pub collation: Option<String>,
    /// `GENERATED … STORED` or identity.
    pub generated: bool,
    /// From `pg_stats`; `None` when never analysed or not readable.
    pub stats: Option<ColumnStats>,
}

/// Distinct values up to which a column is a category, whose values are schema rather than data. Most enums and states have fewer than 20.
const MAX_CATEGORIES: f64 = 100.0;

impl Column {
    /// Few distinct values however many rows there are: a state, a kind, a country. Its values may be printed, and stand in an index's predicate.
    #[must_use]
    pub fn is_category(&self) -> bool {
        let n_distinct = self.stats.as_ref().map_or(0.0, |stats| stats.n_distinct);
        n_distinct > 0.0 && n_distinct <= MAX_CATEGORIES
    }
}

/// One row of `pg_stats`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ColumnStats {
    /// Share of NULLs, 0–1.
    pub null_frac: f64,
    /// Average width in bytes.
    pub avg_width: u32,
    /// As in `pg_stats`: positive is a count, negative is minus the share of distinct rows, 0 unknown.
    pub n_distinct: f64,
    /// Most common values as text with their frequencies (0–1), most common first.
    pub most_common: Vec<(String, f64)>,
    /// Histogram bounds as text.
    pub histogram: Vec<String>,
    /// Physical to logical order correlation, −1–1.
    pub correlation: Option<f64>,
}

impl ColumnStats {
    /// Estimated number of distinct values in a table of `n_rows` rows; `None` when unknown.
    #[must_use]
    pub fn distinct_values(&self, n_rows: f64) -> Option<f64> {
        match self.n_distinct {
            n if n > 0.0 => Some(n),
            n if n < 0.0 => Some((-n * n_rows).max(1.0)),
            _ => None,
        }
    }
}

/// A foreign key, seen from the referencing table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// `conname`
    pub name: String,
    /// Referencing columns in key order.
    pub columns: Vec<String>,
    /// The referenced table.
    pub references: RelationName,
    /// Referenced columns in key order.
    pub referenced_columns: Vec<String>,
    /// `confdeltype` in words: `NO ACTION`, `RESTRICT`, `CASCADE`, `SET NULL`, `SET DEFAULT`.
    pub on_delete: String,
    /// `convalidated`
    pub validated: bool,
}
