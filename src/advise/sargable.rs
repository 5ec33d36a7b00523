//! Conditions that no index on the column can serve as they are written: what the statement would cost with the same condition on the plain
//! column, over the indexes that exist, and over one more.

use std::collections::BTreeSet;

use super::{
    PlannedQuery, PricedCondition, RewrittenCondition, WhatIf,
    bind::{BoundQuery, bind_scan, is_worth_an_index},
    keys::Shared,
    name::Names,
    price::{MAX_ALIVE, MIN_COST},
    propose, size,
    write_cost::Written,
};
use crate::{
    catalog::{Catalog, IndexDef},
    plan::{Plan, WhatIfKind},
    sql::{
        sargable::{self, Sargable},
        shape::{self, RelationRef},
    },
};

/// Statements looked at, heaviest first: up to four planner calls each.
const MAX_STATEMENTS: usize = 40;

/// Share of its cost that a statement must lose for an application to be changed for it.
const MIN_GAIN: f64 = 0.5;

/// Prices the statements whose conditions can be rewritten. Those in `served` have an index that fits them as they are.
pub(super) async fn price<W: WhatIf>(
    catalog: &Catalog,
    what_if: &W,
    queries: &[BoundQuery<'_>],
    served: &BTreeSet<usize>,
    written: &Written,
) -> Vec<PricedCondition> {
    let mut found = Vec::new();
    if what_if.kind() == WhatIfKind::None {
        return found;
    }
    let rewritten = queries
        .iter()
        .enumerate()
        .filter(|(at, _)| !served.contains(at))
        .filter_map(|(_, query)| Some((query, rewrite(catalog, query)?)));
    for (query, sargable) in rewritten.take(MAX_STATEMENTS) {
        let statement = Statement {
            catalog,
            query,
            sargable,
            written,
        };
        found.extend(statement.priced(what_if).await);
    }
    found
}

fn rewrite(catalog: &Catalog, query: &BoundQuery<'_>) -> Option<Sargable> {
    let shape = query.query.shape.as_deref()?;
    let scans: Vec<_> = shape
        .scans
        .iter()
        .filter_map(|scan| {
            let name = &scan.relation;
            let relation = catalog.resolve(name.schema.as_deref(), &name.name)?;
            Some((scan.alias.as_str(), relation))
        })
        .collect();
    let type_of = |qualifier: Option<&str>, name: &str| {
        let columns = scans
            .iter()
            .filter(|(alias, _)| qualifier.is_none_or(|qualifier| qualifier == *alias))
            .filter_map(|(_, relation)| relation.column(name));
        let mut types = columns.map(|column| column.type_name.clone());
        let first = types.next()?;
        types.all(|other| other == first).then_some(first)
    };
    sargable::rewrite(&query.planned.sql, &type_of).ok()?
}

/// A statement with its rewritten form.
struct Statement<'a> {
    catalog: &'a Catalog,
    query: &'a BoundQuery<'a>,
    sargable: Sargable,
    written: &'a Written,
}

