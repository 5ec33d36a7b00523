//! What is written into the twin's files while its server is down: sizes, heights, counters, ends.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    TwinError,
    files::{DataDir, FileError},
    key::KeyImage,
    page::{
        MAX_HEIGHT, btree_chain, patch_brin_meta, patch_btree_meta, patch_gin_meta, visibility_map,
    },
};
use crate::{
    catalog::{
        RelationName,
        planner::{Endpoint, PhysicalKind, PhysicalState},
    },
    db::OwnedSession,
};

/// A relation of the twin with its file.
#[derive(Debug, Clone)]
pub(super) struct RelationFile {
    pub(super) name: RelationName,
    /// `pg_relation_filepath`
    pub(super) path: String,
    /// Number of columns of an index.
    pub(super) n_columns: usize,
    /// Leading plain column of a complete b-tree: table, its path, column, descending.
    pub(super) lead: Option<Lead>,
}

/// What a b-tree's first key is.
#[derive(Debug, Clone)]
pub(super) struct Lead {
    table: RelationName,
    table_path: String,
    column: String,
    descending: bool,
}

/// All relations with files.
pub(super) async fn relations(session: &OwnedSession) -> Result<Vec<RelationFile>, TwinError> {
    let sql = "SELECT n.nspname::text, c.relname::text, pg_relation_filepath(c.oid), coalesce(i.indnatts, 0)::int4, \
          tn.nspname::text, t.relname::text, pg_relation_filepath(t.oid), a.attname::text, coalesce(i.indoption[0] & 1 = 1, false) \
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam \
        LEFT JOIN pg_index i ON i.indexrelid = c.oid AND am.amname = 'btree' LEFT JOIN pg_class t ON t.oid = i.indrelid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace \
        LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] AND a.attnum > 0 AND i.indpred IS NULL \
        WHERE c.relkind IN ('r', 'i', 'm') AND c.oid >= 16384 AND n.nspname !~ '^pg_' ORDER BY c.oid";
    let rows = session.query(sql, &[]).await.map_err(TwinError::own)?;
    Ok(rows
        .iter()
        .map(|row| {
            let column: Option<String> = row.get(7);
            let lead = column.and_then(|column| {
                Some(Lead {
                    table: RelationName::new(
                        row.get::<_, Option<String>>(4)?,
                        row.get::<_, Option<String>>(5)?,
                    ),
                    table_path: row.get::<_, Option<String>>(6)?,
                    column,
                    descending: row.get(8),
                })
            });
            RelationFile {
                name: RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1)),
                path: row.get::<_, Option<String>>(2).unwrap_or_default(),
                n_columns: row.get::<_, i32>(3) as usize,
                lead,
            }
        })
        .collect())
}

/// Patches every file that the state knows.
pub(super) fn apply(
    data: &DataDir,
    files: &[RelationFile],
    states: &[PhysicalState],
    endpoints: &[Endpoint],
) -> Result<(), FileError> {
    let states: BTreeMap<&RelationName, &PhysicalState> =
        states.iter().map(|state| (&state.name, state)).collect();
    let ends: BTreeMap<(&RelationName, &str), &Endpoint> = endpoints
        .iter()
        .map(|end| ((&end.table, end.column.as_str()), end))
        .collect();
    let mut visible = BTreeSet::new();
    for file in files {
        let Some(state) = states.get(&file.name) else {
            continue;
        };
        match state.kind {
            PhysicalKind::None => {}
            PhysicalKind::Heap => data.set_blocks(&file.path, state.n_blocks)?,
            PhysicalKind::Btree => {
                let keys = file.lead.as_ref().map(|lead| (lead, keys(lead, &ends)));
                let found = keys.as_ref().map_or(&[][..], |(_, keys)| keys);
                index(data, &file.path, state, found, file.n_columns)?;
                if let Some((lead, keys)) = &keys
                    && !keys.is_empty()
                {
                    visible.insert(lead.table_path.clone());
                }
            }
            PhysicalKind::Gin | PhysicalKind::Brin | PhysicalKind::Other => {
                other(data, &file.path, state)?;
            }
        }
    }
    for path in visible {
        data.write_visibility_map(&path, &visibility_map())?;
    }
    Ok(())
}

/// The same for one index.
pub(super) fn keys_of(lead: &Lead, endpoints: &[Endpoint]) -> Vec<KeyImage> {
    let ends = endpoints
        .iter()
        .map(|end| ((&end.table, end.column.as_str()), end));
    keys(lead, &ends.collect())
}

/// Both ends of an index in its order, or none when one can't be written.
fn keys(lead: &Lead, ends: &BTreeMap<(&RelationName, &str), &Endpoint>) -> Vec<KeyImage> {
    let Some(end) = ends.get(&(&lead.table, lead.column.as_str())) else {
        return Vec::new();
    };
    let both = [&end.min, &end.max].map(|text| KeyImage::parse(&end.type_name, text));
    let [Some(min), Some(max)] = both else {
        return Vec::new();
    };
    if lead.descending {
        vec![max, min]
    } else {
        vec![min, max]
    }
}

/// Patches one index, as [`apply`] does.
pub(super) fn index(
    data: &DataDir,
    path: &str,
    state: &PhysicalState,
    keys: &[KeyImage],
    n_columns: usize,
) -> Result<(), FileError> {
    if state.kind != PhysicalKind::Btree {
        return other(data, path, state);
    }
    let height = state.height.unwrap_or(0).min(MAX_HEIGHT);
    if state.no_root || state.n_blocks <= 1 {
        return data.set_blocks(path, state.n_blocks.max(1));
    }
    write_tree(data, path, state.n_blocks, height, keys, n_columns)
}

/// A b-tree of that size and height: metapage, a chain down to one leaf, and nothing behind.
fn write_tree(
    data: &DataDir,
    path: &str,
    n_blocks: u64,
    height: u32,
    keys: &[KeyImage],
    n_columns: usize,
) -> Result<(), FileError> {
    let mut meta = data.read_first(path)?;
    patch_btree_meta(&mut meta, height);
    // a tree of that height has a page on each level at least
    data.set_blocks(path, n_blocks.max(u64::from(height) + 2))?;
    data.write_pages(path, 0, &[meta])?;
    data.write_pages(path, 1, &btree_chain(height, keys, n_columns))
}

/// Never shorter than what CREATE INDEX wrote: those pages are read.
fn other(data: &DataDir, path: &str, state: &PhysicalState) -> Result<(), FileError> {
    data.set_blocks(path, state.n_blocks.max(data.n_blocks_of_first(path)?))?;
    if state.gin.is_none() && state.brin.is_none() {
        return Ok(());
    }
    let mut meta = data.read_first(path)?;
    if let Some(gin) = &state.gin {
        patch_gin_meta(&mut meta, gin);
    }
    if let Some(brin) = state.brin {
        patch_brin_meta(&mut meta, brin);
    }
    data.write_pages(path, 0, &[meta])
}
