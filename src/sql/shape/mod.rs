//! A query's columns by role: what it reads from which relation, by which conditions, in which order.
//!
//! The bridge between text and judgement: index candidates, N+1 shapes and rewrites all start from a [`QueryShape`], never from the text.

mod model;

pub use model::{
    ColumnRef, Comparison, LimitClause, Operand, Predicate, QueryShape, RelationRef, Scan,
    ScanRole, ShapeError, SortKey, StatementKind, Target,
};
