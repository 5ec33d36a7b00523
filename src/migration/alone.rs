//! For runners that send a file whole: a concurrent statement must be alone in its file, so a step becomes several files.
//!
//! Such a file can neither set timeouts nor look for what a failed build left. One file before all builds drops left-overs, and the asserts that stand
//! behind a build wait in the next file that may hold more than one statement: an invalid index fails the run there, with the command that mends it.

use super::{
    Step, StepKind,
    host::Host,
    name,
    preflight::{self, Direction},
    script::{self, Op, Part, Target, Timeouts},
};

/// One file, with its way back.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    /// The step that it belongs to; none for what serves all steps.
    pub(super) step: Option<&'a Step>,
    pub(super) slug: String,
    /// It may, and should, run in a transaction.
    pub(super) is_transactional: bool,
    pub(super) up: String,
    pub(super) down: String,
    /// Comment lines.
    pub(super) lines: Vec<String>,
}

/// Told on the terminal: a file with a concurrent statement cannot set them itself.
pub(super) const TIMEOUTS_NOTE: &str = "run with lock_timeout and statement_timeout 0 (ALTER ROLE … SET, or PGOPTIONS='-c lock_timeout=0 -c statement_timeout=0'), and from one process only: two at once end in a deadlock error";

/// In the files themselves.
const ALONE: &str = "one statement only: this runner sends a file whole, which would put several into a transaction. Set lock_timeout and statement_timeout to 0 on the role or with PGOPTIONS";

/// For squawk, which wants timeouts that cannot be set here, and whose suggestion of a short one would leave an invalid index behind.
const SQUAWK: &str = "squawk-ignore-file require-lock-timeout, require-statement-timeout";

/// All files of these steps, in order.
pub(super) fn pieces<'a>(steps: &[&'a Step]) -> Vec<Piece<'a>> {
    let (drops, creates): (Vec<&Step>, Vec<&Step>) = steps
        .iter()
        .copied()
        .partition(|step| matches!(step.kind, StepKind::Drop(_)));
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    let mut left_overs = Vec::new();
    let mut unproven = Vec::new();
    for step in &creates {
        let (own, targets, open) = of_step(step);
        pieces.extend(own);
        left_overs.extend(targets);
        unproven.extend(open);
    }
    if !left_overs.is_empty() {
        let first = pieces
            .iter()
            .position(|piece| !piece.is_transactional)
            .unwrap_or_default();
        pieces.insert(first, drop_left_overs(&left_overs));
    }
    if !unproven.is_empty() {
        pieces.push(assert_all(&unproven));
    }
    for step in &drops {
        pieces.extend(of_step(step).0);
    }
    pieces
}

/// The names of a step's files, without versions.
pub(super) fn slugs(step: &Step) -> Vec<String> {
    let parts = script::parts(step);
    parts.iter().map(|part| slug(step, &part.suffix)).collect()
}

/// A step's files, the indexes whose left-overs are to go first, and those whose validity no file of its own could check.
fn of_step(step: &Step) -> (Vec<Piece<'_>>, Vec<Target>, Vec<Target>) {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut left_overs = Vec::new();
    let mut open: Vec<Target> = Vec::new();
    for part in script::parts(step) {
        let is_alone = script::is_concurrent(&part.up) || script::is_concurrent(&part.down);
        if is_alone {
            for op in &part.up {
                match op {
                    Op::DropInvalid(target) => left_overs.push(target.clone()),
                    Op::AssertValid(target) => open.push(target.clone()),
                    _ => {}
                }
            }
            pieces.push(alone(step, &part));
        } else {
            let proofs = open.drain(..).map(Op::AssertValid);
            let up: Vec<Op> = proofs.chain(part.up).collect();
            pieces.push(transactional(step, &part.suffix, &up, &part.down));
        }
    }
    (pieces, left_overs, open)
}

fn slug(step: &Step, suffix: &str) -> String {
    match suffix {
        "" => step.slug.clone(),
        suffix => format!("{}_{suffix}", step.slug),
    }
}

