//! What each query weighs, when queries come from inputs with windows of their own.

use super::{InputKind, Query, Workload};

/// What each query weighs. Log and `pg_stat_statements` cover windows of their own and are never summed: where both are at hand a
/// query weighs its time per second of the window that its numbers come from.
#[derive(Debug, Clone, Copy)]
pub struct Loads {
    /// Seconds by which a log's and `pg_stat_statements`' times are divided; 1 where windows need not or cannot be compared.
    log_window_s: f64,
    pgss_window_s: f64,
    total: f64,
}

impl Loads {
    /// The weights of this workload's queries.
    #[must_use]
    pub fn of(workload: &Workload) -> Self {
        let log = window_s(workload, |kind| kind != InputKind::PgStatStatements);
        let pgss = window_s(workload, |kind| kind == InputKind::PgStatStatements);
        let (log_window_s, pgss_window_s) = if log > 0.0 && pgss > 0.0 {
            (log, pgss)
        } else {
            (1.0, 1.0)
        };
        let mut loads = Self {
            log_window_s,
            pgss_window_s,
            total: 0.0,
        };
        let known: f64 = workload.queries.iter().map(|query| loads.load(query)).sum();
        loads.total = known + workload.let_go_ms() / log_window_s;
        loads
    }

    /// A query's time, as a rate where windows differ.
    #[must_use]
    pub fn load(&self, query: &Query) -> f64 {
        match query.pgss {
            Some(_) => query.total_ms() / self.pgss_window_s,
            None => query.total_ms() / self.log_window_s,
        }
    }

    /// A query's share of all time seen, 0–1.
    #[must_use]
    pub fn share(&self, query: &Query) -> f64 {
        if self.total > 0.0 {
            self.load(query) / self.total
        } else {
            0.0
        }
    }
}

impl Loads {
    /// Seconds of the window that a query's numbers come from; 0 when unknown.
    #[must_use]
    pub fn window_s(workload: &Workload, query: &Query) -> f64 {
        let from_pgss = query.pgss.is_some();
        window_s(workload, |kind| {
            (kind == InputKind::PgStatStatements) == from_pgss
        })
    }
}

/// From the first to the last moment that inputs of these kinds cover.
fn window_s(workload: &Workload, of_kind: impl Fn(InputKind) -> bool) -> f64 {
    let inputs = || workload.inputs.iter().filter(|input| of_kind(input.kind));
    let from = inputs().filter_map(|input| input.from_us).min();
    let to = inputs().filter_map(|input| input.to_us).max();
    match (from, to) {
        (Some(from), Some(to)) => (to - from).max(0) as f64 / 1e6,
        _ => 0.0,
    }
}
