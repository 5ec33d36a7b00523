//! `non-sargable-predicate`: a condition computes something of a column, so that no index on the column can serve it.

use super::{
    Audit, Example, Expect, Need, Rule,
    recommended::{HEAVY_SHARE, SLOW_MS, source_of},
};
use crate::{
    advise::PricedCondition,
    catalog::Build,
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactBasis, IndexEvidence, QueryCost, Remedy,
        RemedyKind, Severity, Subject,
    },
    workload::{Loads, Query},
};

pub(super) static RULE: Rule = Rule {
    id: "non-sargable-predicate",
    summary: "a condition computes something of a column (at::date = …), so that no index on the column serves it",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::Catalog,
        Need::Statements,
        Need::Prices,
        Need::HelpedBy(&[Need::Values]),
    ],
    check,
};

const DOCS: &str = "\
**What it finds.** Conditions that wrap a column into a cast, a function or arithmetic, where the same condition on the plain column would be served by an index: \
`at::date = X`, `date_trunc('day', at) = X`, `extract(year from at) = N`, `to_char(at, 'YYYY-MM-DD') = X`, `now() - at > interval`, `at + interval < now()`, `n + 1 > X`, `id::text = X`, \
`id = 12.0`, `left(code, 3) = X`, `coalesce(flag, false)`.

**Why it matters.** An index holds the column's values, not what a function makes of them: the whole table is read, and the planner guesses how many rows pass. The form on the plain \
column means the same and needs no index of its own.

**How it decides.** WHERE's top-level conditions are rewritten by rules that hold for the column's type. The planner prices the statement before and after, over the indexes that exist and, \
where that is not enough, with one more on the plain column. Half of the cost must go, and no index may serve the statement as it is written: an expression index that exists or is \
recommended settles it. It is a warning from a mean of 100 ms or 1 % of the database's time, else info.

**When it is wrong.** Days around a change of clocks, where `now() - at > interval '7 days'` counts hours and `at < now() - interval '7 days'` counts days; the finding says so. A value that comes \
as a parameter and is not the start of the day or month it is compared with: the condition held for no row then.

**References.** PostgreSQL documentation, 11.7 (indexes on expressions), 9.9.2 (date_trunc); Selinger et al., Access Path Selection in a Relational Database Management System (1979), which coined \
\"search argument\".";

