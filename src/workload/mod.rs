//! What ran: a fold over the statement stream into per-fingerprint statistics, windows and bursts.
//!
//! It keeps facts; thresholds and judgement live in `rules`. Every state merges, so that chunks can be folded apart.

mod event;
mod load;
mod model;

pub use event::{Event, Origin, Outcome, Protocol, Sink, Statement};
pub use load::Loads;
pub use model::{
    InputFacts, InputKind, LogStats, PgssEntry, PgssFacts, PgssStats, PlaceholderFacts, Query,
    SkipCount, Workload,
};
