//! The guard: nothing is written, nothing is left, nothing hostile in the role or the database matters.

use std::time::Duration;

use pgassay::{
    advise::{PlannedQuery, WhatIf, WhatIfError},
    db::{Audited, AuditedOptions, LivePlanner},
};

use super::{audited, audited_as, conninfo};
use crate::support;

fn query(sql: &str) -> PlannedQuery {
    PlannedQuery {
        sql: sql.to_owned(),
        search_path: Vec::new(),
    }
}

/// The cluster's next transaction id, and whether any statistics were reset.
const TRACE: &str = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text || ' ' || \
    coalesce((SELECT max(stats_reset)::text FROM pg_stat_database), '') || \
    (SELECT stats_reset::text FROM pg_stat_bgwriter) || (SELECT stats_reset::text FROM pg_stat_statements_info)";

#[tokio::test]
async fn an_audit_leaves_no_trace_in_the_cluster() {
    // a server of its own: other tests write
    let server = support::start(&support::options());
    let database = support::database_on(&server, "trace").await;
    database
        .run("CREATE EXTENSION pg_stat_statements; CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY, x int DEFAULT nextval('s')); ANALYZE")
        .await;
    let before = database.text(TRACE).await;
    let audited = audited(&database).await;
    let catalog = audited.catalog().await.unwrap();
    audited.statements().await.unwrap();
    let planner = LivePlanner::new(audited.clone(), &catalog);
    for sql in [
        "select * from t where x = $1",
        "insert into t (id) values ($1)",
        "update t set x = 1",
        "delete from t where id = $1",
        "select nextval('s')",
        "select * from t for update",
    ] {
        planner.plan(&query(sql), &[], &[]).await.unwrap();
    }
    assert_eq!(database.text(TRACE).await, before);
    assert_eq!(
        database.text("SELECT is_called::text FROM s").await,
        "false"
    );
    assert_eq!(database.text("SELECT count(*)::text FROM t").await, "0");
    let left = "SELECT count(*)::text FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'pgassay'";
    assert_eq!(database.text(left).await, "0");
}

/// Role settings that break whoever trusts them, and names planted to be found first.
const HOSTILE: &str = "
    CREATE ROLE hostile LOGIN;
    CREATE SCHEMA evil;
    GRANT ALL ON SCHEMA evil TO PUBLIC;
    CREATE TABLE evil.trace (what text);
    GRANT ALL ON evil.trace TO PUBLIC;
    CREATE TABLE public.t (id int PRIMARY KEY, name text);
    GRANT SELECT ON public.t TO PUBLIC;
    CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'planted set_config ran'; END $$;
    CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'planted current_setting ran'; END $$;
    CREATE FUNCTION evil.pg_backend_pid() RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'planted pg_backend_pid ran'; END $$;
    CREATE FUNCTION evil.eq(oid, oid) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'planted operator ran'; END $$;
    CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.eq);
    CREATE VIEW evil.pg_class AS SELECT * FROM nowhere();
";

#[tokio::test]
async fn hostile_roles_and_schemas_do_not_matter() {
    let database = support::database("hostile").await;
    let planted = HOSTILE.replace("SELECT * FROM nowhere()", "SELECT 1 AS oid");
    database.run(&planted).await;
    for setting in [
        "statement_timeout = '1ms'",
        "search_path = evil, public, pg_catalog",
        "default_transaction_isolation = 'serializable'",
        "standard_conforming_strings = off",
        "datestyle = 'SQL, DMY'",
        "lock_timeout = '1ms'",
    ] {
        database
            .run(&format!("ALTER ROLE hostile SET {setting}"))
            .await;
    }
    let info = conninfo(&format!("{}&user=hostile", database.url)).unwrap();
    let audited = audited_as(&info).await;
    let catalog = audited.catalog().await.unwrap();
    assert_eq!(catalog.server.search_path, ["evil", "public", "pg_catalog"]);
    assert!(catalog.relations.iter().any(|r| r.name.name == "t"));
    // an operator of this database's own hides behind every "=": nothing is planned
    let planner = LivePlanner::new(audited, &catalog);
    let error = planner
        .plan(&query("select * from t where id = $1"), &[], &[])
        .await
        .unwrap_err();
    assert!(matches!(error, WhatIfError::Refused(_)), "{error}");
}

