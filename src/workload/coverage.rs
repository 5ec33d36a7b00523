//! What a log covers, and what it shows of what it cannot tell: thresholds, missing times and sessions, values that were not logged.

use serde::{Deserialize, Serialize};

use super::{Fact, FactKind, InputFacts, Origin, Outcome, Protocol, Statement, sampling};

/// Timed statements that must stand above a floor before it is called a threshold.
const ENOUGH: u64 = 50;
/// Some statement of a real workload (BEGIN, SET, a look-up by key) is faster than this, microseconds.
const SURELY_FASTER_US: u64 = 2_000;
/// The same for fewer statements: a floor so high is no accident among this many.
const FEW: u64 = 10;
/// The floor that [`FEW`] statements show, microseconds.
const FAR_FASTER_US: u64 = 100_000;
/// Of statements without a duration, one in so many shows that the log does not leave fast ones out, it only does not time them.
const UNTIMED_SHARE: u64 = 10;
/// Changes of settings that are kept, the first ones.
const MAX_SETTINGS: usize = 64;

/// What one log showed of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Executions with a duration.
    pub n_timed: u64,
    /// Executions that finished, without a duration.
    pub n_untimed: u64,
    /// The shortest duration, microseconds.
    pub min_us: Option<u64>,
    /// Executions without a time.
    pub n_without_time: u64,
    /// Executions without a session.
    pub n_without_session: u64,
    /// Executions of the extended protocol, which may have had parameters.
    pub n_bound: u64,
    /// Executions whose parameters the log has.
    pub n_with_parameters: u64,
    /// `connection authorized` lines.
    pub n_connected: u64,
    /// `disconnection` lines.
    pub n_disconnected: u64,
    /// Clients that were refused because all connection slots were taken.
    #[serde(default)]
    pub n_refused: u64,
    /// What a pooler's log told.
    #[serde(default)]
    pub n_pooler: u64,
    /// Executions that the settings by which the log is taken for a sample would not have logged.
    #[serde(default)]
    pub n_outside: u64,
    /// Settings that the log says were changed, with their new values (empty for the default); the first 64.
    pub settings: Vec<(String, String)>,
    /// Where those were changed that decide what is logged; the first 64.
    #[serde(skip)]
    pub changes: Vec<(Origin, String, String)>,
}

/// What the fold knows of an input so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Covered {
    n_statements: u64,
    from_us: Option<i64>,
    to_us: Option<i64>,
    coverage: Coverage,
}

impl Covered {
    /// Counts a statement that stands for `n_calls` executions.
    #[inline]
    pub(super) fn statement(&mut self, statement: &Statement<'_>, n_calls: u64) {
        self.n_statements += n_calls;
        let seen = &mut self.coverage;
        if let Some(duration_us) = statement.duration_us {
            seen.n_timed += n_calls;
            seen.min_us = Some(seen.min_us.map_or(duration_us, |min| min.min(duration_us)));
        } else if statement.outcome == Outcome::Finished {
            seen.n_untimed += n_calls;
        }
        if statement.time_us == 0 {
            seen.n_without_time += n_calls;
        }
        seen.n_without_session += if statement.session.is_empty() {
            n_calls
        } else {
            0
        };
        if statement.protocol != Protocol::Simple {
            seen.n_bound += n_calls;
        }
        if !statement.parameters.is_empty() {
            seen.n_with_parameters += n_calls;
        }
        self.at(statement.time_us);
    }

    /// Counts what is no execution.
    pub(super) fn fact(&mut self, fact: &Fact<'_>) {
        let seen = &mut self.coverage;
        match fact.kind {
            FactKind::Connected { .. } => seen.n_connected += 1,
            FactKind::Disconnected { .. } => seen.n_disconnected += 1,
            FactKind::TooManyClients => seen.n_refused += 1,
            FactKind::PoolerStats { .. }
            | FactKind::PoolerOpened { .. }
            | FactKind::PoolerClosed { .. } => seen.n_pooler += 1,
            FactKind::Setting { name, value } if seen.settings.len() < MAX_SETTINGS => {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let (name, value) = (text(name), text(value));
                if sampling::SETTINGS.contains(&name.as_str()) {
                    let change = (fact.origin, name.clone(), value.clone());
                    seen.changes.push(change);
                }
                seen.settings.push((name, value));
            }
            _ => return,
        }
        self.at(fact.time_us);
    }

