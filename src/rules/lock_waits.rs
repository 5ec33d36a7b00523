//! The rule `lock-waits`: statements whose time goes into waiting for a lock, which no index shortens.

use super::{
    Audit, Example, Expect, Need, Rule,
    loops::{self, Told},
};
use crate::{
    catalog::RelationName,
    finding::{Confidence, Finding, Severity, figures},
    sql::Fingerprint,
    workload::{Blocked, Measured},
};

pub(super) static RULE: Rule = Rule {
    id: "lock-waits",
    summary: "a statement spends its time waiting for locks, not working",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::AnyOf(&[
        &[Need::EachExecution, Need::HelpedBy(&[Need::Durations])],
        &[Need::ActivitySamples],
    ])],
    check,
};

/// Waits of one statement together, microseconds: the server reports single ones from a second on (`deadlock_timeout`).
const MIN_WAITED_US: u64 = 1_000_000;

/// Samples that saw the wait: a single one may be an accident.
const MIN_SEEN: u64 = 3;

const HINT: &str = "find who holds the lock (pg_blocking_pids, audit --sample-activity, or the DETAIL lines of the log): shorten that transaction, write rows in one order, take queues with \
    FOR UPDATE SKIP LOCKED, and spread a hot row; DDL belongs behind a lock_timeout";

/// Share of the statement's own time: below it, the waits are not what makes it slow.
const MIN_SHARE: f64 = 0.1;

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let workload = &audit.snapshot.workload;
    let waits = &workload.activity.incidents.lock_waits;
    let logged = waits
        .iter()
        .filter(|(fingerprint, _)| **fingerprint != Fingerprint::default())
        .filter_map(|(fingerprint, waited)| told(audit, *fingerprint, waited));
    let seen = workload.watched.iter().flat_map(|watched| {
        let blocked = watched.blocked.iter();
        // of several that block one statement, the commonest comes first
        let mut told: Vec<Fingerprint> = waits.keys().copied().collect();
        blocked.filter_map(move |blocked| {
            let fingerprint = blocked.fingerprint.filter(|f| !told.contains(f))?;
            let found = seen_waiting(audit, fingerprint, blocked, watched.n_samples)?;
            told.push(fingerprint);
            Some(found)
        })
    });
    logged
        .chain(seen)
        .map(|told| told.finding(&RULE, audit))
        .collect()
}

/// A statement that samples of `pg_stat_activity` saw waiting: who holds the lock is known, how often and how long it waits is not.
fn seen_waiting<'a>(
    audit: &Audit<'a>,
    fingerprint: Fingerprint,
    blocked: &Blocked,
    n_samples: u64,
) -> Option<Told<'a>> {
    if blocked.n < MIN_SEEN || blocked.longest_us < MIN_WAITED_US {
        return None;
    }
    let workload = &audit.snapshot.workload;
    let query = workload.query(fingerprint);
    let (relation, columns) = query
        .map(|query| loops::subject_of(audit, query))
        .unwrap_or_default();
    let on = on(relation.as_ref());
    let holder = blocked.by.and_then(|by| workload.query(by));
    let holder = holder.map_or("", |query| query.text.as_str());
    let state = match blocked.state.as_str() {
        "" => "not visible",
        state => state,
    };
    Some(Told {
        query,
        relation,
        columns,
        confidence: Confidence::Medium,
        message: format!(
            "{on} was seen waiting for a lock in {} of {n_samples} samples, up to {}; the holder's state: {state}",
            figures::count(blocked.n),
            figures::milliseconds(blocked.longest_us as f64 / 1e3)
        ),
        hint: HINT.to_owned(),
        n_calls: blocked.n,
        total_us: 0,
        saved_trips: 0,
        origin: None,
        facts: vec![
            ("n_samples_waiting", blocked.n.into()),
            ("n_samples", n_samples.into()),
            ("longest_ms", (blocked.longest_us as f64 / 1e3).into()),
            ("holder_state", blocked.state.as_str().into()),
            ("holder_application", blocked.application.as_str().into()),
            ("holder_query", holder.into()),
        ],
    })
}

/// `a statement on public.t`
fn on(relation: Option<&RelationName>) -> String {
    relation.map_or_else(
        || "a statement".to_owned(),
        |table| format!("a statement on {table}"),
    )
}

