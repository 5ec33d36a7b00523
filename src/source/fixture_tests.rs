//! Logs of real servers, driven by real clients (`fixtures/logs`): each run was logged in several formats at once, which must tell the same.

use std::{collections::BTreeMap, io::Cursor};

use super::{Input, Options, Reading, read};
use crate::workload::{Event, FactKind, Origin, Outcome, PlannedBefore, Sink, Statement};

#[derive(Debug, Default, PartialEq)]
struct Told {
    statements: Vec<String>,
    facts: BTreeMap<String, u64>,
    skipped: Vec<String>,
    /// With what only the fuller prefixes have: time in milliseconds, session, transaction, query id.
    details: Vec<String>,
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Told {
    fn statement(&mut self, kind: &str, s: &Statement<'_>) {
        let failed = if s.outcome == Outcome::Finished {
            ""
        } else {
            " failed"
        };
        let parameters = match shown(s.parameters) {
            none if none.is_empty() => none,
            some => format!("  -- {some}"),
        };
        self.statements.push(format!(
            "{kind}{:?} {}@{} {:?}+{}{failed}: {}{parameters}",
            s.protocol,
            shown(s.user),
            shown(s.database),
            s.duration_us,
            s.plan_us,
            shown(s.text.decode(&mut Vec::new())),
        ));
        self.details.push(format!(
            "{} {} {} {} {}",
            s.time_us / 1000,
            shown(s.session),
            shown(s.transaction),
            shown(s.application),
            s.query_id
        ));
    }
}

impl Sink for Told {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Statement(s) => self.statement("", s),
            Event::MoreTime(s) => self.statement("more ", s),
            Event::Weighted { statement, .. } => self.statement("weighted ", statement),
            Event::Fact(fact) => {
                let kind = match fact.kind {
                    FactKind::Plan { text, .. } => format!("Plan of {}", shown(text)),
                    FactKind::Cancelled { reason, .. } => format!("Cancelled by {}", shown(reason)),
                    other => format!("{other:?}")
                        .split([' ', '{'])
                        .next()
                        .unwrap()
                        .to_owned(),
                };
                *self.facts.entry(kind).or_default() += 1;
            }
        }
    }

    fn skipped(&mut self, reason: &'static str, origin: Origin, example: &[u8]) {
        self.skipped
            .push(format!("{reason}: {}: {}", origin.line, shown(example)));
    }

    fn planned_before(&mut self, _planned: &[PlannedBefore]) {}

    fn append(&mut self, following: &mut Self) {
        let following = std::mem::take(following);
        self.statements.extend(following.statements);
        self.details.extend(following.details);
        self.skipped.extend(following.skipped);
        for (kind, n) in following.facts {
            *self.facts.entry(kind).or_default() += n;
        }
    }
}

fn told(log: &'static [u8], options: &Options) -> Reading<Told> {
    let input = Input {
        name: "fixture".to_owned(),
        reader: Box::new(Cursor::new(log)),
    };
    let reading = read(vec![input], options, 2, Told::default(), Told::default);
    assert!(reading.failures.is_empty(), "{:?}", reading.failures);
    reading
}

/// All formats of a folder tell the same; gives what they tell. Sessions that run at the same time get into each file in their own order.
#[track_caller]
fn same(logs: &[&'static [u8]]) -> Told {
    let mut told = logs.iter().map(|log| told(log, &Options::default()).sink);
    let first = told.next().unwrap();
    for other in told {
        assert_eq!(sorted(&first.statements), sorted(&other.statements));
        assert_eq!(first.facts, other.facts);
        assert_eq!(first.skipped.len(), other.skipped.len());
    }
    first
}

fn sorted(lines: &[String]) -> String {
    let mut lines = lines.to_vec();
    lines.sort();
    lines.join("\n")
}

macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!("../../fixtures/logs/", $path)).as_slice()
    };
}

#[test]
fn server_13() {
    same(&[fixture!("pg13/server.log"), fixture!("pg13/server.csv")]);
}

#[test]
fn server_15() {
    let logs = [
        fixture!("pg15/server.log"),
        fixture!("pg15/server.csv"),
        fixture!("pg15/server.json"),
    ];
    let first = same(&logs);
    for log in logs {
        let reading = told(log, &Options::default());
        assert_eq!(sorted(&reading.sink.details), sorted(&first.details));
    }
    assert_eq!(first.skipped, Vec::<String>::new());
    let facts: Vec<String> = first
        .facts
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let all = format!("{}\n\n{}", facts.join("\n"), first.statements.join("\n"));
    insta::assert_snapshot!(without_times(&all));
}

