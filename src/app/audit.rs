//! `pgassay audit`, and the audit itself for every command that needs one: gathers a snapshot, asks for advice, has it judged.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    Context, Error, ErrorKind, Outcome,
    config::Config,
    connect::{self, Naming},
    context::Progress,
    diff,
    gate::Gate,
    gather::{self, Gathered},
    locate,
    logs::{Depth, LogInputs},
    self_check, snapshot as file, twin, verify, verify_on,
    watch::Watching,
    write,
};
use crate::{
    advise::{self, Advice, NoPlanner, WhatIf},
    catalog::Catalog,
    cli::{
        self, AuditArgs, FailOn, FilterArgs, JudgeArgs, LogArgs, ReportArgs, SecretUrl, ServerArgs,
        StatementsFrom, TwinArgs,
    },
    db::{Audited, EndpointReads, LivePlanner, RealPlanner},
    finding::{Location, LocationKind, Report, RuleStatus, RunCost},
    plan::WhatIfKind,
    rules::{self, Audit, RULES, Rule, Scope, Settings},
    snapshot::Snapshot,
    sql::Fingerprint,
    twin::{Fleet, Twin},
    workload::{Query, Workload},
};

/// What the spinner says while a planner is asked.
const PRICING: &str = "pricing index candidates";

/// What an audit looks at.
#[derive(Debug, Default)]
pub struct Inputs<'a> {
    /// The audited database.
    pub server: Option<&'a Audited>,
    /// Other servers of the same data.
    pub replicas: Vec<Audited>,
    /// Query logs.
    pub logs: LogInputs,
    /// Whose statements, when both are given.
    pub statements: StatementsFrom,
    /// What was captured before, in place of the database.
    pub captured: Option<Box<Snapshot>>,
    /// Only what `pg_stat_statements` counts in such an interval, which starts now.
    pub interval: Option<Duration>,
    /// Whether `pg_stat_activity` is sampled meanwhile.
    pub watching: Option<Watching>,
}

/// How it is judged.
#[derive(Debug)]
pub struct Judging {
    /// Thresholds.
    pub settings: Settings,
    /// Rules to run.
    pub rules: Vec<&'static Rule>,
    /// What to report about.
    pub scope: Scope,
    /// Bounds of the advice.
    pub bounds: Bounds,
}

/// What the user allows new indexes, and the search for them.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Bytes that new indexes may take together.
    pub storage_budget: Option<u64>,
    /// Indexes that a table may have.
    pub max_indexes_per_table: Option<usize>,
    /// How long candidates may be priced.
    pub max_time: Option<Duration>,
    /// Statements whose missing advice is to be explained.
    pub why_not: Vec<Fingerprint>,
}

impl Default for Judging {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            rules: RULES.to_vec(),
            scope: Scope::default(),
            bounds: Bounds::default(),
        }
    }
}

/// What came of an audit.
#[derive(Debug)]
pub struct Conclusion {
    /// The report, of whatever inputs gave something.
    pub report: Report,
    /// What it was made from.
    pub snapshot: Snapshot,
    /// Named inputs that gave nothing, and why.
    pub failed: Vec<Error>,
}

