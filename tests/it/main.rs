//! The one integration-test binary: each topic is a module.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "clippy.toml allows both in test functions; here whole files are tests"
)]

mod activity;
mod advise;
mod capture;
mod cli;
mod db;
mod demo;
mod doctor;
mod examples;
mod fingerprints;
mod gate;
mod hostile;
mod inputs;
mod migrate;
mod migrate_hosts;
mod migrate_tools;
mod n_plus_one;
mod pgbouncer;
mod plan_file;
mod pools;
mod recipes;
mod report;
mod rewrite;
mod server;
mod several_twins;
mod snapshot_diff;
#[allow(dead_code, reason = "for every topic to use")]
mod support;
mod tidy;
mod twin;
mod verify_on;
mod web;
