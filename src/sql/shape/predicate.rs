//! Conditions → predicates: which scan's column is compared with what, normalised so that the column stands left.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator as Op, Expr, Query, SelectItem, SetExpr, UnaryOperator, Visit, Visitor,
};

use super::{
    ColumnRef, Comparison, Operand, Predicate, Target,
    build::{Builder, Filters, column_of},
    names::{Env, Resolved, fold},
    render::{constant, flatten, strip, unqualified},
};

/// What a reference expression means; `None` for anything but a reference.
pub(super) fn resolve(expr: &Expr, env: &Env<'_>) -> Option<Resolved> {
    match expr {
        Expr::Identifier(ident) => Some(env.bare(&fold(ident))),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., alias, column] => Some(env.qualified(&fold(alias), &fold(column))),
            _ => None,
        },
        Expr::Nested(inner) => resolve(inner, env),
        _ => None,
    }
}

/// One side of a comparison.
struct Side<'e> {
    expr: &'e Expr,
    /// Local scans that it reads.
    scans: Vec<u32>,
    /// Reads columns of an enclosing query, or of nobody knows whom.
    is_foreign: bool,
    has_subquery: bool,
}

impl<'e> Side<'e> {
    fn of(expr: &'e Expr, env: &Env<'_>) -> Self {
        let expr = strip(expr);
        let mut reads = Reads {
            env,
            scans: Vec::new(),
            is_foreign: false,
            n_open_queries: 0,
            has_subquery: false,
        };
        let _ = expr.visit(&mut reads);
        reads.scans.sort_unstable();
        reads.scans.dedup();
        Self {
            expr,
            scans: reads.scans,
            is_foreign: reads.is_foreign,
            has_subquery: reads.has_subquery,
        }
    }

    /// Scan and target when this side is a column, or an expression over columns of one scan and nothing else.
    fn target(&self, env: &Env<'_>) -> Option<(u32, Target)> {
        let [scan] = self.scans.as_slice() else {
            return None;
        };
        if self.is_foreign || self.has_subquery {
            return None;
        }
        let target = match column_of(self.expr, env) {
            Some(column) => Target::Column(column.column),
            None => Target::Expression(unqualified(self.expr, env)),
        };
        Some((*scan, target))
    }

    /// What the other side is compared with when this side is not the target.
    fn operand(&self, env: &Env<'_>) -> Operand {
        if let Some(operand) = constant(self.expr) {
            return operand;
        }
        match column_of(self.expr, env) {
            Some(column) => Operand::Column(column),
            None => Operand::Expression(self.expr.to_string()),
        }
    }
}

/// Scan and target of a sort or group key, when it is of one scan alone.
pub(super) fn target_of(expr: &Expr, env: &Env<'_>) -> Option<(u32, Target)> {
    Side::of(expr, env).target(env)
}

/// Collects which scans an expression reads.
struct Reads<'e, 'p> {
    env: &'e Env<'p>,
    scans: Vec<u32>,
    is_foreign: bool,
    n_open_queries: usize,
    has_subquery: bool,
}

impl Visitor for Reads<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.n_open_queries += 1;
        self.has_subquery = true;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.n_open_queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.n_open_queries > 0 || matches!(expr, Expr::Nested(_)) {
            return ControlFlow::Continue(());
        }
        match resolve(expr, self.env) {
            Some(Resolved::Column {
                column,
                local: true,
            }) => self.scans.push(column.scan),
            Some(_) => self.is_foreign = true,
            None => {}
        }
        ControlFlow::Continue(())
    }
}

