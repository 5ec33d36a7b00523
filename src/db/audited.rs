//! The session to an audited server: a small pool behind the guard.

use std::{sync::Arc, time::Duration};

use deadpool::managed::Pool;

use super::{
    MAX_ANSWER_BYTES, OLDEST_SERVER,
    conninfo::Conninfo,
    cost::{Meter, ServerCost},
    error::{DbError, DbErrorKind},
    guard::{Guarded, Limits, SearchPath},
    pool::{self, Connector},
};

/// Connections at most, as the issue of a production server's connection slots demands.
const MAX_CONNECTIONS: usize = 4;

/// `statement_timeout` of the queries that read catalogs and statistics. They are few, bounded, and nothing goes without them; a server
/// that needs longer for one of them is in no state to be audited.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// What the user allows.
#[derive(Debug, Clone, Copy)]
pub struct AuditedOptions {
    /// `--max-server-time`: server time after which no more EXPLAIN is sent. The catalog is always read, and whatever it cost, EXPLAIN gets
    /// half of this.
    pub max_server_time: Duration,
}

impl Default for AuditedOptions {
    fn default() -> Self {
        Self {
            max_server_time: Duration::from_secs(1),
        }
    }
}

/// A read-only session to the audited server. Cheap to clone; clones share pool and budget.
#[derive(Debug, Clone)]
pub struct Audited {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Pool<Connector>,
    meter: Arc<Meter>,
    place: String,
    version_num: u32,
    database: String,
    search_path: String,
    is_pooled: bool,
}

impl Audited {
    /// Connects, checks the server's version and looks whether a pooler stands in between.
    ///
    /// # Errors
    /// When no server can be reached or logged into, or it is too old.
    pub async fn connect(info: &Conninfo, options: AuditedOptions) -> Result<Self, DbError> {
        let pool = pool::pool(info, MAX_CONNECTIONS);
        let meter = Arc::new(Meter::new(options.max_server_time));
        let first = open(&pool, &meter, SearchPath::AsIs).await?;
        let identity = identify(&first).await?;
        first.end().await?;
        if identity.version_num < OLDEST_SERVER {
            return Err(DbError::new(
                DbErrorKind::TooOld,
                format!("the server is PostgreSQL {}", identity.version),
            )
            .hint("pgassay supports PostgreSQL 13 and newer"));
        }
        let is_pooled = is_pooled(&pool, &meter, identity.backend_pid).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                meter,
                place: info.to_string(),
                version_num: identity.version_num,
                database: identity.database,
                search_path: identity.search_path,
                is_pooled,
            }),
        })
    }

    /// What was asked of the server so far.
    #[must_use]
    pub fn cost(&self) -> ServerCost {
        self.inner.meter.cost()
    }

    /// `server_version_num`
    #[must_use]
    pub fn version_num(&self) -> u32 {
        self.inner.version_num
    }

    /// `current_database()`
    #[must_use]
    pub fn database(&self) -> &str {
        &self.inner.database
    }

    /// Where it is, for people: `database "shop" on db.example:5432`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.inner.place
    }

    /// A pooler hands out server connections per transaction.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.inner.is_pooled
    }

    /// The role's `search_path` setting as it was before any of ours.
    pub(super) fn search_path(&self) -> &str {
        &self.inner.search_path
    }

    /// Server time left for EXPLAIN.
    pub(super) fn remaining(&self) -> Option<Duration> {
        self.inner.meter.remaining()
    }

    /// A transaction for our own catalog queries.
    pub(super) async fn begin(&self) -> Result<Guarded, DbError> {
        open(&self.inner.pool, &self.inner.meter, SearchPath::Catalog).await
    }

    /// The same under the role's own `search_path`: everything in it must be qualified.
    pub(super) async fn begin_as_is(&self) -> Result<Guarded, DbError> {
        open(&self.inner.pool, &self.inner.meter, SearchPath::AsIs).await
    }

    /// A transaction with limits of its own.
    pub(super) async fn begin_with(&self, limits: Limits) -> Result<Guarded, DbError> {
        let session = pool::take(&self.inner.pool).await?;
        Guarded::begin(session, Arc::clone(&self.inner.meter), limits).await
    }
}

async fn open(
    pool: &Pool<Connector>,
    meter: &Arc<Meter>,
    search_path: SearchPath,
) -> Result<Guarded, DbError> {
    let limits = Limits {
        statement_timeout: READ_TIMEOUT,
        max_answer_bytes: MAX_ANSWER_BYTES,
        search_path,
    };
    Guarded::begin(pool::take(pool).await?, Arc::clone(meter), limits).await
}

#[derive(Debug)]
struct Identity {
    version_num: u32,
    version: String,
    database: String,
    search_path: String,
    backend_pid: i32,
}

async fn identify(guarded: &Guarded) -> Result<Identity, DbError> {
    let what = "asking the server who it is";
    let rows = guarded.query(what, IDENTITY, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| DbError::new(DbErrorKind::Query, what))?;
    let read = |at| row.try_get::<_, String>(at).unwrap_or_default();
    Ok(Identity {
        version_num: read(0).parse().unwrap_or(0),
        version: read(1),
        database: read(2),
        search_path: read(3),
        backend_pid: row.try_get(4).unwrap_or_default(),
    })
}

const IDENTITY: &str = "SELECT /* pgassay */ pg_catalog.current_setting('server_version_num'), \
    pg_catalog.current_setting('server_version'), pg_catalog.current_database()::pg_catalog.text, \
    pg_catalog.current_setting('search_path'), pg_catalog.pg_backend_pid()";

/// Two connections of ours at once have two backends, each always the same. A pooler in transaction mode gives the second the backend that
/// the first has just left, or the first another one than before.
async fn is_pooled(
    pool: &Pool<Connector>,
    meter: &Arc<Meter>,
    first_pid: i32,
) -> Result<bool, DbError> {
    let held = pool::take(pool).await?;
    // a server short of connections, or a role limited to one, can still be audited
    let Ok(second) = open(pool, meter, SearchPath::AsIs).await else {
        return Ok(false);
    };
    let second_pid = identify(&second).await?.backend_pid;
    second.end().await?;
    if second_pid == first_pid {
        return Ok(true);
    }
    let limits = Limits {
        statement_timeout: READ_TIMEOUT,
        max_answer_bytes: MAX_ANSWER_BYTES,
        search_path: SearchPath::AsIs,
    };
    let again = Guarded::begin(held, Arc::clone(meter), limits).await?;
    let again_pid = identify(&again).await?.backend_pid;
    again.end().await?;
    Ok(again_pid != first_pid)
}
