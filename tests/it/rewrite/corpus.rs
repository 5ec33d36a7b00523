//! Loops of real clients (`fixtures/n-plus-one/`): each has a batch that the server takes, and each client is recognised or left unnamed.

use std::collections::BTreeMap;

use pgassay::{
    advise::Advice,
    catalog::Catalog,
    finding::{Evidence, Finding},
    rules::{Audit, RULES, Settings},
};

use super::catalog;
use crate::support;

fn corpus() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/n-plus-one")
}

/// The findings of the N+1 rules on a real log, with and without the catalog of its database.
fn findings(log: &std::path::Path, catalog: Option<&Catalog>) -> Vec<Finding> {
    let mut snapshot = support::logs::snapshot(log);
    snapshot.catalog = catalog.cloned();
    let (advice, settings) = (Advice::default(), Settings::default());
    let audit = Audit {
        snapshot: &snapshot,
        advice: &advice,
        settings: &settings,
    };
    let rules = RULES
        .iter()
        .filter(|rule| rule.id.starts_with("n-plus-one"));
    rules.flat_map(|rule| (rule.check)(&audit)).collect()
}

/// Logs of both parts that hold loops, with the folder (client) that they are in.
fn loops() -> Vec<(String, std::path::PathBuf)> {
    let mut logs = Vec::new();
    for part in ["tuning", "held-out"] {
        let truth = std::fs::read_to_string(corpus().join(part).join("truth.json")).unwrap();
        let truth: BTreeMap<String, Vec<serde_json::Value>> = serde_json::from_str(&truth).unwrap();
        for (log, planted) in truth {
            if !planted.is_empty() {
                let client = log.split('/').next().unwrap().to_owned();
                logs.push((client, corpus().join(part).join(log)));
            }
        }
    }
    let more = corpus().join("clients");
    for folder in std::fs::read_dir(more)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        let client = folder.file_name().to_string_lossy().into_owned();
        let files = std::fs::read_dir(folder.path()).unwrap().flatten();
        let files = files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "gz"));
        logs.extend(files.map(|log| (client.clone(), log)));
    }
    logs
}

#[tokio::test]
async fn loops_of_real_clients_have_batches_that_the_server_takes() {
    let database = support::database("corpus").await;
    let schema = std::fs::read_to_string(corpus().join("generate/schema.sql")).unwrap();
    database.run(&schema).await;
    let catalog = catalog(&database).await;
    let session = database.owned.session().await.unwrap();
    let (mut with, mut without) = (0, Vec::new());
    for (client, log) in loops() {
        for catalog in [Some(&catalog), None] {
            for finding in findings(&log, catalog) {
                let Evidence::NPlusOne(evidence) = &finding.evidence else {
                    panic!("{finding:?}")
                };
                let place = format!(
                    "{client} {} {:?}",
                    evidence.statement_kind, finding.subject.query
                );
                assert_eq!(
                    finding.remedy.sql.is_some(),
                    evidence.no_batch.is_none(),
                    "{place}"
                );
                match (&finding.remedy.sql, catalog) {
                    (Some(sql), Some(_)) => {
                        with += 1;
                        let prepared = session.prepared(sql).await;
                        assert!(
                            prepared.is_ok(),
                            "{}\n{place}\n{sql}",
                            prepared.unwrap_err()
                        );
                    }
                    // types are the application's to know
                    (Some(_), None) => with += 1,
                    (None, _) => {
                        without.push(format!("{place}: {}", evidence.no_batch.as_ref().unwrap()));
                    }
                }
            }
        }
    }
    // a client that updates with every column of the row, and text types that no value tells
    assert!(
        without.len() * 20 <= with,
        "{with} with, without: {without:#?}"
    );
}

/// Which client was recognised, per client of the corpus: `cargo test --test it rewrite::corpus::clients -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table for benches/README.md; what must hold is asserted by its neighbour"]
fn clients() {
    eprintln!("| log of | loops | recognised as |\n|---|---|---|");
    for (client, seen) in recognised() {
        let total: u64 = seen.values().sum();
        let seen: Vec<String> = seen.iter().map(|(name, n)| format!("{name} {n}")).collect();
        eprintln!("| {client} | {total} | {} |", seen.join(", "));
    }
}

/// For each client the names under which its loops were reported; `–` for none.
fn recognised() -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut table: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (client, log) in loops() {
        for finding in findings(&log, None) {
            let Evidence::NPlusOne(evidence) = &finding.evidence else {
                panic!("{finding:?}")
            };
            let name = evidence.client.clone().unwrap_or_else(|| "–".to_owned());
            *table
                .entry(client.clone())
                .or_default()
                .entry(name)
                .or_default() += 1;
        }
    }
    table
}

#[test]
fn no_client_is_taken_for_another() {
    /// Folders of the corpus that are named otherwise than the client.
    const NAMES: &[(&str, &[&str])] = &[
        ("activerecord", &["ActiveRecord"]),
        ("django", &["Django"]),
        ("drizzle", &["Drizzle"]),
        ("knex", &["Objection"]),
        ("peewee", &["Peewee"]),
        ("pony", &["Pony"]),
        ("prisma", &["Prisma"]),
        ("sequel", &["Sequel"]),
        ("sequelize", &["Sequelize"]),
        ("sqlalchemy-psycopg2", &["SQLAlchemy"]),
        ("sqlalchemy-psycopg3", &["SQLAlchemy"]),
        ("tortoise", &["Tortoise ORM"]),
        ("typeorm", &["TypeORM"]),
    ];
    for (client, seen) in recognised() {
        let own = NAMES
            .iter()
            .find(|(folder, _)| *folder == client)
            .map_or(&[][..], |(_, names)| *names);
        for name in seen.keys().filter(|name| *name != "–") {
            assert!(
                own.contains(&name.as_str()),
                "{client} taken for {name}: {seen:?}"
            );
        }
        assert!(
            own.is_empty() || seen.keys().any(|name| name != "–"),
            "{client} is not recognised"
        );
    }
}

#[tokio::test]
async fn verify_executes_loop_and_batch_and_compares_them() {
    let database = support::database("verify").await;
    let schema = std::fs::read_to_string(corpus().join("generate/schema.sql")).unwrap();
    database.run(&schema).await;
    for log in [
        "tuning/django/belongs_to.log.gz",
        "tuning/django/has_many.csv.gz",
        "tuning/django/many_to_many.log.gz",
        "tuning/django/count.json.gz",
        "tuning/django/exists.log.gz",
        "tuning/activerecord/top_per_parent.log.gz",
    ] {
        let log = corpus().join(log);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pgassay"))
            .args([
                "check",
                "--verify",
                "--format",
                "json",
                "--fail-on",
                "never",
                "--rule",
                "n-plus-one",
                "--database-url",
                &database.url,
            ])
            .arg(&log)
            .output()
            .unwrap();
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let verified = &report["findings"][0]["evidence"]["verified"];
        assert_eq!(verified["same_rows"], true, "{}\n{report:#}", log.display());
        assert!(verified["n_keys"].as_u64().unwrap() > 10, "{verified}");
    }
}
