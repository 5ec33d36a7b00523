//! Problems of reading tables: rows read to be thrown away, trips to the table, partitions without rows.

use super::{
    Problem, ProblemKind,
    condition::{Condition, index_order},
    walk::{Step, Walk},
};
use crate::finding::figures;

/// Rows thrown away below which nobody feels it.
const MIN_REMOVED: f64 = 1_000.0;

/// Share of the rows read that is thrown away (PEV2 warns from half and marks nine tenths).
const MIN_REMOVED_SHARE: f64 = 0.9;

/// Rows thrown away for each one given from which the order of an index was a bad bargain.
const MIN_REMOVED_A_ROW: f64 = 100.0;

/// Share of an index-only scan's rows for which it went to the table (PEV2 warns from 0.4).
const MIN_FETCH_SHARE: f64 = 0.4;

/// Rows below which neither a scan nor its pages are felt.
const MIN_ROWS: f64 = 1_000.0;

/// Rows that OFFSET drops from which keyset paging is worth it.
const MIN_OFFSET: f64 = 1_000.0;

/// Planner cost from which a scan that was not run is looked at.
const MIN_COST: f64 = 1_000.0;

/// What the planner takes for one random page (`random_page_cost`), beside what the rows cost otherwise.
const RANDOM_PAGE_COST: f64 = 4.0;

/// Partitions read from which it is asked what they gave.
const MIN_PARTITIONS: usize = 8;

pub(super) fn problems(walk: &Walk<'_>, at: usize) -> Vec<Problem> {
    let found = [
        filtered(walk, at),
        unfiltered_scan(walk, at),
        lossy(walk, at),
        fetched(walk, at),
        offset(walk, at),
        unpruned(walk, at),
    ];
    found.into_iter().flatten().collect()
}

/// Rows read and thrown away, measured.
fn filtered(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    let actual = walk.actual(at)?;
    let filter = step.node.filter.as_deref()?;
    let removed = actual.removed_by_filter * actual.n_loops;
    let given = actual.all_rows();
    if removed < MIN_REMOVED || removed < (removed + given) * MIN_REMOVED_SHARE {
        return None;
    }
    let node_type = step.node.node_type.as_str();
    let is_index = step.node.index.is_some();
    let parts = Condition::parts(filter);
    let counted = format!(
        "{} rows read and thrown away for {} that {} wanted",
        whole(removed),
        whole(given),
        if given.round() as u64 == 1 {
            "was"
        } else {
            "were"
        },
    );
    if is_index
        && is_before_limit(walk, at)
        && step.node.index_cond.is_none()
        && removed >= given.max(1.0) * MIN_REMOVED_A_ROW
    {
        let problem = Problem::new(ProblemKind::WrongIndexForLimit, walk, at, step.own);
        let columns = index_order(&parts);
        return Some(
            problem
                .says(
                    format!("{counted}: the index was read for its order alone, in the hope that LIMIT is full soon"),
                    if columns.is_empty() { "an index that serves the filter, with the ORDER BY behind it".to_owned() } else { format!("an index on ({}) with the ORDER BY's columns behind serves filter and order", columns.join(", ")) },
                )
                .on(columns),
        );
    }
    if !matches!(
        node_type,
        "Seq Scan" | "Index Scan" | "Index Only Scan" | "Bitmap Heap Scan" | "CTE Scan"
    ) {
        return None;
    }
    let problem = Problem::new(ProblemKind::RowsRemovedByFilter, walk, at, step.own);
    if node_type == "CTE Scan" {
        return Some(problem.says(
            format!("{counted}: the CTE is worked out as a whole before its rows are filtered"),
            "put the condition into the CTE, or write it NOT MATERIALIZED (12 and later)",
        ));
    }
    let columns = index_order(&parts);
    Some(
        problem
            .says(counted, filter_hint(&parts, &columns, is_index))
            .on(columns),
    )
}

fn filter_hint(parts: &[Condition], columns: &[String], is_index: bool) -> String {
    let wrapped = parts
        .iter()
        .find(|part| !part.is_plain && part.column.is_some());
    let listed = columns.join(", ");
    match (columns.is_empty(), wrapped, is_index) {
        (true, Some(part), _) => format!(
            "the condition computes something of {}: write it on the plain column, or index the expression",
            part.column.as_deref().unwrap_or_default()
        ),
        (true, None, _) => {
            "an index whose predicate or operator class serves the filter (partial, trigram, GIN)"
                .to_owned()
        }
        (false, _, true) => {
            format!(
                "the index leaves {listed} to the table: add it to the index's key, or make the index partial"
            )
        }
        (false, _, false) => format!("an index on ({listed})"),
    }
}

