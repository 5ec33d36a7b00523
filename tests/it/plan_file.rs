//! `pgassay plan FILE`: plans that a real server printed, in every form that people keep them in.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{self, Database};

const STATEMENT: &str =
    "SELECT id FROM jobs WHERE country = 'c7' AND salary > 10 ORDER BY title LIMIT 5";

/// The same plan as JSON, text, XML and YAML.
async fn plans() -> [String; 4] {
    let database = support::database("plan_file").await;
    for sql in [
        "CREATE TABLE jobs (id int PRIMARY KEY, country text NOT NULL, salary int NOT NULL, title text NOT NULL)",
        "INSERT INTO jobs SELECT n, 'c' || n % 400, n % 1000, 't' || n FROM generate_series(1, 40000) n",
        "ANALYZE jobs",
    ] {
        database.run(sql).await;
    }
    let explained = async |format: &str| {
        let sql = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT {format}) {STATEMENT}");
        lines(&database, &sql).await
    };
    [
        explained("JSON").await,
        explained("TEXT").await,
        explained("XML").await,
        explained("YAML").await,
    ]
}

/// An answer of one column.
async fn lines(database: &Database, sql: &str) -> String {
    let session = database.owned.session().await.unwrap();
    let rows = session.texts(sql).await.unwrap();
    let lines: Vec<String> = rows
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect();
    lines.join("\n")
}

/// As psql shows an answer of one column.
fn framed(lines: &str, goes_on: &str) -> String {
    let body: Vec<&str> = lines.lines().collect();
    let last = body.len() - 1;
    let framed = body.iter().enumerate().map(|(n, line)| {
        let end = if n < last { goes_on } else { "" };
        format!(" {line:<90}{end}\n")
    });
    let body: String = framed.collect();
    format!(
        "{:^90}\n{}\n{body}(1 row)\n\n",
        "QUERY PLAN",
        "-".repeat(92)
    )
}

fn plan(arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .arg("plan")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn every_form_of_a_plan_has_the_same_problems() {
    let [json, text, xml, yaml] = plans().await;
    let forms = [
        json.clone(),
        framed(&json, "+"),
        text.clone(),
        framed(&text, ""),
        xml.clone(),
        framed(&xml, "+"),
        yaml.clone(),
        framed(&yaml, "+"),
    ];
    for form in forms {
        let (code, stdout, stderr) = plan(&["-", "--format", "json"], &form);
        assert_eq!(code, 0, "{stderr}\n{form}");
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        let problems = answer["plans"][0]["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{stdout}");
        assert_eq!(problems[0]["kind"], "rows-removed-by-filter");
        assert_eq!(problems[0]["severity"], "warning");
        assert_eq!(
            problems[0]["columns"],
            serde_json::json!(["country", "salary"])
        );
        assert!(!problems[0].to_string().contains("c7"), "{stdout}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, &json).unwrap();
    let (code, stdout, stderr) = plan(&[file.to_str().unwrap()], "");
    assert_eq!(code, 0, "{stderr}");
    for part in [
        "where the time goes",
        "Seq Scan on jobs",
        "rows read and thrown away",
        "an index on (country, salary)",
    ] {
        assert!(stdout.contains(part), "{part}\n{stdout}");
    }
}

#[test]
fn what_is_no_plan_is_refused_with_what_to_do() {
    let (code, _, stderr) = plan(&["-"], "SELECT 1;");
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("holds no plan") && stderr.contains("--file"),
        "{stderr}"
    );
    let (code, _, stderr) = plan(&["missing.json"], "");
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("no file \"missing.json\""), "{stderr}");
    let hostile =
        "Seq Scan on \"\u{1b}[31mt\"  (cost=0.00..9000.00 rows=1 width=4)\n  Filter: (a = 1)\n";
    let (code, stdout, _) = plan(&["-"], hostile);
    assert_eq!(code, 0);
    assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
}
