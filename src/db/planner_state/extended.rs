//! Extended statistics. Their data are for superusers alone; the views that show them to owners round what they show.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::{
    DbError, Reader, USER_SCHEMA, gap,
    operators::Operators,
    statistics::{Names, RawRow, element_by_bytes, row_json},
};
use crate::catalog::{
    RelationName,
    planner::{
        ExtendedStatistics, McvBlob,
        extended::{Columns, McvLayout, decode_dependencies, decode_distinct},
    },
};

#[derive(Debug, Deserialize)]
struct Raw {
    name: RelationName,
    table: RelationName,
    inherited: bool,
    n_distinct: Option<String>,
    dependencies: Option<String>,
    most_common: Option<String>,
    columns: BTreeMap<i16, String>,
    expressions: Vec<RawRow>,
}

impl Columns for BTreeMap<i16, String> {
    fn name(&self, number: i16) -> Option<String> {
        self.get(&number).cloned()
    }

    fn number(&self, name: &str) -> Option<i16> {
        self.iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| *number)
    }
}

#[derive(Debug, Deserialize)]
struct Label {
    oid: u32,
    type_name: String,
    text: String,
}

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<Vec<ExtendedStatistics>, DbError> {
    if !reader.is_superuser {
        return Ok(Vec::new());
    }
    let operators = Operators::read(reader).await?;
    let inherited = if reader.version_num() >= 150_000 {
        "d.stxdinherit"
    } else {
        "false"
    };
    let expressions = if reader.version_num() >= 140_000 {
        format!(
            "(SELECT coalesce(json_agg({} ORDER BY x.at), '[]') FROM unnest(d.stxdexpr) WITH ORDINALITY AS x(starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct, {}, at))",
            row_json("x", |slot| element_by_bytes("x", slot)),
            ["stakind", "staop", "stacoll", "stanumbers", "stavalues"]
                .map(|part| (1..=5)
                    .map(|i| format!("{part}{i}"))
                    .collect::<Vec<_>>()
                    .join(", "))
                .join(", ")
        )
    } else {
        "'[]'::json".to_owned()
    };
    let sql = format!(
        "SELECT json_build_object('name', json_build_object('schema', n.nspname, 'name', s.stxname), 'table', json_build_object('schema', cn.nspname, 'name', c.relname), \
           'inherited', {inherited}, 'n_distinct', encode(d.stxdndistinct::bytea, 'hex'), 'dependencies', encode(d.stxddependencies::bytea, 'hex'), \
           'most_common', encode(d.stxdmcv::bytea, 'hex'), \
           'columns', (SELECT json_object_agg(a.attnum, a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
           'expressions', {expressions})::text \
         FROM pg_statistic_ext s JOIN pg_statistic_ext_data d ON d.stxoid = s.oid JOIN pg_namespace n ON n.oid = s.stxnamespace \
         JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace WHERE {USER_SCHEMA} ORDER BY s.oid"
    );
    let unread = gap("extended statistics", 0, COST);
    let rows: Vec<Raw> = reader.rows_or_gap(unread, &sql, &[]).await?;
    let expressions = rows.iter().flat_map(|raw| &raw.expressions);
    let names = Names::read(reader, expressions.flat_map(RawRow::oids)).await?;
    let mut found = Vec::new();
    for raw in rows {
        found.push(resolve(reader, (&operators, &names), raw).await?);
    }
    Ok(found)
}

const COST: &str = "could not be read: estimates of correlated columns are off, and plans on them";

async fn resolve(
    reader: &Reader<'_>,
    (operators, names): (&Operators, &Names),
    raw: Raw,
) -> Result<ExtendedStatistics, DbError> {
    let bytes = |hex: &Option<String>| hex.as_deref().and_then(unhex);
    let most_common = match bytes(&raw.most_common) {
        Some(blob) => common(reader, &blob, raw.most_common.unwrap_or_default()).await?,
        None => None,
    };
    Ok(ExtendedStatistics {
        n_distinct: bytes(&raw.n_distinct)
            .and_then(|b| decode_distinct(&b, &raw.columns).ok())
            .unwrap_or_default(),
        dependencies: bytes(&raw.dependencies)
            .and_then(|b| decode_dependencies(&b, &raw.columns).ok())
            .unwrap_or_default(),
        most_common,
        expressions: raw
            .expressions
            .into_iter()
            .map(|row| row.resolve(operators, names))
            .collect(),
        name: raw.name,
        table: raw.table,
        inherited: raw.inherited,
        combinations: None,
    })
}

/// The blob with names for the OIDs of its types and enum labels.
async fn common(reader: &Reader<'_>, blob: &[u8], hex: String) -> Result<Option<McvBlob>, DbError> {
    let Ok(layout) = McvLayout::parse(blob) else {
        return Ok(None);
    };
    let sql = "SELECT to_json(format_type(t, NULL))::text FROM unnest($1) WITH ORDINALITY AS u(t, at) ORDER BY at";
    let types = reader
        .rows("naming types", sql, &[(&layout.types, Type::OID_ARRAY)])
        .await?;
    let words: Vec<u32> = (0..layout.types.len())
        .flat_map(|at| layout.words(blob, at))
        .collect();
    let sql = "SELECT json_build_object('oid', e.oid::int8, 'type_name', format_type(e.enumtypid, NULL), 'text', e.enumlabel)::text \
        FROM pg_enum e WHERE e.oid = ANY ($1) AND e.enumtypid = ANY ($2) ORDER BY e.oid";
    let params: [super::Param<'_>; 2] =
        [(&words, Type::OID_ARRAY), (&layout.types, Type::OID_ARRAY)];
    let labels: Vec<Label> = reader.rows("naming enum labels", sql, &params).await?;
    Ok(Some(McvBlob {
        hex,
        types,
        labels: labels
            .into_iter()
            .map(|label| (label.oid, label.type_name, label.text))
            .collect(),
    }))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        })
        .collect()
}
