//! A judged loop as a finding: subject, message, impact, evidence, remedy.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Doubt, Judged, Loop, batch::Rewrite, client, hint, subject};
use crate::{
    finding::{
        BurstFacts, Confidence, Evidence, Finding, Impact, ImpactBasis, ImpactSource, Location,
        NPlusOneEvidence, ParentFacts, Remedy, RemedyKind, Severity, Subject, TimelineEntry,
        figures,
    },
    rules::{Audit, ROUND_TRIP_MS},
    sql::Fingerprint,
    workload::{Burst, InputKind, Moment, Query, Share},
};

/// Bursts listed in a finding.
const MAX_BURSTS: usize = 100;
/// Sessions listed in a finding.
const MAX_SESSIONS: usize = 100;
/// Other parents and applications listed in a finding.
const MAX_OTHERS: usize = 10;
/// Files and lines named in a finding.
const MAX_LOCATIONS: usize = 5;

/// Sums over the classes of a loop.
struct Totals {
    n_bursts: u64,
    n_repeats: u64,
    n_repeats_max: u64,
    n_distinct: u64,
    total_us: u64,
    varying: u64,
}

impl Totals {
    fn of(classes: &[Judged<'_>]) -> Self {
        let sum = |of: fn(&crate::workload::BurstClass) -> u64| {
            classes.iter().map(|judged| of(judged.class)).sum()
        };
        Self {
            n_bursts: sum(|class| class.n_bursts),
            n_repeats: sum(|class| class.n_repeats),
            n_repeats_max: classes
                .iter()
                .map(|j| j.class.n_repeats_max)
                .max()
                .unwrap_or(0),
            n_distinct: sum(|class| class.n_distinct),
            total_us: sum(|class| class.total_us),
            varying: classes.iter().fold(0, |bits, j| bits | j.class.varying),
        }
    }
}

/// The finding of one loop.
pub(in crate::rules) fn finding(
    rule: &'static str,
    audit: &Audit<'_>,
    found: &Loop<'_>,
) -> Finding {
    let totals = Totals::of(&found.classes);
    let subject::Key { relation, columns } = found
        .child
        .shape
        .as_deref()
        .map(|shape| subject::child(shape, totals.varying))
        .unwrap_or_default();
    let relation = relation.map(|relation| subject::full_name(audit, relation));
    let parents = parents(audit, found);
    let client = client::of(found.child, &audit.snapshot.workload);
    let message = message(found, &totals, relation.as_ref(), &columns, parents.first());
    let rewrite = Rewrite::of(audit, found);
    let tags = tags(found);
    let hint = hint::hint(hint::About {
        audit,
        found,
        client,
        relation: relation.as_ref(),
        columns: &columns,
        parent: parents.first(),
        rewrite: &rewrite,
        tags: &tags,
    });
    let remedy = Remedy {
        kind: RemedyKind::Rewrite,
        sql: rewrite.sql(),
        hint,
        ..Remedy::default()
    };
    let bursts = bursts(found);
    Finding {
        rule,
        severity: severity(found.confidence),
        confidence: found.confidence,
        message,
        impact: impact(audit, &totals),
        locations: locations(audit, &bursts),
        evidence: Evidence::NPlusOne(Box::new(evidence(
            audit, found, &totals, parents, &bursts, client, rewrite,
        ))),
        remedy,
        subject: Subject {
            relation,
            columns,
            index: None,
            fingerprint: Some(found.child.fingerprint),
            query: Some(found.child.text.clone()),
            budget: None,
        },
    }
}

fn severity(confidence: Confidence) -> Severity {
    if confidence >= Confidence::Medium {
        Severity::Warning
    } else {
        Severity::Info
    }
}

fn message(
    found: &Loop<'_>,
    totals: &Totals,
    relation: Option<&crate::catalog::RelationName>,
    columns: &[String],
    parent: Option<&ParentFacts>,
) -> String {
    let relation = relation.map_or_else(|| "a relation".to_owned(), ToString::to_string);
    let what = match subject::statement_kind(found.child) {
        "insert" => format!("rows are inserted into {relation} one by one"),
        "update" => format!("rows of {relation} are updated one by one"),
        "delete" => format!("rows of {relation} are deleted one by one"),
        "count" => format!("rows of {relation} are counted for one key at a time"),
        "exists" => format!("{relation} is asked whether rows exist for one key at a time"),
        _ => format!("{relation} is read for one key at a time"),
    };
    let by = match columns {
        [] => String::new(),
        columns => format!(" ({})", columns.join(", ")),
    };
    let behind = parent
        .and_then(|parent| parent.relation.as_ref())
        .map_or_else(String::new, |parent| {
            format!(", behind a query on {parent}")
        });
    let bursts = match totals.n_bursts {
        1 => "in one burst".to_owned(),
        n => format!(
            "in {} bursts of up to {}",
            figures::count(n),
            figures::count(totals.n_repeats_max)
        ),
    };
    let guess = found.doubt.map_or("", doubt);
    format!(
        "{what}{by}{behind}: {} {bursts}{guess}",
        figures::counted(totals.n_repeats, "round trip")
    )
}

/// Why it is a guess, and what would decide.
fn doubt(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Mixed => {
            " (a guess: requests share these connections statement by statement, so the order on a connection proves nothing; `traceparent` or a request id in the \
             statements' comments, an application name per worker, or a pool that lends a connection for the whole request would decide)"
        }
        Doubt::Number => {
            " (a loop, but requests share these connections, and how many of the executions are others' can't be told; `traceparent` or a request id in the \
             statements' comments would give the number)"
        }
        Doubt::Lone => {
            " (a guess: that query mostly runs without it, so these may be requests that follow each other without a pause; `traceparent` or a request id in the \
             statements' comments would decide)"
        }
    }
}

