//! `oversized-index-on-hot-column`: one index holds a column that updates set all the time, and keeps them from being HOT.

use std::collections::BTreeSet;

use super::{Audit, Example, Expect, Need, Rule, recommended::keys_in_words, stored_index};
use crate::{
    advise::unused_name,
    catalog::{Build, Catalog, Index, IndexDef, Relation, RelationKind},
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactSource, IndexChange, IndexEvidence, Remedy,
        RemedyKind, Severity, Subject,
    },
    sql::{
        StatementKind,
        shape::{Operand, Scan, ScanRole, Target},
    },
    workload::{Query, Workload},
};

pub(super) static RULE: Rule = Rule {
    id: "oversized-index-on-hot-column",
    summary: "an index holds a column that is updated all the time and searched by nobody, so that no update is HOT",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Catalog, Need::Statements],
    check,
};

/// Updates counted from which it matters: below, the writes are nothing to anybody.
const MIN_UPDATES: u64 = 10_000;

/// Share of HOT updates from which the index evidently does not stand in the way.
const MAX_HOT_SHARE: f64 = 0.5;

/// Share of the workload's updates of the table that must set the column.
const MIN_SHARE_OF_UPDATES: f64 = 0.5;

const DOCS: &str = "\
**What it finds.** An index with a column, behind its first or in INCLUDE, that most updates of the table set and that no statement seen searches, joins or sorts by, where it is the only index that those \
updates touch.

**Why it matters.** An update that changes no indexed column can be HOT: it writes no index at all, and the old version goes away without VACUUM. With the column in one index, each update writes an entry \
into every index of the table, and all of them bloat.

**How it decides.** At least 10,000 updates are counted by pg_stat_user_tables, less than half of them HOT; statements that make up half or more of the workload's updates of the table set the column; no \
other index holds a column that they set; the workload's statements compare, join, sort and group by the index's other columns only. Columns in an index's WHERE don't count: a queue's index on its \
pending rows is meant to lose them. Without UPDATE statements in the workload nothing is found. It is info where the index was counted as unused, which `unused-index` judges.

**When it is wrong.** When a statement that was not seen searches by the column; when the column makes index-only scans possible that save more than the updates cost; when updates are not HOT for want of \
room in the pages (fillfactor).

**References.** PostgreSQL documentation, 73.7 (heap-only tuples); src/backend/access/heap/README.HOT.";

const EXAMPLES: &[Example] = &[
    Example {
        title: "the time of the last visit, carried along",
        ddl: "CREATE TABLE sessions (id bigint PRIMARY KEY, account_id bigint NOT NULL, seen_at timestamptz NOT NULL, note text NOT NULL) WITH (autovacuum_enabled = off);
              INSERT INTO sessions SELECT n, n % 2000, now(), repeat('x', 60) FROM generate_series(1, 20000) n;
              CREATE INDEX sessions_account ON sessions (account_id, seen_at);
              UPDATE sessions SET seen_at = now();
              VACUUM ANALYZE sessions;
              SELECT pg_sleep(1.2);",
        log: "-- calls: 5000, mean_time_ms: 0.1\nUPDATE sessions SET seen_at = now() WHERE id = 5;\n-- calls: 900, mean_time_ms: 0.1\nSELECT note FROM sessions WHERE account_id = 7;\n",
        expect: Expect::Finding("sessions"),
    },
    Example {
        title: "the latest sessions of an account are asked for",
        ddl: "CREATE TABLE sessions (id bigint PRIMARY KEY, account_id bigint NOT NULL, seen_at timestamptz NOT NULL, note text NOT NULL) WITH (autovacuum_enabled = off);
              INSERT INTO sessions SELECT n, n % 2000, now(), repeat('x', 60) FROM generate_series(1, 20000) n;
              CREATE INDEX sessions_account ON sessions (account_id, seen_at);
              UPDATE sessions SET seen_at = now();
              VACUUM ANALYZE sessions;
              SELECT pg_sleep(1.2);",
        log: "-- calls: 5000, mean_time_ms: 0.1\nUPDATE sessions SET seen_at = now() WHERE id = 5;\n-- calls: 900, mean_time_ms: 0.1\nSELECT note FROM sessions WHERE account_id = 7 ORDER BY seen_at DESC LIMIT 3;\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let Some(catalog) = &audit.snapshot.catalog else {
        return Vec::new();
    };
    let workload = &audit.snapshot.workload;
    let relations = stored_index::indexed_relations(audit).filter(|relation| {
        let usage = &relation.usage;
        relation.kind == RelationKind::Table
            && usage.n_updates >= MIN_UPDATES
            && (usage.n_hot_updates as f64) < MAX_HOT_SHARE * usage.n_updates as f64
    });
    relations
        .filter_map(|relation| {
            let hot = Hot::of(catalog, workload, relation)?;
            Some(finding(catalog, relation, &hot))
        })
        .collect()
}

