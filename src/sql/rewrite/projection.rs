//! The keys in the output, so that rows can be told apart by them.

use sqlparser::ast::{Expr, Select, SelectItem, SelectItemQualifiedWildcardKind};

use super::{
    Task,
    answer::KeyAt,
    key::Key,
    mark::verbatim,
    names::{self, Item},
};
use crate::sql::{
    quote_identifier,
    shape::{dotted, fold},
};

/// The name of an explicit output.
pub(super) fn output_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(fold(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(fold),
        SelectItem::UnnamedExpr(Expr::Function(function)) => {
            dotted(&function.name).rsplit('.').next().map(str::to_owned)
        }
        _ => None,
    }
}

pub(super) fn output_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

pub(super) fn is_star(item: &SelectItem) -> bool {
    matches!(
        item,
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
    )
}

/// The name under which the key is in the output already, alone of that name.
pub(super) fn present(
    projection: &[SelectItem],
    key: &Key,
    items: &[Item],
    task: &Task<'_>,
) -> Option<String> {
    let column = key.column.as_ref()?;
    let explicit = projection.iter().find(|item| {
        output_expr(item)
            .and_then(|expr| names::column(expr, items, task.schema))
            .is_some_and(|output| output.is(column))
    });
    let stars: Vec<&SelectItem> = projection.iter().filter(|item| is_star(item)).collect();
    let name = match (explicit, stars.as_slice()) {
        // beside a star another column may have its name
        (Some(item), []) => output_name(item)?,
        (None, [SelectItem::Wildcard(_)]) if items.len() == 1 => column.name.clone(),
        (
            None,
            [SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _)],
        ) if dotted(name).rsplit('.').next() == Some(column.item.alias.as_str())
            && column.item.relation.is_some() =>
        {
            column.name.clone()
        }
        _ => return None,
    };
    let n_named = projection
        .iter()
        .filter(|item| output_name(item).as_ref() == Some(&name))
        .count();
    let expected = usize::from(explicit.is_some());
    (n_named == expected).then_some(name)
}

/// Adds the keys that are not there yet; in front, unless positions are counted (`ORDER BY 1`). Says where each is found.
pub(super) fn add_keys(
    select: &mut Select,
    keys: &[Key],
    items: &[Item],
    counts_positions: bool,
    task: &Task<'_>,
) -> Vec<KeyAt> {
    let mut places = Vec::new();
    let mut added = Vec::new();
    for key in keys {
        if let Some(name) = present(&select.projection, key, items, task) {
            places.push(KeyAt::Named(name));
            continue;
        }
        let at = added.len();
        places.push(if counts_positions {
            KeyAt::Back(at)
        } else {
            KeyAt::Front(at)
        });
        added.push(added_item(&select.projection, key));
    }
    if counts_positions {
        // counted from the end
        let n = added.len();
        for place in &mut places {
            if let KeyAt::Back(at) = place {
                *at = n - 1 - *at;
            }
        }
        select.projection.extend(added);
    } else {
        select.projection.splice(0..0, added);
    }
    places
}

fn added_item(projection: &[SelectItem], key: &Key) -> SelectItem {
    let name = key.name();
    let clashes = projection
        .iter()
        .any(|item| is_star(item) || output_name(item).as_ref() == Some(&name));
    let clashes = clashes && key.column.is_some();
    if clashes || key.column.is_none() {
        let name = if key.column.is_some() {
            format!("key_{name}")
        } else {
            name
        };
        return SelectItem::UnnamedExpr(verbatim(format!(
            "{} AS {}",
            key.expr,
            quote_identifier(&name)
        )));
    }
    SelectItem::UnnamedExpr(key.expr.clone())
}
