//! An initialised data folder, kept in the cache: copying it takes a tenth of what `initdb` takes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Binaries, Options, RunAs, ServerError,
    account::{Account, make_cache_folder, open_to_all},
    binaries::clean_environment,
    command,
    error::tail,
    folder::Folder,
    running::SUPERUSER,
};

/// `initdb` takes a second or two; on a machine that is busy with other things, more.
const INITDB_LIMIT: Duration = Duration::from_secs(120);

/// 40 MB to copy.
const COPY_LIMIT: Duration = Duration::from_secs(60);

/// A data folder to copy from.
#[derive(Debug)]
pub(super) struct Template {
    data: PathBuf,
    /// Where it lies when the cache can't be written.
    _folder: Option<Folder>,
}

impl Template {
    /// The data folder of a server that is down.
    pub(super) fn of_stopped(data: PathBuf) -> Self {
        Self {
            data,
            _folder: None,
        }
    }

    /// Takes the one in the cache, or makes it.
    pub(super) fn prepare(binaries: &Binaries, options: &Options) -> Result<Self, ServerError> {
        let cached = options.cache.join("templates").join(key(binaries, options));
        if cached.join("PG_VERSION").is_file() {
            return Ok(Self {
                data: cached,
                _folder: None,
            });
        }
        // initdb wants a user with a name
        let account = Account::choose(RunAs::Service)?;
        let folder = Folder::create(&options.temp, account, |_| Vec::new())?;
        initdb(binaries, options, &folder)?;
        let made = folder.path().join("data");
        match publish(&made, &cached) {
            Ok(()) => Ok(Self {
                data: cached,
                _folder: None,
            }),
            Err(_) => Ok(Self {
                data: made,
                _folder: Some(folder),
            }),
        }
    }

    /// Copies it to `folder/data`, as the folder's user.
    pub(super) fn copy_into(&self, folder: &Folder) -> Result<(), ServerError> {
        let script = "umask 077; cp -RP \"$1\" \"$2\" && chmod 700 \"$2\"";
        let mut copy = Command::new("/bin/sh");
        copy.args(["-c", script, "pgassay"])
            .arg(&self.data)
            .arg(folder.path().join("data"))
            .current_dir("/");
        clean_environment(&mut copy);
        folder.account().apply(&mut copy);
        let what = "copying the server's data folder";
        let finished = command::run(&mut copy, COPY_LIMIT).map_err(ServerError::io(what))?;
        if finished.status.success() {
            return Ok(());
        }
        let why = std::io::Error::other(tail(&finished.stderr, 2));
        Err(ServerError::io(what)(why))
    }
}

/// One template a build, locale and owner of the cache.
fn key(binaries: &Binaries, options: &Options) -> String {
    let locale = options.locale.as_deref().unwrap_or("");
    let folder = binaries.folder().display();
    let mut identity = format!("{}\n{folder}\n{locale}", binaries.version());
    if let Some(mb) = options.wal_segment_mb {
        identity.push_str(&format!("\n{mb} MB"));
    }
    format!("{}-{:016x}", binaries.major(), xxh3_64(identity.as_bytes()))
}

fn initdb(binaries: &Binaries, options: &Options, folder: &Folder) -> Result<(), ServerError> {
    let Some(locale) = &options.locale else {
        // not every system has C.UTF-8
        return initdb_with(binaries, options, folder, "C.UTF-8")
            .or_else(|_| initdb_with(binaries, options, folder, "C"));
    };
    initdb_with(binaries, options, folder, locale)
}

fn initdb_with(
    binaries: &Binaries,
    options: &Options,
    folder: &Folder,
    locale: &str,
) -> Result<(), ServerError> {
    let mut initdb = Command::new(binaries.program("initdb"));
    clean_environment(&mut initdb);
    folder.account().apply(&mut initdb);
    initdb
        .arg("-D")
        .arg(folder.path().join("data"))
        .args(["--no-sync", "--auth=trust", "--encoding=UTF8"])
        .arg(format!("--username={SUPERUSER}"))
        .arg(format!("--locale={locale}"))
        .current_dir(folder.path());
    if let Some(mb) = options.wal_segment_mb {
        initdb.arg(format!("--wal-segsize={mb}"));
    }
    if binaries.major() >= 18 {
        // on by default from 18; a twin patches pages, and nobody needs them in a server that lives for seconds
        initdb.arg("--no-data-checksums");
    }
    let finished =
        command::run(&mut initdb, INITDB_LIMIT).map_err(ServerError::io("running initdb"))?;
    if finished.status.success() {
        return Ok(());
    }
    Err(ServerError::Initdb {
        stderr: tail(&finished.stderr, 4),
    })
}

/// Copies a fresh data folder into the cache. Under root it becomes root's, for all to read (there is nothing secret in it) and for nobody
/// to change.
fn publish(made: &Path, cached: &Path) -> std::io::Result<()> {
    let parent = cached.parent().unwrap_or(cached);
    make_cache_folder(parent)?;
    let staging = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(parent)?;
    let copy = staging.path().join("data");
    let mut command = Command::new("cp");
    command.arg("-RP").arg(made).arg(&copy);
    let finished = command::run(&mut command, COPY_LIMIT)?;
    if !finished.status.success() {
        return Err(std::io::Error::other(finished.stderr));
    }
    open_to_all(&copy)?;
    match fs::rename(&copy, cached) {
        // somebody else was faster
        Err(_) if cached.join("PG_VERSION").is_file() => Ok(()),
        other => other,
    }
}
