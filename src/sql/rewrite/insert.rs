//! INSERT of one row → of all rows: arrays where the types are known, else several rows of VALUES.

use std::collections::BTreeSet;

use sqlparser::ast::{Expr, Insert, ObjectName, OnConflictAction, OnInsert, SetExpr, TableObject};

use super::{
    Answer, Batch, Form, Refusal, Task,
    mark::{self, holds_key},
    names,
    print::{self, Arrays},
    types,
};
use crate::sql::{
    quote_identifier,
    shape::{self, dotted, strip},
};

/// Said where rows come back.
const RETURNED: &str = "RETURNING promises no order: return a column by which you know each row";

/// Said where a constraint decides for each row by itself.
const SKIPPED: &str =
    "of rows that conflict with each other within the batch the first stays, as in the loop";

/// One column of the row.
struct Cell {
    column: Option<String>,
    value: Expr,
}

pub(super) fn insert(insert: &Insert, task: &Task<'_>) -> Result<Batch, Refusal> {
    let TableObject::TableName(table) = &insert.table else {
        return Err(Refusal::Form("INSERT into a function"));
    };
    let mut notes = Vec::new();
    match &insert.on {
        None => {}
        Some(OnInsert::OnConflict(conflict))
            if matches!(conflict.action, OnConflictAction::DoNothing) =>
        {
            notes.push(SKIPPED);
        }
        Some(OnInsert::OnConflict(_)) => return Err(Refusal::DoubleHit),
        Some(_) => return Err(Refusal::Form("INSERT of another dialect")),
    }
    if insert.returning.is_some() {
        notes.push(RETURNED);
    }
    let relation = shape::relation(table);
    let cells = cells(insert, task.schema.columns(&relation))?;
    match by_arrays(insert, table, &cells, task) {
        Some((sql, arrays)) => finish(&sql, &arrays, notes),
        None => by_rows(insert, &cells, notes),
    }
}

/// The one row's values with their columns.
fn cells(insert: &Insert, known: Option<Vec<String>>) -> Result<Vec<Cell>, Refusal> {
    let Some(source) = &insert.source else {
        return Err(Refusal::NoKey);
    };
    let SetExpr::Values(values) = source.body.as_ref() else {
        return Err(Refusal::Form("INSERT … SELECT"));
    };
    let [row] = values.rows.as_slice() else {
        return Err(Refusal::Batched);
    };
    let listed: Vec<String> = insert.columns.iter().map(dotted).collect();
    let columns = if listed.is_empty() {
        known.unwrap_or_default()
    } else {
        listed
    };
    let cells = row.content.iter().enumerate().map(|(at, value)| Cell {
        column: columns.get(at).cloned(),
        value: value.clone(),
    });
    Ok(cells.collect())
}

fn is_default(expr: &Expr) -> bool {
    strip(expr).to_string().eq_ignore_ascii_case("default")
}

/// `INSERT INTO t (a, b) SELECT * FROM unnest($1::x[], $2::y[])`
fn by_arrays(
    insert: &Insert,
    table: &ObjectName,
    cells: &[Cell],
    task: &Task<'_>,
) -> Option<(String, Arrays)> {
    let relation = shape::relation(table);
    let type_of = |column: &Option<String>| task.schema.column_type(&relation, column.as_deref()?);
    let mut arrays = Arrays::of(task.looped);
    let (mut columns, mut selected, mut values, mut aliases) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    let mut plain = true;
    for cell in cells {
        if is_default(&cell.value) {
            // leaving a column out is the same, if columns are listed
            cell.column.as_ref()?;
            continue;
        }
        let found = mark::placeholder(&cell.value);
        let value = match found {
            Some(found) if found.varies => {
                let cast = found.cast.map(|cast| cast.to_lowercase());
                let type_name = type_of(&cell.column).or(cast)?;
                if types::is_array(&type_name) || !seen.insert(found.n) {
                    return None;
                }
                let name = cell
                    .column
                    .clone()
                    .unwrap_or_else(|| format!("value_{}", found.n));
                values.push(arrays.add(found.n, &name, Some(&types::element(&type_name))));
                let alias = names::free(&name, &aliases);
                aliases.push(alias.clone());
                format!("rows.{alias}")
            }
            Some(found) => {
                plain = false;
                if let Some(column) = &cell.column {
                    arrays.name(found.n, column);
                }
                match type_of(&cell.column) {
                    Some(type_name) => format!("#{}::{}", found.n, type_without_length(&type_name)),
                    None => cell.value.to_string(),
                }
            }
            None if holds_key(&cell.value) => return None,
            None => {
                plain = false;
                cell.value.to_string()
            }
        };
        columns.extend(cell.column.as_deref().map(quote_identifier));
        selected.push(value);
    }
    let table = table.to_string();
    let list = if columns.len() == selected.len() {
        format!(" ({})", columns.join(", "))
    } else {
        String::new()
    };
    let from = if plain {
        format!("SELECT * FROM unnest({})", values.join(", "))
    } else {
        let from = format!(
            "FROM unnest({}) AS rows ({})",
            values.join(", "),
            aliases.join(", ")
        );
        format!("SELECT {} {from}", selected.join(", "))
    };
    Some((
        format!("INSERT INTO {table}{list} {from}{}", tail(insert)),
        arrays,
    ))
}

