//! Index changes → migration files. One framework a file; pure functions: `app` walks the project, and writes what they render.

#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "runners know their files by exact endings"
)]
#![allow(
    clippy::unnecessary_wraps,
    reason = "all frameworks render through one type of function, and some can fail"
)]

mod alone;
mod code;
mod fragment;
mod guarded;
mod host;
mod javascript;
mod model;
mod name;
mod plan;
mod preflight;
mod project;
mod script;
mod split;
mod statistics;
mod version;

mod alembic;
mod atlas;
mod dbmate;
mod diesel;
mod django;
mod drizzle;
mod ecto;
mod flyway;
mod golang_migrate;
mod goose;
mod knex;
mod kysely;
mod laravel;
mod liquibase;
mod node_pg_migrate;
mod prisma;
mod rails;
mod refinery;
mod seaorm;
mod sequelize;
mod sqitch;
mod sql;
mod sql_migrate;
mod sqlx;
mod typeorm;

pub use fragment::FragmentError;
pub use plan::{Change, Drops, Planned, Proposal, Step, StepKind, plan};
pub use project::{Marker, ProjectView, ReadText};
pub use statistics::Statistics;
pub use version::Start;

/// All frameworks. `--framework` values, help and completions derive from this list.
pub static FRAMEWORKS: &[&Framework] = &[
    &sql::FRAMEWORK,
    &django::FRAMEWORK,
    &alembic::FRAMEWORK,
    &rails::FRAMEWORK,
    &knex::FRAMEWORK,
    &sequelize::FRAMEWORK,
    &typeorm::FRAMEWORK,
    &drizzle::FRAMEWORK,
    &prisma::FRAMEWORK,
    &kysely::FRAMEWORK,
    &node_pg_migrate::FRAMEWORK,
    &dbmate::FRAMEWORK,
    &sqlx::FRAMEWORK,
    &diesel::FRAMEWORK,
    &refinery::FRAMEWORK,
    &seaorm::FRAMEWORK,
    &sqitch::FRAMEWORK,
    &flyway::FRAMEWORK,
    &liquibase::FRAMEWORK,
    &goose::FRAMEWORK,
    &golang_migrate::FRAMEWORK,
    &atlas::FRAMEWORK,
    &sql_migrate::FRAMEWORK,
    &ecto::FRAMEWORK,
    &laravel::FRAMEWORK,
];

/// One way to write a migration.
#[derive(Debug)]
pub struct Framework {
    /// Value of `--framework`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// Longest index name that it takes.
    pub max_name_bytes: usize,
    /// What its runner does with folders below its own.
    pub subfolders: Subfolders,
    /// Why a project is taken for one of this framework, if it is.
    pub detect: fn(&ProjectView<'_>) -> Option<Marker>,
    /// Its migrations' folder, relative to the project's.
    pub folder: fn(&ProjectView<'_>) -> String,
    /// Renders all steps of a run.
    pub render: fn(&Request<'_>) -> Result<Rendered, RenderError>,
}

/// What a runner does with folders below its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subfolders {
    /// Nothing: drops wait there under their final names.
    Ignored,
    /// Runs what it finds there, or trips over it: drops wait under names that it does not know.
    Read,
}

/// What to render, and what is there.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// In the order in which to run them.
    pub steps: &'a [Step],
    /// The project; empty when none is known.
    pub project: &'a ProjectView<'a>,
    /// The migrations' folder.
    pub existing: &'a ProjectView<'a>,
    /// Path of that folder, from the project's root as far as that is known.
    pub folder: &'a str,
    /// When to date the first file.
    pub start: Start,
}

/// The files of a run, and what a person has to know or do besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Files to write.
    pub files: Vec<MigrationFile>,
    /// Lines for the terminal: how to run them, what to add to a model.
    pub notes: Vec<String>,
    /// Slugs of steps whose file is there already, from an earlier run.
    pub known: Vec<String>,
    /// Slugs of steps whose SQL the runner would take for something else.
    pub refused: Vec<String>,
}

/// Why nothing can be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RenderError {
    /// What is wrong with the project.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// A file to write below the migrations' folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationFile {
    /// Relative to the folder; `/` separates folders.
    pub path: String,
    /// Content, ending in a newline.
    pub content: String,
    /// The text that the file must have before, for files that list migrations; `None` for new files.
    pub replaces: Option<String>,
}

