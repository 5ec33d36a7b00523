//! Asks a planner: what does each statement cost with which candidates? The only async part of advice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    Options, PlannedQuery, WhatIf, WhatIfError,
    bind::BoundQuery,
    merge::Merge,
    propose::{Lead, Proposed, leads_of},
};
use crate::{
    catalog::{IndexDef, RelationName},
    plan::{Plan, WhatIfKind},
    sql::{self, Fingerprint, canonical},
};

/// Most candidates alive in one call: planning time grows with them (measured with HypoPG: 0.35 ms for 1, 2.2 ms for 50), and hypothetical
/// indexes run out of object ids near 2,500.
pub(super) const MAX_ALIVE: usize = 10;

/// Statements cheaper than this in planner units can't become noticeably faster: a handful of pages.
pub(super) const MIN_COST: f64 = 20.0;

/// Milliseconds that a planner unit takes at least: a page read in sequence from cache with all its rows takes about 0.01 on common hardware,
/// and no server measured was ten times as fast. A statement of cost 23,565 that takes 0.07 ms did something else than what was planned.
const MIN_MS_PER_COST: f64 = 0.0005;

/// Milliseconds that a planner unit takes at most: a page read in sequence from cache takes about 0.01, four units are a page read at random,
/// some 0.1 ms and more from disks. What a statement takes beyond that is not work of its plan: waits for locks, a client that reads slowly, a
/// log from before an index was there, or, under LIMIT, rows that were not found as soon as the planner hoped.
const MAX_MS_PER_COST: f64 = 0.1;

/// Mean time in ms from which a statement with known values is slow whatever its cost: the planner overestimates it, or it was cancelled.
const MIN_SLOW_ANYWAY_MS: f64 = 1_000.0;

/// Mean time below which that is not asked, ms: start-up and network weigh more there.
const MIN_SLOW_MS: f64 = 1.0;

/// One statement's plan under one set of candidates.
#[derive(Debug, Clone)]
pub(super) struct Priced {
    pub(super) cost: f64,
    /// Positions of the candidates that the plan uses, sorted.
    pub(super) used: Vec<usize>,
    pub(super) plan: Plan,
}

/// Prices with a cache: one question is asked once.
pub(super) struct Pricer<'a, W> {
    what_if: &'a W,
    queries: &'a [BoundQuery<'a>],
    /// What is planned for each statement.
    texts: Vec<PlannedQuery>,
    defs: Vec<IndexDef>,
    /// For each candidate, the statements that could use it.
    pub(super) applies: Vec<BTreeSet<usize>>,
    cache: BTreeMap<(usize, Vec<usize>), Result<Priced, String>>,
    /// Statements that are much faster than their cost allows, under any values tried: what they really ask for is unknown.
    pub(super) contradicted: BTreeSet<usize>,
    /// Candidates that this planner cannot price, and why.
    pub(super) broken: BTreeMap<usize, String>,
    max_calls: u64,
    stop: Arc<AtomicBool>,
    pub(super) n_calls: u64,
    /// Reason → count and first example.
    pub(super) failures: BTreeMap<String, (u64, Fingerprint)>,
    /// Nothing more will be answered: the connection is lost or the budget spent.
    pub(super) stopped: Option<String>,
}

