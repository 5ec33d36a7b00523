//! The fold: a sink for events that keeps per-fingerprint statistics, windows and bursts in bounded memory.
//!
//! A fold either *leads* (it has seen the input from its start, so it runs the windows as events come) or *follows* (it folds a later chunk:
//! statistics at once, and a compact list of executions that the leading fold replays on [`Sink::append`]). Windows depend on all that
//! came before; replaying makes any chunking equal to one pass by construction, at a small part of the cost of reading.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{
    Event, Fact, FactKind, InputFacts, LetGo, Origin, Outcome, Pace, PlannedBefore, Protocol,
    Schedule, Sink, Statement, Text, Who, Workload,
    activity::{Activity, Later, Moment, hash_of},
    coverage::Covered,
    known::{Known, NO_QUERY, TOO_MANY_QUERIES},
    operands::{Sent, operand_values},
    own::{self, OWN_STATEMENTS},
    people::People,
    prepared::Named,
    request::request_and_tags,
    role::Traits,
    sampling::{Drawn, Sampled},
    skips::Skips,
    statistics::{Observed, QueryStatistics},
    symbols::Symbols,
    template::{Lookup, Slot, Templates},
    transaction::transaction_hash,
    value::Value,
    window::{Context, MAX_PARTS, Place, Step, Windows},
};
use crate::sql::Fingerprint;

/// New sessions after which the number of known ones is checked against its bound.
const SESSIONS_PER_CHECK: usize = 1024;
/// Distinct fingerprints, and names, that an emptied fold goes on to know; beyond, it starts anew.
const MAX_LOCAL_QUERIES: usize = 4096;
const MAX_LOCAL_NAMES: usize = 4096;
/// Statistics whose memory an emptied fold keeps for the next chunk; with more in a chunk, most are not needed again soon.
const MAX_LOCAL_STATISTICS: usize = 1024;
/// An input that starts so long before the one ahead of it ends is another server's log, microseconds: its processes are others.
const OVERLAP_US: i64 = 60_000_000;

/// An execution kept for the leading fold.
#[derive(Debug, Clone, Copy)]
struct Deferred {
    /// With symbols of the fold that keeps it; without key.
    step: Step,
    place: Place,
    /// Where its operands' values start, and how many there are.
    values: (u32, u16),
}

/// How windows are handled.
#[derive(Debug)]
enum Mode {
    /// From the input's start: windows run, if they are wanted.
    Leading(Option<Box<Windows>>),
    /// A later chunk: executions wait for the leading fold, if windows are wanted.
    Following(Option<Kept>),
}

/// Executions kept for the leading fold, and their operands' values.
#[derive(Debug, Default)]
struct Kept {
    deferred: Vec<Deferred>,
    values: Vec<Value>,
}

/// Numbers of a fold's queries, clients and labels in the fold that it is appended to.
#[derive(Debug, Default)]
struct Renumber {
    queries: Vec<u32>,
    clients: Vec<u32>,
    labels: Vec<u32>,
}

/// Folds events into a [`Workload`].
#[derive(Debug)]
pub struct Fold {
    pub(super) templates: Templates,
    /// `None` for queries that were let go of.
    pub(super) statistics: Vec<Option<Box<QueryStatistics>>>,
    /// Queries that were executed since this fold was empty.
    pub(super) touched: Vec<u32>,
    pub(super) known: Vec<Known>,
    pub(super) query_at: HashMap<Fingerprint, u32, foldhash::fast::FixedState>,
    /// Queries with statistics.
    pub(super) n_live: usize,
    pub(super) symbols: Symbols,
    mode: Mode,
    covers: Vec<Covered>,
    pub(super) skips: Skips,
    /// What queries took whose statistics are gone, or were never kept.
    pub(super) let_go: LetGo,
    /// Those of them that stand for more than themselves.
    pub(super) let_go_sampled: Sampled,
    /// How the input was sampled, where it was and somebody knows.
    pub(super) schedule: Option<Arc<Schedule>>,
    /// Operand values of the execution at hand.
    values: Vec<Value>,
    sessions_since_check: usize,
    /// Sessions, load, incidents.
    activity: Activity,
    /// Places of the parameters of the execution at hand.
    sent: Vec<Sent>,
    renumber: Renumber,
    /// Numbers of the appended fold's sessions here.
    session_numbers: Vec<u32>,
    /// Clients and sessions by [`Statement::who`].
    people: People,
}