#[test]
fn servers_16_and_17() {
    same(&[fixture!("pg16/server.log"), fixture!("pg16/server.csv")]);
    same(&[fixture!("pg17/server.log"), fixture!("pg17/server.csv")]);
}

#[test]
fn server_18() {
    same(&[
        fixture!("pg18/server.log"),
        fixture!("pg18/server.csv"),
        fixture!("pg18/server.json"),
    ]);
}

/// The clients did the same on all versions.
#[test]
fn versions_agree() {
    let texts = |log| -> Vec<String> {
        let told = told(log, &Options::default()).sink;
        let texts = told.statements.iter().filter(|s| !s.contains("pgbench"));
        texts.map(|s| without_times(s)).collect()
    };
    let of_15 = texts(fixture!("pg15/server.log"));
    for other in [
        fixture!("pg13/server.log"),
        fixture!("pg16/server.log"),
        fixture!("pg17/server.log"),
        fixture!("pg18/server.log"),
    ] {
        let other = texts(other);
        assert_eq!(sorted(&of_15), sorted(&other));
    }
}

/// Statements without those of pgbench, whose calls depend on the time, and without what only some settings log.
fn calls(told: &Told) -> Vec<String> {
    let texts = told
        .statements
        .iter()
        .filter(|statement| !statement.contains("pgbench") && !statement.starts_with("more "));
    let without_parameters = texts.map(|text| match text.split_once("  -- $1 = ") {
        Some((statement, _)) => without_times(statement),
        None => without_times(text),
    });
    without_parameters.collect()
}

/// `log_statement = all` and `log_duration = on`: every duration is joined to its statement, those of parse and bind too.
#[test]
fn durations_on_lines_of_their_own() {
    let told = same(&[
        fixture!("pg15-log-statement/server.log"),
        fixture!("pg15-log-statement/server.csv"),
    ]);
    assert_eq!(told.skipped, Vec::<String>::new());
    let without_duration: Vec<&String> = told
        .statements
        .iter()
        .filter(|statement| {
            statement.contains(" None+")
                && !statement.contains(" failed:")
                && !statement.starts_with("more ")
        })
        .collect();
    assert_eq!(without_duration, Vec::<&String>::new());
    let planned = |statement: &&String| !statement.contains("+0: ") && !statement.contains("+0 ");
    let extended = told
        .statements
        .iter()
        .filter(|statement| !statement.starts_with("Simple"));
    assert!(extended.filter(planned).count() > 20);
    let by_threshold = self::told(fixture!("pg15/server.log"), &Options::default()).sink;
    assert_eq!(sorted(&calls(&told)), sorted(&calls(&by_threshold)));
}

/// `auto_explain` beside durations: an execution counts once, in every protocol, its plan is a fact.
#[test]
fn plans_beside_durations() {
    let explained = same(&[
        fixture!("pg15-auto-explain/server.log"),
        fixture!("pg15-auto-explain/server.csv"),
    ]);
    let mut facts = explained.facts.keys();
    assert!(facts.any(|fact| fact.starts_with("Plan of ")));
    let without_plans = told(fixture!("pg15/server.log"), &Options::default()).sink;
    assert_eq!(sorted(&calls(&explained)), sorted(&calls(&without_plans)));
    assert_eq!(n_calls(&explained), n_calls(&without_plans));
}

/// Executions that succeeded, those of pgbench too.
fn n_calls(told: &Told) -> usize {
    let calls = told.statements.iter();
    calls
        .filter(|statement| !statement.starts_with("more "))
        .count()
}

