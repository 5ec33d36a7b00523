//! Plain SQL for psql: one `.up.sql` and one `.down.sql` a step, safe to run twice and after a build that failed.
//!
//! Facts that these files rest on: CREATE INDEX CONCURRENTLY fails in a transaction block and in any simple query with two statements; a failed one leaves an
//! invalid index that `IF NOT EXISTS` then takes for the real one; `lock_timeout` and `statement_timeout` kill it and leave such an index, while it blocks
//! neither reads nor writes while it waits, so both are 0.

use super::{Framework, MigrationFile, Step, StepKind, fragment, name};
use crate::{
    catalog::{Build, IndexDef, KeyTarget, RelationName},
    finding::{IndexChange, visible},
    sql::{quote_identifier, quote_literal},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "sql",
    summary: "plain SQL for psql: one .up.sql and one .down.sql a change",
    render,
};

/// For statements that queue behind writers and make others queue behind them: give up soon, run again later.
const SHORT_TIMEOUTS: &str = "SET lock_timeout = '5s';\nSET statement_timeout = '1min';\n";

/// For concurrent builds, which wait for old transactions and block nobody meanwhile.
const NO_TIMEOUTS: &str = "SET lock_timeout = 0;\nSET statement_timeout = 0;\n";

fn render(step: &Step) -> Vec<MigrationFile> {
    let (up, down) = match &step.kind {
        StepKind::Extension(extension) => (create_extension(extension), keep_extension(extension)),
        StepKind::Create(change) => (create(change), drop(change)),
        StepKind::Drop(change) => (drop(change), restore(change)),
    };
    vec![file(step, "up", &up), file(step, "down", &down)]
}

fn file(step: &Step, direction: &str, body: &str) -> MigrationFile {
    let name = format!("{}_{}.{direction}.sql", step.timestamp, step.slug);
    let path = match step.folder {
        "" => name.clone(),
        folder => format!("{folder}/{name}"),
    };
    let header = header(step, direction, &name);
    MigrationFile {
        path,
        content: format!("{header}\n{body}"),
    }
}

fn header(step: &Step, direction: &str, name: &str) -> String {
    let mut lines = vec![
        format!("{}{}, proposed by pgassay", if direction == "down" { "undo: " } else { "" }, title(&step.kind)),
        format!("finding: {}", step.finding),
        format!("why: {}", step.why),
        format!("run: psql -X -v ON_ERROR_STOP=1 -f {name}"),
        "never with psql's -1 or -c, nor in a transaction; from one process only; safe to run again after a failure".to_owned(),
    ];
    lines.extend(preflight(&step.kind, direction));
    let lines: Vec<String> = lines.iter().map(|line| comment(line)).collect();
    lines.concat()
}

/// A comment line; nothing in `text` can end it.
fn comment(text: &str) -> String {
    format!("-- {}\n", visible(text))
}

fn title(kind: &StepKind) -> String {
    match kind {
        StepKind::Extension(extension) => format!("create extension {extension}"),
        StepKind::Create(change) => {
            format!("create index {} on {}", change.def.name, change.def.table)
        }
        StepKind::Drop(change) => format!("drop index {} on {}", change.def.name, change.def.table),
    }
}

/// What to know before running it.
fn preflight(kind: &StepKind, direction: &str) -> Vec<String> {
    match (kind, direction) {
        (StepKind::Create(change), "up") | (StepKind::Drop(change), "down") => {
            preflight_build(change)
        }
        (StepKind::Drop(change), _) => preflight_drop(change),
        _ => Vec::new(),
    }
}

fn preflight_build(change: &IndexChange) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(size) = change.size_bytes {
        let size = megabytes(size);
        lines.push(format!(
            "needs: about {size} of disk for the index, up to as much again for sorting, and about {size} of WAL that each replica replays"
        ));
    }
    lines.push("blocks: neither reads nor writes; holds off VACUUM and other schema changes on this table while it builds".to_owned());
    lines.push(
        "waits: for every older transaction of this database; end those that idle".to_owned(),
    );
    if !change.partition_leaves.is_empty() {
        lines.push(
            "blocks also: writes to the parent for a moment, while its empty index is made"
                .to_owned(),
        );
    }
    if change.def.method == "gin" {
        lines.push(
            "GIN: writes go to a pending list first; see fastupdate and gin_pending_list_limit"
                .to_owned(),
        );
    }
    if change.def.unique {
        lines.push(format!(
            "unique: fails on duplicates; look first: {}",
            duplicates(&change.def)
        ));
    }
    lines
}

