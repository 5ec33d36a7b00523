//! What the targets share: a log is read as a whole and in small chunks, and both must give the same.

use std::io::Cursor;

use pgassay::{
    source::{FORMATS, Input, Options, WRAPPINGS, read},
    workload::{Fold, Workload},
};

/// Reads bytes by one format, whatever they are.
pub fn as_format(name: &str, log: &[u8]) {
    let format = FORMATS.iter().find(|format| format.name == name);
    let options = Options {
        format: Some(format.expect("the format is registered")),
        ..Options::default()
    };
    whole_and_in_chunks(log, &options);
}

/// Reads bytes as what one wrapping wraps, if they are that at all.
pub fn as_wrapping(name: &str, log: &[u8]) {
    let wrapping = WRAPPINGS.iter().find(|wrapping| wrapping.name == name);
    let options = Options {
        wrapping: Some(wrapping.expect("the wrapping is registered")),
        ..Options::default()
    };
    whole_and_in_chunks(log, &options);
}

/// Reads bytes as what they look like.
pub fn as_anything(log: &[u8]) {
    whole_and_in_chunks(log, &Options::default());
}

fn whole_and_in_chunks(log: &[u8], options: &Options) {
    let whole = folded(log, options);
    let chunks = Options {
        chunk_bytes: 64 + log.len() % 997,
        ..options.clone()
    };
    let in_chunks = folded(log, &chunks);
    assert_eq!(totals(whole.as_ref()), totals(in_chunks.as_ref()));
}

fn folded(log: &[u8], options: &Options) -> Option<Workload> {
    let input = Input {
        name: "fuzzed.log".to_owned(),
        reader: Box::new(Cursor::new(log.to_vec())),
    };
    let reading = read(vec![input], options, 1, Fold::leading(), Fold::default);
    let is_read = reading.failures.is_empty();
    is_read.then(|| reading.sink.finish(reading.inputs))
}

/// Calls and time by statement.
fn totals(workload: Option<&Workload>) -> Option<Vec<(&str, u64, u64)>> {
    let queries = workload?.queries.iter();
    let total = queries.map(|query| {
        let log = query.log.as_ref().expect("a log gave it");
        (query.text.as_str(), log.n_calls, log.total_us)
    });
    Some(total.collect())
}
