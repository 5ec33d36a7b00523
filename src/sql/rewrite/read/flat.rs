//! `SELECT count(*) FROM (SELECT … WHERE key = $1) AS sub`, as Prisma, Peewee and Django count: the same as counting in the inner query.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query, Select,
    SelectItem, SetExpr, TableFactor,
};

use super::super::{Task, aggregate, limit, mark, projection};
use crate::sql::shape::{dotted, strip};

/// The inner query with the outer one's counts. `None` where the inner one cuts, merges or groups its rows, or more than rows is counted.
pub(super) fn flattened(query: &Query, task: &Task<'_>) -> Option<Query> {
    let SetExpr::Select(outer) = query.body.as_ref() else {
        return None;
    };
    let [table] = outer.from.as_slice() else {
        return None;
    };
    let TableFactor::Derived {
        lateral: false,
        subquery,
        ..
    } = &table.relation
    else {
        return None;
    };
    let SetExpr::Select(inner) = subquery.body.as_ref() else {
        return None;
    };
    let keeps_rows = subquery.with.is_none()
        && !limit::is_limited(subquery)
        && !limit::skips(subquery, task)
        && is_plain(inner);
    let only_counts = query.with.is_none()
        && table.joins.is_empty()
        && outer.selection.is_none()
        && is_plain_but_for_output(outer)
        && outer.projection.iter().all(counts_rows);
    if !keeps_rows || !only_counts {
        return None;
    }
    let mut flat = query.clone();
    let mut select = inner.as_ref().clone();
    select.projection.clone_from(&outer.projection);
    flat.body = Box::new(SetExpr::Select(Box::new(select)));
    Some(flat)
}

fn is_plain(select: &Select) -> bool {
    is_plain_but_for_output(select) && !aggregate::calls(&select.projection).aggregates
}

fn is_plain_but_for_output(select: &Select) -> bool {
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty());
    select.distinct.is_none() && ungrouped && select.having.is_none() && select.into.is_none()
}

/// `count(*)`, or of a constant.
fn counts_rows(item: &SelectItem) -> bool {
    let mut expr = match projection::output_expr(item) {
        Some(expr) => strip(expr),
        None => return false,
    };
    while let Expr::Cast { expr: inner, .. } = expr {
        expr = strip(inner);
    }
    match expr {
        Expr::Function(Function {
            name,
            args: FunctionArguments::List(list),
            filter: None,
            over: None,
            ..
        }) if dotted(name) == "count" && list.duplicate_treatment.is_none() => {
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] => true,
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => {
                    mark::placeholder(expr).is_some_and(|found| !found.varies)
                }
                _ => false,
            }
        }
        _ => false,
    }
}
