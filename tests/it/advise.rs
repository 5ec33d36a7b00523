//! Index advice on a small web shop: what should get an index gets one that a real plan uses and that reads less, the rest stays silent.

use std::collections::BTreeMap;

use pgassay::{
    advise::{self, Advice, NoPlanner},
    catalog::{Build, Catalog},
    db::{Audited, AuditedOptions, RealPlanner},
    workload::{InputFacts, InputKind, PgssEntry, PgssStats, Workload},
};

use crate::support::{self, Database};

/// A statement of the shop, with what should become of it.
struct Case {
    sql: &'static str,
    /// The same as `pg_stat_statements` prints it.
    normalised: &'static str,
    mean_ms: f64,
    /// Rows per call.
    rows: u64,
    expect: Expect,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Expect {
    /// Some recommended index serves it.
    Index,
    /// The same, but only where literals are visible: `pg_stat_statements` alone can't tell.
    IndexWithLiterals,
    Nothing,
}

const SCHEMA: &str = "
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, country text NOT NULL, created_at timestamptz NOT NULL, bio text);
INSERT INTO users SELECT n, 'u' || n || '@x.org', (ARRAY['de','fr','us','uk','pl'])[1 + n % 5], now() - n * interval '7 minutes', repeat('b', 50)
  FROM generate_series(1, 30000) n;
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, status text NOT NULL, total numeric NOT NULL,
  created_at timestamptz NOT NULL, deleted_at timestamptz, note text);
INSERT INTO orders SELECT n, 1 + n * 7919 % 30000, CASE WHEN n % 400 = 0 THEN 'pending' WHEN n % 3 = 0 THEN 'paid' ELSE 'shipped' END, n % 500,
  now() - (n * 7919 % 100000) * interval '5 minutes', CASE WHEN n % 51 = 0 THEN now() END, repeat('n', 40) FROM generate_series(1, 100000) n;
CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, product_id bigint NOT NULL, quantity integer NOT NULL);
INSERT INTO items SELECT n, 1 + n % 100000, 1 + n * 31 % 2000, 1 + n % 5 FROM generate_series(1, 200000) n;
CREATE TABLE products (id bigint PRIMARY KEY, sku text NOT NULL UNIQUE, name text NOT NULL);
INSERT INTO products SELECT n, 'sku' || n, 'product ' || n FROM generate_series(1, 2000) n;
CREATE TABLE settings (id bigint PRIMARY KEY, key text NOT NULL, value text);
INSERT INTO settings SELECT n, 'k' || n, 'v' FROM generate_series(1, 200) n;
CREATE TABLE hits (id bigint PRIMARY KEY, path text NOT NULL, at timestamptz NOT NULL, n integer NOT NULL);
INSERT INTO hits SELECT n, '/p/' || n % 40, now() - n * interval '1 second', 0 FROM generate_series(1, 60000) n;
CREATE INDEX hits_at ON hits (at);
ALTER TABLE users SET (autovacuum_enabled = off);
ALTER TABLE orders SET (autovacuum_enabled = off);
ALTER TABLE items SET (autovacuum_enabled = off);
ALTER TABLE hits SET (autovacuum_enabled = off);
VACUUM ANALYZE users, orders, items, products, settings, hits";