/// A scalar keeps its type, without what would cut it.
fn type_without_length(type_name: &str) -> String {
    if types::is_array(type_name) {
        type_name.to_owned()
    } else {
        types::element(type_name)
    }
}

/// ON CONFLICT and RETURNING as they were.
fn tail(insert: &Insert) -> String {
    let on = insert
        .on
        .as_ref()
        .map(|on| on.to_string().trim().to_owned());
    let returning = insert.returning.as_ref().map(|items| {
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        format!("RETURNING {}", items.join(", "))
    });
    let parts: Vec<String> = on.into_iter().chain(returning).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" {}", parts.join(" "))
    }
}

/// `INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4), …`: needs no types.
fn by_rows(
    insert: &Insert,
    cells: &[Cell],
    mut notes: Vec<&'static str>,
) -> Result<Batch, Refusal> {
    let written = |cell: &Cell| {
        if is_default(&cell.value) {
            "DEFAULT".to_owned()
        } else {
            cell.value.to_string()
        }
    };
    let row: Vec<String> = cells.iter().map(written).collect();
    let row = row.join(", ");
    let mut seen = Vec::new();
    let first = numbered(&row, &mut seen, 0);
    let width = seen.len();
    let second = numbered(&row, &mut seen, width);
    let mut whole = insert.clone();
    let on = tail(insert);
    whole.on = None;
    whole.returning = None;
    whole.source = None;
    let head = whole.to_string();
    let head = head
        .trim_end()
        .trim_end_matches("DEFAULT VALUES")
        .trim_end();
    if on.contains('#') || holds_key(&on) {
        return Err(Refusal::OutOfReach);
    }
    let on = if on.is_empty() {
        on
    } else {
        format!("\n{}", print::lines(on.trim_start()))
    };
    notes.push("one row of parameters for each row to insert");
    Ok(Batch {
        sql: format!("{head}\nVALUES\n  ({first}),\n  ({second})\n  /* , … */{on}"),
        form: Form::InsertRows,
        parameters: Vec::new(),
        answer: Answer::Written,
        notes,
    })
}

/// A row's placeholders numbered from `1 + offset`, in order of appearance.
fn numbered(row: &str, seen: &mut Vec<u16>, offset: usize) -> String {
    let mut out = String::new();
    let mut rest = row;
    while let Some(at) = rest.find(['@', '#']) {
        let behind = &rest[at + 1..];
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(&rest[..at]);
        let Ok(n) = behind[..digits].parse::<u16>() else {
            out.push_str(&rest[at..=at]);
            rest = behind;
            continue;
        };
        let position = seen.iter().position(|&known| known == n);
        let position = position.unwrap_or_else(|| {
            seen.push(n);
            seen.len() - 1
        });
        out.push_str(&format!("${}", position + 1 + offset));
        rest = &behind[digits..];
    }
    out + rest
}

fn finish(sql: &str, arrays: &Arrays, notes: Vec<&'static str>) -> Result<Batch, Refusal> {
    let (sql, parameters) = print::finish(sql, arrays).ok_or(Refusal::OutOfReach)?;
    Ok(Batch {
        sql,
        form: Form::InsertArrays,
        parameters,
        answer: Answer::Written,
        notes,
    })
}
