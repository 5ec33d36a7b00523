//! What an index costs to maintain over the observed window: entries written, HOT updates lost included.
//!
//! Counted from the workload's own statements, whose window is the one that gains are counted over. The table counters cover other
//! windows and hold initial loads, so only their HOT share is used.

use std::collections::BTreeSet;

use crate::{
    catalog::{Catalog, IndexDef, KeyTarget, Relation, RelationName},
    sql::{
        StatementKind, canonical,
        shape::{QueryShape, Scan, ScanRole},
    },
    workload::{Query, Workload},
};

/// Planner units of one b-tree entry written: the descent is cached, the leaf is dirtied and logged. A unit is about a page read in sequence
/// (some 10 µs from cache), and one more b-tree costs a single-row INSERT about as much.
const COST_PER_ENTRY: f64 = 1.0;

/// Bytes of a value that make one GIN entry: a word, an array's element, a key of a document.
const BYTES_PER_GIN_ENTRY: f64 = 8.0;

/// Entries of one row that are counted at most: the pending list takes them in one go.
const MAX_GIN_ENTRIES: f64 = 20.0;

/// BRIN touches a summary once per range of pages, not per row.
const BRIN_ENTRIES: f64 = 0.02;

/// What the workload writes.
#[derive(Debug, Default)]
pub(super) struct Written {
    writes: Vec<Write>,
}

#[derive(Debug)]
pub(super) struct Write {
    relation: RelationName,
    /// Columns set; `None` for an INSERT, which writes every index.
    pub(super) set: Option<Vec<String>>,
    pub(super) n_rows: f64,
    pub(super) total_ms: f64,
}

impl Written {
    pub(super) fn of(catalog: &Catalog, workload: &Workload) -> Self {
        let writes = workload.queries.iter().filter_map(|query| {
            let shape = query.shape.as_deref()?;
            let scan = written_scan(shape)?;
            let relation = catalog.resolve(scan.relation.schema.as_deref(), &scan.relation.name)?;
            Some(Write {
                relation: relation.name.clone(),
                set: (shape.kind != StatementKind::Insert).then(|| shape.written_columns.clone()),
                n_rows: rows_written(query, shape),
                total_ms: query.total_ms(),
            })
        });
        Self {
            writes: writes.collect(),
        }
    }

    /// The statements that write a table.
    pub(super) fn on<'w>(&'w self, relation: &'w RelationName) -> impl Iterator<Item = &'w Write> {
        self.writes
            .iter()
            .filter(move |write| write.relation == *relation)
    }

    /// Does an UPDATE of the workload set this column?
    pub(super) fn is_set(&self, relation: &RelationName, column: &str) -> bool {
        self.writes.iter().any(|write| {
            let sets = |set: &Vec<String>| set.iter().any(|name| name == column);
            write.relation == *relation && write.set.as_ref().is_some_and(sets)
        })
    }

    /// Price in planner units of keeping `def` over the window, `selectivity` being the share of rows it holds.
    pub(super) fn cost(&self, relation: &Relation, def: &IndexDef, selectivity: f64) -> f64 {
        let stored = stored_columns(relation, def);
        let usage = &relation.usage;
        let hot_share = match usage.n_updates {
            0 => 0.0,
            n => usage.n_hot_updates as f64 / n as f64,
        };
        let n_others = relation.indexes.len() as f64;
        let mut entries = 0.0;
        for write in self.writes.iter().filter(|w| w.relation == relation.name) {
            entries += match &write.set {
                None => write.n_rows * selectivity,
                Some(set) if set.iter().any(|column| stored.contains(column.as_str())) => {
                    write.n_rows * (selectivity + hot_share * n_others)
                }
                Some(_) => write.n_rows * (1.0 - hot_share) * selectivity,
            };
        }
        entries * COST_PER_ENTRY * entries_per_row(relation, def)
    }
}

