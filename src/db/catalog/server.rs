//! The server as a whole: role, settings, extensions, standbys, the window of its counters.

use super::missing;
use crate::{
    catalog::{ExtensionInfo, ServerFacts, Setting, Standby, StatsWindow},
    db::{audited::Audited, error::DbError, rows::Columns},
};

const READING: &str = "reading the server's facts";

/// First version with `pg_stat_wal`.
const STAT_WAL: u32 = 140_000;
/// First version with `datlocprovider`.
const LOCALE_PROVIDER: u32 = 150_000;

pub(super) async fn read(audited: &Audited) -> Result<ServerFacts, DbError> {
    let mut facts = facts(audited).await?;
    facts.settings = settings(audited).await?;
    facts.extensions = extensions(audited).await?;
    facts.available_extensions = available_extensions(audited).await;
    facts.standbys = standbys(audited).await?;
    facts.search_path = search_path(audited).await?;
    Ok(facts)
}

async fn facts(audited: &Audited) -> Result<ServerFacts, DbError> {
    let guarded = audited.begin().await?;
    let rows = guarded
        .query(READING, &facts_sql(audited.version_num()), &[])
        .await?;
    guarded.end().await?;
    let row = rows.first().ok_or_else(|| missing(READING))?;
    let mut columns = Columns::of(row, READING);
    Ok(ServerFacts {
        version_num: audited.version_num(),
        database: audited.database().to_owned(),
        pooled: audited.is_pooled(),
        is_standby: columns.next()?,
        is_superuser: columns.next()?,
        can_read_all_stats: columns.next()?,
        collation: columns.next()?,
        n_replicas: 0,
        stats_window: StatsWindow {
            read_at_us: columns.next()?,
            since_us: columns.next()?,
        },
        ..ServerFacts::default()
    })
}

/// The newest reset bounds the window: after a crash all counters are zero, and only the cluster-wide views tell when.
fn facts_sql(version_num: u32) -> String {
    let wal_reset = if version_num >= STAT_WAL {
        "(SELECT w.stats_reset FROM pg_stat_wal w)"
    } else {
        "NULL"
    };
    // the built-in provider (17) sorts by bytes, whatever datcollate says
    let collation = if version_num >= LOCALE_PROVIDER {
        "CASE WHEN d.datlocprovider = 'b' THEN 'C' WHEN d.datlocprovider = 'i' THEN 'icu' ELSE d.datcollate END::text"
    } else {
        "d.datcollate::text"
    };
    format!(
        "SELECT /* pgassay */ pg_is_in_recovery(), r.rolsuper, \
         r.rolsuper OR pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE'), {collation}, \
         (extract(epoch FROM clock_timestamp()) * 1000000)::int8, \
         (extract(epoch FROM greatest(pg_stat_get_db_stat_reset_time(d.oid), \
         (SELECT b.stats_reset FROM pg_stat_bgwriter b), {wal_reset}, pg_postmaster_start_time())) * 1000000)::int8 \
         FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user"
    )
}

/// Planner, logging and statistics settings as a session of this role starts with them (the guard's own are undone), and those by which a managed service is known. Commands and connection strings, which may
/// hold secrets, are in other categories and are never read.
const SETTINGS: &str = "SELECT /* pgassay */ s.name::text, CASE WHEN s.source = 'session' THEN s.reset_val ELSE s.setting END::text, s.unit::text, s.source::text FROM pg_settings s \
    WHERE s.category LIKE ANY (ARRAY['Query Tuning%', 'Reporting and Logging%', 'Statistics%', 'Resource Usage%', 'Autovacuum%']) \
    OR s.name LIKE ANY (ARRAY['pg\\_stat\\_statements.%', 'auto\\_explain.%', 'hypopg.%', 'rds.%', 'cloudsql.%', 'azure.%', 'neon.%', 'supautils.%', 'alloydb.%', 'aurora%']) \
    OR s.name IN ('shared_preload_libraries', 'server_version', 'hot_standby', 'fsync', 'synchronous_commit', 'wal_level', 'wal_compression', \
    'full_page_writes', 'max_connections', 'superuser_reserved_connections', 'reserved_connections', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'row_security', 'search_path', 'statement_timeout', 'lock_timeout', 'TimeZone', 'DateStyle', \
    'IntervalStyle', 'default_transaction_isolation', 'cluster_name', 'block_size', 'data_checksums', 'jit', 'default_toast_compression', \
    'session_preload_libraries', 'default_statistics_target') ORDER BY s.name COLLATE \"C\"";

pub(super) async fn settings(audited: &Audited) -> Result<Vec<Setting>, DbError> {
    let guarded = audited.begin().await?;
    let rows = guarded.query("reading settings", SETTINGS, &[]).await?;
    guarded.end().await?;
    let setting = |row| {
        let mut columns = Columns::of(row, "reading settings");
        Ok(Setting {
            name: columns.next()?,
            value: columns.next::<Option<String>>()?.unwrap_or_default(),
            unit: columns.next()?,
            source: columns.next::<Option<String>>()?.unwrap_or_default(),
        })
    };
    rows.iter().map(setting).collect()
}

async fn extensions(audited: &Audited) -> Result<Vec<ExtensionInfo>, DbError> {
    let sql = "SELECT /* pgassay */ e.extname::text, e.extversion::text, n.nspname::text \
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname COLLATE \"C\"";
    let guarded = audited.begin().await?;
    let rows = guarded.query("reading extensions", sql, &[]).await?;
    guarded.end().await?;
    let extension = |row| {
        let mut columns = Columns::of(row, "reading extensions");
        Ok(ExtensionInfo {
            name: columns.next()?,
            version: columns.next()?,
            schema: columns.next()?,
        })
    };
    rows.iter().map(extension).collect()
}

/// Some managed services deny this view; nothing depends on it but hints.
async fn available_extensions(audited: &Audited) -> Vec<String> {
    let sql = "SELECT /* pgassay */ a.name::text FROM pg_available_extensions a ORDER BY a.name COLLATE \"C\"";
    let read = async {
        let guarded = audited.begin().await?;
        let rows = guarded
            .query("reading available extensions", sql, &[])
            .await?;
        guarded.end().await?;
        Ok::<_, DbError>(rows)
    };
    let rows = read.await.unwrap_or_default();
    rows.iter().filter_map(|row| row.try_get(0).ok()).collect()
}

async fn standbys(audited: &Audited) -> Result<Vec<Standby>, DbError> {
    let sql = "SELECT /* pgassay */ coalesce(r.application_name, ''), coalesce(r.state, '') \
        FROM pg_stat_replication r ORDER BY 1, 2";
    let guarded = audited.begin().await?;
    let rows = guarded.query("reading standbys", sql, &[]).await?;
    guarded.end().await?;
    let standby = |row| {
        let mut columns = Columns::of(row, "reading standbys");
        Ok(Standby {
            application: columns.next()?,
            state: columns.next()?,
        })
    };
    rows.iter().map(standby).collect()
}

/// The schemas of the role's own `search_path` that exist, `$user` resolved.
async fn search_path(audited: &Audited) -> Result<Vec<String>, DbError> {
    let guarded = audited.begin_as_is().await?;
    let sql = "SELECT /* pgassay */ pg_catalog.current_schemas(false)::pg_catalog.text[]";
    let rows = guarded.query("reading search_path", sql, &[]).await?;
    guarded.end().await?;
    let row = rows.first().ok_or_else(|| missing(READING))?;
    Columns::of(row, "reading search_path").next()
}