const CASES: &[Case] = &[
    Case {
        sql: r#"SELECT "users".* FROM "users" WHERE "users"."email" = 'u28077@x.org' LIMIT 1"#,
        normalised: r#"SELECT "users".* FROM "users" WHERE "users"."email" = $1 LIMIT $2"#,
        mean_ms: 6.0,
        rows: 1,
        expect: Expect::Index,
    },
    Case {
        sql: "SELECT o.id, o.total FROM orders o WHERE o.user_id = 12 ORDER BY o.created_at DESC LIMIT 20",
        normalised: "SELECT o.id, o.total FROM orders o WHERE o.user_id = $1 ORDER BY o.created_at DESC LIMIT $2",
        mean_ms: 14.0,
        rows: 4,
        expect: Expect::Index,
    },
    Case {
        sql: "SELECT id FROM orders WHERE status = 'pending' AND deleted_at IS NULL ORDER BY created_at LIMIT 10 FOR UPDATE SKIP LOCKED",
        normalised: "SELECT id FROM orders WHERE status = $1 AND deleted_at IS NULL ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        mean_ms: 12.0,
        rows: 10,
        expect: Expect::IndexWithLiterals,
    },
    Case {
        sql: "SELECT i.*, p.name FROM items i JOIN products p ON p.id = i.product_id WHERE i.order_id = 4711",
        normalised: "SELECT i.*, p.name FROM items i JOIN products p ON p.id = i.product_id WHERE i.order_id = $1",
        mean_ms: 15.0,
        rows: 2,
        expect: Expect::Index,
    },
    Case {
        sql: "UPDATE items SET quantity = quantity + 1 WHERE order_id = 99 AND product_id = 3",
        normalised: "UPDATE items SET quantity = quantity + $1 WHERE order_id = $2 AND product_id = $3",
        mean_ms: 14.0,
        rows: 1,
        expect: Expect::Index,
    },
    Case {
        sql: "SELECT max(created_at) FROM orders WHERE user_id = 5",
        normalised: "SELECT max(created_at) FROM orders WHERE user_id = $1",
        mean_ms: 11.0,
        rows: 1,
        expect: Expect::Index,
    },
    Case {
        sql: "SELECT u.id, email FROM users u WHERE EXISTS (SELECT 1 FROM orders WHERE user_id = u.id AND total > 498) AND u.id < 100",
        normalised: "SELECT u.id, email FROM users u WHERE EXISTS (SELECT $1 FROM orders WHERE user_id = u.id AND total > $2) AND u.id < $3",
        mean_ms: 13.0,
        rows: 3,
        expect: Expect::Index,
    },
    Case {
        sql: "SELECT * FROM orders WHERE id = 17",
        normalised: "SELECT * FROM orders WHERE id = $1",
        mean_ms: 0.05,
        rows: 1,
        expect: Expect::Nothing,
    },
    Case {
        sql: "SELECT count(*) FROM orders WHERE status <> 'pending'",
        normalised: "SELECT count(*) FROM orders WHERE status <> $1",
        mean_ms: 16.0,
        rows: 1,
        expect: Expect::Nothing,
    },
    Case {
        sql: "SELECT country, count(*) FROM users GROUP BY country",
        normalised: "SELECT country, count(*) FROM users GROUP BY country",
        mean_ms: 9.0,
        rows: 5,
        expect: Expect::Nothing,
    },
    Case {
        sql: "SELECT value FROM settings WHERE key = 'k7'",
        normalised: "SELECT value FROM settings WHERE key = $1",
        mean_ms: 0.1,
        rows: 1,
        expect: Expect::Nothing,
    },
    Case {
        sql: "SELECT * FROM products WHERE sku = 'sku5'",
        normalised: "SELECT * FROM products WHERE sku = $1",
        mean_ms: 0.05,
        rows: 1,
        expect: Expect::Nothing,
    },
    Case {
        sql: "SELECT path, n FROM hits WHERE at > now() - interval '1 minute'",
        normalised: "SELECT path, n FROM hits WHERE at > now() - interval $1",
        mean_ms: 0.1,
        rows: 60,
        expect: Expect::Nothing,
    },
    Case {
        sql: "SELECT id, note FROM orders WHERE note ILIKE '%urgent%'",
        normalised: "SELECT id, note FROM orders WHERE note ILIKE $1",
        mean_ms: 40.0,
        rows: 0,
        expect: Expect::IndexWithLiterals,
    },
    Case {
        sql: "INSERT INTO hits (id, path, at, n) VALUES (1, '/', now(), 1) ON CONFLICT (id) DO UPDATE SET n = hits.n + 1",
        normalised: "INSERT INTO hits (id, path, at, n) VALUES ($1, $2, now(), $3) ON CONFLICT (id) DO UPDATE SET n = hits.n + $4",
        mean_ms: 0.05,
        rows: 1,
        expect: Expect::Nothing,
    },
];

/// Calls of each statement.
const N_CALLS: u64 = 200;

async fn shop() -> Database {
    let database = support::database("shop").await;
    for statement in SCHEMA.split(';') {
        database.run(statement).await;
    }
    database
}

