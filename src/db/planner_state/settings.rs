//! Planner settings and locale.

use super::{DbError, Reader};
use crate::catalog::planner::{Locale, PlannerSetting};

pub(super) async fn locale(reader: &Reader<'_>) -> Result<Locale, DbError> {
    let provider = if reader.version_num() >= 150_000 {
        "datlocprovider::text"
    } else {
        "'c'"
    };
    let locale = match reader.version_num() {
        170_000.. => "datlocale",
        150_000.. => "daticulocale",
        _ => "NULL",
    };
    let sql = format!(
        "SELECT json_build_object('encoding', pg_encoding_to_char(encoding), 'collate', coalesce(datcollate::text, ''), \
         'ctype', coalesce(datctype::text, ''), 'provider', {provider}, 'locale', {locale})::text FROM pg_database WHERE datname = current_database()"
    );
    let rows: Vec<Locale> = reader.rows("reading the locale", &sql, &[]).await?;
    Ok(rows.into_iter().next().unwrap_or_default())
}

/// `reset_val` is what a new session of this role in this database starts with: our own transaction's settings do not show there.
pub(super) async fn settings(reader: &Reader<'_>) -> Result<Vec<PlannerSetting>, DbError> {
    let sql = "SELECT json_build_object('name', name, 'value', reset_val)::text FROM pg_settings \
        WHERE reset_val IS NOT NULL AND (category LIKE 'Query Tuning%' OR name IN ('work_mem', 'hash_mem_multiplier', 'maintenance_work_mem', \
        'temp_buffers', 'max_parallel_workers', 'max_parallel_workers_per_gather', 'parallel_leader_participation', 'effective_io_concurrency', \
        'maintenance_io_concurrency', 'TimeZone', 'DateStyle', 'IntervalStyle', 'search_path', 'array_nulls', 'transform_null_equals', \
        'default_statistics_target', 'default_text_search_config', 'row_security', 'extra_float_digits', 'lc_monetary')) \
        ORDER BY name";
    reader.rows("reading planner settings", sql, &[]).await
}

pub(super) async fn role(reader: &Reader<'_>) -> Result<String, DbError> {
    let sql = "SELECT to_json(current_user)::text";
    let rows: Vec<String> = reader.rows("reading the role", sql, &[]).await?;
    Ok(rows.into_iter().next().unwrap_or_default())
}