impl MigrationFile {
    /// A new file.
    #[must_use]
    pub fn new(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            content: content.into(),
            replaces: None,
        }
    }
}

/// Folder of drops, below the migrations' own.
const DROPS: &str = "drops";

/// What is put behind the names of files that a runner would pick up, or trip over, where they wait.
const LATER: &str = "later";

impl Framework {
    /// The framework of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<&'static Self> {
        FRAMEWORKS
            .iter()
            .find(|framework| framework.name == name)
            .copied()
    }

    /// Where a drop's file waits.
    fn drop_path(&self, name: &str) -> String {
        match self.subfolders {
            Subfolders::Ignored => format!("{DROPS}/{name}"),
            Subfolders::Read => format!("{DROPS}/{name}.{LATER}"),
        }
    }

    /// Where a file of a step that became several goes.
    fn piece_path(&self, piece: &alone::Piece<'_>, name: &str) -> String {
        if piece.is_drop() {
            self.drop_path(name)
        } else {
            name.to_owned()
        }
    }

    /// Where a step's file goes.
    fn path(&self, step: &Step, name: &str) -> String {
        match step.kind {
            StepKind::Drop(_) => self.drop_path(name),
            _ => name.to_owned(),
        }
    }
}

impl<'a> Request<'a> {
    /// For runners that read comment lines: without steps whose SQL has a line inside a name or a string that looks like one. It could end the section that it
    /// stands in. Those go into `rendered.refused`.
    fn without_marks(&self, rendered: &mut Rendered) -> Vec<Step> {
        let (refused, steps): (Vec<&Step>, Vec<&Step>) =
            self.steps.iter().partition(|step| has_mark(step));
        rendered.refused = refused.into_iter().map(|step| step.slug.clone()).collect();
        steps.into_iter().cloned().collect()
    }

    /// Files of steps that become several, as far as they are not there yet; steps that are go into `rendered.known`.
    fn fresh_pieces(&self, rendered: &mut Rendered) -> Vec<alone::Piece<'a>> {
        let is_there = |step: &&Step| {
            let slugs = alone::slugs(step);
            slugs.iter().all(|slug| is_known(self.existing, slug))
        };
        let (known, fresh): (Vec<&Step>, Vec<&Step>) = self.steps.iter().partition(is_there);
        rendered.known = known.into_iter().map(|step| step.slug.clone()).collect();
        alone::pieces(&fresh)
    }

    /// Steps whose files are not there yet; the others go into `rendered.known`.
    fn fresh(&self, rendered: &mut Rendered) -> Vec<&'a Step> {
        let (known, fresh): (Vec<&Step>, Vec<&Step>) = self
            .steps
            .iter()
            .partition(|step| is_known(self.existing, &step.slug));
        rendered.known = known.into_iter().map(|step| step.slug.clone()).collect();
        fresh
    }
}

/// Text inside a statement that a runner's parser may take for a marker of its own.
fn has_mark(step: &Step) -> bool {
    let ops = [script::up(step), script::down(step)].concat();
    split::pieces(&ops).iter().any(|piece| match piece {
        split::Piece::Statement(sql) | split::Piece::Block(sql) => {
            sql.contains(drizzle::BREAKPOINT)
                || sql.lines().any(|line| line.trim_start().starts_with("--"))
        }
        split::Piece::Comment(_) => false,
    })
}

/// Is there a file or folder for this slug, under whatever version?
fn is_known(existing: &ProjectView<'_>, slug: &str) -> bool {
    let slug = letters(slug);
    existing.paths().any(|path| {
        path.split('/').any(|part| {
            let stem = part.split('.').next().unwrap_or(part);
            letters(stem).strip_suffix(&slug).is_some_and(is_version)
        })
    })
}

/// In lower case, without what frameworks separate words with.
fn letters(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// What may stand before a slug: a number, a hash, `V1`, `m20260101`.
fn is_version(text: &str) -> bool {
    let digits = text.strip_prefix(['v', 'm']).unwrap_or(text);
    digits.chars().any(|c| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_hexdigit() || c == 't')
}
