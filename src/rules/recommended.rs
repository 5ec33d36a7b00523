//! A recommendation as a finding: what the rules about missing indexes share. They differ only in which kind they report.

use super::{Audit, conditional, stale_statistics::Staleness};
use crate::{
    advise::{PricedQuery, Reason, Recommendation},
    catalog::{Build, Catalog, Index, IndexDef, KeyTarget, Relation, RelationKind},
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactBasis, ImpactSource, IndexChange,
        IndexEvidence, QueryCost, Remedy, RemedyKind, Severity, Subject, figures,
    },
    workload::{Loads, Query},
};

/// Mean time in ms from which a statement is slow for whoever waits for it.
pub(super) const SLOW_MS: f64 = 100.0;

/// Share of the database's time from which a statement matters to everybody.
pub(super) const HEAVY_SHARE: f64 = 0.01;

/// Share of its cost that the heaviest statement must save for high confidence: half the cost is far beyond the planner's errors.
const SURE_GAIN: f64 = 0.5;

/// What is left of a statement with a new index is at most so many times what the planner's cost ratio says, and so many ms more, in nine of
/// ten cases (`benches/README.md`, "Intervals").
const REMAINDER_FACTOR: f64 = 2.0;
const REMAINDER_MS: f64 = 0.2;

/// Findings of one rule: one for each recommendation of its kind.
pub(super) fn findings(audit: &Audit<'_>, rule: &'static str, reason: Reason) -> Vec<Finding> {
    let Some(catalog) = &audit.snapshot.catalog else {
        return Vec::new();
    };
    audit
        .advice
        .recommendations
        .iter()
        .filter(|recommendation| recommendation.reason == reason)
        .map(|recommendation| finding(audit, catalog, rule, recommendation))
        .collect()
}

fn finding(
    audit: &Audit<'_>,
    catalog: &Catalog,
    rule: &'static str,
    recommendation: &Recommendation,
) -> Finding {
    let served = Served::of(audit, recommendation);
    let def = &recommendation.def;
    Finding {
        rule,
        severity: severity(&served, recommendation),
        confidence: confidence(recommendation),
        subject: Subject {
            relation: Some(def.table.clone()),
            columns: keys_in_words(def),
            ..Subject::default()
        },
        message: message(recommendation, &served),
        impact: served.impact(audit, recommendation),
        evidence: Evidence::Index(evidence(audit, recommendation, &served)),
        locations: Vec::new(),
        remedy: remedy(audit, catalog, recommendation),
    }
}

/// The statements that a recommendation serves, with what they weigh.
struct Served<'a> {
    queries: Vec<(&'a Query, &'a PricedQuery)>,
    /// Their share of all time, 0–1.
    share: f64,
    /// Share of all time saved, 0–1.
    saved_share: f64,
    has_times: bool,
}

impl<'a> Served<'a> {
    fn of(audit: &Audit<'a>, recommendation: &'a Recommendation) -> Self {
        let workload = &audit.snapshot.workload;
        let loads = Loads::of(workload);
        let queries: Vec<(&Query, &PricedQuery)> = recommendation
            .queries
            .iter()
            .filter_map(|priced| Some((workload.query(priced.fingerprint)?, priced)))
            .collect();
        Self {
            share: queries.iter().map(|(query, _)| loads.share(query)).sum(),
            saved_share: queries
                .iter()
                .map(|(query, priced)| loads.share(query) * priced.saved_fraction)
                .sum(),
            has_times: queries.iter().any(|(query, _)| query.total_ms() > 0.0),
            queries,
        }
    }

    /// What is really saved, in four of five cases: what is left of a statement is as a rule much less than the planner's cost ratio (pages that are
    /// cached cost it as much as pages that are read), and seldom more than [`REMAINDER_FACTOR`] times that.
    fn saved_interval_ms(&self) -> (f64, f64) {
        let mut bounds = (0.0, 0.0);
        for (query, priced) in &self.queries {
            let total_ms = query.total_ms();
            let left = priced.cost_after / priced.cost_before.max(f64::MIN_POSITIVE);
            // the index's part of it, and the part of the time that the plan accounts for
            let part = priced.saved_fraction / (1.0 - left).max(f64::MIN_POSITIVE);
            let floor_ms = REMAINDER_MS * query.n_calls() as f64;
            let least = total_ms * part * (1.0 - REMAINDER_FACTOR * left) - floor_ms;
            bounds.0 += least.max(0.0);
            bounds.1 += total_ms * part.min(1.0);
        }
        bounds
    }

