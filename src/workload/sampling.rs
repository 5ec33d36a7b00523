//! What a log that holds a sample stands for: each logged execution counts as often as one of its kind was left out.
//!
//! The server draws for each message, by its duration (`check_log_duration` in `postgres.c`): all from `log_min_duration_statement` on, a share
//! `log_statement_sample_rate` from `log_min_duration_sample` on, and all of a share `log_transaction_sample_rate` of transactions. The
//! inverse of the chance to be logged is a weight that makes sums unbiased (Horvitz and Thompson 1952). A log alone does not tell these settings,
//! unless they change in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{InputFacts, LetGo, Origin, Query, Statement, fold::Fold, histogram::Histogram};

/// Settings that decide which executions are logged.
pub(super) const SETTINGS: [&str; 6] = [
    "log_statement",
    "log_duration",
    "log_min_duration_statement",
    "log_min_duration_sample",
    "log_statement_sample_rate",
    "log_transaction_sample_rate",
];
/// Kinds of executions by their chance to be logged.
const N_KINDS: usize = 3;
/// Of the executions that a log holds, one in so many may be there although the settings would not log it (a role may have settings of its
/// own): with more, the settings are another server's.
const ONE_IN: u64 = 100;

/// A setting in its base unit (times in ms). The server gives numbers alone; a log has them as they were written: `250`, `250ms`, `1 s`, `1min`.
#[must_use]
pub fn setting_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let ms = match unit {
        "" | "ms" => 1.0,
        "us" => 1e-3,
        "s" => 1e3,
        "min" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    Some(number.trim().parse::<f64>().ok()? * ms)
}

/// Which share of its executions a server logs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Logged all from this duration on, microseconds.
    all_from_us: Option<u64>,
    /// Logged in part from this duration on, microseconds.
    sample_from_us: Option<u64>,
    /// Share of these, 0–1.
    statement_rate: f64,
    /// Share of transactions of which everything is logged, 0–1.
    transaction_rate: f64,
    /// Texts are logged always, only their times are a sample.
    has_all_texts: bool,
}

impl Sampling {
    /// As these settings say; `None` where the log is no sample.
    #[must_use]
    pub fn of<'s>(setting: impl Fn(&str) -> Option<&'s str>) -> Option<Self> {
        let number = |name| setting_number(setting(name)?).filter(|number| *number >= 0.0);
        let from_us = |name| number(name).map(|ms| (ms * 1e3) as u64);
        let rate = |name| number(name).map(|rate: f64| rate.min(1.0));
        let has_all_texts = setting("log_statement") == Some("all");
        let statement_rate = rate("log_statement_sample_rate").unwrap_or(1.0);
        let sampling = Self {
            all_from_us: from_us("log_min_duration_statement"),
            sample_from_us: from_us("log_min_duration_sample").filter(|_| statement_rate > 0.0),
            statement_rate,
            transaction_rate: rate("log_transaction_sample_rate").unwrap_or(0.0),
            has_all_texts,
        };
        let has_all_times = has_all_texts && setting("log_duration") == Some("on");
        let is_part = |rate: f64| rate > 0.0 && rate < 1.0;
        let samples = sampling.transaction_rate < 1.0
            && (sampling.sample_from_us.is_some() && is_part(statement_rate)
                || is_part(sampling.transaction_rate));
        (samples && sampling.all_from_us != Some(0) && !has_all_times).then_some(sampling)
    }

    /// The settings that say so, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut said = Vec::new();
        if self.sample_from_us.is_some() && self.statement_rate < 1.0 {
            said.push(format!("log_statement_sample_rate {}", self.statement_rate));
        }
        if self.transaction_rate > 0.0 {
            said.push(format!(
                "log_transaction_sample_rate {}",
                self.transaction_rate
            ));
        }
        said.join(", ")
    }

    fn kind(&self, duration_us: u64) -> usize {
        let is_from = |from: Option<u64>| from.is_some_and(|from| duration_us >= from);
        match (is_from(self.all_from_us), is_from(self.sample_from_us)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        }
    }

    /// The chance of an execution of that kind to be logged.
    fn chance(&self, kind: usize) -> f64 {
        match kind {
            0 => 1.0,
            1 => self.statement_rate + self.transaction_rate * (1.0 - self.statement_rate),
            _ => self.transaction_rate,
        }
    }
}

/// How the inputs of a fold were sampled, from where on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// File and line of the first execution concerned, in order.
    spans: Vec<((u32, u64), Option<Sampling>)>,
}

/// What a fold makes of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drawn {
    /// It stands for itself.
    Itself,
    /// It stands for more: number of its weight.
    Share(u16),
    /// By the settings it would not have been logged.
    Outside,
}

/// What an execution stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weight {
    chance: f64,
    has_all_texts: bool,
}

