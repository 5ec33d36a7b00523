//! The batch as text: parameters numbered, a clause a line.

use std::collections::BTreeMap;

use super::{LiteralKind, Looped, Parameter, mark};
use crate::sql::{Lexer, TokenKind};

/// The arrays of a batch, numbered in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Arrays {
    parameters: Vec<Parameter>,
    /// Names of single parameters, where the text before them does not tell.
    names: BTreeMap<u16, String>,
    /// Types of single parameters in whose place a number stood: an output or count(…) tells the server none.
    numbers: BTreeMap<u16, &'static str>,
}

impl Arrays {
    pub(super) fn of(looped: &Looped<'_>) -> Self {
        let numbers = (1_u16..).zip(looped.operands);
        let numbers = numbers.filter_map(|(n, operand)| match operand.literal {
            LiteralKind::Integer => Some((n, "integer")),
            LiteralKind::Decimal => Some((n, "numeric")),
            LiteralKind::Unknown => None,
        });
        Self {
            numbers: numbers.collect(),
            ..Self::default()
        }
    }

    /// `$1::integer[]`
    pub(super) fn add(&mut self, placeholder: u16, name: &str, type_name: Option<&str>) -> String {
        let is_new = |known: &Parameter| known.placeholder != placeholder;
        if self.parameters.iter().all(is_new) {
            self.parameters.push(Parameter {
                placeholder,
                is_array: true,
                name: name.to_owned(),
                type_name: type_name.map(|name| format!("{name}[]")),
            });
        }
        let at = self
            .parameters
            .iter()
            .position(|known| known.placeholder == placeholder);
        let number = at.map_or(0, |at| at + 1);
        match type_name {
            Some(type_name) => format!("${number}::{type_name}[]"),
            None => format!("${number}"),
        }
    }

    /// Names a parameter that stays single.
    pub(super) fn name(&mut self, placeholder: u16, name: &str) {
        self.names.insert(placeholder, name.to_owned());
    }
}

/// Numbers what stays a single parameter behind the arrays. `None` when a key is still in the text.
pub(super) fn finish(sql: &str, arrays: &Arrays) -> Option<(String, Vec<Parameter>)> {
    if mark::holds_key(&sql) {
        return None;
    }
    let mut parameters = arrays.parameters.clone();
    let mut out = String::with_capacity(sql.len());
    let mut chars = sql.char_indices().peekable();
    let mut quoted = false;
    while let Some((at, c)) = chars.next() {
        quoted ^= c == '"';
        let digits: usize = sql[at + c.len_utf8()..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        if c != '#' || quoted || digits == 0 {
            out.push(c);
            continue;
        }
        let placeholder: u16 = sql[at + 1..=at + digits].parse().ok()?;
        let known = parameters
            .iter()
            .position(|known| known.placeholder == placeholder);
        let number = known.unwrap_or_else(|| {
            parameters.push(Parameter {
                placeholder,
                is_array: false,
                name: arrays
                    .names
                    .get(&placeholder)
                    .cloned()
                    .unwrap_or_else(|| name_before(&out)),
                type_name: None,
            });
            parameters.len() - 1
        });
        let is_cast = sql[at + 1 + digits..].starts_with("::");
        let bare = out.ends_with("SELECT ") || out.to_ascii_lowercase().ends_with("count(");
        let tells_no_type = bare && !is_cast;
        out.push_str(&format!("${}", number + 1));
        let number_type = arrays.numbers.get(&placeholder).filter(|_| tells_no_type);
        if let Some(type_name) = number_type {
            out.push_str(&format!("::{type_name}"));
        }
        for _ in 0..digits {
            chars.next();
        }
    }
    Some((lines(&out), parameters))
}

/// What a parameter is called that follows this text: the column before the operator, or LIMIT.
fn name_before(text: &str) -> String {
    let tokens: Vec<_> = Lexer::new(text.as_bytes()).collect();
    let names = tokens.iter().rev().take(4);
    for token in names {
        let word = &text[token.start..token.end];
        match token.kind {
            TokenKind::Word if matches!(word.to_ascii_lowercase().as_str(), "limit" | "offset") => {
                return word.to_ascii_uppercase();
            }
            TokenKind::Word
                if matches!(
                    word.to_ascii_lowercase().as_str(),
                    "any" | "all" | "and" | "like" | "ilike" | "between"
                ) => {}
            TokenKind::Word => return word.to_owned(),
            TokenKind::QuotedIdentifier => return word.trim_matches('"').to_owned(),
            TokenKind::Operator | TokenKind::Open => {}
            _ => break,
        }
    }
    "a constant".to_owned()
}

/// Words that start a line at the outermost level.
const CLAUSES: &[&str] = &[
    "cross",
    "fetch",
    "from",
    "full",
    "group",
    "having",
    "inner",
    "join",
    "left",
    "limit",
    "offset",
    "order",
    "returning",
    "right",
    "select",
    "set",
    "union",
    "values",
    "where",
];

/// Breaks the line before each clause that is not inside brackets.
pub(super) fn lines(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    let (mut depth, mut copied) = (0_i32, 0);
    let mut before = String::new();
    for token in Lexer::new(sql.as_bytes()) {
        let word = sql[token.start..token.end].to_ascii_lowercase();
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth -= 1,
            TokenKind::Word if depth == 0 && token.start > 0 && starts_line(&word, &before) => {
                out.push_str(sql[copied..token.start].trim_end());
                out.push('\n');
                copied = token.start;
            }
            _ => {}
        }
        before = word;
    }
    out.push_str(&sql[copied..]);
    out
}

fn starts_line(word: &str, before: &str) -> bool {
    let continues = match word {
        "join" => matches!(
            before,
            "cross" | "inner" | "left" | "right" | "full" | "outer"
        ),
        "from" => matches!(before, "delete" | "distinct"),
        "set" => before == "update",
        _ => false,
    };
    CLAUSES.binary_search(&word).is_ok() && !continues
}
