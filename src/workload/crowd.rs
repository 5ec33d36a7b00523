//! Crowds: where a statement is dense among all that its client runs, and whether it is just as often there as a driver's LIMIT says.

use hashbrown::HashMap;

use super::window::Step;

/// Statements of others between two repeats of one crowd: eleven ways to look at the same.
pub(super) const REACHES: [u32; 11] = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32];
/// Repeats from which on a crowd counts.
pub(super) const MIN_CROWD: u64 = 5;
/// Rows of a driver's LIMIT that a crowd may hold: loops of several requests side by side.
const MAX_TIMES: u64 = 3;
/// A crowd as large as this share of itself about the driver's rows is as large as they are.
const EXACTNESS: u64 = 50;
/// Drivers before or in a crowd that are looked at.
const MAX_LEADS: usize = 64;

/// Crowds as seen with one reach.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crowds {
    pub(super) n_seen: u64,
    pub(super) n: u64,
    pub(super) n_max: u64,
    pub(super) n_exact_seen: u64,
    pub(super) n_exact: u64,
}

/// A child's execution or a driver's, in the order of their starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Child { step: u32, place: u32 },
    Driver { step: u32, limit: u32 },
}

/// A crowd: its members, and the drivers before and in it.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    pub(super) members: Vec<u32>,
    pub(super) leads: Vec<(u32, u32)>,
}

impl Crowds {
    pub(super) fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.n_seen += other.n_seen;
        self.n_max = self.n_max.max(other.n_max);
        self.n_exact += other.n_exact;
        self.n_exact_seen += other.n_exact_seen;
    }

    /// Counts the crowds of one window.
    pub(super) fn count<'a>(&mut self, crowds: impl Iterator<Item = &'a Crowd>) {
        for crowd in crowds {
            let size = crowd.members.len() as u64;
            self.n += size;
            self.n_seen += 1;
            self.n_max = self.n_max.max(size);
            if crowd.is_exact() {
                self.n_exact += size;
                self.n_exact_seen += 1;
            }
        }
    }
}

impl Crowd {
    /// Is it as large as the LIMIT of a driver has rows, or a small multiple for as many drivers?
    pub(super) fn is_exact(&self) -> bool {
        let n = self.members.len() as u64;
        self.leads.iter().any(|&(_, limit)| {
            let limit = u64::from(limit);
            let most = MAX_TIMES.min(self.leads.len() as u64);
            limit > 1 && (1..=most).any(|times| (times * limit).abs_diff(n) * EXACTNESS <= n)
        })
    }

    pub(super) fn is_one(&self) -> bool {
        self.members.len() as u64 >= MIN_CROWD
    }
}

/// Cuts marks into crowds whose repeats are at most `reach` other statements apart.
pub(super) fn crowds(marks: &[Mark], reach: u32) -> Vec<Crowd> {
    let mut crowds: Vec<Crowd> = Vec::new();
    let mut leads: Vec<(u32, u32)> = Vec::new();
    let mut last: Option<u32> = None;
    for &mark in marks {
        match mark {
            Mark::Driver { step, limit } => {
                if leads.len() == MAX_LEADS {
                    leads.remove(0);
                }
                leads.push((step, limit));
            }
            Mark::Child { step, place } => {
                let near = last.is_some_and(|last| place - last <= reach + 1);
                last = Some(place);
                if !near || crowds.is_empty() {
                    crowds.push(Crowd::default());
                }
                if let Some(crowd) = crowds.last_mut() {
                    crowd.leads.append(&mut leads);
                    crowd.members.push(step);
                }
            }
        }
    }
    crowds
}

/// Executions of the child and of its drivers, in order; a child's place counts the statements of others before it, and its own.
pub(super) fn marks(
    places: &[u32],
    parents: &[u32],
    by_query: &HashMap<u32, Vec<u32>, foldhash::fast::FixedState>,
    order: &[u32],
    steps: &[Step],
) -> Vec<Mark> {
    let mut marks: Vec<(u32, Mark)> = places
        .iter()
        .map(|&place| {
            let step = order[place as usize];
            (place, Mark::Child { step, place })
        })
        .collect();
    for parent in parents {
        marks.extend(by_query[parent].iter().map(|&place| {
            let step = order[place as usize];
            let limit = steps[step as usize].limit;
            (place, Mark::Driver { step, limit })
        }));
    }
    marks.sort_by_key(|(place, _)| *place);
    marks.into_iter().map(|(_, mark)| mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks_of(text: &str) -> Vec<Mark> {
        (0_u32..)
            .zip(text.chars())
            .filter_map(|(at, what)| match what {
                'c' => Some(Mark::Child {
                    step: at,
                    place: at,
                }),
                'P' => Some(Mark::Driver { step: at, limit: 5 }),
                _ => None,
            })
            .collect()
    }

    fn sizes(text: &str, reach: u32) -> Vec<(usize, bool)> {
        crowds(&marks_of(text), reach)
            .iter()
            .map(|crowd| (crowd.members.len(), crowd.is_exact()))
            .collect()
    }

    #[test]
    fn crowds_are_cut_where_others_stand_between() {
        assert_eq!(sizes("Pcc.c..c.c....c", 2), [(5, true), (1, false)]);
        assert_eq!(
            sizes("Pcc.c..c.c....c", 0),
            [(2, false), (1, false), (1, false), (1, false), (1, false)]
        );
        assert_eq!(sizes("ccccc", 0), [(5, false)]);
        assert_eq!(sizes("PcPccccccccc", 0), [(1, false), (9, false)]);
        assert_eq!(sizes("PcPccccccccc", 1), [(10, true)]);
        assert_eq!(sizes("Pcccccccccc", 0), [(10, false)]);
    }
}
