//! Statistics of one fingerprint while the log is folded. Every part merges associatively and commutatively: integers, counts,
//! histograms and sketches, and "first" by position in the input.

use super::{
    LogStats, Origin, ParameterSample, PlaceholderFacts, Protocol, ProtocolCounts, Share, Text,
    histogram::Histogram,
    sampling::{Drawn, Estimate, Sampled, Weight},
    sketch::DistinctSketch,
    value::Value,
};

/// Longest value kept while it is constant, bytes (partial-index advice needs categories, not documents).
pub(super) const MAX_CONSTANT_BYTES: usize = 64;
/// Slowest executions whose parameters are kept.
const MAX_SAMPLES: usize = 5;
/// Longest text or parameter list kept with a sample, bytes.
const MAX_SAMPLE_BYTES: usize = 4096;
/// Distinct users, applications or labels kept apart for one fingerprint; the first ones seen.
const MAX_SHARES: usize = 32;
/// The same within one chunk: those that are not among the first ones of the input count for nothing in the end.
const MAX_CHUNK_SHARES: usize = 256;

/// What is known of one execution, as statistics need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed<'a> {
    pub(super) origin: Origin,
    pub(super) time_us: i64,
    pub(super) duration_us: Option<u64>,
    pub(super) plan_us: u64,
    pub(super) n_parses: u32,
    pub(super) query_id: i64,
    pub(super) protocol: Protocol,
    pub(super) failed: bool,
    pub(super) text: Text<'a>,
    pub(super) parameters: &'a [u8],
    /// Interned (user, database, application).
    pub(super) client: u32,
    /// Interned tags; 0 for none.
    pub(super) label: u32,
    /// Executions that it stands for.
    pub(super) n_calls: u64,
    /// Whether others were left out of the log by chance.
    pub(super) drawn: Drawn,
}

/// Counts by interned symbol, first seen first.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares(Vec<(u32, u64)>);

impl Shares {
    fn add(&mut self, symbol: u32, n: u64, max: usize) {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == symbol) {
            *count += n;
        } else if self.0.len() < max {
            if self.0.is_empty() {
                // nearly all have one
                self.0.reserve_exact(1);
            }
            self.0.push((symbol, n));
        }
    }

    fn merge(&mut self, other: &Self, renumber: &[u32]) {
        for &(symbol, n) in &other.0 {
            self.add(renumber[symbol as usize], n, MAX_SHARES);
        }
    }

    /// The counts by what `name` makes of a symbol, most frequent first.
    pub(super) fn by_name(&self, name: impl Fn(u32) -> Option<String>) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        for &(symbol, n) in self.0.iter().take(MAX_SHARES) {
            let Some(name) = name(symbol).filter(|name| !name.is_empty()) else {
                continue;
            };
            match shares.iter_mut().find(|share| share.name == name) {
                Some(share) => share.n += n,
                None => shares.push(Share { name, n }),
            }
        }
        shares.sort_by(|a, b| b.n.cmp(&a.n).then_with(|| a.name.cmp(&b.name)));
        shares
    }
}

/// One placeholder.
#[derive(Debug, Clone, Default)]
struct Placeholder {
    n_literal: u64,
    n_parameter: u64,
    constant: Constant,
    distinct: DistinctSketch,
}

#[derive(Debug, Clone, Default, PartialEq)]
enum Constant {
    #[default]
    Unseen,
    Only(Box<[u8]>),
    Varies,
}

impl Placeholder {
    fn record_value(&mut self, value: Value, text: &[u8]) {
        self.distinct.insert(value.bits);
        match &self.constant {
            Constant::Unseen if text.len() <= MAX_CONSTANT_BYTES => {
                self.constant = Constant::Only(text.into());
            }
            Constant::Only(only) if **only == *text => {}
            _ => self.constant = Constant::Varies,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.n_literal += other.n_literal;
        self.n_parameter += other.n_parameter;
        self.distinct.merge(&other.distinct);
        match (&self.constant, &other.constant) {
            (_, Constant::Unseen) => {}
            (Constant::Unseen, theirs) => self.constant = theirs.clone(),
            (Constant::Only(mine), Constant::Only(theirs)) if mine == theirs => {}
            _ => self.constant = Constant::Varies,
        }
    }

    fn empty(&mut self) {
        *self = Self::default();
    }

    fn facts(&self) -> PlaceholderFacts {
        PlaceholderFacts {
            n_literal: self.n_literal,
            n_parameter: self.n_parameter,
            constant: match &self.constant {
                Constant::Only(text) => Some(String::from_utf8_lossy(text).into_owned()),
                Constant::Unseen | Constant::Varies => None,
            },
            n_distinct: self.distinct.estimate(),
        }
    }
}

/// How a placeholder was filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    Literal,
    Parameter,
}

