//! What to change, in words: the client's own where it was recognised, and what an honest expert would add to the batch.

use super::{
    Loop,
    batch::Rewrite,
    client::Client,
    subject,
    words::{self, Names, Relationship},
};
use crate::{
    catalog::{Catalog, RelationName},
    finding::ParentFacts,
    rules::Audit,
    sql::{
        Fingerprint,
        rewrite::{Form, MAX_KEYS},
        shape::ScanRole,
    },
    workload::{is_own_key, refers_to},
};

/// Tags that say where in the code a statement was sent.
const PLACES: [&str; 9] = [
    "action",
    "application",
    "controller",
    "file",
    "job",
    "route",
    "source_location",
    "traceparent",
    "view",
];

/// What the hint is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) audit: &'a Audit<'a>,
    pub(super) found: &'a Loop<'a>,
    pub(super) client: Option<Client>,
    pub(super) relation: Option<&'a RelationName>,
    pub(super) columns: &'a [String],
    pub(super) parent: Option<&'a ParentFacts>,
    pub(super) rewrite: &'a Rewrite,
    /// Tags of its statements by name.
    pub(super) tags: &'a std::collections::BTreeMap<String, String>,
}

/// The hint for one loop.
pub(super) fn hint(about: About<'_>) -> String {
    let relationship = relationship(&about);
    let names = names(&about, relationship);
    let own = about.client.and_then(|client| {
        Some(format!(
            "{}: {}",
            client.name(),
            words::line(client, relationship, &names)?
        ))
    });
    let mut sentences: Vec<String> = Vec::new();
    match own {
        Some(own) => {
            sentences.push(own);
            sentences.push(format!("in SQL: {}", general(relationship)));
        }
        None => sentences.push(general(relationship).to_owned()),
    }
    match &about.rewrite.batch {
        Ok(batch) => {
            sentences.push(format!("at most {MAX_KEYS} keys at a time"));
            sentences.extend(with_it(relationship, batch.form).map(str::to_owned));
            sentences.extend(batch.notes.iter().map(|note| (*note).to_owned()));
        }
        Err(refusal) => sentences.push(format!("no SQL is given: {refusal}")),
    }
    if !about
        .tags
        .keys()
        .any(|name| PLACES.contains(&name.as_str()))
        && let Some(tags) = about.client.and_then(words::tags)
    {
        sentences.push(format!("to see where in the code it is sent: {tags}"));
    }
    sentences.join("; ")
}

fn relationship(about: &About<'_>) -> Relationship {
    let shape = about.found.child.shape.as_deref();
    let joined =
        shape.is_some_and(|shape| shape.scans.iter().filter(|scan| scan.scope == 0).count() > 1);
    let cut = shape.is_some_and(|shape| shape.limit.is_some());
    let relation = about
        .relation
        .map(|relation| relation.name.as_str())
        .unwrap_or_default();
    let lateral = about
        .rewrite
        .batch
        .as_ref()
        .is_ok_and(|batch| batch.form == Form::Lateral);
    match subject::statement_kind(about.found.child) {
        "insert" => Relationship::Insert,
        "update" => Relationship::Update,
        "delete" => Relationship::Delete,
        "count" => Relationship::Count,
        "exists" => Relationship::Exists,
        _ if about
            .columns
            .iter()
            .any(|column| is_own_key(column, relation)) =>
        {
            Relationship::BelongsTo
        }
        _ if joined => Relationship::ManyToMany,
        _ if cut && lateral => Relationship::FewOfMany,
        _ => Relationship::HasMany,
    }
}

