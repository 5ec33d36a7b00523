//! The rule `n-plus-one-write`: rows written one statement at a time.

use super::{
    Audit, Example, Expect, Rule,
    loops::{self, Loops},
};
use crate::finding::{Finding, Severity};

pub(super) static RULE: Rule = Rule {
    id: "n-plus-one-write",
    summary: "rows inserted, updated or deleted one statement at a time",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: loops::NEEDS,
    check,
};

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    loops::find(audit, Loops::Writes)
        .iter()
        .map(|found| loops::finding(RULE.id, audit, found))
        .collect()
}

/// Read by people in `pgassay rules n-plus-one-write`.
const DOCS: &str = "\
What it finds: rows inserted, updated or deleted one statement at a time in a loop.

## Why it matters

Each statement costs a round trip, parsing and planning, and outside a transaction a commit with its flush to disk. One statement for all \
rows costs them once.

## How it decides

Windows, bursts and drivers are those of `n-plus-one`. A write counts when one fingerprint of a single-row INSERT, or of an UPDATE or \
DELETE by key, runs 5 times or more in a window (`--min-repeats`; an update's or delete's key must vary as a read's must).

Confidence is high in one transaction or request, or behind a linked query with gaps below 4 ms or as many repeats as its LIMIT; medium behind a linked query with \
longer gaps, for as many repeats as an unlinked query's LIMIT, and for 10 repeats or more in a row with nothing between them and gaps below 4 ms or steady. \
Single-statement transactions (an ORM's `save`) make one burst.

Left out: several rows in one statement, COPY, queue workers (a row lock before each write), message consumers (a transaction of several statements each), migrations and seeds (DDL in the \
session within 2 s), retries of a failed statement, factories and fixtures of tests (statements without a route tag in a test), and pipelined batches: the client of the extended \
protocol did not wait for answers. That shows in less than 0.12 ms between the end of one and the start of the next, on average, without the pauses in which a slow wire fills the server's buffer \
(2.5 ms and more, a fifth of the gaps at most), or in one transaction id without a BEGIN.

## When it is wrong

- Events that arrive one by one at a high rate look like a loop when one session writes them without a pause.
- Over a fast local connection a client that does wait can look pipelined, and is not reported.
- One bad row fails a whole batch: where rows must fail apart, keep the loop, in one transaction with savepoints.

## References

- PostgreSQL 18, 14.4 Populating a Database
- `fixtures/n-plus-one/`, `benches/README.md`
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "five rows, five statements",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 0)\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 1)\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 2)\n\
2026-11-22 20:00:00.110 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 3)\n\
2026-11-22 20:00:00.112 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 4)\n\
2026-11-22 20:00:00.114 UTC [4711] LOG:  duration: 0.8 ms  statement: COMMIT\n\
",
        expect: Expect::Finding("audit_logs"),
    },
    Example {
        title: "four are still left alone",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 0)\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 1)\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 2)\n\
2026-11-22 20:00:00.110 UTC [4711] LOG:  duration: 0.090 ms  statement: INSERT INTO audit_logs (kind, ref_id) VALUES ('seen', 3)\n\
2026-11-22 20:00:00.112 UTC [4711] LOG:  duration: 0.8 ms  statement: COMMIT\n\
",
        expect: Expect::Silence,
    },
    Example {
        title: "a worker that locks the row it writes",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.100 ms  statement: SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.080 ms  statement: UPDATE jobs SET status = 'done' WHERE id = 0\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
2026-11-22 20:00:00.110 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.112 UTC [4711] LOG:  duration: 0.100 ms  statement: SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED\n\
2026-11-22 20:00:00.114 UTC [4711] LOG:  duration: 0.080 ms  statement: UPDATE jobs SET status = 'done' WHERE id = 1\n\
2026-11-22 20:00:00.116 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
2026-11-22 20:00:00.118 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.120 UTC [4711] LOG:  duration: 0.100 ms  statement: SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED\n\
2026-11-22 20:00:00.122 UTC [4711] LOG:  duration: 0.080 ms  statement: UPDATE jobs SET status = 'done' WHERE id = 2\n\
2026-11-22 20:00:00.124 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
2026-11-22 20:00:00.126 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.128 UTC [4711] LOG:  duration: 0.100 ms  statement: SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED\n\
2026-11-22 20:00:00.130 UTC [4711] LOG:  duration: 0.080 ms  statement: UPDATE jobs SET status = 'done' WHERE id = 3\n\
2026-11-22 20:00:00.132 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
2026-11-22 20:00:00.134 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.136 UTC [4711] LOG:  duration: 0.100 ms  statement: SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED\n\
2026-11-22 20:00:00.138 UTC [4711] LOG:  duration: 0.080 ms  statement: UPDATE jobs SET status = 'done' WHERE id = 4\n\
2026-11-22 20:00:00.140 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
2026-11-22 20:00:00.142 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.144 UTC [4711] LOG:  duration: 0.100 ms  statement: SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED\n\
2026-11-22 20:00:00.146 UTC [4711] LOG:  duration: 0.080 ms  statement: UPDATE jobs SET status = 'done' WHERE id = 5\n\
2026-11-22 20:00:00.148 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
",
        expect: Expect::Silence,
    },
];
