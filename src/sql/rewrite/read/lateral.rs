//! The single query as it is, once per key, inside one statement: `unnest(keys) CROSS JOIN LATERAL (…)`. Right for any query that is not
//! up to chance; slower than an array where an array would do.

use std::{collections::BTreeMap, ops::ControlFlow};

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, OrderByKind, Query, Select, SetExpr, Visit, Visitor,
};

use super::super::{
    Answer, Batch, Form, LiteralKind, Refusal, Task, aggregate,
    answer::KeyAt,
    key::{self, Conditions},
    limit, mark,
    names::{self, Item},
    print::Arrays,
    projection, types,
};
use crate::sql::{
    Lexer, TokenKind, quote_identifier,
    shape::{fold, strip},
};

/// Said where the order within a key can't be asked for.
const UNORDERED: &str =
    "the rows of one key come in no promised order: sort them where that matters";

/// Said because a key that comes twice gets its rows twice.
const DISTINCT_KEYS: &str = "pass each key once";

pub(super) fn lateral(query: &Query, task: &Task<'_>) -> Result<Batch, Refusal> {
    let ordered = query.order_by.is_some();
    let cut = limit::is_limited(query) || limit::skips(query, task);
    if cut && !ordered && super::asks::existence(query).is_none() && !one_row(query, task) {
        return Err(Refusal::UnorderedLimit);
    }
    let places = Places::of(query, task);
    let known: Option<Vec<(u16, String, String)>> = task
        .keys
        .iter()
        .map(|n| Some((*n, places.name(*n), places.type_name(*n, task)?)))
        .collect();
    let guessed = || -> Option<Vec<(u16, String, String)>> {
        let type_name = |n| places.type_name(n, task).or_else(|| task.guess(n));
        task.keys
            .iter()
            .map(|n| Some((*n, places.name(*n), type_name(*n)?)))
            .collect()
    };
    match known {
        Some(keys)
            if keys
                .iter()
                .any(|(_, _, type_name)| types::is_array(type_name)) =>
        {
            Err(Refusal::ArrayKey)
        }
        Some(keys) => unnested(query, &keys, task),
        None => match by_table(query, &places, task) {
            Err(Refusal::Types) => unnested(query, &guessed().ok_or(Refusal::Types)?, task),
            answer => answer,
        },
    }
}

/// A lone aggregate, or a query pinned by a unique key.
fn one_row(query: &Query, task: &Task<'_>) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    let ungrouped =
        matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if ungrouped && aggregate::calls(&select.projection).aggregates {
        return true;
    }
    let items = names::items(&select.from);
    let mut opened = select.as_ref().clone();
    let conditions = Conditions {
        selection: &mut opened.selection,
        from: &mut opened.from,
    };
    let keys = key::take(conditions, &items, task);
    limit::at_most_one_row(select, &keys, &items, task)
}

/// Keys from arrays with known types.
fn unnested(
    query: &Query,
    keys: &[(u16, String, String)],
    task: &Task<'_>,
) -> Result<Batch, Refusal> {
    let words = words(query);
    let alias = names::free("keys", &words);
    let found = names::free("found", &words);
    let mut arrays = Arrays::of(task.looped);
    let mut columns: Vec<String> = Vec::new();
    let mut values = Vec::new();
    let mut inner = query.to_string();
    for (n, name, type_name) in keys {
        let column = names::free(name, &columns);
        values.push(arrays.add(*n, name, Some(type_name)));
        inner = put(&inner, *n, &format!("{alias}.{column}"));
        columns.push(column);
    }
    let order = order(query, &found, task);
    let (ordinality, sort) = match &order {
        Order::None => ("", String::new()),
        Order::Unknown => (" WITH ORDINALITY", format!(" ORDER BY {alias}.n")),
        Order::By(keys) => (" WITH ORDINALITY", format!(" ORDER BY {alias}.n, {keys}")),
    };
    let mut listed = columns.clone();
    if !ordinality.is_empty() {
        listed.push("n".to_owned());
    }
    let outputs: Vec<String> = columns
        .iter()
        .map(|column| format!("{alias}.{column}"))
        .collect();
    let sql = format!(
        "SELECT {}, {found}.* FROM unnest({}){ordinality} AS {alias} ({}) CROSS JOIN LATERAL ({inner}) AS {found}{sort}",
        outputs.join(", "),
        values.join(", "),
        listed.join(", "),
    );
    finish(&sql, &arrays, keys.len(), &order)
}

