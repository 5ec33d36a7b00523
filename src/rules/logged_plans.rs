//! Plans that `auto_explain` logged, beside the statements that they are of, with what makes them slow.

use super::{
    Audit,
    loops::full_name,
    review::{self, Problem, ProblemKind},
};
use crate::{
    catalog::RelationName,
    plan::Plan,
    sql::{Fingerprint, shape::RelationRef},
    workload::{LoggedPlan, Query, SlowPlans},
};

/// The slowest plan of one statement.
pub(super) struct Reviewed<'a> {
    pub(super) query: &'a Query,
    pub(super) logged: &'a LoggedPlan,
    pub(super) plan: Plan,
    pub(super) problems: Vec<Problem>,
}

impl Reviewed<'_> {
    /// It tells what happened, not only what was expected.
    pub(super) fn is_measured(&self) -> bool {
        self.plan.root.actual.is_some()
    }
}

/// All that can be read, by fingerprint.
pub(super) fn reviewed<'a>(audit: &Audit<'a>) -> Vec<Reviewed<'a>> {
    let workload = &audit.snapshot.workload;
    let plans = workload.activity.incidents.slow_plans.iter();
    plans
        .filter_map(|(fingerprint, logged)| {
            let query = workload.query(fingerprint)?;
            if is_explained_by_hand(query) {
                return None;
            }
            let plan = Plan::from_text(&logged.body).ok()?;
            Some(Reviewed {
                query,
                logged,
                problems: review::review(&plan),
                plan,
            })
        })
        .collect()
}

/// `EXPLAIN ANALYZE` that somebody typed: `auto_explain` logs it as well, and it is no part of the application.
fn is_explained_by_hand(query: &Query) -> bool {
    let first = query.text.get(.."explain".len());
    first.is_some_and(|word| word.eq_ignore_ascii_case("explain"))
}

/// Plans that could not be read.
pub(super) fn n_unread(plans: &SlowPlans) -> usize {
    plans
        .iter()
        .filter(|(_, logged)| Plan::from_text(&logged.body).is_err())
        .count()
}

/// Does advice on indexes have an answer for this statement already?
pub(super) fn is_advised(audit: &Audit<'_>, fingerprint: Fingerprint) -> bool {
    let by_index = audit.advice.recommendations.iter().any(|one| {
        one.queries
            .iter()
            .any(|priced| priced.fingerprint == fingerprint)
    });
    let mut conditions = audit.advice.conditions.iter();
    by_index || conditions.any(|priced| priced.fingerprint == fingerprint)
}

/// Problems that an index mends.
pub(super) fn wants_an_index(kind: ProblemKind) -> bool {
    matches!(
        kind,
        ProblemKind::RowsRemovedByFilter
            | ProblemKind::WrongIndexForLimit
            | ProblemKind::SelectiveSeqScan
            | ProblemKind::RepeatedSeqScan
            | ProblemKind::RowsRemovedByJoinFilter
            | ProblemKind::SortSpill
    )
}

/// Problems that right estimates mend.
pub(super) fn is_about_estimates(kind: ProblemKind) -> bool {
    matches!(
        kind,
        ProblemKind::RowMisestimate | ProblemKind::NestedLoopBlowUp
    )
}

/// The relation that a problem is about, with its schema.
pub(super) fn relation(audit: &Audit<'_>, problem: &Problem) -> Option<RelationName> {
    let name = problem.relation.clone()?;
    let relation = RelationRef { schema: None, name };
    Some(full_name(audit, &relation))
}
