//! `missing-extended-statistics`: columns that depend on each other, so that the planner's estimate of both together is far off.

use super::{
    Audit, Example, Expect, Need, Rule,
    logged_plans::{self, Reviewed},
    recommended::{HEAVY_SHARE, SLOW_MS, source_of},
    review::{self, Condition, Problem, ProblemKind},
    stale_statistics::Staleness,
};
use crate::{
    advise,
    catalog::Relation,
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactBasis, Remedy, RemedyKind, Severity, Subject,
        figures,
    },
    plan::PlanNode,
    sql::quote_identifier,
    workload::Loads,
};

pub(super) static RULE: Rule = Rule {
    id: "missing-extended-statistics",
    summary: "two columns depend on each other, and the planner's estimate of both together is far off",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Plans, Need::Catalog, Need::ColumnStatistics],
    check,
};

/// Share of the plan that must hang on the estimate.
const MIN_SHARE: f64 = 0.2;

/// `NAMEDATALEN` − 1
const MAX_NAME_BYTES: usize = 63;

/// How far a single column's statistics may be off before they are what is wrong.
const TOLERANCE: f64 = 3.0;

const DOCS: &str = "\
What it finds: tables where a logged plan (`auto_explain` with `log_analyze`) expected a tenth or less, or ten times as many rows or more, of what came for equalities on two or more columns, \
although each column's own statistics are right.

## Why it matters

The planner multiplies the shares of the single conditions, as if city and postcode had nothing to do with each other. An estimate of 3 rows where 30,000 come takes a nested loop where a hash \
join belongs. No index mends that.

## How it decides

The node where the misestimate begins is a scan of one table whose conditions hold two plain equalities or more; a fifth of the plan's time hangs on nodes that were chosen by its rows (joins, sorts, \
aggregates). The table's statistics are fresh, and no extended statistics on these columns exist. Each column by itself, by its own statistics and the value of that execution, has \
at least as many rows as came (within a factor of three): if one had fewer, its own statistics would be what is wrong. It is a warning from a mean of 100 ms or 1 % of the database's time, else info. \
Whether the plan changes is not priced: it is said as a hypothesis, with medium confidence.

## When it is wrong

- The plan may be right in spite of the estimate: then nothing changes but the figures in EXPLAIN.
- Extended statistics do not help joins between tables, nor conditions of an outer join.
- Each costs ANALYZE a little time; the planner reads them for every statement on the table.

## References

- PostgreSQL documentation, 14.2.2 (extended statistics), 76.2 (multivariate statistics examples)
";

const TOWNS: &str =
    "CREATE TABLE towns (id bigint PRIMARY KEY, country text NOT NULL, region text NOT NULL);
INSERT INTO towns SELECT n, 'c' || n % 50, 'r' || n % 50 FROM generate_series(1, 50000) n;
ANALYZE towns; SELECT pg_sleep(1.2);";

const TOWNS_LOG: &str = "2026-11-22 20:00:01.900 UTC [4711] LOG:  duration: 912.402 ms  plan:\n\
\tQuery Text: SELECT region, count(*) FROM towns WHERE country = 'c7' AND region = 'r7' GROUP BY region\n\
\tGroupAggregate  (cost=0.00..1250.00 rows=1 width=12) (actual time=910.000..910.100 rows=1 loops=1)\n\
\t  ->  Seq Scan on towns  (cost=0.00..1220.00 rows=20 width=4) (actual time=0.010..900.000 rows=1000 loops=1)\n\
\t        Filter: ((country = 'c7'::text) AND (region = 'r7'::text))\n\
\t        Rows Removed by Filter: 49000\n\
2026-11-22 20:00:01.901 UTC [4711] LOG:  duration: 912.502 ms  statement: SELECT region, count(*) FROM towns WHERE country = 'c7' AND region = 'r7' GROUP BY region\n";

