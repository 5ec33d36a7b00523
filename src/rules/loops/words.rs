//! The line to change, in each client's own words.

use super::client::Client;
use crate::workload::singular;

/// How the child hangs on its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relationship {
    /// One row by its own key.
    BelongsTo,
    /// Rows by a key of another relation.
    HasMany,
    /// The first few rows of each parent.
    FewOfMany,
    /// Rows through a join table.
    ManyToMany,
    /// How many rows.
    Count,
    /// Whether there are rows.
    Exists,
    /// New rows.
    Insert,
    /// Changed rows.
    Update,
    /// Rows that go.
    Delete,
}

/// The names that the words need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The parent's model, `Book`.
    pub(super) parent: Option<String>,
    /// The child's model, `Author`.
    pub(super) child: String,
    /// The relation from the parent to the child, `author` or `reviews`.
    pub(super) relation: String,
    /// The column that holds the key, `author_id`.
    pub(super) key: String,
}

impl Names {
    /// The parent's model, or a stand-in.
    fn parent(&self) -> &str {
        self.parent.as_deref().unwrap_or("Parent")
    }

    /// `jobSkills`, for clients that write so.
    fn camel(&self) -> String {
        let pascal = pascal(&self.relation);
        let mut chars = pascal.chars();
        match chars.next() {
            Some(first) => first.to_lowercase().chain(chars).collect(),
            None => pascal,
        }
    }

    fn pascal(&self) -> String {
        pascal(&self.relation)
    }
}

/// The part of a table's name that is its model's: Django names tables after app and model, `shop_author` for `Author` of the app `shop`, unless told
/// otherwise (Django documentation, Options.db_table).
pub(super) fn model_table(client: Option<Client>, table: &str) -> &str {
    match (client, table.split_once('_')) {
        (Some(Client::Django), Some((app, model))) if !app.is_empty() && !model.is_empty() => model,
        _ => table,
    }
}

/// `JobSkill` for `job_skill`.
pub(super) fn pascal(name: &str) -> String {
    name.split(['_', '-', ' '])
        .filter(|part| !part.is_empty())
        .map(|part| {
            let mut chars = part.chars();
            let first = chars.next().map(char::to_uppercase).into_iter().flatten();
            first.chain(chars).collect::<String>()
        })
        .collect()
}

/// One of them: `job_skill` for `job_skills`, `BlogPost` for `BlogPosts`.
pub(super) fn one(name: &str) -> String {
    let at = name.rfind('_').map_or(0, |at| at + 1);
    let (head, last) = name.split_at(at);
    let single = singular(last);
    match last.get(..single.len()) {
        Some(own) if own.eq_ignore_ascii_case(&single) => format!("{head}{own}"),
        _ => format!("{head}{single}"),
    }
}

/// What to write with that client; `None` where there is no one line for it. Calls and options as each documents them (2026).
pub(super) fn line(client: Client, relationship: Relationship, names: &Names) -> Option<String> {
    let by_language = [ruby, python, javascript, elsewhere];
    by_language
        .iter()
        .find_map(|line| line(client, relationship, names))
}

