//! Statements that are parsed and planned anew each time, where that is a good part of their time.

use super::{
    Audit, Example, Expect, Need, Rule,
    clients::{self, Claim, facts, rounded, time},
};
use crate::{
    finding::{Confidence, Finding, ImpactSource, Remedy, RemedyKind, Severity},
    workload::{LogStats, Query},
};

pub(super) static RULE: Rule = Rule {
    id: "unprepared-repeats",
    summary: "the same statements are parsed and planned anew each time, and that is a good part of the database's time",
    severity: Severity::Info,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::AnyOf(&[
        &[Need::EachExecution, Need::Durations],
        &[Need::PlanningTimes],
    ])],
    check,
};

/// Executions of a statement from which on preparing it once would have paid.
const MIN_CALLS: u64 = 100;
/// Parse messages per execution from which on it counts as parsed each time.
const MIN_PARSES: f64 = 0.5;
/// Share of all the database's time that goes into parsing and planning these statements.
const MIN_SHARE: f64 = 0.2;
/// From this share on it is a warning.
const GRAVE_SHARE: f64 = 0.5;
/// Statements named in the evidence.
const MAX_NAMED: usize = 10;

const DOCS: &str = "\
Finds statements that run often, and are parsed and planned anew each time, where parsing and planning are a good part of all the time that the database spends.

**Why it matters.** A look-up by key executes in some 20 µs and may take 200 µs to parse and plan, with joins much more. A named prepared statement is parsed once for each connection, and planned once when one plan is good for all values.

**How it decides.** From a log that has the times of parse and bind (log_min_duration_statement = 0; extended protocol): statements with 100 executions and more, at least every second with a parse of its own. Their parse and bind time is at least \
20 % of the time of all statements; from 50 % on it is a warning. Connected, with pg_stat_statements.track_planning: the same of planning time, for statements planned on nearly each call. Statements with values in their text, sent by \
the simple protocol, are named too, but their planning is within their duration and can't be told.

**When it is wrong.** Behind PgBouncer before 1.21, or without max_prepared_statements, named statements break in transaction mode: then ask for the pooler's setting first. With skewed data a plan for all values may be the worse one (see generic-plan-regression).

**References.** PostgreSQL 17, 53.2.3 Extended Query; PgBouncer 1.21, max_prepared_statements; PostgreSQL 17, F.30 pg_stat_statements.track_planning.";

static EXAMPLES: &[Example] = &[
    Example {
        title: "psycopg with prepare_threshold=None: a join of three tables, parsed 130 times",
        ddl: "",
        log: include_str!("../../fixtures/pools/unprepared.log"),
        expect: Expect::Fires,
    },
    Example {
        title: "the same, prepared",
        ddl: "",
        log: include_str!("../../fixtures/pools/prepared.log"),
        expect: Expect::Silence,
    },
];

/// A statement that is parsed anew each time.
struct Repeat<'a> {
    query: &'a Query,
    n_calls: u64,
    plan_ms: f64,
}

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let queries = &audit.snapshot.workload.queries;
    let log_ms = |log: &LogStats| (log.total_us + log.plan_us) as f64 / 1e3;
    let from_log: Vec<Repeat<'_>> = queries.iter().filter_map(repeat_in_log).collect();
    let all_ms: f64 = queries
        .iter()
        .filter_map(|query| query.log.as_ref())
        .map(log_ms)
        .sum();
    if let Some(finding) = claim(audit, from_log, all_ms, ImpactSource::Log) {
        return vec![finding];
    }
    let counted: Vec<Repeat<'_>> = queries.iter().filter_map(repeat_counted).collect();
    let pgss = queries.iter().filter_map(|query| query.pgss.as_ref());
    let all_ms: f64 = pgss.map(|pgss| pgss.total_ms + pgss.plan_ms).sum();
    claim(audit, counted, all_ms, ImpactSource::PgStatStatements)
        .into_iter()
        .collect()
}

fn repeat_in_log(query: &Query) -> Option<Repeat<'_>> {
    let log = query.log.as_ref()?;
    let parsed_each_time = log.n_parses as f64 >= MIN_PARSES * log.n_calls as f64;
    (log.n_calls >= MIN_CALLS && parsed_each_time && log.plan_us > 0).then(|| Repeat {
        query,
        n_calls: log.n_calls,
        plan_ms: log.plan_us as f64 / 1e3,
    })
}

