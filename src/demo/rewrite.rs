//! A loop of statements against the one statement that does the same: both executed, both timed, results compared.

use std::time::{Duration, Instant};

use crate::db::{DbError, Owned, OwnedSession, TextRow};

/// Each side runs so often; the median counts.
const N_RUNS: usize = 5;

/// How a loop should have been written.
#[derive(Debug)]
pub struct Rewrite {
    /// Gives the keys, bigints, that the loop runs over.
    pub keys: &'static str,
    /// The loop's statement, the key as `$1`.
    pub single: &'static str,
    /// The one statement, the array of all keys as `$1`.
    pub batched: &'static str,
    /// For writes: what to look at afterwards, within the transaction that is then rolled back.
    pub outcome: Option<&'static str>,
}

/// What came of both.
#[derive(Debug, Clone)]
pub struct RewriteEffect {
    /// Keys, and so round trips of the loop; the other has one.
    pub n_keys: usize,
    /// Time of the whole loop, seen by the client.
    pub looped: Duration,
    /// Time of the one statement.
    pub batched: Duration,
    /// Both gave the same rows, or left the same rows behind.
    pub equal: bool,
}

/// Runs a loop and its rewrite. Nothing that they write stays.
///
/// # Errors
/// When the server refuses a statement.
pub async fn compare(owned: &Owned, rewrite: &Rewrite) -> Result<RewriteEffect, DbError> {
    let session = owned.session().await?;
    let keys: Vec<i64> = session
        .texts(rewrite.keys)
        .await?
        .iter()
        .filter_map(|row| row.first()?.as_ref()?.parse().ok())
        .collect();
    let (mut looped, mut batched) = (Vec::new(), Vec::new());
    for _ in 0..N_RUNS {
        looped.push(undone(&session, timed_loop(&session, rewrite, &keys)).await?);
        batched.push(undone(&session, timed_batch(&session, rewrite, &keys)).await?);
    }
    let each = outcome_of_loop(&session, rewrite, &keys);
    let mut each = undone(&session, each).await?;
    let at_once = outcome_of_batch(&session, rewrite, &keys);
    let mut at_once = undone(&session, at_once).await?;
    each.sort();
    at_once.sort();
    // a loop over a key that comes twice reads its rows twice; the rewrite reads them once
    each.dedup();
    at_once.dedup();
    Ok(RewriteEffect {
        n_keys: keys.len(),
        looped: median(looped),
        batched: median(batched),
        equal: each == at_once,
    })
}

/// In a transaction that is rolled back.
async fn undone<T>(
    session: &OwnedSession,
    work: impl Future<Output = Result<T, DbError>>,
) -> Result<T, DbError> {
    session.run("BEGIN").await?;
    let result = work.await;
    session.run("ROLLBACK").await?;
    result
}

async fn timed_loop(
    session: &OwnedSession,
    rewrite: &Rewrite,
    keys: &[i64],
) -> Result<Duration, DbError> {
    let statement = session.prepared(rewrite.single).await?;
    let started = Instant::now();
    for key in keys {
        session.fetch(&statement, &[key]).await?;
    }
    Ok(started.elapsed())
}

async fn timed_batch(
    session: &OwnedSession,
    rewrite: &Rewrite,
    keys: &[i64],
) -> Result<Duration, DbError> {
    let statement = session.prepared(rewrite.batched).await?;
    let started = Instant::now();
    session.fetch(&statement, &[&keys]).await?;
    Ok(started.elapsed())
}

async fn outcome_of_loop(
    session: &OwnedSession,
    rewrite: &Rewrite,
    keys: &[i64],
) -> Result<Vec<TextRow>, DbError> {
    let mut rows = Vec::new();
    for key in keys {
        let sql = rewrite.single.replace("$1", &key.to_string());
        rows.extend(session.texts(&sql).await?);
    }
    outcome(session, rewrite, rows).await
}

async fn outcome_of_batch(
    session: &OwnedSession,
    rewrite: &Rewrite,
    keys: &[i64],
) -> Result<Vec<TextRow>, DbError> {
    let keys: Vec<String> = keys.iter().map(i64::to_string).collect();
    let array = format!("'{{{}}}'::bigint[]", keys.join(","));
    let rows = session
        .texts(&rewrite.batched.replace("$1", &array))
        .await?;
    outcome(session, rewrite, rows).await
}

async fn outcome(
    session: &OwnedSession,
    rewrite: &Rewrite,
    read: Vec<TextRow>,
) -> Result<Vec<TextRow>, DbError> {
    match rewrite.outcome {
        Some(sql) => session.texts(sql).await,
        None => Ok(read),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
