//! The guard: every statement to an audited server goes through a short READ ONLY transaction of its own.
//!
//! Timeouts and `search_path` are set with transaction scope, so that nothing outlives it, also where a pooler hands the server's connection
//! to somebody else afterwards. Statements are sent unnamed. A connection goes back to the pool only after a ROLLBACK that the server
//! confirmed; after a failure, a timeout of ours or a cancelled future it is closed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    cost::{Meter, Purpose},
    error::{DbError, DbErrorKind},
    pool::Pooled,
};
use crate::sql::quote_literal;

/// How long we stand in a queue for a lock, ms. Whoever waits behind us (a DDL) waits that long with us.
const LOCK_TIMEOUT_MS: u32 = 100;

/// How long the server keeps a transaction of ours that went quiet, ms: our process may be stopped or unreachable.
const IDLE_IN_TRANSACTION_MS: u32 = 5_000;

/// How much longer than `statement_timeout` we wait for an answer before we take the connection for dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// A role whose own `statement_timeout` is a millisecond may lose the opening, before our value holds.
const MAX_OPENINGS: u32 = 5;

/// Under which `search_path` a transaction runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SearchPath {
    /// `pg_catalog` alone: our own statements.
    Catalog,
    /// As the role has it: to read what that is. Statements must be qualified throughout.
    AsIs,
    /// The workload's, as a `search_path` value.
    Workload(String),
}

/// Limits of one transaction.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) statement_timeout: Duration,
    pub(super) max_answer_bytes: u64,
    pub(super) search_path: SearchPath,
}

impl Limits {
    fn purpose(&self) -> Purpose {
        match self.search_path {
            SearchPath::Workload(_) => Purpose::Planning,
            SearchPath::Catalog | SearchPath::AsIs => Purpose::Reading,
        }
    }
}

/// An open READ ONLY transaction. Dropped without [`Guarded::end`], it takes its connection with it.
#[derive(Debug)]
pub(super) struct Guarded {
    /// `None` once the connection was given back or closed.
    session: Option<Pooled>,
    meter: Arc<Meter>,
    limits: Limits,
}

/// A parameter with its type: statements are sent in one round trip, so types can't be asked for.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Why a statement failed: the server's answer, or ours.
#[derive(Debug)]
pub(super) enum Failure {
    Server(tokio_postgres::Error),
    TimedOut,
    TooLarge,
}

impl Failure {
    pub(super) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server(error) => error.code().map(tokio_postgres::error::SqlState::code),
            Self::TimedOut | Self::TooLarge => None,
        }
    }

    pub(super) fn into_error(self, what: &str) -> DbError {
        match self {
            Self::Server(error) => DbError::of_statement(what, &error),
            Self::TimedOut => DbError::new(
                DbErrorKind::Timeout,
                format!("{what}: no answer from the server"),
            ),
            Self::TooLarge => DbError::new(
                DbErrorKind::AnswerTooLarge,
                format!("{what}: the server's answer is too large"),
            ),
        }
    }
}

impl Guarded {
    /// Opens the transaction on a connection from the pool.
    pub(super) async fn begin(
        session: Pooled,
        meter: Arc<Meter>,
        limits: Limits,
    ) -> Result<Self, DbError> {
        let guarded = Self {
            session: Some(session),
            meter,
            limits,
        };
        for attempt in 1.. {
            match guarded.open().await {
                Ok(()) => break,
                Err(failure) if attempt < MAX_OPENINGS && failure.sqlstate() == Some("57014") => {
                    guarded.send_batch("ROLLBACK /* pgassay */").await.ok();
                }
                Err(failure) => return Err(failure.into_error("opening a read-only transaction")),
            }
        }
        Ok(guarded)
    }

    async fn open(&self) -> Result<(), Failure> {
        let sql = opening(&self.limits);
        let started = Instant::now();
        self.send_batch(&sql).await?;
        self.meter
            .add_opening(self.limits.purpose(), 2, started.elapsed());
        Ok(())
    }

    /// Sends one statement over the extended protocol, unnamed. The server refuses several in one text.
    pub(super) async fn try_query(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let session = self.session();
        session.allowance.reset(self.limits.max_answer_bytes);
        let started = Instant::now();
        let answer = timeout(self.patience(), session.client.query_typed(sql, params)).await;
        self.meter.add(self.limits.purpose(), 1, started.elapsed());
        answer
            .map_err(|_| Failure::TimedOut)?
            .map_err(|error| failure(session, error))
    }

