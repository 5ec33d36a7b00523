//! Writes statistics into the twin's catalogs, as its bootstrap superuser.
//!
//! Plain DML on `pg_statistic` works on every version; `pg_restore_attribute_stats` (18+) would be a second path for the same rows. All values
//! are bound parameters. Nothing of the snapshot's own code runs here: input functions of built-in types and of extensions only, because
//! domains get their checks later.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    TwinError, combinations,
    key::{KeyImage, hex},
};
use crate::{
    catalog::planner::{
        ColumnStatistics, CommonCombinations, Endpoint, ExtendedStatistics, IndexObject, McvBlob,
        PhysicalState, SlotKind, StatisticRow, StatisticsTarget,
        extended::{Columns, McvLayout, encode_dependencies, encode_distinct},
        format_array,
    },
    db::{OwnError, OwnedSession},
};

/// Rows sent at once; a failing batch is halved until the failing row is alone.
const BATCH: usize = 200;

/// `STATISTIC_NUM_SLOTS`
const N_SLOTS: usize = 5;

/// Casts that exist only while extended statistics are written.
const CASTS: [&str; 3] = ["pg_ndistinct", "pg_dependencies", "pg_mcv_list"];

/// Injects everything that lives in catalogs. Returns what could not be written.
pub(super) async fn statistics(
    session: &OwnedSession,
    columns: &[ColumnStatistics],
    extended: &[ExtendedStatistics],
    endpoints: &[Endpoint],
) -> Result<Vec<String>, TwinError> {
    let mut skipped = Vec::new();
    let ends: BTreeMap<_, _> = endpoints
        .iter()
        .map(|end| ((&end.table, end.column.as_str()), end))
        .collect();
    let records: Vec<(String, Value)> = columns
        .iter()
        .map(|stats| {
            let mut record = row_record(&stats.row);
            record["schema"] = json!(stats.relation.schema);
            record["name"] = json!(stats.relation.name);
            record["inherited"] = json!(stats.inherited);
            match &stats.target {
                StatisticsTarget::Column(column) => {
                    record["column"] = json!(column);
                    let end = ends.get(&(&stats.relation, column.as_str()));
                    if let Some(end) = end.filter(|end| !stats.inherited && !is_writable(end)) {
                        stretch(&mut record, &stats.row, end);
                    }
                }
                StatisticsTarget::Key(key) => record["key"] = json!(key),
            }
            (format!("statistics of {}", stats.relation), record)
        })
        .collect();
    let sql = insert_columns();
    for batch in records.chunks(BATCH) {
        insert(session, &sql, batch, &mut skipped).await?;
    }
    for cast in CASTS {
        let sql = format!("CREATE CAST (bytea AS {cast}) WITHOUT FUNCTION");
        session.batch_execute(&sql).await.map_err(TwinError::own)?;
    }
    for stats in extended {
        if let Err(why) = extended_one(session, stats).await {
            skipped.push(format!("extended statistics {}: {why}", stats.name));
        }
    }
    for cast in CASTS {
        let sql = format!("DROP CAST (bytea AS {cast})");
        session.batch_execute(&sql).await.map_err(TwinError::own)?;
    }
    Ok(skipped)
}

/// Sets `reltuples` and its kin of every relation.
pub(super) async fn counts(
    session: &OwnedSession,
    states: &[PhysicalState],
    major: u16,
) -> Result<(), TwinError> {
    let records: Vec<Value> = states
        .iter()
        .map(|state| {
            json!({
                "schema": state.name.schema, "name": state.name.name, "relpages": state.relpages, "reltuples": state.reltuples,
                "relallvisible": state.relallvisible, "relallfrozen": state.relallfrozen.unwrap_or(0),
            })
        })
        .collect();
    let frozen = if major >= 18 {
        ", relallfrozen = x.relallfrozen"
    } else {
        ""
    };
    // before 14 a table that was never analysed has 0 tuples, and -1 would be taken for a number
    let reltuples = if major >= 14 {
        "x.reltuples"
    } else {
        "greatest(x.reltuples, 0)"
    };
    let sql = format!(
        "UPDATE pg_class c SET relpages = x.relpages, reltuples = {reltuples}, relallvisible = x.relallvisible, relispopulated = true{frozen} \
         FROM jsonb_to_recordset($1::text::jsonb) AS x(schema text, name text, relpages int4, reltuples float4, relallvisible int4, relallfrozen int4), \
         pg_namespace n WHERE n.nspname = x.schema AND c.relnamespace = n.oid AND c.relname = x.name AND c.oid >= 16384"
    );
    session
        .execute(&sql, &[&Value::Array(records).to_string()])
        .await
        .map_err(TwinError::own)?;
    Ok(())
}

