//! `pg_stats`: value distributions of the columns of the largest relations.

use tokio_postgres::{Row, types::Type};

use super::array::elements;
use crate::{
    catalog::{Catalog, ColumnStats, RelationName},
    db::{audited::Audited, error::DbError, rows::Columns},
};

const READING: &str = "reading pg_stats";

/// Rows read at most, of the largest tables first. A table below that rank has no time to save.
const MAX_COLUMNS: i64 = 40_000;

/// Most common values and histogram bounds kept of a column: the default statistics target, which is what estimates need.
const MAX_VALUES: usize = 100;

/// Characters of a list of values read at most. Wide texts reach a megabyte per column.
const MAX_LIST_CHARS: i32 = 8_000;

pub(super) async fn add(audited: &Audited, catalog: &mut Catalog) -> Result<(), DbError> {
    let guarded = audited.begin().await?;
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&MAX_LIST_CHARS, Type::INT4), (&MAX_COLUMNS, Type::INT8)];
    let rows = guarded.query(READING, SQL, &params).await?;
    guarded.end().await?;
    if rows.len() as i64 >= MAX_COLUMNS {
        catalog.unread.push(format!(
            "column statistics beyond the {MAX_COLUMNS} columns of the largest tables"
        ));
    }
    for row in &rows {
        let (name, column, stats) = statistics(row)?;
        let Ok(at) = catalog.relations.binary_search_by(|r| r.name.cmp(&name)) else {
            continue;
        };
        let columns = &mut catalog.relations[at].columns;
        if let Some(column) = columns.iter_mut().find(|c| c.name == column) {
            column.stats = Some(stats);
        }
    }
    Ok(())
}

/// `inherited` statistics cover a parent with its children: the only ones of a partitioned table, and not wanted of any other.
const SQL: &str = "SELECT /* pgassay */ s.schemaname::text, s.tablename::text, s.attname::text, s.null_frac::float8, s.avg_width, \
    s.n_distinct::float8, left(s.most_common_vals::text, $1), s.most_common_freqs, left(s.histogram_bounds::text, $1), s.correlation::float8 \
    FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname \
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename \
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND s.inherited = (c.relkind = 'p') \
    AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema' \
    ORDER BY c.relpages DESC, c.oid LIMIT $2";

fn statistics(row: &Row) -> Result<(RelationName, String, ColumnStats), DbError> {
    let mut columns = Columns::of(row, READING);
    let name = super::name(columns.next()?, columns.next()?);
    let column: String = columns.next()?;
    let null_frac = columns.next()?;
    let avg_width = u32::try_from(columns.next::<i32>()?).unwrap_or(0);
    let n_distinct = columns.next()?;
    let values: Option<String> = columns.next()?;
    let frequencies: Option<Vec<f32>> = columns.next()?;
    let histogram: Option<String> = columns.next()?;
    let most_common = elements(&values.unwrap_or_default(), MAX_VALUES)
        .into_iter()
        .zip(frequencies.unwrap_or_default())
        .map(|(value, frequency)| (value, f64::from(frequency)))
        .collect();
    let stats = ColumnStats {
        null_frac,
        avg_width,
        n_distinct,
        most_common,
        histogram: elements(&histogram.unwrap_or_default(), MAX_VALUES + 1),
        correlation: columns.next()?,
    };
    Ok((name, column, stats))
}
