//! `pgassay diff`: two reports side by side, or two snapshots; and the same for `--compare`.

use std::{fs::File, io::Read, path::Path};

use super::{
    Context, Error, ErrorKind, Outcome,
    audit::{self, Conclusion},
    migrate, path_text,
};
use crate::{
    cli::{DiffArgs, PlanFormat, TwinArgs},
    finding::Report,
    report::{Difference, PlanChange, SampledPlan, View, json},
    snapshot::{SamplePlan, is_snapshot},
};

/// Runs the command.
pub(super) async fn run(args: &DiffArgs, context: &Context) -> Result<Outcome, Error> {
    let difference = match (claims_snapshot(&args.before), claims_snapshot(&args.after)) {
        (true, true) => of_snapshots(args, context).await?,
        (false, false) => Difference::between(&findings(&args.before)?, &findings(&args.after)?),
        _ => {
            let message = "a report and a snapshot can't be compared";
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("name two reports of --format json, or two files of pgassay capture"));
        }
    };
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

/// A file that can't be read is told where it is read as a report.
fn claims_snapshot(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut head));
    read.is_ok() && is_snapshot(&head)
}

/// Audits both, and holds the server's plans of the statements that both have against each other.
async fn of_snapshots(args: &DiffArgs, context: &Context) -> Result<Difference, Error> {
    let audited = async |path: &Path| {
        let twin = TwinArgs {
            snapshot: Some(path.to_path_buf()),
            pg_bin: args.pg_bin.clone(),
            fetch_server: args.fetch_server,
            twins: None,
        };
        Box::pin(audit::of_snapshot(&twin, context)).await
    };
    let before = audited(&args.before).await?;
    let after = audited(&args.after).await?;
    let reported = |conclusion: &Conclusion| reread(&conclusion.report);
    let mut difference = Difference::between(&reported(&before), &reported(&after));
    difference.plans = plan_changes(&before.snapshot.samples, &after.snapshot.samples);
    Ok(difference)
}

fn plan_changes(before: &[SamplePlan], after: &[SamplePlan]) -> Vec<PlanChange> {
    let pairs = after.iter().filter_map(|now| {
        let same = |then: &&SamplePlan| then.sql == now.sql && then.search_path == now.search_path;
        Some((before.iter().find(same)?, now))
    });
    let sampled = |plan: &SamplePlan| SampledPlan {
        shape: plan.shape.clone(),
        total_cost: plan.total_cost,
    };
    pairs
        .filter_map(|(then, now)| PlanChange::between(&now.sql, &sampled(then), &sampled(now)))
        .collect()
}

/// What changed since the report in a file.
///
/// # Errors
/// When it is no report.
pub(super) fn since(before: &Path, now: &Report) -> Result<Difference, Error> {
    Ok(Difference::between(&findings(before)?, &reread(now)))
}

/// A report as a file of it would be read.
fn reread(report: &Report) -> Vec<json::ReportedFinding> {
    let rendered = json::render(report, &View::default());
    json::read(rendered.as_bytes()).expect("a report of our own can be read back")
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
