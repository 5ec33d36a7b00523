//! A small table of rows as the statistics describe them, with an index really built on it: what an expression yields, how often GIN keys occur.
//!
//! Every column is drawn by itself, so columns do not correlate. All of it is done by the role without rights.

use std::collections::BTreeMap;

use super::{
    Twin,
    draw::{Column, Purpose, Rows, STRICTLY_IN_ORDER, is_in_order, n_distinct as distinct},
    estimate::Class,
    inject::reason,
    page::Page,
};
use crate::{
    catalog::{RelationName, planner::StatisticsTarget},
    db::{OwnError, OwnedSession, ToSql},
    sql::quote_identifier,
};

/// Pages of a sample's index that are read.
const MAX_PAGES: u64 = 4_096;
/// Its schema in the twin. A captured one of that name is in the way: then there is no sample.
const SCHEMA: &str = "pgassay sample";
/// Expressions of a snapshot run here; one that takes longer has no sample.
const TIMEOUT_MS: u32 = 5_000;

/// What the index on the sample is like.
#[derive(Debug)]
pub(super) struct Sample {
    /// Rows in it.
    pub(super) n_rows: f64,
    /// Its pages, the first one a metapage or root.
    pub(super) pages: Vec<Page>,
    /// For each expression key: its number among the keys, what is known of its values.
    pub(super) expressions: Vec<(i16, Expression)>,
}

/// Values of an expression in the sample.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    /// Its values among all rows that the index holds.
    pub(super) classes: Vec<Class>,
    /// Do its values lie in the table's order?
    pub(super) in_order: bool,
}

/// How an index is made again on another table.
pub(super) struct Recipe {
    pub(super) oid: u32,
    pub(super) table: RelationName,
    /// Rows that the real one will hold, and those of the table.
    pub(super) n_rows: f64,
    pub(super) table_rows: f64,
    /// Its condition.
    pub(super) predicate: Option<String>,
    pub(super) purpose: Purpose,
}

impl Twin {
    /// Builds a sample of what `recipe` indexes and copies the statistics of its expressions to the index itself. `None` where the statistics hold
    /// no values, or nothing can be built from them.
    pub(super) async fn sample(&self, superuser: &OwnedSession, recipe: &Recipe) -> Option<Sample> {
        let columns = self.columns_of(superuser, recipe).await?;
        let own = self.connect_planner().await.ok()?;
        let session = own.session().await.ok()?;
        let limits = format!(
            "SET search_path = pg_catalog; SET statement_timeout = {TIMEOUT_MS}; SET datestyle = 'ISO, MDY'; SET timezone = 'UTC'; SET intervalstyle = 'postgres'; \
             SET bytea_output = 'hex'; SET client_min_messages = error; CREATE SCHEMA IF NOT EXISTS {}",
            quote_identifier(SCHEMA)
        );
        session.batch_execute(&limits).await.ok()?;
        let table = format!("{}.s", quote_identifier(SCHEMA));
        let built = build(superuser, &session, recipe, &columns, &table).await;
        let pages = built
            .as_ref()
            .ok()
            .and_then(|built| self.data.read_all(&built.path, MAX_PAGES).ok());
        let drop = format!("DROP TABLE IF EXISTS {table}");
        session.execute_typed(&drop, &[]).await.ok()?;
        let (
            Built {
                n_rows,
                expressions,
                ..
            },
            pages,
        ) = (built.ok()?, pages?);
        Some(Sample {
            n_rows,
            pages,
            expressions,
        })
    }