    /// Counts an execution that would not have been logged.
    pub(super) fn outside(&mut self) {
        self.coverage.n_outside += 1;
    }

    fn at(&mut self, time_us: i64) {
        if time_us == 0 {
            return;
        }
        self.from_us = Some(self.from_us.map_or(time_us, |from| from.min(time_us)));
        self.to_us = self.to_us.max(Some(time_us));
    }

    /// First and last time, microseconds since the epoch.
    pub(super) fn times(&self) -> Option<(i64, i64)> {
        Some((self.from_us?, self.to_us?))
    }

    /// Adds what the part of the same input that follows covers.
    pub(super) fn append(&mut self, following: Self) {
        self.n_statements += following.n_statements;
        let (seen, theirs) = (&mut self.coverage, following.coverage);
        seen.n_timed += theirs.n_timed;
        seen.n_untimed += theirs.n_untimed;
        seen.min_us = [seen.min_us, theirs.min_us].into_iter().flatten().min();
        seen.n_without_time += theirs.n_without_time;
        seen.n_without_session += theirs.n_without_session;
        seen.n_bound += theirs.n_bound;
        seen.n_with_parameters += theirs.n_with_parameters;
        seen.n_connected += theirs.n_connected;
        seen.n_disconnected += theirs.n_disconnected;
        seen.n_refused += theirs.n_refused;
        seen.n_pooler += theirs.n_pooler;
        seen.n_outside += theirs.n_outside;
        seen.settings.extend(theirs.settings);
        seen.settings.truncate(MAX_SETTINGS);
        seen.changes.extend(theirs.changes);
        seen.changes.truncate(MAX_SETTINGS);
        self.from_us = [self.from_us, following.from_us]
            .into_iter()
            .flatten()
            .min();
        self.to_us = self.to_us.max(following.to_us);
    }

    /// Fills in what an input covered.
    pub(super) fn describe(self, input: &mut InputFacts) {
        input.n_statements = self.n_statements;
        input.from_us = self.from_us;
        input.to_us = self.to_us;
        input.coverage = self.coverage;
    }
}

impl Coverage {
    /// The duration below which the log has no statement although the workload surely had some, microseconds: a threshold.
    #[must_use]
    pub fn threshold_us(&self) -> Option<u64> {
        let min_us = self.min_us?;
        let leaves_out = self.n_untimed < self.n_timed.div_ceil(UNTIMED_SHARE);
        let many = self.n_timed >= ENOUGH && min_us >= SURELY_FASTER_US;
        let far = self.n_timed >= FEW && min_us >= FAR_FASTER_US;
        (leaves_out && (many || far)).then(|| round_down(min_us))
    }
}

/// The round number that somebody will have set: the largest below `min_us` if it is within a tenth, else `min_us` in whole milliseconds.
fn round_down(min_us: u64) -> u64 {
    /// Leading digits, in twentieths.
    const ROUND: [u64; 9] = [10, 15, 20, 25, 30, 40, 50, 60, 75];
    let decade = 10_u64.pow(min_us.max(1).ilog10());
    let round = ROUND
        .iter()
        .map(|leading| leading * decade / 10)
        .rfind(|round| *round <= min_us)
        .unwrap_or(decade);
    if round + round / 10 >= min_us {
        round
    } else {
        min_us / 1000 * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(n_timed: u64, min_us: u64) -> Coverage {
        Coverage {
            n_timed,
            min_us: Some(min_us),
            ..Coverage::default()
        }
    }

    #[test]
    fn a_floor_among_many_statements_is_a_threshold() {
        for (n_timed, min_us, expected) in [
            (60, 250_310, Some(250_000)),
            (60, 290_000, Some(290_000)),
            (60, 2_004, Some(2_000)),
            (60, 1_999, None),
            (12, 1_004_000, Some(1_000_000)),
            (12, 99_000, None),
            (9, 1_004_000, None),
            (60, 512_000, Some(500_000)),
        ] {
            assert_eq!(
                timed(n_timed, min_us).threshold_us(),
                expected,
                "{n_timed} {min_us}"
            );
        }
    }

    #[test]
    fn fast_statements_that_are_logged_without_duration_are_not_hidden() {
        let mut coverage = timed(60, 250_310);
        coverage.n_untimed = 6;
        assert_eq!(coverage.threshold_us(), None);
        coverage.n_untimed = 5;
        assert_eq!(coverage.threshold_us(), Some(250_000));
    }
}
