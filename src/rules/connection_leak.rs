//! Connections that were taken and never given back.

use std::collections::BTreeMap;

use super::{
    Audit, Example, Expect, Need, Rule,
    clients::{self, Claim, facts, name, rounded, time},
};
use crate::{
    finding::{Confidence, Finding, ImpactSource, Remedy, RemedyKind, Severity},
    sql::Fingerprint,
};

pub(super) static RULE: Rule = Rule {
    id: "connection-leak",
    summary: "connections stand idle behind the same statement while ever new ones are opened: taken and never given back",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::AnyOf(&[
        &[
            Need::Connections,
            Need::EachExecution,
            Need::Sessions,
            Need::Times,
        ],
        &[Need::Backends],
    ])],
    check,
};

/// A connection that stood idle so long was not needed, microseconds.
const IDLE_US: i64 = 60_000_000;
/// One was idle for so long when the next was opened, microseconds: a pool would have given it out again.
const SPARE_US: i64 = 1_000_000;
/// Connections in such a row. A pool that grows, or a second instance that starts, makes rows of two or three.
const MIN_ROW: usize = 5;

const DOCS: &str = "\
Finds connections of one client that all stand idle behind the same statement, each opened while the one before it stood idle already.

**Why it matters.** A code path that takes a connection and does not give it back costs one connection each time it runs, until the pool or the server has \
none left. The last statement on those connections is where that path ends.

**How it decides.** Sessions that are still open at the end of the log (or now, in pg_stat_activity), outside of a transaction and idle for 60 s or more, \
with the same client and the same last statement. In order of their opening, there are at least 5 of which each was opened when the one before had stood idle for a second \
or more and was never used again: a pool would have handed it out. COMMIT, ROLLBACK, DISCARD, RESET and `SELECT 1` as the last statement are how a pool gets a connection back, and do not count.

**When it is wrong.** Several instances of an application with a pool each, started one after another, look alike when each ran the same single statement last. Sessions that are \
open in a transaction are reported by idle-in-transaction.

**References.** HikariCP, leakDetectionThreshold; SQLAlchemy 2, \"Connection pools: reset on return\".";

static EXAMPLES: &[Example] = &[
    Example {
        title: "psycopg2 connections that are kept in a list",
        ddl: "",
        log: include_str!("../../fixtures/pools/leak.log"),
        expect: Expect::Fires,
    },
    Example {
        title: "SQLAlchemy's pool",
        ddl: "",
        log: include_str!("../../fixtures/pools/sqlalchemy-pool.log"),
        expect: Expect::Silence,
    },
];

/// A connection that stands idle; times in microseconds on one scale.
#[derive(Debug, Clone)]
struct Idle {
    opened: i64,
    since: i64,
    now: i64,
}

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let mut findings = from_log(audit);
    findings.extend(from_server(audit));
    findings
}

fn from_log(audit: &Audit<'_>) -> Vec<Finding> {
    let sessions = &audit.snapshot.workload.activity.sessions;
    let mut groups: BTreeMap<(Fingerprint, usize), Vec<Idle>> = BTreeMap::new();
    for session in sessions
        .open
        .iter()
        .filter(|session| !session.in_transaction)
    {
        if let (Some(last), Some(opened_us)) = (session.last, session.opened_us) {
            groups
                .entry((last, session.client))
                .or_default()
                .push(Idle {
                    opened: opened_us,
                    since: session.idle_since_us,
                    now: sessions.end_us,
                });
        }
    }
    let mut findings = Vec::new();
    for ((fingerprint, client), idle) in groups {
        let text = audit
            .snapshot
            .workload
            .query(fingerprint)
            .map(|query| query.text.as_str());
        if is_return(text.unwrap_or_default()) {
            continue;
        }
        let who = sessions.clients.get(client).map(name).unwrap_or_default();
        if let Some(row) = row(idle) {
            let window_s = clients::log_window_s(audit);
            findings.push(
                claim(Some(fingerprint), &who, &row, ImpactSource::Log, window_s).finding(audit),
            );
        }
    }
    findings
}

fn from_server(audit: &Audit<'_>) -> Vec<Finding> {
    let connections = audit
        .snapshot
        .catalog
        .iter()
        .filter_map(|c| c.connections.as_deref());
    let mut groups: BTreeMap<(String, String, Fingerprint), Vec<Idle>> = BTreeMap::new();
    for backend in connections.flat_map(|c| &c.idle) {
        if let Some(last) = backend
            .fingerprint
            .filter(|_| !backend.in_transaction && !is_return(&backend.query))
        {
            let key = (backend.application.clone(), backend.address.clone(), last);
            groups.entry(key).or_default().push(Idle {
                opened: -backend.age_us,
                since: -backend.idle_us,
                now: 0,
            });
        }
    }
    let found = groups
        .into_iter()
        .filter_map(|((application, address, last), idle)| {
            let who = format!("{application} {address}").trim().to_owned();
            Some(claim(Some(last), &who, &row(idle)?, ImpactSource::Catalog, 0.0).finding(audit))
        });
    found.collect()
}

