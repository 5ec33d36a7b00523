//! What exists in the audited database: relations, columns with their statistics, indexes, foreign keys, usage and settings.
//!
//! Plain data. `db` fills it from `pg_catalog` and the cumulative statistics views; everything above reads it.

mod connections;
mod index;
mod index_compare;
mod index_sql;
pub mod planner;
mod relation;
mod settings;
mod usage;

pub use connections::{BackendGroup, Connections, DatabaseSessions, IdleBackend};
pub use index::{Direction, Index, IndexDef, IndexKey, KeyTarget, Nulls};
pub use index_sql::Build;
pub use relation::{
    Column, ColumnStats, ForeignKey, Persistence, Relation, RelationKind, RelationName,
};
pub use settings::{ExtensionInfo, ServerFacts, Setting, Standby};
pub use usage::{IndexUsage, StatsWindow, TableUsage};

use serde::{Deserialize, Serialize};

/// Everything known about one database, sorted by schema and name so that reports are deterministic.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// The server and the database as a whole.
    pub server: ServerFacts,
    /// User relations (tables, partitioned tables, materialised views, foreign tables, views), sorted by name.
    pub relations: Vec<Relation>,
    /// Objects that could not be read and why; counted in the report, never silently missing.
    pub unread: Vec<String>,
    /// Who was connected, and what became of sessions; `None` where it was not read.
    #[serde(default)]
    pub connections: Option<Box<Connections>>,
}

impl Catalog {
    /// The relation of that exact name.
    #[must_use]
    pub fn relation(&self, name: &RelationName) -> Option<&Relation> {
        self.relations
            .binary_search_by(|relation| relation.name.cmp(name))
            .ok()
            .map(|at| &self.relations[at])
    }

    /// Resolves a possibly unqualified name as Postgres would under the database's `search_path`; where that finds
    /// nothing, a name that exists in exactly one schema is taken.
    #[must_use]
    pub fn resolve(&self, schema: Option<&str>, name: &str) -> Option<&Relation> {
        if let Some(schema) = schema {
            return self.relation(&RelationName::new(schema, name));
        }
        let on_path = self
            .server
            .search_path
            .iter()
            .find_map(|schema| self.relation(&RelationName::new(schema, name)));
        on_path.or_else(|| {
            let mut matching = self.relations.iter().filter(|r| r.name.name == name);
            match (matching.next(), matching.next()) {
                (Some(only), None) => Some(only),
                _ => None,
            }
        })
    }

    /// Every index with the relation it belongs to.
    pub fn indexes(&self) -> impl Iterator<Item = (&Relation, &Index)> {
        self.relations
            .iter()
            .flat_map(|relation| relation.indexes.iter().map(move |index| (relation, index)))
    }
}
