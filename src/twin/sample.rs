//! A small table of rows as the statistics describe them, with an index really built on it: what an expression yields, how often GIN keys occur.
//!
//! Every column is drawn by itself, so columns do not correlate. All of it is done by the role without rights.

use super::{Twin, inject::reason, page::Page};
use crate::{
    catalog::{
        RelationName,
        planner::{SlotKind, StatisticRow, StatisticsTarget},
    },
    db::{OwnError, OwnedSession, ToSql},
    sql::quote_identifier,
};

/// Fewest and most rows of a sample. More would not hold more than the statistics do: a hundred bounds of a histogram, each once.
const MIN_ROWS: usize = 60;
const MAX_ROWS: usize = 1_500;
/// Rows where no column has a histogram.
const ROWS: usize = 1_000;
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
#[derive(Debug, Clone, Copy)]
pub(super) struct Expression {
    /// Distinct ones expected among all rows, of those that the index holds.
    pub(super) n_distinct: f64,
    /// Average width.
    pub(super) width: f64,
    pub(super) null_frac: f64,
}

/// A column that an index reads.
struct Column<'a> {
    name: String,
    type_name: String,
    row: &'a StatisticRow,
}

/// How an index is made again on another table.
pub(super) struct Recipe {
    pub(super) oid: u32,
    pub(super) table: RelationName,
    /// Rows that the real one will hold.
    pub(super) n_rows: f64,
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
    fill(session, columns, table).await?;
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
    let most: f64 = columns
        .iter()
        .map(|column| distinct(column.row, recipe.n_rows))
        .product();
    let mut expressions = Vec::new();
    for (number, sql) in keys {
        let found = expression(
            superuser,
            session,
            recipe,
            (oid, table),
            (number, &sql, most),
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
    (number, sql, most): (i16, &str, f64),
) -> Result<Expression, Failed> {
    let said = |error: OwnError| reason(&error);
    let count = format!(
        "SELECT coalesce(sum(c), 0)::float8, count(*)::float8, (count(*) FILTER (WHERE c = 1))::float8 FROM (SELECT count(*) AS c FROM {table} WHERE ({sql}) IS NOT NULL GROUP BY ({sql})) x"
    );
    let counted = session.query_one(&count, &[]).await.map_err(said)?;
    let (n, d, once): (f64, f64, f64) = (counted.get(0), counted.get(1), counted.get(2));
    let n_distinct = haas_stokes(n, d, once, recipe.n_rows).min(most).max(1.0);
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
         SELECT $1, staattnum, stainherit, stanullfrac, stawidth, $4::float4, {columns} FROM pg_statistic WHERE starelid = $2 AND staattnum = $3 RETURNING stawidth, stanullfrac"
    );
    let row = superuser
        .query_one(
            &copy,
            &[&recipe.oid, &sample_index, &number, &(share as f32)],
        )
        .await
        .map_err(said)?;
    Ok(Expression {
        n_distinct,
        width: f64::from(row.get::<_, i32>(0)),
        null_frac: f64::from(row.get::<_, f32>(1)),
    })
}

/// Distinct values among `n_rows`, of which `n` were drawn, `d` distinct, `once` a single time: the estimator of ANALYZE itself (Haas and Stokes 1998).
fn haas_stokes(n: f64, d: f64, once: f64, n_rows: f64) -> f64 {
    if n < 1.0 {
        return 1.0;
    }
    let n_rows = n_rows.max(n);
    (n * d / (n - once + once * n / n_rows)).clamp(d, n_rows)
}

/// Distinct values that a column's statistics tell.
fn distinct(row: &StatisticRow, n_rows: f64) -> f64 {
    match f64::from(row.n_distinct) {
        n if n > 0.0 => n,
        n if n < 0.0 => -n * n_rows,
        _ => n_rows,
    }
    .max(1.0)
}

async fn fill(session: &OwnedSession, columns: &[Column<'_>], table: &str) -> Result<(), Failed> {
    let values: Vec<Values> = columns
        .iter()
        .map(|column| Values::of(column).ok_or("no values are known"))
        .collect::<Result<_, _>>()?;
    let n = n_rows(&values);
    let drawn: Vec<[Vec<Option<String>>; 2]> = values
        .iter()
        .zip(STRIDES.iter().cycle())
        .map(|(values, stride)| values.draw(n, if values.in_order { 1 } else { *stride }))
        .collect();
    let casts: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| between(&column.type_name, &format!("lo{i}"), &format!("hi{i}")))
        .collect();
    let arrays: Vec<String> = (1..=2 * columns.len())
        .map(|i| format!("${i}::text[]"))
        .collect();
    let aliases: Vec<String> = (0..columns.len())
        .map(|i| format!("lo{i}, hi{i}"))
        .collect();
    let sql = format!(
        "INSERT INTO {table} SELECT {} FROM unnest({}) WITH ORDINALITY AS x({}, at) CROSS JOIN LATERAL (SELECT at * {GOLDEN}::float8 - floor(at * {GOLDEN}::float8) AS u) y",
        casts.join(", "),
        arrays.join(", "),
        aliases.join(", ")
    );
    let parameters: Vec<&(dyn ToSql + Sync)> =
        drawn.iter().flatten().map(|column| column as _).collect();
    session
        .execute(&sql, &parameters)
        .await
        .map_err(|error| reason(&error))?;
    Ok(())
}

/// Steps through the rows of a sample, one a column, so that columns meet in different orders and none lies in its own.
const STRIDES: [usize; 6] = [617, 239, 431, 127, 881, 349];

/// Correlation from which on a column lies in order in the sample too, so that a monotonic expression of it does.
const IN_ORDER: f32 = 0.9;

/// The values of one column, as its statistics have them.
#[derive(Debug)]
struct Values {
    null_frac: f64,
    common: Vec<(String, f64)>,
    bounds: Vec<String>,
    in_order: bool,
    /// Values between two bounds can be told.
    is_scale: bool,
}

impl Values {
    fn of(column: &Column<'_>) -> Option<Self> {
        let row = column.row;
        if column.type_name == "tsvector" {
            return Self::of_words(row);
        }
        let texts = |kind| {
            row.slot(kind)
                .and_then(|slot| slot.values.as_ref())
                .map(|values| {
                    values
                        .elements
                        .iter()
                        .flatten()
                        .cloned()
                        .collect::<Vec<_>>()
                })
                .unwrap_or_default()
        };
        let frequencies = row
            .slot(SlotKind::MostCommonValues)
            .and_then(|slot| slot.numbers.clone())
            .unwrap_or_default();
        let common: Vec<(String, f64)> = texts(SlotKind::MostCommonValues)
            .into_iter()
            .zip(frequencies.into_iter().map(f64::from))
            .collect();
        let bounds = texts(SlotKind::Histogram);
        let null_frac = f64::from(row.null_frac);
        let correlation = row
            .slot(SlotKind::Correlation)
            .and_then(|slot| slot.numbers.as_ref()?.first().copied());
        (null_frac >= 1.0 || !common.is_empty() || !bounds.is_empty()).then_some(Self {
            null_frac,
            common,
            bounds,
            in_order: correlation.is_some_and(|correlation| correlation > IN_ORDER),
            is_scale: scale(&column.type_name).is_some(),
        })
    }

