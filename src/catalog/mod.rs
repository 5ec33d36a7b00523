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
mod superfluous;
mod usage;

pub use connections::{BackendGroup, Connections, DatabaseSessions, IdleBackend};
pub use index::{Direction, Index, IndexDef, IndexKey, KeyTarget, Nulls};
pub use index_sql::Build;
pub use relation::{
    Column, ColumnStats, ForeignKey, Persistence, Relation, RelationKind, RelationName,
};
pub use settings::{ExtensionInfo, ServerFacts, Setting, Standby};
pub use superfluous::{MAX_SIZE_FACTOR, Supersedes};
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

    /// Adds what another server of the same data counted of its scans. Returns how many indexes of this catalog it knows; with none it is
    /// another database, and nothing is added.
    pub fn add_replica(&mut self, replica: &Catalog) -> usize {
        let mut n_known = 0;
        for relation in &mut self.relations {
            let Some(other) = replica.relation(&relation.name) else {
                continue;
            };
            relation.usage.n_seq_scans += other.usage.n_seq_scans;
            relation.usage.n_index_scans += other.usage.n_index_scans;
            for index in &mut relation.indexes {
                let same = other.indexes.iter().find(|same| {
                    same.def.name == index.def.name && same.full_definition == index.full_definition
                });
                if let Some(same) = same {
                    n_known += 1;
                    index.usage.add(&same.usage);
                }
            }
        }
        if n_known > 0 {
            self.server.n_replicas += 1;
            self.server.stats_window = self
                .server
                .stats_window
                .shorter(replica.server.stats_window);
        }
        n_known
    }

    /// Every index with the relation it belongs to.
    pub fn indexes(&self) -> impl Iterator<Item = (&Relation, &Index)> {
        self.relations
            .iter()
            .flat_map(|relation| relation.indexes.iter().map(move |index| (relation, index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(n_scans: u64, days: i64, index: &str) -> Catalog {
        let name = RelationName::new("public", "t");
        Catalog {
            server: ServerFacts {
                standbys: vec![Standby::default(), Standby::default()],
                stats_window: StatsWindow {
                    since_us: Some(0),
                    read_at_us: days * 86_400_000_000,
                },
                ..ServerFacts::default()
            },
            relations: vec![Relation {
                indexes: vec![Index {
                    def: IndexDef {
                        table: name.clone(),
                        name: index.to_owned(),
                        ..IndexDef::default()
                    },
                    usage: IndexUsage {
                        n_scans,
                        ..IndexUsage::default()
                    },
                    ..Index::default()
                }],
                name,
                ..Relation::default()
            }],
            ..Catalog::default()
        }
    }

    #[test]
    fn what_a_replica_counted_is_added() {
        let mut primary = catalog(0, 40, "t_a");
        assert_eq!(primary.add_replica(&catalog(7, 10, "t_a")), 1);
        assert_eq!(primary.relations[0].indexes[0].usage.n_scans, 7);
        assert!((primary.server.stats_window.days() - 10.0).abs() < 1e-9);
        assert_eq!(primary.server.n_unseen(), 1);
    }

    #[test]
    fn another_database_adds_nothing() {
        let mut primary = catalog(0, 40, "t_a");
        assert_eq!(primary.add_replica(&catalog(7, 10, "u_a")), 0);
        assert_eq!(primary.relations[0].indexes[0].usage.n_scans, 0);
        assert_eq!(primary.server.n_unseen(), 2);
    }

    #[test]
    fn a_standby_does_not_know_what_its_primary_counted() {
        let standby = ServerFacts {
            is_standby: true,
            ..ServerFacts::default()
        };
        assert_eq!(standby.n_unseen(), 1);
    }
}
