//! Why a statement got no index: what was tried, and how far it got.

use std::collections::BTreeSet;

use super::{
    Options, WhatIf, WhyNot,
    bind::BoundQuery,
    price::{Priced, Pricer},
    propose::Proposal,
    verify::Verified,
};
use crate::catalog::Build;

/// For slow statements that no recommendation serves: what was tried and how far it got.
pub(super) fn why_not<W: WhatIf + Sync>(
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
                    .or_else(|| unpriced(&tried, pricer))
                    .unwrap_or_else(|| {
                        reason_why_not(tried.is_empty(), pricer.known(at, &[]), best_ratio, options)
                    }),
            }
        })
        .collect()
}

/// The planner's cost and the measured time do not belong together.
fn contradiction<W: WhatIf + Sync>(at: usize, pricer: &Pricer<'_, W>) -> Option<String> {
    pricer.contradicted.contains(&at).then(|| {
        "it is much faster than the planner's cost for unknown values: what it really asks for, only a log with parameters tells \
         (log_min_duration_statement or log_statement)".to_owned()
    })
}

/// Why a candidate could not be priced, when none of them could.
fn unpriced<W: WhatIf + Sync>(tried: &[usize], pricer: &Pricer<'_, W>) -> Option<String> {
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
