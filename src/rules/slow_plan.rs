//! `slow-plan`: what makes a logged plan slow, in plain words.

use super::{
    Audit, Example, Expect, Need, Rule,
    logged_plans::{self, Reviewed, is_about_estimates, is_advised, wants_an_index},
    missing_extended_statistics,
    recommended::{HEAVY_SHARE, SLOW_MS, source_of},
    review::{self, NodeShare, Problem},
};
use crate::{
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactBasis, Remedy, RemedyKind, Severity, Subject,
        figures,
    },
    workload::Loads,
};

pub(super) static RULE: Rule = Rule {
    id: "slow-plan",
    summary: "a logged plan shows where the time goes: rows read for nothing, spills, estimates far off, triggers, compiling",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Plans, Need::HelpedBy(&[Need::Catalog])],
    check,
};

/// Share of the plan's time from which a problem is what makes it slow.
const MIN_SHARE: f64 = 0.2;

/// How long a plan must take for a share of the database's time to count: of a test's few statements each has one per cent.
const MIN_HEAVY_MS: f64 = 10.0;

/// Hints that one finding gives.
const MAX_HINTS: usize = 3;

const DOCS: &str = "\
What it finds: statements whose slowest plan, as `auto_explain` logged it, shows why it is slow: rows read and thrown away, an index read for its order before a LIMIT, a table read again and \
again, pairs compared in vain, a product without a condition, sorts, hashes and aggregates that went to disk, lossy bitmaps, trips to the table in an index-only scan, OFFSET, partitions without \
rows, subqueries run once for each row, estimates far off, planning, compiling (JIT), triggers, and parallel workers that did not come.

## Why it matters

A mean time says that a statement is slow, a plan says why. Much of it no index mends: a spilled sort wants memory, a foreign key's trigger an index on another table, JIT a setting.

## How it decides

Each node's own share of the time is worked out (loops and parallel workers counted), and each known problem weighed by the share that hangs on it. A problem is told from a fifth of the \
plan's time; where nothing was timed (`log_timing` or `log_analyze` off), of its cost, with medium confidence. Limits per problem: 1,000 rows thrown away and nine in ten; estimates ten times off \
at a hundred rows and more; 100 repeats; disk used at all; a tenth of the time in one trigger, a fifth in compiling, half in reads. Problems that an index mends are left to the rules on indexes \
where these have an index for the statement. It is a warning from a mean of 100 ms, or 1 % of the database's time where the plan took 10 ms, else info. Where the work is for nothing (rows thrown away, \
scans repeated, triggers, compiling), time saved is the share of the node, an upper bound; for what would be done in another way (spills, estimates) none is named. Statements that begin with EXPLAIN \
are somebody's own look at a plan, and left alone.

## When it is wrong

- The slowest plan of a statement may be a rare one: other values, a cold cache.
- `auto_explain.log_analyze` with timing slows down nodes that run millions of times, and so their share looks larger.

## References

- PostgreSQL documentation, 14.1 (using EXPLAIN), F.4 (auto_explain)
- Limits as in PEV2 and explain.depesz.com, where these mark a node
";

const PLAN_LOG: &str = "2026-11-22 20:00:01.900 UTC [4711] LOG:  duration: 812.402 ms  plan:\n\
\tQuery Text: SELECT id, title FROM jobs WHERE salary = 90210 AND grade = 'x'\n\
\tSeq Scan on jobs  (cost=0.00..9000.00 rows=4 width=40) (actual time=2.100..811.900 rows=3 loops=1)\n\
\t  Filter: ((salary = 90210) AND (grade = 'x'::text))\n\
\t  Rows Removed by Filter: 299997\n\
2026-11-22 20:00:01.901 UTC [4711] LOG:  duration: 812.502 ms  statement: SELECT id, title FROM jobs WHERE salary = 90210 AND grade = 'x'\n";

