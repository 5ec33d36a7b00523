//! Plans as EXPLAIN's default format and `auto_explain` write them: a line a node, its properties indented below it.

mod label;
mod property;

pub use label::unquoted;

use super::{Actual, Cost, Plan, PlanError, PlanNode, TriggerTime};

/// Reads a plan in text form. Lines that are no part of a plan (psql's title and count of rows) are passed over.
pub(super) fn parse(text: &str, max_depth: usize) -> Result<Plan, PlanError> {
    let mut reader = Reader {
        max_depth,
        ..Reader::default()
    };
    for line in text.lines() {
        reader.line(unframed(line))?;
    }
    reader.finish()
}

/// A line without what psql puts around it in its default and its unaligned form.
fn unframed(line: &str) -> &str {
    let line = line.trim_end();
    let line = line.strip_suffix('+').map_or(line, str::trim_end);
    line.strip_prefix('"')
        .and_then(|inner| inner.strip_suffix('"'))
        .unwrap_or(line)
}

/// A node whose children may still come.
#[derive(Debug)]
struct Open {
    /// Column of its arrow; of its text where it is the topmost.
    column: usize,
    node: PlanNode,
}

#[derive(Debug, Default)]
struct Reader {
    max_depth: usize,
    /// From the topmost node down to the last one read.
    open: Vec<Open>,
    root: Option<PlanNode>,
    /// `InitPlan 1`, `CTE x`: the heading of the next node, and its column.
    heading: Option<(usize, String)>,
    /// Set behind the last node: what comes is about the whole statement.
    is_summary: bool,
    plan: Plan,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), PlanError> {
        let text = line.trim_start();
        let column = line.len() - text.len();
        if text.is_empty() || self.root.is_some() {
            return Ok(());
        }
        if self.summary(column, text) || self.is_summary {
            return Ok(());
        }
        let arrow = text.strip_prefix("->").map(str::trim_start);
        if let Some(node) = label::node(
            arrow.unwrap_or(text),
            arrow.is_some() && !self.open.is_empty(),
        ) {
            return self.push(column, node);
        }
        if self.open.is_empty() {
            return Ok(());
        }
        if let Some(name) = label::heading(text) {
            self.heading = Some((column, name));
            return Ok(());
        }
        let owner = self.open.iter_mut().rev().find(|open| open.column < column);
        if let Some(open) = owner {
            property::read(text, &mut open.node);
        }
        Ok(())
    }

    fn push(&mut self, column: usize, mut node: PlanNode) -> Result<(), PlanError> {
        while self.open.last().is_some_and(|open| open.column >= column) {
            self.close();
        }
        if self.root.is_some() {
            // a second plan in the same text: the first is what was asked for
            return Ok(());
        }
        if self.open.len() >= self.max_depth {
            return Err(PlanError::TooDeep);
        }
        let heading = self.heading.take().filter(|(at, _)| *at < column);
        node.parent_relationship = match (&heading, self.open.last()) {
            (Some((_, name)), _) if name.starts_with("SubPlan") => Some("SubPlan".to_owned()),
            (Some(_), _) => Some("InitPlan".to_owned()),
            (None, Some(parent)) => Some(relationship(&parent.node).to_owned()),
            (None, None) => None,
        };
        node.subplan_name = heading.map(|(_, name)| name);
        self.open.push(Open { column, node });
        Ok(())
    }

    /// Gives the last open node to its parent.
    fn close(&mut self) {
        let Some(Open { node, .. }) = self.open.pop() else {
            return;
        };
        match self.open.last_mut() {
            Some(parent) => parent.node.children.push(node),
            None => self.root = Some(node),
        }
    }

    /// Lines about the whole statement, which stand no deeper than the topmost node.
    fn summary(&mut self, column: usize, text: &str) -> bool {
        let Some(root) = self.open.first() else {
            return false;
        };
        if let Some(timing) = text.strip_prefix("Timing: ").filter(|_| self.is_summary) {
            let total = timing.rsplit("Total ").next();
            self.plan.jit_ms = total.and_then(property::leading_number);
            return true;
        }
        if column > root.column {
            return false;
        }
        let Some((key, value)) = text.split_once(':') else {
            return false;
        };
        let value = value.trim();
        match key {
            "Planning Time" => self.plan.planning_ms = property::leading_number(value),
            "Execution Time" | "Total runtime" => {
                self.plan.execution_ms = property::leading_number(value);
            }
            "JIT" | "Planning" | "Settings" | "Query Identifier" => {}
            _ if key.starts_with("Trigger ") => self.plan.triggers.extend(trigger(key, value)),
            _ => return false,
        }
        self.is_summary = true;
        true
    }

    fn finish(mut self) -> Result<Plan, PlanError> {
        while !self.open.is_empty() {
            self.close();
        }
        self.plan.root = self.root.ok_or(PlanError::NoNode)?;
        Ok(self.plan)
    }
}

/// Which child of `parent` comes next, as the JSON form calls it.
fn relationship(parent: &PlanNode) -> &'static str {
    let n_inputs = parent
        .children
        .iter()
        .filter(|child| child.subplan_name.is_none())
        .count();
    match parent.node_type.as_str() {
        "Append" | "Merge Append" | "BitmapAnd" | "BitmapOr" => "Member",
        "Subquery Scan" => "Subquery",
        _ if n_inputs > 0 => "Inner",
        _ => "Outer",
    }
}

/// `Trigger for constraint NAME on RELATION: time=1.234 calls=5`
fn trigger(key: &str, value: &str) -> Option<TriggerTime> {
    let name = key.strip_prefix("Trigger ")?;
    let constraint = name.strip_prefix("for constraint ");
    let (name, relation) = match constraint.unwrap_or(name).rsplit_once(" on ") {
        Some((name, relation)) => (name, Some(relation.to_owned())),
        None => (constraint.unwrap_or(name), None),
    };
    Some(TriggerTime {
        name: name.to_owned(),
        of_constraint: constraint.is_some(),
        relation,
        ms: property::number_after(value, "time=")?,
        n_calls: property::number_after(value, "calls=").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
