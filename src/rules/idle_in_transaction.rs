//! Transactions that stand idle: their locks are held and VACUUM waits while the client does something else.

use super::{
    Audit, Example, Expect, Need, Rule,
    clients::{self, Claim, facts, rounded, time},
};
use crate::{
    catalog::IdleBackend,
    finding::{Confidence, Finding, ImpactSource, Remedy, RemedyKind, Severity},
    workload::Pauses,
};

pub(super) static RULE: Rule = Rule {
    id: "idle-in-transaction",
    summary: "a transaction stands idle for long behind a statement: locks are held while the client does something else",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::AnyOf(&[
        &[Need::EachExecution, Need::Sessions, Need::Times],
        &[Need::Backends],
    ])],
    check,
};

/// A pause so long is one too many, microseconds (check_pgactivity and PgHero alert at the minute).
const VERY_LONG_US: u64 = 60_000_000;
/// Pauses of 5 s and more behind the same statement that make a pattern.
const MIN_LONG: u64 = 3;
/// A pause is out of the ordinary from this many times the 95th percentile on.
const ABOVE_NORM: u64 = 20;
/// A person at a prompt may think for so long, microseconds.
const PATIENCE_US: u64 = 300_000_000;

const DOCS: &str = "\
Finds transactions in which the client pauses for long between two statements, and the statement behind which it does.

**Why it matters.** While a transaction stands idle its row locks are held, its connection serves nobody, and VACUUM can't remove rows that it might \
still see: tables and indexes bloat. The usual cause is a call to another service, a file upload or a sleep between BEGIN and COMMIT, or a code path \
that neither commits nor rolls back.

**How it decides.** From a log: a pause between two statements of one transaction (BEGIN … COMMIT, or the same %v) of 60 s or more; or three and more \
pauses of 5 s or more behind the same statement, the longest 20 times beyond what 95 of 100 pauses stay below. A pause that the log's end or the session's end cuts short counts up \
to there. For tools of people (psql, DBeaver …) only from 5 minutes on, and as info. Connected to a server: backends that are idle in \
transaction for 60 s or more right now.

**When it is wrong.** A batch job may compute for seconds between statements of its one transaction, on tables that nobody else uses. Behind a \
threshold (log_min_duration_statement) statements are missing and pauses look longer than they were; then the rule is not judged from the log.

**References.** PostgreSQL 17, 19.11.1 idle_in_transaction_session_timeout; 24.1 (VACUUM and old transactions).";

