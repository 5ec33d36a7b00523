//! The sessions of a chunk, found by name or by the number that the reader gave to whoever wrote the record.

use hashbrown::HashMap;

use super::session::Session;

/// The sessions of a chunk, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: Vec<(Vec<u8>, Session)>,
    at: HashMap<Vec<u8>, usize, foldhash::fast::FixedState>,
    /// By [`Record::who`](super::record::Record::who): one more than the position; 0 for those not seen yet.
    by_who: Vec<usize>,
}

/// Numbers of readers that are taken: as many heads of lines are kept at once.
const MAX_WHO: usize = 1 << 16;

impl Sessions {
    /// The session of that name.
    pub(super) fn of(&mut self, who: u32, name: &[u8]) -> &mut Session {
        let who = who as usize;
        let known = self.by_who.get(who).copied().unwrap_or(0);
        let at = match known.checked_sub(1) {
            Some(at) => at,
            None => self.find(who, name),
        };
        &mut self.all[at].1
    }

    fn find(&mut self, who: usize, name: &[u8]) -> usize {
        let at = if let Some(at) = self.at.get(name) {
            *at
        } else {
            self.at.insert(name.to_vec(), self.all.len());
            self.all.push((name.to_vec(), Session::default()));
            self.all.len() - 1
        };
        if (1..MAX_WHO).contains(&who) {
            if self.by_who.len() <= who {
                self.by_who.resize(who + 1, 0);
            }
            self.by_who[who] = at + 1;
        }
        at
    }

    /// Names and sessions.
    pub(super) fn into_all(self) -> Vec<(Vec<u8>, Session)> {
        self.all
    }
}
