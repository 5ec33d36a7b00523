//! What each column does in one scan: found by equality, joined, ranged over, sorted by.

use super::{bind::BoundScan, expression, selectivity};
use crate::{
    catalog::{Column, Direction, IndexKey, Nulls, Relation},
    sql::shape::{Comparison, Operand, Predicate, SortKey, Target},
};

/// Average bytes above which a column makes no b-tree key: a third of a page is the server's limit, and wide keys make slow trees.
const MAX_KEY_WIDTH: u32 = 255;

/// A column or expression compared in a scan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    /// The column's name, or the expression.
    pub(super) column: String,
    /// As a key of a b-tree that serves the comparison.
    pub(super) key: IndexKey,
    /// Share of rows that pass.
    pub(super) selectivity: f64,
    /// For joins: the other scan.
    pub(super) joins: Option<u32>,
}

/// A scan's columns by role; every column named is one that a b-tree can index.
#[derive(Debug, Default)]
pub(super) struct Roles {
    /// Equal to a value, most selective first.
    pub(super) equal: Vec<Term>,
    /// Equal to another relation's column.
    pub(super) join: Vec<Term>,
    /// Compared by `<`, `>` or BETWEEN, most selective first.
    pub(super) range: Vec<Term>,
    /// ORDER BY, when all of it is plain columns.
    pub(super) sort: Vec<IndexKey>,
    /// GROUP BY or DISTINCT, likewise.
    pub(super) group: Vec<IndexKey>,
    /// DISTINCT ON, likewise.
    pub(super) distinct_on: Vec<IndexKey>,
    /// `min(x)`, `max(x)`.
    pub(super) min_max: Vec<IndexKey>,
    /// Branches of ORs.
    pub(super) any_of: Vec<Vec<Term>>,
    pub(super) has_limit: bool,
}

impl Roles {
    pub(super) fn of(bound: &BoundScan<'_>) -> Self {
        let (scan, relation) = (&bound.scan, bound.relation);
        let mut roles = Self {
            has_limit: scan.limit.is_some(),
            sort: sort_keys(relation, &scan.sort),
            group: plain_keys(relation, &scan.group),
            distinct_on: plain_keys(relation, &scan.distinct_on),
            min_max: scan
                .min_max
                .iter()
                .filter(|name| relation.column(name).is_some_and(is_btree_key))
                .map(IndexKey::column)
                .collect(),
            ..Self::default()
        };
        for predicate in &scan.predicates {
            roles.add(relation, predicate);
        }
        for branches in &scan.any_of {
            let terms: Vec<Term> = branches.iter().filter_map(|p| term(relation, p)).collect();
            if terms.len() == branches.len() {
                roles.any_of.push(terms);
            }
        }
        roles.equal.sort_by(most_selective);
        roles.range.sort_by(most_selective);
        roles
    }

    fn add(&mut self, relation: &Relation, predicate: &Predicate) {
        let Some(mut term) = term(relation, predicate) else {
            return;
        };
        let list = match (predicate.comparison, &predicate.operand) {
            (Comparison::Equal | Comparison::In, Operand::Column(_)) => &mut self.join,
            (Comparison::Equal | Comparison::In, _) => &mut self.equal,
            (
                Comparison::Less
                | Comparison::Greater
                | Comparison::Between
                | Comparison::RowGreater
                | Comparison::RowLess,
                operand,
            ) if !matches!(operand, Operand::Column(_)) => &mut self.range,
            (Comparison::Like, _) => match prefix_key(relation, predicate, &term.key) {
                Some(key) => {
                    term.key = key;
                    &mut self.range
                }
                None => return,
            },
            _ => return,
        };
        if list.iter().all(|known| known.key != term.key) {
            list.push(term);
        }
    }
}

fn most_selective(a: &Term, b: &Term) -> std::cmp::Ordering {
    a.selectivity
        .total_cmp(&b.selectivity)
        .then_with(|| a.column.cmp(&b.column))
}

