//! EXPLAIN of one statement inside an open transaction, generic where it has parameters.
//!
//! `EXPLAIN … $1` needs values, and any value gives a custom plan. What works on 13–18: PREPARE under a name of ours, EXPLAIN EXECUTE with
//! NULLs under `plan_cache_mode = force_generic_plan`, DEALLOCATE. The prepared statement outlives a ROLLBACK, so it is removed in the
//! same transaction; when that fails the connection is closed.

use serde_json::value::RawValue;
use tokio_postgres::{
    Row,
    types::{FromSql, Type},
};

use super::{
    error::words,
    guard::{Failure, Guarded, Param},
};
use crate::{
    advise::WhatIfError,
    plan::Plan,
    sql::{Lexer, TokenKind},
};

/// Under which the statement is prepared. It isn't random: `pg_stat_statements` keeps one entry for every text of an EXPLAIN, and ours must
/// not push the application's out.
const NAME: &str = "pgassay_plan";

/// Most parameters of one statement (the protocol counts them in 16 bits).
const MAX_PARAMETERS: usize = 65_535;

/// An open transaction on a server: the guard's, or one on a server of our own.
pub(super) trait Transaction: Sync {
    /// One statement over the extended protocol, unnamed.
    fn try_query(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, Failure>> + Send;

    /// `n` statements of our own over the simple protocol.
    fn try_batch(&self, n: u64, sql: &str) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl Transaction for Guarded {
    async fn try_query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        Self::try_query(self, sql, params).await
    }

    async fn try_batch(&self, n: u64, sql: &str) -> Result<(), Failure> {
        Self::try_batch(self, n, sql).await
    }
}

/// EXPLAIN's answer, left unparsed until the connection is given back.
struct Json(Box<RawValue>);

impl<'a> FromSql<'a> for Json {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    fn accepts(column_type: &Type) -> bool {
        *column_type == Type::JSON
    }
}

/// A plan as the server gave it.
pub(super) struct Explained(Json);

impl Explained {
    /// The plan as types.
    pub(super) fn plan(&self) -> Result<Plan, WhatIfError> {
        Plan::from_json(self.0.0.get())
            .map_err(|_| WhatIfError::Server("its plan cannot be read".to_owned()))
    }

    /// EXPLAIN's own JSON.
    pub(super) fn into_json(self) -> Box<RawValue> {
        self.0.0
    }
}

/// Plans a text that [`super::admission`] let pass (or that runs on a server of our own).
pub(super) async fn explain(
    transaction: &impl Transaction,
    sql: &str,
) -> Result<Explained, WhatIfError> {
    if has_parameters(sql) {
        explain_generic(transaction, sql).await
    } else {
        let explain = format!("EXPLAIN /* pgassay */ (FORMAT JSON, VERBOSE) {sql}");
        answer(transaction.try_query(&explain, &[]).await)
    }
}

async fn explain_generic(
    transaction: &impl Transaction,
    sql: &str,
) -> Result<Explained, WhatIfError> {
    // its own failure aborts the transaction, and nothing was prepared then
    let prepare = format!("PREPARE {NAME} AS {sql}");
    transaction.try_query(&prepare, &[]).await.map_err(failed)?;
    transaction
        .try_batch(1, "SAVEPOINT /* pgassay */ pgassay_prepared")
        .await
        .map_err(failed)?;
    let result = explain_prepared(transaction).await;
    let clean = format!(
        "ROLLBACK TO SAVEPOINT /* pgassay */ pgassay_prepared; DEALLOCATE /* pgassay */ {NAME}"
    );
    // when this fails the caller can't end the transaction well either, and the connection goes
    transaction.try_batch(2, &clean).await.map_err(failed)?;
    result
}

async fn explain_prepared(transaction: &impl Transaction) -> Result<Explained, WhatIfError> {
    let types = transaction
        .try_query(PARAMETER_TYPES, &[(&NAME, Type::TEXT)])
        .await
        .map_err(failed)?;
    let row = types
        .first()
        .ok_or_else(|| lost("the prepared statement is gone"))?;
    let n_parameters: i32 = row.try_get(0).unwrap_or(0);
    let has_domain: bool = row.try_get(1).unwrap_or(true);
    if has_domain {
        // a NULL is cast to the domain, which runs its checks
        return Err(WhatIfError::Refused(
            "a parameter is of a domain with checks".to_owned(),
        ));
    }
    let n_parameters = usize::try_from(n_parameters)
        .unwrap_or(0)
        .min(MAX_PARAMETERS);
    let nulls = vec!["NULL"; n_parameters].join(", ");
    let arguments = if nulls.is_empty() {
        nulls
    } else {
        format!(" ({nulls})")
    };
    let explain = format!("EXPLAIN /* pgassay */ (FORMAT JSON, VERBOSE) EXECUTE {NAME}{arguments}");
    answer(transaction.try_query(&explain, &[]).await)
}

/// Number of parameters, and whether one of them is a domain with a constraint. Qualified: the workload's `search_path` holds.
const PARAMETER_TYPES: &str = "SELECT /* pgassay */ pg_catalog.cardinality(p.parameter_types), EXISTS (SELECT FROM pg_catalog.unnest(p.parameter_types) AS u(type) \
    JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) u.type::pg_catalog.oid WHERE t.typtype OPERATOR(pg_catalog.=) 'd' \
    AND EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contypid OPERATOR(pg_catalog.=) t.oid)) \
    FROM pg_catalog.pg_prepared_statements p WHERE p.name OPERATOR(pg_catalog.=) $1";

fn has_parameters(sql: &str) -> bool {
    Lexer::new(sql.as_bytes()).any(|token| token.kind == TokenKind::Parameter)
}

fn answer(answer: Result<Vec<Row>, Failure>) -> Result<Explained, WhatIfError> {
    let rows = answer.map_err(failed)?;
    let row = rows.first().ok_or_else(|| lost("EXPLAIN gave no answer"))?;
    let json = row
        .try_get(0)
        .map_err(|_| WhatIfError::Server("its plan cannot be read".to_owned()))?;
    Ok(Explained(json))
}

fn lost(why: &str) -> WhatIfError {
    WhatIfError::Server(why.to_owned())
}

/// The server's refusal in words without data.
pub(super) fn failed(failure: Failure) -> WhatIfError {
    match failure {
        Failure::Server(error) => match error.code() {
            Some(code) => WhatIfError::Server(words(code)),
            None => {
                WhatIfError::Server(super::DbError::of_statement("planning", &error).to_string())
            }
        },
        Failure::TooLarge => WhatIfError::Server("its plan is too large".to_owned()),
        Failure::TimedOut => WhatIfError::Server("no answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_not_what_strings_and_comments_hold() {
        assert!(has_parameters("select $1"));
        assert!(has_parameters("select * from t where a = any($12)"));
        assert!(!has_parameters("select '$1', $$ $1 $$ -- $1\n /* $1 */"));
    }
}
