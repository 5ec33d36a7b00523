//! Where in the user's code a finding belongs: what the statement's own comment says, the statement's text, or the migration or model that
//! defines the relation. Pure: files are shown to a [`Locator`] one by one. It names a place only when few others fit as well.

use std::collections::BTreeMap;

use super::{Finding, Location, LocationKind};

/// Places that may fit equally well and still be named; more than that and nothing is said.
const MAX_PLACES: usize = 3;
/// Shortest beginning of a statement, up to its first value, that is looked for: shorter ones stand everywhere.
const MIN_QUERY_CHARS: usize = 24;

/// Words that stand on a line which defines a relation, after lower-casing; models before migrations, as people look there first.
/// From the documentation of: Django, SQLAlchemy, Peewee, SeaORM, TypeORM, JPA, Prisma, Drizzle, Sequelize, Entity Framework, Eloquent, Ecto;
/// then SQL, Rails, Alembic, Knex, Laravel, Ecto.
const MODEL_MARKERS: &[&str] = &[
    "db_table",
    "__tablename__",
    "table_name",
    "tablename",
    "@entity",
    "@table",
    "@@map",
    "pgtable",
    "totable",
    "protected $table",
    "schema \"",
];
const MIGRATION_MARKERS: &[&str] = &[
    "create table",
    "create unlogged table",
    "create_table",
    "createtable",
    "schema::create",
    "create table(",
];

/// Looks for the places of several findings at once.
#[derive(Debug)]
pub struct Locator {
    wanted: Vec<Wanted>,
}

/// What is looked for, and what was found, for one finding.
#[derive(Debug, Default)]
struct Wanted {
    /// File and line that the statement's comment names.
    caller: Option<(String, u64)>,
    callers: Vec<Location>,
    /// The statement up to its first value: lower case, single spaces.
    query: Option<String>,
    queries: Vec<Location>,
    /// The relation's name, lower case.
    relation: Option<String>,
    models: Vec<Location>,
    migrations: Vec<Location>,
}

impl Locator {
    /// For these findings, each with the tags of its statement (`key` → value).
    #[must_use]
    pub fn new<'a>(
        findings: impl IntoIterator<Item = (&'a Finding, BTreeMap<String, String>)>,
    ) -> Self {
        let wanted = findings.into_iter().map(|(finding, tags)| Wanted {
            caller: caller(&tags),
            query: finding.subject.query.as_deref().and_then(beginning),
            relation: finding
                .subject
                .relation
                .as_ref()
                .map(|relation| relation.name.to_lowercase()),
            ..Wanted::default()
        });
        Self {
            wanted: wanted.collect(),
        }
    }

    /// Looks at one file. `path` is relative to the source folder, with `/` between its parts.
    pub fn visit(&mut self, path: &str, text: &str) {
        let lower = text.to_lowercase();
        let flat = Flat::of(&lower);
        for wanted in &mut self.wanted {
            wanted.visit(path, &lower, &flat);
        }
    }

    /// The places of each finding, the most telling kind alone.
    #[must_use]
    pub fn finish(self) -> Vec<Vec<Location>> {
        self.wanted.into_iter().map(Wanted::finish).collect()
    }
}

impl Wanted {
    fn visit(&mut self, path: &str, lower: &str, flat: &Flat) {
        if let Some((file, line)) = &self.caller
            && is_same_file(file, path)
        {
            self.callers.push(place(path, *line, LocationKind::Caller));
        }
        if let Some(query) = &self.query {
            let found = flat.text.match_indices(query.as_str());
            let lines = found.take(MAX_PLACES + 1).map(|(at, _)| flat.line(at));
            self.queries
                .extend(lines.map(|line| place(path, line, LocationKind::Query)));
        }
        if let Some(relation) = &self.relation {
            for (number, line) in lower.lines().enumerate() {
                let Some(markers) = defining(line, relation) else {
                    continue;
                };
                let place = place(path, number as u64 + 1, LocationKind::Definition);
                match markers {
                    Markers::Model => self.models.push(place),
                    Markers::Migration => self.migrations.push(place),
                }
            }
        }
    }

