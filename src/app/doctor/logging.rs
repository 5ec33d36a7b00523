//! What the log would tell: without statements in it, no N+1 pattern can be seen.

use super::{Diagnosis, Patient, service::Effect};

/// What N+1 detection wants to see of each line: when, which session, which transaction, who, and the query's id.
const PREFIX: &str = "%m [%p] %q%v %u@%d/%a ";
/// From 14 on, with the id that joins a line to its pg_stat_statements entry.
const PREFIX_WITH_ID: &str = "%m [%p] %q%v %u@%d/%a %Q ";
const QUERY_ID_FROM: u32 = 140_000;

/// Share of transactions to log where all would be too much (12 and newer).
const SAMPLE_RATE: &str = "0.01";

pub(super) fn durations(patient: Patient<'_>) -> Vec<Diagnosis> {
    let server = &patient.catalog.server;
    let threshold = server.setting("log_min_duration_statement").unwrap_or("-1");
    let logs_all = threshold == "0" || server.setting("log_statement") == Some("all");
    let sample = server.setting("log_transaction_sample_rate").unwrap_or("0");
    if logs_all {
        return vec![Diagnosis::fine("the log holds every statement")];
    }
    if sample.parse::<f64>().is_ok_and(|rate| rate > 0.0) {
        return vec![Diagnosis::fine(format!(
            "the log holds every statement of a share of {sample} of all transactions"
        ))];
    }
    let found = match threshold {
        "-1" => "the log holds no statements".to_owned(),
        ms => format!("the log holds only statements of {ms} ms and more"),
    };
    let means = "N+1 patterns are many short statements: n-plus-one and n-plus-one-write need all statements of at least some transactions";
    let mut diagnosis = Diagnosis::lacking(found, means).change(
        patient.service.set("log_transaction_sample_rate", SAMPLE_RATE,
            patient.was_set("log_transaction_sample_rate"), Effect::Reload),
        "some 200 to 500 bytes of log per statement of the sampled transactions; parameters and literals stand in the log in clear",
    );
    diagnosis.fix.push(
        "(or, for an hour on a quiet server, log_min_duration_statement = 0: every statement)"
            .to_owned(),
    );
    vec![diagnosis]
}

pub(super) fn prefix(patient: Patient<'_>) -> Vec<Diagnosis> {
    let server = &patient.catalog.server;
    let destination = server.setting("log_destination").unwrap_or("stderr");
    if destination.contains("csvlog") || destination.contains("jsonlog") {
        return vec![Diagnosis::fine(format!(
            "log_destination is {destination}: every line has its session"
        ))];
    }
    let prefix = server.setting("log_line_prefix").unwrap_or_default();
    let has = |letters: &str| escapes(prefix).any(|escape| letters.contains(escape));
    if has("pc") && has("mtn") {
        return vec![Diagnosis::fine(format!(
            "log_line_prefix '{prefix}' tells time and session"
        ))];
    }
    let wanted = if server.version_num >= QUERY_ID_FROM {
        PREFIX_WITH_ID
    } else {
        PREFIX
    };
    let lacking = match (has("mtn"), has("pc")) {
        (false, false) => "neither time nor session",
        (false, true) => "no time",
        _ => "no session",
    };
    let old = patient.was_set("log_line_prefix");
    vec![
        Diagnosis::lacking(
            format!("log_line_prefix '{prefix}' tells {lacking}"),
            "statements of different sessions can't be told apart, so that repeated ones can't be counted",
        )
        .change(
            patient.service.set("log_line_prefix", wanted, old, Effect::Reload),
            "some 40 bytes per log line; whatever else reads the log must know the new prefix",
        ),
    ]
}

/// Plans in the log are what tells why a slow statement is slow.
pub(super) fn plans(patient: Patient<'_>) -> Vec<Diagnosis> {
    let server = &patient.catalog.server;
    let means = "slow-plan and missing-extended-statistics have nothing to look at";
    match server.setting("auto_explain.log_min_duration") {
        None | Some("-1") => {
            let mut diagnosis = Diagnosis::note("the log holds no plans of slow statements", means).change(
                patient.service.set(
                    "session_preload_libraries",
                    "auto_explain",
                    patient.was_set("session_preload_libraries"),
                    Effect::Reload,
                ),
                "a plan of some kB in the log for each slow statement, its values in clear; with log_analyze each node is counted, with log_timing timed, in all statements: some per cent",
            );
            diagnosis.fix.push(
                "(and auto_explain.log_min_duration = '500ms', auto_explain.log_analyze = on, auto_explain.log_buffers = on, auto_explain.log_format = json)"
                    .to_owned(),
            );
            vec![diagnosis]
        }
        Some(_) if server.setting("auto_explain.log_analyze") != Some("on") => {
            let diagnosis = Diagnosis::note(
                "auto_explain logs plans as they were expected, not what came of them",
                "slow-plan weighs by cost, and missing-extended-statistics has nothing to look at",
            );
            let change = patient.service.set(
                "auto_explain.log_analyze",
                "on",
                patient.was_set("auto_explain.log_analyze"),
                Effect::Reload,
            );
            vec![diagnosis.change(
                change,
                "each node of every statement is counted, and with log_timing timed: some per cent",
            )]
        }
        Some(ms) => vec![Diagnosis::fine(format!(
            "auto_explain logs plans of statements of {ms} ms and more, with what came of them"
        ))],
    }
}

/// The letters of `%` escapes, padding (`%-10u`) skipped.
fn escapes(prefix: &str) -> impl Iterator<Item = char> {
    prefix
        .split('%')
        .skip(1)
        .filter_map(|rest| rest.chars().find(|c| !c.is_ascii_digit() && *c != '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_seen_through_padding() {
        let found: String = escapes("%m [%-10p] %q%u@%d %%").collect();
        assert!(found.starts_with("mpqud"));
    }
}
