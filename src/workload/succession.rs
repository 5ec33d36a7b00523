//! Whether a client's sessions carry one request at a time: how much of what a session runs next is told by what it ran before.
//!
//! A pool that lends a connection for each statement mixes requests on every session: then what it ran before says nothing.

use super::window::Step;

/// Pairs of statements in a block: within so few, what kinds of requests there are hardly changes.
const BLOCK: usize = 100;
/// Pairs in the last block from which on it counts.
const MIN_BLOCK: usize = 30;
/// Kinds of statements from which on a block tells something: two that alternate are one loop's body.
const MIN_KINDS: usize = 4;
/// Share of what follows that chance must leave untold: where nearly each pair is the only one of its kind, pairs tell nothing.
const MIN_OPEN: f64 = 0.25;
/// Blocks after which a client is known well enough.
const MAX_BLOCKS: u32 = 200;
/// Coherence from which on a well known client's statements as a whole are not looked at.
const SURELY_COHERENT: f64 = 0.5;
/// Blocks from which on that holds.
const MIN_BLOCKS: u32 = 5;

/// What follows what on one client's sessions.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// What ran, and what ran next on that session.
    block: Vec<(u32, u32)>,
    n_blocks: u32,
    /// Sums over blocks: shared information beyond chance, and all that could be there, in nats.
    shared: f64,
    whole: f64,
}

impl Succession {
    /// Takes a window's statements in the order of the log.
    pub(super) fn window(&mut self, steps: &[Step]) {
        if self.n_blocks >= MAX_BLOCKS {
            return;
        }
        let mut last: Vec<(u32, u32)> = Vec::new();
        for step in steps {
            let known = last
                .iter_mut()
                .find(|(session, _)| *session == step.session);
            if step.bounded {
                last.retain(|(session, _)| *session != step.session);
                continue;
            }
            match known {
                Some((_, before)) => {
                    if *before != step.query {
                        self.block.push((*before, step.query));
                    }
                    *before = step.query;
                }
                None => last.push((step.session, step.query)),
            }
            if self.block.len() >= BLOCK {
                self.close_block();
            }
        }
    }

    fn close_block(&mut self) {
        let mut pairs = std::mem::take(&mut self.block);
        // a statement behind itself is left out, which is no information: nor is it in what chance would give
        let kinds = entropy(pairs.iter().map(|&(before, _)| before));
        let seconds = entropy(pairs.iter().map(|&(_, after)| after));
        if kinds.n_kinds < MIN_KINDS || seconds.n_kinds < MIN_KINDS {
            return;
        }
        // exchanging seconds changes neither side's own entropy, so the pairs' alone is compared
        let together = entropy(pairs.iter()).nats;
        let by_chance = together_by_chance(&mut pairs);
        if by_chance - kinds.nats < MIN_OPEN * seconds.nats {
            return;
        }
        self.shared += by_chance - together;
        self.whole += by_chance - kinds.nats;
        self.n_blocks += 1;
    }

    /// `None` where too little ran.
    pub(super) fn coherence(&self) -> Option<f64> {
        (self.n_blocks > 0 && self.whole > 0.0).then(|| (self.shared / self.whole).clamp(0.0, 1.0))
    }

    pub(super) fn finish(&mut self) -> Option<f64> {
        let n = self.block.len();
        if n >= BLOCK / 2 || (self.n_blocks == 0 && n >= MIN_BLOCK) {
            self.close_block();
        }
        self.coherence()
    }

    pub(super) fn is_surely_coherent(&self) -> bool {
        self.n_blocks >= MIN_BLOCKS && self.coherence().is_some_and(|c| c >= SURELY_COHERENT)
    }
}

/// Entropy of a sample, summed over it.
struct Entropy {
    n_kinds: usize,
    nats: f64,
}

fn entropy<T: Ord>(values: impl Iterator<Item = T>) -> Entropy {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    let n = values.len() as f64;
    let mut sum = Entropy {
        n_kinds: 0,
        nats: 0.0,
    };
    for same in values.chunk_by(|a, b| a == b) {
        let count = same.len() as f64;
        sum.n_kinds += 1;
        sum.nats -= count * (count / n).ln();
    }
    sum
}

/// Entropy of the pairs where only chance joins them, in nats: the mean over pairs whose seconds are exchanged, none beside itself. (What few
/// pairs of many kinds seem to share is mostly chance, and no formula has it where pairs of equals are left out.)
fn together_by_chance(pairs: &mut [(u32, u32)]) -> f64 {
    const ROUNDS: usize = 8;
    const EXCHANGES: usize = 4;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    // xorshift64* (Marsaglia 2003; Vigna 2016): the same numbers each time
    let mut draw = |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    let mut sum = 0.0;
    for _ in 0..ROUNDS {
        for _ in 0..EXCHANGES * pairs.len() {
            let (i, j) = (draw(pairs.len()), draw(pairs.len()));
            if pairs[i].0 != pairs[j].1 && pairs[j].0 != pairs[i].1 {
                let second = pairs[i].1;
                pairs[i].1 = pairs[j].1;
                pairs[j].1 = second;
            }
        }
        sum += entropy(pairs.iter()).nats;
    }
    sum / ROUNDS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of statements on two sessions that take turns.
    fn coherence(n: u32, of: impl Fn(u32) -> u32) -> Option<f64> {
        let steps: Vec<Step> = (0..n)
            .map(|at| Step {
                query: of(at / 2 + at % 2 * 100_002),
                session: at % 2,
                ..Step::default()
            })
            .collect();
        let mut succession = Succession::default();
        succession.window(&steps);
        succession.finish()
    }

    /// A multiplicative hash would not do: its neighbours depend on each other.
    fn scattered(at: u32, kinds: u64) -> u32 {
        (xxhash_rust::xxh3::xxh3_64(&at.to_le_bytes()) % kinds) as u32
    }

    #[test]
    fn requests_that_own_a_session_are_coherent_and_mixed_ones_are_not() {
        assert!(coherence(4000, |at| at % 5).unwrap() > 0.8);
        assert!(coherence(4000, |at| scattered(at, 7)).unwrap() < 0.1);
    }

    #[test]
    fn few_pairs_of_many_kinds_are_not_taken_for_mixed() {
        // requests of three statements each, of five kinds, drawn by chance
        let requests = |at: u32| 3 * scattered(at / 3, 5) + at % 3;
        assert!(coherence(90, requests).is_none_or(|c| c > 0.4));
        assert!(coherence(400, requests).unwrap() > 0.4);
        assert!(coherence(90, |at| scattered(at, 15)).is_none_or(|c| c < 0.25));
    }
}
