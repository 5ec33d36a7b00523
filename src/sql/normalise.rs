//! One pass from raw SQL to its normalised form: what stays the same when only values, case, white space or comments change.
//!
//! What becomes a placeholder, and why:
//! - strings, numbers (with their sign) and `$n`; never a number in a type modifier (`varchar(10)`) nor a position
//!   (`ORDER BY 1`), which pg_stat_statements keeps too;
//! - NULL where a value stands (`= NULL`, `VALUES (NULL)`), as a driver may send it as a parameter; never in `IS NULL`, which
//!   plans differently;
//! - TRUE and FALSE only in VALUES and SET, where they are data; `active = true` stays, because a partial index depends on it;
//! - the value after PASSWORD in CREATE and ALTER, whatever it looks like.
//!
//! Lists whose elements read alike (`IN`, `ARRAY[…]`, rows of VALUES) become one element and the marker `/*, ... */`; a list of
//! one element in IN, or in ANY (ARRAY[…]), becomes `=`. Names that clients make up (savepoints, cursors, prepared statements)
//! become `_`, and some words of transaction control and SET become their commonest synonym.

mod frame;
mod list;
mod synonym;

use xxhash_rust::xxh3::xxh3_64;

use super::keyword::{Keyword, keyword};
use super::lexer::{Lexer, Token, TokenKind};
use super::{Fingerprint, quote};
use frame::{Frame, FrameKind, List};

/// What stood at a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperandKind {
    /// A string constant of any kind.
    String,
    /// A number, with its sign.
    Number,
    /// TRUE or FALSE where they are data.
    Boolean,
    /// NULL where it is a value.
    Null,
    /// `$n`
    Parameter(u16),
    /// A password, quoted or not: never to be shown.
    Secret,
}

/// What stood at one placeholder of the normalised text, as a range of the raw text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperandSpan {
    /// First byte in the raw text.
    pub start: u32,
    /// One past the last byte; of a collapsed list of single values, the end of its last element.
    pub end: u32,
    /// What it is; of a collapsed list, what its first element is.
    pub kind: OperandKind,
    /// Elements of the collapsed list, or rows of VALUES; 1 for a scalar, 0 for a list that was collapsed before we saw it.
    pub list_len: u32,
}

/// Stands for a placeholder in the working text; never copied there from the input.
const PLACEHOLDER: u8 = 1;

/// Brackets deeper than this are copied without looking for lists: bounds memory on hostile text (200 bytes a level). No text
/// that Postgres itself accepts under its default `max_stack_depth` needs more in practice.
const MAX_DEPTH: usize = 1_000;

/// What was written last; decides about spaces, signs and positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Previous {
    Start,
    Open,
    Close,
    Dot,
    Cast,
    Comma,
    Operator,
    Word(Keyword),
    Operand,
    /// A number that stays: a position or a type modifier.
    Number,
    Other,
}

/// Which name of a statement is made up by the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MadeUpName {
    No,
    /// The next word that is not one of the statement's own.
    Next,
}

/// Statement's first word, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Unknown,
    /// CREATE, ALTER: NULL and DEFAULT belong to definitions, PASSWORD to roles.
    Definition,
    /// BEGIN, COMMIT, ROLLBACK and what else they are called.
    Transaction,
    Release,
    Set,
    Other,
}

/// Where the type name of a cast is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TypeName {
    No,
    Expected,
    Read,
}

