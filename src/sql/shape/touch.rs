//! Registers every column that an expression reads, and analyses the subqueries inside it.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Visit, Visitor};

use super::{
    build::Builder,
    names::{Env, Resolved},
    predicate::resolve,
};

impl Builder<'_> {
    /// Notes the columns that `node` reads under `env`; subqueries inside become scans of their own.
    pub(super) fn touch<N: Visit>(&mut self, node: &N, env: &Env<'_>) {
        let mut toucher = Toucher {
            builder: self,
            env,
            n_open_queries: 0,
        };
        let _ = node.visit(&mut toucher);
    }

    /// The same for each of several.
    pub(super) fn touch_all<'n, N: Visit + 'n>(
        &mut self,
        nodes: impl IntoIterator<Item = &'n N>,
        env: &Env<'_>,
    ) {
        for node in nodes {
            self.touch(node, env);
        }
    }

    /// Notes what a reference reads.
    pub(super) fn note(&mut self, resolved: Resolved) {
        match resolved {
            Resolved::Column { column, .. } => {
                self.scan_mut(column.scan).columns.push(column.column);
            }
            Resolved::Row(scan) => self.scan_mut(scan).all_columns = true,
            Resolved::Unsure => self.shape.has_unresolved = true,
            Resolved::Computed => {}
        }
    }
}

struct Toucher<'b, 'c, 'e> {
    builder: &'b mut Builder<'c>,
    env: &'e Env<'e>,
    /// Subqueries that the visitor is inside of: they are walked with names of their own, not by this visitor.
    n_open_queries: usize,
}

impl Visitor for Toucher<'_, '_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if self.n_open_queries == 0 {
            self.builder.query(query, Some(self.env));
        }
        self.n_open_queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.n_open_queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.n_open_queries == 0
            && let Some(resolved) = resolve(expr, self.env)
        {
            self.builder.note(resolved);
        }
        ControlFlow::Continue(())
    }
}
