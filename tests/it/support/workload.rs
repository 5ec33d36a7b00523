//! A workload from a log given as text, through the real source and fold.

use pgassay::workload::{Event, Fold, InputFacts, InputKind, Sink, Statement, Workload};

/// Folds a plain SQL file: statements behind `-- calls: N, mean_time_ms: X` lines.
pub(crate) fn of_log(log: &str) -> Workload {
    let mut fold = Fold::leading();
    let (mut n_calls, mut mean_ms) = (1_u64, None);
    for line in log.lines() {
        if let Some(weights) = line.strip_prefix("-- calls: ") {
            let mut parts = weights.split(", mean_time_ms: ");
            n_calls = parts.next().unwrap().trim().parse().unwrap();
            mean_ms = parts.next().map(|ms| ms.trim().parse::<f64>().unwrap());
        } else if !line.trim().is_empty() {
            for _ in 0..n_calls {
                fold.event(&Event::Statement(Statement {
                    session: b"1",
                    duration_us: mean_ms.map(|ms| (ms * 1e3) as u64),
                    text: line.as_bytes(),
                    ..Statement::default()
                }));
            }
        }
    }
    let facts = InputFacts {
        kind: InputKind::SqlFile,
        name: "example.sql".to_owned(),
        ..InputFacts::default()
    };
    fold.finish(vec![facts])
}
