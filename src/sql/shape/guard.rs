//! Bounds that are checked before sqlparser sees a text, and the stack it then runs on: no input may overflow it.
//!
//! sqlparser builds left-deep trees for flat chains (`a OR b OR c …`): they parse in a loop and then overflow the stack when
//! they are visited, printed or dropped. So the bound is on the depth that a tree *can* reach, counted over tokens, and the work
//! runs on a stack that was measured to hold such a tree in a debug build.

use std::{
    cell::Cell,
    panic::AssertUnwindSafe,
    thread::{Scope, ScopedJoinHandle},
};

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, Tokenizer},
};

use super::ShapeError;

/// Longest text that is parsed, bytes. Beyond it the token-level fingerprint is all there is.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;

/// Deepest nesting of brackets and CASE. ORMs stay below 20; sqlparser's frames are largest here.
const MAX_DEPTH: usize = 100;

/// Most operators and keyword runs along one path of the tree, list elements counted apart: bounds the tree's depth.
const MAX_TERMS: usize = 2_000;

/// Depth that sqlparser may recurse to; each bracket takes several of its levels.
pub(in crate::sql) const RECURSION_LIMIT: usize = 6 * MAX_DEPTH;

/// Stack for parsing, walking and dropping one tree, bytes. Reserved, not touched, so it costs nothing until used.
const STACK_BYTES: usize = 64 << 20;

/// What stands on a large stack beside the tree, bytes.
const STACK_MARGIN: usize = 1 << 20;

thread_local! {
    /// This thread's stack holds any tree.
    static IS_LARGE: Cell<bool> = const { Cell::new(false) };
}

/// Starts a thread on whose stack any statement can be parsed. Elsewhere each parse takes a thread of its own, which costs more than most parses.
///
/// # Errors
/// When the system has no room for it.
pub fn spawn_parser<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> std::io::Result<ScopedJoinHandle<'scope, T>> {
    std::thread::Builder::new()
        .name("sql-parser".to_owned())
        .stack_size(STACK_BYTES + STACK_MARGIN)
        .spawn_scoped(scope, || {
            IS_LARGE.set(true);
            work()
        })
}

/// Runs `work` on a stack of [`STACK_BYTES`]; a panic inside comes back as an error.
pub(in crate::sql) fn on_large_stack<T: Send>(
    work: impl FnOnce() -> Result<T, ShapeError> + Send,
) -> Result<T, ShapeError> {
    let done = if IS_LARGE.get() {
        // what is unwound through is dropped with the error
        std::panic::catch_unwind(AssertUnwindSafe(work))
    } else {
        std::thread::scope(|scope| match spawn_parser(scope, work) {
            Ok(parser) => parser.join(),
            Err(_) => Ok(Err(ShapeError::TooLarge)),
        })
    };
    done.unwrap_or_else(|_| Err(ShapeError::Unparsable("the parser failed".to_owned())))
}

/// The text's tokens without white space and comments, if it is one statement within the bounds. A trailing `;` is dropped.
pub(in crate::sql) fn tokens(
    text: &str,
    dialect: &dyn sqlparser::dialect::Dialect,
) -> Result<Vec<Token>, ShapeError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ShapeError::TooLarge);
    }
    let all = Tokenizer::new(dialect, text)
        .tokenize()
        .map_err(|error| tokenizer_error(&error.message))?;
    let mut tokens: Vec<Token> = all
        .into_iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    while tokens.last() == Some(&Token::SemiColon) {
        tokens.pop();
    }
    let leading = tokens
        .iter()
        .take_while(|t| **t == Token::SemiColon)
        .count();
    tokens.drain(..leading);
    if tokens.is_empty() {
        return Err(ShapeError::Empty);
    }
    if tokens.contains(&Token::SemiColon) {
        return Err(ShapeError::Several);
    }
    check_bounds(&tokens)?;
    Ok(tokens)
}

/// An open string, comment or identifier means that the text was cut.
fn tokenizer_error(message: &str) -> ShapeError {
    if message.contains("nterminated") || message.contains("EOF") || message.contains("close") {
        ShapeError::Truncated
    } else {
        ShapeError::Unparsable("unknown token".to_owned())
    }
}

/// Counts nesting and terms as the module's head says.
fn check_bounds(tokens: &[Token]) -> Result<(), ShapeError> {
    let mut levels: Vec<usize> = vec![0];
    let mut path = 0;
    let mut after_word = false;
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => levels.push(0),
            Token::RParen | Token::RBracket | Token::RBrace => path -= close(&mut levels),
            Token::Comma => {
                let level = levels.last_mut().expect("the bottom level is never popped");
                path -= std::mem::take(level);
            }
            Token::Word(word) if word.keyword == Keyword::CASE => levels.push(0),
            Token::Word(word) if word.keyword == Keyword::END => path -= close(&mut levels),
            other if counts(other, after_word) => {
                *levels.last_mut().expect("the bottom level is never popped") += 1;
                path += 1;
            }
            _ => {}
        }
        after_word = matches!(token, Token::Word(_));
        if levels.len() > MAX_DEPTH || path > MAX_TERMS {
            return Err(ShapeError::TooLarge);
        }
    }
    Ok(())
}

/// Leaves a level; an unmatched closing bracket leaves the bottom one in place.
fn close(levels: &mut Vec<usize>) -> usize {
    let top = levels.len() - 1;
    if top == 0 {
        std::mem::take(&mut levels[0])
    } else {
        levels.pop().unwrap_or_default()
    }
}

/// Does this token make the tree deeper? Operators do; so do words that follow words (`NOT NOT …`, `INTERVAL INTERVAL …`) and the
/// keywords that join expressions or queries.
fn counts(token: &Token, after_word: bool) -> bool {
    match token {
        Token::Word(word) => {
            after_word
                || matches!(
                    word.keyword,
                    Keyword::AND
                        | Keyword::OR
                        | Keyword::NOT
                        | Keyword::IS
                        | Keyword::COLLATE
                        | Keyword::UNION
                        | Keyword::EXCEPT
                        | Keyword::INTERSECT
                        | Keyword::AT
                        | Keyword::NOTNULL
                )
        }
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period => false,
        _ => true,
    }
}
