//! Heads of earlier lines: what stands between a line's time and its level is mostly what an earlier line of the same session had there.

use xxhash_rust::xxh3::xxh3_64;

use super::{Head, TimePlace, level};
use crate::source::time::Clock;

/// Heads kept, as a power of two; a new one takes the place of an older one. Some hundred sessions are busy at once.
const SLOT_BITS: u32 = 9;
/// Bytes by which heads are told apart, at most: process, user and host are within.
const MAX_KEY_BYTES: usize = 32;
/// Lines that were looked up in vain before the prefix is known to differ from line to line (`%l`, `%x`), unless one in
/// [`MIN_HITS_SHARE`] was found.
const PATIENCE: u32 = 512;
const MIN_HITS_SHARE: u32 = 8;

/// Heads of one chunk's lines by the bytes behind their time.
pub(in crate::source) struct Heads<'a> {
    place: TimePlace,
    slots: Vec<Option<Known<'a>>>,
    /// Bytes behind the time that are looked at: as many as the shortest head seen has.
    key_len: usize,
    n_hits: u32,
    n_misses: u32,
}

/// A head, and the bytes behind its time that stand for it.
#[derive(Clone, Copy)]
struct Known<'a> {
    middle: &'a [u8],
    time_len: usize,
    head: Head,
}

impl<'a> Heads<'a> {
    pub(in crate::source) fn new(place: TimePlace) -> Self {
        Self {
            place,
            slots: Vec::new(),
            key_len: MAX_KEY_BYTES,
            n_hits: 0,
            n_misses: 0,
        }
    }

    /// The head of a line whose like was kept.
    pub(in crate::source) fn find(&mut self, line: &[u8], clock: &mut Clock) -> Option<Head> {
        if self.slots.is_empty() {
            return None;
        }
        let (time_us, time_len) = match self.place {
            TimePlace::First => clock.read(line)?,
            TimePlace::Nowhere | TimePlace::Elsewhere => (0, 0),
        };
        let rest = &line[time_len..];
        let at = self.slot(rest)?;
        if let Some(known) = &self.slots[at]
            && known.time_len == time_len
            && rest.starts_with(known.middle)
            && let Some((level, len)) = level(&rest[known.middle.len()..])
        {
            self.n_hits = self.n_hits.wrapping_add(1);
            let mut head = known.head;
            head.time_us = time_us;
            head.level = level;
            head.message = head.prefix_len + len;
            return Some(head);
        }
        None
    }

    /// Keeps the head that a line was read to have.
    pub(in crate::source) fn keep(&mut self, line: &'a [u8], head: &Head) {
        self.n_misses += 1;
        let in_vain = self.n_misses > PATIENCE && self.n_hits / MIN_HITS_SHARE < self.n_misses;
        if in_vain || self.place == TimePlace::Elsewhere {
            self.slots = Vec::new();
            self.place = TimePlace::Elsewhere;
            return;
        }
        let time_len = match self.place {
            TimePlace::First => head.time_len(),
            TimePlace::Nowhere | TimePlace::Elsewhere => 0,
        };
        let Some(middle) = line.get(time_len..head.prefix_len) else {
            return;
        };
        if self.slots.is_empty() {
            self.slots.resize(1 << SLOT_BITS, None);
        }
        if middle.len() < self.key_len {
            self.key_len = middle.len();
            self.slots.fill(None);
        }
        if let Some(at) = self.slot(middle) {
            self.slots[at] = Some(Known {
                middle,
                time_len,
                head: *head,
            });
        }
    }

    fn slot(&self, rest: &[u8]) -> Option<usize> {
        let key = rest.get(..self.key_len)?;
        Some((xxh3_64(key) >> (64 - SLOT_BITS)) as usize)
    }
}
