//! A text without its literals, found in one quick pass: texts of one skeleton normalise alike, so that only the first of them has to be.

use xxhash_rust::xxh3::xxh3_64;

use super::lexer::{LIST_MARKER, Lexer, Token, TokenKind, is_word_byte};

/// Stands for a number of digits only, which may be a position (`ORDER BY 1`).
const INTEGER: u8 = 1;
/// Stands for any other number.
const NUMBER: u8 = 2;
/// Stands for a string of any kind.
const STRING: u8 = 3;
/// Stands for a comment.
const COMMENT: u8 = 4;
/// Longer texts are normalised without asking for their skeleton, bytes: they hold long lists, and rarely look alike.
const MAX_BYTES: usize = 64 << 10;

/// Bytes at which something may start that is not copied as it is.
static STOPS: [bool; 256] = stops();

const fn stops() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(
            byte as u8,
            b'0'..=b'9' | b'\'' | b'"' | b'$' | b'.' | b'-' | b'/' | INTEGER..=COMMENT
        );
        byte += 1;
    }
    table
}

/// Part of a text that its skeleton leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Reads one text after another without allocating anew.
#[derive(Debug, Default)]
pub(crate) struct Skeleton {
    text: Vec<u8>,
    gaps: Vec<Gap>,
    has_comment: bool,
    hash: u64,
}

impl Skeleton {
    /// Hash of the text without literals and comments; `None` when it must be normalised to be understood.
    pub(crate) fn read(&mut self, sql: &[u8]) -> Option<u64> {
        self.text.clear();
        self.gaps.clear();
        self.has_comment = false;
        if sql.len() > MAX_BYTES {
            return None;
        }
        let mut scan = Scan {
            sql,
            at: 0,
            floor: 0,
            copied: 0,
        };
        while let Some(stop) = scan.next_stop() {
            match stop {
                Stop::Verbatim => {}
                Stop::Gap(token, kind) => {
                    self.text.extend_from_slice(&sql[scan.copied..token.start]);
                    self.text.push(kind);
                    self.has_comment |= kind == COMMENT;
                    self.gaps.push(Gap {
                        start: token.start as u32,
                        end: token.end as u32,
                    });
                    scan.copied = token.end;
                }
                Stop::Unreadable => return None,
            }
        }
        self.text.extend_from_slice(&sql[scan.copied..]);
        self.hash = xxh3_64(&self.text);
        Some(self.hash)
    }

    /// Hash of the last text that was read.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// What was left out, in order.
    pub(crate) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// A comment was left out.
    pub(crate) fn has_comment(&self) -> bool {
        self.has_comment
    }
}

struct Scan<'a> {
    sql: &'a [u8],
    at: usize,
    /// End of the last token that was read as one: no word goes on from before it.
    floor: usize,
    /// Up to here the text is in the skeleton.
    copied: usize,
}

enum Stop {
    /// It belongs to the skeleton after all.
    Verbatim,
    /// A literal or a comment, and what stands for it.
    Gap(Token, u8),
    /// A byte that stands for literals itself.
    Unreadable,
}

