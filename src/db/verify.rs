//! A loop's single calls and its batch, both executed on sampled keys and compared: only on request, only reads, only through the guard.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio_postgres::{
    Row,
    types::{FromSql, Type},
};

use super::{
    audited::Audited,
    explain::failed,
    guard::{Guarded, Limits, SearchPath},
    planner::LivePlanner,
};
use crate::{
    advise::WhatIfError,
    sql::{
        self, StatementKind,
        rewrite::{Answer, Cells, Difference},
    },
};

/// Keys at most: enough to be sure of, few enough for a loop of round trips.
const MAX_KEYS: usize = 50;
/// Rows that keys are sampled from: a few pages.
const SAMPLED_ROWS: usize = 2_000;
/// `statement_timeout` of each statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);
/// Largest answer of one statement.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// What is to be executed.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The looped statement, keys as `$n`, everything else put in.
    pub single: BTreeMap<u16, String>,
    /// Its text.
    pub single_sql: String,
    /// The batch, arrays as `$1` …, everything else in `batch`.
    pub batch: BTreeMap<u16, String>,
    /// Its text.
    pub batch_sql: String,
    /// For each array of the batch, in order: the looped statement's placeholder and the column, quoted.
    pub keys: Vec<(u16, String)>,
    /// The relation that has these columns, quoted.
    pub relation: String,
    /// How the batch answers.
    pub answer: Answer,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct TrialResult {
    /// Keys that both ran over.
    pub n_keys: usize,
    /// Time of all single calls, seen by the client.
    pub singles: Duration,
    /// Time of the batch, seen by the client.
    pub batch: Duration,
    /// Where both differ.
    pub difference: Option<Difference>,
}

/// A value as the server sent it.
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// One key: as it is compared, and as text to be sent.
struct Key {
    raw: Cells,
    text: Vec<String>,
}

impl LivePlanner {
    /// Executes a loop on sampled keys, and its batch, in one read-only transaction each. `None` when there are fewer than two keys to sample.
    ///
    /// # Errors
    /// When a statement is not a plain read of harmless functions, or the server refuses it.
    pub async fn verify(&self, trial: &Trial) -> Result<Option<TrialResult>, WhatIfError> {
        let keys = self.sample(trial).await?;
        if keys.len() < 2 {
            return Ok(None);
        }
        let singles: Vec<String> = keys.iter().map(|key| single(trial, key)).collect();
        let batch = batch(trial, &keys);
        for sql in singles.iter().take(1).chain([&batch]) {
            read_only(sql)?;
            self.admit(sql).await?;
        }
        // the first run warms the cache for both
        self.rows(&batch).await?;
        let started = Instant::now();
        let mut answers = Vec::new();
        let guarded = self.begin_trial().await?;
        for (key, sql) in keys.into_iter().zip(&singles) {
            let rows = guarded.try_query(sql, &[]).await.map_err(failed)?;
            answers.push((key.raw, cells(&rows)));
        }
        let singles_took = started.elapsed();
        guarded.end().await.ok();
        let started = Instant::now();
        let rows = self.rows(&batch).await?;
        let batch_took = started.elapsed();
        let names: Vec<String> = rows.first().map(names).unwrap_or_default();
        Ok(Some(TrialResult {
            n_keys: answers.len(),
            singles: singles_took,
            batch: batch_took,
            difference: trial.answer.compare(&answers, &names, &cells(&rows)).err(),
        }))
    }

    /// May this statement be executed? Only a plain read of harmless functions without parameters may.
    ///
    /// # Errors
    /// With the reason why not.
    pub async fn runnable(&self, sql: &str) -> Result<(), WhatIfError> {
        read_only(sql)?;
        self.admit(sql).await
    }

