//! How units of work spend their time: transactions that wait for the application, look-ups in a row that do not need each other,
//! silences of a whole application, and how many statements one unit takes.
//!
//! Facts only, in bounded memory; what is worth telling is decided by rules.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::{
    WindowBound,
    role::Role,
    symbols::Symbols,
    window::{Context, Step, clock_slack_us},
};
use crate::sql::Fingerprint;

/// Entries of each kind kept apart; later ones are counted in `n_more`.
const MAX_ENTRIES: usize = 512;
/// The same for kinds of units: a test suite has one a test. Later ones are counted in `n_more_units`.
const MAX_UNITS: usize = 8_192;
/// Pauses within a transaction below this are not remembered, microseconds: round trips and rendering take them everywhere.
const MIN_PAUSE_US: i64 = 100_000;
/// Different look-ups by one value in a row from which on they are remembered.
const MIN_SERIES: usize = 4;
/// Look-ups of one series that are named.
const MAX_SERIES: usize = 16;
/// Silence of a whole application that is remembered, microseconds.
const MIN_STALL_US: i64 = 200_000;
/// Statements that must be missing in it, by the rate before.
const MIN_MISSING: f64 = 10.0;
/// How long a statement counts for the rate before a silence, microseconds.
const RATE_US: f64 = 1_000_000.0;
/// Sessions of one application go on together within this after a stall, microseconds.
const TOGETHER_US: i64 = 25_000;
/// That many of them.
const MIN_TOGETHER: usize = 3;

/// How units of work spend their time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pace {
    /// Transactions that were open long with little to do, by application and by the statement before the longest pause.
    pub waits: Vec<Wait>,
    /// Look-ups by one value, one after the other, by the first of them.
    pub series: Vec<Series>,
    /// Silences of an application whose sessions then all went on at once.
    pub stalls: Vec<Stall>,
    /// What units of work took, by application, tags and bound.
    pub units: Vec<Unit>,
    /// Entries beyond those kept apart.
    pub n_more: u64,
    /// Units of work whose kind was not kept apart.
    #[serde(default)]
    pub n_more_units: u64,
}

/// Transactions with a long pause.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Wait {
    /// The application.
    pub application: String,
    /// The statement before the longest pause; the default when that is BEGIN.
    pub before: Fingerprint,
    /// Transactions.
    pub n: u64,
    /// From BEGIN to COMMIT, summed, microseconds.
    pub open_us: u64,
    /// In the database, summed, microseconds.
    pub busy_us: u64,
    /// The longest pause, microseconds.
    pub pause_us: u64,
    /// The transaction with that pause: open, microseconds.
    pub worst_open_us: u64,
    /// See `worst_open_us`: in the database, microseconds.
    pub worst_busy_us: u64,
    /// Its session.
    pub session: String,
    /// File (position in the run's inputs) and 1-based line of its end.
    pub origin: (u32, u64),
}

/// Different look-ups by one value in a row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Series {
    /// The look-ups of the longest, in order (at most 16).
    pub queries: Vec<Fingerprint>,
    /// The application.
    pub application: String,
    /// Units of work with such a series.
    pub n: u64,
    /// Look-ups in them.
    pub n_statements: u64,
    /// The longest.
    pub n_statements_max: u64,
    /// From the first start to the last end, summed, microseconds.
    pub span_us: u64,
    /// Time in the database, summed, microseconds.
    pub busy_us: u64,
    /// Session of the first.
    pub session: String,
    /// File and line of its first statement.
    pub origin: (u32, u64),
}

/// Silences of one application.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Stall {
    /// The application.
    pub application: String,
    /// How many.
    pub n: u64,
    /// Silent, summed, microseconds.
    pub silent_us: u64,
    /// The longest, microseconds.
    pub longest_us: u64,
    /// Statements a second before it.
    pub rate: f64,
    /// Sessions that went on together after it.
    pub n_sessions: u64,
    /// File and line of the first statement after it.
    pub origin: (u32, u64),
    /// When it ended, microseconds since the epoch.
    pub end_us: i64,
}

/// What units of one kind took.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Unit {
    /// The application.
    pub application: String,
    /// Route, test, job … as `key=value`, sorted.
    pub tags: Vec<String>,
    /// What bounds them.
    pub bound: WindowBound,
    /// Units of work.
    pub n: u64,
    /// Statements in all of them.
    pub n_statements: u64,
    /// The unit with most statements; `n` counts them.
    pub longest: Peak,
    /// The unit that executed one statement most often; `n` counts these executions.
    pub most_repeats: Peak,
}

