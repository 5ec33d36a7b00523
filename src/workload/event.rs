//! What a source tells the fold: one event per log record group, borrowed from the reader's buffer.

use super::Text;

/// Where an event stands in the input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Position of the file in the run's list of inputs.
    pub file: u32,
    /// 1-based line of the record's first line.
    pub line: u64,
}

/// How the client sent a statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Simple query protocol.
    #[default]
    Simple,
    /// Extended protocol, unnamed statement.
    Unnamed,
    /// Extended protocol, or SQL EXECUTE, of a named prepared statement.
    Named,
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It finished, as far as the log tells.
    #[default]
    Finished,
    /// It failed; the SQLSTATE where the log has it.
    Failed(&'a [u8]),
}

/// One execution as the log tells it. Texts are bytes as logged (tabs of continuation lines removed); unknown fields are empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statement<'a> {
    /// Where it stands.
    pub origin: Origin,
    /// Log time, microseconds since the epoch; with a duration it is the end, else the start. 0 when the prefix has no time.
    pub time_us: i64,
    /// Until the sink is appended, equal numbers mean equal session, user, database and application; 0 says nothing.
    pub who: u32,
    /// Session: `%c` where there is one, else `%p`, else a constant.
    pub session: &'a [u8],
    /// Virtual transaction id `%v`.
    pub transaction: &'a [u8],
    /// User name.
    pub user: &'a [u8],
    /// Database name.
    pub database: &'a [u8],
    /// `application_name`
    pub application: &'a [u8],
    /// Postgres's `queryid`, 0 when unknown.
    pub query_id: i64,
    /// Execution time, microseconds (parse and bind not included).
    pub duration_us: Option<u64>,
    /// Parse and bind time of this execution, microseconds.
    pub plan_us: u64,
    /// Parse messages seen for this execution.
    pub n_parses: u32,
    /// Hash of the prepared statement's name; 0 for none.
    pub name: u32,
    /// How it was sent.
    pub protocol: Protocol,
    /// The SQL, as logged: [`Text::decode`] gives its characters.
    pub text: Text<'a>,
    /// Bound parameters as logged: `$1 = 'x', $2 = NULL`.
    pub parameters: &'a [u8],
    /// How it ended.
    pub outcome: Outcome<'a>,
}

/// Everything that a source can tell.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// An execution.
    Statement(Statement<'a>),
    /// More time of a call that is counted elsewhere, not a call of its own: `duration_us` of a portal that was fetched from again,
    /// or `plan_us` of a parse or bind whose execution is not next to it.
    MoreTime(Statement<'a>),
    /// A statement that stands for `n_calls` executions, each of `duration_us`: from a plain SQL file.
    Weighted {
        /// The statement.
        statement: Statement<'a>,
        /// Executions it stands for.
        n_calls: u64,
    },
    /// Something of a session or of the server that is no execution.
    Fact(Fact<'a>),
}

/// Something that a log tells beside executions.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// Where it stands.
    pub origin: Origin,
    /// Log time, microseconds since the epoch; 0 when the prefix has no time.
    pub time_us: i64,
    /// Session, as in [`Statement::session`].
    pub session: &'a [u8],
    /// User name.
    pub user: &'a [u8],
    /// Database name.
    pub database: &'a [u8],
    /// `application_name`
    pub application: &'a [u8],
    /// What happened.
    pub kind: FactKind<'a>,
}

/// Names in a message about a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Who<'a> {
    /// `user=`
    pub user: &'a [u8],
    /// `database=`
    pub database: &'a [u8],
    /// `application_name=`
    pub application: &'a [u8],
}

impl Who<'_> {
    /// A name that tells something: before a client is authorized, prefixes say `[unknown]`.
    #[must_use]
    pub fn is_known(name: &[u8]) -> bool {
        !name.is_empty() && name != b"[unknown]"
    }
}

