//! What a rule must have seen: declared by each rule, held against the inputs, so that "no finding" is never said of what could not be seen.

use super::{Audit, Rule, logged_plans};
use crate::{
    catalog::ServerFacts,
    finding::RuleStatus,
    plan::WhatIfKind,
    workload::{InputFacts, InputKind, setting_number},
};

/// From this threshold on, a log holds hardly any of the statements that repeat in a loop, microseconds: a look-up by key takes well below
/// 1 ms on a warm server, and 10 ms where it has to read from a slow disk.
const LOOK_UPS_HIDDEN_US: u64 = 10_000;
/// Of statements logged one by one at random, a run of repeats keeps its length only in proportion: below this rate it is not seen for what it is.
const MIN_STATEMENT_RATE: f64 = 0.5;
/// Executions of the extended protocol after which it is no accident that none had a parameter in the log.
const ENOUGH_BOUND: u64 = 20;

/// What lacks without any log.
const ORDER: &str = "a query log: nothing else tells single executions in their order";
const LOG: &str = "a query log";
const VALUES: &str = "a query log: nothing else tells the values that statements look for";

/// Something that a rule needs. [`Need::HelpedBy`] marks what it can do without, in part.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// The database's catalog.
    Catalog,
    /// Counters of how often indexes are used, over a window long enough.
    UsageCounters,
    /// Statistics of columns, as ANALYZE leaves them.
    ColumnStatistics,
    /// A planner that can price what does not exist.
    Prices,
    /// The statements that ran, with their weights: from a query log or from `pg_stat_statements`.
    Statements,
    /// Every execution in its order, also the fastest: only a query log has that.
    EachExecution,
    /// Durations of single executions: only a query log has them.
    Durations,
    /// Any query log.
    Log,
    /// A pooler's own log.
    PoolerLog,
    /// When sessions start and end: from `log_connections` and `log_disconnections`.
    Connections,
    /// `pg_stat_database`'s counters of sessions: 14 and newer.
    SessionCounters,
    /// Who is connected now: `pg_stat_activity`.
    Backends,
    /// Samples of `pg_stat_activity` over a while.
    ActivitySamples,
    /// Planning times of `pg_stat_statements`: `track_planning`.
    PlanningTimes,
    /// Which session ran what.
    Sessions,
    /// When it ran.
    Times,
    /// Values of literals and parameters.
    Values,
    /// Plans of executions: `auto_explain`.
    Plans,
    /// Any of these groups, the first that is whole.
    AnyOf(&'static [&'static [Need]]),
    /// Without these, the rule sees a part.
    HelpedBy(&'static [Need]),
}

/// How much of what a rule needs was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sight {
    /// Lacks wholly, in plain words.
    missing: Vec<String>,
    /// Is there in part.
    partial: Vec<String>,
}

/// What became of a rule that found `n_findings`: whatever it found, it saw something.
pub(super) fn status(
    rule: &Rule,
    audit: &Audit<'_>,
    n_findings: usize,
) -> (RuleStatus, Vec<String>) {
    let sight = Sight::of_all(rule.needs, audit);
    match (sight.missing.is_empty(), sight.partial.is_empty()) {
        (true, true) => (RuleStatus::Ran, Vec::new()),
        (true, false) => (RuleStatus::Partial, sight.partial),
        (false, _) if n_findings > 0 => {
            let mut lacked = sight.missing;
            lacked.extend(sight.partial);
            (RuleStatus::Partial, lacked)
        }
        (false, _) => (RuleStatus::LackedInput, sight.missing),
    }
}

impl Sight {
    fn missing(what: impl Into<String>) -> Self {
        Self {
            missing: vec![what.into()],
            partial: Vec::new(),
        }
    }

    fn partial(what: Vec<String>) -> Self {
        Self {
            missing: Vec::new(),
            partial: what,
        }
    }

    fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.partial.is_empty()
    }

    fn of_all(needs: &[Need], audit: &Audit<'_>) -> Self {
        let mut all = Self::default();
        for need in needs {
            let sight = Self::of(*need, audit);
            add(&mut all.missing, sight.missing);
            add(&mut all.partial, sight.partial);
        }
        all
    }

    fn of(need: Need, audit: &Audit<'_>) -> Self {
        match need {
            Need::Catalog => catalog(audit),
            Need::UsageCounters => usage_counters(audit),
            Need::ColumnStatistics => column_statistics(audit),
            Need::Prices => prices(audit),
            Need::Statements => statements(audit),
            Need::EachExecution => in_logs(audit, ORDER, each_execution),
            Need::Durations => in_logs(audit, ORDER, durations),
            Need::Log => in_logs(audit, LOG, |_| Sight::default()),
            Need::PoolerLog => pooler_log(audit),
            Need::Connections => in_logs(audit, LOG, connections),
            Need::SessionCounters => session_counters(audit),
            Need::Backends => backends(audit),
            Need::ActivitySamples => activity_samples(audit),
            Need::PlanningTimes => planning_times(audit),
            Need::Sessions => in_logs(audit, ORDER, sessions),
            Need::Times => in_logs(audit, ORDER, times),
            Need::Values => in_logs(audit, VALUES, values),
            Need::Plans => plans(audit),
            Need::AnyOf(groups) => any_of(groups, audit),
            Need::HelpedBy(needs) => {
                let sight = Self::of_all(needs, audit);
                let mut partial = sight.missing;
                add(&mut partial, sight.partial);
                Self::partial(partial)
            }
        }
    }
}

/// Adds what is not said yet.
fn add(all: &mut Vec<String>, more: Vec<String>) {
    for text in more {
        if !all.contains(&text) {
            all.push(text);
        }
    }
}

/// The group that is whole, else the one that lacks least; where all lack wholly, each would do.
fn any_of(groups: &[&[Need]], audit: &Audit<'_>) -> Sight {
    let sights: Vec<Sight> = groups
        .iter()
        .map(|needs| Sight::of_all(needs, audit))
        .collect();
    let best = sights
        .iter()
        .find(|sight| sight.is_whole())
        .or_else(|| sights.iter().find(|sight| sight.missing.is_empty()));
    if let Some(sight) = best {
        return sight.clone();
    }
    let each: Vec<String> = sights
        .iter()
        .map(|sight| sight.missing.join(" and "))
        .collect();
    Sight::missing(each.join(", or "))
}

fn catalog(audit: &Audit<'_>) -> Sight {
    match &audit.snapshot.catalog {
        Some(_) => Sight::default(),
        None => Sight::missing("the database's catalog: --database-url"),
    }
}

fn usage_counters(audit: &Audit<'_>) -> Sight {
    let Some(catalog) = &audit.snapshot.catalog else {
        return Sight::missing("the database's catalog: --database-url");
    };
    let server = &catalog.server;
    if server.setting("track_counts") == Some("off") {
        return Sight::missing("usage counters: track_counts is off");
    }
    let mut partial = Vec::new();
    let (days, wanted) = (server.stats_window.days(), audit.settings.min_window_days);
    if server.stats_window.since_us.is_none() && wanted > 0.0 {
        partial.push("since when usage is counted is not known".to_owned());
    } else if days < wanted {
        partial.push(format!(
            "usage counted for {days:.1} days of {wanted:.0} (--min-window)"
        ));
    }
    let n_unseen = server.n_unseen();
    if n_unseen > 0 {
        partial.push(format!(
            "usage on {n_unseen} other server{} of the same data, which count for themselves (--replica)",
            if n_unseen == 1 { "" } else { "s" }
        ));
    }
    Sight::partial(partial)
}

fn column_statistics(audit: &Audit<'_>) -> Sight {
    let unread = audit.snapshot.catalog.iter().flat_map(|c| &c.unread);
    Sight::partial(
        unread
            .filter(|what| what.contains("statistics"))
            .cloned()
            .collect(),
    )
}

fn prices(audit: &Audit<'_>) -> Sight {
    match audit.advice.what_if {
        WhatIfKind::None => {
            Sight::missing("a planner that can price indexes (HypoPG on the server, or a twin)")
        }
        _ => Sight::default(),
    }
}

/// Statements with weights. Where `pg_stat_statements` was read, what a log leaves out does not matter.
fn statements(audit: &Audit<'_>) -> Sight {
    let inputs = &audit.snapshot.workload.inputs;
    let seen = |kind| {
        inputs
            .iter()
            .filter(move |input: &&InputFacts| input.kind == kind && input.n_statements > 0)
    };
    if audit.snapshot.workload.queries.is_empty() {
        return Sight::missing("statements: a query log or pg_stat_statements");
    }
    if seen(InputKind::PgStatStatements).next().is_some() {
        let hidden = seen(InputKind::PgStatStatements)
            .filter_map(|input| input.pgss.as_ref())
            .filter(|pgss| pgss.n_hidden > 0)
            .map(|pgss| {
                format!(
                    "{} statements of other roles, hidden from this one",
                    pgss.n_hidden
                )
            });
        return Sight::partial(hidden.collect());
    }
    if seen(InputKind::Log).next().is_none() {
        return Sight::default();
    }
    let mut partial = Vec::new();
    for need in [fast_statements, durations] {
        let sight = in_logs(audit, ORDER, need);
        add(&mut partial, sight.missing);
        add(&mut partial, sight.partial);
    }
    Sight::partial(partial)
}

