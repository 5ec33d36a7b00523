//! What the two N+1 rules share: judged loops, and findings made of them.

mod batch;
mod chance;
mod client;
mod evidence;
mod hint;
mod mixed;
mod subject;
mod told;
mod verdict;
mod words;

pub(super) use evidence::finding;
pub(super) use subject::{full_name, link};
pub(super) use told::{Told, subject_of};

use std::collections::{BTreeMap, BTreeSet};

use super::{Audit, Need};
use crate::{
    finding::Confidence,
    sql::{Fingerprint, StatementKind},
    workload::{BurstClass, BurstShape, Driver, Link, Query, Repetition, WindowBound},
};

/// Which loops a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loops {
    /// SELECT
    Reads,
    /// INSERT, UPDATE, DELETE
    Writes,
}

impl Loops {
    fn covers(self, kind: StatementKind) -> bool {
        match kind {
            StatementKind::Select => self == Self::Reads,
            StatementKind::Insert | StatementKind::Update | StatementKind::Delete => {
                self == Self::Writes
            }
            StatementKind::Merge | StatementKind::Utility => false,
        }
    }
}

/// One fingerprint that loops, with the classes of bursts that say so.
#[derive(Debug)]
pub(super) struct Loop<'a> {
    /// The repeated statement.
    pub(super) child: &'a Query,
    /// The classes judged to be loops, longest first.
    pub(super) classes: Vec<Judged<'a>>,
    /// The best of their confidences.
    pub(super) confidence: Confidence,
    /// Units of work in which the child ran at all.
    pub(super) n_units: u64,
    /// Why it is of low confidence.
    pub(super) doubt: Option<Doubt>,
}

/// Why a loop is of low confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Requests share its sessions statement by statement, and nothing else proves the loop.
    Mixed,
    /// It is a loop, but how many executions are others' is not known.
    Number,
    /// Its driver mostly runs without it.
    Lone,
}

/// A class of bursts with its judgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    /// The class.
    pub(super) class: &'a BurstClass,
    /// How sure.
    pub(super) confidence: Confidence,
}

/// All loops of that kind, in order of fingerprints.
pub(super) fn find<'a>(audit: &Audit<'a>, loops: Loops) -> Vec<Loop<'a>> {
    let mut looped: BTreeSet<Fingerprint> = BTreeSet::new();
    // a loop in the body of a loop needs less to convince; each round goes one level deeper
    for _ in 0..MAX_NESTING {
        let n = looped.len();
        let reads = loops_of(audit, Loops::Reads, &looped);
        let sure = reads.iter().filter(|found| found.doubt.is_none());
        looped.extend(sure.map(|found| found.child.fingerprint));
        if looped.len() == n {
            break;
        }
    }
    loops_of(audit, loops, &looped)
}

/// Levels of nested loops.
const MAX_NESTING: usize = 4;

/// The loops of that kind, where `looped` are known to be run by loops.
fn loops_of<'a>(audit: &Audit<'a>, loops: Loops, looped: &BTreeSet<Fingerprint>) -> Vec<Loop<'a>> {
    let workload = &audit.snapshot.workload;
    workload
        .repetitions
        .iter()
        .filter_map(|repetition| {
            let child = workload.query(repetition.child)?;
            if loops.covers(child.kind) {
                judge(audit, child, repetition, looped)
            } else {
                None
            }
        })
        .collect()
}

/// The classes of one child by their verdicts.
struct Sorted<'a> {
    accepted: Vec<Judged<'a>>,
    others: Vec<Judged<'a>>,
    short: Vec<Judged<'a>>,
}

impl<'a> Sorted<'a> {
    fn of(
        audit: &Audit<'a>,
        child: &'a Query,
        repetition: &'a Repetition,
        looped: &BTreeSet<Fingerprint>,
    ) -> Self {
        let mut links: BTreeMap<Option<Fingerprint>, Link> = BTreeMap::new();
        let mut link_of = |class: &BurstClass| {
            let parent = class.shape.parent;
            match *links
                .entry(parent)
                .or_insert_with(|| subject::link(audit, parent, child))
            {
                Link::SameName if is_nested(class, looped) => Link::ForeignKey,
                link => link,
            }
        };
        let (mut accepted, mut others) = (Vec::new(), Vec::new());
        let (mut short, mut inner) = (Vec::new(), Vec::new());
        for class in &repetition.classes {
            let link = link_of(class);
            let judge = |confidence| Judged { class, confidence };
            let mismatched = is_mismatched(audit, &class.shape);
            match verdict::verdict(audit.settings, child, &class.shape, link) {
                _ if mismatched => {}
                verdict::Verdict::Loop(confidence) => accepted.push(judge(confidence)),
                verdict::Verdict::TooShort
                    if is_nested(class, looped) && class.shape.driver == Driver::Within =>
                {
                    inner.push(judge(Confidence::Medium));
                }
                verdict::Verdict::TooShort => {
                    short.push(judge(Confidence::Medium));
                    others.push(judge(Confidence::Medium));
                }
                verdict::Verdict::No => others.push(judge(Confidence::Medium)),
            }
        }
        // what runs in the body of a loop adds up over its rounds
        let n_inner: u64 = inner.iter().map(|judged| judged.class.n_repeats).sum();
        if n_inner >= verdict::min_repeats(audit.settings) {
            accepted.append(&mut inner);
        } else {
            others.append(&mut inner);
        }
        Self {
            accepted,
            others,
            short,
        }
    }

