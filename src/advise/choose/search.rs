//! The search: lazy greedy under several exponents of size, then a local search that evicts a few indexes, fills up again and exchanges one for one.
//! Its work is bounded by a count of looks at the table, never by a clock, so that the same table gives the same answer everywhere.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::state::State;

/// Exponents α of greedy's key gain / sizeᵅ: no single one is good under every budget (measured on the published TPC-H table: plain gain is up
/// to 3.1 percentage points off, gain per byte 1.6, the best of five 0.03).
const EXPONENTS: [f64; 6] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5];

/// Looks at the table that the local search may take: some seconds of work on a large table.
const MAX_WORK: u64 = 200_000_000;

/// Rounds of the local search; small tables are solved long before.
const MAX_ROUNDS: u64 = 60_000;

/// Rounds without a better set after which the search returns to the best one.
const PATIENCE: u64 = 60;

/// Rounds without a better set, per index of the table, after which the search ends.
const MAX_STALE_PER_MOVE: u64 = 4;

/// Fewest rounds without a better set before the search ends.
const MIN_STALE: u64 = 2_000;

/// Most indexes evicted in one round.
const MAX_EVICTED: usize = 5;

/// How much worse, as a share of the objective, a set may be to be walked on from.
const SLACK: f64 = 0.004;

/// The best set found, sorted. Where indexes exist, it is looked for from what is there as well as from nothing.
pub(super) fn run(state: &mut State<'_>, existing: &[usize]) -> Vec<usize> {
    let mut best = Best::default();
    let starts: &[&[usize]] = if existing.is_empty() {
        &[&[]]
    } else {
        &[&[], existing]
    };
    for alpha in EXPONENTS {
        for start in starts {
            state.become_set(start);
            fill(state, alpha, &[]);
            settle(state, &[]);
            best.offer(state);
        }
    }
    improve(state, &mut best);
    best.set
}

/// The best set so far.
#[derive(Debug)]
struct Best {
    objective: f64,
    size_bytes: u64,
    set: Vec<usize>,
}

impl Default for Best {
    fn default() -> Self {
        Self {
            objective: f64::INFINITY,
            size_bytes: u64::MAX,
            set: Vec::new(),
        }
    }
}

impl Best {
    /// Takes over the state's set when it is better: cheaper, or as cheap and smaller.
    fn offer(&mut self, state: &State<'_>) -> bool {
        let objective = state.objective();
        let tie = state.tie();
        let is_better = objective < self.objective - tie
            || (objective <= self.objective + tie && state.size_bytes() < self.size_bytes);
        if is_better {
            self.objective = objective;
            self.size_bytes = state.size_bytes();
            self.set = state.chosen();
        }
        is_better
    }
}