/// Keys from the table itself, when no type is known: those of its rows that were asked for.
fn by_table(query: &Query, places: &Places, task: &Task<'_>) -> Result<Batch, Refusal> {
    let [n] = task.keys.as_slice() else {
        return Err(Refusal::Types);
    };
    let (Some(place), Some(&1)) = (places.0.get(n), task.used.get(n)) else {
        return Err(Refusal::Types);
    };
    let Some((relation, column)) = place.table.as_ref().filter(|_| place.is_outermost) else {
        return Err(Refusal::Types);
    };
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(Refusal::Types);
    };
    // a key without rows of its own would get no answer: right only where every row must have the key
    if aggregate::calls(&select.projection).aggregates
        || super::open(&mut select.as_ref().clone(), task).is_none()
    {
        return Err(Refusal::Types);
    }
    let words = words(query);
    let alias = names::free("keys", &words);
    let found = names::free("found", &words);
    let mut arrays = Arrays::of(task.looped);
    let array = arrays.add(*n, column, None);
    let quoted = quote_identifier(column);
    let inner = put(&query.to_string(), *n, &format!("{alias}.{quoted}"));
    let order = order(query, &found, task);
    let sort = match &order {
        Order::None => String::new(),
        Order::Unknown => format!(" ORDER BY {alias}.{quoted}"),
        Order::By(keys) => format!(" ORDER BY {alias}.{quoted}, {keys}"),
    };
    let sql = format!(
        "SELECT {alias}.{quoted}, {found}.* FROM (SELECT DISTINCT {quoted} FROM {relation} WHERE {quoted} = ANY({array})) AS {alias} CROSS JOIN LATERAL ({inner}) AS {found}{sort}"
    );
    finish(&sql, &arrays, 1, &order)
}

fn finish(sql: &str, arrays: &Arrays, n_keys: usize, order: &Order) -> Result<Batch, Refusal> {
    let keys = (0..n_keys).map(KeyAt::Front).collect();
    let mut notes = vec![DISTINCT_KEYS];
    if matches!(order, Order::Unknown) {
        notes.push(UNORDERED);
    }
    super::done(sql, arrays, Form::Lateral, Answer::Rows { keys }, notes).ok_or(Refusal::OutOfReach)
}

/// Puts a column in place of a key's placeholder.
fn put(sql: &str, n: u16, column: &str) -> String {
    let marked = format!("@{n}");
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(&marked) {
        let behind = &rest[at + marked.len()..];
        out.push_str(&rest[..at]);
        if behind.starts_with(|c: char| c.is_ascii_digit()) {
            out.push_str(&marked);
        } else if out.ends_with("ANY(") {
            out.push_str(&format!("ARRAY[{column}]"));
        } else {
            out.push_str(column);
        }
        rest = behind;
    }
    out + rest
}

/// Every name in a statement.
fn words(query: &Query) -> Vec<String> {
    let text = query.to_string();
    Lexer::new(text.as_bytes())
        .filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdentifier))
        .map(|token| {
            text[token.start..token.end]
                .trim_matches('"')
                .to_lowercase()
        })
        .collect()
}

/// The order of the single query, asked of the batch.
enum Order {
    None,
    /// There is one, and it is by something that is not in the output.
    Unknown,
    /// As sort keys.
    By(String),
}

fn order(query: &Query, found: &str, task: &Task<'_>) -> Order {
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|order| &order.kind)
    else {
        return Order::None;
    };
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Order::Unknown;
    };
    let items = names::items(&select.from);
    let sorted: Option<Vec<String>> = keys
        .iter()
        .map(|key| {
            let name = sort_name(&key.expr, select, &items, task)?;
            Some(format!(
                "{found}.{}{}",
                quote_identifier(&name),
                key.options
            ))
        })
        .collect();
    sorted.map_or(Order::Unknown, |sorted| Order::By(sorted.join(", ")))
}

/// The output that a sort key is.
fn sort_name(expr: &Expr, select: &Select, items: &[Item], task: &Task<'_>) -> Option<String> {
    let outputs = &select.projection;
    let names: Vec<Option<String>> = outputs.iter().map(projection::output_name).collect();
    let has_star = outputs.iter().any(projection::is_star);
    let alone = |name: &String| {
        names
            .iter()
            .filter(|known| known.as_ref() == Some(name))
            .count()
            == 1
    };
    if let Ok(position) = expr.to_string().parse::<usize>() {
        let name = names.get(position.checked_sub(1)?)?.clone();
        return name.filter(|name| !has_star && alone(name));
    }
    let by_alias = match strip(expr) {
        Expr::Identifier(name) => names
            .iter()
            .position(|known| known.as_ref() == Some(&fold(name))),
        _ => None,
    };
    let column = names::column(expr, items, task.schema);
    let same = |item: &sqlparser::ast::SelectItem| {
        let Some(output) = projection::output_expr(item) else {
            return false;
        };
        let both = column
            .as_ref()
            .zip(names::column(output, items, task.schema));
        both.map_or_else(|| output.to_string() == expr.to_string(), |(a, b)| a.is(&b))
    };
    if let Some(at) = by_alias.or_else(|| outputs.iter().position(same)) {
        return names[at].clone().filter(|name| !has_star && alone(name));
    }
    let only_star = outputs.len() == 1 && has_star && items.len() == 1;
    column.filter(|_| only_star).map(|column| column.name)
}

