//! What is known of one session while a chunk is read: the statement that waits for its duration, the plan that waits for its
//! execution, and what the next chunk's or the last chunk's records may have to say about either.

use super::{
    held::{Held, HeldKind},
    plans::{EarlyPlan, Recent},
};
use crate::workload::{Escape, Event, Origin, Protocol, Sink, Statement, Text};

/// What a record says about a statement or plan that waits. Hashes are those of [`super::plans::hash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// An execution of the text with this hash.
    Execution(u64),
    /// A plan of the text with this hash.
    Plan(u64),
    /// A failure of the text with this hash.
    Failure(u64),
    /// Nothing about it: it is over.
    Other,
}

/// What is known of one session.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The chunk's first record of it that tells anything.
    pub(super) opening: Option<Next>,
    /// The first one that is neither a plan nor a bare duration: it ends what an earlier chunk's statement waits for.
    pub(super) first: Option<Next>,
    /// Bare durations ahead of `first`.
    pub(super) leading: Bares,
    /// `first`, when it is an execution (or its failure) whose parse and bind the leading durations may be.
    pub(super) leading_to: Option<Held>,
    /// A statement that has started and waits for its duration.
    pub(super) started: Option<Held>,
    /// A plan whose execution may be logged next.
    pub(super) planned: Option<Planned>,
    /// Bare durations since the last other record: of parse and bind, if an execution starts next.
    pub(super) bares: Bares,
    /// Parse and bind time that waits for its execution.
    pub(super) planning: Planning,
    /// What the chunk's first parse, bind or execution came to: an earlier chunk's parse and bind may be of the same execution.
    pub(super) first_planned: Option<FirstPlanned>,
    /// The last executions, whose plans may come behind them.
    pub(super) recent: Recent,
    /// Plans that may belong to executions in an earlier chunk.
    pub(super) early: Vec<EarlyPlan>,
}

/// What a session's first parse, bind or execution in a chunk is about, and what came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstPlanned {
    /// Hash and length of the text.
    pub(super) text: (u64, usize),
    pub(super) outcome: Awaited,
}

/// What came of parse and bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The execution is still to come.
    Execution,
    /// It stands there.
    At(Origin),
    /// Another text came: there is none.
    Nothing,
}

/// Parse and bind time that waits for its execution. The memory of its text serves again and again.
#[derive(Debug, Default)]
pub(super) struct Planning {
    open: bool,
    plan_us: u64,
    n_parses: u32,
    name: u32,
    pub(super) origin: Origin,
    time_us: i64,
    query_id: i64,
    protocol: Protocol,
    escape: Escape,
    text: Vec<u8>,
    /// [`Text::raw_hash`] of the text.
    hash: u64,
    /// Whose it is: taken down once in a chunk.
    who: Option<Held>,
}

impl Planning {
    fn is_of(&self, text: Text<'_>) -> bool {
        self.open && self.key() == key(text)
    }

    /// Hash and length of its text.
    pub(super) fn key(&self) -> (u64, usize) {
        (self.hash, self.text.len())
    }

    /// Bytes that it keeps.
    pub(super) fn n_bytes(&self) -> usize {
        self.text.len() + self.who.as_ref().map_or(0, Held::n_bytes)
    }

    /// Its time and parse messages.
    pub(super) fn sums(&self) -> (u64, u32) {
        (self.plan_us, self.n_parses)
    }

    /// Adds what a later chunk has of the same text.
    pub(super) fn goes_on(&mut self, later: &Self) {
        self.plan_us += later.plan_us;
        self.n_parses += later.n_parses;
    }

