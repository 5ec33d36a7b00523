//! Counters of GIN indexes without superuser: `gincostestimate` reads them, so that EXPLAIN tells them. A condition that an index can only answer
//! by reading all of itself costs its number of keys. Nothing is executed.

use std::{collections::BTreeMap, time::Instant};

use serde::Deserialize;

use super::{Audited, DbError, Guarded, PROBE_BUDGET, USER_SCHEMA, gap, rows};
use crate::catalog::{
    RelationName,
    planner::{Gap, GinMeta, PhysicalKind, PhysicalState},
};

/// One index with the conditions that tell.
#[derive(Debug, Deserialize)]
struct Probe {
    name: RelationName,
    table: String,
    predicate: Option<String>,
    key: String,
    /// Operator class of the first key.
    class: String,
    /// Its schema, where an extension's operators are too.
    schema: String,
    /// Element type of the first key's type, as SQL.
    element: Option<String>,
}

/// Fills in the counters that no metapage gave.
pub(super) async fn read(
    audited: &Audited,
    states: &mut [PhysicalState],
    gaps: &mut Vec<Gap>,
) -> Result<(), DbError> {
    if !states.iter().any(is_missing) {
        return Ok(());
    }
    let mut guarded = begin(audited).await?;
    let probes: Vec<Probe> = rows(&guarded, "reading GIN keys", &probes(), &[]).await?;
    let probes: BTreeMap<RelationName, Probe> = probes
        .into_iter()
        .map(|probe| (probe.name.clone(), probe))
        .collect();
    let started = Instant::now();
    let mut n_missed = 0;
    for state in states.iter_mut().filter(|state| is_missing(state)) {
        let probe = probes.get(&state.name);
        let mut found = Ok(None);
        if let Some(probe) = probe
            && started.elapsed() < PROBE_BUDGET
        {
            found = counters(&guarded, probe, state.n_blocks).await;
        }
        match found {
            Ok(Some(meta)) => state.gin = Some(meta),
            Ok(None) => n_missed += 1,
            Err(_) => {
                n_missed += 1;
                drop(guarded);
                guarded = begin(audited).await?;
            }
        }
    }
    if n_missed > 0 {
        gaps.push(gap("counters of GIN indexes", n_missed, COST));
    }
    guarded.end().await
}

const COST: &str = "needs a superuser and pageinspect, and EXPLAIN did not tell them: costs of GIN scans are some percent off";

fn is_missing(state: &PhysicalState) -> bool {
    state.kind == PhysicalKind::Gin && state.gin.is_none()
}

/// A page costs one, all else nothing: then a cost is a number of pages.
async fn begin(audited: &Audited) -> Result<Guarded, DbError> {
    let guarded = super::begin(audited).await?;
    guarded
        .try_batch(9, "SET /* pgassay */ LOCAL enable_seqscan = off; SET /* pgassay */ LOCAL enable_indexscan = off; SET /* pgassay */ LOCAL enable_indexonlyscan = off; \
            SET /* pgassay */ LOCAL max_parallel_workers_per_gather = 0; SET /* pgassay */ LOCAL random_page_cost = 1; SET /* pgassay */ LOCAL cpu_operator_cost = 0; \
            SET /* pgassay */ LOCAL cpu_index_tuple_cost = 0; SET /* pgassay */ LOCAL cpu_tuple_cost = 0; SET /* pgassay */ LOCAL jit = off")
        .await
        .map_err(|failure| failure.into_error("setting planner switches"))?;
    Ok(guarded)
}

/// First keys with the operator class that tells what reads all of them.
fn probes() -> String {
    format!(
        "SELECT json_build_object('name', json_build_object('schema', n.nspname, 'name', c.relname), 'table', quote_ident(tn.nspname) || '.' || quote_ident(t.relname), \
           'predicate', pg_get_expr(i.indpred, i.indrelid), 'key', pg_get_indexdef(c.oid, 1, true), 'class', o.opcname, 'schema', quote_ident(cn.nspname), \
           'element', CASE WHEN coalesce(b.typelem, y.typelem) <> 0 THEN format_type(coalesce(b.typelem, y.typelem), NULL) END)::text \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = c.relam \
         JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace JOIN pg_opclass o ON o.oid = i.indclass[0] JOIN pg_namespace cn ON cn.oid = o.opcnamespace \
         LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] AND a.attnum > 0 LEFT JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = y.typbasetype AND y.typtype = 'd' \
         WHERE c.relkind = 'i' AND am.amname = 'gin' AND i.indisvalid AND c.relpersistence <> 't' AND {USER_SCHEMA}"
    )
}

