//! Two readings of `pg_stat_statements`, and what ran between them.

use std::collections::BTreeMap;

use super::{InputFacts, PgssEntry, PgssStats};

/// What ran between two readings, and what can't be told of it.
#[derive(Debug, Default)]
struct Seen {
    /// Entries whose counters started again in between: evicted and seen anew, or reset.
    n_restarted: u64,
}

/// A reading: entries and what they cover.
pub type Reading = (Vec<PgssEntry>, InputFacts);

/// What ran between `before` and `after`. An entry whose counters started again in between counts with what it has since: less than what ran, never more.
#[must_use]
pub fn difference(before: Reading, after: Reading) -> Reading {
    let (before, facts_before) = before;
    let (after, mut facts) = after;
    let mut known: BTreeMap<Key, PgssEntry> = before
        .into_iter()
        .map(|entry| (Key::of(&entry), entry))
        .collect();
    let mut seen = Seen::default();
    let entries = after
        .into_iter()
        .filter_map(|entry| match known.remove(&Key::of(&entry)) {
            None => Some(entry),
            Some(old) if started_again(&old, &entry) => {
                seen.n_restarted += 1;
                Some(entry)
            }
            Some(old) => since(&old, entry),
        })
        .collect();
    describe(&mut facts, &facts_before, &seen);
    (entries, facts)
}

/// What makes an entry: statement and role.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    query_ids: Vec<i64>,
    users: Vec<String>,
    /// Texts tell apart what has no id.
    text: Option<String>,
}

impl Key {
    fn of(entry: &PgssEntry) -> Self {
        Self {
            query_ids: entry.stats.query_ids.clone(),
            users: entry.stats.users.clone(),
            text: entry.stats.query_ids.is_empty().then(|| entry.text.clone()),
        }
    }
}

/// From 17 on an entry says since when it counts. Before, any counter that went down shows it; calls alone may have grown beyond the old number again.
fn started_again(before: &PgssEntry, after: &PgssEntry) -> bool {
    if let (Some(old), Some(new)) = (before.since_us, after.since_us) {
        return old != new;
    }
    let (old, new) = (&before.stats, &after.stats);
    new.n_calls < old.n_calls
        || new.total_ms < old.total_ms
        || new.n_rows < old.n_rows
        || new.shared_blks_hit < old.shared_blks_hit
        || new.shared_blks_read < old.shared_blks_read
        || new.shared_blks_dirtied < old.shared_blks_dirtied
        || new.temp_blks < old.temp_blks
        || new.wal_bytes < old.wal_bytes
}

/// What an entry counted since; `None` when it did not run.
fn since(before: &PgssEntry, after: PgssEntry) -> Option<PgssEntry> {
    let (old, new) = (&before.stats, after.stats);
    let n_calls = new.n_calls - old.n_calls;
    if n_calls == 0 {
        return None;
    }
    let total_ms = new.total_ms - old.total_ms;
    // shortest and longest are of the entry's whole life: of the interval only the mean is known
    let mean_ms = total_ms / n_calls as f64;
    Some(PgssEntry {
        stats: PgssStats {
            n_calls,
            total_ms,
            min_ms: mean_ms,
            max_ms: mean_ms,
            n_rows: new.n_rows - old.n_rows,
            shared_blks_hit: new.shared_blks_hit - old.shared_blks_hit,
            shared_blks_read: new.shared_blks_read - old.shared_blks_read,
            shared_blks_dirtied: new.shared_blks_dirtied - old.shared_blks_dirtied,
            temp_blks: new.temp_blks - old.temp_blks,
            io_ms: (new.io_ms - old.io_ms).max(0.0),
            wal_bytes: new.wal_bytes - old.wal_bytes,
            plan_ms: (new.plan_ms - old.plan_ms).max(0.0),
            query_ids: new.query_ids,
            users: new.users,
        },
        ..after
    })
}