fn with_literals() -> Workload {
    let log: Vec<String> = CASES
        .iter()
        .map(|case| {
            format!(
                "-- calls: {N_CALLS}, mean_time_ms: {}\n{};",
                case.mean_ms, case.sql
            )
        })
        .collect();
    support::workload::of_log(&log.join("\n"))
}

fn from_pg_stat_statements() -> Workload {
    let mut workload = Workload::default();
    let entries = CASES
        .iter()
        .map(|case| PgssEntry {
            text: case.normalised.to_owned(),
            stats: PgssStats {
                n_calls: N_CALLS,
                total_ms: case.mean_ms * N_CALLS as f64,
                n_rows: case.rows * N_CALLS,
                ..PgssStats::default()
            },
            since_us: None,
        })
        .collect();
    let facts = InputFacts {
        kind: InputKind::PgStatStatements,
        ..InputFacts::default()
    };
    workload.add_pg_stat_statements(entries, facts);
    workload
}

async fn catalog(database: &Database) -> Catalog {
    let info = database.conninfo.audited();
    let audited = Audited::connect(&info, AuditedOptions::default())
        .await
        .unwrap();
    Box::pin(audited.catalog()).await.unwrap()
}

async fn advised(database: &Database, workload: &Workload) -> Advice {
    let planner = RealPlanner::new(database.owned.clone());
    let catalog = catalog(database).await;
    let advice = advise::advise(&catalog, workload, &planner, &advise::Options::default()).await;
    planner.finish().await;
    advice
}

/// Cases that an index is recommended for, by their position.
fn served(
    advice: &Advice,
    workload: &Workload,
    text: impl Fn(&Case) -> &'static str,
) -> BTreeMap<usize, Vec<String>> {
    let mut served: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for recommendation in &advice.recommendations {
        for priced in &recommendation.queries {
            let query = workload.query(priced.fingerprint).unwrap();
            let at = CASES
                .iter()
                .position(|case| {
                    pgassay::sql::normalise(text(case).as_bytes()).fingerprint == query.fingerprint
                })
                .unwrap();
            served
                .entry(at)
                .or_default()
                .push(recommendation.def.body_sql());
        }
    }
    served
}

fn check(served: &BTreeMap<usize, Vec<String>>, sees_literals: bool) {
    for (at, case) in CASES.iter().enumerate() {
        let wanted = match case.expect {
            Expect::Index => true,
            Expect::IndexWithLiterals => sees_literals,
            Expect::Nothing => false,
        };
        let got = served.get(&at);
        if case.expect == Expect::IndexWithLiterals && !sees_literals {
            continue;
        }
        assert_eq!(got.is_some(), wanted, "{}: {got:?}", case.sql);
    }
}

#[tokio::test]
async fn a_shop_gets_the_indexes_that_it_needs_and_no_others() {
    let database = shop().await;
    let workload = with_literals();
    let advice = advised(&database, &workload).await;
    let served = served(&advice, &workload, |case| case.sql);
    check(&served, true);
    let again = advised(&database, &workload).await;
    // each run analyses the tables again: the planner's figures move with the sample, the choice must not
    let definitions = |advice: &Advice| {
        let chosen = advice.recommendations.iter();
        chosen
            .map(|one| (one.def.clone(), one.reason))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        definitions(&advice),
        definitions(&again),
        "the same tables, the same indexes"
    );

    let before = blocks_read(&database, &served).await;
    for recommendation in &advice.recommendations {
        if let Some(extension) = &recommendation.extension {
            database
                .run(&format!("CREATE EXTENSION IF NOT EXISTS {extension}"))
                .await;
        }
        database
            .run(&recommendation.def.create_sql(Build::Plain))
            .await;
    }
    let after = blocks_read(&database, &served).await;
    for (at, before) in &before {
        let after = after[at];
        assert!(
            after * 2 <= *before,
            "{}: {before} blocks before, {after} after",
            CASES[*at].sql
        );
    }
    for recommendation in &advice.recommendations {
        let size = size_of(&database, &recommendation.def.name).await;
        let error = recommendation.size_bytes as f64 / size as f64;
        assert!(
            (0.7..1.4).contains(&error),
            "{}: estimated {} of {size} bytes",
            recommendation.def.name,
            recommendation.size_bytes
        );
    }
    let silent = advised(&database, &workload).await;
    assert!(
        silent.recommendations.is_empty(),
        "an audit after its own advice was followed asks for more: {:#?}",
        silent.recommendations
    );
}

