//! The database layer against real servers: what it reads, what it refuses, what it leaves behind.

mod admission;
mod catalog;
mod guard;
mod login;
mod net;
mod statements;
mod tls;
mod versions;
mod what_if;

use std::{fs, io, path::Path, time::Duration};

use pgassay::db::{Audited, AuditedOptions, Conninfo, DbError, Environment, FileContent};

use crate::support::Database;

/// Enough for any test's EXPLAINs, also on a busy machine.
pub(crate) const BUDGET: AuditedOptions = AuditedOptions {
    max_server_time: Duration::from_secs(60),
};

/// A guarded session to a test's database.
pub(crate) async fn audited(database: &Database) -> Audited {
    audited_as(&database.conninfo.audited()).await
}

pub(crate) async fn audited_as(info: &Conninfo) -> Audited {
    Audited::connect(info, BUDGET)
        .await
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.hints()))
}

/// A connection string in an empty environment; files are read as they are, and count as private.
pub(crate) fn conninfo(text: &str) -> Result<Conninfo, DbError> {
    let read = |path: &Path| -> io::Result<FileContent> {
        Ok(FileContent {
            bytes: fs::read(path)?,
            mode: Some(0o600),
        })
    };
    let env = Environment {
        var: &|_| None,
        read: &read,
        os_user: Some("nobody".to_owned()),
        home: None,
    };
    Conninfo::resolve(Some(text), &env)
}
