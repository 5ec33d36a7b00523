//! Order: do the keys of one statement come in the same order again and again?
//!
//! A loop goes through the rows of a list, and the list is asked for again: then the same keys follow each other in the same order, on
//! whatever sessions they ran. Look-ups of separate requests come in any order: of two keys that meet twice, each is as often the first,
//! however much more frequent one of them is.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Executions within which two keys meet: the loops of this many requests may run side by side.
const REACH: usize = 16;
/// Executions in a block. Two keys meet once in a block, however often they do: retries of two requests are one meeting.
const BLOCK: usize = 3 * REACH;
/// Blocks from one meeting of two keys to the next that is independent: requests that repeat their own look-ups reach into the next block.
const APART: usize = 2;
/// Pairs kept for one statement of one client.
const MAX_PAIRS: usize = 1 << 17;
/// Partners in order before an execution is one of a list.
const MIN_PARTNERS: usize = 2;
/// Divided by the distance, the weight of two keys' places in a block: a number that 1 to 16 divide.
const NEAREST: i64 = 720_720;

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// How one statement's keys follow each other, outside of transactions and tagged requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyOrder {
    /// Sum over pairs of keys that met `t` times of `(one first - other first)² - t`: 0 is to be expected by chance.
    pub excess: f64,
    /// Its variance by chance.
    pub variance: f64,
    /// Different keys of the pairs that met more than once.
    pub n_keys: u64,
    /// Executions whose key came again later.
    pub n_again: u64,
    /// Those of them that stand among keys in the same order as before.
    pub n_ordered: u64,
    /// All executions that were looked at.
    pub n: u64,
}

/// How often two keys met, and which was first: the lesser or the greater.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    lesser: u32,
    greater: u32,
    /// The same of meetings that are independent.
    apart: (u32, u32),
    /// Block of the last independent one.
    block: Option<usize>,
}

