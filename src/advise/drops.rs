//! Existing indexes in the search: which of them may go, what the workload costs without them, and what became of each.
//!
//! An index may go when another covers it, existing or new, or when it was not scanned over a window that is long enough. Nothing else is
//! offered for dropping: statements that the workload does not show may need it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DropCause, Options, PricedDrop, WhatIf,
    bind::BoundQuery,
    choose::{CostTable, TableIndex},
    price::Pricer,
    propose::Proposal,
    size,
    verify::{Verified, best_for},
    write_cost::Written,
};
use crate::{
    catalog::{Catalog, Index, IndexDef, MAX_SIZE_FACTOR, Relation, RelationName, Supersedes},
    plan::Plan,
    sql::Fingerprint,
};

/// Share by which a statement may cost more for all that is changed (Azure's autonomous tuning has the same 10 %).
pub(super) const MAX_REGRESSION: f64 = 0.1;

/// Estimates that differ by less than this factor count as the same: samples differ by more.
const SAME_ESTIMATE: f64 = 1.1;

/// Most existing indexes that are offered for dropping, the largest first: each may ask once for every statement on its table.
const MAX_DROPPABLE: usize = 200;

/// An existing index that the search may leave out.
#[derive(Debug, Clone)]
pub(super) struct Droppable {
    /// `schema.name`.
    pub(super) name: String,
    pub(super) def: IndexDef,
    pub(super) size_bytes: u64,
    pub(super) cause: DropCause,
    /// The existing index that does what it does, `schema.name`.
    instead: Option<String>,
    feeds_statistics: bool,
}

/// The existing indexes that may go, in the catalog's order.
pub(super) fn droppable(
    catalog: &Catalog,
    proposals: &[Proposal],
    options: &Options,
) -> Vec<Droppable> {
    let window = &catalog.server.stats_window;
    let is_window_proven = window.since_us.is_some()
        && window.days() >= options.min_window_days
        && catalog.server.n_unseen() == 0;
    let own = catalog
        .relations
        .iter()
        .filter(|r| !r.of_extension && r.partition_leaves.is_empty());
    let mut found: Vec<Droppable> = own
        .flat_map(|relation| relation.indexes.iter().map(move |index| (relation, index)))
        .filter_map(|(relation, index)| {
            let (cause, instead) = cause(relation, index, proposals, is_window_proven)?;
            Some(Droppable {
                name: index.full_name(),
                def: index.def.clone(),
                size_bytes: index.size_bytes,
                cause,
                instead: instead.map(Index::full_name),
                feeds_statistics: index.feeds_statistics(),
            })
        })
        .collect();
    if found.len() > MAX_DROPPABLE {
        found.sort_by(|a, b| {
            b.size_bytes
                .cmp(&a.size_bytes)
                .then_with(|| a.name.cmp(&b.name))
        });
        found.truncate(MAX_DROPPABLE);
        found.sort_by(|a, b| a.name.cmp(&b.name));
    }
    found
}

fn cause<'r>(
    relation: &'r Relation,
    index: &Index,
    proposals: &[Proposal],
    is_window_proven: bool,
) -> Option<(DropCause, Option<&'r Index>)> {
    if let Some((other, how)) = relation.superseded_by(index) {
        return match how {
            Supersedes::Duplicate => Some((DropCause::Duplicate, Some(other))),
            Supersedes::Prefix if other.is_much_larger_than(index) => None,
            Supersedes::Prefix => Some((DropCause::Prefix, Some(other))),
        };
    }
    if is_window_proven && relation.is_unused(index) {
        return Some((DropCause::Unused, None));
    }
    let is_free = index.valid && !index.is_load_bearing();
    let covers = |proposal: &Proposal| stands_in(relation, proposal, &index.def, index.size_bytes);
    (is_free && proposals.iter().any(covers)).then_some((DropCause::Replaced, None))
}

/// Does the new index do all that the old one does, without being so much larger that scans of the old one are worth keeping it?
fn stands_in(relation: &Relation, new: &Proposal, old: &IndexDef, old_bytes: u64) -> bool {
    let def = &new.candidate.def;
    let bytes = || size::index_bytes(relation, def, new.selectivity);
    def.covers(old) && bytes() <= old_bytes.saturating_mul(MAX_SIZE_FACTOR)
}

