//! What the fold knows of each fingerprint, in bounded memory: when there are too many, the lightest are let go of, counted, and taken back
//! should they come again. Where there are many, a new one is parsed for windows only when it comes a second time: until then its first
//! words tell its role.

use std::{collections::BTreeMap, sync::Arc, sync::LazyLock};

use hashbrown::HashMap;

use super::{
    LogStats, Origin, PlanPhases, Query, Text, TimeSeries,
    fold::Fold,
    role::Traits,
    sampling::Weight,
    skips::clipped,
    statistics::{Names, QueryStatistics},
    template::Templates,
    transaction::TransactionStep,
    window::Step,
};
use crate::sql::{Fingerprint, QueryShape, ShapeError, StatementKind, shape, statement_kind};

/// Distinct fingerprints with statistics, at the end of a chunk: more than twice what `pg_stat_statements` keeps by default (`max` = 5000). About
/// 2 kB each, and as much again for the shape.
const MAX_QUERIES: usize = 12_000;
/// Those that stay when there are more: the ones with most time.
const N_HEAVY: usize = 5_000;
/// And of the others those with most calls: a log may have no durations.
const N_FREQUENT: usize = 1_500;
/// Distinct fingerprints that are parsed when they are first seen. Parsing takes longer than all else that is done for a statement.
const MAX_PARSED_AT_ONCE: usize = 5_000;
/// Distinct fingerprints that are told apart at all, some 200 bytes each. What is new beyond is counted under one reason.
const MAX_SEEN: usize = 500_000;
/// Longest real text kept for planning, bytes; longer ones can't be planned with anyway.
const MAX_SAMPLE_BYTES: usize = 64 * 1024;
/// Reason for statements beyond [`MAX_SEEN`].
pub(super) const TOO_MANY_QUERIES: &str = "statements beyond the first 500,000 distinct ones";
/// Reason for executions of statements that were let go of.
const LET_GO: &str = "executions of the lightest statements, let go of because more than 12,000 distinct ones were seen";

/// Reason for an execution whose loop, if it begins one, is told as one shorter.
const LATE: &str = "first executions of statements that came after 5,000 distinct ones: a loop that begins with one counts without it";

/// Stands for a query beyond [`MAX_SEEN`].
pub(super) const NO_QUERY: u32 = u32::MAX;

/// Behind all executions.
const NOWHERE: Origin = Origin {
    file: u32::MAX,
    line: u64::MAX,
};

/// Those of a query that is not understood: it was let go of, or nobody needs to know.
static NO_TRAITS: LazyLock<Arc<Traits>> = LazyLock::new(Arc::default);

/// A fingerprint that was seen, and what is known of it, worked out once.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) fingerprint: Fingerprint,
    pub(super) traits: Arc<Traits>,
    pub(super) transaction: TransactionStep,
    /// How far it is understood, for windows.
    depth: Depth,
    /// `None` once it was let go of.
    what: Option<Box<What>>,
}

/// How far a text is understood, for windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Depth {
    /// As far as anybody asks.
    #[default]
    Enough,
    /// By its first words; it was not executed yet.
    Words,
    /// By its first words, and it was executed once.
    WordsOnce,
}

/// What a text says.
#[derive(Debug)]
struct What {
    text: Box<str>,
    /// The text of the first execution, by its place in the input: which was told first depends on where chunks end.
    sample: Box<str>,
    /// Where that stands; [`NOWHERE`] until there is one.
    shown_at: Origin,
    kind: StatementKind,
    /// Its shape, once it was parsed.
    shape: Option<Result<Box<QueryShape>, ShapeError>>,
}

impl Known {
    /// As a first text tells it.
    pub(super) fn of(fingerprint: Fingerprint, normalised: String, sql: &[u8]) -> Self {
        let what = What {
            text: normalised.into(),
            sample: clipped(sql, MAX_SAMPLE_BYTES).into(),
            shown_at: NOWHERE,
            kind: statement_kind(sql),
            shape: None,
        };
        Self {
            what: Some(Box::new(what)),
            ..Self::nothing(fingerprint)
        }
    }

