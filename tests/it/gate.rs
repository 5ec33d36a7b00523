//! A check as a merge gate: configuration, ignores, baseline, comparison, several outputs, places in the code.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A project's folder in which the program runs.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn run_in(folder: &Path, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pgassay"))
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("COLUMNS", "200")
            .current_dir(folder)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Runs the program; its exit code, stdout and stderr.
    #[must_use]
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Self::run_in(self.0.path(), arguments);
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }
}

/// Requests that load a page of books and then each book's author, `n` at a time; `tag` is a comment behind each statement.
fn log_with_loop(n: usize, tag: &str) -> String {
    let mut log = String::new();
    for page in 0..5 {
        let mut line = |ms: usize, sql: &str| {
            log.push_str(&format!(
                "2026-11-22 10:0{page}:00.{ms:03} UTC [7] u@shop/web LOG:  duration: 0.100 ms  statement: {sql}{tag}\n"
            ));
        };
        line(0, "SELECT id, author_id FROM books ORDER BY id LIMIT 100");
        for i in 1..=n {
            line(
                i,
                &format!("SELECT id, name FROM authors WHERE id = {}", page * 100 + i),
            );
        }
    }
    log
}

fn log_without_loop() -> String {
    "2026-11-22 10:00:00.000 UTC [7] u@shop/web LOG:  duration: 0.100 ms  statement: SELECT id, author_id FROM books ORDER BY id LIMIT 100\n".to_owned()
}

#[test]
fn known_findings_pass_new_and_worse_ones_fail_and_fixed_ones_must_leave() {
    let project = Project::new();
    project.write("a.log", &log_with_loop(20, ""));
    let gate = ["check", "a.log", "--baseline", "base.json"];
    let (code, _, stderr) = project.run(&gate);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("cannot use the baseline \"base.json\"")
            && stderr.contains("--update-baseline"),
        "{stderr}"
    );

    let (code, _, stderr) = project.run(&[
        "check",
        "a.log",
        "--baseline",
        "base.json",
        "--update-baseline",
    ]);
    assert_eq!(code, 0, "{stderr}");
    let baseline = project.read("base.json");
    assert!(
        baseline.contains("public.authors (id)") && !baseline.contains("SELECT"),
        "{baseline}"
    );

    let (code, stdout, stderr) = project.run(&gate);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("confidence, known)"), "{stdout}");
    assert!(
        stderr.contains(
            "pgassay: 1 finding (0 new, 0 worse, 1 known), 0 to act on at or above warning: passed"
        ),
        "{stderr}"
    );

    project.write("a.log", &log_with_loop(60, ""));
    let (code, stdout, _) = project.run(&gate);
    assert_eq!(code, 1);
    assert!(
        stdout.contains("worse: longest burst 20 became 60"),
        "{stdout}"
    );

    project.write("a.log", &log_without_loop());
    let (code, _, stderr) = project.run(&gate);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("fixed, and still in base.json: n-plus-one public.authors (id)"),
        "{stderr}"
    );
    let (code, ..) = project.run(&[
        "check",
        "a.log",
        "--baseline",
        "base.json",
        "--update-baseline",
    ]);
    assert_eq!(code, 0);
    assert!(!project.read("base.json").contains("authors"));
}

