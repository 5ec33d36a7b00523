//! A web application's workload (`fixtures/web`): every statement marked `+` gets an index that makes it at least twice as fast when really
//! built, none marked `-` gets one, and nothing becomes slower. Run by hand, as it loads two million rows:
//! `cargo test --test it web -- --ignored --nocapture`

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use pgassay::{
    advise::{self, Advice, Recommendation},
    catalog::Build,
    db::{Audited, AuditedOptions, OwnedSession, RealPlanner},
    workload::{InputFacts, InputKind, PgssEntry, PgssStats, Workload},
};

use crate::support::{self, Database};

const SCHEMA: &str = include_str!("../../fixtures/web/schema.sql");
const STATEMENTS: &str = include_str!("../../fixtures/web/statements.sql");

/// Time that upkeep of several new indexes may cost one written row, ms: less than that is no regression.
const UPKEEP_MS: f64 = 0.5;

/// Runs of each statement; the median counts.
const RUNS: usize = 3;

struct Case {
    sql: &'static str,
    wants_index: bool,
    n_calls: u64,
}

fn cases() -> Vec<Case> {
    let lines = STATEMENTS.lines().filter(|line| !line.starts_with("--"));
    let parsed = lines.filter_map(|line| {
        let mut parts = line.splitn(3, ' ');
        Some(Case {
            wants_index: parts.next()? == "+",
            n_calls: parts.next()?.parse().ok()?,
            sql: parts.next()?,
        })
    });
    parsed.collect()
}

/// What one statement takes, really executed in a transaction that is rolled back.
#[derive(Clone, Copy)]
struct Measured {
    ms: f64,
    blocks: u64,
    rows: u64,
}

async fn measure(session: &OwnedSession, sql: &str) -> Measured {
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        session.batch_execute("BEGIN").await.unwrap();
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}");
        let row = session.query_one(&explain, &[]).await.unwrap();
        session.batch_execute("ROLLBACK").await.unwrap();
        let plan: serde_json::Value = row.get(0);
        let count = |key: &str| plan[0]["Plan"][key].as_u64().unwrap_or(0);
        runs.push(Measured {
            ms: plan[0]["Execution Time"].as_f64().unwrap(),
            blocks: count("Shared Hit Blocks") + count("Shared Read Blocks"),
            rows: plan[0]["Plan"]["Actual Rows"].as_f64().unwrap_or(0.0) as u64,
        });
    }
    runs.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    runs[RUNS / 2]
}

async fn measure_all(database: &Database, cases: &[Case]) -> Vec<Measured> {
    let session = database.owned.session().await.unwrap();
    let mut measured = Vec::new();
    for case in cases {
        measured.push(measure(&session, case.sql).await);
    }
    measured
}

async fn advised(database: &Database, workload: &Workload) -> Advice {
    let audited = Audited::connect(&database.conninfo.audited(), AuditedOptions::default())
        .await
        .unwrap();
    let catalog = Box::pin(audited.catalog()).await.unwrap();
    let planner = RealPlanner::new(database.owned.clone());
    let advice = advise::advise(&catalog, workload, &planner, &advise::Options::default()).await;
    planner.finish().await;
    advice
}

fn with_literals(cases: &[Case], before: &[Measured]) -> Workload {
    let log: Vec<String> = cases
        .iter()
        .zip(before)
        .map(|(case, before)| {
            format!(
                "-- calls: {}, mean_time_ms: {}\n{};",
                case.n_calls, before.ms, case.sql
            )
        })
        .collect();
    support::workload::of_log(&log.join("\n"))
}

fn from_pg_stat_statements(cases: &[Case], before: &[Measured]) -> Workload {
    let entries = cases.iter().zip(before).map(|(case, before)| PgssEntry {
        text: pgassay::sql::normalise(case.sql.as_bytes()).text,
        stats: PgssStats {
            n_calls: case.n_calls,
            total_ms: before.ms * case.n_calls as f64,
            n_rows: before.rows * case.n_calls,
            ..PgssStats::default()
        },
        ..PgssEntry::default()
    });
    let mut workload = Workload::default();
    let facts = InputFacts {
        kind: InputKind::PgStatStatements,
        ..InputFacts::default()
    };
    workload.add_pg_stat_statements(entries.collect(), facts);
    workload
}

/// What became of a workload: printed, and judged by the tests.
struct Outcome {
    positives: usize,
    improved: usize,
    false_positives: Vec<String>,
    slower: Vec<String>,
    useless: Vec<String>,
}