/// Each burst but its first statement is a round trip that a batch saves.
fn impact(audit: &Audit<'_>, totals: &Totals) -> Impact {
    let saved_trips = totals.n_repeats.saturating_sub(totals.n_bursts);
    let workload = &audit.snapshot.workload;
    Impact {
        n_calls: totals.n_repeats,
        total_time_ms: totals.total_us as f64 / 1e3,
        saved_interval_ms: None,
        saved_time_ms: saved_trips as f64 * audit.settings.round_trip_ms.unwrap_or(ROUND_TRIP_MS),
        saved_share: 0.0,
        // the log times the server, not the network: no measured time stands behind the trips
        basis: ImpactBasis::None,
        source: ImpactSource::Log,
        window_s: workload
            .input(InputKind::Log)
            .map_or(0.0, crate::workload::InputFacts::window_s),
    }
}

/// The queries that drive it, most repeats first.
fn parents(audit: &Audit<'_>, found: &Loop<'_>) -> Vec<ParentFacts> {
    let mut repeats: BTreeMap<Fingerprint, u64> = BTreeMap::new();
    for judged in &found.classes {
        if let Some(parent) = judged.class.shape.parent {
            *repeats.entry(parent).or_default() += judged.class.n_repeats;
        }
    }
    let mut parents: Vec<(u64, &Query)> = repeats
        .into_iter()
        .filter_map(|(parent, n)| Some((n, audit.snapshot.workload.query(parent)?)))
        .collect();
    parents.sort_by_key(|(n, query)| (std::cmp::Reverse(*n), query.fingerprint));
    parents
        .into_iter()
        .map(|(_, query)| ParentFacts {
            fingerprint: query.fingerprint,
            query: query.text.clone(),
            relation: subject::parent_relation(audit, query),
        })
        .collect()
}

fn bursts<'a>(found: &Loop<'a>) -> Vec<&'a Burst> {
    let mut bursts: Vec<&Burst> = found
        .classes
        .iter()
        .flat_map(|judged| &judged.class.samples)
        .collect();
    bursts.sort_by_key(|burst| (burst.start_us, burst.origin));
    bursts.truncate(MAX_BURSTS);
    bursts
}

