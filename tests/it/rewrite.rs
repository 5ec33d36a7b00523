//! A loop and its batch give the same: generated schemas, rows, keys and statements of every shape, on a real server.

mod corpus;
mod statements;

use std::collections::BTreeMap;

use pgassay::{
    advise::rewrite::{self, Keys},
    catalog::Catalog,
    db::{Audited, AuditedOptions, OwnedSession, TextRow},
    sql::{
        normalise,
        rewrite::{Batch, Form, KeyAt, Refusal},
        shape, statement_kind,
    },
    workload::{LogStats, PlaceholderFacts, Query},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::support::{self, Database};
use statements::{BY_ID, Looped, READS, WRITES, looped, ordered};

/// Generated databases for each test; each runs every statement of its list. `PROPTEST_CASES` asks for more.
const CASES: u32 = 16;

/// How a key is stored, with the values that stand for 0, 1, 2 …
#[derive(Debug, Clone, Copy)]
enum KeyType {
    Integer,
    BigInt,
    Text,
    Varchar,
    Uuid,
    Date,
    Numeric,
}

impl KeyType {
    fn sql(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Text => "text",
            Self::Varchar => "varchar(12)",
            Self::Uuid => "uuid",
            Self::Date => "date",
            Self::Numeric => "numeric(8,2)",
        }
    }

    fn value(self, n: u8) -> String {
        match self {
            Self::Integer | Self::BigInt => format!("{n}"),
            // as the column prints it
            Self::Numeric => format!("{n}.00"),
            Self::Text | Self::Varchar => {
                ["", "NULL", "a,b", "it's", "\"q\"", "back\\", "{x}", "ä"][usize::from(n) % 8]
                    .to_owned()
                    + &n.to_string()
            }
            Self::Uuid => format!("00000000-0000-0000-0000-{n:012}"),
            Self::Date => format!("2024-02-{:02}", n + 1),
        }
    }
}

/// k, k2, v, s, b
type Row = (Option<u8>, Option<u8>, i32, Option<String>, bool);

/// One database and the keys of a loop. Keys 0–5 may have rows, 6–8 have none.
#[derive(Debug, Clone)]
struct Case {
    key: KeyType,
    rows: Vec<Row>,
    links: Vec<(u8, u8)>,
    keys: Vec<(Option<u8>, Option<u8>)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let key = prop::sample::select(vec![
        KeyType::Integer,
        KeyType::BigInt,
        KeyType::Text,
        KeyType::Varchar,
        KeyType::Uuid,
        KeyType::Date,
        KeyType::Numeric,
    ]);
    let value = || prop::option::weighted(0.9, 0..6_u8);
    let word = prop::option::of(prop::sample::select(vec![
        "x".to_owned(),
        String::new(),
        "o'k".to_owned(),
    ]));
    // few values of v: ties
    let row = (value(), value(), 0..4_i32, word, any::<bool>());
    let asked = || prop::option::weighted(0.9, 0..9_u8);
    (
        key,
        prop::collection::vec(row, 0..30),
        prop::collection::vec((0..6_u8, 1..30_u8), 0..20),
        prop::collection::vec((asked(), asked()), 0..12),
    )
        .prop_map(|(key, rows, links, keys)| Case {
            key,
            rows,
            links,
            keys,
        })
}

impl Case {
    fn schema(&self) -> String {
        let key = self.key.sql();
        let literal = |n: Option<u8>| n.map_or("NULL".to_owned(), |n| quoted(&self.key.value(n)));
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|(k, k2, v, s, b)| {
                let s = s.as_deref().map_or("NULL".to_owned(), quoted);
                format!(
                    "INSERT INTO c (k, k2, v, s, b) VALUES ({}, {}, {v}, {s}, {b});",
                    literal(*k),
                    literal(*k2)
                )
            })
            .collect();
        let links: Vec<String> = self
            .links
            .iter()
            .map(|(k, child)| format!("INSERT INTO l VALUES ({}, {child});", literal(Some(*k))))
            .collect();
        format!(
            "DROP TABLE IF EXISTS c, l CASCADE;
             CREATE TABLE c (id serial PRIMARY KEY, k {key}, k2 {key}, v int, s text DEFAULT 'd', b boolean, tags text[], u int UNIQUE);
             CREATE INDEX ON c (k);
             CREATE TABLE l (k {key}, child_id int);
             {}{} ANALYZE c; ANALYZE l;",
            rows.concat(),
            links.concat()
        )
    }

    /// The keys as text; the first, or both.
    fn texts(&self, n: usize) -> Vec<TextRow> {
        let text = |n: &Option<u8>| n.map(|n| self.key.value(n));
        self.keys
            .iter()
            .map(|(a, b)| [text(a), text(b)][..n].to_vec())
            .collect()
    }
}

