//! What a step does, statement by statement and back again: the same SQL for every framework, which only wraps it.
//!
//! Facts that this rests on: CREATE INDEX CONCURRENTLY fails in a transaction block and in any simple query with two statements; a failed one leaves an invalid
//! index that `IF NOT EXISTS` then takes for the real one; `lock_timeout` and `statement_timeout` kill it and leave such an index, while it blocks neither reads nor
//! writes while it waits, so both are 0. What queues behind writers and makes others queue behind it gives up soon instead, and can be run again.

use super::{Statistics, Step, StepKind, fragment, name};
use crate::{
    catalog::{Build, IndexDef, KeyTarget, RelationName},
    finding::IndexChange,
    sql::{quote_identifier, quote_literal},
};

/// One statement, or a pattern of statements that frameworks write in their own ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// For the statements after it.
    Timeouts(Timeouts),
    /// A statement that may stand in a transaction.
    Run(String),
    /// A statement that must stand outside.
    Concurrently(String),
    /// Drops an index of this name on this table if a failed build left it invalid, and no build of it is going on.
    DropInvalid(Target),
    /// Fails unless the index is there, on this table, and valid.
    AssertValid(Target),
    /// A line for the reader.
    Remark(String),
}

/// How long to wait for locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timeouts {
    /// For statements that queue behind writers and make others queue behind them: give up soon, run again later.
    Short,
    /// For concurrent builds, which wait for old transactions and block nobody meanwhile.
    Off,
}

/// `lock_timeout` of statements that others queue behind. Long enough to get past short transactions, short enough that a site survives the queue
/// (strong_migrations recommends 10 s, eugene 2 s).
pub(super) const SHORT_LOCK_TIMEOUT: &str = "5s";

/// `statement_timeout` of such statements: they read no rows; ANALYZE reads 30,000 per unit of `default_statistics_target` at most.
pub(super) const SHORT_STATEMENT_TIMEOUT: &str = "1min";

/// An index and its table, quoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    /// `schema.index`
    pub(super) index: String,
    /// `schema.table`
    pub(super) table: String,
}

/// A piece of a step with its way back. Either all of it may run in a transaction, or it holds one concurrent statement and what guards it: frameworks that
/// send a file whole give each part a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Tells the parts of a step apart in file names; empty for a step's main part.
    pub(super) suffix: String,
    /// Forth.
    pub(super) up: Vec<Op>,
    /// And back.
    pub(super) down: Vec<Op>,
}

impl Part {
    fn new(suffix: impl Into<String>, up: Vec<Op>, down: Vec<Op>) -> Self {
        Self {
            suffix: suffix.into(),
            up,
            down,
        }
    }

    fn inverted(self) -> Self {
        Self {
            suffix: self.suffix,
            up: self.down,
            down: self.up,
        }
    }
}

/// The parts of a step, in the order in which to run them.
pub(super) fn parts(step: &Step) -> Vec<Part> {
    match &step.kind {
        StepKind::Extension(extension) => vec![create_extension(extension)],
        StepKind::Statistics(statistics) => vec![create_statistics(statistics)],
        StepKind::Create(change) => create(change),
        StepKind::Drop(change) => drop(change, &step.instead),
    }
}

/// All of a step forth.
pub(super) fn up(step: &Step) -> Vec<Op> {
    let ops = parts(step).into_iter().flat_map(|part| part.up);
    without_repeated_timeouts(ops)
}

/// All of a step back.
pub(super) fn down(step: &Step) -> Vec<Op> {
    let ops = parts(step).into_iter().rev().flat_map(|part| part.down);
    without_repeated_timeouts(ops)
}

fn without_repeated_timeouts(ops: impl Iterator<Item = Op>) -> Vec<Op> {
    let mut current = None;
    ops.filter(|op| match op {
        Op::Timeouts(timeouts) => current.replace(*timeouts) != Some(*timeouts),
        _ => true,
    })
    .collect()
}

/// Does any of it have to run outside a transaction?
pub(super) fn is_concurrent(ops: &[Op]) -> bool {
    ops.iter().any(|op| matches!(op, Op::Concurrently(_)))
}

/// Is there anything to run?
pub(super) fn does_something(ops: &[Op]) -> bool {
    ops.iter()
        .any(|op| !matches!(op, Op::Remark(_) | Op::Timeouts(_)))
}

impl Target {
    pub(super) fn of(def: &IndexDef) -> Self {
        Self {
            index: def.qualified_name_sql(),
            table: def.table.to_sql(),
        }
    }

    /// A query that has a row if the index is an invalid left-over. A build that is still going on elsewhere also shows as invalid: it is left alone.
    pub(super) fn left_over_sql(&self) -> String {
        format!(
            "SELECT 1 FROM pg_index i\n WHERE i.indexrelid = to_regclass({}) AND i.indrelid = {}::regclass AND NOT i.indisvalid\n   \
             AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)",
            quote_literal(&self.index),
            quote_literal(&self.table),
        )
    }

    pub(super) fn drop_sql(&self) -> String {
        format!("DROP INDEX CONCURRENTLY IF EXISTS {}", self.index)
    }

