//! Finds Postgres binaries and runs a private throwaway server; never as root, always cleaned up.
//!
//! Three steps, each usable by itself: [`find`] looks for binaries that are there, [`fetch`] gets a pinned version once, and
//! [`Server::start`] runs one in a folder of its own: a socket and no TCP, durability off, statement log on. Whatever becomes of this
//! process (also `kill -9`), the server is stopped and its folder removed; only [`Server::keep`] leaves it running.
//!
//! Everything here blocks; async callers use `spawn_blocking`. Nothing here reads the environment: [`Search`] and [`Options`] bring it.

mod account;
mod binaries;
mod command;
mod copies;
mod error;
mod fetch;
mod find;
mod folder;
mod options;
mod running;
mod template;
mod watchdog;

pub use account::RunAs;
pub use binaries::Binaries;
pub use error::ServerError;
pub use fetch::{DEFAULT_MAJOR, fetch};
pub use find::{Search, find};
pub use options::{LOG_LINE_PREFIX, LogFormat, Options};
pub use running::{Kept, SUPERUSER, Server};

use std::path::{Path, PathBuf};

/// pgassay's cache when it runs as root: root's home is closed to the user that the server runs as.
const SYSTEM_CACHE: &str = "/var/cache/pgassay";

/// The cache folder: a system folder under root, else `pgassay` in the user's own cache folder.
#[must_use]
pub fn cache_folder(user_cache: &Path) -> PathBuf {
    if account::is_root() {
        PathBuf::from(SYSTEM_CACHE)
    } else {
        user_cache.join("pgassay")
    }
}

/// Where a server's folder is made: the user's temporary folder if there is one, `/tmp` under root: what root's `TMPDIR` names may be closed
/// to the user that the server runs as.
#[must_use]
pub fn temporary_folder(user_temporary: Option<&Path>) -> PathBuf {
    match user_temporary {
        Some(folder) if !account::is_root() => folder.to_owned(),
        _ => PathBuf::from("/tmp"),
    }
}
