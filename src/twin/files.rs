//! Relation files of the twin: sparse sizes and patched pages, strictly below the twin's own data directory.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use super::page::{PAGE_BYTES, Page};

/// `RELSEG_SIZE`: blocks of one file; the next ones go into `name.1`, `name.2`, …
const SEGMENT_BLOCKS: u64 = 131_072;
/// `MaxBlockNumber` + 1.
pub(super) const MAX_BLOCKS: u64 = u32::MAX as u64;

/// Why a file could not be touched.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The server named a path that no relation has.
    #[error("not a relation's path: {0:?}")]
    Path(String),
    /// A component is a symbolic link or no regular file: somebody tampers.
    #[error("refusing {0}: not a regular file of the twin")]
    Irregular(PathBuf),
    /// More blocks than a relation can have.
    #[error("{0} blocks are more than a relation can have")]
    TooLarge(u64),
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A data directory that we made.
#[derive(Debug, Clone)]
pub(super) struct DataDir {
    root: PathBuf,
    owner: (u32, u32),
}

impl DataDir {
    /// The directory at `root`; new files get its owner.
    pub(super) fn new(root: impl Into<PathBuf>) -> Result<Self, FileError> {
        let root = root.into();
        let meta = std::fs::symlink_metadata(&root).map_err(|source| FileError::Io {
            path: root.clone(),
            source,
        })?;
        if !meta.is_dir() {
            return Err(FileError::Irregular(root));
        }
        Ok(Self {
            owner: (meta.uid(), meta.gid()),
            root,
        })
    }

    /// Gives the relation at `path` (`pg_relation_filepath`) that many blocks: longer files become sparse, shorter ones are cut.
    pub(super) fn set_blocks(&self, path: &str, n_blocks: u64) -> Result<(), FileError> {
        if n_blocks > MAX_BLOCKS {
            return Err(FileError::TooLarge(n_blocks));
        }
        let (full, rest) = (n_blocks / SEGMENT_BLOCKS, n_blocks % SEGMENT_BLOCKS);
        for segment in 0..full {
            self.set_segment(path, segment, SEGMENT_BLOCKS)?;
        }
        if rest > 0 || full == 0 {
            self.set_segment(path, full, rest)?;
        }
        Ok(())
    }

    /// Cuts the first segment alone: to the server the relation is `n_blocks` (fewer than a segment) long, later segments notwithstanding.
    pub(super) fn set_first_segment(&self, path: &str, n_blocks: u64) -> Result<(), FileError> {
        self.set_segment(path, 0, n_blocks.min(SEGMENT_BLOCKS))
    }

    fn set_segment(&self, path: &str, segment: u64, n_blocks: u64) -> Result<(), FileError> {
        let file = self.open(path, segment)?;
        file.set_len(n_blocks * PAGE_BYTES as u64)
            .map_err(|source| self.io(path, source))
    }

    /// Blocks of the relation's first segment.
    pub(super) fn n_blocks_of_first(&self, path: &str) -> Result<u64, FileError> {
        let meta = self.open(path, 0)?.metadata();
        Ok(meta.map_err(|source| self.io(path, source))?.len() / PAGE_BYTES as u64)
    }

    /// The relation's first page.
    pub(super) fn read_first(&self, path: &str) -> Result<Page, FileError> {
        let mut page = [0; PAGE_BYTES];
        self.open(path, 0)?
            .read_exact_at(&mut page, 0)
            .map_err(|source| self.io(path, source))?;
        Ok(page)
    }

    /// The first segment, as far as it has no more than that many pages.
    pub(super) fn read_all(&self, path: &str, max_pages: u64) -> Result<Vec<Page>, FileError> {
        let n = self.n_blocks_of_first(path)?.min(max_pages);
        let file = self.open(path, 0)?;
        (0..n)
            .map(|at| {
                let mut page = [0; PAGE_BYTES];
                file.read_exact_at(&mut page, at * PAGE_BYTES as u64)
                    .map_err(|source| self.io(path, source))?;
                Ok(page)
            })
            .collect()
    }

    /// Writes pages from block `first` on; all must lie in the first segment.
    pub(super) fn write_pages(
        &self,
        path: &str,
        first: u64,
        pages: &[Page],
    ) -> Result<(), FileError> {
        let file = self.open(path, 0)?;
        for (at, page) in pages.iter().enumerate() {
            file.write_all_at(page, (first + at as u64) * PAGE_BYTES as u64)
                .map_err(|source| self.io(path, source))?;
        }
        Ok(())
    }

    /// Writes the relation's visibility map, one page long.
    pub(super) fn write_visibility_map(&self, path: &str, page: &Page) -> Result<(), FileError> {
        self.write_pages(&format!("{path}_vm"), 0, std::slice::from_ref(page))
    }

