//! pgassay turns what a Postgres server executed and what the database is into findings with proof, and migrations.

pub mod advise;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod db;
pub mod demo;
pub mod finding;
pub mod migration;
pub mod plan;
pub mod report;
pub mod rules;
pub mod server;
pub mod snapshot;
pub mod source;
pub mod sql;
pub mod workload;
