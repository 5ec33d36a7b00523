//! Behind pgbouncer in transaction mode: the audit works, and the application's next client finds the server's connection as it was.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use pgassay::{
    advise::{PlannedQuery, WhatIf},
    catalog::{IndexDef, IndexKey, RelationName},
    db::{Audited, LivePlanner, OwnConninfo, Owned},
    server::SUPERUSER,
};

use crate::{
    db::{BUDGET, conninfo},
    support::{self, Database},
};

/// pgbouncer's port; it names the socket only.
const PORT: u16 = 6432;

/// A pooler with a single server connection: whatever is left on it, the next client gets.
struct Pooler {
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}",
                fs::read_to_string(self.folder().join("log")).unwrap_or_default()
            );
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn program() -> Option<PathBuf> {
    [
        "/usr/sbin/pgbouncer",
        "/usr/bin/pgbouncer",
        "/opt/homebrew/bin/pgbouncer",
        "/usr/local/bin/pgbouncer",
    ]
    .iter()
    .map(PathBuf::from)
    .find(|path| path.exists())
}

impl Pooler {
    fn start(database: &Database) -> Option<Self> {
        support::needs("pgbouncer", || program().is_some(), "pgbouncer")?;
        let program = program().unwrap();
        let folder = tempfile::Builder::new()
            .prefix("pgassay-b")
            .tempdir_in("/tmp")
            .unwrap();
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let server = support::shared();
        let configuration = format!(
            "[databases]\n{name} = host={socket} port={port}\n[pgbouncer]\nlisten_port = {PORT}\nunix_socket_dir = {folder}\n\
             auth_type = any\nauth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = 1\nmax_client_conn = 20\nlogfile = {folder}/log\npidfile = {folder}/pid\n",
            name = database.name,
            socket = server.socket_folder().display(),
            port = server.port(),
            folder = path.display(),
        )
        // with auth_type any the server's user is the one of the database line
        .replace(&format!("port={}\n", server.port()), &format!("port={} user={SUPERUSER}\n", server.port()));
        fs::write(path.join("users"), format!("\"{SUPERUSER}\" \"\"\n")).unwrap();
        fs::write(path.join("pgbouncer.ini"), configuration).unwrap();
        let mut command = Command::new(program);
        command
            .arg(path.join("pgbouncer.ini"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|out| out.stdout.trim_ascii() == b"0")
        {
            // it refuses to run as root, and must get into the server's folder
            let owner = fs::metadata(server.socket_folder().join("data"))
                .unwrap()
                .uid();
            let name = Command::new("id")
                .args(["-un", &owner.to_string()])
                .output()
                .unwrap()
                .stdout;
            command.args(["-u", std::str::from_utf8(name.trim_ascii()).unwrap()]);
            for file in ["users", "pgbouncer.ini", ""] {
                chown(path.join(file), Some(owner), None).unwrap();
            }
        }
        let process = command.spawn().unwrap();
        let pooler = Self { process, folder };
        pooler.wait();
        Some(pooler)
    }

    fn wait(&self) {
        for _ in 0..200 {
            // the socket's file is there a moment before pgbouncer listens on it
            if UnixStream::connect(self.folder().join(format!(".s.PGSQL.{PORT}"))).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        let log = fs::read_to_string(self.folder().join("log")).unwrap_or_default();
        panic!("pgbouncer did not start:\n{log}");
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self, database: &Database) -> String {
        format!(
            "host={} port={PORT} user={SUPERUSER} dbname={}",
            self.folder().display(),
            database.name
        )
    }
}

/// What a session may carry from one transaction to the next.
const STATE: &str = "SELECT (SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings \
    WHERE source = 'session' AND name <> 'application_name') || ' prepared ' || (SELECT count(*) FROM pg_prepared_statements) \
    || ' cursors ' || (SELECT count(*) FROM pg_cursors) || ' search_path ' || current_setting('search_path') \
    || ' timeouts ' || current_setting('statement_timeout') || current_setting('lock_timeout') || current_setting('idle_in_transaction_session_timeout') \
    || ' locks ' || (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())";

const SCHEMA: &str = "CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t SELECT n, n % 100 FROM generate_series(1, 5000) n; ANALYZE;
    CREATE EXTENSION pg_stat_statements";

async fn state(pooler: &Pooler, database: &Database) -> String {
    let through = OwnConninfo::of_throwaway(pooler.folder(), PORT, SUPERUSER, &database.name);
    let owned = Owned::connect(&through, 1).await.unwrap();
    let session = owned.session().await.unwrap();
    let rows = session
        .simple_query(&format!("SELECT coalesce(({STATE}), 'nothing set')"))
        .await
        .unwrap();
    let row = rows.iter().find_map(|message| match message {
        pgassay::db::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.unwrap()
}

#[tokio::test]
async fn nothing_reaches_the_next_client() {
    let database = support::database("pooled").await;
    database.run(SCHEMA).await;
    let has_hypopg = database
        .owned
        .batch("CREATE EXTENSION hypopg")
        .await
        .is_ok();
    let Some(pooler) = Pooler::start(&database) else {
        return;
    };
    let before = state(&pooler, &database).await;

    let info = conninfo(&pooler.url(&database)).unwrap();
    let audited = Audited::connect(&info, BUDGET)
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(audited.is_pooled());
    let catalog = audited.catalog().await.unwrap();
    assert!(catalog.server.pooled);
    audited.statements().await.unwrap();
    let planner = LivePlanner::new(audited.clone(), &catalog);
    let query = |sql: &str| PlannedQuery {
        sql: sql.to_owned(),
        search_path: vec!["public".to_owned()],
    };
    for sql in [
        "select * from t where x = $1",
        "select * from t where id = 5",
        "update t set x = $1 where id = $2",
    ] {
        planner.plan(&query(sql), &[], &[]).await.unwrap();
    }
    // failures of every kind on the way
    for sql in [
        "select nope from t where x = $1",
        "select * from nope",
        "select $1",
        "select 1; select 2",
        "select 1/0 + $1",
    ] {
        planner.plan(&query(sql), &[], &[]).await.ok();
    }
    if has_hypopg {
        let index = IndexDef {
            table: RelationName::new("public", "t"),
            name: "t_x".to_owned(),
            keys: vec![IndexKey::column("x")],
            ..IndexDef::default()
        };
        let plan = planner
            .plan(
                &query("select * from t where x = $1"),
                std::slice::from_ref(&index),
                &[],
            )
            .await
            .unwrap();
        assert!(plan.uses_index("t_x"));
        planner
            .plan(&query("select nope from t where x = $1"), &[index], &[])
            .await
            .unwrap_err();
    }
    // and a future dropped in the middle
    for patience_us in [50, 200, 500, 1000] {
        let patience = Duration::from_micros(patience_us);
        let question = query("select * from t a, t b, t c where a.x = $1");
        let _ = tokio::time::timeout(patience, planner.plan(&question, &[], &[])).await;
    }
    assert_eq!(state(&pooler, &database).await, before);
    if has_hypopg {
        let through = OwnConninfo::of_throwaway(pooler.folder(), PORT, SUPERUSER, &database.name);
        let owned = Owned::connect(&through, 1).await.unwrap();
        let check = "DO $$ BEGIN IF EXISTS (SELECT FROM hypopg()) THEN RAISE EXCEPTION 'a hypothetical index was left'; END IF; END $$";
        owned.batch(check).await.unwrap();
    }
}

/// Everything that decides plans can be read through it, and the application's connection is as before.
#[tokio::test]
async fn a_capture_leaves_nothing_behind() {
    let database = support::database("captured").await;
    database.run(SCHEMA).await;
    database
        .run("CREATE INDEX t_x ON t (x); CREATE TABLE d (a int, b text, r int4range, tags text[]); CREATE STATISTICS d_ab (mcv, dependencies) ON a, b FROM d; \
              INSERT INTO d SELECT n % 10, 'v' || n % 10, int4range(n, n + 5), ARRAY['t' || n % 9] FROM generate_series(1, 3000) n; CREATE INDEX d_tags ON d USING gin (tags); ANALYZE")
        .await;
    let Some(pooler) = Pooler::start(&database) else {
        return;
    };
    let before = state(&pooler, &database).await;
    let (_folder, snapshot, said) = crate::twin::capture(&pooler.url(&database), "none");
    assert_eq!(state(&pooler, &database).await, before);
    assert!(said.contains("2 tables"), "{said}");
    let queries =
        "SELECT * FROM public.t WHERE x = 7;\nSELECT * FROM public.d WHERE a = 3 AND b = 'v3';\n";
    let plans = crate::twin::planned(&snapshot, queries);
    // as the server itself, the pooler out of the way
    let session = database.owned.session().await.unwrap();
    for plan in plans {
        let explain = format!(
            "EXPLAIN (FORMAT JSON, VERBOSE) {}",
            plan["sql"].as_str().unwrap()
        );
        let real: serde_json::Value = session.query_one(&explain, &[]).await.unwrap().get(0);
        assert_eq!(
            plan["explain"][0]["Plan"], real[0]["Plan"],
            "{}",
            plan["sql"]
        );
    }
}
