//! What samples of `pg_stat_activity` tell beside counts: values that stand in statements, what sessions wait for, and who blocks whom.
//!
//! Samples see long statements more often than short ones, so nothing here is a number of calls or a time: those stay
//! `pg_stat_statements`' and the log's.

use std::collections::BTreeMap;

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use super::{Event, Fold, InputFacts, Query, Sink, Statement, Workload, own::OWN_TAG};
use crate::sql::{Fingerprint, Normaliser};

/// What Postgres shows instead of other roles' texts without `pg_read_all_stats`.
const HIDDEN_TEXT: &str = "<insufficient privilege>";
/// Executions that are told apart, so that one that is seen twice counts once.
const MAX_EXECUTIONS: usize = 100_000;
/// Kinds of waits and pairs of blocker and blocked that are told apart: the server knows some 250 events.
const MAX_KINDS: usize = 1_024;
/// Executions seen from which a value that all of them share counts as constant: samples are few, and a page's ten calls share much.
const MIN_SEEN_FOR_CONSTANT: u64 = 30;
/// Bytes by which a cut text may be shorter than `track_activity_query_size`: its end, and a character that did not fit whole.
const CUT_SLACK: usize = 4;

/// One client backend at one moment, as `pg_stat_activity` has it.
#[derive(Debug, Clone, Default)]
pub struct Backend {
    /// `pid`
    pub pid: i32,
    /// `backend_start`, microseconds since the epoch.
    pub backend_start_us: i64,
    /// `query_start`, microseconds since the epoch.
    pub query_start_us: i64,
    /// How long ago that was, microseconds.
    pub running_us: i64,
    /// `usename`
    pub user: String,
    /// `application_name`
    pub application: String,
    /// `state`; empty where it may not be seen.
    pub state: String,
    /// `wait_event_type`; empty when it waits for nothing.
    pub wait_type: String,
    /// `wait_event`
    pub wait_event: String,
    /// `query`: what it runs, or ran last.
    pub text: String,
    /// `query_id`, 14 and newer.
    pub query_id: Option<i64>,
    /// `pg_blocking_pids`, while it waits for a lock.
    pub blockers: Vec<i32>,
}

impl Backend {
    fn is_active(&self) -> bool {
        self.state == "active"
    }
}

/// What sessions were seen waiting for, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Samples taken.
    pub n_samples: u64,
    /// From the first to the last, seconds.
    pub seconds: f64,
    /// Backends seen active, over all samples.
    pub n_active: u64,
    /// Executions told apart.
    pub n_executions: u64,
    /// Backends whose statement may not be seen by this role, over all samples.
    pub n_hidden: u64,
    /// Executions whose text the server cut (`track_activity_query_size`): nothing was learnt of them.
    pub n_cut: u64,
    /// Backends beyond those read of one sample, over all samples.
    pub n_left_out: u64,
    /// What active backends waited for, most often first.
    pub waits: Vec<SeenWait>,
    /// Statements that waited for a lock, and who held it, most often first.
    pub blocked: Vec<Blocked>,
}

/// A kind of wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenWait {
    /// `wait_event_type`; empty when nothing was waited for.
    pub kind: String,
    /// `wait_event`
    pub event: String,
    /// Backends seen in it, over all samples.
    pub n: u64,
}

/// A statement that waits for a lock which a session holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The statement that waits; `None` where its text is not known.
    pub fingerprint: Option<Fingerprint>,
    /// What the holder runs, or ran last in its transaction; `None` where its text is not known.
    pub by: Option<Fingerprint>,
    /// The holder's `state`, such as `idle in transaction`.
    pub state: String,
    /// The holder's `application_name`.
    pub application: String,
    /// Samples that saw it.
    pub n: u64,
    /// The longest that the statement had run when it was seen waiting, microseconds.
    pub longest_us: u64,
}

/// Takes samples in, in bounded memory.
#[derive(Debug)]
pub struct Watcher {
    fold: Fold,
    normaliser: Normaliser,
    /// `track_activity_query_size`, bytes.
    text_bytes: usize,
    seen: HashSet<(i32, i64, i64), foldhash::fast::FixedState>,
    waits: BTreeMap<(String, String), u64>,
    blocked: BTreeMap<BlockedKey, (u64, u64)>,
    watched: Watched,
}

