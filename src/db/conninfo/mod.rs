//! Where to connect and as whom: libpq's rules for connection strings, `PG*` variables, password and service files.
//!
//! The environment and the files are read by `app` and handed in through [`Environment`]. Nothing here prints, and no `Debug` or `Display`
//! shows a password or the string as it was given.

mod files;
mod own;
mod parse;
mod resolve;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use own::OwnConninfo;

use super::DbError;

/// A file that a connection string names, as `app` read it.
#[derive(Debug, Clone, Default)]
pub struct FileContent {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Unix permission bits, where there are any: a password file that others may read is not used.
    pub mode: Option<u32>,
}

/// What connecting depends on besides the connection string. `app` fills it; tests fill it with what they like.
pub struct Environment<'a> {
    /// An environment variable.
    pub var: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Reads a whole file.
    pub read: &'a (dyn Fn(&Path) -> io::Result<FileContent> + Sync),
    /// The operating system's user name, the default role.
    pub os_user: Option<String>,
    /// Home directory: `.pgpass`, `.pg_service.conf`, `.postgresql/`.
    pub home: Option<PathBuf>,
}

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

/// A text that no output shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// Folder of a Unix socket.
    Unix(PathBuf),
    /// Host name (for TLS too) and, where it was given, the address to dial instead of resolving the name.
    Tcp {
        name: String,
        addr: Option<std::net::IpAddr>,
    },
}

/// One server to try.
#[derive(Debug, Clone)]
pub(super) struct HostSpec {
    pub(super) address: Address,
    pub(super) port: u16,
    pub(super) password: Option<Secret>,
}

impl fmt::Display for HostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(folder) => {
                write!(f, "socket {}/.s.PGSQL.{}", folder.display(), self.port)
            }
            Address::Tcp { name, .. } if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Address::Tcp { name, .. } => write!(f, "{name}:{}", self.port),
        }
    }
}

/// `sslmode`, as libpq has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Certificates to trust.
#[derive(Debug, Clone)]
pub(super) enum Roots {
    /// None given: the chain isn't checked.
    None,
    /// `sslrootcert=system`
    System,
    /// A PEM file's content.
    Pem(Vec<u8>),
}

/// A client certificate with its key, PEM.
#[derive(Clone)]
pub(super) struct ClientCert {
    pub(super) certificates: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl fmt::Debug for ClientCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCert(<redacted>)")
    }
}

/// Everything about TLS.
#[derive(Debug, Clone)]
pub(super) struct TlsSettings {
    pub(super) mode: SslMode,
    pub(super) roots: Roots,
    pub(super) client: Option<ClientCert>,
    /// `sslnegotiation=direct`
    pub(super) direct: bool,
    /// `sslsni`
    pub(super) sni: bool,
}

/// `target_session_attrs`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// `channel_binding`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    Disable,
    Prefer,
    Require,
}

/// A connection string, resolved against environment and files. Holds a password: neither `Debug` nor `Display` shows it.
#[derive(Debug, Clone)]
pub struct Conninfo {
    pub(super) hosts: Vec<HostSpec>,
    pub(super) user: String,
    pub(super) dbname: String,
    pub(super) application: String,
    pub(super) options: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) tls: TlsSettings,
    pub(super) target: Target,
    pub(super) binding: Binding,
    warnings: Vec<String>,
}

impl Conninfo {
    /// Resolves a connection string as libpq would: its own parameters, then those of its service, then `PG*` variables, then defaults.
    /// `None` connects by the environment alone.
    ///
    /// # Errors
    /// When the string can't be read, asks for what pgassay can't do, or names a file that can't be read. No error quotes the string.
    pub fn resolve(text: Option<&str>, env: &Environment<'_>) -> Result<Self, DbError> {
        resolve::resolve(text, env)
    }

    /// The database's name.
    #[must_use]
    pub fn dbname(&self) -> &str {
        &self.dbname
    }

    /// What was left out or looks wrong, in words, without secrets.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The same server, role and password, another database.
    #[must_use]
    pub fn with_dbname(mut self, dbname: impl Into<String>) -> Self {
        self.dbname = dbname.into();
        self
    }
}

impl fmt::Display for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database \"{}\" on ", self.dbname)?;
        for (at, host) in self.hosts.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{host}")?;
        }
        Ok(())
    }
}
