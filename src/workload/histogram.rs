//! A log-linear histogram of durations: mergeable in any order, quantiles within 1.6 %.
//!
//! Values below 64 µs have a bucket each; above, every power of two is split into 32 buckets, so a bucket is at most 1/32 of its lower
//! bound wide and its midpoint at most 1/64 off. Integer counts add up, so merging is exact, associative and commutative.

/// Buckets a power of two is split into, as a power of two.
const SPLIT_BITS: u32 = 5;
/// Values below this have a bucket each.
const LINEAR: u64 = 1 << (SPLIT_BITS + 1);

/// Counts by bucket. Only the span between the lowest and the highest bucket in use is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    first: u32,
    counts: Vec<u32>,
}

impl Histogram {
    /// Counts one value as often as `n` says.
    pub(crate) fn record_n(&mut self, value: u64, n: u64) {
        let bucket = bucket_of(value);
        let mut at = bucket.wrapping_sub(self.first) as usize;
        if at >= self.counts.len() {
            self.cover(bucket, bucket);
            at = (bucket - self.first) as usize;
        }
        let count = &mut self.counts[at];
        *count = count.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
    }

    /// Forgets all counts; memory stays.
    pub(crate) fn clear(&mut self) {
        self.first = 0;
        self.counts.clear();
    }

    /// Adds another histogram's counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Some(last) = other.last() else { return };
        self.cover(other.first, last);
        let offset = (other.first - self.first) as usize;
        for (mine, theirs) in self.counts[offset..].iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// The value below which a share of `quantile` (0–1) of the recorded values lies; 0 when nothing was recorded.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        let total: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        let rank = ((total as f64 * quantile).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (bucket, &count) in (self.first..).zip(&self.counts) {
            seen += u64::from(count);
            if seen >= rank {
                return midpoint(bucket);
            }
        }
        0
    }

    /// The same of these values and, of those in `more`, so many more of each.
    pub(crate) fn quantile_with(&self, more: &[(f64, &Self)], quantile: f64) -> u64 {
        let in_bucket = |bucket: u32| {
            let counted = f64::from(self.count(bucket));
            let weighted = |(weight, those): &(f64, &Self)| weight * f64::from(those.count(bucket));
            counted + more.iter().map(weighted).sum::<f64>()
        };
        let Some(last) = self.last() else { return 0 };
        let total: f64 = (self.first..=last).map(in_bucket).sum();
        let mut seen = 0.0;
        for bucket in self.first..=last {
            seen += in_bucket(bucket);
            if seen >= total * quantile {
                return midpoint(bucket);
            }
        }
        midpoint(last)
    }

    fn count(&self, bucket: u32) -> u32 {
        let at = bucket.checked_sub(self.first);
        at.and_then(|at| self.counts.get(at as usize))
            .copied()
            .unwrap_or(0)
    }

    fn last(&self) -> Option<u32> {
        let n = u32::try_from(self.counts.len()).expect("at most 2,000 buckets");
        n.checked_sub(1).map(|offset| self.first + offset)
    }

    /// Widens the kept span to hold `from..=to`.
    fn cover(&mut self, from: u32, to: u32) {
        let Some(last) = self.last() else {
            self.first = from;
            self.counts.resize((to - from + 1) as usize, 0);
            return;
        };
        if from < self.first {
            let missing = (self.first - from) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = from;
        }
        if to > last {
            self.counts.resize((to - self.first + 1) as usize, 0);
        }
    }
}

fn bucket_of(value: u64) -> u32 {
    if value < LINEAR {
        return value as u32;
    }
    let shift = value.ilog2() - SPLIT_BITS;
    let within = (value >> shift) as u32 - (1 << SPLIT_BITS);
    (LINEAR as u32) + ((shift - 1) << SPLIT_BITS) + within
}

fn midpoint(bucket: u32) -> u64 {
    if u64::from(bucket) < LINEAR {
        return u64::from(bucket);
    }
    let above = bucket - LINEAR as u32;
    let shift = (above >> SPLIT_BITS) + 1;
    let within = u64::from(above & ((1 << SPLIT_BITS) - 1)) + (1 << SPLIT_BITS);
    (within << shift) + (1 << (shift - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &value in values {
            histogram.record_n(value, 1);
        }
        histogram
    }

    #[test]
    fn nothing_recorded_gives_zero() {
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_two_percent(mut values in prop::collection::vec(0_u64..1 << 40, 1..200), q in 0.0_f64..=1.0) {
            let histogram = of(&values);
            values.sort_unstable();
            let rank = ((values.len() as f64 * q).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64;
            let got = histogram.quantile(q) as f64;
            prop_assert!((got - exact).abs() <= exact * 0.02, "{got} for {exact}");
        }

        #[test]
        fn merging_parts_equals_the_whole(a in prop::collection::vec(any::<u64>(), 0..50), b in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let mut other_way = of(&b);
            other_way.merge(&of(&a));
            let whole = of(&[a, b].concat());
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(&other_way, &whole);
        }
    }
}