impl Builder<'_> {
    /// Splits a condition at its top-level ANDs and files each part with the scans that it filters.
    pub(super) fn conditions(&mut self, condition: &Expr, env: &Env<'_>, filters: &Filters) {
        for part in flatten(condition, &Op::And) {
            if let Expr::InSubquery {
                expr,
                subquery,
                negated,
            } = part
            {
                self.touch(expr.as_ref(), env);
                let outputs = self.query(subquery, Some(env));
                if !negated {
                    let only = outputs.columns.first().and_then(|(_, base)| base.clone());
                    self.in_subquery(expr, only, env, filters);
                }
                continue;
            }
            self.touch(part, env);
            let found = classify(part, env);
            if found.is_empty() {
                self.other(part, env, filters);
            }
            for (scan, predicate) in found {
                self.file(scan, predicate, filters);
            }
        }
    }

    /// `x IN (SELECT y …)` joins x with y; both ends may use an index.
    fn in_subquery(
        &mut self,
        expr: &Expr,
        inner: Option<ColumnRef>,
        env: &Env<'_>,
        filters: &Filters,
    ) {
        let outer = Side::of(expr, env).target(env);
        let Some((scan, target)) = outer else {
            return;
        };
        let Some(inner) = inner else {
            let operand = Operand::Expression("subquery".to_owned());
            self.file(
                scan,
                predicate(target, Comparison::In, operand, "="),
                filters,
            );
            return;
        };
        if let Target::Column(column) = &target {
            let back = ColumnRef {
                scan,
                column: column.clone(),
            };
            let at = inner.scan;
            let reverse = predicate(
                Target::Column(inner.column.clone()),
                Comparison::Equal,
                Operand::Column(back),
                "=",
            );
            self.file(at, reverse, &Filters::All);
        }
        let forward = predicate(target, Comparison::In, Operand::Column(inner), "=");
        self.file(scan, forward, filters);
    }

    /// Files a predicate. On the nullable side of an outer join, IS NULL in WHERE means "no partner" and filters nothing.
    fn file(&mut self, scan: u32, predicate: Predicate, filters: &Filters) {
        let here = match filters {
            Filters::All => true,
            Filters::Only(scans) => scans.contains(&scan),
        };
        let at = self.scan_mut(scan);
        let no_partner = at.nullable
            && predicate.comparison == Comparison::IsNull
            && matches!(filters, Filters::All);
        if no_partner {
            at.other_conditions
                .push(format!("{} IS NULL", predicate.target));
        } else if here && !at.predicates.contains(&predicate) {
            at.predicates.push(predicate);
        }
    }

    /// A condition that is no single comparison: an OR whose branches are each indexable, or just text.
    fn other(&mut self, part: &Expr, env: &Env<'_>, filters: &Filters) {
        if let Some((scan, branches)) = alternatives(part, env) {
            match same_target(&branches) {
                Some(folded) => self.file(scan, folded, filters),
                None if matches!(filters, Filters::All) => {
                    self.scan_mut(scan).any_of.push(branches);
                }
                None => {}
            }
            return;
        }
        let side = Side::of(part, env);
        let text = unqualified(part, env);
        for scan in side.scans {
            self.scan_mut(scan).other_conditions.push(text.clone());
        }
    }
}

/// `USING (column)`: the left side's column of that name equals the right side's.
pub(super) fn join_using(
    builder: &mut Builder<'_>,
    column: &str,
    env: &Env<'_>,
    filters: &Filters,
    right_start: u32,
) {
    let bases: Vec<ColumnRef> = env
        .items
        .iter()
        .filter_map(|item| match env.qualified(&item.alias, column) {
            Resolved::Column {
                column,
                local: true,
            } => Some(column),
            _ => None,
        })
        .collect();
    let left: Vec<&ColumnRef> = bases.iter().filter(|c| c.scan < right_start).collect();
    let right: Vec<&ColumnRef> = bases.iter().filter(|c| c.scan >= right_start).collect();
    for column in &bases {
        builder
            .scan_mut(column.scan)
            .columns
            .push(column.column.clone());
    }
    if let ([left], [right]) = (left.as_slice(), right.as_slice()) {
        for (one, other) in [(left, right), (right, left)] {
            let target = Target::Column(one.column.clone());
            let operand = Operand::Column((*other).clone());
            builder.file(
                one.scan,
                predicate(target, Comparison::Equal, operand, "="),
                filters,
            );
        }
    }
}

fn predicate(
    target: Target,
    comparison: Comparison,
    operand: Operand,
    operator: &str,
) -> Predicate {
    Predicate {
        target,
        comparison,
        operand,
        operator: operator.to_owned(),
    }
}

