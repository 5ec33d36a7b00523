//! One condition → the same on the plain column.

use sqlparser::ast::{BinaryOperator, DataType, DateTimeField, Expr};

use super::{
    Change, TypeOf,
    value::{
        call, date, fixed_interval, integer, is_constant, is_day, is_placeholder, literal, number,
        starts_unit, string,
    },
};
use crate::sql::{
    quote_literal,
    shape::{fold, strip},
};

/// What stands for a value in words.
const VALUE: &str = "…";

const SUMMER_TIME: &str =
    "where clocks change, a day is 23 or 25 hours long: results may differ by that hour";
const STARTS_UNIT: &str =
    "the value must be the start of the unit, as it must be for the condition to hold at all";
const CASTS: &str = "a value that is no such number is an error where it found nothing before";

/// A condition found, and its new text.
pub(super) struct Converted {
    pub(super) after: String,
    pub(super) change: Change,
}

/// A column with its type.
struct Column {
    /// As written.
    sql: String,
    qualifier: Option<String>,
    name: String,
    type_name: String,
}

impl Column {
    fn of(expr: &Expr, type_of: &TypeOf<'_>) -> Option<Self> {
        let expr = strip(expr);
        let (qualifier, name) = match expr {
            Expr::Identifier(name) => (None, fold(name)),
            Expr::CompoundIdentifier(parts) => {
                let [.., qualifier, name] = parts.as_slice() else {
                    return None;
                };
                (Some(fold(qualifier)), fold(name))
            }
            _ => return None,
        };
        Some(Self {
            sql: expr.to_string(),
            type_name: type_of(qualifier.as_deref(), &name)?,
            qualifier,
            name,
        })
    }

    fn is_timestamp(&self) -> bool {
        self.type_name.starts_with("timestamp")
    }

    /// The type to cast a value of unknown type to.
    fn cast(&self) -> &'static str {
        match self.type_name.as_str() {
            "date" => "date",
            name if name.ends_with("with time zone") => "timestamptz",
            _ => "timestamp",
        }
    }

    fn is_integer(&self) -> bool {
        matches!(self.type_name.as_str(), "smallint" | "integer" | "bigint")
    }

    fn is_text(&self) -> bool {
        self.type_name == "text" || self.type_name.starts_with("character varying")
    }
}

/// `=`, `<`, `<=`, `>`, `>=`
#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Operator {
    fn of(op: &BinaryOperator) -> Option<Self> {
        Some(match op {
            BinaryOperator::Eq => Self::Equal,
            BinaryOperator::Lt => Self::Less,
            BinaryOperator::LtEq => Self::LessEqual,
            BinaryOperator::Gt => Self::Greater,
            BinaryOperator::GtEq => Self::GreaterEqual,
            _ => return None,
        })
    }

    fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }

    /// The range of plain values whose unit compares so with the one that starts at `start` and ends before `end`.
    fn range(self, column: &str, start: &str, end: &str) -> String {
        match self {
            Self::Equal => format!("{column} >= {start} AND {column} < {end}"),
            Self::GreaterEqual => format!("{column} >= {start}"),
            Self::Greater => format!("{column} >= {end}"),
            Self::Less => format!("{column} < {start}"),
            Self::LessEqual => format!("{column} < {end}"),
        }
    }
}

/// A comparison with the computing side first.
struct Comparison<'e> {
    computed: &'e Expr,
    operator: Operator,
    value: &'e Expr,
}

/// What the plain column is compared with: a text with the values in it, and one without.
struct Plain {
    column: Column,
    after: String,
    words: String,
    proviso: Option<&'static str>,
}

impl Plain {
    /// `write` makes the condition of whatever stands for the value.
    fn of(column: Column, value: &str, write: impl Fn(&str, &str) -> String) -> Self {
        Self {
            after: write(&column.sql, value),
            words: write(&column.sql, VALUE),
            column,
            proviso: None,
        }
    }

    fn but(self, proviso: Option<&'static str>) -> Self {
        Self { proviso, ..self }
    }
}

