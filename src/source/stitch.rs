//! Joins chunks in order: what waits at the end of one with what later ones say about it.

use hashbrown::HashMap;

use super::{
    assemble::{give_up, lone, with_duration},
    held::Held,
    plans::{EarlyPlan, Recent},
    session::{Awaited, Bares, Next, Planned, Planning, Session},
    sessions::Sessions,
};
use crate::workload::{Event, Origin, PlannedBefore, Sink, Statement};

/// Statement text that is held from one chunk to the next, bytes; beyond that all are told without waiting any longer.
const MAX_CARRIED_BYTES: usize = 16 << 20;
/// Sessions that are known from one chunk to the next; beyond that only the last chunk's are.
const MAX_CARRIED: usize = 1 << 16;

/// What a session has open between two chunks.
#[derive(Debug, Default)]
struct Carried {
    started: Option<Held>,
    planned: Option<Held>,
    bares: Bares,
    recent: Recent,
    /// Parse and bind time whose execution is still to come.
    planning: Option<Planning>,
}

impl Carried {
    fn n_bytes(&self) -> usize {
        let held = [&self.started, &self.planned];
        let held: usize = held.into_iter().flatten().map(Held::n_bytes).sum();
        held + self.planning.as_ref().map_or(0, Planning::n_bytes)
    }

    fn is_empty(&self) -> bool {
        self.started.is_none()
            && self.planned.is_none()
            && self.bares.is_empty()
            && self.recent.is_empty()
            && self.planning.is_none()
    }
}

/// Something that only both chunks together tell.
enum Tell {
    Finished(Held, u64, i64),
    GivenUp(Held, Next),
    Planning(Held, u64),
    /// Of an execution that was counted without it.
    Counted(Planning),
    /// No execution came.
    Orphan(Planning),
    Lone(Bares),
    Plan(Held),
}

impl Tell {
    fn origin(&self) -> Origin {
        match self {
            Self::Finished(held, ..)
            | Self::GivenUp(held, _)
            | Self::Planning(held, _)
            | Self::Plan(held) => held.origin(),
            Self::Counted(planning) | Self::Orphan(planning) => planning.origin,
            Self::Lone(bares) => bares.iter().next().map(|bare| bare.0).unwrap_or_default(),
        }
    }

    fn tell<S: Sink>(self, sink: &mut S) {
        match self {
            Self::Finished(held, duration_us, time_us) => {
                with_duration(sink, &held, duration_us, time_us);
            }
            Self::GivenUp(held, next) => give_up(sink, &held, next),
            Self::Planning(held, plan_us) => sink.event(&Event::MoreTime(Statement {
                plan_us,
                duration_us: None,
                n_parses: 0,
                name: 0,
                ..held.statement()
            })),
            Self::Counted(mut planning) => planning.counted(sink),
            Self::Orphan(mut planning) => planning.orphan(sink),
            Self::Lone(bares) => lone(sink, &bares),
            Self::Plan(held) => sink.event(&Event::Statement(held.statement())),
        }
    }
}

/// Joins chunks in order.
#[derive(Debug, Default)]
pub(super) struct Stitcher {
    carried: HashMap<Vec<u8>, Carried, foldhash::fast::FixedState>,
    n_bytes: usize,
}

impl Stitcher {
    /// Settles what earlier chunks held, by the first records of the chunk that follows; then takes over what that chunk holds.
    /// Events go to `sink`, which has everything up to that chunk.
    /// The chunk's own are in `following`.
    pub(super) fn next_chunk<S: Sink>(
        &mut self,
        sink: &mut S,
        following: &mut S,
        sessions: Sessions,
    ) {
        let bound = self.carried.len() > MAX_CARRIED;
        let mut found = Found::default();
        let mut latest = HashMap::default();
        for (name, session) in sessions.into_all() {
            let before = self.carried.remove(&name).unwrap_or_default();
            self.n_bytes -= before.n_bytes();
            let after = join(before, session, &mut found);
            if !after.is_empty() {
                self.n_bytes += after.n_bytes();
                latest.insert(name, after);
            }
        }
        tell_in_order(found.tells, sink);
        found
            .planned
            .sort_unstable_by_key(|planned| (planned.origin.file, planned.origin.line));
        following.planned_before(&found.planned);
        if bound || self.n_bytes > MAX_CARRIED_BYTES {
            self.finish(sink);
            self.n_bytes = latest.values().map(Carried::n_bytes).sum();
        }
        if self.carried.is_empty() {
            self.carried = latest;
        } else {
            self.carried.extend(latest);
        }
    }

    /// Tells what is still held.
    pub(super) fn finish<S: Sink>(&mut self, sink: &mut S) {
        let mut tells = Vec::new();
        for (_, carried) in self.carried.drain() {
            let held = [carried.planned, carried.started].into_iter().flatten();
            tells.extend(held.map(|held| Tell::GivenUp(held, Next::Other)));
            tells.push(Tell::Lone(carried.bares));
            tells.extend(carried.planning.map(Tell::Orphan));
        }
        self.n_bytes = 0;
        tell_in_order(tells, sink);
    }
}

