//! Text within a width: wrapping, cutting, indenting, colour. Everything that passes here has been made harmless before.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Narrower than this nothing is laid out; longer lines are left to the terminal.
const MIN_WIDTH: usize = 40;

/// Wider than this, lines of prose are hard to read.
const MAX_WIDTH: usize = 140;

/// A page being written: lines, wrapped to a width.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    width: usize,
    pub(super) paint: Paint,
}

impl Page {
    pub(super) fn new(width: u16, color: bool) -> Self {
        Self {
            text: String::new(),
            width: usize::from(width).clamp(MIN_WIDTH, MAX_WIDTH),
            paint: Paint { color },
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// A line as it is.
    pub(super) fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    pub(super) fn blank(&mut self) {
        if !self.text.ends_with("\n\n") && !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// A painted start and plain text behind it; text that does not fit goes below, wrapped.
    pub(super) fn start(&mut self, start: &Painted, text: &str) {
        if start.width + 1 + text.width() <= self.width {
            self.line(&format!("{} {text}", start.text));
        } else {
            self.line(&start.text);
            self.paragraph("   ", text.trim_start_matches(['·', ' ']));
        }
    }

    /// A heading after a blank line.
    pub(super) fn heading(&mut self, text: &str) {
        self.blank();
        let heading = self.paint.bold(text);
        self.line(&heading);
    }

    /// A paragraph behind `label`; further lines hang under the paragraph's start.
    pub(super) fn paragraph(&mut self, label: &str, text: &str) {
        self.excerpt(label, text, usize::MAX);
    }

    /// As [`Page::paragraph`], but at most `n` lines, the last of which ends in `…` when there is more.
    pub(super) fn excerpt(&mut self, label: &str, text: &str, n: usize) {
        let hang = label.width();
        let room = self.width.saturating_sub(hang).max(MIN_WIDTH / 2);
        let lines = wrap(text, room);
        let cut_short = lines.len() > n;
        for (at, line) in lines.iter().take(n).enumerate() {
            let start = if at == 0 {
                self.paint.dim(label)
            } else {
                " ".repeat(hang)
            };
            if cut_short && at + 1 == n {
                self.line(&format!("{start}{}", cut(&format!("{line} …"), room)));
            } else {
                self.line(&format!("{start}{line}"));
            }
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Text with colours in it, and the columns that it takes without them.
#[derive(Debug, Default)]
pub(super) struct Painted {
    text: String,
    width: usize,
}

impl Painted {
    /// Adds `text`, painted by `paint`.
    pub(super) fn with(mut self, text: &str, paint: impl Fn(&str) -> String) -> Self {
        self.width += text.width();
        self.text.push_str(&paint(text));
        self
    }
}

/// Colours, if allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    color: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.with("1;33", text)
    }

    pub(super) fn blue(self, text: &str) -> String {
        self.with("1;34", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with("32", text)
    }
}

/// Lines of at most `width` columns, broken at spaces where possible; a longer word is broken anywhere.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        while word.width() > width {
            let head: String = fitting(&word, width).to_owned();
            word.drain(..head.len());
            lines.push(head);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// `text` in at most `width` columns; what is cut off is marked with `…`.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        text.to_owned()
    } else {
        format!("{}…", fitting(text, width.saturating_sub(1)).trim_end())
    }
}

/// The longest prefix of at most `width` columns; at least one character, so that callers make progress.
fn fitting(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width && at > 0 {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_spaces_and_breaks_long_words() {
        assert_eq!(wrap("select a from b", 8), ["select a", "from b"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert!(wrap("", 10).is_empty());
    }

    #[test]
    fn width_is_that_of_the_terminal_not_of_bytes() {
        assert_eq!(wrap("日本語 テスト", 6), ["日本語", "テスト"]);
        assert_eq!(cut("日本語テスト", 7), "日本語…");
    }

    #[test]
    fn cutting_leaves_short_text_alone() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
    }
}
