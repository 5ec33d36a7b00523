//! Index changes → migration files. One framework a file; pure functions: `app` writes what they render.

mod sql;

use crate::finding::IndexChange;

/// All frameworks. `--framework` values, help and completions derive from this list.
pub static FRAMEWORKS: &[&Framework] = &[&sql::FRAMEWORK];

/// One way to write a migration.
#[derive(Debug)]
pub struct Framework {
    /// Value of `--framework`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// Renders one change.
    pub render: fn(&Change<'_>) -> Vec<MigrationFile>,
}

/// One change to render, with what stands in its comments.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What to do.
    pub change: &'a IndexChange,
    /// The finding's id.
    pub finding: &'a str,
    /// The finding's message.
    pub why: &'a str,
    /// `YYYYMMDDhhmmss`, one for each change, ascending.
    pub timestamp: &'a str,
}

/// A file to write below `--out`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationFile {
    /// Relative to `--out`; `/` separates folders.
    pub path: String,
    /// Content, ending in a newline.
    pub content: String,
}
