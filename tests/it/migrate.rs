//! Migrations against a real server: applied, applied again, reverted, with psql; hostile names, left-overs of failed builds, partitions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use pgassay::{
    catalog::{IndexDef, IndexKey, KeyTarget, RelationName},
    finding::IndexChange,
    migration::{
        Change, Drops, Framework, MigrationFile, Planned, ProjectView, Proposal, Request, Start,
        plan,
    },
};

use crate::support::{self, Database};

const SCHEMA: &str = r#"
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id int, name text, status text);
INSERT INTO orders (customer_id, name, status) SELECT i % 100, 'n' || i, 'pending' FROM generate_series(1, 5000) i;
CREATE INDEX orders_old_idx ON orders (name DESC) INCLUDE (id) WITH (fillfactor = 70) WHERE customer_id > 5;
CREATE SCHEMA "Ev""il; sch
ema";
CREATE TABLE "Ev""il; sch
ema"."ta'b""le\! x" ("co""l; --
" int);
CREATE TABLE "日本" ("列" int);
CREATE TABLE events (id int, user_id int, day int) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id);
CREATE TABLE events_2a PARTITION OF events_2 FOR VALUES IN (1, 2, 3);
CREATE TABLE events_2b PARTITION OF events_2 DEFAULT;
INSERT INTO events SELECT i % 5, i, i % 20 FROM generate_series(1, 5000) i;
"#;

/// Every index that is not a constraint's, as Postgres prints it.
const INDEXES: &str = "SELECT coalesce(string_agg(pg_get_indexdef(i.indexrelid), E'\\n' ORDER BY i.indexrelid::regclass::text), '')
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT i.indisprimary AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')";

const INVALID: &str = "SELECT count(*)::text FROM pg_index WHERE NOT indisvalid";

fn index(table: &str, name: &str, columns: &[&str]) -> IndexDef {
    IndexDef {
        table: RelationName::new("public", table),
        name: name.into(),
        method: "btree".into(),
        keys: columns
            .iter()
            .map(|&column| IndexKey::column(column))
            .collect(),
        ..IndexDef::default()
    }
}

fn proposal(change: IndexChange) -> Proposal {
    Proposal {
        change: Change::Index(Box::new(change), Vec::new()),
        finding: "missing-index-0123456789abcdef".into(),
        why: "it is slow\n; DROP TABLE orders; --\n\\! touch /tmp/pwned".into(),
    }
}

fn planned(changes: Vec<IndexChange>) -> Planned {
    plan(
        changes.into_iter().map(proposal).collect(),
        Drops::Include,
        63,
    )
}

fn files(changes: Vec<IndexChange>) -> Vec<MigrationFile> {
    let planned = planned(changes);
    assert!(planned.refused.is_empty(), "{:?}", planned.refused);
    render("sql", &planned, &ProjectView::empty())
}

/// All files of a framework in an empty project.
fn render(framework: &str, planned: &Planned, existing: &ProjectView<'_>) -> Vec<MigrationFile> {
    let request = Request {
        steps: &planned.steps,
        project: existing,
        existing,
        folder: "migrations",
        start: Start {
            time: jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0),
            is_given: true,
        },
    };
    let framework = Framework::of_name(framework).unwrap();
    (framework.render)(&request).unwrap().files
}

/// The changes' files on disk, and psql to run them.
struct Migrations {
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

impl Migrations {
    fn of(changes: Vec<IndexChange>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = files(changes);
        let write = |file: &MigrationFile| {
            let path = folder.path().join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.content).unwrap();
            path
        };
        Self {
            paths: files.iter().map(write).collect(),
            folder,
        }
    }

    fn up(&self, database: &Database) {
        self.paths_in("up")
            .iter()
            .for_each(|path| run(path, database));
    }

    fn down(&self, database: &Database) {
        self.paths_in("down")
            .iter()
            .rev()
            .for_each(|path| run(path, database));
    }

    fn paths_in(&self, direction: &str) -> Vec<&PathBuf> {
        assert!(self.folder.path().exists());
        let suffix = format!(".{direction}.sql");
        let matching = |path: &&PathBuf| path.to_string_lossy().ends_with(&suffix);
        self.paths.iter().filter(matching).collect()
    }
}

