//! How large and how high an index will be, from what the planner knows of its columns.
//!
//! B-trees follow `nbtsort.c`, `nbtdedup.c` and `itup.h`; the others are coarser. Errors measured against really built indexes stand in
//! `benches/README.md`, section "Twin".

/// `BLCKSZ`
const PAGE: f64 = 8192.0;
/// Page header and b-tree special space.
const BTREE_PAGE_OVERHEAD: f64 = 24.0 + 16.0;
/// Free space that a leaf keeps when built: 100 - `BTREE_DEFAULT_FILLFACTOR`.
const LEAF_FREE: f64 = PAGE * 0.10;
/// The same for internal pages: 100 - `BTREE_NONLEAF_FILLFACTOR`.
const INTERNAL_FREE: f64 = PAGE * 0.30;
/// `sizeof(ItemIdData)`
const LINE_POINTER: f64 = 4.0;
/// `sizeof(IndexTupleData)`
const TUPLE_HEADER: f64 = 8.0;
/// Tuple header with a null bitmap.
const TUPLE_HEADER_NULLS: f64 = 16.0;
/// `sizeof(ItemPointerData)`
const POSTING: f64 = 6.0;
/// Largest posting list that an index build makes: a tenth of a page (`_bt_load`).
const MAX_POSTING: f64 = 812.0;
/// Bytes of a hash index's entry, and how full its buckets are planned (`HASH_DEFAULT_FILLFACTOR` 75).
const HASH_ENTRY: f64 = 20.0;
const HASH_FILL: f64 = 0.75;
/// Range map entries of a BRIN page.
const BRIN_RANGES_PER_PAGE: f64 = 1360.0;
/// Share of a page that GiST's and SP-GiST's splits leave full on average (measured: 0.6 to 0.75).
const GIST_FILL: f64 = 0.68;
/// Bytes of a heap pointer in a compressed GIN posting list: a delta in base 128 (`ginpostinglist.c`); one byte up to 127 offsets away.
const GIN_POSTING_NEAR: f64 = 1.1;
const GIN_POSTING_FAR: f64 = 2.0;
/// Share of a GIN page in use after a build.
const GIN_FILL: f64 = 0.85;

/// A column of an index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KeyColumn {
    /// `typlen`, -1 for variable length.
    pub(super) length: i16,
    /// Alignment in bytes.
    pub(super) align: f64,
    /// Average width of values that are not NULL, header included.
    pub(super) width: f64,
    /// Share of NULLs.
    pub(super) null_frac: f64,
}

/// What is known of an index before it is built.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct IndexFacts {
    pub(super) method: String,
    /// Rows that it will hold.
    pub(super) n_rows: f64,
    /// Distinct keys among them.
    pub(super) n_keys: f64,
    /// Key and INCLUDE columns.
    pub(super) columns: Vec<KeyColumn>,
    /// Equal keys share a tuple (`btequalimage`, no INCLUDE).
    pub(super) deduplicates: bool,
    /// Pages of the table, and `pages_per_range` of a BRIN index.
    pub(super) n_heap_pages: f64,
    pub(super) pages_per_range: f64,
    /// Elements a row of a GIN index, and how many distinct ones there are.
    pub(super) elements_per_row: f64,
    pub(super) n_elements: f64,
}

/// Pages and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexSize {
    pub(super) n_blocks: u64,
    pub(super) height: u32,
}

/// The estimate for one index.
pub(super) fn estimate(facts: &IndexFacts) -> IndexSize {
    match facts.method.as_str() {
        "btree" => btree(facts),
        "hash" => flat(hash(facts)),
        "brin" => flat(brin(facts)),
        "gin" => flat(gin(facts)),
        _ => flat(gist(facts)),
    }
}

fn flat(n_blocks: f64) -> IndexSize {
    IndexSize {
        n_blocks: n_blocks.clamp(1.0, f64::from(u32::MAX)) as u64,
        height: 0,
    }
}

fn btree(facts: &IndexFacts) -> IndexSize {
    if facts.n_rows < 1.0 {
        return IndexSize {
            n_blocks: 1,
            height: 0,
        };
    }
    let item = item_bytes(&facts.columns);
    let per_row = if facts.deduplicates {
        deduplicated(item, facts.n_rows / facts.n_keys.max(1.0))
    } else {
        item + LINE_POINTER
    };
    // each leaf but the last repeats its upper bound as high key
    let room = PAGE - BTREE_PAGE_OVERHEAD - LEAF_FREE - item;
    let mut pages = (facts.n_rows * per_row / room.max(item)).ceil().max(1.0);
    let fan_out = ((PAGE - BTREE_PAGE_OVERHEAD - INTERNAL_FREE) / (item + LINE_POINTER)).max(2.0);
    let (mut total, mut height) = (pages, 0);
    while pages > 1.0 {
        pages = (pages / fan_out).ceil();
        total += pages;
        height += 1;
    }
    IndexSize {
        n_blocks: total as u64 + 1,
        height,
    }
}