fn quoted(text: &str) -> String {
    pgassay::sql::quote_literal(text)
}

fn query(looped: &Looped) -> Query {
    let normalised = normalise(looped.sql.as_bytes());
    let n = looped.keys.len() + looped.constants.len();
    let placeholders = (1..=u16::try_from(n).unwrap())
        .map(|n| {
            let constant = looped.constants.iter().find(|(number, _)| *number == n);
            PlaceholderFacts {
                n_literal: u64::from(constant.is_some()),
                n_parameter: u64::from(constant.is_none()),
                constant: constant.map(|(_, value)| (*value).to_owned()),
                n_distinct: if constant.is_some() { 1 } else { 9 },
            }
        })
        .collect();
    // literals where the application wrote them
    let sample = looped
        .constants
        .iter()
        .rev()
        .fold(looped.sql.to_owned(), |sql, (n, value)| {
            sql.replace(&format!("${n}"), value)
        });
    Query {
        fingerprint: normalised.fingerprint,
        kind: statement_kind(normalised.text.as_bytes()),
        shape: shape::parse(&normalised.text).ok().map(Box::new),
        text: normalised.text,
        sample,
        log: Some(LogStats {
            placeholders,
            ..LogStats::default()
        }),
        ..Query::default()
    }
}

fn varying(looped: &Looped, repeat: bool) -> Keys {
    Keys {
        varying: looped.keys.iter().fold(0, |bits, n| bits | 1 << (n - 1)),
        repeat,
    }
}

/// The single statement with a key's values put in.
fn single(looped: &Looped, key: &TextRow) -> String {
    let literal = |value: &Option<String>| value.as_deref().map_or("NULL".to_owned(), quoted);
    let mut values: BTreeMap<u16, String> = looped
        .constants
        .iter()
        .map(|(n, value)| (*n, (*value).to_owned()))
        .collect();
    for (n, value) in looped.keys.iter().zip(key) {
        let one = if looped.sql.contains(&format!("ANY (${n})")) {
            quoted(&array(std::slice::from_ref(value)))
        } else {
            literal(value)
        };
        values.insert(*n, one);
    }
    filled(looped.sql, &values)
}

/// The batch with all keys' values put in.
fn batched(batch: &Batch, looped: &Looped, keys: &[TextRow]) -> String {
    let values = batch
        .parameters
        .iter()
        .zip(1_u16..)
        .map(|(parameter, number)| {
            let value = match looped.keys.iter().position(|n| *n == parameter.placeholder) {
                Some(at) if parameter.is_array => {
                    let column: Vec<Option<String>> =
                        keys.iter().map(|key| key[at].clone()).collect();
                    quoted(&array(&column))
                }
                _ => {
                    let (_, value) = looped
                        .constants
                        .iter()
                        .find(|(n, _)| *n == parameter.placeholder)
                        .unwrap();
                    (*value).to_owned()
                }
            };
            (number, value)
        });
    filled(&batch.sql, &values.collect())
}

fn filled(sql: &str, values: &BTreeMap<u16, String>) -> String {
    values.iter().rev().fold(sql.to_owned(), |sql, (n, value)| {
        sql.replace(&format!("${n}"), value)
    })
}

fn array(values: &[Option<String>]) -> String {
    let elements: Vec<String> = values
        .iter()
        .map(|value| match value {
            None => "NULL".to_owned(),
            Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        })
        .collect();
    format!("{{{}}}", elements.join(","))
}

async fn catalog(database: &Database) -> Catalog {
    let audited = Audited::connect(&database.conninfo.audited(), AuditedOptions::default())
        .await
        .unwrap();
    Box::pin(audited.catalog()).await.unwrap()
}

async fn rows(session: &OwnedSession, sql: &str) -> Vec<TextRow> {
    match session.texts(sql).await {
        Ok(rows) => rows,
        Err(error) => panic!("{error}, in:\n{sql}"),
    }
}

