//! `pg_stat_statements` into the workload: entries of one fingerprint add up, beside the log's numbers, never with them.

use std::collections::BTreeMap;

use super::{InputFacts, PgssEntry, PgssStats, Query, SkipCount, Workload};
use crate::sql::{Fingerprint, Normaliser, shape, statement_kind};

/// What Postgres shows instead of other roles' texts without `pg_read_all_stats`.
const HIDDEN_TEXT: &str = "<insufficient privilege>";
/// What it shows when the file of texts was lost.
const LOST_TEXT: &str = "<query text unavailable>";

impl Workload {
    /// Adds the entries of `pg_stat_statements` and what they cover. An entry belongs to the query of its text's fingerprint; where the log has
    /// none such, to the one that the log says has its `queryid`: the view's text hides constants that a fingerprint keeps (`active = true`),
    /// and may be lost. Entries that have neither text nor log are counted in `skipped`.
    pub fn add_pg_stat_statements(&mut self, entries: Vec<PgssEntry>, mut facts: InputFacts) {
        let mut queries: BTreeMap<_, Query> = std::mem::take(&mut self.queries)
            .into_iter()
            .map(|query| (query.fingerprint, query))
            .collect();
        let by_id = queries_by_id(&queries);
        let logged =
            |stats: &PgssStats| stats.query_ids.iter().find_map(|id| by_id.get(id).copied());
        let mut normaliser = Normaliser::default();
        let mut unreadable: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut n_hidden, mut n_hidden_calls) = (0, 0);
        for entry in entries {
            facts.n_statements += entry.stats.n_calls;
            let text = entry.text.trim();
            let logged = logged(&entry.stats);
            if logged.is_none() && is_hidden(text) {
                *unreadable.entry(reason(text)).or_default() += 1;
                n_hidden += 1;
                n_hidden_calls += entry.stats.n_calls;
                continue;
            }
            let told = (!is_hidden(text)).then(|| normaliser.run(text.as_bytes()));
            let in_log = |told: &Fingerprint| queries.get(told).is_some_and(|q| q.log.is_some());
            let told = told.filter(|told| logged.is_none() || in_log(told));
            let Some(fingerprint) = told.or(logged) else {
                continue;
            };
            let query = queries
                .entry(fingerprint)
                .or_insert_with(|| new_query(fingerprint, &normaliser, text));
            query
                .pgss
                .get_or_insert_with(PgssStats::default)
                .add(entry.stats);
        }
        if let Some(pgss) = &mut facts.pgss {
            // whoever read the view may have kept hidden entries back and counted them
            pgss.n_hidden = pgss.n_hidden.max(n_hidden);
            pgss.n_hidden_calls = pgss.n_hidden_calls.max(n_hidden_calls);
        }
        self.queries = queries.into_values().collect();
        self.skipped
            .extend(unreadable.into_iter().map(|(reason, n)| SkipCount {
                reason: reason.to_owned(),
                n,
                example: String::new(),
            }));
        self.inputs.push(facts);
    }
}

impl Workload {
    /// Adds what was captured of `pg_stat_statements` before. Shapes are read anew from the texts.
    pub fn add_captured(&mut self, captured: Workload) {
        let mut queries: BTreeMap<_, Query> = std::mem::take(&mut self.queries)
            .into_iter()
            .map(|query| (query.fingerprint, query))
            .collect();
        for mut query in captured.queries {
            if let Some(known) = queries.get_mut(&query.fingerprint) {
                known.pgss = query.pgss;
                continue;
            }
            match shape::parse(&query.text) {
                Ok(shape) => query.shape = Some(Box::new(shape)),
                Err(error) => query.shape_error = Some(error),
            }
            queries.insert(query.fingerprint, query);
        }
        self.queries = queries.into_values().collect();
        self.inputs.extend(captured.inputs);
        self.skipped.extend(captured.skipped);
    }
}

fn is_hidden(text: &str) -> bool {
    matches!(text, "" | HIDDEN_TEXT | LOST_TEXT)
}

/// Queries of the log by the `queryid` that it tells; of several with one, that with most time.
fn queries_by_id(queries: &BTreeMap<Fingerprint, Query>) -> BTreeMap<i64, Fingerprint> {
    let mut by_id: BTreeMap<i64, (u64, Fingerprint)> = BTreeMap::new();
    for query in queries.values() {
        let Some(log) = &query.log else { continue };
        let Some(id) = log.query_id else { continue };
        let candidate = (log.total_us, query.fingerprint);
        let known = by_id.entry(id).or_insert(candidate);
        *known = candidate.max(*known);
    }
    let only = |(id, (_, fingerprint))| (id, fingerprint);
    by_id.into_iter().map(only).collect()
}

fn reason(text: &str) -> &'static str {
    match text {
        HIDDEN_TEXT => "entries of other roles in pg_stat_statements whose text we may not see",
        _ => "entries of pg_stat_statements without a text",
    }
}

