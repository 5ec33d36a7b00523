//! A statement that waits for what a later record of its session says about it.

use super::plans;
use crate::workload::{Escape, Origin, Outcome, Protocol, Statement, Text};

/// A [`Statement`] that owns its texts, in one buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// Ends of session, transaction, user, database, application, text and parameters in `bytes`.
    ends: [usize; 7],
    origin: Origin,
    time_us: i64,
    query_id: i64,
    duration_us: Option<u64>,
    plan_us: u64,
    /// Parse messages seen for it.
    pub(super) n_parses: u32,
    name: u32,
    protocol: Protocol,
    escape: Escape,
    /// What it waits as.
    pub(super) kind: HeldKind,
}

/// What a held statement is, and so what ends its wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum HeldKind {
    /// `statement: …`: its duration may come on a line of its own.
    #[default]
    Started,
    /// `execute fetch from …`: more time of an earlier call.
    Fetch,
    /// From a plan: its execution may be logged too.
    Plan,
}

impl Held {
    pub(super) fn new(statement: &Statement<'_>, kind: HeldKind) -> Self {
        let mut held = Self {
            origin: statement.origin,
            time_us: statement.time_us,
            query_id: statement.query_id,
            duration_us: statement.duration_us,
            plan_us: statement.plan_us,
            n_parses: statement.n_parses,
            name: statement.name,
            protocol: statement.protocol,
            escape: statement.text.escape(),
            kind,
            ..Self::default()
        };
        let texts = [
            statement.session,
            statement.transaction,
            statement.user,
            statement.database,
            statement.application,
            statement.text.raw(),
            statement.parameters,
        ];
        held.bytes
            .reserve_exact(texts.iter().map(|text| text.len()).sum());
        for (text, end) in texts.into_iter().zip(&mut held.ends) {
            held.bytes.extend_from_slice(text);
            *end = held.bytes.len();
        }
        held
    }

    fn part(&self, n: usize) -> &[u8] {
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.bytes[start..self.ends[n]]
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    pub(super) fn text(&self) -> Text<'_> {
        Text::new(self.part(5), self.escape)
    }

    /// The statement as it was held, without a duration that did not come.
    pub(super) fn statement(&self) -> Statement<'_> {
        Statement {
            origin: self.origin,
            time_us: self.time_us,
            who: 0,
            session: self.part(0),
            transaction: self.part(1),
            user: self.part(2),
            database: self.part(3),
            application: self.part(4),
            query_id: self.query_id,
            duration_us: self.duration_us,
            plan_us: self.plan_us,
            n_parses: self.n_parses,
            name: self.name,
            protocol: self.protocol,
            text: self.text(),
            parameters: self.part(6),
            outcome: Outcome::Finished,
        }
    }

    /// Its plan tells how long it took, should no duration come.
    pub(super) fn explained(&mut self, hash: u64, duration_us: u64) {
        if self.kind == HeldKind::Started && hash == plans::hash(self.text()) {
            self.duration_us.get_or_insert(duration_us);
        }
    }

    /// More parse and bind time of it, if it is the one that stands there.
    pub(super) fn planned(&mut self, origin: Origin, plan_us: u64, n_parses: u32) -> bool {
        let is_it = self.origin == origin;
        if is_it {
            self.plan_us += plan_us;
            self.n_parses += n_parses;
        }
        is_it
    }

    /// Bytes that it keeps.
    pub(super) fn n_bytes(&self) -> usize {
        self.bytes.len()
    }
}
