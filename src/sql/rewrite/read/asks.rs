//! Statements that only ask whether rows exist, and the query whose rows they ask for.

use sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, TableFactor, Value};

use super::super::{limit, mark, projection};
use crate::sql::shape::strip;

/// The query whose rows' existence is all that is asked: `SELECT 1 … LIMIT 1` itself, the one in `SELECT EXISTS (…)`, and the one in
/// `SELECT 1 FROM (SELECT 1) WHERE EXISTS (…)`.
pub(super) fn existence(query: &Query) -> Option<Query> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    if query.with.is_some() {
        return None;
    }
    if let Some(asked) = in_output(select).or_else(|| in_condition(select)) {
        return Some(asked.clone());
    }
    let constant = select.projection.iter().all(is_constant) && !select.projection.is_empty();
    (constant && limit::is_limited(query) && !select.from.is_empty()).then(|| query.clone())
}

fn in_output(select: &Select) -> Option<&Query> {
    match select.projection.as_slice() {
        [item] if select.from.is_empty() && select.selection.is_none() => {
            exists(projection::output_expr(item)?)
        }
        _ => None,
    }
}

fn in_condition(select: &Select) -> Option<&Query> {
    let [table] = select.from.as_slice() else {
        return None;
    };
    let TableFactor::Derived { subquery, .. } = &table.relation else {
        return None;
    };
    let without_table = matches!(subquery.body.as_ref(), SetExpr::Select(inner) if inner.from.is_empty() && inner.projection.iter().all(is_constant));
    let constant = select.projection.iter().all(is_constant);
    if !without_table || !constant || !table.joins.is_empty() {
        return None;
    }
    exists(select.selection.as_ref()?)
}

fn exists(expr: &Expr) -> Option<&Query> {
    match strip(expr) {
        Expr::Exists {
            subquery,
            negated: false,
        } => Some(subquery),
        _ => None,
    }
}

fn is_constant(item: &SelectItem) -> bool {
    projection::output_expr(item).is_some_and(|expr| match strip(expr) {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(_) => mark::placeholder(expr).is_some_and(|found| !found.varies),
            _ => true,
        },
        _ => false,
    })
}
