//! Everything known, gathered: the server's catalog and statements beside the logs, read at the same time.

use std::time::{Duration, Instant};

use super::{
    Context, Error, ErrorKind,
    audit::Inputs,
    logs::{self, LogInputs},
    watch::{self, Watching},
};
use crate::{
    catalog::{Catalog, Setting},
    cli::StatementsFrom,
    db::{Audited, DbError, StatementsError},
    snapshot::Snapshot,
    workload::{InputFacts, PgssEntry, Reading, Seen, difference},
};

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) snapshot: Snapshot,
    /// Logs that gave something.
    pub(super) n_logs: usize,
    /// Named inputs that gave nothing.
    pub(super) failed: Vec<Error>,
    /// Remarks for the report.
    pub(super) notes: Vec<String>,
}

/// What the server gave.
struct FromServer {
    catalog: Catalog,
    /// `None` with `--statements log`.
    statements: Option<Result<(Vec<PgssEntry>, InputFacts), StatementsError>>,
    /// With `--sample-activity`.
    seen: Option<Result<Seen, DbError>>,
}

/// What is read of the server.
#[derive(Debug, Clone, Copy)]
struct Asked {
    statements: StatementsFrom,
    interval: Option<Duration>,
    watching: Option<Watching>,
}

/// Reads all inputs.
///
/// # Errors
/// When none gave anything.
pub(super) async fn gather(inputs: Inputs<'_>, context: &Context) -> Result<Gathered, Error> {
    let users = inputs.logs.filter.users.clone();
    let mut logs = inputs.logs;
    logs.server_settings = settings(inputs.server, inputs.captured.as_deref(), &logs).await;
    let (from_logs, from_server) = tokio::join!(
        logs::read(logs, context),
        Box::pin(from_server(
            inputs.server,
            Asked {
                statements: inputs.statements,
                interval: inputs.interval,
                watching: inputs.watching,
            },
            context
        ))
    );
    let mut gathered = Gathered::default();
    gathered.snapshot.workload = from_logs.workload;
    gathered.n_logs = from_logs.n_read;
    gathered.failed = from_logs.failed;
    gathered.notes = from_logs.notes;
    if let Some(captured) = inputs.captured {
        gathered.restore(*captured, inputs.statements);
    }
    match from_server {
        None => {}
        Some(Ok(from_server)) => gathered.take_up(from_server, &users),
        Some(Err(error)) => gathered.failed.push(error.into()),
    }
    gathered.tell_of_watch();
    for replica in &inputs.replicas {
        match Box::pin(replica.catalog()).await {
            Ok(catalog) => gathered.add_replica(&catalog),
            Err(error) => gathered.failed.push(error.into()),
        }
    }
    gathered.something(context)
}

/// The settings of the server beside the logs: how the logs were written. Should they not be had, the catalog's error tells.
async fn settings(
    server: Option<&Audited>,
    captured: Option<&Snapshot>,
    logs: &LogInputs,
) -> Vec<Setting> {
    let captured = captured.and_then(|captured| captured.catalog.as_ref());
    match (server, captured) {
        (Some(server), _) if !logs.files.is_empty() => server.settings().await.unwrap_or_default(),
        (_, Some(catalog)) => catalog.server.settings.clone(),
        _ => Vec::new(),
    }
}

impl Gathered {
    /// Puts what was captured beside the logs.
    fn restore(&mut self, captured: Snapshot, statements: StatementsFrom) {
        let logged = std::mem::take(&mut self.snapshot.workload);
        self.snapshot = Snapshot {
            workload: logged,
            ..captured.clone()
        };
        if statements != StatementsFrom::Log {
            self.snapshot.workload.add_captured(captured.workload);
        }
    }

