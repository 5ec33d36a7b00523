//! What a loop is about: the child's relation, its key, and the link to its parent.

use crate::{
    catalog::{Catalog, RelationName},
    rules::Audit,
    sql::{
        Fingerprint, QueryShape, StatementKind,
        shape::{Comparison, Operand, RelationRef, Scan, ScanRole, Target},
    },
    workload::{Link, Query, is_key, keyed_scan, link as link_by_name, refers_to},
};

/// The link from the parent's rows to the child's key: by foreign key where there is a catalog, else by name.
pub(in crate::rules) fn link(
    audit: &Audit<'_>,
    parent: Option<Fingerprint>,
    child: &Query,
) -> Link {
    let parent = parent.and_then(|parent| audit.snapshot.workload.query(parent));
    let (Some(parent), Some(child)) = (parent.and_then(|p| p.shape.as_deref()), &child.shape)
    else {
        return Link::None;
    };
    let mut by_name = link_by_name(parent, child);
    if by_name == Link::Possible && star_names_key(audit, parent, child) {
        by_name = Link::ForeignKey;
    }
    let by_key = audit
        .snapshot
        .catalog
        .as_ref()
        .is_some_and(|catalog| foreign_key_links(catalog, parent, child));
    if by_key { Link::ForeignKey } else { by_name }
}

/// A parent that reads `*` shows no columns: do other queries, or the catalog, show a column of its relations that names the child's?
fn star_names_key(audit: &Audit<'_>, parent: &QueryShape, child: &QueryShape) -> bool {
    let Some(relation) = key(child, u64::MAX).relation else {
        return false;
    };
    let names = |columns: &[String]| columns.iter().any(|c| refers_to(c, &relation.name));
    parent
        .scans
        .iter()
        .filter(|scan| scan.all_columns)
        .any(|star| {
            audit
                .snapshot
                .workload
                .queries
                .iter()
                .filter_map(|query| query.shape.as_deref())
                .any(|shape| {
                    let same = |scan: &&Scan| scan.relation.name == star.relation.name;
                    let written = shape
                        .scans
                        .first()
                        .is_some_and(|s| s.role == ScanRole::InsertInto && same(&s));
                    (written && names(&shape.written_columns))
                        || shape.scans.iter().filter(same).any(|s| names(&s.columns))
                })
        })
}

/// Does a foreign key join the child's key with a relation that the parent reads, in either direction?
fn foreign_key_links(catalog: &Catalog, parent: &QueryShape, child: &QueryShape) -> bool {
    let Key { relation, columns } = key(child, u64::MAX);
    let Some(child) = relation.and_then(|r| catalog.resolve(r.schema.as_deref(), &r.name)) else {
        return false;
    };
    parent
        .scans
        .iter()
        .filter(|scan| scan.role == ScanRole::Read)
        .filter_map(|scan| catalog.resolve(scan.relation.schema.as_deref(), &scan.relation.name))
        .any(|parent| {
            let to_parent = child.foreign_keys.iter().any(|key| {
                key.references == parent.name && key.columns.iter().any(|c| columns.contains(c))
            });
            let from_parent = parent.foreign_keys.iter().any(|key| {
                key.references == child.name
                    && key.referenced_columns.iter().any(|c| columns.contains(c))
            });
            to_parent || from_parent
        })
}

/// A relation and columns of it.
#[derive(Debug, Default)]
pub(super) struct Key<'a> {
    pub(super) relation: Option<&'a RelationRef>,
    pub(super) columns: Vec<String>,
}

/// The relation that holds the repeated key and the key's columns: those of `varying`, a bit set of placeholders. No columns for an INSERT.
pub(super) fn key(shape: &QueryShape, varying: u64) -> Key<'_> {
    if shape.kind == StatementKind::Insert {
        return Key {
            relation: written(shape),
            columns: Vec::new(),
        };
    }
    let varies = |scan: &&Scan| !columns(scan, varying).is_empty();
    let scan = shape
        .scans
        .iter()
        .find(varies)
        .or_else(|| keyed_scan(shape));
    Key {
        relation: scan.or(shape.scans.first()).map(|scan| &scan.relation),
        columns: scan.map(|scan| columns(scan, varying)).unwrap_or_default(),
    }
}

