//! What `pg_stat_statements` alone can't decide: partial indexes that need the predicate as a literal. Where an index is recommended for the
//! statement anyway, a sentence of that finding says so; else a finding of its own, without a migration and of low confidence.

use super::{Audit, recommended::keys_in_words};
use crate::{
    advise::{ConditionalIndex, Recommendation},
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactBasis, ImpactSource, IndexEvidence, QueryCost,
        Remedy, RemedyKind, Severity, Subject, figures,
    },
    workload::Loads,
};

/// How the value comes to be known.
const DECIDED_BY: &str = "pg_stat_statements shows as $n either way: log the statement (log_min_duration_statement, with log_parameter_max_length for bound \
     values) and audit the log";

/// One finding for each statement that no recommendation serves.
pub(super) fn findings(audit: &Audit<'_>, rule: &'static str) -> Vec<Finding> {
    let conditional = audit.advice.conditional.iter();
    conditional
        .filter(|index| index.instead_of_bytes.is_none())
        .filter_map(|index| finding(audit, rule, index))
        .collect()
}

/// What a recommendation's finding adds: a partial index that might do instead.
pub(super) fn alternative(audit: &Audit<'_>, recommendation: &Recommendation) -> Option<String> {
    let is_served = |index: &&ConditionalIndex| {
        let mut queries = recommendation.queries.iter();
        index.instead_of_bytes.is_some()
            && index.def.table == recommendation.def.table
            && queries.any(|query| query.fingerprint == index.fingerprint)
    };
    let index = audit.advice.conditional.iter().find(is_served)?;
    let cost = match index.cost_before / index.cost_after.max(f64::MIN_POSITIVE) {
        factor if factor >= 2.0 => format!(
            "{}\u{d7} cheaper for it still",
            figures::count(factor.round() as u64)
        ),
        _ => "as good for it".to_owned(),
    };
    Some(format!(
        "if one statement always has the same rare value of {} in its text, a partial index on ({}) of about {} (a value of {} of the rows was tried) \
         is {cost}; that value {DECIDED_BY}",
        index.column,
        keys_in_words(&index.def).join(", "),
        figures::bytes(index.size_bytes),
        figures::share(index.value_share),
    ))
}

fn finding(audit: &Audit<'_>, rule: &'static str, index: &ConditionalIndex) -> Option<Finding> {
    let query = audit.snapshot.workload.query(index.fingerprint)?;
    let table = &index.def.table;
    let factor = index.cost_before / index.cost_after.max(f64::MIN_POSITIVE);
    Some(Finding {
        rule,
        severity: Severity::Info,
        confidence: Confidence::Low,
        subject: Subject {
            relation: Some(table.clone()),
            columns: keys_in_words(&index.def),
            fingerprint: Some(query.fingerprint),
            query: Some(query.text.clone()),
            ..Subject::default()
        },
        message: format!(
            "if {} is always the same rare value in one statement's text, a partial index on {table} ({}) makes it {}\u{d7} cheaper",
            index.column,
            keys_in_words(&index.def).join(", "),
            figures::count(factor.round() as u64)
        ),
        impact: Impact {
            n_calls: query.n_calls(),
            total_time_ms: query.total_ms(),
            basis: ImpactBasis::PlannerOnly,
            source: ImpactSource::PgStatStatements,
            window_s: Loads::window_s(&audit.snapshot.workload, query),
            ..Impact::default()
        },
        evidence: Evidence::Index(IndexEvidence {
            queries: vec![QueryCost {
                fingerprint: query.fingerprint,
                query: query.text.clone(),
                n_calls: query.n_calls(),
                cost_before: index.cost_before,
                cost_after: index.cost_after,
                uses_index: true,
                mean_ms: (query.total_ms() > 0.0).then(|| query.mean_ms()),
                plan_before: None,
                plan_after: None,
            }],
            size_bytes: index.size_bytes,
            ..IndexEvidence::default()
        }),
        locations: Vec::new(),
        remedy: Remedy {
            kind: RemedyKind::Other,
            hint: format!(
                "it needs the predicate on {} as a literal, which {DECIDED_BY}; a value of {} of the rows was tried",
                index.column,
                figures::share(index.value_share)
            ),
            ..Remedy::default()
        },
    })
}
