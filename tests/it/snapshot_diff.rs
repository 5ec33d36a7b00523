//! `pgassay diff` of two snapshots: findings that came and went, and statements that are planned otherwise.

use std::process::Command;

use serde_json::Value;

use crate::{
    support::{self, Database},
    twin::capture,
};

async fn shop() -> Database {
    let database = support::database("snapshot_diff").await;
    for sql in [
        "CREATE EXTENSION pg_stat_statements",
        "CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, total int NOT NULL)",
        "INSERT INTO orders SELECT i, i % 5000, i FROM generate_series(1, 100000) i",
        "CREATE INDEX orders_customer_idx ON orders (customer_id)",
        "ANALYZE orders",
    ] {
        database.run(sql).await;
    }
    traffic(&database).await;
    database
}

async fn traffic(database: &Database) {
    for customer in 1..=20 {
        database
            .run(&format!(
                "SELECT id, total FROM orders WHERE customer_id = {customer}"
            ))
            .await;
    }
}

fn diff(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .arg("diff")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn a_dropped_index_shows_as_a_worse_plan_and_a_new_finding() {
    let database = shop().await;
    let (_before_folder, before, _) = capture(&database.url, "default");
    let (code, stdout, stderr) = diff(&[&before, &before, "--fail-on", "info"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(
        stdout.starts_with("0 new, 0 worse, 0 better, 0 gone"),
        "{stdout}"
    );

    database.run("DROP INDEX orders_customer_idx").await;
    traffic(&database).await;
    let (_after_folder, after, _) = capture(&database.url, "default");
    let (code, stdout, stderr) = diff(&[&before, &after, "--fail-on", "warning"]);
    assert_eq!(code, 1, "{stdout}{stderr}");
    for expected in [
        "missing-index  public.orders (customer_id)",
        "plan worse  ",
        "orders_customer_idx → Seq Scan on orders; planner cost ",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}{stderr}");
    }
    let (code, stdout, stderr) =
        diff(&[&after, &before, "--fail-on", "warning", "--format", "json"]);
    assert_eq!(code, 0, "it got better: {stdout}{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["gone"][0]["rule"], "missing-index", "{stdout}");
    let plan = &document["plans"][0];
    assert!(
        plan["cost_before"].as_f64() > plan["cost_after"].as_f64(),
        "{plan}"
    );

    let report = tempfile::NamedTempFile::new().unwrap();
    let (code, _, stderr) = diff(&[&before, report.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(stderr.contains("can't be compared"), "{stderr}");
}