impl<'a, W: WhatIf> Pricer<'a, W> {
    pub(super) fn new(
        what_if: &'a W,
        queries: &'a [BoundQuery<'a>],
        proposed: &Proposed,
        options: &Options,
    ) -> Self {
        let defs = proposed
            .proposals
            .iter()
            .enumerate()
            .map(|(at, proposal)| IndexDef {
                name: format!("pgassay_candidate_{at}"),
                ..proposal.candidate.def.clone()
            })
            .collect();
        Self {
            what_if,
            queries,
            texts: queries.iter().map(|query| query.planned.clone()).collect(),
            defs,
            applies: applies(proposed, queries),
            broken: BTreeMap::new(),
            contradicted: BTreeSet::new(),
            cache: BTreeMap::new(),
            max_calls: options.max_planner_calls,
            stop: Arc::clone(&options.stop),
            n_calls: 0,
            failures: BTreeMap::new(),
            stopped: None,
        }
    }

    /// Takes in one more candidate, which applies wherever one of its parents does.
    pub(super) fn extend(&mut self, merge: &Merge) {
        let applies = merge
            .parents
            .iter()
            .flat_map(|&parent| self.applies[parent].clone())
            .collect();
        self.defs.push(IndexDef {
            name: format!("pgassay_candidate_{}", self.defs.len()),
            ..merge.proposal.candidate.def.clone()
        });
        self.applies.push(applies);
    }

    pub(super) fn kind(&self) -> WhatIfKind {
        self.what_if.kind()
    }

    /// Size of a candidate, where the planner's server made it.
    pub(super) fn size_bytes(&self, candidate: usize) -> Option<u64> {
        self.what_if.size_bytes(&self.defs[candidate])
    }

    /// Prices statements as things are. Where the values put into a text don't fit it, the text as it was written is tried.
    pub(super) async fn price_bases(&mut self, queries: &[usize]) {
        self.price(queries, &[]).await;
        let failed: Vec<usize> = queries
            .iter()
            .copied()
            .filter(|&at| {
                self.known(at, &[]).is_none() && self.texts[at] != self.queries[at].as_written
            })
            .collect();
        for &at in &failed {
            self.texts[at] = self.queries[at].as_written.clone();
            self.cache.remove(&(at, Vec::new()));
        }
        self.price(&failed, &[]).await;
        for &at in queries {
            self.explain_time(at).await;
            self.lift_limit(at).await;
        }
        for at in queries {
            if let Some(Err(reason)) = self.cache.get(&(*at, Vec::new())) {
                let example = self.queries[*at].query.fingerprint;
                self.failures
                    .entry(reason.clone())
                    .or_insert((0, example))
                    .0 += 1;
            }
        }
    }

    /// Where the cost contradicts the measured time, the values are others than those planned with: looks for ones that explain it.
    async fn explain_time(&mut self, at: usize) {
        if !self.contradicts(at) {
            return;
        }
        let planned = self.texts[at].clone();
        for text in &self.queries[at].alternatives {
            self.texts[at] = text.clone();
            self.cache.remove(&(at, Vec::new()));
            self.price(&[at], &[]).await;
            if self.known(at, &[]).is_some() && !self.contradicts(at) {
                return;
            }
        }
        if self.texts[at] != planned {
            self.texts[at] = planned;
            self.cache.remove(&(at, Vec::new()));
            self.price(&[at], &[]).await;
        }
        self.contradicted.insert(at);
    }

    /// Share of a statement's time that its plan can account for, 0–1. Only that much can an index save.
    pub(super) fn explained(&self, at: usize) -> f64 {
        let query = self.queries[at].query;
        let mean_ms = query.mean_ms();
        let Some(base) = self.known(at, &[]).filter(|_| mean_ms >= MIN_SLOW_MS) else {
            return 1.0;
        };
        let io_ms = query.pgss.as_ref().map_or(0.0, |pgss| pgss.io_ms);
        let of_plan = base.cost * MAX_MS_PER_COST + io_ms / query.n_calls().max(1) as f64;
        let at_work_ms = mean_ms - self.queries[at].lock_wait_ms;
        (of_plan.min(at_work_ms) / mean_ms).clamp(0.0, 1.0)
    }

    /// Where a statement with LIMIT is far slower than its cost allows, the planner took the rows it looks for to be everywhere, and they are
    /// rare or none: what it costs to look for all of them is what it really does.
    async fn lift_limit(&mut self, at: usize) {
        let mean_ms = self.queries[at].query.mean_ms();
        let cost = self.known(at, &[]).map(|base| base.cost);
        let is_slow = |cost: f64| mean_ms >= MIN_SLOW_MS && cost * MAX_MS_PER_COST < mean_ms;
        if !cost.is_some_and(is_slow) || self.texts[at].sql != self.queries[at].planned.sql {
            return;
        }
        let Some(sql) = sql::without_limit(&self.texts[at].sql) else {
            return;
        };
        let limited = std::mem::replace(&mut self.texts[at].sql, sql);
        let answer = self.cache.remove(&(at, Vec::new()));
        self.price(&[at], &[]).await;
        if self.known(at, &[]).is_none() {
            self.texts[at].sql = limited;
            self.cache
                .extend(answer.map(|answer| ((at, Vec::new()), answer)));
        }
    }

    /// Is the statement much faster than its cost allows?
    fn contradicts(&self, at: usize) -> bool {
        let mean_ms = self.queries[at].query.mean_ms();
        if self.queries[at].is_real && mean_ms >= MIN_SLOW_ANYWAY_MS {
            return false;
        }
        let cost = self.known(at, &[]).map_or(0.0, |base| base.cost);
        mean_ms > 0.0 && cost >= MIN_COST && cost * MIN_MS_PER_COST > mean_ms
    }

    /// What the cache knows about a statement under exactly this set (sorted).
    pub(super) fn known(&self, query: usize, set: &[usize]) -> Option<&Priced> {
        self.cache.get(&(query, set.to_vec()))?.as_ref().ok()
    }

    /// The statement's price as things are, if it is high enough to bother.
    pub(super) fn base(&self, query: usize) -> Option<&Priced> {
        self.known(query, &[])
            .filter(|base| base.cost >= MIN_COST && !self.contradicted.contains(&query))
    }

    /// Prices statements under one set of candidates. Failures are counted and leave the others alone.
    pub(super) async fn price(&mut self, queries: &[usize], set: &[usize]) {
        let unknown: Vec<usize> = queries
            .iter()
            .copied()
            .filter(|&query| !self.cache.contains_key(&(query, set.to_vec())))
            .collect();
        if unknown.is_empty() || self.is_stopped(unknown.len() as u64) {
            return;
        }
        let planned: Vec<_> = unknown.iter().map(|&at| self.texts[at].clone()).collect();
        let mut plans = self.ask(&planned, set).await;
        if !set.is_empty() && plans.iter().all(Result::is_err) && self.stopped.is_none() {
            self.find_broken(&planned[0], set).await;
            let rest: Vec<usize> = set
                .iter()
                .copied()
                .filter(|at| !self.broken.contains_key(at))
                .collect();
            if rest.len() < set.len() && !rest.is_empty() {
                plans = self.ask(&planned, &rest).await;
            }
        }
        for (query, plan) in unknown.into_iter().zip(plans) {
            let priced = match plan {
                Ok(plan) => Ok(self.priced(set, plan)),
                Err(error) => Err(self.failed(&error)),
            };
            self.cache.insert((query, set.to_vec()), priced);
        }
    }

    async fn ask(
        &mut self,
        planned: &[PlannedQuery],
        set: &[usize],
    ) -> Vec<Result<Plan, WhatIfError>> {
        let able = set.iter().filter(|at| !self.broken.contains_key(at));
        let add: Vec<IndexDef> = able.map(|&at| self.defs[at].clone()).collect();
        self.n_calls += planned.len() as u64;
        self.what_if.plan_all(planned, &add, &[]).await
    }

    /// Tries each candidate of a set that failed alone: one that this planner can't make must not take the others with it.
    async fn find_broken(&mut self, planned: &PlannedQuery, set: &[usize]) {
        let mut failed = Vec::new();
        for &at in set {
            let plans = self.ask(std::slice::from_ref(planned), &[at]).await;
            match plans.into_iter().next() {
                Some(Err(error @ (WhatIfError::Lost(_) | WhatIfError::Budget))) => {
                    self.failed(&error);
                    return;
                }
                None => return,
                Some(Err(error)) => failed.push((at, error.to_string())),
                Some(Ok(_)) => {}
            }
        }
        self.broken.extend(failed);
    }

    fn priced(&self, set: &[usize], plan: Plan) -> Priced {
        Priced {
            cost: plan.total_cost().0,
            used: set
                .iter()
                .copied()
                .filter(|&at| plan.uses_index(&self.defs[at].name))
                .collect(),
            plan,
        }
    }

    fn is_stopped(&mut self, n_more: u64) -> bool {
        if self.stopped.is_none() && self.n_calls + n_more > self.max_calls {
            self.stopped = Some(format!("after {} planner calls", self.n_calls));
        }
        if self.stopped.is_none() && self.stop.load(Ordering::Relaxed) {
            self.stopped = Some(format!(
                "time was up (--max-time) after {} planner calls",
                self.n_calls
            ));
        }
        self.stopped.is_some()
    }

    /// The reason in words; some end the pricing.
    fn failed(&mut self, error: &WhatIfError) -> String {
        if matches!(error, WhatIfError::Lost(_) | WhatIfError::Budget) {
            self.stopped.get_or_insert_with(|| error.to_string());
        }
        error.to_string()
    }
}