/// See [`line`].
fn python(client: Client, relationship: Relationship, names: &Names) -> Option<String> {
    use Relationship::{
        BelongsTo, Count, Delete, Exists, FewOfMany, HasMany, Insert, ManyToMany, Update,
    };
    let (parent, child, relation, key) =
        (names.parent(), &names.child, &names.relation, &names.key);
    let line = match (client, relationship) {
        (Client::Django, BelongsTo) => format!("{parent}.objects.select_related(\"{relation}\")"),
        (Client::Django, HasMany) => format!(
            "{parent}.objects.prefetch_related(\"{relation}\") (the related_name; {}_set without one)",
            child.to_lowercase()
        ),
        (Client::Django, ManyToMany) => {
            format!("{parent}.objects.prefetch_related(\"{relation}\")")
        }
        (Client::Django, FewOfMany) => format!(
            "prefetch_related(Prefetch(\"{relation}\", queryset={child}.objects.order_by(…)[:k])) (Django 4.2 and later)"
        ),
        (Client::Django, Count) => format!("{parent}.objects.annotate(n=Count(\"{relation}\"))"),
        (Client::Django, Exists) => format!(
            "{parent}.objects.annotate(has=Exists({child}.objects.filter({key}=OuterRef(\"pk\"))))"
        ),
        (Client::Django, Insert) => format!("{child}.objects.bulk_create(rows, batch_size=1000)"),
        (Client::Django, Update) => format!(
            "{child}.objects.filter(pk__in=ids).update(…), or bulk_update(rows, [fields], batch_size=1000) where the values differ"
        ),
        (Client::Django, Delete) => format!("{child}.objects.filter(pk__in=ids).delete()"),
        (Client::SqlAlchemy, BelongsTo) => format!(
            "select({parent}).options(joinedload({parent}.{relation})) (lazy=\"raise\" finds the others)"
        ),
        (Client::SqlAlchemy, HasMany | ManyToMany) => format!(
            "select({parent}).options(selectinload({parent}.{relation})) (lazy=\"raise\" finds the others)"
        ),
        (Client::SqlAlchemy, FewOfMany) => format!(
            "a lateral subquery: select({child}).where(…).order_by(…).limit(k).lateral(), joined to {parent}"
        ),
        (Client::SqlAlchemy, Count) => format!(
            "select({child}.{key}, func.count()).where({child}.{key}.in_(ids)).group_by({child}.{key})"
        ),
        (Client::SqlAlchemy, Exists) => {
            format!("select({child}.{key}).where({child}.{key}.in_(ids)).distinct()")
        }
        (Client::SqlAlchemy, Insert) => {
            format!("session.execute(insert({child}), rows), or add_all(rows) and one flush()")
        }
        (Client::SqlAlchemy, Update) => format!(
            "update({child}).where({child}.{key}.in_(ids)), or session.execute(update({child}), rows) where the values differ"
        ),
        (Client::SqlAlchemy, Delete) => format!("delete({child}).where({child}.{key}.in_(ids))"),
        (Client::Peewee, BelongsTo) => format!("{parent}.select({parent}, {child}).join({child})"),
        (Client::Peewee, HasMany | ManyToMany) => {
            format!("prefetch({parent}.select(), {child}.select())")
        }
        (Client::Peewee, Count) => format!(
            "{child}.select({child}.{key}, fn.COUNT({child}.id)).where({child}.{key}.in_(ids)).group_by({child}.{key})"
        ),
        (Client::Peewee, Exists) => {
            format!("{child}.select({child}.{key}).where({child}.{key}.in_(ids)).distinct()")
        }
        (Client::Peewee, Insert) => format!("{child}.insert_many(rows).execute()"),
        (Client::Peewee, Update) => format!(
            "{child}.update(…).where({child}.{key}.in_(ids)), or bulk_update where the values differ"
        ),
        (Client::Peewee, Delete) => format!("{child}.delete().where({child}.{key}.in_(ids))"),
        (Client::Pony, BelongsTo | HasMany | ManyToMany) => {
            format!("select(…).prefetch({parent}.{relation})")
        }
        (Client::Pony, Count) => {
            format!("select((c.{key}, count()) for c in {child} if c.{key} in ids)")
        }
        (Client::Tortoise, BelongsTo) => format!("{parent}.all().select_related(\"{relation}\")"),
        (Client::Tortoise, HasMany | ManyToMany) => {
            format!("{parent}.all().prefetch_related(\"{relation}\")")
        }
        (Client::Tortoise, Count) => format!("{parent}.annotate(n=Count(\"{relation}\"))"),
        (Client::Tortoise, Exists) => {
            format!("{child}.filter({key}__in=ids).distinct().values_list(\"{key}\")")
        }
        (Client::Tortoise, Insert) => format!("{child}.bulk_create(rows)"),
        (Client::Tortoise, Update) => format!(
            "{child}.filter({key}__in=ids).update(…), or bulk_update where the values differ"
        ),
        (Client::Tortoise, Delete) => format!("{child}.filter({key}__in=ids).delete()"),
        _ => return None,
    };
    Some(line)
}

