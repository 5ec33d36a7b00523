//! How a throwaway server is set up, and the configuration file that says so.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::RunAs;

/// Log prefix: time, process, then user, database and application where there are any.
pub const LOG_LINE_PREFIX: &str = "%m [%p] %q%u@%d/%a ";

/// In the socket's name only: there is no TCP.
pub(super) const PORT: u16 = 5432;

/// Settings of every throwaway server. Its data is worth nothing, so nothing waits for the disk.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "100"),
    ("shared_buffers", "128MB"),
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "1h"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("track_io_timing", "on"),
    ("log_min_duration_statement", "0"),
    ("log_filename", "server.log"),
    ("log_rotation_age", "0"),
    ("log_rotation_size", "0"),
];

/// Format of the server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text with `log_line_prefix`.
    #[default]
    Stderr,
    /// `csvlog`
    Csv,
    /// `jsonlog`, from PostgreSQL 15 on.
    Json,
}

impl LogFormat {
    /// Path of the log within the server's folder. The logging collector names the files of the two others.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Stderr => "server.log",
            Self::Csv => "log/server.csv",
            Self::Json => "log/server.json",
        }
    }

    fn destination(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Csv => "csvlog",
            Self::Json => "jsonlog",
        }
    }
}

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// pgassay's cache folder: an initialised data folder is kept there, because `initdb` takes longer than all the rest.
    pub cache: PathBuf,
    /// Where the server's folder is made. The socket lies in it, and a socket's path is short by law.
    pub temp: PathBuf,
    /// Under whom it runs when we are root.
    pub run_as: RunAs,
    /// Locale of the cluster; `None` is C.UTF-8, or C where the system has no such locale.
    pub locale: Option<String>,
    /// Size of a segment of its write-ahead log in MB; `None` is the server's own, 16. The first one is copied with every template.
    pub wal_segment_mb: Option<u32>,
    /// Format of its log.
    pub log_format: LogFormat,
    /// Libraries to preload, in order; one that this installation does not have is left out.
    pub preload: Vec<String>,
    /// Further settings, name and value; they override ours.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// A server with `pg_stat_statements`, every statement in a stderr log, folder in `/tmp`.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            temp: PathBuf::from("/tmp"),
            run_as: RunAs::default(),
            locale: None,
            wal_segment_mb: None,
            log_format: LogFormat::default(),
            preload: vec!["pg_stat_statements".to_owned()],
            settings: Vec::new(),
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The configuration file of a server in `folder`.
    pub(super) fn configuration(&self, folder: &Path, preload: &[String]) -> String {
        let collects = match self.log_format {
            LogFormat::Stderr => "off",
            LogFormat::Csv | LogFormat::Json => "on",
        };
        let own = [
            ("unix_socket_directories", folder.display().to_string()),
            ("port", PORT.to_string()),
            ("log_directory", folder.join("log").display().to_string()),
            ("log_destination", self.log_format.destination().to_owned()),
            ("logging_collector", collects.to_owned()),
            ("log_line_prefix", LOG_LINE_PREFIX.to_owned()),
            ("shared_preload_libraries", preload.join(",")),
        ];
        let fixed = SETTINGS.iter().map(|(name, value)| (*name, *value));
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let further = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut file = String::new();
        for (name, value) in fixed.chain(own).chain(further) {
            let value = value.replace('\\', "\\\\").replace('\'', "''");
            let _ = writeln!(file, "{name} = '{value}'");
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_settings_win_and_values_are_quoted() {
        let options = Options::new(PathBuf::new()).with("log_line_prefix", r"it's \ ");
        let file = options.configuration(Path::new("/tmp/x"), &options.preload);
        assert!(file.contains("unix_socket_directories = '/tmp/x'\n"));
        assert!(file.contains("shared_preload_libraries = 'pg_stat_statements'\n"));
        assert!(
            file.ends_with("log_line_prefix = 'it''s \\\\ '\n"),
            "{file}"
        );
    }
}
