//! Statements over views: what they really scan, the planner has already worked out. Their plans are turned into one flat SELECT over base
//! relations, with conditions as EXPLAIN prints them, and bound like any other.

use super::{
    WhatIf,
    bind::{Bound, BoundScan, bind_scan, is_worth_an_index},
};
use crate::{
    catalog::{Catalog, RelationName},
    plan::{Plan, PlanNode},
    sql::{
        quote_identifier,
        shape::{self, RelationRef},
    },
    workload::Query,
};

/// Most relations of one plan that are looked at.
const MAX_RELATIONS: usize = 40;

/// Adds the scans below views. Statements for which nothing is found are left out.
pub(super) async fn expand<'a, W: WhatIf>(
    catalog: &'a Catalog,
    what_if: &W,
    bound: &mut Bound<'a>,
) {
    for query in bound.queries.iter_mut().filter(|query| query.reads_views) {
        let mut planned = what_if.plan(&query.planned, &[], &[]).await;
        if planned.is_err() && query.planned != query.as_written {
            planned = what_if.plan(&query.as_written, &[], &[]).await;
        }
        match planned {
            Ok(plan) => {
                let found = scans(catalog, &plan, query.query);
                let new = found.into_iter().filter(|scan| {
                    query
                        .scans
                        .iter()
                        .all(|known| known.relation.name != scan.relation.name)
                });
                let new: Vec<_> = new.collect();
                query.scans.extend(new);
            }
            Err(error) => {
                let entry = bound.skipped.entry(error.to_string());
                entry.or_insert((0, query.query.fingerprint)).0 += 1;
            }
        }
    }
    bound.queries.retain(|query| !query.scans.is_empty());
}

fn scans<'a>(catalog: &'a Catalog, plan: &Plan, query: &Query) -> Vec<BoundScan<'a>> {
    let columns_of = |relation: &RelationRef| {
        let relation = catalog.resolve(relation.schema.as_deref(), &relation.name)?;
        Some(relation.columns.iter().map(|c| c.name.clone()).collect())
    };
    let Some(sql) = flat_select(catalog, plan) else {
        return Vec::new();
    };
    let Ok(shape) = shape::parse_with(&sql, &columns_of) else {
        return Vec::new();
    };
    shape
        .scans
        .iter()
        .filter_map(|scan| {
            let name = &scan.relation;
            let relation = catalog.resolve(name.schema.as_deref(), &name.name)?;
            is_worth_an_index(catalog, relation).then(|| bind_scan(relation, scan, None, query))
        })
        .collect()
}

/// The plan's relations and conditions as one SELECT; `None` when it reads none.
fn flat_select(catalog: &Catalog, plan: &Plan) -> Option<String> {
    let mut from: Vec<String> = Vec::new();
    let mut seen: Vec<RelationName> = Vec::new();
    for node in plan.nodes().take(MAX_RELATIONS * 8) {
        let (Some(schema), Some(name), Some(alias)) = (&node.schema, &node.relation, &node.alias)
        else {
            continue;
        };
        let relation = catalog.relation(&RelationName::new(schema, name))?;
        let table = relation.parent.as_ref().unwrap_or(&relation.name);
        let is_second_leaf = relation.parent.is_some() && seen.contains(table);
        if from.len() < MAX_RELATIONS && !is_second_leaf {
            from.push(format!("{} AS {}", table.to_sql(), quote_identifier(alias)));
            seen.push(table.clone());
        }
    }
    if from.is_empty() {
        return None;
    }
    let conditions: Vec<&str> = plan.nodes().flat_map(conditions).collect();
    let mut sql = format!("SELECT 1 FROM {}", from.join(", "));
    if !conditions.is_empty() {
        sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    }
    let sort = plan.nodes().find(|node| !node.sort_keys.is_empty());
    if let Some(keys) = sort.map(|node| &node.sort_keys) {
        sql.push_str(&format!(" ORDER BY {}", keys.join(", ")));
    }
    if let Some(limit) = plan.nodes().find(|node| node.node_type == "Limit") {
        sql.push_str(&format!(" LIMIT {}", limit.plan_rows.max(1.0) as u64));
    }
    Some(sql)
}

/// A node's conditions that stand for themselves: none that name parts of the plan.
fn conditions(node: &PlanNode) -> impl Iterator<Item = &str> {
    let all = node
        .filter
        .iter()
        .chain(&node.index_cond)
        .chain(&node.conditions);
    all.map(String::as_str).filter(|text| {
        let names_plan =
            text.contains("SubPlan") || text.contains("InitPlan") || text.contains("$0");
        !names_plan && shape::parse(&format!("SELECT 1 FROM t WHERE {text}")).is_ok()
    })
}