/// See [`line`].
fn javascript(client: Client, relationship: Relationship, names: &Names) -> Option<String> {
    use Relationship::{
        BelongsTo, Count, Delete, Exists, FewOfMany, HasMany, Insert, ManyToMany, Update,
    };
    let (parent, child, key, camel) = (names.parent(), &names.child, &names.key, names.camel());
    let line = match (client, relationship) {
        (Client::Drizzle, BelongsTo | HasMany | ManyToMany) => {
            format!("db.query.….findMany({{ with: {{ {camel}: true }} }})")
        }
        (Client::Drizzle, FewOfMany) => {
            format!("db.query.….findMany({{ with: {{ {camel}: {{ limit: k, orderBy: … }} }} }})")
        }
        (Client::Drizzle, Count) => format!(
            "db.select({{ key, n: count() }}).from(…).where(inArray({key}, ids)).groupBy({key})"
        ),
        (Client::Drizzle, Exists) => {
            format!("db.selectDistinct({{ {key} }}).from(…).where(inArray({key}, ids))")
        }
        (Client::Drizzle, Insert) => "db.insert(…).values(rows), with an array".to_owned(),
        (Client::Drizzle, Update) => format!(
            "db.update(…).set(…).where(inArray({key}, ids)); where the values differ the statement below by db.execute(sql`…`)"
        ),
        (Client::Drizzle, Delete) => format!("db.delete(…).where(inArray({key}, ids))"),
        (Client::Objection, BelongsTo | HasMany | ManyToMany) => {
            format!("{parent}.query().withGraphFetched('{camel}')")
        }
        (Client::Objection, Count) => format!(
            "{child}.query().whereIn('{key}', ids).groupBy('{key}').select('{key}').count()"
        ),
        (Client::Objection, Insert) => format!("{child}.query().insert(rows), with an array"),
        (Client::Objection, Update) => format!("{child}.query().whereIn('{key}', ids).patch(…)"),
        (Client::Objection, Delete) => format!("{child}.query().whereIn('{key}', ids).delete()"),
        (Client::Prisma, BelongsTo | HasMany | ManyToMany) => format!(
            "include: {{ {camel}: true }}; findUnique calls in one tick are put together by themselves"
        ),
        (Client::Prisma, FewOfMany) => format!("include: {{ {camel}: {{ take: k, orderBy: … }} }}"),
        (Client::Prisma, Count) => {
            format!("include: {{ _count: {{ select: {{ {camel}: true }} }} }}")
        }
        (Client::Prisma, Exists) => {
            format!("findMany({{ where: {{ {key}: {{ in: ids }} }}, distinct: ['{key}'] }})")
        }
        (Client::Prisma, Insert) => "createMany({ data: rows }), or createManyAndReturn".to_owned(),
        (Client::Prisma, Update) => {
            format!("updateMany({{ where: {{ {key}: {{ in: ids }} }}, data: … }})")
        }
        (Client::Prisma, Delete) => format!("deleteMany({{ where: {{ {key}: {{ in: ids }} }} }})"),
        (Client::Sequelize, BelongsTo) => format!("{parent}.findAll({{ include: {child} }})"),
        (Client::Sequelize, HasMany) => {
            format!("{parent}.findAll({{ include: {{ model: {child}, separate: true }} }})")
        }
        (Client::Sequelize, FewOfMany) => format!(
            "{parent}.findAll({{ include: {{ model: {child}, separate: true, limit: k, order: … }} }})"
        ),
        (Client::Sequelize, ManyToMany) => format!(
            "{parent}.findAll({{ include: {child} }}) (one collection only: two multiply their rows)"
        ),
        (Client::Sequelize, Count) => {
            format!("{child}.count({{ where: {{ {key}: ids }}, group: ['{key}'] }})")
        }
        (Client::Sequelize, Exists) => format!(
            "{child}.findAll({{ where: {{ {key}: ids }}, attributes: ['{key}'], group: ['{key}'] }})"
        ),
        (Client::Sequelize, Insert) => format!("{child}.bulkCreate(rows)"),
        (Client::Sequelize, Update) => format!(
            "{child}.update(…, {{ where: {{ {key}: ids }} }}), or bulkCreate(rows, {{ updateOnDuplicate: […] }}) where the values differ"
        ),
        (Client::Sequelize, Delete) => format!("{child}.destroy({{ where: {{ {key}: ids }} }})"),
        (Client::TypeOrm, BelongsTo) => format!("find({{ relations: {{ {camel}: true }} }})"),
        (Client::TypeOrm, HasMany | ManyToMany) => {
            format!("find({{ relations: {{ {camel}: true }}, relationLoadStrategy: \"query\" }})")
        }
        (Client::TypeOrm, Count) => format!(
            "createQueryBuilder with loadRelationCountAndMap, or select {key}, COUNT(*) with groupBy"
        ),
        (Client::TypeOrm, Exists) => format!("find({{ where: {{ {key}: In(ids) }}, select: … }})"),
        (Client::TypeOrm, Insert) => {
            "repository.insert(rows) with an array (save() sends a row at a time)".to_owned()
        }
        (Client::TypeOrm, Update) => format!("repository.update({{ {key}: In(ids) }}, …)"),
        (Client::TypeOrm, Delete) => format!("repository.delete({{ {key}: In(ids) }})"),
        _ => return None,
    };
    Some(line)
}

