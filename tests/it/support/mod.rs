//! What tests share: one throwaway server a test process, and a database of its own for each test that asks.

pub(crate) mod auditing;
pub(crate) mod logs;
pub(crate) mod workload;

use std::{
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use etcetera::BaseStrategy;
use pgassay::{
    db::{OwnConninfo, Owned},
    server::{self, Binaries, Options, SUPERUSER, Search, Server},
};

/// Where tests look for a server: as the program does.
pub(crate) fn search() -> Search {
    Search {
        named: None,
        variable: variable("PGASSAY_PG_BIN").map(PathBuf::from),
        path: variable("PATH").unwrap_or_default().into(),
        root: PathBuf::from("/"),
        cache: cache(),
    }
}

/// pgassay's own cache folder.
pub(crate) fn cache() -> PathBuf {
    let base = etcetera::choose_base_strategy().expect("a home folder");
    server::cache_folder(&base.cache_dir())
}

#[expect(clippy::disallowed_methods, reason = "tests stand where app stands")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Server binaries, fetched where there are none. A machine that can have none fails the test with the reason.
pub(crate) fn binaries() -> Binaries {
    static FOUND: OnceLock<Binaries> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let found = server::find(&search(), None)
                .or_else(|_| server::fetch(&search(), None, &mut |text| eprintln!("{text}")));
            found.unwrap_or_else(|error| panic!("{error}\n{}", error.hints().join("\n")))
        })
        .clone()
}

/// How tests set up a server.
pub(crate) fn options() -> Options {
    Options::new(cache())
}

/// A server of the test's own, for tests that need other settings than the shared one has.
pub(crate) fn start(options: &Options) -> Server {
    Server::start(&binaries(), options)
        .unwrap_or_else(|error| panic!("{error}\n{}", error.hints().join("\n")))
}

/// The server that all tests of this process share. Its watchdog stops it when the process ends.
pub(crate) fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| start(&options()))
}

/// How to reach a database of a throwaway server.
pub(crate) fn conninfo(server: &Server, database: &str) -> OwnConninfo {
    OwnConninfo::of_throwaway(server.socket_folder(), server.port(), SUPERUSER, database)
}

/// An empty database on the shared server; its name starts with `name`.
pub(crate) async fn database(name: &str) -> Database {
    database_on(shared(), name).await
}

/// An empty database on that server.
pub(crate) async fn database_on(server: &Server, name: &str) -> Database {
    static N: AtomicU32 = AtomicU32::new(0);
    let name = format!("{name}_{}", N.fetch_add(1, Ordering::Relaxed));
    let admin = Owned::connect(&conninfo(server, "postgres"), 1)
        .await
        .expect("the throwaway server answers");
    admin
        .batch(&format!("CREATE DATABASE {name}"))
        .await
        .expect("a new database");
    let conninfo = conninfo(server, &name);
    let owned = Owned::connect(&conninfo, 4)
        .await
        .expect("the new database answers");
    Database {
        url: server.url(&name),
        name,
        conninfo,
        owned,
    }
}

/// A database of a test's own.
#[derive(Debug)]
pub(crate) struct Database {
    /// Its name.
    pub(crate) name: String,
    /// Connection string, for the program's `--database-url`.
    pub(crate) url: String,
    /// The key to read-write sessions.
    pub(crate) conninfo: OwnConninfo,
    /// A pool of read-write sessions.
    pub(crate) owned: Owned,
}

impl Database {
    /// Runs statements, `;`-separated.
    pub(crate) async fn run(&self, sql: &str) {
        if let Err(error) = self.owned.batch(sql).await {
            panic!("{error}, in:\n{sql}");
        }
    }

    /// The first column of the first row, as text.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let session = self.owned.session().await.expect("a session");
        let row = session
            .query_one(sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{error:?}, in:\n{sql}"));
        row.get(0)
    }
}

/// A program or extension that some tests need besides the server. `None` only where `PGASSAY_TESTS_WITHOUT` names it, and that is said.
pub(crate) fn needs(name: &str, has: impl Fn() -> bool, packages: &str) -> Option<()> {
    let without = variable("PGASSAY_TESTS_WITHOUT").unwrap_or_default();
    if without.split(',').any(|listed| listed == name) {
        eprintln!("not tested: {name} (PGASSAY_TESTS_WITHOUT)");
        return None;
    }
    if !has() {
        install(packages);
    }
    assert!(
        has(),
        "this test needs {name}: install {packages}, or set PGASSAY_TESTS_WITHOUT={name} to go without"
    );
    Some(())
}

/// Installs a Debian package where that can be done without asking: as root on a machine that has apt.
fn install(packages: &str) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let apt = |arguments: &str| {
        std::process::Command::new("apt-get")
            .arg("-qq")
            .args(arguments.split_whitespace())
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::process::Stdio::null())
            .status()
    };
    if apt(&format!("install -y {packages}")).is_ok_and(|status| !status.success()) {
        apt("update").ok();
        apt(&format!("install -y {packages}")).ok();
    }
}
