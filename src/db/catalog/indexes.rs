//! `pg_index`: definitions part by part, state, size and usage.
//!
//! The server sends numbers; names, operator classes and plain definitions are put together here. `pg_get_indexdef` for every index would
//! be half of the whole catalog's cost (0.1 ms each), so it is asked only for those that are more than a list of columns.

use hashbrown::{HashMap, HashSet};
use tokio_postgres::{Row, types::Type};

use super::{
    MAX_ROWS,
    columns::{Attribute, collation_names},
    opclasses::Opclasses,
    without_outer_parentheses,
};
use crate::{
    catalog::{Direction, Index, IndexDef, IndexKey, IndexUsage, KeyTarget, Nulls, Relation},
    db::{
        audited::Audited,
        error::{DbError, DbErrorKind},
        rows::Columns,
    },
    sql::quote_identifier,
};

const READING: &str = "reading indexes";

/// `indoption` bits (`INDOPTION_DESC`, `INDOPTION_NULLS_FIRST` in `pg_index.h`).
const OPTION_DESC: i16 = 1;
const OPTION_NULLS_FIRST: i16 = 2;

/// First version with `last_idx_scan`.
const LAST_SCAN: u32 = 160_000;
/// First version with NULLS NOT DISTINCT.
const NULLS_NOT_DISTINCT: u32 = 150_000;

/// Reads all indexes and hangs them on their relations (found by `at`, oid → position), sorted by name.
pub(super) async fn add(
    audited: &Audited,
    relations: &mut [Relation],
    at: &HashMap<u32, usize>,
    attributes: &[Attribute],
    unread: &mut Vec<String>,
) -> Result<(), DbError> {
    let raw = read(audited, unread).await?;
    let collations = raw.iter().flat_map(|raw| raw.collations.iter().copied());
    let names = Names {
        attributes: attributes
            .iter()
            .map(|a| ((a.relation, a.number), a))
            .collect(),
        opclasses: Opclasses::read(audited).await?,
        collations: collation_names(audited, collations).await?,
    };
    let constraints = Constraints::read(audited).await?;
    let mut indexes: Vec<(usize, Index)> = Vec::with_capacity(raw.len());
    let mut to_ask = Vec::new();
    for raw in raw {
        let Some(at) = at.get(&raw.table).copied() else {
            continue;
        };
        let index = raw.resolve(&names, &constraints, &relations[at]);
        if index.full_definition.is_empty() {
            to_ask.push(index.oid);
        }
        indexes.push((at, index));
    }
    let definitions = definitions(audited, &to_ask).await?;
    for (at, mut index) in indexes {
        if let Some(definition) = definitions.get(&index.oid) {
            index.full_definition.clone_from(definition);
        }
        let relation = &mut relations[at];
        relation.usage.n_index_scans += index.usage.n_scans;
        relation.indexes.push(index);
    }
    Ok(())
}

async fn read(audited: &Audited, unread: &mut Vec<String>) -> Result<Vec<Raw>, DbError> {
    let rows = match query(audited, SIZE).await {
        Err(error) if error.kind() == DbErrorKind::Timeout => {
            unread.push(
                "sizes of indexes now: a table is locked, sizes of the last ANALYZE are used"
                    .to_owned(),
            );
            query(audited, SIZE_THEN).await?
        }
        rows => rows?,
    };
    rows.iter().map(Raw::read).collect()
}

/// An index of less than a megabyte at its last VACUUM, ANALYZE or build isn't measured: every size is a system call and a lock.
const SIZE: &str = "CASE WHEN c.relpages BETWEEN 1 AND 127 THEN c.relpages::int8 * current_setting('block_size')::int8 ELSE pg_relation_size(c.oid) END";
const SIZE_THEN: &str = "c.relpages::int8 * current_setting('block_size')::int8";

async fn query(audited: &Audited, size: &str) -> Result<Vec<Row>, DbError> {
    let guarded = audited.begin().await?;
    let sql = indexes_sql(audited.version_num(), size);
    let rows = guarded
        .query(READING, &sql, &[(&MAX_ROWS, Type::INT8)])
        .await;
    if rows.is_err() {
        guarded.end().await.ok();
        return rows;
    }
    guarded.end().await?;
    rows
}

