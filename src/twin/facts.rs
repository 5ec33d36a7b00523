//! What the twin's own catalogs and planner say of an index that has just been made: the input of the size estimate.

use super::{
    Twin, TwinError,
    create::MadeIndex,
    draw::{Purpose, is_in_order, texts},
    estimate::{Class, GinEntry, IndexFacts, IndexSize, KeyColumn, Summary, estimate, extrapolate},
    explain, leaf, patch,
    sample::{Recipe, Sample},
    values::{self, Kept},
};

use crate::{
    advise::PlannedQuery,
    catalog::{
        RelationName,
        planner::{PhysicalKind, PhysicalState, SlotKind, StatisticRow, StatisticsTarget},
    },
    db::{OwnedSession, Row},
    sql::quote_identifier,
};

/// A table with pages.
#[derive(Debug, Clone)]
pub(super) struct Heap {
    pub(super) name: RelationName,
    pub(super) path: String,
}

/// The table, or all leaves of a partitioned one.
pub(super) async fn heaps(
    superuser: &OwnedSession,
    table: &RelationName,
) -> Result<Vec<Heap>, TwinError> {
    let sql = "WITH RECURSIVE tree(oid) AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
        UNION ALL SELECT h.inhrelid FROM pg_inherits h JOIN tree ON tree.oid = h.inhparent JOIN pg_class p ON p.oid = tree.oid AND p.relkind = 'p') \
        SELECT n.nspname::text, c.relname::text, pg_relation_filepath(c.oid) FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'm') ORDER BY c.oid";
    let rows = superuser
        .query(sql, &[&table.schema, &table.name])
        .await
        .map_err(TwinError::own)?;
    Ok(rows
        .iter()
        .map(|row| Heap {
            name: RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1)),
            path: row.get(2),
        })
        .collect())
}

/// The index of that name and those attached to it, parent first.
pub(super) async fn tree(
    superuser: &OwnedSession,
    schema: &str,
    name: &str,
) -> Result<Vec<MadeIndex>, TwinError> {
    let sql = "WITH RECURSIVE tree(oid, depth) AS (SELECT c.oid, 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
        UNION ALL SELECT h.inhrelid, depth + 1 FROM pg_inherits h JOIN tree ON tree.oid = h.inhparent) \
        SELECT c.oid, c.relname::text FROM tree JOIN pg_class c ON c.oid = tree.oid ORDER BY depth, c.oid";
    let rows = superuser
        .query(sql, &[&schema, &name])
        .await
        .map_err(TwinError::own)?;
    Ok(rows
        .iter()
        .map(|row| MadeIndex {
            oid: row.get(0),
            name: row.get(1),
        })
        .collect())
}

impl Twin {
    /// Estimates an index's size and writes it into file and catalog. Returns its size; nothing for the parent on a partitioned table.
    pub(super) async fn give_size(
        &self,
        superuser: &OwnedSession,
        oid: u32,
    ) -> Result<IndexSize, TwinError> {
        let head = superuser
            .query_one(HEAD, &[&oid])
            .await
            .map_err(TwinError::own)?;
        let path: Option<String> = head.get("path");
        let Some(path) = path else {
            return Ok(IndexSize::default());
        };
        let facts = self.facts(superuser, &head, oid).await?;
        let size = estimate(&facts);
        let lead = patch::relations(superuser)
            .await?
            .into_iter()
            .find(|file| file.path == path)
            .and_then(|file| file.lead);
        let keys = lead
            .map(|lead| patch::keys_of(&lead, &self.state.endpoints))
            .unwrap_or_default();
        let (new_path, number) = unseen(&path, oid);
        self.data
            .write_pages(&new_path, 0, &self.data.read_all(&path, MAX_EMPTY_PAGES)?)?;
        let state = PhysicalState {
            kind: match facts.method.as_str() {
                "btree" => PhysicalKind::Btree,
                "gin" => PhysicalKind::Gin,
                "brin" => PhysicalKind::Brin,
                _ => PhysicalKind::Other,
            },
            n_blocks: size.n_blocks,
            height: Some(size.height),
            gin: size.gin,
            brin: size.brin,
            ..PhysicalState::default()
        };
        patch::index(&self.data, &new_path, &state, &keys, facts.columns.len())?;
        let sql =
            "UPDATE pg_class SET relfilenode = $4, relpages = $2, reltuples = $3 WHERE oid = $1";
        let relpages = i32::try_from(size.n_blocks).unwrap_or(i32::MAX);
        superuser
            .execute(sql, &[&oid, &relpages, &(facts.n_rows as f32), &number])
            .await
            .map_err(TwinError::own)?;
        Ok(size)
    }

