//! What every log format does: find where records start, and read them.

use super::{Options, record::Receiver};

/// Bytes of one record that are used; the rest is cut and counted. Longer statements cannot be planned or shown anyway
/// (`logs.md`'s precedent: pganalyze's collector cuts at 10 MB after running out of memory).
pub(super) const MAX_RECORD_BYTES: usize = 10 << 20;

/// Reason for records beyond [`MAX_RECORD_BYTES`].
pub(super) const CUT_RECORD: &str = "records longer than 10 MiB, cut";
/// Reason for a record whose end is not in the input.
pub(super) const NO_END: &str = "a record that is cut off at the input's end";

/// Reads one input's bytes as records.
pub(super) trait Framing: Send + Sync {
    /// Where the last record of `block` starts; `None` when that is the first byte or can't be told. `block` starts at a record.
    fn last_start(&self, block: &[u8]) -> Option<usize>;

    /// Where the first record of `block` starts, which may start anywhere.
    fn first_start(&self, block: &[u8]) -> Option<usize>;

    /// Reads whole records. Only the input's last chunk may end within one.
    fn read(&self, chunk: &[u8], receiver: &mut dyn Receiver);

    /// The prefix that it reads by, if the format has one.
    fn prefix(&self) -> Option<String> {
        None
    }

    /// It can only read an input as a whole.
    fn reads_whole(&self) -> bool {
        false
    }
}

/// The start of an input, by which its format is recognised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    /// The first bytes, in whole lines where they are longer than one.
    pub(super) sample: &'a [u8],
    /// What the user said about the input.
    pub(super) options: &'a Options,
}

/// A line of `chunk` that starts at `at`: its end, without the newline, and where the next one starts.
pub(super) fn line_end(chunk: &[u8], at: usize) -> (usize, usize) {
    match memchr::memchr(b'\n', &chunk[at..]) {
        Some(len) => (at + len, at + len + 1),
        None => (chunk.len(), chunk.len()),
    }
}

/// Starts of the lines of `block` from the last to the second, without the empty one behind a final newline.
pub(super) fn line_starts_from_end(block: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memrchr_iter(b'\n', block)
        .map(|newline| newline + 1)
        .filter(|start| *start < block.len())
}

/// Starts of the lines of `block`; its first byte counts as one.
pub(super) fn line_starts(block: &[u8]) -> impl Iterator<Item = usize> {
    let later = memchr::memchr_iter(b'\n', block).map(|newline| newline + 1);
    std::iter::once(0)
        .chain(later)
        .filter(|start| *start < block.len())
}