/// The condition on the plain column; `None` where it is that already, or where none is sure to mean the same.
pub(super) fn condition(expr: &Expr, type_of: &TypeOf<'_>) -> Option<Converted> {
    let (before, plain) = match expr {
        Expr::BinaryOp { left, op, right } => {
            let operator = Operator::of(op)?;
            let (computed, operator, value) = match (is_constant(left), is_constant(right)) {
                (false, true) => (&**left, operator, &**right),
                (true, false) => (&**right, operator.flipped(), &**left),
                _ => return None,
            };
            let comparison = Comparison {
                computed: strip(computed),
                operator,
                value,
            };
            let before = format!("{} {} {VALUE}", comparison.computed, operator.sql());
            (before, comparison.plain(type_of)?)
        }
        Expr::Between {
            expr: computed,
            negated: false,
            low,
            high,
        } => {
            let column = day_of(strip(computed), type_of)?;
            let (low, high) = (date(low)?, date(high)?);
            let write =
                |c: &str, low: &str, high: &str| format!("{c} >= {low} AND {c} < {high} + 1");
            let plain = Plain {
                after: write(&column.sql, &low, &high),
                words: write(&column.sql, VALUE, VALUE),
                column,
                proviso: None,
            };
            (format!("{computed} BETWEEN {VALUE} AND {VALUE}"), plain)
        }
        Expr::AnyOp {
            left,
            compare_op: BinaryOperator::Eq,
            right,
            ..
        } if is_placeholder(right) => {
            let column = text_of(strip(left), type_of)?;
            let array = format!("{}::{}[]", strip(right), column.type_name);
            let plain =
                Plain::of(column, &array, |c, v| format!("{c} = ANY({v})")).but(Some(CASTS));
            (format!("{left} = ANY({VALUE})"), plain)
        }
        other => {
            // coalesce(flag, false) by itself
            let (column, default) = defaulted(strip(other), type_of)?;
            if column.type_name != "boolean" || literal(default)?.eq_ignore_ascii_case("true") {
                return None;
            }
            let plain = Plain::of(column, "", |c, _| c.to_owned());
            (other.to_string(), plain)
        }
    };
    Some(Converted {
        after: plain.after,
        change: Change {
            qualifier: plain.column.qualifier,
            column: plain.column.name,
            before: if matches!(expr, Expr::Function(_)) {
                before.split('(').next().map_or_else(String::new, |name| {
                    format!("{name}({}, {VALUE})", plain.column.sql)
                })
            } else {
                withheld(&before)
            },
            after: plain.words,
            proviso: plain.proviso,
        },
    })
}

/// String constants that are no unit or format are values: they are not shown.
fn withheld(text: &str) -> String {
    const KNOWN: &[&str] = &[
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
        "yyyy",
        "yyyy-mm",
        "yyyy-mm-dd",
    ];
    let mut shown = String::new();
    for (at, part) in text.split('\'').enumerate() {
        match at % 2 {
            0 => shown.push_str(part),
            _ if KNOWN.contains(&part.to_ascii_lowercase().as_str()) => {
                shown.push_str(&format!("'{part}'"));
            }
            _ => shown.push_str(VALUE),
        }
    }
    shown
}

