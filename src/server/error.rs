//! What can go wrong between looking for binaries and a server that answers, and what to do about it.

use std::{io, path::PathBuf};

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nowhere.
    #[error("no binaries of a PostgreSQL{} server found", wanted(*major))]
    NotFound {
        /// The major version asked for.
        major: Option<u16>,
    },
    /// A folder that was named explicitly can't be used.
    #[error("no usable PostgreSQL server in \"{}\": {why}", folder.display())]
    Unusable {
        /// As named.
        folder: PathBuf,
        /// In words.
        why: String,
    },
    /// Getting a pinned version failed.
    #[error("cannot fetch PostgreSQL{}: {why}", wanted(*major))]
    Fetch {
        /// The major version asked for.
        major: Option<u16>,
        /// One reason a way that was tried.
        why: String,
    },
    /// `initdb` failed.
    #[error("initdb failed: {stderr}")]
    Initdb {
        /// Last lines that it wrote.
        stderr: String,
    },
    /// The server ended before it was ready.
    #[error("the throwaway server did not start: {log}")]
    Start {
        /// Last lines of its log.
        log: String,
    },
    /// The server is not ready after all that time.
    #[error("the throwaway server is not ready after {seconds} s: {log}")]
    Slow {
        /// How long was waited.
        seconds: u64,
        /// Last lines of its log.
        log: String,
    },
    /// The path of the socket would exceed what the system can address.
    #[error("the socket's path would have {n} bytes, at most {max} are possible: \"{}\"", path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length.
        n: usize,
        /// The system's limit.
        max: usize,
    },
    /// Under root there is no user to run as.
    #[error(
        "a PostgreSQL server refuses to run as root, and there is neither a user \"postgres\" nor \"nobody\""
    )]
    NoUser,
    /// A file or process of ours.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, on what.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

fn wanted(major: Option<u16>) -> String {
    major.map(|major| format!(" {major}")).unwrap_or_default()
}

impl ServerError {
    /// Names what was being done when an I/O operation failed.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// What the user can do next, one sentence each.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound { .. } | Self::Fetch { .. } => vec![
                install_hint().to_owned(),
                "or name the folder of initdb and postgres: --pg-bin DIR, or PGASSAY_PG_BIN".to_owned(),
            ],
            Self::Unusable { .. } => vec![
                "name the folder that holds initdb and postgres, e.g. /usr/lib/postgresql/17/bin".to_owned(),
                "a server never runs as root: under root its binaries must be readable by \"postgres\" or \"nobody\"".to_owned(),
            ],
            Self::SocketPath { .. } => {
                vec!["choose a shorter temporary folder: TMPDIR=/tmp".to_owned()]
            }
            Self::Start { log } | Self::Slow { log, .. } if log.contains("No space left") => {
                vec![FULL.to_owned()]
            }
            Self::Initdb { stderr } if stderr.contains("No space left") => vec![FULL.to_owned()],
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                vec![FULL.to_owned()]
            }
            Self::Start { .. } | Self::Slow { .. } | Self::Initdb { .. } => {
                vec!["try other binaries: --pg-bin DIR, or PGASSAY_PG_BIN".to_owned()]
            }
            Self::NoUser => vec!["run as another user than root".to_owned()],
            Self::Io { .. } => Vec::new(),
        }
    }
}

const FULL: &str = "the disk is full: free some space, or set TMPDIR to a folder on another disk";

/// The package that brings a server, by system.
fn install_hint() -> &'static str {
    if cfg!(target_os = "macos") {
        "install one: brew install postgresql@17"
    } else {
        "install one: apt-get install postgresql (Debian, Ubuntu), dnf install postgresql-server (Fedora, RHEL), apk add postgresql (Alpine); or npm or pip, with which pgassay fetches one"
    }
}

/// The last `n` lines of a text, joined by ` / `, for a one-line message.
pub(super) fn tail(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let from = lines.len().saturating_sub(n);
    if lines.is_empty() {
        "it said nothing".to_owned()
    } else {
        lines[from..].join(" / ")
    }
}
