//! What makes a plan slow, and what would help: one list of problems from one plan of EXPLAIN, with or without ANALYZE.

mod condition;
mod estimates;
mod joins;
mod memory;
mod scans;
mod walk;
mod whole;

pub use condition::Condition;

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    finding::{Severity, figures},
    plan::{Plan, PlanNode},
};
use walk::Walk;

/// Share of the plan's time (of its cost where it was not run) from which a problem is a warning.
const WARNING_SHARE: f64 = 0.2;

/// Share below which a problem is not worth a line: who mends it gains nothing that can be felt.
const MIN_SHARE: f64 = 0.05;

/// What is wrong with a node or with the whole plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// Which of the known ones.
    pub kind: ProblemKind,
    /// `warning` from a fifth of the plan's time (or cost), else `info`.
    pub severity: Severity,
    /// The node in words: `Seq Scan on jobs`.
    pub node: String,
    /// Its place in the plan, parents before children, from 0.
    pub position: usize,
    /// The relation that it is about: the node's own, or the only one below it.
    pub relation: Option<String>,
    /// Share of the plan's time that hangs on it, 0 to 1; of its cost where it was not run.
    pub share: f64,
    /// What is wrong, without values of the statement.
    pub message: String,
    /// What would help.
    pub hint: String,
    /// Columns that the remedy is about, in the order of an index on them.
    pub columns: Vec<String>,
}

/// The known problems. Names as in the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// Far more or fewer rows came than the planner expected.
    RowMisestimate,
    /// Rows are read to be thrown away.
    RowsRemovedByFilter,
    /// An index gives an order, and nearly all rows that it gives are thrown away before LIMIT is full.
    WrongIndexForLimit,
    /// A condition of a join throws away nearly all pairs.
    RowsRemovedByJoinFilter,
    /// A table is read as a whole for few rows (estimated, not run).
    SelectiveSeqScan,
    /// Rows before OFFSET are read and dropped.
    DeepOffset,
    /// The bitmap of a scan did not fit into `work_mem`.
    LossyBitmap,
    /// An index-only scan goes to the table after all.
    HeapFetches,
    /// A sort went to disk.
    SortSpill,
    /// A hash join went to disk.
    HashSpill,
    /// A hashed aggregate went to disk.
    AggregateSpill,
    /// A whole table is read again for each row of the other side.
    RepeatedSeqScan,
    /// Two inputs are joined without a condition.
    CrossProduct,
    /// The inner side of a nested loop runs far more often than planned.
    NestedLoopBlowUp,
    /// A subquery runs once for each row.
    SubplanPerRow,
    /// Most partitions that are read have no row to give.
    UnprunedPartitions,
    /// Fewer parallel workers came than planned.
    WorkersNotLaunched,
    /// Planning takes longer than running.
    PlanningTime,
    /// Compiling takes a good part of the time.
    JitTime,
    /// Triggers take a good part of the time.
    TriggerTime,
    /// Most of the time is waiting for reads.
    ColdReads,
}

impl ProblemKind {
    /// Is what hangs on it spared where it is mended, and not only done in another way?
    #[must_use]
    pub fn is_waste(self) -> bool {
        matches!(
            self,
            Self::RowsRemovedByFilter
                | Self::WrongIndexForLimit
                | Self::RowsRemovedByJoinFilter
                | Self::SelectiveSeqScan
                | Self::DeepOffset
                | Self::RepeatedSeqScan
                | Self::CrossProduct
                | Self::UnprunedPartitions
                | Self::JitTime
                | Self::TriggerTime
        )
    }

    /// Kebab-case id, as in the JSON.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::RowMisestimate => "row-misestimate",
            Self::RowsRemovedByFilter => "rows-removed-by-filter",
            Self::WrongIndexForLimit => "wrong-index-for-limit",
            Self::RowsRemovedByJoinFilter => "rows-removed-by-join-filter",
            Self::SelectiveSeqScan => "selective-seq-scan",
            Self::DeepOffset => "deep-offset",
            Self::LossyBitmap => "lossy-bitmap",
            Self::HeapFetches => "heap-fetches",
            Self::SortSpill => "sort-spill",
            Self::HashSpill => "hash-spill",
            Self::AggregateSpill => "aggregate-spill",
            Self::RepeatedSeqScan => "repeated-seq-scan",
            Self::CrossProduct => "cross-product",
            Self::NestedLoopBlowUp => "nested-loop-blow-up",
            Self::SubplanPerRow => "subplan-per-row",
            Self::UnprunedPartitions => "unpruned-partitions",
            Self::WorkersNotLaunched => "workers-not-launched",
            Self::PlanningTime => "planning-time",
            Self::JitTime => "jit-time",
            Self::TriggerTime => "trigger-time",
            Self::ColdReads => "cold-reads",
        }
    }
}