impl Comparison<'_> {
    fn plain(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        self.of_day(type_of)
            .or_else(|| self.of_unit(type_of))
            .or_else(|| self.of_year(type_of))
            .or_else(|| self.of_format(type_of))
            .or_else(|| self.of_sum(type_of))
            .or_else(|| self.of_age(type_of))
            .or_else(|| self.of_text(type_of))
            .or_else(|| self.of_prefix(type_of))
            .or_else(|| self.of_default(type_of))
            .or_else(|| self.of_fraction(type_of))
    }

    /// `at::date = X`
    fn of_day(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let column = day_of(self.computed, type_of)?;
        let value = date(self.value)?;
        Some(Plain::of(column, &value, |c, v| {
            self.operator.range(c, v, &format!("{v} + 1"))
        }))
    }

    /// `date_trunc('month', at) = X`
    fn of_unit(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let (name, arguments) = call(self.computed)?;
        let [unit, column] = arguments.as_slice() else {
            return None;
        };
        let unit = string(unit)?.to_ascii_lowercase();
        let column = Column::of(column, type_of).filter(Column::is_timestamp)?;
        let length = match unit.as_str() {
            "minute" | "hour" | "day" | "week" | "month" | "year" => format!("interval '1 {unit}'"),
            "quarter" => "interval '3 months'".to_owned(),
            _ => return None,
        };
        if name != "date_trunc" {
            return None;
        }
        let value = strip(self.value);
        let is_same_unit = call(value).is_some_and(|(name, arguments)| {
            name == "date_trunc"
                && arguments
                    .first()
                    .and_then(|unit| string(unit))
                    .is_some_and(|u| u.eq_ignore_ascii_case(&unit))
        });
        let (text, proviso) = if is_placeholder(value) {
            (format!("{value}::{}", column.cast()), Some(STARTS_UNIT))
        } else if string(value).is_some_and(|text| starts_unit(text, &unit)) {
            (format!("{value}::{}", column.cast()), None)
        } else if is_same_unit || (unit == "day" && date(value).is_some()) {
            (value.to_string(), None)
        } else {
            return None;
        };
        let write = |c: &str, v: &str| self.operator.range(c, v, &format!("{v} + {length}"));
        Some(Plain::of(column, &text, write).but(proviso))
    }

    /// `extract(year from at) = 2025`, `extract(epoch from at) > 1700000000`
    fn of_year(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let (field, column) = match self.computed {
            Expr::Extract { field, expr, .. } => (
                match field {
                    DateTimeField::Year => "year",
                    DateTimeField::Epoch => "epoch",
                    _ => return None,
                },
                Column::of(expr, type_of)?,
            ),
            computed => {
                let (name, arguments) = call(computed)?;
                let [field, column] = arguments.as_slice() else {
                    return None;
                };
                let field = match string(field)?.to_ascii_lowercase().as_str() {
                    "year" => "year",
                    "epoch" => "epoch",
                    _ => return None,
                };
                if name != "date_part" {
                    return None;
                }
                (field, Column::of(column, type_of)?)
            }
        };
        let is_known = is_placeholder(self.value) || integer(self.value).is_some();
        if !is_known || !(column.is_timestamp() || column.type_name == "date") {
            return None;
        }
        let value = match is_placeholder(self.value) {
            true if field == "year" => format!("{}::int", strip(self.value)),
            true => format!("{}::double precision", strip(self.value)),
            false => strip(self.value).to_string(),
        };
        if field == "year" {
            return Some(Plain::of(column, &value, |c, v| {
                self.operator.range(
                    c,
                    &format!("make_date({v}, 1, 1)"),
                    &format!("make_date({v} + 1, 1, 1)"),
                )
            }));
        }
        (column.cast() == "timestamptz").then(|| {
            Plain::of(column, &value, |c, v| {
                format!("{c} {} to_timestamp({v})", self.operator.sql())
            })
        })
    }

    /// `to_char(at, 'YYYY-MM-DD') = '2026-01-05'`
    fn of_format(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let (name, arguments) = call(self.computed)?;
        let [column, format] = arguments.as_slice() else {
            return None;
        };
        let column =
            Column::of(column, type_of).filter(|c| c.is_timestamp() || c.type_name == "date")?;
        if name != "to_char" {
            return None;
        }
        let value = string(self.value)?;
        let (start, length) = match string(format)?.to_ascii_lowercase().as_str() {
            "yyyy-mm-dd" => (value.to_owned(), "1"),
            "yyyy-mm" => (format!("{value}-01"), "interval '1 month'"),
            "yyyy" => (format!("{value}-01-01"), "interval '1 year'"),
            _ => return None,
        };
        if !is_day(&start) {
            return None;
        }
        let start = format!("{}::date", quote_literal(&start));
        let write = |c: &str, v: &str| self.operator.range(c, v, &format!("{v} + {length}"));
        Some(Plain::of(column, &start, write))
    }

    /// `n + 10 > 100`, `at + interval '7 days' < now()`
    fn of_sum(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let Expr::BinaryOp { left, op, right } = self.computed else {
            return None;
        };
        let inverse = match op {
            BinaryOperator::Plus => "-",
            BinaryOperator::Minus => "+",
            _ => return None,
        };
        let column = Column::of(left, type_of)?;
        let operator = self.operator.sql();
        if column.is_integer() {
            integer(right)?;
            let value = match integer(self.value) {
                Some(_) => strip(self.value).to_string(),
                None if is_placeholder(self.value) => {
                    format!("{}::{}", strip(self.value), column.type_name)
                }
                None => return None,
            };
            let value = format!("{value} {inverse} {right}");
            return Some(Plain::of(column, &value, |c, v| {
                format!("{c} {operator} {v}")
            }));
        }
        let interval = fixed_interval(right).filter(|_| column.is_timestamp())?;
        let value = moment(self.value, &column)?;
        let write = |c: &str, v: &str| format!("{c} {operator} {v} {inverse} {interval}");
        Some(Plain::of(column, &value, write).but(Some(SUMMER_TIME)))
    }

    /// `now() - at > interval '7 days'`
    fn of_age(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Minus,
            right,
        } = self.computed
        else {
            return None;
        };
        let column = Column::of(right, type_of).filter(Column::is_timestamp)?;
        let interval = fixed_interval(self.value)?;
        if call(strip(left)).is_none() || !is_constant(left) {
            return None;
        }
        let operator = self.operator.flipped().sql();
        let write = |c: &str, v: &str| format!("{c} {operator} {left} - {v}");
        Some(Plain::of(column, &interval, write).but(Some(SUMMER_TIME)))
    }

    /// `id::text = '4711'`
    fn of_text(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let column =
            text_of(self.computed, type_of).filter(|_| self.operator == Operator::Equal)?;
        if is_placeholder(self.value) {
            let value = format!("{}::{}", strip(self.value), column.type_name);
            return Some(Plain::of(column, &value, |c, v| format!("{c} = {v}")).but(Some(CASTS)));
        }
        let text = string(self.value)?;
        let value = match column.type_name.as_str() {
            "uuid" if is_lower_uuid(text) => quote_literal(text),
            "uuid" => return None,
            _ => text
                .parse::<i64>()
                .ok()
                .filter(|n| n.to_string() == text)?
                .to_string(),
        };
        Some(Plain::of(column, &value, |c, v| format!("{c} = {v}")))
    }

    /// `left(email, 3) = 'abc'`
    fn of_prefix(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let (column, n) = match self.computed {
            Expr::Substring {
                expr,
                substring_from: Some(from),
                substring_for: Some(n),
                ..
            } if integer(from) == Some(1) => (&**expr, integer(n)?),
            computed => {
                let (name, arguments) = call(computed)?;
                match (name.as_str(), arguments.as_slice()) {
                    ("left", [column, n]) => (*column, integer(n)?),
                    ("substr" | "substring", [column, from, n]) if integer(from) == Some(1) => {
                        (*column, integer(n)?)
                    }
                    _ => return None,
                }
            }
        };
        let column = Column::of(column, type_of).filter(Column::is_text)?;
        let text = string(self.value)?;
        let is_whole = i64::try_from(text.chars().count()) == Ok(n) && n > 0;
        if self.operator != Operator::Equal || !is_whole {
            return None;
        }
        let mut pattern = String::new();
        for c in text.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        let pattern = quote_literal(&format!("{pattern}%"));
        Some(Plain::of(column, &pattern, |c, v| format!("{c} LIKE {v}")))
    }

    /// `coalesce(email, '') = 'x'`
    fn of_default(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let (column, default) = defaulted(self.computed, type_of)?;
        let (default, value) = (literal(default)?, literal(self.value)?);
        let is_number = |text: &str| !text.starts_with('\'') && text.parse::<f64>().is_ok();
        let is_comparable = is_number(&default) == is_number(&value);
        // 0 and 0.0 are equal and spelt apart
        let is_plain = !is_number(&default) || (integer_text(&default) && integer_text(&value));
        if self.operator != Operator::Equal || !is_comparable || !is_plain {
            return None;
        }
        let is_default = default.eq_ignore_ascii_case(&value);
        if is_default != (default == value) {
            return None;
        }
        Some(Plain::of(column, &value, |c, v| {
            if is_default {
                format!("{c} = {v} OR {c} IS NULL")
            } else {
                format!("{c} = {v}")
            }
        }))
    }

    /// `id = 12.0`, `id = $1::numeric`: the whole-number column is cast for each row.
    fn of_fraction(&self, type_of: &TypeOf<'_>) -> Option<Plain> {
        let column = Column::of(self.computed, type_of).filter(Column::is_integer)?;
        if self.operator != Operator::Equal {
            return None;
        }
        if let Some(number) = number(self.value) {
            let (whole, fraction) = number.split_once('.')?;
            let is_whole = fraction.bytes().all(|b| b == b'0') && whole.parse::<i64>().is_ok();
            let whole = whole.to_owned();
            return is_whole.then(|| Plain::of(column, &whole, |c, v| format!("{c} = {v}")));
        }
        let Expr::Cast {
            expr, data_type, ..
        } = strip(self.value)
        else {
            return None;
        };
        let is_wide = matches!(
            data_type,
            DataType::Numeric(_)
                | DataType::Decimal(_)
                | DataType::Real
                | DataType::Float(_)
                | DataType::DoublePrecision
                | DataType::Float8
                | DataType::Float4
        );
        if !is_wide || !is_placeholder(expr) {
            return None;
        }
        let value = format!("{}::{}", strip(expr), column.type_name);
        Some(Plain::of(column, &value, |c, v| format!("{c} = {v}")).but(Some(CASTS)))
    }
}

