//! Planner settings and locale.

use super::{DbError, Reader, USER_SCHEMA, gap};
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

/// Options of the database's tablespace.
pub(super) async fn tablespace(reader: &Reader<'_>) -> Result<Vec<PlannerSetting>, DbError> {
    let sql = "SELECT json_build_object('name', o.option_name, 'value', o.option_value)::text FROM pg_database d JOIN pg_tablespace s ON s.oid = d.dattablespace, \
        pg_options_to_table(s.spcoptions) o WHERE d.datname = current_database() ORDER BY o.option_name";
    reader
        .rows("reading the tablespace's options", sql, &[])
        .await
}

/// Relations in other tablespaces, where pages cost something else.
pub(super) async fn elsewhere(reader: &mut Reader<'_>) -> Result<(), DbError> {
    let sql = format!(
        "SELECT count(*)::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_tablespace s ON s.oid = c.reltablespace \
         JOIN pg_database d ON d.datname = current_database() JOIN pg_tablespace own ON own.oid = d.dattablespace \
         WHERE s.spcoptions IS DISTINCT FROM own.spcoptions AND c.relkind IN ('r', 'm', 'i') AND {USER_SCHEMA}"
    );
    let n: Vec<usize> = reader.rows("counting tablespaces", &sql, &[]).await?;
    if let Some(n) = n.first().filter(|n| **n > 0) {
        let cost = "they are planned with the costs of the database's own: costs of scans are off";
        reader.gaps.push(gap(
            "relations in tablespaces with options of their own",
            *n,
            cost,
        ));
    }
    Ok(())
}

pub(super) async fn role(reader: &Reader<'_>) -> Result<String, DbError> {
    let sql = "SELECT to_json(current_user)::text";
    let rows: Vec<String> = reader.rows("reading the role", sql, &[]).await?;
    Ok(rows.into_iter().next().unwrap_or_default())
}
