//! When a run fails: baseline, threshold and number of findings, and the one line that says so in a CI log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Context, Error, ErrorKind, Outcome, config::Config, path_text, write};
use crate::{
    cli::{FailOn, GateArgs},
    finding::{Baseline, Report, figures::counted},
};

/// Baselines are a few lines a finding; 10,000 findings have some 2 MB.
const MAX_BASELINE_BYTES: u64 = 64 * 1024 * 1024;

/// What decides whether a run fails: flags, then `pgassay.toml`.
#[derive(Debug)]
pub(super) struct Gate<'a> {
    args: &'a GateArgs,
    fail_on: FailOn,
    max_findings: usize,
    baseline: Option<PathBuf>,
    source: Option<PathBuf>,
}

impl<'a> Gate<'a> {
    /// # Errors
    /// When a baseline is to be written and none is named.
    pub(super) fn new(args: &'a GateArgs, default: FailOn, config: &Config) -> Result<Self, Error> {
        let gate = Self {
            args,
            fail_on: args.fail_on.or(config.fail_on()).unwrap_or(default),
            max_findings: args.max_findings.or(config.max_findings()).unwrap_or(0),
            baseline: args.baseline.clone().or_else(|| config.baseline()),
            source: args.source.clone().or_else(|| config.source()),
        };
        if args.update_baseline && gate.baseline.is_none() {
            let message = "--update-baseline needs a file";
            let hint = "name it with --baseline FILE, or in pgassay.toml: [check] baseline = \"pgassay-baseline.json\"";
            return Err(Error::new(ErrorKind::Usage, message).hint(hint));
        }
        Ok(gate)
    }

    /// Puts the report beside the baseline, or writes the baseline anew.
    ///
    /// # Errors
    /// When the baseline can't be read or written.
    pub(super) fn stand(&self, report: &mut Report, context: &Context) -> Result<(), Error> {
        let Some(path) = &self.baseline else {
            return Ok(());
        };
        if self.args.update_baseline {
            let baseline = Baseline::of(&report.findings);
            write::replace(path, baseline.content().as_bytes())?;
            context.remark(&format!(
                "wrote {} to {}",
                counted(baseline.len() as u64, "known finding"),
                path_text(path)
            ));
            report.standing = Some(baseline.standing(report));
            return Ok(());
        }
        report.standing = Some(read(path)?.standing(report));
        Ok(())
    }

    /// `--source`
    pub(super) fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    /// `--compare`
    pub(super) fn compared_with(&self) -> Option<&Path> {
        self.args.compare.as_deref()
    }

    /// How the run ends, when its inputs were whole.
    pub(super) fn outcome(&self, report: &Report) -> Outcome {
        let Some(threshold) = self.fail_on.threshold() else {
            return Outcome::Clean;
        };
        let stale = report
            .standing
            .as_ref()
            .is_some_and(|standing| !standing.fixed.is_empty());
        if stale || report.n_failing(threshold) > self.max_findings {
            Outcome::Findings
        } else {
            Outcome::Clean
        }
    }

    /// `pgassay: 3 findings (2 known), 1 at or above warning: failed`
    pub(super) fn summary(&self, report: &Report, outcome: Outcome) -> String {
        let mut line = format!(
            "pgassay: {}",
            counted(report.findings.len() as u64, "finding")
        );
        let mut aside = Vec::new();
        if let Some(standing) = &report.standing {
            aside.push(format!("{} new", standing.n_new(&report.findings)));
            aside.push(format!("{} worse", standing.worse.len()));
            aside.push(format!("{} known", standing.known.len()));
            if !standing.fixed.is_empty() {
                let fixed = standing.fixed.len() as u64;
                aside.push(format!("{} fixed", counted(fixed, "known finding")));
            }
        }
        if !report.ignored.is_empty() {
            aside.push(format!("{} ignored", report.ignored.len()));
        }
        if !aside.is_empty() {
            line.push_str(&format!(" ({})", aside.join(", ")));
        }
        if let Some(threshold) = self.fail_on.threshold() {
            let n = report.n_failing(threshold);
            line.push_str(&format!(", {n} to act on at or above {threshold}"));
        }
        line.push_str(match outcome {
            Outcome::Clean => ": passed",
            Outcome::Findings => ": failed",
            Outcome::Incomplete => ": incomplete, an input gave nothing",
        });
        line
    }

    /// What a person does about a baseline that holds what is gone.
    pub(super) fn advice(&self, report: &Report) -> Option<String> {
        let standing = report.standing.as_ref()?;
        let path = path_text(self.baseline.as_deref()?);
        (!standing.fixed.is_empty()).then(|| {
            let names: Vec<String> = standing
                .fixed
                .iter()
                .map(|(_, known)| format!("{} {}", known.rule, known.subject))
                .collect();
            format!(
                "fixed, and still in {path}: {}; take it out with --update-baseline, so that it can't come back unseen",
                names.join("; ")
            )
        })
    }
}

fn read(path: &Path) -> Result<Baseline, Error> {
    let name = path_text(path);
    let unusable = || {
        Error::new(
            ErrorKind::Input,
            format!("cannot use the baseline {name:?}"),
        )
        .hint("write it with --update-baseline")
    };
    let facts = fs::metadata(path).map_err(|error| unusable().because(error))?;
    if facts.len() > MAX_BASELINE_BYTES {
        return Err(unusable().because("it is larger than 64 MiB"));
    }
    let content = fs::read(path).map_err(|error| unusable().because(error))?;
    Baseline::parse(&content).map_err(|error| unusable().because(error))
}
