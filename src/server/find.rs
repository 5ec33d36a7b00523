//! Where server binaries may be, in the order in which they are looked for.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{Binaries, ServerError, command, fetch};

const PG_CONFIG_LIMIT: Duration = Duration::from_secs(10);

/// Folders that distributions install servers to, newest version first; `*` stands for one folder name.
const USUAL: &[&str] = &[
    "usr/lib/postgresql/*/bin",          // Debian, Ubuntu
    "usr/pgsql-*/bin",                   // the PostgreSQL project's packages for RHEL, Fedora, SUSE
    "usr/lib/postgresql*/bin",           // SUSE, Alpine
    "usr/libexec/postgresql*",           // Alpine
    "opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
    "usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
    "home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
    "usr/local/pgsql/bin", // built from source
];

/// What the environment says about where to look.
#[derive(Debug, Clone)]
pub struct Search {
    /// `--pg-bin`: taken or refused, nothing else is looked at.
    pub named: Option<PathBuf>,
    /// `PGASSAY_PG_BIN`: likewise, when `named` is not given.
    pub variable: Option<PathBuf>,
    /// `PATH`
    pub path: OsString,
    /// Where the usual folders hang: `/`.
    pub root: PathBuf,
    /// pgassay's cache folder, see [`super::cache_folder`].
    pub cache: PathBuf,
}

/// Finds binaries, of that major version if one is wanted: named folder, `pg_config --bindir`, the usual folders, `PATH`, the cache.
///
/// # Errors
/// [`ServerError::Unusable`] when the named folder can't be used, else [`ServerError::NotFound`].
pub fn find(search: &Search, major: Option<u16>) -> Result<Binaries, ServerError> {
    if let Some(folder) = search.named.as_ref().or(search.variable.as_ref()) {
        return named(folder, major);
    }
    candidates(search)
        .into_iter()
        .filter(|folder| folder.join("initdb").is_file())
        .filter_map(|folder| Binaries::in_folder(&folder).ok())
        .find(|binaries| major.is_none_or(|major| binaries.major() == major))
        .ok_or(ServerError::NotFound { major })
}

fn named(folder: &Path, major: Option<u16>) -> Result<Binaries, ServerError> {
    let inner = folder.join("bin");
    let folder = if inner.join("initdb").is_file() {
        &inner
    } else {
        folder
    };
    let binaries = Binaries::in_folder(folder)?;
    match major {
        Some(major) if binaries.major() != major => Err(ServerError::Unusable {
            folder: folder.to_owned(),
            why: format!("it is version {}, wanted is {major}", binaries.major()),
        }),
        _ => Ok(binaries),
    }
}

fn candidates(search: &Search) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = bindir_of_pg_config(search).into_iter().collect();
    for pattern in USUAL {
        folders.extend(expand(&search.root, pattern));
    }
    folders.extend(std::env::split_paths(&search.path).filter(|folder| folder.is_absolute()));
    folders.extend(fetch::cached(&search.cache));
    let mut seen = Vec::new();
    folders.retain(|folder| {
        let new = !seen.contains(folder);
        seen.push(folder.clone());
        new
    });
    folders
}

/// A program on the search path.
pub(super) fn on_path(search: &Search, program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search.path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn bindir_of_pg_config(search: &Search) -> Option<PathBuf> {
    let mut command = Command::new(on_path(search, "pg_config")?);
    let answer = command::run(command.arg("--bindir"), PG_CONFIG_LIMIT).ok()?;
    let folder = PathBuf::from(answer.stdout.trim());
    (answer.status.success() && folder.is_absolute()).then_some(folder)
}

/// Folders that match a pattern with at most one `*`, the one with the highest number first.
fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![root.join(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let suffix = after.trim_start_matches('/');
    let Ok(entries) = fs::read_dir(root.join(parent)) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?;
            Some((number(version), entry.path().join(suffix)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// `17`, `17.2`, `@17` → 17; 0 where there is none.
fn number(version: &str) -> u32 {
    let digits: String = version
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere(root: &Path) -> Search {
        Search {
            named: None,
            variable: None,
            path: OsString::new(),
            root: root.to_owned(),
            cache: root.join("cache"),
        }
    }

    #[test]
    fn newest_version_first() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "17", "common"] {
            fs::create_dir_all(root.path().join("usr/lib/postgresql").join(version)).unwrap();
        }
        let found = expand(root.path(), "usr/lib/postgresql/*/bin");
        let names: Vec<_> = found
            .iter()
            .map(|folder| folder.strip_prefix(root.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "usr/lib/postgresql/17/bin",
                "usr/lib/postgresql/15/bin",
                "usr/lib/postgresql/9.6/bin",
                "usr/lib/postgresql/common/bin",
            ]
        );
    }

    #[test]
    fn nothing_found_says_what_to_install() {
        let root = tempfile::tempdir().unwrap();
        let error = find(&nowhere(root.path()), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no binaries of a PostgreSQL server found"
        );
        assert!(error.hints().iter().any(|hint| hint.contains("install")));
        let error = find(&nowhere(root.path()), Some(17)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no binaries of a PostgreSQL 17 server found"
        );
    }

    #[test]
    fn a_named_folder_is_taken_or_refused_never_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let search = Search {
            named: Some(root.path().join("nothing")),
            ..nowhere(Path::new("/"))
        };
        assert!(matches!(
            find(&search, None),
            Err(ServerError::Unusable { .. })
        ));
    }
}