    /// Documents of words as frequent as the statistics of elements say.
    fn of_words(row: &StatisticRow) -> Option<Self> {
        let slot = row.slot(SlotKind::MostCommonElements)?;
        let words = &slot.values.as_ref()?.elements;
        let frequencies = slot.numbers.as_ref()?;
        let bounds = (0..ROWS)
            .map(|at| {
                let words = words.iter().flatten().zip(frequencies).enumerate();
                let chosen = words.filter(|(word, (_, frequency))| {
                    // low-discrepancy: each word stands in its share of the documents, apart from others
                    let u = (at as f64 * GOLDEN + *word as f64 * GOLDEN * GOLDEN).fract();
                    u < f64::from(**frequency)
                });
                let quoted: Vec<String> = chosen
                    .map(|(_, (word, _))| {
                        format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
                    })
                    .collect();
                quoted.join(" ")
            })
            .collect();
        Some(Self {
            null_frac: f64::from(row.null_frac),
            common: Vec::new(),
            bounds,
            in_order: false,
            is_scale: false,
        })
    }

    /// Rows of a sample that holds each bound once.
    fn n_rows(&self) -> Option<f64> {
        let common: f64 = self.common.iter().map(|(_, share)| share).sum();
        let rest = 1.0 - self.null_frac - common;
        let each = if self.is_scale { PER_BUCKET } else { 1.0 };
        (!self.bounds.is_empty() && rest > 0.005).then(|| each * self.bounds.len() as f64 / rest)
    }

    /// Values by rows, as the two ends between which each lies.
    fn draw(&self, n: usize, stride: usize) -> [Vec<Option<String>>; 2] {
        (0..n)
            .map(|at| {
                let u = ((at * stride % n) as f64 + 0.5) / n as f64;
                self.at(u).unzip()
            })
            .collect::<(Vec<_>, Vec<_>)>()
            .into()
    }

