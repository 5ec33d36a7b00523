//! The rule `redundant-query`: the same question asked again and again in one unit of work.

use super::{
    Audit, Example, Expect, Rule,
    loops::{self, Told},
};
use crate::{
    finding::{Confidence, Finding, Severity, figures},
    sql::StatementKind,
    workload::{BurstClass, Distinctness, Spacing, WindowBound},
};

pub(super) static RULE: Rule = Rule {
    id: "redundant-query",
    summary: "the same statement with the same values, again and again in one request",
    severity: Severity::Info,
    docs: DOCS,
    examples: EXAMPLES,
    needs: loops::NEEDS,
    check,
};

/// Executions in one transaction or tagged request before it is worth a word.
const MIN_BOUNDED: u32 = 3;
/// The same without a sure bound: there it may be polling by several requests.
const MIN_UNBOUNDED: u32 = 10;

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let workload = &audit.snapshot.workload;
    workload
        .repetitions
        .iter()
        .filter_map(|repetition| {
            let query = workload.query(repetition.child)?;
            if query.kind != StatementKind::Select {
                return None;
            }
            let classes: Vec<&BurstClass> = repetition
                .classes
                .iter()
                .filter(|class| is_redundant(class))
                .collect();
            let first = classes.first()?;
            let (n, bursts) = sums(&classes);
            let most = classes.iter().map(|class| class.n_repeats_max).max()?;
            let busy_us: u64 = classes.iter().map(|class| class.total_us).sum();
            let (relation, columns) = loops::subject_of(audit, query);
            let name = relation.as_ref().map_or_else(|| "a relation".to_owned(), ToString::to_string);
            Some(
                Told {
                    query: Some(query),
                    relation,
                    columns,
                    confidence: if first.shape.bound == WindowBound::Idle { Confidence::Medium } else { Confidence::High },
                    message: format!("{name} is asked the same thing up to {most} times in one unit of work: {} round trips say nothing new", figures::count(n - bursts)),
                    hint: "keep the first answer for the rest of the request (a local variable, memoisation, the ORM's identity map or query cache), or move the statement out of the loop".to_owned(),
                    n_calls: n,
                    total_us: busy_us,
                    saved_trips: n - bursts,
                    origin: first.samples.first().map(|burst| burst.origin),
                    facts: vec![
                        ("n_executions", n.into()),
                        ("n_units", bursts.into()),
                        ("n_executions_max", most.into()),
                        ("sessions", first.sessions.clone().into()),
                    ],
                }
                .finding(&RULE, audit),
            )
        })
        .collect()
}

fn sums(classes: &[&BurstClass]) -> (u64, u64) {
    classes.iter().fold((0, 0), |(n, bursts), class| {
        (n + class.n_repeats, bursts + class.n_bursts)
    })
}

fn is_redundant(class: &BurstClass) -> bool {
    let shape = &class.shape;
    let bounded = matches!(shape.bound, WindowBound::Tag | WindowBound::Transaction);
    let quick = matches!(shape.spacing, Spacing::Pipelined | Spacing::Tight);
    shape.distinct == Distinctness::One
        && !shape.pages
        && !shape.written_back
        && !shape.locked_before
        && if bounded {
            shape.repeats >= MIN_BOUNDED
        } else {
            shape.repeats >= MIN_UNBOUNDED
                && quick
                && shape.bound == WindowBound::Idle
                && !shape.foreign
        }
}

const DOCS: &str = "\
What it finds: one look-up with one value, executed several times within one request, transaction or burst: the answer was known.

## Why it matters

Every repeat costs a round trip, parsing and planning, and holds the connection. It is no N+1: a batch would not help, remembering would.

## How it decides

Windows are those of `n-plus-one`. A look-up by key (no row lock, nothing that pages) whose key never varies counts from 3 executions in a transaction or a tagged \
request, and from 10 in a session's burst with gaps below 4 ms. A write to the same relation between the repeats excuses it: the answer may have changed.

## When it is wrong

- Waiting in a transaction for another session's change, by asking again and again.
- A burst without transaction or tag may be several quick requests that each asked once.

## References

- `n-plus-one`, which counts repeats with different keys.
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "the same setting four times in one transaction",
        ddl: "",
        log: "2026-11-22 20:00:00.100 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT value FROM settings WHERE name = 'vat'\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.041 ms  statement: UPDATE carts SET total = 3 WHERE id = 9\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT value FROM settings WHERE name = 'vat'\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT value FROM settings WHERE name = 'vat'\n\
2026-11-22 20:00:00.110 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT value FROM settings WHERE name = 'vat'\n\
2026-11-22 20:00:00.112 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
",
        expect: Expect::Finding("settings"),
    },
    Example {
        title: "twice is left alone",
        ddl: "",
        log: "2026-11-22 20:00:00.100 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT value FROM settings WHERE name = 'vat'\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT value FROM settings WHERE name = 'vat'\n\
2026-11-22 20:00:00.112 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
",
        expect: Expect::Silence,
    },
    Example {
        title: "polling, a second apart",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT state FROM jobs WHERE id = 4\n\
2026-11-22 20:00:01.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT state FROM jobs WHERE id = 4\n\
2026-11-22 20:00:02.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT state FROM jobs WHERE id = 4\n\
2026-11-22 20:00:03.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT state FROM jobs WHERE id = 4\n\
",
        expect: Expect::Silence,
    },
];