fn is_before_limit(walk: &Walk<'_>, at: usize) -> bool {
    walk.steps[at].may_be_cut_short && walk.above(at).any(|step| step.node.node_type == "Limit")
}

/// A whole table read for what the planner itself takes for few rows; the plan was not run.
fn unfiltered_scan(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    let node = step.node;
    let filter = node.filter.as_deref()?;
    let by_index = node.plan_rows * RANDOM_PAGE_COST;
    let is_worth_it = node.total_cost.0 >= MIN_COST && by_index < node.total_cost.0 / 2.0;
    if node.actual.is_some() || node.node_type != "Seq Scan" || !is_worth_it {
        return None;
    }
    let parts = Condition::parts(filter);
    let columns = index_order(&parts);
    let problem = Problem::new(ProblemKind::SelectiveSeqScan, walk, at, step.own);
    Some(
        problem
            .says(
                format!(
                    "the whole table is read for about {} rows (estimated: the plan was not run)",
                    whole(node.plan_rows)
                ),
                filter_hint(&parts, &columns, false),
            )
            .on(columns),
    )
}

fn lossy(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let actual = walk.actual(at)?;
    if actual.lossy_heap_blocks <= actual.exact_heap_blocks
        || actual.removed_by_recheck * actual.n_loops < MIN_REMOVED
    {
        return None;
    }
    let problem = Problem::new(ProblemKind::LossyBitmap, walk, at, walk.steps[at].own);
    Some(problem.says(
        format!(
            "the bitmap outgrew work_mem: {} of {} blocks were read as a whole, and {} rows thrown away again",
            whole(actual.lossy_heap_blocks),
            whole(actual.lossy_heap_blocks + actual.exact_heap_blocks),
            whole(actual.removed_by_recheck * actual.n_loops)
        ),
        "a larger work_mem for this statement's role, or a more selective index",
    ))
}

fn fetched(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    let actual = walk.actual(at)?;
    let rows = actual.all_rows() + actual.removed_by_filter * actual.n_loops;
    let fetches = actual.heap_fetches;
    if step.node.node_type != "Index Only Scan"
        || fetches < MIN_ROWS
        || fetches < rows * MIN_FETCH_SHARE
    {
        return None;
    }
    let problem = Problem::new(ProblemKind::HeapFetches, walk, at, step.own);
    let relation = step.node.relation.as_deref().unwrap_or("the table");
    Some(problem.says(
        format!(
            "an index-only scan that went to the table for {} of {} rows: the visibility map does not cover them",
            whole(fetches),
            whole(rows.max(fetches))
        ),
        format!("VACUUM {relation} now, and let autovacuum come more often (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)"),
    ))
}

/// LIMIT whose input gave far more rows than went through: OFFSET drops the others.
fn offset(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    if step.node.node_type != "Limit" {
        return None;
    }
    let given = walk.actual(at)?.all_rows();
    let child = walk.children(at).next()?;
    let dropped = walk.actual(child)?.all_rows() - given;
    if dropped < MIN_OFFSET || dropped < given * 10.0 {
        return None;
    }
    let problem = Problem::new(ProblemKind::DeepOffset, walk, at, step.with_children);
    Some(problem.says(
        format!("OFFSET read and dropped {} rows to give {}", whole(dropped), whole(given)),
        "page by key: remember the last row and ask for what comes behind it, WHERE (sort columns) > (its values) ORDER BY … LIMIT",
    ))
}

/// An Append most of whose partitions gave nothing.
fn unpruned(walk: &Walk<'_>, at: usize) -> Option<Problem> {
    let step = &walk.steps[at];
    if !matches!(step.node.node_type.as_str(), "Append" | "Merge Append") {
        return None;
    }
    let ran: Vec<(&Step<'_>, f64)> = walk
        .children(at)
        .filter_map(|child| Some((&walk.steps[child], walk.actual(child)?.all_rows())))
        .collect();
    let empty: Vec<&&Step<'_>> = ran
        .iter()
        .filter(|(_, rows)| *rows == 0.0)
        .map(|(step, _)| step)
        .collect();
    if ran.len() < MIN_PARTITIONS
        || (empty.len() as f64) < ran.len() as f64 * MIN_REMOVED_SHARE
        || step.node.n_subplans_removed > 0
        || step.may_be_cut_short
    {
        return None;
    }
    let share = empty.iter().map(|step| step.with_children).sum();
    let problem = Problem::new(ProblemKind::UnprunedPartitions, walk, at, share);
    Some(problem.says(
        format!("{} of {} partitions were read and gave no row", empty.len(), ran.len()),
        "a condition on the partition key itself, compared with a value of its own type, lets the planner leave partitions out",
    ))
}

/// A number of rows, as they are counted.
pub(super) fn whole(rows: f64) -> String {
    figures::count(rows.max(0.0).round() as u64)
}
