//! Every rule's examples, run: the bad ones fire, the good ones don't, and a remedy applied makes the finding go away.

use pgassay::{
    advise::Advice,
    finding::{Finding, RemedyKind},
    rules::{Audit, Example, Expect, RULES, Rule, Settings},
};

use crate::support::{self, Database, auditing, logs};

#[tokio::test]
async fn examples_of_budget_exceeded() {
    run("budget-exceeded").await;
}

#[tokio::test]
async fn examples_of_dead_rows() {
    run("dead-rows").await;
}

#[tokio::test]
async fn examples_of_duplicate_index() {
    run("duplicate-index").await;
}

#[tokio::test]
async fn examples_of_invalid_index() {
    run("invalid-index").await;
}

#[tokio::test]
async fn examples_of_lock_waits() {
    run("lock-waits").await;
}

#[tokio::test]
async fn examples_of_missing_index() {
    run("missing-index").await;
}

#[tokio::test]
async fn examples_of_missing_covering_index() {
    run("missing-covering-index").await;
}

#[tokio::test]
async fn examples_of_missing_expression_index() {
    run("missing-expression-index").await;
}

#[tokio::test]
async fn examples_of_missing_text_search_index() {
    run("missing-text-search-index").await;
}

#[tokio::test]
async fn examples_of_missing_json_index() {
    run("missing-json-index").await;
}

#[tokio::test]
async fn examples_of_missing_partial_index() {
    run("missing-partial-index").await;
}

#[tokio::test]
async fn examples_of_non_sargable_predicate() {
    run("non-sargable-predicate").await;
}

#[tokio::test]
async fn examples_of_missing_extended_statistics() {
    run("missing-extended-statistics").await;
}

#[tokio::test]
async fn examples_of_slow_plan() {
    run("slow-plan").await;
}

#[tokio::test]
async fn examples_of_stale_statistics() {
    run("stale-statistics").await;
}

#[tokio::test]
async fn examples_of_oversized_index_on_hot_column() {
    run("oversized-index-on-hot-column").await;
}

#[tokio::test]
async fn examples_of_redundant_query() {
    run("redundant-query").await;
}

#[tokio::test]
async fn examples_of_sequential_round_trips() {
    run("sequential-round-trips").await;
}

#[tokio::test]
async fn examples_of_time_outside_database() {
    run("time-outside-database").await;
}

#[tokio::test]
async fn examples_of_application_stall() {
    run("application-stall").await;
}

#[tokio::test]
async fn examples_of_n_plus_one_suspect() {
    run("n-plus-one-suspect").await;
}

#[tokio::test]
async fn examples_of_n_plus_one() {
    run("n-plus-one").await;
}

#[tokio::test]
async fn examples_of_n_plus_one_write() {
    run("n-plus-one-write").await;
}

#[tokio::test]
async fn examples_of_redundant_index() {
    run("redundant-index").await;
}

#[tokio::test]
async fn examples_of_unindexed_foreign_key() {
    run("unindexed-foreign-key").await;
}

#[tokio::test]
async fn examples_of_unused_index() {
    run("unused-index").await;
}

#[tokio::test]
async fn examples_of_connection_churn() {
    run("connection-churn").await;
}

#[tokio::test]
async fn examples_of_connection_leak() {
    run("connection-leak").await;
}

#[tokio::test]
async fn examples_of_generic_plan_regression() {
    run("generic-plan-regression").await;
}

#[tokio::test]
async fn examples_of_idle_in_transaction() {
    run("idle-in-transaction").await;
}

#[tokio::test]
async fn examples_of_pool_saturation() {
    run("pool-saturation").await;
}

#[tokio::test]
async fn examples_of_unprepared_repeats() {
    run("unprepared-repeats").await;
}

/// Every rule with examples on a database stands above by name.
#[test]
fn every_rule_is_tested() {
    let source = include_str!("examples.rs");
    for rule in RULES {
        assert!(
            source.contains(&format!("run(\"{}\")", rule.id)),
            "examples of {} are not run",
            rule.id
        );
        let bad = |example: &&Example| example.expect != Expect::Silence;
        assert!(
            rule.examples.iter().any(|example| bad(&example))
                && rule.examples.iter().any(|example| !bad(&example)),
            "{} needs a bad and a good example",
            rule.id
        );
    }
}

async fn run(id: &str) {
    let rule = RULES
        .iter()
        .find(|rule| rule.id == id)
        .expect("a registered rule");
    for example in rule.examples {
        if example.ddl.is_empty() {
            on_log_alone(rule, example);
            continue;
        }
        let database = support::database("example").await;
        each(&database, example.ddl).await;
        let findings = findings(&database, rule, example).await;
        match example.expect {
            Expect::Silence => assert!(
                findings.is_empty(),
                "{id}, {}: {findings:#?}",
                example.title
            ),
            Expect::Fires => {
                assert_eq!(findings.len(), 1, "{id}, {}: {findings:#?}", example.title);
            }
            Expect::Finding(relation) => {
                let [finding] = findings.as_slice() else {
                    panic!("{id}, {}: not one finding but {findings:#?}", example.title);
                };
                let subject = finding
                    .subject
                    .relation
                    .as_ref()
                    .map(|name| name.name.as_str());
                assert_eq!(subject, Some(relation), "{id}, {}", example.title);
                fixed(&database, rule, example, finding).await;
            }
        }
    }
}

/// An example without a database: the log says it all.
fn on_log_alone(rule: &Rule, example: &Example) {
    let (snapshot, settings) = (logs::snapshot_of(example.log), Settings::of_examples());
    let findings = (rule.check)(&Audit {
        snapshot: &snapshot,
        advice: &Advice::default(),
        settings: &settings,
    });
    let relations: Vec<&str> = findings
        .iter()
        .map(|finding| finding.subject.relation.as_ref())
        .map(|relation| relation.map_or("", |name| name.name.as_str()))
        .collect();
    match example.expect {
        Expect::Silence => assert!(findings.is_empty(), "{}: {findings:#?}", example.title),
        Expect::Fires => assert_eq!(findings.len(), 1, "{}: {findings:#?}", example.title),
        Expect::Finding(relation) => assert_eq!(relations, [relation], "{}", example.title),
    }
}

/// Runs statements one by one, as VACUUM and CONCURRENTLY want it. Examples have no `;` inside a statement.
async fn each(database: &Database, sql: &str) {
    for statement in sql
        .split(';')
        .filter(|statement| !statement.trim().is_empty())
    {
        database.run(statement).await;
    }
}

async fn findings(database: &Database, rule: &Rule, example: &Example) -> Vec<Finding> {
    let run = auditing::audit(database, example.log, &auditing::young_database()).await;
    run.report
        .findings
        .into_iter()
        .filter(|finding| finding.rule == rule.id)
        .collect()
}

/// The remedy's SQL applied, the audit says no more about it. What only the application can change says so in words.
async fn fixed(database: &Database, rule: &Rule, example: &Example, finding: &Finding) {
    let remedy = &finding.remedy;
    let Some(sql) = remedy
        .sql
        .as_deref()
        .filter(|_| remedy.kind != RemedyKind::Rewrite)
    else {
        assert!(!remedy.hint.is_empty(), "{}: no SQL and no word", rule.id);
        return;
    };
    each(database, sql).await;
    let left = findings(database, rule, example).await;
    assert!(
        left.is_empty(),
        "{}, {}: still there after\n{sql}\n{left:#?}",
        rule.id,
        example.title
    );
}
