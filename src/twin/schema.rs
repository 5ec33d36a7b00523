//! Runs the twin's DDL: extensions as superuser, everything else as the role without rights, until nothing more succeeds.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::{
    TwinError,
    ddl::{self, Step},
    inject::reason,
    stub::Stubs,
};
use crate::{catalog::planner::SchemaObjects, db::OwnedSession, sql::quote_identifier};

/// How [`super::Twin::skipped`] words an extension that no plan needs.
pub const NOT_NEEDED: &str = ": the planner does not need it";
/// How it words one that this server has not.
pub const NOT_AVAILABLE: &str = ": not installed here";

/// Failed statements are tried again while a pass makes progress, at most this often: functions, views and columns can need each other.
const MAX_PASSES: usize = 6;

/// Makes schemas, extensions, types and relations. Returns what could not be made, and what stands in for types of extensions.
pub(super) async fn create(
    superuser: &OwnedSession,
    planner: &OwnedSession,
    objects: &SchemaObjects,
) -> Result<(Vec<String>, Stubs), TwinError> {
    let mut skipped = words(run(planner, ddl::schemas(objects)).await?);
    let mut stubs = Stubs::default();
    skipped.extend(extensions(superuser, planner, objects, &mut stubs).await?);
    skipped.extend(collations(superuser, planner, objects).await?);
    let toasted = untoasted(superuser).await?;
    let mut steps = ddl::types(objects);
    steps.extend(ddl::definitions(objects));
    let mut failed = run(planner, steps).await?;
    let unknown = if failed.is_empty() {
        BTreeSet::new()
    } else {
        unknown_types(planner, objects).await
    };
    if !unknown.is_empty() {
        let tables = ddl::tables(objects, &|name| unknown.contains(name));
        let steps = failed.into_iter().map(|(step, _)| {
            let table = tables.iter().find(|table| table.object == step.object);
            table.cloned().unwrap_or(step)
        });
        failed = run(planner, steps.collect()).await?;
    }
    if !failed.is_empty() {
        failed = run_in_sight(planner, failed, objects).await?;
    }
    toasted_again(superuser, &toasted).await?;
    skipped.extend(words(failed));
    skipped.extend(
        unknown
            .iter()
            .map(|name| format!("type {name}: not available here, its columns hold bytes")),
    );
    skipped.extend(objects.dropped.iter().map(|dropped| {
        format!(
            "{} user-defined {}s: not reproduced",
            dropped.n, dropped.kind
        )
    }));
    Ok((skipped, stubs))
}

/// Types and how their long values are stored.
type Storage = (Vec<u32>, Vec<String>);

/// Tables made from here on get no TOAST table: there are no rows, no plan looks at it, and with its index it is two of the five files of a table.
async fn untoasted(superuser: &OwnedSession) -> Result<Storage, TwinError> {
    let sql = "SELECT oid, typstorage::text FROM pg_type WHERE typlen = -1 AND typstorage <> 'p' AND typtype IN ('b', 'd', 'r', 'm')";
    let rows = superuser.query(sql, &[]).await.map_err(TwinError::own)?;
    let found: Storage = rows
        .iter()
        .map(|row| (row.get::<_, u32>(0), row.get::<_, String>(1)))
        .unzip();
    let sql = "UPDATE pg_type SET typstorage = 'p' WHERE oid = ANY ($1)";
    superuser
        .execute(sql, &[&found.0])
        .await
        .map_err(TwinError::own)?;
    Ok(found)
}

/// Domains on domains, at most.
const MAX_DOMAIN_DEPTH: usize = 16;

