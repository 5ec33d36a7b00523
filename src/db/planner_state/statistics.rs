//! Column statistics: `pg_statistic` itself for a superuser, else what `pg_stats` shows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::{DbError, Reader, USER_SCHEMA, gap, operators::Operators};
use crate::catalog::{
    RelationName,
    planner::{
        ColumnStatistics, Slot, SlotKind, SlotValues, StatisticRow, StatisticsTarget, parse_array,
    },
};

/// Relations asked for at once: bounds the answer (a histogram of long texts is up to 100 kB a column) below the guard's limit.
const RELATIONS_PER_QUERY: usize = 250;

/// Slots of a row of `pg_statistic` (`STATISTIC_NUM_SLOTS`).
pub(super) const N_SLOTS: usize = 5;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<Vec<ColumnStatistics>, DbError> {
    let mut found = if reader.is_superuser {
        from_catalog(reader).await?
    } else {
        from_view(reader).await?
    };
    found.sort_by(|a, b| a.relation.cmp(&b.relation));
    Ok(found)
}

/// A row of `pg_statistic` as [`row_json`] writes it.
#[derive(Debug, Deserialize)]
pub(super) struct RawRow {
    null_frac: f32,
    width: i32,
    n_distinct: f32,
    slots: Vec<RawSlot>,
}

#[derive(Debug, Deserialize)]
struct RawSlot {
    kind: i16,
    operator: u32,
    collation: u32,
    numbers: Option<Vec<f32>>,
    values: Option<String>,
    element: Option<u32>,
}

impl RawRow {
    /// OIDs of operators and collations that it names.
    pub(super) fn oids(&self) -> impl Iterator<Item = (u32, u32)> {
        self.slots
            .iter()
            .map(|slot| (slot.operator, slot.collation))
    }

    pub(super) fn resolve(self, operators: &Operators, names: &Names) -> StatisticRow {
        let slots = self
            .slots
            .into_iter()
            .filter(|slot| slot.kind != 0)
            .map(|slot| {
                let element = slot.element.map(|oid| operators.name(operators.base(oid)));
                Slot {
                    kind: slot.kind,
                    operator: names.operators.get(&slot.operator).cloned(),
                    collation: names.collations.get(&slot.collation).cloned(),
                    numbers: slot.numbers,
                    values: slot.values.zip(element).and_then(|(text, type_name)| {
                        let elements = parse_array(&text)?;
                        Some(SlotValues {
                            type_name,
                            elements,
                        })
                    }),
                }
            });
        StatisticRow {
            null_frac: self.null_frac,
            width: self.width,
            n_distinct: self.n_distinct,
            slots: slots.collect(),
            is_faked: false,
        }
    }
}

/// JSON of a `pg_statistic` row under that alias, whose values' type `element` tells for a slot, as SQL.
pub(super) fn row_json(alias: &str, element: impl Fn(usize) -> String) -> String {
    let slots: Vec<String> = (1..=N_SLOTS)
        .map(|i| {
            format!(
                "json_build_object('kind', {alias}.stakind{i}, 'operator', {alias}.staop{i}::int8, 'collation', {alias}.stacoll{i}::int8, 'numbers', {alias}.stanumbers{i}, \
                 'values', {alias}.stavalues{i}::text, 'element', CASE WHEN {alias}.stavalues{i} IS NOT NULL THEN {} END)",
                element(i)
            )
        })
        .collect();
    format!(
        "json_build_object('null_frac', {alias}.stanullfrac, 'width', {alias}.stawidth, 'n_distinct', {alias}.stadistinct, 'slots', json_build_array({}))",
        slots.join(", ")
    )
}

/// The element type of an `anyarray` stands in bytes 9 to 12 of its binary form.
pub(super) fn element_by_bytes(alias: &str, slot: usize) -> String {
    format!(
        "('x' || encode(substring(array_send({alias}.stavalues{slot}) FROM 9 FOR 4), 'hex'))::bit(32)::int"
    )
}

/// The element type of a slot of `s`, a row on the column `a`. Types without a binary form (those of isn and seg, say) can't tell it by bytes; theirs
/// follows from the column's: elements of an array (kinds 4 and 5), lengths of a range (6), else the column's own.
fn element_of_column(slot: usize) -> String {
    format!(
        "CASE WHEN a.atttypid <> ALL ($2) THEN {} \
           WHEN s.stakind{slot} = 4 THEN (SELECT typelem FROM pg_type WHERE oid = a.atttypid)::int8 WHEN s.stakind{slot} = 6 THEN 701 ELSE a.atttypid::int8 END",
        element_by_bytes("s", slot)
    )
}