impl Default for Fold {
    /// A fold for a later chunk; see [`Fold::leading`]. It finishes by itself too, only its memory is not bounded until then.
    fn default() -> Self {
        Self::in_mode(Mode::Following(Some(Kept::default())))
    }
}

impl Fold {
    /// A fold that sees the input from its start. Folds of later chunks come from `Fold::default()` and are appended in order.
    #[must_use]
    pub fn leading() -> Self {
        Self::in_mode(Mode::Leading(Some(Box::default())))
    }

    /// The same fold for who asks for no repetitions: it keeps statistics only, and what it is appended to or appends must do the same.
    #[must_use]
    pub fn without_windows(mut self) -> Self {
        match &mut self.mode {
            Mode::Leading(windows) => *windows = None,
            Mode::Following(kept) => *kept = None,
        }
        self
    }

    pub(super) fn is_leading(&self) -> bool {
        matches!(self.mode, Mode::Leading(_))
    }

    /// Executions go to windows as they come.
    pub(super) fn runs_windows(&self) -> bool {
        matches!(self.mode, Mode::Leading(Some(_)))
    }

    /// Lets go of what windows and sessions know of a query.
    pub(super) fn forget_query(&mut self, query: u32) {
        if let Mode::Leading(Some(windows)) = &mut self.mode {
            windows.analyser.forget(query);
        }
        self.activity.forget_query(query);
    }

    fn in_mode(mode: Mode) -> Self {
        Self {
            templates: Templates::default(),
            statistics: Vec::new(),
            touched: Vec::new(),
            known: Vec::new(),
            query_at: HashMap::default(),
            n_live: 0,
            symbols: match mode {
                Mode::Leading(_) => Symbols::default(),
                // the bounds of names are the leading fold's
                Mode::Following(_) => Symbols::unbounded(),
            },
            mode,
            covers: Vec::new(),
            skips: Skips::default(),
            let_go: LetGo::default(),
            let_go_sampled: Sampled::default(),
            schedule: None,
            values: Vec::new(),
            sessions_since_check: 0,
            activity: Activity::default(),
            sent: Vec::new(),
            renumber: Renumber::default(),
            session_numbers: Vec::new(),
            people: People::default(),
        }
    }

    /// Ends the fold. `inputs` are the files in the order of their numbers; what they covered is filled in.
    #[must_use]
    pub fn finish(self, mut inputs: Vec<InputFacts>) -> Workload {
        let mut fold = self.led();
        let context = Context {
            known: &fold.known,
            symbols: &fold.symbols,
        };
        let (mut repetitions, pace) = match &mut fold.mode {
            Mode::Leading(Some(windows)) => {
                windows.close(context);
                let repetitions = windows.analyser.take(context);
                (repetitions, windows.analyser.pacer.take(context))
            }
            _ => (Vec::new(), Pace::default()),
        };
        // of one that was let go of, nothing else is known
        repetitions.retain(|repetition| fold.is_live(repetition.child));
        repetitions.sort_by_key(|repetition| repetition.child);
        for (input, cover) in inputs.iter_mut().zip(std::mem::take(&mut fold.covers)) {
            cover.describe(input);
        }
        let skipped = fold.skips.told(&inputs);
        let weights = fold.weights(&inputs);
        let let_go = LetGo {
            estimate: weights.as_deref().map(|weights| {
                let logged = (fold.let_go.n_calls, fold.let_go.total_us);
                fold.let_go_sampled.estimate(logged, false, weights)
            }),
            ..fold.let_go
        };
        let activity = std::mem::take(&mut fold.activity);
        let fingerprint = |query: u32| fold.known[query as usize].fingerprint;
        let (activity, phases, series) = activity.finish(&fold.symbols, fingerprint);
        let queries = fold.queries(&phases, series, weights.as_deref());
        Workload {
            activity: Box::new(activity),
            sampled: fold.sample_facts(&queries, let_go, &inputs, weights.is_some()),
            queries,
            inputs,
            skipped,
            repetitions,
            pace,
            let_go,
            watched: None,
        }
    }

    /// The same fold, leading.
    fn led(mut self) -> Self {
        match self.mode {
            Mode::Leading(_) => self,
            Mode::Following(ref kept) => {
                let mut leading = match kept {
                    Some(_) => Self::leading(),
                    None => Self::leading().without_windows(),
                };
                leading.schedule.clone_from(&self.schedule);
                leading.append(&mut self);
                leading
            }
        }
    }

