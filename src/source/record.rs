//! One log message with everything that was written with it, the same for all formats.

use super::message::Told;
use crate::workload::Escape;

/// How grave a message is, as far as it matters here; secondaries of stderr logs are not records of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Severity {
    /// LOG
    #[default]
    Log,
    /// ERROR, FATAL, PANIC: a statement failed.
    Error,
    /// DEBUG, INFO, NOTICE, WARNING.
    Notice,
}

/// A message. Texts are bytes, empty when absent. A format may leave its escaping in `message`, `detail`, `context` and `statement` and say
/// so in `escape`: most are recognised without being unescaped.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Record<'a> {
    /// Line within the chunk, from 0.
    pub(super) line: u64,
    /// Microseconds since the epoch; 0 when unknown.
    pub(super) time_us: i64,
    /// Within one chunk equal numbers mean equal session, user, database and application; 0 says nothing.
    pub(super) who: u32,
    /// `%c` where there is one, else the process id, else empty.
    pub(super) session: &'a [u8],
    /// `%v`
    pub(super) transaction: &'a [u8],
    /// User name.
    pub(super) user: &'a [u8],
    /// Database name.
    pub(super) database: &'a [u8],
    /// `application_name`
    pub(super) application: &'a [u8],
    /// `queryid`, 0 when unknown.
    pub(super) query_id: i64,
    /// LOG, an error, or less.
    pub(super) severity: Severity,
    /// SQLSTATE.
    pub(super) sqlstate: &'a [u8],
    /// The message itself.
    pub(super) message: &'a [u8],
    /// DETAIL
    pub(super) detail: &'a [u8],
    /// CONTEXT
    pub(super) context: &'a [u8],
    /// STATEMENT
    pub(super) statement: &'a [u8],
    /// How the four texts above are written.
    pub(super) escape: Escape,
    /// What the message says, where the reader knows it from an earlier one.
    pub(super) told: Option<Told<'a>>,
    /// Set by a plain SQL file only: `statement` ran so often, and so long each, microseconds.
    pub(super) weight: Option<(u64, Option<u64>)>,
}

/// Takes what a format reads.
pub(super) trait Receiver {
    /// One message, in the order of the input.
    fn record(&mut self, record: &Record<'_>);

    /// Something that could not be used; `line` is within the chunk, from 0.
    fn skipped(&mut self, reason: &'static str, line: u64, example: &[u8]);
}
