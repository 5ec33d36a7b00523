//! Candidates: for each scan the key lists that its roles suggest, plain and partial. Emits few and leaves the choice to the planner.
//!
//! Column order: equality first, then what is sorted by or ranged over. Equality columns go most selective first and, as a second list,
//! most shared over the workload first. A range ends what an index can be searched by.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Candidate, Reason,
    bind::{BoundQuery, BoundScan, ConstantCondition},
    roles::{Roles, Term, is_btree_key},
};
use crate::{
    catalog::{Catalog, IndexDef, IndexKey, RelationName},
    sql::Fingerprint,
};

/// Most key columns. Beyond the fourth, a key rarely narrows further and always widens the tree.
const MAX_KEYS: usize = 4;

/// Most candidates that one scan brings in, in the order of the key lists.
const MAX_PER_SCAN: usize = 14;

/// Share of rows below which a partial index is worth having: above it, the full one is hardly larger and serves more.
const MAX_PARTIAL_SELECTIVITY: f64 = 0.5;

/// Share of rows that one equality with a literal may keep to stand in a predicate (a value, unlike IS NULL or a boolean, changes with
/// the product): 20 %, as the planner stops using plain indexes somewhere there too.
const MAX_VALUE_SELECTIVITY: f64 = 0.2;

/// Share of rows from which a condition filters too little to stand in a predicate: each one more is a query fewer that can use the index.
const MAX_CONDITION_SELECTIVITY: f64 = 0.9;

/// A proposed index with the queries it is for.
#[derive(Debug, Clone)]
pub(super) struct Proposal {
    pub(super) candidate: Candidate,
    /// Share of rows that its predicate keeps.
    pub(super) selectivity: f64,
    /// What must hold in the application for it to help.
    pub(super) condition: Option<String>,
}

