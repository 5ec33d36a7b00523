//! Real logs, damaged at random: nothing panics, nothing is read twice, and where chunks end makes no difference.

use std::{io::Cursor, sync::Arc};

use proptest::prelude::*;

use super::{FORMATS, Input, Options, WRAPPINGS, read};
use crate::workload::{Fold, Origin, Schedule, Workload};

macro_rules! log {
    ($path:literal) => {
        (
            $path,
            include_bytes!(concat!("../../fixtures/logs/", $path)).as_slice(),
        )
    };
}

/// One of each format.
const LOGS: &[(&str, &[u8])] = &[
    log!("pg13/server.log"),
    log!("pg18/server.log"),
    log!("pg15-log-statement/server.log"),
    log!("pg15-auto-explain/server.log"),
    log!("pg13/server.csv"),
    log!("pg18/server.csv"),
    log!("pg15-auto-explain/server.csv"),
    log!("pg15/server.json"),
    log!("pg18/server.json"),
    log!("syslog/rfc3164.log"),
    log!("syslog/rfc5424.log"),
    log!("syslog/rsyslog.log"),
    log!("wrapped/heroku.log"),
    log!("wrapped/cloudsql.json"),
];

/// Bytes of a log that are damaged and read in one case.
const WINDOW: usize = 12_000;

