//! Statements that would run somebody's code while they are planned never reach the server.

use pgassay::{
    advise::{PlannedQuery, WhatIf, WhatIfError},
    db::LivePlanner,
};

use super::{audited, audited_as, conninfo};
use crate::support::{self, Database};

/// Functions that leave a mark although the transaction is read-only and rolled back: session advisory locks outlive both.
const SCHEMA: &str = "
    CREATE TABLE t (id int PRIMARY KEY, name text, owner text);
    INSERT INTO t SELECT x, 'n' || x, 'o' FROM generate_series(1, 100) x;
    CREATE FUNCTION frozen(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_lock(4711); RETURN $1; END $$;
    CREATE FUNCTION stable_one() RETURNS int STABLE LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_lock(4711); RETURN 1; END $$;
    CREATE FUNCTION volatile_one() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
    CREATE FUNCTION of_row(t) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_lock(4711); RETURN 1; END $$;
    CREATE FUNCTION marks(int, int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_lock(4711); RETURN true; END $$;
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = marks);
    CREATE VIEW through_view AS SELECT * FROM t WHERE id = stable_one();
    CREATE VIEW through_two AS SELECT id FROM through_view;
    CREATE VIEW harmless AS SELECT lower(name) FROM t;
    CREATE DOMAIN checked AS int CHECK (marks(VALUE, VALUE));
    CREATE DOMAIN plain AS int CHECK (VALUE > 0);
    CREATE TABLE has_domain (x checked, y int);
    CREATE TABLE has_plain_domain (x plain);
    CREATE TABLE with_default (id int DEFAULT frozen(1), y int DEFAULT volatile_one());
    CREATE TABLE with_volatile_default (id int, y int DEFAULT volatile_one());
    CREATE TABLE with_check (id int CHECK (frozen(1) = 1 OR id > 0));
    CREATE TABLE with_policy (id int);
    CREATE TABLE with_index (id int);
    CREATE INDEX ON with_index (frozen(id));
    ALTER TABLE with_policy ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON with_policy USING (id = stable_one());
    ANALYZE;
";

async fn planner(database: &Database) -> LivePlanner {
    let audited = audited(database).await;
    let catalog = audited.catalog().await.unwrap();
    LivePlanner::new(audited, &catalog)
}

async fn ask(planner: &LivePlanner, sql: &str) -> Result<(), WhatIfError> {
    let query = PlannedQuery {
        sql: sql.to_owned(),
        search_path: Vec::new(),
    };
    planner.plan(&query, &[], &[]).await.map(drop)
}

const LOCKS: &str =
    "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711";

#[tokio::test]
async fn code_of_the_database_is_never_run() {
    let database = support::database("admission").await;
    database.run(SCHEMA).await;
    let planner = planner(&database).await;
    for sql in [
        "select * from t where id = frozen(1)",
        "select * from t where id = public . \"frozen\" /* x */ (1)",
        "select * from t where id < stable_one()",
        "select volatile_one()",
        "select (t).of_row from t",
        "select t.of_row from t where t.of_row = 1",
        "select * from t where id === 1",
        "select * from t where id operator(public.===) $1",
        "select * from through_view",
        "select * from through_two where id = $1",
        "select 5::checked",
        "select * from has_domain where x = $1",
        "select * from with_check where id = 1",
        "select * from with_index where id = 1",
        "insert into with_default (y) values ($1)",
        "with w as (insert into with_default default values returning id) select * from w",
        "select 1; select frozen(1)",
        "analyze t",
        "(analyze) delete from t",
        "do $$ begin perform frozen(1); end $$",
        "execute pgassay_plan",
    ] {
        let result = ask(&planner, sql).await;
        assert!(
            matches!(result, Err(WhatIfError::Refused(_))),
            "{sql}: {result:?}"
        );
    }
    assert_eq!(database.text(LOCKS).await, "0");
}

#[tokio::test]
async fn what_only_computes_is_planned() {
    let database = support::database("admitted").await;
    database.run(SCHEMA).await;
    let planner = planner(&database).await;
    for sql in [
        "select * from t where lower(name) = $1 and id in (1, 2, 3) order by id desc limit 10",
        "select * from harmless",
        "select * from has_plain_domain where x > $1",
        "insert into with_volatile_default (id) values ($1), ($2)",
        "select y from with_default where id = 4",
        "select * from with_policy",
        "select count(*) filter (where id > 1), coalesce(max(id), 0) from t group by rollup (name)",
        "with x (a) as (select 1) select * from x, lateral (select a) as y (b)",
        "select 'frozen(1)', name as frozen from t -- frozen(1)",
        "select * from information_schema.tables",
        "update t set name = $1 where id = any ($2)",
        "delete from t using harmless where id = $1",
        "select jsonb_build_object('a', 1) @> '{\"a\": 1}'",
        "table t",
        "values (1), (2)",
        "/* app:x */ select 1 -- done",
        "select 1;",
    ] {
        let result = ask(&planner, sql).await;
        assert!(result.is_ok(), "{sql}: {result:?}");
    }
    assert_eq!(database.text(LOCKS).await, "0");
}

#[tokio::test]
async fn row_security_counts_where_it_applies() {
    let database = support::database("policies").await;
    database.run(SCHEMA).await;
    database
        .run("CREATE ROLE policed LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO policed")
        .await;
    ask(&planner(&database).await, "select * from with_policy")
        .await
        .unwrap();
    let info = conninfo(&format!("{}&user=policed", database.url)).unwrap();
    let audited = audited_as(&info).await;
    let catalog = audited.catalog().await.unwrap();
    let planner = LivePlanner::new(audited, &catalog);
    let result = ask(&planner, "select * from with_policy").await;
    assert!(matches!(result, Err(WhatIfError::Refused(_))), "{result:?}");
    assert_eq!(database.text(LOCKS).await, "0");
}

#[tokio::test]
async fn functions_of_known_extensions_are_admitted() {
    let database = support::database("extensions").await;
    database
        .run(
            "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION pg_trgm; CREATE EXTENSION hstore; \
             CREATE TABLE people (email ext.citext PRIMARY KEY, name text, attributes hstore); \
             CREATE INDEX ON people USING gin (name gin_trgm_ops)",
        )
        .await;
    let planner = planner(&database).await;
    for sql in [
        "select * from people where similarity(name, $1) > 0.4",
        "select * from people where name % 'x' and attributes ? 'a'",
        "select * from people where email = 'x'::ext.citext",
    ] {
        let result = ask(&planner, sql).await;
        assert!(result.is_ok(), "{sql}: {result:?}");
    }
}