    fn nothing(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            traits: Arc::clone(&NO_TRAITS),
            transaction: TransactionStep::default(),
            depth: Depth::default(),
            what: None,
        }
    }

    /// The same, for another fold to work out.
    pub(super) fn raw(&self) -> Self {
        let raw = |what: &What| {
            Box::new(What {
                text: what.text.clone(),
                sample: what.sample.clone(),
                shown_at: what.shown_at,
                kind: what.kind,
                shape: None,
            })
        };
        Self {
            what: self.what.as_deref().map(raw),
            ..Self::nothing(self.fingerprint)
        }
    }

    /// An execution, whose text is kept when it stands ahead of the one that is.
    pub(super) fn shown_by(&mut self, text: Text<'_>, at: Origin) {
        let Some(what) = self.what.as_mut().filter(|what| at < what.shown_at) else {
            return;
        };
        what.shown_at = at;
        let mut scratch = Vec::new();
        let sample = clipped(text.decode(&mut scratch), MAX_SAMPLE_BYTES);
        if *what.sample != *sample {
            what.sample = sample.into();
        }
    }

    /// The same, by what another fold kept.
    pub(super) fn shown_as(&mut self, other: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.what, &other.what)
            && theirs.shown_at < mine.shown_at
        {
            mine.shown_at = theirs.shown_at;
            mine.sample.clone_from(&theirs.sample);
        }
    }

    fn text(&self) -> &str {
        self.what.as_ref().map_or("", |what| &what.text)
    }

    /// Its shape, if it was parsed and could be.
    pub(super) fn shape(&self) -> Option<&QueryShape> {
        let shape = self.what.as_ref()?.shape.as_ref()?;
        shape.as_deref().ok()
    }

    fn understand_by_words(&mut self) {
        self.depth = Depth::Words;
        if let Some(what) = &self.what {
            self.traits = Arc::new(Traits::of(&what.text, what.kind, None));
        }
    }

    fn understand(&mut self) {
        self.depth = Depth::Enough;
        if let Some(what) = &mut self.what {
            let shape = what.shape.insert(shape::parse(&what.text).map(Box::new));
            let traits = Traits::of(&what.text, what.kind, shape.as_deref().ok());
            self.traits = Arc::new(traits);
        }
    }
}

impl Fold {
    /// Takes up a fingerprint that is new here, unless there are too many.
    pub(super) fn admit(&mut self, known: Known) -> u32 {
        if self.is_leading() && self.known.len() >= MAX_SEEN {
            return NO_QUERY;
        }
        let query = u32::try_from(self.known.len()).expect("memory ends before 2^32 fingerprints");
        self.query_at.insert(known.fingerprint, query);
        self.known.push(Known::nothing(known.fingerprint));
        self.statistics.push(None);
        self.take_back(query, known);
        query
    }

    /// Takes up a fingerprint that has a number: anew, or for the first time.
    pub(super) fn take_back(&mut self, query: u32, mut known: Known) {
        known.transaction = TransactionStep::of(known.text());
        if self.runs_windows() && self.known.len() <= MAX_PARSED_AT_ONCE {
            known.understand();
        } else if self.runs_windows() {
            known.understand_by_words();
        }
        self.known[query as usize] = known;
        self.statistics[query as usize] = Some(Box::default());
        self.n_live += 1;
    }

    /// Windows get an execution: from the second one on the text has to be understood. Statistics run ahead of windows by up to a chunk, so
    /// mostly the first one is known not to be the last.
    pub(super) fn executed(&mut self, step: &Step) {
        let at = step.query as usize;
        let n_calls = |fold: &Self| fold.statistics[at].as_ref().map_or(0, |s| s.n_calls());
        match self.known[at].depth {
            Depth::Enough => {}
            Depth::Words if n_calls(self) < 2 => self.known[at].depth = Depth::WordsOnce,
            Depth::Words => self.known[at].understand(),
            Depth::WordsOnce => {
                self.known[at].understand();
                let text = self.known[at].text();
                self.skips.add(LATE, 1, step.origin, text.as_bytes());
            }
        }
    }

