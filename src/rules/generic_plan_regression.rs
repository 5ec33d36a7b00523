//! A prepared statement that is slower from its sixth execution on: one plan for all values is the wrong one for some.

use super::{
    Audit, Example, Expect, Need, Rule,
    clients::{self, Claim, facts, rounded, time},
};
use crate::{
    finding::{Confidence, Finding, ImpactSource, Remedy, RemedyKind, Severity},
    workload::{PlanPhases, Query},
};

pub(super) static RULE: Rule = Rule {
    id: "generic-plan-regression",
    summary: "a named prepared statement is slower from its sixth execution on, when Postgres plans it once for all values",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::EachExecution,
        Need::Durations,
        Need::Sessions,
        Need::HelpedBy(&[Need::Values]),
    ],
    check,
};

/// Executions on either side before they say something: two sessions' first five, and as many behind them.
const MIN_EXECUTIONS: u64 = 10;
/// Sets of values that were executed on both sides.
const MIN_SAME_VALUES: u64 = 3;
/// As many times slower, on the median or for the same values.
const FACTOR: u64 = 3;
/// And by so much, microseconds: below, it is noise and nobody waits.
const MIN_SLOWER_US: u64 = 2_000;

const DOCS: &str = "\
Finds named prepared statements whose executions get slower when Postgres may have changed to a generic plan.

**Why it matters.** With plan_cache_mode = auto the first five executions of a prepared statement are planned for their values; from the sixth on Postgres keeps one plan for all values if it expects that to cost no more. \
With skewed data or a LIMIT that expectation can be far off, and a statement of 0.1 ms then takes 100 ms: only in production, where connections live long enough, and never in psql.

**How it decides.** From a log with durations. Only statements that the log saw being prepared count, so that the number of each execution in its session is known. On either side there are at least 10 executions. The median from the sixth \
on is 3 times the median of the first five, and 2 ms more; or, of at least 3 sets of values that ran on both sides, half got slower, and together they take 3 times as long. Where values repeat, those that did must agree, and then it is sure. \
With plan_cache_mode = force_custom_plan on the server nothing is reported.

**When it is wrong.** If the first five executions of every session ask for other values than later ones (a warm-up), and no values repeat, the medians compare different things: the confidence is medium then. A table that grows during the log slows later executions too.

**References.** PostgreSQL 17, PREPARE, notes; 19.7.4 plan_cache_mode; src/backend/utils/cache/plancache.c, choose_custom_plan; pgx issue 1158.";

static EXAMPLES: &[Example] = &[
    Example {
        title: "the latest order of a rare status: the generic plan walks the index of the ORDER BY",
        ddl: "",
        log: include_str!("../../fixtures/pools/generic-plan.log"),
        expect: Expect::Fires,
    },
    Example {
        title: "a prepared look-up that stays as fast as it was",
        ddl: "",
        log: include_str!("../../fixtures/pools/prepared.log"),
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let server = audit.snapshot.catalog.as_ref().map(|c| &c.server);
    if server.and_then(|s| s.setting("plan_cache_mode")) == Some("force_custom_plan") {
        return Vec::new();
    }
    let queries = audit.snapshot.workload.queries.iter();
    let judged = queries.filter_map(|query| {
        let phases = query.log.as_ref()?.phases?;
        let confidence = confidence(&phases)?;
        Some(finding(audit, query, &phases, confidence))
    });
    judged.collect()
}

fn confidence(phases: &PlanPhases) -> Option<Confidence> {
    let slower = |before: u64, after: u64| {
        after >= before.saturating_mul(FACTOR) && after >= before + MIN_SLOWER_US
    };
    if phases.first.n < MIN_EXECUTIONS || phases.later.n < MIN_EXECUTIONS {
        return None;
    }
    if phases.n_same_values >= MIN_SAME_VALUES {
        let half = phases.n_same_values_slower * 2 >= phases.n_same_values;
        let together = slower(phases.same_values_first_us, phases.same_values_later_us);
        return (half && together).then_some(Confidence::High);
    }
    slower(phases.first.p50_us, phases.later.p50_us).then_some(Confidence::Medium)
}

fn finding(
    audit: &Audit<'_>,
    query: &Query,
    phases: &PlanPhases,
    confidence: Confidence,
) -> Finding {
    let same = match phases.n_same_values {
        0 => String::new(),
        n => format!(
            "; of {n} sets of values that ran on both sides, {} got slower ({} before, {} after)",
            phases.n_same_values_slower,
            time(phases.same_values_first_us),
            time(phases.same_values_later_us),
        ),
    };
    let log = query.log.clone().unwrap_or_default();
    let first_mean_us = phases.first.total_us / phases.first.n.max(1);
    let expected_us = first_mean_us * phases.later.n;
    let mut finding = Claim {
        rule: RULE.id,
        severity: Severity::Warning,
        confidence,
        fingerprint: Some(query.fingerprint),
        message: format!(
            "takes {} in its first five executions and {} from the sixth on (medians), when Postgres may plan it once for all values{same}",
            time(phases.first.p50_us),
            time(phases.later.p50_us),
        ),
        n_calls: phases.first.n + phases.later.n,
        total_ms: (phases.first.total_us + phases.later.total_us) as f64 / 1e3,
        source: ImpactSource::Log,
        window_s: clients::log_window_s(audit),
        evidence: facts(vec![
            ("n_first_executions", phases.first.n.into()),
            ("first_ms_median", rounded(phases.first.p50_us as f64 / 1e3)),
            ("first_ms_p95", rounded(phases.first.p95_us as f64 / 1e3)),
            ("n_later_executions", phases.later.n.into()),
            ("later_ms_median", rounded(phases.later.p50_us as f64 / 1e3)),
            ("later_ms_p95", rounded(phases.later.p95_us as f64 / 1e3)),
            ("first_planning_ms_mean", rounded(phases.first.plan_us as f64 / 1e3 / phases.first.n.max(1) as f64)),
            ("later_planning_ms_mean", rounded(phases.later.plan_us as f64 / 1e3 / phases.later.n.max(1) as f64)),
        ]),
        origin: Some(log.first_origin),
        remedy: remedy(),
    }
    .finding(audit);
    finding.impact.saved_time_ms = phases.later.total_us.saturating_sub(expected_us) as f64 / 1e3;
    finding.impact.basis = crate::finding::ImpactBasis::Measured;
    finding
}

fn remedy() -> Remedy {
    Remedy {
        kind: RemedyKind::Setting,
        hint: "ALTER ROLE <the application's role> SET plan_cache_mode = force_custom_plan (12 and newer; PgBouncer does not pass it from PGOPTIONS), or have the driver not name this statement \
               (JDBC prepareThreshold=0, psycopg prepare_threshold=None, pgx QueryExecModeExec); an index that serves the filter and the order together makes both plans the same"
            .to_owned(),
        ..Remedy::default()
    }
}