fn term(relation: &Relation, predicate: &Predicate) -> Option<Term> {
    let key = target_key(relation, &predicate.target)?;
    let constant = match &predicate.operand {
        Operand::Literal(text) => Some(text.as_str()),
        _ => None,
    };
    Some(Term {
        column: match &predicate.target {
            Target::Column(name) => name.clone(),
            Target::Expression(_) => expression::identity(&key),
        },
        key,
        selectivity: selectivity::of_predicate(relation, predicate, constant),
        joins: match &predicate.operand {
            Operand::Column(other) => Some(other.scan),
            _ => None,
        },
    })
}

/// A column or an immutable expression as a b-tree's key.
fn target_key(relation: &Relation, target: &Target) -> Option<IndexKey> {
    match target {
        Target::Column(name) => relation
            .column(name)
            .filter(|column| is_btree_key(column))
            .map(|_| IndexKey::column(name)),
        Target::Expression(text) => expression::key(relation, text).filter(|_| !is_document(text)),
    }
}

/// Expressions whose values are no b-tree keys: documents, vectors, distances.
fn is_document(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("to_tsvector")
        || lower.contains("<->")
        || (lower.contains("->") && !lower.contains("->>") && !lower.contains("::"))
}

/// The key under which a b-tree serves `LIKE 'x%'`: byte order, unless the column has it anyway.
fn prefix_key(relation: &Relation, predicate: &Predicate, key: &IndexKey) -> Option<IndexKey> {
    let is_prefix = match &predicate.operand {
        Operand::Literal(text) => {
            let plain = selectivity::plain_value(text);
            !plain.is_empty() && !plain.starts_with(['%', '_'])
        }
        Operand::Parameter(_) => true,
        _ => false,
    };
    let opclass = match &predicate.target {
        Target::Column(name) => {
            let column = relation.column(name)?;
            let is_bytewise = matches!(column.collation.as_deref(), Some("C" | "POSIX"));
            match column.type_name.split('(').next().unwrap_or_default() {
                "text" => Some("text_pattern_ops"),
                "character varying" | "varchar" => Some("varchar_pattern_ops"),
                "character" | "bpchar" => Some("bpchar_pattern_ops"),
                _ => return None,
            }
            .filter(|_| !is_bytewise)
        }
        Target::Expression(_) => Some("text_pattern_ops"),
    };
    is_prefix.then(|| IndexKey {
        opclass: opclass.map(str::to_owned),
        ..key.clone()
    })
}

/// Can a b-tree on this column serve ordinary comparisons? json, points, text search vectors and arrays can't or shouldn't.
pub(super) fn is_btree_key(column: &Column) -> bool {
    let is_comparable = match column.type_category {
        'N' | 'S' | 'D' | 'B' | 'E' | 'I' | 'T' | 'V' => true,
        _ => matches!(
            column.type_name.as_str(),
            "uuid" | "macaddr" | "macaddr8" | "citext" | "pg_lsn"
        ),
    };
    let width = column.stats.as_ref().map_or(0, |stats| stats.avg_width);
    is_comparable && width <= MAX_KEY_WIDTH
}

fn plain_keys(relation: &Relation, targets: &[Target]) -> Vec<IndexKey> {
    let keys: Option<Vec<IndexKey>> = targets
        .iter()
        .map(|target| target_key(relation, target))
        .collect();
    keys.unwrap_or_default()
}

/// The keys that give this order. When every key would be read backwards the plain ascending index does as well, and suits more queries.
fn sort_keys(relation: &Relation, sort: &[SortKey]) -> Vec<IndexKey> {
    let targets: Vec<Target> = sort.iter().map(|key| key.target.clone()).collect();
    let mut keys = plain_keys(relation, &targets);
    for (key, wanted) in keys.iter_mut().zip(sort) {
        let nulls_first = wanted.nulls_first.unwrap_or(wanted.descending);
        key.direction = if wanted.descending {
            Direction::Desc
        } else {
            Direction::Asc
        };
        key.nulls = if nulls_first {
            Nulls::First
        } else {
            Nulls::Last
        };
    }
    let backwards: Vec<IndexKey> = keys.iter().map(IndexKey::reversed).collect();
    let is_plain = |key: &IndexKey| key.direction == Direction::Asc && key.nulls == Nulls::Last;
    if backwards.iter().all(is_plain) {
        backwards
    } else {
        keys
    }
}