/// The index in the way, and the columns that should leave it.
struct Hot<'r> {
    index: &'r Index,
    columns: Vec<String>,
    /// Share of the workload's updates of the table.
    share: f64,
}

impl<'r> Hot<'r> {
    fn of(catalog: &Catalog, workload: &Workload, relation: &'r Relation) -> Option<Self> {
        let mut n_all = 0;
        let mut n_setting = 0;
        let mut set = BTreeSet::new();
        for (query, columns) in updates(catalog, workload, relation) {
            n_all += query.n_calls();
            let touches = |index: &Index| holds_any(&index.def, columns);
            if relation.indexes.iter().any(touches) {
                n_setting += query.n_calls();
                set.extend(columns.iter().cloned());
            }
        }
        let share = n_setting as f64 / n_all.max(1) as f64;
        let set: Vec<String> = set.into_iter().collect();
        let mut touched = relation
            .indexes
            .iter()
            .filter(|index| holds_any(&index.def, &set));
        let index = touched.next()?;
        let is_alone = touched.next().is_none();
        if !is_alone
            || share < MIN_SHARE_OF_UPDATES
            || index.is_load_bearing()
            || !index.valid
            || index.def.method != "btree"
        {
            return None;
        }
        let searched = searched(catalog, workload, relation);
        let columns: Vec<String> = set
            .into_iter()
            .filter(|column| holds(&index.def, column))
            .collect();
        let is_first = |column: &String| {
            index.def.keys.first().and_then(|key| key.column_name()) == Some(column)
        };
        let can_leave = columns
            .iter()
            .all(|column| !is_first(column) && !searched.contains(column));
        can_leave.then_some(Self {
            index,
            columns,
            share,
        })
    }
}

/// Updates of a table with the columns that they set.
fn updates<'w>(
    catalog: &'w Catalog,
    workload: &'w Workload,
    relation: &'w Relation,
) -> impl Iterator<Item = (&'w Query, &'w [String])> {
    workload.queries.iter().filter_map(move |query| {
        let shape = query
            .shape
            .as_deref()
            .filter(|shape| shape.kind == StatementKind::Update)?;
        let target = shape
            .scans
            .iter()
            .find(|scan| scan.role == ScanRole::Target)?;
        is_of(catalog, target, relation).then_some((query, shape.written_columns.as_slice()))
    })
}

fn is_of(catalog: &Catalog, scan: &Scan, relation: &Relation) -> bool {
    let found = catalog.resolve(scan.relation.schema.as_deref(), &scan.relation.name);
    found.is_some_and(|found| found.name == relation.name)
}

/// Columns by which statements search, join, sort or group a table; of statements that could not be understood whole, all that they name.
fn searched(catalog: &Catalog, workload: &Workload, relation: &Relation) -> BTreeSet<String> {
    let mut texts: Vec<&str> = Vec::new();
    let mut columns = BTreeSet::new();
    for query in &workload.queries {
        let Some(shape) = query.shape.as_deref() else {
            // a statement without a shape may search by anything that it names
            texts.push(&query.text);
            continue;
        };
        let scans = shape
            .scans
            .iter()
            .filter(|scan| is_of(catalog, scan, relation));
        let mut is_read = false;
        for scan in scans {
            is_read = true;
            for predicate in scan.predicates.iter().chain(scan.any_of.iter().flatten()) {
                add(&mut columns, &mut texts, &predicate.target);
                if let Operand::Expression(text) = &predicate.operand {
                    texts.push(text);
                }
            }
            for target in scan
                .sort
                .iter()
                .map(|key| &key.target)
                .chain(&scan.group)
                .chain(&scan.distinct_on)
            {
                add(&mut columns, &mut texts, target);
            }
            columns.extend(scan.min_max.iter().cloned());
            texts.extend(scan.other_conditions.iter().map(String::as_str));
        }
        if is_read && shape.has_unresolved {
            texts.push(&query.text);
        }
    }
    let named = relation.columns.iter().filter(|column| {
        texts.iter().any(|text| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word.eq_ignore_ascii_case(&column.name))
        })
    });
    columns.extend(named.map(|column| column.name.clone()));
    columns
}

