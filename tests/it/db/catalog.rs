//! The catalog as it is read, against a schema with one of everything.

use std::time::Duration;

use pgassay::{
    catalog::{
        Build, Direction, KeyTarget, Nulls, Persistence, Relation, RelationKind, RelationName,
        planner::SlotKind,
    },
    db::EndpointReads,
};

use super::audited;
use crate::support;

const SCHEMA: &str = r#"
    CREATE SCHEMA app;
    CREATE TABLE app.customers (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        email text NOT NULL, name varchar(40) COLLATE "C", "Odd Name" int, tags text[], data jsonb, deleted_at timestamptz);
    CREATE TABLE app.orders (
        id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES app.customers ON DELETE CASCADE, status text, total numeric(10,2));
    CREATE UNLOGGED TABLE scratch (x int);
    CREATE TEMP TABLE hidden (x int);
    CREATE VIEW app.recent AS SELECT * FROM app.orders;
    CREATE MATERIALIZED VIEW app.totals AS SELECT customer_id, sum(total) AS total FROM app.orders GROUP BY 1;
    CREATE TABLE events (id bigint, at date, kind text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE events_a PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
    CREATE TABLE events_b PARTITION OF events FOR VALUES FROM ('2026-07-01') TO ('2027-01-01') PARTITION BY HASH (id);
    CREATE TABLE events_b0 PARTITION OF events_b FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;

    CREATE UNIQUE INDEX customers_email ON app.customers (lower(email)) WHERE deleted_at IS NULL;
    CREATE INDEX customers_mixed ON app.customers (name DESC, "Odd Name" NULLS FIRST, id DESC NULLS LAST) INCLUDE (email);
    CREATE INDEX customers_prefix ON app.customers (name COLLATE "POSIX" varchar_pattern_ops);
    CREATE INDEX customers_data ON app.customers USING gin (data jsonb_path_ops, tags);
    CREATE INDEX customers_filled ON app.customers ((id + 1)) WITH (fillfactor = 70);
    CREATE INDEX orders_customer ON app.orders (customer_id, status);
    CREATE INDEX ON events (kind);

    INSERT INTO app.customers (email, name, "Odd Name", tags)
        SELECT 'u' || x, (ARRAY['ann', 'o''hara "x"', 'bob,c'])[1 + x % 3], nullif(x % 4, 0), '{a}' FROM generate_series(1, 3000) x;
    INSERT INTO app.orders SELECT x, 1 + x % 3000, 'paid', x FROM generate_series(1, 6000) x;
    ANALYZE;
    DELETE FROM pg_index WHERE false;
    UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.customers_prefix'::regclass;
"#;

#[tokio::test]
async fn one_of_everything() {
    let database = support::database("catalog").await;
    database.run(SCHEMA).await;
    let catalog = audited(&database).await.catalog().await.unwrap();

    let names: Vec<String> = catalog
        .relations
        .iter()
        .map(|r| r.name.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "app.customers",
            "app.orders",
            "app.recent",
            "app.totals",
            "public.events",
            "public.events_a",
            "public.events_b",
            "public.events_b0",
            "public.scratch"
        ]
    );
    let relation = |schema: &str, name: &str| -> &Relation {
        catalog.relation(&RelationName::new(schema, name)).unwrap()
    };
    assert_eq!(relation("app", "recent").kind, RelationKind::View);
    assert_eq!(
        relation("app", "totals").kind,
        RelationKind::MaterializedView
    );
    assert_eq!(
        relation("public", "scratch").persistence,
        Persistence::Unlogged
    );
    assert!(relation("app", "orders").has_row_security);

    let events = relation("public", "events");
    let leaves: Vec<&str> = events
        .partition_leaves
        .iter()
        .map(|n| n.name.as_str())
        .collect();
    assert_eq!(leaves, ["events_a", "events_b0"]);
    assert_eq!(
        relation("public", "events_b0").parent,
        Some(RelationName::new("public", "events_b"))
    );
    assert!(events.indexes.iter().all(|index| index.partitioned));

    let key = &relation("app", "orders").foreign_keys[0];
    assert_eq!(key.columns, ["customer_id"]);
    assert_eq!(key.references, RelationName::new("app", "customers"));
    assert_eq!(key.referenced_columns, ["id"]);
    assert_eq!(key.on_delete, "CASCADE");
}