/// The worst of its kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Peak {
    /// How many.
    pub n: u64,
    /// The statement that was executed most often.
    pub repeated: Fingerprint,
    /// Session of the unit.
    pub session: String,
    /// File and line of its first statement.
    pub origin: (u32, u64),
    /// Its statements in order, runs of the same counted: the first 20 runs.
    pub timeline: Vec<(Fingerprint, u64)>,
}

/// Runs in a unit's timeline.
const MAX_TIMELINE: usize = 20;

/// A transaction that is open.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tenure {
    begun_us: i64,
    until_us: i64,
    busy_us: u64,
    pause_us: i64,
    before: Option<u32>,
    last: Option<u32>,
}

/// A silence that just ended: its end, its length (both microseconds), the rate before it, the sessions since, and where it stands.
type Resumed = (i64, i64, f64, Vec<u32>, (u32, u64));

/// One application as a whole.
#[derive(Debug, Clone, Default)]
struct Pulse {
    busy_until_us: i64,
    last_us: i64,
    /// Statements of about the last second.
    rate: f64,
    /// A silence that just ended: its end, its length, the rate before it, the sessions since.
    resumed: Option<Resumed>,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Gathers a [`Pace`].
#[derive(Debug, Default)]
pub(super) struct Pacer {
    waits: Map<(u32, Option<u32>), Wait>,
    series: Map<(u32, u32), (Vec<u32>, Series)>,
    stalls: Map<u32, Stall>,
    units: Map<(u32, u32, WindowBound), Unit>,
    pulses: Vec<Pulse>,
    n_more: u64,
    n_more_units: u64,
}

impl Tenure {
    pub(super) fn begin(step: &Step) -> Self {
        Self {
            begun_us: step.end_us,
            until_us: step.end_us,
            ..Self::default()
        }
    }

    /// Takes the transaction's next statement.
    pub(super) fn step(&mut self, step: &Step) {
        let pause_us = step.start_us - self.until_us - clock_slack_us(step, self.until_us);
        if pause_us > self.pause_us {
            self.pause_us = pause_us;
            self.before = self.last;
        }
        self.until_us = self.until_us.max(step.end_us);
        self.busy_us += u64::try_from(step.end_us - step.start_us).unwrap_or(0);
        self.last = Some(step.query);
    }
}

/// The entry of a key, unless there are too many.
fn entry<'a, K: std::hash::Hash + Eq, V>(
    map: &'a mut Map<K, V>,
    n_more: &mut u64,
    key: K,
    new: impl FnOnce() -> V,
) -> Option<&'a mut V> {
    if map.len() >= MAX_ENTRIES && !map.contains_key(&key) {
        *n_more += 1;
        return None;
    }
    Some(map.entry(key).or_insert_with(new))
}

impl Pacer {
    /// A transaction ended with that step.
    pub(super) fn ended(&mut self, mut tenure: Tenure, step: &Step, context: Context<'_>) {
        let pause_us = step.start_us - tenure.until_us - clock_slack_us(step, tenure.until_us);
        if pause_us > tenure.pause_us {
            tenure.pause_us = pause_us;
            tenure.before = tenure.last;
        }
        if tenure.pause_us < MIN_PAUSE_US || tenure.last.is_none() {
            return;
        }
        let open_us = u64::try_from(step.end_us - tenure.begun_us).unwrap_or(0);
        let key = (step.client, tenure.before);
        let Some(wait) = entry(&mut self.waits, &mut self.n_more, key, || Wait {
            application: context.symbols.application(step.client).to_owned(),
            before: tenure
                .before
                .map(|query| context.known[query as usize].fingerprint)
                .unwrap_or_default(),
            ..Wait::default()
        }) else {
            return;
        };
        wait.n += 1;
        wait.open_us += open_us;
        wait.busy_us += tenure.busy_us;
        let pause_us = u64::try_from(tenure.pause_us).unwrap_or(0);
        if pause_us > wait.pause_us {
            wait.pause_us = pause_us;
            wait.worst_open_us = open_us;
            wait.worst_busy_us = tenure.busy_us;
            context
                .symbols
                .session(step.session)
                .clone_into(&mut wait.session);
            wait.origin = (step.origin.file, step.origin.line);
        }
    }