fn plans(audit: &Audit<'_>) -> Sight {
    let incidents = &audit.snapshot.workload.activity.incidents;
    if incidents.n_plans == 0 {
        return Sight::missing("plans of executions: a log with auto_explain (log_analyze on)");
    }
    let n_unread = logged_plans::n_unread(&incidents.slow_plans);
    match n_unread {
        0 => Sight::default(),
        n => Sight::partial(vec![format!("{n} plans that could not be read")]),
    }
}

fn pooler_log(audit: &Audit<'_>) -> Sight {
    let mut inputs = audit.snapshot.workload.inputs.iter();
    if inputs.any(|input| input.kind == InputKind::PoolerLog) {
        Sight::default()
    } else {
        Sight::missing("pgbouncer's log")
    }
}

fn activity_samples(audit: &Audit<'_>) -> Sight {
    match &audit.snapshot.workload.watched {
        Some(watched) => Sight::partial(vec![format!(
            "waits other than in {:.0} s of samples of pg_stat_activity",
            watched.seconds
        )]),
        None => Sight::missing("samples of pg_stat_activity (--sample-activity)"),
    }
}

/// What each log lacks: wholly where all logs lack it.
fn in_logs(audit: &Audit<'_>, without: &str, look: fn(&Log<'_>) -> Sight) -> Sight {
    let logs: Vec<&InputFacts> = audit
        .snapshot
        .workload
        .inputs
        .iter()
        .filter(|input| input.kind == InputKind::Log)
        .collect();
    if logs.is_empty() {
        return Sight::missing(without);
    }
    let server = audit.snapshot.catalog.as_ref().map(|c| &c.server);
    let several = logs.len() > 1;
    let mut all = Sight::default();
    let mut n_missing = 0;
    for input in &logs {
        let sight = look(&Log { input, server });
        n_missing += usize::from(!sight.missing.is_empty());
        let named = |text: String| {
            if several {
                format!("{text} ({})", input.name)
            } else {
                text
            }
        };
        add(
            &mut all.missing,
            sight.missing.into_iter().map(named).collect(),
        );
        add(
            &mut all.partial,
            sight.partial.into_iter().map(named).collect(),
        );
    }
    if n_missing < logs.len() {
        let partial = std::mem::take(&mut all.missing);
        add(&mut all.partial, partial);
    }
    all
}

/// A log, and the settings of the server beside which it was given: most probably the one that wrote it, as long as the log does not show otherwise.
struct Log<'a> {
    input: &'a InputFacts,
    server: Option<&'a ServerFacts>,
}

impl Log<'_> {
    fn setting(&self, name: &str) -> Option<&str> {
        let told = self.input.coverage.settings.iter().rev();
        let told = told.filter(|(setting, _)| setting == name);
        let told = told.map(|(_, value)| value.as_str()).next();
        told.or_else(|| self.server?.setting(name))
    }

    /// A setting in its base unit (times in ms); `None` where it is off.
    fn number(&self, name: &str) -> Option<f64> {
        setting_number(self.setting(name)?).filter(|value| *value >= 0.0)
    }

    fn logs_all_statements(&self) -> bool {
        self.setting("log_statement") == Some("all")
            || self.number("log_min_duration_statement") == Some(0.0)
    }

    /// The duration below which nothing is logged, microseconds: as the log shows it, with the server's own figure where that fits.
    fn threshold_us(&self) -> Option<u64> {
        let coverage = &self.input.coverage;
        let set_us = self
            .number("log_min_duration_statement")
            .filter(|ms| *ms > 0.0)
            .map(|ms| (ms * 1e3) as u64);
        match (coverage.threshold_us(), set_us, coverage.min_us) {
            (Some(_), Some(set), Some(min)) if set <= min && min <= set * 2 => Some(set),
            (Some(shown), _, _) => Some(shown),
            // too few statements to show it, and none that speaks against it
            (None, Some(set), Some(min))
                if set <= min && coverage.n_untimed == 0 && !self.logs_all_statements() =>
            {
                Some(set)
            }
            _ => None,
        }
    }

    /// `(setting, rate)` of a server that logs a sample only.
    fn sampling(&self) -> Option<(&'static str, f64)> {
        if self.logs_all_statements() {
            return None;
        }
        let rate = |name: &'static str| {
            let rate = self.number(name)?;
            (rate > 0.0 && rate < 1.0).then_some((name, rate))
        };
        let samples_statements = self.number("log_min_duration_sample").is_some();
        let statements = rate("log_statement_sample_rate").filter(|_| samples_statements);
        statements.or_else(|| rate("log_transaction_sample_rate"))
    }
}

