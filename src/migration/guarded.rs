//! For runners that run every file in a transaction, which nothing can leave: a small table's index is built there; a large one's file fails, and says which
//! script to run first with psql. Then it finds the index ready.

use super::{
    MigrationFile, Step, StepKind, alone,
    host::Host,
    preflight::{self, Direction},
    script::{self, Op, Target},
    sql,
};
use crate::sql::quote_literal;

/// Up to this size of a table, its index is built inside the transaction, which holds off writes meanwhile. tldraw measured 1–2 s for a table of 406 MB
/// (tldraw#10576): a tenth of that is a pause that users do not notice.
const MAX_BLOCKING_BYTES: u64 = 40 * 1024 * 1024;

/// Where the way that holds off nobody is written.
fn script_name(base: &str) -> String {
    format!("by_hand/{base}.psql")
}

/// The way that holds off nobody, where there is something to hold off.
pub(super) fn by_hand(step: &Step, base: &str) -> Option<MigrationFile> {
    let ops = script::up(step);
    if !script::is_concurrent(&ops) {
        return None;
    }
    let name = script_name(base);
    let mut lines = preflight::lines(step, Direction::Up);
    lines.push(format!(
        "run: psql -X -v ON_ERROR_STOP=1 -f {name}, then the migration"
    ));
    let header: String = lines.iter().map(|line| Host::Sql.comment(line)).collect();
    Some(MigrationFile::new(
        name,
        format!("{header}\n{}", sql::body(&ops)),
    ))
}

/// What the migration itself has to say about it.
pub(super) fn remarks(step: &Step, base: &str) -> Vec<String> {
    if !script::is_concurrent(&script::up(step)) {
        return Vec::new();
    }
    vec![format!(
        "in a transaction, as the runner knows nothing else, which holds off writes: on a table over {} MB run {} first, with psql -f",
        MAX_BLOCKING_BYTES / 1024 / 1024,
        script_name(base)
    )]
}

/// The step as statements of one transaction.
pub(super) fn up(step: &Step, base: &str) -> String {
    let mut ops = vec![Op::Timeouts(script::Timeouts::Short)];
    if let StepKind::Create(change) = &step.kind {
        let target = Target::of(&change.def);
        // first the left-over, which would pass for the index
        ops.push(Op::DropInvalid(target.clone()));
        ops.push(Op::Run(guard(&target, base)));
    }
    ops.extend(in_place(script::up(step)));
    alone::in_transaction(&ops)
}

/// The way back as statements of one transaction.
pub(super) fn down(step: &Step) -> String {
    let mut ops = vec![Op::Timeouts(script::Timeouts::Short)];
    ops.extend(in_place(script::down(step)));
    alone::in_transaction(&ops)
}

/// Concurrent statements as they are in a transaction: they hold off writes.
fn in_place(ops: Vec<Op>) -> impl Iterator<Item = Op> {
    let in_place = |op| {
        match op {
        Op::Timeouts(_) => Vec::new(),
        Op::Concurrently(sql) => vec![
            Op::Remark("squawk-ignore require-concurrent-index-creation, require-concurrent-index-deletion".to_owned()),
            Op::Run(sql.replacen("INDEX CONCURRENTLY ", "INDEX ", 1)),
        ],
        op => vec![op],
    }
    };
    ops.into_iter().flat_map(in_place)
}

/// Fails on a large table whose index is not there yet.
fn guard(target: &Target, base: &str) -> String {
    let hint = format!(
        "Run by_hand/{base}.psql with psql -f first: it builds the index without holding off writes. Then run the migration again."
    );
    let message = format!(
        "{} is too large to build an index on it in a transaction",
        target.table
    );
    script::do_block(&format!(
        "BEGIN\n  IF to_regclass({}) IS NULL AND (SELECT sum(pg_relation_size(relid)) FROM (SELECT {table}::regclass AS relid \
         UNION SELECT relid FROM pg_partition_tree({table}::regclass)) all_of_it) > {MAX_BLOCKING_BYTES} THEN\n    \
         RAISE EXCEPTION '%', {} USING HINT = {};\n  END IF;\nEND",
        quote_literal(&target.index),
        quote_literal(&message),
        quote_literal(&hint),
        table = quote_literal(&target.table),
    ))
}
