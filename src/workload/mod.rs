//! What ran: a fold over the statement stream into per-fingerprint statistics, windows and bursts.
//!
//! It keeps facts; thresholds and judgement live in `rules`. Every state merges, so that chunks can be folded apart.

mod activity;
#[cfg(test)]
mod activity_tests;
mod burst;
mod chain;
mod coverage;
mod crowd;
mod difference;
mod event;
mod fold;
mod found;
mod histogram;
mod incidents;
mod known;
mod link;
mod load;
mod mixing;
mod model;
mod operands;
mod order;
mod own;
mod pace;
mod people;
mod pgss;
mod prepared;
mod repetition;
mod request;
mod role;
mod round;
mod sampling;
mod sessions;
mod sketch;
mod skips;
mod slow_plans;
mod statistics;
mod stencil;
mod succession;
mod sweep;
mod symbols;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod transaction;
mod value;
mod watched;
mod window;

pub use activity::{ActivityFacts, Slice, TimeSeries};
pub use chain::{Chains, SideBySide};
pub use coverage::Coverage;
pub use difference::{Reading, difference};
pub use event::{
    Event, Fact, FactKind, Origin, Outcome, PlannedBefore, PoolerSide, Protocol, Sink, Statement,
    Who,
};
pub use fold::Fold;
pub use incidents::{Incidents, Measured, PoolerFacts, Times};
pub use link::{Link, is_own_key, link, refers_to, singular};
pub use load::Loads;
pub use mixing::Mixed;
pub use model::{
    InputFacts, InputKind, LetGo, LogStats, ParameterSample, PgssEntry, PgssFacts, PgssStats,
    PlaceholderFacts, ProtocolCounts, Query, Share, SkipCount, Workload,
};
pub use order::KeyOrder;
pub use pace::{Pace, Peak, Series, Stall, Unit, Wait};
pub use prepared::{Phase, PlanPhases};
pub use repetition::{
    Burst, BurstClass, BurstShape, Distinctness, Driver, Moment, Repetition, Spacing, WindowBound,
};
pub use sampling::{Estimate, SampleFacts, Sampling, Schedule, setting_number};
pub use sessions::{ClientSessions, OpenSession, Pauses, SessionFacts};
pub use slow_plans::{LoggedPlan, SlowPlans};
pub use sweep::Concurrency;
pub(crate) use text::json_string;
pub use text::{Escape, Text};
pub(crate) use value::parameters;
pub use watched::{Backend, Blocked, Seen, SeenWait, Watched, Watcher};

pub use role::{is_key, keyed_scan};
