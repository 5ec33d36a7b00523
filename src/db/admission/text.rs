//! A statement's tokens against the census.

use super::{Census, DENIED, Refusal};
use crate::sql::{Lexer, Token, TokenKind};

/// Longer statements (bulk inserts, mostly) aren't planned: parsing them costs the server more than the plan tells.
const MAX_BYTES: usize = 256 * 1024;

/// NAMEDATALEN - 1: the server cuts longer identifiers.
const MAX_NAME_BYTES: usize = 63;

const KINDS: &[&str] = &[
    "select", "insert", "update", "delete", "merge", "values", "with", "table",
];

/// Words after which a relation is written to.
const WRITING: &[&str] = &["insert", "update", "merge"];

pub(super) fn check(sql: &str, census: &Census) -> Result<(), Refusal> {
    if sql.len() > MAX_BYTES {
        return Err(Refusal::TooLarge);
    }
    let tokens: Vec<Token> = Lexer::new(sql.as_bytes()).collect();
    check_kind(sql, &tokens)?;
    if census.is_planted {
        return Err(Refusal::Planted);
    }
    let writes = tokens.iter().any(|token| {
        token.kind == TokenKind::Word && WRITING.contains(&folded(sql, token).as_str())
    });
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| tokens[at].kind);
        let after = tokens.get(at + 1).map(|token| token.kind);
        match token.kind {
            TokenKind::Word => {
                check_name(&clipped(folded(sql, token)), before, after, writes, census)?;
            }
            TokenKind::QuotedIdentifier => {
                let name = unquoted(&sql[token.start..token.end])?;
                check_name(&clipped(name), before, after, writes, census)?;
            }
            TokenKind::Operator if census.operators.contains(&sql[token.start..token.end]) => {
                return Err(Refusal::Operator);
            }
            _ => {}
        }
    }
    Ok(())
}

/// One plannable statement: the first word says so, and a semicolon stands at most at the end.
fn check_kind(sql: &str, tokens: &[Token]) -> Result<(), Refusal> {
    let first = tokens
        .iter()
        .find(|token| token.kind != TokenKind::Open)
        .filter(|token| token.kind == TokenKind::Word)
        .ok_or(Refusal::Kind)?;
    if !KINDS.contains(&folded(sql, first).as_str()) {
        return Err(Refusal::Kind);
    }
    let semicolon = tokens.iter().position(|t| t.kind == TokenKind::Semicolon);
    if semicolon.is_some_and(|at| at + 1 < tokens.len()) {
        return Err(Refusal::Several);
    }
    Ok(())
}

fn check_name(
    name: &str,
    before: Option<TokenKind>,
    after: Option<TokenKind>,
    writes: bool,
    census: &Census,
) -> Result<(), Refusal> {
    if after == Some(TokenKind::Open) {
        if census.functions.contains(name) {
            return Err(Refusal::Function);
        }
        if DENIED.binary_search(&name).is_ok() {
            return Err(Refusal::Denied);
        }
    }
    // (row).name calls name(row)
    if before == Some(TokenKind::Dot) && census.attributes.contains(name) {
        return Err(Refusal::Function);
    }
    if census.types.contains(name) {
        return Err(Refusal::Type);
    }
    if census.relations.contains(name) {
        return Err(Refusal::Relation);
    }
    if writes && census.written.contains(name) {
        return Err(Refusal::Default);
    }
    Ok(())
}

/// An unquoted word as the server folds it: ASCII only, in UTF-8 databases.
fn folded(sql: &str, token: &Token) -> String {
    sql[token.start..token.end].to_ascii_lowercase()
}

fn unquoted(text: &str) -> Result<String, Refusal> {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        // U&"…", or never closed
        .ok_or(Refusal::Escapes)?;
    Ok(inner.replace("\"\"", "\""))
}