    /// For runners that cannot ask first: drops a left-over in a transaction. That takes an exclusive lock for a moment, hence the short wait.
    pub(super) fn drop_left_over_block(&self) -> String {
        let body = format!(
            "BEGIN\n  IF EXISTS ({}) THEN\n    SET LOCAL lock_timeout = '{SHORT_LOCK_TIMEOUT}';\n    DROP INDEX {};\n  END IF;\nEND",
            self.left_over_sql(),
            self.index,
        );
        do_block(&body)
    }

    /// Fails with a hint unless the index is valid.
    pub(super) fn assert_block(&self) -> String {
        let body = format!(
            "BEGIN\n  IF NOT EXISTS (SELECT 1 FROM pg_index\n    WHERE indexrelid = to_regclass({index}) AND indrelid = {table}::regclass AND indisvalid) THEN\n    \
             RAISE EXCEPTION '%', {message} USING HINT = {hint};\n  END IF;\nEND",
            index = quote_literal(&self.index),
            table = quote_literal(&self.table),
            message = quote_literal(&format!(
                "there is no valid index {} on {}",
                self.index, self.table
            )),
            hint = quote_literal(&format!(
                "If a build failed: run this alone, then the migration again: REINDEX INDEX CONCURRENTLY {}; if another table has an index of this name: rename one.",
                self.index
            )),
        );
        do_block(&body)
    }
}

/// A DO statement whose dollar quote nothing in the body can end.
pub(super) fn do_block(body: &str) -> String {
    let mut tag = "$pgassay$".to_owned();
    let mut n = 0_u32;
    while body.contains(&tag) {
        n += 1;
        tag = format!("$pgassay{n}$");
    }
    format!("DO {tag}\n{body}\n{tag}")
}

fn run(sql: impl Into<String>) -> Op {
    Op::Run(sql.into())
}

fn create_extension(extension: &str) -> Part {
    let name = quote_identifier(extension);
    Part::new(
        "",
        vec![
            Op::Timeouts(Timeouts::Short),
            run(format!("CREATE EXTENSION IF NOT EXISTS {name}")),
        ],
        // going back must not break what else came to use it
        vec![
            Op::Remark("the extension stays: queries may use its operators, which Postgres does not track. When nothing does:".to_owned()),
            Op::Remark(format!("DROP EXTENSION {name};")),
        ],
    )
}

fn create_statistics(statistics: &Statistics) -> Part {
    Part::new(
        "",
        vec![
            Op::Timeouts(Timeouts::Short),
            run(statistics.create_sql()),
            Op::Remark("empty before this".to_owned()),
            run(format!("ANALYZE {}", statistics.table)),
        ],
        vec![
            Op::Timeouts(Timeouts::Short),
            run(format!("DROP STATISTICS IF EXISTS {}", statistics.name)),
        ],
    )
}

pub(super) fn is_partitioned(change: &IndexChange) -> bool {
    !change.partition_leaves.is_empty()
}

fn create(change: &IndexChange) -> Vec<Part> {
    let build = change.def.create_sql(Build::Concurrently);
    let mut parts = build_all(change, build);
    let has_expression =
        |key: &crate::catalog::IndexKey| matches!(key.target, KeyTarget::Expression(_));
    if change.def.keys.iter().any(has_expression) {
        parts.push(Part::new(
            "analyze",
            vec![
                Op::Remark("an expression has no statistics before this".to_owned()),
                run(format!("ANALYZE {}", change.def.table.to_sql())),
            ],
            Vec::new(),
        ));
    }
    parts
}

/// The index, on a partitioned table on all its partitions, and its constraint.
fn build_all(change: &IndexChange, build: String) -> Vec<Part> {
    let mut parts = if is_partitioned(change) {
        create_partitioned(change)
    } else {
        vec![build_one("", &change.def, build)]
    };
    if let Some(constraint) = &change.constraint {
        parts.push(add_constraint(&change.def, constraint));
    }
    parts
}

/// Dropping is building backwards. The way back brings the index back exactly as it was, from its full old definition.
fn drop(change: &IndexChange, instead: &[String]) -> Vec<Part> {
    let old = change
        .before
        .as_deref()
        .and_then(|before| fragment::split_definition(before).ok());
    let build = match old {
        Some((start, rest)) => format!("{start}CONCURRENTLY IF NOT EXISTS {rest}"),
        None => change.def.create_sql(Build::Concurrently),
    };
    let schema = &change.def.table.schema;
    let replacements = instead.iter().map(|name| {
        Op::AssertValid(Target {
            index: RelationName::new(schema.clone(), name.clone()).to_sql(),
            table: change.def.table.to_sql(),
        })
    });
    let replacements: Vec<Op> = replacements.collect();
    let mut parts = Vec::new();
    if !replacements.is_empty() {
        parts.push(Part::new("replaced", replacements, Vec::new()));
    }
    parts.extend(
        build_all(change, build)
            .into_iter()
            .rev()
            .map(Part::inverted),
    );
    parts
}