#[test]
fn a_baseline_of_another_version_is_refused() {
    let project = Project::new();
    project
        .write("a.log", &log_with_loop(20, ""))
        .write("base.json", "{\"schema_version\": 7}");
    let (code, _, stderr) = project.run(&["check", "a.log", "--baseline", "base.json"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("schema version 7"), "{stderr}");
}

#[test]
fn the_configuration_is_found_upward_and_flags_win() {
    let project = Project::new();
    project
        .write("logs/a.log", &log_with_loop(20, ""))
        .write(
            "pgassay.toml",
            "[inputs]\nlogs = [\"logs/a.log\"]\n[check]\nfail-on = \"error\"\n",
        )
        .write("deep/er/x", "");
    let below = project.path("deep/er");
    let code = |arguments: &[&str]| Project::run_in(&below, arguments).status.code();
    assert_eq!(code(&["check"]), Some(0));
    assert_eq!(code(&["check", "--fail-on", "warning"]), Some(1));
    assert_eq!(
        code(&["check", "--fail-on", "warning", "--max-findings", "1"]),
        Some(0)
    );
    project.write(
        "pgassay.toml",
        "[inputs]\nlogs = [\"logs/a.log\"]\n[rules]\nn-plus-one = \"off\"\n",
    );
    assert_eq!(code(&["check"]), Some(0));
    project.write("pgassay.toml", "[inputs]\nlogs = [\"logs/a.log\"]\n[rules]\nn-plus-one = \"error\"\n[check]\nfail-on = \"error\"\n");
    assert_eq!(code(&["check"]), Some(1));
}

#[test]
fn a_wrong_configuration_stops_the_run_with_its_line() {
    let project = Project::new();
    project
        .write("a.log", &log_with_loop(20, ""))
        .write("pgassay.toml", "[check]\n\nfailon = \"error\"\n");
    let (code, stdout, stderr) = project.run(&["check", "a.log"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(
        stderr.contains("pgassay.toml:3: unknown field `failon`"),
        "{stderr}"
    );
    let (code, _, stderr) = project.run(&["check", "a.log", "--config", "nowhere.toml"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot read \"nowhere.toml\""), "{stderr}");
}

#[test]
fn init_writes_a_configuration_and_never_overwrites_one() {
    let project = Project::new();
    let (code, stdout, _) = project.run(&["check", "--init"]);
    assert_eq!((code, stdout.as_str()), (0, "pgassay.toml\n"));
    let written = project.read("pgassay.toml");
    assert!(written.contains("[[ignore]]"));
    let (code, _, stderr) = project.run(&["check", "--init"]);
    assert_eq!(code, 2, "{stderr}");
    assert_eq!(project.read("pgassay.toml"), written);
    let (code, _, stderr) = project.run(&["check"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("no log to check"), "{stderr}");
}

#[test]
fn ignores_have_reasons_end_and_are_told() {
    let project = Project::new();
    let ignore = |more: &str| {
        format!(
            "[[ignore]]\nrule = \"n-plus-one\"\nrelation = \"*.authors\"\nreason = \"twelve rows\"\n{more}"
        )
    };
    project
        .write("a.log", &log_with_loop(20, ""))
        .write("pgassay.toml", &ignore(""));
    let (code, stdout, stderr) = project.run(&["check", "a.log"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stdout.contains("n-plus-one public.authors (id): twelve rows"),
        "{stdout}"
    );
    assert!(stderr.contains("1 ignored"), "{stderr}");

    project.write("pgassay.toml", &ignore("expires = \"2020-01-01\"\n"));
    let (code, stdout, _) = project.run(&["check", "a.log"]);
    assert_eq!(code, 1);
    assert!(
        stdout.contains("pgassay.toml:1: this ignore has expired"),
        "{stdout}"
    );

    project
        .write("a.log", &log_without_loop())
        .write("pgassay.toml", &ignore(""));
    let (_, stdout, _) = project.run(&["check", "a.log"]);
    assert!(
        stdout.contains("pgassay.toml:1: this ignore matches no finding"),
        "{stdout}"
    );
}

#[test]
fn a_statement_can_ask_to_be_left_alone() {
    let project = Project::new();
    project.write(
        "a.log",
        &log_with_loop(20, " /*pgassay_ignore='n-plus-one'*/"),
    );
    let (code, stdout, _) = project.run(&["check", "a.log"]);
    assert_eq!(code, 0, "{stdout}");
    project.write(
        "a.log",
        &log_with_loop(20, " /*pgassay_ignore='unused-index'*/"),
    );
    assert_eq!(project.run(&["check", "a.log"]).0, 1);
}

#[test]
fn a_budget_fails_the_check_with_the_worst_request() {
    let project = Project::new();
    let tag = |route: &str| format!(" /*route='{route}'*/");
    project
        .write("a.log", &log_with_loop(3, &tag("GET /books")))
        .write("worker.log", &log_with_loop(6, ""))
        .write(
            "pgassay.toml",
            "[budgets]\n\"route=GET /boo*\" = { max-queries = 4, max-repeats = 3 }\n\"*\" = { max-queries = 5 }\n",
        );
    let check = |log: &str| project.run(&["check", log, "--rule", "budget-exceeded"]);
    let (code, stdout, stderr) = check("a.log");
    assert_eq!(code, 0, "within the budget: {stdout}{stderr}");
    let (code, stdout, stderr) = check("worker.log");
    assert_eq!(
        code, 0,
        "without tags and transaction nobody knows where a request ends: {stdout}{stderr}"
    );

    project.write("a.log", &log_with_loop(4, &tag("GET /books")));
    let (code, stdout, stderr) = check("a.log");
    assert_eq!(code, 1, "{stdout}{stderr}");
    for expected in [
        "2 findings (2 errors",
        "route=GET /books executed 5 statements in one unit of work, the budget of \"route=GET /boo*\" is 4",
        "route=GET /books executed one statement 4 times",
        "4 × select id, name from authors where id = $1",
        "a.log:1",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let report = || {
        let (_, json, _) = project.run(&[
            "check",
            "a.log",
            "--rule",
            "budget-exceeded",
            "--format",
            "json",
        ]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let ids = json["findings"].as_array().unwrap().iter();
        ids.map(|finding| finding["id"].clone()).collect::<Vec<_>>()
    };
    let before = report();
    project.write("a.log", &log_with_loop(5, &tag("GET /books?page=2")));
    let after = report();
    assert_eq!(
        (before.len(), after.len()),
        (2, 3),
        "now the budget of everything, too"
    );
    assert!(
        before.iter().all(|id| after.contains(id)),
        "the same budgets, by whatever page"
    );
}

#[test]
fn several_outputs_come_from_one_run() {
    let project = Project::new();
    project.write("a.log", &log_with_loop(20, ""));
    let (code, stdout, _) = project.run(&[
        "check",
        "a.log",
        "--output",
        "sarif=a.sarif",
        "--output",
        "junit=a.xml",
        "--output",
        "markdown=a.md",
        "--format",
        "github",
    ]);
    assert_eq!(code, 1);
    assert!(
        stdout.starts_with("::warning title=pgassay n-plus-one"),
        "{stdout}"
    );
    assert!(project.read("a.sarif").contains("\"2.1.0\""));
    assert!(project.read("a.xml").starts_with("<?xml"));
    assert!(project.read("a.md").starts_with("<!-- pgassay-report -->"));
    let (_, stdout, _) = project.run(&["check", "a.log", "--format", "json", "--output", "a.json"]);
    assert_eq!(stdout, "");
    assert!(project.read("a.json").contains("\"schema_version\": 1"));
}

#[test]
fn two_reports_are_compared() {
    let project = Project::new();
    project
        .write("a.log", &log_without_loop())
        .write("b.log", &log_with_loop(20, ""));
    for name in ["a", "b"] {
        let (_, stdout, _) = project.run(&["check", &format!("{name}.log"), "--format", "json"]);
        project.write(&format!("{name}.json"), &stdout);
    }
    let (code, stdout, _) = project.run(&["diff", "a.json", "b.json", "--fail-on", "warning"]);
    assert_eq!(code, 1);
    assert!(
        stdout.starts_with("new     warning  n-plus-one  public.authors (id)\n"),
        "{stdout}"
    );
    let (code, stdout, _) = project.run(&[
        "diff",
        "b.json",
        "a.json",
        "--fail-on",
        "info",
        "--format",
        "json",
    ]);
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["gone"][0]["rule"], "n-plus-one");
    let (code, _, stderr) = project.run(&["check", "b.log", "--compare", "a.json"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("1 new, 0 worse, 0 better, 0 gone"),
        "{stderr}"
    );
    assert_eq!(project.run(&["diff", "a.log", "b.json"]).0, 2);
}

#[test]
fn findings_point_into_the_code() {
    let project = Project::new();
    project
        .write(
            "a.log",
            &log_with_loop(20, " /*file='/build/app/page.py',line='2'*/"),
        )
        .write(
            "code/app/page.py",
            "def page(db):\n    return db.run(SQL)\n",
        )
        .write(
            "code/db/001.sql",
            "-- first\nCREATE TABLE authors (id int);\n",
        )
        .write(
            "code/node_modules/x/schema.sql",
            "CREATE TABLE authors (id int);\n",
        );
    let arguments = ["check", "a.log", "--source", "code", "--format", "github"];
    let (_, stdout, _) = project.run(&arguments);
    assert!(
        stdout.contains(",file=code/app/page.py,line=2::"),
        "{stdout}"
    );
    project.write("a.log", &log_with_loop(20, ""));
    let (_, stdout, _) = project.run(&arguments);
    assert!(
        stdout.contains(",file=code/db/001.sql,line=2::"),
        "{stdout}"
    );
    project.write(
        "code/app/page.py",
        "SQL = '''\n  select id, name\n    from authors where id = %s'''\n",
    );
    let (_, stdout, _) = project.run(&arguments);
    assert!(
        stdout.contains(",file=code/app/page.py,line=2::"),
        "{stdout}"
    );
    assert_eq!(project.run(&["check", "a.log", "--source", "nowhere"]).0, 2);
}
