//! Rewrites a few token sequences that Postgres (or `pg_stat_statements`) writes and sqlparser does not know. None changes which columns play which role.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, Word},
};

/// The token list with unknown forms replaced by known ones.
pub(super) fn tolerate(tokens: Vec<Token>) -> Vec<Token> {
    let mut tokens = without_cursor(tokens);
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if let Some(skip) = conflict_target(rest) {
            out.extend_from_slice(&rest[..2]);
            at += skip;
        } else if let Some((replacement, skip)) = lock_strength(rest) {
            out.extend(replacement);
            at += skip;
        } else if is_typed_placeholder(rest) || is_only(&out, rest) {
            at += 1;
        } else if is_null_test_of_placeholder(&out, rest) {
            out.push(Token::make_keyword("NULL"));
            at += 1;
        } else {
            out.push(std::mem::replace(&mut tokens[at], Token::EOF));
            at += 1;
        }
    }
    out
}

/// `DECLARE c CURSOR … FOR SELECT …` is planned like its query.
fn without_cursor(mut tokens: Vec<Token>) -> Vec<Token> {
    if !is(tokens.first(), Keyword::DECLARE) {
        return tokens;
    }
    match tokens
        .iter()
        .position(|token| is(Some(token), Keyword::FOR))
    {
        Some(at) if tokens[..at].iter().any(|t| is(Some(t), Keyword::CURSOR)) => {
            tokens.split_off(at + 1)
        }
        _ => {
            tokens.truncate(1);
            tokens
        }
    }
}

/// `ON CONFLICT (lower(email)) WHERE active DO …`: the target is dropped, it reads no column that an index would serve.
fn conflict_target(rest: &[Token]) -> Option<usize> {
    let conflict = is(rest.first(), Keyword::ON) && is(rest.get(1), Keyword::CONFLICT);
    if !conflict || rest.get(2) != Some(&Token::LParen) {
        return None;
    }
    rest.iter().position(|token| is(Some(token), Keyword::DO))
}

/// `FOR NO KEY UPDATE` and `FOR KEY SHARE`, and all but the first table of `OF a, b`.
fn lock_strength(rest: &[Token]) -> Option<(Vec<Token>, usize)> {
    if !is(rest.first(), Keyword::FOR) {
        return None;
    }
    let strength_at = (1..rest.len().min(4))
        .find(|&at| is(rest.get(at), Keyword::UPDATE) || is(rest.get(at), Keyword::SHARE))?;
    let between = &rest[1..strength_at];
    if !between
        .iter()
        .all(|t| is(Some(t), Keyword::NO) || is(Some(t), Keyword::KEY))
    {
        return None;
    }
    let mut skip = strength_at + 1;
    if is(rest.get(skip), Keyword::OF) {
        skip += 1;
        while matches!(rest.get(skip), Some(Token::Period | Token::Comma))
            || matches!(rest.get(skip), Some(Token::Word(w)) if !matches!(w.keyword, Keyword::NOWAIT | Keyword::SKIP | Keyword::FOR | Keyword::LIMIT))
        {
            skip += 1;
        }
    }
    Some((vec![rest[0].clone(), rest[strength_at].clone()], skip))
}

/// `interval $1`, `date $2`: how `pg_stat_statements` prints typed constants. The type word is dropped.
fn is_typed_placeholder(rest: &[Token]) -> bool {
    let type_word = matches!(
        rest.first(),
        Some(Token::Word(Word { keyword, quote_style: None, .. }))
            if matches!(keyword, Keyword::INTERVAL | Keyword::DATE | Keyword::TIME | Keyword::TIMESTAMP | Keyword::TIMESTAMPTZ
                | Keyword::NUMERIC | Keyword::UUID | Keyword::JSON | Keyword::JSONB | Keyword::BOOL | Keyword::BOOLEAN)
    );
    type_word && matches!(rest.get(1), Some(Token::Placeholder(_)))
}

/// `FROM ONLY t`: the relation is the same.
fn is_only(before: &[Token], rest: &[Token]) -> bool {
    let opens_relation = matches!(
        before.last(),
        Some(Token::Word(word)) if matches!(word.keyword, Keyword::FROM | Keyword::UPDATE | Keyword::JOIN | Keyword::USING | Keyword::INTO)
    ) || before.last() == Some(&Token::Comma);
    opens_relation && is(rest.first(), Keyword::ONLY) && matches!(rest.get(1), Some(Token::Word(_)))
}

/// `x IS NOT $1`, as normalising tools write `IS NOT NULL`: NULL stands in for the placeholder.
fn is_null_test_of_placeholder(before: &[Token], rest: &[Token]) -> bool {
    let after_is = is(before.last(), Keyword::IS)
        || (is(before.last(), Keyword::NOT)
            && before.len() > 1
            && is(before.get(before.len() - 2), Keyword::IS));
    after_is && matches!(rest.first(), Some(Token::Placeholder(_)))
}

fn is(token: Option<&Token>, keyword: Keyword) -> bool {
    matches!(token, Some(Token::Word(word)) if word.keyword == keyword && word.quote_style.is_none())
}
