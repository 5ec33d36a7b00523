//! Whole inputs through [`read`]: what comes out, whatever the format, the chunks and the threads.

use std::collections::BTreeMap;
use std::io::Cursor;

use proptest::prelude::*;

use super::{Input, Options, Reading, read};
use crate::workload::{Event, FactKind, Origin, Outcome, PlannedBefore, Protocol, Sink};

/// Keeps events as lines of text.
#[derive(Debug, Default, Clone, PartialEq)]
struct Collected {
    events: Vec<String>,
    /// Calls, duration and planning time by text: does not depend on where chunks end.
    totals: BTreeMap<String, (u64, u64, u64)>,
    skipped: BTreeMap<&'static str, (u64, u64)>,
}

impl Sink for Collected {
    fn event(&mut self, event: &Event<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match event {
            Event::Statement(s) | Event::MoreTime(s) => {
                let mut scratch = Vec::new();
                let sql = text(s.text.decode(&mut scratch));
                let call = matches!(event, Event::Statement(_));
                let total = self.totals.entry(sql.clone()).or_default();
                total.0 += u64::from(call);
                total.1 += s.duration_us.unwrap_or(0);
                total.2 += s.plan_us;
                let failed = match s.outcome {
                    Outcome::Finished => "",
                    Outcome::Failed(_) => " failed",
                };
                let protocol = match s.protocol {
                    Protocol::Simple => "",
                    Protocol::Unnamed => " unnamed",
                    Protocol::Named => " named",
                };
                let duration = s.duration_us.map_or("-".to_owned(), |us| us.to_string());
                self.events.push(format!(
                    "{}{} {} [{}] {duration}+{}{protocol}{failed} {} ({})",
                    s.origin.line,
                    if call { "" } else { " more" },
                    text(s.user),
                    text(s.session),
                    s.plan_us,
                    sql,
                    text(s.parameters),
                ));
            }
            Event::Weighted { statement, n_calls } => self
                .events
                .push(format!("{n_calls}x {}", text(statement.text.raw()))),
            Event::Fact(fact) => {
                let kind = match fact.kind {
                    FactKind::Plan { text: query, .. } => format!("plan of {}", text(query)),
                    other => format!("{other:?}")
                        .split([' ', '{'])
                        .next()
                        .unwrap()
                        .to_owned(),
                };
                self.events
                    .push(format!("{} fact {kind}", fact.origin.line));
            }
        }
    }

    fn skipped(&mut self, reason: &'static str, origin: Origin, _example: &[u8]) {
        self.skipped.entry(reason).or_insert((0, origin.line)).0 += 1;
    }

    fn planned_before(&mut self, _planned: &[PlannedBefore]) {}

    fn append(&mut self, following: &mut Self) {
        let following = std::mem::take(following);
        self.events.extend(following.events);
        for (text, (n, us, plan_us)) in following.totals {
            let total = self.totals.entry(text).or_default();
            *total = (total.0 + n, total.1 + us, total.2 + plan_us);
        }
        for (reason, (n, line)) in following.skipped {
            self.skipped.entry(reason).or_insert((0, line)).0 += n;
        }
    }
}

fn reading(log: &[u8], options: &Options, n_threads: usize) -> Reading<Collected> {
    let input = Input {
        name: "test.log".to_owned(),
        reader: Box::new(Cursor::new(log.to_vec())),
    };
    read(
        vec![input],
        options,
        n_threads,
        Collected::default(),
        Collected::default,
    )
}

fn events(log: &str) -> Vec<String> {
    let reading = reading(log.as_bytes(), &Options::default(), 1);
    assert!(reading.failures.is_empty(), "{:?}", reading.failures);
    reading.sink.events
}

/// Lines with a usual prefix; `PID message`.
fn log(lines: &[&str]) -> String {
    let prefixed = lines.iter().map(|line| {
        let (pid, message) = line.split_once(' ').unwrap();
        let message = message.replace('\n', "\n\t");
        format!("2026-11-22 20:36:03.041 UTC [{pid}] u@d {message}\n")
    });
    prefixed.collect()
}

#[test]
fn simple_statements_with_durations() {
    assert_eq!(
        events(&log(&[
            "7 LOG:  duration: 0.139 ms  statement: select 'a\n\tb'",
            "7 LOG:  duration: 1 ms  statement: select 2",
        ])),
        [
            "1 u [7] 139+0 select 'a\n\tb' ()",
            "3 u [7] 1000+0 select 2 ()",
        ]
    );
}

