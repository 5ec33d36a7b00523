//! Estimates that are far off, told where they begin.

use super::{Problem, ProblemKind, scans::whole, walk::Walk};
use crate::plan::{Actual, PlanNode};

/// How far off counts (PEV2 and depesz both mark ten).
const MIN_FACTOR: f64 = 10.0;

/// Rows, estimated or real, of which one side must have this many: 3 instead of 40 rows changes no plan.
const MIN_ROWS: f64 = 100.0;

/// Nodes whose estimate decides how what is above them is done.
const DECIDED_BY_ROWS: [&str; 8] = [
    "Nested Loop",
    "Hash Join",
    "Merge Join",
    "Sort",
    "Incremental Sort",
    "Aggregate",
    "Hash",
    "Materialize",
];

pub(super) fn problem(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    let actual = walk.actual(at)?;
    if matches!(
        step.node.node_type.as_str(),
        "Bitmap Index Scan"
            | "BitmapAnd"
            | "BitmapOr"
            | "Gather"
            | "Gather Merge"
            | "Hash"
            | "Materialize"
            | "Memoize"
            | "ModifyTable"
    ) {
        return None;
    }
    let off = factor(step.node, actual, step.may_be_cut_short)?;
    // fewer groups than expected cost no more than some memory
    if is_grouping(step.node) && off < 1.0 {
        return None;
    }
    let begins_below = walk.children(at).any(|child| {
        let is_input = walk.steps[child].node.subplan_name.is_none();
        let begun = walk.actual(child).and_then(|actual| {
            factor(
                walk.steps[child].node,
                actual,
                walk.steps[child].may_be_cut_short,
            )
        });
        is_input && begun.is_some_and(|below| (below > 1.0) == (off > 1.0))
    });
    if begins_below {
        return None;
    }
    let deciding = walk
        .above(at)
        .find(|above| DECIDED_BY_ROWS.contains(&above.node.node_type.as_str()));
    let share = match deciding {
        Some(above) => above.with_children,
        // nothing above hangs on it; but an index was taken for few rows
        None if off > 1.0 && step.node.index.is_some() => step.own,
        None => return None,
    };
    let (planned, came) = (step.node.plan_rows, actual.rows);
    let times = if off > 1.0 { off } else { 1.0 / off };
    let (cause, columns) = cause(step.node);
    let problem = Problem::new(ProblemKind::RowMisestimate, walk, at, share);
    Some(
        problem
            .says(
                format!(
                    "{} rows expected, {} came{}: {} times {}",
                    whole(planned),
                    whole(came),
                    if actual.n_loops > step.n_processes {
                        " each time"
                    } else {
                        ""
                    },
                    whole(times),
                    if off > 1.0 { "as many" } else { "fewer" },
                ),
                cause,
            )
            .on(columns),
    )
}

/// Real rows by estimated ones, where that is far off. A node that was stopped early can only be known to have given more.
fn factor(node: &PlanNode, actual: &Actual, may_be_cut_short: bool) -> Option<f64> {
    let planned = node.plan_rows.max(1.0);
    let came = actual.rows.max(1.0);
    let enough = planned.max(came) >= MIN_ROWS;
    let off = came / planned;
    let is_far = off >= MIN_FACTOR || (off <= 1.0 / MIN_FACTOR && !may_be_cut_short);
    (enough && is_far).then_some(off)
}

fn is_grouping(node: &PlanNode) -> bool {
    matches!(node.node_type.as_str(), "Aggregate" | "Group" | "Unique")
}

/// Why the planner erred, as far as the condition tells, and the columns that statistics would be made on.
fn cause(node: &PlanNode) -> (String, Vec<String>) {
    if is_grouping(node) {
        let hint = "the number of groups was a guess: ANALYZE; where several columns make a group, CREATE STATISTICS (ndistinct) on them";
        return (hint.to_owned(), Vec::new());
    }
    let parts = super::conditions(node);
    let relation = node.relation.clone();
    let mut columns: Vec<String> = Vec::new();
    for part in parts.iter().filter(|part| part.is_plain) {
        let column = part.column.clone().unwrap_or_default();
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let wrapped = parts
        .iter()
        .find(|part| !part.is_plain && part.column.is_some());
    match (relation, wrapped) {
        (Some(relation), Some(part)) => (
            format!(
                "the planner guesses what an expression of {} gives: CREATE STATISTICS on the expression (14 and later) or an index on it, then ANALYZE {relation}",
                part.column.as_deref().unwrap_or_default()
            ),
            Vec::new(),
        ),
        (Some(relation), None) if columns.len() > 1 => (
            format!(
                "ANALYZE {relation}; if that does not help, the columns depend on each other: CREATE STATISTICS ON {} FROM {relation}, then ANALYZE again",
                columns.join(", ")
            ),
            columns,
        ),
        (Some(relation), None) => (
            match columns.first() {
                Some(column) => format!(
                    "ANALYZE {relation}; if that does not help, a larger statistics target for {column} (ALTER TABLE … ALTER COLUMN … SET STATISTICS 1000)"
                ),
                None => format!("ANALYZE {relation}"),
            },
            columns,
        ),
        (None, _) => (
            "the estimate of what goes in is right: the values of both sides depend on each other in a way that statistics of one table cannot tell".to_owned(),
            Vec::new(),
        ),
    }
}