/// How a pool gets a connection back, or looks whether it lives.
fn is_return(text: &str) -> bool {
    let text = text.trim().trim_end_matches(';').to_ascii_lowercase();
    let first = text.split_whitespace().next().unwrap_or_default();
    matches!(
        first,
        "" | "commit"
            | "rollback"
            | "end"
            | "abort"
            | "discard"
            | "reset"
            | "deallocate"
            | "unlisten"
            | "set"
            | "show"
            | "listen"
    ) || text.strip_prefix("select ").is_some_and(|rest| {
        rest.starts_with('$') && rest.len() <= 3
            || rest.starts_with("pg_advisory_unlock")
            || rest == "version()"
    })
}

/// The longest row of connections, each opened when the one before stood idle for good.
fn row(mut idle: Vec<Idle>) -> Option<Vec<Idle>> {
    idle.retain(|one| one.now.saturating_sub(one.since) >= IDLE_US);
    idle.sort_by_key(|one| (one.since, one.opened));
    let mut row: Vec<Idle> = Vec::new();
    for one in idle {
        let free_us = row
            .last()
            .map_or(i64::MIN, |last| last.since.saturating_add(SPARE_US));
        if one.opened >= free_us {
            row.push(one);
        }
    }
    (row.len() >= MIN_ROW).then_some(row)
}

fn claim(
    fingerprint: Option<Fingerprint>,
    who: &str,
    row: &[Idle],
    source: ImpactSource,
    window_s: f64,
) -> Claim {
    let longest_us = row.iter().map(|one| one.now - one.since).max().unwrap_or(0);
    Claim {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence: Confidence::Medium,
        fingerprint,
        message: format!(
            "{} connections{} stand idle behind this statement, up to {}, and each was opened although the one before was free: they are not given back",
            row.len(),
            if who.is_empty() { String::new() } else { format!(" of {who}") },
            time(longest_us.unsigned_abs()),
        ),
        n_calls: row.len() as u64,
        total_ms: 0.0,
        source,
        window_s,
        evidence: facts(vec![
            ("n_connections", row.len().into()),
            ("client", who.into()),
            ("idle_s_longest", rounded(longest_us as f64 / 1e6)),
        ]),
        origin: None,
        remedy: Remedy {
            kind: RemedyKind::Other,
            hint: "give the connection back on every path of the code that sends this statement last (with, using, try-with-resources, defer release()); \
                   a pool's leak detection names the path (HikariCP leakDetectionThreshold, node-postgres client.release(), Go rows.Close())"
                .to_owned(),
            ..Remedy::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(times: &[(i64, i64)]) -> Vec<Idle> {
        let one = |(opened, since): &(i64, i64)| Idle {
            opened: opened * 1_000_000,
            since: since * 1_000_000,
            now: 200_000_000,
        };
        times.iter().map(one).collect()
    }

    #[test]
    fn a_row_is_of_connections_that_were_free_when_the_next_was_opened() {
        let leak = [(0, 1), (3, 4), (6, 7), (9, 10), (12, 13)];
        assert_eq!(row(idle(&leak)).map(|row| row.len()), Some(5));
        assert!(row(idle(&leak[..4])).is_none());
        // a pool opens its connections at once
        assert!(
            row(idle(&[
                (0, 50),
                (0, 51),
                (0, 52),
                (0, 53),
                (0, 54),
                (0, 55)
            ]))
            .is_none()
        );
        // busy until a moment ago
        assert!(
            row(idle(&[
                (0, 141),
                (143, 144),
                (146, 147),
                (149, 150),
                (152, 153)
            ]))
            .is_none()
        );
    }

    #[test]
    fn what_a_pool_sends_last_is_no_leak() {
        for text in [
            "commit",
            "ROLLBACK;",
            "discard all",
            "select $1",
            "",
            "set application_name = $1",
        ] {
            assert!(is_return(text), "{text}");
        }
        for text in [
            "select a from t where b = $1",
            "update t set a = $1",
            "select $1 from t",
        ] {
            assert!(!is_return(text), "{text}");
        }
    }
}
