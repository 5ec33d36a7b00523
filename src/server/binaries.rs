//! A folder of server binaries that was seen to run.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{RunAs, ServerError, account::Account, command, error::tail};

/// `postgres --version` answers at once; a slow disk may need to load it first.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// A folder with `initdb` and `postgres` that run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    major: u16,
    version: String,
}

impl Binaries {
    /// Looks at a folder: both programs must be there and run as the user that a server would run as.
    ///
    /// # Errors
    /// [`ServerError::Unusable`], with the reason.
    pub fn in_folder(folder: &Path) -> Result<Self, ServerError> {
        let unusable = |why: String| ServerError::Unusable {
            folder: folder.to_owned(),
            why,
        };
        for program in ["initdb", "postgres"] {
            if !folder.join(program).is_file() {
                return Err(unusable(format!("there is no {program}")));
            }
        }
        let account = Account::choose(RunAs::Service)?;
        answer(folder, "initdb", account).map_err(unusable)?;
        let version = answer(folder, "postgres", account).map_err(unusable)?;
        let major = major_of(&version)
            .ok_or_else(|| unusable(format!("\"{version}\" is no version of PostgreSQL")))?;
        Ok(Self {
            folder: folder.to_owned(),
            major,
            version,
        })
    }

    /// Path of one of the programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Major version, e.g. 17.
    #[must_use]
    pub fn major(&self) -> u16 {
        self.major
    }

    /// What `postgres --version` says: `postgres (PostgreSQL) 17.2`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// What a program says to `--version`, run as the server's user; an error in words.
fn answer(folder: &Path, program: &str, account: Account) -> Result<String, String> {
    let mut command = Command::new(folder.join(program));
    command.arg("--version").current_dir("/");
    clean_environment(&mut command);
    account.apply(&mut command);
    match command::run(&mut command, VERSION_LIMIT) {
        Ok(finished) if finished.status.success() => Ok(finished.stdout.trim().to_owned()),
        Ok(finished) => Err(format!(
            "{program} cannot be run: {}",
            tail(&finished.stderr, 2)
        )),
        Err(error) => Err(format!("{program} cannot be run: {error}")),
    }
}

/// Server programs take much from the environment (`PGDATA`, `PGOPTIONS`, locale, time zone); they get none of the user's.
pub(super) fn clean_environment(command: &mut Command) {
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
}

/// `postgres (PostgreSQL) 17.2 (Debian …)`, also `18beta1`, `19devel`.
fn major_of(version: &str) -> Option<u16> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let end = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    number[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors() {
        for (version, major) in [
            (
                "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)",
                Some(15),
            ),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 19devel", Some(19)),
            ("initdb (MariaDB) 11.4", None),
            ("postgres (PostgreSQL) ", None),
        ] {
            assert_eq!(major_of(version), major, "{version}");
        }
    }

    #[test]
    fn a_folder_without_programs_is_unusable() {
        let folder = tempfile::tempdir().unwrap();
        let error = Binaries::in_folder(folder.path()).unwrap_err();
        assert!(error.to_string().contains("there is no initdb"), "{error}");
    }
}
