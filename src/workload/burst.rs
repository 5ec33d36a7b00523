//! A window into bursts: which statements repeat, behind which query, and under what circumstances.

use hashbrown::HashMap;

use super::{
    BurstClass, Driver, Repetition, Share, WindowBound,
    chain::{Chains, Place, SideBySide, is_behind, span_us},
    found::{Drivers, Found, Rank},
    link::{Link, Links},
    mixing::Mixing,
    pace::Pacer,
    role::Role,
    round::{Round, repeats, rounded_repeats, rounds},
    window::{Context, LOOK_BACK_US, Step},
};

/// Classes of bursts kept apart for one fingerprint; beyond, bursts are only counted.
const MAX_CLASSES: usize = 256;
/// Repeats on several sessions before they can be one loop's.
const MIN_FAN: usize = 5;
/// Foreign statements between two repeats from which on they are not one round: another request's work.
const MIN_INTERLUDE: usize = 2;
/// Statements of a loop's body, for the short loops of tests.
const MAX_BODY: usize = 8;
/// Groups of one window that are considered as a group's driver.
const MAX_CANDIDATES: usize = 256;
/// One window to analyse.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) steps: &'a [Step],
    pub(super) bound: WindowBound,
    /// Possible drivers before the window, oldest first.
    pub(super) recent: &'a [Step],
    /// When the session last ran DDL, oldest first.
    pub(super) ddl_us: &'a [i64],
    /// A transaction told by its id alone: no BEGIN was logged.
    pub(super) implicit: bool,
    /// It was undone at its end though nothing had failed: a test's.
    pub(super) undone: bool,
    /// A window before it was cut for its length only.
    pub(super) continued: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(steps: &'a [Step], bound: WindowBound) -> Self {
        Self {
            steps,
            bound,
            recent: &[],
            ddl_us: &[],
            implicit: false,
            undone: false,
            continued: false,
        }
    }
}

/// Executions of one fingerprint by one client in a window.
#[derive(Debug, Default)]
struct Group {
    query: u32,
    client: u32,
    /// Positions in the window.
    members: Vec<u32>,
    /// Link to its driver.
    link: Link,
    /// See [`BurstShape::sourced`].
    sourced: bool,
    /// The group that drives it, and drives nothing from outside: its executions start new rounds of the loop.
    root: Option<usize>,
}

/// Finds bursts, and adds them up by child and shape.
#[derive(Debug, Default)]
pub(super) struct Analyser {
    repetitions: Vec<Option<Box<Accumulated>>>,
    links: Links,
    /// How units of work spend their time.
    pub(super) pacer: Pacer,
    /// What clients do as a whole.
    pub(super) mixing: Mixing,
    groups: Vec<Group>,
    group_at: HashMap<(u32, u32), usize, foldhash::fast::FixedState>,
}

/// What one child gave so far.
#[derive(Debug, Default)]
struct Accumulated {
    n_windows: u64,
    chains: Chains,
    side_by_side: SideBySide,
    classes: Vec<BurstClass>,
    n_unclassified: u64,
}

/// What a burst is of a whole that it is part of.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Repeats of the round that it is part of, when that spans sessions.
    n_round: Option<usize>,
    /// That round is as long as its driver's LIMIT.
    exact: bool,
    /// Executions of the group in the window.
    n_all: usize,
}

/// Groups judged for one loop: foreign to it?
#[derive(Debug, Default)]
struct Judged(Vec<(usize, bool)>);

impl Analyser {
    /// Analyses one closed window.
    pub(super) fn window(&mut self, view: &View<'_>, context: Context<'_>) {
        self.pacer.window(view.steps, view.bound, context);
        if let [only] = view.steps {
            let known = self.accumulated(only.query);
            known.n_windows += 1;
            known.chains.record(1, Place::Apart);
            return;
        }
        self.group(view.steps);
        for at in 0..self.groups.len() {
            let (query, n) = (self.groups[at].query, self.groups[at].members.len());
            self.accumulated(query).n_windows += 1;
            if !context.known[query as usize].traits.can_repeat() {
                continue;
            }
            if n >= 2 {
                self.bursts_of(at, view, context);
            } else {
                let only = self.groups[at].members[0];
                self.count_chain(query, &[only], false, view, context);
            }
        }
    }