    /// Two of them in one round trip: the second is sent before the first is answered.
    pub(super) async fn try_both(
        &self,
        first: &str,
        second: &str,
    ) -> (Result<Vec<Row>, Failure>, Result<Vec<Row>, Failure>) {
        let session = self.session();
        session.allowance.reset(self.limits.max_answer_bytes);
        let started = Instant::now();
        let both = async {
            tokio::join!(
                session.client.query_typed(first, &[]),
                session.client.query_typed(second, &[])
            )
        };
        let answers = timeout(self.patience(), both).await;
        self.meter.add(self.limits.purpose(), 2, started.elapsed());
        match answers {
            Ok((first, second)) => (
                first.map_err(|error| failure(session, error)),
                second.map_err(|error| failure(session, error)),
            ),
            Err(_) => (Err(Failure::TimedOut), Err(Failure::TimedOut)),
        }
    }

    /// The same for our own statements; `what` says what for.
    pub(super) async fn query(
        &self,
        what: &str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, DbError> {
        self.try_query(sql, params)
            .await
            .map_err(|failure| failure.into_error(what))
    }

    /// Sends `n` statements of our own in one go over the simple protocol. Never a text that came from outside.
    pub(super) async fn try_batch(&self, n: u64, sql: &str) -> Result<(), Failure> {
        let started = Instant::now();
        let answer = self.send_batch(sql).await;
        self.meter.add(self.limits.purpose(), n, started.elapsed());
        answer
    }

    async fn send_batch(&self, sql: &str) -> Result<(), Failure> {
        let session = self.session();
        session.allowance.reset(self.limits.max_answer_bytes);
        timeout(self.patience(), session.client.batch_execute(sql))
            .await
            .map_err(|_| Failure::TimedOut)?
            .map_err(|error| failure(session, error))
    }

    /// Rolls back and gives the connection back. When the server does not confirm, the connection is closed.
    pub(super) async fn end(self) -> Result<(), DbError> {
        self.end_with(1, "ROLLBACK /* pgassay */").await
    }

    /// Ends a transaction that planned: first removes what would outlive the ROLLBACK. `removal` is SQL, each statement with its semicolon.
    pub(super) async fn end_planning(self, removal: &str) -> Result<(), DbError> {
        if removal.is_empty() {
            return self.end().await;
        }
        let n = 2 + removal.matches(';').count() as u64;
        let sql = format!(
            "ROLLBACK TO SAVEPOINT /* pgassay */ pgassay_unit; {removal}ROLLBACK /* pgassay */"
        );
        self.end_with(n, &sql).await
    }

    async fn end_with(mut self, n: u64, sql: &str) -> Result<(), DbError> {
        let result = self.try_batch(n, sql).await;
        match result {
            Ok(()) => {
                // dropping the pooled object returns it
                drop(self.session.take());
                Ok(())
            }
            Err(failure) => Err(failure.into_error("ending a read-only transaction")),
        }
    }

    fn patience(&self) -> Duration {
        self.limits.statement_timeout + PATIENCE
    }

    fn session(&self) -> &Pooled {
        self.session.as_ref().expect("taken only by end and drop")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // out of the pool for good; dropping the client closes the connection, and the server rolls back
            drop(Pooled::take(session));
        }
    }
}

fn failure(session: &Pooled, error: tokio_postgres::Error) -> Failure {
    if session.allowance.is_exceeded() {
        Failure::TooLarge
    } else {
        Failure::Server(error)
    }
}

/// BEGIN and all settings in one message. Everything is qualified: the role's own `search_path` still holds here.
fn opening(limits: &Limits) -> String {
    let mut settings = vec![
        (
            "statement_timeout",
            limits.statement_timeout.as_millis().max(1).to_string(),
        ),
        ("lock_timeout", LOCK_TIMEOUT_MS.to_string()),
        (
            "idle_in_transaction_session_timeout",
            IDLE_IN_TRANSACTION_MS.to_string(),
        ),
        ("client_min_messages", "error".to_owned()),
        // our lexer and the server must agree on where a string ends
        ("standard_conforming_strings", "on".to_owned()),
    ];
    match &limits.search_path {
        SearchPath::AsIs => {}
        SearchPath::Workload(path) => settings.extend([
            ("search_path", path.clone()),
            ("plan_cache_mode", "force_generic_plan".to_owned()),
        ]),
        // values in pg_stats print by these
        SearchPath::Catalog => settings.extend([
            ("search_path", "pg_catalog".to_owned()),
            ("datestyle", "ISO, MDY".to_owned()),
            ("intervalstyle", "postgres".to_owned()),
            ("extra_float_digits", "1".to_owned()),
        ]),
    }
    let calls: Vec<String> = settings
        .iter()
        .map(|(name, value)| {
            format!(
                "pg_catalog.set_config('{name}', {}, true)",
                quote_literal(value)
            )
        })
        .collect();
    // what outlives a ROLLBACK is removed after a ROLLBACK TO, when the transaction works again
    let savepoint = match limits.purpose() {
        Purpose::Planning => "; SAVEPOINT /* pgassay */ pgassay_unit",
        Purpose::Reading => "",
    };
    format!(
        "BEGIN /* pgassay */ TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY; SELECT /* pgassay */ {}{savepoint}",
        calls.join(", ")
    )
}