    /// Takes back the query of a text, should it have been let go of.
    pub(super) fn live(&mut self, query: u32, text: Text<'_>) {
        if self.statistics[query as usize].is_some() {
            return;
        }
        let mut scratch = Vec::new();
        let sql = text.decode(&mut scratch);
        let normalised = self.templates.normalise(sql);
        let fingerprint = self.known[query as usize].fingerprint;
        self.take_back(query, Known::of(fingerprint, normalised, sql));
    }

    /// Whether there are statistics of a fingerprint.
    pub(super) fn is_live(&self, fingerprint: Fingerprint) -> bool {
        let query = self.query_at.get(&fingerprint);
        query.is_some_and(|&query| self.statistics[query as usize].is_some())
    }

    /// Lets go of the lightest queries when there are too many. Their numbers stay theirs: what was found of them stays right.
    pub(super) fn let_go(&mut self) {
        self.let_go_beyond(MAX_QUERIES, N_HEAVY, N_FREQUENT);
    }

    pub(super) fn let_go_beyond(&mut self, max: usize, n_heavy: usize, n_frequent: usize) {
        if self.n_live <= max {
            return;
        }
        let numbered = (0_u32..).zip(&self.statistics);
        let mut ranked: Vec<(u64, u64, u32)> = numbered
            .filter_map(|(query, statistics)| {
                let statistics = statistics.as_deref()?;
                Some((statistics.total_us(), statistics.n_calls(), query))
            })
            .collect();
        // begin, commit and the like decide what a window is, and are few
        let is_light = |&(_, _, query): &(u64, u64, u32)| {
            self.known[query as usize].transaction == TransactionStep::default()
        };
        ranked.retain(is_light);
        ranked.sort_unstable_by_key(|&(us, n, query)| (std::cmp::Reverse((us, n)), query));
        let mut rest = ranked.split_off(n_heavy.min(ranked.len()));
        rest.sort_unstable_by_key(|&(us, n, query)| (std::cmp::Reverse((n, us)), query));
        for &(_, n_calls, query) in rest.iter().skip(n_frequent) {
            let known = &mut self.known[query as usize];
            let Some(statistics) = self.statistics[query as usize].take() else {
                continue;
            };
            let text = known.text().as_bytes();
            self.skips
                .add(LET_GO, n_calls, statistics.first_origin(), text);
            self.let_go.add(n_calls, statistics.total_us());
            if let Some(sampled) = statistics.sampled() {
                self.let_go_sampled.merge(sampled);
            }
            *known = Known::nothing(known.fingerprint);
            self.n_live -= 1;
            self.forget_query(query);
        }
        self.touched.clear();
    }

    pub(super) fn queries(
        &mut self,
        phases: &BTreeMap<u32, PlanPhases>,
        mut series: Vec<TimeSeries>,
        weights: Option<&[Weight]>,
    ) -> Vec<Query> {
        // nothing is looked up any more; shapes take the room
        self.templates = Templates::default();
        self.query_at = HashMap::default();
        let symbols = &self.symbols;
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
        let names = Names {
            user: &|at| text(&symbols.client(at).user),
            application: &|at| text(&symbols.client(at).application),
            route: &|at| Some(symbols.tags(at).join(" ")),
        };
        let numbered = (0_u32..).zip(std::mem::take(&mut self.known));
        let mut kept: Vec<(u32, Fingerprint, Box<What>, Box<QueryStatistics>)> = numbered
            .zip(std::mem::take(&mut self.statistics))
            .filter_map(|((number, known), statistics)| {
                Some((number, known.fingerprint, known.what?, statistics?))
            })
            // one that was prepared and never run, as far as the log tells
            .filter(|(.., statistics)| statistics.n_calls() > 0)
            .collect();
        parse_the_rest(kept.iter_mut().map(|(_, _, what, _)| what.as_mut()));
        let mut queries: Vec<Query> = kept
            .into_iter()
            .map(|(number, fingerprint, what, statistics)| {
                let (shape, shape_error) = match what.shape {
                    Some(Ok(shape)) => (Some(shape), None),
                    Some(Err(error)) => (None, Some(error)),
                    None => (None, None),
                };
                Query {
                    fingerprint,
                    text: what.text.into(),
                    kind: what.kind,
                    sample: what.sample.into(),
                    shape,
                    shape_error,
                    log: Some(LogStats {
                        phases: phases.get(&number).copied(),
                        series: series
                            .get_mut(number as usize)
                            .map(std::mem::take)
                            .unwrap_or_default(),
                        ..statistics.finish(&names, weights)
                    }),
                    pgss: None,
                }
            })
            .collect();
        queries.sort_unstable_by_key(|query| query.fingerprint);
        queries
    }
}

