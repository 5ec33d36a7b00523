//! How large and how high an index will be, from what the planner knows of its columns.
//!
//! B-trees follow `nbtsort.c`, `nbtdedup.c` and `itup.h`; the others are coarser. Errors measured against really built indexes stand in
//! `benches/README.md`, section "Twin".

mod btree;
mod gin;
mod keys;

pub(super) use gin::{GinEntry, extrapolate};
pub(super) use keys::{Class, KeyColumn};

use std::collections::BTreeMap;

use crate::catalog::planner::{BrinMeta, GinMeta};

/// `BLCKSZ`
const PAGE: f64 = 8192.0;
/// `sizeof(ItemIdData)`
const LINE_POINTER: f64 = 4.0;
/// `sizeof(IndexTupleData)`
const TUPLE_HEADER: f64 = 8.0;
/// Tuple header with a null bitmap.
const TUPLE_HEADER_NULLS: f64 = 16.0;
/// `sizeof(ItemPointerData)`
const POSTING: f64 = 6.0;
/// Bytes of a hash index's entry, and how full its buckets are planned (`HASH_DEFAULT_FILLFACTOR` 75).
const HASH_ENTRY: f64 = 20.0;
const HASH_FILL: f64 = 0.75;
/// Buckets from which on they come in quarters of a power of two (`HASH_SPLITPOINT_GROUPS_WITH_ONE_PHASE`).
const HASH_QUARTERS_FROM: f64 = 1024.0;
/// Range map entries of a BRIN page.
const BRIN_RANGES_PER_PAGE: f64 = 1360.0;
/// Values that a range of a minmax-multi operator class keeps (`MINMAX_MULTI_DEFAULT_VALUES_PER_PAGE`), and the head of its summary.
const MULTI_VALUES: f64 = 32.0;
const MULTI_HEAD: f64 = 24.0;
/// Rows of a page that BRIN's bloom filters reckon with (`MaxHeapTuplesPerPage`), the share of them taken for distinct, the least number of
/// distinct values, and bits a value at a false positive rate of 1 % (`brin_bloom.c`).
const BLOOM_ROWS_PER_PAGE: f64 = 291.0;
const BLOOM_DISTINCT: f64 = 0.1;
const BLOOM_MIN_VALUES: f64 = 16.0;
const BLOOM_BITS_PER_VALUE: f64 = 9.585;
/// Share of a page that GiST's and SP-GiST's splits leave full on average (measured: 0.52 to 0.75).
const GIST_FILL: f64 = 0.63;

/// What is known of an index before it is built.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct IndexFacts {
    pub(super) method: String,
    /// Rows that it will hold.
    pub(super) n_rows: f64,
    /// Distinct keys, where they are known to be other than what the columns' values give by chance.
    pub(super) n_keys: Option<f64>,
    /// Key and INCLUDE columns.
    pub(super) columns: Vec<KeyColumn>,
    /// Of each: do its values lie in the table's order?
    pub(super) in_order: Vec<bool>,
    /// Equal keys share a tuple (`btequalimage`, no INCLUDE).
    pub(super) deduplicates: bool,
    /// Pages of the table, its rows a page, and `pages_per_range` of a BRIN index.
    pub(super) n_heap_pages: f64,
    pub(super) rows_per_page: f64,
    pub(super) pages_per_range: f64,
    /// What a BRIN index keeps of each column.
    pub(super) summaries: Vec<Summary>,
    /// Keys of a GIN index.
    pub(super) entries: Vec<GinEntry>,
    /// Bytes that a row takes in a GiST or SP-GiST index, inner pages included, where a sample of it could be built.
    pub(super) bytes_per_row: Option<f64>,
}

/// A BRIN operator class's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Summary {
    MinMax,
    Multi,
    Bloom,
}

/// Pages and height.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct IndexSize {
    pub(super) n_blocks: u64,
    pub(super) height: u32,
    /// What a GIN index's metapage says after the build.
    pub(super) gin: Option<GinMeta>,
    /// The same of a BRIN index.
    pub(super) brin: Option<BrinMeta>,
}

/// The estimate for one index.
pub(super) fn estimate(facts: &IndexFacts) -> IndexSize {
    match facts.method.as_str() {
        "btree" => btree::btree(facts),
        "hash" => flat(hash(facts)),
        "brin" => brin(facts),
        "gin" => gin::gin(facts),
        _ => gist(facts),
    }
}

