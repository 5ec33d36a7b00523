//! From a text as `pg_stat_statements` or a log has it to one that can be planned: values put in where they are known, the rest
//! numbered without holes, and typed constants (`interval $1`) spelled so that Postgres parses them.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{Lexer, Token, TokenKind};

/// Types whose constants Postgres writes as `type 'value'`, which `pg_stat_statements` turns into `type $n`.
const CONSTANT_TYPES: &[&str] = &[
    "date",
    "interval",
    "json",
    "jsonb",
    "numeric",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
];

/// `text` with `values` (by parameter number, as SQL) in place of parameters, and `limit_rows` in place of a lone `LIMIT $n`.
#[must_use]
pub fn plannable(text: &str, values: &BTreeMap<u16, String>, limit_rows: Option<u64>) -> String {
    let tokens: Vec<Token> = Lexer::new(text.as_bytes()).collect();
    let limit = limit_rows.zip(lone_limit(text, &tokens));
    let value_of = |number: u16| match limit {
        Some((rows, at)) if at == number && !values.contains_key(&number) => Some(rows.to_string()),
        _ => values.get(&number).cloned(),
    };
    let left: BTreeSet<u16> = tokens
        .iter()
        .filter_map(|token| number(text, token))
        .filter(|&number| value_of(number).is_none())
        .collect();
    let mut out = String::with_capacity(text.len() + 16);
    let mut copied = 0;
    for (at, token) in tokens.iter().enumerate() {
        let Some(number) = number(text, token) else {
            continue;
        };
        let type_word = at
            .checked_sub(1)
            .map(|at| &tokens[at])
            .filter(|word| is_constant_type(text, word));
        let start = type_word.map_or(token.start, |word| word.start);
        out.push_str(text.get(copied..start).unwrap_or_default());
        let replacement = value_of(number).unwrap_or_else(|| {
            let position = left
                .iter()
                .position(|&old| old == number)
                .unwrap_or_default();
            format!("${}", position + 1)
        });
        out.push_str(&replacement);
        if let Some(word) = type_word {
            out.push_str("::");
            out.push_str(slice(text, word));
        }
        copied = token.end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

/// The text with `LIMIT ALL` in place of its only LIMIT; `None` where it has none, or several.
#[must_use]
pub fn without_limit(text: &str) -> Option<String> {
    let tokens: Vec<Token> = Lexer::new(text.as_bytes()).collect();
    let mut limits = tokens.windows(2).filter(|pair| {
        pair[0].kind == TokenKind::Word && slice(text, &pair[0]).eq_ignore_ascii_case("limit")
    });
    let limit = limits.next().filter(|_| limits.next().is_none())?;
    let count = &limit[1];
    if !matches!(count.kind, TokenKind::Number | TokenKind::Parameter) {
        return None;
    }
    let (before, after) = (text.get(..count.start)?, text.get(count.end..)?);
    Some(format!("{before}ALL{after}"))
}

/// The parameter of `LIMIT $n`, when the text has one such and no more.
fn lone_limit(text: &str, tokens: &[Token]) -> Option<u16> {
    let mut limits = tokens.windows(2).filter_map(|pair| {
        let is_limit =
            pair[0].kind == TokenKind::Word && slice(text, &pair[0]).eq_ignore_ascii_case("limit");
        number(text, &pair[1]).filter(|_| is_limit)
    });
    let first = limits.next();
    first.filter(|_| limits.next().is_none())
}

fn is_constant_type(text: &str, token: &Token) -> bool {
    token.kind == TokenKind::Word
        && CONSTANT_TYPES
            .binary_search(&slice(text, token).to_ascii_lowercase().as_str())
            .is_ok()
}

fn number(text: &str, token: &Token) -> Option<u16> {
    (token.kind == TokenKind::Parameter)
        .then(|| slice(text, token).trim_start_matches('$').parse().ok())
        .flatten()
}

fn slice<'t>(text: &'t str, token: &Token) -> &'t str {
    text.get(token.start..token.end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, values: &[(u16, &str)], limit: Option<u64>, expect: &str) {
        let values = values
            .iter()
            .map(|(n, value)| (*n, (*value).to_owned()))
            .collect();
        assert_eq!(plannable(text, &values, limit), expect);
    }

    #[test]
    fn values_are_put_in_and_the_rest_renumbered() {
        check(
            "SELECT '$1' FROM t WHERE a = $1 AND b = $12 AND c = $2 -- $3",
            &[(1, "'x'")],
            None,
            "SELECT '$1' FROM t WHERE a = 'x' AND b = $2 AND c = $1 -- $3",
        );
    }

    #[test]
    fn a_lone_limit_can_be_lifted() {
        for (text, expect) in [
            (
                "SELECT 1 FROM t LIMIT 5 OFFSET 3",
                Some("SELECT 1 FROM t LIMIT ALL OFFSET 3"),
            ),
            (
                "SELECT 1 FROM t limit $1",
                Some("SELECT 1 FROM t limit ALL"),
            ),
            ("SELECT \"limit\" FROM t", None),
            ("SELECT (SELECT 1 LIMIT 1) LIMIT 2", None),
            ("SELECT 1 LIMIT", None),
        ] {
            assert_eq!(without_limit(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn limits_and_typed_constants() {
        check(
            "SELECT 1 FROM t ORDER BY a LIMIT $1 OFFSET $2",
            &[],
            Some(20),
            "SELECT 1 FROM t ORDER BY a LIMIT 20 OFFSET $1",
        );
        check(
            "SELECT (SELECT 1 LIMIT $1) LIMIT $2",
            &[],
            Some(20),
            "SELECT (SELECT 1 LIMIT $1) LIMIT $2",
        );
        check(
            "SELECT now() - Interval $1 + date $2",
            &[(2, "'2024-01-01'")],
            None,
            "SELECT now() - $1::Interval + '2024-01-01'::date",
        );
    }
}
