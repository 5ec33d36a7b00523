//! Clients and sessions by the number that a reader gave to whoever wrote a statement ([`Statement::who`]).

use super::{Statement, symbols::Symbols};

/// Numbers that are looked at.
const MAX_PEOPLE: usize = 1 << 16;

/// What readers' numbers mean, until the next part of the input has others.
#[derive(Debug, Default)]
pub(super) struct People(Vec<Person>);

#[derive(Debug, Clone, Copy, Default)]
struct Person {
    client: Option<u32>,
    session: Option<u32>,
}

impl People {
    /// What is remembered of a statement's writer; `None` where the reader gave no number.
    fn person(&mut self, statement: &Statement<'_>) -> Option<&mut Person> {
        let who = statement.who as usize;
        if who == 0 || who >= MAX_PEOPLE {
            return None;
        }
        if self.0.len() <= who {
            self.0.resize(who + 1, Person::default());
        }
        Some(&mut self.0[who])
    }

    /// The number of a statement's client.
    pub(super) fn client(&mut self, statement: &Statement<'_>, symbols: &mut Symbols) -> u32 {
        let person = self.person(statement);
        if let Some(client) = person.as_ref().and_then(|person| person.client) {
            return client;
        }
        let client =
            symbols.intern_client(statement.user, statement.database, statement.application);
        if let Some(person) = person {
            person.client = Some(client);
        }
        client
    }

    /// The number of a statement's session, and whether it is new.
    pub(super) fn session(
        &mut self,
        statement: &Statement<'_>,
        symbols: &mut Symbols,
    ) -> (u32, bool) {
        let person = self.person(statement);
        if let Some(session) = person.as_ref().and_then(|person| person.session) {
            return (session, false);
        }
        let (session, is_new) = symbols.intern_session(statement.session);
        if let Some(person) = person {
            person.session = Some(session);
        }
        (session, is_new)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