/// See [`line`].
fn ruby(client: Client, relationship: Relationship, names: &Names) -> Option<String> {
    use Relationship::{
        BelongsTo, Count, Delete, Exists, FewOfMany, HasMany, Insert, ManyToMany, Update,
    };
    let (parent, child, relation, key) =
        (names.parent(), &names.child, &names.relation, &names.key);
    let line = match (client, relationship) {
        (Client::ActiveRecord, BelongsTo | HasMany | ManyToMany) => {
            format!("{parent}.includes(:{relation}) (strict_loading finds the others)")
        }
        (Client::ActiveRecord, FewOfMany) => format!(
            "one query with the statement below ({child}.find_by_sql), then group_by(&:{key}); includes would load all rows"
        ),
        (Client::ActiveRecord, Count) => {
            format!("{child}.where({key}: ids).group(:{key}).count, or a counter_cache column")
        }
        (Client::ActiveRecord, Exists) => {
            format!("{child}.where({key}: ids).distinct.pluck(:{key})")
        }
        (Client::ActiveRecord, Insert) => {
            format!("{child}.insert_all(rows) (no callbacks, no validations)")
        }
        (Client::ActiveRecord, Update) => format!(
            "{child}.where({key}: ids).update_all(…), or upsert_all where the values differ (no callbacks)"
        ),
        (Client::ActiveRecord, Delete) => {
            format!("{child}.where({key}: ids).delete_all (no callbacks)")
        }
        (Client::Sequel, BelongsTo | HasMany | ManyToMany) => {
            format!("{parent}.eager(:{relation}).all")
        }
        (Client::Sequel, FewOfMany) => {
            format!("eager(:{relation}) with eager_limit_strategy on the association")
        }
        (Client::Sequel, Count) => format!("{child}.where({key}: ids).group_and_count(:{key})"),
        (Client::Sequel, Exists) => {
            format!("{child}.where({key}: ids).distinct.select_map(:{key})")
        }
        (Client::Sequel, Insert) => format!("{child}.multi_insert(rows)"),
        (Client::Sequel, Update) => format!("{child}.where({key}: ids).update(…)"),
        (Client::Sequel, Delete) => format!("{child}.where({key}: ids).delete"),
        _ => return None,
    };
    Some(line)
}