    /// Its time is told as that of an execution that was counted without it.
    pub(super) fn counted<S: Sink>(&mut self, sink: &mut S) {
        self.name = 0;
        self.orphan(sink);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Adds the time of a parse or bind to what waits for the execution of the same text.
    fn add<S: Sink>(&mut self, sink: &mut S, statement: &Statement<'_>, duration_us: u64) {
        if self.is_of(statement.text) {
            self.plan_us += duration_us;
            self.n_parses += statement.n_parses;
            return;
        }
        self.orphan(sink);
        self.open = true;
        self.plan_us = duration_us;
        self.n_parses = statement.n_parses;
        self.name = statement.name;
        self.origin = statement.origin;
        self.time_us = statement.time_us;
        self.query_id = statement.query_id;
        self.protocol = statement.protocol;
        self.escape = statement.text.escape();
        self.hash = statement.text.raw_hash();
        self.text.clear();
        self.text.extend_from_slice(statement.text.raw());
        if self.who.is_none() {
            let nothing = Statement {
                text: Text::default(),
                ..*statement
            };
            self.who = Some(Held::new(&nothing, HeldKind::Started));
        }
    }

    /// Parse and bind time of the execution of this text, and parse messages.
    fn take<S: Sink>(&mut self, sink: &mut S, text: Text<'_>) -> (u64, u32) {
        if self.is_of(text) {
            self.open = false;
            return (self.plan_us, self.n_parses);
        }
        self.orphan(sink);
        (0, 0)
    }

    /// Its execution did not come: its time is told by itself.
    pub(super) fn orphan<S: Sink>(&mut self, sink: &mut S) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let Some(who) = &self.who else { return };
        let statement = Statement {
            origin: self.origin,
            time_us: self.time_us,
            query_id: self.query_id,
            protocol: self.protocol,
            text: Text::new(&self.text, self.escape),
            plan_us: self.plan_us,
            n_parses: self.n_parses,
            name: self.name,
            duration_us: None,
            ..who.statement()
        };
        sink.event(&Event::MoreTime(statement));
    }
}

/// Hash and length of a text.
fn key(text: Text<'_>) -> (u64, usize) {
    (text.raw_hash(), text.raw().len())
}

/// A plan that is held until the next record of its session.
#[derive(Debug)]
pub(super) enum Planned {
    /// It belongs to no execution before it.
    Held(Held),
    /// It may belong to one of an earlier chunk: its position in [`Session::early`].
    Early(usize),
}

impl Session {
    /// The time of a parse or bind, for the execution of the same text.
    pub(super) fn plan<S: Sink>(
        &mut self,
        sink: &mut S,
        statement: &Statement<'_>,
        duration_us: u64,
    ) {
        let text = key(statement.text);
        let first = self.first_planned.get_or_insert(FirstPlanned {
            text,
            outcome: Awaited::Execution,
        });
        if first.outcome == Awaited::Execution && first.text != text {
            first.outcome = Awaited::Nothing;
        }
        self.planning.add(sink, statement, duration_us);
    }

    /// An execution: its parse and bind time, and parse messages.
    pub(super) fn executed<S: Sink>(
        &mut self,
        sink: &mut S,
        statement: &Statement<'_>,
    ) -> (u64, u32) {
        let text = key(statement.text);
        let first = self.first_planned.get_or_insert(FirstPlanned {
            text,
            outcome: Awaited::Execution,
        });
        if first.outcome == Awaited::Execution {
            first.outcome = if first.text == text {
                Awaited::At(statement.origin)
            } else {
                Awaited::Nothing
            };
        }
        self.planning.take(sink, statement.text)
    }

    /// Notes that a record of the chunk says something that earlier chunks wait for.
    pub(super) fn note(&mut self, next: Next) {
        self.opening.get_or_insert(next);
        self.first.get_or_insert(next);
    }
}

/// Bare durations that follow each other. Up to [`Bares::MOST`] can be the parse and bind of the execution that follows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bares {
    /// One more than are too many: the first may turn out to be that of an earlier chunk's statement.
    kept: [(Origin, u64, i64); Self::MOST + 2],
    n: usize,
}

impl Bares {
    /// A parse and a bind.
    pub(super) const MOST: usize = 2;

    /// Adds one. False when it can't be kept: there are too many to belong to an execution.
    #[must_use]
    pub(super) fn push(&mut self, origin: Origin, duration_us: u64, time_us: i64) -> bool {
        let slot = self.kept.get_mut(self.n);
        let kept = slot.map(|slot| *slot = (origin, duration_us, time_us));
        self.n += usize::from(kept.is_some());
        kept.is_some()
    }

    /// Takes out the first one: duration and time.
    pub(super) fn take_first(&mut self) -> Option<(u64, i64)> {
        if self.n == 0 {
            return None;
        }
        let (_, duration_us, time_us) = self.kept[0];
        self.kept.rotate_left(1);
        self.n -= 1;
        Some((duration_us, time_us))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Their sum, where they can be the parse and bind of one execution.
    pub(super) fn planning_us(&self) -> Option<u64> {
        let kept = &self.kept[..self.n];
        (1..=Self::MOST)
            .contains(&self.n)
            .then(|| kept.iter().map(|(_, duration_us, _)| duration_us).sum())
    }

    /// Where they stand, with their durations.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Origin, u64, i64)> + '_ {
        self.kept[..self.n].iter().copied()
    }
}
