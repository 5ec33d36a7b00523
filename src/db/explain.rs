//! EXPLAIN of one statement inside an open transaction, generic where it has parameters.
//!
//! `EXPLAIN … $1` needs values, and any value gives a custom plan. What works on 13–18: PREPARE under a name of ours, EXPLAIN EXECUTE with
//! NULLs under `plan_cache_mode = force_generic_plan`, DEALLOCATE. The prepared statement outlives a ROLLBACK, so whoever asks removes it
//! in the same transaction ([`Asked::removal`]); when that fails the connection is closed.
//!
//! A NULL for a parameter of a domain runs the domain's checks: admission lets no statement pass that reaches a domain whose checks lead to
//! code of the database's own.

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

    /// Two of them without waiting for the first's answer: one round trip. When the first fails the transaction is aborted, and the second
    /// fails with it.
    fn try_both(
        &self,
        first: &str,
        second: &str,
    ) -> impl Future<Output = (Result<Vec<Row>, Failure>, Result<Vec<Row>, Failure>)> + Send;
}

impl Transaction for Guarded {
    async fn try_query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        Self::try_query(self, sql, params).await
    }

    async fn try_both(
        &self,
        first: &str,
        second: &str,
    ) -> (Result<Vec<Row>, Failure>, Result<Vec<Row>, Failure>) {
        Self::try_both(self, first, second).await
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

/// What came of asking for a plan.
pub(super) struct Asked {
    pub(super) result: Result<Explained, WhatIfError>,
    is_prepared: bool,
}

impl Asked {
    /// What removes the prepared statement, to be sent when the transaction isn't aborted (any more) and before it ends.
    pub(super) fn removal(&self) -> &'static str {
        if self.is_prepared {
            "DEALLOCATE /* pgassay */ pgassay_plan; "
        } else {
            ""
        }
    }
}

/// Plans a text that [`super::admission`] let pass (or that runs on a server of our own). A failure leaves the transaction aborted.
pub(super) async fn explain(transaction: &impl Transaction, sql: &str) -> Asked {
    let n_parameters = n_parameters(sql);
    if n_parameters == 0 {
        let explain = format!("EXPLAIN /* pgassay */ (FORMAT JSON, VERBOSE) {sql}");
        return Asked {
            result: answer(transaction.try_query(&explain, &[]).await),
            is_prepared: false,
        };
    }
    let prepare = format!("PREPARE {NAME} AS {sql}");
    let nulls = vec!["NULL"; n_parameters].join(", ");
    let explain = format!("EXPLAIN /* pgassay */ (FORMAT JSON, VERBOSE) EXECUTE {NAME} ({nulls})");
    let (prepared, explained) = transaction.try_both(&prepare, &explain).await;
    let is_prepared = prepared.is_ok();
    Asked {
        result: match prepared {
            Ok(_) => answer(explained),
            Err(failure) => Err(failed(failure)),
        },
        is_prepared,
    }
}

/// The highest `$n`: PREPARE takes that many.
fn n_parameters(sql: &str) -> usize {
    Lexer::new(sql.as_bytes())
        .filter(|token| token.kind == TokenKind::Parameter)
        .filter_map(|token| sql.get(token.start + 1..token.end)?.parse().ok())
        .max()
        .map_or(0, |n: usize| n.min(MAX_PARAMETERS))
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
        assert_eq!(n_parameters("select $1"), 1);
        assert_eq!(
            n_parameters("select * from t where a = any($12) and b = $3"),
            12
        );
        assert_eq!(n_parameters("select '$1', $$ $1 $$ -- $1\n /* $1 */"), 0);
        assert_eq!(n_parameters("select $99999999999999999999999"), 0);
        assert_eq!(n_parameters("select $4000000000"), MAX_PARAMETERS);
    }
}
