//! What a statement does, by its leading keyword.

use super::{
    StatementKind,
    lexer::{Lexer, TokenKind},
};

/// The kind of a raw or normalised text: its first word, behind WITH the main statement's. Linear time, never fails.
#[must_use]
pub fn statement_kind(sql: &[u8]) -> StatementKind {
    let mut lexer = Lexer::new(sql);
    let first = lexer.find(|token| !matches!(token.kind, TokenKind::Open | TokenKind::Semicolon));
    let Some(first) = first.filter(|token| token.kind == TokenKind::Word) else {
        return StatementKind::Utility;
    };
    let word = &sql[first.start..first.end];
    if word.eq_ignore_ascii_case(b"with") {
        behind_with(sql, lexer)
    } else {
        verb(word).unwrap_or(StatementKind::Utility)
    }
}

/// The first verb outside brackets that follows a closed bracket: a CTE may itself be called `delete`.
fn behind_with(sql: &[u8], lexer: Lexer<'_>) -> StatementKind {
    let mut depth = 0usize;
    let mut after_close = false;
    for token in lexer {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 && after_close => {
                if let Some(kind) = verb(&sql[token.start..token.end]) {
                    return kind;
                }
            }
            _ => {}
        }
        after_close = token.kind == TokenKind::Close;
    }
    StatementKind::Utility
}

fn verb(word: &[u8]) -> Option<StatementKind> {
    const VERBS: [(&[u8], StatementKind); 7] = [
        (b"select", StatementKind::Select),
        (b"insert", StatementKind::Insert),
        (b"update", StatementKind::Update),
        (b"delete", StatementKind::Delete),
        (b"merge", StatementKind::Merge),
        (b"values", StatementKind::Select),
        (b"table", StatementKind::Select),
    ];
    let found = VERBS
        .iter()
        .find(|(verb, _)| word.eq_ignore_ascii_case(verb));
    found.map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_leading_keyword() {
        for (sql, kind) in [
            ("select 1", StatementKind::Select),
            ("/* c */ (SELECT 1) union select 2", StatementKind::Select),
            ("values (1)", StatementKind::Select),
            ("insert into t values (1)", StatementKind::Insert),
            (
                "with a as (select 1) update t set x = 1",
                StatementKind::Update,
            ),
            (
                "with recursive delete (n) as (delete from t returning 1), b as (select 2) insert into t select 1",
                StatementKind::Insert,
            ),
            ("merge into t using s on true", StatementKind::Merge),
            ("explain select 1", StatementKind::Utility),
            ("begin", StatementKind::Utility),
            ("", StatementKind::Utility),
            ("'x'", StatementKind::Utility),
        ] {
            assert_eq!(statement_kind(sql.as_bytes()), kind, "{sql}");
        }
    }
}