    fn take_up(&mut self, from_server: FromServer, users: &[String]) {
        let workload = &mut self.snapshot.workload;
        self.snapshot.catalog = Some(from_server.catalog);
        match from_server.seen {
            None => {}
            Some(Ok(seen)) => {
                workload.add_watched(seen);
            }
            Some(Err(error)) => self.failed.push(error.into()),
        }
        match from_server.statements {
            None => {}
            Some(Ok((entries, facts))) => {
                workload.add_pg_stat_statements(of_users(entries, users), facts);
            }
            Some(Err(error)) if self.n_logs > 0 => {
                self.notes
                    .push(format!("{error}: statements are those of the log alone"));
            }
            Some(Err(error)) => {
                self.notes
                    .push(format!("{error}: no statement could be judged"));
                self.failed.push(error.into());
            }
        }
    }

    /// What samples of `pg_stat_activity` showed, when all statements are known.
    fn tell_of_watch(&mut self) {
        let workload = &self.snapshot.workload;
        let watched = workload.watched.iter();
        self.notes
            .extend(watched.flat_map(|watched| watched.notes(workload)));
    }

    fn add_replica(&mut self, replica: &Catalog) {
        let Some(catalog) = &mut self.snapshot.catalog else {
            return;
        };
        let n_known = catalog.add_replica(replica);
        if n_known == 0 && catalog.indexes().next().is_some() {
            let why = format!(
                "--replica: database {} has none of the indexes of {}",
                replica.server.database, catalog.server.database
            );
            self.failed.push(Error::new(ErrorKind::Input, why));
        }
    }

    /// Itself, unless no input gave anything: then the last error ends the run, and the others are told before.
    fn something(mut self, context: &Context) -> Result<Self, Error> {
        let nothing = self.snapshot.catalog.is_none() && self.n_logs == 0;
        let last = if nothing { self.failed.pop() } else { None };
        match last {
            None => Ok(self),
            Some(last) => {
                for error in &self.failed {
                    context.complain(&error.render());
                }
                Err(last)
            }
        }
    }
}

async fn from_server(
    server: Option<&Audited>,
    asked: Asked,
    context: &Context,
) -> Option<Result<FromServer, DbError>> {
    let server = server?;
    let _spinner = context.spinner("reading the catalog");
    let catalog = match Box::pin(server.catalog()).await {
        Ok(catalog) => catalog,
        Err(error) => return Some(Err(error)),
    };
    let (statements, seen) = tokio::join!(
        async {
            match asked.statements {
                StatementsFrom::Log => None,
                StatementsFrom::Both | StatementsFrom::PgStatStatements => {
                    Some(statements_of(server, asked.interval, context).await)
                }
            }
        },
        async {
            match asked.watching {
                Some(watching) => Some(watch::watch(server, watching, context).await),
                None => None,
            }
        }
    );
    Some(Ok(FromServer {
        catalog,
        statements,
        seen,
    }))
}

/// What `pg_stat_statements` counted: in all, or in an interval that starts now.
pub(super) async fn statements_of(
    server: &Audited,
    interval: Option<Duration>,
    context: &Context,
) -> Result<Reading, StatementsError> {
    let before = server.statements().await?;
    let Some(interval) = interval else {
        return Ok(before);
    };
    let spinner = context.spinner("watching pg_stat_statements");
    let started = Instant::now();
    while let Some(left) = interval.checked_sub(started.elapsed()) {
        spinner.say(&format!(
            "watching pg_stat_statements, {} s to go",
            left.as_secs() + 1
        ));
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
    let after = server.statements().await?;
    Ok(difference(before, after))
}

/// Entries of these roles; all when none is named.
fn of_users(mut entries: Vec<PgssEntry>, users: &[String]) -> Vec<PgssEntry> {
    if !users.is_empty() {
        entries.retain(|entry| entry.stats.users.iter().any(|user| users.contains(user)));
    }
    entries
}

impl From<StatementsError> for Error {
    fn from(error: StatementsError) -> Self {
        let hints = error.hints();
        Self {
            hints,
            ..Self::new(ErrorKind::Input, error.to_string())
        }
    }
}