    async fn facts(
        &self,
        superuser: &OwnedSession,
        head: &Row,
        oid: u32,
    ) -> Result<IndexFacts, TwinError> {
        let rows = superuser
            .query(COLUMNS, &[&oid])
            .await
            .map_err(TwinError::own)?;
        let method: String = head.get("method");
        let predicate: Option<String> = head.get("predicate");
        let table_rows = f64::from(head.get::<_, f32>("reltuples")).max(0.0);
        let n_rows = match &predicate {
            None => table_rows,
            Some(predicate) => {
                let from = format!(
                    "FROM ONLY {} WHERE {predicate}",
                    head.get::<_, String>("table_name")
                );
                self.rows_of(&format!("SELECT 1 {from}"))
                    .await
                    .unwrap_or(0.0)
            }
        };
        let recipe = Recipe {
            oid,
            table: RelationName::new(
                head.get::<_, String>("schema"),
                head.get::<_, String>("name"),
            ),
            n_rows,
            table_rows,
            predicate,
            purpose: if SAMPLED.contains(&method.as_str()) {
                Purpose::Pages
            } else {
                Purpose::Counts
            },
        };
        let has_expressions = rows.iter().any(|row| row.get::<_, bool>("is_expression"));
        let mut sample = None;
        if has_expressions || recipe.purpose == Purpose::Pages {
            sample = self.sample(superuser, &recipe).await;
        }
        let (columns, in_order) = self.columns(head, &rows, (&recipe, sample.as_ref())).await;
        let n_key_columns = head.get::<_, i16>("n_keys") as usize;
        let n_keys = if has_expressions || recipe.predicate.is_some() {
            None
        } else {
            self.n_keys(head, &columns[..n_key_columns.min(columns.len())], n_rows)
                .await
        };
        let entries = match (&sample, method.as_str()) {
            (_, "gin") if rows.len() == 1 && elements(&rows[0], n_rows).is_some() => {
                elements(&rows[0], n_rows).unwrap_or_default()
            }
            (Some(sample), "gin") => {
                let keys = leaf::gin_keys(&sample.pages, sample.n_rows);
                extrapolate(&keys, sample.n_rows, n_rows)
            }
            _ => unknown_entries(n_rows, &columns),
        };
        let heap_pages = f64::from(head.get::<_, i32>("relpages")).max(1.0);
        Ok(IndexFacts {
            n_rows,
            n_keys,
            in_order,
            deduplicates: head.get("deduplicates"),
            n_heap_pages: heap_pages,
            rows_per_page: (table_rows / heap_pages).max(1.0),
            pages_per_range: f64::from(head.get::<_, i32>("pages_per_range")),
            summaries: rows.iter().map(summary).collect(),
            entries,
            bytes_per_row: sample
                .as_ref()
                .filter(|sample| sample.n_rows >= 1.0)
                .map(|sample| leaf::used_bytes(&sample.pages, first_page(&method)) / sample.n_rows),
            columns,
            method,
        })
    }

    /// All columns, and which of them lie in the table's order.
    async fn columns(
        &self,
        head: &Row,
        rows: &[Row],
        (recipe, sample): (&Recipe, Option<&Sample>),
    ) -> (Vec<KeyColumn>, Vec<bool>) {
        let (mut columns, mut in_order) = (Vec::new(), Vec::new());
        for (row, number) in rows.iter().zip(1_i16..) {
            let known = sample.into_iter().flat_map(|sample| &sample.expressions);
            let own = known.into_iter().find(|(known, _)| *known == number);
            if let Some((_, expression)) = own {
                in_order.push(expression.in_order);
                columns.push(KeyColumn {
                    classes: expression.classes.clone(),
                    n_rows: recipe.n_rows,
                    ..empty(row)
                });
            } else {
                in_order.push(self.is_in_order(row, &recipe.table));
                columns.push(self.column(head, row, recipe).await);
            }
        }
        (columns, in_order)
    }

