//! Text files that are read as a whole: statements, plans, cost tables.

use std::{fs::File, io::Read, path::Path};

use super::{Error, ErrorKind, path_text};

/// A file's text; `-` is stdin.
///
/// # Errors
/// When it cannot be read, is no UTF-8, or is larger than `max_bytes`: a part of it would be another text.
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<String, Error> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin()
            .take(max_bytes + 1)
            .read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(max_bytes + 1).read_to_string(&mut text))
    };
    let cannot = || {
        Error::new(
            ErrorKind::Input,
            format!("cannot read \"{}\"", path_text(path)),
        )
    };
    let n_bytes = read.map_err(|error| cannot().because(error))?;
    if n_bytes as u64 > max_bytes {
        return Err(cannot().because(format!("it is larger than {} MB", max_bytes >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.sql");
        std::fs::write(&path, "SELECT 1").unwrap();
        assert_eq!(read(&path, 8).unwrap(), "SELECT 1");
        assert!(read(&path, 7).is_err());
        assert!(read(&folder.path().join("none"), 8).is_err());
    }
}
