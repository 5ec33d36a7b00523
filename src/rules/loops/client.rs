//! Which library wrote a statement, told by how it writes SQL; nothing is said when two could have.

use std::collections::BTreeSet;

use crate::workload::{Query, Share, Workload};

/// A library that builds SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    ActiveRecord,
    Django,
    Doctrine,
    Drizzle,
    Ecto,
    Eloquent,
    EntityFramework,
    Gorm,
    Hibernate,
    Objection,
    Peewee,
    Pony,
    Prisma,
    Sequel,
    Sequelize,
    SqlAlchemy,
    Tortoise,
    TypeOrm,
}

impl Client {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: &[Self] = &[
        Self::ActiveRecord,
        Self::Django,
        Self::Doctrine,
        Self::Drizzle,
        Self::Ecto,
        Self::Eloquent,
        Self::EntityFramework,
        Self::Gorm,
        Self::Hibernate,
        Self::Objection,
        Self::Peewee,
        Self::Pony,
        Self::Prisma,
        Self::Sequel,
        Self::Sequelize,
        Self::SqlAlchemy,
        Self::Tortoise,
        Self::TypeOrm,
    ];

    /// The library's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ActiveRecord => "ActiveRecord",
            Self::Django => "Django",
            Self::Doctrine => "Doctrine",
            Self::Drizzle => "Drizzle",
            Self::Ecto => "Ecto",
            Self::Eloquent => "Eloquent",
            Self::EntityFramework => "Entity Framework",
            Self::Gorm => "GORM",
            Self::Hibernate => "Hibernate",
            Self::Objection => "Objection",
            Self::Peewee => "Peewee",
            Self::Pony => "Pony",
            Self::Prisma => "Prisma",
            Self::Sequel => "Sequel",
            Self::Sequelize => "Sequelize",
            Self::SqlAlchemy => "SQLAlchemy",
            Self::Tortoise => "Tortoise ORM",
            Self::TypeOrm => "TypeORM",
        }
    }

    /// How it writes in general; a statement written otherwise is not its own, whoever else runs in the application.
    fn style(self) -> Style {
        match self {
            Self::Drizzle | Self::Eloquent | Self::Objection => Style {
                words: Case::Lower,
                names: Names::Quoted,
            },
            Self::Hibernate => Style {
                words: Case::Lower,
                names: Names::Bare,
            },
            Self::Doctrine | Self::SqlAlchemy => Style {
                words: Case::Upper,
                names: Names::Bare,
            },
            _ => Style {
                words: Case::Upper,
                names: Names::Quoted,
            },
        }
    }
}

/// Keywords' case and names' quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    words: Case,
    names: Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Quoted,
    Bare,
}

impl Style {
    fn of(sql: &str) -> Option<Self> {
        let words = match sql.as_bytes().first()? {
            b'A'..=b'Z' => Case::Upper,
            b'a'..=b'z' => Case::Lower,
            _ => return None,
        };
        let names = if sql.contains('"') {
            Names::Quoted
        } else {
            Names::Bare
        };
        Some(Self { words, names })
    }
}

/// The library behind a looped statement: its own text where only one library writes so, else the one library that the application's other
/// statements show, if it could have written this one too.
pub(super) fn of(child: &Query, workload: &Workload) -> Option<Client> {
    if let Some(client) = recognise(&child.sample) {
        return Some(client);
    }
    if matching(&child.sample).next().is_some() {
        return None;
    }
    let application = |query: &Query| -> Vec<Share> {
        query
            .log
            .as_ref()
            .map(|log| log.applications.clone())
            .unwrap_or_default()
    };
    let own: BTreeSet<String> = application(child)
        .into_iter()
        .map(|share| share.name)
        .collect();
    let neighbours = workload.queries.iter().filter(|query| {
        let theirs = application(query);
        if own.is_empty() {
            theirs.is_empty()
        } else {
            theirs.iter().any(|share| own.contains(&share.name))
        }
    });
    let seen: BTreeSet<Client> = neighbours
        .filter_map(|query| recognise(&query.sample))
        .collect();
    let mut seen = seen.into_iter();
    match (seen.next(), seen.next()) {
        (Some(only), None) if Style::of(&child.sample) == Some(only.style()) => Some(only),
        _ => None,
    }
}

