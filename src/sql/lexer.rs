//! Cuts SQL into tokens as Postgres's `scan.l` does: linear time, no recursion, any bytes.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Keyword or unquoted identifier.
    Word,
    /// `"…"` or `U&"…"`, with its quotes.
    QuotedIdentifier,
    /// Any string constant: `'…'`, `E'…'`, `B'…'`, `X'…'`, `N'…'`, `U&'…'`, `$tag$…$tag$`.
    String,
    /// Any numeric constant, without sign.
    Number,
    /// `$n`
    Parameter,
    /// Run of operator characters, cut as Postgres cuts them; `:=` and `=>` too.
    Operator,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `.`
    Dot,
    /// `::`
    Cast,
    /// `:`
    Colon,
    /// The comment `/*, ... */` by which Postgres 18 and this crate mark a collapsed list.
    ListMarker,
    /// A byte that starts no token of SQL.
    Other,
}

/// One token: its kind and where it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Iterator over tokens; white space and comments (except [`TokenKind::ListMarker`]) are skipped.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
}

/// Byte classes, one bit each.
const SPACE: u8 = 1;
const WORD_START: u8 = 2;
const WORD: u8 = 4;
const DIGIT: u8 = 8;
const OPERATOR: u8 = 16;
/// Operator characters after which a `+` or `-` may end an operator (`scan.l`, rule `operator`).
const FREE_OPERATOR: u8 = 32;
const UPPER: u8 = 64;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = class(byte as u8);
        byte += 1;
    }
    table
}

const fn class(byte: u8) -> u8 {
    match byte {
        // NUL can't stand in a Postgres text; as white space it does no harm
        b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0 => SPACE,
        b'A'..=b'Z' => WORD_START | WORD | UPPER,
        b'a'..=b'z' | b'_' | 0x80..=0xff => WORD_START | WORD,
        b'0'..=b'9' => WORD | DIGIT,
        b'$' => WORD,
        b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' => OPERATOR,
        b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'`' | b'?' => {
            OPERATOR | FREE_OPERATOR
        }
        _ => 0,
    }
}

const fn is(byte: u8, classes: u8) -> bool {
    CLASS[byte as usize] & classes != 0
}