impl KeyOrder {
    /// Of keys in the order of their executions' starts.
    pub(super) fn of(keys: &[u64]) -> Self {
        let mut pairs: Map<(u64, u64), Met> = Map::default();
        for (block, keys) in keys.chunks(BLOCK).enumerate() {
            meet(keys, block, &mut pairs);
        }
        let (excess, variance) = surprise(&pairs);
        let again = again(keys);
        let ordered = again.iter().filter(|&&at| is_ordered(keys, at, &pairs));
        Self {
            excess,
            variance,
            n_keys: n_keys(&pairs),
            n_again: again.len() as u64,
            n_ordered: ordered.count() as u64,
            n: keys.len() as u64,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.excess += other.excess;
        self.variance += other.variance;
        self.n_keys += other.n_keys;
        self.n_again += other.n_again;
        self.n_ordered += other.n_ordered;
        self.n += other.n;
    }

    /// The excess in standard deviations.
    #[must_use]
    pub fn score(&self) -> f64 {
        if self.variance > 0.0 {
            self.excess / self.variance.sqrt()
        } else {
            0.0
        }
    }
}

/// Lets the keys of a block meet: who was the first, by their nearest places above all. The same backwards, so that chance has no side.
fn meet(keys: &[u64], block: usize, pairs: &mut Map<(u64, u64), Met>) {
    let mut lead: Map<(u64, u64), i64> = Map::default();
    for (at, &key) in keys.iter().enumerate() {
        let from = at.saturating_sub(REACH);
        for (distance, &before) in (1_i64..).zip(keys[from..at].iter().rev()) {
            if before != key {
                let weight = NEAREST / distance;
                let pair = (before.min(key), before.max(key));
                *lead.entry(pair).or_default() += if before < key { weight } else { -weight };
            }
        }
    }
    for (pair, lead) in lead {
        if lead == 0 || (pairs.len() >= MAX_PAIRS && !pairs.contains_key(&pair)) {
            continue;
        }
        let met = pairs.entry(pair).or_default();
        let is_apart = met.block.is_none_or(|last| block - last >= APART);
        if is_apart {
            met.block = Some(block);
        }
        if lead > 0 {
            met.lesser += 1;
            met.apart.0 += u32::from(is_apart);
        } else {
            met.greater += 1;
            met.apart.1 += u32::from(is_apart);
        }
    }
}

/// With fair coins, `(a - b)²` of `t = a + b` throws is `t` on average, with the variance `2t(t - 1)`.
fn surprise(pairs: &Map<(u64, u64), Met>) -> (f64, f64) {
    let met = pairs.values().map(|met| {
        let (a, b) = met.apart;
        let (times, lead) = (f64::from(a + b), f64::from(a.abs_diff(b)));
        (lead * lead - times, 2.0 * times * (times - 1.0))
    });
    // whole numbers: their sum doesn't depend on the map's order
    met.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

fn n_keys(pairs: &Map<(u64, u64), Met>) -> u64 {
    let again = pairs
        .iter()
        .filter(|(_, met)| met.apart.0 + met.apart.1 > 1);
    let mut keys: Vec<u64> = again.flat_map(|(&(a, b), _)| [a, b]).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len() as u64
}

/// The executions whose key came again blocks apart.
fn again(keys: &[u64]) -> Vec<usize> {
    let mut spans: Map<u64, (usize, usize)> = Map::default();
    for (at, &key) in keys.iter().enumerate() {
        let block = at / BLOCK;
        spans.entry(key).or_insert((block, block)).1 = block;
    }
    (0..keys.len())
        .filter(|&at| {
            let (first, last) = spans[&keys[at]];
            last - first >= APART
        })
        .collect()
}

/// Do keys stand before and behind that execution in the order in which they came at other times?
fn is_ordered(keys: &[u64], at: usize, pairs: &Map<(u64, u64), Met>) -> bool {
    let key = keys[at];
    let near = at.saturating_sub(REACH)..(at + REACH + 1).min(keys.len());
    let partners = near.filter(|&other| {
        let (first, second) = if other < at {
            (keys[other], key)
        } else {
            (key, keys[other])
        };
        let met = pairs.get(&(first.min(second), first.max(second)));
        let (so, otherwise) = match met {
            Some(met) if first < second => (met.lesser, met.greater),
            Some(met) => (met.greater, met.lesser),
            None => (0, 0),
        };
        first != second && so >= otherwise + 2
    });
    partners.take(MIN_PARTNERS).count() == MIN_PARTNERS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// xorshift64*, to draw from.
    fn drawn(seed: u64, n: usize) -> Vec<u64> {
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
        };
        (0..64).for_each(|_| {
            next();
        });
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn lists_asked_for_again_have_an_order() {
        // two loops side by side, over lists of 20 and 30 rows
        let keys: Vec<u64> = (0..900)
            .map(|at| {
                if at % 2 == 0 {
                    100 + at / 2 % 20
                } else {
                    500 + at / 2 % 30
                }
            })
            .collect();
        let order = KeyOrder::of(&keys);
        assert!(order.score() > 8.0, "{order:?}");
        assert_eq!((order.n_again, order.n_keys), (900, 50));
        assert!(order.n_ordered * 20 > order.n_again * 19, "{order:?}");
    }

    #[test]
    fn separate_look_ups_have_none_whichever_keys_are_frequent() {
        for n_keys in [5, 20, 400] {
            for seed in 1..20 {
                let even: Vec<u64> = drawn(seed, 2000).iter().map(|key| key % n_keys).collect();
                let skewed: Vec<u64> = (drawn(seed, 2000).iter())
                    .map(|key| (key % 1000).pow(3) * n_keys / 1_000_000_000)
                    .collect();
                for keys in [even, skewed] {
                    let order = KeyOrder::of(&keys);
                    assert!(order.score() < 4.5, "{n_keys} {seed}: {order:?}");
                }
            }
        }
    }

    #[test]
    fn retries_side_by_side_have_none() {
        // twenty requests at once, each asks for its key three times
        let requests = drawn(3, 600);
        let keys: Vec<u64> = (0..1800)
            .map(|at| requests[at / 60 * 20 + at % 20] % 300)
            .collect();
        let order = KeyOrder::of(&keys);
        assert!(order.score() < 4.5, "{order:?}");
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert!(KeyOrder::of(&[]).score().abs() < 1e-9);
        assert!(KeyOrder::of(&[1, 1, 1]).score().abs() < 1e-9);
    }
}
