//! Sessions into windows: what one request did, as far as a log lets that be told.
//!
//! The first that applies: a request id in the statement's comment; a transaction of at least two statements; else statements of one
//! session without an idle gap. Housekeeping is left out before, and marks no boundary.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::{
    Origin, WindowBound,
    burst::{Analyser, View},
    known::Known,
    pace::Tenure,
    prepared::Named,
    role::Role,
    symbols::Symbols,
};

/// Shortest idle gap that ends a window, microseconds. In-loop gaps of ORMs on a loaded machine reach 20 ms at the median.
const MIN_IDLE_GAP_US: i64 = 50_000;
/// Idle gaps end a window from this many times the window's median gap on.
const IDLE_GAP_FACTOR: i64 = 5;
/// The same between two executions of one statement: a loop that was held up goes on where it was.
const SAME_STATEMENT_FACTOR: i64 = 4;
/// No gap within a window is longer than this, microseconds.
const MAX_IDLE_GAP_US: i64 = 1_000_000;
/// How far back before a window the driver of a loop may stand, microseconds: first use of an ORM's mapper costs up to 300 ms.
pub(super) const LOOK_BACK_US: i64 = 2_000_000;
/// Statements of one window kept in detail; a longer one is cut and goes on behind the same driver.
const MAX_STEPS: usize = 4096;
/// Statements of one client's window across sessions.
const MAX_CLIENT_STEPS: usize = 1024;
/// Drivers remembered per session.
const MAX_RECENT: usize = 6;
/// DDL statements remembered per session.
const MAX_DDL: usize = 8;
/// Sessions with an open window; beyond, the longest idle ones are closed.
const MAX_SESSIONS: usize = 8192;
/// Tagged requests open at once; beyond, the longest idle ones are closed.
const MAX_REQUESTS: usize = 4096;
/// Operands of a key kept apart.
pub(super) const MAX_PARTS: usize = 4;

/// One execution, as windows keep it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    pub(super) query: u32,
    pub(super) client: u32,
    pub(super) session: u32,
    pub(super) label: u32,
    pub(super) start_us: i64,
    pub(super) end_us: i64,
    pub(super) duration_us: Option<u64>,
    pub(super) failed: bool,
    /// Sent by the simple protocol, which always waits for the answer.
    pub(super) simple: bool,
    pub(super) origin: Origin,
    /// All key operands together.
    pub(super) key: u64,
    /// The first key operands apart.
    pub(super) parts: [u64; MAX_PARTS],
    /// Operands that page.
    pub(super) paging: u64,
    /// Most elements of a key operand.
    pub(super) width: u32,
    /// Value of LIMIT; 0 when unknown.
    pub(super) limit: u32,
    /// What is known of it as a prepared statement.
    pub(super) named: Named,
    /// Not the first statement of a transaction.
    pub(super) bounded: bool,
}

impl Step {
    /// Parse and bind came before the part of the log that told the execution.
    pub(super) fn planned_before(&mut self, plan_us: u64, n_parses: u32) {
        let us = i64::try_from(plan_us).unwrap_or(i64::MAX);
        self.start_us = self.start_us.saturating_sub(us);
        let named_us = u32::try_from(plan_us).unwrap_or(u32::MAX);
        self.named.plan_us = self.named.plan_us.saturating_add(named_us);
        self.named.parsed |= n_parses > 0;
    }
}

/// Where a step belongs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Hash of the request id in the comment; 0 for none.
    pub(super) request: u64,
    /// Hash of the virtual transaction id; 0 for none.
    pub(super) transaction: u64,
}

/// Idle gaps of one window in powers of two: their median costs nothing to keep.
#[derive(Debug, Clone, Copy, Default)]
struct Gaps {
    counts: [u32; 24],
    n: u32,
}

impl Gaps {
    fn record(&mut self, gap_us: i64) {
        let bits = 64 - gap_us.max(0).leading_zeros();
        self.counts[(bits as usize).min(23)] += 1;
        self.n += 1;
    }

    /// Upper bound of the median's bucket, microseconds.
    fn median_us(&self) -> i64 {
        let mut seen = 0;
        for (bits, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen * 2 >= self.n.max(1) {
                return 1 << bits;
            }
        }
        MAX_IDLE_GAP_US
    }