    async fn columns_of(
        &self,
        superuser: &OwnedSession,
        recipe: &Recipe,
    ) -> Option<Vec<Column<'_>>> {
        let sql = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_depend d JOIN pg_index i ON i.indexrelid = d.objid \
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid WHERE d.classid = 'pg_class'::regclass AND d.objid = $1 \
            AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0 GROUP BY a.attnum, a.attname, a.atttypid, a.atttypmod ORDER BY a.attnum";
        let rows = superuser.query(sql, &[&recipe.oid]).await.ok()?;
        let mut columns = Vec::new();
        for row in &rows {
            let name: String = row.get(0);
            let known = self.state.column_statistics.iter().find(|known| {
                known.relation == recipe.table
                    && !known.inherited
                    // keys that are parts of values can't be had from stand-ins
                    && !(known.row.is_faked && recipe.purpose == Purpose::Pages)
                    && matches!(&known.target, StatisticsTarget::Column(column) if *column == name)
            })?;
            columns.push(Column {
                name,
                type_name: row.get(1),
                row: &known.row,
            });
        }
        (!columns.is_empty()).then_some(columns)
    }
}

/// A sample's index, its pages still in the twin.
struct Built {
    n_rows: f64,
    path: String,
    expressions: Vec<(i16, Expression)>,
}

/// Why there is no sample: nobody branches on it.
type Failed = String;

