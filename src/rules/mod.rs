//! The rules: one file each, listed once here. A rule is a pure function from an [`Audit`] to findings; it cannot fail and reaches nothing outside.

mod application_stall;
mod budget_exceeded;
mod clients;
mod conditional;
mod connection_churn;
mod connection_leak;
mod dead_rows;
mod duplicate_index;
mod generic_plan_regression;
mod idle_in_transaction;
mod invalid_index;
mod judge;
mod literals;
mod lock_waits;
mod logged_plans;
mod loops;
mod missing_covering_index;
mod missing_expression_index;
mod missing_extended_statistics;
mod missing_index;
mod missing_json_index;
mod missing_partial_index;
mod missing_text_search_index;
mod n_plus_one;
mod n_plus_one_suspect;
mod n_plus_one_write;
mod needs;
mod non_sargable_predicate;
mod oversized_index_on_hot_column;
mod pool_saturation;
mod recommended;
mod redundant_index;
mod redundant_query;
pub mod review;
mod scope;
mod sequential_round_trips;
mod slow_plan;
mod stale_statistics;
mod stored_index;
mod table_use;
mod time_outside_database;
mod unindexed_foreign_key;
mod unprepared_repeats;
mod unused_index;

pub use budget_exceeded::Budget;
pub use judge::judge;
pub use needs::Need;
pub use scope::Scope;

use crate::{
    advise::Advice,
    finding::{Finding, RuleMeta, Severity},
    snapshot::Snapshot,
};

/// All rules, sorted by id. Help, docs, `--rule` values and SARIF's metadata derive from this list.
pub static RULES: &[&Rule] = &[
    &application_stall::RULE,
    &budget_exceeded::RULE,
    &connection_churn::RULE,
    &connection_leak::RULE,
    &dead_rows::RULE,
    &duplicate_index::RULE,
    &generic_plan_regression::RULE,
    &idle_in_transaction::RULE,
    &invalid_index::RULE,
    &lock_waits::RULE,
    &missing_covering_index::RULE,
    &missing_expression_index::RULE,
    &missing_extended_statistics::RULE,
    &missing_index::RULE,
    &missing_json_index::RULE,
    &missing_partial_index::RULE,
    &missing_text_search_index::RULE,
    &n_plus_one::RULE,
    &n_plus_one_suspect::RULE,
    &n_plus_one_write::RULE,
    &non_sargable_predicate::RULE,
    &oversized_index_on_hot_column::RULE,
    &pool_saturation::RULE,
    &redundant_index::RULE,
    &redundant_query::RULE,
    &sequential_round_trips::RULE,
    &slow_plan::RULE,
    &stale_statistics::RULE,
    &time_outside_database::RULE,
    &unindexed_foreign_key::RULE,
    &unprepared_repeats::RULE,
    &unused_index::RULE,
];

/// Everything that a rule may look at.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    /// All inputs.
    pub snapshot: &'a Snapshot,
    /// What `advise` worked out from them.
    pub advice: &'a Advice,
    /// Thresholds.
    pub settings: &'a Settings,
}

/// Thresholds that a user can set. Each rule documents which it uses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--min-repeats`: repeats in one window before a burst counts; `None` takes each rule's own.
    pub min_repeats: Option<u64>,
    /// `--min-window`: days of usage statistics before an index may be called unused.
    pub min_window_days: f64,
    /// `--min-calls`: calls below which a query is left alone.
    pub min_calls: u64,
    /// `--show-literals`
    pub show_literals: bool,
    /// `--rtt`: a network round trip between application and database, ms; `None` takes [`ROUND_TRIP_MS`].
    pub round_trip_ms: Option<f64>,
    /// `[budgets]` of `pgassay.toml`.
    pub budgets: Vec<Budget>,
}

/// A network round trip between application and database within one data centre, ms, where none was given.
pub const ROUND_TRIP_MS: f64 = 0.5;

impl Settings {
    /// What the rules' examples are run with: the defaults, and a budget for the rule that knows none by itself.
    #[must_use]
    pub fn of_examples() -> Self {
        Self {
            budgets: vec![Budget {
                pattern: "route=/budget".to_owned(),
                max_queries: Some(4),
                max_repeats: None,
            }],
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_repeats: None,
            min_window_days: 30.0,
            min_calls: 0,
            show_literals: false,
            round_trip_ms: None,
            budgets: Vec::new(),
        }
    }
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Kebab-case; equal to the file's name.
    pub id: &'static str,
    /// One line: what it finds.
    pub summary: &'static str,
    /// Default severity.
    pub severity: Severity,
    /// Markdown: what it finds · why it matters · how it decides · when it is wrong · references. Examples are rendered from `examples`.
    pub docs: &'static str,
    /// Bad and good examples; run as tests.
    pub examples: &'static [Example],
    /// What it must have seen, and what it sees less without; held against the inputs by [`judge`].
    pub needs: &'static [Need],
    /// The judgement.
    pub check: fn(&Audit<'_>) -> Vec<Finding>,
}

impl Rule {
    /// The static facts that outputs show.
    #[must_use]
    pub fn meta(&self) -> RuleMeta {
        RuleMeta {
            id: self.id,
            summary: self.summary,
            severity: self.severity,
            docs: self.docs,
        }
    }
}

/// A rule's example: shown in its docs and run as a test (`tests/it/examples.rs`).
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What it shows, in a few words.
    pub title: &'static str,
    /// SQL run on a real throwaway database first: schema, data, ANALYZE. Empty: no database, the log alone.
    pub ddl: &'static str,
    /// A log in stderr format with prefix `%m [%p] `, or a plain SQL file (workload with `-- calls:` lines) when `ddl` is given.
    pub log: &'static str,
    /// Does the rule fire?
    pub expect: Expect,
}

/// What an example must give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Exactly one finding of this rule, at warning or above or info, whose subject's relation is that name (empty: none).
    Finding(&'static str),
    /// Exactly one finding of this rule, about a statement or the whole database.
    Fires,
    /// No finding of this rule.
    Silence,
}
