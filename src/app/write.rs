//! Writing results: a report to stdout or a file, migration files below one folder. Nothing is ever half-written.

use std::{
    ffi::OsStr,
    fs, io,
    io::Write,
    path::{Component, Path, PathBuf},
};

use super::{Context, Error, ErrorKind, path_text};
use crate::{
    cli::ReportArgs,
    finding::Report,
    migration::MigrationFile,
    report::{OUTPUTS, Output, View},
};

/// Writes the report as `--format` and `--output` say: to each file in its format, and to stdout unless a file took `--format`'s place.
pub(super) fn report(report: &Report, args: &ReportArgs, context: &Context) -> Result<(), Error> {
    let top = if args.all { usize::MAX } else { args.top };
    let mut to_stdout = true;
    for target in &args.output {
        let (named, path) = format_and_file(target);
        to_stdout &= named.is_some();
        let output = named.unwrap_or_else(|| output(&args.format));
        let text = (output.render)(report, &view(false, top, context));
        replace(path, text.as_bytes())?;
    }
    if !to_stdout {
        return Ok(());
    }
    let view = view(context.colors_stdout(), top, context);
    context.print((output(&args.format).render)(report, &view).as_bytes())
}

/// `sarif=FILE` names a format; a file whose name only looks so can be written as `./sarif=FILE`.
fn format_and_file(target: &OsStr) -> (Option<&'static Output>, &Path) {
    let named = OUTPUTS.iter().find_map(|output| {
        let text = target.to_str()?;
        let file = text.strip_prefix(output.name)?.strip_prefix('=')?;
        Some((*output, Path::new(file)))
    });
    match named {
        Some((output, path)) => (Some(output), path),
        None => (None, Path::new(target)),
    }
}

fn view(color: bool, top: usize, context: &Context) -> View {
    View {
        width: context.width,
        color,
        top,
    }
}

fn output(name: &str) -> &'static Output {
    OUTPUTS
        .iter()
        .find(|output| output.name == name)
        .expect("clap takes only names of the registry")
}

/// Replaces a file's content, or creates it: readers see the old or the new content, never a part.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = |error: io::Error| Error::output(&format!("{:?}", path_text(path)), error);
    if fs::metadata(path).is_ok_and(|facts| !facts.is_file()) {
        // a device or a pipe, such as /dev/stdout, is written, not replaced
        return fs::write(path, content).map_err(failed);
    }
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    readable_by_all(file.as_file()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Temporary files are private; results are not.
fn readable_by_all(file: &fs::File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    let _ = file;
    Ok(())
}

/// Writes a file that must not be there yet.
pub(super) fn new_file(path: &Path, content: &str) -> Result<(), Error> {
    let temporary = prepared(path, content)?;
    let persisted = temporary.persist_noclobber(path);
    persisted
        .map(drop)
        .map_err(|error| cannot_write(path, error.error))
}

/// Writes files below `out`, all or none, and returns their paths. Existing files stay as they are, apart from those that list migrations: such a file is
/// replaced if it still has the text that the new one was made from.
///
/// # Errors
/// When a file exists or has changed, a folder is a symbolic link or can't be made, or writing fails.
pub(super) fn new_files(out: &Path, files: &[MigrationFile]) -> Result<Vec<PathBuf>, Error> {
    let mut ready = Vec::new();
    for file in files {
        let path = below(out, &file.path)?;
        unchanged(&path, file)?;
        ready.push((prepared(&path, &file.content)?, path, file));
    }
    let mut written: Vec<(PathBuf, &MigrationFile)> = Vec::new();
    for (temporary, path, file) in ready {
        let result = match file.replaces {
            None => temporary.persist_noclobber(&path),
            Some(_) => temporary.persist(&path),
        };
        if let Err(error) = result {
            take_back(&written);
            return Err(cannot_write(&path, error.error));
        }
        written.push((path, file));
    }
    Ok(written.into_iter().map(|(path, _)| path).collect())
}

/// Leaves things as they were before.
fn take_back(written: &[(PathBuf, &MigrationFile)]) {
    for (path, file) in written {
        let old = file.replaces.as_ref().map(|old| prepared(path, old));
        match old {
            Some(Ok(old)) => drop(old.persist(path)),
            Some(Err(_)) => {}
            None => drop(fs::remove_file(path)),
        }
    }
}

/// A file that is to be replaced must be a plain file, with the text that is known of it.
fn unchanged(path: &Path, file: &MigrationFile) -> Result<(), Error> {
    let Some(old) = &file.replaces else {
        return Ok(());
    };
    let is_file = fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file());
    if is_file && fs::read_to_string(path).is_ok_and(|text| text == *old) {
        return Ok(());
    }
    let message = format!("{:?} is a link, or has changed meanwhile", path_text(path));
    Err(Error::new(ErrorKind::Output, message).hint("run it again"))
}

