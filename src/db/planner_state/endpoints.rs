//! Smallest and largest values at the ends of b-trees, which the planner looks up itself when a constant lies beyond a histogram's end
//! (`get_actual_variable_range`). Dead entries can make such a probe crawl, so each has its own short timeout.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{Audited, DbError, PROBE_BUDGET, USER_SCHEMA, gap, rows, set_formats};
use crate::{
    catalog::{
        RelationName,
        planner::{Endpoint, Gap},
    },
    db::{
        MAX_ANSWER_BYTES,
        guard::{Guarded, Limits, SearchPath},
    },
    sql::quote_identifier,
};

/// For one statement of probes. A probe is two index descents, microseconds each, unless dead entries lie at the end.
const PROBE_TIMEOUT: Duration = Duration::from_millis(100);
/// Probes of one statement.
const BATCH: usize = 50;

#[derive(Debug, Deserialize)]
struct Target {
    table: RelationName,
    column: String,
    type_name: String,
    descending: bool,
    nulls_first: bool,
}

#[derive(Debug, Deserialize)]
struct Ends {
    min: Option<String>,
    max: Option<String>,
}

/// A superuser's probes leave the counters of index usage alone; others' count as two scans of each index.
pub(super) async fn read(
    audited: &Audited,
    is_superuser: bool,
    gaps: &mut Vec<Gap>,
) -> Result<Vec<Endpoint>, DbError> {
    let listing = super::begin(audited).await?;
    let targets: Vec<Target> = rows(&listing, "listing ends of indexes", &targets(), &[]).await?;
    listing.end().await?;
    let started = Instant::now();
    let mut found = Vec::new();
    let mut missed = 0;
    let mut guarded = begin(audited, is_superuser).await?;
    let mut work: VecDeque<&[Target]> = targets.chunks(BATCH).collect();
    while let Some(batch) = work.pop_front() {
        if started.elapsed() > PROBE_BUDGET {
            missed += batch.len();
            continue;
        }
        let sql = probes(batch);
        match rows::<Vec<Ends>>(&guarded, "probing the ends of indexes", &sql, &[]).await {
            Ok(answers) => found.extend(endpoints(batch, answers)),
            // one slow index among them: halves, once all others have had their turn
            Err(_) if batch.len() > 1 => {
                let (left, right) = batch.split_at(batch.len() / 2);
                work.extend([left, right]);
                drop(guarded);
                guarded = begin(audited, is_superuser).await?;
            }
            Err(_) => {
                missed += 1;
                drop(guarded);
                guarded = begin(audited, is_superuser).await?;
            }
        }
    }
    guarded.end().await?;
    if missed > 0 {
        gaps.push(gap(
            "ends of b-tree indexes",
            missed,
            "too slow, or not possible, to probe: ranges near the newest and oldest values are estimated from histograms",
        ));
    }
    Ok(found)
}

async fn begin(audited: &Audited, is_superuser: bool) -> Result<Guarded, DbError> {
    let limits = Limits {
        statement_timeout: PROBE_TIMEOUT,
        max_answer_bytes: MAX_ANSWER_BYTES,
        search_path: SearchPath::Catalog,
    };
    let guarded = audited.begin_with(limits).await?;
    set_formats(&guarded).await?;
    if is_superuser {
        guarded
            .try_batch(1, "SET /* pgassay */ LOCAL track_counts = off")
            .await
            .map_err(|failure| failure.into_error("leaving counters alone"))?;
    }
    guarded
        .try_batch(4, "SET /* pgassay */ LOCAL enable_seqscan = off; SET /* pgassay */ LOCAL enable_bitmapscan = off; SET /* pgassay */ LOCAL enable_sort = off; SET /* pgassay */ LOCAL max_parallel_workers_per_gather = 0")
        .await
        .map_err(|failure| failure.into_error("setting planner switches"))?;
    Ok(guarded)
}