/// A kept execution; slower ones first, then by position.
#[derive(Debug, Clone)]
struct Sample {
    duration_us: u64,
    origin: Origin,
    text: Box<[u8]>,
    parameters: Box<[u8]>,
}

impl Sample {
    fn rank(&self) -> (std::cmp::Reverse<u64>, u32, u64) {
        rank(self.duration_us, self.origin)
    }
}

fn rank(duration_us: u64, origin: Origin) -> (std::cmp::Reverse<u64>, u32, u64) {
    (std::cmp::Reverse(duration_us), origin.file, origin.line)
}

/// All that is kept of one fingerprint.
#[derive(Debug, Clone, Default)]
pub(super) struct QueryStatistics {
    n_calls: u64,
    n_timed: u64,
    total_us: u64,
    min_us: Option<u64>,
    max_us: u64,
    durations: Histogram,
    n_errors: u64,
    plan_us: u64,
    n_parses: u64,
    /// Time of portals that were fetched from again, microseconds.
    more_us: u64,
    value_sets: DistinctSketch,
    query_id: i64,
    protocol: [u64; 3],
    placeholders: Vec<Placeholder>,
    first_origin: Origin,
    first_us: Option<i64>,
    last_us: Option<i64>,
    samples: Vec<Sample>,
    /// Executions up to this long are no sample: the fold that this goes to has enough that are longer, or as long and earlier.
    sample_floor_us: Option<u64>,
    clients: Shares,
    labels: Shares,
    /// Executions that stand for more than themselves.
    sampled: Option<Box<Sampled>>,
}

impl QueryStatistics {
    /// Counts one execution; its operands are counted apart ([`Self::operand`]). Returns whether it stands ahead of all that were counted: one that waited for
    /// its duration is told late.
    pub(super) fn record(&mut self, seen: &Observed<'_>) -> bool {
        let is_first = self.n_calls == 0 || seen.origin < self.first_origin;
        if is_first {
            self.first_origin = seen.origin;
        }
        self.n_calls += seen.n_calls;
        if let Some(duration_us) = seen.duration_us {
            self.n_timed += seen.n_calls;
            self.total_us = self
                .total_us
                .saturating_add(duration_us.saturating_mul(seen.n_calls));
            self.min_us = Some(
                self.min_us
                    .map_or(duration_us, |least| least.min(duration_us)),
            );
            self.max_us = self.max_us.max(duration_us);
            self.durations.record_n(duration_us, seen.n_calls);
            if let Drawn::Share(weight) = seen.drawn {
                self.sampled
                    .get_or_insert_default()
                    .record(weight, duration_us);
            }
        }
        self.n_errors += u64::from(seen.failed);
        self.plan_us += seen.plan_us;
        self.n_parses += u64::from(seen.n_parses);
        self.query_id = pick_query_id(self.query_id, seen.query_id);
        self.protocol[seen.protocol as usize] += seen.n_calls;
        if seen.time_us != 0 {
            self.first_us = Some(self.first_us.map_or(seen.time_us, |t| t.min(seen.time_us)));
            self.last_us = self.last_us.max(Some(seen.time_us));
        }
        self.clients
            .add(seen.client, seen.n_calls, MAX_CHUNK_SHARES);
        if seen.label != 0 {
            self.labels.add(seen.label, seen.n_calls, MAX_CHUNK_SHARES);
        }
        self.keep_sample(seen);
        is_first
    }

    /// All values of an execution together, by their hash.
    pub(super) fn value_set(&mut self, hash: u64) {
        self.value_sets.insert(hash);
    }

    /// Time of a call that is counted elsewhere.
    pub(super) fn more_time(&mut self, duration_us: u64, plan_us: u64, n_parses: u32) {
        self.more_us = self.more_us.saturating_add(duration_us);
        self.plan_us = self.plan_us.saturating_add(plan_us);
        self.n_parses += u64::from(n_parses);
    }

