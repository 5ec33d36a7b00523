//! One file a subcommand: wires the layers, decides nothing. Only here are inputs opened, environment and clock read, results printed and written.

pub mod audit;
mod binaries;
mod capture;
mod check;
mod choose;
mod completions;
mod config;
mod connect;
mod context;
pub mod demo;
mod diff;
pub mod doctor;
mod error;
mod gate;
mod gather;
mod inputs;
mod locate;
pub mod logs;
mod migrate;
mod plan;
mod project;
mod rules;
mod self_check;
mod snapshot;
mod text;
mod twin;
mod verify;
mod verify_on;
mod watch;
mod write;

pub use context::{Context, Progress, path_text};
pub use error::{Error, ErrorKind, mask_secrets};

use crate::cli::{Cli, Command};

/// How a run that could be done ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No finding at or above `--fail-on`.
    Clean,
    /// Findings at or above `--fail-on`.
    Findings,
    /// The report was given, but a named input gave nothing.
    Incomplete,
}

impl Outcome {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Incomplete => 2,
        }
    }
}

/// Runs a subcommand.
///
/// # Errors
/// What could not be done, for a person.
pub async fn run(cli: Cli, context: &Context) -> Result<Outcome, Error> {
    match cli.command {
        Command::Audit(args) => audit::run(&args, context).await,
        Command::Check(args) => check::run(&args, context).await,
        Command::Diff(args) => diff::run(&args, context).await,
        Command::Migrate(args) => migrate::run(&args, context).await,
        Command::Demo(args) => Box::pin(demo::run(&args, context)).await,
        Command::Rules(args) => rules::run(&args, context),
        Command::Capture(args) => Box::pin(capture::run(&args, context)).await,
        Command::Doctor(args) => doctor::run(&args, context).await,
        Command::Plan(args) => Box::pin(plan::run(&args, context)).await,
        Command::Choose(args) => choose::run(&args, context),
        Command::Completions(args) => completions::completions(&args, context),
        Command::Man => completions::man(context),
    }
}
