//! Candidates of other access methods than the b-tree: GIN for text search, patterns, json and arrays; GiST for ranges, geometry and nearest
//! neighbours; BRIN for large tables in the order of the column; hash for wide keys.

use super::{
    Reason,
    bind::BoundScan,
    expression,
    roles::{Roles, Term},
};
use crate::{
    catalog::{Catalog, Column, IndexDef, IndexKey, Relation},
    sql::shape::{Comparison, Operand, Predicate, Target},
};

/// Characters in a row that a pattern must hold for trigrams to narrow anything (`pg_trgm`: three make one trigram).
const MIN_PATTERN_RUN: usize = 3;

/// |correlation| from which rows lie in the order of a column: BRIN's ranges then hardly overlap.
const MIN_CORRELATION: f64 = 0.95;

/// Pages below which BRIN is not worth a thought (256 MiB): a b-tree there is small enough.
const MIN_BRIN_PAGES: u64 = 32_768;

/// Average bytes of a key from which a hash index, whose entries hold four bytes of it, is worth comparing.
const MIN_HASH_WIDTH: u32 = 48;

/// An index of another access method.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Special {
    pub(super) method: &'static str,
    pub(super) keys: Vec<IndexKey>,
    pub(super) reason: Reason,
    /// Needed and not installed.
    pub(super) extension: Option<String>,
}

/// What a condition's left side holds, as far as index methods differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Jsonb,
    Array,
    TextSearch,
    Range,
    Network,
    Geometry,
    Other,
}

/// All that a scan suggests, most specific first.
pub(super) fn of_scan(catalog: &Catalog, bound: &BoundScan<'_>, roles: &Roles) -> Vec<Special> {
    let relation = bound.relation;
    let mut found: Vec<Special> = Vec::new();
    let predicates = bound.scan.predicates.iter();
    for predicate in predicates.chain(bound.scan.any_of.iter().flatten()) {
        let Some(special) = of_predicate(catalog, relation, predicate) else {
            continue;
        };
        found.extend(with_equality(catalog, relation, &special, roles));
        found.push(special);
    }
    found.extend(nearest(catalog, bound));
    found.extend(roles.range.iter().filter_map(|term| brin(relation, term)));
    found.extend(roles.equal.iter().filter_map(|term| hash(relation, term)));
    let mut unique: Vec<Special> = Vec::new();
    for special in found {
        if !unique.contains(&special) {
            unique.push(special);
        }
    }
    unique
}

fn of_predicate(catalog: &Catalog, relation: &Relation, predicate: &Predicate) -> Option<Special> {
    let key = key_of(relation, &predicate.target)?;
    let holds = holds(relation, &predicate.target);
    let gin = |opclass: Option<&str>, reason: Reason| Special {
        method: "gin",
        keys: vec![IndexKey {
            opclass: opclass.map(str::to_owned),
            ..key.clone()
        }],
        reason,
        extension: None,
    };
    match (predicate.comparison, holds) {
        (Comparison::Like | Comparison::ILike | Comparison::Regex, Holds::Text) => {
            is_trigram_pattern(predicate)
                .then(|| trigrams(catalog, "gin", &key))
                .flatten()
        }
        (Comparison::Other, Holds::Text)
            if matches!(predicate.operator.as_str(), "%" | "<%" | "%>") =>
        {
            trigrams(catalog, "gin", &key)
        }
        (Comparison::Match, Holds::TextSearch) => Some(gin(None, Reason::TextSearch)),
        (Comparison::Contains | Comparison::Match, Holds::Jsonb) => {
            Some(gin(Some("jsonb_path_ops"), Reason::Json))
        }
        (Comparison::HasKey, Holds::Jsonb) => Some(gin(None, Reason::Json)),
        (Comparison::Contains | Comparison::Overlaps | Comparison::ContainedBy, Holds::Array) => {
            Some(gin(None, Reason::Json))
        }
        (
            Comparison::Contains
            | Comparison::Overlaps
            | Comparison::ContainedBy
            | Comparison::Other,
            Holds::Range | Holds::Geometry | Holds::Network,
        ) => Some(gist(&key, holds)),
        _ => None,
    }
}

fn gist(key: &IndexKey, holds: Holds) -> Special {
    Special {
        method: "gist",
        keys: vec![IndexKey {
            opclass: (holds == Holds::Network).then(|| "inet_ops".to_owned()),
            ..key.clone()
        }],
        reason: Reason::Plain,
        extension: None,
    }
}

/// A trigram index, if the extension is there or can be installed.
fn trigrams(catalog: &Catalog, method: &'static str, key: &IndexKey) -> Option<Special> {
    let (schema, extension) = provided(catalog, "pg_trgm")?;
    Some(Special {
        method,
        keys: vec![IndexKey {
            opclass: Some(format!("{schema}.{method}_trgm_ops")),
            ..key.clone()
        }],
        reason: Reason::TextSearch,
        extension,
    })
}

/// The extension whose operator classes an index names, for servers of our own that can install it.
#[must_use]
pub fn extension_of(def: &IndexDef) -> Option<&'static str> {
    let is_trigram = |key: &IndexKey| {
        key.opclass
            .as_deref()
            .is_some_and(|name| name.ends_with("_trgm_ops"))
    };
    def.keys.iter().any(is_trigram).then_some("pg_trgm")
}

