//! The program as its user meets it: arguments, exit codes, messages, what goes to stdout and what to stderr; and bad input of every kind.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{self, Database};

/// What a run gave.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    #[must_use = "a run that nobody looks at tests nothing"]
    fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program starts");
        Self {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("errors are UTF-8"),
        }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// The error says what failed on what; its hint what to do.
    #[track_caller]
    fn complains(self, error: &str, hint: &str) -> Self {
        assert!(
            self.stderr.contains(error),
            "no {error:?} in:\n{}",
            self.stderr
        );
        let hinted = self
            .stderr
            .lines()
            .any(|line| line.starts_with("hint: ") && line.contains(hint));
        assert!(hinted, "no hint about {hint:?} in:\n{}", self.stderr);
        self
    }

    #[track_caller]
    fn prints(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "no {text:?} in:\n{}",
            self.stdout
        );
        self
    }

    #[track_caller]
    fn hides(self, secret: &str) -> Self {
        assert!(
            !self.stdout.contains(secret) && !self.stderr.contains(secret),
            "{}{}",
            self.stdout,
            self.stderr
        );
        self
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }
}

/// The program with an environment of its own: nothing of the developer's `PG*` leaks in.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgassay"));
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("COLUMNS", "140")
        .args(arguments);
    command
}

#[must_use = "a run that nobody looks at tests nothing"]
fn pgassay(arguments: &[&str]) -> Run {
    Run::of(&mut command(arguments))
}

async fn jobs(name: &str) -> Database {
    let database = support::database(name).await;
    database
        .run(
            "CREATE EXTENSION pg_stat_statements;
             CREATE TABLE companies (id int PRIMARY KEY, name text);
             CREATE TABLE jobs (id int PRIMARY KEY, company_id int REFERENCES companies, country text);
             INSERT INTO companies SELECT i, 'c' || i FROM generate_series(1, 1000) i;
             INSERT INTO jobs SELECT i, 1 + i % 1000, 'country ' || i % 50 FROM generate_series(1, 50000) i;
             CREATE INDEX twin_a ON jobs (country); CREATE INDEX twin_b ON jobs (country);
             ANALYZE",
        )
        .await;
    database
}