    /// Counts executions that follow each other as a chain, where no tag or transaction bounds them.
    fn count_chain(
        &mut self,
        query: u32,
        chain: &[u32],
        among: bool,
        view: &View<'_>,
        context: Context<'_>,
    ) {
        let Some(&first) = chain.first().filter(|_| view.bound == WindowBound::Idle) else {
            return;
        };
        let behind = is_behind(view, first as usize, |step| {
            step.query != query
                && step.limit != 1
                && context.known[step.query as usize].traits.can_drive()
                && self.link(step.query, query, context) != Link::None
        });
        let place = match (behind, among) {
            (false, _) => Place::Apart,
            (true, false) => Place::Behind,
            (true, true) => Place::Among,
        };
        self.accumulated(query).chains.record(chain.len(), place);
    }

    /// Looks in one client's window across sessions for loops whose body ran on several of them.
    pub(super) fn client_window(&mut self, view: &View<'_>, context: Context<'_>) {
        self.group(view.steps);
        let span_us = span_us(view.steps);
        for at in 0..self.groups.len() {
            let (query, n) = (self.groups[at].query, self.groups[at].members.len());
            self.accumulated(query).side_by_side.record(n, span_us);
            let group = &self.groups[at];
            if group.members.len() >= MIN_FAN
                && context.known[group.query as usize].traits.can_repeat()
            {
                self.fans_of(at, view, context);
            }
        }
    }

    /// Emits the rounds of one group that a driver fanned out over sessions, with little else going on: what ran on sessions that were lent
    /// for it. What ran on the driver's own session is a burst there.
    fn fans_of(&mut self, group: usize, view: &View<'_>, context: Context<'_>) {
        let Some(found) = self.driver_of(group, view, context).group else {
            return;
        };
        self.groups[group].link = self.link(found.step.query, self.groups[group].query, context);
        let Some(parent) = found.group else { return };
        let cuts = self.cuts(group, Some(parent), view, context);
        let members = std::mem::take(&mut self.groups[group].members);
        let rounds: Vec<Vec<u32>> = rounds(&members, &cuts)
            .map(|round| repeats(round, view.steps))
            .filter(|round| round.len() >= MIN_FAN)
            .collect();
        let n_all = members.len();
        self.groups[group].members = members;
        let all_lent = self.lent(group, &cuts, view);
        for round in rounds {
            let drivers = Drivers {
                group: Some(found),
                before: None,
            };
            let Some(found) = self.round_driver(&round, &cuts, Some(parent), &drivers, view) else {
                continue;
            };
            let linked = self.groups[group].link != Link::None;
            let exact = found.step.limit as usize == round.len();
            let lent: Vec<u32> = round
                .iter()
                .copied()
                .filter(|at| all_lent.binary_search(at).is_ok())
                .collect();
            if (exact || (linked && lent.len() * 3 >= round.len()))
                && lent.len() >= 2
                && !self.is_foreign(group, &round, Some(found), view, context)
            {
                let part = Part {
                    n_round: Some(round.len()),
                    exact,
                    n_all,
                };
                let query = self.groups[group].query;
                let span_us =
                    span_us(&view.steps[round[0] as usize..=round[round.len() - 1] as usize]);
                let known = self.accumulated(query);
                known.side_by_side.record_round(round.len(), span_us);
                self.emit(group, &lent, part, Some(found), view, context);
            }
        }
    }

