//! Laws of what is kept beside statements, and what becomes of small lives of sessions.

use proptest::prelude::*;

use super::{
    Event, Fact, FactKind, Fold, InputFacts, Origin, Protocol, Sink, Statement, Who, Workload,
};

const START: i64 = 1_700_000_000_000_000;

/// One line of a made-up log.
#[derive(Debug, Clone)]
struct Line {
    session: u8,
    at_ms: i64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Received,
    Opened,
    Closed(u64),
    Run {
        text: &'static str,
        name: u32,
        parsed: bool,
        value: u8,
        ms: u64,
        transaction: u8,
    },
    Prepared(u32),
    TooMany,
    Cancelled,
    Waited(u64),
    TempFile(u64),
    Vacuum(u64),
}

fn run(session: u8, at_ms: i64, text: &'static str) -> Line {
    let what = What::Run {
        text,
        name: 0,
        parsed: false,
        value: 0,
        ms: 1,
        transaction: 0,
    };
    Line {
        session,
        at_ms,
        what,
    }
}

fn opened(session: u8, at_ms: i64) -> Line {
    Line {
        session,
        at_ms,
        what: What::Opened,
    }
}

fn closed(session: u8, at_ms: i64, session_ms: u64) -> Line {
    Line {
        session,
        at_ms,
        what: What::Closed(session_ms),
    }
}

fn feed(fold: &mut Fold, lines: &[Line], first: usize) {
    for (at, line) in lines.iter().enumerate() {
        let origin = Origin {
            file: 0,
            line: (first + at) as u64 + 1,
        };
        feed_one(fold, line, origin);
    }
}

fn feed_one(fold: &mut Fold, line: &Line, origin: Origin) {
    let session = format!("s{}", line.session);
    let time_us = START + line.at_ms * 1000;
    let who = Who {
        user: b"app",
        database: b"shop",
        application: if line.session.is_multiple_of(2) {
            b"web"
        } else {
            b""
        },
    };
    let text: &[u8] = b"select * from t where a = 7 order by b";
    let kind = match line.what {
        What::Received => FactKind::Received,
        What::Opened => FactKind::Connected { who },
        What::Closed(ms) => FactKind::Disconnected {
            session_us: ms * 1000,
            who,
        },
        What::TooMany => FactKind::TooManyClients,
        What::Cancelled => FactKind::Cancelled {
            reason: b"statement timeout",
            text,
        },
        What::Waited(ms) => FactKind::LockWait {
            waited_us: ms * 1000,
            acquired: true,
            text,
        },
        What::TempFile(bytes) => FactKind::TempFile { bytes, text },
        What::Vacuum(ms) => FactKind::Autovacuum {
            relation: b"shop.public.t",
            analyze: ms.is_multiple_of(2),
            elapsed_us: ms * 1000,
        },
        What::Prepared(name) => {
            fold.event(&Event::MoreTime(Statement {
                session: session.as_bytes(),
                text: b"select * from t where a = $1"[..].into(),
                time_us,
                plan_us: 70,
                n_parses: 1,
                name,
                ..Statement::default()
            }));
            return;
        }
        What::Run {
            text,
            name,
            parsed,
            value,
            ms,
            transaction,
        } => {
            let parameters = format!("$1 = '{value}'");
            let transaction = format!("3/{transaction}");
            fold.event(&Event::Statement(Statement {
                origin,
                session: session.as_bytes(),
                user: b"app",
                database: b"shop",
                application: b"web",
                text: text.as_bytes().into(),
                parameters: if name == 0 {
                    b""
                } else {
                    parameters.as_bytes()
                },
                protocol: if name == 0 {
                    Protocol::Simple
                } else {
                    Protocol::Named
                },
                transaction: transaction.as_bytes(),
                time_us,
                duration_us: Some(ms * 1000),
                plan_us: 50,
                n_parses: u32::from(parsed),
                name,
                ..Statement::default()
            }));
            return;
        }
    };
    fold.event(&Event::Fact(Fact {
        origin,
        time_us,
        session: session.as_bytes(),
        user: b"[unknown]",
        database: b"",
        application: b"",
        kind,
    }));
}

