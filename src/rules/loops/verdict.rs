//! The judgement: is a class of bursts a loop over rows, and how sure is that?

use crate::{
    finding::Confidence,
    rules::Settings,
    sql::StatementKind,
    workload::{BurstShape, Distinctness, Driver, Link, Query, Spacing, WindowBound},
};

/// Repeats in one window before a burst counts. Below, pages that load a few related rows by different code dominate.
const MIN_REPEATS: u64 = 5;
/// Repeats in one test before a burst counts whose driver is linked by key and directly before it.
const MIN_TEST_REPEATS: u64 = 2;
/// Repeats before a burst counts that nothing but its rhythm speaks for.
const MIN_UNDRIVEN_REPEATS: u64 = 10;

/// What a class of bursts is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A loop.
    Loop(Confidence),
    /// Would be one, with more repeats.
    TooShort,
    /// Something else.
    No,
}

/// Judges one class of bursts of `child`.
pub(super) fn verdict(
    settings: &Settings,
    child: &Query,
    shape: &BurstShape,
    link: Link,
) -> Verdict {
    if excused(child, shape) || doubtful(shape) {
        return Verdict::No;
    }
    let confidence = match child.kind {
        StatementKind::Select => read_confidence(shape, link),
        _ => write_confidence(shape, link),
    };
    let Some(confidence) = confidence else {
        return Verdict::No;
    };
    // a test's factories write row by row on purpose
    if shape.test && !shape.routed && child.kind != StatementKind::Select {
        return Verdict::No;
    }
    if u64::from(shape.repeats) < least_repeats(settings, child, shape, link) {
        Verdict::TooShort
    } else if u64::from(shape.repeats) < min_repeats(settings) {
        Verdict::Loop(Confidence::Medium)
    } else {
        Verdict::Loop(confidence)
    }
}

/// Repeats in one window before a burst counts.
pub(super) fn min_repeats(settings: &Settings) -> u64 {
    settings.min_repeats.unwrap_or(MIN_REPEATS)
}

/// The same in a test, whose fixtures have two or three rows, where the unit of work and the driver are known.
fn least_repeats(settings: &Settings, child: &Query, shape: &BurstShape, link: Link) -> u64 {
    let bounded = matches!(shape.bound, WindowBound::Tag | WindowBound::Transaction);
    let driven = shape.driver == Driver::Within && link == Link::ForeignKey && shape.follows;
    if shape.test && bounded && driven && child.kind == StatementKind::Select {
        settings.min_repeats.unwrap_or(MIN_TEST_REPEATS)
    } else {
        min_repeats(settings)
    }
}

/// What looks like a loop and is none.
pub(super) fn excused(child: &Query, shape: &BurstShape) -> bool {
    let same_rows = match child.kind {
        // the same values may be inserted again and again
        StatementKind::Insert => false,
        _ => matches!(
            shape.distinct,
            Distinctness::One | Distinctness::Two | Distinctness::Few
        ),
    };
    // few rows have few keys
    let two_of_two = shape.distinct == Distinctness::Two
        && (shape.repeats == 2 || (shape.test && shape.repeats <= 4));
    (same_rows && !two_of_two)
        || shape.pages
        || shape.list_between
        || shape.written_back
        || shape.locked_before
        || shape.batched
        || (shape.ddl && child.kind != StatementKind::Select)
}

/// In a window that only idle time bounds, other requests' statements may stand between those of a loop.
pub(super) fn doubtful(shape: &BurstShape) -> bool {
    let bounded = matches!(shape.bound, WindowBound::Tag | WindowBound::Transaction);
    !bounded && !shape.fills_limit && (shape.foreign || shape.sourced || shape.overruns)
}

/// A read: a driver linked by key is what convinces; windows that surely are one unit of work stand by themselves.
fn read_confidence(shape: &BurstShape, link: Link) -> Option<Confidence> {
    let linked = link == Link::ForeignKey && shape.driver != Driver::None;
    let quick = matches!(shape.spacing, Spacing::Pipelined | Spacing::Tight);
    let long = u64::from(shape.repeats) >= MIN_UNDRIVEN_REPEATS;
    match (shape.bound, shape.driver) {
        (WindowBound::Tag, _) | (WindowBound::Transaction, Driver::Within | Driver::Before) => {
            Some(Confidence::High)
        }
        (WindowBound::Parallel, _) if linked && shape.fills_limit => Some(Confidence::High),
        (WindowBound::Parallel, _) => (linked || shape.fills_limit).then_some(Confidence::Medium),
        (WindowBound::Transaction, Driver::None) => (!shape.runs).then_some(Confidence::Medium),
        (WindowBound::Idle, Driver::None) => None,
        (WindowBound::Idle, Driver::Before) if linked && quick && !shape.fills_limit => {
            // the driver stands in another window, perhaps another request's
            Some(Confidence::Medium)
        }
        (WindowBound::Idle, _) if linked && (quick || shape.fills_limit) => Some(Confidence::High),
        (WindowBound::Idle, _) if linked => {
            (shape.regular || shape.steady || long).then_some(Confidence::Medium)
        }
        (WindowBound::Idle, _) if shape.fills_limit => Some(Confidence::Medium),
        (WindowBound::Idle, Driver::Within) => {
            ((quick || shape.steady) && long && !shape.runs).then_some(Confidence::Medium)
        }
        (WindowBound::Idle, Driver::Before) => None,
    }
}

/// A write: its rows often come from the client, so there may be no driver; then only a quick, regular run convinces.
fn write_confidence(shape: &BurstShape, link: Link) -> Option<Confidence> {
    let linked = link >= Link::SameName && shape.driver != Driver::None;
    let quick = matches!(shape.spacing, Spacing::Pipelined | Spacing::Tight);
    let long = u64::from(shape.repeats) >= MIN_UNDRIVEN_REPEATS;
    match shape.bound {
        _ if shape.spacing == Spacing::Pipelined => None,
        WindowBound::Tag | WindowBound::Transaction => Some(Confidence::High),
        WindowBound::Parallel => linked.then_some(Confidence::Medium),
        WindowBound::Idle if linked && (quick || shape.fills_limit) => Some(Confidence::High),
        WindowBound::Idle if shape.fills_limit => Some(Confidence::Medium),
        WindowBound::Idle if linked => {
            (shape.regular || shape.steady || long).then_some(Confidence::Medium)
        }
        WindowBound::Idle => {
            let slow = matches!(shape.spacing, Spacing::Loose | Spacing::Unknown);
            let counted = slow && shape.regular && shape.ascending;
            let alone = long && !shape.lockstep && !shape.foreign;
            (alone && (quick || shape.steady || counted)).then_some(Confidence::Medium)
        }
    }
}
