//! A step's statements as calls of a host language, for frameworks whose migrations are programs: they can ask before they act.

use super::{
    Step,
    host::{self, Host},
    preflight::{self, Direction},
    script::{self, Op, Timeouts},
};

/// How a framework's programs run SQL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calls {
    /// The language.
    pub(super) host: Host,
    /// One level of indentation.
    pub(super) step: &'static str,
    /// What stands around the literal of a statement to run.
    pub(super) run: (&'static str, &'static str),
    /// What stands around the literal of a query whose having a row opens a block.
    pub(super) if_row: (&'static str, &'static str),
    /// Closes the block; empty where indentation does.
    pub(super) end: &'static str,
    /// What the language needs where nothing is to be done.
    pub(super) nothing: &'static str,
}

impl Calls {
    /// The body of a function, `depth` levels in. Timeouts that it sets are reset at its end: the connection serves other migrations afterwards.
    pub(super) fn body(&self, ops: &[Op], depth: usize) -> String {
        self.body_with(ops, depth, |_| None)
    }

    /// The same, where the framework's own words stand for some statements.
    pub(super) fn body_with(
        &self,
        ops: &[Op],
        depth: usize,
        own: impl Fn(&str) -> Option<String>,
    ) -> String {
        let indent = self.step.repeat(depth);
        let op = |op: &Op| match op {
            Op::Concurrently(sql) => match own(sql) {
                Some(words) => format!("{indent}{}\n", host::indented(&words, &indent)),
                None => self.call(&indent, sql),
            },
            op => self.op(op, &indent),
        };
        let mut body: String = ops.iter().map(op).collect();
        if ops.iter().any(|op| matches!(op, Op::Timeouts(_))) {
            body.push_str(&self.call(&indent, "RESET lock_timeout"));
            body.push_str(&self.call(&indent, "RESET statement_timeout"));
        }
        if !script::does_something(ops) && !self.nothing.is_empty() {
            body.push_str(&format!("{indent}{}\n", self.nothing));
        }
        body
    }

    fn op(&self, op: &Op, indent: &str) -> String {
        match op {
            Op::Timeouts(timeouts) => {
                let [lock, statement] = timeout_statements(*timeouts);
                self.call(indent, &lock) + &self.call(indent, &statement)
            }
            Op::Run(sql) | Op::Concurrently(sql) => self.call(indent, sql),
            Op::AssertValid(target) => self.call(indent, &target.assert_block()),
            Op::DropInvalid(target) => {
                let (open, close) = self.if_row;
                let ask = self.host.call(indent, open, &target.left_over_sql(), close);
                let inner = format!("{indent}{}", self.step);
                let drop = self.call(&inner, &target.drop_sql());
                let end = match self.end {
                    "" => String::new(),
                    end => format!("{indent}{end}\n"),
                };
                format!(
                    "{indent}{}{ask}{drop}{end}",
                    self.host.comment("left by a build that failed")
                )
            }
            Op::Remark(text) if text.starts_with("squawk") => String::new(),
            Op::Remark(text) => format!("{indent}{}", self.host.comment(text)),
        }
    }

    fn call(&self, indent: &str, sql: &str) -> String {
        self.host.call(indent, self.run.0, sql, self.run.1)
    }

    /// The comment at the top of a file.
    pub(super) fn header(&self, step: &Step, extra: &[&str]) -> String {
        header(self.host, step, extra)
    }
}

/// The comment at the top of a file. Its first line is fixed: some languages read settings from what stands there.
pub(super) fn header(host: Host, step: &Step, extra: &[&str]) -> String {
    let mut lines = preflight::lines(step, Direction::Up);
    lines.extend(extra.iter().map(|line| (*line).to_owned()));
    let lines: String = lines.iter().map(|line| host.comment(line)).collect();
    format!(
        "{}{}{lines}",
        host.comment("written by pgassay"),
        host.comment("")
    )
}

/// `SET` statements without semicolons.
pub(super) fn timeout_statements(timeouts: Timeouts) -> [String; 2] {
    let (lock, statement) = match timeouts {
        Timeouts::Short => (script::SHORT_LOCK_TIMEOUT, script::SHORT_STATEMENT_TIMEOUT),
        Timeouts::Off => ("0", "0"),
    };
    [
        format!("SET lock_timeout = '{lock}'"),
        format!("SET statement_timeout = '{statement}'"),
    ]
}
