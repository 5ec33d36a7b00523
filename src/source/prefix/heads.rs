//! Heads of earlier lines: what stands between a line's time and its level is mostly what an earlier line of the same session had there.

use xxhash_rust::xxh3::xxh3_64;

use super::{Field, Head, Level, TimePlace, level};
use crate::source::time::Clock;

/// Heads kept, as a power of two; a new one takes the place of an older one. Some hundred sessions are busy at once.
const SLOT_BITS: u32 = 9;
/// Bytes by which heads are told apart, at most: process, user and host are within.
const MAX_KEY_BYTES: usize = 32;
/// Lines that were looked up in vain before the prefix is known to differ from line to line (`%l`, `%x`), unless one in
/// [`MIN_HITS_SHARE`] was found.
const PATIENCE: u32 = 512;
const MIN_HITS_SHARE: u32 = 8;

/// Who wrote a line: the fields of its head that its session shares.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::source) struct Who<'a> {
    /// Equal numbers mean equal fields; 0 says nothing.
    pub(in crate::source) number: u32,
    /// What tells sessions apart: `%c`, else the process id.
    pub(in crate::source) session: &'a [u8],
    pub(in crate::source) transaction: &'a [u8],
    pub(in crate::source) user: &'a [u8],
    pub(in crate::source) database: &'a [u8],
    pub(in crate::source) application: &'a [u8],
    pub(in crate::source) query_id: &'a [u8],
    pub(in crate::source) sqlstate: &'a [u8],
}

impl<'a> Who<'a> {
    /// The fields that a head has in its line.
    pub(in crate::source) fn of(head: &Head, line: &'a [u8]) -> Self {
        let get = |field| head.get(line, field);
        Self {
            number: 0,
            session: match get(Field::Session) {
                b"" => get(Field::Process),
                session => session,
            },
            transaction: get(Field::Transaction),
            user: get(Field::User),
            database: get(Field::Database),
            application: get(Field::Application),
            query_id: get(Field::QueryId),
            sqlstate: get(Field::SqlState),
        }
    }
}

/// A line's head, as far as it differs from line to line.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Lead {
    /// Number of who wrote the line, see [`Heads::who`].
    pub(in crate::source) who: u32,
    /// Log time, microseconds since the epoch.
    pub(in crate::source) time_us: i64,
    pub(in crate::source) level: Level,
    /// Where the prefix ends and the level starts.
    pub(in crate::source) prefix_len: usize,
    /// Where the message starts.
    pub(in crate::source) message: usize,
}

/// Heads of one chunk's lines by the bytes behind their time.
pub(in crate::source) struct Heads<'a> {
    place: TimePlace,
    slots: Vec<Option<Known<'a>>>,
    /// Bytes behind the time that are looked at: as many as the shortest head seen has.
    key_len: usize,
    n_hits: u32,
    n_misses: u32,
    /// Everybody that a head was read of, by number.
    people: Vec<Who<'a>>,
}

/// A head, and the bytes behind its time that stand for it.
#[derive(Clone, Copy)]
struct Known<'a> {
    middle: &'a [u8],
    time_len: usize,
    who: u32,
}

impl<'a> Heads<'a> {
    pub(in crate::source) fn new(place: TimePlace) -> Self {
        Self {
            place,
            slots: Vec::new(),
            key_len: MAX_KEY_BYTES,
            n_hits: 0,
            n_misses: 0,
            people: vec![Who::default()],
        }
    }

    /// Who wrote a line.
    pub(in crate::source) fn who(&self, number: u32) -> &Who<'a> {
        &self.people[number as usize]
    }

    /// The head of the line that `text` starts with, if its like was kept. `text` may go on behind the line.
    pub(in crate::source) fn find(&mut self, text: &[u8], clock: &mut Clock) -> Option<Lead> {
        if self.slots.is_empty() {
            return None;
        }
        let (time_us, time_len) = match self.place {
            TimePlace::First => clock.read(text)?,
            TimePlace::Nowhere | TimePlace::Elsewhere => (0, 0),
        };
        let rest = &text[time_len..];
        let at = self.slot(rest)?;
        if let Some(known) = &self.slots[at]
            && known.time_len == time_len
            && rest.starts_with(known.middle)
            && let Some((level, len)) = level(&rest[known.middle.len()..])
        {
            self.n_hits = self.n_hits.wrapping_add(1);
            let prefix_len = time_len + known.middle.len();
            return Some(Lead {
                who: known.who,
                time_us,
                level,
                prefix_len,
                message: prefix_len + len,
            });
        }
        None
    }

    /// Takes down who wrote a line, and keeps its head for lines like it where the prefix has its time where the input's has.
    pub(in crate::source) fn keep(
        &mut self,
        line: &'a [u8],
        head: &Head,
        place: TimePlace,
    ) -> Lead {
        let who = self.people.len() as u32;
        self.people.push(Who {
            number: who,
            ..Who::of(head, line)
        });
        if place == self.place {
            self.keep_for_others(line, head, who);
        }
        Lead {
            who,
            time_us: head.time_us,
            level: head.level,
            prefix_len: head.prefix_len,
            message: head.message,
        }
    }

    fn keep_for_others(&mut self, line: &'a [u8], head: &Head, who: u32) {
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
                who,
            });
        }
    }

    fn slot(&self, rest: &[u8]) -> Option<usize> {
        let key = rest.get(..self.key_len)?;
        Some((xxh3_64(key) >> (64 - SLOT_BITS)) as usize)
    }
}