fn indexes_sql(version_num: u32, size: &str) -> String {
    let last_scan = if version_num >= LAST_SCAN {
        "(extract(epoch FROM pg_stat_get_lastscan(c.oid)) * 1000000)::int8"
    } else {
        "NULL::int8"
    };
    let nulls_not_distinct = if version_num >= NULLS_NOT_DISTINCT {
        "i.indnullsnotdistinct"
    } else {
        "false"
    };
    format!(
        "SELECT /* pgassay */ i.indrelid, c.oid, c.relname::text, m.oid, m.amname::text, i.indisunique, i.indisprimary, i.indisexclusion, \
         i.indisvalid, i.indisready, i.indisreplident, c.relkind = 'I' OR c.relispartition, \
         i.indnkeyatts, i.indoption::int2[], i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[], \
         c.reloptions IS NOT NULL OR c.reltablespace <> 0 OR {nulls_not_distinct}, \
         CASE WHEN i.indexprs IS NOT NULL THEN ARRAY(SELECT pg_get_indexdef(c.oid, g, true) FROM generate_series(1, i.indnkeyatts::int4) g ORDER BY g) END, \
         pg_get_expr(i.indpred, i.indrelid, true), CASE WHEN c.relkind = 'i' THEN {size} ELSE 0 END, \
         pg_stat_get_numscans(c.oid), pg_stat_get_tuples_returned(c.oid), pg_stat_get_tuples_fetched(c.oid), {last_scan} \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_am m ON m.oid = c.relam \
         WHERE left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema' \
         ORDER BY c.relname COLLATE \"C\", c.oid LIMIT $1"
    )
}

/// Full definitions of these indexes.
async fn definitions(audited: &Audited, oids: &[u32]) -> Result<HashMap<u32, String>, DbError> {
    let sql = "SELECT /* pgassay */ u.oid, pg_get_indexdef(u.oid) FROM unnest($1) AS u(oid)";
    let guarded = audited.begin().await?;
    let rows = guarded
        .query(READING, sql, &[(&oids, Type::OID_ARRAY)])
        .await?;
    guarded.end().await?;
    let pair = |row| {
        let mut columns = Columns::of(row, READING);
        // NULL when the index was dropped meanwhile
        Ok((
            columns.next()?,
            columns.next::<Option<String>>()?.unwrap_or_default(),
        ))
    };
    rows.iter().map(pair).collect()
}

/// What oids and numbers stand for.
#[derive(Debug)]
struct Names<'a> {
    attributes: HashMap<(u32, i16), &'a Attribute>,
    opclasses: Opclasses,
    collations: HashMap<u32, String>,
}

/// Which indexes belong to constraints, and which ones are being built.
#[derive(Debug, Default)]
struct Constraints {
    owner: HashMap<u32, String>,
    referenced: HashSet<u32>,
    building: HashSet<u32>,
}

impl Constraints {
    async fn read(audited: &Audited) -> Result<Self, DbError> {
        let sql = "SELECT /* pgassay */ k.conindid, CASE WHEN k.contype <> 'f' THEN k.conname::text END FROM pg_constraint k \
            WHERE k.conindid <> 0 AND k.contype IN ('p', 'u', 'x', 'f')";
        let guarded = audited.begin().await?;
        let rows = guarded.query("reading constraints", sql, &[]).await?;
        guarded.end().await?;
        let mut constraints = Self::default();
        for row in &rows {
            let mut columns = Columns::of(row, "reading constraints");
            let index = columns.next()?;
            match columns.next()? {
                Some(name) => drop(constraints.owner.insert(index, name)),
                None => drop(constraints.referenced.insert(index)),
            }
        }
        let sql = "SELECT /* pgassay */ b.index_relid FROM pg_stat_progress_create_index b WHERE b.index_relid <> 0";
        let guarded = audited.begin().await?;
        let rows = guarded.query("reading index builds", sql, &[]).await?;
        guarded.end().await?;
        constraints.building = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        Ok(constraints)
    }
}

/// One `pg_index` row.
#[derive(Debug)]
struct Raw {
    table: u32,
    method: u32,
    n_keys: usize,
    options: Vec<i16>,
    /// Key and INCLUDE columns by number; 0 is an expression.
    columns: Vec<i16>,
    opclasses: Vec<u32>,
    collations: Vec<u32>,
    /// Storage parameters, a tablespace or NULLS NOT DISTINCT.
    has_extras: bool,
    /// All keys as SQL, when one of them is an expression.
    expressions: Option<Vec<String>>,
    /// What needs no names.
    index: Index,
}

