//! UPDATE and DELETE by key → by array, or by rows of values.

use sqlparser::ast::{
    AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Ident, ObjectName, ObjectNamePart,
    SelectItem, TableFactor, TableWithJoins, Update,
};

use super::{
    Answer, Batch, Form, Refusal, Task,
    key::{self, Conditions, Key},
    mark::{self, holds_key, verbatim},
    names::{self, Item},
    print::{self, Arrays},
    projection, read, types,
};
use crate::sql::{
    quote_identifier,
    shape::{dotted, strip},
};

/// Said where each row is meant to be hit once.
const ONCE: &str =
    "each key once in a batch: of two values for one row, which one stays is not defined";

/// Said where the batch itself keeps the last of several values.
const LAST: &str = "of several values for one key the last one stays, as in the loop";

pub(super) fn delete(mut delete: Delete, task: &Task<'_>) -> Result<Batch, Refusal> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &mut delete.from;
    if from.len() != 1 || !from[0].joins.is_empty() || delete.using.is_some() {
        return Err(Refusal::Form("DELETE with a join"));
    }
    let items = names::items(from);
    let keys = taken(&mut delete.selection, &items, task)?;
    let mut arrays = Arrays::of(task.looped);
    let condition = read::condition(&keys, &mut arrays, task).ok_or(Refusal::Types)?;
    key::add(&mut delete.selection, condition);
    add_returned(delete.returning.as_mut(), &keys, &items, task);
    finish(&delete.to_string(), &arrays, Form::Delete, Vec::new())
}

/// All keys, each from a condition of WHERE.
fn taken(
    selection: &mut Option<Expr>,
    items: &[Item],
    task: &Task<'_>,
) -> Result<Vec<Key>, Refusal> {
    let keys = key::take(
        Conditions {
            selection,
            from: &mut [],
        },
        items,
        task,
    );
    if keys.is_empty() || selection.as_ref().is_some_and(holds_key) {
        return Err(Refusal::OutOfReach);
    }
    if keys.iter().any(Key::is_array) {
        return Err(Refusal::ArrayKey);
    }
    Ok(keys)
}

/// The keys among what is returned, so that rows can be told apart.
fn add_returned(
    returning: Option<&mut Vec<SelectItem>>,
    keys: &[Key],
    items: &[Item],
    task: &Task<'_>,
) {
    let Some(returning) = returning else {
        return;
    };
    for key in keys {
        if projection::present(returning, key, items, task).is_none() {
            returning.push(SelectItem::UnnamedExpr(key.expr.clone()));
        }
    }
}

pub(super) fn update(mut update: Update, task: &Task<'_>) -> Result<Batch, Refusal> {
    if update.from.is_some() || !update.table.joins.is_empty() {
        return Err(Refusal::Form("UPDATE with a join"));
    }
    let items = names::items(std::slice::from_ref(&update.table));
    let keys = taken(&mut update.selection, &items, task)?;
    let values: Vec<u16> = task
        .keys
        .iter()
        .copied()
        .filter(|n| keys.iter().all(|key| key.n != *n))
        .collect();
    if task.looped.keys_repeat && accumulates(&update) {
        return Err(Refusal::Accumulates);
    }
    if values.is_empty() {
        let mut arrays = Arrays::of(task.looped);
        let condition = read::condition(&keys, &mut arrays, task).ok_or(Refusal::Types)?;
        key::add(&mut update.selection, condition);
        add_returned(update.returning.as_mut(), &keys, &items, task);
        return finish(&update.to_string(), &arrays, Form::UpdateSame, Vec::new());
    }
    each(update, &keys, &values, &items, task)
}

/// Does what is written, or which row is hit, depend on what the call before wrote to the same row?
fn accumulates(update: &Update) -> bool {
    let reads_columns = |expr: &Expr| mark::placeholder(expr).is_none() && names_a_column(expr);
    let written: Vec<String> = update
        .assignments
        .iter()
        .filter_map(|assignment| match &assignment.target {
            AssignmentTarget::ColumnName(name) => Some(dotted(name)),
            AssignmentTarget::Tuple(_) => None,
        })
        .collect();
    let rest = update
        .selection
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    update
        .assignments
        .iter()
        .any(|assignment| reads_columns(&assignment.value))
        || written.iter().any(|column| rest.contains(column.as_str()))
}

