//! Merges: one index in place of several on the same table that differ in what they carry, or of which one goes on where the other ends.
//!
//! The planner never picks the wider index while the narrower ones are there, so merges are made of what would be chosen and priced by
//! themselves.

use std::collections::BTreeSet;

use super::propose::{Proposal, exists};
use crate::catalog::{Catalog, IndexDef, IndexKey, KeyTarget};

/// Most INCLUDE columns of a merged index, and most bytes of them: a little more than one statement alone may ask for.
const MAX_COLUMNS: usize = 8;
const MAX_BYTES: u32 = 96;

/// Most merges that are tried.
const MAX_MERGES: usize = 32;

/// Width taken for a column without statistics, bytes.
const UNKNOWN_WIDTH: u32 = 16;

/// A merge and the proposals that it stands for.
pub(super) struct Merge {
    pub(super) proposal: Proposal,
    pub(super) parents: Vec<usize>,
}

/// Merges of two and of more among `chosen` (sorted positions) that nothing proposed or existing equals.
pub(super) fn merges(catalog: &Catalog, proposals: &[Proposal], chosen: &[usize]) -> Vec<Merge> {
    let mut seen: BTreeSet<IndexDef> = proposals
        .iter()
        .map(|proposal| proposal.candidate.def.clone())
        .collect();
    let mut found: Vec<Merge> = Vec::new();
    for (n, &first) in chosen.iter().enumerate() {
        let mut all = (proposals[first].clone(), vec![first]);
        for &second in &chosen[n + 1..] {
            let pair = of_two(catalog, &proposals[first], &proposals[second]);
            let more = of_two(catalog, &all.0, &proposals[second]);
            let pair = pair.map(|proposal| (proposal, vec![first, second]));
            if let Some(proposal) = more {
                all.0 = proposal;
                all.1.push(second);
            }
            for (proposal, parents) in pair.into_iter().chain([all.clone()]) {
                let def = &proposal.candidate.def;
                let is_new = parents.len() > 1 && !exists(catalog, def);
                if is_new && found.len() < MAX_MERGES && seen.insert(def.clone()) {
                    found.push(Merge { proposal, parents });
                }
            }
        }
    }
    found
}

/// One index that does what both do, where the keys of one begin with those of the other.
fn of_two(catalog: &Catalog, a: &Proposal, b: &Proposal) -> Option<Proposal> {
    let (one, other) = (&a.candidate.def, &b.candidate.def);
    let is_alike = one.table == other.table
        && one.method == "btree"
        && other.method == "btree"
        && one.predicate == other.predicate
        && !one.unique
        && !other.unique;
    let (long, short) = if one.keys.len() >= other.keys.len() {
        (a, b)
    } else {
        (b, a)
    };
    let keys: &[IndexKey] = &long.candidate.def.keys;
    if !is_alike || !keys.starts_with(&short.candidate.def.keys) {
        return None;
    }
    let is_key = |name: &String| {
        keys.iter()
            .any(|key| matches!(&key.target, KeyTarget::Column(column) if column == name))
    };
    let carried: BTreeSet<String> = one
        .include
        .iter()
        .chain(&other.include)
        .filter(|name| !is_key(name))
        .cloned()
        .collect();
    let relation = catalog.relation(&one.table)?;
    let width = |name: &String| {
        let stats = relation
            .column(name)
            .and_then(|column| column.stats.as_ref());
        stats.map_or(UNKNOWN_WIDTH, |stats| stats.avg_width)
    };
    if carried.len() > MAX_COLUMNS || carried.iter().map(width).sum::<u32>() > MAX_BYTES {
        return None;
    }
    let mut merged = long.clone();
    let covering = [a, b]
        .into_iter()
        .find(|proposal| !proposal.candidate.def.include.is_empty());
    if let Some(covering) = covering {
        merged.candidate.reason = covering.candidate.reason.max(merged.candidate.reason);
    }
    merged.candidate.def.include = carried.into_iter().collect();
    merged
        .candidate
        .for_queries
        .extend(&short.candidate.for_queries);
    merged.candidate.for_queries.sort_unstable();
    merged.candidate.for_queries.dedup();
    if a.condition.is_none() || b.condition.is_none() {
        merged.condition = None;
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        advise::{Candidate, Reason},
        catalog::{Column, Relation, RelationName},
    };

    fn catalog() -> Catalog {
        let columns = ["a", "b", "c", "d", "e"].map(|name| Column {
            name: name.to_owned(),
            type_name: "integer".to_owned(),
            ..Column::default()
        });
        Catalog {
            relations: vec![Relation {
                name: RelationName::new("public", "t"),
                columns: columns.into(),
                ..Relation::default()
            }],
            ..Catalog::default()
        }
    }

    fn proposal(keys: &[&str], include: &[&str], predicate: Option<&str>) -> Proposal {
        let def = IndexDef {
            table: RelationName::new("public", "t"),
            method: "btree".to_owned(),
            keys: keys.iter().map(|key| IndexKey::column(*key)).collect(),
            include: include.iter().map(|&name| name.to_owned()).collect(),
            predicate: predicate.map(str::to_owned),
            ..IndexDef::default()
        };
        Proposal {
            candidate: Candidate {
                def,
                reason: if include.is_empty() {
                    Reason::Plain
                } else {
                    Reason::Covering
                },
                for_queries: Vec::new(),
                extension: None,
            },
            selectivity: 1.0,
            condition: None,
        }
    }

    /// Keys and INCLUDE columns of all merges.
    fn merged(proposals: &[Proposal]) -> Vec<(Vec<&'static str>, Vec<String>, Vec<usize>)> {
        let chosen: Vec<usize> = (0..proposals.len()).collect();
        let known = ["a", "b", "c", "d", "e"];
        merges(&catalog(), proposals, &chosen)
            .into_iter()
            .map(|merge| {
                let def = merge.proposal.candidate.def;
                let keys = known
                    .into_iter()
                    .filter(|name| def.key_columns().contains(name))
                    .collect();
                (keys, def.include, merge.parents)
            })
            .collect()
    }

    #[test]
    fn what_is_carried_is_united_and_longer_keys_stay() {
        let covering = [
            proposal(&["a"], &["c"], None),
            proposal(&["a"], &["d"], None),
            proposal(&["a", "b"], &[], None),
        ];
        let found = merged(&covering);
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        assert!(found.contains(&(vec!["a"], names(&["c", "d"]), vec![0, 1])));
        assert!(found.contains(&(vec!["a", "b"], names(&["c"]), vec![0, 2])));
        assert!(found.contains(&(vec!["a", "b"], names(&["c", "d"]), vec![0, 1, 2])));
    }

    #[test]
    fn other_keys_and_other_predicates_do_not_merge() {
        let different = [
            proposal(&["a"], &["c"], None),
            proposal(&["b"], &["c"], None),
            proposal(&["a"], &["d"], Some("e IS NULL")),
        ];
        assert!(merged(&different).is_empty());
    }
}