const EXAMPLES: &[Example] = &[
    Example {
        title: "a region belongs to one country",
        ddl: TOWNS,
        log: TOWNS_LOG,
        expect: Expect::Finding("towns"),
    },
    Example {
        title: "the statistics exist",
        ddl: "CREATE TABLE towns (id bigint PRIMARY KEY, country text NOT NULL, region text NOT NULL);
CREATE STATISTICS towns_places (dependencies) ON region, country FROM towns;
INSERT INTO towns SELECT n, 'c' || n % 50, 'r' || n % 50 FROM generate_series(1, 50000) n;
ANALYZE towns; SELECT pg_sleep(1.2);",
        log: TOWNS_LOG,
        expect: Expect::Silence,
    },
    Example {
        title: "more rows than the country alone had at the last ANALYZE: its own statistics are wrong",
        ddl: "CREATE TABLE towns (id bigint PRIMARY KEY, country text NOT NULL, region text NOT NULL);
INSERT INTO towns SELECT n, CASE WHEN n % 1000 = 0 THEN 'c7' ELSE 'c1' END, 'r' || n % 50 FROM generate_series(1, 50000) n;
ANALYZE towns; SELECT pg_sleep(1.2);",
        log: TOWNS_LOG,
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let loads = Loads::of(&audit.snapshot.workload);
    let mut findings: Vec<Finding> = Vec::new();
    for one in logged_plans::reviewed(audit) {
        for problem in &one.problems {
            let found = finding(audit, &loads, &one, problem);
            // the same statistics mend every statement on these columns
            findings.extend(found.filter(|new| {
                !findings.iter().any(|old| {
                    old.subject.relation == new.subject.relation
                        && old.subject.columns == new.subject.columns
                })
            }));
        }
    }
    findings
}

/// Does this rule answer for the estimates of a plan?
pub(super) fn answers(audit: &Audit<'_>, loads: &Loads, one: &Reviewed<'_>) -> bool {
    let mut problems = one.problems.iter();
    problems.any(|problem| finding(audit, loads, one, problem).is_some())
}

fn finding(
    audit: &Audit<'_>,
    loads: &Loads,
    one: &Reviewed<'_>,
    problem: &Problem,
) -> Option<Finding> {
    if problem.kind != ProblemKind::RowMisestimate || problem.share < MIN_SHARE {
        return None;
    }
    let node = one.plan.nodes().nth(problem.position)?;
    let actual = node.actual.as_ref()?;
    let catalog = audit.snapshot.catalog.as_ref()?;
    let name = logged_plans::relation(audit, problem)?;
    let relation = catalog.relation(&name)?;
    let parts = equalities(node);
    let mut columns: Vec<String> = parts
        .iter()
        .filter_map(|part| part.column.clone())
        .collect();
    columns.sort();
    columns.dedup();
    if columns.len() < 2
        || Staleness::of(relation).is_some()
        || has_statistics(relation, &columns)
        || !columns_are_right(relation, &parts, actual.rows)
    {
        return None;
    }
    let query = one.query;
    let is_heavy = query.mean_ms() >= SLOW_MS || loads.share(query) >= HEAVY_SHARE;
    let listed: Vec<String> = columns.iter().map(|c| quote_identifier(c)).collect();
    let facts = serde_json::json!({
        "rows_expected": node.plan_rows,
        "rows": actual.rows,
        "plan_ms": one.logged.duration_us as f64 / 1e3,
        "share_of_plan": problem.share,
        "node": problem.node,
    });
    Some(Finding {
        rule: RULE.id,
        severity: if is_heavy {
            Severity::Warning
        } else {
            Severity::Info
        },
        confidence: Confidence::Medium,
        message: format!(
            "{name} ({}): {}, and {} of the plan's time hangs on it; each column's own statistics are right, so they depend on each other",
            columns.join(", "),
            problem.message,
            figures::share(problem.share)
        ),
        subject: Subject {
            relation: Some(name.clone()),
            columns: columns.clone(),
            fingerprint: Some(query.fingerprint),
            query: Some(query.text.clone()),
            ..Subject::default()
        },
        impact: Impact {
            n_calls: query.n_calls(),
            total_time_ms: query.total_ms(),
            basis: ImpactBasis::None,
            source: source_of(query),
            window_s: Loads::window_s(&audit.snapshot.workload, query),
            ..Impact::default()
        },
        evidence: match facts {
            serde_json::Value::Object(facts) => Evidence::Facts(facts),
            _ => Evidence::None,
        },
        locations: Vec::new(),
        remedy: Remedy {
            kind: RemedyKind::CreateStatistics,
            sql: Some(format!(
                "CREATE STATISTICS {}.{} (dependencies, mcv) ON {} FROM {};",
                quote_identifier(&name.schema),
                quote_identifier(&statistics_name(&name.name, &columns)),
                listed.join(", "),
                name.to_sql()
            )),
            hint: format!(
                "then ANALYZE {name}; compare the plan before and after, and drop the statistics again if it stays"
            ),
            ..Remedy::default()
        },
    })
}

/// `<table>_<columns>_stats`, with a hash where that is too long. The name may be taken by statistics on other things: the statement then fails, and
/// changes nothing.
fn statistics_name(table: &str, columns: &[String]) -> String {
    let stem = format!("{table}_{}", columns.join("_"));
    let plain = format!("{stem}_stats");
    if plain.len() <= MAX_NAME_BYTES {
        return plain;
    }
    let hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(stem.as_bytes()));
    let tail = format!("_{}_stats", &hash[..8]);
    let mut head = stem;
    while head.len() + tail.len() > MAX_NAME_BYTES {
        head.pop();
    }
    head + &tail
}

/// Plain equalities of a scan.
fn equalities(node: &PlanNode) -> Vec<Condition> {
    review::conditions(node)
        .into_iter()
        .filter(|part| part.is_plain && part.is_equality())
        .collect()
}

fn has_statistics(relation: &Relation, columns: &[String]) -> bool {
    let mut known = relation.extended_statistics.iter();
    known.any(|on| columns.iter().filter(|column| on.contains(column)).count() >= 2)
}

/// Does each column by itself have the rows that came? More cannot come than one condition lets through.
fn columns_are_right(relation: &Relation, parts: &[Condition], rows: f64) -> bool {
    let n_rows = relation.n_rows.unwrap_or_default();
    parts.iter().all(|part| {
        let column = part.column.as_deref().and_then(|c| relation.column(c));
        column
            .filter(|column| column.stats.is_some())
            .is_some_and(|column| {
                let share = advise::equal_share(column, n_rows, part.value.as_deref());
                share * n_rows * TOLERANCE >= rows
            })
    })
}
