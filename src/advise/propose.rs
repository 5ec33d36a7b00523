//! Candidates: for each scan the key lists that its roles suggest, plain, partial and covering, and indexes of other access methods.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Candidate, Reason,
    bind::{BoundQuery, BoundScan, ConstantCondition},
    covering::Covering,
    expression,
    keys::{Shared, key_lists},
    roles::{Roles, is_btree_key},
    special::{self, Special},
    write_cost::Written,
};
use crate::{
    catalog::{Catalog, IndexDef, IndexKey, KeyTarget},
    sql::Fingerprint,
};

/// Most candidates that one scan brings in, in the order of the key lists.
const MAX_PER_SCAN: usize = 24;

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

/// What propose found: the candidates, and which statement could use which.
#[derive(Debug, Default)]
pub(super) struct Proposed {
    /// Sorted by definition. None is covered by an index that exists.
    pub(super) proposals: Vec<Proposal>,
    /// For each statement and scan, the leading keys that would serve it.
    pub(super) leads: Vec<Vec<BTreeSet<Lead>>>,
}

/// Method, target and operator class of a key that an index can be entered by.
pub(super) type Lead = (String, String, Option<String>);

/// Proposes candidates for all queries; equal ones are merged.
pub(super) fn propose(
    catalog: &Catalog,
    queries: &[BoundQuery<'_>],
    written: &Written,
) -> Proposed {
    let shared = Shared::of(queries);
    let mut pool: BTreeMap<IndexDef, Proposal> = BTreeMap::new();
    let mut leads = Vec::new();
    for query in queries {
        let mut of_query = Vec::new();
        for scan in &query.scans {
            let proposals = of_scan(catalog, scan, &shared, written, query.query.fingerprint);
            let defs = proposals.iter().map(|p| &p.candidate.def);
            of_query.push(defs.flat_map(leads_of).collect::<BTreeSet<Lead>>());
            for mut proposal in proposals.into_iter().take(MAX_PER_SCAN) {
                if proposal.candidate.reason == Reason::Expression {
                    proposal.condition = proposal.condition.or_else(|| query.inferred.clone());
                }
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
        leads.push(of_query);
    }
    Proposed {
        proposals: pool.into_values().collect(),
        leads,
    }
}

/// The keys by which an index can be entered: a b-tree's first, any of a GIN or BRIN index.
pub(super) fn leads_of(def: &IndexDef) -> Vec<Lead> {
    let n = match def.method.as_str() {
        "gin" | "brin" => def.keys.len(),
        _ => 1,
    };
    let keys = def.keys.iter().take(n);
    keys.map(|key| {
        (
            def.method.clone(),
            expression::identity(key),
            key.opclass.clone(),
        )
    })
    .collect()
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

/// Does a valid index without a predicate find the scan's rows as exactly as `def` would, in whatever order its keys are? A covering index
/// beside it would be the second one for the same rows.
fn is_found(scan: &BoundScan<'_>, roles: &Roles, def: &IndexDef) -> bool {
    let terms = roles.equal.iter().chain(&roles.range);
    let asked: BTreeSet<&str> = terms.map(|term| term.column.as_str()).collect();
    let wanted = def.key_columns();
    scan.relation.indexes.iter().any(|index| {
        let keys = index.def.key_columns();
        let entered = keys.iter().take_while(|key| asked.contains(*key));
        let entered: BTreeSet<&str> = entered.copied().collect();
        let same = index.def.covers(def);
        let finds = index.def.predicate.is_none() && index.def.method == def.method;
        index.valid && (same || (finds && wanted.iter().all(|key| entered.contains(key))))
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

pub(super) fn of_scan(
    catalog: &Catalog,
    scan: &BoundScan<'_>,
    shared: &Shared,
    written: &Written,
    query: Fingerprint,
) -> Vec<Proposal> {
    let roles = Roles::of(scan);
    let predicates = partial_predicates(&scan.constants);
    let mut proposals: Vec<Proposal> = special::of_scan(catalog, scan, &roles)
        .into_iter()
        .map(|special| of_special(scan, special, query))
        .collect();
    let lists = key_lists(&roles, scan, shared);
    if lists.is_empty() {
        proposals.extend(predicates.iter().filter_map(|predicate| {
            let key = row_list_key(scan, predicate)?;
            Some(proposal(scan, vec![key], predicate, query))
        }));
        return proposals;
    }
    let covering = Covering::of(scan, &roles, written);
    let mut seen = BTreeSet::new();
    let full = Predicate::of(&[]);
    for keys in lists {
        for predicate in std::iter::once(&full).chain(&predicates) {
            let keys = without(&keys, &predicate.columns);
            if keys.is_empty() || !seen.insert((keys.clone(), predicate.sql.clone())) {
                continue;
            }
            let plain = proposal(scan, keys, predicate, query);
            let include = covering
                .as_ref()
                .filter(|_| !is_found(scan, &roles, &plain.candidate.def))
                .and_then(|covering| covering.include(&plain.candidate.def, &predicate.columns));
            let wider = include.map(|include| covering_proposal(&plain, include));
            proposals.push(plain);
            proposals.extend(wider);
        }
    }
    proposals
}

/// The same index with more columns, for an index-only scan.
fn covering_proposal(plain: &Proposal, include: Vec<String>) -> Proposal {
    let mut wider = plain.clone();
    wider.candidate.def.include = include;
    if matches!(wider.candidate.reason, Reason::Plain | Reason::Partial) {
        wider.candidate.reason = match wider.candidate.reason {
            Reason::Plain => Reason::Covering,
            other => other,
        };
    }
    wider
}

fn of_special(scan: &BoundScan<'_>, special: Special, query: Fingerprint) -> Proposal {
    Proposal {
        selectivity: 1.0,
        condition: None,
        candidate: Candidate {
            reason: special.reason,
            def: IndexDef {
                table: scan.relation.name.clone(),
                method: special.method.to_owned(),
                keys: special.keys,
                ..IndexDef::default()
            },
            for_queries: vec![query],
            extension: special.extension,
        },
    }
}

/// Is the key made for patterns?
fn is_pattern(key: &IndexKey) -> bool {
    let opclass = key.opclass.as_deref();
    opclass.is_some_and(|opclass| opclass.ends_with("_pattern_ops"))
}

/// The most specific kind names the rule.
fn kind_of(keys: &[IndexKey], predicate: Option<&str>) -> Reason {
    let is_expression = |key: &IndexKey| matches!(key.target, KeyTarget::Expression(_));
    if keys.iter().any(is_pattern) {
        Reason::TextSearch
    } else if keys.iter().any(is_expression) {
        Reason::Expression
    } else if predicate.is_some() {
        Reason::Partial
    } else {
        Reason::Plain
    }
}

fn proposal(
    scan: &BoundScan<'_>,
    keys: Vec<IndexKey>,
    predicate: &Predicate,
    query: Fingerprint,
) -> Proposal {
    let sql = (!predicate.sql.is_empty()).then(|| predicate.sql.clone());
    let of_value = predicate.as_parameter.then(|| {
        format!(
            "the value in WHERE {} reached the server as a parameter: the index is used only where the planner sees the value (a literal, or a \
             custom plan)",
            predicate.columns.join(", ")
        )
    });
    let of_pattern = (keys.iter().any(is_pattern) && scan.has_unknown_pattern).then(|| {
        "the pattern reached the server as a parameter: half of the calls were taken to begin with text, which this index serves, and half with %, \
         which only trigrams (pg_trgm) do; a log with the values decides (log_min_duration_statement, log_parameter_max_length)"
            .to_owned()
    });
    Proposal {
        selectivity: predicate.selectivity,
        condition: of_value.or(of_pattern),
        candidate: Candidate {
            reason: kind_of(&keys, sql.as_deref()),
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
            columns: parts
                .iter()
                .filter(|c| c.fixes_column)
                .map(|c| c.column.clone())
                .collect(),
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
    predicates.retain(|p| !p.sql.is_empty() && p.selectivity <= MAX_PARTIAL_SELECTIVITY);
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
