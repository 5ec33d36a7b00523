//! What can be told of loops where requests share sessions statement by statement.
//!
//! There loops show in the client's statements as a whole only: in keys that come in the same order again, in a child that ran just as often as
//! its drivers have rows, or in crowds that are just as large as the driver's LIMIT.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::{
    BurstClass, Distinctness, Driver, WindowBound,
    burst::Analyser,
    crowd::{Crowd, Crowds, MIN_CROWD, REACHES, crowds, marks},
    found::Found,
    link::Link,
    order::KeyOrder,
    role::Role,
    round::{Round, rounded_repeats},
    succession::Succession,
    window::{Context, Step},
};

/// Drivers of one child that are told apart.
const MAX_PARENTS: usize = 16;
/// Clients of one child that are told apart.
const MAX_CLIENTS: usize = 16;
/// Executions of one child by one client whose keys are kept.
const MAX_KEYS: usize = 1 << 13;
/// Keys kept in all.
const MAX_ALL_KEYS: usize = 1 << 20;
/// Coherence above which the order of keys is not worked out: rules ask for it below 0.25 only.
const COHERENT: f64 = 0.3;
/// Share by which a child's executions may miss its drivers' rows.
const ACCOUNT_SHARE: f64 = 0.02;

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// A child of clients whose sessions are shared, outside of transactions and tagged requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Mixed {
    /// How much of what a session runs next is told by what it ran before: 0 for nothing, 1 for all. Requests that own a session, 0.3
    /// and more; statements of many requests on one session, up to 0.2. `None` where too little ran.
    pub coherence: Option<f64>,
    /// Executions.
    pub n: u64,
    /// How their keys follow each other, and all of them as one class behind the likeliest driver.
    pub order: KeyOrder,
    /// See `order`.
    pub whole: Option<BurstClass>,
    /// It ran as often as drivers with a LIMIT have rows: executions are `n_repeats`, the drivers' runs `n_bursts`.
    pub accounted: Option<BurstClass>,
    /// Rows of these drivers.
    pub n_rows: u64,
    /// It came in crowds behind drivers, as seen from where most of them are as large as the driver's LIMIT.
    pub crowded: Option<BurstClass>,
    /// Crowds that are exactly as large.
    pub n_exact_crowds: u64,
    /// Executions in them.
    pub n_exact: u64,
    /// Different keys, a window.
    pub n_keys: u64,
}

impl Mixed {
    /// Says something that bursts don't?
    pub(super) fn is_told(&self) -> bool {
        self.whole.is_some() || self.accounted.is_some() || self.crowded.is_some()
    }
}

/// One client of a child.
#[derive(Debug)]
struct Part {
    client: u32,
    n: u64,
    /// Keys in the order of the executions' starts.
    keys: Vec<u64>,
}

/// What one child gave so far.
#[derive(Debug, Default)]
struct Gathered {
    parts: Vec<Part>,
    /// Possible drivers, and how many executions stood in crowds right behind each.
    parents: Vec<(u32, u64)>,
    n_keys: u64,
    crowds: [Crowds; REACHES.len()],
    /// Some crowds, as evidence.
    sample: BurstClass,
}

/// A query's executions outside of transactions and tagged requests.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    n: u64,
    n_limited: u64,
    n_rows: u64,
}

/// Gathers what clients do as a whole.
#[derive(Debug, Default)]
pub(super) struct Mixing {
    successions: Vec<Succession>,
    children: Map<u32, Gathered>,
    open: Vec<Open>,
    /// Keys kept so far.
    n_keys: usize,
}

