//! Conditions that compute something of a column, in the form that an index on the plain column can serve: `at::date = X` is
//! `at >= X AND at < X + 1`.
//!
//! Only WHERE's top-level ANDs are touched, in every scope, and only forms that mean the same for the column's type. What is not known
//! stays as it is.

mod convert;
mod value;

use std::ops::ControlFlow;

use sqlparser::{
    ast::{BinaryOperator, Expr, Select, Statement, VisitMut, VisitorMut},
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::Token,
};

use super::shape::{self, ShapeError, bounded_tokens, on_large_stack};

/// A statement whose conditions were freed of computations on columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sargable {
    /// The statement rewritten.
    pub sql: String,
    /// What was changed, in order.
    pub changes: Vec<Change>,
}

/// One condition before and after; values are `…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The alias or relation that the column was written with.
    pub qualifier: Option<String>,
    /// The column.
    pub column: String,
    /// As it was.
    pub before: String,
    /// What means the same.
    pub after: String,
    /// Where the two differ, if they can.
    pub proviso: Option<&'static str>,
}

/// The type of a column, as `format_type` prints it, by the qualifier and name that the statement uses.
pub type TypeOf<'a> = dyn Fn(Option<&str>, &str) -> Option<String> + Sync + 'a;

/// The statement with all such conditions rewritten; `None` where there is none.
///
/// # Errors
/// When the text is not one statement that can be parsed.
pub fn rewrite(text: &str, type_of: &TypeOf<'_>) -> Result<Option<Sargable>, ShapeError> {
    on_large_stack(|| {
        let dialect = PostgreSqlDialect {};
        let tokens = bounded_tokens(text, &dialect)?;
        let unknown = || ShapeError::Unparsable(String::new());
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(shape::RECURSION_LIMIT)
            .with_tokens(tokens);
        let mut statement = parser.parse_statement().map_err(|_| unknown())?;
        if parser.peek_token().token != Token::EOF {
            return Err(unknown());
        }
        let mut conditions = Conditions {
            type_of,
            changes: Vec::new(),
        };
        conditions.of_target(&mut statement);
        let _ = VisitMut::visit(&mut statement, &mut conditions);
        let changes = conditions.changes;
        Ok((!changes.is_empty()).then(|| Sargable {
            sql: statement.to_string(),
            changes,
        }))
    })
}

struct Conditions<'a> {
    type_of: &'a TypeOf<'a>,
    changes: Vec<Change>,
}

impl VisitorMut for Conditions<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let Some(selection) = &mut select.selection {
            self.conjuncts(selection);
        }
        ControlFlow::Continue(())
    }
}

impl Conditions<'_> {
    fn of_target(&mut self, statement: &mut Statement) {
        let selection = match statement {
            Statement::Update(update) => update.selection.as_mut(),
            Statement::Delete(delete) => delete.selection.as_mut(),
            _ => None,
        };
        if let Some(selection) = selection {
            self.conjuncts(selection);
        }
    }

    /// Goes through a chain of ANDs in a loop: chains are as long as ORMs make them.
    fn conjuncts(&mut self, expr: &mut Expr) {
        let mut stack = vec![expr];
        while let Some(mut expr) = stack.pop() {
            while is_nested_and(expr) {
                let Expr::Nested(inner) = expr else { break };
                expr = inner;
            }
            if !is_and(expr) {
                self.condition(expr);
            } else if let Expr::BinaryOp { left, right, .. } = expr {
                stack.push(right);
                stack.push(left);
            }
        }
    }

    fn condition(&mut self, condition: &mut Expr) {
        let Some(found) = convert::condition(condition, self.type_of) else {
            return;
        };
        let Some(after) = parsed(&found.after) else {
            return;
        };
        *condition = Expr::Nested(Box::new(after));
        self.changes.push(found.change);
    }
}

/// Parentheses around an AND, or around more of them.
fn is_nested_and(expr: &Expr) -> bool {
    matches!(expr, Expr::Nested(_)) && is_and(shape::strip(expr))
}

fn is_and(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::BinaryOp {
            op: BinaryOperator::And,
            ..
        }
    )
}

