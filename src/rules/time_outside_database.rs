//! The rule `time-outside-database`: a transaction that is open while the application does something else.

use super::{
    Audit, Example, Expect, Need, Rule,
    loops::{self, Told},
};
use crate::{
    finding::{Confidence, Finding, Severity},
    sql::Fingerprint,
    workload::Wait,
};

pub(super) static RULE: Rule = Rule {
    id: "time-outside-database",
    summary: "a transaction stays open while the application is busy elsewhere",
    severity: Severity::Info,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::EachExecution,
        Need::Durations,
        Need::HelpedBy(&[Need::Sessions, Need::Times]),
    ],
    check,
};

/// Share of a transaction's time in the database above which it is busy, not waiting.
const MAX_BUSY_SHARE: f64 = 0.2;
/// One pause of this length is worth a word by itself, microseconds.
const MIN_PAUSE_US: u64 = 250_000;
/// So many shorter ones are, too.
const MIN_TRANSACTIONS: u64 = 5;
/// Programs in which a person sits before the open transaction.
const INTERACTIVE: [&str; 6] = ["psql", "pgadmin", "dbeaver", "datagrip", "pgcli", "postico"];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let workload = &audit.snapshot.workload;
    workload
        .pace
        .waits
        .iter()
        .filter(|wait| is_worth_telling(wait))
        .map(|wait| {
            let query = Some(wait.before)
                .filter(|before| *before != Fingerprint::default())
                .and_then(|before| workload.query(before));
            let (relation, columns) = query
                .map(|query| loops::subject_of(audit, query))
                .unwrap_or_default();
            let after = match (&relation, query) {
                (Some(relation), _) => format!("after a statement on {relation}"),
                (None, Some(_)) => "after a statement".to_owned(),
                (None, None) => "right after BEGIN".to_owned(),
            };
            let ms = |us: u64| us as f64 / 1e3;
            Told {
                query,
                relation,
                columns,
                confidence: Confidence::Medium,
                message: format!(
                    "a transaction is open {:.0} ms with {:.0} ms in the database: it waits {after}, in {}",
                    ms(wait.worst_open_us),
                    ms(wait.worst_busy_us),
                    if wait.n == 1 { "one transaction".to_owned() } else { format!("{} transactions", wait.n) },
                ),
                hint: "do slow work (HTTP calls, rendering, hashing, queues) before BEGIN or after COMMIT: an open transaction holds its connection, its locks and the horizon of VACUUM; idle_in_transaction_session_timeout bounds the damage".to_owned(),
                n_calls: wait.n,
                total_us: wait.busy_us,
                saved_trips: 0,
                origin: Some(wait.origin),
                facts: vec![
                    ("n_transactions", wait.n.into()),
                    ("open_ms", ms(wait.open_us).into()),
                    ("busy_ms", ms(wait.busy_us).into()),
                    ("longest_pause_ms", ms(wait.pause_us).into()),
                    ("application", wait.application.clone().into()),
                    ("session", wait.session.clone().into()),
                ],
            }
            .finding(&RULE, audit)
        })
        .collect()
}

fn is_worth_telling(wait: &Wait) -> bool {
    let application = wait.application.to_ascii_lowercase();
    let waits = wait.busy_us as f64 <= MAX_BUSY_SHARE * wait.open_us as f64;
    let long = wait.pause_us >= MIN_PAUSE_US || wait.n >= MIN_TRANSACTIONS;
    waits && long && !INTERACTIVE.iter().any(|name| application.contains(name))
}

const DOCS: &str = "\
What it finds: transactions that are open long and use the database little: the application computes, or waits for something else, between two of their statements.

## Why it matters

The connection is taken from the pool all the while, row locks are held, and VACUUM cannot remove what the transaction might still see. Under load that is how pools run dry.

## How it decides

From BEGIN to COMMIT or ROLLBACK, in one session: the time in statements (parse and bind included) against the time open. Transactions with a pause of 100 ms or more are \
added up by application and by the statement before their longest pause. It is told when the database had at most a fifth of the time and one pause took 250 ms, or five \
transactions paused. Interactive programs (psql, pgAdmin …) are left out.

## When it is wrong

- A large result that the client reads slowly counts as time in the database, and hides the wait.
- A log with a threshold or a sample rate lacks statements of the transaction; the report then says so.
- A machine under heavy load pauses everywhere.

## References

- PostgreSQL documentation, 19.11 `idle_in_transaction_session_timeout`
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "840 ms open, 1 ms in the database",
        ddl: "",
        log: "2026-11-22 20:00:00.100 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT id, total FROM invoices WHERE id = 77 FOR UPDATE\n\
2026-11-22 20:00:00.930 UTC [4711] LOG:  duration: 0.241 ms  statement: UPDATE invoices SET state = 'paid' WHERE id = 77\n\
2026-11-22 20:00:00.940 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
",
        expect: Expect::Finding("invoices"),
    },
    Example {
        title: "busy, not waiting",
        ddl: "",
        log: "2026-11-22 20:00:00.100 UTC [4711] LOG:  duration: 0.010 ms  statement: BEGIN\n\
2026-11-22 20:00:00.902 UTC [4711] LOG:  duration: 800.431 ms  statement: SELECT id, total FROM invoices WHERE id = 77 FOR UPDATE\n\
2026-11-22 20:00:00.930 UTC [4711] LOG:  duration: 0.241 ms  statement: UPDATE invoices SET state = 'paid' WHERE id = 77\n\
2026-11-22 20:00:00.940 UTC [4711] LOG:  duration: 0.5 ms  statement: COMMIT\n\
",
        expect: Expect::Silence,
    },
];
