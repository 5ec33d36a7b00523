//! The recipes of `docs/ci.md`: a real test suite with fixtures of three rows runs against a server with the recipe's settings, and its log is checked. The planted
//! loops are found, factories and healthy pages are not accused. Installs Django and `pg` into the cache: `cargo test --test it recipes -- --ignored`

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{migrate_tools::install, support};

/// What the recipe starts its server with.
const PREFIX: &str = "%m [%p] %q%u@%d/%a ";

/// Runs a suite of `fixtures/recipes` and returns the loops that the check found, as rule and table.
fn loops_of(suite: &str, program: &Path, arguments: &[&str]) -> Vec<String> {
    let options = support::options()
        .with("log_min_duration_statement", "0")
        .with("log_statement", "none")
        .with("log_line_prefix", PREFIX);
    let server = support::start(&options);
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/recipes")
        .join(suite);
    copy(&fixtures, folder.path());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder.path())
        .env("PGHOST", server.socket_folder())
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", pgassay::server::SUPERUSER)
        .env("PGDATABASE", "postgres")
        .env("NODE_PATH", install::folder().join("node/node_modules"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let log = folder.path().join("postgresql.log");
    server.take_log(&log).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
        .args(["check", "postgresql.log", "--format", "json"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut loops: Vec<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] != "info")
        .map(|finding| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!(
                "{} {}",
                text(&finding["rule"]),
                text(&finding["subject"]["relation"])
            )
        })
        .collect();
    loops.sort();
    loops
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target: PathBuf = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
#[ignore = "installs Django"]
fn django() {
    install::python();
    let python = install::folder().join("python/bin/python");
    let script = "python manage.py makemigrations shop && python manage.py test";
    let path = format!(
        "PATH={}:$PATH; {script}",
        python.parent().unwrap().display()
    );
    let loops = loops_of("django", Path::new("sh"), &["-c", &path]);
    assert_eq!(
        loops,
        [
            "n-plus-one public.shop_author",
            "n-plus-one public.shop_book"
        ]
    );
}

#[test]
#[ignore = "installs pg"]
fn node() {
    install::node();
    let loops = loops_of("node", Path::new("node"), &["--test"]);
    assert_eq!(loops, ["n-plus-one public.customers"]);
}
