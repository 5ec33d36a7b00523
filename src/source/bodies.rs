//! Messages that come again and again: an application's parse, bind and execute messages differ in their durations only, and follow each
//! other in the same order. What followed a message last time is compared with what follows now: that tells the whole message, and where it
//! ends, without a look at its words.

use hashbrown::HashMap;

use super::message::{Step, Told};

/// Messages remembered while one chunk is read.
const MAX_BODIES: usize = 1024;
/// Longest message that is remembered, bytes.
const MAX_BODY_BYTES: usize = 16 << 10;
/// Longest text of a simple query that is remembered, bytes: BEGIN and COMMIT. Longer ones mostly hold values.
const MAX_SIMPLE_BYTES: usize = 24;
/// Writers whose last message is remembered.
const MAX_WHO: usize = 1 << 16;
/// Stands for no message.
const NONE: u32 = u32::MAX;

/// A message without its duration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    /// All behind the duration, the last newline included.
    bytes: &'a [u8],
    pub(super) n_lines: u64,
    /// What it says; the duration is another's.
    pub(super) told: Told<'a>,
    /// What followed it in its session, the latest first.
    next: [u32; 2],
}

impl Body<'_> {
    /// Bytes up to the last newline.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - 1
    }
}

/// The messages of one chunk.
#[derive(Debug, Default)]
pub(super) struct Bodies<'a> {
    all: Vec<Body<'a>>,
    at: HashMap<(u64, u32, Step), u32, foldhash::fast::FixedState>,
    /// The last message by writer.
    last: Vec<u32>,
}

impl<'a> Bodies<'a> {
    /// The message that `text` starts with, if it is one that followed the writer's last one before.
    pub(super) fn find(&mut self, who: u32, text: &[u8]) -> Option<&Body<'a>> {
        let last = *self.last.get(who as usize)?;
        let before = self.all.get(last as usize)?;
        let is_next = |body: &Body<'_>| {
            // a tab goes on with the text
            text.starts_with(body.bytes) && text.get(body.bytes.len()) != Some(&b'\t')
        };
        let found = before
            .next
            .into_iter()
            .find(|next| self.all.get(*next as usize).is_some_and(is_next))?;
        self.last[who as usize] = found;
        Some(&self.all[found as usize])
    }

    /// Remembers a message of a writer: `bytes` is all behind the duration, newline included.
    pub(super) fn learn(&mut self, who: u32, bytes: &'a [u8], told: Told<'a>) {
        let is_likely = told.step != Step::Simple || told.text.raw().len() <= MAX_SIMPLE_BYTES;
        let who = who as usize;
        if !is_likely || bytes.len() > MAX_BODY_BYTES || who >= MAX_WHO {
            return;
        }
        let key = (told.text.raw_hash(), told.name, told.step);
        let body = match self.at.get(&key) {
            Some(body) => *body,
            None if self.all.len() < MAX_BODIES => {
                let body = self.all.len() as u32;
                self.at.insert(key, body);
                self.all.push(Body {
                    bytes,
                    n_lines: memchr::memchr_iter(b'\n', bytes).count() as u64,
                    told,
                    next: [NONE; 2],
                });
                body
            }
            None => return,
        };
        if self.last.len() <= who {
            self.last.resize(who + 1, NONE);
        }
        let before = std::mem::replace(&mut self.last[who], body);
        if let Some(before) = self.all.get_mut(before as usize)
            && before.next[0] != body
        {
            before.next = [body, before.next[0]];
        }
    }
}