/// The column of `at::date` or `date(at)`.
fn day_of(expr: &Expr, type_of: &TypeOf<'_>) -> Option<Column> {
    let inner = match expr {
        Expr::Cast {
            data_type: DataType::Date,
            expr,
            ..
        } => &**expr,
        other => match call(other)? {
            (name, arguments) if name == "date" && arguments.len() == 1 => arguments[0],
            _ => return None,
        },
    };
    Column::of(inner, type_of).filter(Column::is_timestamp)
}

/// The column of `id::text`: a whole number or a uuid.
fn text_of(expr: &Expr, type_of: &TypeOf<'_>) -> Option<Column> {
    let Expr::Cast {
        data_type: DataType::Text | DataType::Varchar(None),
        expr,
        ..
    } = expr
    else {
        return None;
    };
    Column::of(expr, type_of).filter(|column| column.is_integer() || column.type_name == "uuid")
}

/// Column and default of `coalesce(column, default)`.
fn defaulted<'e>(expr: &'e Expr, type_of: &TypeOf<'_>) -> Option<(Column, &'e Expr)> {
    let (name, arguments) = call(expr)?;
    let [column, default] = arguments.as_slice() else {
        return None;
    };
    let column = Column::of(column, type_of).filter(|_| name == "coalesce")?;
    literal(default).map(|_| (column, *default))
}

/// A value of a timestamp's type: `$n`, a string, `now()`.
fn moment(expr: &Expr, column: &Column) -> Option<String> {
    let expr = strip(expr);
    let is_text = string(expr).is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    if is_placeholder(expr) || is_text {
        return Some(format!("{expr}::{}", column.cast()));
    }
    let (name, _) = call(expr)?;
    matches!(
        name.as_str(),
        "now"
            | "current_timestamp"
            | "localtimestamp"
            | "statement_timestamp"
            | "transaction_timestamp"
    )
    .then(|| expr.to_string())
}

fn integer_text(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

fn is_lower_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}