    fn idle_limit_us(&self) -> i64 {
        (self.median_us() * IDLE_GAP_FACTOR).clamp(MIN_IDLE_GAP_US, MAX_IDLE_GAP_US)
    }
}

/// A transaction that is open.
#[derive(Debug, Default)]
struct OpenTransaction {
    /// BEGIN was seen; else it is told by its id alone.
    explicit: bool,
    id: u64,
    steps: Vec<Step>,
    /// Windows cut from it before.
    continued: bool,
    /// When the session was last busy before it.
    busy_before_us: i64,
    /// A statement failed.
    failed: bool,
    /// Rows were written.
    wrote: bool,
}

impl OpenTransaction {
    /// Did a statement run in it? The first may be the only one, which bounds nothing.
    fn has_begun(&self) -> bool {
        self.continued || !self.steps.is_empty()
    }
}

/// What a session's window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Statements without an idle gap.
    Burst,
    /// From BEGIN on.
    Transaction,
    /// Told by its id alone.
    ImplicitTransaction,
    /// Undone at its end though nothing had failed: a test.
    Test,
}

impl Unit {
    fn transaction(explicit: bool) -> Self {
        if explicit {
            Self::Transaction
        } else {
            Self::ImplicitTransaction
        }
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// COMMIT, or nothing that was seen.
    Kept,
    /// ROLLBACK
    Undone,
}

impl Ending {
    fn of(undoes: bool) -> Self {
        if undoes { Self::Undone } else { Self::Kept }
    }
}

/// One session.
#[derive(Debug, Default)]
struct Session {
    /// The open transaction's use of time.
    tenure: Option<Tenure>,
    steps: Vec<Step>,
    gaps: Gaps,
    transaction: Option<OpenTransaction>,
    /// Transaction id of the last of `steps`.
    last_id: u64,
    /// End of the last statement, housekeeping included.
    busy_until_us: i64,
    recent: VecDeque<Step>,
    /// Memory of the last transaction's statements, empty.
    spare: Vec<Step>,
    /// Its last DDL, oldest first.
    ddl_us: VecDeque<i64>,
}

/// One tagged request.
#[derive(Debug, Default)]
struct Request {
    steps: Vec<Step>,
    last_us: i64,
}

/// What one client did on all its sessions, for loops whose body runs on several of them.
#[derive(Debug, Default)]
struct ClientWindow {
    steps: Vec<Step>,
    gaps: Gaps,
    busy_until_us: i64,
    several_sessions: bool,
    /// The window before was cut for its length only.
    continued: bool,
}

/// All open windows, and what closed ones gave.
#[derive(Debug, Default)]
pub(super) struct Windows {
    sessions: Vec<Session>,
    clients: Vec<ClientWindow>,
    requests: HashMap<u64, Request, foldhash::fast::FixedState>,
    pub(super) analyser: Analyser,
}

impl Windows {
    /// Takes the next execution in input order.
    pub(super) fn step(&mut self, step: Step, place: Place, context: Context<'_>) {
        let at = step.session as usize;
        if self.sessions.len() <= at {
            self.sessions.resize_with(at + 1, Session::default);
        }
        let traits = &context.known[step.query as usize].traits;
        let role = traits.role;
        self.analyser.pacer.pulse(&step, context.symbols);
        match role {
            Role::Begin => self.sessions[at].tenure = Some(Tenure::begin(&step)),
            Role::End => {
                if let Some(tenure) = self.sessions[at].tenure.take() {
                    self.analyser.pacer.ended(tenure, &step, context);
                }
            }
            _ => {
                if let Some(tenure) = &mut self.sessions[at].tenure {
                    tenure.step(&step);
                }
            }
        }
        if place.request != 0 && !matches!(role, Role::Begin | Role::End) {
            self.sessions[at].touch(&step);
            if is_work(role) {
                self.requested(step, place.request, context);
            }
            return;
        }
        let open = self.sessions[at].transaction.as_ref();
        let bounded = open.is_some_and(OpenTransaction::has_begun);
        self.client_step(Step { bounded, ..step }, is_work(role), context);
        let session = &mut self.sessions[at];
        let analyser = &mut self.analyser;
        match role {
            Role::Begin => session.begin(analyser, context),
            Role::End => session.end(Ending::of(traits.undoes), analyser, context),
            Role::Boundary => session.boundary(analyser, context),
            Role::Ddl => session.ddl(step.end_us),
            Role::Chatter if traits.undoes => session.undo(analyser, context),
            Role::Chatter if traits.saves && context.symbols.is_test(step.client, step.label) => {
                session.unit_ends(Unit::Transaction, analyser, context);
            }
            Role::Chatter => {}
            Role::Point | Role::List | Role::Write | Role::Other => {
                session.work(step, place.transaction, analyser, context);
            }
        }
        session.touch(&step);
    }