impl<W> Pricer<'_, W> {
    /// Every set that a plan of this statement uses, with its cost, where that is below `base`.
    pub(super) fn options(&self, query: usize, base: f64) -> Vec<(Vec<usize>, f64)> {
        let mut best: BTreeMap<&[usize], f64> = BTreeMap::new();
        for priced in self.answers(query) {
            if priced.cost < base && !priced.used.is_empty() {
                let cost = best.entry(&priced.used).or_insert(priced.cost);
                *cost = cost.min(priced.cost);
            }
        }
        best.into_iter()
            .map(|(set, cost)| (set.to_vec(), cost))
            .collect()
    }

    /// The cheapest answer whose plan uses nothing outside `set`: the answer for `set` itself, or what is known when the budget ended before it.
    pub(super) fn best_within(&self, query: usize, set: &[usize]) -> Option<&Priced> {
        self.answers(query)
            .filter(|priced| {
                !priced.used.is_empty() && priced.used.iter().all(|at| set.contains(at))
            })
            .min_by(|a, b| a.cost.total_cmp(&b.cost))
    }

    /// Candidates that apply to some of these statements, by table, in sets that may be alive together; tables of heavier statements first.
    pub(super) fn candidate_sets(&self, queries: &[usize]) -> Vec<Vec<usize>> {
        let mut tables: Vec<(&RelationName, Vec<usize>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for query in queries {
            for (at, def) in self.defs.iter().enumerate() {
                if self.applies[at].contains(query) && seen.insert(at) {
                    match tables.iter_mut().find(|(table, _)| **table == def.table) {
                        Some((_, candidates)) => candidates.push(at),
                        None => tables.push((&def.table, vec![at])),
                    }
                }
            }
        }
        tables
            .into_iter()
            .flat_map(|(_, mut candidates)| {
                candidates.sort_unstable();
                candidates
                    .chunks(MAX_ALIVE)
                    .map(<[usize]>::to_vec)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Lowest cost seen for a statement with candidates, over its cost without.
    pub(super) fn best_ratio(&self, query: usize) -> Option<f64> {
        let base = self.cache.get(&(query, Vec::new()))?.as_ref().ok()?.cost;
        let with = |priced: &&Priced| !priced.used.is_empty();
        let best = self
            .answers(query)
            .filter(with)
            .map(|priced| priced.cost)
            .reduce(f64::min)?;
        (base > 0.0).then_some(best / base)
    }

    fn answers(&self, query: usize) -> impl Iterator<Item = &Priced> {
        self.cache
            .range((query, Vec::new())..(query + 1, Vec::new()))
            .filter_map(|(_, priced)| priced.as_ref().ok())
    }

    /// Calls of a statement in the window.
    pub(super) fn n_calls_of(&self, query: usize) -> f64 {
        self.queries[query].query.n_calls() as f64
    }

    /// Name of the table that a candidate is on, as plans show it.
    pub(super) fn table_name(&self, candidate: usize) -> String {
        self.defs[candidate].table.name.clone()
    }
}

/// For each proposal the statements with a scan that it could serve: it can be entered by a key that the scan asks for, and its predicate is
/// proven.
fn applies(proposed: &Proposed, queries: &[BoundQuery<'_>]) -> Vec<BTreeSet<usize>> {
    let mut scans: BTreeMap<&RelationName, Vec<ScanFacts<'_>>> = BTreeMap::new();
    for ((at, query), leads) in queries.iter().enumerate().zip(&proposed.leads) {
        for (scan, leads) in query.scans.iter().zip(leads) {
            scans
                .entry(&scan.relation.name)
                .or_default()
                .push(ScanFacts {
                    query: at,
                    leads,
                    conjuncts: &scan.conjuncts,
                });
        }
    }
    let none = Vec::new();
    proposed
        .proposals
        .iter()
        .map(|proposal| {
            let def = &proposal.candidate.def;
            let parts = def.predicate_parts();
            let leads = leads_of(def);
            scans
                .get(&def.table)
                .unwrap_or(&none)
                .iter()
                .filter(|scan| {
                    leads.iter().any(|lead| scan.leads.contains(lead))
                        && canonical::implies(scan.conjuncts, &parts)
                })
                .map(|scan| scan.query)
                .collect()
        })
        .collect()
}

struct ScanFacts<'s> {
    query: usize,
    leads: &'s BTreeSet<Lead>,
    conjuncts: &'s [canonical::Conjunct],
}
