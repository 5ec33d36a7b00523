//! Runs a migration file as psql would: one statement at a time, outside a transaction, `\gexec` included.

use super::script::{ScriptError, split};
use crate::db::{DbError, Owned, OwnedSession};

/// Why a migration was not applied, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It can't be split into statements.
    #[error("cannot read the migration: {0}")]
    Script(#[from] ScriptError),
    /// The server refused a statement.
    #[error("{error}, in: {sql}")]
    Statement {
        /// The first line of it.
        sql: String,
        /// The server's words.
        error: DbError,
    },
}

/// Runs all statements of a file on one connection. The first that fails ends it, as with psql's `ON_ERROR_STOP`.
///
/// # Errors
/// See `ApplyError`.
pub async fn apply(owned: &Owned, script: &str) -> Result<(), ApplyError> {
    let pieces = split(script)?;
    let session = owned
        .session()
        .await
        .map_err(|error| ApplyError::Statement {
            sql: "connecting".to_owned(),
            error,
        })?;
    for piece in pieces {
        if piece.gexec {
            for sql in generated(&session, &piece.sql).await? {
                run(&session, &sql).await?;
            }
        } else {
            run(&session, &piece.sql).await?;
        }
    }
    // timeouts that the file has set are not for whoever takes the connection next
    run(&session, "RESET ALL").await
}

async fn generated(session: &OwnedSession, sql: &str) -> Result<Vec<String>, ApplyError> {
    let rows = session
        .texts(sql)
        .await
        .map_err(|error| failed(sql, error))?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

async fn run(session: &OwnedSession, sql: &str) -> Result<(), ApplyError> {
    session.run(sql).await.map_err(|error| failed(sql, error))
}

fn failed(sql: &str, error: DbError) -> ApplyError {
    let code = |line: &&str| !line.trim_start().starts_with("--");
    let sql = sql.lines().find(code).unwrap_or(sql).to_owned();
    ApplyError::Statement { sql, error }
}
