//! Walks a statement and collects its scans: who is read where, under which alias, joined, sorted and limited how.

use sqlparser::ast::{
    self, AssignmentTarget, Distinct, Expr, FromTable, GroupByExpr, Insert, JoinConstraint,
    JoinOperator, MergeAction, MergeUpdateKind, OnConflictAction, OnInsert, OrderByKind, Query,
    Select, SelectItem, SetExpr, Statement, TableFactor, TableObject, TableWithJoins,
    UpdateTableFromKind, Values,
};

use super::{
    ColumnRef, LimitClause, QueryShape, Scan, ScanRole, StatementKind,
    names::{self, Env, Item, Outputs, Resolved, Source, fold},
    roles,
};
use crate::sql::shape::ColumnsOf;

/// The walk's state.
pub(super) struct Builder<'c> {
    /// What is filled.
    pub(super) shape: QueryShape,
    /// The catalog's columns, where there is one.
    pub(super) columns_of: ColumnsOf<'c>,
    next_scope: u32,
}

/// What stands behind a SELECT: ORDER BY and LIMIT of the query around it.
#[derive(Clone, Copy)]
pub(super) struct Tail<'q> {
    pub(super) order_by: Option<&'q ast::OrderBy>,
    pub(super) limit: Option<LimitClause>,
}

impl Tail<'_> {
    const NONE: Self = Self {
        order_by: None,
        limit: None,
    };
}

/// Which scans a condition may filter.
#[derive(Debug, Clone)]
pub(super) enum Filters {
    /// Every scan that it names (WHERE, inner joins).
    All,
    /// Only these: the nullable side of an outer join.
    Only(Vec<u32>),
}

/// Sides of a join whose rows may be replaced by NULLs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outer {
    Neither,
    Right,
    Left,
    Both,
}

impl<'c> Builder<'c> {
    pub(super) fn new(columns_of: ColumnsOf<'c>) -> Self {
        Self {
            shape: QueryShape::default(),
            columns_of,
            next_scope: 0,
        }
    }

    /// A whole statement, also one inside a CTE.
    pub(super) fn statement(&mut self, statement: &Statement, parent: Option<&Env<'_>>) -> Outputs {
        match statement {
            Statement::Query(query) => self.query(query, parent),
            Statement::Insert(insert) => self.insert(insert, parent),
            Statement::Update(update) => self.update(update, parent),
            Statement::Delete(delete) => self.delete(delete, parent),
            Statement::Merge(merge) => self.merge(merge, parent),
            _ => Outputs::default(),
        }
    }