/// Where the keys stand, for their types and names.
#[derive(Default)]
struct Places(BTreeMap<u16, Place>);

#[derive(Default)]
struct Place {
    name: Option<String>,
    type_name: Option<String>,
    /// Table as written, and column.
    table: Option<(String, String)>,
    is_outermost: bool,
}

impl Places {
    fn of(query: &Query, task: &Task<'_>) -> Self {
        let mut search = Search {
            task,
            places: Self::default(),
            n_queries: 0,
        };
        let _ = query.visit(&mut search);
        search.places
    }

    fn name(&self, n: u16) -> String {
        let known = self.0.get(&n).and_then(|place| place.name.clone());
        known.unwrap_or_else(|| format!("key_{n}"))
    }

    fn type_name(&self, n: u16, task: &Task<'_>) -> Option<String> {
        let known = self.0.get(&n).and_then(|place| place.type_name.clone());
        let literal = task.looped.operand(n).map(|operand| operand.literal);
        known.or_else(|| {
            task.guess(n)
                .filter(|_| literal != Some(LiteralKind::Unknown))
        })
    }
}

struct Search<'a> {
    task: &'a Task<'a>,
    places: Places,
    n_queries: usize,
}

impl Search<'_> {
    fn comparison(&mut self, left: &Expr, right: &Expr, items: &[Item]) {
        let Some(found) = mark::placeholder(right).filter(|found| found.varies) else {
            return;
        };
        let place = self.places.0.entry(found.n).or_default();
        let column = names::column(left, items, self.task.schema);
        if let Some(column) = column.filter(|_| place.name.is_none()) {
            place.type_name = column
                .type_name(self.task.schema)
                .map(|name| element(&name));
            place.table = column.item.relation.as_ref().map(|relation| {
                let schema = relation
                    .schema
                    .as_ref()
                    .map(|schema| format!("{}.", quote_identifier(schema)));
                (
                    schema.unwrap_or_default() + &quote_identifier(&relation.name),
                    column.name.clone(),
                )
            });
            place.name = Some(column.name);
            place.is_outermost = self.n_queries == 1;
        }
        if place.type_name.is_none() {
            place.type_name = found.cast.map(|cast| element(&cast.to_lowercase()));
        }
    }

    fn conditions(&mut self, select: &Select) {
        let items = names::items(&select.from);
        let ons = select
            .from
            .iter()
            .flat_map(|table| &table.joins)
            .filter_map(|join| {
                use sqlparser::ast::{JoinConstraint::On, JoinOperator};
                match &join.join_operator {
                    JoinOperator::Join(On(on))
                    | JoinOperator::Inner(On(on))
                    | JoinOperator::Left(On(on))
                    | JoinOperator::LeftOuter(On(on)) => Some(on),
                    _ => None,
                }
            });
        let mut parts: Vec<&Expr> = select.selection.iter().chain(ons).collect();
        while let Some(part) = parts.pop() {
            match strip(part) {
                Expr::BinaryOp {
                    left,
                    op: BinaryOperator::And | BinaryOperator::Or,
                    right,
                } => parts.extend([left.as_ref(), right.as_ref()]),
                Expr::BinaryOp { left, right, .. } => {
                    self.comparison(left, right, &items);
                    self.comparison(right, left, &items);
                }
                Expr::AnyOp { left, right, .. } => self.comparison(left, right, &items),
                _ => {}
            }
        }
    }
}

impl Visitor for Search<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.n_queries += 1;
        let mut bodies = vec![query.body.as_ref()];
        while let Some(body) = bodies.pop() {
            match body {
                SetExpr::Select(select) => self.conditions(select),
                SetExpr::SetOperation { left, right, .. } => {
                    bodies.extend([left.as_ref(), right.as_ref()]);
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

fn element(type_name: &str) -> String {
    if types::is_array(type_name) {
        type_name.to_owned()
    } else {
        types::element(type_name)
    }
}
