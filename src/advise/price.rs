//! Asks a planner: what does each statement cost with which candidates? The only async part of advice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    Options, PlannedQuery, Question, WhatIf, WhatIfError,
    bind::BoundQuery,
    drops::Droppable,
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

/// Sets that are asked for at once. Time that is up ends the pricing after these; more than a few a core would gain nothing.
const MAX_AT_ONCE: usize = 24;

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

/// How many times its cost a plan counts for that hopes: under LIMIT the planner takes the rows that pass a filter to be spread evenly over the
/// order of the index, and those of one account, or of one state, seldom are. What is read without hope at a few times the cost is preferred.
const HOPE: f64 = 4.0;

/// Mean time below which that is not asked, ms: start-up and network weigh more there.
const MIN_SLOW_MS: f64 = 1.0;

/// Is the statement much faster than this cost allows?
pub(super) fn is_contradicted(query: &BoundQuery<'_>, cost: f64) -> bool {
    let mean_ms = query.query.mean_ms();
    if query.is_real && mean_ms >= MIN_SLOW_ANYWAY_MS {
        return false;
    }
    mean_ms > 0.0 && cost >= MIN_COST && cost * MIN_MS_PER_COST > mean_ms
}

/// One statement's plan under one set of candidates.
#[derive(Debug, Clone)]
pub(super) struct Priced {
    pub(super) cost: f64,
    /// Positions of the candidates that the plan uses, sorted.
    pub(super) used: Vec<usize>,
    /// Positions of the droppable existing indexes that it uses, sorted.
    pub(super) held: Vec<usize>,
    pub(super) plan: Plan,
}

impl Priced {
    /// Half of the executions like this, half like `other`; the plan is of those that are cheaper. Only one of the two is true: where each has an
    /// index of its own, this one's has to do for both, so that no second one is built on a guess.
    fn averaged(self, other: Self) -> Self {
        if !self.used.is_empty() && !other.used.is_empty() && self.used != other.used {
            return self;
        }
        let both = |a: &[usize], b: &[usize]| {
            let all: BTreeSet<usize> = a.iter().chain(b).copied().collect();
            all.into_iter().collect()
        };
        Self {
            cost: f64::midpoint(self.cost, other.cost),
            used: both(&self.used, &other.used),
            held: both(&self.held, &other.held),
            plan: if other.cost < self.cost {
                other.plan
            } else {
                self.plan
            },
        }
    }

    /// The cost that choices are made by. What is there is no choice.
    fn sober_cost(&self) -> f64 {
        if self.used.is_empty() {
            self.cost
        } else {
            self.cost * hope(&self.plan)
        }
    }
}

/// How many times its cost a plan counts for.
fn hope(plan: &Plan) -> f64 {
    if plan.hopes_for_early_rows() {
        HOPE
    } else {
        1.0
    }
}

/// A plan's cost with what hope costs.
pub(super) fn sober_cost(plan: &Plan) -> f64 {
    plan.total_cost().0 * hope(plan)
}

/// One question: a statement, the candidates shown (sorted), and the droppable indexes left out (sorted).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    query: usize,
    set: Vec<usize>,
    hidden: Vec<usize>,
}

impl Key {
    fn new(query: usize, set: &[usize], hidden: &[usize]) -> Self {
        Self {
            query,
            set: set.to_vec(),
            hidden: hidden.to_vec(),
        }
    }

    fn base(query: usize) -> Self {
        Self::new(query, &[], &[])
    }
}

/// What a plan rests on: candidates, and existing indexes that could be dropped. Sorted positions.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rests {
    pub(super) used: Vec<usize>,
    pub(super) held: Vec<usize>,
}

