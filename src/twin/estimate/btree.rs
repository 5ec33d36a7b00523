//! Pages and height of a b-tree as a build leaves it (`nbtsort.c`, `nbtdedup.c`).

use super::{
    IndexFacts, IndexSize, LINE_POINTER, PAGE, POSTING, aligned, flat,
    keys::{Group, groups},
};

/// Page header and special space.
const PAGE_OVERHEAD: f64 = 24.0 + 16.0;
/// Bytes for tuples and line pointers, without the line pointer of the high key.
const ROOM: f64 = PAGE - PAGE_OVERHEAD - LINE_POINTER;
/// A page is finished when less is free: 100 - `BTREE_DEFAULT_FILLFACTOR`, and the same of internal pages (`BTREE_NONLEAF_FILLFACTOR`).
const LEAF_FREE: f64 = PAGE * 0.10;
const INTERNAL_FREE: f64 = PAGE * 0.30;
/// Largest tuple with a list of rows that a build makes: a tenth of a page, aligned (`_bt_load`).
const MAX_SHARED: f64 = 808.0;

/// Leaf tuples by what they take: number, bytes and squares of bytes, and the most bytes of one size.
#[derive(Debug, Default)]
struct Tuples {
    n: f64,
    bytes: f64,
    squares: f64,
    full: (f64, f64),
}

impl Tuples {
    fn add(&mut self, n: f64, item: f64) {
        let size = item + LINE_POINTER;
        self.n += n;
        self.bytes += n * size;
        self.squares += n * size * size;
        if n * size > self.full.1 {
            self.full = (size, n * size);
        }
    }

    /// Leaf pages. A page is finished once it is 90 % full; its last tuple then moves to the next page and leaves a high key in its place.
    fn pages(&self) -> f64 {
        let wanted = ROOM - LEAF_FREE;
        let (size, bytes) = self.full;
        let counted = ((wanted / size).ceil().min((ROOM / size).floor()) - 1.0).max(1.0) * size;
        let mixed = (wanted - 0.5 * self.squares / self.bytes).max(size);
        let share = bytes / self.bytes;
        (self.bytes / (share * counted + (1.0 - share) * mixed))
            .ceil()
            .max(1.0)
    }
}

pub(super) fn btree(facts: &IndexFacts) -> IndexSize {
    if facts.n_rows < 1.0 {
        return flat(1.0);
    }
    let groups = group_keys(facts);
    let mut tuples = Tuples::default();
    let mut weighted = 0.0;
    for group in &groups {
        let before = tuples.bytes;
        add(&mut tuples, group, facts.deduplicates);
        weighted += (tuples.bytes - before) * group.item;
    }
    // an inner page has a key for each page below: keys count by the pages that they fill
    let item = weighted / tuples.bytes.max(1e-9);
    let mut pages = tuples.pages();
    let fan_out = ((ROOM - INTERNAL_FREE) / (item + LINE_POINTER)).max(2.0);
    let (mut total, mut height) = (pages, 0);
    while pages > 1.0 {
        pages = (pages / fan_out).ceil();
        total += pages;
        height += 1;
    }
    IndexSize {
        n_blocks: total as u64 + 1,
        height,
        ..IndexSize::default()
    }
}

/// Keys by their rows; where the number of distinct ones is known, that many of about equal rows.
fn group_keys(facts: &IndexFacts) -> Vec<Group> {
    let groups = groups(&facts.columns, facts.n_rows, &facts.in_order);
    match facts.n_keys {
        Some(n_keys) => Group::of_equal(&groups, n_keys, facts.n_rows),
        None => groups,
    }
}

fn add(tuples: &mut Tuples, group: &Group, deduplicates: bool) {
    // lists of so many rows at most
    let most = ((MAX_SHARED - group.item) / POSTING).floor();
    if !deduplicates || most < 2.0 {
        return tuples.add(group.n * group.load, group.item);
    }
    let (n_once, full_rows) = (group.sum(|rows| f64::from(rows < 1.5)), most);
    tuples.add(n_once, group.item);
    let n_full = group.sum(|rows| (rows / full_rows).floor());
    tuples.add(n_full, group.item + aligned(POSTING * full_rows, 8.0));
    let rest = |rows: f64| {
        if rows < 1.5 {
            0.0
        } else {
            rows - (rows / full_rows).floor() * full_rows
        }
    };
    let n_rest = group.sum(|rows| f64::from(rest(rows) > 0.5));
    if n_rest > 0.0 {
        let lists = group.sum(|rows| aligned(POSTING * rest(rows), 8.0));
        tuples.add(n_rest, group.item + lists / n_rest);
    }
}
