//! Laws of the fold, and what windows make of small logs.

use proptest::prelude::*;

use super::{
    BurstClass, Distinctness, Driver, Event, Fold, InputFacts, Origin, Outcome, Protocol, Sink,
    Statement, WindowBound, Workload,
};

/// One execution of a made-up log.
#[derive(Debug, Clone)]
struct Line {
    session: u8,
    text: String,
    parameters: String,
    gap_us: i64,
    duration_us: Option<u64>,
    failed: bool,
}

fn line(session: u8, text: &str, gap_ms: i64) -> Line {
    Line {
        session,
        text: text.to_owned(),
        parameters: String::new(),
        gap_us: gap_ms * 1000,
        duration_us: Some(300),
        failed: false,
    }
}

fn feed(fold: &mut Fold, lines: &[Line], first: usize) {
    for (at, line) in lines.iter().enumerate() {
        let session = format!("s{}", line.session);
        fold.event(&Event::Statement(Statement {
            origin: Origin {
                file: 0,
                line: (first + at) as u64 + 1,
            },
            time_us: line.gap_us,
            session: session.as_bytes(),
            user: b"app",
            database: b"shop",
            application: b"web",
            duration_us: line.duration_us,
            protocol: Protocol::Simple,
            text: line.text.as_bytes().into(),
            parameters: line.parameters.as_bytes(),
            outcome: if line.failed {
                Outcome::Failed(b"23505")
            } else {
                Outcome::Finished
            },
            ..Statement::default()
        }));
    }
}

/// An audit does not find the audit before it.
#[test]
fn our_own_statements_are_left_out_and_counted() {
    let workload = whole(&[
        line(1, "SELECT /* pgassay */ 1", 1),
        line(1, "SELECT 2 FROM t", 1),
    ]);
    let texts: Vec<&str> = workload.queries.iter().map(|q| q.text.as_str()).collect();
    assert_eq!(texts, ["select $1 from t"]);
    let skipped = &workload.skipped[0];
    assert_eq!(skipped.n, 1);
    assert!(skipped.reason.contains("pgassay"), "{}", skipped.reason);
}

/// Gaps between lines become times.
fn timed(mut lines: Vec<Line>) -> Vec<Line> {
    let mut now = 1_700_000_000_000_000;
    for line in &mut lines {
        now += line.gap_us;
        line.gap_us = now;
    }
    lines
}

fn input() -> Vec<InputFacts> {
    vec![InputFacts {
        name: "a.log".into(),
        ..InputFacts::default()
    }]
}

fn whole(lines: &[Line]) -> Workload {
    let mut fold = Fold::leading();
    feed(&mut fold, lines, 0);
    fold.finish(input())
}

fn following(lines: &[Line], first: usize) -> Fold {
    let mut fold = Fold::default();
    feed(&mut fold, lines, first);
    fold
}

fn json(workload: &Workload) -> String {
    serde_json::to_string(workload).unwrap()
}

fn any_line() -> impl Strategy<Value = Line> {
    let texts = prop::sample::select(vec![
        "begin",
        "commit",
        "set search_path to a",
        "select * from books order by id limit 10",
        "select * from authors where id = 1",
        "select * from authors where id = 2",
        "select * from authors where id = $1",
        "select * from books where author_id in (1, 2)",
        "insert into books (author_id) values (3)",
        "update books set title = 'x' where id = 4 /*route='/books',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/",
        "create table t ()",
    ]);
    (
        0_u8..3,
        texts,
        prop::option::of(1_u64..5),
        0_i64..80_000,
        prop::option::of(0_u64..5_000),
        any::<bool>(),
    )
        .prop_map(
            |(session, text, parameter, gap_us, duration_us, failed)| Line {
                session,
                text: text.to_owned(),
                parameters: parameter.map_or_else(String::new, |p| format!("$1 = '{p}'")),
                gap_us,
                duration_us,
                failed: failed && gap_us % 7 == 0,
            },
        )
}

#[test]
fn time_of_parse_and_fetch_counts_with_its_statement() {
    let more = |text: &'static str, duration_us, plan_us| {
        Event::MoreTime(Statement {
            text: text.as_bytes().into(),
            duration_us,
            plan_us,
            ..Statement::default()
        })
    };
    let lines = timed(vec![line(0, "select a from t where b = 1", 1)]);
    let mut left = Fold::leading();
    let mut right = following(&lines, 0);
    left.event(&more("select a from t where b = $1", None, 40));
    left.event(&more("select never_run", None, 7));
    right.event(&more("select a from t where b = 2", Some(500), 0));
    left.append(&mut right);
    let workload = left.finish(input());
    let queries: Vec<_> = workload
        .queries
        .iter()
        .map(|query| {
            let log = query.log.as_ref().unwrap();
            (log.n_calls, log.total_us, log.plan_us, log.max_us)
        })
        .collect();
    assert_eq!(queries, [(1, 800, 40, 300)]);
}

