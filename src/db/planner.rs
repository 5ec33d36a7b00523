//! The audited server as a planner: HypoPG where it has it, else its existing indexes only.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use super::{
    admission::Census,
    audited::Audited,
    error::{DbError, DbErrorKind},
    explain::{Explained, explain},
    guard::{Guarded, Limits, SearchPath},
    hypopg::Hypopg,
};
use crate::{
    advise::{PlannedQuery, WhatIf, WhatIfError},
    catalog::{Catalog, IndexDef},
    plan::{Plan, WhatIfKind},
    sql::quote_identifier,
};

/// `statement_timeout` of one EXPLAIN. Planning takes a millisecond; a statement that needs this long would eat the whole budget.
const EXPLAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Largest plan taken. Real ones are kilobytes; a few hundred partitions make a megabyte.
const MAX_PLAN_BYTES: u64 = 8 * 1024 * 1024;

/// Plans on the audited server, within the guard and the budget.
#[derive(Debug)]
pub struct LivePlanner {
    audited: Audited,
    hypopg: Option<Hypopg>,
    /// Taken with the first question.
    census: OnceCell<Result<Census, DbError>>,
}

impl LivePlanner {
    /// A planner for that server; `catalog` tells whether HypoPG is installed and in which schema.
    #[must_use]
    pub fn new(audited: Audited, catalog: &Catalog) -> Self {
        let hypopg = catalog.server.extension("hypopg").map(Hypopg::new);
        Self {
            audited,
            hypopg,
            census: OnceCell::new(),
        }
    }

    /// EXPLAIN (FORMAT JSON, VERBOSE) of a statement as the server answers it.
    ///
    /// # Errors
    /// See [`WhatIfError`].
    pub async fn explain_json(&self, query: &PlannedQuery) -> Result<Box<RawValue>, WhatIfError> {
        self.admit(&query.sql).await?;
        let guarded = self.begin(query).await?;
        Ok(finish(guarded, &query.sql).await?.into_json())
    }

    pub(super) async fn admit(&self, sql: &str) -> Result<(), WhatIfError> {
        let census = self
            .census
            .get_or_init(|| Census::take(&self.audited))
            .await
            .as_ref()
            .map_err(|error| WhatIfError::Server(error.to_string()))?;
        census
            .admit(sql)
            .map_err(|refusal| WhatIfError::Refused(refusal.to_string()))
    }

    async fn begin(&self, query: &PlannedQuery) -> Result<Guarded, WhatIfError> {
        let left = self.audited.remaining().ok_or(WhatIfError::Budget)?;
        let limits = Limits {
            statement_timeout: left.min(EXPLAIN_TIMEOUT),
            max_answer_bytes: MAX_PLAN_BYTES,
            search_path: SearchPath::Workload(self.search_path(query)),
        };
        self.audited
            .begin_with(limits)
            .await
            .map_err(|error| lost(&error))
    }

    /// The server that is asked.
    pub(super) fn audited(&self) -> &Audited {
        &self.audited
    }

    fn search_path(&self, query: &PlannedQuery) -> String {
        if query.search_path.is_empty() {
            return self.audited.search_path().to_owned();
        }
        let schemas: Vec<String> = query
            .search_path
            .iter()
            .map(|s| quote_identifier(s))
            .collect();
        schemas.join(", ")
    }
}

/// Plans and gives the connection back. An end that isn't confirmed closes the connection; what the server said before stays true.
async fn finish(guarded: Guarded, sql: &str) -> Result<Explained, WhatIfError> {
    let asked = explain(&guarded, sql).await;
    guarded.end_planning(asked.removal()).await.ok();
    asked.result
}

/// A transaction could not be opened: nothing more can be priced, unless the server was merely slow.
fn lost(error: &DbError) -> WhatIfError {
    match error.kind() {
        DbErrorKind::Timeout => WhatIfError::Server(error.to_string()),
        _ => WhatIfError::Lost(error.to_string()),
    }
}

impl WhatIf for LivePlanner {
    fn kind(&self) -> WhatIfKind {
        match self.hypopg {
            Some(_) => WhatIfKind::Hypopg,
            None => WhatIfKind::None,
        }
    }

    async fn plan(
        &self,
        query: &PlannedQuery,
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<Plan, WhatIfError> {
        self.admit(&query.sql).await?;
        if add.is_empty() && hide.is_empty() {
            let guarded = self.begin(query).await?;
            return finish(guarded, &query.sql).await?.plan();
        }
        let Some(hypopg) = &self.hypopg else {
            let why = "the server has no HypoPG, so indexes that do not exist can't be priced";
            return Err(WhatIfError::Unsupported(why.to_owned()));
        };
        hypopg.check(add, hide)?;
        let guarded = self.begin(query).await?;
        hypopg.plan(guarded, &query.sql, add, hide).await
    }

    /// All at once: the pool lets through as many as there are connections.
    async fn plan_all(
        &self,
        queries: &[PlannedQuery],
        add: &[IndexDef],
        hide: &[String],
    ) -> Vec<Result<Plan, WhatIfError>> {
        let plans: Vec<_> = queries
            .iter()
            .map(|query| self.plan(query, add, hide))
            .collect();
        join_all(plans).await
    }
}
