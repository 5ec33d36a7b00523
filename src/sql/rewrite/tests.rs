//! Statements of real clients and their batches.

use super::*;
use crate::sql::{normalise, shape::RelationRef};

/// A book shop's tables.
struct Shop;

const COLUMNS: &[(&str, &str, &str)] = &[
    ("authors", "id", "integer"),
    ("authors", "name", "text"),
    ("books", "id", "integer"),
    ("books", "author_id", "integer"),
    ("books", "title", "character varying(80)"),
    ("books", "price", "numeric(10,2)"),
    ("books", "tags", "text[]"),
    ("tags", "id", "integer"),
    ("tags", "name", "text"),
    ("book_tags", "book_id", "integer"),
    ("book_tags", "tag_id", "integer"),
    ("users", "id", "uuid"),
    ("users", "email", "citext"),
];

impl Schema for Shop {
    fn column_type(&self, relation: &RelationRef, column: &str) -> Option<String> {
        let found = COLUMNS
            .iter()
            .find(|(table, name, _)| *table == relation.name && *name == column);
        found.map(|(_, _, type_name)| (*type_name).to_owned())
    }

    fn is_unique(&self, relation: &RelationRef, columns: &[&str]) -> bool {
        match relation.name.as_str() {
            "book_tags" => columns.contains(&"book_id") && columns.contains(&"tag_id"),
            _ => columns.contains(&"id"),
        }
    }

    fn columns(&self, relation: &RelationRef) -> Option<Vec<String>> {
        let of_table = COLUMNS
            .iter()
            .filter(|(table, _, _)| *table == relation.name);
        let columns: Vec<String> = of_table.map(|(_, name, _)| (*name).to_owned()).collect();
        (!columns.is_empty()).then_some(columns)
    }
}

fn rewritten(
    sql: &str,
    varying: &[u16],
    schema: &(dyn Schema + Sync),
    keys_repeat: bool,
) -> Result<Batch, Refusal> {
    let text = normalise(sql.as_bytes()).text;
    let operands: Vec<Operand> = (1..=9)
        .map(|n| Operand {
            varies: varying.contains(&n),
            constant: (!varying.contains(&n)).then(|| "1".to_owned()),
            literal: if varying.contains(&n) {
                LiteralKind::Unknown
            } else {
                LiteralKind::Integer
            },
            guess: None,
        })
        .collect();
    let looped = Looped {
        text: &text,
        operands: &operands,
        keys_repeat,
    };
    batch(&looped, schema)
}

fn check(schema: &(dyn Schema + Sync), sql: &str, varying: &[u16], expected: &str) {
    match rewritten(sql, varying, schema, false) {
        Ok(batch) => assert_eq!(batch.sql, expected, "{sql}"),
        Err(refusal) => panic!("{refusal}: {sql}"),
    }
}

#[test]
fn one_row_by_its_key() {
    check(
        &Shop,
        r#"SELECT "authors"."id", "authors"."name" FROM "authors" WHERE "authors"."id" = 29 LIMIT 21"#,
        &[1],
        "SELECT authors.id, authors.name\nFROM authors\nWHERE authors.id = ANY($1::integer[])",
    );
    check(
        &NoSchema,
        r#"SELECT "author"."id" AS "author_id", "author"."name" AS "author_name" FROM "authors" "author" INNER JOIN "books" "Book" ON "Book"."author_id" = "author"."id" WHERE "Book"."id" IN ($1)"#,
        &[1],
        "SELECT \"Book\".id, author.id AS author_id, author.name AS author_name\nFROM authors author\nINNER JOIN books \"Book\" ON \"Book\".author_id = author.id\nWHERE \"Book\".id = ANY($1)",
    );
}

#[test]
fn rows_of_each_parent() {
    check(
        &Shop,
        "SELECT title FROM books WHERE author_id = 3 AND title IN ('a','b') AND price NOT IN (1,2)",
        &[1],
        "SELECT author_id, title\nFROM books\nWHERE author_id = ANY($1::integer[]) AND title = ANY($2) AND price <> ALL($3)",
    );
    check(
        &Shop,
        r#"SELECT "books".* FROM "books" WHERE "books"."author_id" = $1 ORDER BY "books"."id" DESC LIMIT $2"#,
        &[1],
        "SELECT keys.author_id, found.*\nFROM unnest($1::integer[]) WITH ORDINALITY AS keys (author_id, n)\nCROSS JOIN LATERAL (SELECT books.* FROM books WHERE books.author_id = keys.author_id ORDER BY books.id DESC LIMIT $2) AS found\nORDER BY keys.n, found.id DESC",
    );
    check(
        &Shop,
        "SELECT * FROM book_tags WHERE book_id = $1 AND tag_id = $2",
        &[1, 2],
        "SELECT *\nFROM book_tags\nWHERE (book_id, tag_id) IN (SELECT * FROM unnest($1::integer[], $2::integer[]))",
    );
}

#[test]
fn rows_through_a_join_table() {
    check(
        &NoSchema,
        "SELECT tags.id FROM tags, book_tags \nWHERE $1::INTEGER = book_tags.book_id AND tags.id = book_tags.tag_id",
        &[1],
        "SELECT book_tags.book_id, tags.id\nFROM tags, book_tags\nWHERE book_tags.book_id = ANY($1::integer[]) AND tags.id = book_tags.tag_id",
    );
}