/// A move in greedy's queue.
struct Entry {
    key: f64,
    size: u64,
    at: usize,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key
            .total_cmp(&other.key)
            .then(other.size.cmp(&self.size))
            .then(other.at.cmp(&self.at))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// Lazy greedy: adds the move of best key until none gains or fits. A key only falls while others are chosen, unless a partner comes in; those
/// are queued anew.
fn fill(state: &mut State<'_>, alpha: f64, banned: &[usize]) {
    let mut heap: BinaryHeap<Entry> = (0..state.moves.len())
        .filter_map(|at| entry(state, at, alpha, banned))
        .collect();
    while let Some(top) = heap.pop() {
        let Some(now) = entry(state, top.at, alpha, banned) else {
            continue;
        };
        if heap.peek().is_some_and(|next| now < *next) {
            heap.push(now);
            continue;
        }
        let set = state.moves[top.at].set.clone();
        for &index in set.iter() {
            state.add(index);
        }
        for &index in set.iter() {
            for at in state.moves_of[index].clone() {
                if state.moves[at].set.len() > 1 {
                    heap.extend(entry(state, at, alpha, banned));
                }
            }
        }
    }
}

/// A move as greedy sees it, if it gains and fits.
fn entry(state: &mut State<'_>, at: usize, alpha: f64, banned: &[usize]) -> Option<Entry> {
    let set = state.moves[at].set.clone();
    if set.iter().any(|index| banned.contains(index)) || !state.fits(&set) {
        return None;
    }
    let gain = state.gain(&set);
    let size = state.added_bytes(&set);
    (gain > state.tie()).then(|| Entry {
        key: gain / (size.max(1) as f64).powf(alpha),
        size,
        at,
    })
}

/// Drops what does not pay for itself, worst first; then exchanges one index for one while that helps.
fn settle(state: &mut State<'_>, banned: &[usize]) {
    drop_useless(state);
    while exchange(state, banned) {
        drop_useless(state);
    }
}

fn drop_useless(state: &mut State<'_>) {
    loop {
        let tie = state.tie();
        let worst = state
            .chosen()
            .into_iter()
            .map(|index| (state.loss(index), index))
            .filter(|(loss, _)| *loss <= tie)
            .min_by(|(a, at_a), (b, at_b)| a.total_cmp(b).then(at_b.cmp(at_a)));
        let Some((_, index)) = worst else {
            return;
        };
        state.drop_index(index);
    }
}

/// The best exchange of one chosen index for one move, if any helps.
fn exchange(state: &mut State<'_>, banned: &[usize]) -> bool {
    let tie = state.tie();
    let mut best: Option<(f64, usize, usize)> = None;
    for out in state.chosen() {
        let loss = state.loss(out);
        state.drop_index(out);
        for at in 0..state.moves.len() {
            let set = state.moves[at].set.clone();
            let is_allowed = !set
                .iter()
                .any(|index| *index == out || banned.contains(index));
            if is_allowed && state.fits(&set) {
                let net = state.gain(&set) - loss;
                if net > best.map_or(tie, |(known, ..)| known + tie) {
                    best = Some((net, out, at));
                }
            }
        }
        state.add(out);
    }
    let Some((_, out, at)) = best else {
        return false;
    };
    state.drop_index(out);
    for &index in state.moves[at].set.clone().iter() {
        state.add(index);
    }
    true
}

/// Evicts a few indexes, bans some of them for one filling, and goes on from what is not much worse.
fn improve(state: &mut State<'_>, best: &mut Best) {
    let mut random = Random::new(1);
    let mut n_idle = 0;
    let mut current = best.set.clone();
    let max_idle = MIN_STALE.max(state.moves.len() as u64 * MAX_STALE_PER_MOVE);
    for round in 0..MAX_ROUNDS {
        if state.work >= MAX_WORK || n_idle >= max_idle || best.set.is_empty() {
            return;
        }
        if n_idle % PATIENCE == PATIENCE - 1 {
            current.clone_from(&best.set);
        }
        state.become_set(&current);
        let banned = evict(state, &mut random);
        let alpha = EXPONENTS[random.below(EXPONENTS.len())];
        if random.below(3) == 0 {
            force_in(state, &mut random, &banned);
        }
        fill(state, alpha, &banned);
        fill(state, 0.0, &[]);
        if round % 8 == 0 {
            settle(state, &[]);
        } else {
            drop_useless(state);
        }
        let objective = state.objective();
        if objective <= best.objective * (1.0 + SLACK) {
            current = state.chosen();
        }
        if objective < best.objective * (1.0 + SLACK) && round % 8 != 0 {
            settle(state, &[]);
        }
        n_idle += 1;
        if best.offer(state) {
            n_idle = 0;
            current.clone_from(&best.set);
        }
    }
}

/// Drops one to [`MAX_EVICTED`] random indexes; the half of them that may not come back at once is the answer.
fn evict(state: &mut State<'_>, random: &mut Random) -> Vec<usize> {
    let mut chosen = state.chosen();
    let n = 1 + random.below(MAX_EVICTED.min(chosen.len().max(1)));
    let mut banned = Vec::new();
    for _ in 0..n.min(chosen.len()) {
        let out = chosen.swap_remove(random.below(chosen.len()));
        state.drop_index(out);
        if random.below(2) == 0 {
            banned.push(out);
        }
    }
    banned
}

/// Adds a random move, whatever it gains: a way to sets that greedy never takes.
fn force_in(state: &mut State<'_>, random: &mut Random, banned: &[usize]) {
    if state.moves.is_empty() {
        return;
    }
    let set = state.moves[random.below(state.moves.len())].set.clone();
    if state.fits(&set) && !set.iter().any(|index| banned.contains(index)) {
        for &index in set.iter() {
            state.add(index);
        }
    }
}

/// A small generator of numbers (xorshift64*, Vigna 2016): the same sequence everywhere.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`, which is above zero.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        mixed as usize % n
    }
}