    /// The group's executions on sessions that were not in a loop of their own: what the session did last, the loop's body aside, was not a
    /// driver.
    fn lent(&self, group: usize, drivers: &[u32], view: &View<'_>) -> Vec<u32> {
        let own_group = &self.groups[group];
        let mut own: Vec<(u32, bool)> = Vec::new();
        let mut lent = Vec::new();
        for (at, step) in (0_u32..).zip(view.steps) {
            let known = own.iter().position(|(session, _)| *session == step.session);
            let body = step.query == own_group.query && step.client == own_group.client;
            if body {
                let is_own = known.map_or(view.continued, |known| own[known].1);
                if !is_own {
                    lent.push(at);
                }
                continue;
            }
            let is_driver = drivers.binary_search(&at).is_ok();
            let partner = self.groups[self.group_at[&(step.client, step.query)]]
                .members
                .len()
                * 2
                >= own_group.members.len();
            match known {
                Some(known) if is_driver || !partner => own[known].1 = is_driver,
                None => own.push((step.session, is_driver)),
                Some(_) => {}
            }
        }
        lent
    }

    /// Is more than a quarter of what ran from the burst's first to its last repeat foreign to the loop?
    fn is_foreign(
        &mut self,
        group: usize,
        round: &[u32],
        found: Option<Found>,
        view: &View<'_>,
        context: Context<'_>,
    ) -> bool {
        let span = &view.steps[round[0] as usize..=round[round.len() - 1] as usize];
        let mut judged = Judged::default();
        let n_foreign = span
            .iter()
            .filter(|step| self.is_foreign_step(step, group, found, view, context, &mut judged))
            .count();
        n_foreign * 4 > span.len()
    }

    fn is_foreign_step(
        &mut self,
        step: &Step,
        group: usize,
        found: Option<Found>,
        view: &View<'_>,
        context: Context<'_>,
        judged: &mut Judged,
    ) -> bool {
        let other = self.group_at[&(step.client, step.query)];
        if other == group {
            return false;
        }
        if let Some(&(_, foreign)) = judged.0.iter().find(|(known, _)| *known == other) {
            return foreign;
        }
        let foreign = !self.belongs_to_loop(other, group, found, view, context);
        judged.0.push((other, foreign));
        foreign
    }

    /// Cuts a round where other requests' statements stand between two repeats.
    fn segments(
        &mut self,
        group: usize,
        round: &[u32],
        found: Option<Found>,
        view: &View<'_>,
        context: Context<'_>,
    ) -> Vec<Vec<u32>> {
        let mut judged = Judged::default();
        let mut segments: Vec<Vec<u32>> = Vec::new();
        for (at, &member) in round.iter().enumerate() {
            let cut = match at.checked_sub(1).map(|before| round[before]) {
                None => true,
                Some(before) => {
                    view.steps[before as usize + 1..member as usize]
                        .iter()
                        .filter(|step| {
                            self.is_foreign_step(step, group, found, view, context, &mut judged)
                        })
                        .count()
                        >= MIN_INTERLUDE
                }
            };
            match segments.last_mut() {
                Some(segment) if !cut => segment.push(member),
                _ => segments.push(vec![member]),
            }
        }
        segments
    }

    /// Is the other group part of the same loop? As frequent, and either its key comes from the driver or from the group, or the other
    /// way round, or it asks the same thing each time.
    fn belongs_to_loop(
        &mut self,
        other: usize,
        group: usize,
        found: Option<Found>,
        view: &View<'_>,
        context: Context<'_>,
    ) -> bool {
        let n = self.groups[group].members.len();
        let (query, other_query) = (self.groups[group].query, self.groups[other].query);
        let Some(found) = found else {
            return self.groups[other].members.len() * 2 >= n;
        };
        if found.group == Some(other) {
            return true;
        }
        if self.groups[other].members.len() * 2 < n {
            return false;
        }
        let first_key = |steps: &[Step], at: u32| steps[at as usize].key;
        let members = &self.groups[other].members;
        let constant = members
            .iter()
            .all(|&at| first_key(view.steps, at) == first_key(view.steps, members[0]));
        constant
            || matches!(
                self.link(found.step.query, other_query, context),
                Link::ForeignKey | Link::Possible
            )
            || self.link(query, other_query, context) >= Link::SameName
            || self.is_nested(other, group, view)
            || (self.groups[other].link == Link::ForeignKey
                && self.link(other_query, query, context) == Link::ForeignKey)
    }

