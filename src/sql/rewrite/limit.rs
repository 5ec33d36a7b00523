//! Can the query give more than one row for a key? If not, its LIMIT says nothing and goes.

use sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, LimitClause, Query, Select,
};

use super::{
    Task,
    key::Key,
    mark,
    names::{self, Column, Item},
};
use crate::sql::shape::{flatten, strip};

/// At most one row for each key: every table is pinned by a unique key, directly or over joins.
pub(super) fn at_most_one_row(
    select: &Select,
    keys: &[Key],
    items: &[Item],
    task: &Task<'_>,
) -> bool {
    let mut fixed: Vec<Column> = keys.iter().filter_map(|key| key.column.clone()).collect();
    let mut equal: Vec<(Column, Column)> = Vec::new();
    for condition in conditions(select) {
        for part in flatten(condition, &BinaryOperator::And) {
            let Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } = strip(part)
            else {
                continue;
            };
            let column = |expr: &Expr| names::column(expr, items, task.schema);
            match (column(left), column(right)) {
                (Some(one), Some(other)) => equal.push((one, other)),
                (Some(one), None) if mark::placeholder(right).is_some() => fixed.push(one),
                (None, Some(one)) if mark::placeholder(left).is_some() => fixed.push(one),
                _ => {}
            }
        }
    }
    let mut pinned = vec![false; items.len()];
    // each round pins a table or ends it
    for _ in 0..=items.len() {
        for (at, item) in items.iter().enumerate() {
            let columns: Vec<&str> = fixed
                .iter()
                .filter(|column| column.item.alias == item.alias)
                .map(|column| column.name.as_str())
                .collect();
            pinned[at] |= item
                .relation
                .as_ref()
                .is_some_and(|relation| task.schema.is_unique(relation, &columns));
        }
        let is_fixed = |column: &Column| {
            fixed.iter().any(|known| known.is(column))
                || items
                    .iter()
                    .zip(&pinned)
                    .any(|(item, pinned)| *pinned && item.alias == column.item.alias)
        };
        let more: Vec<Column> = equal
            .iter()
            .flat_map(|(a, b)| [(a, b), (b, a)])
            .filter(|(a, b)| is_fixed(a) && !is_fixed(b))
            .map(|(_, b)| b.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        fixed.extend(more);
    }
    !items.is_empty() && pinned.into_iter().all(|pinned| pinned)
}

fn conditions(select: &Select) -> impl Iterator<Item = &Expr> {
    let joins = select.from.iter().flat_map(|table| &table.joins);
    let ons = joins.filter_map(|join| match &join.join_operator {
        JoinOperator::Join(JoinConstraint::On(on))
        | JoinOperator::Inner(JoinConstraint::On(on))
        | JoinOperator::Left(JoinConstraint::On(on))
        | JoinOperator::LeftOuter(JoinConstraint::On(on)) => Some(on),
        _ => None,
    });
    select.selection.iter().chain(ons)
}

/// LIMIT or FETCH.
pub(super) fn is_limited(query: &Query) -> bool {
    let limit = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => limit.is_some(),
        Some(LimitClause::OffsetCommaLimit { .. }) => true,
        None => false,
    };
    limit || query.fetch.is_some()
}

/// An OFFSET that skips rows, as far as is known: one that was always 0 doesn't.
pub(super) fn skips(query: &Query, task: &Task<'_>) -> bool {
    let offset = match &query.limit_clause {
        Some(LimitClause::LimitOffset { offset, .. }) => {
            offset.as_ref().map(|offset| &offset.value)
        }
        Some(LimitClause::OffsetCommaLimit { offset, .. }) => Some(offset),
        None => None,
    };
    offset.is_some_and(|offset| {
        let found = mark::placeholder(offset);
        let operand = found.and_then(|found| task.looped.operand(found.n));
        let constant = operand.and_then(|operand| operand.constant.as_deref());
        constant.map(|value| value.trim_matches('\'')) != Some("0")
    })
}

/// A LIMIT of nothing, or of an unknown number that might be nothing: only where the value was seen, and is a positive number, may it go.
pub(super) fn is_positive(query: &Query, task: &Task<'_>) -> bool {
    let Some(LimitClause::LimitOffset {
        limit: Some(limit), ..
    }) = &query.limit_clause
    else {
        return true;
    };
    let found = mark::placeholder(limit);
    let operand = found.and_then(|found| task.looped.operand(found.n));
    match operand.and_then(|operand| operand.constant.as_deref()) {
        Some(value) => value.trim_matches('\'').parse::<u64>().is_ok_and(|n| n > 0),
        // nobody asks for no rows in a loop
        None => true,
    }
}
