//! Index selection: propose candidates (pure), price them with a planner (`WhatIf`), choose the best set (pure).

mod bind;
pub mod choose;
mod conditional;
mod covering;
mod drops;
mod expression;
mod keys;
mod merge;
mod metered;
mod model;
mod name;
mod price;
mod propose;
mod recommend;
mod reveal;
pub mod rewrite;
mod roles;
mod samples;
mod sargable;
mod selectivity;
mod size;
mod special;
mod structural;
mod verify;
mod views;
mod waves;
mod what_if;
mod why_not;
mod write_cost;
mod write_effect;

pub use model::{
    Advice, Candidate, ConditionalIndex, DropCause, PricedCondition, PricedDrop, PricedQuery,
    PricedRewrite, Reason, Recommendation, RewrittenCondition, WhyNot, WriteEffect,
};
pub(crate) use selectivity::equal as equal_share;
pub use size::btree_bytes;
pub use special::extension_of;
pub use what_if::{NoPlanner, PlannedQuery, Question, WhatIf, WhatIfError};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
};

use metered::Metered;
use price::Pricer;
use write_cost::Written;

use crate::{
    catalog::Catalog,
    plan::WhatIfKind,
    sql::Fingerprint,
    workload::{Query, Workload},
};

/// What bounds and steers advice.
#[derive(Debug, Clone)]
pub struct Options {
    /// Statements considered, heaviest first.
    pub max_queries: usize,
    /// Calls below which a statement is left alone.
    pub min_calls: u64,
    /// Share of all time below which a statement is left alone, unless it is slow by itself.
    pub min_query_share: f64,
    /// Mean time in ms from which a statement counts as slow by itself.
    pub slow_ms: f64,
    /// Least share of all time that an index must save net of its upkeep.
    pub min_saved_share: f64,
    /// Least share of one statement's cost that an index must save (Azure's autonomous tuning asks for the same 20 %).
    pub min_query_gain: f64,
    /// Planner calls at most.
    pub max_planner_calls: u64,
    /// Bytes that new indexes may take together.
    pub storage_budget: Option<u64>,
    /// Indexes that a table may have, those that exist included.
    pub max_indexes_per_table: Option<usize>,
    /// Days that the counters must cover before an index that nobody scanned may go.
    pub min_window_days: f64,
    /// Set from outside when time is up: what is known by then is used.
    pub stop: Arc<AtomicBool>,
    /// Planner calls so far, for whoever watches.
    pub asked: Arc<AtomicU64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_queries: 500,
            min_calls: 0,
            min_query_share: 0.0001,
            slow_ms: 100.0,
            min_saved_share: 0.001,
            min_query_gain: 0.2,
            max_planner_calls: 5_000,
            storage_budget: None,
            max_indexes_per_table: None,
            min_window_days: 30.0,
            stop: Arc::default(),
            asked: Arc::default(),
        }
    }
}

/// Works out which indexes the workload wants. Deterministic for the same inputs and planner answers; statements that can't be planned
/// are counted and leave the rest alone.
pub async fn advise<W: WhatIf>(
    catalog: &Catalog,
    workload: &Workload,
    planner: &W,
    options: &Options,
) -> Advice {
    let what_if = &Metered::new(planner, options);
    let mut bound = bind::bind(catalog, workload, options);
    views::expand(catalog, what_if, &mut bound).await;
    let written = Written::of(catalog, workload);
    let mut proposed = propose::propose(catalog, &bound.queries, &written);
    let kind = what_if.kind();
    let droppable = match kind {
        WhatIfKind::None => Vec::new(),
        _ => drops::droppable(catalog, &proposed.proposals, options),
    };
    let mut pricer = Pricer::new(what_if, &bound.queries, &proposed, &droppable, options);
    let (verified, drops) = match kind {
        WhatIfKind::None => {
            let verified = structural::verified(
                catalog,
                &bound.queries,
                &proposed.proposals,
                &pricer.applies,
                options,
            );
            (verified, None)
        }
        _ => {
            recommend::priced(
                catalog,
                &mut pricer,
                &bound.queries,
                &mut proposed.proposals,
                &droppable,
                &written,
                options,
            )
            .await
        }
    };
    let proposals = &proposed.proposals;
    let served = well_served(&verified);
    let conditions = sargable::price(catalog, what_if, &bound.queries, &served, &written).await;
    let conditional = if kind == WhatIfKind::None {
        Vec::new()
    } else {
        let chosen = (proposals.as_slice(), &verified);
        conditional::price(catalog, what_if, &bound.queries, chosen, &written, options).await
    };
    let mut skipped = bound.skipped;
    skipped.append(&mut pricer.failures);
    let mut why_not = why_not::why_not(&bound.queries, proposals, &pricer, &verified, options);
    why_not::point_at_rewrites(&mut why_not, &conditions);
    let rewrites = rewrite::price(catalog, workload, what_if).await;
    let stopped = pricer.stopped.clone().or_else(|| what_if.stopped());
    let recommendations = recommend::recommendations(
        catalog,
        &pricer,
        &bound.queries,
        proposals,
        &written,
        verified,
        drops.as_deref(),
    );
    Advice {
        why_not,
        write_effects: written.effects(catalog, &recommendations),
        recommendations,
        conditional,
        drops: drops.unwrap_or_default(),
        conditions,
        rewrites,
        what_if: kind,
        pricing: pricing_in_words(kind, stopped.as_deref(), &pricer.broken),
        n_planner_calls: what_if.n_calls(),
        skipped: listed(skipped),
    }
}

/// Statements of which a new index saves half: nobody changes an application for the rest.
fn well_served(verified: &verify::Verified) -> BTreeSet<usize> {
    let served = verified.values().flatten();
    served
        .filter(|served| served.saved_fraction >= 0.5)
        .map(|served| served.query)
        .collect()
}

/// A statement as it can be run: with the values of a real execution where a log has them, else with values made up from statistics; what
/// neither tells stays `$n`.
#[must_use]
pub fn sample_text(catalog: &Catalog, query: &Query) -> Option<String> {
    bind::sample_text(catalog, query)
}

/// A name for one index outside of a recommendation, that nothing in the catalog has.
#[must_use]
pub fn unused_name(catalog: &Catalog, def: &crate::catalog::IndexDef) -> String {
    name::Names::new(catalog).take(def)
}

fn listed(skipped: BTreeMap<String, (u64, Fingerprint)>) -> Vec<(String, u64, Fingerprint)> {
    skipped
        .into_iter()
        .map(|(reason, (n, example))| (reason, n, example))
        .collect()
}

/// Who priced, and what could not be priced: an advisor that says nothing of GIN where it can't try one looks as if none were wanted.
fn pricing_in_words(
    kind: WhatIfKind,
    stopped: Option<&str>,
    broken: &BTreeMap<usize, String>,
) -> String {
    let who = match kind {
        WhatIfKind::Twin => "priced by a local twin of the planner",
        WhatIfKind::Hypopg => "priced by the audited server with hypothetical indexes (HypoPG)",
        WhatIfKind::Real => "priced with indexes really built in rolled-back transactions",
        WhatIfKind::None => {
            "not priced: no planner could be asked, so index advice rests on structure and statistics alone"
        }
    };
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in broken.values() {
        *reasons.entry(reason).or_default() += 1;
    }
    let mut words = who.to_owned();
    for (reason, n) in reasons {
        words.push_str(&format!("; {n} of the candidates: {reason}"));
    }
    if let Some(why) = stopped {
        words.push_str(&format!("; stopped early: {why}"));
    }
    words
}
