//! Heights of b-trees without any privilege: the planner adds 50 CPU operator costs a level to an index scan's start-up cost
//! (`btcostestimate`, `DEFAULT_PAGE_CPU_MULTIPLIER`), so that EXPLAIN tells them. Nothing is executed.

use std::time::Instant;

use serde::Deserialize;

use super::{Audited, DbError, Guarded, PROBE_BUDGET, USER_SCHEMA, gap, rows};
use crate::catalog::{
    RelationName,
    planner::{Gap, HeightSource, PhysicalKind, PhysicalState},
};
use std::collections::BTreeMap;

/// `DEFAULT_PAGE_CPU_MULTIPLIER`
const PAGE_CPU_MULTIPLIER: f64 = 50.0;
/// Share of an internal page that holds keys: splits at the right end leave internal pages 70 % full (`BTREE_NONLEAF_FILLFACTOR`).
const INTERNAL_FILL: f64 = 0.7;
/// Line pointer and tuple header of an internal page's entry, bytes.
const ENTRY_OVERHEAD: f64 = 12.0;

/// What the probe of one index is made of.
#[derive(Debug, Deserialize)]
struct Probe {
    name: RelationName,
    table: String,
    keys: String,
    predicate: Option<String>,
    key_width: f64,
    /// All keys are of fixed length.
    is_fixed: bool,
}

/// Fills in the heights that no metapage gave.
pub(super) async fn read(
    audited: &Audited,
    states: &mut [PhysicalState],
    gaps: &mut Vec<Gap>,
) -> Result<(), DbError> {
    let missing = states.iter().any(is_missing);
    if !missing {
        return Ok(());
    }
    let mut guarded = begin(audited).await?;
    let probes: Vec<Probe> = rows(&guarded, "reading index keys", &probes(), &[]).await?;
    let probes: BTreeMap<RelationName, Probe> = probes
        .into_iter()
        .map(|probe| (probe.name.clone(), probe))
        .collect();
    let started = Instant::now();
    let mut n_estimated = 0;
    for state in states.iter_mut().filter(|state| is_missing(state)) {
        let Some(probe) = probes.get(&state.name) else {
            continue;
        };
        if state.n_blocks <= 1 {
            (state.height, state.no_root) = (Some(0), true);
            continue;
        }
        let mut height = certain(state.n_blocks, probe);
        state.height_source = HeightSource::Estimate;
        if height.is_none() && started.elapsed() < PROBE_BUDGET {
            match explain(&guarded, probe).await {
                Ok(found) => height = found,
                Err(_) => guarded = begin(audited).await?,
            }
            state.height_source = HeightSource::Explain;
        }
        if height.is_none() {
            n_estimated += 1;
            state.height_source = HeightSource::Estimate;
        }
        state.height = Some(height.unwrap_or_else(|| estimate(state.n_blocks, probe.key_width)));
    }
    if n_estimated > 0 {
        gaps.push(gap(
            "heights of b-trees",
            n_estimated,
            "estimated from pages and key width: an index scan's start-up cost may be off by one level",
        ));
    }
    guarded.end().await
}

fn is_missing(state: &PhysicalState) -> bool {
    state.kind == PhysicalKind::Btree && state.height.is_none()
}

async fn begin(audited: &Audited) -> Result<Guarded, DbError> {
    let guarded = super::begin(audited).await?;
    guarded
        .try_batch(7, "SET /* pgassay */ LOCAL enable_seqscan = off; SET /* pgassay */ LOCAL enable_bitmapscan = off; SET /* pgassay */ LOCAL enable_sort = off; \
            SET /* pgassay */ LOCAL enable_incremental_sort = off; SET /* pgassay */ LOCAL max_parallel_workers_per_gather = 0; SET /* pgassay */ LOCAL cpu_operator_cost = 1; SET /* pgassay */ LOCAL jit = off")
        .await
        .map_err(|failure| failure.into_error("setting planner switches"))?;
    Ok(guarded)
}