#[test]
fn help_and_version_are_results() {
    pgassay(&["--help"])
        .exits(0)
        .prints("Examples:")
        .prints("Exit status");
    pgassay(&["audit", "--help"])
        .exits(0)
        .prints("--database-url");
    pgassay(&["--version"])
        .exits(0)
        .prints(env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_subcommand_has_help_with_its_options() {
    for subcommand in [
        "audit",
        "check",
        "migrate",
        "demo",
        "doctor",
        "rules",
        "completions",
        "man",
    ] {
        pgassay(&[subcommand, "--help"])
            .exits(0)
            .prints("Usage: pgassay");
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [&[][..], &["audit", "--frobnicate"], &["frobnicate"]] {
        let run = pgassay(arguments).exits(2);
        assert!(
            run.stdout.is_empty() && run.stderr.contains("Usage"),
            "{}",
            run.stderr
        );
    }
    pgassay(&["audit", "--format", "xml"])
        .exits(2)
        .hides("panicked");
}

#[test]
fn a_misplaced_connection_string_stays_secret() {
    pgassay(&["audit", "postgres://u:sekret@h/d"])
        .exits(2)
        .complains("unexpected argument", "--database-url")
        .hides("sekret");
}

#[test]
fn completions_and_manual_come_from_the_definition() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        pgassay(&["completions", shell]).exits(0).prints("pgassay");
    }
    pgassay(&["man"])
        .exits(0)
        .prints(".TH")
        .prints("max\\-server\\-time");
}

#[test]
fn rules_are_listed_and_documented() {
    pgassay(&["rules"]).exits(0).prints("duplicate-index");
    pgassay(&["rules", "duplicate-index"])
        .exits(0)
        .prints("# duplicate-index")
        .prints("## Example");
    pgassay(&["rules", "nope"])
        .exits(2)
        .complains("no rule is called \"nope\"", "pgassay rules");
}

#[test]
fn a_reader_that_has_gone_is_success() {
    let mut child = command(&["rules", "duplicate-index"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn an_unreachable_server() {
    let url = "postgres://u:sekret@127.0.0.1:1/d";
    pgassay(&["audit", "--database-url", url])
        .exits(2)
        .complains(
            "cannot reach a server on 127.0.0.1:1",
            "check host and port",
        )
        .hides("sekret");
}

#[test]
fn the_environment_names_the_database_as_for_psql() {
    Run::of(command(&["audit"]).env("DATABASE_URL", "postgres://u:sekret@127.0.0.1:1/d"))
        .exits(2)
        .complains("127.0.0.1:1", "check host and port")
        .hides("sekret");
    Run::of(
        command(&["audit"])
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", "1")
            .env("PGPASSWORD", "sekret"),
    )
    .exits(2)
    .complains("127.0.0.1:1", "check host and port")
    .hides("sekret");
}

#[test]
fn an_unusable_connection_string() {
    for url in [
        "mysql://u:sekret@h/d",
        "host=h password='sekret",
        "postgres://u:sekret@h:port/d",
    ] {
        let run = pgassay(&["audit", "--database-url", url])
            .exits(2)
            .hides("sekret");
        assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    }
}

#[tokio::test]
async fn an_unknown_database() {
    let database = support::database("cli_unknown").await;
    let url = database.url.replace(&database.name, "no_such_database");
    pgassay(&["audit", "--database-url", &url])
        .exits(2)
        .complains(
            "database \"no_such_database\" does not exist",
            "psql --list",
        );
}

#[test]
fn a_wrong_password() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let hba = folder.path().join("hba.conf");
    fs::write(&hba, "local all all scram-sha-256\n").unwrap();
    readable_by_all(folder.path());
    let options = support::options().with("hba_file", hba.to_str().unwrap());
    let server = support::start(&options);
    let url = format!("{}&password=sekret", server.url("postgres"));
    pgassay(&["audit", "--database-url", &url])
        .exits(2)
        .complains("password", "password")
        .hides("sekret");
}

fn readable_by_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The catalog is audited all the same; that no statement could be is said, and makes the run incomplete.
#[tokio::test]
async fn a_missing_extension() {
    let database = support::database("cli_extension").await;
    database
        .run("CREATE TABLE t (a int); CREATE INDEX a ON t (a); CREATE INDEX b ON t (a)")
        .await;
    pgassay(&["audit", "--database-url", &database.url])
        .exits(2)
        .complains("pg_stat_statements is not installed", "CREATE EXTENSION")
        .prints("duplicate-index")
        .prints("no statement could be judged");
    pgassay(&[
        "audit",
        "--database-url",
        &database.url,
        "--statements",
        "log",
    ])
    .exits(0)
    .prints("duplicate-index");
}

/// Without any privilege the catalog is still readable; what is not is counted.
#[tokio::test]
async fn no_privilege() {
    let database = jobs("cli_privilege").await;
    database
        .run("DROP ROLE IF EXISTS cli_nobody; CREATE ROLE cli_nobody LOGIN")
        .await;
    let url = format!("{}&user=cli_nobody", database.url);
    pgassay(&["audit", "--database-url", &url])
        .exits(0)
        .prints("duplicate-index")
        .prints("pg_read_all_stats");
}

#[tokio::test]
async fn findings_fail_a_run_only_from_the_severity_asked_for() {
    let database = jobs("cli_fail_on").await;
    let audit = |arguments: &[&str]| {
        let arguments = [&["audit", "--database-url", &database.url], arguments].concat();
        pgassay(&arguments)
    };
    audit(&[]).exits(0).prints("twin_b");
    audit(&["--fail-on", "info"]).exits(1).prints("twin_b");
    audit(&["--fail-on", "error"]).exits(0).prints("twin_b");
    audit(&["--fail-on", "info", "--rule", "none"])
        .exits(0)
        .prints("no rule was run");
}

#[tokio::test]
async fn filters_narrow_what_is_reported() {
    let database = jobs("cli_filters").await;
    let n_findings = |arguments: &[&str]| {
        let base = ["audit", "--database-url", &database.url, "--format", "json"];
        let run = pgassay(&[&base, arguments].concat()).exits(0);
        run.json()["findings"].as_array().unwrap().len()
    };
    assert!(n_findings(&[]) > 0);
    assert!(n_findings(&["--relation", "jobs"]) > 0);
    assert!(n_findings(&["--relation", "public.jobs", "--schema", "public"]) > 0);
    assert_eq!(n_findings(&["--relation", "companies"]), 0);
    assert_eq!(n_findings(&["--exclude-schema", "public"]), 0);
    assert_eq!(n_findings(&["--schema", "elsewhere"]), 0);
    assert_eq!(n_findings(&["--rule", "invalid-index"]), 0);
}

#[tokio::test]
async fn the_json_of_a_real_audit_fits_the_schema() {
    let database = jobs("cli_schema").await;
    let run = pgassay(&["audit", "--database-url", &database.url, "--format", "json"]).exits(0);
    let schema = serde_json::from_str(include_str!("../../docs/report.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document = run.json();
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(document["server"]["role"], "primary");
    assert!(document["run"]["n_server_statements"].as_u64() > Some(0));
}

/// The same input gives the same report, but for what the run cost.
#[tokio::test]
async fn two_audits_tell_the_same() {
    let database = jobs("cli_same").await;
    let findings = || {
        let run = pgassay(&["audit", "--database-url", &database.url, "--format", "json"]).exits(0);
        run.json()["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(findings(), findings());
}

#[tokio::test]
async fn a_report_goes_where_it_is_sent() {
    let database = jobs("cli_output").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.md");
    let base = [
        "audit",
        "--database-url",
        &database.url,
        "--format",
        "markdown",
        "--output",
    ];
    let run = pgassay(&[&base[..], &[path.to_str().unwrap()]].concat()).exits(0);
    assert!(run.stdout.is_empty());
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("<!-- pgassay-report -->\n## pgassay")
    );
    pgassay(&[&base[..], &["/nonexistent/report.md"]].concat())
        .exits(2)
        .hides("panicked");
}

#[tokio::test]
async fn colour_is_for_terminals_and_those_who_ask() {
    let database = jobs("cli_colour").await;
    let base = ["audit", "--database-url", &database.url];
    pgassay(&base).exits(0).hides("\u{1b}");
    pgassay(&[&base[..], &["--color", "always"]].concat())
        .exits(0)
        .prints("\u{1b}[1m");
    pgassay(&[&base[..], &["--color", "always", "--format", "json"]].concat())
        .exits(0)
        .hides("\u{1b}");
}

/// Audit to JSON, JSON to files, with nothing but the program; then once more.
#[tokio::test]
async fn a_report_becomes_migrations() {
    let database = jobs("cli_migrate").await;
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let out = folder.path().join("migrations");
    let report = report.to_str().unwrap();
    pgassay(&[
        "audit",
        "--database-url",
        &database.url,
        "--format",
        "json",
        "--output",
        report,
    ])
    .exits(0)
    .hides("panicked");
    let base = [
        "migrate",
        "--from",
        report,
        "--out",
        out.to_str().unwrap(),
        "--timestamp",
        "20260101000000",
        "--include-drops",
    ];
    let run = pgassay(&[&base[..], &["--dry-run"]].concat())
        .exits(0)
        .prints("DROP INDEX CONCURRENTLY");
    assert!(!out.exists(), "{}", run.stdout);
    let run = pgassay(&base).exits(0);
    assert!(!run.stdout.is_empty());
    for path in run.stdout.lines() {
        assert!(
            fs::read_to_string(path)
                .unwrap()
                .contains("proposed by pgassay"),
            "{path}"
        );
    }
    let again = pgassay(&base).exits(0);
    assert!(
        again.stdout.is_empty() && again.stderr.contains("there already"),
        "{}",
        again.stderr
    );
}

#[test]
fn reports_that_cannot_be_used() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(br#"{ "schema_version": 99, "findings": [] }"#)
        .unwrap();
    let path = file.path().to_str().unwrap();
    pgassay(&["migrate", "--from", path])
        .exits(2)
        .complains("schema version 99", "--format json");
    pgassay(&["migrate", "--from", "/nonexistent.json"])
        .exits(2)
        .complains("/nonexistent.json", "--format json");
    pgassay(&["migrate", "--from", "/"])
        .exits(2)
        .complains("cannot read", "--format json");
    file.as_file().set_len(0).unwrap();
    pgassay(&["migrate", "--from", path])
        .exits(2)
        .complains("not a pgassay report", "--format json");
}

#[test]
fn a_folder_that_cannot_be_written() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let change = r#"{"action":"create","schema":"public","table":"t","name":"i","method":"btree","keys":[{"column":"a"}]}"#;
    write!(file, r#"{{"schema_version":1,"findings":[{{"id":"x","rule":"r","message":"m","remedy":{{"changes":[{change}]}}}}]}}"#).unwrap();
    let path = file.path().to_str().unwrap();
    pgassay(&["migrate", "--from", path, "--out", "/proc/migrations"])
        .exits(2)
        .complains("/proc/migrations", "--out");
    pgassay(&["migrate", "--from", path, "--out", path])
        .exits(2)
        .complains("is no folder", "--out");
    pgassay(&["migrate", "--from", path, "--timestamp", "soon"])
        .exits(2)
        .hides("panicked");
}

const STATEMENT: &str = "2026-11-22 23:54:59.119 UTC [1] u@d/a LOG:  duration: 0.040 ms  statement: SELECT * FROM t WHERE a = 1\n";

/// A log with that content, checked.
fn check(content: &[u8], arguments: &[&str]) -> Run {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    pgassay(&[&["check", &path], arguments].concat())
}

#[test]
fn what_is_no_log_says_so() {
    let program = fs::read(env!("CARGO_BIN_EXE_pgassay")).unwrap();
    let mysql = "/usr/sbin/mysqld, Version: 8.0.36 (MySQL Community Server - GPL). started with:\nTcp port: 3306  Unix socket: /var/run/mysqld/mysqld.sock\nTime                 Id Command    Argument\n";
    let utf16: Vec<u8> = STATEMENT
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    check(b"", &[])
        .exits(2)
        .complains("is empty", "log_min_duration_statement");
    check(&program[..4096], &[])
        .exits(2)
        .complains("not a PostgreSQL log", "server's log");
    check(mysql.as_bytes(), &[])
        .exits(2)
        .complains("MySQL", "PostgreSQL only");
    check(&[b"\xff\xfe", utf16.as_slice()].concat(), &[])
        .exits(2)
        .complains("UTF-16", "iconv");
    check(b"hello\nworld\n", &[]).exits(2).hides("panicked");
    pgassay(&["check", "/nonexistent.log"])
        .exits(2)
        .complains("/nonexistent.log", "exists");
    pgassay(&["check", "/proc/self/mem"])
        .exits(2)
        .complains("cannot read /proc/self/mem", "file");
}

/// A log that holds no statement must not pass for a clean one.
#[test]
fn a_log_without_statements() {
    let log = "2026-11-22 23:54:59.119 UTC [1] LOG:  checkpoint starting: time\n".repeat(3);
    check(log.as_bytes(), &[])
        .exits(2)
        .complains("holds no statement", "log_min_duration_statement");
}

#[test]
fn the_rest_of_a_damaged_log_is_still_read() {
    let broken = format!(
        "{STATEMENT}2026-11-22 23:54:59.2 UTC [1] u@d/a LOG:  duration: 1.0 ms  statement: SELECT FROM WHERE a b c d\n2026-11-22 23:54:59.3 UTC [1] u@d/a LOG:  durat"
    );
    let run = check(broken.as_bytes(), &["--format", "json"]).exits(0);
    let report = run.json();
    assert_eq!(report["summary"]["n_statements"], 2);
    let skipped = report["summary"]["skipped"].as_array().unwrap();
    let reasons: Vec<&str> = skipped
        .iter()
        .map(|skip| skip["reason"].as_str().unwrap())
        .collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("cut off")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason.contains("parser")),
        "{reasons:?}"
    );
}

/// What could be audited is; the exit code says that something lacked.
#[test]
fn one_input_of_two_gives_nothing() {
    let mut log = tempfile::NamedTempFile::new().unwrap();
    log.write_all(STATEMENT.as_bytes()).unwrap();
    let path = log.path().to_str().unwrap();
    pgassay(&["check", path, "/nonexistent.log"])
        .exits(2)
        .complains("/nonexistent.log", "exists")
        .prints("select * from t where a = $1");
    pgassay(&[
        "check",
        path,
        "--database-url",
        "postgres://u:sekret@127.0.0.1:1/d",
    ])
    .exits(2)
    .complains("127.0.0.1:1", "host and port")
    .prints("select * from t where a = $1")
    .hides("sekret");
    Run::of(command(&["check", path]).env("DATABASE_URL", "postgres://u:sekret@127.0.0.1:1/d"))
        .exits(0)
        .prints("select * from t where a = $1");
}

#[test]
fn logs_are_filtered_while_they_are_read() {
    let other = STATEMENT
        .replace("u@d/a", "v@d/b")
        .replace("23:54", "23:58");
    let log = format!("{STATEMENT}{other}{other}");
    let n = |arguments: &[&str]| {
        let run = check(log.as_bytes(), &[&["--format", "json"], arguments].concat()).exits(0);
        run.json()["summary"]["n_statements"].as_u64().unwrap()
    };
    assert_eq!(n(&[]), 3);
    assert_eq!(n(&["--user", "u"]), 1);
    assert_eq!(n(&["--application", "b"]), 2);
    assert_eq!(n(&["--since", "2026-11-22T23:56:00Z"]), 2);
    assert_eq!(n(&["--until", "2026-11-22T23:56:00Z"]), 1);
    assert_eq!(n(&["--since", "2030-01-01T00:00:00Z"]), 0);
    check(log.as_bytes(), &["--since", "soon"])
        .exits(2)
        .complains("--since", "2026-11-22T10:00:00Z");
}

#[test]
fn a_log_comes_from_stdin_too() {
    let mut child = command(&["check", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(STATEMENT.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["summary"]["n_statements"], 1);
    assert_eq!(report["observations"][0]["name"], "stdin");
}

/// An N+1 in a log, from the log to the exit code.
#[test]
fn a_loop_in_a_log_fails_the_check() {
    let mut log = String::new();
    for page in 0..5 {
        let line = |ms: usize, sql: String| {
            format!(
                "2026-11-22 10:0{page}:00.{ms:03} UTC [7] u@shop/web LOG:  duration: 0.100 ms  statement: {sql}\n"
            )
        };
        log.push_str(&line(
            0,
            "SELECT id, author_id FROM books ORDER BY id LIMIT 20".into(),
        ));
        for i in 1..=20 {
            log.push_str(&line(
                i,
                format!("SELECT id, name FROM authors WHERE id = {}", page * 20 + i),
            ));
        }
    }
    check(log.as_bytes(), &[])
        .exits(1)
        .prints("n-plus-one")
        .prints("authors");
    check(log.as_bytes(), &["--fail-on", "never"])
        .exits(0)
        .prints("n-plus-one");
    check(log.as_bytes(), &["--rule", "none"])
        .exits(0)
        .hides("n-plus-one");
    check(log.as_bytes(), &["--relation", "books"])
        .exits(0)
        .prints("No findings");
}

#[test]
fn choose_solves_a_published_table_and_says_what_is_wrong_with_others() {
    let table = "set QUERIES := 1 2;\nparam size :=\n3 1000000 # ['t_a']\n4 2000000 # ['t_b']\n;\n\
                 set indexes_per_combination[1]:= 3;\nset indexes_per_combination[2]:= 3 4;\n\
                 param costs :=\n1 0 100\n1 1 60\n1 2 10\n2 0 100\n;\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.txt");
    fs::write(&path, table).unwrap();
    let choose = |path: &Path, mb: &str| {
        let path = path.to_str().unwrap();
        pgassay(&[
            "choose",
            "--format",
            "json",
            "--budget-mb",
            mb,
            "--cost-table",
            path,
        ])
    };
    choose(&path, "2")
        .exits(0)
        .prints(r#"{"indexes":[3],"size_bytes":1000000,"cost":160.0,"share":0.8}"#);
    choose(&path, "3").exits(0).prints(r#""indexes":[3,4]"#);
    choose(&path, "0").exits(0).prints(r#""indexes":[]"#);
    choose(&path, "nan").exits(2);
    choose(&folder.path().join("none"), "1").exits(2);
    fs::write(&path, "no table").unwrap();
    choose(&path, "1")
        .exits(2)
        .complains("is no cost table", "param costs");
}
