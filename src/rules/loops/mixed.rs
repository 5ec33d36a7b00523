//! Loops where requests share sessions statement by statement: a pool's `query`, a pooler in transaction mode.
//!
//! What stands side by side on a session there is of different requests, so bursts prove nothing. Three things do: keys that come in the same
//! order again and again, a child that runs exactly as often as its drivers have rows, and crowds of it that are exactly as large as a
//! driver's LIMIT, again and again.

use super::{Judged, subject};
use crate::{
    finding::Confidence,
    rules::Audit,
    sql::StatementKind,
    workload::{BurstClass, Driver, KeyOrder, Link, Mixed, Query, WindowBound},
};

/// Coherence below which a session's statements are of different requests. Measured on real pools (`benches/README.md`, "Busy pools"):
/// 0.00 to 0.20 where each statement takes a connection of its own, 0.25 to 0.9 where each request does.
const COHERENT: f64 = 0.25;
/// Standard deviations from which on the order of keys is none by chance. Of 467 statements on busy logs that no loop sends, the highest had
/// 2.0; drawn by chance, the highest of 420 had 3.9.
const ORDERED: f64 = 4.5;
/// The same beside equal numbers: just above what statements had that no loop sends.
const SOMEWHAT_ORDERED: f64 = 2.5;
/// Multiples of this are numbers that people choose.
const ROUND: u64 = 10;
/// Crowds of exactly the driver's LIMIT that count beside equal numbers.
const SOME_CROWDS: u64 = 2;
/// Keys in order from which on it is a list, and not the two or three things that each request asks for: as many as a loop's repeats.
const MIN_ORDERED_KEYS: u64 = 5;
/// Runs of the drivers from which on equal numbers convince.
const MIN_RUNS: u64 = 3;
/// Crowds of exactly the driver's LIMIT from which on half of the others may be of any size: requests overlap.
const MANY_CROWDS: u64 = 3;
/// Different keys from which on it is no polling.
const MIN_KEYS: u64 = 3;

/// What the client's statements as a whole say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) judged: Judged<'a>,
    /// It is a loop, but others send the statement too, and how many is not known.
    pub(super) is_shared: bool,
}

/// Do requests share the sessions that the child runs on?
pub(super) fn is_mixed(mixed: &Mixed) -> bool {
    mixed
        .coherence
        .is_some_and(|coherence| coherence < COHERENT)
}

/// Do bursts on single sessions account for the child nevertheless: most of them as long as the driver's LIMIT, and nearly all executions in
/// one? Where requests mix, others' statements cut them anywhere.
pub(super) fn is_owned(mixed: &Mixed, accepted: &[Judged<'_>]) -> bool {
    let sum = |of: &dyn Fn(&BurstClass) -> bool| -> u64 {
        accepted
            .iter()
            .map(|judged| judged.class)
            .filter(|class| class.shape.bound == WindowBound::Idle && of(class))
            .map(|class| class.n_repeats)
            .sum()
    };
    let filled = sum(&|class| class.shape.fills_limit && class.shape.driver == Driver::Within);
    filled * 2 > mixed.n && sum(&|_| true) * 10 >= mixed.n * 9
}

/// Does a burst say something there? Transactions and tags bound it.
pub(super) fn is_bounded(judged: &Judged<'_>) -> bool {
    matches!(
        judged.class.shape.bound,
        WindowBound::Tag | WindowBound::Transaction
    )
}

/// Are executions outside of transactions more than a tenth of those of bounded loops?
pub(super) fn outweighs(mixed: &Mixed, bounded: &[Judged<'_>]) -> bool {
    let n_bounded: u64 = bounded.iter().map(|judged| judged.class.n_repeats).sum();
    mixed.n * 10 > n_bounded
}

/// The loop that the client's statements as a whole show.
pub(super) fn verdict<'a>(audit: &Audit<'_>, child: &Query, mixed: &'a Mixed) -> Option<Told<'a>> {
    if child.kind != StatementKind::Insert && mixed.n_keys < MIN_KEYS {
        return None;
    }
    let told = |judged| Told {
        judged,
        is_shared: false,
    };
    accounted(audit, child, mixed)
        .map(told)
        .or_else(|| ordered(audit, child, mixed))
        .or_else(|| crowded(audit, child, mixed).map(told))
}

/// Keys in the same order again: a list's rows. Where nearly all keys that came again did so in order, nobody else sends the statement.
fn ordered<'a>(audit: &Audit<'_>, child: &Query, mixed: &'a Mixed) -> Option<Told<'a>> {
    let class = mixed.whole.as_ref()?;
    let KeyOrder {
        n_again,
        n_ordered,
        n,
        ..
    } = mixed.order;
    if mixed.order.score() < ORDERED || mixed.order.n_keys < MIN_ORDERED_KEYS {
        return None;
    }
    // their order says that a list stands behind them; which one is a guess where no name says it
    let linked = linked(audit, child, class).unwrap_or(Confidence::Medium);
    let is_shared = n_ordered * 20 < n_again * 19;
    let confidence = match n_again * 10 >= n * 9 {
        _ if is_shared => Confidence::Low,
        true => linked,
        false => Confidence::Medium,
    };
    let judged = Judged { class, confidence };
    Some(Told { judged, is_shared })
}

/// Load tests and jobs send round numbers, so equal ones alone may be chance: the order of keys, or crowds, must point the same way.
fn accounted<'a>(audit: &Audit<'_>, child: &Query, mixed: &'a Mixed) -> Option<Judged<'a>> {
    let class = mixed.accounted.as_ref()?;
    let linked = linked(audit, child, class)?;
    let exact = mixed.n == mixed.n_rows && class.n_bursts >= MIN_RUNS;
    let seconded = mixed.order.score() >= SOMEWHAT_ORDERED || mixed.n_exact_crowds >= SOME_CROWDS;
    let confidence = match exact {
        true if seconded => linked,
        true if !mixed.n.is_multiple_of(ROUND) => Confidence::Medium,
        false if seconded => Confidence::Medium,
        _ => return None,
    };
    Some(Judged { class, confidence })
}

fn crowded<'a>(audit: &Audit<'_>, child: &Query, mixed: &'a Mixed) -> Option<Judged<'a>> {
    let class = mixed.crowded.as_ref()?;
    let (n_exact, n) = (mixed.n_exact, class.n_repeats);
    let (n_crowds, many) = (mixed.n_exact_crowds, MANY_CROWDS);
    let exact =
        (n_crowds >= many && n_exact * 2 >= n) || (n_crowds + 1 == many && n_exact * 5 >= n * 4);
    // what stands outside of crowds is of other requests, and then some crowds may be too
    if !exact || n * 10 < mixed.n * 9 {
        return None;
    }
    let linked = linked(audit, child, class)?;
    let sure = n_crowds >= many && n_exact * 10 >= n * 9;
    Some(Judged {
        class,
        confidence: if sure { linked } else { Confidence::Medium },
    })
}

/// How sure a driver's link lets be; `None` without one.
fn linked(audit: &Audit<'_>, child: &Query, class: &BurstClass) -> Option<Confidence> {
    match subject::link(audit, class.shape.parent, child) {
        Link::ForeignKey => Some(Confidence::High),
        Link::Possible => Some(Confidence::Medium),
        Link::SameName | Link::None => None,
    }
}
