//! What an index looks like to a model: how much of it a mapper's own words can say.

use crate::catalog::{Direction, IndexDef, IndexKey, Nulls};

/// The columns, if all keys are plain columns.
pub(super) fn plain_columns(def: &IndexDef) -> Option<Vec<&str>> {
    def.keys.iter().map(IndexKey::column_name).collect()
}

/// A b-tree on plain columns, ascending, that every mapper can say.
pub(super) fn is_plain_btree(def: &IndexDef) -> bool {
    is_btree(def)
        && def.include.is_empty()
        && def.predicate.is_none()
        && def
            .keys
            .iter()
            .all(|key| is_plain(key) && key.direction == Direction::Asc)
}

pub(super) fn is_btree(def: &IndexDef) -> bool {
    matches!(def.method.as_str(), "" | "btree")
}

/// A column with its own operator class and collation, and NULLs where its direction puts them.
pub(super) fn is_plain(key: &IndexKey) -> bool {
    let usual = match key.direction {
        Direction::Asc => Nulls::Last,
        Direction::Desc => Nulls::First,
    };
    key.column_name().is_some()
        && key.opclass.is_none()
        && key.collation.is_none()
        && key.nulls == usual
}
