//! `pg_class` with sizes, usage counters, inheritance and row security.

use std::collections::BTreeMap;

use tokio_postgres::{Row, types::Type};

use super::{MAX_RELATIONS, name};
use crate::{
    catalog::{Persistence, Relation, RelationKind, RelationName, TableUsage},
    db::{
        audited::Audited,
        error::{DbError, DbErrorKind},
        rows::Columns,
    },
};

const READING: &str = "reading relations";

/// What was found, and what could not be read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) relations: Vec<Relation>,
    pub(super) unread: Vec<String>,
}

pub(super) async fn read(audited: &Audited) -> Result<Read, DbError> {
    let mut unread = Vec::new();
    let rows = match query(audited, Size::Measured).await {
        // somebody holds a table exclusively, and measuring waits for them: what the statistics say must do
        Err(error) if error.kind() == DbErrorKind::Timeout => {
            unread.push(
                "sizes now: a table is locked, sizes of the last ANALYZE are used".to_owned(),
            );
            query(audited, Size::LastAnalyze).await?
        }
        rows => rows?,
    };
    if i64::try_from(rows.len()).is_ok_and(|n| n >= MAX_RELATIONS) {
        unread.push(format!(
            "more than {MAX_RELATIONS} relations: the smallest were left out"
        ));
    }
    let mut relations = Vec::with_capacity(rows.len());
    let mut n_denied = 0_u64;
    let mut n_row_security = 0_u64;
    for row in &rows {
        let (relation, access) = relation(row, audited.version_num())?;
        n_denied += u64::from(access == Access::Denied);
        n_row_security += u64::from(access == Access::RowSecurity);
        relations.push(relation);
    }
    if n_denied > 0 {
        unread.push(format!(
            "column statistics of {n_denied} relations: no SELECT privilege"
        ));
    }
    if n_row_security > 0 {
        unread.push(format!(
            "column statistics of {n_row_security} relations: row security applies to this role"
        ));
    }
    relations.sort_by(|a, b| a.name.cmp(&b.name));
    add_partition_leaves(&mut relations);
    Ok(Read { relations, unread })
}

/// May the role see column statistics?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Granted,
    Denied,
    RowSecurity,
}

/// Where sizes come from.
#[derive(Debug, Clone, Copy)]
enum Size {
    /// `pg_relation_size`: takes a lock for a moment.
    Measured,
    /// `relpages`: no lock.
    LastAnalyze,
}

async fn query(audited: &Audited, size: Size) -> Result<Vec<Row>, DbError> {
    let size = match size {
        Size::Measured => "pg_relation_size(c.oid)",
        Size::LastAnalyze => "c.relpages::int8 * current_setting('block_size')::int8",
    };
    let guarded = audited.begin().await?;
    let rows = guarded
        .query(
            READING,
            &relations_sql(size),
            &[(&MAX_RELATIONS, Type::INT8)],
        )
        .await;
    if rows.is_err() {
        // the transaction is aborted; ROLLBACK still confirms that the connection is sound
        guarded.end().await.ok();
        return rows;
    }
    guarded.end().await?;
    rows
}

/// Counters straight from their functions: the view `pg_stat_all_tables` joins and groups all indexes first.
fn relations_sql(size: &str) -> String {
    format!(
        "SELECT /* pgassay */ c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, \
         c.reltuples::float8, c.relpages::int8, c.relallvisible::int8, \
         CASE WHEN c.relkind IN ('r', 'm') THEN {size} ELSE 0 END, \
         pg_stat_get_numscans(c.oid), pg_stat_get_tuples_returned(c.oid), pg_stat_get_tuples_inserted(c.oid), \
         pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_hot_updated(c.oid), pg_stat_get_tuples_deleted(c.oid), \
         pg_stat_get_live_tuples(c.oid), pg_stat_get_dead_tuples(c.oid), pg_stat_get_mod_since_analyze(c.oid), \
         (extract(epoch FROM greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid))) * 1000000)::int8, \
         pn.nspname::text, p.relname::text, c.relrowsecurity, \
         EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'), \
         has_any_column_privilege(c.oid, 'SELECT'), c.relrowsecurity AND row_security_active(c.oid), \
         current_setting('block_size')::int8 \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhseqno = 1 \
         LEFT JOIN pg_class p ON p.oid = i.inhparent LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema' \
         ORDER BY c.relpages DESC, c.oid LIMIT $1"
    )
}