/// Prices with a cache: one question is asked once.
pub(super) struct Pricer<'a, W> {
    what_if: &'a W,
    queries: &'a [BoundQuery<'a>],
    /// What is planned for each statement.
    texts: Vec<PlannedQuery>,
    /// Statements that are planned without their LIMIT, with the text that has it.
    lifted: BTreeMap<usize, PlannedQuery>,
    defs: Vec<IndexDef>,
    /// For each candidate, the statements that could use it.
    pub(super) applies: Vec<BTreeSet<usize>>,
    /// Existing indexes that the search may leave out.
    droppable: &'a [Droppable],
    cache: BTreeMap<Key, Result<Priced, String>>,
    /// Statements whose estimates rest on the statistics of these droppable indexes, whether a plan uses them or not.
    pub(super) leans: BTreeMap<usize, BTreeSet<usize>>,
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
        droppable: &'a [Droppable],
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
            lifted: BTreeMap::new(),
            defs,
            applies: applies(proposed, queries),
            broken: BTreeMap::new(),
            contradicted: BTreeSet::new(),
            droppable,
            cache: BTreeMap::new(),
            leans: BTreeMap::new(),
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
            self.cache.remove(&Key::base(at));
        }
        self.price(&failed, &[]).await;
        for &at in queries {
            self.explain_time(at).await;
            self.lift_limit(at).await;
        }
        for at in queries {
            if let Some(Err(reason)) = self.cache.get(&Key::base(*at)) {
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
            self.cache.remove(&Key::base(at));
            self.price(&[at], &[]).await;
            if self.known(at, &[]).is_some() && !self.contradicts(at) {
                return;
            }
        }
        if self.texts[at] != planned {
            self.texts[at] = planned;
            self.cache.remove(&Key::base(at));
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
    /// rare or none: what it costs to look for all of them is what it really does. Only a candidate that leads to just those rows in order is
    /// priced with the LIMIT.
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
        let limited = self.texts[at].clone();
        self.texts[at].sql = sql;
        let answer = self.cache.remove(&Key::base(at));
        self.price(&[at], &[]).await;
        if self.known(at, &[]).is_none() {
            self.texts[at] = limited;
            self.cache
                .extend(answer.map(|answer| (Key::base(at), answer)));
        } else {
            self.lifted.insert(at, limited);
        }
    }

    /// Is the statement much faster than its cost allows?
    fn contradicts(&self, at: usize) -> bool {
        let cost = self.known(at, &[]).map_or(0.0, |base| base.cost);
        is_contradicted(&self.queries[at], cost)
    }

    /// What the cache knows about a statement under exactly this set (sorted).
    pub(super) fn known(&self, query: usize, set: &[usize]) -> Option<&Priced> {
        self.known_without(query, set, &[])
    }

    /// The same without some of the droppable indexes (sorted).
    pub(super) fn known_without(
        &self,
        query: usize,
        set: &[usize],
        hidden: &[usize],
    ) -> Option<&Priced> {
        let key = Key::new(query, set, hidden);
        self.cache.get(&key)?.as_ref().ok()
    }

    /// The statement's price as things are, if it is high enough to bother.
    pub(super) fn base(&self, query: usize) -> Option<&Priced> {
        self.known(query, &[])
            .filter(|base| base.cost >= MIN_COST && !self.contradicted.contains(&query))
    }

    /// Prices statements under one set of candidates. Failures are counted and leave the others alone.
    pub(super) async fn price(&mut self, queries: &[usize], set: &[usize]) {
        self.price_without(queries, set, &[]).await;
    }

    /// The same as if some of the droppable indexes (sorted) were gone.
    pub(super) async fn price_without(
        &mut self,
        queries: &[usize],
        set: &[usize],
        hidden: &[usize],
    ) {
        self.price_some(&[(queries.to_vec(), set.to_vec())], hidden)
            .await;
    }

    /// Prices statements under sets of candidates, each under its own: independent of each other, so that several planners can work at once.
    pub(super) async fn price_each(&mut self, asks: &[(Vec<usize>, Vec<usize>)]) {
        for some in asks.chunks(MAX_AT_ONCE) {
            self.price_some(some, &[]).await;
        }
    }

    async fn price_some(&mut self, asks: &[(Vec<usize>, Vec<usize>)], hidden: &[usize]) {
        let hide = self.names_of(hidden);
        let mut open = Vec::new();
        for (queries, set) in asks {
            let unknown: Vec<usize> = queries
                .iter()
                .copied()
                .filter(|&query| !self.cache.contains_key(&Key::new(query, set, hidden)))
                .collect();
            let n_more = unknown.len() as u64;
            if unknown.is_empty() || self.is_stopped(n_more) {
                continue;
            }
            self.n_calls += n_more;
            let planned: Vec<_> = unknown.iter().map(|&at| self.texts[at].clone()).collect();
            open.push((unknown, planned, self.able(set), set.as_slice()));
        }
        let questions: Vec<Question<'_>> = open
            .iter()
            .map(|(_, queries, add, _)| Question {
                queries,
                add,
                hide: &hide,
            })
            .collect();
        let answers = self.what_if.plan_each(&questions).await;
        for ((unknown, planned, _, set), plans) in open.into_iter().zip(answers) {
            self.settle(unknown, &planned, (set, hidden), plans).await;
        }
    }

    /// Takes in the answers for one set. Where the whole set failed, it is asked again without the candidates that this planner can't make.
    async fn settle(
        &mut self,
        unknown: Vec<usize>,
        planned: &[PlannedQuery],
        (set, hidden): (&[usize], &[usize]),
        mut plans: Vec<Result<Plan, WhatIfError>>,
    ) {
        if !set.is_empty() && plans.iter().all(Result::is_err) && self.stopped.is_none() {
            self.find_broken(&planned[0], set).await;
            let rest: Vec<usize> = set
                .iter()
                .copied()
                .filter(|at| !self.broken.contains_key(at))
                .collect();
            if rest.len() < set.len() && !rest.is_empty() {
                plans = self.ask(planned, &rest, hidden).await;
            }
        }
        let mut with_limit = self.plan_with_limit(&unknown, set, hidden).await;
        let mut with_prefix = self.plan_with_prefix(&unknown, set, hidden).await;
        for (query, plan) in unknown.into_iter().zip(plans) {
            let priced = match plan {
                Ok(plan) => {
                    let infix = self.priced(set, plan);
                    Ok(match with_prefix.remove(&query) {
                        Some(prefix) => infix.averaged(prefix),
                        None => infix,
                    })
                }
                Err(error) => Err(self.failed(&error)),
            };
            let priced = match (with_limit.remove(&query), priced) {
                (Some(limited), Ok(all)) if limited.cost < all.cost => Ok(limited),
                (_, priced) => priced,
            };
            self.cache.insert(Key::new(query, set, hidden), priced);
        }
    }

    /// Plans under patterns that begin with text, of statements whose patterns are not known.
    async fn plan_with_prefix(
        &mut self,
        queries: &[usize],
        set: &[usize],
        hidden: &[usize],
    ) -> BTreeMap<usize, Priced> {
        let unknown = |at: &usize| {
            let is_as_planned = self.texts[*at] == self.queries[*at].planned;
            let text = self.queries[*at].with_prefix.as_ref();
            Some((*at, text.filter(|_| is_as_planned)?.clone()))
        };
        let texts = queries.iter().filter_map(unknown).collect();
        self.plan_others(texts, set, hidden).await
    }

    /// Plans with their LIMIT, of statements that are planned without, as far as they use a candidate and stop at the LIMIT without hoping.
    async fn plan_with_limit(
        &mut self,
        queries: &[usize],
        set: &[usize],
        hidden: &[usize],
    ) -> BTreeMap<usize, Priced> {
        if set.is_empty() {
            return BTreeMap::new();
        }
        let lifted = |at: &usize| Some((*at, self.lifted.get(at)?.clone()));
        let texts = queries.iter().filter_map(lifted).collect();
        let mut with_limit = self.plan_others(texts, set, hidden).await;
        with_limit
            .retain(|_, priced| !priced.used.is_empty() && !priced.plan.hopes_for_early_rows());
        with_limit
    }

    /// Prices other texts of statements under a set, as far as they can be planned and there are calls left.
    async fn plan_others(
        &mut self,
        texts: Vec<(usize, PlannedQuery)>,
        set: &[usize],
        hidden: &[usize],
    ) -> BTreeMap<usize, Priced> {
        if texts.is_empty() || self.is_stopped(texts.len() as u64) {
            return BTreeMap::new();
        }
        let (at, texts): (Vec<usize>, Vec<PlannedQuery>) = texts.into_iter().unzip();
        let plans = self.ask(&texts, set, hidden).await;
        at.into_iter()
            .zip(plans)
            .filter_map(|(at, plan)| Some((at, self.priced(set, plan.ok()?))))
            .collect()
    }

    /// `schema.name` of droppable indexes.
    fn names_of(&self, hidden: &[usize]) -> Vec<String> {
        let hidden = hidden.iter();
        hidden.map(|&at| self.droppable[at].name.clone()).collect()
    }

    /// Candidates of a set, as far as this planner can make them.
    fn able(&self, set: &[usize]) -> Vec<IndexDef> {
        let able = set.iter().filter(|at| !self.broken.contains_key(at));
        able.map(|&at| self.defs[at].clone()).collect()
    }

    async fn ask(
        &mut self,
        planned: &[PlannedQuery],
        set: &[usize],
        hidden: &[usize],
    ) -> Vec<Result<Plan, WhatIfError>> {
        let add = self.able(set);
        let hide = self.names_of(hidden);
        self.n_calls += planned.len() as u64;
        self.what_if.plan_all(planned, &add, &hide).await
    }

    /// Tries each candidate of a set that failed alone: one that this planner can't make must not take the others with it.
    async fn find_broken(&mut self, planned: &PlannedQuery, set: &[usize]) {
        let mut failed = Vec::new();
        for &at in set {
            let plans = self.ask(std::slice::from_ref(planned), &[at], &[]).await;
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
            held: (0..self.droppable.len())
                .filter(|&at| plan.uses_index(&self.droppable[at].def.name))
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
    /// Every set of candidates and of droppable indexes that a plan of this statement rests on, with its cost, where that is below `base`.
    pub(super) fn options(&self, query: usize, base: f64) -> Vec<(Rests, f64)> {
        let mut best: BTreeMap<Rests, f64> = BTreeMap::new();
        let leans = self.leans.get(&query);
        let of_query = self.cache.range(Key::base(query)..Key::base(query + 1));
        for (key, priced) in of_query {
            let Some(priced) = priced.as_ref().ok() else {
                continue;
            };
            let sober_cost = priced.sober_cost();
            if sober_cost >= base {
                continue;
            }
            let unseen = leans.into_iter().flatten();
            let mut held: BTreeSet<usize> = priced.held.iter().copied().collect();
            held.extend(unseen.filter(|at| !key.hidden.contains(at)));
            let rests = Rests {
                used: priced.used.clone(),
                held: held.into_iter().collect(),
            };
            if rests != Rests::default() {
                let cost = best.entry(rests).or_insert(sober_cost);
                *cost = cost.min(sober_cost);
            }
        }
        best.into_iter().collect()
    }

    /// Cost with no candidate and none of the droppable indexes; 0 where that was not asked.
    pub(super) fn dearest(&self, query: usize) -> f64 {
        let of_query = self.cache.range(Key::base(query)..Key::base(query + 1));
        of_query
            .filter(|(key, _)| key.set.is_empty())
            .filter_map(|(_, priced)| priced.as_ref().ok())
            .map(|priced| priced.cost)
            .fold(0.0, f64::max)
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
        let base = self.cache.get(&Key::base(query))?.as_ref().ok()?.cost;
        let with = |priced: &&Priced| !priced.used.is_empty();
        let best = self
            .answers(query)
            .filter(with)
            .map(|priced| priced.cost)
            .reduce(f64::min)?;
        (base > 0.0).then_some(best / base)
    }

    /// Answers with all existing indexes in place.
    fn answers(&self, query: usize) -> impl Iterator<Item = &Priced> {
        self.cache
            .range(Key::base(query)..Key::base(query + 1))
            .filter(|(key, _)| key.hidden.is_empty())
            .filter_map(|(_, priced)| priced.as_ref().ok())
    }

    /// Calls of a statement in the window.
    pub(super) fn n_calls_of(&self, query: usize) -> f64 {
        self.queries[query].query.n_calls() as f64
    }

    /// Does `winner`, which carries INCLUDE columns, begin with all of what `other` is, which carries none?
    pub(super) fn is_plainer(&self, other: usize, winner: usize) -> bool {
        let (other, winner) = (&self.defs[other], &self.defs[winner]);
        !winner.include.is_empty() && other.include.is_empty() && winner.covers(other)
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