#[test]
fn an_extended_execution_counts_once() {
    assert_eq!(
        events(&log(&[
            "7 LOG:  duration: 0.1 ms  parse <unnamed>: select $1",
            "7 LOG:  duration: 0.02 ms  bind <unnamed>: select $1",
            "7 DETAIL:  Parameters: $1 = 'x'",
            "7 LOG:  duration: 0.003 ms  execute <unnamed>: select $1",
            "7 DETAIL:  parameters: $1 = 'x'",
            "7 LOG:  duration: 0.5 ms  execute fetch from <unnamed>: select $1",
            "7 LOG:  duration: 0.1 ms  parse S_1: select $2",
        ])),
        [
            "4 u [7] 3+120 unnamed select $1 ($1 = 'x')",
            "6 more u [7] 500+0 unnamed select $1 ()",
            "7 more u [7] -+100 named select $2 ()",
        ]
    );
}

#[test]
fn bare_durations_join_their_statement() {
    assert_eq!(
        events(&log(&[
            "7 LOG:  statement: select 1",
            "8 LOG:  statement: select 2",
            "7 LOG:  duration: 1 ms",
            "7 LOG:  duration: 9 ms",
            "8 LOG:  statement: select 3",
            "8 LOG:  execute S_1: select $1",
            "8 DETAIL:  parameters: $1 = '5'",
            "8 LOG:  duration: 2 ms",
        ])),
        [
            "1 u [7] 1000+0 select 1 ()",
            "2 u [8] -+0 select 2 ()",
            "5 u [8] -+0 select 3 ()",
            "6 u [8] 2000+0 named select $1 ($1 = '5')",
        ]
    );
}

#[test]
fn errors_name_the_statement_that_failed() {
    assert_eq!(
        events(&log(&[
            "7 LOG:  statement: select 1/0",
            "7 ERROR:  22012: division by zero",
            "7 STATEMENT:  select 1/0",
            "7 ERROR:  canceling statement due to statement timeout",
            "7 CONTEXT:  unnamed portal with parameters: $1 = '0'",
            "7 STATEMENT:  select $1",
        ])),
        [
            "2 u [7] -+0 failed select 1/0 ()",
            "4 fact Cancelled",
            "4 u [7] -+0 unnamed failed select $1 ($1 = '0')",
        ]
    );
}

#[test]
fn plans_are_no_executions_of_their_own() {
    let plan = "LOG:  duration: 0.2 ms  plan:\nQuery Text: select 1\nResult  (cost=0.00..0.01 rows=1 width=4)";
    assert_eq!(
        events(&log(&[
            &format!("7 {plan}"),
            "7 LOG:  duration: 0.7 ms  statement: select 1",
            &format!("7 {plan}"),
            &format!("7 {plan}"),
            "7 LOG:  statement: select 1",
            &format!("7 {plan}"),
            "7 LOG:  duration: 0.9 ms",
        ])),
        [
            "1 fact plan of select 1",
            "4 u [7] 700+0 select 1 ()",
            "5 fact plan of select 1",
            "8 fact plan of select 1",
            "8 u [7] 200+0 select 1 ()",
            "12 fact plan of select 1",
            "11 u [7] 900+0 select 1 ()",
        ]
    );
}

#[test]
fn sql_level_execute_is_the_prepared_statement() {
    assert_eq!(
        events(&log(&[
            "7 LOG:  duration: 0.2 ms  statement: execute p(5, 'x')",
            "7 DETAIL:  prepare: prepare p(int, text) as select $1, $2",
        ])),
        ["1 u [7] 200+0 named select $1, $2 ($1 = '5', $2 = 'x')"]
    );
}