/// The library that wrote this raw text, when only one of those we know writes so.
pub(super) fn recognise(text: &str) -> Option<Client> {
    let mut matching = matching(text);
    match (matching.next(), matching.next()) {
        (Some(client), None) => Some(client),
        _ => None,
    }
}

fn matching(text: &str) -> impl Iterator<Item = Client> {
    let text = text.trim_ascii();
    MARKS
        .iter()
        .filter(move |(_, marks)| marks(text))
        .map(|(client, _)| *client)
}

type Marks = fn(&str) -> bool;

/// How each writes. Seen on logs of real clients (`fixtures/n-plus-one/`), apart from Doctrine, Ecto, Eloquent, Entity Framework, GORM and
/// Hibernate, whose SQL is that of their documentation.
static MARKS: &[(Client, Marks)] = &[
    (Client::ActiveRecord, |sql| {
        let rows = sql.starts_with("SELECT \"")
            && sql.contains("\".* FROM \"")
            && !sql.contains(" ON (")
            && !sql.contains("WHERE (");
        let counted = sql.starts_with("SELECT COUNT(*) FROM \"")
            && sql.contains("\" WHERE \"")
            && sql.contains("\".\"");
        rows || counted && !sql.contains(" AS ") || sql.starts_with("SELECT 1 AS one FROM \"")
    }),
    (Client::Django, |sql| {
        let row = first_column(sql, "SELECT ").is_some_and(|column| {
            column.starts_with('"')
                && parts(column) == 2
                && column.ends_with('"')
                && !column.contains(" AS ")
        });
        let own_alias = ["\"t1\"", "AND 1=1", ".* FROM", "\nFROM"]
            .iter()
            .any(|other| sql.contains(other));
        let special = sql.contains("AS \"__count\"") || sql.starts_with("SELECT 1 AS \"a\" FROM");
        special || row && !own_alias && !sql.ends_with(';')
    }),
    (Client::Doctrine, |sql| {
        sql.starts_with("SELECT t0.") && sql.contains(" AS ") && sql.contains(" t0 WHERE t0.")
    }),
    (Client::Drizzle, |sql| {
        let listed =
            sql.starts_with("select \"") && sql.contains("\" from \"") && !sql.contains(".* from");
        let bare = first_column(sql, "select ")
            .is_some_and(|column| column.starts_with('"') && parts(column) == 1);
        let counted = sql.starts_with("select count(*) from \"");
        let qualified = sql.split_once(" where ").is_some_and(|(_, condition)| {
            condition.starts_with('"') && condition.contains("\".\"")
        });
        let inserted = sql.starts_with("insert into \"") && sql.contains("values (default, ");
        (listed && bare || counted) && qualified || inserted
    }),
    (Client::Ecto, |sql| {
        sql.starts_with("SELECT ")
            && sql.contains("0.\"")
            && sql.contains(" AS ")
            && sql.contains("0 WHERE (")
    }),
    (Client::Eloquent, |sql| {
        let rows = sql.starts_with("select * from \"")
            && sql.contains("\".\"")
            && (sql.ends_with(" limit 1") || sql.contains("\" is not null"));
        let asked = sql.starts_with("select exists(select * from \"")
            || sql.contains(" as aggregate from \"");
        rows || asked
    }),
    (Client::EntityFramework, |sql| {
        let sql_lines =
            sql.contains("\nFROM \"") && sql.contains("\" AS ") && sql.contains("\nWHERE ");
        let alias = sql
            .split_once("\" AS ")
            .and_then(|(_, rest)| rest.split(['\n', ' ']).next())
            .unwrap_or_default();
        sql_lines
            && !alias.is_empty()
            && alias.len() <= 3
            && sql.contains(&format!("WHERE {alias}.\""))
    }),
    (Client::Gorm, |sql| {
        sql.starts_with("SELECT * FROM \"") && sql.contains("\" WHERE \"") && sql.contains("\".\"")
    }),
    (Client::Hibernate, |sql| {
        let old = sql.starts_with("select ")
            && sql.contains("0_.")
            && sql.contains(" as ")
            && sql.contains("_0_");
        let new = sql.starts_with("select ") && sql.contains("1_0.") && sql.contains(" from ");
        old || new
    }),
    (Client::Objection, |sql| {
        sql.starts_with("select \"") && sql.contains("\".* from \"") && sql.contains("\" in ($")
    }),
    (Client::Peewee, |sql| {
        sql.contains("AS \"t1\"") && sql.contains("\"t1\".\"") && sql.starts_with("SELECT ")
    }),
    (Client::Pony, |sql| {
        sql.starts_with("SELECT ")
            && sql.contains("\nFROM \"")
            && sql.contains("\nWHERE \"")
            && !sql.contains("\" AS ")
    }),
    (Client::Prisma, |sql| {
        let three = sql.split_once('"').is_some_and(|(_, rest)| {
            let name = rest.split([' ', ',', ')', '(']).next().unwrap_or_default();
            rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                && parts(&format!("\"{name}")) == 3
        });
        three && (sql.starts_with("SELECT ") && !sql.contains(" AS \"public\""))
            || sql.contains("\"public\".\"")
                && (sql.contains("AND 1=1") || sql.contains(" RETURNING \"public\".\""))
    }),
    (Client::Sequel, |sql| {
        sql.starts_with("SELECT ")
            && sql.contains(" FROM \"")
            && sql.contains(" WHERE (\"")
            && !sql.contains(" AS \"t1\"")
            && (sql.starts_with("SELECT * FROM")
                || sql.contains(".* FROM")
                || sql.starts_with("SELECT count(*) AS \"count\" FROM"))
    }),
    (Client::Sequelize, |sql| {
        let read = sql.starts_with("SELECT ") && sql.contains("\" AS \"");
        let written = sql.starts_with("INSERT INTO \"") && sql.contains("DEFAULT");
        sql.ends_with(';') && !sql.contains('\n') && (read || written)
    }),
    (Client::SqlAlchemy, |sql| {
        let read =
            sql.starts_with("SELECT ") && sql.contains(" \nFROM ") && !sql.contains(" \nFROM \"");
        let cast =
            sql.contains("::INTEGER") || sql.contains("::VARCHAR") || sql.contains("::BIGINT");
        let returned = sql.starts_with("INSERT INTO ")
            && sql.rsplit_once(" RETURNING ").is_some_and(|(_, column)| {
                sql.strip_prefix("INSERT INTO ")
                    .and_then(|rest| rest.split(' ').next())
                    .is_some_and(|table| {
                        !table.contains('"') && column.starts_with(&format!("{table}."))
                    })
            });
        read || cast && !sql.contains('"') || returned
    }),
    (Client::Tortoise, |sql| {
        let listed = sql.starts_with("SELECT \"") && sql.contains("\",\"")
            || sql.starts_with("SELECT COUNT(*) FROM \"");
        listed && sql.contains("\"=$")
    }),
    (Client::TypeOrm, |sql| {
        let aliased = first_column(sql, "SELECT ")
            .and_then(|column| column.split_once(" AS "))
            // "author"."id" AS "author_id"
            .is_some_and(|(from, to)| parts(from) == 2 && from.replace("\".\"", "_") == to);
        let special =
            sql.contains("\"dummy_table\"") || sql.starts_with("SELECT COUNT(DISTINCT(\"");
        // no blank before the list, blanks in it
        let inserted = sql
            .strip_prefix("INSERT INTO \"")
            .and_then(|rest| rest.split_once('"'))
            .is_some_and(|(_, rest)| {
                rest.starts_with("(\"") && rest.contains("\", \"") && !sql.ends_with(';')
            });
        aliased || special || inserted
    }),
];