    /// A column's values among the rows of the index.
    async fn column(&self, head: &Row, row: &Row, recipe: &Recipe) -> KeyColumn {
        let name: Option<String> = row.get("column_name");
        let known = name
            .as_deref()
            .and_then(|name| self.statistics_of(&recipe.table, name));
        let type_name: String = row.get("type_name");
        let Some(known) = known else {
            return unknown_column(row, recipe.table_rows);
        };
        let mut kept = None;
        if let (Some(predicate), Some(name)) = (&recipe.predicate, &name) {
            let reads: Vec<i16> = head.get("predicate_columns");
            kept = if reads == [row.get::<_, i16>("attnum")] {
                self.judge(predicate, (name, &type_name), known).await
            } else if self.refutes_null(head, predicate, name).await {
                Some(Kept::all_but_null(known))
            } else {
                None
            };
        }
        let type_of = (type_name.as_str(), row.get("length"));
        let (classes, share) = values::classes(known, type_of, recipe.table_rows, kept.as_ref());
        let is_exact = kept.is_some_and(|kept| kept.is_exact);
        KeyColumn {
            classes,
            // a condition on the column itself takes values out, another takes rows
            n_rows: if is_exact {
                recipe.n_rows
            } else {
                recipe.table_rows * share
            },
            ..empty(row)
        }
    }

    /// A column's statistics as they were captured.
    fn statistics_of(&self, table: &RelationName, column: &str) -> Option<&StatisticRow> {
        let found = self.state.column_statistics.iter().find(|known| {
            known.relation == *table
                && !known.inherited
                && matches!(&known.target, StatisticsTarget::Column(name) if name == column)
        });
        found.map(|known| &known.row)
    }

    /// Do the column's values lie in the table's order? Two of such columns are functions of each other, about.
    fn is_in_order(&self, row: &Row, table: &RelationName) -> bool {
        let name: Option<String> = row.get("column_name");
        let known = name.and_then(|name| self.statistics_of(table, &name));
        known.is_some_and(is_in_order)
    }

    /// Which of a column's values the index's condition keeps, where it reads that column alone.
    async fn judge(
        &self,
        predicate: &str,
        (name, type_name): (&str, &str),
        row: &StatisticRow,
    ) -> Option<Kept> {
        let common = texts(row, SlotKind::MostCommonValues);
        let bounds = texts(row, SlotKind::Histogram);
        let values: Vec<Option<&str>> = std::iter::once(None)
            .chain(common.iter().chain(&bounds).map(|text| Some(text.as_str())))
            .collect();
        let session = self.planner_session().await.ok()?;
        let sql = format!(
            "SELECT coalesce(({predicate}), false) FROM (SELECT v::{type_name} AS {}, at FROM unnest($1::text[]) WITH ORDINALITY AS x(v, at)) y ORDER BY at",
            quote_identifier(name)
        );
        let limit = format!(
            "BEGIN READ ONLY; SET LOCAL statement_timeout = {JUDGE_TIMEOUT_MS}; SET LOCAL search_path = pg_catalog"
        );
        session.batch_execute(&limit).await.ok()?;
        let verdicts = session.query(&sql, &[&values]).await;
        session.batch_execute("ROLLBACK").await.ok()?;
        let mut verdicts = verdicts.ok()?.into_iter().map(|row| row.get::<_, bool>(0));
        Some(Kept {
            null: verdicts.next()?,
            common: verdicts.by_ref().take(common.len()).collect(),
            bounds: verdicts.collect(),
            is_exact: !common.is_empty() || !bounds.is_empty(),
        })
    }

    /// Does the condition leave no row where the column is NULL?
    async fn refutes_null(&self, head: &Row, predicate: &str, name: &str) -> bool {
        let sql = format!(
            "SELECT 1 FROM ONLY {} WHERE ({predicate}) AND {} IS NULL",
            head.get::<_, String>("table_name"),
            quote_identifier(name)
        );
        let plan = self
            .planned(
                &sql,
                &[("constraint_exclusion".to_owned(), "on".to_owned())],
            )
            .await;
        plan.is_some_and(|plan| plan["Node Type"] == "Result")
    }

    /// Distinct keys, where extended statistics tell the planner of fewer than independent columns would have.
    async fn n_keys(&self, head: &Row, columns: &[KeyColumn], n_rows: f64) -> Option<f64> {
        let keys: String = head.get::<_, Option<String>>("keys")?;
        if columns.len() < 2 {
            return None;
        }
        let from = format!("FROM ONLY {}", head.get::<_, String>("table_name"));
        let grouped = self
            .rows_of(&format!("SELECT 1 {from} GROUP BY {keys}"))
            .await?;
        // without extended statistics it is the product, and at most this
        let product: f64 = columns.iter().map(KeyColumn::n_distinct).product();
        let most = columns
            .iter()
            .map(KeyColumn::n_distinct)
            .fold(GROUPS_CAP * n_rows, f64::max);
        (grouped < 0.9 * product.min(most)).then_some(grouped.clamp(1.0, n_rows.max(1.0)))
    }