#[tokio::test]
async fn columns_and_their_statistics() {
    let database = support::database("columns").await;
    database.run(SCHEMA).await;
    // a session tells its counters when it is idle for a while, or ends
    let counted = "SELECT (pg_stat_get_tuples_inserted('app.customers'::regclass) >= 3000)::text";
    while database.text(counted).await != "true" {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let catalog = audited(&database).await.catalog().await.unwrap();
    let customers = catalog
        .relation(&RelationName::new("app", "customers"))
        .unwrap();
    assert_eq!(customers.n_rows, Some(3000.0));
    assert!(customers.n_pages > 0 && customers.size_bytes == customers.n_pages * 8192);
    assert!(customers.usage.n_inserts >= 3000 && customers.usage.last_analyze_us.is_some());

    let id = customers.column("id").unwrap();
    assert!(id.generated && id.not_null);
    assert_eq!((id.type_name.as_str(), id.type_category), ("bigint", 'N'));
    let name = customers.column("name").unwrap();
    assert_eq!(name.type_name, "character varying(40)");
    assert_eq!(name.collation.as_deref(), Some("C"));
    let mut values: Vec<&str> = name
        .stats
        .as_ref()
        .unwrap()
        .most_common
        .iter()
        .map(|(v, _)| v.as_str())
        .collect();
    values.sort_unstable();
    assert_eq!(values, ["ann", "bob,c", "o'hara \"x\""]);
    let odd = customers
        .column("Odd Name")
        .unwrap()
        .stats
        .as_ref()
        .unwrap();
    assert!((odd.null_frac - 0.25).abs() < 0.01);
    assert!(!id.stats.as_ref().unwrap().histogram.is_empty());
    assert_eq!(id.stats.as_ref().unwrap().correlation, Some(1.0));
    assert!(
        customers
            .column("deleted_at")
            .unwrap()
            .stats
            .as_ref()
            .unwrap()
            .null_frac
            > 0.99
    );
}

#[tokio::test]
async fn index_definitions_part_by_part() {
    let database = support::database("indexes").await;
    database.run(SCHEMA).await;
    let catalog = audited(&database).await.catalog().await.unwrap();
    let customers = catalog
        .relation(&RelationName::new("app", "customers"))
        .unwrap();
    let index = |name: &str| {
        customers
            .indexes
            .iter()
            .find(|i| i.def.name == name)
            .unwrap()
    };

    let email = index("customers_email");
    assert_eq!(
        email.def.keys[0].target,
        KeyTarget::Expression("lower(email)".into())
    );
    assert_eq!(email.def.predicate.as_deref(), Some("deleted_at IS NULL"));
    assert!(email.def.unique && email.constraint.is_none());

    let mixed = &index("customers_mixed").def;
    let order: Vec<(Direction, Nulls)> =
        mixed.keys.iter().map(|k| (k.direction, k.nulls)).collect();
    assert_eq!(
        order,
        [
            (Direction::Desc, Nulls::First),
            (Direction::Asc, Nulls::First),
            (Direction::Desc, Nulls::Last)
        ]
    );
    assert_eq!(mixed.include, ["email"]);
    assert!(
        mixed
            .keys
            .iter()
            .all(|k| k.opclass.is_none() && k.collation.is_none())
    );

    let prefix = index("customers_prefix");
    assert_eq!(
        prefix.def.keys[0].opclass.as_deref(),
        Some("varchar_pattern_ops")
    );
    assert_eq!(prefix.def.keys[0].collation.as_deref(), Some("POSIX"));
    assert!(!prefix.valid && prefix.ready);

    let data = &index("customers_data").def;
    assert_eq!(data.method, "gin");
    assert_eq!(data.keys[0].opclass.as_deref(), Some("jsonb_path_ops"));
    assert_eq!(data.keys[1].opclass, None);

    let primary = index("customers_pkey");
    assert!(primary.primary && primary.supports_foreign_key);
    assert_eq!(primary.constraint.as_deref(), Some("customers_pkey"));
}

#[tokio::test]
async fn definitions_are_what_the_server_prints_and_can_be_made_again() {
    let database = support::database("definitions").await;
    database.run(SCHEMA).await;
    let catalog = audited(&database).await.catalog().await.unwrap();
    let session = database.owned.session().await.unwrap();
    for (_, index) in catalog.indexes() {
        let row = session
            .query_one("SELECT pg_get_indexdef($1)", &[&index.oid])
            .await
            .unwrap();
        assert_eq!(index.full_definition, row.get::<_, String>(0));
        if !index.primary && !index.partitioned {
            // our own rendering is SQL that gives the same index
            let mut copy = index.def.clone();
            copy.name.push_str("_copy");
            database.run(&copy.create_sql(Build::Plain)).await;
        }
    }
    let again = audited(&database).await.catalog().await.unwrap();
    for (_, index) in again.indexes() {
        let Some(original) = index.def.name.strip_suffix("_copy") else {
            continue;
        };
        let mut def = index.def.clone();
        def.name = original.to_owned();
        let (_, before) = catalog
            .indexes()
            .find(|(_, i)| i.def.name == original)
            .unwrap();
        assert_eq!(def, before.def);
    }
}

#[tokio::test]
async fn the_server_as_a_whole() {
    let database = support::database("server").await;
    database
        .run("CREATE EXTENSION pg_stat_statements; CREATE SCHEMA \"Mine\"")
        .await;
    database
        .run(&format!(
            "ALTER DATABASE {} SET search_path = \"Mine\", nowhere, public",
            database.name
        ))
        .await;
    let audited = audited(&database).await;
    let server = audited.catalog().await.unwrap().server;
    assert_eq!(
        server.version_num / 10_000,
        u32::from(support::shared().major())
    );
    assert_eq!(server.database, database.name);
    assert!(
        !server.is_standby && server.is_superuser && server.can_read_all_stats && !server.pooled
    );
    assert_eq!(server.search_path, ["Mine", "public"]);
    assert_eq!(
        server.extension("pg_stat_statements").unwrap().schema,
        "public"
    );
    assert!(server.available_extensions.contains(&"plpgsql".to_owned()));
    assert!(server.stats_window.since_us.is_some() && server.stats_window.seconds() >= 0.0);
    // the guard's own values are not the server's
    assert_eq!(server.setting("statement_timeout"), Some("0"));
    assert_eq!(server.setting("random_page_cost"), Some("4"));
    assert!(server.setting("primary_conninfo").is_none());
    assert!(audited.cost().n_statements > 0);
}

#[tokio::test]
async fn what_the_role_may_not_see_is_said() {
    let database = support::database("unread").await;
    database
        .run(
            "CREATE TABLE secret (x int); INSERT INTO secret SELECT generate_series(1, 100); ANALYZE secret; \
             CREATE ROLE catalog_reader LOGIN",
        )
        .await;
    let info = super::conninfo(&format!("{}&user=catalog_reader", database.url)).unwrap();
    let catalog = super::audited_as(&info).await.catalog().await.unwrap();
    assert_eq!(catalog.relations.len(), 1);
    assert!(catalog.relations[0].columns[0].stats.is_none());
    assert_eq!(
        catalog.unread,
        ["column statistics of 1 relations: no SELECT privilege"]
    );
    assert!(!catalog.server.is_superuser && !catalog.server.can_read_all_stats);
}

/// Without probes there is no sample of a table and no end of an index, and the gaps say so.
#[tokio::test]
async fn a_plain_role_reads_catalogs_alone_when_asked_to() {
    let database = support::database("catalogs_alone").await;
    database
        .run(
            "CREATE TABLE stays (id int PRIMARY KEY, during int4range); \
             INSERT INTO stays SELECT i, int4range(i, i + 9) FROM generate_series(1, 5000) i; ANALYZE stays; \
             CREATE ROLE guest LOGIN; GRANT SELECT ON stays TO guest",
        )
        .await;
    let info = super::conninfo(&format!("{}&user=guest", database.url)).unwrap();
    let guest = super::audited_as(&info).await;
    let read = async |endpoints| {
        let state = guest.planner_state(endpoints).await.unwrap();
        let has_histogram = state.column_statistics.iter().any(|column| {
            let kind = SlotKind::RangeBounds.number();
            column.row.slots.iter().any(|slot| slot.kind == kind)
        });
        let left_out = state.gaps.iter().any(|gap| gap.cost.contains("by choice"));
        (has_histogram, left_out)
    };
    let shown = guest.version_num() >= 170_000;
    assert_eq!(read(EndpointReads::Skip).await, (shown, true));
    assert_eq!(read(EndpointReads::Probe).await, (true, false));
}
