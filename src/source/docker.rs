//! Docker's json-file driver, and other shippers that write `{"log": "…"}`: a line each, long lines in parts.

use super::unwrap::{Pieces, Unwrap, Wrapping, object};

pub(super) static WRAPPING: Wrapping = Wrapping {
    name: "docker",
    summary: "json-file logs of Docker, {\"log\": …}",
    pieces: Pieces::Objects,
    is_one: |piece| line(piece).is_some(),
    unwrap: |_| Box::new(Docker),
};

struct Docker;

/// `{"log":"…\n","stream":"stderr","time":"…"}`; only the last part of a long line has the newline.
fn line(piece: &[u8]) -> Option<String> {
    match object(piece)?.remove("log")? {
        serde_json::Value::String(line) => Some(line),
        _ => None,
    }
}

impl Unwrap for Docker {
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool {
        if let Some(line) = line(piece) {
            out.extend_from_slice(line.as_bytes());
        } else {
            out.extend_from_slice(piece);
            out.push(b'\n');
        }
        true
    }
}