    /// Keys that some of the relation's rows have.
    async fn sample(&self, trial: &Trial) -> Result<Vec<Key>, WhatIfError> {
        let numbered = || (1..).zip(&trial.keys);
        let inner: Vec<String> = numbered()
            .map(|(n, (_, column))| format!("{column} AS k{n}"))
            .collect();
        let outer: Vec<String> = numbered()
            .map(|(n, _)| format!("k{n}, k{n}::text"))
            .collect();
        let present: Vec<String> = numbered()
            .map(|(n, _)| format!("k{n} IS NOT NULL"))
            .collect();
        let sql = format!(
            "SELECT DISTINCT {} FROM (SELECT {} FROM {} LIMIT {SAMPLED_ROWS}) AS sampled WHERE {} LIMIT {MAX_KEYS}",
            outer.join(", "),
            inner.join(", "),
            trial.relation,
            present.join(" AND ")
        );
        self.admit(&sql).await?;
        let rows = self.rows(&sql).await?;
        let key = |row: &Row| {
            let cells = cells_of(row);
            let raw = cells.iter().step_by(2).cloned().collect();
            let text = (0..trial.keys.len())
                .map(|at| row.try_get::<_, String>(2 * at + 1).ok())
                .collect::<Option<_>>()?;
            Some(Key { raw, text })
        };
        Ok(rows.iter().filter_map(key).collect())
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Row>, WhatIfError> {
        let guarded = self.begin_trial().await?;
        let rows = guarded.try_query(sql, &[]).await.map_err(failed)?;
        guarded.end().await.ok();
        Ok(rows)
    }

    async fn begin_trial(&self) -> Result<Guarded, WhatIfError> {
        let audited: &Audited = self.audited();
        let limits = Limits {
            statement_timeout: STATEMENT_TIMEOUT,
            max_answer_bytes: MAX_ANSWER_BYTES,
            search_path: SearchPath::Workload(audited.search_path().to_owned()),
        };
        audited
            .begin_with(limits)
            .await
            .map_err(|error| WhatIfError::Lost(error.to_string()))
    }
}

/// Nothing but a plain read: the transaction is read-only anyway.
fn read_only(sql: &str) -> Result<(), WhatIfError> {
    let refuse = |why: &str| Err(WhatIfError::Refused(why.to_owned()));
    match sql::shape::parse(sql) {
        Ok(shape) if shape.kind != StatementKind::Select => refuse("not a read"),
        Ok(shape) if shape.locks_rows => refuse("it locks rows"),
        Ok(shape) if shape.n_parameters > 0 => refuse("a value that it needs is not known"),
        Ok(_) => Ok(()),
        Err(error) => refuse(&error.to_string()),
    }
}

fn single(trial: &Trial, key: &Key) -> String {
    let mut values = trial.single.clone();
    for ((placeholder, _), text) in trial.keys.iter().zip(&key.text) {
        values.insert(*placeholder, sql::quote_literal(text));
    }
    sql::plannable(&trial.single_sql, &values, None)
}

fn batch(trial: &Trial, keys: &[Key]) -> String {
    let mut values = trial.batch.clone();
    for (at, n) in (0..trial.keys.len()).zip(1_u16..) {
        let elements: Vec<String> = keys
            .iter()
            .map(|key| {
                format!(
                    "\"{}\"",
                    key.text[at].replace('\\', "\\\\").replace('"', "\\\"")
                )
            })
            .collect();
        values.insert(
            n,
            sql::quote_literal(&format!("{{{}}}", elements.join(","))),
        );
    }
    sql::plannable(&trial.batch_sql, &values, None)
}

fn names(row: &Row) -> Vec<String> {
    row.columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect()
}

fn cells(rows: &[Row]) -> Vec<Cells> {
    rows.iter().map(cells_of).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

/// Values as hexadecimal digits of what the server sent: equal values of one type are equal bytes.
fn cells_of(row: &Row) -> Cells {
    (0..row.len())
        .map(|at| {
            let raw: Option<Raw> = row.try_get(at).ok().flatten();
            raw.map(|raw| hexadecimal(&raw.0))
        })
        .collect()
}
