//! What a condition of EXPLAIN is about: its parts, and of each the column, plain or wrapped.

use crate::plan::unquoted;

/// One part of a condition, as AND joins them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The column, where the part compares one with something else.
    pub column: Option<String>,
    /// `=` or what else compares; empty where the part is no comparison that we know.
    pub operator: String,
    /// What it is compared with, where that is a value: as it is written, a cast behind it.
    pub value: Option<String>,
    /// The column stands alone, not inside of a function, cast to another kind of value, or arithmetic.
    pub is_plain: bool,
}

/// Casts of a column that EXPLAIN writes though nobody asked for them: text operators work on varchar columns through them.
const SILENT_CASTS: [&str; 2] = ["text", "bpchar"];

/// Operators of comparisons, longer ones first.
const OPERATORS: [&str; 20] = [
    "!~~*", "!~~", "~~*", "!~*", "~~", "!~", "~*", "<=", ">=", "<>", "@>", "<@", "&&", "@@", "->>",
    "=", "<", ">", "~", "?",
];

impl Condition {
    /// Takes a condition apart as EXPLAIN writes it: `((country = 'de'::text) AND (n > 5))`.
    #[must_use]
    pub fn parts(text: &str) -> Vec<Self> {
        let mut parts = Vec::new();
        collect(text.trim(), &mut parts, 0);
        parts
    }

    /// Is this an equality?
    #[must_use]
    pub fn is_equality(&self) -> bool {
        self.operator == "="
    }
}

/// Columns of plain comparisons, equalities first, each once: the order in which an index serves them.
pub(super) fn index_order(parts: &[Condition]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    let plain = || parts.iter().filter(|part| part.is_plain);
    let equal = plain().filter(|part| part.is_equality());
    let ranges = plain().filter(|part| matches!(part.operator.as_str(), "<" | ">" | "<=" | ">="));
    for part in equal.chain(ranges.take(1)) {
        let column = part.column.clone().unwrap_or_default();
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

/// Conditions nest as deep as people write them; deeper ones are one part.
const MAX_DEPTH: usize = 64;

fn collect(text: &str, parts: &mut Vec<Condition>, depth: usize) {
    let inner = unwrapped(text);
    let pieces = split_and(inner);
    if pieces.len() > 1 && depth < MAX_DEPTH {
        for piece in pieces {
            collect(piece.trim(), parts, depth + 1);
        }
        return;
    }
    parts.push(comparison(inner));
}

/// Without the parentheses around the whole.
fn unwrapped(text: &str) -> &str {
    let mut text = text.trim();
    while text.starts_with('(') && closing(text) == Some(text.len() - 1) {
        text = text[1..text.len() - 1].trim();
    }
    text
}

/// Where the parenthesis that `text` begins with is closed.
fn closing(text: &str) -> Option<usize> {
    outside_quotes(text)
        .scan(0_i32, |depth, (at, c)| {
            *depth += i32::from(c == '(') - i32::from(c == ')');
            Some((at, *depth))
        })
        .find_map(|(at, depth)| (depth == 0).then_some(at))
}

/// Characters that stand in no string and in no quoted name.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    text.char_indices().filter(move |(_, c)| {
        if let Some(open) = quote {
            if *c == open {
                quote = None;
            }
            return false;
        }
        if matches!(c, '\'' | '"') {
            quote = Some(*c);
        }
        quote.is_none()
    })
}

