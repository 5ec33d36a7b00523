//! The other side of a condition: what is known of its value without running it.

use std::ops::ControlFlow;

use sqlparser::ast::{DataType, Expr, Query, UnaryOperator, Value, Visit, Visitor};

use crate::sql::shape::strip;

/// Names no column and reads no table: the same for all rows of a statement.
pub(super) fn is_constant(expr: &Expr) -> bool {
    struct Columns;
    impl Visitor for Columns {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                Expr::Function(function) => {
                    let name = function.name.to_string().to_ascii_lowercase();
                    if STABLE.contains(&name.as_str()) {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                }
                _ => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Columns).is_continue()
}

/// Functions with one value for all of a statement.
const STABLE: &[&str] = &[
    "current_date",
    "current_timestamp",
    "date_trunc",
    "localtimestamp",
    "make_date",
    "now",
    "statement_timestamp",
    "to_timestamp",
    "transaction_timestamp",
];

/// A function's name in lower case and its plain arguments.
pub(super) fn call(expr: &Expr) -> Option<(String, Vec<&Expr>)> {
    use sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
    let Expr::Function(function) = expr else {
        return None;
    };
    if function.over.is_some() || function.filter.is_some() {
        return None;
    }
    let arguments = match &function.args {
        FunctionArguments::None => Vec::new(),
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect::<Option<_>>()?,
        FunctionArguments::Subquery(_) => return None,
    };
    Some((function.name.to_string().to_ascii_lowercase(), arguments))
}

/// The text of a string constant.
pub(super) fn string(expr: &Expr) -> Option<&str> {
    match strip(expr) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a number constant.
pub(super) fn number(expr: &Expr) -> Option<String> {
    match strip(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => number(expr).map(|text| format!("-{text}")),
        _ => None,
    }
}

/// A whole number.
pub(super) fn integer(expr: &Expr) -> Option<i64> {
    number(expr)?.parse().ok()
}

pub(super) fn is_placeholder(expr: &Expr) -> bool {
    matches!(strip(expr), Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
}

/// A plain constant: a string, a number, true or false.
pub(super) fn literal(expr: &Expr) -> Option<String> {
    match strip(expr) {
        Expr::Value(value)
            if matches!(
                value.value,
                Value::SingleQuotedString(_) | Value::Number(..) | Value::Boolean(_)
            ) =>
        {
            Some(value.to_string())
        }
        _ => None,
    }
}

/// `2026-01-05`, a day that exists.
pub(super) fn is_day(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next = |digits: usize| {
        let part = parts.next()?;
        let is_plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        is_plain.then(|| part.parse::<u32>().ok()).flatten()
    };
    let (Some(year), Some(month), Some(day)) = (next(4), next(2), next(2)) else {
        return false;
    };
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    };
    parts.next().is_none() && year > 0 && (1..=last).contains(&day)
}

/// Is this text of a date and time the start of such a unit? Times with a zone are not judged.
pub(super) fn starts_unit(text: &str, unit: &str) -> bool {
    let (day, time) = match text.split_once([' ', 'T']) {
        Some((day, time)) => (day, time),
        None => (text, ""),
    };
    let time = time.trim_end_matches('0').trim_end_matches('.');
    let digits: Vec<&str> = time.split(':').collect();
    let is_time = time
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b':' || b == b'.');
    let zero = |at: usize| {
        digits
            .get(at)
            .is_none_or(|part| part.bytes().all(|b| b == b'0' || b == b'.'))
    };
    if !is_day(day) || !is_time {
        return false;
    }
    let is_midnight = zero(0) && zero(1) && zero(2);
    match unit {
        "minute" => zero(2),
        "hour" => zero(1) && zero(2),
        "day" => is_midnight,
        "month" => is_midnight && day.ends_with("-01"),
        "year" => is_midnight && day.ends_with("-01-01"),
        "quarter" => {
            is_midnight
                && ["-01-01", "-04-01", "-07-01", "-10-01"]
                    .iter()
                    .any(|start| day.ends_with(start))
        }
        _ => false,
    }
}

/// A value of type date: `$n`, `'2026-01-05'`, `DATE '…'`, `…::date`, `current_date`, and days more or less.
pub(super) fn date(expr: &Expr) -> Option<String> {
    use sqlparser::ast::BinaryOperator;
    let expr = strip(expr);
    match expr {
        _ if is_placeholder(expr) => Some(format!("{expr}::date")),
        _ if string(expr).is_some_and(is_day) => Some(format!("{expr}::date")),
        Expr::TypedString(typed) if typed.data_type == DataType::Date => Some(expr.to_string()),
        Expr::Cast {
            data_type: DataType::Date,
            expr: inner,
            ..
        } if is_constant(inner) => Some(expr.to_string()),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Plus | BinaryOperator::Minus,
            right,
        } if integer(right).is_some() && !is_placeholder(left) && string(left).is_none() => {
            date(left).map(|_| expr.to_string())
        }
        _ => {
            let (name, arguments) = call(expr)?;
            (name == "current_date" && arguments.is_empty()).then(|| expr.to_string())
        }
    }
}

/// An interval whose length does not depend on the month it is added to.
pub(super) fn fixed_interval(expr: &Expr) -> Option<String> {
    let text = match strip(expr) {
        Expr::Interval(interval) => match &interval.leading_field {
            None => string(&interval.value)?.to_owned(),
            Some(field) => format!("{} {field}", string(&interval.value)?),
        },
        Expr::Cast {
            data_type: DataType::Interval { .. },
            expr: inner,
            ..
        } => string(inner)?.to_owned(),
        _ => return None,
    };
    let lower = text.to_ascii_lowercase();
    let words = lower
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|w| !w.is_empty());
    let mut n_words = 0;
    for word in words {
        n_words += 1;
        let stem = word
            .strip_suffix('s')
            .filter(|stem| stem.len() > 1)
            .unwrap_or(word);
        if ![
            "second", "sec", "minute", "min", "hour", "day", "week", "h", "d", "w",
        ]
        .contains(&stem)
        {
            return None;
        }
    }
    (n_words > 0 && !lower.contains('-')).then(|| strip(expr).to_string())
}
