//! Snapshot files: opened, written and described here.

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::Path,
};

use super::{Error, ErrorKind, path_text};
use crate::snapshot::{self, Snapshot, SnapshotError};

/// Reads a snapshot file.
///
/// # Errors
/// When it can't be read or is no usable snapshot.
pub(super) fn open(path: &Path) -> Result<Snapshot, Error> {
    let name = path_text(path);
    let failed = |error: SnapshotError| {
        let hint = match &error {
            SnapshotError::Newer(_) => "use the pgassay that wrote it, or a newer one",
            SnapshotError::Magic => {
                "snapshots are written by: pgassay capture --database-url URL -o FILE"
            }
            SnapshotError::Io(_) => "check that the file exists and that you may read it",
            _ => "capture it again",
        };
        Error::new(ErrorKind::Input, format!("cannot use snapshot \"{name}\""))
            .because(error)
            .hint(hint)
    };
    let file = File::open(path).map_err(|error| failed(error.into()))?;
    let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
    if !is_file {
        return Err(Error::new(
            ErrorKind::Input,
            format!("\"{name}\" is not a file"),
        ));
    }
    let mut snapshot = snapshot::read(BufReader::new(file)).map_err(failed)?;
    snapshot::put_back(&mut snapshot);
    Ok(snapshot)
}

/// Writes a snapshot file: beside its place first, so that an interrupted run leaves no half of one.
///
/// # Errors
/// When it can't be written.
pub(super) fn save(snapshot: &Snapshot, path: &Path) -> Result<u64, Error> {
    let name = path_text(path);
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || -> Result<u64, SnapshotError> {
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        snapshot::write(snapshot, BufWriter::new(&mut temporary))?;
        let n_bytes = temporary.as_file().metadata()?.len();
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(n_bytes)
    };
    write().map_err(|error| {
        Error::new(ErrorKind::Output, format!("cannot write \"{name}\"")).because(error)
    })
}
