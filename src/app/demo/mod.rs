//! `pgassay demo`: a throwaway server, a workload with seeded faults, the audit, its migrations applied, and all of it measured again.

mod measured;
mod stage;

use super::{Context, Error, ErrorKind, Outcome, write};
use crate::{
    cli::{DemoArgs, ReportArgs},
    demo::{Reference, WORKLOADS},
    finding::Report,
};
use measured::Measured;

pub use stage::{Act, Applied, Rewritten, Stage};

/// Findings that a report shows when `--top` is not given; the demo then shows all.
const DEFAULT_TOP: usize = 7;

/// Runs the command.
pub(super) async fn run(args: &DemoArgs, context: &Context) -> Result<Outcome, Error> {
    if args.list {
        return list(context);
    }
    let reference = reference(args)?;
    let stage = Stage::set(reference, args, context).await?;
    let before = stage.act("before", context).await?;
    write::report(&before.conclusion.report, &report_args(args), context)?;
    let applied = stage.migrate(&before.conclusion.report, context).await?;
    let after = stage.act("after", context).await?;
    let findings = &before.conclusion.report.findings;
    let rewrites = stage.rewrites(findings, context).await?;
    let measured = Measured {
        before: &before,
        after: &after,
        applied: &applied,
        rewrites: &rewrites,
    };
    say(&measured.render(), args, context)?;
    stage.end(args.keep, context)?;
    Ok(Outcome::Clean)
}

/// `--list`: workloads, and what is wrong with them.
fn list(context: &Context) -> Result<Outcome, Error> {
    let mut text = String::new();
    for workload in WORKLOADS {
        text.push_str(&format!("{}  {}\n", workload.name, workload.summary));
        let width = workload
            .faults
            .iter()
            .map(|fault| fault.rule.len())
            .max()
            .unwrap_or(0);
        for fault in workload.faults {
            let about = match (fault.index, fault.columns) {
                (Some(index), _) => format!(" ({index})"),
                (None, []) => String::new(),
                (None, columns) => format!(" ({})", columns.join(", ")),
            };
            text.push_str(&format!(
                "  {:width$}  {}{about}: {}\n",
                fault.rule, fault.relation, fault.what
            ));
        }
        text.push('\n');
    }
    context.print(text.trim_end().as_bytes())?;
    context.print(b"\n")?;
    Ok(Outcome::Clean)
}

fn reference(args: &DemoArgs) -> Result<&'static Reference, Error> {
    if !(args.scale.is_finite() && args.scale > 0.0) {
        let message = format!("--scale {} is no positive number", args.scale);
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let name = args.workload.as_deref().unwrap_or(WORKLOADS[0].name);
    Reference::named(name).ok_or_else(|| {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        Error::new(ErrorKind::Usage, format!("no workload is called {name:?}"))
            .hint(format!("there are: {}", names.join(", ")))
    })
}

fn report_args(args: &DemoArgs) -> ReportArgs {
    ReportArgs {
        all: args.report.all || args.report.top == DEFAULT_TOP,
        ..args.report.clone()
    }
}

/// The measured part follows the report where that is text for people; beside a report for programs it goes to stderr.
fn say(text: &str, args: &DemoArgs, context: &Context) -> Result<(), Error> {
    match args.report.format.as_str() {
        "terminal" => context.print(format!("\n{text}").as_bytes()),
        "markdown" => context.print(format!("\n```text\n{text}```\n").as_bytes()),
        _ if context.quiet => Ok(()),
        _ => {
            context.complain(text);
            Ok(())
        }
    }
}

/// Remarks that the demo's reports carry.
fn remark(report: &mut Report) {
    report.notes.push(
        "demo: an index counts as unused after seconds of traffic (--min-window 0); real databases get 30 days".to_owned(),
    );
}
