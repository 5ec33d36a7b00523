//! Normalised text → one parsed statement, without losing any of its meaning.

use sqlparser::{
    ast::Statement,
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer, Whitespace},
};

use super::Refusal;
use crate::sql::{
    plannable,
    shape::{ShapeError, bounded_tokens, on_large_stack},
};

/// What the normaliser writes behind the first element of a list.
const LIST: &str = ", ... ";

/// Runs `work` on the parsed statement, on a stack that holds it.
pub(super) fn with_statement(
    text: &str,
    work: impl FnOnce(Statement) + Send,
) -> Result<(), Refusal> {
    let text = lists(&plannable(text, &std::collections::BTreeMap::new(), None))?;
    let done = on_large_stack(|| {
        let dialect = PostgreSqlDialect {};
        let tokens = bounded_tokens(&text, &dialect)?;
        let unknown = || ShapeError::Unparsable(String::new());
        let mut parser = Parser::new(&dialect).with_tokens(tokens);
        let statement = parser.parse_statement().map_err(|_| unknown())?;
        if parser.peek_token().token != Token::EOF {
            return Err(unknown());
        }
        work(statement);
        Ok(())
    });
    done.map_err(Refusal::from)
}

/// Lists that the normaliser cut to one element become array parameters: `IN ($1 /*, ... */)` is `= ANY ($1)`. Rows of VALUES don't.
fn lists(text: &str) -> Result<String, Refusal> {
    if !text.contains("/*, ... */") {
        return Ok(text.to_owned());
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize()
        .map_err(|_| Refusal::Unread("unknown token".to_owned()))?;
    let is_list = |token: &Token| matches!(token, Token::Whitespace(Whitespace::MultiLineComment(text)) if text == LIST);
    let solid: Vec<&Token> = tokens
        .iter()
        .filter(|token| is_list(token) || !matches!(token, Token::Whitespace(_)))
        .collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while at < solid.len() {
        match &solid[at..] {
            [word, open, value @ Token::Placeholder(_), list, close, ..]
                if is_word(word, "in")
                    && **open == Token::LParen
                    && is_list(list)
                    && **close == Token::RParen =>
            {
                let negated = out
                    .last()
                    .is_some_and(|last| last.eq_ignore_ascii_case("not"));
                if negated {
                    out.pop();
                }
                let operator = if negated { "<> ALL" } else { "= ANY" };
                out.push(format!("{operator} ({value})"));
                at += 5;
            }
            [word, open, value @ Token::Placeholder(_), list, close, ..]
                if is_word(word, "array")
                    && **open == Token::LBracket
                    && is_list(list)
                    && **close == Token::RBracket =>
            {
                out.push(value.to_string());
                at += 5;
            }
            [token, ..] if is_list(token) => return Err(Refusal::Batched),
            [token, ..] => {
                out.push(token.to_string());
                at += 1;
            }
            [] => break,
        }
    }
    Ok(join(&out))
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// Blanks between tokens, but not around the dots of names and inside casts.
fn join(tokens: &[String]) -> String {
    tokens.join(" ").replace(" . ", ".").replace(" :: ", "::")
}
