//! Folders, patterns and rotated sets of logs, as their user gives them; whose facts count; logs without statements.

use std::{fs, io::Write, path::Path, process::Command};

/// What a run gave: exit code, report, errors.
struct Run {
    code: Option<i32>,
    report: serde_json::Value,
    stderr: String,
}

#[must_use = "a run that nobody looks at tests nothing"]
fn check(folder: &Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .env_clear()
        .current_dir(folder)
        .arg("check")
        .args(arguments)
        .args(["--format", "json", "--fail-on", "never"])
        .output()
        .unwrap();
    Run {
        code: output.status.code(),
        report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stderr, self.report);
        self
    }

    fn n_statements(&self) -> u64 {
        self.report["summary"]["n_statements"].as_u64().unwrap()
    }

    fn n_found(&self, rule: &str) -> usize {
        let findings = self.report["findings"].as_array().unwrap();
        findings.iter().filter(|f| f["rule"] == rule).count()
    }

    #[track_caller]
    fn notes(self, text: &str) -> Self {
        let notes = self.report["notes"].to_string();
        assert!(notes.contains(text), "no {text:?} in {notes}");
        self
    }
}

/// Lines of `pid` from second `from` on, 2 ms apart: a list, then a look-up for each of its rows.
fn page(pid: u32, from: u32, rows: std::ops::Range<u32>, has_list: bool) -> String {
    let line = |ms: u32, sql: &str| {
        format!(
            "2026-11-22 10:00:{from:02}.{ms:03} UTC [{pid}] app@shop LOG:  duration: 0.4{:02} ms  statement: {sql}\n",
            ms % 100
        )
    };
    let list = if has_list {
        line(1, "SELECT id, title FROM books WHERE shelf = 3 LIMIT 40")
    } else {
        String::new()
    };
    let rows = rows.map(|row| {
        line(
            3 + 2 * row,
            &format!("SELECT name FROM authors WHERE book_id = {row}"),
        )
    });
    list + &rows.collect::<String>()
}

/// As [`page`], of a server of which one statement in ten is logged from line 42 on.
fn sampled() -> String {
    let setting = |name: &str, value: &str| {
        format!(
            "2026-11-22 10:00:02.000 UTC [1] @ LOG:  parameter \"{name}\" changed to \"{value}\"\n"
        )
    };
    let changes = [
        setting("log_min_duration_statement", "1s"),
        setting("log_min_duration_sample", "0"),
        setting("log_statement_sample_rate", "0.1"),
    ];
    page(7, 1, 0..40, true) + &changes.concat() + &page(8, 3, 0..40, false)
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn logged_executions_of_a_sample_count_for_those_left_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), sampled()).unwrap();
    let none = ["a.log", "--rule", "none"];
    let look_ups = |run: &Run| {
        let queries = run.report["top_queries"].as_array().unwrap();
        let of_authors =
            |query: &&serde_json::Value| query["query"].as_str().unwrap().contains("from authors");
        queries.iter().find(of_authors).unwrap().clone()
    };
    // 40 that stand for themselves, and 40 of which nine in ten were left out
    let run = check(folder.path(), &none).exits(0);
    let query = look_ups(&run);
    assert_eq!(
        (&query["n_calls"], &query["n_logged"]),
        (&440.into(), &80.into()),
        "{query}"
    );
    // √(40 · 0.9) / 0.1
    assert_eq!(query["n_calls_error"], 60, "{query}");
    assert_eq!(run.n_statements(), 81);
    run.notes("81 logged executions stand for some 441");
    // settings that the log itself does not tell
    fs::write(folder.path().join("b.log"), page(8, 3, 0..40, true)).unwrap();
    let given = |setting| {
        [
            "b.log",
            "--rule",
            "none",
            "--log-setting",
            "log_min_duration_sample=0",
            "--log-setting",
            setting,
        ]
    };
    let run = check(folder.path(), &given("log_statement_sample_rate=0.2")).exits(0);
    assert_eq!(look_ups(&run)["n_calls"], 200);
    run.notes("log_statement_sample_rate 0.2");
    let run = check(folder.path(), &["b.log", "--rule", "none"]).exits(0);
    assert_eq!(look_ups(&run)["n_calls"], 40);
    assert!(look_ups(&run)["n_logged"].is_null());
    // settings of another server: these executions would not be there
    let others = [
        "b.log",
        "--rule",
        "none",
        "--log-setting",
        "log_min_duration_sample=100ms",
        "--log-setting",
        "log_statement_sample_rate=0.2",
    ];
    let run = check(folder.path(), &others).exits(0);
    assert_eq!(look_ups(&run)["n_calls"], 40);
    run.notes("not reckoned up").notes("41 of them");
}

