//! Index definitions: what `pg_index` and `pg_get_indexdef` say, in a form that can be compared and rendered.

use serde::{Deserialize, Serialize};

use super::{IndexUsage, RelationName};

/// What an index is, apart from how it is doing: enough to create it, and to compare two of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexDef {
    /// The indexed relation.
    pub table: RelationName,
    /// Index name (same schema as the table).
    pub name: String,
    /// Access method: `btree`, `gin`, `gist`, `brin`, `hash`, `spgist`, …
    pub method: String,
    /// `indisunique`
    pub unique: bool,
    /// Key columns and expressions in order.
    pub keys: Vec<IndexKey>,
    /// INCLUDE columns in order.
    pub include: Vec<String>,
    /// WHERE clause as Postgres prints it, without outer parentheses.
    pub predicate: Option<String>,
}

/// One key of an index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexKey {
    /// Column or expression.
    pub target: KeyTarget,
    /// Operator class where it isn't the type's default.
    pub opclass: Option<String>,
    /// Collation where it isn't the column's.
    pub collation: Option<String>,
    /// ASC or DESC.
    pub direction: Direction,
    /// NULLS FIRST or LAST; the default follows the direction.
    pub nulls: Nulls,
}

impl IndexKey {
    /// An ascending key on a plain column.
    pub fn column(name: impl Into<String>) -> Self {
        Self {
            target: KeyTarget::Column(name.into()),
            opclass: None,
            collation: None,
            direction: Direction::Asc,
            nulls: Nulls::Last,
        }
    }

    /// The column's name, if the key is a plain column.
    #[must_use]
    pub fn column_name(&self) -> Option<&str> {
        match &self.target {
            KeyTarget::Column(name) => Some(name),
            KeyTarget::Expression(_) => None,
        }
    }
}

/// What a key indexes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyTarget {
    /// A column, by name.
    Column(String),
    /// An expression as SQL, without outer parentheses.
    Expression(String),
}

/// Sort direction of a key.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// ASC
    #[default]
    Asc,
    /// DESC
    Desc,
}

/// Where NULLs sort.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Nulls {
    /// NULLS FIRST (default of DESC)
    First,
    /// NULLS LAST (default of ASC)
    #[default]
    Last,
}

/// An index that exists, with its state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Index {
    /// `pg_class.oid` of the index.
    pub oid: u32,
    /// Its definition.
    pub def: IndexDef,
    /// `pg_get_indexdef`, for a true down migration.
    pub full_definition: String,
    /// `indisprimary`
    pub primary: bool,
    /// `indisexclusion`
    pub exclusion: bool,
    /// Name of the constraint that owns it, if any.
    pub constraint: Option<String>,
    /// `indisvalid`
    pub valid: bool,
    /// `indisready`
    pub ready: bool,
    /// `indisreplident`
    pub replica_identity: bool,
    /// Attached to a partitioned index (or itself the partitioned parent).
    pub partitioned: bool,
    /// A foreign key of another table depends on it (`pg_constraint.conindid`).
    pub supports_foreign_key: bool,
    /// A build is in progress (`pg_stat_progress_create_index`).
    pub building: bool,
    /// `pg_relation_size`, bytes.
    pub size_bytes: u64,
    /// Usage counters.
    pub usage: IndexUsage,
}