    /// Does the other group run in the body of this one: always after it or after itself, and several times in a row somewhere?
    fn is_nested(&self, other: usize, group: usize, view: &View<'_>) -> bool {
        let members = &self.groups[other].members;
        let (mut n_inside, mut n_runs) = (0, 0);
        for &at in members {
            let Some(before) = at.checked_sub(1).map(|at| &view.steps[at as usize]) else {
                continue;
            };
            let before = self.group_at[&(before.client, before.query)];
            n_inside += usize::from(before == other || before == group);
            n_runs += usize::from(before == other);
        }
        n_inside * 10 >= members.len() * 9 && n_runs > 0
    }

    /// Does a look-up of one row stand before each repeat that gives its key, and is itself in doubt?
    fn is_sourced(&mut self, group: usize, n_all: usize, context: Context<'_>) -> bool {
        let first = self.groups[group].members.first().copied();
        (0..self.groups.len()).any(|other| {
            let source = &self.groups[other];
            let m = source.members.len();
            let traits = &context.known[source.query as usize].traits;
            let before = source.members.first().copied() < first;
            let source_query = source.query;
            other != group
                && m * 2 >= n_all
                && m <= n_all * 2
                && traits.single_row
                && before
                && matches!(source.link, Link::None | Link::SameName)
                && self.link(source_query, self.groups[group].query, context) >= Link::SameName
        })
    }

    fn accumulated(&mut self, query: u32) -> &mut Accumulated {
        let at = query as usize;
        if self.repetitions.len() <= at {
            self.repetitions.resize_with(at + 1, || None);
        }
        self.repetitions[at].get_or_insert_default()
    }

    /// Groups the window's steps by client and fingerprint, in order of first execution.
    fn group(&mut self, steps: &[Step]) {
        self.groups.clear();
        self.group_at.clear();
        for (at, step) in (0_u32..).zip(steps) {
            let groups = &mut self.groups;
            let group = *self
                .group_at
                .entry((step.client, step.query))
                .or_insert_with(|| {
                    groups.push(Group {
                        query: step.query,
                        client: step.client,
                        ..Group::default()
                    });
                    groups.len() - 1
                });
            self.groups[group].members.push(at);
        }
    }

    /// Emits the bursts of one group: its executions, cut where the loop's driver runs again, and where other requests stand between.
    fn bursts_of(&mut self, group: usize, view: &View<'_>, context: Context<'_>) {
        let drivers = self.driver_of(group, view, context);
        let found = drivers.group;
        self.groups[group].link = found.map_or(Link::None, |found| {
            self.link(found.step.query, self.groups[group].query, context)
        });
        let root = found.and_then(|f| f.group).map(|parent| {
            // a parent that is looped itself belongs to the outer loop
            self.groups[parent].root.unwrap_or(parent)
        });
        self.groups[group].root = root;
        let sourced = self.is_sourced(group, self.groups[group].members.len(), context);
        self.groups[group].sourced = sourced;
        let cuts = self.cuts(group, root, view, context);
        let members = std::mem::take(&mut self.groups[group].members);
        let rounds: Vec<Vec<u32>> = rounds(&members, &cuts).map(<[u32]>::to_vec).collect();
        let n_all = members.len();
        self.groups[group].members = members;
        let mut chains: Vec<(Vec<u32>, Option<Found>)> = Vec::new();
        for round in rounds {
            let found = self.round_driver(&round, &cuts, root, &drivers, view);
            let segments = self.segments(group, &round, found, view, context);
            chains.extend(segments.iter().map(|s| (repeats(s, view.steps), found)));
        }
        let query = self.groups[group].query;
        let part = Part {
            n_round: None,
            exact: false,
            n_all,
        };
        for (chain, found) in &chains {
            self.count_chain(query, chain, chains.len() > 1, view, context);
            if chain.len() >= 2 {
                self.emit(group, chain, part, *found, view, context);
            }
        }
    }

