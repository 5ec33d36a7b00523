//! Which server binaries pgassay runs: those that are there; for the demo, else fetched ones.

use std::path::{Path, PathBuf};

use super::{Context, Error, ErrorKind};
use crate::server::{self, Binaries, Search, ServerError};

/// Finds binaries; where there are none, says so and fetches a pinned version.
pub(super) async fn find_or_fetch(
    named: Option<&Path>,
    context: &Context,
) -> Result<Binaries, Error> {
    let search = search(named, context);
    let speaker = context.clone();
    let found = tokio::task::spawn_blocking(move || match server::find(&search, None) {
        Err(ServerError::NotFound { .. }) => {
            speaker.remark("no PostgreSQL server found on this machine");
            server::fetch(&search, None, &mut |text| speaker.remark(text))
        }
        other => other,
    });
    Ok(found.await.map_err(|error| interrupted(&error))??)
}

/// Where to look, from flag and environment.
pub(super) fn search(named: Option<&Path>, context: &Context) -> Search {
    Search {
        named: named.map(Path::to_owned),
        variable: context.variable("PGASSAY_PG_BIN").map(PathBuf::from),
        path: context.variable("PATH").unwrap_or_default().into(),
        root: PathBuf::from("/"),
        cache: cache(context),
    }
}

/// pgassay's cache folder. Without a home it is one that can't be made: programs are never run from a folder that others may write to.
pub(super) fn cache(context: &Context) -> PathBuf {
    let below_home = || {
        let home = context.variable("HOME").map(PathBuf::from);
        let home = home.or_else(|| etcetera::home_dir().ok());
        home.map(|home| home.join(".cache"))
    };
    let user = context.variable("XDG_CACHE_HOME").map(PathBuf::from);
    let user = user.or_else(below_home);
    server::cache_folder(&user.unwrap_or_else(|| PathBuf::from("/nonexistent")))
}

/// A thread of ours ended early.
pub(super) fn interrupted(error: &tokio::task::JoinError) -> Error {
    let message = format!("starting a server was interrupted: {error}");
    Error::new(ErrorKind::Server, message)
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        let hints = error.hints();
        Self {
            hints,
            ..Self::new(ErrorKind::Server, error.to_string())
        }
    }
}