    /// Appends to the client's window across its sessions, or starts another after an idle gap of all of them.
    fn client_step(&mut self, step: Step, work: bool, context: Context<'_>) {
        let at = step.client as usize;
        if self.clients.len() <= at {
            self.clients.resize_with(at + 1, ClientWindow::default);
        }
        let window = &mut self.clients[at];
        if let Some(last) = window.steps.last() {
            let idle = step.start_us - window.busy_until_us;
            let limit = window.gaps.idle_limit_us() + clock_slack_us(&step, last.end_us);
            if idle > limit || window.steps.len() >= MAX_CLIENT_STEPS {
                window.close(&mut self.analyser, context);
            } else {
                window.gaps.record(idle);
            }
        }
        if work {
            let first = window.steps.first();
            window.several_sessions |= first.is_some_and(|first| first.session != step.session);
            window.steps.push(step);
        }
        window.busy_until_us = window.busy_until_us.max(step.end_us);
    }

    fn requested(&mut self, step: Step, request: u64, context: Context<'_>) {
        let open = self.requests.entry(request).or_default();
        open.steps.push(step);
        open.last_us = open.last_us.max(step.end_us);
        if open.steps.len() >= MAX_STEPS {
            let steps = std::mem::take(&mut open.steps);
            self.analyser
                .window(&View::new(&steps, WindowBound::Tag), context);
        }
        if self.requests.len() > MAX_REQUESTS {
            self.close_idle_requests(context);
        }
    }

    /// Closes the longer idle half of the requests.
    fn close_idle_requests(&mut self, context: Context<'_>) {
        let mut by_age: Vec<(i64, u64)> = self
            .requests
            .iter()
            .map(|(id, request)| (request.last_us, *id))
            .collect();
        by_age.sort_unstable();
        by_age.truncate(MAX_REQUESTS / 2);
        for (_, id) in by_age {
            if let Some(request) = self.requests.remove(&id) {
                let view = View::new(&request.steps, WindowBound::Tag);
                self.analyser.window(&view, context);
            }
        }
    }

    /// Sessions to forget when more than the bound are known: the longer idle half, in order of age. Their windows are closed.
    pub(super) fn evict_sessions(&mut self, live: &[u32], context: Context<'_>) -> Vec<u32> {
        if live.len() <= MAX_SESSIONS {
            return Vec::new();
        }
        let mut by_age: Vec<(i64, u32)> = live
            .iter()
            .map(|&at| {
                let busy = self.sessions.get(at as usize).map(|s| s.busy_until_us);
                (busy.unwrap_or(0), at)
            })
            .collect();
        by_age.sort_unstable();
        by_age.truncate(MAX_SESSIONS / 2);
        let evicted: Vec<u32> = by_age.into_iter().map(|(_, at)| at).collect();
        self.end_sessions(&evicted, context);
        evicted
    }

    /// Closes the windows of sessions.
    pub(super) fn end_sessions(&mut self, ended: &[u32], context: Context<'_>) {
        for &at in ended {
            if let Some(session) = self.sessions.get_mut(at as usize) {
                std::mem::take(session).close_all(&mut self.analyser, context);
            }
        }
    }

