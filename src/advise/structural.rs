//! Advice without a planner: a scan model after `costsize.c` prices each scan by itself, from statistics alone.
//!
//! Joins, memory and caching are left out, so the figures rank candidates and nothing more; everything built on them says that it is unpriced.

use std::collections::BTreeSet;

use super::{
    Options,
    bind::{BoundQuery, BoundScan},
    choose::{self, CostTable, Limits, TableIndex, TableQuery},
    propose::Proposal,
    roles::Roles,
    size,
    verify::{Served, Verified},
};
use crate::{
    catalog::{Catalog, IndexDef, Relation},
    sql::{canonical, shape::LimitClause},
};

/// `random_page_cost`, `cpu_tuple_cost`, `cpu_index_tuple_cost`, `cpu_operator_cost` by default.
const RANDOM_PAGE: f64 = 4.0;
const CPU_TUPLE: f64 = 0.01;
const CPU_INDEX_TUPLE: f64 = 0.005;
const CPU_OPERATOR: f64 = 0.0025;

/// Pages read from root to leaf of a b-tree that no planner has measured.
const DESCENT_PAGES: f64 = 3.0;

/// Rows that LIMIT $n asks for, when nobody knows: a page of results.
const ASSUMED_LIMIT: f64 = 50.0;

/// Least share of a scan's cost that an unpriced candidate must save. Higher than with a planner: only clear cases.
const MIN_GAIN: f64 = 0.9;