    fn statement(&mut self, statement: &Statement<'_>) {
        if own::is_own(statement.text.raw()) {
            self.skips
                .add(OWN_STATEMENTS, 1, statement.origin, statement.text.raw());
            return;
        }
        let drawn = self.drawn(statement);
        if let Some((step, place)) = self.recorded(statement, 1, drawn)
            && !matches!(self.mode, Mode::Leading(None) | Mode::Following(None))
        {
            self.execution(step, place, statement);
        }
    }

    /// Counts a statement as `n_calls` executions; what windows need to know of it, unless there are too many fingerprints.
    fn recorded(
        &mut self,
        statement: &Statement<'_>,
        n_calls: u64,
        drawn: Drawn,
    ) -> Option<(Step, Place)> {
        let slot = self.understood(statement.who, statement.text);
        self.cover(statement.origin).statement(statement, n_calls);
        let query = self.templates.get(slot).query;
        if query == NO_QUERY {
            self.skips
                .add(TOO_MANY_QUERIES, 1, statement.origin, statement.text.raw());
            let total_us = statement.duration_us.unwrap_or(0).saturating_mul(n_calls);
            self.let_go.add(n_calls, total_us);
            if let Drawn::Share(weight) = drawn {
                self.let_go_sampled.record(weight, total_us);
            }
            return None;
        }
        let client = self.people.client(statement, &mut self.symbols);
        self.live(query, statement.text);
        let template = self.templates.get(slot);
        let statistics = self.statistics[query as usize].get_or_insert_default();
        if !statistics.is_touched() {
            self.touched.push(query);
        }
        let is_first = statistics.record(&Observed {
            origin: statement.origin,
            time_us: statement.time_us,
            duration_us: statement.duration_us,
            plan_us: statement.plan_us,
            n_parses: statement.n_parses,
            query_id: statement.query_id,
            protocol: statement.protocol,
            failed: statement.outcome != Outcome::Finished,
            text: statement.text,
            parameters: statement.parameters,
            client,
            label: template.label,
            n_calls,
            drawn,
        });
        if template.operands.is_empty() {
            self.values.clear();
        } else {
            operand_values(
                template,
                statement.parameters,
                statistics,
                &mut self.sent,
                &mut self.values,
            );
            statistics.value_set(hash_of(&self.values));
        }
        if is_first {
            self.known[query as usize].shown_by(statement.text, statement.origin);
        }
        let step = Step {
            query,
            client,
            label: template.label,
            ..step_of(statement)
        };
        let place = Place {
            request: template.request,
            transaction: transaction_hash(statement.transaction),
        };
        Some((step, place))
    }

    /// Hands the execution at hand to the windows, or keeps it for them.
    fn execution(&mut self, mut step: Step, place: Place, statement: &Statement<'_>) {
        let (number, is_new) = self.people.session(statement, &mut self.symbols);
        step.session = number;
        let values = std::mem::take(&mut self.values);
        self.keep_or_run(step, place, &values);
        self.values = values;
        if is_new {
            self.check_sessions();
        }
    }

    fn keep_or_run(&mut self, mut step: Step, place: Place, operands: &[Value]) {
        if self.runs_windows() {
            self.executed(&step);
        }
        match &mut self.mode {
            Mode::Leading(Some(windows)) => {
                let traits = &self.known[step.query as usize].traits;
                keyed(&mut step, traits, operands);
                let context = Context {
                    known: &self.known,
                    symbols: &self.symbols,
                };
                windows.step(step, place, context);
                let transaction = self.known[step.query as usize].transaction;
                self.activity
                    .statement(&step, place, transaction, operands, &self.symbols);
            }
            Mode::Following(Some(Kept { deferred, values })) => {
                let start = u32::try_from(values.len()).unwrap_or(u32::MAX);
                let n = u16::try_from(operands.len()).unwrap_or(u16::MAX);
                values.extend_from_slice(operands);
                deferred.push(Deferred {
                    step,
                    place,
                    values: (start, n),
                });
            }
            Mode::Leading(None) | Mode::Following(None) => {}
        }
    }

    /// Closes the longest idle sessions when too many are known. Returns whether numbers were freed.
    fn check_sessions(&mut self) -> bool {
        self.sessions_since_check += 1;
        let Mode::Leading(Some(windows)) = &mut self.mode else {
            return false;
        };
        if self.sessions_since_check < SESSIONS_PER_CHECK
            || self.symbols.n_sessions() < SESSIONS_PER_CHECK
        {
            return false;
        }
        self.sessions_since_check = 0;
        self.people.clear();
        let live = self.symbols.live_sessions();
        let context = Context {
            known: &self.known,
            symbols: &self.symbols,
        };
        let evicted = windows.evict_sessions(&live, context);
        self.activity.forget(&evicted, &self.symbols);
        self.symbols.forget_sessions(&evicted);
        !evicted.is_empty()
    }