/// Waiting statement, its blocker's statement, state and application.
type BlockedKey = (Option<Fingerprint>, Option<Fingerprint>, String, String);

impl Watcher {
    /// `text_bytes` is the server's `track_activity_query_size`.
    #[must_use]
    pub fn new(text_bytes: usize) -> Self {
        Self {
            fold: Fold::leading().without_windows(),
            normaliser: Normaliser::default(),
            text_bytes,
            seen: HashSet::default(),
            waits: BTreeMap::new(),
            blocked: BTreeMap::new(),
            watched: Watched::default(),
        }
    }

    /// One sample: all client backends of the database but our own, and how many more there were.
    pub fn sample(&mut self, backends: &[Backend], n_left_out: u64) {
        self.watched.n_samples += 1;
        self.watched.n_left_out += n_left_out;
        for backend in backends {
            self.watched.n_hidden += u64::from(backend.text == HIDDEN_TEXT);
            if backend.is_active() {
                self.wait(backend);
            }
            self.execution(backend);
            self.blocked(backend, backends);
        }
    }

    fn wait(&mut self, backend: &Backend) {
        self.watched.n_active += 1;
        let key = (backend.wait_type.clone(), backend.wait_event.clone());
        if self.waits.len() < MAX_KINDS || self.waits.contains_key(&key) {
            *self.waits.entry(key).or_default() += 1;
        }
    }

    /// A text with all that belongs to it, of somebody else.
    fn text<'a>(&self, backend: &'a Backend) -> Option<&'a str> {
        let text = backend.text.as_str();
        let is_whole = text.len() + CUT_SLACK < self.text_bytes;
        let is_told = !text.trim().is_empty() && text != HIDDEN_TEXT && !text.contains(OWN_TAG);
        (is_whole && is_told).then_some(text)
    }

    fn execution(&mut self, backend: &Backend) {
        let key = (
            backend.pid,
            backend.backend_start_us,
            backend.query_start_us,
        );
        let is_full = self.seen.len() >= MAX_EXECUTIONS;
        if backend.state.is_empty() || is_full || !self.seen.insert(key) {
            return;
        }
        let Some(text) = self.text(backend) else {
            let is_cut = backend.text.len() + CUT_SLACK >= self.text_bytes;
            self.watched.n_cut += u64::from(is_cut);
            return;
        };
        self.watched.n_executions += 1;
        self.fold.event(&Event::Statement(Statement {
            text: text.as_bytes().into(),
            time_us: backend.query_start_us,
            user: backend.user.as_bytes(),
            application: backend.application.as_bytes(),
            query_id: backend.query_id.unwrap_or(0),
            ..Statement::default()
        }));
    }

    fn blocked(&mut self, backend: &Backend, all: &[Backend]) {
        for blocker in &backend.blockers {
            let holder = all.iter().find(|other| other.pid == *blocker);
            let key = (
                self.fingerprint(backend),
                holder.and_then(|holder| self.fingerprint(holder)),
                holder.map_or_else(String::new, |holder| holder.state.clone()),
                holder.map_or_else(String::new, |holder| holder.application.clone()),
            );
            if self.blocked.len() < MAX_KINDS || self.blocked.contains_key(&key) {
                let (n, longest_us) = self.blocked.entry(key).or_default();
                *n += 1;
                *longest_us = (*longest_us).max(backend.running_us.max(0).unsigned_abs());
            }
        }
    }

    fn fingerprint(&mut self, backend: &Backend) -> Option<Fingerprint> {
        let text = self.text(backend)?;
        Some(self.normaliser.run(text.as_bytes()))
    }

    /// Ends the watch after so many seconds.
    #[must_use]
    pub fn finish(self, seconds: f64) -> Seen {
        let mut watched = Watched {
            seconds,
            ..self.watched
        };
        let waits = self.waits.into_iter();
        watched.waits = waits
            .map(|((kind, event), n)| SeenWait { kind, event, n })
            .collect();
        watched.waits.sort_by_key(|wait| std::cmp::Reverse(wait.n));
        let blocked = self.blocked.into_iter();
        watched.blocked = blocked
            .map(
                |((fingerprint, by, state, application), (n, longest_us))| Blocked {
                    fingerprint,
                    by,
                    state,
                    application,
                    n,
                    longest_us,
                },
            )
            .collect();
        watched
            .blocked
            .sort_by_key(|seen| std::cmp::Reverse(seen.n));
        let mut queries = self.fold.finish(vec![InputFacts::default()]).queries;
        queries.iter_mut().for_each(only_values);
        Seen { queries, watched }
    }
}

