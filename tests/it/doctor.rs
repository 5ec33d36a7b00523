//! `pgassay doctor` on a real server: its role script makes a role that suffices.

use std::process::Command;

use crate::{db, support};

fn doctor(url: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .args(["doctor", "--database-url", url])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_role_script_makes_a_role_that_suffices() {
    // a server of its own: the script's role has a fixed name, and grants are the database's
    let server = support::start(&support::options());
    let database = support::database_on(&server, "doctor").await;
    database
        .run(
            "CREATE EXTENSION pg_stat_statements; CREATE SCHEMA \"My Shop\"; CREATE TABLE \"My Shop\".t (x int); CREATE TABLE public.u (y int); \
             INSERT INTO \"My Shop\".t SELECT generate_series(1, 1000); INSERT INTO u SELECT 1; ANALYZE; SELECT count(*) FROM u",
        )
        .await;
    let text = doctor(&database.url);
    assert!(text.contains("note     connected as a superuser"), "{text}");
    for line in text.lines().filter_map(|line| line.strip_prefix("    ")) {
        let sql = line.trim_start();
        if sql.starts_with("CREATE ") || sql.starts_with("GRANT ") || sql.starts_with("ALTER ROLE")
        {
            database.run(sql).await;
        }
    }
    let url = format!("{}&user=pgassay", database.url);
    let text = doctor(&url);
    assert!(
        text.contains("ok       the role may read all statistics"),
        "{text}"
    );
    assert!(
        !text.contains("hidden") && !text.contains("privilege"),
        "{text}"
    );

    let audited = db::audited_as(&db::conninfo(&url).unwrap()).await;
    let catalog = audited.catalog().await.unwrap();
    assert!(catalog.unread.is_empty(), "{:?}", catalog.unread);
    assert_eq!(
        catalog
            .relations
            .iter()
            .filter(|r| r.columns[0].stats.is_some())
            .count(),
        2
    );
    let (entries, _) = audited.statements().await.unwrap();
    assert!(entries.iter().any(|entry| entry.text.contains("FROM u")));
    // and it can do nothing else
    let owned = pgassay::db::Owned::connect(&database.conninfo, 1)
        .await
        .unwrap();
    owned.batch("SET ROLE pgassay").await.unwrap();
    owned.batch("INSERT INTO u VALUES (2)").await.unwrap_err();
}

#[tokio::test]
async fn what_lacks_is_found_on_a_bare_server() {
    let mut options = support::options()
        .with("track_io_timing", "off")
        .with("log_line_prefix", "x ");
    options.preload.clear();
    options
        .settings
        .push(("log_min_duration_statement".to_owned(), "-1".to_owned()));
    let server = support::start(&options);
    let database = support::database_on(&server, "bare").await;
    let text = doctor(&database.url);
    for lack in [
        "lacking  pg_stat_statements is not installed in database",
        "lacking  the log holds no statements",
        "lacking  log_line_prefix 'x ' tells neither time nor session",
        "lacking  track_io_timing is off",
        "CREATE EXTENSION pg_stat_statements;",
        "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'",
    ] {
        assert!(text.contains(lack), "{lack} not in\n{text}");
    }
}
