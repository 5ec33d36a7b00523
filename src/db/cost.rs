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

/// Adds up what statements cost. Shared by all connections of one audit.
#[derive(Debug)]
pub(super) struct Meter {
    budget: Duration,
    spent_us: AtomicU64,
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
            n_statements: AtomicU64::new(0),
            round_trip_us: AtomicU64::new(u64::MAX),
            denied: AtomicU64::new(0),
        }
    }

    /// `n` statements were answered in one go after `elapsed`.
    pub(super) fn add(&self, n: u64, elapsed: Duration) {
        let elapsed = micros(elapsed);
        let network = match self.round_trip_us.load(Relaxed) {
            u64::MAX => 0,
            round_trip => round_trip,
        };
        self.spent_us
            .fetch_add(elapsed.saturating_sub(network), Relaxed);
        self.n_statements.fetch_add(n, Relaxed);
    }

    /// A transaction's opening was answered after `elapsed`.
    pub(super) fn add_opening(&self, n: u64, elapsed: Duration) {
        self.round_trip_us.fetch_min(micros(elapsed), Relaxed);
        self.add(n, elapsed);
    }

    /// What is left of the budget; `None` when it is spent (and that is remembered).
    pub(super) fn remaining(&self) -> Option<Duration> {
        let spent = Duration::from_micros(self.spent_us.load(Relaxed));
        let left = self
            .budget
            .checked_sub(spent)
            .filter(|left| !left.is_zero());
        if left.is_none() {
            self.denied.store(1, Relaxed);
        }
        left
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

    #[test]
    fn the_network_is_not_the_servers_cost() {
        let meter = Meter::new(Duration::from_millis(10));
        meter.add_opening(2, Duration::from_millis(50));
        meter.add(1, Duration::from_millis(54));
        let cost = meter.cost();
        assert_eq!(
            (cost.n_statements, cost.time),
            (3, Duration::from_millis(4))
        );
        assert_eq!(meter.remaining(), Some(Duration::from_millis(6)));
        assert!(!meter.cost().is_budget_spent);
        meter.add(1, Duration::from_millis(60));
        assert_eq!(meter.remaining(), None);
        assert!(meter.cost().is_budget_spent);
    }
}