/// For each droppable index the sets of which one must stay, by position in the cost table: itself (`n_proposals` + its position), a new one that
/// covers it, or an existing one that does. None where something that always stays stands in, or nothing needs it.
fn guards(catalog: &Catalog, droppable: &[Droppable], proposals: &[Proposal]) -> Vec<Vec<usize>> {
    let n = proposals.len();
    let guard = |(at, index): (usize, &Droppable)| {
        let instead = match (&index.cause, &index.instead) {
            (DropCause::Unused, _) => return None,
            (_, Some(other)) => Some(droppable.iter().position(|one| one.name == *other)?),
            (_, None) => None,
        };
        let relation = catalog.relation(&index.def.table)?;
        let covers =
            |&other: &usize| stands_in(relation, &proposals[other], &index.def, index.size_bytes);
        let mut any: Vec<usize> = (0..n).filter(covers).collect();
        any.push(n + at);
        any.extend(instead.map(|other| n + other));
        any.sort_unstable();
        Some(any)
    };
    droppable.iter().enumerate().filter_map(guard).collect()
}

/// The cost table with the droppable indexes behind the proposals: each statement's costs without them, and what holds each.
pub(super) fn with_existing<W: WhatIf>(
    mut table: CostTable,
    catalog: &Catalog,
    pricer: &Pricer<'_, W>,
    proposals: &[Proposal],
    droppable: &[Droppable],
    written: &Written,
    unit: f64,
) -> CostTable {
    if droppable.is_empty() {
        return table;
    }
    let n = proposals.len();
    let place = |table: &RelationName| {
        proposals
            .iter()
            .position(|proposal| proposal.candidate.def.table == *table)
    };
    let n_tables = table.indexes.iter().map(|i| i.table + 1).max().unwrap_or(0);
    let existing = droppable.iter().enumerate().map(|(at, index)| {
        let relation = catalog.relation(&index.def.table);
        TableIndex {
            size_bytes: index.size_bytes,
            rank_bytes: index.size_bytes,
            write_cost: relation.map_or(0.0, |r| written.cost(r, &index.def, 1.0)) * unit,
            // tables without proposals have no bound on their indexes
            table: place(&index.def.table).map_or(n_tables + at, |at| table.indexes[at].table),
            plain: None,
            exists: true,
        }
    });
    let existing: Vec<TableIndex> = existing.collect();
    table.indexes.extend(existing);
    for (at, query) in table.queries.iter_mut().enumerate() {
        let Some(now) = pricer.known(at, &[]) else {
            continue;
        };
        // where candidates are not looked at, drops still are, at no gain
        let looks_at_candidates = query.base > 0.0;
        query.base = pricer.dearest(at).max(now.cost);
        query.options = pricer
            .options(at, query.base)
            .into_iter()
            .filter(|(rests, _)| looks_at_candidates || rests.used.is_empty())
            .map(|(rests, cost)| {
                let held = rests.held.iter().map(|held| n + held);
                (rests.used.iter().copied().chain(held).collect(), cost)
            })
            .collect();
    }
    table.guards = guards(catalog, droppable, proposals);
    table
}

/// Positions of the droppable indexes on the tables that a statement reads or writes, sorted.
fn on_tables_of(query: &BoundQuery<'_>, catalog: &Catalog, droppable: &[Droppable]) -> Vec<usize> {
    let mut tables: BTreeSet<&RelationName> =
        query.scans.iter().map(|scan| &scan.relation.name).collect();
    let shape = query.query.shape.as_deref();
    let scans = shape.into_iter().flat_map(|shape| &shape.scans);
    tables.extend(scans.filter_map(|scan| {
        let relation = catalog.resolve(scan.relation.schema.as_deref(), &scan.relation.name)?;
        Some(&relation.name)
    }));
    (0..droppable.len())
        .filter(|&at| tables.contains(&droppable[at].def.table))
        .collect()
}

