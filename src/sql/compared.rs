//! Constants of a statement, each with the column that it is compared with, read off the tokens.
//!
//! What stands in a condition of another form (an expression, a function's argument) has no column: whoever asks takes it for unknown.

use super::lexer::{Lexer, Token, TokenKind};

/// Tokens of a list that are looked through for its head.
const MAX_LIST_TOKENS: usize = 2_000;

/// Types under which a text column may be cast and stays what it is.
const TEXT_CASTS: &[&str] = &["text", "varchar", "bpchar", "citext"];

/// A column as written, folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedColumn {
    /// Table or alias before it.
    pub qualifier: Option<String>,
    /// Its name.
    pub name: String,
}

/// How a constant is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `=`, `<>`, `IN (…)`, `= ANY (ARRAY[…])`
    Equal,
    /// `<`, `<=`: what is below passes. The upper end of BETWEEN.
    Below,
    /// `>`, `>=`: what is above passes. The lower end of BETWEEN.
    Above,
    /// `LIKE`
    Like,
    /// `ILIKE`
    ILike,
}

/// One constant: a string or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// First byte; of a negative number its sign.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// A string in quotes of any kind.
    pub is_string: bool,
    /// What it is compared with, where that is a plain column.
    pub compared: Option<(ComparedColumn, How)>,
}

impl Constant {
    /// The string that it stands for; `None` for numbers, and for strings with escapes of their own (`E'…'`, `$$…$$`).
    #[must_use]
    pub fn plain(&self, sql: &str) -> Option<String> {
        let inner = sql.get(self.start..self.end)?;
        let inner = inner.strip_prefix('\'')?.strip_suffix('\'')?;
        self.is_string.then(|| inner.replace("''", "'"))
    }
}

/// All constants of a text, in order.
#[must_use]
pub fn constants(sql: &str) -> Vec<Constant> {
    let tokens: Vec<Token> = Lexer::new(sql.as_bytes()).collect();
    let text = Text { sql, tokens };
    (0..text.tokens.len())
        .filter_map(|at| text.constant(at))
        .collect()
}

struct Text<'s> {
    sql: &'s str,
    tokens: Vec<Token>,
}