const EXAMPLES: &[Example] = &[
    Example {
        title: "a table read for three rows",
        ddl: "",
        log: PLAN_LOG,
        expect: Expect::Finding("jobs"),
    },
    Example {
        title: "a sort on disk",
        ddl: "",
        log: "2026-11-22 20:00:01.900 UTC [4711] LOG:  duration: 912.402 ms  plan:\n\
\tQuery Text: SELECT id, title FROM jobs ORDER BY title\n\
\tSort  (cost=9000.00..9750.00 rows=300000 width=40) (actual time=700.000..900.000 rows=300000 loops=1)\n\
\t  Sort Key: title\n\
\t  Sort Method: external merge  Disk: 20480kB\n\
\t  ->  Seq Scan on jobs  (cost=0.00..5000.00 rows=300000 width=40) (actual time=0.010..90.000 rows=300000 loops=1)\n\
2026-11-22 20:00:01.901 UTC [4711] LOG:  duration: 912.502 ms  statement: SELECT id, title FROM jobs ORDER BY title\n",
        expect: Expect::Finding("jobs"),
    },
    Example {
        title: "all rows that are read are wanted",
        ddl: "",
        log: "2026-11-22 20:00:01.900 UTC [4711] LOG:  duration: 312.402 ms  plan:\n\
\tQuery Text: SELECT sum(salary) FROM jobs WHERE salary > 0\n\
\tAggregate  (cost=9000.00..9000.01 rows=1 width=8) (actual time=311.000..311.001 rows=1 loops=1)\n\
\t  ->  Seq Scan on jobs  (cost=0.00..8000.00 rows=290000 width=4) (actual time=0.010..211.900 rows=299000 loops=1)\n\
\t        Filter: (salary > 0)\n\
\t        Rows Removed by Filter: 1000\n\
2026-11-22 20:00:01.901 UTC [4711] LOG:  duration: 312.502 ms  statement: SELECT sum(salary) FROM jobs WHERE salary > 0\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let loads = Loads::of(&audit.snapshot.workload);
    let reviewed = logged_plans::reviewed(audit);
    reviewed
        .iter()
        .filter_map(|one| finding(audit, &loads, one))
        .collect()
}

fn finding(audit: &Audit<'_>, loads: &Loads, one: &Reviewed<'_>) -> Option<Finding> {
    let query = one.query;
    let is_advised = is_advised(audit, query.fingerprint);
    let are_estimates_answered = missing_extended_statistics::answers(audit, loads, one);
    let problems: Vec<&Problem> = one
        .problems
        .iter()
        .filter(|problem| problem.share >= MIN_SHARE)
        .filter(|problem| !(is_advised && wants_an_index(problem.kind)))
        .filter(|problem| !(are_estimates_answered && is_about_estimates(problem.kind)))
        .collect();
    let first = *problems.first()?;
    let share = loads.share(query);
    let duration_ms = one.logged.duration_us as f64 / 1e3;
    let is_heavy =
        query.mean_ms() >= SLOW_MS || (share >= HEAVY_SHARE && duration_ms >= MIN_HEAVY_MS);
    let relation = logged_plans::relation(audit, first);
    let wasted = if first.kind.is_waste() {
        first.share
    } else {
        0.0
    };
    let what = if one.is_measured() {
        let ms = figures::milliseconds(duration_ms);
        format!("{} of a plan's {ms}", figures::share(first.share))
    } else {
        format!("{} of a plan's cost", figures::share(first.share))
    };
    let evidence = serde_json::json!({
        "plan_ms": duration_ms,
        "problems": one.problems.iter().map(in_words).collect::<Vec<_>>(),
        "where_it_goes": review::where_it_goes(&one.plan).iter().map(NodeShare::in_words).collect::<Vec<_>>(),
    });
    Some(Finding {
        rule: RULE.id,
        severity: if is_heavy {
            Severity::Warning
        } else {
            Severity::Info
        },
        confidence: if one.is_measured() {
            Confidence::High
        } else {
            Confidence::Medium
        },
        subject: Subject {
            relation,
            columns: first.columns.clone(),
            fingerprint: Some(query.fingerprint),
            query: Some(query.text.clone()),
            ..Subject::default()
        },
        message: format!("{}: {} ({what})", first.node, first.message),
        impact: Impact {
            n_calls: query.n_calls(),
            total_time_ms: query.total_ms(),
            saved_interval_ms: None,
            saved_time_ms: query.total_ms() * wasted,
            saved_share: share * wasted,
            basis: if !first.kind.is_waste() {
                ImpactBasis::None
            } else if one.is_measured() {
                ImpactBasis::Measured
            } else {
                ImpactBasis::CalibratedEstimate
            },
            source: source_of(query),
            window_s: Loads::window_s(&audit.snapshot.workload, query),
        },
        evidence: match evidence {
            serde_json::Value::Object(facts) => Evidence::Facts(facts),
            _ => Evidence::None,
        },
        locations: Vec::new(),
        remedy: Remedy {
            kind: RemedyKind::Other,
            hint: hint(&problems),
            ..Remedy::default()
        },
    })
}

/// `sort-spill, 34.2 %: Sort: the sort …`
fn in_words(problem: &Problem) -> String {
    format!(
        "{}, {}: {}: {}",
        problem.kind.id(),
        figures::share(problem.share),
        problem.node,
        problem.message
    )
}

/// What would help, the largest share first, each once.
fn hint(problems: &[&Problem]) -> String {
    let mut hints: Vec<&str> = Vec::new();
    for problem in problems {
        if !hints.contains(&problem.hint.as_str()) {
            hints.push(&problem.hint);
        }
    }
    hints.truncate(MAX_HINTS);
    hints.join("; ")
}
