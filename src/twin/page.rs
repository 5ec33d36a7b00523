//! Bytes of index pages: just enough of `nbtree`, `gin` and `brin` for the planner to find its numbers, and for
//! `get_actual_variable_range` to descend a legal tree.
//!
//! Layouts: `storage/bufpage.h`, `access/nbtree.h`, `access/ginblock.h`, `access/brin_page.h`, `access/itup.h` (PostgreSQL 13 to 18, unchanged
//! there). Little-endian machines only, as all that Postgres publishes packages for and this crate is built for, s390x apart.

use super::key::KeyImage;
use crate::catalog::planner::{BrinMeta, GinMeta};

/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = 8192;
/// `SizeOfPageHeaderData`
const HEADER_BYTES: usize = 24;
/// `sizeof(BTPageOpaqueData)`
const SPECIAL_BYTES: usize = 16;
/// Where a b-tree page's special space begins.
const SPECIAL: usize = PAGE_BYTES - SPECIAL_BYTES;
/// `PG_PAGE_LAYOUT_VERSION` beside the page's size in `pd_pagesize_version`.
const SIZE_AND_LAYOUT: u16 = PAGE_BYTES as u16 | 4;
/// `LP_NORMAL`
const LP_NORMAL: u32 = 1;
/// `sizeof(ItemIdData)`
const LINE_POINTER_BYTES: usize = 4;
/// `BTP_LEAF`
const BTP_LEAF: u16 = 1;
/// `BTP_ROOT`
const BTP_ROOT: u16 = 2;
/// `INDEX_ALT_TID_MASK`: a pivot tuple.
const INDEX_ALT_TID: u16 = 0x2000;
/// `INDEX_VAR_MASK`
const INDEX_HAS_VARWIDTH: u16 = 0x4000;
/// `INDEX_NULL_MASK`
const INDEX_HAS_NULLS: u16 = 0x8000;
/// Data of an index tuple with a null bitmap starts here: 8 bytes of header, 4 of bitmap, aligned to 8.
const DATA_AFTER_BITMAP: usize = 16;
/// End of the b-tree metadata in the metapage: header and `sizeof(BTMetaPageData)`.
const BTREE_META_END: u16 = 72;

/// A page of Postgres.
pub(super) type Page = [u8; PAGE_BYTES];

/// The highest b-tree that is believed: with 8 KiB pages and the largest key (2.7 kB, 3 a page) 2^32 pages need 21 levels.
pub(super) const MAX_HEIGHT: u32 = 21;

/// Writes root and level into an existing b-tree metapage.
pub(super) fn patch_btree_meta(page: &mut Page, height: u32) {
    put_u32(page, HEADER_BYTES + 8, 1); // btm_root: block 1, see `btree_chain`
    put_u32(page, HEADER_BYTES + 12, height); // btm_level
    put_u32(page, HEADER_BYTES + 16, 1); // btm_fastroot
    put_u32(page, HEADER_BYTES + 20, height); // btm_fastlevel
    let lower = u16::from_le_bytes([page[12], page[13]]);
    put_u16(page, 12, lower.max(BTREE_META_END));
}

/// Blocks 1 to `height + 1`: a root that leads by one downlink a level to a leaf that holds `ends` (in index order) or nothing.
/// `n_keys` is the number of the index's columns: with several, those behind the first are null.
#[must_use]
pub(super) fn btree_chain(height: u32, ends: &[KeyImage], n_columns: usize) -> Vec<Page> {
    (0..=height)
        .rev()
        .map(|level| {
            let block = height - level + 1;
            let root = if level == height { BTP_ROOT } else { 0 };
            if level == 0 {
                let items: Vec<Vec<u8>> = ends
                    .iter()
                    .zip(1..)
                    .map(|(key, position)| leaf_tuple(key, position, n_columns))
                    .collect();
                btree_page(&items, 0, BTP_LEAF | root)
            } else {
                btree_page(&[downlink(block + 1)], level, root)
            }
        })
        .collect()
}

/// Writes the counters into an existing GIN metapage.
pub(super) fn patch_gin_meta(page: &mut Page, meta: &GinMeta) {
    put_u32(page, HEADER_BYTES + 12, meta.n_pending_pages);
    put_i64(page, HEADER_BYTES + 16, meta.n_pending_tuples);
    put_u32(page, HEADER_BYTES + 24, meta.n_total_pages);
    put_u32(page, HEADER_BYTES + 28, meta.n_entry_pages);
    put_u32(page, HEADER_BYTES + 32, meta.n_data_pages);
    put_i64(page, HEADER_BYTES + 40, meta.n_entries);
}

/// Writes the end of the range map into an existing BRIN metapage.
pub(super) fn patch_brin_meta(page: &mut Page, meta: BrinMeta) {
    put_u32(page, HEADER_BYTES + 12, meta.last_revmap_page);
}

/// The first page of a visibility map that calls heap block 0 all-visible and all-frozen, so that an index-only probe of the ends believes
/// the leaf and does not look for the (absent) row.
#[must_use]
pub(super) fn visibility_map() -> Page {
    let mut page = [0; PAGE_BYTES];
    put_page_header(&mut page, HEADER_BYTES, PAGE_BYTES, PAGE_BYTES);
    page[HEADER_BYTES] = 0b11;
    page
}