    /// The planner's own estimate of a statement's rows.
    async fn rows_of(&self, sql: &str) -> Option<f64> {
        self.planned(sql, &[]).await?["Plan Rows"].as_f64()
    }

    /// The upper node of a statement's plan.
    async fn planned(&self, sql: &str, settings: &[(String, String)]) -> Option<serde_json::Value> {
        let session = self.planner_session().await.ok()?;
        let query = PlannedQuery {
            sql: sql.to_owned(),
            search_path: vec!["pg_catalog".to_owned()],
        };
        let mut plan = explain::explain(&session, &query, settings).await.ok()?;
        Some(plan[0]["Plan"].take())
    }
}

/// Conditions of a snapshot run here on a few hundred values.
const JUDGE_TIMEOUT_MS: u32 = 2_000;

/// Methods whose keys only the operator class knows: a sample is built.
const SAMPLED: [&str; 3] = ["gin", "gist", "spgist"];

/// Pages that an index on an empty table has at most (hash: metapage, bitmap, two buckets; SP-GiST: metapage and two roots).
const MAX_EMPTY_PAGES: u64 = 64;

/// Share of the rows that `estimate_num_groups` caps groups of several columns at.
const GROUPS_CAP: f64 = 0.1;

/// Elements of a value in a GIN index without statistics of them.
const ELEMENTS_PER_ROW: f64 = 8.0;

/// Another file for the index: no page of it can be in the server's buffers.
fn unseen(path: &str, oid: u32) -> (String, u32) {
    const HIGH: u32 = 1 << 31;
    let number = oid ^ HIGH;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    (format!("{folder}/{number}"), number)
}

/// Pages before those that hold rows.
fn first_page(method: &str) -> usize {
    usize::from(method == "spgist")
}

/// A column of which nothing but its type is known: all values differ.
fn unknown_column(row: &Row, table_rows: f64) -> KeyColumn {
    let null_frac = f64::from(row.get::<_, f32>("null_frac"));
    let mut classes = vec![Class {
        n: table_rows.max(1.0),
        share: 1.0 - null_frac,
        widths: vec![f64::from(row.get::<_, i32>("width"))],
    }];
    if null_frac > 0.0 {
        classes.push(Class::null(null_frac));
    }
    KeyColumn {
        classes,
        n_rows: table_rows,
        ..empty(row)
    }
}

fn empty(row: &Row) -> KeyColumn {
    KeyColumn {
        length: row.get("length"),
        align: f64::from(row.get::<_, i32>("align")),
        classes: Vec::new(),
        n_rows: 0.0,
    }
}

fn summary(row: &Row) -> Summary {
    let name: Option<String> = row.get("opclass");
    match name.unwrap_or_default() {
        name if name.contains("bloom") => Summary::Bloom,
        name if name.contains("multi") => Summary::Multi,
        _ => Summary::MinMax,
    }
}

/// Keys of an index on elements whose frequencies are known. What is left of all elements is taken to go on as frequencies do in texts (Zipf).
fn elements(row: &Row, n_rows: f64) -> Option<Vec<GinEntry>> {
    let numbers: Vec<f32> = row.get::<_, Option<Vec<f32>>>("element_frequencies")?;
    // behind the frequencies stand the least, the greatest and that of NULLs
    let n = row.get::<_, Option<i32>>("n_elements")? as usize;
    let frequencies = numbers.get(..n)?;
    if frequencies.is_empty() {
        return None;
    }
    let key_bytes = 8.0 + f64::from(row.get::<_, i32>("element_width"));
    let entry = |n: f64, n_rows: f64| GinEntry {
        n,
        n_rows,
        key_bytes,
    };
    let mut entries: Vec<GinEntry> = frequencies
        .iter()
        .map(|frequency| entry(1.0, f64::from(*frequency) * n_rows))
        .collect();
    let listed: f64 = frequencies.iter().copied().map(f64::from).sum();
    let per_row = row
        .get::<_, Option<f32>>("elements_per_row")
        .map_or(listed, f64::from);
    let rest = per_row - listed;
    let least = frequencies
        .iter()
        .copied()
        .map(f64::from)
        .fold(1.0, f64::min);
    if rest > REST_SHARE * per_row && least > 0.0 {
        let n = n as f64;
        let total = n * (rest / (least * n)).min(MAX_ZIPF_EXPONENT).exp();
        let more = (total - n).clamp(1.0, (rest * n_rows).max(1.0));
        entries.push(entry(more, rest * n_rows / more));
    }
    Some(entries)
}

