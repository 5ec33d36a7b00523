//! The same audit on every supported major version.
//!
//! The shared server's version always runs. Other versions are fetched (some 10 MB each) when `PGASSAY_TEST_VERSIONS` lists them:
//! `PGASSAY_TEST_VERSIONS=13,14,16,17,18`.

use pgassay::{
    advise::{PlannedQuery, WhatIf},
    catalog::{IndexDef, IndexKey, RelationName},
    db::{LivePlanner, RealPlanner},
    server::{self, Server},
};

use super::audited;
use crate::support;

const SCHEMA: &str = "
    CREATE EXTENSION pg_stat_statements;
    CREATE TABLE t (id int PRIMARY KEY, x int, note text, data jsonb);
    INSERT INTO t SELECT n, n % 100, 'n' || n, '{}' FROM generate_series(1, 5000) n;
    CREATE INDEX t_partial ON t (lower(note), x DESC) INCLUDE (id) WHERE x > 3;
    CREATE TABLE p (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    ANALYZE; SELECT count(*) FROM t WHERE x = 5;";

async fn audit(server: &Server) {
    let major = server.major();
    let database = support::database_on(server, "version").await;
    database.run(SCHEMA).await;
    let audited = audited(&database).await;
    assert_eq!(audited.version_num() / 10_000, u32::from(major));
    let catalog = audited.catalog().await.unwrap();
    let t = catalog.relation(&RelationName::new("public", "t")).unwrap();
    assert_eq!(
        (t.n_rows, t.columns.len(), t.indexes.len()),
        (Some(5000.0), 4, 2),
        "{major}"
    );
    assert!(
        t.columns.iter().all(|column| column.stats.is_some()),
        "{major}"
    );
    let (entries, facts) = audited.statements().await.unwrap();
    assert!(
        entries
            .iter()
            .any(|entry| entry.text.starts_with("SELECT count(*) FROM t")),
        "{major}"
    );
    assert_eq!(facts.from_us.is_some(), major >= 14);

    let query = PlannedQuery {
        sql: "select * from t where x = $1 and note like $2 || '%' limit $3".to_owned(),
        search_path: Vec::new(),
    };
    let live = LivePlanner::new(audited.clone(), &catalog);
    let before = live.plan(&query, &[], &[]).await.unwrap();
    let index = IndexDef {
        table: RelationName::new("public", "t"),
        name: "t_x".to_owned(),
        keys: vec![IndexKey::column("x")],
        ..IndexDef::default()
    };
    let real = RealPlanner::new(database.owned.clone());
    let after = real.plan(&query, &[index], &[]).await.unwrap();
    assert!(after.uses_index("t_x"), "{major}: {after:?}");
    assert!(after.total_cost() < before.total_cost(), "{major}");
}

#[tokio::test]
async fn the_version_at_hand() {
    audit(support::shared()).await;
}

#[tokio::test]
async fn the_versions_that_were_asked_for() {
    let asked = support::variable("PGASSAY_TEST_VERSIONS").unwrap_or_default();
    for major in asked.split(',').filter(|major| !major.is_empty()) {
        let major: u16 = major
            .parse()
            .expect("PGASSAY_TEST_VERSIONS is a list of major versions");
        let search = support::search();
        let binaries = server::find(&search, Some(major))
            .or_else(|_| server::fetch(&search, Some(major), &mut |text| eprintln!("{text}")))
            .unwrap_or_else(|error| panic!("{error}"));
        let server =
            Server::start(&binaries, &support::options()).unwrap_or_else(|error| panic!("{error}"));
        audit(&server).await;
    }
}
