//! A workload from a log given as text, through the real source and fold.

use pgassay::{
    source::{self, Input},
    workload::{Event, Fold, Origin, Sink, Workload},
};

/// Folds a log or a plain SQL file; what it is is found out as for a user's file.
pub(crate) fn of_log(log: &str) -> Workload {
    let input = Input {
        name: "example".to_owned(),
        reader: Box::new(std::io::Cursor::new(log.as_bytes().to_vec())),
    };
    let reading = source::read(
        vec![input],
        &source::Options::default(),
        1,
        Repeating(Fold::leading()),
        || Repeating(Fold::default()),
    );
    assert!(
        reading.failures.is_empty(),
        "{:?}, in:\n{log}",
        reading.failures
    );
    reading.sink.0.finish(reading.inputs)
}

/// A statement that stands for N calls, as N calls.
struct Repeating(Fold);

impl Sink for Repeating {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Weighted { statement, n_calls } => {
                for _ in 0..*n_calls {
                    self.0.event(&Event::Statement(*statement));
                }
            }
            other => self.0.event(other),
        }
    }

    fn skipped(&mut self, reason: &'static str, origin: Origin, example: &[u8]) {
        self.0.skipped(reason, origin, example);
    }

    fn append(&mut self, following: Self) {
        self.0.append(following.0);
    }
}
