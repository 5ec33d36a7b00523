//! What a statement calls, wherever it stands: functions, operators, cast types, parameters and row locks.

use std::{collections::BTreeSet, ops::ControlFlow};

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, NonBlock, ObjectName, Query, Statement, TableFactor, Value,
    ValueWithSpan, Visit, Visitor,
};

use super::{QueryShape, names::dotted};

/// Fills the statement-wide facts of `shape`.
pub(super) fn take(statement: &Statement, shape: &mut QueryShape) {
    let mut inventory = Inventory::default();
    let _ = statement.visit(&mut inventory);
    shape.functions = inventory.functions.into_iter().collect();
    shape.operators = inventory.operators.into_iter().collect();
    shape.cast_types = inventory.cast_types.into_iter().collect();
    shape.n_parameters = inventory.n_parameters;
    shape.locks_rows = inventory.locks_rows;
    shape.skips_locked = inventory.skips_locked;
}

#[derive(Default)]
struct Inventory {
    functions: BTreeSet<String>,
    operators: BTreeSet<String>,
    cast_types: BTreeSet<String>,
    n_parameters: u16,
    locks_rows: bool,
    skips_locked: bool,
}

impl Inventory {
    fn function(&mut self, name: &ObjectName) {
        self.functions.insert(dotted(name));
    }

    fn keyword_function(&mut self, name: &str) {
        self.functions.insert(name.to_owned());
    }

    fn operator(&mut self, operator: &BinaryOperator) {
        let text = match operator {
            BinaryOperator::PGCustomBinaryOperator(parts) => parts.join("."),
            other => other.to_string().to_lowercase(),
        };
        if !matches!(text.as_str(), "and" | "or") {
            self.operators.insert(text);
        }
    }

    fn cast(&mut self, data_type: &DataType) {
        self.cast_types.insert(data_type.to_string().to_lowercase());
    }
}

impl Visitor for Inventory {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.function(&function.name),
            Expr::BinaryOp { op, .. } => self.operator(op),
            Expr::AnyOp { compare_op, .. } | Expr::AllOp { compare_op, .. } => {
                self.operator(compare_op);
            }
            Expr::UnaryOp { op, .. } => {
                let text = op.to_string().to_lowercase();
                if text != "not" {
                    self.operators.insert(text);
                }
            }
            Expr::Like { .. } => self.operators.extend(["~~".to_owned()]),
            Expr::ILike { .. } => self.operators.extend(["~~*".to_owned()]),
            Expr::SimilarTo { .. } => self.operators.extend(["~".to_owned()]),
            Expr::Cast { data_type, .. } => self.cast(data_type),
            Expr::TypedString(typed) => self.cast(&typed.data_type),
            Expr::Extract { .. } => self.keyword_function("extract"),
            Expr::Substring { .. } => self.keyword_function("substring"),
            Expr::Position { .. } => self.keyword_function("position"),
            Expr::Overlay { .. } => self.keyword_function("overlay"),
            Expr::Trim { .. } => self.keyword_function("btrim"),
            Expr::Ceil { .. } => self.keyword_function("ceil"),
            Expr::Floor { .. } => self.keyword_function("floor"),
            Expr::AtTimeZone { .. } => self.keyword_function("timezone"),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Function { name, .. }
            | TableFactor::Table {
                name,
                args: Some(_),
                ..
            } => {
                self.function(name);
            }
            TableFactor::UNNEST { .. } => self.keyword_function("unnest"),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.locks_rows |= !query.locks.is_empty();
        self.skips_locked |= query
            .locks
            .iter()
            .any(|lock| matches!(lock.nonblock, Some(NonBlock::SkipLocked)));
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(text) = &value.value {
            self.n_parameters = self.n_parameters.max(super::names::parameter_number(text));
        }
        ControlFlow::Continue(())
    }
}