/// Prices the workload without the indexes that may go: statements that rest on one, with nothing in its place and with each candidate that
/// covers it. True when the planner at hand can leave out indexes.
pub(super) async fn price<W: WhatIf>(
    catalog: &Catalog,
    pricer: &mut Pricer<'_, W>,
    queries: &[BoundQuery<'_>],
    droppable: &[Droppable],
    proposals: &[Proposal],
) -> bool {
    let on_tables: Vec<Vec<usize>> = queries
        .iter()
        .map(|query| on_tables_of(query, catalog, droppable))
        .collect();
    let touched: Vec<usize> = (0..queries.len())
        .filter(|&at| !on_tables[at].is_empty())
        .collect();
    pricer.price(&touched, &[]).await;
    let rests = |pricer: &Pricer<'_, W>, at: usize| {
        let feeds = |&index: &usize| droppable[index].feeds_statistics;
        let base = pricer.known(at, &[]);
        base.is_some_and(|base| !base.held.is_empty() || on_tables[at].iter().any(feeds))
    };
    let mut by_hidden: BTreeMap<&[usize], Vec<usize>> = BTreeMap::new();
    for &at in touched.iter().filter(|&&at| rests(pricer, at)) {
        by_hidden.entry(&on_tables[at]).or_default().push(at);
    }
    let mut can_hide = true;
    for (hidden, asked) in by_hidden {
        pricer.price_without(&asked, &[], hidden).await;
        let answered = |&at: &usize| pricer.known_without(at, &[], hidden).is_some();
        can_hide &= asked.iter().any(answered) || pricer.stopped.is_some();
        if !can_hide {
            return false;
        }
        for &at in &asked {
            note_leanings(pricer, at, hidden, droppable);
        }
        for (at, proposal) in proposals.iter().enumerate() {
            let covers = |index: &&usize| proposal.candidate.def.covers(&droppable[**index].def);
            if hidden.iter().any(|index| covers(&index)) {
                let applying: Vec<usize> = asked
                    .iter()
                    .copied()
                    .filter(|query| pricer.applies[at].contains(query))
                    .collect();
                pricer.price_without(&applying, &[at], hidden).await;
            }
        }
    }
    can_hide
}

/// Where a plan differs without an index that it does not use, its estimates came from that index's statistics.
fn note_leanings<W: WhatIf>(
    pricer: &mut Pricer<'_, W>,
    query: usize,
    hidden: &[usize],
    droppable: &[Droppable],
) {
    let (Some(with), Some(without)) = (
        pricer.known(query, &[]),
        pricer.known_without(query, &[], hidden),
    ) else {
        return;
    };
    let feeding = hidden
        .iter()
        .copied()
        .filter(|&at| droppable[at].feeds_statistics && !with.held.contains(&at));
    let feeding: BTreeSet<usize> = feeding.collect();
    let differs = estimates_differ(&with.plan, &without.plan) && with.held.is_empty();
    if differs && !feeding.is_empty() {
        pricer.leans.insert(query, feeding);
    }
}

/// Do the two plans expect other numbers of rows somewhere, or cost otherwise?
fn estimates_differ(one: &Plan, other: &Plan) -> bool {
    let rows = |plan: &Plan| {
        plan.nodes()
            .map(|node| node.plan_rows)
            .collect::<Vec<f64>>()
    };
    let far = |a: f64, b: f64| (a + 1.0) / (b + 1.0) > SAME_ESTIMATE;
    let (a, b) = (rows(one), rows(other));
    a.len() != b.len() || a.iter().zip(&b).any(|(&a, &b)| far(a, b) || far(b, a))
}

