//! Placeholders while a statement is rebuilt: `@n` changes from call to call, `#n` stays. Neither is SQL, so none is left over unseen.

use std::{collections::BTreeMap, ops::ControlFlow};

use sqlparser::ast::{Expr, Value, ValueWithSpan, VisitMut, VisitorMut};

/// Renames all placeholders; says how often each stands.
pub(super) fn mark(statement: &mut impl VisitMut, varying: &[u16]) -> BTreeMap<u16, usize> {
    let mut marker = Marker {
        varying,
        used: BTreeMap::new(),
    };
    let _ = statement.visit(&mut marker);
    marker.used
}

struct Marker<'a> {
    varying: &'a [u16],
    used: BTreeMap<u16, usize>,
}

impl VisitorMut for Marker<'_> {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(text) = &mut value.value
            && let Some(n) = text.strip_prefix('$').and_then(|n| n.parse::<u16>().ok())
        {
            *self.used.entry(n).or_default() += 1;
            let sign = if self.varying.contains(&n) { '@' } else { '#' };
            *text = format!("{sign}{n}");
        }
        ControlFlow::Continue(())
    }
}

/// SQL of our own in place of an expression, printed as it stands.
pub(super) fn verbatim(sql: impl Into<String>) -> Expr {
    Expr::Value(Value::Placeholder(sql.into()).into())
}

/// The placeholder that an expression is, casts and brackets aside: its number, the type it is cast to, and whether it changes.
pub(super) fn placeholder(expr: &Expr) -> Option<Placeholder> {
    match expr {
        Expr::Nested(inner) => placeholder(inner),
        Expr::Cast {
            expr, data_type, ..
        } => {
            let inner = placeholder(expr)?;
            Some(Placeholder {
                cast: Some(data_type.to_string()),
                ..inner
            })
        }
        Expr::Value(value) => match &value.value {
            Value::Placeholder(text) => {
                let varies = text.starts_with('@');
                let n = text.strip_prefix(['@', '#'])?.parse().ok()?;
                Some(Placeholder {
                    n,
                    varies,
                    cast: None,
                })
            }
            _ => None,
        },
        _ => None,
    }
}

/// See [`placeholder`].
#[derive(Debug, Clone)]
pub(super) struct Placeholder {
    pub(super) n: u16,
    pub(super) varies: bool,
    pub(super) cast: Option<String>,
}

/// Does a key stand anywhere in it?
pub(super) fn holds_key(sql: &impl std::fmt::Display) -> bool {
    let text = sql.to_string();
    let mut rest = text.as_str();
    // inside strings and names an `@` before a digit only makes us more careful
    while let Some(at) = rest.find('@') {
        rest = &rest[at + 1..];
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            return true;
        }
    }
    false
}