/// Inserts a batch; when the server refuses it, halves, until a single row is refused and listed.
async fn insert(
    session: &OwnedSession,
    sql: &str,
    batch: &[(String, Value)],
    skipped: &mut Vec<String>,
) -> Result<(), TwinError> {
    let mut work = vec![batch];
    while let Some(part) = work.pop() {
        let records: Vec<&Value> = part.iter().map(|(_, record)| record).collect();
        let text = serde_json::to_string(&records).unwrap_or_default();
        let result = session.execute(sql, &[&text]).await;
        match result {
            Ok(n) if (n as usize) < part.len() => skipped.push(format!(
                "{} column statistics: no such column here, or of another type",
                part.len() - n as usize
            )),
            Ok(_) => {}
            Err(error) if error.is_closed() => return Err(TwinError::own(error)),
            Err(error) if part.len() == 1 => {
                skipped.push(format!("{}: {}", part[0].0, reason(&error)));
            }
            Err(_) => {
                let (left, right) = part.split_at(part.len() / 2);
                work.extend([left, right]);
            }
        }
    }
    Ok(())
}

/// The server's words in one line.
pub(super) fn reason(error: &OwnError) -> String {
    match error.as_db_error() {
        Some(db) => db.message().to_owned(),
        None => error.to_string(),
    }
}

/// A `pg_statistic` row as flat JSON: `k1`, `o1`, `c1`, `n1`, `v1`, `t1`, …
fn row_record(row: &StatisticRow) -> Value {
    let mut record =
        json!({ "null_frac": row.null_frac, "width": row.width, "n_distinct": row.n_distinct });
    for i in 1..=N_SLOTS {
        let slot = row.slots.get(i - 1);
        record[format!("k{i}")] = json!(slot.map_or(0, |slot| slot.kind));
        let Some(slot) = slot else { continue };
        record[format!("o{i}")] = json!(slot.operator);
        record[format!("c{i}")] = json!(slot.collation);
        record[format!("n{i}")] = json!(slot.numbers.as_ref().map(|numbers| float_array(numbers)));
        if let Some(values) = &slot.values {
            record[format!("v{i}")] = json!(format_array(&values.elements));
            record[format!("t{i}")] = json!(values.type_name);
        }
    }
    record
}

fn float_array(numbers: &[f32]) -> String {
    let texts: Vec<String> = numbers.iter().map(f32::to_string).collect();
    format!("{{{}}}", texts.join(","))
}

/// Can the ends be written into an index page, where the planner looks for them?
fn is_writable(end: &Endpoint) -> bool {
    [&end.min, &end.max]
        .iter()
        .all(|text| KeyImage::parse(&end.type_name, text).is_some())
}

/// Puts the real ends in place of the histogram's: for types whose keys the twin can't write into an index page.
fn stretch(record: &mut Value, row: &StatisticRow, end: &Endpoint) {
    let Some(at) = row
        .slots
        .iter()
        .position(|slot| slot.kind == SlotKind::Histogram.number())
    else {
        return;
    };
    let Some(values) = row.slots[at]
        .values
        .as_ref()
        .filter(|values| values.elements.len() > 1)
    else {
        return;
    };
    let mut elements = values.elements.clone();
    let last = elements.len() - 1;
    elements[0] = Some(end.min.clone());
    elements[last] = Some(end.max.clone());
    record[format!("v{}", at + 1)] = json!(format_array(&elements));
}