impl Analyser {
    /// Takes one client's window, of one session or of several.
    pub(super) fn mixed_window(&mut self, steps: &[Step], context: Context<'_>) {
        let Some(first) = steps.first() else { return };
        let client = first.client as usize;
        let successions = &mut self.mixing.successions;
        if successions.len() <= client {
            successions.resize_with(client + 1, Succession::default);
        }
        successions[client].window(steps);
        if successions[client].is_surely_coherent() {
            return;
        }
        let order = by_start(steps);
        let mut by_query: Map<u32, Vec<u32>> = Map::default();
        let mut queries: Vec<u32> = Vec::new();
        for (place, &at) in (0_u32..).zip(&order) {
            let query = steps[at as usize].query;
            by_query
                .entry(query)
                .or_insert_with(|| {
                    queries.push(query);
                    Vec::new()
                })
                .push(place);
        }
        for &query in &queries {
            self.count_open(query, &by_query[&query], &order, steps);
        }
        for &query in &queries {
            if context.known[query as usize].traits.can_repeat() {
                let parents = self.parents_of(query, &queries, context);
                self.gather(query, &parents, &by_query, &order, steps, context);
            }
        }
    }

    fn count_open(&mut self, query: u32, places: &[u32], order: &[u32], steps: &[Step]) {
        let open = &mut self.mixing.open;
        if open.len() <= query as usize {
            open.resize(query as usize + 1, Open::default());
        }
        let open = &mut open[query as usize];
        for &place in places {
            let step = &steps[order[place as usize] as usize];
            open.n += 1;
            open.n_limited += u64::from(step.limit > 1);
            open.n_rows += u64::from(step.limit);
        }
    }

    /// Queries of the window whose rows may drive that one: those linked to it by name, else all lists.
    fn parents_of(&mut self, query: u32, queries: &[u32], context: Context<'_>) -> Vec<u32> {
        let drives =
            |other: u32| other != query && context.known[other as usize].traits.can_drive();
        let candidates = queries.iter().copied().filter(|&other| drives(other));
        let mut linked: Vec<u32> = candidates.clone().collect();
        linked.retain(|&other| self.link(other, query, context) != Link::None);
        if linked.is_empty() {
            let lists = |other: &u32| context.known[*other as usize].traits.role == Role::List;
            linked = candidates.filter(lists).collect();
        }
        linked.truncate(MAX_PARENTS);
        linked
    }

    fn gather(
        &mut self,
        query: u32,
        parents: &[u32],
        by_query: &Map<u32, Vec<u32>>,
        order: &[u32],
        steps: &[Step],
        context: Context<'_>,
    ) {
        let places = &by_query[&query];
        let client = steps[0].client;
        let Mixing {
            children,
            n_keys: n_kept,
            ..
        } = &mut self.mixing;
        let known = children.entry(query).or_default();
        known.count(client, places, order, steps, n_kept);
        for parent in parents {
            if known.parents.len() < MAX_PARENTS && !known.parents.iter().any(|(p, _)| p == parent)
            {
                known.parents.push((*parent, 0));
            }
        }
        if parents.is_empty() || (places.len() as u64) < MIN_CROWD {
            return;
        }
        let marks = marks(places, parents, by_query, order, steps);
        let seen: Vec<Vec<Crowd>> = REACHES.iter().map(|&r| crowds(&marks, r)).collect();
        let mut best = (0, 0, 0);
        for (at, crowds) in seen.iter().enumerate() {
            let mut sum = Crowds::default();
            sum.count(crowds.iter().filter(|crowd| crowd.is_one()));
            known.crowds[at].add(&sum);
            best = best.max((sum.n_exact, sum.n, at));
        }
        for crowd in seen[best.2].iter().filter(|crowd| crowd.is_one()) {
            known.lead(crowd, steps);
        }
        for crowd in seen[best.2].iter().filter(|crowd| crowd.is_one()) {
            if best.0 == 0 || crowd.is_exact() {
                self.sample(query, crowd, steps, context);
            }
        }
    }

    /// Keeps a crowd as evidence.
    fn sample(&mut self, query: u32, crowd: &Crowd, steps: &[Step], context: Context<'_>) {
        let found = crowd.leads.first().map(|&(at, _)| Found {
            driver: Driver::Within,
            step: steps[at as usize],
            group: None,
        });
        let round = Round {
            steps,
            members: &crowd.members,
            traits: &context.known[query as usize].traits,
            context,
        };
        if let Some(known) = self.mixing.children.get_mut(&query) {
            round.count_in(&mut known.sample, found);
        }
    }

