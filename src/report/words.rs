//! What terminal and Markdown say in the same words. Raw text: each output escapes it for itself.

use crate::finding::{
    BatchParameter, Evidence, Finding, Ignored, Impact, ImpactBasis, LocationKind,
    NPlusOneEvidence, Observation, QueryCost, RemedyKind, Report, RuleOutcome, RuleStatus,
    Severity, TopQuery, Verified, figures,
};

/// In place of a remedy whose SQL holds values of the workload.
pub(super) const WITHHELD: &str =
    "the SQL holds a value of the workload: --show-literals prints it";

/// `3 findings (0 errors, 1 warning, 2 info)`; where rules could not see everything, "no findings" says so.
pub(super) fn verdict(report: &Report) -> String {
    let n = |severity| {
        let matching = report.findings.iter().filter(|f| f.severity == severity);
        matching.count() as u64
    };
    match report.findings.len() as u64 {
        0 => none_found(report),
        all => format!(
            "{} ({}, {}, {} info)",
            figures::counted(all, "finding"),
            figures::counted(n(Severity::Error), "error"),
            figures::counted(n(Severity::Warning), "warning"),
            figures::count(n(Severity::Info)),
        ),
    }
}

/// No findings, as far as could be seen.
fn none_found(report: &Report) -> String {
    let n = |status| {
        let matching = report.rules.iter().filter(|rule| rule.status == status);
        matching.count()
    };
    let (blind, partial) = (n(RuleStatus::LackedInput), n(RuleStatus::Partial));
    let all = report.rules.len();
    match (blind, partial) {
        (0, 0) => "No findings".to_owned(),
        (blind, _) if blind == all => "Nothing could be judged".to_owned(),
        (0, partial) => {
            format!("No findings in what could be seen: {partial} of {all} rules saw a part only")
        }
        (blind, 0) => {
            format!("No findings in what could be seen: {blind} of {all} rules lacked their input")
        }
        (blind, partial) => format!(
            "No findings in what could be seen: {blind} of {all} rules lacked their input, {partial} saw a part only"
        ),
    }
}

/// The window and what was seen in it.
pub(super) fn observation(observation: &Observation) -> String {
    format!("{}: {}", observation.source, observed(observation))
}

/// How often a statement was called; an estimate is said to be one.
pub(super) fn calls(query: &TopQuery) -> String {
    let n_calls = figures::count(query.n_calls);
    match query.n_logged {
        Some(_) => format!("~{n_calls}"),
        None => n_calls,
    }
}

/// As [`observation`], without the source.
pub(super) fn observed(observation: &Observation) -> String {
    let mut facts = vec![observation.name.clone()];
    if observation.window_s > 0.0 {
        facts.push(format!(
            "{} from {}",
            figures::seconds(observation.window_s),
            minute(&observation.from)
        ));
    }
    if observation.n_statements > 0 {
        facts.push(figures::counted(observation.n_statements, "execution"));
    }
    if observation.total_time_ms > 0.0 {
        let time = figures::milliseconds(observation.total_time_ms);
        facts.push(format!("{time} of database time"));
    }
    facts.join(" · ")
}

/// An RFC 3339 time in UTC to the minute.
fn minute(time: &str) -> String {
    match time.get(..16).filter(|_| time.ends_with('Z')) {
        Some(minute) => format!("{} UTC", minute.replace('T', " ")),
        None => time.to_owned(),
    }
}

/// `public.jobs (country, employment_type)`, or the index's name.
pub(super) fn subject(finding: &Finding) -> String {
    finding.subject.in_words()
}