#[test]
fn a_loop_that_goes_on_in_the_next_rotated_file_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    // by name they come in the other order, and names do not tell it
    write("postgresql-Mon.log", page(7, 1, 4..9, false).as_bytes());
    write("postgresql-Sun.log.gz", &gzipped(&page(7, 1, 0..4, true)));
    write("README.txt", b"logs of the shop\n");
    write("postgresql-Tue.log", b"");
    for named in [".", "postgresql-*", "*"] {
        let run = check(
            folder.path(),
            &["--rule", "n-plus-one", "--min-repeats", "9", named],
        )
        .exits(0);
        assert_eq!(
            (run.n_statements(), run.n_found("n-plus-one")),
            (10, 1),
            "{named}"
        );
        let bursts = &run.report["findings"][0]["evidence"]["n_repeats_max"];
        assert_eq!(bursts, 9, "{named}");
        let _ = run.notes("left out as no PostgreSQL log");
    }
    // named one by one, in any order, what is empty is told
    let files = ["postgresql-Mon.log", "postgresql-Sun.log.gz"];
    let run = check(folder.path(), &["--min-repeats", "9", files[0], files[1]]).exits(0);
    assert_eq!((run.n_statements(), run.n_found("n-plus-one")), (10, 1));
    let run = check(folder.path(), &[files[0], "postgresql-Tue.log"]).exits(2);
    assert!(
        run.stderr.contains("postgresql-Tue.log is empty"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_same_process_of_another_server_is_another_session() {
    let folder = tempfile::tempdir().unwrap();
    let later = |second| page(7, second, 20..21, false);
    fs::write(
        folder.path().join("a.log"),
        page(7, 1, 0..4, true) + &later(59).replace("10:00", "10:09"),
    )
    .unwrap();
    fs::write(folder.path().join("b.log"), page(7, 1, 4..9, false)).unwrap();
    let run = check(folder.path(), &["--min-repeats", "9", "a.log", "b.log"]).exits(0);
    assert_eq!((run.n_statements(), run.n_found("n-plus-one")), (11, 0));
}

#[test]
fn what_holds_no_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::create_dir(folder.path().join("other")).unwrap();
    fs::write(folder.path().join("other/notes.txt"), "nothing\n").unwrap();
    for (named, error) in [
        ("empty", "empty holds no file"),
        ("*.nothing", "no file matches *.nothing"),
        ("other", "no PostgreSQL log among the 1 files of other"),
        ("[", "[ is no valid pattern"),
    ] {
        let run = check(folder.path(), &[named]).exits(2);
        assert!(run.stderr.contains(error), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    }
}

#[test]
fn a_log_in_two_formats_counts_once() {
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/logs/pg15");
    let alone = check(Path::new(server), &["--rule", "none", "server.json"]).exits(0);
    let all = check(Path::new(server), &["--rule", "none", "server.*"]).exits(0);
    assert_eq!(all.n_statements(), alone.n_statements());
    let _ = all.notes("2 files left out as the same logs in another format");
}

#[test]
fn files_that_end_before_since_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, minute) in [
        ("pg-1.log", "10:01"),
        ("pg-2.log", "10:02"),
        ("pg-3.log", "10:03"),
    ] {
        let log = page(7, 1, 0..3, false).replace("10:00", minute);
        fs::write(folder.path().join(name), log).unwrap();
    }
    let since = ["--rule", "none", "--since", "2026-11-22T10:02:30Z"];
    let run = check(folder.path(), &[&since[..], &["."]].concat()).exits(0);
    assert_eq!(run.n_statements(), 3);
    let run = run.notes("1 files that end before --since were not read");
    let window = run.report["summary"]["window_s"].as_f64().unwrap();
    assert!(window < 1.0, "{window}");
}

#[test]
fn connections_alone_are_enough_for_rules_about_connections() {
    let folder = tempfile::tempdir().unwrap();
    let log = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/pools/no-pool.log"
    ))
    .unwrap();
    let connections: String = log
        .lines()
        .filter(|line| line.contains("connection"))
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(folder.path().join("pg.log"), connections).unwrap();
    let run = check(folder.path(), &["pg.log", "--rule", "connection-churn"]).exits(0);
    assert_eq!(
        (run.n_statements(), run.n_found("connection-churn")),
        (0, 1),
        "{}",
        run.report
    );
    // facts of somebody else count as little as statements
    let run = check(
        folder.path(),
        &["pg.log", "--rule", "connection-churn", "--user", "nobody"],
    )
    .exits(0);
    assert_eq!(run.n_found("connection-churn"), 0);
}

#[test]
fn a_poolers_log_stands_beside_the_servers() {
    let pools = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pools"));
    let run = check(
        pools,
        &[
            "pgbouncer.log",
            "--rule",
            "pool-saturation",
            "--rule",
            "n-plus-one",
        ],
    )
    .exits(0);
    assert_eq!((run.n_statements(), run.n_found("pool-saturation")), (0, 1));
    let evidence = &run.report["findings"][0]["evidence"];
    assert_eq!(evidence["n_gave_up"], 3, "{evidence}");
    assert_eq!(evidence["n_refused_by_pooler"], 4, "{evidence}");
    let rules = run.report["rules"].as_array().unwrap();
    let status = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap()["status"].clone();
    assert_eq!(status("n-plus-one"), "lacked-input");
    assert_eq!(status("pool-saturation"), "partial");
    // the server's log tells no less because of it
    let alone = check(pools, &["no-pool.log", "--rule", "connection-churn"]).exits(0);
    let both = check(
        pools,
        &["no-pool.log", "pgbouncer.log", "--rule", "connection-churn"],
    )
    .exits(0);
    assert_eq!(both.report["rules"], alone.report["rules"]);
}
