//! What is one statement, and what is not.

use super::*;
use crate::sql::normalise;
use proptest::prelude::*;

fn text(sql: &str) -> String {
    let normalised = normalise(sql.as_bytes());
    let again = normalise(normalised.text.as_bytes());
    assert_eq!(again, normalised, "not idempotent: {sql}");
    normalised.text
}

/// All of these are the first one.
fn same(sqls: &[&str]) {
    for sql in sqls {
        assert_eq!(text(sql), text(sqls[0]), "{sql}");
    }
}

fn different(a: &str, b: &str) {
    assert_ne!(text(a), text(b));
}

#[test]
fn text_is_readable() {
    for (sql, expected) in [
        (
            "SELECT  \"books\".\"id\", COUNT(*) FROM \"books\" WHERE a=1 AND b ->> 'k' = 'x' LIMIT 21;",
            "select books.id, count(*) from books where a = $1 and b ->> $2 = $3 limit $4",
        ),
        (
            "insert into t(a,b) values (1,'x') returning id",
            "insert into t (a, b) values ($1, $2) returning id",
        ),
        (
            "update t set a=null, b = true where c is null and d = true",
            "update t set a = $1, b = $2 where c is null and d = true",
        ),
        (
            "select x[1:2], -y, a - 5, - 5, t.* from \"Order\" t",
            "select x[$1 : $2], - y, a - $3, $4, t.* from \"Order\" t",
        ),
        (
            "select '1'::numeric(10,2), cast(a as varchar(20)), $1::INTEGER order by 1, 2 desc",
            "select $1::numeric(10, 2), cast(a as varchar(20)), $2::integer order by 1, 2 desc",
        ),
        ("select 1; ; select 2;", "select $1; select $2"),
        (
            "select interval '1 day', date '2024-01-01'",
            "select interval $1, date $2",
        ),
        ("a != 5 or b<>5", "a <> $1 or b <> $2"),
        ("", ""),
        (" ; -- nothing", ""),
    ] {
        assert_eq!(text(sql), expected, "{sql}");
    }
}

#[test]
fn lists_collapse() {
    for (sql, expected) in [
        (
            "select 1 from t where a in (1,2, 3)",
            "select $1 from t where a in ($2 /*, ... */)",
        ),
        ("where a in ($2 /*, ... */)", "where a in ($1 /*, ... */)"),
        ("where a in (7)", "where a = $1"),
        ("where a not in (7)", "where a <> $1"),
        ("where a not in (7, 8)", "where a not in ($1 /*, ... */)"),
        (
            "where a in ('x'::text,'y'::text)",
            "where a in ($1::text /*, ... */)",
        ),
        (
            "where (a,b) in ((1,2),(3,4))",
            "where (a, b) in (($1, $2) /*, ... */)",
        ),
        ("where (a,b) in ((1,2))", "where (a, b) = ($1, $2)"),
        (
            "where a = any(array[1,2])",
            "where a = any(array[$1 /*, ... */])",
        ),
        ("where a = any (array[1])", "where a = $1"),
        ("where a <> all(array[1])", "where a <> $1"),
        ("where a = any($1)", "where a = any($1)"),
        ("where a in (select 1)", "where a in (select $1)"),
        ("where a in (select b in (4))", "where a in (select b = $1)"),
        ("where a in (b, c)", "where a in (b, c)"),
        (
            "values (1,'x'),(2,null),(3,$1) on",
            "values ($1, $2) /*, ... */ on",
        ),
        (
            "values (1,now()),(2,now())",
            "values ($1, now()) /*, ... */",
        ),
        ("values (1,default),(2,3)", "values ($1, default), ($2, $3)"),
        (
            "select * from (values (1),(2)) as v(a)",
            "select * from (values ($1) /*, ... */) as v(a)",
        ),
        ("select f(1, 2)", "select f($1, $2)"),
        (
            "select array[[1,2],[3,4]]",
            "select array[[$1 /*, ... */] /*, ... */]",
        ),
    ] {
        assert_eq!(text(sql), expected, "{sql}");
    }
}

#[test]
fn synonyms_are_equal() {
    same(&[
        "COMMIT",
        "end",
        "END;",
        "commit work",
        "commit transaction",
        "end transaction",
    ]);
    same(&["rollback", "ABORT", "rollback work", "abort transaction"]);
    same(&["begin", "BEGIN WORK", "begin transaction"]);
    same(&[
        "release sp_1",
        "RELEASE SAVEPOINT \"sp 2\"",
        "release sp_3;",
    ]);
    same(&[
        "rollback to a",
        "rollback to savepoint b",
        "ROLLBACK WORK TO SAVEPOINT c",
    ]);
    same(&[
        "set work_mem = '8MB'",
        "SET work_mem TO '9MB'",
        "set work_mem='10MB'",
    ]);
    same(&["set local a.b = true", "SET LOCAL a.b TO null"]);
    same(&["begin; select 1; commit", "begin work; select 2; end"]);
    different("commit", "commit prepared 'x'");
    different("commit", "rollback");
    different("set work_mem = '8MB'", "set local work_mem = '8MB'");
    // of a function's body
    let body = "create function f() returns int begin atomic; select 1; end";
    assert!(text(body).ends_with("; end"), "{}", text(body));
}

