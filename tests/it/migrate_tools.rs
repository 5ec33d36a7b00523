//! Generated migrations, run by the frameworks' own tools: up, again, back; after a failed build; with drops taken up. Installs the tools into the cache, so it is
//! run on demand: `cargo test --test it migrate_tools -- --ignored`

pub(crate) mod install;
mod projects;

use std::{
    fs,
    io::{self, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{self, Database};
use projects::Tool;

const SCHEMA: &str = r#"
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id int, name text, status text, tags jsonb);
INSERT INTO orders (customer_id, name, status) SELECT i % 100, 'n' || i, 'pending' FROM generate_series(1, 5000) i;
CREATE INDEX orders_old_idx ON orders (name DESC) INCLUDE (id) WITH (fillfactor = 70) WHERE customer_id > 5;
CREATE INDEX orders_kept_idx ON orders (name);
CREATE SCHEMA "Ev""il";
CREATE TABLE "Ev""il"."ta'b""le#{1} ${x}" ("co""l; --`%s ?" int);
CREATE TABLE events (id int, user_id int, day int) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id);
CREATE TABLE events_2a PARTITION OF events_2 FOR VALUES IN (1, 2, 3);
CREATE TABLE events_2b PARTITION OF events_2 DEFAULT;
INSERT INTO events SELECT i % 5, i, i % 20 FROM generate_series(1, 5000) i;
"#;

/// Every index that is no primary key's, of our tables, and every statistics object.
const OBJECTS: &str = "SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') FROM (
      SELECT pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END AS line
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE NOT i.indisprimary AND n.nspname IN ('public', 'Ev\"il') AND c.relname ~ '^(orders|events|ta)'
      UNION ALL SELECT pg_get_constraintdef(oid) || conname FROM pg_constraint WHERE conrelid = 'orders'::regclass AND contype = 'u'
      UNION ALL SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext) objects";

/// A database, a project folder, and a TCP port to the server, which itself has a socket only.
pub(crate) struct Lab {
    database: Database,
    folder: tempfile::TempDir,
    port: u16,
    done: Arc<AtomicBool>,
}