const RECORD_HEAD: &str = "null_frac float4, width int4, n_distinct float4";

fn record_columns() -> String {
    let slots: Vec<String> = (1..=N_SLOTS)
        .map(|i| format!("k{i} int2, o{i} text, c{i} text, n{i} text, v{i} text, t{i} text"))
        .collect();
    format!("{RECORD_HEAD}, {}", slots.join(", "))
}

/// The 28 columns behind `stainherit`, in the catalog's order.
fn row_expressions() -> String {
    let each =
        |part: &dyn Fn(usize) -> String| (1..=N_SLOTS).map(part).collect::<Vec<_>>().join(", ");
    [
        "x.null_frac, x.width, x.n_distinct".to_owned(),
        each(&|i| format!("x.k{i}")),
        each(&|i| format!("coalesce(x.o{i}::regoperator::oid, 0::oid)")),
        each(&|i| format!("coalesce(x.c{i}::regcollation::oid, 0::oid)")),
        each(&|i| format!("x.n{i}::float4[]")),
        each(&|i| format!("CASE WHEN x.v{i} IS NOT NULL THEN array_in(textout(x.v{i}), x.t{i}::regtype, -1) END")),
    ]
    .join(", ")
}

fn insert_columns() -> String {
    let each = |part: &str| {
        (1..=N_SLOTS)
            .map(|i| format!("{part}{i}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let columns = ["stakind", "staop", "stacoll", "stanumbers", "stavalues"]
        .map(each)
        .join(", ");
    format!(
        "WITH RECURSIVE base(domain, at) AS (SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd' UNION ALL \
           SELECT b.domain, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.at AND t.typtype = 'd') \
         INSERT INTO pg_statistic (starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct, {columns}) \
         SELECT c.oid, coalesce(a.attnum, x.key), x.inherited, {} \
         FROM jsonb_to_recordset($1::text::jsonb) AS x(schema text, name text, \"column\" text, key int2, inherited bool, {}) \
         JOIN pg_namespace n ON n.nspname = x.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = x.name AND c.oid >= 16384 \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = x.\"column\" AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_attribute ka ON ka.attrelid = c.oid AND ka.attnum = x.key LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_opclass o ON o.oid = i.indclass[x.key - 1] \
         CROSS JOIN LATERAL (SELECT CASE WHEN a.attnum IS NOT NULL THEN a.atttypid WHEN coalesce(o.opckeytype, 0) = 0 THEN ka.atttypid WHEN o.opcintype = 'anyarray'::regtype \
           THEN (SELECT y.typarray FROM pg_type y WHERE y.oid = ka.atttypid) ELSE o.opcintype END AS oid) d \
         JOIN pg_type t ON t.oid = coalesce((SELECT b.at FROM base b JOIN pg_type y ON y.oid = b.at AND y.typtype <> 'd' WHERE b.domain = d.oid), d.oid) \
         WHERE {}",
        row_expressions(),
        record_columns(),
        right_types()
    )
}

/// Values of another type than the column's would be taken for such by the planner, which trusts its own catalogs.
fn right_types() -> String {
    let slots: Vec<String> = (1..=N_SLOTS)
        .map(|i| {
            format!(
                "(x.t{i} IS NULL OR CASE x.k{i} WHEN 4 THEN x.t{i}::regtype IN (t.typelem, CASE t.oid WHEN 'tsvector'::regtype THEN 'text'::regtype END) WHEN 6 THEN x.t{i}::regtype = 'float8'::regtype \
                 WHEN 7 THEN x.t{i}::regtype = t.oid OR EXISTS (SELECT FROM pg_range r WHERE r.rngtypid = x.t{i}::regtype AND to_jsonb(r) ->> 'rngmultitypid' = t.oid::text) ELSE x.t{i}::regtype = t.oid END)"
            )
        })
        .collect();
    slots.join(" AND ")
}

/// Columns of one table of the twin.
struct TableColumns(BTreeMap<String, i16>);

impl Columns for TableColumns {
    fn name(&self, number: i16) -> Option<String> {
        self.0
            .iter()
            .find(|(_, known)| **known == number)
            .map(|(name, _)| name.clone())
    }

    fn number(&self, name: &str) -> Option<i16> {
        self.0.get(name).copied()
    }
}

async fn extended_one(session: &OwnedSession, stats: &ExtendedStatistics) -> Result<(), String> {
    let find = "SELECT s.oid, s.stxrelid FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE n.nspname = $1 AND s.stxname = $2";
    let found = session
        .query_opt(find, &[&stats.name.schema, &stats.name.name])
        .await
        .map_err(|error| reason(&error))?
        .ok_or("no such object")?;
    let (oid, table): (u32, u32) = (found.get(0), found.get(1));
    let columns = "SELECT attname::text, attnum FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped";
    let rows = session
        .query(columns, &[&table])
        .await
        .map_err(|error| reason(&error))?;
    let columns = TableColumns(rows.iter().map(|row| (row.get(0), row.get(1))).collect());
    let distinct = non_empty(&stats.n_distinct)
        .map(|groups| encode_distinct(groups, &columns).ok_or("a column is unknown"))
        .transpose()?;
    let dependencies = non_empty(&stats.dependencies)
        .map(|found| encode_dependencies(found, &columns).ok_or("a column is unknown"))
        .transpose()?;
    let of_texts = match &stats.combinations {
        Some(found) => Some(of_texts(session, found).await?),
        None => None,
    };
    let common = match stats.most_common.as_ref().or(of_texts.as_ref()) {
        Some(blob) => Some(common(session, oid, blob).await?),
        None => None,
    };
    let expressions: Vec<Value> = stats
        .expressions
        .iter()
        .zip(1..)
        .map(|(row, at)| {
            let mut record = row_record(row);
            record["at"] = json!(at);
            record
        })
        .collect();
    let with_inherit = has_column(session, "stxdinherit").await?;
    let with_expressions = has_column(session, "stxdexpr").await?;
    session
        .execute(
            &write_extended(with_inherit, with_expressions),
            &[
                &oid,
                &distinct,
                &dependencies,
                &common,
                &Value::Array(expressions).to_string(),
                &stats.inherited,
            ],
        )
        .await
        .map_err(|error| reason(&error))?;
    Ok(())
}

/// `stxdexpr` came with 14, `stxdinherit` with 15.
async fn has_column(session: &OwnedSession, column: &str) -> Result<bool, String> {
    let sql = "SELECT 1 FROM pg_attribute WHERE attrelid = 'pg_statistic_ext_data'::regclass AND attname = $1";
    let found = session.query_opt(sql, &[&column]).await;
    Ok(found.map_err(|error| reason(&error))?.is_some())
}

/// Before 15 CREATE STATISTICS leaves an empty row, which the planner wants to find.
fn write_extended(with_inherit: bool, with_expressions: bool) -> String {
    let mut columns = vec!["stxdndistinct", "stxddependencies", "stxdmcv"];
    let mut values = vec![
        "$2::bytea::pg_ndistinct".to_owned(),
        "$3::bytea::pg_dependencies".to_owned(),
        "$4::bytea::pg_mcv_list".to_owned(),
    ];
    if with_expressions {
        columns.push("stxdexpr");
        values.push(format!(
            "(SELECT array_agg(ROW(0::oid, 0::int2, false, {})::pg_statistic ORDER BY x.at) FROM jsonb_to_recordset($5::text::jsonb) AS x(at int4, {}))",
            row_expressions(),
            record_columns()
        ));
    }
    let (columns, values) = (columns.join(", "), values.join(", "));
    // all parameters must occur
    if with_inherit {
        format!(
            "INSERT INTO pg_statistic_ext_data (stxoid, stxdinherit, {columns}) SELECT $1::oid, $6::bool, {values} WHERE $5::text IS NOT NULL"
        )
    } else {
        format!(
            "UPDATE pg_statistic_ext_data SET ({columns}) = (SELECT {values}) WHERE stxoid = $1::oid AND $5::text IS NOT NULL AND $6::bool IS NOT NULL"
        )
    }
}

fn non_empty<T>(items: &[T]) -> Option<&[T]> {
    Some(items).filter(|items| !items.is_empty())
}

/// Combinations that were captured as texts.
async fn of_texts(session: &OwnedSession, found: &CommonCombinations) -> Result<McvBlob, String> {
    let sql = "SELECT EXISTS (SELECT FROM pg_type y WHERE y.oid = t::regtype AND y.typtype = 'e') FROM unnest($1::text[]) WITH ORDINALITY AS u(t, at) ORDER BY at";
    let rows = session
        .query(sql, &[&found.types])
        .await
        .map_err(|error| reason(&error))?;
    let is_enum: Vec<bool> = rows.iter().map(|row| row.get(0)).collect();
    combinations::encode(found, &is_enum)
        .ok_or_else(|| "values of a type whose bytes are not known".to_owned())
}

/// Types of the columns of a statistics object, under domains too: values of others would be taken for such. Expressions come behind.
const COLUMN_TYPES: &str = "SELECT a.atttypid FROM pg_statistic_ext s JOIN pg_attribute a ON a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys) \
    WHERE s.oid = $1 ORDER BY a.attnum";

/// The blob with the twin's OIDs. It was checked byte by byte before the server sees it.
async fn common(session: &OwnedSession, object: u32, blob: &McvBlob) -> Result<Vec<u8>, String> {
    let mut bytes = hex(blob.hex.as_bytes()).ok_or("not hexadecimal")?;
    let layout = McvLayout::parse(&bytes).map_err(|error| error.to_string())?;
    if layout.types.len() != blob.types.len() {
        return Err("types do not match".to_owned());
    }
    let sql =
        "SELECT t::regtype::oid FROM unnest($1::text[]) WITH ORDINALITY AS u(t, at) ORDER BY at";
    let rows = session
        .query(sql, &[&blob.types])
        .await
        .map_err(|error| reason(&error))?;
    let types: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let rows = session
        .query(COLUMN_TYPES, &[&object])
        .await
        .map_err(|error| reason(&error))?;
    let of_columns: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    if !types.starts_with(&of_columns) {
        return Err("types do not match".to_owned());
    }
    let sql = "SELECT enumtypid, enumlabel::text, oid FROM pg_enum WHERE enumtypid = ANY ($1)";
    let rows = session
        .query(sql, &[&types])
        .await
        .map_err(|error| reason(&error))?;
    let known: BTreeMap<(u32, String), u32> = rows
        .iter()
        .map(|row| ((row.get(0), row.get(1)), row.get(2)))
        .collect();
    let is_enum = |dimension: usize| known.keys().any(|(oid, _)| *oid == types[dimension]);
    let label = |dimension: usize, word: u32| {
        let (_, _, label) = blob
            .labels
            .iter()
            .find(|(oid, type_name, _)| *oid == word && *type_name == blob.types[dimension])?;
        known.get(&(types[dimension], label.clone())).copied()
    };
    for dimension in (0..types.len()).filter(|dimension| is_enum(*dimension)) {
        if layout
            .words(&bytes, dimension)
            .iter()
            .any(|word| label(dimension, *word).is_none())
        {
            return Err("an enum label is unknown".to_owned());
        }
    }
    layout.rewrite(&mut bytes, &types, &|dimension, word| {
        label(dimension, word)
    });
    Ok(bytes)
}

/// Marks the indexes that production could not complete.
pub(super) async fn invalidate(
    session: &OwnedSession,
    indexes: &[IndexObject],
) -> Result<(), TwinError> {
    let sql = "UPDATE pg_index i SET indisvalid = false FROM pg_class c, pg_namespace n \
        WHERE i.indexrelid = c.oid AND n.oid = c.relnamespace AND n.nspname = $1 AND c.relname = $2 AND c.oid >= 16384";
    for index in indexes.iter().filter(|index| !index.valid) {
        session
            .execute(sql, &[&index.name.schema, &index.name.name])
            .await
            .map_err(TwinError::own)?;
    }
    Ok(())
}