    /// Counts how a placeholder was filled, and its value when it was not counted before (`fresh`: text and value).
    pub(super) fn operand(&mut self, at: usize, sent: Filled, fresh: Option<(Value, &[u8])>) {
        if self.placeholders.len() <= at {
            self.cover_placeholders(at + 1);
        }
        let placeholder = &mut self.placeholders[at];
        match sent {
            Filled::Literal => placeholder.n_literal += 1,
            Filled::Parameter => placeholder.n_parameter += 1,
        }
        if let Some((value, text)) = fresh {
            placeholder.record_value(value, text);
        }
    }

    /// Makes room for so many placeholders.
    pub(super) fn cover_placeholders(&mut self, n: usize) {
        let missing = n.saturating_sub(self.placeholders.len());
        self.placeholders.reserve_exact(missing);
        self.placeholders
            .extend(std::iter::repeat_with(Placeholder::default).take(missing));
    }

    fn keep_sample(&mut self, seen: &Observed<'_>) {
        let duration_us = seen.duration_us.unwrap_or(0);
        if self
            .sample_floor_us
            .is_some_and(|floor| duration_us <= floor)
        {
            return;
        }
        let full = self.samples.len() == MAX_SAMPLES;
        let beats_last = || {
            let last = self.samples.last().expect("full, so not empty");
            rank(duration_us, seen.origin) < last.rank()
        };
        if full && !beats_last() {
            return;
        }
        self.insert_sample(Sample {
            duration_us,
            origin: seen.origin,
            text: clipped(seen.text.decode(&mut Vec::new())),
            parameters: clipped(seen.parameters),
        });
    }

    fn insert_sample(&mut self, sample: Sample) {
        if self.samples.is_empty() {
            // nearly all of many fingerprints have one
            self.samples.reserve_exact(1);
        }
        let at = self
            .samples
            .partition_point(|kept| kept.rank() < sample.rank());
        self.samples.insert(at, sample);
        self.samples.truncate(MAX_SAMPLES);
    }

    /// Adds what the part of the input gave that follows, and empties it; `clients` and `labels` translate its symbols.
    pub(super) fn append(&mut self, other: &mut Self, clients: &[u32], labels: &[u32]) {
        let first = |o: &Self| (o.n_calls == 0, o.first_origin);
        if first(other) < first(self) {
            self.first_origin = other.first_origin;
        }
        self.n_calls += other.n_calls;
        self.n_timed += other.n_timed;
        self.total_us += other.total_us;
        self.min_us = least(self.min_us, other.min_us);
        self.max_us = self.max_us.max(other.max_us);
        self.durations.merge(&other.durations);
        self.n_errors += other.n_errors;
        self.plan_us += other.plan_us;
        self.n_parses += other.n_parses;
        self.more_us = self.more_us.saturating_add(other.more_us);
        self.value_sets.merge(&other.value_sets);
        self.query_id = pick_query_id(self.query_id, other.query_id);
        for (mine, theirs) in self.protocol.iter_mut().zip(other.protocol) {
            *mine += theirs;
        }
        self.first_us = least(self.first_us, other.first_us);
        self.last_us = self.last_us.max(other.last_us);
        self.cover_placeholders(other.placeholders.len());
        for (mine, theirs) in self.placeholders.iter_mut().zip(&other.placeholders) {
            mine.merge(theirs);
        }
        self.clients.merge(&other.clients, clients);
        self.labels.merge(&other.labels, labels);
        if let Some(theirs) = &other.sampled {
            self.sampled.get_or_insert_default().merge(theirs);
        }
        other
            .samples
            .drain(..)
            .for_each(|sample| self.insert_sample(sample));
        other.empty();
        if self.samples.len() == MAX_SAMPLES {
            other.sample_floor_us = self.samples.last().map(|sample| sample.duration_us);
        }
    }

    /// Nothing counted any more; memory and the floor of samples stay.
    fn empty(&mut self) {
        self.placeholders.iter_mut().for_each(Placeholder::empty);
        self.durations.clear();
        self.samples.clear();
        self.clients.0.clear();
        self.labels.0.clear();
        *self = Self {
            durations: std::mem::take(&mut self.durations),
            placeholders: std::mem::take(&mut self.placeholders),
            samples: std::mem::take(&mut self.samples),
            clients: std::mem::take(&mut self.clients),
            labels: std::mem::take(&mut self.labels),
            sample_floor_us: self.sample_floor_us,
            ..Self::default()
        };
    }

