//! The proof of a choice: every statement priced with all chosen indexes that apply to it, and what each index does for whom.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    WhatIf,
    bind::BoundQuery,
    price::{MAX_ALIVE, Priced, Pricer},
};
use crate::plan::Plan;

/// The chosen proposals with the statements that each serves, proven.
pub(super) type Verified = BTreeMap<usize, Vec<Served>>;

/// One statement's gain from one chosen index.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) query: usize,
    pub(super) cost_before: f64,
    pub(super) cost_after: f64,
    pub(super) saved_fraction: f64,
    pub(super) share: f64,
    pub(super) plan_before: String,
    pub(super) plan_after: String,
}

/// Prices every statement with all chosen indexes that apply to it, and says what each index does for whom.
pub(super) async fn verify<W: WhatIf>(
    pricer: &mut Pricer<'_, W>,
    queries: &[BoundQuery<'_>],
    chosen: &[usize],
    shares: &[f64],
) -> Verified {
    let all: BTreeSet<usize> = chosen.iter().copied().collect();
    let mut by_set: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for query in 0..queries.len() {
        if pricer.base(query).is_some() {
            let set = best_for(pricer, query, &all);
            if !set.is_empty() {
                by_set.entry(set).or_default().push(query);
            }
        }
    }
    let mut verified = Verified::new();
    for (set, asked) in &by_set {
        pricer.price(asked, set).await;
        for &query in asked {
            for (at, served) in served(pricer, query, set, shares[query]) {
                verified.entry(at).or_default().push(served);
            }
        }
    }
    verified
}

/// What each used index of `set` saves one statement: the whole saving, shared out by what each saves alone.
fn served<W: WhatIf>(
    pricer: &Pricer<'_, W>,
    query: usize,
    set: &[usize],
    share: f64,
) -> Vec<(usize, Served)> {
    let (Some(base), Some(with)) = (pricer.base(query), pricer.best_within(query, set)) else {
        return Vec::new();
    };
    let saved = 1.0 - with.cost / base.cost;
    if saved <= 0.0 {
        return Vec::new();
    }
    let alone = |at: usize| {
        pricer
            .known(query, &[at])
            .map_or(0.0, |one| (base.cost - one.cost).max(0.0))
    };
    let total: f64 = with.used.iter().map(|&at| alone(at)).sum();
    let part = |at: usize| match total {
        total if total > 0.0 => alone(at) / total,
        _ => 1.0 / with.used.len() as f64,
    };
    let table = |at: usize| pricer.table_name(at);
    with.used
        .iter()
        .map(|&at| {
            let served = Served {
                query,
                cost_before: base.cost,
                cost_after: with.cost,
                saved_fraction: saved * part(at) * pricer.explained(query),
                share,
                plan_before: plan_line(base, &table(at)),
                plan_after: plan_line(with, &table(at)),
            };
            (at, served)
        })
        .collect()
}

/// The dearest access to a table in a plan, in one line.
fn plan_line(priced: &Priced, table: &str) -> String {
    let plan: &Plan = &priced.plan;
    let access = plan
        .nodes()
        .filter(|node| node.relation.as_deref() == Some(table))
        .max_by(|a, b| a.total_cost.0.total_cmp(&b.total_cost.0));
    match access {
        Some(node) => format!("{} on {table}", node.node_type),
        None => plan.root.node_type.clone(),
    }
}

/// The used candidates that apply to a statement, those that help it most alone first, as many as may be alive.
pub(super) fn best_for<W: WhatIf>(
    pricer: &Pricer<'_, W>,
    query: usize,
    used: &BTreeSet<usize>,
) -> Vec<usize> {
    let mut applying: Vec<usize> = used
        .iter()
        .copied()
        .filter(|&at| pricer.applies[at].contains(&query))
        .collect();
    let cost = |at: usize| {
        pricer
            .known(query, &[at])
            .map_or(f64::INFINITY, |priced| priced.cost)
    };
    applying.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)).then(a.cmp(&b)));
    applying.truncate(MAX_ALIVE);
    applying.sort_unstable();
    applying
}
