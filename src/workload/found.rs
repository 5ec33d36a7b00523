//! The query whose rows drive a group of repeats, as far as it was found.

use super::{Driver, link::Link, window::Step};

/// The driver that was found for a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) driver: Driver,
    pub(super) step: Step,
    /// Its group, when it stands in the window.
    pub(super) group: Option<usize>,
}

/// What may drive a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drivers {
    /// The best for the group as a whole.
    pub(super) group: Option<Found>,
    /// For what ran before that one did: the window may have begun within a loop.
    pub(super) before: Option<Found>,
}

/// How well a query fits as driver: the greatest is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) link: Link,
    pub(super) leads: bool,
    pub(super) lists: bool,
    pub(super) before: bool,
    pub(super) at: u32,
}