fn flat(n_blocks: f64) -> IndexSize {
    IndexSize {
        n_blocks: n_blocks.clamp(1.0, f64::from(u32::MAX)) as u64,
        ..IndexSize::default()
    }
}

fn aligned(bytes: f64, to: f64) -> f64 {
    (bytes / to).ceil() * to
}

/// Buckets come in powers of two, later in quarters between them (`_hash_spareindex`). Until a power is full, the buckets that are not split yet
/// hold twice as much as the others.
fn hash(facts: &IndexFacts) -> f64 {
    let nulls = facts.columns.iter().flat_map(|column| &column.classes);
    let null_share: f64 = nulls.filter(|c| c.is_null()).map(|c| c.share).sum();
    // NULLs are not in it
    let n_rows = facts.n_rows * (1.0 - null_share).max(0.0);
    let per_bucket = (PAGE * HASH_FILL / HASH_ENTRY).floor();
    let wanted = (n_rows / per_bucket).ceil().max(2.0);
    let power = 2_f64.powf(wanted.log2().ceil());
    let n_buckets = if power < HASH_QUARTERS_FROM {
        power
    } else {
        let quarter = power / 8.0;
        (wanted / quarter).ceil() * quarter
    };
    let common = common(facts);
    let in_common: f64 = common.iter().sum::<f64>().min(n_rows);
    let rest = n_rows - in_common;
    let n_keys = facts.columns.first().map_or(1.0, KeyColumn::n_distinct);
    let rows_per_key = rest / (n_keys - common.len() as f64).max(1.0);
    let load = rest / power;
    let n_double = power - n_buckets;
    let mut overflow = n_double * overflow_pages(2.0 * load, rows_per_key, 0.0)
        + (n_buckets - n_double) * overflow_pages(load, rows_per_key, 0.0);
    // where common keys lie, there is more: several of them can share a bucket
    for (bucket, rows) in in_buckets(&common, power, n_buckets) {
        let half = power / 2.0;
        let is_double = (bucket as f64) < half && bucket as f64 + half >= n_buckets;
        let load = if is_double { 2.0 * load } else { load };
        overflow +=
            overflow_pages(load, rows_per_key, rows) - overflow_pages(load, rows_per_key, 0.0);
    }
    // the metapage and a bitmap of overflow pages
    n_buckets + overflow + 2.0
}

/// Rows of common keys by the bucket in which chance puts them, the same chance every time.
fn in_buckets(common: &[f64], power: f64, n_buckets: f64) -> BTreeMap<u64, f64> {
    let mut found = BTreeMap::new();
    for (at, rows) in common.iter().enumerate() {
        let hash = xxhash_rust::xxh3::xxh3_64(&(at as u64).to_le_bytes());
        let bucket = hash % power as u64;
        let bucket = if bucket as f64 >= n_buckets {
            bucket - power as u64 / 2
        } else {
            bucket
        };
        *found.entry(bucket).or_insert(0.0) += rows;
    }
    found
}

/// Rows of each of the commonest keys: all but those of the least frequent class, which are reckoned by chance.
fn common(facts: &IndexFacts) -> Vec<f64> {
    let classes = facts.columns.iter().take(1).flat_map(|c| &c.classes);
    let mut found: Vec<(f64, f64)> = classes
        .filter(|class| !class.is_null())
        .map(|class| (facts.n_rows * class.share / class.n.max(1.0), class.n))
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.pop();
    let rows = found.into_iter().filter(|(_, n)| *n <= MAX_COMMON);
    rows.flat_map(|(rows, n)| std::iter::repeat_n(rows, n.round() as usize))
        .collect()
}

/// `MAX_STATISTICS_TARGET`: common values that statistics can hold.
const MAX_COMMON: f64 = 10_000.0;

fn hash_entries_per_page() -> f64 {
    ((PAGE - 40.0) / HASH_ENTRY).floor()
}

/// Expected pages behind a bucket's first, with `known` rows and `load` more on average in keys of `rows_per_key` rows that fall by chance (Poisson).
fn overflow_pages(load: f64, rows_per_key: f64, known: f64) -> f64 {
    let rows_per_key = rows_per_key.max(1.0);
    let mean = load / rows_per_key;
    let spread = 8.0 * mean.sqrt() + 10.0;
    let first = (mean - spread).max(0.0).floor();
    let (mut sum, mut weight) = (0.0, 0.0);
    let mut n_keys = first;
    // relative probabilities, from the mean outwards in logarithms: no overflow, no underflow that matters
    while n_keys <= mean + spread {
        let p = (n_keys * mean.max(1e-9).ln() - mean - log_factorial(n_keys)).exp();
        let pages = ((known + n_keys * rows_per_key) / hash_entries_per_page()).ceil() - 1.0;
        sum += p * pages.max(0.0);
        weight += p;
        n_keys += 1.0;
    }
    sum / f64::max(weight, 1e-9)
}

