//! Query logs: opened here, read and folded off the event loop; a file that can't be read leaves the others.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    Context, Error, ErrorKind,
    inputs::{self, Arranged, LogFile},
    path_text,
};
use crate::{
    catalog::Setting,
    cli::{FilterArgs, LogArgs},
    source::{self, FORMATS, Input, SourceError, WRAPPINGS},
    workload::{
        Event, Fact, FactKind, Fold, InputFacts, InputKind, Origin, PlannedBefore, Schedule, Sink,
        Statement, Who, Workload,
    },
};

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Logs to read, and how.
#[derive(Debug, Clone, Default)]
pub struct LogInputs {
    /// Files, folders and patterns; `-` is stdin.
    pub files: Vec<PathBuf>,
    /// `--log-format`
    pub format: Option<String>,
    /// `--log-line-prefix`
    pub prefix: Option<String>,
    /// Year and month of now, for logs whose times have no year.
    pub this_month: (i16, u8),
    /// What is left out while reading.
    pub filter: LogFilter,
    /// Settings of the server beside the logs.
    pub server_settings: Vec<Setting>,
    /// `--log-setting`
    pub given_settings: Vec<(String, String)>,
    /// What is made of it.
    pub depth: Depth,
}

/// What is made of the statements in logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// Statistics, and what repeats within a request.
    #[default]
    Repetitions,
    /// Statistics only, for who runs no rule.
    Statistics,
}

/// What is left out while reading.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Only statements of these roles; all when empty.
    pub users: Vec<String>,
    /// Only statements of these applications; all when empty.
    pub applications: Vec<String>,
    /// Only statements of these databases; all when empty.
    pub databases: Vec<String>,
    /// Nothing logged before, microseconds since the epoch.
    pub since_us: Option<i64>,
    /// Nothing logged after, microseconds since the epoch.
    pub until_us: Option<i64>,
}

/// What the logs gave.
#[derive(Debug, Default)]
pub(super) struct ReadLogs {
    pub(super) workload: Workload,
    /// Files that gave something.
    pub(super) n_read: usize,
    /// Files that gave nothing.
    pub(super) failed: Vec<Error>,
    /// Files that were left out, and why.
    pub(super) notes: Vec<String>,
}

impl LogInputs {
    /// What the command line says.
    ///
    /// # Errors
    /// When `--since` or `--until` is no time.
    pub(super) fn of(
        files: &[PathBuf],
        log: &LogArgs,
        filters: &FilterArgs,
        context: &Context,
    ) -> Result<Self, Error> {
        let time = |flag: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => time(text, context.now)
                .map(|time| Some(time.as_microsecond()))
                .ok_or_else(|| no_time(flag, text)),
        };
        Ok(Self {
            files: files.to_vec(),
            format: log.log_format.clone(),
            prefix: log.log_line_prefix.clone(),
            this_month: this_month(context.now),
            filter: LogFilter {
                users: filters.user.clone(),
                applications: filters.application.clone(),
                databases: filters.database.clone(),
                since_us: time("--since", &log.since)?,
                until_us: time("--until", &log.until)?,
            },
            server_settings: Vec::new(),
            given_settings: log.log_setting.clone(),
            depth: Depth::default(),
        })
    }
}

impl LogInputs {
    /// A setting with which the logs were written, as far as is known from elsewhere.
    fn setting(&self, name: &str) -> Option<&str> {
        let mut given = self.given_settings.iter().rev();
        let given = given.find(|(given, _)| given == name);
        let mut server = self.server_settings.iter();
        let given = given.map(|(_, value)| value);
        let setting = given.or_else(|| Some(&server.find(|setting| setting.name == name)?.value));
        setting.map(String::as_str)
    }
}

fn no_time(flag: &str, text: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{flag} {text:?} is no time"))
        .hint("write 2026-11-22T10:00:00Z, '2026-11-22 10:00' for local time, or an age such as 2h")
}