/// The predicates that one AND-ed part means, each with its scan; empty when it is none.
fn classify(part: &Expr, env: &Env<'_>) -> Vec<(u32, Predicate)> {
    match strip(part) {
        Expr::BinaryOp { left, op, right } => binary(left, op, right, env),
        Expr::InList {
            expr,
            list,
            negated,
        } => in_list(expr, list, *negated, env),
        Expr::AnyOp {
            left,
            compare_op: Op::Eq,
            right,
            ..
        } => equals_any(left, right, env),
        Expr::Between {
            expr,
            negated: false,
            low,
            high,
        } => between(expr, low, high, env),
        Expr::IsNull(inner) => alone(inner, Comparison::IsNull, Operand::None, "IS NULL", env),
        Expr::IsNotNull(inner) => alone(
            inner,
            Comparison::IsNotNull,
            Operand::None,
            "IS NOT NULL",
            env,
        ),
        Expr::IsTrue(inner) => boolean(inner, "true", env),
        Expr::IsFalse(inner) => boolean(inner, "false", env),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => match strip(expr) {
            plain @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => {
                boolean(plain, "false", env)
            }
            _ => Vec::new(),
        },
        plain @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => boolean(plain, "true", env),
        Expr::Like {
            negated: false,
            any: false,
            expr,
            pattern,
            ..
        } => compare(expr, Comparison::Like, "~~", pattern, env),
        Expr::ILike {
            negated: false,
            any: false,
            expr,
            pattern,
            ..
        } => compare(expr, Comparison::ILike, "~~*", pattern, env),
        Expr::SimilarTo {
            negated: false,
            expr,
            pattern,
            ..
        } => compare(expr, Comparison::Regex, "SIMILAR TO", pattern, env),
        _ => Vec::new(),
    }
}

fn alone(
    expr: &Expr,
    comparison: Comparison,
    operand: Operand,
    operator: &str,
    env: &Env<'_>,
) -> Vec<(u32, Predicate)> {
    Side::of(expr, env)
        .target(env)
        .map(|(scan, target)| (scan, predicate(target, comparison, operand, operator)))
        .into_iter()
        .collect()
}

fn boolean(expr: &Expr, value: &str, env: &Env<'_>) -> Vec<(u32, Predicate)> {
    let operand = Operand::Literal(value.to_owned());
    alone(expr, Comparison::IsBool, operand, "IS", env)
}

fn in_list(expr: &Expr, list: &[Expr], negated: bool, env: &Env<'_>) -> Vec<(u32, Predicate)> {
    let comparison = if negated {
        Comparison::NotEqual
    } else {
        Comparison::In
    };
    if let Expr::Tuple(columns) = strip(expr) {
        let operand = || Operand::List(list.len() as u32);
        return match comparison {
            Comparison::In => columns
                .iter()
                .flat_map(|column| alone(column, Comparison::In, operand(), "=", env))
                .collect(),
            _ => Vec::new(),
        };
    }
    let reads_columns = list.iter().any(|element| {
        let side = Side::of(element, env);
        !side.scans.is_empty() || side.is_foreign || side.has_subquery
    });
    if reads_columns {
        return Vec::new();
    }
    alone(expr, comparison, Operand::List(list.len() as u32), "=", env)
}

/// `x = ANY ($1)`, `x = ANY (ARRAY[…])`, and `$1 = ANY (tags)`, which only array operators could serve.
fn equals_any(left: &Expr, right: &Expr, env: &Env<'_>) -> Vec<(u32, Predicate)> {
    if let Expr::Subquery(_) = strip(right) {
        return Vec::new();
    }
    let array = Side::of(right, env);
    if !array.scans.is_empty() || array.is_foreign {
        return alone(
            right,
            Comparison::Other,
            Side::of(left, env).operand(env),
            "= ANY",
            env,
        );
    }
    let n = match array.operand(env) {
        Operand::List(n) => n,
        _ => 0,
    };
    alone(left, Comparison::In, Operand::List(n), "=", env)
}

fn between(expr: &Expr, low: &Expr, high: &Expr, env: &Env<'_>) -> Vec<(u32, Predicate)> {
    let bounds = [Side::of(low, env), Side::of(high, env)];
    if bounds.iter().any(|side| !side.scans.is_empty()) {
        return Vec::new();
    }
    let operand = Operand::Expression(format!("{low} AND {high}"));
    alone(expr, Comparison::Between, operand, "BETWEEN", env)
}

fn binary(left: &Expr, op: &Op, right: &Expr, env: &Env<'_>) -> Vec<(u32, Predicate)> {
    if let (Expr::Tuple(left), Expr::Tuple(right)) = (strip(left), strip(right)) {
        return rows(left, op, right, env);
    }
    match comparison(op) {
        Some(comparison) => compare(left, comparison, &op.to_string(), right, env),
        None => Vec::new(),
    }
}

/// Row comparisons: `(a, b) = (x, y)` compares each, `(a, b) > (x, y)` is a keyset.
fn rows(left: &[Expr], op: &Op, right: &[Expr], env: &Env<'_>) -> Vec<(u32, Predicate)> {
    let comparison = match op {
        Op::Eq => Comparison::Equal,
        Op::Gt | Op::GtEq => Comparison::RowGreater,
        Op::Lt | Op::LtEq => Comparison::RowLess,
        _ => return Vec::new(),
    };
    left.iter()
        .zip(right)
        .flat_map(|(left, right)| compare(left, comparison, &op.to_string(), right, env))
        .collect()
}