    /// Ends all sessions where another server's log starts: the same process ids are other sessions there. Rotated files of one log go on.
    fn at_input_border(&mut self, following: &[Covered]) {
        let Some((file, next)) = (following.iter().enumerate()).find(|(_, c)| c.times().is_some())
        else {
            return;
        };
        let is_new = self.covers.get(file).is_none_or(|c| c.times().is_none());
        let before = self.covers.iter().take(file).rev().find_map(Covered::times);
        if let (true, Some((_, ended)), Some((starts, _))) = (is_new, before, next.times())
            && starts.saturating_add(OVERLAP_US) < ended
        {
            self.end_sessions();
        }
    }

    fn end_sessions(&mut self) {
        let Mode::Leading(Some(windows)) = &mut self.mode else {
            return;
        };
        self.people.clear();
        let live = self.symbols.live_sessions();
        let context = Context {
            known: &self.known,
            symbols: &self.symbols,
        };
        windows.end_sessions(&live, context);
        self.activity.forget(&live, &self.symbols);
        self.symbols.forget_sessions(&live);
    }

    /// Finds out what a text is: the query it is an instance of, its operands and its tags.
    fn understood(&mut self, who: u32, text: Text<'_>) -> Slot {
        match self.templates.look_up(who, text) {
            Lookup::Known(slot) => slot,
            Lookup::Commented(hash) => {
                let tags = self.tags(text.decode(&mut Vec::new()));
                self.templates.tag(who, text, hash, tags)
            }
            Lookup::New(fingerprint, hash) => {
                let mut scratch = Vec::new();
                let sql = text.decode(&mut scratch);
                let query = match self.query_at.get(&fingerprint) {
                    Some(&query) => query,
                    None => self.admit(Known::of(fingerprint, self.templates.normalised(), sql)),
                };
                let tags = self.tags(sql);
                self.templates.learn(text, hash, query, tags)
            }
        }
    }

    /// More time of a call that is counted elsewhere; a statement that was prepared and not run at once.
    fn more_time(&mut self, statement: &Statement<'_>) {
        let slot = self.understood(statement.who, statement.text);
        let query = self.templates.get(slot).query;
        if query == NO_QUERY {
            return;
        }
        self.live(query, statement.text);
        let statistics = self.statistics[query as usize].get_or_insert_default();
        if !statistics.is_touched() {
            self.touched.push(query);
        }
        let more_us = statement.duration_us.unwrap_or(0);
        statistics.more_time(more_us, statement.plan_us, statement.n_parses);
        if statement.n_parses > 0 && statement.name != 0 {
            let moment = Moment::Parsed {
                name: statement.name,
                query,
                plan_us: u32::try_from(statement.plan_us).unwrap_or(u32::MAX),
            };
            self.moment(statement.session, moment);
        }
    }

    /// What is no execution.
    fn fact(&mut self, fact: &Fact<'_>) {
        self.cover(fact.origin).fact(fact);
        self.activity.counter.fact(fact);
        let who = match fact.kind {
            FactKind::Connected { who } | FactKind::Disconnected { who, .. } => who,
            _ => Who::default(),
        };
        let pick = |told, prefix| if Who::is_known(told) { told } else { prefix };
        let client = self.symbols.intern_client(
            pick(who.user, fact.user),
            pick(who.database, fact.database),
            pick(who.application, fact.application),
        );
        if let Some(moment) = Moment::of(fact, client).filter(|_| !fact.session.is_empty()) {
            self.moment(fact.session, moment);
        }
    }

    /// Something that happens to a session: now, or when the leading fold comes to it.
    fn moment(&mut self, session: &[u8], moment: Moment) {
        if matches!(self.mode, Mode::Leading(None) | Mode::Following(None)) {
            return;
        }
        let (session, is_new) = self.symbols.intern_session(session);
        match &self.mode {
            Mode::Following(Some(kept)) => self.activity.later.push(Later {
                after: kept.deferred.len(),
                session,
                moment,
            }),
            _ => self.activity.moment(session, moment, &self.symbols),
        }
        if is_new {
            self.check_sessions();
        }
    }

