//! A throwaway server from start to stop.

use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::OFlag,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    Binaries, Options, ServerError,
    account::Account,
    binaries::clean_environment,
    command::POLL,
    error::tail,
    folder::{self, Folder},
    options::PORT,
    template::Template,
};

/// The throwaway server's superuser; it asks for no password, its folder is closed to others.
pub const SUPERUSER: &str = "postgres";

/// A start takes a tenth of a second; this is for machines that are busy with other things.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Patience for each of the three ways to stop a server: fast, immediate, kill.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Length of a socket's path that the system can address, without the closing zero (`sun_path` of sockaddr_un).
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Configuration within the server's folder.
const CONFIGURATION: &str = "postgresql.conf";

/// What the server writes to stderr; with [`super::LogFormat::Stderr`] its log.
const STDERR: &str = "server.log";

/// A running server. Stopped and removed when dropped, or when this process ends.
#[derive(Debug)]
pub struct Server {
    // stopped before its folder goes
    pub(super) process: Process,
    pub(super) folder: Folder,
    pub(super) log: PathBuf,
    pub(super) preloaded: Vec<String>,
    pub(super) major: u16,
}

/// A server that was left running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Process id of the postmaster.
    pub pid: u32,
    /// Its folder, to be removed once it is stopped.
    pub folder: PathBuf,
}

impl Server {
    /// Starts a server and waits until it answers. Folders that earlier runs left behind are removed on the way.
    ///
    /// # Errors
    /// When there is no user to run it as, no space, no short path for its socket, or when it does not start; its log says why.
    pub fn start(binaries: &Binaries, options: &Options) -> Result<Self, ServerError> {
        let account = Account::choose(options.run_as)?;
        folder::sweep(&options.temp, account);
        let template = Template::prepare(binaries, options)?;
        let mut preload = options.preload.clone();
        loop {
            let result = Self::attempt(binaries, options, account, &template, &preload);
            let Err(ServerError::Start { log }) = &result else {
                return result;
            };
            let n = preload.len();
            preload
                .retain(|library| !log.contains(&format!("could not access file \"{library}\"")));
            if preload.len() == n {
                return result;
            }
        }
    }

    fn attempt(
        binaries: &Binaries,
        options: &Options,
        account: Account,
        template: &Template,
        preload: &[String],
    ) -> Result<Self, ServerError> {
        let folder = configured_folder(options, account, preload)?;
        template.copy_into(&folder)?;
        Ok(Self {
            process: Process::start(binaries, &folder)?,
            log: folder.path().join(options.log_format.file()),
            folder,
            preloaded: preload.to_vec(),
            major: binaries.major(),
        })
    }

    /// Folder of its socket.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// Port, which names the socket; there is no TCP.
    #[must_use]
    pub fn port(&self) -> u16 {
        PORT
    }

    /// Connection string of a database on it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgresql:///{database}?host={folder}&port={PORT}&user={SUPERUSER}")
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Moves what is in the log so far to a new file: what a first load or an earlier phase wrote need not be read with the rest. Statements
    /// that end meanwhile may get lost.
    ///
    /// # Errors
    /// When the log can't be copied or emptied.
    pub fn take_log(&self, to: &Path) -> Result<(), ServerError> {
        let failed = || ServerError::io("taking the server's log");
        // the folder is the server's user's: no link of its making is followed
        let mut log = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&self.log)
            .map_err(failed())?;
        let mut copy = File::create_new(to).map_err(failed())?;
        std::io::copy(&mut log, &mut copy).map_err(failed())?;
        log.set_len(0).map_err(failed())
    }

    /// Libraries that it has preloaded, of those asked for.
    #[must_use]
    pub fn preloaded(&self) -> &[String] {
        &self.preloaded
    }

    /// Major version.
    #[must_use]
    pub fn major(&self) -> u16 {
        self.major
    }

    /// Its data folder.
    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Ends its sessions, shuts it down, removes its folder. Dropping does the same; here it is said.
    pub fn stop(self) {
        drop(self);
    }

    /// Leaves it running when this process ends.
    ///
    /// # Errors
    /// When its folder can't be marked as kept.
    pub fn keep(mut self) -> Result<Kept, ServerError> {
        let pid = self.process.child.id();
        self.process.left_alone = true;
        let folder = self.folder.keep()?;
        Ok(Kept { pid, folder })
    }
}