/// A comparison from both ends: each side that is a column (or expression) of one scan becomes a predicate of that scan.
fn compare(
    left: &Expr,
    comparison: Comparison,
    operator: &str,
    right: &Expr,
    env: &Env<'_>,
) -> Vec<(u32, Predicate)> {
    let (left, right) = (Side::of(left, env), Side::of(right, env));
    let shares_scan = left.scans.iter().any(|scan| right.scans.contains(scan));
    if shares_scan {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Some((scan, target)) = left.target(env) {
        let operand = right.operand(env);
        found.push((scan, predicate(target, comparison, operand, operator)));
    }
    if let Some((scan, target)) = right.target(env) {
        let (comparison, operator) = flipped(comparison, operator);
        let operand = left.operand(env);
        found.push((scan, predicate(target, comparison, operand, &operator)));
    }
    found
}

fn comparison(op: &Op) -> Option<Comparison> {
    Some(match op {
        Op::Eq => Comparison::Equal,
        Op::NotEq => Comparison::NotEqual,
        Op::Lt | Op::LtEq => Comparison::Less,
        Op::Gt | Op::GtEq => Comparison::Greater,
        Op::PGLikeMatch => Comparison::Like,
        Op::PGILikeMatch => Comparison::ILike,
        Op::PGRegexMatch | Op::PGRegexIMatch => Comparison::Regex,
        Op::AtArrow => Comparison::Contains,
        Op::ArrowAt => Comparison::ContainedBy,
        Op::PGOverlap => Comparison::Overlaps,
        Op::Question | Op::QuestionAnd | Op::QuestionPipe => Comparison::HasKey,
        Op::AtAt | Op::AtQuestion => Comparison::Match,
        Op::PGCustomBinaryOperator(parts) => match parts.last().map(String::as_str) {
            Some("=") => Comparison::Equal,
            Some("<" | "<=") => Comparison::Less,
            Some(">" | ">=") => Comparison::Greater,
            Some("@>") => Comparison::Contains,
            _ => Comparison::Other,
        },
        Op::And | Op::Or | Op::Xor => return None,
        _ => Comparison::Other,
    })
}

/// The comparison with its sides swapped.
fn flipped(comparison: Comparison, operator: &str) -> (Comparison, String) {
    use Comparison as C;
    let swapped = match comparison {
        C::Less => C::Greater,
        C::Greater => C::Less,
        C::RowLess => C::RowGreater,
        C::RowGreater => C::RowLess,
        C::Contains => C::ContainedBy,
        C::ContainedBy => C::Contains,
        C::Equal | C::NotEqual | C::Overlaps | C::Match => comparison,
        _ => C::Other,
    };
    let operator = match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        "@>" => "<@",
        "<@" => "@>",
        other => other,
    };
    (swapped, operator.to_owned())
}

/// The branches of an OR, if each is exactly one predicate and all are of one scan.
fn alternatives(part: &Expr, env: &Env<'_>) -> Option<(u32, Vec<Predicate>)> {
    let branches = flatten(part, &Op::Or);
    if branches.len() < 2 {
        return None;
    }
    let mut of_scan = None;
    let mut predicates = Vec::new();
    for branch in branches {
        let found = classify(branch, env);
        let [(scan, predicate)] = <[_; 1]>::try_from(found).ok()?;
        if *of_scan.get_or_insert(scan) != scan || matches!(predicate.operand, Operand::Column(_)) {
            return None;
        }
        predicates.push(predicate);
    }
    Some((of_scan?, predicates))
}

/// `a = 1 OR a = 2 OR a IN (3, 4)` is `a IN (…)`.
fn same_target(branches: &[Predicate]) -> Option<Predicate> {
    let first = branches.first()?;
    let mut n = 0;
    for branch in branches {
        match (branch.comparison, &branch.operand) {
            _ if branch.target != first.target => return None,
            (Comparison::Equal, _) => n += 1,
            (Comparison::In, Operand::List(elements)) => n += elements,
            _ => return None,
        }
    }
    Some(predicate(
        first.target.clone(),
        Comparison::In,
        Operand::List(n),
        "=",
    ))
}

/// Is the query's output one plain constant, as in `SELECT 1 FROM …`?
pub(super) fn outputs_constant(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => match select.projection.as_slice() {
            [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => {
                !select.from.is_empty() && constant(expr).is_some()
            }
            _ => false,
        },
        _ => false,
    }
}