    fn finish(self) -> Vec<Location> {
        let found = [self.callers, self.queries, self.models, self.migrations];
        let fitting = found
            .into_iter()
            .find(|places| (1..=MAX_PLACES).contains(&places.len()));
        fitting.unwrap_or_default()
    }
}

fn place(file: &str, line: u64, kind: LocationKind) -> Location {
    Location {
        file: file.to_owned(),
        line,
        kind,
    }
}

/// File and line that a statement's tags name: `file` and `line` (sqlcommenter's extensions, OpenTelemetry's `code.*`), or one value
/// `path:line…` (Rails' `source_location`, marginalia's `line`).
#[must_use]
pub fn caller(tags: &BTreeMap<String, String>) -> Option<(String, u64)> {
    let get = |names: &[&str]| names.iter().find_map(|name| tags.get(*name));
    let file = get(&[
        "file",
        "code.filepath",
        "code.file.path",
        "code_filepath",
        "source_file",
    ]);
    let line = get(&[
        "line",
        "lineno",
        "code.lineno",
        "code.line.number",
        "code_lineno",
        "source_line",
    ]);
    if let (Some(file), Some(Ok(line))) = (file, line.map(|line| line.parse())) {
        return Some((file.clone(), line));
    }
    let joined = get(&["source_location", "line", "caller", "file"])?;
    let mut parts = joined.splitn(3, ':');
    let (file, line) = (parts.next()?, parts.next()?);
    let line = line.parse().ok().filter(|_| !file.is_empty())?;
    Some((file.to_owned(), line))
}

/// Is `path`, below the source folder, the file that a comment names, perhaps by its path on another machine?
fn is_same_file(named: &str, path: &str) -> bool {
    let named = named.replace('\\', "/");
    let named = named.trim_start_matches("./");
    named == path || named.ends_with(&format!("/{path}")) || path.ends_with(&format!("/{named}"))
}

/// The statement's text up to its first value, as it may stand in code.
fn beginning(query: &str) -> Option<String> {
    let end = query.find(['$', '\'', '(']).unwrap_or(query.len());
    let words: Vec<&str> = query[..end].split_whitespace().collect();
    let text = words.join(" ").to_lowercase();
    (text.chars().count() >= MIN_QUERY_CHARS).then_some(text)
}

/// A file's text with single spaces, and where its lines begin.
struct Flat {
    text: String,
    /// Start in `text` of each line of the file.
    starts: Vec<usize>,
}

impl Flat {
    fn of(file: &str) -> Self {
        let mut flat = Self {
            text: String::with_capacity(file.len()),
            starts: Vec::new(),
        };
        for line in file.lines() {
            flat.starts.push(flat.text.len());
            for word in line.split_whitespace() {
                flat.text.push_str(word);
                flat.text.push(' ');
            }
        }
        flat
    }

    /// The 1-based line of the file that the character at `at` stands on.
    fn line(&self, at: usize) -> u64 {
        self.starts.partition_point(|start| *start <= at) as u64
    }
}

enum Markers {
    Model,
    Migration,
}

/// Does the line define the relation?
fn defining(line: &str, relation: &str) -> Option<Markers> {
    if !names(line, relation) {
        return None;
    }
    let has = |markers: &[&str]| markers.iter().any(|marker| line.contains(marker));
    if has(MODEL_MARKERS) {
        Some(Markers::Model)
    } else if has(MIGRATION_MARKERS) {
        Some(Markers::Migration)
    } else {
        None
    }
}