/// What is made later has rows: samples of what-if indexes.
async fn toasted_again(superuser: &OwnedSession, toasted: &Storage) -> Result<(), TwinError> {
    let sql = "UPDATE pg_type t SET typstorage = x.storage::\"char\" FROM unnest($1::oid[], $2::text[]) AS x(oid, storage) WHERE t.oid = x.oid";
    let (types, storage) = toasted;
    superuser
        .execute(sql, &[types, storage])
        .await
        .map_err(TwinError::own)?;
    let domains = "UPDATE pg_type d SET typstorage = b.typstorage FROM pg_type b WHERE d.typtype = 'd' AND b.oid = d.typbasetype AND d.typstorage <> b.typstorage";
    for _ in 0..MAX_DOMAIN_DEPTH {
        let n = superuser.execute(domains, &[]).await;
        if n.map_err(TwinError::own)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Each in the best way that works here. Those of the system's schema are the machine's on which the database was initialised.
async fn collations(
    superuser: &OwnedSession,
    planner: &OwnedSession,
    objects: &SchemaObjects,
) -> Result<Vec<String>, TwinError> {
    let allow = "SET allow_system_table_mods = on";
    superuser
        .batch_execute(allow)
        .await
        .map_err(TwinError::own)?;
    let mut skipped = Vec::new();
    for def in &objects.collations {
        let session = if def.name.schema == "pg_catalog" {
            superuser
        } else {
            planner
        };
        for (at, step) in ddl::collation(def).into_iter().enumerate() {
            let failed = run(session, vec![step]).await?;
            match failed.into_iter().next() {
                None if at == 0 => break,
                None => {
                    skipped.push(format!(
                        "collation {}: locale {} is not available here, another stands in",
                        def.name, def.locale
                    ));
                    break;
                }
                Some(_) => {}
            }
        }
    }
    superuser
        .batch_execute("RESET allow_system_table_mods")
        .await
        .map_err(TwinError::own)?;
    Ok(skipped)
}

/// Checks of domains, once statistics are in.
pub(super) async fn finish(
    planner: &OwnedSession,
    objects: &SchemaObjects,
) -> Result<Vec<String>, TwinError> {
    Ok(words(run(planner, ddl::domain_checks(objects)).await?))
}

async fn extensions(
    superuser: &OwnedSession,
    planner: &OwnedSession,
    objects: &SchemaObjects,
    stubs: &mut Stubs,
) -> Result<Vec<String>, TwinError> {
    let sql =
        "SELECT name::text, bool_or(trusted) FROM pg_available_extension_versions GROUP BY name";
    let rows = superuser.query(sql, &[]).await.map_err(TwinError::own)?;
    let available: BTreeMap<String, bool> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut skipped = Vec::new();
    for extension in &objects.extensions {
        let Some(trusted) = available.get(&extension.name) else {
            skipped.push(format!("extension {}{NOT_AVAILABLE}", extension.name));
            skipped.extend(stubs.add(planner, extension).await?);
            continue;
        };
        match ddl::extension(extension, *trusted) {
            None => skipped.push(format!("extension {}{NOT_NEEDED}", extension.name)),
            Some(step) => {
                if let Err(error) = superuser.batch_execute(&step.sql).await {
                    skipped.push(format!("{}: {}", step.object, reason(&error)));
                }
            }
        }
    }
    Ok(skipped)
}

/// What failed once more, with the schemas of extensions in sight: functions of some (earthdistance) call others by their bare names.
async fn run_in_sight(
    planner: &OwnedSession,
    failed: Vec<Failed>,
    objects: &SchemaObjects,
) -> Result<Vec<Failed>, TwinError> {
    let schemas: BTreeSet<&str> = objects
        .extensions
        .iter()
        .map(|extension| extension.schema.as_str())
        .collect();
    let schemas: Vec<String> = schemas.into_iter().map(quote_identifier).collect();
    if schemas.is_empty() {
        return Ok(failed);
    }
    let path = |names: &str| format!("SET search_path = {names}");
    planner
        .batch_execute(&path(&format!("pg_catalog, {}", schemas.join(", "))))
        .await
        .map_err(TwinError::own)?;
    let steps = failed.into_iter().map(|(step, _)| step).collect();
    let failed = run(planner, steps).await?;
    planner
        .batch_execute(&path("pg_catalog"))
        .await
        .map_err(TwinError::own)?;
    Ok(failed)
}

/// Column types that this server does not know.
async fn unknown_types(planner: &OwnedSession, objects: &SchemaObjects) -> BTreeSet<String> {
    let names: BTreeSet<&str> = objects
        .tables
        .iter()
        .flat_map(|table| table.columns.iter().map(|column| column.type_name.as_str()))
        .collect();
    let mut unknown = BTreeSet::new();
    for name in names {
        // one by one: a text that is no type name at all is an error
        let sql = "SELECT to_regtype($1::text) IS NULL";
        let lacks = planner
            .query_one(sql, &[&name])
            .await
            .map_or(true, |row| row.get(0));
        if lacks {
            unknown.insert(name.to_owned());
        }
    }
    unknown
}

/// A step that failed, with the server's reason.
type Failed = (Step, String);

fn words(failed: Vec<Failed>) -> Vec<String> {
    failed
        .into_iter()
        .map(|(step, why)| format!("{}: {why}", step.object))
        .collect()
}

/// Statements that are sent before the first one's answer is waited for: they run one after the other all the same. `join_all` starts up to 30
/// in their order.
const IN_FLIGHT: usize = 30;

/// Runs statements, each in a transaction of its own, through the extended protocol: one statement a text, whatever a snapshot says.
async fn run(session: &OwnedSession, steps: Vec<Step>) -> Result<Vec<Failed>, TwinError> {
    let mut waiting = steps;
    for pass in 1.. {
        let n = waiting.len();
        let mut failed: Vec<Failed> = Vec::new();
        let mut rest = waiting.into_iter().peekable();
        while rest.peek().is_some() {
            let sent: Vec<Step> = rest.by_ref().take(IN_FLIGHT).collect();
            let answers = sent
                .iter()
                .map(|step| session.execute_typed(&step.sql, &[]));
            let answers = join_all(answers).await;
            for (step, answer) in sent.into_iter().zip(answers) {
                match answer {
                    Ok(_) => {}
                    Err(error) if error.is_closed() => return Err(TwinError::own(error)),
                    Err(error) => failed.push((step, reason(&error))),
                }
            }
        }
        if failed.is_empty() || failed.len() == n || pass == MAX_PASSES {
            return Ok(failed);
        }
        waiting = failed.into_iter().map(|(step, _)| step).collect();
    }
    Ok(Vec::new())
}
