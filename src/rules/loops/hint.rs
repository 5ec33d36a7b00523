//! What to change, in words: the client's own where it was recognised.

use super::{Loop, client::Client, subject};
use crate::workload::{is_own_key, singular};

/// How the child hangs on its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relationship {
    /// One row by its own key.
    BelongsTo,
    /// Rows by a key of another relation.
    HasMany,
    /// Rows through a join table.
    ManyToMany,
    Count,
    Exists,
    Insert,
    Update,
    Delete,
}

/// The hint for one loop, whose child is that relation.
pub(super) fn hint(
    found: &Loop<'_>,
    client: Option<Client>,
    relation: Option<&str>,
    columns: &[String],
) -> String {
    let relation = relation.unwrap_or("the relation");
    let relationship = relationship(found, relation, columns);
    let general = general(relationship);
    match client.and_then(|client| Some((client, line(client, relationship, relation)?))) {
        Some((client, line)) => format!("{}: {line}; or {general}", client.name()),
        None => general.to_owned(),
    }
}

fn relationship(found: &Loop<'_>, relation: &str, columns: &[String]) -> Relationship {
    let joined = found
        .child
        .shape
        .as_deref()
        .is_some_and(|shape| shape.scans.iter().filter(|scan| scan.scope == 0).count() > 1);
    match subject::statement_kind(found.child) {
        "insert" => Relationship::Insert,
        "update" => Relationship::Update,
        "delete" => Relationship::Delete,
        "count" => Relationship::Count,
        "exists" => Relationship::Exists,
        _ if columns.iter().any(|column| is_own_key(column, relation)) => Relationship::BelongsTo,
        _ if joined => Relationship::ManyToMany,
        _ => Relationship::HasMany,
    }
}

/// What to do in any language.
fn general(relationship: Relationship) -> &'static str {
    match relationship {
        Relationship::BelongsTo | Relationship::HasMany | Relationship::ManyToMany => {
            "load the rows of all keys with one query, at most 1,000 keys at a time (never join two collections: their rows multiply)"
        }
        Relationship::Count => {
            "count for all keys with one GROUP BY (a key that is absent has none)"
        }
        Relationship::Exists => {
            "ask for all keys at once which of them have rows, or put EXISTS into the parent's query"
        }
        Relationship::Insert => {
            "insert all rows with one statement (several VALUES, or COPY above 1,000 rows); one bad row then fails all of them"
        }
        Relationship::Update | Relationship::Delete => {
            "send all keys as one array, sorted, so that two such statements can't deadlock"
        }
    }
}

/// What to write with that client; `None` where there is no one line for it.
fn line(client: Client, relationship: Relationship, relation: &str) -> Option<String> {
    use Relationship::{BelongsTo, Count, Exists, HasMany, Insert, ManyToMany, Update};
    let one = singular(relation);
    let line = match (client, relationship) {
        (Client::ActiveRecord, BelongsTo) => format!("includes(:{one})"),
        (Client::ActiveRecord, HasMany | ManyToMany) => format!("preload(:{relation})"),
        (Client::ActiveRecord, Count) => {
            format!("a counter cache, or preload(:{relation}) and size")
        }
        (Client::ActiveRecord, Insert) => "insert_all".to_owned(),
        (Client::ActiveRecord, Update) => "update_all, or upsert_all".to_owned(),
        (Client::Django, BelongsTo) => format!("select_related(\"{one}\")"),
        (Client::Django | Client::Tortoise, HasMany | ManyToMany) => {
            format!("prefetch_related(\"{relation}\")")
        }
        (Client::Django, Count) => format!("annotate(Count(\"{relation}\"))"),
        (Client::Django, Exists) => "annotate(Exists(… OuterRef(\"pk\")))".to_owned(),
        (Client::Django | Client::Tortoise, Insert) => "bulk_create".to_owned(),
        (Client::Django, Update) => "bulk_update, or update on the query set".to_owned(),
        (Client::Doctrine, BelongsTo | HasMany | ManyToMany) => {
            format!("join and addSelect \"{relation}\" in the query")
        }
        (Client::Drizzle, BelongsTo) => {
            format!("db.query … findMany({{ with: {{ {one}: true }} }})")
        }
        (Client::Drizzle, HasMany | ManyToMany) => {
            format!("db.query … findMany({{ with: {{ {relation}: true }} }})")
        }
        (Client::Drizzle, Insert) => "insert(…).values([…])".to_owned(),
        (Client::Ecto, BelongsTo) => format!("Repo.preload(:{one})"),
        (Client::Ecto, HasMany | ManyToMany) => format!("Repo.preload(:{relation})"),
        (Client::Gorm, BelongsTo | HasMany | ManyToMany) => format!("Preload(\"{relation}\")"),
        (Client::Hibernate, BelongsTo) => "JOIN FETCH, or @BatchSize".to_owned(),
        (Client::Hibernate, HasMany | ManyToMany) => {
            "@BatchSize or default_batch_fetch_size (no JOIN FETCH under a LIMIT)".to_owned()
        }
        (Client::Peewee, BelongsTo) => "join and select both models".to_owned(),
        (Client::Peewee, HasMany) => "prefetch()".to_owned(),
        (Client::Prisma, BelongsTo) => format!("include: {{ {one}: true }}"),
        (Client::Prisma, HasMany | ManyToMany) => format!("include: {{ {relation}: true }}"),
        (Client::Sequel, BelongsTo) => format!("eager(:{one})"),
        (Client::Sequel, HasMany | ManyToMany) => format!("eager(:{relation})"),
        (Client::Sequelize, BelongsTo) => "include".to_owned(),
        (Client::Sequelize, HasMany | ManyToMany) => "include with separate: true".to_owned(),
        (Client::Sequelize, Insert) => "bulkCreate".to_owned(),
        (Client::SqlAlchemy, BelongsTo) => format!("joinedload(….{one})"),
        (Client::SqlAlchemy, HasMany | ManyToMany) => format!("selectinload(….{relation})"),
        (Client::Tortoise, BelongsTo) => format!("prefetch_related(\"{one}\")"),
        (Client::TypeOrm, BelongsTo) => format!("relations: {{ {one}: true }}"),
        (Client::TypeOrm, HasMany | ManyToMany) => {
            format!("relations: {{ {relation}: true }} with relationLoadStrategy: \"query\"")
        }
        _ => return None,
    };
    Some(line)
}
