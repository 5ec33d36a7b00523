//! `pgassay capture`: one database, frozen into one file.

use super::{
    Context, Error, ErrorKind, Outcome, connect, gather,
    logs::{self, LogInputs},
    path_text, self_check, snapshot as file,
    watch::{self, Watching},
};
use crate::{
    cli::{CaptureArgs, FilterArgs, LogArgs, Redact},
    db::{Audited, DbError, EndpointReads},
    snapshot::{self, CaptureFacts, Redaction, Snapshot},
    workload::{LogStats, Query, Seen, Workload},
};

/// Runs the command.
///
/// # Errors
/// When the database can't be read or the file can't be written.
pub(super) async fn run(args: &CaptureArgs, context: &Context) -> Result<Outcome, Error> {
    if let Some(path) = &args.show {
        let snapshot = file::open(path)?;
        context.print(describe(&snapshot).as_bytes())?;
        return Ok(Outcome::Clean);
    }
    let path = args
        .output
        .as_ref()
        .ok_or_else(|| Error::new(ErrorKind::Usage, "no file to write: -o FILE"))?;
    let mut snapshot = Box::pin(capture(args, context)).await?;
    snapshot::redact(&mut snapshot, redaction(args.redact));
    for line in describe(&snapshot).lines() {
        context.remark(line);
    }
    let n_bytes = file::save(&snapshot, path)?;
    context.remark(&format!("wrote {} ({n_bytes} bytes)", path_text(path)));
    Ok(Outcome::Clean)
}

async fn capture(args: &CaptureArgs, context: &Context) -> Result<Snapshot, Error> {
    let audited = connect::connect(&args.server, connect::Naming::Always, context)
        .await?
        .ok_or_else(|| Error::new(ErrorKind::Usage, "no database to capture"))?;
    let spinner = context.spinner("reading the catalog");
    let endpoints = if args.no_endpoints {
        EndpointReads::Skip
    } else {
        EndpointReads::Probe
    };
    let catalog = audited.catalog().await?;
    spinner.say("reading planner statistics");
    let planner = audited.planner_state(endpoints).await?;
    drop(spinner);
    let mut workload = logged(args, context).await?;
    let (statements, seen) = tokio::join!(
        gather::statements_of(&audited, args.interval, context),
        watched(&audited, args, context)
    );
    if let Some(seen) = seen? {
        workload.add_watched(seen);
    }
    match statements {
        Ok((entries, facts)) => workload.add_pg_stat_statements(entries, facts),
        Err(error) => context.remark(&format!("{error}: the file holds no statements")),
    }
    let _spinner = context.spinner("planning a sample of the statements");
    let samples = if args.server.no_explain {
        Vec::new()
    } else {
        self_check::samples(&audited, &catalog, &workload).await
    };
    Ok(Snapshot {
        capture: Some(CaptureFacts {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            at: context.now.to_string(),
            ..CaptureFacts::default()
        }),
        catalog: Some(catalog),
        planner: Some(planner),
        workload,
        samples,
        ..Snapshot::default()
    })
}

/// With `--log`: its statements. Loops, waits and names of clients stay out: a log's times and routes are no part of what a planner sees.
async fn logged(args: &CaptureArgs, context: &Context) -> Result<Workload, Error> {
    let inputs = LogInputs::of(
        &args.log,
        &LogArgs::default(),
        &FilterArgs::default(),
        context,
    )?;
    let read = logs::read(inputs, context).await;
    for note in &read.notes {
        context.remark(note);
    }
    if let Some(error) = read.failed.into_iter().next() {
        return Err(error);
    }
    let queries = read.workload.queries.into_iter().map(|query| Query {
        log: query.log.map(|log| LogStats {
            samples: Vec::new(),
            users: Vec::new(),
            applications: Vec::new(),
            routes: Vec::new(),
            ..log
        }),
        ..query
    });
    Ok(Workload {
        queries: queries.collect(),
        inputs: read.workload.inputs,
        skipped: read.workload.skipped,
        let_go: read.workload.let_go,
        ..Workload::default()
    })
}

/// With `--sample-activity`: what was seen meanwhile.
async fn watched(
    audited: &Audited,
    args: &CaptureArgs,
    context: &Context,
) -> Result<Option<Seen>, DbError> {
    match Watching::of(args.sample_activity, args.interval) {
        Some(watching) => watch::watch(audited, watching, context).await.map(Some),
        None => Ok(None),
    }
}

fn redaction(how: Redact) -> Redaction {
    match how {
        Redact::Default => Redaction::Default,
        Redact::All => Redaction::All,
        Redact::None => Redaction::None,
    }
}

/// What a snapshot is of and what values it holds, in words.
fn describe(snapshot: &Snapshot) -> String {
    let mut lines = Vec::new();
    if let Some(capture) = &snapshot.capture {
        lines.push(format!(
            "captured {} by pgassay {}",
            capture.at, capture.tool
        ));
        lines.extend(capture.holds.iter().map(|held| format!("holds {held}")));
    }
    if let Some(planner) = &snapshot.planner {
        lines.push(format!(
            "PostgreSQL {}.{}: {} tables, {} indexes, {} column statistics",
            planner.version_num / 10_000,
            planner.version_num % 10_000,
            planner.objects.tables.len(),
            planner.objects.indexes.len(),
            planner.column_statistics.len()
        ));
        lines.push(format!(
            "{} statements, plans of {} of them",
            snapshot.workload.queries.len(),
            snapshot.samples.len()
        ));
        lines.extend(snapshot.workload.watched.iter().map(|watched| {
            format!(
                "{} samples of pg_stat_activity, {} executions seen",
                watched.n_samples, watched.n_executions
            )
        }));
        lines.extend(planner.gaps.iter().map(|gap| match gap.n {
            0 => format!("not read: {} ({})", gap.what, gap.cost),
            n => format!("not read: {} ({n}): {}", gap.what, gap.cost),
        }));
    }
    lines.join("\n") + "\n"
}