/// Who prices candidates.
#[derive(Debug, Clone, Copy)]
pub enum Pricing<'a> {
    /// Nobody: no EXPLAIN is sent.
    Nobody,
    /// A twin of the same major version; else the audited server, with HypoPG where it has it; else a newer twin.
    Best(twin::Source<'a>),
    /// A server of our own, on which indexes are really built and rolled back.
    Real(&'a RealPlanner),
}

/// Runs the whole audit: gathers, advises, judges.
///
/// # Errors
/// When no input gave anything.
pub async fn run_audit(
    inputs: Inputs<'_>,
    pricing: Pricing<'_>,
    judging: &Judging,
    context: &Context,
) -> Result<Conclusion, Error> {
    let started = Instant::now();
    let server = inputs.server.cloned();
    let Gathered {
        snapshot,
        failed,
        mut notes,
        ..
    } = gather::gather(inputs, context).await?;
    let spinner = context.spinner(PRICING);
    let asked = Asked {
        snapshot: &snapshot,
        server: server.as_ref(),
        judging,
        context,
        spinner: &spinner,
    };
    let advice = Box::pin(asked.priced(pricing, &mut notes)).await;
    spinner.say("judging");
    let audit = Audit {
        snapshot: &snapshot,
        advice: &advice,
        settings: &judging.settings,
    };
    let mut report = rules::judge(&audit, &judging.rules, &judging.scope);
    report.notes.extend(notes);
    explain_silence(&mut report, &advice, &judging.bounds.why_not);
    report.run = run_cost(started, server.as_ref(), &advice);
    Ok(Conclusion {
        report,
        snapshot,
        failed,
    })
}

/// Answers `--why-not`: one remark for each statement asked about.
fn explain_silence(report: &mut Report, advice: &Advice, asked: &[Fingerprint]) {
    for fingerprint in asked {
        let serves = |one: &&advise::Recommendation| {
            one.queries
                .iter()
                .any(|query| query.fingerprint == *fingerprint)
        };
        let entry = report
            .why_not
            .iter()
            .find(|entry| entry.fingerprint == *fingerprint);
        let answer = match (advice.recommendations.iter().find(serves), entry) {
            (Some(one), _) => format!("is served by {}", one.def.name),
            (None, Some(entry)) => {
                let tried = match entry.tried.as_slice() {
                    [] => "nothing was tried".to_owned(),
                    tried => format!("tried: {}", tried.join("; ")),
                };
                format!("{}; {tried}", entry.reason)
            }
            (None, None) => "it is not among the statements that were looked at: unknown, too light, or no condition on a table of some size".to_owned(),
        };
        report
            .notes
            .push(format!("why not {fingerprint}: {answer}"));
    }
}

/// What advice is asked about.
#[derive(Clone, Copy)]
struct Asked<'a> {
    snapshot: &'a Snapshot,
    server: Option<&'a Audited>,
    judging: &'a Judging,
    context: &'a Context,
    spinner: &'a Progress,
}

impl Asked<'_> {
    /// Asks for advice, with the planner that `pricing` names.
    async fn priced(self, pricing: Pricing<'_>, notes: &mut Vec<String>) -> Advice {
        let Some(catalog) = &self.snapshot.catalog else {
            return Advice::default();
        };
        let source = match pricing {
            Pricing::Real(planner) => return self.advice(catalog, planner).await,
            Pricing::Nobody => return self.advice(catalog, &NoPlanner).await,
            Pricing::Best(source) => source,
        };
        if self.judging.rules.is_empty() {
            return Advice::default();
        }
        let live = self
            .server
            .map(|server| LivePlanner::new(server.clone(), catalog));
        let has_hypopg = live
            .as_ref()
            .is_some_and(|live| live.kind() != WhatIfKind::None);
        match Box::pin(self.twin(source, has_hypopg, notes)).await {
            Some(fleet) => self.advice(catalog, &fleet).await,
            None => match &live {
                Some(live) => self.advice(catalog, live).await,
                None => self.advice(catalog, &NoPlanner).await,
            },
        }
    }

    /// A twin, where one can be had and is the best choice.
    async fn twin(
        self,
        source: twin::Source<'_>,
        has_hypopg: bool,
        notes: &mut Vec<String>,
    ) -> Option<Fleet> {
        let n = twin::n_twins(source.n_twins, self.snapshot.workload.queries.len());
        let built = match (&self.snapshot.planner, self.server) {
            (Some(planner), _) => twin::build_fleet(planner.clone(), source, n, self.context).await,
            (None, Some(server)) => {
                let major = u16::try_from(server.version_num() / 10_000).unwrap_or(0);
                let at_hand = source.exact(major, self.context).is_ok();
                if has_hypopg && !at_hand {
                    return None;
                }
                // an audit leaves the counters of index usage as they are
                let is_superuser = (self.snapshot.catalog.as_ref())
                    .is_some_and(|catalog| catalog.server.is_superuser);
                let endpoints = if is_superuser {
                    EndpointReads::Probe
                } else {
                    EndpointReads::Skip
                };
                match server.planner_state(endpoints).await {
                    Ok(planner) => twin::build_fleet(planner, source, n, self.context).await,
                    Err(error) => Err(error.into()),
                }
            }
            (None, None) => return None,
        };
        match built {
            Ok(fleet) => {
                notes.extend(self.self_check(fleet.first()).await);
                notes.extend(twin::remarks(fleet.first()));
                Some(fleet)
            }
            Err(error) if has_hypopg => {
                notes.push(format!("{error}: indexes are priced by HypoPG"));
                None
            }
            Err(error) => {
                notes.push(format!("{error}: indexes could not be priced"));
                None
            }
        }
    }

    /// How the twin's plans compare with the server's: those of the snapshot, or those that it makes now.
    async fn self_check(self, twin: &Twin) -> Option<String> {
        let made;
        let samples = match (self.server, &self.snapshot.catalog) {
            (Some(server), Some(catalog)) => {
                made = self_check::samples(server, catalog, &self.snapshot.workload).await;
                &made
            }
            _ => &self.snapshot.samples,
        };
        Some(self_check::check(twin, samples).await?.words())
    }

    /// Asks for advice about the statements within the scope.
    async fn advice<W: WhatIf>(self, catalog: &Catalog, what_if: &W) -> Advice {
        advice(catalog, self.snapshot, what_if, self.judging, self.spinner).await
    }
}

