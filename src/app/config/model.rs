//! `pgassay.toml` as types. Unknown keys are errors: a misspelt key that is read as nothing would switch off what the user relies on.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::app) struct File {
    pub(in crate::app) inputs: Inputs,
    pub(in crate::app) check: Check,
    /// By rule id.
    pub(in crate::app) rules: BTreeMap<Spanned<String>, RuleLevel>,
    pub(in crate::app) thresholds: Thresholds,
    pub(in crate::app) ignore: Vec<Spanned<Ignore>>,
    /// By pattern.
    pub(in crate::app) budgets: BTreeMap<Spanned<String>, Budget>,
}

/// What is read when the command line names nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::app) struct Inputs {
    pub(in crate::app) logs: Vec<PathBuf>,
    pub(in crate::app) snapshot: Option<PathBuf>,
    pub(in crate::app) log_line_prefix: Option<String>,
}

/// When a check fails.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::app) struct Check {
    pub(in crate::app) fail_on: Option<Level>,
    pub(in crate::app) max_findings: Option<usize>,
    pub(in crate::app) baseline: Option<PathBuf>,
    pub(in crate::app) source: Option<PathBuf>,
}

/// A severity, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::app) enum Level {
    Error,
    Warning,
    Info,
    Never,
}

/// What a rule's findings count as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::app) enum RuleLevel {
    /// Not run.
    Off,
    /// As the rule says.
    On,
    Error,
    Warning,
    Info,
}

/// Thresholds of the rules.
#[expect(clippy::struct_field_names, reason = "the keys are those of the flags")]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::app) struct Thresholds {
    pub(in crate::app) min_repeats: Option<u64>,
    /// Days.
    pub(in crate::app) min_window: Option<f64>,
    pub(in crate::app) min_calls: Option<u64>,
}

/// Findings to leave out: all that match every condition given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::app) struct Ignore {
    pub(in crate::app) rule: Option<Spanned<String>>,
    /// With or without its schema; `*` stands for any characters.
    pub(in crate::app) relation: Option<String>,
    /// 16 hex digits.
    pub(in crate::app) fingerprint: Option<Spanned<String>>,
    /// Value of a route, controller, action or job tag; `*` stands for any characters.
    pub(in crate::app) route: Option<String>,
    pub(in crate::app) reason: String,
    /// First day on which it no longer counts, as YYYY-MM-DD.
    pub(in crate::app) expires: Option<Spanned<String>>,
}

/// What one request, test or job may do.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::app) struct Budget {
    pub(in crate::app) max_queries: Option<u64>,
    pub(in crate::app) max_repeats: Option<u64>,
}
