//! What can go wrong with a twin.

use super::files::FileError;
use crate::{
    db::{DbError, OwnError},
    server::ServerError,
};

/// Why there is no twin.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// The throwaway server did not start, stop or start again.
    #[error("the twin's server: {0}")]
    Server(#[from] ServerError),
    /// It can't be reached.
    #[error("the twin's server: {0}")]
    Connection(#[from] DbError),
    /// It refused a statement that every server takes.
    #[error("the twin's server refused a statement of ours: {0}")]
    Statement(String),
    /// Its files can't be written.
    #[error("the twin's files: {0}")]
    Files(#[from] FileError),
    /// The state is of another kind of server.
    #[error("a twin of this server is not possible: {0}")]
    Unsupported(String),
}

impl TwinError {
    #[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
    pub(super) fn own(error: OwnError) -> Self {
        Self::Statement(super::inject::reason(&error))
    }
}
