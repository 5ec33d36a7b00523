//! Audit → report: runs the rules, ranks what they found, and says what was left alone and what could not be judged.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Audit, Rule, Scope, literals, needs};
use crate::{
    finding::{
        Evidence, Finding, LeftAlone, Observation, Report, RuleOutcome, ServerSummary, Skipped,
        Summary, TopQuery, WhyNotEntry,
    },
    plan::WhatIfKind,
    sql::{Fingerprint, StatementKind},
    workload::{InputFacts, InputKind, Loads, Query, SampleFacts, Workload},
};

/// Statements in the report's opening table: what a person takes in at a glance.
const MAX_TOP_QUERIES: usize = 10;

/// Runs `rules` over an audit and reports what is within `scope`. Deterministic: the same audit gives the same report. `report.run` is left to the
/// caller, who has a clock.
#[must_use]
pub fn judge(audit: &Audit<'_>, rules: &[&'static Rule], scope: &Scope) -> Report {
    let loads = Loads::of(&audit.snapshot.workload);
    let findings = findings(audit, rules, scope);
    let queries = queries(audit, scope);
    Report {
        server: server_summary(audit),
        observations: observations(audit),
        rules: rules
            .iter()
            .map(|rule| outcome(rule, audit, &findings))
            .collect(),
        top_queries: top_queries(&queries, &loads),
        left_alone: left_alone(&queries, &loads, &findings),
        summary: summary(audit),
        why_not: why_not(audit),
        notes: notes(audit, rules, scope),
        findings,
        ..Report::default()
    }
}

fn findings(audit: &Audit<'_>, rules: &[&'static Rule], scope: &Scope) -> Vec<Finding> {
    let found = rules.iter().flat_map(|rule| (rule.check)(audit));
    let mut findings: Vec<Finding> = found
        .filter(|finding| scope.keeps_finding(finding))
        .collect();
    for finding in &mut findings {
        literals::withhold(finding, audit);
    }
    findings.sort_by_cached_key(Rank::of);
    findings
}

fn queries<'a>(audit: &Audit<'a>, scope: &Scope) -> Vec<&'a Query> {
    let catalog = audit.snapshot.catalog.as_ref();
    let queries = audit.snapshot.workload.queries.iter();
    queries
        .filter(|query| scope.keeps_query(query, catalog))
        .collect()
}

/// Order of findings: most time saved per day, then gravest, then most time spent, then by id.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    saved_us_per_day: std::cmp::Reverse<u64>,
    severity: std::cmp::Reverse<crate::finding::Severity>,
    saved_us: std::cmp::Reverse<u64>,
    total_us: std::cmp::Reverse<u64>,
    id: String,
}

impl Rank {
    fn of(finding: &Finding) -> Self {
        let micros = |ms: f64| std::cmp::Reverse((ms * 1e3).max(0.0) as u64);
        Self {
            saved_us_per_day: micros(finding.impact.saved_ms_per_day()),
            severity: std::cmp::Reverse(finding.severity),
            saved_us: micros(finding.impact.saved_time_ms),
            total_us: micros(finding.impact.total_time_ms),
            id: finding.id(),
        }
    }
}

fn server_summary(audit: &Audit<'_>) -> Option<ServerSummary> {
    let server = &audit.snapshot.catalog.as_ref()?.server;
    Some(ServerSummary {
        version_num: server.version_num,
        database: server.database.clone(),
        is_standby: server.is_standby,
        what_if: audit.advice.what_if,
    })
}

fn observations(audit: &Audit<'_>) -> Vec<Observation> {
    let workload = &audit.snapshot.workload;
    let inputs = workload
        .inputs
        .iter()
        .filter(|input| input.n_statements > 0 || input.from_us.is_some())
        .map(|input| observation(input, workload));
    inputs.chain(catalog_observation(audit)).collect()
}

fn observation(input: &InputFacts, workload: &Workload) -> Observation {
    Observation {
        source: match input.kind {
            InputKind::Log | InputKind::SqlFile => "log",
            InputKind::PgStatStatements => "pg_stat_statements",
            InputKind::PoolerLog => "pgbouncer",
        }
        .to_owned(),
        name: input.name.clone(),
        from: rfc3339(input.from_us),
        to: rfc3339(input.to_us),
        window_s: input.window_s(),
        n_statements: input.n_statements,
        total_time_ms: time_seen_ms(input, workload),
    }
}

