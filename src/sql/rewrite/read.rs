//! SELECTs: by array where that means the same, else the single query once per key inside one statement.

mod asks;
mod flat;
mod lateral;

use sqlparser::ast::{Distinct, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr};

use super::{
    Answer, Batch, Form, Refusal, Task, aggregate,
    key::{self, Conditions, Key},
    limit,
    mark::holds_key,
    names::{self, Item},
    print::{self, Arrays},
    projection,
};

/// Said where a LIMIT went because of a key that no catalog vouches for.
const ID_IS_UNIQUE: &str =
    "taken for granted: id is unique, so the single query's LIMIT says nothing";

pub(super) fn read(query: &Query, task: &Task<'_>) -> Result<Batch, Refusal> {
    let flat = flat::flattened(query, task);
    let query = flat.as_ref().unwrap_or(query);
    if let Some(asked) = asks::existence(query)
        && let Some(batch) = exists(asked, task)
    {
        return Ok(batch);
    }
    match plain(query.clone(), task) {
        Some(batch) => Ok(batch),
        None => lateral::lateral(query, task),
    }
}

/// The query's keys taken out of its outermost SELECT. `None` where one of them stands elsewhere, or has a type by which rows can't be told apart.
struct Opened {
    keys: Vec<Key>,
    items: Vec<Item>,
}

fn open(select: &mut Select, task: &Task<'_>) -> Option<Opened> {
    let items = names::items(&select.from);
    let keys = key::take(
        Conditions {
            selection: &mut select.selection,
            from: &mut select.from,
        },
        &items,
        task,
    );
    let all = keys.len() == task.keys.len();
    let usable = keys.iter().all(|key| key.prints_alike() && !key.is_array());
    (all && usable).then_some(Opened { keys, items })
}

/// `key = ANY ($1)`, or for several keys `(a, b) IN (SELECT * FROM unnest($1, $2))`.
pub(super) fn condition(keys: &[Key], arrays: &mut Arrays, task: &Task<'_>) -> Option<String> {
    if let [key] = keys {
        let array = arrays.add(key.n, &key.name(), key.type_name.as_deref());
        return Some(format!("{} = ANY({array})", key.expr));
    }
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for key in keys {
        columns.push(key.expr.to_string());
        let type_name = key.type_name.clone().or_else(|| task.guess(key.n))?;
        values.push(arrays.add(key.n, &key.name(), Some(&type_name)));
    }
    Some(format!(
        "({}) IN (SELECT * FROM unnest({}))",
        columns.join(", "),
        values.join(", ")
    ))
}

fn exists(mut query: Query, task: &Task<'_>) -> Option<Batch> {
    if limit::skips(&query, task) || !limit::is_positive(&query, task) {
        return None;
    }
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let ungrouped =
        matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !ungrouped || select.having.is_some() || aggregate::calls(&select.projection).aggregates {
        return None;
    }
    let opened = open(select, task)?;
    let mut arrays = Arrays::of(task.looped);
    let condition = condition(&opened.keys, &mut arrays, task)?;
    select.projection = opened
        .keys
        .iter()
        .map(|key| SelectItem::UnnamedExpr(key.expr.clone()))
        .collect();
    select.distinct = Some(Distinct::Distinct);
    key::add(&mut select.selection, condition);
    query.order_by = None;
    query.limit_clause = None;
    query.fetch = None;
    done(
        &query.to_string(),
        &arrays,
        Form::Exists,
        Answer::Exists,
        Vec::new(),
    )
}

fn plain(mut query: Query, task: &Task<'_>) -> Option<Batch> {
    let counts_positions = counts_positions(&query);
    let (skips, limited) = (limit::skips(&query, task), limit::is_limited(&query));
    let positive = limit::is_positive(&query, task);
    let whole = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => !keys.is_empty(),
        _ => return None,
    };
    let calls = aggregate::calls(&select.projection);
    let aggregated = calls.aggregates && !grouped;
    let plain_distinct = matches!(
        select.distinct,
        None | Some(Distinct::Distinct | Distinct::All)
    );
    if skips
        || calls.windows
        || !plain_distinct
        || select.into.is_some()
        || select.having.is_some() && !grouped
    {
        return None;
    }
    let opened = open(select, task)?;
    let mut notes = Vec::new();
    if limited && !aggregated {
        let SetExpr::Select(original) = whole.body.as_ref() else {
            return None;
        };
        if grouped
            || !positive
            || !limit::at_most_one_row(original, &opened.keys, &opened.items, task)
        {
            return None;
        }
        if opened.items.iter().any(|item| {
            item.relation
                .as_ref()
                .is_none_or(|r| task.schema.columns(r).is_none())
        }) {
            notes.push(ID_IS_UNIQUE);
        }
    }
    let absent = if aggregated {
        Some(aggregate::absent(&select.projection)?)
    } else {
        None
    };
    let mut arrays = Arrays::of(task.looped);
    let condition = condition(&opened.keys, &mut arrays, task)?;
    key::add(&mut select.selection, condition);
    let keys = projection::add_keys(select, &opened.keys, &opened.items, counts_positions, task);
    if let (true, GroupByExpr::Expressions(by, _)) = (grouped || aggregated, &mut select.group_by) {
        by.extend(opened.keys.iter().map(|key| key.expr.clone()));
    }
    if aggregated {
        query.order_by = None;
    }
    query.limit_clause = None;
    query.fetch = None;
    let (form, answer) = match absent {
        Some(absent) => (Form::Grouped, Answer::Aggregate { keys, absent }),
        None if grouped => (Form::Grouped, Answer::Rows { keys }),
        None => (Form::Any, Answer::Rows { keys }),
    };
    done(&query.to_string(), &arrays, form, answer, notes)
}

/// Are outputs named by their position (`ORDER BY 1`)?
fn counts_positions(query: &Query) -> bool {
    let is_number =
        |expr: &sqlparser::ast::Expr| expr.to_string().bytes().all(|byte| byte.is_ascii_digit());
    let ordered = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.iter().any(|key| is_number(&key.expr)),
        _ => false,
    };
    let grouped = match query.body.as_ref() {
        SetExpr::Select(select) => match &select.group_by {
            GroupByExpr::Expressions(keys, _) => keys.iter().any(is_number),
            GroupByExpr::All(_) => false,
        },
        _ => false,
    };
    ordered || grouped
}

fn done(
    sql: &str,
    arrays: &Arrays,
    form: Form,
    answer: Answer,
    notes: Vec<&'static str>,
) -> Option<Batch> {
    if holds_key(&sql) {
        return None;
    }
    let (sql, parameters) = print::finish(sql, arrays)?;
    Some(Batch {
        sql,
        form,
        parameters,
        answer,
        notes,
    })
}
