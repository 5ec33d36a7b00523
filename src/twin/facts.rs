//! What the twin's own catalogs and planner say of an index that has just been made: the input of the size estimate.

use super::{
    Twin, TwinError,
    estimate::{IndexFacts, KeyColumn, estimate},
    explain,
    patch::{self, write_tree},
    what_if::MadeIndex,
};
use crate::{
    catalog::{IndexDef, RelationName},
    db::{OwnedSession, Row},
};

/// A table with pages.
#[derive(Debug, Clone)]
pub(super) struct Heap {
    pub(super) name: RelationName,
    pub(super) path: String,
}

/// The table, or all leaves of a partitioned one.
pub(super) async fn heaps(
    superuser: &OwnedSession,
    table: &RelationName,
) -> Result<Vec<Heap>, TwinError> {
    let sql = "WITH RECURSIVE tree(oid) AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
        UNION ALL SELECT h.inhrelid FROM pg_inherits h JOIN tree ON tree.oid = h.inhparent JOIN pg_class p ON p.oid = tree.oid AND p.relkind = 'p') \
        SELECT n.nspname::text, c.relname::text, pg_relation_filepath(c.oid) FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'm') ORDER BY c.oid";
    let rows = superuser
        .query(sql, &[&table.schema, &table.name])
        .await
        .map_err(TwinError::own)?;
    Ok(rows
        .iter()
        .map(|row| Heap {
            name: RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1)),
            path: row.get(2),
        })
        .collect())
}

/// The index of that name and those attached to it, parent first.
pub(super) async fn tree(
    superuser: &OwnedSession,
    schema: &str,
    name: &str,
) -> Result<Vec<MadeIndex>, TwinError> {
    let sql = "WITH RECURSIVE tree(oid, depth) AS (SELECT c.oid, 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
        UNION ALL SELECT h.inhrelid, depth + 1 FROM pg_inherits h JOIN tree ON tree.oid = h.inhparent) \
        SELECT c.oid, c.relname::text FROM tree JOIN pg_class c ON c.oid = tree.oid ORDER BY depth, c.oid";
    let rows = superuser
        .query(sql, &[&schema, &name])
        .await
        .map_err(TwinError::own)?;
    Ok(rows
        .iter()
        .map(|row| MadeIndex {
            oid: row.get(0),
            name: row.get(1),
        })
        .collect())
}

impl Twin {
    /// Estimates an index's size and writes it into file and catalog. Returns its blocks; 0 for the parent on a partitioned table.
    pub(super) async fn give_size(
        &self,
        superuser: &OwnedSession,
        def: &IndexDef,
        oid: u32,
    ) -> Result<u64, TwinError> {
        let head = superuser
            .query_one(HEAD, &[&oid])
            .await
            .map_err(TwinError::own)?;
        let path: Option<String> = head.get("path");
        let Some(path) = path else { return Ok(0) };
        let facts = self.facts(superuser, &head, oid, def).await?;
        let size = estimate(&facts);
        let n_columns = facts.columns.len();
        if facts.method == "btree" && size.n_blocks > 1 {
            let files = patch::relations(superuser).await?;
            let keys = files
                .iter()
                .find(|file| file.path == path)
                .and_then(|file| file.lead.as_ref())
                .map(|lead| patch::keys_of(lead, &self.state.endpoints))
                .unwrap_or_default();
            write_tree(
                &self.data,
                &path,
                size.n_blocks,
                size.height,
                &keys,
                n_columns,
            )?;
        } else {
            let least = self.data.n_blocks_of_first(&path)?;
            self.data.set_blocks(&path, size.n_blocks.max(least))?;
        }
        let sql = "UPDATE pg_class SET relpages = $2, reltuples = $3 WHERE oid = $1";
        let relpages = i32::try_from(size.n_blocks).unwrap_or(i32::MAX);
        superuser
            .execute(sql, &[&oid, &relpages, &(facts.n_rows as f32)])
            .await
            .map_err(TwinError::own)?;
        Ok(size.n_blocks)
    }