#[test]
fn an_emptied_fold_serves_again() {
    let lines = timed(vec![
        line(0, "select a from t where b = 1", 1),
        line(1, "select c from t where b = 1", 1),
        line(0, "select a from t where b = 2", 1),
        line(2, "select a from t where b = 2", 1),
    ]);
    let mut fold = Fold::leading();
    let mut again = Fold::default();
    for (at, one) in lines.chunks(1).enumerate() {
        feed(&mut again, one, at);
        fold.append(&mut again);
    }
    assert_eq!(json(&fold.finish(input())), json(&whole(&lines)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_chunking_equals_one_pass(lines in prop::collection::vec(any_line(), 0..120), a in 0_usize..120, b in 0_usize..120) {
        let lines = timed(lines);
        let (a, b) = (a.min(b).min(lines.len()), a.max(b).min(lines.len()));
        let expected = json(&whole(&lines));

        let mut left = Fold::leading();
        feed(&mut left, &lines[..a], 0);
        left.append(&mut following(&lines[a..b], a));
        left.append(&mut following(&lines[b..], b));
        prop_assert_eq!(&json(&left.finish(input())), &expected);

        let mut right = following(&lines[a..b], a);
        right.append(&mut following(&lines[b..], b));
        let mut all = following(&lines[..a], 0);
        all.append(&mut right);
        prop_assert_eq!(&json(&all.finish(input())), &expected);
    }
}

/// The only class of the only repetition.
fn only_class(workload: &Workload) -> &BurstClass {
    let [repetition] = workload.repetitions.as_slice() else {
        panic!("one repetition, not {:#?}", workload.repetitions);
    };
    let [class] = repetition.classes.as_slice() else {
        panic!("one class, not {:#?}", repetition.classes);
    };
    class
}

fn author(id: usize) -> String {
    format!("select name from authors where id = {id}")
}

const BOOKS: &str = "select id, author_id from books order by id limit 10";

#[test]
fn a_loop_behind_its_list_is_one_burst() {
    let mut lines = vec![line(1, BOOKS, 0)];
    lines.extend((0..10).map(|id| line(1, &author(id), 1)));
    let workload = whole(&timed(lines));
    let class = only_class(&workload);
    assert_eq!(
        (class.n_bursts, class.n_repeats, class.n_distinct),
        (1, 10, 10)
    );
    assert_eq!(class.shape.bound, WindowBound::Idle);
    assert_eq!(class.shape.driver, Driver::Within);
    assert_eq!(class.shape.distinct, Distinctness::Most);
    assert!(class.shape.fills_limit && class.shape.ascending);
    let parent = class.shape.parent.and_then(|f| workload.query(f)).unwrap();
    assert!(parent.text.contains("books"));
    assert_eq!(class.varying, 1);
    assert_eq!(class.timeline.len(), 6);
    assert_eq!(class.timeline[3].n_omitted, 5);
}

#[test]
fn requests_back_to_back_are_cut_at_their_list() {
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(line(1, BOOKS, 1));
        lines.extend((0..4).map(|id| line(1, &author(id), 1)));
    }
    let workload = whole(&timed(lines));
    let class = only_class(&workload);
    assert_eq!((class.n_bursts, class.n_repeats_max), (3, 4));
}

#[test]
fn one_look_up_per_list_has_the_list_between() {
    let mut lines = Vec::new();
    for id in 0..20 {
        lines.push(line(1, BOOKS, 1));
        lines.push(line(1, &author(id), 1));
    }
    let workload = whole(&timed(lines));
    let class = only_class(&workload);
    assert_eq!(class.shape.driver, Driver::None);
    assert!(class.shape.list_between);
}

#[test]
fn an_idle_gap_ends_a_window_and_a_slower_rhythm_moves_the_limit() {
    let spaced = |gap_ms: i64, pause_ms: i64| {
        let mut lines = vec![line(1, BOOKS, 0)];
        lines.extend((0..10).map(|id| line(1, &author(id), gap_ms)));
        lines.extend((10..13).map(|id| line(1, &author(id), if id == 10 { pause_ms } else { 1 })));
        whole(&timed(lines))
    };
    let repeats = |workload: &Workload| -> Vec<u64> {
        let classes = workload.repetitions.iter().flat_map(|r| &r.classes);
        let mut all: Vec<u64> = classes.map(|class| class.n_repeats).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(repeats(&spaced(1, 400)), [3, 10]);
    assert_eq!(repeats(&spaced(30, 400)), [13]);
    // the same statement goes on: a loop that was held up
    assert_eq!(repeats(&spaced(1, 90)), [13]);
}

#[test]
fn a_transaction_is_a_window_and_gaps_in_it_do_not_matter() {
    let mut lines = vec![line(1, "BEGIN", 0), line(1, BOOKS, 1)];
    lines.extend((0..5).map(|id| line(1, &author(id), 400)));
    lines.push(line(1, "COMMIT", 1));
    let workload = whole(&timed(lines));
    let class = only_class(&workload);
    assert_eq!(class.shape.bound, WindowBound::Transaction);
    assert_eq!(class.n_repeats, 5);
}

#[test]
fn single_statement_transactions_make_one_burst() {
    let mut lines = vec![line(1, BOOKS, 0)];
    for id in 0..6 {
        lines.push(line(1, "BEGIN", 1));
        lines.push(line(
            1,
            &format!("update books set seen = true where id = {id}"),
            1,
        ));
        lines.push(line(1, "COMMIT", 1));
    }
    let workload = whole(&timed(lines));
    let class = only_class(&workload);
    assert_eq!(class.shape.bound, WindowBound::Idle);
    assert_eq!(class.n_repeats, 6);
}

#[test]
fn a_tag_joins_sessions() {
    let tag =
        "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',route='/books'*/";
    let mut lines = vec![line(0, &format!("{BOOKS} {tag}"), 0)];
    lines.extend((0..9_u8).map(|id| line(id % 3, &format!("{} {tag}", author(id.into())), 1)));
    let workload = whole(&timed(lines));
    let class = only_class(&workload);
    assert_eq!(class.shape.bound, WindowBound::Tag);
    assert_eq!(class.n_repeats, 9);
    assert_eq!(class.tags[0].name, "route=/books");
}

#[test]
fn a_change_of_tenant_ends_a_window() {
    let mut lines = vec![line(1, BOOKS, 0)];
    for id in 0..6 {
        lines.push(line(1, "set search_path to tenant", 1));
        lines.push(line(1, &author(id), 1));
    }
    assert!(whole(&timed(lines)).repetitions.is_empty());
}

#[test]
fn nested_loops_are_both_found() {
    let mut lines = vec![line(1, "select id from authors order by id", 0)];
    for author in 0..5 {
        let books = format!("select id from books where author_id = {author}");
        lines.push(line(1, &books, 1));
        for review in 0..2 {
            let id = author * 10 + review;
            lines.push(line(
                1,
                &format!("select * from reviews where book_id = {id}"),
                1,
            ));
        }
    }
    let workload = whole(&timed(lines));
    let mut found: Vec<(String, String, u64)> = workload
        .repetitions
        .iter()
        .map(|repetition| {
            let class = &repetition.classes[0];
            let text = |f| workload.query(f).unwrap().text.clone();
            let parent = class.shape.parent.map(text).unwrap_or_default();
            (text(repetition.child), parent, class.n_repeats)
        })
        .collect();
    found.sort();
    assert_eq!(found.len(), 2);
    assert!(found[0].0.contains("from reviews") && found[0].1.contains("from books"));
    assert_eq!(found[0].2, 10);
    assert!(found[1].0.contains("from books") && found[1].1.contains("from authors"));
    assert_eq!(found[1].2, 5);
}

#[test]
fn a_weight_counts_calls_and_time_and_makes_no_loop() {
    let mut fold = Fold::leading();
    let statement = Statement {
        text: b"SELECT a FROM t WHERE b = 1"[..].into(),
        duration_us: Some(2_000),
        ..Statement::default()
    };
    for n_calls in [500, 0] {
        fold.event(&Event::Weighted { statement, n_calls });
    }
    let workload = fold.finish(vec![InputFacts::default()]);
    let log = workload.queries[0].log.as_ref().unwrap();
    assert_eq!(
        (log.n_calls, log.n_timed, log.total_us, log.p50_us),
        (500, 500, 1_000_000, 2_000)
    );
    assert_eq!(workload.inputs[0].n_statements, 500);
    assert!(workload.repetitions.is_empty());
}
