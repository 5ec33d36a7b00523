//! One burst under examination: its shape, and what it adds to its class.

use super::{
    Burst, BurstClass, BurstShape, Distinctness, Driver, Moment, Share, Spacing,
    burst::View,
    found::Found,
    role::{Role, Traits},
    value::Value,
    window::{Context, MAX_PARTS, Step},
};

/// Bursts kept as samples, a class.
const MAX_BURSTS: usize = 100;
/// Repeats at the burst's start and end that the timeline shows.
const TIMELINE_HEAD: usize = 3;
/// See `TIMELINE_HEAD`.
const TIMELINE_TAIL: usize = 2;
/// DDL this long before a window still marks it, microseconds.
const DDL_NEAR_US: i64 = 2_000_000;
/// Bounds of [`Spacing`], microseconds. A loop that waits for each answer over loopback needs more than the first
/// between two starts; people and pools pause longer than the last.
const PIPELINED_US: f64 = 170.0;
/// Mean idle time below which a client of the extended protocol did not wait for answers, microseconds.
const PIPELINED_IDLE_US: f64 = 120.0;
const TIGHT_US: i64 = 4_000;
const LOOSE_US: i64 = 30_000;

/// A tenth of a steady burst's gaps at most is shorter than this share of the median: a round trip has a lower bound, think times have
/// not (0.15 for exponential ones, 0.42 for uniform ones of 4 to 25 ms; 0.6 to 0.97 in loops over a wire).
const STEADY_SHARE: f64 = 0.6;
/// Gaps from this on, in a pipeline, are the wire filling the server's buffer, microseconds; the log's clock ticks in 1,000.
const REFILL_US: i64 = 2_500;

/// When the repeats ran.
struct Rhythm {
    spacing: Spacing,
    regular: bool,
    steady: bool,
}

/// One burst under examination.
pub(super) struct Round<'a> {
    pub(super) steps: &'a [Step],
    pub(super) members: &'a [u32],
    pub(super) traits: &'a Traits,
    pub(super) context: Context<'a>,
}

