//! What-if by building: on a server of our own, candidates are really built, in a transaction that is never committed.
//!
//! Each index is built once for the planner's lifetime. Which ones a question sees is switched by `pg_index.indisvalid`, a catalog update of
//! some milliseconds, where a build takes as long as a build takes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Mutex as AsyncMutex;
use tokio_postgres::{Row, types::Type};

use super::{
    error::DbError,
    explain::{Transaction, explain},
    guard::{Failure, Param},
    hypopg::{quoted_name, rename},
    owned::{Owned, OwnedSession},
};
use crate::{
    advise::{PlannedQuery, WhatIf, WhatIfError, extension_of},
    catalog::{Build, IndexDef, IndexKey, KeyTarget},
    plan::{Plan, WhatIfKind},
    sql::{quote_identifier, quote_literal},
};

/// Plans on a server of our own, with really built indexes. Everything is rolled back when it is dropped.
#[derive(Debug)]
pub struct RealPlanner {
    owned: Owned,
    /// The open transaction; one question at a time, since all share its catalog.
    bench: AsyncMutex<Option<Bench>>,
    /// Sizes of what was built, by definition.
    sizes: Mutex<BTreeMap<IndexDef, u64>>,
}

impl RealPlanner {
    /// A planner for that server. Nothing is sent before the first question.
    #[must_use]
    pub fn new(owned: Owned) -> Self {
        Self {
            owned,
            bench: AsyncMutex::new(None),
            sizes: Mutex::new(BTreeMap::new()),
        }
    }

    /// Rolls everything back, so that the tables' locks go at once.
    pub async fn finish(&self) {
        drop(self.bench.lock().await.take());
    }

    async fn ask(
        &self,
        queries: &[PlannedQuery],
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<Vec<Result<Plan, WhatIfError>>, WhatIfError> {
        let mut slot = self.bench.lock().await;
        // taken out, so that a failure or a cancelled future drops it, transaction and all
        let mut bench = match slot.take() {
            Some(bench) => bench,
            None => Bench::open(&self.owned)
                .await
                .map_err(|error| WhatIfError::Lost(error.to_string()))?,
        };
        let names = match bench.make_visible(add).await {
            Ok(names) => names,
            Err(error) => {
                // what the server refused was rolled back to its savepoint: the bench is whole
                if matches!(error, WhatIfError::Unsupported(_)) {
                    *slot = Some(bench);
                }
                return Err(error);
            }
        };
        self.remember_sizes(&bench);
        bench.hide(hide).await?;
        let mut plans = Vec::with_capacity(queries.len());
        for query in queries {
            plans.push(bench.plan(query, &names, add).await?);
        }
        bench.batch("ROLLBACK TO SAVEPOINT pgassay_hidden").await?;
        *slot = Some(bench);
        Ok(plans)
    }

    fn remember_sizes(&self, bench: &Bench) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        for (def, built) in &bench.built {
            sizes.insert(def.clone(), built.size_bytes);
        }
    }
}

impl WhatIf for RealPlanner {
    fn kind(&self) -> WhatIfKind {
        WhatIfKind::Real
    }

    async fn plan(
        &self,
        query: &PlannedQuery,
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<Plan, WhatIfError> {
        let mut plans = self.ask(std::slice::from_ref(query), add, hide).await?;
        plans
            .pop()
            .unwrap_or_else(|| Err(WhatIfError::Server("no answer".to_owned())))
    }

    async fn plan_all(
        &self,
        queries: &[PlannedQuery],
        add: &[IndexDef],
        hide: &[String],
    ) -> Vec<Result<Plan, WhatIfError>> {
        self.ask(queries, add, hide)
            .await
            .unwrap_or_else(|error| vec![Err(error); queries.len()])
    }

    fn size_bytes(&self, def: &IndexDef) -> Option<u64> {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(&unnamed(def)).copied()
    }
}

/// Two candidates that differ only in name are one index.
fn unnamed(def: &IndexDef) -> IndexDef {
    IndexDef {
        name: String::new(),
        ..def.clone()
    }
}

/// An open transaction with the indexes built so far. Its connection never goes back to the pool.
#[derive(Debug)]
struct Bench {
    session: OwnedSession,
    built: BTreeMap<IndexDef, Built>,
}

#[derive(Debug)]
struct Built {
    oid: u32,
    name: String,
    size_bytes: u64,
    is_valid: bool,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.session.close();
    }
}