#[test]
fn three_formats_tell_the_same() {
    let stderr = "2026-11-22 20:36:03.041 UTC [6738f3a1.2005] u@d psql 3/7 -5 LOG:  duration: 0.139 ms  execute S_1: select \"a\"\n\t, $1\n\
                  2026-11-22 20:36:03.041 UTC [6738f3a1.2005] u@d psql 3/7 -5 DETAIL:  parameters: $1 = 'x'\n";
    let csv = "2026-11-22 20:36:03.041 UTC,\"u\",\"d\",8197,\"[local]\",6738f3a1.2005,1,\"SELECT\",2026-11-22 20:36:01 UTC,3/7,0,LOG,00000,\
               \"duration: 0.139 ms  execute S_1: select \"\"a\"\"\n, $1\",\"parameters: $1 = 'x'\",,,,,,,,\"psql\",\"client backend\",,-5\n";
    let json = "{\"timestamp\":\"2026-11-22 20:36:03.041 UTC\",\"user\":\"u\",\"dbname\":\"d\",\"pid\":8197,\"session_id\":\"6738f3a1.2005\",\
                \"vxid\":\"3/7\",\"error_severity\":\"LOG\",\"message\":\"duration: 0.139 ms  execute S_1: select \\\"a\\\"\\n, $1\",\
                \"detail\":\"parameters: $1 = 'x'\",\"application_name\":\"psql\",\"query_id\":-5}\n";
    let expected = ["1 u [6738f3a1.2005] 139+0 named select \"a\"\n, $1 ($1 = 'x')"];
    for log in [stderr, csv, json] {
        assert_eq!(events(log), expected);
    }
}

#[test]
fn plain_sql_with_weights() {
    assert_eq!(
        events("-- calls: 12, mean_time_ms: 0.5\nselect 1;\n\nselect ';' from t -- x\n;"),
        ["12x select 1", "1x select ';' from t -- x"]
    );
}

#[test]
fn what_cannot_be_used_is_counted_with_its_line() {
    let text = format!(
        "rest of a line\n{}foreign text\n{}2026-11-22 20:36:03.041 UTC [7] u@d LOG:  duration: 1 ms  statement: sel",
        log(&["7 DETAIL:  x"]),
        log(&["7 LOG:  duration: 1 ms  statement: select 1"]),
    );
    let reading = reading(text.as_bytes(), &Options::default(), 1);
    assert_eq!(reading.sink.events, ["4 u [7] 1000+0 select 1 ()"]);
    let skipped: Vec<_> = reading.sink.skipped.values().copied().collect();
    assert_eq!(skipped, [(1, 5), (2, 1), (1, 2)]);
}

#[test]
fn a_restart_may_change_the_prefix() {
    let mut text = log(&["7 LOG:  duration: 1 ms  statement: select 1"]).repeat(3);
    text += "1795379763.041 6738f3a1.2005 LOG:  duration: 2 ms  statement: select 2\n";
    text += &log(&["8 LOG:  duration: 3 ms  statement: select 3"]);
    assert_eq!(
        events(&text)[3..],
        [
            "4  [6738f3a1.2005] 2000+0 select 2 ()",
            "5 u [8] 3000+0 select 3 ()"
        ]
    );
}

#[test]
fn inputs_that_are_no_logs_say_so_and_leave_the_others_alone() {
    let input = |name: &str, bytes: &[u8]| Input {
        name: name.to_owned(),
        reader: Box::new(Cursor::new(bytes.to_vec())),
    };
    let good = log(&["7 LOG:  duration: 1 ms  statement: select 1"]);
    let inputs = vec![
        input("empty", b""),
        input("good", good.as_bytes()),
        input("binary", b"\x7fELF\0\0"),
        input("text", b"hello\nworld\n"),
        input(
            "portuguese",
            "[7] LOG:  duração: 1 ms  comando: select 1\n".as_bytes(),
        ),
        input("gzip", b"\x1f\x8b\x08garbage"),
    ];
    let reading = read(
        inputs,
        &Options::default(),
        2,
        Collected::default(),
        Collected::default,
    );
    assert_eq!(reading.sink.events, ["1 u [7] 1000+0 select 1 ()"]);
    let failures: Vec<String> = reading
        .failures
        .iter()
        .map(|(n, error)| format!("{n} {error}"))
        .collect();
    insta::assert_snapshot!(failures.join("\n"));
    assert_eq!(reading.inputs.len(), 6);
    assert_eq!(reading.inputs[1].format, "stderr");
}

#[test]
fn a_window_of_time() {
    let options = Options {
        since_us: Some(1_795_379_763_041_001),
        ..Options::default()
    };
    let text = log(&["7 LOG:  duration: 1 ms  statement: select 1"]);
    assert!(reading(text.as_bytes(), &options, 1).sink.events.is_empty());
}

#[test]
fn records_beyond_all_bounds_are_cut() {
    let long = "x".repeat(25 << 20);
    let text = log(&[
        "7 LOG:  duration: 1 ms  statement: select 1",
        &format!("7 LOG:  duration: 2 ms  statement: select '{long}'"),
        "7 LOG:  duration: 3 ms  statement: select 3",
    ]);
    let reading = reading(text.as_bytes(), &Options::default(), 2);
    assert_eq!(reading.sink.events.len(), 3);
    assert!(reading.sink.events[2].starts_with("3 u [7] 3000"));
    assert_eq!(
        reading.sink.skipped.values().copied().collect::<Vec<_>>(),
        [(1, 2)]
    );
}

