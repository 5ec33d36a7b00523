//! What new indexes do to the statements that write their table: HOT updates lost, and time added.
//!
//! The share of HOT updates is taken apart into what the indexes allow (an update that sets no indexed column may be HOT) and what the pages allow
//! (room for the new version: fillfactor, VACUUM, long transactions). New indexes change the first; the counters tell the second.

use super::{
    Recommendation, WriteEffect,
    write_cost::{Written, entries_per_row, stored_columns},
};
use crate::catalog::{Catalog, IndexDef, Relation};

/// Updates below which the counters say nothing about HOT.
const MIN_UPDATES: u64 = 100;

/// What an UPDATE takes beside its index entries, in entries: it finds the row and writes a version. Measured with pgbench on 15 (`benches/README.md`,
/// "Writes").
const UPDATE_UNITS: f64 = 4.0;

/// The same of an INSERT with the entry of an ascending primary key: 0.016 ms.
const INSERT_UNITS: f64 = 1.0;

/// From this version an index of BRIN does not keep an update from being HOT.
const BRIN_ALLOWS_HOT: u32 = 160_000;

/// One table's writes under all new indexes of it.
struct Effect<'a> {
    relation: &'a Relation,
    new: Vec<(&'a IndexDef, f64)>,
    version_num: u32,
}

impl Written {
    /// The effect on each table that gets new indexes and is written by the workload, in the order of the recommendations.
    pub(super) fn effects(
        &self,
        catalog: &Catalog,
        recommendations: &[Recommendation],
    ) -> Vec<WriteEffect> {
        let mut effects: Vec<WriteEffect> = Vec::new();
        for one in recommendations {
            let is_done = effects
                .iter()
                .any(|effect| effect.relation == one.def.table);
            let Some(relation) = catalog.relation(&one.def.table).filter(|_| !is_done) else {
                continue;
            };
            let of_table = recommendations
                .iter()
                .filter(|r| r.def.table == relation.name);
            let new = of_table.map(|r| (&r.def, share_held(relation, r)));
            let effect = Effect {
                relation,
                new: new.collect(),
                version_num: catalog.server.version_num,
            };
            effects.extend(self.effect(&effect));
        }
        effects
    }

    fn effect(&self, of: &Effect<'_>) -> Option<WriteEffect> {
        let writes: Vec<_> = self.on(&of.relation.name).collect();
        if writes.is_empty() {
            return None;
        }
        let existing: Vec<(&IndexDef, f64)> = of
            .relation
            .indexes
            .iter()
            .filter(|index| index.valid)
            .map(|index| (&index.def, 1.0))
            .collect();
        let (mut rows, mut may, mut may_still) = (0.0, 0.0, 0.0);
        for (set, write) in writes
            .iter()
            .filter_map(|write| Some((write.set.as_ref()?, write)))
        {
            rows += write.n_rows;
            if of.allows_hot(set, &existing) {
                may += write.n_rows;
                may_still += if of.allows_hot(set, &of.new) {
                    write.n_rows
                } else {
                    0.0
                };
            }
        }
        let usage = &of.relation.usage;
        let counted = (usage.n_updates >= MIN_UPDATES)
            .then(|| usage.n_hot_updates as f64 / usage.n_updates as f64);
        let pages_allow = match counted {
            Some(share) if may > 0.0 => (share * rows / may).min(1.0),
            Some(share) => share,
            None => 1.0,
        };
        let share = |n: f64| {
            if rows > 0.0 {
                pages_allow * n / rows
            } else {
                0.0
            }
        };
        let (mut before, mut after) = (0.0, 0.0);
        for write in &writes {
            before += write.total_ms;
            after += write.total_ms * of.ratio(write.set.as_deref(), &existing, pages_allow);
        }
        Some(WriteEffect {
            relation: of.relation.name.clone(),
            hot_share_before: counted.filter(|_| rows > 0.0),
            hot_share_after: counted.filter(|_| rows > 0.0).map(|_| share(may_still)),
            slowdown: (before > 0.0).then(|| after / before),
        })
    }
}