/// Normalises one text after another without allocating anew. One per thread.
#[derive(Debug)]
pub struct Normaliser {
    text: Vec<u8>,
    operands: Vec<OperandSpan>,
    /// Where numbers stand that stay in the text.
    kept: Vec<u32>,
    frames: Vec<Frame>,
    previous: Previous,
    verb: Verb,
    name: MadeUpName,
    type_name: TypeName,
    /// A `;` waits for another statement to follow.
    pending_semicolon: bool,
    /// INTO was read: the next `(` opens its column list.
    after_into: bool,
    /// The next token is a password.
    expects_secret: bool,
    /// Open brackets beyond [`MAX_DEPTH`].
    n_too_deep: u32,
    /// Working text's length before the last word, and before the word or operator ahead of it.
    word_at: usize,
    /// The operator or word before the last word, as far as ANY and IN ask for it.
    before_word: BeforeWord,
    before_word_at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeforeWord {
    Nothing,
    Equal,
    NotEqual,
    Not,
}

impl Default for Normaliser {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            operands: Vec::new(),
            kept: Vec::new(),
            frames: Vec::new(),
            previous: Previous::Start,
            verb: Verb::Unknown,
            name: MadeUpName::No,
            type_name: TypeName::No,
            pending_semicolon: false,
            after_into: false,
            expects_secret: false,
            n_too_deep: 0,
            word_at: 0,
            before_word: BeforeWord::Nothing,
            before_word_at: 0,
        }
    }
}

impl Normaliser {
    /// Normalises `sql`; its operands and text stay readable until the next call. Linear time, never fails.
    pub fn run(&mut self, sql: &[u8]) -> Fingerprint {
        self.reset();
        let mut lexer = Lexer::new(sql);
        while let Some(token) = lexer.next() {
            self.token(sql, token, &mut lexer);
        }
        self.finish_rows();
        Fingerprint(xxh3_64(&self.text))
    }

    /// What stood at each placeholder of the last text, in order.
    #[must_use]
    pub fn operands(&self) -> &[OperandSpan] {
        &self.operands
    }

    /// Where the last text's numbers stand that are no operands: positions and type modifiers.
    pub(crate) fn kept_numbers(&self) -> &[u32] {
        &self.kept
    }

    /// The last text's normalised form, placeholders as `$1`, `$2` … in order of appearance.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::with_capacity(self.text.len() + 2 * self.operands.len());
        let mut n = 0_u32;
        for part in self.text.split_inclusive(|byte| *byte == PLACEHOLDER) {
            match part.split_last() {
                Some((&PLACEHOLDER, head)) => {
                    n += 1;
                    text.extend_from_slice(head);
                    push_placeholder(n, &mut text);
                }
                _ => text.extend_from_slice(part),
            }
        }
        String::from_utf8(text)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn reset(&mut self) {
        self.text.clear();
        self.operands.clear();
        self.kept.clear();
        self.frames.clear();
        self.frames.push(Frame::new(FrameKind::Plain, 0, 0, 0));
        self.start_statement();
        self.pending_semicolon = false;
        self.n_too_deep = 0;
        self.previous = Previous::Start;
    }

    fn start_statement(&mut self) {
        self.verb = Verb::Unknown;
        self.name = MadeUpName::No;
        self.type_name = TypeName::No;
        self.after_into = false;
        self.expects_secret = false;
        self.before_word = BeforeWord::Nothing;
        let frame = self.frame();
        frame.in_keys = false;
        frame.in_set = false;
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames
            .last_mut()
            .expect("the outermost frame is never popped")
    }

    fn token(&mut self, sql: &[u8], token: Token, lexer: &mut Lexer<'_>) {
        if token.kind == TokenKind::ListMarker {
            return self.marker();
        }
        self.flush_semicolon(token.kind);
        if self.expects_secret {
            return self.secret(sql, token);
        }
        let raw = &sql[token.start..token.end];
        if !matches!(token.kind, TokenKind::Comma | TokenKind::Open) {
            self.finish_rows();
        }
        match token.kind {
            TokenKind::Word => self.word(raw, token),
            TokenKind::QuotedIdentifier => self.quoted(raw),
            TokenKind::String => self.operand(token, OperandKind::String),
            TokenKind::Number => self.number(raw, token),
            TokenKind::Parameter => self.operand(token, parameter_kind(raw)),
            TokenKind::Operator => self.operator(raw, token, lexer),
            TokenKind::Open => self.open(b'('),
            TokenKind::OpenBracket => self.open(b'['),
            TokenKind::Close => self.close(b')'),
            TokenKind::CloseBracket => self.close(b']'),
            TokenKind::Comma => self.comma(),
            TokenKind::Semicolon => self.pending_semicolon = self.previous != Previous::Start,
            TokenKind::Dot => self.glued(b".", Previous::Dot),
            TokenKind::Cast => {
                self.glued(b"::", Previous::Cast);
                self.type_name = TypeName::Expected;
            }
            TokenKind::Colon | TokenKind::Other | TokenKind::ListMarker => {
                self.spaced(raw, Previous::Other);
            }
        }
        if token.kind != TokenKind::Word && token.kind != TokenKind::Cast {
            self.end_type_name(token.kind);
        }
        let starts_nothing = matches!(token.kind, TokenKind::Open | TokenKind::Semicolon);
        if self.verb == Verb::Unknown && !starts_nothing {
            self.verb = Verb::Other;
        }
    }