/// Leading plain columns of valid, complete b-trees in the type's own order, of types whose order is Postgres's or an extension's code: nothing
/// that users wrote runs. Tables whose policies would run are left out.
fn targets() -> String {
    format!(
        "WITH RECURSIVE base(domain, at) AS (SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd' UNION ALL \
           SELECT b.domain, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.at AND t.typtype = 'd'), \
         resolved AS (SELECT t.oid, coalesce((SELECT b.at FROM base b JOIN pg_type x ON x.oid = b.at AND x.typtype <> 'd' WHERE b.domain = t.oid), t.oid) AS root FROM pg_type t) \
         SELECT json_build_object('table', json_build_object('schema', n.nspname, 'name', t.relname), 'column', a.attname, 'type_name', format_type(r.root, NULL), \
           'descending', k.option & 1 = 1, 'nulls_first', k.option & 2 = 2)::text \
         FROM (SELECT DISTINCT ON (i.indrelid, i.indkey[0]) i.indrelid, i.indkey[0] AS attnum, i.indoption[0] AS option, i.indcollation[0] AS collation \
           FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam JOIN pg_opclass o ON o.oid = i.indclass[0] \
           WHERE am.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] > 0 AND o.opcdefault \
           ORDER BY i.indrelid, i.indkey[0], i.indnatts, i.indexrelid) k \
         JOIN pg_class t ON t.oid = k.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum AND a.attcollation = k.collation \
         JOIN resolved r ON r.oid = a.atttypid JOIN pg_type y ON y.oid = r.root \
         WHERE {USER_SCHEMA} AND t.relkind IN ('r', 'm') AND t.relpersistence <> 't' AND t.relpages > 0 \
           AND (y.typnamespace = 'pg_catalog'::regnamespace AND y.typtype IN ('b', 'r') AND y.typcategory <> 'A' AND r.root NOT IN ('jsonb'::regtype, 'bytea'::regtype) \
             OR y.typtype = 'e' OR y.typtype = 'b' AND y.typelem = 0 AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = y.oid AND e.deptype = 'e')) \
           AND has_column_privilege(t.oid, a.attnum, 'SELECT') AND NOT row_security_active(t.oid) ORDER BY t.oid, a.attnum"
    )
}

fn endpoints(batch: &[Target], answers: Vec<Vec<Ends>>) -> impl Iterator<Item = Endpoint> {
    let answers = answers.into_iter().flatten();
    batch.iter().zip(answers).filter_map(|(target, ends)| {
        Some(Endpoint {
            min: ends.min?,
            max: ends.max?,
            table: target.table.clone(),
            column: target.column.clone(),
            type_name: target.type_name.clone(),
        })
    })
}

/// One row: an array of both ends of each.
fn probes(batch: &[Target]) -> String {
    let probes: Vec<String> = batch.iter().map(probe).collect();
    format!("SELECT json_build_array({})::text", probes.join(", "))
}

/// Either end by one descent of the index: forwards, or backwards with NULLs at the other end.
fn probe(target: &Target) -> String {
    let column = quote_identifier(&target.column);
    let table = target.table.to_sql();
    let end = |direction: &str, forwards: bool| {
        let nulls = if target.nulls_first == forwards {
            "FIRST"
        } else {
            "LAST"
        };
        format!(
            "(SELECT {column} FROM ONLY {table} WHERE {column} IS NOT NULL ORDER BY {column} {direction} NULLS {nulls} LIMIT 1)::text"
        )
    };
    format!(
        "json_build_object('min', {}, 'max', {})",
        end("ASC", !target.descending),
        end("DESC", target.descending)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_any_index_are_one_descent_away() {
        let ends = |descending, nulls_first| {
            probe(&Target {
                table: RelationName::new("public", "t"),
                column: "a".into(),
                type_name: "integer".into(),
                descending,
                nulls_first,
            })
        };
        let orders = |sql: &str| -> Vec<String> {
            sql.split("ORDER BY a ")
                .skip(1)
                .map(|rest| rest.split(" LIMIT").next().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            orders(&ends(false, false)),
            ["ASC NULLS LAST", "DESC NULLS FIRST"]
        );
        assert_eq!(
            orders(&ends(true, false)),
            ["ASC NULLS FIRST", "DESC NULLS LAST"]
        );
        assert_eq!(
            orders(&ends(true, true)),
            ["ASC NULLS LAST", "DESC NULLS FIRST"]
        );
    }
}
