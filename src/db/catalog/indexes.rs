//! `pg_index`: definitions part by part, state, size and usage.

use tokio_postgres::{Row, types::Type};

use super::{MAX_ROWS, without_outer_parentheses};
use crate::{
    catalog::{Direction, Index, IndexDef, IndexKey, IndexUsage, KeyTarget, Nulls},
    db::{
        audited::Audited,
        error::{DbError, DbErrorKind},
        rows::Columns,
    },
};

const READING: &str = "reading indexes";

/// `indoption` bits (`INDOPTION_DESC`, `INDOPTION_NULLS_FIRST` in `pg_index.h`).
const OPTION_DESC: i16 = 1;
const OPTION_NULLS_FIRST: i16 = 2;

/// First version with `last_idx_scan`.
const LAST_SCAN: u32 = 160_000;

/// All indexes by table, sorted by name; `def.table` is left to the caller.
pub(super) async fn read(
    audited: &Audited,
    unread: &mut Vec<String>,
) -> Result<Vec<(u32, Index)>, DbError> {
    let rows = match query(audited, "pg_relation_size(c.oid)").await {
        Err(error) if error.kind() == DbErrorKind::Timeout => {
            unread.push(
                "sizes of indexes now: a table is locked, sizes of the last ANALYZE are used"
                    .to_owned(),
            );
            query(
                audited,
                "c.relpages::int8 * current_setting('block_size')::int8",
            )
            .await?
        }
        rows => rows?,
    };
    rows.iter().map(index).collect()
}

async fn query(audited: &Audited, size: &str) -> Result<Vec<Row>, DbError> {
    let guarded = audited.begin().await?;
    let sql = indexes_sql(audited.version_num(), size);
    let rows = guarded
        .query(READING, &sql, &[(&MAX_ROWS, Type::INT8)])
        .await;
    if rows.is_err() {
        guarded.end().await.ok();
        return rows;
    }
    guarded.end().await?;
    rows
}

/// An operator class is the default if it says so and the column's own type has no other default: `text_ops` is one, yet not for `citext`.
fn indexes_sql(version_num: u32, size: &str) -> String {
    let last_scan = if version_num >= LAST_SCAN {
        "(extract(epoch FROM pg_stat_get_lastscan(c.oid)) * 1000000)::int8"
    } else {
        "NULL::int8"
    };
    format!(
        "SELECT /* pgassay */ i.indrelid, c.oid, c.relname::text, m.amname::text, i.indisunique, i.indisprimary, i.indisexclusion, \
         i.indisvalid, i.indisready, i.indisreplident, c.relkind = 'I' OR c.relispartition, \
         i.indnkeyatts::int4, i.indoption::int2[], \
         ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u(num, at) \
         LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.num AND u.num <> 0 ORDER BY u.at), \
         CASE WHEN i.indexprs IS NOT NULL THEN ARRAY(SELECT pg_get_indexdef(c.oid, g, true) FROM generate_series(1, i.indnkeyatts::int4) g ORDER BY g) END, \
         ARRAY(SELECT CASE WHEN o.opcdefault AND (t.num = 0 OR NOT EXISTS (SELECT FROM pg_opclass d JOIN pg_attribute a ON a.atttypid = d.opcintype \
         WHERE a.attrelid = i.indrelid AND a.attnum = t.num AND d.opcmethod = o.opcmethod AND d.opcdefault AND d.oid <> o.oid)) \
         THEN NULL ELSE o.opcname::text END \
         FROM ROWS FROM (unnest(i.indclass::oid[]), unnest(i.indkey::int2[])) WITH ORDINALITY AS t(class, num, at) \
         JOIN pg_opclass o ON o.oid = t.class ORDER BY t.at), \
         ARRAY(SELECT CASE WHEN t.collation <> coalesce(a.attcollation, t.collation) THEN l.collname::text END \
         FROM ROWS FROM (unnest(i.indcollation::oid[]), unnest(i.indkey::int2[])) WITH ORDINALITY AS t(collation, num, at) \
         LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = t.num AND t.num <> 0 \
         LEFT JOIN pg_collation l ON l.oid = t.collation WHERE t.at <= i.indnkeyatts ORDER BY t.at), \
         pg_get_expr(i.indpred, i.indrelid, true), pg_get_indexdef(c.oid), \
         k.conname::text, EXISTS (SELECT FROM pg_constraint f WHERE f.conindid = c.oid AND f.contype = 'f'), \
         EXISTS (SELECT FROM pg_stat_progress_create_index b WHERE b.index_relid = c.oid), \
         CASE WHEN c.relkind = 'i' THEN {size} ELSE 0 END, \
         pg_stat_get_numscans(c.oid), pg_stat_get_tuples_returned(c.oid), pg_stat_get_tuples_fetched(c.oid), {last_scan} \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_am m ON m.oid = c.relam \
         LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x') \
         WHERE left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema' \
         ORDER BY i.indrelid, c.relname COLLATE \"C\" LIMIT $1"
    )
}

