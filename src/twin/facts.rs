//! What the twin's own catalogs and planner say of an index that has just been made: the input of the size estimate.

use super::{
    Twin, TwinError,
    create::MadeIndex,
    estimate::{GinEntry, IndexFacts, IndexSize, KeyColumn, Summary, estimate, extrapolate},
    explain, leaf, patch,
    sample::Recipe,
};

use crate::{
    advise::PlannedQuery,
    catalog::{
        RelationName,
        planner::{PhysicalKind, PhysicalState},
    },
    db::{OwnedSession, Row},
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
        let mut columns: Vec<KeyColumn> = rows.iter().map(key_column).collect();
        let method: String = head.get("method");
        let table: String = head.get("table_name");
        let condition = head
            .get::<_, Option<String>>("predicate")
            .map(|predicate| format!(" WHERE {predicate}"))
            .unwrap_or_default();
        let table_rows = f64::from(head.get::<_, f32>("reltuples")).max(0.0);
        let from = format!("FROM ONLY {table}{condition}");
        let n_rows = match condition.as_str() {
            "" => table_rows,
            _ => self
                .rows_of(&format!("SELECT 1 {from}"))
                .await
                .unwrap_or(0.0),
        };
        let has_expressions = rows.iter().any(|row| row.get::<_, bool>("is_expression"));
        let mut sample = None;
        if has_expressions || SAMPLED.contains(&method.as_str()) {
            let recipe = Recipe {
                oid,
                table: RelationName::new(
                    head.get::<_, String>("schema"),
                    head.get::<_, String>("name"),
                ),
                n_rows,
            };
            sample = self.sample(superuser, &recipe).await;
        }
        let known = sample.iter().flat_map(|sample| &sample.expressions);
        for (number, expression) in known.clone() {
            if let Some(column) = columns.get_mut((number - 1).max(0) as usize)
                && column.length < 0
            {
                column.width = expression.width;
                column.null_frac = expression.null_frac;
            }
        }
        let distinct: Vec<Distinct> = rows
            .iter()
            .take(head.get::<_, i16>("n_keys") as usize)
            .zip(1_i16..)
            .map(|(row, number)| {
                let own = known.clone().find(|(known, _)| *known == number);
                Distinct {
                    null_frac: f64::from(row.get::<_, f32>("null_frac")),
                    n: own.map_or_else(
                        || distinct(row, table_rows, n_rows, !condition.is_empty()),
                        |(_, own)| own.n_distinct,
                    ),
                }
            })
            .collect();
        let n_keys = self
            .n_keys(
                head,
                &from,
                &distinct,
                (n_rows, has_expressions || !condition.is_empty()),
            )
            .await;
        let common = match (&rows[..], condition.is_empty()) {
            ([row], true) => common_rows(row, n_rows),
            _ => Vec::new(),
        };
        let entries = match (&sample, method.as_str()) {
            (_, "gin") if rows.len() == 1 && elements(&rows[0], n_rows).is_some() => {
                elements(&rows[0], n_rows).unwrap_or_default()
            }
            (Some(sample), "gin") => {
                let keys = leaf::gin_keys(&sample.pages, sample.n_rows);
                extrapolate(&keys, sample.n_rows, n_rows)
            }
            _ => unknown_entries(n_rows, n_keys, &columns),
        };
        let heap_pages = f64::from(head.get::<_, i32>("relpages")).max(1.0);
        Ok(IndexFacts {
            n_rows,
            n_keys,
            common,
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

    /// Distinct keys of an index: what the planner says of its groups; where it only caps their number, or does not know the expressions or the share
    /// that a condition leaves, as many as independent columns would give.
    async fn n_keys(
        &self,
        head: &Row,
        from: &str,
        distinct: &[Distinct],
        (n_rows, is_unknown): (f64, bool),
    ) -> f64 {
        let keys: Option<String> = head.get("keys");
        let grouped = match keys.filter(|_| !is_unknown) {
            Some(keys) => {
                self.rows_of(&format!("SELECT 1 {from} GROUP BY {keys}"))
                    .await
            }
            None => None,
        };
        let most = distinct
            .iter()
            .map(|column| column.n)
            .fold(GROUPS_CAP * n_rows, f64::max);
        let n_keys = match grouped {
            Some(grouped) if distinct.len() == 1 || grouped < 0.99 * most => grouped,
            _ => keys_with_nulls(distinct, n_rows),
        };
        n_keys.clamp(1.0, n_rows.max(1.0))
    }

    /// The planner's own estimate of a statement's rows.
    async fn rows_of(&self, sql: &str) -> Option<f64> {
        let session = self.planner_session().await.ok()?;
        let query = PlannedQuery {
            sql: sql.to_owned(),
            search_path: vec!["pg_catalog".to_owned()],
        };
        let plan = explain::explain(&session, &query, &[]).await.ok()?;
        plan[0]["Plan"]["Plan Rows"].as_f64()
    }
}

/// A key's distinct values beside NULL, and the share of NULLs.
#[derive(Debug, Clone, Copy)]
struct Distinct {
    n: f64,
    null_frac: f64,
}

/// NULLs below this share make no difference.
const FEW_NULLS: f64 = 0.01;

/// Distinct combinations, rows with NULL in a column apart from the others.
fn keys_with_nulls(columns: &[Distinct], n_rows: f64) -> f64 {
    let Some(at) = columns.iter().position(|c| c.null_frac > FEW_NULLS) else {
        let distinct: Vec<f64> = columns.iter().map(|column| column.n).collect();
        return independent_keys(&distinct, n_rows);
    };
    let with = |n: f64, share: f64| {
        let mut columns = columns.to_vec();
        columns[at] = Distinct { n, null_frac: 0.0 };
        keys_with_nulls(&columns, n_rows * share).min(n_rows * share)
    };
    let null_frac = columns[at].null_frac;
    with(columns[at].n, 1.0 - null_frac) + with(1.0, null_frac)
}

/// Distinct combinations of independent columns among so many rows: the rows of each value of the most distinct one fall on combinations of the
/// others by chance.
fn independent_keys(distinct: &[f64], n_rows: f64) -> f64 {
    if distinct.iter().all(|n| *n <= 1.0) {
        return 1.0;
    }
    let most = distinct.iter().copied().fold(1.0, f64::max);
    let others = (distinct.iter().product::<f64>() / most).max(1.0);
    if others <= 1.0 {
        return most;
    }
    let rows = n_rows / most;
    most * others * -(rows * (-1.0 / others).ln_1p()).exp_m1()
}

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

fn key_column(row: &Row) -> KeyColumn {
    KeyColumn {
        length: row.get("length"),
        align: f64::from(row.get::<_, i32>("align")),
        width: f64::from(row.get::<_, i32>("width")),
        null_frac: f64::from(row.get::<_, f32>("null_frac")),
    }
}

/// Distinct values of a column among the rows that the index holds. A condition leaves a share of each value's rows.
fn distinct(row: &Row, table_rows: f64, n_rows: f64, is_conditional: bool) -> f64 {
    let known: Option<f32> = row.get("n_distinct");
    let all = match known.map_or(0.0, f64::from) {
        n if n > 0.0 => n,
        n if n < 0.0 => -n * table_rows,
        _ => table_rows,
    }
    .max(1.0);
    if !is_conditional {
        return all;
    }
    let filled = table_rows * (1.0 - f64::from(row.get::<_, f32>("null_frac")));
    let kept = (n_rows / filled.max(1.0)).min(1.0);
    let rows_per_value = (filled / all).max(1.0);
    (all * (1.0 - (1.0 - kept).powf(rows_per_value))).max(1.0)
}

fn summary(row: &Row) -> Summary {
    let name: Option<String> = row.get("opclass");
    match name.unwrap_or_default() {
        name if name.contains("bloom") => Summary::Bloom,
        name if name.contains("multi") => Summary::Multi,
        _ => Summary::MinMax,
    }
}

/// Rows of the commonest keys, NULL among them.
fn common_rows(row: &Row, n_rows: f64) -> Vec<f64> {
    let frequencies: Option<Vec<f32>> = row.get("common");
    let mut rows: Vec<f64> = frequencies
        .into_iter()
        .flatten()
        .map(|frequency| f64::from(frequency) * n_rows)
        .collect();
    let nulls = f64::from(row.get::<_, f32>("null_frac")) * n_rows;
    if nulls >= 1.0 {
        rows.push(nulls);
    }
    rows
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

fn unknown_entries(n_rows: f64, n_keys: f64, columns: &[KeyColumn]) -> Vec<GinEntry> {
    let width: f64 = columns.iter().map(|column| column.width).sum();
    vec![GinEntry {
        n: n_keys,
        n_rows: n_rows * ELEMENTS_PER_ROW / n_keys,
        key_bytes: 8.0 + width.min(32.0),
    }]
}

const HEAD: &str = "SELECT pg_relation_filepath(c.oid) AS path, am.amname::text AS method, quote_ident(tn.nspname) || '.' || quote_ident(t.relname) AS table_name, \
      tn.nspname::text AS schema, t.relname::text AS name, i.indnkeyatts AS n_keys, \
      t.reltuples, t.relpages, pg_get_expr(i.indpred, i.indrelid) AS predicate, coalesce((regexp_match(array_to_string(c.reloptions, ','), 'pages_per_range=(\\d+)'))[1]::int4, 128) AS pages_per_range, \
      CASE WHEN am.amname IN ('btree', 'hash') THEN (SELECT string_agg(pg_get_indexdef(c.oid, k, true), ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) k) END AS keys, \
      i.indnkeyatts = i.indnatts AND NOT EXISTS (SELECT FROM unnest(i.indclass) u(oid) JOIN pg_opclass o ON o.oid = u.oid \
        WHERE NOT EXISTS (SELECT FROM pg_amproc p WHERE p.amprocfamily = o.opcfamily AND p.amproclefttype = o.opcintype AND p.amprocrighttype = o.opcintype AND p.amprocnum = 4)) AS deduplicates \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
    WHERE i.indexrelid = $1";

/// One row a column of the index, with the slots of the table's column: commonest values, elements, counts of elements.
const COLUMNS: &str = "SELECT a.attlen AS length, CASE a.attalign WHEN 'c' THEN 1 WHEN 's' THEN 2 WHEN 'i' THEN 4 ELSE 8 END AS align, i.indkey[a.attnum - 1] = 0 AS is_expression, \
      o.opcname::text AS opclass, CASE WHEN a.attlen > 0 THEN a.attlen::int4 ELSE coalesce(s.stawidth, 32) END AS width, coalesce(s.stanullfrac, 0) AS null_frac, s.stadistinct AS n_distinct, \
      common.numbers AS common, elements.numbers AS element_frequencies, elements.n AS n_elements, counts.numbers[cardinality(counts.numbers)] AS elements_per_row, \
      coalesce((SELECT round(avg(length(e)) + 1)::int4 FROM unnest(elements.words) e), 8) AS element_width \
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum > 0 LEFT JOIN pg_opclass o ON o.oid = i.indclass[a.attnum - 1] \
    LEFT JOIN pg_statistic s ON s.starelid = i.indrelid AND s.staattnum = i.indkey[a.attnum - 1] AND NOT s.stainherit \
    LEFT JOIN LATERAL (SELECT numbers FROM (VALUES (s.stakind1, s.stanumbers1), (s.stakind2, s.stanumbers2), (s.stakind3, s.stanumbers3), (s.stakind4, s.stanumbers4), (s.stakind5, s.stanumbers5)) x(kind, numbers) WHERE kind = 1) common ON true \
    LEFT JOIN LATERAL (SELECT numbers FROM (VALUES (s.stakind1, s.stanumbers1), (s.stakind2, s.stanumbers2), (s.stakind3, s.stanumbers3), (s.stakind4, s.stanumbers4), (s.stakind5, s.stanumbers5)) x(kind, numbers) WHERE kind = 5) counts ON true \
    LEFT JOIN LATERAL (SELECT numbers, words, cardinality(words) AS n FROM (VALUES (s.stakind1, s.stanumbers1, s.stavalues1::text::text[]), (s.stakind2, s.stanumbers2, s.stavalues2::text::text[]), \
      (s.stakind3, s.stanumbers3, s.stavalues3::text::text[]), (s.stakind4, s.stanumbers4, s.stavalues4::text::text[]), (s.stakind5, s.stanumbers5, s.stavalues5::text::text[])) x(kind, numbers, words) WHERE kind = 4) elements ON true \
    WHERE i.indexrelid = $1 ORDER BY a.attnum";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_with_nulls_apart() {
        let column = |n: f64, null_frac: f64| Distinct { n, null_frac };
        // a unique column decides alone
        let n = keys_with_nulls(&[column(1000.0, 0.0), column(3.0, 0.0)], 1000.0);
        assert!((n - 1000.0).abs() < 1.0, "{n}");
        // nine tenths are NULL: these rows have but the other column's five values
        let n = keys_with_nulls(&[column(100.0, 0.9), column(5.0, 0.0)], 1000.0);
        assert!((90.0..106.0).contains(&n), "{n}");
        let n = keys_with_nulls(&[column(1.0, 0.0)], 10.0);
        assert!((n - 1.0).abs() < 1e-6);
    }
}
