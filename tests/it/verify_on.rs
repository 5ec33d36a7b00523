//! `--verify-on`: what is proposed is built on a copy and measured, and the copy is as before afterwards; live databases are refused.

use std::{process::Command, time::Duration};

use pgassay::server::Server;
use serde_json::Value;

use crate::support::{self, Database};

const SCHEMA: &str = "
    CREATE TABLE visits (id int PRIMARY KEY, account_id int NOT NULL, at timestamptz NOT NULL, note text);
    INSERT INTO visits SELECT x, x * 7919 % 20000, now() - x * interval '1 minute', repeat('n', 60) FROM generate_series(1, 200000) x;
    ANALYZE visits";

const LOG: &str = "
-- calls: 500, mean_time_ms: 18
SELECT * FROM visits WHERE account_id = 4711;
-- calls: 20, mean_time_ms: 20
UPDATE visits SET note = 'x' WHERE account_id = 12;
-- calls: 5, mean_time_ms: 30
SELECT count(*) FROM visits;
";

async fn pair() -> (Server, Database, Server, Database) {
    let options = support::options();
    let (server, other) = (support::start(&options), support::start(&options));
    let audited = support::database_on(&server, "audited").await;
    let copy = support::database_on(&other, "copy").await;
    for database in [&audited, &copy] {
        database.run(SCHEMA).await;
        database.owned.close();
    }
    // closed connections say goodbye on this runtime
    tokio::time::sleep(Duration::from_millis(500)).await;
    (server, audited, other, copy)
}

fn audit(audited: &Database, on: &str) -> (Option<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.sql");
    std::fs::write(&log, LOG).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .args([
            "audit",
            "--quiet",
            "--format",
            "json",
            "--statements",
            "log",
        ])
        .args(["--database-url", &audited.url, "--verify-on", on, "--log"])
        .arg(&log)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (serde_json::from_slice(&output.stdout).ok(), errors)
}

#[tokio::test]
async fn what_is_proposed_is_built_on_the_copy_and_measured() {
    let (_server, audited, other, copy) = pair().await;
    let (report, errors) = audit(&audited, &copy.url);
    let report = report.unwrap_or_else(|| panic!("{errors}"));
    let findings = report["findings"].as_array().unwrap();
    let index = findings.iter().find(|f| f["rule"] == "missing-index");
    let evidence = &index.unwrap_or_else(|| panic!("{report:#}"))["evidence"];
    let measured = evidence["facts"]["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 1, "{evidence:#}");
    let blocks = |key: &str| measured[0][key].as_u64().unwrap();
    assert!(
        blocks("blocks_after") * 10 < blocks("blocks_before"),
        "{evidence:#}"
    );
    let time = |key: &str| measured[0][key].as_f64().unwrap();
    assert!(time("after_ms") * 2.0 < time("before_ms"), "{evidence:#}");
    assert!(evidence["facts"]["built_bytes"].as_u64().unwrap() > 1_000_000);
    let notes = report["notes"].to_string();
    assert!(notes.contains("1 of 1 proposed indexes built"), "{notes}");
    assert!(
        notes.contains("2 statements run without and with"),
        "{notes}"
    );
    // the copy is as it was
    let again = support::conninfo(&other, &copy.name);
    let owned = pgassay::db::Owned::connect(&again, 1).await.unwrap();
    let session = owned.session().await.unwrap();
    let indexes = session
        .texts("SELECT count(*) FROM pg_index WHERE indrelid = 'visits'::regclass")
        .await
        .unwrap();
    assert_eq!(indexes[0][0].as_deref(), Some("1"));
}

#[tokio::test]
async fn live_databases_are_refused() {
    let (server, audited, other, copy) = pair().await;
    let (report, errors) = audit(&audited, &audited.url);
    assert!(report.is_some());
    assert!(
        errors.contains("it is the audited server itself"),
        "{errors}"
    );
    // another database of the same server is the same server
    let (_, errors) = audit(&audited, &server.url("postgres"));
    assert!(
        errors.contains("it is the audited server itself"),
        "{errors}"
    );
    let application = support::conninfo(&other, &copy.name).with_application("checkout");
    let owned = pgassay::db::Owned::connect(&application, 1).await.unwrap();
    let _session = owned.session().await.unwrap();
    let (report, errors) = audit(&audited, &copy.url);
    assert!(report.is_some());
    assert!(errors.contains("sessions of checkout"), "{errors}");
    assert!(errors.contains("hint: "), "{errors}");
}
