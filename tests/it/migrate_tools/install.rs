//! Gets the tools, pinned, into the cache, once: npm packages, a Python environment, crates, Debian packages.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::support;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const NODE: &[&str] = &[
    "dbmate@2.36.0",
    "drizzle-kit@0.31.11",
    "drizzle-orm@0.45.4",
    "knex@3.3.0",
    "kysely@0.28.19",
    "kysely-ctl@0.20.0",
    "node-pg-migrate@9.0.0",
    "pg@8.23.1",
    "sequelize@6.37.8",
    "sequelize-cli@6.6.5",
    "ts-node@10.9.2",
    "typeorm@1.1.1",
    "typescript@5.9.3",
];

const PYTHON: &[&str] = &[
    "django==5.2.19",
    "alembic==1.20.1",
    "sqlalchemy==2.1.9",
    "psycopg[binary]==3.3.9",
    "squawk-cli==2.70.0",
];

pub(crate) fn folder() -> PathBuf {
    support::cache().join("migration-tools")
}

fn run(program: &str, arguments: &[&str], folder: &PathBuf) {
    fs::create_dir_all(folder).unwrap();
    let status = Command::new("nice")
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

pub(crate) fn node() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder().join("node");
    if !folder.join("node_modules/.bin/knex").exists() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("package.json"), "{\"private\": true}\n").unwrap();
        run(
            "npm",
            &[&["install", "--no-audit", "--no-fund"], NODE].concat(),
            &folder,
        );
    }
}

pub(crate) fn python() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder();
    if !folder.join("python/bin/alembic").exists() {
        run("python3", &["-m", "venv", "python"], &folder);
        run(
            "python/bin/pip",
            &[&["install", "-q"], PYTHON].concat(),
            &folder,
        );
    }
}

pub(crate) fn cargo(binary: &str, arguments: &[&str]) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder();
    if !folder.join("cargo/bin").join(binary).exists() {
        run(
            "cargo",
            &[&["install", "--debug", "--root", "cargo"], arguments].concat(),
            &folder,
        );
    }
}

/// Debian packages, by a program that they bring.
pub(crate) fn debian(name: &str, test: &str, packages: &str) {
    let has = || {
        Command::new("sh")
            .args(["-c", test])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    support::needs(name, has, packages);
}