const EXAMPLES: &[Example] = &[
    Example {
        title: "visits of a day, by a cast; the index on the column exists",
        ddl: "CREATE TABLE visits (id bigint PRIMARY KEY, at timestamptz NOT NULL, page text NOT NULL);
              INSERT INTO visits SELECT n, timestamptz '2026-01-05' + n * interval '1 minute', repeat('x', 80) FROM generate_series(1, 80000) n;
              CREATE INDEX visits_at ON visits (at);
              VACUUM ANALYZE visits;",
        log: "-- calls: 20000, mean_time_ms: 25\nSELECT id FROM visits WHERE at::date = '2026-01-09';\n",
        expect: Expect::Finding("visits"),
    },
    Example {
        title: "a time zone keeps the day from having an index; the plain column may",
        ddl: "CREATE TABLE visits (id bigint PRIMARY KEY, at timestamptz NOT NULL, page text NOT NULL);
              INSERT INTO visits SELECT n, timestamptz '2026-01-05' + n * interval '1 minute', repeat('x', 80) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE visits;",
        log: "-- calls: 20000, mean_time_ms: 25\nSELECT id FROM visits WHERE date_trunc('day', at) = '2026-01-09';\n",
        expect: Expect::Finding("visits"),
    },
    Example {
        title: "the plain column, and an expression that has its index",
        ddl: "CREATE TABLE visits (id bigint PRIMARY KEY, at timestamp NOT NULL, page text NOT NULL);
              INSERT INTO visits SELECT n, timestamp '2026-01-05' + n * interval '1 minute', repeat('x', 80) FROM generate_series(1, 80000) n;
              CREATE INDEX visits_at ON visits (at); CREATE INDEX visits_month ON visits (date_trunc('month', at));
              VACUUM ANALYZE visits;",
        log: "-- calls: 20000, mean_time_ms: 0.4\nSELECT id FROM visits WHERE at >= '2026-01-09' AND at < '2026-01-10';\n-- calls: 200, mean_time_ms: 5\nSELECT id FROM visits WHERE date_trunc('month', at) = '2026-02-01';\n",
        expect: Expect::Silence,
    },
    Example {
        title: "most rows pass, however it is written",
        ddl: "CREATE TABLE visits (id bigint PRIMARY KEY, at timestamptz NOT NULL, page text NOT NULL);
              INSERT INTO visits SELECT n, timestamptz '2026-01-05' + n * interval '1 minute', repeat('x', 80) FROM generate_series(1, 80000) n;
              CREATE INDEX visits_at ON visits (at);
              VACUUM ANALYZE visits;",
        log: "-- calls: 20, mean_time_ms: 45\nSELECT id FROM visits WHERE at::date >= '2026-01-06';\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let workload = &audit.snapshot.workload;
    let loads = Loads::of(workload);
    let conditions = audit.advice.conditions.iter();
    conditions
        .filter_map(|priced| {
            let query = workload.query(priced.fingerprint)?;
            Some(finding(audit, &loads, query, priced))
        })
        .collect()
}

fn finding(audit: &Audit<'_>, loads: &Loads, query: &Query, priced: &PricedCondition) -> Finding {
    let saved = 1.0 - priced.cost_after / priced.cost_before;
    let share = loads.share(query);
    let is_heavy = query.mean_ms() >= SLOW_MS || share >= HEAVY_SHARE;
    let is_proven = priced
        .conditions
        .iter()
        .all(|condition| condition.proviso.is_none());
    let has_times = query.total_ms() > 0.0;
    Finding {
        rule: RULE.id,
        severity: if is_heavy {
            Severity::Warning
        } else {
            Severity::Info
        },
        confidence: if is_proven {
            Confidence::High
        } else {
            Confidence::Medium
        },
        subject: Subject {
            relation: Some(priced.relation.clone()),
            columns: priced.conditions.iter().map(|c| c.column.clone()).collect(),
            fingerprint: Some(query.fingerprint),
            query: Some(query.text.clone()),
            ..Subject::default()
        },
        message: message(priced),
        impact: Impact {
            n_calls: query.n_calls(),
            total_time_ms: query.total_ms(),
            saved_interval_ms: None,
            saved_time_ms: query.total_ms() * saved,
            saved_share: if has_times { share * saved } else { 0.0 },
            basis: if has_times {
                ImpactBasis::CalibratedEstimate
            } else {
                ImpactBasis::PlannerOnly
            },
            source: source_of(query),
            window_s: Loads::window_s(&audit.snapshot.workload, query),
        },
        evidence: Evidence::Index(IndexEvidence {
            queries: vec![QueryCost {
                fingerprint: query.fingerprint,
                query: query.text.clone(),
                n_calls: query.n_calls(),
                cost_before: priced.cost_before,
                cost_after: priced.cost_after,
                uses_index: true,
                mean_ms: has_times.then(|| query.mean_ms()),
                plan_before: Some(priced.plan_before.clone()),
                plan_after: Some(priced.plan_after.clone()),
            }],
            size_bytes: priced.size_bytes.unwrap_or(0),
            ..IndexEvidence::default()
        }),
        locations: Vec::new(),
        remedy: remedy(priced),
    }
}

fn message(priced: &PricedCondition) -> String {
    let conditions: Vec<&str> = priced
        .conditions
        .iter()
        .map(|c| c.before.as_str())
        .collect();
    let served = match &priced.index {
        Some(_) => "an index on the column could serve",
        None => "an index that exists would serve",
    };
    format!(
        "{}: {} hides the column from every index; {served} the same condition on the plain column",
        priced.relation,
        conditions.join(" and ")
    )
}

fn remedy(priced: &PricedCondition) -> Remedy {
    let mut hints: Vec<String> = priced
        .conditions
        .iter()
        .map(|condition| format!("write {} in place of {}", condition.after, condition.before))
        .collect();
    let provisos = priced.conditions.iter().filter_map(|c| c.proviso.clone());
    for proviso in provisos {
        if !hints.contains(&proviso) {
            hints.push(proviso);
        }
    }
    if priced.index.is_some() {
        hints.push(
            "the rewritten statement needs this index; build it when the statement has changed"
                .to_owned(),
        );
    }
    Remedy {
        kind: RemedyKind::Rewrite,
        sql: priced
            .index
            .as_ref()
            .map(|def| format!("{};", def.create_sql(Build::Concurrently))),
        hint: hints.join("; "),
        ..Remedy::default()
    }
}