    /// Where new rounds of the group's loop start: at its root, and at every other query that is linked to the group as well as its own
    /// driver is. Several pages may loop over the same look-up in one window.
    fn cuts(
        &mut self,
        group: usize,
        root: Option<usize>,
        view: &View<'_>,
        context: Context<'_>,
    ) -> Vec<u32> {
        let Some(root) = root else { return Vec::new() };
        let mut cuts = self.groups[root].members.clone();
        let link = self.groups[group].link;
        if link == Link::None {
            return cuts;
        }
        for other in 0..self.groups.len() {
            let Some(&first) = self.groups[other].members.first() else {
                continue;
            };
            let query = self.groups[other].query;
            let drives = other != group
                && other != root
                && context.known[query as usize].traits.role == Role::List
                && self.may_drive(other, &view.steps[first as usize], group, context)
                && self.link(query, self.groups[group].query, context) == link;
            if drives {
                cuts.extend_from_slice(&self.groups[other].members);
            }
        }
        cuts.sort_unstable();
        cuts
    }

    /// The driver of one round: the query that starts it, when that is not the group's own root; else the group's driver, as it ran last
    /// before the round.
    fn round_driver(
        &self,
        round: &[u32],
        cuts: &[u32],
        root: Option<usize>,
        drivers: &Drivers,
        view: &View<'_>,
    ) -> Option<Found> {
        let before = cuts.partition_point(|&cut| cut < round[0]);
        if let Some(&cut) = before.checked_sub(1).and_then(|at| cuts.get(at)) {
            let step = view.steps[cut as usize];
            let group = self.group_at[&(step.client, step.query)];
            if root != Some(group) {
                return Some(Found {
                    driver: Driver::Within,
                    step,
                    group: Some(group),
                });
            }
        }
        let found = drivers.group?;
        let Some(group) = found.group else {
            return Some(found);
        };
        if self.groups[group].members[0] < round[0] {
            return Some(Self::at_occurrence(&self.groups[group], found, round, view));
        }
        let ran_within = self.groups[group].members[0] < round[round.len() - 1];
        drivers.before.or_else(|| {
            ran_within.then(|| Self::at_occurrence(&self.groups[group], found, round, view))
        })
    }

    /// The driver as it ran last before the round, or first within it.
    fn at_occurrence(driver: &Group, found: Found, round: &[u32], view: &View<'_>) -> Found {
        let before = driver.members.partition_point(|&at| at < round[0]);
        let at = driver.members[before.saturating_sub(1)];
        Found {
            step: view.steps[at as usize],
            ..found
        }
    }