impl Round<'_> {
    fn step(&self, at: usize) -> &Step {
        &self.steps[self.members[at] as usize]
    }

    fn repeats(&self) -> impl Iterator<Item = &Step> {
        self.members.iter().map(|&at| &self.steps[at as usize])
    }

    pub(super) fn first(&self) -> &Step {
        self.step(0)
    }

    pub(super) fn last(&self) -> &Step {
        self.step(self.members.len() - 1)
    }

    pub(super) fn n(&self) -> usize {
        self.members.len()
    }

    pub(super) fn shape(&self, view: &View<'_>, found: Option<Found>) -> BurstShape {
        let distinct = self.distinct_keys();
        let limit = found.map_or(0, |f| f.step.limit as usize);
        let Rhythm {
            spacing,
            regular,
            steady,
        } = self.rhythm(view);
        BurstShape {
            bound: view.bound,
            driver: found.map_or(Driver::None, |f| f.driver),
            parent: found.map(|f| self.context.known[f.step.query as usize].fingerprint),
            repeats: rounded_repeats(self.n()),
            distinct: distinctness(distinct, self.n()),
            spacing,
            regular,
            steady,
            ascending: self.ascending(),
            fills_limit: limit > 1 && (self.n() == limit || distinct == limit),
            overruns: limit > 1
                && self.n() > limit + limit / 10 + 1
                && !self.n().is_multiple_of(limit),
            pages: self.pages(),
            list_between: self.mostly_between(|step| self.role(step) == Role::List),
            written_back: self.traits.role == Role::Point && self.written_back(),
            locked_before: self.traits.role == Role::Write && self.locked_before(),
            ddl: view.ddl_us.iter().any(|&ddl| {
                ddl >= self.first().start_us - DDL_NEAR_US && ddl <= self.last().end_us
            }),
            runs: self.runs(),
            ..BurstShape::default()
        }
    }

    fn role(&self, step: &Step) -> Role {
        self.context.known[step.query as usize].traits.role
    }

    fn distinct_keys(&self) -> usize {
        let mut keys: Vec<u64> = self.repeats().map(|step| step.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    }

    /// Bit set of the key operands that vary.
    fn varying(&self) -> u64 {
        let first = self.first().parts;
        (0..MAX_PARTS.min(self.traits.key.len()))
            .filter(|&part| self.repeats().any(|step| step.parts[part] != first[part]))
            .fold(0, |bits, part| bits | 1 << self.traits.key[part].min(63))
    }

    fn ascending(&self) -> bool {
        let varying = (0..MAX_PARTS).find(|&part| {
            self.repeats()
                .any(|s| s.parts[part] != self.first().parts[part])
        });
        varying.is_some_and(|part| {
            self.members.windows(2).all(|pair| {
                let key = |at: u32| Value {
                    bits: self.steps[at as usize].parts[part],
                    width: 1,
                };
                matches!((key(pair[0]).integer(), key(pair[1]).integer()), (Some(a), Some(b)) if a < b)
            })
        })
    }

    fn pages(&self) -> bool {
        let first = self.first().paging;
        self.repeats().any(|step| step.paging != first)
    }

    /// The steps strictly between two consecutive repeats.
    fn between(&self, at: usize) -> &[Step] {
        &self.steps[self.members[at] as usize + 1..self.members[at + 1] as usize]
    }

    /// Holds `what` for some statement between at least half of the consecutive repeats?
    fn mostly_between(&self, what: impl Fn(&Step) -> bool) -> bool {
        let gaps = self.n() - 1;
        let holding = (0..gaps)
            .filter(|&at| self.between(at).iter().any(&what))
            .count();
        holding * 2 >= gaps.max(1)
    }

    fn written_back(&self) -> bool {
        let Some(relation) = &self.traits.reads else {
            return false;
        };
        self.mostly_between(|step| {
            let traits = &self.context.known[step.query as usize].traits;
            traits.role == Role::Write && traits.writes.as_ref() == Some(relation)
        })
    }

    fn locked_before(&self) -> bool {
        self.mostly_between(|step| self.context.known[step.query as usize].traits.locks_rows)
    }

    fn runs(&self) -> bool {
        let gaps = self.n() - 1;
        let equal = (0..gaps)
            .filter(|&at| self.step(at).key == self.step(at + 1).key)
            .count();
        equal * 3 > gaps
    }

    /// Idle time before the repeats after the first.
    fn rhythm(&self, view: &View<'_>) -> Rhythm {
        let mut idle: Vec<i64> = self.members[1..]
            .iter()
            .map(|&at| {
                let (before, step) = (&self.steps[at as usize - 1], &self.steps[at as usize]);
                (step.start_us - before.end_us).max(0)
            })
            .collect();
        idle.sort_unstable();
        let coarse = self.coarse_clock();
        let quantile = |tenths: usize| idle[idle.len() * tenths / 10] as f64;
        let (low, middle, high) = (quantile(1), quantile(5), quantile(9));
        let median = idle[idle.len() / 2];
        let spacing = match median {
            _ if self.pipelined(view, &idle) => Spacing::Pipelined,
            _ if coarse => Spacing::Unknown,
            median if median < TIGHT_US => Spacing::Tight,
            median if median < LOOSE_US => Spacing::Loose,
            _ => Spacing::Slow,
        };
        Rhythm {
            spacing,
            regular: coefficient_of_variation(&idle) < 1.0,
            steady: !coarse && low >= STEADY_SHARE * middle && high <= middle / STEADY_SHARE.sqrt(),
        }
    }

    /// Does the log's clock tick in seconds?
    fn coarse_clock(&self) -> bool {
        self.repeats().all(|step| step.end_us % 1_000_000 == 0)
    }

    /// Did the client send the next statement before it had the last one's answer? Told by the time between the repeats, without the
    /// pauses in which a slow wire fills the server's buffer again; or by one transaction without BEGIN, which a client of the extended
    /// protocol gets only when it sends several statements before one Sync.
    fn pipelined(&self, view: &View<'_>, idle: &[i64]) -> bool {
        let adjacent = self.members[self.n() - 1] - self.members[0] == self.n() as u32 - 1;
        if !adjacent || self.first().simple {
            return false;
        }
        let coarse = self.coarse_clock();
        let short = idle.partition_point(|&gap| gap < REFILL_US);
        if short * 10 < idle.len() * 8 {
            return false;
        }
        if view.implicit && (coarse || idle.len() - short <= short) {
            return true;
        }
        let sent = &self.members[..self.n() - 1];
        let busy_us: i64 = sent
            .iter()
            .map(|&at| self.steps[at as usize].end_us - self.steps[at as usize].start_us)
            .sum();
        let refills_us: i64 = idle[short..].iter().sum();
        // not the sum of the gaps: where the clock ticks, those below zero make up for those above
        let span_us = self.last().start_us - self.first().start_us - refills_us;
        let mean = |sum: i64, n: usize| sum as f64 / n.max(1) as f64;
        let idle_us = mean(span_us - busy_us, short);
        !coarse && idle_us < PIPELINED_IDLE_US && mean(span_us, short) < PIPELINED_US
    }

    pub(super) fn count_in(&self, class: &mut BurstClass, found: Option<Found>) {
        let n = self.n() as u64;
        let symbols = self.context.symbols;
        let (start_us, end_us) = (self.first().start_us, self.last().end_us);
        class.n_bursts += 1;
        class.n_repeats += n;
        class.n_repeats_max = class.n_repeats_max.max(n);
        class.n_distinct += self.distinct_keys() as u64;
        class.total_us += self
            .repeats()
            .filter_map(|step| step.duration_us)
            .sum::<u64>();
        class.span_us += (end_us - start_us).max(0) as u64;
        class.varying |= self.varying();
        count_share(
            &mut class.applications,
            symbols.application(self.first().client),
            n,
        );
        for tag in symbols.tags(self.first().label) {
            count_share(&mut class.tags, tag, n);
        }
        if class.samples.is_empty() {
            class.timeline = self.timeline(found);
        }
        if class.samples.len() < MAX_BURSTS {
            let session = symbols.session(self.first().session);
            if !class.sessions.iter().any(|known| known == session) {
                class.sessions.push(session.to_owned());
            }
            class.samples.push(Burst {
                session: session.to_owned(),
                start_us,
                end_us,
                n_repeats: n,
                origin: (self.first().origin.file, self.first().origin.line),
            });
        }
    }

    /// Driver, first and last repeats.
    fn timeline(&self, found: Option<Found>) -> Vec<Moment> {
        let mut moments: Vec<Moment> = found
            .iter()
            .map(|found| self.moment(&found.step, 0))
            .collect();
        let n = self.n();
        let omitted = n.saturating_sub(TIMELINE_HEAD + TIMELINE_TAIL);
        let shown = (0..n).filter(|&at| at < TIMELINE_HEAD || at >= n - TIMELINE_TAIL.min(n));
        for at in shown {
            let left_out = if at + 1 == TIMELINE_HEAD { omitted } else { 0 };
            moments.push(self.moment(self.step(at), left_out as u64));
        }
        moments
    }

    fn moment(&self, step: &Step, n_omitted: u64) -> Moment {
        Moment {
            query: self.context.known[step.query as usize].fingerprint,
            start_us: step.start_us,
            duration_us: step.duration_us,
            n_omitted,
        }
    }
}