/// Whether a byte can stand within a word.
pub(super) const fn is_word_byte(byte: u8) -> bool {
    is(byte, WORD)
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `sql`.
    #[must_use]
    pub fn new(sql: &'a [u8]) -> Self {
        Self { sql, at: 0 }
    }

    /// A lexer at a place of `sql` where a token starts.
    pub(super) fn starting_at(sql: &'a [u8], at: usize) -> Self {
        Self { sql, at }
    }

    /// End of the comment that starts at the cursor.
    pub(super) fn comment_end(&self) -> usize {
        if self.peek(0) == b'/' {
            return self.block_comment_end();
        }
        let rest = &self.sql[self.at..];
        self.at + memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len())
    }

    fn peek(&self, offset: usize) -> u8 {
        self.sql.get(self.at + offset).copied().unwrap_or(0)
    }

    fn token(&mut self, kind: TokenKind, end: usize) -> Token {
        let start = self.at;
        self.at = end;
        Token { kind, start, end }
    }

    /// End of the run of bytes of these classes that starts at `from`.
    fn run(&self, from: usize, classes: u8) -> usize {
        let mut at = from;
        while at < self.sql.len() && is(self.sql[at], classes) {
            at += 1;
        }
        at
    }

    fn word(&mut self) -> Token {
        let quoted = match (self.peek(0) | 0x20, self.peek(1), self.peek(2)) {
            (b'e', b'\'', _) => Some(self.escaped_string_end(self.at + 2)),
            (b'b' | b'x' | b'n', b'\'', _) => Some(self.string_end(self.at + 2)),
            (b'u', b'&', b'\'') => Some(self.string_end(self.at + 3)),
            (b'u', b'&', b'"') => {
                let end = self.quoted_end(self.at + 3, b'"');
                return self.token(TokenKind::QuotedIdentifier, end);
            }
            _ => None,
        };
        match quoted {
            Some(end) => self.token(TokenKind::String, end),
            None => self.token(TokenKind::Word, self.run(self.at + 1, WORD)),
        }
    }

    /// End of a quoted run that starts at `from`, its quote doubled inside; the text's end when it is never closed.
    fn quoted_end(&self, from: usize, quote: u8) -> usize {
        let mut at = from;
        while let Some(found) = memchr::memchr(quote, &self.sql[at..]) {
            at += found + 1;
            if self.sql.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
        self.sql.len()
    }

    /// As [`Self::quoted_end`] for `'`, with the parts of a string continued on following lines.
    fn string_end(&self, from: usize) -> usize {
        let mut end = self.quoted_end(from, b'\'');
        while let Some(next) = self.continuation(end) {
            end = self.quoted_end(next, b'\'');
        }
        end
    }

    fn escaped_string_end(&self, from: usize) -> usize {
        let mut end = self.escaped_end(from);
        while let Some(next) = self.continuation(end) {
            end = self.escaped_end(next);
        }
        end
    }

    /// Two strings with white space between that holds a newline are one (SQL standard, `scan.l`): where the second's text starts.
    fn continuation(&self, end: usize) -> Option<usize> {
        let next = self.run(end, SPACE);
        let newline = memchr::memchr2(b'\n', b'\r', &self.sql[end..next]).is_some();
        (newline && self.sql.get(next) == Some(&b'\'')).then_some(next + 1)
    }

    fn escaped_end(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(found) = memchr::memchr2(b'\'', b'\\', &self.sql[at.min(self.sql.len())..]) {
            at += found;
            if self.sql[at] == b'\\' || self.sql.get(at + 1) == Some(&b'\'') {
                at += 2;
            } else {
                return at + 1;
            }
        }
        self.sql.len()
    }

    fn number(&mut self) -> Token {
        let end = match self.peek(1) | 0x20 {
            b'x' | b'o' | b'b' if self.peek(0) == b'0' && self.peek(2).is_ascii_hexdigit() => {
                let is_digit = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'_';
                let digits = &self.sql[self.at + 2..];
                self.at + 2 + digits.iter().take_while(|byte| is_digit(byte)).count()
            }
            _ => self.decimal_end(),
        };
        self.token(TokenKind::Number, end)
    }

    fn decimal_end(&self) -> usize {
        let mut end = self.digits_end(self.at);
        if self.sql.get(end) == Some(&b'.') && self.sql.get(end + 1) != Some(&b'.') {
            end = self.digits_end(end + 1);
        }
        let exponent = self.sql.get(end).is_some_and(|byte| byte | 0x20 == b'e');
        if exponent {
            let signed = matches!(self.sql.get(end + 1), Some(b'+' | b'-'));
            let digits = end + 1 + usize::from(signed);
            if self.sql.get(digits).is_some_and(u8::is_ascii_digit) {
                end = self.digits_end(digits);
            }
        }
        end
    }

    /// End of a run of digits with single underscores between (16+).
    fn digits_end(&self, from: usize) -> usize {
        let mut at = self.run(from, DIGIT);
        while at > from
            && self.sql.get(at) == Some(&b'_')
            && self.sql.get(at + 1).is_some_and(u8::is_ascii_digit)
        {
            at = self.run(at + 1, DIGIT);
        }
        at
    }

    /// `$n`, `$tag$…$tag$`, or a stray `$`.
    fn dollar(&mut self) -> Token {
        let digits = self.run(self.at + 1, DIGIT);
        if digits > self.at + 1 {
            return self.token(TokenKind::Parameter, digits);
        }
        let tag_end = self.tag_end();
        if self.sql.get(tag_end) != Some(&b'$') {
            return self.token(TokenKind::Other, self.at + 1);
        }
        let tag = &self.sql[self.at..=tag_end];
        let body = &self.sql[tag_end + 1..];
        let end = memchr::memmem::find(body, tag)
            .map_or(self.sql.len(), |found| tag_end + 1 + found + tag.len());
        self.token(TokenKind::String, end)
    }

    /// Where the tag of a dollar quote ends: like a word, but without `$`.
    fn tag_end(&self) -> usize {
        let tag = &self.sql[self.at + 1..];
        let is_tag = |byte: &u8| *byte != b'$' && is(*byte, WORD);
        self.at + 1 + tag.iter().take_while(|byte| is_tag(byte)).count()
    }

    fn operator(&mut self) -> Token {
        let mut end = self.run(self.at, OPERATOR);
        let run = &self.sql[self.at..end];
        let comment = (1..run.len())
            .find(|at| matches!((run[at - 1], run[*at]), (b'-', b'-') | (b'/', b'*')));
        if let Some(at) = comment {
            end = self.at + at - 1;
        }
        // a longer operator ends in + or - only when it holds one of ~!@#%^&|`?
        if !self.sql[self.at..end].iter().any(|b| is(*b, FREE_OPERATOR)) {
            while end > self.at + 1 && matches!(self.sql[end - 1], b'+' | b'-') {
                end -= 1;
            }
        }
        self.token(TokenKind::Operator, end)
    }

    /// End of the block comment at the cursor; block comments nest.
    fn block_comment_end(&self) -> usize {
        let mut depth = 1u32;
        let mut at = self.at + 2;
        while let Some(found) = memchr::memchr2(b'*', b'/', &self.sql[at.min(self.sql.len())..]) {
            at += found;
            match (self.sql[at], self.sql.get(at + 1)) {
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return at;
                    }
                }
                (b'/', Some(b'*')) => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.sql.len()
    }

    /// Moves over white space and comments; the list marker is the one comment that is a token.
    fn skip_blank(&mut self) -> Option<Token> {
        loop {
            self.at = self.run(self.at, SPACE);
            match (self.peek(0), self.peek(1)) {
                (b'-', b'-') => self.at = self.comment_end(),
                (b'/', b'*') => {
                    let end = self.comment_end();
                    if &self.sql[self.at..end] == LIST_MARKER {
                        return Some(self.token(TokenKind::ListMarker, end));
                    }
                    self.at = end;
                }
                _ => return None,
            }
        }
    }
}

