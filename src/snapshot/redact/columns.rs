//! Which values of which columns stay: decided by name, type and role of the column.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, KeyTarget, RelationName, planner::TypeShape};

/// Words in a column's name that promise something personal or secret. Found anywhere in the name.
const SENSITIVE: &[&str] = &[
    "mail",
    "phone",
    "mobile",
    "fax",
    "iban",
    "bic",
    "ssn",
    "social",
    "passport",
    "token",
    "secret",
    "passw",
    "pwd",
    "credential",
    "apikey",
    "api_key",
    "private",
    "name",
    "address",
    "addr",
    "street",
    "card",
    "cvv",
    "cvc",
    "account_n",
    "birth",
    "dob",
    "licen",
    "tax_",
    "vat_",
    "login",
    "username",
    "hash",
    "salt",
    "otp",
    "pin_",
    "_pin",
    "signature",
];
/// Distinct values up to which an integer is a code.
const MAX_CODES: f32 = 1000.0;
/// Largest code.
const MAX_CODE: i64 = 99_999;

/// What happens to a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// They stay.
    Keep(Kept),
    /// Numbers: two digits stay.
    Round,
    /// Those that the schema's SQL names stay.
    Words,
    /// None stays.
    Drop,
}

/// Why values stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    /// Times and dates.
    Times,
    /// Integers that are keys.
    Keys,
    /// Integers of few distinct values.
    Codes,
    /// Labels of enums.
    Labels,
    /// True and false.
    Booleans,
}

/// What is known of all columns.
#[derive(Debug, Default)]
pub(super) struct Columns {
    keys: BTreeSet<(RelationName, String)>,
    /// Names of tables, in small letters: a column called like one, or like one of its rows, refers to it.
    tables: BTreeSet<String>,
    enums: BTreeSet<String>,
}

impl Columns {
    /// Keys are columns of primary keys, unique indexes of one column, and foreign keys.
    pub(super) fn of(catalog: Option<&Catalog>, enums: BTreeSet<String>) -> Self {
        let (mut keys, mut tables) = (BTreeSet::new(), BTreeSet::new());
        for relation in catalog.iter().flat_map(|catalog| &catalog.relations) {
            tables.insert(relation.name.name.to_lowercase());
            let of_indexes = relation
                .indexes
                .iter()
                .filter(|index| index.primary || index.def.unique)
                .flat_map(|index| &index.def.keys)
                .filter_map(|key| match &key.target {
                    KeyTarget::Column(name) => Some(name),
                    KeyTarget::Expression(_) => None,
                });
            let of_keys = relation.foreign_keys.iter().flat_map(|key| &key.columns);
            keys.extend(
                of_indexes
                    .chain(of_keys)
                    .map(|name| (relation.name.clone(), name.clone())),
            );
        }
        Self {
            keys,
            tables,
            enums,
        }
    }

    /// `person` beside a table `persons`, `city` beside `cities`.
    fn is_called_like_a_table(&self, column: &str) -> bool {
        let column = column.to_lowercase();
        let many = column
            .strip_suffix('y')
            .map_or_else(|| format!("{column}es"), |stem| format!("{stem}ies"));
        [format!("{column}s"), many, column]
            .iter()
            .any(|name| self.tables.contains(name))
    }

    pub(super) fn is_enum(&self, type_name: &str) -> bool {
        self.enums.contains(type_name)
    }

    /// The fate of a column's values. `n_distinct` as in `pg_stats`.
    pub(super) fn fate(
        &self,
        relation: &RelationName,
        column: &str,
        type_name: &str,
        n_distinct: f32,
        values: &[Option<String>],
    ) -> Fate {
        if is_sensitive(column) {
            return Fate::Drop;
        }
        let is_key = || {
            self.keys.contains(&(relation.clone(), column.to_owned()))
                || is_key_name(column)
                || self.is_called_like_a_table(column)
        };
        self.of_type(type_name, n_distinct, values, &is_key)
    }

    /// The fate of elements of arrays.
    pub(super) fn fate_of_elements(&self, type_name: &str, elements: &[Option<String>]) -> Fate {
        match type_name {
            "smallint" | "integer" | "bigint"
                if elements.iter().flatten().all(|text| is_code(text)) =>
            {
                Fate::Keep(Kept::Codes)
            }
            _ if self.is_enum(type_name) => Fate::Keep(Kept::Labels),
            _ => Fate::Drop,
        }
    }

    /// The fate of values of which only the type is known: keys of expression indexes.
    pub(super) fn fate_of_expression(
        &self,
        sql: &str,
        type_name: &str,
        n_distinct: f32,
        values: &[Option<String>],
    ) -> Fate {
        if is_sensitive(sql) {
            return Fate::Drop;
        }
        self.of_type(type_name, n_distinct, values, &|| false)
    }