/// Sessions come in no order; what is told about them is.
fn tell_in_order<S: Sink>(mut tells: Vec<Tell>, sink: &mut S) {
    tells.sort_by_key(|tell| {
        let origin = tell.origin();
        (origin.file, origin.line)
    });
    for tell in tells {
        tell.tell(sink);
    }
}

/// What the border of two chunks gave.
#[derive(Default)]
struct Found {
    tells: Vec<Tell>,
    /// Parse and bind time of the later chunk's executions.
    planned: Vec<PlannedBefore>,
}

/// One session over the border of two chunks.
fn join(mut before: Carried, mut session: Session, found: &mut Found) -> Carried {
    let planning = join_planning(before.planning.take(), &mut session, found);
    let tells = &mut found.tells;
    if let Some(opening) = session.opening
        && let Some(held) = before.planned.take()
    {
        tells.push(Tell::GivenUp(held, opening));
    }
    let waiting = match session.planned.take() {
        Some(Planned::Early(at)) => Some(at),
        Some(Planned::Held(held)) => {
            before.planned = Some(held);
            None
        }
        None => None,
    };
    for (at, plan) in std::mem::take(&mut session.early).into_iter().enumerate() {
        let waits = waiting == Some(at);
        early_plan(&mut before, plan, waits, tells);
    }
    let mut run = session.leading;
    match (before.started.take(), run.take_first(), session.first) {
        (Some(held), Some((duration_us, time_us)), _) => {
            tells.push(Tell::Finished(held, duration_us, time_us));
        }
        (Some(held), None, Some(next)) => tells.push(Tell::GivenUp(held, next)),
        (Some(held), None, None) => before.started = Some(held),
        (None, Some(_), _) => run = session.leading,
        (None, None, _) => {}
    }
    let run = together(before.bares, run, tells);
    let (bares, run) = match session.first {
        Some(_) => (session.bares, run),
        None => (together(run, session.bares, tells), Bares::default()),
    };
    match (session.leading_to.take(), run.planning_us()) {
        (Some(held), Some(plan_us)) => {
            let planned = PlannedBefore {
                origin: held.origin(),
                plan_us,
                n_parses: 0,
            };
            if !is_still_held(&mut session, &planned) {
                found.planned.push(planned);
                found.tells.push(Tell::Planning(held, plan_us));
            }
        }
        _ if !run.is_empty() => tells.push(Tell::Lone(run)),
        _ => {}
    }
    before.recent.append(&session.recent);
    Carried {
        started: session.started.or(before.started),
        planned: before.planned,
        bares,
        recent: before.recent,
        planning,
    }
}

/// Parse and bind time of an execution on the other side of the border. Gives what still waits for its execution.
fn join_planning(
    before: Option<Planning>,
    session: &mut Session,
    found: &mut Found,
) -> Option<Planning> {
    let first = session.first_planned;
    let open = std::mem::take(&mut session.planning);
    let open = open.is_open().then_some(open);
    let Some(mut before) = before else {
        return open;
    };
    let Some(first) = first else {
        return Some(before);
    };
    match first.outcome {
        Awaited::Execution if first.text == before.key() => {
            before.goes_on(open.as_ref()?);
            return Some(before);
        }
        Awaited::At(origin) if first.text == before.key() => {
            let (plan_us, n_parses) = before.sums();
            let planned = PlannedBefore {
                origin,
                plan_us,
                n_parses,
            };
            if !is_still_held(session, &planned) {
                found.planned.push(planned);
                found.tells.push(Tell::Counted(before));
            }
        }
        _ => found.tells.push(Tell::Orphan(before)),
    }
    open
}

/// Whether the execution waits for its duration: then it takes its parse and bind time along.
fn is_still_held(session: &mut Session, planned: &PlannedBefore) -> bool {
    session
        .started
        .as_mut()
        .is_some_and(|held| held.planned(planned.origin, planned.plan_us, planned.n_parses))
}

/// A plan that belongs to an execution in an earlier chunk, or to none.
fn early_plan(before: &mut Carried, plan: EarlyPlan, waits: bool, tells: &mut Vec<Tell>) {
    if let Some(started) = before.started.as_mut().filter(|_| plan.leads) {
        started.explained(plan.hash, plan.duration_us);
    }
    if before.recent.take(plan.hash, plan.n_before) {
        return;
    }
    match plan.held {
        Some(held) if waits => before.planned = Some(held),
        Some(held) => tells.push(Tell::Plan(held)),
        None => {}
    }
}

/// Two runs of bare durations as one; what is too much for a parse and a bind is told.
fn together(first: Bares, then: Bares, tells: &mut Vec<Tell>) -> Bares {
    let mut all = first;
    let mut rest = Bares::default();
    for (origin, duration_us, time_us) in then.iter() {
        if !all.push(origin, duration_us, time_us) {
            let kept = rest.push(origin, duration_us, time_us);
            debug_assert!(kept, "as many as `then`");
        }
    }
    if !rest.is_empty() {
        tells.push(Tell::Lone(rest));
    }
    all
}