#[test]
fn forms_of_one_statement_are_equal() {
    same(&[
        "select * from t where id = 1",
        "SELECT * FROM t WHERE id = $1",
        "select*from t where id=-5",
        "select * from \"t\" where id = '5' -- x",
        "select * from t /* y /* z */ */ where id = E'a\\'b';",
        "select * from t where id = U&'x' ",
        "select * from t where id = $q$ it's $q$",
        "select * from t where id in ( 1_000 )",
        "select * from t where id = any (array[$1])",
        "select * from t where id = null",
        "select * from t where id = 0x1F",
    ]);
    same(&[
        "insert into t values ($1, $2)",
        "insert into t values (null, true)",
    ]);
    same(&["savepoint a", "SAVEPOINT \"s1_x2\""]);
    same(&["fetch 10 from c1", "fetch 20 from \"C2\""]);
    different("select a, b from t", "select b, a from t");
    different("where a is null", "where a = null");
    different("where a in (1)", "where a in (1, 2)");
    different("select * from t1", "select * from t2");
    different("order by 1", "order by 2");
}

#[test]
fn secrets_never_survive() {
    for sql in [
        "create role r password 'hunter2'",
        "ALTER USER u WITH ENCRYPTED PASSWORD hunter2",
        "alter role r password \"hunter2\"",
        "alter role r password $$hunter2$$ valid until 'x'",
        "create user mapping for u server s options (user 'u', password 'hunter2')",
        "alter role r password 'hunter2",
    ] {
        assert!(!text(sql).contains("hunter2"), "{sql}");
    }
    assert_eq!(
        text("alter role r password null"),
        "alter role r password null"
    );
    assert_eq!(text("select \"password\" from u"), "select password from u");
}

#[test]
fn operands_tell_what_stood_there() {
    let sql = b"select -1, 'x' from t where a in (10, 20, 30) and b = $7 and c in ($1 /*, ... */)";
    let mut normaliser = Normaliser::default();
    normaliser.run(sql);
    let operands: Vec<_> = normaliser
        .operands()
        .iter()
        .map(|o| {
            let raw = &sql[o.start as usize..o.end as usize];
            (o.kind, o.list_len, std::str::from_utf8(raw).unwrap())
        })
        .collect();
    assert_eq!(
        operands,
        [
            (OperandKind::Number, 1, "-1"),
            (OperandKind::String, 1, "'x'"),
            (OperandKind::Number, 3, "10, 20, 30"),
            (OperandKind::Parameter(7), 1, "$7"),
            (OperandKind::Parameter(1), 0, "$1"),
        ]
    );
}

/// Pieces of SQL, so that random texts reach the interesting states.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    const PIECES: &[&str] = &[
        "select",
        "from",
        "where",
        "a",
        "b.c",
        "\"Q\"",
        "\"x\"",
        "in",
        "not",
        "(",
        ")",
        "(",
        ")",
        ",",
        ",",
        "1",
        "-5",
        "2.5",
        "'s'",
        "$1",
        "null",
        "true",
        "=",
        "<>",
        "any",
        "all",
        "array",
        "[",
        "]",
        "values",
        "insert",
        "into",
        "update",
        "set",
        "order by",
        "1",
        "limit",
        ";",
        "::",
        "int",
        "numeric",
        "as",
        "cast",
        "/*, ... */",
        "-",
        "+",
        ".",
        ":",
        "is",
        "password",
        "create",
        "fetch",
        "savepoint",
        "default",
        "?|",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..24)
}

proptest! {
    #[test]
    fn any_bytes(sql: Vec<u8>) {
        let _ = normalise(&sql);
    }

    #[test]
    fn normalising_twice_is_normalising_once(pieces in pieces()) {
        text(&pieces.join(" "));
    }

    #[test]
    fn white_space_case_and_comments_do_not_matter(pieces in pieces()) {
        let plain = pieces.join(" ");
        let noisy = pieces.join("\n/* c */ ").to_uppercase().replace("\"X\"", "\"x\"") + " -- end";
        prop_assert_eq!(text(&plain), text(&noisy));
    }

    #[test]
    fn a_literal_is_a_parameter(pieces in pieces()) {
        let keeps = ["order by", "::", "cast", "-", "+", "-5"];
        let pieces = pieces.into_iter().filter(|piece| !keeps.contains(piece));
        let (literal, bound): (Vec<_>, Vec<_>) = pieces
            .map(|piece| (piece, if ["1", "2.5", "'s'"].contains(&piece) { "$9" } else { piece }))
            .unzip();
        let (literal, bound) = (literal.join(" "), bound.join(" "));
        prop_assert_eq!(text(&literal), text(&bound));
    }

    #[test]
    fn operands_match_placeholders(pieces in pieces()) {
        let sql = pieces.join(" ");
        let mut normaliser = Normaliser::default();
        normaliser.run(sql.as_bytes());
        let n = normaliser.text().matches('$').count();
        prop_assert_eq!(normaliser.operands().len(), n);
    }
}
