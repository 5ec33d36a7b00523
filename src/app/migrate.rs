//! `pgassay migrate`: index changes of a report, or of an audit run now, as migration files.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use jiff::{civil::DateTime, tz::TimeZone};

use super::{
    Context, Error, ErrorKind, Outcome, audit::Request, config::Config, connect::Naming, path_text,
    write,
};
use crate::{
    cli::MigrateArgs,
    finding::Report,
    migration::{Drops, FRAMEWORKS, Framework, MigrationFile, Planned, Proposal, plan},
    report::json,
};

/// Largest report that is read back: the JSON report of an audit with 10,000 findings has some 40 MB.
const MAX_REPORT_BYTES: u64 = 256 * 1024 * 1024;

/// How timestamps of files are written.
const TIMESTAMP: &str = "%Y%m%d%H%M%S";

/// Runs the command.
pub(super) async fn run(args: &MigrateArgs, context: &Context) -> Result<Outcome, Error> {
    let start = start(args, context)?;
    let (proposals, outcome) = match &args.from {
        Some(path) => (proposals_of(path, context)?, Outcome::Clean),
        None => audit(args, context).await?,
    };
    let drops = if args.include_drops {
        Drops::Include
    } else {
        Drops::LeaveOut
    };
    let planned = plan(proposals, start, drops);
    say_what_is_missing(&planned, context);
    let framework = framework(&args.framework);
    let files: Vec<MigrationFile> = planned.steps.iter().flat_map(framework.render).collect();
    if args.dry_run {
        show(&files, context)?;
    } else {
        let fresh = without_known(&args.out, files, context);
        let written = write::new_files(&args.out, &fresh)?;
        let lines: Vec<String> = written.iter().map(|path| path_text(path) + "\n").collect();
        context.print(lines.concat().as_bytes())?;
    }
    Ok(outcome)
}

fn framework(name: &str) -> &'static Framework {
    FRAMEWORKS
        .iter()
        .find(|framework| framework.name == name)
        .expect("clap takes only names of the registry")
}

fn start(args: &MigrateArgs, context: &Context) -> Result<DateTime, Error> {
    match &args.timestamp {
        None => Ok(context.now.to_zoned(TimeZone::UTC).datetime()),
        Some(text) => DateTime::strptime(TIMESTAMP, text).map_err(|error| {
            Error::new(
                ErrorKind::Usage,
                format!("--timestamp {text:?} is no YYYYMMDDhhmmss"),
            )
            .because(error)
        }),
    }
}

/// The changes that the findings of a report propose.
pub(super) fn proposals(report: &Report) -> Vec<Proposal> {
    let findings = report
        .findings
        .iter()
        .filter(|finding| !finding.remedy.withheld);
    findings
        .flat_map(|finding| {
            finding.remedy.changes.iter().map(|change| Proposal {
                change: change.clone(),
                finding: finding.id(),
                why: finding.message.clone(),
            })
        })
        .collect()
}

fn proposals_of(path: &Path, context: &Context) -> Result<Vec<Proposal>, Error> {
    let name = path_text(path);
    let unreadable = |message: String| {
        Error::new(ErrorKind::Input, message)
            .hint("write one with: pgassay audit --format json --output report.json")
    };
    let text =
        read(path).map_err(|error| unreadable(format!("cannot read {name:?}")).because(error))?;
    let findings = json::read(&text)
        .map_err(|error| unreadable(format!("cannot use {name:?}")).because(error))?;
    let withheld = findings.iter().filter(|finding| finding.withheld).count();
    say_withheld(withheld, context);
    let proposals = findings.into_iter().flat_map(|finding| {
        finding.changes.into_iter().map(move |change| Proposal {
            change,
            finding: finding.id.clone(),
            why: finding.message.clone(),
        })
    });
    Ok(proposals.collect())
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(fs::File::open(path)?)
    };
    reader.take(MAX_REPORT_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

fn say_withheld(n: usize, context: &Context) {
    if n > 0 {
        context.remark(&format!(
            "{n} left out: the SQL holds values of the workload (audit with --show-literals)"
        ));
    }
}

fn say_what_is_missing(planned: &Planned, context: &Context) {
    for (finding, error) in &planned.refused {
        context.remark(&format!("{finding} left out: its SQL has {error}"));
    }
    match planned.n_drops_left_out {
        0 => {}
        n => context.remark(&format!(
            "{n} index drops left out (--include-drops writes them)"
        )),
    }
    if planned.steps.is_empty() {
        context.remark("nothing to write");
    }
}

/// Leaves out what an earlier run has written under another timestamp.
fn without_known(out: &Path, files: Vec<MigrationFile>, context: &Context) -> Vec<MigrationFile> {
    files
        .into_iter()
        .filter(|file| match known(out, &file.path) {
            Some(known) => {
                context.remark(&format!("{known} is there already, left as it is"));
                false
            }
            None => true,
        })
        .collect()
}

/// A file in the same folder whose name differs in its timestamp alone.
fn known(out: &Path, relative: &str) -> Option<String> {
    let path = out.join(relative);
    let name = without_timestamp(path.file_name()?.to_str()?)?.to_owned();
    let entries = fs::read_dir(path.parent()?).ok()?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|other| without_timestamp(other) == Some(&name))
        .collect();
    names.sort();
    names.into_iter().next()
}

fn without_timestamp(name: &str) -> Option<&str> {
    let (timestamp, rest) = name.split_once('_')?;
    (timestamp.len() == 14 && timestamp.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

fn show(files: &[MigrationFile], context: &Context) -> Result<(), Error> {
    let texts: Vec<String> = files
        .iter()
        .map(|file| format!("-- {}\n{}\n", file.path, file.content))
        .collect();
    context.print(texts.join("\n").as_bytes())
}

/// Runs the audit now. What it could not read is told, and makes the run incomplete.
async fn audit(args: &MigrateArgs, context: &Context) -> Result<(Vec<Proposal>, Outcome), Error> {
    let config = Config::load(args.judge.config.as_deref())?;
    let request = Request {
        server: &args.server,
        twin: &args.twin,
        naming: if args.logs.is_empty() {
            Naming::Always
        } else {
            Naming::FlagOrEnvironment
        },
        logs: &args.logs,
        log: &args.log,
        filters: &args.filters,
        judge: &args.judge,
        required: &[],
        config: &config,
        show_literals: args.show_literals,
    };
    let conclusion = request.run(context).await?;
    let withheld = conclusion
        .report
        .findings
        .iter()
        .filter(|f| f.remedy.withheld);
    say_withheld(withheld.count(), context);
    conclusion.complain(context);
    let outcome = if conclusion.failed.is_empty() {
        Outcome::Clean
    } else {
        Outcome::Incomplete
    };
    Ok((proposals(&conclusion.report), outcome))
}
