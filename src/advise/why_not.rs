//! Why a statement got no index: what was tried, and how far it got.

use std::collections::BTreeSet;

use super::{
    Options, PricedCondition, WhatIf, WhyNot,
    bind::BoundQuery,
    price::{Priced, Pricer},
    propose::Proposal,
    verify::Verified,
};
use crate::{catalog::Build, sql::shape::Target};

/// For slow statements that no recommendation serves: what was tried and how far it got.
pub(super) fn why_not<W: WhatIf>(
    queries: &[BoundQuery<'_>],
    proposals: &[Proposal],
    pricer: &Pricer<'_, W>,
    verified: &Verified,
    options: &Options,
) -> Vec<WhyNot> {
    let served: BTreeSet<usize> = verified.values().flatten().map(|s| s.query).collect();
    (0..queries.len())
        .filter(|at| !served.contains(at))
        .map(|at| {
            let tried: Vec<usize> = (0..proposals.len())
                .filter(|&p| pricer.applies[p].contains(&at))
                .collect();
            let best_ratio = pricer.best_ratio(at);
            WhyNot {
                fingerprint: queries[at].query.fingerprint,
                tried: tried
                    .iter()
                    .map(|&p| proposals[p].candidate.def.create_sql(Build::Plain))
                    .collect(),
                best_ratio,
                reason: contradiction(at, pricer)
                    .or_else(|| elsewhere(at, &queries[at], pricer))
                    .or_else(|| unpriced(&tried, pricer))
                    .or_else(|| hidden(&queries[at]).filter(|_| tried.is_empty()))
                    .unwrap_or_else(|| {
                        reason_why_not(tried.is_empty(), pricer.known(at, &[]), best_ratio, options)
                    }),
            }
        })
        .collect()
}

/// Statements that another form of their condition would help say so.
pub(super) fn point_at_rewrites(why_not: &mut [WhyNot], conditions: &[PricedCondition]) {
    for entry in why_not {
        let priced = conditions
            .iter()
            .find(|priced| priced.fingerprint == entry.fingerprint);
        if let Some(condition) = priced.and_then(|priced| priced.conditions.first()) {
            entry.reason = format!(
                "no index on {} serves {} as it is written: non-sargable-predicate has the form that one serves",
                condition.column, condition.before
            );
        }
    }
}

/// The planner's cost and the measured time do not belong together.
fn contradiction<W: WhatIf>(at: usize, pricer: &Pricer<'_, W>) -> Option<String> {
    pricer.contradicted.contains(&at).then(|| {
        "it is much faster than the planner's cost for unknown values: what it really asks for, only a log with parameters tells \
         (log_min_duration_statement or log_statement)".to_owned()
    })
}

/// A condition on an expression with a parameter in it, such as `data ->> $1`: which expression to index is not known.
fn hidden(query: &BoundQuery<'_>) -> Option<String> {
    let predicates = query.scans.iter().flat_map(|bound| &bound.scan.predicates);
    let is_hidden =
        |target: &Target| matches!(target, Target::Expression(text) if text.contains('$'));
    predicates.map(|predicate| &predicate.target).any(is_hidden).then(|| {
        "it compares an expression whose constants are parameters here (data ->> $1): which expression to index, only a log with the statement's \
         literals tells (log_min_duration_statement)".to_owned()
    })
}

/// Share of its time that a plan must account for; of less, most is spent elsewhere.
const MIN_EXPLAINED: f64 = 0.5;

/// Temporary files that a call writes, in bytes, from which sorting or hashing on disk is what takes the time.
const MIN_SPILLED_BYTES: f64 = 1e6;

/// Bytes of a block of temporary files.
const BLOCK_BYTES: f64 = 8_192.0;

/// Why it takes long although no index would help: what the counters say, or that its plan is too cheap for its time.
fn elsewhere<W: WhatIf>(
    at: usize,
    query: &BoundQuery<'_>,
    pricer: &Pricer<'_, W>,
) -> Option<String> {
    let explained = pricer.explained(at);
    let waited_ms = query.lock_wait_ms;
    if waited_ms > query.query.mean_ms() * (1.0 - MIN_EXPLAINED) {
        return Some(format!(
            "{waited_ms:.0} of the {:.0} ms that a call takes are waits for locks: no index shortens those (lock-waits)",
            query.query.mean_ms()
        ));
    }
    if explained < MIN_EXPLAINED {
        let locks = "waits for locks (log_lock_waits tells), a client that reads slowly, bloat, or a log from before an index was there";
        return Some(format!(
            "its plan accounts for {:.0} % of its time at most; the rest goes elsewhere: {locks}",
            explained * 100.0
        ));
    }
    let pgss = query.query.pgss.as_ref()?;
    // blocks are counted when written and when read again
    let spilled = pgss.temp_blks as f64 / 2.0 * BLOCK_BYTES / pgss.n_calls.max(1) as f64;
    (spilled >= MIN_SPILLED_BYTES).then(|| {
        format!(
            "each call sorts or hashes {:.0} MB in temporary files: more work_mem for its role or session, or fewer rows",
            spilled / 1e6
        )
    })
}

/// Why a candidate could not be priced, when none of them could.
fn unpriced<W: WhatIf>(tried: &[usize], pricer: &Pricer<'_, W>) -> Option<String> {
    let reasons: Vec<&String> = tried
        .iter()
        .filter_map(|at| pricer.broken.get(at))
        .collect();
    let first = reasons.first()?;
    (reasons.len() == tried.len())
        .then(|| format!("its candidates could not be priced here: {first}"))
}

fn reason_why_not(
    none_tried: bool,
    base: Option<&Priced>,
    best_ratio: Option<f64>,
    options: &Options,
) -> String {
    match (none_tried, base, best_ratio) {
        (true, ..) => "no condition, join or order that a new index could serve".to_owned(),
        (_, None, _) => "could not be planned".to_owned(),
        (_, Some(_), None) => "cheap as it is, or not priced".to_owned(),
        (.., Some(ratio)) if ratio > 1.0 - options.min_query_gain => {
            format!("the best candidate leaves {:.0} % of the cost", ratio * 100.0)
        }
        _ => "the time saved is too small a share of the workload, or the index costs more to maintain".to_owned(),
    }
}