/// Messages that depend on each other in every way.
fn messages() -> impl Strategy<Value = Vec<String>> {
    let message = (0..3u8, 0..14u8, 0..3u8).prop_map(|(pid, kind, text)| {
        let message = match kind {
            0 | 1 => format!("LOG:  statement: select {text}"),
            2 | 3 => format!("LOG:  duration: {text} ms"),
            4 => format!("LOG:  duration: 0.5 ms  statement: select\n {text}"),
            5 => format!("LOG:  duration: 0.1 ms  parse <unnamed>: select {text}"),
            6 => format!("LOG:  duration: 0.2 ms  bind <unnamed>: select {text}"),
            7 => format!("LOG:  duration: 0.3 ms  execute <unnamed>: select {text}"),
            8 => format!("ERROR:  x\n2026-11-22 20:36:03.041 UTC [7{pid}] u@d STATEMENT:  select {text}"),
            9 => format!("LOG:  duration: 7 ms  plan:\nQuery Text: select {text}\nResult  (cost=0.00..0.01 rows=1 width=4)"),
            12 => format!("LOG:  execute <unnamed>: select {text}"),
            13 => format!("LOG:  duration: 0.4 ms  plan:\nQuery Text: select 1; select {text}\nResult  (cost=0.00..0.01 rows=1 width=4)"),
            10 => "LOG:  disconnection: session time: 0:00:00.835 user=u database=d host=[local]".to_owned(),
            _ => "LOG:  execute fetch from S_1/C_1: select 1".to_owned(),
        };
        format!("7{pid} {message}")
    });
    proptest::collection::vec(message, 1..40)
}

proptest! {
    #[test]
    fn any_chunking_tells_the_same(messages in messages(), chunk_bytes in 1usize..600, n_threads in 1usize..4) {
        let lines: Vec<&str> = messages.iter().map(String::as_str).collect();
        let text = log(&lines).replace("\n\t2026", "\n2026");
        let whole = reading(text.as_bytes(), &Options::default(), 1);
        let options = Options { chunk_bytes, ..Options::default() };
        let cut = reading(text.as_bytes(), &options, n_threads);
        prop_assert_eq!(&whole.sink.totals, &cut.sink.totals);
        let counts = |sink: &Collected| -> Vec<_> { sink.skipped.iter().map(|(reason, (n, _))| (*reason, *n)).collect() };
        prop_assert_eq!(counts(&whole.sink), counts(&cut.sink));
        let one_thread = reading(text.as_bytes(), &options, 1);
        prop_assert_eq!(one_thread.sink, cut.sink);
    }

    #[test]
    fn any_bytes(log: Vec<u8>, chunk_bytes in 1usize..100) {
        let options = Options { chunk_bytes, ..Options::default() };
        let _ = reading(&log, &options, 2);
    }

    #[test]
    fn any_damage(messages in messages(), damage in proptest::collection::vec((0usize..2_000, any::<u8>()), 0..6), chunk_bytes in 1usize..600) {
        let lines: Vec<&str> = messages.iter().map(String::as_str).collect();
        let mut bytes = log(&lines).into_bytes();
        for (at, byte) in damage {
            let len = bytes.len();
            bytes[at % len] = byte;
        }
        let options = Options { chunk_bytes, ..Options::default() };
        let _ = reading(&bytes, &options, 2);
    }
}

/// Seen on a pgbench server's log: a line of the stderr format with as many commas as csvlog has columns.
#[test]
fn commas_do_not_make_a_csv_log() {
    for n in 20..30 {
        let list = vec!["1"; n].join(", ");
        let log = format!(
            "2026-11-22 23:54:59.118 UTC [32730] u@d/app LOG:  duration: 0.040 ms  statement: SELECT {list}\n"
        );
        let input = Input {
            name: "a.log".to_owned(),
            reader: Box::new(Cursor::new(log.into_bytes())),
        };
        let reading = read(
            vec![input],
            &Options::default(),
            1,
            Collected::default(),
            Collected::default,
        );
        assert_eq!(reading.inputs[0].format, "stderr", "{n} columns");
        assert_eq!(reading.sink.events.len(), 1);
    }
}
