//! Tables: whatever has columns and pages becomes a plain or partitioned table.

use super::Step;
use crate::{
    catalog::planner::{ColumnDef, TableDef},
    sql::quote_identifier,
};

/// Stands in for a type that the server lacks: of variable length, without operators that a query could use by chance.
const UNKNOWN_TYPE: &str = "bytea";

/// Name of a column that holds the place of a dropped one until it is dropped.
const DROPPED: &str = "pgassay dropped";
/// Highest `attnum` (`MaxHeapAttributeNumber`).
const MAX_COLUMNS: usize = 1600;

/// CREATE TABLE. Defaults follow by themselves ([`defaults`]), so that one that fails does not take the table with it. Parents follow too
/// ([`attach`]): the table keeps its own order of columns.
pub(super) fn create(table: &TableDef, unknown: &dyn Fn(&str) -> bool) -> Step {
    let mut columns = Vec::new();
    let mut known = table.columns.iter();
    for number in 1..=(table.columns.len() + table.dropped.len()).min(MAX_COLUMNS) {
        if table
            .dropped
            .iter()
            .any(|dropped| usize::from(*dropped) == number)
        {
            columns.push(format!("\"{DROPPED} {number}\" integer"));
        } else if let Some(next) = known.next() {
            columns.push(column(table, next, unknown));
        }
    }
    let unlogged = if table.unlogged { "UNLOGGED " } else { "" };
    let mut sql = format!(
        "CREATE {unlogged}TABLE {} ({})",
        table.name.to_sql(),
        columns.join(", ")
    );
    if let Some(key) = &table.partition_key {
        sql.push_str(&format!(" PARTITION BY {key}"));
    }
    if !table.options.is_empty() {
        sql.push_str(&format!(" WITH ({})", table.options.join(", ")));
    }
    if let Some(tablespace) = &table.tablespace {
        sql.push_str(&format!(" TABLESPACE {}", quote_identifier(tablespace)));
    }
    Step::new("table", &table.name, sql)
}

/// Defaults, one statement each. They cost an INSERT what their functions cost.
pub(super) fn defaults(table: &TableDef) -> impl Iterator<Item = Step> {
    table.columns.iter().filter_map(|column| {
        let expression = column
            .expression
            .as_ref()
            .filter(|_| column.generated.is_empty())?;
        let sql = format!(
            "ALTER TABLE ONLY {} ALTER COLUMN {} SET DEFAULT {expression}",
            table.name.to_sql(),
            quote_identifier(&column.name)
        );
        let name = format!("{} of {}", column.name, table.name);
        Some(Step::new("default of column", name, sql))
    })
}

/// DROP COLUMN of those that hold a dropped one's place.
pub(super) fn drop_columns(table: &TableDef) -> Option<Step> {
    if table.dropped.is_empty() {
        return None;
    }
    let drops: Vec<String> = table
        .dropped
        .iter()
        .map(|number| format!("DROP COLUMN IF EXISTS \"{DROPPED} {number}\""))
        .collect();
    let sql = format!("ALTER TABLE {} {}", table.name.to_sql(), drops.join(", "));
    Some(Step::new("dropped columns of", &table.name, sql))
}

/// Parents, in order.
pub(super) fn inherit(table: &TableDef) -> impl Iterator<Item = Step> {
    table.inherits.iter().map(|parent| {
        let sql = format!(
            "ALTER TABLE {} INHERIT {}",
            table.name.to_sql(),
            parent.to_sql()
        );
        let name = format!("{} from {parent}", table.name);
        Step::new("inheritance of", name, sql)
    })
}

/// ATTACH PARTITION. Not `PARTITION OF`: the partition keeps its own order of columns.
pub(super) fn attach(table: &TableDef) -> Option<Step> {
    let (parent, bound) = table.partition_of.as_ref()?;
    let sql = format!(
        "ALTER TABLE ONLY {} ATTACH PARTITION {} {bound}",
        parent.to_sql(),
        table.name.to_sql()
    );
    Some(Step::new("attachment of partition", &table.name, sql))
}

