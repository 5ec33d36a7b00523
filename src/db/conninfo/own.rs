//! Where a server listens that pgassay itself started: the only key to a read-write session.

use std::path::Path;

use crate::db::APPLICATION_NAME;

use super::{Address, Binding, Conninfo, HostSpec, Roots, SslMode, Target, TlsSettings};

/// A server of our own. There is no way here from a connection string, so that a user's database can't be written to by mistake.
#[derive(Debug, Clone)]
pub struct OwnConninfo(pub(in crate::db) Conninfo);

impl OwnConninfo {
    /// The throwaway server that listens on a Unix socket in `socket_dir`, a folder that pgassay made for it.
    #[must_use]
    pub fn of_throwaway(socket_dir: &Path, port: u16, user: &str, dbname: &str) -> Self {
        Self(Conninfo {
            hosts: vec![HostSpec {
                address: Address::Unix(socket_dir.to_owned()),
                port,
                password: None,
            }],
            user: user.to_owned(),
            dbname: dbname.to_owned(),
            application: "pgassay-throwaway".to_owned(),
            options: None,
            connect_timeout: None,
            tls: TlsSettings {
                mode: SslMode::Disable,
                roots: Roots::None,
                client: None,
                direct: false,
                sni: true,
            },
            target: Target::Any,
            binding: Binding::Prefer,
            warnings: Vec::new(),
        })
    }

    /// The same server as the auditor sees it: read-only, through the guard.
    #[must_use]
    pub fn audited(&self) -> Conninfo {
        Conninfo {
            application: APPLICATION_NAME.to_owned(),
            ..self.0.clone()
        }
    }

    /// The same under another `application_name`: a workload that is driven on it says who it is.
    #[must_use]
    pub fn with_application(mut self, name: &str) -> Self {
        name.clone_into(&mut self.0.application);
        self
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_dbname(&self, dbname: &str) -> Self {
        Self(self.0.clone().with_dbname(dbname))
    }
}
