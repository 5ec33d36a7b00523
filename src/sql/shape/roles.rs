//! A SELECT's order, grouping and limit, given to the scan that they belong to; and what the whole statement answers.

use sqlparser::ast::{
    self, Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    OrderByKind, OrderBySort, Query, Select, SelectItem, SetExpr, Statement, Value,
};

use super::{
    LimitClause, QueryShape, SortKey, Target,
    build::{Builder, Tail, column_of},
    names::{self, Env, Resolved, fold},
    predicate::{outputs_constant, resolve},
    render::strip,
};

/// Aggregates after which no condition from outside can be pushed in. User-defined ones are caught by GROUP BY in practice.
const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "percentile_cont",
    "percentile_disc",
    "string_agg",
    "sum",
];

/// LIMIT or FETCH FIRST of a query.
pub(super) fn limit(query: &Query) -> Option<LimitClause> {
    if let Some(fetch) = &query.fetch {
        return Some(match &fetch.quantity {
            Some(quantity) if !fetch.with_ties && !fetch.percent => limit_value(quantity),
            Some(_) => LimitClause::Unknown,
            None => LimitClause::Rows(1),
        });
    }
    match query.limit_clause.as_ref()? {
        ast::LimitClause::LimitOffset { limit, .. } => limit.as_ref().map(limit_value),
        ast::LimitClause::OffsetCommaLimit { limit, .. } => Some(limit_value(limit)),
    }
}

fn limit_value(expr: &Expr) -> LimitClause {
    let rows = match strip(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    rows.map_or(LimitClause::Unknown, LimitClause::Rows)
}

/// Is there an OFFSET?
pub(super) fn has_offset(query: &Query) -> bool {
    match &query.limit_clause {
        Some(ast::LimitClause::LimitOffset { offset, .. }) => offset.is_some(),
        Some(ast::LimitClause::OffsetCommaLimit { .. }) => true,
        None => false,
    }
}

/// Facts of the outermost query.
pub(super) fn outermost(statement: &Statement, shape: &mut QueryShape) {
    let Statement::Query(query) = statement else {
        return;
    };
    shape.limit = limit(query);
    shape.has_offset = has_offset(query);
    if let SetExpr::Select(select) = query.body.as_ref() {
        shape.is_count = is_count(select);
        shape.is_exists = asks_existence(select)
            || (outputs_constant(&query.body) && (shape.limit.is_some() || no_base(select)));
    }
}

/// `SELECT count(…)`, alone and ungrouped, cast or not.
fn is_count(select: &Select) -> bool {
    let ungrouped =
        matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    match select.projection.as_slice() {
        [item] => {
            ungrouped
                && matches!(output_expr(item).map(uncast), Some(Expr::Function(f)) if names::last(&f.name) == "count" && f.over.is_none())
        }
        _ => false,
    }
}

fn uncast(expr: &Expr) -> &Expr {
    match strip(expr) {
        Expr::Cast { expr, .. } => strip(expr),
        other => other,
    }
}

/// `SELECT EXISTS (…)`
fn asks_existence(select: &Select) -> bool {
    match select.projection.as_slice() {
        [item] => matches!(output_expr(item).map(strip), Some(Expr::Exists { .. })),
        _ => false,
    }
}

/// `SELECT 1 FROM (SELECT 1) d WHERE EXISTS (…)`: TypeORM asks so.
fn no_base(select: &Select) -> bool {
    let dummy = matches!(
        select.from.as_slice(),
        [table] if matches!(table.relation, ast::TableFactor::Derived { .. })
    );
    dummy
        && matches!(
            select.selection.as_ref().map(strip),
            Some(Expr::Exists { .. })
        )
}

fn output_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// The name that Postgres gives an unnamed output.
pub(super) fn output_name(expr: &Expr) -> String {
    match strip(expr) {
        Expr::Identifier(ident) => fold(ident),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold).unwrap_or_default(),
        Expr::Function(function) => names::last(&function.name),
        Expr::Cast { expr, .. } => output_name(expr),
        _ => "?column?".to_owned(),
    }
}

/// The output that an ORDER BY key names: by ordinal or by alias.
pub(super) fn output_of<'s>(key: &Expr, projection: &'s [SelectItem]) -> Option<&'s Expr> {
    match strip(key) {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => {
                let ordinal: usize = text.parse().ok()?;
                projection
                    .get(ordinal.checked_sub(1)?)
                    .and_then(output_expr)
            }
            _ => None,
        },
        Expr::Identifier(ident) => {
            let name = fold(ident);
            projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if fold(alias) == name => Some(expr),
                _ => None,
            })
        }
        _ => None,
    }
}

