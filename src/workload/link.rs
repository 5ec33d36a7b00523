//! Do two queries look related by their names? The parent's rows would give the child's keys: `books.author_id` → `authors.id` and back.
//!
//! Only a hint, from naming conventions; a rule that has a catalog asks the foreign keys instead.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::role::{is_key, keyed_scan};
use crate::sql::{
    QueryShape, StatementKind,
    shape::{Comparison, Operand, Scan, ScanRole, Target},
};

/// How strongly names suggest that a query's rows drive another. Ordered.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Nothing in the names.
    #[default]
    None,
    /// All of the parent's columns are read (`*`), and a name in the child could come from there.
    Possible,
    /// The same column name on both sides, or the same relation by its key.
    SameName,
    /// A column is named after the other side's relation.
    ForeignKey,
}

/// Links remembered; beyond, all are forgotten and worked out again.
const MAX_LINKS: usize = 1 << 16;

/// Links between queries by their numbers, each worked out once.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<(u32, u32), Link, foldhash::fast::FixedState>);

impl Links {
    /// The link from `parent`'s rows to `child`'s key.
    pub(super) fn between<'s>(
        &mut self,
        parent: u32,
        child: u32,
        shape: impl Fn(u32) -> Option<&'s QueryShape>,
    ) -> Link {
        if let Some(&known) = self.0.get(&(parent, child)) {
            return known;
        }
        // one without a shape may get it yet
        let (Some(outer), Some(inner)) = (shape(parent), shape(child)) else {
            return Link::None;
        };
        if self.0.len() >= MAX_LINKS {
            self.0.clear();
        }
        let found = link(outer, inner);
        self.0.insert((parent, child), found);
        found
    }
}

/// The link from `parent`'s rows to `child`'s key.
#[must_use]
pub fn link(parent: &QueryShape, child: &QueryShape) -> Link {
    parent
        .scans
        .iter()
        .filter(|scan| scan.role == ScanRole::Read)
        .map(|scan| match child.kind {
            StatementKind::Insert => insert_link(scan, child),
            _ => key_link(scan, child),
        })
        .max()
        .unwrap_or_default()
}

fn insert_link(parent: &Scan, child: &QueryShape) -> Link {
    child
        .written_columns
        .iter()
        .map(|column| {
            if names_rows_of(column, &parent.relation.name) {
                Link::ForeignKey
            } else {
                Link::None
            }
        })
        .max()
        .unwrap_or_default()
}

fn key_link(parent: &Scan, child: &QueryShape) -> Link {
    let Some(keyed) = keyed_scan(child) else {
        return Link::None;
    };
    keyed
        .predicates
        .iter()
        .filter(|predicate| is_key(predicate).is_some())
        .filter_map(|predicate| match &predicate.target {
            Target::Column(column) => Some(column_link(parent, keyed, column, child.kind)),
            Target::Expression(_) => None,
        })
        .max()
        .unwrap_or_default()
}

fn column_link(parent: &Scan, child: &Scan, column: &str, kind: StatementKind) -> Link {
    if names_rows_of(column, &parent.relation.name)
        || names_column(column, &parent.relation.name, &parent.columns)
    {
        return Link::ForeignKey;
    }
    let own_key = is_own_key(column, &child.relation.name);
    let same_relation = child.relation.name == parent.relation.name;
    // what the parent compares with one value is the same in all of its rows
    let columns: Vec<String> = (parent.columns.iter())
        .filter(|column| !is_pinned(parent, column))
        .cloned()
        .collect();
    match (own_key, same_relation) {
        (true, true) if kind == StatementKind::Select => Link::SameName,
        (true, true) => Link::ForeignKey,
        (true, false) if names_relation(&columns, &child.relation.name) => Link::ForeignKey,
        (_, false) if is_named_by(&columns, &child.relation.name, column) => Link::ForeignKey,
        (false, _) if columns.iter().any(|c| c == column) => Link::SameName,
        (_, false) | (false, true) if parent.all_columns => Link::Possible,
        _ => Link::None,
    }
}

