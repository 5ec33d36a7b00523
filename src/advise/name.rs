//! Names for new indexes: readable, within Postgres's limit, and free.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, IndexDef, KeyTarget};

/// `NAMEDATALEN` − 1: longer names are cut by the server with no more than a notice.
const MAX_NAME_BYTES: usize = 63;

/// Hex digits of the hash that stands for a part that was cut, or that tells two equal names apart.
const HASH_DIGITS: usize = 8;

/// Names handed out in one run, over those that the catalog already has.
#[derive(Debug)]
pub(super) struct Names {
    taken: BTreeSet<(String, String)>,
}

impl Names {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let relations = catalog
            .relations
            .iter()
            .map(|r| (r.name.schema.clone(), r.name.name.clone()));
        let indexes = catalog
            .indexes()
            .map(|(relation, index)| (relation.name.schema.clone(), index.def.name.clone()));
        Self {
            taken: relations.chain(indexes).collect(),
        }
    }

    /// A free name for `def`: `<table>_<columns>_idx`, with a hash of the definition where that is too long or taken.
    pub(super) fn take(&mut self, def: &IndexDef) -> String {
        let stem = stem(def);
        let plain = format!("{stem}_idx");
        let schema = def.table.schema.clone();
        let is_free =
            plain.len() <= MAX_NAME_BYTES && !self.taken.contains(&(schema.clone(), plain.clone()));
        let mut name = plain;
        if !is_free {
            // one name more than are taken, so one of them is free
            for salt in 0..=self.taken.len() {
                name = hashed(&stem, def, salt);
                if !self.taken.contains(&(schema.clone(), name.clone())) {
                    break;
                }
            }
        }
        self.taken.insert((schema, name.clone()));
        name
    }
}

fn stem(def: &IndexDef) -> String {
    let mut parts = vec![def.table.name.clone()];
    parts.extend(def.keys.iter().map(|key| match &key.target {
        KeyTarget::Column(name) => name.clone(),
        KeyTarget::Expression(text) => words(text),
    }));
    if def.predicate.is_some() {
        parts.push("partial".to_owned());
    }
    parts.join("_")
}

/// The letters and digits of an expression, joined by underscores.
fn words(text: &str) -> String {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

fn hashed(stem: &str, def: &IndexDef, salt: usize) -> String {
    let body = format!("{}{}{salt}", def.table, def.body_sql());
    let hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(body.as_bytes()));
    let tail = format!("_{}_idx", &hash[..HASH_DIGITS]);
    let mut head = stem.to_owned();
    while head.len() + tail.len() > MAX_NAME_BYTES {
        head.pop();
    }
    head + &tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{IndexKey, Relation, RelationName};

    fn def(table: &str, columns: &[&str]) -> IndexDef {
        IndexDef {
            table: RelationName::new("public", table),
            keys: columns.iter().map(|&c| IndexKey::column(c)).collect(),
            ..IndexDef::default()
        }
    }

    #[test]
    fn names_are_readable_free_and_short() {
        let catalog = Catalog {
            relations: vec![Relation {
                name: RelationName::new("public", "jobs_kind_idx"),
                ..Relation::default()
            }],
            ..Catalog::default()
        };
        let mut names = Names::new(&catalog);
        assert_eq!(
            names.take(&def("jobs", &["country", "created_at"])),
            "jobs_country_created_at_idx"
        );
        let taken = names.take(&def("jobs", &["kind"]));
        assert!(
            taken.starts_with("jobs_kind_") && taken != "jobs_kind_idx",
            "{taken}"
        );
        let long = names.take(&def(&"ä".repeat(60), &["x"]));
        assert!(long.len() <= MAX_NAME_BYTES && long.ends_with("_idx"));
    }
}
