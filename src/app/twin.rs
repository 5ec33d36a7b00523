//! Finds binaries for a twin and builds it.

use std::path::{Path, PathBuf};

use super::{
    Context, Error, ErrorKind,
    binaries::{cache, search},
};
use crate::{
    catalog::planner::PlannerState,
    server::{self, Binaries, ServerError},
    twin::{Twin, TwinError, TwinOptions},
};

/// Server binaries of a major version, or any.
pub(super) fn binaries(
    pg_bin: Option<&Path>,
    major: Option<u16>,
    context: &Context,
) -> Result<Binaries, ServerError> {
    server::find(&search(pg_bin, context), major)
}

/// Majors that a twin may stand in for an older server with, nearest first.
const NEWER_MAJORS: u16 = 5;

/// Builds the twin: same major version, else the nearest newer one that is at hand.
///
/// # Errors
/// When there are no binaries, or the server does not start.
pub(super) async fn build(
    state: PlannerState,
    pg_bin: Option<&Path>,
    as_major: Option<u16>,
    context: &Context,
) -> Result<Twin, Error> {
    let captured = u16::try_from(state.version_num / 10_000).unwrap_or(0);
    let binaries = match as_major {
        Some(major) => binaries(pg_bin, Some(major), context)?,
        None => (captured..=captured + NEWER_MAJORS)
            .find_map(|major| binaries(pg_bin, Some(major), context).ok())
            .map_or_else(|| binaries(pg_bin, Some(captured), context), Ok)?,
    };
    let options = TwinOptions {
        cache: cache(context),
        temp: PathBuf::from("/tmp"),
    };
    let _spinner = context.spinner("building a twin of the server");
    Ok(Twin::build(state, binaries, options).await?)
}

impl From<TwinError> for Error {
    fn from(error: TwinError) -> Self {
        match error {
            TwinError::Server(error) => error.into(),
            other => Self::new(ErrorKind::Server, other.to_string()),
        }
    }
}
