//! `pg_stats`: value distributions of the columns of the largest relations.

use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::array::elements;
use crate::{
    catalog::{Catalog, Column, ColumnStats, Relation, RelationKind},
    db::{audited::Audited, error::DbError, rows::Columns},
};

const READING: &str = "reading pg_stats";

/// Columns whose widths and distinct counts are read, of the largest tables first (13 µs each, most of it the view's privilege check).
const MAX_COLUMNS: usize = 20_000;

/// Columns whose values are read too, of the largest tables first. Printing a hundred values and a hundred bounds costs the server 0.1 ms
/// and more, so that a database of 5,000 tables would take ten seconds; the smaller tables have no time to save.
const MAX_COLUMNS_WITH_VALUES: usize = 3_000;

/// Most common values and histogram bounds kept of a column: the default statistics target, which is what estimates need.
const MAX_VALUES: usize = 100;

/// Characters of a list of values read at most. Wide texts reach a megabyte per column.
const MAX_LIST_CHARS: i32 = 8_000;

/// Adds statistics to the catalog's columns.
pub(super) async fn add(audited: &Audited, catalog: &mut Catalog) -> Result<(), DbError> {
    let by_size = by_size(&catalog.relations);
    let wanted = Names::of(&catalog.relations, &by_size, MAX_COLUMNS);
    for row in &wanted.query(audited, SCALARS, &[]).await? {
        let (at, mut columns) = Target::read(row)?;
        let stats = scalars(&mut columns)?;
        if let Some(column) = at.find(&mut catalog.relations) {
            column.stats = Some(stats);
        }
    }
    let wanted = Names::of(&catalog.relations, &by_size, MAX_COLUMNS_WITH_VALUES);
    for row in &wanted
        .query(audited, VALUES, &[(&MAX_LIST_CHARS, Type::INT4)])
        .await?
    {
        let (at, mut columns) = Target::read(row)?;
        let column = at.find(&mut catalog.relations);
        if let Some(stats) = column.and_then(|column| column.stats.as_mut()) {
            add_values(stats, &mut columns)?;
        }
    }
    if by_size.len() > wanted.tables.len() {
        let n = by_size.len() - wanted.tables.len();
        catalog.unread.push(format!(
            "values in the column statistics of the {n} smallest relations"
        ));
    }
    Ok(())
}

/// Positions of the relations that can have statistics, largest first.
fn by_size(relations: &[Relation]) -> Vec<usize> {
    let mut at: Vec<usize> = (0..relations.len())
        .filter(|at| relations[*at].kind != RelationKind::View)
        .collect();
    at.sort_by_key(|at| {
        let relation = &relations[*at];
        // a partitioned table has no pages, and the statistics of all its partitions
        let is_parent = relation.kind == RelationKind::PartitionedTable;
        (std::cmp::Reverse((is_parent, relation.size_bytes)), *at)
    });
    at
}

/// Relations to ask about, as the view names them.
#[derive(Debug, Default)]
struct Names {
    schemas: Vec<String>,
    tables: Vec<String>,
}

impl Names {
    fn of(relations: &[Relation], by_size: &[usize], max_columns: usize) -> Self {
        let mut names = Self::default();
        let mut n_columns = 0;
        for relation in by_size.iter().map(|at| &relations[*at]) {
            n_columns += relation.columns.len();
            if n_columns > max_columns {
                break;
            }
            names.schemas.push(relation.name.schema.clone());
            names.tables.push(relation.name.name.clone());
        }
        names
    }

    async fn query(
        &self,
        audited: &Audited,
        sql: &str,
        more: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, DbError> {
        let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
            (&self.schemas, Type::NAME_ARRAY),
            (&self.tables, Type::NAME_ARRAY),
        ];
        params.extend_from_slice(more);
        let guarded = audited.begin().await?;
        let rows = guarded.query(READING, sql, &params).await?;
        guarded.end().await?;
        Ok(rows)
    }
}

// The ANYs are what reaches into the view, a security barrier, before its privilege checks. `inherited` statistics cover a parent with its
// children: the only ones of a partitioned table, and not wanted of any other.
const SCALARS: &str = "SELECT /* pgassay */ s.schemaname::text, s.tablename::text, s.attname::text, s.null_frac::float8, s.avg_width, \
    s.n_distinct::float8, s.correlation::float8 \
    FROM pg_stats s JOIN unnest($1, $2) AS w(nspname, relname) ON w.nspname = s.schemaname AND w.relname = s.tablename \
    WHERE s.schemaname = ANY ($1) AND s.tablename = ANY ($2) ORDER BY s.inherited DESC";
const VALUES: &str = "SELECT /* pgassay */ s.schemaname::text, s.tablename::text, s.attname::text, left(s.most_common_vals::text, $3), \
    s.most_common_freqs, left(s.histogram_bounds::text, $3) \
    FROM pg_stats s JOIN unnest($1, $2) AS w(nspname, relname) ON w.nspname = s.schemaname AND w.relname = s.tablename \
    WHERE s.schemaname = ANY ($1) AND s.tablename = ANY ($2) ORDER BY s.inherited DESC";

/// Which column a row is about.
#[derive(Debug)]
struct Target<'a> {
    schema: &'a str,
    table: &'a str,
    column: &'a str,
}

impl<'a> Target<'a> {
    fn read(row: &'a Row) -> Result<(Self, Columns<'a>), DbError> {
        let mut columns = Columns::of(row, READING);
        let target = Self {
            schema: columns.next()?,
            table: columns.next()?,
            column: columns.next()?,
        };
        Ok((target, columns))
    }

    fn find<'c>(&self, relations: &'c mut [Relation]) -> Option<&'c mut Column> {
        let wanted = (self.schema, self.table);
        let at = relations
            .binary_search_by(|r| (r.name.schema.as_str(), r.name.name.as_str()).cmp(&wanted))
            .ok()?;
        relations[at]
            .columns
            .iter_mut()
            .find(|column| column.name == self.column)
    }
}

fn scalars(columns: &mut Columns<'_>) -> Result<ColumnStats, DbError> {
    Ok(ColumnStats {
        null_frac: columns.next()?,
        avg_width: u32::try_from(columns.next::<i32>()?).unwrap_or(0),
        n_distinct: columns.next()?,
        correlation: columns.next()?,
        ..ColumnStats::default()
    })
}

fn add_values(stats: &mut ColumnStats, columns: &mut Columns<'_>) -> Result<(), DbError> {
    let values: Option<&str> = columns.next()?;
    let frequencies: Option<Vec<f32>> = columns.next()?;
    let histogram: Option<&str> = columns.next()?;
    stats.most_common = elements(values.unwrap_or_default(), MAX_VALUES)
        .into_iter()
        .zip(frequencies.unwrap_or_default())
        .map(|(value, frequency)| (value, f64::from(frequency)))
        .collect();
    stats.histogram = elements(histogram.unwrap_or_default(), MAX_VALUES + 1);
    Ok(())
}