fn relation(row: &Row, version_num: u32) -> Result<(Relation, Access), DbError> {
    let mut columns = Columns::of(row, READING);
    let oid = columns.next()?;
    let name = name(columns.next()?, columns.next()?);
    let kind = kind(columns.next()?);
    let persistence = persistence(columns.next()?);
    let tuples: f64 = columns.next()?;
    let pages_then = columns.next_count()?;
    let n_all_visible_pages = columns.next_count()?;
    let size_bytes = columns.next_count()?;
    let usage = usage(&mut columns)?;
    let parent_schema: Option<String> = columns.next()?;
    let parent_name: Option<String> = columns.next()?;
    let has_row_security = columns.next()?;
    let of_extension = columns.next()?;
    let may_select: bool = columns.next()?;
    let is_row_security_active: bool = columns.next()?;
    let block_size = columns.next_count()?.max(1);
    let relation = Relation {
        oid,
        name,
        kind,
        persistence,
        n_rows: n_rows(tuples, pages_then, version_num),
        n_pages: size_bytes / block_size,
        n_all_visible_pages,
        size_bytes,
        usage,
        parent: parent_schema
            .zip(parent_name)
            .map(|(schema, name)| RelationName { schema, name }),
        has_row_security,
        of_extension,
        ..Relation::default()
    };
    let access = match (may_select, is_row_security_active) {
        (false, _) => Access::Denied,
        (true, true) => Access::RowSecurity,
        (true, false) => Access::Granted,
    };
    Ok((relation, access))
}

/// Before 14, a table that was never analysed says 0 rows in 0 pages; since then it says -1.
fn n_rows(tuples: f64, pages: u64, version_num: u32) -> Option<f64> {
    let is_unknown = tuples < 0.0 || (version_num < 140_000 && tuples == 0.0 && pages == 0);
    (!is_unknown).then_some(tuples)
}

fn usage(columns: &mut Columns<'_>) -> Result<TableUsage, DbError> {
    Ok(TableUsage {
        n_seq_scans: columns.next_count()?,
        n_seq_rows_read: columns.next_count()?,
        n_inserts: columns.next_count()?,
        n_updates: columns.next_count()?,
        n_hot_updates: columns.next_count()?,
        n_deletes: columns.next_count()?,
        n_live_rows: columns.next_count()?,
        n_dead_rows: columns.next_count()?,
        n_modified_since_analyze: columns.next_count()?,
        last_analyze_us: columns.next()?,
        // added up from the indexes
        n_index_scans: 0,
    })
}

fn kind(relkind: &str) -> RelationKind {
    match relkind {
        "p" => RelationKind::PartitionedTable,
        "m" => RelationKind::MaterializedView,
        "v" => RelationKind::View,
        "f" => RelationKind::ForeignTable,
        _ => RelationKind::Table,
    }
}

fn persistence(relpersistence: &str) -> Persistence {
    match relpersistence {
        "u" => Persistence::Unlogged,
        "t" => Persistence::Temporary,
        _ => Persistence::Permanent,
    }
}

/// Hands every leaf to all partitioned tables above it.
fn add_partition_leaves(relations: &mut [Relation]) {
    let parents: BTreeMap<RelationName, RelationName> = relations
        .iter()
        .filter_map(|r| Some((r.name.clone(), r.parent.clone()?)))
        .collect();
    let mut leaves: BTreeMap<RelationName, Vec<RelationName>> = BTreeMap::new();
    for relation in relations
        .iter()
        .filter(|r| r.kind != RelationKind::PartitionedTable)
    {
        let mut above = parents.get(&relation.name);
        while let Some(parent) = above {
            leaves
                .entry(parent.clone())
                .or_default()
                .push(relation.name.clone());
            above = parents.get(parent);
        }
    }
    for relation in relations
        .iter_mut()
        .filter(|r| r.kind == RelationKind::PartitionedTable)
    {
        // relations are sorted by name, so their leaves are too
        relation.partition_leaves = leaves.remove(&relation.name).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_analysed_is_not_empty() {
        assert_eq!(n_rows(-1.0, 0, 150_000), None);
        assert_eq!(n_rows(0.0, 0, 130_000), None);
        assert_eq!(n_rows(0.0, 0, 150_000), Some(0.0));
        assert_eq!(n_rows(7.0, 1, 130_000), Some(7.0));
    }

    #[test]
    fn leaves_of_all_levels() {
        let relation = |name: &str, kind, parent: Option<&str>| Relation {
            name: RelationName::new("s", name),
            kind,
            parent: parent.map(|p| RelationName::new("s", p)),
            ..Relation::default()
        };
        let mut relations = vec![
            relation("a", RelationKind::PartitionedTable, None),
            relation("a1", RelationKind::PartitionedTable, Some("a")),
            relation("a11", RelationKind::Table, Some("a1")),
            relation("a2", RelationKind::Table, Some("a")),
        ];
        add_partition_leaves(&mut relations);
        let names = |at: usize| -> Vec<&str> {
            relations[at]
                .partition_leaves
                .iter()
                .map(|n| n.name.as_str())
                .collect()
        };
        assert_eq!(names(0), ["a11", "a2"]);
        assert_eq!(names(1), ["a11"]);
    }
}
