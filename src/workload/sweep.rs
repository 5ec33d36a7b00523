//! How many of something ran at once: intervals swept into buckets of time, each holding how much of it they filled.
//!
//! A bucket's content is a plain sum of microseconds, so intervals may come in any order. Buckets start short and double when the log
//! outgrows them, which loses no microsecond.

use serde::{Deserialize, Serialize};

/// Shortest bucket as a power of two of microseconds: 16 ms, a few statements of a busy session.
const FINEST_BITS: u32 = 14;
/// Buckets kept; beyond, they double in width. A day is then told apart in buckets of half a second, at 4 MiB at most.
const MAX_BUCKETS: usize = 1 << 18;

/// The year 9999, microseconds since the epoch: later times are no times.
const LATEST_US: i64 = 253_402_300_800_000_000;

/// Intervals, summed up by bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Sweep {
    /// Width of a bucket as a power of two of microseconds, above [`FINEST_BITS`].
    coarser: u32,
    /// Number of the first bucket.
    first: i64,
    buckets: Vec<Bucket>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Microseconds of intervals that fill the bucket in part.
    partly_us: u64,
    /// Intervals that fill buckets from here on, less those that end to do so.
    steps: i64,
}

/// How many ran at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Concurrency {
    /// Width of the slices of time over which numbers are means, microseconds.
    pub slice_us: u64,
    /// Over all slices from the first to the last.
    pub mean: f64,
    /// In the median slice of those that had any.
    pub p50: f64,
    /// 99 of 100 slices that had any had no more: nights do not hide what the day needs.
    pub p99: f64,
    /// The fullest slice.
    pub peak: f64,
}

impl Sweep {
    /// Counts an interval.
    #[inline]
    pub(super) fn add(&mut self, from_us: i64, to_us: i64) {
        if to_us <= from_us || from_us <= 0 || to_us > LATEST_US {
            return;
        }
        self.cover(from_us, to_us);
        let bits = self.bits();
        let (from, to) = (from_us >> bits, to_us >> bits);
        let at = (from - self.first) as usize;
        let last = (to - self.first) as usize;
        if at == last {
            self.buckets[at].partly_us += to_us.abs_diff(from_us);
            return;
        }
        self.buckets[at].partly_us += ((from + 1) << bits).abs_diff(from_us);
        self.buckets[last].partly_us += to_us.abs_diff(to << bits);
        self.buckets[at + 1].steps += 1;
        self.buckets[last].steps -= 1;
    }

    fn bits(&self) -> u32 {
        FINEST_BITS + self.coarser
    }

    /// Makes room for an interval, with wider buckets where there would be too many.
    fn cover(&mut self, from_us: i64, to_us: i64) {
        loop {
            let bits = self.bits();
            let (from, to) = (from_us >> bits, to_us >> bits);
            if self.buckets.is_empty() {
                self.first = from;
            }
            let first = self.first.min(from);
            let end = (self.first + signed(self.buckets.len())).max(to + 1);
            if (end - first) as u64 > MAX_BUCKETS as u64 {
                self.coarsen();
                continue;
            }
            if first < self.first {
                let missing = (self.first - first) as usize;
                self.buckets
                    .splice(0..0, std::iter::repeat_n(Bucket::default(), missing));
                self.first = first;
            }
            let len = (end - first) as usize;
            if len > self.buckets.len() {
                self.buckets.resize(len, Bucket::default());
            }
            return;
        }
    }

    /// Buckets of twice the width.
    fn coarsen(&mut self) {
        let filled: Vec<u64> = self.filled_us().collect();
        let first = self.first >> 1;
        let mut buckets = vec![Bucket::default(); filled.len() / 2 + 1];
        for (at, us) in filled.into_iter().enumerate() {
            let number = (self.first + signed(at)) >> 1;
            buckets[(number - first) as usize].partly_us += us;
        }
        self.first = first;
        self.buckets = buckets;
        self.coarser += 1;
    }

    /// Microseconds by bucket.
    fn filled_us(&self) -> impl Iterator<Item = u64> {
        let width = 1_u64 << self.bits();
        let mut running = 0_i64;
        self.buckets.iter().map(move |bucket| {
            running += bucket.steps;
            bucket.partly_us + running.unsigned_abs() * width
        })
    }

    /// What came of it; `None` when nothing was counted.
    pub(super) fn finish(&self) -> Option<Concurrency> {
        let mut filled: Vec<u64> = self.filled_us().collect();
        let n_slices = filled.iter().rposition(|us| *us > 0)? + 1;
        filled.retain(|us| *us > 0);
        filled.sort_unstable();
        let slice_us = 1_u64 << self.bits();
        let share = |us: u64| round(us as f64 / slice_us as f64);
        let at = |quantile: f64| {
            let rank = (filled.len() as f64 * quantile).ceil() as usize;
            share(filled[rank.clamp(1, filled.len()) - 1])
        };
        let total: u64 = filled.iter().sum();
        Some(Concurrency {
            slice_us,
            mean: round(total as f64 / (slice_us * n_slices as u64) as f64),
            p50: at(0.5),
            p99: at(0.99),
            peak: at(1.0),
        })
    }
}

fn signed(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// Hundredths are all that a reader can use, and keep files short.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_700_000_000_000_000;

    fn of(intervals: &[(i64, i64)]) -> Sweep {
        let mut sweep = Sweep::default();
        for &(from, len) in intervals {
            sweep.add(START + from, START + from + len);
        }
        sweep
    }

    #[test]
    fn three_long_statements_at_once_are_three() {
        let sweep = of(&[(0, 1_000_000), (0, 1_000_000), (0, 1_000_000)]);
        let found = sweep.finish().unwrap();
        assert_eq!((found.p50, found.peak), (3.0, 3.0));
    }

    #[test]
    fn nothing_counted_tells_nothing() {
        assert_eq!(of(&[(0, 0)]).finish(), None);
    }

    #[test]
    fn a_long_log_has_wider_slices_and_loses_nothing() {
        let day = 86_400_000_000;
        let sweep = of(&[(0, 1_000_000), (day, 1_000_000), (30 * day, 5)]);
        assert!(sweep.buckets.len() <= MAX_BUCKETS);
        assert_eq!(sweep.filled_us().sum::<u64>(), 2_000_005);
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_no_microsecond_is_lost(mut intervals in prop::collection::vec((0_i64..10_000_000_000, 0_i64..3_000_000), 1..60)) {
            let sweep = of(&intervals);
            prop_assert_eq!(sweep.filled_us().sum::<u64>(), intervals.iter().map(|(_, len)| *len as u64).sum::<u64>());
            intervals.reverse();
            prop_assert_eq!(of(&intervals).finish(), sweep.finish());
        }
    }
}