#[test]
fn counts_and_existence() {
    check(
        &Shop,
        r#"SELECT COUNT(*) FROM "books" WHERE "books"."author_id" = $1 AND price > 3"#,
        &[1],
        "SELECT books.author_id, count(*)\nFROM books\nWHERE books.author_id = ANY($1::integer[]) AND price > $2\nGROUP BY books.author_id",
    );
    for sql in [
        r#"SELECT 1 AS one FROM "books" WHERE "books"."author_id" = $1 LIMIT $2"#,
        "SELECT EXISTS (SELECT * FROM books WHERE books.author_id = $1)",
    ] {
        let key = if sql.contains("AS one") { 2 } else { 1 };
        check(
            &NoSchema,
            sql,
            &[key],
            "SELECT DISTINCT books.author_id\nFROM books\nWHERE books.author_id = ANY($1)",
        );
    }
}

#[test]
fn inserts() {
    check(
        &Shop,
        r#"INSERT INTO "books" ("id", "author_id", "title", "price") VALUES (DEFAULT, $1, $2, now()) RETURNING "id""#,
        &[2],
        "INSERT INTO books (author_id, title, price)\nSELECT $2::integer, rows.title, now()\nFROM unnest($1::text[]) AS rows (title)\nRETURNING id",
    );
    check(
        &NoSchema,
        r#"INSERT INTO "books" ("author_id", "title") VALUES ($1, $2)"#,
        &[1, 2],
        "INSERT INTO books (author_id, title)\nVALUES\n  ($1, $2),\n  ($3, $4)\n  /* , … */",
    );
}

#[test]
fn updates_and_deletes() {
    check(
        &NoSchema,
        r#"UPDATE "books" SET "price" = 3 WHERE "books"."id" = 7"#,
        &[2],
        "UPDATE books\nSET price = $2\nWHERE books.id = ANY($1)",
    );
    check(
        &Shop,
        r#"UPDATE "books" SET "price" = 3, title = 'x' WHERE "books"."id" = 7 RETURNING *"#,
        &[1, 3],
        "UPDATE books\nSET price = rows.new_price, title = $3\nFROM unnest($1::integer[], $2::numeric[]) AS rows (key_id, new_price)\nWHERE books.id = rows.key_id\nRETURNING books.*",
    );
    check(
        &Shop,
        "DELETE FROM book_tags WHERE book_id = 3 AND tag_id = 4",
        &[1, 2],
        "DELETE FROM book_tags\nWHERE (book_id, tag_id) IN (SELECT * FROM unnest($1::integer[], $2::integer[]))",
    );
}

#[test]
fn a_key_whose_equal_values_read_differently_comes_back_as_it_was_sent() {
    check(
        &Shop,
        "SELECT id FROM users WHERE email = 'a'",
        &[1],
        "SELECT keys.email, found.*\nFROM unnest($1::citext[]) AS keys (email)\nCROSS JOIN LATERAL (SELECT id FROM users WHERE email = keys.email) AS found",
    );
}

#[test]
fn the_last_value_of_a_key_that_comes_twice_stays() {
    let batch = rewritten(
        "UPDATE books SET price = 3 WHERE id = 7",
        &[1, 2],
        &Shop,
        true,
    )
    .unwrap();
    assert!(
        batch.sql.contains("SELECT DISTINCT ON (key_id)"),
        "{}",
        batch.sql
    );
    let refused = rewritten(
        "UPDATE books SET price = price + 3 WHERE id = 7",
        &[1, 2],
        &Shop,
        true,
    );
    assert_eq!(refused, Err(Refusal::Accumulates));
}

#[test]
fn hostile_texts_are_refused_in_peace() {
    for sql in [
        "",
        "SELECT",
        "SELECT * FROM t WHERE a = $1 /*, ... */",
        "SELECT * FROM t WHERE a = $1; DROP TABLE t",
        "SELECT @1 FROM t WHERE \"@1\" = $1",
        "INSERT INTO t VALUES",
        "UPDATE t SET WHERE a = $1",
        "VALUES ($1)",
        "TABLE t",
        "MERGE INTO t USING s ON t.a = $1 WHEN MATCHED THEN DELETE",
    ] {
        let _ = rewritten(sql, &[1], &Shop, true);
        let _ = rewritten(sql, &[1], &NoSchema, false);
    }
    let deep = format!(
        "SELECT * FROM t WHERE a = $1 AND {}b{}",
        "(".repeat(5_000),
        ")".repeat(5_000)
    );
    assert!(rewritten(&deep, &[1], &Shop, false).is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_and_any_keys_end_well(sql in "(?s).{0,60}", words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..14), n in 0..4_u16) {
        let _ = rewritten(&sql, &[n], &Shop, true);
        let statement = format!("SELECT * FROM books WHERE {}", words.join(" "));
        for first in ["SELECT * FROM books WHERE ", "UPDATE books SET title = $2 WHERE ", "DELETE FROM books WHERE ", "SELECT count(*) FROM books WHERE "] {
            let _ = rewritten(&statement.replace("SELECT * FROM books WHERE ", first), &[1, n], &NoSchema, false);
        }
    }
}

/// Pieces of conditions.
const WORDS: &[&str] = &[
    "author_id",
    "=",
    "$1",
    "$2",
    "AND",
    "OR",
    "NOT",
    "(",
    ")",
    "IN",
    "ANY",
    "IS",
    "NULL",
    "title",
    "1",
    "'x'",
    "LIMIT",
    "ORDER BY",
    "GROUP BY",
    ",",
    "SELECT",
    "FROM",
    "::",
    "int",
];
