//! Does a twin plan as its server does? Statements of the workload are planned on both, and the answers compared.

use std::collections::BTreeMap;

use crate::{
    advise::{PlannedQuery, WhatIf},
    catalog::Catalog,
    db::{Audited, LivePlanner},
    plan::Plan,
    snapshot::SamplePlan,
    sql::plannable,
    twin::Twin,
    workload::{Query, Workload},
};

/// Statements that are compared: those that take most of the time. Each is one EXPLAIN on the server.
const MAX_SAMPLES: usize = 40;
/// Share of plans of the same shape below which a twin's answers are doubtful.
const ENOUGH: f64 = 0.95;

/// The server's plans of the statements that take most of its time.
pub(super) async fn samples(
    server: &Audited,
    catalog: &Catalog,
    workload: &Workload,
) -> Vec<SamplePlan> {
    let live = LivePlanner::new(server.clone(), catalog);
    let mut queries: Vec<&Query> = workload
        .queries
        .iter()
        .filter(|q| q.shape.is_some())
        .collect();
    queries.sort_by(|a, b| b.total_ms().total_cmp(&a.total_ms()));
    let mut samples = Vec::new();
    for query in queries.into_iter().take(MAX_SAMPLES) {
        let query = PlannedQuery {
            sql: plannable(&query.sample, &BTreeMap::new(), None),
            search_path: Vec::new(),
        };
        if let Ok(plan) = live.plan(&query, &[], &[]).await {
            samples.push(sample(query.sql, &plan));
        }
    }
    samples
}

fn sample(sql: String, plan: &Plan) -> SamplePlan {
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    SamplePlan {
        sql,
        search_path: Vec::new(),
        shape: plan
            .nodes()
            .map(|n| format!("{}|{}|{}", n.node_type, word(&n.relation), word(&n.index)))
            .collect(),
        total_cost: plan.total_cost().0,
        numbers: plan
            .nodes()
            .map(|n| {
                [
                    n.startup_cost.0,
                    n.total_cost.0,
                    n.plan_rows,
                    f64::from(n.plan_width),
                ]
            })
            .collect(),
        literals: Vec::new(),
    }
}

/// What a comparison gave.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct SelfCheck {
    n: usize,
    n_unplanned: usize,
    n_identical: usize,
    n_same_shape: usize,
    worst_ratio: f64,
}

impl SelfCheck {
    fn add(&mut self, expected: &SamplePlan, found: Option<&SamplePlan>) {
        let Some(found) = found else {
            self.n_unplanned += 1;
            return;
        };
        self.n += 1;
        self.n_identical +=
            usize::from(found.shape == expected.shape && found.numbers == expected.numbers);
        self.n_same_shape += usize::from(found.shape == expected.shape);
        let (low, high) = (
            expected.total_cost.min(found.total_cost),
            expected.total_cost.max(found.total_cost),
        );
        if low > 0.0 {
            self.worst_ratio = self.worst_ratio.max(high / low);
        }
    }

    /// Too few plans of the same shape to trust the others?
    pub(super) fn is_doubtful(&self) -> bool {
        (self.n_same_shape as f64) < ENOUGH * self.n as f64
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let warning = if self.is_doubtful() {
            "the twin does not plan as the server does: "
        } else {
            ""
        };
        let unplanned = match self.n_unplanned {
            0 => String::new(),
            n => format!("; {n} more could not be planned in it"),
        };
        format!(
            "{warning}self-check of the twin: of {} plans of the server {} identical, {} of the same shape, worst cost ratio {:.2}{unplanned}",
            self.n,
            self.n_identical,
            self.n_same_shape,
            self.worst_ratio.max(1.0)
        )
    }
}

/// Plans the samples in the twin. `None` where there is nothing to compare.
pub(super) async fn check(twin: &Twin, samples: &[SamplePlan]) -> Option<SelfCheck> {
    if samples.is_empty() {
        return None;
    }
    let mut result = SelfCheck::default();
    for expected in samples {
        let query = PlannedQuery {
            sql: expected.sql.clone(),
            search_path: expected.search_path.clone(),
        };
        let plan = twin.plan(&query, &[], &[]).await.ok();
        let found = plan.map(|plan| sample(String::new(), &plan));
        result.add(expected, found.as_ref());
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(shape: &str, cost: f64) -> SamplePlan {
        SamplePlan {
            shape: vec![shape.into()],
            total_cost: cost,
            numbers: vec![[0.0, cost, 1.0, 4.0]],
            ..SamplePlan::default()
        }
    }

    #[test]
    fn a_few_other_plans_are_told_and_many_are_a_warning() {
        let mut result = SelfCheck::default();
        for _ in 0..20 {
            result.add(&plan("Seq Scan|t|", 10.0), Some(&plan("Seq Scan|t|", 10.0)));
        }
        result.add(&plan("Seq Scan|t|", 10.0), Some(&plan("Seq Scan|t|", 15.0)));
        assert_eq!(
            result.words(),
            "self-check of the twin: of 21 plans of the server 20 identical, 21 of the same shape, worst cost ratio 1.50"
        );
        for _ in 0..2 {
            let other = plan("Index Scan|t|i", 1.0);
            result.add(&plan("Seq Scan|t|", 10.0), Some(&other));
        }
        result.add(&plan("Seq Scan|t|", 10.0), None);
        let words = result.words();
        assert!(
            words.starts_with("the twin does not plan as the server does: "),
            "{words}"
        );
        assert!(
            words.ends_with("; 1 more could not be planned in it"),
            "{words}"
        );
    }
}
