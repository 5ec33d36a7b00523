//! Planner settings of the twin's database. Only those that a planner reads are taken from a snapshot, by name.

use super::TwinError;
use crate::{catalog::planner::PlannerSetting, db::OwnedSession};

/// Settings whose names begin so decide plans.
const PREFIXES: &[&str] = &["enable_", "geqo", "jit_", "from_collapse", "join_collapse"];

/// Others by their full name.
const NAMES: &[&str] = &[
    "seq_page_cost",
    "random_page_cost",
    "cpu_tuple_cost",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "min_parallel_table_scan_size",
    "min_parallel_index_scan_size",
    "effective_cache_size",
    "jit",
    "default_statistics_target",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "plan_cache_mode",
    "recursive_worktable_factor",
    "debug_parallel_query",
    "force_parallel_mode",
    "work_mem",
    "hash_mem_multiplier",
    "maintenance_work_mem",
    "temp_buffers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "parallel_leader_participation",
    "effective_io_concurrency",
    "maintenance_io_concurrency",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "search_path",
    "array_nulls",
    "transform_null_equals",
    "default_text_search_config",
    "row_security",
    "lc_monetary",
];

fn is_planner_setting(name: &str) -> bool {
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// `name=value` as `pg_db_role_setting` keeps them.
fn configuration(settings: &[PlannerSetting], known: &dyn Fn(&str) -> bool) -> Vec<String> {
    settings
        .iter()
        .filter(|setting| is_planner_setting(&setting.name) && known(&setting.name))
        .map(|setting| format!("{}={}", setting.name, setting.value))
        .collect()
}

/// Writes them for the current database. Straight into the catalog, because ALTER DATABASE would take a list such as `a, b` for one name.
pub(super) async fn set(
    session: &OwnedSession,
    settings: &[PlannerSetting],
) -> Result<(), TwinError> {
    let names: Vec<&str> = settings
        .iter()
        .map(|setting| setting.name.as_str())
        .collect();
    let sql = "SELECT name FROM pg_settings WHERE name = ANY ($1::text[])";
    let rows = session
        .query(sql, &[&names])
        .await
        .map_err(TwinError::own)?;
    let known: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let configuration = configuration(settings, &|name| known.iter().any(|known| known == name));
    let sql = "INSERT INTO pg_db_role_setting (setdatabase, setrole, setconfig) \
        SELECT oid, 0, $1::text[] FROM pg_database WHERE datname = current_database()";
    session
        .execute(sql, &[&configuration])
        .await
        .map_err(TwinError::own)?;
    Ok(())
}

/// Options of a tablespace that a planner reads.
const TABLESPACE: &[&str] = &[
    "seq_page_cost",
    "random_page_cost",
    "effective_io_concurrency",
    "maintenance_io_concurrency",
];

/// Gives the twin's only tablespace the options of the captured database's.
pub(super) async fn set_tablespace(
    session: &OwnedSession,
    options: &[PlannerSetting],
) -> Result<(), TwinError> {
    for option in options {
        let value = option.value.parse::<f64>().ok().filter(|v| v.is_finite());
        let Some(value) = value.filter(|_| TABLESPACE.contains(&option.name.as_str())) else {
            continue;
        };
        let sql = format!(
            "ALTER TABLESPACE pg_default SET ({} = {value})",
            option.name
        );
        session.batch_execute(&sql).await.map_err(TwinError::own)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_planner_settings_reach_the_twin() {
        let setting = |name: &str| PlannerSetting {
            name: name.into(),
            value: "x".into(),
        };
        let given = [
            "enable_seqscan",
            "work_mem",
            "session_preload_libraries",
            "local_preload_libraries",
            "log_statement",
            "role",
        ]
        .map(setting);
        assert_eq!(
            configuration(&given, &|_| true),
            ["enable_seqscan=x", "work_mem=x"]
        );
        assert_eq!(
            configuration(&given, &|name| name == "work_mem"),
            ["work_mem=x"]
        );
    }
}
