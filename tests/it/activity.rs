//! `--sample-activity` on a real server: values, waits, who blocks, and what stays inside.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use pgassay::{db::OwnedSession, snapshot::Snapshot};
use serde_json::Value;

use crate::support::{self, Database};

const SCHEMA: &str = "CREATE TABLE t (id int PRIMARY KEY, state text NOT NULL); \
    INSERT INTO t SELECT n, 's' || n % 50 FROM generate_series(1, 5000) n; ANALYZE t; CREATE ROLE clerk_activity";

/// Starts the program; it watches for three seconds.
fn start(database: &Database, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .args(arguments)
        .args(["--database-url", &database.url])
        .args(["--sample-activity=20", "--for", "3s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn client(database: &Database) -> OwnedSession {
    let session = database.owned.session().await.unwrap();
    session.run("SET application_name = 'shop'").await.unwrap();
    session
}

/// A session that keeps a row locked, one that waits for it, one that looks for rows, and one that was told a secret.
async fn busy(database: &Database, mut running: Child) -> (Child, OwnedSession) {
    let holder = client(database).await;
    holder.run("BEGIN").await.unwrap();
    holder
        .run("UPDATE t SET state = 'held' WHERE id = 7")
        .await
        .unwrap();
    let waiter = client(database).await;
    let waiting =
        tokio::spawn(async move { waiter.run("UPDATE t SET state = 'mine' WHERE id = 7").await });
    let told = client(database).await;
    told.run("ALTER ROLE clerk_activity PASSWORD 'hunter2'")
        .await
        .unwrap();
    let reader = client(database).await;
    let mut n = 0;
    while running.try_wait().unwrap().is_none() {
        n += 1;
        let sql = format!("SELECT count(*) FROM t WHERE state = 's3' AND id > {n}");
        reader.run(&sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holder.run("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    drop(told);
    (running, reader)
}

#[tokio::test]
async fn an_audit_tells_what_was_waited_for_and_who_blocked() {
    let database = support::database("activity").await;
    database.run(SCHEMA).await;
    let running = start(
        &database,
        &[
            "audit",
            "--format",
            "json",
            "--show-literals",
            "--statements",
            "log",
        ],
    );
    let (done, _reader) = busy(&database, running).await;
    let output = done.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("hunter2") && !said.contains("hunter2"));
    let report: Value = serde_json::from_str(&text).unwrap();
    let notes = report["notes"].to_string();
    assert!(notes.contains("pg_stat_activity, "), "{notes}");
    assert!(notes.contains("% Lock transactionid"), "{notes}");
    assert!(
        notes.contains("held by a session of shop, idle in transaction"),
        "{notes}"
    );
    let findings = report["findings"].as_array().unwrap();
    let waits = findings.iter().find(|found| found["rule"] == "lock-waits");
    let evidence = &waits.expect("a finding")["evidence"];
    assert_eq!(evidence["holder_state"], "idle in transaction");
    assert!(!evidence["holder_query"].to_string().contains("held"));
}

#[tokio::test]
async fn a_snapshot_gets_values_where_they_may_be_kept() {
    let database = support::database("activity_values").await;
    database
        .run(SCHEMA.split("; CREATE ROLE").next().unwrap())
        .await;
    let folder = tempfile::tempdir().unwrap();
    for (redact, keeps) in [("none", true), ("all", false)] {
        let path = folder.path().join(redact);
        let path = path.to_str().unwrap();
        let mut running = start(&database, &["capture", "--redact", redact, "-o", path]);
        // three of them, so that a slow machine sees enough executions too
        let readers = [
            client(&database).await,
            client(&database).await,
            client(&database).await,
        ];
        let mut n = 0;
        while running.try_wait().unwrap().is_none() {
            for reader in &readers {
                n += 1;
                let sql = format!("SELECT count(*) FROM t WHERE state = 's3' AND id > {n}");
                reader.run(&sql).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(running.wait().unwrap().success());
        let snapshot: Snapshot =
            pgassay::snapshot::read(&std::fs::read(path).unwrap()[..]).unwrap();
        let mut queries = snapshot.workload.queries.iter();
        let query = queries.find(|query| query.text.contains("from t where state"));
        let query = query.expect("it was seen");
        let log = query.log.as_ref().unwrap();
        let constant = log.placeholders[0].constant.as_deref();
        assert_eq!(constant, keeps.then_some("'s3'"), "{log:?}");
        assert_eq!(query.sample.contains("s3"), keeps);
        assert!(log.placeholders[1].n_distinct > 10);
        assert!(snapshot.workload.watched.unwrap().n_samples > 10);
    }
}
