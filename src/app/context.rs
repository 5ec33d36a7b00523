//! The world as one value: environment, clock, terminal, and where results and remarks go. Nothing below `app` looks at these by itself.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::{Error, mask_secrets};
use crate::{
    cli::{ColorChoice, DisplayArgs},
    report::escape,
};

/// Width of the report where stdout is no terminal.
const DEFAULT_WIDTH: u16 = 110;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// What the process was given.
#[derive(Debug, Clone)]
pub struct Context {
    /// When the run started.
    pub now: Timestamp,
    /// Environment variables that are valid text.
    pub environment: BTreeMap<String, String>,
    /// Stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// Stderr is a terminal: progress is shown.
    pub stderr_is_terminal: bool,
    /// Columns to write for.
    pub width: u16,
    /// `--quiet`
    pub quiet: bool,
    /// `--color`
    pub color: ColorChoice,
}

impl Context {
    /// Reads the process's environment, clock and terminal.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads environment and clock"
    )]
    pub fn of_process(display: &DisplayArgs) -> Self {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let columns = environment.get("COLUMNS").and_then(|n| n.parse().ok());
        let terminal = terminal_size::terminal_size().map(|(width, _)| width.0);
        Self {
            now: Timestamp::now(),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            width: columns.or(terminal).unwrap_or(DEFAULT_WIDTH),
            quiet: display.quiet,
            color: display.color,
            environment,
        }
    }

    /// The variable's value, if it is set and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// May what goes to stdout be coloured?
    #[must_use]
    pub fn colors_stdout(&self) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                self.stdout_is_terminal
                    && self.variable("NO_COLOR").is_none()
                    && self.variable("TERM") != Some("dumb")
            }
        }
    }

    /// Writes a result to stdout.
    ///
    /// # Errors
    /// When stdout can't be written.
    pub fn print(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(|error| Error::output("to stdout", error))
    }

    /// A remark for the person, on stderr; not with `--quiet`.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            self.complain(&format!("{}\n", escape::terminal_line(&mask_secrets(text))));
        }
    }

    /// Writes ready lines to stderr. A stderr that is gone leaves nobody to tell.
    pub fn complain(&self, lines: &str) {
        let _ = io::stderr().lock().write_all(lines.as_bytes());
    }

    /// A spinner on stderr, hidden unless stderr is a terminal and `--quiet` is not given.
    #[must_use]
    pub fn spinner(&self, message: &str) -> Progress {
        self.progress(ProgressBar::new_spinner(), "{spinner} {msg}", message)
    }

    /// A bar over `n` steps on stderr; hidden as [`Context::spinner`] is.
    #[must_use]
    pub fn bar(&self, message: &str, n: u64) -> Progress {
        self.progress(
            ProgressBar::new(n),
            "{spinner} {msg} {bar:30} {pos}/{len}",
            message,
        )
    }

    /// A bar over `n` bytes on stderr; hidden as [`Context::spinner`] is.
    #[must_use]
    pub fn byte_bar(&self, message: &str, n: u64) -> Progress {
        self.progress(
            ProgressBar::new(n),
            "{spinner} {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}",
            message,
        )
    }

    fn progress(&self, bar: ProgressBar, template: &str, message: &str) -> Progress {
        let visible = self.stderr_is_terminal && !self.quiet;
        bar.set_draw_target(if visible {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(escape::terminal_line(message));
        if visible {
            bar.enable_steady_tick(TICK);
        }
        Progress(bar)
    }
}

/// Progress on stderr, gone when dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Says what is being done now.
    pub fn say(&self, message: &str) {
        self.0.set_message(escape::terminal_line(message));
    }

    /// Shows how many planner calls were made, until what this gives is dropped.
    #[must_use]
    pub fn follow(&self, message: &'static str, counter: Arc<AtomicU64>) -> Following {
        let bar = self.0.clone();
        Following(tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let n = counter.load(Ordering::Relaxed);
                bar.set_message(format!("{message}: {n} planner calls"));
            }
        }))
    }

    /// One step done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// `n` steps or bytes are done in all.
    pub fn at(&self, n: u64) {
        self.0.set_position(n);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A counter being shown; dropped, it is shown no more.
#[derive(Debug)]
pub struct Following(tokio::task::JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A path as people are shown it.
#[must_use]
pub fn path_text(path: &Path) -> String {
    if path.as_os_str() == "-" {
        "stdin".to_owned()
    } else {
        path.to_string_lossy().into_owned()
    }
}
