//! A workload from a log given as text, through the real source and fold.

use pgassay::{
    source::{self, Input},
    workload::{Fold, Workload},
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
        Fold::leading(),
        Fold::default,
    );
    assert!(
        reading.failures.is_empty(),
        "{:?}, in:\n{log}",
        reading.failures
    );
    reading.sink.finish(reading.inputs)
}
