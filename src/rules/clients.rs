//! What the rules about sessions and pools share: who the clients are, whether a pooler stands in between, and findings about the database as a whole.

use serde_json::{Map, Value};

use super::Audit;
use crate::{
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactSource, Location, Remedy, Severity, Subject,
        figures,
    },
    sql::Fingerprint,
    workload::{ClientSessions, InputKind},
};

/// Programs in which a person types statements, by the start of their `application_name`.
const INTERACTIVE: &[&str] = &[
    "psql",
    "pgcli",
    "pgAdmin",
    "DBeaver",
    "DataGrip",
    "IntelliJ",
    "TablePlus",
    "Postico",
    "Navicat",
    "Beekeeper",
    "HeidiSQL",
    "phpPgAdmin",
];
/// Poolers, by what they put into `application_name`.
const POOLERS: &[&str] = &[
    "pgbouncer",
    "odyssey",
    "pgcat",
    "pgpool",
    "supavisor",
    "pgdog",
];

/// A person at a prompt, not an application.
pub(super) fn is_interactive(application: &str) -> bool {
    INTERACTIVE.iter().any(|name| {
        application
            .get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
}

/// What shows that a pooler stands between the clients and the server; `None` when nothing does, which is no proof that there is none.
pub(super) fn pooler(audit: &Audit<'_>) -> Option<String> {
    if audit
        .snapshot
        .catalog
        .as_ref()
        .is_some_and(|c| c.server.pooled)
    {
        return Some("pgassay is connected through one".to_owned());
    }
    let workload = &audit.snapshot.workload;
    let clients = workload
        .activity
        .sessions
        .clients
        .iter()
        .map(|client| client.application.as_str());
    let backends = audit
        .snapshot
        .catalog
        .iter()
        .filter_map(|c| c.connections.as_deref());
    let backends = backends.flat_map(|c| c.groups.iter().map(|group| group.application.as_str()));
    let is_pooler = |name: &&str| {
        let name = name.to_ascii_lowercase();
        POOLERS.iter().any(|pooler| name.contains(pooler))
    };
    if let Some(name) = clients.chain(backends).find(is_pooler) {
        return Some(format!("application_name {name}"));
    }
    let resets = |text: &str| {
        text.trim_end_matches(';')
            .trim()
            .eq_ignore_ascii_case("discard all")
    };
    let has_resets = workload.queries.iter().any(|query| resets(&query.text));
    has_resets
        .then(|| "DISCARD ALL, which poolers and Npgsql's own pool send between clients".to_owned())
}

/// `app@shop/web`, as far as known.
pub(super) fn name(client: &ClientSessions) -> String {
    let user = if client.user.is_empty() {
        "(unknown)"
    } else {
        &client.user
    };
    let mut name = user.to_owned();
    if !client.database.is_empty() {
        name.push('@');
        name.push_str(&client.database);
    }
    if !client.application.is_empty() {
        name.push('/');
        name.push_str(&client.application);
    }
    name
}

/// Microseconds in words.
pub(super) fn time(us: u64) -> String {
    figures::milliseconds(us as f64 / 1e3)
}

/// Evidence by name.
pub(super) fn facts(facts: Vec<(&str, Value)>) -> Evidence {
    let map: Map<String, Value> = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Evidence::Facts(map)
}

/// Two decimals are all that a reader can use.
pub(super) fn rounded(value: f64) -> Value {
    serde_json::json!((value * 100.0).round() / 100.0)
}

/// A finding about the whole database, or about one statement of it.
pub(super) struct Claim {
    pub(super) rule: &'static str,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) message: String,
    pub(super) n_calls: u64,
    pub(super) total_ms: f64,
    pub(super) source: ImpactSource,
    pub(super) window_s: f64,
    pub(super) evidence: Evidence,
    pub(super) origin: Option<(u32, u64)>,
    pub(super) remedy: Remedy,
}

impl Claim {
    pub(super) fn finding(self, audit: &Audit<'_>) -> Finding {
        let workload = &audit.snapshot.workload;
        let query = self.fingerprint.and_then(|f| workload.query(f));
        let location = self.origin.and_then(|(file, line)| {
            let input = workload.inputs.get(file as usize)?;
            (line > 0 && input.kind == InputKind::Log).then(|| Location {
                file: input.name.clone(),
                line,
                ..Location::default()
            })
        });
        Finding {
            rule: self.rule,
            severity: self.severity,
            confidence: self.confidence,
            subject: Subject {
                fingerprint: self.fingerprint,
                query: query.map(|query| query.text.clone()),
                ..Subject::default()
            },
            message: self.message,
            impact: Impact {
                n_calls: self.n_calls,
                total_time_ms: self.total_ms,
                source: self.source,
                window_s: self.window_s,
                ..Impact::default()
            },
            evidence: self.evidence,
            locations: location.into_iter().collect(),
            remedy: self.remedy,
        }
    }
}

/// Seconds that the logs cover.
pub(super) fn log_window_s(audit: &Audit<'_>) -> f64 {
    let logs = audit
        .snapshot
        .workload
        .inputs
        .iter()
        .filter(|i| i.kind == InputKind::Log);
    let from = logs.clone().filter_map(|input| input.from_us).min();
    let to = logs.filter_map(|input| input.to_us).max();
    from.zip(to)
        .map_or(0.0, |(from, to)| (to - from).max(0) as f64 / 1e6)
}