    /// A query with its CTEs, set operations, order and limit.
    pub(super) fn query(&mut self, query: &Query, parent: Option<&Env<'_>>) -> Outputs {
        let mut env = Env::child(parent, 0);
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = fold(&cte.alias.name);
            env.ctes.push((name.clone(), None));
            let outputs = self.query(&cte.query, Some(&env));
            env.ctes.pop();
            env.ctes
                .push((name, Some(outputs.renamed(&alias_columns(&cte.alias)))));
        }
        let tail = Tail {
            order_by: query.order_by.as_ref(),
            limit: roles::limit(query),
        };
        let outputs = self.body(&query.body, tail, &env);
        if tail.limit.is_some() || roles::has_offset(query) {
            outputs.opaque()
        } else {
            outputs
        }
    }

    fn body(&mut self, body: &SetExpr, tail: Tail<'_>, env: &Env<'_>) -> Outputs {
        match body {
            SetExpr::Select(select) => self.select(select, tail, env),
            SetExpr::Query(query) => self.query(query, Some(env)),
            SetExpr::SetOperation { left, right, .. } => {
                let outputs = self.body(left, Tail::NONE, env);
                self.body(right, Tail::NONE, env);
                outputs.opaque()
            }
            SetExpr::Values(values) => self.values(values, env),
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => self.statement(statement, Some(env)).opaque(),
            SetExpr::Table(table) => {
                let relation = super::RelationRef {
                    schema: table.schema_name.clone(),
                    name: table.table_name.clone().unwrap_or_default(),
                };
                let scope = self.new_scope();
                let (scan, columns) = self.scan(relation, None, ScanRole::Read, scope);
                self.scan_mut(scan).all_columns = true;
                star_of(&Source::Base { scan, columns })
            }
        }
    }

    fn select(&mut self, select: &Select, tail: Tail<'_>, parent: &Env<'_>) -> Outputs {
        let mut env = Env::child(Some(parent), self.new_scope());
        for table in &select.from {
            self.table_with_joins(table, &mut env, ScanRole::Read);
        }
        if let Some(selection) = &select.selection {
            self.conditions(selection, &env, &Filters::All);
        }
        let outputs = self.projection(&select.projection, &env);
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            self.touch_all(keys, &env);
        }
        self.touch_all(&select.having, &env);
        if let Some(Distinct::On(keys)) = &select.distinct {
            self.touch_all(keys, &env);
        }
        if let Some(OrderByKind::Expressions(keys)) = tail.order_by.map(|order| &order.kind) {
            for key in keys {
                if roles::output_of(&key.expr, &select.projection).is_none() {
                    self.touch(&key.expr, &env);
                }
            }
        }
        roles::assign(self, select, tail, &env);
        if roles::passes_conditions(select) {
            outputs
        } else {
            outputs.opaque()
        }
    }

    fn values(&mut self, values: &Values, env: &Env<'_>) -> Outputs {
        for row in &values.rows {
            self.touch_all(&row.content, env);
        }
        let width = values.rows.first().map_or(0, |row| row.content.len());
        Outputs {
            columns: (1..=width).map(|n| (format!("column{n}"), None)).collect(),
            stars: Vec::new(),
        }
    }

    /// Registers the output list's columns, and says what each output is.
    fn projection(&mut self, items: &[SelectItem], env: &Env<'_>) -> Outputs {
        let mut outputs = Outputs::default();
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    self.touch(expr, env);
                    let name = roles::output_name(expr);
                    outputs.columns.push((name, column_of(expr, env)));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.touch(expr, env);
                    outputs.columns.push((fold(alias), column_of(expr, env)));
                }
                SelectItem::QualifiedWildcard(
                    ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let alias = names::last(name);
                    let of_alias: Vec<&Item> = env
                        .items
                        .iter()
                        .filter(|item| item.alias == alias)
                        .collect();
                    self.star(&of_alias, &mut outputs);
                }
                SelectItem::Wildcard(_) => {
                    self.star(&env.items.iter().collect::<Vec<_>>(), &mut outputs);
                }
                SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => {}
            }
        }
        outputs
    }

    fn star(&mut self, items: &[&Item], outputs: &mut Outputs) {
        for item in items {
            if let Source::Base { scan, .. } = item.source {
                self.scan_mut(scan).all_columns = true;
            }
            let of_item = star_of(&item.source);
            outputs.columns.extend(of_item.columns);
            outputs.stars.extend(of_item.stars);
        }
    }

    fn table_with_joins(&mut self, table: &TableWithJoins, env: &mut Env<'_>, role: ScanRole) {
        let first = self.shape.scans.len();
        self.factor(&table.relation, env, role);
        for join in &table.joins {
            let left = first..self.shape.scans.len();
            let (outer, constraint) = join_parts(&join.join_operator);
            self.factor(&join.relation, env, ScanRole::Read);
            let right = left.end..self.shape.scans.len();
            let nullable: Vec<u32> = match outer {
                Outer::Neither => Vec::new(),
                Outer::Right => right.clone().map(|at| at as u32).collect(),
                Outer::Left => left.map(|at| at as u32).collect(),
                Outer::Both => (first..right.end).map(|at| at as u32).collect(),
            };
            for &scan in &nullable {
                self.scan_mut(scan).nullable = true;
            }
            let filters = match outer {
                Outer::Neither => Filters::All,
                Outer::Both => Filters::Only(Vec::new()),
                Outer::Left | Outer::Right => Filters::Only(nullable),
            };
            self.join_condition(constraint, env, &filters, right.start as u32);
        }
    }

    fn join_condition(
        &mut self,
        constraint: Option<&JoinConstraint>,
        env: &Env<'_>,
        filters: &Filters,
        right_start: u32,
    ) {
        match constraint {
            Some(JoinConstraint::On(condition)) => self.conditions(condition, env, filters),
            Some(JoinConstraint::Using(columns)) => {
                for column in columns {
                    super::predicate::join_using(
                        self,
                        &names::last(column),
                        env,
                        filters,
                        right_start,
                    );
                }
            }
            Some(JoinConstraint::Natural | JoinConstraint::None) | None => {}
        }
    }

    fn factor(&mut self, factor: &TableFactor, env: &mut Env<'_>, role: ScanRole) {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let item = self.named_table(name, alias.as_ref(), env, role);
                env.items.push(item);
            }
            TableFactor::Derived {
                subquery, alias, ..
            } => {
                let outputs = self.query(subquery, Some(env));
                let columns = alias.as_ref().map(alias_columns).unwrap_or_default();
                env.items.push(Item {
                    alias: alias_name(alias.as_ref()),
                    source: Source::Derived(outputs.renamed(&columns)),
                });
            }
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => {
                self.table_with_joins(table_with_joins, env, role);
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                ..
            } => {
                for arg in &args.args {
                    self.touch(arg, env);
                }
                Self::opaque(alias.as_ref(), &names::last(name), env);
            }
            TableFactor::Function {
                name, args, alias, ..
            } => {
                for arg in args {
                    self.touch(arg, env);
                }
                Self::opaque(alias.as_ref(), &names::last(name), env);
            }
            TableFactor::UNNEST {
                array_exprs, alias, ..
            } => {
                self.touch_all(array_exprs, env);
                Self::opaque(alias.as_ref(), "unnest", env);
            }
            other => {
                self.touch(other, env);
            }
        }
    }

    fn opaque(alias: Option<&ast::TableAlias>, default: &str, env: &mut Env<'_>) {
        let named = alias_name(alias);
        env.items.push(Item {
            alias: if named.is_empty() {
                default.to_owned()
            } else {
                named
            },
            source: Source::Opaque,
        });
    }

    /// A base relation, or a CTE of that name.
    fn named_table(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::TableAlias>,
        env: &Env<'_>,
        role: ScanRole,
    ) -> Item {
        let relation = names::relation(name);
        let given = alias_name(alias);
        let alias_text = if given.is_empty() {
            relation.name.clone()
        } else {
            given
        };
        let columns = alias.map(alias_columns).unwrap_or_default();
        let cte = match relation.schema {
            None => env.cte(&relation.name).cloned(),
            Some(_) => None,
        };
        let source = match cte {
            Some(Some(outputs)) => Source::Derived(outputs.renamed(&columns)),
            Some(None) => Source::Opaque,
            None => {
                let (scan, columns) = self.scan(relation, Some(&alias_text), role, env.number);
                Source::Base { scan, columns }
            }
        };
        Item {
            alias: alias_text,
            source,
        }
    }

    fn insert(&mut self, insert: &Insert, parent: Option<&Env<'_>>) -> Outputs {
        let mut env = Env::child(parent, self.new_scope());
        if let TableObject::TableName(name) = &insert.table {
            let mut item = self.named_table(name, None, &env, ScanRole::InsertInto);
            if let Some(alias) = &insert.table_alias {
                item.alias = fold(&alias.alias);
            }
            env.items.push(item);
        }
        self.shape
            .written_columns
            .extend(insert.columns.iter().map(names::last));
        if let Some(source) = &insert.source {
            if let SetExpr::Values(values) = source.body.as_ref() {
                self.shape.n_value_tuples = values.rows.len() as u32;
            }
            self.query(source, parent);
        } else {
            self.shape.n_value_tuples = 1;
        }
        if let Some(OnInsert::OnConflict(conflict)) = &insert.on
            && let OnConflictAction::DoUpdate(update) = &conflict.action
        {
            self.assignments(&update.assignments, &env);
            self.touch_all(&update.selection, &env);
        }
        self.returning(insert.returning.as_deref(), &env)
    }

    fn update(&mut self, update: &ast::Update, parent: Option<&Env<'_>>) -> Outputs {
        let mut env = Env::child(parent, self.new_scope());
        self.table_with_joins(&update.table, &mut env, ScanRole::Target);
        if let Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) =
            &update.from
        {
            for table in from {
                self.table_with_joins(table, &mut env, ScanRole::Read);
            }
        }
        self.assignments(&update.assignments, &env);
        if let Some(selection) = &update.selection {
            self.conditions(selection, &env, &Filters::All);
        }
        self.returning(update.returning.as_deref(), &env)
    }

    fn delete(&mut self, delete: &ast::Delete, parent: Option<&Env<'_>>) -> Outputs {
        let mut env = Env::child(parent, self.new_scope());
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        for table in from {
            self.table_with_joins(table, &mut env, ScanRole::Target);
        }
        for table in delete.using.iter().flatten() {
            self.table_with_joins(table, &mut env, ScanRole::Read);
        }
        if let Some(selection) = &delete.selection {
            self.conditions(selection, &env, &Filters::All);
        }
        self.returning(delete.returning.as_deref(), &env)
    }

    fn merge(&mut self, merge: &ast::Merge, parent: Option<&Env<'_>>) -> Outputs {
        let mut env = Env::child(parent, self.new_scope());
        self.factor(&merge.table, &mut env, ScanRole::Target);
        self.factor(&merge.source, &mut env, ScanRole::Read);
        self.conditions(&merge.on, &env, &Filters::All);
        for clause in &merge.clauses {
            self.touch_all(&clause.predicate, &env);
            match &clause.action {
                MergeAction::Update(update) => {
                    if let MergeUpdateKind::Set(assignments) = &update.kind {
                        self.assignments(assignments, &env);
                    }
                }
                MergeAction::Insert(insert) => {
                    let columns = insert.columns.iter().map(names::last);
                    self.shape.written_columns.extend(columns);
                }
                MergeAction::Delete { .. } | MergeAction::DoNothing { .. } => {}
            }
        }
        Outputs::default()
    }

    fn assignments(&mut self, assignments: &[ast::Assignment], env: &Env<'_>) {
        for assignment in assignments {
            let written = &mut self.shape.written_columns;
            match &assignment.target {
                AssignmentTarget::ColumnName(name) => written.push(names::last(name)),
                AssignmentTarget::Tuple(columns) => written.extend(columns.iter().map(names::last)),
            }
            self.touch(&assignment.value, env);
        }
    }

    fn returning(&mut self, items: Option<&[SelectItem]>, env: &Env<'_>) -> Outputs {
        items.map_or_else(Outputs::default, |items| self.projection(items, env))
    }

    /// Adds a scan of a base relation.
    fn scan(
        &mut self,
        relation: super::RelationRef,
        alias: Option<&str>,
        role: ScanRole,
        scope: u32,
    ) -> (u32, Option<Vec<String>>) {
        let columns = self.columns_of.and_then(|columns_of| columns_of(&relation));
        let alias = alias.unwrap_or(&relation.name).to_owned();
        self.shape.scans.push(Scan {
            relation,
            alias,
            role,
            scope,
            ..Scan::default()
        });
        (self.shape.scans.len() as u32 - 1, columns)
    }

    /// The scan at that position.
    pub(super) fn scan_mut(&mut self, at: u32) -> &mut Scan {
        &mut self.shape.scans[at as usize]
    }

    fn new_scope(&mut self) -> u32 {
        let scope = self.next_scope;
        self.next_scope += 1;
        scope
    }

    /// Sorts what is a set.
    pub(super) fn finish(mut self, kind: StatementKind) -> QueryShape {
        self.shape.kind = kind;
        for scan in &mut self.shape.scans {
            scan.columns.sort_unstable();
            scan.columns.dedup();
        }
        self.shape
    }
}