/// Types that have no binary form, or hold a value of one that has none.
async fn without_binary_form(reader: &Reader<'_>) -> Result<Vec<u32>, DbError> {
    let sql = "SELECT to_json(oid::int8)::text FROM (WITH RECURSIVE textual(oid) AS (SELECT oid FROM pg_type WHERE typsend = 0 AND typtype = 'b' \
        UNION SELECT t.oid FROM textual JOIN pg_type t ON t.typbasetype = textual.oid OR t.typelem = textual.oid AND t.typlen = -1 \
          OR t.oid IN (SELECT r.rngtypid FROM pg_range r WHERE r.rngsubtype = textual.oid) \
          OR t.typrelid IN (SELECT a.attrelid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind = 'c' AND a.atttypid = textual.oid)) SELECT oid FROM textual) x";
    reader
        .rows("looking for types without a binary form", sql, &[])
        .await
}

/// What the OIDs in rows of `pg_statistic` stand for. Asked for once: naming an operator in every slot took the server longer than all the rest.
#[derive(Debug, Default)]
pub(super) struct Names {
    operators: BTreeMap<u32, String>,
    collations: BTreeMap<u32, String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    oid: u32,
    name: String,
}

impl Names {
    pub(super) async fn read(
        reader: &Reader<'_>,
        oids: impl Iterator<Item = (u32, u32)>,
    ) -> Result<Self, DbError> {
        let (operators, collations): (BTreeSet<u32>, BTreeSet<u32>) = oids.unzip();
        Ok(Self {
            operators: named(reader, "pg_operator", "regoperator", operators).await?,
            collations: named(reader, "pg_collation", "regcollation", collations).await?,
        })
    }
}

