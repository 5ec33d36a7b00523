//! `pg_attribute` with types and collations.

use tokio_postgres::{Row, types::Type};

use super::MAX_ROWS;
use crate::{
    catalog::Column,
    db::{audited::Audited, error::DbError, rows::Columns},
};

const READING: &str = "reading columns";

/// All columns, in `attnum` order within each relation.
pub(super) async fn read(audited: &Audited) -> Result<Vec<(u32, Column)>, DbError> {
    let guarded = audited.begin().await?;
    let rows = guarded
        .query(READING, SQL, &[(&MAX_ROWS, Type::INT8)])
        .await?;
    guarded.end().await?;
    rows.iter().map(column).collect()
}

const SQL: &str = "SELECT /* pgassay */ a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), t.typcategory::text, \
    a.attnotnull, CASE WHEN a.attcollation <> t.typcollation THEN l.collname::text END, \
    a.attgenerated <> '' OR a.attidentity <> '' \
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation \
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema' \
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum LIMIT $1";

fn column(row: &Row) -> Result<(u32, Column), DbError> {
    let mut columns = Columns::of(row, READING);
    let oid = columns.next()?;
    let column = Column {
        name: columns.next()?,
        type_name: columns.next()?,
        type_category: columns.next::<&str>()?.chars().next().unwrap_or('X'),
        not_null: columns.next()?,
        collation: columns.next()?,
        generated: columns.next()?,
        stats: None,
    };
    Ok((oid, column))
}
