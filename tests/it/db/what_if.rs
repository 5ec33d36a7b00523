//! What-if: with HypoPG behind the guard, and with indexes really built on a server of our own.

use pgassay::{
    advise::{PlannedQuery, WhatIf, WhatIfError},
    catalog::{Direction, IndexDef, IndexKey, KeyTarget, Nulls, RelationName},
    db::{LivePlanner, RealPlanner},
    plan::WhatIfKind,
};

use super::audited;
use crate::support::{self, Database};

const SCHEMA: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status text, note text);
    INSERT INTO orders SELECT x, x % 1000, 's' || x % 5, 'Note ' || x FROM generate_series(1, 20000) x;
    CREATE INDEX orders_status ON orders (status, id);
    CREATE TABLE logs (id int) PARTITION BY RANGE (id);
    ANALYZE";

fn index(name: &str, columns: &[&str]) -> IndexDef {
    IndexDef {
        table: RelationName::new("public", "orders"),
        name: name.to_owned(),
        method: "btree".to_owned(),
        keys: columns
            .iter()
            .map(|column| IndexKey::column(*column))
            .collect(),
        ..IndexDef::default()
    }
}

fn query(sql: &str) -> PlannedQuery {
    PlannedQuery {
        sql: sql.to_owned(),
        search_path: Vec::new(),
    }
}

/// The same questions to both back ends.
async fn answers(planner: &impl WhatIf) {
    let by_customer = query("select * from orders where customer_id = $1");
    let before = planner.plan(&by_customer, &[], &[]).await.unwrap();
    assert_eq!(before.root.node_type, "Seq Scan");
    let ours = index("orders_customer_idx", &["customer_id"]);
    let after = planner
        .plan(&by_customer, std::slice::from_ref(&ours), &[])
        .await
        .unwrap();
    assert!(after.uses_index("orders_customer_idx"), "{after:?}");
    assert!(after.total_cost().0 * 5.0 < before.total_cost().0);
    // it is gone afterwards, and other candidates see nothing of it
    let again = planner.plan(&by_customer, &[], &[]).await.unwrap();
    let ratio = again.total_cost().0 / before.total_cost().0;
    assert!((0.99..1.01).contains(&ratio), "{ratio}");
    let other = index("orders_note_idx", &["note"]);
    let unhelped = planner.plan(&by_customer, &[other], &[]).await.unwrap();
    assert_eq!(unhelped.root.node_type, "Seq Scan");
    // several at once, partial, descending; literal text without parameters
    let mut recent = index("orders_recent_idx", &["id"]);
    recent.keys[0].direction = Direction::Desc;
    recent.keys[0].nulls = Nulls::First;
    recent.predicate = Some("status = 's1'".to_owned());
    let latest = query("select id from orders where status = 's1' order by id desc limit 5");
    let plan = planner.plan(&latest, &[ours, recent], &[]).await.unwrap();
    assert!(plan.nodes().any(|node| node.index.is_some()), "{plan:?}");
    // a statement or index that can't be is data
    let error = planner
        .plan(&query("select nope from orders"), &[], &[])
        .await
        .unwrap_err();
    assert!(matches!(error, WhatIfError::Server(_)), "{error}");
    let error = planner
        .plan(&by_customer, &[index("x", &["nope"])], &[])
        .await
        .unwrap_err();
    assert!(matches!(error, WhatIfError::Unsupported(_)), "{error}");
    planner.plan(&by_customer, &[], &[]).await.unwrap();
}

async fn database_with_hypopg(name: &str) -> Option<Database> {
    let folder = "/usr/share/postgresql";
    let file = format!(
        "{folder}/{}/extension/hypopg.control",
        support::shared().major()
    );
    let package = format!("postgresql-{}-hypopg", support::shared().major());
    support::needs("hypopg", || std::path::Path::new(&file).exists(), &package)?;
    let database = support::database(name).await;
    database.run(SCHEMA).await;
    database
        .run("CREATE SCHEMA \"Hypo\"; CREATE EXTENSION hypopg SCHEMA \"Hypo\"")
        .await;
    Some(database)
}

#[tokio::test]
async fn hypopg_prices_and_leaves_nothing() {
    let Some(database) = database_with_hypopg("hypopg").await else {
        return;
    };
    let audited = audited(&database).await;
    let planner = LivePlanner::new(audited.clone(), &audited.catalog().await.unwrap());
    assert_eq!(planner.kind(), WhatIfKind::Hypopg);
    answers(&planner).await;
    let by_customer = query("select * from orders where customer_id = $1");
    let mut gin = index("g", &["note"]);
    gin.method = "gin".to_owned();
    let error = planner.plan(&by_customer, &[gin], &[]).await.unwrap_err();
    assert!(matches!(error, WhatIfError::Unsupported(_)), "{error}");
}

#[tokio::test]
async fn without_hypopg_only_what_exists_is_priced() {
    let database = support::database("plain").await;
    database.run(SCHEMA).await;
    let audited = audited(&database).await;
    let planner = LivePlanner::new(audited.clone(), &audited.catalog().await.unwrap());
    assert_eq!(planner.kind(), WhatIfKind::None);
    let by_customer = query("select * from orders where customer_id = $1");
    planner.plan(&by_customer, &[], &[]).await.unwrap();
    let error = planner
        .plan(&by_customer, &[index("x", &["customer_id"])], &[])
        .await
        .unwrap_err();
    assert!(matches!(error, WhatIfError::Unsupported(_)), "{error}");
}

#[tokio::test]
async fn really_built_indexes_are_priced_and_rolled_back() {
    let database = support::database("real").await;
    database.run(SCHEMA).await;
    // updated rows make a new index wait for old snapshots, unless that is undone
    database
        .run("UPDATE orders SET status = status WHERE id % 7 = 0")
        .await;
    let planner = RealPlanner::new(database.owned.clone());
    assert_eq!(planner.kind(), WhatIfKind::Real);
    answers(&planner).await;
    let ours = index("anything", &["customer_id"]);
    assert!(planner.size_bytes(&ours).unwrap() >= 8192);

    let by_status = query("select * from orders where status = $1 and id = $2");
    let hidden = [
        "public.orders_status".to_owned(),
        "public.orders_pkey".to_owned(),
    ];
    let plans = planner
        .plan_all(&[by_status.clone(), by_status.clone()], &[], &hidden)
        .await;
    assert!(
        plans
            .iter()
            .all(|plan| plan.as_ref().unwrap().root.node_type == "Seq Scan")
    );
    let plan = planner.plan(&by_status, &[], &[]).await.unwrap();
    assert!(plan.root.node_type.contains("Index"));

    planner.finish().await;
    assert_eq!(
        database.text("SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY 1) FROM pg_index WHERE indrelid = 'orders'::regclass AND indisvalid").await,
        "orders_pkey orders_status"
    );
    database
        .run("ALTER TABLE orders ADD COLUMN later int")
        .await;
}

#[tokio::test]
async fn a_built_expression_index_has_statistics() {
    let database = support::database("expression").await;
    database.run(SCHEMA).await;
    let planner = RealPlanner::new(database.owned.clone());
    let mut lower = index("orders_lower_idx", &[]);
    lower.keys.push(IndexKey {
        target: KeyTarget::Expression("lower(note)".to_owned()),
        ..IndexKey::column("")
    });
    let by_note = query("select * from orders where lower(note) = $1");
    let plan = planner.plan(&by_note, &[lower], &[]).await.unwrap();
    assert!(plan.uses_index("orders_lower_idx"));
    assert!(plan.root.plan_rows < 5.0, "{}", plan.root.plan_rows);
}