fn index(row: &Row) -> Result<(u32, Index), DbError> {
    let mut columns = Columns::of(row, READING);
    let table = columns.next()?;
    let mut index = Index {
        oid: columns.next()?,
        ..Index::default()
    };
    index.def.name = columns.next()?;
    index.def.method = columns.next()?;
    index.def.unique = columns.next()?;
    index.primary = columns.next()?;
    index.exclusion = columns.next()?;
    index.valid = columns.next()?;
    index.ready = columns.next()?;
    index.replica_identity = columns.next()?;
    index.partitioned = columns.next()?;
    let parts = Parts {
        n_keys: usize::try_from(columns.next::<i32>()?).unwrap_or(0),
        options: columns.next()?,
        columns: columns.next()?,
        expressions: columns.next()?,
        opclasses: columns.next()?,
        collations: columns.next()?,
    };
    parts.fill(&mut index.def);
    let predicate: Option<String> = columns.next()?;
    index.def.predicate = predicate.map(|text| without_outer_parentheses(&text).to_owned());
    index.full_definition = columns.next()?;
    index.constraint = columns.next()?;
    index.supports_foreign_key = columns.next()?;
    index.building = columns.next()?;
    index.size_bytes = columns.next_count()?;
    index.usage = IndexUsage {
        n_scans: columns.next_count()?,
        n_entries_read: columns.next_count()?,
        n_rows_fetched: columns.next_count()?,
        last_scan_us: columns.next()?,
    };
    Ok((table, index))
}

/// The arrays of one `pg_index` row; position by position.
#[derive(Debug)]
struct Parts {
    n_keys: usize,
    options: Vec<i16>,
    /// Key and INCLUDE columns; `None` for an expression.
    columns: Vec<Option<String>>,
    /// All keys as SQL, when one of them is an expression.
    expressions: Option<Vec<String>>,
    opclasses: Vec<Option<String>>,
    collations: Vec<Option<String>>,
}

impl Parts {
    fn fill(self, def: &mut IndexDef) {
        def.keys = (0..self.n_keys).map(|at| self.key(at)).collect();
        def.include = self
            .columns
            .into_iter()
            .skip(self.n_keys)
            .flatten()
            .collect();
    }

    fn key(&self, at: usize) -> IndexKey {
        let option = self.options.get(at).copied().unwrap_or(0);
        let target = match self.columns.get(at) {
            Some(Some(column)) => KeyTarget::Column(column.clone()),
            _ => KeyTarget::Expression(self.expression(at)),
        };
        IndexKey {
            target,
            opclass: self.opclasses.get(at).cloned().flatten(),
            collation: self.collations.get(at).cloned().flatten(),
            direction: if option & OPTION_DESC == 0 {
                Direction::Asc
            } else {
                Direction::Desc
            },
            nulls: if option & OPTION_NULLS_FIRST == 0 {
                Nulls::Last
            } else {
                Nulls::First
            },
        }
    }

    fn expression(&self, at: usize) -> String {
        let text = self.expressions.as_ref().and_then(|all| all.get(at));
        text.map_or_else(String::new, |text| {
            without_outer_parentheses(text).to_owned()
        })
    }
}