impl Schedule {
    /// As the settings of the server say, as far as they are known, and the changes that the logs tell of.
    #[must_use]
    pub fn of<'s>(
        server: impl Fn(&str) -> Option<&'s str>,
        changes: &'s [(Origin, String, String)],
    ) -> Self {
        let mut changes: Vec<_> = changes.iter().collect();
        changes.sort_by_key(|(at, ..)| (at.file, at.line));
        // what changes later was something else before, and nobody knows what
        let mut now: Vec<(&str, Option<&str>)> = SETTINGS
            .iter()
            .map(|name| {
                let changes = changes.iter().any(|(_, changed, _)| changed == name);
                (*name, if changes { None } else { server(name) })
            })
            .collect();
        let sampling = |now: &[(&str, Option<&'s str>)]| {
            Sampling::of(|name| now.iter().find(|(known, _)| *known == name)?.1)
        };
        let mut spans = vec![((0, 0), sampling(&now))];
        for (at, name, value) in changes {
            if let Some(known) = now.iter_mut().find(|(known, _)| known == name) {
                known.1 = Some(value);
                spans.push(((at.file, at.line), sampling(&now)));
            }
        }
        Self { spans }
    }

    /// Something is a sample.
    #[must_use]
    pub fn samples(&self) -> bool {
        self.spans.iter().any(|(_, sampling)| sampling.is_some())
    }

    /// What is sampled, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let said = self.spans.iter().filter_map(|(_, sampling)| *sampling);
        let mut said: Vec<String> = said.map(|sampling| sampling.in_words()).collect();
        said.dedup();
        said.join(", then ")
    }

    pub(super) fn drawn(&self, origin: Origin, duration_us: u64) -> Drawn {
        let at = (origin.file, origin.line);
        let n_before = self.spans.partition_point(|(from, _)| *from <= at);
        let Some((_, Some(sampling))) = n_before.checked_sub(1).map(|span| &self.spans[span])
        else {
            return Drawn::Itself;
        };
        let kind = sampling.kind(duration_us);
        let chance = sampling.chance(kind);
        if chance >= 1.0 {
            Drawn::Itself
        } else if chance > 0.0 {
            let weight = (n_before - 1) * N_KINDS + kind;
            u16::try_from(weight).map_or(Drawn::Itself, Drawn::Share)
        } else {
            Drawn::Outside
        }
    }

    /// The weights by their number.
    pub(super) fn weights(&self) -> Vec<Weight> {
        let kinds = self.spans.iter().flat_map(|(_, sampling)| {
            (0..N_KINDS).map(|kind| Weight {
                chance: sampling.map_or(1.0, |sampling| sampling.chance(kind)),
                has_all_texts: sampling.is_some_and(|sampling| sampling.has_all_texts),
            })
        });
        kinds.collect()
    }
}

/// Executions that stand for more than themselves, by weight: sums, so that parts add up in any order.
#[derive(Debug, Clone, Default)]
pub(super) struct Sampled(Vec<Part>);

#[derive(Debug, Clone, Default)]
struct Part {
    weight: u16,
    n: u64,
    us: u64,
    durations: Histogram,
}

impl Sampled {
    /// Counts one execution.
    pub(super) fn record(&mut self, weight: u16, duration_us: u64) {
        let part = self.part(weight);
        part.n += 1;
        part.us = part.us.saturating_add(duration_us);
        part.durations.record_n(duration_us, 1);
    }

    /// Adds another's executions.
    pub(super) fn merge(&mut self, other: &Self) {
        for theirs in &other.0 {
            let part = self.part(theirs.weight);
            part.n += theirs.n;
            part.us = part.us.saturating_add(theirs.us);
            part.durations.merge(&theirs.durations);
        }
    }

    fn part(&mut self, weight: u16) -> &mut Part {
        let at = match self.0.binary_search_by_key(&weight, |part| part.weight) {
            Ok(at) => at,
            Err(at) => {
                let part = Part {
                    weight,
                    ..Part::default()
                };
                self.0.insert(at, part);
                at
            }
        };
        &mut self.0[at]
    }

    /// What `n_calls` logged executions that took `total_us` stand for, these among them. `is_complete` where executions are logged in any case,
    /// without their times.
    pub(super) fn estimate(
        &self,
        (n_calls, total_us): (u64, u64),
        is_complete: bool,
        weights: &[Weight],
    ) -> Estimate {
        let (mut more_calls, mut more_us, mut variance, mut n_sampled) = (0.0, 0.0, 0.0, 0);
        for (part, weight) in self.weighted(weights) {
            let left_out = (1.0 - weight.chance) / weight.chance;
            more_us += part.us as f64 * left_out;
            if !is_complete && !weight.has_all_texts {
                n_sampled += part.n;
                more_calls += part.n as f64 * left_out;
                variance += part.n as f64 * left_out / weight.chance;
            }
        }
        Estimate {
            n_calls: n_calls.saturating_add(more_calls.round() as u64),
            n_calls_error: variance.sqrt().round() as u64,
            total_us: total_us.saturating_add(more_us.round() as u64),
            n_sampled,
        }
    }

