//! Chance: on a connection that requests share, the look-ups of separate requests stand in a row now and then, behind another request's list.
//!
//! How often is measured on the same log: [`Chains`] that no driver precedes show how probable it is that one more execution follows. By
//! the geometric law that gives the number of chance rows of any length, and only bursts so long that chance hardly makes them stay.

use std::collections::BTreeMap;

use super::{Judged, SURELY_A_LOOP};
use crate::{
    finding::Confidence,
    rules::Audit,
    sql::Fingerprint,
    workload::{BurstClass, Chains, Driver, Query, Repetition, SideBySide, WindowBound},
};

/// Probability of as many bursts by chance, from which on they are taken for chance.
const CHANCE: f64 = 2e-3;
/// The same, from which on they are not surely loops.
const UNSURE: f64 = 1e-5;
/// Share of the bursts of some length and above that may be chance's.
const CHANCE_SHARE: f64 = 0.1;
/// Lengths of chains that tell of separate requests: longer ones may be loops.
const N_SHORT: usize = 4;
/// Such chains from which on they tell of separate requests: fewer may be pieces of a loop.
const MIN_SHORT: u64 = 3;
/// The same for those of one length: from there on shorter ones are not counted.
const CHANCE_SHARE_OF_LENGTH: f64 = 0.5;
/// Requests come in waves: so many times their mean density.
const WAVES: f64 = 1.5;
/// Bursts from which on their share alone decides: the probability is beyond all bounds.
const MANY: u64 = 50;

/// What separate requests do with one fingerprint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    /// Probability that one more execution follows.
    follows: f64,
    /// Chains, of any kind.
    n_chains: f64,
    /// What ran on several sessions at once.
    side_by_side: SideBySide,
}

impl Traffic {
    pub(super) fn of(repetition: &Repetition) -> Self {
        let Chains {
            apart,
            behind,
            among,
        } = &repetition.chains;
        let all: u64 = [apart, behind, among].into_iter().flatten().sum();
        let open = std::array::from_fn(|at| apart[at] + among[at]);
        let mut n_short = short(apart);
        // without such chains the share is a guess at its highest
        let mut follows = if n_short < MIN_SHORT {
            0.0
        } else {
            share_followed(apart)
        };
        if is_geometric(&open) {
            n_short = short(&open);
            follows = follows.max(share_followed(&open));
        }
        Self {
            follows,
            n_chains: if n_short >= MIN_SHORT {
                all as f64
            } else {
                0.0
            },
            side_by_side: repetition.side_by_side,
        }
    }

    /// Chains of at least that length to be expected by chance.
    fn expected(self, repeats: u32) -> f64 {
        self.n_chains * self.follows.powi(repeats.saturating_sub(1).cast_signed())
    }

    /// The probability that chance gives as many of those bursts, all of at least that length; 1 where too large a share of them is chance's.
    fn probability(self, repeats: u32, n_bursts: u64) -> f64 {
        let expected = self.expected(repeats);
        if expected > CHANCE_SHARE * n_bursts as f64 {
            1.0
        } else if n_bursts > MANY {
            0.0
        } else {
            poisson_tail(n_bursts, expected)
        }
    }