/// Bytes a row where equal keys share posting lists.
fn deduplicated(item: f64, rows_per_key: f64) -> f64 {
    let per_list = ((MAX_POSTING - item) / POSTING).floor().max(1.0);
    if rows_per_key <= 1.0 || per_list < 2.0 {
        return item + LINE_POINTER;
    }
    let n_lists = (rows_per_key / per_list).ceil();
    let rows_per_list = rows_per_key / n_lists;
    // a key that occurs once has no list: with few rows a key on average, that is a share of them (geometric distribution)
    let single = 1.0 / (rows_per_list * rows_per_list);
    let shared = aligned(item + POSTING * rows_per_list, 8.0) + LINE_POINTER;
    (single * (item + LINE_POINTER) + (1.0 - single) * shared) / rows_per_list
}

/// Average bytes of an index tuple, without its line pointer.
fn item_bytes(columns: &[KeyColumn]) -> f64 {
    let none_null: f64 = columns
        .iter()
        .map(|column| 1.0 - column.null_frac)
        .product();
    let full = columns
        .iter()
        .fold(0.0, |offset, column| place(offset, column, 1.0));
    let partial = columns.iter().fold(0.0, |offset, column| {
        place(offset, column, 1.0 - column.null_frac)
    });
    none_null * aligned(TUPLE_HEADER + full, 8.0)
        + (1.0 - none_null) * aligned(TUPLE_HEADER_NULLS + partial, 8.0)
}

fn place(offset: f64, column: &KeyColumn, share: f64) -> f64 {
    // a varlena of up to 126 bytes has a header of one byte and no alignment
    let align = if column.length < 0 && column.width <= 127.0 {
        1.0
    } else {
        column.align
    };
    offset + share * (aligned(offset, align) - offset + column.width)
}

fn aligned(bytes: f64, to: f64) -> f64 {
    (bytes / to).ceil() * to
}

/// Buckets come in powers of two, and from 1024 on in quarters between them (`_hash_spareindex`).
fn hash(facts: &IndexFacts) -> f64 {
    let per_bucket = (PAGE * HASH_FILL / HASH_ENTRY).floor();
    let wanted = (facts.n_rows / per_bucket).ceil().max(2.0);
    let power = 2_f64.powf(wanted.log2().ceil());
    let buckets = if power <= 1024.0 {
        power
    } else {
        let quarter = power / 8.0;
        (wanted / quarter).ceil() * quarter
    };
    let per_page = ((PAGE - 40.0) / HASH_ENTRY).floor();
    let rows_per_key = facts.n_rows / facts.n_keys.max(1.0);
    let crowded = (rows_per_key / per_page).ceil() * facts.n_keys - buckets;
    buckets + crowded.max(0.0) + 3.0
}

fn brin(facts: &IndexFacts) -> f64 {
    let ranges = (facts.n_heap_pages / facts.pages_per_range.max(1.0)).ceil();
    let values: f64 = facts.columns.iter().map(|column| 2.0 * column.width).sum();
    let tuple = aligned(8.0 + values, 8.0) + LINE_POINTER;
    1.0 + (ranges / BRIN_RANGES_PER_PAGE).ceil().max(1.0)
        + (ranges * tuple / (PAGE - 40.0)).ceil().max(1.0)
}

fn gin(facts: &IndexFacts) -> f64 {
    let postings = facts.n_rows * facts.elements_per_row;
    let gap = facts.n_elements / facts.elements_per_row.max(0.01);
    let bytes = if gap < 60.0 {
        GIN_POSTING_NEAR
    } else {
        GIN_POSTING_FAR
    };
    let key: f64 = facts.columns.iter().map(|column| column.width).sum();
    let entries = facts.n_elements * (aligned(TUPLE_HEADER + key, 8.0) + LINE_POINTER);
    2.0 + ((entries + postings * bytes) / (PAGE * GIN_FILL)).ceil()
}

fn gist(facts: &IndexFacts) -> f64 {
    let key: f64 = facts
        .columns
        .iter()
        .map(|column| aligned(column.width, column.align))
        .sum();
    let tuple = aligned(TUPLE_HEADER + key, 8.0) + LINE_POINTER;
    1.0 + (facts.n_rows * tuple / (PAGE * GIST_FILL)).ceil()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIGINT: KeyColumn = KeyColumn {
        length: 8,
        align: 8.0,
        width: 8.0,
        null_frac: 0.0,
    };

    fn facts(n_rows: f64, n_keys: f64, columns: Vec<KeyColumn>) -> IndexFacts {
        IndexFacts {
            method: "btree".into(),
            n_rows,
            n_keys,
            columns,
            deduplicates: true,
            n_heap_pages: 0.0,
            pages_per_range: 128.0,
            elements_per_row: 1.0,
            n_elements: 1.0,
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
        let size = estimate(&facts(1e6, 1e6, vec![BIGINT]));
        near(size.n_blocks, 2745);
        assert_eq!(size.height, 2);
    }

    #[test]
    fn equal_keys_share_their_bytes() {
        // 1 M rows of 10 distinct int4, on 15: 850 pages
        let size = estimate(&facts(1e6, 10.0, vec![BIGINT]));
        near(size.n_blocks, 850);
    }

    #[test]
    fn an_empty_index_is_its_metapage() {
        assert_eq!(
            estimate(&facts(0.0, 0.0, vec![BIGINT])),
            IndexSize {
                n_blocks: 1,
                height: 0
            }
        );
    }
}
