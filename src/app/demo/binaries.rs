//! Which server binaries the demo runs: those that are there, else fetched ones.

use std::path::PathBuf;

use etcetera::BaseStrategy;

use crate::{
    app::{Context, Error, ErrorKind},
    server::{self, Binaries, Search, ServerError},
};

/// Finds binaries; where there are none, says so and fetches a pinned version.
pub(super) async fn find_or_fetch(
    named: Option<PathBuf>,
    context: &Context,
) -> Result<Binaries, Error> {
    let search = search(named, context)?;
    let speaker = context.clone();
    let found = tokio::task::spawn_blocking(move || match server::find(&search, None) {
        Err(ServerError::NotFound { .. }) => {
            speaker.remark("no PostgreSQL server found on this machine");
            server::fetch(&search, None, &mut |text| speaker.remark(text))
        }
        other => other,
    });
    Ok(found.await.map_err(|error| stopped(&error))??)
}

/// Where to look, from environment and flags.
fn search(named: Option<PathBuf>, context: &Context) -> Result<Search, Error> {
    Ok(Search {
        named,
        variable: context.variable("PGASSAY_PG_BIN").map(PathBuf::from),
        path: context.variable("PATH").unwrap_or_default().into(),
        root: PathBuf::from("/"),
        cache: cache()?,
    })
}

/// pgassay's cache folder.
pub(super) fn cache() -> Result<PathBuf, Error> {
    let base = etcetera::choose_base_strategy().map_err(|error| {
        Error::new(ErrorKind::Server, "no folder for pgassay's cache")
            .because(error)
            .hint("set HOME, or XDG_CACHE_HOME")
    })?;
    Ok(server::cache_folder(&base.cache_dir()))
}

/// A thread of ours ended early.
pub(super) fn stopped(error: &tokio::task::JoinError) -> Error {
    Error::new(
        ErrorKind::Server,
        format!("starting a server was interrupted: {error}"),
    )
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
