//! DDL of the twin, written from typed catalog data: only the kinds of object that a planner looks at, one statement each.
//!
//! Everything but extensions is run by a role without rights, so that expressions and function bodies of a snapshot, however hostile,
//! can do no more than that role. Statements go through the extended protocol, which takes one statement and no more.

mod function;
mod operator;
mod search;
mod table;

use crate::{
    catalog::{
        RelationName,
        planner::{
            CollationDef, ConstraintKind, ExtensionDef, IndexObject, PolicyDef, SchemaObjects,
            TableDef, TypeDef, TypeShape, ViewDef,
        },
    },
    sql::{quote_identifier, quote_literal},
};

/// Languages whose functions may exist in a twin: those that Postgres itself calls trusted and ships. Functions in others become stubs.
pub(super) const KEPT_LANGUAGES: [&str; 2] = ["sql", "plpgsql"];

/// Extensions that are installed although not marked trusted: types, operators and index methods for the planner, none of which reaches a
/// file, a program or a network. Others that aren't trusted (`dblink`, `file_fdw`, `plpython3u`, …) are left out and listed.
const HARMLESS_EXTENSIONS: &[&str] = &[
    "bloom",
    "earthdistance",
    "h3",
    "hll",
    "ip4r",
    "orafce",
    "pg_bigm",
    "postgis",
    "postgis_raster",
    "postgis_topology",
    "prefix",
    "rum",
    "semver",
    "timescaledb_toolkit",
    "vector",
];

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The object in words: `index public.orders_pkey`.
    pub object: String,
    /// The statement.
    pub sql: String,
}

impl Step {
    fn new(kind: &str, name: impl std::fmt::Display, sql: String) -> Self {
        Self {
            object: format!("{kind} {name}"),
            sql,
        }
    }
}

/// Schemas: first, so that extensions can live in them.
#[must_use]
pub(super) fn schemas(objects: &SchemaObjects) -> Vec<Step> {
    objects
        .schemas
        .iter()
        .map(|name| {
            let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", quote_identifier(name));
            Step::new("schema", name, sql)
        })
        .collect()
}

/// Extensions: the only statements that the bootstrap superuser runs, before any object of the snapshot exists.
/// `trusted` are those that the server marks so.
#[must_use]
pub(super) fn extension(extension: &ExtensionDef, trusted: bool) -> Option<Step> {
    let harmless = HARMLESS_EXTENSIONS.contains(&extension.name.as_str());
    (trusted || harmless).then(|| {
        let sql = format!(
            "CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}",
            quote_identifier(&extension.name),
            quote_identifier(&extension.schema)
        );
        Step::new("extension", &extension.name, sql)
    })
}

/// What must stand before statistics can be loaded, in an order that mostly satisfies dependencies; what fails is tried again after the rest.
#[must_use]
pub(super) fn definitions(objects: &SchemaObjects) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    steps.extend(objects.functions.iter().map(function::create));
    steps.extend(objects.sequences.iter().map(|name| {
        Step::new(
            "sequence",
            name,
            format!("CREATE SEQUENCE {}", name.to_sql()),
        )
    }));
    steps.extend(tables(objects, &|_| false));
    steps.extend(objects.tables.iter().filter_map(table::drop_columns));
    steps.extend(objects.tables.iter().flat_map(table::defaults));
    steps.extend(objects.tables.iter().flat_map(table::inherit));
    steps.extend(objects.tables.iter().filter_map(table::attach));
    steps.extend(objects.aggregates.iter().map(operator::aggregate));
    steps.extend(objects.operators.iter().filter_map(operator::operator));
    steps.extend(objects.casts.iter().map(operator::cast));
    steps.extend(objects.views.iter().map(view));
    steps.extend(constraints(objects));
    steps.extend(objects.indexes.iter().filter_map(index));
    steps.extend(objects.indexes.iter().filter_map(attach_index));
    steps.extend(objects.statistics.iter().map(|statistics| {
        Step::new(
            "statistics",
            &statistics.name,
            statistics.definition.clone(),
        )
    }));
    steps.extend(objects.tables.iter().filter_map(row_security));
    steps.extend(objects.policies.iter().map(policy));
    steps
}

/// The tables by themselves. `unknown` says which type names the server lacks.
#[must_use]
pub(super) fn tables(objects: &SchemaObjects, unknown: &dyn Fn(&str) -> bool) -> Vec<Step> {
    (objects.tables.iter())
        .map(|table| table::create(table, unknown))
        .collect()
}

/// Types and text search configurations: before tables.
#[must_use]
pub(super) fn types(objects: &SchemaObjects) -> Vec<Step> {
    let mut steps: Vec<Step> = objects
        .search_dictionaries
        .iter()
        .map(search::dictionary)
        .collect();
    steps.extend(
        objects
            .search_configurations
            .iter()
            .flat_map(search::configuration),
    );
    steps.extend(objects.types.iter().map(user_type));
    steps
}