fn this_month(now: Timestamp) -> (i16, u8) {
    let today = now.to_zoned(TimeZone::system());
    (today.year(), today.month().unsigned_abs())
}

/// RFC 3339, a local date and time, or an age.
fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(local) = text.parse::<DateTime>() {
        return Some(local.to_zoned(TimeZone::system()).ok()?.timestamp());
    }
    let age: SignedDuration = text.parse().ok()?;
    now.checked_sub(age).ok()
}

/// Reads the logs and folds them, on threads of their own.
pub(super) async fn read(logs: LogInputs, context: &Context) -> ReadLogs {
    if logs.files.is_empty() {
        return ReadLogs::default();
    }
    let n_read = Arc::new(AtomicU64::new(0));
    let found = inputs::expand(&logs.files);
    let bar = context.byte_bar("reading logs", n_bytes(&found.files));
    let mut reading = tokio::task::spawn_blocking({
        let n_read = Arc::clone(&n_read);
        move || read_now(&logs, found, &n_read)
    });
    loop {
        tokio::select! {
            done = &mut reading => {
                return done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            }
            () = tokio::time::sleep(TICK) => bar.at(n_read.load(Relaxed)),
        }
    }
}

/// Bytes on disk of the files whose size is known.
fn n_bytes(files: &[LogFile]) -> u64 {
    let sizes = files
        .iter()
        .filter_map(|file| fs::metadata(&file.path).ok());
    sizes.map(|facts| facts.len()).sum()
}

fn read_now(logs: &LogInputs, found: Arranged, n_read: &Arc<AtomicU64>) -> ReadLogs {
    let options = match options(logs) {
        Ok(options) => options,
        Err(error) => {
            return ReadLogs {
                failed: vec![error],
                ..ReadLogs::default()
            };
        }
    };
    let uncounted = Arc::default();
    let Arranged {
        files,
        mut failed,
        mut notes,
    } = found.in_order(&options, |path| input(path, &uncounted));
    let filters = logs.filter.filters();
    let folding = Folding {
        files: &files,
        options: &options,
        filter: &Arc::new(logs.filter.clone()),
        depth: logs.depth,
        n_read,
    };
    let (mut workload, failures) = folding.run_knowing(logs, &mut notes);
    for input in workload
        .inputs
        .iter_mut()
        .filter(|input| input.kind == InputKind::Log)
    {
        // what the log tells comes later, and holds
        let settings = &mut input.coverage.settings;
        settings.splice(0..0, logs.given_settings.iter().cloned());
    }
    let unreadable: BTreeSet<usize> = failures.iter().map(|(at, _)| *at).collect();
    let n_unread = unreadable.len();
    failed.extend(failures.into_iter().map(|(_, error)| error.into()));
    let mut n_silent = 0;
    if !filters {
        let silent = Silent::among(&files, &workload.inputs, &unreadable);
        n_silent = silent.failed.len();
        failed.extend(silent.failed);
        notes.extend(silent.note);
    }
    ReadLogs {
        n_read: files.len() - (n_unread + n_silent).min(files.len()),
        workload,
        failed,
        notes,
    }
}

/// Logs, and how they are folded.
struct Folding<'a> {
    files: &'a [LogFile],
    options: &'a source::Options,
    filter: &'a Arc<LogFilter>,
    depth: Depth,
    n_read: &'a Arc<AtomicU64>,
}