    /// Any statement of an application, in input order.
    pub(super) fn pulse(&mut self, step: &Step, symbols: &Symbols) {
        let at = step.client as usize;
        if self.pulses.len() <= at {
            self.pulses.resize_with(at + 1, Pulse::default);
        }
        let pulse = &mut self.pulses[at];
        let silent_us =
            step.start_us - pulse.busy_until_us - clock_slack_us(step, pulse.busy_until_us);
        let expected = pulse.rate * silent_us as f64 / RATE_US;
        if silent_us >= MIN_STALL_US && expected >= MIN_MISSING {
            let origin = (step.origin.file, step.origin.line);
            pulse.resumed = Some((step.start_us, silent_us, pulse.rate, Vec::new(), origin));
        }
        if let Some((end_us, _, _, sessions, _)) = &mut pulse.resumed {
            let together = step.start_us - *end_us <= TOGETHER_US;
            if together && !sessions.contains(&step.session) {
                sessions.push(step.session);
            }
            if !together || sessions.len() > MIN_TOGETHER * 4 {
                let resumed = pulse.resumed.take();
                let client = step.client;
                settle(&mut self.stalls, &mut self.n_more, client, resumed, symbols);
            }
        }
        let pulse = &mut self.pulses[at];
        let since_us = (step.end_us - pulse.last_us).max(0) as f64;
        pulse.rate = pulse.rate * (-since_us / RATE_US).exp() + 1.0;
        pulse.last_us = pulse.last_us.max(step.end_us);
        pulse.busy_until_us = pulse.busy_until_us.max(step.end_us);
    }

    /// One closed window.
    pub(super) fn window(&mut self, steps: &[Step], bound: WindowBound, context: Context<'_>) {
        self.units(steps, bound, context);
        let mut run: Vec<u32> = Vec::new();
        let mut first = 0;
        for (at, step) in steps.iter().enumerate() {
            let traits = &context.known[step.query as usize].traits;
            let looks_up = traits.role == Role::Point && traits.key.len() == 1 && step.width <= 1;
            let goes_on = looks_up
                && !run.is_empty()
                && step.parts[0] == steps[first].parts[0]
                && !run.contains(&step.query);
            if !goes_on {
                self.in_a_row(&run, steps.get(first..at).unwrap_or_default(), context);
                run.clear();
                first = at;
            }
            if looks_up && step.parts[0] != 0 {
                run.push(step.query);
            } else {
                first = at + 1;
            }
        }
        self.in_a_row(&run, steps.get(first..).unwrap_or_default(), context);
    }

    fn in_a_row(&mut self, run: &[u32], steps: &[Step], context: Context<'_>) {
        if run.len() < MIN_SERIES || steps.len() != run.len() {
            return;
        }
        let (start, end) = (&steps[0], &steps[steps.len() - 1]);
        let key = (start.client, start.query);
        let Some((queries, series)) = entry(&mut self.series, &mut self.n_more, key, || {
            let series = Series {
                application: context.symbols.application(start.client).to_owned(),
                session: context.symbols.session(start.session).to_owned(),
                origin: (start.origin.file, start.origin.line),
                ..Series::default()
            };
            (Vec::new(), series)
        }) else {
            return;
        };
        series.n += 1;
        series.n_statements += run.len() as u64;
        series.n_statements_max = series.n_statements_max.max(run.len() as u64);
        series.span_us += u64::try_from(end.end_us - start.start_us).unwrap_or(0);
        series.busy_us += steps
            .iter()
            .map(|step| u64::try_from(step.end_us - step.start_us).unwrap_or(0))
            .sum::<u64>();
        if run.len() > queries.len() && queries.len() < MAX_SERIES {
            *queries = run.iter().copied().take(MAX_SERIES).collect();
        }
    }

    /// Counts one unit of work, or the several of a window that only idle time bounds and whose tags say that it holds several.
    fn units(&mut self, steps: &[Step], bound: WindowBound, context: Context<'_>) {
        match bound {
            WindowBound::Idle => {
                for steps in steps.chunk_by(|a, b| a.label == b.label) {
                    self.unit(steps, bound, context);
                }
            }
            _ => self.unit(steps, bound, context),
        }
    }

