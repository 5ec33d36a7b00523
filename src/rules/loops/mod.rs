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

/// Judges every class; a child that surely is looped makes its less certain bursts count too.
fn judge<'a>(
    audit: &Audit<'a>,
    child: &'a Query,
    repetition: &'a Repetition,
    looped: &BTreeSet<Fingerprint>,
) -> Option<Loop<'a>> {
    let mut links: BTreeMap<Option<Fingerprint>, Link> = BTreeMap::new();
    let is_nested = |class: &BurstClass| class.shape.parent.is_some_and(|p| looped.contains(&p));
    let mut link_of = |class: &BurstClass| {
        let parent = class.shape.parent;
        let nested = is_nested(class);
        match *links
            .entry(parent)
            .or_insert_with(|| subject::link(audit, parent, child))
        {
            Link::SameName if nested => Link::ForeignKey,
            link => link,
        }
    };
    let mut accepted: Vec<Judged<'a>> = Vec::new();
    let mut others: Vec<Judged<'a>> = Vec::new();
    let mut short: Vec<Judged<'a>> = Vec::new();
    let mut inner: Vec<Judged<'a>> = Vec::new();
    for class in &repetition.classes {
        let link = link_of(class);
        let judge = |confidence| Judged { class, confidence };
        let mismatched = is_mismatched(audit, &class.shape);
        match verdict::verdict(audit.settings, child, &class.shape, link) {
            _ if mismatched => {}
            verdict::Verdict::Loop(confidence) => accepted.push(judge(confidence)),
            verdict::Verdict::TooShort
                if is_nested(class) && class.shape.driver == Driver::Within =>
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
    let mixed = repetition
        .mixed
        .as_deref()
        .filter(|mixed| mixed::is_mixed(mixed) && !mixed::is_owned(mixed, &accepted));
    let told = mixed.and_then(|mixed| mixed::verdict(audit, child, mixed));
    let mut doubt = None;
    if told.is_some() || (mixed.is_some() && accepted.iter().any(mixed::is_bounded)) {
        // what the session shows is of other requests
        accepted.retain(mixed::is_bounded);
        others.retain(mixed::is_bounded);
        short.clear();
        accepted.extend(told.map(|told| told.judged));
        // what ran outside of transactions is not counted: the number would be too low
        let uncounted = told.is_none() && mixed.is_some_and(|m| mixed::outweighs(m, &accepted));
        if uncounted || told.is_some_and(|told| told.is_shared) {
            doubt = Some(Doubt::Number);
        }
    } else if mixed.is_some() {
        doubt = Some(Doubt::Mixed);
    }
    if told.is_none() && chance::strays(audit, &accepted, &short) {
        return None;
    }
    let is_inner = accepted.iter().any(|judged| is_nested(judged.class));
    if told.is_none() && doubt.is_none() && !is_inner && chance::is_lone(audit, &accepted) {
        doubt = Some(Doubt::Lone);
    }
    if doubt.is_some() {
        for judged in &mut accepted {
            judged.confidence = Confidence::Low;
        }
    }
    let traffic = chance::Traffic::of(repetition);
    if told.is_none() {
        traffic.weigh(&mut accepted);
    }
    let confidence = accepted.iter().map(|judged| judged.confidence).max()?;
    let parents: Vec<_> = accepted.iter().map(|j| j.class.shape.parent).collect();
    let sure = is_sure(&accepted);
    if told.is_none() {
        keep_one_view(child, &mut accepted, &mut others);
    }
    accepted.extend(others.into_iter().filter(|judged| {
        let shape = &judged.class.shape;
        let same_parent = shape.parent.is_some() && parents.contains(&shape.parent);
        // where the child surely loops, other work between its repeats is a shared connection's
        !verdict::excused(child, shape)
            && (sure || !verdict::doubtful(shape))
            && (same_parent || (sure && shape.repeats >= SURELY_A_LOOP / 2))
    }));
    if told.is_none() {
        traffic.drop_chance(&mut accepted);
    }
    if accepted.is_empty() {
        return None;
    }
    // seen twice after all: more repeats than the statement ran
    let n_repeats: u64 = accepted.iter().map(|judged| judged.class.n_repeats).sum();
    if told.is_none() && n_repeats > child.log.as_ref().map_or(0, |log| log.n_calls) {
        accepted.retain(|judged| judged.class.shape.bound != WindowBound::Parallel);
    }
    accepted.sort_by_key(|judged| {
        (
            std::cmp::Reverse(judged.class.n_repeats_max),
            judged.class.shape,
        )
    });
    Some(Loop {
        child,
        classes: accepted,
        confidence,
        n_units: repetition.n_windows,
        doubt,
    })
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
