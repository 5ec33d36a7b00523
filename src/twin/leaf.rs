//! What the pages of a small, really built index tell of a large one: keys of a GIN index with their rows, bytes a row of the others.

use super::page::{PAGE_BYTES, Page};

/// `SizeOfPageHeaderData`
const HEADER: usize = 24;
/// `GIN_LEAF` alone among the flags that tell kinds of pages (`GIN_DATA`, `GIN_LEAF`, `GIN_DELETED`, `GIN_META`, `GIN_LIST`).
const GIN_KINDS: u16 = 0x1f;
const GIN_LEAF: u16 = 2;
/// `GIN_TREE_POSTING`: the list is a tree elsewhere.
const IN_A_TREE: u16 = 0xffff;
/// Bytes of the special space of a GIN page.
const GIN_SPECIAL: usize = 8;

/// `(rows, bytes of key and header)` of every key; a list that has grown into a tree counts as `n_rows`.
pub(super) fn gin_keys(pages: &[Page], n_rows: f64) -> Vec<(f64, f64)> {
    let leaves = pages.iter().filter(|page| {
        u16_at(page, 16) as usize == PAGE_BYTES - GIN_SPECIAL
            && u16_at(page, PAGE_BYTES - 2) & GIN_KINDS == GIN_LEAF
    });
    leaves
        .flat_map(items)
        .filter_map(|item| {
            let word = |at: usize| Some(u16::from_le_bytes([*item.get(at)?, *item.get(at + 1)?]));
            let n = word(4)?;
            if n == IN_A_TREE {
                return Some((n_rows, item.len() as f64));
            }
            // the upper bit of the block number says that the list is compressed; the rest is where it begins
            let offset = (u32::from(word(0)? & 0x7fff) << 16) | u32::from(word(2)?);
            Some((f64::from(n), f64::from(offset).min(item.len() as f64)))
        })
        .collect()
}

/// Bytes in use on all pages but the first `skip`.
pub(super) fn used_bytes(pages: &[Page], skip: usize) -> f64 {
    let used = pages.iter().skip(skip).map(|page| {
        let [lower, upper, special] = [12, 14, 16].map(|at| u16_at(page, at) as usize);
        lower.saturating_sub(HEADER) + special.min(PAGE_BYTES).saturating_sub(upper)
    });
    used.sum::<usize>() as f64
}

/// Items of a page, by its line pointers.
fn items(page: &Page) -> impl Iterator<Item = &[u8]> {
    let lower = (u16_at(page, 12) as usize).clamp(HEADER, PAGE_BYTES);
    page[HEADER..lower].chunks_exact(4).filter_map(|pointer| {
        let word = u32::from_le_bytes(pointer.try_into().ok()?);
        let (start, len) = ((word & 0x7fff) as usize, (word >> 17) as usize);
        page.get(start..start + len)
    })
}

fn u16_at(page: &Page, at: usize) -> u16 {
    u16::from_le_bytes([page[at], page[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(page: &mut Page, at: usize, bytes: &[u8]) {
        page[at..at + bytes.len()].copy_from_slice(bytes);
    }

    #[test]
    fn keys_of_a_leaf_are_read() {
        let mut page = [0; PAGE_BYTES];
        put(&mut page, 12, &28_u16.to_le_bytes());
        put(&mut page, 16, &8184_u16.to_le_bytes());
        put(&mut page, 8190, &GIN_LEAF.to_le_bytes());
        put(
            &mut page,
            24,
            &(0x1fd0_u32 | 1 << 15 | 0x28 << 17).to_le_bytes(),
        );
        // list compressed, 24 bytes in, 7 rows
        put(&mut page, 8144, &[0, 0x80, 24, 0, 7, 0]);
        assert_eq!(gin_keys(&[page], 100.0), [(7.0, 24.0)]);
        put(&mut page, 8148, &IN_A_TREE.to_le_bytes());
        assert_eq!(gin_keys(&[page], 100.0), [(100.0, 40.0)]);
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        for byte in [0, 1, 0x7f, 0xff] {
            let pages = [[byte; PAGE_BYTES]];
            gin_keys(&pages, 1.0);
            used_bytes(&pages, 0);
            assert!(items(&pages[0]).count() < PAGE_BYTES);
        }
    }
}