/// Entries that one row makes: an element each in GIN, next to none in BRIN.
pub(super) fn entries_per_row(relation: &Relation, def: &IndexDef) -> f64 {
    match def.method.as_str() {
        "gin" => {
            let widths = def.keys.iter().map(|key| {
                let column = key.column_name().and_then(|name| relation.column(name));
                let stats = column.and_then(|column| column.stats.as_ref());
                stats.map_or(BYTES_PER_GIN_ENTRY, |stats| f64::from(stats.avg_width))
            });
            (widths.sum::<f64>() / BYTES_PER_GIN_ENTRY).clamp(1.0, MAX_GIN_ENTRIES)
        }
        "brin" => BRIN_ENTRIES,
        _ => 1.0,
    }
}

/// The scan that INSERT … VALUES, UPDATE and MERGE write; bulk loads (INSERT … SELECT, COPY) and DELETE write no entries worth counting.
fn written_scan(shape: &QueryShape) -> Option<&Scan> {
    match shape.kind {
        StatementKind::Insert if shape.n_value_tuples > 0 => shape
            .scans
            .iter()
            .find(|scan| scan.role == ScanRole::InsertInto),
        StatementKind::Update | StatementKind::Merge => shape
            .scans
            .iter()
            .find(|scan| scan.role == ScanRole::Target),
        _ => None,
    }
}

fn rows_written(query: &Query, shape: &QueryShape) -> f64 {
    match &query.pgss {
        Some(pgss) => pgss.n_rows as f64,
        None => query.n_calls() as f64 * f64::from(shape.n_value_tuples.max(1)),
    }
}

/// Columns whose change makes an index entry change: keys, INCLUDE, and those that its expressions and predicate name.
pub(super) fn stored_columns<'r>(relation: &'r Relation, def: &IndexDef) -> BTreeSet<&'r str> {
    let mut texts: Vec<String> = def
        .keys
        .iter()
        .filter_map(|key| match &key.target {
            KeyTarget::Expression(text) => Some(text.clone()),
            KeyTarget::Column(_) => None,
        })
        .collect();
    texts.extend(def.predicate.as_deref().map(canonical::expression));
    let is_named = |name: &str| {
        texts.iter().any(|text| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == name)
        })
    };
    let columns = relation.columns.iter().map(|column| column.name.as_str());
    columns
        .filter(|&name| {
            def.key_columns().contains(&name)
                || def.include.iter().any(|column| column == name)
                || is_named(name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Column, Index, IndexKey, TableUsage},
        sql::shape,
    };

    fn catalog() -> Catalog {
        Catalog {
            relations: vec![Relation {
                name: RelationName::new("public", "t"),
                columns: ["id", "n"]
                    .map(|name| Column {
                        name: name.into(),
                        ..Column::default()
                    })
                    .into(),
                indexes: vec![Index::default()],
                usage: TableUsage {
                    n_updates: 100,
                    n_hot_updates: 90,
                    ..TableUsage::default()
                },
                ..Relation::default()
            }],
            ..Catalog::default()
        }
    }

    fn cost(statement: &str, column: &str) -> f64 {
        let mut query = Query {
            shape: Some(Box::new(shape::parse(statement).unwrap())),
            ..Query::default()
        };
        query.log = Some(crate::workload::LogStats {
            n_calls: 1_000,
            ..Default::default()
        });
        let catalog = Catalog {
            server: crate::catalog::ServerFacts {
                search_path: vec!["public".into()],
                ..Default::default()
            },
            ..catalog()
        };
        let workload = Workload {
            queries: vec![query],
            ..Workload::default()
        };
        let def = IndexDef {
            keys: vec![IndexKey::column(column)],
            ..IndexDef::default()
        };
        Written::of(&catalog, &workload).cost(&catalog.relations[0], &def, 1.0)
    }

    #[test]
    fn an_index_on_an_updated_column_loses_hot_updates() {
        assert!((cost("UPDATE t SET n = 1 WHERE id = 1", "id") - 100.0).abs() < 1e-6);
        assert!((cost("UPDATE t SET n = 1 WHERE id = 1", "n") - 1_900.0).abs() < 1e-6);
        assert!((cost("INSERT INTO t VALUES (1, 2), (3, 4)", "n") - 2_000.0).abs() < 1e-6);
        assert!(cost("SELECT * FROM t", "n").abs() < 1e-6);
    }
}