    fn of_type(
        &self,
        type_name: &str,
        n_distinct: f32,
        values: &[Option<String>],
        is_key: &dyn Fn() -> bool,
    ) -> Fate {
        let base = type_name.split(['(', ' ']).next().unwrap_or(type_name);
        match base {
            "boolean" => Fate::Keep(Kept::Booleans),
            _ if self.is_enum(type_name) => Fate::Keep(Kept::Labels),
            _ if type_name.ends_with("[]") => Fate::Drop,
            "date" | "timestamp" | "time" | "interval" | "tstzrange" | "tsrange" | "daterange" => {
                Fate::Keep(Kept::Times)
            }
            "smallint" | "integer" | "bigint" | "oid" if is_key() => Fate::Keep(Kept::Keys),
            "smallint" | "integer" | "bigint"
                if n_distinct > 0.0
                    && n_distinct <= MAX_CODES
                    && values.iter().flatten().all(|text| is_code(text)) =>
            {
                Fate::Keep(Kept::Codes)
            }
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double" => Fate::Round,
            "int4range" | "int8range" | "numrange"
                if values.iter().flatten().all(|text| is_range_of_codes(text)) =>
            {
                Fate::Keep(Kept::Codes)
            }
            "text" | "character" | "citext" | "public.citext" => Fate::Words,
            _ => Fate::Drop,
        }
    }
}

fn is_code(value: &str) -> bool {
    value
        .parse::<i64>()
        .is_ok_and(|code| code.abs() <= MAX_CODE)
}

/// `[10,20)`: bounds of at most five digits.
fn is_range_of_codes(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit())
        .all(|digits| digits.len() <= 5)
}

/// `id`, `order_id`, `orderId`
fn is_key_name(column: &str) -> bool {
    column.eq_ignore_ascii_case("id") || column.ends_with("_id") || column.ends_with("Id")
}

/// Does a name, or SQL text with names, hold a word that promises something personal?
pub(super) fn is_sensitive(text: &str) -> bool {
    let text = text.to_lowercase();
    SENSITIVE.iter().any(|word| text.contains(word))
}

/// Enum types by the names that SQL calls them by.
pub(super) fn enum_names<'a>(
    types: impl Iterator<Item = (&'a RelationName, &'a TypeShape)>,
) -> BTreeSet<String> {
    types
        .filter(|(_, shape)| matches!(shape, TypeShape::Enum(_)))
        .flat_map(|(name, _)| [name.to_sql(), format!("{}[]", name.to_sql())])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(column: &str, type_name: &str, n_distinct: f32, value: &str, expected: Fate) {
        let columns = Columns::of(None, BTreeSet::from(["shop.state".to_owned()]));
        let table = RelationName::new("shop", "t");
        let fate = columns.fate(
            &table,
            column,
            type_name,
            n_distinct,
            &[Some(value.to_owned())],
        );
        assert_eq!(fate, expected, "{column} {type_name}");
    }

    #[test]
    fn the_name_decides_before_the_type() {
        check("email", "text", 5.0, "x", Fate::Drop);
        check("phone_number", "bigint", 5.0, "5", Fate::Drop);
        check("date_of_birth", "date", -1.0, "2000-01-01", Fate::Drop);
        check("last_name", "shop.state", 5.0, "x", Fate::Drop);
    }

    #[test]
    fn a_column_called_like_a_table_refers_to_it() {
        let columns = Columns {
            tables: BTreeSet::from(["persons".to_owned(), "cities".to_owned()]),
            ..Columns::default()
        };
        for (column, is) in [
            ("person", true),
            ("city", true),
            ("cities", true),
            ("Person", true),
            ("pay", false),
            ("", false),
        ] {
            assert_eq!(columns.is_called_like_a_table(column), is, "{column}");
        }
    }

    #[test]
    fn then_type_and_role() {
        check(
            "at",
            "timestamp with time zone",
            -1.0,
            "x",
            Fate::Keep(Kept::Times),
        );
        check("state", "shop.state", 5.0, "x", Fate::Keep(Kept::Labels));
        check("vip", "boolean", 2.0, "t", Fate::Keep(Kept::Booleans));
        check(
            "customer_id",
            "bigint",
            -0.2,
            "123456789",
            Fate::Keep(Kept::Keys),
        );
        check("region", "integer", 20.0, "7", Fate::Keep(Kept::Codes));
        check("region", "integer", 20.0, "123456", Fate::Round);
        check("amount", "numeric", -0.5, "7.5", Fate::Round);
        check("note", "text", -0.5, "x", Fate::Words);
        check("data", "jsonb", -0.5, "{}", Fate::Drop);
        check("tags", "text[]", -0.5, "{}", Fate::Drop);
        check("token_x", "uuid", -0.5, "{}", Fate::Drop);
    }
}