async fn outcome(
    database: &Database,
    cases: &[Case],
    before: &[Measured],
    workload: &Workload,
    advice: &Advice,
) -> Outcome {
    for one in &advice.recommendations {
        println!("{}: {}", one.def.table, one.def.body_sql());
        if one.extension.is_none() {
            database.run(&one.def.create_sql(Build::Plain)).await;
        }
    }
    database.run("CHECKPOINT").await;
    database.run("VACUUM ANALYZE").await;
    let after = measure_all(database, cases).await;
    let mut outcome = Outcome {
        positives: 0,
        improved: 0,
        false_positives: Vec::new(),
        slower: Vec::new(),
        useless: unused(advice, workload),
    };
    for ((case, before), after) in cases.iter().zip(before).zip(&after) {
        let fingerprint = pgassay::sql::normalise(case.sql.as_bytes()).fingerprint;
        let is_served = advice.recommendations.iter().any(|one| {
            one.queries
                .iter()
                .any(|query| query.fingerprint == fingerprint)
        });
        let is_better = after.ms * 2.0 <= before.ms && after.blocks < before.blocks;
        println!(
            "{} {} {:>9.3} -> {:>9.3} ms {:>6} -> {:>6} blocks {}",
            if case.wants_index { '+' } else { '-' },
            if is_served { "served" } else { "      " },
            before.ms,
            after.ms,
            before.blocks,
            after.blocks,
            case.sql
        );
        if case.wants_index {
            outcome.positives += 1;
            if is_better {
                outcome.improved += 1;
            } else {
                let why = advice
                    .why_not
                    .iter()
                    .find(|entry| entry.fingerprint == fingerprint);
                println!(
                    "      missed: {:?}",
                    why.map(|why| (&why.reason, why.best_ratio, &why.tried))
                );
            }
        } else if is_served {
            outcome.false_positives.push(case.sql.to_owned());
        }
        let is_slower = after.ms > before.ms * 1.5 && after.ms > before.ms + UPKEEP_MS;
        if is_slower && after.blocks > before.blocks * 11 / 10 + 10 {
            outcome.slower.push(case.sql.to_owned());
        }
    }
    for (reason, n, example) in &advice.skipped {
        println!("skipped {n}: {reason} ({example})");
    }
    println!(
        "{} of {} improved, {} indexes, {} planner calls, false positives {:?}, slower {:?}",
        outcome.improved,
        outcome.positives,
        advice.recommendations.len(),
        advice.n_planner_calls,
        outcome.false_positives,
        outcome.slower
    );
    outcome
}

/// Recommendations that serve no statement of the workload.
fn unused(advice: &Advice, workload: &Workload) -> Vec<String> {
    let known: BTreeSet<_> = workload
        .queries
        .iter()
        .map(|query| query.fingerprint)
        .collect();
    let serves = |one: &Recommendation| {
        one.queries
            .iter()
            .any(|query| known.contains(&query.fingerprint))
    };
    let useless = advice.recommendations.iter().filter(|one| !serves(one));
    useless.map(|one| one.def.name.clone()).collect()
}

async fn web() -> Database {
    let database = support::database("web").await;
    for statement in SCHEMA.split(";\n") {
        if !statement.trim().is_empty() {
            database.run(statement).await;
        }
    }
    database
}

#[tokio::test]
#[ignore = "loads two million rows; see the first lines of this file"]
async fn web_workload_with_literals() {
    let database = web().await;
    let cases = cases();
    let before = measure_all(&database, &cases).await;
    let workload = with_literals(&cases, &before);
    let started = Instant::now();
    let advice = advised(&database, &workload).await;
    println!("advised in {:.1} s", started.elapsed().as_secs_f64());
    let outcome = outcome(&database, &cases, &before, &workload, &advice).await;
    assert!(outcome.improved * 100 >= outcome.positives * 95);
    assert!(
        outcome.false_positives.is_empty()
            && outcome.slower.is_empty()
            && outcome.useless.is_empty()
    );
}

#[tokio::test]
#[ignore = "loads two million rows; see the first lines of this file"]
async fn web_workload_from_pg_stat_statements() {
    let database = web().await;
    let cases = cases();
    let before = measure_all(&database, &cases).await;
    let workload = from_pg_stat_statements(&cases, &before);
    let advice = advised(&database, &workload).await;
    let outcome = outcome(&database, &cases, &before, &workload, &advice).await;
    assert!(outcome.improved * 100 >= outcome.positives * 85);
    assert!(
        outcome.false_positives.is_empty()
            && outcome.slower.is_empty()
            && outcome.useless.is_empty()
    );
    let by_table: BTreeMap<String, usize> =
        advice
            .recommendations
            .iter()
            .fold(BTreeMap::new(), |mut all, one| {
                *all.entry(one.def.table.to_string()).or_default() += 1;
                all
            });
    println!("{by_table:?}");
}