    /// A `;` is only written once another statement follows it.
    fn flush_semicolon(&mut self, next: TokenKind) {
        if self.pending_semicolon && next != TokenKind::Semicolon {
            self.finish_rows();
            self.pending_semicolon = false;
            self.text.push(b';');
            self.previous = Previous::Other;
            self.start_statement();
        }
    }

    fn space(&mut self) {
        let glue = matches!(
            self.previous,
            Previous::Start | Previous::Open | Previous::Dot | Previous::Cast
        );
        if !glue {
            self.text.push(b' ');
        }
    }

    fn spaced(&mut self, raw: &[u8], previous: Previous) {
        self.space();
        self.push_clean(raw);
        self.previous = previous;
    }

    fn glued(&mut self, raw: &[u8], previous: Previous) {
        if matches!(
            self.previous,
            Previous::Operator | Previous::Number | Previous::Other | Previous::Comma
        ) {
            self.text.push(b' ');
        }
        self.text.extend_from_slice(raw);
        self.previous = previous;
    }

    /// Copies input, keeping the placeholder's byte out.
    fn push_clean(&mut self, raw: &[u8]) {
        let at = self.text.len();
        self.text.extend_from_slice(raw);
        for byte in &mut self.text[at..] {
            if *byte == PLACEHOLDER {
                *byte = b' ';
            }
        }
    }

    fn operand(&mut self, token: Token, kind: OperandKind) {
        self.operand_at(token.start, token.end, kind);
    }

    fn operand_at(&mut self, start: usize, end: usize, kind: OperandKind) {
        self.space();
        self.text.push(PLACEHOLDER);
        self.operands.push(OperandSpan {
            start: start as u32,
            end: end as u32,
            kind,
            list_len: 1,
        });
        self.previous = Previous::Operand;
    }

    /// The token behind PASSWORD, whatever it is; NULL there takes a password away.
    fn secret(&mut self, sql: &[u8], token: Token) {
        self.expects_secret = false;
        if sql[token.start..token.end].eq_ignore_ascii_case(b"null") {
            self.spaced(b"null", Previous::Word(Keyword::Null));
        } else {
            self.operand(token, OperandKind::Secret);
        }
    }

    fn number(&mut self, raw: &[u8], token: Token) {
        let in_keys = self.frame().in_keys;
        let is_position = in_keys
            && matches!(self.previous, Previous::Comma | Previous::Word(Keyword::By))
            && raw.iter().all(u8::is_ascii_digit);
        if is_position || self.frame().kind == FrameKind::TypeModifier {
            self.kept.push(token.start as u32);
            self.spaced(raw, Previous::Number);
        } else {
            self.operand(token, OperandKind::Number);
        }
    }

