//! Splits an SQL script as psql does: at semicolons that stand in no quotes and no comment, and at `\gexec`.

/// A statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The statement, without its semicolon; comments before it may stand in front.
    pub sql: String,
    /// It ended in `\gexec`: each cell of its result is a statement to run.
    pub gexec: bool,
}

/// A script that can't be run without psql.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Quotes or a comment without an end.
    #[error("{what} without an end, from line {line} on")]
    Open {
        /// What was opened.
        what: &'static str,
        /// 1-based.
        line: usize,
    },
    /// A command of psql other than `\gexec`.
    #[error("unknown command \"{command}\" in line {line}")]
    Command {
        /// As written.
        command: String,
        /// 1-based.
        line: usize,
    },
}

/// Splits a script.
///
/// # Errors
/// See [`ScriptError`].
pub fn split(script: &str) -> Result<Vec<Piece>, ScriptError> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut has_sql = false;
    while let Some(token) = token(script, at)? {
        let end = at + token.length;
        match token.kind {
            Kind::Blank => {}
            Kind::Sql => has_sql = true,
            Kind::Semicolon | Kind::Gexec => {
                if has_sql {
                    pieces.push(Piece {
                        sql: script[start..at].trim().to_owned(),
                        gexec: token.kind == Kind::Gexec,
                    });
                }
                (start, has_sql) = (end, false);
            }
        }
        at = end;
    }
    if has_sql {
        pieces.push(Piece {
            sql: script[start..].trim().to_owned(),
            gexec: false,
        });
    }
    Ok(pieces)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// White space and comments.
    Blank,
    Sql,
    Semicolon,
    Gexec,
}

struct Token {
    kind: Kind,
    /// Bytes, always whole characters.
    length: usize,
}

/// The token at `at`; `None` at the end.
fn token(script: &str, at: usize) -> Result<Option<Token>, ScriptError> {
    let rest = &script[at..];
    let Some(first) = rest.chars().next() else {
        return Ok(None);
    };
    let open = |what| ScriptError::Open {
        what,
        line: line(script, at),
    };
    let (kind, length) = match first {
        ';' => (Kind::Semicolon, Some(1)),
        '\\' => (Kind::Gexec, Some(gexec(script, at)?)),
        '-' if rest.starts_with("--") => (Kind::Blank, Some(rest.find('\n').unwrap_or(rest.len()))),
        '/' if rest.starts_with("/*") => (
            Kind::Blank,
            Some(comment(rest).ok_or_else(|| open("a comment"))?),
        ),
        '\'' => (Kind::Sql, quoted(rest, '\'', escapes(&script[..at]))),
        '"' => (Kind::Sql, quoted(rest, '"', false)),
        '$' => (Kind::Sql, dollar_quoted(rest)),
        c if c.is_whitespace() => (Kind::Blank, Some(c.len_utf8())),
        c if is_word(c) => (
            Kind::Sql,
            Some(rest.find(|c| !is_word(c) && c != '$').unwrap_or(rest.len())),
        ),
        c => (Kind::Sql, Some(c.len_utf8())),
    };
    let length = length.ok_or_else(|| open("a quoted text"))?;
    Ok(Some(Token { kind, length }))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Is a literal that starts after `before` an `E''`, in which backslashes escape?
fn escapes(before: &str) -> bool {
    let mut last = before.chars().rev();
    matches!(last.next(), Some('e' | 'E')) && !last.next().is_some_and(is_word)
}

/// Length of a text in quotes, doubled quotes within; `None` without an end.
fn quoted(rest: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && escapes {
            chars.next();
        } else if c == quote && chars.next_if(|&(_, c)| c == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// Length of `$tag$ … $tag$`; 1 for a dollar that opens nothing, `None` without an end.
fn dollar_quoted(rest: &str) -> Option<usize> {
    let tag_end = rest[1..].find(|c| !is_word(c)).map(|at| at + 1);
    let Some(tag_end) = tag_end.filter(|&at| rest[at..].starts_with('$')) else {
        return Some(1);
    };
    let tag = &rest[..=tag_end];
    if tag[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return Some(1);
    }
    let body = &rest[tag.len()..];
    body.find(tag).map(|at| at + 2 * tag.len())
}

/// Length of a comment, comments within; `None` without an end.
fn comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// Length of `\gexec`, to the end of its line.
fn gexec(script: &str, at: usize) -> Result<usize, ScriptError> {
    let rest = &script[at..];
    let length = rest.find('\n').unwrap_or(rest.len());
    let command = rest[..length].trim_end();
    if command == "\\gexec" {
        return Ok(length);
    }
    Err(ScriptError::Command {
        command: command.to_owned(),
        line: line(script, at),
    })
}

fn line(script: &str, at: usize) -> usize {
    script[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(script: &str) -> Vec<String> {
        let pieces = split(script).unwrap();
        pieces.into_iter().map(|piece| piece.sql).collect()
    }

    #[test]
    fn splits_at_semicolons_only_where_they_end_something() {
        for (script, statements) in [
            ("a; b", vec!["a", "b"]),
            ("a;;\n ; b;", vec!["a", "b"]),
            ("SELECT ';'; b", vec!["SELECT ';'", "b"]),
            ("SELECT 'it''s;'; b", vec!["SELECT 'it''s;'", "b"]),
            (r"SELECT '\'; b", vec![r"SELECT '\'", "b"]),
            (r"SELECT E'\';'; b", vec![r"SELECT E'\';'", "b"]),
            (r"SELECT somee'\'; b", vec![r"SELECT somee'\'", "b"]),
            (r#"SELECT "a;""b"; c"#, vec![r#"SELECT "a;""b""#, "c"]),
            ("DO $$ a; $$; b", vec!["DO $$ a; $$", "b"]),
            ("DO $x$ $$; $x$; b", vec!["DO $x$ $$; $x$", "b"]),
            ("SELECT $1; b", vec!["SELECT $1", "b"]),
            ("SELECT a$b$; b", vec!["SELECT a$b$", "b"]),
            ("-- no; \na; b", vec!["-- no; \na", "b"]),
            (
                "/* a; /* b; */ c; */ d; e",
                vec!["/* a; /* b; */ c; */ d", "e"],
            ),
            ("-- nothing else;", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(texts(script), statements, "{script}");
        }
    }

    #[test]
    fn gexec_ends_a_statement() {
        let pieces = split("SELECT format('x;')\n  FROM t \\gexec\nCREATE y;\n").unwrap();
        assert_eq!(
            pieces,
            [
                Piece {
                    sql: "SELECT format('x;')\n  FROM t".to_owned(),
                    gexec: true
                },
                Piece {
                    sql: "CREATE y".to_owned(),
                    gexec: false
                },
            ]
        );
    }

    #[test]
    fn what_only_psql_can_run_is_refused() {
        let error = split("a;\n\\copy t from x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown command \"\\copy t from x\" in line 2"
        );
        let error = split("a;\nSELECT 'x;\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a quoted text without an end, from line 2 on"
        );
        assert!(split("/* /* */").is_err());
        assert!(split("$$ ;").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_split_or_refused(script in "[a-zE$';\"\\\\/*\n é-]{0,40}") {
            if let Ok(pieces) = split(&script) {
                for piece in pieces {
                    prop_assert!(script.contains(&piece.sql));
                }
            }
        }
    }
}
