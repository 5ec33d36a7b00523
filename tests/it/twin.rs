//! A twin against what it stands for: the same statements planned on a real server and, through the program, from a snapshot of it.

use std::process::Command;

use pgassay::{
    db::Owned,
    server::{self, Server},
};
use serde_json::Value;

use crate::support::{self, Database};

const SCHEMA: &str = include_str!("../../fixtures/twin/schema.sql");
const QUERIES: &str = include_str!("../../fixtures/twin/queries.sql");

/// Settings that a twin takes over; new connections have them.
async fn shop(server: &Server, name: &str) -> Database {
    let database = support::database_on(server, name).await;
    database.run(SCHEMA).await;
    database
        .run(&format!(
            "ALTER DATABASE {0} SET search_path = shop, public; ALTER DATABASE {0} SET random_page_cost = 1.3; ALTER DATABASE {0} SET work_mem = '8MB'; \
             ALTER DATABASE {0} SET timezone = 'Europe/Berlin'",
            database.name
        ))
        .await;
    database
}

/// The program's stdout; it must succeed.
#[track_caller]
pub(crate) fn pgassay(arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .args(arguments)
        .env_remove("DATABASE_URL")
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{arguments:?}:\n{out}\n{err}");
    (out, err)
}

/// `EXPLAIN (FORMAT JSON, VERBOSE)` of every statement, from a snapshot.
pub(crate) fn planned(snapshot: &str, queries: &str) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), queries).unwrap();
    let path = file.path().to_str().unwrap();
    let (out, _) = pgassay(&[
        "plan",
        "--file",
        path,
        "--snapshot",
        snapshot,
        "--format",
        "json",
    ]);
    let mut document: Value = serde_json::from_str(&out).unwrap();
    match document["plans"].take() {
        Value::Array(plans) => plans,
        other => panic!("{other}"),
    }
}

/// Node types, relations, indexes: what makes two plans the same in shape.
fn shape(node: &Value, into: &mut Vec<String>) {
    let word = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    into.push(format!(
        "{} {} {}",
        word("Node Type"),
        word("Relation Name"),
        word("Index Name")
    ));
    for child in node["Plans"].as_array().into_iter().flatten() {
        shape(child, into);
    }
}

/// How many plans are the same in every node, and in shape; the others are printed.
async fn compare(database: &Database, role: &str, plans: &[Value]) -> (usize, usize) {
    let fresh = Owned::connect(&database.conninfo, 1).await.unwrap();
    let session = fresh.session().await.unwrap();
    session.run(&format!("SET ROLE {role}")).await.unwrap();
    let (mut identical, mut same) = (0, 0);
    for plan in plans {
        let sql = plan["sql"].as_str().unwrap();
        let explain = format!("EXPLAIN (FORMAT JSON, VERBOSE) {sql}");
        let row = session.query_one(&explain, &[]).await.unwrap();
        let real: Value = row.get(0);
        let (real, twin) = (&real[0]["Plan"], &plan["explain"][0]["Plan"]);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        shape(real, &mut left);
        shape(twin, &mut right);
        identical += usize::from(real == twin);
        same += usize::from(left == right);
        if real != twin {
            eprintln!(
                "{sql}\n  {left:?} {}\n  {right:?} {}",
                real["Total Cost"], twin["Total Cost"]
            );
        }
    }
    (identical, same)
}

pub(crate) fn capture(url: &str, redact: &str) -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder
        .path()
        .join("shop.pgassay")
        .to_str()
        .unwrap()
        .to_owned();
    let (_, said) = pgassay(&[
        "capture",
        "--database-url",
        url,
        "--redact",
        redact,
        "-o",
        &path,
    ]);
    (folder, path, said)
}

async fn identical_as_superuser(server: &Server) {
    let database = shop(server, "twin").await;
    let (_folder, snapshot, _) = capture(&database.url, "none");
    let plans = planned(&snapshot, QUERIES);
    assert_eq!(plans.len(), QUERIES.matches(";\n").count());
    let (identical, _) = compare(&database, "postgres", &plans).await;
    assert_eq!(identical, plans.len(), "on {}", server.major());
}

#[tokio::test]
async fn a_superusers_twin_plans_identically() {
    identical_as_superuser(support::shared()).await;
}

#[tokio::test]
async fn a_twin_of_every_version_plans_identically() {
    let listed = support::variable("PGASSAY_TEST_VERSIONS").unwrap_or_default();
    for major in listed.split(',').filter_map(|major| major.parse().ok()) {
        let binaries = server::find(&support::search(), Some(major))
            .or_else(|_| server::fetch(&support::search(), Some(major), &mut |_| {}))
            .unwrap_or_else(|error| panic!("{major}: {error}"));
        let server = Server::start(&binaries, &support::options()).unwrap();
        identical_as_superuser(&server).await;
    }
}

#[tokio::test]
async fn a_plain_roles_twin_keeps_the_shape() {
    let database = shop(support::shared(), "plain_twin").await;
    database
        .run("DO $$ BEGIN CREATE ROLE twin_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT pg_read_all_data, pg_monitor TO twin_reader; \
             GRANT ALL ON ALL TABLES IN SCHEMA shop, \"Zwei\" TO twin_reader; GRANT ALL ON ALL SEQUENCES IN SCHEMA shop TO twin_reader")
        .await;
    let url = database
        .url
        .replace("//postgres@", "//twin_reader@")
        .replace("user=postgres", "user=twin_reader");
    let (_folder, snapshot, said) = capture(&url, "none");
    for gap in ["extended statistics", "counters of GIN indexes", "not read"] {
        assert!(said.contains(gap), "{gap} in:\n{said}");
    }
    let plans = planned(&snapshot, QUERIES);
    let (identical, same) = compare(&database, "twin_reader", &plans).await;
    eprintln!(
        "{identical} identical, {same} of the same shape, of {}",
        plans.len()
    );
    assert!(same * 100 >= plans.len() * 94, "{same} of {}", plans.len());
}
