//! Histograms of ranges for roles that may not read them: before 17 `pg_stats` hides them. They are made as ANALYZE makes them, from a sample of a
//! bounded number of pages; nothing but the histogram leaves the server.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Audited, DbError, PROBE_BUDGET, USER_SCHEMA, gap, rows};
use crate::{
    catalog::{
        RelationName,
        planner::{
            ColumnStatistics, Gap, Slot, SlotKind, SlotValues, StatisticsTarget, parse_array,
        },
    },
    db::{
        MAX_ANSWER_BYTES,
        guard::{Guarded, Limits, SearchPath},
    },
    sql::quote_identifier,
};

/// Pages of a table that are read: those of ANALYZE's 300 x 100 rows, where a row is a page's hundredth.
const MAX_PAGES: f64 = 300.0;
/// Rows that are read, about.
const MAX_ROWS: f64 = 30_000.0;
/// For one column.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Bounds of a histogram (`default_statistics_target` + 1).
const N_BOUNDS: usize = 101;
/// The slots' operator, as `regoperator` prints it.
const LESS: &str = "<(double precision,double precision)";

/// A column of ranges.
#[derive(Debug, Deserialize)]
struct Column {
    table: RelationName,
    name: String,
    /// The range type, as SQL; of a multirange, its ranges'.
    type_name: String,
    subtype: String,
    n_pages: f64,
    n_rows: f64,
}

#[derive(Debug, Deserialize)]
struct Histogram {
    empty: f32,
    bounds: Option<String>,
    lengths: Option<String>,
}

/// Adds the histograms to the statistics of their columns.
pub(super) async fn read(
    audited: &Audited,
    statistics: &mut [ColumnStatistics],
    gaps: &mut Vec<Gap>,
) -> Result<(), DbError> {
    let listing = super::begin(audited).await?;
    let columns: Vec<Column> = rows(
        &listing,
        "listing ranges",
        &columns(audited.version_num()),
        &[],
    )
    .await?;
    listing.end().await?;
    let started = Instant::now();
    let (mut n_sampled, mut n_missed) = (0, 0);
    let mut guarded = begin(audited).await?;
    for column in columns {
        let known = statistics.iter_mut().find(|known| {
            known.relation == column.table
                && !known.inherited
                && matches!(&known.target, StatisticsTarget::Column(name) if *name == column.name)
        });
        let Some(known) = known else { continue };
        if started.elapsed() > PROBE_BUDGET {
            n_missed += 1;
            continue;
        }
        let what = "sampling a column of ranges";
        let Ok(found) = rows::<Histogram>(&guarded, what, &sample(&column), &[]).await else {
            n_missed += 1;
            drop(guarded);
            guarded = begin(audited).await?;
            continue;
        };
        n_sampled += 1;
        let slots = found
            .into_iter()
            .flat_map(|found| slots(&found, &column.type_name));
        known.row.slots.extend(slots);
    }
    if n_sampled > 0 {
        gaps.push(gap(
            "histograms of range columns",
            n_sampled,
            "only a superuser can read them before 17: made anew from a sample of at most 300 pages each",
        ));
    }
    if n_missed > 0 {
        gaps.push(gap(
            "histograms of range columns, by a sample",
            n_missed,
            "too slow: conditions on these ranges are estimated by default values",
        ));
    }
    guarded.end().await
}

async fn begin(audited: &Audited) -> Result<Guarded, DbError> {
    let limits = Limits {
        statement_timeout: TIMEOUT,
        max_answer_bytes: MAX_ANSWER_BYTES,
        search_path: SearchPath::Catalog,
    };
    let guarded = audited.begin_with(limits).await?;
    super::set_formats(&guarded).await?;
    Ok(guarded)
}

