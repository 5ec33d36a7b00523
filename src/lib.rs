//! pgassay turns what a Postgres server executed and what the database is into findings with proof, and migrations.
//!
//! This page is the architecture. Links are checked by the compiler, imports by `tests/it/tidy.rs`.
//!
//! # Flow
//!
//! ```text
//! log files / stdin ──► source ──► Event ─────────┐ streamed, bounded memory
//! pg_stat_statements ─► db ──────► PgssEntry ─────┴─► workload (a fold) ─► Workload ─┐
//! pg_catalog, pg_stats, pg_stat_* ─► db ──────────────────────────────────► Catalog ─┤
//!                                                                                    ▼
//!                                   Workload + Catalog = Snapshot: everything known, before anything is judged
//!                                                                                    │
//! sql::QueryShape ─► advise: propose (pure) ─► price (WhatIf) ─► choose (pure) ──► Advice
//!                                                                                    ▼
//! Audit { snapshot, advice, settings } ─► rules (pure) ─► Findings ─► Report ─┬─► report: terminal, json, markdown
//!                                                                             └─► migration: sql, django, rails, …
//! ```
//!
//! | step | type | made by |
//! |---|---|---|
//! | one execution, borrowed from the reader's buffer | [`workload::Event`] | [`source`] |
//! | what ran: one entry a fingerprint, bursts, windows | [`workload::Workload`] | [`workload`] |
//! | what exists: relations, statistics, indexes, usage, settings | [`catalog::Catalog`] | [`db`] |
//! | a query's columns by role | [`sql::QueryShape`] | [`mod@sql`] |
//! | everything known, frozen | [`snapshot::Snapshot`] | [`app`] |
//! | a planner asked as if an index existed | [`advise::WhatIf`] | [`db`], [`twin`] |
//! | what is worth creating, with its price; why not | [`advise::Advice`] | [`advise`] |
//! | one claim with its proof and its remedy | [`finding::Finding`] | [`rules`] |
//! | findings, where the time goes, what was left alone or could not be judged | [`finding::Report`] | [`rules::judge`] |
//! | bytes for people and programs | [`report::Output`] | [`report`] |
//! | files for a framework | [`migration::MigrationFile`] | [`migration`] |
//!
//! *Facts are gathered in the stream; judgement lives in the rules.* [`workload`] folds a log of any size into statistics and bursts (runs of one fingerprint
//! inside one session after the query that drives them); the rule `n-plus-one` only decides which bursts deserve a finding.
//!
//! # Who may import whom
//!
//! Only downwards. What stands on one floor does not know its neighbours.
//!
//! | floor | modules | may import |
//! |---|---|---|
//! | 8 | [`app`], [`cli`], `main` | anything |
//! | 7 | [`rules`], [`demo`], [`twin`] | rules: the snapshot and what it may import, [`finding`]; demo: [`mod@sql`], [`workload`], [`catalog`], [`finding`], [`server`], [`db`]; twin: [`snapshot`] and what it may import, [`server`], [`db`] |
//! | 6 | [`snapshot`], [`migration`], [`report`], [`db`] | floors below, never each other; report and migration see neither rules nor advice |
//! | 5 | [`source`], [`advise`], [`finding`] | [`mod@sql`], [`catalog`], [`plan`], [`workload`] as far as they need them |
//! | 4 | [`workload`] | [`mod@sql`] |
//! | 3 | [`catalog`] | [`mod@sql`] |
//! | 1 | [`mod@sql`], [`plan`], [`server`] | nothing of ours |
//!
//! Some crates stay in one module: sqlparser in [`mod@sql`]; tokio-postgres, deadpool, deadpool-postgres and rustls in [`db`]; nix in [`server`]; comfy-table in [`report`]; clap in
//! [`cli`] and [`app`]; indicatif in [`app`].
//!
//! # Invariants
//!
//! - Only [`db`] opens a connection to the audited database, and nothing in it writes there: [`db::Audited`] sends every statement in a read-only transaction of its
//!   own. [`db::Owned`] may write, and can only be made for a server that [`server`] started.
//! - Only [`app`] opens inputs, reads environment and wall clock, prints and writes results. Others get readers, values and `now` handed down. [`server`] touches only
//!   its own folder and cache.
//! - Rules, advice and reports are deterministic functions of their inputs: the same snapshot gives the same bytes ([`finding::RunCost`] apart). Hash iteration order
//!   never reaches an output.
//! - Rules cannot fail, cannot reach the world, and never price. [`advise::WhatIf`] is the one trait behind which a planner answers.
//! - Log and `pg_stat_statements` are never summed: where both know a fingerprint, calls and time are those of `pg_stat_statements` over its own window, bursts,
//!   parameters and percentiles those of the log ([`workload::Loads`]).
//! - Whatever was skipped is counted and shown ([`finding::Skipped`]): no silent loss.
//! - Text from logs and catalogs is hostile: it never panics anything, and every output escapes it ([`report::escape`]). A connection string appears in no output and in
//!   no error; values of the workload only with `--show-literals`.
//!
//! # Adding something
//!
//! A rule, log format, migration framework or output is a `static` struct in a file of its own, listed once in its folder's `mod.rs`. Value lists on the command
//! line, help, completions, `pgassay rules` and the README's table derive from the lists.
//!
//! | to add a… | write one file | and list it in | proved by |
//! |---|---|---|---|
//! | rule | `rules/x.rs` | [`rules::RULES`] | its examples, run by `tests/it/examples.rs` |
//! | output | `report/x.rs` | [`report::OUTPUTS`] | a snapshot, a schema where one exists, hostile text in `tests/it/report.rs` |
//! | framework | `migration/x.rs` | [`migration::FRAMEWORKS`] | run by its own tool in `tests/it/migrate_tools.rs` |
//! | log format | `source/x.rs` | [`mod@source`] | the same statements as its siblings |

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
pub mod twin;
pub mod workload;
