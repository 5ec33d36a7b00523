//! A loop of statements against the one statement that its finding gives: both executed, both timed, results compared.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::{Duration, Instant},
};

use crate::{
    db::{DbError, Owned, OwnedSession, TextRow},
    finding::{Evidence, Finding, NPlusOneEvidence},
    sql::{quote_literal, rewrite::Answer},
};

/// Each side runs so often; the median counts.
const N_RUNS: usize = 5;

/// What a loop is measured with.
#[derive(Debug)]
pub struct Calls {
    /// One row a call, as SQL: the values of the looped statement's placeholders, literals among them, in order of appearance.
    pub values: &'static str,
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

/// A loop with the batch of its finding, and the values of each call.
struct Contest<'a> {
    single: &'a str,
    batch: &'a str,
    evidence: &'a NPlusOneEvidence,
    outcome: Option<&'static str>,
    calls: Vec<TextRow>,
}

/// Runs a loop and its finding's batch. Nothing that they write stays. `None` when the finding has no batch that takes arrays.
///
/// # Errors
/// When the server refuses a statement.
pub async fn compare(
    owned: &Owned,
    calls: &Calls,
    finding: &Finding,
) -> Result<Option<RewriteEffect>, DbError> {
    let (Evidence::NPlusOne(evidence), Some(single), Some(batch)) = (
        &finding.evidence,
        &finding.subject.query,
        &finding.remedy.sql,
    ) else {
        return Ok(None);
    };
    if evidence.parameters.is_empty() {
        return Ok(None);
    }
    let session = owned.session().await?;
    let contest = Contest {
        single,
        batch,
        evidence,
        outcome: calls.outcome,
        calls: session.texts(calls.values).await?,
    };
    let (mut looped, mut batched) = (Vec::new(), Vec::new());
    for _ in 0..N_RUNS {
        looped.push(undone(&session, contest.timed_loop(&session)).await?);
        batched.push(undone(&session, contest.timed_batch(&session)).await?);
    }
    Ok(Some(RewriteEffect {
        n_keys: contest.calls.len(),
        looped: median(looped),
        batched: median(batched),
        equal: contest.is_equal(&session).await?,
    }))
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

impl Contest<'_> {
    async fn timed_loop(&self, session: &OwnedSession) -> Result<Duration, DbError> {
        let statement = session.prepared(self.single).await?;
        let started = Instant::now();
        for call in &self.calls {
            session.fetch_texts(&statement, call).await?;
        }
        Ok(started.elapsed())
    }

    async fn timed_batch(&self, session: &OwnedSession) -> Result<Duration, DbError> {
        let statement = session.prepared(self.batch).await?;
        let values = self.batch_values();
        let started = Instant::now();
        session.fetch_texts(&statement, &values).await?;
        Ok(started.elapsed())
    }

    /// The batch's parameters: arrays over all calls, and what all calls have in common.
    fn batch_values(&self) -> TextRow {
        let of_call = |call: &TextRow, placeholder: u16| -> Option<String> {
            call.get(usize::from(placeholder).checked_sub(1)?)?.clone()
        };
        let parameters = self.evidence.parameters.iter();
        parameters
            .map(|parameter| {
                if parameter.is_array {
                    let elements: Vec<Option<String>> = self
                        .calls
                        .iter()
                        .map(|call| of_call(call, parameter.placeholder))
                        .collect();
                    Some(array(&elements))
                } else {
                    of_call(self.calls.first()?, parameter.placeholder)
                }
            })
            .collect()
    }

    async fn is_equal(&self, session: &OwnedSession) -> Result<bool, DbError> {
        match self.outcome {
            Some(outcome) => {
                let each = undone(session, self.left_by_loop(session, outcome)).await?;
                let at_once = undone(session, self.left_by_batch(session, outcome)).await?;
                Ok(sorted(each) == sorted(at_once))
            }
            None => self.reads_the_same(session).await,
        }
    }

    async fn left_by_loop(
        &self,
        session: &OwnedSession,
        outcome: &str,
    ) -> Result<Vec<TextRow>, DbError> {
        for call in &self.calls {
            session.texts(&filled(self.single, call)).await?;
        }
        session.texts(outcome).await
    }

    async fn left_by_batch(
        &self,
        session: &OwnedSession,
        outcome: &str,
    ) -> Result<Vec<TextRow>, DbError> {
        session
            .texts(&filled(self.batch, &self.batch_values()))
            .await?;
        session.texts(outcome).await
    }

    async fn reads_the_same(&self, session: &OwnedSession) -> Result<bool, DbError> {
        let answer: &Answer = &self.evidence.answer;
        let keys: Vec<usize> = self
            .evidence
            .parameters
            .iter()
            .filter(|parameter| parameter.is_array)
            .map(|parameter| usize::from(parameter.placeholder) - 1)
            .collect();
        let mut singles: BTreeMap<TextRow, Vec<TextRow>> = BTreeMap::new();
        for call in &self.calls {
            let key: TextRow = keys
                .iter()
                .map(|&at| call.get(at).cloned().flatten())
                .collect();
            if let Entry::Vacant(entry) = singles.entry(key) {
                entry.insert(session.texts(&filled(self.single, call)).await?);
            }
        }
        let singles: Vec<_> = singles.into_iter().collect();
        let statement = session.prepared(self.batch).await?;
        let names: Vec<String> = statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        let rows = session
            .texts(&filled(self.batch, &self.batch_values()))
            .await?;
        Ok(answer.compare(&singles, &names, &rows).is_ok())
    }
}

/// Values put in place of `$1`, `$2` …
fn filled(sql: &str, values: &TextRow) -> String {
    let literals: BTreeMap<u16, String> = (1_u16..)
        .zip(values)
        .map(|(n, value)| {
            (
                n,
                value
                    .as_deref()
                    .map_or_else(|| "NULL".to_owned(), quote_literal),
            )
        })
        .collect();
    crate::sql::plannable(sql, &literals, None)
}

/// An array's text form.
fn array(elements: &[Option<String>]) -> String {
    let elements: Vec<String> = elements
        .iter()
        .map(|element| match element {
            None => "NULL".to_owned(),
            Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        })
        .collect();
    format!("{{{}}}", elements.join(","))
}

fn sorted(mut rows: Vec<TextRow>) -> Vec<TextRow> {
    rows.sort();
    rows
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