fn names_a_column(expr: &Expr) -> bool {
    use sqlparser::ast::{Visit, Visitor};
    struct Names;
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> std::ops::ControlFlow<()> {
            match expr {
                Expr::Identifier(name) if !name.value.eq_ignore_ascii_case("default") => {
                    std::ops::ControlFlow::Break(())
                }
                Expr::CompoundIdentifier(_) => std::ops::ControlFlow::Break(()),
                _ => std::ops::ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Names).is_break()
}

/// A column of the rows that an UPDATE is joined with.
struct Field {
    n: u16,
    name: String,
    type_name: String,
}

/// `UPDATE t SET c = rows.new_c FROM unnest(…) AS rows (key_id, new_c) WHERE t.id = rows.key_id`
fn each(
    mut update: Update,
    keys: &[Key],
    values: &[u16],
    items: &[Item],
    task: &Task<'_>,
) -> Result<Batch, Refusal> {
    let mut fields: Vec<Field> = Vec::new();
    let words: Vec<String> = items
        .iter()
        .filter_map(|item| task.schema.columns(item.relation.as_ref()?))
        .flatten()
        .collect();
    let name = |wanted: String, fields: &[Field]| {
        let taken: Vec<String> = words
            .iter()
            .cloned()
            .chain(fields.iter().map(|field| field.name.clone()))
            .collect();
        names::free(&wanted, &taken)
    };
    for key in keys {
        let type_name = key.type_name.clone().or_else(|| task.guess(key.n));
        fields.push(Field {
            n: key.n,
            name: name(format!("key_{}", key.name()), &fields),
            type_name: type_name.ok_or(Refusal::Types)?,
        });
    }
    for &n in values {
        let (column, type_name) = value_type(&update, n, items, task).ok_or(Refusal::OutOfReach)?;
        let type_name = type_name.or_else(|| task.guess(n)).ok_or(Refusal::Types)?;
        if types::is_array(&type_name) {
            return Err(Refusal::ArrayKey);
        }
        fields.push(Field {
            n,
            name: name(format!("new_{column}"), &fields),
            type_name: types::element(&type_name),
        });
    }
    let target = items
        .first()
        .map(|item| quote_identifier(&item.alias))
        .unwrap_or_default();
    let conditions: Vec<String> = keys
        .iter()
        .zip(&fields)
        .map(|(key, field)| format!("{} = rows.{}", qualified(&key.expr, &target), field.name))
        .collect();
    key::add(&mut update.selection, conditions.join(" AND "));
    for assignment in &mut update.assignments {
        let mut value = assignment.value.to_string();
        for field in &fields {
            value = put(&value, field.n, &format!("rows.{}", field.name));
        }
        assignment.value = verbatim(value);
    }
    if let Some(returning) = &mut update.returning {
        for item in returning {
            if matches!(item, SelectItem::Wildcard(_)) {
                *item = SelectItem::UnnamedExpr(verbatim(format!("{target}.*")));
            }
        }
    }
    let mut arrays = Arrays::of(task.looped);
    let lists: Vec<String> = fields
        .iter()
        .map(|field| arrays.add(field.n, plain_name(&field.name), Some(&field.type_name)))
        .collect();
    let columns: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let rows = format!("unnest({})", lists.join(", "));
    let columns_sql = columns.join(", ");
    let from = if task.looped.keys_repeat {
        let by = columns[..keys.len()].join(", ");
        format!(
            "(SELECT DISTINCT ON ({by}) * FROM {rows} WITH ORDINALITY AS rows ({columns_sql}, n) ORDER BY {by}, n DESC) AS rows"
        )
    } else {
        format!("{rows} AS rows ({columns_sql})")
    };
    update.from = Some(sqlparser::ast::UpdateTableFromKind::AfterSet(vec![
        verbatim_table(from),
    ]));
    let notes = vec![if task.looped.keys_repeat { LAST } else { ONCE }];
    finish(&update.to_string(), &arrays, Form::UpdateEach, notes)
}

fn plain_name(field: &str) -> &str {
    field
        .trim_matches('"')
        .trim_start_matches("key_")
        .trim_start_matches("new_")
}

/// A FROM item that prints as it stands.
fn verbatim_table(sql: String) -> TableWithJoins {
    TableWithJoins {
        relation: TableFactor::Table {
            name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(sql))]),
            alias: None,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        },
        joins: Vec::new(),
    }
}

/// The column of the target with its name in front.
fn qualified(expr: &Expr, target: &str) -> String {
    match expr {
        Expr::Identifier(name) => format!("{target}.{name}"),
        other => other.to_string(),
    }
}

fn put(sql: &str, n: u16, column: &str) -> String {
    let marked = format!("@{n}");
    let mut out = String::new();
    let mut rest = sql;
    while let Some(at) = rest.find(&marked) {
        let behind = &rest[at + marked.len()..];
        out.push_str(&rest[..at]);
        out.push_str(if behind.starts_with(|c: char| c.is_ascii_digit()) {
            &marked
        } else {
            column
        });
        rest = behind;
    }
    out + rest
}

/// The column that a value is written to, and the value's type as far as it is known. `None` where it stands in no assignment.
fn value_type(
    update: &Update,
    n: u16,
    items: &[Item],
    task: &Task<'_>,
) -> Option<(String, Option<String>)> {
    let relation = items.first()?.relation.as_ref()?;
    update.assignments.iter().find_map(|assignment| {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return None;
        };
        let column = dotted(name)
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned();
        let of_column = task.schema.column_type(relation, &column);
        let is_it = |expr: &Expr| mark::placeholder(expr).filter(|found| found.n == n);
        let value = strip(&assignment.value);
        if let Some(found) = is_it(value) {
            return Some((
                column,
                of_column.or(found.cast.map(|cast| cast.to_lowercase())),
            ));
        }
        if let Expr::BinaryOp { left, op, right } = value
            && let Some(found) = is_it(left).or_else(|| is_it(right))
        {
            let keeps_type = matches!(
                op,
                BinaryOperator::Plus
                    | BinaryOperator::Minus
                    | BinaryOperator::Multiply
                    | BinaryOperator::Divide
                    | BinaryOperator::StringConcat
            );
            let cast = found.cast.map(|cast| cast.to_lowercase());
            return Some((column, cast.or(of_column.filter(|_| keeps_type))));
        }
        holds(&assignment.value, n).then_some((column, None))
    })
}

fn holds(expr: &Expr, n: u16) -> bool {
    put(&expr.to_string(), n, "") != expr.to_string()
}

fn finish(
    sql: &str,
    arrays: &Arrays,
    form: Form,
    notes: Vec<&'static str>,
) -> Result<Batch, Refusal> {
    let (sql, parameters) = print::finish(sql, arrays).ok_or(Refusal::OutOfReach)?;
    Ok(Batch {
        sql,
        form,
        parameters,
        answer: Answer::Written,
        notes,
    })
}