fn repeat_counted(query: &Query) -> Option<Repeat<'_>> {
    let pgss = query.pgss.as_ref()?;
    (pgss.n_calls >= MIN_CALLS && pgss.plan_ms > 0.0).then_some(Repeat {
        query,
        n_calls: pgss.n_calls,
        plan_ms: pgss.plan_ms,
    })
}

fn claim(
    audit: &Audit<'_>,
    mut repeats: Vec<Repeat<'_>>,
    all_ms: f64,
    source: ImpactSource,
) -> Option<Finding> {
    repeats.sort_by(|a, b| {
        b.plan_ms
            .total_cmp(&a.plan_ms)
            .then(a.query.fingerprint.cmp(&b.query.fingerprint))
    });
    let plan_ms: f64 = repeats.iter().map(|repeat| repeat.plan_ms).sum();
    let share = plan_ms / all_ms.max(f64::MIN_POSITIVE);
    let heaviest = repeats.first().filter(|_| share >= MIN_SHARE)?;
    let n_calls: u64 = repeats.iter().map(|repeat| repeat.n_calls).sum();
    let each_us = heaviest.plan_ms * 1e3 / heaviest.n_calls.max(1) as f64;
    let others = match repeats.len() {
        1 => String::new(),
        n => format!(" (and {} more statements)", n - 1),
    };
    let named: Vec<String> = repeats
        .iter()
        .take(MAX_NAMED)
        .map(|repeat| repeat.query.text.clone())
        .collect();
    let finding = Claim {
        rule: RULE.id,
        severity: if share >= GRAVE_SHARE { Severity::Warning } else { Severity::Info },
        confidence: if source == ImpactSource::Log { Confidence::High } else { Confidence::Medium },
        fingerprint: None,
        message: format!(
            "{:.0} % of the database's time goes into parsing and planning the same statements anew: {} executions, the heaviest{others} with {} of it each time",
            share * 100.0,
            n_calls,
            time(each_us as u64),
        ),
        n_calls,
        total_ms: plan_ms,
        source,
        window_s: if source == ImpactSource::Log { clients::log_window_s(audit) } else { 0.0 },
        evidence: facts(vec![
            ("planning_share", rounded(share)),
            ("planning_ms_total", rounded(plan_ms)),
            ("planning_us_each_time", rounded(each_us)),
            ("n_statements", repeats.len().into()),
            ("n_statements_with_values_in_their_text", with_values_in_text(audit).into()),
            ("statements", named.into()),
            ("pooler", clients::pooler(audit).unwrap_or_else(|| "none seen".to_owned()).into()),
        ]),
        origin: heaviest.query.log.as_ref().map(|log| log.first_origin),
        remedy: remedy(audit),
    }
    .finding(audit);
    Some(finding)
}

/// Statements of the simple protocol whose text is another one nearly each time.
fn with_values_in_text(audit: &Audit<'_>) -> usize {
    let logs = audit
        .snapshot
        .workload
        .queries
        .iter()
        .filter_map(|query| query.log.as_ref());
    logs.filter(|log| {
        log.protocol.n_simple >= MIN_CALLS && log.n_value_sets * 2 >= log.protocol.n_simple
    })
    .count()
}

fn remedy(audit: &Audit<'_>) -> Remedy {
    let driver = "let the driver prepare them by name (psycopg prepare_threshold, JDBC prepareThreshold, pgx's default mode, node-postgres with a name, Npgsql Max Auto Prepare)";
    let hint = match clients::pooler(audit) {
        Some(why) => format!(
            "a pooler seems to stand in between ({why}): with PgBouncer set max_prepared_statements (1.21 and newer) first, other poolers likewise; then {driver}"
        ),
        None => format!(
            "is there a pooler in transaction mode? Then it must support prepared statements first (PgBouncer 1.21 and newer: max_prepared_statements). Otherwise {driver}"
        ),
    };
    Remedy {
        kind: RemedyKind::Other,
        hint,
        ..Remedy::default()
    }
}
