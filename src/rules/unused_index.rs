//! `unused-index`: an index that no scan has read while the counters were counting.

use super::{
    Audit, Example, Expect, Need, Rule,
    stored_index::{self, Claim, Drops},
};
use crate::{
    catalog::{Catalog, Index, KeyTarget, Relation},
    finding::{Confidence, Finding, Remedy, RemedyKind, Severity, figures},
    sql::{
        quote_identifier,
        shape::{Comparison, Target},
    },
};

/// First version with statistics on expressions.
const EXPRESSION_STATISTICS: u32 = 140_000;

/// Longest name that Postgres keeps, bytes.
const MAX_NAME_BYTES: usize = 63;

pub(super) static RULE: Rule = Rule {
    id: "unused-index",
    summary: "an index was never scanned over the observed window",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Catalog, Need::UsageCounters],
    check,
};

const DOCS: &str = "\
**What it finds.** Valid indexes of 1 MiB or more with `idx_scan = 0` on tables that are in use.

**Why it matters.** Writes maintain it, updates that could be HOT are not, cache and disk hold it, and nothing is ever found through it.

**How it decides.** The window is the time since the newest of the counter resets of pg_stat_database, pg_stat_bgwriter and pg_stat_wal and the server's start; a \
reset that reads NULL is not \"forever\". Below 30 days (`--min-window`), or where standbys are attached (or the audited server is one) whose counters were not looked at (`--replica URL` adds them up), the finding is info, says how many \
days were seen, and carries no migration. Indexes of constraints (primary key, unique, exclusion), of replica identity, of foreign keys on either side, of partitioned tables, and \
those that another rule calls duplicate or redundant are never named. It is a warning where writes to the table take 1 % of the database's time or more, else info.

**When it is wrong.** A yearly report; a standby behind a pooler or in another cluster that answers the reads; an index made yesterday on a server with old counters; an expression index, whose statistics the \
planner uses even if nobody scans it. Where a planner could be asked, every statement on the table is priced without the index: one that costs more than a tenth more keeps it; where \
estimates change without it, CREATE STATISTICS on the expression is the remedy, and the drop comes after; where nothing changes, it is dropped like any other. Unpriced, its finding has low \
confidence and no migration.

**References.** PostgreSQL documentation, 27.2 (pg_stat_all_indexes).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "never scanned",
        ddl: "CREATE TABLE t (id bigint PRIMARY KEY, a integer, note text);
              INSERT INTO t SELECT n, n, md5(n::text) FROM generate_series(1, 60000) n;
              CREATE INDEX t_note ON t (note); VACUUM ANALYZE t;
              SELECT count(*) FROM t WHERE a > 5;",
        log: "-- calls: 10\nSELECT count(*) FROM t WHERE a > 5;\n",
        expect: Expect::Finding("t"),
    },
    Example {
        title: "scanned, unique, or behind a foreign key",
        ddl: "CREATE TABLE p (id bigint PRIMARY KEY);
              INSERT INTO p SELECT n FROM generate_series(1, 60000) n;
              CREATE TABLE t (id bigint PRIMARY KEY, p_id bigint REFERENCES p, code text UNIQUE, note text);
              INSERT INTO t SELECT n, n, md5(n::text), md5(n::text) FROM generate_series(1, 60000) n;
              CREATE INDEX t_p ON t (p_id); CREATE INDEX t_note ON t (note); VACUUM ANALYZE p, t;
              SET enable_seqscan = off; SELECT id FROM t WHERE note = 'x';",
        log: "-- calls: 10\nSELECT id FROM t WHERE note = 'x';\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let Some(catalog) = &audit.snapshot.catalog else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for relation in stored_index::indexed_relations(audit).filter(|relation| is_in_use(relation)) {
        for index in relation
            .indexes
            .iter()
            .filter(|index| relation.is_unused(index))
        {
            let mut finding = claim(audit, catalog, relation, index).finding(audit);
            let feeds = stored_index::priced_drop(audit, index)
                .is_some_and(|drop| !drop.feeds_estimates.is_empty());
            if let Some(remedy) = statistics_first(catalog, index).filter(|_| feeds) {
                finding.remedy = remedy;
            }
            findings.push(finding);
        }
    }
    findings
}

/// Counters that are all zero say nothing about an index.
fn is_in_use(relation: &Relation) -> bool {
    let usage = &relation.usage;
    usage.n_seq_scans + usage.n_index_scans + usage.n_updates + usage.n_inserts + usage.n_deletes
        > 0
}

