//! Pools and protocol, and what an input cannot tell: from a log to the report's words and the exit code.

use std::{fs, path::PathBuf, process::Command};

/// What a run gave: exit code, report, errors.
struct Run {
    code: Option<i32>,
    report: serde_json::Value,
    stderr: String,
}

#[must_use = "a run that nobody looks at tests nothing"]
fn check(log: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("app.log");
    fs::write(&path, log).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .env_clear()
        .arg("check")
        .arg(&path)
        .args(["--format", "json"])
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Run {
        code: output.status.code(),
        report: serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {stderr}")),
        stderr,
    }
}

/// `n` statements of `least_ms` and more, as `log_min_duration_statement` leaves them.
fn log_of(n: usize, least_ms: usize) -> String {
    let line = |i: usize| {
        let second = i % 60;
        format!(
            "2026-11-22 10:{:02}:{second:02}.000 UTC [7] LOG:  duration: {}.{i:03} ms  statement: select * from big where a = {i}\n",
            i / 60,
            least_ms + i * 7 % 90,
        )
    };
    (0..n).map(line).collect()
}

#[test]
fn a_required_rule_that_is_blind_ends_with_2_and_its_report_says_so() {
    let run = check(&log_of(60, 250), &["--require", "n-plus-one"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("n-plus-one is required and could not judge; it lacked log threshold 250 ms"),
        "{}",
        run.stderr
    );
    let rules = run.report["rules"].as_array().unwrap();
    let rule = rules
        .iter()
        .find(|rule| rule["id"] == "n-plus-one")
        .unwrap();
    assert_eq!(rule["status"], "lacked-input");
    assert_eq!(rule["lacked"][0], "log threshold 250 ms");
}

#[test]
fn a_required_rule_runs_even_when_another_was_asked_for() {
    let run = check(
        &log_of(60, 0),
        &[
            "--rule",
            "n-plus-one-write",
            "--require",
            "n-plus-one",
            "--fail-on",
            "never",
        ],
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let rules = run.report["rules"].as_array().unwrap();
    let ids: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule["id"].as_str())
        .collect();
    assert_eq!(ids, ["n-plus-one", "n-plus-one-write"]);
}

#[test]
fn a_required_rule_without_the_database_ends_with_2() {
    let run = check(&log_of(3, 250), &["--require", "duplicate-index"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--database-url"), "{}", run.stderr);
}