/// Two conditions: one that all rows may meet, as far as the index knows, so that all keys are read; one on so many keys.
fn conditions(probe: &Probe) -> Option<(String, String, f64)> {
    let (key, schema) = (&probe.key, &probe.schema);
    let both = |all: &str, one: &str, n_keys: f64| {
        let on = |condition: &str| {
            // operators on texts are the server's own, whatever the class
            let schema = if condition.starts_with('~') {
                "pg_catalog"
            } else {
                schema
            };
            format!("{key} OPERATOR({schema}.{condition}")
        };
        Some((on(all), on(one), n_keys))
    };
    match (probe.class.as_str(), &probe.element) {
        ("array_ops", Some(element)) => {
            let one = match element.as_str() {
                "text" | "character varying" => "@>) '{pgassay}'",
                "smallint" | "integer" | "bigint" => "@>) '{-32768}'",
                "uuid" => "@>) '{00000000-0000-0000-0000-000000000000}'",
                _ => return None,
            };
            both("@>) '{}'", one, 1.0)
        }
        ("gin__int_ops", _) => both("@>) '{}'", "@>) '{-32768}'", 1.0),
        ("jsonb_ops", _) => both("@>) '{}'", "@>) '{\"pgassay\": 1}'", 2.0),
        ("jsonb_path_ops", _) => both("@>) '{}'", "@>) '{\"pgassay\": 1}'", 1.0),
        ("tsvector_ops", _) => both(
            "@@) '!pgassay'::pg_catalog.tsquery",
            "@@) 'pgassay'::pg_catalog.tsquery",
            1.0,
        ),
        ("gin_trgm_ops", _) => both("~~) '%'", "~~) '%pga%'", 1.0),
        _ => None,
    }
}

async fn counters(
    guarded: &Guarded,
    probe: &Probe,
    n_blocks: u64,
) -> Result<Option<GinMeta>, DbError> {
    let Some((all, one, n_keys)) = conditions(probe) else {
        return Ok(None);
    };
    let full = scan(guarded, probe, &all).await?;
    let single = scan(guarded, probe, &one).await?;
    Ok(full
        .zip(single)
        .and_then(|((full, _), (cost, rows))| solve(n_blocks as f64, full, (cost, rows, n_keys))))
}

/// Cost of the index's scan, and the rows that the planner expects of it.
async fn scan(
    guarded: &Guarded,
    probe: &Probe,
    condition: &str,
) -> Result<Option<(f64, f64)>, DbError> {
    let and = match &probe.predicate {
        Some(predicate) => format!(" AND ({predicate})"),
        None => String::new(),
    };
    let sql = format!(
        "EXPLAIN /* pgassay */ (FORMAT JSON) SELECT 1 FROM ONLY {} WHERE {condition}{and}",
        probe.table
    );
    let answer = guarded.query("probing a GIN index", &sql, &[]).await?;
    let plan = answer
        .first()
        .and_then(|row| row.try_get::<_, serde_json::Value>(0).ok());
    let Some(plan) = plan else { return Ok(None) };
    let scan = &plan[0]["Plan"]["Plans"][0];
    if scan["Index Name"] != probe.name.name.as_str() {
        return Ok(None);
    }
    Ok(scan["Total Cost"].as_f64().zip(scan["Plan Rows"].as_f64()))
}

/// `BLCKSZ / 3`: rows that a page of rows is taken to hold.
const ROWS_PER_PAGE: f64 = 8192.0 / 3.0;
/// Pages of keys, of all, where no counter tells (`gincostestimate`).
const ENTRY_SHARE: f64 = 0.9;

/// `gincostestimate`: the pending list, a descent of `rint(entry pages ^ 0.15)` pages a key, and pages of rows by the rows expected, or all of them.
/// How pages divide between keys and rows does not show, and makes next to no difference.
fn solve(n_blocks: f64, full: f64, (cost, rows, n_keys): (f64, f64, f64)) -> Option<GinMeta> {
    let entry = ((n_blocks - 1.0) * ENTRY_SHARE).floor().max(1.0);
    let data = (n_blocks - 1.0 - entry).max(0.0);
    let descent = entry.powf(0.15).round_ties_even();
    let pending = cost - n_keys * descent - (rows / ROWS_PER_PAGE).ceil().max(1.0);
    let pending = pending.clamp(0.0, (n_blocks - 1.0).max(0.0));
    let n_entries = ((full - pending - data) / descent).round();
    (n_entries >= 1.0 && n_entries < f64::from(i32::MAX)).then_some(GinMeta {
        n_pending_pages: pending as u32,
        n_total_pages: n_blocks as u32,
        n_entry_pages: entry as u32,
        n_data_pages: data as u32,
        n_entries: n_entries as i64,
        ..GinMeta::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_follow_from_costs() {
        // 88 pages, 301 keys, nothing pending, on 15: EXPLAIN of all keys 629, of one 3
        let meta = solve(88.0, 629.0, (3.0, 1.0, 1.0)).unwrap();
        assert!((301..=312).contains(&meta.n_entries), "{meta:?}");
        assert_eq!(meta.n_pending_pages, 0);
        // 40 pages of pending rows
        let meta = solve(128.0, 669.0, (43.0, 1.0, 1.0)).unwrap();
        assert_eq!(meta.n_pending_pages, 40);
        assert_eq!(solve(501.0, 0.0, (3.0, 1.0, 1.0)), None);
    }
}