impl Lab {
    async fn new(name: &str) -> Self {
        let database = support::database(&name.replace('-', "_")).await;
        database.run(SCHEMA).await;
        let (port, done) = relay();
        Self {
            database,
            folder: tempfile::tempdir().unwrap(),
            port,
            done,
        }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://{}@127.0.0.1:{}/{}?sslmode=disable",
            pgassay::server::SUPERUSER,
            self.port,
            self.database.name
        )
    }

    /// Runs a shell command in the project.
    pub(crate) fn shell(&self, command: &str) -> Output {
        let tools = install::folder();
        let path = format!(
            "{0}/node/node_modules/.bin:{0}/python/bin:{0}/cargo/bin:{1}",
            tools.display(),
            support::variable("PATH").unwrap_or_default()
        );
        Command::new("sh")
            .args(["-c", command])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("DATABASE_URL", self.url())
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", pgassay::server::SUPERUSER)
            .env("PGDATABASE", &self.database.name)
            .env("PGASSAY_URL", &self.database.url)
            .env("PGSSLMODE", "disable")
            .env("NO_COLOR", "1")
            .env("TS_NODE_TRANSPILE_ONLY", "1")
            .output()
            .unwrap()
    }

    /// Runs a shell command that must do it.
    pub(crate) fn run(&self, command: &str) -> String {
        let output = self.shell(command);
        let text = text(&output);
        assert!(
            output.status.success(),
            "{command}\n{text}\n{}",
            self.listing()
        );
        text
    }

    /// The project's own files with their text, for messages.
    fn listing(&self) -> String {
        let output = Command::new("sh")
            .args(["-c", "find . -newer report.json -type f -not -path '*/node_modules/*' | sort | head -40 | while read f; do echo \"==> $f\"; cat \"$f\"; done"])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes the migrations of these changes with the program itself, and returns the paths it printed.
    fn migrate(&self, framework: &str, findings: &[Value]) -> Vec<String> {
        self.migrate_and_tell(framework, findings).0
    }

    /// The same, and what the program told on stderr.
    fn migrate_and_tell(&self, framework: &str, findings: &[Value]) -> (Vec<String>, Vec<String>) {
        let report = json!({ "schema_version": 1, "findings": findings });
        self.write("report.json", &report.to_string());
        std::thread::sleep(Duration::from_millis(20));
        let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
            .args([
                "migrate",
                "--from",
                "report.json",
                "--project",
                ".",
                "--include-drops",
                "--framework",
                framework,
            ])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let lines = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<String>>()
        };
        let told = lines(output.stderr);
        eprintln!("{}", told.join("\n"));
        (lines(output.stdout), told)
    }

    async fn objects(&self) -> String {
        self.database.text(OBJECTS).await
    }

    /// Files that wait in a folder of drops, moved to where the runner reads them.
    pub(crate) fn take_up_drops(&self, folder: &str) {
        self.run(&format!(
            "cd {folder} && cd drops && find . -type f | while read f; do mkdir -p \"../$(dirname $f)\"; mv \"$f\" \"../${{f%.later}}\"; done"
        ));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if std::thread::panicking() && support::variable("PGASSAY_KEEP").is_some() {
            let kept = std::env::temp_dir().join(format!("kept-{}", self.database.name));
            fs::rename(self.folder.path(), &kept).ok();
            eprintln!("kept: {}", kept.display());
        }
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Passes connections from a free TCP port on to the shared server's socket.
fn relay() -> (u16, Arc<AtomicBool>) {
    let server = support::shared();
    let socket = server
        .socket_folder()
        .join(format!(".s.PGSQL.{}", server.port()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((client, _)) => pass(client, &socket),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    });
    (port, done)
}

fn pass(client: TcpStream, socket: &Path) {
    client.set_nonblocking(false).unwrap();
    client.set_nodelay(true).unwrap();
    let server = UnixStream::connect(socket).unwrap();
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut from_server, mut to_client) = (server, client);
    std::thread::spawn(move || {
        io::copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Write).ok();
    });
    std::thread::spawn(move || {
        io::copy(&mut from_server, &mut to_client).ok();
        to_client.flush().ok();
        to_client.shutdown(Shutdown::Both).ok();
    });
}

fn key(column: &str) -> Value {
    json!({ "column": column })
}

/// A finding with one change; what `change` does not say has its usual value.
fn finding(name: &str, mut change: Value) -> Value {
    let defaults = json!({ "action": "create", "schema": "public", "table": "orders", "name": name, "method": "btree", "keys": [], "size_bytes": 123_456_789 });
    for (key, value) in defaults.as_object().unwrap() {
        change
            .as_object_mut()
            .unwrap()
            .entry(key)
            .or_insert(value.clone());
    }
    json!({
        "id": format!("missing-index-{name}"), "rule": "missing-index",
        "message": "it is slow\n*/ ?> #{1} ${2} `3` %> ]]> --> statement-breakpoint '''\"\"\" \\",
        "remedy": { "kind": "create-index", "changes": [change] }
    })
}