fn threshold(log: &Log<'_>) -> Option<String> {
    let us = log.threshold_us()?;
    let ms = us as f64 / 1e3;
    Some(format!("log threshold {ms} ms"))
}

fn sample(log: &Log<'_>) -> Option<String> {
    let (name, rate) = log.sampling()?;
    let of = match name {
        "log_transaction_sample_rate" => "transactions",
        _ => "statements",
    };
    Some(format!("{name} {rate}: a share of the {of} is logged"))
}

fn fast_statements(log: &Log<'_>) -> Sight {
    Sight::partial(
        [threshold(log), sample(log)]
            .into_iter()
            .flatten()
            .collect(),
    )
}

fn each_execution(log: &Log<'_>) -> Sight {
    let mut sight = Sight::default();
    if let Some(text) = threshold(log) {
        let hides_look_ups = log.threshold_us() >= Some(LOOK_UPS_HIDDEN_US);
        let side = if hides_look_ups {
            &mut sight.missing
        } else {
            &mut sight.partial
        };
        side.push(text);
    }
    if let Some(text) = sample(log) {
        let (name, rate) = log.sampling().unwrap_or_default();
        let breaks_runs = name == "log_statement_sample_rate" && rate < MIN_STATEMENT_RATE;
        let side = if breaks_runs {
            &mut sight.missing
        } else {
            &mut sight.partial
        };
        side.push(text);
    }
    if log.input.n_statements == 0 {
        sight.missing.push("statements in the log".to_owned());
    }
    sight
}

fn connections(log: &Log<'_>) -> Sight {
    let coverage = &log.input.coverage;
    let mut lacking = Vec::new();
    if coverage.n_connected == 0 {
        lacking.push("log_connections");
    }
    if coverage.n_disconnected == 0 {
        lacking.push("log_disconnections");
    }
    let what = format!(
        "starts and ends of sessions in the log ({})",
        lacking.join(", ")
    );
    match lacking.len() {
        0 => Sight::default(),
        1 => Sight::partial(vec![what]),
        _ => Sight::missing(what),
    }
}

fn session_counters(audit: &Audit<'_>) -> Sight {
    let connections = audit
        .snapshot
        .catalog
        .as_ref()
        .and_then(|c| c.connections.as_ref());
    match connections.and_then(|connections| connections.sessions) {
        Some(_) => Sight::default(),
        None => Sight::missing("counters of sessions (--database-url of a server 14 or newer)"),
    }
}

fn backends(audit: &Audit<'_>) -> Sight {
    let Some(catalog) = &audit.snapshot.catalog else {
        return Sight::missing("who is connected (--database-url)");
    };
    match (&catalog.connections, catalog.server.can_read_all_stats) {
        (None, _) => Sight::missing("who is connected, which the server did not say"),
        (Some(_), false) => Sight::partial(vec![
            "what backends of other roles do (GRANT pg_read_all_stats)".to_owned(),
        ]),
        (Some(_), true) => Sight::default(),
    }
}

fn planning_times(audit: &Audit<'_>) -> Sight {
    let mut pgss = audit
        .snapshot
        .workload
        .queries
        .iter()
        .filter_map(|query| query.pgss.as_ref());
    if pgss.any(|pgss| pgss.plan_ms > 0.0) {
        return Sight::default();
    }
    Sight::missing("planning times (pg_stat_statements.track_planning)")
}

fn durations(log: &Log<'_>) -> Sight {
    if log.input.n_statements > 0 && log.input.coverage.n_timed == 0 {
        return Sight::missing(
            "durations in the log (log_min_duration_statement, or log_duration with log_statement)",
        );
    }
    Sight::default()
}