fn parsed(text: &str) -> Option<Expr> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(text).ok()?;
    let expr = parser.parse_expr().ok()?;
    (parser.peek_token().token == Token::EOF).then_some(expr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_of(_: Option<&str>, name: &str) -> Option<String> {
        let types = [
            ("at", "timestamp with time zone"),
            ("local_at", "timestamp without time zone"),
            ("day", "date"),
            ("id", "bigint"),
            ("n", "integer"),
            ("email", "text"),
            ("code", "character varying(20)"),
            ("price", "numeric(10,2)"),
            ("uid", "uuid"),
            ("active", "boolean"),
        ];
        let found = types.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    }

    /// The WHERE clause after rewriting; `None` where nothing changed.
    fn rewritten(condition: &str) -> Option<String> {
        let sql = format!("SELECT id FROM t WHERE {condition}");
        let sargable = rewrite(&sql, &type_of).unwrap()?;
        Some(sargable.sql.split_once("WHERE ").unwrap().1.to_owned())
    }

    #[test]
    fn computations_move_to_the_other_side() {
        for (condition, expect) in [
            (
                "at::date = '2026-01-05'",
                "(at >= '2026-01-05'::DATE AND at < '2026-01-05'::DATE + 1)",
            ),
            (
                "date(at) = CURRENT_DATE",
                "(at >= CURRENT_DATE AND at < CURRENT_DATE + 1)",
            ),
            ("CAST(at AS date) >= $1", "(at >= $1::DATE)"),
            ("at::date > '2026-01-05'", "(at >= '2026-01-05'::DATE + 1)"),
            ("at::date <= '2026-01-05'", "(at < '2026-01-05'::DATE + 1)"),
            (
                "'2026-01-05' = at::date",
                "(at >= '2026-01-05'::DATE AND at < '2026-01-05'::DATE + 1)",
            ),
            (
                "at::date BETWEEN '2026-01-05' AND '2026-01-06'",
                "(at >= '2026-01-05'::DATE AND at < '2026-01-06'::DATE + 1)",
            ),
            (
                "date_trunc('month', local_at) = '2026-01-01'",
                "(local_at >= '2026-01-01'::TIMESTAMP AND local_at < '2026-01-01'::TIMESTAMP + INTERVAL '1 month')",
            ),
            (
                "date_trunc('day', at) >= '2026-01-05 00:00:00'",
                "(at >= '2026-01-05 00:00:00'::TIMESTAMPTZ)",
            ),
            (
                "extract(year from at) = 2025",
                "(at >= make_date(2025, 1, 1) AND at < make_date(2025 + 1, 1, 1))",
            ),
            (
                "date_part('year', day) = $1",
                "(day >= make_date($1::INT, 1, 1) AND day < make_date($1::INT + 1, 1, 1))",
            ),
            (
                "to_char(at, 'YYYY-MM-DD') = '2026-01-05'",
                "(at >= '2026-01-05'::DATE AND at < '2026-01-05'::DATE + 1)",
            ),
            (
                "to_char(at, 'YYYY-MM') = '2026-01'",
                "(at >= '2026-01-01'::DATE AND at < '2026-01-01'::DATE + INTERVAL '1 month')",
            ),
            ("n + 10 > 100", "(n > 100 - 10)"),
            ("n - 10 = 100", "(n = 100 + 10)"),
            (
                "at + interval '7 days' < now()",
                "(at < now() - INTERVAL '7 days')",
            ),
            (
                "now() - at > interval '7 days'",
                "(at < now() - INTERVAL '7 days')",
            ),
            ("id::text = '4711'", "(id = 4711)"),
            ("id::text = ANY($1)", "(id = ANY($1::BIGINT[]))"),
            (
                "uid::text = '0b8a4d2f-1c7e-4d5b-8a79-88990a1b2c3d'",
                "(uid = '0b8a4d2f-1c7e-4d5b-8a79-88990a1b2c3d')",
            ),
            ("left(email, 3) = 'abc'", "(email LIKE 'abc%')"),
            (
                "substring(email from 1 for 3) = 'a_c'",
                r"(email LIKE E'a\\_c%')",
            ),
            ("coalesce(email, '') = 'x'", "(email = 'x')"),
            ("coalesce(n, 0) = 0", "(n = 0 OR n IS NULL)"),
            ("coalesce(active, false)", "(active)"),
            ("id = 12.0", "(id = 12)"),
            ("id = $1::numeric", "(id = $1::BIGINT)"),
        ] {
            assert_eq!(rewritten(condition).as_deref(), Some(expect), "{condition}");
        }
    }

    #[test]
    fn what_would_mean_something_else_stays() {
        for condition in [
            "date_trunc('day', at) = '2026-01-05 12:00'",
            "date_trunc('month', at) = '2026-01-05'",
            "at::date = other_at",
            "day::date = '2026-01-05'",
            "at + interval '1 month' < now()",
            "at::date = '2026-01-05' OR n = 1",
            "NOT at::date = '2026-01-05'",
            "lower(email) = 'x'",
            "email = 'x'",
            "n * 2 = 10",
            "price + 1 = 2",
            "id::text = 'x1'",
            "id::text = '007'",
            "left(email, 4) = 'abc'",
            "left(email, 3) = $1",
            "coalesce(email, '') = $1",
            "coalesce(email, code) = 'x'",
            "id = 12.5",
            "price = 12.0",
            "extract(month from at) = 5",
            "to_char(at, 'YYYY-MM-DD') = 'today'",
            "to_char(at, 'YYYY-MM-DD') = '2026-02-31'",
            "at::date <> '2026-01-05'",
            "n + id > 5",
        ] {
            assert_eq!(rewritten(condition), None, "{condition}");
        }
    }

    #[test]
    fn every_scope_and_every_statement_is_looked_at() {
        for (sql, n) in [
            (
                "DELETE FROM t WHERE at::date < '2026-01-01' AND id::text = '7'",
                2,
            ),
            ("UPDATE t SET n = 1 WHERE (at::date = $1 AND n > 3)", 1),
            (
                "WITH w AS (SELECT id FROM t WHERE at::date = $1) SELECT * FROM w, (SELECT 1 FROM t x WHERE x.n + 1 = 2) y",
                2,
            ),
        ] {
            let found = rewrite(sql, &type_of).unwrap().unwrap();
            assert_eq!(found.changes.len(), n, "{found:?}");
        }
    }

    #[test]
    fn values_are_not_told() {
        let found = rewrite(
            "SELECT 1 FROM t a WHERE a.email IS NOT NULL AND a.at::date = '2026-01-05'",
            &type_of,
        )
        .unwrap()
        .unwrap();
        let change = &found.changes[0];
        assert_eq!(change.before, "a.at::DATE = …");
        assert_eq!(change.after, "a.at >= … AND a.at < … + 1");
        assert_eq!(
            (change.qualifier.as_deref(), change.column.as_str()),
            (Some("a"), "at")
        );
    }
}
