//! No connection left: clients are refused, or nearly so.

use super::{
    Audit, Example, Expect, Need, Rule,
    clients::{self, Claim, facts, rounded},
};
use crate::{
    catalog::Connections,
    finding::{Confidence, Finding, ImpactSource, Remedy, RemedyKind, Severity},
    workload::{Concurrency, PoolerFacts},
};

pub(super) static RULE: Rule = Rule {
    id: "pool-saturation",
    summary: "clients are refused because all connection slots are taken, or nearly all are: with the number that the load really needs",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::AnyOf(&[&[Need::Log], &[Need::PoolerLog], &[Need::Backends]]),
        Need::HelpedBy(&[Need::Durations]),
    ],
    check,
};

/// Share of the usable slots from which on they run out with the next peak (check_postgres and PgHero warn at 80 to 90 %).
const MIN_SHARE: f64 = 0.8;
/// What a pool gets above the 99th percentile of connections in use.
const HEADROOM: f64 = 1.2;

/// Intervals of pgbouncer's statistics in which clients waited: one may be a restart.
const MIN_WAITING: u64 = 2;

const DOCS: &str = "\
Finds clients that the server refused (`too many clients already`, `remaining connection slots are reserved`, `too many connections for role`), and servers with 80 % and more of their slots taken. From pgbouncer's own log: clients that waited for a server \
connection, gave up (`query_wait_timeout`) or were refused (`max_client_conn`).

**Why it matters.** A refused client is an error that users see. Raising max_connections first makes it worse: each connection is a process with its own memory, snapshots get slower with their number, and \
the CPUs are shared by more.

**How it decides.** One refused client in the log is enough; or, connected, client backends of 80 % and more of max_connections less the reserved ones. The size that is needed comes from a sweep \
over the log: how many connections were within a transaction or running a statement in each slice of time, at the 99th percentile of slices with any, and 20 % more. Where the log has no durations, no size is given. In pgbouncer's log one client that gave up or \
was refused is enough, or two intervals of its statistics in which clients waited 50 ms and more on average.

**When it is wrong.** A slice is 16 ms in a short log and wider in a long one (it stands in the evidence): shorter peaks are levelled. A refusal while the server starts or recovers has another message and does not count.

**References.** HikariCP wiki, About Pool Sizing ((cores × 2) + disks); PostgreSQL 17, 19.3.1 max_connections; Little's law.";

