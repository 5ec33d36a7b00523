//! Conditions in one spelling, so that a predicate as Postgres prints it and the same condition as an application wrote it compare equal,
//! and one can be seen to imply the other.
//!
//! Sound, not complete: what is not understood stays text that only implies itself. The forms follow `predicate_implied_by` of
//! PostgreSQL's `predtest.c`, as far as applications use them.

use std::{collections::BTreeSet, ops::ControlFlow};

use sqlparser::{
    ast::{
        BinaryOperator, DataType, Expr, Ident, ObjectNamePart, UnaryOperator, Value, VisitMut,
        VisitorMut,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::Token,
};

use super::{quote_identifier, shape};

/// One AND-ed part of a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conjunct {
    /// The whole part in canonical spelling.
    pub text: String,
    /// What is tested, for tests that no NULL passes.
    strict_target: Option<String>,
    /// For `x = 'a'` and `x IN ('a', 'b')`: the values.
    values: BTreeSet<String>,
}

impl Conjunct {
    /// Whenever `self` holds, `other` holds.
    #[must_use]
    pub fn implies(&self, other: &Self) -> bool {
        if self.text == other.text {
            return true;
        }
        let Some(target) = &self.strict_target else {
            return false;
        };
        let is_not_null = other.text == format!("{target} IS NOT NULL");
        let is_subset = self.strict_target == other.strict_target
            && !self.values.is_empty()
            && self.values.is_subset(&other.values);
        is_not_null || is_subset
    }
}

/// The AND-ed parts of a condition, sorted. Text that can't be parsed is one part, itself.
#[must_use]
pub fn conjuncts(condition: &str) -> Vec<Conjunct> {
    let parsed = shape::on_large_stack(|| {
        let mut expr = parse_expression(condition).ok_or(shape::ShapeError::Empty)?;
        let _ = expr.visit(&mut Canonical);
        let mut parts: Vec<Conjunct> = shape::flatten(&expr, &BinaryOperator::And)
            .into_iter()
            .map(conjunct)
            .collect();
        parts.sort();
        parts.dedup();
        Ok(parts)
    });
    parsed.unwrap_or_else(|_| {
        vec![Conjunct {
            text: condition.split_whitespace().collect::<Vec<_>>().join(" "),
            strict_target: None,
            values: BTreeSet::new(),
        }]
    })
}

/// An expression in canonical spelling; text that can't be parsed comes back with white space normalised.
#[must_use]
pub fn expression(text: &str) -> String {
    let parts = conjuncts(text);
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    texts.join(" AND ")
}

/// Whenever all of `strong` holds, all of `weak` holds.
#[must_use]
pub fn implies(strong: &[Conjunct], weak: &[Conjunct]) -> bool {
    weak.iter()
        .all(|weak| strong.iter().any(|strong| strong.implies(weak)))
}

fn parse_expression(text: &str) -> Option<Expr> {
    let dialect = PostgreSqlDialect {};
    let tokens = shape::bounded_tokens(text, &dialect).ok()?;
    let mut parser = Parser::new(&dialect).with_tokens(tokens);
    let expr = parser.parse_expr().ok()?;
    (parser.peek_token().token == Token::EOF).then_some(expr)
}

fn conjunct(expr: &Expr) -> Conjunct {
    let expr = shape::strip(expr);
    let strict = |target: &Expr| Some(target.to_string());
    let (strict_target, values) = match expr {
        Expr::InList {
            expr,
            list,
            negated: false,
        } => (strict(expr), list.iter().map(ToString::to_string).collect()),
        Expr::BinaryOp { left, op, .. } if is_strict(op) => (strict(left), BTreeSet::new()),
        Expr::Between {
            expr,
            negated: false,
            ..
        } => (strict(expr), BTreeSet::new()),
        Expr::Identifier(_) => (strict(expr), BTreeSet::new()),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } if matches!(**expr, Expr::Identifier(_)) => (strict(expr), BTreeSet::new()),
        _ => (None, BTreeSet::new()),
    };
    Conjunct {
        text: match expr {
            Expr::InList {
                expr,
                list,
                negated: false,
            } => in_list_text(expr, list),
            other => other.to_string(),
        },
        strict_target,
        values,
    }
}

fn in_list_text(expr: &Expr, list: &[Expr]) -> String {
    let values: BTreeSet<String> = list.iter().map(ToString::to_string).collect();
    let values: Vec<String> = values.into_iter().collect();
    match values.as_slice() {
        [only] => format!("{expr} = {only}"),
        several => format!("{expr} IN ({})", several.join(", ")),
    }
}

