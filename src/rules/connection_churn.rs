//! Connections that live for a moment: a client without a pool.

use super::{
    Audit, Example, Expect, Need, Rule,
    clients::{self, Claim, facts, name, rounded, time},
};
use crate::{
    catalog::DatabaseSessions,
    finding::{Confidence, Finding, ImpactSource, Remedy, RemedyKind, Severity},
    workload::ClientSessions,
};

pub(super) static RULE: Rule = Rule {
    id: "connection-churn",
    summary: "a client opens a connection for a few statements and closes it, many times a minute: no pool",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::AnyOf(&[
        &[Need::Connections],
        &[Need::SessionCounters],
    ])],
    check,
};

/// New sessions in the busiest minute from which on opening them is a cost of its own: one a second. A cron job or a probe stays far below.
const MIN_PER_MINUTE: u64 = 60;
/// Half of the sessions are shorter than this, microseconds: a pooled session lives for minutes.
const SHORT_US: u64 = 1_000_000;
/// Minutes in which a person's tool must do so: a script that calls psql in a loop is over soon.
const MIN_MINUTES_OF_SCRIPTS: u64 = 3;
/// Sessions since the counters' reset before their rate says something.
const MIN_SESSIONS: u64 = 1_000;
/// Clients named in the evidence.
const MAX_NAMED: usize = 10;

const DOCS: &str = "\
Finds clients that connect, send a few statements and disconnect, over and over.

**Why it matters.** A connection costs the server a process (fork, a fresh catalog cache, authentication) and the client several round trips: more \
than most statements that run over it. Under load the forks themselves become the bottleneck, and slots run out.

**How it decides.** From a log with log_connections and log_disconnections: at least 60 sessions of one client (user, database, application) \
start within one minute of the clock, and half of its sessions end within a second. For psql and other tools of people, in at least 3 minutes. Connected \
to a server (14 and newer): pg_stat_database counts at least one new session a second since its reset, and at least 1,000, with a mean session time below a second.

**When it is wrong.** `pgbench -C` and connection tests do this on purpose. Behind a pooler in session mode the pooler's clients churn, and the \
server sees long sessions: nothing is found, and nothing is wrong with the server. Serverless functions can't keep a pool of their own: they need an external one.

**References.** PostgreSQL 17, 52.2 (how connections are established); HikariCP wiki, About Pool Sizing; PgBouncer, features.";