fn told<'a>(audit: &Audit<'a>, fingerprint: Fingerprint, waited: &Measured) -> Option<Told<'a>> {
    let query = audit.snapshot.workload.query(fingerprint);
    let waited_ms = waited.total as f64 / 1e3;
    let total_ms = query
        .and_then(|query| query.log.as_ref())
        .map_or(0.0, |log| log.total_us as f64 / 1e3);
    if waited.total < MIN_WAITED_US || waited_ms < MIN_SHARE * total_ms {
        return None;
    }
    let (relation, columns) = query
        .map(|query| loops::subject_of(audit, query))
        .unwrap_or_default();
    let on = on(relation.as_ref());
    let of_it = if total_ms > 0.0 {
        let share = (waited_ms / total_ms).min(1.0) * 100.0;
        format!(", {share:.0} % of its time")
    } else {
        String::new()
    };
    let times = match waited.n {
        1 => "once".to_owned(),
        n => format!("{} times", figures::count(n)),
    };
    Some(Told {
        query,
        relation,
        columns,
        confidence: Confidence::High,
        message: format!(
            "{on} waited {times} for a lock, {} in all{of_it}: no index shortens that",
            figures::milliseconds(waited_ms)
        ),
        hint: HINT.to_owned(),
        n_calls: waited.n,
        total_us: waited.total,
        saved_trips: 0,
        origin: None,
        facts: vec![
            ("n_waits", waited.n.into()),
            ("waited_ms", waited_ms.into()),
            ("longest_ms", (waited.max as f64 / 1e3).into()),
        ],
    })
}

const DOCS: &str = "\
What it finds: statements that waited for a row's, a table's or another lock long enough for the server to report it.

## Why it matters

Such a statement looks slow, and its plan is not at fault: the time is that of somebody else's transaction. No index makes it shorter, and pooled connections stand waiting.

## How it decides

By `process … acquired …Lock … after … ms` in the log (`log_lock_waits`), which the server writes for waits beyond `deadlock_timeout` (1 s by default). The waits of a statement are added \
up; it is told from 1 s in all, where they are a tenth of the statement's logged time at least. Without such lines, by samples of pg_stat_activity (`audit --sample-activity`): a statement that was \
seen waiting for a lock in three samples at least, and for a second at least, with the state, the application and the last statement of the session that holds it.

## When it is wrong

- Waits below `deadlock_timeout` are not reported: a hot row that everyone waits 200 ms for stays unseen unless it is lowered.
- A maintenance window waits as well.

## References

- PostgreSQL documentation, 13.3 (explicit locking), 19.8 `log_lock_waits`
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "a hot row",
        ddl: "",
        log: "2026-11-22 20:00:01.100 UTC [4711] LOG:  process 4711 still waiting for ShareLock on transaction 745 after 1000.123 ms\n\
2026-11-22 20:00:01.100 UTC [4711] DETAIL:  Process holding the lock: 4712. Wait queue: 4711.\n\
2026-11-22 20:00:01.100 UTC [4711] STATEMENT:  UPDATE counters SET n = n + 1 WHERE id = 1\n\
2026-11-22 20:00:04.300 UTC [4711] LOG:  process 4711 acquired ShareLock on transaction 745 after 4200.456 ms\n\
2026-11-22 20:00:04.300 UTC [4711] STATEMENT:  UPDATE counters SET n = n + 1 WHERE id = 1\n\
2026-11-22 20:00:04.301 UTC [4711] LOG:  duration: 4201.012 ms  statement: UPDATE counters SET n = n + 1 WHERE id = 1\n\
",
        expect: Expect::Finding("counters"),
    },
    Example {
        title: "slow by itself: the wait is a small part",
        ddl: "",
        log: "2026-11-22 20:00:04.300 UTC [4711] LOG:  process 4711 acquired ShareLock on transaction 745 after 1200.456 ms\n\
2026-11-22 20:00:04.300 UTC [4711] STATEMENT:  UPDATE counters SET n = n + 1 WHERE label = 'x'\n\
2026-11-22 20:00:34.301 UTC [4711] LOG:  duration: 31201.012 ms  statement: UPDATE counters SET n = n + 1 WHERE label = 'x'\n\
",
        expect: Expect::Silence,
    },
];
