//! The private folder of one server: made, locked, watched over, removed.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use super::{
    ServerError,
    account::Account,
    watchdog::{self, Watchdog},
};

/// How our folders are called: `/tmp/pgassay-a1B2c3`.
const PREFIX: &str = "pgassay-";

/// Held with a lock for as long as the folder's owner lives.
const LOCK: &str = "lock";

/// What the lock is called before it is held.
const UNLOCKED: &str = "lock.new";

/// What it is called once the folder was left to the user.
const KEPT: &str = "kept";

/// A folder that only the server's user (and root) can enter. Gone when dropped, or when we are.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    account: Account,
    watchdog: Option<Watchdog>,
    _lock: Flock<File>,
}

impl Folder {
    /// Makes one with these files in it, which are the account's from then on, as is the folder.
    pub(super) fn create(
        temp: &Path,
        account: Account,
        files: impl FnOnce(&Path) -> Vec<(&'static str, String)>,
    ) -> Result<Self, ServerError> {
        let failed = |path: &Path| ServerError::io(format!("making \"{}\"", path.display()));
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(temp)
            .map_err(failed(&temp.join(PREFIX)))?;
        let path = made.path();
        for (name, content) in files(path) {
            let file = path.join(name);
            fs::write(&file, content).map_err(failed(&file))?;
            account.own(&file)?;
        }
        let lock = lock(path).map_err(failed(&path.join(LOCK)))?;
        account.own(path)?;
        let watchdog = Watchdog::start(path, account)?;
        Ok(Self {
            path: made.keep(),
            account,
            watchdog: Some(watchdog),
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn account(&self) -> Account {
        self.account
    }

    /// Leaves the folder, and what runs in it, to the user.
    pub(super) fn keep(mut self) -> Result<PathBuf, ServerError> {
        fs::rename(self.path.join(LOCK), self.path.join(KEPT))
            .map_err(ServerError::io("keeping the server"))?;
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss();
        }
        Ok(self.path.clone())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(watchdog) = self.watchdog.take() else {
            return;
        };
        // on failure the watchdog tries again: it sees our end of the pipe close
        if fs::remove_dir_all(&self.path).is_ok() {
            watchdog.dismiss();
        }
    }
}

/// The lock appears under its name only once it is held, so that nobody takes a folder in the making for a stale one.
fn lock(folder: &Path) -> io::Result<Flock<File>> {
    let unlocked = folder.join(UNLOCKED);
    let file = File::create(&unlocked)?;
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
    fs::rename(&unlocked, folder.join(LOCK))?;
    Ok(held)
}

/// Removes what earlier runs left behind when they and their watchdogs were killed (a container's end, a power cut).
pub(super) fn sweep(temp: &Path, account: Account) {
    let Ok(entries) = fs::read_dir(temp) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(PREFIX) && is_stale(&entry.path(), account) {
            watchdog::clean(&entry.path(), account);
        }
    }
}

/// Ours, and nobody holds its lock.
fn is_stale(folder: &Path, account: Account) -> bool {
    let owned = fs::symlink_metadata(folder)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == account.uid());
    let lock = folder.join(LOCK);
    owned
        && fs::symlink_metadata(&lock).is_ok_and(|metadata| metadata.is_file())
        && File::open(&lock)
            .is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok())
}