    /// Leaves what transactions and tags bound.
    fn retain_bounded(&mut self) {
        self.accepted.retain(mixed::is_bounded);
        self.others.retain(mixed::is_bounded);
        self.short.clear();
    }

    /// Takes the others in that a child's certain loops make count.
    fn adopt(&mut self, child: &Query) {
        let parents: Vec<_> = (self.accepted.iter())
            .map(|judged| judged.class.shape.parent)
            .collect();
        let sure = is_sure(&self.accepted);
        self.accepted.extend(self.others.drain(..).filter(|judged| {
            let shape = &judged.class.shape;
            let same_parent = shape.parent.is_some() && parents.contains(&shape.parent);
            // where the child surely loops, other work between its repeats is a shared connection's
            !verdict::excused(child, shape)
                && (sure || !verdict::doubtful(shape))
                && (same_parent || (sure && shape.repeats >= SURELY_A_LOOP / 2))
        }));
    }

    fn doubt(&mut self) {
        for judged in &mut self.accepted {
            judged.confidence = Confidence::Low;
        }
    }

    fn confidence(&self) -> Option<Confidence> {
        self.accepted.iter().map(|judged| judged.confidence).max()
    }
}

/// Does a loop drive it that is known already?
fn is_nested(class: &BurstClass, looped: &BTreeSet<Fingerprint>) -> bool {
    class.shape.parent.is_some_and(|p| looped.contains(&p))
}

/// Judges every class; a child that surely is looped makes its less certain bursts count too.
fn judge<'a>(
    audit: &Audit<'a>,
    child: &'a Query,
    repetition: &'a Repetition,
    looped: &BTreeSet<Fingerprint>,
) -> Option<Loop<'a>> {
    let mut sorted = Sorted::of(audit, child, repetition, looped);
    let mixed = repetition
        .mixed
        .as_deref()
        .filter(|mixed| mixed::is_mixed(mixed) && !mixed::is_owned(mixed, &sorted.accepted));
    if let Some(told) = mixed.and_then(|mixed| mixed::verdict(audit, child, mixed)) {
        return as_told(child, repetition, sorted, told);
    }
    let mut doubt = None;
    if let Some(mixed) = mixed {
        doubt = Some(Doubt::Mixed);
        if sorted.accepted.iter().any(mixed::is_bounded) {
            sorted.retain_bounded();
            // what ran outside of transactions is not counted: the number would be too low
            doubt = mixed::outweighs(mixed, &sorted.accepted).then_some(Doubt::Number);
        }
    }
    if chance::strays(audit, &sorted.accepted, &sorted.short) {
        return None;
    }
    let is_inner = (sorted.accepted.iter()).any(|judged| is_nested(judged.class, looped));
    if doubt.is_none() && !is_inner && chance::is_lone(audit, &sorted.accepted) {
        doubt = Some(Doubt::Lone);
    }
    if doubt.is_some() {
        sorted.doubt();
    }
    let traffic = chance::Traffic::of(repetition);
    traffic.weigh(&mut sorted.accepted);
    let confidence = sorted.confidence()?;
    keep_one_view(child, &mut sorted.accepted, &mut sorted.others);
    sorted.adopt(child);
    traffic.drop_chance(&mut sorted.accepted);
    // seen twice after all: more repeats than the statement ran
    let n_repeats: u64 = (sorted.accepted.iter())
        .map(|judged| judged.class.n_repeats)
        .sum();
    if n_repeats > child.log.as_ref().map_or(0, |log| log.n_calls) {
        let across = |judged: &Judged<'_>| judged.class.shape.bound == WindowBound::Parallel;
        sorted.accepted.retain(|judged| !across(judged));
    }
    if sorted.accepted.is_empty() {
        return None;
    }
    Some(Loop::of(
        child,
        repetition,
        sorted.accepted,
        confidence,
        doubt,
    ))
}