/// What it costs and what the remedy saves, with how that is known; `None` when there is nothing to say.
pub(super) fn impact(finding: &Finding) -> Option<String> {
    let impact = &finding.impact;
    let mut parts = Vec::new();
    if impact.n_calls > 0 {
        // what is told of clients and sessions counts events, not executions
        let is_event =
            matches!(finding.evidence, Evidence::Facts(_)) && finding.subject.fingerprint.is_none();
        let calls = figures::counted(impact.n_calls, if is_event { "time" } else { "call" });
        parts.push(if impact.window_s > 0.0 {
            format!("{calls} in {}", figures::seconds(impact.window_s))
        } else {
            calls
        });
    }
    if impact.total_time_ms > 0.0 {
        let time = figures::milliseconds(impact.total_time_ms);
        parts.push(format!("{time} of database time"));
    }
    parts.extend(saving(finding));
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// The round trip that saved time is reckoned with.
fn round_trip(evidence: &Evidence) -> String {
    let given = match evidence {
        Evidence::NPlusOne(evidence) if evidence.round_trip_basis == "given" => {
            Some(evidence.round_trip_ms)
        }
        _ => None,
    };
    match given {
        Some(ms) => format!("at {ms} ms a round trip"),
        None => "taking a round trip as 0.5 ms".to_owned(),
    }
}

/// Window below which nothing is said of a day, seconds: traffic changes with the hour, and of minutes nobody knows what they stand for.
const MIN_WINDOW_OF_A_RATE_S: f64 = 3_600.0;

/// Window from which a day needs no remark, seconds: it has seen nearly a whole one.
const MIN_WINDOW_OF_A_DAY_S: f64 = 20.0 * 3_600.0;

/// The time saved: of a day where a day is known or can be reckoned from hours, else of the time observed.
fn saved_time(impact: &Impact) -> String {
    let per_day = figures::roughly_milliseconds(impact.saved_ms_per_day());
    let observed = figures::roughly_milliseconds(impact.saved_time_ms);
    match impact.window_s {
        s if s >= MIN_WINDOW_OF_A_DAY_S => format!("{per_day} a day"),
        s if s >= MIN_WINDOW_OF_A_RATE_S => format!("{per_day} a day at that rate"),
        s if s > 0.0 => format!("{observed} in that time"),
        _ => observed,
    }
}

fn saving(finding: &Finding) -> Option<String> {
    let impact = &finding.impact;
    if impact.saved_time_ms <= 0.0 {
        return None;
    }
    let saved = saved_time(impact);
    let share = if impact.saved_share > 0.0 {
        format!(", {} of all", figures::share(impact.saved_share))
    } else {
        String::new()
    };
    let basis = match impact.basis {
        ImpactBasis::Measured => "measured".to_owned(),
        ImpactBasis::CalibratedEstimate => "measured time × the planner's cost ratio".to_owned(),
        ImpactBasis::PlannerOnly => "by the planner's estimate alone".to_owned(),
        ImpactBasis::None => round_trip(&finding.evidence),
    };
    let bounds = impact
        .saved_interval_ms
        .filter(|_| impact.saved_share > 0.0);
    let bounds = bounds.map_or_else(String::new, |(least, most)| {
        let of_all = |ms: f64| figures::share(ms / impact.saved_time_ms * impact.saved_share);
        format!(
            "; {} to {} in four of five cases",
            of_all(least),
            of_all(most)
        )
    });
    Some(format!("saves about {saved}{share} ({basis}{bounds})"))
}

/// How often, in how many bursts.
pub(super) fn repeats(evidence: &NPlusOneEvidence) -> String {
    format!(
        "{} in {}, longest {}, {}",
        figures::counted(evidence.n_repeats, "repeat"),
        figures::counted(evidence.n_bursts, "burst"),
        figures::count(evidence.n_repeats_max),
        figures::counted(evidence.distinct_keys, "distinct key"),
    )
}

/// What the batch's parameters are.
pub(super) fn parameters(parameters: &[BatchParameter]) -> Option<String> {
    let named: Vec<String> = (1..)
        .zip(parameters)
        .map(|(n, parameter)| {
            let of_type = parameter.r#type.as_ref();
            let of_type = of_type.map(|name| format!(", {name}")).unwrap_or_default();
            let every = if parameter.is_array {
                " of every call"
            } else {
                ", as before"
            };
            format!("${n}: {}{every}{of_type}", parameter.name)
        })
        .collect();
    (!named.is_empty()).then(|| named.join(" · "))
}

/// What came of executing both.
pub(super) fn verified(verified: &Verified) -> String {
    let rows = if verified.same_rows {
        "same rows"
    } else {
        "DIFFERENT ROWS"
    };
    format!(
        "executed on {}: {rows}; single calls {}, batch {}",
        figures::counted(verified.n_keys, "sampled key"),
        figures::milliseconds(verified.singles_ms),
        figures::milliseconds(verified.batch_ms),
    )
}

/// The proof of a loop's batch: planner costs, and what came of executing both.
pub(super) fn proof(evidence: &NPlusOneEvidence) -> Vec<(&'static str, String)> {
    let cost = evidence.cost.as_ref().map(|query| {
        let keys = figures::counted(query.n_calls, "call");
        (
            "planner",
            format!(
                "{keys} against one batch, round trips aside: {}",
                cost(query)
            ),
        )
    });
    let executed = evidence
        .verified
        .as_ref()
        .map(|v| ("verified", verified(v)));
    cost.into_iter().chain(executed).collect()
}

/// Planner costs before and after, with the plans in a line each.
pub(super) fn cost(query: &QueryCost) -> String {
    if query.cost_before <= 0.0 {
        return "not priced".to_owned();
    }
    let side = |cost: f64, plan: &Option<String>| {
        let plan = plan.as_deref().filter(|plan| !plan.is_empty());
        let plan = plan.map(|plan| format!(" ({plan})")).unwrap_or_default();
        format!("{}{plan}", figures::number(cost))
    };
    format!(
        "planner cost {} → {}{}",
        side(query.cost_before, &query.plan_before),
        side(query.cost_after, &query.plan_after),
        times_cheaper(query)
    )
}

fn times_cheaper(query: &QueryCost) -> String {
    let ratio = query.cost_before / query.cost_after.max(f64::MIN_POSITIVE);
    if !(1.05..1e9).contains(&ratio) {
        return String::new();
    }
    // decimals of a ratio above ten say nothing
    let ratio = if ratio >= 10.0 { ratio.round() } else { ratio };
    format!(", {}× cheaper", figures::number(ratio))
}

/// `412 statements without a finding, 3.1 % of the time`
pub(super) fn left_alone(report: &Report) -> String {
    format!(
        "{} without a finding, {} of the time",
        figures::counted(report.left_alone.n_fingerprints, "statement"),
        figures::share(report.left_alone.share)
    )
}

/// Why a rule was not, or not fully, judged.
pub(super) fn lacking(rule: &RuleOutcome) -> String {
    let how = match rule.status {
        RuleStatus::Ran => "judged",
        RuleStatus::Partial => "judged in part",
        RuleStatus::LackedInput => "not judged",
    };
    if rule.lacked.is_empty() {
        how.to_owned()
    } else {
        format!("{how}: {}", rule.lacked.join("; "))
    }
}

/// Rules that were not, or not fully, judged, by why: in order of the first rule with that reason.
pub(super) fn lacking_by_reason(report: &Report) -> Vec<(String, Vec<&'static str>)> {
    let mut groups: Vec<(String, Vec<&'static str>)> = Vec::new();
    let outcomes = report.rules.iter();
    for rule in outcomes.filter(|rule| rule.status != RuleStatus::Ran) {
        let why = lacking(rule);
        match groups.iter_mut().find(|(known, _)| *known == why) {
            Some((_, rules)) => rules.push(rule.meta.id),
            None => groups.push((why, vec![rule.meta.id])),
        }
    }
    groups
}

/// How a finding stands against the baseline; `None` where there is none.
pub(super) fn standing(report: &Report, finding: &Finding) -> Option<String> {
    let standing = report.standing.as_ref()?;
    let id = finding.id();
    Some(match standing.worse.get(&id) {
        Some(how) => format!("worse: {how}"),
        None if standing.known.contains(&id) => "known".to_owned(),
        None => "new".to_owned(),
    })
}

/// A finding that the user wants left out, with the reason.
pub(super) fn ignored(ignored: &Ignored) -> String {
    format!("{} {}: {}", ignored.rule, ignored.subject, ignored.reason)
}

/// What stands at a place.
pub(super) fn place(kind: LocationKind) -> &'static str {
    match kind {
        LocationKind::Log => "seen in",
        LocationKind::Caller => "sent by",
        LocationKind::Query => "in code",
        LocationKind::Definition => "defined in",
    }
}

/// What to do, for outputs that show a finding as one text: the hint, then the SQL.
pub(super) fn remedy(finding: &Finding) -> Vec<String> {
    let remedy = &finding.remedy;
    let hint = (!remedy.hint.is_empty()).then(|| remedy.hint.clone());
    let sql = match &remedy.sql {
        _ if remedy.withheld => Some(WITHHELD.to_owned()),
        sql => sql.clone(),
    };
    hint.into_iter().chain(sql).collect()
}

/// The evidence shows the finding's own query already.
pub(super) fn shows_query(finding: &Finding) -> bool {
    match &finding.evidence {
        Evidence::NPlusOne(_) => true,
        Evidence::Index(evidence) => evidence
            .queries
            .iter()
            .any(|query| Some(query.fingerprint) == finding.subject.fingerprint),
        _ => false,
    }
}

/// A fact's name: `n_scans` is read as `scans`, `window_days` as `window days`.
pub(super) fn name(name: &str) -> String {
    name.strip_prefix("n_").unwrap_or(name).replace('_', " ")
}

/// What stands before the other indexes of an index finding.
pub(super) fn others(finding: &Finding) -> &'static str {
    match finding.remedy.kind {
        RemedyKind::DropIndex => "covered by",
        _ => "replaces",
    }
}

/// A fact's value as lines: a list that is long has an item on each.
pub(super) fn value_lines(value: &serde_json::Value) -> Vec<String> {
    let whole = self::value(value);
    match value.as_array() {
        Some(items) if whole.chars().count() > MAX_LIST => items.iter().map(self::value).collect(),
        _ => vec![whole],
    }
}

/// A list longer than this is not told in one line, characters.
const MAX_LIST: usize = 70;

/// A fact's value without JSON's quotes.
pub(super) fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(n) => match n.as_u64() {
            Some(whole) => figures::count(whole),
            None => figures::number(n.as_f64().unwrap_or_default()),
        },
        serde_json::Value::Array(values) => {
            let values: Vec<String> = values.iter().map(self::value).collect();
            values.join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_a_day_from_minutes() {
        let saved = |window_s: f64| {
            saved_time(&Impact {
                saved_time_ms: 4_000.0,
                window_s,
                ..Impact::default()
            })
        };
        assert_eq!(saved(7.03), "4.0 s in that time");
        assert_eq!(saved(7_200.0), "48 s a day at that rate");
        assert_eq!(saved(172_800.0), "2.0 s a day");
        assert_eq!(saved(0.0), "4.0 s");
    }
}
