//! Problems of the statement as a whole: planning, compiling, triggers, workers, reads.

use super::{Problem, ProblemKind, walk::Walk};
use crate::{finding::figures, plan::Plan};

/// Planning below which nobody feels it, ms.
const MIN_PLANNING_MS: f64 = 10.0;

/// Share of the time that compiling may take.
const MAX_JIT_SHARE: f64 = 0.2;

/// Share of the time that triggers may take.
const MAX_TRIGGER_SHARE: f64 = 0.1;

/// Share of the time that waiting for reads may take.
const MAX_READ_SHARE: f64 = 0.5;

/// Time below which a statement is not slow, ms.
const MIN_MS: f64 = 10.0;

pub(super) fn problems(plan: &Plan, walk: &Walk<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    let ms = plan.execution_ms.unwrap_or(walk.total_ms);
    let all = ms + plan.planning_ms.unwrap_or_default();
    let new = |kind, share| Problem::new(kind, walk, 0, share);
    if let Some(planning) = plan.planning_ms
        && plan.execution_ms.is_some()
        && planning >= MIN_PLANNING_MS
        && planning > ms
    {
        found.push(new(ProblemKind::PlanningTime, planning / all).says(
            format!(
                "planning took {}, running {}",
                figures::milliseconds(planning),
                figures::milliseconds(ms)
            ),
            "prepare the statement and use it again; fewer partitions or joins to choose among",
        ));
    }
    if ms >= MIN_MS {
        if let Some(jit) = plan.jit_ms.filter(|jit| *jit >= ms * MAX_JIT_SHARE) {
            found.push(new(ProblemKind::JitTime, jit / ms).says(
                format!("compiling (JIT) took {} of {}", figures::milliseconds(jit), figures::milliseconds(ms)),
                "SET jit = off for this statement's role, or raise jit_above_cost: compiling pays for statements of many seconds",
            ));
        }
        found.extend(triggers(plan, walk, ms));
        found.extend(reads(plan, walk, ms));
        found.extend(workers(walk));
    }
    found
}

fn triggers(plan: &Plan, walk: &Walk<'_>, ms: f64) -> Vec<Problem> {
    let dear = plan
        .triggers
        .iter()
        .filter(|trigger| trigger.ms >= ms * MAX_TRIGGER_SHARE);
    let one = |trigger: &crate::plan::TriggerTime| {
        let hint = if trigger.of_constraint {
            "the foreign key's column on the referencing side wants an index: each row deleted or updated looks for rows that refer to it"
        } else {
            "what the trigger does is run for each row: a statement-level trigger with transition tables does it once"
        };
        let problem = Problem::new(ProblemKind::TriggerTime, walk, 0, trigger.ms / ms);
        Problem {
            relation: trigger.relation.clone().or(problem.relation.clone()),
            ..problem
        }
        .says(
            format!(
                "{} {} took {} in {} calls",
                if trigger.of_constraint {
                    "foreign key"
                } else {
                    "trigger"
                },
                trigger.name,
                figures::milliseconds(trigger.ms),
                figures::count(trigger.n_calls as u64)
            ),
            hint,
        )
    };
    dear.map(one).collect()
}

fn reads(plan: &Plan, walk: &Walk<'_>, ms: f64) -> Option<Problem> {
    let actual = plan.root.actual.as_ref()?;
    let read = actual.read_ms.filter(|read| *read >= ms * MAX_READ_SHARE)?;
    let problem = Problem::new(ProblemKind::ColdReads, walk, 0, (read / ms).min(1.0));
    Some(problem.says(
        format!(
            "{} of {} went into reading {} blocks that were not in shared_buffers",
            figures::milliseconds(read),
            figures::milliseconds(ms),
            figures::count(actual.shared_read_blocks as u64)
        ),
        "read less (see the other problems) before buying memory; the same statement is faster when its blocks are cached",
    ))
}

fn workers(walk: &Walk<'_>) -> Option<Problem> {
    let starved = walk.steps.iter().enumerate().find_map(|(at, step)| {
        let planned = step.node.n_workers_planned?;
        let launched = step.node.n_workers_launched?;
        (launched < planned).then_some((at, planned, launched))
    });
    let (at, planned, launched) = starved?;
    let problem = Problem::new(
        ProblemKind::WorkersNotLaunched,
        walk,
        at,
        walk.steps[at].with_children,
    );
    Some(problem.says(
        format!("{planned} parallel workers planned, {launched} came: the others were busy elsewhere"),
        "max_parallel_workers and max_worker_processes bound all sessions together; fewer parallel statements at once, or more workers",
    ))
}
