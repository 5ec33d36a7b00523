//! Plain SQL for psql: one `.up.sql` and one `.down.sql` a step, safe to run twice and after a build that failed.

use super::{
    Framework, MigrationFile, RenderError, Rendered, Request, Step, Subfolders,
    host::Host,
    name::MAX_NAME_BYTES,
    preflight::{self, Direction},
    script::{self, Op, Timeouts},
    version::Versions,
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "sql",
    summary: "plain SQL for psql: one .up.sql and one .down.sql a change",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect: |_| None,
    folder: |_| "migrations".to_owned(),
    render,
};

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::stamps(request.existing, request.start);
    for step in request.fresh(&mut rendered) {
        let version = versions.next();
        for direction in [Direction::Up, Direction::Down] {
            rendered.files.push(file(step, &version, direction));
        }
    }
    Ok(rendered)
}

fn file(step: &Step, version: &str, direction: Direction) -> MigrationFile {
    let (suffix, ops) = match direction {
        Direction::Up => ("up", script::up(step)),
        Direction::Down => ("down", script::down(step)),
    };
    let name = format!("{version}_{}.{suffix}.sql", step.slug);
    let mut lines = preflight::lines(step, direction);
    lines.push(format!("run: psql -X -v ON_ERROR_STOP=1 -f {name}"));
    lines.push(
        "never with psql's -1 or -c, nor in a transaction; safe to run again after a failure"
            .to_owned(),
    );
    let header: String = lines.iter().map(|line| Host::Sql.comment(line)).collect();
    MigrationFile::new(
        FRAMEWORK.path(step, &name),
        format!("{header}\n{}", body(&ops)),
    )
}

/// The statements as psql runs them; sqitch runs psql, too.
pub(super) fn body(ops: &[Op]) -> String {
    ops.iter().map(statement).collect()
}

fn statement(op: &Op) -> String {
    match op {
        Op::Timeouts(timeouts) => set_timeouts(*timeouts),
        Op::Run(sql) | Op::Concurrently(sql) => format!("{sql};\n"),
        Op::DropInvalid(target) => {
            let drop = crate::sql::quote_literal(&target.drop_sql());
            let ask = target
                .left_over_sql()
                .replacen("SELECT 1", &format!("SELECT {drop}"), 1);
            format!("{ask} \\gexec\n")
        }
        Op::AssertValid(target) => format!("{};\n", target.assert_block()),
        Op::Remark(text) => Host::Sql.comment(text),
    }
}

/// For the rest of the session.
pub(super) fn set_timeouts(timeouts: Timeouts) -> String {
    let (lock, statement) = match timeouts {
        Timeouts::Short => (
            format!("'{}'", script::SHORT_LOCK_TIMEOUT),
            format!("'{}'", script::SHORT_STATEMENT_TIMEOUT),
        ),
        Timeouts::Off => ("0".to_owned(), "0".to_owned()),
    };
    format!("SET lock_timeout = {lock};\nSET statement_timeout = {statement};\n")
}