/// See [`line`].
fn elsewhere(client: Client, relationship: Relationship, names: &Names) -> Option<String> {
    use Relationship::{
        BelongsTo, Count, Delete, Exists, FewOfMany, HasMany, Insert, ManyToMany, Update,
    };
    let (parent, child, relation, key, camel, pascal) = (
        names.parent(),
        &names.child,
        &names.relation,
        &names.key,
        names.camel(),
        names.pascal(),
    );
    let line = match (client, relationship) {
        (Client::Doctrine, BelongsTo | HasMany | ManyToMany) => format!("join and addSelect \"{camel}\" in the query, or fetch=\"EAGER\" with setFetchMode"),
        (Client::Doctrine, Insert) => "persist all, then one flush(); or DBAL with several rows of VALUES".to_owned(),
        (Client::Doctrine, Update | Delete) => format!("one DQL UPDATE or DELETE with WHERE … {key} IN (:ids)"),
        (Client::Ecto, BelongsTo | HasMany | ManyToMany) => format!("Repo.preload(rows, :{relation}), or preload: [:{relation}] in the query"),
        (Client::Ecto, FewOfMany) => "a lateral join in the query: inner_lateral_join with a subquery that has the limit".to_owned(),
        (Client::Ecto, Count) => format!("from c in {child}, where: c.{key} in ^ids, group_by: c.{key}, select: {{c.{key}, count(c.id)}}"),
        (Client::Ecto, Exists) => format!("from c in {child}, where: c.{key} in ^ids, distinct: true, select: c.{key}"),
        (Client::Ecto, Insert) => format!("Repo.insert_all({child}, rows)"),
        (Client::Ecto, Update) => format!("Repo.update_all(from(c in {child}, where: c.{key} in ^ids), set: […])"),
        (Client::Ecto, Delete) => format!("Repo.delete_all(from c in {child}, where: c.{key} in ^ids)"),
        (Client::Eloquent, BelongsTo | HasMany | ManyToMany) => format!("{parent}::with('{camel}')->get() (Model::preventLazyLoading() finds the others)"),
        (Client::Eloquent, FewOfMany) => format!("{parent}::with(['{camel}' => fn ($q) => $q->orderBy(…)->limit(k)]) (Laravel 11 and later)"),
        (Client::Eloquent, Count) => format!("{parent}::withCount('{camel}')"),
        (Client::Eloquent, Exists) => format!("{parent}::withExists('{camel}')"),
        (Client::Eloquent, Insert) => format!("{child}::insert($rows) (no events)"),
        (Client::Eloquent, Update) => format!("{child}::whereIn('{key}', $ids)->update([…]), or upsert($rows, …) where the values differ (no events)"),
        (Client::Eloquent, Delete) => format!("{child}::whereIn('{key}', $ids)->delete() (no events)"),
        (Client::EntityFramework, BelongsTo | HasMany | ManyToMany) => format!("Include(x => x.{pascal}); AsSplitQuery() where two collections are included"),
        (Client::EntityFramework, FewOfMany) => format!("Include(x => x.{pascal}.OrderBy(…).Take(k))"),
        (Client::EntityFramework, Count) => format!("Select(x => new {{ x, N = x.{pascal}.Count() }})"),
        (Client::EntityFramework, Exists) => format!("Select(x => new {{ x, Has = x.{pascal}.Any() }})"),
        (Client::EntityFramework, Insert) => "AddRange(rows) and one SaveChangesAsync()".to_owned(),
        (Client::EntityFramework, Update) => "Where(x => ids.Contains(x.Id)).ExecuteUpdateAsync(…)".to_owned(),
        (Client::EntityFramework, Delete) => "Where(x => ids.Contains(x.Id)).ExecuteDeleteAsync()".to_owned(),
        (Client::Gorm, BelongsTo | HasMany | ManyToMany) => format!("db.Preload(\"{pascal}\").Find(&rows)"),
        (Client::Gorm, Count) => format!("db.Model(&{child}{{}}).Select(\"{key}, count(*)\").Where(\"{key} IN ?\", ids).Group(\"{key}\")"),
        (Client::Gorm, Exists) => format!("db.Model(&{child}{{}}).Where(\"{key} IN ?\", ids).Distinct(\"{key}\")"),
        (Client::Gorm, Insert) => "db.CreateInBatches(&rows, 1000)".to_owned(),
        (Client::Gorm, Update) => format!("db.Model(&{child}{{}}).Where(\"{key} IN ?\", ids).Updates(…)"),
        (Client::Gorm, Delete) => format!("db.Where(\"{key} IN ?\", ids).Delete(&{child}{{}})"),
        (Client::Hibernate, BelongsTo) => format!("join fetch p.{camel} in the query, or @EntityGraph(attributePaths = \"{camel}\")"),
        (Client::Hibernate, HasMany | ManyToMany) => {
            format!("@BatchSize(size = 100) on {camel} or hibernate.default_batch_fetch_size; join fetch only for one collection and never under a LIMIT")
        }
        (Client::Hibernate, Count) => format!("select c.{key}, count(c) from {child} c where c.{key} in :ids group by c.{key}"),
        (Client::Hibernate, Exists) => format!("select distinct c.{key} from {child} c where c.{key} in :ids"),
        (Client::Hibernate, Insert) => "hibernate.jdbc.batch_size=50 and order_inserts=true, ids from a sequence with allocationSize, and reWriteBatchedInserts=true in the JDBC URL".to_owned(),
        (Client::Hibernate, Update | Delete) => format!("one query: update or delete … where {key} in :ids; or hibernate.jdbc.batch_size=50 and order_updates=true"),
        _ => return None,
    };
    Some(line)
}