fn add<'t>(columns: &mut BTreeSet<String>, texts: &mut Vec<&'t str>, target: &'t Target) {
    match target {
        Target::Column(name) => {
            columns.insert(name.clone());
        }
        Target::Expression(text) => texts.push(text),
    }
}

fn holds(def: &IndexDef, column: &str) -> bool {
    def.key_columns().contains(&column) || def.include.iter().any(|name| name == column)
}

fn holds_any(def: &IndexDef, columns: &[String]) -> bool {
    def.method != "brin" && columns.iter().any(|column| holds(def, column))
}

/// The index without those columns.
fn narrower(catalog: &Catalog, def: &IndexDef, columns: &[String]) -> IndexDef {
    let stays = |name: &str| !columns.iter().any(|column| column == name);
    let mut narrow = IndexDef {
        keys: def
            .keys
            .iter()
            .filter(|key| key.column_name().is_none_or(stays))
            .cloned()
            .collect(),
        include: def
            .include
            .iter()
            .filter(|name| stays(name))
            .cloned()
            .collect(),
        ..def.clone()
    };
    narrow.name = unused_name(catalog, &narrow);
    narrow
}

fn finding(catalog: &Catalog, relation: &Relation, hot: &Hot<'_>) -> Finding {
    let usage = &relation.usage;
    let index = hot.index;
    let columns = hot.columns.join(", ");
    let hot_share = usage.n_hot_updates as f64 / usage.n_updates as f64;
    let mut facts = serde_json::Map::new();
    facts.insert("n_updates".to_owned(), usage.n_updates.into());
    facts.insert("n_hot_updates".to_owned(), usage.n_hot_updates.into());
    facts.insert("n_scans".to_owned(), index.usage.n_scans.into());
    facts.insert(
        "share_of_updates_that_set_it".to_owned(),
        serde_json::json!((hot.share * 100.0).round() / 100.0),
    );
    Finding {
        rule: RULE.id,
        severity: if index.usage.n_scans > 0 {
            Severity::Warning
        } else {
            Severity::Info
        },
        confidence: Confidence::Medium,
        subject: Subject {
            relation: Some(relation.name.clone()),
            columns: keys_in_words(&index.def),
            index: Some(index.full_name()),
            ..Subject::default()
        },
        message: format!(
            "index {} of {} holds {columns}, which updates set and nothing searches by: {:.0} % of {} updates were HOT, the others wrote into all {} indexes",
            index.def.name,
            relation.name,
            hot_share * 100.0,
            usage.n_updates,
            relation.indexes.len()
        ),
        impact: Impact {
            source: ImpactSource::Catalog,
            window_s: catalog.server.stats_window.seconds(),
            ..Impact::default()
        },
        evidence: Evidence::Index(IndexEvidence {
            size_bytes: index.size_bytes,
            facts,
            ..IndexEvidence::default()
        }),
        locations: Vec::new(),
        remedy: remedy(catalog, relation, hot),
    }
}

fn remedy(catalog: &Catalog, relation: &Relation, hot: &Hot<'_>) -> Remedy {
    let index = hot.index;
    let narrow = narrower(catalog, &index.def, &hot.columns);
    let mut drop = IndexChange::drop(index.def.clone(), index.full_definition.clone());
    drop.size_bytes = Some(index.size_bytes);
    let drop_sql = format!(
        "DROP INDEX CONCURRENTLY {};",
        index.def.qualified_name_sql()
    );
    let others = || {
        relation
            .indexes
            .iter()
            .filter(|other| other.valid && other.def.name != index.def.name)
    };
    let hint = "old versions go with the next VACUUM; a fillfactor below 100 leaves room for HOT updates in each page";
    if others().any(|other| other.def.covers(&narrow)) {
        return Remedy {
            kind: RemedyKind::DropIndex,
            sql: Some(drop_sql),
            hint: format!("what is left of it another index does; {hint}"),
            changes: vec![drop],
            ..Remedy::default()
        };
    }
    Remedy {
        kind: RemedyKind::ReplaceIndex,
        sql: Some(format!(
            "{};\n{drop_sql}",
            narrow.create_sql(Build::Concurrently)
        )),
        hint: hint.to_owned(),
        changes: vec![IndexChange::create(narrow), drop],
        ..Remedy::default()
    }
}
