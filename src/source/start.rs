//! How an input starts: its format and its first time, for who puts rotated logs in order.

use super::{
    Input, Options, SourceError,
    chunk::{Buffer, Reader},
    record::{Receiver, Record},
};

/// Bytes in which the first time is looked for.
const START_BYTES: usize = 64 << 10;

/// How an input starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Name of its format, without what wraps it.
    pub format: String,
    /// Time of its first records, microseconds since the epoch; `None` when they have none.
    pub time_us: Option<i64>,
}

/// Reads the start of an input.
///
/// # Errors
/// When it could not be read as a log.
pub fn start(input: Input, options: &Options) -> Result<Start, SourceError> {
    let options = Options {
        chunk_bytes: START_BYTES,
        ..options.clone()
    };
    let mut reader = Reader::open(0, input, &options)?;
    let format = reader.format.name.to_owned();
    let mut earliest = Earliest(None);
    if !reader.framing.reads_whole()
        && let Some(chunk) = reader.next_chunk(Buffer::default())?
    {
        chunk.framing.read(chunk.bytes(), &mut earliest);
    }
    Ok(Start {
        format,
        time_us: earliest.0,
    })
}

/// The first time seen.
struct Earliest(Option<i64>);

impl Receiver for Earliest {
    fn record(&mut self, record: &Record<'_>) {
        if record.time_us != 0 {
            self.0.get_or_insert(record.time_us);
        }
    }

    fn skipped(&mut self, _reason: &'static str, _line: u64, _example: &[u8]) {}
}
