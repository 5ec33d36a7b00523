//! Text → meaning: the normalising lexer, fingerprints, query shapes, comment tags and rewrites.
//!
//! Pure, and the only user of sqlparser. Text here comes from logs and is hostile: nothing may panic, recurse without
//! bound or take more than linear time.

pub mod canonical;
mod fingerprint;
mod quote;
pub mod shape;

pub use fingerprint::Fingerprint;
pub use quote::{quote_identifier, quote_literal};
pub use shape::{QueryShape, ShapeError, StatementKind};
