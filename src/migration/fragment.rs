//! SQL fragments that go into a file as they are: expressions, predicates, old definitions. A report may come from anywhere, so each must be what it claims to be.

/// Why a fragment is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// A quote or parenthesis is left open, or closed too often.
    #[error("unbalanced quotes or parentheses")]
    Unbalanced,
    /// It would end the statement, open a comment, or be read by psql or a dollar quote.
    #[error("{0:?} outside quotes")]
    Forbidden(char),
    /// An old definition that is no CREATE INDEX.
    #[error("not a CREATE INDEX statement")]
    NotAnIndex,
    /// A statement that is no CREATE STATISTICS.
    #[error("not a CREATE STATISTICS statement")]
    NotStatistics,
}

/// Checks that `sql` stays inside the statement that it is put into: quotes and parentheses balance, and outside quotes there is no `;`, no comment, no
/// backslash (psql would run it as a command), no dollar quote and no zero byte.
pub(super) fn check(sql: &str) -> Result<(), FragmentError> {
    let bytes = sql.as_bytes();
    let mut depth = 0_u32;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match (byte, next) {
            (b'\'', _) => {
                let escapes = at > 0 && matches!(bytes[at - 1], b'e' | b'E');
                at = end_of_string(bytes, at, escapes)?;
            }
            (b'"', _) => at = end_of_quoted(bytes, at, b'"')?,
            (b'(', _) => depth += 1,
            (b')', _) => depth = depth.checked_sub(1).ok_or(FragmentError::Unbalanced)?,
            (b'-', Some(b'-')) | (b'/', Some(b'*')) | (b';' | b'\\' | b'$' | 0, _) => {
                return Err(FragmentError::Forbidden(char::from(byte)));
            }
            _ => {}
        }
        at += 1;
    }
    if depth == 0 {
        Ok(())
    } else {
        Err(FragmentError::Unbalanced)
    }
}

/// Position of the quote that closes the string opened at `open`.
fn end_of_string(bytes: &[u8], open: usize, escapes: bool) -> Result<usize, FragmentError> {
    if !escapes {
        return end_of_quoted(bytes, open, b'\'');
    }
    let mut at = open + 1;
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\\'), _) | (Some(b'\''), Some(b'\'')) => at += 2,
            (Some(b'\''), _) => return Ok(at),
            (Some(_), _) => at += 1,
            (None, _) => return Err(FragmentError::Unbalanced),
        }
    }
}

/// Position of the `quote` that closes what was opened at `open`; a doubled quote stands for itself. A backslash in a plain string is refused: it depends on
/// `standard_conforming_strings` what it means.
fn end_of_quoted(bytes: &[u8], open: usize, quote: u8) -> Result<usize, FragmentError> {
    let mut at = open + 1;
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(&b), Some(&following)) if b == quote && following == quote => at += 2,
            (Some(&b), _) if b == quote => return Ok(at),
            (Some(b'\\'), _) if quote == b'\'' => return Err(FragmentError::Forbidden('\\')),
            (Some(0), _) => return Err(FragmentError::Forbidden('\0')),
            (Some(_), _) => at += 1,
            (None, _) => return Err(FragmentError::Unbalanced),
        }
    }
}

/// The words of checked SQL: what stands between white space outside quotes and parentheses. A parenthesis opens a word of its own.
pub(super) fn words(sql: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut depth) = (0, 0_u32);
    let mut quote = None;
    for (at, c) in sql.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => {
                if depth == 0 {
                    words.push(&sql[start..at]);
                    start = at;
                }
                depth += 1;
            }
            (None, ')') => depth = depth.saturating_sub(1),
            (None, c) if depth == 0 && c.is_whitespace() => {
                words.push(&sql[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    words.push(&sql[start..]);
    words.retain(|word| !word.trim().is_empty());
    words
}

/// The parts of a dotted name.
pub(super) fn dotted(name: &str) -> Vec<&str> {
    let mut quoted = false;
    name.split(|c| {
        quoted ^= c == '"';
        c == '.' && !quoted
    })
    .collect()
}

/// What stands behind `CREATE [UNIQUE] INDEX ` in a definition as `pg_get_indexdef` gives it, with the words before.
pub(super) fn split_definition(definition: &str) -> Result<(&str, &str), FragmentError> {
    check(definition)?;
    ["CREATE INDEX ", "CREATE UNIQUE INDEX "]
        .into_iter()
        .find_map(|start| Some((start, definition.strip_prefix(start)?)))
        .ok_or(FragmentError::NotAnIndex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_prints_passes() {
        for sql in [
            "deleted_at IS NULL",
            "((status)::text = 'it''s; --'::text)",
            "lower((\"we\"\"ird; name\")::text)",
            "(data ->> 'kind'::text)",
            "(note = E'a\\'b\\\\')",
        ] {
            assert_eq!(check(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn what_would_leave_the_statement_is_refused() {
        for sql in [
            "true; DROP TABLE users",
            "true) ; DROP TABLE users; SELECT (1",
            "true -- ",
            "true /* ",
            "true \\! rm -rf /",
            "a = 'x",
            "a = \"x",
            "f(a",
            "a)",
            "$$;$$",
            "a = 'x\\'",
            "a = '\\'; DROP TABLE users; --'",
        ] {
            assert!(check(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_definition_must_be_one() {
        assert_eq!(
            split_definition("CREATE UNIQUE INDEX x ON public.t USING btree (a)"),
            Ok(("CREATE UNIQUE INDEX ", "x ON public.t USING btree (a)"))
        );
        assert_eq!(
            split_definition("DROP TABLE t"),
            Err(FragmentError::NotAnIndex)
        );
    }
}