static EXAMPLES: &[Example] = &[
    Example {
        title: "forty threads and twenty slots",
        ddl: "",
        log: include_str!("../../fixtures/pools/too-many-clients.log"),
        expect: Expect::Fires,
    },
    Example {
        title: "pgbouncer with two server connections",
        ddl: "",
        log: include_str!("../../fixtures/pools/pgbouncer.log"),
        expect: Expect::Fires,
    },
    Example {
        title: "SQLAlchemy's pool of five",
        ddl: "",
        log: include_str!("../../fixtures/pools/sqlalchemy-pool.log"),
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let n_refused = audit
        .snapshot
        .workload
        .activity
        .incidents
        .too_many_clients
        .n;
    let connections = audit
        .snapshot
        .catalog
        .as_ref()
        .and_then(|c| c.connections.as_deref());
    let full = connections
        .filter(|c| c.usable() > 0 && c.n_backends as f64 >= MIN_SHARE * c.usable() as f64);
    let mut found = Vec::new();
    if n_refused > 0 || full.is_some() {
        found.push(claim(audit, n_refused, full).finding(audit));
    }
    let pooler = &audit.snapshot.workload.activity.incidents.pooler;
    found.extend(starved(audit, pooler).map(|claim| claim.finding(audit)));
    found
}

/// Clients of a pooler that waited in vain, or for long.
fn starved(audit: &Audit<'_>, pooler: &PoolerFacts) -> Option<Claim> {
    let closed = |reason: &str| {
        let all = pooler.clients_closed.iter();
        let of = all.filter(|(told, _)| told.starts_with(reason));
        of.map(|(_, times)| times.n).sum::<u64>()
    };
    let n_gave_up = closed("query_wait_timeout");
    let n_refused = closed("no more connections allowed");
    let waited = pooler.n_waiting >= MIN_WAITING;
    if n_gave_up + n_refused == 0 && !waited {
        return None;
    }
    let clients = |n: u64| if n == 1 { "client" } else { "clients" };
    let mut said = Vec::new();
    if n_gave_up > 0 {
        said.push(format!(
            "{n_gave_up} {} of pgbouncer got no server connection within query_wait_timeout",
            clients(n_gave_up)
        ));
    }
    if n_refused > 0 {
        said.push(format!(
            "pgbouncer refused {n_refused} {}: max_client_conn was reached",
            clients(n_refused)
        ));
    }
    if waited {
        let mean_ms = pooler.waiting_us as f64 / pooler.n_waiting as f64 / 1e3;
        said.push(format!(
            "in {} of {} busy intervals clients waited for a server connection, {mean_ms:.0} ms on average",
            pooler.n_waiting, pooler.n_intervals
        ));
    }
    let closings: Vec<String> = pooler
        .clients_closed
        .iter()
        .map(|(reason, times)| format!("{reason}: {}", times.n))
        .collect();
    Some(Claim {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence: Confidence::High,
        fingerprint: None,
        message: said.join("; "),
        n_calls: n_gave_up + n_refused,
        total_ms: 0.0,
        source: ImpactSource::Log,
        window_s: clients::log_window_s(audit),
        evidence: facts(vec![
            ("n_gave_up", n_gave_up.into()),
            ("n_refused_by_pooler", n_refused.into()),
            ("intervals_waiting", pooler.n_waiting.into()),
            ("intervals", pooler.n_intervals.into()),
            (
                "longest_mean_wait_ms",
                rounded(pooler.max_wait_us as f64 / 1e3),
            ),
            ("n_clients", pooler.n_clients.into()),
            ("n_server_connections", pooler.n_server_connections.into()),
            ("clients_closed", closings.into()),
        ]),
        origin: None,
        remedy: starved_remedy(n_gave_up > 0 || waited, n_refused > 0),
    })
}

fn starved_remedy(waits: bool, refuses: bool) -> Remedy {
    let mut steps = Vec::new();
    if waits {
        steps.push(
            "find what holds server connections first: idle transactions and slow statements (the server's log shows them); then raise default_pool_size, while the server has slots and cores × 2 is not passed; \
             pool_mode = transaction gives a connection back after each transaction",
        );
    }
    if refuses {
        steps.push("raise max_client_conn: a client that waits in pgbouncer costs 2 kB, and the limit of open files must allow it");
    }
    Remedy {
        kind: RemedyKind::Other,
        hint: steps.join("; "),
        ..Remedy::default()
    }
}

fn claim(audit: &Audit<'_>, n_refused: u64, full: Option<&Connections>) -> Claim {
    let activity = &audit.snapshot.workload.activity;
    let mut said = Vec::new();
    if n_refused > 0 {
        let noun = if n_refused == 1 {
            "client was"
        } else {
            "clients were"
        };
        said.push(format!(
            "{n_refused} {noun} refused: no connection slot was free"
        ));
    }
    if let Some(full) = full {
        said.push(format!(
            "{} of {} usable connection slots are taken now",
            full.n_backends,
            full.usable()
        ));
    }
    let size = activity.in_use.map(|in_use| size(&in_use));
    if let (Some(in_use), Some(size)) = (&activity.in_use, size) {
        said.push(format!(
            "the load had {:.1} connections in use at its 99th percentile, {:.1} at its peak: {size} would do",
            in_use.p99, in_use.peak
        ));
    }
    Claim {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence: Confidence::High,
        fingerprint: None,
        message: said.join("; "),
        n_calls: n_refused,
        total_ms: 0.0,
        source: if n_refused > 0 {
            ImpactSource::Log
        } else {
            ImpactSource::Catalog
        },
        window_s: if n_refused > 0 {
            clients::log_window_s(audit)
        } else {
            0.0
        },
        evidence: evidence(audit, n_refused, full, size),
        origin: None,
        remedy: remedy(audit, size),
    }
}

fn size(in_use: &Concurrency) -> u64 {
    (in_use.p99 * HEADROOM).ceil().max(1.0) as u64
}

fn evidence(
    audit: &Audit<'_>,
    n_refused: u64,
    full: Option<&Connections>,
    size: Option<u64>,
) -> crate::finding::Evidence {
    let activity = &audit.snapshot.workload.activity;
    let mut all = vec![("n_refused", n_refused.into())];
    for (name, swept) in [
        ("statements_running", &activity.running),
        ("connections_in_use", &activity.in_use),
        ("connections_open", &activity.connected),
    ] {
        if let Some(swept) = swept {
            all.push((
                name,
                format!(
                    "mean {:.2}, p99 {:.2}, peak {:.2}",
                    swept.mean, swept.p99, swept.peak
                )
                .into(),
            ));
        }
    }
    if let Some(in_use) = &activity.in_use {
        all.push(("slice_ms", rounded(in_use.slice_us as f64 / 1e3)));
    }
    if let Some(size) = size {
        all.push(("pool_size_p99_plus_20_percent", size.into()));
    }
    if let Some(full) = full {
        all.push(("n_backends", full.n_backends.into()));
        all.push(("usable_slots", full.usable().into()));
        let groups: Vec<String> = full
            .groups
            .iter()
            .take(5)
            .map(|group| {
                format!(
                    "{} {} {}: {}",
                    group.user, group.application, group.state, group.n
                )
            })
            .collect();
        all.push(("backends_by_client", groups.into()));
    }
    facts(all)
}

fn remedy(audit: &Audit<'_>, size: Option<u64>) -> Remedy {
    let first = match (clients::pooler(audit), size) {
        (Some(why), Some(size)) => format!("a pooler seems to stand in between ({why}): a default_pool_size of {size} in all, over every instance of the application"),
        (Some(why), None) => format!("a pooler seems to stand in between ({why}): lower its pool size, and let clients queue there"),
        (None, Some(size)) => format!("keep {size} connections in a pool, over all instances of the application together, and let callers wait for one"),
        (None, None) => "keep connections in a pool that is smaller than the server's slots, and let callers wait for one".to_owned(),
    };
    Remedy {
        kind: RemedyKind::Other,
        hint: format!(
            "{first}; many short-lived processes need PgBouncer in transaction mode; shorten transactions that hold a connection (idle-in-transaction); max_connections comes last"
        ),
        ..Remedy::default()
    }
}