    /// What came of one child.
    pub(super) fn mixed(&mut self, query: u32, context: Context<'_>) -> Option<Box<Mixed>> {
        let known = self.mixing.children.remove(&query)?;
        let coherence = self.mixing.coherence(&known.parts);
        let open = |query: u32| {
            let open = self.mixing.open.get(query as usize);
            open.copied().unwrap_or_default()
        };
        let n = open(query).n;
        let parents: Vec<u32> = known.parents.iter().map(|(parent, _)| *parent).collect();
        let (drivers, n_rows) = accounted(n, &parents, open);
        let key = &context.known[query as usize].traits.key;
        let class = |parent: u32, n_bursts: u64, n_repeats: u64, n_max: u64| BurstClass {
            n_bursts: n_bursts.max(1),
            n_repeats,
            n_repeats_max: n_max,
            ..known.class(context.known[parent as usize].fingerprint, key, n_max)
        };
        let likeliest = |of: &[u32]| {
            let mut of: Vec<(u32, u64)> = (known.parents.iter().copied())
                .filter(|(parent, _)| of.contains(parent))
                .collect();
            of.sort_unstable();
            of.into_iter()
                .max_by_key(|&(parent, n)| (n, open(parent).n))
                .map(|(parent, _)| parent)
        };
        let n_runs: u64 = drivers.iter().map(|&p| open(p).n_limited).sum();
        let accounted =
            likeliest(&drivers).map(|parent| class(parent, n_runs, n, n_rows / n_runs.max(1)));
        let crowds = known
            .crowds
            .iter()
            .max_by_key(|crowds| (crowds.n_exact, crowds.n))?;
        let limited: Vec<u32> = (parents.iter().copied())
            .filter(|&parent| open(parent).n_limited > 0)
            .collect();
        let crowded = likeliest(&limited)
            .filter(|_| crowds.n_exact > 0)
            .map(|parent| class(parent, crowds.n_seen, crowds.n, crowds.n_max));
        let is_coherent = coherence.is_none_or(|coherence| coherence >= COHERENT);
        let order = if is_coherent || parents.is_empty() {
            KeyOrder::default()
        } else {
            known.order()
        };
        let whole = likeliest(&parents)
            .filter(|_| order.n > 0)
            .map(|parent| class(parent, crowds.n_seen, n, crowds.n_max));
        Some(Box::new(Mixed {
            coherence,
            n,
            order,
            whole,
            accounted,
            n_rows,
            crowded,
            n_exact_crowds: crowds.n_exact_seen,
            n_exact: crowds.n_exact,
            n_keys: known.n_keys,
        }))
    }

    /// Ends the measuring.
    pub(super) fn finish_mixing(&mut self) {
        for succession in &mut self.mixing.successions {
            succession.finish();
        }
    }
}

impl Gathered {
    /// Counts a window's executions by one client.
    fn count(
        &mut self,
        client: u32,
        places: &[u32],
        order: &[u32],
        steps: &[Step],
        n_kept: &mut usize,
    ) {
        let at = match self.parts.iter().position(|part| part.client == client) {
            Some(at) => at,
            None if self.parts.len() < MAX_CLIENTS => {
                self.parts.push(Part {
                    client,
                    n: 0,
                    keys: Vec::new(),
                });
                self.parts.len() - 1
            }
            None => return,
        };
        let part = &mut self.parts[at];
        let keys = places
            .iter()
            .map(|&place| steps[order[place as usize] as usize].key);
        let room = (MAX_KEYS - part.keys.len()).min(MAX_ALL_KEYS - *n_kept);
        let before = part.keys.len();
        part.n += places.len() as u64;
        part.keys.extend(keys.clone().take(room));
        *n_kept += part.keys.len() - before;
        let mut distinct: Vec<u64> = keys.collect();
        distinct.sort_unstable();
        distinct.dedup();
        self.n_keys += distinct.len() as u64;
    }

