//! Whether a client's sessions carry one request at a time: how much of what a session runs next is told by what it ran before.
//!
//! A pool that lends a connection for each statement mixes requests on every session: then what it ran before says nothing.

use hashbrown::HashMap;

use super::window::Step;

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Pairs of statements in a block: within so few, what kinds of requests there are hardly changes.
const BLOCK: u32 = 100;
/// Pairs in the last block from which on it counts.
const MIN_BLOCK: u32 = 30;
/// Kinds of statements from which on a block tells something: two that alternate are one loop's body.
const MIN_KINDS: usize = 4;
/// Blocks after which a client is known well enough.
const MAX_BLOCKS: u32 = 200;
/// Coherence from which on a well known client's statements as a whole are not looked at.
const SURELY_COHERENT: f64 = 0.5;
/// Blocks from which on that holds.
const MIN_BLOCKS: u32 = 5;

/// What follows what on one client's sessions.
#[derive(Debug, Default)]
pub(super) struct Succession {
    block: Map<(u32, u32), u32>,
    n_in_block: u32,
    n_blocks: u32,
    /// Sums over blocks: shared information, and all there is of what follows.
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
                        *self.block.entry((*before, step.query)).or_default() += 1;
                        self.n_in_block += 1;
                    }
                    *before = step.query;
                }
                None => last.push((step.session, step.query)),
            }
            if self.n_in_block >= BLOCK {
                self.close_block();
            }
        }
    }

    fn close_block(&mut self) {
        let mut pairs: Vec<((u32, u32), u32)> = self.block.drain().collect();
        pairs.sort_unstable();
        let n = f64::from(std::mem::take(&mut self.n_in_block));
        let mut before: Map<u32, u32> = Map::default();
        let mut after: Map<u32, u32> = Map::default();
        for &((a, b), count) in &pairs {
            *before.entry(a).or_default() += count;
            *after.entry(b).or_default() += count;
        }
        let of = |counts: &Map<u32, u32>, at: u32| f64::from(counts.get(&at).copied().unwrap_or(0));
        let shared: f64 = pairs
            .iter()
            .map(|&((a, b), count)| {
                let count = f64::from(count);
                count * (count * n / (of(&before, a) * of(&after, b))).ln()
            })
            .sum();
        // a statement behind itself is left out, which is no information
        let mut kinds: Vec<(u32, u32)> = before.iter().map(|(&at, &count)| (at, count)).collect();
        kinds.sort_unstable();
        if kinds.len() < MIN_KINDS || after.len() < MIN_KINDS {
            return;
        }
        let same: f64 = kinds
            .iter()
            .map(|&(at, count)| f64::from(count) / n * of(&after, at) / n)
            .sum();
        let mut seconds: Vec<u32> = after.values().copied().collect();
        seconds.sort_unstable();
        let whole: f64 = seconds
            .iter()
            .map(|&count| -f64::from(count) * (f64::from(count) / n).ln())
            .sum();
        // Miller (1955): the bias of the estimate, in nats
        let bias = (kinds.len() as f64 - 1.0) * (seconds.len() as f64 - 1.0) / 2.0;
        self.shared += shared + n * (1.0 - same).max(1e-9).ln() - bias;
        self.whole += whole;
        self.n_blocks += 1;
    }

    pub(super) fn coherence(&self) -> Option<f64> {
        (self.n_blocks > 0 && self.whole > 0.0).then(|| (self.shared / self.whole).clamp(0.0, 1.0))
    }

    pub(super) fn finish(&mut self) -> Option<f64> {
        if self.n_in_block >= BLOCK / 2 || (self.n_blocks == 0 && self.n_in_block >= MIN_BLOCK) {
            self.close_block();
        }
        self.coherence()
    }

    pub(super) fn is_surely_coherent(&self) -> bool {
        self.n_blocks >= MIN_BLOCKS && self.coherence().is_some_and(|c| c >= SURELY_COHERENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coherence(of: impl Fn(u32) -> u32) -> f64 {
        let steps: Vec<Step> = (0..2000)
            .map(|at| Step {
                query: of(at),
                ..Step::default()
            })
            .collect();
        let mut succession = Succession::default();
        succession.window(&steps);
        succession.finish().unwrap()
    }

    #[test]
    fn requests_that_own_a_session_are_coherent_and_mixed_ones_are_not() {
        // a multiplicative hash would not do: its neighbours depend on each other
        let scattered = |at: u32| (xxhash_rust::xxh3::xxh3_64(&at.to_le_bytes()) % 7) as u32;
        assert!(coherence(|at| at % 5) > 0.8);
        assert!(coherence(scattered) < 0.1);
    }
}
