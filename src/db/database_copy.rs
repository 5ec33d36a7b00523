//! A copy of the audited database that the user names for it (`--verify-on`): proposed indexes are really built there and sampled reads
//! really run, in one transaction that is never committed. A run that is killed leaves nothing behind: the server rolls it back.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    audited::Audited,
    conninfo::{Conninfo, OwnConninfo},
    error::{DbError, DbErrorKind},
    owned::{Owned, OwnedSession},
};
use crate::{
    advise::extension_of,
    catalog::{Build, IndexDef, KeyTarget},
    sql::{quote_identifier, quote_literal},
};

/// What tells one running server from another: a physical copy has the same system identifier, but was started by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    system_identifier: String,
    started: String,
}

const IDENTITY: &str = "SELECT (pg_catalog.pg_control_system()).system_identifier::pg_catalog.text, \
    extract(epoch FROM pg_catalog.pg_postmaster_start_time())::pg_catalog.text";

/// Why a copy is not used.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It may be somebody's live database.
    #[error("{0}")]
    Refused(String),
    /// It can't be reached, or did not do what it was asked.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What running a statement took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The median run, ms.
    pub median_ms: f64,
    /// Blocks touched, of whatever kind.
    pub n_blocks: u64,
    /// It was stopped by the limit: it takes longer.
    pub timed_out: bool,
}

/// What was built.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIndex {
    /// Real size.
    pub size_bytes: u64,
    /// Time of the build.
    pub took: Duration,
    /// The planner leaves it out until old snapshots are gone: rows were updated a moment ago.
    pub must_wait: bool,
}

/// Runs of which the median is taken.
const RUNS: usize = 5;

/// A run that takes longer is not repeated.
const LONG: Duration = Duration::from_secs(2);

/// `statement_timeout` of one run.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a build waits for a lock: on a copy that nobody uses there is nothing to wait for.
const LOCK_TIMEOUT: &str = "5s";

impl Audited {
    /// Which server this is.
    ///
    /// # Errors
    /// When the role may not read it.
    pub async fn server_identity(&self) -> Result<ServerIdentity, DbError> {
        let what = "asking the server who it is";
        let guarded = self.begin().await?;
        let rows = guarded.query(what, IDENTITY, &[]).await?;
        guarded.end().await?;
        let row = rows
            .first()
            .ok_or_else(|| DbError::new(DbErrorKind::Query, what))?;
        Ok(ServerIdentity {
            system_identifier: row.try_get(0).unwrap_or_default(),
            started: row.try_get(1).unwrap_or_default(),
        })
    }
}

/// The copy, with its transaction open. Dropped, it is as it was before.
#[derive(Debug)]
pub struct DatabaseCopy {
    session: OwnedSession,
    n_built: usize,
}

impl Drop for DatabaseCopy {
    fn drop(&mut self) {
        self.session.close();
    }
}

impl DatabaseCopy {
    /// Connects, and opens the transaction once it is sure that nobody else is at work there.
    ///
    /// # Errors
    /// When it is the audited server itself, a standby, a primary with replicas or with sessions of others, or cannot be reached.
    pub async fn open(
        info: &Conninfo,
        audited: Option<&ServerIdentity>,
        search_path: &[String],
    ) -> Result<Self, CopyError> {
        let owned = Owned::connect(&OwnConninfo::of_copy(info), 1).await?;
        let copy = Self {
            session: owned.session().await?,
            n_built: 0,
        };
        copy.session.run("SET search_path = pg_catalog").await?;
        copy.refuse(audited).await?;
        let schemas: Vec<String> = search_path.iter().map(|s| quote_identifier(s)).collect();
        let path = quote_literal(&schemas.join(", "));
        let opening = format!(
            "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL client_min_messages = 'error'; \
             SELECT pg_catalog.set_config('search_path', {path}, true)"
        );
        copy.session.run(&opening).await?;
        Ok(copy)
    }

    async fn refuse(&self, audited: Option<&ServerIdentity>) -> Result<(), CopyError> {
        let refuse = |why: String| Err(CopyError::Refused(why));
        let identity = self.row(IDENTITY).await?;
        let is_same = audited.is_some_and(|audited| {
            identity[0].as_deref() == Some(&audited.system_identifier)
                && identity[1].as_deref() == Some(&audited.started)
        });
        if is_same {
            return refuse("it is the audited server itself".to_owned());
        }
        let state = self.row(STATE).await?;
        let text = |at: usize| state[at].clone().unwrap_or_default();
        if text(0) == "t" {
            return refuse("it is a standby: no index can be built there".to_owned());
        }
        if text(1) != "0" {
            return refuse("it has replicas: whatever is built there reaches them".to_owned());
        }
        match text(2).as_str() {
            "" => Ok(()),
            others => refuse(format!(
                "others are at work there: sessions of {others}. A copy that nobody uses is needed"
            )),
        }
    }

    async fn row(&self, sql: &str) -> Result<Vec<Option<String>>, DbError> {
        let rows = self.session.texts(sql).await?;
        let what = "asking the copy who it is";
        rows.into_iter()
            .next()
            .ok_or_else(|| DbError::new(DbErrorKind::Query, what))
    }

    /// Builds an index, under a name of its own.
    ///
    /// # Errors
    /// When the server refuses it; what was built before stays.
    pub async fn build(&mut self, def: &IndexDef) -> Result<BuiltIndex, DbError> {
        self.session
            .run("SAVEPOINT pgassay_build; SET LOCAL statement_timeout = 0")
            .await?;
        match self.try_build(def).await {
            Ok(built) => Ok(built),
            Err(error) => {
                let undo = "ROLLBACK TO SAVEPOINT pgassay_build";
                self.session.run(undo).await?;
                Err(error)
            }
        }
    }

