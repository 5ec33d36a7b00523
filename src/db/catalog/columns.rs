//! `pg_attribute` with types and collations.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use tokio_postgres::{Row, types::Type};

use super::MAX_ROWS;
use crate::{
    catalog::Column,
    db::{audited::Audited, error::DbError, rows::Columns},
};

const READING: &str = "reading columns";

/// A column with what indexes refer to it by.
#[derive(Debug)]
pub(super) struct Attribute {
    /// `attrelid`
    pub(super) relation: u32,
    /// `attnum`
    pub(super) number: i16,
    /// `atttypid`
    pub(super) type_oid: u32,
    /// `attcollation`
    pub(super) collation_oid: u32,
    pub(super) column: Column,
}

/// All columns, in `attnum` order within each relation. Types and collations are few and asked for once each: printing them per column
/// is half of what this costs the server (measured on 5,000 tables of 15 columns).
pub(super) async fn read(audited: &Audited) -> Result<Vec<Attribute>, DbError> {
    let guarded = audited.begin().await?;
    let rows = guarded
        .query(READING, SQL, &[(&MAX_ROWS, Type::INT8)])
        .await?;
    guarded.end().await?;
    let raw: Vec<Raw> = rows.iter().map(Raw::read).collect::<Result<_, _>>()?;
    let types = types(audited, &raw).await?;
    let collations = collation_names(audited, raw.iter().map(|raw| raw.collation)).await?;
    Ok(raw
        .into_iter()
        .map(|raw| raw.resolve(&types, &collations))
        .collect())
}

const SQL: &str = "SELECT /* pgassay */ a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, \
    a.attgenerated <> '' OR a.attidentity <> '' \
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema' \
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum LIMIT $1";

#[derive(Debug)]
struct Raw {
    relation: u32,
    number: i16,
    name: String,
    type_oid: u32,
    type_mod: i32,
    collation: u32,
    not_null: bool,
    generated: bool,
}

impl Raw {
    fn read(row: &Row) -> Result<Self, DbError> {
        let mut columns = Columns::of(row, READING);
        Ok(Self {
            relation: columns.next()?,
            number: columns.next()?,
            name: columns.next()?,
            type_oid: columns.next()?,
            type_mod: columns.next()?,
            collation: columns.next()?,
            not_null: columns.next()?,
            generated: columns.next()?,
        })
    }

    fn resolve(self, types: &Types, collations: &HashMap<u32, String>) -> Attribute {
        let type_facts = types.get(&(self.type_oid, self.type_mod));
        let is_default = type_facts.is_none_or(|facts| facts.collation == self.collation);
        Attribute {
            relation: self.relation,
            number: self.number,
            type_oid: self.type_oid,
            collation_oid: self.collation,
            column: Column {
                name: self.name,
                type_name: type_facts
                    .map(|facts| facts.name.clone())
                    .unwrap_or_default(),
                type_category: type_facts.map_or('X', |facts| facts.category),
                not_null: self.not_null,
                collation: collations
                    .get(&self.collation)
                    .filter(|_| !is_default)
                    .cloned(),
                generated: self.generated,
                stats: None,
            },
        }
    }
}

#[derive(Debug)]
struct TypeFacts {
    name: String,
    category: char,
    collation: u32,
}

/// By `atttypid` and `atttypmod`.
type Types = BTreeMap<(u32, i32), TypeFacts>;

async fn types(audited: &Audited, raw: &[Raw]) -> Result<Types, DbError> {
    let mut pairs: Vec<(u32, i32)> = raw.iter().map(|raw| (raw.type_oid, raw.type_mod)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let (oids, mods): (Vec<u32>, Vec<i32>) = pairs.into_iter().unzip();
    let sql = "SELECT /* pgassay */ u.type, u.mod, format_type(u.type, u.mod), t.typcategory::text, t.typcollation \
        FROM unnest($1, $2) AS u(type, mod) JOIN pg_type t ON t.oid = u.type";
    let guarded = audited.begin().await?;
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&oids, Type::OID_ARRAY), (&mods, Type::INT4_ARRAY)];
    let rows = guarded.query(READING, sql, &params).await?;
    guarded.end().await?;
    let facts = |row| {
        let mut columns = Columns::of(row, READING);
        let key = (columns.next()?, columns.next()?);
        let facts = TypeFacts {
            name: columns.next()?,
            category: columns.next::<&str>()?.chars().next().unwrap_or('X'),
            collation: columns.next()?,
        };
        Ok((key, facts))
    };
    rows.iter().map(facts).collect()
}

/// Names of the collations of these oids.
pub(super) async fn collation_names(
    audited: &Audited,
    oids: impl Iterator<Item = u32>,
) -> Result<HashMap<u32, String>, DbError> {
    let mut oids: Vec<u32> = oids.filter(|oid| *oid != 0).collect();
    oids.sort_unstable();
    oids.dedup();
    let sql =
        "SELECT /* pgassay */ l.oid, l.collname::text FROM pg_collation l WHERE l.oid = ANY ($1)";
    let guarded = audited.begin().await?;
    let rows = guarded
        .query("reading collations", sql, &[(&oids, Type::OID_ARRAY)])
        .await?;
    guarded.end().await?;
    let pair = |row| {
        let mut columns = Columns::of(row, "reading collations");
        Ok((columns.next()?, columns.next()?))
    };
    rows.iter().map(pair).collect()
}