/// Stops the pricing when time is up; dropped, it goes off no more.
#[derive(Debug)]
struct Alarm(tokio::task::JoinHandle<()>);

impl Alarm {
    fn set(time: Duration, options: &advise::Options) -> Self {
        let stop = Arc::clone(&options.stop);
        Self(tokio::spawn(async move {
            tokio::time::sleep(time).await;
            stop.store(true, Ordering::Relaxed);
        }))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks for advice about the statements within the scope.
async fn advice<W: WhatIf>(
    catalog: &Catalog,
    snapshot: &Snapshot,
    what_if: &W,
    judging: &Judging,
    spinner: &Progress,
) -> Advice {
    if judging.rules.is_empty() {
        return Advice::default();
    }
    let options = advise::Options {
        min_calls: judging.settings.min_calls,
        storage_budget: judging.bounds.storage_budget,
        max_indexes_per_table: judging.bounds.max_indexes_per_table,
        min_window_days: judging.settings.min_window_days,
        ..advise::Options::default()
    };
    let _shown = spinner.follow(PRICING, Arc::clone(&options.asked));
    let _alarm = judging
        .bounds
        .max_time
        .map(|time| Alarm::set(time, &options));
    if judging.scope.is_everything() {
        return Box::pin(advise::advise(
            catalog,
            &snapshot.workload,
            what_if,
            &options,
        ))
        .await;
    }
    let within = |query: &&Query| judging.scope.keeps_query(query, Some(catalog));
    let queries = snapshot.workload.queries.iter().filter(within);
    let workload = Workload {
        queries: queries.cloned().collect(),
        ..snapshot.workload.clone()
    };
    Box::pin(advise::advise(catalog, &workload, what_if, &options)).await
}

fn run_cost(started: Instant, server: Option<&Audited>, advice: &Advice) -> RunCost {
    let cost = server.map(Audited::cost).unwrap_or_default();
    RunCost {
        wall_s: started.elapsed().as_secs_f64(),
        n_server_statements: cost.n_statements,
        server_time_ms: cost.time.as_secs_f64() * 1e3,
        n_planner_calls: advice.n_planner_calls,
    }
}

/// What `audit`, `check` and `migrate` have in common on the command line.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) server: &'a ServerArgs,
    pub(super) twin: &'a TwinArgs,
    pub(super) naming: Naming,
    pub(super) logs: &'a [PathBuf],
    pub(super) log: &'a LogArgs,
    pub(super) filters: &'a FilterArgs,
    pub(super) judge: &'a JudgeArgs,
    /// Rules that must have been able to judge.
    pub(super) required: &'a [String],
    pub(super) config: &'a Config,
    /// `--for`
    pub(super) interval: Option<Duration>,
    /// `--sample-activity`
    pub(super) watching: Option<Watching>,
    pub(super) show_literals: bool,
    /// `--verify-on`
    pub(super) verify_on: Option<&'a SecretUrl>,
}

/// What `pgassay audit --snapshot FILE` comes to without any other flag and without a configuration.
pub(super) async fn of_snapshot(twin: &TwinArgs, context: &Context) -> Result<Conclusion, Error> {
    let plain = cli::parse(["pgassay", "audit"].map(Into::into));
    let Ok(cli::Command::Audit(args)) = plain.map(|cli| cli.command) else {
        unreachable!("an audit without flags is a command line");
    };
    let config = Config::default();
    let request = Request {
        server: &args.server,
        twin,
        naming: Naming::Flag,
        logs: &[],
        log: &args.log,
        filters: &args.filters,
        judge: &args.judge,
        required: &[],
        config: &config,
        interval: None,
        watching: None,
        show_literals: false,
        verify_on: None,
    };
    request.run(context).await
}

/// `pgassay audit`
pub(super) async fn run(args: &AuditArgs, context: &Context) -> Result<Outcome, Error> {
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
        interval: args.interval,
        watching: Watching::of(args.sample_activity, args.interval),
        show_literals: args.report.show_literals,
        verify_on: args.verify_on.as_ref(),
    };
    let gate = Gate::new(&args.gate, FailOn::Never, &config)?;
    request.report(&args.report, &gate, context).await
}

