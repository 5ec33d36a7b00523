//! Which statements may be planned on an audited server.
//!
//! A plain EXPLAIN runs IMMUTABLE functions with constant arguments and STABLE ones for selectivity estimates; operators, casts, domains'
//! checks, views and row security can hide them. So a statement is planned only when no name in it leads to code that isn't built in or
//! of a known extension. The check works on names, not on meaning: it holds for syntax that no parser of ours knows, and a name that
//! merely looks like a planted one keeps a harmless statement off the server, which costs a plan and no trust.

mod census;
mod text;

use hashbrown::HashSet;

/// Built-in functions that a plan could run with harm, though they read nothing secret: memory without bound, or whole tables read while
/// planning (the `*_to_xml` are STABLE). Volatile ones never run at plan time; those listed are for a second lock on the door.
const DENIED: &[&str] = &[
    "array_fill",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "dblink",
    "dblink_exec",
    "lo_export",
    "lo_import",
    "lpad",
    "pg_advisory_lock",
    "pg_advisory_xact_lock",
    "pg_cancel_backend",
    "pg_ls_dir",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_terminate_backend",
    "pg_try_advisory_lock",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "repeat",
    "rpad",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_stat",
];

/// Extensions whose functions, operators and types do nothing but compute on their arguments.
const TRUSTED_EXTENSIONS: &[&str] = &[
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_bigm",
    "pg_stat_statements",
    "pg_trgm",
    "pgcrypto",
    "postgis",
    "rum",
    "seg",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// Why a statement is kept off the server. The `Display` is what the report counts under: it quotes no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("not a SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES")]
    Kind,
    #[error("several statements in one text")]
    Several,
    #[error("text too large")]
    TooLarge,
    #[error("an identifier in Unicode escapes")]
    Escapes,
    #[error("it calls a function that is neither built in nor of a known extension")]
    Function,
    #[error("it calls a built-in function that could cost the server too much")]
    Denied,
    #[error("it uses an operator that is neither built in nor of a known extension")]
    Operator,
    #[error("it uses a type that runs functions of its own")]
    Type,
    #[error(
        "it reads a relation that runs functions of its own (view, row security, check, index) or is foreign"
    )]
    Relation,
    #[error("it writes to a relation whose defaults run functions of their own")]
    Default,
    #[error("this database has operators or casts of its own on built-in types")]
    Planted,
}

/// Names that lead to code which is not plainly harmless, in one database.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Functions by name, whatever their schema.
    functions: HashSet<String>,
    /// Those that `row.name` would call: one argument, of a row type.
    attributes: HashSet<String>,
    /// Operators on built-in types.
    operators: HashSet<String>,
    /// Operators that SQL's own constructs use (`=`, `<`, `~~` …), or casts, are planted on built-in types.
    is_planted: bool,
    types: HashSet<String>,
    /// Relations that lead there when read.
    relations: HashSet<String>,
    /// Relations that lead there when written.
    written: HashSet<String>,
}

impl Census {
    /// May this text be planned?
    pub(super) fn admit(&self, sql: &str) -> Result<(), Refusal> {
        text::check(sql, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!(DENIED.is_sorted());
        assert!(TRUSTED_EXTENSIONS.is_sorted());
    }
}