fn sessions(log: &Log<'_>) -> Sight {
    if log.input.n_statements > 0 && log.input.coverage.n_without_session == log.input.n_statements
    {
        return Sight::missing("sessions in the log (%p or %c in log_line_prefix)");
    }
    Sight::default()
}

fn times(log: &Log<'_>) -> Sight {
    if log.input.n_statements > 0 && log.input.coverage.n_without_time == log.input.n_statements {
        return Sight::missing("times in the log (%m in log_line_prefix)");
    }
    Sight::default()
}

fn values(log: &Log<'_>) -> Sight {
    let coverage = &log.input.coverage;
    if coverage.n_bound >= ENOUGH_BOUND && coverage.n_with_parameters == 0 {
        return Sight::missing("values of parameters in the log (log_parameter_max_length is 0)");
    }
    Sight::default()
}

/// What a log leaves out, for the report's notes.
pub(super) fn limits_of_log(input: &InputFacts, server: Option<&ServerFacts>) -> Vec<String> {
    let log = Log { input, server };
    let mut limits = fast_statements(&log).partial;
    for look in [durations, sessions, times, values] {
        limits.extend(
            look(&log)
                .missing
                .into_iter()
                .map(|what| format!("no {what}")),
        );
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        advise::Advice,
        catalog::{Catalog, Setting},
        rules::{RULES, Settings},
        snapshot::Snapshot,
        workload::{Coverage, Query},
    };

    fn log(n_timed: u64, min_us: u64) -> InputFacts {
        InputFacts {
            name: "a.log".into(),
            n_statements: n_timed,
            coverage: Coverage {
                n_timed,
                min_us: Some(min_us),
                ..Coverage::default()
            },
            ..InputFacts::default()
        }
    }

    fn catalog(settings: &[(&str, &str)]) -> Catalog {
        let mut catalog = Catalog::default();
        let setting = |(name, value): &(&str, &str)| Setting {
            name: (*name).into(),
            value: (*value).into(),
            ..Setting::default()
        };
        catalog.server.settings = settings.iter().map(setting).collect();
        catalog
    }

    fn snapshot(inputs: Vec<InputFacts>, catalog: Option<Catalog>) -> Snapshot {
        let mut snapshot = Snapshot {
            catalog,
            ..Snapshot::default()
        };
        snapshot.workload.inputs = inputs;
        snapshot.workload.queries = vec![Query::default()];
        snapshot
    }

    #[track_caller]
    fn of(id: &str, snapshot: &Snapshot, n_findings: usize) -> (RuleStatus, String) {
        let rule = RULES.iter().find(|rule| rule.id == id).unwrap();
        let (advice, settings) = (Advice::default(), Settings::default());
        let audit = Audit {
            snapshot,
            advice: &advice,
            settings: &settings,
        };
        let (status, lacked) = status(rule, &audit, n_findings);
        (status, lacked.join("; "))
    }

    #[track_caller]
    fn loops(snapshot: &Snapshot, expected: RuleStatus, words: &str) {
        let (status, lacked) = of("n-plus-one", snapshot, 0);
        assert_eq!(status, expected, "{lacked}");
        assert!(lacked.contains(words), "{lacked}");
    }

    #[test]
    fn a_threshold_hides_loops_and_leaves_a_part_of_the_rest() {
        let slow = snapshot(vec![log(60, 250_200)], Some(Catalog::default()));
        loops(&slow, RuleStatus::LackedInput, "log threshold 250 ms");
        let (status, lacked) = of("missing-index", &slow, 0);
        assert_eq!(status, RuleStatus::Partial);
        assert!(lacked.contains("log threshold 250 ms"), "{lacked}");
        let short = snapshot(vec![log(60, 2_100)], None);
        loops(&short, RuleStatus::Partial, "log threshold 2 ms");
        loops(&snapshot(vec![log(60, 90)], None), RuleStatus::Ran, "");
    }

    #[test]
    fn what_found_something_saw_something() {
        let slow = snapshot(vec![log(60, 250_200)], None);
        assert_eq!(of("n-plus-one", &slow, 1).0, RuleStatus::Partial);
    }

    #[test]
    fn the_servers_settings_count_unless_the_log_shows_otherwise() {
        let server = catalog(&[("log_min_duration_statement", "250")]);
        let fits = snapshot(vec![log(5, 263_000)], Some(server.clone()));
        loops(&fits, RuleStatus::LackedInput, "log threshold 250 ms");
        let older = snapshot(vec![log(5, 40)], Some(server));
        loops(&older, RuleStatus::Ran, "");
        let whole = catalog(&[
            ("log_min_duration_statement", "0"),
            ("log_transaction_sample_rate", "0.1"),
        ]);
        loops(
            &snapshot(vec![log(5, 40)], Some(whole)),
            RuleStatus::Ran,
            "",
        );
    }

    #[test]
    fn sampled_transactions_are_whole_and_sampled_statements_are_not() {
        let of = |settings: &[(&str, &str)]| snapshot(vec![log(5, 40)], Some(catalog(settings)));
        let transactions = of(&[
            ("log_min_duration_statement", "-1"),
            ("log_transaction_sample_rate", "0.1"),
        ]);
        loops(
            &transactions,
            RuleStatus::Partial,
            "log_transaction_sample_rate 0.1",
        );
        let statements = of(&[
            ("log_min_duration_statement", "-1"),
            ("log_min_duration_sample", "0"),
            ("log_statement_sample_rate", "0.1"),
        ]);
        loops(
            &statements,
            RuleStatus::LackedInput,
            "log_statement_sample_rate 0.1",
        );
        let not_asked_for = of(&[
            ("log_min_duration_statement", "-1"),
            ("log_min_duration_sample", "-1"),
            ("log_statement_sample_rate", "0.1"),
        ]);
        loops(&not_asked_for, RuleStatus::Ran, "");
    }

    #[test]
    fn settings_that_the_log_tells_come_before_the_servers() {
        let mut told = log(5, 263_000);
        told.coverage.settings = vec![("log_min_duration_statement".into(), "0.25s".into())];
        let server = catalog(&[("log_min_duration_statement", "0")]);
        let told = snapshot(vec![told], Some(server));
        loops(&told, RuleStatus::LackedInput, "log threshold 250 ms");
    }

    #[test]
    fn one_whole_log_beside_a_blind_one_leaves_a_part() {
        let both = snapshot(vec![log(60, 90), log(60, 250_200)], None);
        loops(&both, RuleStatus::Partial, "log threshold 250 ms (a.log)");
    }

    #[test]
    fn pg_stat_statements_has_weights_and_neither_order_nor_values() {
        let pgss = InputFacts {
            kind: InputKind::PgStatStatements,
            n_statements: 9,
            ..InputFacts::default()
        };
        let mut snapshot = snapshot(vec![pgss], Some(Catalog::default()));
        loops(&snapshot, RuleStatus::LackedInput, "a query log");
        assert!(!of("missing-index", &snapshot, 0).1.contains("log"));
        let (status, lacked) = of("missing-partial-index", &snapshot, 0);
        assert_eq!(status, RuleStatus::Partial);
        assert!(lacked.contains("values"), "{lacked}");
        // a log with a threshold adds to it and takes nothing away
        snapshot.workload.inputs.push(log(60, 250_200));
        assert!(!of("missing-index", &snapshot, 0).1.contains("threshold"));
        loops(&snapshot, RuleStatus::LackedInput, "log threshold 250 ms");
    }

    #[test]
    fn a_log_without_sessions_times_or_values_says_so() {
        let mut bare = log(60, 90);
        bare.coverage.n_without_session = 60;
        bare.coverage.n_without_time = 60;
        bare.coverage.n_bound = 60;
        let (status, lacked) = of("n-plus-one", &snapshot(vec![bare], None), 0);
        assert_eq!(status, RuleStatus::Partial);
        for word in ["%p", "%m", "log_parameter_max_length"] {
            assert!(lacked.contains(word), "{lacked}");
        }
    }

    #[test]
    fn rules_about_stored_indexes_need_the_catalog_alone() {
        assert_eq!(
            of(
                "duplicate-index",
                &snapshot(vec![log(60, 250_200)], None),
                0
            )
            .0,
            RuleStatus::LackedInput
        );
        let mut known = catalog(&[]);
        known.server.stats_window.since_us = Some(0);
        known.server.stats_window.read_at_us = 2 * 86_400_000_000;
        let known = snapshot(Vec::new(), Some(known));
        assert_eq!(of("duplicate-index", &known, 0).0, RuleStatus::Ran);
        let (status, lacked) = of("unused-index", &known, 0);
        assert_eq!(status, RuleStatus::Partial);
        assert!(lacked.contains("2.0 days of 30"), "{lacked}");
    }
}
