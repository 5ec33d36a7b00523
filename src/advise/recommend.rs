//! From prices to recommendations: the cost table, the choice, and what of it is recommended.

use std::collections::BTreeMap;

use super::{
    Advice, DropCause, Options, PricedDrop, PricedQuery, Recommendation, WhatIf,
    bind::BoundQuery,
    choose::{self, CostTable, Limits, TableIndex, TableQuery},
    drops::{self, Droppable, MAX_REGRESSION},
    merge::merges,
    name::Names,
    price::Pricer,
    propose::{Proposal, leads_of},
    size,
    verify::{Served, Verified, verify},
    waves::price_all,
    write_cost::Written,
};
use crate::{
    catalog::{Catalog, Index, IndexDef, Relation},
    plan::WhatIfKind,
};

/// A partial index is preferred to a full one of equal gain only when it is smaller by this factor: it serves fewer queries, and stops
/// serving when one of them changes.
const PARTIAL_SIZE_FACTOR: u64 = 4;

/// Relative difference of gains that counts as none.
const INDIFFERENCE: f64 = 0.02;

/// Share of all time that an index must save beside the others to stay, unless it saves one statement enough: two indexes with the same first
/// column where one would nearly do are what people take offence at.
const MIN_MARGINAL_SHARE: f64 = 0.02;

/// What an index must save that begins with the same key as one that exists, which serves the same rows, if less exactly: two thirds of one
/// statement, or this share of all time. Without it, an audit after its own advice was followed goes on refining; with half instead of two
/// thirds it still did in 2 of 80 runs, as the sample that ANALYZE drew had it.
const MIN_REFINED_GAIN: f64 = 2.0 / 3.0;
const MIN_REFINED_SHARE: f64 = 0.1;

/// Mean time below which nobody waits for a statement, ms, and the share of all time that an index must save where it serves only such.
const FAST_MS: f64 = 1.0;
const MIN_FAST_SHARE: f64 = 0.01;

/// The least that is taken to remain of all time when the least gain is measured on it. Gains are shares of what is left when the chosen
/// indexes are there, so that one dreadful statement does not hide all others; a tenth keeps trifles out.
const MIN_REMAINING: f64 = 0.1;

/// Rounds of dropping what the verified plans don't use; each round only makes the set smaller.
const MAX_ROUNDS: usize = 4;

