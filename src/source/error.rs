//! Why an input gave nothing.

/// Why one input could not be read. The message names the input; [`SourceError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Reading failed.
    #[error("cannot read {name}")]
    Io {
        /// The input.
        name: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The compressed data is broken from its start.
    #[error("cannot decompress {name}")]
    Compressed {
        /// The input.
        name: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Nothing in it.
    #[error("{name} is empty")]
    Empty {
        /// The input.
        name: String,
    },
    /// It is something else, and we know what.
    #[error("{name} is {what}, not a PostgreSQL log")]
    Foreign {
        /// The input.
        name: String,
        /// What it is.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// It is not in the format that was asked for.
    #[error("{name} is not in the format {format}")]
    NotInFormat {
        /// The input.
        name: String,
        /// `--log-format`
        format: &'static str,
    },
    /// The prefix that was given is not valid.
    #[error("log_line_prefix \"{prefix}\" is not valid")]
    BadPrefix {
        /// As given.
        prefix: String,
    },
    /// No format known here.
    #[error("{name} is in no format that is known here; its first line is \"{line}\"")]
    Unrecognised {
        /// The input.
        name: String,
        /// First line, shortened.
        line: String,
    },
    /// The server writes its messages in another language.
    #[error("{name} is a log in another language than English ({language})")]
    Localised {
        /// The input.
        name: String,
        /// Its language.
        language: &'static str,
    },
    /// It can only be read whole, and is too large for that.
    #[error("{name} is larger than {limit_mib} MiB, too large for a plain SQL file")]
    TooLarge {
        /// The input.
        name: String,
        /// The limit.
        limit_mib: usize,
    },
}

impl SourceError {
    /// The input is something else than a log that can be read here: a folder of logs may hold such files.
    #[must_use]
    pub fn is_other_file(&self) -> bool {
        matches!(
            self,
            Self::Empty { .. }
                | Self::Foreign { .. }
                | Self::NotInFormat { .. }
                | Self::Unrecognised { .. }
                | Self::TooLarge { .. }
        )
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the file exists and that you may read it",
            Self::Compressed { .. } => {
                "the archive seems damaged: decompress it by hand, then pass the result"
            }
            Self::Empty { .. } => {
                "set log_min_duration_statement = 0 (or log_statement = 'all') and let the application run; `pgassay doctor` says more"
            }
            Self::Foreign { hint, .. } => hint,
            Self::NotInFormat { .. } => "leave --log-format out to have it recognised by content",
            Self::BadPrefix { .. } => "give it as SHOW log_line_prefix prints it",
            Self::Unrecognised { .. } => {
                "pass the server's own log; give --log-line-prefix as SHOW log_line_prefix prints it, or --log-format"
            }
            Self::Localised { .. } => {
                "set lc_messages = 'C' on the server, reload, and capture again"
            }
            Self::TooLarge { .. } => "split it, or pass the server's log",
        }
    }
}