/// Runs a loop and its batch, and compares them key by key.
async fn compare(session: &OwnedSession, looped: &Looped, batch: &Batch, keys: &[TextRow]) {
    let mut keys = keys.to_vec();
    if batch.form == Form::Lateral {
        keys.sort();
        keys.dedup();
    }
    let sql = batched(batch, looped, &keys);
    let found = rows(session, &sql).await;
    let names: Vec<String> = match session.prepared(&sql).await {
        Ok(statement) => statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect(),
        Err(error) => panic!("{error}, in:\n{sql}"),
    };
    keys.sort();
    keys.dedup();
    let mut singles = Vec::new();
    for key in keys {
        let answer = rows(session, &single(looped, &key)).await;
        singles.push((key, answer));
    }
    if let Err(difference) = batch.answer.compare(&singles, &names, &found) {
        panic!(
            "{difference}\n{}\n{sql}\nloop: {singles:?}\nbatch: {found:?}",
            looped.sql
        );
    }
    let keeps_order = looped.ordered
        && batch
            .notes
            .iter()
            .all(|note| !note.contains("no promised order"));
    if keeps_order {
        let divided = batch.answer.divide(&names, &found).unwrap();
        for (key, answer) in &singles {
            let of_key = divided.get(key).cloned().unwrap_or_default();
            assert_eq!(&of_key, answer, "order\n{}\n{sql}", looped.sql);
        }
    }
}