fn claim<'a>(
    audit: &Audit<'_>,
    catalog: &Catalog,
    relation: &'a Relation,
    index: &'a Index,
) -> Claim<'a> {
    let days = catalog.server.stats_window.days();
    let n_standbys = catalog.server.n_unseen();
    let is_expression = index.feeds_statistics();
    let has_window =
        catalog.server.stats_window.since_us.is_some() && days >= audit.settings.min_window_days;
    let priced = stored_index::priced_drop(audit, index);
    let feeds = is_expression && priced.is_none_or(|drop| !drop.feeds_estimates.is_empty());
    let is_proven = has_window && n_standbys == 0 && !feeds;
    let mut hints: Vec<String> = useless_pattern(audit, relation, index)
        .into_iter()
        .collect();
    let mut message = format!(
        "index {} ({}) of {} was not scanned once in {}",
        index.def.name,
        figures::bytes(index.size_bytes),
        relation.name,
        window_in_words(days)
    );
    if !has_window {
        message.push_str(&format!(
            "; not enough evidence to drop: {} seen",
            window_in_words(days)
        ));
        hints.push(format!(
            "look again when the counters cover {:.0} days (--min-window)",
            audit.settings.min_window_days
        ));
    } else if n_standbys > 0 {
        message.push_str(
            "; not enough evidence to drop: other servers of the same data were not looked at",
        );
        hints.push(
            "a standby and its primary count their own scans: name the others with --replica URL"
                .to_owned(),
        );
    } else if feeds {
        hints.push("ANALYZE keeps statistics for its expression, which the planner may use: CREATE STATISTICS on the expression before dropping it".to_owned());
    }
    Claim {
        rule: RULE.id,
        relation,
        index,
        severity: if is_proven {
            stored_index::severity_by_writes(audit, relation)
        } else {
            Severity::Info
        },
        confidence: if is_proven {
            Confidence::Medium
        } else {
            Confidence::Low
        },
        message,
        hint: hints.join("; "),
        instead: Vec::new(),
        facts: vec![
            ("window_days", round(days)),
            ("n_standbys", n_standbys.into()),
        ],
        drops: if is_proven { Drops::Yes } else { Drops::NotYet },
    }
}

/// An expression's statistics by themselves, for an index whose own ones the planner uses. From version 14.
fn statistics_first(catalog: &Catalog, index: &Index) -> Option<Remedy> {
    if catalog.server.version_num < EXPRESSION_STATISTICS {
        return None;
    }
    let expressions: Vec<&str> = index
        .def
        .keys
        .iter()
        .filter_map(|key| match &key.target {
            KeyTarget::Expression(text) => Some(text.as_str()),
            KeyTarget::Column(_) => None,
        })
        .collect();
    // several expressions in one object would be statistics of their combinations
    let [expression] = expressions.as_slice() else {
        return None;
    };
    let table = &index.def.table;
    let name = format!("{}_stats", index.def.name);
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    Some(Remedy {
        kind: RemedyKind::CreateStatistics,
        sql: Some(format!(
            "CREATE STATISTICS {}.{} ON ({expression}) FROM {};",
            quote_identifier(&table.schema),
            quote_identifier(&name),
            table.to_sql()
        )),
        hint: format!(
            "estimates come from the statistics that ANALYZE keeps for the index: create these, ANALYZE {table}, audit again, then drop it"
        ),
        ..Remedy::default()
    })
}

fn window_in_words(days: f64) -> String {
    let hours = days * 24.0;
    if days >= 2.0 {
        format!("{days:.0} days")
    } else if hours >= 2.0 {
        format!("{hours:.0} hours")
    } else if hours * 60.0 >= 1.5 {
        format!("{:.0} minutes", hours * 60.0)
    } else {
        "a minute".to_owned()
    }
}

fn round(days: f64) -> serde_json::Value {
    serde_json::json!((days * 100.0).round() / 100.0)
}

/// Why the planner can't use it, where a statement looks for a pattern in its column: a b-tree knows how values begin, not what they contain.
fn useless_pattern(audit: &Audit<'_>, relation: &Relation, index: &Index) -> Option<String> {
    let catalog = audit.snapshot.catalog.as_ref()?;
    let leading = index.def.keys.first()?.column_name()?;
    if index.def.method != "btree" {
        return None;
    }
    let shapes = audit
        .snapshot
        .workload
        .queries
        .iter()
        .filter_map(|query| query.shape.as_deref());
    let asked = shapes.flat_map(|shape| &shape.scans).find_map(|scan| {
        let scanned = catalog.resolve(scan.relation.schema.as_deref(), &scan.relation.name)?;
        let pattern = scan.predicates.iter().find(|predicate| {
            matches!(
                predicate.comparison,
                Comparison::ILike | Comparison::Like | Comparison::Regex
            ) && predicate.target == Target::Column(leading.to_owned())
        })?;
        (scanned.name == relation.name).then_some(pattern.comparison)
    })?;
    let operator = match asked {
        Comparison::ILike => "ILIKE",
        Comparison::Like => "LIKE",
        _ => "a regular expression",
    };
    Some(format!(
        "statements search {leading} with {operator}, which a b-tree can't serve for text inside a value: a trigram index can \
         (USING gin ({leading} gin_trgm_ops), extension pg_trgm)"
    ))
}