    /// A quantile of the durations of all executions that the logged ones (`durations`) stand for.
    pub(super) fn quantile(&self, durations: &Histogram, quantile: f64, weights: &[Weight]) -> u64 {
        let parts = self.weighted(weights);
        let more: Vec<(f64, &Histogram)> = parts
            .map(|(part, weight)| (1.0 / weight.chance - 1.0, &part.durations))
            .collect();
        durations.quantile_with(&more, quantile)
    }

    fn weighted<'a>(&'a self, weights: &'a [Weight]) -> impl Iterator<Item = (&'a Part, Weight)> {
        let with_weight = |part: &'a Part| Some((part, *weights.get(usize::from(part.weight))?));
        self.0.iter().filter_map(with_weight)
    }
}

/// What the logged executions of a statement stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Executions.
    pub n_calls: u64,
    /// Standard error of `n_calls`, as if each execution had been drawn by itself: of sampled transactions it is larger.
    pub n_calls_error: u64,
    /// Their time, microseconds.
    pub total_us: u64,
    /// Logged executions that stand for more than themselves.
    pub n_sampled: u64,
}

/// What was made of logs that hold a sample.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleFacts {
    /// The settings, in words.
    pub settings: String,
    /// Logged executions.
    pub n_logged: u64,
    /// What they stand for; `None` where the logs do not fit the settings.
    pub n_calls: Option<u64>,
    /// Logged executions that the settings would not have logged.
    pub n_outside: u64,
}

impl SampleFacts {
    /// For the report.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self {
            settings, n_logged, ..
        } = self;
        match self.n_calls {
            Some(n_calls) => format!(
                "{settings}: calls, times and percentiles of statements are estimates: the {n_logged} logged executions stand for some {n_calls}; what is said of loops, sessions and \
                 single executions counts the logged ones"
            ),
            None => format!(
                "{settings}: not reckoned up, calls and times are those of the {n_logged} logged executions: {} of them would not have been logged with these settings, so others \
                 were in force (--log-setting NAME=VALUE gives them)",
                self.n_outside
            ),
        }
    }
}

impl Fold {
    /// The same fold for inputs that hold a sample of what ran; what it is appended to or appends must know of the same.
    #[must_use]
    pub fn sampled(mut self, schedule: &Arc<Schedule>) -> Self {
        self.schedule = schedule.samples().then(|| Arc::clone(schedule));
        self
    }

    /// What executions stand for, by the number of their weight; `None` where all were logged, or the logs don't fit the settings.
    pub(super) fn weights(&self, inputs: &[InputFacts]) -> Option<Vec<Weight>> {
        let schedule = self.schedule.as_ref()?;
        let mut covers = inputs.iter().map(|input| &input.coverage);
        let fits = covers.all(|cover| fits(cover.n_outside, cover.n_timed));
        fits.then(|| schedule.weights())
    }

    pub(super) fn sample_facts(
        &self,
        queries: &[Query],
        let_go: LetGo,
        inputs: &[InputFacts],
        is_reckoned: bool,
    ) -> Option<SampleFacts> {
        let schedule = self.schedule.as_ref()?;
        let n_kept: u64 = queries.iter().map(Query::n_calls).sum();
        let n_let_go = let_go.estimate.map_or(let_go.n_calls, |all| all.n_calls);
        let seen: u64 = queries.iter().map(Query::n_seen).sum();
        Some(SampleFacts {
            settings: schedule.in_words(),
            n_logged: seen + let_go.n_calls,
            n_calls: is_reckoned.then_some(n_kept + n_let_go),
            n_outside: inputs.iter().map(|input| input.coverage.n_outside).sum(),
        })
    }

    /// Whether executions like this one were left out by chance.
    pub(super) fn drawn(&mut self, statement: &Statement<'_>) -> Drawn {
        let (Some(schedule), Some(duration_us)) = (&self.schedule, statement.duration_us) else {
            return Drawn::Itself;
        };
        match schedule.drawn(statement.origin, duration_us) {
            Drawn::Outside => {
                self.cover(statement.origin).outside();
                Drawn::Itself
            }
            drawn => drawn,
        }
    }
}

