//! Bytes → events, streaming, in bounded memory. One log format a file.
//!
//! An input is cut into chunks of whole records (`chunk`), which a format reads as messages (`record`), of which `assemble` makes
//! statements and facts for a [`Sink`](crate::workload::Sink). Chunks are read in parallel and put together in order.

mod assemble;
mod azure;
mod bodies;
mod chunk;
mod cloudsql;
mod cnpg;
mod cri;
mod csvlog;
#[cfg(test)]
mod damage_tests;
mod docker;
mod error;
mod facts;
#[cfg(test)]
mod fixture_tests;
mod framing;
mod held;
mod heroku;
mod input;
mod jsonlog;
mod localised;
mod message;
mod pgbouncer;
mod plans;
mod prefix;
mod read;
mod record;
mod refuse;
mod session;
mod sessions;
mod sql_file;
mod start;
mod stderr;
mod stitch;
mod syslog;
#[cfg(test)]
mod tests;
mod time;
mod unwrap;

pub use error::SourceError;
pub use input::Input;
pub use read::{Reading, read};
pub use start::{Start, start};
pub use unwrap::Wrapping;

/// All log formats, in the order in which they are tried. `--log-format` values, help and completions derive from this list.
pub static FORMATS: &[&Format] = &[
    &jsonlog::FORMAT,
    &csvlog::FORMAT,
    &pgbouncer::FORMAT,
    &stderr::FORMAT,
    &sql_file::FORMAT,
];

/// All wrappings, in the order in which they are tried: what holds the lines of a log inside of lines or objects of its own. They are values of
/// `--log-format` too; the format inside is found by content.
pub static WRAPPINGS: &[&Wrapping] = &[
    &heroku::WRAPPING,
    &syslog::WRAPPING,
    &cri::WRAPPING,
    &cnpg::WRAPPING,
    &docker::WRAPPING,
    &cloudsql::WRAPPING,
    &azure::WRAPPING,
];

/// One log format.
pub struct Format {
    /// Value of `--log-format`.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// A reader for the input that starts so; `None` when it is in another format.
    open: fn(&framing::Head<'_>) -> Option<Box<dyn framing::Framing>>,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Format")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What the user said about the inputs.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--log-format`; found by content when absent.
    pub format: Option<&'static Format>,
    /// `--log-format`, when it names a wrapping.
    pub wrapping: Option<&'static Wrapping>,
    /// `--log-line-prefix`, or the server's own; inferred when absent.
    pub log_line_prefix: Option<String>,
    /// Records before this are left out, microseconds since the epoch.
    pub since_us: Option<i64>,
    /// Records from this on are left out, microseconds since the epoch.
    pub until_us: Option<i64>,
    /// Offset of time zones whose abbreviation is not known, minutes east of UTC.
    pub unknown_zone_minutes: i64,
    /// Year and month of the reading, for times of syslog, which have no year.
    pub this_month: (i16, u8),
    /// Bytes of a chunk. For tests: results do not depend on it.
    pub chunk_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: None,
            wrapping: None,
            log_line_prefix: None,
            since_us: None,
            until_us: None,
            unknown_zone_minutes: 0,
            this_month: (2000, 12),
            chunk_bytes: chunk::CHUNK_BYTES,
        }
    }
}

impl Options {
    /// Whether a record of that time is wanted; one without a time is.
    fn covers(&self, time_us: i64) -> bool {
        let known = time_us != 0;
        let before = self.since_us.is_some_and(|since| time_us < since);
        let after = self.until_us.is_some_and(|until| time_us >= until);
        !known || !before && !after
    }
}
