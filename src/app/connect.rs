//! Which server to audit, and how to get in: connection string, `DATABASE_URL`, `PG*` variables, password and service files. Read here, understood by `db`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Context, Error, ErrorKind};
use crate::{
    cli::{SecretUrl, ServerArgs},
    db::{Audited, AuditedOptions, Conninfo, DbError, Environment, FileContent},
};

/// Variables that name a server, a database or a role: with one of them set, `audit` means a database even beside a log.
const NAMING_VARIABLES: [&str; 6] = [
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGSERVICE",
];

/// Largest password, service or certificate file that is read.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// May the environment name the database?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Only `--database-url` does: a CI job's `DATABASE_URL` is not meant for `check`.
    Flag,
    /// `DATABASE_URL` and `PG*` do, too.
    FlagOrEnvironment,
    /// As psql: without any of them, the local server's default database.
    Always,
}

/// Connects to the database that flags and environment name; `None` when they name none.
///
/// # Errors
/// When it is named and cannot be connected to.
pub(super) async fn connect(
    args: &ServerArgs,
    naming: Naming,
    context: &Context,
) -> Result<Option<Audited>, Error> {
    let Some(conninfo) = conninfo(args, naming, context)? else {
        return Ok(None);
    };
    for warning in conninfo.warnings() {
        context.remark(&format!("warning: {warning}"));
    }
    let options = AuditedOptions {
        max_server_time: args.max_server_time,
    };
    let _spinner = context.spinner("connecting");
    Ok(Some(Audited::connect(&conninfo, options).await?))
}

/// Where the database is that a flag other than `--database-url` names.
///
/// # Errors
/// When it can't be understood.
pub(super) fn named(url: &SecretUrl, context: &Context) -> Result<Conninfo, Error> {
    resolve(Some(url.expose()), context)
}

fn conninfo(
    args: &ServerArgs,
    naming: Naming,
    context: &Context,
) -> Result<Option<Conninfo>, Error> {
    let flag = args.database_url.as_ref().map(SecretUrl::expose);
    let text = match naming {
        Naming::Flag => flag,
        _ => flag.or_else(|| context.variable("DATABASE_URL")),
    };
    let named = || {
        NAMING_VARIABLES
            .iter()
            .any(|name| context.variable(name).is_some())
    };
    match (text, naming) {
        (None, Naming::Flag) => return Ok(None),
        (None, Naming::FlagOrEnvironment) if !named() => return Ok(None),
        _ => {}
    }
    Ok(Some(resolve(text, context)?))
}

fn resolve(text: Option<&str>, context: &Context) -> Result<Conninfo, Error> {
    let environment = Environment {
        var: &|name| context.variable(name).map(str::to_owned),
        read: &read,
        os_user: os_user(context),
        home: home(context),
    };
    Ok(Conninfo::resolve(text, &environment)?)
}

fn read(path: &Path) -> io::Result<FileContent> {
    let file = fs::File::open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE_BYTES), &mut bytes)?;
    Ok(FileContent {
        bytes,
        mode: mode(&facts),
    })
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have no such bits")]
fn mode(facts: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(facts.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_facts: &fs::Metadata) -> Option<u32> {
    None
}

fn home(context: &Context) -> Option<PathBuf> {
    match context.variable("HOME") {
        Some(home) => Some(home.into()),
        None => etcetera::home_dir().ok(),
    }
}

/// The account's name, as libpq has it: by user id where that can be looked up, `USER` under `sudo` and in containers may be another's or missing.
fn os_user(context: &Context) -> Option<String> {
    let by_variable = || {
        ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .find_map(|name| context.variable(name))
            .map(str::to_owned)
    };
    by_user_id().or_else(by_variable)
}

#[cfg(unix)]
fn by_user_id() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let id = fs::metadata("/proc/self").ok()?.uid().to_string();
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then_some(name)
    });
    named.map(str::to_owned)
}

#[cfg(not(unix))]
fn by_user_id() -> Option<String> {
    None
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        Self {
            kind: ErrorKind::Connection,
            message: error.to_string(),
            source: None,
            hints: error.hints().to_vec(),
        }
    }
}