/// Parts of a quoted name: 2 for `"t"."c"`.
fn parts(name: &str) -> usize {
    name.matches("\".\"").count() + 1
}

/// The first output column, as written.
fn first_column<'a>(sql: &'a str, verb: &str) -> Option<&'a str> {
    let rest = sql.strip_prefix(verb)?;
    let rest = rest.strip_prefix("DISTINCT ").unwrap_or(rest);
    let end = [", ", " FROM ", " from ", "\nFROM "]
        .iter()
        .filter_map(|end| rest.find(end))
        .min()?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_by_how_they_write() {
        for (sql, client) in [
            (
                r#"SELECT "authors"."id", "authors"."name" FROM "authors" WHERE "authors"."id" = 29 LIMIT 21"#,
                Some(Client::Django),
            ),
            (
                "SELECT authors.id AS authors_id, authors.name AS authors_name \nFROM authors \nWHERE authors.id = 8",
                Some(Client::SqlAlchemy),
            ),
            (
                r#"SELECT "name","id" FROM "authors" WHERE "id"=$1 LIMIT $2"#,
                Some(Client::Tortoise),
            ),
            (
                r#"SELECT "authors".* FROM "authors" WHERE "authors"."id" = $1 LIMIT $2"#,
                Some(Client::ActiveRecord),
            ),
            (
                r#"SELECT * FROM "authors" WHERE ("authors"."id" = 1) LIMIT 1"#,
                Some(Client::Sequel),
            ),
            (
                r#"SELECT "tags".* FROM "tags" INNER JOIN "book_tags" ON ("book_tags"."tag_id" = "tags"."id") WHERE ("book_tags"."book_id" = 9)"#,
                Some(Client::Sequel),
            ),
            (
                r#"SELECT "t1"."id", "t1"."name" FROM "authors" AS "t1" WHERE ("t1"."id" = 3) LIMIT 1 OFFSET 0"#,
                Some(Client::Peewee),
            ),
            (
                r#"SELECT "id", "name" FROM "authors" AS "Author" WHERE "Author"."id" = 29;"#,
                Some(Client::Sequelize),
            ),
            (
                r#"SELECT "author"."id" AS "author_id", "author"."name" AS "author_name" FROM "authors" "author" INNER JOIN "books" "Book" ON "Book"."author_id" = "author"."id" WHERE "Book"."id" IN ($1)"#,
                Some(Client::TypeOrm),
            ),
            (
                r#"select "id", "name" from "authors" where "authors"."id" = $1"#,
                Some(Client::Drizzle),
            ),
            (
                r#"SELECT "public"."authors"."id", "public"."authors"."name" FROM "public"."authors" WHERE ("public"."authors"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3"#,
                Some(Client::Prisma),
            ),
            (
                "select author0_.id as id1_0_, author0_.name as name2_0_ from authors author0_ where author0_.id=$1",
                Some(Client::Hibernate),
            ),
            (
                "select a1_0.id,a1_0.name from authors a1_0 where a1_0.id=$1",
                Some(Client::Hibernate),
            ),
            (
                "SELECT \"b\".\"id\", \"b\".\"title\"\nFROM \"books\" \"b\"\nWHERE \"b\".\"author_id\" = 9",
                Some(Client::Pony),
            ),
            // from the clients' documentation
            (
                r#"SELECT b0."id", b0."title" FROM "books" AS b0 WHERE (b0."author_id" = $1)"#,
                Some(Client::Ecto),
            ),
            (
                r#"SELECT * FROM "books" WHERE "books"."author_id" = $1"#,
                Some(Client::Gorm),
            ),
            (
                r#"select * from "books" where "books"."author_id" = $1 and "books"."author_id" is not null"#,
                Some(Client::Eloquent),
            ),
            (
                r#"select * from "authors" where "authors"."id" = $1 limit 1"#,
                Some(Client::Eloquent),
            ),
            (
                "SELECT a.\"Id\", a.\"Name\"\nFROM \"Authors\" AS a\nWHERE a.\"Id\" = $1\nLIMIT 1",
                Some(Client::EntityFramework),
            ),
            (
                "SELECT t0.id AS id_1, t0.name AS name_2 FROM authors t0 WHERE t0.id = $1",
                Some(Client::Doctrine),
            ),
            ("select name from authors where id = $1", None),
            ("SELECT id, title FROM books WHERE author_id = 3", None),
            (r#"select * from "books" where "author_id" = $1"#, None),
            (
                r#"select "id", "title" from "books" where "author_id" = $9"#,
                None,
            ),
            (r#"UPDATE "orders" SET "total" = $1 WHERE "id" = $2"#, None),
            (
                r#"INSERT INTO "audit_logs" ("kind", "ref_id") VALUES ('x', 9) RETURNING "audit_logs"."id""#,
                None,
            ),
            ("", None),
        ] {
            assert_eq!(recognise(sql), client, "{sql}");
        }
    }
}