fn btree_page(items: &[Vec<u8>], level: u32, flags: u16) -> Page {
    let mut page = [0; PAGE_BYTES];
    let mut upper = SPECIAL;
    for (position, item) in items.iter().enumerate() {
        upper -= item.len();
        page[upper..upper + item.len()].copy_from_slice(item);
        let pointer = upper as u32 | (LP_NORMAL << 15) | ((item.len() as u32) << 17);
        put_u32(
            &mut page,
            HEADER_BYTES + position * LINE_POINTER_BYTES,
            pointer,
        );
    }
    let lower = HEADER_BYTES + items.len() * LINE_POINTER_BYTES;
    put_page_header(&mut page, lower, upper, SPECIAL);
    put_u32(&mut page, SPECIAL + 8, level); // btpo_prev and btpo_next stay 0: alone on its level
    put_u16(&mut page, SPECIAL + 12, flags);
    page
}

/// The minus-infinity tuple of an internal page: no key columns, its heap pointer is the child's block.
fn downlink(child: u32) -> Vec<u8> {
    let mut tuple = vec![0; 8];
    tuple[0..2].copy_from_slice(&((child >> 16) as u16).to_le_bytes());
    tuple[2..4].copy_from_slice(&(child as u16).to_le_bytes());
    tuple[6..8].copy_from_slice(&(8 | INDEX_ALT_TID).to_le_bytes());
    tuple
}

/// A leaf tuple that points at line `position` of heap block 0.
fn leaf_tuple(key: &KeyImage, position: u16, n_columns: usize) -> Vec<u8> {
    let mut info = 0;
    let mut tuple = vec![0; 8];
    if n_columns > 1 {
        tuple.resize(DATA_AFTER_BITMAP, 0);
        tuple[8] = 1; // a set bit is a value: the first column alone has one
        info |= INDEX_HAS_NULLS;
    }
    if key.varlena {
        info |= INDEX_HAS_VARWIDTH;
    }
    tuple.extend_from_slice(&key.bytes);
    tuple.resize(tuple.len().next_multiple_of(8), 0);
    info |= tuple.len() as u16;
    tuple[4..6].copy_from_slice(&position.to_le_bytes());
    tuple[6..8].copy_from_slice(&info.to_le_bytes());
    tuple
}

fn put_page_header(page: &mut Page, lower: usize, upper: usize, special: usize) {
    put_u16(page, 12, lower as u16);
    put_u16(page, 14, upper as u16);
    put_u16(page, 16, special as u16);
    put_u16(page, 18, SIZE_AND_LAYOUT);
}

fn put_u16(page: &mut Page, at: usize, value: u16) {
    page[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn put_u32(page: &mut Page, at: usize, value: u32) {
    page[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_i64(page: &mut Page, at: usize, value: i64) {
    page[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u16_at(page: &Page, at: usize) -> u16 {
        u16::from_le_bytes([page[at], page[at + 1]])
    }

    fn u32_at(page: &Page, at: usize) -> u32 {
        u32::from(u16_at(page, at)) | u32::from(u16_at(page, at + 2)) << 16
    }

    #[test]
    fn a_chain_leads_from_the_root_to_one_leaf() {
        let pages = btree_chain(2, &[], 1);
        assert_eq!(pages.len(), 3);
        let flags: Vec<u16> = pages.iter().map(|p| u16_at(p, SPECIAL + 12)).collect();
        assert_eq!(flags, [BTP_ROOT, 0, BTP_LEAF]);
        let levels: Vec<u32> = pages.iter().map(|p| u32_at(p, SPECIAL + 8)).collect();
        assert_eq!(levels, [2, 1, 0]);
        for (page, child) in pages[..2].iter().zip([2, 3]) {
            let tuple = (u32_at(page, HEADER_BYTES) & 0x7fff) as usize;
            assert_eq!(u16_at(page, tuple + 2), child, "downlink");
        }
        assert_eq!(u16_at(&pages[2], 12), 24, "the leaf is empty");
    }

    #[test]
    fn a_tree_of_one_page_is_root_and_leaf() {
        let pages = btree_chain(0, &[], 1);
        assert_eq!(u16_at(&pages[0], SPECIAL + 12), BTP_LEAF | BTP_ROOT);
    }

    #[test]
    fn ends_lie_in_the_leaf_in_order() {
        let ends = [
            KeyImage::fixed(7_i64.to_le_bytes()),
            KeyImage::fixed(9_i64.to_le_bytes()),
        ];
        for (n_columns, size) in [(1, 16), (3, 24)] {
            let page = btree_chain(0, &ends, n_columns)[0];
            for (position, value) in [7, 9].into_iter().enumerate() {
                let pointer = u32_at(&page, HEADER_BYTES + 4 * position);
                let at = (pointer & 0x7fff) as usize;
                assert_eq!(pointer >> 17, size);
                assert_eq!(u16_at(&page, at + 6) & 0x1fff, size as u16);
                assert_eq!(u32_at(&page, at + size as usize - 8), value);
            }
        }
    }

    #[test]
    fn metapages_keep_what_is_not_theirs() {
        let mut page = [0xaa; PAGE_BYTES];
        patch_btree_meta(&mut page, 3);
        assert_eq!(u32_at(&page, 24), 0xaaaa_aaaa, "magic");
        assert_eq!(
            [32, 36, 40, 44].map(|at| u32_at(&page, at)),
            [1, 3, 1, 3],
            "root, level, fast root, fast level"
        );
        assert_eq!(u32_at(&page, 48), 0xaaaa_aaaa);
    }
}