/// Checks of domains: after the statistics are in, because loading those runs input functions as superuser.
#[must_use]
pub(super) fn domain_checks(objects: &SchemaObjects) -> Vec<Step> {
    objects
        .types
        .iter()
        .flat_map(|def| {
            match &def.shape {
                TypeShape::Domain { checks, .. } => checks.as_slice(),
                _ => &[],
            }
            .iter()
            .map(|check| {
                let check = check.trim_end_matches(" NOT VALID");
                let sql = format!("ALTER DOMAIN {} ADD {check} NOT VALID", def.name.to_sql());
                Step::new("check of domain", &def.name, sql)
            })
        })
        .collect()
}

fn user_type(def: &TypeDef) -> Step {
    let name = def.name.to_sql();
    let collate = |collation: &Option<String>| match collation {
        Some(collation) => format!(" COLLATE {collation}"),
        None => String::new(),
    };
    let sql = match &def.shape {
        TypeShape::Enum(labels) => {
            let labels: Vec<String> = labels.iter().map(|label| quote_literal(label)).collect();
            format!("CREATE TYPE {name} AS ENUM ({})", labels.join(", "))
        }
        TypeShape::Domain {
            base,
            not_null,
            collation,
            ..
        } => {
            let not_null = if *not_null { " NOT NULL" } else { "" };
            format!(
                "CREATE DOMAIN {name} AS {base}{}{not_null}",
                collate(collation)
            )
        }
        TypeShape::Composite(attributes) => {
            let attributes: Vec<String> = attributes
                .iter()
                .map(|(attribute, type_name, collation)| {
                    format!(
                        "{} {type_name}{}",
                        quote_identifier(attribute),
                        collate(collation)
                    )
                })
                .collect();
            format!("CREATE TYPE {name} AS ({})", attributes.join(", "))
        }
        TypeShape::Range {
            subtype,
            collation,
            opclass,
            difference,
            multirange,
        } => {
            let mut options = format!("SUBTYPE = {subtype}");
            if let Some(opclass) = opclass {
                options.push_str(&format!(", SUBTYPE_OPCLASS = {opclass}"));
            }
            if let Some(collation) = collation {
                options.push_str(&format!(", COLLATION = {collation}"));
            }
            if let Some(difference) = difference {
                options.push_str(&format!(", SUBTYPE_DIFF = {difference}"));
            }
            if let Some(multirange) = multirange {
                options.push_str(&format!(", MULTIRANGE_TYPE_NAME = {multirange}"));
            }
            format!("CREATE TYPE {name} AS RANGE ({options})")
        }
    };
    Step::new("type", &def.name, sql)
}

/// Ways to make a collation, best first: a machine may lack the libc locale, or the server ICU.
#[must_use]
pub(super) fn collation(def: &CollationDef) -> Vec<Step> {
    let name = def.name.to_sql();
    let create = |options: String| {
        let sql = format!("CREATE COLLATION IF NOT EXISTS {name} ({options})");
        Step::new("collation", &def.name, sql)
    };
    let locale = quote_literal(&def.locale);
    let icu = |locale: &str| {
        format!(
            "PROVIDER = icu, LOCALE = {}, DETERMINISTIC = {}",
            quote_literal(locale),
            def.deterministic
        )
    };
    let mut ways = match def.provider.as_str() {
        "i" => vec![create(icu(&def.locale))],
        "b" => vec![create(format!("PROVIDER = builtin, LOCALE = {locale}"))],
        _ => vec![
            create(format!("PROVIDER = libc, LOCALE = {locale}")),
            create(icu(&language_tag(&def.locale))),
        ],
    };
    ways.push(create("PROVIDER = libc, LOCALE = 'C.UTF-8'".to_owned()));
    ways
}

/// `de_AT.UTF-8@euro` → `de-AT`
#[must_use]
pub(super) fn language_tag(locale: &str) -> String {
    let end = locale.find(['.', '@']).unwrap_or(locale.len());
    locale[..end].replace('_', "-")
}

fn view(def: &ViewDef) -> Step {
    let barrier = if def.security_barrier {
        " WITH (security_barrier = true)"
    } else {
        ""
    };
    let columns: Vec<String> = def
        .columns
        .iter()
        .map(|(name, _)| quote_identifier(name))
        .collect();
    let sql = format!(
        "CREATE VIEW {} ({}){barrier} AS {}",
        def.name.to_sql(),
        columns.join(", "),
        def.definition.trim_end().trim_end_matches(';')
    );
    Step::new("view", &def.name, sql)
}

