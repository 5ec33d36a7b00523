//! Report → bytes. One output a file; pure functions, so that `app` alone decides where the bytes go.

mod difference;
pub mod escape;
mod github;
mod gitlab;
pub mod json;
mod junit;
mod markdown;
mod plan_change;
mod sarif;
mod terminal;
mod words;

pub use difference::{Changed, Difference};
pub use plan_change::{PlanChange, SampledPlan};

use crate::finding::Report;

/// All outputs. `--format` values, help and completions derive from this list.
pub static OUTPUTS: &[&Output] = &[
    &terminal::OUTPUT,
    &json::OUTPUT,
    &markdown::OUTPUT,
    &sarif::OUTPUT,
    &github::OUTPUT,
    &gitlab::OUTPUT,
    &junit::OUTPUT,
];

/// One way to write a report.
#[derive(Debug)]
pub struct Output {
    /// Value of `--format`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// Usual file name extension.
    pub extension: &'static str,
    /// Writes the report; ends in a newline.
    pub render: fn(&Report, &View) -> String,
}

/// How the reader wants to see it.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Columns to write for.
    pub width: u16,
    /// Colour and weight may be used.
    pub color: bool,
    /// Findings to show; outputs for machines show all.
    pub top: usize,
}

impl Default for View {
    fn default() -> Self {
        Self {
            width: 110,
            color: false,
            top: 7,
        }
    }
}