/// What a watch came to.
#[derive(Debug, Default)]
pub struct Seen {
    /// Statements with the values seen in them.
    queries: Vec<Query>,
    watched: Watched,
}

/// Leaves of what was seen what samples can tell: the values of literals. A parameter's value is not in `pg_stat_activity`.
fn only_values(query: &mut Query) {
    let Some(mut log) = query.log.take() else {
        return;
    };
    let has_literals = log.placeholders.iter().any(|facts| facts.n_literal > 0);
    if !has_literals {
        return;
    }
    for facts in &mut log.placeholders {
        if facts.n_literal < MIN_SEEN_FOR_CONSTANT {
            facts.constant = None;
        }
    }
    log.query_id = None;
    query.log = Some(log);
}

impl Workload {
    /// Adds what was seen in `pg_stat_activity`: values of statements that no log tells of, waits and who blocks. To be called before
    /// `pg_stat_statements` is added, so that its entries find statements with values.
    pub fn add_watched(&mut self, seen: Seen) {
        let mut queries: BTreeMap<_, Query> = std::mem::take(&mut self.queries)
            .into_iter()
            .map(|query| (query.fingerprint, query))
            .collect();
        for query in seen.queries {
            queries.entry(query.fingerprint).or_insert(query);
        }
        self.queries = queries.into_values().collect();
        self.watched = Some(Box::new(seen.watched));
    }
}

impl Watched {
    /// What the report says of it.
    #[must_use]
    pub fn notes(&self, workload: &Workload) -> Vec<String> {
        let mut notes = vec![self.summary()];
        let text = |fingerprint: Option<Fingerprint>| {
            let query = fingerprint.and_then(|fingerprint| workload.query(fingerprint));
            query.map_or_else(
                || "a statement whose text is not known".to_owned(),
                |query| query.text.chars().take(MAX_NOTE_CHARS).collect(),
            )
        };
        for blocked in self.blocked.iter().take(MAX_BLOCKED_NOTES) {
            let who = match blocked.application.as_str() {
                "" => String::new(),
                application => format!(" of {application}"),
            };
            let does = match blocked.state.as_str() {
                "" => "a session that may not be seen".to_owned(),
                "active" => format!("a session{who} that runs: {}", text(blocked.by)),
                state => format!("a session{who}, {state}, last: {}", text(blocked.by)),
            };
            notes.push(format!(
                "in {} of {} samples this waited for a lock, up to {:.1} s: {}; held by {does}",
                blocked.n,
                self.n_samples,
                blocked.longest_us as f64 / 1e6,
                text(blocked.fingerprint)
            ));
        }
        notes.extend(self.unseen());
        notes
    }

    fn summary(&self) -> String {
        let n_samples = self.n_samples.max(1) as f64;
        let shares: Vec<String> = self
            .waits
            .iter()
            .take(MAX_WAITS_TOLD)
            .map(|wait| {
                let share = wait.n as f64 * 100.0 / self.n_active.max(1) as f64;
                match wait.kind.as_str() {
                    "" => format!("{share:.0} % no wait"),
                    kind => format!("{share:.0} % {kind} {}", wait.event),
                }
            })
            .collect();
        let what = match shares.as_slice() {
            [] => String::new(),
            shares => format!(": {}", shares.join(", ")),
        };
        format!(
            "pg_stat_activity, {} samples in {:.0} s: {} executions seen, {:.1} sessions active on average{what}",
            self.n_samples,
            self.seconds,
            self.n_executions,
            self.n_active as f64 / n_samples
        )
    }

    fn unseen(&self) -> Option<String> {
        let lacks = [
            (
                self.n_hidden,
                "backends whose statement this role may not see (pg_read_all_stats)",
            ),
            (
                self.n_cut,
                "executions whose text the server cut (track_activity_query_size)",
            ),
            (self.n_left_out, "backends beyond those read of a sample"),
        ];
        let told: Vec<String> = lacks
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"))
            .collect();
        (!told.is_empty()).then(|| format!("pg_stat_activity did not tell of {}", told.join(", ")))
    }
}