    /// The request and the number of the other tags in a text's comments.
    fn tags(&mut self, sql: &[u8]) -> (u64, u32) {
        let (request, tags) = request_and_tags(sql);
        (request, self.symbols.intern_label(tags))
    }

    /// What is known of the coverage of that input.
    pub(super) fn cover(&mut self, origin: Origin) -> &mut Covered {
        let file = origin.file as usize;
        if self.covers.len() <= file {
            self.covers.resize(file + 1, Covered::default());
        }
        &mut self.covers[file]
    }

    /// Takes over what is new to this fold of another's queries, clients and labels; the other notes their numbers here.
    fn adopt(&mut self, following: &mut Self) {
        let renumber = &mut following.renumber;
        for known in &following.known[renumber.queries.len()..] {
            let fingerprint = known.fingerprint;
            let query = match self.query_at.get(&fingerprint) {
                Some(&query) => query,
                None => self.admit(known.raw()),
            };
            renumber.queries.push(query);
        }
        let Renumber {
            clients, labels, ..
        } = renumber;
        self.symbols.adopt(&following.symbols, clients, labels);
    }

    /// Empties a fold whose state was taken over. What it knows of texts and names stays, until it is much.
    fn empty(&mut self) {
        if self.touched.len() > MAX_LOCAL_STATISTICS {
            for &query in &self.touched {
                self.statistics[query as usize] = Some(Box::default());
            }
        }
        self.touched.clear();
        self.skips.clear();
        self.covers.clear();
        self.activity.later.clear();
        self.symbols.clear_sessions();
        self.people.clear();
        self.templates.forget_writers();
        if self.known.len() > MAX_LOCAL_QUERIES || self.symbols.n_names() > MAX_LOCAL_NAMES {
            let is_counting = matches!(self.mode, Mode::Following(None));
            let schedule = self.schedule.take();
            *self = Self::default();
            self.schedule = schedule;
            if is_counting {
                self.mode = Mode::Following(None);
            }
        }
    }

    /// Replays the executions that a following fold kept.
    fn replay(&mut self, following: &mut Self) {
        let Mode::Following(Some(Kept { deferred, values })) = &mut following.mode else {
            return;
        };
        let sessions = following.symbols.session_ids();
        let renumber = &following.renumber;
        let mut numbers = std::mem::take(&mut self.session_numbers);
        numbers.clear();
        numbers.resize(sessions.len(), UNKNOWN_SESSION);
        let later = std::mem::take(&mut following.activity.later);
        let mut later = later.iter().peekable();
        for (n_before, kept) in deferred.iter().enumerate() {
            while let Some(due) = later.next_if(|due| due.after <= n_before) {
                if self.replay_moment(due, &sessions, renumber) {
                    numbers.fill(UNKNOWN_SESSION);
                }
            }
            let query = renumber.queries[kept.step.query as usize];
            if query == NO_QUERY {
                continue;
            }
            let number = &mut numbers[kept.step.session as usize];
            let mut is_new = false;
            if *number == UNKNOWN_SESSION {
                (*number, is_new) = self
                    .symbols
                    .intern_session(sessions[kept.step.session as usize]);
            }
            let step = Step {
                query,
                client: renumber.clients[kept.step.client as usize],
                label: renumber.labels[kept.step.label as usize],
                session: *number,
                ..kept.step
            };
            let (start, n) = (kept.values.0 as usize, usize::from(kept.values.1));
            let values = values.get(start..start + n).unwrap_or_default();
            self.keep_or_run(step, kept.place, values);
            if is_new && self.check_sessions() {
                numbers.fill(UNKNOWN_SESSION);
            }
        }
        for due in later {
            self.replay_moment(due, &sessions, renumber);
        }
        self.session_numbers = numbers;
        deferred.clear();
        values.clear();
    }

    /// Replays what happened to a session. Returns whether numbers of sessions were freed.
    fn replay_moment(&mut self, due: &Later, sessions: &[&[u8]], renumber: &Renumber) -> bool {
        let moment = due.moment.renumbered(&renumber.clients, &renumber.queries);
        if matches!(moment, Moment::Parsed { query, .. } if query == NO_QUERY) {
            return false;
        }
        let (session, is_new) = self.symbols.intern_session(sessions[due.session as usize]);
        self.activity.moment(session, moment, &self.symbols);
        is_new && self.check_sessions()
    }
}

/// Stands for a session that has no number yet.
const UNKNOWN_SESSION: u32 = u32::MAX;

