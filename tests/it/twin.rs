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
    // statistics and visibility must stay as captured until plans are compared
    database
        .run("DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'm') AND relnamespace::regnamespace::text !~ '^(pg_|information_)' \
              LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t); END LOOP; END $$")
        .await;
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
    capture_with(url, redact, &[])
}

fn capture_with(url: &str, redact: &str, more: &[&str]) -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder
        .path()
        .join("shop.pgassay")
        .to_str()
        .unwrap()
        .to_owned();
    let arguments = [
        "capture",
        "--database-url",
        url,
        "--redact",
        redact,
        "-o",
        &path,
    ];
    let (_, said) = pgassay(&[&arguments, more].concat());
    (folder, path, said)
}

async fn identical_as_superuser(server: &Server) {
    let database = shop(server, "twin").await;
    let (_folder, snapshot, _) = capture(&database.url, "none");
    let plans = planned(&snapshot, QUERIES);
    assert_eq!(plans.len(), QUERIES.matches(";\n").count());
    let (identical, _) = compare(&database, "postgres", &plans).await;
    assert_eq!(identical, plans.len(), "on {}", server.major());
    let generic = planned(
        &snapshot,
        "SELECT * FROM people WHERE id = $1 AND mood = $2;\n",
    );
    let root = &generic[0]["explain"][0]["Plan"];
    assert_eq!(root["Index Name"], "people_pkey", "{generic:?}");
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
    for gap in [
        "extended statistics",
        "histograms of range columns",
        "not read",
    ] {
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

/// The file's content, unpacked.
fn unpacked(path: &str) -> String {
    let bytes = std::fs::read(path).unwrap();
    // magic word and version stand before the compressed frame
    String::from_utf8(zstd::decode_all(&bytes[18..]).unwrap()).unwrap()
}

/// Each secret holds one of these, whatever it is planted in.
const SECRETS: &[&str] = &["hunter2", "987654321012"];

const PLANTED: &str = "
    CREATE EXTENSION pg_stat_statements; CREATE EXTENSION file_fdw;
    CREATE TYPE state AS ENUM ('new', 'done');
    CREATE DOMAIN word AS text CHECK (VALUE <> 'hunter2 domain');
    CREATE FUNCTION one() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'hunter2 sql' /* hunter2 */ $$;
    CREATE FUNCTION two(a text DEFAULT 'hunter2 argument') RETURNS text LANGUAGE plpgsql AS $$ BEGIN -- hunter2
      RETURN a || E'hunter2\\n' || $x$hunter2 body$x$; END $$;
    CREATE TABLE t (id bigint PRIMARY KEY, state state, note text DEFAULT 'hunter2 default', category text, card bigint, email text, tags text[], data jsonb, vip bool, at timestamptz,
      size int, amount numeric, w word, made text GENERATED ALWAYS AS (note || 'hunter2 generated') STORED, CONSTRAINT c CHECK (note <> 'hunter2 check' AND card <> 98765432101299));
    INSERT INTO t (id, state, note, category, card, email, tags, data, vip, at, size, amount, w) SELECT i, 'new', 'hunter2 ' || i % 7, 'hunter2', 98765432101234 + i % 3, 'hunter2@x.org', ARRAY['hunter2'], '{\"k\": \"hunter2\"}', true, timestamptz '2026-01-01' + i * interval '1 minute',
      i % 9, 98765432101234, 'hunter2' FROM generate_series(1, 3000) i;
    UPDATE t SET category = 'open' WHERE id % 2 = 0;
    COMMENT ON TABLE t IS 'hunter2 comment'; COMMENT ON COLUMN t.note IS 'hunter2 comment';
    CREATE INDEX t_note ON t (note) WHERE note <> 'hunter2 predicate' AND category <> 'hunter2'; CREATE INDEX t_open ON t (at) WHERE category = 'open'; CREATE INDEX t_card ON t (card);
    CREATE INDEX t_lower ON t (lower(email)); CREATE INDEX t_tags ON t USING gin (tags); CREATE STATISTICS t_stat (mcv, dependencies) ON note, category FROM t; CREATE STATISTICS t_kept (mcv) ON state, vip FROM t;
    CREATE TABLE p (k text, n int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN ('hunter2 bound'); CREATE TABLE p2 PARTITION OF p DEFAULT;
    CREATE VIEW v AS SELECT id, note || 'hunter2 view' AS x FROM t WHERE note <> 'hunter2';
    ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY hide ON t USING (note <> 'hunter2 policy');
    CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE f (a int) SERVER s OPTIONS (filename '/hunter2');
    ANALYZE; SELECT count(*) FROM t WHERE note = 'hunter2 query'; SELECT count(*) FROM t WHERE at > '2026-01-02';";

#[tokio::test]
async fn secrets_stay_where_they_are() {
    let database = support::database("secrets").await;
    database.run(PLANTED).await;
    database
        .run(&format!(
            "ALTER DATABASE {} SET app.key = 'hunter2 setting'",
            database.name
        ))
        .await;
    database
        .run("SELECT count(*) FROM t WHERE note = 'hunter2 query' -- hunter2")
        .await;
    database
        .run("DO $$ BEGIN PERFORM 'hunter2 block'; END $$")
        .await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.sql");
    std::fs::write(&log, SECRET_LOG).unwrap();
    let log = log.to_str().unwrap();
    for how in ["default", "all"] {
        let (_folder, path, said) = capture_with(&database.url, how, &["--log", log]);
        let content = unpacked(&path);
        for secret in SECRETS {
            let at = content.find(secret);
            let around = at.map(|at| {
                content[at.saturating_sub(150)..]
                    .chars()
                    .take(220)
                    .collect::<String>()
            });
            assert_eq!(around, None, "{how}");
            assert!(!said.contains(secret), "{said}");
        }
        assert!(content.contains("count(*)"), "the statements are there");
        let (shown, _) = pgassay(&["capture", "--show", &path]);
        assert!(shown.contains("holds no value of"), "{shown}");
        let plans = planned(
            &path,
            "SELECT * FROM t WHERE at > '2026-01-03' AND category = 'open';\nSELECT * FROM v;\n",
        );
        assert!(
            plans.iter().all(|plan| plan.get("explain").is_some()),
            "{plans:?}"
        );
        let is_default = how == "default";
        // the workload's facts have a key of that name
        let values = content.replace("\"open\":", "");
        assert_eq!(
            values.contains("\"open\""),
            is_default,
            "a word of a category that the schema names"
        );
        assert_eq!(
            plans[0].to_string().contains("t_open"),
            is_default,
            "{plans:?}"
        );
    }
    let (_folder, path, _) = capture(&database.url, "none");
    let content = unpacked(&path);
    assert!(SECRETS.iter().all(|secret| content.contains(secret)));
}

/// Statements as a log has them, with values in every place where one can stand.
const SECRET_LOG: &str = "
    SELECT * FROM t WHERE note = 'hunter2 3' AND category = 'hunter2' AND id = 5 -- hunter2
    ;
    SELECT * FROM t WHERE email LIKE 'hunter2%' OR email ILIKE '%hunter2' OR lower(email) = 'hunter2@x.org' OR note > 'hunter2 4';
    SELECT * FROM t WHERE card = 98765432101235 OR amount > 98765432101234 OR card IN (98765432101236, -98765432101234);
    SELECT * FROM t WHERE tags @> ARRAY['hunter2'] AND data @> '{\"k\": \"hunter2\"}' AND data ->> 'hunter2 key' = E'hunter2' AND category BETWEEN 'hunter2' AND $$hunter2$$;
    SELECT 'hunter2', 98765432101234, interval 'hunter2', x.y FROM v x WHERE x.x = 'hunter2 3hunter2 view' AND at > '2026-01-02' LIMIT 5;
    INSERT INTO t (id, note) VALUES (987654321012, 'hunter2'); UPDATE t SET note = 'hunter2', card = 98765432101234 WHERE w = 'hunter2';
    ALTER ROLE postgres PASSWORD 'hunter2'; SET app.key = 'hunter2';
";

/// A column whose values do not stay, skewed: a plan depends on which value is asked for.
const SKEWED: &str = "
    CREATE TABLE visits (id bigint PRIMARY KEY, host text, referrer text, n int);
    INSERT INTO visits SELECT i, CASE WHEN i % 10 < 7 THEN 'www.example.org' WHEN i % 10 < 9 THEN 'api.example.org' ELSE 'host' || i END,
      'ref' || lpad((i % 5000)::text, 4, '0'), i FROM generate_series(1, 50000) i;
    CREATE INDEX visits_host ON visits (host); CREATE INDEX visits_referrer ON visits (referrer); ANALYZE;";

#[tokio::test]
async fn redacted_statements_are_planned_as_selective_as_they_were() {
    let database = support::database("skewed").await;
    database.run(SKEWED).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.sql");
    let conditions = [
        ("*", "host = 'www.example.org'"),
        ("id", "host IN ('api.example.org', 'host99')"),
        ("n", "host = 'host12349'"),
        ("n, id", "referrer < 'ref0100'"),
        ("referrer", "referrer >= 'ref1000' AND n < 4000"),
    ];
    let statements: Vec<String> = conditions
        .iter()
        .map(|(columns, condition)| format!("SELECT {columns} FROM visits WHERE {condition};\n"))
        .collect();
    std::fs::write(&log, statements.concat()).unwrap();
    let more = ["--log", log.to_str().unwrap()];
    let (_folder, path, _) = capture_with(&database.url, "default", &more);
    let content = unpacked(&path);
    assert!(!content.contains("example.org") && !content.contains("ref0"));
    let (shown, _) = pgassay(&["capture", "--show", &path]);
    assert!(
        shown.contains("stand-ins for the texts of 2 columns"),
        "{shown}"
    );
    let (_, said) = pgassay(&["plan", "SELECT 1", "--snapshot", &path]);
    assert!(
        said.contains("of 5 plans of the server") && said.contains("5 of the same shape"),
        "{said}"
    );
    // with the value itself, which the file does not hold: as any value
    let plans = planned(
        &path,
        "SELECT * FROM visits WHERE host = 'www.example.org';\n",
    );
    let plan = plans[0]["explain"][0]["Plan"].to_string();
    assert!(
        plan.contains("'www.example.org'") && !plan.contains("'x"),
        "{plan}"
    );
}

#[tokio::test]
async fn a_missing_extension_takes_only_what_needs_it() {
    let database = support::database("absent").await;
    database
        .run(
            "CREATE EXTENSION hstore; CREATE TABLE items (id int PRIMARY KEY, attrs hstore, n int); \
             INSERT INTO items SELECT i, hstore('k', (i % 9)::text), i % 100 FROM generate_series(1, 20000) i; \
             CREATE INDEX items_attrs ON items USING gin (attrs); CREATE INDEX items_n ON items (n); CREATE VIEW few AS SELECT id FROM items WHERE n = 3; ANALYZE",
        )
        .await;
    let (_folder, path, _) = capture(&database.url, "none");
    let mut snapshot = pgassay::snapshot::read(std::fs::File::open(&path).unwrap()).unwrap();
    let extensions = &mut snapshot.planner.as_mut().unwrap().objects.extensions;
    let hstore = extensions.iter_mut().find(|e| e.name == "hstore").unwrap();
    hstore.name = "absent".to_owned();
    pgassay::snapshot::write(&snapshot, std::fs::File::create(&path).unwrap()).unwrap();
    let statements = "SELECT id FROM items WHERE n = 7;\nSELECT * FROM few;\nSELECT id FROM items WHERE id < 50;\n";
    let plans = planned(&path, statements);
    assert_eq!(compare(&database, "postgres", &plans).await, (3, 3));
    let failing = planned(&path, "SELECT id FROM items WHERE attrs @> 'k=>1';\n");
    let error = failing[0]["error"].as_str().unwrap();
    assert!(
        error.ends_with("(extensions that are not installed here: absent)"),
        "{error}"
    );
    let (_, said) = pgassay(&["plan", "SELECT 1", "--snapshot", &path]);
    assert!(
        said.contains("not installed on this machine: absent;"),
        "{said}"
    );
    assert!(
        said.contains("type public.hstore: not available here"),
        "{said}"
    );
}

/// A snapshot whose every SQL text tries to reach the host.
/// Index, a condition that it serves, and how far the guessed size may be off.
const WHAT_IF: &[(&str, &str, f64)] = &[
    (
        "CREATE INDEX i0 ON t (word, at DESC)",
        "word = 'Word 77' ORDER BY at DESC",
        1.1,
    ),
    (
        "CREATE UNIQUE INDEX i1 ON t (id) INCLUDE (at)",
        "id = 77",
        1.1,
    ),
    (
        "CREATE INDEX i2 ON t (lower(word))",
        "lower(word) = 'word 77'",
        1.2,
    ),
    (
        "CREATE INDEX i3 ON t USING hash (code)",
        "code = 'c77'",
        1.1,
    ),
    (
        "CREATE INDEX i4 ON t USING gin (tags)",
        "tags @> '{a7,b2}'",
        1.5,
    ),
    (
        "CREATE INDEX i5 ON t USING gin (data)",
        "data @> '{\"k\": 7}'",
        1.5,
    ),
    (
        "CREATE INDEX i6 ON t USING gin (title gin_trgm_ops)",
        "title LIKE '%777%'",
        2.0,
    ),
    ("CREATE INDEX i7 ON t USING gist (span)", "span @> 77", 2.0),
    (
        "CREATE INDEX i8 ON t USING brin (at) WITH (pages_per_range = 4)",
        "at < '2026-01-02'",
        1.5,
    ),
];

/// Predicted, then really built: the plans must be the same, the sizes near.
#[tokio::test]
async fn what_if_indexes_are_planned_with_as_real_ones() {
    let database = support::database("what_if").await;
    database
        .run("CREATE EXTENSION pg_trgm; CREATE TABLE t (id int, word text, code text, title text, tags text[], data jsonb, at timestamptz, span int4range) WITH (autovacuum_enabled = off); \
              INSERT INTO t SELECT i, 'Word ' || i % 3000, 'c' || i % 900, 'Title ' || i, ARRAY['a' || i % 40, 'b' || i % 7], jsonb_build_object('k', i % 90), timestamptz '2026-01-01' + i * interval '1 minute', \
              int4range(i * 7919 % 1000, i * 7919 % 1000 + 5) FROM generate_series(1, 20000) i")
        .await;
    // statistics of expressions come with ANALYZE; those of the table stay as they are for both
    for (ddl, _, _) in WHAT_IF {
        database.run(ddl).await;
    }
    database.run("VACUUM ANALYZE t").await;
    let fresh = Owned::connect(&database.conninfo, 1).await.unwrap();
    let session = fresh.session().await.unwrap();
    let mut real: Vec<(Value, i64)> = Vec::new();
    for (at, (_, condition, _)) in WHAT_IF.iter().enumerate() {
        let explain = format!("EXPLAIN (FORMAT JSON, VERBOSE) SELECT * FROM t WHERE {condition}");
        let plan = session.query_one(&explain, &[]).await.unwrap().get(0);
        let size = format!("SELECT pg_relation_size('i{at}')");
        let n_bytes = session.query_one(&size, &[]).await.unwrap().get(0);
        real.push((plan, n_bytes));
    }
    for at in 0..WHAT_IF.len() {
        database.run(&format!("DROP INDEX i{at}")).await;
    }
    let (folder, snapshot, _) = capture(&database.url, "none");
    let queries: Vec<String> = WHAT_IF
        .iter()
        .map(|(_, condition, _)| format!("SELECT * FROM t WHERE {condition};\n"))
        .collect();
    let file = folder.path().join("q.sql");
    std::fs::write(&file, queries.concat()).unwrap();
    let mut arguments = vec![
        "plan",
        "--file",
        file.to_str().unwrap(),
        "--snapshot",
        &snapshot,
        "--format",
        "json",
    ];
    for (ddl, _, _) in WHAT_IF {
        arguments.extend(["--index", ddl]);
    }
    let answer: Value = serde_json::from_str(&pgassay(&arguments).0).unwrap();
    for (at, ((ddl, _, tolerance), (want, n_bytes))) in WHAT_IF.iter().zip(real).enumerate() {
        let ratio = answer["indexes"][at]["size_bytes"].as_f64().unwrap() / n_bytes as f64;
        assert!(
            (1.0 / tolerance..*tolerance).contains(&ratio),
            "{ddl}: {ratio}"
        );
        let plan = &answer["plans"][at];
        let (mut left, mut right) = (Vec::new(), Vec::new());
        shape(&want[0]["Plan"], &mut left);
        shape(&plan["explain"][0]["Plan"], &mut right);
        assert_eq!(left, right, "{ddl}");
        assert!(!plan["before"].is_null(), "{plan}");
    }
    let (out, _) = pgassay(&[
        "plan",
        "SELECT * FROM t WHERE id = 7",
        "--snapshot",
        &snapshot,
        "--index",
        "CREATE INDEX CONCURRENTLY i ON t (id)",
        "--set",
        "enable_bitmapscan = off",
    ]);
    assert!(
        out.contains("i on public.t: about") && out.contains("1 of 1 plans change"),
        "{out}"
    );
    let refused = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .args([
            "plan",
            "SELECT 1",
            "--snapshot",
            &snapshot,
            "--index",
            "DROP TABLE t",
        ])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

/// Files are sparse: a terabyte that is claimed is planned with, and an index on it guessed, without its disk or time.
#[tokio::test]
async fn a_terabyte_is_planned_with() {
    let database = support::database("terabyte").await;
    database
        .run("CREATE TABLE t (id bigint PRIMARY KEY, a text); CREATE INDEX t_a ON t (a); INSERT INTO t SELECT i, 'x' || i FROM generate_series(1, 1000) i; ANALYZE")
        .await;
    let (folder, path, _) = capture(&database.url, "none");
    let mut snapshot = pgassay::snapshot::read(&std::fs::read(&path).unwrap()[..]).unwrap();
    let planner = snapshot.planner.as_mut().unwrap();
    for state in &mut planner.physical {
        let n_blocks = if state.name.name == "t" {
            1_u64 << 27
        } else {
            1 << 23
        };
        (state.n_blocks, state.relpages, state.reltuples) =
            (n_blocks, n_blocks.cast_signed(), 1e10);
        state.height = state.height.map(|_| 4);
    }
    let large = folder.path().join("large.pgassay");
    let mut bytes = Vec::new();
    pgassay::snapshot::write(&snapshot, &mut bytes).unwrap();
    std::fs::write(&large, bytes).unwrap();
    let (out, _) = pgassay(&[
        "plan",
        "SELECT * FROM t WHERE a = 'x7'",
        "--snapshot",
        large.to_str().unwrap(),
        "--index",
        "CREATE INDEX i ON t (id, a)",
    ]);
    assert!(
        out.contains("same plan, cost 8.73") && out.contains("i on public.t: about"),
        "{out}"
    );
}