fn run(path: &Path, database: &Database) {
    let output = psql(path, database);
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        fs::read_to_string(path).unwrap()
    );
}

fn psql(path: &Path, database: &Database) -> Output {
    Command::new("psql")
        .args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &database.url,
            "-f",
        ])
        .arg(path)
        .output()
        .expect("psql is installed (package postgresql-client)")
}

async fn with_schema(name: &str) -> Database {
    let database = support::database(name).await;
    database.run(SCHEMA).await;
    database
}

/// Up gives `expected` and valid indexes only; again changes nothing; down, twice, brings back what was there.
async fn check(name: &str, changes: Vec<IndexChange>, expected: &str) {
    let database = with_schema(name).await;
    let before = database.text(INDEXES).await;
    let migrations = Migrations::of(changes);
    for _ in 0..2 {
        migrations.up(&database);
        let after = database.text(INDEXES).await;
        assert!(after.contains(expected), "{expected} is not in\n{after}");
        assert_eq!(database.text(INVALID).await, "0");
    }
    let once = database.text(INDEXES).await;
    for _ in 0..2 {
        migrations.down(&database);
        assert_eq!(database.text(INDEXES).await, before);
    }
    migrations.up(&database);
    assert_eq!(database.text(INDEXES).await, once);
    assert_eq!(
        database.text("SELECT count(*)::text FROM orders").await,
        "5000"
    );
}

#[tokio::test]
async fn a_plain_index() {
    let def = index("orders", "orders_customer_id_idx", &["customer_id"]);
    check(
        "plain",
        vec![IndexChange::create(def)],
        "orders_customer_id_idx ON public.orders USING btree (customer_id)",
    )
    .await;
}

#[tokio::test]
async fn an_expression_with_a_predicate() {
    let mut def = index("orders", "orders_lower_idx", &["name"]);
    def.keys[0].target = KeyTarget::Expression("lower(name)".into());
    def.predicate = Some("(status = 'pend;--ing'::text)".into());
    check(
        "expression",
        vec![IndexChange::create(def)],
        "lower(name)) WHERE (status = 'pend;--ing'::text)",
    )
    .await;
}

#[tokio::test]
async fn hostile_names() {
    let mut def = index(
        "x",
        "id\"x'; DROP TABLE orders; --\n\\! touch /tmp/pwned",
        &["co\"l; --\n"],
    );
    def.table = RelationName::new("Ev\"il; sch\nema", "ta'b\"le\\! x");
    check(
        "hostile",
        vec![IndexChange::create(def)],
        "id\"\"x'; DROP TABLE orders; --",
    )
    .await;
    assert!(!Path::new("/tmp/pwned").exists());
}

#[tokio::test]
async fn a_long_unicode_name() {
    let name = format!("日本語_{}", "長".repeat(40));
    let def = index("日本", &name, &["列"]);
    check("unicode", vec![IndexChange::create(def)], "\"日本語_長").await;
}

#[tokio::test]
async fn two_levels_of_partitions() {
    let mut change = IndexChange::create(index("events", "events_user_id_idx", &["user_id"]));
    change.partition_leaves = ["events_1", "events_2a", "events_2b"]
        .map(|leaf| RelationName::new("public", leaf))
        .to_vec();
    check(
        "partitions",
        vec![change],
        "events_2b_user_id_idx ON public.events_2b",
    )
    .await;
}

#[tokio::test]
async fn a_unique_constraint() {
    let mut def = index("orders", "", &["id", "name"]);
    def.unique = true;
    let mut change = IndexChange::create(def);
    change.constraint = Some("orders_id_name_key".into());
    check(
        "constraint",
        vec![change],
        "CREATE UNIQUE INDEX orders_id_name_key",
    )
    .await;
}

