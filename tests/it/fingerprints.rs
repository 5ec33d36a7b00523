//! Our fingerprints of statements from elsewhere, for `benches/capture/fingerprints.py`, which compares them with `pg_query`'s.

use std::{fs, path::Path};

use pgassay::sql::Normaliser;

/// Statements end with a NUL byte; fingerprints and normalised texts come back in the same order, so ended too.
#[test]
#[ignore = "a part of benches/capture/fingerprints.py, which writes what it reads"]
fn of_statements_from_elsewhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fingerprints");
    let statements = fs::read(folder.join("statements")).unwrap();
    let mut normaliser = Normaliser::default();
    let mut told = String::new();
    for statement in statements.split(|byte| *byte == 0) {
        let fingerprint = normaliser.run(statement);
        told.push_str(&format!("{fingerprint} {}\0", normaliser.text()));
    }
    fs::write(folder.join("ours"), told).unwrap();
}