/// Chooses by the scan model.
pub(super) fn verified(
    catalog: &Catalog,
    queries: &[BoundQuery<'_>],
    proposals: &[Proposal],
    applies: &[BTreeSet<usize>],
    options: &Options,
) -> Verified {
    let table = CostTable {
        queries: queries
            .iter()
            .enumerate()
            .map(|(at, query)| table_query(at, query, proposals, applies))
            .collect(),
        indexes: proposals
            .iter()
            .map(|proposal| TableIndex {
                size_bytes: 0,
                rank_bytes: catalog
                    .relation(&proposal.candidate.def.table)
                    .map_or(0, |relation| {
                        size::btree_bytes(relation, &proposal.candidate.def, proposal.selectivity)
                    }),
                write_cost: 0.0,
                table: 0,
                plain: None,
                exists: false,
            })
            .collect(),
        guards: Vec::new(),
    };
    let limits = Limits {
        min_gain: options.min_saved_share,
        indifference: 0.05,
        ..Limits::default()
    };
    let chosen = choose::choose(&table, &limits);
    let mut verified = Verified::new();
    for (query, prices) in table.queries.iter().enumerate() {
        for (set, cost) in &prices.options {
            let at = set[0];
            let saved = 1.0 - cost / prices.base;
            if chosen.contains(&at) && saved >= MIN_GAIN {
                verified.entry(at).or_default().push(Served {
                    query,
                    cost_before: prices.base,
                    cost_after: *cost,
                    saved_fraction: saved,
                    share: queries[query].share,
                    plan_before: String::new(),
                    plan_after: String::new(),
                });
            }
        }
    }
    verified
}

fn table_query(
    at: usize,
    query: &BoundQuery<'_>,
    proposals: &[Proposal],
    applies: &[BTreeSet<usize>],
) -> TableQuery {
    let base: f64 = query.scans.iter().map(|scan| scan_cost(scan, None)).sum();
    let options = proposals
        .iter()
        .enumerate()
        .filter(|(proposal, _)| applies[*proposal].contains(&at))
        .filter_map(|(at, proposal)| {
            let def = &proposal.candidate.def;
            let cost: f64 = query
                .scans
                .iter()
                .map(|scan| scan_cost(scan, Some((def, proposal.selectivity))))
                .sum();
            (cost < base * (1.0 - MIN_GAIN)).then(|| (vec![at], cost))
        })
        .collect();
    TableQuery {
        weight: if base > 0.0 { query.share / base } else { 0.0 },
        base,
        options,
    }
}

/// Cheapest access to a scan's rows over what exists and one more index.
fn scan_cost(scan: &BoundScan<'_>, more: Option<(&IndexDef, f64)>) -> f64 {
    let roles = Roles::of(scan);
    let relation = scan.relation;
    let existing = relation
        .indexes
        .iter()
        .filter(|index| index.valid && index.def.method == "btree")
        .filter(|index| canonical::implies(&scan.conjuncts, &index.def.predicate_parts()))
        .map(|index| (&index.def, 1.0));
    let of_table = more.filter(|(def, _)| {
        def.table == relation.name && canonical::implies(&scan.conjuncts, &def.predicate_parts())
    });
    existing
        .chain(of_table)
        .map(|(def, held)| index_cost(scan, &roles, relation, def, held))
        .fold(sequential_cost(scan, &roles, relation), f64::min)
}

fn sequential_cost(scan: &BoundScan<'_>, roles: &Roles, relation: &Relation) -> f64 {
    let n_rows = relation.n_rows.unwrap_or(0.0);
    let n_conditions = scan.scan.predicates.len() as f64;
    relation.n_pages as f64
        + n_rows * (CPU_TUPLE + n_conditions * CPU_OPERATOR)
        + sort_cost(roles, n_rows * all_selectivity(scan, roles))
}

/// Share of rows that all constant comparisons keep.
fn all_selectivity(scan: &BoundScan<'_>, roles: &Roles) -> f64 {
    let terms: f64 = roles
        .equal
        .iter()
        .chain(&roles.range)
        .map(|term| term.selectivity)
        .product();
    let constants: f64 = scan
        .constants
        .iter()
        .filter(|condition| {
            roles
                .equal
                .iter()
                .all(|term| term.column != condition.column)
        })
        .map(|condition| condition.selectivity)
        .product();
    terms * constants
}

fn sort_cost(roles: &Roles, n_rows: f64) -> f64 {
    if roles.sort.is_empty() {
        return 0.0;
    }
    2.0 * CPU_OPERATOR * n_rows * n_rows.max(2.0).log2()
}

/// An index scan: equality columns narrow, then one range, or the order of the rest satisfies ORDER BY and LIMIT stops early.
fn index_cost(
    scan: &BoundScan<'_>,
    roles: &Roles,
    relation: &Relation,
    def: &IndexDef,
    held: f64,
) -> f64 {
    let n_rows = relation.n_rows.unwrap_or(0.0);
    let mut selectivity = held;
    let mut n_matched = 0;
    for name in def.keys.iter().map_while(|key| key.column_name()) {
        let Some(term) = roles.equal.iter().find(|term| term.column == name) else {
            break;
        };
        selectivity *= term.selectivity;
        n_matched += 1;
    }
    let rest = &def.keys[n_matched..];
    let gives_order = !roles.sort.is_empty() && rest.len() >= roles.sort.len() && {
        let wanted = roles.sort.iter().zip(rest);
        wanted.clone().all(|(a, b)| a == b) || wanted.clone().all(|(a, b)| a.reversed() == *b)
    };
    let range = rest.first().and_then(|key| {
        roles
            .range
            .iter()
            .find(|term| key.column_name() == Some(&term.column))
    });
    if let Some(term) = range {
        selectivity *= term.selectivity;
    }
    if n_matched == 0 && range.is_none() && !gives_order && def.predicate.is_none() {
        return f64::INFINITY;
    }
    let n_found = n_rows * selectivity;
    let kept = all_selectivity(scan, roles);
    let n_read = match (gives_order, scan.scan.limit) {
        (true, Some(limit)) => {
            let wanted = match limit {
                LimitClause::Rows(n) => n as f64,
                LimitClause::Unknown => ASSUMED_LIMIT,
            };
            (wanted * (selectivity / kept.max(1e-9)).max(1.0)).min(n_found)
        }
        _ => n_found,
    };
    let pages = n_read.min(relation.n_pages as f64);
    let sort = if gives_order {
        0.0
    } else {
        sort_cost(roles, n_rows * kept)
    };
    DESCENT_PAGES * RANDOM_PAGE
        + n_read * (CPU_INDEX_TUPLE + CPU_TUPLE)
        + pages * RANDOM_PAGE
        + sort
}
