//! What a loop is about: the child's relation, its key, and the link to its parent.

use crate::{
    catalog::{Catalog, RelationName},
    rules::Audit,
    sql::{
        Fingerprint, QueryShape, StatementKind,
        shape::{RelationRef, Scan, ScanRole, Target},
    },
    workload::{Link, Query, is_key, keyed_scan, link as link_by_name},
};

/// The link from the parent's rows to the child's key: by foreign key where there is a catalog, else by name.
pub(super) fn link(audit: &Audit<'_>, parent: Option<Fingerprint>, child: &Query) -> Link {
    let parent = parent.and_then(|parent| audit.snapshot.workload.query(parent));
    let (Some(parent), Some(child)) = (parent.and_then(|p| p.shape.as_deref()), &child.shape)
    else {
        return Link::None;
    };
    let by_name = link_by_name(parent, child);
    let by_key = audit
        .snapshot
        .catalog
        .as_ref()
        .is_some_and(|catalog| foreign_key_links(catalog, parent, child));
    if by_key { Link::ForeignKey } else { by_name }
}

/// Does a foreign key join the child's key with a relation that the parent reads, in either direction?
fn foreign_key_links(catalog: &Catalog, parent: &QueryShape, child: &QueryShape) -> bool {
    let (relation, columns) = key(child, u64::MAX);
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

/// The relation that holds the repeated key and the key's columns: those of `varying`, a bit set of placeholders.
pub(super) fn key(shape: &QueryShape, varying: u64) -> (Option<&RelationRef>, Vec<String>) {
    if shape.kind == StatementKind::Insert {
        return (written(shape), Vec::new());
    }
    let varies = |scan: &Scan| !columns(scan, varying).is_empty();
    match shape.scans.iter().find(|scan| varies(scan)) {
        Some(scan) => (Some(&scan.relation), columns(scan, varying)),
        None => (
            keyed_scan(shape)
                .or_else(|| shape.scans.first())
                .map(|scan| &scan.relation),
            Vec::new(),
        ),
    }
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
pub(super) fn full_name(audit: &Audit<'_>, relation: &RelationRef) -> RelationName {
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