impl Sink for Fold {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Statement(statement) => self.statement(statement),
            // a weight is a rate: it says nothing of sessions and loops, so windows don't see it
            Event::Weighted { statement, n_calls } if *n_calls > 0 => {
                self.recorded(statement, *n_calls, Drawn::Itself);
            }
            Event::Fact(fact) => self.fact(fact),
            Event::MoreTime(statement) => self.more_time(statement),
            Event::Weighted { .. } => {}
        }
    }

    fn skipped(&mut self, reason: &'static str, origin: Origin, example: &[u8]) {
        self.skips.add(reason, 1, origin, example);
    }

    fn planned_before(&mut self, planned: &[PlannedBefore]) {
        let Mode::Following(Some(kept)) = &mut self.mode else {
            return;
        };
        if planned.is_empty() {
            return;
        }
        let place = |origin: Origin| (origin.file, origin.line);
        for Deferred { step, .. } in &mut kept.deferred {
            let at = planned.binary_search_by_key(&place(step.origin), |p| place(p.origin));
            if let Ok(at) = at {
                step.planned_before(planned[at].plan_us, planned[at].n_parses);
            }
        }
    }

    fn append(&mut self, following: &mut Self) {
        if matches!(following.mode, Mode::Leading(_)) {
            // it saw its input from the start: its windows are closed facts, and can't be joined with ours
            debug_assert!(false, "only following folds are appended");
            return;
        }
        self.at_input_border(&following.covers);
        self.adopt(following);
        let renumber = &following.renumber;
        for &local in &following.touched {
            let local = local as usize;
            let Some(theirs) = &mut following.statistics[local] else {
                continue;
            };
            let query = renumber.queries[local];
            if query == NO_QUERY {
                self.skips.add_more(TOO_MANY_QUERIES, theirs.n_calls());
                self.let_go.add(theirs.n_calls(), theirs.total_us());
                if let Some(sampled) = theirs.sampled() {
                    self.let_go_sampled.merge(sampled);
                }
                **theirs = QueryStatistics::default();
                continue;
            }
            if self.statistics[query as usize].is_none() {
                self.take_back(query, following.known[local].raw());
            }
            self.known[query as usize].shown_as(&following.known[local]);
            let mine = self.statistics[query as usize].get_or_insert_default();
            if !mine.is_touched() {
                self.touched.push(query);
            }
            mine.append(theirs, &renumber.clients, &renumber.labels);
        }
        let incidents = std::mem::take(&mut following.activity.counter.incidents);
        self.activity.counter.add(incidents);
        self.replay(following);
        self.skips.append(std::mem::take(&mut following.skips));
        if self.covers.len() < following.covers.len() {
            self.covers
                .resize(following.covers.len(), Covered::default());
        }
        for (mine, theirs) in self
            .covers
            .iter_mut()
            .zip(std::mem::take(&mut following.covers))
        {
            mine.append(theirs);
        }
        following.empty();
        self.let_go();
    }
}

/// Fills in the key from the operands' values.
fn keyed(step: &mut Step, traits: &Traits, values: &[Value]) {
    let value = |at: u16| values.get(usize::from(at)).copied().unwrap_or_default();
    step.width = 1;
    for (part, &at) in traits.key.iter().enumerate() {
        let value = value(at);
        step.key = combine(step.key, value.bits);
        step.width = step.width.max(value.width);
        if part < MAX_PARTS {
            step.parts[part] = value.bits;
        }
    }
    for &at in &traits.paging {
        step.paging = combine(step.paging, value(at).bits);
    }
    if let Some(limit) = traits.limit {
        step.limit = value(limit)
            .integer()
            .and_then(|rows| u32::try_from(rows).ok())
            .unwrap_or(0);
    }
}

fn combine(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The parts of a step that need no table.
fn step_of(statement: &Statement<'_>) -> Step {
    let busy_us = statement.duration_us.unwrap_or(0) + statement.plan_us;
    Step {
        start_us: statement
            .time_us
            .saturating_sub(i64::try_from(busy_us).unwrap_or(i64::MAX)),
        end_us: statement.time_us,
        duration_us: statement.duration_us,
        failed: statement.outcome != Outcome::Finished,
        simple: statement.protocol == Protocol::Simple,
        origin: statement.origin,
        named: Named {
            name: statement.name,
            parsed: statement.n_parses > 0,
            plan_us: u32::try_from(statement.plan_us).unwrap_or(u32::MAX),
        },
        ..Step::default()
    }
}
