//! What a person is told when something cannot be done: what failed, on what, and what to do next.

use std::{error::Error as StdError, fmt, io};

/// What kind of thing failed. Decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line, or a value on it.
    Usage,
    /// The server could not be reached or did not let us in.
    Connection,
    /// An input could not be read, or gave nothing.
    Input,
    /// A result could not be written.
    Output,
    /// No server could be started or found.
    Server,
    /// Whoever reads our output has gone: not a failure.
    BrokenPipe,
}

/// An error for people: kind, cause and hints. Never holds a connection string.
#[derive(Debug)]
pub struct Error {
    /// What kind.
    pub kind: ErrorKind,
    /// What failed, on what: lower case, no full stop.
    pub message: String,
    /// The cause, whose own causes are shown too.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
    /// What to do next, one line each.
    pub hints: Vec<String>,
}

impl Error {
    /// An error without a further cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            hints: Vec::new(),
        }
    }

    /// Names the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a line about what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A failed write; a reader that has gone is [`ErrorKind::BrokenPipe`].
    #[must_use]
    pub fn output(target: &str, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
            _ => ErrorKind::Output,
        };
        Self::new(kind, format!("cannot write {target}")).because(source)
    }

    /// The process's exit code: 2 for everything but a reader that has gone.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::BrokenPipe => 0,
            _ => 2,
        }
    }

    /// `error: …` with its causes, then a `hint: …` line each. Ends in a newline; control characters are made visible.
    #[must_use]
    pub fn render(&self) -> String {
        let mut line = self.message.clone();
        let mut cause = self
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static));
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        let mut text = format!("error: {}\n", shown(&line));
        for hint in &self.hints {
            text.push_str(&format!("hint: {}\n", shown(hint)));
        }
        text
    }
}

/// Text from servers and files, for a terminal: connection strings masked, control characters visible.
fn shown(text: &str) -> String {
    crate::report::escape::terminal_line(&mask_secrets(text))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// Masks what may be a connection string: everything after `scheme://` up to white space, and values of `password=`.
///
/// For text that others wrote (clap quotes a misplaced argument in full, libraries quote what they could not parse).
#[must_use]
pub fn mask_secrets(text: &str) -> String {
    let masked = mask_after(text, "://", |c| {
        c.is_whitespace() || matches!(c, '\'' | '"')
    });
    mask_after(&masked, "password=", |c| c.is_whitespace() || c == '&')
}

/// Replaces what stands between `marker` and the next character that `ends`, by `…`. A quoted value runs to its closing quote.
fn mask_after(text: &str, marker: &str, ends: fn(char) -> bool) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(marker) {
        let (before, after) = rest.split_at(at + marker.len());
        result.push_str(before);
        let length = match after.strip_prefix('\'') {
            Some(quoted) => quoted.find('\'').map_or(after.len(), |end| end + 2),
            None => after.find(ends).unwrap_or(after.len()),
        };
        if length > 0 {
            result.push('…');
        }
        rest = &after[length..];
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_message_causes_and_hints() {
        let error = Error::new(ErrorKind::Input, "cannot read \"a.log\"")
            .because(io::Error::other("is a directory"))
            .hint("name a file");
        assert_eq!(
            error.render(),
            "error: cannot read \"a.log\": is a directory\nhint: name a file\n"
        );
    }

    #[test]
    fn a_reader_that_has_gone_is_success() {
        let error = Error::output("the report", io::ErrorKind::BrokenPipe.into());
        assert_eq!(error.exit_code(), 0);
    }

    #[test]
    fn connection_strings_are_masked() {
        for (given, shown) in [
            (
                "argument 'postgres://u:p@h/d' found",
                "argument 'postgres://…' found",
            ),
            ("host=h password=secret user=u", "host=h password=… user=u"),
            ("password='a b' user=u", "password=… user=u"),
            ("?password=x&user=u", "?password=…&user=u"),
            ("postgresql://", "postgresql://"),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(mask_secrets(given), shown);
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let error = Error::new(ErrorKind::Input, "cannot read \"a\u{1b}[2J\"");
        assert!(!error.render().contains('\u{1b}'));
    }
}