/// The names of models and of the relation between them.
fn names(about: &About<'_>, relationship: Relationship) -> Names {
    let relation = about
        .relation
        .map_or("the relation", |relation| relation.name.as_str());
    let parent = about.parent.and_then(|parent| parent.relation.as_deref());
    let parent = parent.map(|name| name.rsplit('.').next().unwrap_or(name).to_owned());
    let of_parent = match relationship {
        Relationship::BelongsTo => {
            foreign_key(about, relation).map(|column| relation_of_key(&column))
        }
        _ => None,
    };
    let one = relationship == Relationship::BelongsTo;
    let relation = words::model_table(about.client, relation);
    Names {
        parent: parent
            .as_deref()
            .map(|name| words::model_table(about.client, name))
            .map(|name| words::pascal(&words::one(name))),
        child: words::pascal(&words::one(relation)),
        relation: of_parent.unwrap_or_else(|| {
            if one {
                words::one(relation)
            } else {
                relation.to_owned()
            }
        }),
        key: about
            .columns
            .first()
            .cloned()
            .unwrap_or_else(|| "id".to_owned()),
    }
}

/// `author` for `author_id`, `author` for `authorId`.
fn relation_of_key(column: &str) -> String {
    let stem = column
        .strip_suffix("_id")
        .or_else(|| column.strip_suffix("Id"));
    stem.filter(|stem| !stem.is_empty())
        .unwrap_or(column)
        .to_owned()
}

/// The parent's column that refers to the child: by foreign key, else by name. `None` when several do.
fn foreign_key(about: &About<'_>, child: &str) -> Option<String> {
    let parent = about.parent?;
    let by_catalog = about
        .audit
        .snapshot
        .catalog
        .as_ref()
        .and_then(|catalog| by_catalog(catalog, parent, about.relation?));
    by_catalog.or_else(|| by_name(about, parent.fingerprint, child))
}

fn by_catalog(catalog: &Catalog, parent: &ParentFacts, child: &RelationName) -> Option<String> {
    let (schema, name) = parent.relation.as_deref()?.split_once('.')?;
    let relation = catalog.resolve(Some(schema), name)?;
    let mut keys = relation
        .foreign_keys
        .iter()
        .filter(|key| key.references == *child);
    let only = keys.next().filter(|_| keys.next().is_none())?;
    only.columns.first().cloned()
}

fn by_name(about: &About<'_>, parent: Fingerprint, child: &str) -> Option<String> {
    let query = about.audit.snapshot.workload.query(parent)?;
    let shape = query.shape.as_deref()?;
    let read = shape
        .scans
        .iter()
        .filter(|scan| scan.role == ScanRole::Read);
    let mut columns = read
        .flat_map(|scan| &scan.columns)
        .filter(|column| refers_to(column, child));
    let only = columns.next()?;
    columns.all(|other| other == only).then(|| only.clone())
}

/// What to do in any language.
fn general(relationship: Relationship) -> &'static str {
    match relationship {
        Relationship::BelongsTo | Relationship::HasMany | Relationship::ManyToMany => {
            "load the rows of all keys with one query, then put each to its parent (a DataLoader does both)"
        }
        Relationship::FewOfMany => "ask for the first rows of all parents with one query",
        Relationship::Count => {
            "count for all keys with one GROUP BY; a key that is absent has none"
        }
        Relationship::Exists => {
            "ask for all keys at once which of them have rows, or put EXISTS into the parent's query"
        }
        Relationship::Insert => "insert all rows with one statement, or with COPY above 1,000 rows",
        Relationship::Update => "update all rows with one statement",
        Relationship::Delete => "delete all rows with one statement",
    }
}

/// What an honest expert adds.
fn with_it(relationship: Relationship, form: Form) -> impl Iterator<Item = &'static str> {
    let for_reads = match relationship {
        Relationship::HasMany | Relationship::ManyToMany => Some(
            "never join two collections in one query: their rows multiply; nor fetch a collection by a join under a LIMIT",
        ),
        _ => None,
    };
    let for_form = match form {
        Form::InsertArrays | Form::InsertRows => Some("one bad row then fails all of its batch"),
        Form::UpdateSame | Form::UpdateEach | Form::Delete => Some(
            "sort the keys, so that two such statements can't deadlock (where plans may differ: lock the rows first, SELECT … ORDER BY key FOR UPDATE)",
        ),
        Form::Any | Form::Grouped | Form::Exists | Form::Lateral => None,
    };
    for_reads.into_iter().chain(for_form)
}