impl Text<'_> {
    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn text(&self, at: usize) -> &str {
        let token = self.tokens.get(at);
        token
            .and_then(|token| self.sql.get(token.start..token.end))
            .unwrap_or_default()
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(TokenKind::Word) && self.text(at).eq_ignore_ascii_case(word)
    }

    fn is_constant(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(TokenKind::String | TokenKind::Number))
    }

    fn constant(&self, at: usize) -> Option<Constant> {
        let token = self.tokens.get(at).filter(|_| self.is_constant(at))?;
        let first = self.first_of_constant(at);
        let is_string = token.kind == TokenKind::String;
        Some(Constant {
            // a type before a string stays where it is
            start: if is_string {
                token.start
            } else {
                self.tokens[first].start
            },
            end: token.end,
            is_string,
            compared: first
                .checked_sub(1)
                .and_then(|before| self.compared(before)),
        })
    }

    /// With the sign of a number and the type before a string.
    fn first_of_constant(&self, at: usize) -> usize {
        let Some(before) = at.checked_sub(1) else {
            return at;
        };
        let opens = before.checked_sub(1).is_none_or(|earlier| {
            matches!(
                self.kind(earlier),
                Some(
                    TokenKind::Operator
                        | TokenKind::Open
                        | TokenKind::OpenBracket
                        | TokenKind::Comma
                )
            ) || ["between", "and", "like", "ilike"]
                .iter()
                .any(|word| self.is_word(earlier, word))
        });
        let is_part = match self.kind(at) {
            Some(TokenKind::Number) => self.text(before) == "-",
            _ => {
                self.kind(before) == Some(TokenKind::Word)
                    && !["between", "and", "or", "like", "ilike", "not", "in"]
                        .iter()
                        .any(|word| self.is_word(before, word))
            }
        };
        if opens && is_part { before } else { at }
    }

    /// The column and the operator that end with token `at`.
    fn compared(&self, at: usize) -> Option<(ComparedColumn, How)> {
        if self.kind(at) == Some(TokenKind::Operator) {
            let how = how(self.text(at))?;
            return Some((self.column(at.checked_sub(1)?)?, how));
        }
        let word = self.text(at).to_ascii_lowercase();
        match (self.kind(at)?, word.as_str()) {
            (TokenKind::Word, "like") => Some((self.column(self.before_not(at)?)?, How::Like)),
            (TokenKind::Word, "ilike") => Some((self.column(self.before_not(at)?)?, How::ILike)),
            (TokenKind::Word, "between") => Some((self.column(self.before_not(at)?)?, How::Above)),
            (TokenKind::Word, "and") => self.of_between(at),
            (TokenKind::Open | TokenKind::OpenBracket | TokenKind::Comma, _) => self.of_list(at),
            _ => None,
        }
    }

    /// The token before an optional NOT before `at`.
    fn before_not(&self, at: usize) -> Option<usize> {
        let before = at.checked_sub(1)?;
        if self.is_word(before, "not") {
            before.checked_sub(1)
        } else {
            Some(before)
        }
    }

    /// `column BETWEEN constant AND`
    fn of_between(&self, and: usize) -> Option<(ComparedColumn, How)> {
        let mut last = and.checked_sub(1)?;
        while !self.is_constant(last) {
            // a cast behind it
            let is_cast = matches!(self.kind(last), Some(TokenKind::Word | TokenKind::Cast));
            last = last
                .checked_sub(1)
                .filter(|last| is_cast && and - last <= 4)?;
        }
        let between = self.first_of_constant(last).checked_sub(1)?;
        self.is_word(between, "between").then_some(())?;
        Some((self.column(self.before_not(between)?)?, How::Below))
    }

    /// `column IN (…`, `column = ANY (ARRAY[…`
    fn of_list(&self, at: usize) -> Option<(ComparedColumn, How)> {
        let mut depth = 0_usize;
        let mut open = at;
        loop {
            match self.kind(open)? {
                TokenKind::Close | TokenKind::CloseBracket => depth += 1,
                TokenKind::Open | TokenKind::OpenBracket if depth == 0 => break,
                TokenKind::Open | TokenKind::OpenBracket => depth -= 1,
                _ => {}
            }
            open = open
                .checked_sub(1)
                .filter(|open| at - open < MAX_LIST_TOKENS)?;
        }
        let head = open.checked_sub(1)?;
        if self.kind(open) == Some(TokenKind::Open) {
            self.is_word(head, "in").then_some(())?;
            return Some((self.column(self.before_not(head)?)?, How::Equal));
        }
        let any = head.checked_sub(2).filter(|any| {
            self.is_word(head, "array") && self.kind(any + 1) == Some(TokenKind::Open)
        })?;
        (self.is_word(any, "any") || self.is_word(any, "all")).then_some(())?;
        let (column, how) = self.compared(any.checked_sub(1)?)?;
        (how == How::Equal).then_some((column, how))
    }

    /// The column that ends with token `at`, unless it is part of a larger expression.
    fn column(&self, at: usize) -> Option<ComparedColumn> {
        let is_cast = at
            .checked_sub(1)
            .is_some_and(|cast| self.kind(cast) == Some(TokenKind::Cast));
        let at = if is_cast {
            let cast = self.text(at).to_ascii_lowercase();
            at.checked_sub(2)
                .filter(|_| TEXT_CASTS.contains(&cast.as_str()))?
        } else {
            at
        };
        let name = self.name(at)?;
        let mut first = at;
        let mut qualifier = None;
        while let Some(dot) = first
            .checked_sub(1)
            .filter(|dot| self.kind(*dot) == Some(TokenKind::Dot))
        {
            first = dot.checked_sub(1)?;
            let name = self.name(first)?;
            qualifier.get_or_insert(name);
        }
        let is_operand = first
            .checked_sub(1)
            .is_some_and(|before| self.kind(before) == Some(TokenKind::Operator));
        (!is_operand).then_some(ComparedColumn { qualifier, name })
    }

    fn name(&self, at: usize) -> Option<String> {
        let text = self.text(at);
        match self.kind(at)? {
            TokenKind::Word => Some(text.to_lowercase()),
            TokenKind::QuotedIdentifier => {
                let inner = text.strip_prefix('"')?.strip_suffix('"')?;
                Some(inner.replace("\"\"", "\""))
            }
            _ => None,
        }
    }
}

