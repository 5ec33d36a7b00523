//! Pricing with several twins at once: the same answers as with one, to the byte, and nothing left behind.

use serde_json::Value;

use crate::{
    support,
    twin::{capture, pgassay},
};

const SCHEMA: &str = "CREATE EXTENSION pg_trgm; \
    CREATE TABLE a (id int PRIMARY KEY, b int, c int, d text, e date) WITH (autovacuum_enabled = off); \
    INSERT INTO a SELECT n, n % 900, n % 7, md5(n::text), date '2020-01-01' + n % 1000 FROM generate_series(1, 60000) n; \
    CREATE TABLE b (id int PRIMARY KEY, a int, f int, g text, h jsonb) WITH (autovacuum_enabled = off); \
    INSERT INTO b SELECT n, n % 60000, n % 800, 'g' || n % 3000, jsonb_build_object('k', n % 500) FROM generate_series(1, 60000) n; \
    CREATE TABLE p (id int, at date, x int) PARTITION BY RANGE (at); \
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01'); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2021-01-01') TO ('2023-01-01'); \
    INSERT INTO p SELECT n, date '2020-01-01' + n % 1000, n % 700 FROM generate_series(1, 50000) n; VACUUM ANALYZE";

const LOG: &str = "SELECT * FROM a WHERE b = 5;\nSELECT * FROM a WHERE b = 5 AND c = 3;\nSELECT * FROM a WHERE d = 'x' ORDER BY e LIMIT 5;\n\
    SELECT * FROM a WHERE d LIKE '%abc%';\nSELECT * FROM a WHERE lower(d) = 'abc';\nSELECT * FROM a WHERE e = '2020-05-05' AND b < 50;\n\
    SELECT c, count(*) FROM a WHERE e > '2022-08-01' GROUP BY c;\nSELECT * FROM b WHERE a = 7;\nSELECT * FROM b WHERE f = 7 AND g = 'g7';\n\
    SELECT * FROM b WHERE g = 'g8';\nSELECT * FROM b WHERE h @> '{\"k\": 7}';\nSELECT * FROM a JOIN b ON b.a = a.id WHERE a.b = 9;\n\
    SELECT * FROM a JOIN b ON b.a = a.id WHERE b.f = 9 AND a.e = '2020-07-07';\nSELECT * FROM b WHERE (h ->> 'k')::int = 4;\n\
    SELECT * FROM p WHERE x = 5;\nSELECT * FROM p WHERE x = 5 AND at > '2021-05-05';\nSELECT * FROM b ORDER BY f DESC, g LIMIT 10;\n";

#[tokio::test]
async fn several_twins_answer_as_one_does() {
    let database = support::database("several").await;
    for part in SCHEMA.split("VACUUM") {
        let vacuum = if part.trim() == "ANALYZE" {
            "VACUUM "
        } else {
            ""
        };
        database.run(&format!("{vacuum}{part}")).await;
    }
    let (folder, snapshot, _) = capture(&database.url, "none");
    let log = folder.path().join("log.sql");
    let mut weighted = String::new();
    for line in LOG.lines() {
        weighted.push_str("-- calls: 400, mean_time_ms: 90\n");
        weighted.push_str(line);
        weighted.push('\n');
    }
    std::fs::write(&log, weighted).unwrap();
    let report = |n: &str| -> Value {
        let (out, err) = pgassay(&[
            "check",
            log.to_str().unwrap(),
            "--snapshot",
            &snapshot,
            "--twins",
            n,
            "--format",
            "json",
            "--fail-on",
            "never",
        ]);
        let mut report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        let calls = report["run"]["n_planner_calls"].as_u64().unwrap();
        assert!(calls > 30, "{n} twins: {calls} planner calls");
        report.as_object_mut().unwrap().remove("run");
        report
    };
    let one = report("1");
    assert_eq!(one["server"]["what_if"], "twin");
    let indexes = one["findings"].as_array().unwrap().iter();
    let n_indexes = indexes
        .filter(|finding| finding["remedy"]["kind"] == "create-index")
        .count();
    assert!(n_indexes >= 6, "{n_indexes} indexes: {one:#}");
    for n in ["2", "3", "5"] {
        assert_eq!(report(n), one, "{n} twins");
    }
}

#[test]
fn a_number_of_twins_is_bounded() {
    for n in ["0", "33", "-1", "x"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pgassay"))
            .args(["check", "x.sql", "--snapshot", "y", &format!("--twins={n}")])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{n}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("from 1 to 32"), "{error}");
    }
}