    /// `!=` is `<>`; a sign before a number belongs to it.
    fn operator(&mut self, raw: &[u8], token: Token, lexer: &mut Lexer<'_>) {
        if matches!(raw, b"-" | b"+") && self.awaits_operand() {
            let mut ahead = lexer.clone();
            if let Some(number) = ahead.next()
                && number.kind == TokenKind::Number
            {
                *lexer = ahead;
                return self.operand_at(token.start, number.end, OperandKind::Number);
            }
        }
        self.before_word_at = self.text.len();
        self.before_word = match raw {
            b"=" => BeforeWord::Equal,
            b"<>" | b"!=" => BeforeWord::NotEqual,
            _ => BeforeWord::Nothing,
        };
        let raw = if raw == b"!=" { b"<>" } else { raw };
        self.spaced(raw, Previous::Operator);
    }

    fn awaits_operand(&self) -> bool {
        match self.previous {
            Previous::Start
            | Previous::Open
            | Previous::Comma
            | Previous::Operator
            | Previous::Other => true,
            Previous::Word(keyword) => keyword.awaits_operand(),
            Previous::Close
            | Previous::Dot
            | Previous::Cast
            | Previous::Operand
            | Previous::Number => false,
        }
    }

    fn quoted(&mut self, raw: &[u8]) {
        if self.name == MadeUpName::Next {
            return self.made_up_name();
        }
        let inner = raw
            .strip_prefix(b"\"")
            .and_then(|raw| raw.strip_suffix(b"\""));
        match inner {
            Some(inner) if self.is_plain(inner) => self.spaced(inner, Previous::Operand),
            _ => self.spaced(raw, Previous::Operand),
        }
    }

    fn made_up_name(&mut self) {
        self.name = MadeUpName::No;
        self.spaced(b"_", Previous::Word(Keyword::Identifier));
    }

    fn word(&mut self, raw: &[u8], token: Token) {
        let before = (self.text.len(), self.previous);
        self.space();
        let at = self.text.len();
        self.text.extend_from_slice(raw);
        self.text[at..].make_ascii_lowercase();
        let keyword = keyword(&self.text[at..]);
        if self.verb == Verb::Unknown {
            self.first_word(at);
        } else if self.is_synonym(at, before.0) {
            return;
        } else if self.name == MadeUpName::Next && !is_own_word(&self.text[at..]) {
            self.text.truncate(before.0);
            return self.made_up_name();
        }
        self.read_type_name(at);
        if let Some(kind) = self.value_keyword(keyword, before.1) {
            self.text.truncate(before.0);
            return self.operand(token, kind);
        }
        self.note_keyword(keyword, before);
        self.previous = Previous::Word(keyword);
    }

    /// NULL, TRUE and FALSE where they are values.
    fn value_keyword(&mut self, keyword: Keyword, previous: Previous) -> Option<OperandKind> {
        if self.verb == Verb::Definition {
            return None;
        }
        let frame = self.frame();
        let in_row = frame.kind == FrameKind::Row;
        let is_data = in_row && matches!(previous, Previous::Open | Previous::Comma)
            || frame.in_set && previous == Previous::Operator;
        match (keyword, previous) {
            (Keyword::Boolean, _) if is_data => Some(OperandKind::Boolean),
            (
                Keyword::Null,
                Previous::Word(Keyword::Is | Keyword::Not | Keyword::On | Keyword::Set),
            ) => None,
            (Keyword::Null, _) if self.awaits_operand() => Some(OperandKind::Null),
            _ => None,
        }
    }

    fn note_keyword(&mut self, keyword: Keyword, before: (usize, Previous)) {
        self.note_before_word(before);
        if keyword == Keyword::Identifier {
            return;
        }
        let is_definition = self.verb == Verb::Definition;
        let (content, n_operands) = (self.text.len(), self.operands.len());
        self.after_into = keyword == Keyword::Into;
        let frame = self.frame();
        if matches!(keyword, Keyword::Query | Keyword::Values)
            && frame.has_list()
            && before.1 == Previous::Open
        {
            // a subquery, not a list of values
            frame.kind = FrameKind::Plain;
        }
        match keyword {
            Keyword::By => frame.in_keys = true,
            Keyword::Set => frame.in_set = !is_definition,
            Keyword::EndsList => {
                frame.in_keys = false;
                frame.in_set = false;
            }
            Keyword::Values => frame.rows = Some(List::starting_at(content, n_operands)),
            Keyword::Password => self.expects_secret = is_definition,
            _ => {}
        }
    }

