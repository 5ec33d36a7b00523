//! A planner with a meter: every question is counted, and none is passed on once time is up.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{Options, PlannedQuery, Question, WhatIf, WhatIfError};
use crate::{
    catalog::IndexDef,
    plan::{Plan, WhatIfKind},
};

/// Wraps the planner for the whole of one piece of advice.
pub(super) struct Metered<'a, W> {
    planner: &'a W,
    asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl<'a, W: WhatIf> Metered<'a, W> {
    pub(super) fn new(planner: &'a W, options: &Options) -> Self {
        Self {
            planner,
            asked: Arc::clone(&options.asked),
            stop: Arc::clone(&options.stop),
        }
    }

    /// Questions so far.
    pub(super) fn n_calls(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Why nothing more is asked, if so.
    pub(super) fn stopped(&self) -> Option<String> {
        self.stop.load(Ordering::Relaxed).then(|| {
            format!(
                "time was up (--max-time) after {} planner calls",
                self.n_calls()
            )
        })
    }

    fn counts(&self, n: usize) -> bool {
        let goes_on = !self.stop.load(Ordering::Relaxed);
        if goes_on {
            self.asked.fetch_add(n as u64, Ordering::Relaxed);
        }
        goes_on
    }
}

impl<W: WhatIf> WhatIf for Metered<'_, W> {
    fn kind(&self) -> WhatIfKind {
        self.planner.kind()
    }

    async fn plan(
        &self,
        query: &PlannedQuery,
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<Plan, WhatIfError> {
        if self.counts(1) {
            self.planner.plan(query, add, hide).await
        } else {
            Err(WhatIfError::Budget)
        }
    }

    async fn plan_all(
        &self,
        queries: &[PlannedQuery],
        add: &[IndexDef],
        hide: &[String],
    ) -> Vec<Result<Plan, WhatIfError>> {
        if self.counts(queries.len()) {
            self.planner.plan_all(queries, add, hide).await
        } else {
            vec![Err(WhatIfError::Budget); queries.len()]
        }
    }

    async fn plan_each(&self, questions: &[Question<'_>]) -> Vec<Vec<Result<Plan, WhatIfError>>> {
        let n = questions.iter().map(|question| question.queries.len());
        if self.counts(n.clone().sum()) {
            self.planner.plan_each(questions).await
        } else {
            n.map(|n| vec![Err(WhatIfError::Budget); n]).collect()
        }
    }

    fn size_bytes(&self, def: &IndexDef) -> Option<u64> {
        self.planner.size_bytes(def)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::NoPlanner;

    #[tokio::test]
    async fn questions_are_counted_until_time_is_up() {
        let options = Options::default();
        let metered = Metered::new(&NoPlanner, &options);
        let query = PlannedQuery {
            sql: "SELECT 1".to_owned(),
            search_path: Vec::new(),
        };
        let both = [query.clone(), query.clone()];
        metered.plan_all(&both, &[], &[]).await;
        assert_eq!((metered.n_calls(), metered.stopped()), (2, None));
        options.stop.store(true, Ordering::Relaxed);
        let refused = metered.plan(&query, &[], &[]).await;
        assert!(matches!(refused, Err(WhatIfError::Budget)), "{refused:?}");
        assert_eq!(metered.n_calls(), 2);
        let why = metered.stopped().unwrap();
        assert!(
            why.contains("--max-time") && why.contains("2 planner calls"),
            "{why}"
        );
    }
}