impl Serialize for ProblemKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// All problems of a plan, the one with most of its time first. The same plan gives the same list.
#[must_use]
pub fn review(plan: &Plan) -> Vec<Problem> {
    let walk = Walk::of(plan);
    let mut problems = Vec::new();
    for at in 0..walk.steps.len() {
        problems.extend(scans::problems(&walk, at));
        problems.extend(joins::problems(&walk, at));
        problems.extend(memory::problems(&walk, at));
        problems.extend(estimates::problem(&walk, at));
    }
    problems.extend(whole::problems(plan, &walk));
    problems.retain(|problem| problem.share >= MIN_SHARE);
    // the same rows, thrown away because the scan is repeated: one line tells both
    let repeated: Vec<usize> = problems
        .iter()
        .filter(|problem| problem.kind == ProblemKind::RepeatedSeqScan)
        .map(|problem| problem.position)
        .collect();
    problems.retain(|problem| {
        problem.kind != ProblemKind::RowsRemovedByFilter || !repeated.contains(&problem.position)
    });
    problems.sort_by(|a, b| {
        let by_share = b.share.total_cmp(&a.share);
        by_share
            .then(a.kind.cmp(&b.kind))
            .then(a.position.cmp(&b.position))
    });
    problems
}

/// All conditions of a node; a bitmap scan has those of its index once more as `Recheck Cond`.
#[must_use]
pub fn conditions(node: &PlanNode) -> Vec<Condition> {
    let own = [&node.index_cond, &node.filter].into_iter().flatten();
    own.chain(&node.conditions)
        .flat_map(|text| Condition::parts(text))
        .collect()
}

/// A node with what it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeShare {
    /// The node in words.
    pub node: String,
    /// Share of the plan's time that it takes by itself, 0 to 1; of its cost where it was not run with TIMING.
    pub share: f64,
    /// Rows that the planner expected, per loop.
    pub rows_expected: f64,
    /// Rows that came, per loop.
    pub rows: Option<f64>,
    /// How often it ran; parallel processes side by side count once.
    pub n_loops: Option<f64>,
}

impl NodeShare {
    /// `72.0 % Seq Scan on jobs: 2 rows expected, 3 came`
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = format!(
            "{} {}: {} rows expected",
            figures::share(self.share),
            self.node,
            scans::whole(self.rows_expected)
        );
        if let Some(came) = self.rows {
            words.push_str(&format!(", {} came", scans::whole(came)));
        }
        if let Some(n_loops) = self.n_loops.filter(|n| *n > 1.0) {
            words.push_str(&format!(", {} times", scans::whole(n_loops)));
        }
        words
    }
}

/// Where the time of a plan goes (its cost, where it was not run): nodes with a share worth a line, the largest first.
#[must_use]
pub fn where_it_goes(plan: &Plan) -> Vec<NodeShare> {
    let walk = Walk::of(plan);
    let mut shares: Vec<NodeShare> = walk
        .steps
        .iter()
        .filter(|step| step.own >= MIN_SHARE)
        .map(|step| NodeShare {
            node: walk::label(step.node),
            share: step.own,
            rows_expected: step.node.plan_rows,
            rows: step.node.actual.as_ref().map(|actual| actual.rows),
            n_loops: step.node.actual.as_ref().map(|actual| {
                (actual.n_loops / step.n_processes)
                    .ceil()
                    .min(actual.n_loops)
            }),
        })
        .collect();
    shares.sort_by(|a, b| b.share.total_cmp(&a.share));
    shares
}

impl Problem {
    fn new(kind: ProblemKind, walk: &Walk<'_>, at: usize, share: f64) -> Self {
        let node = walk.steps[at].node;
        let share = share.clamp(0.0, 1.0);
        Self {
            kind,
            severity: match share {
                share if share >= WARNING_SHARE => Severity::Warning,
                _ => Severity::Info,
            },
            node: walk::label(node),
            position: at,
            relation: walk::only_relation(node),
            share,
            message: String::new(),
            hint: String::new(),
            columns: Vec::new(),
        }
    }

    fn says(mut self, message: impl Into<String>, hint: impl Into<String>) -> Self {
        self.message = message.into();
        self.hint = hint.into();
        self
    }

    fn on(mut self, columns: Vec<String>) -> Self {
        self.columns = columns;
        self
    }
}

#[cfg(test)]
mod tests;
