//! Problems of memory: sorts, hashes and aggregates that went to disk.

use super::{Problem, ProblemKind, walk::Walk};
use crate::finding::figures;

/// What a sort needs in memory, of what it wrote to disk: tuples in memory carry more than those on a tape.
const SORT_MEMORY: f64 = 3.0;

/// Bytes of a block.
const BLOCK: f64 = 8_192.0;

pub(super) fn problems(walk: &Walk<'_>, at: usize) -> Vec<Problem> {
    let Some(actual) = walk.actual(at) else {
        return Vec::new();
    };
    let step = &walk.steps[at];
    let new = |kind, share| Problem::new(kind, walk, at, share);
    let found = match step.node.node_type.as_str() {
        "Sort" | "Incremental Sort" => actual.sort_disk_kb.map(|kb| {
            let sorts = step.node.sort_keys.join(", ");
            new(ProblemKind::SortSpill, step.own).says(
                match actual.n_loops {
                    loops if loops > 1.0 => format!("the sort did not fit into work_mem and wrote up to {} to disk in each of {loops} runs or processes", size(kb)),
                    _ => format!("the sort did not fit into work_mem and wrote {} to disk", size(kb)),
                },
                format!(
                    "work_mem of about {} for this statement's role (SET LOCAL or ALTER ROLE, not for the whole server), or an index that gives the order{}",
                    size(kb * SORT_MEMORY),
                    if sorts.is_empty() || sorts.len() > 60 { String::new() } else { format!(" ({})", figures_free(&sorts)) }
                ),
            )
        }),
        "Hash" if actual.n_batches > 1.0 => {
            // the join above waits for both sides' batches
            let share = walk.above(at).next().map_or(step.own, |join| join.own + step.own);
            let grew = if actual.n_batches > actual.n_original_batches && actual.n_original_batches > 0.0 {
                format!(", planned for {}", actual.n_original_batches)
            } else {
                String::new()
            };
            let wrote = match actual.temp_written_blocks {
                blocks if blocks > 0.0 => format!(" and wrote {} to disk", size(blocks * BLOCK / 1_024.0)),
                _ => String::new(),
            };
            Some(new(ProblemKind::HashSpill, share).says(
                format!("the hash table did not fit into work_mem: {} batches{grew}{wrote}", actual.n_batches),
                "a larger work_mem or hash_mem_multiplier (13 and later) for this statement's role; a better estimate where more rows came than planned",
            ))
        }
        "Aggregate" if actual.disk_kb > 0.0 => Some(new(ProblemKind::AggregateSpill, step.own).says(
            format!("the groups did not fit into work_mem: {} batches, {} on disk", actual.n_batches.max(1.0), size(actual.disk_kb)),
            "a larger work_mem or hash_mem_multiplier (13 and later) for this statement's role, or an index that gives the groups in order",
        )),
        _ => None,
    };
    found.into_iter().collect()
}

fn size(kb: f64) -> String {
    figures::bytes((kb * 1_024.0).round() as u64)
}

/// Sort keys are column names and expressions; an expression may hold a value of the statement.
fn figures_free(keys: &str) -> String {
    crate::sql::normalise(keys.as_bytes()).text
}