fn split_and(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in outside_quotes(text) {
        depth += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
        if depth == 0 && c == ' ' && text[at..].starts_with(" AND ") {
            pieces.push(&text[start..at]);
            start = at + " AND ".len();
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// A comparison whose left side is, or holds, one column.
fn comparison(text: &str) -> Condition {
    let unknown = Condition {
        column: None,
        operator: String::new(),
        value: None,
        is_plain: false,
    };
    for is_test in [" IS NULL", " IS NOT NULL"] {
        if let Some(left) = text.strip_suffix(is_test) {
            return Condition {
                operator: is_test.trim().to_owned(),
                ..side(left, unknown)
            };
        }
    }
    if is_name(text) {
        // a boolean column by itself
        return Condition {
            operator: "=".to_owned(),
            ..side(text, unknown)
        };
    }
    if let Some(negated) = text.strip_prefix("NOT ").filter(|rest| is_name(rest)) {
        return Condition {
            operator: "=".to_owned(),
            ..side(negated, unknown)
        };
    }
    let mut depth = 0_i32;
    for (at, c) in outside_quotes(text) {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth != 0 || c != ' ' {
            continue;
        }
        let rest = &text[at + 1..];
        let operator = OPERATORS
            .iter()
            .find(|operator| rest.starts_with(&format!("{operator} ")));
        if let Some(operator) = operator {
            return Condition {
                operator: (*operator).to_owned(),
                value: value(&rest[operator.len() + 1..]),
                ..side(&text[..at], unknown)
            };
        }
    }
    unknown
}

/// A string or a number.
fn value(text: &str) -> Option<String> {
    let text = unwrapped(text);
    let is_value = text.starts_with(|c: char| c == '\'' || c == '-' || c.is_ascii_digit());
    is_value.then(|| text.to_owned())
}

fn side(text: &str, unknown: Condition) -> Condition {
    let mut text = unwrapped(text);
    for cast in SILENT_CASTS {
        let stripped = text.strip_suffix(cast).and_then(|t| t.strip_suffix("::"));
        if let Some(inner) = stripped {
            text = unwrapped(inner);
        }
    }
    let name = text.rsplit_once('.').map_or(text, |(_, name)| name);
    if is_name(text) {
        return Condition {
            column: Some(unquoted(name)),
            is_plain: true,
            ..unknown
        };
    }
    Condition {
        column: first_name(text),
        ..unknown
    }
}

/// The first name inside of an expression that is no function's.
fn first_name(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_alphabetic() || c == '_' || c == '"') {
        let before = rest[..start].chars().last();
        let tail = &rest[start..];
        let end = tail
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '"')))
            .unwrap_or(tail.len());
        let after = tail[end..].chars().next();
        let is_value = matches!(before, Some('\'' | ':'));
        if after != Some('(') && !is_value {
            let name = &tail[..end];
            return Some(unquoted(name.rsplit_once('.').map_or(name, |(_, n)| n)));
        }
        rest = &tail[end..];
    }
    None
}

/// A column's name, maybe behind its table's.
fn is_name(text: &str) -> bool {
    let is_bare = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
    };
    let is_quoted = |part: &str| part.len() > 2 && part.starts_with('"') && part.ends_with('"');
    !text.is_empty() && text.split('.').all(|part| is_bare(part) || is_quoted(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let word = |part: &Condition| {
            let column = part.column.as_deref().unwrap_or("?");
            let is_wrapped = part.column.is_some() && !part.is_plain;
            let plain = if is_wrapped { " wrapped" } else { "" };
            format!("{column} {}{plain}", part.operator)
        };
        Condition::parts(text).iter().map(word).collect()
    }

    #[test]
    fn conditions_as_explain_writes_them() {
        assert_eq!(told("(country = 'de AND (x'::text)"), ["country ="]);
        assert_eq!(
            told("((deleted_at IS NULL) AND (n > 5) AND ((kind)::text = 'a'::text))"),
            ["deleted_at IS NULL", "n >", "kind ="]
        );
        assert_eq!(told("is_active"), ["is_active ="]);
        assert_eq!(told("(NOT is_active)"), ["is_active ="]);
        assert_eq!(told("(lower(u.email) = 'x'::text)"), ["email = wrapped"]);
        assert_eq!(told("((at)::date = '2026-01-01'::date)"), ["at = wrapped"]);
        assert_eq!(
            told("((a = 1) OR (b = 2))"),
            ["? "],
            "an alternative is no comparison of one column"
        );
        assert_eq!(told("(title ~~* '%x%'::text)"), ["title ~~*"]);
        assert_eq!(told("(\"Order\".\"userId\" = $1)"), ["userId ="]);
        assert_eq!(told(""), ["? "]);
        assert_eq!(told("((("), ["? "]);
    }

    #[test]
    fn an_index_has_equalities_first() {
        let parts = Condition::parts("((n > 5) AND (at < now()) AND (country = 'de'::text))");
        assert_eq!(index_order(&parts), ["country", "n"]);
    }
}