    /// Opens one segment, never through a symbolic link and never outside; makes it where it is missing.
    fn open(&self, path: &str, segment: u64) -> Result<File, FileError> {
        let full = self.resolve(path, segment)?;
        match std::fs::symlink_metadata(&full) {
            Ok(meta) if meta.is_file() => self.open_known(&full, &meta),
            Ok(_) => Err(FileError::Irregular(full)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(&full),
            Err(source) => Err(FileError::Io { path: full, source }),
        }
    }

    /// Opens the very file that was looked at: a link put in its place meanwhile has another inode.
    fn open_known(&self, full: &Path, seen: &std::fs::Metadata) -> Result<File, FileError> {
        let error = |source| FileError::Io {
            path: full.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(full)
            .map_err(error)?;
        let opened = file.metadata().map_err(error)?;
        if (opened.dev(), opened.ino()) != (seen.dev(), seen.ino()) || opened.uid() != self.owner.0
        {
            return Err(FileError::Irregular(full.to_owned()));
        }
        Ok(file)
    }

    fn create(&self, full: &Path) -> Result<File, FileError> {
        let error = |source| FileError::Io {
            path: full.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true) // O_EXCL: never through a link
            .mode(0o600)
            .open(full)
            .map_err(error)?;
        let made = file.metadata().map_err(error)?;
        if made.uid() != self.owner.0 {
            fchown(&file, Some(self.owner.0), Some(self.owner.1)).map_err(error)?;
        }
        Ok(file)
    }

    /// The file of a segment; its directory must be a real directory below the root.
    fn resolve(&self, path: &str, segment: u64) -> Result<PathBuf, FileError> {
        if !is_relation_path(path) {
            return Err(FileError::Path(path.to_owned()));
        }
        let mut full = self.root.clone();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            full.push(part);
            if parts.peek().is_some() {
                let meta = std::fs::symlink_metadata(&full).map_err(|s| self.io(path, s))?;
                if !meta.is_dir() {
                    return Err(FileError::Irregular(full));
                }
            }
        }
        if segment > 0 {
            full.set_file_name(format!(
                "{}.{segment}",
                full.file_name().unwrap_or_default().to_string_lossy()
            ));
        }
        Ok(full)
    }

    fn io(&self, path: &str, source: io::Error) -> FileError {
        FileError::Io {
            path: self.root.join(path),
            source,
        }
    }
}

/// `base/<database>/<file>`, optionally of the visibility map: nothing else is ever opened.
fn is_relation_path(path: &str) -> bool {
    let number = |part: &str| {
        !part.is_empty() && part.len() <= 10 && part.bytes().all(|b| b.is_ascii_digit())
    };
    match path.split('/').collect::<Vec<_>>()[..] {
        ["base", database, file] => {
            number(database) && number(file.strip_suffix("_vm").unwrap_or(file))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin() -> (tempfile::TempDir, DataDir) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("base/5")).unwrap();
        let data = DataDir::new(dir.path()).unwrap();
        (dir, data)
    }

    #[test]
    fn a_large_relation_is_sparse_and_in_segments() {
        let (dir, data) = twin();
        data.set_blocks("base/5/16400", 2 * SEGMENT_BLOCKS + 3)
            .unwrap();
        let meta = |name: &str| std::fs::metadata(dir.path().join("base/5").join(name)).unwrap();
        assert_eq!(meta("16400").len(), 1 << 30);
        assert_eq!(meta("16400.1").len(), 1 << 30);
        assert_eq!(meta("16400.2").len(), 3 * 8192);
        assert!(meta("16400").blocks() < 100, "no disk is used");
        data.set_blocks("base/5/16401", 0).unwrap();
        assert_eq!(meta("16401").len(), 0);
    }

    #[test]
    fn pages_are_written_where_they_belong() {
        let (_dir, data) = twin();
        data.set_blocks("base/5/1", 4).unwrap();
        data.write_pages("base/5/1", 0, &[[7; PAGE_BYTES]]).unwrap();
        assert_eq!(data.read_first("base/5/1").unwrap(), [7; PAGE_BYTES]);
    }

    #[test]
    fn nothing_outside_is_touched() {
        let (dir, data) = twin();
        for path in [
            "../etc/passwd",
            "/etc/passwd",
            "base/../1",
            "base/5/../../x",
            "base/5/",
            "base/5/1x",
            "global/1",
            "base//1",
            "",
        ] {
            assert!(
                matches!(data.set_blocks(path, 1), Err(FileError::Path(_))),
                "{path}"
            );
        }
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("base/5/77")).unwrap();
        assert!(matches!(
            data.set_blocks("base/5/77", 1),
            Err(FileError::Irregular(_))
        ));
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("base/6")).unwrap();
        assert!(matches!(
            data.set_blocks("base/6/1", 1),
            Err(FileError::Irregular(_))
        ));
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
        assert_eq!(outside.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let (_dir, data) = twin();
        assert!(matches!(
            data.set_blocks("base/5/1", MAX_BLOCKS + 1),
            Err(FileError::TooLarge(_))
        ));
    }
}
