//! Names that executions share (sessions, clients, tags), each kept once and known by a number.

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::xxh3_64_with_seed;

type Map<K> = HashMap<K, u32, foldhash::fast::FixedState>;

/// Distinct (user, database, application) triples kept apart; later ones count as the nameless client 0.
const MAX_CLIENTS: usize = 4096;
/// Distinct tag sets kept apart; later ones count as untagged.
const MAX_LABELS: usize = 16_384;

/// Programs that run tests, as they name themselves or are named in commands.
const TEST_RUNNERS: [&str; 8] = [
    "pytest",
    "unittest",
    "rspec",
    "minitest",
    "phpunit",
    "jest",
    "vitest",
    "test-runner",
];

/// Who sent a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) user: Box<[u8]>,
    pub(super) database: Box<[u8]>,
    pub(super) application: Box<[u8]>,
    /// `application`, as text.
    name: String,
}

/// The tables of names. Number 0 is the nameless client, and no tags.
#[derive(Debug)]
pub(super) struct Symbols {
    session_at: Map<Box<[u8]>>,
    sessions: Vec<String>,
    free_sessions: Vec<u32>,
    clients: Vec<Client>,
    client_at: HashTable<u32>,
    last_client: u32,
    max_clients: usize,
    max_labels: usize,
    label_at: Map<Vec<String>>,
    labels: Vec<Vec<String>>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self {
            session_at: Map::default(),
            sessions: Vec::new(),
            free_sessions: Vec::new(),
            clients: vec![Client::default()],
            client_at: HashTable::new(),
            last_client: 0,
            max_clients: MAX_CLIENTS,
            max_labels: MAX_LABELS,
            label_at: Map::default(),
            labels: vec![Vec::new()],
        }
    }
}

impl Symbols {
    /// Tables for one chunk: what bounds the chunk bounds them.
    pub(super) fn unbounded() -> Self {
        Self {
            max_clients: usize::MAX,
            max_labels: usize::MAX,
            ..Self::default()
        }
    }

    /// The number of a session, and whether it is new.
    pub(super) fn intern_session(&mut self, id: &[u8]) -> (u32, bool) {
        if let Some(&at) = self.session_at.get(id) {
            return (at, false);
        }
        let name = String::from_utf8_lossy(id).into_owned();
        let at = if let Some(at) = self.free_sessions.pop() {
            self.sessions[at as usize] = name;
            at
        } else {
            self.sessions.push(name);
            number(self.sessions.len() - 1)
        };
        self.session_at.insert(id.into(), at);
        (at, true)
    }

    /// Does the client, or the tags, say that a test runs? A database `test_…` or `…_test`, an application named after a test runner,
    /// a tag `test`.
    pub(super) fn is_test(&self, client: u32, label: u32) -> bool {
        let Client { database, name, .. } = self.client(client);
        let database = database.to_ascii_lowercase();
        let name = name.to_ascii_lowercase();
        database.starts_with(b"test_")
            || database.ends_with(b"_test")
            || TEST_RUNNERS.iter().any(|runner| name.contains(runner))
            || self.has_tag(label, &["test", "test_name", "spec", "example"])
    }

    /// Do the tags name where in the application the statement came from?
    pub(super) fn is_routed(&self, label: u32) -> bool {
        self.has_tag(
            label,
            &[
                "route",
                "controller",
                "action",
                "view",
                "endpoint",
                "job",
                "task",
            ],
        )
    }

    fn has_tag(&self, label: u32, keys: &[&str]) -> bool {
        self.tags(label)
            .iter()
            .filter_map(|tag| tag.split_once('='))
            .any(|(key, _)| keys.contains(&key))
    }

    /// Numbers of the sessions known, in ascending order.
    pub(super) fn live_sessions(&self) -> Vec<u32> {
        let mut live: Vec<u32> = self.session_at.values().copied().collect();
        live.sort_unstable();
        live
    }

    /// How many sessions are known.
    pub(super) fn n_sessions(&self) -> usize {
        self.session_at.len()
    }

