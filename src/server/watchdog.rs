//! A shell that outlives us: when this process ends, however it ends, it stops the server and removes its folder.
//!
//! It reads from a pipe whose other end only we hold. The word `done` sends it home; end of file means that we are gone.

use std::{
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use super::{ServerError, account::Account, binaries::clean_environment, command};

/// Stops the server whose data is in `$1/data`, removes `$1`. A server that ends removes its pid file; its process may stay as a zombie in
/// a container whose first process reaps nobody. A server that shuts down may still be writing while `rm` runs.
const CLEAN: &str = r#"
clean() {
  for signal in QUIT KILL; do
    pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
    [ -n "$pid" ] && kill -$signal "$pid" 2>/dev/null || break
    n=0
    while [ $n -lt 50 ] && [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; n=$((n + 1)); done
  done
  for try in 1 2 3 4 5; do
    rm -rf "$1" 2>/dev/null && break
    sleep 0.3
  done
}
"#;

/// Ctrl-C, a closed terminal and a polite kill of everything are no reasons to leave a server behind.
const WATCH: &str = r#"
trap '' INT HUP TERM
read -r word
[ "$word" = done ] || clean "$1"
"#;

/// Cleaning a stale folder may have to wait for a server to end, twice 5 s.
const CLEAN_LIMIT: Duration = Duration::from_secs(20);

/// The running shell.
#[derive(Debug)]
pub(super) struct Watchdog {
    child: Child,
    pipe: ChildStdin,
}

impl Watchdog {
    /// Starts watching over `folder`.
    pub(super) fn start(folder: &Path, account: Account) -> Result<Self, ServerError> {
        let failed = || ServerError::io("starting the watchdog (sh)");
        let mut child = shell(&format!("{CLEAN}{WATCH}"), folder, account)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(failed())?;
        let pipe = child
            .stdin
            .take()
            .ok_or_else(|| failed()(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, pipe })
    }

    /// Nothing is left to watch over.
    pub(super) fn dismiss(mut self) {
        // a watchdog that somebody killed has nothing left to be told
        let _ = self.pipe.write_all(b"done\n");
        drop(self.pipe);
        let _ = self.child.wait();
    }
}

/// Does what a watchdog would do, for a folder whose watchdog was killed too.
pub(super) fn clean(folder: &Path, account: Account) {
    let script = format!("{CLEAN}clean \"$1\"");
    // what can't be removed stays for the next start
    let _ = command::run(&mut shell(&script, folder, account), CLEAN_LIMIT);
}

fn shell(script: &str, folder: &Path, account: Account) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script, "pgassay"])
        .arg(folder)
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    clean_environment(&mut command);
    account.apply(&mut command);
    command
}