fn column(table: &TableDef, column: &ColumnDef, unknown: &dyn Fn(&str) -> bool) -> String {
    let name = quote_identifier(&column.name);
    if unknown(&column.type_name) {
        return format!("{name} {UNKNOWN_TYPE}");
    }
    let mut sql = format!("{name} {}", column.type_name);
    if let Some(collation) = &column.collation {
        sql.push_str(&format!(" COLLATE {collation}"));
    }
    match (column.generated.as_str(), &column.expression) {
        ("v", Some(expression)) => {
            sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) VIRTUAL"));
        }
        ("s", Some(expression)) => {
            sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
        }
        _ => {}
    }
    // a partition has its parent's identity (17+)
    let identity = match column.identity.as_str() {
        "a" if table.partition_of.is_none() => Some("ALWAYS"),
        "d" if table.partition_of.is_none() => Some("BY DEFAULT"),
        _ => None,
    };
    if let Some(when) = identity {
        sql.push_str(&format!(" GENERATED {when} AS IDENTITY"));
        if let Some(sequence) = &column.sequence {
            sql.push_str(&format!(" (SEQUENCE NAME {})", sequence.to_sql()));
        }
    }
    if column.not_null {
        sql.push_str(" NOT NULL");
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RelationName;

    fn sql(table: &TableDef) -> String {
        create(table, &|_| false).sql
    }

    #[test]
    fn dropped_columns_keep_their_place() {
        let column = |name: &str| ColumnDef {
            name: name.into(),
            type_name: "integer".into(),
            ..ColumnDef::default()
        };
        let table = TableDef {
            name: RelationName::new("public", "t"),
            columns: vec![column("a"), column("b")],
            dropped: vec![1, 3],
            ..TableDef::default()
        };
        assert_eq!(
            sql(&table),
            "CREATE TABLE public.t (\"pgassay dropped 1\" integer, a integer, \"pgassay dropped 3\" integer, b integer)"
        );
        assert_eq!(
            drop_columns(&table).unwrap().sql,
            "ALTER TABLE public.t DROP COLUMN IF EXISTS \"pgassay dropped 1\", DROP COLUMN IF EXISTS \"pgassay dropped 3\""
        );
    }

    #[test]
    fn writes_what_the_planner_reads() {
        let table = TableDef {
            name: RelationName::new("shop", "Order Items"),
            unlogged: true,
            columns: vec![
                ColumnDef {
                    name: "id".into(),
                    type_name: "bigint".into(),
                    not_null: true,
                    identity: "a".into(),
                    ..ColumnDef::default()
                },
                ColumnDef {
                    name: "total".into(),
                    type_name: "numeric(10,2)".into(),
                    generated: "s".into(),
                    expression: Some("(price * 2)".into()),
                    ..ColumnDef::default()
                },
                ColumnDef {
                    name: "at".into(),
                    type_name: "timestamp with time zone".into(),
                    expression: Some("now()".into()),
                    ..ColumnDef::default()
                },
            ],
            partition_key: Some("RANGE (at)".into()),
            ..TableDef::default()
        };
        assert_eq!(
            sql(&table),
            "CREATE UNLOGGED TABLE shop.\"Order Items\" (id bigint GENERATED ALWAYS AS IDENTITY NOT NULL, \
             total numeric(10,2) GENERATED ALWAYS AS ((price * 2)) STORED, at timestamp with time zone) PARTITION BY RANGE (at)"
        );
        let defaults: Vec<String> = defaults(&table).map(|step| step.sql).collect();
        assert_eq!(
            defaults,
            ["ALTER TABLE ONLY shop.\"Order Items\" ALTER COLUMN at SET DEFAULT now()"]
        );
    }
}