/// Every kind of change.
fn findings() -> Vec<Value> {
    let hostile =
        r#"(status <> 'pe;nd--i"n''g ${x} #{y} `z` ? :p %s %% {a} $1 */ ?> <!-- '::text)"#;
    let mut descending = key("status");
    descending["direction"] = json!("desc");
    let leaves = ["events_1", "events_2a", "events_2b"]
        .map(|name| json!({ "schema": "public", "name": name }));
    let mut trigram = key("name");
    trigram["opclass"] = json!("gin_trgm_ops");
    vec![
        finding(
            "orders_customer_id_idx",
            json!({ "keys": [key("customer_id")] }),
        ),
        finding(
            "orders_covering_idx",
            json!({ "keys": [descending, key("id")], "include": ["name"], "predicate": "(customer_id IS NOT NULL)" }),
        ),
        finding(
            "orders_hostile_idx",
            json!({ "keys": [{ "expression": "lower(name)" }], "predicate": hostile }),
        ),
        finding(
            "orders_json_idx",
            json!({ "keys": [key("id")], "predicate": "(tags ? 'a'::text)" }),
        ),
        finding(
            "orders_name_trgm_idx",
            json!({ "keys": [trigram], "method": "gin", "extension": "pg_trgm" }),
        ),
        finding(
            "events_user_id_idx",
            json!({ "table": "events", "keys": [key("user_id")],
            "partition_leaves": leaves }),
        ),
        finding(
            "i\"x'; --#{1} `${x}` ?",
            json!({ "schema": "Ev\"il", "table": "ta'b\"le#{1} ${x}", "keys": [key("co\"l; --`%s ?")] }),
        ),
        finding(
            "orders_id_name_key",
            json!({ "keys": [key("id"), key("name")], "unique": true, "constraint": "orders_id_name_key" }),
        ),
        json!({ "id": "statistics-1", "rule": "missing-extended-statistics", "message": "they depend on each other",
            "remedy": { "kind": "create-statistics", "sql": "CREATE STATISTICS public.orders_stat (dependencies) ON status, customer_id FROM public.orders;", "changes": [] } }),
    ]
}

fn drops() -> Vec<Value> {
    let mut finding = finding(
        "orders_old_idx",
        json!({ "action": "drop", "keys": [key("name")],
            "before": "CREATE INDEX orders_old_idx ON public.orders USING btree (name DESC) INCLUDE (id) WITH (fillfactor='70') WHERE (customer_id > 5)" }),
    );
    finding["remedy"]["kind"] = json!("drop-index");
    finding["evidence"] = json!({ "replaces": ["public.orders_kept_idx"] });
    vec![finding]
}

/// What the changes should have made, from plain SQL in psql.
async fn expected(findings: &[Value]) -> String {
    let lab = Lab::new("expected").await;
    lab.migrate("sql", findings);
    lab.run("for f in migrations/*.up.sql; do psql -X -q -v ON_ERROR_STOP=1 -f $f || exit 1; done");
    lab.objects().await
}

/// Up, up again, back.
async fn every_kind(tool: &Tool) {
    let expected = expected(&findings()).await;
    assert!(
        !expected.contains("INVALID") && expected.lines().count() > 14,
        "{expected}"
    );
    let lab = Lab::new(tool.framework).await;
    (tool.project)(&lab);
    let before = lab.objects().await;
    let files = lab.migrate(tool.framework, &findings());
    assert!(files.len() >= findings().len(), "{files:#?}");
    for _ in 0..2 {
        eprintln!("{}", lab.run(tool.up));
        assert_eq!(lab.objects().await, expected, "{}", lab.listing());
    }
    (tool.down)(&lab);
    assert_eq!(lab.objects().await, before, "{}", lab.listing());
    lab.run(tool.up);
    assert_eq!(lab.objects().await, expected);
    assert!(
        lab.migrate(tool.framework, &findings()).is_empty(),
        "written twice"
    );
}

/// An index that a failed build left is replaced.
async fn left_over(tool: &Tool) {
    let lab = Lab::new(tool.framework).await;
    (tool.project)(&lab);
    let before = lab.objects().await;
    lab.database
        .run("CREATE INDEX orders_customer_id_idx ON orders (customer_id); UPDATE pg_index SET indisvalid = false, indisready = false WHERE indexrelid = 'orders_customer_id_idx'::regclass")
        .await;
    lab.migrate(tool.framework, &findings()[..1]);
    lab.run(tool.up);
    let after = lab.objects().await;
    assert!(
        after.contains("orders_customer_id_idx") && !after.contains("INVALID"),
        "{after}"
    );
    (tool.down)(&lab);
    assert_eq!(lab.objects().await, before);
}