/// Pairs of blocked and blocker that are told; the rest stands in the snapshot.
const MAX_BLOCKED_NOTES: usize = 5;
/// Kinds of waits that are told.
const MAX_WAITS_TOLD: usize = 6;
/// Characters of a statement in a remark.
const MAX_NOTE_CHARS: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(pid: i32, query_start_us: i64, state: &str, text: &str) -> Backend {
        Backend {
            pid,
            query_start_us,
            state: state.to_owned(),
            text: text.to_owned(),
            ..Backend::default()
        }
    }

    fn watch(samples: &[Vec<Backend>]) -> Workload {
        let mut watcher = Watcher::new(1024);
        for sample in samples {
            watcher.sample(sample, 0);
        }
        let mut workload = Workload::default();
        workload.add_watched(watcher.finish(1.0));
        workload
    }

    #[test]
    fn an_execution_that_is_seen_twice_counts_once() {
        let slow = || backend(1, 5, "active", "SELECT * FROM t WHERE a = 'x'");
        let next = backend(1, 9, "idle", "SELECT * FROM t WHERE a = 'y'");
        let workload = watch(&[vec![slow()], vec![slow()], vec![next]]);
        let watched = workload.watched.as_ref().unwrap();
        assert_eq!((watched.n_executions, watched.n_active), (2, 2));
        let log = workload.queries[0].log.as_ref().unwrap();
        assert_eq!((log.n_calls, log.total_us), (2, 0));
        assert_eq!(log.placeholders[0].n_literal, 2);
    }

    #[test]
    fn a_value_is_constant_only_where_many_executions_had_it() {
        let run = |n: i32| {
            let all = (0..n).map(|n| backend(n, 1, "active", "SELECT 1 FROM t WHERE a = 'x'"));
            let workload = watch(&[all.collect()]);
            workload.queries[0].log.as_ref().unwrap().placeholders[1]
                .constant
                .clone()
        };
        assert_eq!(run(29), None);
        assert!(run(30).is_some());
    }

    #[test]
    fn texts_that_are_cut_hidden_or_ours_are_none() {
        let cut = format!("SELECT {}", "x".repeat(1020));
        let mut hidden = backend(3, 1, "", HIDDEN_TEXT);
        hidden.wait_type.clear();
        let workload = watch(&[vec![
            backend(1, 1, "active", &cut),
            backend(2, 1, "active", "SELECT /* pgassay */ 1"),
            hidden,
        ]]);
        assert!(workload.queries.is_empty());
        let watched = workload.watched.unwrap();
        assert_eq!(
            (watched.n_cut, watched.n_hidden, watched.n_executions),
            (1, 1, 0)
        );
    }

    #[test]
    fn a_log_knows_better() {
        let mut workload = watch(&[vec![backend(1, 1, "active", "SELECT 1 FROM t WHERE a = 7")]]);
        let mut watcher = Watcher::new(1024);
        watcher.sample(&[backend(1, 2, "active", "SELECT 2 FROM t WHERE a = 8")], 0);
        workload.add_watched(watcher.finish(1.0));
        assert_eq!(workload.queries.len(), 1);
        assert!(workload.queries[0].sample.ends_with('7'));
    }

    #[test]
    fn who_blocks_whom() {
        let mut waits = backend(2, 1, "active", "UPDATE t SET n = 1 WHERE id = 7");
        waits.wait_type = "Lock".to_owned();
        waits.wait_event = "transactionid".to_owned();
        waits.blockers = vec![1, 99];
        waits.running_us = 2_500_000;
        let holder = backend(
            1,
            1,
            "idle in transaction",
            "UPDATE t SET n = 2 WHERE id = 8",
        );
        let workload = watch(&[vec![holder, waits]]);
        let watched = workload.watched.as_ref().unwrap();
        assert_eq!(watched.blocked.len(), 2);
        let notes = watched.notes(&workload).join("\n");
        assert!(notes.contains("up to 2.5 s: update t set n = $1 where id = $2; held by a session, idle in transaction, last: update t set n = $1"), "{notes}");
        assert!(notes.contains("a session that may not be seen"), "{notes}");
        assert!(notes.contains("100 % Lock transactionid"), "{notes}");
        assert!(!notes.contains('7'), "values stay inside: {notes}");
    }
}
