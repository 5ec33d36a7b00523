//! What each column does in one scan: found by equality, joined, ranged over, sorted by.

use super::{bind::BoundScan, selectivity};
use crate::{
    catalog::{Column, Direction, IndexKey, Nulls, Relation},
    sql::shape::{Comparison, Operand, Predicate, SortKey, Target},
};

/// Average bytes above which a column makes no b-tree key: a third of a page is the server's limit, and wide keys make slow trees.
const MAX_KEY_WIDTH: u32 = 255;

/// A column compared in a scan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    pub(super) column: String,
    /// Share of rows that pass.
    pub(super) selectivity: f64,
    /// Distinct values in the relation.
    pub(super) n_distinct: f64,
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
    pub(super) min_max: Vec<String>,
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
                .cloned()
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
        let Some(term) = term(relation, predicate) else {
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
            _ => return,
        };
        if list.iter().all(|known| known.column != term.column) {
            list.push(term);
        }
    }

    /// Every column that could lead an index for this scan.
    pub(super) fn leads(&self) -> impl Iterator<Item = &str> {
        let terms = self.equal.iter().chain(&self.join).chain(&self.range);
        let keys = self
            .sort
            .first()
            .into_iter()
            .chain(&self.group)
            .chain(self.distinct_on.first());
        terms
            .chain(self.any_of.iter().flatten())
            .map(|term| term.column.as_str())
            .chain(keys.filter_map(IndexKey::column_name))
            .chain(self.min_max.iter().map(String::as_str))
    }
}

fn most_selective(a: &Term, b: &Term) -> std::cmp::Ordering {
    a.selectivity
        .total_cmp(&b.selectivity)
        .then_with(|| a.column.cmp(&b.column))
}

fn term(relation: &Relation, predicate: &Predicate) -> Option<Term> {
    let Target::Column(name) = &predicate.target else {
        return None;
    };
    let column = relation
        .column(name)
        .filter(|column| is_btree_key(column))?;
    let constant = match &predicate.operand {
        Operand::Literal(text) => Some(text.as_str()),
        _ => None,
    };
    let n_rows = relation.n_rows.unwrap_or(0.0);
    Some(Term {
        column: name.clone(),
        selectivity: selectivity::of_predicate(relation, predicate, constant),
        n_distinct: column
            .stats
            .as_ref()
            .and_then(|stats| stats.distinct_values(n_rows))
            .unwrap_or(n_rows),
        joins: match &predicate.operand {
            Operand::Column(other) => Some(other.scan),
            _ => None,
        },
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
        .map(|target| match target {
            Target::Column(name) => relation
                .column(name)
                .filter(|column| is_btree_key(column))
                .map(|_| IndexKey::column(name)),
            Target::Expression(_) => None,
        })
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