/// Share of unlisted elements that is no more than rounding.
const REST_SHARE: f64 = 0.02;
/// `exp` of more overflows any number of rows.
const MAX_ZIPF_EXPONENT: f64 = 30.0;

fn unknown_entries(n_rows: f64, columns: &[KeyColumn]) -> Vec<GinEntry> {
    let width: f64 = columns.iter().map(KeyColumn::width).sum();
    let n_keys = columns.iter().map(KeyColumn::n_distinct).product::<f64>();
    let n_keys = n_keys.clamp(1.0, n_rows.max(1.0));
    vec![GinEntry {
        n: n_keys,
        n_rows: n_rows * ELEMENTS_PER_ROW / n_keys,
        key_bytes: 8.0 + width.min(32.0),
    }]
}

const HEAD: &str = "SELECT pg_relation_filepath(c.oid) AS path, am.amname::text AS method, quote_ident(tn.nspname) || '.' || quote_ident(t.relname) AS table_name, \
      tn.nspname::text AS schema, t.relname::text AS name, i.indnkeyatts AS n_keys, \
      t.reltuples, t.relpages, ARRAY(SELECT DISTINCT m[1]::int2 FROM regexp_matches(i.indpred::text, ':varattno (-?\\d+)', 'g') m) AS predicate_columns, pg_get_expr(i.indpred, i.indrelid) AS predicate, coalesce((regexp_match(array_to_string(c.reloptions, ','), 'pages_per_range=(\\d+)'))[1]::int4, 128) AS pages_per_range, \
      CASE WHEN am.amname IN ('btree', 'hash') THEN (SELECT string_agg(pg_get_indexdef(c.oid, k, true), ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) k) END AS keys, \
      i.indnkeyatts = i.indnatts AND NOT EXISTS (SELECT FROM unnest(i.indclass) u(oid) JOIN pg_opclass o ON o.oid = u.oid \
        WHERE NOT EXISTS (SELECT FROM pg_amproc p WHERE p.amprocfamily = o.opcfamily AND p.amproclefttype = o.opcintype AND p.amprocrighttype = o.opcintype AND p.amprocnum = 4)) AS deduplicates \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
    WHERE i.indexrelid = $1";

/// One row a column of the index, with the slots of the table's column: elements, counts of elements.
const COLUMNS: &str = "SELECT a.attlen AS length, format_type(a.atttypid, NULL) AS type_name, ta.attname::text AS column_name, coalesce(ta.attnum, 0::int2) AS attnum, CASE a.attalign WHEN 'c' THEN 1 WHEN 's' THEN 2 WHEN 'i' THEN 4 ELSE 8 END AS align, i.indkey[a.attnum - 1] = 0 AS is_expression, \
      o.opcname::text AS opclass, CASE WHEN a.attlen > 0 THEN a.attlen::int4 ELSE coalesce(s.stawidth, 32) END AS width, coalesce(s.stanullfrac, 0) AS null_frac, elements.numbers AS element_frequencies, elements.n AS n_elements, counts.numbers[cardinality(counts.numbers)] AS elements_per_row, \
      coalesce((SELECT round(avg(length(e)) + 1)::int4 FROM unnest(elements.words) e), 8) AS element_width \
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum > 0 LEFT JOIN pg_opclass o ON o.oid = i.indclass[a.attnum - 1] \
    LEFT JOIN pg_attribute ta ON ta.attrelid = i.indrelid AND ta.attnum = i.indkey[a.attnum - 1] AND ta.attnum > 0 LEFT JOIN pg_statistic s ON s.starelid = i.indrelid AND s.staattnum = i.indkey[a.attnum - 1] AND NOT s.stainherit \
    LEFT JOIN LATERAL (SELECT numbers FROM (VALUES (s.stakind1, s.stanumbers1), (s.stakind2, s.stanumbers2), (s.stakind3, s.stanumbers3), (s.stakind4, s.stanumbers4), (s.stakind5, s.stanumbers5)) x(kind, numbers) WHERE kind = 5) counts ON true \
    LEFT JOIN LATERAL (SELECT numbers, words, cardinality(words) AS n FROM (VALUES (s.stakind1, s.stanumbers1, s.stavalues1::text::text[]), (s.stakind2, s.stanumbers2, s.stavalues2::text::text[]), \
      (s.stakind3, s.stanumbers3, s.stavalues3::text::text[]), (s.stakind4, s.stanumbers4, s.stavalues4::text::text[]), (s.stakind5, s.stanumbers5, s.stavalues5::text::text[])) x(kind, numbers, words) WHERE kind = 4) elements ON true \
    WHERE i.indexrelid = $1 ORDER BY a.attnum";
