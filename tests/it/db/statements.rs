//! `pg_stat_statements`: read, absent, not loaded, hidden.

use pgassay::db::StatementsError;

use super::{audited, audited_as, conninfo};
use crate::support;

#[tokio::test]
async fn entries_of_this_database_without_our_own() {
    let database = support::database("pgss").await;
    database
        .run("CREATE SCHEMA \"Ext\"; CREATE EXTENSION pg_stat_statements SCHEMA \"Ext\"; CREATE TABLE t (x int)")
        .await;
    for x in 0..3 {
        database
            .run(&format!("SELECT count(*) FROM t WHERE x = {x}"))
            .await;
    }
    let audited = audited(&database).await;
    audited.catalog().await.unwrap();
    let (entries, facts) = audited.statements().await.unwrap();
    let found: Vec<_> = entries
        .iter()
        .filter(|e| e.text.starts_with("SELECT count(*) FROM t"))
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].stats.n_calls, 3);
    assert_eq!(found[0].stats.n_rows, 3);
    assert!(found[0].stats.total_ms > 0.0 && found[0].stats.users == ["postgres"]);
    assert!(entries.iter().all(|entry| !entry.text.contains("pg_class")));
    let pgss = facts.pgss.unwrap();
    assert_eq!(pgss.n_entries, entries.len() as u64);
    assert_eq!(pgss.n_hidden, 0);
    assert!(facts.to_us > facts.from_us);
}

#[tokio::test]
async fn texts_of_other_roles_are_counted() {
    let database = support::database("hidden").await;
    database
        .run("CREATE EXTENSION pg_stat_statements; CREATE ROLE pgss_reader LOGIN; SELECT 'of somebody else'")
        .await;
    let info = conninfo(&format!("{}&user=pgss_reader", database.url)).unwrap();
    let (entries, facts) = audited_as(&info).await.statements().await.unwrap();
    assert!(entries.is_empty());
    let pgss = facts.pgss.unwrap();
    assert!(pgss.n_hidden > 0 && pgss.n_hidden_calls >= pgss.n_hidden);
    assert!(facts.blind_spots[0].contains("hidden from this role"));
}

#[tokio::test]
async fn absent_and_not_loaded_are_different_things() {
    let database = support::database("absent").await;
    let error = audited(&database).await.statements().await.unwrap_err();
    assert!(matches!(error, StatementsError::Absent(_)));
    assert!(error.to_string().contains(&database.name));
    assert!(error.hints()[0].contains("CREATE EXTENSION"));

    let mut options = support::options();
    options.preload.clear();
    let server = support::start(&options);
    let database = support::database_on(&server, "unloaded").await;
    database.run("CREATE EXTENSION pg_stat_statements").await;
    let error = audited(&database).await.statements().await.unwrap_err();
    assert!(matches!(error, StatementsError::NotPreloaded(_)));
    assert!(error.hints()[0].contains("shared_preload_libraries"));
}

#[tokio::test]
async fn a_schema_out_of_reach() {
    let database = support::database("locked").await;
    database
        .run(
            "CREATE SCHEMA vault; CREATE EXTENSION pg_stat_statements SCHEMA vault; CREATE ROLE pgss_outsider LOGIN",
        )
        .await;
    let info = conninfo(&format!("{}&user=pgss_outsider", database.url)).unwrap();
    let error = audited_as(&info).await.statements().await.unwrap_err();
    assert!(error.to_string().contains("permission denied"));
    assert!(
        error
            .hints()
            .iter()
            .any(|hint| hint.contains("pg_read_all_stats"))
    );
}
