//! Order: do the keys of one statement come in the same order again and again?
//!
//! A loop goes through the rows of a list, and the list is asked for again: then the same keys follow each other in the same order, on
//! whatever sessions they ran. Look-ups of separate requests come in any order: of two keys that meet twice, each is as often the first.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Executions within which two keys meet: the loops of this many requests may run side by side.
const REACH: usize = 16;
/// An execution with the same key within so many after the one that counted is no other one: a retry, or a second loop over the same list
/// beside the first. Four reaches: three executions of one key in a request, among sixteen other requests.
const SAME: usize = 4 * REACH;
/// Pairs kept for one statement of one client.
const MAX_PAIRS: usize = 1 << 17;
/// Partners in order before an execution is one of a list.
const MIN_PARTNERS: usize = 2;

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// How one statement's keys follow each other, outside of transactions and tagged requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyOrder {
    /// Sum over pairs of keys that met `t` times of `(one first - other first)² - t`: 0 is to be expected by chance.
    pub excess: f64,
    /// Its variance by chance.
    pub variance: f64,
    /// Executions whose key came again later.
    pub n_again: u64,
    /// Those of them that stand among keys in the same order as before.
    pub n_ordered: u64,
    /// All executions that were looked at.
    pub n: u64,
}

impl KeyOrder {
    /// Of keys in the order of their executions' starts.
    pub(super) fn of(keys: &[u64]) -> Self {
        let counted = counted(keys);
        let mut pairs: Map<(u64, u64), (u32, u32)> = Map::default();
        for (at, &(place, key)) in counted.iter().enumerate() {
            for &(before, other) in counted[..at].iter().rev() {
                if place - before > REACH || pairs.len() >= MAX_PAIRS {
                    break;
                }
                let (first, pair) = (other < key, (other.min(key), other.max(key)));
                let met = pairs.entry(pair).or_default();
                *(if first { &mut met.0 } else { &mut met.1 }) += 1;
            }
        }
        let (excess, variance) = surprise(&pairs);
        let mut times: Map<u64, u32> = Map::default();
        for (_, key) in &counted {
            *times.entry(*key).or_default() += 1;
        }
        let again: Vec<usize> = (0..keys.len()).filter(|&at| times[&keys[at]] > 1).collect();
        let ordered = again.iter().filter(|&&at| is_ordered(keys, at, &pairs));
        Self {
            excess,
            variance,
            n_again: again.len() as u64,
            n_ordered: ordered.count() as u64,
            n: keys.len() as u64,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.excess += other.excess;
        self.variance += other.variance;
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

/// The executions that count, with their places: see [`SAME`].
fn counted(keys: &[u64]) -> Vec<(usize, u64)> {
    let mut last: Map<u64, usize> = Map::default();
    let mut counted = Vec::new();
    for (at, &key) in keys.iter().enumerate() {
        if last.get(&key).is_none_or(|&last| at - last > SAME) {
            last.insert(key, at);
            counted.push((at, key));
        }
    }
    counted
}

/// With fair coins, `(a - b)²` of `t = a + b` throws is `t` on average, with the variance `2t(t - 1)`.
fn surprise(pairs: &Map<(u64, u64), (u32, u32)>) -> (f64, f64) {
    let met = pairs.values().map(|&(a, b)| {
        let (times, lead) = (f64::from(a + b), f64::from(a.abs_diff(b)));
        (lead * lead - times, 2.0 * times * (times - 1.0))
    });
    // integers, so the sum doesn't depend on the map's order
    met.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Do keys stand before and behind that execution in the order in which they came at other times?
fn is_ordered(keys: &[u64], at: usize, pairs: &Map<(u64, u64), (u32, u32)>) -> bool {
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
            Some(&(a, b)) if first < second => (a, b),
            Some(&(a, b)) => (b, a),
            None => (0, 0),
        };
        first != second && so >= otherwise + 2
    });
    partners.take(MIN_PARTNERS).count() == MIN_PARTNERS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scattered(at: u64) -> u64 {
        at.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            >> 40
    }

    #[test]
    fn lists_asked_for_again_have_an_order() {
        // two loops side by side, over lists of 20 and 30 rows
        let keys: Vec<u64> = (0..600)
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
        assert!(
            order.n_ordered * 20 > order.n_again * 19 && order.n_again == 600,
            "{order:?}"
        );
    }

    #[test]
    fn separate_look_ups_have_none() {
        for keys in [7, 50, 400] {
            let order = KeyOrder::of(&(0..2000).map(|at| scattered(at) % keys).collect::<Vec<_>>());
            assert!(order.score() < 4.0, "{keys}: {order:?}");
        }
    }

    #[test]
    fn retries_side_by_side_have_none() {
        let keys: Vec<u64> = (0..900)
            .map(|at| scattered(at / 6 * 2 + at % 2) % 90)
            .collect();
        let order = KeyOrder::of(&keys);
        assert!(order.score() < 4.0, "{order:?}");
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(KeyOrder::of(&[]).score(), 0.0);
        assert_eq!(KeyOrder::of(&[1, 1, 1]).score(), 0.0);
    }
}
