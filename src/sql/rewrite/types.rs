//! What is known of tables beyond the text, and the types of array parameters.

use crate::sql::shape::RelationRef;

/// What a catalog tells about tables. Names are as written, folded.
pub trait Schema {
    /// A column's type as `format_type` prints it.
    fn column_type(&self, relation: &RelationRef, column: &str) -> Option<String>;
    /// Does at most one row have the same values in these columns?
    fn is_unique(&self, relation: &RelationRef, columns: &[&str]) -> bool;
    /// The columns in order.
    fn columns(&self, relation: &RelationRef) -> Option<Vec<String>>;
}

/// No catalog at hand: types are unknown, and `id` is taken for the primary key.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSchema;

impl Schema for NoSchema {
    fn column_type(&self, _: &RelationRef, _: &str) -> Option<String> {
        None
    }

    fn is_unique(&self, _: &RelationRef, columns: &[&str]) -> bool {
        columns.contains(&"id")
    }

    fn columns(&self, _: &RelationRef) -> Option<Vec<String>> {
        None
    }
}

/// What a literal looked like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LiteralKind {
    /// A parameter, a quoted string, or unknown: says nothing about the type.
    #[default]
    Unknown,
    /// Digits without quotes.
    Integer,
    /// A number with a point or an exponent, without quotes.
    Decimal,
}

/// The type of an array's elements, without what would cut or round its values: a cast to `varchar(3)` or `numeric(10,2)` changes them.
pub(super) fn element(type_name: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0;
    for c in type_name.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match plain.as_str() {
        // without a length these mean a length of 1
        "character" | "char" | "\"char\"" => "bpchar".to_owned(),
        "bit" => "varbit".to_owned(),
        "character varying" | "varchar" => "text".to_owned(),
        _ => plain,
    }
}

/// Is it an array type? There are no arrays of arrays to put its values into.
pub(super) fn is_array(type_name: &str) -> bool {
    type_name.ends_with(']')
        || type_name.eq_ignore_ascii_case("oidvector")
        || type_name.eq_ignore_ascii_case("int2vector")
}

/// Are equal values of this type also written alike? Else the key that comes back may read otherwise than the one sent (`1.0` for `1`, `A` for `a`).
pub(super) fn prints_alike(type_name: &str) -> bool {
    !matches!(
        element(type_name).to_lowercase().as_str(),
        "numeric"
            | "decimal"
            | "real"
            | "double precision"
            | "float"
            | "citext"
            | "bpchar"
            | "interval"
            | "json"
            | "jsonb"
            | "varbit"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cast_cuts_or_rounds() {
        for (column, of_array) in [
            ("integer", "integer"),
            ("character varying(255)", "text"),
            ("character(10)", "bpchar"),
            ("numeric(10,2)", "numeric"),
            ("timestamp(3) with time zone", "timestamp with time zone"),
            ("bit(8)", "varbit"),
            ("app.\"Status\"", "app.\"Status\""),
        ] {
            assert_eq!(element(column), of_array);
        }
        assert!(is_array("integer[]") && !is_array("integer"));
    }
}
