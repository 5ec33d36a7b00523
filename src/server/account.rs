//! Whose rights a server gets: never root's.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
    time::Duration,
};

use nix::unistd::{Gid, Uid, User, chown};

use super::{ServerError, command};

/// First and last of the user ids that are tried for [`RunAs::Stranger`]: systemd's range for dynamic users, which no distribution
/// gives to real ones.
const STRANGERS: (u32, u32) = (61_184, 65_519);

/// A thousand files.
const CHMOD_LIMIT: Duration = Duration::from_secs(60);

/// Under whom a server runs when pgassay is root; otherwise it is always the user itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunAs {
    /// `postgres`, else `nobody`.
    #[default]
    Service,
    /// A user id that nobody has: for servers that are fed from untrusted input. `postgres` may own a real cluster on this host, which
    /// trusts it by peer authentication.
    Stranger,
}

/// The user that a process is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    uid: Uid,
    gid: Gid,
    /// We are root and become somebody else.
    drops: bool,
}

pub(super) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Makes a folder of the cache, and those above it. Under root the server's user must be able to enter them, whatever the umask says.
pub(super) fn make_cache_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_cache_folder(parent)?;
    }
    match fs::create_dir(path) {
        // somebody else was faster
        Err(_) if path.is_dir() => {}
        other => other?,
    }
    if is_root() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Lets everybody read what lies below a folder of root's, and root alone change it. Links are not followed.
pub(super) fn open_to_all(folder: &Path) -> io::Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut chmod = Command::new("chmod");
    let finished = command::run(chmod.args(["-R", "a+rX,go-w"]).arg(folder), CHMOD_LIMIT)?;
    if finished.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(finished.stderr))
    }
}

impl Account {
    /// The account for a server.
    pub(super) fn choose(run_as: RunAs) -> Result<Self, ServerError> {
        if !is_root() {
            return Ok(Self {
                uid: Uid::effective(),
                gid: Gid::effective(),
                drops: false,
            });
        }
        match run_as {
            RunAs::Service => ["postgres", "nobody"]
                .into_iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .filter(|user| !user.uid.is_root())
                .map(|user| Self {
                    uid: user.uid,
                    gid: user.gid,
                    drops: true,
                })
                .ok_or(ServerError::NoUser),
            RunAs::Stranger => Self::stranger(),
        }
    }

    /// A user id without a name; another one for each process, so that two servers can't reach each other.
    fn stranger() -> Result<Self, ServerError> {
        let (first, last) = STRANGERS;
        let n = last - first + 1;
        let start = std::process::id() % n;
        (0..n)
            .map(|step| first + (start + step) % n)
            .find(|id| matches!(User::from_uid(Uid::from_raw(*id)), Ok(None)))
            .map(|id| Self {
                uid: Uid::from_raw(id),
                gid: Gid::from_raw(id),
                drops: true,
            })
            .ok_or(ServerError::NoUser)
    }

    /// Makes `command` run as this account, without any of root's groups, in a process group of its own (Ctrl-C is for us alone).
    pub(super) fn apply(self, command: &mut Command) {
        command.process_group(0);
        if self.drops {
            // setting the user id as root also clears the supplementary groups
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
    }

    /// Gives a file of ours to this account.
    pub(super) fn own(self, path: &Path) -> Result<(), ServerError> {
        if !self.drops {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(|errno| ServerError::Io {
            what: format!("giving \"{}\" to the server's user", path.display()),
            source: errno.into(),
        })
    }

    pub(super) fn uid(self) -> u32 {
        self.uid.as_raw()
    }
}