fn new_query(fingerprint: Fingerprint, normaliser: &Normaliser, raw: &str) -> Query {
    let text = normaliser.text();
    let (shape, shape_error) = match shape::parse(&text) {
        Ok(shape) => (Some(Box::new(shape)), None),
        Err(error) => (None, Some(error)),
    };
    Query {
        fingerprint,
        kind: statement_kind(raw.as_bytes()),
        text,
        sample: raw.to_owned(),
        shape,
        shape_error,
        ..Query::default()
    }
}

impl PgssStats {
    /// Adds another entry's numbers.
    fn add(&mut self, other: Self) {
        self.query_ids.extend(other.query_ids);
        self.query_ids.sort_unstable();
        self.query_ids.dedup();
        self.min_ms = match self.n_calls {
            0 => other.min_ms,
            _ => self.min_ms.min(other.min_ms),
        };
        self.max_ms = self.max_ms.max(other.max_ms);
        self.n_calls += other.n_calls;
        self.total_ms += other.total_ms;
        self.n_rows += other.n_rows;
        self.shared_blks_hit += other.shared_blks_hit;
        self.shared_blks_read += other.shared_blks_read;
        self.shared_blks_dirtied += other.shared_blks_dirtied;
        self.temp_blks += other.temp_blks;
        self.io_ms += other.io_ms;
        self.wal_bytes += other.wal_bytes;
        self.plan_ms += other.plan_ms;
        self.users.extend(other.users);
        self.users.sort();
        self.users.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::LogStats;

    fn entry(text: &str, n_calls: u64, min_ms: f64) -> PgssEntry {
        PgssEntry {
            text: text.to_owned(),
            stats: PgssStats {
                n_calls,
                min_ms,
                max_ms: min_ms * 2.0,
                total_ms: min_ms * n_calls as f64,
                users: vec!["app".into()],
                ..PgssStats::default()
            },
            since_us: None,
        }
    }

    #[test]
    fn entries_of_one_fingerprint_add_up_and_hidden_ones_are_counted() {
        let mut workload = Workload::default();
        workload.add_pg_stat_statements(
            vec![
                entry("select * from a where id = $1", 3, 2.0),
                entry("SELECT *  FROM a WHERE id=$1", 4, 1.0),
                entry(HIDDEN_TEXT, 5, 1.0),
            ],
            InputFacts::default(),
        );
        let [query] = workload.queries.as_slice() else {
            panic!("one query, not {:?}", workload.queries);
        };
        let pgss = query.pgss.as_ref().unwrap();
        assert_eq!((pgss.n_calls, pgss.min_ms, pgss.max_ms), (7, 1.0, 4.0));
        assert_eq!(pgss.users, ["app"]);
        assert_eq!(workload.skipped[0].n, 1);
        assert_eq!(workload.inputs[0].n_statements, 12);
    }

    fn logged(text: &str, query_id: i64, total_us: u64) -> Query {
        let mut normaliser = Normaliser::default();
        let fingerprint = normaliser.run(text.as_bytes());
        Query {
            log: Some(LogStats {
                query_id: Some(query_id),
                total_us,
                n_calls: 1,
                ..LogStats::default()
            }),
            ..new_query(fingerprint, &normaliser, text)
        }
    }

    #[test]
    fn entries_whose_text_says_something_else_are_joined_by_query_id() {
        let mut workload = Workload {
            queries: vec![
                logged("select * from a where b = 1 and active = true", 7, 10),
                logged("select * from a where b = 1 and active = false", 7, 20),
                logged("select * from c", 8, 5),
                logged("select * from d where b in (1, 2)", 9, 5),
            ],
            ..Workload::default()
        };
        workload.queries.sort_by_key(|query| query.fingerprint);
        let with_id = |id: i64, text: &str, n_calls: u64| {
            let mut entry = entry(text, n_calls, 1.0);
            entry.stats.query_ids = vec![id];
            entry
        };
        workload.add_pg_stat_statements(
            vec![
                with_id(7, "select * from a where b = $1 and active = $2", 3),
                with_id(8, LOST_TEXT, 4),
                // the same statement with longer lists has other ids
                with_id(10, "select * from d where b in ($1, $2, $3)", 5),
                with_id(9, "select * from d where b in ($1, $2)", 6),
                with_id(11, "select 1 from e", 7),
            ],
            InputFacts::default(),
        );
        let found: Vec<(&str, u64)> = workload
            .queries
            .iter()
            .filter_map(|query| Some((query.text.as_str(), query.pgss.as_ref()?.n_calls)))
            .collect();
        for expected in [
            ("select * from a where b = $1 and active = false", 3),
            ("select * from c", 4),
            ("select * from d where b in ($1 /*, ... */)", 11),
            ("select $1 from e", 7),
        ] {
            assert!(found.contains(&expected), "{found:?}");
        }
        assert_eq!(workload.queries.len(), 5);
        assert_eq!(workload.skipped, []);
    }
}
