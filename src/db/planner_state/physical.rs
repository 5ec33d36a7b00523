//! Sizes now, and index metadata where pageinspect can be used.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DbError, Reader, USER_SCHEMA, gap};
use crate::catalog::{
    RelationName,
    planner::{GinMeta, HeightSource, PhysicalKind, PhysicalState},
};

/// Range map entries of a BRIN page: `REVMAP_PAGE_MAXITEMS`, (8192 - 24 - 8) / 6.
const BRIN_RANGES_PER_PAGE: u32 = 1360;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<Vec<PhysicalState>, DbError> {
    // a relation that somebody locks exclusively makes pg_relation_size wait: then relpages must do
    let locked = gap(
        "sizes now",
        0,
        "a relation is locked: sizes are those of the last VACUUM or ANALYZE",
    );
    let now = format!(
        "pg_relation_size(c.oid) / {}",
        crate::catalog::planner::BLOCK_BYTES
    );
    let mut states: Vec<PhysicalState> = reader
        .rows_or_gap(locked, &relations(reader.version_num(), &now), &[])
        .await?;
    if states.is_empty() {
        let sql = relations(reader.version_num(), "c.relpages");
        states = reader.rows("reading sizes", &sql, &[]).await?;
    }
    metapages(reader, &mut states).await?;
    states.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(states)
}

fn relations(version: u32, blocks: &str) -> String {
    let frozen = if version >= 180_000 {
        "c.relallfrozen"
    } else {
        "NULL"
    };
    let table_blocks = blocks.replace("c.", "t.");
    format!(
        "SELECT json_build_object('name', json_build_object('schema', n.nspname, 'name', c.relname), 'kind', CASE \
           WHEN c.relkind IN ('p', 'I') THEN 'none' WHEN c.relkind = 'i' THEN CASE am.amname WHEN 'btree' THEN 'btree' WHEN 'gin' THEN 'gin' WHEN 'brin' THEN 'brin' ELSE 'other' END \
           ELSE 'heap' END, \
           'n_blocks', CASE WHEN c.relkind IN ('r', 'm', 'i') THEN {blocks} WHEN c.relkind = 'f' THEN c.relpages ELSE 0 END, \
           'relpages', c.relpages, 'reltuples', c.reltuples, 'relallvisible', c.relallvisible, 'relallfrozen', {frozen}, \
           'height', NULL, 'height_source', 'none', 'no_root', false, 'gin', NULL, \
           'brin', CASE WHEN am.amname = 'brin' AND c.relkind = 'i' THEN json_build_object('last_revmap_page', greatest(1, ceil(({table_blocks})::numeric \
              / coalesce((regexp_match(array_to_string(c.reloptions, ','), 'pages_per_range=(\\d+)'))[1]::int, 128) / {BRIN_RANGES_PER_PAGE}))) END)::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam \
         LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid \
         WHERE c.relkind IN ('r', 'p', 'm', 'f', 'i', 'I') AND c.relpersistence <> 't' AND {USER_SCHEMA}"
    )
}

#[derive(Deserialize)]
struct BtreeMeta {
    name: RelationName,
    root: i64,
    height: u32,
}

#[derive(Deserialize)]
struct GinRow {
    name: RelationName,
    meta: GinMeta,
}

/// Reads metapages, one page an index, where the role may (superuser) and the extension is installed.
async fn metapages(reader: &mut Reader<'_>, states: &mut [PhysicalState]) -> Result<(), DbError> {
    let n_gin = states
        .iter()
        .filter(|s| s.kind == PhysicalKind::Gin)
        .count();
    let schema = if reader.is_superuser {
        pageinspect(reader).await?
    } else {
        None
    };
    // EXPLAIN will tell most of them
    let Some(schema) = schema else { return Ok(()) };
    let heights = gap("heights of b-trees", 0, "worked out from EXPLAIN instead");
    let btrees: Vec<BtreeMeta> = reader
        .rows_or_gap(heights, &btree_sql(&schema), &[])
        .await?;
    let counters = gap("counters of GIN indexes", n_gin, GIN_COST);
    let gins: Vec<GinRow> = reader.rows_or_gap(counters, &gin_sql(&schema), &[]).await?;
    let btrees: BTreeMap<_, _> = btrees.into_iter().map(|m| (m.name.clone(), m)).collect();
    let gins: BTreeMap<_, _> = gins.into_iter().map(|g| (g.name.clone(), g)).collect();
    for state in states {
        if let Some(meta) = btrees.get(&state.name) {
            state.height = Some(meta.height);
            state.height_source = HeightSource::Metapage;
            state.no_root = meta.root == 0;
        }
        if let Some(row) = gins.get(&state.name) {
            state.gin = Some(row.meta);
        }
    }
    Ok(())
}

const GIN_COST: &str = "needs a superuser and pageinspect: costs of GIN scans are some percent off";

async fn pageinspect(reader: &Reader<'_>) -> Result<Option<String>, DbError> {
    let sql = "SELECT to_json(quote_ident(n.nspname))::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pageinspect'";
    let rows: Vec<String> = reader.rows("looking for pageinspect", sql, &[]).await?;
    Ok(rows.into_iter().next())
}

/// Indexes of an access method that have pages: one whose building failed early has none, and no metapage to read.
fn of_method(method: &str) -> String {
    format!(
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = c.relam \
         WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND am.amname = '{method}' AND pg_relation_size(c.oid) > 0 AND {USER_SCHEMA}"
    )
}

const QUALIFIED: &str = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)";

fn btree_sql(schema: &str) -> String {
    format!(
        "SELECT json_build_object('name', json_build_object('schema', x.nspname, 'name', x.relname), 'root', m.root, 'height', m.fastlevel)::text \
         FROM (SELECT n.nspname, c.relname, {QUALIFIED} AS full_name {} OFFSET 0) x, LATERAL {schema}.bt_metap(x.full_name) m",
        of_method("btree")
    )
}

fn gin_sql(schema: &str) -> String {
    format!(
        "SELECT json_build_object('name', json_build_object('schema', x.nspname, 'name', x.relname), 'meta', json_build_object('n_pending_pages', m.n_pending_pages, \
           'n_pending_tuples', m.n_pending_tuples, 'n_total_pages', m.n_total_pages, 'n_entry_pages', m.n_entry_pages, 'n_data_pages', m.n_data_pages, 'n_entries', m.n_entries))::text \
         FROM (SELECT n.nspname, c.relname, {QUALIFIED} AS full_name {} OFFSET 0) x, LATERAL {schema}.gin_metapage_info({schema}.get_raw_page(x.full_name, 0)) m",
        of_method("gin")
    )
}