/// Parses what no window had to know of before.
fn parse_the_rest<'w>(all: impl Iterator<Item = &'w mut What>) {
    let mut rest: Vec<&mut What> = all.filter(|what| what.shape.is_none()).collect();
    let texts: Vec<&str> = rest.iter().map(|what| &*what.text).collect();
    let shapes = shape::parse_all(&texts);
    for (what, shape) in rest.iter_mut().zip(shapes) {
        what.shape = Some(shape.map(Box::new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Event, InputFacts, Origin, Sink, Statement, Workload};

    /// One execution a chunk, and the bound after each: `(text, duration)`.
    fn bounded(executions: &[(&str, u64)]) -> Workload {
        let mut fold = Fold::leading();
        let mut following = Fold::default();
        for (line, (text, duration_us)) in (1..).zip(executions) {
            following.event(&Event::Statement(Statement {
                text: text.as_bytes().into(),
                duration_us: Some(*duration_us),
                time_us: 1_000_000 * line,
                session: b"7",
                origin: Origin {
                    file: 0,
                    line: line.unsigned_abs(),
                },
                ..Statement::default()
            }));
            fold.append(&mut following);
            fold.let_go_beyond(6, 3, 1);
        }
        fold.finish(vec![InputFacts::default()])
    }

    fn calls(workload: &Workload) -> Vec<(String, u64, u64)> {
        let stats = |q: &Query| q.log.as_ref().map_or((0, 0), |l| (l.n_calls, l.total_us));
        let each = workload.queries.iter();
        let mut all: Vec<_> = each
            .map(|q| (q.text.clone(), stats(q).0, stats(q).1))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_is_heavy_stays_however_late_it_comes() {
        let light: Vec<String> = (0..40).map(|n| format!("select c{n} from t")).collect();
        let mut executions: Vec<(&str, u64)> = Vec::new();
        for (n, text) in light.iter().enumerate() {
            executions.push((text, 10 + n as u64));
            executions.push(("select early from t where a = 1", 500));
            executions.push(("select often from t where a = 1", 1));
            if n > 30 {
                executions.push(("select late from t", 700));
            }
        }
        // let go of long ago, and heavy now
        executions.push((&light[0], 9_000));
        let workload = bounded(&executions);
        let found = calls(&workload);
        assert!(found.len() <= 6, "{found:?}");
        for expected in [
            ("select c0 from t", 1, 9_000),
            ("select early from t where a = $1", 40, 20_000),
            ("select late from t", 9, 6_300),
            ("select often from t where a = $1", 40, 40),
        ] {
            let (text, n, us) = expected;
            assert!(found.contains(&(text.to_owned(), n, us)), "{found:?}");
        }
        let kept: u64 = found.iter().map(|(_, n, _)| n).sum();
        let skipped = workload.skipped.iter().find(|skip| skip.reason == LET_GO);
        assert_eq!(kept + skipped.unwrap().n, executions.len() as u64);
        assert_eq!(workload.let_go.n_calls, skipped.unwrap().n);
        let total_us: u64 = executions.iter().map(|(_, us)| us).sum();
        assert!((workload.total_time_ms() - total_us as f64 / 1e3).abs() < 1e-6);
        assert!(skipped.unwrap().example.starts_with(':'));
        // of what stays, all is known
        let early = workload.queries.iter().find(|q| q.text.contains("early"));
        assert!(early.unwrap().shape.is_some());
    }
}
