//! The conditions by which a loop asks for one key, found and taken out.

use sqlparser::ast::{BinaryOperator, Expr, JoinConstraint, JoinOperator, TableWithJoins};

use super::{
    LiteralKind, Task,
    mark::{self, holds_key, verbatim},
    names::{self, Column, Item},
    types,
};
use crate::sql::shape::strip;

/// One key: `expr = $n`.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The looped statement's placeholder.
    pub(super) n: u16,
    /// What is compared with it.
    pub(super) expr: Expr,
    /// The same, where it is a plain column.
    pub(super) column: Option<Column>,
    /// Type of one element, where it is known for sure.
    pub(super) type_name: Option<String>,
}

impl Key {
    /// The column's name, or one made up.
    pub(super) fn name(&self) -> String {
        let column = self.column.as_ref().map(|column| column.name.clone());
        column.unwrap_or_else(|| format!("key_{}", self.n))
    }

    /// Its column has a type whose equal values read alike.
    pub(super) fn prints_alike(&self) -> bool {
        self.type_name.as_deref().is_none_or(types::prints_alike)
    }

    pub(super) fn is_array(&self) -> bool {
        self.type_name.as_deref().is_some_and(types::is_array)
    }
}

/// Where the conditions stand.
pub(super) struct Conditions<'a> {
    /// WHERE
    pub(super) selection: &'a mut Option<Expr>,
    /// The FROM, whose inner joins' ON are conditions too.
    pub(super) from: &'a mut [TableWithJoins],
}

/// Takes the keys' conditions out, and constant ones that say nothing. `None` when a key is left that stands elsewhere.
pub(super) fn take(conditions: Conditions<'_>, items: &[Item], task: &Task<'_>) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut kept = |expr: Expr| -> Option<Expr> {
        let mut rest = Vec::new();
        for part in conjuncts(expr) {
            match key(&part, items, task) {
                Some(key) => keys.push(key),
                None if is_tautology(&part, task) => {}
                None => rest.push(part),
            }
        }
        join(rest)
    };
    if let Some(selection) = conditions.selection.take() {
        *conditions.selection = kept(selection);
    }
    for table in conditions.from {
        for joined in &mut table.joins {
            if let JoinOperator::Join(JoinConstraint::On(on))
            | JoinOperator::Inner(JoinConstraint::On(on)) = &mut joined.join_operator
            {
                let taken = std::mem::replace(on, verbatim("TRUE"));
                if let Some(rest) = kept(taken) {
                    *on = rest;
                }
            }
        }
    }
    keys.sort_by_key(|key| key.n);
    keys
}

/// Puts a condition behind those of a WHERE.
pub(super) fn add(selection: &mut Option<Expr>, condition: String) {
    let condition = verbatim(condition);
    *selection = match selection.take() {
        None => Some(condition),
        Some(rest) => join(vec![condition, rest]),
    };
}

/// The parts of a chain of ANDs, brackets around ANDs and comparisons dropped.
fn conjuncts(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut parts = conjuncts(*left);
            parts.extend(conjuncts(*right));
            parts
        }
        Expr::Nested(inner) => match strip(&inner) {
            Expr::BinaryOp {
                op: BinaryOperator::Or | BinaryOperator::Xor,
                ..
            } => vec![Expr::Nested(inner)],
            Expr::BinaryOp { .. } | Expr::Nested(_) | Expr::AnyOp { .. } => conjuncts(*inner),
            _ => vec![Expr::Nested(inner)],
        },
        other => vec![other],
    }
}

fn join(parts: Vec<Expr>) -> Option<Expr> {
    let bracketed = parts.into_iter().map(|part| match part {
        or @ Expr::BinaryOp {
            op: BinaryOperator::Or | BinaryOperator::Xor,
            ..
        } => Expr::Nested(Box::new(or)),
        other => other,
    });
    bracketed.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

/// `expr = @n`, `@n = expr`, `expr = ANY (@n)`; the placeholder nowhere else, and no other key in `expr`.
fn key(part: &Expr, items: &[Item], task: &Task<'_>) -> Option<Key> {
    let (expr, found) = match part {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } => match (mark::placeholder(left), mark::placeholder(right)) {
            (None, Some(found)) => (left, found),
            (Some(found), None) => (right, found),
            _ => return None,
        },
        Expr::AnyOp {
            left,
            compare_op: BinaryOperator::Eq,
            right,
            ..
        } => {
            let mut found = mark::placeholder(right)?;
            found.cast = found
                .cast
                .and_then(|cast| Some(cast.strip_suffix("[]")?.to_owned()));
            (left, found)
        }
        _ => return None,
    };
    let alone = found.varies && task.used.get(&found.n) == Some(&1);
    if !alone || holds_key(expr) || reads(expr) {
        return None;
    }
    let column = names::column(expr, items, task.schema);
    let known = column
        .as_ref()
        .and_then(|column| column.type_name(task.schema));
    let cast = found.cast.map(|cast| cast.to_lowercase());
    Some(Key {
        n: found.n,
        expr: strip(expr).clone(),
        type_name: known.or(cast).map(|name| {
            if types::is_array(&name) {
                name
            } else {
                types::element(&name)
            }
        }),
        column,
    })
}

/// Does it read a table of its own?
fn reads(expr: &Expr) -> bool {
    use sqlparser::ast::{Query, Visit, Visitor};
    struct Reads;
    impl Visitor for Reads {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Break(())
        }
    }
    expr.visit(&mut Reads).is_break()
}

/// `1 = 1`: two literals that never changed and are the same.
fn is_tautology(part: &Expr, task: &Task<'_>) -> bool {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = part
    else {
        return false;
    };
    let constant = |expr: &Expr| {
        let found = mark::placeholder(expr).filter(|found| !found.varies)?;
        let operand = task.looped.operand(found.n)?;
        operand
            .constant
            .clone()
            .filter(|_| operand.literal != LiteralKind::Unknown)
    };
    constant(left).is_some_and(|value| constant(right) == Some(value))
}
