//! Logs into snapshots, as the program reads them.

use std::{fs::File, io::Cursor, path::Path};

use pgassay::{
    snapshot::Snapshot,
    source::{self, Input, Options},
    workload::Fold,
};

/// The snapshot of one log file.
pub(crate) fn snapshot(path: &Path) -> Snapshot {
    read(Input {
        name: path.display().to_string(),
        reader: Box::new(File::open(path).unwrap()),
    })
}

/// The snapshot of a log's text.
pub(crate) fn snapshot_of(text: &str) -> Snapshot {
    read(Input {
        name: "example.log".to_owned(),
        reader: Box::new(Cursor::new(text.as_bytes().to_vec())),
    })
}

fn read(input: Input) -> Snapshot {
    let name = input.name.clone();
    let reading = source::read(
        vec![input],
        &Options::default(),
        1,
        Fold::leading(),
        Fold::default,
    );
    assert!(
        reading.failures.is_empty(),
        "{name}: {:?}",
        reading.failures
    );
    Snapshot {
        workload: reading.sink.finish(reading.inputs),
        ..Snapshot::default()
    }
}
