//! `pg_statistic_ext`: which columns have statistics of how they depend on each other.

use tokio_postgres::types::Type;

use super::MAX_ROWS;
use crate::db::{audited::Audited, error::DbError, rows::Columns};

const READING: &str = "reading extended statistics";

/// Columns of each object, by relation.
pub(super) async fn read(audited: &Audited) -> Result<Vec<(u32, Vec<String>)>, DbError> {
    let guarded = audited.begin().await?;
    let rows = guarded
        .query(READING, SQL, &[(&MAX_ROWS, Type::INT8)])
        .await?;
    guarded.end().await?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::of(row, READING);
            Ok((columns.next()?, columns.next()?))
        })
        .collect()
}

const SQL: &str = "SELECT /* pgassay */ s.stxrelid, \
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[]) ORDER BY a.attnum) \
    FROM pg_statistic_ext s ORDER BY s.stxrelid, s.oid LIMIT $1";
