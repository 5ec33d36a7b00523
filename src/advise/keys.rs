//! The key lists that a scan's roles suggest for a b-tree. Emits few and leaves the choice to the planner.
//!
//! Column order: equality first, then what is sorted by or ranged over. Equality columns go most selective first and, as a second list,
//! most shared over the workload first. A range ends what an index can be searched by.

use std::collections::BTreeMap;

use super::{
    bind::{BoundQuery, BoundScan},
    roles::{Roles, Term},
};
use crate::catalog::{IndexKey, RelationName};

/// Most key columns. Beyond the fourth, a key rarely narrows further and always widens the tree.
const MAX_KEYS: usize = 4;

/// How much of the workload compares each column by equality.
pub(super) struct Shared {
    weights: BTreeMap<(RelationName, String), f64>,
}

impl Shared {
    pub(super) fn of(queries: &[BoundQuery<'_>]) -> Self {
        let mut weights = BTreeMap::new();
        for query in queries {
            for scan in &query.scans {
                for term in &Roles::of(scan).equal {
                    let key = (scan.relation.name.clone(), term.column.clone());
                    *weights.entry(key).or_insert(0.0) += query.share;
                }
            }
        }
        Self { weights }
    }

    fn weight(&self, relation: &RelationName, column: &str) -> f64 {
        let key = (relation.clone(), column.to_owned());
        self.weights.get(&key).copied().unwrap_or(0.0)
    }
}

/// The key lists that a scan suggests, most promising first.
pub(super) fn key_lists(
    roles: &Roles,
    scan: &BoundScan<'_>,
    shared: &Shared,
) -> Vec<Vec<IndexKey>> {
    let relation = &scan.relation.name;
    let mut by_sharing = roles.equal.clone();
    by_sharing.sort_by(|a, b| {
        let weights = shared
            .weight(relation, &b.column)
            .total_cmp(&shared.weight(relation, &a.column));
        weights.then(a.selectivity.total_cmp(&b.selectivity))
    });
    let mut lists = Lists::default();
    for equal in [columns(&roles.equal), columns(&by_sharing)] {
        lists.ordered(&equal, roles);
        if let Some(range) = roles.range.first() {
            lists.push([equal.clone(), columns(std::slice::from_ref(range))].concat());
        }
        lists.push(equal.clone());
        lists.joined(&equal, roles);
    }
    for term in roles.equal.iter().chain(&roles.join).chain(&roles.range) {
        lists.push(columns(std::slice::from_ref(term)));
    }
    for term in roles.any_of.iter().flatten() {
        lists.push(columns(std::slice::from_ref(term)));
    }
    lists.found
}

#[derive(Default)]
struct Lists {
    found: Vec<Vec<IndexKey>>,
}

impl Lists {
    /// Equality columns followed by what gives order: ORDER BY, DISTINCT ON, GROUP BY, min and max.
    fn ordered(&mut self, equal: &[IndexKey], roles: &Roles) {
        let sort = &roles.sort;
        if !sort.is_empty() {
            self.push([equal, sort.as_slice()].concat());
            if roles.has_limit {
                self.push(sort.clone());
            }
        }
        if !roles.distinct_on.is_empty() {
            self.push([equal, roles.distinct_on.as_slice()].concat());
        }
        // without a condition or LIMIT all groups are counted: the index would be no more than a narrow copy of the table, read whole
        let reads_part = !equal.is_empty() || roles.has_limit;
        if !roles.group.is_empty() && reads_part {
            self.push([equal, roles.group.as_slice()].concat());
        }
        for column in &roles.min_max {
            self.push([equal, std::slice::from_ref(column)].concat());
        }
    }

    /// Join columns before, after and together with equality columns, and before the order (top rows per parent).
    fn joined(&mut self, equal: &[IndexKey], roles: &Roles) {
        let mut others: Vec<u32> = roles.join.iter().filter_map(|term| term.joins).collect();
        others.sort_unstable();
        others.dedup();
        for other in others {
            let of_other: Vec<Term> = roles
                .join
                .iter()
                .filter(|term| term.joins == Some(other))
                .cloned()
                .collect();
            let join = columns(&of_other);
            self.push([join.as_slice(), equal].concat());
            self.push([equal, join.as_slice()].concat());
            if !roles.sort.is_empty() {
                self.push([join.as_slice(), roles.sort.as_slice()].concat());
            }
            if let Some(range) = roles.range.first() {
                self.push([join, columns(std::slice::from_ref(range))].concat());
            }
        }
    }

    /// Adds a list, each column once and at most [`MAX_KEYS`].
    fn push(&mut self, keys: Vec<IndexKey>) {
        let mut list: Vec<IndexKey> = Vec::new();
        for key in keys {
            if list.iter().all(|known| known.target != key.target) {
                list.push(key);
            }
        }
        list.truncate(MAX_KEYS);
        if !list.is_empty() && !self.found.contains(&list) {
            self.found.push(list);
        }
    }
}

fn columns(terms: &[Term]) -> Vec<IndexKey> {
    terms.iter().map(|term| term.key.clone()).collect()
}