/// Whether a log fits its settings.
fn fits(n_outside: u64, n_timed: u64) -> bool {
    n_outside.saturating_mul(ONE_IN) <= n_timed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(settings: &[(&'static str, &'static str)]) -> Option<Sampling> {
        Sampling::of(|name| Some(settings.iter().find(|(known, _)| *known == name)?.1))
    }

    fn chances(settings: &[(&'static str, &'static str)], us: &[u64]) -> Vec<f64> {
        let sampling = sampling(settings).expect("samples");
        us.iter()
            .map(|us| sampling.chance(sampling.kind(*us)))
            .collect()
    }

    #[track_caller]
    fn assert_near<const N: usize>(found: &[f64], expected: [f64; N]) {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
        assert!(
            found.len() == N && found.iter().zip(&expected).all(near),
            "{found:?} {expected:?}"
        );
    }

    #[test]
    fn the_chance_to_be_logged_is_as_the_server_draws() {
        let statements = [
            ("log_min_duration_statement", "250ms"),
            ("log_min_duration_sample", "10"),
            ("log_statement_sample_rate", "0.1"),
        ];
        let us = [9_999, 10_000, 249_999, 250_000];
        assert_near(&chances(&statements, &us), [0.0, 0.1, 0.1, 1.0]);
        let transactions = [("log_transaction_sample_rate", "0.25")];
        assert_near(&chances(&transactions, &us), [0.25; 4]);
        let both = [statements.as_slice(), &transactions].concat();
        assert_near(&chances(&both, &us), [0.25, 0.325, 0.325, 1.0]);
    }

    #[test]
    fn a_log_that_holds_all_or_only_the_slow_ones_is_no_sample() {
        for settings in [
            &[][..],
            &[("log_statement_sample_rate", "0.1")],
            &[
                ("log_min_duration_sample", "-1"),
                ("log_statement_sample_rate", "0.1"),
            ],
            &[
                ("log_min_duration_sample", "0"),
                ("log_statement_sample_rate", "1"),
            ],
            &[
                ("log_min_duration_sample", "0"),
                ("log_statement_sample_rate", "0"),
                ("log_min_duration_statement", "100"),
            ],
            &[
                ("log_min_duration_sample", "0"),
                ("log_statement_sample_rate", "0.1"),
                ("log_min_duration_statement", "0"),
            ],
            &[("log_transaction_sample_rate", "1")],
            &[
                ("log_transaction_sample_rate", "0.1"),
                ("log_statement", "all"),
                ("log_duration", "on"),
            ],
        ] {
            assert_eq!(sampling(settings), None, "{settings:?}");
        }
    }

    #[test]
    fn settings_hold_from_where_the_log_says_so() {
        let at = |line| Origin { file: 0, line };
        let change = |line, name: &str, value: &str| (at(line), name.to_owned(), value.to_owned());
        let changes = [
            change(20, "log_statement_sample_rate", "0.5"),
            change(10, "log_statement_sample_rate", "0.1"),
        ];
        let server = |name: &str| match name {
            "log_min_duration_sample" => Some("0"),
            // what it is now; it was something else before
            "log_statement_sample_rate" => Some("0.5"),
            _ => None,
        };
        let schedule = Schedule::of(server, &changes);
        let weights = schedule.weights();
        let logged = |line| match schedule.drawn(at(line), 5) {
            Drawn::Itself => 1.0,
            Drawn::Share(weight) => weights[usize::from(weight)].chance,
            Drawn::Outside => 0.0,
        };
        assert_near(&[5, 15, 25].map(logged), [1.0, 0.1, 0.5]);
    }

    #[test]
    fn logged_ones_count_for_those_left_out() {
        let settings = [
            ("log_min_duration_statement", "1s"),
            ("log_min_duration_sample", "0"),
            ("log_statement_sample_rate", "0.1"),
        ];
        let schedule = Schedule::of(
            |name| Some(settings.iter().find(|(known, _)| *known == name)?.1),
            &[],
        );
        let (mut sampled, mut durations) = (Sampled::default(), Histogram::default());
        for (us, n) in [(1_000, 90), (2_000_000, 100)] {
            for _ in 0..n {
                durations.record_n(us, 1);
                if let Drawn::Share(weight) = schedule.drawn(Origin::default(), us) {
                    sampled.record(weight, us);
                }
            }
        }
        let weights = schedule.weights();
        let logged = (190, 90_000 + 200_000_000);
        let estimate = sampled.estimate(logged, false, &weights);
        assert_eq!(estimate.n_calls, 1_000);
        assert_eq!(estimate.total_us, 900_000 + 200_000_000);
        assert_eq!(estimate.n_sampled, 90);
        // √(90 · 0.9) / 0.1
        assert_eq!(estimate.n_calls_error, 90);
        assert!(durations.quantile(0.5) > 1_900_000);
        assert!(sampled.quantile(&durations, 0.5, &weights) < 1_100);
        assert!(sampled.quantile(&durations, 0.95, &weights) > 1_900_000);
        // texts that are there in any case are counted already
        let complete = sampled.estimate(logged, true, &weights);
        assert_eq!((complete.n_calls, complete.n_sampled), (190, 0));
        assert_eq!(complete.total_us, estimate.total_us);
    }
}