/// How a collapsed list is written: as Postgres 18 writes it in `pg_stat_statements`, so the text stays valid SQL.
pub(super) const LIST_MARKER: &[u8] = b"/*, ... */";

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if let Some(marker) = self.skip_blank() {
            return Some(marker);
        }
        let byte = *self.sql.get(self.at)?;
        let class = CLASS[usize::from(byte)];
        if class & WORD_START != 0 {
            return Some(self.word());
        }
        if class & DIGIT != 0 {
            return Some(self.number());
        }
        if class & OPERATOR != 0 {
            return Some(self.operator());
        }
        Some(self.punctuation(byte))
    }
}

impl Lexer<'_> {
    fn punctuation(&mut self, byte: u8) -> Token {
        let kind = match (byte, self.peek(1)) {
            (b'\'', _) => {
                let end = self.string_end(self.at + 1);
                return self.token(TokenKind::String, end);
            }
            (b'"', _) => {
                let end = self.quoted_end(self.at + 1, b'"');
                return self.token(TokenKind::QuotedIdentifier, end);
            }
            (b'$', _) => return self.dollar(),
            (b'.', b'0'..=b'9') => return self.number(),
            (b':', b':') => return self.token(TokenKind::Cast, self.at + 2),
            (b':', b'=') => return self.token(TokenKind::Operator, self.at + 2),
            (b'(', _) => TokenKind::Open,
            (b')', _) => TokenKind::Close,
            (b'[', _) => TokenKind::OpenBracket,
            (b']', _) => TokenKind::CloseBracket,
            (b',', _) => TokenKind::Comma,
            (b';', _) => TokenKind::Semicolon,
            (b'.', _) => TokenKind::Dot,
            (b':', _) => TokenKind::Colon,
            _ => TokenKind::Other,
        };
        self.token(kind, self.at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lex(sql: &str) -> Vec<(TokenKind, &str)> {
        Lexer::new(sql.as_bytes())
            .map(|token| (token.kind, &sql[token.start..token.end]))
            .collect()
    }

    #[test]
    fn strings_of_every_kind() {
        for string in [
            "'it''s'",
            r"E'it\'s \\'",
            "B'01'",
            "X'1f'",
            "N'x'",
            "U&'\\0061'",
            "$$a'b$$",
            "$t$a$$b$t$",
            "'a'\n  'b'",
            "'never closed",
            r"E'never closed\",
            "$x$never closed$y$",
        ] {
            assert_eq!(lex(string), [(TokenKind::String, string)], "{string}");
        }
    }

    #[test]
    fn numbers_of_every_kind() {
        for number in [
            "1", "1.5", ".5", "1.", "1e10", "1.5E-3", "1_000", "0x1F", "0b01", "0o17",
        ] {
            assert_eq!(lex(number), [(TokenKind::Number, number)], "{number}");
        }
        assert_eq!(
            lex("1as x"),
            [
                (TokenKind::Number, "1"),
                (TokenKind::Word, "as"),
                (TokenKind::Word, "x")
            ]
        );
    }

    #[test]
    fn operators_are_cut_like_postgres_cuts_them() {
        let operators = |sql| -> Vec<&str> {
            let all = lex(sql);
            all.into_iter()
                .filter(|(kind, _)| *kind == TokenKind::Operator)
                .map(|(_, text)| text)
                .collect()
        };
        assert_eq!(operators("a=-5"), ["=", "-"]);
        assert_eq!(operators("a @- 5"), ["@-"]);
        assert_eq!(operators("a <-- comment\n b"), ["<"]);
        assert_eq!(operators("a+/* x */b"), ["+"]);
        assert_eq!(operators("a ->> 'x'"), ["->>"]);
        assert_eq!(operators("--5"), Vec::<&str>::new());
    }

    #[test]
    fn comments_nest_and_may_stay_open() {
        assert_eq!(lex("/* a /* b */ c */ x"), [(TokenKind::Word, "x")]);
        assert_eq!(lex("x /* open /* "), [(TokenKind::Word, "x")]);
        assert_eq!(lex("x -- open"), [(TokenKind::Word, "x")]);
        assert_eq!(lex("/*, ... */")[0].0, TokenKind::ListMarker);
    }

    #[test]
    fn identifiers_quoted_and_not() {
        assert_eq!(
            lex("\"a\"\"b\".c$d U&\"x\""),
            [
                (TokenKind::QuotedIdentifier, "\"a\"\"b\""),
                (TokenKind::Dot, "."),
                (TokenKind::Word, "c$d"),
                (TokenKind::QuotedIdentifier, "U&\"x\""),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_give_tokens_in_order(sql: Vec<u8>) {
            let mut last = 0;
            for token in Lexer::new(&sql) {
                prop_assert!(token.start >= last && token.end > token.start && token.end <= sql.len());
                last = token.end;
            }
        }
    }
}