fn how(operator: &str) -> Option<How> {
    Some(match operator {
        "=" | "<>" | "!=" => How::Equal,
        "<" | "<=" => How::Below,
        ">" | ">=" => How::Above,
        "~~" | "!~~" => How::Like,
        "~~*" | "!~~*" => How::ILike,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Constants as `text`, or `text=column how`.
    fn seen(sql: &str) -> Vec<String> {
        let constants = constants(sql);
        let words = constants.iter().map(|constant| {
            let text = &sql[constant.start..constant.end];
            match &constant.compared {
                None => text.to_owned(),
                Some((column, how)) => {
                    let qualifier = column.qualifier.iter().map(|q| format!("{q}."));
                    let qualifier: String = qualifier.collect();
                    format!("{text} {qualifier}{} {how:?}", column.name)
                }
            }
        });
        words.collect()
    }

    #[test]
    fn each_constant_finds_its_column() {
        for (sql, expected) in [
            ("SELECT 1 FROM t WHERE a = 'x'", &["1", "'x' a Equal"][..]),
            (
                "WHERE O.Kind <> 'x' AND b >= -5",
                &["'x' o.kind Equal", "-5 b Above"],
            ),
            (
                "WHERE s.t.\"Ä \"\"b\" < date '2020-01-01'",
                &["'2020-01-01' t.Ä \"b Below"],
            ),
            (
                "WHERE a IN ('x', 'y') AND b NOT IN (1,-2)",
                &["'x' a Equal", "'y' a Equal", "1 b Equal", "-2 b Equal"],
            ),
            (
                "WHERE a = ANY (ARRAY['x','y']) LIMIT 10",
                &["'x' a Equal", "'y' a Equal", "10"],
            ),
            (
                "WHERE a BETWEEN 'b'::text AND 'c' AND d = 1",
                &["'b' a Above", "'c' a Below", "1 d Equal"],
            ),
            ("WHERE a NOT BETWEEN 3 AND -4", &["3 a Above", "-4 a Below"]),
            (
                "WHERE a NOT LIKE 'x%' AND b ILIKE '%y' AND c ~~ 'z'",
                &["'x%' a Like", "'%y' b ILike", "'z' c Like"],
            ),
            (
                "WHERE a::text = 'x' AND b::int = '1'",
                &["'x' a Equal", "'1'"],
            ),
            (
                "WHERE lower(a) = 'x' AND b || c = 'y' AND d ->> 'k' = 'z'",
                &["'x'", "'y'", "'k'", "'z'"],
            ),
            (
                "WHERE a - 5 > 3 AND f('x', 2) AND a @> 'z'",
                &["5", "3", "'x'", "2", "'z'"],
            ),
            (
                "UPDATE t SET a = 'x' WHERE b = 'y'",
                &["'x' a Equal", "'y' b Equal"],
            ),
            ("VALUES ('x', 1)", &["'x'", "1"]),
        ] {
            assert_eq!(seen(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_string_stands_for_its_text() {
        let plain = |sql: &str| constants(sql)[0].plain(sql);
        assert_eq!(plain("'it''s'").as_deref(), Some("it's"));
        for sql in ["E'a'", "$$a$$", "5"] {
            assert_eq!(plain(sql), None, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(sql in ".{0,80}", words in prop::collection::vec(prop::sample::select(vec![
            "a", ".", "=", "'x'", "IN", "(", ")", ",", "BETWEEN", "AND", "NOT", "LIKE", "::", "text", "-", "5", "ANY", "ARRAY", "[", "]"]), 0..20))
        {
            for sql in [sql, words.join(" ")] {
                for constant in constants(&sql) {
                    prop_assert!(sql.get(constant.start..constant.end).is_some());
                }
            }
        }
    }
}