    /// The value at a share of all rows: NULLs, then common values, then the histogram.
    fn at(&self, u: f64) -> Option<(String, String)> {
        let mut left = u - self.null_frac;
        if left < 0.0 {
            return None;
        }
        for (value, share) in &self.common {
            left -= share;
            if left < 0.0 {
                return Some((value.clone(), value.clone()));
            }
        }
        let common: f64 = self.common.iter().map(|(_, share)| share).sum();
        let rest = (1.0 - self.null_frac - common).max(1e-9);
        let last = match self.bounds.len() {
            0 => {
                let value = self.common.last()?.0.clone();
                return Some((value.clone(), value));
            }
            n => n - 1,
        };
        let at = ((left / rest * self.bounds.len() as f64) as usize).min(last);
        let next = if self.is_scale {
            (at + 1).min(last)
        } else {
            at
        };
        Some((self.bounds[at].clone(), self.bounds[next].clone()))
    }
}

/// Rows between two bounds of a histogram of numbers or times.
const PER_BUCKET: f64 = 12.0;

/// How a value between two others is worked out.
#[derive(Debug, Clone, Copy)]
enum Scale {
    /// Rounded to whole numbers.
    Whole,
    Real,
    Days,
    Time,
}

fn scale(type_name: &str) -> Option<Scale> {
    match type_name {
        "smallint" | "integer" | "bigint" => Some(Scale::Whole),
        "real" | "double precision" => Some(Scale::Real),
        "date" => Some(Scale::Days),
        "timestamp without time zone" | "timestamp with time zone" => Some(Scale::Time),
        name if name.starts_with("numeric(") => Some(Scale::Real),
        _ => None,
    }
}

/// SQL of a value between two texts, a share `u` of the way.
fn between(type_name: &str, low: &str, high: &str) -> String {
    let sql = match scale(type_name) {
        None => return format!("{low}::{type_name}"),
        Some(Scale::Whole) => {
            format!("floor({low}::float8 + ({high}::float8 - {low}::float8) * u)")
        }
        Some(Scale::Real) => format!("({low}::float8 + ({high}::float8 - {low}::float8) * u)"),
        Some(Scale::Days) => {
            format!("({low}::date + floor(({high}::date - {low}::date) * u)::int)")
        }
        Some(Scale::Time) => {
            format!("({low}::{type_name} + ({high}::{type_name} - {low}::{type_name}) * u)")
        }
    };
    // infinities have no distance
    format!("CASE WHEN {low} = {high} THEN {low}::{type_name} ELSE {sql}::{type_name} END")
}

/// The golden ratio's fraction.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// As many as the column with the fewest bounds can fill without repeating one.
fn n_rows(values: &[Values]) -> usize {
    let fewest = values
        .iter()
        .filter_map(Values::n_rows)
        .fold(f64::INFINITY, f64::min);
    let n = if fewest.is_finite() {
        fewest.round() as usize
    } else {
        ROWS
    };
    let n = n.clamp(MIN_ROWS, MAX_ROWS);
    // coprime with every stride
    (n..2 * n)
        .find(|n| STRIDES.iter().all(|stride| n % stride != 0))
        .unwrap_or(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(null_frac: f64, common: &[(&str, f64)], n_bounds: usize) -> Values {
        Values {
            null_frac,
            common: common
                .iter()
                .map(|(v, share)| ((*v).to_owned(), *share))
                .collect(),
            bounds: (0..n_bounds).map(|at| format!("b{at}")).collect(),
            in_order: false,
            is_scale: false,
        }
    }

    #[test]
    fn a_sample_has_the_shares_of_the_statistics_and_each_bound_once() {
        let values = values(0.1, &[("often", 0.4)], 100);
        let n = n_rows(std::slice::from_ref(&values));
        assert!((190..=210).contains(&n), "{n}");
        for stride in STRIDES {
            let [drawn, _] = values.draw(n, stride);
            let count =
                |value: Option<&str>| drawn.iter().filter(|v| v.as_deref() == value).count();
            assert!((18..=22).contains(&count(None)));
            assert!((78..=82).contains(&count(Some("often"))));
            assert!(count(Some("b7")) <= 2 && count(Some("b50")) >= 1);
        }
    }

    #[test]
    fn columns_without_values_have_no_sample() {
        let row = StatisticRow {
            n_distinct: -1.0,
            ..StatisticRow::default()
        };
        let column = Column {
            name: "a".into(),
            type_name: "text".into(),
            row: &row,
        };
        assert!(Values::of(&column).is_none());
    }

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
}
