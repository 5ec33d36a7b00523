//! What EXPLAIN answers, in each of its four formats, as types; and ways to walk them.

mod node;
mod parse;
mod text;
mod xml;
mod yaml;

pub use node::{Actual, Plan, PlanNode, TriggerTime};
pub use parse::{PlanError, document};
pub use text::unquoted;

use std::fmt;

use serde::{Deserialize, Serialize};

/// A planner cost in the planner's own units (`seq_page_cost` = 1 by default). Never milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Cost(pub f64);

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

/// Who priced the candidates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhatIfKind {
    /// A local twin of the planner.
    Twin,
    /// HypoPG on the audited server.
    Hypopg,
    /// Really built, in a rolled-back transaction on a server that we started.
    Real,
    /// Nothing could be priced.
    #[default]
    None,
}
