//! Heads of earlier lines: what stands between a line's time and its level is mostly what an earlier line of the same session had there,
//! but for line numbers, transactions and query ids, whose places in it are known.

use hashbrown::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{Field, Head, Layout, Level, MAX_HOLES, Prefix, level, read_hole};
use crate::source::time::Clock;

/// Heads kept, as a power of two; a new one takes the place of an older one. Some hundred sessions are busy at once.
const SLOT_BITS: u32 = 9;
/// Bytes by which heads are told apart, at most: process, user and host are within.
const MAX_KEY_BYTES: usize = 32;
/// Lines that were looked up in vain before the prefix is known to differ from line to line (`%i`), unless one in
/// [`MIN_HITS_SHARE`] was found.
const PATIENCE: u32 = 512;
const MIN_HITS_SHARE: u32 = 8;
/// Writers that are told apart by their fields; later ones get a number for each line.
const MAX_WRITERS: usize = 1 << 16;

/// Who wrote a line: the fields of its head that its session shares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::source) struct Who<'a> {
    /// What tells sessions apart: `%c`, else the process id.
    pub(in crate::source) session: &'a [u8],
    pub(in crate::source) user: &'a [u8],
    pub(in crate::source) database: &'a [u8],
    pub(in crate::source) application: &'a [u8],
    pub(in crate::source) sqlstate: &'a [u8],
}

impl<'a> Who<'a> {
    /// The fields that a head has in its line.
    pub(in crate::source) fn of(head: &Head, line: &'a [u8]) -> Self {
        let get = |field| head.get(line, field);
        Self {
            session: match get(Field::Session) {
                b"" => get(Field::Process),
                session => session,
            },
            user: get(Field::User),
            database: get(Field::Database),
            application: get(Field::Application),
            sqlstate: get(Field::SqlState),
        }
    }

    fn hash(&self) -> u64 {
        let parts = [self.user, self.database, self.application, self.sqlstate];
        parts.iter().fold(xxh3_64(self.session), |hash, part| {
            xxh3_64_with_seed(part, hash)
        })
    }
}

/// Bytes of a line, from its start.
pub(in crate::source) type Range = (u16, u16);

/// A line's head, as far as it differs from line to line.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::source) struct Lead {
    /// Number of who wrote the line, see [`Heads::who`]: equal numbers mean equal fields.
    pub(in crate::source) who: u32,
    /// Log time, microseconds since the epoch.
    pub(in crate::source) time_us: i64,
    /// `%v`
    pub(in crate::source) transaction: Range,
    /// `%Q`
    pub(in crate::source) query_id: Range,
    pub(in crate::source) level: Level,
    /// Where the prefix ends and the level starts.
    pub(in crate::source) prefix_len: usize,
    /// Where the message starts.
    pub(in crate::source) message: usize,
}

/// Heads of one chunk's lines by the first bytes that their session shares.
pub(in crate::source) struct Heads<'a> {
    layout: &'a Layout,
    /// Heads are no use: too much of them differs.
    in_vain: bool,
    slots: Vec<Option<Known<'a>>>,
    /// Bytes that are looked at: as many as the shortest head seen has.
    key_len: usize,
    n_hits: u32,
    n_misses: u32,
    /// Everybody that a head was read of, by number. Number 0 is nobody.
    people: Vec<Who<'a>>,
    /// Their numbers by a hash of their fields.
    numbers: HashMap<u64, u32, foldhash::fast::FixedState>,
}

/// The pieces of a head from the one on that tells sessions apart; between them stand the holes that follow it.
#[derive(Clone, Copy)]
struct Known<'a> {
    pieces: [&'a [u8]; MAX_HOLES + 1],
    n_pieces: usize,
    who: u32,
}