impl Folding<'_> {
    /// With what is known of the settings with which the logs were written. Where the logs tell that these changed, and that concerns what executions
    /// stand for, they are read again, knowing when.
    fn run_knowing(
        &self,
        logs: &LogInputs,
        notes: &mut Vec<String>,
    ) -> (Workload, Vec<(usize, SourceError)>) {
        let known = Schedule::of(|name| logs.setting(name), &[]);
        let (workload, failures) = self.run(&known);
        let covers = workload.inputs.iter().map(|input| &input.coverage);
        let changes: Vec<_> = covers.flat_map(|cover| cover.changes.clone()).collect();
        let told = Schedule::of(|name| logs.setting(name), &changes);
        if told == known || !(told.samples() || known.samples()) {
            return (workload, failures);
        }
        if self.files.iter().all(|file| file.path.is_file()) {
            return self.run(&told);
        }
        let why = "what is logged was changed within the log: calls and times are reckoned as if it had not been, since the log can't be read twice; give a file, or --since";
        notes.push(why.to_owned());
        (workload, failures)
    }

    fn run(&self, schedule: &Schedule) -> (Workload, Vec<(usize, SourceError)>) {
        let schedule = Arc::new(schedule.clone());
        let fold = |fold: Fold| {
            let fold = fold.sampled(&schedule);
            match self.depth {
                Depth::Repetitions => fold,
                Depth::Statistics => fold.without_windows(),
            }
        };
        let files = self.files.iter();
        let inputs = files.map(|file| input(&file.path, self.n_read)).collect();
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        let sink = Filtered::new(fold(Fold::leading()), self.filter);
        let following = || Filtered::new(fold(Fold::default()), self.filter);
        let reading = source::read(inputs, self.options, n_threads, sink, following);
        let workload = reading.sink.inner.finish(reading.inputs);
        (workload, reading.failures)
    }
}

/// Logs without a statement.
#[derive(Debug, Default)]
struct Silent {
    failed: Vec<Error>,
    note: Option<String>,
}

impl Silent {
    /// A log that was named must hold something. One of a rotated set may not: a night, a file just begun; then the set must.
    fn among(files: &[LogFile], inputs: &[InputFacts], unreadable: &BTreeSet<usize>) -> Self {
        let set = |file: &LogFile| match &file.found_by {
            Some(found_by) => found_by.clone(),
            None => inputs::set_of(&file.path),
        };
        let told = |input: &InputFacts| {
            let seen = &input.coverage;
            {
                let connections = seen.n_connected + seen.n_disconnected + seen.n_refused;
                input.n_statements + connections + seen.n_pooler > 0
            }
        };
        let both = || files.iter().zip(inputs);
        let telling: BTreeSet<String> = both()
            .filter(|(_, input)| told(input))
            .map(|(file, _)| set(file))
            .collect();
        let mut silent = Self::default();
        let mut in_sets = Vec::new();
        for (at, (file, input)) in both().enumerate() {
            if told(input) || unreadable.contains(&at) {
                continue;
            }
            if telling.contains(&set(file)) {
                in_sets.push(&input.name);
            } else {
                silent.failed.push(without_statements(&input.name));
            }
        }
        silent.note = in_sets.first().map(|first| {
            format!(
                "{} of the logs hold no statement, {first} is one",
                in_sets.len()
            )
        });
        silent
    }
}

/// A log that holds none must not pass for one without findings.
fn without_statements(name: &str) -> Error {
    Error::new(ErrorKind::Input, format!("{name} holds no statement")).hint(
        "log them: log_min_duration_statement = 0 on the server, or for the role; a threshold logs slow statements only",
    )
}

fn options(logs: &LogInputs) -> Result<source::Options, Error> {
    let named = logs.format.as_deref();
    let format = named.and_then(|name| FORMATS.iter().find(|format| format.name == name));
    let wrapping = named.and_then(|name| WRAPPINGS.iter().find(|wrapping| wrapping.name == name));
    if let Some(name) = named
        && format.is_none()
        && wrapping.is_none()
    {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("no log format is called {name:?}"),
        ));
    }
    Ok(source::Options {
        format: format.copied(),
        wrapping: wrapping.copied(),
        this_month: logs.this_month,
        log_line_prefix: logs.prefix.clone(),
        since_us: logs.filter.since_us,
        until_us: logs.filter.until_us,
        ..source::Options::default()
    })
}