    /// Counts a crowd for the driver whose LIMIT it fills, else for the first before it.
    fn lead(&mut self, crowd: &Crowd, steps: &[Step]) {
        let size = crowd.members.len() as u64;
        let exact = crowd
            .leads
            .iter()
            .find(|(_, limit)| u64::from(*limit) == size);
        let lead = exact
            .or(crowd.leads.first())
            .map(|&(at, _)| steps[at as usize].query);
        let known = self
            .parents
            .iter_mut()
            .find(|(parent, _)| Some(*parent) == lead);
        if let Some((_, n)) = known {
            *n += size;
        }
    }

    fn order(&self) -> KeyOrder {
        let mut sum = KeyOrder::default();
        for part in &self.parts {
            sum.add(KeyOrder::of(&part.keys));
        }
        sum
    }

    /// All that it shares with classes of bursts.
    fn class(&self, parent: crate::sql::Fingerprint, key: &[u16], n_max: u64) -> BurstClass {
        let mut class = self.sample.clone();
        class.shape.bound = WindowBound::Parallel;
        class.shape.driver = Driver::Within;
        class.shape.parent = Some(parent);
        class.shape.repeats = rounded_repeats(n_max as usize);
        class.shape.distinct = Distinctness::Most;
        class.shape.fills_limit = true;
        if class.varying == 0 {
            class.varying = key.iter().fold(0, |bits, &at| bits | 1 << at.min(63));
        }
        class
    }
}

impl Mixing {
    /// Of a child's clients, by its executions.
    fn coherence(&self, parts: &[Part]) -> Option<f64> {
        let (mut sum, mut n) = (0.0, 0.0);
        for part in parts {
            let known = self.successions.get(part.client as usize);
            if let Some(coherence) = known.and_then(Succession::coherence) {
                sum += coherence * part.n as f64;
                n += part.n as f64;
            }
        }
        (n > 0.0).then(|| sum / n)
    }
}

/// Positions by start, without what a transaction bounds; as logged where the clock ticks in seconds.
fn by_start(steps: &[Step]) -> Vec<u32> {
    let mut order: Vec<u32> = (0_u32..)
        .zip(steps)
        .filter(|(_, step)| !step.bounded)
        .map(|(at, _)| at)
        .collect();
    let coarse = steps.iter().all(|step| step.end_us % 1_000_000 == 0);
    if !coarse {
        order.sort_by_key(|&at| steps[at as usize].start_us);
    }
    order
}

/// The driver, or all of them, whose rows are as many as the child's executions, and these rows.
fn accounted(n: u64, parents: &[u32], open: impl Fn(u32) -> Open) -> (Vec<u32>, u64) {
    let limited: Vec<u32> = (parents.iter().copied())
        .filter(|&parent| open(parent).n_limited > 0)
        .collect();
    let mut sets: Vec<Vec<u32>> = limited.iter().map(|&parent| vec![parent]).collect();
    if limited.len() > 1 {
        sets.push(limited);
    }
    let fitting = sets.into_iter().filter_map(|set| {
        let n_runs: u64 = set.iter().map(|&parent| open(parent).n_limited).sum();
        let n_rows: u64 = set.iter().map(|&parent| open(parent).n_rows).sum();
        let missed = n_rows.abs_diff(n);
        (n_runs >= 2 && missed as f64 <= ACCOUNT_SHARE * n as f64).then_some((missed, set, n_rows))
    });
    fitting
        .min_by_key(|(missed, ..)| *missed)
        .map(|(_, set, n_rows)| (set, n_rows))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_driver_or_of_all_are_held_against_executions() {
        let open = |query: u32| match query {
            1 => Open {
                n: 10,
                n_limited: 10,
                n_rows: 200,
            },
            2 => Open {
                n: 5,
                n_limited: 5,
                n_rows: 50,
            },
            _ => Open {
                n: 9,
                n_limited: 0,
                n_rows: 0,
            },
        };
        assert_eq!(accounted(201, &[1, 2, 3], open), (vec![1], 200));
        assert_eq!(accounted(250, &[1, 2, 3], open), (vec![1, 2], 250));
        assert_eq!(accounted(120, &[1, 2, 3], open), (vec![], 0));
    }
}