    /// The query whose rows may drive the group: best linked by name, then one that is directly followed by it, then one that lists
    /// without a key, then the nearest before its first execution.
    fn driver_of(&mut self, group: usize, view: &View<'_>, context: Context<'_>) -> Drivers {
        let (first, middle) = {
            let members = &self.groups[group].members;
            (members[0], members[members.len() / 2])
        };
        let mut best: Option<(Rank, Found)> = None;
        let from = self.groups.len().saturating_sub(MAX_CANDIDATES);
        for candidate in from..self.groups.len() {
            let driver = &self.groups[candidate];
            let before = driver.members.partition_point(|&at| at < first);
            let at = driver.members[before.saturating_sub(1)];
            if candidate == group || at > middle {
                continue;
            }
            let step = view.steps[at as usize];
            if !self.may_drive(candidate, &step, group, context) {
                continue;
            }
            let rank = Rank {
                link: self.link(step.query, self.groups[group].query, context),
                leads: self.leads(candidate, group, view),
                lists: context.known[step.query as usize].traits.role == Role::List,
                before: before > 0,
                at,
            };
            let found = Found {
                driver: Driver::Within,
                step,
                group: Some(candidate),
            };
            if best.is_none_or(|(known, _)| rank > known) {
                best = Some((rank, found));
            }
        }
        let recent = self.recent_driver(group, view, context);
        let Some((rank, within)) = best else {
            return Drivers {
                group: recent.map(|(_, found)| found),
                before: recent.map(|(_, found)| found),
            };
        };
        Drivers {
            group: match recent {
                Some((link, found)) if link > rank.link => Some(found),
                _ => Some(within),
            },
            before: recent
                .filter(|(link, found)| {
                    found.step.query == within.step.query || *link >= rank.link.max(Link::SameName)
                })
                .map(|(_, found)| found),
        }
    }

    /// The best linked query that ran shortly before the window.
    fn recent_driver(
        &mut self,
        group: usize,
        view: &View<'_>,
        context: Context<'_>,
    ) -> Option<(Link, Found)> {
        let start_us = view.steps[0].start_us;
        let (client, query) = (self.groups[group].client, self.groups[group].query);
        let mut best: Option<(Link, Found)> = None;
        for step in view.recent.iter().rev() {
            let near = start_us - step.end_us <= LOOK_BACK_US;
            if near && step.client == client && step.query != query {
                let link = self.link(step.query, query, context);
                if best.is_none_or(|(known, _)| link > known) {
                    let found = Found {
                        driver: Driver::Before,
                        step: *step,
                        group: None,
                    };
                    best = Some((link, found));
                }
            }
        }
        best
    }

    /// Does the group run directly after at least half of the candidate's executions?
    fn leads(&self, candidate: usize, group: usize, view: &View<'_>) -> bool {
        let driver = &self.groups[candidate].members;
        let child = &self.groups[group];
        let led = driver.iter().filter(|&&at| {
            view.steps
                .get(at as usize + 1)
                .is_some_and(|next| next.query == child.query && next.client == child.client)
        });
        led.count() * 2 >= driver.len()
    }

    /// May that earlier group drive this one? It returns several rows, and runs clearly less often, or is looped itself.
    fn may_drive(&self, candidate: usize, step: &Step, group: usize, context: Context<'_>) -> bool {
        let driver = &self.groups[candidate];
        let repeated = self.groups[group].members.len();
        let traits = &context.known[driver.query as usize].traits;
        let rarer = driver.members.len() * 3 <= repeated * 2;
        traits.can_drive()
            && step.limit != 1
            && !step.failed
            && driver.client == self.groups[group].client
            && (rarer || driver.root.is_some())
    }

    pub(super) fn link(&mut self, parent: u32, child: u32, context: Context<'_>) -> Link {
        let shape = |query: u32| context.known[query as usize].shape();
        self.links.between(parent, child, shape)
    }

