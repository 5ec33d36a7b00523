//! What the audit costs the server: statements sent and their time, against a budget.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What was asked of the audited server so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerCost {
    /// Statements sent, transaction control included.
    pub n_statements: u64,
    /// Time that they took as seen from here, less the network's round trip: an upper bound of what they cost the server.
    pub time: Duration,
    /// The budget was spent: some EXPLAINs were not sent.
    pub is_budget_spent: bool,
}

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Catalogs and statistics: read whatever it costs.
    Reading,
    /// The workload's statements: as long as the budget lasts.
    Planning,
}

/// Share of the budget that planning gets in any case: the catalog of 5,000 tables alone may cost a second, and an audit that prices
/// nothing is worth little.
const PLANNING_SHARE: f64 = 0.5;

/// Adds up what statements cost. Shared by all connections of one audit.
#[derive(Debug)]
pub(super) struct Meter {
    budget: Duration,
    spent_us: AtomicU64,
    /// The part of `spent_us` that planning the workload's statements took.
    planning_us: AtomicU64,
    n_statements: AtomicU64,
    /// Shortest answer to a BEGIN: the network's round trip, which costs the server nothing.
    round_trip_us: AtomicU64,
    denied: AtomicU64,
}

impl Meter {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget,
            spent_us: AtomicU64::new(0),
            planning_us: AtomicU64::new(0),
            n_statements: AtomicU64::new(0),
            round_trip_us: AtomicU64::new(u64::MAX),
            denied: AtomicU64::new(0),
        }
    }

    /// `n` statements were answered in one go after `elapsed`.
    pub(super) fn add(&self, purpose: Purpose, n: u64, elapsed: Duration) {
        let elapsed = micros(elapsed);
        let network = match self.round_trip_us.load(Relaxed) {
            u64::MAX => 0,
            round_trip => round_trip,
        };
        let cost = elapsed.saturating_sub(network);
        self.spent_us.fetch_add(cost, Relaxed);
        if purpose == Purpose::Planning {
            self.planning_us.fetch_add(cost, Relaxed);
        }
        self.n_statements.fetch_add(n, Relaxed);
    }

    /// A transaction's opening was answered after `elapsed`.
    pub(super) fn add_opening(&self, purpose: Purpose, n: u64, elapsed: Duration) {
        self.round_trip_us.fetch_min(micros(elapsed), Relaxed);
        self.add(purpose, n, elapsed);
    }

    /// What is left for planning; `None` when it is spent (and that is remembered).
    pub(super) fn remaining(&self) -> Option<Duration> {
        let spent = Duration::from_micros(self.spent_us.load(Relaxed));
        let planning = Duration::from_micros(self.planning_us.load(Relaxed));
        let share = self.budget.mul_f64(PLANNING_SHARE);
        let left = self
            .budget
            .saturating_sub(spent)
            .max(share.saturating_sub(planning));
        if left.is_zero() {
            self.denied.store(1, Relaxed);
            return None;
        }
        Some(left)
    }

    pub(super) fn cost(&self) -> ServerCost {
        ServerCost {
            n_statements: self.n_statements.load(Relaxed),
            time: Duration::from_micros(self.spent_us.load(Relaxed)),
            is_budget_spent: self.denied.load(Relaxed) > 0,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_network_is_not_the_servers_cost() {
        let meter = Meter::new(millis(10));
        meter.add_opening(Purpose::Planning, 2, millis(50));
        meter.add(Purpose::Planning, 1, millis(54));
        let cost = meter.cost();
        assert_eq!((cost.n_statements, cost.time), (3, millis(4)));
        assert_eq!(meter.remaining(), Some(millis(6)));
        assert!(!meter.cost().is_budget_spent);
        meter.add(Purpose::Planning, 1, millis(60));
        assert_eq!(meter.remaining(), None);
        assert!(meter.cost().is_budget_spent);
    }

    #[test]
    fn reading_leaves_planning_its_share() {
        let meter = Meter::new(millis(10));
        meter.add(Purpose::Reading, 1, millis(100));
        assert_eq!(meter.remaining(), Some(millis(5)));
        meter.add(Purpose::Planning, 1, millis(5));
        assert_eq!(meter.remaining(), None);
    }
}