/// One planner and one catalog: opening a planner analyses the tables anew, and every sample differs.
#[tokio::test]
async fn the_same_inputs_give_the_same_advice() {
    let database = shop().await;
    let workload = with_literals();
    let planner = RealPlanner::new(database.owned.clone());
    let catalog = catalog(&database).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let advice =
            advise::advise(&catalog, &workload, &planner, &advise::Options::default()).await;
        seen.push(format!("{advice:?}"));
    }
    planner.finish().await;
    assert!(seen.iter().all(|advice| *advice == seen[0]), "{seen:#?}");
}

#[tokio::test]
async fn pg_stat_statements_alone_is_enough() {
    let database = shop().await;
    let workload = from_pg_stat_statements();
    let advice = advised(&database, &workload).await;
    check(&served(&advice, &workload, |case| case.normalised), false);
    assert!(advice.skipped.is_empty(), "{:?}", advice.skipped);
    // what a log alone can decide: whether the queue's state is a literal, which would make its index a small part of a full one
    let queue = CASES.iter().find(|case| case.sql.contains("SKIP LOCKED"));
    let queue = pgassay::sql::normalise(queue.unwrap().normalised.as_bytes()).fingerprint;
    let conditional = advice.conditional.iter();
    let of_queue: Vec<_> = conditional.filter(|one| one.fingerprint == queue).collect();
    assert_eq!(of_queue.len(), 1, "{:#?}", advice.conditional);
    let predicate = of_queue[0].def.predicate.as_deref().unwrap();
    assert!(predicate.contains("'pending'"), "{predicate}");
    assert_eq!(of_queue[0].column, "status");
    let full = of_queue[0].instead_of_bytes.unwrap();
    assert!(of_queue[0].size_bytes * 4 <= full, "{:?}", of_queue[0]);
}

#[tokio::test]
async fn without_a_planner_advice_is_marked_as_unpriced() {
    let database = shop().await;
    let workload = with_literals();
    let catalog = catalog(&database).await;
    let advice = advise::advise(&catalog, &workload, &NoPlanner, &advise::Options::default()).await;
    assert!(!advice.recommendations.is_empty());
    assert!(
        advice
            .recommendations
            .iter()
            .all(|recommendation| !recommendation.priced)
    );
    for (at, indexes) in served(&advice, &workload, |case| case.sql) {
        assert_ne!(
            CASES[at].expect,
            Expect::Nothing,
            "{}: {indexes:?}",
            CASES[at].sql
        );
    }
}

#[tokio::test]
async fn a_statement_stopped_by_its_limit_is_priced_by_its_time() {
    let database = support::database("limit").await;
    for statement in [
        "CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL, bio text NOT NULL)",
        "INSERT INTO people SELECT n, 'P' || n || '@x.org', repeat('b', 60) FROM generate_series(1, 60000) n",
        "VACUUM ANALYZE people",
    ] {
        database.run(statement).await;
    }
    // half a per cent of rows is the planner's guess for an expression without statistics: LIMIT 1 then costs next to nothing
    let sql = "SELECT id FROM people WHERE lower(email) = 'p59999@x.org' LIMIT 1";
    for (mean_ms, n_expected) in [(24.0, 1), (0.05, 0)] {
        let log = format!("-- calls: 500, mean_time_ms: {mean_ms}\n{sql};");
        let workload = support::workload::of_log(&log);
        let advice = advised(&database, &workload).await;
        let definitions: Vec<String> = advice
            .recommendations
            .iter()
            .map(|one| one.def.body_sql())
            .collect();
        assert_eq!(
            definitions.len(),
            n_expected,
            "{mean_ms} ms: {definitions:?}"
        );
    }
}

const PARCELS: &str = "
CREATE TABLE parcels (id bigint PRIMARY KEY, state text NOT NULL, region integer NOT NULL, seen_at timestamptz NOT NULL, name text NOT NULL);
INSERT INTO parcels SELECT n, (ARRAY['in', 'out', 'lost', 'done'])[1 + n % 4], n % 40, now() - n * interval '11 second',
  substr(md5(n::text), 1, 12) FROM generate_series(1, 80000) n;