    /// Counts one burst in the class of its shape.
    fn emit(
        &mut self,
        group: usize,
        round: &[u32],
        part: Part,
        found: Option<Found>,
        view: &View<'_>,
        context: Context<'_>,
    ) {
        let query = self.groups[group].query;
        let round = Round {
            steps: view.steps,
            members: round,
            traits: &context.known[query as usize].traits,
            context,
        };
        let mut shape = round.shape(view, found);
        shape.foreign = self.is_foreign(group, round.members, found, view, context);
        shape.sourced = self.groups[group].sourced;
        // a few rows more may be of a second loop side by side, not twice as many
        let limit = found.map_or(0, |found| found.step.limit as usize);
        shape.overruns &= round.n() > 2 * limit + 1
            || self.groups[group].root.is_some_and(|root| {
                found.and_then(|found| found.group) == Some(root)
                    && self.groups[root].members.len() == 1
            });
        let first = *round.first();
        shape.test = view.undone || context.symbols.is_test(first.client, first.label);
        shape.routed = context.symbols.is_routed(first.label);
        shape.follows = shape.test && self.follows(group, round.members, found, view);
        shape.fills_limit |= part.exact;
        if let Some(n_round) = part.n_round {
            shape.repeats = rounded_repeats(n_round);
        }
        shape.lockstep = found.is_none() && self.in_lockstep(group, part.n_all);
        let classes = &mut self.accumulated(query).classes;
        let class = match classes.iter().position(|class| class.shape == shape) {
            Some(at) => &mut classes[at],
            None if classes.len() < MAX_CLASSES => {
                classes.push(BurstClass {
                    shape,
                    ..BurstClass::default()
                });
                classes.last_mut().expect("just pushed")
            }
            None => {
                self.accumulated(query).n_unclassified += 1;
                return;
            }
        };
        round.count_in(class, found);
    }

    /// Does nothing but the loop's own statements stand between the driver and the first repeat?
    fn follows(
        &self,
        group: usize,
        members: &[u32],
        found: Option<Found>,
        view: &View<'_>,
    ) -> bool {
        let Some(found) = found.filter(|found| found.driver == Driver::Within) else {
            return false;
        };
        let n = self.groups[group].members.len();
        view.steps[..members[0] as usize]
            .iter()
            .rev()
            .take(MAX_BODY)
            .take_while(|step| {
                let other = self.group_at[&(step.client, step.query)];
                step.origin == found.step.origin || self.groups[other].members.len() * 2 >= n
            })
            .any(|step| step.origin == found.step.origin)
    }

    /// Does another repeated statement alternate with it, about as often?
    fn in_lockstep(&self, group: usize, n: usize) -> bool {
        self.groups.iter().enumerate().any(|(at, other)| {
            let m = other.members.len();
            at != group && m * 2 >= n && m <= n * 2
        })
    }

    /// A query that was let go of.
    pub(super) fn forget(&mut self, query: u32) {
        if let Some(accumulated) = self.repetitions.get_mut(query as usize) {
            *accumulated = None;
        }
    }

    /// Brings samples and classes into the order that reports rely on.
    pub(super) fn finish(&mut self, context: Context<'_>) {
        for accumulated in self.repetitions.iter_mut().flatten() {
            accumulated.classes.sort_by_key(|class| class.shape);
            for class in &mut accumulated.classes {
                class
                    .samples
                    .sort_by_key(|burst| (burst.start_us, burst.origin));
                sort_shares(&mut class.applications);
                sort_shares(&mut class.tags);
            }
        }
        debug_assert!(self.repetitions.len() <= context.known.len());
    }

    /// The facts by query position.
    pub(super) fn take(&mut self, context: Context<'_>) -> Vec<Repetition> {
        self.finish_mixing();
        let repetitions = std::mem::take(&mut self.repetitions);
        (0_u32..)
            .zip(repetitions)
            .zip(context.known)
            .filter_map(|((query, accumulated), known)| {
                let accumulated = accumulated?;
                let mixed = self.mixed(query, context);
                let is_told = mixed.as_ref().is_some_and(|mixed| mixed.is_told());
                let repeats = !accumulated.classes.is_empty() || accumulated.n_unclassified > 0;
                (repeats || is_told).then_some(Repetition {
                    child: known.fingerprint,
                    n_windows: accumulated.n_windows,
                    chains: accumulated.chains,
                    side_by_side: accumulated.side_by_side,
                    mixed,
                    classes: accumulated.classes,
                    n_unclassified: accumulated.n_unclassified,
                })
            })
            .collect()
    }
}

fn sort_shares(shares: &mut [Share]) {
    shares.sort_by(|a, b| b.n.cmp(&a.n).then_with(|| a.name.cmp(&b.name)));
}