/// Does the scan compare that column with one value?
fn is_pinned(scan: &Scan, column: &str) -> bool {
    scan.predicates.iter().any(|predicate| {
        predicate.comparison == Comparison::Equal
            && matches!(predicate.operand, Operand::Parameter(_))
            && matches!(&predicate.target, Target::Column(pinned) if pinned == column)
    })
}

fn names_relation(columns: &[String], relation: &str) -> bool {
    columns.iter().any(|column| names_rows_of(column, relation))
}

/// Is the column named after that relation, as a key of it or bare: `author_id` or `author` for `authors`?
fn names_rows_of(column: &str, relation: &str) -> bool {
    refers_to(column, relation) || is_one_of(&squeezed(column), relation)
}

/// Is the column named after the relation and one of these columns of it: `category_slug` for `categories` and `slug`?
fn names_column(column: &str, relation: &str, columns: &[String]) -> bool {
    let column = squeezed(column);
    [singular(relation), squeezed(relation)].iter().any(|name| {
        column
            .strip_prefix(name)
            .is_some_and(|rest| !rest.is_empty() && columns.iter().any(|c| squeezed(c) == rest))
    })
}

/// Is one of the columns named after the relation and that column of it?
fn is_named_by(columns: &[String], relation: &str, column: &str) -> bool {
    let column = squeezed(column);
    [singular(relation), squeezed(relation)].iter().any(|name| {
        columns
            .iter()
            .any(|c| squeezed(c) == format!("{name}{column}"))
    })
}

/// Endings that say "key of".
const KEY_WORDS: [&str; 9] = ["uuid", "guid", "code", "key", "num", "pk", "id", "no", "nr"];

/// Is it the relation's own key: `id`, `uuid`, `nr`, `book_id` of `books`?
#[must_use]
pub fn is_own_key(column: &str, relation: &str) -> bool {
    KEY_WORDS.contains(&squeezed(column).as_str()) || refers_to(column, relation)
}

/// Is the column named as a key of that relation: `author_id`, `authorId`, `id_author` for `authors`, `shop_author`?
#[must_use]
pub fn refers_to(column: &str, relation: &str) -> bool {
    let column = squeezed(column);
    let ends = KEY_WORDS
        .iter()
        .filter_map(|word| column.strip_suffix(word));
    let starts = ["id", "fk"]
        .iter()
        .filter_map(|word| column.strip_prefix(word));
    ends.chain(starts)
        .any(|base| base.len() >= 2 && is_one_of(base, relation))
}

/// Is that squeezed word one of what the relation has many of: `author` of `authors`, of `shop_author`, `kurs` of `kurs`, `kunde` of `kunden`?
fn is_one_of(word: &str, relation: &str) -> bool {
    singular(relation) == word
        || squeezed(relation) == word
        || is_inflected(word, &squeezed(relation))
        || (word.len() >= 3 && ends_with_word(relation, word))
}

/// Is one word the other with another ending, as languages beside English make their plurals: `kunde`, `kunden`; `bestellung`, `bestellungen`;
/// `ordine`, `ordini`; `flor`, `flores`?
fn is_inflected(one: &str, many: &str) -> bool {
    /// Letters of the shorter one from which on a common beginning is no chance.
    const MIN_STEM: usize = 4;
    if one.len() < MIN_STEM || !one.is_char_boundary(one.len() - 1) {
        return false;
    }
    let (stem, end) = one.split_at(one.len() - 1);
    let is_vowel = |text: &str| matches!(text, "a" | "e" | "i" | "o" | "u");
    match many.strip_prefix(one) {
        Some(rest) => matches!(rest, "e" | "n" | "en" | "er" | "es" | "s" | "x" | "y"),
        None => is_vowel(end) && many.strip_prefix(stem).is_some_and(is_vowel),
    }
}

/// Does the last word of `shop_authors` say `author`?
fn ends_with_word(relation: &str, base: &str) -> bool {
    let lower = relation.to_ascii_lowercase();
    lower.match_indices('_').any(|(at, _)| {
        let word = &lower[at + 1..];
        singular(word) == base || word == base || is_inflected(base, word)
    })
}