/// Database time that an input saw; 0 where several inputs of its kind share their statistics.
fn time_seen_ms(input: &InputFacts, workload: &Workload) -> f64 {
    let of_pgss = input.kind == InputKind::PgStatStatements;
    let siblings = workload
        .inputs
        .iter()
        .filter(|other| (other.kind == InputKind::PgStatStatements) == of_pgss);
    match (siblings.count(), of_pgss) {
        (1, true) => {
            let pgss = workload.queries.iter().filter_map(|q| q.pgss.as_ref());
            pgss.map(|pgss| pgss.total_ms).sum()
        }
        (1, false) => {
            let logs = workload.queries.iter().filter_map(|q| q.log.as_ref());
            logs.map(|log| log.total_us).sum::<u64>() as f64 / 1e3
        }
        _ => 0.0,
    }
}

fn catalog_observation(audit: &Audit<'_>) -> Option<Observation> {
    let server = &audit.snapshot.catalog.as_ref()?.server;
    Some(Observation {
        source: "catalog".to_owned(),
        name: format!("usage counters of {}", server.database),
        from: rfc3339(server.stats_window.since_us),
        to: rfc3339(Some(server.stats_window.read_at_us).filter(|&us| us != 0)),
        window_s: server.stats_window.seconds(),
        ..Observation::default()
    })
}

/// RFC 3339 in UTC; empty when unknown.
fn rfc3339(micros: Option<i64>) -> String {
    micros
        .and_then(|us| Timestamp::from_microsecond(us).ok())
        .map(|time| time.to_string())
        .unwrap_or_default()
}

fn outcome(rule: &Rule, audit: &Audit<'_>, findings: &[Finding]) -> RuleOutcome {
    let n_findings = findings.iter().filter(|f| f.rule == rule.id).count();
    let (status, lacked) = needs::status(rule, audit, n_findings);
    RuleOutcome {
        meta: rule.meta(),
        status,
        lacked,
    }
}

fn top_queries(queries: &[&Query], loads: &Loads) -> Vec<TopQuery> {
    let timed = queries
        .iter()
        .copied()
        .filter(|query| query.total_ms() > 0.0);
    let mut heaviest: Vec<&Query> = timed.collect();
    heaviest.sort_by(|a, b| {
        let heavier = loads.load(b).total_cmp(&loads.load(a));
        heavier.then(a.fingerprint.cmp(&b.fingerprint))
    });
    heaviest.truncate(MAX_TOP_QUERIES);
    let top = heaviest
        .into_iter()
        .map(|query| top_query(query, loads.share(query)));
    top.collect()
}

fn top_query(query: &Query, share: f64) -> TopQuery {
    let pgss = query.pgss.as_ref();
    let log = query.log.as_ref().filter(|log| log.n_timed > 0);
    TopQuery {
        fingerprint: query.fingerprint,
        query: query.text.clone(),
        share,
        n_calls: query.n_calls(),
        n_logged: query.estimate().map(|_| query.n_seen()),
        n_calls_error: query.estimate().map(|estimate| estimate.n_calls_error),
        total_ms: query.total_ms(),
        mean_ms: query.mean_ms(),
        p95_ms: log.map(|log| log.p95_us as f64 / 1e3),
        rows_per_call: query.rows_per_call(),
        hit_ratio: pgss.and_then(|pgss| {
            let blocks = pgss.shared_blks_hit + pgss.shared_blks_read;
            (blocks > 0).then(|| pgss.shared_blks_hit as f64 / blocks as f64)
        }),
        io_ms: pgss.map(|pgss| pgss.io_ms).filter(|&ms| ms > 0.0),
        temp_blks: pgss.map(|pgss| pgss.temp_blks),
        wal_bytes: pgss.map(|pgss| pgss.wal_bytes),
    }
}

fn left_alone(queries: &[&Query], loads: &Loads, findings: &[Finding]) -> LeftAlone {
    let concerned: BTreeSet<Fingerprint> = findings.iter().flat_map(fingerprints).collect();
    let alone = || {
        queries
            .iter()
            .filter(|query| !concerned.contains(&query.fingerprint))
    };
    LeftAlone {
        n_fingerprints: alone().count() as u64,
        share: alone().map(|query| loads.share(query)).sum(),
    }
}

/// The statements that a finding is about.
fn fingerprints(finding: &Finding) -> impl Iterator<Item = Fingerprint> {
    let served = match &finding.evidence {
        Evidence::Index(evidence) => evidence.queries.as_slice(),
        _ => &[],
    };
    finding
        .subject
        .fingerprint
        .into_iter()
        .chain(served.iter().map(|query| query.fingerprint))
}