impl Effect<'_> {
    /// Does none of these indexes keep an update of these columns from being HOT?
    fn allows_hot(&self, set: &[String], indexes: &[(&IndexDef, f64)]) -> bool {
        indexes.iter().all(|(def, _)| {
            let is_exempt = def.method == "brin" && self.version_num >= BRIN_ALLOWS_HOT;
            let stored = stored_columns(self.relation, def);
            is_exempt || !set.iter().any(|column| stored.contains(column.as_str()))
        })
    }

    fn entries(&self, indexes: &[(&IndexDef, f64)]) -> f64 {
        let of_index =
            |(def, share): &(&IndexDef, f64)| share * entries_per_row(self.relation, def);
        indexes.iter().map(of_index).sum()
    }

    /// Work of one statement with the new indexes, over its work as things are; `set` is none for an INSERT.
    fn ratio(
        &self,
        set: Option<&[String]>,
        existing: &[(&IndexDef, f64)],
        pages_allow: f64,
    ) -> f64 {
        let (old, new) = (self.entries(existing), self.entries(&self.new));
        let Some(set) = set else {
            let before = INSERT_UNITS + (old - 1.0).max(0.0);
            return (before + new) / before;
        };
        let hot_before = if self.allows_hot(set, existing) {
            pages_allow
        } else {
            0.0
        };
        let hot_after = if self.allows_hot(set, &self.new) {
            hot_before
        } else {
            0.0
        };
        let before = UPDATE_UNITS + (1.0 - hot_before) * old;
        (UPDATE_UNITS + (1.0 - hot_after) * (old + new)) / before
    }
}

/// Share of the table's rows that an index holds, as its size has it.
fn share_held(relation: &Relation, one: &Recommendation) -> f64 {
    if one.def.predicate.is_none() {
        return 1.0;
    }
    let whole = super::size::index_bytes(relation, &one.def, 1.0).max(1);
    (one.size_bytes as f64 / whole as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Column, Index, IndexKey, RelationName, ServerFacts, TableUsage},
        sql::shape,
        workload::{LogStats, Query, Workload},
    };

    fn index(column: &str) -> IndexDef {
        IndexDef {
            table: RelationName::new("public", "t"),
            method: "btree".into(),
            keys: vec![IndexKey::column(column)],
            ..IndexDef::default()
        }
    }

    /// A table with an index on `id`, 90 of 100 updates HOT; the statements run 100 times each, 0.1 ms.
    fn effect(statements: &[&str], column: &str) -> Option<WriteEffect> {
        let catalog = Catalog {
            server: ServerFacts {
                search_path: vec!["public".into()],
                version_num: 150_000,
                ..ServerFacts::default()
            },
            relations: vec![Relation {
                name: RelationName::new("public", "t"),
                columns: ["id", "n", "m"]
                    .map(|name| Column {
                        name: name.into(),
                        ..Column::default()
                    })
                    .into(),
                indexes: vec![Index {
                    def: index("id"),
                    valid: true,
                    ..Index::default()
                }],
                usage: TableUsage {
                    n_updates: 100,
                    n_hot_updates: 90,
                    ..TableUsage::default()
                },
                ..Relation::default()
            }],
            ..Catalog::default()
        };
        let queries = statements.iter().map(|sql| Query {
            shape: Some(Box::new(shape::parse(sql).unwrap())),
            log: Some(LogStats {
                n_calls: 100,
                total_us: 10_000,
                ..LogStats::default()
            }),
            ..Query::default()
        });
        let workload = Workload {
            queries: queries.collect(),
            ..Workload::default()
        };
        let new = Recommendation {
            def: index(column),
            reason: crate::advise::Reason::Plain,
            queries: Vec::new(),
            size_bytes: 0,
            write_cost: 0.0,
            replaces: Vec::new(),
            extension: None,
            condition: None,
            priced: true,
        };
        Written::of(&catalog, &workload)
            .effects(&catalog, &[new])
            .pop()
    }

    #[test]
    fn an_index_on_a_column_that_is_set_loses_those_updates_and_no_others() {
        let statements = [
            "UPDATE t SET n = 1 WHERE id = 1",
            "UPDATE t SET m = 1 WHERE id = 1",
        ];
        let on_set = effect(&statements, "n").unwrap();
        assert!((on_set.hot_share_before.unwrap() - 0.9).abs() < 1e-9);
        assert!((on_set.hot_share_after.unwrap() - 0.45).abs() < 1e-9);
        // before: 4 + 0.1 × 1; after: 4 + 2 for the one that is no longer HOT, 4 + 0.1 × 2 for the other
        let expected = f64::midpoint(6.0 / 4.1, 4.2 / 4.1);
        assert!((on_set.slowdown.unwrap() - expected).abs() < 1e-9);
        let other = effect(&["UPDATE t SET n = 1 WHERE id = 1"], "m").unwrap();
        assert!((other.hot_share_after.unwrap() - 0.9).abs() < 1e-9);
    }

    #[test]
    fn inserts_write_every_index_and_reads_write_none() {
        let inserts = effect(&["INSERT INTO t VALUES (1, 2, 3)"], "n").unwrap();
        assert_eq!(inserts.hot_share_after, None);
        assert!((inserts.slowdown.unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(effect(&["SELECT * FROM t"], "n"), None);
    }
}