    fn impact(&self, audit: &Audit<'_>, recommendation: &Recommendation) -> Impact {
        let saved_ms =
            |(query, priced): &(&Query, &PricedQuery)| query.total_ms() * priced.saved_fraction;
        let basis = match (recommendation.priced, self.has_times) {
            (false, _) => ImpactBasis::None,
            (true, false) => ImpactBasis::PlannerOnly,
            (true, true) => ImpactBasis::CalibratedEstimate,
        };
        let is_known = basis == ImpactBasis::CalibratedEstimate;
        let heaviest = self.queries.first().map(|(query, _)| *query);
        Impact {
            n_calls: self.queries.iter().map(|(query, _)| query.n_calls()).sum(),
            total_time_ms: self.queries.iter().map(|(query, _)| query.total_ms()).sum(),
            saved_time_ms: if is_known {
                self.queries.iter().map(saved_ms).sum()
            } else {
                0.0
            },
            saved_share: if is_known { self.saved_share } else { 0.0 },
            saved_interval_ms: is_known.then(|| self.saved_interval_ms()),
            basis,
            source: heaviest.map_or(ImpactSource::Log, source_of),
            window_s: heaviest.map_or(0.0, |query| {
                Loads::window_s(&audit.snapshot.workload, query)
            }),
        }
    }
}

/// Whose numbers a query's are.
pub(super) fn source_of(query: &Query) -> ImpactSource {
    if query.pgss.is_some() {
        ImpactSource::PgStatStatements
    } else {
        ImpactSource::Log
    }
}

/// A warning from a mean of 100 ms or 1 % of the database's time; less, or not priced, or to be had only with one more extension, is info.
fn severity(served: &Served<'_>, recommendation: &Recommendation) -> Severity {
    let is_slow = served
        .queries
        .iter()
        .any(|(query, _)| query.mean_ms() >= SLOW_MS);
    let can_be_built = recommendation.extension.is_none();
    if recommendation.priced && can_be_built && (is_slow || served.share >= HEAVY_SHARE) {
        Severity::Warning
    } else {
        Severity::Info
    }
}

fn confidence(recommendation: &Recommendation) -> Confidence {
    let best = recommendation
        .queries
        .first()
        .map_or(0.0, |query| query.saved_fraction);
    if !recommendation.priced || recommendation.condition.is_some() {
        Confidence::Low
    } else if best >= SURE_GAIN {
        Confidence::High
    } else {
        Confidence::Medium
    }
}

fn message(recommendation: &Recommendation, served: &Served<'_>) -> String {
    let def = &recommendation.def;
    let kind = kind_in_words(def);
    let keys = keys_in_words(def).join(", ");
    let n = served.queries.len();
    let who = if n == 1 {
        "one statement".to_owned()
    } else {
        format!("{n} statements")
    };
    let weight = if served.has_times {
        format!(" ({:.1} % of the time)", served.share * 100.0)
    } else {
        String::new()
    };
    if !recommendation.priced {
        return format!(
            "{} may lack {kind} on ({keys}) for {who}{weight}; no planner could be asked",
            def.table
        );
    }
    let before: f64 = served.queries.iter().map(|(_, q)| q.cost_before).sum();
    let after: f64 = served
        .queries
        .iter()
        .map(|(_, q)| q.cost_before * (1.0 - q.saved_fraction))
        .sum();
    let factor = if after > 0.0 { before / after } else { 1.0 };
    format!(
        "{} lacks {kind} on ({keys}): {who}{weight} would cost {} less",
        def.table,
        times(factor)
    )
}

/// What kind of index, with its article.
fn kind_in_words(def: &IndexDef) -> String {
    let method = match def.method.as_str() {
        "btree" => String::new(),
        "gin" => "GIN ".to_owned(),
        "gist" => "GiST ".to_owned(),
        "brin" => "BRIN ".to_owned(),
        other => format!("{other} "),
    };
    match (&def.predicate, def.include.is_empty()) {
        (Some(_), true) => format!("a partial {method}index"),
        (Some(_), false) => format!("a partial covering {method}index"),
        (None, false) => format!("a covering {method}index"),
        (None, true) if method.is_empty() => "an index".to_owned(),
        (None, true) => format!("a {method}index"),
    }
}

/// `37×`, or `40 %` for small factors.
fn times(factor: f64) -> String {
    if factor >= 2.0 {
        format!("{}×", figures::count(factor.round() as u64))
    } else {
        format!("{:.0} %", (1.0 - 1.0 / factor) * 100.0)
    }
}

/// Key columns, and expressions as they are: for people.
pub(super) fn keys_in_words(def: &IndexDef) -> Vec<String> {
    def.keys
        .iter()
        .map(|key| match &key.target {
            KeyTarget::Column(name) => name.clone(),
            KeyTarget::Expression(text) => text.clone(),
        })
        .collect()
}