impl Request<'_> {
    /// Runs the audit and writes its report.
    pub(super) async fn report(
        &self,
        args: &ReportArgs,
        gate: &Gate<'_>,
        context: &Context,
    ) -> Result<Outcome, Error> {
        let mut conclusion = self.run(context).await?;
        if let Some(folder) = gate.source() {
            locate::locate(
                folder,
                &mut conclusion.report,
                &conclusion.snapshot.workload,
            )?;
        }
        gate.stand(&mut conclusion.report, context)?;
        let report = &conclusion.report;
        write::report(report, args, context)?;
        let outcome = conclusion.outcome(gate, context);
        if let Some(before) = gate.compared_with() {
            context.complain(&diff::since(before, report)?.text());
        }
        if let Some(advice) = gate.advice(report) {
            context.remark(&advice);
        }
        context.remark(&gate.summary(report, outcome));
        Ok(outcome)
    }

    /// The snapshot that stands for the database: the one named, else the project's, unless a database is named.
    fn snapshot(&self) -> Option<PathBuf> {
        let named = self.twin.snapshot.clone();
        named.or_else(|| {
            let is_free = self.server.database_url.is_none();
            self.config.snapshot().filter(|_| is_free)
        })
    }

    /// Runs the audit. A database that can't be reached leaves the logs.
    pub(super) async fn run(&self, context: &Context) -> Result<Conclusion, Error> {
        let judging = self.judging();
        let mut logs = LogInputs::of(self.logs, self.log, self.filters, context)?;
        if judging.rules.is_empty() {
            logs.depth = Depth::Statistics;
        }
        let captured = self.snapshot();
        let captured = captured.as_deref().map(file::open).transpose()?;
        let captured = captured.map(Box::new);
        let (server, unreachable) = match &captured {
            Some(_) => (None, None),
            None => match connect::connect(self.server, self.naming, context).await {
                Ok(server) => (server, None),
                Err(error) if self.logs.is_empty() => return Err(error),
                Err(error) => (None, Some(error)),
            },
        };
        let (replicas, unreachable_replicas) = self.replicas(context).await;
        let inputs = Inputs {
            server: server.as_ref(),
            replicas,
            logs,
            statements: self.log.statements,
            captured,
            interval: self.interval,
            watching: self.watching,
        };
        let pricing = if self.server.no_explain {
            Pricing::Nobody
        } else {
            Pricing::Best(twin::Source {
                pg_bin: self.twin.pg_bin.as_deref(),
                fetch: self.twin.fetch_server,
                as_major: None,
                n_twins: self.twin.twins,
            })
        };
        let mut conclusion = run_audit(inputs, pricing, &judging, context).await?;
        conclusion.failed.extend(unreachable);
        conclusion.failed.extend(unreachable_replicas);
        let blind = self.blind(&conclusion.report);
        conclusion.failed.extend(blind);
        if let Some(url) = self.verify_on {
            let verified = verify_on::verify_on(&mut conclusion, server.as_ref(), url, context);
            if let Err(error) = Box::pin(verified).await {
                conclusion.failed.push(error);
            }
        }
        if let Some(other) = &self.server.verify {
            let on = match other {
                None => server,
                Some(url) => {
                    let named = ServerArgs {
                        database_url: Some(url.clone()),
                        ..self.server.clone()
                    };
                    connect::connect(&named, Naming::Flag, context).await?
                }
            };
            verify::verify(&mut conclusion, on, context).await;
        }
        let Conclusion {
            report, snapshot, ..
        } = &mut conclusion;
        report.anchor = Location {
            file: self.config.name(),
            line: 1,
            kind: LocationKind::Definition,
        };
        self.config.apply(report, &snapshot.workload, context);
        Ok(conclusion)
    }

    /// The servers named with `--replica`, and why some could not be connected to.
    async fn replicas(&self, context: &Context) -> (Vec<Audited>, Vec<Error>) {
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for url in &self.server.replica {
            let named = ServerArgs {
                database_url: Some(url.clone()),
                ..self.server.clone()
            };
            match connect::connect(&named, Naming::Flag, context).await {
                Ok(server) => found.extend(server),
                Err(error) => failed.push(error),
            }
        }
        (found, failed)
    }

    /// Rules that were required and could not judge.
    fn blind(&self, report: &Report) -> Vec<Error> {
        let outcomes = report.rules.iter();
        let blind = outcomes.filter(|outcome| {
            outcome.status == RuleStatus::LackedInput
                && self.required.iter().any(|id| id == outcome.meta.id)
        });
        blind
            .map(|outcome| {
                let text = format!(
                    "{} is required and could not judge; it lacked {}",
                    outcome.meta.id,
                    outcome.lacked.join("; ")
                );
                Error::new(ErrorKind::Input, text)
                    .hint("pgassay doctor shows how to have the server log it")
            })
            .collect()
    }

    fn judging(&self) -> Judging {
        let file = self.config.thresholds();
        let defaults = Settings::default();
        let mut rules = selected(&self.judge.rule, self.required);
        if self.judge.rule.is_empty() {
            let is_required = |id: &str| self.required.iter().any(|required| required == id);
            rules.retain(|rule| is_required(rule.id) || !self.config.is_off(rule.id));
        }
        Judging {
            settings: Settings {
                min_repeats: self.judge.min_repeats.or(file.min_repeats),
                min_window_days: self
                    .judge
                    .min_window
                    .or(file.min_window)
                    .unwrap_or(defaults.min_window_days),
                min_calls: self.filters.min_calls.or(file.min_calls).unwrap_or(0),
                show_literals: self.show_literals,
                round_trip_ms: self.judge.rtt,
                budgets: self.config.budgets(),
            },
            rules,
            scope: scope(self.filters),
            bounds: Bounds {
                storage_budget: self
                    .judge
                    .storage_budget
                    .map(|mb| mb.saturating_mul(1_000_000)),
                max_indexes_per_table: self.judge.max_indexes_per_table,
                max_time: self.judge.max_time.map(Duration::from_secs),
                why_not: self.judge.why_not.clone(),
            },
        }
    }
}

/// The rules named, and those required; all when none is named, none with `none`.
fn selected(names: &[String], required: &[String]) -> Vec<&'static Rule> {
    let is_named = |rule: &&&'static Rule| {
        names.is_empty() || names.iter().chain(required).any(|name| name == rule.id)
    };
    RULES.iter().filter(is_named).copied().collect()
}

fn scope(filters: &FilterArgs) -> Scope {
    Scope {
        schemas: filters.schema.clone(),
        excluded_schemas: filters.exclude_schema.clone(),
        relations: filters.relation.clone(),
        fingerprints: filters.fingerprint.clone(),
    }
}

impl Conclusion {
    /// Complains about inputs that gave nothing, and says how the run ended.
    pub(super) fn outcome(&self, gate: &Gate<'_>, context: &Context) -> Outcome {
        self.complain(context);
        if self.failed.is_empty() {
            gate.outcome(&self.report)
        } else {
            Outcome::Incomplete
        }
    }

    /// Complains about inputs that gave nothing.
    pub(super) fn complain(&self, context: &Context) {
        for error in &self.failed {
            context.complain(&error.render());
        }
    }
}