CREATE INDEX parcels_state_seen ON parcels (state, seen_at);
ALTER TABLE parcels SET (autovacuum_enabled = off);
VACUUM ANALYZE parcels";

async fn parcels(name: &str) -> Database {
    let database = support::database(name).await;
    for statement in PARCELS.split(';') {
        database.run(statement).await;
    }
    database
}

/// The planner hopes to find the rows early; they are not there, and the statement takes its time. The index that leads to just them is
/// priced with the LIMIT, all others without. Where nothing takes a millisecond and a hundredth of the time, nothing is advised.
#[tokio::test]
async fn under_a_limit_that_is_not_reached_the_exact_index_wins() {
    let database = parcels("hopes").await;
    let sql = "SELECT id, name FROM parcels WHERE region = 7 AND state = 'lost' ORDER BY seen_at DESC LIMIT 7";
    let other = "-- calls: 100000, mean_time_ms: 1\nSELECT name FROM parcels WHERE id = 1;";
    for (mean_ms, expected) in [
        (60.0, vec![vec!["region", "state", "seen_at"]]),
        (0.2, Vec::new()),
    ] {
        let log = format!("-- calls: 500, mean_time_ms: {mean_ms}\n{sql};\n{other}\n");
        let advice = advised(&database, &support::workload::of_log(&log)).await;
        let new = advice.recommendations.iter();
        let keys: Vec<Vec<&str>> = new.map(|one| one.def.key_columns()).collect();
        assert_eq!(keys, expected, "{mean_ms} ms");
    }
}

/// A pattern that no log shows may begin with anything: an index in the order of the names would serve it by luck alone.
#[tokio::test]
async fn an_unknown_pattern_gets_trigrams() {
    let database = parcels("patterns").await;
    let entry = PgssEntry {
        text: "SELECT id, name FROM parcels WHERE name LIKE $1 ORDER BY name LIMIT $2".to_owned(),
        stats: PgssStats {
            n_calls: N_CALLS,
            total_ms: 40.0 * N_CALLS as f64,
            n_rows: 5 * N_CALLS,
            ..PgssStats::default()
        },
        since_us: None,
    };
    let mut workload = Workload::default();
    workload.add_pg_stat_statements(vec![entry], InputFacts::default());
    let advice = advised(&database, &workload).await;
    let new: Vec<&str> = advice
        .recommendations
        .iter()
        .map(|one| one.def.method.as_str())
        .collect();
    assert_eq!(new, ["gin"]);
}

/// Bounds that the user sets hold.
#[tokio::test]
async fn budget_and_room_are_kept() {
    let database = shop().await;
    let workload = with_literals();
    let catalog = catalog(&database).await;
    let planner = RealPlanner::new(database.owned.clone());
    let free = advise::advise(&catalog, &workload, &planner, &advise::Options::default()).await;
    let budget = free
        .recommendations
        .iter()
        .map(|one| one.size_bytes)
        .sum::<u64>()
        / 2;
    let options = advise::Options {
        storage_budget: Some(budget),
        ..advise::Options::default()
    };
    let bounded = advise::advise(&catalog, &workload, &planner, &options).await;
    let size: u64 = bounded
        .recommendations
        .iter()
        .map(|one| one.size_bytes)
        .sum();
    assert!(
        !bounded.recommendations.is_empty() && size <= budget,
        "{size} of {budget}"
    );
    let options = advise::Options {
        max_indexes_per_table: Some(2),
        ..advise::Options::default()
    };
    let bounded = advise::advise(&catalog, &workload, &planner, &options).await;
    let mut n_new: BTreeMap<String, usize> = BTreeMap::new();
    for one in &bounded.recommendations {
        *n_new.entry(one.def.table.to_string()).or_default() += 1;
    }
    for (table, n) in &n_new {
        let relation = catalog
            .relations
            .iter()
            .find(|r| r.name.to_string() == *table)
            .unwrap();
        assert!(relation.indexes.len() + n <= 2, "{table}: {n} new ones");
    }
    assert!(!n_new.is_empty());
    let stopped = advise::Options::default();
    stopped
        .stop
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let early = advise::advise(&catalog, &workload, &planner, &stopped).await;
    assert!(early.pricing.contains("--max-time"), "{}", early.pricing);
    assert!(early.recommendations.is_empty());
    planner.finish().await;
}

