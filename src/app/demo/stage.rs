//! The demo's server and database, and what happens on it: acts (drive and audit), migrations, loops against batches.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    app::{
        Context, Error, ErrorKind,
        audit::{self, Conclusion, Inputs, Judging, Pricing},
        binaries,
        logs::LogInputs,
        migrate, write,
    },
    cli::{DemoArgs, StatementsFrom},
    db::{Audited, AuditedOptions, OwnConninfo, Owned, RealPlanner},
    demo::{self, Driven, Fault, Reference, RewriteEffect, Variant},
    finding::{Finding, Report},
    rules::Settings,
    server::{self, LOG_LINE_PREFIX, Options, SUPERUSER, Server},
};

/// Connections for the workload's clients, and for our own work.
const N_CONNECTIONS: usize = 4;

/// Nobody else waits for the demo's server: it may be asked for as long as pricing needs.
const SERVER_TIME: Duration = Duration::from_secs(60);

/// How long to wait for the workload's connections to be gone; their statistics are complete only then.
const GOODBYE: Duration = Duration::from_secs(5);

/// Format of the throwaway server's log.
const LOG_FORMAT: &str = "stderr";

/// What one drive and its audit gave.
#[derive(Debug)]
pub struct Act {
    /// The drive.
    pub driven: Driven,
    /// The audit of it.
    pub conclusion: Conclusion,
}

/// A migration that was applied.
#[derive(Debug)]
pub struct Applied {
    /// Path below the migrations' folder.
    pub file: String,
    /// How long it took.
    pub took: Duration,
}

/// A loop that the audit found, measured against its rewrite.
#[derive(Debug)]
pub struct Rewritten {
    /// Id of the finding.
    pub finding: String,
    /// The loop and its rewrite.
    pub fault: &'static Fault,
    /// Both measured.
    pub effect: RewriteEffect,
}

/// Server and database of one demo. Both are gone when it is dropped.
#[derive(Debug)]
pub struct Stage {
    reference: &'static Reference,
    variant: Variant,
    show_literals: bool,
    conninfo: OwnConninfo,
    owned: Owned,
    /// Logs and migrations.
    folder: tempfile::TempDir,
    server: Server,
}

impl Stage {
    /// Starts a server and loads the workload's database.
    ///
    /// # Errors
    /// When the server refuses or is gone, or a file cannot be written.
    pub async fn set(
        reference: &'static Reference,
        args: &DemoArgs,
        context: &Context,
    ) -> Result<Self, Error> {
        let server = start(args, context).await?;
        let folder = tempfile::Builder::new().prefix("pgassay-demo-").tempdir();
        let folder = folder.map_err(|error| Error::output("the demo's files", error))?;
        let conninfo =
            OwnConninfo::of_throwaway(server.socket_folder(), server.port(), SUPERUSER, "postgres");
        let admin = Owned::connect(&conninfo, 1).await?;
        admin
            .batch(&format!("CREATE DATABASE {}", reference.database()))
            .await?;
        let conninfo = conninfo.with_dbname(&reference.database());
        let owned = Owned::connect(&conninfo, N_CONNECTIONS).await?;
        let stage = Self {
            reference,
            variant: Variant {
                scale: args.scale,
                seed: args.seed,
            },
            show_literals: args.report.show_literals,
            conninfo,
            owned,
            folder,
            server,
        };
        let spinner = context.spinner("loading");
        let mut say = |what: &str| spinner.say(&format!("loading {}: {what}", reference.name));
        demo::load(&stage.owned, reference, stage.variant, &mut say).await?;
        Ok(stage)
    }

    /// Drives the workload and audits it, from this drive's log and statistics alone.
    ///
    /// # Errors
    /// When the server refuses or is gone, or a file cannot be written.
    pub async fn act(&self, name: &str, context: &Context) -> Result<Act, Error> {
        self.server
            .take_log(&self.file(&format!("until-{name}.log")))?;
        self.owned
            .batch("SELECT pg_stat_statements_reset()")
            .await?;
        let driven = self.drive(name, context).await?;
        let log = self.file(&format!("{name}.log"));
        self.server.take_log(&log)?;
        let conclusion = self.audit(log, context).await?;
        Ok(Act { driven, conclusion })
    }

    async fn drive(&self, name: &str, context: &Context) -> Result<Driven, Error> {
        let message = format!("driving {} ({name})", self.reference.name);
        let bar = Arc::new(context.bar(&message, self.reference.n_requests()));
        let clients = Owned::connect(&self.conninfo, N_CONNECTIONS).await?;
        let done = Arc::clone(&bar);
        let step = Arc::new(move || done.step());
        let driven = demo::drive(&clients, self.reference, self.variant, step).await?;
        clients.close();
        drop(clients);
        self.wait_for_goodbye().await?;
        Ok(driven)
    }

