//! Where a server listens that may be written to: one that pgassay itself started, or a copy that the user names for it. The only key to a
//! read-write session.

use std::path::Path;

use crate::db::APPLICATION_NAME;

use super::{Address, Binding, Conninfo, HostSpec, Roots, SslMode, Target, TlsSettings};

/// A server of our own. Outside `db` there is no way here from a connection string, so that a user's database can't be written to by mistake.
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

    /// A copy that the user named: `database_copy` sees to it that it is nobody's live database before anything is done there.
    pub(in crate::db) fn of_copy(info: &Conninfo) -> Self {
        Self(Conninfo {
            application: "pgassay-verify".to_owned(),
            ..info.clone()
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
