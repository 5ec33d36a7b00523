//! Who is connected, and what became of sessions.

use super::missing;
use crate::{
    catalog::{BackendGroup, Connections, DatabaseSessions, IdleBackend},
    db::{audited::Audited, error::DbError, rows::Columns},
    sql::Normaliser,
};

const READING: &str = "reading who is connected";

/// First version that counts sessions in `pg_stat_database`.
const COUNTS_SESSIONS: u32 = 140_000;
/// First version with `reserved_connections`.
const RESERVED_CONNECTIONS: u32 = 160_000;
/// What Postgres shows instead of other roles' texts without `pg_read_all_stats`.
const HIDDEN_TEXT: &str = "<insufficient privilege>";

pub(super) async fn read(audited: &Audited) -> Result<Connections, DbError> {
    Ok(Connections {
        groups: groups(audited).await?,
        idle: idle(audited).await?,
        ..totals(audited).await?
    })
}

async fn totals(audited: &Audited) -> Result<Connections, DbError> {
    let reserved = if audited.version_num() >= RESERVED_CONNECTIONS {
        " + current_setting('reserved_connections')::int8"
    } else {
        ""
    };
    let sessions = if audited.version_num() >= COUNTS_SESSIONS {
        "d.sessions, d.sessions_abandoned, d.sessions_fatal, d.sessions_killed, d.session_time, d.active_time, \
         d.idle_in_transaction_time, d.xact_commit + d.xact_rollback, \
         extract(epoch FROM clock_timestamp() - coalesce(d.stats_reset, pg_postmaster_start_time()))::float8"
    } else {
        "NULL::int8, 0::int8, 0::int8, 0::int8, 0::float8, 0::float8, 0::float8, 0::int8, 0::float8"
    };
    let sql = format!(
        "SELECT /* pgassay */ current_setting('max_connections')::int8, \
         current_setting('superuser_reserved_connections')::int8{reserved}, \
         (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend' AND a.application_name <> 'pgassay'), \
         {sessions} FROM pg_stat_database d WHERE d.datname = current_database()"
    );
    let guarded = audited.begin().await?;
    let rows = guarded.query(READING, &sql, &[]).await?;
    guarded.end().await?;
    let row = rows.first().ok_or_else(|| missing(READING))?;
    let mut columns = Columns::of(row, READING);
    let totals = Connections {
        max: columns.next_count()?,
        reserved: columns.next_count()?,
        n_backends: columns.next_count()?,
        ..Connections::default()
    };
    let n_sessions: Option<i64> = columns.next()?;
    let Some(n_sessions) = n_sessions.and_then(|n| u64::try_from(n).ok()) else {
        return Ok(totals);
    };
    let sessions = DatabaseSessions {
        n_sessions,
        n_abandoned: columns.next_count()?,
        n_fatal: columns.next_count()?,
        n_killed: columns.next_count()?,
        session_ms: columns.next()?,
        active_ms: columns.next()?,
        idle_in_transaction_ms: columns.next()?,
        n_transactions: columns.next_count()?,
        window_s: columns.next()?,
    };
    Ok(Connections {
        sessions: Some(sessions),
        ..totals
    })
}

async fn groups(audited: &Audited) -> Result<Vec<BackendGroup>, DbError> {
    let sql = "SELECT /* pgassay */ coalesce(a.usename, '')::text, coalesce(a.application_name, '')::text, coalesce(a.state, '')::text, count(*) \
        FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'client backend' \
        AND a.application_name <> 'pgassay' GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 200";
    let guarded = audited.begin().await?;
    let rows = guarded.query(READING, sql, &[]).await?;
    guarded.end().await?;
    let group = |row| {
        let mut columns = Columns::of(row, READING);
        Ok(BackendGroup {
            user: columns.next()?,
            application: columns.next()?,
            state: columns.next()?,
            n: columns.next_count()?,
        })
    };
    rows.iter().map(group).collect()
}

async fn idle(audited: &Audited) -> Result<Vec<IdleBackend>, DbError> {
    let sql = "SELECT /* pgassay */ coalesce(a.usename, '')::text, coalesce(a.application_name, '')::text, coalesce(a.client_addr::text, '')::text, \
        a.state LIKE 'idle in transaction%', (extract(epoch FROM clock_timestamp() - a.state_change) * 1000000)::int8, \
        (extract(epoch FROM clock_timestamp() - a.backend_start) * 1000000)::int8, left(a.query, 10000)::text \
        FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'client backend' \
        AND a.application_name <> 'pgassay' AND a.state LIKE 'idle%' AND a.state_change IS NOT NULL \
        ORDER BY a.state_change, a.pid LIMIT 200";
    let guarded = audited.begin().await?;
    let rows = guarded.query(READING, sql, &[]).await?;
    guarded.end().await?;
    let mut normaliser = Normaliser::default();
    let mut found = Vec::new();
    for row in &rows {
        let mut columns = Columns::of(row, READING);
        let mut backend = IdleBackend {
            user: columns.next()?,
            application: columns.next()?,
            address: columns.next()?,
            in_transaction: columns.next()?,
            idle_us: columns.next()?,
            age_us: columns.next()?,
            ..IdleBackend::default()
        };
        let text = columns.next::<Option<String>>()?.unwrap_or_default();
        if !text.is_empty() && text != HIDDEN_TEXT {
            backend.fingerprint = Some(normaliser.run(text.as_bytes()));
            backend.query = normaliser.text();
        }
        found.push(backend);
    }
    Ok(found)
}
