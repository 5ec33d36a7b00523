//! Which aggregates and window functions an output list calls, and what an aggregate answers where there are no rows.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, SelectItem, Visit, Visitor};

use super::{answer::Cells, projection};
use crate::sql::shape::{dotted, strip};

/// Aggregates that are built in, sorted.
const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// What an output list calls, subqueries aside.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) aggregates: bool,
    pub(super) windows: bool,
    depth: u32,
}

pub(super) fn calls(projection: &Vec<SelectItem>) -> Calls {
    let mut calls = Calls::default();
    let _ = projection.visit(&mut calls);
    calls
}

fn name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Function(function) if function.over.is_none() => {
            let name = dotted(&function.name);
            Some(name.rsplit('.').next().unwrap_or_default().to_owned())
        }
        _ => None,
    }
}

fn is_aggregate(expr: &Expr) -> bool {
    name(expr).is_some_and(|name| AGGREGATES.binary_search(&name.as_str()).is_ok())
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            self.aggregates |= is_aggregate(expr);
            self.windows |= matches!(expr, Expr::Function(function) if function.over.is_some());
        }
        ControlFlow::Continue(())
    }
}

/// The one row of an ungrouped aggregate over nothing; `None` where an output is more than one aggregate.
pub(super) fn absent(projection: &[SelectItem]) -> Option<Cells> {
    projection
        .iter()
        .map(|item| {
            let mut expr = strip(projection::output_expr(item)?);
            while let Expr::Cast { expr: inner, .. } = expr {
                expr = strip(inner);
            }
            if !is_aggregate(expr) {
                return None;
            }
            Some((name(expr)? == "count").then(|| "0".to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn aggregates_are_sorted() {
        assert!(super::AGGREGATES.is_sorted());
    }
}