fn probes() -> String {
    format!(
        "SELECT json_build_object('name', json_build_object('schema', n.nspname, 'name', c.relname), 'table', quote_ident(tn.nspname) || '.' || quote_ident(t.relname), \
           'predicate', pg_get_expr(i.indpred, i.indrelid), \
           'keys', (SELECT string_agg(pg_get_indexdef(c.oid, k, true) || CASE WHEN i.indoption[k - 1] & 1 = 1 THEN ' DESC' ELSE '' END \
              || CASE i.indoption[k - 1] & 3 WHEN 1 THEN ' NULLS LAST' WHEN 2 THEN ' NULLS FIRST' ELSE '' END, ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) k), \
           'key_width', (SELECT sum(coalesce(nullif(a.attlen, -1), 24)) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0), 'is_fixed', (SELECT bool_and(a.attlen > 0) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0))::text \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = c.relam \
         JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         WHERE c.relkind = 'i' AND am.amname = 'btree' AND c.relpersistence <> 't' AND {USER_SCHEMA}"
    )
}

/// `None` when the planner prefers another index.
async fn explain(guarded: &Guarded, probe: &Probe) -> Result<Option<u32>, DbError> {
    let condition = match &probe.predicate {
        Some(predicate) => format!(" WHERE {predicate}"),
        None => String::new(),
    };
    let sql = format!(
        "EXPLAIN /* pgassay */ (FORMAT JSON) SELECT 1 FROM ONLY {}{condition} ORDER BY {}",
        probe.table, probe.keys
    );
    let answer = guarded
        .query("probing the height of an index", &sql, &[])
        .await?;
    let plan = answer
        .first()
        .and_then(|row| row.try_get::<_, serde_json::Value>(0).ok());
    let Some(plan) = plan else { return Ok(None) };
    let mut node = &plan[0]["Plan"];
    while node["Index Name"] != probe.name.name.as_str() {
        node = &node["Plans"][0];
        if node.is_null() {
            return Ok(None);
        }
    }
    let levels = node["Startup Cost"]
        .as_f64()
        .map(|cost| (cost / PAGE_CPU_MULTIPLIER).floor() - 1.0);
    Ok(levels
        .filter(|levels| (0.0..=20.0).contains(levels))
        .map(|levels| levels as u32))
}

/// The height where it is the same however full pages are, and however wide keys of variable length: then no statement is spent on it.
fn certain(n_blocks: u64, probe: &Probe) -> Option<u32> {
    let doubt = if probe.is_fixed { FIXED } else { VARIABLE };
    let lowest = estimate(n_blocks, probe.key_width / doubt);
    let highest = estimate(n_blocks, probe.key_width * doubt);
    (lowest == highest).then_some(lowest)
}

/// How many times wider or narrower entries may be than the types of keys tell.
const FIXED: f64 = 1.6;
const VARIABLE: f64 = 8.0;

/// Levels above the leaves of a tree with that many pages.
fn estimate(n_blocks: u64, key_width: f64) -> u32 {
    let entry = (key_width / 8.0).ceil().max(1.0) * 8.0 + ENTRY_OVERHEAD;
    let fan_out = (8192.0 * INTERNAL_FILL / entry).max(2.0);
    let mut pages = (n_blocks.saturating_sub(1)) as f64 * (1.0 - 1.0 / fan_out);
    let mut height = 0;
    while pages > 1.5 {
        pages /= fan_out;
        height += 1;
    }
    height
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_follow_from_pages_and_width() {
        // bigint keys: measured on pgbench_accounts_pkey at scale 10 (2,745 pages, level 2) and scale 1 (276 pages, level 1)
        assert_eq!(estimate(276, 8.0), 1);
        assert_eq!(estimate(2745, 8.0), 2);
        assert_eq!(estimate(2, 8.0), 0);
    }

    #[test]
    fn only_doubtful_heights_are_asked_for() {
        let probe = |is_fixed, key_width| Probe {
            name: RelationName::new("public", "i"),
            table: "t".into(),
            keys: "a".into(),
            predicate: None,
            key_width,
            is_fixed,
        };
        assert_eq!(certain(2, &probe(false, 24.0)), Some(0));
        assert_eq!(certain(20, &probe(false, 24.0)), Some(1));
        assert_eq!(certain(276, &probe(true, 8.0)), Some(1));
        assert_eq!(certain(276, &probe(false, 24.0)), None);
        assert_eq!(certain(400, &probe(true, 8.0)), None);
        assert_eq!(certain(2745, &probe(true, 8.0)), Some(2));
    }
}