    /// A backend hands its statistics over at the latest when it ends.
    async fn wait_for_goodbye(&self) -> Result<(), Error> {
        let session = self.owned.session().await?;
        let deadline = Instant::now() + GOODBYE;
        let sql = format!(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = '{}'",
            self.reference.name
        );
        while !session.texts(&sql).await?.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn audit(&self, log: PathBuf, context: &Context) -> Result<Conclusion, Error> {
        let options = AuditedOptions {
            max_server_time: SERVER_TIME,
        };
        let audited = Audited::connect(&self.conninfo.audited(), options).await?;
        let planner = RealPlanner::new(self.owned.clone());
        let inputs = Inputs {
            server: Some(&audited),
            replicas: Vec::new(),
            logs: LogInputs {
                files: vec![log],
                format: Some(LOG_FORMAT.to_owned()),
                prefix: Some(LOG_LINE_PREFIX.to_owned()),
                ..LogInputs::default()
            },
            statements: StatementsFrom::Both,
            captured: None,
            interval: None,
            watching: None,
        };
        let judging = Judging {
            settings: Settings {
                min_window_days: 0.0,
                show_literals: self.show_literals,
                ..Settings::default()
            },
            ..Judging::default()
        };
        let conclusion = Box::pin(audit::run_audit(
            inputs,
            Pricing::Real(&planner),
            &judging,
            context,
        ))
        .await;
        planner.finish().await;
        let mut conclusion = conclusion?;
        super::remark(&mut conclusion.report);
        Ok(conclusion)
    }

    /// Writes the report's migrations and applies them, one statement at a time as psql would.
    ///
    /// # Errors
    /// When the server refuses or is gone, or a file cannot be written.
    pub async fn migrate(&self, report: &Report, context: &Context) -> Result<Vec<Applied>, Error> {
        let files = migrate::plain_sql(report, context)?;
        write::new_files(&self.file("migrations"), &files)?;
        let ups: Vec<_> = files
            .iter()
            .filter(|file| file.path.ends_with(".up.sql"))
            .collect();
        let bar = context.bar("applying migrations", ups.len() as u64);
        let mut applied = Vec::new();
        for file in ups {
            let started = Instant::now();
            let result = demo::apply(&self.owned, &file.content).await;
            result.map_err(|error| {
                Error::new(ErrorKind::Server, format!("cannot apply {}", file.path)).because(error)
            })?;
            bar.step();
            applied.push(Applied {
                file: file.path.clone(),
                took: started.elapsed(),
            });
        }
        Ok(applied)
    }

    /// Runs the loops that the audit found beside the statement that each should have been.
    ///
    /// # Errors
    /// When the server refuses or is gone, or a file cannot be written.
    pub async fn rewrites(
        &self,
        findings: &[Finding],
        context: &Context,
    ) -> Result<Vec<Rewritten>, Error> {
        let _spinner = context.spinner("running loops against batches");
        let mut rewritten = Vec::new();
        for fault in self.reference.faults {
            let found = demo::matching(fault, findings);
            let (Some(calls), Some(finding)) = (&fault.calls, found) else {
                continue;
            };
            let effect = demo::compare(&self.owned, calls, finding).await?;
            rewritten.extend(effect.map(|effect| Rewritten {
                finding: finding.id(),
                fault,
                effect,
            }));
        }
        Ok(rewritten)
    }

    /// Ends the demo: stops and removes everything, or says how to.
    ///
    /// # Errors
    /// When the server refuses or is gone, or a file cannot be written.
    pub fn end(self, keep: bool, context: &Context) -> Result<(), Error> {
        if !keep {
            return Ok(());
        }
        let url = self.server.url(&self.reference.database());
        let files = self.folder.keep();
        let kept = self.server.keep()?;
        let folder = kept.folder.display();
        context.complain(&format!(
            "the server keeps running: {url}\nits log: {folder}/server.log, the demo's logs and migrations: {}\n\
             stop it with: kill -INT {}; sleep 2; rm -rf {folder} {}\n",
            files.display(),
            kept.pid,
            files.display()
        ));
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn start(args: &DemoArgs, context: &Context) -> Result<Server, Error> {
    let spinner = context.spinner("looking for a PostgreSQL server");
    let binaries = binaries::find_or_fetch(args.pg_bin.as_deref(), context).await?;
    spinner.say(&format!("starting PostgreSQL {}", binaries.major()));
    let mut options = Options::new(binaries::cache(context));
    options.temp = server::temporary_folder(context.variable("TMPDIR").map(Path::new));
    let server = tokio::task::spawn_blocking(move || Server::start(&binaries, &options));
    Ok(server
        .await
        .map_err(|error| binaries::interrupted(&error))??)
}