fn whole(lines: &[Line]) -> Workload {
    let mut fold = Fold::leading();
    feed(&mut fold, lines, 0);
    fold.finish(vec![InputFacts::default()])
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn any_what() -> impl Strategy<Value = What> {
    let texts = prop::sample::select(vec![
        "begin",
        "commit",
        "rollback to savepoint a",
        "select * from t where a = $1",
        "select * from t where a = 5",
        "select * from t where a = 6",
        "update t set b = 1",
    ]);
    let run = (
        texts,
        0_u32..3,
        any::<bool>(),
        0_u8..3,
        0_u64..9_000,
        0_u8..3,
    )
        .prop_map(|(text, name, parsed, value, ms, transaction)| What::Run {
            text,
            name,
            parsed: parsed && name != 0 && ms % 5 == 0,
            value,
            ms,
            transaction,
        });
    prop_oneof![
        12 => run,
        1 => Just(What::Received),
        1 => Just(What::Opened),
        1 => (0_u64..5_000).prop_map(What::Closed),
        1 => (1_u32..3).prop_map(What::Prepared),
        1 => Just(What::TooMany),
        1 => Just(What::Cancelled),
        1 => (0_u64..5_000).prop_map(What::Waited),
        1 => (0_u64..5_000).prop_map(What::TempFile),
        1 => (0_u64..5_000).prop_map(What::Vacuum),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_chunking_equals_one_pass(lines in prop::collection::vec((0_u8..4, 0_i64..7_000, any_what()), 0..150), a in 0_usize..150, b in 0_usize..150) {
        let mut now = 0;
        let lines: Vec<Line> = lines.into_iter().map(|(session, gap, what)| {
            now += gap;
            Line { session, at_ms: now, what }
        }).collect();
        let (a, b) = (a.min(b).min(lines.len()), a.max(b).min(lines.len()));
        let expected = whole(&lines);
        let mut fold = Fold::leading();
        feed(&mut fold, &lines[..a], 0);
        for (part, first) in [(&lines[a..b], a), (&lines[b..], b)] {
            let mut following = Fold::default();
            feed(&mut following, part, first);
            fold.append(&mut following);
        }
        let parts = fold.finish(vec![InputFacts::default()]);
        prop_assert_eq!(json(&parts.activity), json(&expected.activity));
        prop_assert_eq!(json(&parts.queries), json(&expected.queries));
        prop_assert_eq!(json(&parts), json(&expected));
    }
}

#[test]
fn short_sessions_are_counted_with_their_statements_and_their_busiest_minute() {
    let mut lines = Vec::new();
    for n in 0..90_u8 {
        let at = i64::from(n) * 500;
        let session = n / 2 * 2;
        lines.push(Line {
            session,
            at_ms: at,
            what: What::Received,
        });
        lines.extend([
            opened(session, at + 4),
            run(session, at + 8, "select 1"),
            closed(session, at + 10, 10),
        ]);
    }
    let sessions = whole(&lines).activity.sessions;
    let client = &sessions.clients[0];
    assert_eq!(
        (client.user.as_str(), client.application.as_str()),
        ("app", "web")
    );
    assert_eq!(
        (client.n_opened, client.n_closed, client.n_short),
        (90, 90, 90)
    );
    assert_eq!((client.statements_p50, client.n_whole), (1, 90));
    assert_eq!(client.setup_p50_us / 1000, 4);
    assert!(client.opened_in_busiest_minute >= 60, "{client:?}");
    assert!(sessions.open.is_empty());
}

#[test]
fn a_pause_within_a_transaction_belongs_to_the_statement_before_it() {
    let lines = [
        run(0, 0, "begin"),
        run(0, 10, "select * from t where a = 5"),
        run(0, 9_010, "update t set b = 1"),
        run(0, 9_020, "commit"),
        run(0, 60_000, "select * from t where a = 5"),
    ];
    let workload = whole(&lines);
    let [pause] = workload.activity.sessions.pauses.as_slice() else {
        panic!("{:?}", workload.activity.sessions.pauses);
    };
    assert_eq!(
        workload.query(pause.fingerprint).unwrap().text,
        "select * from t where a = $1"
    );
    assert_eq!((pause.n, pause.n_long, pause.n_unended), (1, 1, 0));
    assert_eq!(pause.max_us / 1000, 8_998);
    assert_eq!(workload.activity.sessions.n_pauses, 3);
}

#[test]
fn virtual_transactions_tell_pauses_where_begin_is_not_logged() {
    let at = |at_ms, transaction| Line {
        session: 0,
        at_ms,
        what: What::Run {
            text: "update t set b = 1",
            name: 0,
            parsed: false,
            value: 0,
            ms: 1,
            transaction,
        },
    };
    let pauses = |lines: &[Line]| whole(lines).activity.sessions.pauses.len();
    assert_eq!(pauses(&[at(0, 1), at(9_000, 1)]), 1);
    assert_eq!(pauses(&[at(0, 1), at(9_000, 2)]), 0);
}

#[test]
fn a_transaction_that_the_log_leaves_open_is_told() {
    let lines = [
        opened(0, 0),
        run(0, 10, "begin"),
        run(0, 20, "update t set b = 1"),
        run(1, 90_000, "select * from t where a = 5"),
    ];
    let sessions = whole(&lines).activity.sessions;
    assert_eq!(sessions.pauses[0].n_unended, 1);
    let left = &sessions.open[0];
    assert!(left.in_transaction && left.opened_us.is_some(), "{left:?}");
}

#[test]
fn executions_from_the_sixth_on_are_another_phase_of_a_named_statement() {
    let named = |n: i64, parsed: bool, ms: u64| Line {
        session: 0,
        at_ms: n * 1000,
        what: What::Run {
            text: "select * from t where a = $1",
            name: 9,
            parsed,
            value: 1,
            ms,
            transaction: 0,
        },
    };
    let mut lines: Vec<Line> = (0..5).map(|n| named(n, n == 0, 2)).collect();
    lines.extend((5..15).map(|n| named(n, false, 80)));
    let workload = whole(&lines);
    let phases = workload.queries[0].log.as_ref().unwrap().phases.unwrap();
    assert_eq!((phases.first.n, phases.later.n), (5, 10));
    assert_eq!((phases.n_same_values, phases.n_same_values_slower), (1, 1));
    // prepared before the log: nobody knows
    assert!(
        whole(&lines[1..]).queries[0]
            .log
            .as_ref()
            .unwrap()
            .phases
            .is_none()
    );
}

#[test]
fn what_ran_at_once_is_swept() {
    let long = |session: u8| Line {
        session,
        at_ms: 5_000,
        what: What::Run {
            text: "select * from t where a = 5",
            name: 0,
            parsed: false,
            value: 0,
            ms: 4_000,
            transaction: 0,
        },
    };
    let running = whole(&[long(0), long(1), long(2)])
        .activity
        .running
        .unwrap();
    assert!((2.9..=3.0).contains(&running.peak), "{running:?}");
}