/// Names kept apart, a class.
const MAX_SHARES: usize = 32;

fn count_share(shares: &mut Vec<Share>, name: &str, n: u64) {
    if let Some(share) = shares.iter_mut().find(|share| share.name == name) {
        share.n += n;
    } else if shares.len() < MAX_SHARES && !name.is_empty() {
        shares.push(Share {
            name: name.to_owned(),
            n,
        });
    }
}

/// Rounds down to the steps of [`BurstShape::repeats`].
pub(super) fn rounded_repeats(n: usize) -> u32 {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    [100, 50, 30, 20, 15]
        .into_iter()
        .find(|&step| n >= step)
        .unwrap_or(n.min(10))
}

fn distinctness(distinct: usize, n: usize) -> Distinctness {
    match distinct {
        0 | 1 => Distinctness::One,
        2 => Distinctness::Two,
        _ if distinct * 10 < n => Distinctness::Few,
        _ if distinct * 2 < n => Distinctness::Some,
        _ => Distinctness::Most,
    }
}

/// Standard deviation by mean; 0 for gaps too short for the log's clock (1 ms) to tell.
fn coefficient_of_variation(gaps: &[i64]) -> f64 {
    const CLOCK_US: f64 = 1_000.0;
    let n = gaps.len().max(1) as f64;
    let mean = gaps.iter().map(|&gap| gap as f64).sum::<f64>() / n;
    let variance = gaps
        .iter()
        .map(|&gap| (gap as f64 - mean).powi(2))
        .sum::<f64>()
        / n;
    if mean < CLOCK_US {
        0.0
    } else {
        variance.sqrt() / mean
    }
}

/// Cuts ordered positions at each of the ordered `cuts`.
pub(super) fn rounds<'a>(members: &'a [u32], cuts: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
    let round_of = move |member: u32| cuts.partition_point(|&cut| cut < member);
    members.chunk_by(move |&a, &b| round_of(a) == round_of(b))
}

/// The executions that may be a loop's: one key each, and not failed.
pub(super) fn repeats(members: &[u32], steps: &[Step]) -> Vec<u32> {
    members
        .iter()
        .copied()
        .filter(|&at| {
            let step = &steps[at as usize];
            step.width <= 1 && !step.failed
        })
        .collect()
}