fn evidence(
    audit: &Audit<'_>,
    found: &Loop<'_>,
    totals: &Totals,
    mut parents: Vec<ParentFacts>,
    bursts: &[&Burst],
    client: Option<client::Client>,
    rewrite: Rewrite,
) -> NPlusOneEvidence {
    let mut others = parents.split_off(parents.len().min(1));
    others.truncate(MAX_OTHERS);
    let mut sessions: Vec<String> = Vec::new();
    for burst in bursts {
        if !sessions.contains(&burst.session) {
            sessions.push(burst.session.clone());
        }
    }
    sessions.truncate(MAX_SESSIONS);
    NPlusOneEvidence {
        statement_kind: subject::statement_kind(found.child).to_owned(),
        n_repeats: totals.n_repeats,
        n_bursts: totals.n_bursts,
        n_repeats_max: totals.n_repeats_max,
        distinct_keys: totals.n_distinct,
        parent: parents.pop(),
        other_parents: others,
        sessions,
        tags: tags(found),
        applications: applications(found),
        n_units: found.n_units,
        n_repeats_p50: median(bursts),
        saved_round_trips: totals.n_repeats.saturating_sub(totals.n_bursts),
        round_trip_ms: audit.settings.round_trip_ms.unwrap_or(ROUND_TRIP_MS),
        round_trip_basis: match audit.settings.round_trip_ms {
            Some(_) => "given".to_owned(),
            None => "assumed".to_owned(),
        },
        bursts: bursts.iter().map(|burst| burst_facts(burst)).collect(),
        timeline: timeline(audit, found),
        client: client.map(|client| client.name().to_owned()),
        parameters: rewrite.parameters(),
        no_batch: rewrite.refusal(),
        answer: rewrite.answer(),
        cost: rewrite.cost,
        verified: None,
    }
}

fn median(bursts: &[&Burst]) -> u64 {
    let mut repeats: Vec<u64> = bursts.iter().map(|burst| burst.n_repeats).collect();
    repeats.sort_unstable();
    repeats.get(repeats.len() / 2).copied().unwrap_or(0)
}

fn burst_facts(burst: &Burst) -> BurstFacts {
    BurstFacts {
        session: burst.session.clone(),
        start: rfc3339(burst.start_us),
        end: rfc3339(burst.end_us),
        n_repeats: burst.n_repeats,
    }
}

fn rfc3339(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| String::new(), |time| time.to_string())
}

/// The commonest value of each tag.
fn tags(found: &Loop<'_>) -> BTreeMap<String, String> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for share in found.classes.iter().flat_map(|judged| &judged.class.tags) {
        if let Some(tag) = share.name.split_once('=') {
            *counts.entry(tag).or_default() += share.n;
        }
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by_key(|(tag, n)| (std::cmp::Reverse(*n), *tag));
    let mut tags = BTreeMap::new();
    for ((key, value), _) in ranked {
        tags.entry(key.to_owned())
            .or_insert_with(|| value.to_owned());
    }
    tags
}

fn applications(found: &Loop<'_>) -> Vec<String> {
    let mut shares: Vec<Share> = Vec::new();
    for share in found.classes.iter().flat_map(|j| &j.class.applications) {
        match shares.iter_mut().find(|known| known.name == share.name) {
            Some(known) => known.n += share.n,
            None => shares.push(share.clone()),
        }
    }
    shares.sort_by(|a, b| b.n.cmp(&a.n).then_with(|| a.name.cmp(&b.name)));
    shares.truncate(MAX_OTHERS);
    shares.into_iter().map(|share| share.name).collect()
}

/// The longest class's first burst: the driver, then the first and last repeats.
fn timeline(audit: &Audit<'_>, found: &Loop<'_>) -> Vec<TimelineEntry> {
    let Some(moments) = found.classes.first().map(|judged| &judged.class.timeline) else {
        return Vec::new();
    };
    let start_us = moments.first().map_or(0, |moment| moment.start_us);
    moments
        .iter()
        .flat_map(|moment| timeline_entries(audit, moment, start_us))
        .collect()
}

fn timeline_entries(audit: &Audit<'_>, moment: &Moment, start_us: i64) -> Vec<TimelineEntry> {
    let text = audit
        .snapshot
        .workload
        .query(moment.query)
        .map(|query| query.text.clone());
    let at_ms = (moment.start_us - start_us) as f64 / 1e3;
    let mut entries = vec![TimelineEntry {
        at_ms,
        duration_ms: moment.duration_us.map(|us| us as f64 / 1e3),
        text: text.unwrap_or_default(),
    }];
    if moment.n_omitted > 0 {
        entries.push(TimelineEntry {
            at_ms,
            duration_ms: None,
            text: format!("… {} more …", moment.n_omitted),
        });
    }
    entries
}

fn locations(audit: &Audit<'_>, bursts: &[&Burst]) -> Vec<Location> {
    bursts
        .iter()
        .take(MAX_LOCATIONS)
        .filter_map(|burst| {
            let input = audit
                .snapshot
                .workload
                .inputs
                .get(burst.origin.0 as usize)?;
            Some(Location {
                file: input.name.clone(),
                line: burst.origin.1,
                ..Location::default()
            })
        })
        .collect()
}