#[tokio::test]
async fn plans_follow_the_workloads_search_path() {
    let database = support::database("paths").await;
    database
        .run("CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (x int); CREATE TABLE b.t (x int)")
        .await;
    let audited = audited(&database).await;
    let planner = LivePlanner::new(audited.clone(), &audited.catalog().await.unwrap());
    for schema in ["a", "b"] {
        let query = PlannedQuery {
            sql: "select * from t where x = $1".to_owned(),
            search_path: vec![schema.to_owned()],
        };
        let plan = planner.plan(&query, &[], &[]).await.unwrap();
        assert_eq!(plan.root.schema.as_deref(), Some(schema));
    }
    let error = planner
        .plan(&query("select * from t"), &[], &[])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("42P01"));
}

#[tokio::test]
async fn a_huge_answer_is_cut_off_and_the_next_statement_works() {
    let database = support::database("huge").await;
    database.run("CREATE TABLE t (x text)").await;
    let audited = audited(&database).await;
    let planner = LivePlanner::new(audited.clone(), &audited.catalog().await.unwrap());
    // 100,000 constants in one filter: within the limit on text, and each is printed with its type
    let values = vec!["('a')"; 40_000].join(",");
    let sql = format!(
        "select * from t where x in (select v || v || v || v || v from (values {values}) as l(v))"
    );
    let result = planner.plan(&query(&sql), &[], &[]).await;
    assert!(
        result.is_ok() || matches!(result, Err(WhatIfError::Server(_))),
        "{result:?}"
    );
    // what makes an answer of 50 MB is refused by name; written around, it is stopped by size
    let repeat = query("select * from t where x = repeat('x', 50000000)");
    let error = planner.plan(&repeat, &[], &[]).await.unwrap_err();
    assert!(matches!(error, WhatIfError::Refused(_)));
    let (x, y, z) = ("x".repeat(300), "y".repeat(300), "z".repeat(300));
    let sql = format!("select * from t where x = replace(replace('{x}', 'x', '{y}'), 'y', '{z}')");
    let error = planner.plan(&query(&sql), &[], &[]).await.unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
    planner
        .plan(&query("select * from t where x = $1"), &[], &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn planning_stops_when_the_budget_is_spent() {
    let database = support::database("budget").await;
    let options = AuditedOptions {
        max_server_time: Duration::ZERO,
    };
    let audited = Audited::connect(&database.conninfo.audited(), options)
        .await
        .unwrap();
    let catalog = audited.catalog().await.unwrap();
    let planner = LivePlanner::new(audited.clone(), &catalog);
    let error = planner
        .plan(&query("select 1"), &[], &[])
        .await
        .unwrap_err();
    assert!(matches!(error, WhatIfError::Budget));
    assert!(audited.cost().is_budget_spent);
}

#[tokio::test]
async fn a_locked_table_does_not_hold_the_audit() {
    let database = support::database("lock").await;
    database
        .run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); ANALYZE")
        .await;
    let session = database.owned.session().await.unwrap();
    session.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let audited = audited(&database).await;
    let catalog = audited.catalog().await.unwrap();
    assert_eq!(catalog.relations[0].n_rows, Some(1.0));
    assert!(catalog.unread[0].contains("locked"), "{:?}", catalog.unread);
    let planner = LivePlanner::new(audited, &catalog);
    let error = planner
        .plan(&query("select * from t"), &[], &[])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("lock"), "{error}");
    session.batch_execute("ROLLBACK").await.unwrap();
    planner
        .plan(&query("select * from t"), &[], &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cancelled_question_closes_its_connection() {
    let database = support::database("cancel").await;
    let audited = audited(&database).await;
    let planner = LivePlanner::new(audited.clone(), &audited.catalog().await.unwrap());
    for patience_us in [0, 50, 100, 200, 400, 800, 1600] {
        let patience = Duration::from_micros(patience_us);
        let plan = query(
            "select count(*) from pg_class a, pg_class b, pg_class c, pg_class d where a.oid = $1",
        );
        let _ = tokio::time::timeout(patience, planner.plan(&plan, &[], &[])).await;
    }
    planner
        .plan(&query("select $1::int"), &[], &[])
        .await
        .unwrap();
    // whoever is still there is idle outside a transaction, with nothing prepared
    let open = "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'pgassay' AND datname = current_database() AND state LIKE 'idle in%'";
    for _ in 0..100 {
        if database.text(open).await == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a transaction was left open");
}