/// Keys first, because foreign keys lean on them.
fn constraints(objects: &SchemaObjects) -> Vec<Step> {
    let mut sorted: Vec<_> = objects.constraints.iter().collect();
    sorted.sort_by_key(|constraint| constraint.kind);
    let mut steps = Vec::new();
    let mut attached = false;
    for constraint in sorted {
        if constraint.kind > ConstraintKind::Exclusion && !attached {
            // a foreign key to a partitioned table needs its key complete
            steps.extend(
                objects
                    .indexes
                    .iter()
                    .filter(|i| i.definition.is_none())
                    .filter_map(attach_index),
            );
            attached = true;
        }
        // keys of partitions are listed one by one; foreign keys and checks go down by themselves
        let only = if constraint.kind <= ConstraintKind::Exclusion {
            "ONLY "
        } else {
            ""
        };
        let sql = format!(
            "ALTER TABLE {only}{} ADD CONSTRAINT {} {}",
            constraint.table.to_sql(),
            quote_identifier(&constraint.name),
            constraint.definition
        );
        let name = format!("{} of {}", constraint.name, constraint.table);
        steps.push(Step::new("constraint", name, sql));
    }
    steps
}

fn index(def: &IndexObject) -> Option<Step> {
    let sql = def.definition.clone()?;
    Some(Step::new("index", &def.name, sql))
}

fn attach_index(def: &IndexObject) -> Option<Step> {
    let parent: &RelationName = def.parent.as_ref()?;
    let sql = format!(
        "ALTER INDEX {} ATTACH PARTITION {}",
        parent.to_sql(),
        def.name.to_sql()
    );
    Some(Step::new("attachment of index", &def.name, sql))
}

/// Forced, because the twin's role owns its tables.
fn row_security(table: &TableDef) -> Option<Step> {
    table.row_security.then(|| {
        let name = table.name.to_sql();
        let sql = format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
        Step::new("row security of", &table.name, sql)
    })
}

fn policy(def: &PolicyDef) -> Step {
    let kind = if def.permissive {
        "PERMISSIVE"
    } else {
        "RESTRICTIVE"
    };
    let command = match def.command.as_str() {
        "r" => "SELECT",
        "a" => "INSERT",
        "w" => "UPDATE",
        "d" => "DELETE",
        _ => "ALL",
    };
    let mut sql = format!(
        "CREATE POLICY {} ON {} AS {kind} FOR {command}",
        quote_identifier(&def.name),
        def.table.to_sql()
    );
    if let Some(using) = &def.using {
        sql.push_str(&format!(" USING ({using})"));
    }
    if let Some(check) = &def.check {
        sql.push_str(&format!(" WITH CHECK ({check})"));
    }
    Step::new("policy", format!("{} of {}", def.name, def.table), sql)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::planner::{ColumnDef, ConstraintDef};

    fn name(text: &str) -> RelationName {
        RelationName::new("public", text)
    }

    #[test]
    fn hostile_names_stay_names() {
        let objects = SchemaObjects {
            schemas: vec!["a\"; DROP ROLE x; --".into()],
            types: vec![TypeDef {
                name: name("t\"y"),
                shape: TypeShape::Enum(vec!["it's".into(), "back\\slash".into()]),
            }],
            ..SchemaObjects::default()
        };
        assert_eq!(
            schemas(&objects)[0].sql,
            "CREATE SCHEMA IF NOT EXISTS \"a\"\"; DROP ROLE x; --\""
        );
        assert_eq!(
            types(&objects)[0].sql,
            "CREATE TYPE public.\"t\"\"y\" AS ENUM ('it''s', E'back\\\\slash')"
        );
    }

    #[test]
    fn keys_come_before_the_foreign_keys_that_need_them() {
        let constraint = |name_: &str, kind| ConstraintDef {
            table: name("t"),
            name: name_.into(),
            kind,
            definition: String::new(),
        };
        let objects = SchemaObjects {
            constraints: vec![
                constraint("fk", ConstraintKind::Foreign),
                constraint("pk", ConstraintKind::Primary),
            ],
            indexes: vec![IndexObject {
                name: name("child_pkey"),
                parent: Some(name("pk")),
                ..IndexObject::default()
            }],
            ..SchemaObjects::default()
        };
        let made: Vec<String> = constraints(&objects)
            .into_iter()
            .map(|s| s.object)
            .collect();
        assert_eq!(
            made,
            [
                "constraint pk of public.t",
                "attachment of index public.child_pkey",
                "constraint fk of public.t"
            ]
        );
    }

    #[test]
    fn extensions_that_reach_out_are_left_out() {
        let named = |name: &str| ExtensionDef {
            name: name.into(),
            schema: "public".into(),
            version: "1".into(),
        };
        assert!(extension(&named("dblink"), false).is_none());
        assert!(extension(&named("plpython3u"), false).is_none());
        assert!(extension(&named("vector"), false).is_some());
        assert!(extension(&named("citext"), true).is_some());
    }

    #[test]
    fn a_column_of_an_unknown_type_becomes_bytes() {
        let table = TableDef {
            name: name("places"),
            columns: vec![ColumnDef {
                name: "at".into(),
                type_name: "public.geometry".into(),
                ..ColumnDef::default()
            }],
            ..TableDef::default()
        };
        let objects = SchemaObjects {
            tables: vec![table],
            ..SchemaObjects::default()
        };
        let steps = tables(&objects, &|name| name == "public.geometry");
        assert_eq!(steps[0].sql, "CREATE TABLE public.places (at bytea)");
    }
}