/// Stirling's series.
fn log_factorial(n: f64) -> f64 {
    if n < 1.0 {
        return 0.0;
    }
    n * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI * n).ln() + 1.0 / (12.0 * n)
}

fn brin(facts: &IndexFacts) -> IndexSize {
    let per_range = facts.pages_per_range.max(1.0);
    let ranges = (facts.n_heap_pages / per_range).ceil();
    let summaries = facts.columns.iter().zip(&facts.summaries);
    let values: f64 = summaries
        .map(|(column, summary)| match summary {
            Summary::MinMax => 2.0 * column.width(),
            Summary::Multi => MULTI_HEAD + MULTI_VALUES * column.width(),
            Summary::Bloom => {
                let rows = BLOOM_ROWS_PER_PAGE * per_range;
                let bits = BLOOM_BITS_PER_VALUE * (BLOOM_DISTINCT * rows).max(BLOOM_MIN_VALUES);
                MULTI_HEAD + bits / 8.0
            }
        })
        .sum();
    let tuple = aligned(8.0 + values, 8.0) + LINE_POINTER;
    let revmap = (ranges / BRIN_RANGES_PER_PAGE).ceil().max(1.0);
    let per_page = ((PAGE - 40.0) / tuple).floor().max(1.0);
    IndexSize {
        brin: Some(BrinMeta {
            last_revmap_page: revmap as u32,
        }),
        ..flat(1.0 + revmap + (ranges / per_page).ceil().max(1.0))
    }
}

fn gist(facts: &IndexFacts) -> IndexSize {
    let key: f64 = facts
        .columns
        .iter()
        .map(|column| aligned(column.width(), column.align))
        .sum();
    let per_row = facts
        .bytes_per_row
        .unwrap_or(aligned(TUPLE_HEADER + key, 8.0) + LINE_POINTER);
    flat(1.0 + (facts.n_rows * per_row / (PAGE * GIST_FILL)).ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of eight bytes of that many values.
    fn facts(n_rows: f64, n_keys: f64) -> IndexFacts {
        IndexFacts {
            method: "btree".into(),
            n_rows,
            n_keys: None,
            columns: vec![KeyColumn {
                length: 8,
                align: 8.0,
                classes: vec![Class {
                    n: n_keys,
                    share: 1.0,
                    widths: vec![8.0],
                }],
                n_rows,
            }],
            in_order: Vec::new(),
            deduplicates: true,
            n_heap_pages: 0.0,
            rows_per_page: 100.0,
            pages_per_range: 128.0,
            summaries: Vec::new(),
            entries: Vec::new(),
            bytes_per_row: None,
        }
    }

    #[track_caller]
    fn near(estimate: u64, real: u64) {
        let ratio = estimate as f64 / real as f64;
        assert!(
            (0.95..1.05).contains(&ratio),
            "{estimate} pages, really {real}"
        );
    }

    #[test]
    fn unique_keys_fill_leaves_to_nine_tenths() {
        // pgbench_accounts_pkey at scale 10, on 15: 2745 pages, level 2 (int4 keys: 16 bytes an entry as with int8)
        let size = estimate(&facts(1e6, 1e6));
        near(size.n_blocks, 2745);
        assert_eq!(size.height, 2);
    }

    #[test]
    fn equal_keys_share_their_bytes() {
        // 1 M rows of 10 distinct int4, on 15: 850 pages
        let size = estimate(&facts(1e6, 10.0));
        near(size.n_blocks, 850);
    }

    #[test]
    fn an_empty_index_is_its_metapage() {
        assert_eq!(estimate(&facts(0.0, 0.0)), flat(1.0));
    }

    #[test]
    fn hash_buckets_wait_for_their_split() {
        // shop.order_items (order_id), on 15: 421,429 rows, 1,818 pages; shop.customers (email): 50,000 rows, 258 pages
        let size = |n_rows: f64, n_keys: f64| {
            let mut facts = facts(n_rows, n_keys);
            facts.method = "hash".into();
            estimate(&facts).n_blocks
        };
        near(size(421_429.0, 200_000.0), 1818);
        near(size(50_000.0, 50_000.0), 258);
    }
}