fn alone<'a>(step: &'a Step, part: &Part) -> Piece<'a> {
    let mut lines = preflight::lines(step, Direction::Up);
    lines.push(ALONE.to_owned());
    lines.push(SQUAWK.to_owned());
    Piece {
        step: Some(step),
        slug: slug(step, &part.suffix),
        is_transactional: false,
        up: only_concurrent(&part.up),
        down: only_concurrent(&part.down),
        lines,
    }
}

fn only_concurrent(ops: &[Op]) -> String {
    let concurrent = ops.iter().find_map(|op| match op {
        Op::Concurrently(sql) => Some(format!("{sql};\n")),
        _ => None,
    });
    concurrent.unwrap_or_else(nothing)
}

fn transactional<'a>(step: &'a Step, suffix: &str, up: &[Op], down: &[Op]) -> Piece<'a> {
    Piece {
        step: Some(step),
        slug: slug(step, suffix),
        is_transactional: true,
        up: in_transaction(up),
        down: in_transaction(down),
        lines: preflight::lines(step, Direction::Up),
    }
}

/// Statements for a file that runs in a transaction.
pub(super) fn in_transaction(ops: &[Op]) -> String {
    let text: String = ops.iter().map(statement_in_transaction).collect();
    if script::does_something(ops) {
        text
    } else {
        text + &nothing()
    }
}

fn statement_in_transaction(op: &Op) -> String {
    match op {
        Op::Timeouts(Timeouts::Short) => format!(
            "SET LOCAL lock_timeout = '{}';\nSET LOCAL statement_timeout = '{}';\n",
            script::SHORT_LOCK_TIMEOUT,
            script::SHORT_STATEMENT_TIMEOUT
        ),
        Op::Timeouts(Timeouts::Off) => String::new(),
        Op::Run(sql) | Op::Concurrently(sql) => format!("{sql};\n"),
        Op::DropInvalid(target) => format!("{};\n", target.drop_left_over_block()),
        Op::AssertValid(target) => format!("{};\n", target.assert_block()),
        Op::Remark(text) => Host::Sql.comment(text),
    }
}

/// Some runners refuse an empty file.
fn nothing() -> String {
    "SELECT 1; -- nothing to do\n".to_owned()
}

/// One name for one set of indexes.
fn set_slug(what: &str, targets: &[Target]) -> String {
    let names: Vec<&str> = targets.iter().map(|target| target.index.as_str()).collect();
    format!("{what}_{:08x}", name::hash(&names.join(",")))
}

fn drop_left_overs(targets: &[Target]) -> Piece<'static> {
    let ops: Vec<Op> = targets.iter().cloned().map(Op::DropInvalid).collect();
    Piece {
        step: None,
        slug: set_slug("clear_left_overs", targets),
        is_transactional: true,
        up: in_transaction(&ops),
        down: nothing(),
        lines: vec![
            "drop what failed builds left of the indexes that the next files create, proposed by pgassay".to_owned(),
            "CREATE INDEX … IF NOT EXISTS would take an invalid left-over for the real index".to_owned(),
        ],
    }
}

fn assert_all(targets: &[Target]) -> Piece<'static> {
    let ops: Vec<Op> = targets.iter().cloned().map(Op::AssertValid).collect();
    Piece {
        step: None,
        slug: set_slug("indexes_are_valid", targets),
        is_transactional: true,
        up: in_transaction(&ops),
        down: nothing(),
        lines: vec![
            "fail unless the indexes of the files before are valid, proposed by pgassay".to_owned(),
            "when this fails, a build failed before: the hint says what to run, then run the migrations again".to_owned(),
        ],
    }
}

impl Piece<'_> {
    pub(super) fn header(&self) -> String {
        self.lines
            .iter()
            .map(|line| Host::Sql.comment(line))
            .collect()
    }

    /// Does it wait in the folder of drops?
    pub(super) fn is_drop(&self) -> bool {
        self.step
            .is_some_and(|step| matches!(step.kind, StepKind::Drop(_)))
    }
}