/// What files, disks and transfers do to logs.
#[derive(Debug, Clone)]
enum Damage {
    Insert(&'static [u8]),
    Cut(usize),
    Repeat(usize),
    Long(u8, usize),
    Set(u8),
    End,
    Crlf,
}

fn damage() -> impl Strategy<Value = Damage> {
    let inserted = prop::sample::select(vec![
        &b"\0"[..],
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\n",
        b"\t",
        b"\n\t",
        b"\"",
        b"\"\"",
        b"\\",
        b"\\u12",
        b"{",
        b"}",
        b",",
        b"'",
        b"$1 = ",
        b"#011",
        b" LOG:  ",
        b"duration: 99999999999999999999.9 ms  statement: ",
        b"\n2026-11-22 20:36:03.041 UTC [1] LOG:  duration: 1 ms",
        b"/*",
        b"$$",
        b"--",
    ]);
    prop_oneof![
        4 => inserted.prop_map(Damage::Insert),
        2 => (1usize..400).prop_map(Damage::Cut),
        1 => (1usize..800).prop_map(Damage::Repeat),
        1 => (any::<u8>(), 1usize..3_000).prop_map(|(byte, n)| Damage::Long(byte, n)),
        3 => any::<u8>().prop_map(Damage::Set),
        1 => Just(Damage::End),
        1 => Just(Damage::Crlf),
    ]
}

fn apply(log: &mut Vec<u8>, at: usize, damage: &Damage) {
    let at = at % (log.len() + 1);
    let end = |n: usize| (at + n).min(log.len());
    match damage {
        Damage::Insert(bytes) => drop(log.splice(at..at, bytes.iter().copied())),
        Damage::Cut(n) => drop(log.drain(at..end(*n))),
        Damage::Repeat(n) => {
            let again = log[at..end(*n)].to_vec();
            log.splice(at..at, again);
        }
        Damage::Long(byte, n) => drop(log.splice(at..at, std::iter::repeat_n(*byte, *n))),
        Damage::Set(byte) => {
            if let Some(there) = log.get_mut(at) {
                *there = *byte;
            }
        }
        Damage::End => log.truncate(at.max(1)),
        Damage::Crlf => {
            let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
            *log = lines.join(&b"\r\n"[..]);
        }
    }
}

fn folded(log: &[u8], options: &Options, n_threads: usize) -> Option<Workload> {
    folded_as(log, options, n_threads, &Arc::default())
}

/// The same of a log that is taken for a sample.
fn folded_as(
    log: &[u8],
    options: &Options,
    n_threads: usize,
    schedule: &Arc<Schedule>,
) -> Option<Workload> {
    let input = Input {
        name: "damaged.log".to_owned(),
        reader: Box::new(Cursor::new(log.to_vec())),
    };
    let reading = read(
        vec![input],
        options,
        n_threads,
        Fold::leading().sampled(schedule),
        || Fold::default().sampled(schedule),
    );
    reading
        .failures
        .is_empty()
        .then(|| reading.sink.finish(reading.inputs))
}

/// Calls and time by statement.
fn totals(workload: &Workload) -> Vec<(String, u64, u64)> {
    let of = |query: &crate::workload::Query| {
        let log = query.log.as_ref().unwrap();
        (query.text.clone(), log.n_calls, log.total_us)
    };
    workload.queries.iter().map(of).collect()
}

/// Logs that the fuzzers damaged so that chunks once made a difference.
const FOUND: &[(&str, &[u8])] = &[
    // a time that cannot be read in front of others of its minute
    (
        "stderr",
        include_bytes!("../../fuzz/found/stderr.log").as_slice(),
    ),
    (
        "pgbouncer",
        include_bytes!("../../fuzz/found/pgbouncer.log").as_slice(),
    ),
    // quotes within a field, and half a record in the middle of another
    (
        "csvlog",
        include_bytes!("../../fuzz/found/csvlog.log").as_slice(),
    ),
    (
        "cloudsql",
        include_bytes!("../../fuzz/found/wrapped.log").as_slice(),
    ),
];

#[test]
fn chunks_make_no_difference_to_what_fuzzing_found() {
    for (name, log) in FOUND {
        let options = Options {
            format: FORMATS.iter().find(|format| format.name == *name).copied(),
            wrapping: WRAPPINGS.iter().find(|wraps| wraps.name == *name).copied(),
            ..Options::default()
        };
        assert!(options.format.is_some() || options.wrapping.is_some());
        let whole = folded(log, &options, 1).map(|whole| totals(&whole));
        for chunk_bytes in (64..1_061).step_by(7) {
            let options = Options {
                chunk_bytes,
                ..options.clone()
            };
            let in_chunks = folded(log, &options, 1).map(|read| totals(&read));
            assert_eq!(whole, in_chunks, "{name} in chunks of {chunk_bytes}");
        }
    }
}

#[test]
fn chunks_make_no_difference_to_anything_that_a_log_tells() {
    for (name, log) in LOGS {
        let told = |chunk_bytes| {
            let options = Options {
                chunk_bytes,
                ..Options::default()
            };
            serde_json::to_value(folded(log, &options, 2).unwrap()).unwrap()
        };
        let whole = told(Options::default().chunk_bytes);
        for chunk_bytes in (700..6_000).step_by(530).chain([20_000]) {
            assert!(
                whole == told(chunk_bytes),
                "{name} in chunks of {chunk_bytes}"
            );
        }
    }
}

#[test]
fn chunks_make_no_difference_to_what_a_sample_stands_for() {
    let change = |line, rate: &str| {
        let origin = Origin { file: 0, line };
        (
            origin,
            "log_statement_sample_rate".to_owned(),
            rate.to_owned(),
        )
    };
    let changes = [change(30, "0.25"), change(90, "0.5")];
    let server = |name: &str| match name {
        "log_min_duration_sample" => Some("0"),
        "log_min_duration_statement" => Some("5ms"),
        _ => None,
    };
    let schedule = Arc::new(Schedule::of(server, &changes));
    let mut n_estimated = 0;
    for (name, log) in LOGS {
        let told = |chunk_bytes| {
            let options = Options {
                chunk_bytes,
                ..Options::default()
            };
            folded_as(log, &options, 2, &schedule).unwrap()
        };
        let whole = told(Options::default().chunk_bytes);
        n_estimated += whole
            .queries
            .iter()
            .filter(|q| q.n_calls() > q.n_seen())
            .count();
        let whole = serde_json::to_value(whole).unwrap();
        for chunk_bytes in [700, 4_000] {
            let in_chunks = serde_json::to_value(told(chunk_bytes)).unwrap();
            assert!(whole == in_chunks, "{name} in chunks of {chunk_bytes}");
        }
    }
    assert!(n_estimated > 50, "{n_estimated}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn any_damage_of_real_logs(
        log in prop::sample::select(LOGS.to_vec()),
        from in any::<usize>(),
        damages in prop::collection::vec((any::<usize>(), damage()), 0..6),
        chunk_bytes in 200usize..4_000,
        n_threads in 1usize..3,
        named in any::<bool>(),
    ) {
        let (name, whole) = log;
        let start = from % whole.len().saturating_sub(WINDOW).max(1);
        let start = whole[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut log = whole[start..whole.len().min(start + WINDOW)].to_vec();
        for (at, damage) in &damages {
            apply(&mut log, *at, damage);
        }
        // whoever names a format has it read by that one, whatever it is
        let forced = Options {
            format: FORMATS.get(from % FORMATS.len()).copied().filter(|_| named),
            wrapping: WRAPPINGS.get(from % WRAPPINGS.len()).copied().filter(|_| named && from % 3 == 0),
            ..Options::default()
        };
        let one = folded(&log, &forced, 1);
        let many = folded(&log, &Options { chunk_bytes, ..forced }, n_threads);
        prop_assert_eq!(one.is_some(), many.is_some(), "{}", name);
        if let (Some(one), Some(many)) = (one, many) {
            prop_assert_eq!(totals(&one), totals(&many), "{} {:?}", name, damages);
        }
    }
}