impl Transaction for Bench {
    async fn try_query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        self.session
            .client()
            .query_typed(sql, params)
            .await
            .map_err(Failure::Server)
    }

    async fn try_both(
        &self,
        first: &str,
        second: &str,
    ) -> (Result<Vec<Row>, Failure>, Result<Vec<Row>, Failure>) {
        let client = self.session.client();
        let (first, second) = tokio::join!(
            client.query_typed(first, &[]),
            client.query_typed(second, &[])
        );
        (
            first.map_err(Failure::Server),
            second.map_err(Failure::Server),
        )
    }
}

impl Bench {
    async fn try_batch(&self, sql: &str) -> Result<(), Failure> {
        self.session
            .client()
            .batch_execute(sql)
            .await
            .map_err(Failure::Server)
    }

    async fn open(owned: &Owned) -> Result<Self, DbError> {
        let bench = Self {
            session: owned.session().await?,
            built: BTreeMap::new(),
        };
        // CREATE INDEX sets the table's row count and pages for good, also when rolled back: they must be right before the first plan
        let failed = |failure: Failure| failure.into_error("opening a transaction");
        bench.try_batch("ANALYZE").await.map_err(failed)?;
        let opening = "BEGIN; SET LOCAL maintenance_work_mem = '256MB'; SET LOCAL plan_cache_mode = 'force_generic_plan'; \
            SET LOCAL client_min_messages = 'error'";
        bench.try_batch(opening).await.map_err(failed)?;
        Ok(bench)
    }

    /// Of all built indexes, lets the planner see exactly `add`; returns their real names in that order.
    async fn make_visible(&mut self, add: &[IndexDef]) -> Result<Vec<String>, WhatIfError> {
        let wanted: Vec<IndexDef> = add.iter().map(unnamed).collect();
        for def in &wanted {
            if !self.built.contains_key(def) {
                let built = self.build(def).await?;
                self.built.insert(def.clone(), built);
            }
        }
        let (mut on, mut off) = (Vec::new(), Vec::new());
        for (def, built) in &mut self.built {
            let is_wanted = wanted.contains(def);
            match (built.is_valid, is_wanted) {
                (false, true) => on.push(built.oid),
                (true, false) => off.push(built.oid),
                _ => {}
            }
            built.is_valid = is_wanted;
        }
        self.set_valid(&on, true).await?;
        self.set_valid(&off, false).await?;
        let names = wanted.iter().filter_map(|def| self.built.get(def));
        Ok(names.map(|built| built.name.clone()).collect())
    }

    /// Builds one. A definition that the server refuses leaves the transaction and all other builds alone.
    async fn build(&self, def: &IndexDef) -> Result<Built, WhatIfError> {
        self.batch("SAVEPOINT pgassay_build").await?;
        match self.try_build(def).await {
            Ok(built) => Ok(built),
            Err(why) => {
                self.batch("ROLLBACK TO SAVEPOINT pgassay_build").await?;
                Err(WhatIfError::Unsupported(why.to_string()))
            }
        }
    }

