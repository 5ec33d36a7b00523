//! Partial indexes that would serve a statement if what `pg_stat_statements` shows as `$n` is a literal in the application.
//!
//! The view does not tell literals from parameters, so none of these is recommended: each is told with what it would gain, and which log decides.

use std::collections::BTreeMap;

use super::{
    ConditionalIndex, Options, PlannedQuery, WhatIf,
    bind::{self, BoundQuery, BoundScan, ConstantCondition},
    keys::Shared,
    price::{MAX_ALIVE, MIN_COST, is_contradicted, sober_cost},
    propose::{self, Proposal},
    samples::{self, Pattern},
    size,
    verify::Verified,
    write_cost::Written,
};
use crate::{
    catalog::{Catalog, IndexDef},
    sql::{
        self, canonical, quote_literal,
        shape::{Comparison, Operand, Target},
    },
};

/// Statements that are looked at, the heaviest first.
const MAX_STATEMENTS: usize = 20;

/// Rare values of one column that are tried.
const MAX_VALUES: usize = 3;

/// Share of rows that a value may have.
const MAX_SHARE: f64 = 0.2;

/// Share of its cost that such an index must save to be worth telling.
const MIN_GAIN: f64 = 0.5;

/// Where it saves less than that, how many times smaller than the recommended index it must be, and how much more the statement may cost.
const MIN_SIZE_FACTOR: u64 = 4;
const MAX_LOSS: f64 = 0.1;