fn summary(audit: &Audit<'_>) -> Summary {
    let workload = &audit.snapshot.workload;
    let windows = workload.inputs.iter().map(InputFacts::window_s);
    Summary {
        n_statements: workload.queries.iter().map(Query::n_seen).sum(),
        n_fingerprints: workload.queries.len() as u64,
        window_s: windows.fold(0.0, f64::max),
        skipped: skipped(audit),
    }
}

/// Everything that could not be used, equal reasons added up, most frequent first.
fn skipped(audit: &Audit<'_>) -> Vec<Skipped> {
    let mut by_reason: BTreeMap<String, Skipped> = BTreeMap::new();
    let mut add = |reason: &str, n: u64, example: String| {
        let entry = by_reason.entry(reason.to_owned()).or_insert(Skipped {
            reason: reason.to_owned(),
            n: 0,
            example,
        });
        entry.n += n;
    };
    let workload = &audit.snapshot.workload;
    for skip in &workload.skipped {
        add(&skip.reason, skip.n, skip.example.clone());
    }
    for query in &workload.queries {
        let unread = query
            .shape_error
            .as_ref()
            .filter(|_| query.kind != StatementKind::Utility);
        if let Some(error) = unread {
            add(
                &format!("statements read by their words alone: {error}"),
                1,
                query.text.clone(),
            );
        }
    }
    for (reason, n, fingerprint) in &audit.advice.skipped {
        let text = workload.query(*fingerprint).map(|query| query.text.clone());
        add(reason, *n, text.unwrap_or_default());
    }
    for unread in audit.snapshot.catalog.iter().flat_map(|c| &c.unread) {
        add(unread, 1, String::new());
    }
    for pgss in workload.inputs.iter().filter_map(|i| i.pgss.as_ref()) {
        if pgss.n_hidden > 0 {
            let example = "GRANT pg_read_all_stats TO the auditing role";
            add(
                "statements of other roles, text not readable",
                pgss.n_hidden,
                example.to_owned(),
            );
        }
    }
    let mut skipped: Vec<Skipped> = by_reason.into_values().filter(|skip| skip.n > 0).collect();
    skipped.sort_by_key(|skip| std::cmp::Reverse(skip.n));
    skipped
}

/// What advice says about statements that got no index. Definitions with literals in them are counted by their reason alone.
fn why_not(audit: &Audit<'_>) -> Vec<WhyNotEntry> {
    let workload = &audit.snapshot.workload;
    let entries = audit.advice.why_not.iter().filter_map(|entry| {
        let query = workload.query(entry.fingerprint)?;
        let shown = |sql: &&String| audit.settings.show_literals || !sql.contains('\'');
        Some(WhyNotEntry {
            fingerprint: entry.fingerprint,
            query: query.text.clone(),
            tried: entry.tried.iter().filter(shown).cloned().collect(),
            best_ratio: entry.best_ratio,
            reason: entry.reason.clone(),
        })
    });
    entries.collect()
}

/// Remarks without which the findings would be misread.
fn notes(audit: &Audit<'_>, rules: &[&'static Rule], scope: &Scope) -> Vec<String> {
    let mut notes = Vec::new();
    if !scope.is_everything() {
        notes.push(format!("filtered: {}", scope.in_words()));
    }
    if rules.is_empty() {
        notes.push("no rule was run".to_owned());
    }
    let stopped = audit.advice.pricing.contains("stopped early");
    if audit.snapshot.catalog.is_some() && (audit.advice.what_if == WhatIfKind::None || stopped) {
        notes.push(format!("candidates: {}", audit.advice.pricing));
    }
    let n_more_units = audit.snapshot.workload.pace.n_more_units;
    if n_more_units > 0 && !audit.settings.budgets.is_empty() {
        notes.push(format!(
            "budgets: {n_more_units} units of work were not held against them: too many different tags"
        ));
    }
    let sampled = audit.snapshot.workload.sampled.iter();
    notes.extend(sampled.map(SampleFacts::in_words));
    let server = audit.snapshot.catalog.as_ref().map(|c| &c.server);
    for input in &audit.snapshot.workload.inputs {
        if input.kind == InputKind::Log {
            let limits = needs::limits_of_log(input, server);
            notes.extend(
                limits
                    .iter()
                    .map(|limit| format!("{}: {limit}", input.name)),
            );
        }
        notes.extend(
            input
                .blind_spots
                .iter()
                .map(|blind| format!("{}: {blind}", input.name)),
        );
        if let Some(n) = input
            .pgss
            .as_ref()
            .and_then(|pgss| pgss.n_evicted)
            .filter(|&n| n > 0)
        {
            notes.push(format!(
                "pg_stat_statements evicted entries {n} times: totals are a lower bound (raise pg_stat_statements.max)"
            ));
        }
    }
    notes
}