/// May a condition on this SELECT's output be pushed to its inputs?
pub(super) fn passes_conditions(select: &Select) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let aggregates = select.projection.iter().filter_map(output_expr).any(
        |expr| matches!(strip(expr), Expr::Function(f) if f.over.is_some() || is_aggregate(f)),
    );
    !grouped && !aggregates && select.having.is_none() && select.distinct.is_none()
}

fn is_aggregate(function: &Function) -> bool {
    AGGREGATES
        .binary_search(&names::last(&function.name).as_str())
        .is_ok()
}

/// Gives sort, grouping, limit, DISTINCT ON and min/max to the scans they belong to.
pub(super) fn assign(builder: &mut Builder<'_>, select: &Select, tail: Tail<'_>, env: &Env<'_>) {
    let scope = env.number;
    if tail.limit.is_some() {
        for scan in builder
            .shape
            .scans
            .iter_mut()
            .filter(|scan| scan.scope == scope)
        {
            scan.limit = tail.limit;
        }
    }
    if let Some((scan, keys)) = sort_keys(select, tail, env) {
        builder.scan_mut(scan).sort = keys;
    }
    if let Some((scan, keys)) = group_keys(select, env) {
        builder.scan_mut(scan).group = keys;
    }
    if let Some(Distinct::On(keys)) = &select.distinct
        && let Some((scan, targets)) = targets(keys.iter(), env)
    {
        builder.scan_mut(scan).distinct_on = targets;
    }
    for column in extremes(select, env) {
        builder.scan_mut(column.scan).min_max.push(column.column);
    }
}

fn sort_keys(select: &Select, tail: Tail<'_>, env: &Env<'_>) -> Option<(u32, Vec<SortKey>)> {
    let OrderByKind::Expressions(keys) = &tail.order_by?.kind else {
        return None;
    };
    let exprs = keys
        .iter()
        .map(|key| output_of(&key.expr, &select.projection).unwrap_or(&key.expr));
    let (scan, targets) = targets(exprs, env)?;
    let sort = targets
        .into_iter()
        .zip(keys)
        .map(|(target, key)| SortKey {
            target,
            descending: match &key.options.sort {
                Some(OrderBySort::Desc) => true,
                Some(OrderBySort::Using(operator)) => names::dotted(operator).ends_with('>'),
                Some(OrderBySort::Asc) | None => false,
            },
            nulls_first: key.options.nulls_first,
        })
        .collect();
    Some((scan, sort))
}

fn group_keys(select: &Select, env: &Env<'_>) -> Option<(u32, Vec<Target>)> {
    match &select.group_by {
        GroupByExpr::Expressions(keys, _) if !keys.is_empty() => {
            let exprs = keys.iter().map(|key| match resolve(key, env) {
                Some(Resolved::Column { .. }) => key,
                _ => output_of(key, &select.projection).unwrap_or(key),
            });
            targets(exprs, env)
        }
        _ => match &select.distinct {
            Some(Distinct::Distinct) => {
                let outputs: Option<Vec<&Expr>> =
                    select.projection.iter().map(output_expr).collect();
                targets(outputs?.into_iter(), env)
            }
            _ => None,
        },
    }
}

/// The targets of a key list when all are of one scan.
fn targets<'e>(keys: impl Iterator<Item = &'e Expr>, env: &Env<'_>) -> Option<(u32, Vec<Target>)> {
    let mut of_scan = None;
    let mut targets = Vec::new();
    for key in keys {
        let (scan, target) = super::predicate::target_of(key, env)?;
        if *of_scan.get_or_insert(scan) != scan {
            return None;
        }
        targets.push(target);
    }
    Some((of_scan?, targets))
}

/// Columns of `min(x)` and `max(x)` where nothing groups.
fn extremes(select: &Select, env: &Env<'_>) -> Vec<super::ColumnRef> {
    let ungrouped =
        matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !ungrouped {
        return Vec::new();
    }
    select
        .projection
        .iter()
        .filter_map(output_expr)
        .filter_map(|expr| match strip(expr) {
            Expr::Function(function) => min_max_argument(function),
            _ => None,
        })
        .filter_map(|argument| column_of(argument, env))
        .collect()
}

fn min_max_argument(function: &Function) -> Option<&Expr> {
    if !matches!(names::last(&function.name).as_str(), "min" | "max") {
        return None;
    }
    match &function.args {
        FunctionArguments::List(list) => match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => Some(expr),
            _ => None,
        },
        _ => None,
    }
}