impl Statement<'_> {
    async fn priced<W: WhatIf>(self, what_if: &W) -> Option<PricedCondition> {
        let after = PlannedQuery {
            sql: self.sargable.sql.clone(),
            ..self.query.planned.clone()
        };
        let before = what_if.plan(&self.query.planned, &[], &[]).await.ok()?;
        let cost_before = before.total_cost().0;
        if cost_before < MIN_COST {
            return None;
        }
        let alone = what_if.plan(&after, &[], &[]).await.ok()?;
        let is_enough = |plan: &Plan| plan.total_cost().0 <= cost_before * (1.0 - MIN_GAIN);
        if is_enough(&alone) {
            return self.conclude(&before, &alone, None);
        }
        let (def, plan) = self.with_index(what_if, &after).await?;
        is_enough(&plan).then(|| self.conclude(&before, &plan, Some(def)))?
    }

    /// The one new index that serves the rewritten statement best, and its plan.
    async fn with_index<W: WhatIf>(
        &self,
        what_if: &W,
        after: &PlannedQuery,
    ) -> Option<(IndexDef, Plan)> {
        let candidates = self.candidates()?;
        let together = what_if.plan(after, &candidates, &[]).await.ok()?;
        let used = candidates
            .iter()
            .find(|def| together.uses_index(&def.name))?;
        let alone = what_if
            .plan(after, std::slice::from_ref(used), &[])
            .await
            .ok()?;
        Some((used.clone(), alone))
    }

    /// Indexes for the rewritten conditions.
    fn candidates(&self) -> Option<Vec<IndexDef>> {
        let columns_of = |relation: &RelationRef| {
            let relation = self
                .catalog
                .resolve(relation.schema.as_deref(), &relation.name)?;
            Some(relation.columns.iter().map(|c| c.name.clone()).collect())
        };
        let shape = shape::parse_with(&self.sargable.sql, &columns_of).ok()?;
        let shared = Shared::of(&[]);
        let mut defs: Vec<IndexDef> = Vec::new();
        for scan in &shape.scans {
            let name = &scan.relation;
            let Some(relation) = self.catalog.resolve(name.schema.as_deref(), &name.name) else {
                continue;
            };
            if !is_worth_an_index(self.catalog, relation) {
                continue;
            }
            let bound = bind_scan(relation, scan, None, self.query.query);
            let fingerprint = self.query.query.fingerprint;
            let proposals =
                propose::of_scan(self.catalog, &bound, &shared, self.written, fingerprint);
            let plain = proposals
                .into_iter()
                .filter(|proposal| {
                    proposal.candidate.extension.is_none() && proposal.condition.is_none()
                })
                .map(|proposal| proposal.candidate.def)
                .filter(|def| {
                    self.is_about(def) && def.include.is_empty() && def.predicate.is_none()
                })
                .filter(|def| !propose::exists(self.catalog, def));
            for def in plain {
                if !defs.contains(&def) {
                    defs.push(def);
                }
            }
        }
        defs.truncate(MAX_ALIVE);
        for (at, def) in defs.iter_mut().enumerate() {
            def.name = format!("pgassay_candidate_plain_{at}");
        }
        (!defs.is_empty()).then_some(defs)
    }

    fn is_about(&self, def: &IndexDef) -> bool {
        let keys = def.key_columns();
        self.sargable
            .changes
            .iter()
            .any(|change| keys.contains(&change.column.as_str()))
    }

    fn conclude(
        &self,
        before: &Plan,
        after: &Plan,
        index: Option<IndexDef>,
    ) -> Option<PricedCondition> {
        let change = self.sargable.changes.first()?;
        let scan = self
            .query
            .scans
            .iter()
            .find(|bound| bound.relation.column(&change.column).is_some())?;
        let index = index.map(|def| IndexDef {
            name: Names::new(self.catalog).take(&def),
            ..def
        });
        Some(PricedCondition {
            fingerprint: self.query.query.fingerprint,
            relation: scan.relation.name.clone(),
            conditions: self
                .sargable
                .changes
                .iter()
                .map(|change| RewrittenCondition {
                    column: change.column.clone(),
                    before: change.before.clone(),
                    after: change.after.clone(),
                    proviso: change.proviso.map(str::to_owned),
                })
                .collect(),
            cost_before: before.total_cost().0,
            cost_after: after.total_cost().0,
            plan_before: line(before),
            plan_after: line(after),
            size_bytes: index.as_ref().map(|def| {
                let relation = self.catalog.relation(&def.table);
                relation.map_or(0, |relation| size::index_bytes(relation, def, 1.0))
            }),
            index,
        })
    }
}

/// The dearest read of a table in one line.
fn line(plan: &Plan) -> String {
    let reads = plan.nodes().filter(|node| node.relation.is_some());
    let dearest = reads.max_by(|a, b| a.total_cost.0.total_cmp(&b.total_cost.0));
    match dearest.and_then(|node| Some((node, node.relation.as_deref()?))) {
        Some((node, relation)) => match &node.index {
            Some(index) if !index.starts_with("pgassay_candidate") => {
                format!("{} on {relation} using {index}", node.node_type)
            }
            _ => format!("{} on {relation}", node.node_type),
        },
        None => plan.root.node_type.clone(),
    }
}
