//! Comparing indexes: is one a prefix of another, does one make another redundant, are two the same thing under two names.

use super::{Direction, Index, IndexDef, IndexKey, KeyTarget, Nulls};
use crate::sql::canonical::{self, Conjunct};

impl IndexKey {
    /// The same key read backwards: a b-tree answers both.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut key = self.clone();
        key.direction = match self.direction {
            Direction::Asc => Direction::Desc,
            Direction::Desc => Direction::Asc,
        };
        key.nulls = match self.nulls {
            Nulls::First => Nulls::Last,
            Nulls::Last => Nulls::First,
        };
        key
    }

    /// Same target, opclass and collation, whatever the direction.
    #[must_use]
    pub fn same_values(&self, other: &Self) -> bool {
        self.same_target(other)
            && unqualified(self.opclass.as_deref()) == unqualified(other.opclass.as_deref())
            && self.collation == other.collation
    }

    fn same_target(&self, other: &Self) -> bool {
        match (&self.target, &other.target) {
            (KeyTarget::Column(one), KeyTarget::Column(other)) => one == other,
            (KeyTarget::Expression(one), KeyTarget::Expression(other)) => {
                one == other || canonical::expression(one) == canonical::expression(other)
            }
            _ => false,
        }
    }

    fn same_order(&self, other: &Self) -> bool {
        self.same_values(other) && self.direction == other.direction && self.nulls == other.nulls
    }
}

/// An operator class without its schema, which only some spellings name.
fn unqualified(opclass: Option<&str>) -> Option<&str> {
    opclass.map(|name| name.rsplit('.').next().unwrap_or(name))
}

impl IndexDef {
    /// The WHERE clause in parts; empty for a full index.
    #[must_use]
    pub fn predicate_parts(&self) -> Vec<Conjunct> {
        self.predicate
            .as_deref()
            .map(canonical::conjuncts)
            .unwrap_or_default()
    }

    /// Key columns that are plain columns, in order; expressions are left out.
    #[must_use]
    pub fn key_columns(&self) -> Vec<&str> {
        self.keys.iter().filter_map(IndexKey::column_name).collect()
    }

    /// Are this index's keys the first keys of `other`, in the same order or all reversed? Only b-trees have an order.
    #[must_use]
    pub fn is_prefix_of(&self, other: &Self) -> bool {
        if self.keys.len() > other.keys.len() || self.method != other.method {
            return false;
        }
        let forward = || {
            self.keys
                .iter()
                .zip(&other.keys)
                .all(|(a, b)| a.same_order(b))
        };
        let backward = || {
            self.keys
                .iter()
                .zip(&other.keys)
                .all(|(a, b)| a.reversed().same_order(b))
        };
        forward() || backward()
    }

    /// Can this index do all that `other` does, apart from being smaller and from enforcing uniqueness?
    ///
    /// A b-tree covers its key prefixes; GIN and BRIN cover any subset of their columns; others only themselves. A full index covers
    /// a partial one only in what it answers, so this says no there: the partial one is smaller on purpose.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.table != other.table || self.method != other.method {
            return false;
        }
        let keys = match self.method.as_str() {
            "btree" => other.is_prefix_of(self),
            "gin" | "brin" => other
                .keys
                .iter()
                .all(|key| self.keys.iter().any(|mine| mine.same_values(key))),
            _ => {
                self.keys.len() == other.keys.len()
                    && self
                        .keys
                        .iter()
                        .zip(&other.keys)
                        .all(|(a, b)| a.same_values(b))
            }
        };
        keys && self.holds_columns_of(other) && self.same_rows(other)
    }

    /// Do both index the same rows in the same way, so that one of them is waste?
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.covers(other)
            && other.covers(self)
            && self.keys.len() == other.keys.len()
            && self.unique == other.unique
    }

    fn holds_columns_of(&self, other: &Self) -> bool {
        other.include.iter().all(|column| {
            self.include.contains(column)
                || self
                    .keys
                    .iter()
                    .any(|key| key.column_name() == Some(column))
        })
    }

    fn same_rows(&self, other: &Self) -> bool {
        let (mine, others) = (self.predicate_parts(), other.predicate_parts());
        canonical::implies(&mine, &others) && canonical::implies(&others, &mine)
    }
}

impl Index {
    /// Does anything but speed depend on it: a constraint, a foreign key, replica identity, a partitioned parent?
    #[must_use]
    pub fn is_load_bearing(&self) -> bool {
        self.primary
            || self.exclusion
            || self.def.unique
            || self.constraint.is_some()
            || self.replica_identity
            || self.supports_foreign_key
            || self.partitioned
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::RelationName;

    fn index(keys: &[&str]) -> IndexDef {
        IndexDef {
            table: RelationName::new("public", "t"),
            method: "btree".into(),
            keys: keys.iter().map(|name| key(name)).collect(),
            ..IndexDef::default()
        }
    }

    /// `-a` is a DESC key.
    fn key(name: &str) -> IndexKey {
        match name.strip_prefix('-') {
            Some(name) => IndexKey::column(name).reversed(),
            None => IndexKey::column(name),
        }
    }

    #[test]
    fn a_prefix_is_covered_in_either_direction() {
        assert!(index(&["a", "b"]).covers(&index(&["a"])));
        assert!(index(&["-a", "-b"]).covers(&index(&["a", "b"])));
        assert!(!index(&["a", "-b"]).covers(&index(&["a", "b"])));
        assert!(!index(&["b", "a"]).covers(&index(&["a"])));
        assert!(!index(&["a"]).covers(&index(&["a", "b"])));
    }

    #[test]
    fn predicates_and_includes_count() {
        let mut partial = index(&["a"]);
        partial.predicate = Some("(deleted_at IS NULL)".into());
        let full = index(&["a"]);
        assert!(!full.covers(&partial) && !partial.covers(&full));
        let mut covering = index(&["a"]);
        covering.include = vec!["c".into()];
        assert!(covering.covers(&full) && !full.covers(&covering));
        assert!(index(&["a", "c"]).covers(&covering));
        let mut same = partial.clone();
        same.predicate = Some("deleted_at is null".into());
        assert!(same.is_equivalent(&partial));
    }

    #[test]
    fn other_methods_have_no_prefixes() {
        let mut hash = index(&["a"]);
        hash.method = "hash".into();
        assert!(!hash.covers(&index(&["a"])) && hash.covers(&hash.clone()));
        let mut gin = index(&["a", "b"]);
        gin.method = "gin".into();
        let mut second = index(&["b"]);
        second.method = "gin".into();
        assert!(gin.covers(&second));
    }

    fn any_index() -> impl Strategy<Value = IndexDef> {
        let columns = proptest::sample::subsequence(vec!["a", "-b", "c", "-d"], 1..=4);
        let predicate =
            proptest::sample::select(vec![None, Some("x IS NULL"), Some("x IS NULL AND y = 1")]);
        (columns, predicate, any::<bool>()).prop_map(|(columns, predicate, unique)| {
            let mut def = index(&columns);
            def.predicate = predicate.map(str::to_owned);
            def.unique = unique;
            def
        })
    }

    proptest! {
        #[test]
        fn covering_is_a_preorder(a in any_index(), b in any_index(), c in any_index()) {
            prop_assert!(a.covers(&a));
            prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
            prop_assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a));
        }
    }
}