    fn unit(&mut self, steps: &[Step], bound: WindowBound, context: Context<'_>) {
        let Some(first) = steps.first() else { return };
        let key = (first.client, first.label, bound);
        if self.units.len() >= MAX_UNITS && !self.units.contains_key(&key) {
            self.n_more_units += 1;
            return;
        }
        let symbols = context.symbols;
        let unit = self.units.entry(key).or_insert_with(|| Unit {
            application: symbols.application(first.client).to_owned(),
            tags: symbols.tags(first.label).to_vec(),
            bound,
            ..Unit::default()
        });
        let n = steps.len() as u64;
        unit.n += 1;
        unit.n_statements += n;
        // no statement runs more often than there are statements
        if n > unit.longest.n || n > unit.most_repeats.n {
            let (repeated, n_repeats) = most_repeated(steps);
            for (peak, n) in [(&mut unit.longest, n), (&mut unit.most_repeats, n_repeats)] {
                if n > peak.n {
                    *peak = Peak::of(steps, n, repeated, context);
                }
            }
        }
    }

    /// The facts, in an order of their own.
    pub(super) fn take(&mut self, context: Context<'_>) -> Pace {
        for (client, pulse) in (0_u32..).zip(std::mem::take(&mut self.pulses)) {
            let symbols = context.symbols;
            settle(
                &mut self.stalls,
                &mut self.n_more,
                client,
                pulse.resumed,
                symbols,
            );
        }
        let mut pace = Pace {
            waits: std::mem::take(&mut self.waits).into_values().collect(),
            series: std::mem::take(&mut self.series)
                .into_values()
                .map(|(queries, series)| Series {
                    queries: queries
                        .into_iter()
                        .map(|query| context.known[query as usize].fingerprint)
                        .collect(),
                    ..series
                })
                .collect(),
            stalls: std::mem::take(&mut self.stalls).into_values().collect(),
            units: std::mem::take(&mut self.units).into_values().collect(),
            n_more: self.n_more,
            n_more_units: self.n_more_units,
        };
        pace.waits.sort_by_key(|wait| (wait.origin, wait.before));
        pace.series.sort_by_key(|series| series.origin);
        pace.stalls.sort_by_key(|stall| stall.origin);
        pace.units
            .sort_by_key(|unit| (unit.longest.origin, unit.bound));
        pace
    }
}

/// The query that was executed most often, and how often.
fn most_repeated(steps: &[Step]) -> (u32, u64) {
    let mut sorted: Vec<u32> = steps.iter().map(|step| step.query).collect();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a == b);
    runs.max_by_key(|run| run.len())
        .map_or((0, 0), |run| (run[0], run.len() as u64))
}

impl Peak {
    fn of(steps: &[Step], n: u64, repeated: u32, context: Context<'_>) -> Self {
        let first = &steps[0];
        let fingerprint = |query: u32| context.known[query as usize].fingerprint;
        Self {
            n,
            repeated: fingerprint(repeated),
            session: context.symbols.session(first.session).to_owned(),
            origin: (first.origin.file, first.origin.line),
            timeline: steps
                .chunk_by(|a, b| a.query == b.query)
                .take(MAX_TIMELINE)
                .map(|run| (fingerprint(run[0].query), run.len() as u64))
                .collect(),
        }
    }
}

/// Counts a silence after which several sessions went on together.
fn settle(
    stalls: &mut Map<u32, Stall>,
    n_more: &mut u64,
    client: u32,
    resumed: Option<Resumed>,
    symbols: &Symbols,
) {
    let Some((end_us, silent_us, rate, sessions, origin)) = resumed else {
        return;
    };
    if sessions.len() < MIN_TOGETHER {
        return;
    }
    let Some(stall) = entry(stalls, n_more, client, || Stall {
        application: symbols.application(client).to_owned(),
        ..Stall::default()
    }) else {
        return;
    };
    let silent_us = u64::try_from(silent_us).unwrap_or(0);
    stall.n += 1;
    stall.silent_us += silent_us;
    if silent_us > stall.longest_us {
        stall.longest_us = silent_us;
        stall.rate = rate;
        stall.n_sessions = sessions.len() as u64;
        stall.origin = origin;
        stall.end_us = end_us;
    }
}