/// Prices the proposals and the drops, chooses among them, and proves the choice. No drops where the planner at hand can't leave out indexes.
pub(super) async fn priced<W: WhatIf>(
    catalog: &Catalog,
    pricer: &mut Pricer<'_, W>,
    queries: &[BoundQuery<'_>],
    proposals: &mut Vec<Proposal>,
    droppable: &[Droppable],
    written: &Written,
    options: &Options,
) -> (Verified, Option<Vec<PricedDrop>>) {
    // by the model, not by what the planner's server has made so far: the order of questions must not depend on earlier ones
    let sizes = table_indexes(catalog, proposals, written, &|_| None);
    price_all(pricer, queries.len(), &sizes).await;
    let shares = shares(pricer, queries);
    let sizes = table_indexes(catalog, proposals, written, &|at| pricer.size_bytes(at));
    let table = cost_table(pricer, &shares, sizes, queries.len());
    price_merges(catalog, pricer, proposals, &table, options).await;
    let can_hide = drops::price(catalog, pricer, queries, droppable, proposals).await;
    let droppable = if can_hide { droppable } else { &[] };
    let sizes = table_indexes(catalog, proposals, written, &|at| pricer.size_bytes(at));
    let table = cost_table(pricer, &shares, sizes, queries.len());
    let unit = share_per_cost(pricer, &shares);
    let table = drops::with_existing(table, catalog, pricer, proposals, droppable, written, unit);
    let mut limits = Limits {
        min_gain: options.min_saved_share,
        indifference: INDIFFERENCE,
        budget_bytes: options.storage_budget,
        room: room(catalog, proposals, droppable, options),
        max_regression: Some(MAX_REGRESSION),
    };
    let mut chosen = choose::choose(&table, &limits);
    limits.min_gain *= remaining(&table, &chosen).max(MIN_REMAINING);
    chosen = choose::choose(&table, &limits);
    drop_marginal(&table, &limits, options, &mut chosen);
    let mut verified = BTreeMap::new();
    for _ in 0..MAX_ROUNDS {
        let new: Vec<usize> = new_of(&table, &chosen);
        verified = verify(pricer, queries, &new, &shares).await;
        let kept: Vec<usize> = chosen
            .iter()
            .copied()
            .filter(|&at| {
                table.indexes[at].exists
                    || verified.get(&at).is_some_and(|served| {
                        let def = &proposals[at].candidate.def;
                        let upkeep = net_upkeep(&table, proposals, droppable, &chosen, at);
                        let min_gain = min_gain_for(served, queries, limits.min_gain);
                        is_worth_it(served, upkeep, min_gain, options)
                            && (!refines(catalog, def) || is_worth_refining(served))
                    })
            })
            .collect();
        if new_of(&table, &kept) == new {
            break;
        }
        chosen = kept;
        table.mend(&limits, &mut chosen);
        verified.clear();
    }
    let n = proposals.len();
    let dropped = (0..droppable.len())
        .filter(|at| !chosen.contains(&(n + at)))
        .collect();
    let drops = drops::verify_drops(catalog, pricer, queries, droppable, &verified, dropped).await;
    let is_priced = !droppable.is_empty() && pricer.stopped.is_none();
    (verified, is_priced.then_some(drops))
}

/// What of a choice is to be created.
fn new_of(table: &CostTable, chosen: &[usize]) -> Vec<usize> {
    let is_new = |at: &usize| !table.indexes[*at].exists;
    chosen.iter().copied().filter(is_new).collect()
}

/// Upkeep of a new index less that of the existing ones that go for it.
fn net_upkeep(
    table: &CostTable,
    proposals: &[Proposal],
    droppable: &[Droppable],
    chosen: &[usize],
    at: usize,
) -> f64 {
    let def = &proposals[at].candidate.def;
    let spared: f64 = droppable
        .iter()
        .enumerate()
        .filter(|(_, index)| index.cause == DropCause::Replaced && def.covers(&index.def))
        .map(|(index, _)| proposals.len() + index)
        .filter(|index| !chosen.contains(index))
        .map(|index| table.indexes[index].write_cost)
        .sum();
    table.indexes[at].write_cost - spared
}

/// Prices merges of what would be chosen without a budget, for the statements that their parents serve.
async fn price_merges<W: WhatIf>(
    catalog: &Catalog,
    pricer: &mut Pricer<'_, W>,
    proposals: &mut Vec<Proposal>,
    table: &CostTable,
    options: &Options,
) {
    let free = Limits {
        min_gain: options.min_saved_share * MIN_REMAINING,
        indifference: INDIFFERENCE,
        ..Limits::default()
    };
    let chosen = choose::choose(table, &free);
    for merge in merges(catalog, proposals, &chosen) {
        let is_served = |query: &usize| {
            let serves = |&parent: &usize| {
                let known = pricer.known(*query, &[parent]);
                known.is_some_and(|priced| !priced.used.is_empty())
            };
            merge.parents.iter().any(serves) && pricer.base(*query).is_some()
        };
        let asked: Vec<usize> = (0..table.queries.len()).filter(is_served).collect();
        pricer.extend(&merge);
        proposals.push(merge.proposal);
        pricer.price(&asked, &[proposals.len() - 1]).await;
    }
}

/// Drops indexes that save little which the others don't, least first. Partial ones, small as they are, may stay for half of what is left of a
/// statement: under LIMIT the planner takes rare rows for evenly spread, and another index's cost for lower than it is.
fn drop_marginal(table: &CostTable, limits: &Limits, options: &Options, chosen: &mut Vec<usize>) {
    loop {
        let is_marginal = |margin: &Margin, at: usize| {
            let index = &table.indexes[at];
            let is_partial = index.rank_bytes > index.size_bytes;
            let halves =
                is_partial && margin.of_rest >= 0.5 && margin.share >= options.min_saved_share;
            margin.share < MIN_MARGINAL_SHARE && margin.of_base < options.min_query_gain && !halves
        };
        let weakest = chosen
            .iter()
            .filter(|&&at| !table.indexes[at].exists)
            .map(|&at| (Margin::of(table, limits, chosen, at), at))
            .filter(|(margin, at)| is_marginal(margin, *at))
            .min_by(|(a, at_a), (b, at_b)| a.share.total_cmp(&b.share).then(at_a.cmp(at_b)));
        let Some((_, weakest)) = weakest else {
            return;
        };
        chosen.retain(|&at| at != weakest);
        table.mend(limits, chosen);
    }
}

/// What one index saves beside the other chosen ones.
#[derive(Debug, Default)]
struct Margin {
    /// Weighted over the workload.
    share: f64,
    /// Of one statement's cost without indexes, at most.
    of_base: f64,
    /// Of one statement's cost with the others, at most.
    of_rest: f64,
}

impl Margin {
    fn of(table: &CostTable, limits: &Limits, chosen: &[usize], at: usize) -> Self {
        let mut without: Vec<usize> = chosen
            .iter()
            .copied()
            .filter(|&other| other != at)
            .collect();
        // what it lets go comes back
        table.mend(limits, &mut without);
        let existing = table.existing();
        let mut margin = Self::default();
        for query in table.queries.iter().filter(|query| query.base > 0.0) {
            let rest = query.cost(&without);
            let saved = rest - query.cost(chosen);
            margin.share += query.weight * saved;
            margin.of_base = margin.of_base.max(saved / query.cost(&existing));
            margin.of_rest = margin.of_rest.max(saved / rest);
        }
        margin
    }
}

/// Share of all time that is left with these indexes.
fn remaining(table: &CostTable, chosen: &[usize]) -> f64 {
    let existing = table.existing();
    let saved = table
        .queries
        .iter()
        .map(|query| query.weight * (query.cost(&existing) - query.cost(chosen)));
    1.0 - saved.sum::<f64>()
}

/// The least gain for these statements: more where all of them are fast.
fn min_gain_for(served: &[Served], queries: &[BoundQuery<'_>], min_gain: f64) -> f64 {
    let mean_ms = |served: &Served| queries[served.query].query.mean_ms();
    let is_fast = |served: &Served| mean_ms(served) > 0.0 && mean_ms(served) < FAST_MS;
    if served.iter().all(is_fast) {
        min_gain.max(MIN_FAST_SHARE)
    } else {
        min_gain
    }
}

/// Enough for one statement, and enough for the workload.
fn is_worth_it(served: &[Served], write_cost: f64, min_gain: f64, options: &Options) -> bool {
    let saved: f64 = served.iter().map(|s| s.share * s.saved_fraction).sum();
    saved - write_cost >= min_gain
        && served
            .iter()
            .any(|s| s.saved_fraction >= options.min_query_gain)
}

/// Does a valid index begin with the same key?
fn refines(catalog: &Catalog, def: &IndexDef) -> bool {
    let lead = leads_of(def);
    let indexes = catalog.relation(&def.table).map(|r| r.indexes.as_slice());
    let mut valid = indexes
        .unwrap_or_default()
        .iter()
        .filter(|index| index.valid);
    valid.any(|index| leads_of(&index.def) == lead)
}

fn is_worth_refining(served: &[Served]) -> bool {
    let saved: f64 = served.iter().map(|s| s.share * s.saved_fraction).sum();
    saved >= MIN_REFINED_SHARE || served.iter().any(|s| s.saved_fraction >= MIN_REFINED_GAIN)
}

/// Each statement's share of the time; of calls times planner cost where no times are known.
fn shares<W: WhatIf>(pricer: &Pricer<'_, W>, queries: &[BoundQuery<'_>]) -> Vec<f64> {
    if queries.iter().any(|query| query.query.total_ms() > 0.0) {
        return queries.iter().map(|query| query.share).collect();
    }
    let costs: Vec<f64> = queries
        .iter()
        .enumerate()
        .map(|(at, query)| {
            let cost = pricer.known(at, &[]).map_or(0.0, |base| base.cost);
            query.query.n_calls() as f64 * cost
        })
        .collect();
    let total: f64 = costs.iter().sum();
    costs
        .into_iter()
        .map(|cost| if total > 0.0 { cost / total } else { 0.0 })
        .collect()
}

fn cost_table<W: WhatIf>(
    pricer: &Pricer<'_, W>,
    shares: &[f64],
    mut indexes: Vec<TableIndex>,
    n_queries: usize,
) -> CostTable {
    let queries = (0..n_queries)
        .map(|at| match pricer.base(at) {
            Some(base) => TableQuery {
                weight: shares[at] * pricer.explained(at) / base.cost,
                base: base.cost,
                options: pricer
                    .options(at, base.cost)
                    .into_iter()
                    .filter(|(rests, _)| !rests.used.is_empty())
                    .map(|(rests, cost)| (rests.used, cost))
                    .collect(),
            },
            None => TableQuery::default(),
        })
        .collect();
    let unit = share_per_cost(pricer, shares);
    for index in &mut indexes {
        index.write_cost *= unit;
    }
    CostTable {
        queries,
        indexes,
        guards: Vec::new(),
    }
}

/// Sizes and upkeep of the proposals, upkeep in planner units.
fn table_indexes(
    catalog: &Catalog,
    proposals: &[Proposal],
    written: &Written,
    known_bytes: &dyn Fn(usize) -> Option<u64>,
) -> Vec<TableIndex> {
    let mut tables: BTreeMap<&crate::catalog::RelationName, usize> = BTreeMap::new();
    proposals
        .iter()
        .enumerate()
        .map(|(at, proposal)| {
            let def = &proposal.candidate.def;
            let n_tables = tables.len();
            let table = *tables.entry(&def.table).or_insert(n_tables);
            let factor = match def.predicate {
                Some(_) => PARTIAL_SIZE_FACTOR,
                None => 1,
            };
            let facts = |relation: &Relation| {
                let size_bytes = bytes(known_bytes(at), relation, proposal);
                TableIndex {
                    size_bytes,
                    rank_bytes: size_bytes.saturating_mul(factor),
                    write_cost: written.cost(relation, def, proposal.selectivity),
                    table,
                    plain: plain_of(proposals, def),
                    exists: false,
                }
            };
            catalog.relation(&def.table).map(facts).unwrap_or_default()
        })
        .collect()
}

/// The proposal that is the same but for its INCLUDE columns.
fn plain_of(proposals: &[Proposal], def: &IndexDef) -> Option<usize> {
    if def.include.is_empty() {
        return None;
    }
    let plain = IndexDef {
        include: Vec::new(),
        ..def.clone()
    };
    proposals
        .iter()
        .position(|proposal| proposal.candidate.def == plain)
}

/// How many indexes each table may still have, by the position that `table_indexes` gives it.
fn room(
    catalog: &Catalog,
    proposals: &[Proposal],
    droppable: &[Droppable],
    options: &Options,
) -> Vec<usize> {
    let Some(most) = options.max_indexes_per_table else {
        return Vec::new();
    };
    let mut seen: Vec<&crate::catalog::RelationName> = Vec::new();
    for proposal in proposals {
        let table = &proposal.candidate.def.table;
        if !seen.contains(&table) {
            seen.push(table);
        }
    }
    let n_now = |name| catalog.relation(name).map_or(0, |r| r.indexes.len());
    let n_free = |name: &crate::catalog::RelationName| {
        let on_table = droppable.iter().filter(|index| index.def.table == *name);
        on_table.count()
    };
    // what may go is counted by the search; where the bound is broken already, a drop still makes room for one
    seen.into_iter()
        .map(|name| (most.saturating_sub(n_now(name) - n_free(name))).max(n_free(name)))
        .collect()
}

/// The planner's own estimate where its server made the index, else our model's.
fn bytes(known: Option<u64>, relation: &Relation, proposal: &Proposal) -> u64 {
    known.unwrap_or_else(|| {
        size::index_bytes(relation, &proposal.candidate.def, proposal.selectivity)
    })
}

/// What one planner unit weighs in shares of the workload's time: calibrates upkeep against gains.
fn share_per_cost<W: WhatIf>(pricer: &Pricer<'_, W>, shares: &[f64]) -> f64 {
    let mut units = 0.0;
    let mut time = 0.0;
    for (at, share) in shares.iter().enumerate() {
        if let Some(base) = pricer.known(at, &[]) {
            units += base.cost * pricer.n_calls_of(at);
            time += share;
        }
    }
    if units > 0.0 { time / units } else { 0.0 }
}

/// Recommendations under their final names, most time saved first.
pub(super) fn recommendations<W: WhatIf>(
    catalog: &Catalog,
    pricer: &Pricer<'_, W>,
    queries: &[BoundQuery<'_>],
    proposals: &[Proposal],
    written: &Written,
    verified: Verified,
    drops: Option<&[PricedDrop]>,
) -> Vec<Recommendation> {
    let mut names = Names::new(catalog);
    let mut ranked: Vec<(f64, Recommendation)> = verified
        .into_iter()
        .filter_map(|(at, served)| {
            let proposal = &proposals[at];
            let relation = catalog.relation(&proposal.candidate.def.table)?;
            let saved = served.iter().map(|s| s.share * s.saved_fraction).sum();
            let mut def = proposal.candidate.def.clone();
            def.name = names.take(&def);
            Some((
                saved,
                Recommendation {
                    size_bytes: bytes(pricer.size_bytes(at), relation, proposal),
                    write_cost: written.cost(relation, &def, proposal.selectivity),
                    replaces: replaced(relation, &def, drops),
                    reason: proposal.candidate.reason,
                    queries: priced_queries(queries, served),
                    extension: proposal.candidate.extension.clone(),
                    condition: proposal.condition.clone(),
                    priced: pricer.kind() != WhatIfKind::None,
                    def,
                },
            ))
        })
        .collect();
    ranked.sort_by(|(saved_a, a), (saved_b, b)| {
        saved_b.total_cmp(saved_a).then_with(|| a.def.cmp(&b.def))
    });
    ranked
        .into_iter()
        .map(|(_, recommendation)| recommendation)
        .collect()
}

fn priced_queries(queries: &[BoundQuery<'_>], mut served: Vec<Served>) -> Vec<PricedQuery> {
    served.sort_by(|a, b| {
        let saved = |s: &Served| s.share * s.saved_fraction;
        saved(b).total_cmp(&saved(a)).then(a.query.cmp(&b.query))
    });
    served
        .into_iter()
        .map(|s| PricedQuery {
            fingerprint: queries[s.query].query.fingerprint,
            cost_before: s.cost_before,
            cost_after: s.cost_after,
            uses_index: true,
            plan_before: s.plan_before,
            plan_after: s.plan_after,
            saved_fraction: s.saved_fraction,
        })
        .collect()
}

/// Existing indexes that the new one makes redundant; those that carry constraints stay, and those that the prices speak for.
fn replaced(relation: &Relation, def: &IndexDef, drops: Option<&[PricedDrop]>) -> Vec<String> {
    let may_go = |name: &String| {
        drops.is_none_or(|drops| {
            let priced = drops.iter().find(|drop| drop.index == *name);
            priced.is_some_and(|drop| drop.is_dropped && drop.cause == DropCause::Replaced)
        })
    };
    relation
        .indexes
        .iter()
        .filter(|index| index.valid && !index.is_load_bearing() && def.covers(&index.def))
        .map(Index::full_name)
        .filter(may_go)
        .collect()
}

impl Advice {
    /// The recommendation that covers these columns as a prefix, if any.
    #[must_use]
    pub fn covering(
        &self,
        relation: &crate::catalog::RelationName,
        columns: &[String],
    ) -> Option<&Recommendation> {
        self.recommendations.iter().find(|recommendation| {
            let keys = recommendation.def.key_columns();
            recommendation.def.table == *relation
                && recommendation.def.predicate.is_none()
                && keys.len() >= columns.len()
                && columns
                    .iter()
                    .all(|column| keys[..columns.len()].contains(&column.as_str()))
        })
    }
}
