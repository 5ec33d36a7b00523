//! Text → meaning: the normalising lexer, fingerprints, query shapes, comment tags and rewrites.
//!
//! Pure, and the only user of sqlparser. Text here comes from logs and is hostile: nothing may panic, recurse without
//! bound or take more than linear time.

pub mod canonical;
mod comment;
mod compared;
mod fingerprint;
mod keyword;
mod kind;
mod lexer;
mod normalise;
mod plannable;
mod quote;
pub mod rewrite;
pub mod sargable;
pub mod shape;
mod skeleton;

pub use comment::{tags, trim_comments};
pub use compared::{ComparedColumn, Constant, How, constants};
pub use fingerprint::{Fingerprint, Normalised, normalise};
pub use kind::statement_kind;
pub use lexer::{Lexer, Token, TokenKind};
pub use normalise::{Normaliser, OperandKind, OperandSpan};
pub use plannable::{plannable, without_limit};
pub use quote::{quote_identifier, quote_literal};
pub use shape::{QueryShape, ShapeError, StatementKind, spawn_parser};
pub(crate) use skeleton::{Gap, Skeleton};