fn describe(facts: &mut InputFacts, before: &InputFacts, seen: &Seen) {
    let was_reset = matches!((before.from_us, facts.from_us), (Some(old), Some(new)) if new > old);
    // what the extension covers, not the interval, was said so far
    let evicted = |facts: &InputFacts| facts.pgss.as_ref().and_then(|pgss| pgss.n_evicted);
    let n_evicted = evicted(facts)
        .zip(evicted(before))
        .map(|(new, old)| new.saturating_sub(old));
    if let Some(pgss) = &mut facts.pgss {
        let hidden_before = before.pgss.as_ref().map_or(0, |pgss| pgss.n_hidden_calls);
        pgss.n_evicted = n_evicted;
        pgss.n_hidden_calls = pgss.n_hidden_calls.saturating_sub(hidden_before);
    }
    facts.blind_spots.retain(|spot| !spot.contains("evicted"));
    if let Some(n) = n_evicted.filter(|n| *n > 0) {
        facts.blind_spots.push(format!(
            "rare statements were evicted {n} times in this interval: totals are a lower bound"
        ));
    }
    if was_reset {
        facts.blind_spots.push(
            "pg_stat_statements was reset in this interval: what ran before the reset is not counted".to_owned(),
        );
    } else {
        facts.from_us = before.to_us;
    }
    if seen.n_restarted > 0 && !was_reset {
        facts.blind_spots.push(format!(
            "{} statements started counting again in this interval: they count from there",
            seen.n_restarted
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::PgssFacts;

    fn entry(id: i64, n_calls: u64, total_ms: f64, since_us: Option<i64>) -> PgssEntry {
        PgssEntry {
            text: format!("select {id}"),
            since_us,
            stats: PgssStats {
                query_ids: vec![id],
                users: vec!["app".into()],
                n_calls,
                total_ms,
                n_rows: n_calls,
                ..PgssStats::default()
            },
        }
    }

    fn facts(from_us: i64, to_us: i64, n_evicted: u64) -> InputFacts {
        InputFacts {
            from_us: Some(from_us),
            to_us: Some(to_us),
            pgss: Some(PgssFacts {
                n_evicted: Some(n_evicted),
                ..PgssFacts::default()
            }),
            blind_spots: vec!["rare statements were evicted 7 times since the last reset".into()],
            ..InputFacts::default()
        }
    }

    #[track_caller]
    fn calls(before: Vec<PgssEntry>, after: Vec<PgssEntry>) -> Vec<(i64, u64)> {
        let (entries, _) = difference((before, facts(0, 10, 7)), (after, facts(0, 20, 7)));
        entries
            .iter()
            .map(|e| (e.stats.query_ids[0], e.stats.n_calls))
            .collect()
    }

    #[test]
    fn what_ran_in_between_counts() {
        let before = vec![entry(1, 10, 5.0, None), entry(2, 3, 1.0, None)];
        let after = vec![
            entry(1, 14, 6.0, None),
            entry(2, 3, 1.0, None),
            entry(3, 2, 1.0, None),
        ];
        assert_eq!(calls(before, after), [(1, 4), (3, 2)]);
    }

    #[test]
    fn an_entry_that_started_again_counts_from_there() {
        // calls grew beyond the old number again, and the time did not
        assert_eq!(
            calls(
                vec![entry(1, 10, 50.0, None)],
                vec![entry(1, 12, 6.0, None)]
            ),
            [(1, 12)]
        );
        // 17 and newer say so themselves, whatever the numbers are
        assert_eq!(
            calls(
                vec![entry(1, 10, 5.0, Some(1))],
                vec![entry(1, 12, 6.0, Some(2))]
            ),
            [(1, 12)]
        );
        assert_eq!(
            calls(
                vec![entry(1, 10, 5.0, Some(1))],
                vec![entry(1, 12, 6.0, Some(1))]
            ),
            [(1, 2)]
        );
    }

    #[test]
    fn the_interval_its_evictions_and_its_resets_are_told() {
        let (_, between) = difference((Vec::new(), facts(0, 10, 7)), (Vec::new(), facts(0, 20, 9)));
        assert_eq!((between.from_us, between.to_us), (Some(10), Some(20)));
        assert_eq!(between.pgss.unwrap().n_evicted, Some(2));
        assert!(
            between.blind_spots[0].contains("evicted 2 times in this interval"),
            "{:?}",
            between.blind_spots
        );
        let (_, reset) = difference(
            (Vec::new(), facts(0, 10, 7)),
            (Vec::new(), facts(15, 20, 0)),
        );
        assert_eq!(reset.from_us, Some(15));
        assert!(
            reset.blind_spots[0].contains("was reset in this interval"),
            "{:?}",
            reset.blind_spots
        );
    }
}