fn clipped(mut name: String) -> String {
    if name.len() > MAX_NAME_BYTES {
        let end = (0..=MAX_NAME_BYTES)
            .rev()
            .find(|at| name.is_char_boundary(*at));
        name.truncate(end.unwrap_or(0));
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn census() -> Census {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Census {
            functions: set(&["evil", "Evil Two"]),
            attributes: set(&["evil"]),
            operators: set(&["===", "<%>"]),
            is_planted: false,
            types: set(&["bad_domain"]),
            relations: set(&["bad_view"]),
            written: set(&["audited_log"]),
        }
    }

    fn check(sql: &str, expected: Result<(), Refusal>) {
        assert_eq!(census().admit(sql), expected, "{sql}");
    }

    #[test]
    fn plain_statements_pass() {
        for sql in [
            "select * from orders where id = $1",
            "SELECT count(*), lower(name) FROM t WHERE a->>'x' = 'evil(1)' -- evil(1)",
            "/* evil() */ (select 1) union (select 2);",
            "with x as (select 1) select evil from x",
            "insert into orders (id, evil) values ($1, $2) on conflict (id) do nothing",
            "table orders",
            "select audited_log.x from audited_log",
            "select t.\"lower\"(1)",
        ] {
            check(sql, Ok(()));
        }
    }

    #[test]
    fn only_one_plannable_statement() {
        for sql in [
            "",
            "   ",
            "-- x",
            "drop table x",
            "analyze delete from t",
            "(analyze) delete from t",
            "explain select 1",
            "do $$x$$",
            "copy t to program 'x'",
            "execute p",
            "'select'",
            "\"select\" 1",
        ] {
            check(sql, Err(Refusal::Kind));
        }
        check("select 1; drop table x", Err(Refusal::Several));
        check("select 1;;", Err(Refusal::Several));
    }

    #[test]
    fn functions_however_they_are_written() {
        for sql in [
            "select evil(1)",
            "select public . EVIL /* c */ ( 1 )",
            "select \"Evil Two\"(1)",
            "select * from t where x = public.\"evil\"()",
            "select (t).evil from t",
            "select t.evil from t",
            "select 'a' 'b', $$ $$, E'\\'', evil(1)",
        ] {
            check(sql, Err(Refusal::Function));
        }
        check("select repeat('x', 50000000)", Err(Refusal::Denied));
        check("select U&\"\\0065vil\"(1)", Err(Refusal::Escapes));
        check("select \"never closed", Err(Refusal::Escapes));
    }

    #[test]
    fn operators_types_and_relations() {
        check("select 1 === 2", Err(Refusal::Operator));
        check("select 1 operator(public.<%>) 2", Err(Refusal::Operator));
        check("select 'x'::bad_domain", Err(Refusal::Type));
        check("select * from app.bad_view", Err(Refusal::Relation));
        check("insert into audited_log values (1)", Err(Refusal::Default));
        check(
            "with x as (update audited_log set a = default) select 1",
            Err(Refusal::Default),
        );
        let planted = Census {
            is_planted: true,
            ..Census::default()
        };
        assert_eq!(planted.admit("select 1"), Err(Refusal::Planted));
    }

    #[test]
    fn names_are_cut_as_the_server_cuts_them() {
        let long = "e".repeat(63);
        let census = Census {
            functions: [long.clone()].into_iter().collect(),
            ..Census::default()
        };
        assert_eq!(
            census.admit(&format!("select {long}more(1)")),
            Err(Refusal::Function)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived(sql in ".{0,80}") {
            let _ = census().admit(&sql);
        }

        #[test]
        fn a_call_is_seen_in_any_surroundings(
            before in "[a-z0-9 ,+<>=.]{0,20}",
            gap in "( |\n|/\\*x\\*/|--x\n){0,3}",
        ) {
            prop_assume!(!before.contains("--") && !before.contains("/*"));
            let sql = format!("select {before} evil{gap}(1)");
            prop_assert!(census().admit(&sql).is_err());
        }
    }
}