/// The child: the relation whose rows are loaded, and the repeated key as a person would name it. Of a join that only leads to the
/// rows (`tags JOIN book_tags … WHERE book_tags.book_id = $1`) that is the relation behind it; a key that equals one of the child's
/// own columns by the join is named after that.
pub(super) fn child(shape: &QueryShape, varying: u64) -> Key<'_> {
    let key = key(shape, varying);
    let Some(at) = shape
        .scans
        .iter()
        .position(|scan| !columns(scan, varying).is_empty())
    else {
        return key;
    };
    let keyed = &shape.scans[at];
    let beside = |scan: &&Scan| scan.scope == keyed.scope && scan.role == ScanRole::Read;
    let loaded = match shape.scans.iter().find(beside) {
        Some(first) if !std::ptr::eq(first, keyed) => first,
        _ if only_leads(keyed, &key.columns) => shape
            .scans
            .iter()
            .filter(beside)
            .find(|scan| !std::ptr::eq(*scan, keyed))
            .unwrap_or(keyed),
        _ => keyed,
    };
    let rows = rows_of(shape, keyed);
    if std::ptr::eq(loaded, keyed) {
        return Key {
            relation: rows.or(key.relation),
            ..key
        };
    }
    let columns = key
        .columns
        .iter()
        .map(|column| joined_column(shape, loaded, at, column).unwrap_or_else(|| column.clone()))
        .collect();
    Key {
        relation: rows.or(Some(&loaded.relation)),
        columns,
    }
}

/// The relation whose rows are loaded where the key stands in a condition's subquery: `FROM labels WHERE EXISTS (… label_tasks … = $1)`.
fn rows_of<'a>(shape: &'a QueryShape, keyed: &Scan) -> Option<&'a RelationRef> {
    let loads = shape.kind == StatementKind::Select && !shape.is_exists && !shape.is_count;
    let outermost = shape
        .scans
        .iter()
        .find(|scan| scan.scope == 0 && scan.role == ScanRole::Read);
    outermost
        .filter(|_| loads && keyed.scope != 0)
        .map(|scan| &scan.relation)
}

/// Are its join and key columns all that is read of it?
fn only_leads(scan: &Scan, key: &[String]) -> bool {
    let joins: Vec<&String> = scan
        .predicates
        .iter()
        .filter(|predicate| matches!(predicate.operand, Operand::Column(_)))
        .filter_map(|predicate| match &predicate.target {
            Target::Column(name) => Some(name),
            Target::Expression(_) => None,
        })
        .collect();
    !joins.is_empty()
        && !scan.all_columns
        && scan
            .columns
            .iter()
            .all(|column| key.contains(column) || joins.contains(&column))
}

/// The column of `loaded` that a join equates with `column` of the scan at position `keyed`.
fn joined_column(shape: &QueryShape, loaded: &Scan, keyed: usize, column: &str) -> Option<String> {
    let loaded_at = shape
        .scans
        .iter()
        .position(|scan| std::ptr::eq(scan, loaded))?;
    let joined = |scan: &Scan, here: &str, other: usize| {
        scan.predicates
            .iter()
            .find_map(|p| match (&p.target, &p.operand) {
                (Target::Column(name), Operand::Column(to))
                    if p.comparison == Comparison::Equal && to.scan as usize == other =>
                {
                    Some((name.clone(), to.column.clone()))
                        .filter(|(a, b)| here.is_empty() || a == here || b == here)
                }
                _ => None,
            })
    };
    joined(&shape.scans[keyed], column, loaded_at)
        .filter(|(own, _)| own == column)
        .map(|(_, other)| other)
        .or_else(|| {
            joined(loaded, column, keyed)
                .filter(|(_, other)| other == column)
                .map(|(own, _)| own)
        })
}

fn columns(scan: &Scan, varying: u64) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for predicate in &scan.predicates {
        let varies = is_key(predicate)
            .and_then(|n| n.checked_sub(1))
            .is_some_and(|at| varying & (1 << at.min(63)) != 0);
        let (Target::Column(name) | Target::Expression(name)) = &predicate.target;
        if varies && !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    columns
}

fn written(shape: &QueryShape) -> Option<&RelationRef> {
    let target = shape.scans.iter().find(|s| s.role != ScanRole::Read)?;
    Some(&target.relation)
}

/// The relation's full name: from the catalog, else as written, in `public` where no schema was.
pub(in crate::rules) fn full_name(audit: &Audit<'_>, relation: &RelationRef) -> RelationName {
    let schema = relation.schema.as_deref();
    let found = audit
        .snapshot
        .catalog
        .as_ref()
        .and_then(|catalog| catalog.resolve(schema, &relation.name));
    match found {
        Some(known) => known.name.clone(),
        None => RelationName::new(schema.unwrap_or("public"), relation.name.clone()),
    }
}

/// `select`, `count`, `exists`, `insert`, `update` or `delete`.
pub(super) fn statement_kind(query: &Query) -> &'static str {
    match (query.kind, &query.shape) {
        (StatementKind::Insert, _) => "insert",
        (StatementKind::Update, _) => "update",
        (StatementKind::Delete, _) => "delete",
        (_, Some(shape)) if shape.is_count => "count",
        (_, Some(shape)) if shape.is_exists => "exists",
        _ => "select",
    }
}

/// The relation that a parent reads, as `schema.name`.
pub(super) fn parent_relation(audit: &Audit<'_>, parent: &Query) -> Option<String> {
    let scan = parent.shape.as_ref()?.scans.first()?;
    Some(full_name(audit, &scan.relation).to_string())
}