/// The loop that a client's statements as a whole tell of, beside what transactions and tags bound: what a session shows otherwise is of
/// other requests.
fn as_told<'a>(
    child: &'a Query,
    repetition: &'a Repetition,
    mut sorted: Sorted<'a>,
    told: mixed::Told<'a>,
) -> Option<Loop<'a>> {
    sorted.retain_bounded();
    sorted.accepted.push(told.judged);
    let doubt = told.is_shared.then_some(Doubt::Number);
    if doubt.is_some() {
        sorted.doubt();
    }
    let confidence = sorted.confidence()?;
    sorted.adopt(child);
    Some(Loop::of(
        child,
        repetition,
        sorted.accepted,
        confidence,
        doubt,
    ))
}

impl<'a> Loop<'a> {
    fn of(
        child: &'a Query,
        repetition: &Repetition,
        mut classes: Vec<Judged<'a>>,
        confidence: Confidence,
        doubt: Option<Doubt>,
    ) -> Self {
        classes.sort_by_key(|judged| {
            (
                std::cmp::Reverse(judged.class.n_repeats_max),
                judged.class.shape,
            )
        });
        Self {
            child,
            classes,
            confidence,
            n_units: repetition.n_windows,
            doubt,
        }
    }
}

/// What a loop ran on lent sessions is seen twice: as a part of a burst across sessions, and as bursts of those sessions without a driver.
/// Keeps the view that shows it best.
fn keep_one_view(child: &Query, accepted: &mut Vec<Judged<'_>>, others: &mut Vec<Judged<'_>>) {
    let across = |judged: &Judged<'_>| judged.class.shape.bound == WindowBound::Parallel;
    let alone = |judged: &Judged<'_>| {
        let shape = &judged.class.shape;
        shape.driver == Driver::None
            && shape.repeats >= SURELY_A_LOOP / 2
            && !verdict::excused(child, shape)
            && !verdict::doubtful(shape)
    };
    let sum = |of: &[Judged<'_>], what: &dyn Fn(&Judged<'_>) -> bool| -> u64 {
        of.iter()
            .filter(|judged| what(judged))
            .map(|judged| judged.class.n_repeats)
            .sum()
    };
    let within = |judged: &Judged<'_>| !across(judged);
    let parents: Vec<_> = accepted
        .iter()
        .filter(|judged| within(judged))
        .map(|judged| judged.class.shape.parent)
        .collect();
    if !accepted.iter().any(across) {
        return;
    }
    if parents.is_empty() {
        others.retain(|judged| !alone(judged));
        return;
    }
    // where sessions by themselves show the loop, what seems to span them must be the same loop
    let n_within = sum(accepted, &within);
    let mostly_across = sum(accepted, &across) > n_within;
    accepted.retain(|judged| {
        let shape = &judged.class.shape;
        within(judged) || (parents.contains(&shape.parent) && (shape.fills_limit || mostly_across))
    });
    let n_across = sum(accepted, &across);
    if sum(others, &alone) > n_across {
        accepted.retain(within);
    } else {
        others.retain(|judged| !alone(judged));
    }
}

/// A loop of at least this many repeats doesn't come about by chance.
const SURELY_A_LOOP: u32 = 10;

/// Do the accepted bursts leave no doubt that the child is looped, so that its bursts behind other statements count as well?
fn is_sure(accepted: &[Judged<'_>]) -> bool {
    accepted.iter().any(|judged| {
        let shape = &judged.class.shape;
        judged.confidence == Confidence::High
            && (shape.fills_limit || shape.repeats >= SURELY_A_LOOP)
    })
}

/// A loop that seems to span sessions, and has another length than its driver's LIMIT: side by side by chance. (On one session an identity
/// map may make a loop shorter.)
fn is_mismatched(audit: &Audit<'_>, shape: &BurstShape) -> bool {
    let limited = || {
        let parent = audit.snapshot.workload.query(shape.parent?)?;
        parent.shape.as_ref()?.limit.as_ref()
    };
    shape.bound == WindowBound::Parallel && !shape.fills_limit && limited().is_some()
}

/// What these rules must see: short statements, one after the other.
pub(super) const NEEDS: &[Need] = &[
    Need::EachExecution,
    Need::HelpedBy(&[Need::Sessions, Need::Times, Need::Values]),
];