impl Scan<'_> {
    fn next_stop(&mut self) -> Option<Stop> {
        let rest = self.sql.get(self.at..)?;
        self.at += rest.iter().position(|byte| STOPS[usize::from(*byte)])?;
        let next = self.sql.get(self.at + 1).copied().unwrap_or(0);
        Some(match (self.sql[self.at], next) {
            (b'0'..=b'9' | b'$', _) if self.goes_on_a_word(self.at) => self.pass(),
            (b'0'..=b'9' | b'"' | b'$', _) | (b'.', b'0'..=b'9') => self.token(self.at),
            (b'\'', _) => self.token(self.string_start()),
            (b'-', b'-') | (b'/', b'*') => self.comment(),
            (INTEGER..=COMMENT, _) => Stop::Unreadable,
            _ => self.pass(),
        })
    }

    fn pass(&mut self) -> Stop {
        self.at += 1;
        Stop::Verbatim
    }

    /// Whether the byte at `at` follows directly on one of the same word.
    fn goes_on_a_word(&self, at: usize) -> bool {
        at > self.floor && is_word_byte(self.sql[at - 1])
    }

    /// Where the string starts whose quote stands at the cursor: `E'…'`, `U&'…'` and their like start before it.
    fn string_start(&self) -> usize {
        let behind_floor = &self.sql[self.floor..self.at];
        let len = match behind_floor {
            [.., b'u' | b'U', b'&'] => 2,
            [.., b'e' | b'E' | b'b' | b'B' | b'x' | b'X' | b'n' | b'N'] => 1,
            _ => return self.at,
        };
        if self.goes_on_a_word(self.at - len) {
            self.at
        } else {
            self.at - len
        }
    }

    /// The token that the lexer reads at `start`.
    fn token(&mut self, start: usize) -> Stop {
        let Some(token) = Lexer::starting_at(self.sql, start).next() else {
            return self.pass();
        };
        self.at = token.end;
        self.floor = token.end;
        let raw = &self.sql[token.start..token.end];
        match token.kind {
            TokenKind::String => Stop::Gap(token, STRING),
            TokenKind::Number if raw.iter().all(u8::is_ascii_digit) => Stop::Gap(token, INTEGER),
            TokenKind::Number => Stop::Gap(token, NUMBER),
            _ if raw.iter().any(|byte| matches!(*byte, INTEGER..=COMMENT)) => Stop::Unreadable,
            _ => Stop::Verbatim,
        }
    }

    /// A comment; the one that marks a collapsed list says something.
    fn comment(&mut self) -> Stop {
        let start = self.at;
        let end = Lexer::starting_at(self.sql, start).comment_end();
        self.at = end;
        self.floor = end;
        if &self.sql[start..end] == LIST_MARKER {
            return Stop::Verbatim;
        }
        let token = Token {
            kind: TokenKind::Other,
            start,
            end,
        };
        Stop::Gap(token, COMMENT)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The literals that the lexer finds.
    fn literals(sql: &[u8]) -> Vec<(usize, usize)> {
        Lexer::new(sql)
            .filter(|token| matches!(token.kind, TokenKind::String | TokenKind::Number))
            .map(|token| (token.start, token.end))
            .collect()
    }

    fn check(sql: &[u8]) {
        let mut skeleton = Skeleton::default();
        if skeleton.read(sql).is_none() {
            return;
        }
        let gaps: Vec<(usize, usize)> = skeleton
            .gaps()
            .iter()
            .map(|gap| (gap.start as usize, gap.end as usize))
            .filter(|(start, _)| !sql[*start..].starts_with(b"--"))
            .filter(|(start, _)| !sql[*start..].starts_with(b"/*"))
            .collect();
        assert_eq!(gaps, literals(sql), "{}", String::from_utf8_lossy(sql));
    }

    #[test]
    fn literals_of_every_kind_are_gaps() {
        for sql in [
            "select 1, a1, $1, c$2, .5, t.1, 1.5e3, 0x1F, 12$1, 1as x, 1e'x'",
            "select E'it\\'s', U&'x', n'y', $t$ ' 5 $t$, ae'5', \"q'1\", 'a'\n 'b'",
            "select 1 -- it's 5\n, 2 /* '3 /* 4 */ 5 */ , a--6\n-7 @-8",
            "in (1 /*, ... */)",
            "'never closed",
        ] {
            check(sql.as_bytes());
        }
    }

    #[test]
    fn texts_that_differ_in_literals_share_a_skeleton() {
        let mut skeleton = Skeleton::default();
        let mut read = |sql: &str| skeleton.read(sql.as_bytes());
        let first = read("select a from t where b = 'x' and c = 1 /* id=1 */");
        assert_eq!(
            read("select a from t where b = $$y$$ and c = 22 /* id=2 */"),
            first
        );
        assert_ne!(
            read("select a from t where b = 'x' and c = 1.0 /* id=1 */"),
            first
        );
        assert_ne!(
            read("select a from t where c = 'x' and c = 1 /* id=1 */"),
            first
        );
        assert_eq!(read("select \u{1}"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn gaps_are_the_lexers_literals(sql in r#"([a-eE'"$&u0-9. \n/*+@-]|\$\$|--|/\*|\*/|E'|[\x00-\xff]){0,24}"#) {
            check(sql.as_bytes());
        }
    }
}
