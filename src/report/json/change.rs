//! An index change as the JSON report has it, and back.

use serde::{Deserialize, Serialize};

use crate::{
    catalog::{Direction, IndexDef, IndexKey, KeyTarget, Nulls, RelationName},
    finding::{ChangeAction, IndexChange},
};

/// One element of `remedy.changes`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Change {
    action: ChangeAction,
    schema: String,
    table: String,
    #[serde(default)]
    partition_leaves: Vec<RelationName>,
    name: String,
    method: String,
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    constraint: Option<String>,
    #[serde(default)]
    extension: Option<String>,
    keys: Vec<Key>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    predicate: Option<String>,
    #[serde(default)]
    before: Option<String>,
    #[serde(default)]
    size_bytes: Option<u64>,
}

/// One key: exactly one of `column` and `expression` is given.
#[derive(Debug, Serialize, Deserialize)]
struct Key {
    #[serde(default)]
    column: Option<String>,
    #[serde(default)]
    expression: Option<String>,
    #[serde(default)]
    opclass: Option<String>,
    #[serde(default)]
    collation: Option<String>,
    #[serde(default)]
    direction: Direction,
    #[serde(default)]
    nulls: Option<Nulls>,
}

impl From<&IndexChange> for Change {
    fn from(change: &IndexChange) -> Self {
        let def = &change.def;
        Self {
            action: change.action,
            schema: def.table.schema.clone(),
            table: def.table.name.clone(),
            partition_leaves: change.partition_leaves.clone(),
            name: def.name.clone(),
            method: def.method.clone(),
            unique: def.unique,
            constraint: change.constraint.clone(),
            extension: change.extension.clone(),
            keys: def.keys.iter().map(Key::from).collect(),
            include: def.include.clone(),
            predicate: def.predicate.clone(),
            before: change.before.clone(),
            size_bytes: change.size_bytes,
        }
    }
}

impl From<&IndexKey> for Key {
    fn from(key: &IndexKey) -> Self {
        let (column, expression) = match &key.target {
            KeyTarget::Column(name) => (Some(name.clone()), None),
            KeyTarget::Expression(text) => (None, Some(text.clone())),
        };
        Self {
            column,
            expression,
            opclass: key.opclass.clone(),
            collation: key.collation.clone(),
            direction: key.direction,
            nulls: Some(key.nulls),
        }
    }
}

impl TryFrom<Change> for IndexChange {
    type Error = String;

    fn try_from(change: Change) -> Result<Self, String> {
        let keys: Result<Vec<IndexKey>, String> =
            change.keys.into_iter().map(IndexKey::try_from).collect();
        let keys = keys?;
        if keys.is_empty() {
            return Err(format!("index {:?} has no keys", change.name));
        }
        Ok(Self {
            action: change.action,
            def: IndexDef {
                table: RelationName::new(change.schema, change.table),
                name: change.name,
                method: change.method,
                unique: change.unique,
                keys,
                include: change.include,
                predicate: change.predicate,
            },
            partition_leaves: change.partition_leaves,
            constraint: change.constraint,
            extension: change.extension,
            before: change.before,
            size_bytes: change.size_bytes,
        })
    }
}

impl TryFrom<Key> for IndexKey {
    type Error = String;

    fn try_from(key: Key) -> Result<Self, String> {
        let target = match (key.column, key.expression) {
            (Some(name), None) => KeyTarget::Column(name),
            (None, Some(text)) => KeyTarget::Expression(text),
            _ => return Err("a key needs either a column or an expression".to_owned()),
        };
        let usual = match key.direction {
            Direction::Asc => Nulls::Last,
            Direction::Desc => Nulls::First,
        };
        Ok(Self {
            target,
            opclass: key.opclass,
            collation: key.collation,
            direction: key.direction,
            nulls: key.nulls.unwrap_or(usual),
        })
    }
}
