//! The one I/O trait of advice: a planner asked as if indexes existed.

use std::future::Future;

use crate::{
    catalog::IndexDef,
    plan::{Plan, WhatIfKind},
};

/// A statement to be planned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlannedQuery {
    /// One plannable statement, with `$n` where the application sent parameters.
    pub sql: String,
    /// `search_path` under which the application ran it; empty: the audited role's.
    pub search_path: Vec<String>,
}

/// Statements to be planned under one set of changes.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The statements.
    pub queries: &'a [PlannedQuery],
    /// Indexes as if they existed.
    pub add: &'a [IndexDef],
    /// Indexes (`schema.name`) as if they did not.
    pub hide: &'a [String],
}

/// Why a statement could not be planned. Data, not failure: the statement is skipped and counted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WhatIfError {
    /// The guard keeps it off the server (unknown functions, several statements, …).
    #[error("kept off the server: {0}")]
    Refused(String),
    /// The server refused it: missing relation, no privilege, timeout, …
    #[error("the server could not plan it: {0}")]
    Server(String),
    /// The budget of server time is spent.
    #[error("server time budget spent")]
    Budget,
    /// No planner at hand, or this back end can't do indexes of that kind.
    #[error("cannot be priced here: {0}")]
    Unsupported(String),
    /// The connection is gone; nothing more can be priced.
    #[error("connection lost: {0}")]
    Lost(String),
}

/// A planner that can be asked as if indexes existed. Implemented by `db` (HypoPG, really built) and `twin`.
pub trait WhatIf: Sync {
    /// Who prices.
    fn kind(&self) -> WhatIfKind;

    /// Plans `query` as if exactly the existing indexes and `add` existed, those named in `hide` (`schema.name`) left out.
    /// In the plan, index `i` of `add` appears under the name that `add[i].name` gives.
    ///
    /// # Errors
    /// See [`WhatIfError`]; only `Lost` and `Budget` end the pricing, others skip this query.
    fn plan(
        &self,
        query: &PlannedQuery,
        add: &[IndexDef],
        hide: &[String],
    ) -> impl Future<Output = Result<Plan, WhatIfError>> + Send;

    /// Plans several queries under one set of changes, answers in the same order. Worth overriding where making the indexes is what costs
    /// (really built ones): they are made once for all queries.
    fn plan_all(
        &self,
        queries: &[PlannedQuery],
        add: &[IndexDef],
        hide: &[String],
    ) -> impl Future<Output = Vec<Result<Plan, WhatIfError>>> + Send {
        async move {
            let mut plans = Vec::with_capacity(queries.len());
            for query in queries {
                plans.push(self.plan(query, add, hide).await);
            }
            plans
        }
    }

    /// Answers several questions, in their order: as [`WhatIf::plan_all`] would one after the other. Worth overriding where several planners
    /// can work at the same time.
    fn plan_each(
        &self,
        questions: &[Question<'_>],
    ) -> impl Future<Output = Vec<Vec<Result<Plan, WhatIfError>>>> + Send {
        async move {
            let mut answers = Vec::with_capacity(questions.len());
            for Question { queries, add, hide } in questions {
                answers.push(self.plan_all(queries, add, hide).await);
            }
            answers
        }
    }

    /// Estimated size in bytes that this back end knows for an index; `None` where the caller's own model must do.
    fn size_bytes(&self, _def: &IndexDef) -> Option<u64> {
        None
    }
}

/// No planner: every question is answered with `Unsupported`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPlanner;

impl WhatIf for NoPlanner {
    fn kind(&self) -> WhatIfKind {
        WhatIfKind::None
    }

    async fn plan(
        &self,
        _query: &PlannedQuery,
        _add: &[IndexDef],
        _hide: &[String],
    ) -> Result<Plan, WhatIfError> {
        Err(WhatIfError::Unsupported("no server to ask".to_owned()))
    }
}