/// The partial index that would serve a statement, or serve it better than what is recommended, under the rarest value that gains enough.
pub(super) async fn price<W: WhatIf>(
    catalog: &Catalog,
    what_if: &W,
    queries: &[BoundQuery<'_>],
    (proposals, verified): (&[Proposal], &Verified),
    written: &Written,
    options: &Options,
) -> Vec<ConditionalIndex> {
    let shared = Shared::of(queries);
    let mut found = Vec::new();
    let without_log = queries
        .iter()
        .enumerate()
        .filter(|(_, query)| query.query.log.is_none() && query.share >= options.min_saved_share)
        .take(MAX_STATEMENTS);
    for (at, query) in without_log {
        let served_by = served_by(at, proposals, verified);
        for guess in guesses(query) {
            let one = Tried {
                catalog,
                query,
                guess: &guess,
                served_by: &served_by,
            };
            if let Some(index) = one.price(what_if, &shared, written).await {
                found.push(index);
                break;
            }
        }
    }
    found
}

/// The recommended indexes that a statement's plan uses.
fn served_by(query: usize, proposals: &[Proposal], verified: &Verified) -> Vec<IndexDef> {
    verified
        .iter()
        .filter(|(_, served)| served.iter().any(|one| one.query == query))
        .map(|(&at, _)| IndexDef {
            name: format!("pgassay_recommended_{at}"),
            ..proposals[at].candidate.def.clone()
        })
        .take(MAX_ALIVE)
        .collect()
}

/// A value that a condition may have in the text.
struct Guess {
    scan: usize,
    predicate: usize,
    parameter: u16,
    column: String,
    value: String,
    share: f64,
}

/// Rare common values of columns that are compared with a parameter, the rarest first.
fn guesses(query: &BoundQuery<'_>) -> Vec<Guess> {
    let mut found = Vec::new();
    for (at, bound) in query.scans.iter().enumerate() {
        for (position, predicate) in bound.scan.predicates.iter().enumerate() {
            let (Comparison::Equal, Operand::Parameter(n), Target::Column(name)) =
                (predicate.comparison, &predicate.operand, &predicate.target)
            else {
                continue;
            };
            let Some(column) = bound.relation.column(name).filter(|c| c.is_category()) else {
                continue;
            };
            let common = column.stats.iter().flat_map(|stats| &stats.most_common);
            let mut rare: Vec<(&String, f64)> = common
                .map(|(value, share)| (value, *share))
                .filter(|(value, share)| {
                    *share <= MAX_SHARE && bind::is_rare(bound.relation, column, value)
                })
                .collect();
            rare.sort_by(|(a, share_a), (b, share_b)| share_a.total_cmp(share_b).then(a.cmp(b)));
            found.extend(
                rare.into_iter()
                    .take(MAX_VALUES)
                    .map(|(value, share)| Guess {
                        scan: at,
                        predicate: position,
                        parameter: *n,
                        column: name.clone(),
                        value: value.clone(),
                        share,
                    }),
            );
        }
    }
    found
}

struct Tried<'t, 'q> {
    catalog: &'t Catalog,
    query: &'t BoundQuery<'q>,
    guess: &'t Guess,
    /// What is recommended for it whatever the value is.
    served_by: &'t [IndexDef],
}

impl Tried<'_, '_> {
    async fn price<W: WhatIf>(
        &self,
        what_if: &W,
        shared: &Shared,
        written: &Written,
    ) -> Option<ConditionalIndex> {
        let scan = self.scan()?;
        let condition = scan.constants.last()?.sql.clone();
        let fingerprint = self.query.query.fingerprint;
        let defs: Vec<IndexDef> =
            propose::of_scan(self.catalog, &scan, shared, written, fingerprint)
                .into_iter()
                .map(|proposal| proposal.candidate.def)
                .filter(|def| {
                    def.predicate.as_deref() == Some(&condition) && def.include.is_empty()
                })
                .filter(|def| !propose::exists(self.catalog, def))
                .take(MAX_ALIVE)
                .enumerate()
                .map(|(at, def)| IndexDef {
                    name: format!("pgassay_conditional_{at}"),
                    ..def
                })
                .collect();
        if defs.is_empty() {
            return None;
        }
        let planned = self.planned()?;
        let before = what_if.plan(&planned, self.served_by, &[]).await.ok()?;
        let after = what_if.plan(&planned, &defs, &[]).await.ok()?;
        let (cost_before, cost_after) = (before.total_cost().0, after.total_cost().0);
        let compared = sober_cost(&before);
        let used = defs.into_iter().find(|def| after.uses_index(&def.name))?;
        let size_bytes = size::index_bytes(scan.relation, &used, self.guess.share);
        let instead_of = self
            .served_by
            .iter()
            .find(|def| def.table == used.table && before.uses_index(&def.name));
        let instead_of_bytes = instead_of.map(|def| size::index_bytes(scan.relation, def, 1.0));
        let is_smaller = instead_of_bytes
            .is_some_and(|bytes| size_bytes.saturating_mul(MIN_SIZE_FACTOR) <= bytes)
            && cost_after <= compared * (1.0 + MAX_LOSS);
        let is_faster = cost_before >= MIN_COST
            && !is_contradicted(self.query, cost_before)
            && cost_after <= compared * (1.0 - MIN_GAIN);
        (is_smaller || is_faster).then(|| ConditionalIndex {
            fingerprint,
            size_bytes,
            instead_of_bytes,
            def: IndexDef {
                name: String::new(),
                ..used
            },
            column: self.guess.column.clone(),
            value_share: self.guess.share,
            cost_before,
            cost_after,
        })
    }

    /// The scan as it would be with the value in its text.
    fn scan(&self) -> Option<BoundScan<'_>> {
        let bound = &self.query.scans[self.guess.scan];
        let column = bound.relation.column(&self.guess.column)?;
        let sql = bind::equality(column, &self.guess.value)?;
        let mut scan = bound.scan.clone();
        scan.predicates[self.guess.predicate].operand =
            Operand::Literal(quote_literal(&self.guess.value));
        let constant = ConstantCondition {
            column: self.guess.column.clone(),
            selectivity: self.guess.share,
            as_parameter: true,
            fixes_column: true,
            sql,
        };
        let conjuncts = canonical::conjuncts(&constant.sql);
        Some(BoundScan {
            relation: bound.relation,
            scan,
            constants: vec![constant],
            conjuncts,
            has_unknown_pattern: bound.has_unknown_pattern,
        })
    }

    fn planned(&self) -> Option<PlannedQuery> {
        let query = self.query.query;
        let shape = query.shape.as_deref()?;
        let rows = query
            .rows_per_call()
            .map(|rows| rows.ceil().max(1.0) as u64);
        let mut values: BTreeMap<u16, String> =
            samples::guessed(&self.query.scans, shape, query, Pattern::Infix);
        values.insert(self.guess.parameter, quote_literal(&self.guess.value));
        Some(PlannedQuery {
            sql: sql::plannable(&query.sample, &values, rows),
            search_path: self.query.planned.search_path.clone(),
        })
    }
}