impl Raw {
    fn read(row: &Row) -> Result<Self, DbError> {
        let mut columns = Columns::of(row, READING);
        let table = columns.next()?;
        let mut index = Index {
            oid: columns.next()?,
            ..Index::default()
        };
        index.def.name = columns.next()?;
        let method = columns.next()?;
        index.def.method = columns.next()?;
        index.def.unique = columns.next()?;
        index.primary = columns.next()?;
        index.exclusion = columns.next()?;
        index.valid = columns.next()?;
        index.ready = columns.next()?;
        index.replica_identity = columns.next()?;
        index.partitioned = columns.next()?;
        let mut raw = Self {
            table,
            method,
            n_keys: usize::try_from(columns.next::<i16>()?).unwrap_or(0),
            options: columns.next()?,
            columns: columns.next()?,
            opclasses: columns.next()?,
            collations: columns.next()?,
            has_extras: columns.next()?,
            expressions: columns.next()?,
            index,
        };
        let predicate: Option<String> = columns.next()?;
        raw.index.def.predicate = predicate.map(|text| without_outer_parentheses(&text).to_owned());
        raw.index.size_bytes = columns.next_count()?;
        raw.index.usage = IndexUsage {
            n_scans: columns.next_count()?,
            n_entries_read: columns.next_count()?,
            n_rows_fetched: columns.next_count()?,
            last_scan_us: columns.next()?,
        };
        Ok(raw)
    }

    fn resolve(self, names: &Names<'_>, constraints: &Constraints, table: &Relation) -> Index {
        let keys = (0..self.n_keys).map(|at| self.key(at, names)).collect();
        let include = self.columns.iter().skip(self.n_keys).filter_map(|number| {
            let attribute = names.attributes.get(&(self.table, *number))?;
            Some(attribute.column.name.clone())
        });
        let include = include.collect();
        let is_plain = self.is_plain();
        let mut index = self.index;
        index.def.table = table.name.clone();
        index.def.keys = keys;
        index.def.include = include;
        index.constraint = constraints.owner.get(&index.oid).cloned();
        index.supports_foreign_key = constraints.referenced.contains(&index.oid);
        index.building = constraints.building.contains(&index.oid);
        if is_plain && index.def.keys.iter().all(is_default) {
            index.full_definition = plain_definition(&index.def);
        }
        index
    }

    /// Nothing but columns: what [`plain_definition`] can print. Partitioned parents print ONLY.
    fn is_plain(&self) -> bool {
        let has_expression = self.expressions.is_some() || self.index.def.predicate.is_some();
        let is_btree = self.index.def.method == "btree";
        is_btree && !has_expression && !self.has_extras && !self.index.partitioned
    }

    fn key(&self, at: usize, names: &Names<'_>) -> IndexKey {
        let number = self.columns.get(at).copied().unwrap_or(0);
        let attribute = names.attributes.get(&(self.table, number));
        let option = self.options.get(at).copied().unwrap_or(0);
        let opclass = self.opclasses.get(at).copied().unwrap_or(0);
        let collation = self.collations.get(at).copied().unwrap_or(0);
        let has_own_collation = attribute.is_some_and(|a| a.collation_oid != collation);
        IndexKey {
            target: match attribute {
                Some(attribute) => KeyTarget::Column(attribute.column.name.clone()),
                None => KeyTarget::Expression(self.expression(at)),
            },
            opclass: names.opclasses.unless_default(
                opclass,
                self.method,
                attribute.map(|a| a.type_oid),
            ),
            collation: names
                .collations
                .get(&collation)
                .filter(|_| has_own_collation)
                .cloned(),
            direction: if option & OPTION_DESC == 0 {
                Direction::Asc
            } else {
                Direction::Desc
            },
            nulls: if option & OPTION_NULLS_FIRST == 0 {
                Nulls::Last
            } else {
                Nulls::First
            },
        }
    }

    fn expression(&self, at: usize) -> String {
        let text = self.expressions.as_ref().and_then(|all| all.get(at));
        text.map_or_else(String::new, |text| {
            without_outer_parentheses(text).to_owned()
        })
    }
}

fn is_default(key: &IndexKey) -> bool {
    key.opclass.is_none() && key.collation.is_none()
}

/// What `pg_get_indexdef` prints of a plain b-tree.
fn plain_definition(def: &IndexDef) -> String {
    let keys: Vec<String> = def.keys.iter().map(IndexKey::to_sql).collect();
    let unique = if def.unique { "UNIQUE " } else { "" };
    let mut sql = format!(
        "CREATE {unique}INDEX {} ON {} USING btree ({})",
        quote_identifier(&def.name),
        def.table.to_sql(),
        keys.join(", ")
    );
    if !def.include.is_empty() {
        let columns: Vec<String> = def.include.iter().map(|c| quote_identifier(c)).collect();
        sql.push_str(&format!(" INCLUDE ({})", columns.join(", ")));
    }
    sql
}
