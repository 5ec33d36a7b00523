//! The script for a role that may read what an audit needs, and nothing else.

use crate::{
    catalog::{Catalog, RelationKind},
    sql::quote_identifier,
};

/// `pg_read_all_data` exists from here on.
const READS_ALL_DATA: u32 = 140_000;

/// Schemas named one by one; beyond that `pg_read_all_data` or a loop of one's own is the way.
const MAX_SCHEMAS: usize = 20;

/// SQL lines, comments among them.
pub(super) fn script(catalog: &Catalog) -> Vec<String> {
    let database = quote_identifier(&catalog.server.database);
    let mut lines = vec![
        "CREATE ROLE pgassay LOGIN CONNECTION LIMIT 4;  -- then \\password pgassay".to_owned(),
        format!("GRANT CONNECT ON DATABASE {database} TO pgassay;"),
        "GRANT pg_monitor TO pgassay;  -- statistics, settings, other roles' statements; no data".to_owned(),
        "ALTER ROLE pgassay SET default_transaction_read_only = on;".to_owned(),
        "-- column statistics are shown only for tables that the role may read; leave this out to keep it from data:".to_owned(),
    ];
    let mut schemas: Vec<String> = catalog
        .relations
        .iter()
        .filter(|relation| relation.kind != RelationKind::View)
        .map(|relation| quote_identifier(&relation.name.schema))
        .collect();
    schemas.dedup();
    if schemas.len() <= MAX_SCHEMAS {
        for schema in schemas {
            lines.push(format!("GRANT USAGE ON SCHEMA {schema} TO pgassay; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO pgassay;"));
        }
    } else if catalog.server.version_num >= READS_ALL_DATA {
        lines.push("GRANT pg_read_all_data TO pgassay;".to_owned());
    }
    lines.push("-- to take it back: DROP OWNED BY pgassay; DROP ROLE pgassay;".to_owned());
    lines
}