/// The schema that an extension's objects are in, and its name where it must be installed first.
fn provided(catalog: &Catalog, name: &str) -> Option<(String, Option<String>)> {
    if let Some(installed) = catalog.server.extension(name) {
        return Some((installed.schema.clone(), None));
    }
    let is_available = catalog
        .server
        .available_extensions
        .iter()
        .any(|known| known == name);
    is_available.then(|| ("public".to_owned(), Some(name.to_owned())))
}

/// Can trigrams narrow the pattern? One that came as `$n` is taken for one that they can.
fn is_trigram_pattern(predicate: &Predicate) -> bool {
    match &predicate.operand {
        Operand::Literal(text) => {
            let plain = super::selectivity::plain_value(text);
            let is_prefix =
                predicate.comparison == Comparison::Like && !plain.starts_with(['%', '_']);
            !is_prefix && longest_run(&plain) >= MIN_PATTERN_RUN
        }
        Operand::Parameter(_) => true,
        Operand::Expression(text) => !text.contains("subquery"),
        _ => false,
    }
}

fn longest_run(pattern: &str) -> usize {
    pattern
        .split(|c: char| !c.is_alphanumeric())
        .map(|run| run.chars().count())
        .max()
        .unwrap_or(0)
}

/// The same with a column compared by equality in front, where an extension lets GIN and GiST hold it: one index instead of two bitmaps.
fn with_equality(
    catalog: &Catalog,
    relation: &Relation,
    special: &Special,
    roles: &Roles,
) -> Option<Special> {
    let extension = match special.method {
        "gin" => "btree_gin",
        "gist" => "btree_gist",
        _ => return None,
    };
    // its operator classes have no names of their own to tell that it is needed: only where it is installed
    catalog.server.extension(extension)?;
    let equal = roles.equal.iter().find(|term| {
        relation.column(&term.column).is_some_and(|column| {
            matches!(column.type_category, 'N' | 'S' | 'D') || column.type_name == "uuid"
        })
    })?;
    let mut keys = vec![equal.key.clone()];
    keys.extend(special.keys.iter().cloned());
    Some(Special {
        keys,
        ..special.clone()
    })
}

/// `ORDER BY column <-> point LIMIT n`: GiST walks outwards from the point.
fn nearest(catalog: &Catalog, bound: &BoundScan<'_>) -> Option<Special> {
    bound.scan.limit?;
    let first = bound.scan.sort.first().filter(|key| !key.descending)?;
    let Target::Expression(text) = &first.target else {
        return None;
    };
    let (left, _) = expression::unwrapped(text).split_once("<->")?;
    let name = expression::unwrapped(left).trim_matches('"');
    let column = bound.relation.column(name)?;
    let key = IndexKey::column(name);
    match holds_column(column) {
        Holds::Text => trigrams(catalog, "gist", &key),
        holds @ (Holds::Geometry | Holds::Range) => Some(gist(&key, holds)),
        _ => None,
    }
}

/// A tiny index over ranges of pages, for large tables that lie in the order of the column.
fn brin(relation: &Relation, term: &Term) -> Option<Special> {
    let column = relation.column(term.key.column_name()?)?;
    let correlation = column.stats.as_ref()?.correlation?;
    (correlation.abs() >= MIN_CORRELATION && relation.n_pages >= MIN_BRIN_PAGES).then(|| Special {
        method: "brin",
        keys: vec![term.key.clone()],
        reason: Reason::Plain,
        extension: None,
    })
}

fn hash(relation: &Relation, term: &Term) -> Option<Special> {
    let column = relation.column(term.key.column_name()?)?;
    let width = column.stats.as_ref().map_or(0, |stats| stats.avg_width);
    (width >= MIN_HASH_WIDTH).then(|| Special {
        method: "hash",
        keys: vec![term.key.clone()],
        reason: Reason::Plain,
        extension: None,
    })
}

fn key_of(relation: &Relation, target: &Target) -> Option<IndexKey> {
    match target {
        Target::Column(name) => relation.column(name).map(|_| IndexKey::column(name)),
        Target::Expression(text) => expression::key(relation, text),
    }
}

fn holds(relation: &Relation, target: &Target) -> Holds {
    match target {
        Target::Column(name) => relation.column(name).map_or(Holds::Other, holds_column),
        Target::Expression(text) => {
            let text = expression::unwrapped(text).to_ascii_lowercase();
            if text.starts_with("to_tsvector") || text.starts_with("setweight") {
                Holds::TextSearch
            } else if text.contains("->>")
                || text.starts_with("lower(")
                || text.starts_with("upper(")
            {
                Holds::Text
            } else if text.contains("->") || text.contains("#>") {
                Holds::Jsonb
            } else if text.contains("||")
                || text.contains("::text")
                || text.starts_with("coalesce(")
            {
                Holds::Text
            } else if text.starts_with("tstzrange(")
                || text.starts_with("tsrange(")
                || text.starts_with("daterange(")
                || text.starts_with("int4range(")
                || text.starts_with("int8range(")
            {
                Holds::Range
            } else {
                Holds::Other
            }
        }
    }
}

fn holds_column(column: &Column) -> Holds {
    match (column.type_category, column.type_name.as_str()) {
        (_, "jsonb") => Holds::Jsonb,
        (_, "tsvector") => Holds::TextSearch,
        ('S', _) => Holds::Text,
        ('A', _) => Holds::Array,
        ('R', _) => Holds::Range,
        ('I', _) => Holds::Network,
        ('G', _) => Holds::Geometry,
        _ => Holds::Other,
    }
}