/// Ranges over built-in types without a function of users' own that brings them into a canonical form, and multiranges of them: nothing that users
/// wrote runs.
fn columns(version: u32) -> String {
    let (multirange, kinds) = if version >= 140_000 {
        ("g.rngmultitypid", "'r', 'm'")
    } else {
        ("0", "'r'")
    };
    format!(
        "SELECT json_build_object('table', json_build_object('schema', n.nspname, 'name', c.relname), 'name', a.attname, \
           'type_name', format_type(g.rngtypid, NULL), 'subtype', format_type(g.rngsubtype, NULL), \
           'n_pages', greatest(c.relpages, pg_relation_size(c.oid) / 8192, 1), 'n_rows', greatest(c.reltuples, 1))::text \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid \
         JOIN pg_range g ON t.oid IN (g.rngtypid, {multirange}) JOIN pg_type r ON r.oid = g.rngtypid JOIN pg_opclass o ON o.oid = g.rngsubopc \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND t.typtype IN ({kinds}) AND {USER_SCHEMA} \
           AND (r.typnamespace = 'pg_catalog'::regnamespace OR g.rngcanonical = 0) AND o.opcnamespace = 'pg_catalog'::regnamespace \
           AND g.rngsubtype IN ({SUBTYPES}) \
           AND has_column_privilege(c.oid, a.attnum, 'SELECT') AND NOT row_security_active(c.oid) ORDER BY c.oid, a.attnum"
    )
}

/// Types whose differences are numbers or times.
const SUBTYPES: &str = "'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype, 'float4'::regtype, 'float8'::regtype, 'date'::regtype, \
    'timestamp'::regtype, 'timestamptz'::regtype";

/// `compute_range_stats`: lower and upper bounds each in order and paired by rank, lengths in order, the share of empty ranges.
fn sample(column: &Column) -> String {
    let name = quote_identifier(&column.name);
    // no LIMIT: it would take the oldest rows alone
    let share = (MAX_PAGES / column.n_pages)
        .min(MAX_ROWS / column.n_rows)
        .min(1.0)
        * 100.0;
    let length = if column.subtype.starts_with("timestamp") {
        "extract(epoch FROM upper(r) - lower(r))"
    } else {
        "upper(r) - lower(r)"
    };
    let at = format!("1 + (g * (n - 1)) / (least(n, {N_BOUNDS}) - 1)");
    let ranks = format!("generate_series(0, least(n, {N_BOUNDS}) - 1) g WHERE n > 1");
    format!(
        "SELECT json_build_object('empty', e.empty, \
           'bounds', (SELECT array_agg({type_name}(lo[{at}], up[{at}], '[)') ORDER BY g)::text FROM {ranks}), \
           'lengths', (SELECT array_agg(len[{at}] ORDER BY g)::text FROM {ranks}))::text \
         FROM (SELECT array_agg(lower(r) ORDER BY lower(r) NULLS FIRST) FILTER (WHERE NOT isempty(r)) AS lo, array_agg(upper(r) ORDER BY upper(r) NULLS LAST) FILTER (WHERE NOT isempty(r)) AS up, \
             array_agg(coalesce(({length})::float8, 'infinity') ORDER BY coalesce(({length})::float8, 'infinity')) FILTER (WHERE NOT isempty(r)) AS len, \
             (count(*) FILTER (WHERE NOT isempty(r)))::int AS n, coalesce(avg(isempty(r)::int), 0)::float4 AS empty \
           FROM (SELECT {name} AS r FROM ONLY {table} TABLESAMPLE system ({share}) REPEATABLE (1) WHERE {name} IS NOT NULL) s) e",
        type_name = column.type_name,
        table = column.table.to_sql(),
    )
}

fn slots(found: &Histogram, type_name: &str) -> Vec<Slot> {
    let values = |text: Option<&str>, type_name: &str| {
        let elements = parse_array(text?)?;
        Some(SlotValues {
            type_name: type_name.to_owned(),
            elements,
        })
    };
    let bounds = values(found.bounds.as_deref(), type_name).map(|values| Slot {
        kind: SlotKind::RangeBounds.number(),
        values: Some(values),
        ..Slot::default()
    });
    let lengths = values(found.lengths.as_deref(), "double precision").map(|values| Slot {
        kind: SlotKind::RangeLength.number(),
        operator: Some(LESS.to_owned()),
        numbers: Some(vec![found.empty]),
        values: Some(values),
        ..Slot::default()
    });
    bounds.into_iter().chain(lengths).collect()
}
