//! The batch that a loop should have been, and its proof, as far as the inputs give one.

use super::Loop;
use crate::{
    advise::rewrite::{self, Keys},
    finding::{BatchParameter, QueryCost},
    rules::Audit,
    sql::rewrite::{Answer, Batch, Refusal},
};

/// A loop's batch with its price.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// The batch, or why there is none.
    pub(super) batch: Result<Batch, Refusal>,
    /// Single calls against the batch, where a planner was asked.
    pub(super) cost: Option<QueryCost>,
}

impl Rewrite {
    pub(super) fn of(audit: &Audit<'_>, found: &Loop<'_>) -> Self {
        let keys = Keys::of(found.classes.iter().map(|judged| judged.class));
        let batch = rewrite::batch(audit.snapshot.catalog.as_ref(), found.child, keys);
        let cost = batch
            .as_ref()
            .ok()
            .and_then(|batch| cost(audit, found, batch));
        Self { batch, cost }
    }

    /// The batch as text.
    pub(super) fn sql(&self) -> Option<String> {
        self.batch.as_ref().ok().map(|batch| batch.sql.clone())
    }

    /// Its parameters, `$1` first.
    pub(super) fn parameters(&self) -> Vec<BatchParameter> {
        let batch = self.batch.as_ref();
        let parameters = batch
            .map(|batch| batch.parameters.as_slice())
            .unwrap_or_default();
        parameters
            .iter()
            .map(|parameter| BatchParameter {
                name: parameter.name.clone(),
                r#type: parameter.type_name.clone(),
                is_array: parameter.is_array,
                placeholder: parameter.placeholder,
            })
            .collect()
    }

    /// How it answers.
    pub(super) fn answer(&self) -> Answer {
        let batch = self.batch.as_ref();
        batch.map(|batch| batch.answer.clone()).unwrap_or_default()
    }

    /// Why there is none.
    pub(super) fn refusal(&self) -> Option<String> {
        self.batch.as_ref().err().map(ToString::to_string)
    }
}

fn cost(audit: &Audit<'_>, found: &Loop<'_>, batch: &Batch) -> Option<QueryCost> {
    let priced = rewrite::priced(audit.advice, found.child.fingerprint, batch)?;
    Some(QueryCost {
        fingerprint: found.child.fingerprint,
        query: batch.sql.clone(),
        n_calls: priced.n_keys,
        cost_before: priced.cost_singles,
        cost_after: priced.cost_batch,
        plan_before: Some(priced.plan_single.clone()),
        plan_after: Some(priced.plan_batch.clone()),
        ..QueryCost::default()
    })
}