fn input(path: &Path, n_read: &Arc<AtomicU64>) -> Input {
    let reader: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(LazyFile {
            path: path.to_owned(),
            file: None,
            n_read: Arc::clone(n_read),
        })
    };
    Input {
        name: path_text(path),
        reader,
    }
}

/// A file that is opened when it is read first: a thousand logs need not be open at once. Counts what is read, for the progress bar.
struct LazyFile {
    path: PathBuf,
    file: Option<fs::File>,
    n_read: Arc<AtomicU64>,
}

impl Read for LazyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(fs::File::open(&self.path)?),
        };
        let n = file.read(buffer)?;
        self.n_read.fetch_add(n as u64, Relaxed);
        Ok(n)
    }
}

/// Leaves out statements of other roles and applications on their way into the fold.
struct Filtered<S> {
    inner: S,
    filter: Arc<LogFilter>,
}

impl<S> Filtered<S> {
    fn new(inner: S, filter: &Arc<LogFilter>) -> Self {
        Self {
            inner,
            filter: Arc::clone(filter),
        }
    }
}

impl<S: Sink> Sink for Filtered<S> {
    fn event(&mut self, event: &Event<'_>) {
        let wanted = match event {
            Event::Statement(statement)
            | Event::MoreTime(statement)
            | Event::Weighted { statement, .. } => self.filter.wants(statement),
            Event::Fact(fact) => self.filter.wants_fact(fact),
        };
        if wanted {
            self.inner.event(event);
        }
    }

    fn skipped(&mut self, reason: &'static str, origin: Origin, example: &[u8]) {
        self.inner.skipped(reason, origin, example);
    }

    fn planned_before(&mut self, planned: &[PlannedBefore]) {
        self.inner.planned_before(planned);
    }

    fn append(&mut self, following: &mut Self) {
        self.inner.append(&mut following.inner);
    }
}

impl LogFilter {
    /// Something may be left out.
    fn filters(&self) -> bool {
        self.names_somebody() || self.since_us.is_some() || self.until_us.is_some()
    }

    fn names_somebody(&self) -> bool {
        !self.users.is_empty() || !self.applications.is_empty() || !self.databases.is_empty()
    }

    fn wants(&self, statement: &Statement<'_>) -> bool {
        is_among(&self.users, statement.user)
            && is_among(&self.applications, statement.application)
            && is_among(&self.databases, statement.database)
    }

    /// What is the whole server's, and a client that is not known yet, belongs to everybody.
    fn wants_fact(&self, fact: &Fact<'_>) -> bool {
        let who = match fact.kind {
            _ if !self.names_somebody() => return true,
            FactKind::Received
            | FactKind::Setting { .. }
            | FactKind::Checkpoint { .. }
            | FactKind::Autovacuum { .. } => return true,
            FactKind::Connected { who } | FactKind::Disconnected { who, .. } => who,
            _ => Who::default(),
        };
        let told = |in_message, in_prefix| match in_message {
            told if Who::is_known(told) => told,
            _ => in_prefix,
        };
        is_among(&self.users, told(who.user, fact.user))
            && is_among(&self.applications, told(who.application, fact.application))
            && is_among(&self.databases, told(who.database, fact.database))
    }
}

/// Is the name one of those asked for? All are when none is asked for.
fn is_among(names: &[String], name: &[u8]) -> bool {
    names.is_empty() || names.iter().any(|wanted| wanted.as_bytes() == name)
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        let hint = error.hint();
        Self::new(ErrorKind::Input, error.to_string())
            .because(error)
            .hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_ages() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-22T10:00:00Z", Some("2026-11-22T10:00:00Z")),
            ("2h", Some("2026-11-22T10:00:00Z")),
            ("1h 30m", Some("2026-11-22T10:30:00Z")),
            ("yesterday", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse::<Timestamp>().unwrap());
            assert_eq!(time(text, now), expected, "{text}");
        }
        assert!(time("2026-11-22 10:00", now).is_some());
    }
}