fn preflight_drop(change: &IndexChange) -> Vec<String> {
    let index = quote_literal(&change.def.qualified_name_sql());
    let mut lines = vec![format!(
        "before: look again on the primary and on every standby: SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelid = {index}::regclass;"
    )];
    if let Some(size) = change.size_bytes {
        lines.push(format!("frees: {}", megabytes(size)));
    }
    lines.push(if is_partitioned(change) || change.constraint.is_some() {
        "blocks: reads and writes for the moment of the drop; gives up after 5 s of waiting"
            .to_owned()
    } else {
        "blocks: nothing; waits for every older transaction that uses the table".to_owned()
    });
    lines
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
    let keys = keys.join(", ");
    format!(
        "SELECT {keys}, count(*) FROM {} GROUP BY {keys} HAVING count(*) > 1;",
        def.table.to_sql()
    )
}

fn create_extension(extension: &str) -> String {
    format!(
        "{SHORT_TIMEOUTS}CREATE EXTENSION IF NOT EXISTS {};\n",
        quote_identifier(extension)
    )
}

/// Going back must not break what else came to use the extension.
fn keep_extension(extension: &str) -> String {
    let drop = format!("DROP EXTENSION {};", quote_identifier(extension));
    comment(
        "the extension stays: queries may use its operators, which Postgres does not track. When nothing does:",
    ) + &comment(&drop)
}

fn is_partitioned(change: &IndexChange) -> bool {
    !change.partition_leaves.is_empty()
}

fn create(change: &IndexChange) -> String {
    let mut sql = if is_partitioned(change) {
        create_partitioned(change)
    } else {
        let build = change.def.create_sql(Build::Concurrently);
        format!("{NO_TIMEOUTS}{}", build_valid(&change.def, &build))
    };
    if let Some(constraint) = &change.constraint {
        sql.push_str(&add_constraint(&change.def, constraint));
    }
    let on_expression =
        |key: &crate::catalog::IndexKey| matches!(key.target, KeyTarget::Expression(_));
    if change.def.keys.iter().any(on_expression) {
        sql.push_str("-- an expression has no statistics before this\n");
        sql.push_str(&format!("ANALYZE {};\n", change.def.table.to_sql()));
    }
    sql
}

/// Removes what a failed build left, builds, and fails unless the index is there, on this table, and valid.
fn build_valid(def: &IndexDef, build: &str) -> String {
    format!("{}{build};\n{}", drop_invalid(def), assert_valid(def))
}

/// A build that is still going on elsewhere also shows as invalid: it is left alone.
fn drop_invalid(def: &IndexDef) -> String {
    format!(
        "SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I', n.nspname, c.relname)\n  \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace\n \
         WHERE n.nspname = {} AND c.relname = {} AND NOT i.indisvalid\n   \
         AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) \\gexec\n",
        quote_literal(&def.table.schema),
        quote_literal(&def.name),
    )
}

fn assert_valid(def: &IndexDef) -> String {
    format!(
        "-- division by zero here means: no valid index of that name on this table\n\
         SELECT 1 / count(*) AS ok FROM pg_index\n WHERE indexrelid = {}::regclass AND indrelid = {}::regclass AND indisvalid;\n",
        quote_literal(&def.qualified_name_sql()),
        quote_literal(&def.table.to_sql()),
    )
}

/// An index on the parent alone, concurrent builds on the leaves, then each attached; the parent's turns valid with the last.
fn create_partitioned(change: &IndexChange) -> String {
    let def = &change.def;
    let mut sql = SHORT_TIMEOUTS.to_owned();
    sql.push_str("-- no rows are read; Postgres knows no concurrent form of it\n");
    sql.push_str("-- squawk-ignore require-concurrent-index-creation\n");
    sql.push_str(&format!("{};\n", on_only(def)));
    sql.push_str(&intermediate_levels(def));
    sql.push_str(&format!("\n{NO_TIMEOUTS}"));
    for leaf in &change.partition_leaves {
        let leaf_def = leaf_def(def, leaf);
        let build = leaf_def.create_sql(Build::Concurrently);
        sql.push_str(&format!("\n{}", build_valid(&leaf_def, &build)));
    }
    sql.push_str(&format!("\n{SHORT_TIMEOUTS}"));
    sql.push_str(&attach(change));
    sql.push_str(&assert_valid(def));
    sql
}

/// `CREATE INDEX … ON ONLY parent`.
fn on_only(def: &IndexDef) -> String {
    let unique = if def.unique { "UNIQUE " } else { "" };
    format!(
        "CREATE {unique}INDEX IF NOT EXISTS {} ON ONLY {} {}",
        quote_identifier(&def.name),
        def.table.to_sql(),
        def.body_sql()
    )
}

fn leaf_def(def: &IndexDef, leaf: &RelationName) -> IndexDef {
    IndexDef {
        table: leaf.clone(),
        name: name::leaf_index_name(&leaf.name, def),
        ..def.clone()
    }
}