/// What is dropped comes back with every detail that only the old definition knows.
#[tokio::test]
async fn a_drop() {
    let database = with_schema("dropped").await;
    let before = database.text(INDEXES).await;
    let old = "CREATE INDEX orders_old_idx ON public.orders USING btree (name DESC) INCLUDE (id) WITH (fillfactor='70') WHERE (customer_id > 5)";
    assert!(before.contains(old), "{before}");
    let change = IndexChange::drop(index("orders", "orders_old_idx", &["name"]), old.into());
    let migrations = Migrations::of(vec![change]);
    migrations.up(&database);
    migrations.up(&database);
    assert!(!database.text(INDEXES).await.contains("orders_old_idx"));
    migrations.down(&database);
    migrations.down(&database);
    assert_eq!(database.text(INDEXES).await, before);
}

/// A unique build that failed on duplicates leaves an invalid index under the name: the next run replaces it.
#[tokio::test]
async fn an_invalid_left_over() {
    let database = with_schema("left_over").await;
    let mut def = index("orders", "orders_customer_id_idx", &["customer_id"]);
    def.unique = true;
    let broken = Migrations::of(vec![IndexChange::create(def.clone())]);
    let output = psql(broken.paths_in("up")[0], &database);
    assert!(!output.status.success(), "duplicates were let in");
    assert_eq!(database.text(INVALID).await, "1");
    let again = psql(broken.paths_in("up")[0], &database);
    assert!(
        !again.status.success(),
        "an invalid index was taken for the real one"
    );
    def.unique = false;
    Migrations::of(vec![IndexChange::create(def)]).up(&database);
    assert_eq!(database.text(INVALID).await, "0");
}

/// Another table's index under the same name is not taken for ours.
#[tokio::test]
async fn a_name_that_is_taken() {
    let database = with_schema("taken").await;
    database
        .run("CREATE INDEX taken_idx ON \"日本\" (\"列\")")
        .await;
    let def = index("orders", "taken_idx", &["customer_id"]);
    let migrations = Migrations::of(vec![IndexChange::create(def)]);
    let output = psql(migrations.paths_in("up")[0], &database);
    assert!(!output.status.success());
}

#[test]
fn the_files_as_they_are() {
    let mut create =
        IndexChange::create(index("orders", "orders_customer_id_idx", &["customer_id"]));
    create.size_bytes = Some(123_456_789);
    let files = files(vec![create]);
    let text: Vec<String> = files
        .iter()
        .map(|file| format!("==> {} <==\n{}", file.path, file.content))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn steps_are_ordered_and_each_is_written_once() {
    let mut trigram = IndexChange::create(index("orders", "orders_name_idx", &["name"]));
    trigram.extension = Some("pg_trgm".into());
    let drop = IndexChange::drop(
        index("orders", "old", &["id"]),
        "CREATE INDEX old ON orders (id)".into(),
    );
    let namesake = IndexChange::create(index("orders", "orders_name_idx", &["name", "id"]));
    let paths: Vec<String> = files(vec![drop, trigram.clone(), trigram, namesake])
        .into_iter()
        .map(|file| file.path)
        .filter(|path| path.ends_with(".up.sql"))
        .collect();
    assert_eq!(paths[0], "20260101000000_extension_pg_trgm.up.sql");
    assert_eq!(paths[1], "20260101000001_orders_name_idx.up.sql");
    assert!(paths[2].starts_with("20260101000002_orders_name_idx_"));
    assert_eq!(paths[3], "drops/20260101000003_drop_old.up.sql");
    assert_eq!(paths.len(), 4);
}

#[test]
fn what_would_leave_its_statement_is_refused() {
    let mut predicate = index("orders", "a", &["id"]);
    predicate.predicate = Some("true); DROP TABLE orders; --".into());
    let mut expression = index("orders", "b", &["id"]);
    expression.keys[0].target = KeyTarget::Expression("id) ; SELECT (1".into());
    let before = IndexChange::drop(
        index("orders", "c", &["id"]),
        "CREATE INDEX c ON orders (id); DROP TABLE orders".into(),
    );
    let planned = planned(vec![
        IndexChange::create(predicate),
        IndexChange::create(expression),
        before,
    ]);
    assert_eq!((planned.steps.len(), planned.refused.len()), (0, 3));
}