/// What happened. Texts are bytes as logged; empty when unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind<'a> {
    /// `connection received`
    Received,
    /// `connection authorized`
    Connected {
        /// Who, as the message says: the prefix may not.
        who: Who<'a>,
    },
    /// `disconnection`
    Disconnected {
        /// `session time`, microseconds.
        session_us: u64,
        /// Who, as the message says.
        who: Who<'a>,
    },
    /// `still waiting for` or `acquired` a lock (`log_lock_waits`).
    LockWait {
        /// Waited so far, microseconds.
        waited_us: u64,
        /// The lock was got.
        acquired: bool,
        /// The statement that waits.
        text: &'a [u8],
    },
    /// `deadlock detected`
    Deadlock {
        /// The statement that was cancelled.
        text: &'a [u8],
    },
    /// A temporary file was removed (`log_temp_files`).
    TempFile {
        /// Its size, bytes.
        bytes: u64,
        /// The statement that made it.
        text: &'a [u8],
    },
    /// A statement or its session was ended by someone or by a timeout.
    Cancelled {
        /// Why: `statement timeout`, `lock timeout`, `user request`, `idle-in-transaction timeout` …
        reason: &'a [u8],
        /// The statement.
        text: &'a [u8],
    },
    /// A client was refused because all connection slots are taken.
    TooManyClients,
    /// pgbouncer's statistics of one interval (`stats_period`).
    PoolerStats {
        /// Queries a second.
        queries_per_s: u64,
        /// A transaction's mean time, microseconds.
        transaction_us: u64,
        /// A client's mean wait for a server connection, microseconds.
        wait_us: u64,
    },
    /// pgbouncer opened a connection to the server, or a client logs in.
    PoolerOpened {
        /// Whose connection.
        side: PoolerSide,
    },
    /// pgbouncer closed a connection.
    PoolerClosed {
        /// Whose connection.
        side: PoolerSide,
        /// Why, without what is only this one's.
        reason: &'a [u8],
    },
    /// `checkpoint complete`
    Checkpoint {
        /// Buffers written.
        n_buffers: u64,
        /// Write, sync and the rest, microseconds.
        total_us: u64,
    },
    /// `automatic vacuum` or `automatic analyze`
    Autovacuum {
        /// `database.schema.table`
        relation: &'a [u8],
        /// It was ANALYZE.
        analyze: bool,
        /// How long it took, microseconds.
        elapsed_us: u64,
    },
    /// A plan from `auto_explain`.
    Plan {
        /// The statement.
        text: &'a [u8],
        /// The body as logged: text, JSON, XML or YAML.
        plan: &'a [u8],
        /// Execution time, microseconds.
        duration_us: u64,
    },
    /// The server said at which value it now runs a setting (`parameter "x" changed to "y"`).
    Setting {
        /// Its name.
        name: &'a [u8],
        /// Its new value.
        value: &'a [u8],
    },
}

/// Whose connection a pooler speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolerSide {
    /// An application's.
    Client,
    /// Its own, to the server.
    Server,
}

/// Parse and bind time that a chunk's execution had in the chunk before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedBefore {
    /// Where the execution stands.
    pub origin: Origin,
    /// Parse and bind time, microseconds.
    pub plan_us: u64,
    /// Parse messages.
    pub n_parses: u32,
}

/// Takes events from a source. States of adjacent chunks append to each other in input order, so that chunks can be read in parallel.
pub trait Sink: Send + Sized {
    /// One event, in input order within a chunk.
    fn event(&mut self, event: &Event<'_>);

    /// Something that could not be used: `reason` is the key under which counts add up, `example` a short raw excerpt (redacted on output).
    fn skipped(&mut self, reason: &'static str, origin: Origin, example: &[u8]);

    /// Executions of this chunk, by their places in order, took more time before they started than they were told with. Sums are told
    /// apart ([`Event::MoreTime`]); this is for who needs to know when each started.
    fn planned_before(&mut self, planned: &[PlannedBefore]);

    /// Appends the state of the chunk that follows directly. `following` is left empty, to serve for another chunk: what only saves
    /// work (caches, buffers) stays in it.
    fn append(&mut self, following: &mut Self);
}