async fn named(
    reader: &Reader<'_>,
    catalog: &str,
    alias: &str,
    oids: BTreeSet<u32>,
) -> Result<BTreeMap<u32, String>, DbError> {
    let sql = format!(
        "SELECT json_build_object('oid', oid::int8, 'name', oid::{alias}::text)::text FROM {catalog} WHERE oid = ANY ($1)"
    );
    let oids: Vec<u32> = oids.into_iter().collect();
    let rows: Vec<Named> = reader
        .rows(
            "naming operators and collations",
            &sql,
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    Ok(rows.into_iter().map(|row| (row.oid, row.name)).collect())
}

#[derive(Debug, Deserialize)]
struct CatalogRow {
    relation: RelationName,
    column: Option<String>,
    key: i16,
    inherited: bool,
    row: RawRow,
}

async fn from_catalog(reader: &mut Reader<'_>) -> Result<Vec<ColumnStatistics>, DbError> {
    let operators = Operators::read(reader).await?;
    let sql = format!(
        "SELECT json_build_object('relation', json_build_object('schema', n.nspname, 'name', c.relname), \
           'column', CASE WHEN c.relkind NOT IN ('i', 'I') THEN a.attname END, 'key', a.attnum, 'inherited', s.stainherit, 'row', {})::text \
         FROM pg_statistic s JOIN pg_class c ON c.oid = s.starelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = s.staattnum AND NOT a.attisdropped \
         WHERE s.starelid = ANY ($1) ORDER BY s.starelid, s.staattnum, s.stainherit",
        row_json("s", element_of_column)
    );
    let textual = without_binary_form(reader).await?;
    let mut found: Vec<CatalogRow> = Vec::new();
    for chunk in relations(reader).await?.chunks(RELATIONS_PER_QUERY) {
        let what = "reading pg_statistic";
        let oids: Vec<u32> = chunk.iter().map(|relation| relation.oid).collect();
        let params: [super::Param<'_>; 2] = [(&oids, Type::OID_ARRAY), (&textual, Type::OID_ARRAY)];
        found.extend(reader.rows::<CatalogRow>(what, &sql, &params).await?);
    }
    let names = Names::read(reader, found.iter().flat_map(|row| row.row.oids())).await?;
    let found = found.into_iter().map(|row| ColumnStatistics {
        relation: row.relation,
        target: row
            .column
            .map_or(StatisticsTarget::Key(row.key), StatisticsTarget::Column),
        inherited: row.inherited,
        row: row.row.resolve(&operators, &names),
    });
    Ok(found.collect())
}

#[derive(Debug, Deserialize)]
struct Relation {
    oid: u32,
    name: String,
}

async fn relations(reader: &Reader<'_>) -> Result<Vec<Relation>, DbError> {
    let sql = format!(
        "SELECT json_build_object('oid', c.oid::int8, 'name', c.relname)::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'm', 'f', 'i', 'I') AND c.relpersistence <> 't' AND {USER_SCHEMA} ORDER BY c.oid"
    );
    reader.rows("listing relations", &sql, &[]).await
}

/// A row of `pg_stats` with the column's types.
#[derive(Debug, Deserialize)]
pub(super) struct ViewRow {
    relation: RelationName,
    column: String,
    is_index: bool,
    key: i16,
    type_oid: u32,
    collation: Option<String>,
    inherited: bool,
    null_frac: f32,
    width: i32,
    n_distinct: f32,
    common: Option<String>,
    common_frequencies: Option<Vec<f32>>,
    histogram: Option<String>,
    correlation: Option<f32>,
    elements: Option<String>,
    element_frequencies: Option<Vec<f32>>,
    element_counts: Option<Vec<f32>>,
    range_lengths: Option<String>,
    range_empty: Option<f32>,
    range_bounds: Option<String>,
}

async fn from_view(reader: &mut Reader<'_>) -> Result<Vec<ColumnStatistics>, DbError> {
    let operators = Operators::read(reader).await?;
    let ranges = if reader.version_num() >= super::RANGES_SHOWN {
        "'range_lengths', s.range_length_histogram::text, 'range_empty', s.range_empty_frac, 'range_bounds', s.range_bounds_histogram::text"
    } else {
        "'range_lengths', NULL, 'range_empty', NULL, 'range_bounds', NULL"
    };
    let sql = format!(
        "SELECT json_build_object('relation', json_build_object('schema', s.schemaname, 'name', s.tablename), 'column', s.attname, \
           'is_index', c.relkind IN ('i', 'I'), 'key', a.attnum, 'type_oid', ({KEY_TYPE})::int8, \
           'collation', CASE WHEN a.attcollation <> 0 THEN a.attcollation::regcollation::text END, 'inherited', s.inherited, \
           'null_frac', s.null_frac, 'width', s.avg_width, 'n_distinct', s.n_distinct, 'common', s.most_common_vals::text, \
           'common_frequencies', s.most_common_freqs, 'histogram', s.histogram_bounds::text, 'correlation', s.correlation, \
           'elements', s.most_common_elems::text, 'element_frequencies', s.most_common_elem_freqs, 'element_counts', s.elem_count_histogram, {ranges})::text \
         FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname \
         LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_opclass o ON o.oid = i.indclass[a.attnum - 1] \
         WHERE c.oid = ANY ($1) AND s.tablename = ANY ($2) AND {USER_SCHEMA} ORDER BY c.oid, a.attnum, s.inherited"
    );
    let mut found = Vec::new();
    for chunk in relations(reader).await?.chunks(RELATIONS_PER_QUERY) {
        let oids: Vec<u32> = chunk.iter().map(|relation| relation.oid).collect();
        // names reach the catalogs below the view, which it would else go through as a whole each time
        let names: Vec<&str> = chunk
            .iter()
            .map(|relation| relation.name.as_str())
            .collect();
        let params: [super::Param<'_>; 2] = [(&oids, Type::OID_ARRAY), (&names, Type::NAME_ARRAY)];
        let rows: Vec<ViewRow> = reader.rows("reading pg_stats", &sql, &params).await?;
        found.extend(rows.into_iter().map(|row| row.resolve(&operators)));
    }
    hidden(reader).await?;
    Ok(found)
}

/// The type of what is indexed: an index's own column may have its operator class's storage type instead (`opckeytype`: integers for
/// trigrams, elements for arrays).
const KEY_TYPE: &str = "CASE WHEN coalesce(o.opckeytype, 0) = 0 THEN a.atttypid WHEN o.opcintype = 'anyarray'::regtype \
    THEN coalesce((SELECT y.typarray FROM pg_type y WHERE y.oid = a.atttypid), 0) ELSE o.opcintype END";

/// Columns whose statistics the role may not see.
async fn hidden(reader: &mut Reader<'_>) -> Result<(), DbError> {
    let sql = format!(
        "SELECT count(*)::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND {USER_SCHEMA} \
         AND NOT has_table_privilege(c.oid, 'SELECT') AND NOT has_any_column_privilege(c.oid, 'SELECT')"
    );
    let n: Vec<usize> = reader.rows("counting hidden tables", &sql, &[]).await?;
    if let Some(n) = n.first().filter(|n| **n > 0) {
        reader.gaps.push(gap(
            "column statistics of tables that the role may not read",
            *n,
            "plans on these tables are guesses; grant SELECT or pg_read_all_data",
        ));
    }
    Ok(())
}

impl ViewRow {
    /// The type of what the row is about, and the collation that goes with it.
    pub(super) fn set_type(&mut self, oid: u32, operators: &Operators) {
        let is_text = ["text", "character varying", "character"]
            .contains(&operators.name(operators.base(oid)).as_str());
        self.type_oid = oid;
        self.collation = is_text.then(|| "\"default\"".to_owned());
    }

    pub(super) fn resolve(self, operators: &Operators) -> ColumnStatistics {
        let slots = self.slots(operators);
        ColumnStatistics {
            target: if self.is_index {
                StatisticsTarget::Key(self.key)
            } else {
                StatisticsTarget::Column(self.column)
            },
            relation: self.relation,
            inherited: self.inherited,
            row: StatisticRow {
                null_frac: self.null_frac,
                width: self.width,
                n_distinct: self.n_distinct,
                slots,
                is_faked: false,
            },
        }
    }

    fn slots(&self, operators: &Operators) -> Vec<Slot> {
        let base = operators.base(self.type_oid);
        let element = operators.element(self.type_oid);
        let values = |text: &Option<String>, oid: u32| {
            let elements = parse_array(text.as_deref()?)?;
            Some(SlotValues {
                type_name: operators.name(oid),
                elements,
            })
        };
        let slot = |kind: SlotKind, operator, numbers: Option<Vec<f32>>, values| Slot {
            kind: kind.number(),
            operator,
            collation: self.collation.clone(),
            numbers,
            values,
        };
        let mut slots = Vec::new();
        if self.common.is_some() {
            slots.push(slot(
                SlotKind::MostCommonValues,
                operators.equal(base),
                self.common_frequencies.clone(),
                values(&self.common, base),
            ));
        }
        if self.histogram.is_some() {
            slots.push(slot(
                SlotKind::Histogram,
                operators.less(base),
                None,
                values(&self.histogram, base),
            ));
        }
        if let Some(correlation) = self.correlation {
            slots.push(slot(
                SlotKind::Correlation,
                operators.less(base),
                Some(vec![correlation]),
                None,
            ));
        }
        if self.elements.is_some() {
            let mut common = slot(
                SlotKind::MostCommonElements,
                operators.equal(element),
                self.element_frequencies.clone(),
                values(&self.elements, element),
            );
            // lexemes have no collation of their own: compute_tsvector_stats takes the default one
            common.collation = common.collation.or_else(|| {
                Some("\"default\"".to_owned()).filter(|_| operators.name(element) == "text")
            });
            slots.push(common);
        }
        if let Some(counts) = &self.element_counts {
            slots.push(slot(
                SlotKind::DistinctElements,
                operators.equal(element),
                Some(counts.clone()),
                None,
            ));
        }
        slots.extend(self.range_slots(operators, base));
        slots.truncate(N_SLOTS);
        slots
    }

    fn range_slots(&self, operators: &Operators, base: u32) -> Vec<Slot> {
        const FLOAT8: &str = "double precision";
        let mut slots = Vec::new();
        if let Some(bounds) = self.range_bounds.as_deref().and_then(parse_array) {
            slots.push(Slot {
                kind: SlotKind::RangeBounds.number(),
                values: Some(SlotValues {
                    type_name: operators.name(base),
                    elements: bounds,
                }),
                ..Slot::default()
            });
        }
        if let Some(lengths) = self.range_lengths.as_deref().and_then(parse_array) {
            slots.push(Slot {
                kind: SlotKind::RangeLength.number(),
                operator: Some("<(double precision,double precision)".to_owned()),
                numbers: self.range_empty.map(|share| vec![share]),
                values: Some(SlotValues {
                    type_name: FLOAT8.to_owned(),
                    elements: lengths,
                }),
                ..Slot::default()
            });
        }
        slots
    }
}