    async fn try_build(&self, def: &IndexDef) -> Result<Built, DbError> {
        let what = "building a candidate";
        let failed = |failure: Failure| failure.into_error(what);
        let named = IndexDef {
            name: format!("pgassay_candidate_{}", self.built.len()),
            ..def.clone()
        };
        if let Some(extension) = extension_of(&named) {
            let sql = format!("CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA public");
            self.try_batch(&sql).await.map_err(failed)?;
        }
        self.try_batch(&named.create_sql(Build::Plain))
            .await
            .map_err(failed)?;
        if named.keys.iter().any(is_expression) {
            // an expression has statistics only once its index exists and was analysed: without them it is priced 300 times too high
            let analyze = format!("ANALYZE {}", named.table.to_sql());
            self.try_batch(&analyze).await.map_err(failed)?;
        }
        // a table with updated rows makes a new index wait for old snapshots (indcheckxmin); the planner must see it now
        let sql = "UPDATE pg_catalog.pg_index SET indcheckxmin = false WHERE indexrelid = pg_catalog.to_regclass($1)::pg_catalog.oid \
            RETURNING indexrelid, pg_catalog.pg_relation_size(indexrelid::pg_catalog.regclass)";
        let name = named.qualified_name_sql();
        let rows = self
            .try_query(sql, &[(&name, Type::TEXT)])
            .await
            .map_err(failed)?;
        let row = rows
            .first()
            .ok_or_else(|| DbError::new(super::DbErrorKind::Query, what))?;
        let mut columns = super::rows::Columns::of(row, what);
        Ok(Built {
            oid: columns.next()?,
            size_bytes: columns.next_count()?,
            name: named.name,
            is_valid: true,
        })
    }

    async fn set_valid(&self, oids: &[u32], is_valid: bool) -> Result<(), WhatIfError> {
        if oids.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE pg_catalog.pg_index SET indisvalid = $2 WHERE indexrelid = ANY ($1)";
        self.query(sql, &[(&oids, Type::OID_ARRAY), (&is_valid, Type::BOOL)])
            .await
    }

    /// Hides existing indexes for one question: the savepoint brings them back.
    async fn hide(&self, hide: &[String]) -> Result<(), WhatIfError> {
        self.batch("SAVEPOINT pgassay_hidden").await?;
        if hide.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = hide.iter().map(|name| quoted_name(name)).collect();
        let sql = "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = ANY (ARRAY( \
            SELECT pg_catalog.to_regclass(u.name)::pg_catalog.oid FROM pg_catalog.unnest($1) AS u(name)))";
        self.query(sql, &[(&names, Type::TEXT_ARRAY)]).await
    }

    /// Plans one query. Its own failure is the inner result; the outer one is the bench's.
    async fn plan(
        &self,
        query: &PlannedQuery,
        names: &[String],
        add: &[IndexDef],
    ) -> Result<Result<Plan, WhatIfError>, WhatIfError> {
        self.batch("SAVEPOINT pgassay_query").await?;
        if !query.search_path.is_empty() {
            let schemas: Vec<String> = query
                .search_path
                .iter()
                .map(|s| quote_identifier(s))
                .collect();
            let path = quote_literal(&schemas.join(", "));
            self.batch(&format!(
                "SELECT pg_catalog.set_config('search_path', {path}, true)"
            ))
            .await?;
        }
        let asked = explain(self, &query.sql).await;
        let end = format!("ROLLBACK TO SAVEPOINT pgassay_query; {}", asked.removal());
        self.batch(&end).await?;
        let plan = asked.result.and_then(|explained| explained.plan());
        let plan = plan.map(|mut plan| {
            rename(&mut plan.root, names, add);
            plan
        });
        Ok(plan)
    }

    async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<(), WhatIfError> {
        self.try_query(sql, params).await.map(drop).map_err(lost)
    }

    async fn batch(&self, sql: &str) -> Result<(), WhatIfError> {
        self.try_batch(sql).await.map_err(lost)
    }
}

fn is_expression(key: &IndexKey) -> bool {
    matches!(key.target, KeyTarget::Expression(_))
}

/// Statements of the bench's own do not fail unless the server is going away.
fn lost(failure: Failure) -> WhatIfError {
    WhatIfError::Lost(failure.into_error("on the throwaway server").to_string())
}