/// How to have each statement say where it comes from, with that client.
pub(super) fn tags(client: Client) -> Option<&'static str> {
    Some(match client {
        Client::ActiveRecord => {
            "config.active_record.query_log_tags_enabled = true, with query_log_tags = [:controller, :action, :job, :source_location]"
        }
        Client::Django => "the middleware of django-sqlcommenter (google-cloud-sqlcommenter)",
        Client::SqlAlchemy => {
            "SQLAlchemyInstrumentor().instrument(engine=…, enable_commenter=True) of opentelemetry-instrumentation-sqlalchemy"
        }
        Client::Peewee | Client::Tortoise | Client::Pony => {
            "enable_commenter=True of the driver's OpenTelemetry instrumentation"
        }
        Client::Sequel => "DB.extension :sql_comments",
        Client::Prisma => {
            "the comments option of PrismaClient with @prisma/sqlcommenter-query-tags (Prisma 7)"
        }
        Client::Sequelize => "wrapSequelize of @google-cloud/sqlcommenter-sequelize",
        Client::Objection => "wrapMainKnex of @google-cloud/sqlcommenter-knex",
        Client::Hibernate => {
            "hibernate.session_factory.statement_inspector = SCHibernate of sqlcommenter-hibernate"
        }
        Client::Ecto => "the :comment option of Repo calls",
        Client::EntityFramework => "TagWithCallSite()",
        Client::Eloquent => "spatie/laravel-sql-commenter",
        Client::TypeOrm => "comment(…) of the query builder",
        Client::Gorm | Client::Drizzle | Client::Doctrine => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            parent: Some("Book".to_owned()),
            child: "BookReview".to_owned(),
            relation: "book_reviews".to_owned(),
            key: "book_id".to_owned(),
        }
    }

    #[test]
    fn one_of_many() {
        for (many, single) in [
            ("job_skills", "job_skill"),
            ("companies", "company"),
            ("BlogPosts", "BlogPost"),
            ("Author", "Author"),
            ("", ""),
        ] {
            assert_eq!(one(many), single);
        }
    }

    #[test]
    fn a_table_of_django_bears_its_apps_name() {
        assert_eq!(model_table(Some(Client::Django), "shop_author"), "author");
        assert_eq!(model_table(Some(Client::Django), "author"), "author");
        assert_eq!(
            model_table(Some(Client::ActiveRecord), "job_skills"),
            "job_skills"
        );
        assert_eq!(model_table(None, "job_skills"), "job_skills");
    }

    #[test]
    fn names_are_spelled_as_each_client_does() {
        for (client, relationship, expected) in [
            (
                Client::Django,
                Relationship::BelongsTo,
                "Book.objects.select_related(\"book_reviews\")",
            ),
            (
                Client::Prisma,
                Relationship::FewOfMany,
                "include: { bookReviews: { take: k, orderBy: … } }",
            ),
            (
                Client::Gorm,
                Relationship::HasMany,
                "db.Preload(\"BookReviews\").Find(&rows)",
            ),
            (
                Client::Eloquent,
                Relationship::Count,
                "Book::withCount('bookReviews')",
            ),
        ] {
            assert_eq!(
                line(client, relationship, &names()).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn every_orm_has_words_for_its_relations_and_its_writes() {
        for client in Client::ALL {
            for relationship in [
                Relationship::BelongsTo,
                Relationship::HasMany,
                Relationship::ManyToMany,
                Relationship::Count,
            ] {
                let said = line(*client, relationship, &names());
                assert!(
                    said.is_some() || *client == Client::Doctrine,
                    "{client:?} {relationship:?}"
                );
            }
        }
    }
}
