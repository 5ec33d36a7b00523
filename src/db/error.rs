//! What can go wrong with a database, in words for people: kind, message, hints. Never a secret, never a literal of the workload.

use tokio_postgres::error::SqlState;

/// What kind of failure it is; callers branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbErrorKind {
    /// The connection string or a file that it names can't be used.
    Conninfo,
    /// No server answers there.
    Unreachable,
    /// TLS could not be agreed on, or a certificate was not accepted.
    Tls,
    /// Wrong password, no password, no such role, or `pg_hba.conf` says no.
    Authentication,
    /// No such database.
    UnknownDatabase,
    /// All connections are taken, or the server is starting up or shutting down.
    Busy,
    /// Older than [`super::OLDEST_SERVER`].
    TooOld,
    /// A privilege lacks.
    NoPrivilege,
    /// `statement_timeout`, `lock_timeout`, or our own patience.
    Timeout,
    /// The server's answer is larger than [`super::MAX_ANSWER_BYTES`].
    AnswerTooLarge,
    /// The budget of server time is spent.
    Budget,
    /// The connection broke.
    Lost,
    /// The server refused a statement for another reason.
    Query,
}

/// A failure with what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct DbError {
    kind: DbErrorKind,
    message: String,
    hints: Vec<String>,
}

impl DbError {
    pub(super) fn new(kind: DbErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What kind of failure.
    #[must_use]
    pub fn kind(&self) -> DbErrorKind {
        self.kind
    }

    /// What the user can do next, one sentence each.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// A statement of ours failed on an open connection. `what` says what it was for: `reading pg_stats`.
    pub(super) fn of_statement(what: &str, error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self::of_connection(what, error);
        };
        let code = db.code();
        let kind = kind_of(code);
        let message = format!("{what}: {}", words(code));
        match kind {
            DbErrorKind::NoPrivilege => Self::new(kind, message).hint(
                "grant pg_monitor to the role that pgassay connects as, or connect as a role that has it",
            ),
            DbErrorKind::Timeout => Self::new(kind, message)
                .hint("the server is busy or locked; try again, or raise --max-server-time"),
            _ => Self::new(kind, message),
        }
    }

    /// A statement failed on a server of our own: the server's words, with position and detail.
    pub(super) fn of_own_statement(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => {
                let detail = db.detail().map(|d| format!(" ({d})")).unwrap_or_default();
                let message = format!("{}: {}{detail}", db.code().code(), db.message());
                Self::new(kind_of(db.code()), message)
            }
            None => Self::of_connection("on the throwaway server", error),
        }
    }

    fn of_connection(what: &str, error: &tokio_postgres::Error) -> Self {
        if error.is_closed() || io_cause(error).is_some() {
            return Self::new(DbErrorKind::Lost, format!("{what}: connection lost"));
        }
        Self::new(
            DbErrorKind::Query,
            format!("{what}: unexpected answer from the server"),
        )
    }
}

pub(super) fn io_cause(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        cause = inner.source();
    }
    None
}

fn kind_of(code: &SqlState) -> DbErrorKind {
    match code.code() {
        "42501" => DbErrorKind::NoPrivilege,
        "57014" | "55P03" | "25P03" => DbErrorKind::Timeout,
        "57P01" | "57P02" | "57P05" | "08006" => DbErrorKind::Lost,
        "53300" | "57P03" => DbErrorKind::Busy,
        _ => DbErrorKind::Query,
    }
}

/// SQLSTATE in words. The server's own message may quote data, so it is never shown.
pub(super) fn words(code: &SqlState) -> String {
    let text = match code.code() {
        "42P01" => "a relation does not exist",
        "42703" => "a column does not exist",
        "42883" => "a function or operator does not exist",
        "42704" => "a type or another object does not exist",
        "3F000" => "a schema does not exist",
        "42601" => "syntax that this server does not know",
        "42501" => "permission denied",
        "42P18" | "42P08" => "the type of a parameter cannot be determined",
        "42702" | "42725" => "an ambiguous name",
        "42804" | "42846" => "types do not match",
        "42P02" => "a parameter is missing",
        "57014" => "cancelled by statement_timeout",
        "55P03" => "a lock was not granted in time",
        "25006" => "it would write",
        "0A000" => "a feature that this server lacks",
        "54000" | "54001" | "54011" => "too complex for the server",
        "53200" => "the server is out of memory",
        "22P02" | "22007" | "22008" => "a literal that is invalid for its type",
        "2200G" | "42809" => "an object of the wrong kind",
        other => return format!("the server refused it (SQLSTATE {other})"),
    };
    format!("{text} (SQLSTATE {})", code.code())
}