async fn build(
    superuser: &OwnedSession,
    session: &OwnedSession,
    recipe: &Recipe,
    columns: &[Column<'_>],
    table: &str,
) -> Result<Built, Failed> {
    let said = |error: OwnError| reason(&error);
    let names: Vec<String> = columns.iter().map(|c| quote_identifier(&c.name)).collect();
    let create = format!(
        "CREATE TABLE {table} AS SELECT {} FROM {} WITH NO DATA",
        names.join(", "),
        recipe.table.to_sql()
    );
    session.execute_typed(&create, &[]).await.map_err(said)?;
    fill(session, recipe, columns, table).await?;
    let head = superuser
        .query_one(DEFINITION, &[&recipe.oid])
        .await
        .map_err(said)?;
    let body: String = head.get(0);
    let create = format!("CREATE INDEX i ON {table} USING {body}");
    session.execute_typed(&create, &[]).await.map_err(said)?;
    session
        .execute_typed(&format!("ANALYZE {table}"), &[])
        .await
        .map_err(said)?;
    let made = "SELECT c.oid, c.reltuples::float8, pg_relation_filepath(c.oid) FROM pg_class c WHERE c.relname = 'i' AND c.relnamespace = $1::text::regnamespace";
    let made = superuser
        .query_one(made, &[&quote_identifier(SCHEMA)])
        .await
        .map_err(said)?;
    let (oid, n_rows, path): (u32, f64, String) = (made.get(0), made.get(1), made.get(2));
    let keys: Vec<(i16, String)> = head
        .get::<_, Vec<i16>>(1)
        .into_iter()
        .zip(head.get::<_, Vec<String>>(2))
        .collect();
    let mut expressions = Vec::new();
    for (number, sql) in keys {
        // no more values than combinations of what it reads
        let read = || {
            let reads = |column: &&Column<'_>| sql.contains(&quote_identifier(&column.name));
            columns.iter().filter(reads)
        };
        let most: f64 = read()
            .map(|column| distinct(column.row, recipe.table_rows))
            .product();
        let in_order = read().all(|column| is_in_order(column.row));
        let found = expression(
            superuser,
            session,
            recipe,
            (oid, table),
            (number, &sql),
            (most, in_order),
        )
        .await;
        expressions.extend(found.ok().map(|found| (number, found)));
    }
    Ok(Built {
        n_rows,
        path,
        expressions,
    })
}

/// Access method and what follows it, numbers of the expression keys, and the expressions.
const DEFINITION: &str = "SELECT substr(pg_get_indexdef(i.indexrelid), 1 + length(format('CREATE %sINDEX %I ON %s%I.%I USING ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname, \
      CASE WHEN c.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, t.relname))), \
      ARRAY(SELECT k FROM generate_series(1, i.indnkeyatts) k WHERE i.indkey[k - 1] = 0 ORDER BY k)::int2[], \
      ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, false) FROM generate_series(1, i.indnkeyatts) k WHERE i.indkey[k - 1] = 0 ORDER BY k)::text[] \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE i.indexrelid = $1";

/// Statistics that ANALYZE made of an expression, given to the index itself with the number of distinct values that all rows will have.
async fn expression(
    superuser: &OwnedSession,
    session: &OwnedSession,
    recipe: &Recipe,
    (sample_index, table): (u32, &str),
    (number, sql): (i16, &str),
    (most, in_order): (f64, bool),
) -> Result<Expression, Failed> {
    let said = |error: OwnError| reason(&error);
    let condition = match &recipe.predicate {
        Some(predicate) => format!(" AND ({predicate})"),
        None => String::new(),
    };
    // a row's values have the short headers that they have in an index
    let count = format!(
        "SELECT c, w, count(*) FROM (SELECT count(*) AS c, max(pg_column_size(ROW(({sql}))) - {ROW_HEADER})::int4 AS w FROM {table} WHERE ({sql}) IS NOT NULL{condition} GROUP BY ({sql})) x GROUP BY c, w ORDER BY c, w"
    );
    let counted = session.query(&count, &[]).await.map_err(said)?;
    let counts: Vec<Count> = counted
        .iter()
        .map(|row| Count {
            rows: row.get::<_, i64>(0) as f64,
            width: f64::from(row.get::<_, i32>(1)),
            n: row.get::<_, i64>(2) as f64,
        })
        .collect();
    let n_distinct = n_distinct(&counts, recipe.n_rows).min(most).max(1.0);
    let share = if n_distinct > 0.1 * recipe.n_rows {
        -(n_distinct / recipe.n_rows.max(1.0)).min(1.0)
    } else {
        n_distinct
    };
    let columns = ["stakind", "staop", "stacoll", "stanumbers", "stavalues"]
        .map(|part| {
            (1..=5)
                .map(|i| format!("{part}{i}"))
                .collect::<Vec<_>>()
                .join(", ")
        })
        .join(", ");
    let copy = format!(
        "INSERT INTO pg_statistic (starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct, {columns}) \
         SELECT $1, staattnum, stainherit, stanullfrac, stawidth, $4::float4, {columns} FROM pg_statistic WHERE starelid = $2 AND staattnum = $3 RETURNING stanullfrac, {CORRELATION}"
    );
    let row = superuser
        .query_one(
            &copy,
            &[&recipe.oid, &sample_index, &number, &(share as f32)],
        )
        .await
        .map_err(said)?;
    let null_frac = f64::from(row.get::<_, f32>(0));
    let correlation: Option<f32> = row.get(1);
    Ok(Expression {
        classes: classes(&counts, n_distinct, null_frac),
        in_order: in_order && correlation.is_some_and(|c| c.abs() > STRICTLY_IN_ORDER),
    })
}

/// Of a row of `pg_statistic`: that slot stands behind common values and a histogram.
const CORRELATION: &str = "CASE 3 WHEN stakind1 THEN stanumbers1[1] WHEN stakind2 THEN stanumbers2[1] WHEN stakind3 THEN stanumbers3[1] END";

/// `pg_column_size` of a row without columns.
const ROW_HEADER: u32 = 24;

/// Values of an expression that occur so often in the sample and are so wide.
#[derive(Debug, Clone, Copy)]
struct Count {
    rows: f64,
    width: f64,
    n: f64,
}

fn n_distinct(counts: &[Count], n_rows: f64) -> f64 {
    let n = counts.iter().map(|count| count.rows * count.n).sum();
    let d = counts.iter().map(|count| count.n).sum();
    let once = counts.iter().filter(|count| count.rows < 1.5);
    haas_stokes(n, d, once.map(|count| count.n).sum(), n_rows)
}

/// Rows of a value in the sample from which on its frequency is no chance.
const OFTEN: f64 = 10.0;
/// Widths that are kept of a class.
const MAX_WIDTHS: usize = 100;

/// Frequent values apart by how frequent they are; the others share what is left of `n_distinct`.
fn classes(counts: &[Count], n_distinct: f64, null_frac: f64) -> Vec<Class> {
    let n: f64 = counts.iter().map(|count| count.rows * count.n).sum();
    let mut found: BTreeMap<u32, Vec<Count>> = BTreeMap::new();
    for count in counts {
        let key = if count.rows < OFTEN {
            0
        } else {
            count.rows.log2().mul_add(2.0, 1.0) as u32
        };
        found.entry(key).or_default().push(*count);
    }
    let often: f64 = found
        .iter()
        .filter(|(key, _)| **key > 0)
        .flat_map(|(_, counts)| counts)
        .map(|count| count.n)
        .sum();
    let mut classes: Vec<Class> = found
        .iter()
        .map(|(key, counts)| {
            let values: f64 = counts.iter().map(|count| count.n).sum();
            Class {
                n: if *key == 0 {
                    (n_distinct - often).max(values)
                } else {
                    values
                },
                share: (1.0 - null_frac) * counts.iter().map(|c| c.rows * c.n).sum::<f64>()
                    / n.max(1.0),
                widths: widths(counts, values),
            }
        })
        .collect();
    if null_frac > 0.0 {
        classes.push(Class::null(null_frac));
    }
    classes
}

/// Each width as often as it occurs, in hundredths.
fn widths(counts: &[Count], values: f64) -> Vec<f64> {
    let (mut widths, mut sum) = (Vec::new(), 0.0);
    for count in counts {
        sum += count.n;
        let wanted = (sum / values.max(1.0) * MAX_WIDTHS as f64).ceil() as usize;
        widths.resize(wanted.min(MAX_WIDTHS), count.width);
    }
    widths
}

/// Distinct values among `n_rows`, of which `n` were drawn, `d` distinct, `once` a single time: the estimator of ANALYZE itself (Haas and Stokes 1998).
fn haas_stokes(n: f64, d: f64, once: f64, n_rows: f64) -> f64 {
    if n < 1.0 {
        return 1.0;
    }
    let n_rows = n_rows.max(n);
    (n * d / (n - once + once * n / n_rows)).clamp(d, n_rows)
}

/// Fills the sample's table.
async fn fill(
    session: &OwnedSession,
    recipe: &Recipe,
    columns: &[Column<'_>],
    table: &str,
) -> Result<(), Failed> {
    let rows = Rows::draw(columns, recipe.purpose, recipe.table_rows)
        .ok_or("no values are known".to_owned())?;
    let sql = format!("INSERT INTO {table} {}", Rows::select(columns));
    let parameters: Vec<&(dyn ToSql + Sync)> = rows
        .columns
        .iter()
        .flat_map(|drawn| [&drawn.low as &(dyn ToSql + Sync), &drawn.high, &drawn.share])
        .collect();
    session
        .execute(&sql, &parameters)
        .await
        .map_err(|error| reason(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_values_are_estimated_as_analyze_does() {
        for (found, expected) in [
            (haas_stokes(100.0, 100.0, 100.0, 10_000.0), 10_000.0),
            (haas_stokes(100.0, 5.0, 0.0, 10_000.0), 5.0),
            (haas_stokes(0.0, 0.0, 0.0, 10.0), 1.0),
        ] {
            assert!(f64::abs(found - expected) < 1e-6, "{found}");
        }
    }

    #[test]
    fn frequent_values_stand_apart() {
        let count = |rows: f64, width: f64, n: f64| Count { rows, width, n };
        let counts = [
            count(1.0, 5.0, 300.0),
            count(2.0, 9.0, 100.0),
            count(500.0, 4.0, 1.0),
        ];
        let found = classes(&counts, 4001.0, 0.5);
        let n: Vec<f64> = found.iter().map(|class| class.n).collect();
        assert_eq!(n, [4000.0, 1.0, 1.0]);
        let shares: Vec<f64> = found.iter().map(|class| class.share).collect();
        assert_eq!(shares, [0.25, 0.25, 0.5]);
        assert_eq!(found[0].widths.iter().filter(|w| **w > 8.0).count(), 25);
        assert!(found[2].is_null());
    }
}