/// What two logs of a run tell, whatever their times and prefixes hold. Gives back what the first was found to hold of other programs.
#[track_caller]
fn same_calls(format: &str, log: &'static [u8], csv: &'static [u8]) -> Vec<String> {
    let options = Options {
        this_month: (2026, 11),
        ..Options::default()
    };
    let reading = told(log, &options);
    assert_eq!(reading.inputs[0].format, format);
    let csv = told(csv, &options).sink;
    let texts = |told: &Told| -> Vec<String> {
        let statements = told.statements.iter();
        let words = statements.map(|statement| {
            let (protocol, rest) = statement.split_once(' ').unwrap();
            let (_, rest) = rest.split_once(' ').unwrap();
            // where the wrapping leaves out the log's own tab, a statement's tab behind a line break can't be told from it
            format!("{protocol} {rest}").replace("\n\t", "\n")
        });
        words.collect()
    };
    assert_eq!(sorted(&texts(&reading.sink)), sorted(&texts(&csv)));
    assert_eq!(reading.sink.facts, csv.facts);
    let (foreign, other): (Vec<String>, Vec<String>) = (reading.sink.skipped.into_iter())
        .partition(|skip| skip.starts_with("lines or entries of other programs"));
    assert_eq!(other, Vec::<String>::new());
    foreign
}

#[test]
fn syslog_of_rsyslog() {
    let csv = fixture!("syslog/server.csv");
    same_calls("syslog/stderr", fixture!("syslog/rfc3164.log"), csv);
    same_calls("syslog/stderr", fixture!("syslog/rfc5424.log"), csv);
    same_calls("syslog/stderr", fixture!("syslog/rsyslog.log"), csv);
    same_calls("heroku/stderr", fixture!("wrapped/heroku.log"), csv);
}

#[test]
fn lines_of_other_programs_are_counted() {
    let daemon = b"Nov 22 20:36:01 host cron[77]: (root) CMD (true)\n";
    let mixed = [
        &daemon[..],
        fixture!("syslog/rfc3164.log"),
        b"no line of syslog\n",
    ]
    .concat();
    let foreign = same_calls(
        "syslog/stderr",
        Box::leak(mixed.into_boxed_slice()),
        fixture!("syslog/server.csv"),
    );
    assert_eq!(foreign.len(), 2);
    assert!(foreign[0].contains(": 1: Nov 22 20:36:01 host cron"));
}

#[test]
fn containers() {
    let csv = fixture!("wrapped/rds.csv");
    same_calls("stderr", fixture!("wrapped/rds.log"), csv);
    same_calls("docker/stderr", fixture!("wrapped/docker.log"), csv);
    same_calls("kubernetes/stderr", fixture!("wrapped/kubernetes.log"), csv);
    let foreign = same_calls(
        "cloudnativepg/jsonlog",
        fixture!("wrapped/cloudnativepg.jsonl"),
        csv,
    );
    let [webserver] = foreign.as_slice() else {
        panic!("one line of the instance manager, not {foreign:?}");
    };
    assert!(webserver.contains("Starting webserver"), "{webserver}");
    same_calls(
        "kubernetes/cloudnativepg/jsonlog",
        fixture!("wrapped/cloudnativepg-in-kubernetes.log"),
        csv,
    );
}

#[test]
fn clouds() {
    let csv = fixture!("wrapped/cloudsql.csv");
    same_calls("cloudsql/stderr", fixture!("wrapped/cloudsql.jsonl"), csv);
    same_calls("cloudsql/stderr", fixture!("wrapped/cloudsql.json"), csv);
    same_calls(
        "azure/stderr",
        fixture!("wrapped/azure.jsonl"),
        fixture!("wrapped/azure.csv"),
    );
}

#[test]
fn prefixes_are_found() {
    for (log, prefix) in [
        (fixture!("pg13/server.log"), "%m [%c] %q%u@%d/%a %v "),
        (fixture!("pg15/server.log"), "%m [%c] %q%u@%d/%a %v %Q "),
        (
            fixture!("pg15-log-statement/server.log"),
            "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
        ),
        (
            fixture!("pg15-auto-explain/server.log"),
            "%n %-12u|%12d|%p ",
        ),
    ] {
        let given = Options {
            log_line_prefix: Some(prefix.to_owned()),
            ..Options::default()
        };
        let by_given = told(log, &given).sink;
        let inferred = told(log, &Options::default());
        assert_eq!(
            inferred.sink.statements, by_given.statements,
            "{:?}",
            inferred.inputs
        );
        assert_eq!(inferred.sink.skipped, by_given.skipped);
    }
}

/// Durations differ from run to run.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        let in_time = ["Some(", ")+", "None+"]
            .iter()
            .any(|mark| out.ends_with(mark));
        if !(in_time && char.is_ascii_digit()) {
            out.push(char);
        }
    }
    out
}