    /// The least length of bursts that chance does not explain with that probability.
    fn least(self, judged: &[Judged<'_>], probability: f64) -> Option<u32> {
        let mut by_length: BTreeMap<u32, u64> = BTreeMap::new();
        for judged in judged.iter().filter(|judged| is_open(judged)) {
            *by_length.entry(judged.class.shape.repeats).or_default() += judged.class.n_bursts;
        }
        let mut n_bursts = 0;
        let mut least = None;
        let mut expected_longer = 0.0;
        for (&repeats, n) in by_length.iter().rev() {
            n_bursts += n;
            let expected = self.expected(repeats);
            if expected - expected_longer > CHANCE_SHARE_OF_LENGTH * *n as f64 {
                break;
            }
            expected_longer = expected;
            if self.probability(repeats, n_bursts) < probability {
                least = Some(repeats);
            }
        }
        least
    }

    /// Leaves those that chance does not explain, and takes certainty from those that it hardly explains.
    pub(super) fn weigh(self, accepted: &mut Vec<Judged<'_>>) {
        let sure = self.least(accepted, UNSURE);
        self.drop_chance(accepted);
        for judged in accepted.iter_mut().filter(|judged| is_open(judged)) {
            if sure.is_none_or(|least| judged.class.shape.repeats < least) {
                judged.confidence = judged.confidence.min(Confidence::Medium);
            }
        }
    }

    /// Leaves those that chance does not explain. What a loop over several sessions ran on each of them looks like chance there, and stays.
    pub(super) fn drop_chance(self, judged: &mut Vec<Judged<'_>>) {
        let across = |judged: &Judged<'_>| judged.class.shape.bound == WindowBound::Parallel;
        judged.retain(|judged| !across(judged) || self.probability_across(judged.class) < CHANCE);
        if judged.iter().any(across) {
            return;
        }
        let least = self.least(judged, CHANCE);
        let convinces = fills_limits(judged);
        judged.retain(|judged| {
            !is_open(judged)
                || (convinces && judged.class.shape.fills_limit)
                || least.is_some_and(|least| judged.class.shape.repeats >= least)
        });
    }

    /// The probability that requests side by side give bursts as dense as those of that class: by their number in the time outside of all
    /// that may be a loop's, wherever they start.
    fn probability_across(self, class: &BurstClass) -> f64 {
        let SideBySide {
            n,
            span_us,
            n_in_rounds,
            rounds_us,
        } = self.side_by_side;
        let n_apart = n.saturating_sub(n_in_rounds);
        let apart_us = span_us.saturating_sub(rounds_us).max(1);
        let burst_us = class.span_us as f64 / class.n_bursts.max(1) as f64;
        let expected = WAVES * n_apart as f64 * burst_us / apart_us as f64;
        let starts = n_apart as f64;
        (starts * poisson_tail(class.n_repeats / class.n_bursts.max(1), expected)).min(1.0)
    }
}

/// The probability that one more execution follows, by the short chains; by one standard error more, for requests come in waves.
fn share_followed(chains: &[u64; N_SHORT + 1]) -> f64 {
    let sum = |of: &[u64]| of.iter().sum::<u64>() as f64;
    // half a chain more: no share is zero for want of data
    let n = sum(&chains[..N_SHORT - 1]) + 1.5;
    let share = ((sum(&chains[1..N_SHORT]) + 0.5) / n).min(1.0);
    (share + (share * (1.0 - share) / n).sqrt()).min(1.0)
}

fn short(chains: &[u64; N_SHORT + 1]) -> u64 {
    chains[..N_SHORT].iter().sum()
}

/// Are most chains short, and those of one the most frequent? So chance has it; rows of lists are seldom that few.
fn is_geometric(chains: &[u64; N_SHORT + 1]) -> bool {
    let [one, two, three, four, longer] = *chains;
    one > two.max(three).max(four) && one + two > three + four && short(chains) > 2 * longer
}

/// Are most bursts of this kind exactly as long as their driver's LIMIT, and several? Chance hits such a length seldom, and hardly ever twice.
fn fills_limits(judged: &[Judged<'_>]) -> bool {
    const MIN_FILLED: u64 = 3;
    let n_bursts = |of: &dyn Fn(&Judged<'_>) -> bool| -> u64 {
        (judged.iter())
            .filter(|judged| is_open(judged) && of(judged))
            .map(|judged| judged.class.n_bursts)
            .sum()
    };
    let n_filled = n_bursts(&|judged| {
        let shape = &judged.class.shape;
        shape.fills_limit && shape.driver == Driver::Within
    });
    n_filled >= MIN_FILLED && n_filled * 2 > n_bursts(&|_| true)
}

/// Does only idle time bound its windows?
fn is_open(judged: &Judged<'_>) -> bool {
    judged.class.shape.bound == WindowBound::Idle
}

/// The probability of at least `n` events where `expected` are.
fn poisson_tail(n: u64, expected: f64) -> f64 {
    let mut term = (-expected).exp();
    let mut below = 0.0;
    for k in 0..n {
        below += term;
        term *= expected / (k + 1) as f64;
    }
    // rounding hides tails below 1e-16: the first term bounds them
    (1.0 - below).max(term)
}

/// Short bursts that follow a query which mostly runs without one: the chance neighbours of a busy session.
pub(super) fn strays(audit: &Audit<'_>, accepted: &[Judged<'_>], short: &[Judged<'_>]) -> bool {
    /// Runs of the parent before its share of loops says something.
    const MIN_PARENT_CALLS: u64 = 5;
    let doubtful = |j: &&Judged<'_>| {
        matches!(
            j.class.shape.bound,
            WindowBound::Idle | WindowBound::Parallel
        ) && j.class.shape.repeats < SURELY_A_LOOP
            && !j.class.shape.fills_limit
    };
    if accepted.is_empty() || !accepted.iter().all(|judged| doubtful(&judged)) {
        return false;
    }
    let mut n_bursts: BTreeMap<Fingerprint, u64> = BTreeMap::new();
    for judged in accepted.iter().chain(short) {
        if let Some(parent) = judged.class.shape.parent {
            *n_bursts.entry(parent).or_default() += judged.class.n_bursts;
        }
    }
    n_bursts.into_iter().all(|(parent, n_bursts)| {
        let calls = audit
            .snapshot
            .workload
            .query(parent)
            .map_or(0, Query::n_seen);
        calls >= MIN_PARENT_CALLS && n_bursts * 2 < calls
    })
}

/// Long bursts, most not as long as the driver's LIMIT, behind a query that mostly runs without one: at the border between two kinds of requests,
/// as load tests and jobs send them, the last list of the one stands before the look-ups of the other.
pub(super) fn is_lone(audit: &Audit<'_>, accepted: &[Judged<'_>]) -> bool {
    /// Runs of the driver for each burst: fewer, and its page may well be the only one that loops.
    const MIN_RUNS: u64 = 4;
    /// The same where it stands in another window.
    const MIN_RUNS_BEFORE: u64 = 2;
    let mut n_bursts: BTreeMap<Option<Fingerprint>, u64> = BTreeMap::new();
    let (mut n, mut n_filling, mut is_before) = (0, 0, true);
    for BurstClass {
        shape,
        n_repeats,
        n_bursts: n_of_class,
        ..
    } in accepted.iter().map(|judged| judged.class)
    {
        if matches!(shape.bound, WindowBound::Tag | WindowBound::Transaction) {
            return false;
        }
        n += n_repeats;
        n_filling += if shape.fills_limit { *n_repeats } else { 0 };
        is_before &= shape.driver == Driver::Before;
        *n_bursts.entry(shape.parent).or_default() += n_of_class;
    }
    let least = if is_before { MIN_RUNS_BEFORE } else { MIN_RUNS };
    n_filling * 2 < n
        && !n_bursts.is_empty()
        && n_bursts.into_iter().all(|(parent, n_bursts)| {
            let parent = parent.and_then(|parent| audit.snapshot.workload.query(parent));
            parent.is_some_and(|parent| n_bursts * least <= parent.n_seen())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::BurstShape;

    /// Traffic of separate requests, two look-ups side by side now and then.
    fn busy() -> Traffic {
        Traffic::of(&Repetition {
            chains: Chains {
                apart: [60, 15, 4, 1, 0],
                behind: [40, 10, 2, 1, 1],
                ..Chains::default()
            },
            side_by_side: SideBySide {
                n: 160,
                span_us: 5_000_000,
                n_in_rounds: 40,
                rounds_us: 1_000_000,
            },
            ..Repetition::default()
        })
    }

    fn bursts(bound: WindowBound, repeats: u32, n_bursts: u64, burst_us: u64) -> BurstClass {
        BurstClass {
            shape: BurstShape {
                bound,
                repeats,
                ..BurstShape::default()
            },
            n_bursts,
            n_repeats: u64::from(repeats) * n_bursts,
            span_us: burst_us * n_bursts,
            ..BurstClass::default()
        }
    }

    /// What is left of high confidence, and with which.
    fn weighed(traffic: Traffic, classes: &[BurstClass]) -> Vec<(u32, Confidence)> {
        let mut judged: Vec<Judged<'_>> = classes
            .iter()
            .map(|class| Judged {
                class,
                confidence: Confidence::High,
            })
            .collect();
        traffic.weigh(&mut judged);
        judged
            .iter()
            .map(|judged| (judged.class.shape.repeats, judged.confidence))
            .collect()
    }

    #[test]
    fn short_rows_on_a_busy_connection_are_chance_and_long_ones_are_not() {
        let class = |repeats, n| bursts(WindowBound::Idle, repeats, n, 20_000);
        assert_eq!(weighed(busy(), &[class(6, 1)]), []);
        assert_eq!(
            weighed(busy(), &[class(3, 8), class(6, 1), class(20, 30)]),
            [(6, Confidence::High), (20, Confidence::High)]
        );
    }

    #[test]
    fn without_separate_requests_nothing_is_chance() {
        let quiet = Traffic::of(&Repetition {
            chains: Chains {
                apart: [2, 0, 0, 0, 0],
                behind: [0, 0, 0, 0, 1],
                ..Chains::default()
            },
            ..Repetition::default()
        });
        let class = bursts(WindowBound::Idle, 5, 1, 20_000);
        assert_eq!(weighed(quiet, &[class]), [(5, Confidence::High)]);
    }

    #[test]
    fn side_by_side_only_density_tells() {
        let sparse = bursts(WindowBound::Parallel, 20, 1, 700_000);
        let dense = bursts(WindowBound::Parallel, 20, 1, 20_000);
        assert_eq!(weighed(busy(), &[sparse]), []);
        assert_eq!(weighed(busy(), &[dense]), [(20, Confidence::High)]);
    }

    #[test]
    fn a_transaction_is_no_matter_of_chance() {
        let class = bursts(WindowBound::Transaction, 5, 1, 20_000);
        assert_eq!(weighed(busy(), &[class]), [(5, Confidence::High)]);
    }

    #[test]
    fn lists_of_few_rows_are_not_geometric() {
        assert!(is_geometric(&[60, 30, 14, 5, 3]));
        assert!(!is_geometric(&[20, 20, 20, 20, 80]));
        assert!(!is_geometric(&[9, 3, 1, 0, 170]));
    }
}
