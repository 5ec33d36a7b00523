//! Problems of joins and subqueries: what runs again and again, and pairs that are made to be thrown away.

use super::{
    Problem, ProblemKind,
    condition::{Condition, index_order},
    scans::whole,
    walk::Walk,
};

/// Runs of a node from which "again and again" is meant.
const MIN_LOOPS: f64 = 100.0;

/// The same for the inner side of a nested loop that was planned for few.
const MIN_BLOW_UP_LOOPS: f64 = 1_000.0;

/// How much more often than planned.
const MIN_BLOW_UP: f64 = 10.0;

/// Pairs below which nobody feels a product.
const MIN_PAIRS: f64 = 10_000.0;

/// Share of the pairs that a join's condition throws away.
const MIN_REMOVED_SHARE: f64 = 0.9;

pub(super) fn problems(walk: &Walk<'_>, at: usize) -> Vec<Problem> {
    let found = [
        removed(walk, at),
        repeated_scan(walk, at),
        product(walk, at),
        blow_up(walk, at),
        subplan(walk, at),
    ];
    found.into_iter().flatten().collect()
}

fn removed(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    let actual = walk.actual(at)?;
    let removed = actual.removed_by_join_filter * actual.n_loops;
    let given = actual.all_rows();
    if removed < MIN_PAIRS || removed < (removed + given) * MIN_REMOVED_SHARE {
        return None;
    }
    let problem = Problem::new(
        ProblemKind::RowsRemovedByJoinFilter,
        walk,
        at,
        step.with_children,
    );
    let hint = match step.node.node_type.as_str() {
        "Nested Loop" => {
            "an index on the inner table's join column; for a condition that is no equality, narrow one side first"
        }
        _ => {
            "move the condition that is no part of the join's key into the key, or filter before joining"
        }
    };
    Some(problem.says(
        format!(
            "{} pairs of rows were compared and thrown away for {} that fit",
            whole(removed),
            whole(given)
        ),
        hint,
    ))
}

/// A sequential scan that runs once for each row of the other side.
fn repeated_scan(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    if step.node.node_type != "Seq Scan" {
        return None;
    }
    let (n_loops, how) = match &step.node.actual {
        Some(actual) => (actual.n_loops, ""),
        None => (expected_loops(walk, at)?, "about "),
    };
    let is_parallel = walk
        .above(at)
        .any(|step| step.node.node_type.starts_with("Gather"));
    if n_loops < MIN_LOOPS || is_parallel {
        return None;
    }
    // not run: the cost of all loops stands at the nested loop above
    let share = if walk.is_timed {
        step.with_children
    } else {
        walk.above(at).next()?.with_children
    };
    let problem = Problem::new(ProblemKind::RepeatedSeqScan, walk, at, share);
    let columns = index_order(&Condition::parts(
        step.node.filter.as_deref().unwrap_or_default(),
    ));
    let relation = step.node.relation.as_deref().unwrap_or("the table");
    let on = if columns.is_empty() {
        "its join column".to_owned()
    } else {
        format!("({})", columns.join(", "))
    };
    Some(
        problem
            .says(
                format!(
                    "{relation} is read as a whole {how}{} times, once for each row of the other side",
                    whole(n_loops)
                ),
                format!("an index of {relation} on {on}"),
            )
            .on(columns),
    )
}

/// How often the inner side of the nested loop right above is expected to run.
fn expected_loops(walk: &Walk<'_>, at: usize) -> Option<f64> {
    let parent = walk.steps[at].parent?;
    let is_inner = walk.steps[at].node.parent_relationship.as_deref() == Some("Inner");
    let node = walk.steps[parent].node;
    (is_inner && node.node_type == "Nested Loop").then_some(())?;
    node.children.first().map(|outer| outer.plan_rows)
}

/// A nested loop without any condition between its sides.
fn product(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    let node = step.node;
    if node.node_type != "Nested Loop"
        || node.join_filter.is_some()
        || node.join_type.as_deref().unwrap_or("Inner") != "Inner"
    {
        return None;
    }
    let [outer, inner] = node.children.as_slice() else {
        return None;
    };
    // a condition of the inner side may be the join's: only sides that have none are surely a product
    let has_condition = |node: &crate::plan::PlanNode| {
        node.filter.is_some() || node.index_cond.is_some() || !node.conditions.is_empty()
    };
    let mut inside = vec![inner];
    while let Some(node) = inside.pop() {
        let is_reader = matches!(
            node.node_type.as_str(),
            "Materialize" | "Seq Scan" | "Index Only Scan" | "Index Scan"
        );
        if has_condition(node) || !is_reader {
            return None;
        }
        inside.extend(&node.children);
    }
    let rows = |node: &crate::plan::PlanNode| match &node.actual {
        Some(actual) => actual.rows,
        None => node.plan_rows,
    };
    let (left, right) = (rows(outer), rows(inner));
    if left * right < MIN_PAIRS || left <= 1.0 || right <= 1.0 {
        return None;
    }
    let problem = Problem::new(ProblemKind::CrossProduct, walk, at, step.with_children);
    Some(problem.says(
        format!(
            "{} rows and {} rows are joined without a condition: {} pairs",
            whole(left),
            whole(right),
            whole(left * right)
        ),
        "is a join condition missing? Two collections of one parent are better read by two statements",
    ))
}

/// The inner side runs far more often than the planner thought.
fn blow_up(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    if step.node.node_type != "Nested Loop" {
        return None;
    }
    let children: Vec<usize> = walk.children(at).collect();
    let [outer, inner] = children.as_slice() else {
        return None;
    };
    let outer_rows = walk.actual(*outer)?.rows;
    let planned = walk.steps[*outer].node.plan_rows.max(1.0);
    let inner_loops = walk.actual(*inner)?.n_loops;
    if inner_loops < MIN_BLOW_UP_LOOPS || outer_rows < planned * MIN_BLOW_UP {
        return None;
    }
    let share = walk.steps[*inner].with_children;
    let problem = Problem::new(ProblemKind::NestedLoopBlowUp, walk, at, share);
    Some(problem.says(
        format!(
            "planned for {} rows on the outer side, {} came: the inner side ran {} times where a hash join would have run once",
            whole(planned),
            whole(outer_rows),
            whole(inner_loops)
        ),
        "mend the estimate of the outer side (ANALYZE, extended statistics); the planner then takes another join by itself",
    ))
}

/// A subquery that depends on the row, run for each.
fn subplan(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    if step.node.parent_relationship.as_deref() != Some("SubPlan") {
        return None;
    }
    let n_loops = walk.actual(at)?.n_loops;
    if n_loops < MIN_LOOPS {
        return None;
    }
    let problem = Problem::new(ProblemKind::SubplanPerRow, walk, at, step.with_children);
    let name = step.node.subplan_name.as_deref().unwrap_or("a subquery");
    Some(problem.says(
        format!("{name} ran {} times, once for each row", whole(n_loops)),
        "as a join, or as LEFT JOIN LATERAL, it can be worked out for all rows at once; EXISTS and NOT EXISTS instead of IN and NOT IN become joins too",
    ))
}