/// Removes what a failed build left, builds, and fails unless the index is there, on this table, and valid.
fn build_one(suffix: &str, def: &IndexDef, build: String) -> Part {
    let target = Target::of(def);
    let drop = target.drop_sql();
    Part::new(
        suffix,
        vec![
            Op::Timeouts(Timeouts::Off),
            Op::DropInvalid(target.clone()),
            Op::Concurrently(build),
            Op::AssertValid(target),
        ],
        vec![Op::Timeouts(Timeouts::Off), Op::Concurrently(drop)],
    )
}

/// An index on the parent alone, concurrent builds on the leaves, then each attached; the parent's turns valid with the last. Dropping the parent's index takes
/// those attached with it, what a failed build left unattached goes one by one.
fn create_partitioned(change: &IndexChange) -> Vec<Part> {
    let def = &change.def;
    let drop = vec![
        Op::Timeouts(Timeouts::Short),
        Op::Remark("Postgres knows no concurrent form of it for a partitioned table".to_owned()),
        Op::Remark("squawk-ignore require-concurrent-index-deletion".to_owned()),
        run(format!("DROP INDEX IF EXISTS {}", def.qualified_name_sql())),
    ];
    let mut parts = vec![Part::new(
        "parent",
        vec![
            Op::Timeouts(Timeouts::Short),
            Op::Remark("no rows are read; Postgres knows no concurrent form of it".to_owned()),
            Op::Remark("squawk-ignore require-concurrent-index-creation".to_owned()),
            run(on_only(def)),
            Op::Remark("tables between parent and leaves, if there are any".to_owned()),
            run(intermediate_levels(def)),
        ],
        drop.clone(),
    )];
    for leaf in &change.partition_leaves {
        let leaf_def = leaf_def(def, leaf);
        let build = leaf_def.create_sql(Build::Concurrently);
        parts.push(build_one(&name::slug(&leaf.name), &leaf_def, build));
    }
    parts.push(Part::new(
        "attach",
        vec![
            Op::Timeouts(Timeouts::Short),
            run(attach(change)),
            Op::AssertValid(Target::of(def)),
        ],
        drop,
    ));
    parts
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

/// Runs each row of a query as a statement.
fn run_rows(query: &str) -> String {
    do_block(&format!(
        "DECLARE\n  statement text;\nBEGIN\n  FOR statement IN\n{query}\n  LOOP\n    EXECUTE statement;\n  END LOOP;\nEND"
    ))
}

fn intermediate_levels(def: &IndexDef) -> String {
    let unique = if def.unique { "UNIQUE " } else { "" };
    run_rows(&format!(
        "    SELECT format('CREATE {unique}INDEX IF NOT EXISTS %I ON ONLY %s %s', {}, t.relid::regclass, {})\n      \
         FROM pg_partition_tree({}::regclass) t JOIN pg_class c ON c.oid = t.relid\n     \
         WHERE NOT t.isleaf AND t.level > 0 ORDER BY t.level",
        intermediate_name(def),
        quote_literal(&def.body_sql()),
        quote_literal(&def.table.to_sql()),
    ))
}

/// Attaches every index to that of the table above it: leaves first, so that each level turns valid before it is attached itself.
fn attach(change: &IndexChange) -> String {
    let def = &change.def;
    let leaves = change
        .partition_leaves
        .iter()
        .map(|leaf| (leaf, leaf_def(def, leaf).name));
    let names: Vec<String> = std::iter::once((&def.table, def.name.clone()))
        .chain(leaves)
        .map(|(table, index)| {
            let table = quote_literal(&table.to_sql());
            format!("({table}::regclass, {})", quote_literal(&index))
        })
        .collect();
    run_rows(&format!(
        "    WITH known (relid, index) AS (VALUES\n      {}),\n    \
         tree AS (\n      SELECT t.relid, t.parentrelid, t.level, n.nspname, coalesce(k.index, {}) AS index\n        \
         FROM pg_partition_tree({}::regclass) t JOIN pg_class c ON c.oid = t.relid\n        \
         JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN known k ON k.relid = t.relid::oid)\n    \
         SELECT format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', above.nspname, above.index, below.nspname, below.index)\n      \
         FROM tree below JOIN tree above ON above.relid = below.parentrelid ORDER BY below.level DESC, below.index",
        names.join(",\n      "),
        intermediate_name(def),
        quote_literal(&def.table.to_sql()),
    ))
}

/// Turns a unique index into a constraint, once.
fn add_constraint(def: &IndexDef, constraint: &str) -> Part {
    let table = def.table.to_sql();
    let name = quote_identifier(constraint);
    let add = do_block(&format!(
        "BEGIN\n  IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = {}::regclass AND conname = {}) THEN\n    \
         ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {};\n  END IF;\nEND",
        quote_literal(&table),
        quote_literal(constraint),
        quote_identifier(&def.name),
    ));
    let drop = format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}");
    Part::new(
        "constraint",
        vec![Op::Timeouts(Timeouts::Short), run(add)],
        vec![Op::Timeouts(Timeouts::Short), run(drop)],
    )
}