    async fn try_build(&mut self, def: &IndexDef) -> Result<BuiltIndex, DbError> {
        self.n_built += 1;
        let named = IndexDef {
            name: format!("pgassay_verify_{}", self.n_built),
            ..def.clone()
        };
        if let Some(extension) = extension_of(&named) {
            let sql = format!("CREATE EXTENSION IF NOT EXISTS {extension}");
            self.session.run(&sql).await?;
        }
        let started = Instant::now();
        self.session.run(&named.create_sql(Build::Plain)).await?;
        let took = started.elapsed();
        let is_expression = |target: &KeyTarget| matches!(target, KeyTarget::Expression(_));
        if named.keys.iter().any(|key| is_expression(&key.target)) {
            let analyze = format!("ANALYZE {}", named.table.to_sql());
            self.session.run(&analyze).await?;
        }
        let name = quote_literal(&named.qualified_name_sql());
        let facts = self.row(&BUILT.replace("$1", &name)).await?;
        let text = |at: usize| facts.get(at).cloned().flatten().unwrap_or_default();
        Ok(BuiltIndex {
            size_bytes: text(0).parse().unwrap_or(0),
            took,
            must_wait: text(1) == "t",
        })
    }

    /// Runs a read a few times, after once to warm the cache. The caller has seen to it that it is a harmless one; it runs read-only.
    ///
    /// # Errors
    /// When the server refuses it, in its own words.
    pub async fn measure(&self, sql: &str) -> Result<Measured, DbError> {
        let mut runs = Vec::new();
        let mut n_blocks = 0;
        // the first run warms the cache, and counts only when it is long
        for at in 0..=RUNS {
            let started = Instant::now();
            let Some((ms, blocks)) = self.run(sql).await? else {
                return Ok(Measured {
                    median_ms: RUN_TIMEOUT.as_secs_f64() * 1e3,
                    n_blocks,
                    timed_out: true,
                });
            };
            n_blocks = blocks;
            let is_long = started.elapsed() > LONG;
            if at > 0 || is_long {
                runs.push(ms);
            }
            if is_long {
                break;
            }
        }
        runs.sort_by(f64::total_cmp);
        Ok(Measured {
            median_ms: runs[runs.len() / 2],
            n_blocks,
            timed_out: false,
        })
    }

    /// One run: ms and blocks; `None` when it was stopped by the limit.
    async fn run(&self, sql: &str) -> Result<Option<(f64, u64)>, DbError> {
        let opening = format!(
            "SAVEPOINT pgassay_run; SET LOCAL transaction_read_only = on; SET LOCAL statement_timeout = {}",
            RUN_TIMEOUT.as_millis()
        );
        self.session.run(&opening).await?;
        // one statement at most: the extended protocol refuses more
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}");
        let answer = self.session.client().query(&explain, &[]).await;
        self.session
            .run("ROLLBACK TO SAVEPOINT pgassay_run; RELEASE SAVEPOINT pgassay_run")
            .await?;
        match answer {
            Ok(rows) => {
                let plan: Option<Value> = rows.first().and_then(|row| row.try_get(0).ok());
                Ok(plan.as_ref().and_then(figures))
            }
            Err(error) if error.code().is_some_and(|code| code.code() == "57014") => Ok(None),
            Err(error) => Err(DbError::of_own_statement(&error)),
        }
    }

    /// Rolls everything back.
    ///
    /// # Errors
    /// When the connection is gone, which rolls it back as well.
    pub async fn finish(self) -> Result<(), DbError> {
        self.session.run("ROLLBACK").await
    }
}

/// Execution time and blocks of `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)`.
fn figures(answer: &Value) -> Option<(f64, u64)> {
    let top = answer.get(0)?;
    let ms = top.get("Execution Time")?.as_f64()?;
    let plan = top.get("Plan")?;
    let blocks = [
        "Shared Hit Blocks",
        "Shared Read Blocks",
        "Local Hit Blocks",
        "Local Read Blocks",
        "Temp Read Blocks",
        "Temp Written Blocks",
    ];
    let count = |name: &&str| plan.get(name).and_then(Value::as_u64).unwrap_or(0);
    Some((ms, blocks.iter().map(count).sum()))
}

/// In recovery; replicas; who else is connected. Where the role may not see of which kind a session is, it counts.
const STATE: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    (SELECT count(*) FROM pg_catalog.pg_stat_replication) + (SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE active), \
    (SELECT coalesce(string_agg(DISTINCT coalesce(nullif(a.application_name, ''), 'an unnamed application') || ' in ' || \
            coalesce(a.datname, 'an unknown database'), ', '), '') \
        FROM pg_catalog.pg_stat_activity a \
        WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.datname IS NOT NULL AND coalesce(a.backend_type, 'client backend') = 'client backend')";

/// An index's size, its partitions' included: of a plain index there is no tree.
const BUILT: &str = "SELECT pg_catalog.sum(pg_catalog.pg_relation_size(i.indexrelid)), pg_catalog.bool_or(i.indcheckxmin) FROM pg_catalog.pg_index i \
    WHERE i.indexrelid = pg_catalog.to_regclass($1)::pg_catalog.oid \
        OR i.indexrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)) p)";
