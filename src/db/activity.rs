//! Samples `pg_stat_activity`: what each client backend of the database runs at one moment, and what it waits for.

use super::{
    audited::Audited,
    error::{DbError, DbErrorKind},
    rows::Columns,
};
use crate::workload::Backend;

const READING: &str = "sampling pg_stat_activity";
/// Backends read of one sample, those longest at it first: more run at once only behind no pooler at all.
const MAX_BACKENDS: i64 = 1_000;
/// Bytes of a text from which on it is not read: the server's own bound is 1,024 unless it was raised.
const MAX_TEXT_BYTES: usize = 10_000;
/// First version with `query_id`.
const HAS_QUERY_ID: u32 = 140_000;

impl Audited {
    /// Bytes of a text that the server shows in `pg_stat_activity`.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn activity_text_bytes(&self) -> Result<usize, DbError> {
        let sql = "SELECT /* pgassay */ s.setting::int8 FROM pg_settings s WHERE s.name = 'track_activity_query_size'";
        let guarded = self.begin().await?;
        let rows = guarded.query(READING, sql, &[]).await?;
        guarded.end().await?;
        let row = rows
            .first()
            .ok_or_else(|| DbError::new(DbErrorKind::Query, format!("{READING}: no answer")))?;
        let bytes = Columns::of(row, READING).next_count()?;
        let bytes = usize::try_from(bytes).unwrap_or(MAX_TEXT_BYTES);
        Ok(bytes.clamp(1, MAX_TEXT_BYTES))
    }

    /// The client backends of this database but our own, and how many there are beyond those.
    ///
    /// # Errors
    /// When the view can't be read.
    pub async fn backends(&self) -> Result<(Vec<Backend>, u64), DbError> {
        let sql = sql(self.version_num());
        let guarded = self.begin().await?;
        let rows = guarded.query(READING, &sql, &[]).await?;
        guarded.end().await?;
        let mut n_all = 0;
        let mut backends = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row, READING);
            n_all = columns.next_count()?;
            backends.push(backend(&mut columns)?);
        }
        let n_left_out = n_all.saturating_sub(backends.len() as u64);
        Ok((backends, n_left_out))
    }
}

fn backend(columns: &mut Columns<'_>) -> Result<Backend, DbError> {
    Ok(Backend {
        pid: columns.next()?,
        backend_start_us: columns.next()?,
        query_start_us: columns.next()?,
        running_us: columns.next()?,
        user: columns.next()?,
        application: columns.next()?,
        state: columns.next()?,
        wait_type: columns.next()?,
        wait_event: columns.next()?,
        text: columns.next()?,
        query_id: columns.next()?,
        blockers: columns.next()?,
    })
}

/// Who blocks is asked only of those that wait for a lock: the answer takes the lock manager's own locks for a moment.
fn sql(version_num: u32) -> String {
    let query_id = if version_num >= HAS_QUERY_ID {
        "a.query_id"
    } else {
        "NULL::int8"
    };
    format!(
        "SELECT /* pgassay */ count(*) OVER (), a.pid, coalesce((extract(epoch FROM a.backend_start) * 1000000)::int8, 0), \
         coalesce((extract(epoch FROM a.query_start) * 1000000)::int8, 0), \
         coalesce((extract(epoch FROM clock_timestamp() - a.query_start) * 1000000)::int8, 0), \
         coalesce(a.usename, '')::text, coalesce(a.application_name, '')::text, coalesce(a.state, '')::text, \
         coalesce(a.wait_event_type, '')::text, coalesce(a.wait_event, '')::text, left(coalesce(a.query, ''), {MAX_TEXT_BYTES})::text, {query_id}, \
         CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{{}}'::int4[] END \
         FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'client backend' \
         AND a.application_name <> 'pgassay' AND a.pid <> pg_backend_pid() \
         ORDER BY a.query_start NULLS LAST, a.pid LIMIT {MAX_BACKENDS}"
    )
}