    /// Closes every window, in order of sessions and then of requests' first statements.
    pub(super) fn close(&mut self, context: Context<'_>) {
        for mut client in std::mem::take(&mut self.clients) {
            client.close(&mut self.analyser, context);
        }
        for mut session in std::mem::take(&mut self.sessions) {
            session.close_all(&mut self.analyser, context);
        }
        let mut requests: Vec<Request> = std::mem::take(&mut self.requests)
            .into_iter()
            .map(|(_, request)| request)
            .filter(|request| !request.steps.is_empty())
            .collect();
        requests.sort_by_key(|request| {
            let first = request.steps[0].origin;
            (first.file, first.line)
        });
        for request in requests {
            let view = View::new(&request.steps, WindowBound::Tag);
            self.analyser.window(&view, context);
        }
        self.analyser.finish(context);
    }
}

/// What is known of queries and symbols, for whoever looks at steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) known: &'a [Known],
    pub(super) symbols: &'a Symbols,
}

fn is_work(role: Role) -> bool {
    matches!(role, Role::Point | Role::List | Role::Write | Role::Other)
}

impl ClientWindow {
    fn close(&mut self, analyser: &mut Analyser, context: Context<'_>) {
        analyser.mixed_window(&self.steps, context);
        if self.several_sessions {
            let view = View {
                continued: self.continued,
                ..View::new(&self.steps, WindowBound::Parallel)
            };
            analyser.client_window(&view, context);
        }
        self.continued = self.steps.len() >= MAX_CLIENT_STEPS;
        self.steps.clear();
        self.gaps = Gaps::default();
        self.several_sessions = false;
    }
}

impl Session {
    fn touch(&mut self, step: &Step) {
        self.busy_until_us = self.busy_until_us.max(step.end_us);
    }

    fn ddl(&mut self, end_us: i64) {
        if self.ddl_us.len() == MAX_DDL {
            self.ddl_us.pop_front();
        }
        self.ddl_us.push_back(end_us);
    }

    fn begin(&mut self, analyser: &mut Analyser, context: Context<'_>) {
        self.end(Ending::Kept, analyser, context);
        self.transaction = Some(OpenTransaction {
            explicit: true,
            steps: std::mem::take(&mut self.spare),
            busy_before_us: self.busy_until_us,
            ..OpenTransaction::default()
        });
    }

    /// A transaction ends: with two statements or more it was a window of its own, with one it belongs to the burst.
    fn end(&mut self, ending: Ending, analyser: &mut Analyser, context: Context<'_>) {
        let Some(mut open) = self.transaction.take() else {
            return;
        };
        let tested = ending == Ending::Undone && open.wrote && !open.failed;
        match open.steps.as_slice() {
            [] => {}
            [only] if !open.continued => {
                self.burst(*only, open.busy_before_us, analyser, context);
            }
            steps => {
                self.close_burst(analyser, context);
                let unit = if tested {
                    Unit::Test
                } else {
                    Unit::transaction(open.explicit)
                };
                self.analyse(steps, unit, analyser, context);
            }
        }
        open.steps.clear();
        self.spare = open.steps;
    }

    /// Back to a savepoint: with nothing failed before, that is how test runners end a test.
    fn undo(&mut self, analyser: &mut Analyser, context: Context<'_>) {
        let Some(open) = self.transaction.as_mut() else {
            return;
        };
        if std::mem::take(&mut open.failed) {
            return;
        }
        self.unit_ends(Unit::Test, analyser, context);
    }

    /// A unit of work ends within the open transaction.
    fn unit_ends(&mut self, unit: Unit, analyser: &mut Analyser, context: Context<'_>) {
        let Some(open) = self.transaction.as_mut() else {
            return;
        };
        open.continued = true;
        let steps = std::mem::take(&mut open.steps);
        self.close_burst(analyser, context);
        self.analyse(&steps, unit, analyser, context);
        self.recent.clear();
    }

    fn boundary(&mut self, analyser: &mut Analyser, context: Context<'_>) {
        if let Some(open) = self.transaction.as_mut() {
            let steps = std::mem::take(&mut open.steps);
            let unit = Unit::transaction(open.explicit);
            self.close_burst(analyser, context);
            self.analyse(&steps, unit, analyser, context);
        } else {
            self.close_burst(analyser, context);
        }
        self.recent.clear();
    }