/// Lower case, without underscores.
fn squeezed(name: &str) -> String {
    name.chars()
        .filter(|c| *c != '_')
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// English singular of a relation's name, squeezed; good enough for `companies`, `addresses`, `people`.
#[must_use]
pub fn singular(name: &str) -> String {
    let name = squeezed(name);
    let irregular = [("people", "person"), ("children", "child"), ("men", "man")];
    for (plural, one) in irregular {
        if let Some(stem) = name.strip_suffix(plural) {
            return format!("{stem}{one}");
        }
    }
    if let Some(stem) = name.strip_suffix("ies") {
        return format!("{stem}y");
    }
    for ending in ["sses", "xes", "ches", "shes", "uses"] {
        if name.ends_with(ending) {
            return name[..name.len() - 2].to_owned();
        }
    }
    match name.strip_suffix('s') {
        Some(stem) if !stem.ends_with('s') && !stem.ends_with('u') => stem.to_owned(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::shape;

    fn between(parent: &str, child: &str) -> Link {
        link(
            &shape::parse(parent).unwrap(),
            &shape::parse(child).unwrap(),
        )
    }

    #[test]
    fn names_link_in_both_directions() {
        let books = "select b.id, b.author_id from books b order by b.id limit $1";
        assert_eq!(
            between(books, "select * from authors where id = $1"),
            Link::ForeignKey
        );
        assert_eq!(
            between(books, "select * from reviews where book_id = $1"),
            Link::ForeignKey
        );
        assert_eq!(
            between(books, "select * from reviews r where r.\"bookId\" = $1"),
            Link::ForeignKey
        );
        assert_eq!(
            between(books, "update books set seen = $1 where id = $2"),
            Link::ForeignKey
        );
        assert_eq!(
            between(books, "select * from books where id = $1"),
            Link::SameName
        );
        assert_eq!(
            between("select * from books", "select * from authors where id = $1"),
            Link::Possible
        );
        assert_eq!(
            between(books, "select * from countries where id = $1"),
            Link::None
        );
        assert_eq!(
            between(
                "select slug, title from categories",
                "select count(*) from items where category_slug = $1"
            ),
            Link::ForeignKey
        );
        assert_eq!(
            between(
                "select sku, vendor_code from items",
                "select name from vendors where code = $1"
            ),
            Link::ForeignKey
        );
        assert_eq!(
            between(books, "insert into audit (book_id, kind) values ($1, $2)"),
            Link::ForeignKey
        );
    }

    #[test]
    fn one_value_drives_nothing() {
        let notes = "select id, job_id, note from applications where job_id = $1";
        assert_eq!(
            between(notes, "select * from jobs where id = $1"),
            Link::None
        );
        assert_eq!(
            between(notes, "select * from votes where application_id = $1"),
            Link::ForeignKey
        );
    }

    #[test]
    fn many_to_many_links_through_the_join_table() {
        let tags = "select t.id from tags t inner join book_tags bt on t.id = bt.tag_id where bt.book_id = $1";
        assert_eq!(
            between("select b.id from library_book b", tags),
            Link::ForeignKey
        );
    }

    #[test]
    fn names_of_other_languages_link_too() {
        for (parent, child) in [
            (
                "select nr, titel from kurs order by titel limit $1",
                "select count(*) from anmeldung where kurs_nr = $1",
            ),
            (
                "select id, name from kunden",
                "select id, betrag from bestellungen where kunde_id = $1",
            ),
            (
                "select id, kunde from bestellungen",
                "select id, name from kunden where id = $1",
            ),
            (
                "select id from ordini",
                "select id, quantita from righe where id_ordine = $1",
            ),
            (
                "select id, customer from orders",
                "select name from customers where id = $1",
            ),
            (
                "select id from news",
                "select count(*) from comments where news_id = $1",
            ),
        ] {
            assert_eq!(between(parent, child), Link::ForeignKey, "{parent}");
        }
        assert_eq!(
            between(
                "select id, name from ports",
                "select id from portfolios where portal_id = $1"
            ),
            Link::None
        );
    }

    #[test]
    fn plurals() {
        for (plural, one) in [
            ("companies", "company"),
            ("addresses", "address"),
            ("boxes", "box"),
            ("people", "person"),
            ("status", "status"),
            ("job_skills", "jobskill"),
        ] {
            assert_eq!(singular(plural), one);
        }
    }
}
