//! `pgassay capture` on a real server: an interval's statements, what a plain role and an owner get, and the project's own snapshot.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use pgassay::{db::Owned, snapshot::Snapshot};

use crate::{
    support,
    twin::{capture, pgassay},
};

fn read(path: &str) -> Snapshot {
    pgassay::snapshot::read(&std::fs::read(path).unwrap()[..]).unwrap()
}

const SCHEMA: &str = "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int PRIMARY KEY, x int) WITH (autovacuum_enabled = off); \
    INSERT INTO t SELECT n, n % 100 FROM generate_series(1, 5000) n; ANALYZE t";

/// Of two statements, only what ran between the two readings counts.
#[tokio::test]
async fn an_interval_holds_its_own_statements_alone() {
    let database = support::database("interval").await;
    database.run(SCHEMA).await;
    for _ in 0..5 {
        database.run("SELECT count(*) FROM t WHERE x = 1").await;
        database.run("SELECT max(x) FROM t WHERE id < 50").await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("busy.pgassay");
    let running = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .args(["capture", "--database-url", &database.url, "--for", "4s"])
        .args(["--redact", "none", "-o"])
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // the first reading is the first thing that it does with pg_stat_statements
    let watch = "SELECT count(*)::text FROM pg_stat_statements WHERE query LIKE '%pgassay%pg_stat_statements%'";
    for _ in 0..400 {
        if database.text(watch).await != "0" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..3 {
        database.run("SELECT count(*) FROM t WHERE x = 2").await;
    }
    let done = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let snapshot = read(path.to_str().unwrap());
    let calls = |part: &str| -> Vec<u64> {
        let queries = snapshot.workload.queries.iter();
        let of_part = queries.filter(|query| query.sample.contains(part));
        of_part.map(pgassay::workload::Query::n_calls).collect()
    };
    assert_eq!(calls("count(*) FROM t"), [3], "{said}");
    assert_eq!(
        calls("max(x)"),
        Vec::<u64>::new(),
        "it did not run in the interval"
    );
}

const CORRELATED: &str = "CREATE TABLE d (a int, b text, c int) WITH (autovacuum_enabled = off); \
    INSERT INTO d SELECT n % 20, 'v' || n % 20, n % 7 FROM generate_series(1, 20000) n; \
    CREATE STATISTICS d_ab (mcv) ON a, b FROM d; CREATE STATISTICS d_fb (dependencies) ON b, c FROM d; ANALYZE d; \
    CREATE TABLE g (id int, tags text[], data jsonb) WITH (autovacuum_enabled = off); \
    INSERT INTO g SELECT n, ARRAY['t' || n % 300, 'u' || n % 11], jsonb_build_object('k', n % 700) FROM generate_series(1, 20000) n; \
    CREATE INDEX g_tags ON g USING gin (tags); CREATE INDEX g_data ON g USING gin (data)";

/// What a superuser reads in catalogs, others work out or see in views: estimates of common combinations and costs of GIN scans come out right.
#[tokio::test]
async fn roles_without_rights_learn_combinations_and_counters() {
    let database = support::database("roles").await;
    database.run(CORRELATED).await;
    database.run("VACUUM ANALYZE g").await;
    database
        .run("DO $$ BEGIN CREATE ROLE captor LOGIN; CREATE ROLE proprietor LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
              GRANT pg_read_all_data, pg_monitor TO captor; ALTER TABLE d OWNER TO proprietor; ALTER TABLE g OWNER TO proprietor")
        .await;
    let queries = [
        "SELECT * FROM public.d WHERE a = 3 AND b = 'v3'",
        "SELECT * FROM public.d WHERE a = 3 AND b = 'v4'",
        "SELECT * FROM public.g WHERE tags @> '{t7}'",
        "SELECT * FROM public.g WHERE data @> '{\"k\": 7}'",
    ];
    let fresh = Owned::connect(&database.conninfo, 1).await.unwrap();
    let session = fresh.session().await.unwrap();
    for role in ["captor", "proprietor"] {
        let url = database
            .url
            .replace("user=postgres", &format!("user={role}"));
        assert_ne!(url, database.url);
        let (_folder, snapshot, said) = capture(&url, "none");
        for plan in crate::twin::planned(&snapshot, &(queries.join(";\n") + ";\n")) {
            let sql = plan["sql"].as_str().unwrap();
            let explain = format!("EXPLAIN (FORMAT JSON, VERBOSE) {sql}");
            let real: serde_json::Value = session.query_one(&explain, &[]).await.unwrap().get(0);
            let (real, twin) = (&real[0]["Plan"], &plan["explain"][0]["Plan"]);
            assert_eq!(
                real["Plan Rows"], twin["Plan Rows"],
                "{role}: {sql}\n{said}"
            );
            let cost = |plan: &serde_json::Value| plan["Total Cost"].as_f64().unwrap();
            let ratio = cost(real) / cost(twin);
            assert!((0.99..1.01).contains(&ratio), "{role}: {sql} {ratio}");
        }
    }
}

/// `[inputs] snapshot` stands for the database where the command line names none.
#[tokio::test]
async fn the_projects_snapshot_is_used() {
    let database = support::database("project").await;
    database.run(SCHEMA).await;
    let (folder, snapshot, _) = capture(&database.url, "none");
    let config = folder.path().join("pgassay.toml");
    std::fs::write(&config, "[inputs]\nsnapshot = \"shop.pgassay\"\n").unwrap();
    assert!(snapshot.ends_with("shop.pgassay"));
    let log = folder.path().join("test.sql");
    std::fs::write(&log, "SELECT * FROM t WHERE x = 5;\n").unwrap();
    let (out, _) = pgassay(&[
        "check",
        log.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
        "--format",
        "json",
        "--fail-on",
        "never",
    ]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["server"]["what_if"], "twin", "{out}");
}

/// What pages cost in a tablespace comes before the settings.
#[tokio::test]
async fn a_tablespaces_costs_are_planned_with() {
    // a server of its own: the tablespace is every database's
    let server = support::start(&support::options());
    let database = support::database_on(&server, "tablespace").await;
    database.run("CREATE TABLE t (id int PRIMARY KEY, x int) WITH (autovacuum_enabled = off); INSERT INTO t SELECT n, n % 100 FROM generate_series(1, 5000) n; ANALYZE t").await;
    database
        .run("ALTER TABLESPACE pg_default SET (random_page_cost = 7.5)")
        .await;
    let (_folder, snapshot, _) = capture(&database.url, "none");
    let sql = "SELECT * FROM t WHERE id = 5";
    let plans = crate::twin::planned(&snapshot, &format!("{sql};\n"));
    let fresh = Owned::connect(&database.conninfo, 1).await.unwrap();
    let session = fresh.session().await.unwrap();
    let explain = format!("EXPLAIN (FORMAT JSON, VERBOSE) {sql}");
    let real: serde_json::Value = session.query_one(&explain, &[]).await.unwrap().get(0);
    assert_eq!(plans[0]["explain"][0]["Plan"], real[0]["Plan"]);
    assert!(real[0]["Plan"]["Total Cost"].as_f64().unwrap() > 15.0);
}

/// What a stranger's schema brought up: types without a binary form, an index whose building failed before its first page, options in quotation
/// marks, an extension's function that calls another by its bare name, a label without a type.
#[tokio::test]
async fn odd_corners_are_captured_and_planned_alike() {
    let database = support::database("corners").await;
    database
        .run("CREATE EXTENSION pageinspect; CREATE EXTENSION isn; CREATE EXTENSION seg; CREATE EXTENSION cube; CREATE EXTENSION earthdistance; \
              CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE FUNCTION score(m mood) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT CASE m WHEN 'sad' THEN 0 ELSE 1 END $$; \
              CREATE TABLE t (id int, code ean13, codes ean13[], span seg, at timestamp, lat float8, lon float8, m mood, big int) WITH (autovacuum_enabled = off); \
              INSERT INTO t SELECT n, ((400000000000 + n % 300)::text || '?')::ean13, ARRAY[((400000000000 + n % 50)::text || '?')::ean13], (n % 90 || ' .. ' || n % 90 + 5)::seg, \
                timestamp '2024-01-01' + n * interval '5 minutes', n % 90, n % 180, CASE WHEN n % 9 = 0 THEN 'sad' ELSE 'ok' END::mood, 100000 + n % 4000 FROM generate_series(1, 20000) n; \
              CREATE INDEX t_code ON t (code); CREATE INDEX t_at ON t USING brin (at) WITH (pages_per_range = 4, autosummarize = on); CREATE INDEX t_earth ON t USING gist (ll_to_earth(lat, lon)); \
              CREATE INDEX t_big ON t (big)")
        .await;
    database.run("VACUUM ANALYZE t").await;
    let session = Owned::connect(&database.conninfo, 1).await.unwrap();
    let session = session.session().await.unwrap();
    let failed = session
        .run("CREATE UNIQUE INDEX CONCURRENTLY t_failed ON t (big)")
        .await;
    assert!(failed.is_err(), "its values are not unique");
    let queries = [
        "SELECT * FROM public.t WHERE code = '400000000007?'::public.ean13",
        "SELECT code, count(*) FROM public.t GROUP BY code",
        "SELECT * FROM public.t WHERE codes OPERATOR(pg_catalog.@>) ARRAY['400000000007?']::public.ean13[]",
        "SELECT * FROM t WHERE span && '3 .. 4'::seg",
        "SELECT * FROM public.t WHERE at > '2024-03-01' AND at < '2024-03-02'",
        "SELECT * FROM t WHERE earth_box(ll_to_earth(3, 4), 20000) @> ll_to_earth(lat, lon)",
        "SELECT * FROM public.t WHERE public.score(m) = 0",
        "SELECT * FROM public.t WHERE big = 103999",
    ];
    for (redact, same) in [("none", 0..8), ("default", 4..8), ("all", 6..7)] {
        let (_folder, snapshot, _) = capture(&database.url, redact);
        let plans = crate::twin::planned(&snapshot, &(queries.join(";\n") + ";\n"));
        for at in same {
            let explain = format!("EXPLAIN (FORMAT JSON, VERBOSE) {}", queries[at]);
            let real: serde_json::Value = session.query_one(&explain, &[]).await.unwrap().get(0);
            let twin = &plans[at]["explain"][0]["Plan"];
            assert_eq!(
                real[0]["Plan"]["Node Type"], twin["Node Type"],
                "{redact}: {}",
                plans[at]
            );
            if redact == "none" {
                assert_eq!(real[0]["Plan"], *twin, "{}", queries[at]);
            }
        }
    }
}
