//! How large a GIN index will be, from how often each of its keys occurs.

use super::{IndexFacts, IndexSize, LINE_POINTER, PAGE, aligned, flat};
use crate::catalog::planner::GinMeta;

/// Largest entry with its list of rows (`GinMaxItemSize`); beyond it the list becomes a tree of its own.
const MAX_ENTRY: f64 = 2712.0;
/// Share of an entry page in use after a build: keys come in order, and a full page is split in half (`entrySplitPage`); measured 0.5 to 0.55.
const ENTRY_FILL: f64 = 0.53;
/// Bytes of a page that hold compressed lists, when built in order.
const DATA_ROOM: f64 = PAGE - 48.0;
/// First row and head of each compressed segment, over the segment's size (`GinPostingListSegmentTargetSize` 256).
const SEGMENT_SHARE: f64 = 1.0 + 8.0 / 256.0;
/// Children of an inner page of a posting tree (`PostingItem` has 10 bytes).
const POSTING_FAN_OUT: f64 = 800.0;
/// Bytes of the first row of a list, uncompressed, with the list's head.
const FIRST_ROW: f64 = 8.0;

/// Keys of about the same frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::twin) struct GinEntry {
    /// How many of them.
    pub(in crate::twin) n: f64,
    /// Rows that each stands in, of the table's.
    pub(in crate::twin) n_rows: f64,
    /// Bytes of the key with the tuple's header.
    pub(in crate::twin) key_bytes: f64,
}

/// Keys of the whole from those of a sample: `(rows of the sample that hold it, bytes)` each. Frequent keys keep their frequency; how many rare
/// ones there are is what Chao's estimator of unseen classes says (Chao 1984), and at most as many as if each sample brought as many new ones.
pub(in crate::twin) fn extrapolate(
    keys: &[(f64, f64)],
    n_sample: f64,
    n_rows: f64,
) -> Vec<GinEntry> {
    let scale = (n_rows / n_sample.max(1.0)).max(1.0);
    let (rare, frequent): (Vec<_>, Vec<_>) = keys.iter().partition(|(count, _)| *count < RARE);
    let mut entries: Vec<GinEntry> = frequent
        .iter()
        .map(|(count, key_bytes)| GinEntry {
            n: 1.0,
            n_rows: count * scale,
            key_bytes: *key_bytes,
        })
        .collect();
    if !rare.is_empty() {
        let once = rare.iter().filter(|(count, _)| *count < 1.5).count() as f64;
        let twice = rare.len() as f64 - once;
        let postings: f64 = rare.iter().map(|(count, _)| count * scale).sum();
        let linear = once * scale + twice;
        let unseen = if twice > 0.0 {
            once * once / (2.0 * twice)
        } else {
            linear
        };
        let n = (rare.len() as f64 + unseen)
            .min(linear)
            .clamp(1.0, postings.max(1.0));
        entries.push(GinEntry {
            n,
            n_rows: postings / n,
            key_bytes: rare.iter().map(|(_, bytes)| bytes).sum::<f64>() / rare.len() as f64,
        });
    }
    entries
}

/// Occurrences in a sample below which a key's frequency is chance.
const RARE: f64 = 2.5;

/// Size and counters after a build.
pub(super) fn gin(facts: &IndexFacts) -> IndexSize {
    let (mut entry_bytes, mut data_pages, mut n_entries) = (0.0, 0.0, 0.0);
    for entry in &facts.entries {
        let rows = entry.n_rows.max(1.0);
        let share = (rows / facts.n_rows.max(1.0)).min(1.0);
        let list =
            FIRST_ROW + (rows - 1.0) * bytes_per_row(share, facts.rows_per_page) * SEGMENT_SHARE;
        let inline = aligned(entry.key_bytes + list, 8.0);
        n_entries += entry.n;
        if inline <= MAX_ENTRY {
            entry_bytes += entry.n * (inline + LINE_POINTER);
        } else {
            entry_bytes += entry.n * (aligned(entry.key_bytes, 8.0) + LINE_POINTER);
            data_pages += entry.n * tree_pages(list);
        }
    }
    let leaves = (entry_bytes / (DATA_ROOM * ENTRY_FILL)).ceil().max(1.0);
    let fan_out = (DATA_ROOM * ENTRY_FILL / (mean_key(&facts.entries) + LINE_POINTER)).max(2.0);
    let (mut entry_pages, mut level) = (leaves, leaves);
    while level > 1.0 {
        level = (level / fan_out).ceil();
        entry_pages += level;
    }
    let total = 2.0 + entry_pages + data_pages;
    IndexSize {
        gin: Some(GinMeta {
            n_total_pages: total as u32,
            n_entry_pages: entry_pages as u32,
            n_data_pages: data_pages as u32,
            n_entries: n_entries as i64,
            ..GinMeta::default()
        }),
        ..flat(total)
    }
}

fn mean_key(entries: &[GinEntry]) -> f64 {
    let n: f64 = entries.iter().map(|entry| entry.n).sum();
    let bytes: f64 = entries
        .iter()
        .map(|e| e.n * aligned(e.key_bytes, 8.0))
        .sum();
    if n > 0.0 { bytes / n } else { 16.0 }
}

fn tree_pages(list_bytes: f64) -> f64 {
    let mut pages = (list_bytes / DATA_ROOM).ceil();
    let mut total = pages;
    while pages > 1.0 {
        pages = (pages / POSTING_FAN_OUT).ceil();
        total += pages;
    }
    total
}

/// Bytes of a row in a compressed list: its distance to the one before in base 128, a page being 2^11 apart (`ginpostinglist.c`). `share` of all
/// rows are in the list, lying by chance.
fn bytes_per_row(share: f64, rows_per_page: f64) -> f64 {
    let within = |pages: f64| 1.0 - (1.0 - share).powf(rows_per_page * pages);
    // both on one page, averaged over where the first stands
    let same_page = 1.0 - within(1.0) / (rows_per_page * share).max(1e-12);
    let near = within(8.0).max(same_page);
    let far = within(1024.0).max(near);
    same_page + 2.0 * (near - same_page) + 3.0 * (far - near) + 4.0 * (1.0 - far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_keys_take_a_byte_a_row() {
        assert!((bytes_per_row(1.0, 100.0) - 1.0).abs() < 0.02);
        assert!(bytes_per_row(0.2, 50.0) < 1.2);
        assert!(bytes_per_row(1e-7, 50.0) > 3.9);
    }

    #[test]
    fn rare_keys_of_a_sample_are_more_in_the_whole() {
        let unique: Vec<(f64, f64)> = vec![(1.0, 24.0); 100];
        let all = extrapolate(&unique, 100.0, 10_000.0);
        assert!((all[0].n - 10_000.0).abs() < 1e-6);
        assert!((all[0].n_rows - 1.0).abs() < 1e-6);
        let few: Vec<(f64, f64)> = vec![(50.0, 24.0); 3];
        let all = extrapolate(&few, 100.0, 10_000.0);
        assert_eq!(all.len(), 3);
        assert!((all[0].n_rows - 5000.0).abs() < 1e-6);
    }
}