/// A build is cancelled halfway. The next run builds the index, or fails and says what to do; an invalid index never passes for success.
async fn failed_build(tool: &Tool) {
    let lab = Lab::new(tool.framework).await;
    (tool.project)(&lab);
    lab.migrate(tool.framework, &findings()[..1]);
    let canceller = cancel_one_build(&lab);
    let output = lab.shell(tool.up);
    canceller.join().unwrap();
    assert!(!output.status.success(), "{}", text(&output));
    assert!(
        lab.objects()
            .await
            .contains("orders_customer_id_idx ON public.orders USING btree (customer_id) INVALID")
    );
    (tool.mend)(&lab);
    let output = lab.shell(tool.up);
    if !output.status.success() {
        let told = text(&output);
        assert!(
            tool.sends_files_whole && told.contains("no valid index"),
            "{told}"
        );
        lab.run("psql -X -c 'REINDEX INDEX CONCURRENTLY public.orders_customer_id_idx'");
        (tool.mend)(&lab);
        lab.run(tool.up);
    }
    let after = lab.objects().await;
    assert!(
        after.contains("orders_customer_id_idx") && !after.contains("INVALID"),
        "{after}"
    );
}

/// Holds an old transaction, so that the next concurrent build has to wait, and cancels that build.
fn cancel_one_build(lab: &Lab) -> std::thread::JoinHandle<()> {
    let url = lab.database.url.clone();
    let mut holder = Command::new("psql")
        .args(["-X", "-q", "-d", &url, "-c", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM orders LIMIT 1; SELECT pg_sleep(60)"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    std::thread::spawn(move || {
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'CREATE INDEX CONCURRENTLY' AND pid <> pg_backend_pid()
             AND wait_event = 'virtualxid'";
        for _ in 0..400 {
            let output = Command::new("psql")
                .args(["-X", "-At", "-d", &url, "-c", cancel])
                .output()
                .unwrap();
            if output.stdout.starts_with(b"1") {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'pg_sleep' AND pid <> pg_backend_pid()";
        Command::new("psql")
            .args(["-X", "-q", "-d", &url, "-c", end])
            .output()
            .unwrap();
        holder.wait().unwrap();
    })
}

/// A drop waits where the runner does not see it; taken up, it drops the index, and going back brings it back whole.
async fn drop_and_restore(tool: &Tool) {
    let lab = Lab::new(tool.framework).await;
    (tool.project)(&lab);
    lab.migrate(tool.framework, &findings()[..1]);
    lab.run(tool.up);
    let before = lab.objects().await;
    let files = lab.migrate(tool.framework, &drops());
    assert!(!files.is_empty());
    lab.run(tool.up);
    assert_eq!(
        lab.objects().await,
        before,
        "the drop was run from where it waits"
    );
    (tool.take_up_drops)(&lab);
    lab.run(tool.up);
    let after = lab.objects().await;
    assert!(
        !after.contains("orders_old_idx") && after.contains("orders_kept_idx"),
        "{after}\n{}",
        lab.listing()
    );
    (tool.down)(&lab);
    let old = "CREATE INDEX orders_old_idx ON public.orders USING btree (name DESC) INCLUDE (id) WITH (fillfactor='70') WHERE (customer_id > 5)";
    let back = lab.objects().await;
    assert!(
        back.lines().any(|line| line == old),
        "{back}\n{}",
        lab.listing()
    );
}

/// The four, for one tool.
async fn check(tool: &Tool) {
    (tool.install)();
    every_kind(tool).await;
    left_over(tool).await;
    if tool.builds_concurrently {
        failed_build(tool).await;
    }
    drop_and_restore(tool).await;
}

/// What stands behind a colon in the lines that say so.
fn lines_to_add(told: &[String], start: &str, mark: &str) -> Vec<String> {
    let own = told.iter().filter(|line| line.starts_with(start));
    own.map(|line| {
        let at = line.find(mark).unwrap();
        line[at..].to_owned()
    })
    .collect()
}

/// With the printed lines in Meta.indexes, Django sees no change; without them it would remove the indexes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs and runs foreign tools: cargo test --test it migrate_tools -- --ignored"]
async fn django_sees_no_change_afterwards() {
    let tool = projects::django();
    (tool.install)();
    let lab = Lab::new("django_model").await;
    (tool.project)(&lab);
    let (_, told) = lab.migrate_and_tell("django", &findings());
    lab.run(tool.up);
    let check = "python manage.py makemigrations --check --dry-run shop";
    let removes = text(&lab.shell(check));
    assert!(removes.contains("orders_customer_id_idx"), "{removes}");
    let lines = lines_to_add(&told, "add to Meta.indexes of Order", "index: ");
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.split_once(": ").unwrap().1.to_owned())
        .collect();
    assert!(lines.len() >= 3, "{told:#?}");
    let entries: Vec<String> = lines
        .iter()
        .map(|line| line.split(" (from ").next().unwrap().to_owned() + ",\n")
        .collect();
    let models = fs::read_to_string(lab.path("shop/models.py")).unwrap();
    let models = models.replacen(
        "db_table = \"orders\"\n",
        &format!(
            "db_table = \"orders\"\n        indexes = [{}]\n",
            entries.concat()
        ),
        1,
    );
    lab.write(
        "shop/models.py",
        &format!("from django.contrib.postgres.indexes import *\n{models}"),
    );
    let silent = text(&lab.shell(check));
    assert!(silent.contains("No changes detected"), "{silent}");
    lab.run("python manage.py check");
}

/// With the printed lines in the model, Alembic sees no change; without them it would remove the indexes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs and runs foreign tools: cargo test --test it migrate_tools -- --ignored"]
async fn alembic_sees_no_change_afterwards() {
    let tool = projects::alembic();
    (tool.install)();
    let lab = Lab::new("alembic_model").await;
    (tool.project)(&lab);
    lab.database.run("DROP INDEX orders_old_idx").await;
    let own: Vec<Value> = findings()
        .into_iter()
        .filter(|finding| {
            finding["remedy"]["changes"][0]["table"] == "orders"
                && finding["remedy"]["changes"][0]["constraint"].is_null()
        })
        .collect();
    let (_, told) = lab.migrate_and_tell("alembic", &own);
    lab.run(tool.up);
    let removes = text(&lab.shell("alembic check"));
    assert!(removes.contains("orders_customer_id_idx"), "{removes}");
    let lines = lines_to_add(&told, "add to the model of public.orders", "Index(");
    assert_eq!(lines.len(), own.len(), "{told:#?}");
    lab.write(
        "models.py",
        &projects::MODELS.replace("# more", &(lines.join(",\n        ") + ",")),
    );
    let silent = text(&lab.shell("alembic check"));
    assert!(
        silent.contains("No new upgrade operations detected"),
        "{silent}"
    );
}

/// squawk finds nothing to say about the SQL, where the file is SQL.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs and runs foreign tools: cargo test --test it migrate_tools -- --ignored"]
async fn squawk_has_no_objection() {
    install::python();
    for tool in [projects::sql(), projects::dbmate(), projects::sqlx()] {
        let lab = Lab::new("squawk").await;
        (tool.project)(&lab);
        let findings: Vec<Value> = findings()
            .into_iter()
            .filter(|finding| finding["remedy"]["kind"] == "create-index")
            .collect();
        lab.migrate(tool.framework, &findings);
        // going back from a unique constraint drops it, of which squawk rightly says that it may be missed
        // where a file is sent whole, a concurrent build stands alone in it, and the timeouts are the role's
        let timeouts = if tool.sends_files_whole {
            ",require-lock-timeout,require-statement-timeout"
        } else {
            ""
        };
        lab.run(&format!(
            "squawk --exclude=ban-drop-constraint{timeouts} $(find . -name '*.sql' -newer report.json)"
        ));
    }
}

macro_rules! tools {
    ($($name:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "installs and runs foreign tools: cargo test --test it migrate_tools -- --ignored"]
            async fn $name() {
                check(&projects::$name()).await;
            }
        )*
    };
}

tools!(
    sql,
    django,
    alembic,
    rails,
    knex,
    sequelize,
    typeorm,
    drizzle,
    kysely,
    node_pg_migrate,
    dbmate,
    sqlx,
    diesel,
    refinery,
    sqitch,
    sql_migrate
);
