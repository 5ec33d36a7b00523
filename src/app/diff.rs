//! `pgassay diff`: two reports side by side; and the same for `--compare`.

use std::path::Path;

use super::{Context, Error, ErrorKind, Outcome, migrate, path_text};
use crate::{
    cli::{DiffArgs, PlanFormat},
    finding::Report,
    report::{Difference, View, json},
};

/// Runs the command.
pub(super) fn run(args: &DiffArgs, context: &Context) -> Result<Outcome, Error> {
    let difference = Difference::between(&findings(&args.before)?, &findings(&args.after)?);
    let text = match args.format {
        PlanFormat::Terminal => difference.text(),
        PlanFormat::Json => difference.json(),
    };
    context.print(text.as_bytes())?;
    let threshold = args.fail_on.threshold();
    let fails = threshold.is_some_and(|t| difference.max_severity() >= Some(t));
    Ok(if fails {
        Outcome::Findings
    } else {
        Outcome::Clean
    })
}

/// What changed since the report in a file.
///
/// # Errors
/// When it is no report.
pub(super) fn since(before: &Path, now: &Report) -> Result<Difference, Error> {
    let before = findings(before)?;
    let rendered = json::render(now, &View::default());
    let now = json::read(rendered.as_bytes()).expect("a report of our own can be read back");
    Ok(Difference::between(&before, &now))
}

fn findings(path: &Path) -> Result<Vec<json::ReportedFinding>, Error> {
    let name = path_text(path);
    let unusable = || {
        Error::new(ErrorKind::Input, format!("cannot use {name:?}"))
            .hint("write a report with: pgassay audit --format json --output report.json")
    };
    let text = migrate::read(path).map_err(|error| unusable().because(error))?;
    json::read(&text).map_err(|error| unusable().because(error))
}
