//! Names: of indexes, within Postgres's limit, and of files, from what a hostile identifier may be.

use crate::catalog::{IndexDef, IndexKey, KeyTarget};

/// `NAMEDATALEN` − 1: Postgres cuts longer identifiers off, with a NOTICE that nobody reads.
pub(super) const MAX_NAME_BYTES: usize = 63;

/// Bytes of a file's name that come from an index's name; with timestamp and suffix this stays far below the 255 of file systems.
const MAX_SLUG_BYTES: usize = 80;

/// The index's name if it has one that fits, else one made from table and keys. A name that had to be cut carries a hash of its full
/// length, so that two long names stay apart.
pub(super) fn index_name(def: &IndexDef, max_bytes: usize) -> String {
    let name = match def.name.as_str() {
        "" => format!("{}_idx", parts(def).join("_")),
        name => name.to_owned(),
    };
    within(&name, max_bytes)
}

/// The name of a leaf's index, made from the leaf and the parent's index.
pub(super) fn leaf_index_name(leaf: &str, def: &IndexDef) -> String {
    let keys = parts(def).split_off(1).join("_");
    within(&format!("{leaf}_{keys}_idx"), MAX_NAME_BYTES)
}

fn parts(def: &IndexDef) -> Vec<String> {
    let keys = def.keys.iter().map(|key: &IndexKey| match &key.target {
        KeyTarget::Column(name) => name.clone(),
        KeyTarget::Expression(_) => "expr".to_owned(),
    });
    std::iter::once(def.table.name.clone())
        .chain(keys)
        .collect()
}

/// `name` in at most `n` bytes.
pub(super) fn within(name: &str, n: usize) -> String {
    if name.len() <= n {
        return name.to_owned();
    }
    let hash = format!("_{:08x}", hash(name));
    let mut end = n - hash.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{hash}", &name[..end])
}

/// 32 bits are plenty to keep a handful of names apart.
pub(super) fn hash(text: &str) -> u32 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes()) as u32
}

/// A file name's part from any identifier: lower-case letters, digits and `_`; where something had to go, a hash tells names apart.
pub(super) fn slug(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let plain = plain.trim_matches('_');
    if plain == name {
        within(plain, MAX_SLUG_BYTES)
    } else {
        within(&format!("{}_{:08x}", plain, hash(name)), MAX_SLUG_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RelationName;

    #[test]
    fn long_names_fit_and_stay_apart() {
        let (a, b) = ("ä".repeat(40), "ä".repeat(41));
        let (a, b) = (within(&a, 63), within(&b, 63));
        assert!(a.len() <= 63 && b.len() <= 63);
        assert_ne!(a, b);
        assert_eq!(within("short", 63), "short");
    }

    #[test]
    fn names_come_from_table_and_keys() {
        let def = IndexDef {
            table: RelationName::new("public", "orders"),
            keys: vec![IndexKey::column("customer_id")],
            ..IndexDef::default()
        };
        assert_eq!(index_name(&def, 63), "orders_customer_id_idx");
        assert_eq!(
            leaf_index_name("orders_2026", &def),
            "orders_2026_customer_id_idx"
        );
    }

    #[test]
    fn file_names_are_harmless() {
        assert_eq!(slug("orders_idx"), "orders_idx");
        let evil = slug("../../etc/passwd\n'; DROP");
        assert!(
            evil.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
        assert_ne!(slug("Orders_idx"), slug("orders_idx"));
        assert!(!slug("\"\"").is_empty());
    }
}
