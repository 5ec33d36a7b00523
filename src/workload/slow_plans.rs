//! The slowest plan of each statement that `auto_explain` logged.

use std::collections::BTreeMap;

use crate::sql::{Fingerprint, Normaliser};

/// Statements whose plan is kept: those with the slowest executions.
const MAX_PLANS: usize = 64;

/// Largest plan kept, bytes. Plans of partitioned tables can be huge, and what is behind a megabyte nobody reads.
const MAX_BYTES: usize = 1024 * 1024;

/// The plan of one execution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoggedPlan {
    /// How long the execution took, microseconds.
    pub duration_us: u64,
    /// As logged: text, JSON, XML or YAML. It holds values of the statement.
    pub body: String,
}

/// The slowest plan of each of the statements with the slowest plans. Parts of a log may be read apart: which plans stay does not depend on the order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlowPlans {
    plans: BTreeMap<Fingerprint, LoggedPlan>,
}

impl SlowPlans {
    /// By statement.
    pub fn iter(&self) -> impl Iterator<Item = (Fingerprint, &LoggedPlan)> {
        self.plans.iter().map(|(print, plan)| (*print, plan))
    }

    pub(super) fn see(
        &mut self,
        normaliser: &mut Normaliser,
        text: &[u8],
        body: &[u8],
        duration_us: u64,
    ) {
        if body.len() > MAX_BYTES || self.is_beaten(duration_us) {
            return;
        }
        let plan = LoggedPlan {
            duration_us,
            body: String::from_utf8_lossy(body).into_owned(),
        };
        self.keep(normaliser.run(text), plan);
    }

    pub(super) fn add(&mut self, other: Self) {
        for (fingerprint, plan) in other.plans {
            self.keep(fingerprint, plan);
        }
    }

    /// All places are taken by slower ones.
    fn is_beaten(&self, duration_us: u64) -> bool {
        self.plans.len() >= MAX_PLANS
            && self
                .plans
                .values()
                .all(|plan| plan.duration_us > duration_us)
    }

    fn keep(&mut self, fingerprint: Fingerprint, plan: LoggedPlan) {
        let kept = self
            .plans
            .entry(fingerprint)
            .or_insert_with(|| plan.clone());
        if plan > *kept {
            *kept = plan;
        }
        if self.plans.len() > MAX_PLANS {
            let fastest = self
                .plans
                .iter()
                .min_by_key(|(print, plan)| (plan.duration_us, **print))
                .map(|(print, _)| *print);
            if let Some(fastest) = fastest {
                self.plans.remove(&fastest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_stay_in_whatever_order_they_come() {
        let seen: Vec<(String, u64)> = (0..200_u64)
            .map(|n| (format!("SELECT {} FROM t{}", n, n % 90), n * 7919 % 1000))
            .collect();
        let of = |order: &mut dyn Iterator<Item = &(String, u64)>| {
            let mut plans = SlowPlans::default();
            let mut normaliser = Normaliser::default();
            for (text, us) in order {
                plans.see(&mut normaliser, text.as_bytes(), b"Result", *us);
            }
            plans
        };
        let all = of(&mut seen.iter());
        assert_eq!(all.plans.len(), MAX_PLANS);
        assert_eq!(all, of(&mut seen.iter().rev()));
        let mut parts = of(&mut seen[..77].iter());
        parts.add(of(&mut seen[77..].iter()));
        assert_eq!(all, parts);
    }
}
