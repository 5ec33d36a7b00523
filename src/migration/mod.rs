//! Index changes → migration files. One framework a file; pure functions: `app` writes what they render.

mod fragment;
mod name;
mod plan;
mod sql;

pub use fragment::FragmentError;
pub use plan::{Drops, Planned, Proposal, Step, StepKind, plan};

/// All frameworks. `--framework` values, help and completions derive from this list.
pub static FRAMEWORKS: &[&Framework] = &[&sql::FRAMEWORK];

/// One way to write a migration.
#[derive(Debug)]
pub struct Framework {
    /// Value of `--framework`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// Renders one step.
    pub render: fn(&Step) -> Vec<MigrationFile>,
}

/// A file to write below `--out`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationFile {
    /// Relative to `--out`; `/` separates folders. Lower-case letters, digits, `_`, `.` and `/` only.
    pub path: String,
    /// Content, ending in a newline.
    pub content: String,
}
