//! `pgassay migrate`: index changes of a report, or of an audit run now, as migration files.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use jiff::{civil::DateTime, tz::TimeZone};

use super::{
    Context, Error, ErrorKind, Outcome, audit::Request, config::Config, connect::Naming, path_text,
    project::Place, write,
};
use crate::{
    cli::MigrateArgs,
    finding::{ChangeAction, Evidence, IndexChange, RemedyKind, Report},
    migration::{
        self, Change, Drops, Framework, MigrationFile, Planned, ProjectView, Proposal, RenderError,
        Rendered, Start,
    },
    report::json,
};

/// Largest report that is read back: the JSON report of an audit with 10,000 findings has some 40 MB.
const MAX_REPORT_BYTES: u64 = 256 * 1024 * 1024;

/// How `--timestamp` is written.
const TIMESTAMP: &str = "%Y%m%d%H%M%S";

/// Runs the command.
pub(super) async fn run(args: &MigrateArgs, context: &Context) -> Result<Outcome, Error> {
    let start = start(args, context)?;
    let place = Place::of(args, context)?;
    let (proposals, outcome) = match &args.from {
        Some(path) => (proposals_of(path, context)?, Outcome::Clean),
        None => audit(args, context).await?,
    };
    let drops = if args.include_drops {
        Drops::Include
    } else {
        Drops::LeaveOut
    };
    let planned = migration::plan(proposals, drops, place.framework.max_name_bytes);
    say_what_is_missing(&planned, context);
    let existing = place.existing();
    let request = migration::Request {
        steps: &planned.steps,
        project: &place.project,
        existing: &existing,
        folder: &place.folder,
        start,
    };
    let rendered = (place.framework.render)(&request).map_err(cannot_render)?;
    for slug in &rendered.known {
        context.remark(&format!("{slug} has a file there already, left as it is"));
    }
    for slug in &rendered.refused {
        context.remark(&format!(
            "{slug} left out: a name or string in it has a line that {} may take for a marker of its own; --framework sql writes it",
            place.framework.name
        ));
    }
    if args.dry_run {
        show(&rendered.files, context)?;
    } else {
        let written = write::new_files(&place.root, &place.below_root(rendered.files))?;
        let lines: Vec<String> = written.iter().map(|path| path_text(path) + "\n").collect();
        context.print(lines.concat().as_bytes())?;
    }
    for note in &rendered.notes {
        context.remark(note);
    }
    Ok(outcome)
}

fn cannot_render(error: RenderError) -> Error {
    Error::new(ErrorKind::Input, error.message).hint(error.hint)
}

fn start(args: &MigrateArgs, context: &Context) -> Result<Start, Error> {
    match &args.timestamp {
        None => Ok(now(context)),
        Some(text) => {
            let time = DateTime::strptime(TIMESTAMP, text).map_err(|error| {
                let message = format!("--timestamp {text:?} is no YYYYMMDDhhmmss");
                Error::new(ErrorKind::Usage, message).because(error)
            })?;
            Ok(Start {
                time,
                is_given: true,
            })
        }
    }
}

fn now(context: &Context) -> Start {
    Start {
        time: context.now.to_zoned(TimeZone::UTC).datetime(),
        is_given: false,
    }
}

/// The files of a report for psql, drops included, in an empty folder.
pub(super) fn plain_sql(report: &Report, context: &Context) -> Result<Vec<MigrationFile>, Error> {
    let framework = Framework::of_name("sql").expect("plain SQL is one of the frameworks");
    let planned = migration::plan(proposals(report), Drops::Include, framework.max_name_bytes);
    let request = migration::Request {
        steps: &planned.steps,
        project: &ProjectView::empty(),
        existing: &ProjectView::empty(),
        folder: "",
        start: now(context),
    };
    let rendered: Rendered = (framework.render)(&request).map_err(cannot_render)?;
    Ok(rendered.files)
}

/// The changes that the findings of a report propose.
fn proposals(report: &Report) -> Vec<Proposal> {
    let findings = report
        .findings
        .iter()
        .filter(|finding| !finding.remedy.withheld);
    findings
        .flat_map(|finding| {
            let others = match &finding.evidence {
                Evidence::Index(evidence) => evidence.replaces.as_slice(),
                _ => &[],
            };
            let remedy = &finding.remedy;
            let changes = changes(remedy.kind, remedy.sql.as_deref(), &remedy.changes, others);
            changes.into_iter().map(|change| Proposal {
                change,
                finding: finding.id(),
                why: finding.message.clone(),
            })
        })
        .collect()
}

/// What a remedy changes. `others` are the indexes that a drop leaves in its place.
fn changes(
    kind: RemedyKind,
    sql: Option<&str>,
    changes: &[IndexChange],
    others: &[String],
) -> Vec<Change> {
    if kind == RemedyKind::CreateStatistics && changes.is_empty() {
        let sql = sql
            .into_iter()
            .map(|sql| Change::Statistics(sql.to_owned()));
        return sql.collect();
    }
    let created = changes
        .iter()
        .filter(|change| change.action == ChangeAction::Create)
        .map(|change| change.def.name.clone());
    let created: Vec<String> = created.collect();
    let instead = |change: &IndexChange| match change.action {
        ChangeAction::Create => Vec::new(),
        ChangeAction::Drop if kind == RemedyKind::DropIndex => {
            let prefix = format!("{}.", change.def.table.schema);
            let in_schema = others.iter().filter_map(|name| name.strip_prefix(&prefix));
            in_schema.map(str::to_owned).collect()
        }
        ChangeAction::Drop => created.clone(),
    };
    changes
        .iter()
        .map(|change| Change::Index(Box::new(change.clone()), instead(change)))
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
        let changes = changes(
            finding.kind,
            finding.sql.as_deref(),
            &finding.changes,
            &finding.others,
        );
        changes.into_iter().map(move |change| Proposal {
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
        interval: None,
        watching: None,
        show_literals: args.show_literals,
        verify_on: None,
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
