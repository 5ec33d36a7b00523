//! What to know before running a migration, as comment lines: the same for every framework.

use super::{Step, StepKind, script};
use crate::{
    catalog::{IndexDef, KeyTarget, RelationName},
    finding::IndexChange,
    sql::{quote_identifier, quote_literal},
};

/// Forth or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// The lines above a migration: what it is, why, what it needs and blocks. Runners add how to run it.
pub(super) fn lines(step: &Step, direction: Direction) -> Vec<String> {
    let undo = match direction {
        Direction::Up => "",
        Direction::Down => "undo: ",
    };
    let mut lines = vec![
        format!("{undo}{}, proposed by pgassay", title(&step.kind)),
        format!("finding: {}", step.finding),
        format!("why: {}", step.why),
    ];
    lines.extend(facts(step, direction));
    lines
}

/// What the step does, in a few words.
pub(super) fn title(kind: &StepKind) -> String {
    match kind {
        StepKind::Extension(extension) => format!("create extension {extension}"),
        StepKind::Statistics(statistics) => {
            format!(
                "create statistics {} on {}",
                statistics.name, statistics.table
            )
        }
        StepKind::Create(change) => {
            format!("create index {} on {}", change.def.name, change.def.table)
        }
        StepKind::Drop(change) => format!("drop index {} on {}", change.def.name, change.def.table),
    }
}

fn facts(step: &Step, direction: Direction) -> Vec<String> {
    match (&step.kind, direction) {
        (StepKind::Create(change), Direction::Up) | (StepKind::Drop(change), Direction::Down) => {
            build(change)
        }
        (StepKind::Drop(change), Direction::Up) => drop(step, change),
        (StepKind::Extension(_), Direction::Up) => vec![
            "needs: the extension's files on the server, and the right to create it (a superuser, or CREATE on the database for trusted ones)".to_owned(),
        ],
        (StepKind::Statistics(_), Direction::Up) => {
            vec!["blocks: neither reads nor writes; reads a sample of the table (ANALYZE)".to_owned()]
        }
        _ => Vec::new(),
    }
}

fn build(change: &IndexChange) -> Vec<String> {
    let def = &change.def;
    let mut lines = Vec::new();
    if let Some(size) = change.size_bytes {
        let size = megabytes(size);
        lines.push(format!(
            "needs: about {size} of disk for the index, up to as much again for sorting, and about {size} of WAL that each replica replays"
        ));
    }
    lines.push("blocks: neither reads nor writes; holds off VACUUM and other schema changes on this table while it builds".to_owned());
    lines.push(
        "waits: for every older transaction of this database, also idle ones: end those first"
            .to_owned(),
    );
    lines.push(
        "run: from exactly one process; two at once end in a deadlock error and an invalid index"
            .to_owned(),
    );
    if script::is_partitioned(change) {
        lines.push(
            "blocks also: writes to the parent for a moment, while its empty index is made"
                .to_owned(),
        );
    }
    if def.method == "gin" {
        lines.push("GIN: writes go to a pending list first, which a read may have to work through; see fastupdate and gin_pending_list_limit".to_owned());
    }
    if def.unique {
        lines.push(format!(
            "unique: only if the application means it; fails on duplicates; look first: {}",
            duplicates(def)
        ));
    }
    lines
}

fn drop(step: &Step, change: &IndexChange) -> Vec<String> {
    let schema = &change.def.table.schema;
    let mut lines = vec![format!(
        "before: must stay the same over 7 days, on the primary and on every standby: {}",
        scans(&change.def.qualified_name_sql())
    )];
    for name in &step.instead {
        let name = RelationName::new(schema.clone(), name.clone()).to_sql();
        lines.push(format!(
            "before: its replacement must be valid and in use for 7 days: {}",
            scans(&name)
        ));
    }
    if let Some(size) = change.size_bytes {
        lines.push(format!("frees: {}", megabytes(size)));
    }
    lines.push(
        if script::is_partitioned(change) || change.constraint.is_some() {
            "blocks: reads and writes for the moment of the drop; gives up after 5 s of waiting"
                .to_owned()
        } else {
            "blocks: nothing; waits for every older transaction that uses the table".to_owned()
        },
    );
    lines
}

/// A query for an index's validity and scans.
fn scans(index: &str) -> String {
    format!(
        "SELECT i.indisvalid, s.idx_scan FROM pg_index i LEFT JOIN pg_stat_user_indexes s USING (indexrelid) WHERE i.indexrelid = {}::regclass;",
        quote_literal(index)
    )
}

/// Rounded up to whole megabytes.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1024 * 1024))
}

/// The query that finds duplicates of a unique index's keys.
fn duplicates(def: &IndexDef) -> String {
    let keys: Vec<String> = def
        .keys
        .iter()
        .map(|key| match &key.target {
            KeyTarget::Column(name) => quote_identifier(name),
            KeyTarget::Expression(text) => format!("({text})"),
        })
        .collect();
    let condition = match &def.predicate {
        Some(predicate) => format!(" WHERE {predicate}"),
        None => String::new(),
    };
    let keys = keys.join(", ");
    // NULLs are no duplicates of each other
    let known: Vec<String> = def
        .keys
        .iter()
        .map(|key| match &key.target {
            KeyTarget::Column(name) => format!("{} IS NOT NULL", quote_identifier(name)),
            KeyTarget::Expression(text) => format!("({text}) IS NOT NULL"),
        })
        .collect();
    format!(
        "SELECT {keys}, count(*) FROM {}{condition} GROUP BY {keys} HAVING count(*) > 1 AND {};",
        def.table.to_sql(),
        known.join(" AND ")
    )
}