/// Shared blocks that each served statement touches, really executed in a rolled-back transaction.
async fn blocks_read(
    database: &Database,
    served: &BTreeMap<usize, Vec<String>>,
) -> BTreeMap<usize, u64> {
    let session = database.owned.session().await.unwrap();
    let mut blocks = BTreeMap::new();
    for &at in served.keys() {
        session.batch_execute("BEGIN").await.unwrap();
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}", CASES[at].sql);
        let row = session.query_one(&explain, &[]).await.unwrap();
        session.batch_execute("ROLLBACK").await.unwrap();
        let plan: serde_json::Value = row.get(0);
        let root = &plan[0]["Plan"];
        let count = |key: &str| root[key].as_u64().unwrap_or(0);
        blocks.insert(at, count("Shared Hit Blocks") + count("Shared Read Blocks"));
    }
    blocks
}

async fn size_of(database: &Database, index: &str) -> u64 {
    let text = database
        .text(&format!(
            "SELECT pg_relation_size('{index}'::regclass)::text"
        ))
        .await;
    text.parse().unwrap()
}

const ACCOUNTS: &str = "
CREATE TABLE entries (id bigint PRIMARY KEY, account_id bigint NOT NULL, at timestamptz NOT NULL, note text NOT NULL);
INSERT INTO entries SELECT n, n % 50, now() - (n * 7919 % 100000) * interval '1 minute', repeat('n', 60) FROM generate_series(1, 100000) n;
CREATE INDEX entries_account ON entries (account_id) WITH (fillfactor = 60);
ALTER TABLE entries SET (autovacuum_enabled = off);
VACUUM ANALYZE entries";

const LATEST: &str = "-- calls: 5000, mean_time_ms: 9\nSELECT note FROM entries WHERE account_id = 7 ORDER BY at DESC LIMIT 10;\n\
    -- calls: 5000, mean_time_ms: 0.1\nINSERT INTO entries VALUES (0, 1, now(), 'x');\n";

/// Keys of the new indexes, what they replace, and what became of the existing index.
async fn replaced(
    name: &str,
    log: &str,
) -> (Vec<Vec<String>>, Vec<String>, Option<advise::PricedDrop>) {
    let database = support::database(name).await;
    for statement in ACCOUNTS.split(';') {
        database.run(statement).await;
    }
    let advice = advised(&database, &support::workload::of_log(log)).await;
    let keys = advice.recommendations.iter().map(|one| {
        let keys = one.def.key_columns();
        keys.into_iter().map(str::to_owned).collect()
    });
    let keys = keys.collect();
    let replaces = advice
        .recommendations
        .iter()
        .flat_map(|one| one.replaces.clone())
        .collect();
    (keys, replaces, advice.drops.into_iter().next())
}

/// The wider index does what the narrow one did for every statement: one search adds the one and drops the other.
#[tokio::test]
async fn a_wider_index_takes_the_place_of_a_narrow_one() {
    let (keys, replaces, drop) = replaced("replaced", LATEST).await;
    assert_eq!(keys, [["account_id", "at"]]);
    assert_eq!(replaces, ["public.entries_account"]);
    assert!(drop.unwrap().is_dropped);
}

/// A count reads the narrow index alone, which is smaller: no drop makes a statement cost more than a tenth more.
#[tokio::test]
async fn an_index_stays_where_a_statement_would_cost_a_tenth_more_without_it() {
    let log = format!(
        "{LATEST}-- calls: 2000, mean_time_ms: 0.3\nSELECT count(*) FROM entries WHERE account_id = 8;\n"
    );
    let (keys, replaces, drop) = replaced("held", &log).await;
    assert_eq!(keys, [["account_id", "at"]]);
    assert!(replaces.is_empty(), "{replaces:?}");
    let drop = drop.unwrap();
    assert!(!drop.is_dropped);
    assert!(drop.worst.unwrap().1 > 1.1);
}
