//! Expressions that an index can hold: immutable ones over the columns of one relation.
//!
//! Postgres refuses others when the index is built. What is not known to be immutable is not proposed.

use crate::{
    catalog::{IndexKey, KeyTarget, Relation},
    sql::{canonical, shape},
};

/// Functions that are immutable for every type that they take (`pg_proc.provolatile = 'i'` on 13 to 18), sorted.
const IMMUTABLE: &[&str] = &[
    "abs",
    "array_length",
    "array_to_string_immutable",
    "ascii",
    "bit_length",
    "btrim",
    "cardinality",
    "ceil",
    "ceiling",
    "char_length",
    "coalesce",
    "floor",
    "greatest",
    "initcap",
    "jsonb_array_length",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "jsonb_typeof",
    "least",
    "left",
    "length",
    "lower",
    "ltrim",
    "md5",
    "mod",
    "nullif",
    "octet_length",
    "overlay",
    "position",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "rtrim",
    "sha256",
    "sign",
    "split_part",
    "strpos",
    "substr",
    "substring",
    "translate",
    "trim",
    "trunc",
    "upper",
];

/// Functions that are immutable on `timestamp` and `date`, not on `timestamptz`, where they depend on the session's time zone.
const OF_LOCAL_TIME: &[&str] = &["date", "date_part", "date_trunc", "extract"];

/// Types that a value can be cast to whatever the session's settings. A cast of text to a date or timestamp depends on `DateStyle`.
const CAST_TYPES: &[&str] = &[
    "bigint",
    "bool",
    "boolean",
    "char",
    "citext",
    "decimal",
    "double precision",
    "float",
    "float4",
    "float8",
    "int",
    "int2",
    "int4",
    "int8",
    "integer",
    "jsonb",
    "numeric",
    "real",
    "regconfig",
    "smallint",
    "text",
    "uuid",
    "varchar",
];

/// Types that only a date or timestamp may be cast to.
const LOCAL_TIME_TYPES: &[&str] = &["date", "timestamp", "timestamp without time zone"];

/// The key that an index on `text` would have; `None` where Postgres would refuse it, or where it is not known that it would not.
pub(super) fn key(relation: &Relation, text: &str) -> Option<IndexKey> {
    let text = unwrapped(text);
    if text.contains('$') || !is_immutable(relation, text) {
        return None;
    }
    Some(IndexKey {
        target: KeyTarget::Expression(text.to_owned()),
        ..IndexKey::column("")
    })
}

/// Without the parentheses around all of it.
pub(super) fn unwrapped(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        if !is_balanced(inner) {
            break;
        }
        text = inner.trim();
    }
    text
}

fn is_balanced(text: &str) -> bool {
    let mut depth = 0_i32;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

fn is_immutable(relation: &Relation, text: &str) -> bool {
    let sql = format!("SELECT {text} FROM {}", relation.name.to_sql());
    let columns_of = |_: &shape::RelationRef| {
        Some(
            relation
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
        )
    };
    let Ok(shape) = shape::parse_with(&sql, &columns_of) else {
        return false;
    };
    let [scan] = shape.scans.as_slice() else {
        return false;
    };
    if scan.columns.is_empty() || shape.has_unresolved {
        return false;
    }
    let is_local_time = scan.columns.iter().all(|name| {
        relation
            .column(name)
            .is_some_and(|column| is_local_time(&column.type_name))
    });
    let functions = shape.functions.iter().all(|name| {
        let name = name.rsplit('.').next().unwrap_or(name);
        IMMUTABLE.contains(&name)
            || (OF_LOCAL_TIME.contains(&name) && is_local_time)
            || (name == "to_tsvector" && names_its_configuration(text))
    });
    let casts = shape.cast_types.iter().all(|name| {
        let plain = name.split('(').next().unwrap_or(name).trim();
        CAST_TYPES.contains(&plain) || (LOCAL_TIME_TYPES.contains(&plain) && is_local_time)
    });
    let lower = text.to_ascii_lowercase();
    let extracts = lower.contains("extract(") || lower.contains("at time zone");
    functions && casts && (!extracts || is_local_time)
}

fn is_local_time(type_name: &str) -> bool {
    type_name == "date" || type_name == "timestamp" || type_name.ends_with("without time zone")
}

/// `to_tsvector('english', …)` is immutable; with one argument it depends on `default_text_search_config`.
fn names_its_configuration(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("to_tsvector(").all(|(at, found)| {
        let arguments = lower[at + found.len()..].trim_start();
        arguments.starts_with('\'')
    })
}

/// A key's target in one spelling, for telling whether two are the same.
pub(super) fn identity(key: &IndexKey) -> String {
    match &key.target {
        KeyTarget::Column(name) => name.clone(),
        KeyTarget::Expression(text) => format!("({})", canonical::expression(unwrapped(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, RelationName};

    fn relation() -> Relation {
        let column = |name: &str, type_name: &str| Column {
            name: name.into(),
            type_name: type_name.into(),
            ..Column::default()
        };
        Relation {
            name: RelationName::new("public", "t"),
            columns: vec![
                column("email", "text"),
                column("data", "jsonb"),
                column("at", "timestamp with time zone"),
                column("day", "timestamp without time zone"),
            ],
            ..Relation::default()
        }
    }

    #[test]
    fn immutable_ones_make_keys() {
        for text in [
            "lower(email)",
            "(data ->> 'kind')",
            "((data ->> 'n')::integer)",
            "date_trunc('day', day)",
            "day::date",
            "to_tsvector('english', email)",
            "to_tsvector('simple', COALESCE(email, '') || ' ' || email)",
        ] {
            assert!(key(&relation(), text).is_some(), "{text}");
        }
    }

    #[test]
    fn others_do_not() {
        for text in [
            "date_trunc('day', at)",
            "at::date",
            "date(at)",
            "EXTRACT(YEAR FROM at)",
            "(data ->> 'at')::timestamp",
            "(data ->> $1)",
            "to_tsvector(email)",
            "my_function(email)",
            "now()",
            "concat(email, 'x')",
        ] {
            assert!(key(&relation(), text).is_none(), "{text}");
        }
    }
}