/// The postmaster, stopped when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    left_alone: bool,
}

impl Process {
    /// Starts it and waits until it answers.
    pub(super) fn start(binaries: &Binaries, folder: &Folder) -> Result<Self, ServerError> {
        let mut process = Self::spawn(binaries, folder)?;
        process.wait_until_ready(folder.path())?;
        Ok(process)
    }

    /// Ends it cleanly: fast shutdown.
    pub(super) fn shut_down(&mut self) -> Result<(), ServerError> {
        self.signal(Signal::SIGINT);
        if self.ends_within(STOP_LIMIT) {
            return Ok(());
        }
        Err(ServerError::Slow {
            seconds: STOP_LIMIT.as_secs(),
            log: String::new(),
        })
    }

    fn spawn(binaries: &Binaries, folder: &Folder) -> Result<Self, ServerError> {
        // under root the folder is the server's user's by now: no link of its making is followed
        let log = || {
            File::options()
                .append(true)
                .custom_flags(OFlag::O_NOFOLLOW.bits())
                .open(folder.path().join(STDERR))
        };
        let failed = || ServerError::io("starting postgres");
        let mut command = Command::new(binaries.program("postgres"));
        clean_environment(&mut command);
        folder.account().apply(&mut command);
        let child = command
            .arg("-D")
            .arg(folder.path().join("data"))
            .arg("-c")
            .arg(format!(
                "config_file={}",
                folder.path().join(CONFIGURATION).display()
            ))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log().map_err(failed())?)
            .stderr(log().map_err(failed())?)
            .spawn()
            .map_err(failed())?;
        Ok(Self {
            child,
            left_alone: false,
        })
    }

    /// Waits until the postmaster calls itself ready in its pid file.
    fn wait_until_ready(&mut self, folder: &Path) -> Result<(), ServerError> {
        let log = || {
            let text = fs::read(folder.join(STDERR)).unwrap_or_default();
            tail(&String::from_utf8_lossy(&text), 4)
        };
        let deadline = Instant::now() + START_LIMIT;
        while !is_ready(folder) {
            let ended = self
                .child
                .try_wait()
                .map_err(ServerError::io("watching postgres"))?;
            if ended.is_some() {
                return Err(ServerError::Start { log: log() });
            }
            if Instant::now() > deadline {
                return Err(ServerError::Slow {
                    seconds: START_LIMIT.as_secs(),
                    log: log(),
                });
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // it may have ended by itself; nobody reuses its id before we have waited for it
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

impl Drop for Process {
    /// Fast shutdown, then immediate, then kill (PostgreSQL's documentation, section 18.5).
    fn drop(&mut self) {
        if self.left_alone {
            return;
        }
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
            self.signal(signal);
            if self.ends_within(STOP_LIMIT) {
                return;
            }
        }
    }
}

/// The postmaster writes its state into the eighth line of its pid file (`LOCK_FILE_LINE_PM_STATUS` in miscadmin.h, since PostgreSQL 10).
fn is_ready(folder: &Path) -> bool {
    fs::read_to_string(folder.join("data/postmaster.pid")).is_ok_and(|text| {
        text.lines()
            .nth(7)
            .is_some_and(|line| line.trim() == "ready")
    })
}

/// A new folder with a configuration, and no data yet.
pub(super) fn configured_folder(
    options: &Options,
    account: Account,
    preload: &[String],
) -> Result<Folder, ServerError> {
    let folder = Folder::create(&options.temp, account, |path| {
        vec![
            (CONFIGURATION, options.configuration(path, preload)),
            (STDERR, String::new()),
        ]
    })?;
    check_socket_path(folder.path())?;
    Ok(folder)
}

fn check_socket_path(folder: &Path) -> Result<(), ServerError> {
    let path = folder.join(format!(".s.PGSQL.{PORT}"));
    let n = path.as_os_str().len();
    if n > MAX_SOCKET_PATH {
        return Err(ServerError::SocketPath {
            path,
            n,
            max: MAX_SOCKET_PATH,
        });
    }
    Ok(())
}