    async fn facts(
        &self,
        superuser: &OwnedSession,
        head: &Row,
        oid: u32,
        def: &IndexDef,
    ) -> Result<IndexFacts, TwinError> {
        let rows = superuser
            .query(COLUMNS, &[&oid])
            .await
            .map_err(TwinError::own)?;
        let columns: Vec<KeyColumn> = rows
            .iter()
            .map(|row| KeyColumn {
                length: row.get("length"),
                align: f64::from(row.get::<_, i32>("align")),
                width: f64::from(row.get::<_, i32>("width")),
                null_frac: f64::from(row.get::<_, f32>("null_frac")),
            })
            .collect();
        let table: String = head.get("table_name");
        let condition = def
            .predicate
            .as_ref()
            .map(|p| format!(" WHERE {p}"))
            .unwrap_or_default();
        let n_rows = match condition.as_str() {
            "" => f64::from(head.get::<_, f32>("reltuples")).max(0.0),
            _ => self
                .rows_of(&format!("SELECT 1 FROM ONLY {table}{condition}"))
                .await
                .unwrap_or(0.0),
        };
        let keys: Option<String> = head.get("keys");
        let n_keys = match keys {
            Some(keys) => self
                .rows_of(&format!(
                    "SELECT 1 FROM ONLY {table}{condition} GROUP BY {keys}"
                ))
                .await
                .unwrap_or(n_rows),
            None => n_rows,
        };
        let elements = rows.first();
        Ok(IndexFacts {
            method: head.get("method"),
            n_rows,
            n_keys: n_keys.clamp(1.0, n_rows.max(1.0)),
            deduplicates: head.get("deduplicates"),
            n_heap_pages: f64::from(head.get::<_, i32>("relpages")),
            pages_per_range: f64::from(head.get::<_, i32>("pages_per_range")),
            elements_per_row: elements
                .and_then(|row| row.get::<_, Option<f32>>("elements_per_row"))
                .map_or(ELEMENTS_PER_ROW, f64::from),
            n_elements: elements
                .and_then(|row| row.get::<_, Option<i32>>("n_elements"))
                .map_or(n_keys, f64::from)
                .max(1.0),
            columns,
        })
    }

    /// The planner's own estimate of a statement's rows.
    async fn rows_of(&self, sql: &str) -> Option<f64> {
        let session = self.planner_session().await.ok()?;
        let plan = explain::explain(&session, sql, &["pg_catalog".to_owned()])
            .await
            .ok()?;
        plan[0]["Plan"]["Plan Rows"].as_f64()
    }
}

/// Elements of a value in a GIN index without statistics of them.
const ELEMENTS_PER_ROW: f64 = 8.0;

const HEAD: &str = "SELECT pg_relation_filepath(c.oid) AS path, am.amname::text AS method, quote_ident(tn.nspname) || '.' || quote_ident(t.relname) AS table_name, \
      t.reltuples, t.relpages, coalesce((regexp_match(array_to_string(c.reloptions, ','), 'pages_per_range=(\\d+)'))[1]::int4, 128) AS pages_per_range, \
      CASE WHEN am.amname IN ('btree', 'hash') THEN (SELECT string_agg(pg_get_indexdef(c.oid, k, true), ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) k) END AS keys, \
      i.indnkeyatts = i.indnatts AND NOT EXISTS (SELECT FROM unnest(i.indclass) u(oid) JOIN pg_opclass o ON o.oid = u.oid \
        WHERE NOT EXISTS (SELECT FROM pg_amproc p WHERE p.amprocfamily = o.opcfamily AND p.amproclefttype = o.opcintype AND p.amprocrighttype = o.opcintype AND p.amprocnum = 4)) AS deduplicates \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
    WHERE i.indexrelid = $1";

const COLUMNS: &str = "SELECT a.attlen AS length, CASE a.attalign WHEN 'c' THEN 1 WHEN 's' THEN 2 WHEN 'i' THEN 4 ELSE 8 END AS align, \
      CASE WHEN a.attlen > 0 THEN a.attlen::int4 ELSE coalesce(s.stawidth, 32) END AS width, coalesce(s.stanullfrac, 0) AS null_frac, \
      CASE WHEN s.stakind1 = 5 THEN s.stanumbers1[cardinality(s.stanumbers1)] WHEN s.stakind2 = 5 THEN s.stanumbers2[cardinality(s.stanumbers2)] \
           WHEN s.stakind3 = 5 THEN s.stanumbers3[cardinality(s.stanumbers3)] WHEN s.stakind4 = 5 THEN s.stanumbers4[cardinality(s.stanumbers4)] \
           WHEN s.stakind5 = 5 THEN s.stanumbers5[cardinality(s.stanumbers5)] END AS elements_per_row, \
      CASE WHEN s.stakind1 = 4 THEN cardinality(s.stanumbers1) WHEN s.stakind2 = 4 THEN cardinality(s.stanumbers2) WHEN s.stakind3 = 4 THEN cardinality(s.stanumbers3) \
           WHEN s.stakind4 = 4 THEN cardinality(s.stanumbers4) WHEN s.stakind5 = 4 THEN cardinality(s.stanumbers5) END AS n_elements \
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum > 0 \
    LEFT JOIN pg_statistic s ON s.starelid = i.indrelid AND s.staattnum = i.indkey[a.attnum - 1] AND NOT s.stainherit \
    WHERE i.indexrelid = $1 ORDER BY a.attnum";
