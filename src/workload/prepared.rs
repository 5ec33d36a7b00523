//! Named prepared statements by the number of their execution: Postgres plans the first five for their values, and may then keep one plan
//! for all values (`plan_cache_mode = auto`; plancache.c). Fed in the order of the log.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::{histogram::Histogram, window::Step};

/// Executions of a named statement that are planned for their values (`choose_custom_plan`, PostgreSQL 9.2 to 18).
const CUSTOM_EXECUTIONS: u32 = 5;
/// Named statements of sessions that are counted at once; when there are more, all counts start again.
const MAX_COUNTED: usize = 65_536;
/// Sets of values per statement that are timed on either side.
const MAX_VALUE_SETS: usize = 32;

/// A named statement before and after the planner may have changed to one plan for all values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPhases {
    /// Executions one to five of a named statement that was seen to be prepared.
    pub first: Phase,
    /// Executions from the sixth on.
    pub later: Phase,
    /// Sets of values that were executed on either side.
    pub n_same_values: u64,
    /// Of those, how many were slower from the sixth execution on: at least twice as slow on the average, and by a millisecond.
    pub n_same_values_slower: u64,
    /// Mean time of those sets of values in the first five executions, microseconds.
    pub same_values_first_us: u64,
    /// The same from the sixth execution on.
    pub same_values_later_us: u64,
}

/// Executions of one phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// How many.
    pub n: u64,
    /// Their time, microseconds.
    pub total_us: u64,
    /// Median, microseconds.
    pub p50_us: u64,
    /// 95th percentile, microseconds.
    pub p95_us: u64,
    /// Parse and bind time, microseconds: binding plans, as long as it plans for the values.
    pub plan_us: u64,
}

/// What is counted while the log is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Prepared {
    counted: HashMap<(u32, u32, u32), u32, foldhash::fast::FixedState>,
    queries: BTreeMap<u32, Counted>,
}

#[derive(Debug, Clone, Default)]
struct Counted {
    first: Side,
    later: Side,
    values: BTreeMap<u64, [(u64, u64); 2]>,
}

#[derive(Debug, Clone, Default)]
struct Side {
    n: u64,
    total_us: u64,
    plan_us: u64,
    times: Histogram,
}

/// What is needed of an execution beside its step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Named {
    /// Hash of the statement's name; 0 for none.
    pub(super) name: u32,
    /// It was parsed for this execution.
    pub(super) parsed: bool,
    /// Parse and bind time, microseconds.
    pub(super) plan_us: u32,
}

impl Prepared {
    /// Counts an execution in the session's `life`; `values` is a hash of all its parameters.
    pub(super) fn statement(&mut self, step: &Step, life: u32, values: u64) {
        let named = step.named;
        let Some(duration_us) = step.duration_us else {
            return;
        };
        if named.name == 0 || step.failed {
            return;
        }
        if named.parsed {
            self.parsed(life, named.name, step.query, 0);
        }
        // without it, it was prepared before the log starts: nobody knows how often it ran
        let Some(n) = self.counted.get_mut(&(life, named.name, step.query)) else {
            return;
        };
        *n += 1;
        let is_later = *n > CUSTOM_EXECUTIONS;
        let query = self.queries.entry(step.query).or_default();
        let side = if is_later {
            &mut query.later
        } else {
            &mut query.first
        };
        side.n += 1;
        side.total_us += duration_us;
        side.plan_us += u64::from(named.plan_us);
        side.times.record_n(duration_us, 1);
        if query.values.len() < MAX_VALUE_SETS || query.values.contains_key(&values) {
            let sums = &mut query.values.entry(values).or_default()[usize::from(is_later)];
            sums.0 += 1;
            sums.1 += duration_us;
        }
    }

    /// A named statement was parsed, in `plan_us` that no execution tells.
    pub(super) fn parsed(&mut self, life: u32, name: u32, query: u32, plan_us: u32) {
        if self.counted.len() >= MAX_COUNTED {
            self.counted.clear();
        }
        self.counted.insert((life, name, query), 0);
        self.queries.entry(query).or_default().first.plan_us += u64::from(plan_us);
    }

    /// By query; only statements that reached the sixth execution.
    pub(super) fn finish(&self) -> BTreeMap<u32, PlanPhases> {
        let reached = self.queries.iter().filter(|(_, query)| query.later.n > 0);
        reached.map(|(at, query)| (*at, query.finish())).collect()
    }
}

impl Counted {
    fn finish(&self) -> PlanPhases {
        let mut phases = PlanPhases {
            first: self.first.finish(),
            later: self.later.finish(),
            ..PlanPhases::default()
        };
        let (mut first_us, mut later_us) = (0, 0);
        for [first, later] in self.values.values() {
            if first.0 == 0 || later.0 == 0 {
                continue;
            }
            let (before, after) = (first.1 / first.0, later.1 / later.0);
            phases.n_same_values += 1;
            phases.n_same_values_slower +=
                u64::from(after >= before * 2 && after >= before + 1_000);
            first_us += before;
            later_us += after;
        }
        phases.same_values_first_us = first_us / phases.n_same_values.max(1);
        phases.same_values_later_us = later_us / phases.n_same_values.max(1);
        phases
    }
}

impl Side {
    fn finish(&self) -> Phase {
        Phase {
            n: self.n,
            total_us: self.total_us,
            p50_us: self.times.quantile(0.5),
            p95_us: self.times.quantile(0.95),
            plan_us: self.plan_us,
        }
    }
}