fn is_strict(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// Brings every node to one spelling, children first.
struct Canonical;

impl VisitorMut for Canonical {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(simpler) = simplified(expr) {
            *expr = simpler;
        }
        ControlFlow::Continue(())
    }
}

fn simplified(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::Nested(inner) if !matches!(**inner, Expr::BinaryOp { .. }) => Some(take(inner)),
        Expr::Cast {
            expr: inner,
            data_type,
            ..
        } if drops_cast(inner, data_type) => Some(take(inner)),
        Expr::Identifier(ident) => Some(Expr::Identifier(plain(ident))),
        Expr::CompoundIdentifier(parts) => parts.last().map(|last| Expr::Identifier(plain(last))),
        Expr::Function(function) => {
            for part in &mut function.name.0 {
                if let ObjectNamePart::Identifier(ident) = part {
                    *ident = plain(ident);
                }
            }
            None
        }
        Expr::IsTrue(inner) => Some(take(inner)),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } => equality(left, right),
        Expr::AnyOp {
            left,
            compare_op: BinaryOperator::Eq,
            right,
            ..
        } => match right.as_mut() {
            Expr::Array(array) => Some(Expr::InList {
                expr: Box::new(take(left)),
                list: std::mem::take(&mut array.elem),
                negated: false,
            }),
            _ => None,
        },
        _ => None,
    }
}

/// `x = true` is `x`, `x = false` is `NOT x`, and `x = 'a'` is `x IN ('a')`.
fn equality(left: &mut Box<Expr>, right: &mut Box<Expr>) -> Option<Expr> {
    match right.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::Boolean(true) => Some(take(left)),
            Value::Boolean(false) => Some(Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: Box::new(take(left)),
            }),
            _ => Some(Expr::InList {
                expr: Box::new(take(left)),
                list: vec![take(right)],
                negated: false,
            }),
        },
        _ => None,
    }
}

/// Casts that Postgres prints and people don't write: on constants, and of varchar columns to text.
fn drops_cast(inner: &Expr, data_type: &DataType) -> bool {
    let on_constant = matches!(inner, Expr::Value(_) | Expr::Array(_));
    let to_text = matches!(
        data_type,
        DataType::Text | DataType::Varchar(None) | DataType::CharacterVarying(None)
    );
    on_constant || (to_text && matches!(inner, Expr::Identifier(_) | Expr::CompoundIdentifier(_)))
}

fn plain(ident: &Ident) -> Ident {
    let name = shape::fold(ident);
    if quote_identifier(&name) == name {
        Ident::new(name)
    } else {
        Ident::with_quote('"', name)
    }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(one: &str, other: &str) {
        assert_eq!(conjuncts(one), conjuncts(other), "{one} / {other}");
    }

    fn implied(strong: &str, weak: &str) -> bool {
        implies(&conjuncts(strong), &conjuncts(weak))
    }

    #[test]
    fn spellings_of_one_condition_are_equal() {
        same("((status)::text = 'pending'::text)", "status = 'pending'");
        same(
            "(is_active AND (deleted_at IS NULL))",
            "deleted_at IS NULL AND is_active = true",
        );
        same(
            "(status = ANY (ARRAY['a'::text, 'b'::text]))",
            "status IN ('b', 'a')",
        );
        same("NOT archived", "archived = false");
        same("LOWER((email)::text)", "lower(email)");
        same("(total > (100)::numeric)", "total > 100");
        assert_ne!(conjuncts("\"Status\" = 'x'"), conjuncts("status = 'x'"));
    }

    #[test]
    fn implication_follows_values_and_nulls() {
        assert!(implied("status = 'a'", "status IN ('a', 'b')"));
        assert!(implied("status = 'a'", "status IS NOT NULL"));
        assert!(implied(
            "deleted_at IS NULL AND x = 1",
            "deleted_at IS NULL"
        ));
        assert!(implied("total > 5", "total IS NOT NULL"));
        assert!(!implied("status IN ('a', 'b')", "status = 'a'"));
        assert!(!implied("x = 1", "deleted_at IS NULL"));
        assert!(!implied("status = $1", "status = 'a'"));
        assert!(implied("", ""));
    }

    proptest! {
        #[test]
        fn every_condition_implies_itself_and_its_parts(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "a = 1", "b IS NULL", "c", "NOT d", "e IN ('x', 'y')", "f > 3", "(g = 1 OR h = 2)", "lower(i) = 'z'", "odd @@@ text",
            ]), 1..5),
            keep in 0..5_usize,
        ) {
            let whole = parts.join(" AND ");
            prop_assert!(implied(&whole, &whole));
            prop_assert!(implied(&whole, parts[keep % parts.len()]) || whole.contains("odd"));
        }
    }
}
