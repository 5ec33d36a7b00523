//! EXPLAIN in the twin, as the role without rights, in a read-only transaction.

use serde_json::Value;

use super::inject::reason;
use crate::{
    advise::{PlannedQuery, WhatIfError},
    db::{OwnError, OwnedSession},
    sql::quote_identifier,
};

/// Planning takes milliseconds; a statement that needs this long (constant folding that never ends, a join of fifty tables) is left out.
const PLANNING_TIMEOUT_MS: u32 = 10_000;

/// `undefined_parameter` and `protocol_violation` (no value for it was sent): the text holds `$n`.
const HAS_PARAMETERS: [&str; 2] = ["42P02", "08P01"];

/// Plans one statement, with these settings. `search_path` empty: the database's own.
pub(super) async fn explain(
    session: &OwnedSession,
    query: &PlannedQuery,
    settings: &[(String, String)],
) -> Result<Value, WhatIfError> {
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {PLANNING_TIMEOUT_MS}");
    session
        .batch_execute(&begin)
        .await
        .map_err(|e| failure(&e))?;
    let result = in_transaction(session, query, settings).await;
    session
        .batch_execute("ROLLBACK")
        .await
        .map_err(|e| failure(&e))?;
    result
}

async fn in_transaction(
    session: &OwnedSession,
    query: &PlannedQuery,
    settings: &[(String, String)],
) -> Result<Value, WhatIfError> {
    let sql = &query.sql;
    for (name, value) in settings {
        let set = "SELECT pg_catalog.set_config($1::text, $2::text, true)";
        session
            .query(set, &[name, value])
            .await
            .map_err(|e| failure(&e))?;
    }
    if !query.search_path.is_empty() {
        let names: Vec<String> = query
            .search_path
            .iter()
            .map(|name| quote_identifier(name))
            .collect();
        let set = "SELECT pg_catalog.set_config('search_path', $1::text, true)";
        session
            .query(set, &[&names.join(", ")])
            .await
            .map_err(|e| failure(&e))?;
    }
    session
        .batch_execute("SAVEPOINT direct")
        .await
        .map_err(|e| failure(&e))?;
    let direct = format!("EXPLAIN (FORMAT JSON, VERBOSE) {sql}");
    match session.query_typed(&direct, &[]).await {
        Ok(rows) => plan(&rows),
        Err(error)
            if error
                .code()
                .is_some_and(|code| HAS_PARAMETERS.contains(&code.code())) =>
        {
            session
                .batch_execute("ROLLBACK TO direct")
                .await
                .map_err(|e| failure(&e))?;
            generic(session, sql).await
        }
        Err(error) => Err(failure(&error)),
    }
}

/// The plan for any parameters: as the server itself plans a prepared statement after five executions.
async fn generic(session: &OwnedSession, sql: &str) -> Result<Value, WhatIfError> {
    const NAME: &str = "pgassay_generic";
    session
        .execute_typed(&format!("PREPARE {NAME} AS {sql}"), &[])
        .await
        .map_err(|e| failure(&e))?;
    let result = explain_prepared(session, NAME).await;
    // prepared statements outlive ROLLBACK; after an error the transaction takes nothing but ROLLBACK
    if result.is_err() {
        session
            .batch_execute("ROLLBACK")
            .await
            .map_err(|e| failure(&e))?;
    }
    session
        .batch_execute(&format!("DEALLOCATE {NAME}"))
        .await
        .map_err(|e| failure(&e))?;
    result
}

async fn explain_prepared(session: &OwnedSession, name: &str) -> Result<Value, WhatIfError> {
    session
        .batch_execute("SET LOCAL plan_cache_mode = force_generic_plan")
        .await
        .map_err(|e| failure(&e))?;
    let count = "SELECT pg_catalog.cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements WHERE name = $1";
    let n: i32 = session
        .query_one(count, &[&name])
        .await
        .map_err(|e| failure(&e))?
        .get(0);
    let nulls = vec!["NULL"; n.max(1) as usize].join(", ");
    let sql = format!("EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE {name}({nulls})");
    let rows = session
        .query_typed(&sql, &[])
        .await
        .map_err(|e| failure(&e))?;
    plan(&rows)
}

fn plan(rows: &[crate::db::Row]) -> Result<Value, WhatIfError> {
    rows.first()
        .and_then(|row| row.try_get::<_, Value>(0).ok())
        .ok_or_else(|| WhatIfError::Server("no plan in the answer".to_owned()))
}

pub(super) fn failure(error: &OwnError) -> WhatIfError {
    if error.is_closed() {
        WhatIfError::Lost(error.to_string())
    } else {
        WhatIfError::Server(reason(error))
    }
}