static EXAMPLES: &[Example] = &[
    Example {
        title: "another service is called between an UPDATE and COMMIT",
        ddl: "",
        log: include_str!("../../fixtures/pools/idle-in-transaction.log"),
        expect: Expect::Fires,
    },
    Example {
        title: "transactions with pauses of 20 ms, and a session that stands idle outside of one",
        ddl: "",
        log: include_str!("../../fixtures/pools/short-transactions.log"),
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let sessions = &audit.snapshot.workload.activity.sessions;
    let p95 = sessions.pause_p95_us;
    let judged = sessions.pauses.iter().filter_map(|pauses| {
        let severity = severity(pauses, p95, sessions.n_pauses)?;
        Some(from_log(audit, pauses, severity))
    });
    let mut findings: Vec<Finding> = judged.collect();
    let connections = audit
        .snapshot
        .catalog
        .iter()
        .filter_map(|c| c.connections.as_deref());
    let idle: Vec<&IdleBackend> = connections
        .flat_map(|c| &c.idle)
        .filter(|backend| {
            backend.in_transaction && backend.idle_us >= patience(&backend.application)
        })
        .collect();
    findings.extend(now(audit, &idle));
    findings
}

fn patience(application: &str) -> i64 {
    let us = if clients::is_interactive(application) {
        PATIENCE_US
    } else {
        VERY_LONG_US
    };
    i64::try_from(us).unwrap_or(i64::MAX)
}

fn severity(pauses: &Pauses, p95_us: u64, n_pauses: u64) -> Option<Severity> {
    let by_people = !pauses.applications.is_empty()
        && pauses
            .applications
            .iter()
            .all(|name| clients::is_interactive(name));
    if by_people {
        return (pauses.max_us >= PATIENCE_US).then_some(Severity::Info);
    }
    // where long pauses are most of all pauses, they are their own norm
    let all_long = pauses.n_long * 10 >= n_pauses;
    let out_of_the_ordinary = all_long || pauses.max_us >= p95_us.saturating_mul(ABOVE_NORM);
    let a_pattern = pauses.n_long >= MIN_LONG && out_of_the_ordinary;
    (pauses.max_us >= VERY_LONG_US || a_pattern).then_some(Severity::Warning)
}

fn from_log(audit: &Audit<'_>, pauses: &Pauses, severity: Severity) -> Finding {
    let sessions = &audit.snapshot.workload.activity.sessions;
    let often = match pauses.n_long {
        0 | 1 => String::new(),
        n => format!(", {n} times for 5 s or more"),
    };
    let end = match (pauses.n_ended_with_session, pauses.n_unended) {
        (0, 0) => String::new(),
        (0, n) => format!("; {n} had not ended by the end of the log"),
        (n, _) => format!("; {n} ended with the session, uncommitted"),
    };
    Claim {
        rule: RULE.id,
        severity,
        confidence: Confidence::High,
        fingerprint: Some(pauses.fingerprint),
        message: format!(
            "a transaction stood idle for {} behind this statement{often}; half of all pauses within transactions are below {}{end}",
            time(pauses.max_us),
            time(sessions.pause_p50_us.max(1)),
        ),
        n_calls: pauses.n,
        total_ms: 0.0,
        source: ImpactSource::Log,
        window_s: clients::log_window_s(audit),
        evidence: facts(vec![
            ("idle_s_longest", rounded(pauses.max_us as f64 / 1e6)),
            ("idle_s_total", rounded(pauses.total_us as f64 / 1e6)),
            ("n_pauses_of_100_ms_and_more", pauses.n.into()),
            ("n_pauses_of_5_s_and_more", pauses.n_long.into()),
            ("norm_ms_median", rounded(sessions.pause_p50_us as f64 / 1e3)),
            ("norm_ms_p95", rounded(sessions.pause_p95_us as f64 / 1e3)),
            ("session", pauses.session.clone().into()),
            ("applications", pauses.applications.clone().into()),
        ]),
        origin: Some(pauses.origin),
        remedy: remedy(),
    }
    .finding(audit)
}

/// One finding for all backends that stand idle in a transaction now.
fn now(audit: &Audit<'_>, idle: &[&IdleBackend]) -> Option<Finding> {
    let longest = idle.first()?;
    let all_people = idle
        .iter()
        .all(|backend| clients::is_interactive(&backend.application));
    let several = match idle.len() {
        1 => "a backend is".to_owned(),
        n => format!("{n} backends are"),
    };
    let statements: Vec<String> = idle
        .iter()
        .take(5)
        .map(|backend| backend.query.clone())
        .collect();
    let finding = Claim {
        rule: RULE.id,
        severity: if all_people {
            Severity::Info
        } else {
            Severity::Warning
        },
        confidence: Confidence::High,
        fingerprint: None,
        message: format!(
            "{several} idle in a transaction right now, the longest for {} ({})",
            time(longest.idle_us.unsigned_abs()),
            if longest.application.is_empty() {
                "no application_name"
            } else {
                &longest.application
            },
        ),
        n_calls: 0,
        total_ms: 0.0,
        source: ImpactSource::Catalog,
        window_s: 0.0,
        evidence: facts(vec![
            ("n_backends", idle.len().into()),
            ("idle_s_longest", rounded(longest.idle_us as f64 / 1e6)),
            ("last_statements", statements.into()),
        ]),
        origin: None,
        remedy: remedy(),
    }
    .finding(audit);
    Some(finding)
}

fn remedy() -> Remedy {
    Remedy {
        kind: RemedyKind::Other,
        hint: "call other services, wait and compute before BEGIN or after COMMIT; end every code path with commit or rollback (a context manager, try-with-resources, defer); \
               as a net, set idle_in_transaction_session_timeout for the application's role"
            .to_owned(),
        ..Remedy::default()
    }
}