    /// Remembers what stands before the word that was just written, for IN and ANY.
    fn note_before_word(&mut self, before: (usize, Previous)) {
        if before.1 != Previous::Operator {
            self.before_word = match before.1 {
                Previous::Word(Keyword::Not) => BeforeWord::Not,
                _ => BeforeWord::Nothing,
            };
            self.before_word_at = self.word_at;
        }
        self.word_at = before.0;
    }

    /// Learns from a statement's first word, which stands at `at` in the working text.
    fn first_word(&mut self, at: usize) {
        self.first_synonym(at);
        let verb = &self.text[at..];
        let names: &[&[u8]] = &[
            b"savepoint",
            b"release",
            b"rollback",
            b"declare",
            b"close",
            b"fetch",
            b"move",
            b"deallocate",
            b"prepare",
        ];
        if names.contains(&verb) {
            self.name = MadeUpName::Next;
        }
        self.verb = match verb {
            b"create" | b"alter" => Verb::Definition,
            b"begin" | b"commit" | b"rollback" => Verb::Transaction,
            b"release" => Verb::Release,
            b"set" => Verb::Set,
            _ => Verb::Other,
        };
    }

    fn read_type_name(&mut self, at: usize) {
        let in_cast = self.frame().kind == FrameKind::Cast;
        self.type_name = match (self.type_name, &self.text[at..]) {
            (TypeName::Expected, _) | (TypeName::Read, b"varying" | b"precision") => TypeName::Read,
            (_, b"as") if in_cast => TypeName::Expected,
            _ => TypeName::No,
        };
    }

    fn end_type_name(&mut self, kind: TokenKind) {
        self.type_name = match (self.type_name, kind) {
            (TypeName::Read, TokenKind::Dot) => TypeName::Expected,
            (TypeName::Expected, TokenKind::QuotedIdentifier) => TypeName::Read,
            _ => TypeName::No,
        };
    }

    /// Whether a quoted identifier means the same without its quotes, to Postgres and to this file.
    fn is_plain(&self, inner: &[u8]) -> bool {
        let starts = matches!(inner.first(), Some(b'a'..=b'z' | b'_'));
        let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let means_nothing = match keyword(inner) {
            Keyword::Identifier => true,
            Keyword::Password => self.verb != Verb::Definition,
            _ => false,
        };
        starts
            && inner.iter().all(plain)
            && means_nothing
            && !std::str::from_utf8(inner).is_ok_and(quote::is_keyword)
    }
}

fn push_placeholder(number: u32, text: &mut Vec<u8>) {
    text.push(b'$');
    if number < 10 {
        text.push(b'0' + number as u8);
    } else {
        text.extend_from_slice(number.to_string().as_bytes());
    }
}

/// Words of SAVEPOINT, RELEASE, ROLLBACK, FETCH, MOVE, CLOSE, DEALLOCATE and PREPARE that come before the name.
fn is_own_word(word: &[u8]) -> bool {
    const OWN: &[&[u8]] = &[
        b"savepoint",
        b"to",
        b"work",
        b"transaction",
        b"prepare",
        b"prepared",
        b"all",
        b"from",
        b"in",
        b"next",
        b"prior",
        b"first",
        b"last",
        b"absolute",
        b"relative",
        b"forward",
        b"backward",
        b"and",
        b"no",
        b"chain",
        b"as",
        b"release",
    ];
    OWN.contains(&word)
}

fn parameter_kind(raw: &[u8]) -> OperandKind {
    let digits = raw.iter().skip(1).map(|byte| u32::from(byte - b'0'));
    let n = digits.fold(0u32, |n, digit| n.saturating_mul(10).saturating_add(digit));
    OperandKind::Parameter(u16::try_from(n).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests;