fn evidence(
    audit: &Audit<'_>,
    recommendation: &Recommendation,
    served: &Served<'_>,
) -> IndexEvidence {
    let queries = served
        .queries
        .iter()
        .map(|(query, priced)| QueryCost {
            fingerprint: query.fingerprint,
            query: query.text.clone(),
            n_calls: query.n_calls(),
            cost_before: priced.cost_before,
            cost_after: priced.cost_after,
            uses_index: priced.uses_index,
            mean_ms: (query.total_ms() > 0.0).then(|| query.mean_ms()),
            plan_before: Some(priced.plan_before.clone()).filter(|line| !line.is_empty()),
            plan_after: Some(priced.plan_after.clone()).filter(|line| !line.is_empty()),
        })
        .collect();
    IndexEvidence {
        queries,
        size_bytes: recommendation.size_bytes,
        write_cost: recommendation.write_cost,
        replaces: recommendation.replaces.clone(),
        facts: write_facts(audit, recommendation),
    }
}

/// What all new indexes of the table do to the statements that write it.
fn write_facts(
    audit: &Audit<'_>,
    recommendation: &Recommendation,
) -> serde_json::Map<String, serde_json::Value> {
    let mut effects = audit.advice.write_effects.iter();
    let effect = effects.find(|effect| effect.relation == recommendation.def.table);
    let Some(effect) = effect else {
        return serde_json::Map::new();
    };
    let figures = [
        ("hot_share_before", effect.hot_share_before),
        ("hot_share_after", effect.hot_share_after),
        ("writes_take_times", effect.slowdown),
    ];
    figures
        .into_iter()
        .filter_map(|(name, value)| {
            let rounded = (value? * 1_000.0).round() / 1_000.0;
            let says_nothing = name == "writes_take_times" && rounded <= 1.0;
            (!says_nothing).then(|| (name.to_owned(), rounded.into()))
        })
        .collect()
}

fn remedy(audit: &Audit<'_>, catalog: &Catalog, recommendation: &Recommendation) -> Remedy {
    let def = &recommendation.def;
    let relation = catalog.relation(&def.table);
    let is_partitioned = relation.is_some_and(|r| r.kind == RelationKind::PartitionedTable);
    let build = if is_partitioned {
        Build::Plain
    } else {
        Build::Concurrently
    };
    let mut change = IndexChange::create(def.clone());
    change.partition_leaves = relation
        .map(|r| r.partition_leaves.clone())
        .unwrap_or_default();
    change.extension.clone_from(&recommendation.extension);
    change.size_bytes = Some(recommendation.size_bytes);
    let mut sql = vec![format!("{};", def.create_sql(build))];
    let mut changes = vec![change];
    for old in priced_away(audit, relation, recommendation) {
        let mut drop = IndexChange::drop(old.def.clone(), old.full_definition.clone());
        drop.size_bytes = Some(old.size_bytes);
        sql.push(format!(
            "DROP INDEX CONCURRENTLY {};",
            old.def.qualified_name_sql()
        ));
        changes.push(drop);
    }
    Remedy {
        kind: match changes.len() {
            1 => RemedyKind::CreateIndex,
            _ => RemedyKind::ReplaceIndex,
        },
        sql: Some(sql.join("\n")),
        hint: hint(audit, recommendation, relation, is_partitioned),
        changes,
        ..Remedy::default()
    }
}

/// The existing indexes whose place it takes, no statement of the workload the worse for it.
fn priced_away<'r>(
    audit: &Audit<'_>,
    relation: Option<&'r Relation>,
    recommendation: &Recommendation,
) -> Vec<&'r Index> {
    let indexes = relation.map_or(&[][..], |relation| &relation.indexes);
    let is_priced = |index: &&Index| {
        let name = index.full_name();
        let drops = &audit.advice.drops;
        recommendation.replaces.contains(&name)
            && drops
                .iter()
                .any(|drop| drop.index == name && drop.is_dropped)
    };
    indexes.iter().filter(is_priced).collect()
}

fn hint(
    audit: &Audit<'_>,
    recommendation: &Recommendation,
    relation: Option<&Relation>,
    is_partitioned: bool,
) -> String {
    let mut hints = Vec::new();
    if is_partitioned {
        hints.push("a partitioned table's index can't be built concurrently in one step: pgassay migrate writes the steps per partition".to_owned());
    }
    if !recommendation.replaces.is_empty() {
        hints.push(format!(
            "afterwards {} is covered by it",
            recommendation.replaces.join(", ")
        ));
    }
    hints.extend(recommendation.condition.clone());
    hints.extend(conditional::alternative(audit, recommendation));
    if let Some(staleness) = relation.and_then(Staleness::of) {
        let why = match staleness {
            Staleness::NeverAnalysed => "was never analysed".to_owned(),
            Staleness::Changed(n) => {
                format!(
                    "saw {} since its last ANALYZE",
                    figures::counted(n, "change")
                )
            }
        };
        hints.push(format!(
            "the table {why}: ANALYZE it and audit again before building"
        ));
    }
    if !recommendation.priced {
        hints.push(
            "check it with EXPLAIN before building it: only structure and statistics speak for it"
                .to_owned(),
        );
    }
    hints.join("; ")
}