static EXAMPLES: &[Example] = &[
    Example {
        title: "psycopg2, a connection for each request",
        ddl: "",
        log: include_str!("../../fixtures/pools/no-pool.log"),
        expect: Expect::Fires,
    },
    Example {
        title: "SQLAlchemy's pool",
        ddl: "",
        log: include_str!("../../fixtures/pools/sqlalchemy-pool.log"),
        expect: Expect::Silence,
    },
    Example {
        title: "a job that connects once a second, for less than a minute",
        ddl: "",
        log: include_str!("../../fixtures/pools/cron.log"),
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let sessions = &audit.snapshot.workload.activity.sessions;
    let churning: Vec<&ClientSessions> = sessions.clients.iter().filter(|c| churns(c)).collect();
    if !churning.is_empty() {
        return vec![from_log(audit, &churning)];
    }
    // a log that shows the clients is nearer than counters of unknown age
    if sessions.clients.iter().any(|client| client.n_opened > 0) {
        return Vec::new();
    }
    let counters = audit
        .snapshot
        .catalog
        .as_ref()
        .and_then(|c| c.connections.as_ref()?.sessions);
    counters
        .filter(counters_churn)
        .map(|counters| from_counters(audit, &counters))
        .into_iter()
        .collect()
}

fn churns(client: &ClientSessions) -> bool {
    let is_script = clients::is_interactive(&client.application);
    client.opened_in_busiest_minute >= MIN_PER_MINUTE
        && client.n_closed >= MIN_PER_MINUTE
        && client.session_p50_us < SHORT_US
        && (!is_script || client.n_minutes >= MIN_MINUTES_OF_SCRIPTS)
}

fn from_log(audit: &Audit<'_>, churning: &[&ClientSessions]) -> Finding {
    let first = churning[0];
    let sum =
        |of: fn(&ClientSessions) -> u64| churning.iter().map(|client| of(client)).sum::<u64>();
    let others = match churning.len() {
        1 => String::new(),
        n => format!(", and {} more clients do the like", n - 1),
    };
    let setup = match first.n_setups {
        0 => String::new(),
        _ => format!(
            "; until it is authorized each takes {}",
            time(first.setup_p50_us)
        ),
    };
    let message = format!(
        "{} opened {} connections in its busiest minute; half of them lived less than {} and ran at most {} statements{setup}{others}",
        name(first),
        first.opened_in_busiest_minute,
        time(first.session_p50_us.max(1)),
        first.statements_p50,
    );
    let named: Vec<String> = churning
        .iter()
        .take(MAX_NAMED)
        .map(|client| name(client))
        .collect();
    Claim {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence: Confidence::High,
        fingerprint: None,
        message,
        n_calls: sum(|client| client.n_opened),
        total_ms: sum(|client| client.busy_us) as f64 / 1e3,
        source: ImpactSource::Log,
        window_s: clients::log_window_s(audit),
        evidence: facts(vec![
            ("clients", named.into()),
            ("n_sessions", sum(|client| client.n_opened).into()),
            (
                "n_sessions_below_a_second",
                sum(|client| client.n_short).into(),
            ),
            (
                "opened_in_busiest_minute",
                first.opened_in_busiest_minute.into(),
            ),
            (
                "session_ms_median",
                rounded(first.session_p50_us as f64 / 1e3),
            ),
            ("session_ms_p95", rounded(first.session_p95_us as f64 / 1e3)),
            ("statements_per_session_median", first.statements_p50.into()),
            ("statements_per_session_p95", first.statements_p95.into()),
            (
                "connect_ms_median",
                rounded(first.setup_p50_us as f64 / 1e3),
            ),
            (
                "connect_ms_total",
                rounded(sum(|client| client.setup_total_us) as f64 / 1e3),
            ),
        ]),
        origin: None,
        remedy: remedy(audit),
    }
    .finding(audit)
}

fn counters_churn(counters: &DatabaseSessions) -> bool {
    counters.n_sessions >= MIN_SESSIONS
        && counters.window_s > 0.0
        && counters.n_sessions as f64 >= counters.window_s
        && counters.session_ms / (counters.n_sessions as f64) < SHORT_US as f64 / 1e3
}

fn from_counters(audit: &Audit<'_>, counters: &DatabaseSessions) -> Finding {
    let per_second = counters.n_sessions as f64 / counters.window_s;
    let mean_ms = counters.session_ms / counters.n_sessions as f64;
    let transactions = counters.n_transactions as f64 / counters.n_sessions as f64;
    Claim {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence: Confidence::Medium,
        fingerprint: None,
        message: format!(
            "{per_second:.1} new sessions a second since the counters' reset, each {} long on the average, for {transactions:.1} transactions",
            time((mean_ms * 1e3) as u64)
        ),
        n_calls: counters.n_sessions,
        total_ms: counters.active_ms,
        source: ImpactSource::Catalog,
        window_s: counters.window_s,
        evidence: facts(vec![
            ("n_sessions", counters.n_sessions.into()),
            ("sessions_per_second", rounded(per_second)),
            ("session_ms_mean", rounded(mean_ms)),
            ("transactions_per_session", rounded(transactions)),
            ("active_share", rounded(counters.active_ms / counters.session_ms.max(1.0))),
        ]),
        origin: None,
        remedy: remedy(audit),
    }
    .finding(audit)
}

fn remedy(audit: &Audit<'_>) -> Remedy {
    let pooler = match clients::pooler(audit) {
        Some(why) => format!("a pooler seems to stand in between already ({why}): let its server_lifetime and server_idle_timeout keep connections open"),
        None => "keep connections in a pool in the application (SQLAlchemy pool_size, HikariCP, pgx pool, node-postgres Pool, Django CONN_MAX_AGE or its pool option, PHP persistent connections); \
                 where processes are too many or too short for that, put PgBouncer in between".to_owned(),
    };
    Remedy {
        kind: RemedyKind::Other,
        hint: pooler,
        ..Remedy::default()
    }
}
