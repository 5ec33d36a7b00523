//! Small questions about expressions: what is inside the brackets, is it a constant, how is it written without qualifiers.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectNamePart, UnaryOperator, Value, VisitMut, VisitorMut,
};

use super::{
    Operand,
    names::{Env, Resolved, fold, parameter_number},
    predicate::resolve,
};
use crate::sql::quote_identifier;

/// The expression without brackets around it.
pub(in crate::sql) fn strip(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// The operands of a chain of one operator, left to right, without recursion along the chain.
pub(in crate::sql) fn flatten<'e>(expr: &'e Expr, joined_by: &BinaryOperator) -> Vec<&'e Expr> {
    let mut parts = Vec::new();
    let mut stack = vec![expr];
    while let Some(next) = stack.pop() {
        match strip(next) {
            Expr::BinaryOp { left, op, right } if op == joined_by => {
                stack.push(right);
                stack.push(left);
            }
            part => parts.push(part),
        }
    }
    parts
}

/// The operand that a constant or parameter is; `None` for everything that reads or computes.
pub(super) fn constant(expr: &Expr) -> Option<Operand> {
    match strip(expr) {
        Expr::Value(value) => Some(match &value.value {
            Value::Placeholder(text) => Operand::Parameter(parameter_number(text)),
            _ => Operand::Literal(expr.to_string()),
        }),
        Expr::TypedString(_) => Some(Operand::Literal(expr.to_string())),
        Expr::Cast { expr: inner, .. }
        | Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr: inner,
        } => wrapped(expr, inner),
        Expr::Interval(interval) => wrapped(expr, &interval.value),
        Expr::Array(array) => array
            .elem
            .iter()
            .all(|element| constant(element).is_some())
            .then_some(Operand::List(array.elem.len() as u32)),
        _ => None,
    }
}

/// A cast or sign around a constant: a literal keeps its wrapping, a parameter stays a parameter.
fn wrapped(whole: &Expr, inner: &Expr) -> Option<Operand> {
    match constant(inner)? {
        Operand::Literal(_) => Some(Operand::Literal(whole.to_string())),
        other => Some(other),
    }
}

/// The expression as SQL with columns unqualified (under their base names) and unquoted function names in lower case.
pub(super) fn unqualified(expr: &Expr, env: &Env<'_>) -> String {
    let mut expr = strip(expr).clone();
    let _ = expr.visit(&mut Unqualify { env });
    strip(&expr).to_string()
}

struct Unqualify<'e, 'p> {
    env: &'e Env<'p>,
}

impl VisitorMut for Unqualify<'_, '_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                if let Some(Resolved::Column { column, .. }) = resolve(expr, self.env) {
                    *expr = Expr::Identifier(ident(&column.column));
                }
            }
            Expr::Function(function) => {
                for part in &mut function.name.0 {
                    if let ObjectNamePart::Identifier(name) = part {
                        *name = ident(&fold(name));
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// An identifier that prints quoted only where Postgres needs it.
fn ident(name: &str) -> Ident {
    if quote_identifier(name) == name {
        Ident::new(name)
    } else {
        Ident::with_quote('"', name)
    }
}