    /// Something was counted.
    pub(super) fn is_touched(&self) -> bool {
        self.n_calls > 0 || self.n_parses > 0 || self.more_us > 0 || self.plan_us > 0
    }

    /// Time so far, microseconds.
    pub(super) fn total_us(&self) -> u64 {
        self.total_us.saturating_add(self.more_us)
    }

    /// Where it was seen first.
    pub(super) fn first_origin(&self) -> Origin {
        self.first_origin
    }

    /// Executions so far.
    pub(super) fn n_calls(&self) -> u64 {
        self.n_calls
    }

    /// Executions that stand for more than themselves.
    pub(super) fn sampled(&self) -> Option<&Sampled> {
        self.sampled.as_deref()
    }

    /// What the executions stand for, where some were left out by chance.
    fn estimate(&self, weights: &[Weight]) -> Option<Estimate> {
        // succeeded without a duration: the text is logged in any case, and the time of a share
        let is_complete = self.n_calls > self.n_timed + self.n_errors;
        let logged = (self.n_calls, self.total_us());
        let sampled = self.sampled.as_ref()?;
        Some(sampled.estimate(logged, is_complete, weights))
    }

    /// The public form. `names` names symbols; `weights` are those of a sample, by their number.
    pub(super) fn finish(&self, names: &Names<'_>, weights: Option<&[Weight]>) -> LogStats {
        LogStats {
            n_calls: self.n_calls,
            estimate: weights.and_then(|weights| self.estimate(weights)),
            n_timed: self.n_timed,
            total_us: self.total_us.saturating_add(self.more_us),
            min_us: self.min_us.unwrap_or(0),
            max_us: self.max_us,
            p50_us: self.percentile(0.50, weights),
            p95_us: self.percentile(0.95, weights),
            p99_us: self.percentile(0.99, weights),
            n_errors: self.n_errors,
            plan_us: self.plan_us,
            n_parses: self.n_parses,
            n_value_sets: self.value_sets.estimate(),
            phases: None,
            series: super::TimeSeries::default(),
            query_id: (self.query_id != 0).then_some(self.query_id),
            placeholders: self.placeholders.iter().map(Placeholder::facts).collect(),
            first_origin: (self.first_origin.file, self.first_origin.line),
            protocol: ProtocolCounts {
                n_simple: self.protocol[Protocol::Simple as usize],
                n_unnamed: self.protocol[Protocol::Unnamed as usize],
                n_named: self.protocol[Protocol::Named as usize],
            },
            users: self.clients.by_name(names.user),
            applications: self.clients.by_name(names.application),
            routes: self.labels.by_name(names.route),
            samples: self.samples.iter().map(public_sample).collect(),
            first_us: self.first_us,
            last_us: self.last_us,
        }
    }

    /// A quantile of the durations, clamped to what was really seen.
    fn percentile(&self, quantile: f64, weights: Option<&[Weight]>) -> u64 {
        let found = match (&self.sampled, weights) {
            (Some(sampled), Some(weights)) => sampled.quantile(&self.durations, quantile, weights),
            _ => self.durations.quantile(quantile),
        };
        found.clamp(self.min_us.unwrap_or(0), self.max_us)
    }
}

/// Names of interned symbols.
pub(super) struct Names<'a> {
    pub(super) user: &'a dyn Fn(u32) -> Option<String>,
    pub(super) application: &'a dyn Fn(u32) -> Option<String>,
    pub(super) route: &'a dyn Fn(u32) -> Option<String>,
}

fn public_sample(sample: &Sample) -> ParameterSample {
    ParameterSample {
        duration_us: sample.duration_us,
        text: String::from_utf8_lossy(&sample.text).into_owned(),
        parameters: String::from_utf8_lossy(&sample.parameters).into_owned(),
    }
}

/// `queryid`s of one fingerprint may differ (schemas, versions): the smallest known is as good as any and the same in any order.
fn pick_query_id(a: i64, b: i64) -> i64 {
    match (a, b) {
        (0, known) | (known, 0) => known,
        (a, b) => a.min(b),
    }
}

fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn clipped(text: &[u8]) -> Box<[u8]> {
    text[..text.len().min(MAX_SAMPLE_BYTES)].into()
}