fn run(name: &str, test: &impl AsyncFn(&Database, &OwnedSession, &Case)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(support::database(name));
    let mut runner = TestRunner::new(Config {
        cases: support::variable("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&cases(), |case| {
        runtime.block_on(async {
            database.run(&case.schema()).await;
            let session = database.owned.session().await.unwrap();
            test(&database, &session, &case).await;
        });
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn every_read_is_the_same_as_its_loop() {
    run("reads", &async |database, session, case| {
        let catalog = catalog(database).await;
        for looped in READS {
            let keys = case.texts(looped.keys.len());
            let batch = rewrite::batch(Some(&catalog), &query(looped), varying(looped, true));
            let batch = batch.unwrap_or_else(|refusal| panic!("{refusal}: {}", looped.sql));
            compare(session, looped, &batch, &keys).await;
        }
    });
}

#[test]
fn a_read_by_primary_key_is_the_same_as_its_loop_with_and_without_a_catalog() {
    run("by_id", &async |database, session, case| {
        let catalog = catalog(database).await;
        let keys: Vec<TextRow> = case
            .keys
            .iter()
            .map(|(id, _)| vec![id.map(|id| id.to_string())])
            .collect();
        for looped in BY_ID {
            for catalog in [Some(&catalog), None] {
                let batch = rewrite::batch(catalog, &query(looped), varying(looped, true));
                let batch = batch.unwrap_or_else(|refusal| panic!("{refusal}: {}", looped.sql));
                assert_eq!(batch.form, Form::Any, "{}", batch.sql);
                compare(session, looped, &batch, &keys).await;
            }
        }
    });
}

#[test]
fn what_is_offered_without_a_catalog_is_the_same_too() {
    run("untyped", &async |_, session, case| {
        let mut n_offered = 0;
        for looped in READS {
            // values of these columns may read otherwise than the key: a catalog tells
            if matches!(case.key, KeyType::Numeric) {
                continue;
            }
            match rewrite::batch(None, &query(looped), varying(looped, true)) {
                Ok(batch) => {
                    n_offered += 1;
                    compare(session, looped, &batch, &case.texts(looped.keys.len())).await;
                }
                Err(Refusal::Types | Refusal::UnorderedLimit) => {}
                Err(other) => panic!("{other}: {}", looped.sql),
            }
        }
        assert!(
            matches!(case.key, KeyType::Numeric) || n_offered > READS.len() / 2,
            "{n_offered} offered"
        );
    });
}

/// Rows of VALUES, as many as there are keys.
fn as_rows(batch: &Batch, looped: &Looped, keys: &[TextRow]) -> String {
    let row = batch
        .sql
        .lines()
        .find(|line| line.starts_with("  ("))
        .unwrap();
    let row = row.trim().trim_end_matches(',');
    let first = batch.sql.find("\n  (").unwrap();
    let last = batch.sql.find("/* , … */").unwrap() + "/* , … */".len();
    // numbered in order of appearance
    let mut numbers: Vec<u16> = looped
        .keys
        .iter()
        .copied()
        .chain(looped.constants.iter().map(|(n, _)| *n))
        .collect();
    numbers.sort_unstable();
    let rows: Vec<String> = keys
        .iter()
        .map(|key| {
            let values = numbers.iter().zip(1_u16..).map(|(n, number)| {
                let value = match looped.keys.iter().position(|key| key == n) {
                    Some(at) => key[at].as_deref().map_or("NULL".to_owned(), quoted),
                    None => looped
                        .constants
                        .iter()
                        .find(|(number, _)| number == n)
                        .unwrap()
                        .1
                        .to_owned(),
                };
                (number, value)
            });
            filled(row, &values.collect())
        })
        .collect();
    format!(
        "{}\n{}{}",
        &batch.sql[..first],
        rows.join(",\n"),
        &batch.sql[last..]
    )
}

async fn written(session: &OwnedSession, statements: &[String]) -> Vec<TextRow> {
    session.run("BEGIN").await.unwrap();
    for sql in statements {
        rows(session, sql).await;
    }
    // ids come from a sequence that no rollback takes back
    let mut left = rows(session, "SELECT k, k2, v, s, b, tags, u FROM c").await;
    session.run("ROLLBACK").await.unwrap();
    left.sort();
    left
}

#[test]
fn every_write_leaves_the_same_rows_as_its_loop() {
    run("writes", &async |database, session, case| {
        let catalog = catalog(database).await;
        for looped in WRITES {
            let keys = case.texts(looped.keys.len());
            if keys.is_empty() {
                continue;
            }
            for catalog in [Some(&catalog), None] {
                let batch = match rewrite::batch(catalog, &query(looped), varying(looped, true)) {
                    Ok(batch) => batch,
                    Err(Refusal::Types) if catalog.is_none() => continue,
                    Err(refusal)
                        if refusal == Refusal::Accumulates && looped.sql.contains("v < $4") =>
                    {
                        continue;
                    }
                    Err(refusal) => panic!("{refusal}: {}", looped.sql),
                };
                let singles: Vec<String> = keys.iter().map(|key| single(looped, key)).collect();
                let at_once = if batch.form == Form::InsertRows {
                    as_rows(&batch, looped, &keys)
                } else {
                    batched(&batch, looped, &keys)
                };
                let (by_loop, by_batch) = (
                    written(session, &singles).await,
                    written(session, std::slice::from_ref(&at_once)).await,
                );
                assert_eq!(by_loop, by_batch, "{}\n{at_once}", looped.sql);
            }
        }
    });
}

#[test]
fn what_would_differ_is_refused() {
    let refused = |sql: &'static str, keys: &'static [u16], repeat: bool| {
        let looped = looped(sql, keys, &[]);
        match rewrite::batch(None, &query(&looped), varying(&looped, repeat)) {
            Ok(batch) => panic!("{sql} became\n{}", batch.sql),
            Err(refusal) => refusal.to_string(),
        }
    };
    for (sql, why) in [
        ("SELECT * FROM c WHERE k = $1 LIMIT $2", "without ORDER BY"),
        ("SELECT * FROM c WHERE k = $1 OFFSET $2", "without ORDER BY"),
        ("SELECT * FROM c WHERE k = $1 FOR UPDATE", "locks rows"),
        (
            "SELECT * FROM c WHERE k = $1 FOR UPDATE SKIP LOCKED",
            "locks rows",
        ),
        ("SELECT my_function(k) FROM c WHERE k = $1", "my_function()"),
        (
            "SELECT * FROM c WHERE k = $1 ORDER BY random() LIMIT $2",
            "random()",
        ),
        ("SELECT nextval($2) FROM c WHERE k = $1", "nextval()"),
        (
            "WITH gone AS (DELETE FROM c WHERE k = $1 RETURNING *) SELECT * FROM gone",
            "writes",
        ),
        (
            "INSERT INTO c (k) VALUES ($1) ON CONFLICT (k) DO UPDATE SET v = c.v + 1",
            "ON CONFLICT DO UPDATE",
        ),
        ("INSERT INTO c (k) SELECT $1", "INSERT … SELECT"),
        (
            "UPDATE c SET v = l.child_id FROM l WHERE l.k = c.k AND c.k = $1",
            "UPDATE with a join",
        ),
        (
            "SELECT * FROM c TABLESAMPLE system (10) WHERE k = $1",
            "TABLESAMPLE",
        ),
    ] {
        assert!(
            refused(sql, &[1], false).contains(why),
            "{sql}: {}",
            refused(sql, &[1], false)
        );
    }
    assert!(refused("UPDATE c SET v = v + 1 WHERE k = $2", &[2], true).contains("the call before"));
}

#[test]
fn positions_are_kept_where_they_are_counted() {
    let looped = ordered("SELECT id, v FROM c WHERE k = $1 ORDER BY 2, 1", &[1], &[]);
    let batch = rewrite::batch(None, &query(&looped), varying(&looped, true)).unwrap();
    let pgassay::sql::rewrite::Answer::Rows { keys } = &batch.answer else {
        panic!("{batch:?}")
    };
    assert_eq!(keys.as_slice(), [KeyAt::Back(0)]);
}