/// The whole content in a temporary file beside its place.
fn prepared(path: &Path, content: &str) -> Result<tempfile::NamedTempFile, Error> {
    let failed = |error| cannot_write(path, error);
    let mut temporary = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(failed)?;
    temporary.write_all(content.as_bytes()).map_err(failed)?;
    readable_by_all(temporary.as_file()).map_err(failed)?;
    Ok(temporary)
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            "pgassay overwrites nothing: move the file away, or choose another --out"
        }
        io::ErrorKind::StorageFull => "the disk is full; nothing was written",
        _ => "choose another folder with --out",
    };
    Error::output(&format!("{:?}", path_text(path)), error).hint(hint)
}

/// The path of a file below `out`, its folders made. A relative path that leaves `out`, and a folder that is a symbolic link, are refused.
fn below(out: &Path, relative: &str) -> Result<PathBuf, Error> {
    let relative = Path::new(relative);
    let inside = relative
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    if !inside {
        let message = format!(
            "{:?} is not below {:?}",
            path_text(relative),
            path_text(out)
        );
        return Err(Error::new(ErrorKind::Output, message));
    }
    let mut folder = out.to_path_buf();
    make_folder(&folder)?;
    for part in relative.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        make_folder(&folder)?;
    }
    Ok(out.join(relative))
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(folder) {
        Ok(facts) if facts.is_dir() => Ok(()),
        Ok(facts) => {
            let what = if facts.is_symlink() {
                "a symbolic link"
            } else {
                "no folder"
            };
            let message = format!("{:?} is {what}", path_text(folder));
            Err(Error::new(ErrorKind::Output, message).hint("name a folder of its own with --out"))
        }
        Err(_) => fs::create_dir_all(folder).map_err(|error| cannot_write(folder, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> MigrationFile {
        MigrationFile::new(path, "SELECT 1;\n")
    }

    #[test]
    fn writes_all_or_none() {
        let out = tempfile::tempdir().unwrap();
        let written = new_files(out.path(), &[file("a.sql"), file("drops/b.sql")]).unwrap();
        assert_eq!(fs::read(&written[1]).unwrap(), b"SELECT 1;\n");
        let error = new_files(out.path(), &[file("c.sql"), file("a.sql")]).unwrap_err();
        assert!(error.render().contains("a.sql"));
        assert!(!out.path().join("c.sql").exists());
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 2);
    }

    #[test]
    fn leaves_the_folder_alone_that_a_link_points_to() {
        let (out, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        #[cfg(unix)]
        std::os::unix::fs::symlink(elsewhere.path(), out.path().join("drops")).unwrap();
        assert!(new_files(out.path(), &[file("drops/a.sql")]).is_err());
        assert!(new_files(out.path(), &[file("../a.sql")]).is_err());
        assert!(new_files(out.path(), &[file("/tmp/a.sql")]).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn formats_can_be_named_with_files() {
        let parsed = |text: &'static str| {
            let (output, path) = format_and_file(OsStr::new(text));
            (output.map(|output| output.name), path.to_path_buf())
        };
        assert_eq!(
            parsed("sarif=a=b.sarif"),
            (Some("sarif"), "a=b.sarif".into())
        );
        assert_eq!(parsed("./sarif=a"), (None, "./sarif=a".into()));
        assert_eq!(parsed("report.json"), (None, "report.json".into()));
    }

    #[test]
    fn a_list_is_replaced_only_if_it_is_what_it_was() {
        let out = tempfile::tempdir().unwrap();
        let plan = out.path().join("plan");
        fs::write(&plan, "old").unwrap();
        let amended = MigrationFile {
            replaces: Some("old".into()),
            ..file("plan")
        };
        fs::write(out.path().join("b.sql"), "").unwrap();
        assert!(new_files(out.path(), &[amended.clone(), file("b.sql")]).is_err());
        assert_eq!(fs::read(&plan).unwrap(), b"old");
        new_files(out.path(), std::slice::from_ref(&amended)).unwrap();
        assert_eq!(fs::read(&plan).unwrap(), b"SELECT 1;\n");
        assert!(new_files(out.path(), &[amended]).is_err());
    }

    #[test]
    fn a_report_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
