//! String literals and comments of the languages that migrations are written in: whatever the text is, it stays text.

use crate::finding::{is_unsafe, visible};

/// A language's way with strings and comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Sql,
    Python,
    Ruby,
    /// JavaScript and TypeScript.
    Script,
    Php,
    Elixir,
    Rust,
}

impl Host {
    /// What starts a comment that runs to the end of the line.
    pub(super) fn comment_mark(self) -> &'static str {
        match self {
            Self::Sql => "-- ",
            Self::Python | Self::Ruby | Self::Elixir => "# ",
            Self::Script | Self::Php | Self::Rust => "// ",
        }
    }

    /// A comment line; nothing in `text` can end it, and no tool reads it as a marker of its own.
    pub(super) fn comment(self, text: &str) -> String {
        // PHP leaves its mode at ?>, drizzle-kit splits at -->, Flyway replaces ${…}
        let text = visible(text)
            .replace("?>", "? >")
            .replace("-->", "-- >")
            .replace("${", "$ {");
        format!("{}{text}", self.comment_mark())
            .trim_end()
            .to_owned()
            + "\n"
    }

    /// A literal that stands for `text`. Several lines stay readable where the language has a form without escapes for them.
    pub(super) fn literal(self, text: &str) -> String {
        self.block(text).unwrap_or_else(|| self.quoted(text))
    }

    /// A literal on one line.
    pub(super) fn quoted(self, text: &str) -> String {
        if self == Self::Php {
            return format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        }
        let mut literal = String::from("\"");
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    literal.push('\\');
                    literal.push(c);
                }
                '#' if matches!(self, Self::Ruby | Self::Elixir) => literal.push_str("\\#"),
                '\n' => literal.push_str("\\n"),
                '\r' => literal.push_str("\\r"),
                '\t' => literal.push_str("\\t"),
                c if is_unsafe(c) => literal.push_str(&self.escape(c)),
                c => literal.push(c),
            }
        }
        literal.push('"');
        literal
    }

    fn escape(self, c: char) -> String {
        let code = u32::from(c);
        match self {
            Self::Python if code > 0xffff => format!("\\U{code:08x}"),
            Self::Python => format!("\\u{code:04x}"),
            _ => format!("\\u{{{code:x}}}"),
        }
    }

    /// A call with `text` as its argument, as lines indented by `indent`. Ruby, PHP and Elixir have heredocs for several lines.
    pub(super) fn call(self, indent: &str, open: &str, text: &str, close: &str) -> String {
        let (start, end) = match self {
            Self::Ruby => ("<<~'SQL'", "SQL"),
            Self::Php => ("<<<'SQL'", "SQL"),
            Self::Elixir => ("~S\"\"\"", "\"\"\""),
            _ => return format!("{indent}{open}{}{close}\n", self.literal(text)),
        };
        let fits = |line: &str| !line.trim_start().starts_with("SQL") && !line.contains("\"\"\"");
        if Self::is_plain_block(text) && text.lines().all(fits) {
            let body = format!("{indent}  {}", indented(text, &format!("{indent}  ")));
            return match self {
                // the closing marker's indentation is what is taken off
                Self::Ruby => format!("{indent}{open}{start}{close}\n{body}\n{indent}{end}\n"),
                _ => format!("{indent}{open}{start}\n{body}\n{indent}  {end}{close}\n"),
            };
        }
        format!("{indent}{open}{}{close}\n", self.quoted(text))
    }

    /// Several lines, none of which a heredoc would change.
    fn is_plain_block(text: &str) -> bool {
        let indented = text
            .lines()
            .next()
            .is_some_and(|first| first.starts_with(char::is_whitespace));
        let is_plain = |c: char| c == '\n' || !is_unsafe(c);
        text.contains('\n') && !text.ends_with('\n') && !indented && text.chars().all(is_plain)
    }

    /// A form over several lines without escapes, where `text` has several lines and fits it. Lines inside keep their own indentation.
    fn block(self, text: &str) -> Option<String> {
        if !Self::is_plain_block(text) {
            return None;
        }
        match self {
            Self::Python
                if !text.contains('\\') && !text.contains("\"\"\"") && !text.ends_with('"') =>
            {
                Some(format!("\"\"\"{text}\"\"\""))
            }
            Self::Script if !text.contains(['\\', '`']) && !text.contains("${") => {
                Some(format!("`{text}`"))
            }
            Self::Rust if !text.contains("\"##") => Some(format!("r##\"{text}\"##")),
            // what follows a heredoc's start is up to the caller: Ruby, PHP and Elixir write one line instead
            _ => None,
        }
    }
}

/// A name in lower case with `_` as `CamelCase`, for classes: ASCII letters and digits only, a letter first.
pub(super) fn camel(slug: &str) -> String {
    let words = slug.split('_').filter(|word| !word.is_empty());
    let camel: String = words
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_ascii_uppercase() + rest
        })
        .collect();
    if camel.starts_with(|c: char| c.is_ascii_alphabetic()) {
        camel
    } else {
        format!("Index{camel}")
    }
}

/// Indents every line but the first.
pub(super) fn indented(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_break_out() {
        let evil = "a\"; x='#{1}' \\ ${2} `3` \u{2028}";
        assert_eq!(
            Host::Python.literal(evil),
            r#""a\"; x='#{1}' \\ ${2} `3` \u2028""#
        );
        assert_eq!(
            Host::Ruby.literal(evil),
            r#""a\"; x='\#{1}' \\ ${2} `3` \u{2028}""#
        );
        assert_eq!(Host::Script.literal("a\n`b`"), "\"a\\n`b`\"");
        assert_eq!(Host::Script.literal("a\nb"), "`a\nb`");
        assert_eq!(Host::Php.literal("it's \\"), r"'it\'s \\'");
    }

    #[test]
    fn comments_stay_one_line() {
        assert_eq!(Host::Php.comment("a\n?> b"), "// a\\n? > b\n");
        assert_eq!(
            Host::Sql.comment("x --> statement-breakpoint"),
            "-- x -- > statement-breakpoint\n"
        );
    }

    #[test]
    fn class_names() {
        assert_eq!(camel("orders_customer_id_idx"), "OrdersCustomerIdIdx");
        assert_eq!(camel("1_x"), "Index1X");
        assert_eq!(camel(""), "Index");
    }
}
