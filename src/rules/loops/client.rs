//! Which library wrote a statement, told by how it writes SQL; nothing is said when two could have.

/// A library that builds SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    ActiveRecord,
    Django,
    Doctrine,
    Drizzle,
    Ecto,
    Gorm,
    Hibernate,
    Peewee,
    Prisma,
    Sequel,
    Sequelize,
    SqlAlchemy,
    Tortoise,
    TypeOrm,
}

impl Client {
    /// The library's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ActiveRecord => "ActiveRecord",
            Self::Django => "Django",
            Self::Doctrine => "Doctrine",
            Self::Drizzle => "Drizzle",
            Self::Ecto => "Ecto",
            Self::Gorm => "GORM",
            Self::Hibernate => "Hibernate",
            Self::Peewee => "Peewee",
            Self::Prisma => "Prisma",
            Self::Sequel => "Sequel",
            Self::Sequelize => "Sequelize",
            Self::SqlAlchemy => "SQLAlchemy",
            Self::Tortoise => "Tortoise ORM",
            Self::TypeOrm => "TypeORM",
        }
    }
}

/// The library that wrote this raw text, when only one of those we know writes so.
pub(super) fn recognise(text: &str) -> Option<Client> {
    let mut matching = MARKS.iter().filter(|(_, marks)| marks(text));
    match (matching.next(), matching.next()) {
        (Some((client, _)), None) => Some(*client),
        _ => None,
    }
}

type Marks = fn(&str) -> bool;

/// How each writes. Seen on logs of real clients (`fixtures/n-plus-one/`); Doctrine, Ecto and GORM from their documentation.
static MARKS: &[(Client, Marks)] = &[
    (Client::ActiveRecord, |sql| {
        sql.starts_with("SELECT \"") && sql.contains("\".* FROM \"")
            || sql.starts_with("SELECT 1 AS one FROM \"")
            || sql.starts_with("SELECT COUNT(*) FROM \"") && sql.contains("\" WHERE \"")
    }),
    (Client::Django, |sql| {
        let row = first_column(sql, "SELECT ").is_some_and(|column| {
            column.starts_with('"')
                && column.contains("\".\"")
                && column.ends_with('"')
                && !column.contains(" AS ")
        });
        let special = sql.contains("AS \"__count\"") || sql.starts_with("SELECT 1 AS \"a\" FROM");
        let written = sql.starts_with("INSERT INTO \"")
            && sql.contains(" RETURNING \"")
            && sql.contains("\".\"id\"");
        special
            || (row || written)
                && !sql.contains("\"t1\"")
                && !sql.contains("AND 1=1")
                && !sql.contains(".* FROM")
    }),
    (Client::Doctrine, |sql| {
        sql.starts_with("SELECT t0.") && sql.contains(" AS ") && sql.contains(" t0 WHERE t0.")
    }),
    (Client::Drizzle, |sql| {
        sql.starts_with("select \"") && sql.contains("\", \"") && sql.contains("\" from \"")
            || sql.starts_with("insert into \"") && sql.contains("values (default, ")
    }),
    (Client::Ecto, |sql| {
        sql.starts_with("SELECT ")
            && sql.contains("0.\"")
            && sql.contains(" AS ")
            && sql.contains("0 WHERE (")
    }),
    (Client::Gorm, |sql| {
        sql.starts_with("SELECT * FROM \"") && sql.contains("\" WHERE \"") && sql.contains("\".\"")
    }),
    (Client::Hibernate, |sql| {
        let old = sql.contains("0_.") && sql.contains(" as ") && sql.contains("_0_");
        let new = sql.starts_with("select ") && sql.contains("1_0.") && sql.contains(" from ");
        old || new
    }),
    (Client::Peewee, |sql| {
        sql.contains("AS \"t1\"") && sql.contains("\"t1\".\"")
    }),
    (Client::Prisma, |sql| {
        sql.contains("\"public\".\"") && (sql.contains("AND 1=1") || sql.contains(" OFFSET $"))
    }),
    (Client::Sequel, |sql| {
        sql.contains(" FROM \"")
            && sql.contains(" WHERE (\"")
            && !sql.contains(" AS \"t1\"")
            && sql.starts_with("SELECT ")
            && !sql.contains("\"public\".")
            && (sql.starts_with("SELECT * FROM")
                || sql.contains(".* FROM")
                || sql.starts_with("SELECT count(*) AS \"count\" FROM"))
    }),
    (Client::Sequelize, |sql| {
        sql.ends_with(';') && sql.starts_with("SELECT ") && sql.contains("\" AS \"")
            || sql.ends_with(';') && sql.starts_with("INSERT INTO \"") && sql.contains("DEFAULT")
    }),
    (Client::SqlAlchemy, |sql| {
        sql.starts_with("SELECT ") && sql.contains(" \nFROM ") && sql.contains(" \nWHERE ")
    }),
    (Client::Tortoise, |sql| {
        sql.starts_with("SELECT \"") && sql.contains("\",\"") && sql.contains("\"=$")
    }),
    (Client::TypeOrm, |sql| {
        let Some(column) = first_column(sql, "SELECT ") else {
            return false;
        };
        // "author"."id" AS "author_id"
        match column.split_once(" AS ") {
            Some((from, to)) => from.replace("\".\"", "_") == to,
            None => sql.contains("\"dummy_table\"") || sql.starts_with("SELECT COUNT(DISTINCT(\""),
        }
    }),
];

/// The first output column, as written.
fn first_column<'a>(sql: &'a str, verb: &str) -> Option<&'a str> {
    let rest = sql.strip_prefix(verb)?;
    let rest = rest.strip_prefix("DISTINCT ").unwrap_or(rest);
    let end = [", ", " FROM "]
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
            ("select name from authors where id = $1", None),
            ("SELECT id, title FROM books WHERE author_id = 3", None),
            (r#"select * from "books" where "author_id" = $1"#, None),
        ] {
            assert_eq!(recognise(sql), client, "{sql}");
        }
    }
}