/// Does the name stand on the line as a word of its own?
fn names(line: &str, relation: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(relation).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + relation.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::RelationName,
        finding::{Confidence, Evidence, Impact, Remedy, Severity, Subject},
    };

    fn located(tags: &[(&str, &str)], query: &str, files: &[(&str, &str)]) -> Vec<String> {
        let finding = Finding {
            rule: "n-plus-one",
            severity: Severity::Warning,
            confidence: Confidence::High,
            subject: Subject {
                relation: Some(RelationName::new("public", "books")),
                query: Some(query.to_owned()),
                ..Subject::default()
            },
            message: String::new(),
            impact: Impact::default(),
            evidence: Evidence::None,
            locations: Vec::new(),
            remedy: Remedy::default(),
        };
        let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut locator = Locator::new([(&finding, tags.collect())]);
        for (path, text) in files {
            locator.visit(path, text);
        }
        let places = locator.finish().remove(0);
        places
            .iter()
            .map(|place| format!("{}:{} {:?}", place.file, place.line, place.kind))
            .collect()
    }

    const QUERY: &str = "select id, title from books where author_id = $1";

    #[test]
    fn the_comment_of_the_statement_comes_first() {
        let files = [
            ("app/models/book.rb", "class Book\nend\n"),
            ("db/schema.sql", "CREATE TABLE books (id int);"),
        ];
        for tags in [
            &[(
                "source_location",
                "/srv/shop/app/models/book.rb:2:in `title'",
            )][..],
            &[("file", "app/models/book.rb"), ("line", "2")],
            &[("line", "app/models/book.rb:2")],
        ] {
            assert_eq!(
                located(tags, QUERY, &files),
                ["app/models/book.rb:2 Caller"],
                "{tags:?}"
            );
        }
    }

    #[test]
    fn the_text_of_a_statement_is_found_across_lines() {
        let code = "const sql = `\n  SELECT id, title\n    FROM books\n   WHERE author_id = ?`;\n";
        assert_eq!(
            located(&[], QUERY, &[("src/books.js", code)]),
            ["src/books.js:2 Query"]
        );
    }

    #[test]
    fn models_and_migrations_define_a_relation() {
        for (path, text, expected) in [
            (
                "a.sql",
                "-- x\nCREATE TABLE IF NOT EXISTS public.\"books\" (\n",
                "a.sql:2 Definition",
            ),
            ("a.rb", "create_table :books do |t|\n", "a.rb:1 Definition"),
            ("a.py", "    __tablename__ = 'books'\n", "a.py:1 Definition"),
            ("a.ts", "@Entity({ name: 'books' })\n", "a.ts:1 Definition"),
            (
                "a.ts",
                "export const books = pgTable('books', {\n",
                "a.ts:1 Definition",
            ),
            ("a.prisma", "  @@map(\"books\")\n", "a.prisma:1 Definition"),
            ("a.ex", "  schema \"books\" do\n", "a.ex:1 Definition"),
            (
                "a.php",
                "Schema::create('books', function ($t) {\n",
                "a.php:1 Definition",
            ),
        ] {
            assert_eq!(located(&[], "x", &[(path, text)]), [expected], "{text}");
        }
        assert!(
            located(
                &[],
                "x",
                &[("a.sql", "CREATE TABLE books_archive (id int)")]
            )
            .is_empty()
        );
        let both = [
            ("0001.sql", "create table books ()"),
            ("models.py", "db_table = 'books'"),
        ];
        assert_eq!(located(&[], "x", &both), ["models.py:1 Definition"]);
    }

    #[test]
    fn nothing_is_named_where_too_much_fits() {
        let many: Vec<(String, &str)> = (0..4)
            .map(|n| (format!("{n}.sql"), "create table books ()"))
            .collect();
        let many: Vec<(&str, &str)> = many
            .iter()
            .map(|(path, text)| (path.as_str(), *text))
            .collect();
        assert!(located(&[], "x", &many).is_empty());
        assert!(located(&[], "select 1", &[("a.js", "select 1")]).is_empty());
    }
}