    /// Forgets sessions; their numbers are given to later ones.
    pub(super) fn forget_sessions(&mut self, forgotten: &[u32]) {
        let mut gone = vec![false; self.sessions.len()];
        for &at in forgotten {
            gone[at as usize] = true;
        }
        self.session_at.retain(|_, at| !gone[*at as usize]);
        self.free_sessions.extend(forgotten.iter().rev());
    }

    /// Raw ids of sessions by number: only where none was forgotten.
    pub(super) fn session_ids(&self) -> Vec<&[u8]> {
        let mut ids: Vec<&[u8]> = vec![&[]; self.sessions.len()];
        let mut known: Vec<(&Box<[u8]>, u32)> =
            self.session_at.iter().map(|(id, at)| (id, *at)).collect();
        known.sort_unstable();
        for (id, at) in known {
            ids[at as usize] = id;
        }
        ids
    }

    /// The number of a client.
    pub(super) fn intern_client(
        &mut self,
        user: &[u8],
        database: &[u8],
        application: &[u8],
    ) -> u32 {
        let is = |client: &Client| {
            *client.user == *user
                && *client.database == *database
                && *client.application == *application
        };
        if is(&self.clients[self.last_client as usize]) {
            return self.last_client;
        }
        let hash = client_hash(user, database, application);
        let known = |at: &u32| is(&self.clients[*at as usize]);
        self.last_client = match self.client_at.find(hash, known) {
            Some(at) => *at,
            None if self.clients.len() < self.max_clients => {
                let at = number(self.clients.len());
                self.clients.push(Client {
                    user: user.into(),
                    database: database.into(),
                    application: application.into(),
                    name: String::from_utf8_lossy(application).into_owned(),
                });
                let clients = &self.clients;
                let hash_of = |at: &u32| {
                    let known = &clients[*at as usize];
                    client_hash(&known.user, &known.database, &known.application)
                };
                self.client_at.insert_unique(hash, at, hash_of);
                at
            }
            None => 0,
        };
        self.last_client
    }

    /// The number of a tag set (`key=value`, sorted).
    pub(super) fn intern_label(&mut self, tags: Vec<String>) -> u32 {
        if tags.is_empty() {
            return 0;
        }
        if let Some(&at) = self.label_at.get(&tags) {
            return at;
        }
        if self.labels.len() >= self.max_labels {
            return 0;
        }
        let at = number(self.labels.len());
        self.labels.push(tags.clone());
        self.label_at.insert(tags, at);
        at
    }

    /// Takes over another table's clients and tags that have no number yet in this table.
    pub(super) fn adopt(&mut self, other: &Self, clients: &mut Vec<u32>, labels: &mut Vec<u32>) {
        for c in &other.clients[clients.len()..] {
            clients.push(self.intern_client(&c.user, &c.database, &c.application));
        }
        for tags in &other.labels[labels.len()..] {
            labels.push(self.intern_label(tags.clone()));
        }
    }

    /// Forgets all sessions.
    pub(super) fn clear_sessions(&mut self) {
        self.session_at.clear();
        self.sessions.clear();
        self.free_sessions.clear();
    }

    /// Clients and tag sets known.
    pub(super) fn n_names(&self) -> usize {
        self.clients.len() + self.labels.len()
    }

    pub(super) fn session(&self, at: u32) -> &str {
        &self.sessions[at as usize]
    }

    pub(super) fn client(&self, at: u32) -> &Client {
        &self.clients[at as usize]
    }

    pub(super) fn application(&self, at: u32) -> &str {
        &self.clients[at as usize].name
    }

    pub(super) fn tags(&self, at: u32) -> &[String] {
        &self.labels[at as usize]
    }
}

fn client_hash(user: &[u8], database: &[u8], application: &[u8]) -> u64 {
    xxh3_64_with_seed(
        application,
        xxh3_64_with_seed(database, xxh3_64_with_seed(user, 0)),
    )
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("tables of names stay far below 2^32 entries")
}