/// SQL for the name of the index on a partitioned table between parent and leaves. Those tables are found when the file runs.
fn intermediate_name(def: &IndexDef) -> String {
    let suffix = format!("_{:08x}_idx", name::hash(&def.name));
    format!("left(c.relname::text, 40) || {}", quote_literal(&suffix))
}

fn intermediate_levels(def: &IndexDef) -> String {
    let unique = if def.unique { "UNIQUE " } else { "" };
    format!(
        "-- tables between parent and leaves, if there are any\n\
         SELECT format('CREATE {unique}INDEX IF NOT EXISTS %I ON ONLY %s %s', {}, t.relid::regclass, {})\n  \
         FROM pg_partition_tree({}::regclass) t JOIN pg_class c ON c.oid = t.relid\n \
         WHERE NOT t.isleaf AND t.level > 0 ORDER BY t.level \\gexec\n",
        intermediate_name(def),
        quote_literal(&def.body_sql()),
        quote_literal(&def.table.to_sql()),
    )
}

/// Attaches every index to that of the table above it: leaves first, so that each level turns valid before it is attached itself.
fn attach(change: &IndexChange) -> String {
    let def = &change.def;
    let names: Vec<String> = std::iter::once((def.table.clone(), def.name.clone()))
        .chain(change.partition_leaves.iter().map(|leaf| {
            let index = leaf_def(def, leaf).name;
            (leaf.clone(), index)
        }))
        .map(|(table, index)| {
            let table = quote_literal(&table.to_sql());
            format!("({table}::regclass, {})", quote_literal(&index))
        })
        .collect();
    format!(
        "WITH known (relid, index) AS (VALUES\n    {}),\n\
         tree AS (\n  SELECT t.relid, t.parentrelid, t.level, n.nspname, coalesce(k.index, {}) AS index\n    \
         FROM pg_partition_tree({}::regclass) t JOIN pg_class c ON c.oid = t.relid\n    \
         JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN known k ON k.relid = t.relid::oid)\n\
         SELECT format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', above.nspname, above.index, below.nspname, below.index)\n  \
         FROM tree below JOIN tree above ON above.relid = below.parentrelid ORDER BY below.level DESC, below.index \\gexec\n",
        names.join(",\n    "),
        intermediate_name(def),
        quote_literal(&def.table.to_sql()),
    )
}

/// Turns a unique index into a constraint, once.
fn add_constraint(def: &IndexDef, constraint: &str) -> String {
    let table = def.table.to_sql();
    let add = format!(
        "ALTER TABLE {table} ADD CONSTRAINT {} UNIQUE USING INDEX {}",
        quote_identifier(constraint),
        quote_identifier(&def.name)
    );
    format!(
        "{SHORT_TIMEOUTS}SELECT {}\n WHERE NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = {}::regclass AND conname = {}) \\gexec\n",
        quote_literal(&add),
        quote_literal(&table),
        quote_literal(constraint),
    )
}

fn drop(change: &IndexChange) -> String {
    let def = &change.def;
    match &change.constraint {
        Some(constraint) => format!(
            "{SHORT_TIMEOUTS}ALTER TABLE {} DROP CONSTRAINT IF EXISTS {};\n",
            def.table.to_sql(),
            quote_identifier(constraint)
        ),
        None if is_partitioned(change) => drop_partitioned(change),
        None => format!(
            "{NO_TIMEOUTS}DROP INDEX CONCURRENTLY IF EXISTS {};\n",
            def.qualified_name_sql()
        ),
    }
}

/// The parent's index takes those of its partitions with it; what a failed build left unattached goes one by one.
fn drop_partitioned(change: &IndexChange) -> String {
    let def = &change.def;
    let mut sql = format!(
        "{SHORT_TIMEOUTS}-- Postgres knows no concurrent form of it for a partitioned table\n\
         -- squawk-ignore require-concurrent-index-deletion\nDROP INDEX IF EXISTS {};\n{NO_TIMEOUTS}",
        def.qualified_name_sql()
    );
    for leaf in &change.partition_leaves {
        let name = leaf_def(def, leaf).qualified_name_sql();
        sql.push_str(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name};\n"));
    }
    sql
}

/// Brings a dropped index back exactly as it was, from its full old definition.
fn restore(change: &IndexChange) -> String {
    let old = change
        .before
        .as_deref()
        .and_then(|before| fragment::split_definition(before).ok());
    match old {
        Some((start, rest)) if !is_partitioned(change) => {
            let build = format!("{start}CONCURRENTLY IF NOT EXISTS {rest}");
            let mut sql = format!("{NO_TIMEOUTS}{}", build_valid(&change.def, &build));
            if let Some(constraint) = &change.constraint {
                sql.push_str(&add_constraint(&change.def, constraint));
            }
            sql
        }
        _ => create(change),
    }
}
