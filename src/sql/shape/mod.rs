//! A query's columns by role: what it reads from which relation, by which conditions, in which order.
//!
//! The bridge between text and judgement: index candidates, N+1 shapes and rewrites all start from a [`QueryShape`], never from the text.

mod build;
mod guard;
mod inventory;
mod model;
mod names;
mod predicate;
mod render;
mod roles;
#[cfg(test)]
mod tests;
mod tolerate;
mod touch;

pub(in crate::sql) use guard::{RECURSION_LIMIT, on_large_stack, tokens as bounded_tokens};
pub(in crate::sql) use names::{dotted, fold, relation};
pub(in crate::sql) use render::{flatten, strip};

pub use guard::spawn_parser;
pub use model::{
    ColumnRef, Comparison, LimitClause, Operand, Predicate, QueryShape, RelationRef, Scan,
    ScanRole, ShapeError, SortKey, StatementKind, Target,
};

use sqlparser::{
    ast::Statement,
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

/// What a catalog knows about a relation as written: its column names, or `None` when it knows no such relation.
pub type ColumnsOf<'c> = Option<&'c (dyn Fn(&RelationRef) -> Option<Vec<String>> + Sync)>;

/// The shape of one statement, from its text alone. Unqualified columns in a FROM of several relations can't be attributed:
/// see [`QueryShape::has_unresolved`].
///
/// Statements other than queries and DML have a shape that says [`StatementKind::Utility`] and nothing else. Never panics and never
/// overflows the stack, whatever the text.
///
/// # Errors
/// See [`ShapeError`].
pub fn parse(text: &str) -> Result<QueryShape, ShapeError> {
    shape(text, None)
}

/// The shapes of many statements, in their order, worked out on all cores.
#[must_use]
pub fn parse_all(texts: &[&str]) -> Vec<Result<QueryShape, ShapeError>> {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let part = texts.len().div_ceil(n_cores).max(1);
    let parse_part = |part: &[&str]| part.iter().map(|text| parse(text)).collect();
    let done: Vec<Vec<_>> = std::thread::scope(|scope| {
        let parts: Vec<_> = texts
            .chunks(part)
            .map(|part| (part, spawn_parser(scope, move || parse_part(part))))
            .collect();
        let joined = parts.into_iter().map(|(part, parser)| match parser {
            Ok(parser) => parser
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => parse_part(part),
        });
        joined.collect()
    });
    done.into_iter().flatten().collect()
}

/// The shape of one statement with every column attributed, as far as `columns_of` knows the relations.
///
/// # Errors
/// See [`ShapeError`].
pub fn parse_with(
    text: &str,
    columns_of: &(dyn Fn(&RelationRef) -> Option<Vec<String>> + Sync),
) -> Result<QueryShape, ShapeError> {
    shape(text, Some(columns_of))
}

fn shape(text: &str, columns_of: ColumnsOf<'_>) -> Result<QueryShape, ShapeError> {
    if text.len() > guard::MAX_TEXT_BYTES {
        return Err(ShapeError::TooLarge);
    }
    guard::on_large_stack(|| shape_here(text, columns_of))
}

/// The work itself, on whatever stack this is.
fn shape_here(text: &str, columns_of: ColumnsOf<'_>) -> Result<QueryShape, ShapeError> {
    let dialect = PostgreSqlDialect {};
    let tokens = tolerate::tolerate(guard::tokens(text, &dialect)?);
    let Some(kind) = kind_of(&tokens) else {
        return Ok(QueryShape::default());
    };
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(guard::RECURSION_LIMIT)
        .with_tokens(tokens);
    let statement = parser
        .parse_statement()
        .map_err(|error| parser_error(&error))?;
    if parser.peek_token().token != Token::EOF {
        return Err(ShapeError::Unparsable(
            "text behind the statement".to_owned(),
        ));
    }
    let mut builder = build::Builder::new(columns_of);
    builder.statement(&statement, None);
    let mut shape = builder.finish(final_kind(&statement, kind));
    inventory::take(&statement, &mut shape);
    roles::outermost(&statement, &mut shape);
    shape.fit();
    Ok(shape)
}

/// What the first word says; `None` for everything that is neither query nor DML.
fn kind_of(tokens: &[Token]) -> Option<StatementKind> {
    let first = tokens.iter().find(|token| **token != Token::LParen)?;
    let Token::Word(word) = first else {
        return None;
    };
    match word.keyword {
        Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE => {
            Some(StatementKind::Select)
        }
        Keyword::INSERT => Some(StatementKind::Insert),
        Keyword::UPDATE => Some(StatementKind::Update),
        Keyword::DELETE => Some(StatementKind::Delete),
        Keyword::MERGE => Some(StatementKind::Merge),
        _ => None,
    }
}

/// `WITH … UPDATE …` is an UPDATE.
fn final_kind(statement: &Statement, kind: StatementKind) -> StatementKind {
    use sqlparser::ast::SetExpr;
    match statement {
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(_) => StatementKind::Insert,
            SetExpr::Update(_) => StatementKind::Update,
            SetExpr::Delete(_) => StatementKind::Delete,
            SetExpr::Merge(_) => StatementKind::Merge,
            _ => StatementKind::Select,
        },
        _ => kind,
    }
}

/// An error at the end of the text means that the text was cut. The parser's own words may quote literals: only their first part is kept.
fn parser_error(error: &ParserError) -> ShapeError {
    match error {
        ParserError::RecursionLimitExceeded => ShapeError::TooLarge,
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
            if message.contains("found: EOF") {
                ShapeError::Truncated
            } else {
                let expected = message.split(", found").next().unwrap_or_default();
                ShapeError::Unparsable(expected.chars().take(80).collect())
            }
        }
    }
}
