//! `pg_constraint`: foreign keys, seen from the referencing table.

use tokio_postgres::{Row, types::Type};

use super::{MAX_ROWS, name};
use crate::{
    catalog::ForeignKey,
    db::{audited::Audited, error::DbError, rows::Columns},
};

const READING: &str = "reading foreign keys";

/// All foreign keys by referencing relation, sorted by name. Those that partitions inherit are left out: the parent's says it all.
pub(super) async fn read(audited: &Audited) -> Result<Vec<(u32, ForeignKey)>, DbError> {
    let guarded = audited.begin().await?;
    let rows = guarded
        .query(READING, SQL, &[(&MAX_ROWS, Type::INT8)])
        .await?;
    guarded.end().await?;
    rows.iter().map(foreign_key).collect()
}

const SQL: &str = "SELECT /* pgassay */ k.conrelid, k.conname::text, \
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(num, at) \
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.at), \
    n.nspname::text, r.relname::text, \
    ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(num, at) \
    JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.at), \
    k.confdeltype::text, k.convalidated \
    FROM pg_constraint k JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conrelid, k.conname COLLATE \"C\" LIMIT $1";

fn foreign_key(row: &Row) -> Result<(u32, ForeignKey), DbError> {
    let mut columns = Columns::of(row, READING);
    let oid = columns.next()?;
    let key = ForeignKey {
        name: columns.next()?,
        columns: columns.next()?,
        references: name(columns.next()?, columns.next()?),
        referenced_columns: columns.next()?,
        on_delete: on_delete(columns.next()?).to_owned(),
        validated: columns.next()?,
    };
    Ok((oid, key))
}

fn on_delete(confdeltype: &str) -> &'static str {
    match confdeltype {
        "r" => "RESTRICT",
        "c" => "CASCADE",
        "n" => "SET NULL",
        "d" => "SET DEFAULT",
        _ => "NO ACTION",
    }
}