impl<'a> Heads<'a> {
    pub(in crate::source) fn new(prefix: &'a Prefix) -> Self {
        Self {
            layout: &prefix.layout,
            in_vain: prefix.layout.is_irregular,
            slots: Vec::new(),
            key_len: MAX_KEY_BYTES,
            n_hits: 0,
            n_misses: 0,
            people: vec![Who::default()],
            numbers: HashMap::default(),
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
        let mut lead = Lead::default();
        let mut at = 0;
        for (hole, literal) in self.layout.lead.iter().enumerate() {
            at = behind(text, at, literal)?;
            at = self.hole(hole, text, at, clock, &mut lead)?;
        }
        let known = self.slots[self.slot(text.get(at..)?)?].as_ref()?;
        let first_hole = self.layout.lead.len();
        for (n, piece) in known.pieces[..known.n_pieces].iter().enumerate() {
            if n > 0 {
                at = self.hole(first_hole + n - 1, text, at, clock, &mut lead)?;
            }
            at = behind(text, at, piece)?;
        }
        let (level, len) = level(text.get(at..)?)?;
        lead.who = known.who;
        self.n_hits = self.n_hits.wrapping_add(1);
        Some(Lead {
            level,
            prefix_len: at,
            message: at + len,
            ..lead
        })
    }

    /// Reads what differs from line to line at `at`; gives where it ends.
    #[inline]
    fn hole(
        &self,
        hole: usize,
        text: &[u8],
        at: usize,
        clock: &mut Clock,
        lead: &mut Lead,
    ) -> Option<usize> {
        let hole = *self.layout.holes.get(hole)?;
        let (time_us, len) = read_hole(hole, text.get(at..)?, clock)?;
        let range = (u16::try_from(at).ok()?, u16::try_from(at + len).ok()?);
        match hole.field {
            Field::Time => lead.time_us = time_us.unwrap_or(lead.time_us),
            Field::Transaction => lead.transaction = range,
            Field::QueryId => lead.query_id = range,
            _ => {}
        }
        Some(at + len)
    }

    /// Takes down who wrote a line, and keeps its head for lines like it where it has the input's own prefix.
    pub(in crate::source) fn keep(&mut self, line: &'a [u8], head: &Head, is_own: bool) -> Lead {
        let who = self.number(Who::of(head, line));
        if is_own && !self.in_vain {
            self.keep_for_others(line, head, who);
        }
        Lead {
            who,
            time_us: head.time_us,
            transaction: head.range(Field::Transaction),
            query_id: head.range(Field::QueryId),
            level: head.level,
            prefix_len: head.prefix_len,
            message: head.message,
        }
    }

    /// The number of a writer.
    fn number(&mut self, who: Who<'a>) -> u32 {
        let hash = who.hash();
        if let Some(number) = self.numbers.get(&hash)
            && self.people[*number as usize] == who
        {
            return *number;
        }
        let number = self.people.len() as u32;
        self.people.push(who);
        if self.numbers.len() < MAX_WRITERS {
            self.numbers.insert(hash, number);
        }
        number
    }

    fn keep_for_others(&mut self, line: &'a [u8], head: &Head, who: u32) {
        self.n_misses += 1;
        if self.n_misses > PATIENCE && self.n_hits / MIN_HITS_SHARE < self.n_misses {
            self.in_vain = true;
            self.slots = Vec::new();
            return;
        }
        // the head of a process without a session is shorter than others, and a key of its length would tell sessions apart no more
        let is_session = !head.has(Field::User) || !head.get(line, Field::User).is_empty();
        let Some(known) = self.known(line, head, who).filter(|_| is_session) else {
            return;
        };
        if self.slots.is_empty() {
            self.slots.resize(1 << SLOT_BITS, None);
        }
        if known.pieces[0].len() < self.key_len {
            self.key_len = known.pieces[0].len();
            self.slots.fill(None);
        }
        if let Some(at) = self.slot(known.pieces[0]) {
            self.slots[at] = Some(known);
        }
    }

    /// The pieces of a line's head.
    fn known(&self, line: &'a [u8], head: &Head, who: u32) -> Option<Known<'a>> {
        let first = self.layout.lead.len();
        let end_of = |hole: usize| usize::from(head.holes[hole].1);
        let mut start = match first.checked_sub(1) {
            Some(before) => end_of(before),
            None => 0,
        };
        let mut known = Known {
            pieces: [&[]; MAX_HOLES + 1],
            n_pieces: 0,
            who,
        };
        for hole in first..head.n_holes {
            known.pieces[known.n_pieces] = line.get(start..usize::from(head.holes[hole].0))?;
            known.n_pieces += 1;
            start = end_of(hole);
        }
        known.pieces[known.n_pieces] = line.get(start..head.prefix_len)?;
        known.n_pieces += 1;
        (head.n_holes >= first).then_some(known)
    }

    fn slot(&self, rest: &[u8]) -> Option<usize> {
        let key = rest.get(..self.key_len)?;
        Some((xxh3_64(key) >> (64 - SLOT_BITS)) as usize)
    }
}

/// Where `piece` ends in `text`, if it stands at `at`.
#[inline]
fn behind(text: &[u8], at: usize, piece: &[u8]) -> Option<usize> {
    text.get(at..)?
        .starts_with(piece)
        .then_some(at + piece.len())
}
