//! Which table an expression's column belongs to, within one FROM.

use sqlparser::ast::{Expr, TableFactor, TableWithJoins};

use super::types::Schema;
use crate::sql::{
    quote_identifier,
    shape::{RelationRef, fold, relation},
};

/// One item of FROM.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Alias, or the table's name.
    pub(super) alias: String,
    /// `None` for subqueries and functions.
    pub(super) relation: Option<RelationRef>,
}

/// A column with the table that it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) item: Item,
    pub(super) name: String,
}

/// All items of a FROM, in order.
pub(super) fn items(from: &[TableWithJoins]) -> Vec<Item> {
    let mut items = Vec::new();
    for table in from {
        collect(table, &mut items);
    }
    items
}

fn collect(table: &TableWithJoins, items: &mut Vec<Item>) {
    let factors =
        std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    for factor in factors {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let relation = relation(name);
                let alias = alias
                    .as_ref()
                    .map_or_else(|| relation.name.clone(), |alias| fold(&alias.name));
                items.push(Item {
                    alias,
                    relation: Some(relation),
                });
            }
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => collect(table_with_joins, items),
            other => items.push(Item {
                alias: alias_of(other).unwrap_or_default(),
                relation: None,
            }),
        }
    }
}

fn alias_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Derived { alias, .. }
        | TableFactor::Table { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. } => alias.as_ref().map(|alias| fold(&alias.name)),
        _ => None,
    }
}

/// The column that an expression is, where it surely is one of these items'.
pub(super) fn column(expr: &Expr, items: &[Item], schema: &dyn Schema) -> Option<Column> {
    match expr {
        Expr::Nested(inner) => column(inner, items, schema),
        Expr::CompoundIdentifier(parts) => {
            let [.., alias, name] = parts.as_slice() else {
                return None;
            };
            let alias = fold(alias);
            let item = items.iter().find(|item| item.alias == alias)?;
            Some(Column {
                item: item.clone(),
                name: fold(name),
            })
        }
        Expr::Identifier(name) => {
            let name = fold(name);
            let item = match items {
                [only] => only,
                several => {
                    let has = |item: &&Item| {
                        let columns = item.relation.as_ref().and_then(|r| schema.columns(r));
                        columns.is_some_and(|columns| columns.contains(&name))
                    };
                    let mut having = several.iter().filter(has);
                    having.next().filter(|_| having.next().is_none())?
                }
            };
            Some(Column {
                item: item.clone(),
                name,
            })
        }
        _ => None,
    }
}

impl Column {
    /// Its type, where a catalog tells.
    pub(super) fn type_name(&self, schema: &dyn Schema) -> Option<String> {
        schema.column_type(self.item.relation.as_ref()?, &self.name)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.item.alias == other.item.alias && self.name == other.name
    }
}

/// A name that none of `taken` is.
pub(super) fn free(wanted: &str, taken: &[String]) -> String {
    let numbered = (2..).map(|n| format!("{wanted}_{n}"));
    std::iter::once(wanted.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .map(|name| quote_identifier(&name))
        .expect("numbers don't end")
}