/// The base column that an expression is, if it is nothing more.
pub(super) fn column_of(expr: &Expr, env: &Env<'_>) -> Option<ColumnRef> {
    match super::predicate::resolve(expr, env)? {
        Resolved::Column { column, .. } => Some(column),
        _ => None,
    }
}

fn star_of(source: &Source) -> Outputs {
    match source {
        Source::Base {
            scan,
            columns: Some(columns),
        } => Outputs {
            columns: columns
                .iter()
                .map(|name| {
                    let column = ColumnRef {
                        scan: *scan,
                        column: name.clone(),
                    };
                    (name.clone(), Some(column))
                })
                .collect(),
            stars: Vec::new(),
        },
        Source::Base {
            scan,
            columns: None,
        } => Outputs {
            columns: Vec::new(),
            stars: vec![*scan],
        },
        Source::Derived(outputs) => outputs.clone(),
        Source::Opaque => Outputs::default(),
    }
}

fn alias_name(alias: Option<&ast::TableAlias>) -> String {
    alias.map(|alias| fold(&alias.name)).unwrap_or_default()
}

fn alias_columns(alias: &ast::TableAlias) -> Vec<String> {
    alias
        .columns
        .iter()
        .map(|column| fold(&column.name))
        .collect()
}

fn join_parts(operator: &JoinOperator) -> (Outer, Option<&JoinConstraint>) {
    match operator {
        JoinOperator::Join(on) | JoinOperator::Inner(on) | JoinOperator::CrossJoin(on) => {
            (Outer::Neither, Some(on))
        }
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (Outer::Right, Some(on)),
        JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (Outer::Left, Some(on)),
        JoinOperator::FullOuter(on) => (Outer::Both, Some(on)),
        _ => (Outer::Neither, None),
    }
}
