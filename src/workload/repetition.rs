//! Repetitions: which statements came again and again within one window (pseudo-request), and under what circumstances.
//!
//! Facts only. A *burst* is two or more executions of one fingerprint in one window, behind the query that may have driven them. Bursts that
//! agree in everything a rule may ask are counted together in a [`BurstClass`], so memory is bounded whatever the log's size, and a
//! rule judges whole classes.

use serde::{Deserialize, Serialize};

use super::{Chains, Mixed, Share, SideBySide};
use crate::sql::Fingerprint;

/// What bounds a window.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum WindowBound {
    /// One request id in the statements' comments; may span sessions.
    Tag,
    /// One transaction with at least two statements.
    Transaction,
    /// Consecutive statements of one session without an idle gap.
    #[default]
    Idle,
    /// Consecutive statements of several sessions of one client that ran side by side.
    Parallel,
}

/// Where the query stands whose rows may drive the loop.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// Nothing before the burst that could drive it.
    #[default]
    None,
    /// Up to 2 s before the window, in the same session.
    Before,
    /// In the window.
    Within,
}

/// Idle time between two statements of the burst, median. Idle is when neither this nor another statement of the window ran.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Every start follows the last within 0.2 ms: the client did not wait for answers (pipeline), or is very close.
    Pipelined,
    /// Below 4 ms.
    #[default]
    Tight,
    /// Below 30 ms.
    Loose,
    /// 30 ms and more.
    Slow,
    /// The log's clock ticks in seconds.
    Unknown,
}

/// How many different keys.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Distinctness {
    /// Always the same.
    #[default]
    One,
    /// Two.
    Two,
    /// At least three, fewer than a tenth of the repeats.
    Few,
    /// At least three, fewer than half of the repeats.
    Some,
    /// Half of the repeats or more.
    Most,
}

/// All that a rule may ask of a burst.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct BurstShape {
    /// What bounds the window.
    pub bound: WindowBound,
    /// The query whose rows may drive the loop.
    pub driver: Driver,
    /// Its fingerprint.
    pub parent: Option<Fingerprint>,
    /// Repeats, rounded down to 2, 3 … 10, 15, 20, 30, 50, 100.
    pub repeats: u32,
    /// Different keys.
    pub distinct: Distinctness,
    /// Idle time between repeats.
    pub spacing: Spacing,
    /// Gaps between repeats vary by less than their mean.
    pub regular: bool,
    /// No gap is much shorter than the median: the client waits for a round trip, not for people.
    #[serde(default)]
    pub steady: bool,
    /// Keys are integers that only grow: rows in key order drive the loop.
    pub ascending: bool,
    /// Repeats (or distinct keys) equal the driver's LIMIT.
    pub fills_limit: bool,
    /// More repeats than the driver's LIMIT gives rows, and no multiple of it.
    #[serde(default)]
    pub overruns: bool,
    /// Operands that page (LIMIT, OFFSET, ranges) vary from repeat to repeat.
    pub pages: bool,
    /// Another statement alternates with it one to one, and nothing precedes the cycle.
    pub lockstep: bool,
    /// A query that lists rows without this burst's key stands between most repeats: requests, not a loop.
    pub list_between: bool,
    /// A write to the same relation follows most repeats: read-modify-write, reported for the write.
    pub written_back: bool,
    /// The same relation was read with a row lock before most repeats: a worker.
    pub locked_before: bool,
    /// The same fingerprint also came with several keys at once: a data loader.
    pub batched: bool,
    /// DDL in the window or just before: a migration or a seed.
    pub ddl: bool,
    /// Equal keys stand side by side: a few look-ups of one request each.
    pub runs: bool,
    /// More than a quarter of the statements around the repeats have nothing to do with the loop.
    pub foreign: bool,
    /// A test's: its client or its tags say so, or its transaction was undone though nothing had failed.
    #[serde(default)]
    pub test: bool,
    /// Its tags name a route, controller or job.
    #[serde(default)]
    pub routed: bool,
    /// In a test: nothing but the loop's own statements stands between the driver and the first repeat.
    #[serde(default)]
    pub follows: bool,
    /// A look-up of one row, itself not clearly driven, precedes each repeat and gives its key: requests of two look-ups each.
    pub sourced: bool,
}

/// Bursts of one child that agree in their shape, added up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BurstClass {
    /// What they agree in.
    pub shape: BurstShape,
    /// How many.
    pub n_bursts: u64,
    /// Executions in them.
    pub n_repeats: u64,
    /// The longest.
    pub n_repeats_max: u64,
    /// Sum over bursts of distinct keys.
    pub n_distinct: u64,
    /// Time of the executions whose duration is known, microseconds.
    pub total_us: u64,
    /// From the first start to the last end, summed, microseconds.
    pub span_us: u64,
    /// Placeholders (0-based, of the key) that varied within a burst, as a bit set.
    pub varying: u64,
    /// Sessions of the first bursts, in order, without duplicates (at most 100).
    pub sessions: Vec<String>,
    /// Applications, most frequent first.
    pub applications: Vec<Share>,
    /// Tags as `key=value`, most frequent first.
    pub tags: Vec<Share>,
    /// The first bursts (at most 100).
    pub samples: Vec<Burst>,
    /// The first burst's statements: first and last few.
    pub timeline: Vec<Moment>,
}

/// One burst.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// Session as the log names it.
    pub session: String,
    /// First start, microseconds since the epoch.
    pub start_us: i64,
    /// Last end, microseconds since the epoch.
    pub end_us: i64,
    /// Repeats.
    pub n_repeats: u64,
    /// File (position in the run's inputs) and 1-based line of the first repeat.
    pub origin: (u32, u64),
}

/// One statement of a burst's timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The statement.
    pub query: Fingerprint,
    /// Start, microseconds since the epoch.
    pub start_us: i64,
    /// Duration where the log has it.
    pub duration_us: Option<u64>,
    /// Repeats left out after this one.
    pub n_omitted: u64,
}

/// All bursts of one fingerprint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Repetition {
    /// The repeated statement.
    pub child: Fingerprint,
    /// Windows in which it was executed at all.
    pub n_windows: u64,
    /// How its executions follow each other where only idle time bounds windows.
    #[serde(default)]
    pub chains: Chains,
    /// Its executions where several sessions of one client ran side by side.
    #[serde(default)]
    pub side_by_side: SideBySide,
    /// What can be told of it where requests share sessions statement by statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed: Option<Box<Mixed>>,
    /// Its bursts by shape, sorted by shape.
    pub classes: Vec<BurstClass>,
    /// Bursts beyond the bound of classes kept apart.
    pub n_unclassified: u64,
}