    fn work(&mut self, step: Step, id: u64, analyser: &mut Analyser, context: Context<'_>) {
        if let Some(open) = &self.transaction
            && !open.explicit
            && open.id != id
        {
            self.end(Ending::Kept, analyser, context);
        }
        if self.transaction.is_none() && id != 0 && id == self.last_id && !self.steps.is_empty() {
            self.transaction = self.steps.pop().map(|first| OpenTransaction {
                id,
                steps: vec![first],
                ..OpenTransaction::default()
            });
        }
        let Some(open) = &mut self.transaction else {
            self.burst(step, self.busy_until_us, analyser, context);
            self.last_id = id;
            return;
        };
        open.failed |= step.failed;
        open.wrote |= context.known[step.query as usize].traits.writes.is_some();
        open.steps.push(step);
        if open.steps.len() >= MAX_STEPS {
            open.continued = true;
            let steps = std::mem::take(&mut open.steps);
            let unit = Unit::transaction(open.explicit);
            self.close_burst(analyser, context);
            self.analyse(&steps, unit, analyser, context);
        }
    }

    /// Appends to the burst, or starts another after an idle gap since `busy_before_us`.
    fn burst(
        &mut self,
        step: Step,
        busy_before_us: i64,
        analyser: &mut Analyser,
        context: Context<'_>,
    ) {
        if let Some(last) = self.steps.last() {
            let idle = step.start_us - last.end_us.max(busy_before_us);
            let slack = clock_slack_us(&step, last.end_us);
            let limit = match self.gaps.idle_limit_us() {
                limit if last.query == step.query => {
                    (limit * SAME_STATEMENT_FACTOR).min(MAX_IDLE_GAP_US)
                }
                limit => limit,
            };
            if idle > limit + slack || self.steps.len() >= MAX_STEPS {
                self.close_burst(analyser, context);
            } else {
                self.gaps.record(idle);
            }
        }
        self.steps.push(step);
    }

    fn close_burst(&mut self, analyser: &mut Analyser, context: Context<'_>) {
        let mut steps = std::mem::take(&mut self.steps);
        self.analyse(&steps, Unit::Burst, analyser, context);
        steps.clear();
        self.steps = steps;
        self.gaps = Gaps::default();
        self.last_id = 0;
    }

    fn analyse(
        &mut self,
        steps: &[Step],
        unit: Unit,
        analyser: &mut Analyser,
        context: Context<'_>,
    ) {
        if steps.is_empty() {
            return;
        }
        let view = View {
            steps,
            bound: match unit {
                Unit::Burst => WindowBound::Idle,
                Unit::Transaction | Unit::ImplicitTransaction | Unit::Test => {
                    WindowBound::Transaction
                }
            },
            recent: self.recent.make_contiguous(),
            ddl_us: self.ddl_us.make_contiguous(),
            implicit: unit == Unit::ImplicitTransaction,
            undone: unit == Unit::Test,
            continued: false,
        };
        analyser.window(&view, context);
        self.remember_drivers(steps, context);
    }

    /// Keeps the window's last queries that could drive a loop in a window that follows.
    fn remember_drivers(&mut self, steps: &[Step], context: Context<'_>) {
        let may_drive = |step: &&Step| {
            !step.failed && context.known[step.query as usize].traits.can_drive() && step.limit != 1
        };
        let mut latest: [&Step; MAX_RECENT] = [&steps[0]; MAX_RECENT];
        let mut n = 0;
        for step in steps.iter().rev().filter(may_drive) {
            if latest[..n].iter().all(|known| known.query != step.query) {
                latest[n] = step;
                n += 1;
                if n == MAX_RECENT {
                    break;
                }
            }
        }
        let latest = &latest[..n];
        self.recent
            .retain(|known| latest.iter().all(|step| step.query != known.query));
        let n_too_many = (self.recent.len() + n).saturating_sub(MAX_RECENT);
        self.recent.drain(..n_too_many);
        self.recent.extend(latest.iter().rev().copied());
    }

    fn close_all(&mut self, analyser: &mut Analyser, context: Context<'_>) {
        self.end(Ending::Kept, analyser, context);
        self.close_burst(analyser, context);
    }
}

/// With a log clock of whole seconds (`%t`), a gap may seem a second longer than it was.
pub(super) fn clock_slack_us(step: &Step, last_end_us: i64) -> i64 {
    const SECOND_US: i64 = 1_000_000;
    let whole = |t: i64| t % SECOND_US == 0;
    if whole(step.end_us) && whole(last_end_us) {
        SECOND_US
    } else {
        0
    }
}