/// Proposes candidates for all queries; equal ones are merged. Sorted by definition. None is covered by an index that exists.
pub(super) fn propose(catalog: &Catalog, queries: &[BoundQuery<'_>]) -> Vec<Proposal> {
    let shared = Shared::of(queries);
    let mut pool: BTreeMap<IndexDef, Proposal> = BTreeMap::new();
    for query in queries {
        for scan in &query.scans {
            for proposal in of_scan(scan, &shared, query.query.fingerprint) {
                let def = &proposal.candidate.def;
                if exists(catalog, def) {
                    continue;
                }
                match pool.get_mut(def) {
                    Some(known) => merge(known, proposal),
                    None => {
                        pool.insert(def.clone(), proposal);
                    }
                }
            }
        }
    }
    pool.into_values().collect()
}

/// Does a valid index already do all that `def` would? An index of a partitioned table's parent counts for the parent.
pub(super) fn exists(catalog: &Catalog, def: &IndexDef) -> bool {
    catalog.relation(&def.table).is_some_and(|relation| {
        relation
            .indexes
            .iter()
            .any(|index| index.valid && index.def.covers(def))
    })
}

/// A condition on literals falls away as soon as one query proves the predicate by its text.
fn merge(known: &mut Proposal, other: Proposal) {
    known
        .candidate
        .for_queries
        .extend(other.candidate.for_queries);
    known.candidate.for_queries.sort_unstable();
    known.candidate.for_queries.dedup();
    if other.condition.is_none() {
        known.condition = None;
    }
}

/// How much of the workload compares each column by equality.
struct Shared {
    weights: BTreeMap<(RelationName, String), f64>,
}

impl Shared {
    fn of(queries: &[BoundQuery<'_>]) -> Self {
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

fn of_scan(scan: &BoundScan<'_>, shared: &Shared, query: Fingerprint) -> Vec<Proposal> {
    let roles = Roles::of(scan);
    let predicates = partial_predicates(&scan.constants);
    let mut seen = BTreeSet::new();
    let mut proposals = Vec::new();
    let lists = key_lists(&roles, scan, shared);
    if lists.is_empty() {
        let lists_of_rows = predicates.iter().filter_map(|predicate| {
            let keys = row_list_key(scan, predicate)?;
            Some(proposal(scan, vec![keys], predicate, query))
        });
        return lists_of_rows.collect();
    }
    for keys in lists {
        let full = Predicate::of(&[]);
        for predicate in std::iter::once(&full).chain(&predicates) {
            let keys = without(&keys, &predicate.columns);
            if keys.is_empty() || !seen.insert((keys.clone(), predicate.sql.clone())) {
                continue;
            }
            proposals.push(proposal(scan, keys, predicate, query));
        }
    }
    proposals.truncate(MAX_PER_SCAN);
    proposals
}

fn proposal(
    scan: &BoundScan<'_>,
    keys: Vec<IndexKey>,
    predicate: &Predicate,
    query: Fingerprint,
) -> Proposal {
    let sql = (!predicate.sql.is_empty()).then(|| predicate.sql.clone());
    Proposal {
        selectivity: predicate.selectivity,
        condition: predicate.as_parameter.then(|| {
            format!(
                "the value in WHERE {} reached the server as a parameter: the index is used only where the planner sees the value (a literal, or a \
                 custom plan)",
                predicate.columns.join(", ")
            )
        }),
        candidate: Candidate {
            reason: if sql.is_some() { Reason::Partial } else { Reason::Plain },
            def: IndexDef {
                table: scan.relation.name.clone(),
                method: "btree".to_owned(),
                keys,
                predicate: sql,
                ..IndexDef::default()
            },
            for_queries: vec![query],
            extension: None,
        },
    }
}

/// A WHERE clause for an index, and the columns that it makes constant.
#[derive(Debug)]
struct Predicate {
    sql: String,
    columns: Vec<String>,
    selectivity: f64,
    as_parameter: bool,
}

impl Predicate {
    fn of(conditions: &[&ConstantCondition]) -> Self {
        let mut parts: Vec<&ConstantCondition> = conditions.to_vec();
        parts.sort_by(|a, b| a.sql.cmp(&b.sql));
        Self {
            sql: parts
                .iter()
                .map(|c| c.sql.as_str())
                .collect::<Vec<_>>()
                .join(" AND "),
            columns: parts.iter().map(|c| c.column.clone()).collect(),
            selectivity: parts.iter().map(|c| c.selectivity).product(),
            as_parameter: parts.iter().any(|c| c.as_parameter),
        }
    }
}

/// All constant conditions together, and each alone, where they leave out enough rows.
fn partial_predicates(constants: &[ConstantCondition]) -> Vec<Predicate> {
    let filters: Vec<&ConstantCondition> = constants
        .iter()
        .filter(|c| c.selectivity <= MAX_CONDITION_SELECTIVITY)
        .filter(|c| !c.sql.contains(" = ") || c.selectivity <= MAX_VALUE_SELECTIVITY)
        .collect();
    let mut predicates = vec![Predicate::of(&filters)];
    if filters.len() > 1 {
        predicates.extend(filters.iter().map(|&only| Predicate::of(&[only])));
    }
    predicates.retain(|p| !p.columns.is_empty() && p.selectivity <= MAX_PARTIAL_SELECTIVITY);
    predicates
}

/// The key of an index that only lists the rows of its predicate.
fn row_list_key(scan: &BoundScan<'_>, predicate: &Predicate) -> Option<IndexKey> {
    let indexable = |name: &&String| scan.relation.column(name).is_some_and(is_btree_key);
    predicate
        .columns
        .iter()
        .find(indexable)
        .map(IndexKey::column)
}

/// The keys that are not constant under the predicate. Where nothing else is left, the constant column itself is the key: the index then
/// is the list of those rows.
fn without(keys: &[IndexKey], constant: &[String]) -> Vec<IndexKey> {
    let varying: Vec<IndexKey> = keys
        .iter()
        .filter(|key| {
            key.column_name()
                .is_none_or(|name| !constant.iter().any(|column| column == name))
        })
        .cloned()
        .collect();
    if varying.is_empty() {
        keys.to_vec()
    } else {
        varying
    }
}

/// The key lists that a scan suggests, most promising first.
fn key_lists(roles: &Roles, scan: &BoundScan<'_>, shared: &Shared) -> Vec<Vec<IndexKey>> {
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
        for order in [&roles.distinct_on, &roles.group] {
            if !order.is_empty() {
                self.push([equal, order.as_slice()].concat());
            }
        }
        for column in &roles.min_max {
            self.push([equal, &[IndexKey::column(column)]].concat());
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
    terms
        .iter()
        .map(|term| IndexKey::column(&term.column))
        .collect()
}