/// What became of the droppable indexes, the whole workload priced under all changes together.
pub(super) async fn verify_drops<W: WhatIf>(
    catalog: &Catalog,
    pricer: &mut Pricer<'_, W>,
    queries: &[BoundQuery<'_>],
    droppable: &[Droppable],
    verified: &Verified,
    mut dropped: BTreeSet<usize>,
) -> Vec<PricedDrop> {
    let chosen: BTreeSet<usize> = verified.keys().copied().collect();
    let mut verdicts: Vec<PricedDrop> = droppable.iter().map(Droppable::undecided).collect();
    for (at, verdict) in verdicts.iter_mut().enumerate() {
        verdict.is_dropped = dropped.contains(&at);
    }
    // each round puts back one index at least, or is the last
    for _ in 0..=droppable.len() {
        let mut back = BTreeSet::new();
        for verdict in &mut verdicts {
            verdict.n_statements = 0;
        }
        for (query, bound) in queries.iter().enumerate() {
            let hidden: Vec<usize> = on_tables_of(bound, catalog, droppable)
                .into_iter()
                .filter(|at| dropped.contains(at))
                .collect();
            if hidden.is_empty() {
                continue;
            }
            let set = best_for(pricer, query, &chosen);
            if pricer.known(query, &[]).is_none() {
                continue;
            }
            let ratio = ratio_without(pricer, query, &set, &hidden, droppable).await;
            for &at in &hidden {
                if let Some(ratio) = ratio {
                    verdicts[at].saw(bound, ratio);
                }
                if ratio.is_none_or(|ratio| ratio > 1.0 + MAX_REGRESSION) {
                    back.insert(at);
                    verdicts[at].is_dropped = false;
                }
            }
        }
        if back.is_empty() {
            break;
        }
        dropped.retain(|at| !back.contains(at));
    }
    for (at, verdict) in verdicts.iter_mut().enumerate() {
        if !verdict.is_dropped && verdict.worst.is_none() {
            verdict.worst = worst_without(catalog, pricer, queries, droppable, at);
        }
        let leaning = pricer.leans.iter().filter(|(_, leans)| leans.contains(&at));
        verdict.feeds_estimates = leaning
            .map(|(&query, _)| queries[query].query.fingerprint)
            .collect();
    }
    verdicts
}

/// For an index that the choice keeps: the statement that rests on it most, and its cost with none of the droppable ones over its cost as things are.
fn worst_without<W: WhatIf>(
    catalog: &Catalog,
    pricer: &Pricer<'_, W>,
    queries: &[BoundQuery<'_>],
    droppable: &[Droppable],
    index: usize,
) -> Option<(Fingerprint, f64)> {
    let ratio = |(at, bound): (usize, &BoundQuery<'_>)| {
        let base = pricer
            .known(at, &[])
            .filter(|base| base.held.contains(&index))?;
        let hidden = on_tables_of(bound, catalog, droppable);
        let without = pricer.known_without(at, &[], &hidden)?;
        (base.cost > 0.0).then(|| (bound.query.fingerprint, without.cost / base.cost))
    };
    let ratios = queries.iter().enumerate().filter_map(ratio);
    ratios.max_by(|(a_of, a), (b_of, b)| a.total_cmp(b).then(b_of.cmp(a_of)))
}

/// Cost of a statement under all changes, over its cost as things are; none where it could not be planned so.
async fn ratio_without<W: WhatIf>(
    pricer: &mut Pricer<'_, W>,
    query: usize,
    set: &[usize],
    hidden: &[usize],
    droppable: &[Droppable],
) -> Option<f64> {
    let before = pricer.known(query, &[])?.clone();
    let rests = |held: &[usize]| held.iter().any(|at| hidden.contains(at));
    let with = pricer.known(query, set).map(|with| with.held.clone());
    let feeds = hidden.iter().any(|&at| droppable[at].feeds_statistics);
    if !rests(&before.held) && !with.is_some_and(|held| rests(&held)) && !feeds {
        return Some(1.0);
    }
    pricer.price_without(&[query], set, hidden).await;
    let after = pricer.known_without(query, set, hidden)?.cost;
    Some(if before.cost > 0.0 {
        after / before.cost
    } else {
        1.0
    })
}

impl Droppable {
    fn undecided(&self) -> PricedDrop {
        PricedDrop {
            index: self.name.clone(),
            cause: self.cause,
            ..PricedDrop::default()
        }
    }
}

impl PricedDrop {
    fn saw(&mut self, query: &BoundQuery<'_>, ratio: f64) {
        self.n_statements += 1;
        if self.worst.as_ref().is_none_or(|(_, known)| ratio > *known) {
            self.worst = Some((query.query.fingerprint, ratio));
        }
    }
}
